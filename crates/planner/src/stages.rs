//! Exchanges where rows leave the set of partitions that they lie in.

use crate::joins::gather;
use crate::placement::partitions;
use datafusion::common::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use exec::runtime_filters::shares_build;
use exec::{CollocatedUnionExec, ExchangeExec, ExchangeKind, ScanExec, VirtualScanExec};
use std::sync::Arc;
use types::PartitionId;

/// Puts an exchange below every merge of several partitions into one, and above every side that all
/// partitions of a join share.
pub(crate) fn insert_gathers(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    if plan.is::<RecursiveQueryExec>() {
        return Ok(plan);
    }
    let shared_build = shares_build(&plan);
    let union = plan.is::<CollocatedUnionExec>();
    let children = plan
        .children()
        .into_iter()
        .enumerate()
        .map(|(at, child)| {
            let child = insert_gathers(child.clone())?;
            Ok(if shared_build && at == 0 {
                broadcast(child)
            } else if union && partitions(&child) == 1 && stays_whole(&child) {
                exchange(child, ExchangeKind::Gather)
            } else {
                child
            })
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

/// Whether the stage that ends with `plan` must run in one place, beside the one that asks for the
/// result: the rounds of a recursive query share a table in memory, the values of scalar subqueries are
/// shared with the stages below, and the rows of a virtual table are made there.
fn stays_whole(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let shares_values = plan.is::<ScalarSubqueryExec>() && feeds_on_others(plan);
    plan.is::<RecursiveQueryExec>()
        || plan.is::<VirtualScanExec>()
        || shares_values
        || (!plan.is::<ExchangeExec>() && plan.children().into_iter().any(stays_whole))
}

fn feeds_on_others(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<ExchangeExec>() || plan.children().into_iter().any(feeds_on_others)
}

/// A stage runs where the partitions of one table lie. So a scan of other partitions (of another
/// database, say) becomes a stage of its own, and so does every scan of a stage that runs beside the
/// one that asks.
pub(crate) fn separate_scans(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let mut scanned = Vec::new();
    scanned_partitions(&plan, &mut scanned);
    let home = if stays_whole(&plan) {
        None
    } else {
        let tasks = partitions(&plan);
        let fitting = scanned.iter().find(|list| list.len() == tasks);
        fitting.or_else(|| scanned.iter().find(|list| list.len() == 1)).cloned()
    };
    separate(plan, home.as_deref())
}

fn separate(plan: Arc<dyn ExecutionPlan>, home: Option<&[PartitionId]>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(scan) = plan.downcast_ref::<ScanExec>() {
        let apart = match scan.partitions() {
            _ if Some(scan.partitions()) == home => return Ok(plan),
            [_] => ExchangeKind::Gather,
            _ => ExchangeKind::Forward,
        };
        return Ok(exchange(plan, apart));
    }
    let next_stage = plan.is::<ExchangeExec>();
    let children = plan
        .children()
        .into_iter()
        .map(|child| if next_stage { separate_scans(child.clone()) } else { separate(child.clone(), home) })
        .collect::<Result<Vec<_>>>()?;
    replace_children_if_necessary(plan, children)
}

/// The partitions of each scan of the stage that ends with `plan`.
fn scanned_partitions(plan: &Arc<dyn ExecutionPlan>, lists: &mut Vec<Vec<PartitionId>>) {
    if let Some(scan) = plan.downcast_ref::<ScanExec>() {
        lists.push(scan.partitions().to_vec());
    }
    if !plan.is::<ExchangeExec>() {
        plan.children().into_iter().for_each(|child| scanned_partitions(child, lists));
    }
}
