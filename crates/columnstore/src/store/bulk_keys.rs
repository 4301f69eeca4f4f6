//! The keys of a load that no two rows may share: the primary key and the unique ones.
//!
//! While segments are written, the hash of each row's value is noted for each key; a value with a NULL
//! in it equals none and is left out. When the load ends and nobody else changes the table, values are
//! compared with one another by sorting the hashes and looking at neighbours, and with the rows that
//! were there before by looking up the hash of each of those. Of a segment only that part is read whose
//! first column lies within the load's: by the key's run if that is a small part, else by a scan that
//! zone maps prune. Hashes only point at candidates; what counts is the value itself.

use super::unique::bytes_at;
use crate::StoreError;
use crate::keys::search::{KeyRange, Part};
use crate::partition::state::{Begin, SegmentFile, SegmentSource, TableState};
use crate::predicate::{Compare, Predicate};
use crate::scan::{ScanSpec, unknown_column};
use crate::segment::BLOCK_ROWS;
use crate::tail::entry::{Fate, Place};
use crate::tail::key::{key_text, value_at};
use crate::tail::row::{RowCollector, adapt};
use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use types::{ColumnId, SqlType, TableDef, Timestamp, Value, shard};

/// A key's run is asked for at most one row of so many, else the segment is scanned.
const ROWS_PER_LOOKUP: usize = 8;

/// What a row of a load takes in [`LoadedKey`].
pub(super) const BYTES_PER_ROW: usize = size_of::<(u64, Place)>();

/// A value as bytes; None if there is a NULL in it.
type Encoded = Option<Box<[u8]>>;

/// One key and the values that the loaded rows have in it.
pub(super) struct LoadedKey {
    name: String,
    columns: Vec<ColumnId>,
    /// (hash of the value, place) of every row that has one; sorted from [`LoadedKey::check`] on.
    rows: Vec<(u64, Place)>,
}

/// The keys of a table that a load has to check.
pub(super) fn keys_of(def: &TableDef) -> Vec<LoadedKey> {
    let key = |name: &str, columns: &[ColumnId]| LoadedKey {
        name: name.to_string(),
        columns: columns.to_vec(),
        rows: Vec::new(),
    };
    let primary = (!def.primary_key.is_empty()).then(|| key("PRIMARY", &def.primary_key));
    let unique = def.keys.iter().filter(|k| k.unique).map(|k| key(&k.name, &k.columns));
    primary.into_iter().chain(unique).collect()
}

/// What a check reads: the segments of the load, and the table as it was before.
pub(super) struct Loaded<'a> {
    pub(super) def: &'a TableDef,
    pub(super) segments: &'a [Arc<SegmentFile>],
    pub(super) before: &'a TableState,
}

impl Loaded<'_> {
    /// These columns of a loaded row.
    fn columns_at(&self, place: Place, columns: &[ColumnId]) -> Result<RecordBatch, StoreError> {
        let file = self.segments.iter().find(|file| file.segment.meta().id == place.source);
        let segment = &file.ok_or_else(|| StoreError::internal("a load lost a segment"))?.segment;
        segment.gather(self.def, &[place.row], columns)
    }
}

impl LoadedKey {
    /// Notes the rows of a segment that is written; the batch has all columns of the table.
    pub(super) fn note(
        &mut self,
        def: &TableDef,
        source: u32,
        batch: &RecordBatch,
    ) -> Result<(), StoreError> {
        let columns = self.arrays(batch, |id| def.position(id))?;
        let hashes = hashes(&columns, batch.num_rows())?;
        let rows = (0u32..).zip(hashes).filter_map(|(row, hash)| Some((hash?, Place { source, row })));
        self.rows.extend(rows);
        Ok(())
    }

    fn arrays(
        &self,
        batch: &RecordBatch,
        position: impl Fn(ColumnId) -> Option<usize>,
    ) -> Result<Vec<ArrayRef>, StoreError> {
        let column = |id: &ColumnId| position(*id).map(|at| batch.column(at).clone());
        let columns: Option<Vec<ArrayRef>> = self.columns.iter().map(column).collect();
        columns.ok_or_else(|| StoreError::internal("a key column is missing"))
    }

