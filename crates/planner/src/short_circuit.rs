//! Conditions that look at their right side only where the left one leaves it open.
//!
//! DataFusion evaluates both sides of AND and OR for all rows of a batch, unless the left one decides for (nearly) all
//! of them. MySQL does not, which is seen where the right side warns of values, or fails in a statement that changes rows:
//! `n <> 0 AND 10 / n > 1` divides by no zero. So where the right side may warn, `a AND b` becomes
//! `CASE WHEN a THEN b ELSE FALSE END` and `a OR b` becomes `CASE WHEN a THEN TRUE ELSE b END`, if NULL means the same as
//! FALSE there: in conditions of filters and joins, and in those of CASE. What in a filter cannot warn becomes a filter of
//! its own below, of which it is still known what columns it makes equal or constant.
//!
//! This comes after all other rules, which would read such a CASE as AND and OR again.

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, CaseExpr, Literal, case, lit};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr, conjunction, split_conjunction};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use exec::WarnsOf;
use std::sync::Arc;

type Condition = Arc<dyn PhysicalExpr>;

/// See the module.
pub(crate) fn short_circuit(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let changed = if let Some(filter) = node.downcast_ref::<FilterExec>() {
            filtered(filter)?
        } else if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
            projected(projection)?
        } else if let Some(join) = node.downcast_ref::<HashJoinExec>() {
            match join.filter().map(of_join).transpose()?.flatten() {
                Some(filter) => Some(join.builder().with_filter(Some(filter)).build_exec()?),
                None => None,
            }
        } else if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
            match join.filter().map(of_join).transpose()?.flatten() {
                Some(filter) => {
                    let join = NestedLoopJoinExecBuilder::from(join).with_filter(Some(filter)).build()?;
                    Some(Arc::new(join) as Arc<dyn ExecutionPlan>)
                }
                None => None,
            }
        } else {
            None
        };
        Ok(match changed {
            Some(changed) => Transformed::yes(changed),
            None => Transformed::no(node),
        })
    })
    .data()
}

fn filtered(filter: &FilterExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let schema = filter.input().schema();
    let rewriter = Rewriter { schema: &schema };
    let (mut safe, mut others) = (Vec::new(), Vec::new());
    for part in split_conjunction(filter.predicate()) {
        let Part { expr, warns, .. } = rewriter.condition(part)?;
        if warns { others.push(expr) } else { safe.push(expr) }
    }
    let Some(last) = others.pop() else { return Ok(None) };
    let unsure = others.into_iter().rev().try_fold(last, |then, first| both(first, then))?;
    if Arc::ptr_eq(&unsure, filter.predicate()) {
        return Ok(None);
    }
    let mut input = filter.input().clone();
    if !safe.is_empty() {
        input = Arc::new(FilterExec::try_new(conjunction(safe), input)?);
    }
    let above = FilterExecBuilder::from(filter).with_predicate(unsure).with_input(input).build()?;
    Ok(Some(Arc::new(above)))
}

fn projected(projection: &ProjectionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let schema = projection.input().schema();
    let rewriter = Rewriter { schema: &schema };
    let mut any = false;
    let mut exprs = Vec::with_capacity(projection.expr().len());
    for ProjectionExpr { expr, alias } in projection.expr() {
        let part = rewriter.value(expr)?;
        any |= part.changed;
        exprs.push(ProjectionExpr { expr: part.expr, alias: alias.clone() });
    }
    if !any {
        return Ok(None);
    }
    Ok(Some(Arc::new(ProjectionExec::try_new(exprs, projection.input().clone())?)))
}

/// The condition of a join; None if it stays as it is.
fn of_join(filter: &JoinFilter) -> Result<Option<JoinFilter>> {
    let part = Rewriter { schema: filter.schema() }.condition(filter.expression())?;
    let with = |expr| JoinFilter::new(expr, filter.column_indices().to_vec(), filter.schema().clone());
    Ok(part.changed.then(|| with(part.expr)))
}

fn both(first: Condition, then: Condition) -> Result<Condition> {
    case(None, vec![(first, then)], Some(lit(false)))
}

/// An expression that was rewritten.
struct Part {
    expr: Condition,
    changed: bool,
    /// Whether it may warn of values.
    warns: bool,
}

/// Room on the stack: expressions nest as deep as queries do.
fn with_stack<T>(work: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(256 << 10, 2 << 20, work)
}

/// Of expressions over these columns.
struct Rewriter<'a> {
    schema: &'a Schema,
}

