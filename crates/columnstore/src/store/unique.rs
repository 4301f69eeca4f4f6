//! Unique keys beside the primary one.
//!
//! Whoever writes a row locks the values that it brings and the values that it takes away, by their
//! hashes, until its transaction ends. So a row with a value that is locked here is committed or one's
//! own, or another transaction changes nothing of that value: whether the value is taken does not
//! depend on anybody else's outcome. Rows with a value are found in the tail by its index, in runs and
//! segments by a scan of the key's columns with the wanted values as conditions.

use super::Store;
use crate::StoreError;
use crate::access::WriteContext;
use crate::partition::locking::{Had, LockKey};
use crate::partition::state::{Begin, TableState};
use crate::partition::{Latch, Partition};
use crate::predicate::Predicate;
use crate::scan::{ScanSpec, row_ref};
use crate::tail::entry::{Entry, Fate, Place};
use crate::tail::key::{key_text, value_at};
use crate::tail::row::adapt;
use crate::tail::unique::{UniqueValues, encode, value_of};
use arrow::array::AsArray;
use arrow::datatypes::UInt64Type;
use arrow::record_batch::RecordBatch;
use hashbrown::HashMap;
use std::ops::Range;
use std::sync::Arc;
use txn::Mode;
use types::{SqlType, TableDef, TableId, Timestamp, Value};

/// What has a value already.
#[derive(Debug, Clone)]
pub(crate) enum Owner {
    /// An entry of the tail.
    Entry(Arc<Entry>),
    /// A row of a run or segment.
    Outside(Place),
}

/// Rows of runs and segments that have values which are looked for: for each key, by new row.
pub(crate) struct Outside(Vec<HashMap<usize, Vec<Place>>>);

impl Outside {
    /// Looks for the values of these rows. Reads from disk: not to be called under the latch.
    pub(crate) fn find(
        state: &TableState,
        unique: &[UniqueValues],
        rows: Range<usize>,
    ) -> Result<Outside, StoreError> {
        let mut all = Vec::with_capacity(unique.len());
        for key in unique {
            let mut wanted: HashMap<&[u8], Vec<usize>> = HashMap::new();
            for row in rows.clone() {
                if let Some(value) = &key.values[row] {
                    wanted.entry(&value.bytes).or_default().push(row);
                }
            }
            let mut found: HashMap<usize, Vec<Place>> = HashMap::new();
            let stands_elsewhere = !state.runs.is_empty() || !state.segments.is_empty();
            if stands_elsewhere && !wanted.is_empty() {
                let spec = conditions(&state.def, key, rows.clone());
                scan(state, &spec, &mut |batch| {
                    let refs = batch.column(key.columns.len()).as_primitive::<UInt64Type>();
                    for at in 0..batch.num_rows() {
                        let Some(bytes) = bytes_at(&state.def, key, &batch, at)? else { continue };
                        for row in wanted.get(&*bytes).into_iter().flatten() {
                            found.entry(*row).or_default().push(Place::of_ref(refs.value(at)));
                        }
                    }
                    Ok(true)
                })?;
            }
            all.push(found);
        }
        Ok(Outside(all))
    }
}

/// A scan of a key's columns for the values of these rows.
fn conditions(def: &TableDef, key: &UniqueValues, rows: Range<usize>) -> ScanSpec {
    let mut predicates = Vec::new();
    for (at, id) in key.columns.iter().enumerate() {
        // -0 and 0 are one value and have different bits: floats are compared afterwards.
        let is_float = def.column(*id).is_none_or(|c| matches!(c.ty, SqlType::Float | SqlType::Double));
        if !is_float {
            let values: Vec<Value> =
                key.values[rows.clone()].iter().flatten().map(|value| value.values[at].clone()).collect();
            predicates.push(Predicate::In { column: *id, values });
        }
    }
    ScanSpec { columns: key.columns.clone(), predicates, row_refs: true }
}

fn bytes_at(
    def: &TableDef,
    key: &UniqueValues,
    batch: &RecordBatch,
    row: usize,
) -> Result<Option<Box<[u8]>>, StoreError> {
    let mut values = Vec::with_capacity(key.columns.len());
    for (at, id) in key.columns.iter().enumerate() {
        let column = def.column(*id).ok_or_else(|| crate::scan::unknown_column(def, *id))?;
        values.push(value_at(batch.column(at).as_ref(), column.ty, row)?);
    }
    encode(def, &key.columns, &values)
}

