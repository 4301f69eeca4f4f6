//! Loading many rows: sorted segments written directly, which belong to the transaction until its
//! commit record names them.
//!
//! A load that stays small goes through the tail like any insert. Locks are taken at the end, so that
//! loads run side by side: the table's rows in this partition exclusively if there are keys to check,
//! else in intention, until the transaction ends. Keys are checked then: against one another by sorting their hashes and comparing neighbours, and
//! against rows that were there before by looking up the hash of each.

use super::Store;
use super::insert::EncodedRows;
use crate::StoreError;
use crate::access::{OnDuplicate, WriteContext};
use crate::batch_size::batch_bytes;
use crate::deletes::DeleteVector;
use crate::partition::Partition;
use crate::partition::state::{Begin, SegmentFile, SegmentSource, TableState};
use crate::scan::ScanSpec;
use crate::segment::{
    BLOCK_ROWS, BeginTimestamps, Segment, sort_to_segment_order, sync_segment, write_segment,
};
use crate::tail::entry::Place;
use crate::tail::key::{Keys, key_text};
use crate::tail::row::{RowCollector, RowEncoder, RowLayout, adapt};
use crate::tail::unique::has_unique_keys;
use arrow::array::ArrayRef;
use arrow::buffer::BooleanBuffer;
use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use env::Reservation;
use std::sync::Arc;
use txn::Mode;
use types::{ColumnId, PartitionId, SqlType, TableDef, TableId, Timestamp, shard};

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
    /// (hash of the key, place) of every row in those; of a table with a primary key.
    keys: Vec<(u64, Place)>,
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
            (table.state.def.clone(), table.layout()?)
        };
        if has_unique_keys(&def) {
            return Err(StoreError::Unsupported("bulk loads into tables with unique keys".into()));
        }
        let memory = &self.leaf.options.memory;
        Ok(BulkLoad {
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
            keys: Vec::new(),
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
        if self.def.primary_key.is_empty() {
            return Ok(());
        }
        let bytes = rows.num_rows() * size_of::<(u64, Place)>();
        if self.keys_reserved.try_grow(bytes).is_err() {
            self.store.leaf.pool.evict(bytes);
            self.keys_reserved.try_grow(bytes)?;
        }
        let hashes = hashes(&self.def, rows, |id| self.def.position(id))?;
        self.keys.extend((0..).zip(hashes).map(|(row, hash)| (hash, Place { source, row })));
        Ok(())
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
        self.lock(if self.def.primary_key.is_empty() { Mode::Intention } else { Mode::Exclusive })?;
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

    fn duplicate(&self, key: &[types::Value]) -> StoreError {
        let of = |id: &ColumnId| self.def.column(*id).map(|column| column.ty);
        let types: Vec<SqlType> = self.def.primary_key.iter().filter_map(of).collect();
        StoreError::DuplicateKey {
            table: self.def.name.clone(),
            key: "PRIMARY".into(),
            value: key_text(key, &types),
        }
    }

    fn key_columns(&self) -> TableDef {
        let mut def = (*self.def).clone();
        def.columns.retain(|column| def.primary_key.contains(&column.id));
        def
    }

    /// The key of a loaded row.
    fn key_at(&self, def: &TableDef, place: Place) -> Result<Keys, StoreError> {
        let segment = &self
            .written
            .iter()
            .find(|file| file.segment.meta().id == place.source)
            .ok_or_else(|| StoreError::internal("a load lost a segment"))?
            .segment;
        let ids: Vec<ColumnId> = def.columns.iter().map(|column| column.id).collect();
        Keys::of(def, &segment.gather(def, &[place.row], &ids)?)?
            .ok_or_else(|| StoreError::internal("a load without keys"))
    }

    fn check_keys(&mut self) -> Result<(), StoreError> {
        if self.def.primary_key.is_empty() {
            return Ok(());
        }
        self.keys.sort_unstable();
        let def = self.key_columns();
        for same in self.keys.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() > 1) {
            let keys =
                same.iter().map(|(_, place)| self.key_at(&def, *place)).collect::<Result<Vec<_>, _>>()?;
            for (i, key) in keys.iter().enumerate() {
                if keys[..i].iter().any(|other| other.bytes[0] == key.bytes[0]) {
                    return Err(self.duplicate(&key.values[0]));
                }
            }
        }
        let state = self.partition.latch()?.state(self.table)?.clone();
        self.check_existing(&def, &state)
    }

    /// Nobody else changes the table now: what the state has is all there is.
    fn check_existing(&self, def: &TableDef, state: &TableState) -> Result<(), StoreError> {
        let filter = HashFilter::of(&self.keys);
        let check = |batch: &RecordBatch| -> Result<(), StoreError> {
            let position = |id| def.position(id);
            for (row, hash) in hashes(def, batch, position)?.into_iter().enumerate() {
                if !filter.may_have(hash) {
                    continue;
                }
                let from = self.keys.partition_point(|(h, _)| *h < hash);
                for (_, place) in self.keys[from..].iter().take_while(|(h, _)| *h == hash) {
                    let Some(existing) = Keys::of(def, &batch.slice(row, 1))? else { continue };
                    if self.key_at(def, *place)?.bytes[0] == existing.bytes[0] {
                        return Err(self.duplicate(&existing.values[0]));
                    }
                }
            }
            Ok(())
        };
        let ids: Vec<ColumnId> = def.columns.iter().map(|column| column.id).collect();
        let spec = ScanSpec { columns: ids, ..ScanSpec::default() };
        for source in &state.segments {
            let gone = source.deletes.hidden_at(Timestamp::MAX).unwrap_or_default();
            for block in 0..source.file.segment.blocks() {
                let rows = source.file.segment.block_rows(block) as usize;
                let first = block * BLOCK_ROWS as u32;
                let visible = (!gone.is_empty())
                    .then(|| BooleanBuffer::collect_bool(rows, |row| !gone.contains(first + row as u32)));
                source.file.segment.scan_block(block, def, &spec, visible.as_ref(), &mut |batch| {
                    check(&batch)?;
                    Ok(true)
                })?;
            }
        }
        for run in &state.runs {
            let columns = run.columns()?;
            let live: Vec<u32> = (0..columns.rows() as u32)
                .filter(|row| columns.end[*row as usize] == Timestamp::MAX && !run.deletes.contains(*row))
                .collect();
            let rows = adapt(&columns.def, &self.def, &columns.batch)?;
            let at: Vec<usize> = def.columns.iter().filter_map(|c| self.def.position(c.id)).collect();
            let keys = arrow::compute::take_record_batch(
                &rows.project(&at)?,
                &arrow::array::UInt32Array::from(live),
            )?;
            check(&keys)?;
        }
        let mut collector = RowCollector::new(def)?;
        for (_, entry) in state.tail.entries(0, state.tail.len()) {
            if let Some(row) = entry.versions().newest().and_then(|version| version.row.as_ref()) {
                collector.push(def, row)?;
            }
        }
        check(&collector.finish()?)
    }
}

