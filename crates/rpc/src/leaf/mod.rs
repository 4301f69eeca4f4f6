//! [`exec::LeafService`] over gRPC: [`LeafClient`] is one for whoever calls, [`LeafServer`] answers by
//! the one of this process, [`RemoteLeaves`] finds the leaves of the catalog.
//!
//! Statements wait for locks, so a call has no deadline of its own: a peer that is gone is noticed by
//! the connection. Nothing is sent twice: a call that broke off is an error that names the leaf, and
//! the caller decides.
//!
//! Stages run where the partitions are; only they read. So [`exec::LeafService::snapshots`] is not
//! among the calls: of a leaf elsewhere it is an error.

mod client;
mod message;
mod remote;
mod server;
#[cfg(test)]
mod tests;

pub use client::LeafClient;
pub use remote::RemoteLeaves;
pub use server::LeafServer;

/// The greatest message that is taken: a batch of rows.
const MOST_BYTES: usize = 256 << 20;
