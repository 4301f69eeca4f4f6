//! Inserting rows: keys checked, rows made intents in the tail, their bytes sent to the log unsynced.
//!
//! A key is taken if its newest committed row exists, in the tail, a run or a segment. An entry of the
//! tail is locked before it is judged, so a key that another transaction is inserting or deleting is
//! waited for. For unique keys beside the primary one see [`super::unique`].

use super::Store;
use super::existing::Existing;
use super::unique::{Outside, Owner, owner};
use crate::StoreError;
use crate::access::{
    Conflict, IfLocked, InsertOutcome, InsertedOrLocked, LockRequest, OnDuplicate, RowLockMode, WriteContext,
};
use crate::partition::core::Core;
use crate::partition::locking::{Had, LockKey};
use crate::partition::{Latch, Partition};
use crate::tail::entry::{Entry, Place, version_bytes};
use crate::tail::key::Keys;
use crate::tail::row::{Row, RowCollector, RowEncoder, RowLayout};
use crate::tail::unique::{UniqueValues, note_row};
use crate::waiting::write_or_give_up;
use crate::wal::record::WritePayload;
use arrow::array::UInt32Array;
use arrow::compute::take_record_batch;
use arrow::record_batch::RecordBatch;
use hashbrown::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use txn::Mode;
use types::{PartitionId, TableDef, TableId, Timestamp};

/// Rows that are written under one hold of the latch.
pub(crate) const CHUNK: usize = 512;

/// Rows as the tail takes them.
pub(crate) struct EncodedRows {
    pub(crate) layout: Arc<RowLayout>,
    pub(crate) rows: Vec<Box<[u8]>>,
    pub(crate) keys: Option<Keys>,
    pub(crate) unique: Vec<UniqueValues>,
}

impl EncodedRows {
    pub(crate) fn of(
        def: &TableDef,
        layout: &Arc<RowLayout>,
        batch: &RecordBatch,
    ) -> Result<EncodedRows, StoreError> {
        let encoder = RowEncoder::new(def, layout, batch)?;
        let rows = (0..batch.num_rows()).map(|row| encoder.encode(row)).collect();
        let (keys, unique) = (Keys::of(def, batch)?, UniqueValues::of(def, batch)?);
        Ok(EncodedRows { layout: layout.clone(), rows, keys, unique })
    }

    /// Whether rows may meet one another or others.
    fn has_keys(&self) -> bool {
        self.keys.is_some() || !self.unique.is_empty()
    }

    /// The hashes of a row's values in unique keys.
    pub(crate) fn value_hashes(&self, at: usize) -> impl Iterator<Item = u64> + '_ {
        self.unique.iter().filter_map(move |key| key.values[at].as_ref().map(|value| value.hash))
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

fn duplicate(def: &TableDef, rows: &EncodedRows, at: usize, meeting: &Meeting) -> StoreError {
    if let Some(unique) = rows.unique.iter().find(|unique| unique.number == meeting.key) {
        return super::unique::duplicate(def, unique, at);
    }
    let value = rows.keys.as_ref().map(|keys| keys.shown.text(at)).unwrap_or_default();
    StoreError::DuplicateKey { table: def.name.clone(), key: "PRIMARY".into(), value }
}

/// What has a key of a row that is to be inserted.
enum Met {
    /// An entry of the tail.
    Entry(Arc<Entry>),
    /// A row of a run or segment.
    Outside(Place),
    /// A row before it among those that are inserted together.
    Before,
}

struct Meeting {
    /// 0: the primary key; else the number of the unique one.
    key: u32,
    met: Met,
}

impl Meeting {
    fn owner(key: u32, owner: Owner) -> Meeting {
        let met = match owner {
            Owner::Entry(entry) => Met::Entry(entry),
            Owner::Outside(place) => Met::Outside(place),
        };
        Meeting { key, met }
    }
}

/// What a row finds that is to be inserted.
struct Situation {
    at: usize,
    /// An entry with the row's primary key whose row is deleted or was never committed: the new one
    /// goes there. It is locked.
    entry: Option<Arc<Entry>>,
    /// None: the row can be inserted.
    meetings: Vec<Meeting>,
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
        write_or_give_up(rows.num_rows())?;
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
        self.enter_locked(partition, &mut core, ctx, table, mode)?;
        let table = core.table(table)?;
        table.state.refuse_replaced()?;
        Ok((table.state.def.clone(), table.layout()?))
    }

