//! Unique keys beside the primary one.
//!
//! Whoever writes a row locks the values that it brings and the values that it takes away, by their
//! hashes, until its transaction ends. So a row with a value that is locked here is committed or one's
//! own, or another transaction changes nothing of that value: whether the value is taken does not
//! depend on anybody else's outcome. Rows with a value are found in the tail by its index, in runs and
//! segments by the key's run (see [`crate::keys`]), or, where there is none or very many values are
//! wanted, by a scan of the key's columns with the wanted values as conditions.

use super::Store;
use crate::StoreError;
use crate::access::WriteContext;
use crate::keys::search::{KeyRange, Part};
use crate::partition::locking::{Had, LockKey};
use crate::partition::state::{Begin, SegmentSource, TableState};
use crate::partition::{Latch, Partition};
use crate::predicate::Predicate;
use crate::scan::{ScanSpec, row_ref, unknown_column};
use crate::tail::entry::{Entry, Fate, Place};
use crate::tail::key::value_at;
use crate::tail::row::adapt;
use crate::tail::run::FrozenRun;
use crate::tail::unique::{UniqueValues, encode, value_of};
use arrow::array::AsArray;
use arrow::datatypes::UInt64Type;
use arrow::record_batch::RecordBatch;
use hashbrown::HashMap;
use std::ops::Range;
use std::sync::Arc;
use txn::Mode;
use types::{ColumnId, SqlType, TableDef, TableId, Value};

/// A search for a value by key costs about what a scan of so many rows does.
const ROWS_PER_LOOKUP: usize = 256;

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
            if !wanted.is_empty() {
                let search = Search { state, key, rows: rows.clone(), wanted: &wanted };
                for run in &state.runs {
                    search.in_run(run, &mut found)?;
                }
                for source in &state.segments {
                    search.in_segment(source, &mut found)?;
                }
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

/// The value in a row of a batch that begins with the key's columns; None if there is a NULL in it.
pub(super) fn bytes_at(
    def: &TableDef,
    columns: &[ColumnId],
    batch: &RecordBatch,
    row: usize,
) -> Result<Option<Box<[u8]>>, StoreError> {
    let mut values = Vec::with_capacity(columns.len());
    for (at, id) in columns.iter().enumerate() {
        let column = def.column(*id).ok_or_else(|| unknown_column(def, *id))?;
        values.push(value_at(batch.column(at).as_ref(), column.ty, row)?);
    }
    encode(def, columns, &values)
}

/// A search for the values that rows have in one key. Rows that are gone are found, too.
struct Search<'a> {
    state: &'a TableState,
    key: &'a UniqueValues,
    rows: Range<usize>,
    wanted: &'a HashMap<&'a [u8], Vec<usize>>,
}

type Found = HashMap<usize, Vec<Place>>;

/// Gives the rows in ranges of a key; None where there is no run of it.
type Look<'a> = &'a dyn Fn(&[KeyRange]) -> Result<Option<Vec<u32>>, StoreError>;

impl Search<'_> {
    fn in_run(&self, run: &FrozenRun, found: &mut Found) -> Result<(), StoreError> {
        let columns = run.columns()?;
        let look = |range: &[KeyRange]| columns.rows_by_key(&self.key.columns, range, usize::MAX);
        if self.is_selective(columns.rows()) && self.by_key(run.source, found, &look)? {
            return Ok(());
        }
        let batch = adapt(&columns.def, &self.state.def, &columns.batch)?;
        let spec = conditions(&self.state.def, self.key, self.rows.clone());
        let mut note = |batch: RecordBatch| self.note(&batch, found);
        crate::filter_batch(&self.state.def, &batch, &spec, None, row_ref(run.source, 0), &mut note)?;
        Ok(())
    }

    fn in_segment(&self, source: &SegmentSource, found: &mut Found) -> Result<(), StoreError> {
        if matches!(&source.begin, Begin::Bulk { slot, .. } if slot.fate() == Fate::Aborted) {
            return Ok(());
        }
        let (segment, def) = (&source.file.segment, &self.state.def);
        let look = |range: &[KeyRange]| segment.rows_by_key(def, &self.key.columns, range, usize::MAX);
        if self.is_selective(source.rows() as usize) && self.by_key(source.id(), found, &look)? {
            return Ok(());
        }
        let spec = conditions(def, self.key, self.rows.clone());
        for block in 0..segment.blocks() {
            if segment.may_match(block, &spec.predicates) {
                segment.scan_block(block, def, &spec, None, &mut |batch| self.note(&batch, found))?;
            }
        }
        Ok(())
    }

    fn is_selective(&self, rows: usize) -> bool {
        self.wanted.len() <= (rows / ROWS_PER_LOOKUP).max(1)
    }

    /// False if there is no run of the key.
    fn by_key(&self, source: u32, found: &mut Found, look: Look<'_>) -> Result<bool, StoreError> {
        for rows in self.wanted.values() {
            // Invariant: each value is wanted by a row that has it.
            let Some(value) = rows.first().and_then(|row| self.key.values[*row].as_ref()) else { continue };
            let mut equal = Vec::with_capacity(value.values.len());
            for (id, value) in self.key.columns.iter().zip(&value.values) {
                let column =
                    self.state.def.column(*id).ok_or_else(|| unknown_column(&self.state.def, *id))?;
                match Part::of(value, column.ty) {
                    Some(part) => equal.push(part),
                    None => return Ok(false),
                }
            }
            let Some(places) = look(&[KeyRange { equal, low: None, high: None }])? else { return Ok(false) };
            for row in rows {
                let places = places.iter().map(|row| Place { source, row: *row });
                found.entry(*row).or_default().extend(places);
            }
        }
        Ok(true)
    }

    /// Takes up those rows of a scan that have a wanted value.
    fn note(&self, batch: &RecordBatch, found: &mut Found) -> Result<bool, StoreError> {
        let refs = batch.column(self.key.columns.len()).as_primitive::<UInt64Type>();
        for at in 0..batch.num_rows() {
            let Some(bytes) = bytes_at(&self.state.def, &self.key.columns, batch, at)? else { continue };
            for row in self.wanted.get(&*bytes).into_iter().flatten() {
                found.entry(*row).or_default().push(Place::of_ref(refs.value(at)));
            }
        }
        Ok(true)
    }
}

/// Whether a row stands at a place of a run or segment and is not gone.
fn stands(state: &TableState, place: Place) -> bool {
    if let Some(run) = state.run(place.source) {
        return run.stands(place.row);
    }
    state.segment(place.source).is_some_and(|segment| !segment.deletes.contains(place.row))
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
        if stands(state, *place) {
            return Ok(Some(Owner::Outside(*place)));
        }
    }
    Ok(None)
}

pub(crate) fn duplicate(def: &TableDef, key: &UniqueValues, row: usize) -> StoreError {
    let name = def.keys.get(key.number as usize - 1).map(|key| key.name.clone()).unwrap_or_default();
    let value = key.shown.text(row);
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
