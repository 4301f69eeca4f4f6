//! The keys of a join's build side, for scans of other stages, on whichever nodes those run.
//!
//! Within a stage a scan takes keys from the join above it (see [`crate::build_keys`]). A scan whose rows reach
//! the join through an exchange may take them too, but then it needs those of all of the join's partitions,
//! which other nodes have. So each node of the join, once its own partitions have been read, tells what they
//! have together to every node of the scan; one that has heard of all of them drops rows that no partition of
//! the join looks for, before they are unpacked, let alone sent.
//!
//! A scan waits for that before it reads its first row. It is not long: a scan starts when the first of the
//! join's partitions has its build side, and the others are about to have theirs; and no build side waits for
//! rows of its probe side's scans. Should a node not be heard of for [`PATIENCE`], the scan reads all: that is
//! more than is needed, and not wrong.
//!
//! The node that was asked finds such pairs of joins and scans ([`Pairs`]) when it knows where stages run, and
//! gives each join a number. Only pairs whose stages start together are taken.

use crate::build_keys::{BuildKeysExec, Kept, Sets, filters_of, integer_keys, together};
use crate::interruptible::uninterruptible;
use crate::plan::Stage;
use crate::scan::ScanExec;
use crate::stages::{QueryId, StageNodes};
use columnstore::KeySet;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{NullEquality, Result};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::HashJoinExec;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;
use types::NodeId;

/// What a scan looks for in the keys of a join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WantedKey {
    /// The join's number.
    pub(crate) number: u32,
    /// Which of its keys.
    pub(crate) key: usize,
    /// The column of the scan's output that must have one of them.
    pub(crate) column: usize,
}

/// Where the keys of a join come from and go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRoute {
    pub number: u32,
    /// The nodes that run the join.
    pub from: Vec<NodeId>,
    /// The nodes that run scans which look for its keys.
    pub to: Vec<NodeId>,
}

/// What one node's partitions of a join have together: for each key of the join a set as
/// [`KeySet::to_bytes`] writes it, or nothing, if the set is too large or the key no integer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldKeys {
    pub number: u32,
    pub from: NodeId,
    pub sets: Vec<Option<Vec<u8>>>,
}

/// The joins whose keys scans of other stages look for, by the ids of their filters.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    numbers: HashMap<u64, u32>,
    /// The stages of each join and of its scans.
    stages: HashMap<u32, (usize, Vec<usize>)>,
}

