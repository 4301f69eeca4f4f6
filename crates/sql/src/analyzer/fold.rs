//! Calls and casts that are evaluated at once where everything is constant.
//!
//! In a statement that writes to a table in a strict mode, a constant call that warns is an error, but only where a row
//! reaches it: `IF(n > 5, 'x' + 1, 0)`. There it stays a call ([`keeping_warned`]), which nobody else evaluates before
//! either ([`crate::functions::unfolded`]).

use super::{Collated, Typed};
use crate::functions::cast as casts;
use crate::functions::unfolded::{self, unfolded};
use crate::functions::warnings;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, Volatility,
};
use std::cell::Cell;
use std::sync::{Arc, LazyLock};
use types::{SqlError, SqlType};

/// Building this is dear, and no kernel of ours looks at it.
static OPTIONS: LazyLock<Arc<ConfigOptions>> = LazyLock::new(|| Arc::new(ConfigOptions::new()));

thread_local! {
    static KEEPS_WARNED: Cell<bool> = const { Cell::new(false) };
}

/// Binds by `body`; if `keep`, constant calls stay calls that fail or raise what the strict modes make an error of.
pub(crate) fn keeping_warned<T>(keep: bool, body: impl FnOnce() -> T) -> T {
    let outer = KEEPS_WARNED.replace(keep);
    let result = body();
    KEEPS_WARNED.set(outer);
    result
}

/// Whether that is so here: the statement writes to a table in a strict mode.
pub(crate) fn keeps_warned() -> bool {
    KEEPS_WARNED.get()
}

/// A call of `udf`, of MySQL type `ty`. If the arguments are constants it becomes its value; a call
/// that fails stays a call, so that the error comes only if the row is reached.
pub(crate) fn call(udf: Arc<ScalarUDF>, args: Vec<Typed>, ty: SqlType) -> Result<Typed, SqlError> {
    let fields: Vec<FieldRef> =
        args.iter().map(|arg| Arc::new(Field::new("", arg.arrow.clone(), arg.nullable))).collect();
    let scalars: Vec<Option<&ScalarValue>> = args.iter().map(Typed::as_literal).collect();
    let collation = Collated::of_all(&args);
    let result = udf
        .return_field_from_args(ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &scalars })
        .map_err(planning_error)?;
    let constant = udf.signature().volatility != Volatility::Volatile && !args.is_empty();
    let mut kept = false;
    if constant && scalars.iter().all(Option::is_some) {
        let values = scalars.iter().flatten().map(|value| ColumnarValue::Scalar((*value).clone())).collect();
        let invoke = || {
            udf.invoke_with_args(ScalarFunctionArgs {
                args: values,
                arg_fields: fields,
                number_rows: 1,
                return_field: Arc::clone(&result),
                config_options: Arc::clone(&OPTIONS),
            })
        };
        let invoked = if keeps_warned() {
            let (invoked, heard) = warnings::hear_all(invoke);
            kept = invoked.is_err() || heard.warnings.iter().any(warnings::Warning::is_error_if_strict);
            if !kept {
                warnings::pass_on(heard);
            }
            invoked
        } else {
            invoke()
        };
        let value = match invoked {
            _ if kept => None,
            Ok(ColumnarValue::Scalar(value)) => Some(value),
            Ok(ColumnarValue::Array(array)) => ScalarValue::try_from_array(&array, 0).ok(),
            Err(_) => None,
        };
        if let Some(value) = value {
            let nullable = value.is_null();
            return Ok(Typed {
                arrow: result.data_type().clone(),
                expr: Expr::Literal(value, None),
                ty,
                nullable,
                collation,
            });
        }
    }
    let mut args: Vec<Expr> = args.into_iter().map(|arg| arg.expr).collect();
    if kept && let Some(first) = args.first_mut() {
        let constant = vec![std::mem::take(first)];
        *first = Expr::ScalarFunction(ScalarFunction { func: unfolded(), args: constant });
    }
    Ok(Typed {
        expr: Expr::ScalarFunction(ScalarFunction { func: udf, args }),
        ty,
        arrow: result.data_type().clone(),
        nullable: result.is_nullable(),
        collation,
    })
}

