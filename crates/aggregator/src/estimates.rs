//! What leaves know of the tables' sizes and values, kept for a moment: every statement that is planned
//! asks for every table that it names. The longer a table has stayed as large as it was, the longer is its moment:
//! to ask all leaves for five tables costs more than many a query. A table that a transaction of this process has
//! loaded is asked for anew at once.
//!
//! Binding cannot wait, so it takes what is here, and notes what is not. What was missing is asked of
//! the leaves, and the statement is bound again.

use crate::leaves::{by_leaf, is_unreachable};
use crate::server::Aggregator;
use catalog::Catalog;
use exec::TableEstimate;
use futures::future::join_all;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use types::{PartitionId, Result, TableDef, TableId};

/// How long an answer is used at first, and at most.
const KEPT: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(5);
/// Tables that are kept at most; beyond that the old ones go.
const MOST: usize = 4_096;

struct Known {
    version: u64,
    at: Instant,
    /// For so long.
    good: Duration,
    estimate: Arc<TableEstimate>,
}

impl Known {
    fn is_fresh(&self) -> bool {
        self.at.elapsed() < self.good
    }

    /// How long the answer is good that comes after this one.
    fn good_next(&self, version: u64, rows: u64) -> Duration {
        let (before, after) = (self.estimate.rows, rows);
        if self.version != version || before.abs_diff(after) > before / 8 {
            return KEPT;
        }
        // Of several that asked at once the first counts.
        if self.is_fresh() { self.good } else { (self.good * 2).min(LONGEST) }
    }
}

#[derive(Default)]
pub(crate) struct Estimates {
    known: Mutex<HashMap<TableId, Known>>,
}

impl Estimates {
    /// What is known of this version of the table, if it is fresh.
    pub(crate) fn get(&self, def: &TableDef) -> Option<Arc<TableEstimate>> {
        let known = self.known.lock();
        let found = known.get(&def.id).filter(|k| k.version == def.version && k.is_fresh())?;
        Some(found.estimate.clone())
    }

    /// What was known of this version of the table last.
    pub(crate) fn last(&self, def: &TableDef) -> Option<Arc<TableEstimate>> {
        let known = self.known.lock();
        known.get(&def.id).filter(|k| k.version == def.version).map(|k| k.estimate.clone())
    }

    /// The table has just become another one.
    pub(crate) fn forget(&self, table: TableId) {
        self.known.lock().remove(&table);
    }

    fn put(&self, def: &TableDef, estimate: Arc<TableEstimate>) {
        let mut known = self.known.lock();
        if known.len() >= MOST {
            known.retain(|_, k| k.is_fresh());
        }
        let good = known.get(&def.id).map_or(KEPT, |k| k.good_next(def.version, estimate.rows));
        known.insert(def.id, Known { version: def.version, at: Instant::now(), good, estimate });
    }

    /// Asks the leaves. A leaf that cannot be reached counts as empty: the statement fails when it
    /// reads there, and others go on.
    pub(crate) async fn fetch(
        &self,
        aggregator: &Aggregator,
        catalog: &Catalog,
        def: &TableDef,
    ) -> Result<Arc<TableEstimate>> {
        let partitions: Vec<PartitionId> =
            catalog.partitions_of(def).iter().map(|partition| partition.id).collect();
        let leaves = by_leaf(catalog, partitions, |partition| *partition)?;
        let answers = leaves.into_iter().map(|(node, partitions)| async move {
            let leaf = aggregator.leaves.leaf(node)?;
            leaf.estimate(def, &partitions).await
        });
        let mut total = TableEstimate::default();
        for answer in join_all(answers).await {
            match answer {
                Ok(part) => total.add(&part, &def.shard_key),
                Err(error) if is_unreachable(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let total = Arc::new(total);
        self.put(def, total.clone());
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_change_is_asked_for_less_often() {
        let known = |rows, good, age| Known {
            version: 1,
            at: Instant::now().checked_sub(age).unwrap(),
            good,
            estimate: Arc::new(TableEstimate { rows, ..TableEstimate::default() }),
        };
        let (second, old) = (Duration::from_secs(1), Duration::from_secs(9));
        assert_eq!(known(1000, KEPT, old).good_next(1, 1100), 2 * second);
        assert_eq!(known(1000, 4 * second, old).good_next(1, 900), LONGEST);
        assert_eq!(known(1000, 4 * second, old).good_next(1, 1200), KEPT, "it grows");
        assert_eq!(known(0, 4 * second, old).good_next(1, 1), KEPT, "it was empty");
        assert_eq!(known(1000, 4 * second, old).good_next(2, 1000), KEPT, "it is another one");
        assert_eq!(known(1000, 4 * second, second).good_next(1, 1000), 4 * second, "somebody was faster");
    }
}
