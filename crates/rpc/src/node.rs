//! What every process answers ([`server`]), and how the others are, as seen from here ([`Pings`]):
//! each node of the catalog is pinged twice a second, and the round trips are averaged.
//!
//! A node that does not answer a ping is *silent* until it answers one, and is pinged more often. A
//! process that is stopped, not dead, still takes connections: whoever made a new one would learn only
//! by its keep-alive that nobody is behind it, once for each call that follows. It is silent, and known
//! to be, within [`INTERVAL`] + [`TIMEOUT`], before the keep-alive of a connection that was open breaks it
//! (1 s + 2 s, see [`crate::channels`]). So a call waits for a stopped node at most once, for 3 s, and the
//! calls after it need not be made. To be silent takes no more than to lose the connection: an answer
//! that is late by 2 s. What then fails can be tried again; nothing is decided by it.

use crate::Channels;
use async_trait::async_trait;
use catalog::{Metadata, NodeState};
use parking_lot::Mutex;
use proto::node as wire;
use proto::node::node_client::NodeClient;
use proto::node::node_server::{Node, NodeServer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use tonic::{Request, Response, Status};
use types::NodeId;

/// How often each node is pinged, and how long it may take to answer.
const INTERVAL: Duration = Duration::from_millis(500);
/// The same of a silent node; how often it is looked who is to be pinged.
const SILENT_INTERVAL: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(2);

/// What a process does for the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetadataRole {
    #[default]
    None,
    Voter,
    Leader,
}

/// A process about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeStatus {
    /// `None`: it has not registered yet.
    pub node: Option<NodeId>,
    pub catalog_version: u64,
    /// Connections that it has open.
    pub connections: u64,
    pub metadata: MetadataRole,
    pub ready: bool,
}

/// Says how this process is.
pub trait DescribesNode: Send + Sync + 'static {
    fn status(&self) -> NodeStatus;
}

impl<F: Fn() -> NodeStatus + Send + Sync + 'static> DescribesNode for F {
    fn status(&self) -> NodeStatus {
        self()
    }
}

/// The gRPC service of a process.
pub fn server(node: Arc<dyn DescribesNode>) -> NodeServer<impl Node> {
    NodeServer::new(Service { node })
}

struct Service {
    node: Arc<dyn DescribesNode>,
}

#[async_trait]
impl Node for Service {
    async fn ping(&self, _: Request<wire::PingRequest>) -> Result<Response<wire::PingResponse>, Status> {
        let status = self.node.status();
        let metadata = match status.metadata {
            MetadataRole::None => wire::Metadata::None,
            MetadataRole::Voter => wire::Metadata::Voter,
            MetadataRole::Leader => wire::Metadata::Leader,
        };
        Ok(Response::new(wire::PingResponse {
            node: status.node.map_or(0, |node| node.0),
            catalog_version: status.catalog_version,
            connections: status.connections,
            metadata: metadata.into(),
            ready: status.ready,
        }))
    }
}

/// A node as seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// What it said last.
    pub status: NodeStatus,
    /// The average of the last round trips, the newest counting most; `None` while it does not answer.
    pub round_trip: Option<Duration>,
}

type Links = BTreeMap<NodeId, Link>;

/// Pings every node until it is dropped.
pub struct Pings {
    links: Arc<Mutex<Links>>,
    task: JoinHandle<()>,
}

impl Pings {
    pub fn start(channels: Arc<Channels>, metadata: Arc<dyn Metadata>) -> Pings {
        let links = Arc::<Mutex<Links>>::default();
        let task = tokio::spawn(run(channels, metadata, links.clone()));
        Pings { links, task }
    }

    /// Whether it has answered before and does not now.
    pub fn is_silent(&self, node: NodeId) -> bool {
        self.links.lock().get(&node).is_some_and(|link| link.round_trip.is_none())
    }

    /// `None`: it never answered.
    pub fn link(&self, node: NodeId) -> Option<Link> {
        self.links.lock().get(&node).copied()
    }
}

