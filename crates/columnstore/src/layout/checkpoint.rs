//! Writing the manifest of a partition, and letting go of log files that nobody needs.

use crate::StoreError;
use crate::manifest::{Manifest, ManifestSegment, ManifestTable};
use crate::partition::Partition;
use crate::partition::core::{Core, Table};
use crate::store::Store;
use crate::store::leaf::Leaf;

/// The first log file that the partition's rows in memory and its prepared transactions need.
fn needed_file(leaf: &Leaf, core: &Core) -> u64 {
    core.tables
        .values()
        .flat_map(|table| {
            let runs = table.state.runs.iter().map(|run| run.first_file);
            runs.chain([table.state.tail.first_file()]).flatten()
        })
        .chain(core.txns.values().filter_map(|txn| Some(txn.promise?.file)))
        .fold(leaf.wal.current_file(), u64::min)
}

fn table(table: &Table) -> ManifestTable {
    let state = &table.state;
    let (needed_from, needed) = match state.runs.first() {
        Some(run) => (run.first_id, run.carried.clone()),
        None => (state.tail.first_id, state.tail.carried.clone()),
    };
    ManifestTable {
        def: (*state.def).clone(),
        layouts: table.layouts.iter().map(|(version, layout)| (*version, layout.types.clone())).collect(),
        next_source: table.next_source,
        tail: state.tail.source,
        needed_from,
        needed,
        segments: state
            .segments
            .iter()
            .filter_map(|segment| {
                // A load whose commit is not in the log yet is not named.
                let meta = segment.logged_meta()?;
                let (forever, deletes) = segment.deletes.split_at(types::Timestamp::ZERO);
                Some(ManifestSegment { meta, forever, deletes })
            })
            .collect(),
    }
}

fn capture(leaf: &Leaf, core: &Core) -> Manifest {
    Manifest {
        partition: core.id,
        epoch: core.epoch,
        lsn: core.next_lsn - 1,
        clock: core.timeline.clock(),
        watermark: core.watermark,
        next_entry: core.next_entry,
        needed_file: needed_file(leaf, core),
        tables: core.tables.values().map(table).collect(),
        decisions: core.decisions.kept().collect(),
    }
}

impl Store {
    /// Writes the manifest as of now.
    pub(crate) fn checkpoint(&self, partition: &Partition) -> Result<(), StoreError> {
        let manifest = {
            let mut core = partition.latch()?;
            core.edits = 0;
            capture(&self.leaf, &core)
        };
        // The manifest must not know of more than the log does.
        if manifest.lsn > 0 {
            self.leaf.wal.sync_soon();
            partition.wait_durable(manifest.lsn)?;
        }
        manifest.write(self.leaf.disk.as_ref(), &partition.folder)?;
        partition.set_needed_file(manifest.needed_file);
        self.leaf.counters.checkpoints.add(1);
        self.trim_log()
    }

    fn trim_log(&self) -> Result<(), StoreError> {
        let needed = self
            .all()
            .iter()
            .map(|partition| partition.needed_file())
            .fold(self.leaf.wal.current_file(), u64::min);
        self.leaf.wal.trim(needed).map_err(|error| StoreError::io(&self.log_folder(), error))
    }

    /// Whether a new manifest would let log files go, or spare the next recovery much work.
    pub(crate) fn checkpoint_is_due(&self, partition: &Partition) -> Result<bool, StoreError> {
        const MANY_EDITS: usize = 64;
        let core = partition.latch()?;
        let needed = needed_file(&self.leaf, &core);
        Ok(core.edits >= MANY_EDITS || (core.edits > 0 && needed > partition.needed_file()))
    }
}
