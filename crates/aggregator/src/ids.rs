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
use types::{Result, SqlError, TableId};

/// Values taken at once when an INSERT wants fewer.
const RANGE: u64 = 1_000;

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

pub(crate) struct AutoIncrement {
    metadata: Arc<dyn Metadata>,
    ranges: tokio::sync::Mutex<HashMap<TableId, Range>>,
}

impl AutoIncrement {
    pub(crate) fn new(metadata: Arc<dyn Metadata>) -> AutoIncrement {
        AutoIncrement { metadata, ranges: tokio::sync::Mutex::default() }
    }

    /// The first of `count` consecutive values.
    pub(crate) async fn take(&self, table: TableId, count: u64) -> Result<u64> {
        let mut ranges = self.ranges.lock().await;
        if let Some(first) = ranges.get_mut(&table).and_then(|range| range.take(count)) {
            return Ok(first);
        }
        let mut range = self.take_range(table, count.max(RANGE)).await?;
        let taken =
            range.take(count).ok_or_else(|| SqlError::internal("AUTO_INCREMENT values are used up"))?;
        ranges.insert(table, range);
        Ok(taken)
    }

    async fn take_range(&self, table: TableId, size: u64) -> Result<Range> {
        let outcome = self.metadata.propose(Command::TakeIds { table, count: size }).await?;
        let Outcome::Ids { first } = outcome else {
            return Err(SqlError::internal("the catalog gave no AUTO_INCREMENT range"));
        };
        Ok(Range { next: first, end: first.saturating_add(size) })
    }

    /// An INSERT brings `value` itself: later generated values are greater.
    pub(crate) async fn raise(&self, table: TableId, value: u64) -> Result<()> {
        let mut ranges = self.ranges.lock().await;
        let range = ranges.entry(table).or_default();
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
        if let Ok(taken) = self.take_range(table, RANGE).await {
            ranges.insert(table, taken);
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