    /// A statement enters, and has its transaction hold the table's rows in this partition.
    fn enter_locked(
        &self,
        partition: &Partition,
        core: &mut Latch<'_>,
        ctx: &WriteContext,
        table: TableId,
        mode: Mode,
    ) -> Result<(), StoreError> {
        core.enter(&self.leaf, ctx, table)?;
        let had = partition.acquire(&self.leaf, core, ctx, (LockKey::Table(table), mode), None)?;
        if had == Had::AfterWaiting {
            core.enter(&self.leaf, ctx, table)?;
        }
        Ok(())
    }

    /// Keeps all others from changing rows of a table in this partition, until the transaction ends: those that
    /// did have ended. Done by a later statement again, it fails if the partition has lost the transaction.
    pub fn lock_table(&self, ctx: &WriteContext, p: PartitionId, table: TableId) -> Result<(), StoreError> {
        let partition = self.partition(p)?;
        self.leaf.wal.admit()?;
        let mut core = partition.latch()?;
        self.enter_locked(&partition, &mut core, ctx, table, Mode::Exclusive)
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
            let done = self.insert_chunk(partition, ctx, table, rows, chunk, on_duplicate)?;
            outcome.inserted += done.inserted;
            outcome.ignored += done.ignored;
            let more = InsertOutcome::MOST_REASONS.saturating_sub(outcome.reasons.len());
            outcome.reasons.extend(done.reasons.into_iter().take(more));
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
    ) -> Result<InsertOutcome, StoreError> {
        loop {
            let Some((mut core, situations)) = self.look(partition, ctx, table, rows, &chunk)? else {
                continue;
            };
            let mut free = Vec::with_capacity(chunk.len());
            let mut reasons = Vec::new();
            for Situation { at, entry, meetings } in situations {
                match meetings.first() {
                    None => free.push((at, entry)),
                    Some(meeting) if on_duplicate == OnDuplicate::Error => {
                        return Err(duplicate(&core.state(table)?.def, rows, at, meeting));
                    }
                    Some(meeting) => {
                        reasons.push(duplicate(&core.state(table)?.def, rows, at, meeting).to_string());
                    }
                }
            }
            let inserted = free.len() as u64;
            self.write_chunk(partition, &mut core, ctx, table, rows, free)?;
            return Ok(InsertOutcome { inserted, ignored: chunk.len() as u64 - inserted, reasons });
        }
    }

    /// Inserts the rows whose keys are free. Where rows have one of them already those are locked, so
    /// that the caller can change them. A row with a key in common with one before it is left for later.
    pub fn insert_or_lock(
        &self,
        ctx: &WriteContext,
        p: PartitionId,
        table: TableId,
        rows: &RecordBatch,
    ) -> Result<InsertedOrLocked, StoreError> {
        let partition = self.partition(p)?;
        self.leaf.wal.admit()?;
        let (def, layout) = self.begin_write(&partition, ctx, table, Mode::Intention)?;
        let all = EncodedRows::of(&def, &layout, rows)?;
        let (now, again) = first_of_each_key(&all);
        let rows = match again.is_empty() {
            true => all,
            false => {
                EncodedRows::of(&def, &layout, &take_record_batch(rows, &UInt32Array::from(now.clone()))?)?
            }
        };
        let mut inserted = 0;
        let mut conflicts = Vec::new();
        let mut existing = RowCollector::new(&def)?;
        for from in (0..rows.rows.len()).step_by(CHUNK) {
            let chunk = from..(from + CHUNK).min(rows.rows.len());
            let tail = partition.latch()?.state(table)?.tail.clone();
            self.reserve(&tail, rows.bytes(chunk.clone()))?;
            drop(tail);
            let (count, met) = self.insert_or_lock_chunk(&partition, ctx, table, &rows, chunk)?;
            inserted += count;
            for (conflict, row) in met {
                existing.push(&def, &row)?;
                conflicts.push(Conflict { row: now[conflict.row as usize], ..conflict });
            }
        }
        self.leaf.counters.rows_inserted.add(inserted);
        Ok(InsertedOrLocked { inserted, conflicts, existing: existing.finish()?, again })
    }

