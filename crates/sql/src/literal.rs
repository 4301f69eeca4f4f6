//! Expressions that are values already: literals, parameters, and the time functions.

use crate::convert::Context;
use crate::convert::number::scan_decimal;
use crate::parse::reader::hex_bytes;
use crate::temporal::{MICROS_PER_DAY, fsp_unit, parse_date, parse_datetime, parse_time, split_datetime};
use sqlparser::ast::{
    DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, TypedString, UnaryOperator,
    Value as Ast,
};
use types::{ErrorKind, Result, SqlError, Value};

/// The value of an expression that needs no row and no function beyond the clock. `None`: it does.
pub fn literal(expr: &Expr, parameters: &[Value], context: &Context) -> Result<Option<Value>> {
    match expr {
        Expr::Value(value) => ast_value(&value.value, parameters),
        Expr::Nested(inner) => literal(inner, parameters, context),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
            Expr::Value(value) => match &value.value {
                Ast::Number(digits, _) => Ok(number(digits).and_then(negated)),
                _ => Ok(None),
            },
            _ => Ok(None),
        },
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => match expr.as_ref() {
            Expr::Value(value) if matches!(value.value, Ast::Number(..)) => {
                ast_value(&value.value, parameters)
            }
            _ => Ok(None),
        },
        Expr::TypedString(typed) => typed_string(typed),
        Expr::Function(function) => Ok(clock(function, context)),
        _ => Ok(None),
    }
}

/// The number n of a placeholder, from 1.
pub fn placeholder_number(text: &str) -> Option<usize> {
    text.strip_prefix('$')?.parse().ok()
}

fn ast_value(value: &Ast, parameters: &[Value]) -> Result<Option<Value>> {
    Ok(match value {
        Ast::Number(digits, _) => number(digits),
        Ast::SingleQuotedString(text) | Ast::DoubleQuotedString(text) | Ast::NationalStringLiteral(text) => {
            Some(Value::Text(text.clone()))
        }
        Ast::HexStringLiteral(digits) => Some(Value::Bytes(hex_bytes(digits))),
        Ast::SingleQuotedByteStringLiteral(digits) => bits(digits).map(Value::Bytes),
        Ast::Boolean(value) => Some(Value::Int(i64::from(*value))),
        Ast::Null => Some(Value::Null),
        Ast::Placeholder(text) => {
            let at = placeholder_number(text).unwrap_or(0);
            let Some(value) = at.checked_sub(1).and_then(|at| parameters.get(at)) else {
                return Err(SqlError::new(ErrorKind::WrongArguments, "Incorrect arguments to EXECUTE"));
            };
            Some(value.clone())
        }
        _ => None,
    })
}

/// MySQL's type of a number: integer, exact decimal, or double with an exponent.
pub(crate) fn number(digits: &str) -> Option<Value> {
    if digits.bytes().all(|b| b.is_ascii_digit())
        && let Ok(value) = digits.parse::<u64>()
    {
        return Some(i64::try_from(value).map_or(Value::UInt(value), Value::Int));
    }
    if digits.contains(['e', 'E']) {
        return digits.parse().ok().filter(|v: &f64| v.is_finite()).map(Value::Double);
    }
    let decimal = scan_decimal(digits.as_bytes())?;
    let scale = u8::try_from(decimal.scale).ok().filter(|scale| *scale <= 30)?;
    // A mantissa that was cut is not the number any more.
    let significant = digits.bytes().filter(u8::is_ascii_digit).count();
    (significant <= 38).then_some(Value::Decimal { unscaled: decimal.mantissa as i128, scale })
}

pub(crate) fn negated(value: Value) -> Option<Value> {
    Some(match value {
        Value::Int(v) => Value::Int(-v),
        Value::UInt(v) if v == 1 << 63 => Value::Int(i64::MIN),
        Value::UInt(v) => Value::Decimal { unscaled: -i128::from(v), scale: 0 },
        Value::Decimal { unscaled, scale } => Value::Decimal { unscaled: -unscaled, scale },
        Value::Double(v) => Value::Double(-v),
        _ => return None,
    })
}

