//! Subqueries in expressions: scalar, EXISTS, IN, ANY and ALL.
//!
//! DataFusion plans EXISTS and IN only in filters. Elsewhere they become scalar subqueries that count.

use super::binder::{Binder, Env, Output, Rows, Truth, alias_plan, named, planning, project};
use super::errors::{Clause, wrong_columns};
use super::expr::{comparison_of, unnested};
use super::from::{filter, has_subquery};
use super::scope::Scope;
use crate::analyzer::Typed;
use crate::analyzer::compare::Comparison;
use crate::analyzer::typed::BIGINT;
use crate::functions::single_value;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, TableReference};
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Subquery, lit};
use sqlparser::ast::{self, BinaryOperator};
use std::sync::Arc;
use types::SqlError;

fn subquery(plan: LogicalPlan) -> Subquery {
    let outer_ref_columns = plan.all_out_ref_exprs();
    Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: Default::default() }
}

/// Whether DataFusion plans IN and EXISTS where this expression comes to stand. Those within an aggregate function of
/// HAVING, where no other may be, are computed before it.
fn is_filter(env: Env<'_>) -> bool {
    match env.clause {
        Clause::Where | Clause::On => true,
        Clause::Having => env.aggregates,
        _ => false,
    }
}

fn aggregate_call(func: Arc<datafusion::logical_expr::AggregateUDF>, arg: Expr) -> Expr {
    Expr::AggregateFunction(AggregateFunction::new_udf(func, vec![arg], false, None, Vec::new(), None))
}

