//! ADD LEAF and REMOVE LEAF.
//!
//! A leaf becomes part of the cluster by itself: it registers with the masters when it is started with
//! `--join`. REMOVE LEAF takes one out that holds no partition; its process may go on, and is not heard
//! until ADD LEAF lets it in again.

use super::{Answer, done};
use crate::session::{Level, State};
use catalog::{Catalog, Command, Node, NodeRole, NodeState};
use sql::statement::LeafAddress;
use std::sync::Arc;
use std::time::Duration;
use types::{ErrorKind, NodeId, Result, SqlError};

/// Where leaves listen unless they are told otherwise.
const USUAL_PORT: u16 = 7307;

/// How long ADD LEAF waits for the leaf to come.
const ARRIVAL: Duration = Duration::from_secs(5);

/// The leaf at an address, removed or not.
fn find<'a>(catalog: &'a Catalog, address: &LeafAddress) -> Option<&'a Arc<Node>> {
    let port = address.port.unwrap_or(USUAL_PORT);
    let is_it = |node: &&Arc<Node>| {
        node.role == NodeRole::Leaf && node.port == port && node.host.eq_ignore_ascii_case(&address.host)
    };
    catalog.nodes().find(is_it)
}

fn unknown(address: &LeafAddress, what_to_do: &str) -> SqlError {
    let port = address.port.unwrap_or(USUAL_PORT);
    SqlError::internal(format!("The cluster knows no leaf '{}':{port}; {what_to_do}", address.host))
}

impl State {
    pub(crate) async fn add_leaf(&mut self, address: &LeafAddress) -> Result<Answer> {
        let Some(leaf) = find(&self.catalog, address).cloned() else {
            return Err(unknown(address, "start pando-leaf there with --join, and it comes by itself"));
        };
        let note = match leaf.state {
            NodeState::Online => format!("{leaf} is part of the cluster already"),
            NodeState::Offline => format!("{leaf} is part of the cluster already, and offline"),
            NodeState::Removed => {
                self.change_catalog(Command::ReadmitLeaf { node: leaf.id }).await?;
                if self.unless_cancelled(self.comes_online(leaf.id)).await? {
                    return Ok(done());
                }
                format!("{leaf} is part of the cluster again, and offline until its process is there")
            }
        };
        self.add_message(Level::Note, ErrorKind::Unknown.errno(), note);
        Ok(done())
    }

    /// Whether the node is online before long.
    async fn comes_online(&self, node: NodeId) -> Result<bool> {
        let metadata = &self.aggregator.metadata;
        let online = async {
            loop {
                let catalog = metadata.snapshot();
                if catalog.node(node).is_some_and(|node| node.state == NodeState::Online) {
                    return Ok(());
                }
                metadata.changed(catalog.version()).await?;
            }
        };
        match tokio::time::timeout(ARRIVAL, online).await {
            Ok(came) => came.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    pub(crate) async fn remove_leaf(&mut self, address: &LeafAddress) -> Result<Answer> {
        match find(&self.catalog, address) {
            Some(leaf) if leaf.state != NodeState::Removed => {
                let command = Command::RemoveLeaf { node: leaf.id };
                self.change_catalog(command).await?;
                Ok(done())
            }
            _ => Err(unknown(address, "SHOW LEAVES shows them")),
        }
    }
}
