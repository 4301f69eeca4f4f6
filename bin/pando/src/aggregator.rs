//! `pando-aggregator`: MySQL sessions, planning and coordination; with `--master`, a voter of the
//! metadata too.
//!
//! How a master starts:
//!
//! ```text
//! folder knows a node     open the metadata, serve it, register with whoever leads
//! empty, begins cluster   the same, as node 1 and only voter, and give the cluster its id
//! empty, joins            register, then open the metadata empty, serve it, be added as a voter
//! ```

use crate::links::PingedLinks;
use crate::node::Node;
use crate::options::{AggregatorOptions, TlsOptions};
use crate::process::{StartError, cores, listen, run_node, stopped, wait_for_signal};
use crate::say::say;
use crate::voter::MetadataVoter;
use crate::{metrics, wire};
use ::aggregator::{Aggregator, AggregatorServer};
use catalog::{Command, Identity, Metadata, NodeRole, NodeState};
use planner::{Planner, Settings as PlannerSettings};
use rpc::metadata::{Follows, Masters, RemoteMetadata};
use rpc::node::Pings;
use rpc::server::Routes;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use types::NodeId;

const PROGRAM: &str = "pando-aggregator";

/// The first node of a cluster.
const FIRST: NodeId = NodeId(1);

/// The program.
pub fn main() -> ExitCode {
    run_node(PROGRAM, AggregatorOptions::check, run)
}

/// Runs until a signal.
fn run(options: &AggregatorOptions) -> Result<(), StartError> {
    let (runtime, node) = Node::open(&options.common, options.rpc_port, options.http_port)?;
    let (listener, mysql) = listen(&runtime, options.common.bind, options.mysql_port, "--mysql-port")?;
    runtime.block_on(async {
        let signal = wait_for_signal(options.common.supervised);
        tokio::pin!(signal);
        tokio::select! {
            started = start(options, &node, listener, mysql) => started?,
            () = &mut signal => return Ok(()),
        }
        say(format_args!("ready: mysql {mysql}, rpc {}, http {}", node.rpc, node.http));
        signal.await;
        // Other processes keep streams to a master open for as long as it is there.
        node.drain(Duration::from_secs(1)).await;
        Ok::<(), StartError>(())
    })?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Some(voter) = node.vitals.voter() {
        voter.shutdown();
    }
    Ok(())
}

async fn start(
    options: &AggregatorOptions,
    node: &Arc<Node>,
    listener: TcpListener,
    mysql: SocketAddr,
) -> Result<(), StartError> {
    let certificate = TlsOptions { tls_cert: options.tls_cert.clone(), tls_key: options.tls_key.clone() };
    let tls = crate::tls::prepare(&options.common.data, &certificate).map_err(StartError::new)?;
    let late_stages = Arc::<wire::LateStages>::default();
    let metadata = join(options, node, mysql, &late_stages).await?;
    let pings = Arc::new(Pings::start(node.channels.clone(), metadata.clone()));
    let stages = wire::stages(node, &metadata, Some(pings.clone()), None)?;
    late_stages.set(stages.clone());
    let aggregator = Aggregator::new(
        ::aggregator::AggregatorOptions {
            node: metadata.identity().node,
            host: node.host.clone(),
            port: mysql.port(),
            partitions: options.partitions,
            data: options.common.data.display().to_string(),
            files: ::aggregator::FileAccess::parse(&options.secure_file_priv),
        },
        metadata.clone(),
        wire::leaves(node, &metadata, pings.clone()),
        stages.clone(),
        Planner::new(PlannerSettings::default()),
        node.memory.clone(),
        Arc::new(PingedLinks(pings.clone())),
    );
    node.pages.add({
        let aggregator = aggregator.clone();
        move || {
            let mut all = metrics::aggregator(&aggregator);
            all.extend(metrics::stages(&stages));
            all
        }
    });
    tokio::spawn(Aggregator::keep_leases(Arc::downgrade(&aggregator)));
    let server = AggregatorServer::new(aggregator.clone());
    let mut config = mysql_protocol::Config::new(::aggregator::server_version());
    config.limits.drain = Duration::from_secs(options.common.drain_seconds);
    config.counters = server.counters();
    config.tls = Some(tls);
    let stop = stopped(node.stop.subscribe());
    node.serves_clients(tokio::spawn(mysql_protocol::serve(listener, Arc::new(server), config, stop)));
    node.vitals.serve(move || aggregator.connections(), move || reaches_leaves(&metadata, &pings));
    Ok(())
}

