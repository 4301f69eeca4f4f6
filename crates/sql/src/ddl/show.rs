//! SHOW CREATE TABLE, DESCRIBE and SHOW COLUMNS.

use crate::charset::DEFAULT_CHARSET;
use std::fmt::Write;
use types::{
    Collation, ColumnDef, ColumnDefault, ColumnId, ForeignKeyDef, ReferentialAction, SqlType, TableDef,
};

/// A name in backquotes.
pub fn quote_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A string literal that MySQL reads back in every sql_mode with backslash escapes.
fn quote_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// The text that makes a table like this one, as MySQL lays it out. `next_number`: of AUTO_INCREMENT, which is
/// shown from 2 on.
pub fn show_create_table(def: &TableDef, next_number: Option<u64>) -> String {
    let mut lines: Vec<String> =
        def.shown().iter().map(|column| column_line(column, def.collation)).collect();
    if !def.primary_key.is_empty() {
        lines.push(format!("PRIMARY KEY ({})", names(def, &def.primary_key)));
    }
    for key in &def.keys {
        let unique = if key.unique { "UNIQUE " } else { "" };
        lines.push(format!("{unique}KEY {} ({})", quote_name(&key.name), names(def, &key.columns)));
    }
    lines.extend(def.foreign_keys.iter().map(|key| foreign_key_line(def, key)));
    for check in &def.checks {
        let enforced = if check.enforced { "" } else { " /*!80016 NOT ENFORCED */" };
        lines.push(format!("CONSTRAINT {} CHECK ({}){enforced}", quote_name(&check.name), check.expression));
    }
    // Tools that read this text for MySQL's keys take the shard key for an index of a kind that they do not
    // know; where it is the default they need not meet it.
    if !def.reference && def.shard_key != def.primary_key {
        lines.push(format!("SHARD KEY ({})", names(def, &def.shard_key)));
    }
    if !def.sort_key.is_empty() {
        lines.push(format!("SORT KEY ({})", names(def, &def.sort_key)));
    }
    let reference = if def.reference { "REFERENCE " } else { "" };
    let mut out =
        format!("CREATE {reference}TABLE {} (\n  {}\n)", quote_name(&def.name), lines.join(",\n  "));
    out.push_str(" ENGINE=Pando");
    // Writing to a String does not fail.
    if let Some(next) = next_number.filter(|next| *next > 1) {
        let _ = write!(out, " AUTO_INCREMENT={next}");
    }
    let _ = write!(out, " DEFAULT CHARSET={DEFAULT_CHARSET} COLLATE={}", def.collation);
    if !def.comment.is_empty() {
        let _ = write!(out, " COMMENT={}", quote_text(&def.comment));
    }
    out
}

fn foreign_key_line(def: &TableDef, key: &ForeignKeyDef) -> String {
    let database = key.database.as_deref().map(|name| format!("{}.", quote_name(name))).unwrap_or_default();
    let referenced: Vec<String> = key.referenced.iter().map(|name| quote_name(name)).collect();
    let mut line = format!(
        "CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {database}{} ({})",
        quote_name(&key.name),
        names(def, &key.columns),
        quote_name(&key.table),
        referenced.join(",")
    );
    for (change, action) in [("DELETE", key.on_delete), ("UPDATE", key.on_update)] {
        if action != ReferentialAction::default() {
            let _ = write!(line, " ON {change} {}", action.name());
        }
    }
    line
}

/// What SHOW CREATE DATABASE prints.
pub fn create_database(name: &str, partitions: u32, collation: Collation) -> String {
    format!(
        "CREATE DATABASE {} PARTITIONS {partitions} /*!40100 DEFAULT CHARACTER SET {DEFAULT_CHARSET} \
         COLLATE {collation} */",
        quote_name(name)
    )
}

fn names(def: &TableDef, ids: &[ColumnId]) -> String {
    let names: Vec<String> = def.shown_columns(ids).map(|c| quote_name(&c.name)).collect();
    names.join(",")
}

fn column_line(column: &ColumnDef, default: Collation) -> String {
    let mut line = format!("{} {}", quote_name(&column.name), column.ty);
    if is_collated(column.ty) && column.collation != default {
        let _ = write!(line, " COLLATE {}", column.collation);
    }
    if let ColumnDefault::Generated { expression, stored } = &column.default {
        let kind = if *stored { "STORED" } else { "VIRTUAL" };
        let _ = write!(line, " GENERATED ALWAYS AS ({expression}) {kind}");
    }
    if !column.nullable {
        line.push_str(" NOT NULL");
    } else if matches!(column.ty, SqlType::Timestamp { .. }) {
        line.push_str(" NULL");
    }
    match &column.default {
        ColumnDefault::None if column.nullable && !is_lob(column.ty) => line.push_str(" DEFAULT NULL"),
        ColumnDefault::None => {}
        ColumnDefault::Null => line.push_str(" DEFAULT NULL"),
        ColumnDefault::Literal(text) => {
            let _ = match bits_literal(column.ty, text) {
                Some(bits) => write!(line, " DEFAULT {bits}"),
                None => write!(line, " DEFAULT {}", quote_text(text)),
            };
        }
        ColumnDefault::Expression(text) => {
            let _ = write!(line, " DEFAULT ({text})");
        }
        ColumnDefault::Generated { .. } | ColumnDefault::CollationKey(_) => {}
        ColumnDefault::CurrentTimestamp => {
            let _ = write!(line, " DEFAULT {}", current_timestamp(column.ty));
        }
    }
    if column.on_update_now {
        let _ = write!(line, " ON UPDATE {}", current_timestamp(column.ty));
    }
    if column.auto_increment {
        line.push_str(" AUTO_INCREMENT");
    }
    if !column.comment.is_empty() {
        let _ = write!(line, " COMMENT {}", quote_text(&column.comment));
    }
    line
}

