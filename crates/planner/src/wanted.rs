//! Planning ends with its statement: KILL, a time-out, a client that has gone.
//!
//! A rule looks at every node of a plan, one after the other, and most of planning's time goes by so. So each rule
//! asks before it looks at a node whether the statement is cancelled. A rule that walks the plan by itself asks once.
//! Between rules, physical ones too, and where a table is asked for its scan, that is looked at as well.

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use exec::Cancel;
use std::sync::Arc;

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// The rules, which fail with the reason once the statement is cancelled.
pub(crate) fn while_wanted(rules: Vec<Rule>, cancel: &Cancel) -> Vec<Rule> {
    rules.into_iter().map(|rule| Arc::new(WhileWanted { rule, cancel: cancel.clone() }) as Rule).collect()
}

#[derive(Debug)]
struct WhileWanted {
    rule: Rule,
    cancel: Cancel,
}

impl OptimizerRule for WhileWanted {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        self.cancel.check()?;
        self.rule.rewrite(plan, config)
    }
}
