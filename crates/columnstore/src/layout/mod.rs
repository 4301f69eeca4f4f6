//! Where rows stand on disk, and how that changes: frozen runs are flushed to segments, small segments
//! merged into larger ones, rewritten when most of their rows are gone.
//!
//! * [`pick`] decides what to do, a pure function;
//! * [`rewrite`] does it: new segments out of runs or segments, then one edit of the layout under the
//!   latch, in which what was deleted meanwhile is carried over;
//! * [`checkpoint`] writes the manifest, after which older log files are not needed;
//! * [`maintain`] does what a person asks for;
//! * [`worker`] does all this in the background.

pub(crate) mod checkpoint;
pub(crate) mod maintain;
pub(crate) mod pick;
pub(crate) mod rewrite;
pub(crate) mod worker;