impl Binder<'_> {
    fn inner(&mut self, query: &ast::Query, env: Env<'_>) -> Result<Rows, SqlError> {
        let rows = self.within(env.scope, |binder| binder.query(query))?;
        Ok(self.without_aliases(rows))
    }

    /// Columns under names that no column of a table has: what correlates is added to them when the
    /// subquery becomes a join.
    fn without_aliases(&mut self, mut rows: Rows) -> Rows {
        let LogicalPlan::Projection(projection) = &rows.plan else { return rows };
        let mut exprs = Vec::with_capacity(projection.expr.len());
        for (expr, output) in projection.expr.iter().zip(&mut rows.columns) {
            exprs.push(match expr {
                Expr::Alias(alias) => {
                    output.column = Column::from_name(self.relation_name("__value"));
                    named((*alias.expr).clone(), &output.column.name)
                }
                expr => expr.clone(),
            });
        }
        // Invariant: the same expressions made a projection before.
        if let Ok(plan) = project((*projection.input).clone(), exprs) {
            rows.plan = plan;
        }
        rows
    }

    pub(super) fn scalar_subquery(&mut self, query: &ast::Query, env: Env<'_>) -> Result<Typed, SqlError> {
        let rows = self.inner(query, env)?;
        let [column] = rows.columns.as_slice() else { return Err(wrong_columns(1)) };
        let (ty, arrow) = (column.ty, column.arrow.clone());
        let collation = column.collation;
        let plan = if rows.plan.max_rows().is_some_and(|rows| rows <= 1) {
            rows.plan
        } else {
            // A second row is an error at run time, 1242.
            let value = aggregate_call(single_value::single_value(), Expr::Column(column.column.clone()));
            aggregate_rows(rows.plan, value)?
        };
        Ok(Typed { expr: Expr::ScalarSubquery(subquery(plan)), ty, arrow, nullable: true, collation })
    }

    pub(super) fn exists(
        &mut self,
        query: &ast::Query,
        negated: bool,
        env: Env<'_>,
    ) -> Result<Typed, SqlError> {
        let rows = self.inner(query, env)?;
        match single_row(&rows.plan, env.scope)? {
            Some(SingleRow { condition: None, .. }) => return Ok(Typed::boolean(lit(!negated), false)),
            Some(SingleRow { condition: Some(condition), .. }) if is_correlated(&rows.plan) => {
                let holds = Typed::boolean(condition, false);
                return if negated { self.rules.not(holds) } else { Ok(holds) };
            }
            _ => {}
        }
        let plan = match rows.plan {
            // What is selected does not matter.
            LogicalPlan::Projection(projection) => {
                project((*projection.input).clone(), vec![named(lit(1i64), "__one")])?
            }
            plan => plan,
        };
        if is_filter(env) {
            let exists = Exists::new(subquery(plan), negated);
            return Ok(Typed::boolean(Expr::Exists(exists), false));
        }
        let found = Typed::boolean(positive(count_rows(plan)?), false);
        if negated { self.rules.not(found) } else { Ok(found) }
    }

    pub(super) fn in_subquery(
        &mut self,
        expr: &ast::Expr,
        query: &ast::Query,
        negated: bool,
        env: Env<'_>,
    ) -> Result<Typed, SqlError> {
        if let ast::Expr::Tuple(values) = unnested(expr) {
            let values = self.exprs(values, env)?;
            return self.tuple_in_subquery(values, query, negated, env);
        }
        let value = self.expr(expr, env)?;
        let rows = self.inner(query, env)?;
        let (value, rows, arrow) = self.comparable_rows(value, rows)?;
        let correlated = is_correlated(&rows.plan);
        if correlated && let Some(single) = single_row(&rows.plan, env.scope)? {
            let [inside] = single.values(&rows.columns)?.try_into().map_err(|_| wrong_columns(1))?;
            let equal = self.rules.compare(Comparison::Equal, value, inside)?;
            return self.of_single_row(single.condition, equal, false, negated);
        }
        // A subquery cannot look at an aggregate of the query around it.
        let grouped = has_aggregate(&value.expr);
        // NULL is in nothing if there is nothing, which depends on the row of the query around.
        if env.truth == Truth::Conjunct && negated && correlated && !grouped {
            let (plan, _, equal) = self.equal_rows(value, rows, &arrow, env.scope)?;
            let some = if equal.nullable { equal.expr.is_not_false() } else { equal.expr };
            let exists = Exists::new(subquery(filter(plan, some)?), true);
            return Ok(Typed::boolean(Expr::Exists(exists), false));
        }
        if env.truth == Truth::Disjunct && !negated && !grouped && !correlated {
            let (plan, _, equal) = self.equal_rows(value, rows, &arrow, env.scope)?;
            let exists = Exists::new(subquery(filter(plan, equal.expr)?), false);
            return Ok(Typed::boolean(Expr::Exists(exists), false));
        }
        let as_it_is = match env.truth {
            Truth::Conjunct => true,
            Truth::Disjunct => !negated || grouped,
            Truth::Exact => grouped && is_filter(env),
        };
        if as_it_is {
            let nullable = value.nullable || rows.columns[0].nullable;
            let found = InSubquery::new(Box::new(value.expr), subquery(rows.plan), negated);
            return Ok(Typed::boolean(Expr::InSubquery(found), nullable));
        }
        let found = self.counted_in(value, rows, &arrow, env.scope)?;
        if negated { self.rules.not(found) } else { Ok(found) }
    }

    /// What `compared` says of a subquery's only row, or `without` if it has none.
    fn of_single_row(
        &mut self,
        condition: Option<Expr>,
        compared: Typed,
        without: bool,
        negated: bool,
    ) -> Result<Typed, SqlError> {
        let found = match condition {
            None => compared,
            Some(condition) => self.choose(
                vec![Typed::boolean(condition, false)],
                vec![compared, Typed::boolean(lit(without), false)],
            )?,
        };
        if negated { self.rules.not(found) } else { Ok(found) }
    }

    /// A value and the single column of a subquery in the type that they are compared in.
    fn comparable_rows(&mut self, value: Typed, rows: Rows) -> Result<(Typed, Rows, DataType), SqlError> {
        let [column] = rows.columns.as_slice() else { return Err(wrong_columns(1)) };
        let own = column.typed();
        let (value, other) = self.rules.comparable(value, own)?;
        let arrow = other.arrow.clone();
        if let Expr::Column(_) = other.expr {
            return Ok((value, rows, arrow));
        }
        let mut column = column.clone();
        let plan = project(rows.plan, vec![named(other.expr, &column.column.name)])?;
        column.column = Column::from_name(&column.column.name);
        column.arrow = arrow.clone();
        Ok((value, Rows { plan, columns: vec![column] }, arrow))
    }

    /// The rows of a subquery under a name of their own, their column, and whether it equals a value of the
    /// query around.
    fn equal_rows(
        &mut self,
        value: Typed,
        rows: Rows,
        arrow: &DataType,
        scope: &Scope,
    ) -> Result<(LogicalPlan, Typed, Typed), SqlError> {
        let relation = self.relation_name("__in");
        let inside = Typed {
            expr: Expr::Column(Column::new(
                Some(TableReference::bare(relation.as_str())),
                &rows.columns[0].column.name,
            )),
            ty: rows.columns[0].ty,
            arrow: arrow.clone(),
            nullable: rows.columns[0].nullable,
            collation: rows.columns[0].collation,
        };
        let plan = alias_plan(rows.plan, &relation)?;
        let outside = as_outer(value, scope)?;
        let equal = self.rules.compare(Comparison::Equal, inside.clone(), outside)?;
        Ok((plan, inside, equal))
    }

    /// IN outside of a filter: NULL if nothing is equal but something may be.
    fn counted_in(
        &mut self,
        value: Typed,
        rows: Rows,
        arrow: &DataType,
        scope: &Scope,
    ) -> Result<Typed, SqlError> {
        let (plan, inside, equal) = self.equal_rows(value.clone(), rows, arrow, scope)?;
        let found = positive(count_rows(filter(plan.clone(), equal.expr)?)?);
        let mut tests = vec![Typed::boolean(found, false)];
        let mut results = vec![Typed::boolean(lit(true), false)];
        let mut unknown: Option<Expr> = None;
        if value.nullable {
            unknown = Some(value.expr.is_null().and(positive(count_rows(plan.clone())?)));
        }
        if inside.nullable {
            let nulls = positive(count_rows(filter(plan, inside.expr.is_null())?)?);
            unknown = Some(match unknown {
                None => nulls,
                Some(unknown) => unknown.or(nulls),
            });
        }
        if let Some(unknown) = unknown {
            tests.push(Typed::boolean(unknown, false));
            results.push(Typed::typed_null(BIGINT, DataType::Boolean));
        }
        results.push(Typed::boolean(lit(false), false));
        self.choose(tests, results)
    }

    /// `(a, b) IN (SELECT c, d ..)`: a row with both equal exists; NULL if none does and one may be.
    fn tuple_in_subquery(
        &mut self,
        values: Vec<Typed>,
        query: &ast::Query,
        negated: bool,
        env: Env<'_>,
    ) -> Result<Typed, SqlError> {
        let rows = self.inner(query, env)?;
        if rows.columns.len() != values.len() {
            return Err(wrong_columns(values.len()));
        }
        if is_correlated(&rows.plan)
            && let Some(single) = single_row(&rows.plan, env.scope)?
        {
            let equal = self.compare_rows(Comparison::Equal, single.values(&rows.columns)?, values)?;
            return self.of_single_row(single.condition, equal, false, negated);
        }
        let may_be_null =
            values.iter().any(|value| value.nullable) || rows.columns.iter().any(|column| column.nullable);
        let relation = self.relation_name("__in");
        let inside: Vec<Typed> = rows
            .columns
            .iter()
            .map(|column| Typed {
                expr: Expr::Column(Column::new(
                    Some(TableReference::bare(relation.as_str())),
                    &column.column.name,
                )),
                ..column.typed()
            })
            .collect();
        let plan = alias_plan(rows.plan, &relation)?;
        let outside = values
            .into_iter()
            .map(|value| as_outer(value, env.scope))
            .collect::<Result<Vec<_>, SqlError>>()?;
        let equal = self.compare_rows(Comparison::Equal, inside, outside)?;
        // Of a negated IN that is not TRUE it does not matter whether it is FALSE or NULL.
        if env.truth != Truth::Exact {
            let some = if negated && may_be_null { equal.expr.is_not_false() } else { equal.expr };
            let exists = Exists::new(subquery(filter(plan, some)?), negated);
            return Ok(Typed::boolean(Expr::Exists(exists), false));
        }
        let mut tests =
            vec![Typed::boolean(positive(count_rows(filter(plan.clone(), equal.expr.clone())?)?), false)];
        let mut results = vec![Typed::boolean(lit(true), false)];
        if may_be_null {
            let unknown = positive(count_rows(filter(plan, equal.expr.is_null())?)?);
            tests.push(Typed::boolean(unknown, false));
            results.push(Typed::typed_null(BIGINT, DataType::Boolean));
        }
        results.push(Typed::boolean(lit(false), false));
        let found = self.choose(tests, results)?;
        if negated { self.rules.not(found) } else { Ok(found) }
    }

    /// `value op ANY (query)` and `value op ALL (query)`.
    pub(super) fn quantified(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
        all: bool,
        env: Env<'_>,
    ) -> Result<Typed, SqlError> {
        let ast::Expr::Subquery(query) = unnested(right) else {
            return Err(SqlError::unsupported("ANY and ALL of anything but a subquery"));
        };
        match (op, all) {
            (BinaryOperator::Eq, false) => return self.in_subquery(left, query, false, env),
            (BinaryOperator::NotEq, true) => return self.in_subquery(left, query, true, env),
            _ => {}
        }
        let comparison = match comparison_of(op) {
            None | Some(Comparison::NullSafeEqual) => {
                return Err(SqlError::unsupported(format_args!("{op} with ANY or ALL")));
            }
            Some(comparison) => comparison,
        };
        let value = self.expr(left, env)?;
        let rows = self.inner(query, env)?;
        let (value, rows, _) = self.comparable_rows(value, rows)?;
        if is_correlated(&rows.plan)
            && let Some(single) = single_row(&rows.plan, env.scope)?
        {
            let [inside] = single.values(&rows.columns)?.try_into().map_err(|_| wrong_columns(1))?;
            let compared = self.rules.compare(comparison, value, inside)?;
            return self.of_single_row(single.condition, compared, all, false);
        }
        let quantifier = if all { SetQuantifier::All } else { SetQuantifier::Any };
        let comparison =
            SetComparison::new(Box::new(value.expr), subquery(rows.plan), comparison.operator(), quantifier);
        Ok(Typed::boolean(Expr::SetComparison(comparison), true))
    }
}

