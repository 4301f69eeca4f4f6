//! A table's rows in one partition as one view sees them: pinned once, then scanned by as many threads
//! as like, without a lock.

mod few;
mod shape;

pub(crate) use few::Few;

use crate::access::ReadView;
use crate::deletes::{Gone, left_of};
use crate::filter::filter_batch_as;
use crate::keys::KeyUse;
use crate::partition::state::{Seen, SegmentSource, TableState};
use crate::predicate::Predicate;
use crate::scan::{BATCH_ROWS, ScanSpec, row_ref};
use crate::segment::ColumnStatistics;
use crate::segment::format::HIDDEN_BEGIN;
use crate::tail::entry::Entry;
use crate::tail::key::encode_key;
use crate::tail::row::{RowCollector, adapt};
use crate::tail::run::FrozenRun;
use crate::tail::slab::InOrder;
use crate::tail::statistics::{SAMPLE, is_stale, of_batch};
use crate::vectors::Vectors;
use crate::waiting::without_waiting;
use crate::{StoreError, filter_batch};
use arrow::array::{ArrayRef, AsArray, UInt32Array, UInt64Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::take_record_batch;
use arrow::datatypes::UInt64Type;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use hashbrown::HashMap;
use roaring::RoaringBitmap;
use shape::Shape;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use types::{ColumnId, TableDef, Timestamp, Value};

/// A key is used where it proposes at most one of so many rows, or at most so few.
const ROWS_PER_PROPOSED: u64 = 128;
const FEW_PROPOSED: u64 = 16;
/// Rows of a frozen run in a morsel.
const RUN_PIECE: usize = 16_384;
/// Entries of the tail in a morsel.
const TAIL_PIECE: usize = BATCH_ROWS;

#[derive(Debug, Clone)]
enum Piece {
    Block {
        segment: usize,
        block: u32,
    },
    Run {
        run: usize,
        rows: Range<usize>,
    },
    Tail {
        entries: Range<usize>,
    },
    /// Rows that a key proposes, ascending.
    SegmentRows {
        segment: usize,
        rows: Arc<[u32]>,
    },
    RunRows {
        run: usize,
        rows: Arc<[u32]>,
    },
    Entries {
        entries: Arc<[Arc<Entry>]>,
    },
}

/// So many morsels behind the one being scanned the disk is to be busy with.
pub const READ_AHEAD: usize = 2;

/// A part of a table that one thread scans at once.
#[derive(Debug, Clone)]
pub struct Morsel {
    piece: Piece,
    rows: u64,
}

impl Morsel {
    /// How many rows there are to look at, about.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn of_segment(segment: usize, rows: &[u32]) -> Morsel {
        Morsel { rows: rows.len() as u64, piece: Piece::SegmentRows { segment, rows: rows.into() } }
    }

    fn of_run(run: usize, rows: &[u32]) -> Morsel {
        Morsel { rows: rows.len() as u64, piece: Piece::RunRows { run, rows: rows.into() } }
    }

    fn of_entries(entries: Vec<Arc<Entry>>) -> Morsel {
        Morsel { rows: entries.len() as u64, piece: Piece::Entries { entries: entries.into() } }
    }
}

/// What is known of a table's rows in a partition, for the planner.
#[derive(Debug, Clone, Default)]
pub struct TableStatistics {
    pub rows: u64,
    /// Bytes of the segments on disk and of the tail in memory.
    pub bytes: u64,
    /// Of the rows in segments, frozen runs and the tail; of a large tail, by a sample.
    pub columns: Vec<ColumnStatistics>,
}

struct Pinned {
    state: Arc<TableState>,
    view: ReadView,
    /// Entries of the tail when the state was pinned.
    tail_len: usize,
    /// Places that the view's own transaction has moved rows from and written since.
    own: HashMap<u32, RoaringBitmap>,
    /// Deleted rows by segment, in the order of the state; computed when first asked for.
    hidden: Vec<OnceLock<Option<Arc<Gone>>>>,
}

#[derive(Clone)]
pub struct Snapshot {
    pinned: Arc<Pinned>,
}

/// What a key has in the tail and the runs.
enum Lookup {
    /// A row that the view sees; `None` if it does not pass.
    Found(Option<RecordBatch>),
    NotThere,
    /// A run has yet to be turned to columns.
    Unmade,
}

