//! DataFusion's logical rules, kept from what they get wrong:
//!
//! * `push_down_filter` takes a condition without columns below an aggregation without groups, which
//!   yields a row even of no rows, and conditions on the keys of grouping sets, which are NULL above
//!   and not below. It takes RAND() below JSON_TABLE, where it decides for all rows of a document at once, and
//!   leaves a condition above it for a column of the same name.
//! * `single_distinct_aggregation_to_group_by` sums the sums of groups, whose type is a wider one.
//! * `extract_equijoin_predicate` makes a join one of equal NULLs for the sake of `<=>`. Rules after it
//!   (`eliminate_cross_join`, itself in the next pass) add pairs to such a join that were compared by `=`.
//!   So that is done once the joins are in order: [`null_safe_keys`].
//! * `decorrelate_predicate_subquery` makes `5 NOT IN (SELECT ..)` a join whose only condition looks at one
//!   side. It is pushed down there, and a NULL among the subquery's rows no longer counts. And it looks at the
//!   columns of a value alone to see whether it may be NULL, which `CASE WHEN c = 1 THEN 2 END` may be.
//! * Of a grouping of rows in which one key determines others (`a` determines `b`) DataFusion says that `a`
//!   determines all that the groups have, their other keys too. By that `eliminate_duplicated_expr` would
//!   leave keys out of an order, and `optimize_projections` out of another grouping.
//! * Both rules that make joins of subqueries add columns below a name (`SubqueryAlias`) that does not learn
//!   of them.

use crate::json_tables::{is_json_table, push_below};
use crate::rules::Rule;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::alias::AliasGenerator;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{
    Column, DFSchema, ExprSchema, FunctionalDependencies, NullEquality, Result, internal_err,
};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Subquery};
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::single_distinct_to_groupby::SingleDistinctToGroupBy;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use std::collections::HashSet;
use std::sync::Arc;

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
        "eliminate_duplicated_expr" => Arc::new(CarefulOrder(rule)),
        "optimize_projections" => Arc::new(CarefulGroups(rule)),
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
        // The rule makes one filter of several by itself, and goes on with what lies below them.
        let Transformed { data: plan, transformed: merged, .. } = with_one_filter(plan)?;
        if let LogicalPlan::Filter(filter) = &plan
            && let LogicalPlan::Aggregate(aggregate) = filter.input.as_ref()
            && aggregate.group_expr.iter().all(|key| matches!(key, Expr::GroupingSet(_)))
        {
            return Ok(Transformed::new_transformed(plan, merged));
        }
        let mut after = match plan {
            LogicalPlan::Filter(filter) if is_json_table(&filter.input) => push_below(filter)?,
            plan => self.0.rewrite(plan, config)?,
        };
        after.transformed |= merged;
        Ok(after)
    }
}

/// A filter and those right below it as one, whose conditions come first.
fn with_one_filter(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Filter(mut filter) = plan else { return Ok(Transformed::no(plan)) };
    let mut merged = false;
    while let LogicalPlan::Filter(below) = filter.input.as_ref() {
        let mut conditions = split_conjunction_owned(below.predicate.clone());
        for condition in split_conjunction_owned(filter.predicate.clone()) {
            if condition.is_volatile() || !conditions.contains(&condition) {
                conditions.push(condition);
            }
        }
        let Some(condition) = conjunction(conditions) else { break };
        filter = Filter::try_new(condition, below.input.clone())?;
        merged = true;
    }
    Ok(Transformed::new_transformed(LogicalPlan::Filter(filter), merged))
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

/// Leaves the keys of an order as they are, but for those that stand in it before.
#[derive(Debug)]
struct CarefulOrder(Rule);

impl OptimizerRule for CarefulOrder {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Sort(mut sort) = plan else { return self.0.rewrite(plan, config) };
        let before = sort.expr.len();
        let mut seen = HashSet::new();
        sort.expr.retain(|key| seen.insert(key.expr.clone()));
        let changed = sort.expr.len() != before;
        Ok(Transformed::new_transformed(LogicalPlan::Sort(sort), changed))
    }
}

