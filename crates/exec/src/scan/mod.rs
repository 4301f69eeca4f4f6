//! Scans: a sharded table as DataFusion sees it, and the node that reads it.

mod describe;
mod dynamic;
pub mod estimate;
pub mod filter;
mod like;
mod node;
mod open;
mod source;
mod store;
mod table;
pub(crate) mod text_test;

pub use dynamic::MAX_IN_VALUES;
pub use estimate::{ColumnEstimate, TableEstimate, Told};

pub use node::{Output, ScanExec};
pub(crate) use node::{Scan, from_store_error};
pub use open::{OpenValues, for_values};
pub use source::{Snapshots, TableMorsel, TableSnapshot};
pub use table::{PARTITION_COLUMN, ShardedTable};
