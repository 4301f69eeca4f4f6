//! The processes of a cluster.

use serde::{Deserialize, Serialize};
use types::NodeId;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    /// An aggregator that is also a voter of the metadata.
    Master,
    Aggregator,
    Leaf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    Online,
    Offline,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    pub id: NodeId,
    /// Where other processes reach it.
    pub host: String,
    pub port: u16,
    pub role: NodeRole,
    pub state: NodeState,
    /// Cores that it may use: the default number of partitions of a database is the sum over leaves.
    pub cores: u32,
}
