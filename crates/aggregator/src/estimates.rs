//! What leaves know of the tables' sizes and values, kept for a moment: every statement that is planned
//! asks for every table that it names.
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

/// How long an answer is used.
const KEPT: Duration = Duration::from_secs(1);
/// Tables that are kept at most; beyond that the old ones go.
const MOST: usize = 4_096;

struct Known {
    version: u64,
    at: Instant,
    estimate: Arc<TableEstimate>,
}

#[derive(Default)]
pub(crate) struct Estimates {
    known: Mutex<HashMap<TableId, Known>>,
}

impl Estimates {
    /// What is known of this version of the table, if it is fresh.
    pub(crate) fn get(&self, def: &TableDef) -> Option<Arc<TableEstimate>> {
        let known = self.known.lock();
        let found = known.get(&def.id).filter(|k| k.version == def.version && k.at.elapsed() < KEPT)?;
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
            known.retain(|_, k| k.at.elapsed() < KEPT);
        }
        known.insert(def.id, Known { version: def.version, at: Instant::now(), estimate });
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