/// Whether a leaf answers, if there is one that is said to be online.
fn reaches_leaves(metadata: &RemoteMetadata, pings: &Pings) -> Result<(), String> {
    let catalog = metadata.snapshot();
    let mut online = catalog
        .nodes()
        .filter(|node| node.role == NodeRole::Leaf && node.state == NodeState::Online)
        .peekable();
    let answers =
        |node: &Arc<catalog::Node>| pings.link(node.id).is_some_and(|link| link.round_trip.is_some());
    if online.peek().is_none() || online.any(answers) {
        return Ok(());
    }
    Err("no leaf answers".to_string())
}

/// Becomes a node of the cluster, and a voter if that was asked for.
async fn join(
    options: &AggregatorOptions,
    node: &Arc<Node>,
    mysql: SocketAddr,
    stages: &Arc<wire::LateStages>,
) -> Result<Arc<RemoteMetadata>, StartError> {
    let services = Routes::default().add_service(rpc::stages::server(stages.clone(), node.stopping()));
    let role = if options.master { NodeRole::Master } else { NodeRole::Aggregator };
    let mut known = node.known_identity(role)?;
    let mut seeds = options.common.join.0.clone();
    if options.master {
        seeds.insert(0, node.own_address());
    }
    let masters = Arc::new(Masters::new(node.channels.clone(), seeds));
    if options.master {
        let begins = known.is_none() && options.begins_cluster() && !cluster_is_there(options, node).await;
        if let Some(id) = known.map(|known| known.node).or(begins.then_some(FIRST)) {
            let voter = open_voter(node, id, begins, services.clone())?;
            if begins {
                let first = Command::RegisterNode {
                    id: Some(id),
                    host: node.host.clone(),
                    port: node.rpc.port(),
                    mysql_port: Some(mysql.port()),
                    role,
                    cores: cores(),
                };
                let cluster = voter.found_cluster(first).await?;
                known = Some(Identity { node: id, cluster });
            }
        }
    } else {
        node.serve(services.clone())?;
    }
    let metadata = node.join(&masters, known, role, Some(mysql.port()), Follows::AtOnce).await?;
    if options.master {
        let id = metadata.identity().node;
        if node.vitals.voter().is_none() {
            open_voter(node, id, false, services)?.learn(&metadata.snapshot());
        }
        masters.add_voter(id).await?;
        tokio::spawn(learn(node.clone(), metadata.clone()));
    }
    Ok(metadata)
}

fn open_voter(
    node: &Arc<Node>,
    id: NodeId,
    is_first: bool,
    services: Routes,
) -> Result<Arc<MetadataVoter>, StartError> {
    let folder = node.folder("master");
    let channels = node.channels.clone();
    let voter = tokio::task::block_in_place(|| {
        MetadataVoter::open(&folder, id, is_first, channels, &Handle::current())
    })?;
    let voter = Arc::new(voter);
    node.vitals.set_voter(voter.clone());
    node.serve(services.add_service(rpc::metadata::server(voter.service())))?;
    Ok(voter)
}

/// Whether one of the other masters is part of a cluster already: then this one lost its folder, and
/// must not begin another cluster.
async fn cluster_is_there(options: &AggregatorOptions, node: &Node) -> bool {
    let own = catalog::address(&node.host, node.rpc.port());
    for address in options.common.join.0.iter().filter(|address| **address != own) {
        if let Some((status, _)) = rpc::node::ping(&node.channels, address).await
            && status.node.is_some()
        {
            tracing::info!(%address, "there is a cluster already: it is joined, not begun anew");
            return true;
        }
    }
    false
}

/// A voter that was away finds the others where they are now.
async fn learn(node: Arc<Node>, metadata: Arc<RemoteMetadata>) {
    let mut version = 0;
    while let Ok(catalog) = metadata.changed(version).await {
        if let Some(voter) = node.vitals.voter() {
            voter.learn(&catalog);
        }
        version = catalog.version();
    }
}
