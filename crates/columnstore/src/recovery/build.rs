//! A partition out of what its manifest and log say.

use super::replay::{Replay, ReplayedRun, ReplayedTable, ReplayedTail, ReplayedTxn};
use crate::StoreError;
use crate::deletes::DeleteVector;
use crate::partition::Partition;
use crate::partition::core::{BulkSegment, Core, Promise, Table, Txn, mismatched};
use crate::partition::locking::LockKey;
use crate::partition::state::{Begin, SegmentFile, SegmentSource, TableState};
use crate::partition::{segment_name, segment_path};
use crate::segment::Segment;
use crate::store::leaf::Leaf;
use crate::tail::entry::version_bytes;
use crate::tail::run::FrozenRun;
use crate::tail::slab::Tail;
use crate::tail::unique::{hashes_written, note_entry};
use hashbrown::{HashMap, HashSet};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use txn::{Mode, Outcome, Timeline};
use types::{TableDef, TableId, Timestamp, TxnId};

/// Makes the partition; its transactions must have been ended or be prepared.
pub(crate) fn build(leaf: &Leaf, mut replay: Replay, ceiling: Timestamp) -> Result<Partition, StoreError> {
    let mut core = Core::new(replay.id, Timeline::starting_at(ceiling));
    core.epoch = replay.epoch;
    core.next_lsn = replay.lsn + 1;
    core.durable_lsn = replay.lsn;
    core.watermark = replay.watermark;
    core.next_entry = replay.next_entry;
    let needed_file = replay.needed_file();
    let mut named = BTreeSet::new();
    for (id, replayed) in replay.tables {
        named.extend(replayed.segments.iter().map(|segment| segment_name(id, segment.meta.id)));
        core.tables.insert(id, table(leaf, replayed, &replay.folder)?);
    }
    for (id, (outcome, unconfirmed)) in replay.decisions {
        match outcome {
            Outcome::Commit(at) => core.decisions.commit(id, at, unconfirmed),
            Outcome::Abort => core.decisions.demand_end(id, leaf.boot_millis()).0,
        };
    }
    for (id, open) in std::mem::take(&mut replay.open) {
        let prepared =
            open.prepared.as_ref().ok_or_else(|| StoreError::internal(format_args!("{id} was left open")))?;
        named.extend(prepared.bulk.iter().map(|(table, meta)| segment_name(*table, meta.id)));
        restore_prepared(leaf, &mut core, &replay.folder, id, open)?;
    }
    remove_unnamed(leaf, &replay.folder.join("segments"), &named)?;
    Ok(Partition::new(replay.folder, core, needed_file))
}

/// A prepared transaction goes on where it was: its intents are in the tail, and it has its locks.
fn restore_prepared(
    leaf: &Leaf,
    core: &mut Core,
    folder: &Path,
    id: TxnId,
    open: ReplayedTxn,
) -> Result<(), StoreError> {
    let ReplayedTxn { slot, touched, tables, prepared: Some(prepared), .. } = open else { return Ok(()) };
    let mut txn = Txn::new(id);
    txn.slot = slot;
    txn.tables = tables;
    txn.logged = true;
    txn.promise =
        Some(Promise { coordinator: prepared.coordinator, file: prepared.file, since_millis: None });
    txn.participant.replay(prepared.last);
    // Invariant: it agrees with the number that it was just given.
    txn.participant.prepare(prepared.last, prepared.at).map_err(mismatched)?;
    let mut of_tables: BTreeSet<TableId> = touched.iter().map(|(table, _)| *table).collect();
    let mut seen = HashSet::new();
    let written = touched.into_iter().filter(|(_, entry)| seen.insert(entry.id)).collect::<Vec<_>>();
    let locked = prepared.locks.iter().filter_map(|(table, entry)| {
        let tail = &core.state(*table).ok()?.tail;
        let found = tail.entries(0, tail.len()).find(|(_, e)| e.id == *entry)?;
        Some((*table, found.1.clone()))
    });
    let locked = locked.filter(|(_, entry)| !seen.contains(&entry.id)).collect::<Vec<_>>();
    for (table, entry) in written.into_iter().chain(locked) {
        // One whose only version was taken back is not in the tail any more.
        if core.state(table).is_ok_and(|state| entry.home() == state.tail.source) {
            core.locks.acquire(id, LockKey::Row(entry.id), Mode::Exclusive);
            for hash in hashes_written(&core.state(table)?.def, &entry, id)? {
                core.locks.acquire(id, LockKey::Value(table, hash), Mode::Exclusive);
            }
            of_tables.insert(table);
            txn.touched.push((table, entry));
        }
    }
    for (table, meta) in prepared.bulk {
        let Ok(state) = core.state(table) else { continue };
        let mode = if state.def.primary_key.is_empty() { Mode::Intention } else { Mode::Exclusive };
        core.locks.acquire(id, LockKey::Table(table), mode);
        let source = meta.id;
        let path = segment_path(folder, table, source);
        let opened = Segment::open(leaf.disk.as_ref(), &path, meta, leaf.pool.clone())?;
        let segment = SegmentSource {
            file: SegmentFile::new(opened, leaf.disk.clone()),
            deletes: Arc::new(DeleteVector::default()),
            begin: Begin::Bulk { slot: txn.slot.clone(), statement: prepared.last },
        };
        core.install(table, |state| state.segments.push(segment))?;
        txn.bulk.push(BulkSegment { table, statement: prepared.last, source });
        let table = core.table_mut(table)?;
        table.next_source = table.next_source.max(source.saturating_add(1));
    }
    for table in of_tables {
        core.locks.acquire(id, LockKey::Table(table), Mode::Intention);
    }
    core.txns.insert(id, txn);
    Ok(())
}

