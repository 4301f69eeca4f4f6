//! Predicates as EXPLAIN shows them.

use columnstore::{Compare, Predicate};
use std::fmt;
use types::{ColumnId, TableDef, Value};

pub(crate) fn describe(predicate: &Predicate, def: &TableDef, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let name = |id: &ColumnId| def.column(*id).map_or_else(|| id.to_string(), |column| column.name.clone());
    match predicate {
        Predicate::Compare { column, op, value } => {
            write!(f, "{} {} {}", name(column), symbol(*op), text(value, column, def))
        }
        Predicate::In { column, values } => {
            write!(f, "{} IN (", name(column))?;
            for (i, value) in values.iter().take(8).enumerate() {
                write!(f, "{}{}", if i == 0 { "" } else { ", " }, text(value, column, def))?;
            }
            f.write_str(if values.len() > 8 { ", ..)" } else { ")" })
        }
        Predicate::Keys { column, keys } => write!(f, "{} IN ({} keys)", name(column), keys.len()),
        Predicate::IsNull(column) => write!(f, "{} IS NULL", name(column)),
        Predicate::IsNotNull(column) => write!(f, "{} IS NOT NULL", name(column)),
        Predicate::Columns { left, op, right } => {
            write!(f, "{} {} {}", name(left), symbol(*op), name(right))
        }
        Predicate::Bytes { column, label, .. } => write!(f, "{} {label}", name(column)),
        Predicate::Or(branches) => {
            f.write_str("(")?;
            for (i, branch) in branches.iter().enumerate() {
                f.write_str(if i == 0 { "" } else { " OR " })?;
                for (j, predicate) in branch.iter().enumerate() {
                    f.write_str(if j == 0 { "" } else { " AND " })?;
                    describe(predicate, def, f)?;
                }
            }
            f.write_str(if branches.is_empty() { "FALSE)" } else { ")" })
        }
    }
}

fn symbol(op: Compare) -> &'static str {
    match op {
        Compare::Eq => "=",
        Compare::NotEq => "<>",
        Compare::Less => "<",
        Compare::LessEq => "<=",
        Compare::Greater => ">",
        Compare::GreaterEq => ">=",
    }
}

fn text(value: &Value, column: &ColumnId, def: &TableDef) -> String {
    let scalar = def.column(*column).and_then(|column| super::estimate::to_scalar(value, column.ty));
    match (value, scalar) {
        (Value::Decimal { unscaled, scale }, _) => {
            let divisor = 10u128.pow(u32::from(*scale).min(38));
            let (sign, digits) = (if *unscaled < 0 { "-" } else { "" }, unscaled.unsigned_abs());
            match scale {
                0 => format!("{sign}{digits}"),
                _ => format!(
                    "{sign}{}.{:0width$}",
                    digits / divisor,
                    digits % divisor,
                    width = usize::from(*scale)
                ),
            }
        }
        (Value::Text(text), _) => format!("'{text}'"),
        (_, Some(scalar)) => scalar.to_string(),
        (value, None) => format!("{value:?}"),
    }
}
