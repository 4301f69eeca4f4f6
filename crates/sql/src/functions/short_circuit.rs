//! Expressions that look at the right side of AND and OR only where the left one leaves it open.
//!
//! DataFusion evaluates both sides for all rows of a batch, unless the left one decides for (nearly) all of them. MySQL
//! does not, which is seen where the right side warns of values, or fails in a statement that changes rows:
//! `n <> 0 AND 10 / n > 1` divides by no zero. So where the right side may warn, `a AND b` becomes a CASE:
//!
//! ```text
//!   where NULL means the same as FALSE, or `a` is never NULL
//!     CASE WHEN a THEN b ELSE FALSE END
//!   elsewhere
//!     CASE a WHEN FALSE THEN FALSE WHEN TRUE THEN b ELSE CASE WHEN NOT b THEN FALSE END END
//! ```
//!
//! The same goes for OR. NULL means the same as FALSE in conditions of filters and joins, and in those of CASE. No row
//! has anything evaluated twice, but `b` stands there twice; one that is large stays beside its AND.

use super::kernel::MAX_STRING;
use super::warnings::{WarnsOf, warns_of};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, CaseExpr, Literal, case, lit, not};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use std::sync::Arc;

type Expr = Arc<dyn PhysicalExpr>;

/// The nodes of an expression that may stand in a plan twice.
const MOST_COPIED: usize = 256;

/// An expression that was looked at.
pub struct Part {
    pub expr: Expr,
    /// Whether it is another one than before.
    pub changed: bool,
    /// Whether it may warn of values.
    pub warns: bool,
    nodes: usize,
}

/// Of expressions over these columns.
pub struct ShortCircuit<'a> {
    pub schema: &'a Schema,
}

/// `first OR then`, where NULL means the same as FALSE.
fn either(first: Expr, then: Expr) -> Result<Expr> {
    case(None, vec![(first, lit(true))], Some(then))
}

/// Room on the stack: expressions nest as deep as queries do.
fn with_stack<T>(work: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(256 << 10, 2 << 20, work)
}

/// An expression that is AND or OR.
fn connective(expr: &Expr) -> Option<&BinaryExpr> {
    expr.downcast_ref::<BinaryExpr>().filter(|binary| matches!(binary.op(), Operator::And | Operator::Or))
}

