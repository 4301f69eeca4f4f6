//! CREATE TABLE .. SELECT: a table with the columns of a query, filled with its rows.
//!
//! The table is made first, then filled by an INSERT of its own; if that fails the table goes again.
//! So a crash between the two leaves an empty table, as it does in MySQL without atomic DDL.

use super::query::Parameters;
use super::{Answer, done};
use crate::session::{Level, State};
use catalog::Command;
use sql::query::OutputColumn;
use sql::statement::{ColumnSpec, CreateTable, DefaultSpec, Insert, InsertSource};
use sqlparser::ast;
use types::{ErrorKind, Result, SqlError, SqlType};

impl State {
    pub(super) async fn create_table_as(
        &mut self,
        create: &CreateTable,
        query: &ast::Query,
        parameters: Parameters<'_>,
    ) -> Result<Answer> {
        let database = self.database_name(create.name.database.as_deref())?.to_string();
        self.catalog.require_database(&database)?;
        let name = create.name.name.clone();
        let catalog = self.catalog.without_shadows();
        let there = match create.temporary {
            true => self.temporary.has(&database, &name),
            false => catalog.table(&database, &name).is_some() || catalog.view(&database, &name).is_some(),
        };
        if there {
            let error = SqlError::new(ErrorKind::TableExists, format!("Table '{name}' already exists"));
            if !create.if_not_exists {
                return Err(error);
            }
            self.add_message(Level::Note, error.kind.errno(), error.message);
            return Ok(done());
        }
        let bound = self.bind(query, parameters).await?;
        // Columns that only the definition names come first.
        let is_queried = |spec: &&ColumnSpec| {
            bound.columns.iter().any(|column| column.name.eq_ignore_ascii_case(&spec.name.value))
        };
        let mut columns: Vec<ColumnSpec> =
            create.columns.iter().filter(|spec| !is_queried(spec)).cloned().collect();
        for column in &bound.columns {
            let declared =
                create.columns.iter().find(|spec| spec.name.value.eq_ignore_ascii_case(&column.name));
            columns.push(declared.cloned().unwrap_or_else(|| spec_of(column)));
        }
        let table = CreateTable { columns, query: None, ..create.clone() };
        self.create_table(&table, parameters).await?;
        let insert = Insert {
            table: create.name.clone(),
            columns: bound.columns.iter().map(|column| ast::Ident::new(column.name.as_str())).collect(),
            source: InsertSource::Query(Box::new(query.clone())),
            ignore: false,
            replace: false,
            row_alias: None,
            on_duplicate: Vec::new(),
        };
        let filled = match self.insert(&insert, parameters).await {
            // A temporary table ends no transaction.
            Ok(answer) if create.temporary => Ok(answer),
            Ok(answer) => self.commit().await.map(|()| answer),
            Err(error) => Err(error),
        };
        if filled.is_err() && create.temporary {
            self.remove_temporary(&database, &name);
            return filled;
        }
        if filled.is_err() {
            self.rollback().await;
            self.change_catalog(Command::DropTable { database, name, if_exists: true }).await?;
        }
        filled
    }
}

/// A column for the values of a query's column.
fn spec_of(column: &OutputColumn) -> ColumnSpec {
    // An expression that is never NULL gets a default, as in MySQL.
    let default = match column.ty {
        _ if column.nullable || !column.org_name.is_empty() => None,
        ty if ty.is_integer() => Some("0"),
        SqlType::Decimal { .. } | SqlType::Float | SqlType::Double => Some("0"),
        SqlType::Char(_) | SqlType::VarChar(_) => Some(""),
        _ => None,
    };
    ColumnSpec {
        name: ast::Ident::new(column.name.as_str()),
        ty: column.ty,
        collation: Some(column.collation),
        nullable: Some(column.nullable),
        default: default.map(|text| DefaultSpec::Literal { text: text.to_string(), is_string: true }),
        auto_increment: false,
        on_update_now: false,
        primary: false,
        unique: false,
        generated: None,
        checks: Vec::new(),
        comment: String::new(),
    }
}
