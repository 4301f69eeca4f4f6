//! What a column takes of a value that is none of its own, where that is no error: outside of the strict
//! modes, and under IGNORE. Each time a warning says so, with the text that the error would have.
//!
//! A number out of range becomes the nearest one, text that is no number 0, text with a number at its
//! beginning that number, a text that is too long its beginning, NULL in a column that takes none the zero of
//! its type. There is no zero date, no empty ENUM and no JSON beside JSON: those stay errors.

use super::builder::{binary_limit, range};
use super::number::{POWERS, scan_decimal};
use super::{ColumnBuilder, Context, Scalar, Wrong};
use crate::functions::warnings::warn;
use std::borrow::Cow;
use types::{ColumnDef, Result, SqlError, SqlType, Value};

impl ColumnBuilder {
    /// Appends a value to a column in the way of an assignment. `row`, from 1, is for messages.
    pub fn assign(
        &mut self,
        scalar: &Scalar<'_>,
        column: &ColumnDef,
        context: &Context,
        row: u64,
    ) -> Result<()> {
        let Err(wrong) = self.append(scalar, context) else { return Ok(()) };
        let error = wrong.at(column, &scalar.text(), row);
        if !context.lenient {
            return Err(error);
        }
        let Some(told) = self.append_nearest(wrong, scalar, context) else { return Err(error) };
        let told = told.at(column, &scalar.text(), row);
        warn(told.kind, || told.message);
        Ok(())
    }

    /// Appends what comes nearest to a value that the column does not take; gives what a warning has to
    /// say. `None`: nothing comes near, and nothing was appended.
    pub(crate) fn append_nearest(
        &mut self,
        wrong: Wrong,
        scalar: &Scalar<'_>,
        context: &Context,
    ) -> Option<Wrong> {
        let nearest = nearest(wrong, scalar, self.ty)?;
        match self.append(&Scalar::of(&nearest), context) {
            Ok(()) if wrong == Wrong::TooLong && matches!(self.ty, SqlType::Bit(_)) => {
                Some(Wrong::OutOfRange)
            }
            Ok(()) if wrong == Wrong::TooLong => Some(Wrong::Truncated),
            Ok(()) => Some(wrong),
            // A number at the beginning of a text may still be none of the column.
            Err(wrong @ Wrong::OutOfRange) => {
                let bound = self::nearest(wrong, &Scalar::of(&nearest), self.ty)?;
                self.append(&Scalar::of(&bound), context).ok()?;
                Some(wrong)
            }
            Err(_) => None,
        }
    }
}

/// The value of a column that names no default and is given none: 0, an empty text. None of dates.
pub(crate) fn zero(ty: SqlType) -> Option<Value> {
    if ty.is_integer() || matches!(ty, SqlType::Bit(_)) {
        return Some(Value::Int(0));
    }
    match ty {
        SqlType::Decimal { .. } | SqlType::Float | SqlType::Double => Some(Value::Int(0)),
        SqlType::Time { .. } => Some(Value::Time(0)),
        SqlType::Char(_) | SqlType::VarChar(_) | SqlType::Text(_) => Some(Value::Text(String::new())),
        SqlType::Set(_) => Some(Value::Text(String::new())),
        SqlType::Binary(_) | SqlType::VarBinary(_) | SqlType::Blob(_) => Some(Value::Bytes(Vec::new())),
        _ => None,
    }
}

fn nearest(wrong: Wrong, scalar: &Scalar<'_>, ty: SqlType) -> Option<Value> {
    match wrong {
        Wrong::Null => zero(ty),
        Wrong::OutOfRange => bound(ty, is_negative(scalar)),
        // All of its bits.
        Wrong::TooLong if matches!(ty, SqlType::Bit(_)) => bound(ty, false),
        Wrong::TooLong => Some(cut(&scalar.text(), ty)),
        Wrong::Truncated if is_number(ty) => {
            let text = scalar.text();
            let length = scan_decimal(&text)?.length;
            Some(Value::Text(String::from_utf8_lossy(&text[..length]).into_owned()))
        }
        Wrong::Truncated => match ty {
            SqlType::Set(labels) => {
                let text = scalar.text();
                let text = std::str::from_utf8(&text).ok()?;
                let known = text.split(',').filter(|label| labels.bits(label).is_some_and(|bits| bits != 0));
                Some(Value::Text(known.collect::<Vec<_>>().join(",")))
            }
            _ => None,
        },
        Wrong::Incorrect if is_number(ty) => {
            let text = scalar.text();
            match scan_decimal(&text) {
                Some(number) => {
                    Some(Value::Text(String::from_utf8_lossy(&text[..number.length]).into_owned()))
                }
                None => zero(ty),
            }
        }
        Wrong::Incorrect if matches!(ty, SqlType::Time { .. }) => zero(ty),
        Wrong::NotUtf8 => {
            let text = scalar.text();
            let valid = std::str::from_utf8(&text).err().map_or(text.len(), |error| error.valid_up_to());
            Some(cut(&text[..valid], ty))
        }
        Wrong::Incorrect | Wrong::NotJson { .. } => None,
    }
}

fn is_number(ty: SqlType) -> bool {
    ty.is_integer() || matches!(ty, SqlType::Decimal { .. } | SqlType::Float | SqlType::Double)
}

fn is_negative(scalar: &Scalar<'_>) -> bool {
    let text: Cow<'_, [u8]> = scalar.text();
    text.trim_ascii_start().starts_with(b"-")
}

