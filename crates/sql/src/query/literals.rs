//! What literals, units and type names in expressions mean.

use crate::analyzer::Typed;
use crate::analyzer::convert::CastTarget;
use crate::functions::interval::Unit;
use sqlparser::ast;
use types::{ErrorKind, SqlError, SqlType};

/// A LIKE pattern whose escape is the backslash, which only stands before what it must.
pub(super) fn backslash_pattern(pattern: &str, escape: Option<char>) -> String {
    let mut out = String::with_capacity(pattern.len());
    let literal = |out: &mut String, c: char| {
        if matches!(c, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(c);
    };
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            literal(&mut out, chars.next().unwrap_or(c));
        } else if c == '\\' {
            literal(&mut out, c);
        } else {
            out.push(c);
        }
    }
    out
}

/// A number as written: BIGINT, BIGINT UNSIGNED, DECIMAL, or DOUBLE if it has an exponent.
pub(super) fn number(digits: &str) -> Result<Typed, SqlError> {
    if digits.contains(['e', 'E']) {
        return match digits.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Typed::double(value)),
            _ => Err(SqlError::new(
                ErrorKind::IllegalValueForType,
                format!("Illegal double '{digits}' value found during parsing"),
            )),
        };
    }
    if let Ok(value) = digits.parse::<i64>() {
        return Ok(Typed::int(value));
    }
    if let Ok(value) = digits.parse::<u64>() {
        return Ok(Typed::uint(value));
    }
    let trimmed = digits.strip_suffix('.').unwrap_or(digits);
    match crate::analyzer::compare::plain_number(trimmed) {
        Some((unscaled, scale)) if unscaled.unsigned_abs() < 10u128.pow(38) => {
            Ok(Typed::decimal(unscaled, scale))
        }
        // More digits than a DECIMAL has.
        _ => match digits.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Typed::double(value)),
            _ => Err(illegal_number(digits)),
        },
    }
}

fn illegal_number(digits: &str) -> SqlError {
    SqlError::new(ErrorKind::ParseError, format!("Illegal number '{digits}'"))
}

pub(super) fn hex_literal(digits: &str) -> Result<Typed, SqlError> {
    let digits = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits.to_string() };
    let bytes: Option<Vec<u8>> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect();
    match bytes {
        Some(bytes) => Ok(literal_of_bytes(bytes)),
        None => Err(illegal_number(&digits)),
    }
}

pub(super) fn bit_literal(bits: &str) -> Result<Typed, SqlError> {
    let mut bytes = Vec::with_capacity(bits.len().div_ceil(8));
    for chunk in bits.as_bytes().rchunks(8) {
        let mut byte = 0u8;
        for bit in chunk {
            byte = match bit {
                b'0' => byte << 1,
                b'1' => byte << 1 | 1,
                _ => return Err(illegal_number(bits)),
            };
        }
        bytes.push(byte);
    }
    bytes.reverse();
    Ok(literal_of_bytes(bytes))
}

/// A hexadecimal or bit literal: bytes, but a number where a number is wanted. That it is one shows in
/// its type, BINARY, which no other constant has.
fn literal_of_bytes(bytes: Vec<u8>) -> Typed {
    let ty = SqlType::Binary(bytes.len().min(255) as u32);
    Typed { ty, ..Typed::binary(bytes) }
}

/// The unit of INTERVAL and EXTRACT.
pub(super) fn unit_of(field: &ast::DateTimeField) -> Result<Unit, SqlError> {
    Unit::parse(&field.to_string())
        .ok_or_else(|| SqlError::new(ErrorKind::ParseError, format!("'{field}' is not a unit of time")))
}

/// The type named in CAST.
pub(super) fn cast_target(ty: &ast::DataType) -> Result<CastTarget, SqlError> {
    use ast::DataType as D;
    let fsp = |precision: &Option<u64>| u8::try_from(precision.unwrap_or(0)).unwrap_or(7).min(6);
    let length = |length: &Option<ast::CharacterLength>| match length {
        Some(ast::CharacterLength::IntegerLength { length, .. }) => {
            Some(u32::try_from(*length).unwrap_or(u32::MAX))
        }
        _ => None,
    };
    if let D::Datetime(Some(digits @ 7..))
    | D::Timestamp(Some(digits @ 7..), _)
    | D::Time(Some(digits @ 7..), _) = ty
    {
        return Err(SqlError::new(
            ErrorKind::TooBigPrecision,
            format!("Too-big precision {digits} specified for 'CAST'. Maximum is 6."),
        ));
    }
    Ok(match ty {
        D::Signed | D::SignedInteger | D::BigInt(_) | D::Int(_) | D::Integer(_) => CastTarget::Signed,
        D::Unsigned
        | D::UnsignedInteger
        | D::BigIntUnsigned(_)
        | D::IntUnsigned(_)
        | D::IntegerUnsigned(_) => CastTarget::Unsigned,
        D::Decimal(info) | D::Dec(info) | D::Numeric(info) => {
            let (precision, scale) = match info {
                ast::ExactNumberInfo::None => (10, 0),
                ast::ExactNumberInfo::Precision(precision) => (*precision, 0),
                ast::ExactNumberInfo::PrecisionAndScale(precision, scale) => {
                    (*precision, u64::try_from(*scale).unwrap_or(u64::MAX))
                }
            };
            let precision = if precision == 0 { 10 } else { precision };
            if precision > u64::from(SqlType::MAX_PRECISION) {
                return Err(SqlError::new(
                    ErrorKind::NotSupportedYet,
                    format!(
                        "Pando doesn't yet support 'DECIMAL with more than {} digits'",
                        SqlType::MAX_PRECISION
                    ),
                ));
            }
            if scale > precision.min(30) {
                return Err(SqlError::new(
                    ErrorKind::ParseError,
                    "For DECIMAL(M,D), M must be >= D and D at most 30",
                ));
            }
            CastTarget::Decimal { precision: precision as u8, scale: scale as u8 }
        }
        D::Double(_) | D::DoublePrecision | D::Real => CastTarget::Double,
        D::Float(_) => CastTarget::Float,
        D::Date => CastTarget::Date,
        D::Datetime(precision) | D::Timestamp(precision, _) => CastTarget::DateTime { fsp: fsp(precision) },
        D::Time(precision, _) => CastTarget::Time { fsp: fsp(precision) },
        D::Char(n) | D::Character(n) | D::Varchar(n) | D::Nvarchar(n) => CastTarget::Char(length(n)),
        D::Text => CastTarget::Char(None),
        D::Binary(n) => CastTarget::Binary(n.map(|n| u32::try_from(n).unwrap_or(u32::MAX))),
        D::Custom(name, _) if name.to_string().eq_ignore_ascii_case("year") => CastTarget::Year,
        other => return Err(SqlError::unsupported(format_args!("CAST to {other}"))),
    })
}
