//! Rows that keys lead to: where a key proposes rows, and reads of few rows by keys alone.

use super::{Morsel, Snapshot, outside};
use crate::StoreError;
use crate::keys::KeyUse;
use crate::partition::state::{Seen, SegmentSource};
use crate::scan::ScanSpec;
use crate::tail::key::encode_key;
use crate::tail::order::ByteRange;
use crate::tail::slab::InOrder;
use crate::tail::unique::{encode, hash_of};
use crate::waiting::without_waiting;
use arrow::record_batch::RecordBatch;

/// Rows that a key proposes everywhere in a table.
pub(crate) enum Few {
    Rows(Vec<RecordBatch>),
    /// No key proposes few rows: the table has to be scanned.
    Many,
    /// To be asked for where the caller may wait.
    NotInMemory,
}

impl Snapshot {
    /// The rows that pass, if keys propose at most `most` rows to look at. `wait`: read what is on disk and
    /// make what keys need first.
    pub(crate) fn few(&self, spec: &ScanSpec, most: usize, wait: bool) -> Result<Few, StoreError> {
        let found = match wait {
            true => self.find_few(spec, most, true),
            false => without_waiting(|| self.find_few(spec, most, false)),
        };
        match found {
            Err(StoreError::WouldWait) if !wait => Ok(Few::NotInMemory),
            other => other,
        }
    }

    fn find_few(&self, spec: &ScanSpec, most: usize, wait: bool) -> Result<Few, StoreError> {
        let state = &self.pinned.state;
        let Some(used) = KeyUse::of_any(self.def(), &spec.predicates) else { return Ok(Few::Many) };
        let mut left = most;
        let mut morsels = Vec::new();
        match self.in_tail(&used, left, wait)? {
            InOrder::Entries(entries) if entries.is_empty() => {}
            InOrder::Entries(entries) => {
                left -= entries.len();
                morsels.push(Morsel::of_entries(entries));
            }
            InOrder::TooMany => return Ok(Few::Many),
            InOrder::Unmade => return Ok(Few::NotInMemory),
        }
        for (at, run) in state.runs.iter().enumerate() {
            if !wait && !run.made().is_some_and(|columns| columns.has_key_run(used.columns)) {
                return Ok(Few::NotInMemory);
            }
            let rows = run.columns()?.rows_by_key(used.columns, &used.ranges, left)?;
            let Some(rows) = rows else { return Ok(Few::Many) };
            if !rows.is_empty() {
                left -= rows.len();
                morsels.push(Morsel::of_run(at, &rows));
            }
        }
        for (at, segment) in state.segments.iter().enumerate() {
            if segment.seen(&self.pinned.view) == Seen::None {
                continue;
            }
            let Some(rows) = self.in_segment(segment, &used, left)? else { return Ok(Few::Many) };
            if !rows.is_empty() {
                left -= rows.len();
                morsels.push(Morsel::of_segment(at, &rows));
            }
        }
        let mut batches = Vec::with_capacity(morsels.len());
        for morsel in &morsels {
            self.scan(morsel, spec, &mut |batch| {
                batches.push(batch);
                Ok(true)
            })?;
        }
        Ok(Few::Rows(batches))
    }

    /// The rows of a segment that a key proposes, ascending. None if they are more than `most` or if the
    /// segment has no way to them.
    pub(super) fn in_segment(
        &self,
        source: &SegmentSource,
        used: &KeyUse<'_>,
        most: usize,
    ) -> Result<Option<Vec<u32>>, StoreError> {
        let (def, segment) = (self.def(), &source.file.segment);
        if used.name.is_some() {
            return segment.rows_by_key(def, used.columns, &used.ranges, most);
        }
        let Some(values) = &used.values else { return segment.rows_by_order(def, &used.ranges, most) };
        let mut rows = Vec::new();
        for key in values {
            // A value that the column cannot have is equal to none.
            if encode_key(def, key).is_some() && !outside(source, def, key) {
                rows.extend(segment.find_key(def, key)?);
            }
            if rows.len() > most {
                return Ok(None);
            }
        }
        rows.sort_unstable();
        rows.dedup();
        Ok(Some(rows))
    }

    /// The entries of the tail that a key proposes.
    pub(super) fn in_tail(&self, used: &KeyUse<'_>, most: usize, make: bool) -> Result<InOrder, StoreError> {
        let (def, tail) = (self.def(), &self.pinned.state.tail);
        if self.pinned.tail_len == 0 {
            return Ok(InOrder::Entries(Vec::new()));
        }
        let entries = match (used.name, &used.values) {
            (None, Some(values)) => {
                let mut entries = Vec::new();
                for key in values.iter().filter_map(|key| encode_key(def, key)) {
                    entries.extend(tail.find_all(&key));
                }
                entries.sort_unstable_by_key(|entry| entry.id);
                entries.dedup_by_key(|entry| entry.id);
                Some(entries).filter(|entries| entries.len() <= most)
            }
            (None, None) => {
                let ranges = used.ranges.iter().map(|range| ByteRange::of(def, used.columns, range));
                return Ok(match ranges.collect::<Option<Vec<_>>>() {
                    Some(ranges) => tail.with_keys(&ranges, most, make),
                    None => InOrder::TooMany,
                });
            }
            (Some(_), Some(values)) => {
                let mut hashes = Vec::with_capacity(values.len());
                for values in values {
                    // A value that the column cannot have is equal to none.
                    if let Some(bytes) = encode(def, used.columns, values).ok().flatten() {
                        hashes.push(hash_of(used.columns, &bytes));
                    }
                }
                tail.with_values(hashes.into_iter(), most)
            }
            // Only whole values are indexed.
            (Some(_), None) => None,
        };
        Ok(entries.map_or(InOrder::TooMany, InOrder::Entries))
    }
}
