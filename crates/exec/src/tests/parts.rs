//! Where the parts of a plan run, and what each of them is.

use super::{shuffled, world};
use crate::exchange::{ExchangeExec, ExchangeId, ExchangeKind, ReceiveExec};
use crate::plan::DistributedPlan;
use crate::scan::ScanExec;
use crate::slice::slice;
use crate::spread::{Locations, Source};
use crate::union::CollocatedUnionExec;
use datafusion::common::JoinType;
use datafusion::config::ConfigOptions;
use datafusion::datasource::TableProvider;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::joins::{HashJoinExecBuilder, PartitionMode};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion::prelude::SessionContext;
use std::collections::HashMap;
use std::sync::Arc;
use types::{NodeId, PartitionId};

fn at(nodes: [u32; 3]) -> Locations {
    let places = nodes.into_iter().enumerate().map(|(i, node)| (PartitionId(100 + i as u32), NodeId(node)));
    Locations { here: NodeId(1), partitions: Arc::new(places.collect::<HashMap<_, _>>()) }
}

#[tokio::test]
async fn tasks_lie_with_their_partitions() {
    let plan = shuffled(&world(10, 1 << 20)).await;
    // Stage 0 gathers (1), stage 1 receives what is shuffled (2), stage 2 scans.
    let spread = plan.locate(&at([2, 3, 2])).unwrap();
    assert!(!spread.is_local());
    assert_eq!(spread.nodes(0), [NodeId(1)]);
    for stage in [1, 2] {
        assert_eq!(spread.tasks(stage, NodeId(2)), [0, 2], "ranges lie with the partitions of their number");
        assert_eq!(spread.tasks(stage, NodeId(3)), [1]);
        assert_eq!(spread.group(stage), Some(1), "both start when the result is read");
    }
    assert_eq!(spread.stages_of(1), [1, 2]);
    let all = vec![NodeId(2), NodeId(3)];
    let source = |exchange, first| {
        let exchange = ExchangeId(exchange);
        Source { exchange, first, apart: false, nodes: all.clone() }
    };
    assert_eq!(spread.sources(0).unwrap(), [source(1, false)]);
    assert_eq!(spread.sources(1).unwrap(), [source(2, true)], "its group begins with it");
    assert_eq!((spread.streams(1), spread.streams(2)), (1, 3));
}

#[tokio::test]
async fn a_plan_whose_partitions_are_all_here_is_local() {
    let plan = shuffled(&world(10, 1 << 20)).await;
    assert!(plan.locate(&at([1, 1, 1])).unwrap().is_local());
}

#[tokio::test]
async fn a_partition_that_is_nowhere_is_an_error() {
    let plan = shuffled(&world(10, 1 << 20)).await;
    let nowhere = Locations { here: NodeId(1), partitions: Arc::default() };
    assert!(plan.locate(&nowhere).unwrap_err().to_string().contains("p100"));
}

#[tokio::test]
async fn streams_that_stay_apart_come_from_one_node_each() {
    let world = world(10, 1 << 20);
    let state = SessionContext::new().state();
    let scan = world.tables.provider(world.def.id).scan(&state, None, &[], None).await.unwrap();
    let sorted = Arc::new(ExchangeExec::new(scan, ExchangeKind::GatherSorted));
    let one = datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec::new(sorted);
    let plan = DistributedPlan::cut(Arc::new(one), ConfigOptions::default()).unwrap();
    let spread = plan.locate(&at([2, 3, 2])).unwrap();
    let source = &spread.sources(0).unwrap()[0];
    assert!(source.apart);
    assert_eq!(source.of_stream(0), [NodeId(2)]);
    assert_eq!(source.of_stream(1), [NodeId(3)]);
    assert_eq!(source.of_stream(2), [NodeId(2)]);
    assert!(source.of_stream(3).is_empty());
}