    /// Fails if two rows of the load, or one of them and one that was there, have one value.
    pub(super) fn check(&mut self, loaded: &Loaded<'_>) -> Result<(), StoreError> {
        self.rows.sort_unstable();
        for same in self.rows.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() > 1) {
            let values =
                same.iter().map(|(_, place)| self.value(loaded, *place)).collect::<Result<Vec<_>, _>>()?;
            for (i, bytes) in values.iter().enumerate() {
                if values[..i].iter().any(|other| other == bytes) {
                    return Err(self.duplicate(loaded, same[i].1));
                }
            }
        }
        let search = Search { key: self, filter: HashFilter::of(&self.rows), loaded };
        search.run()
    }

    /// The value of a loaded row.
    fn value(&self, loaded: &Loaded<'_>, place: Place) -> Result<Encoded, StoreError> {
        bytes_at(loaded.def, &self.columns, &loaded.columns_at(place, &self.columns)?, 0)
    }

    /// Error 1062 with the value of a loaded row, as statements know it.
    fn duplicate(&self, loaded: &Loaded<'_>, place: Place) -> StoreError {
        let def = loaded.def;
        let shown: Vec<ColumnId> = self.columns.iter().map(|id| def.shown_as(*id)).collect();
        let types: Vec<SqlType> =
            shown.iter().filter_map(|id| def.column(*id).map(|column| column.ty)).collect();
        let values: Result<Vec<Value>, StoreError> = loaded.columns_at(place, &shown).and_then(|batch| {
            batch.columns().iter().zip(&types).map(|(array, ty)| value_at(array, *ty, 0)).collect()
        });
        match values {
            Ok(values) => StoreError::DuplicateKey {
                table: def.name.clone(),
                key: self.name.clone(),
                value: key_text(&values, &types),
            },
            Err(error) => error,
        }
    }

    /// Between which values the first column of the loaded rows lies. None for strings and floats, whose
    /// bounds are not exact, and if it is not known.
    fn range(&self, loaded: &Loaded<'_>) -> Option<(Value, Value)> {
        let first = *self.columns.first()?;
        let ty = loaded.def.column(first)?.ty;
        let of = |value: &Value| Part::of(value, ty);
        let mut range: Option<(Value, Value)> = None;
        for file in loaded.segments {
            // A segment of NULLs alone has no value.
            let column = file.segment.statistics().column(first)?;
            let (Some(min), Some(max)) = (&column.min, &column.max) else { continue };
            if matches!(min, Value::Text(_) | Value::Bytes(_) | Value::Float(_) | Value::Double(_)) {
                return None;
            }
            range = Some(match range {
                None => (min.clone(), max.clone()),
                Some((low, high)) => {
                    let is_lower = of(min)?.order(&of(&low)?).is_lt();
                    let is_higher = of(max)?.order(&of(&high)?).is_gt();
                    (if is_lower { min.clone() } else { low }, if is_higher { max.clone() } else { high })
                }
            });
        }
        range
    }
}

/// A search for loaded values among the rows that were there. Nobody else changes the table now: what
/// the state has is all there is.
struct Search<'a> {
    key: &'a LoadedKey,
    filter: HashFilter,
    loaded: &'a Loaded<'a>,
}