impl Rewriter<'_> {
    /// One that holds of rows for which it is TRUE.
    fn condition(&self, expr: &Condition) -> Result<Part> {
        let Some(binary) = expr.downcast_ref::<BinaryExpr>() else { return self.value(expr) };
        if !matches!(binary.op(), Operator::And | Operator::Or) {
            return self.value(expr);
        }
        let sides = || Ok((self.condition(binary.left())?, self.condition(binary.right())?));
        let (left, right): (Part, Part) = with_stack::<Result<_>>(sides)?;
        let warns = left.warns || right.warns;
        let changed = left.changed || right.changed || right.warns;
        let expr: Condition = match (binary.op(), right.warns) {
            _ if !changed => expr.clone(),
            (Operator::And, true) => both(left.expr, right.expr)?,
            (_, true) => case(None, vec![(left.expr, lit(true))], Some(right.expr))?,
            (op, false) => Arc::new(BinaryExpr::new(left.expr, *op, right.expr)),
        };
        Ok(Part { expr, changed, warns })
    }

    /// One whose every value counts.
    fn value(&self, expr: &Condition) -> Result<Part> {
        with_stack(|| {
            let mut warns = self.warns_itself(expr)?;
            let mut changed = false;
            let mut take = |part: Part| {
                changed |= part.changed;
                warns |= part.warns;
                part.expr
            };
            if let Some(case) = expr.downcast_ref::<CaseExpr>()
                && case.expr().is_none()
            {
                let mut branches = Vec::with_capacity(case.when_then_expr().len());
                for (when, then) in case.when_then_expr() {
                    branches.push((take(self.condition(when)?), take(self.value(then)?)));
                }
                let other = match case.else_expr() {
                    Some(other) => Some(take(self.value(other)?)),
                    None => None,
                };
                let expr: Condition = match changed {
                    true => Arc::new(CaseExpr::try_new(None, branches, other)?),
                    false => expr.clone(),
                };
                return Ok(Part { expr, changed, warns });
            }
            let mut children = Vec::new();
            for child in expr.children() {
                children.push(take(self.value(child)?));
            }
            let expr: Condition =
                if changed { expr.clone().with_new_children(children)? } else { expr.clone() };
            Ok(Part { expr, changed, warns })
        })
    }

    /// Whether this call may warn: a division, unless by a constant that is not zero, and what reads a text.
    fn warns_itself(&self, expr: &Condition) -> Result<bool> {
        let Some(function) = expr.downcast_ref::<ScalarFunctionExpr>() else { return Ok(false) };
        let args = function.args();
        Ok(match exec::warns_of(function.name()) {
            None => false,
            Some(WarnsOf::Zero) => {
                !args.get(1).and_then(|arg| arg.downcast_ref::<Literal>()).is_some_and(is_not_zero)
            }
            Some(WarnsOf::Text) => match args.first() {
                Some(arg) => matches!(
                    arg.data_type(self.schema)?,
                    DataType::Utf8 | DataType::Utf8View | DataType::Binary | DataType::BinaryView
                ),
                None => false,
            },
        })
    }
}

fn is_not_zero(literal: &Literal) -> bool {
    match literal.value() {
        ScalarValue::Int64(Some(value)) => *value != 0,
        ScalarValue::UInt64(Some(value)) => *value != 0,
        ScalarValue::Decimal128(Some(value), ..) => *value != 0,
        ScalarValue::Float64(Some(value)) => *value != 0.0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::Field;
    use datafusion::config::ConfigOptions;
    use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
    use datafusion::physical_expr::expressions::{binary, col};
    use datafusion::physical_plan::displayable;
    use datafusion::physical_plan::empty::EmptyExec;

    fn schema() -> Schema {
        Schema::new(vec![Field::new("n", DataType::Int64, true), Field::new("k", DataType::Int64, true)])
    }

    fn compared(left: Condition, op: Operator, right: Condition) -> Condition {
        binary(left, op, right, &schema()).unwrap()
    }

    /// `divide(10, divisor) = 1`.
    fn divided(divisor: Condition) -> Condition {
        let types = vec![DataType::Int64, DataType::Int64];
        let function = create_udf(
            "divide",
            types,
            DataType::Int64,
            Volatility::Immutable,
            Arc::new(|args: &[ColumnarValue]| Ok(args[0].clone())),
        );
        let args = vec![lit(10i64), divisor];
        let options = Arc::new(ConfigOptions::default());
        let call = ScalarFunctionExpr::try_new(Arc::new(function), args, &schema(), options).unwrap();
        compared(Arc::new(call), Operator::Eq, lit(1i64))
    }

    fn shown(condition: Condition) -> String {
        let input = Arc::new(EmptyExec::new(Arc::new(schema())));
        let filter = Arc::new(FilterExec::try_new(condition, input).unwrap());
        displayable(short_circuit(filter).unwrap().as_ref()).indent(false).to_string()
    }

    #[test]
    fn what_may_warn_comes_last() {
        let column = |name| col(name, &schema()).unwrap();
        let plain = || compared(column("k"), Operator::Gt, lit(5i64));
        let (and, or) = (Operator::And, Operator::Or);
        for (condition, expected) in [
            (compared(plain(), or, plain()), "FilterExec: k@1 > 5 OR k@1 > 5\n  EmptyExec\n"),
            (divided(column("n")), "FilterExec: divide(10, n@0) = 1\n  EmptyExec\n"),
            (
                compared(plain(), or, divided(lit(2i64))),
                "FilterExec: k@1 > 5 OR divide(10, 2) = 1\n  EmptyExec\n",
            ),
            (
                compared(divided(column("n")), or, plain()),
                "FilterExec: divide(10, n@0) = 1 OR k@1 > 5\n  EmptyExec\n",
            ),
            (
                compared(plain(), or, divided(column("n"))),
                "FilterExec: CASE WHEN k@1 > 5 THEN true ELSE divide(10, n@0) = 1 END\n  EmptyExec\n",
            ),
            (
                compared(divided(column("n")), and, plain()),
                "FilterExec: divide(10, n@0) = 1\n  FilterExec: k@1 > 5\n    EmptyExec\n",
            ),
            (
                compared(divided(column("n")), and, compared(plain(), or, divided(column("k")))),
                "FilterExec: CASE WHEN divide(10, n@0) = 1 THEN CASE WHEN k@1 > 5 THEN true \
                 ELSE divide(10, k@1) = 1 END ELSE false END\n  EmptyExec\n",
            ),
        ] {
            assert_eq!(shown(condition), expected);
        }
    }
}
