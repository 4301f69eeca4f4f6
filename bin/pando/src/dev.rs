//! `pando dev`: metadata service, leaf and aggregator in one process, on one folder.
//!
//! ```text
//! <data>/LOCK      held while a process uses the folder
//! <data>/*.pem    the certificate for TLS, see `tls`
//! <data>/master/   the metadata service: Raft log and catalog
//! <data>/leaf/     the leaf: log, partitions, segments, temporary files
//! ```

use crate::http::{self, Pages};
use crate::metrics;
use crate::options::DevOptions;
use crate::process::{
    StartError, cannot_start, cores, listen, lock_folder, memory_budget, network_runtime, stopped, threads,
    wait_for_signal,
};
use crate::say::say;
use aggregator::{Aggregator, AggregatorOptions, AggregatorServer, FileAccess, NoLinks};
use catalog::{Command, Metadata, NodeRole, Outcome};
use columnstore::{Options as StoreOptions, Store};
use env::{RealDisk, SystemClock};
use exec::{Executor, ExecutorOptions, LeafService, LeafTables, LocalLeaves, LocalNodes, StageNode};
use leaf::Leaf;
use master::{Master, MasterOptions};
use planner::{Planner, Settings as PlannerSettings};
use std::fs::File;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use types::NodeId;

/// The one node of a development cluster.
const NODE: NodeId = NodeId(1);

/// How long statements may go on after a stop was asked for.
const DRAIN: Duration = Duration::from_secs(10);

/// A running cluster.
pub struct Dev {
    pub mysql: SocketAddr,
    pub http: SocketAddr,
    runtime: tokio::runtime::Runtime,
    stop: watch::Sender<bool>,
    served: tokio::task::JoinHandle<()>,
    store: Arc<Store>,
    master: Arc<Master>,
    stopping: Arc<AtomicBool>,
    /// Held for as long as the folder is used.
    _folder: File,
}

/// Runs until SIGINT or SIGTERM.
pub fn run(options: &DevOptions) -> ExitCode {
    let dev = match start(options) {
        Ok(dev) => dev,
        Err(error) => return cannot_start("pando", error),
    };
    say(format_args!("ready: mysql {}, http {}", dev.mysql, dev.http));
    dev.wait_for_signal();
    dev.stop();
    ExitCode::SUCCESS
}

