//! A partition out of what its manifest and log say.

use super::replay::{Replay, ReplayedRun, ReplayedTable, ReplayedTail};
use crate::StoreError;
use crate::deletes::DeleteVector;
use crate::partition::Partition;
use crate::partition::core::{Core, Table};
use crate::partition::state::{Begin, SegmentFile, SegmentSource, TableState};
use crate::partition::{segment_name, segment_path};
use crate::segment::Segment;
use crate::store::leaf::Leaf;
use crate::tail::entry::version_bytes;
use crate::tail::run::FrozenRun;
use crate::tail::slab::Tail;
use hashbrown::{HashMap, HashSet};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use txn::Timeline;
use types::Timestamp;

/// Makes the partition; its transactions must have been ended.
pub(crate) fn build(leaf: &Leaf, replay: Replay, ceiling: Timestamp) -> Result<Partition, StoreError> {
    debug_assert!(replay.open.is_empty());
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
    remove_unnamed(leaf, &replay.folder.join("segments"), &named)?;
    Ok(Partition::new(replay.folder, core, needed_file))
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

fn tail(leaf: &Leaf, replayed: ReplayedTail) -> Arc<Tail> {
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
        tail.push(entry);
        tail.count(bytes);
    }
    leaf.unflushed.fetch_add(tail.bytes(), Ordering::Relaxed);
    Arc::new(tail)
}

fn run(leaf: &Leaf, replayed: ReplayedRun) -> Result<Arc<FrozenRun>, StoreError> {
    let tail = tail(leaf, replayed.tail);
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
    let state = TableState { def: replayed.def, tail: tail(leaf, replayed.tail), runs, segments };
    Ok(Table {
        state: Arc::new(state),
        layouts: replayed.layouts,
        next_source: replayed.next_source,
        moved: HashMap::new(),
    })
}