fn remove_unnamed(leaf: &Leaf, folder: &Path, named: &BTreeSet<String>) -> Result<(), StoreError> {
    let on_file = |error| StoreError::io(folder, error);
    if !leaf.disk.exists(folder).map_err(on_file)? {
        leaf.disk.create_dir_all(folder).map_err(on_file)?;
    }
    for name in leaf.disk.list(folder).map_err(on_file)? {
        if !named.contains(&name) {
            tracing::info!(file = %folder.join(&name).display(), "removing a segment that nothing names");
            leaf.disk.remove_file(&folder.join(&name)).map_err(on_file)?;
        }
    }
    Ok(())
}

fn tail(leaf: &Leaf, def: &TableDef, replayed: ReplayedTail) -> Result<Arc<Tail>, StoreError> {
    let ReplayedTail { source, first_id, carried, order, .. } = replayed;
    let tail = Tail::new(source, first_id, carried, leaf.options.memory.reservation());
    for entry in order {
        let bytes: usize = entry
            .versions()
            .iter()
            .map(|version| {
                let row = version.row.as_ref().map_or(0, |row| row.bytes.len());
                version_bytes(row, entry.key.as_ref().map_or(0, |key| key.len()))
            })
            .sum();
        if bytes == 0 {
            // Whoever wrote it was rolled back.
            continue;
        }
        // The rows are in memory already; a smaller budget than before the restart cannot refuse them.
        let _ = tail.reserve(bytes);
        note_entry(&tail, def, &entry)?;
        tail.push(entry);
        tail.count(bytes);
    }
    leaf.unflushed.fetch_add(tail.bytes(), Ordering::Relaxed);
    Ok(Arc::new(tail))
}

fn run(leaf: &Leaf, replayed: ReplayedRun) -> Result<Arc<FrozenRun>, StoreError> {
    let tail = tail(leaf, &replayed.def, replayed.tail)?;
    let reservation = leaf.options.memory.reservation();
    let run = FrozenRun::new(replayed.source, replayed.def, tail, HashSet::new(), reservation);
    if !replayed.moved.is_empty() {
        let columns = run.columns()?;
        let newest: HashMap<u64, u32> = (0..columns.rows())
            .filter(|row| columns.end[*row] == Timestamp::MAX)
            .map(|row| (columns.ids[row], row as u32))
            .collect();
        for (entry, at) in replayed.moved {
            // The row of an entry that was deleted before it was frozen is not there to be moved.
            if let Some(row) = newest.get(&entry) {
                run.deletes.insert(*row, at);
            }
        }
    }
    Ok(Arc::new(run))
}

fn table(leaf: &Leaf, replayed: ReplayedTable, folder: &Path) -> Result<Table, StoreError> {
    let id = replayed.def.id;
    let mut segments = Vec::with_capacity(replayed.segments.len());
    for segment in replayed.segments {
        let path = segment_path(folder, id, segment.meta.id);
        let opened = Segment::open(leaf.disk.as_ref(), &path, segment.meta, leaf.pool.clone())?;
        segments.push(SegmentSource {
            file: SegmentFile::new(opened, leaf.disk.clone()),
            deletes: Arc::new(DeleteVector::new(segment.forever, segment.deletes)),
            begin: Begin::Recorded,
        });
    }
    let runs = replayed.runs.into_iter().map(|r| run(leaf, r)).collect::<Result<_, _>>()?;
    let tail = tail(leaf, &replayed.def, replayed.tail)?;
    let state = TableState { def: replayed.def, tail, runs, segments };
    Ok(Table {
        state: Arc::new(state),
        layouts: replayed.layouts,
        next_source: replayed.next_source,
        moved: HashMap::new(),
    })
}
