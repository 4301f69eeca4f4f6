//! How deep a plan may be.
//!
//! Rules, operators and what shows a plan call themselves for what a node reads, and a stack that ends takes the whole
//! process with it. So a plan that is deeper than [`MOST`] is refused, and what walks a deep one gets a larger stack
//! than threads have.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use types::{ErrorKind, SqlError};

/// Nodes of a logical plan, one above the other. A join of 61 tables has 200, a chain of 100 INTERSECTs 500.
const MOST: usize = 1_000;
/// From this depth on the stack is a larger one: some kilobytes a node.
const DEEP: usize = 60;
const STACK: usize = 64 << 20;

/// The depth of an analyzed plan. Error: 1436, if it is too deep.
pub(crate) fn depth(plan: &LogicalPlan) -> Result<usize, SqlError> {
    let depth = up_to(plan, MOST + 1);
    if depth <= MOST {
        return Ok(depth);
    }
    Err(SqlError::new(
        ErrorKind::StackOverrun,
        format!(
            "The statement's plan is deeper than {MOST} levels; make it flatter, or use a temporary table"
        ),
    ))
}

/// The depth, or `most` if it is greater: no deeper does it look.
fn up_to(plan: &LogicalPlan, most: usize) -> usize {
    if most <= 1 {
        return most;
    }
    let mut deepest = 0;
    for input in plan.inputs() {
        deepest = deepest.max(up_to(input, most - 1));
    }
    // Invariant: the closure never fails.
    let _ = plan.apply_subqueries(|subquery| {
        deepest = deepest.max(up_to(subquery, most - 1));
        Ok(TreeNodeRecursion::Continue)
    });
    deepest + 1
}

/// Does `work` with the stack that a plan of this depth needs.
pub(crate) fn deeply<T>(depth: usize, work: impl FnOnce() -> T) -> T {
    if depth < DEEP { work() } else { stacker::grow(STACK, work) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Planner;
    use datafusion::logical_expr::LogicalPlanBuilder;

    fn limits(levels: usize) -> LogicalPlan {
        let mut plan = LogicalPlanBuilder::empty(true);
        for level in 1..levels {
            plan = plan.limit(0, Some(levels - level + 1)).unwrap();
        }
        plan.build().unwrap()
    }

    #[test]
    fn a_plan_of_the_greatest_depth_is_planned_and_a_deeper_one_refused() {
        assert_eq!(depth(&limits(1)).unwrap(), 1);
        assert_eq!(depth(&limits(MOST)).unwrap(), MOST);
        Planner::default().plan(limits(MOST)).unwrap();
        for levels in [MOST + 1, 3 * MOST] {
            let error = Planner::default().plan(limits(levels)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::StackOverrun);
        }
    }
}
