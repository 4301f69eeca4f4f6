//! Locking, updating and deleting rows by reference.
//!
//! A row of a run or segment is first moved to the tail: a record with the whole row, the delete bit
//! and the copy all at one timestamp. Nobody waits for that record: losing it changes no value.

use super::Store;
use super::insert::{CHUNK, EncodedRows, LogRows};
use crate::StoreError;
use crate::access::{IfLocked, LockOutcome, LockRequest, OnDuplicate, RowLockMode, WriteContext};
use crate::partition::Partition;
use crate::partition::core::Core;
use crate::partition::locking::LockKey;
use crate::partition::state::TableState;
use crate::tail::entry::{Entry, Place, Version, version_bytes};
use crate::tail::row::{Row, adapt};
use crate::tail::unique::{has_unique_keys, hashes_of, note_entry, note_row};
use crate::waiting::{wait_or_give_up, write_or_give_up};
use crate::wal::Record;
use crate::wal::record::{MovedRow, Origin, PART_BYTES};
use arrow::array::UInt32Array;
use arrow::compute::take_record_batch;
use arrow::record_batch::RecordBatch;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use txn::Mode;
use types::{ColumnId, PartitionId, TableDef, TableId, Timestamp};

/// How often a row's place is looked up again because it changed meanwhile.
const ROUNDS: usize = 8;

/// A row of a run or segment, read so that it can be moved.
struct ReadRow {
    place: Place,
    origin: Origin,
    original: Timestamp,
    bytes: Box<[u8]>,
    key: Option<Box<[u8]>>,
}

/// Where a reference leads.
enum Target {
    Entry(Arc<Entry>),
    /// To a row that stands there still, as the newest version, and must be moved.
    Row(Place),
    Gone,
}

fn resolve(core: &Core, table: TableId, place: Place) -> Result<Target, StoreError> {
    let table = core.table(table)?;
    let state = &table.state;
    if place.source == state.tail.source {
        return Ok(match state.tail.get(place.row) {
            Some(entry) => Target::Entry(entry.clone()),
            None => Target::Gone,
        });
    }
    if let Some(entry) = table.moved.get(&place) {
        return Ok(Target::Entry(entry.clone()));
    }
    let there = match (state.run(place.source), state.segment(place.source)) {
        (Some(run), _) => run.stands(place.row),
        (None, Some(segment)) if segment.is_pending() => {
            return Err(StoreError::Unsupported(
                "changing rows that the same transaction has loaded in bulk; commit the load first".into(),
            ));
        }
        (None, Some(segment)) => !segment.deletes.contains(place.row),
        (None, None) => false,
    };
    Ok(if there { Target::Row(place) } else { Target::Gone })
}

fn mode_of(request: &LockRequest) -> Mode {
    match request.mode {
        RowLockMode::Shared => Mode::Shared,
        RowLockMode::Exclusive => Mode::Exclusive,
    }
}

/// Whether a locked entry is as a reader at `read_at` saw it.
fn is_as_read(entry: &Entry, ctx: &WriteContext, read_at: Timestamp) -> bool {
    let versions = entry.versions();
    let Some(newest) = versions.newest() else { return false };
    if newest.row.is_none() {
        return false;
    }
    if newest.intent_of() == Some(ctx.txn) {
        return true;
    }
    newest.committed().is_some_and(|at| newest.original.unwrap_or(at) <= read_at)
}

