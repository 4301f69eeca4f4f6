//! The keys of CREATE TABLE.

use super::{errors, has_key};
use crate::statement::{CreateTable, ForeignKeySpec, KeyKind, KeySpec};
use sqlparser::ast::Ident;
use std::collections::HashSet;
use types::{ColumnDefault, ColumnId, ForeignKeyDef, KeyDef, Result, SqlError, SqlType, TableDef};

/// Fills in the keys of `def`. Tells whether a column of the primary key was declared NULL.
pub(super) fn apply(def: &mut TableDef, create: &CreateTable) -> Result<bool> {
    let primary = primary_key(def, create)?;
    let mut null_in_primary = false;
    for id in &primary {
        // Invariant: ids were resolved in this definition, and columns stand in the order of their ids.
        let place = id.0 as usize - 1;
        null_in_primary |= create.columns[place].nullable == Some(true);
        def.columns[place].nullable = false;
    }
    def.primary_key = primary;
    secondary_keys(def, create)?;
    def.sort_key = single(def, create, KeyKind::Sort, "SORT KEY")?.unwrap_or_default();
    def.shard_key = match single(def, create, KeyKind::Shard, "SHARD KEY")? {
        Some(_) if def.reference => return Err(errors::reference_shard_key()),
        Some(key) => key,
        None if def.reference => Vec::new(),
        None => def.primary_key.clone(),
    };
    super::collations::key_texts(def);
    check_collocation(def, create.one_partition)?;
    Ok(null_in_primary)
}

fn resolve(def: &TableDef, names: &[Ident]) -> Result<Vec<ColumnId>> {
    let mut ids = Vec::with_capacity(names.len());
    for name in names {
        let Some((_, column)) = def.column_named(&name.value) else {
            return Err(errors::key_column_missing(&name.value));
        };
        if ids.contains(&column.id) {
            return Err(errors::duplicate_column(&name.value));
        }
        ids.push(column.id);
    }
    Ok(ids)
}

/// That no column of a key that must be unique has grown too long.
pub(super) fn refuse_lob_keys(def: &TableDef) -> Result<()> {
    let unique = def.keys.iter().filter(|key| key.unique).map(|key| &key.columns);
    std::iter::once(&def.primary_key).chain(unique).try_for_each(|key| refuse_lobs(def, key))
}

/// Keys whose values must stand in a bounded key may not be TEXT or BLOB.
fn refuse_lobs(def: &TableDef, ids: &[ColumnId]) -> Result<()> {
    for column in ids.iter().filter_map(|id| def.column(*id)) {
        if matches!(column.ty, SqlType::Text(_) | SqlType::Blob(_)) {
            return Err(errors::lob_key(&column.name));
        }
        if column.ty == SqlType::Json {
            return Err(errors::json_key(&column.name));
        }
    }
    Ok(())
}

fn primary_key(def: &TableDef, create: &CreateTable) -> Result<Vec<ColumnId>> {
    let beside = create.columns.iter().filter(|c| c.primary).map(|c| std::slice::from_ref(&c.name));
    let own = create.keys.iter().filter(|k| k.kind == KeyKind::Primary).map(|k| k.columns.as_slice());
    let mut keys = beside.chain(own);
    let Some(names) = keys.next() else { return Ok(Vec::new()) };
    if keys.next().is_some() {
        return Err(errors::multiple_primary_keys());
    }
    let ids = resolve(def, names)?;
    refuse_lobs(def, &ids)?;
    Ok(ids)
}

fn single(def: &TableDef, create: &CreateTable, kind: KeyKind, words: &str) -> Result<Option<Vec<ColumnId>>> {
    if !has_key(create, kind) {
        return Ok(None);
    }
    let mut keys = create.keys.iter().filter(|k| k.kind == kind);
    let first = keys.next().map(|key| resolve(def, &key.columns)).transpose()?;
    if keys.next().is_some() {
        return Err(several(words));
    }
    Ok(first)
}

fn secondary_keys(def: &mut TableDef, create: &CreateTable) -> Result<()> {
    let beside = create.columns.iter().filter(|c| c.unique).map(|c| KeySpec {
        kind: KeyKind::Unique,
        name: None,
        columns: vec![c.name.clone()],
    });
    let own = create.keys.iter().filter(|k| matches!(k.kind, KeyKind::Unique | KeyKind::Plain)).cloned();
    let specs: Vec<KeySpec> = beside.chain(own).collect();
    // A key without a name takes one that no other key asks for.
    let mut names: HashSet<String> = HashSet::new();
    for name in specs.iter().filter_map(|spec| spec.name.as_ref()) {
        if name.eq_ignore_ascii_case("PRIMARY") || !names.insert(name.to_lowercase()) {
            return Err(errors::duplicate_key_name(name));
        }
    }
    for spec in specs {
        let name = match &spec.name {
            Some(name) => name.clone(),
            None => free_name(&mut names, &spec.columns[0].value),
        };
        push(def, &spec, name)?;
    }
    create.foreign_keys.iter().try_for_each(|spec| add_foreign(def, spec))
}

