//! What a reader pins: the active tail, frozen runs and segments of one table, as one immutable value.
//!
//! Freeze, flush, merge and schema changes install the next value. Between them only two things
//! happen to the parts: entries and versions are added to the tail, and rows are marked as gone; both
//! carry timestamps later than those of readers who pinned before.

use crate::StoreError;
use crate::access::ReadView;
use crate::deletes::DeleteVector;
use crate::segment::{BLOCK_ROWS, Segment, SegmentMeta};
use crate::tail::entry::{Fate, TxnSlot};
use crate::tail::run::FrozenRun;
use crate::tail::slab::Tail;
use env::Disk;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use types::{StatementNo, TableDef, Timestamp};

/// An open segment file. It is removed when the last reader lets go of it, once that was decided.
pub(crate) struct SegmentFile {
    pub(crate) segment: Segment,
    disk: Arc<dyn Disk>,
    doomed: AtomicBool,
}

impl SegmentFile {
    pub(crate) fn new(segment: Segment, disk: Arc<dyn Disk>) -> Arc<SegmentFile> {
        Arc::new(SegmentFile { segment, disk, doomed: AtomicBool::new(false) })
    }

    /// Nothing that is durable names the file any more.
    pub(crate) fn doom(&self) {
        self.doomed.store(true, Ordering::Release);
    }
}

impl Drop for SegmentFile {
    fn drop(&mut self) {
        if self.doomed.load(Ordering::Acquire)
            && let Err(error) = self.disk.remove_file(self.segment.path())
        {
            // The next recovery removes what nothing names.
            tracing::warn!(file = %self.segment.path().display(), %error, "a segment file stays for now");
        }
    }
}

/// When the rows of a segment began.
#[derive(Clone)]
pub(crate) enum Begin {
    /// As the segment and its meta say.
    Recorded,
    /// All with the commit of this transaction, in which this statement loaded them.
    Bulk { slot: Arc<TxnSlot>, statement: StatementNo },
}

/// Which rows of a segment a view sees, deleted ones aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    None,
    All,
    /// Those that began in time.
    ByRow,
}

#[derive(Clone)]
pub(crate) struct SegmentSource {
    pub(crate) file: Arc<SegmentFile>,
    pub(crate) deletes: Arc<DeleteVector>,
    pub(crate) begin: Begin,
}

impl SegmentSource {
    pub(crate) fn id(&self) -> u32 {
        self.file.segment.meta().id
    }

    pub(crate) fn rows(&self) -> u32 {
        self.file.segment.meta().rows
    }

    /// Whether the segment belongs to a transaction that is open.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(&self.begin, Begin::Bulk { slot, .. } if slot.fate() == Fate::Pending)
    }

    /// The meta with the timestamps of a commit that is in the log by now; None if there is none yet.
    pub(crate) fn logged_meta(&self) -> Option<SegmentMeta> {
        let mut meta = self.file.segment.meta().clone();
        if let Begin::Bulk { slot, .. } = &self.begin {
            let at = slot.appended()?;
            (meta.min_ts, meta.max_ts) = (at, at);
        }
        Some(meta)
    }

    pub(crate) fn seen(&self, view: &ReadView) -> Seen {
        match &self.begin {
            Begin::Bulk { slot, statement } if slot.is_seen(*statement, view) => Seen::All,
            Begin::Bulk { .. } => Seen::None,
            Begin::Recorded => {
                let meta = self.file.segment.meta();
                if meta.max_ts <= view.ts {
                    Seen::All
                } else if meta.min_ts > view.ts {
                    Seen::None
                } else {
                    Seen::ByRow
                }
            }
        }
    }

    /// Appends the timestamps at which the rows of a block began.
    pub(crate) fn begin_timestamps(&self, block: u32, out: &mut Vec<Timestamp>) -> Result<(), StoreError> {
        match &self.begin {
            Begin::Recorded => self.file.segment.begin_timestamps(block, out),
            Begin::Bulk { slot, .. } => {
                let at = match slot.fate() {
                    Fate::Committed(at) => at,
                    // Its own transaction reads it: nothing is newer.
                    Fate::Pending | Fate::Aborted => Timestamp::MAX,
                };
                out.clear();
                out.resize(self.file.segment.block_rows(block) as usize, at);
                Ok(())
            }
        }
    }

    /// When rows, given in ascending order, began.
    pub(crate) fn begin_of_rows(&self, rows: &[u32], out: &mut Vec<Timestamp>) -> Result<(), StoreError> {
        let meta = self.file.segment.meta();
        if matches!(self.begin, Begin::Recorded) && meta.min_ts == meta.max_ts {
            out.resize(out.len() + rows.len(), meta.max_ts);
            return Ok(());
        }
        if let Some(row) = rows.iter().find(|row| **row >= meta.rows) {
            return Err(StoreError::internal(format_args!("segment {} has no row {row}", meta.id)));
        }
        /// More rows of a block than these are quicker had with all of its timestamps.
        const FEW: usize = 1_024;
        let mut stamps = Vec::new();
        for rows in rows.chunk_by(|a, b| a / BLOCK_ROWS as u32 == b / BLOCK_ROWS as u32) {
            if matches!(self.begin, Begin::Recorded) && rows.len() <= FEW {
                let each = self.file.segment.begin_timestamps_of(rows)?;
                out.extend(each);
                continue;
            }
            self.begin_timestamps(rows[0] / BLOCK_ROWS as u32, &mut stamps)?;
            out.extend(rows.iter().map(|row| stamps[*row as usize % BLOCK_ROWS]));
        }
        Ok(())
    }

    /// When a row began.
    pub(crate) fn begin_of(&self, row: u32) -> Result<Timestamp, StoreError> {
        let mut begin = Vec::with_capacity(1);
        self.begin_of_rows(&[row], &mut begin)?;
        // Invariant: one timestamp for one row.
        Ok(begin[0])
    }
}

pub(crate) struct TableState {
    pub(crate) def: Arc<TableDef>,
    pub(crate) tail: Arc<Tail>,
    /// Oldest first.
    pub(crate) runs: Vec<Arc<FrozenRun>>,
    /// Oldest first.
    pub(crate) segments: Vec<SegmentSource>,
}

impl TableState {
    /// An error if no row of the table may change, since another one is to take its place.
    pub(crate) fn refuse_replaced(&self) -> Result<(), StoreError> {
        if self.def.replacement.is_some() { Err(StoreError::TableDefinitionChanged) } else { Ok(()) }
    }

    pub(crate) fn run(&self, source: u32) -> Option<&Arc<FrozenRun>> {
        self.runs.iter().find(|run| run.source == source)
    }

    pub(crate) fn segment(&self, source: u32) -> Option<&SegmentSource> {
        self.segments.iter().find(|segment| segment.id() == source)
    }

    /// Whether rows stand in the same runs and segments in both.
    pub(crate) fn same_layout(&self, other: &TableState) -> bool {
        self.runs.len() == other.runs.len()
            && self.segments.len() == other.segments.len()
            && self.runs.iter().zip(&other.runs).all(|(a, b)| a.source == b.source)
            && self.segments.iter().zip(&other.segments).all(|(a, b)| a.id() == b.id())
    }

    /// A copy to be changed and installed.
    pub(crate) fn next(&self) -> TableState {
        TableState {
            def: self.def.clone(),
            tail: self.tail.clone(),
            runs: self.runs.clone(),
            segments: self.segments.clone(),
        }
    }
}
