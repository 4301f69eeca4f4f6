//! DataFusion's logical rules, kept from what they get wrong:
//!
//! * `push_down_filter` takes a condition without columns below an aggregation without groups, which
//!   yields a row even of no rows, and conditions on the keys of grouping sets, which are NULL above
//!   and not below.
//! * `single_distinct_aggregation_to_group_by` sums the sums of groups, whose type is a wider one.
//! * `extract_equijoin_predicate` makes a join one of equal NULLs for the sake of `<=>`. Rules after it
//!   (`eliminate_cross_join`, itself in the next pass) add pairs to such a join that were compared by `=`.
//!   So that is done once the joins are in order: [`null_safe_keys`].
//! * `decorrelate_predicate_subquery` makes `5 NOT IN (SELECT ..)` a join whose only condition looks at one
//!   side. It is pushed down there, and a NULL among the subquery's rows no longer counts.
//! * Both rules that make joins of subqueries add columns below a name (`SubqueryAlias`) that does not learn
//!   of them.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, NullEquality, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Subquery};
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
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
        "decorrelate_predicate_subquery" => {
            Arc::new(FreshSchemas(Arc::new(CarefulSubqueries(DecorrelatePredicateSubquery::new()))))
        }
        "scalar_subquery_to_join" => Arc::new(FreshSchemas(rule)),
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

/// What a rule makes, with every node's schema made anew.
#[derive(Debug)]
struct FreshSchemas(Rule);

impl OptimizerRule for FreshSchemas {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let after = self.0.rewrite(plan, config)?;
        if !after.transformed {
            return Ok(after);
        }
        after.transform_data(|plan| {
            let fresh = plan.transform_up(|node| match node {
                LogicalPlan::SubqueryAlias(_)
                | LogicalPlan::Projection(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::Aggregate(_)
                | LogicalPlan::Window(_)
                | LogicalPlan::Join(_) => Ok(Transformed::yes(node.recompute_schema()?)),
                node => Ok(Transformed::no(node)),
            })?;
            Ok(Transformed::yes(fresh.data))
        })
    }
}

#[derive(Debug)]
struct CarefulSubqueries(DecorrelatePredicateSubquery);

impl OptimizerRule for CarefulSubqueries {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let plan = without_in_of_constants(plan)?;
        // It rewrites the plans of subqueries by itself.
        let plan = plan
            .map_subqueries(|subquery| {
                subquery.transform_down_with_subqueries(|node| {
                    Ok(Transformed::yes(without_in_of_constants(node)?))
                })
            })
            .data()?;
        self.0.rewrite(plan, config)
    }
}

/// `5 NOT IN (SELECT c ..)` as `NOT EXISTS (SELECT .. WHERE (5 = c) IS NOT FALSE)`.
fn without_in_of_constants(plan: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Filter(filter) = plan else { return Ok(plan) };
    let mut changed = false;
    let mut conditions = Vec::new();
    for condition in split_conjunction_owned(filter.predicate.clone()) {
        let found = match &condition {
            Expr::InSubquery(found) if found.negated => Some(found),
            Expr::Not(inner) => match inner.as_ref() {
                Expr::InSubquery(found) if !found.negated => Some(found),
                _ => None,
            },
            _ => None,
        };
        match found.filter(|found| is_constant(&found.expr)) {
            Some(found) => {
                changed = true;
                conditions.push(none_may_equal(found)?);
            }
            None => conditions.push(condition),
        }
    }
    match conjunction(conditions).filter(|_| changed) {
        Some(condition) => Ok(LogicalPlan::Filter(Filter::try_new(condition, filter.input)?)),
        None => Ok(LogicalPlan::Filter(filter)),
    }
}

fn is_constant(expr: &Expr) -> bool {
    let looks = |expr: &Expr| Ok(matches!(expr, Expr::Column(_) | Expr::OuterReferenceColumn(..)));
    !expr.exists(looks).unwrap_or(true)
}

fn none_may_equal(found: &InSubquery) -> Result<Expr> {
    let plan = found.subquery.subquery.clone();
    let column = Expr::Column(Column::from(plan.schema().qualified_field(0)));
    let maybe = (*found.expr).clone().eq(column).is_not_false();
    let rows = LogicalPlan::Filter(Filter::try_new(maybe, plan)?);
    let subquery = Subquery { subquery: Arc::new(rows), ..found.subquery.clone() };
    Ok(Expr::Exists(Exists::new(subquery, true)))
}