impl Store {
    /// Locks rows that a reader found. Rows that changed since stay locked where they can be; the
    /// caller reads again. Under REPEATABLE READ a changed row is a conflict (1213).
    pub fn lock_rows(
        &self,
        ctx: &WriteContext,
        p: PartitionId,
        table: TableId,
        rows: &[u64],
        request: LockRequest,
    ) -> Result<LockOutcome, StoreError> {
        write_or_give_up(rows.len())?;
        let partition = self.partition(p)?;
        self.leaf.wal.admit()?;
        self.begin_write(&partition, ctx, table, Mode::Intention)?;
        let mut outcome = LockOutcome::default();
        for chunk in rows.chunks(CHUNK) {
            let mut left = chunk.to_vec();
            for _ in 0..ROUNDS {
                let to_move = self.lock_in_tail(&partition, ctx, table, &left, request, &mut outcome)?;
                if to_move.is_empty() {
                    left.clear();
                    break;
                }
                left = self.move_rows(&partition, ctx, table, &to_move, request, &mut outcome.changed)?;
            }
            outcome.changed |= !left.is_empty();
        }
        if outcome.changed && ctx.snapshot.is_some() { Err(StoreError::Deadlock) } else { Ok(outcome) }
    }

    /// Locks the rows that stand in the tail; returns the places of the others.
    fn lock_in_tail(
        &self,
        partition: &Partition,
        ctx: &WriteContext,
        table: TableId,
        refs: &[u64],
        request: LockRequest,
        outcome: &mut LockOutcome,
    ) -> Result<Vec<Place>, StoreError> {
        let mode = mode_of(&request);
        let mut to_move = Vec::new();
        let mut core = partition.latch()?;
        for row in refs {
            if core.txn(ctx)?.refs.contains_key(&(table, *row)) {
                continue;
            }
            match resolve(&core, table, Place::of_ref(*row))? {
                Target::Entry(entry) => {
                    let had = match request.if_locked {
                        IfLocked::Wait => {
                            partition.lock_entry(&self.leaf, &mut core, ctx, (table, &entry), mode)?;
                            true
                        }
                        IfLocked::Fail | IfLocked::Skip => {
                            core.try_lock_entry(&self.leaf, ctx, (table, &entry), mode)?
                        }
                    };
                    if !had && request.if_locked == IfLocked::Fail {
                        return Err(StoreError::CannotLockNow);
                    } else if !had {
                        outcome.skipped.push(*row);
                    } else if is_as_read(&entry, ctx, request.read_at) {
                        core.txn(ctx)?.refs.insert((table, *row), entry);
                    } else {
                        outcome.changed = true;
                    }
                }
                Target::Row(place) => to_move.push(place),
                Target::Gone => outcome.changed = true,
            }
        }
        Ok(to_move)
    }

    /// Moves rows to the tail, locked; returns the references of those that were gone meanwhile.
    pub(super) fn move_rows(
        &self,
        partition: &Partition,
        ctx: &WriteContext,
        table: TableId,
        places: &[Place],
        request: LockRequest,
        changed: &mut bool,
    ) -> Result<Vec<u64>, StoreError> {
        let (state, layout) = {
            let core = partition.latch()?;
            let table = core.table(table)?;
            (table.state.clone(), table.layout()?)
        };
        let mut read = Vec::with_capacity(places.len());
        let mut by_source: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for place in places {
            by_source.entry(place.source).or_default().push(place.row);
        }
        for (source, mut rows) in by_source {
            rows.sort_unstable();
            rows.dedup();
            read_rows(&state, &layout, source, &rows, &mut read)?;
        }
        let bytes: usize = read.iter().map(row_bytes).sum();
        self.reserve(&state.tail, bytes)?;

        let mut core = partition.latch()?;
        core.txn(ctx)?;
        if core.state(table)?.def.version != layout.version {
            return Err(StoreError::TableDefinitionChanged);
        }
        let mut again: Vec<u64> = Vec::new();
        let mut found = Vec::with_capacity(read.len());
        for row in read {
            if row.original > request.read_at {
                *changed = true;
            } else if matches!(resolve(&core, table, row.place)?, Target::Row(_)) {
                found.push(row);
            } else {
                again.push(row.place.to_ref());
            }
        }
        // What was not even read stands in a source that is no more.
        let is_known =
            |place: &Place| state.run(place.source).is_some() || state.segment(place.source).is_some();
        again.extend(places.iter().filter(|place| !is_known(place)).map(|place| place.to_ref()));
        if !found.is_empty() {
            self.put_moved(&mut core, ctx, table, found, &layout, mode_of(&request), bytes)?;
            if core.freeze_is_due(&self.leaf, table) && core.freeze(&self.leaf, table)? {
                self.workers.look_at(partition.id);
            }
        }
        Ok(again)
    }

