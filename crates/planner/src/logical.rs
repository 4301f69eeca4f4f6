//! The logical plan: DataFusion's rules, then the order of joins.

use crate::careful::{careful, null_safe_keys};
use crate::correlated::tell_apart;
use crate::group_keys::join_on_group_keys;
use crate::join_order::order_joins;
use crate::rules::{self, Rule};
use crate::settings::Settings;
use crate::subqueries::check_subqueries;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{Optimizer, OptimizerContext};
use exec::{Cancel, to_sql_error};
use std::sync::Arc;
use types::SqlError;

/// Rules that put projections between joins; they come after the joins are in order.
const LATE: &[&str] = &[
    "common_sub_expression_eliminate",
    "extract_leaf_expressions",
    "push_down_leaf_projections",
    "optimize_projections",
];

/// How often the rules before are applied: some find more to do in what later ones made.
const EARLY_PASSES: usize = 2;

/// Optimizes an analyzed plan, unless the statement is cancelled. `correlated`: it has correlated subqueries.
pub fn optimize(
    logical: LogicalPlan,
    correlated: bool,
    settings: &Settings,
    partitions: usize,
    cancel: &Cancel,
) -> Result<LogicalPlan, SqlError> {
    rewrite(logical, correlated, settings, partitions, cancel).map_err(|error| to_sql_error(&error))
}

fn rewrite(
    logical: LogicalPlan,
    correlated: bool,
    settings: &Settings,
    partitions: usize,
    cancel: &Cancel,
) -> datafusion::common::Result<LogicalPlan> {
    let check = |plan: &LogicalPlan| if correlated { check_subqueries(plan) } else { Ok(()) };
    let context = OptimizerContext::new_with_config_options(Arc::new(settings.options(partitions)));
    let (late, early): (Vec<Rule>, Vec<Rule>) =
        Optimizer::new().rules.into_iter().map(careful).partition(|rule| LATE.contains(&rule.name()));
    let plan = tell_apart(logical)?;
    check(&plan)?;
    let plan = rules::apply(&early, EARLY_PASSES, plan, &context, cancel)?;
    check(&plan)?;
    let plan = order_joins(plan, settings, partitions)?;
    let plan = rules::apply(&[null_safe_keys()], 1, plan, &context, cancel)?;
    // Last of what decides on keys: the rule before takes every equality for one.
    let plan = join_on_group_keys(plan)?;
    let plan = rules::apply(&late, 1, plan, &context, cancel)?;
    check(&plan)?;
    Ok(plan)
}
