//! AUTO_INCREMENT values. Ranges are taken from the catalog, where they are durable before a value
//! of them is used, and handed out from memory; what a stop leaves of a range is skipped.
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
        let size = count.max(RANGE);
        let outcome = self.metadata.propose(Command::TakeIds { table, count: size }).await?;
        let Outcome::Ids { first } = outcome else {
            return Err(SqlError::internal("the catalog gave no AUTO_INCREMENT range"));
        };
        let mut range = Range { next: first, end: first.saturating_add(size) };
        let taken =
            range.take(count).ok_or_else(|| SqlError::internal("AUTO_INCREMENT values are used up"))?;
        ranges.insert(table, range);
        Ok(taken)
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
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_handed_out_once() {
        let mut range = Range { next: 1, end: 11 };
        assert_eq!(range.take(3), Some(1));
        range.skip(6);
        assert_eq!(range.take(4), Some(7));
        assert_eq!(range.take(1), None);
    }
}
