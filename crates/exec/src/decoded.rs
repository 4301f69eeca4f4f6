//! Stages that came to this node before, decoded.
//!
//! To make a plan of bytes costs a leaf about as much as to answer a small query: each operator finds out anew what
//! its rows are ordered by and equal to. Queries come again, and their stages with them, byte for byte: the timestamp
//! that they read at and the tables' rows come beside the plan. So one that came twice is kept, and runs from a fresh
//! copy ([`crate::repeat`]), which finds nothing out. What is kept counts against the memory of the process.

use crate::codec::{self, Decoded};
use crate::exchange::ExchangeKind;
use crate::repeat;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use env::{MemoryBudget, Recent, Seen};
use parking_lot::Mutex;
use std::sync::Arc;

/// The share of the process's memory that is used at most, and the most whatever there is.
const SHARE: usize = 128;
const MOST_BYTES: usize = 32 << 20;
/// Stages that are remembered to have come once.
const MOST_SEEN: usize = 8_192;

/// What a stage is made of: its bytes, and the options that its functions took with them.
type Key = (Vec<(String, String)>, Vec<u8>);

/// See the module.
pub(crate) struct DecodedStages {
    kept: Mutex<Recent<Key, Decoded>>,
    seen: Mutex<Seen>,
}

impl DecodedStages {
    pub(crate) fn new(memory: &Arc<MemoryBudget>) -> DecodedStages {
        let most = (memory.limit() / SHARE).min(MOST_BYTES);
        DecodedStages {
            kept: Mutex::new(Recent::new(most, memory.reservation())),
            seen: Mutex::new(Seen::new(MOST_SEEN)),
        }
    }

    /// Of all that is kept.
    pub(crate) fn bytes(&self) -> usize {
        self.kept.lock().bytes()
    }

    /// The stage, ready to run. `context` has `options`, those that are not as by default.
    pub(crate) fn stage(
        &self,
        bytes: &[u8],
        options: &[(String, String)],
        context: &TaskContext,
    ) -> Result<(Arc<dyn ExecutionPlan>, ExchangeKind)> {
        let key = (options.to_vec(), bytes.to_vec());
        let kept = self.kept.lock().get(&key);
        let stage = match kept {
            Some(kept) => kept.copy()?,
            None => {
                let decoded = codec::decode(bytes, context)?;
                if self.seen.lock().comes_again(&key) && repeat::can_repeat(&decoded.plan) {
                    let size = repeat::kept_bytes(&decoded.plan) + bytes.len();
                    let (copy, decoded) = (decoded.copy()?, Arc::new(decoded));
                    self.kept.lock().put(key, decoded, size);
                    copy
                } else {
                    decoded
                }
            }
        };
        stage.into_ready(context.session_config().options())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::{binary, col, lit};
    use datafusion::physical_expr::{PhysicalSortExpr, ScalarFunctionExpr};
    use datafusion::physical_plan::displayable;
    use datafusion::physical_plan::empty::EmptyExec;
    use datafusion::physical_plan::filter::FilterExec;
    use datafusion::physical_plan::sorts::sort::SortExec;
    use std::collections::HashSet;

    fn empty() -> Arc<dyn ExecutionPlan> {
        Arc::new(EmptyExec::new(Arc::new(Schema::new(vec![Field::new("a", DataType::Float64, true)]))))
    }

    /// Runs the stage so often; what is kept then, in bytes.
    fn come(plan: &Arc<dyn ExecutionPlan>, times: usize) -> (Vec<Arc<dyn ExecutionPlan>>, usize) {
        let (memory, context) = (MemoryBudget::new(64 << 20), TaskContext::default());
        let stages = DecodedStages::new(&memory);
        let bytes = codec::encode(plan, &ExchangeKind::Gather, false).unwrap();
        let ready = (0..times).map(|_| stages.stage(&bytes, &[], &context).unwrap().0).collect();
        assert_eq!(memory.used(), stages.bytes());
        (ready, stages.bytes())
    }

    #[test]
    fn a_stage_that_comes_again_is_kept_and_shares_nothing_with_its_runs() {
        let by = PhysicalSortExpr::new_default(col("a", &empty().schema()).unwrap());
        let sort: Arc<dyn ExecutionPlan> = Arc::new(SortExec::new([by].into(), empty()).with_fetch(Some(3)));
        assert_eq!(come(&sort, 1).1, 0, "most come once");
        let (ready, kept) = come(&sort, 4);
        assert!(kept > 0);
        let (mut texts, mut filters) = (HashSet::new(), HashSet::new());
        for plan in &ready {
            texts.insert(displayable(plan.as_ref()).indent(true).to_string());
            plan.apply(|node| {
                let made = node.dynamic_expressions_produced();
                filters.extend(made.iter().filter_map(|filter| filter.expression_id()));
                Ok(TreeNodeRecursion::Continue)
            })
            .unwrap();
        }
        assert_eq!((texts.len(), filters.len()), (1, 4), "{texts:?}");
    }

    #[test]
    fn a_stage_with_a_sequence_in_it_is_not_kept() {
        let schema = empty().schema();
        let rand = sql::functions::scalar_function("rand_sequence").unwrap();
        let args = vec![lit(1i64), col("a", &schema).unwrap()];
        let next = ScalarFunctionExpr::try_new(rand, args, &schema, Arc::default()).unwrap();
        let condition = binary(Arc::new(next), Operator::Gt, lit(0.5f64), &schema).unwrap();
        let filter: Arc<dyn ExecutionPlan> = Arc::new(FilterExec::try_new(condition, empty()).unwrap());
        assert_eq!(come(&filter, 4).1, 0);
    }
}
