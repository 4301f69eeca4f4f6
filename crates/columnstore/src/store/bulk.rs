//! Loading many rows: sorted segments written directly, which belong to the transaction until its
//! commit record names them.
//!
//! A load that stays small goes through the tail like any insert. Locks are taken at the end, so that
//! loads run side by side: the table's rows in this partition exclusively if there are keys to check,
//! else in intention, until the transaction ends. Keys are checked then, see [`super::bulk_keys`].

use super::Store;
use super::bulk_keys::{BYTES_PER_ROW, Loaded, LoadedKey, keys_of};
use super::insert::EncodedRows;
use crate::StoreError;
use crate::access::{OnDuplicate, WriteContext};
use crate::batch_size::batch_bytes;
use crate::deletes::DeleteVector;
use crate::partition::Partition;
use crate::partition::state::{Begin, SegmentFile, SegmentSource};
use crate::segment::{
    BLOCK_ROWS, BeginTimestamps, Segment, sort_to_segment_order, sync_segment, write_segment,
};
use crate::tail::row::{RowEncoder, RowLayout};
use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use env::Reservation;
use std::sync::Arc;
use txn::Mode;
use types::{PartitionId, TableDef, TableId};

/// Gathered bytes at which a segment is written before it is full.
const MOST_BYTES: usize = 256 << 20;
const LEAST_BYTES: usize = 8 << 20;

/// A load into one table of one partition. Dropped unfinished, it leaves nothing behind.
pub struct BulkLoad {
    store: Arc<Store>,
    partition: Arc<Partition>,
    ctx: WriteContext,
    table: TableId,
    def: Arc<TableDef>,
    layout: Arc<RowLayout>,
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    reserved: Reservation,
    /// Segments written, and all of their rows.
    written: Vec<Arc<SegmentFile>>,
    loaded: u64,
    /// What those rows have in keys that must be unique.
    keys: Vec<LoadedKey>,
    keys_reserved: Reservation,
    finished: bool,
}

impl Store {
    /// Begins a load. Its rows are seen by the transaction once it is finished, by others when the
    /// transaction has committed.
    pub fn begin_bulk(
        self: &Arc<Self>,
        ctx: &WriteContext,
        p: PartitionId,
        table: TableId,
    ) -> Result<BulkLoad, StoreError> {
        let partition = self.partition(p)?;
        self.leaf.wal.admit()?;
        let (def, layout) = {
            let mut core = partition.latch()?;
            core.enter(&self.leaf, ctx, table)?;
            let table = core.table(table)?;
            table.state.refuse_replaced()?;
            (table.state.def.clone(), table.layout()?)
        };
        let memory = &self.leaf.options.memory;
        Ok(BulkLoad {
            keys: keys_of(&def),
            partition,
            ctx: ctx.clone(),
            table,
            def,
            layout,
            batches: Vec::new(),
            rows: 0,
            bytes: 0,
            reserved: memory.reservation(),
            written: Vec::new(),
            loaded: 0,
            keys_reserved: memory.reservation(),
            finished: false,
            store: self.clone(),
        })
    }
}