/// Arrow's own cast, where it does what MySQL does: between numbers, widening; date to datetime.
pub(crate) fn cast(value: Typed, arrow: DataType, ty: SqlType) -> Typed {
    if value.arrow == arrow {
        return Typed { ty, ..value };
    }
    if let Some(literal) = value.as_literal()
        && let Ok(folded) = literal.cast_to(&arrow)
    {
        let nullable = folded.is_null();
        return Typed { expr: Expr::Literal(folded, None), ty, arrow, nullable, ..value };
    }
    let mut expr = value.expr;
    if value.arrow == DataType::Boolean && casts_of_truths(&expr) >= MOST_CASTS {
        expr = casts::truth_number().call(vec![expr]);
        if arrow == DataType::Int64 {
            return Typed { expr, ty, arrow, nullable: value.nullable, collation: value.collation };
        }
    }
    Typed {
        expr: Expr::Cast(Cast::new(Box::new(expr), arrow.clone())),
        ty,
        arrow,
        nullable: value.nullable,
        collation: value.collation,
    }
}

/// A cast asks its argument twice for what it may be, and a comparison both of its sides: `a = b = c = ..` takes
/// twice as long with each that is cast once more. A function knows what it gives, so one in so many stands between.
const MOST_CASTS: usize = 4;

/// How many casts of comparisons lie within each other at the top of an expression.
fn casts_of_truths(expr: &Expr) -> usize {
    match expr {
        Expr::Cast(Cast { expr, .. }) => 1 + casts_of_truths(expr),
        Expr::BinaryExpr(pair) => casts_of_truths(&pair.left).max(casts_of_truths(&pair.right)),
        Expr::Not(expr)
        | Expr::IsNull(expr)
        | Expr::IsNotNull(expr)
        | Expr::IsTrue(expr)
        | Expr::IsFalse(expr)
        | Expr::IsUnknown(expr)
        | Expr::IsNotTrue(expr)
        | Expr::IsNotFalse(expr)
        | Expr::IsNotUnknown(expr)
        | Expr::Negative(expr) => casts_of_truths(expr),
        _ => 0,
    }
}

fn planning_error(error: DataFusionError) -> SqlError {
    crate::query::execution_error(error)
}

/// Whether an expression is the same for all rows and no literal, since a call in it was kept.
pub(crate) fn is_kept_constant(expr: &Expr) -> bool {
    let mut kept = false;
    let varies = expr.exists(|expr| {
        Ok(match expr {
            Expr::ScalarFunction(call) if call.func.name() == unfolded::NAME => {
                kept = true;
                false
            }
            Expr::ScalarFunction(call) => call.func.signature().volatility == Volatility::Volatile,
            Expr::Literal(..)
            | Expr::Cast(_)
            | Expr::Case(_)
            | Expr::BinaryExpr(_)
            | Expr::Not(_)
            | Expr::Negative(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::InList(_) => false,
            _ => true,
        })
    });
    kept && matches!(varies, Ok(false))
}

/// A WHERE whose constant parts are evaluated now, as MySQL does it before it looks at rows, up to the first that lets
/// no row through.
pub(crate) fn with_constant_parts(condition: Expr) -> Expr {
    if !split_conjunction(&condition).into_iter().any(is_kept_constant) {
        return condition;
    }
    let mut decided = false;
    let parts = split_conjunction(&condition).into_iter().map(|part| {
        if let Expr::Literal(value, _) = part {
            decided |= *value != ScalarValue::Boolean(Some(true));
        }
        if decided || !is_kept_constant(part) {
            return part.clone();
        }
        let Ok(value) = evaluate(part) else { return part.clone() };
        decided = value != ScalarValue::Boolean(Some(true));
        Expr::Literal(value, None)
    });
    conjunction(parts.collect::<Vec<_>>()).unwrap_or(condition)
}

/// The value of an expression without columns, by DataFusion's evaluator.
pub(crate) fn evaluate(expr: &Expr) -> Result<ScalarValue, DataFusionError> {
    use arrow::array::{RecordBatch, RecordBatchOptions};
    use arrow::datatypes::Schema;
    if let Expr::Literal(value, _) = expr {
        return Ok(value.clone());
    }
    let props = datafusion::logical_expr::execution_props::ExecutionProps::new();
    let physical = datafusion::physical_expr::create_physical_expr(
        expr,
        &DFSchema::empty(),
        &props,
        &PhysicalPlanningContext::default(),
    )?;
    let one_row = RecordBatch::try_new_with_options(
        Arc::new(Schema::empty()),
        vec![],
        &RecordBatchOptions::new().with_row_count(Some(1)),
    )?;
    match physical.evaluate(&one_row)? {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0),
    }
}
