//! The metadata service: crate `catalog`'s state machine, replicated by raft-rs, with the log and
//! its snapshots in RocksDB.
//!
//! One plain thread a process runs the Raft node (`replica.rs`). A proposal goes to it through a
//! channel, is written to the log with one synchronous write (all that wait share it), applied when
//! the voters agree, shown by [`Master::snapshot`](catalog::Metadata::snapshot), and answered then.
//! Every so many entries the whole catalog is stored and the log before it dropped; a restart reads
//! that and the log after it.
//!
//! One voter or five differ only in [`Peers`], which carries the messages between them.
//!
//! [`MasterService`] is what the other processes of the cluster see: it takes them in, counts them as
//! online or offline (`detector.rs`, a pure plan that the leader carries out), and holds a schema
//! change back until all of them follow.

mod detector;
mod error;
mod log;
mod logging;
mod master;
mod options;
mod peers;
mod replica;
mod service;
pub mod store;
#[cfg(test)]
mod tests;

pub use detector::{DETACHED_LIMIT, Observations, SILENT_LIMIT, Seen, plan};
pub use error::MasterError;
pub use master::{Leadership, Master, Status};
pub use options::MasterOptions;
pub use peers::{NoPeers, Peers};
/// The messages and records of raft-rs, for those who implement [`store::RaftStore`].
pub use raft::eraftpb;
pub use service::MasterService;