/// A subquery that aggregates without groups: of one row, which it has whatever its tables hold, or has not
/// where its HAVING says so. As a join with its groups it would miss that row where nothing correlates; a scalar
/// subquery does not.
struct SingleRow {
    /// Without HAVING.
    plan: LogicalPlan,
    /// Whether there is the row: TRUE or FALSE.
    condition: Option<Expr>,
}

impl SingleRow {
    /// The values of the row, in the order of the subquery's columns.
    fn values(&self, columns: &[Output]) -> Result<Vec<Typed>, SqlError> {
        let value = |output: &Output| {
            let expr = one_value(&self.plan, Expr::Column(output.column.clone()))?;
            Ok(Typed { expr, nullable: true, ..output.typed() })
        };
        columns.iter().map(value).collect()
    }
}

/// `scope`: that of the query around the subquery.
fn single_row(plan: &LogicalPlan, scope: &Scope) -> Result<Option<SingleRow>, SqlError> {
    Ok(match plan {
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => {
            Some(SingleRow { plan: plan.clone(), condition: None })
        }
        LogicalPlan::Filter(having) => match single_row(&having.input, scope)? {
            Some(SingleRow { plan, condition: None }) => {
                let holds = match having.predicate.contains_outer() && !has_subquery(&having.predicate) {
                    true => seen_from_outside(&having.predicate, &plan, scope)?,
                    false => one_value(&plan, named(having.predicate.clone(), "__holds"))?,
                };
                Some(SingleRow { plan, condition: Some(holds.is_true()) })
            }
            _ => None,
        },
        LogicalPlan::Projection(projection) => match single_row(&projection.input, scope)? {
            Some(single) => {
                Some(SingleRow { plan: project(single.plan, projection.expr.clone())?, ..single })
            }
            None => None,
        },
        LogicalPlan::SubqueryAlias(alias) => single_row(&alias.input, scope)?
            .filter(|single| single.condition.is_none())
            .map(|single| SingleRow { plan: plan.clone(), ..single }),
        _ => None,
    })
}

