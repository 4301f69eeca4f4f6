//! The queries of `equivalence` on several nodes, which know of each other only by the trait that a
//! network would stand behind: every stage is cut, written, read and run as between processes.

use super::analyzed;
use super::equivalence::{QUERIES, World, lines, never_collect, with_references, world, world_of};
use crate::Settings;
use exec::testing::{NoSnapshots, TestNode, test_locations, test_read};
use exec::{Cancel, LocalNodes, QueryContext, Snapshots, explain};
use std::sync::Arc;
use std::time::Duration;
use types::NodeId;

struct Cluster {
    /// The first is asked.
    nodes: Vec<TestNode>,
    leaves: Vec<NodeId>,
    snapshots: Arc<dyn Snapshots>,
    _folder: tempfile::TempDir,
}

/// `joint`: the node that is asked is one of the leaves.
fn cluster(world: &World, leaves: usize, joint: bool) -> Cluster {
    let folder = tempfile::tempdir().unwrap();
    let known = LocalNodes::new();
    let first = u32::from(!joint);
    let ids: Vec<NodeId> = (1..=leaves as u32).map(|i| NodeId(i + first)).collect();
    let node = |id: NodeId, leaf: bool| {
        let tables = leaf.then(|| world.tables.clone());
        let node = TestNode::new(id, known.clone(), tables, folder.path(), |_| {});
        known.add(&node.node);
        node
    };
    let mut nodes: Vec<TestNode> = ids.iter().map(|id| node(*id, true)).collect();
    let mut snapshots: Arc<dyn Snapshots> = world.tables.clone();
    if !joint {
        nodes.insert(0, node(NodeId(1), false));
        snapshots = Arc::new(NoSnapshots);
    }
    Cluster { nodes, leaves: ids, snapshots, _folder: folder }
}

impl Cluster {
    async fn check(&self, world: &World, sql: &str) {
        let ordered = sql.contains("ORDER BY ALL");
        let sql = &sql.replace("ORDER BY ALL", "ORDER BY");
        let expected = world.reference.sql(sql).await.expect(sql).collect().await.expect(sql);
        let plan = world.planner.plan(analyzed(&world.distributed, sql));
        let plan = Arc::new(plan.unwrap_or_else(|e| panic!("{sql}: {e}")));
        let query = QueryContext { snapshots: self.snapshots.clone(), cancel: Cancel::new(), memory: None };
        plan.locate(&test_locations(self.nodes[0].node.id(), &world.tables, &self.leaves)).unwrap();
        let run = async { self.nodes[0].node.run(&plan, query, test_read())?.collect().await };
        let found = tokio::time::timeout(Duration::from_secs(60), run).await;
        let explained = explain(&plan);
        let found = found.unwrap_or_else(|_| panic!("{sql} hangs:\n{explained}"));
        let found = found.unwrap_or_else(|e| panic!("{sql}: {e}\n{explained}"));
        assert_eq!(lines(&found, ordered), lines(&expected, ordered), "{sql}\n{explained}");
    }

    /// Waits until nothing of any query is left anywhere.
    async fn idle(&self) {
        let mut left = Vec::new();
        for _ in 0..1000 {
            left = self.nodes.iter().filter_map(|node| node.idle().err()).collect();
            if left.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("something is left of the queries: {left:?}");
    }
}

async fn all(leaves: usize, joint: bool, partitions: usize, seed: u64, settings: Settings) {
    let world = world(partitions, [200, 150, 100, 80], seed, Settings { leaves, ..settings }, |_| {});
    all_of(&world, leaves, joint).await;
}

async fn all_of(world: &World, leaves: usize, joint: bool) {
    let cluster = cluster(world, leaves, joint);
    for sql in QUERIES {
        cluster.check(world, sql).await;
    }
    cluster.idle().await;
}

macro_rules! on {
    ($($name:ident: $leaves:literal, $joint:literal, $partitions:literal, $settings:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            all($leaves, $joint, $partitions, $leaves * 10 + $partitions, $settings).await;
        }
    )*};
}

on! {
    one_leaf_one_partition: 1, false, 1, Settings::default();
    one_leaf_three_partitions: 1, false, 3, Settings::default();
    one_leaf_eight_partitions: 1, false, 8, never_collect();
    two_leaves_one_partition: 2, false, 1, Settings::default();
    two_leaves_three_partitions: 2, false, 3, Settings::default();
    two_leaves_three_partitions_meeting: 2, false, 3, never_collect();
    two_leaves_eight_partitions: 2, false, 8, Settings::default();
    three_leaves_three_partitions: 3, false, 3, Settings::default();
    three_leaves_eight_partitions_meeting: 3, false, 8, never_collect();
    four_leaves_three_partitions: 4, false, 3, never_collect();
    four_leaves_eight_partitions: 4, false, 8, Settings::default();
    the_asked_is_one_of_two_leaves: 2, true, 3, Settings::default();
    the_asked_is_one_of_three_leaves_meeting: 3, true, 8, never_collect();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reference_tables() {
    for (leaves, partitions, settings) in [(2, 3, Settings::default()), (3, 8, never_collect())] {
        let settings = Settings { leaves, ..settings };
        let world = world_of(&with_references(), partitions, [200, 150, 100, 80], 8, settings, |_| {});
        all_of(&world, leaves, false).await;
    }
}
