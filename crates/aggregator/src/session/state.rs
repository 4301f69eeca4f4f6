//! What a connection holds between statements.

use crate::processes::Process;
use crate::server::Aggregator;
use crate::session::privileges::{Identity, Privileges};
use crate::session::temporary::TemporaryTables;
use crate::session::variables::SessionVariables;
use crate::statement::Surroundings;
use crate::system_schemas::{self, system_schema};
use crate::transaction::{Isolation, Transaction};
use catalog::{Catalog, UserName};
use exec::{Cancel, Ear, Heard};
use mysql_protocol::{SessionChange, SessionLimits, TlsInfo};
use parking_lot::Mutex;
use sql::statement::{Statement, TableName};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use types::{ErrorKind, Result, SqlError, TableDef, Timestamp, TxnId, Value};

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

/// What a session knows of its client, for as long as the connection lives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Client {
    /// A person sits before it: interactive_timeout is its wait_timeout.
    pub(crate) interactive: bool,
    pub(crate) tls: Option<TlsInfo>,
}

pub(crate) struct State {
    pub(crate) aggregator: Arc<Aggregator>,
    /// Who acts here, and what it may do by the current catalog.
    pub(crate) identity: Arc<Identity>,
    pub(crate) privileges: Privileges,
    /// The roles that the session has taken.
    pub(crate) roles: Vec<UserName>,
    /// The same as CURRENT_ROLE() shows them.
    pub(crate) current_role: String,
    /// `user@host`, as USER() shows it.
    pub(crate) user: String,
    /// `user@host` of the account, as CURRENT_USER() shows it.
    pub(crate) current_user: String,
    pub(crate) connection_id: u64,
    pub(crate) database: Option<String>,
    pub(crate) variables: SessionVariables,
    /// What templates are kept under, for these variables and this database.
    pub(crate) surroundings: Option<Surroundings>,
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
    /// The transaction of which rows said, as they came, that a part of it was lost.
    pub(crate) lost: Arc<Mutex<Option<TxnId>>>,
    /// The newest timestamp that this session read or committed at.
    pub(crate) floor: Timestamp,
    /// The catalog as the current statement sees it.
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) temporary: TemporaryTables,
    pub(crate) messages: Vec<Message>,
    /// Those past the ones that are kept.
    pub(crate) more_messages: u64,
    /// What the rows of the statement's query warn of, while they come.
    pub(crate) ear: Option<Ear>,
    pub(crate) last_insert_id: u64,
    /// What the statement gave LAST_INSERT_ID(..), which its answer says.
    pub(crate) told_insert_id: Option<u64>,
    pub(crate) row_count: i64,
    /// The rows of the last result, while they come.
    pub(crate) found_rows: Arc<AtomicU64>,
    pub(crate) prepared: HashMap<u32, PreparedStatement>,
    pub(crate) named: HashMap<String, PreparedStatement>,
    pub(crate) next_prepared: u32,
    /// The statement's start: microseconds since 1970 UTC.
    pub(crate) now: i64,
    pub(crate) client: Client,
    /// What others see of this session.
    pub(crate) process: Arc<Process>,
    /// Ends the current statement.
    pub(crate) cancel: Cancel,
    /// The current statement has a large text ([`crate::aside`]).
    pub(crate) is_large: bool,
    /// The current statement has done what would be done twice if it began again.
    pub(crate) is_once: bool,
    /// When the current statement ends by itself, if it does.
    pub(crate) deadline: Option<Instant>,
    /// What changed in the session and the client was not told yet.
    pub(crate) changes: Vec<SessionChange>,
}

