//! Brings every node's rows where it needs them.
//!
//! Bottom-up: when a node is looked at, its children are already placed, and say where their rows
//! are by their output partitioning. What a node requires is asked of DataFusion's own declaration
//! of each operator, so an operator that this file has never heard of works too.

use crate::joins::{cross_join, gather, hash_join, nested_loop_join, shuffle};
use crate::placement::{covered, hashable, partitions};
use crate::settings::Settings;
use crate::sizes::size;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::Aggregate;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{Distribution, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::enforce_sorting::sort_pushdown::{
    SortPushDown, assign_initial_requirements, pushdown_sorts,
};
use datafusion::physical_optimizer::enforce_sorting::{
    PlanWithCorrespondingCoalescePartitions, PlanWithCorrespondingSort, ensure_sorting, parallelize_sorts,
    replace_with_partial_sort,
};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use exec::{
    Cancel, CollocatedUnionExec, ExchangeExec, ExchangeKind, RecursionLimitExec, ReplayExec, ScanExec,
};
use std::sync::Arc;

/// Partial groups up to which they are finished in one place rather than shuffled.
const FEW_GROUPS: f64 = 2_000.0;

/// Distribution and order, as a rule of DataFusion's physical optimizer.
#[derive(Debug)]
pub(crate) struct Distribute {
    pub(crate) settings: Settings,
    /// Shuffles go to as many.
    pub(crate) partitions: usize,
    pub(crate) cancel: Cancel,
}

impl PhysicalOptimizerRule for Distribute {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.place(plan, &[])?;
        let plan = gather(&plan);
        order(plan)
    }

    fn name(&self) -> &str {
        "distribute"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

impl Distribute {
    /// `grouped`: the columns by which an aggregation above groups the rows of this one, if they are not yet.
    fn place(&self, plan: Arc<dyn ExecutionPlan>, grouped: &[usize]) -> Result<Arc<dyn ExecutionPlan>> {
        self.cancel.check()?;
        if plan.is::<RecursiveQueryExec>() {
            return place_locally(plan, self.settings.recursion_limit);
        }
        let below = grouped_below(&plan);
        let children = plan
            .children()
            .into_iter()
            .map(|child| self.place(child.clone(), &below))
            .collect::<Result<Vec<_>>>()?;
        let plan = replace_children_if_necessary(plan, children)?;
        let plan = self.choose(plan)?;
        self.satisfy(plan, grouped)
    }

    fn choose(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
            return hash_join(join, &self.settings, self.partitions);
        }
        if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
            return nested_loop_join(&plan, join);
        }
        if let Some(join) = plan.downcast_ref::<CrossJoinExec>() {
            return cross_join(&plan, join);
        }
        if let Some(aggregate) = plan.downcast_ref::<AggregateExec>()
            && *aggregate.mode() == AggregateMode::FinalPartitioned
            && partitions(aggregate.input()) > 1
            && size(aggregate.input()).rows <= FEW_GROUPS
            && !aggregate.group_expr().expr().is_empty()
            && !already_grouped(aggregate)
        {
            return with_mode(aggregate, AggregateMode::Final);
        }
        // A node cannot run some of the partitions of DataFusion's union: each is another child's.
        if let Some(union) = plan.downcast_ref::<UnionExec>() {
            let union = CollocatedUnionExec::try_new(union.inputs().clone(), union.schema())?;
            return Ok(Arc::new(union));
        }
        Ok(plan)
    }

    /// Moves the rows of each child that are not where the node needs them. Below a node that `choose`
    /// has just swapped there may be a projection on top; its join is satisfied too.
    fn satisfy(&self, plan: Arc<dyn ExecutionPlan>, grouped: &[usize]) -> Result<Arc<dyn ExecutionPlan>> {
        // A swap leaves a projection that puts the columns back in order.
        if let Some(projection) = plan.downcast_ref::<datafusion::physical_plan::projection::ProjectionExec>()
            && is_join(projection.input())
        {
            let input = self.satisfy(projection.input().clone(), &[])?;
            return replace_children_if_necessary(plan, vec![input]);
        }
        let requirements = plan.input_distribution_requirements().into_per_child();
        let orderings = plan.required_input_ordering();
        let maintains = plan.maintains_input_order();
        let meets = plan
            .downcast_ref::<HashJoinExec>()
            .is_some_and(|join| *join.partition_mode() == PartitionMode::Partitioned);
        let subqueries = plan.is::<ScalarSubqueryExec>();
        // The first columns of an aggregation are its keys; of others they are something else.
        let grouped = if plan.is::<AggregateExec>() { grouped } else { &[] };
        let mut children = Vec::new();
        for (at, child) in plan.children().into_iter().enumerate() {
            let requirement = requirements.get(at).cloned().unwrap_or(Distribution::UnspecifiedDistribution);
            let needs_order =
                orderings.get(at).is_some_and(Option::is_some) || maintains.get(at) == Some(&true);
            children.push(match requirement {
                // The join was given its children by `hash_join`.
                _ if meets => child.clone(),
                _ if subqueries => merge(child, needs_order),
                Distribution::SinglePartition => merge(child, needs_order),
                Distribution::UnspecifiedDistribution => child.clone(),
                #[expect(deprecated, reason = "operators may still use the old name")]
                Distribution::KeyPartitioned(keys) | Distribution::HashPartitioned(keys) => {
                    if partitions(child) == 1 || keeps_groups(child, &keys) {
                        child.clone()
                    } else if let Some(keys) = shuffle_keys(child, &keys, grouped, self.partitions) {
                        shuffle(child, keys, self.partitions)
                    } else {
                        merge(child, needs_order)
                    }
                }
            });
        }
        // Children of a node that works partition by partition (a sort-merge join, say) agree in number.
        let counts: Vec<usize> = children.iter().map(partitions).collect();
        let keyed = requirements.len() > 1
            && requirements
                .iter()
                .all(|r| !matches!(r, Distribution::UnspecifiedDistribution | Distribution::SinglePartition));
        if keyed && !meets && (counts.windows(2).any(|w| w[0] != w[1]) || !alike(&children, &requirements)) {
            children = children.iter().map(|child| merge(child, true)).collect();
        }
        replace_children_if_necessary(plan, children)
    }
}