/// Starts everything on `options.data`.
pub fn start(options: &DevOptions) -> Result<Dev, StartError> {
    let started = Instant::now();
    let folder = lock_folder(&options.data)?;
    let tls = crate::tls::prepare(&options.data, &options.tls).map_err(StartError::new)?;
    let threads = threads(options.threads);
    let runtime = network_runtime(threads)?;
    if options.data.join("aggregator-1").exists() {
        return Err(StartError::new(format!(
            "--data {} belongs to a cluster of processes: add --processes or choose another folder",
            options.data.display()
        )));
    }
    let (mysql_listener, mysql) = listen(&runtime, options.bind, options.mysql_port, "--mysql-port")?;
    let (http_listener, http) = listen(&runtime, options.bind, options.http_port, "--http-port")?;
    let memory = memory_budget(options.memory)?;

    let master = Master::open(MasterOptions::single(options.data.join("master"), NODE))
        .map_err(|error| StartError::new(format!("the metadata in {}: {error}", options.data.display())))?;
    let metadata: Arc<dyn Metadata> = master.clone();
    register(&runtime, &*metadata, http)?;

    let leaf_folder = options.data.join("leaf");
    let store_options = StoreOptions::new(memory.clone());
    let store = Store::open(Arc::new(RealDisk), Arc::new(SystemClock), &leaf_folder, store_options)
        .map_err(|error| StartError::new(format!("the data in {}: {error}", options.data.display())))?;
    let leaf = Arc::new(Leaf::new(NODE, store.clone(), metadata.clone()));
    runtime
        .block_on(leaf.catch_up(metadata.snapshot().version()))
        .map_err(|error| StartError::new(error.message))?;
    let leaves = Arc::new(LocalLeaves::default());
    leaves.add(NODE, leaf.clone());
    leaf.join(leaves.clone());
    runtime.spawn(Leaf::keep_order(Arc::downgrade(&leaf)));
    runtime.spawn(Leaf::report_long_waits(Arc::downgrade(&leaf)));

    let executor_options = ExecutorOptions {
        threads: threads as usize,
        ..ExecutorOptions::new(memory.clone(), leaf_folder.join("tmp"))
    };
    let executor = Executor::new(executor_options)
        .map_err(|error| StartError::new(format!("cannot start query execution: {}", error.message)))?;
    let nodes = LocalNodes::new();
    let tables = Arc::new(LeafTables(leaf.clone()));
    let stages = StageNode::new(NODE, Arc::new(executor), nodes.clone(), Some(tables));
    nodes.add(&stages);
    let aggregator = Aggregator::new(
        AggregatorOptions {
            node: NODE,
            host: mysql.ip().to_string(),
            port: mysql.port(),
            partitions: options.partitions,
            data: options.data.display().to_string(),
            files: FileAccess::parse(&options.secure_file_priv),
        },
        metadata,
        leaves,
        stages.clone(),
        Planner::new(PlannerSettings::default()),
        memory.clone(),
        Arc::new(NoLinks),
    );

    runtime.spawn(Aggregator::keep_leases(Arc::downgrade(&aggregator)));

    let (stop, stop_asked) = watch::channel(false);
    let stopping = Arc::new(AtomicBool::new(false));
    let pages = Pages::new({
        let stopping = stopping.clone();
        move || if stopping.load(Ordering::Acquire) { Err("it is stopping".to_string()) } else { Ok(()) }
    });
    pages.add({
        let (store, aggregator, stages) = (store.clone(), aggregator.clone(), stages.clone());
        move || {
            let mut all = metrics::process(&memory, started);
            all.extend(metrics::aggregator(&aggregator));
            all.extend(metrics::stages(&stages));
            all.extend(metrics::store(&store));
            all
        }
    });
    let server = AggregatorServer::new(aggregator);
    runtime.spawn(http::serve(http_listener, pages, stop_asked.clone()));
    let mut config = mysql_protocol::Config::new(aggregator::server_version());
    config.tls = Some(tls);
    config.limits.drain = DRAIN;
    config.counters = server.counters();
    let served =
        runtime.spawn(mysql_protocol::serve(mysql_listener, Arc::new(server), config, stopped(stop_asked)));
    Ok(Dev { mysql, http, runtime, stop, served, store, master, stopping, _folder: folder })
}

impl Dev {
    /// Waits for Ctrl-C or SIGTERM.
    pub fn wait_for_signal(&self) {
        self.runtime.block_on(wait_for_signal(false));
    }

    /// Lets running statements end, closes the connections and the store.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::Release);
        // The receivers may be gone already.
        let _ = self.stop.send(true);
        let served = self.served;
        self.runtime.block_on(async {
            if tokio::time::timeout(DRAIN, served).await.is_err() {
                tracing::warn!("statements still ran when the time to stop was over");
            }
        });
        self.runtime.shutdown_timeout(DRAIN);
        self.store.shutdown();
        self.master.shutdown();
    }
}

/// Names this process to the catalog as its leaf.
fn register(
    runtime: &tokio::runtime::Runtime,
    metadata: &dyn Metadata,
    http: SocketAddr,
) -> Result<(), StartError> {
    let command = Command::RegisterNode {
        id: Some(NODE),
        host: http.ip().to_string(),
        port: http.port(),
        mysql_port: None,
        role: NodeRole::Leaf,
        cores: cores(),
    };
    match runtime.block_on(metadata.propose(command)) {
        Ok(Outcome::NodeRegistered(NODE)) => Ok(()),
        Ok(other) => Err(StartError::new(format!("the catalog answered {other:?} to the registration"))),
        Err(error) => Err(StartError::new(error.message)),
    }
}