type Emit<'a> = dyn FnMut(RecordBatch) -> Result<bool, StoreError> + 'a;

impl Snapshot {
    pub(crate) fn new(state: Arc<TableState>, view: ReadView, own: HashMap<u32, RoaringBitmap>) -> Snapshot {
        let tail_len = state.tail.len();
        let hidden = state.segments.iter().map(|_| OnceLock::new()).collect();
        Snapshot { pinned: Arc::new(Pinned { state, view, tail_len, own, hidden }) }
    }

    /// The definition that the snapshot reads with.
    pub fn def(&self) -> &Arc<TableDef> {
        &self.pinned.state.def
    }

    pub fn view(&self) -> ReadView {
        self.pinned.view
    }

    /// The parts of the table in which rows may pass the predicates.
    pub fn morsels(&self, predicates: &[Predicate]) -> Vec<Morsel> {
        let state = &self.pinned.state;
        let mut morsels = Vec::new();
        let used = KeyUse::of_any(self.def(), predicates);
        for (at, segment) in state.segments.iter().enumerate() {
            if segment.seen(&self.pinned.view) == Seen::None {
                continue;
            }
            if let Some(rows) = used.as_ref().and_then(|used| self.proposed_of_segment(segment, used)) {
                morsels.extend(rows.chunks(BATCH_ROWS).map(|rows| Morsel::of_segment(at, rows)));
                continue;
            }
            for block in 0..segment.file.segment.blocks() {
                if segment.file.segment.may_match(block, predicates) {
                    let rows = segment.file.segment.block_rows(block).into();
                    morsels.push(Morsel { piece: Piece::Block { segment: at, block }, rows });
                }
            }
        }
        for (at, run) in state.runs.iter().enumerate() {
            if let Some(rows) = used.as_ref().and_then(|used| proposed_of_run(run, used)) {
                if !rows.is_empty() {
                    morsels.push(Morsel::of_run(at, &rows));
                }
                continue;
            }
            // A run that was not turned to columns yet has about as many rows as entries. The last
            // piece has no end, so nothing depends on the estimate.
            let rows = run.made().map_or(run.entries, |columns| columns.rows());
            let mut from = 0;
            while from + RUN_PIECE < rows {
                let piece = Piece::Run { run: at, rows: from..from + RUN_PIECE };
                morsels.push(Morsel { piece, rows: RUN_PIECE as u64 });
                from += RUN_PIECE;
            }
            let piece = Piece::Run { run: at, rows: from..usize::MAX };
            morsels.push(Morsel { piece, rows: rows.saturating_sub(from) as u64 });
        }
        if let Some(entries) = used.as_ref().and_then(|used| self.proposed_of_tail(used)) {
            if !entries.is_empty() {
                morsels.push(Morsel::of_entries(entries));
            }
            return morsels;
        }
        for from in (0..self.pinned.tail_len).step_by(TAIL_PIECE) {
            let entries = from..(from + TAIL_PIECE).min(self.pinned.tail_len);
            let rows = entries.len() as u64;
            morsels.push(Morsel { piece: Piece::Tail { entries }, rows });
        }
        morsels
    }

    /// Has the disk begin to read what a scan of a morsel will need: for the morsel that comes next, and
    /// [`READ_AHEAD`] behind it, of a scan that is going to visit all of them.
    pub fn read_ahead(&self, morsel: &Morsel, spec: &ScanSpec) {
        let Piece::Block { segment, block } = morsel.piece else { return };
        let Some(source) = self.pinned.state.segments.get(segment) else { return };
        let mut columns = spec.columns.clone();
        spec.predicates.iter().for_each(|predicate| predicate.columns(&mut |id| columns.push(id)));
        if source.seen(&self.pinned.view) == Seen::ByRow {
            columns.push(HIDDEN_BEGIN);
        }
        source.file.segment.read_ahead(block, columns.into_iter());
    }

