//! CREATE TABLE to a table's definition, with MySQL's checks, and back to text.

mod alter;
mod collations;
pub mod errors;
mod keys;
pub mod rebuild;
mod show;
#[cfg(test)]
mod tests;

use crate::convert::{Context, Scalar, convert_default};
use crate::statement::{CheckSpec, ColumnSpec, CreateTable, DefaultSpec, KeyKind};
use std::collections::HashSet;
use types::{
    CheckDef, Collation, ColumnDef, ColumnDefault, ColumnId, DatabaseId, Result, SqlError, SqlType, TableDef,
    TableId, Value,
};

pub use alter::{Altered, altered};
pub use collations::binary_unique_keys;
pub use keys::check_collocation;
pub use show::KeyMark;
pub(crate) use show::key_of;
pub use show::{ColumnRow, column_rows, columns_rows, create_database, quote_name, show_create_table};

/// MySQL's limit of names, in characters.
const MAX_NAME: usize = 64;
/// MySQL's limit of columns in a table.
const MAX_COLUMNS: usize = 4096;

/// The definition that a CREATE TABLE with columns describes. Column ids are 1..n; the table's id,
/// database and version are 0 and given by the catalog.
pub fn table_def(create: &CreateTable) -> Result<TableDef> {
    if create.like.is_some() {
        return Err(SqlError::unsupported("CREATE TABLE .. LIKE"));
    }
    check_table_name(&create.name.name)?;
    if create.columns.is_empty() {
        return Err(errors::no_columns());
    }
    if create.columns.len() > MAX_COLUMNS {
        return Err(SqlError::new(types::ErrorKind::ManyKeys, "Too many columns"));
    }
    let mut seen = HashSet::new();
    let mut columns = Vec::with_capacity(create.columns.len());
    for (place, spec) in create.columns.iter().enumerate() {
        check_column_name(&spec.name.value)?;
        if !seen.insert(spec.name.value.to_lowercase()) {
            return Err(errors::duplicate_column(&spec.name.value));
        }
        columns.push(column_def(spec, ColumnId(place as u32 + 1), create.collation.unwrap_or_default())?);
    }
    let next_column_id = ColumnId(columns.len() as u32 + 1);
    let mut def = TableDef {
        id: TableId(0),
        database: DatabaseId(0),
        name: create.name.name.clone(),
        version: 0,
        columns,
        next_column_id,
        shard_key: Vec::new(),
        sort_key: Vec::new(),
        primary_key: Vec::new(),
        keys: Vec::new(),
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        comment: create.comment.clone(),
        collation: create.collation.unwrap_or_default(),
        replacement: None,
        reference: create.reference,
    };
    checks(&mut def, create)?;
    let null_in_primary = keys::apply(&mut def, create)?;
    if null_in_primary {
        return Err(errors::primary_key_null());
    }
    for column in &mut def.columns {
        // A column that takes NULL and names no default has the default NULL.
        if column.nullable && column.default == ColumnDefault::None {
            column.default = ColumnDefault::Null;
        }
    }
    check_auto_increment(&def)?;
    for column in &mut def.columns {
        settle_default(column)?;
    }
    crate::query::check_rules(&def)?;
    Ok(def)
}

/// The constraints, those without a name numbered as MySQL numbers them.
fn checks(def: &mut TableDef, create: &CreateTable) -> Result<()> {
    for column in &create.columns {
        for check in &column.checks {
            let name = add_check(def, check)?;
            let others = def.columns.iter().filter(|other| other.name != column.name.value);
            if let Some(other) =
                others.map(|other| &other.name).find(|other| crate::query::mentions(&check.expression, other))
            {
                return Err(SqlError::new(
                    types::ErrorKind::CheckConstraintColumn,
                    format!(
                        "Column check constraint '{name}' references other column '{other}'; write it as a \
                         constraint of the table."
                    ),
                ));
            }
        }
    }
    create.checks.iter().try_for_each(|check| add_check(def, check).map(|_| ()))
}

