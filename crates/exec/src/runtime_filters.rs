//! Filters that the operators of a stage give each other while they run: bounds and keys of a join's
//! build side, the worst row that a top-k still keeps. They are tied when a plan is about to run, and
//! again on every node for the part of the plan that runs there, since they are shared memory.

use crate::build_keys::{self, BuildKeysExec};
use crate::exchange::ExchangeExec;
use crate::scan::ScanExec;
use crate::union::CollocatedUnionExec;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr};
use datafusion::physical_expr::split_conjunction;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{replace_children_if_necessary, reset_plan_states};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use std::collections::HashSet;
use std::sync::Arc;

/// The same plan without anything that its operators kept from a run or gave each other.
pub fn fresh(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    reset_plan_states(plan)?
        .transform_up(|node| {
            // A sort that is reset gets a filter for the rows that it keeps, even if it keeps all.
            if let Some(keys) = node.downcast_ref::<BuildKeysExec>() {
                return Ok(Transformed::yes(match keys.shared_as() {
                    Some(number) => {
                        Arc::new(BuildKeysExec::shared(keys.input().clone(), keys.columns().to_vec(), number))
                    }
                    None => keys.input().clone(),
                }));
            }
            // One of MIN and MAX would go on with the bounds that another run has found.
            if let Some(aggregate) = node.downcast_ref::<AggregateExec>()
                && !node.dynamic_expressions_produced().is_empty()
            {
                return Ok(Transformed::yes(Arc::new(AggregateExec::try_new(
                    *aggregate.mode(),
                    aggregate.group_expr().clone(),
                    aggregate.aggr_expr().to_vec(),
                    aggregate.filter_expr().to_vec(),
                    aggregate.input().clone(),
                    aggregate.input_schema(),
                )?) as _));
            }
            Ok(match node.downcast_ref::<SortExec>() {
                Some(sort) if sort.fetch().is_none() => {
                    let plain = SortExec::new(sort.expr().clone(), sort.input().clone())
                        .with_preserve_partitioning(sort.preserve_partitioning());
                    Transformed::yes(Arc::new(plain) as _)
                }
                _ => Transformed::no(node),
            })
        })
        .data()
}

/// Ties the operators of a plan that has not run together by runtime filters.
pub fn connect(plan: Arc<dyn ExecutionPlan>, options: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
    let mut pushing = options.clone();
    if has_ambiguous_filters(&plan)? {
        pushing.optimizer.enable_join_dynamic_filter_pushdown = false;
        pushing.optimizer.enable_topk_dynamic_filter_pushdown = false;
        pushing.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    }
    if plan.exists(|node| Ok(node.downcast_ref::<AggregateExec>().is_some_and(bounds_some_only)))? {
        pushing.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    }
    let plan = FilterPushdown::new_post_optimization().optimize(plan, &pushing)?;
    let plan = without_filters_below_sorts(plan)?;
    align(build_keys::gather(without_barriers(plan, false)?)?, &mut HashSet::new())
}

/// Takes the filters that DataFusion puts between a sort and an input that takes none. That of a partitioned join
/// looks for each row among the keys of the partition that DataFusion's own hash gives the row, which is not where our
/// shuffles send it; scans know that ([`crate::scan`]), a filter does not.
fn without_filters_below_sorts(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let Some(filter) =
            node.downcast_ref::<SortExec>().and_then(|sort| sort.input().downcast_ref::<FilterExec>())
        else {
            return Ok(Transformed::no(node));
        };
        let is_runtime = |part: &&Arc<dyn PhysicalExpr>| part.is::<DynamicFilterPhysicalExpr>();
        if !split_conjunction(filter.predicate()).iter().all(is_runtime) {
            return Ok(Transformed::no(node));
        }
        let input = filter.input().clone();
        replace_children_if_necessary(node, vec![input]).map(Transformed::yes)
    })
    .data()
}

