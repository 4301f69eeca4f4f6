//! Partitions and tables come and go. Each change is durable when the call returns, and may be repeated.

use super::Store;
use crate::StoreError;
use crate::manifest::{FILE_NAME, Manifest};
use crate::partition::Partition;
use crate::partition::core::{Core, LateTable, Table};
use crate::partition::state::TableState;
use crate::recovery::partition_folder_name;
use crate::tail::row::RowLayout;
use crate::tail::slab::Tail;
use crate::tail::unique::note_new_keys;
use crate::wal::Record;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use txn::Timeline;
use types::{PartitionId, SqlType, TableDef, TableId, Timestamp};

/// How long a dropped table is there for statements that were planned before. One that comes later is told so, and
/// begins again.
const KEPT_MILLIS: u64 = 60_000;

impl Store {
    pub fn create_partition(&self, id: PartitionId) -> Result<(), StoreError> {
        if id == crate::wal::frame::LEAF {
            return Err(StoreError::internal("this partition id is reserved"));
        }
        self.leaf.wal.admit()?;
        let mut partitions = self.partitions.write();
        if partitions.contains_key(&id) {
            return Ok(());
        }
        let disk = self.leaf.disk.as_ref();
        let parts = self.folder.join("p");
        let folder = parts.join(partition_folder_name(id));
        let on_file = |error| StoreError::io(&folder, error);
        disk.create_dir_all(&folder.join("segments")).map_err(on_file)?;
        disk.sync_dir(&parts).map_err(on_file)?;
        let file = self.leaf.wal.current_file();
        // Above the clocks of all partitions, as after a restart: what readers saw stays so.
        let clock = partitions
            .values()
            .map(|partition| partition.latch_any().timeline.clock())
            .fold(self.leaf.floor, Timestamp::max);
        Manifest::empty(id, clock, file).write(disk, &folder)?;
        let core = Core::new(id, Timeline::starting_at(clock));
        partitions.insert(id, Arc::new(Partition::new(folder, core, file)));
        Ok(())
    }

    pub fn drop_partition(&self, id: PartitionId) -> Result<(), StoreError> {
        self.leaf.wal.admit_commit()?;
        let Some(partition) = self.partitions.write().remove(&id) else { return Ok(()) };
        // Nobody tells it any more what is durable: whoever waits for that, a flush say, has to give up first.
        partition.latch_any().dropped = true;
        partition.notify();
        let _job = partition.layout_job.lock();
        let mut core = partition.latch_any();
        for show in core.shows.drain(..) {
            show.done.fail();
        }
        core.late.clear();
        let states: Vec<Arc<TableState>> = core.tables.drain().map(|(_, table)| table.state).collect();
        drop(core);
        for state in &states {
            self.forget_unflushed(state);
        }
        self.leaf.waits.give_up(id, None);
        partition.notify();
        // Without its manifest a folder is no partition: the first removal is the drop.
        let disk = self.leaf.disk.as_ref();
        let on_file = |error| StoreError::io(&partition.folder, error);
        disk.remove_file(&partition.folder.join(FILE_NAME)).map_err(on_file)?;
        disk.sync_dir(&partition.folder).map_err(on_file)?;
        disk.remove_dir_all(&partition.folder).map_err(on_file)
    }

    /// Creates a table, or installs a newer version of its definition.
    pub fn put_table(&self, p: PartitionId, def: Arc<TableDef>) -> Result<(), StoreError> {
        self.leaf.wal.admit()?;
        let partition = self.partition(p)?;
        let lsn = {
            let mut core = partition.latch()?;
            if let Some(table) = core.tables.get(&def.id) {
                if table.state.def.version >= def.version {
                    return Ok(());
                }
                check_change(&table.state.def, &def)?;
            }
            let layout = Arc::new(RowLayout::of(&def));
            let lsn = core.append(&self.leaf, &Record::PutTable { def: def.clone() }, true)?;
            match core.tables.get_mut(&def.id) {
                Some(table) => {
                    table.layouts.insert(def.version, layout);
                    let (tail, before) = (table.state.tail.clone(), table.state.def.clone());
                    for (_, entry) in tail.entries(0, tail.len()) {
                        note_new_keys(&tail, Some(&before), &def, entry)?;
                    }
                    core.install(def.id, |state| state.def = def.clone())?;
                }
                None => {
                    let tail =
                        Tail::new(1, core.next_entry, Vec::new(), self.leaf.options.memory.reservation());
                    let state = TableState {
                        def: def.clone(),
                        tail: Arc::new(tail),
                        runs: Vec::new(),
                        segments: Vec::new(),
                    };
                    let table = Table {
                        state: Arc::new(state),
                        layouts: BTreeMap::from([(def.version, layout)]),
                        next_source: 2,
                        moved: HashMap::new(),
                    };
                    core.tables.insert(def.id, table);
                }
            }
            core.edits += 1;
            lsn
        };
        partition.wait_durable(lsn)
    }

    /// The table is gone; but a statement that reads as of before finds it for some time yet. Who has a snapshot of it
    /// keeps it for as long as that is held. A temporary table is read by nobody else than who drops it.
    pub fn drop_table(&self, p: PartitionId, table: TableId) -> Result<(), StoreError> {
        let partition = self.partition(p)?;
        let (lsn, dropped) = {
            let mut core = partition.latch()?;
            if !core.tables.contains_key(&table) {
                return Ok(());
            }
            let now = self.leaf.now_millis();
            self.leaf.cover_commit(core.timeline.next(now))?;
            let dropped_at = core.timeline.take(now);
            let lsn = core.append(&self.leaf, &Record::DropTable { table }, true)?;
            core.edits += 1;
            let dropped = core.tables.remove(&table);
            if let Some(dropped) = dropped.as_ref().filter(|dropped| !dropped.state.def.is_temporary()) {
                let kept_until = self.leaf.boot_millis() + KEPT_MILLIS;
                core.late.insert(table, LateTable { state: dropped.state.clone(), dropped_at, kept_until });
            }
            (lsn, dropped)
        };
        partition.wait_durable(lsn)?;
        if let Some(dropped) = dropped {
            self.forget_unflushed(&dropped.state);
            dropped.state.segments.iter().for_each(|segment| segment.file.doom());
        }
        Ok(())
    }

    fn forget_unflushed(&self, state: &TableState) {
        let bytes = state.tail.bytes() + state.runs.iter().map(|run| run.bytes).sum::<usize>();
        self.leaf.flushed(bytes);
    }
}

/// Columns keep their types and the primary key stays: other changes rewrite the table.
fn check_change(old: &TableDef, new: &TableDef) -> Result<(), StoreError> {
    let same = |a: SqlType, b: SqlType| a.physical() == b.physical() && a.arrow() == b.arrow();
    for column in &new.columns {
        if old.column(column.id).is_some_and(|before| !same(before.ty, column.ty)) {
            return Err(StoreError::internal(format_args!(
                "column {} of table {} cannot change its type in place",
                column.name, new.name
            )));
        }
    }
    if old.primary_key != new.primary_key {
        return Err(StoreError::internal(format_args!(
            "the primary key of table {} cannot change in place",
            new.name
        )));
    }
    Ok(())
}
