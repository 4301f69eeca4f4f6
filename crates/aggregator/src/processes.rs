//! Who is connected and what runs: SHOW PROCESSLIST, KILL, time-outs of statements, the metrics.
//!
//! Each connection has a [`Process`]. A statement that begins gives it a [`Cancel`], which everything
//! that the statement does looks at; KILL QUERY and max_execution_time use it. A statement counts as
//! running until its answer has been sent whole, which the protocol says with [`Registered::idle`]. KILL
//! CONNECTION also ends the connection by its [`Ender`].

use exec::Cancel;
use mysql_protocol::Ender;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;
use types::{ErrorKind, Result, SqlError, TxnId};

/// The text of a statement is kept up to so many bytes.
const TEXT_KEPT: usize = 64 << 10;

/// What a connection does, by the words of SHOW PROCESSLIST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    Sleep,
    /// A statement as text.
    Query,
    /// A prepared statement.
    Execute,
    /// A statement is prepared.
    Prepare,
}

impl Activity {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Activity::Sleep => "Sleep",
            Activity::Query => "Query",
            Activity::Execute => "Execute",
            Activity::Prepare => "Prepare",
        }
    }
}

/// How far a statement is, by the words of SHOW PROCESSLIST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    None,
    /// Its text is read, of a large one.
    Parsing,
    /// The same: its names are looked up.
    Binding,
    /// Its plan is made, of a large one.
    Planning,
    /// It waits for admission.
    Queued,
    Executing,
    /// It waits in SLEEP(), here at least.
    UserSleep,
    /// It waits in GET_LOCK().
    UserLock,
    /// Its rows go to the client, perhaps while they are found.
    Sending,
    /// The client's file is coming.
    Loading,
    Committing,
}

impl Stage {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Stage::None => "",
            Stage::Parsing => "starting",
            Stage::Binding => "preparing",
            Stage::Planning => "optimizing",
            Stage::Queued => "Waiting for admission",
            Stage::Executing => "executing",
            Stage::UserSleep => "User sleep",
            Stage::UserLock => "User lock",
            Stage::Sending => "Sending to client",
            Stage::Loading => "Reading from net",
            Stage::Committing => "waiting for handler commit",
        }
    }
}

struct Now {
    activity: Activity,
    stage: Stage,
    statement: Option<Arc<str>>,
    database: Option<String>,
    since: Instant,
    cancel: Option<Cancel>,
    /// The transaction that the statement writes in.
    txn: Option<TxnId>,
    timer: Option<AbortHandle>,
}

impl Now {
    fn shown_stage(&self) -> Stage {
        match self.stage {
            Stage::Executing | Stage::Sending if self.cancel.as_ref().is_some_and(Cancel::is_napping) => {
                Stage::UserSleep
            }
            stage => stage,
        }
    }

    fn disarm(&mut self) {
        if let Some(timer) = self.timer.take() {
            timer.abort();
        }
    }
}

/// A connection as others see it.
pub(crate) struct Process {
    id: u64,
    user: String,
    host: String,
    ender: Ender,
    now: Mutex<Now>,
}

/// A line of SHOW PROCESSLIST.
pub(crate) struct ProcessLine {
    pub(crate) id: u64,
    pub(crate) user: String,
    pub(crate) host: String,
    pub(crate) database: Option<String>,
    pub(crate) activity: Activity,
    pub(crate) stage: Stage,
    pub(crate) statement: Option<Arc<str>>,
    pub(crate) seconds: u64,
}

/// Connections, and their statements that run and that wait for admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ProcessCounts {
    pub(crate) connections: usize,
    pub(crate) running: usize,
    pub(crate) queued: usize,
}

#[derive(Default)]
pub(crate) struct Processes {
    lines: Mutex<BTreeMap<u64, Arc<Process>>>,
    statements: AtomicU64,
    failures: AtomicU64,
}

/// A connection's line; it goes when this is dropped.
pub(crate) struct Registered {
    processes: Arc<Processes>,
    process: Arc<Process>,
}

