//! What an aggregator and a leaf of a cluster have in common: the folder, the ports, TLS between nodes,
//! the pages, and the way into the cluster.
//!
//! ```text
//! <data>/LOCK      held while a process uses the folder
//! <data>/NODE      who the process is (see `identity`)
//! <data>/master/   of a master: Raft log and catalog
//! <data>/leaf/     of a leaf: log, partitions, segments
//! <data>/tmp/      what queries spill
//! ```

use crate::http::{self, Pages};
use crate::options::NodeOptions;
use crate::process::{
    StartError, cores, listen, lock_folder, memory_budget, network_runtime, stopped, threads,
};
use crate::voter::MetadataVoter;
use crate::{identity, metrics};
use catalog::{Identity, Metadata, NodeRole, Registration, address};
use env::MemoryBudget;
use parking_lot::Mutex;
use rpc::metadata::{Follows, Masters, RemoteMetadata, register};
use rpc::node::{DescribesNode, MetadataRole, NodeStatus};
use rpc::server::{Connections, Routes};
use rpc::{Channels, NodeTls};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A process with its folder and ports, before it is part of a cluster.
pub struct Node {
    pub options: NodeOptions,
    pub host: String,
    pub rpc: SocketAddr,
    pub http: SocketAddr,
    pub memory: Arc<MemoryBudget>,
    pub channels: Arc<Channels>,
    pub connections: Connections,
    pub vitals: Arc<Vitals>,
    pub pages: Arc<Pages>,
    /// Clients are to go.
    pub stop: watch::Sender<bool>,
    /// Other processes are to go: after the clients, whose statements may need them.
    rpc_stop: watch::Sender<bool>,
    tls: Option<NodeTls>,
    rpc_listener: Mutex<Option<TcpListener>>,
    clients: Mutex<Option<JoinHandle<()>>>,
    rpc_served: Mutex<Option<JoinHandle<()>>>,
    /// Held for as long as the folder is used.
    _folder: File,
}

/// How the process is: for other processes and for `/readyz`.
#[derive(Default)]
pub struct Vitals {
    identity: OnceLock<Identity>,
    metadata: OnceLock<Arc<RemoteMetadata>>,
    voter: OnceLock<Arc<MetadataVoter>>,
    connections: OnceLock<Box<dyn Fn() -> u64 + Send + Sync>>,
    serving: OnceLock<Box<dyn Fn() -> Result<(), String> + Send + Sync>>,
    stopping: AtomicBool,
}

impl Vitals {
    /// An error says what is missing.
    pub fn ready(&self) -> Result<(), String> {
        if self.stopping.load(Ordering::Acquire) {
            return Err("it is stopping".to_string());
        }
        if self.metadata.get().is_none() {
            return Err("it has not joined its cluster".to_string());
        }
        self.serving.get().map_or_else(|| Err("it is starting".to_string()), |serving| serving())
    }

    pub fn set_voter(&self, voter: Arc<MetadataVoter>) {
        // It is set once in the life of a process.
        let _ = self.voter.set(voter);
    }

    pub fn voter(&self) -> Option<&Arc<MetadataVoter>> {
        self.voter.get()
    }

    /// The process serves from now on, while `serving` says so.
    pub fn serve(
        &self,
        connections: impl Fn() -> u64 + Send + Sync + 'static,
        serving: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        // They are set once in the life of a process.
        let _ = self.connections.set(Box::new(connections));
        let _ = self.serving.set(Box::new(serving));
    }
}

impl DescribesNode for Vitals {
    fn status(&self) -> NodeStatus {
        NodeStatus {
            node: self.identity.get().map(|identity| identity.node),
            catalog_version: self.metadata.get().map_or(0, |metadata| metadata.snapshot().version()),
            connections: self.connections.get().map_or(0, |connections| connections()),
            metadata: self.voter.get().map_or(MetadataRole::None, |voter| voter.role()),
            ready: self.ready().is_ok(),
        }
    }
}

impl Node {
    /// Takes folder and ports; the pages are there from now on.
    pub fn open(
        options: &NodeOptions,
        rpc_port: u16,
        http_port: u16,
    ) -> Result<(Runtime, Arc<Node>), StartError> {
        let folder = lock_folder(&options.data)?;
        let runtime = network_runtime(threads(options.threads))?;
        let host = options.host().map_err(StartError::new)?;
        let tls = node_tls(options)?;
        let (rpc_listener, rpc) = listen(&runtime, options.bind, rpc_port, "--rpc-port")?;
        let (http_listener, http) = listen(&runtime, options.bind, http_port, "--http-port")?;
        let memory = memory_budget(options.memory)?;
        let vitals = Arc::<Vitals>::default();
        let pages = Pages::new({
            let vitals = vitals.clone();
            move || vitals.ready()
        });
        let started = Instant::now();
        pages.add({
            let memory = memory.clone();
            move || metrics::process(&memory, started)
        });
        let (rpc_stop, stopped) = watch::channel(false);
        runtime.spawn(http::serve(http_listener, pages.clone(), stopped));
        let node = Node {
            options: options.clone(),
            host,
            rpc,
            http,
            memory,
            channels: Arc::new(Channels::new(tls.clone())),
            connections: Connections::default(),
            vitals,
            pages,
            stop: watch::Sender::new(false),
            rpc_stop,
            tls,
            rpc_listener: Mutex::new(Some(rpc_listener)),
            clients: Mutex::default(),
            rpc_served: Mutex::default(),
            _folder: folder,
        };
        Ok((runtime, Arc::new(node)))
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        self.options.data.join(name)
    }

