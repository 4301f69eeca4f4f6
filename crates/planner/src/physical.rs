//! The physical plan: DataFusion's planner and rules with our distribution among them.

use crate::check::check_distribution;
use crate::distribute::Distribute;
use crate::settings::Settings;
use crate::stages::{align_filters, insert_gathers};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::execution::SessionState;
use datafusion::execution::config::SessionConfig;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::combine_partial_final_agg::CombinePartialFinalAggregate;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_optimizer::limit_pushdown::LimitPushdown;
use datafusion::physical_optimizer::limit_pushdown_past_window::LimitPushPastWindows;
use datafusion::physical_optimizer::limited_distinct_aggregation::LimitedDistinctAggregation;
use datafusion::physical_optimizer::output_requirements::OutputRequirements;
use datafusion::physical_optimizer::projection_pushdown::ProjectionPushdown;
use datafusion::physical_optimizer::topk_aggregation::TopKAggregation;
use datafusion::physical_optimizer::update_aggr_exprs::OptimizeAggregateOrder;
use datafusion::physical_optimizer::{ConfigOnlyContext, PhysicalOptimizerRule};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use exec::{DistributedPlan, fuse_aggregates, to_sql_error};
use std::collections::HashSet;
use std::sync::Arc;
use types::SqlError;

/// A plan from which plans that run are made.
#[derive(Debug)]
pub struct Prepared {
    plan: Arc<dyn ExecutionPlan>,
    options: ConfigOptions,
}

impl Prepared {
    /// The schema of the result.
    pub fn schema(&self) -> SchemaRef {
        self.plan.schema()
    }

    /// A plan that can run once. The nodes of the prepared plan stay as they are.
    pub fn instantiate(&self) -> Result<DistributedPlan, SqlError> {
        let fresh = reset_plan_states(self.plan.clone()).and_then(|plan| {
            // A sort that is reset gets a filter for the rows that it keeps, even if it keeps all.
            plan.transform_up(|node| {
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
        });
        fresh.and_then(|plan| finish(plan, self.options.clone())).map_err(|error| to_sql_error(&error))
    }

    /// The plan that can run once, when no more are wanted.
    pub fn into_plan(self) -> Result<DistributedPlan, SqlError> {
        finish(self.plan, self.options).map_err(|error| to_sql_error(&error))
    }
}

/// Ties the nodes of one run together by runtime filters, fuses aggregations with their scans, and cuts.
fn finish(plan: Arc<dyn ExecutionPlan>, options: ConfigOptions) -> Result<DistributedPlan> {
    let mut pushing = options.clone();
    if has_ambiguous_filters(&plan)? {
        pushing.optimizer.enable_join_dynamic_filter_pushdown = false;
        pushing.optimizer.enable_topk_dynamic_filter_pushdown = false;
        pushing.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    }
    let plan = FilterPushdown::new_post_optimization().optimize(plan, &pushing)?;
    DistributedPlan::cut(fuse_aggregates(align_filters(plan)?)?, options)
}

/// Whether a runtime filter may be on a column whose name another column beside it has too. DataFusion
/// takes a filter through most nodes by the names of its columns, so it would come out on the wrong one.
fn has_ambiguous_filters(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut twice = HashSet::new();
    let mut filtered = HashSet::new();
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
        } else if let Some(sort) = node.downcast_ref::<SortExec>() {
            sort.expr().iter().map(|key| key.expr.clone()).collect()
        } else if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
            aggregate.aggr_expr().iter().flat_map(|function| function.expressions()).collect()
        } else {
            Vec::new()
        };
        for key in keys {
            filtered.extend(collect_columns(&key).into_iter().map(|column| column.name().to_string()));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(!twice.is_disjoint(&filtered))
}

fn rules(settings: &Settings, partitions: usize) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    vec![
        Arc::new(OutputRequirements::new_add_mode()),
        Arc::new(LimitedDistinctAggregation::new()),
        Arc::new(Distribute { settings: settings.clone(), partitions }),
        Arc::new(CombinePartialFinalAggregate::new()),
        Arc::new(OptimizeAggregateOrder::new()),
        Arc::new(ProjectionPushdown::new()),
        Arc::new(OutputRequirements::new_remove_mode()),
        Arc::new(TopKAggregation::new()),
        Arc::new(LimitPushPastWindows::new()),
        Arc::new(LimitPushdown::new()),
        Arc::new(ProjectionPushdown::new()),
    ]
}

fn session(options: &ConfigOptions) -> SessionState {
    SessionStateBuilder::new()
        .with_config(SessionConfig::from(options.clone()))
        .with_physical_optimizer_rules(Vec::new())
        .build()
}

pub(crate) fn prepare(logical: &LogicalPlan, settings: &Settings, partitions: usize) -> Result<Prepared> {
    let options = settings.options(partitions);
    let session = session(&options);
    // Nothing in it waits: the tables are asked for scans, which they know how to make. It is run
    // outside of the budget that tokio gives a task, which would otherwise run out within this call
    // and never be filled again.
    let planner = DefaultPhysicalPlanner::default();
    let planning = tokio::task::unconstrained(planner.create_physical_plan(logical, &session));
    let mut plan = futures::executor::block_on(planning)?;
    let context = ConfigOnlyContext::new(&options);
    for rule in rules(settings, partitions) {
        plan = rule.optimize_with_context(plan, &context).map_err(|error| error.context(rule.name()))?;
    }
    let plan = insert_gathers(plan)?;
    check_distribution(&plan)?;
    Ok(Prepared { plan, options })
}
