//! Who is connected and what runs, for SHOW PROCESSLIST and the metrics.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

struct Process {
    user: String,
    host: String,
    database: Option<String>,
    /// The text of what runs.
    statement: Option<String>,
    since: Instant,
}

/// A line of SHOW PROCESSLIST.
pub(crate) struct ProcessLine {
    pub(crate) id: u64,
    pub(crate) user: String,
    pub(crate) host: String,
    pub(crate) database: Option<String>,
    pub(crate) statement: Option<String>,
    pub(crate) seconds: u64,
}

#[derive(Default)]
pub(crate) struct Processes {
    lines: Mutex<BTreeMap<u64, Process>>,
    statements: AtomicU64,
    failures: AtomicU64,
}

/// A connection's line; it goes when this is dropped.
pub(crate) struct Registered {
    processes: Arc<Processes>,
    id: u64,
}

/// A running statement; its line shows it until this is dropped.
pub(crate) struct Running {
    processes: Arc<Processes>,
    id: u64,
}

impl Processes {
    pub(crate) fn register(
        self: &Arc<Self>,
        id: u64,
        user: String,
        host: String,
        database: Option<String>,
    ) -> Registered {
        let process = Process { user, host, database, statement: None, since: Instant::now() };
        self.lines.lock().insert(id, process);
        Registered { processes: self.clone(), id }
    }

    pub(crate) fn list(&self) -> Vec<ProcessLine> {
        self.lines
            .lock()
            .iter()
            .map(|(id, process)| ProcessLine {
                id: *id,
                user: process.user.clone(),
                host: process.host.clone(),
                database: process.database.clone(),
                statement: process.statement.clone(),
                seconds: process.since.elapsed().as_secs(),
            })
            .collect()
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

    /// Connections, and statements that run.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let lines = self.lines.lock();
        (lines.len(), lines.values().filter(|process| process.statement.is_some()).count())
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut Process)) {
        if let Some(process) = self.lines.lock().get_mut(&id) {
            change(process);
            process.since = Instant::now();
        }
    }
}

impl Registered {
    /// A statement begins.
    pub(crate) fn run(&self, text: &str, database: Option<&str>) -> Running {
        self.processes.statements.fetch_add(1, Ordering::Relaxed);
        self.processes.change(self.id, |process| {
            process.statement = Some(text.to_string());
            process.database = database.map(str::to_string);
        });
        Running { processes: self.processes.clone(), id: self.id }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.processes.lines.lock().remove(&self.id);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.processes.change(self.id, |process| process.statement = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_what_runs_and_goes_with_the_connection() {
        let processes = Arc::new(Processes::default());
        let connection = processes.register(4, "root".into(), "localhost".into(), None);
        let running = connection.run("SELECT 1", Some("d"));
        assert_eq!(processes.counts(), (1, 1));
        assert_eq!(processes.list()[0].statement.as_deref(), Some("SELECT 1"));
        drop(running);
        assert_eq!(processes.counts(), (1, 0));
        drop(connection);
        assert_eq!(processes.counts(), (0, 0));
    }
}