impl Processes {
    pub(crate) fn register(
        self: &Arc<Self>,
        id: u64,
        user: String,
        host: String,
        database: Option<String>,
        ender: Ender,
    ) -> Registered {
        let now = Now {
            activity: Activity::Sleep,
            stage: Stage::None,
            statement: None,
            database,
            since: Instant::now(),
            cancel: None,
            txn: None,
            timer: None,
        };
        let process = Arc::new(Process { id, user, host, ender, now: Mutex::new(now) });
        // A change of user replaces the line; the old session's end must not take the new one's.
        self.lines.lock().insert(id, process.clone());
        Registered { processes: self.clone(), process }
    }

    pub(crate) fn list(&self) -> Vec<ProcessLine> {
        let processes: Vec<Arc<Process>> = self.lines.lock().values().cloned().collect();
        processes.iter().map(|process| process.line()).collect()
    }

    /// Who owns the connection `id`. Error: 1094.
    pub(crate) fn owner(&self, id: u64) -> Result<String> {
        self.find(id).map(|process| process.user.clone())
    }

    /// Ends what the connection runs, and the connection itself unless `query_only`. Error: 1094.
    pub(crate) fn kill(&self, id: u64, query_only: bool) -> Result<()> {
        let process = self.find(id)?;
        process.cancel(interrupted());
        if !query_only {
            process.ender.end();
        }
        Ok(())
    }

    fn find(&self, id: u64) -> Result<Arc<Process>> {
        self.lines
            .lock()
            .get(&id)
            .cloned()
            .ok_or_else(|| SqlError::new(ErrorKind::NoSuchThread, format!("Unknown thread id: {id}")))
    }

    /// Statements begun since the start.
    pub(crate) fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// A statement ended with an error.
    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Statements that ended with an error since the start.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// How many there are of what.
    pub(crate) fn counts(&self) -> ProcessCounts {
        let lines = self.lines.lock();
        let mut counts = ProcessCounts { connections: lines.len(), ..ProcessCounts::default() };
        for process in lines.values() {
            let now = process.now.lock();
            match (now.activity, now.stage) {
                (Activity::Sleep, _) => {}
                (_, Stage::Queued) => counts.queued += 1,
                _ => counts.running += 1,
            }
        }
        counts
    }
}

/// What a killed statement fails with.
pub(crate) fn interrupted() -> SqlError {
    SqlError::new(ErrorKind::QueryInterrupted, "Query execution was interrupted")
}

impl Process {
    fn line(&self) -> ProcessLine {
        let now = self.now.lock();
        ProcessLine {
            id: self.id,
            user: self.user.clone(),
            host: self.host.clone(),
            database: now.database.clone(),
            activity: now.activity,
            stage: now.shown_stage(),
            statement: now.statement.clone(),
            seconds: now.since.elapsed().as_secs(),
        }
    }

    fn cancel(&self, reason: SqlError) {
        if let Some(cancel) = &self.now.lock().cancel {
            cancel.cancel(reason);
        }
    }

    pub(crate) fn stage(&self, stage: Stage) {
        self.now.lock().stage = stage;
    }

    /// The statement writes in this transaction.
    pub(crate) fn writes_in(&self, txn: TxnId) {
        self.now.lock().txn = Some(txn);
    }

    /// The transaction that the statement writes in.
    pub(crate) fn txn(&self) -> Option<TxnId> {
        self.now.lock().txn
    }

    /// Ends the running statement if it still runs after `limit`. Returns when that is.
    pub(crate) fn end_after(&self, limit: Duration) -> Instant {
        let deadline = Instant::now() + limit;
        let mut now = self.now.lock();
        let Some(cancel) = now.cancel.clone() else { return deadline };
        now.disarm();
        let timer = tokio::spawn(async move {
            tokio::time::sleep_until(deadline.into()).await;
            cancel.cancel(SqlError::new(
                ErrorKind::QueryTimeout,
                "Query execution was interrupted, maximum statement execution time exceeded",
            ));
        });
        now.timer = Some(timer.abort_handle());
        deadline
    }
}

impl Registered {
    pub(crate) fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// A statement begins; `cancel` ends it.
    pub(crate) fn run(&self, activity: Activity, text: &str, database: Option<&str>, cancel: Cancel) {
        if activity != Activity::Prepare {
            self.processes.statements.fetch_add(1, Ordering::Relaxed);
        }
        let kept = text.len().min(TEXT_KEPT);
        let kept = (0..=kept).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let mut now = self.process.now.lock();
        now.disarm();
        now.activity = activity;
        now.stage = Stage::Executing;
        now.statement = Some(Arc::from(&text[..kept]));
        if now.database.as_deref() != database {
            now.database = database.map(str::to_string);
        }
        now.since = Instant::now();
        now.cancel = Some(cancel);
        now.txn = None;
    }