    /// Where this process reaches itself. With TLS, it must use the name that its certificate has.
    pub fn own_address(&self) -> String {
        match self.rpc.ip() {
            _ if self.tls.is_some() => address(&self.host, self.rpc.port()),
            ip if ip.is_unspecified() => {
                SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.rpc.port()).to_string()
            }
            _ => self.rpc.to_string(),
        }
    }

    /// Turns true when other processes are to be let go.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.rpc_stop.subscribe()
    }

    /// Answers other processes with these services. Called once.
    pub fn serve(&self, services: Routes) -> Result<(), StartError> {
        let listener = self.rpc_listener.lock().take();
        let listener = listener.ok_or_else(|| StartError::new("the services are served already"))?;
        let services = services.add_service(rpc::node::server(self.vitals.clone()));
        let (tls, connections) = (self.tls.clone(), self.connections.clone());
        let stop = stopped(self.rpc_stop.subscribe());
        *self.rpc_served.lock() = Some(tokio::spawn(async move {
            if let Err(error) = rpc::server::serve(listener, tls.as_ref(), services, connections, stop).await
            {
                tracing::error!(%error, "other processes are no longer answered");
            }
        }));
        Ok(())
    }

    /// The task that serves clients. It ends by itself after a stop was asked for, and is waited for.
    pub fn serves_clients(&self, task: JoinHandle<()>) {
        *self.clients.lock() = Some(task);
    }

    /// The identity that the folder holds.
    pub fn known_identity(&self, role: NodeRole) -> Result<Option<Identity>, StartError> {
        identity::load(&self.options.data, role)
    }

    /// Becomes a node of the cluster, or comes back as one; waits for the masters.
    pub async fn join(
        &self,
        masters: &Arc<Masters>,
        known: Option<Identity>,
        role: NodeRole,
        mysql_port: Option<u16>,
        follows: Follows,
    ) -> Result<Arc<RemoteMetadata>, StartError> {
        let registration = Registration {
            identity: known,
            host: self.host.clone(),
            port: self.rpc.port(),
            mysql_port,
            role,
            cores: cores(),
        };
        let identity = register(masters, &registration).await?;
        identity::store(&self.options.data, role, identity)?;
        tracing::info!(node = %identity.node, cluster = format!("{:016x}", identity.cluster), "registered");
        let metadata = RemoteMetadata::follow(masters.clone(), identity, follows);
        metadata.arrived().await;
        // They are set once in the life of a process.
        let _ = self.vitals.identity.set(identity);
        let _ = self.vitals.metadata.set(metadata.clone());
        Ok(metadata)
    }

    /// Lets what runs end: clients within the time that was configured, then what other processes ask,
    /// within `rpc_limit`.
    pub async fn drain(&self, rpc_limit: Duration) {
        self.vitals.stopping.store(true, Ordering::Release);
        let limit = Duration::from_secs(self.options.drain_seconds);
        for (stop, task, limit) in
            [(&self.stop, &self.clients, limit), (&self.rpc_stop, &self.rpc_served, rpc_limit)]
        {
            // The receivers may be gone already.
            let _ = stop.send(true);
            let task = task.lock().take();
            if let Some(task) = task
                && tokio::time::timeout(limit, task).await.is_err()
            {
                tracing::debug!("something still ran when the time to stop was over");
            }
        }
    }
}

fn node_tls(options: &NodeOptions) -> Result<Option<NodeTls>, StartError> {
    let (Some(certificate), Some(key), Some(authority)) =
        (&options.node_cert, &options.node_key, &options.node_ca)
    else {
        return Ok(None);
    };
    let read = |flag: &str, path: &Path| {
        std::fs::read(path).map_err(|error| StartError::new(format!("{flag} {}: {error}", path.display())))
    };
    let tls = NodeTls {
        certificate: read("--node-cert", certificate)?,
        key: read("--node-key", key)?,
        authority: read("--node-ca", authority)?,
    };
    tls.check().map_err(|error| StartError::new(format!("--node-cert, --node-key, --node-ca: {error}")))?;
    Ok(Some(tls))
}
