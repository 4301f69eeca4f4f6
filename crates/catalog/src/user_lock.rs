//! User-level locks: what GET_LOCK() takes.
//!
//! They are part of the catalog so that they exclude the sessions of all aggregators. A lock belongs to a session of
//! one start of an aggregator. Whoever knows that this session is no more releases its locks: the session at its end,
//! its aggregator where that failed or after a restart, the leader of the metadata where the aggregator is silent
//! for [`LOST_AGGREGATOR_LIMIT`]. An aggregator that cannot reach the leader ends the sessions with locks before,
//! after [`DETACHED_LOCKS_LIMIT`]; so no session goes on with a lock that another one has.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use types::NodeId;

/// After so much silence of an aggregator its sessions' locks are released.
pub const LOST_AGGREGATOR_LIMIT: Duration = Duration::from_secs(12);

/// An aggregator that has been without the leader for so long ends its sessions that hold locks. Shorter than
/// [`LOST_AGGREGATOR_LIMIT`] by more than it takes to notice that the leader is gone, longer than an election.
pub const DETACHED_LOCKS_LIMIT: Duration = Duration::from_secs(5);

/// A session that may hold locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockHolder {
    /// The aggregator.
    pub node: NodeId,
    /// Tells one start of the aggregator from the others.
    pub start: u64,
    /// What CONNECTION_ID() is there.
    pub session: u64,
}

/// A lock that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserLock {
    pub holder: LockHolder,
    /// How often its holder has taken it and not released it.
    pub count: u64,
}
