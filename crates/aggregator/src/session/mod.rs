//! Connections: [`Session`] answers the protocol, [`State`] is what it holds.
//!
//! Each statement holds the state's lock. If the client goes away, the protocol drops its future: the
//! statement moves to a task of its own, is cancelled, and ends where it next looks; closing the session,
//! which waits for the lock, rolls back and releases its user-level locks.

mod again;
mod privileges;
mod savepoints;
mod state;
pub(crate) mod temporary;
mod transactions;
mod variables;

pub(crate) use privileges::{Identity, Privileges};
pub(crate) use savepoints::Savepoints;
pub(crate) use state::{Client, Level, PreparedStatement, State, find_table};
pub(crate) use variables::server_variables;

use crate::large_texts::{hold_for, is_large_text};
use crate::processes::{Activity, Process, Registered, Stage, interrupted};
use crate::server::{Aggregator, host_names};
use crate::statement::{Answer, Loading};
use async_trait::async_trait;
use bytes::Bytes;
use catalog::User;
use exec::{Cancel, Ear, to_its_end};
use mysql_protocol::{
    Capabilities, ColumnMeta, InfileSink, ListedField, Login, OkInfo, Prepared, Response, SessionChange,
    SessionLimits, StatusFlags,
};
use sql::statement::Statement;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OwnedMutexGuard};
use types::{ErrorKind, Result, SqlError, Value};

/// How often the waits of a cancelled statement for locks are ended anew, until it has ended.
const INTERRUPT_EVERY: Duration = Duration::from_millis(20);

/// What the protocol shows of the state without its lock.
#[derive(Default)]
struct Shown {
    status: AtomicU16,
    warnings: AtomicU16,
    is_over: AtomicBool,
    rest: parking_lot::Mutex<ShownRest>,
}

/// What changes seldom.
#[derive(Default)]
struct ShownRest {
    limits: SessionLimits,
    /// The version of the session's variables that `limits` were taken from.
    variables: u64,
    database: Option<String>,
    changes: Vec<SessionChange>,
    /// Hears what rows that still come warn of; and whether divisions by zero count.
    ear: Option<(Ear, bool)>,
}

impl Shown {
    fn update(&self, state: &mut State) {
        let mut status = StatusFlags::empty();
        status.set(StatusFlags::AUTOCOMMIT, state.autocommit);
        status.set(StatusFlags::IN_TRANSACTION, state.transaction.is_some());
        self.status.store(status.bits(), Ordering::Relaxed);
        self.warnings.store(state.warning_count(), Ordering::Relaxed);
        self.is_over.store(state.is_over, Ordering::Relaxed);
        let mut rest = self.rest.lock();
        rest.changes.append(&mut state.changes);
        rest.ear = state.ear.clone().map(|ear| (ear, state.warns_of_divisions()));
        if rest.database != state.database {
            rest.database = state.database.clone();
        }
        if rest.variables != state.variables.version() {
            rest.variables = state.variables.version();
            rest.limits = state.limits();
        }
    }
}

pub struct Session {
    state: Arc<Mutex<State>>,
    shown: Arc<Shown>,
    registered: Arc<Registered>,
}

impl Session {
    pub(crate) fn open(aggregator: Arc<Aggregator>, login: Login) -> Result<Session> {
        let hosts = host_names(&login.peer);
        let spellings: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let account = aggregator.metadata.snapshot().user_for_login(&login.user, &spellings).cloned();
        if let Some(account) = &account {
            let from = (login.user.as_str(), spellings[0]);
            aggregator.failed_logins.right(account, from, Instant::now())?;
        }
        check_account(account.as_deref(), &login)?;
        // Invariant: host_names names at least the address.
        let host = spellings[0].to_string();
        let account = account.map(|account| account.user.clone());
        let identity = Arc::new(Identity { user: login.user.clone(), host, account });
        let id = u64::from(login.connection);
        let registered = Arc::new(aggregator.processes.register(
            id,
            login.user,
            login.peer.to_string(),
            login.database.clone(),
            login.ender,
        ));
        let client =
            Client { interactive: login.capabilities.contains(Capabilities::INTERACTIVE), tls: login.tls };
        let process = registered.process().clone();
        let mut state = State::new(aggregator, identity, id, None, client, process);
        state.counts_found_rows = login.capabilities.contains(Capabilities::FOUND_ROWS);
        if let Some(database) = &login.database {
            state.use_database(database)?;
        }
        // What the client asked for itself is no news to it.
        state.changes.clear();
        let shown = Arc::new(Shown::default());
        shown.update(&mut state);
        Ok(Session { state: Arc::new(Mutex::new(state)), shown, registered })
    }

