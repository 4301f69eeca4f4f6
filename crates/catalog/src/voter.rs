//! What a voter of the metadata offers to the other processes of its cluster. Crate `master`
//! implements it; between processes the same calls travel by gRPC.
//!
//! Only the leader answers; every other voter says who that is ([`NotLeader`]).
//!
//! **When a schema change is seen.** [`Voter::propose`] of a command that statements see returns when
//! every node that the catalog shows online follows the version that holds its effect: an aggregator
//! shows it to the statements that begin from then on, a leaf has made its tables. So the next
//! statement on any aggregator finds what the last one on another has changed. A node that dies or
//! loses its masters stops being waited for when the failure detector marks it offline, a few seconds
//! later, and one that is merely slow after [`FOLLOW_LIMIT`]. Such an aggregator goes on with the
//! newest catalog that it has (it cannot know whether the masters are gone or only its way to them),
//! and leaves refuse what it plans with tables that are no more; it follows again before anything else
//! once it reaches the leader.

use crate::{Catalog, Command, CommandId, NodeRole, Outcome};
use async_trait::async_trait;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;
use types::{NodeId, SqlError};

/// How long a change waits for nodes that are online and do not follow.
pub const FOLLOW_LIMIT: Duration = Duration::from_secs(10);

/// How often a node reports to the leader.
pub const REPORT_INTERVAL: Duration = Duration::from_millis(500);

/// The most voters that a cluster may have.
pub const MAX_VOTERS: usize = 5;

/// Another voter leads, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotLeader {
    /// "host:port" of the leader, if it is known.
    pub leader: Option<String>,
}

/// Why a voter did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Ask that one.
    NotLeader(NotLeader),
    /// Asking another would be of no use.
    Failed(SqlError),
}

impl From<NotLeader> for Refused {
    fn from(not_leader: NotLeader) -> Refused {
        Refused::NotLeader(not_leader)
    }
}

impl From<SqlError> for Refused {
    fn from(error: SqlError) -> Refused {
        Refused::Failed(error)
    }
}

/// A process that joins, or comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// What it was given when it registered first, which its data folder keeps.
    pub identity: Option<Identity>,
    /// Where other processes reach it.
    pub host: String,
    pub port: u16,
    pub mysql_port: Option<u16>,
    pub role: NodeRole,
    pub cores: u32,
}

/// Who a process is: a node of one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub node: NodeId,
    pub cluster: u64,
}

/// What a node tells the leader, again and again: a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    pub identity: Identity,
    /// The catalog version that it follows.
    pub applied: u64,
}

#[async_trait]
pub trait Voter: Send + Sync {
    /// Takes a process into the cluster. Doing it again changes nothing.
    async fn register(&self, registration: Registration) -> Result<Identity, Refused>;

    /// Carries out a command, whose id tells whether it was carried out before. Returns its outcome
    /// and a version that holds its effect, when that is seen as the module says.
    async fn propose(&self, id: CommandId, command: Command) -> Result<(Outcome, u64), Refused>;

    /// A node begins to follow: it is attached until the returned guard is dropped.
    fn attach(&self, report: Report) -> Result<Box<dyn Any + Send>, Refused>;

    /// A sign of life of an attached node.
    fn report(&self, report: Report);

    /// The newest catalog, while this voter leads.
    fn newest(&self) -> Result<Arc<Catalog>, NotLeader>;

    /// Waits for a catalog with a version above `after`, or for the end of leading.
    async fn newer(&self, after: u64) -> Result<Arc<Catalog>, NotLeader>;

    /// Makes a registered master a voter. At most [`MAX_VOTERS`].
    async fn add_voter(&self, node: NodeId) -> Result<(), Refused>;

    /// A message of another voter, leader or not.
    fn receive(&self, message: &[u8]) -> Result<(), SqlError>;
}
