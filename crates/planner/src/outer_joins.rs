//! Constants below outer joins.
//!
//! DataFusion takes a column that is constant on one side of a join for constant in the join's rows, also
//! where an outer join fills that side with NULLs. It would then leave out sorts by the column, and an
//! aggregation would read each run of equal values as a group of its own. So such a column becomes a CASE
//! of a column that is not constant: the same value, of which nothing is claimed.

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{JoinType, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, case, is_null};
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use std::collections::HashSet;
use std::sync::Arc;

/// Rewrites the sides that outer joins fill with NULLs, and what was derived from them above.
pub(crate) fn hide_constants(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let join_type = if let Some(join) = node.downcast_ref::<HashJoinExec>() {
            *join.join_type()
        } else if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
            *join.join_type()
        } else {
            return Ok(Transformed::no(node));
        };
        let filled = match join_type {
            JoinType::Left => [false, true],
            JoinType::Right => [true, false],
            JoinType::Full => [true, true],
            _ => return Ok(Transformed::no(node)),
        };
        let mut changed = false;
        let mut children = Vec::with_capacity(2);
        for (child, filled) in node.children().into_iter().zip(filled) {
            let hidden = if filled { without_constants(child)? } else { None };
            changed |= hidden.is_some();
            children.push(hidden.unwrap_or_else(|| child.clone()));
        }
        Ok(if changed {
            Transformed::yes(replace_children_if_necessary(node, children)?)
        } else {
            Transformed::no(node)
        })
    })
    .data()
}

/// The same rows; None if no column is constant, or none is not.
fn without_constants(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let constants: HashSet<usize> = plan
        .equivalence_properties()
        .constants()
        .iter()
        .filter_map(|constant| constant.expr.downcast_ref::<Column>().map(Column::index))
        .collect();
    let schema = plan.schema();
    let column = |at: usize| Arc::new(Column::new(schema.field(at).name(), at)) as Arc<dyn PhysicalExpr>;
    let Some(free) = (0..schema.fields().len()).find(|at| !constants.contains(at)) else { return Ok(None) };
    if constants.is_empty() {
        return Ok(None);
    }
    let expressions = (0..schema.fields().len())
        .map(|at| {
            let value = match constants.contains(&at) {
                true => case(None, vec![(is_null(column(free))?, column(at))], Some(column(at)))?,
                false => column(at),
            };
            Ok((value, schema.field(at).name().clone()))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Some(Arc::new(ProjectionExec::try_new(expressions, plan.clone())?)))
}
