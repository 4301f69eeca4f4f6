//! How the other nodes are, as seen from an aggregator. Who runs it measures that.

use std::time::Duration;
use types::NodeId;

/// What another node said last, and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Connections that it has open: of clients to an aggregator, of other processes to a leaf.
    pub connections: u64,
    /// The average round trip; `None` while it does not answer.
    pub round_trip: Option<Duration>,
    /// The catalog version that it follows.
    pub catalog_version: u64,
    /// What it does for the metadata, if it is a voter.
    pub metadata: Option<&'static str>,
    /// It serves statements or stages.
    pub ready: bool,
}

pub trait Links: Send + Sync {
    /// `None`: it was never reached.
    fn link(&self, node: NodeId) -> Option<Link>;
}

/// Of an aggregator that is alone in its process with all that it needs.
pub struct NoLinks;

impl Links for NoLinks {
    fn link(&self, _node: NodeId) -> Option<Link> {
        None
    }
}
