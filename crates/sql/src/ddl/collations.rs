//! Columns of keys whose texts do not compare by their bytes.
//!
//! Storage, the shard hash and routing know values by their bytes. So a table keeps beside each text that a
//! key has, and whose collation is not that of bytes, its collation key, as a column that nobody sees; and
//! every key has that column in the place of the text. What is equal under the collation then meets in one
//! partition and in unique keys, and is found by what looks up keys, with nothing but the binder and what
//! shows definitions knowing of it. Tables from before there were such columns go on without: a key on a text
//! then has its bytes, which only a key that is not unique may.

use crate::statement::{CreateTable, KeyKind};
use types::{Collation, ColumnDef, ColumnDefault, ColumnId, Result, SqlError, SqlType, TableDef};

/// How names of hidden columns begin.
pub(super) const HIDDEN_PREFIX: &str = "__key_";

/// Gives a new table collation keys for the columns of its keys that need them.
pub(super) fn key_texts(def: &mut TableDef) {
    for id in texts_of(def, all_keys(def)) {
        let nullable = def.column(id).is_some_and(|column| column.nullable);
        let key = add_key(def, id, nullable);
        let keys = def.keys.iter_mut().map(|key| &mut key.columns);
        let all = [&mut def.primary_key, &mut def.shard_key, &mut def.sort_key].into_iter().chain(keys);
        for column in all.flatten().filter(|column| **column == id) {
            *column = key;
        }
    }
}

/// Those of these columns that need a collation key.
fn texts_of<'k>(def: &TableDef, columns: impl Iterator<Item = &'k ColumnId>) -> Vec<ColumnId> {
    let mut texts: Vec<ColumnId> =
        columns.copied().filter(|id| def.column(*id).is_some_and(needs_key)).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

fn add_key(def: &mut TableDef, text: ColumnId, nullable: bool) -> ColumnId {
    let id = def.next_column_id;
    def.next_column_id = ColumnId(id.0 + 1);
    def.columns.push(ColumnDef {
        id,
        name: format!("{HIDDEN_PREFIX}{}", text.0),
        // As long as it comes: it is never assigned to.
        ty: SqlType::VarBinary(u32::MAX),
        collation: Collation::default(),
        nullable,
        default: ColumnDefault::CollationKey(text),
        initial: None,
        auto_increment: false,
        on_update_now: false,
        comment: String::new(),
    });
    id
}

/// Whether other texts than the same may be equal in a column. An ENUM's labels are what they are.
fn needs_key(column: &ColumnDef) -> bool {
    let is_text = matches!(column.ty, SqlType::Char(_) | SqlType::VarChar(_) | SqlType::Text(_));
    is_text && !column.collation.is_bytes()
}

/// 1235 for a column of a PRIMARY or UNIQUE key that does not compare by its bytes, and whose collation key
/// the table does not keep.
pub(super) fn refuse_in_unique_keys(def: &TableDef) -> Result<()> {
    let unique = def.keys.iter().filter(|key| key.unique).flat_map(|key| &key.columns);
    let all = def.primary_key.iter().chain(unique).filter_map(|id: &ColumnId| def.column(*id));
    match all.into_iter().find(|column| needs_key(column)) {
        None => Ok(()),
        Some(column) => Err(SqlError::unsupported(format!(
            "a PRIMARY or UNIQUE key over column {}, of whose rows no keys of the collation {} are kept: \
             write the key into CREATE TABLE, or give the column COLLATE {}",
            column.name,
            column.collation,
            Collation::Bytes,
        ))),
    }
}

/// Whether the rows of a table whose definition changes lack collation keys that they need, or have some by
/// another collation.
pub(super) fn needs_other_keys(before: &TableDef, after: &TableDef) -> bool {
    let keyed = before.shown().iter().filter(|column| before.compared(column.id) != column.id);
    let mut others =
        keyed.filter_map(|old| after.column(old.id).filter(|new| new.collation != old.collation));
    let (had, has) = (texts_of(before, all_keys(before)), texts_of(after, all_keys(after)));
    others.next().is_some() || has.iter().any(|text| !had.contains(text))
}

fn all_keys(def: &TableDef) -> impl Iterator<Item = &ColumnId> {
    let keys = def.keys.iter().map(|key| &key.columns);
    [&def.primary_key, &def.shard_key, &def.sort_key].into_iter().chain(keys).flatten()
}

/// Takes the collation keys out of a definition again.
pub(super) fn unkey_texts(def: &mut TableDef) {
    let hidden: Vec<(ColumnId, ColumnId)> =
        def.columns[def.shown().len()..].iter().map(|column| (column.id, def.shown_as(column.id))).collect();
    let keys = def.keys.iter_mut().map(|key| &mut key.columns);
    let all = [&mut def.primary_key, &mut def.shard_key, &mut def.sort_key].into_iter().chain(keys);
    for column in all.flatten() {
        if let Some((_, text)) = hidden.iter().find(|(key, _)| key == column) {
            *column = *text;
        }
    }
    def.columns.retain(|column| !column.is_hidden());
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