impl BulkLoad {
    /// Takes rows with all columns of the table in its order.
    pub fn append(&mut self, rows: RecordBatch) -> Result<(), StoreError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        // Checks the columns.
        RowEncoder::new(&self.def, &self.layout, &rows)?;
        let options = &self.store.leaf.options;
        let (full, bulk) = (options.segment_rows, options.bulk_rows);
        let most = (options.memory.limit() / 64).clamp(LEAST_BYTES, MOST_BYTES);
        // The rows, and once more while they are sorted.
        let bytes = batch_bytes(&rows) * 2;
        if self.reserve(bytes).is_err() {
            if self.rows >= bulk.min(BLOCK_ROWS) {
                self.write_segment()?;
            }
            self.reserve(bytes)?;
        }
        let mut rest = rows;
        while self.rows + rest.num_rows() >= full {
            let fits = full - self.rows;
            self.rows = full;
            self.batches.push(rest.slice(0, fits));
            rest = rest.slice(fits, rest.num_rows() - fits);
            self.write_segment()?;
        }
        if rest.num_rows() > 0 {
            self.reserve(batch_bytes(&rest).min(bytes))?;
            self.rows += rest.num_rows();
            self.bytes += bytes;
            self.batches.push(rest);
        }
        if self.bytes >= most && self.rows >= bulk {
            self.write_segment()?;
        }
        Ok(())
    }

    fn reserve(&mut self, bytes: usize) -> Result<(), StoreError> {
        let missing = (self.bytes + bytes).saturating_sub(self.reserved.bytes());
        if missing > 0 && self.reserved.try_grow(missing).is_err() {
            self.store.leaf.pool.evict(missing);
            self.reserved.try_grow(missing)?;
        }
        Ok(())
    }

    /// Writes what was gathered as one segment, seen by the transaction only.
    fn write_segment(&mut self) -> Result<(), StoreError> {
        let Some(first) = self.batches.first() else { return Ok(()) };
        self.store.leaf.wal.admit()?;
        let schema = first.schema();
        let rows = concat_batches(&schema, &std::mem::take(&mut self.batches))?;
        let rows = sort_to_segment_order(&self.def, &rows)?;
        let id = {
            let mut core = self.partition.latch()?;
            core.txn(&self.ctx)?;
            core.table_mut(self.table)?.take_source()
        };
        let disk = self.store.leaf.disk.clone();
        let path = self.partition.segment_path(self.table, id);
        let meta = write_segment(disk.as_ref(), &path, id, &self.def, &rows, BeginTimestamps::AtCommit)?;
        let opened = Segment::open(disk.as_ref(), &path, meta, self.store.leaf.pool.clone());
        let file = match opened {
            Ok(segment) => SegmentFile::new(segment, disk),
            Err(error) => {
                // The first error counts; recovery removes what nothing names.
                let _ = disk.remove_file(&path);
                return Err(error);
            }
        };
        self.note_keys(id, &rows)?;
        self.loaded += rows.num_rows() as u64;
        self.written.push(file);
        (self.rows, self.bytes) = (0, 0);
        self.reserved.shrink(usize::MAX);
        Ok(())
    }

    fn note_keys(&mut self, source: u32, rows: &RecordBatch) -> Result<(), StoreError> {
        let bytes = rows.num_rows() * self.keys.len() * BYTES_PER_ROW;
        if self.keys_reserved.try_grow(bytes).is_err() {
            self.store.leaf.pool.evict(bytes);
            self.keys_reserved.try_grow(bytes)?;
        }
        self.keys.iter_mut().try_for_each(|key| key.note(&self.def, source, rows))
    }

    /// Ends the load: the keys are checked, the files durable, the rows seen by later statements of
    /// the transaction. Returns their number.
    pub fn finish(mut self) -> Result<u64, StoreError> {
        let small = self.written.is_empty() && self.rows < self.store.leaf.options.bulk_rows;
        if small {
            self.lock(Mode::Intention)?;
            let mut count = 0;
            for batch in std::mem::take(&mut self.batches) {
                let rows = EncodedRows::of(&self.def, &self.layout, &batch)?;
                let on_duplicate = OnDuplicate::Error;
                let inserted =
                    self.store.insert_rows(&self.partition, &self.ctx, self.table, &rows, on_duplicate)?;
                count += inserted.inserted;
            }
            self.finished = true;
            return Ok(count);
        }
        self.write_segment()?;
        self.lock(if self.keys.is_empty() { Mode::Intention } else { Mode::Exclusive })?;
        self.check_keys()?;
        let disk = self.store.leaf.disk.as_ref();
        for file in &self.written {
            sync_segment(disk, file.segment.path())?;
        }
        let folder = self.partition.segments_folder();
        disk.sync_dir(&folder).map_err(|error| StoreError::io(&folder, error))?;
        let mut core = self.partition.latch()?;
        core.enter(&self.store.leaf, &self.ctx, self.table)?;
        let slot = core.txn(&self.ctx)?.slot.clone();
        for file in &self.written {
            let source = SegmentSource {
                file: file.clone(),
                deletes: Arc::new(DeleteVector::default()),
                begin: Begin::Bulk { slot: slot.clone(), statement: self.ctx.statement },
            };
            core.add_bulk(&self.ctx, self.table, source)?;
        }
        drop(core);
        self.finished = true;
        self.store.leaf.counters.rows_loaded.add(self.loaded);
        Ok(self.loaded)
    }

    fn lock(&self, mode: Mode) -> Result<(), StoreError> {
        self.store.begin_write(&self.partition, &self.ctx, self.table, mode).map(|_| ())
    }

    fn check_keys(&mut self) -> Result<(), StoreError> {
        if self.keys.is_empty() {
            return Ok(());
        }
        // Nobody else changes the table now.
        let before = self.partition.latch()?.state(self.table)?.clone();
        let loaded = Loaded { def: &self.def, segments: &self.written, before: &before };
        self.keys.iter_mut().try_for_each(|key| key.check(&loaded))
    }
}

impl Drop for BulkLoad {
    fn drop(&mut self) {
        if !self.finished {
            self.written.iter().for_each(|file| file.doom());
        }
    }
}
