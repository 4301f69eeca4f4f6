//! The leaf server: the store of one data folder behind [`exec::LeafService`] and the source of
//! snapshots for the stages that run here.
//!
//! * `layout` says what the store must hold, given the catalog; `follow` carries that out.
//! * `server` answers the aggregators' requests. The store is synchronous and may wait for locks, the
//!   disk or memory, so each call runs on a thread of the blocking pool, never on the runtime's own.
//! * `reading` pins partitions for queries, asking other leaves after prepared transactions; `resolve`
//!   ends what silent aggregators leave behind.
//! * `bulk` runs a load of many rows on a thread of its own per partition.
//!
//! Deliberately absent: SQL, sessions, anything of an aggregator or a master.

mod bulk;
mod follow;
mod layout;
mod reading;
mod resolve;
mod server;
#[cfg(test)]
mod tests;

pub use server::Leaf;