impl Drop for BulkLoad {
    fn drop(&mut self) {
        if !self.finished {
            self.written.iter().for_each(|file| file.doom());
        }
    }
}

/// Hashes of the keys of a batch, in which `position` finds the columns.
fn hashes(
    def: &TableDef,
    batch: &RecordBatch,
    position: impl Fn(ColumnId) -> Option<usize>,
) -> Result<Vec<u64>, StoreError> {
    let columns = def
        .primary_key
        .iter()
        .map(|id| position(*id).map(|at| batch.column(at).clone()))
        .collect::<Option<Vec<ArrayRef>>>()
        .ok_or_else(|| StoreError::internal("a key column is missing"))?;
    shard::hash_columns(&columns, batch.num_rows()).map_err(StoreError::internal)
}

/// Tells quickly that a hash is not among those loaded.
struct HashFilter {
    bits: Vec<u64>,
    shift: u32,
}

impl HashFilter {
    fn of(keys: &[(u64, Place)]) -> HashFilter {
        let size = (keys.len() * 16).next_power_of_two().clamp(1 << 10, 1 << 32);
        let shift = 64 - size.ilog2();
        let mut bits = vec![0u64; size / 64];
        for (hash, _) in keys {
            let bit = hash >> shift;
            bits[(bit / 64) as usize] |= 1 << (bit % 64);
        }
        HashFilter { bits, shift }
    }

    fn may_have(&self, hash: u64) -> bool {
        let bit = hash >> self.shift;
        self.bits[(bit / 64) as usize] & (1 << (bit % 64)) != 0
    }
}
