//! Conditions of a scan on values that a plan leaves open.
//!
//! Such a value is a placeholder of the logical plan, `$1`, `$2` and so on: rules do not look into it, so what they make
//! of the plan is the same for every value. A table, asked what it can do with a condition, takes the value at hand for
//! it, since its own predicates are of values. The scan keeps the conditions beside the predicates, to make others of
//! them for other values.

use super::node::{ForValues, ScanExec};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

/// The values at hand while a plan is made, once they are known.
#[derive(Debug, Clone, Default)]
pub struct OpenValues(Arc<OnceLock<Vec<ScalarValue>>>);

impl OpenValues {
    /// Says what they are; once.
    pub fn set(&self, values: Vec<ScalarValue>) {
        // Who binds a statement again binds it with the same values.
        let _ = self.0.set(values);
    }

    pub(crate) fn get(&self) -> &[ScalarValue] {
        self.0.get().map_or(&[], Vec::as_slice)
    }
}

pub(crate) fn is_open(condition: &Expr) -> bool {
    // Invariant: the closure never fails.
    condition.exists(|expr| Ok(matches!(expr, Expr::Placeholder(_)))).unwrap_or(true)
}

/// The condition with values in the places of its placeholders.
pub(crate) fn closed<'a>(condition: &'a Expr, values: &[ScalarValue]) -> Result<Cow<'a, Expr>> {
    if !is_open(condition) {
        return Ok(Cow::Borrowed(condition));
    }
    let closed = condition.clone().transform(|expr| {
        let Expr::Placeholder(open) = &expr else { return Ok(Transformed::no(expr)) };
        let place = open.id.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
        match place.and_then(|number| values.get(number.checked_sub(1)?)) {
            Some(value) => Ok(Transformed::yes(Expr::Literal(value.clone(), None))),
            None => internal_err!("nothing is known of the value {}", open.id),
        }
    })?;
    Ok(Cow::Owned(closed.data))
}

/// The plan with its scans for these values; `None`: it is not good for them.
pub fn for_values(
    plan: Arc<dyn ExecutionPlan>,
    values: &[ScalarValue],
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let mut fits = true;
    let plan = plan.transform_up(|node| {
        let Some(scan) = node.downcast_ref::<ScanExec>().filter(|_| fits) else {
            return Ok(Transformed::no(node));
        };
        Ok(match scan.for_values(values)? {
            ForValues::Same => Transformed::no(node),
            ForValues::Other(scan) => Transformed::yes(scan),
            ForValues::Unfit => {
                fits = false;
                Transformed::new(node, false, TreeNodeRecursion::Stop)
            }
        })
    });
    plan.data().map(|plan| fits.then_some(plan))
}
