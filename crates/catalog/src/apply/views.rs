//! CREATE and DROP VIEW.
//!
//! That the query can be bound is the binder's matter, now and whenever the view is used: tables below
//! a view may be dropped and changed.

use super::{check_length, is_name, refuse_system_database};
use crate::state::unknown_database;
use crate::{Catalog, Outcome, View};
use std::sync::Arc;
use types::{ErrorKind, SqlError};

impl Catalog {
    pub(super) fn create_view(
        &mut self,
        database: &str,
        view: &View,
        or_replace: bool,
    ) -> Result<Outcome, SqlError> {
        refuse_system_database(database)?;
        let database = self.require_database(database)?.clone();
        if !is_name(&view.name) {
            return Err(SqlError::new(
                ErrorKind::WrongTableName,
                format!("Incorrect table name '{}'", view.name),
            ));
        }
        check_length(&view.name)?;
        view.columns.iter().try_for_each(|column| check_length(column))?;
        if self.table(&database.name, &view.name).is_some() {
            return Err(if or_replace {
                not_a_view(&database.name, &view.name)
            } else {
                super::tables::table_exists(&view.name)
            });
        }
        if !or_replace && self.view(&database.name, &view.name).is_some() {
            return Err(super::tables::table_exists(&view.name));
        }
        let view = Arc::new(View { database: database.id, ..view.clone() });
        Arc::make_mut(&mut self.views).insert((database.id, view.name.clone()), view.clone());
        Ok(Outcome::Done)
    }

    pub(super) fn drop_view(
        &mut self,
        database: &str,
        name: &str,
        if_exists: bool,
    ) -> Result<Outcome, SqlError> {
        refuse_system_database(database)?;
        let Some(view) = self.view(database, name).cloned() else {
            if self.table(database, name).is_some() {
                return Err(not_a_view(database, name));
            }
            let error = match self.database(database) {
                None => unknown_database(database),
                Some(_) => {
                    SqlError::new(ErrorKind::UnknownTable, format!("Unknown table '{database}.{name}'"))
                }
            };
            return if if_exists { Ok(Outcome::Unchanged(error)) } else { Err(error) };
        };
        Arc::make_mut(&mut self.views).remove(&(view.database, view.name.clone()));
        Ok(Outcome::Done)
    }
}

fn not_a_view(database: &str, name: &str) -> SqlError {
    SqlError::new(ErrorKind::WrongObject, format!("'{database}.{name}' is not VIEW"))
}
