//! Plans from SQL, by DataFusion's own binder: their text, and what they yield.

mod equivalence;
mod golden;
mod json_tables;
mod killed;
mod nested;
mod open;
mod repeat;
mod spread;
mod tpch;

use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;

/// The analyzed plan of a query.
fn analyzed(context: &SessionContext, sql: &str) -> LogicalPlan {
    let state = context.state();
    let planning = tokio::task::unconstrained(state.create_logical_plan(sql));
    let plan = futures::executor::block_on(planning).expect(sql);
    state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {}).expect(sql)
}