/// Takes of what a grouping says of its keys only that all of them together determine a group.
#[derive(Debug)]
struct CarefulGroups(Rule);

impl OptimizerRule for CarefulGroups {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let mut groupings = 0;
        plan.apply_with_subqueries(|node| {
            groupings += usize::from(matches!(node, LogicalPlan::Aggregate(_)));
            Ok(TreeNodeRecursion::Continue)
        })?;
        // What one says is of use to another alone.
        if groupings < 2 {
            return self.0.rewrite(plan, config);
        }
        let plan = plan.transform_up_with_subqueries(with_whole_keys).data()?;
        self.0.rewrite(plan, config)
    }
}

fn with_whole_keys(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match node {
        LogicalPlan::Aggregate(_) => {
            let LogicalPlan::Aggregate(mut grouping) = node.recompute_schema()? else {
                return internal_err!("a grouping with a new schema is one");
            };
            let keys: Vec<usize> = (0..grouping.group_expr_len()?).collect();
            let whole = grouping.schema.functional_dependencies().iter().filter(|known| {
                known.source_indices.len() == keys.len()
                    && keys.iter().all(|key| known.source_indices.contains(key))
            });
            let whole = FunctionalDependencies::new(whole.cloned().collect());
            let schema = grouping.schema.as_ref().clone().with_functional_dependencies(whole)?;
            grouping.schema = Arc::new(schema);
            Ok(Transformed::yes(LogicalPlan::Aggregate(grouping)))
        }
        LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Join(_) => Ok(Transformed::yes(node.recompute_schema()?)),
        node => Ok(Transformed::no(node)),
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
        let aliases = config.alias_generator();
        let plan = with_careful_in(plan, aliases)?;
        // It rewrites the plans of subqueries by itself.
        let plan = plan
            .map_subqueries(|subquery| {
                subquery.transform_down_with_subqueries(|node| {
                    Ok(Transformed::yes(with_careful_in(node, aliases)?))
                })
            })
            .data()?;
        self.0.rewrite(plan, config)
    }
}

/// `5 NOT IN (SELECT c ..)` as `NOT EXISTS (SELECT .. WHERE (5 = c) IS NOT FALSE)`; another value that may
/// be NULL though its columns may not as a column of its own.
fn with_careful_in(plan: LogicalPlan, aliases: &AliasGenerator) -> Result<LogicalPlan> {
    let LogicalPlan::Filter(filter) = plan else { return Ok(plan) };
    let schema = filter.input.schema().clone();
    let mut changed = false;
    let mut added = Vec::new();
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
        conditions.push(match found {
            Some(found) if is_constant(&found.expr) => {
                changed = true;
                none_may_equal(found)?
            }
            Some(found) if is_null_by_itself(&found.expr, &schema)? => {
                changed = true;
                let name = aliases.next("__in");
                added.push((*found.expr).clone().alias(&name));
                let value = Expr::Column(Column::new_unqualified(name));
                Expr::InSubquery(InSubquery::new(Box::new(value), found.subquery.clone(), true))
            }
            _ => condition,
        });
    }
    let Some(condition) = conjunction(conditions).filter(|_| changed) else {
        return Ok(LogicalPlan::Filter(filter));
    };
    if added.is_empty() {
        return Ok(LogicalPlan::Filter(Filter::try_new(condition, filter.input)?));
    }
    let columns = || schema.columns().into_iter().map(Expr::Column);
    LogicalPlanBuilder::from(Arc::unwrap_or_clone(filter.input))
        .project(columns().chain(added))?
        .filter(condition)?
        .project(columns())?
        .build()
}

/// Whether the value may be NULL though no column in it may.
fn is_null_by_itself(value: &Expr, schema: &DFSchema) -> Result<bool> {
    let looks_around = value.exists(|expr| Ok(matches!(expr, Expr::OuterReferenceColumn(..))))?;
    let mut by_columns = false;
    for column in value.column_refs() {
        by_columns |= schema.nullable(column)?;
    }
    Ok(!looks_around && !by_columns && value.nullable(schema)?)
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
