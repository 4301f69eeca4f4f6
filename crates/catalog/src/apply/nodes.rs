//! Nodes come, go, and change their state.

use super::take_id;
use crate::{Catalog, Database, Node, NodeRole, NodeState, Outcome};
use std::sync::Arc;
use types::{NodeId, SqlError};

impl Catalog {
    pub(super) fn register_node(&mut self, id: Option<NodeId>, node: Node) -> Result<Outcome, SqlError> {
        let (host, port, role) = (node.host.as_str(), node.port, node.role);
        if host.is_empty() || id == Some(NodeId(0)) {
            return Err(SqlError::internal("A node needs a host and an id that is not 0"));
        }
        let mut next = self.next.clone();
        let id = match id {
            Some(id) => {
                match self.node(id) {
                    Some(node) if node.state == NodeState::Removed => {
                        return Err(SqlError::internal(format!(
                            "Node {id} was removed from the cluster: ADD LEAF '{}':{} lets it in again",
                            node.host, node.port
                        )));
                    }
                    Some(node) if node.role != role => {
                        return Err(SqlError::internal(format!(
                            "Node {id} cannot come back in another role: remove it first"
                        )));
                    }
                    None if id.0 < next.node => {
                        return Err(SqlError::internal(format!(
                            "Node {id} was removed from the cluster: start it with an empty folder"
                        )));
                    }
                    _ => {}
                }
                let after =
                    id.0.checked_add(1).ok_or_else(|| SqlError::internal("A node's id is too great"))?;
                next.node = next.node.max(after);
                id
            }
            None => match self.nodes().find(|n| n.role == role && n.host == host && n.port == port) {
                Some(node) if self.holds_partitions(node.id) => {
                    return Err(SqlError::internal(format!(
                        "Node {} at {host}:{port} holds partitions: start it with its folder, or elsewhere",
                        node.id
                    )));
                }
                Some(node) => node.id,
                None => NodeId(take_id(&mut next.node)?),
            },
        };
        self.next = next;
        Arc::make_mut(&mut self.nodes).insert(id, Arc::new(Node { id, ..node }));
        Ok(Outcome::NodeRegistered(id))
    }

    pub(super) fn set_node_state(&mut self, id: NodeId, state: NodeState) -> Result<Outcome, SqlError> {
        let node = self.node(id).ok_or_else(|| no_such_node(id))?;
        // Whoever saw it come or go has not heard of its removal yet.
        if (node.state == NodeState::Removed) != (state == NodeState::Removed) {
            return Err(SqlError::internal(format!(
                "Node {id} is removed and let in by commands of their own"
            )));
        }
        self.put_state(id, state)
    }

    fn put_state(&mut self, id: NodeId, state: NodeState) -> Result<Outcome, SqlError> {
        let node = Node { state, ..Node::clone(self.node(id).ok_or_else(|| no_such_node(id))?) };
        Arc::make_mut(&mut self.nodes).insert(id, Arc::new(node));
        Ok(Outcome::Done)
    }

    pub(super) fn remove_leaf(&mut self, id: NodeId) -> Result<Outcome, SqlError> {
        let node = self.node(id).ok_or_else(|| no_such_node(id))?;
        if node.role != NodeRole::Leaf {
            return Err(SqlError::internal(format!("Node {id} is no leaf")));
        }
        let held = self.partitions_held(id);
        if !held.is_empty() {
            let databases: Vec<String> =
                held.iter().map(|(name, count)| format!("{count} of database '{name}'")).collect();
            return Err(SqlError::internal(format!(
                "Leaf '{}':{} holds partitions: {}; drop these databases first",
                node.host,
                node.port,
                databases.join(", ")
            )));
        }
        let stays = |other: &&Arc<Node>| {
            other.role == NodeRole::Leaf && other.state != NodeState::Removed && other.id != id
        };
        if !self.nodes().any(|other| stays(&other)) {
            return Err(SqlError::internal(format!(
                "Leaf '{}':{} is the only leaf of the cluster: add another one first",
                node.host, node.port
            )));
        }
        self.put_state(id, NodeState::Removed)
    }

    pub(super) fn readmit_leaf(&mut self, id: NodeId) -> Result<Outcome, SqlError> {
        match self.node(id) {
            Some(node) if node.state == NodeState::Removed => self.put_state(id, NodeState::Offline),
            Some(_) => Ok(Outcome::Done),
            None => Err(no_such_node(id)),
        }
    }

    pub(super) fn remove_node(&mut self, id: NodeId) -> Result<Outcome, SqlError> {
        if self.node(id).is_none() {
            return Err(no_such_node(id));
        }
        if self.holds_partitions(id) {
            return Err(SqlError::internal(format!("Node {id} holds partitions: move or drop them first")));
        }
        Arc::make_mut(&mut self.nodes).remove(&id);
        Ok(Outcome::Done)
    }

    /// Whether any partition has a replica there.
    pub fn holds_partitions(&self, node: NodeId) -> bool {
        !self.partitions_held(node).is_empty()
    }

    /// How many partitions of which databases have a replica there.
    fn partitions_held(&self, node: NodeId) -> Vec<(&str, usize)> {
        let held = |d: &Database| d.partitions.iter().filter(|p| p.replicas.contains(&node)).count();
        self.databases().map(|d| (d.name.as_str(), held(d))).filter(|(_, count)| *count > 0).collect()
    }
}

fn no_such_node(id: NodeId) -> SqlError {
    SqlError::internal(format!("The cluster has no node {id}"))
}
