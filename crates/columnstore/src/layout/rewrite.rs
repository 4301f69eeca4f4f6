//! One segment out of frozen runs or other segments.
//!
//! The rows are read and written without the latch. Under it, the edit is logged and installed: the
//! rows of the sources that were deleted in the meantime are looked up in the map from old rows to
//! new ones, and so are the places that entries of the tail were moved from.
//!
//! A row is left out if nobody who may still read sees it: it ended at or before the watermark.

use super::pick::{Job, SegmentShape, pick};
use crate::StoreError;
use crate::deletes::DeleteVector;
use crate::partition::Partition;
use crate::partition::core::Core;
use crate::partition::state::{Begin, SegmentFile, SegmentSource, TableState};
use crate::scan::ScanSpec;
use crate::segment::{
    BLOCK_ROWS, BeginTimestamps, Segment, sort_to_segment_order, sync_segment, write_segment,
};
use crate::store::Store;
use crate::store::inspect::JobShape;
use crate::tail::entry::{Entry, Place};
use crate::tail::row::adapt;
use crate::tail::run::FrozenRun;
use crate::wal::Record;
use crate::wal::record::AddedSegment;
use arrow::array::{ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, UInt32Type};
use arrow::record_batch::RecordBatch;
use hashbrown::HashMap;
use roaring::RoaringBitmap;
use std::sync::Arc;
use types::{ColumnId, TableDef, TableId, Timestamp};

/// A row that is not in the output.
const LEFT_OUT: u32 = u32::MAX;

/// Rows gathered from the sources, in their order.
#[derive(Default)]
struct Gathered {
    batches: Vec<RecordBatch>,
    begin: Vec<Timestamp>,
    /// Where each row stood.
    from: Vec<Place>,
    /// Ends of versions within runs that are later than the watermark.
    ends: Vec<(Place, Timestamp)>,
    /// Rows of each source.
    sources: Vec<(u32, usize)>,
}

impl Gathered {
    fn add_run(&mut self, def: &TableDef, run: &FrozenRun, watermark: Timestamp) -> Result<(), StoreError> {
        let columns = run.columns()?;
        let moved = run.deletes.hidden_at(watermark);
        let keep = BooleanBuffer::collect_bool(columns.rows(), |row| {
            columns.end[row] > watermark && !moved.as_ref().is_some_and(|moved| moved.contains(row as u32))
        });
        for row in keep.set_indices() {
            let place = Place { source: run.source, row: row as u32 };
            self.begin.push(columns.begin[row]);
            self.from.push(place);
            if columns.end[row] < Timestamp::MAX {
                self.ends.push((place, columns.end[row]));
            }
        }
        let kept = filter_record_batch(&columns.batch, &BooleanArray::new(keep, None))?;
        self.batches.push(adapt(&columns.def, def, &kept)?);
        self.sources.push((run.source, columns.rows()));
        Ok(())
    }

    fn add_segment(
        &mut self,
        def: &TableDef,
        source: &SegmentSource,
        watermark: Timestamp,
    ) -> Result<(), StoreError> {
        let segment = &source.file.segment;
        let spec = ScanSpec { columns: def.columns.iter().map(|c| c.id).collect(), ..ScanSpec::default() };
        let gone = source.deletes.hidden_at(watermark).unwrap_or_default();
        let mut begin = Vec::new();
        for block in 0..segment.blocks() {
            let rows = segment.block_rows(block) as usize;
            let first = block * BLOCK_ROWS as u32;
            let visible = (gone.range_cardinality(first..first + rows as u32) > 0)
                .then(|| BooleanBuffer::collect_bool(rows, |row| !gone.contains(first + row as u32)));
            source.begin_timestamps(block, &mut begin)?;
            for row in (0..rows).filter(|row| visible.as_ref().is_none_or(|v| v.value(*row))) {
                self.begin.push(begin[row]);
                self.from.push(Place { source: source.id(), row: first + row as u32 });
            }
            segment.scan_block(block, def, &spec, visible.as_ref(), &mut |batch| {
                self.batches.push(batch);
                Ok(true)
            })?;
        }
        self.sources.push((source.id(), segment.meta().rows as usize));
        Ok(())
    }