/// `(SELECT value FROM plan)`
fn one_value(plan: &LogicalPlan, value: Expr) -> Result<Expr, SqlError> {
    Ok(Expr::ScalarSubquery(subquery(project(plan.clone(), vec![value])?)))
}

/// A condition on the only row of a subquery, and on the row of the query around it, as that query sees it: a scalar
/// subquery may look outward in its WHERE alone.
fn seen_from_outside(condition: &Expr, plan: &LogicalPlan, scope: &Scope) -> Result<Expr, SqlError> {
    let seen = condition.clone().transform_down(|expr| match expr {
        Expr::Column(column) => {
            let value = one_value(plan, Expr::Column(column))
                .map_err(|error| DataFusionError::External(Box::new(error)))?;
            Ok(Transformed::new(value, true, TreeNodeRecursion::Jump))
        }
        Expr::OuterReferenceColumn(_, column) if scope.of_plan(&column).is_some() => {
            Ok(Transformed::yes(Expr::Column(column)))
        }
        expr => Ok(Transformed::no(expr)),
    });
    seen.data().map_err(planning)
}

fn is_correlated(plan: &LogicalPlan) -> bool {
    !plan.all_out_ref_exprs().is_empty()
}

fn has_aggregate(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(matches!(expr, Expr::AggregateFunction(_)))).unwrap_or(false)
}

