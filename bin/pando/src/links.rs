//! How an aggregator of a cluster sees the other nodes, for SHOW LEAVES and its like.

use aggregator::{Link, Links};
use rpc::node::{MetadataRole, Pings};
use std::sync::Arc;
use types::NodeId;

/// As their answers to pings tell.
pub struct PingedLinks(pub Arc<Pings>);

impl Links for PingedLinks {
    fn link(&self, node: NodeId) -> Option<Link> {
        let link = self.0.link(node)?;
        Some(Link {
            connections: link.status.connections,
            round_trip: link.round_trip,
            catalog_version: link.status.catalog_version,
            metadata: match link.status.metadata {
                MetadataRole::None => None,
                MetadataRole::Voter => Some("Voter"),
                MetadataRole::Leader => Some("Leader"),
            },
            ready: link.status.ready,
        })
    }
}
