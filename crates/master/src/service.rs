//! A [`Master`] as the other processes of its cluster see it.
//!
//! Each node that follows the leader has an entry: when it was last heard, how many streams it has
//! open, which catalog version it follows. [`MasterService::lead`] runs the failure detector on it.

use crate::detector::{Observations, Seen, plan};
use crate::master::Leadership;
use crate::{Master, MasterError};
use async_trait::async_trait;
use catalog::{
    Catalog, Command, CommandId, FOLLOW_LIMIT, Identity, MAX_VOTERS, Metadata, NodeState, NotLeader, Outcome,
    Refused, Registration, Report, Voter,
};
use parking_lot::Mutex;
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use types::{NodeId, SqlError};

/// How often the failure detector looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, Default)]
struct Follower {
    /// Since the start of the service.
    last: Duration,
    streams: u32,
    applied: u64,
}

pub struct MasterService {
    me: Weak<MasterService>,
    master: Arc<Master>,
    started: Instant,
    followers: Mutex<BTreeMap<NodeId, Follower>>,
    /// Counts the changes of `followers`.
    reports: watch::Sender<u64>,
}

impl MasterService {
    pub fn new(master: Arc<Master>) -> Arc<MasterService> {
        Arc::new_cyclic(|me| MasterService {
            me: me.clone(),
            master,
            started: Instant::now(),
            followers: Mutex::default(),
            reports: watch::Sender::new(0),
        })
    }

    /// Marks nodes offline and online whenever this voter leads. Ends when the service is dropped.
    pub async fn lead(service: Weak<MasterService>) {
        let mut since = None;
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let Some(service) = service.upgrade() else { return };
            if *service.master.leadership().borrow() != Leadership::Leader {
                since = None;
                continue;
            }
            let now = service.started.elapsed();
            let observations = service.observations(*since.get_or_insert(now));
            for command in plan(&service.master.snapshot(), &observations, now) {
                tracing::info!(?command, "a node came or went");
                if let Err(error) = service.master.propose(command).await {
                    tracing::warn!(%error, "the state of a node could not be told");
                }
            }
        }
    }

    fn observations(&self, since: Duration) -> Observations {
        let followers = self.followers.lock();
        let nodes = followers
            .iter()
            .map(|(node, follower)| (*node, Seen { last: follower.last, attached: follower.streams > 0 }))
            .collect();
        Observations { since, nodes }
    }

    fn change(&self, node: NodeId, change: impl FnOnce(&mut Follower)) {
        {
            let mut followers = self.followers.lock();
            let follower = followers.entry(node).or_default();
            follower.last = self.started.elapsed();
            change(follower);
        }
        self.reports.send_modify(|count| *count += 1);
    }

    fn check_leads(&self) -> Result<(), NotLeader> {
        match *self.master.leadership().borrow() {
            Leadership::Leader => Ok(()),
            Leadership::Other(leader) => Err(self.not_leader(leader)),
        }
    }

    fn not_leader(&self, leader: Option<NodeId>) -> NotLeader {
        let catalog = self.master.snapshot();
        NotLeader { leader: leader.and_then(|node| catalog.node(node)).map(|node| node.address()) }
    }

    /// Refuses what comes from a node of another cluster, or from one that was removed.
    fn check_identity(&self, identity: Identity) -> Result<(), SqlError> {
        let catalog = self.master.snapshot();
        if catalog.cluster() != Some(identity.cluster) {
            return Err(SqlError::internal(format!(
                "Node {} belongs to another cluster: give it the masters of its own, or an empty folder",
                identity.node
            )));
        }
        Ok(())
    }

    /// Waits until every node that is online follows `version`.
    async fn followed(&self, version: u64) {
        let deadline = tokio::time::Instant::now() + FOLLOW_LIMIT;
        let mut reports = self.reports.subscribe();
        loop {
            reports.borrow_and_update();
            let catalog = self.master.snapshot();
            let behind = {
                let followers = self.followers.lock();
                let follows = |node: NodeId| followers.get(&node).is_some_and(|f| f.applied >= version);
                catalog
                    .nodes()
                    .filter(|node| node.state == NodeState::Online)
                    .find(|node| !follows(node.id))
                    .cloned()
            };
            let Some(behind) = behind else { return };
            tokio::select! {
                // An error means that the service ends.
                _ = reports.changed() => {}
                _ = self.master.changed(catalog.version()) => {}
                () = tokio::time::sleep_until(deadline) => {
                    tracing::warn!(version, "{behind} does not follow the catalog; nobody waits for it any more");
                    return;
                }
            }
        }
    }
}

