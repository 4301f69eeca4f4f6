//! The catalog between its voters and everybody else.
//!
//! [`server`] answers by a [`catalog::Voter`]; [`RemoteMetadata`] is [`catalog::Metadata`] for a
//! process without a voter of its own, or beside one; [`RaftLinks`] carries the voters' own messages.

mod client;
mod convert;
mod raft;
mod remote;
mod service;

pub use client::{Masters, register};
pub use raft::RaftLinks;
pub use remote::{Follows, RemoteMetadata};
pub use service::server;

/// The largest message: a catalog with several 100,000 tables.
const MAX_MESSAGE: usize = 256 << 20;

/// The metadata of a status that tells who leads.
const LEADER: &str = "pando-leader";