    /// Visits the rows of a morsel that pass. Ends with `Ok(false)` as soon as `emit` returns it.
    pub fn scan(&self, morsel: &Morsel, spec: &ScanSpec, emit: &mut Emit<'_>) -> Result<bool, StoreError> {
        let state = &self.pinned.state;
        match &morsel.piece {
            Piece::Block { segment, block } => {
                let source = state.segments.get(*segment).ok_or_else(foreign)?;
                self.scan_block(*segment, source, *block, spec, emit)
            }
            Piece::Run { run, rows } => {
                let run = state.runs.get(*run).ok_or_else(foreign)?;
                self.scan_run(run, rows.clone(), spec, emit)
            }
            Piece::Tail { entries } => {
                let tail = &state.tail;
                tail.count_scanned(entries.end.saturating_sub(entries.start));
                let entries = tail.entries(entries.start, entries.end);
                let placed = entries.map(|(place, entry)| (row_ref(tail.source, place), entry));
                self.scan_entries(placed, spec, emit)
            }
            Piece::Entries { entries } => {
                let placed = entries.iter().map(|entry| (entry.place().to_ref(), entry));
                self.scan_entries(placed, spec, emit)
            }
            Piece::SegmentRows { segment, rows } => {
                let source = state.segments.get(*segment).ok_or_else(foreign)?;
                self.scan_segment_rows(*segment, source, rows, spec, emit)
            }
            Piece::RunRows { run, rows } => {
                let run = state.runs.get(*run).ok_or_else(foreign)?;
                self.scan_run_rows(run, rows, spec, emit)
            }
        }
    }

    /// The rows of a segment that a key proposes, if they are few. What cannot be read fails the scan of
    /// the blocks that is made instead.
    fn proposed_of_segment(&self, source: &SegmentSource, used: &KeyUse<'_>) -> Option<Vec<u32>> {
        self.in_segment(source, used, most_proposed(source.rows().into())).ok().flatten()
    }

    /// The entries of the tail that may have the values looked for, if they are few.
    fn proposed_of_tail(&self, used: &KeyUse<'_>) -> Option<Vec<Arc<Entry>>> {
        match self.in_tail(used, most_proposed(self.pinned.tail_len as u64 * 16), true).ok()? {
            InOrder::Entries(entries) => Some(entries),
            InOrder::TooMany | InOrder::Unmade => None,
        }
    }

    /// As [`Snapshot::scan`], with the rows as [`Vectors`], which are good until `emit` returns. `spec`
    /// asks for no row references.
    pub fn scan_vectors(
        &self,
        morsel: &Morsel,
        spec: &ScanSpec,
        vectors: &mut Vectors,
        emit: &mut dyn FnMut(&Vectors) -> Result<bool, StoreError>,
    ) -> Result<bool, StoreError> {
        let Piece::Block { segment, block } = &morsel.piece else {
            let types = spec.types(self.def())?;
            return self.scan(morsel, spec, &mut |batch| {
                vectors.set_batch(&batch, &types)?;
                emit(vectors)
            });
        };
        let source = self.pinned.state.segments.get(*segment).ok_or_else(foreign)?;
        let Some(visible) = self.visible(*segment, source, *block)? else { return Ok(true) };
        source.file.segment.scan_block_vectors(*block, self.def(), spec, visible.as_ref(), vectors, emit)
    }

    fn hidden(&self, at: usize, segment: &SegmentSource) -> Option<&Gone> {
        let hidden = self.pinned.hidden.get(at)?;
        let hidden = hidden.get_or_init(|| {
            let deleted = segment.deletes.hidden_at(self.pinned.view.ts);
            match (deleted, self.pinned.own.get(&segment.id())) {
                (deleted, None) => deleted,
                (None, Some(own)) => Some(Arc::new(own.clone().into())),
                (Some(deleted), Some(own)) => Some(Arc::new((&**deleted | own).into())),
            }
        });
        hidden.as_deref()
    }

    /// Which rows of a block the view sees: a bit for each, or `Some(None)` for all; `None` if no row.
    fn visible(
        &self,
        at: usize,
        source: &SegmentSource,
        block: u32,
    ) -> Result<Option<Option<BooleanBuffer>>, StoreError> {
        let rows = source.file.segment.block_rows(block) as usize;
        let begun = match source.seen(&self.pinned.view) {
            Seen::None => return Ok(None),
            Seen::All => None,
            Seen::ByRow => {
                let mut begin = Vec::new();
                source.begin_timestamps(block, &mut begin)?;
                Some(BooleanBuffer::collect_bool(rows, |row| begin[row] <= self.pinned.view.ts))
            }
        };
        let left = self.hidden(at, source).and_then(|gone| gone.left_of_block(block, rows));
        Ok(Some(both(begun, left)))
    }