/// Visits the rows of runs and segments, those that are gone among them.
fn scan(
    state: &TableState,
    spec: &ScanSpec,
    emit: &mut dyn FnMut(RecordBatch) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    for run in &state.runs {
        let columns = run.columns()?;
        let batch = adapt(&columns.def, &state.def, &columns.batch)?;
        crate::filter_batch(&state.def, &batch, spec, None, row_ref(run.source, 0), emit)?;
    }
    for source in &state.segments {
        if matches!(&source.begin, Begin::Bulk { slot, .. } if slot.fate() == Fate::Aborted) {
            continue;
        }
        let segment = &source.file.segment;
        for block in 0..segment.blocks() {
            if segment.may_match(block, &spec.predicates) {
                segment.scan_block(block, &state.def, spec, None, emit)?;
            }
        }
    }
    Ok(())
}

/// Whether a row stands at a place of a run or segment and is not gone.
fn stands(state: &TableState, place: Place) -> Result<bool, StoreError> {
    if let Some(run) = state.run(place.source) {
        let is_newest = run.columns()?.end.get(place.row as usize) == Some(&Timestamp::MAX);
        return Ok(is_newest && !run.deletes.contains(place.row));
    }
    Ok(state.segment(place.source).is_some_and(|segment| !segment.deletes.contains(place.row)))
}

/// What has the value of a row in the `at`-th of the unique keys, `except` this entry. The value is
/// locked; `state` has the layout that was searched.
pub(crate) fn owner(
    state: &TableState,
    unique: &[UniqueValues],
    at: usize,
    row: usize,
    outside: &Outside,
    except: Option<u64>,
) -> Result<Option<Owner>, StoreError> {
    let key = &unique[at];
    let Some(value) = &key.values[row] else { return Ok(None) };
    for entry in state.tail.with_value(value.hash) {
        if Some(entry.id) == except {
            continue;
        }
        let has_it = {
            let versions = entry.versions();
            match versions.newest().and_then(|version| version.row.as_ref()) {
                Some(newest) => value_of(&state.def, &key.columns, newest)?.as_ref() == Some(&value.bytes),
                None => false,
            }
        };
        if has_it {
            return Ok(Some(Owner::Entry(entry)));
        }
    }
    for place in outside.0[at].get(&row).into_iter().flatten() {
        if stands(state, *place)? {
            return Ok(Some(Owner::Outside(*place)));
        }
    }
    Ok(None)
}

pub(crate) fn duplicate(def: &TableDef, key: &UniqueValues, row: usize) -> StoreError {
    let types: Vec<SqlType> =
        key.columns.iter().filter_map(|id| def.column(*id).map(|column| column.ty)).collect();
    let name = def.keys.get(key.number as usize - 1).map(|key| key.name.clone()).unwrap_or_default();
    let value = key.values[row].as_ref().map(|value| key_text(&value.values, &types)).unwrap_or_default();
    StoreError::DuplicateKey { table: def.name.clone(), key: name, value }
}

impl Store {
    /// Locks values by their hashes.
    pub(crate) fn lock_values(
        &self,
        partition: &Partition,
        core: &mut Latch<'_>,
        ctx: &WriteContext,
        table: TableId,
        hashes: impl IntoIterator<Item = u64>,
    ) -> Result<Had, StoreError> {
        let mut all = Had::AtOnce;
        for hash in hashes {
            let key = (LockKey::Value(table, hash), Mode::Exclusive);
            if partition.acquire(&self.leaf, core, ctx, key, None)? == Had::AfterWaiting {
                all = Had::AfterWaiting;
            }
        }
        Ok(all)
    }

    /// After rows were given new values: no other row may have one of them.
    pub(crate) fn check_unique(
        &self,
        partition: &Partition,
        table: TableId,
        unique: &[UniqueValues],
        rows: &[(usize, u64)],
    ) -> Result<(), StoreError> {
        let (Some(first), Some(last)) =
            (rows.iter().map(|(row, _)| *row).min(), rows.iter().map(|(row, _)| *row).max())
        else {
            return Ok(());
        };
        loop {
            let searched = partition.latch()?.state(table)?.clone();
            let outside = Outside::find(&searched, unique, first..last + 1)?;
            let core = partition.latch()?;
            let state = core.state(table)?;
            if !state.same_layout(&searched) {
                continue;
            }
            for (row, entry) in rows {
                for at in 0..unique.len() {
                    if owner(state, unique, at, *row, &outside, Some(*entry))?.is_some() {
                        return Err(duplicate(&state.def, &unique[at], *row));
                    }
                }
            }
            return Ok(());
        }
    }
}
