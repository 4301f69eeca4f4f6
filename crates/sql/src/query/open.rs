//! Comparisons whose value a plan leaves open, so that it is made once for queries that differ in such values.
//!
//! A placeholder's value may stay open where it does nothing but be compared with a column, as a condition of its own
//! that every row must meet: in WHERE or ON of a query that is no subquery of an expression, alone or joined to others
//! by AND. The comparison is bound with the value at hand, as any other. If that comes to `something op constant`, the
//! constant becomes a placeholder of the logical plan, which no rule of an optimizer looks into: what is made of the
//! plan does not depend on it.
//!
//! For another value the comparison is bound again, and must come to the same but for the constant: the same operator,
//! the same type, not NULL, no warning, nothing of the moment. Where it does not (a string that is no date, a number
//! with more digits than the column has, NULL), the query is not the same with that value, and needs a plan of its own.
//!
//! A placeholder that is read as a value anywhere is *fixed*: the plan is good for this value of it only.

use super::binder::{Binder, Env};
use super::context::BindContext;
use super::errors::Clause;
use super::expr::{comparison_of, unnested};
use super::momentary::momentary;
use crate::analyzer::Typed;
use crate::analyzer::compare::Comparison;
use crate::functions::warnings;
use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{BinaryExpr, Placeholder};
use datafusion::logical_expr::{Expr, Operator};
use sqlparser::ast;
use std::collections::BTreeSet;
use std::sync::Arc;
use types::SqlError;

/// What a plan leaves open.
#[derive(Debug, Clone, Default)]
pub struct Open {
    /// Constants `$1`, `$2` .. of the plan.
    comparisons: Vec<OpenComparison>,
    fixed: BTreeSet<usize>,
}

#[derive(Debug, Clone)]
struct OpenComparison {
    /// The statement's placeholder, from 0.
    parameter: usize,
    asked: Comparison,
    column: Typed,
    /// What it came to.
    left: Expr,
    op: Operator,
    ty: DataType,
}

impl Open {
    /// Whether no value is open.
    pub fn is_nothing(&self) -> bool {
        self.comparisons.is_empty()
    }

    /// The placeholders, from 0, whose values the plan is good for only.
    pub fn fixed(&self) -> impl Iterator<Item = usize> {
        self.fixed.iter().copied()
    }

    /// The plan's constants for these values of the placeholders; `None`: with them it is another query.
    pub fn constants(&self, ctx: &BindContext<'_>) -> Option<Vec<ScalarValue>> {
        let binder = Binder::new(ctx);
        let bind = |open: &OpenComparison| {
            let value = Typed::value(ctx.parameters.get(open.parameter)?);
            let compared = binder.rules.compare(open.asked, open.column.clone(), value).ok()?;
            let (left, op, constant) = with_constant(&compared.expr)?;
            let same = *left == open.left && op == open.op && constant.data_type() == open.ty;
            same.then(|| constant.clone())
        };
        let ((constants, warnings), momentary) =
            momentary(|| warnings::gather(|| self.comparisons.iter().map(bind).collect::<Option<Vec<_>>>()));
        constants.filter(|_| warnings.is_empty() && !momentary)
    }
}

/// `left op constant`, if the condition is that.
fn with_constant(condition: &Expr) -> Option<(&Expr, Operator, &ScalarValue)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
    let Expr::Literal(constant, _) = right.as_ref() else { return None };
    use Operator as O;
    let is_comparison =
        matches!(op, O::Eq | O::NotEq | O::Lt | O::LtEq | O::Gt | O::GtEq | O::IsNotDistinctFrom);
    let is_value = !constant.is_null() && !constant.data_type().is_nested();
    (is_comparison && is_value).then_some((left.as_ref(), *op, constant))
}

/// The number of a placeholder, from 0.
fn placeholder(expr: &ast::Expr) -> Option<usize> {
    let ast::Expr::Value(ast::ValueWithSpan { value: ast::Value::Placeholder(name), .. }) = unnested(expr)
    else {
        return None;
    };
    name.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1)
}

fn is_name(expr: &ast::Expr) -> bool {
    matches!(unnested(expr), ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_))
}

