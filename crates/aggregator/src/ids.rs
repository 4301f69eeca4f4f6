//! AUTO_INCREMENT values. Ranges are taken from the catalog, where they are durable before a value
//! of them is used, and handed out from memory; what a stop leaves of a range is skipped.
//!
//! An explicit value above the range raises the counter, and the range above the value is taken with it, so
//! that rows which come with ascending values of their own do not each ask the catalog.
//!
//! Invariant: a value is handed out once, and never one at or below an explicit value that was
//! announced by [`AutoIncrement::raise`] before.

use catalog::{Command, Metadata, Outcome};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use types::{Result, SqlError, TableId};

/// Values taken at once when an INSERT wants fewer.
const RANGE: u64 = 1_000;
/// More are taken at once, twice as many each time, up to so many, by a table that uses them up quickly.
const LONGEST: u64 = 32_000;
const QUICKLY: Duration = Duration::from_secs(2);

/// How many values a table takes at once.
#[derive(Debug, Clone, Copy)]
struct Appetite {
    size: u64,
    taken: Instant,
}

impl Appetite {
    /// How many to take at `now`, after the last ones were used up.
    fn next(before: Option<Appetite>, now: Instant) -> Appetite {
        let size = match before {
            Some(before) if now.saturating_duration_since(before.taken) < QUICKLY => {
                (before.size * 2).min(LONGEST)
            }
            _ => RANGE,
        };
        Appetite { size, taken: now }
    }
}

/// Values not yet handed out: `next` up to, not including, `end`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Range {
    next: u64,
    end: u64,
}

impl Range {
    /// Cuts `count` values off the front, if there are so many.
    fn take(&mut self, count: u64) -> Option<u64> {
        let first = self.next;
        let next = first.checked_add(count).filter(|next| *next <= self.end)?;
        self.next = next;
        Some(first)
    }

    /// Skips everything up to and including `value`.
    fn skip(&mut self, value: u64) {
        self.next = self.next.max(value.saturating_add(1)).min(self.end);
    }
}

#[derive(Default)]
struct OfTable {
    range: Range,
    appetite: Option<Appetite>,
}

pub(crate) struct AutoIncrement {
    metadata: Arc<dyn Metadata>,
    tables: tokio::sync::Mutex<HashMap<TableId, OfTable>>,
}

impl AutoIncrement {
    pub(crate) fn new(metadata: Arc<dyn Metadata>) -> AutoIncrement {
        AutoIncrement { metadata, tables: tokio::sync::Mutex::default() }
    }

    /// The first of `count` consecutive values.
    pub(crate) async fn take(&self, table: TableId, count: u64) -> Result<u64> {
        let mut tables = self.tables.lock().await;
        let of = tables.entry(table).or_default();
        if let Some(first) = of.range.take(count) {
            return Ok(first);
        }
        let appetite = Appetite::next(of.appetite, Instant::now());
        let mut range = self.take_range(table, count.max(appetite.size)).await?;
        let taken =
            range.take(count).ok_or_else(|| SqlError::internal("AUTO_INCREMENT values are used up"))?;
        *of = OfTable { range, appetite: Some(appetite) };
        Ok(taken)
    }

    async fn take_range(&self, table: TableId, size: u64) -> Result<Range> {
        let outcome = self.metadata.propose(Command::TakeIds { table, count: size }).await?;
        let Outcome::Ids { first } = outcome else {
            return Err(SqlError::internal("the catalog gave no AUTO_INCREMENT range"));
        };
        Ok(Range { next: first, end: first.saturating_add(size) })
    }

    /// The next value that a table would be given, if `after_ranges` is where the ranges taken so far end, by a
    /// catalog that may not know of the last one: those of other aggregators count as used up.
    pub(crate) fn next(&self, table: TableId, after_ranges: u64) -> u64 {
        // While a range is being fetched, nobody waits for it here.
        let Ok(tables) = self.tables.try_lock() else { return after_ranges };
        match tables.get(&table) {
            Some(OfTable { range, .. }) if range.end >= after_ranges => range.next,
            _ => after_ranges,
        }
    }

    /// An INSERT brings `value` itself: later generated values are greater.
    pub(crate) async fn raise(&self, table: TableId, value: u64) -> Result<()> {
        let mut tables = self.tables.lock().await;
        let of = tables.entry(table).or_default();
        let range = &mut of.range;
        if value < range.next {
            return Ok(());
        }
        if value < range.end {
            range.skip(value);
            return Ok(());
        }
        self.metadata.propose(Command::RaiseIds { table, above: value }).await?;
        range.skip(value);
        // Whether there are values above it is the matter of who wants one.
        let appetite = Appetite::next(of.appetite, Instant::now());
        if let Ok(range) = self.take_range(table, appetite.size).await {
            *of = OfTable { range, appetite: Some(appetite) };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::Catalog;
    use parking_lot::Mutex;

    /// A catalog of one table, which counts what it is asked.
    #[derive(Default)]
    struct Counter {
        next: Mutex<u64>,
        asked: Mutex<usize>,
    }

    #[async_trait::async_trait]
    impl Metadata for Counter {
        fn snapshot(&self) -> Arc<Catalog> {
            Arc::default()
        }

        async fn propose(&self, command: Command) -> Result<Outcome> {
            *self.asked.lock() += 1;
            let mut next = self.next.lock();
            match command {
                Command::TakeIds { count, .. } => {
                    let first = *next + 1;
                    *next += count;
                    Ok(Outcome::Ids { first })
                }
                Command::RaiseIds { above, .. } => {
                    *next = above.max(*next);
                    Ok(Outcome::Done)
                }
                other => panic!("{other:?}"),
            }
        }

        async fn changed(&self, _: u64) -> Result<Arc<Catalog>> {
            Err(SqlError::internal("nothing changes"))
        }
    }

    #[tokio::test]
    async fn ascending_explicit_values_ask_the_catalog_seldom() {
        let counter = Arc::new(Counter::default());
        let ids = AutoIncrement::new(counter.clone());
        let table = TableId(1);
        for value in 1..=5_000 {
            ids.raise(table, value).await.unwrap();
        }
        assert!(*counter.asked.lock() <= 2 * 5, "{}", counter.asked.lock());
        assert_eq!(ids.take(table, 1).await.unwrap(), 5_001, "what follows is the next one");
        ids.raise(table, 5_000).await.unwrap();
        ids.raise(table, 9_000).await.unwrap();
        assert_eq!(ids.take(table, 2).await.unwrap(), 9_001);
        let end = *counter.next.lock() + 1;
        assert_eq!(ids.next(table, end), 9_003);
        assert_eq!(ids.next(table, end - 1_000), 9_003);
        assert_eq!(ids.next(table, end + 1_000), end + 1_000, "another has taken a range");
        assert_eq!(ids.next(TableId(2), 5), 5);
    }

    #[test]
    fn a_table_takes_more_at_once_while_it_uses_them_up_quickly() {
        let start = Instant::now();
        let mut appetite = Appetite::next(None, start);
        assert_eq!(appetite.size, RANGE);
        for _ in 0..10 {
            appetite = Appetite::next(Some(appetite), start);
        }
        assert_eq!(appetite.size, LONGEST);
        assert_eq!(Appetite::next(Some(appetite), start + QUICKLY).size, RANGE);
    }

    #[test]
    fn a_range_is_handed_out_once() {
        let mut range = Range { next: 1, end: 11 };
        assert_eq!(range.take(3), Some(1));
        range.skip(6);
        assert_eq!(range.take(4), Some(7));
        assert_eq!(range.take(1), None);
    }
}