    /// The rows in segment order, with everything else brought to the same order.
    fn sorted(mut self, def: &TableDef) -> Result<Sorted, StoreError> {
        let schema = match self.batches.first() {
            Some(batch) => batch.schema(),
            None => {
                let ids: Vec<ColumnId> = def.columns.iter().map(|c| c.id).collect();
                crate::scan::output_schema(def, &ids, false)?
            }
        };
        let rows = concat_batches(&schema, &std::mem::take(&mut self.batches))?;
        if rows.num_rows() != self.from.len() {
            return Err(StoreError::internal(format_args!(
                "{} rows were read where {} stand",
                rows.num_rows(),
                self.from.len()
            )));
        }
        // The numbers of the rows are sorted along with them.
        let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("", DataType::UInt32, false)));
        let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
        columns.push(Arc::new(UInt32Array::from_iter_values(0..rows.num_rows() as u32)));
        let numbered = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        let sorted = sort_to_segment_order(def, &numbered)?;
        let last = sorted.num_columns() - 1;
        let order = sorted.column(last).as_primitive::<UInt32Type>().values().clone();
        let batch = sorted.project(&(0..last).collect::<Vec<_>>())?;
        let mut map = RowMap::new(&self.sources);
        for (new, old) in order.iter().enumerate() {
            map.set(self.from[*old as usize], new as u32);
        }
        Ok(Sorted {
            batch,
            begin: order.iter().map(|old| self.begin[*old as usize]).collect(),
            ends: self.ends,
            map,
        })
    }
}

struct Sorted {
    batch: RecordBatch,
    begin: Vec<Timestamp>,
    ends: Vec<(Place, Timestamp)>,
    map: RowMap,
}

/// Where the rows of the sources went.
struct RowMap {
    rows: HashMap<u32, Vec<u32>>,
}

impl RowMap {
    fn new(sources: &[(u32, usize)]) -> RowMap {
        RowMap { rows: sources.iter().map(|(source, rows)| (*source, vec![LEFT_OUT; *rows])).collect() }
    }

    fn set(&mut self, place: Place, new: u32) {
        if let Some(rows) = self.rows.get_mut(&place.source) {
            rows[place.row as usize] = new;
        }
    }

    fn has(&self, source: u32) -> bool {
        self.rows.contains_key(&source)
    }

    fn get(&self, place: Place) -> Option<u32> {
        let new = *self.rows.get(&place.source)?.get(place.row as usize)?;
        (new != LEFT_OUT).then_some(new)
    }
}

/// Runs and segments that one job replaces.
struct Sources {
    def: Arc<TableDef>,
    runs: Vec<Arc<FrozenRun>>,
    segments: Vec<SegmentSource>,
    /// The id of the segment to be made.
    id: u32,
    watermark: Timestamp,
}

impl Store {
    /// The next job of a table, if there is one.
    pub(crate) fn due(&self, partition: &Partition, table: TableId) -> Result<Option<Job>, StoreError> {
        let (state, watermark) = {
            let core = partition.latch()?;
            (core.state(table)?.clone(), core.watermark)
        };
        Ok(self.due_in(&state, watermark))
    }

    pub(crate) fn due_in(&self, state: &TableState, watermark: Timestamp) -> Option<Job> {
        let runs: Vec<u64> = state.runs.iter().map(|run| run.entries as u64).collect();
        let segments: Vec<SegmentShape> = state
            .segments
            .iter()
            .map(|segment| SegmentShape {
                id: segment.id(),
                rows: segment.rows().into(),
                gone: segment.deletes.gone_at(watermark),
                pending: segment.is_pending(),
            })
            .collect();
        pick(&runs, &segments, self.leaf.options.segment_rows as u64)
    }

    /// Moves the partition's watermark as far as it may go.
    pub(crate) fn advance_watermark(&self, core: &mut Core) -> Timestamp {
        core.watermark = core.watermark.max(self.leaf.watermark_for(core.timeline.applied()));
        core.watermark
    }