    /// Runs one statement, which nobody stops half-way.
    async fn run(&self, work: Work) -> Result<Response> {
        let mut state = self.state.clone().lock_owned().await;
        let shown = self.shown.clone();
        let registered = self.registered.clone();
        let cancel = Cancel::new();
        state.cancel = cancel.clone();
        state.deadline = None;
        state.is_once = false;
        let held = hold_for(work.text(&state), &state.aggregator.memory);
        let is_large = is_large_text(work.text(&state));
        state.is_large = is_large;
        let client_gone = CancelOnDrop(Some(cancel.clone()));
        let statement = async move {
            let aggregator = state.aggregator.clone();
            let process = registered.process();
            let answer = match held {
                Ok(_held) => {
                    let work = work.run(&mut state, &registered, &cancel);
                    end_waits_if_cancelled(work, &cancel, &aggregator, process).await
                }
                Err(error) => {
                    state.note_failure(&error);
                    Err(error)
                }
            };
            if answer.is_err() {
                aggregator.processes.failed();
            }
            shown.update(&mut state);
            answer.map(|answer| match answer {
                Answer::Response(response) => {
                    if matches!(response, Response::Rows(_)) {
                        process.stage(Stage::Sending);
                    }
                    response
                }
                Answer::Load(loading) => {
                    process.stage(Stage::Loading);
                    Response::LocalInfile {
                        file: loading.file().to_string(),
                        sink: Box::new(LoadSink { state, shown, loading }),
                    }
                }
            })
        };
        let result = match is_large {
            true => tokio::spawn(statement).await.map_err(|error| error.to_string()),
            false => to_its_end(statement).await.map_err(|error| error.to_string()),
        };
        client_gone.disarm();
        result.unwrap_or_else(|error| Err(ended_abnormally(&error)))
    }
}

fn ended_abnormally(error: &dyn std::fmt::Display) -> SqlError {
    SqlError::internal(format!("the statement ended abnormally: {error}"))
}

/// Whether an account lets in whom it has recognised.
fn check_account(account: Option<&User>, login: &Login) -> Result<()> {
    let Some(User { options, .. }) = account else { return Ok(()) };
    let from = host_names(&login.peer).swap_remove(0);
    if options.locked {
        return Err(SqlError::new(
            ErrorKind::AccountLocked,
            format!("Access denied for user '{}'@'{from}'. Account is locked.", login.user),
        ));
    }
    if options.requires_tls && login.tls.is_none() {
        return Err(SqlError::new(
            ErrorKind::AccessDenied,
            format!(
                "Access denied for user '{}'@'{from}' (using password: YES); the account takes only \
                 connections with TLS",
                login.user
            ),
        ));
    }
    Ok(())
}

/// Cancels a statement whose client does not wait for it any more.
struct CancelOnDrop(Option<Cancel>);

impl CancelOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(cancel) = self.0.take() {
            cancel.cancel(interrupted());
        }
    }
}

/// Runs a statement to its end. Once it is cancelled, what it waits for at leaves is ended: again and
/// again, since it may only then begin to wait.
async fn end_waits_if_cancelled<T>(
    statement: impl Future<Output = T>,
    cancel: &Cancel,
    aggregator: &Aggregator,
    process: &Process,
) -> T {
    let mut statement = std::pin::pin!(statement);
    tokio::select! {
        biased;
        ended = &mut statement => return ended,
        _ = cancel.cancelled() => {}
    }
    loop {
        let interrupt = async {
            if let Some(txn) = process.txn() {
                aggregator.interrupt(txn).await;
            }
            tokio::time::sleep(INTERRUPT_EVERY).await;
        };
        tokio::select! {
            biased;
            ended = &mut statement => return ended,
            () = interrupt => {}
        }
    }
}

/// A statement to run.
enum Work {
    Text(String),
    Prepared { id: u32, parameters: Vec<Value> },
}

impl Work {
    fn text<'a>(&'a self, state: &'a State) -> &'a str {
        match self {
            Work::Text(text) => text,
            Work::Prepared { id, .. } => state.prepared.get(id).map_or("", |prepared| &prepared.text),
        }
    }

    async fn run(self, state: &mut State, registered: &Registered, cancel: &Cancel) -> Result<Answer> {
        state.end_lost().await;
        let answer = self.run_until_done(state, registered, cancel).await;
        if let Err(error) = &answer
            && error.kind == ErrorKind::Deadlock
        {
            // A statement that only reads ends no transaction by itself.
            state.rollback().await;
        }
        answer
    }

    async fn run_until_done(
        &self,
        state: &mut State,
        registered: &Registered,
        cancel: &Cancel,
    ) -> Result<Answer> {
        let beginning = state.beginning();
        for _ in 1..again::ROUNDS {
            let answer = self.run_once(state, registered, cancel).await;
            let Err(error) = &answer else { return answer };
            let Some(beginning) = &beginning else {
                if error.kind == ErrorKind::TableDefinitionChanged {
                    // Else it would be told so again when it tries again, should the replacement be forgotten.
                    state.end_replacements().await?;
                }
                return answer;
            };
            if !state.begin_again(beginning, error).await? {
                return answer;
            }
        }
        self.run_once(state, registered, cancel).await
    }