fn add_check(def: &mut TableDef, check: &CheckSpec) -> Result<String> {
    let taken = |name: &str| def.checks.iter().any(|other| other.name.eq_ignore_ascii_case(name));
    let name = match &check.name {
        Some(name) => {
            check_length(name)?;
            name.clone()
        }
        None => (1..)
            .map(|number| format!("{}_chk_{number}", def.name))
            .find(|name| !taken(name))
            .unwrap_or_default(),
    };
    if taken(&name) {
        return Err(SqlError::new(
            types::ErrorKind::CheckConstraintDuplicateName,
            format!("Duplicate check constraint name '{name}'."),
        ));
    }
    def.checks.push(CheckDef {
        name: name.clone(),
        expression: check.expression.clone(),
        enforced: check.enforced,
    });
    Ok(name)
}

pub fn check_table_name(name: &str) -> Result<()> {
    check_length(name)?;
    let wrong = name.is_empty() || name.ends_with(' ') || name.contains(['/', '\\', '\0']);
    let wrong = wrong || name.starts_with(types::schema::TEMPORARY_PREFIX);
    if wrong { Err(errors::wrong_table_name(name)) } else { Ok(()) }
}

pub fn check_database_name(name: &str) -> Result<()> {
    check_length(name)?;
    let wrong = name.is_empty() || name.ends_with(' ') || name.contains(['/', '\\', '\0']);
    if wrong {
        return Err(SqlError::new(
            types::ErrorKind::WrongDatabaseName,
            format!("Incorrect database name '{name}'"),
        ));
    }
    Ok(())
}

fn check_column_name(name: &str) -> Result<()> {
    check_length(name)?;
    // Names with this prefix are columns of ours that a table does not show.
    let wrong = name.is_empty() || name.ends_with(' ') || name == "__row" || name == "__partition";
    let wrong = wrong || name.to_ascii_lowercase().starts_with(collations::HIDDEN_PREFIX);
    if wrong { Err(errors::wrong_column_name(name)) } else { Ok(()) }
}

fn check_length(name: &str) -> Result<()> {
    if name.chars().count() > MAX_NAME { Err(errors::too_long_name(name)) } else { Ok(()) }
}

fn is_lob(ty: SqlType) -> bool {
    matches!(ty, SqlType::Text(_) | SqlType::Blob(_) | SqlType::Json)
}

/// `collation`: of a string that names none.
fn column_def(spec: &ColumnSpec, id: ColumnId, collation: Collation) -> Result<ColumnDef> {
    let name = spec.name.value.clone();
    let default = match &spec.default {
        default if spec.generated.is_some() => {
            if default.is_some() || spec.auto_increment || spec.on_update_now {
                return Err(SqlError::new(
                    types::ErrorKind::WrongUsage,
                    format!("Incorrect usage of DEFAULT and generated column '{name}'"),
                ));
            }
            match &spec.generated {
                Some(generated) => ColumnDefault::Generated {
                    expression: generated.expression.clone(),
                    stored: generated.stored,
                },
                None => ColumnDefault::None,
            }
        }
        None => ColumnDefault::None,
        Some(DefaultSpec::Null) if spec.nullable == Some(false) => {
            return Err(errors::invalid_default(&name));
        }
        Some(DefaultSpec::Null) => ColumnDefault::Null,
        Some(DefaultSpec::Literal { .. }) if is_lob(spec.ty) => {
            return Err(errors::lob_default(&name));
        }
        Some(DefaultSpec::Literal { text, is_string }) => literal_default(&name, spec.ty, text, *is_string)?,
        Some(DefaultSpec::Expression(text)) => ColumnDefault::Expression(text.clone()),
        Some(DefaultSpec::CurrentTimestamp { fsp }) => {
            if moment_fsp(spec.ty) != Some(*fsp) {
                return Err(errors::invalid_default(&name));
            }
            ColumnDefault::CurrentTimestamp
        }
    };
    if spec.on_update_now && moment_fsp(spec.ty).is_none() {
        return Err(errors::invalid_on_update(&name));
    }
    if spec.auto_increment {
        let counts = spec.ty.is_integer() && spec.ty != SqlType::Year;
        if !counts {
            return Err(errors::wrong_column_specifier(&name));
        }
        if !matches!(default, ColumnDefault::None) {
            return Err(errors::invalid_default(&name));
        }
    }
    Ok(ColumnDef {
        id,
        name,
        ty: spec.ty,
        collation: if spec.ty.is_string() && spec.ty != SqlType::Json {
            spec.collation.unwrap_or(collation)
        } else {
            Collation::default()
        },
        // AUTO_INCREMENT implies NOT NULL.
        nullable: spec.nullable.unwrap_or(true) && !spec.auto_increment,
        default,
        auto_increment: spec.auto_increment,
        initial: None,
        on_update_now: spec.on_update_now,
        comment: spec.comment.clone(),
    })
}

