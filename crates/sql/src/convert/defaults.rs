//! What a column takes that a statement does not name.

use super::{Context, convert_text, convert_value};
use types::{ColumnDef, ColumnDefault, ErrorKind, Result, SqlError, SqlType, Value};

#[derive(Debug, Clone, PartialEq)]
pub enum DefaultValue {
    /// A value of the column, or NULL.
    Value(Value),
    /// The next number of AUTO_INCREMENT, which the executor gives.
    Generated,
    /// What the table computes of the row: see [`RowRules`](crate::query::RowRules).
    Computed,
}

/// What an ENUM that is NOT NULL and has no default takes.
fn first_label(column: &ColumnDef) -> Result<Value> {
    let label = column.ty.labels().and_then(|labels| labels.as_slice().first());
    label.map(|label| Value::Text(label.clone())).ok_or_else(|| no_default(column))
}

fn no_default(column: &ColumnDef) -> SqlError {
    SqlError::new(
        ErrorKind::NoDefaultForField,
        format!("Field '{}' doesn't have a default value", column.name),
    )
}

/// The text of a default to its value. A BIT's is the digits of its number, as a text it would be its bytes.
pub fn convert_default(text: &str, column: &ColumnDef, context: &Context) -> Result<Value> {
    match (column.ty, text.parse()) {
        (SqlType::Bit(_), Ok(number)) => convert_value(&Value::UInt(number), column, context, 1),
        _ => convert_text(text.as_bytes(), column, context, 1),
    }
}

/// CURRENT_TIMESTAMP as a value of the column.
pub(crate) fn current_time(column: &ColumnDef, context: &Context) -> Result<Value> {
    // Rounding must not reach into the future.
    let fsp = match column.ty {
        SqlType::DateTime { fsp } | SqlType::Timestamp { fsp } => fsp,
        _ => 6,
    };
    let unit = crate::temporal::fsp_unit(fsp);
    let now = context.now.div_euclid(unit) * unit;
    convert_value(&Value::Timestamp(now), column, context, 1)
}

/// The default of a column at the time of the statement; 1364 if it has none.
pub fn default_value(column: &ColumnDef, context: &Context) -> Result<DefaultValue> {
    if column.auto_increment {
        return Ok(DefaultValue::Generated);
    }
    let value = match &column.default {
        ColumnDefault::Literal(text) => convert_default(text, column, context)?,
        ColumnDefault::CurrentTimestamp => current_time(column, context)?,
        ColumnDefault::Expression(_) | ColumnDefault::Generated { .. } | ColumnDefault::CollationKey(_) => {
            return Ok(DefaultValue::Computed);
        }
        ColumnDefault::None | ColumnDefault::Null if column.nullable => Value::Null,
        ColumnDefault::None if matches!(column.ty, SqlType::Enum(_)) => first_label(column)?,
        ColumnDefault::None | ColumnDefault::Null => {
            super::lenient::missing_default(column, context, no_default(column))?
        }
    };
    Ok(DefaultValue::Value(value))
}
