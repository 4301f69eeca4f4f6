//! The aggregator as a MySQL server: who may log in, and what all sessions share.

use crate::admission::Admission;
use crate::aside::Aside;
use crate::estimates::Estimates;
use crate::failed_logins::FailedLogins;
use crate::files::FileAccess;
use crate::ids::AutoIncrement;
use crate::leases::OpenTransactions;
use crate::links::Links;
use crate::plans::Plans;
use crate::processes::Processes;
use crate::session::{Session, server_variables, temporary};
use crate::templates::Templates;
use crate::user_locks::UserLocks;
use async_trait::async_trait;
use catalog::{Catalog, Metadata, ROOT};
use env::MemoryBudget;
use exec::{Leaves, StageNode};
use mysql_protocol::{Counters, Credentials, Login, Plugin};
use parking_lot::Mutex;
use planner::Planner;
use sql::variables::{SERVER_VERSION, Variables};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use types::{NodeId, Result, SqlError};

#[derive(Debug, Clone)]
pub struct AggregatorOptions {
    pub node: NodeId,
    /// Where it listens.
    pub host: String,
    pub port: u16,
    /// Partitions of a database that does not say; `None`: one a core of the leaves.
    pub partitions: Option<u32>,
    /// The data folder, for @@datadir and temporary files.
    pub data: String,
    /// Where the files of LOAD DATA INFILE and SELECT .. INTO OUTFILE may lie.
    pub files: FileAccess,
}

/// What all sessions of an aggregator share.
pub struct Aggregator {
    pub(crate) options: AggregatorOptions,
    pub(crate) metadata: Arc<dyn Metadata>,
    pub(crate) leaves: Arc<dyn Leaves>,
    pub(crate) stages: Arc<StageNode>,
    pub(crate) planner: Planner,
    pub(crate) aside: Aside,
    pub(crate) memory: Arc<MemoryBudget>,
    pub(crate) ids: AutoIncrement,
    pub(crate) estimates: Estimates,
    pub(crate) templates: Templates,
    pub(crate) plans: Plans,
    pub(crate) open: Arc<OpenTransactions>,
    pub(crate) processes: Arc<Processes>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) links: Arc<dyn Links>,
    pub(crate) failed_logins: FailedLogins,
    pub(crate) user_locks: UserLocks,
    /// The server's variables, by the version of the catalog that they were made from.
    variables: Mutex<Option<(u64, Variables)>>,
    next_spread: AtomicU32,
    /// How the kept names of temporary tables begin, and the number of the next.
    pub(crate) temporary_prefix: String,
    pub(crate) next_temporary: AtomicU64,
    started: Instant,
}

impl Aggregator {
    pub fn new(
        options: AggregatorOptions,
        metadata: Arc<dyn Metadata>,
        leaves: Arc<dyn Leaves>,
        stages: Arc<StageNode>,
        planner: Planner,
        memory: Arc<MemoryBudget>,
        links: Arc<dyn Links>,
    ) -> Arc<Aggregator> {
        // Transaction numbers start at the time in nanoseconds, so that a restarted aggregator
        // never gives one again.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
        let temporary_prefix = temporary::prefix(options.node, now);
        Arc::new(Aggregator {
            open: OpenTransactions::new(options.node, now),
            user_locks: UserLocks::new(options.node, now),
            estimates: Estimates::default(),
            templates: Templates::default(),
            plans: Plans::new(&memory),
            options,
            ids: AutoIncrement::new(metadata.clone()),
            metadata,
            leaves,
            stages,
            planner,
            aside: Aside::new(),
            memory,
            processes: Arc::default(),
            admission: Admission::new(),
            counters: Arc::default(),
            links,
            failed_logins: FailedLogins::default(),
            variables: Mutex::default(),
            next_spread: AtomicU32::new(0),
            temporary_prefix,
            next_temporary: AtomicU64::new(1),
            started: Instant::now(),
        })
    }

    /// The server's variables as this catalog says.
    pub(crate) fn server_variables(&self, catalog: &Catalog) -> Variables {
        let mut known = self.variables.lock();
        match &*known {
            Some((version, variables)) if *version == catalog.version() => variables.clone(),
            _ => {
                let variables = server_variables(catalog, &self.options);
                *known = Some((catalog.version(), variables.clone()));
                variables
            }
        }
    }

    /// Where the next batch of a table without a shard key goes.
    pub(crate) fn next_spread(&self) -> u32 {
        self.next_spread.fetch_add(1, Ordering::Relaxed)
    }

