//! SHOW LEAVES, AGGREGATORS, PARTITIONS and CLUSTER STATUS: nodes and partitions as the catalog has them,
//! connections and round trips as this aggregator measured them.

use super::grid::{Cell, Grid};
use super::query::CatalogTables;
use super::show::{TEXT, UNSIGNED};
use crate::links::Link;
use crate::session::State;
use catalog::{Node, NodeRole, NodeState, Partition};
use columnstore::{Inspect, Inspection};
use futures::future::join_all;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use types::{NodeId, PartitionId, Result};

/// The database that stands for the catalog itself in SHOW CLUSTER STATUS.
const METADATA: &str = "cluster";

/// How long a node may be silent before the failure detector marks it offline, in seconds.
const GRACE_SECONDS: u64 = 3;

/// How long a leaf may take to say how far its logs are: who asks for the state of a cluster may ask since a node is
/// away.
const POSITION_TIMEOUT: Duration = Duration::from_secs(1);

const fn state_name(state: NodeState) -> &'static str {
    match state {
        NodeState::Online => "online",
        NodeState::Offline => "offline",
        NodeState::Removed => "removed",
    }
}

/// What this aggregator itself has seen: a node may be marked online and not answer here.
fn runtime_state(link: Option<Link>) -> Cell {
    match link {
        None => Cell::Null,
        Some(Link { round_trip: None, .. }) => "unreachable".into(),
        Some(Link { ready: false, .. }) => "starting".into(),
        Some(_) => "running".into(),
    }
}

/// In milliseconds, with a thousandth.
fn milliseconds(round_trip: Option<Duration>) -> Cell {
    round_trip.map(|time| format!("{:.3}", time.as_secs_f64() * 1e3)).into()
}

impl CatalogTables {
    fn nodes(&self, is_wanted: impl Fn(NodeRole) -> bool) -> Vec<Arc<Node>> {
        let is_member = |node: &&Arc<Node>| node.state != NodeState::Removed && is_wanted(node.role);
        self.catalog.nodes().filter(is_member).cloned().collect()
    }

    fn link(&self, node: NodeId) -> Option<Link> {
        self.aggregator.links.link(node)
    }

    pub(crate) fn leaves_grid(&self) -> Grid {
        let mut grid = Grid::new([
            ("Host", TEXT),
            ("Port", UNSIGNED),
            ("Availability_Group", UNSIGNED),
            ("Pair_Host", TEXT),
            ("Pair_Port", UNSIGNED),
            ("State", TEXT),
            ("Opened_Connections", UNSIGNED),
            ("Average_Roundtrip_Latency_ms", TEXT),
            ("NodeId", UNSIGNED),
            ("Grace_Period_in_Seconds", UNSIGNED),
            ("Runtime_State", TEXT),
        ]);
        for node in self.nodes(|role| role == NodeRole::Leaf) {
            let link = self.link(node.id);
            grid.push(vec![
                node.host.as_str().into(),
                u64::from(node.port).into(),
                1.into(),
                Cell::Null,
                Cell::Null,
                state_name(node.state).into(),
                link.map(|link| link.connections).into(),
                milliseconds(link.and_then(|link| link.round_trip)),
                u64::from(node.id.0).into(),
                GRACE_SECONDS.into(),
                runtime_state(link),
            ]);
        }
        grid
    }

    pub(crate) fn aggregators_grid(&self) -> Grid {
        let mut grid = Grid::new([
            ("Host", TEXT),
            ("Port", UNSIGNED),
            ("State", TEXT),
            ("Opened_Connections", UNSIGNED),
            ("Average_Roundtrip_Latency_ms", TEXT),
            ("Master_Aggregator", UNSIGNED),
            ("NodeID", UNSIGNED),
            ("Runtime_State", TEXT),
        ]);
        let nodes = self.nodes(NodeRole::is_aggregator);
        if nodes.is_empty() {
            // All in one process: this aggregator is no node of its own.
            let options = &self.aggregator.options;
            grid.push(vec![
                options.host.as_str().into(),
                u64::from(options.port).into(),
                state_name(NodeState::Online).into(),
                self.aggregator.connections().into(),
                Cell::Null,
                1.into(),
                u64::from(options.node.0).into(),
                "running".into(),
            ]);
        }
        for node in nodes {
            let link = self.link(node.id);
            grid.push(vec![
                node.host.as_str().into(),
                u64::from(node.mysql_port.unwrap_or(node.port)).into(),
                state_name(node.state).into(),
                link.map(|link| link.connections).into(),
                milliseconds(link.and_then(|link| link.round_trip)),
                u64::from(node.role == NodeRole::Master).into(),
                u64::from(node.id.0).into(),
                runtime_state(link),
            ]);
        }
        grid
    }