impl Pairs {
    /// `groups[i]`: what stage `i` starts together with.
    pub(crate) fn find(stages: &[Stage], groups: &[Option<usize>]) -> Result<Pairs> {
        let mut joins: HashMap<u64, usize> = HashMap::new();
        let mut scans: Vec<(u64, usize)> = Vec::new();
        for (at, stage) in stages.iter().enumerate().filter(|(at, _)| groups[*at].is_some()) {
            uninterruptible(stage.plan.clone())?.apply(|node| {
                if let Some(join) = node.downcast_ref::<HashJoinExec>() {
                    joins.extend(filter_of(join).map(|id| (id, at)));
                } else if let Some(scan) = node.downcast_ref::<ScanExec>() {
                    scans.extend(filters_of(scan).into_iter().map(|id| (id, at)));
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        let mut pairs = Pairs::default();
        for (id, scan) in scans {
            let Some(&join) = joins.get(&id) else { continue };
            if join == scan || groups[join] != groups[scan] {
                continue;
            }
            let next = pairs.numbers.len() as u32;
            let number = *pairs.numbers.entry(id).or_insert(next);
            pairs.stages.entry(number).or_insert_with(|| (join, Vec::new())).1.push(scan);
        }
        Ok(pairs)
    }

    /// The numbers with the stage of each join and those of its scans.
    pub(crate) fn stages(&self) -> impl Iterator<Item = (u32, usize, &[usize])> {
        self.stages.iter().map(|(number, (join, scans))| (*number, *join, scans.as_slice()))
    }

    /// The plan of a stage, which has nothing in it that stands above other operators, with the joins that
    /// share their keys and the scans that look for such.
    pub(crate) fn mark(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        if self.numbers.is_empty() {
            return Ok(plan);
        }
        let own = joins_of(&plan)?;
        plan.transform_up(|node| {
            if let Some(scan) = node.downcast_ref::<ScanExec>() {
                let wanted: Arc<[WantedKey]> = self.wanted(scan, &own).into();
                return Ok(match wanted.is_empty() {
                    true => Transformed::no(node),
                    false => Transformed::yes(Arc::new(scan.clone().with_shared_keys(wanted))),
                });
            }
            let Some(join) = node.downcast_ref::<HashJoinExec>() else { return Ok(Transformed::no(node)) };
            let Some(number) = filter_of(join).and_then(|id| self.numbers.get(&id)) else {
                return Ok(Transformed::no(node));
            };
            let keys = BuildKeysExec::shared(join.left().clone(), integer_keys(join), *number);
            let children = vec![Arc::new(keys) as _, join.right().clone()];
            Ok(Transformed::yes(replace_children_if_necessary(node, children)?))
        })
        .data()
    }

    fn wanted(&self, scan: &ScanExec, own: &[u64]) -> Vec<WantedKey> {
        let mut wanted = Vec::new();
        for filter in scan.runtime_filters() {
            let id = filter.expression_id().filter(|id| !own.contains(id));
            let Some(&number) = id.and_then(|id| self.numbers.get(&id)) else { continue };
            for (key, expr) in filter.children().into_iter().enumerate() {
                if let Some(column) = expr.downcast_ref::<Column>() {
                    wanted.push(WantedKey { number, key, column: column.index() });
                }
            }
        }
        wanted
    }
}

/// The id of the filter that a join gives its probe side, if scans may drop what is not in it: not if rows
/// whose key is NULL must reach the join.
fn filter_of(join: &HashJoinExec) -> Option<u64> {
    let nulls_meet = join.null_equality() == NullEquality::NullEqualsNull;
    if join.null_aware || nulls_meet || integer_keys(join).iter().all(Option::is_none) {
        return None;
    }
    join.dynamic_expressions_produced().first()?.expression_id()
}

fn joins_of(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<u64>> {
    let mut ids = Vec::new();
    plan.apply(|node| {
        ids.extend(node.downcast_ref::<HashJoinExec>().and_then(filter_of));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(ids)
}

/// The keys of one join, as far as this node has heard of them.
#[derive(Debug)]
pub(crate) struct SharedKeys {
    route: KeyRoute,
    heard: Mutex<HashMap<NodeId, Sets>>,
    all: OnceLock<Sets>,
    known: Notify,
}

/// How long a scan waits for the keys of a join.
const PATIENCE: Duration = Duration::from_secs(10);

impl SharedKeys {
    /// For each key of the join what all of its partitions have, once that is known.
    pub(crate) fn all(&self) -> Option<&[Option<Kept>]> {
        self.all.get().map(Vec::as_slice)
    }

    /// Returns once all is known, or will not be.
    pub(crate) async fn known(&self) {
        let known = async {
            loop {
                let mut next = std::pin::pin!(self.known.notified());
                next.as_mut().enable();
                if self.all.get().is_some() {
                    return;
                }
                next.await;
            }
        };
        if tokio::time::timeout(PATIENCE, known).await.is_err() {
            tracing::debug!(route = ?self.route, "the keys of a join were not all told");
        }
    }

    /// Takes what a node has. Memory for it is asked of `memory`'s pool.
    fn hear(&self, told: &ToldKeys, memory: &MemoryReservation) {
        let set = |bytes: &Option<Vec<u8>>| Kept::new(KeySet::from_bytes(bytes.as_deref()?)?, memory);
        let sets: Sets = told.sets.iter().map(set).collect();
        let mut heard = self.heard.lock();
        heard.insert(told.from, sets);
        let all: Option<Vec<_>> =
            self.route.from.iter().map(|node| heard.get(node).map(Vec::as_slice)).collect();
        if let Some(all) = all {
            // Whoever tells again tells the same.
            let _ = self.all.set(together(&all, memory));
            heard.clear();
            self.known.notify_waiters();
        }
    }
}

/// The most bytes of a set that are told to other nodes.
const MOST_BYTES: usize = 2 << 20;

/// Those of one part of a query on one node.
pub(crate) struct Sharing {
    query: QueryId,
    part: u32,
    here: NodeId,
    nodes: Arc<dyn StageNodes>,
    /// From whose pool the sets have their memory.
    memory: MemoryReservation,
    keys: HashMap<u32, Arc<SharedKeys>>,
}

impl Sharing {
    pub(crate) fn new(
        (query, part): (QueryId, u32),
        routes: Vec<KeyRoute>,
        here: NodeId,
        nodes: Arc<dyn StageNodes>,
        memory: MemoryReservation,
    ) -> Sharing {
        let shared = |route: KeyRoute| {
            let number = route.number;
            let keys =
                SharedKeys { route, heard: Mutex::default(), all: OnceLock::new(), known: Notify::new() };
            (number, Arc::new(keys))
        };
        Sharing { query, part, here, nodes, memory, keys: routes.into_iter().map(shared).collect() }
    }

    pub(crate) fn get(&self, number: u32) -> Option<Arc<SharedKeys>> {
        self.keys.get(&number).cloned()
    }

    /// Takes what a node told.
    pub(crate) fn hear(&self, told: &ToldKeys) {
        if let Some(keys) = self.keys.get(&told.number) {
            keys.hear(told, &self.memory);
        }
    }

    /// Tells the nodes of the scans what this node's partitions of a join have together.
    pub(crate) fn tell(&self, number: u32, sets: &[Option<Kept>]) {
        let Some(keys) = self.keys.get(&number) else { return };
        let bytes = |kept: &Kept| (kept.keys.bytes() <= MOST_BYTES).then(|| kept.keys.to_bytes());
        let sets = sets.iter().map(|kept| kept.as_ref().and_then(bytes)).collect();
        let told = ToldKeys { number, from: self.here, sets };
        for node in &keys.route.to {
            if *node == self.here {
                self.hear(&told);
                continue;
            }
            match self.nodes.stages(*node) {
                Ok(stages) => stages.tell(self.query, self.part, told.clone()),
                // Its scans read more than they need to; if it is lost, the query ends for that.
                Err(error) => tracing::debug!(%node, %error, "a node was not told the keys of a join"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::LocalNodes;
    use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, UnboundedMemoryPool};

    #[test]
    fn keys_are_known_once_every_node_has_told_its_own() {
        let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
        let memory = MemoryConsumer::new("keys").register(&pool);
        let (here, there) = (NodeId(1), NodeId(2));
        let query = QueryId { node: NodeId(9), number: 1 };
        let routes = vec![KeyRoute { number: 3, from: vec![here, there], to: vec![here] }];
        let sharing = Sharing::new((query, 0), routes, here, LocalNodes::new(), memory.new_empty());
        let keys = |keys: &[i64]| KeySet::of(keys.iter().copied()).unwrap();
        let known = sharing.get(3).unwrap();
        sharing.tell(3, &[Kept::new(keys(&[1, 2]), &memory), None, Kept::new(keys(&[7]), &memory)]);
        assert!(known.all().is_none());
        let sets = vec![Some(keys(&[5]).to_bytes()), Some(keys(&[5]).to_bytes()), Some(vec![1, 2, 3])];
        sharing.hear(&ToldKeys { number: 4, from: there, sets: sets.clone() });
        assert!(known.all().is_none());
        sharing.hear(&ToldKeys { number: 3, from: there, sets });
        let all = known.all().unwrap();
        let first = &all[0].as_ref().unwrap().keys;
        assert_eq!((0..9).filter(|key| first.contains(*key)).collect::<Vec<_>>(), [1, 2, 5]);
        // One node says nothing of the second; what one says of the third is damaged.
        assert!(all[1].is_none() && all[2].is_none());
        drop((sharing, known));
        assert_eq!(pool.reserved(), 0);
    }
}