impl Drop for Pings {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(channels: Arc<Channels>, metadata: Arc<dyn Metadata>, links: Arc<Mutex<Links>>) {
    let mut tick = tokio::time::interval(SILENT_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pings = JoinSet::new();
    // Those that are being pinged, and when the others were.
    let mut under_way = BTreeSet::new();
    let mut last = BTreeMap::new();
    loop {
        tokio::select! {
            _ = tick.tick() => {
                let catalog = metadata.snapshot();
                links.lock().retain(|node, _| catalog.node(*node).is_some());
                last.retain(|node, _| catalog.node(*node).is_some());
                let now = Instant::now();
                for node in catalog.nodes().filter(|node| node.state != NodeState::Removed) {
                    let link = links.lock().get(&node.id).copied();
                    if !is_due(link, last.get(&node.id).copied(), now) || !under_way.insert(node.id) {
                        continue;
                    }
                    last.insert(node.id, now);
                    let (id, address, channels) = (node.id, node.address(), channels.clone());
                    pings.spawn(async move { (id, ping(&channels, &address).await) });
                }
            }
            // A ping does not panic, and nobody aborts it.
            Some(Ok((node, answer))) = pings.join_next(), if !pings.is_empty() => {
                under_way.remove(&node);
                // Another process may listen where the node was.
                note(&mut links.lock(), node, answer.filter(|(status, _)| status.node == Some(node)));
            }
        }
    }
}

/// Whether a node is to be pinged that was pinged last at that time.
fn is_due(link: Option<Link>, last: Option<Instant>, now: Instant) -> bool {
    let silent = link.is_some_and(|link| link.round_trip.is_none());
    let interval = if silent { SILENT_INTERVAL } else { INTERVAL };
    // Ticks are about as far apart as the shorter interval: one that comes early must not skip a turn.
    last.is_none_or(|last| now.duration_since(last) + SILENT_INTERVAL / 2 >= interval)
}

/// Notes what a node answered.
fn note(links: &mut Links, node: NodeId, answer: Option<(NodeStatus, Duration)>) {
    match answer {
        Some((status, round_trip)) => {
            let before = links.get(&node).and_then(|link| link.round_trip);
            links.insert(node, Link { status, round_trip: Some(average(before, round_trip)) });
        }
        None => {
            if let Some(link) = links.get_mut(&node) {
                link.round_trip = None;
            }
        }
    }
}

/// An eighth of the newest.
fn average(before: Option<Duration>, newest: Duration) -> Duration {
    before.map_or(newest, |before| (before * 7 + newest) / 8)
}

/// Asks the process at `address` how it is, and how long that took. `None`: no answer.
pub async fn ping(channels: &Channels, address: &str) -> Option<(NodeStatus, Duration)> {
    let mut client = NodeClient::new(channels.to(address).ok()?);
    let started = Instant::now();
    let answer = tokio::time::timeout(TIMEOUT, client.ping(wire::PingRequest {})).await.ok()?.ok()?;
    let round_trip = started.elapsed();
    let answer = answer.into_inner();
    let metadata = match answer.metadata() {
        wire::Metadata::None => MetadataRole::None,
        wire::Metadata::Voter => MetadataRole::Voter,
        wire::Metadata::Leader => MetadataRole::Leader,
    };
    let status = NodeStatus {
        node: Some(NodeId(answer.node)).filter(|node| node.0 != 0),
        catalog_version: answer.catalog_version,
        connections: answer.connections,
        metadata,
        ready: answer.ready,
    };
    Some((status, round_trip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_silent_from_a_lost_ping_to_the_next_answer() {
        let ms = Duration::from_millis;
        let mut links = Links::new();
        let (node, start) = (NodeId(4), Instant::now());
        note(&mut links, node, None);
        assert_eq!(links.get(&node), None, "one that never answered may be starting");
        note(&mut links, node, Some((NodeStatus::default(), ms(3))));
        let answers = links.get(&node).copied();
        assert!(
            !is_due(answers, Some(start), start + ms(400)) && is_due(answers, Some(start), start + ms(500))
        );
        note(&mut links, node, None);
        let silent = links.get(&node).copied();
        assert_eq!(silent.and_then(|link| link.round_trip), None);
        assert!(!is_due(silent, Some(start), start + ms(40)) && is_due(silent, Some(start), start + ms(90)));
        note(&mut links, node, Some((NodeStatus::default(), ms(5))));
        assert_eq!(links[&node].round_trip, Some(ms(5)));
    }

    #[test]
    fn an_average_moves_by_an_eighth() {
        let ms = Duration::from_millis;
        assert_eq!(average(None, ms(8)), ms(8));
        assert_eq!(average(Some(ms(8)), ms(16)), ms(9));
    }
}