impl State {
    pub(crate) fn new(
        aggregator: Arc<Aggregator>,
        identity: Arc<Identity>,
        connection_id: u64,
        database: Option<String>,
        client: Client,
        process: Arc<Process>,
    ) -> State {
        let catalog = aggregator.metadata.snapshot();
        let mut variables = SessionVariables::new(aggregator.server_variables(&catalog));
        if client.interactive {
            variables.take_interactive_timeout();
        }
        let mut state = State {
            isolation: variables.isolation(),
            current_role: String::new(),
            variables,
            aggregator,
            privileges: Privileges::of_account(identity.clone(), &catalog),
            roles: identity
                .account
                .as_ref()
                .and_then(|account| catalog.user(account))
                .map(|user| user.default_roles.clone())
                .unwrap_or_default(),
            user: format!("{}@{}", identity.user, identity.host),
            current_user: identity.current_user(),
            identity,
            connection_id,
            surroundings: None,
            database,
            autocommit: true,
            is_over: false,
            counts_found_rows: false,
            once_isolation: None,
            once_read_only: None,
            transaction: None,
            lost: Arc::default(),
            floor: Timestamp::ZERO,
            catalog,
            temporary: TemporaryTables::default(),
            messages: Vec::new(),
            more_messages: 0,
            ear: None,
            last_insert_id: 0,
            told_insert_id: None,
            found_rows: Arc::default(),
            row_count: -1,
            prepared: HashMap::new(),
            named: HashMap::new(),
            next_prepared: 0,
            now: 0,
            client,
            process,
            cancel: Cancel::new(),
            is_large: false,
            is_once: false,
            deadline: None,
            changes: Vec::new(),
        };
        state.name_roles();
        state
    }

    /// What CURRENT_ROLE() shows of the roles that are still granted.
    fn name_roles(&mut self) {
        let user = self.identity.account.as_ref().and_then(|account| self.catalog.user(account));
        let names: Vec<String> = self
            .roles
            .iter()
            .filter(|role| user.is_some_and(|user| user.has_role(role)))
            .map(|role| format!("{}@{}", sql::ddl::quote_name(&role.name), sql::ddl::quote_name(&role.host)))
            .collect();
        self.current_role = if names.is_empty() { "NONE".to_string() } else { names.join(",") };
    }

    /// Takes these roles from now on.
    pub(crate) fn take_roles(&mut self, roles: Vec<UserName>) {
        self.roles = roles;
        self.see_catalog();
    }

    /// Takes the newest catalog, and what it allows.
    pub(crate) fn see_catalog(&mut self) {
        self.take_catalog();
        if !self.roles.is_empty() || self.current_role != "NONE" {
            self.name_roles();
        }
        self.privileges = Privileges::new(self.identity.clone(), &self.roles, &self.catalog);
        self.privileges.own_tables(self.temporary.names());
    }

    /// An error once the current statement was killed, ran out of time, or lost its client.
    pub(crate) fn check_cancelled(&self) -> Result<()> {
        self.cancel.reason().map_or(Ok(()), Err)
    }