impl Binder<'_> {
    pub(super) fn note_fixed(&mut self, parameter: usize) {
        if let Some(open) = &mut self.open {
            open.fixed.insert(parameter);
        }
    }

    /// A condition with values that may stay open, if it is one.
    pub(super) fn open_condition(
        &mut self,
        condition: &ast::Expr,
        env: Env<'_>,
    ) -> Result<Option<Typed>, SqlError> {
        let is_met_by_all = self.outer.is_empty() && matches!(env.clause, Clause::Where | Clause::On);
        if self.open.is_none() || !is_met_by_all {
            return Ok(None);
        }
        match condition {
            ast::Expr::BinaryOp { left, op, right } => {
                let Some(asked) = comparison_of(op) else { return Ok(None) };
                let (name, asked, value) = match (placeholder(left), placeholder(right)) {
                    (None, Some(_)) if is_name(left) => (left, asked, right),
                    (Some(_), None) if is_name(right) => (right, asked.mirrored(), left),
                    _ => return Ok(None),
                };
                let column = self.expr(name, env)?;
                self.compare_open(asked, column, value, env).map(Some)
            }
            ast::Expr::Between { expr, negated: false, low, high }
                if is_name(expr) && (placeholder(low).is_some() || placeholder(high).is_some()) =>
            {
                let column = self.expr(expr, env)?;
                let copied = self.rules.copy(&column)?;
                let low = self.compare_open(Comparison::GreaterOrEqual, copied, low, env)?;
                let high = self.compare_open(Comparison::LessOrEqual, column, high, env)?;
                Ok(Some(Typed::boolean(low.expr.and(high.expr), low.nullable || high.nullable)))
            }
            _ => Ok(None),
        }
    }

    fn compare_open(
        &mut self,
        asked: Comparison,
        column: Typed,
        value: &ast::Expr,
        env: Env<'_>,
    ) -> Result<Typed, SqlError> {
        let place = placeholder(value).filter(|_| matches!(column.expr, Expr::Column(_)));
        let at_hand = place.and_then(|parameter| Some((parameter, self.ctx.parameters.get(parameter)?)));
        let Some((parameter, at_hand)) = at_hand else {
            let value = self.expr(value, env)?;
            return self.rules.compare(asked, column, value);
        };
        let compared = self.rules.compare(asked, column.clone(), Typed::value(at_hand))?;
        let (Some((left, op, constant)), Some(open)) = (with_constant(&compared.expr), &mut self.open) else {
            self.note_fixed(parameter);
            return Ok(compared);
        };
        let (left, ty) = (left.clone(), constant.data_type());
        open.comparisons.push(OpenComparison {
            parameter,
            asked,
            column,
            left: left.clone(),
            op,
            ty: ty.clone(),
        });
        let id = format!("${}", open.comparisons.len());
        let constant = Placeholder::new_with_field(id, Some(Arc::new(Field::new("", ty, false))));
        let expr = datafusion::logical_expr::binary_expr(left, op, Expr::Placeholder(constant));
        Ok(Typed { expr, ..compared })
    }
}

/// A query that leaves values open, its constants for the values at hand among what comes back.
pub struct OpenQuery {
    pub bound: super::BoundQuery,
    pub open: Open,
    pub constants: Vec<ScalarValue>,
}

/// Binds a query with as many of its placeholders open as may be; `None`: that is none, or it warns of a constant.
pub fn bind_open(query: &ast::Query, ctx: &BindContext<'_>) -> Result<Option<OpenQuery>, SqlError> {
    if !query.locks.is_empty() {
        return Ok(None);
    }
    let titles = super::titles::titles(ctx.text);
    let mut binder = Binder::new(ctx);
    binder.open = Some(Open::default());
    let (rows, warnings) = warnings::gather(|| binder.titled_query(query, titles.as_deref()));
    let (rows, open) = (rows?, binder.open.take().unwrap_or_default());
    if open.is_nothing() || !warnings.is_empty() {
        return Ok(None);
    }
    let bound = super::bound(rows, None);
    Ok(open.constants(ctx).map(|constants| OpenQuery { bound, open, constants }))
}