/// Takes the filter from joins whose partitions may not all be read.
///
/// A join that collects its build side gives its filter away when *each* of its partitions has asked for
/// the build side, and holds all of them back until then. One that is never read, because a partitioned
/// join above it found its own build side empty, or a limit above a union was satisfied by an earlier
/// child, would hold back its siblings for ever. `skippable`: whether that may happen to `plan`.
fn without_barriers(plan: Arc<dyn ExecutionPlan>, skippable: bool) -> Result<Arc<dyn ExecutionPlan>> {
    let join = plan.downcast_ref::<HashJoinExec>();
    let partitioned = join.is_some_and(|join| *join.partition_mode() == PartitionMode::Partitioned);
    let many = plan.output_partitioning().partition_count() > 1;
    let children = plan
        .children()
        .into_iter()
        .enumerate()
        .map(|(at, child)| {
            let later = at > 0 && (partitioned || plan.is::<CollocatedUnionExec>());
            without_barriers(child.clone(), many && (skippable || later))
        })
        .collect::<Result<Vec<_>>>()?;
    let plan = replace_children_if_necessary(plan, children)?;
    match plan.downcast_ref::<HashJoinExec>() {
        Some(join) if skippable && many && !partitioned => join.builder().reset_state().build_exec(),
        _ => Ok(plan),
    }
}

/// Whether the aggregation's filter would be by some of its MIN and MAX only. DataFusion leaves out those that are
/// of no column but of an expression, and so the rows that they are looking for.
fn bounds_some_only(aggregate: &AggregateExec) -> bool {
    let of_column = |function: &Arc<AggregateFunctionExpr>| matches!(function.expressions().as_slice(), [argument] if argument.is::<Column>());
    aggregate.group_expr().is_empty() && !aggregate.aggr_expr().iter().all(of_column)
}

/// Whether a runtime filter may be on a column whose name another column beside it has too. DataFusion
/// takes a filter through most nodes by the names of its columns, so it would come out on the wrong one.
fn has_ambiguous_filters(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut twice = HashSet::new();
    let mut filtered = HashSet::new();
    // The names that projections give, with those of the columns that they are made of.
    let mut projected: Vec<(String, Vec<String>)> = Vec::new();
    let names = |expr: &Arc<dyn PhysicalExpr>| {
        collect_columns(expr).into_iter().map(|column| column.name().to_string()).collect::<Vec<_>>()
    };
    plan.apply(|node| {
        let schema = node.schema();
        let mut seen = HashSet::new();
        for field in schema.fields() {
            if !seen.insert(field.name().as_str()) {
                twice.insert(field.name().clone());
            }
        }
        let keys: Vec<Arc<dyn PhysicalExpr>> = if let Some(join) = node.downcast_ref::<HashJoinExec>() {
            join.on().iter().flat_map(|(left, right)| [left.clone(), right.clone()]).collect()
        } else if let Some(sort) = node.downcast_ref::<SortExec>().filter(|sort| sort.fetch().is_some()) {
            sort.expr().iter().map(|key| key.expr.clone()).collect()
        } else if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
            aggregate.aggr_expr().iter().flat_map(|function| function.expressions()).collect()
        } else {
            Vec::new()
        };
        filtered.extend(keys.iter().flat_map(&names));
        if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
            projected.extend(projection.expr().iter().map(|made| (made.alias.clone(), names(&made.expr))));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    loop {
        let before = filtered.len();
        for (name, columns) in &projected {
            if filtered.contains(name) {
                filtered.extend(columns.iter().cloned());
            }
        }
        if filtered.len() == before {
            break;
        }
    }
    Ok(!twice.is_disjoint(&filtered))
}

/// Whether all partitions of this join share its first child.
pub fn shares_build(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let collects = match plan.downcast_ref::<HashJoinExec>() {
        Some(join) => *join.partition_mode() == PartitionMode::CollectLeft,
        None => plan.is::<NestedLoopJoinExec>() || plan.is::<CrossJoinExec>(),
    };
    collects && plan.children().get(1).is_some_and(|probe| probe.output_partitioning().partition_count() > 1)
}

/// Tells each scan which of its runtime filters come from a partitioned join that has the scan's
/// partition `i` in its own partition `i`.
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