/// The least or the greatest value of a type of numbers.
fn bound(ty: SqlType, least: bool) -> Option<Value> {
    if ty == SqlType::Year {
        return Some(Value::Int(0));
    }
    if ty.is_integer() || matches!(ty, SqlType::Bit(_)) {
        let (low, high) = range(ty);
        let value = if least { low } else { high };
        return match i64::try_from(value) {
            Ok(value) => Some(Value::Int(value)),
            Err(_) => u64::try_from(value).ok().map(Value::UInt),
        };
    }
    match ty {
        SqlType::Decimal { precision, scale } => {
            let most = POWERS[usize::from(precision).min(POWERS.len() - 1)] - 1;
            Some(Value::Decimal { unscaled: if least { -most } else { most }, scale })
        }
        SqlType::Float => Some(Value::Float(if least { f32::MIN } else { f32::MAX })),
        SqlType::Double => Some(Value::Double(if least { f64::MIN } else { f64::MAX })),
        _ => None,
    }
}

/// As much of a text as a column takes.
fn cut(text: &[u8], ty: SqlType) -> Value {
    let characters = |text: &[u8], most: usize| {
        let text = String::from_utf8_lossy(text);
        Value::Text(text.chars().take(most).collect())
    };
    match ty {
        SqlType::Char(most) | SqlType::VarChar(most) => characters(text, most as usize),
        SqlType::Text(size) => {
            let most = usize::try_from(size.max_bytes()).unwrap_or(usize::MAX).min(text.len());
            let valid = std::str::from_utf8(&text[..most]).err().map_or(most, |error| error.valid_up_to());
            characters(&text[..valid], usize::MAX)
        }
        _ => {
            let (most, _) = binary_limit(ty);
            let most = usize::try_from(most).unwrap_or(usize::MAX).min(text.len());
            Value::Bytes(text[..most].to_vec())
        }
    }
}

/// Error 1364, or the zero of the column's type and a warning.
pub(super) fn missing_default(column: &ColumnDef, context: &Context, error: SqlError) -> Result<Value> {
    match zero(column.ty).filter(|_| context.lenient) {
        Some(value) => {
            warn(error.kind, || error.message);
            Ok(value)
        }
        None => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::warnings::gather;
    use types::sql_type::LobSize;
    use types::{ColumnDefault, ColumnId};

    fn assigned(ty: SqlType, value: Value) -> Result<(Value, Vec<String>), String> {
        let column = ColumnDef {
            id: ColumnId(1),
            name: "c".into(),
            ty,
            collation: Default::default(),
            nullable: false,
            default: ColumnDefault::None,
            initial: None,
            auto_increment: false,
            on_update_now: false,
            comment: String::new(),
        };
        let context = Context { lenient: true, ..Context::fixed() };
        let mut builder = ColumnBuilder::new(&column, 1);
        let (result, warnings) = gather(|| builder.assign(&Scalar::of(&value), &column, &context, 3));
        result.map_err(|error| error.message)?;
        let warnings =
            warnings.into_iter().map(|w| format!("{} {}", w.kind.errno(), w.message)).collect::<Vec<_>>();
        Ok((super::super::value_at(&builder.finish(), ty, 0), warnings))
    }

    #[test]
    fn the_nearest_value_and_a_warning() {
        let text = |text: &str| Value::Text(text.into());
        let tiny = SqlType::TinyInt { unsigned: false };
        let unsigned = SqlType::Int { unsigned: true };
        let decimal = SqlType::Decimal { precision: 4, scale: 1 };
        for (ty, value, wanted, warning) in [
            (tiny, Value::Int(300), Value::Int(127), "1264 Out of range value for column 'c' at row 3"),
            (tiny, text("-999"), Value::Int(-128), "1264 Out of range value for column 'c' at row 3"),
            (tiny, text("12abc"), Value::Int(12), "1265 Data truncated for column 'c' at row 3"),
            (tiny, text("1200abc"), Value::Int(127), "1264 Out of range value for column 'c' at row 3"),
            (tiny, text("x"), Value::Int(0), "1366 Incorrect integer value: 'x' for column 'c' at row 3"),
            (tiny, Value::Null, Value::Int(0), "1048 Column 'c' cannot be null"),
            (unsigned, Value::Int(-1), Value::UInt(0), "1264 Out of range value for column 'c' at row 3"),
            (
                decimal,
                text("-12345"),
                Value::Decimal { unscaled: -9999, scale: 1 },
                "1264 Out of range value for column 'c' at row 3",
            ),
            (SqlType::VarChar(3), text("äöüx"), text("äöü"), "1265 Data truncated for column 'c' at row 3"),
            (
                SqlType::VarBinary(2),
                Value::Bytes(vec![1, 2, 3]),
                Value::Bytes(vec![1, 2]),
                "1265 Data truncated for column 'c' at row 3",
            ),
        ] {
            let found = assigned(ty, value.clone()).unwrap_or_else(|error| panic!("{value:?}: {error}"));
            assert_eq!(found, (wanted, vec![warning.to_string()]), "{value:?}");
        }
        assert_eq!(assigned(tiny, Value::Int(5)), Ok((Value::Int(5), Vec::new())));
        // 255 bytes end within a character.
        let long = "ä".repeat(200);
        let (cut, warnings) = assigned(SqlType::Text(LobSize::Tiny), text(&long)).unwrap();
        assert_eq!((cut, warnings.len()), (text(&"ä".repeat(127)), 1));
    }

    #[test]
    fn what_has_no_zero_stays_an_error() {
        for (ty, value) in [
            (SqlType::Date, Value::Null),
            (SqlType::Date, Value::Text("x".into())),
            (SqlType::DateTime { fsp: 0 }, Value::Text("2024-13-01".into())),
            (SqlType::Json, Value::Text("{".into())),
        ] {
            assert!(assigned(ty, value).is_err(), "{ty}");
        }
    }
}
