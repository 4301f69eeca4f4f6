//! Inserting rows: keys checked, rows made intents in the tail, their bytes sent to the log unsynced.
//!
//! A key is taken if its newest committed row exists, in the tail, a run or a segment. An entry of the
//! tail is locked before it is judged, so a key that another transaction is inserting or deleting is
//! waited for.

use super::Store;
use super::existing::Existing;
use crate::StoreError;
use crate::access::{InsertOutcome, OnDuplicate, WriteContext};
use crate::partition::core::Core;
use crate::partition::locking::{Had, LockKey};
use crate::partition::{Latch, Partition};
use crate::tail::entry::{Entry, Stamp, Version, version_bytes};
use crate::tail::key::{Keys, key_text};
use crate::tail::row::{Row, RowEncoder, RowLayout};
use crate::wal::record::WritePayload;
use arrow::record_batch::RecordBatch;
use hashbrown::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use txn::Mode;
use types::{PartitionId, SqlType, TableDef, TableId};

/// Rows that are written under one hold of the latch.
pub(crate) const CHUNK: usize = 512;

/// Rows as the tail takes them.
pub(crate) struct EncodedRows {
    pub(crate) layout: Arc<RowLayout>,
    pub(crate) rows: Vec<Box<[u8]>>,
    pub(crate) keys: Option<Keys>,
}

impl EncodedRows {
    pub(crate) fn of(
        def: &TableDef,
        layout: &Arc<RowLayout>,
        batch: &RecordBatch,
    ) -> Result<EncodedRows, StoreError> {
        let encoder = RowEncoder::new(def, layout, batch)?;
        let rows = (0..batch.num_rows()).map(|row| encoder.encode(row)).collect();
        Ok(EncodedRows { layout: layout.clone(), rows, keys: Keys::of(def, batch)? })
    }

    pub(crate) fn row(&self, at: usize) -> Row {
        Row { layout: self.layout.clone(), bytes: self.rows[at].clone() }
    }

    /// What the rows take in the tail.
    pub(crate) fn bytes(&self, rows: Range<usize>) -> usize {
        rows.map(|at| self.version_bytes(at)).sum()
    }

    pub(crate) fn version_bytes(&self, at: usize) -> usize {
        version_bytes(self.rows[at].len(), self.keys.as_ref().map_or(0, |keys| keys.bytes[at].len()))
    }
}

fn duplicate(def: &TableDef, keys: &Keys, at: usize) -> StoreError {
    let types: Vec<SqlType> =
        def.primary_key.iter().filter_map(|id| def.column(*id).map(|column| column.ty)).collect();
    StoreError::DuplicateKey {
        table: def.name.clone(),
        key: "PRIMARY".into(),
        value: key_text(&keys.values[at], &types),
    }
}

/// Whether a row that is to be inserted finds its key free, and where it goes.
enum Free {
    /// In this entry, whose row is deleted or was never committed.
    In(Arc<Entry>),
    New,
    Taken,
}

impl Store {
    /// Inserts rows, which have all columns of the table in its order.
    pub fn insert(
        &self,
        ctx: &WriteContext,
        p: PartitionId,
        table: TableId,
        rows: &RecordBatch,
        on_duplicate: OnDuplicate,
    ) -> Result<InsertOutcome, StoreError> {
        let partition = self.partition(p)?;
        self.leaf.wal.admit()?;
        let (def, layout) = self.begin_write(&partition, ctx, table, Mode::Intention)?;
        let rows = EncodedRows::of(&def, &layout, rows)?;
        self.insert_rows(&partition, ctx, table, &rows, on_duplicate)
    }

    /// What every write starts with: the statement's number, the table's version, the table's lock.
    pub(crate) fn begin_write(
        &self,
        partition: &Partition,
        ctx: &WriteContext,
        table: TableId,
        mode: Mode,
    ) -> Result<(Arc<TableDef>, Arc<RowLayout>), StoreError> {
        let mut core = partition.latch()?;
        core.enter(&self.leaf, ctx, table)?;
        let had = partition.acquire(&self.leaf, &mut core, ctx, (LockKey::Table(table), mode), None)?;
        if had == Had::AfterWaiting {
            core.enter(&self.leaf, ctx, table)?;
        }
        let table = core.table(table)?;
        Ok((table.state.def.clone(), table.layout()?))
    }