    /// Does what changes nothing at leaves, or gives it up once the statement is cancelled: a leaf that
    /// does not answer does not hold up who does not wait for it any more.
    pub(crate) async fn unless_cancelled<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            done = work => done,
            reason = self.cancel.cancelled() => Err(reason),
        }
    }

    /// Notes a session variable's new value for the client, if it wants to know.
    pub(crate) fn track_variable(&mut self, name: &str) {
        let tracked = self.variables.text("session_track_system_variables").unwrap_or_default();
        let name = name.to_ascii_lowercase();
        if tracked.split(',').any(|one| one.trim() == "*" || one.trim().eq_ignore_ascii_case(&name))
            && let Some(value) = self.variables.text(&name)
        {
            self.changes.push(SessionChange::Variable { name, value });
        }
        self.track_state();
    }

    /// Notes a new default database for the client, if it wants to know.
    pub(crate) fn track_database(&mut self) {
        if self.variables.number("session_track_schema") == Some(1) {
            self.changes.push(SessionChange::Schema(self.database.clone().unwrap_or_default()));
        }
        self.track_state();
    }

    /// Notes that something of the session changed, for clients that ask no more.
    pub(crate) fn track_state(&mut self) {
        if self.variables.number("session_track_state_change") == Some(1)
            && !self.changes.contains(&SessionChange::State)
        {
            self.changes.push(SessionChange::State);
        }
    }

    /// What the variables say of the connection.
    pub(crate) fn limits(&self) -> SessionLimits {
        let seconds = |name| self.variables.number(name).map(Duration::from_secs);
        SessionLimits {
            wait_timeout: seconds("wait_timeout"),
            read_timeout: seconds("net_read_timeout"),
            write_timeout: seconds("net_write_timeout"),
            max_allowed_packet: self
                .variables
                .number("max_allowed_packet")
                .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        }
    }

    pub(crate) fn add_message(&mut self, level: Level, errno: u16, text: impl Into<String>) {
        if self.messages.len() < MAX_MESSAGES {
            let text = self.known_names(text.into());
            self.messages.push(Message { level, errno, text });
        } else {
            self.more_messages += 1;
        }
    }

    /// A statement failed before it ran or after its answer: SHOW ERRORS shows it.
    pub(crate) fn note_failure(&mut self, error: &SqlError) {
        self.clear_messages();
        self.row_count = -1;
        self.add_message(Level::Error, error.kind.errno(), error.message.clone());
    }

    pub(crate) fn warning_count(&self) -> u16 {
        u16::try_from(self.message_count()).unwrap_or(u16::MAX)
    }

    /// The messages of the statement, those that are not kept included.
    pub(crate) fn message_count(&self) -> u64 {
        self.messages.len() as u64 + self.more_messages
    }

    /// There were so many more, whose texts nobody has.
    pub(crate) fn count_messages(&mut self, more: u64) {
        self.more_messages += more;
    }

    /// Makes messages of what the rows of the statement's query warned of.
    pub(crate) fn note_heard(&mut self) {
        if let Some(ear) = self.ear.take() {
            self.note(ear.take());
        }
    }

    /// Makes messages of what rows warned of, and keeps what they gave LAST_INSERT_ID(..).
    pub(crate) fn note(&mut self, heard: Heard) {
        if let Some(id) = heard.insert_id {
            self.last_insert_id = id;
            self.told_insert_id = Some(id);
        }
        self.note_warnings(&heard.warnings);
        let divisions = if self.warns_of_divisions() { heard.more_divisions } else { 0 };
        self.count_messages(heard.more + divisions);
    }

    pub(crate) fn clear_messages(&mut self) {
        self.ear = None;
        self.messages.clear();
        self.more_messages = 0;
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

    /// Errors: 1046, 1049, 1146, 1347 for a view.
    pub(crate) fn table(&self, name: &TableName) -> Result<Arc<TableDef>> {
        let database = self.database_name(name.database.as_deref())?;
        if self.catalog.view(database, &name.name).is_some() {
            let text = format!("'{database}.{}' is not BASE TABLE", name.name);
            return Err(SqlError::new(ErrorKind::WrongObject, text));
        }
        find_table(&self.catalog, database, &name.name)
    }

    /// A table whose definition is only shown: one of the system's, too. Errors: those of
    /// [`State::table`], 1109.
    pub(crate) fn shown_table(&self, name: &TableName) -> Result<Arc<TableDef>> {
        match system_schema(self.database_name(name.database.as_deref())?) {
            Some(schema) => Ok(Arc::new(system_schemas::find(schema, &name.name)?.definition())),
            None => self.table(name),
        }
    }

    /// That there is a database of this name, be it the system's. Error: 1049.
    pub(crate) fn require_schema(&self, name: &str) -> Result<()> {
        match system_schema(name) {
            Some(_) => Ok(()),
            None => self.catalog.require_database(name).map(|_| ()),
        }
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
    if error.kind == ErrorKind::UnknownDatabase && database == "mysql" {
        let instead =
            "Pando has no tables of the server's own; information_schema.USER_PRIVILEGES lists accounts";
        return Err(SqlError { message: format!("{}: {instead}", error.message), ..error });
    }
    let names = catalog.listed_tables(database).map(|def| def.name.as_str());
    let names = names.chain(catalog.views(database).map(|view| view.name.as_str()));
    Err(match sql::query::nearest(name, names) {
        None => error,
        Some(near) => SqlError { message: format!("{}; did you mean '{near}'?", error.message), ..error },
    })
}