    /// Does one job. The caller holds the partition's layout job.
    pub(crate) fn run_job(&self, partition: &Partition, table: TableId, job: &Job) -> Result<(), StoreError> {
        let Some(sources) = self.sources(partition, table, job)? else { return Ok(()) };
        let _shown = partition.show_job(table, JobShape::of(&sources.runs, &sources.segments));
        // Rows are decoded, sorted and encoded: about so much, for that long. Flushes go on without:
        // they are what frees memory.
        let estimate: u64 = sources.segments.iter().map(|s| s.file.segment.meta().bytes * 6).sum();
        let _reserved = self.leaf.options.memory.try_reserve(estimate as usize)?;
        let mut gathered = Gathered::default();
        for run in &sources.runs {
            gathered.add_run(&sources.def, run, sources.watermark)?;
        }
        for segment in &sources.segments {
            gathered.add_segment(&sources.def, segment, sources.watermark)?;
        }
        let sorted = gathered.sorted(&sources.def)?;
        let segment = match sorted.batch.num_rows() {
            0 => None,
            _ => Some(self.write(partition, table, &sources, &sorted)?),
        };
        let counters = &self.leaf.counters;
        if sources.runs.is_empty() {
            counters.merges.add(1);
            counters.merged_rows.add(sorted.batch.num_rows() as u64);
        } else {
            counters.flushes.add(1);
        }
        let made = segment.clone();
        let installed = self.install(partition, table, &sources, &sorted, segment);
        if installed.is_err()
            && let Some(made) = made
        {
            made.doom();
        }
        installed
    }

    fn sources(
        &self,
        partition: &Partition,
        table: TableId,
        job: &Job,
    ) -> Result<Option<Sources>, StoreError> {
        let mut core = partition.latch()?;
        let watermark = self.advance_watermark(&mut core);
        let table = core.table_mut(table)?;
        let state = &table.state;
        let (runs, segments) = match job {
            Job::Flush { runs } => (state.runs.iter().take(*runs).cloned().collect(), Vec::new()),
            Job::Merge { segments } => {
                (Vec::new(), state.segments.iter().filter(|s| segments.contains(&s.id())).cloned().collect())
            }
        };
        if (runs.is_empty() && segments.is_empty()) || segments.iter().any(SegmentSource::is_pending) {
            return Ok(None);
        }
        let def = state.def.clone();
        Ok(Some(Sources { def, runs, segments, id: table.take_source(), watermark }))
    }

    fn write(
        &self,
        partition: &Partition,
        table: TableId,
        sources: &Sources,
        sorted: &Sorted,
    ) -> Result<Arc<SegmentFile>, StoreError> {
        let disk = self.leaf.disk.as_ref();
        let path = partition.segment_path(table, sources.id);
        let begin = match sorted.begin.first() {
            Some(first) if sorted.begin.iter().all(|ts| ts == first) => BeginTimestamps::All(*first),
            _ => BeginTimestamps::Each(&sorted.begin),
        };
        let made =
            write_segment(disk, &path, sources.id, &sources.def, &sorted.batch, begin).and_then(|meta| {
                sync_segment(disk, &path)?;
                let folder = partition.segments_folder();
                disk.sync_dir(&folder).map_err(|error| StoreError::io(&folder, error))?;
                Segment::open(disk, &path, meta, self.leaf.pool.clone())
            });
        match made {
            Ok(segment) => Ok(SegmentFile::new(segment, self.leaf.disk.clone())),
            Err(error) => {
                // The first error counts; recovery removes what nothing names.
                let _ = disk.remove_file(&path);
                Err(error)
            }
        }
    }

    fn install(
        &self,
        partition: &Partition,
        table: TableId,
        sources: &Sources,
        sorted: &Sorted,
        made: Option<Arc<SegmentFile>>,
    ) -> Result<(), StoreError> {
        let lsn = {
            let mut core = partition.latch()?;
            core.state(table)?;
            let deletes = carried_over(sources, sorted);
            let added = made
                .as_ref()
                .map(|file| AddedSegment { meta: file.segment.meta().clone(), deletes: deletes.clone() });
            let record = Record::Layout {
                table,
                watermark: sources.watermark,
                runs: sources.runs.iter().map(|run| run.source).collect(),
                segments: sources.segments.iter().map(SegmentSource::id).collect(),
                added: added.into_iter().collect(),
            };
            // A flush replaces nothing on disk: nobody waits for it.
            let lsn = core.append(&self.leaf, &record, !sources.segments.is_empty())?;
            core.edits += 1;
            let source = made.map(|file| SegmentSource {
                file,
                deletes: Arc::new(DeleteVector::new(RoaringBitmap::new(), deletes)),
                begin: Begin::Recorded,
            });
            core.install(table, |state| replace(state, sources, source))?;
            follow(&mut core, table, sources.id, &sorted.map);
            lsn
        };
        for run in &sources.runs {
            self.leaf.flushed(run.bytes);
        }
        if !sources.segments.is_empty() {
            partition.wait_durable(lsn)?;
            sources.segments.iter().for_each(|segment| segment.file.doom());
        }
        Ok(())
    }

