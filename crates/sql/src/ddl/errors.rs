//! MySQL's texts for definitions that are wrong.

use types::{ErrorKind, SqlError, TableDef};

pub fn duplicate_column(name: &str) -> SqlError {
    SqlError::new(ErrorKind::DuplicateColumn, format!("Duplicate column name '{name}'"))
}

pub fn duplicate_key_name(name: &str) -> SqlError {
    SqlError::new(ErrorKind::DupKeyName, format!("Duplicate key name '{name}'"))
}

pub fn duplicate_foreign_key(name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::ForeignKeyDuplicateName,
        format!("Duplicate foreign key constraint name '{name}'"),
    )
}

pub fn foreign_key_columns(name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::ForeignKeyColumns,
        format!(
            "Incorrect foreign key definition for '{name}': Key reference and table reference don't match"
        ),
    )
}

pub fn foreign_key_column(column: &str, name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::ForeignKeyColumnNeeded,
        format!("Cannot drop column '{column}': needed in a foreign key constraint '{name}'"),
    )
}

pub fn multiple_primary_keys() -> SqlError {
    SqlError::new(ErrorKind::MultiplePrimaryKeys, "Multiple primary key defined")
}

pub fn reference_shard_key() -> SqlError {
    SqlError::new(ErrorKind::WrongUsage, "Incorrect usage of SHARD KEY and REFERENCE TABLE")
}

pub fn too_many_bits(column: &str, most: u64) -> SqlError {
    SqlError::new(
        ErrorKind::TooBigDisplayWidth,
        format!("Display width out of range for column '{column}' (max = {most})"),
    )
}

pub fn key_column_missing(name: &str) -> SqlError {
    SqlError::new(ErrorKind::KeyColumnMissing, format!("Key column '{name}' doesn't exist in table"))
}

pub fn invalid_default(name: &str) -> SqlError {
    SqlError::new(ErrorKind::InvalidDefault, format!("Invalid default value for '{name}'"))
}

/// Generated columns take no other value than what is computed.
pub fn generated_value(def: &TableDef, place: usize) -> SqlError {
    SqlError::new(
        ErrorKind::GeneratedColumnValue,
        format!(
            "The value specified for generated column '{}' in table '{}' is not allowed.",
            def.columns[place].name, def.name
        ),
    )
}

pub fn duplicated_label(column: &str, label: &str, word: &str) -> SqlError {
    SqlError::new(
        ErrorKind::DuplicatedValueInType,
        format!("Column '{column}' has duplicated value '{label}' in {word}"),
    )
}

pub fn illegal_label(label: &str) -> SqlError {
    SqlError::new(ErrorKind::IllegalValueForType, format!("Illegal set '{label}' value found during parsing"))
}

pub fn too_big_set(column: &str) -> SqlError {
    SqlError::new(ErrorKind::TooBigSet, format!("Too many strings for column {column} and SET"))
}

pub fn no_columns() -> SqlError {
    SqlError::new(ErrorKind::TableWithoutColumns, "A table must have at least 1 column")
}

pub fn wrong_auto_key() -> SqlError {
    SqlError::new(
        ErrorKind::WrongAutoKey,
        "Incorrect table definition; there can be only one auto column and it must be defined as a key",
    )
}

pub fn column_too_long(name: &str, max: u64) -> SqlError {
    SqlError::new(
        ErrorKind::ColumnTooBig,
        format!("Column length too big for column '{name}' (max = {max}); use BLOB or TEXT instead"),
    )
}

pub fn precision_too_big(name: &str, given: u64, max: u64) -> SqlError {
    SqlError::new(
        ErrorKind::TooBigPrecision,
        format!("Too-big precision {given} specified for '{name}'. Maximum is {max}."),
    )
}

pub fn scale_too_big(name: &str, given: u64) -> SqlError {
    SqlError::new(
        ErrorKind::TooBigScale,
        format!("Too big scale {given} specified for column '{name}'. Maximum is 30."),
    )
}

pub fn scale_above_precision(name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::ScaleAbovePrecision,
        format!("For float(M,D), double(M,D) or decimal(M,D), M must be >= D (column '{name}')."),
    )
}

pub fn wrong_column_specifier(name: &str) -> SqlError {
    SqlError::new(ErrorKind::WrongColumnSpecifier, format!("Incorrect column specifier for column '{name}'"))
}

pub fn lob_default(name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::BlobCantHaveDefault,
        format!("BLOB, TEXT, GEOMETRY or JSON column '{name}' can't have a default value"),
    )
}

pub fn lob_key(name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::KeyColumnMissing,
        format!("BLOB/TEXT column '{name}' used in key specification without a key length"),
    )
}

pub fn invalid_on_update(name: &str) -> SqlError {
    SqlError::new(ErrorKind::InvalidDefault, format!("Invalid ON UPDATE clause for '{name}' column"))
}

pub fn primary_key_null() -> SqlError {
    SqlError::new(
        ErrorKind::PrimaryKeyCannotBeNull,
        "All parts of a PRIMARY KEY must be NOT NULL; if you need NULL in a key, use UNIQUE instead",
    )
}

pub fn too_long_name(name: &str) -> SqlError {
    SqlError::new(ErrorKind::TooLongIdent, format!("Identifier name '{name}' is too long"))
}

pub fn wrong_table_name(name: &str) -> SqlError {
    SqlError::new(ErrorKind::WrongTableName, format!("Incorrect table name '{name}'"))
}

pub fn wrong_column_name(name: &str) -> SqlError {
    SqlError::new(ErrorKind::WrongColumnName, format!("Incorrect column name '{name}'"))
}

pub fn json_key(name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::JsonUsedAsKey,
        format!(
            "JSON column '{name}' supports indexing only via generated columns on a specified JSON path."
        ),
    )
}