    async fn run_once(&self, state: &mut State, registered: &Registered, cancel: &Cancel) -> Result<Answer> {
        match self {
            Work::Text(text) => {
                registered.run(Activity::Query, text, state.database.as_deref(), cancel.clone());
                if let Some(answer) = state.run_text_shortly(text).await {
                    return answer;
                }
                if let Some(answer) = state.run_text_kept(text).await {
                    return answer;
                }
                let statement = state.parsed(text, one_statement).await;
                let statement = statement.inspect_err(|error| state.note_failure(error))?;
                state.run(&statement, text, &[]).await
            }
            Work::Prepared { id, parameters } => {
                let Some(prepared) = state.prepared.get(id).cloned() else {
                    return Err(unknown_statement(*id));
                };
                let database = state.database.as_deref();
                registered.run(Activity::Execute, &prepared.text, database, cancel.clone());
                if prepared.parameters != parameters.len() {
                    return Err(SqlError::new(
                        ErrorKind::WrongArguments,
                        "Incorrect arguments to mysqld_stmt_execute",
                    ));
                }
                if let Some(answer) = state.run_prepared_shortly(&prepared, parameters).await {
                    return answer;
                }
                if let Some(answer) = state.run_prepared_kept(&prepared, parameters, false).await {
                    return answer;
                }
                state.run(&prepared.statement, &prepared.text, parameters).await
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
        let mut state = self.state.clone().lock_owned().await;
        let cancel = Cancel::new();
        self.registered.run(Activity::Prepare, &text, state.database.as_deref(), cancel.clone());
        state.cancel = cancel.clone();
        state.is_large = is_large_text(&text);
        let is_large = state.is_large;
        let client_gone = CancelOnDrop(Some(cancel));
        let held = hold_for(&text, &state.aggregator.memory)?;
        let describing = async move {
            let _held = held;
            let described = state.prepare_described(&text).await?;
            Ok((state, described))
        };
        let described = match is_large {
            true => tokio::spawn(describing).await.unwrap_or_else(|error| Err(ended_abnormally(&error))),
            false => describing.await,
        };
        client_gone.disarm();
        let (mut state, (prepared, columns)) = described?;
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

    async fn list_fields(&mut self, table: String, pattern: String) -> Result<Vec<ListedField>> {
        let mut state = self.state.lock().await;
        state.see_catalog();
        state.list_fields(&table, &pattern)
    }

    async fn use_database(&mut self, name: String) -> Result<()> {
        let mut state = self.state.lock().await;
        state.see_catalog();
        state.use_database(&name)?;
        self.registered.uses(&name);
        self.shown.update(&mut state);
        Ok(())
    }

    async fn reset(&mut self) -> Result<()> {
        let mut state = self.state.lock().await;
        state.rollback().await;
        state.drop_all_temporary().await;
        state.drop_user_locks().await;
        let fresh = State::new(
            state.aggregator.clone(),
            state.identity.clone(),
            state.connection_id,
            state.database.clone(),
            state.client.clone(),
            state.process.clone(),
        );
        let (floor, counts_found_rows) = (state.floor, state.counts_found_rows);
        *state = State { floor, counts_found_rows, ..fresh };
        self.shown.update(&mut state);
        Ok(())
    }

    fn status(&self) -> StatusFlags {
        StatusFlags::from_bits(self.shown.status.load(Ordering::Relaxed))
    }

    fn warning_count(&self) -> u16 {
        let noted = self.shown.warnings.load(Ordering::Relaxed);
        let heard = self.shown.rest.lock().ear.as_ref().map_or(0, |(ear, divisions)| ear.count(*divisions));
        noted.saturating_add(u16::try_from(heard).unwrap_or(u16::MAX))
    }

    fn is_over(&self) -> bool {
        self.shown.is_over.load(Ordering::Relaxed)
    }

    fn take_changes(&mut self) -> Vec<SessionChange> {
        std::mem::take(&mut self.shown.rest.lock().changes)
    }

    fn limits(&self) -> SessionLimits {
        self.shown.rest.lock().limits
    }

    fn idle(&mut self) {
        self.registered.idle(self.shown.rest.lock().database.as_deref());
    }

    async fn close(self) {
        let mut state = self.state.lock().await;
        state.rollback().await;
        state.drop_all_temporary().await;
        state.drop_user_locks().await;
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
        self.state.check_cancelled()?;
        self.loading.push(&mut self.state, &bytes).await
    }

    async fn finish(self: Box<Self>, aborted: bool) -> Result<OkInfo> {
        let LoadSink { mut state, shown, loading } = *self;
        // A client that goes away does not stop the commit half-way.
        let finished = to_its_end(async move {
            // A load that was cancelled at its end is not committed.
            let cancelled = state.check_cancelled();
            let result = loading.finish(&mut state, aborted || cancelled.is_err()).await;
            let result = cancelled.and(result);
            if let Err(error) = &result {
                state.note_failure(error);
            }
            shown.update(&mut state);
            result
        });
        finished
            .await
            .unwrap_or_else(|error| Err(SqlError::internal(format!("the load ended abnormally: {error}"))))
    }
}