    pub(crate) fn insert_rows(
        &self,
        partition: &Partition,
        ctx: &WriteContext,
        table: TableId,
        rows: &EncodedRows,
        on_duplicate: OnDuplicate,
    ) -> Result<InsertOutcome, StoreError> {
        let mut outcome = InsertOutcome::default();
        for from in (0..rows.rows.len()).step_by(CHUNK) {
            let chunk = from..(from + CHUNK).min(rows.rows.len());
            let tail = partition.latch()?.state(table)?.tail.clone();
            self.reserve(&tail, rows.bytes(chunk.clone()))?;
            drop(tail);
            let inserted = self.insert_chunk(partition, ctx, table, rows, chunk.clone(), on_duplicate)?;
            outcome.inserted += inserted;
            outcome.ignored += chunk.len() as u64 - inserted;
        }
        self.leaf.counters.rows_inserted.add(outcome.inserted);
        Ok(outcome)
    }

    fn insert_chunk(
        &self,
        partition: &Partition,
        ctx: &WriteContext,
        table: TableId,
        rows: &EncodedRows,
        chunk: Range<usize>,
        on_duplicate: OnDuplicate,
    ) -> Result<u64, StoreError> {
        loop {
            let searched = partition.latch()?.state(table)?.clone();
            let existing = match &rows.keys {
                Some(keys) if !(searched.runs.is_empty() && searched.segments.is_empty()) => {
                    Existing::find(&searched, keys, chunk.clone())?
                }
                _ => Existing::none(chunk.len()),
            };
            let mut core = partition.latch()?;
            core.txn(ctx)?;
            if rows.keys.is_some() && !core.state(table)?.same_layout(&searched) {
                continue;
            }
            let Some(places) = self.places(partition, &mut core, ctx, table, rows, &chunk, &existing)? else {
                continue;
            };
            let mut free = Vec::with_capacity(chunk.len());
            for (at, place) in chunk.clone().zip(places) {
                match (place, &rows.keys) {
                    (Free::Taken, Some(keys)) if on_duplicate == OnDuplicate::Error => {
                        return Err(duplicate(&core.state(table)?.def, keys, at));
                    }
                    (Free::Taken, _) => {}
                    (Free::In(entry), _) => free.push((at, Some(entry))),
                    (Free::New, _) => free.push((at, None)),
                }
            }
            let inserted = free.len() as u64;
            self.write_chunk(partition, &mut core, ctx, table, rows, free)?;
            return Ok(inserted);
        }
    }

    /// Where each row of a chunk goes; its entries in the tail are locked then. None if a lock had to
    /// be waited for: look again.
    #[allow(clippy::too_many_arguments)]
    fn places(
        &self,
        partition: &Partition,
        core: &mut Latch<'_>,
        ctx: &WriteContext,
        table: TableId,
        rows: &EncodedRows,
        chunk: &Range<usize>,
        existing: &Existing,
    ) -> Result<Option<Vec<Free>>, StoreError> {
        let Some(keys) = &rows.keys else {
            return Ok(Some(chunk.clone().map(|_| Free::New).collect()));
        };
        let state = core.state(table)?.clone();
        let mut seen = HashSet::with_capacity(if chunk.len() > 1 { chunk.len() } else { 0 });
        let mut places = Vec::with_capacity(chunk.len());
        for (i, at) in chunk.clone().enumerate() {
            let key = &keys.bytes[at];
            if chunk.len() > 1 && !seen.insert(key) {
                places.push(Free::Taken);
                continue;
            }
            let Some(entry) = state.tail.find(key) else {
                let taken = existing.is_there(i, &state);
                places.push(if taken { Free::Taken } else { Free::New });
                continue;
            };
            if partition.lock_entry(&self.leaf, core, ctx, table, &entry)? == Had::AfterWaiting {
                return Ok(None);
            }
            let place = {
                let versions = entry.versions();
                match versions.newest() {
                    Some(version) if version.row.is_some() => Free::Taken,
                    Some(_) => Free::In(entry.clone()),
                    // An insert that was rolled back; older rows may stand elsewhere.
                    None if existing.is_there(i, &state) => Free::Taken,
                    None => Free::In(entry.clone()),
                }
            };
            places.push(place);
        }
        Ok(Some(places))
    }

