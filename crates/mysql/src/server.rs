//! What a program implements to speak MySQL.

use crate::auth::Credentials;
use crate::column::ColumnMeta;
use crate::protocol::{Capabilities, StatusFlags};
use crate::response::{Response, SessionChange};
use crate::tls::TlsInfo;
use async_trait::async_trait;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::watch;
use types::{SqlError, Value};

#[async_trait]
pub trait Server: Send + Sync + 'static {
    type Session: Session;

    /// How a user proves itself; `None` for one that does not exist, which the client cannot tell
    /// from one with another password.
    async fn credentials(&self, user: &str, peer: &SocketAddr) -> Option<Credentials>;

    /// Whether clients without TLS are turned away, before they prove anything.
    fn requires_tls(&self) -> bool {
        false
    }

    /// Connections at most, if the server has a say in it.
    fn max_connections(&self) -> Option<usize> {
        None
    }

    /// Hears that someone has not proved to be this user. Gives what to tell them instead of error 1045.
    async fn refused(&self, _user: &str, _peer: &SocketAddr) -> Option<SqlError> {
        None
    }

    /// Opens a session for a user that has proved itself. An error ends the connection.
    async fn open(&self, login: Login) -> Result<Self::Session, SqlError>;
}

/// Who logs in, and how its client speaks.
#[derive(Debug, Clone)]
pub struct Login {
    pub user: String,
    pub database: Option<String>,
    pub peer: SocketAddr,
    pub connection: u32,
    /// `program_name`, `_client_name` and the like.
    pub attributes: Vec<(String, String)>,
    /// What both sides can do; [`Capabilities::FOUND_ROWS`] and [`Capabilities::INTERACTIVE`]
    /// concern the session.
    pub capabilities: Capabilities,
    /// The number of the collation that the client asks for.
    pub collation: u16,
    /// How the connection is encrypted, if it is.
    pub tls: Option<TlsInfo>,
    /// Ends the connection, for KILL.
    pub ender: Ender,
}

/// Ends a connection from outside: its statement is dropped as if the client had gone, but the client
/// is told.
#[derive(Debug, Clone)]
pub struct Ender(watch::Sender<bool>);

impl Ender {
    pub(crate) fn new() -> (Ender, watch::Receiver<bool>) {
        let (sender, receiver) = watch::channel(false);
        (Ender(sender), receiver)
    }

    /// One that belongs to no connection.
    pub fn detached() -> Ender {
        Ender::new().0
    }

    pub fn end(&self) {
        self.0.send_replace(true);
    }
}

/// What a session's variables say of its connection. `None` leaves what the listener's limits say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionLimits {
    pub wait_timeout: Option<Duration>,
    pub read_timeout: Option<Duration>,
    pub write_timeout: Option<Duration>,
    pub max_allowed_packet: Option<usize>,
}

/// A column as COM_FIELD_LIST shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedField {
    pub column: ColumnMeta,
    pub default: Option<String>,
}

/// One connection's state. Commands arrive one at a time.
///
/// If the client goes away or the server stops, the future of a running statement is dropped, and
/// then [`Session::close`] is called: both must leave no transaction open.
#[async_trait]
pub trait Session: Send + 'static {
    /// Runs one statement.
    async fn query(&mut self, sql: String) -> Result<Response, SqlError>;

    /// Cuts a text into its statements, at the semicolons that are not within strings or comments.
    /// Called only for clients that use multi statements; an error then fails the whole text.
    fn split(&self, sql: &str) -> Result<Vec<String>, SqlError>;

    async fn prepare(&mut self, sql: String) -> Result<Prepared, SqlError>;

    /// `statement` is the id of a prepared statement that is still open, `parameters` has a value
    /// for each of its parameters.
    async fn execute(&mut self, statement: u32, parameters: Vec<Value>) -> Result<Response, SqlError>;

    async fn close_statement(&mut self, statement: u32);

    /// COM_FIELD_LIST: the columns of a table whose names are like `pattern`; all for an empty one.
    async fn list_fields(&mut self, table: String, pattern: String) -> Result<Vec<ListedField>, SqlError>;

    async fn use_database(&mut self, name: String) -> Result<(), SqlError>;

    /// COM_RESET_CONNECTION: as if just logged in, in the same database. Rolls back, forgets
    /// variables and prepared statements.
    async fn reset(&mut self) -> Result<(), SqlError>;

    fn status(&self) -> StatusFlags;

    /// Warnings of the last statement.
    fn warning_count(&self) -> u16;

    /// Whether the connection ends once what was answered is sent.
    fn is_over(&self) -> bool {
        false
    }

    /// What changed in the session since this was last asked.
    fn take_changes(&mut self) -> Vec<SessionChange> {
        Vec::new()
    }

    /// Asked before each command.
    fn limits(&self) -> SessionLimits {
        SessionLimits::default()
    }

    /// The last command has been answered whole; the next has not come yet.
    fn idle(&mut self) {}

    async fn close(self);
}

#[derive(Debug, Clone)]
pub struct Prepared {
    /// Chosen by the session, unique in it.
    pub id: u32,
    pub parameters: Vec<ColumnMeta>,
    /// Empty for a statement that returns no rows.
    pub columns: Vec<ColumnMeta>,
}
