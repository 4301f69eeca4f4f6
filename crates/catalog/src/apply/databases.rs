//! CREATE DATABASE, DROP DATABASE.

use super::{check_length, is_name, refuse_system_database, take_id};
use crate::{Catalog, Database, Outcome, Partition, is_system_database, placement};
use std::sync::Arc;
use types::{Collation, DatabaseId, ErrorKind, PartitionId, SqlError};

impl Catalog {
    pub(super) fn create_database(
        &mut self,
        name: &str,
        partitions: Option<u32>,
        collation: Collation,
        if_not_exists: bool,
    ) -> Result<Outcome, SqlError> {
        if !is_name(name) {
            return Err(SqlError::new(
                ErrorKind::WrongDatabaseName,
                format!("Incorrect database name '{name}'"),
            ));
        }
        check_length(name)?;
        if self.database(name).is_some() || is_system_database(name) {
            let error = SqlError::new(
                ErrorKind::DbCreateExists,
                format!("Can't create database '{name}'; database exists"),
            );
            return if if_not_exists { Ok(Outcome::Unchanged(error)) } else { Err(error) };
        }
        let primaries = placement::place(self, partitions)?;
        let mut next = self.next.clone();
        let id = DatabaseId(take_id(&mut next.database)?);
        let mut partitions = Vec::with_capacity(primaries.len());
        for (ordinal, primary) in (0..).zip(primaries) {
            partitions.push(Partition {
                id: PartitionId(take_id(&mut next.partition)?),
                ordinal,
                primary,
                replicas: vec![primary],
                in_sync: vec![primary],
                epoch: 1,
            });
        }
        let database = Arc::new(Database { id, name: name.to_string(), partitions, collation });
        self.next = next;
        self.insert_database(database.clone());
        Ok(Outcome::DatabaseCreated(database))
    }

    pub(crate) fn insert_database(&mut self, database: Arc<Database>) {
        Arc::make_mut(&mut self.tables).insert(database.id, Arc::default());
        Arc::make_mut(&mut self.partition_ids)
            .extend(database.partitions.iter().map(|p| (p.id, database.id)));
        Arc::make_mut(&mut self.database_ids).insert(database.id, database.clone());
        Arc::make_mut(&mut self.databases).insert(database.name.clone(), database);
    }

    pub(super) fn drop_database(&mut self, name: &str, if_exists: bool) -> Result<Outcome, SqlError> {
        refuse_system_database(name)?;
        let Some(database) = self.database(name).cloned() else {
            let error = SqlError::new(
                ErrorKind::DbDropExists,
                format!("Can't drop database '{name}'; database doesn't exist"),
            );
            return if if_exists { Ok(Outcome::Unchanged(error)) } else { Err(error) };
        };
        Arc::make_mut(&mut self.databases).remove(name);
        Arc::make_mut(&mut self.database_ids).remove(&database.id);
        Arc::make_mut(&mut self.partition_ids).retain(|_, of| *of != database.id);
        let tables = Arc::make_mut(&mut self.tables).remove(&database.id).unwrap_or_default();
        if self.views.keys().any(|(of, _)| *of == database.id) {
            Arc::make_mut(&mut self.views).retain(|(of, _), _| *of != database.id);
        }
        let table_ids = Arc::make_mut(&mut self.table_ids);
        for table in tables.values() {
            table_ids.remove(&table.id);
            Arc::make_mut(&mut self.next_values).remove(&table.id);
        }
        Ok(Outcome::DatabaseDropped { database, tables: tables.len() as u64 })
    }
}
