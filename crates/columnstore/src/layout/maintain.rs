//! What a person may ask of one table's layout: to be flushed, merged, or checked.
//!
//! None of it stands in anybody's way: flushes and merges are the jobs that the background does, one
//! after the other, and a check reads files that never change.

use crate::StoreError;
use crate::keys::with_runs;
use crate::layout::pick::Job;
use crate::partition::Partition;
use crate::partition::state::SegmentSource;
use crate::store::Store;
use types::{PartitionId, TableDef, TableId, Timestamp};

/// What is to be done with a table in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maintenance {
    /// Writes what is committed to segments.
    Flush,
    /// Flushes, and merges what is due.
    Merge,
    /// Flushes, and makes as few segments as there can be, without deleted rows and with all keys.
    MergeAll,
    /// Reads every byte of every segment.
    Check,
}

impl Store {
    /// Does it; gives what is wrong with the table, which only a check finds.
    pub fn maintain(
        &self,
        p: PartitionId,
        table: TableId,
        what: Maintenance,
    ) -> Result<Vec<String>, StoreError> {
        let partition = self.partition(p)?;
        if what == Maintenance::Check {
            return self.check_table(&partition, table);
        }
        self.leaf.wal.admit_commit()?;
        let _job = partition.layout_job.lock();
        partition.latch()?.freeze(&self.leaf, table)?;
        while let Some(job) = self.due(&partition, table)? {
            if what == Maintenance::Flush && !matches!(job, Job::Flush { .. }) {
                break;
            }
            self.run_job(&partition, table, &job)?;
        }
        if what == Maintenance::MergeAll {
            for segments in self.groups(&partition, table)? {
                self.run_job(&partition, table, &Job::Merge { segments })?;
            }
        }
        if what != Maintenance::Flush {
            self.compact_deletes(&partition, table)?;
        }
        self.checkpoint(&partition)?;
        Ok(Vec::new())
    }

    /// The segments of a table in groups that each make about one full one. One that would only be
    /// copied is in none.
    fn groups(&self, partition: &Partition, table: TableId) -> Result<Vec<Vec<u32>>, StoreError> {
        let (state, watermark) = {
            let mut core = partition.latch()?;
            let watermark = self.advance_watermark(&mut core);
            (core.state(table)?.clone(), watermark)
        };
        let full = self.leaf.options.segment_rows as u64;
        let mut groups: Vec<(u64, Vec<&SegmentSource>)> = Vec::new();
        for segment in state.segments.iter().filter(|segment| !segment.is_pending()) {
            let live = live_rows(segment, watermark);
            match groups.last_mut() {
                Some((rows, group)) if *rows + live <= full => {
                    *rows += live;
                    group.push(segment);
                }
                _ => groups.push((live, vec![segment])),
            }
        }
        let gains = |group: &[&SegmentSource]| match group {
            [one] => live_rows(one, watermark) < one.rows().into() || !has_all_keys(&state.def, one),
            _ => true,
        };
        let wanted = groups.into_iter().map(|(_, group)| group).filter(|group| gains(group));
        Ok(wanted.map(|group| group.into_iter().map(SegmentSource::id).collect()).collect())
    }

    fn check_table(&self, partition: &Partition, table: TableId) -> Result<Vec<String>, StoreError> {
        let state = partition.latch()?.state(table)?.clone();
        let mut wrong = Vec::new();
        for segment in &state.segments {
            // The first error of each file; the files beside it are still read.
            if let Err(error) = segment.file.segment.verify(&state.def) {
                wrong.push(error.to_string());
            }
            let beyond = segment.deletes.last_row().is_some_and(|row| row >= segment.rows());
            if beyond {
                wrong.push(format!("rows are deleted that segment {} does not have", segment.id()));
            }
        }
        Ok(wrong)
    }
}

fn live_rows(segment: &SegmentSource, watermark: Timestamp) -> u64 {
    u64::from(segment.rows()).saturating_sub(segment.deletes.gone_at(watermark))
}

fn has_all_keys(def: &TableDef, segment: &SegmentSource) -> bool {
    with_runs(def).all(|key| segment.file.segment.has_run(&key.columns))
}
