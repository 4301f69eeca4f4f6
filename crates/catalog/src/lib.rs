//! The metadata of a cluster: databases, partitions, tables, users, nodes, global variables,
//! and the user-level locks of its sessions.
//!
//! [`Catalog`] is a pure state machine: [`Catalog::apply`] takes a [`Command`] to an [`Outcome`] and
//! a new state, and depends on nothing else, so every voter that applies the same commands in the
//! same order holds the same state. Crate `master` agrees on that order and implements
//! [`Metadata`], which is what the rest of Pando sees.
//!
//! A clone of a [`Catalog`] is an immutable snapshot: its maps are shared, and a later command
//! copies only the maps that it changes.

mod apply;
mod command;
mod delta;
mod format;
mod metadata;
mod node;
mod placement;
mod privilege;
mod shared;
mod state;
#[cfg(test)]
mod tests;
mod user;
mod user_lock;
mod view;
mod voter;
mod window;

pub use apply::definition_changed;
pub use command::{Command, CommandId, Outcome};
pub use format::FormatError;
pub use metadata::Metadata;
pub use node::{Node, NodeRole, NodeState, address};
pub use placement::MAX_PARTITIONS;
pub use privilege::{ColumnPrivileges, Grants, Level, Privilege, PrivilegeSet, matches_pattern};
pub use state::{Catalog, Database, Partition, is_system_database};
pub use user::{AccountChange, AccountOptions, GrantedRole, LockTime, ROOT, User, UserName};
pub use user_lock::{DETACHED_LOCKS_LIMIT, LOST_AGGREGATOR_LIMIT, LockHolder, UserLock};
pub use view::{View, ViewAlgorithm, ViewSecurity};
pub use voter::{
    FOLLOW_LIMIT, Identity, MAX_VOTERS, NotLeader, REPORT_INTERVAL, Refused, Registration, Report, Voter,
};
pub use window::WINDOW;
