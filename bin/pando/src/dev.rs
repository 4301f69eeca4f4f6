//! `pando dev`: metadata service, leaf and aggregator in one process, on one folder.
//!
//! ```text
//! <data>/LOCK      held while a process uses the folder
//! <data>/master/   the metadata service: Raft log and catalog
//! <data>/leaf/     the leaf: log, partitions, segments, temporary files
//! ```

use crate::http::{self, Metric, Pages};
use crate::options::{self, DevOptions};
use aggregator::{Aggregator, AggregatorOptions, AggregatorServer};
use catalog::{Command, Metadata, NodeRole, Outcome};
use columnstore::{Options as StoreOptions, Store};
use env::{MemoryBudget, RealDisk, SystemClock};
use exec::{Executor, ExecutorOptions, LeafService, LocalLeaves};
use leaf::Leaf;
use master::{Master, MasterOptions};
use planner::{Planner, Settings as PlannerSettings};
use std::fmt::Display;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use types::NodeId;

/// The one node of a development cluster.
const NODE: NodeId = NodeId(1);

/// How long statements may go on after a stop was asked for.
const DRAIN: Duration = Duration::from_secs(10);

/// Why it could not start: one line for a person.
#[derive(Debug)]
pub struct StartError(String);

impl StartError {
    fn new(what: impl Display) -> StartError {
        StartError(what.to_string().replace('\n', " "))
    }
}

impl Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A running cluster.
pub struct Dev {
    pub mysql: SocketAddr,
    pub http: SocketAddr,
    runtime: tokio::runtime::Runtime,
    stop: watch::Sender<bool>,
    served: tokio::task::JoinHandle<()>,
    store: Arc<Store>,
    master: Arc<Master>,
    pages: Arc<Pages>,
    /// Held for as long as the folder is used.
    _folder: File,
}

/// Runs until SIGINT or SIGTERM.
pub fn run(options: DevOptions) -> ExitCode {
    let dev = match start(&options) {
        Ok(dev) => dev,
        Err(error) => {
            eprintln!("pando: {error}");
            return ExitCode::from(2);
        }
    };
    println!("ready: mysql {}, http {}", dev.mysql, dev.http);
    dev.wait_for_signal();
    dev.stop();
    ExitCode::SUCCESS
}

/// Starts everything on `options.data`.
pub fn start(options: &DevOptions) -> Result<Dev, StartError> {
    let folder = lock_folder(&options.data)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("pando-net")
        .build()
        .map_err(|error| StartError::new(format!("cannot start threads: {error}")))?;
    let (mysql_listener, mysql) = listen(&runtime, options, options.mysql_port, "--mysql-port")?;
    let (http_listener, http) = listen(&runtime, options, options.http_port, "--http-port")?;

    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let limit = options.memory.unwrap_or_else(options::default_memory);
    let limit = usize::try_from(limit)
        .map_err(|_| StartError::new("--memory is more than this machine can address"))?;
    let memory = MemoryBudget::new(limit);

    let master = Master::open(MasterOptions::single(options.data.join("master"), NODE))
        .map_err(|error| StartError::new(format!("the metadata in {}: {error}", options.data.display())))?;
    let metadata: Arc<dyn Metadata> = master.clone();
    register(&runtime, &*metadata, http, cores)?;

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

    let executor = Executor::new(ExecutorOptions::new(memory.clone(), leaf_folder.join("tmp")))
        .map_err(|error| StartError::new(format!("cannot start query execution: {}", error.message)))?;
    let executor = Arc::new(executor);
    let aggregator = Aggregator::new(
        AggregatorOptions {
            node: NODE,
            host: mysql.ip().to_string(),
            port: mysql.port(),
            partitions: options.partitions.unwrap_or(u32::try_from(cores).unwrap_or(1)),
            data: options.data.display().to_string(),
        },
        metadata,
        leaves,
        executor,
        Planner::new(PlannerSettings::default()),
        memory.clone(),
    );

    runtime.spawn(Aggregator::keep_leases(Arc::downgrade(&aggregator)));

    let (stop, stopped) = watch::channel(false);
    let pages = Arc::new(Pages {
        ready: AtomicBool::new(true),
        metrics: Box::new({
            let (store, aggregator) = (store.clone(), aggregator.clone());
            move || metrics(&store, &aggregator, &memory)
        }),
    });
    let server = AggregatorServer::new(aggregator);
    let router = http::router(pages.clone());
    let mut http_stop = stopped.clone();
    runtime.spawn(async move {
        let stopping = async move {
            // An error means that the sender is gone: stop as well.
            let _ = http_stop.wait_for(|stop| *stop).await;
        };
        if let Err(error) = axum::serve(http_listener, router).with_graceful_shutdown(stopping).await {
            tracing::error!(%error, "the HTTP side ended");
        }
    });
    let served = runtime.spawn(serve_mysql(mysql_listener, server, stopped));
    Ok(Dev { mysql, http, runtime, stop, served, store, master, pages, _folder: folder })
}