    /// The default database was changed outside of a statement.
    pub(crate) fn uses(&self, database: &str) {
        self.process.now.lock().database = Some(database.to_string());
    }

    /// The connection waits for its client's next command.
    pub(crate) fn idle(&self, database: Option<&str>) {
        let mut now = self.process.now.lock();
        now.disarm();
        if now.activity == Activity::Sleep {
            return;
        }
        now.activity = Activity::Sleep;
        now.stage = Stage::None;
        (now.statement, now.cancel, now.txn) = (None, None, None);
        if let Some(database) = database
            && now.database.as_deref() != Some(database)
        {
            now.database = Some(database.to_string());
        }
        now.since = Instant::now();
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.process.now.lock().disarm();
        let mut lines = self.processes.lines.lock();
        if lines.get(&self.process.id).is_some_and(|line| Arc::ptr_eq(line, &self.process)) {
            lines.remove(&self.process.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(processes: &Arc<Processes>, id: u64) -> Registered {
        processes.register(id, "root".into(), "localhost".into(), None, Ender::detached())
    }

    fn counts(connections: usize, running: usize, queued: usize) -> ProcessCounts {
        ProcessCounts { connections, running, queued }
    }

    #[test]
    fn a_line_shows_what_runs_and_goes_with_the_connection() {
        let processes = Arc::new(Processes::default());
        let connection = connect(&processes, 4);
        connection.run(Activity::Query, "SELECT 1", Some("d"), Cancel::new());
        assert_eq!(processes.counts(), counts(1, 1, 0));
        connection.process().stage(Stage::Queued);
        assert_eq!(processes.counts(), counts(1, 0, 1));
        connection.process().stage(Stage::Executing);
        let line = &processes.list()[0];
        assert_eq!((line.statement.as_deref(), line.database.as_deref()), (Some("SELECT 1"), Some("d")));
        assert_eq!((line.activity, line.stage), (Activity::Query, Stage::Executing));
        connection.idle(Some("d"));
        assert_eq!(processes.counts(), counts(1, 0, 0));
        assert_eq!(processes.list()[0].statement, None);
        drop(connection);
        assert_eq!(processes.counts(), counts(0, 0, 0));
    }

    #[test]
    fn a_killed_statement_is_cancelled_and_an_idle_connection_has_none() {
        let processes = Arc::new(Processes::default());
        let connection = connect(&processes, 4);
        processes.kill(4, true).unwrap();
        let cancel = Cancel::new();
        connection.run(Activity::Query, "SELECT 1", None, cancel.clone());
        assert!(!cancel.is_cancelled(), "what was killed before does not count");
        processes.kill(4, true).unwrap();
        assert_eq!(cancel.reason().map(|e| e.kind), Some(ErrorKind::QueryInterrupted));
        connection.idle(None);
        assert_eq!(processes.kill(5, true).unwrap_err().kind, ErrorKind::NoSuchThread);
        assert_eq!(processes.owner(4).unwrap(), "root");
    }

    #[test]
    fn a_change_of_user_keeps_the_line() {
        let processes = Arc::new(Processes::default());
        let before = connect(&processes, 4);
        let _after = connect(&processes, 4);
        drop(before);
        assert_eq!(processes.counts().connections, 1);
    }

    #[tokio::test]
    async fn time_runs_out_for_the_statement_that_set_it_alone() {
        let processes = Arc::new(Processes::default());
        let connection = connect(&processes, 4);
        let (first, second) = (Cancel::new(), Cancel::new());
        connection.run(Activity::Query, "SELECT 1", None, first.clone());
        connection.process().end_after(Duration::from_millis(10));
        connection.idle(None);
        connection.run(Activity::Query, "SELECT 2", None, second.clone());
        connection.process().end_after(Duration::from_millis(30));
        assert_eq!(second.cancelled().await.kind, ErrorKind::QueryTimeout);
        assert!(!first.is_cancelled());
    }
}
