//! Collations of columns that a key keeps unique.
//!
//! Storage and the shard hash know texts by their bytes, so a key would let in texts that its collation takes
//! for equal. Such a key is refused, unless the session would rather have its columns compared by bytes.

use crate::statement::{CreateTable, KeyKind};
use types::{Collation, ColumnId, Result, SqlError, TableDef};

/// 1235 for a column of a PRIMARY or UNIQUE key that does not compare by its bytes.
pub(super) fn refuse_in_unique_keys(def: &TableDef) -> Result<()> {
    let unique = def.keys.iter().filter(|key| key.unique).flat_map(|key| &key.columns);
    let all = def.primary_key.iter().chain(unique).filter_map(|id: &ColumnId| def.column(*id));
    match all.into_iter().find(|column| !column.collation.is_bytes()) {
        None => Ok(()),
        Some(column) => Err(SqlError::unsupported(format!(
            "the collation {} of column {} in a PRIMARY or UNIQUE key; give the column COLLATE {}, or SET \
             pando_binary_unique_keys = ON to have that done with a warning",
            column.collation,
            column.name,
            Collation::Bytes,
        ))),
    }
}

/// Makes the columns of PRIMARY and UNIQUE keys compare by their bytes; gives a warning for each that would
/// not.
pub fn binary_unique_keys(create: &mut CreateTable) -> Vec<String> {
    let default = create.collation.unwrap_or_default();
    let keys = create.keys.iter().filter(|key| matches!(key.kind, KeyKind::Primary | KeyKind::Unique));
    let named: Vec<String> =
        keys.flat_map(|key| &key.columns).map(|name| name.value.to_ascii_lowercase()).collect();
    let mut warnings = Vec::new();
    for column in &mut create.columns {
        let is_key =
            column.primary || column.unique || named.contains(&column.name.value.to_ascii_lowercase());
        let collation = column.collation.unwrap_or(default);
        if is_key && column.ty.is_string() && !collation.is_bytes() {
            column.collation = Some(Collation::Bytes);
            warnings.push(format!(
                "Column '{}' of a PRIMARY or UNIQUE key compares by {}, not by {collation}",
                column.name.value,
                Collation::Bytes
            ));
        }
    }
    warnings
}