async fn serve_mysql(listener: TcpListener, server: AggregatorServer, mut stopped: watch::Receiver<bool>) {
    let mut config = mysql_protocol::Config::new(aggregator::server_version());
    config.limits.drain = DRAIN;
    config.counters = server.counters();
    let stopping = async move {
        // An error means that the sender is gone: stop as well.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    mysql_protocol::serve(listener, Arc::new(server), config, stopping).await;
}

impl Dev {
    /// Waits for Ctrl-C or SIGTERM.
    pub fn wait_for_signal(&self) {
        self.runtime.block_on(async {
            let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
            match terminate {
                Ok(mut terminate) => {
                    tokio::select! {
                        _ = tokio::signal::ctrl_c() => {}
                        _ = terminate.recv() => {}
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "SIGTERM cannot be caught; only Ctrl-C stops cleanly");
                    let _ = tokio::signal::ctrl_c().await;
                }
            }
        });
    }

    /// Lets running statements end, closes the connections and the store.
    pub fn stop(self) {
        self.pages.ready.store(false, Ordering::Release);
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

/// Makes the folder and takes its lock.
fn lock_folder(path: &Path) -> Result<File, StartError> {
    std::fs::create_dir_all(path)
        .map_err(|error| StartError::new(format!("--data {}: {error}", path.display())))?;
    let lock = path.join("LOCK");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock)
        .map_err(|error| StartError::new(format!("{}: {error}", lock.display())))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StartError::new(format!(
            "--data {} is in use by another pando; stop it or choose another folder",
            path.display()
        ))),
        Err(errno) => Err(StartError::new(format!("{}: {errno}", lock.display()))),
    }
}

fn listen(
    runtime: &tokio::runtime::Runtime,
    options: &DevOptions,
    port: u16,
    flag: &str,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let address = SocketAddr::new(options.bind, port);
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AddrInUse => StartError::new(format!(
            "port {port} is in use; stop what listens there or choose another with {flag}"
        )),
        _ => StartError::new(format!("cannot listen on {address}: {error}")),
    };
    let listener = runtime.block_on(TcpListener::bind(address)).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Names this process to the catalog as its leaf.
fn register(
    runtime: &tokio::runtime::Runtime,
    metadata: &dyn Metadata,
    http: SocketAddr,
    cores: usize,
) -> Result<(), StartError> {
    let command = Command::RegisterNode {
        id: Some(NODE),
        host: http.ip().to_string(),
        port: http.port(),
        role: NodeRole::Leaf,
        cores: u32::try_from(cores).unwrap_or(1),
    };
    match runtime.block_on(metadata.propose(command)) {
        Ok(Outcome::NodeRegistered(NODE)) => Ok(()),
        Ok(other) => Err(StartError::new(format!("the catalog answered {other:?} to the registration"))),
        Err(error) => Err(StartError::new(error.message)),
    }
}

fn metrics(store: &Store, aggregator: &Aggregator, memory: &MemoryBudget) -> Vec<Metric> {
    let mut metrics = vec![
        gauge("pando_memory_used_bytes", "Memory reserved from the budget.", memory.used() as f64),
        gauge("pando_memory_limit_bytes", "The memory budget.", memory.limit() as f64),
    ];
    for (name, help, counter, value) in aggregator.metrics().into_iter().chain(store_metrics(store)) {
        metrics.push(Metric { name, help, counter, value });
    }
    metrics
}

fn gauge(name: &'static str, help: &'static str, value: f64) -> Metric {
    Metric { name, help, counter: false, value }
}

fn store_metrics(_store: &Store) -> Vec<(&'static str, &'static str, bool, f64)> {
    Vec::new()
}
