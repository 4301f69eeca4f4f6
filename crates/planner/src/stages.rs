//! Exchanges where rows leave a set of partitions for one place, and which runtime filters a scan may
//! take branch by branch.

use crate::joins::gather;
use crate::placement::partitions;
use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;
use exec::{ExchangeExec, ExchangeKind, ScanExec};
use std::collections::HashSet;
use std::sync::Arc;

/// Puts an exchange below every merge of several partitions into one, and above every side that all
/// partitions of a join share.
pub(crate) fn insert_gathers(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    if plan.is::<RecursiveQueryExec>() {
        return Ok(plan);
    }
    let shared_build = shares_build(&plan);
    let children = plan
        .children()
        .into_iter()
        .enumerate()
        .map(|(at, child)| {
            let child = insert_gathers(child.clone())?;
            Ok(if shared_build && at == 0 { broadcast(child) } else { child })
        })
        .collect::<Result<Vec<_>>>()?;
    let plan = replace_children_if_necessary(plan, children)?;
    let many = plan.children().first().is_some_and(|child| partitions(child) > 1);
    if many && let Some(merge) = plan.downcast_ref::<CoalescePartitionsExec>() {
        let exchange = exchange(merge.input().clone(), ExchangeKind::Gather);
        // A limit stays above the exchange.
        return if merge.fetch().is_some() {
            replace_children_if_necessary(plan, vec![exchange])
        } else {
            Ok(exchange)
        };
    }
    if many && let Some(merge) = plan.downcast_ref::<SortPreservingMergeExec>() {
        let exchange = exchange(merge.input().clone(), ExchangeKind::GatherSorted);
        return replace_children_if_necessary(plan, vec![exchange]);
    }
    Ok(plan)
}

fn exchange(input: Arc<dyn ExecutionPlan>, kind: ExchangeKind) -> Arc<dyn ExecutionPlan> {
    Arc::new(ExchangeExec::new(input, kind))
}

/// Whether all partitions of this join share its first child.
fn shares_build(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let collects = match plan.downcast_ref::<HashJoinExec>() {
        Some(join) => *join.partition_mode() == PartitionMode::CollectLeft,
        None => plan.is::<NestedLoopJoinExec>() || plan.is::<CrossJoinExec>(),
    };
    collects && plan.children().get(1).is_some_and(|probe| partitions(probe) > 1)
}

fn broadcast(build: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    if build.is::<EmptyExec>() || build.is::<PlaceholderRowExec>() {
        return build;
    }
    match build.downcast_ref::<ExchangeExec>() {
        Some(gather) if matches!(gather.kind(), ExchangeKind::Gather) => {
            exchange(gather.input().clone(), ExchangeKind::Broadcast)
        }
        _ => exchange(gather(&build), ExchangeKind::Broadcast),
    }
}

/// Tells each scan which of its runtime filters come from a partitioned join that has the scan's
/// partition `i` in its own partition `i`.
pub(crate) fn align_filters(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let mut filters = HashSet::new();
    align(plan, &mut filters)
}

fn align(plan: Arc<dyn ExecutionPlan>, filters: &mut HashSet<u64>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(scan) = plan.downcast_ref::<ScanExec>() {
        let mut aligned = HashSet::new();
        for filter in scan.runtime_filters() {
            filter.apply(|expr| {
                if let Some(id) = expr.expression_id()
                    && expr.is::<DynamicFilterPhysicalExpr>()
                    && filters.contains(&id)
                {
                    aligned.insert(id);
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        return Ok(if aligned.is_empty() { plan } else { Arc::new(scan.with_aligned(aligned)) });
    }
    let meets = plan
        .downcast_ref::<HashJoinExec>()
        .is_some_and(|join| *join.partition_mode() == PartitionMode::Partitioned);
    let moves = plan.is::<ExchangeExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<SortPreservingMergeExec>()
        || plan.is::<RepartitionExec>()
        || plan.is::<UnionExec>()
        || plan.is::<RecursiveQueryExec>();
    let shared_build = shares_build(&plan);
    let mut children = Vec::new();
    for (at, child) in plan.children().into_iter().enumerate() {
        let child = child.clone();
        let mut below = if moves || (shared_build && at == 0) { HashSet::new() } else { filters.clone() };
        if meets && at == 1 {
            below.extend(plan.dynamic_expressions_produced().iter().filter_map(|expr| expr.expression_id()));
        }
        children.push(align(child, &mut below)?);
    }
    replace_children_if_necessary(plan, children)
}