    #[allow(clippy::too_many_arguments)]
    fn put_moved(
        &self,
        core: &mut Core,
        ctx: &WriteContext,
        table: TableId,
        rows: Vec<ReadRow>,
        layout: &Arc<crate::tail::row::RowLayout>,
        mode: Mode,
        bytes: usize,
    ) -> Result<(), StoreError> {
        let now = self.leaf.now_millis();
        self.leaf.cover_commit(core.timeline.next(now))?;
        let at = core.timeline.take(now);
        let state = core.state(table)?.clone();
        let file = self.leaf.wal.current_file();
        let version = layout.version;
        let mut parts = Vec::new();
        let mut part = Vec::new();
        let mut part_bytes = 0;
        self.leaf.counters.rows_moved.add(rows.len() as u64);
        for row in rows {
            let size = row_bytes(&row);
            let id = core.take_entry();
            let entry = Arc::new(Entry::new(id, row.key, Some(row.place), file));
            part_bytes += row.bytes.len();
            part.push(MovedRow {
                origin: row.origin,
                entry: id,
                original: row.original,
                row: row.bytes.to_vec(),
            });
            if part_bytes >= PART_BYTES {
                parts.push(std::mem::take(&mut part));
                part_bytes = 0;
            }
            let gone = match (state.run(row.place.source), state.segment(row.place.source)) {
                (Some(run), _) => run.deletes.insert(row.place.row, at),
                (None, Some(segment)) => segment.deletes.insert(row.place.row, at),
                (None, None) => false,
            };
            debug_assert!(gone, "the row stood there under this latch");
            entry.push(Version::moved(at, row.original, Row { layout: layout.clone(), bytes: row.bytes }));
            // Nobody else knows the entry yet, so its lock is free.
            core.locks.acquire(ctx.txn, LockKey::Row(id), mode);
            core.table_mut(table)?.moved.insert(row.place, entry.clone());
            let txn = core.txn(ctx)?;
            txn.touched.push((table, entry.clone()));
            txn.refs.insert((table, row.place.to_ref()), entry.clone());
            note_entry(&state.tail, &state.def, &entry)?;
            state.tail.push(entry);
            state.tail.count(size);
        }
        parts.push(part);
        for rows in parts.into_iter().filter(|part| !part.is_empty()) {
            core.append(&self.leaf, &Record::Move { table, version, at, rows }, false)?;
        }
        self.leaf.unflushed.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// The entries of rows that this transaction has locked.
    fn locked(
        &self,
        core: &mut Core,
        ctx: &WriteContext,
        table: TableId,
        refs: &[u64],
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        refs.iter()
            .map(|row| {
                if let Some(entry) = core.txn(ctx)?.refs.get(&(table, *row)) {
                    return Ok(entry.clone());
                }
                match resolve(core, table, Place::of_ref(*row))? {
                    Target::Entry(entry)
                        if core.locks.held_by(ctx.txn, &LockKey::Row(entry.id)) == Some(Mode::Exclusive) =>
                    {
                        Ok(entry)
                    }
                    _ => Err(StoreError::internal("a row is to be changed that was not locked")),
                }
            })
            .collect()
    }

    /// Gives locked rows new values, all columns of them. A row whose key changes is deleted and
    /// inserted anew, after all others were changed.
    pub fn update(
        &self,
        ctx: &WriteContext,
        p: PartitionId,
        table: TableId,
        rows: &[u64],
        new: &RecordBatch,
    ) -> Result<(), StoreError> {
        write_or_give_up(rows.len())?;
        let partition = self.partition(p)?;
        self.leaf.wal.admit()?;
        if rows.len() != new.num_rows() {
            return Err(StoreError::internal("not one new row for each row to be changed"));
        }
        let (def, layout) = self.begin_write(&partition, ctx, table, Mode::Intention)?;
        let encoded = EncodedRows::of(&def, &layout, new)?;
        if !encoded.unique.is_empty() {
            // They are checked after the rows were written.
            wait_or_give_up()?;
        }
        let mut rekeyed: Vec<u32> = Vec::new();
        // Rows whose values of unique keys may have changed, and their entries.
        let mut revalued: Vec<(usize, u64)> = Vec::new();
        for from in (0..rows.len()).step_by(CHUNK) {
            let chunk = from..(from + CHUNK).min(rows.len());
            let tail = partition.latch()?.state(table)?.tail.clone();
            self.reserve(&tail, encoded.bytes(chunk.clone()))?;
            drop(tail);
            let mut core = partition.latch()?;
            let mut entries = self.locked(&mut core, ctx, table, &rows[chunk.clone()])?;
            if !encoded.unique.is_empty() {
                let hashes = changed_values(&def, &encoded, chunk.clone(), &entries, &mut revalued)?;
                self.lock_values(&partition, &mut core, ctx, table, hashes)?;
                // The latch may have been released: a freeze moves entries, and not their identity.
                entries = self.locked(&mut core, ctx, table, &rows[chunk.clone()])?;
            }
            let has_same_key = |at: usize, entry: &Entry| match (&encoded.keys, &entry.key) {
                (Some(keys), Some(key)) => keys.bytes[at] == *key,
                _ => true,
            };
            if !chunk.clone().zip(&entries).all(|(at, entry)| has_same_key(at, entry)) {
                // Such rows are written twice, the second time after a search for their keys.
                wait_or_give_up()?;
            }
            let tail = core.state(table)?.tail.clone();
            let mut log = LogRows::new(ctx, table, layout.version);
            let mut bytes = 0;
            for (at, entry) in chunk.zip(entries) {
                let row = has_same_key(at, &entry).then(|| encoded.row(at));
                log.push(&mut core, |payload| match &row {
                    Some(row) => payload.update(entry.id, &row.bytes),
                    None => payload.delete(entry.id),
                });
                match &row {
                    Some(row) => note_row(&tail, &def, &entry, row)?,
                    None => rekeyed.push(at as u32),
                }
                core.txn(ctx)?.write(&entry, ctx.statement, row);
                tail.count(encoded.version_bytes(at));
                bytes += encoded.version_bytes(at);
            }
            self.finish_write(&partition, &mut core, ctx, table, log, bytes)?;
        }
        revalued.retain(|(row, _)| !rekeyed.contains(&(*row as u32)));
        if !rekeyed.is_empty() {
            let moved = take_record_batch(new, &UInt32Array::from(rekeyed))?;
            let moved = EncodedRows::of(&def, &layout, &moved)?;
            self.insert_rows(&partition, ctx, table, &moved, OnDuplicate::Error)?;
        }
        self.check_unique(&partition, table, &encoded.unique, &revalued)?;
        self.leaf.counters.rows_updated.add(rows.len() as u64);
        Ok(())
    }

    /// Deletes locked rows.
    pub fn delete(
        &self,
        ctx: &WriteContext,
        p: PartitionId,
        table: TableId,
        rows: &[u64],
    ) -> Result<(), StoreError> {
        write_or_give_up(rows.len())?;
        let partition = self.partition(p)?;
        self.leaf.wal.admit()?;
        let (def, layout) = self.begin_write(&partition, ctx, table, Mode::Intention)?;
        for chunk in rows.chunks(CHUNK) {
            let tail = partition.latch()?.state(table)?.tail.clone();
            self.reserve(&tail, chunk.len() * version_bytes(0, 0))?;
            drop(tail);
            let mut core = partition.latch()?;
            let mut entries = self.locked(&mut core, ctx, table, chunk)?;
            if has_unique_keys(&def) {
                let mut hashes = Vec::new();
                for entry in &entries {
                    if let Some(row) = entry.versions().newest().and_then(|version| version.row.as_ref()) {
                        hashes.extend(hashes_of(&def, row)?);
                    }
                }
                self.lock_values(&partition, &mut core, ctx, table, hashes)?;
                entries = self.locked(&mut core, ctx, table, chunk)?;
            }
            let tail = core.state(table)?.tail.clone();
            let mut log = LogRows::new(ctx, table, layout.version);
            let mut bytes = 0;
            for entry in entries {
                log.push(&mut core, |payload| payload.delete(entry.id));
                core.txn(ctx)?.write(&entry, ctx.statement, None);
                tail.count(version_bytes(0, 0));
                bytes += version_bytes(0, 0);
            }
            self.finish_write(&partition, &mut core, ctx, table, log, bytes)?;
        }
        self.leaf.counters.rows_deleted.add(rows.len() as u64);
        Ok(())
    }
}

/// The hashes of values of unique keys that rows of a chunk bring or take away, where those differ.
/// `revalued` takes up the rows that bring some, and their entries.
fn changed_values(
    def: &TableDef,
    new: &EncodedRows,
    chunk: Range<usize>,
    entries: &[Arc<Entry>],
    revalued: &mut Vec<(usize, u64)>,
) -> Result<Vec<u64>, StoreError> {
    let mut hashes = Vec::new();
    for (at, entry) in chunk.zip(entries) {
        let old = match entry.versions().newest().and_then(|version| version.row.as_ref()) {
            Some(row) => hashes_of(def, row)?,
            None => Vec::new(),
        };
        let new: Vec<u64> = new.value_hashes(at).collect();
        if new.iter().any(|hash| !old.contains(hash)) {
            revalued.push((at, entry.id));
        }
        hashes.extend(new.iter().filter(|hash| !old.contains(hash)));
        hashes.extend(old.iter().filter(|hash| !new.contains(hash)));
    }
    Ok(hashes)
}

fn row_bytes(row: &ReadRow) -> usize {
    version_bytes(row.bytes.len(), row.key.as_ref().map_or(0, |key| key.len()))
}

/// Reads rows of one run or segment; nothing if it is not in the state.
fn read_rows(
    state: &TableState,
    layout: &Arc<crate::tail::row::RowLayout>,
    source: u32,
    rows: &[u32],
    out: &mut Vec<ReadRow>,
) -> Result<(), StoreError> {
    let def = &state.def;
    let mut push = |batch: &RecordBatch, of: &dyn Fn(usize) -> Result<(Origin, Timestamp), StoreError>| {
        let encoded = EncodedRows::of(def, layout, batch)?;
        let keys = encoded.keys.map(|keys| keys.bytes);
        for (i, bytes) in encoded.rows.into_iter().enumerate() {
            let (origin, original) = of(i)?;
            let key = keys.as_ref().map(|keys| keys[i].clone());
            let place = Place { source, row: rows[i] };
            out.push(ReadRow { place, origin, original, bytes, key });
        }
        Ok::<(), StoreError>(())
    };
    if let Some(run) = state.run(source) {
        let columns = run.columns()?;
        let picked = take_record_batch(&columns.batch, &UInt32Array::from(rows.to_vec()))?;
        let batch = adapt(&columns.def, def, &picked)?;
        return push(&batch, &|i| {
            let row = rows[i] as usize;
            Ok((Origin::Run { source, entry: columns.ids[row] }, columns.original[row]))
        });
    }
    let Some(segment) = state.segment(source) else { return Ok(()) };
    let ids: Vec<ColumnId> = def.columns.iter().map(|c| c.id).collect();
    let batch = segment.file.segment.gather(def, rows, &ids)?;
    let mut begin = Vec::with_capacity(rows.len());
    segment.begin_of_rows(rows, &mut begin)?;
    push(&batch, &|i| Ok((Origin::Segment { source, row: rows[i] }, begin[i])))
}