    fn scan_block(
        &self,
        at: usize,
        source: &SegmentSource,
        block: u32,
        spec: &ScanSpec,
        emit: &mut Emit<'_>,
    ) -> Result<bool, StoreError> {
        let Some(visible) = self.visible(at, source, block)? else { return Ok(true) };
        source.file.segment.scan_block(block, self.def(), spec, visible.as_ref(), emit)
    }

    fn scan_run(
        &self,
        run: &FrozenRun,
        rows: Range<usize>,
        spec: &ScanSpec,
        emit: &mut Emit<'_>,
    ) -> Result<bool, StoreError> {
        let columns = run.columns()?;
        let from = rows.start.min(columns.rows());
        let count = rows.end.min(columns.rows()) - from;
        if count == 0 {
            return Ok(true);
        }
        let view = &self.pinned.view;
        let seen = columns.seen_at(view.ts).map(|seen| seen.slice(from, count));
        let mut visible =
            without(seen, run.deletes.hidden_at(view.ts).as_deref().map(|gone| &**gone), from as u32, count);
        visible = without(visible, self.pinned.own.get(&run.source), from as u32, count);
        let batch = adapt(&columns.def, self.def(), &columns.batch.slice(from, count))?;
        filter_batch(self.def(), &batch, spec, visible.as_ref(), row_ref(run.source, from as u32), emit)
    }

    /// Entries of the tail with the references of their rows.
    fn scan_entries<'a>(
        &self,
        entries: impl Iterator<Item = (u64, &'a Arc<Entry>)>,
        spec: &ScanSpec,
        emit: &mut Emit<'_>,
    ) -> Result<bool, StoreError> {
        let shape = Shape::of(self.def(), spec)?;
        let def = &shape.def;
        let mut collector = RowCollector::of_schema(def, shape.read.clone())?;
        let mut places = Vec::with_capacity(entries.size_hint().0);
        for (place, entry) in entries {
            if let Some(row) = entry.versions().seen(&self.pinned.view) {
                collector.push(def, row)?;
                places.push(place);
            }
        }
        if collector.rows() == 0 {
            return Ok(true);
        }
        let batch = collector.finish()?;
        filter_batch_as(def, &batch, spec, &shape.shown, None, 0, &mut |batch| {
            emit(if spec.row_refs { with_places(&batch, &places)? } else { batch })
        })
    }

    fn scan_segment_rows(
        &self,
        at: usize,
        source: &SegmentSource,
        rows: &[u32],
        spec: &ScanSpec,
        emit: &mut Emit<'_>,
    ) -> Result<bool, StoreError> {
        let view = &self.pinned.view;
        let mut rows: Vec<u32> =
            rows.iter().copied().filter(|row| !self.is_hidden(at, source, *row)).collect();
        match source.seen(view) {
            Seen::None => return Ok(true),
            Seen::All => {}
            Seen::ByRow => {
                let mut begin = Vec::with_capacity(rows.len());
                source.begin_of_rows(&rows, &mut begin)?;
                let mut begin = begin.into_iter();
                rows.retain(|_| begin.next().is_some_and(|begin| begin <= view.ts));
            }
        }
        if rows.is_empty() {
            return Ok(true);
        }
        let shape = Shape::of(self.def(), spec)?;
        let ids: Vec<ColumnId> = shape.def.columns.iter().map(|c| c.id).collect();
        let batch = source.file.segment.gather(&shape.def, &rows, &ids)?;
        filter_batch_as(&shape.def, &batch, spec, &shape.shown, None, 0, &mut |batch| {
            if !spec.row_refs {
                return emit(batch);
            }
            let places: Vec<u64> = rows.iter().map(|row| row_ref(source.id(), *row)).collect();
            emit(with_places(&batch, &places)?)
        })
    }

