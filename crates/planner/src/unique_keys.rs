//! Keys of groups that a projection puts in other places.
//!
//! DataFusion notes that the rows of an aggregation are unique by its keys, so that a sort by a key and more
//! is one by the key. A projection keeps the note as it is, about the columns that stand in the same places
//! now. Where an order could be left out for it, such a projection reads a node of which no key is known.

use datafusion::common::{Constraint, Result};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::SortMergeJoinExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use exec::CollocatedUnionExec;
use std::sync::Arc;

/// The same rows without false keys where they matter: below two nodes that want an order.
pub(crate) fn forget_moved_keys(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    below(plan, 0)
}

fn below(plan: Arc<dyn ExecutionPlan>, orders: usize) -> Result<Arc<dyn ExecutionPlan>> {
    let orders = orders + usize::from(wants_order(&plan));
    let mut children =
        plan.children().into_iter().map(|child| below(child.clone(), orders)).collect::<Result<Vec<_>>>()?;
    if orders > 1
        && let Some(projection) = plan.downcast_ref::<ProjectionExec>()
        && let [input] = children.as_mut_slice()
        && moves_keys(projection, input)
    {
        *input = Arc::new(CollocatedUnionExec::try_new(vec![input.clone()], input.schema())?);
    }
    replace_children_if_necessary(plan, children)
}

fn wants_order(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<SortExec>()
        || plan.is::<WindowAggExec>()
        || plan.is::<BoundedWindowAggExec>()
        || plan.is::<SortMergeJoinExec>()
}

fn moves_keys(projection: &ProjectionExec, input: &Arc<dyn ExecutionPlan>) -> bool {
    let stays = |key: &usize| {
        projection.expr().get(*key).is_some_and(|projected| {
            projected.expr.downcast_ref::<Column>().is_some_and(|column| column.index() == *key)
        })
    };
    input.equivalence_properties().constraints().iter().any(|constraint| {
        let (Constraint::PrimaryKey(keys) | Constraint::Unique(keys)) = constraint;
        !keys.iter().all(stays)
    })
}
