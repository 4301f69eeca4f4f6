//! The limit of a recursive query's rounds, `cte_max_recursion_depth`: without one, a term that always finds
//! rows would run until somebody kills it.

use crate::error::from_sql_error;
use crate::one_child::one_child;
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use types::{ErrorKind, SqlError};

/// Yields the rows of the recursive term below it, which is executed once in each round; fails in the round
/// after the last that is allowed. A plan with it runs once: `reset_state`, which comes before each round, keeps
/// the count.
#[derive(Debug)]
pub struct RecursionLimitExec {
    term: Arc<dyn ExecutionPlan>,
    most: u64,
    rounds: Arc<AtomicU64>,
}

impl RecursionLimitExec {
    /// `most`: rounds that are allowed.
    pub fn new(term: Arc<dyn ExecutionPlan>, most: u64) -> RecursionLimitExec {
        RecursionLimitExec { term, most, rounds: Arc::default() }
    }
}

impl DisplayAs for RecursionLimitExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecursionLimitExec: rounds={}", self.most)
    }
}

impl ExecutionPlan for RecursionLimitExec {
    one_child!(RecursionLimitExec, |exec| &exec.term, keeps_order: true, |exec, term| {
        Ok(Arc::new(RecursionLimitExec { term, most: exec.most, rounds: exec.rounds.clone() }))
    });

    fn properties(&self) -> &Arc<PlanProperties> {
        self.term.properties()
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let round = self.rounds.fetch_add(1, Ordering::Relaxed) + 1;
        if round > self.most {
            return Err(from_sql_error(SqlError::new(
                ErrorKind::RecursionTooDeep,
                format!(
                    "Recursive query aborted after {round} iterations. Try increasing @@cte_max_recursion_depth \
                     to a larger value."
                ),
            )));
        }
        self.term.execute(partition, context)
    }
}