    fn write_chunk(
        &self,
        partition: &Partition,
        core: &mut Latch<'_>,
        ctx: &WriteContext,
        table: TableId,
        rows: &EncodedRows,
        free: Vec<(usize, Option<Arc<Entry>>)>,
    ) -> Result<(), StoreError> {
        if free.is_empty() {
            return Ok(());
        }
        let slot = core.txn(ctx)?.slot.clone();
        let tail = core.state(table)?.tail.clone();
        let file = self.leaf.wal.current_file();
        let mut log = LogRows::new(ctx, table, rows.layout.version);
        let mut bytes = 0;
        for (at, entry) in free {
            let entry = match entry {
                Some(entry) => entry,
                None => {
                    let key = rows.keys.as_ref().map(|keys| keys.bytes[at].clone());
                    let entry = Arc::new(Entry::new(core.take_entry(), key, None, file));
                    // Nobody else knows the entry yet, so its lock is free.
                    core.locks.acquire(ctx.txn, LockKey::Row(entry.id), Mode::Exclusive);
                    core.txn(ctx)?.touched.push((table, entry.clone()));
                    tail.push(entry.clone());
                    entry
                }
            };
            log.push(core, |payload| payload.insert(entry.id, &rows.rows[at]));
            entry.push(Version::new(Stamp::Of(slot.clone()), ctx.statement, Some(rows.row(at))));
            let size = rows.version_bytes(at);
            tail.count(size);
            bytes += size;
        }
        self.finish_write(partition, core, ctx, table, log, bytes)
    }

    /// Sends what was written to the log, and freezes the tail if it has grown enough.
    pub(crate) fn finish_write(
        &self,
        partition: &Partition,
        core: &mut Latch<'_>,
        ctx: &WriteContext,
        table: TableId,
        log: LogRows,
        bytes: usize,
    ) -> Result<(), StoreError> {
        core.txn(ctx)?.logged = true;
        log.send(self, core)?;
        let unflushed = self.leaf.unflushed.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if core.freeze_is_due(&self.leaf, table) && core.freeze(&self.leaf, table)? {
            self.workers.look_at(partition.id);
        }
        if unflushed > self.leaf.options.unflushed_bytes {
            self.workers.make_room();
        }
        Ok(())
    }
}

/// Write records in the making: rows gathered into parts.
pub(crate) struct LogRows {
    ctx: WriteContext,
    table: TableId,
    version: u64,
    part: WritePayload,
    done: Vec<crate::wal::Append>,
}

impl LogRows {
    pub(crate) fn new(ctx: &WriteContext, table: TableId, version: u64) -> LogRows {
        let part = WritePayload::new(ctx.txn, ctx.statement, table, version);
        LogRows { ctx: ctx.clone(), table, version, part, done: Vec::new() }
    }

    pub(crate) fn push(&mut self, core: &mut Core, add: impl FnOnce(&mut WritePayload)) {
        add(&mut self.part);
        if self.part.is_full() {
            self.cut(core);
        }
    }

    fn cut(&mut self, core: &mut Core) {
        let next = WritePayload::new(self.ctx.txn, self.ctx.statement, self.table, self.version);
        if let Some(payload) = std::mem::replace(&mut self.part, next).finish() {
            self.done.push(core.number(WritePayload::KIND, payload, false));
        }
    }

    fn send(mut self, store: &Store, core: &mut Core) -> Result<(), StoreError> {
        self.cut(core);
        store.leaf.wal.append(self.done)
    }
}