/// The bytes of `b'..'`, eight bits each, the first filled up with zeros.
fn bits(digits: &str) -> Option<Vec<u8>> {
    let padding = (8 - digits.len() % 8) % 8;
    let padded = "0".repeat(padding) + digits;
    (0..padded.len() / 8).map(|at| u8::from_str_radix(&padded[at * 8..at * 8 + 8], 2).ok()).collect()
}

/// DATE '..', TIME '..' and TIMESTAMP '..', which is a DATETIME.
fn typed_string(typed: &TypedString) -> Result<Option<Value>> {
    let (Ast::SingleQuotedString(text) | Ast::DoubleQuotedString(text)) = &typed.value.value else {
        return Ok(None);
    };
    let bytes = text.as_bytes();
    let (word, value) = match &typed.data_type {
        DataType::Date => ("DATE", parse_date(bytes).map(Value::Date)),
        DataType::Time(None, _) => ("TIME", parse_time(bytes, 6).map(Value::Time)),
        DataType::Timestamp(None, _) | DataType::Datetime(None) => {
            ("DATETIME", parse_datetime(bytes, 6).map(Value::DateTime))
        }
        _ => return Ok(None),
    };
    match value {
        Some(value) => Ok(Some(value)),
        None => Err(SqlError::new(ErrorKind::InvalidDateTime, format!("Incorrect {word} value: '{text}'"))),
    }
}

/// NOW() and its like, at the time of the statement, cut to their fractional digits.
fn clock(function: &Function, context: &Context) -> Option<Value> {
    let [name] = function.name.0.as_slice() else { return None };
    let name = name.as_ident()?.value.to_ascii_uppercase();
    let fsp = match &function.args {
        FunctionArguments::None => 0,
        FunctionArguments::List(list) => match list.args.as_slice() {
            [] => 0,
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] => match &value.value {
                Ast::Number(digits, _) => digits.parse::<u8>().ok().filter(|fsp| *fsp <= 6)?,
                _ => return None,
            },
            _ => return None,
        },
        FunctionArguments::Subquery(_) => return None,
    };
    let unit = fsp_unit(fsp);
    let utc = context.now.div_euclid(unit) * unit;
    let local = context.zone.to_local(utc);
    Some(match name.as_str() {
        "NOW" | "CURRENT_TIMESTAMP" | "LOCALTIME" | "LOCALTIMESTAMP" => Value::Timestamp(utc),
        "CURDATE" | "CURRENT_DATE" if fsp == 0 => Value::Date(split_datetime(local).0),
        "CURTIME" | "CURRENT_TIME" => Value::Time(local.rem_euclid(MICROS_PER_DAY)),
        "UTC_TIMESTAMP" => Value::DateTime(utc),
        "UTC_DATE" if fsp == 0 => Value::Date(split_datetime(utc).0),
        "UTC_TIME" => Value::Time(utc.rem_euclid(MICROS_PER_DAY)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse_expr;

    fn value(text: &str) -> Option<Value> {
        literal(&parse_expr(text).unwrap(), &[Value::Int(9)], &Context::fixed()).unwrap()
    }

    #[test]
    fn types_of_literals() {
        assert_eq!(value("-9223372036854775808"), Some(Value::Int(i64::MIN)));
        assert_eq!(value("18446744073709551615"), Some(Value::UInt(u64::MAX)));
        assert_eq!(value("(1.50)"), Some(Value::Decimal { unscaled: 150, scale: 2 }));
        assert_eq!(value("-.5"), Some(Value::Decimal { unscaled: -5, scale: 1 }));
        assert_eq!(value("1e3"), Some(Value::Double(1000.0)));
        assert_eq!(value("b'100000001'"), Some(Value::Bytes(vec![1, 1])));
        assert_eq!(value("date '1970-01-02'"), Some(Value::Date(1)));
        assert_eq!(value("timestamp '1970-01-01 00:00:01.5'"), Some(Value::DateTime(1_500_000)));
        assert_eq!(value("?"), Some(Value::Int(9)));
        assert_eq!(value("now(3)"), Some(Value::Timestamp(0)));
        assert_eq!(value("current_date"), Some(Value::Date(0)));
        assert_eq!(value("1 + 1"), None);
        assert_eq!(value("a"), None);
        let wrong = literal(&parse_expr("date '2024-13-01'").unwrap(), &[], &Context::fixed());
        assert_eq!(wrong.unwrap_err().message, "Incorrect DATE value: '2024-13-01'");
    }
}
