//! [`exec::StageService`] between processes.
//!
//! A process serves its own by [`server`] and reaches others by [`StagesClient`]s, which a
//! [`exec::StageNodes`] hands out:
//!
//! ```text
//! let node = StageNode::new(id, executor, nodes, tables);     // exec
//! routes.add_service(rpc::stages::server(node.clone(), stop));      // beside the other services
//! // in StageNodes::stages, with the address of the node from the catalog and the network's runtime
//! Ok(Arc::new(StagesClient::new(name, &channels, address, runtime.clone())?))
//! ```
//!
//! **One call.** The parts of queries that a process starts on another, and all streams that it pulls from there, go
//! through one call, each with a number (see `link`).
//!
//! **Credits.** The consumer of a stream grants bytes; the producer's node sends while it has some left (the
//! last batch may go beyond). The consumer's side always takes what comes off the connection at once and keeps
//! it in the stream's queue, which the credits bound; it grants anew what has been read from the queue. So a
//! reader that stops holds up its own stream and nothing else on the connection.
//!
//! **Completeness.** A stream is complete with an explicit end alone. A connection that breaks before is
//! an error that names the node, found within a few seconds also when nothing is being sent (see
//! [`crate::channels`]).

mod batches;
mod client;
mod convert;
mod incoming;
mod link;
mod service;
#[cfg(test)]
mod tests;

pub use client::StagesClient;
pub(crate) use link::Link;
pub use service::server;