    fn scan_run_rows(
        &self,
        run: &FrozenRun,
        rows: &[u32],
        spec: &ScanSpec,
        emit: &mut Emit<'_>,
    ) -> Result<bool, StoreError> {
        let view = &self.pinned.view;
        let columns = run.columns()?;
        let own = self.pinned.own.get(&run.source);
        let is_seen = |row: &u32| {
            columns.is_seen(*row as usize, view.ts)
                && !own.is_some_and(|own| own.contains(*row))
                && !run.deletes.is_hidden(*row, view.ts)
        };
        let rows: Vec<u32> = rows.iter().copied().filter(is_seen).collect();
        if rows.is_empty() {
            return Ok(true);
        }
        let picked = take_record_batch(&columns.batch, &UInt32Array::from(rows.clone()))?;
        let batch = adapt(&columns.def, self.def(), &picked)?;
        filter_batch(self.def(), &batch, spec, None, 0, &mut |batch| {
            if !spec.row_refs {
                return emit(batch);
            }
            let places: Vec<u64> = rows.iter().map(|row| row_ref(run.source, *row)).collect();
            emit(with_places(&batch, &places)?)
        })
    }

    /// The row with this primary key, if there is one and it passes the predicates.
    pub fn get(&self, key: &[Value], spec: &ScanSpec) -> Result<Option<RecordBatch>, StoreError> {
        let Some(bytes) = self.encoded(key)? else { return Ok(None) };
        match self.find_in_memory(&bytes, spec, true)? {
            Lookup::Found(row) => Ok(row),
            Lookup::NotThere | Lookup::Unmade => self.find_in_segments(key, spec),
        }
    }

    /// The same if it can be said from what is in memory; `None` if not.
    pub(crate) fn get_in_memory(
        &self,
        key: &[Value],
        spec: &ScanSpec,
    ) -> Result<Option<Option<RecordBatch>>, StoreError> {
        let Some(bytes) = self.encoded(key)? else { return Ok(Some(None)) };
        match self.find_in_memory(&bytes, spec, false)? {
            Lookup::Found(row) => Ok(Some(row)),
            Lookup::Unmade => Ok(None),
            Lookup::NotThere => match without_waiting(|| self.find_in_segments(key, spec)) {
                Err(StoreError::WouldWait) => Ok(None),
                found => found.map(Some),
            },
        }
    }

    /// None: no row can have the key.
    fn encoded(&self, key: &[Value]) -> Result<Option<Box<[u8]>>, StoreError> {
        let def = self.def();
        if def.primary_key.is_empty() {
            return Err(StoreError::internal(format_args!("table {} has no primary key", def.name)));
        }
        Ok(encode_key(def, key))
    }

    /// Looks in the tail and the runs. `make`: turn runs to columns that are not yet.
    fn find_in_memory(&self, bytes: &[u8], spec: &ScanSpec, make: bool) -> Result<Lookup, StoreError> {
        let def = self.def();
        let state = &self.pinned.state;
        let view = &self.pinned.view;
        let mut found = None;
        let mut keep = |batch: RecordBatch| {
            found = Some(batch);
            Ok(false)
        };
        for entry in state.tail.find_all(bytes) {
            let versions = entry.versions();
            let Some(row) = versions.seen(view) else { continue };
            let place = entry.place().to_ref();
            let shape = Shape::of(def, spec)?;
            let mut collector = RowCollector::of_schema(&shape.def, shape.read.clone())?;
            collector.push(&shape.def, row)?;
            let batch = collector.finish()?;
            filter_batch_as(&shape.def, &batch, spec, &shape.shown, None, place, &mut keep)?;
            return Ok(Lookup::Found(found));
        }
        for run in state.runs.iter().rev() {
            let columns = match (run.made(), make) {
                (Some(columns), _) => columns,
                (None, true) => run.columns()?,
                (None, false) => return Ok(Lookup::Unmade),
            };
            for row in columns.find(bytes)? {
                let own = self.pinned.own.get(&run.source).is_some_and(|own| own.contains(row));
                if columns.is_seen(row as usize, view.ts) && !own && !run.deletes.is_hidden(row, view.ts) {
                    let batch = adapt(&columns.def, def, &columns.batch.slice(row as usize, 1))?;
                    filter_batch(def, &batch, spec, None, row_ref(run.source, row), &mut keep)?;
                    return Ok(Lookup::Found(found));
                }
            }
        }
        Ok(Lookup::NotThere)
    }

