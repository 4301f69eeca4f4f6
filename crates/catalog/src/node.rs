//! The processes of a cluster.

use serde::{Deserialize, Serialize};
use std::fmt;
use types::NodeId;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    /// An aggregator that is also a voter of the metadata.
    Master,
    Aggregator,
    Leaf,
}

impl NodeRole {
    /// Whether it speaks MySQL.
    pub fn is_aggregator(self) -> bool {
        matches!(self, NodeRole::Master | NodeRole::Aggregator)
    }

    /// As messages name it.
    pub const fn name(self) -> &'static str {
        match self {
            NodeRole::Master => "master aggregator",
            NodeRole::Aggregator => "aggregator",
            NodeRole::Leaf => "leaf",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    Online,
    Offline,
    /// Of a leaf: it is no part of the cluster, and is remembered only so that it can be let in again. It
    /// holds no partition and gets none.
    Removed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    pub id: NodeId,
    /// Where other processes reach it.
    pub host: String,
    pub port: u16,
    /// Where MySQL clients reach it, if it is an aggregator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mysql_port: Option<u16>,
    pub role: NodeRole,
    pub state: NodeState,
    /// Cores that it may use: the default number of partitions of a database is the sum over leaves.
    pub cores: u32,
}

impl Node {
    /// "host:port", where other processes reach it.
    pub fn address(&self) -> String {
        address(&self.host, self.port)
    }
}

/// "leaf n3 (10.0.0.7:7307)".
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.role.name(), self.id, self.address())
    }
}

/// "host:port", with brackets around an IPv6 address.
pub fn address(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}