    /// SHOW STATUS.
    pub(crate) fn status(&self) -> Vec<(&'static str, String)> {
        let counts = self.processes.counts();
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed).to_string();
        vec![
            ("Aborted_connects", number(&self.counters.failed_logins)),
            ("Connection_errors_max_connections", number(&self.counters.refused)),
            ("Connections", number(&self.counters.accepted)),
            ("Queries", number(&self.counters.commands)),
            ("Questions", self.processes.statements().to_string()),
            ("Threads_connected", counts.connections.to_string()),
            ("Threads_running", (counts.running + counts.queued).to_string()),
            ("Uptime", self.started.elapsed().as_secs().to_string()),
        ]
    }

    /// Client connections that are open.
    pub fn connections(&self) -> u64 {
        self.processes.counts().connections as u64
    }

    /// Numbers for a metrics page: name, help, whether it only grows, value.
    pub fn metrics(&self) -> Vec<(&'static str, &'static str, bool, f64)> {
        let counts = self.processes.counts();
        let waits = self.admission.waits();
        let mut metrics = vec![
            ("pando_connections", "Open client connections.", false, counts.connections as f64),
            ("pando_statements_running", "Statements that run now.", false, counts.running as f64),
            ("pando_statements_queued", "Statements that wait for admission.", false, waits.waiting as f64),
            (
                "pando_statements_waited_total",
                "Statements that waited for admission and do so no longer.",
                true,
                waits.ended as f64,
            ),
            (
                "pando_statements_waited_seconds_total",
                "How long they waited, all together.",
                true,
                waits.waited.as_secs_f64(),
            ),
            (
                "pando_statements_refused_total",
                "Statements that were refused because too many waited.",
                true,
                waits.refused as f64,
            ),
            (
                "pando_statements_wait_timeouts_total",
                "Statements that waited for too long and were given up.",
                true,
                waits.timed_out as f64,
            ),
            ("pando_statements_total", "Statements begun.", true, self.processes.statements() as f64),
            (
                "pando_statements_failed_total",
                "Statements that ended with an error.",
                true,
                self.processes.failures() as f64,
            ),
            (
                "pando_statements_unplanned_total",
                "Statements on one row by its key, and INSERTs, that ran from a template.",
                true,
                self.templates.unplanned.load(Ordering::Relaxed) as f64,
            ),
        ];
        metrics.extend(self.plans.metrics());
        metrics
    }
}

/// [`Aggregator`] behind the MySQL protocol.
pub struct AggregatorServer(Arc<Aggregator>);

impl AggregatorServer {
    pub fn new(aggregator: Arc<Aggregator>) -> AggregatorServer {
        AggregatorServer(aggregator)
    }

    pub fn counters(&self) -> Arc<Counters> {
        self.0.counters.clone()
    }
}

/// The version that the handshake announces.
pub fn server_version() -> String {
    SERVER_VERSION.to_string()
}

/// The spellings of a peer's address that an account's host may be written in.
pub(crate) fn host_names(peer: &SocketAddr) -> Vec<String> {
    let ip = peer.ip().to_canonical();
    let mut names = vec![ip.to_string()];
    if ip.is_loopback() {
        names.insert(0, "localhost".to_string());
    }
    names
}

/// Whether there is an account of root's name.
pub(crate) fn has_root(catalog: &Catalog) -> bool {
    catalog.users().any(|account| account.user.name == ROOT)
}

/// What is needed to recognise `user` from `peer`. `None`: nobody of that name may come from there.
/// root is there from the start, without a password, on loopback alone, until it is made a user.
fn credentials(catalog: &Catalog, user: &str, peer: &SocketAddr) -> Option<Credentials> {
    let hosts = host_names(peer);
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    if let Some(account) = catalog.user_for_login(user, &hosts) {
        let stored = (!account.authentication.is_empty()).then(|| account.authentication.clone());
        return Some(Credentials { plugin: Plugin::from_name(&account.plugin)?, stored });
    }
    (user == ROOT && !has_root(catalog) && peer.ip().to_canonical().is_loopback())
        .then(|| Credentials { plugin: Plugin::default(), stored: None })
}

#[async_trait]
impl mysql_protocol::Server for AggregatorServer {
    type Session = Session;

    async fn credentials(&self, user: &str, peer: &SocketAddr) -> Option<Credentials> {
        credentials(&self.0.metadata.snapshot(), user, peer)
    }

    fn requires_tls(&self) -> bool {
        self.0.metadata.snapshot().global_variable("require_secure_transport") == Some("1")
    }

    fn max_connections(&self) -> Option<usize> {
        let variables = self.0.server_variables(&self.0.metadata.snapshot());
        variables.number("max_connections").ok().and_then(|most| usize::try_from(most).ok())
    }

    async fn refused(&self, user: &str, peer: &SocketAddr) -> Option<SqlError> {
        let catalog = self.0.metadata.snapshot();
        let hosts = host_names(peer);
        let spellings: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let account = catalog.user_for_login(user, &spellings)?;
        self.0.failed_logins.wrong(&catalog, account, (user, spellings[0]), Instant::now())
    }

    async fn open(&self, login: Login) -> Result<Session> {
        Session::open(self.0.clone(), login)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_without_a_password_comes_from_loopback_only() {
        let catalog = Catalog::new();
        let near: SocketAddr = "127.0.0.1:5000".parse().unwrap();
        let far: SocketAddr = "10.0.0.7:5000".parse().unwrap();
        assert_eq!(credentials(&catalog, "root", &near).unwrap().stored, None);
        assert!(credentials(&catalog, "root", &far).is_none());
        assert!(credentials(&catalog, "someone", &near).is_none());
    }
}