    /// How far the logs of partitions are durable, of leaves that answer.
    async fn positions(&self) -> HashMap<(NodeId, PartitionId), u64> {
        let asked = self.nodes(|role| role == NodeRole::Leaf).into_iter().map(|node| async move {
            let leaf = self.aggregator.leaves.leaf(node.id).ok()?;
            let answer = tokio::time::timeout(POSITION_TIMEOUT, leaf.inspect(Inspect::Positions)).await;
            let Ok(Ok(Inspection::Positions(positions))) = answer else { return None };
            Some(positions.into_iter().map(move |(partition, at)| ((node.id, partition), at)))
        });
        join_all(asked).await.into_iter().flatten().flatten().collect()
    }

    pub(super) async fn cluster_status_grid(&self) -> Grid {
        let positions = self.positions().await;
        let mut grid = Grid::new([
            ("NODE_ID", UNSIGNED),
            ("HOST", TEXT),
            ("PORT", UNSIGNED),
            ("DATABASE_NAME", TEXT),
            ("ROLE", TEXT),
            ("STATE", TEXT),
            ("POSITION", UNSIGNED),
            ("MASTER_HOST", TEXT),
            ("MASTER_PORT", UNSIGNED),
            ("METADATA_ROLE", TEXT),
            ("DETAILS", TEXT),
        ]);
        let leader = self.catalog.nodes().find(|node| {
            self.link(node.id)
                .is_some_and(|link| link.metadata == Some("Leader") && link.round_trip.is_some())
        });
        let head = |node: &Node| -> Vec<Cell> {
            vec![u64::from(node.id.0).into(), node.host.as_str().into(), u64::from(node.port).into()]
        };
        // The catalog, which every node follows.
        for node in &self.nodes(|_| true) {
            let link = self.link(node.id);
            let leader = leader.filter(|leader| leader.id != node.id);
            let mut row = head(node);
            row.extend([
                METADATA.into(),
                (if node.role == NodeRole::Master { "Voter" } else { "Follower" }).into(),
                state_name(node.state).into(),
                link.map(|link| link.catalog_version).into(),
                leader.map(|leader| leader.host.as_str()).into(),
                leader.map(|leader| u64::from(leader.port)).into(),
                link.and_then(|link| link.metadata).into(),
                node.role.name().into(),
            ]);
            grid.push(row);
        }
        for database in self.catalog.databases() {
            for partition in &database.partitions {
                for node in partition.replicas.iter().filter_map(|replica| self.catalog.node(*replica)) {
                    let primary =
                        self.catalog.node(partition.primary).filter(|primary| primary.id != node.id);
                    let mut row = head(node);
                    row.extend([
                        format!("{}_{}", database.name, partition.ordinal).into(),
                        partition_role(partition, node.id).into(),
                        state_name(node.state).into(),
                        positions.get(&(node.id, partition.id)).copied().into(),
                        primary.map(|primary| primary.host.as_str()).into(),
                        primary.map(|primary| u64::from(primary.port)).into(),
                        Cell::Null,
                        format!("epoch {}", partition.epoch).into(),
                    ]);
                    grid.push(row);
                }
            }
        }
        grid
    }
}

impl State {
    pub(super) fn partitions_grid(&self, database: Option<&str>) -> Result<Grid> {
        let name = self.database_name(database)?;
        let database = self.catalog.require_database(name)?;
        let mut grid = Grid::new([
            ("Ordinal", UNSIGNED),
            ("Host", TEXT),
            ("Port", UNSIGNED),
            ("Role", TEXT),
            ("Locked", UNSIGNED),
        ]);
        for partition in self.catalog.partitions(database.id) {
            for &replica in &partition.replicas {
                let node = self.catalog.node(replica);
                grid.push(vec![
                    u64::from(partition.ordinal).into(),
                    node.map(|node| node.host.as_str()).into(),
                    node.map(|node| u64::from(node.port)).into(),
                    partition_role(partition, replica).into(),
                    0.into(),
                ]);
            }
        }
        Ok(grid)
    }
}

fn partition_role(partition: &Partition, node: NodeId) -> &'static str {
    if partition.primary == node { "Master" } else { "Slave" }
}
