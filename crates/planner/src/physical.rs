//! The physical plan: DataFusion's planner and rules with our distribution among them.

use crate::check::check_distribution;
use crate::distribute::Distribute;
use crate::json_tables::JsonTables;
use crate::outer_joins::hide_constants;
use crate::settings::Settings;
use crate::short_circuit::short_circuit;
use crate::sorted::sorted_as_required;
use crate::stages::{insert_gathers, separate_scans};
use crate::unique_keys::forget_moved_keys;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::execution::SessionState;
use datafusion::execution::config::SessionConfig;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_optimizer::combine_partial_final_agg::CombinePartialFinalAggregate;
use datafusion::physical_optimizer::limit_pushdown::LimitPushdown;
use datafusion::physical_optimizer::limit_pushdown_past_window::LimitPushPastWindows;
use datafusion::physical_optimizer::limited_distinct_aggregation::LimitedDistinctAggregation;
use datafusion::physical_optimizer::output_requirements::OutputRequirements;
use datafusion::physical_optimizer::projection_pushdown::ProjectionPushdown;
use datafusion::physical_optimizer::topk_aggregation::TopKAggregation;
use datafusion::physical_optimizer::update_aggr_exprs::OptimizeAggregateOrder;
use datafusion::physical_optimizer::{ConfigOnlyContext, PhysicalOptimizerRule};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use exec::{Cancel, DistributedPlan, fuse_aggregates, interruptible, repeat, to_sql_error};
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

    /// Whether more than one plan that runs may be made of it.
    pub fn can_repeat(&self) -> bool {
        repeat::can_repeat(&self.plan)
    }

    /// The memory that it takes, about.
    pub fn kept_bytes(&self) -> usize {
        repeat::kept_bytes(&self.plan)
    }

    /// A plan that can run once. The nodes of the prepared plan stay as they are.
    pub fn instantiate(&self) -> Result<DistributedPlan, SqlError> {
        let fresh = exec::runtime_filters::fresh(self.plan.clone());
        fresh.and_then(|plan| finish(plan, self.options.clone())).map_err(|error| to_sql_error(&error))
    }

    /// The same for other values than those that the plan left open when it was made; `None`: they want another plan.
    pub fn instantiate_for(&self, values: &[ScalarValue]) -> Result<Option<DistributedPlan>, SqlError> {
        let plan = exec::scan::for_values(self.plan.clone(), values);
        let run = |plan| {
            let fresh = exec::runtime_filters::fresh(plan)?;
            finish(fresh, self.options.clone())
        };
        let run = plan.and_then(|plan| plan.map(run).transpose());
        run.map_err(|error| to_sql_error(&error))
    }

    /// The plan that can run once, when no more are wanted.
    pub fn into_plan(self) -> Result<DistributedPlan, SqlError> {
        finish(self.plan, self.options).map_err(|error| to_sql_error(&error))
    }
}

/// Ties the nodes of one run together by runtime filters, fuses aggregations with their scans, lets joins
/// be stopped, and cuts.
fn finish(plan: Arc<dyn ExecutionPlan>, options: ConfigOptions) -> Result<DistributedPlan> {
    let plan = exec::runtime_filters::connect(plan, &options)?;
    DistributedPlan::cut(interruptible(fuse_aggregates(plan)?)?, options)
}

fn rules(
    settings: &Settings,
    partitions: usize,
    cancel: &Cancel,
) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    vec![
        Arc::new(OutputRequirements::new_add_mode()),
        Arc::new(LimitedDistinctAggregation::new()),
        Arc::new(Distribute { settings: settings.clone(), partitions, cancel: cancel.clone() }),
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

/// A session for planning, whose tables end it once the statement is cancelled.
pub(crate) fn session(options: &ConfigOptions, cancel: &Cancel) -> SessionState {
    SessionStateBuilder::new()
        .with_config(SessionConfig::from(options.clone()).with_extension(Arc::new(cancel.clone())))
        .with_physical_optimizer_rules(Vec::new())
        .build()
}

pub(crate) fn prepare(
    logical: &LogicalPlan,
    settings: &Settings,
    partitions: usize,
    cancel: &Cancel,
) -> Result<Prepared> {
    let options = settings.options(partitions);
    let session = session(&options, cancel);
    // Nothing in it waits: the tables are asked for scans, which they know how to make. It is run
    // outside of the budget that tokio gives a task, which would otherwise run out within this call
    // and never be filled again.
    let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(JsonTables)]);
    let planning = tokio::task::unconstrained(planner.create_physical_plan(logical, &session));
    let mut plan = forget_moved_keys(hide_constants(futures::executor::block_on(planning)?)?)?;
    let context = ConfigOnlyContext::new(&options);
    for rule in rules(settings, partitions, cancel) {
        cancel.check()?;
        plan = rule.optimize_with_context(plan, &context).map_err(|error| error.context(rule.name()))?;
    }
    let plan = short_circuit(separate_scans(insert_gathers(sorted_as_required(plan)?)?)?)?;
    cancel.check()?;
    check_distribution(&plan)?;
    Ok(Prepared { plan, options })
}
