//! The traits between the roles of a cluster over gRPC: for each trait a client that implements it
//! and a service that answers by an implementation. Nothing is decided here.
//!
//! * [`channels`]: one pool of connections a process, by address; TLS between nodes.
//! * [`server`]: the listening side of a process.
//! * [`clocks`]: what messages tell of their senders' clocks.
//! * `columns`: rows as bytes.
//! * [`leaf`]: timestamps, writes and the ends of transactions at leaves.
//! * [`error`]: a [`types::SqlError`] crosses the wire whole, in the details of a status; a
//!   connection that fails becomes one that names the node.
//! * [`metadata`]: the catalog, between voters and everybody else.
//! * [`node`]: what every process answers, and how an aggregator knows how the others are.
//! * [`stages`]: stages of queries, and the exchanges between them.

pub mod channels;
pub mod clocks;
mod columns;
pub mod error;
pub mod leaf;
pub mod metadata;
pub mod node;
pub mod server;
pub mod stages;

pub use channels::{Channels, NodeTls};
pub use clocks::Clocks;
pub use leaf::{LeafClient, LeafServer, RemoteLeaves};