    /// Shortens the lists of delete vectors to what is newer than the watermark.
    pub(crate) fn compact_deletes(&self, partition: &Partition, table: TableId) -> Result<(), StoreError> {
        const LONG: usize = 4_096;
        let mut core = partition.latch()?;
        let watermark = self.advance_watermark(&mut core);
        let is_long = |segment: &SegmentSource| segment.deletes.settled(watermark) >= LONG;
        if !core.state(table)?.segments.iter().any(is_long) {
            return Ok(());
        }
        core.install(table, |state| {
            for segment in state.segments.iter_mut().filter(|segment| is_long(segment)) {
                let (forever, list) = segment.deletes.split_at(watermark);
                segment.deletes = Arc::new(DeleteVector::new(forever, list));
            }
        })
    }
}

/// What is gone of the new segment's rows, in the order of timestamps.
fn carried_over(sources: &Sources, sorted: &Sorted) -> Vec<(u32, Timestamp)> {
    let mut deletes: Vec<(u32, Timestamp)> = Vec::new();
    let mut carry = |place: Place, since: Timestamp| {
        if let Some(row) = sorted.map.get(place) {
            deletes.push((row, since));
        }
    };
    sorted.ends.iter().for_each(|(place, end)| carry(*place, *end));
    let vectors = sources
        .runs
        .iter()
        .map(|run| (run.source, &run.deletes))
        .chain(sources.segments.iter().map(|segment| (segment.id(), segment.deletes.as_ref())));
    for (source, vector) in vectors {
        for (row, since) in vector.split_at(sources.watermark).1 {
            carry(Place { source, row }, since);
        }
    }
    deletes.sort_by_key(|(_, since)| *since);
    deletes
}

fn replace(state: &mut TableState, sources: &Sources, made: Option<SegmentSource>) {
    state.runs.retain(|run| !sources.runs.iter().any(|gone| gone.source == run.source));
    let is_gone = |segment: &SegmentSource| sources.segments.iter().any(|gone| gone.id() == segment.id());
    let at = state.segments.iter().position(is_gone).unwrap_or(state.segments.len());
    state.segments.retain(|segment| !is_gone(segment));
    if let Some(made) = made {
        state.segments.insert(at, made);
    }
}

/// Entries of the tail that were moved from a source follow their rows.
fn follow(core: &mut Core, table: TableId, source: u32, map: &RowMap) {
    let new_place = |place: Place| map.get(place).map(|row| Place { source, row });
    for (_, entry) in core.txns.values().flat_map(|txn| &txn.touched).filter(|(t, _)| *t == table) {
        if let Some(origin) = entry.origin().filter(|origin| map.has(origin.source)) {
            entry.set_origin(new_place(origin));
        }
    }
    let Ok(table) = core.table_mut(table) else { return };
    let old: Vec<Place> = table.moved.keys().filter(|place| map.has(place.source)).copied().collect();
    let entries: Vec<(Place, Arc<Entry>)> =
        old.into_iter().filter_map(|place| Some((place, table.moved.remove(&place)?))).collect();
    for (place, entry) in entries {
        if let Some(place) = new_place(place) {
            table.moved.insert(place, entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_knows_what_was_left_out() {
        let mut map = RowMap::new(&[(3, 2), (4, 1)]);
        map.set(Place { source: 3, row: 1 }, 7);
        assert_eq!(map.get(Place { source: 3, row: 1 }), Some(7));
        assert_eq!(map.get(Place { source: 3, row: 0 }), None);
        assert!(map.has(4) && !map.has(5));
    }
}