/// The fractional digits of a type that CURRENT_TIMESTAMP may fill.
fn moment_fsp(ty: SqlType) -> Option<u8> {
    match ty {
        SqlType::DateTime { fsp } | SqlType::Timestamp { fsp } => Some(fsp),
        _ => None,
    }
}

fn check_auto_increment(def: &TableDef) -> Result<()> {
    let mut auto = def.columns.iter().filter(|c| c.auto_increment);
    let Some(column) = auto.next() else { return Ok(()) };
    let leads = |columns: &[ColumnId]| columns.first() == Some(&column.id);
    let is_key = leads(&def.primary_key) || def.keys.iter().any(|key| leads(&key.columns));
    if auto.next().is_some() || !is_key { Err(errors::wrong_auto_key()) } else { Ok(()) }
}

/// A literal as a default. That of a BIT is kept as the digits of its number.
fn literal_default(column: &str, ty: SqlType, text: &str, is_string: bool) -> Result<ColumnDefault> {
    let text = match ty {
        SqlType::Bit(_) if is_string => match types::bits::number(text.as_bytes()) {
            Some(number) => number.to_string(),
            None => return Err(errors::invalid_default(column)),
        },
        _ => text.to_string(),
    };
    Ok(ColumnDefault::Literal(text))
}

/// A default must be a value of its column; it is kept and shown as the column would show it.
fn settle_default(column: &mut ColumnDef) -> Result<()> {
    match &column.default {
        ColumnDefault::Literal(text) => {
            let value = convert_default(text, column, &Context::fixed())
                .map_err(|_| errors::invalid_default(&column.name))?;
            if let Some(text) = shown(&value, column.ty) {
                column.default = ColumnDefault::Literal(text);
            }
            Ok(())
        }
        ColumnDefault::Null if !column.nullable => Err(errors::invalid_default(&column.name)),
        _ => Ok(()),
    }
}

/// A value of a column as text. `None`: not NULL, nor text.
fn shown(value: &Value, ty: SqlType) -> Option<String> {
    let scalar = match (value, ty) {
        (Value::Null | Value::Bytes(_), _) => return None,
        (Value::Decimal { unscaled, scale: own }, SqlType::Decimal { scale, .. }) if scale > *own => {
            let unit = 10i128.checked_pow(u32::from(scale - own))?;
            Scalar::Decimal { unscaled: unscaled.checked_mul(unit)?, scale }
        }
        (Value::Time(micros), SqlType::Time { fsp }) => Scalar::Time { micros: *micros, fsp },
        (Value::DateTime(micros), SqlType::DateTime { fsp }) => Scalar::DateTime { micros: *micros, fsp },
        (Value::Timestamp(micros), SqlType::Timestamp { fsp }) => Scalar::Timestamp { micros: *micros, fsp },
        (value, _) => Scalar::of(value),
    };
    String::from_utf8(scalar.text().into_owned()).ok()
}

/// Whether the statement asks for this kind of key.
fn has_key(create: &CreateTable, kind: KeyKind) -> bool {
    create.keys.iter().any(|key| key.kind == kind)
}
