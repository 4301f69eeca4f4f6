//! JSON_TABLE in a physical plan.

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use exec::{JsonTableExec, JsonTableNode};
use std::sync::Arc;

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