/// The terms of a recursive query run within one task. What they read of tables is gathered there,
/// and kept for the rounds of the recursive term, which runs again and again, at most `rounds` times.
fn place_locally(plan: Arc<dyn ExecutionPlan>, rounds: u64) -> Result<Arc<dyn ExecutionPlan>> {
    let children = plan
        .children()
        .into_iter()
        .enumerate()
        .map(|(at, term)| {
            let repeated = at > 0;
            let term = place_term(term.clone(), repeated)?;
            Ok(if repeated { Arc::new(RecursionLimitExec::new(term, rounds)) } else { term })
        })
        .collect::<Result<Vec<_>>>()?;
    replace_children_if_necessary(plan, children)
}

fn place_term(term: Arc<dyn ExecutionPlan>, repeated: bool) -> Result<Arc<dyn ExecutionPlan>> {
    term.transform_up(|node| {
        if node.is::<ScanExec>() {
            let rows: Arc<dyn ExecutionPlan> = Arc::new(ExchangeExec::new(node, ExchangeKind::Gather));
            return Ok(Transformed::yes(if repeated { Arc::new(ReplayExec::new(rows)) } else { rows }));
        }
        if let Some(join) = node.downcast_ref::<HashJoinExec>()
            && *join.partition_mode() == PartitionMode::Auto
        {
            let join = join.builder().with_partition_mode(PartitionMode::CollectLeft).build()?;
            return Ok(Transformed::yes(Arc::new(join) as _));
        }
        let children = node.children().into_iter().map(gather).collect();
        Ok(Transformed::yes(replace_children_if_necessary(node, children)?))
    })
    .data()
}

fn already_grouped(aggregate: &AggregateExec) -> bool {
    let keys: Vec<_> = aggregate.group_expr().expr().iter().map(|(expr, _)| expr.clone()).collect();
    keeps_groups(aggregate.input(), &keys)
}

fn with_mode(aggregate: &AggregateExec, mode: AggregateMode) -> Result<Arc<dyn ExecutionPlan>> {
    let changed = AggregateExec::try_new(
        mode,
        aggregate.group_expr().clone(),
        aggregate.aggr_expr().to_vec(),
        aggregate.filter_expr().to_vec(),
        aggregate.input().clone(),
        aggregate.input_schema(),
    )?;
    Ok(Arc::new(changed))
}

fn is_join(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<HashJoinExec>() || plan.is::<NestedLoopJoinExec>() || plan.is::<CrossJoinExec>()
}

/// Whether rows that agree in `keys` are in one partition.
pub(crate) fn keeps_groups(child: &Arc<dyn ExecutionPlan>, keys: &[Arc<dyn PhysicalExpr>]) -> bool {
    match covered(child, keys) {
        // With grouping sets a key may be NULL in one set and not in another, so that rows of one
        // group are spread unless the id of the set is a key too.
        Some(places) => !is_grouping_set(keys) || places.len() == keys.len(),
        None => false,
    }
}

