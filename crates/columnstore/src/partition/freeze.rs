//! Freezing: the active tail becomes a frozen run, and an empty tail takes its place.
//!
//! Entries that an open transaction has locked or written go on in the next tail, with all of their
//! versions, so locks and intents are in the active tail only. Who has them is known from the
//! transactions, so a freeze costs no more than that.

use super::core::Core;
use crate::StoreError;
use crate::store::leaf::Leaf;
use crate::tail::entry::Entry;
use crate::tail::run::FrozenRun;
use crate::tail::slab::Tail;
use crate::tail::unique::note_entry;
use crate::wal::Record;
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use types::TableId;

impl Core {
    /// Entries of a table that open transactions have.
    fn locked_entries(&self, table: TableId, source: u32) -> Vec<Arc<Entry>> {
        let mut seen = HashSet::new();
        self.txns
            .values()
            .flat_map(|txn| &txn.touched)
            .filter(|(t, entry)| *t == table && entry.home() == source && seen.insert(entry.id))
            .map(|(_, entry)| entry.clone())
            .collect()
    }

    /// Whether the tail has grown past its limits, or is only read any more, and a freeze would help.
    pub(crate) fn freeze_is_due(&self, leaf: &Leaf, table: TableId) -> bool {
        let Ok(state) = self.state(table) else { return false };
        let tail = &state.tail;
        let full = tail.versions() >= leaf.options.tail_rows || tail.bytes() >= leaf.options.tail_bytes;
        if !full && !tail.is_only_scanned() {
            return false;
        }
        let open: usize = self.txns.values().map(|txn| txn.touched.len()).sum();
        open * 2 <= tail.len()
    }

    /// Freezes the tail. False if it has nothing that could be frozen.
    pub(crate) fn freeze(&mut self, leaf: &Leaf, table: TableId) -> Result<bool, StoreError> {
        let old = self.state(table)?.tail.clone();
        let carried = self.locked_entries(table, old.source);
        if old.len() <= carried.len() {
            return Ok(false);
        }
        let first_id = self.next_entry;
        let carried_ids: Vec<u64> = carried.iter().map(|entry| entry.id).collect();
        let t = self.table_mut(table)?;
        let (run_source, tail_source) = (t.take_source(), t.take_source());
        let def = t.state.def.clone();
        self.append(
            leaf,
            &Record::Freeze {
                table,
                run: run_source,
                tail: tail_source,
                first_id,
                carried: carried_ids.clone(),
            },
            false,
        )?;
        let tail = Arc::new(Tail::new(
            tail_source,
            first_id,
            carried_ids.clone(),
            leaf.options.memory.reservation(),
        ));
        for entry in carried {
            let bytes: usize = entry
                .versions()
                .iter()
                .map(|version| {
                    version_bytes_of(&entry, version.row.as_ref().map_or(0, |row| row.bytes.len()))
                })
                .sum();
            // Its bytes were reserved by the old tail, which keeps them only until it is turned to
            // columns; a full budget must not stop the freeze that frees memory.
            let _ = tail.reserve(bytes);
            note_entry(&tail, &def, &entry)?;
            tail.push(entry);
            tail.count(bytes);
        }
        // The run counts them too until it is flushed.
        leaf.unflushed.fetch_add(tail.bytes(), Ordering::Relaxed);
        let left: HashSet<u64> = carried_ids.into_iter().collect();
        let reservation = leaf.options.memory.reservation();
        let run = Arc::new(FrozenRun::new(run_source, def, old, left, reservation));
        self.install(table, |state| {
            state.tail = tail;
            state.runs.push(run);
        })?;
        let moved = &mut self.table_mut(table)?.moved;
        let kept: HashMap<_, _> = moved.drain().filter(|(_, entry)| entry.home() == tail_source).collect();
        *moved = kept;
        leaf.counters.freezes.add(1);
        Ok(true)
    }
}

fn version_bytes_of(entry: &Entry, row: usize) -> usize {
    crate::tail::entry::version_bytes(row, entry.key.as_ref().map_or(0, |key| key.len()))
}
