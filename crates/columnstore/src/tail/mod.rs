//! The recent rows of a table in a partition: versioned entries in memory ([`entry`], [`slab`]), and
//! frozen runs of them turned to columns ([`run`]).
//!
//! * [`row`]: how a row stands in memory and in the log;
//! * [`key`]: primary keys as bytes that compare like the key;
//! * [`statistics`]: what the planner is told of recent rows.

pub(crate) mod entry;
pub(crate) mod key;
pub(crate) mod order;
pub(crate) mod row;
pub(crate) mod run;
pub(crate) mod slab;
pub(crate) mod statistics;
pub(crate) mod unique;
