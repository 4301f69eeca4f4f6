//! The rules of transactions as state machines without I/O, threads or clocks of their own: every
//! input is an argument, every effect a return value, so that a test plays any schedule.
//!
//! | module | what it decides |
//! |---|---|
//! | [`timeline`] | a partition's clock, which records are shown, the newest timestamp that may be read |
//! | [`clock`] | the clock of a process, which merges those of its peers |
//! | [`ceiling`] | how far a leaf's clocks may run ahead of what its log holds |
//! | [`watermark`] | how old a snapshot may be |
//! | [`participant`] | a transaction at one partition: its statements, from active to decided |
//! | [`decisions`] | outcomes at the coordinating partition: the first one wins |
//! | [`commit`] | what an aggregator asks of leaves to commit, and what it may tell its client |
//! | [`locks`] | who holds and who waits for a lock of a partition |
//! | [`deadlock`] | cycles among the waits of a leaf, and of all leaves |
//! | [`lease`] | what an aggregator has open, and what a leaf ends when it falls silent |
//!
//! The caller is the one that makes steps atomic: it calls [`timeline`], [`participant`],
//! [`decisions`] and [`locks`] of a partition under that partition's append latch.

pub mod ceiling;
pub mod clock;
pub mod commit;
pub mod deadlock;
pub mod decisions;
pub mod lease;
pub mod locks;
pub mod participant;
pub mod timeline;
pub mod watermark;

pub use ceiling::Ceiling;
pub use clock::ProcessClock;
pub use commit::Commit;
pub use deadlock::{Detector, WaitGraph, WaitReport};
pub use decisions::{Answer, Decisions, Outcome, Settlement};
pub use lease::{Leases, Registry, Renewal};
pub use locks::{Acquired, LockTable, Mode, Released, Ticket};
pub use participant::{Mismatch, Participant, State};
pub use timeline::{Ahead, Timeline};
pub use watermark::Watermark;