#[tokio::test]
async fn a_join_begins_with_its_build_side() {
    let world = world(10, 1 << 20);
    let state = SessionContext::new().state();
    let table = world.tables.provider(world.def.id);
    let mut sides = Vec::new();
    for _ in 0..2 {
        let scan = table.scan(&state, None, &[], None).await.unwrap();
        let keys = vec![col("k", &scan.schema()).unwrap()];
        sides.push(ExchangeExec::new(scan, ExchangeKind::Shuffle { keys, partitions: 3 }));
    }
    let [build, probe] = sides.try_into().unwrap();
    let key = col("k", &build.schema()).unwrap();
    let join =
        HashJoinExecBuilder::new(Arc::new(build), Arc::new(probe), vec![(key.clone(), key)], JoinType::Inner)
            .with_partition_mode(PartitionMode::Partitioned)
            .build()
            .unwrap();
    let root = ExchangeExec::new(Arc::new(join), ExchangeKind::Gather);
    let plan = DistributedPlan::cut(Arc::new(root), ConfigOptions::default()).unwrap();
    let spread = plan.locate(&at([2, 3, 2])).unwrap();
    let stage = plan.stages()[1].plan.children();
    let build = found::<ReceiveExec>(stage[0]).unwrap().exchange();
    let sources = spread.sources(1).unwrap();
    assert_eq!(sources.len(), 2);
    assert!(sources.iter().all(|source| source.first == (source.exchange == build)), "{sources:?}");
}

/// The stage that a broadcast build side and the scan of a probe side make, and one of a shuffle.
async fn joined(mode: PartitionMode) -> Arc<dyn ExecutionPlan> {
    let world = world(10, 1 << 20);
    let state = SessionContext::new().state();
    let table = world.tables.provider(world.def.id);
    let build = table.scan(&state, None, &[], None).await.unwrap();
    let probe = table.scan(&state, None, &[], None).await.unwrap();
    let keys = vec![col("k", &build.schema()).unwrap()];
    let kind = match mode {
        PartitionMode::CollectLeft => ExchangeKind::Broadcast,
        _ => ExchangeKind::Shuffle { keys: keys.clone(), partitions: 3 },
    };
    let build = Arc::new(ExchangeExec::new(build, kind));
    let on = vec![(keys[0].clone(), keys[0].clone())];
    let join = HashJoinExecBuilder::new(build, probe, on, JoinType::Inner)
        .with_partition_mode(mode)
        .build()
        .unwrap();
    let root = ExchangeExec::new(Arc::new(join), ExchangeKind::Gather);
    let plan = DistributedPlan::cut(Arc::new(root), ConfigOptions::default()).unwrap();
    plan.stages()[1].plan.clone()
}

fn found<T: ExecutionPlan + 'static>(plan: &Arc<dyn ExecutionPlan>) -> Option<&T> {
    plan.downcast_ref::<T>().or_else(|| plan.children().into_iter().find_map(|child| found::<T>(child)))
}

#[tokio::test]
async fn a_slice_has_just_its_tasks() {
    for (mode, streams) in [(PartitionMode::CollectLeft, vec![4]), (PartitionMode::Partitioned, vec![0, 2])] {
        let stage = joined(mode).await;
        let part = slice(&stage, &[0, 2], 4).unwrap();
        assert_eq!(part.output_partitioning().partition_count(), 2);
        let scan = found::<ScanExec>(&part).unwrap();
        assert_eq!(scan.partitions(), [PartitionId(100), PartitionId(102)]);
        assert_eq!(found::<ReceiveExec>(&part).unwrap().streams(), streams);
        let whole = slice(&stage, &[0, 1, 2], 0).unwrap();
        assert_eq!(whole.output_partitioning().partition_count(), 3);
        for wrong in [vec![], vec![1, 1], vec![2, 0]] {
            assert!(slice(&stage, &wrong, 0).is_err());
        }
    }
}

#[tokio::test]
async fn a_union_keeps_the_children_that_have_something_here() {
    let world = world(10, 1 << 20);
    let state = SessionContext::new().state();
    let scan = world.tables.provider(world.def.id).scan(&state, None, &[], None).await.unwrap();
    let single: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(scan.schema()));
    let union = CollocatedUnionExec::try_new(vec![single, scan.clone()], scan.schema()).unwrap();
    let union: Arc<dyn ExecutionPlan> = Arc::new(union);
    let part = slice(&union, &[1, 2], 0).unwrap();
    assert_eq!(part.output_partitioning().partition_count(), 2);
    assert_eq!(part.children().len(), 2);
    assert_eq!(found::<ScanExec>(&part).unwrap().partitions(), [PartitionId(101), PartitionId(102)]);
}