impl ShortCircuit<'_> {
    /// `first AND then`, where NULL means the same as FALSE.
    pub fn both(first: Expr, then: Expr) -> Result<Expr> {
        case(None, vec![(first, then)], Some(lit(false)))
    }

    /// One that holds of rows for which it is TRUE.
    pub fn condition(&self, expr: &Expr) -> Result<Part> {
        let Some(binary) = connective(expr) else { return self.value(expr) };
        let sides = || Ok((self.condition(binary.left())?, self.condition(binary.right())?));
        let (left, right) = with_stack::<Result<(Part, Part)>>(sides)?;
        if !right.warns {
            return Ok(beside(expr, binary, left, right));
        }
        let nodes = left.nodes + right.nodes + 2;
        let expr = match binary.op() {
            Operator::And => Self::both(left.expr, right.expr)?,
            _ => either(left.expr, right.expr)?,
        };
        Ok(Part { expr, changed: true, warns: true, nodes })
    }

    /// One whose every value counts.
    pub fn value(&self, expr: &Expr) -> Result<Part> {
        with_stack(|| match connective(expr) {
            Some(binary) => self.three_valued(expr, binary),
            None => self.other_value(expr),
        })
    }

    /// AND or OR of which NULL is another value than FALSE.
    fn three_valued(&self, expr: &Expr, binary: &BinaryExpr) -> Result<Part> {
        let (left, right) = (self.value(binary.left())?, self.value(binary.right())?);
        if !right.warns {
            return Ok(beside(expr, binary, left, right));
        }
        let is_or = *binary.op() == Operator::Or;
        if !left.expr.nullable(self.schema)? {
            let nodes = left.nodes + right.nodes + 2;
            let expr =
                if is_or { either(left.expr, right.expr)? } else { Self::both(left.expr, right.expr)? };
            return Ok(Part { expr, changed: true, warns: true, nodes });
        }
        if right.nodes > MOST_COPIED {
            return Ok(beside(expr, binary, left, right));
        }
        let nodes = left.nodes + 2 * right.nodes + 7;
        // With NULL on the left the right side decides, or it is NULL.
        let decides = if is_or { right.expr.clone() } else { not(right.expr.clone())? };
        let of_null = case(None, vec![(decides, lit(is_or))], None)?;
        let branches = vec![(lit(is_or), lit(is_or)), (lit(!is_or), right.expr)];
        let expr = case(Some(left.expr), branches, Some(of_null))?;
        Ok(Part { expr, changed: true, warns: true, nodes })
    }

    fn other_value(&self, expr: &Expr) -> Result<Part> {
        let mut warns = self.warns_itself(expr)?;
        let (mut changed, mut nodes) = (false, 1);
        let mut take = |part: Part| {
            changed |= part.changed;
            warns |= part.warns;
            nodes += part.nodes;
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
            let expr: Expr = match changed {
                true => Arc::new(CaseExpr::try_new(None, branches, other)?),
                false => expr.clone(),
            };
            return Ok(Part { expr, changed, warns, nodes });
        }
        let mut children = Vec::new();
        for child in expr.children() {
            children.push(take(self.value(child)?));
        }
        let expr = if changed { expr.clone().with_new_children(children)? } else { expr.clone() };
        Ok(Part { expr, changed, warns, nodes })
    }

    /// Whether this call may warn: a division, unless by a constant that is not zero; what reads a text; what fills a
    /// string up, unless to a small constant length; and what is always taken to.
    fn warns_itself(&self, expr: &Expr) -> Result<bool> {
        let Some(function) = expr.downcast_ref::<ScalarFunctionExpr>() else { return Ok(false) };
        let args = function.args();
        Ok(match warns_of(function.name()) {
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
            Some(WarnsOf::Length) => {
                !args.get(1).and_then(|arg| arg.downcast_ref::<Literal>()).is_some_and(is_short)
            }
            Some(WarnsOf::Any) => true,
        })
    }
}

