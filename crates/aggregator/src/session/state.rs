//! What a connection holds between statements.

use crate::server::Aggregator;
use crate::session::variables::SessionVariables;
use crate::transaction::{Isolation, Transaction};
use catalog::Catalog;
use sql::statement::{Statement, TableName};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use types::{ErrorKind, Result, SqlError, TableDef, Timestamp, Value};

/// How grave a message of SHOW WARNINGS is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Note,
    Warning,
    Error,
}

impl Level {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Level::Note => "Note",
            Level::Warning => "Warning",
            Level::Error => "Error",
        }
    }
}

/// A line of SHOW WARNINGS.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) level: Level,
    pub(crate) errno: u16,
    pub(crate) text: String,
}

/// A statement prepared by the protocol or by PREPARE.
#[derive(Clone)]
pub(crate) struct PreparedStatement {
    pub(crate) statement: Arc<Statement>,
    pub(crate) text: Arc<str>,
    pub(crate) parameters: usize,
}

/// The messages that @@max_error_count lets a statement keep.
const MAX_MESSAGES: usize = 1024;

pub(crate) struct State {
    pub(crate) aggregator: Arc<Aggregator>,
    pub(crate) user: String,
    pub(crate) host: String,
    /// `user@host`, as USER() shows it.
    pub(crate) account: String,
    pub(crate) connection_id: u64,
    pub(crate) database: Option<String>,
    pub(crate) variables: SessionVariables,
    pub(crate) autocommit: bool,
    /// COMMIT RELEASE or ROLLBACK RELEASE: the connection ends with the answer.
    pub(crate) is_over: bool,
    /// CLIENT_FOUND_ROWS: an UPDATE's affected rows are those that it found, changed or not.
    pub(crate) counts_found_rows: bool,
    pub(crate) isolation: Isolation,
    /// SET TRANSACTION without a scope: holds for the next transaction only.
    pub(crate) once_isolation: Option<Isolation>,
    pub(crate) once_read_only: Option<bool>,
    pub(crate) transaction: Option<Transaction>,
    /// The newest timestamp that this session read or committed at.
    pub(crate) floor: Timestamp,
    /// The catalog as the current statement sees it.
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) messages: Vec<Message>,
    pub(crate) last_insert_id: u64,
    pub(crate) row_count: i64,
    pub(crate) prepared: HashMap<u32, PreparedStatement>,
    pub(crate) named: HashMap<String, PreparedStatement>,
    pub(crate) next_prepared: u32,
    /// The statement's start: microseconds since 1970 UTC.
    pub(crate) now: i64,
}

impl State {
    pub(crate) fn new(
        aggregator: Arc<Aggregator>,
        user: String,
        host: String,
        connection_id: u64,
        database: Option<String>,
    ) -> State {
        let catalog = aggregator.metadata.snapshot();
        let variables = SessionVariables::new(&catalog, &aggregator.options);
        State {
            isolation: variables.isolation(),
            variables,
            aggregator,
            account: format!("{user}@{host}"),
            user,
            host,
            connection_id,
            database,
            autocommit: true,
            is_over: false,
            counts_found_rows: false,
            once_isolation: None,
            once_read_only: None,
            transaction: None,
            floor: Timestamp::ZERO,
            catalog,
            messages: Vec::new(),
            last_insert_id: 0,
            row_count: -1,
            prepared: HashMap::new(),
            named: HashMap::new(),
            next_prepared: 0,
            now: 0,
        }
    }

    pub(crate) fn add_message(&mut self, level: Level, errno: u16, text: impl Into<String>) {
        if self.messages.len() < MAX_MESSAGES {
            self.messages.push(Message { level, errno, text: text.into() });
        }
    }

    /// A statement failed before it ran or after its answer: SHOW ERRORS shows it.
    pub(crate) fn note_failure(&mut self, error: &SqlError) {
        self.messages.clear();
        self.row_count = -1;
        self.add_message(Level::Error, error.kind.errno(), error.message.clone());
    }

    pub(crate) fn warning_count(&self) -> u16 {
        u16::try_from(self.messages.len()).unwrap_or(u16::MAX)
    }

    /// How long a statement waits for a row lock.
    pub(crate) fn lock_wait(&self) -> Duration {
        Duration::from_secs(self.variables.number("innodb_lock_wait_timeout").unwrap_or(50))
    }

    /// The database that an unqualified name means. Error: 1046.
    pub(crate) fn database_name<'a>(&'a self, named: Option<&'a str>) -> Result<&'a str> {
        named
            .or(self.database.as_deref())
            .ok_or_else(|| SqlError::new(ErrorKind::NoDatabaseSelected, "No database selected"))
    }

    /// Errors: 1046, 1049, 1146.
    pub(crate) fn table(&self, name: &TableName) -> Result<Arc<TableDef>> {
        let database = self.database_name(name.database.as_deref())?;
        find_table(&self.catalog, database, &name.name)
    }

    pub(crate) fn user_variable(&self, name: &str) -> Value {
        self.variables.user_value(name)
    }
}

/// A table by name. Errors: 1049, 1146 with the nearest name that exists.
pub(crate) fn find_table(catalog: &Catalog, database: &str, name: &str) -> Result<Arc<TableDef>> {
    let error = match catalog.require_table(database, name) {
        Ok(def) => return Ok(def.clone()),
        Err(error) => error,
    };
    let names = catalog.tables(database).map(|def| def.name.as_str());
    Err(match sql::query::nearest(name, names) {
        None => error,
        Some(near) => SqlError { message: format!("{}; did you mean '{near}'?", error.message), ..error },
    })
}
