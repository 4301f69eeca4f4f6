//! DataFusion's logical rules, kept from what they get wrong:
//!
//! * `push_down_filter` takes a condition without columns below an aggregation without groups, which
//!   yields a row even of no rows, and conditions on the keys of grouping sets, which are NULL above
//!   and not below.
//! * `single_distinct_aggregation_to_group_by` sums the sums of groups, whose type is a wider one.
//! * `extract_equijoin_predicate` makes a join one of equal NULLs for the sake of `<=>`. Rules after it
//!   (`eliminate_cross_join`, itself in the next pass) add pairs to such a join that were compared by `=`.
//!   So that is done once the joins are in order: [`null_safe_keys`].

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{NullEquality, Result};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::single_distinct_to_groupby::SingleDistinctToGroupBy;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use std::sync::Arc;

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// The rule, or a careful one in its place.
pub(crate) fn careful(rule: Rule) -> Rule {
    match rule.name() {
        "push_down_filter" => Arc::new(CarefulPushDown(PushDownFilter::new())),
        "single_distinct_aggregation_to_group_by" => {
            Arc::new(CarefulDistinct(SingleDistinctToGroupBy::new()))
        }
        "extract_equijoin_predicate" => Arc::new(CarefulKeys(ExtractEquijoinPredicate::new())),
        _ => rule,
    }
}

/// Finds the keys of joins by `<=>` alone.
pub(crate) fn null_safe_keys() -> Rule {
    Arc::new(ExtractEquijoinPredicate::new())
}

#[derive(Debug)]
struct CarefulPushDown(PushDownFilter);

impl OptimizerRule for CarefulPushDown {
    fn name(&self) -> &str {
        "push_down_filter"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if let LogicalPlan::Filter(filter) = &plan
            && let LogicalPlan::Aggregate(aggregate) = filter.input.as_ref()
            && aggregate.group_expr.iter().all(|key| matches!(key, Expr::GroupingSet(_)))
        {
            return Ok(Transformed::no(plan));
        }
        self.0.rewrite(plan, config)
    }
}

#[derive(Debug)]
struct CarefulDistinct(SingleDistinctToGroupBy);

impl OptimizerRule for CarefulDistinct {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let before = plan.clone();
        let after = self.0.rewrite(plan, config)?;
        let types = |plan: &LogicalPlan| -> Vec<DataType> {
            plan.schema().fields().iter().map(|field| field.data_type().clone()).collect()
        };
        Ok(if types(&after.data) == types(&before) { after } else { Transformed::no(before) })
    }
}

#[derive(Debug)]
struct CarefulKeys(ExtractEquijoinPredicate);

impl OptimizerRule for CarefulKeys {
    fn name(&self) -> &str {
        "extract_equijoin_predicate"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let null_safe = |plan: &LogicalPlan| matches!(plan, LogicalPlan::Join(join) if join.null_equality == NullEquality::NullEqualsNull);
        if null_safe(&plan) {
            return Ok(Transformed::no(plan));
        }
        let before = plan.clone();
        let after = self.0.rewrite(plan, config)?;
        Ok(if null_safe(&after.data) { Transformed::no(before) } else { after })
    }
}