/// AND or OR of these sides.
fn beside(expr: &Expr, binary: &BinaryExpr, left: Part, right: Part) -> Part {
    let changed = left.changed || right.changed;
    let (warns, nodes) = (left.warns || right.warns, left.nodes + right.nodes + 1);
    let expr: Expr = match changed {
        true => Arc::new(BinaryExpr::new(left.expr, *binary.op(), right.expr)),
        false => expr.clone(),
    };
    Part { expr, changed, warns, nodes }
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

/// Whether a string of so many characters is never too long for one.
fn is_short(literal: &Literal) -> bool {
    const MOST: i64 = (MAX_STRING / 4) as i64;
    matches!(literal.value(), ScalarValue::Int64(Some(..=MOST)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::warnings::gather;
    use arrow::array::{AsArray, BooleanArray, Int64Array, RecordBatch};
    use arrow::datatypes::Field;
    use datafusion::common::config::ConfigOptions;
    use datafusion::physical_expr::expressions::{binary, col};

    fn schema() -> Arc<Schema> {
        let column = |name, nullable| Field::new(name, DataType::Int64, nullable);
        Arc::new(Schema::new(vec![column("n", true), column("k", true), column("sure", false)]))
    }

    fn column(name: &str) -> Expr {
        col(name, &schema()).unwrap()
    }

    fn of(left: Expr, op: Operator, right: Expr) -> Expr {
        binary(left, op, right, &schema()).unwrap()
    }

    /// `10 DIV divisor > 1`.
    fn divided(divisor: &str) -> Expr {
        let udf = crate::functions::scalar_function("div").unwrap();
        let args = vec![lit(10i64), column(divisor)];
        let options = Arc::new(ConfigOptions::default());
        let call = ScalarFunctionExpr::try_new(udf, args, &schema(), options).unwrap();
        of(Arc::new(call), Operator::Gt, lit(1i64))
    }

    /// Its values, and how often it warns.
    fn evaluated(expr: &Expr, batch: &RecordBatch) -> (BooleanArray, usize) {
        let (values, warnings) =
            gather(|| expr.evaluate(batch).unwrap().into_array(batch.num_rows()).unwrap());
        (values.as_boolean().clone(), warnings.len())
    }

    #[test]
    fn every_value_is_what_it_was_and_fewer_warn() {
        // All pairs of n and k; `10 DIV k > 1` is NULL of 0 and of NULL, and warns of 0.
        let values = [None, Some(0), Some(3), Some(20)];
        let pairs = || values.iter().flat_map(|n| values.iter().map(move |k| (*n, *k)));
        let batch = RecordBatch::try_new(
            schema(),
            vec![
                Arc::new(pairs().map(|(n, _)| n).collect::<Int64Array>()),
                Arc::new(pairs().map(|(_, k)| k).collect::<Int64Array>()),
                Arc::new(pairs().map(|(n, _)| Some(n.unwrap_or(7))).collect::<Int64Array>()),
            ],
        )
        .unwrap();
        let schema = schema();
        let lazy = ShortCircuit { schema: &schema };
        let above = |name| of(column(name), Operator::Gt, lit(2i64));
        let (and, or) = (Operator::And, Operator::Or);
        // How often each warns: four rows have k = 0, of which n > 2 is NULL, FALSE, TRUE, TRUE.
        for (expr, warned) in [
            (of(above("n"), and, divided("k")), 3),
            (of(above("n"), or, divided("k")), 2),
            (of(above("sure"), and, divided("k")), 3),
            (of(above("sure"), or, divided("k")), 1),
            (of(of(above("n"), and, divided("k")), or, divided("k")), 7),
            (of(above("n"), and, of(above("n"), or, divided("k"))), 1),
        ] {
            let part = lazy.value(&expr).unwrap();
            assert!(part.changed && part.warns);
            let (wanted, _) = evaluated(&expr, &batch);
            let (found, warnings) = evaluated(&part.expr, &batch);
            assert_eq!((&found, warnings), (&wanted, warned), "{expr}");
            // Below NOT, too.
            let below = not(expr.clone()).unwrap();
            let found = evaluated(&lazy.value(&below).unwrap().expr, &batch);
            assert_eq!(found, (evaluated(&below, &batch).0, warned), "NOT {expr}");
            // As a condition the same rows are TRUE.
            let condition = evaluated(&lazy.condition(&expr).unwrap().expr, &batch).0;
            let is_true = |values: &BooleanArray| -> Vec<bool> {
                values.iter().map(|value| value == Some(true)).collect()
            };
            assert_eq!(is_true(&condition), is_true(&wanted), "{expr}");
        }
        let plain = of(above("n"), and, above("k"));
        let part = lazy.value(&plain).unwrap();
        assert!(!part.changed && Arc::ptr_eq(&part.expr, &plain));
    }

    #[test]
    fn strings_of_small_lengths_do_not_warn() {
        let schema = schema();
        let text = |text: &str| lit(ScalarValue::Utf8View(Some(text.to_string())));
        let warns = |length: Expr| {
            let udf = crate::functions::scalar_function("lpad").unwrap();
            let args = vec![text("a"), length, text("b")];
            let options = Arc::new(ConfigOptions::default());
            let call: Expr = Arc::new(ScalarFunctionExpr::try_new(udf, args, &schema, options).unwrap());
            ShortCircuit { schema: &schema }.value(&call).unwrap().warns
        };
        assert!(!warns(lit(20i64)) && !warns(lit(-1i64)));
        assert!(warns(lit(100_000_000i64)) && warns(column("n")));
    }

    #[test]
    fn nesting_to_the_right_does_not_grow_without_end() {
        let schema = schema();
        let mut expr = divided("k");
        for level in 0..200i64 {
            let op = if level % 2 == 0 { Operator::And } else { Operator::Or };
            expr = of(of(column("n"), Operator::Gt, lit(level)), op, expr);
        }
        let part = ShortCircuit { schema: &schema }.value(&expr).unwrap();
        assert!(part.changed && part.nodes < 5_000, "{}", part.nodes);
    }
}
