//! The programs of Pando: `pando` for people, `pando-aggregator` and `pando-leaf` for clusters. They put
//! the roles together and know nothing else.
//!
//! * [`options`]: what can be configured, declared once.
//! * [`process`], [`http`], [`metrics`], [`resident`]: what every process has; [`node`], [`identity`]: what every
//!   process of a cluster has.
//! * [`aggregator`], [`voter`], [`links`], [`leaf`], [`wire`]: the roles.
//! * [`dev`]: all of them in one process; [`supervisor`]: each in a process of its own.
//! * [`tls`]: the certificate that MySQL clients see.
//! * [`demo`]: TPC-H through the front door.

pub mod aggregator;
pub mod demo;
pub mod dev;
pub mod http;
pub mod identity;
pub mod leaf;
pub mod links;
pub mod metrics;
pub mod node;
pub mod options;
pub mod process;
pub mod resident;
mod say;
pub mod supervisor;
pub mod tls;
pub mod voter;
pub mod wire;