/// Adds a foreign key, and the key of it unless another one begins with its columns.
pub(super) fn add_foreign(def: &mut TableDef, spec: &ForeignKeySpec) -> Result<()> {
    let columns = resolve(def, &spec.key.columns)?;
    let taken = |name: &str| def.foreign_keys.iter().any(|other| other.name.eq_ignore_ascii_case(name));
    let name = match &spec.constraint {
        Some(name) => {
            super::check_length(name)?;
            name.clone()
        }
        None => {
            let mut numbered = (1..).map(|number| format!("{}_ibfk_{number}", def.name));
            numbered.find(|name| !taken(name)).unwrap_or_default()
        }
    };
    if taken(&name) {
        return Err(errors::duplicate_foreign_key(&name));
    }
    if spec.referenced.len() != columns.len() {
        return Err(errors::foreign_key_columns(&name));
    }
    let compared: Vec<ColumnId> = columns.iter().map(|id| def.compared(*id)).collect();
    let is_there = def.primary_key.starts_with(&compared)
        || def.keys.iter().any(|key| key.columns.starts_with(&compared));
    if !is_there {
        add(def, &spec.key)?;
    }
    def.foreign_keys.push(ForeignKeyDef {
        name,
        columns,
        database: spec.table.database.clone(),
        table: spec.table.name.clone(),
        referenced: spec.referenced.iter().map(|column| column.value.clone()).collect(),
        on_delete: spec.on_delete,
        on_update: spec.on_update,
    });
    // MySQL lists them by name.
    def.foreign_keys.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(())
}

/// Adds a key to a definition; gives its name.
pub(super) fn add(def: &mut TableDef, spec: &KeySpec) -> Result<String> {
    let mut names: HashSet<String> = def.keys.iter().map(|key| key.name.to_lowercase()).collect();
    let name = match &spec.name {
        Some(name) if name.eq_ignore_ascii_case("PRIMARY") || names.contains(&name.to_lowercase()) => {
            return Err(errors::duplicate_key_name(name));
        }
        Some(name) => name.clone(),
        None => free_name(&mut names, &spec.columns[0].value),
    };
    push(def, spec, name.clone())?;
    Ok(name)
}

/// ADD PRIMARY KEY: its columns take no NULL any more, and place the rows if nothing else does.
pub(super) fn add_primary(def: &mut TableDef, spec: &KeySpec) -> Result<()> {
    if !def.primary_key.is_empty() {
        return Err(errors::multiple_primary_keys());
    }
    let columns = resolve(def, &spec.columns)?;
    refuse_lobs(def, &columns)?;
    for column in def.columns.iter_mut().filter(|column| columns.contains(&column.id)) {
        column.nullable = false;
        if column.default == ColumnDefault::Null {
            column.default = ColumnDefault::None;
        }
    }
    if def.shard_key.is_empty() && !def.reference {
        def.shard_key.clone_from(&columns);
    }
    def.primary_key = columns;
    Ok(())
}

/// ADD SHARD KEY and ADD SORT KEY.
pub(super) fn add_placing(def: &mut TableDef, spec: &KeySpec) -> Result<()> {
    let columns = resolve(def, &spec.columns)?;
    let (key, is_free, words) = match spec.kind {
        // The primary key does it as long as nothing else is said.
        KeyKind::Shard if def.reference => return Err(errors::reference_shard_key()),
        KeyKind::Shard => {
            let is_free = def.shard_key == def.primary_key;
            (&mut def.shard_key, is_free, "SHARD KEY")
        }
        _ => {
            let is_free = def.sort_key.is_empty();
            (&mut def.sort_key, is_free, "SORT KEY")
        }
    };
    if !is_free {
        return Err(several(words));
    }
    *key = columns;
    Ok(())
}

fn several(words: &str) -> SqlError {
    SqlError::new(types::ErrorKind::DupKeyName, format!("Multiple {words} defined: a table has one"))
}

fn push(def: &mut TableDef, spec: &KeySpec, name: String) -> Result<()> {
    let columns = resolve(def, &spec.columns)?;
    if spec.kind == KeyKind::Unique {
        refuse_lobs(def, &columns)?;
    }
    // Of columns that the table keeps collation keys of, those are what is compared.
    let columns = columns.into_iter().map(|id| def.compared(id)).collect();
    def.keys.push(KeyDef { name, columns, unique: spec.kind == KeyKind::Unique });
    // MySQL lists unique keys first.
    def.keys.sort_by_key(|key| !key.unique);
    Ok(())
}

/// The name that MySQL gives a key without one: its first column's, with `_2` and so on when taken.
fn free_name(names: &mut HashSet<String>, column: &str) -> String {
    let mut name = column.to_string();
    let mut number = 2;
    while !names.insert(name.to_lowercase()) || name.eq_ignore_ascii_case("PRIMARY") {
        name = format!("{column}_{number}");
        number += 1;
    }
    name
}

/// Rows that are equal in a unique key must meet in one partition. `one_partition`: all rows do.
pub fn check_collocation(def: &TableDef, one_partition: bool) -> Result<()> {
    if one_partition || def.reference {
        return super::collations::refuse_in_unique_keys(def);
    }
    let primary = (!def.primary_key.is_empty()).then_some(("PRIMARY", &def.primary_key));
    let unique = def.keys.iter().filter(|k| k.unique).map(|k| (k.name.as_str(), &k.columns));
    for (name, columns) in primary.into_iter().chain(unique) {
        let collocated = !def.shard_key.is_empty() && def.shard_key.iter().all(|id| columns.contains(id));
        if collocated {
            continue;
        }
        let shard: Vec<&str> = def.shown_columns(&def.shard_key).map(|c| c.name.as_str()).collect();
        let shard = match shard.as_slice() {
            [] => "none; give one with SHARD KEY (..)".to_string(),
            names => format!("({})", names.join(", ")),
        };
        return Err(SqlError::unsupported(format!(
            "the unique key {name} without all columns of the shard key, which is {shard}, in a database of \
             several partitions"
        )));
    }
    super::collations::refuse_in_unique_keys(def)
}