impl Search<'_> {
    fn run(&self) -> Result<(), StoreError> {
        if self.key.rows.is_empty() {
            return Ok(());
        }
        let range = self.key.range(self.loaded);
        let state = self.loaded.before;
        for source in &state.segments {
            if !matches!(&source.begin, Begin::Bulk { slot, .. } if slot.fate() == Fate::Aborted) {
                self.in_segment(source, range.as_ref())?;
            }
        }
        let def = self.loaded.def;
        for run in &state.runs {
            let columns = run.columns()?;
            let live = (0..columns.rows() as u32).filter(|row| run.stands(*row));
            let live = UInt32Array::from_iter_values(live);
            let rows = adapt(&columns.def, def, &columns.batch)?;
            let places: Vec<usize> = self.key.columns.iter().filter_map(|id| def.position(*id)).collect();
            self.among(&arrow::compute::take_record_batch(&rows.project(&places)?, &live)?)?;
        }
        let mut tail = RowCollector::new(def)?;
        for (_, entry) in state.tail.entries(0, state.tail.len()) {
            if let Some(row) = entry.versions().newest().and_then(|version| version.row.as_ref()) {
                tail.push(def, row)?;
            }
        }
        let places: Vec<usize> = self.key.columns.iter().filter_map(|id| def.position(*id)).collect();
        self.among(&tail.finish()?.project(&places)?)
    }

    fn in_segment(&self, source: &SegmentSource, range: Option<&(Value, Value)>) -> Result<(), StoreError> {
        let (segment, def, key) = (&source.file.segment, self.loaded.def, self.key);
        let gone = source.deletes.hidden_at(Timestamp::MAX).unwrap_or_default();
        let mut predicates = Vec::new();
        if let (Some((low, high)), Some(first)) = (range, key.columns.first()) {
            let ty = def.column(*first).ok_or_else(|| unknown_column(def, *first))?.ty;
            if let (Some(from), Some(to)) = (Part::of(low, ty), Part::of(high, ty)) {
                let within = KeyRange { equal: Vec::new(), low: Some((from, true)), high: Some((to, true)) };
                let most = source.rows() as usize / ROWS_PER_LOOKUP;
                if let Some(mut rows) = segment.rows_by_key(def, &key.columns, &[within], most)? {
                    rows.retain(|row| !gone.contains(*row));
                    return self.among(&segment.gather(def, &rows, &key.columns)?);
                }
            }
            let bound = |op, value: &Value| Predicate::Compare { column: *first, op, value: value.clone() };
            predicates = vec![bound(Compare::GreaterEq, low), bound(Compare::LessEq, high)];
        }
        let spec = ScanSpec { columns: key.columns.clone(), predicates, ..ScanSpec::default() };
        for block in (0..segment.blocks()).filter(|block| segment.may_match(*block, &spec.predicates)) {
            let rows = segment.block_rows(block) as usize;
            let first = block * BLOCK_ROWS as u32;
            let visible = (!gone.is_empty())
                .then(|| BooleanBuffer::collect_bool(rows, |row| !gone.contains(first + row as u32)));
            segment.scan_block(block, def, &spec, visible.as_ref(), &mut |batch| {
                self.among(&batch)?;
                Ok(true)
            })?;
        }
        Ok(())
    }

    /// Fails if a row of this batch of the key's columns has a value of the load.
    fn among(&self, batch: &RecordBatch) -> Result<(), StoreError> {
        let def = self.loaded.def;
        for (row, hash) in hashes(batch.columns(), batch.num_rows())?.into_iter().enumerate() {
            let Some(hash) = hash.filter(|hash| self.filter.may_have(*hash)) else { continue };
            let from = self.key.rows.partition_point(|(other, _)| *other < hash);
            let same = self.key.rows[from..].iter().take_while(|(other, _)| *other == hash);
            for (_, place) in same {
                let existing = bytes_at(def, &self.key.columns, batch, row)?;
                if existing.is_some() && self.key.value(self.loaded, *place)? == existing {
                    return Err(self.key.duplicate(self.loaded, *place));
                }
            }
        }
        Ok(())
    }
}

/// Hashes of the rows of a key's columns; None for a row with a NULL in them.
fn hashes(columns: &[ArrayRef], rows: usize) -> Result<Vec<Option<u64>>, StoreError> {
    let hashes = shard::hash_columns(columns, rows).map_err(StoreError::internal)?;
    if columns.iter().all(|column| column.null_count() == 0) {
        return Ok(hashes.into_iter().map(Some).collect());
    }
    let has_null = |row: usize| columns.iter().any(|column| column.is_null(row));
    Ok(hashes.into_iter().enumerate().map(|(row, hash)| (!has_null(row)).then_some(hash)).collect())
}

/// Tells quickly that a hash is not among those loaded.
struct HashFilter {
    bits: Vec<u64>,
    shift: u32,
}

impl HashFilter {
    fn of(keys: &[(u64, Place)]) -> HashFilter {
        let size = (keys.len() * 16).next_power_of_two().clamp(1 << 10, 1 << 32);
        let shift = 64 - size.ilog2();
        let mut bits = vec![0u64; size / 64];
        for (hash, _) in keys {
            let bit = hash >> shift;
            bits[(bit / 64) as usize] |= 1 << (bit % 64);
        }
        HashFilter { bits, shift }
    }

    fn may_have(&self, hash: u64) -> bool {
        let bit = hash >> self.shift;
        self.bits[(bit / 64) as usize] & (1 << (bit % 64)) != 0
    }
}