/// Counts a stream of a node until it is dropped.
struct Attached {
    service: Weak<MasterService>,
    node: NodeId,
}

impl Drop for Attached {
    fn drop(&mut self) {
        if let Some(service) = self.service.upgrade() {
            service.change(self.node, |follower| follower.streams = follower.streams.saturating_sub(1));
        }
    }
}

#[async_trait]
impl Voter for MasterService {
    async fn register(&self, registration: Registration) -> Result<Identity, Refused> {
        self.check_leads()?;
        // The first master takes its own id before it gives the cluster one, and before others get theirs.
        let Some(cluster) = self.master.snapshot().cluster() else {
            return Err(NotLeader { leader: None }.into());
        };
        if let Some(identity) = registration.identity {
            self.check_identity(identity)?;
        }
        let Registration { identity, host, port, mysql_port, role, cores } = registration;
        let id = identity.map(|identity| identity.node);
        let command = Command::RegisterNode { id, host, port, mysql_port, role, cores };
        let Outcome::NodeRegistered(node) = self.master.propose(command).await? else {
            return Err(SqlError::internal("the catalog gave a process no id").into());
        };
        Ok(Identity { node, cluster })
    }

    async fn propose(&self, id: CommandId, command: Command) -> Result<(Outcome, u64), Refused> {
        self.check_leads()?;
        let is_seen = command.changes_what_statements_see();
        let outcome = self.master.propose_as(id, command).await?;
        let version = self.master.snapshot().version();
        if is_seen {
            self.followed(version).await;
        }
        Ok((outcome, version))
    }

    fn attach(&self, report: Report) -> Result<Box<dyn Any + Send>, Refused> {
        self.check_leads()?;
        self.check_identity(report.identity)?;
        let node = report.identity.node;
        match self.master.snapshot().node(node).map(|node| node.state) {
            None | Some(NodeState::Removed) => {
                return Err(SqlError::internal(format!("Node {node} was removed from the cluster")).into());
            }
            Some(NodeState::Online | NodeState::Offline) => {}
        }
        self.change(node, |follower| {
            follower.streams += 1;
            // After a restart it may follow less than before.
            follower.applied = report.applied;
        });
        Ok(Box::new(Attached { service: self.me.clone(), node }))
    }

    fn report(&self, report: Report) {
        self.change(report.identity.node, |follower| follower.applied = report.applied);
    }

    fn newest(&self) -> Result<Arc<Catalog>, NotLeader> {
        self.check_leads()?;
        Ok(self.master.snapshot())
    }

    async fn newer(&self, after: u64) -> Result<Arc<Catalog>, NotLeader> {
        let mut leadership = self.master.leadership();
        tokio::select! {
            newer = self.master.changed(after) => match newer {
                Ok(catalog) => self.check_leads().map(|()| catalog),
                // It has stopped.
                Err(_) => Err(NotLeader { leader: None }),
            },
            other = leadership.wait_for(|leadership| *leadership != Leadership::Leader) => {
                let leader = match other.as_deref() {
                    Ok(Leadership::Other(leader)) => *leader,
                    Ok(Leadership::Leader) | Err(_) => None,
                };
                drop(other);
                Err(self.not_leader(leader))
            }
        }
    }

    async fn add_voter(&self, node: NodeId) -> Result<(), Refused> {
        self.check_leads()?;
        let voters = self.master.status().voters;
        if voters.contains(&node) {
            return Ok(());
        }
        if voters.len() >= MAX_VOTERS {
            return Err(SqlError::internal(format!(
                "The metadata has {MAX_VOTERS} masters, which is the most: start {node} without --master"
            ))
            .into());
        }
        Ok(self.master.add_voter(node).await?)
    }

    fn receive(&self, message: &[u8]) -> Result<(), SqlError> {
        self.master.receive(message).map_err(|error: MasterError| SqlError::internal(error))
    }
}