fn aggregate_rows(plan: LogicalPlan, function: Expr) -> Result<LogicalPlan, SqlError> {
    Aggregate::try_new(Arc::new(plan), Vec::new(), vec![function])
        .map(LogicalPlan::Aggregate)
        .map_err(planning)
}

/// `(SELECT COUNT(*) FROM plan)`
fn count_rows(plan: LogicalPlan) -> Result<Expr, SqlError> {
    let one = Expr::Literal(datafusion::common::utils::expr::COUNT_STAR_EXPANSION, None);
    let plan = aggregate_rows(plan, aggregate_call(count_udaf(), one))?;
    Ok(Expr::ScalarSubquery(subquery(plan)))
}

/// A count above 0; one that a join did not find is 0.
fn positive(count: Expr) -> Expr {
    Expr::IsTrue(Box::new(count.gt(lit(0i64))))
}

/// An expression of the outer query, seen from a subquery.
fn as_outer(value: Typed, scope: &Scope) -> Result<Typed, SqlError> {
    let seen = value.expr.clone().transform(|expr| match &expr {
        Expr::Column(column) => match scope.of_plan(column) {
            Some(column) => Ok(Transformed::yes(column.outer().expr)),
            None => Ok(Transformed::no(expr)),
        },
        _ => Ok(Transformed::no(expr)),
    });
    Ok(Typed { expr: seen.data().map_err(planning)?, ..value })
}
