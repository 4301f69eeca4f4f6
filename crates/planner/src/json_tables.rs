//! JSON_TABLE: which conditions go below it, and its operator.

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Extension, Filter, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use exec::{JsonTableExec, JsonTableNode};
use std::sync::Arc;

fn json_table(plan: &LogicalPlan) -> Option<&JsonTableNode> {
    let LogicalPlan::Extension(Extension { node }) = plan else { return None };
    node.as_any().downcast_ref()
}

pub(crate) fn is_json_table(plan: &LogicalPlan) -> bool {
    json_table(plan).is_some()
}

/// A filter of a JSON_TABLE's rows, whose conditions on the rows that it stands beside alone come before their
/// documents are read.
pub(crate) fn push_below(filter: Filter) -> Result<Transformed<LogicalPlan>> {
    let Some(node) = json_table(&filter.input) else {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    };
    let (below, above): (Vec<Expr>, Vec<Expr>) = split_conjunction_owned(filter.predicate.clone())
        .into_iter()
        .partition(|part| is_of_input(part, node));
    let Some(below) = conjunction(below) else {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    };
    let input = Filter::try_new(below, Arc::new(node.input().clone()))?;
    let made = node.over(LogicalPlan::Filter(input))?.into_plan();
    Ok(Transformed::yes(match conjunction(above) {
        Some(above) => LogicalPlan::Filter(Filter::try_new(above, Arc::new(made))?),
        None => made,
    }))
}

/// Whether the condition is the same for all rows that a document makes.
fn is_of_input(condition: &Expr, node: &JsonTableNode) -> bool {
    let is_query = |expr: &Expr| {
        matches!(
            expr,
            Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)
        )
    };
    // Invariant: the closure never fails.
    let looks_elsewhere = condition.exists(|expr| Ok(is_query(expr))).unwrap_or(true);
    !looks_elsewhere
        && !condition.contains_outer()
        && !condition.is_volatile()
        && condition.column_refs().into_iter().all(|column| node.is_of_input(column))
}

/// Plans [`JsonTableNode`]s.
pub(crate) struct JsonTables;

#[async_trait]
impl ExtensionPlanner for JsonTables {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<JsonTableNode>() else { return Ok(None) };
        let [input] = inputs else { return internal_err!("JSON_TABLE reads one input") };
        let (table, document) = (node.table().clone(), node.document()?);
        Ok(Some(Arc::new(JsonTableExec::try_new(input.clone(), table, document, node.is_outer())?)))
    }
}
