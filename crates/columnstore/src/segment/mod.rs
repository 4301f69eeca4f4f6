//! Segments: immutable column files of about a million rows of one table in one partition.
//!
//! [`write_segment`] makes one from an Arrow batch in segment order ([`sort_to_segment_order`]);
//! [`Segment`] reads it: scans of blocks with predicates evaluated on encoded data, single rows,
//! rows by primary key. [`mod@format`] describes the file byte by byte.

pub(crate) mod block;
mod defaults;
mod encode_column;
mod filter;
pub mod format;
mod key_runs;
mod keys;
mod read;
mod scan;
pub mod sketch;
mod sort;
mod statistics;
mod verify;
pub mod wire;
mod write;

#[cfg(test)]
mod tests;

pub use crate::encoding::BLOCK_ROWS;
pub use defaults::default_value;
pub(crate) use sort::key_run;
pub use sort::sort_to_segment_order;
pub use statistics::{ColumnStatistics, SegmentStatistics};
pub use write::{sync_segment, write_segment};

use crate::BufferPool;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use types::Timestamp;

/// What a manifest keeps of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentMeta {
    pub id: u32,
    pub rows: u32,
    pub bytes: u64,
    pub min_ts: Timestamp,
    pub max_ts: Timestamp,
    /// crc32 of the footer, which holds the checksums of all else.
    pub checksum: u32,
}

/// Commit timestamps of the rows of a new segment.
#[derive(Debug, Clone, Copy)]
pub enum BeginTimestamps<'a> {
    /// Not known yet: `min_ts` and `max_ts` of the [`SegmentMeta`] are zero, and the manifest edit sets
    /// both to the commit's.
    AtCommit,
    All(Timestamp),
    Each(&'a [Timestamp]),
}

/// A segment file open for reading. Shared by readers; when the last one drops it, the pool forgets
/// its blocks.
pub struct Segment {
    path: PathBuf,
    file: read::SegmentFile,
    meta: SegmentMeta,
    footer: format::Footer,
    statistics: SegmentStatistics,
    pool: Arc<BufferPool>,
    /// The pool's number for the file.
    file_id: u64,
    schemas: Mutex<Vec<scan::KeptSchema>>,
}

impl Segment {
    pub fn meta(&self) -> &SegmentMeta {
        &self.meta
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Blocks of 65,536 rows, the last one shorter.
    pub fn blocks(&self) -> u32 {
        self.meta.rows.div_ceil(BLOCK_ROWS as u32)
    }

    pub fn statistics(&self) -> &SegmentStatistics {
        &self.statistics
    }
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment").field("path", &self.path).field("meta", &self.meta).finish_non_exhaustive()
    }
}
