//! The last word on order: what an operator needs sorted is.
//!
//! A sort is left out, or moved below a join, where a column is constant or the order is known. DataFusion may
//! lose that knowledge above a join (of two constants that it is told are equal, it forgets a third), and an
//! operator that finds its input unordered fails when it runs. Where that would be, a sort is put in.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use std::sync::Arc;

/// The plan with a sort wherever an operator's input is not known to be in the order that it needs.
pub(crate) fn sorted_as_required(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let required = node.required_input_ordering();
        if required.iter().all(Option::is_none) {
            return Ok(Transformed::no(node));
        }
        let mut changed = false;
        let mut children = Vec::new();
        for (child, required) in node.children().into_iter().zip(required) {
            let Some((orders, false)) = required.map(|required| required.into_alternatives()) else {
                children.push(child.clone());
                continue;
            };
            let known = child.equivalence_properties();
            let mut is_met = false;
            for order in &orders {
                is_met |= known.ordering_satisfy_requirement(order.iter().cloned())?;
            }
            let Some(order) = orders.into_iter().next().filter(|_| !is_met) else {
                children.push(child.clone());
                continue;
            };
            let many = child.output_partitioning().partition_count() > 1;
            let sort = SortExec::new(LexOrdering::from(order), child.clone());
            children.push(Arc::new(sort.with_preserve_partitioning(many)));
            changed = true;
        }
        Ok(match changed {
            true => Transformed::yes(replace_children_if_necessary(node, children)?),
            false => Transformed::no(node),
        })
    })
    .data()
}
