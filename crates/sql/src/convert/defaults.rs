//! What a column takes that a statement does not name.

use super::{Context, convert_text, convert_value};
use types::{ColumnDef, ColumnDefault, ErrorKind, Result, SqlError, Value};

#[derive(Debug, Clone, PartialEq)]
pub enum DefaultValue {
    /// A value of the column, or NULL.
    Value(Value),
    /// The next number of AUTO_INCREMENT, which the executor gives.
    Generated,
    /// What the table computes of the row: see [`RowRules`](crate::query::RowRules).
    Computed,
}

/// The default of a column at the time of the statement; 1364 if it has none.
pub fn default_value(column: &ColumnDef, context: &Context) -> Result<DefaultValue> {
    if column.auto_increment {
        return Ok(DefaultValue::Generated);
    }
    let value = match &column.default {
        ColumnDefault::Literal(text) => convert_text(text.as_bytes(), column, context, 1)?,
        ColumnDefault::CurrentTimestamp => {
            // Rounding must not reach into the future.
            let fsp = match column.ty {
                types::SqlType::DateTime { fsp } | types::SqlType::Timestamp { fsp } => fsp,
                _ => 6,
            };
            let unit = crate::temporal::fsp_unit(fsp);
            let now = context.now.div_euclid(unit) * unit;
            convert_value(&Value::Timestamp(now), column, context, 1)?
        }
        ColumnDefault::Expression(_) | ColumnDefault::Generated { .. } => return Ok(DefaultValue::Computed),
        ColumnDefault::None | ColumnDefault::Null if column.nullable => Value::Null,
        ColumnDefault::None | ColumnDefault::Null => {
            return Err(SqlError::new(
                ErrorKind::NoDefaultForField,
                format!("Field '{}' doesn't have a default value", column.name),
            ));
        }
    };
    Ok(DefaultValue::Value(value))
}
