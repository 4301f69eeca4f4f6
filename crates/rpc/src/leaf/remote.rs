//! The leaves of the catalog.

use super::LeafClient;
use crate::Channels;
use crate::clocks::Clocks;
use catalog::{Metadata, NodeRole};
use exec::{LeafService, Leaves};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use types::{NodeId, Result, SqlError};

/// Finds leaves by the addresses that the catalog has; a leaf of this process is called directly.
pub struct RemoteLeaves {
    metadata: Arc<dyn Metadata>,
    channels: Arc<Channels>,
    clocks: Clocks,
    local: Option<(NodeId, Arc<dyn LeafService>)>,
    /// With the address that each was made for.
    clients: Mutex<HashMap<NodeId, (String, LeafClient)>>,
}

impl RemoteLeaves {
    pub fn new(metadata: Arc<dyn Metadata>, channels: Arc<Channels>, clocks: Clocks) -> RemoteLeaves {
        RemoteLeaves { metadata, channels, clocks, local: None, clients: Mutex::default() }
    }

    /// With a leaf that runs in this process.
    pub fn with_local(self, node: NodeId, leaf: Arc<dyn LeafService>) -> RemoteLeaves {
        RemoteLeaves { local: Some((node, leaf)), ..self }
    }
}

impl Leaves for RemoteLeaves {
    fn leaf(&self, node: NodeId) -> Result<Arc<dyn LeafService>> {
        if let Some((local, leaf)) = &self.local
            && *local == node
        {
            return Ok(leaf.clone());
        }
        let catalog = self.metadata.snapshot();
        let found = catalog.node(node).filter(|found| found.role == NodeRole::Leaf);
        let found = found.ok_or_else(|| SqlError::internal(format!("the cluster has no leaf {node}")))?;
        let address = found.address();
        let mut clients = self.clients.lock();
        if let Some((known, client)) = clients.get(&node)
            && *known == address
        {
            return Ok(Arc::new(client.clone()));
        }
        let channel = self.channels.to(&address)?;
        let client = LeafClient::new(found.to_string(), channel, self.clocks.clone());
        clients.insert(node, (address, client.clone()));
        Ok(Arc::new(client))
    }
}