    fn find_in_segments(&self, key: &[Value], spec: &ScanSpec) -> Result<Option<RecordBatch>, StoreError> {
        let def = self.def();
        let view = &self.pinned.view;
        let mut found = None;
        let mut keep = |batch: RecordBatch| {
            found = Some(batch);
            Ok(false)
        };
        for (at, segment) in self.pinned.state.segments.iter().enumerate().rev() {
            let seen = segment.seen(view);
            if seen == Seen::None || outside(segment, def, key) {
                continue;
            }
            for row in segment.file.segment.find_key(def, key)? {
                if self.is_hidden(at, segment, row)
                    || (seen == Seen::ByRow && segment.begin_of(row)? > view.ts)
                {
                    continue;
                }
                let shape = Shape::of(def, spec)?;
                let ids: Vec<ColumnId> = shape.def.columns.iter().map(|c| c.id).collect();
                let batch = segment.file.segment.gather(&shape.def, &[row], &ids)?;
                let place = row_ref(segment.id(), row);
                filter_batch_as(&shape.def, &batch, spec, &shape.shown, None, place, &mut keep)?;
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// One row, without computing the bitmap of a whole segment.
    fn is_hidden(&self, at: usize, segment: &SegmentSource, row: u32) -> bool {
        match self.pinned.hidden.get(at).and_then(OnceLock::get) {
            Some(hidden) => hidden.as_ref().is_some_and(|hidden| hidden.contains(row)),
            None => {
                self.pinned.own.get(&segment.id()).is_some_and(|own| own.contains(row))
                    || segment.deletes.is_hidden(row, self.pinned.view.ts)
            }
        }
    }

    /// What is known of the active tail's columns: worked out anew when it has grown by a quarter.
    fn tail_statistics(&self) -> Result<Arc<Vec<ColumnStatistics>>, StoreError> {
        let tail = &self.pinned.state.tail;
        let mut known = tail.statistics.lock();
        if let Some((entries, statistics)) = known.as_ref()
            && !is_stale(*entries, self.pinned.tail_len)
        {
            return Ok(statistics.clone());
        }
        let def = self.def();
        let mut collector = RowCollector::new(def)?;
        let step = self.pinned.tail_len.div_ceil(SAMPLE).max(1);
        let mut looked_at = 0;
        for at in (0..self.pinned.tail_len).step_by(step) {
            looked_at += 1;
            if let Some(entry) = tail.get(at as u32)
                && let Some(row) = entry.versions().seen(&self.pinned.view)
            {
                collector.push(def, row)?;
            }
        }
        let rows = collector.rows() * step;
        let statistics = Arc::new(of_batch(def, &collector.finish()?, rows)?);
        // A view that sees few of the rows, of a load that has not committed, says little to others.
        if rows / step * 2 >= looked_at {
            *known = Some((self.pinned.tail_len, statistics.clone()));
        }
        Ok(statistics)
    }

    pub fn statistics(&self) -> TableStatistics {
        let state = &self.pinned.state;
        let mut statistics = TableStatistics {
            rows: self.pinned.tail_len as u64,
            bytes: state.tail.bytes() as u64,
            columns: Vec::new(),
        };
        fn add(columns: &mut Vec<ColumnStatistics>, more: &[ColumnStatistics], def: &TableDef) {
            for column in more.iter().filter(|c| def.column(c.column).is_some()) {
                match columns.iter_mut().find(|c| c.column == column.column) {
                    Some(whole) => merge_statistics(whole, column),
                    None => columns.push(column.clone()),
                }
            }
        }
        // Statistics are a help: a tail that cannot be read fails the scan, not the plan. A run that was
        // not turned to columns yet is left to its first scan.
        if self.pinned.tail_len > 0
            && let Ok(tail) = self.tail_statistics()
        {
            add(&mut statistics.columns, &tail, &state.def);
        }
        for run in &state.runs {
            statistics.rows += (run.entries as u64).saturating_sub(run.deletes.len());
            statistics.bytes += run.bytes as u64;
            if let Some(columns) = run.made() {
                add(&mut statistics.columns, columns.statistics(), &state.def);
            }
        }
        for segment in &state.segments {
            if segment.seen(&self.pinned.view) == Seen::None {
                continue;
            }
            let of = segment.file.segment.statistics();
            statistics.rows += of.rows.saturating_sub(segment.deletes.len());
            statistics.bytes += segment.file.segment.meta().bytes;
            add(&mut statistics.columns, &of.columns, &state.def);
        }
        let rows = statistics.rows;
        for column in &mut statistics.columns {
            column.distinct = column.distinct.min(rows.max(1));
        }
        statistics
    }
}

/// How many of so many rows a key may propose to be used.
fn most_proposed(rows: u64) -> usize {
    (rows / ROWS_PER_PROPOSED).max(FEW_PROPOSED) as usize
}

/// The rows of a run that a key proposes, if they are few.
fn proposed_of_run(run: &FrozenRun, used: &KeyUse<'_>) -> Option<Vec<u32>> {
    let columns = run.columns().ok()?;
    let most = most_proposed(columns.rows() as u64);
    columns.rows_by_key(used.columns, &used.ranges, most).ok().flatten()
}

fn foreign() -> StoreError {
    StoreError::internal("a morsel of another snapshot")
}

fn merge_statistics(whole: &mut ColumnStatistics, part: &ColumnStatistics) {
    let keep = |kept: &mut Option<Value>, other: &Option<Value>, wanted: std::cmp::Ordering| {
        let Some(value) = other else { return };
        if kept.as_ref().is_none_or(|kept| compare(value, kept) == Some(wanted)) {
            *kept = Some(value.clone());
        }
    };
    keep(&mut whole.min, &part.min, std::cmp::Ordering::Less);
    keep(&mut whole.max, &part.max, std::cmp::Ordering::Greater);
    whole.nulls += part.nulls;
    whole.bytes += part.bytes;
    whole.sketch.merge(&part.sketch);
    whole.distinct = whole.sketch.estimate().max(whole.distinct).max(part.distinct);
}

/// How two values of one type compare; None if they do not.
fn compare(a: &Value, b: &Value) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::UInt(a), Value::UInt(b)) => Some(a.cmp(b)),
        (Value::Decimal { unscaled: a, scale: s }, Value::Decimal { unscaled: b, scale: t }) if s == t => {
            Some(a.cmp(b))
        }
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Date(a), Value::Date(b)) => Some(a.cmp(b)),
        (Value::Time(a), Value::Time(b))
        | (Value::DateTime(a), Value::DateTime(b))
        | (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        (Value::Text(a), Value::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// Whether a segment cannot hold a key, by the range of its first column. Strings are left to the
/// segment: their bounds are cut.
pub(crate) fn outside(segment: &SegmentSource, def: &TableDef, key: &[Value]) -> bool {
    let (Some(first), Some(value)) = (def.primary_key.first(), key.first()) else { return false };
    if matches!(value, Value::Text(_) | Value::Bytes(_)) {
        return false;
    }
    let Some(column) = segment.file.segment.statistics().column(*first) else { return false };
    let is = |bound: &Option<Value>, wanted: std::cmp::Ordering| {
        bound.as_ref().and_then(|bound| compare(value, bound)) == Some(wanted)
    };
    is(&column.min, std::cmp::Ordering::Less) || is(&column.max, std::cmp::Ordering::Greater)
}

/// `visible` (None: all) without the rows `hidden`, for `rows` rows from `first` on.
fn without(
    visible: Option<BooleanBuffer>,
    hidden: Option<&RoaringBitmap>,
    first: u32,
    rows: usize,
) -> Option<BooleanBuffer> {
    let rows = first..first.saturating_add(rows as u32);
    let hidden = hidden.filter(|hidden| hidden.range_cardinality(rows.clone()) > 0);
    both(visible, hidden.map(|hidden| left_of(hidden, rows)))
}

/// The rows in both (None: all).
fn both(one: Option<BooleanBuffer>, other: Option<BooleanBuffer>) -> Option<BooleanBuffer> {
    match (one, other) {
        (Some(one), Some(other)) => Some(&one & &other),
        (one, other) => one.or(other),
    }
}

/// Replaces the last column, numbers of rows, by the references of those rows.
fn with_places(batch: &RecordBatch, places: &[u64]) -> Result<RecordBatch, StoreError> {
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    let numbers = columns.pop().ok_or_else(|| StoreError::internal("a batch without row references"))?;
    let numbers = numbers.as_primitive::<UInt64Type>();
    let refs = UInt64Array::from_iter_values(numbers.values().iter().map(|row| places[*row as usize]));
    columns.push(Arc::new(refs));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns, &options)?)
}

/// Keeps the watermark at or below a timestamp until it is dropped.
pub struct SnapshotHold {
    pub(crate) leaf: Arc<crate::store::leaf::Leaf>,
    pub(crate) ts: Timestamp,
}

impl Drop for SnapshotHold {
    fn drop(&mut self) {
        self.leaf.watermark.lock().release(self.ts);
    }
}
