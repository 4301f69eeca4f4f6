//! What the programs of Pando are made of: they put the roles together and know nothing else.
//!
//! * [`options`]: what can be configured, declared once.
//! * [`process`], [`http`], [`metrics`]: what every process has; [`node`], [`identity`]: what every
//!   process of a cluster has.
//! * [`voter`]: the metadata of a master.
//! * [`dev`]: all of them in one process; [`supervisor`]: each in a process of its own.
//! * [`demo`]: TPC-H through the front door.

pub mod demo;
pub mod dev;
pub mod http;
pub mod identity;
pub mod metrics;
pub mod node;
pub mod options;
pub mod process;
pub mod supervisor;
pub mod voter;
