//! Transactions over several leaves, simulated from a seed.
//!
//! **What is real:** the leaves' stores ([`columnstore::Store`]: log, tail, locks, recovery) on simulated
//! disks, and the state machines of [`txn`]: an aggregator's commit, leases and registries, decisions,
//! clocks. **What is simulated:** the network (delays, reorders, repeats, loses, cuts), the clocks
//! (steps), crashes at any write of the disk with the loss of what was not synced, restarts, pauses of
//! processes. **What is not covered:** the servers' own threads and the gRPC transport; a request is
//! carried out as one step, so what goes on between an append and its fsync is cut only by a crash.
//!
//! * [`world`]: time, the network, the order of events;
//! * [`node`]: a leaf with its store, and what it does by itself;
//! * [`session`]: aggregators and their sessions: transfers and readers;
//! * [`model`]: what was acknowledged, and what a reader may see of it.
//!
//! One thread runs it all. A store has a thread for its log, and each request waits for it, so the
//! order of events is that of the seed.

pub mod model;
pub mod node;
pub mod session;
pub mod world;

#[cfg(test)]
mod schedules;
#[cfg(test)]
mod seeds;
