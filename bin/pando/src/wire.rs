//! How the roles of different processes reach each other: leaves and stages, by the addresses that the
//! catalog has.
//!
//! What the catalog says is offline is not called at all, nor what has stopped answering the pings of this
//! process: who needs it fails at once, by its name.

use crate::node::Node;
use crate::process::{StartError, threads};
use async_trait::async_trait;
use catalog::{Catalog, Metadata, NodeState};
use env::SystemClock;
use exec::exchange::{ExchangeId, ExchangeReceiver};
use exec::stages::{Pull, QueryId, StageControl, StageRequest, ToldKeys, failed};
use exec::{
    Executor, ExecutorOptions, LeafService, LeafTables, Leaves, Measured, StageNode, StageNodes,
    StageService, StageTables,
};
use leaf::Leaf;
use rpc::metadata::RemoteMetadata;
use rpc::node::Pings;
use rpc::server::Routes;
use rpc::stages::StagesClient;
use rpc::{Channels, Clocks, LeafServer, RemoteLeaves};
use std::sync::{Arc, OnceLock};
use tokio::runtime::Handle;
use types::{ErrorKind, NodeId, Result, SqlError};

/// An error if the catalog or the pings say that the node is away.
fn online(catalog: &Catalog, pings: Option<&Pings>, node: NodeId) -> Result<Arc<catalog::Node>> {
    match catalog.node(node) {
        Some(found) if found.state == NodeState::Online => {
            if pings.is_some_and(|pings| pings.is_silent(node)) {
                return Err(rpc::error::unreachable(&found.to_string(), "it does not answer"));
            }
            Ok(found.clone())
        }
        Some(found) => Err(rpc::error::unreachable(&found.to_string(), "it is offline")),
        None => Err(SqlError::internal(format!("the cluster has no node {node}"))),
    }
}

/// The leaves that are online.
struct OnlineLeaves {
    metadata: Arc<RemoteMetadata>,
    pings: Option<Arc<Pings>>,
    leaves: RemoteLeaves,
}

impl Leaves for OnlineLeaves {
    fn leaf(&self, node: NodeId) -> Result<Arc<dyn LeafService>> {
        if node != self.metadata.identity().node {
            online(&self.metadata.snapshot(), self.pings.as_deref(), node)?;
        }
        self.leaves.leaf(node)
    }
}

/// The stages of the nodes that are online.
struct OnlineNodes {
    metadata: Arc<RemoteMetadata>,
    pings: Option<Arc<Pings>>,
    channels: Arc<Channels>,
    runtime: Handle,
}

impl StageNodes for OnlineNodes {
    fn stages(&self, node: NodeId) -> Result<Arc<dyn StageService>> {
        let found = online(&self.metadata.snapshot(), self.pings.as_deref(), node)?;
        let client =
            StagesClient::new(found.to_string(), &self.channels, &found.address(), self.runtime.clone())?;
        Ok(Arc::new(client))
    }

    fn name(&self, node: NodeId) -> String {
        self.metadata.snapshot().node(node).map_or_else(|| format!("node {node}"), |found| found.to_string())
    }
}

/// This process's clocks, which its messages carry.
fn clocks() -> Clocks {
    Clocks { hlc: Arc::default(), physical: Arc::new(SystemClock) }
}

/// The leaves, as an aggregator reaches them.
pub fn leaves(node: &Node, metadata: &Arc<RemoteMetadata>, pings: Arc<Pings>) -> Arc<dyn Leaves> {
    let leaves = RemoteLeaves::new(metadata.clone(), node.channels.clone(), clocks());
    Arc::new(OnlineLeaves { metadata: metadata.clone(), pings: Some(pings), leaves })
}

/// What runs stages in this process, over these tables if it has any. `pings`: what it knows of the
/// other nodes, if it pings them.
pub fn stages(
    node: &Node,
    metadata: &Arc<RemoteMetadata>,
    pings: Option<Arc<Pings>>,
    tables: Option<Arc<dyn StageTables>>,
) -> Result<Arc<StageNode>, StartError> {
    let executor = Executor::new(ExecutorOptions {
        threads: threads(node.options.threads) as usize,
        ..ExecutorOptions::new(node.memory.clone(), node.folder("tmp"))
    })?;
    let nodes = OnlineNodes {
        metadata: metadata.clone(),
        pings,
        channels: node.channels.clone(),
        runtime: Handle::current(),
    };
    Ok(StageNode::new(metadata.identity().node, Arc::new(executor), Arc::new(nodes), tables))
}

/// Answers aggregators and other leaves.
pub fn serve_leaf(
    node: &Arc<Node>,
    metadata: &Arc<RemoteMetadata>,
    leaf: &Arc<Leaf>,
) -> Result<(), StartError> {
    let clocks = clocks();
    let others = RemoteLeaves::new(metadata.clone(), node.channels.clone(), clocks.clone())
        .with_local(metadata.identity().node, leaf.clone());
    leaf.join(Arc::new(OnlineLeaves { metadata: metadata.clone(), pings: None, leaves: others }));
    let stages = stages(node, metadata, None, Some(Arc::new(LeafTables(leaf.clone()))))?;
    tokio::spawn(Leaf::keep_order(Arc::downgrade(leaf)));
    tokio::spawn(Leaf::report_long_waits(Arc::downgrade(leaf)));
    node.pages.add({
        let stages = stages.clone();
        move || crate::metrics::stages(&stages)
    });
    node.serve(
        Routes::default()
            .add_service(LeafServer::new(leaf.clone(), clocks))
            .add_service(rpc::stages::server(stages, node.stopping())),
    )
}

/// The stages of an aggregator. It answers other processes before it knows who it is, since a master
/// that begins a cluster registers with itself; until then there are no stages here.
#[derive(Default)]
pub struct LateStages(OnceLock<Arc<StageNode>>);

impl LateStages {
    pub fn set(&self, stages: Arc<StageNode>) {
        // It is set once in the life of a process.
        let _ = self.0.set(stages);
    }

    fn get(&self) -> Result<&Arc<StageNode>> {
        self.0.get().ok_or_else(|| SqlError::new(ErrorKind::ServerOffline, "The aggregator is starting"))
    }
}

#[async_trait]
impl StageService for LateStages {
    async fn start(&self, request: StageRequest) -> Result<StageControl> {
        self.get()?.start(request).await
    }

    fn pull(&self, query: QueryId, exchange: ExchangeId, streams: &[usize]) -> Vec<ExchangeReceiver> {
        match self.get() {
            Ok(stages) => stages.pull(query, exchange, streams),
            Err(error) => failed(&error, streams.len()),
        }
    }

    async fn close(&self, pull: Pull) -> Result<()> {
        self.get()?.close(pull).await
    }

    fn tell(&self, query: QueryId, part: u32, told: ToldKeys) {
        if let Ok(stages) = self.get() {
            stages.tell(query, part, told);
        }
    }

    async fn measure(&self, query: QueryId, part: u32) -> Result<Vec<(ExchangeId, Measured)>> {
        self.get()?.measure(query, part).await
    }
}
