//! The leaf's write-ahead log: one for all of its partitions.
//!
//! * [`frame`]: the bytes of a log file;
//! * [`record`]: what the records say;
//! * [`writer`]: group commit on one thread;
//! * [`files`]: preallocated, recycled and removed files;
//! * [`reader`]: reading it all back, with a torn end cut off.

pub(crate) mod files;
pub(crate) mod frame;
pub(crate) mod reader;
pub(crate) mod record;
pub(crate) mod writer;

#[cfg(test)]
mod tests;

pub(crate) use reader::read_log;
pub(crate) use record::Record;
pub use writer::SYNC_BOUNDS_MICROS;
pub(crate) use writer::{Append, Observer, Wal};
