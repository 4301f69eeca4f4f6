//! Connections: [`Session`] answers the protocol, [`State`] is what it holds.
//!
//! Each statement runs in a task of its own that holds the state's lock. If the client goes away,
//! the protocol drops its future, but the statement runs to its end; closing the session waits for
//! the lock and rolls back.

mod savepoints;
mod state;
mod transactions;
mod variables;

pub(crate) use savepoints::Savepoints;
pub(crate) use state::{Level, PreparedStatement, State, find_table};

use crate::processes::Registered;
use crate::server::{Aggregator, host_names};
use crate::statement::{Answer, Loading};
use async_trait::async_trait;
use bytes::Bytes;
use mysql_protocol::{Capabilities, ColumnMeta, InfileSink, Login, OkInfo, Prepared, Response, StatusFlags};
use sql::statement::Statement;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use tokio::sync::{Mutex, OwnedMutexGuard};
use types::{ErrorKind, Result, SqlError, Value};

/// What the protocol shows of the state without its lock.
#[derive(Default)]
struct Shown {
    status: AtomicU16,
    warnings: AtomicU16,
    is_over: AtomicBool,
}

impl Shown {
    fn update(&self, state: &State) {
        let mut status = StatusFlags::empty();
        status.set(StatusFlags::AUTOCOMMIT, state.autocommit);
        status.set(StatusFlags::IN_TRANSACTION, state.transaction.is_some());
        self.status.store(status.bits(), Ordering::Relaxed);
        self.warnings.store(state.warning_count(), Ordering::Relaxed);
        self.is_over.store(state.is_over, Ordering::Relaxed);
    }
}

pub struct Session {
    state: Arc<Mutex<State>>,
    shown: Arc<Shown>,
    registered: Arc<Registered>,
}

impl Session {
    pub(crate) fn open(aggregator: Arc<Aggregator>, login: Login) -> Result<Session> {
        // Invariant: host_names names at least the address.
        let host = host_names(&login.peer).swap_remove(0);
        let id = u64::from(login.connection);
        let registered = Arc::new(aggregator.processes.register(
            id,
            login.user.clone(),
            login.peer.to_string(),
            login.database.clone(),
        ));
        let mut state = State::new(aggregator, login.user, host, id, None);
        state.counts_found_rows = login.capabilities.contains(Capabilities::FOUND_ROWS);
        if let Some(database) = &login.database {
            state.use_database(database)?;
        }
        let shown = Arc::new(Shown::default());
        shown.update(&state);
        Ok(Session { state: Arc::new(Mutex::new(state)), shown, registered })
    }

    /// Runs one statement in a task of its own.
    async fn run(&self, work: Work) -> Result<Response> {
        let mut state = self.state.clone().lock_owned().await;
        let shown = self.shown.clone();
        let registered = self.registered.clone();
        let task = tokio::spawn(async move {
            let answer = work.run(&mut state, &registered).await;
            if answer.is_err() {
                state.aggregator.processes.failed();
            }
            shown.update(&state);
            answer.map(|answer| match answer {
                Answer::Response(response) => response,
                Answer::Load(loading) => Response::LocalInfile {
                    file: loading.file().to_string(),
                    sink: Box::new(LoadSink { state, shown, loading }),
                },
            })
        });
        match task.await {
            Ok(result) => result,
            Err(error) => Err(SqlError::internal(format!("the statement ended abnormally: {error}"))),
        }
    }
}

/// A statement to run.
enum Work {
    Text(String),
    Prepared { id: u32, parameters: Vec<Value> },
}

impl Work {
    async fn run(self, state: &mut State, registered: &Registered) -> Result<Answer> {
        match self {
            Work::Text(text) => {
                let _running = registered.run(&text, state.database.as_deref());
                let statement = one_statement(&text).inspect_err(|error| state.note_failure(error))?;
                state.run(&statement, &text, &[]).await
            }
            Work::Prepared { id, parameters } => {
                let Some(prepared) = state.prepared.get(&id).cloned() else {
                    return Err(unknown_statement(id));
                };
                let _running = registered.run(&prepared.text, state.database.as_deref());
                if prepared.parameters != parameters.len() {
                    return Err(SqlError::new(
                        ErrorKind::WrongArguments,
                        "Incorrect arguments to mysqld_stmt_execute",
                    ));
                }
                state.run(&prepared.statement, &prepared.text, &parameters).await
            }
        }
    }
}