    /// How many rows were inserted, and whom the others met, with the newest versions of those.
    fn insert_or_lock_chunk(
        &self,
        partition: &Partition,
        ctx: &WriteContext,
        table: TableId,
        rows: &EncodedRows,
        chunk: Range<usize>,
    ) -> Result<(u64, Vec<(Conflict, Row)>), StoreError> {
        'again: loop {
            let Some((mut core, situations)) = self.look(partition, ctx, table, rows, &chunk)? else {
                continue;
            };
            let mut to_move: Vec<Place> = Vec::new();
            for meeting in situations.iter().flat_map(|situation| &situation.meetings) {
                match &meeting.met {
                    Met::Outside(place) => to_move.push(*place),
                    Met::Entry(_) => {}
                    Met::Before => return Err(StoreError::internal("two new rows have a key in common")),
                }
            }
            if !to_move.is_empty() {
                drop(core);
                to_move.sort_unstable();
                to_move.dedup();
                let request = LockRequest {
                    read_at: ctx.snapshot.unwrap_or(Timestamp::MAX),
                    mode: RowLockMode::Exclusive,
                    if_locked: IfLocked::Wait,
                };
                let mut changed = false;
                self.move_rows(partition, ctx, table, &to_move, request, &mut changed)?;
                if changed {
                    // Newer than the snapshot of REPEATABLE READ.
                    return Err(StoreError::Deadlock);
                }
                continue;
            }
            let mut free = Vec::with_capacity(chunk.len());
            let mut found = Vec::new();
            for Situation { at, entry, meetings } in situations {
                if meetings.is_empty() {
                    free.push((at, entry));
                    continue;
                }
                for Meeting { key, met } in meetings {
                    let Met::Entry(entry) = met else { continue };
                    let lock =
                        partition.lock_entry(&self.leaf, &mut core, ctx, (table, &entry), Mode::Exclusive)?;
                    if lock == Had::AfterWaiting {
                        continue 'again;
                    }
                    let row = newest_row(&entry, ctx)?;
                    let existing = entry.place().to_ref();
                    core.txn(ctx)?.refs.insert((table, existing), entry);
                    found.push((Conflict { row: at as u32, key, existing }, row));
                }
            }
            let inserted = free.len() as u64;
            self.write_chunk(partition, &mut core, ctx, table, rows, free)?;
            return Ok((inserted, found));
        }
    }

    /// What the rows of a chunk find, and the latch under which that holds. The entries in the tail
    /// with their primary keys are locked, and their values of unique keys. None: a lock had to be
    /// waited for, or the layout changed: look again.
    fn look<'p>(
        &self,
        partition: &'p Partition,
        ctx: &WriteContext,
        table: TableId,
        rows: &EncodedRows,
        chunk: &Range<usize>,
    ) -> Result<Option<(Latch<'p>, Vec<Situation>)>, StoreError> {
        if !rows.has_keys() {
            let mut core = partition.latch()?;
            core.txn(ctx)?;
            let free = |at| Situation { at, entry: None, meetings: Vec::new() };
            return Ok(Some((core, chunk.clone().map(free).collect())));
        }
        let searched = partition.latch()?.state(table)?.clone();
        let existing = match &rows.keys {
            Some(keys) if !(searched.runs.is_empty() && searched.segments.is_empty()) => {
                Existing::find(&searched, keys, chunk.clone())?
            }
            _ => Existing::none(chunk.len()),
        };
        let outside = Outside::find(&searched, &rows.unique, chunk.clone())?;
        let mut core = partition.latch()?;
        core.txn(ctx)?;
        if !core.state(table)?.same_layout(&searched) {
            return Ok(None);
        }
        let hashes = chunk.clone().flat_map(|at| rows.value_hashes(at));
        if self.lock_values(partition, &mut core, ctx, table, hashes)? == Had::AfterWaiting {
            return Ok(None);
        }
        let state = core.state(table)?.clone();
        let mut seen: HashSet<(u32, &[u8])> = HashSet::new();
        let mut situations = Vec::with_capacity(chunk.len());
        for (i, at) in chunk.clone().enumerate() {
            let mut situation = Situation { at, entry: None, meetings: Vec::new() };
            if let Some(keys) = &rows.keys {
                let key = &keys.bytes[at];
                let place = existing.place(i, &state);
                if seen.contains(&(0, &**key)) {
                    situation.meetings.push(Meeting { key: 0, met: Met::Before });
                } else if let Some(entry) = state.tail.find(key) {
                    let lock =
                        partition.lock_entry(&self.leaf, &mut core, ctx, (table, &entry), Mode::Exclusive)?;
                    if lock == Had::AfterWaiting {
                        return Ok(None);
                    }
                    let has_row = entry.versions().newest().is_some_and(|version| version.row.is_some());
                    match place {
                        _ if has_row => {
                            situation.meetings.push(Meeting::owner(0, Owner::Entry(entry)));
                        }
                        // Deleted, or an insert that was rolled back; the key was loaded since.
                        Some(place) => situation.meetings.push(Meeting::owner(0, Owner::Outside(place))),
                        None => situation.entry = Some(entry),
                    }
                } else if let Some(place) = place {
                    situation.meetings.push(Meeting::owner(0, Owner::Outside(place)));
                }
            }
            for (n, unique) in rows.unique.iter().enumerate() {
                let Some(value) = &unique.values[at] else { continue };
                if seen.contains(&(unique.number, &*value.bytes)) {
                    situation.meetings.push(Meeting { key: unique.number, met: Met::Before });
                } else if let Some(owner) = owner(&state, &rows.unique, n, at, &outside, None)? {
                    situation.meetings.push(Meeting::owner(unique.number, owner));
                }
            }
            if situation.meetings.is_empty() && chunk.len() > 1 {
                seen.extend(rows.keys.iter().map(|keys| (0, &*keys.bytes[at])));
                let values = rows.unique.iter().filter_map(|unique| {
                    unique.values[at].as_ref().map(|value| (unique.number, &*value.bytes))
                });
                seen.extend(values);
            }
            situations.push(situation);
        }
        Ok(Some((core, situations)))
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
        core.txn(ctx)?;
        let (tail, def) = (core.state(table)?.tail.clone(), core.state(table)?.def.clone());
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
            let row = rows.row(at);
            note_row(&tail, &def, &entry, &row)?;
            core.txn(ctx)?.write(&entry, ctx.statement, Some(row));
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

/// The rows that have no key in common with one before them, and the others.
fn first_of_each_key(rows: &EncodedRows) -> (Vec<u32>, Vec<u32>) {
    let mut seen: HashSet<(u32, &[u8])> = HashSet::new();
    let (mut now, mut again) = (Vec::new(), Vec::new());
    for at in 0..rows.rows.len() {
        let primary = rows.keys.iter().map(|keys| (0, &*keys.bytes[at]));
        let unique = rows
            .unique
            .iter()
            .filter_map(|unique| unique.values[at].as_ref().map(|value| (unique.number, &*value.bytes)));
        let mut is_first = true;
        for key in primary.chain(unique) {
            is_first &= seen.insert(key);
        }
        if is_first { now.push(at as u32) } else { again.push(at as u32) }
    }
    (now, again)
}

/// The row of a locked entry that has one; under REPEATABLE READ it must not be newer than the snapshot.
fn newest_row(entry: &Entry, ctx: &WriteContext) -> Result<Row, StoreError> {
    let versions = entry.versions();
    // Invariant: a row was found here, under this latch.
    let newest = versions.newest().ok_or_else(|| StoreError::internal("a row that was met is lost"))?;
    let is_newer = match (ctx.snapshot, newest.committed()) {
        (Some(snapshot), Some(at)) => newest.original.unwrap_or(at) > snapshot,
        (None, _) | (_, None) => false,
    };
    if is_newer {
        return Err(StoreError::Deadlock);
    }
    newest.row.clone().ok_or_else(|| StoreError::internal("a row that was met is lost"))
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
