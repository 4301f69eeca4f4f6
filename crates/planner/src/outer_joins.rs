//! Constants below outer joins and grouping sets.
//!
//! DataFusion takes a column that is constant on one side of a join for constant in the join's rows, also
//! where an outer join fills that side with NULLs. It would then leave out sorts by the column, and an
//! aggregation would read each run of equal values as a group of its own. So such a column becomes a CASE
//! of a column that is not constant: the same value, of which nothing is claimed. The same is done with
//! constant keys of an aggregation by several sets of keys (WITH ROLLUP), which are NULL in some of them.

use datafusion::arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{JoinType, Result};
use datafusion::config::ConfigOptions;
use datafusion::functions::math::pi;
use datafusion::physical_expr::expressions::{Column, Literal, case, is_null};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::aggregates::{AggregateExec, PhysicalGroupBy};
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use std::collections::HashSet;
use std::sync::Arc;

/// Rewrites the sides that outer joins fill with NULLs, and what was derived from them above.
pub(crate) fn hide_constants(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
            return Ok(match with_hidden_keys(aggregate)? {
                Some(changed) => Transformed::yes(changed),
                None => Transformed::no(node),
            });
        }
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

/// A value that is not NULL, which DataFusion does not take for constant.
fn not_constant() -> Result<Arc<dyn PhysicalExpr>> {
    let (none, options) = (Schema::empty(), Arc::new(ConfigOptions::default()));
    Ok(Arc::new(ScalarFunctionExpr::try_new(pi(), Vec::new(), &none, options)?))
}

/// The same value as `value`, of which nothing is claimed. `free` is not constant.
fn hidden(value: Arc<dyn PhysicalExpr>, free: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    case(None, vec![(is_null(free)?, value.clone())], Some(value))
}

/// An aggregation by several sets of keys, with constants among them hidden; None if there are none.
fn with_hidden_keys(aggregate: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let keys = aggregate.group_expr();
    let known = aggregate.input().equivalence_properties();
    let constant = |key: &Arc<dyn PhysicalExpr>| key.is::<Literal>() || known.is_expr_constant(key).is_some();
    if keys.groups().len() < 2 || !keys.expr().iter().any(|(key, _)| constant(key)) {
        return Ok(None);
    }
    let exprs = keys
        .expr()
        .iter()
        .map(|(key, name)| {
            let key = if constant(key) { hidden(key.clone(), not_constant()?)? } else { key.clone() };
            Ok((key, name.clone()))
        })
        .collect::<Result<Vec<_>>>()?;
    let keys = PhysicalGroupBy::new(
        exprs,
        keys.null_expr().to_vec(),
        keys.groups().to_vec(),
        keys.has_grouping_set(),
    );
    Ok(Some(Arc::new(AggregateExec::try_new(
        *aggregate.mode(),
        keys,
        aggregate.aggr_expr().to_vec(),
        aggregate.filter_expr().to_vec(),
        aggregate.input().clone(),
        aggregate.input_schema(),
    )?)))
}

/// The same rows; None if no column is constant.
fn without_constants(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let constants: HashSet<usize> = plan
        .equivalence_properties()
        .constants()
        .iter()
        .filter_map(|constant| constant.expr.downcast_ref::<Column>().map(Column::index))
        .collect();
    let schema = plan.schema();
    let column = |at: usize| Arc::new(Column::new(schema.field(at).name(), at)) as Arc<dyn PhysicalExpr>;
    if constants.is_empty() {
        return Ok(None);
    }
    let free = match (0..schema.fields().len()).find(|at| !constants.contains(at)) {
        Some(free) => column(free),
        None => not_constant()?,
    };
    let expressions = (0..schema.fields().len())
        .map(|at| {
            let value = match constants.contains(&at) {
                true => hidden(column(at), free.clone())?,
                false => column(at),
            };
            Ok((value, schema.field(at).name().clone()))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Some(Arc::new(ProjectionExec::try_new(expressions, plan.clone())?)))
}
