//! Runs distributed plans.
//!
//! A plan is a set of stages cut at exchanges ([`plan`]). Stages are trees of DataFusion operators
//! over three kinds of leaves of our own: [`ScanExec`], which reads the partitions of a table,
//! [`ReceiveExec`], which reads what another stage sends ([`exchange`]), and [`VirtualScanExec`], whose
//! rows are made while it runs ([`virtual_table`]). [`Executor`] runs them on a runtime of its own,
//! within a memory budget, and hands the result out as a stream.
//!
//! Rows are placed by the shard hash of crate `types` everywhere: in storage, in shuffles, and in
//! what a node says of its output (`Partitioning::Hash` means that hash here, never DataFusion's).

pub mod aggregate;
pub mod at_hand;
mod build_keys;
mod codec;
mod compact;
mod decoded;
mod ear;
pub mod error;
pub mod exchange;
pub mod executor;
pub mod explain;
pub mod grace;
pub mod interruptible;
pub mod json_table;
mod launch;
pub mod measured;
pub mod memory;
mod naps;
pub mod node;
mod one_child;
pub mod plan;
pub mod query;
mod recursion_limit;
pub mod repeat;
pub mod replay;
mod runtime;
pub mod runtime_filters;
pub mod scan;
pub mod service;
mod shared_keys;
mod slice;
mod sort;
mod spill_file;
pub mod spread;
pub mod stages;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod to_its_end;
pub mod union;
pub mod virtual_table;
mod windows;

#[cfg(test)]
mod tests;

pub use aggregate::{FusedAggregateExec, fuse_aggregates};
pub use at_hand::{PlanAtHand, RowsAtHand};
pub use codec::{decode_predicates, encode_predicates};
pub use ear::Ear;
pub use error::{from_sql_error, to_sql_error};
pub use exchange::{ExchangeExec, ExchangeId, ExchangeKind, ReceiveExec, Transport};
pub use executor::{Executor, ExecutorOptions, QueryContext, ResultStream};
pub use explain::{explain, explain_analyze};
pub use grace::SpillingJoinExec;
pub use interruptible::{InterruptibleExec, interruptible};
pub use json_table::JsonTableExec;
pub use measured::Measured;
pub use memory::QueryPool;
pub use naps::counting_naps;
pub use node::{LocalNodes, Read, StageNode};
pub use plan::{DistributedPlan, Place, Stage};
pub use query::Cancel;
pub use recursion_limit::RecursionLimitExec;
pub use replay::ReplayExec;
pub use runtime::{blocking, on_pause};
pub use scan::{
    ColumnEstimate, ScanExec, ShardedTable, Snapshots, TableEstimate, TableMorsel, TableSnapshot,
};
pub use service::{BulkWriter, LeafService, Leaves, LocalLeaves, RowChange, RowChanged, Target};
pub use spread::Locations;
pub use sql::functions::short_circuit::ShortCircuit;
pub use sql::functions::warnings::{Heard, Warning, hear, pass_on};
pub use sql::json_table::{JsonTableNode, ROWS_OF_DOCUMENT};
pub use stages::{LeafTables, StageNodes, StageService, StageTables};
pub use to_its_end::{Panicked, ToItsEnd, to_its_end};
pub use union::CollocatedUnionExec;
pub use virtual_table::{VirtualRows, VirtualScanExec, VirtualTable, Wanted};