/// Parses text that holds one statement without placeholders.
fn one_statement(text: &str) -> Result<Statement> {
    let parsed = sql::parse::parse_one(text)?;
    if parsed.parameters > 0 {
        return Err(SqlError::new(
            ErrorKind::ParseError,
            "You have an error in your SQL syntax: '?' stands for a value only in a prepared statement",
        ));
    }
    Ok(parsed.statement)
}

fn unknown_statement(id: u32) -> SqlError {
    SqlError::new(
        ErrorKind::UnknownStatementHandler,
        format!("Unknown prepared statement handler ({id}) given to mysqld_stmt_execute"),
    )
}

#[async_trait]
impl mysql_protocol::Session for Session {
    fn split(&self, text: &str) -> Result<Vec<String>> {
        Ok(sql::parse::split(text).into_iter().map(str::to_string).collect())
    }

    async fn query(&mut self, text: String) -> Result<Response> {
        self.run(Work::Text(text)).await
    }

    async fn prepare(&mut self, text: String) -> Result<Prepared> {
        let mut state = self.state.lock().await;
        let prepared = state.prepare_text(&text)?;
        state.catalog = state.aggregator.metadata.snapshot();
        let columns = state.describe_prepared(&prepared).await?;
        state.next_prepared += 1;
        let id = state.next_prepared;
        let parameters = vec![ColumnMeta::parameter(); prepared.parameters];
        state.prepared.insert(id, prepared);
        Ok(Prepared { id, parameters, columns })
    }

    async fn execute(&mut self, statement: u32, parameters: Vec<Value>) -> Result<Response> {
        self.run(Work::Prepared { id: statement, parameters }).await
    }

    async fn close_statement(&mut self, statement: u32) {
        self.state.lock().await.prepared.remove(&statement);
    }

    async fn use_database(&mut self, name: String) -> Result<()> {
        self.state.lock().await.use_database(&name)
    }

    async fn reset(&mut self) -> Result<()> {
        let mut state = self.state.lock().await;
        state.rollback().await;
        let fresh = State::new(
            state.aggregator.clone(),
            state.user.clone(),
            state.host.clone(),
            state.connection_id,
            state.database.clone(),
        );
        let (floor, counts_found_rows) = (state.floor, state.counts_found_rows);
        *state = State { floor, counts_found_rows, ..fresh };
        self.shown.update(&state);
        Ok(())
    }

    fn status(&self) -> StatusFlags {
        StatusFlags::from_bits(self.shown.status.load(Ordering::Relaxed))
    }

    fn warning_count(&self) -> u16 {
        self.shown.warnings.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.shown.is_over.load(Ordering::Relaxed)
    }

    async fn close(self) {
        self.state.lock().await.rollback().await;
    }
}

/// LOAD DATA LOCAL under way: it holds the session until the client's file has ended.
struct LoadSink {
    state: OwnedMutexGuard<State>,
    shown: Arc<Shown>,
    loading: Box<Loading>,
}

#[async_trait]
impl InfileSink for LoadSink {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.loading.push(&mut self.state, &bytes).await
    }

    async fn finish(self: Box<Self>, aborted: bool) -> Result<OkInfo> {
        let LoadSink { mut state, shown, loading } = *self;
        // In a task of its own, so that a client that goes away does not stop the commit half-way.
        let task = tokio::spawn(async move {
            let result = loading.finish(&mut state, aborted).await;
            if let Err(error) = &result {
                state.note_failure(error);
            }
            shown.update(&state);
            result
        });
        match task.await {
            Ok(result) => result,
            Err(error) => Err(SqlError::internal(format!("the load ended abnormally: {error}"))),
        }
    }
}
