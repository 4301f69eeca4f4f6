//! Storage of a leaf. Synchronous: callers bring their own threads.
//!
//! A table's rows in a partition stand in the *tail* (recent rows, in memory, with their versions
//! and locks) and in *segments* (immutable column files, about a million rows each). Reads go
//! through [`segment`] and [`filter`], which evaluate the same [`Predicate`]s on encoded blocks and
//! on Arrow batches. Encoded blocks are shared through the [`pool`].

pub mod access;
mod batch_size;
mod codec;
mod deletes;
pub mod encoding;
pub mod error;
pub mod filter;
mod keys;
mod layout;
mod manifest;
mod partition;
pub mod pool;
pub mod predicate;
mod recovery;
pub mod scan;
pub mod segment;
pub mod snapshot;
pub mod store;
mod tail;
#[cfg(test)]
mod testing;
pub mod vectors;
mod waiting;
mod wal;

pub use access::{
    Conflict, FewRead, FewRows, IfLocked, InsertOutcome, InsertedOrLocked, KeyRead, KeyRow, LockOutcome,
    LockRequest, OnDuplicate, ReadAt, ReadView, RowLockMode, WriteContext, written_at,
};
pub use batch_size::batch_bytes;
pub use encoding::key_set::KeySet;
pub use error::StoreError;
pub use filter::filter_batch;
pub use keys::key_used;
pub use layout::maintain::Maintenance;
pub use pool::{BufferPool, PoolStatistics};
pub use predicate::{BytesTest, Compare, Predicate};
pub use scan::{ROW_COLUMN, ScanSpec};
pub use segment::{
    BeginTimestamps, ColumnStatistics, Segment, SegmentMeta, SegmentStatistics, sort_to_segment_order,
    sync_segment, write_segment,
};
pub use snapshot::{Morsel, READ_AHEAD, Snapshot, SnapshotHold, TableStatistics};
pub use store::{
    BulkLoad, Committing, Inspect, Inspection, LayoutJob, LayoutJobKind, LockKind, LockMode, LockState,
    LockWait, MemoryUse, Options, Orphan, Piece, PieceKind, Store, StoreStatistics,
};
pub use vectors::{Vector, Vectors};
pub use wal::SYNC_BOUNDS_MICROS;