fn is_grouping_set(keys: &[Arc<dyn PhysicalExpr>]) -> bool {
    keys.iter().any(|key| {
        key.downcast_ref::<Column>().is_some_and(|column| column.name() == Aggregate::INTERNAL_GROUPING_ID)
    })
}

/// Whether the children of a join of a kind that we do not plan ourselves are placed by keys in the
/// same positions.
fn alike(children: &[Arc<dyn ExecutionPlan>], requirements: &[Distribution]) -> bool {
    let places: Vec<Option<Vec<usize>>> = children
        .iter()
        .zip(requirements)
        .map(|(child, requirement)| match requirement {
            #[expect(deprecated, reason = "operators may still use the old name")]
            Distribution::KeyPartitioned(keys) | Distribution::HashPartitioned(keys) => covered(child, keys),
            _ => None,
        })
        .collect();
    children.iter().all(|child| partitions(child) == 1)
        || (places.iter().all(Option::is_some) && places.windows(2).all(|w| w[0] == w[1]))
}

/// The columns of the child's output by which an aggregation groups it, where nothing else is a key.
fn grouped_below(plan: &Arc<dyn ExecutionPlan>) -> Vec<usize> {
    let Some(aggregate) = plan.downcast_ref::<AggregateExec>() else { return Vec::new() };
    let groups = aggregate.group_expr();
    let columns = groups.expr().iter().map(|(expr, _)| Some(expr.downcast_ref::<Column>()?.index()));
    if groups.is_single() { columns.collect::<Option<_>>().unwrap_or_default() } else { Vec::new() }
}

/// Which of the keys that must stay together to shuffle by: one with many values is enough, and
/// cheaper to hash than all; numbers before strings. If what comes out is grouped again, by fewer keys
/// (`COUNT(DISTINCT a) .. GROUP BY b` groups by a and b first), then by those, so that it is moved once.
fn shuffle_keys(
    child: &Arc<dyn ExecutionPlan>,
    keys: &[Arc<dyn PhysicalExpr>],
    grouped: &[usize],
    partitions: usize,
) -> Option<Vec<Arc<dyn PhysicalExpr>>> {
    let schema = child.schema();
    let types: Vec<_> = keys.iter().map(|key| key.data_type(&schema).ok()).collect::<Option<_>>()?;
    let usable: Vec<usize> = (0..keys.len()).filter(|at| hashable(&types[*at])).collect();
    if usable.is_empty() || is_grouping_set(keys) && usable.len() < keys.len() {
        return None;
    }
    if keys.len() > 1 && !is_grouping_set(keys) {
        let size = size(child);
        let enough = 1_000.0 * partitions as f64;
        if !grouped.is_empty() && grouped.iter().all(|at| usable.contains(at)) {
            let again: Vec<_> = grouped.iter().map(|at| keys[*at].clone()).collect();
            if size.together(again.iter()) >= enough {
                return Some(again);
            }
        }
        let rank = |at: &usize| (types[*at].is_integer(), types[*at].is_primitive(), size.of(&keys[*at]));
        let best = usable
            .iter()
            .filter(|at| size.of(&keys[**at]) >= enough)
            .max_by(|a, b| rank(a).partial_cmp(&rank(b)).unwrap_or(std::cmp::Ordering::Equal));
        if let Some(best) = best {
            return Some(vec![keys[*best].clone()]);
        }
    }
    Some(usable.into_iter().map(|at| keys[at].clone()).collect())
}

/// All rows in one partition, in the child's order if it has one that is needed.
fn merge(child: &Arc<dyn ExecutionPlan>, needs_order: bool) -> Arc<dyn ExecutionPlan> {
    match child.output_ordering() {
        Some(ordering) if needs_order && partitions(child) > 1 => {
            Arc::new(SortPreservingMergeExec::new(ordering.clone(), child.clone()))
        }
        _ => gather(child),
    }
}

/// Sorts where an operator needs an order that its input does not have, in parallel below a merge.
fn order(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = PlanWithCorrespondingSort::new_default(plan).transform_up(ensure_sorting).data()?.plan;
    let plan = PlanWithCorrespondingCoalescePartitions::new_default(plan)
        .transform_up(parallelize_sorts)
        .data()?
        .plan;
    let mut sorts = SortPushDown::new_default(plan);
    assign_initial_requirements(&mut sorts);
    let plan = pushdown_sorts(sorts)?.plan;
    let plan = plan.transform_up(|node| Ok(Transformed::yes(replace_with_partial_sort(node)?))).data()?;
    if plan.output_partitioning().partition_count() > 1 {
        return plan_err!("a plan must end in one partition");
    }
    Ok(plan)
}