/// The default of a BIT as MySQL shows it.
fn bits_literal(ty: SqlType, text: &str) -> Option<String> {
    match (ty, text.parse::<u64>()) {
        (SqlType::Bit(_), Ok(number)) => Some(format!("b'{number:b}'")),
        _ => None,
    }
}

fn is_collated(ty: SqlType) -> bool {
    ty.is_string() && ty != SqlType::Json
}

fn is_lob(ty: SqlType) -> bool {
    matches!(ty, SqlType::Text(_) | SqlType::Blob(_) | SqlType::Json)
}

fn current_timestamp(ty: SqlType) -> String {
    match ty {
        SqlType::DateTime { fsp } | SqlType::Timestamp { fsp } if fsp > 0 => {
            format!("CURRENT_TIMESTAMP({fsp})")
        }
        _ => "CURRENT_TIMESTAMP".to_string(),
    }
}

/// A row of SHOW FULL COLUMNS; DESCRIBE and SHOW COLUMNS leave out collation, privileges and comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnRow {
    pub field: String,
    pub ty: String,
    pub collation: Option<String>,
    /// YES or NO.
    pub null: &'static str,
    /// PRI, UNI, MUL or nothing.
    pub key: &'static str,
    pub default: Option<String>,
    pub extra: String,
    pub privileges: &'static str,
    pub comment: String,
}

pub fn columns_rows(def: &TableDef) -> Vec<ColumnRow> {
    def.shown().iter().map(|column| column_rows(def, column)).collect()
}

pub fn column_rows(def: &TableDef, column: &ColumnDef) -> ColumnRow {
    let mut extra = Vec::new();
    let default = match &column.default {
        ColumnDefault::None | ColumnDefault::Null | ColumnDefault::CollationKey(_) => None,
        ColumnDefault::Literal(text) => Some(bits_literal(column.ty, text).unwrap_or_else(|| text.clone())),
        ColumnDefault::Expression(text) => {
            extra.push("DEFAULT_GENERATED".to_string());
            Some(text.clone())
        }
        ColumnDefault::Generated { stored, .. } => {
            extra.push(if *stored { "STORED GENERATED" } else { "VIRTUAL GENERATED" }.to_string());
            None
        }
        ColumnDefault::CurrentTimestamp => {
            extra.push("DEFAULT_GENERATED".to_string());
            Some(current_timestamp(column.ty))
        }
    };
    if column.auto_increment {
        extra.push("auto_increment".to_string());
    }
    if column.on_update_now {
        extra.push(format!("on update {}", current_timestamp(column.ty)));
    }
    ColumnRow {
        field: column.name.clone(),
        ty: column.ty.to_string(),
        collation: is_collated(column.ty).then(|| column.collation.to_string()),
        null: if column.nullable { "YES" } else { "NO" },
        key: key_of(def, column.id).name(),
        default,
        extra: extra.join(" "),
        privileges: "select,insert,update,references",
        comment: column.comment.clone(),
    }
}

/// The most that a key makes of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyMark {
    #[default]
    None,
    /// Part of the primary key.
    Primary,
    /// A unique key of its own.
    Unique,
    /// The first of another key.
    Multiple,
}

impl KeyMark {
    fn name(self) -> &'static str {
        match self {
            KeyMark::None => "",
            KeyMark::Primary => "PRI",
            KeyMark::Unique => "UNI",
            KeyMark::Multiple => "MUL",
        }
    }
}

pub(crate) fn key_of(def: &TableDef, id: ColumnId) -> KeyMark {
    let is_it = |column: &ColumnId| def.shown_as(*column) == id;
    if def.primary_key.iter().any(is_it) {
        return KeyMark::Primary;
    }
    if def.keys.iter().any(|key| key.unique && key.columns.len() == 1 && key.columns.iter().any(is_it)) {
        return KeyMark::Unique;
    }
    if def.keys.iter().any(|key| key.columns.first().is_some_and(is_it)) {
        return KeyMark::Multiple;
    }
    KeyMark::None
}
