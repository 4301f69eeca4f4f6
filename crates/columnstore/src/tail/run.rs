//! A frozen run: what was a tail, without its locked entries, as columns.
//!
//! Freezing is quick: it only names the tail and the entries that left it. The first who reads the run
//! turns it to columns, once; then the tail's memory is given back. Every committed version becomes a
//! row with the timestamps at which it begins and ends (the next version, or deletion). Rows that were
//! moved out later are in the run's delete vector.

use super::entry::Version;
use super::key::{Keys, key_hash, value_at};
use super::row::RowCollector;
use super::slab::Tail;
use super::statistics::of_batch;
use crate::StoreError;
use crate::deletes::DeleteVector;
use crate::keys::search::{KeyRange, KeyRun, Part, rows_in};
use crate::keys::with_runs;
use crate::segment::{ColumnStatistics, key_run};
use crate::waiting::wait_or_give_up;
use arrow::buffer::BooleanBuffer;
use arrow::record_batch::RecordBatch;
use env::Reservation;
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use std::cmp::Ordering;
use std::sync::{Arc, OnceLock};
use types::{ColumnId, TableDef, Timestamp};

/// (code, row) in the order of a key.
type Entries = Arc<Vec<(i64, u32)>>;

/// The columns of a run. Immutable.
pub(crate) struct RunColumns {
    /// The definition that the columns follow.
    pub(crate) def: Arc<TableDef>,
    pub(crate) batch: RecordBatch,
    pub(crate) begin: Vec<Timestamp>,
    /// `MAX` for the newest version of a row that was not deleted in the tail.
    pub(crate) end: Vec<Timestamp>,
    /// When the row was written, for moved copies; else as `begin`.
    pub(crate) original: Vec<Timestamp>,
    /// The entry that each row was.
    pub(crate) ids: Vec<u64>,
    /// The newest of all begins and ends.
    pub(crate) newest: Timestamp,
    /// The rows without an end; None if all are.
    live: Option<BooleanBuffer>,
    /// (hash of key, row), sorted.
    keys: Vec<(u64, u32)>,
    /// The runs of other keys that were looked for: made by the first who does.
    key_runs: Mutex<HashMap<Vec<ColumnId>, Entries>>,
    statistics: OnceLock<Vec<ColumnStatistics>>,
    _reserved: Reservation,
}

impl RunColumns {
    fn of(def: &Arc<TableDef>, frozen: &Frozen, mut reserved: Reservation) -> Result<RunColumns, StoreError> {
        let mut collector = RowCollector::new(def)?;
        let (mut begin, mut end, mut original, mut ids) = (vec![], vec![], vec![], vec![]);
        let mut newest = Timestamp::ZERO;
        for (_, entry) in frozen.tail.entries(0, frozen.tail.len()) {
            if frozen.left.contains(&entry.id) {
                continue;
            }
            let versions = entry.versions();
            let mut until = Timestamp::MAX;
            for version in versions.iter() {
                let Some(since) = Version::committed(version) else { continue };
                newest = newest.max(since);
                // Of several versions by one transaction the last counts.
                if let Some(row) = version.row.as_ref().filter(|_| since < until) {
                    collector.push(def, row)?;
                    begin.push(since);
                    end.push(until);
                    original.push(version.original.unwrap_or(since));
                    ids.push(entry.id);
                }
                until = since;
            }
        }
        let batch = collector.finish()?;
        let live = BooleanBuffer::collect_bool(end.len(), |row| end[row] == Timestamp::MAX);
        let live = (live.count_set_bits() < end.len()).then_some(live);
        let mut keys: Vec<(u64, u32)> = match Keys::of(def, &batch)? {
            Some(keys) => keys.bytes.iter().zip(0..).map(|(key, row)| (key_hash(key), row)).collect(),
            None => Vec::new(),
        };
        keys.sort_unstable();
        // If the budget is full the run is made nevertheless: it replaces a tail, which is larger.
        let per_row = 48 + size_of::<(i64, u32)>() * (1 + with_runs(def).count());
        let _ = reserved.try_grow(batch.get_array_memory_size() + batch.num_rows() * per_row);
        Ok(RunColumns {
            def: def.clone(),
            batch,
            begin,
            end,
            original,
            ids,
            newest,
            live,
            keys,
            key_runs: Mutex::default(),
            statistics: OnceLock::new(),
            _reserved: reserved,
        })
    }

    pub(crate) fn rows(&self) -> usize {
        self.begin.len()
    }

    /// What is known of the columns, worked out once; nothing if that fails.
    pub(crate) fn statistics(&self) -> &[ColumnStatistics] {
        self.statistics.get_or_init(|| of_batch(&self.def, &self.batch, self.rows()).unwrap_or_default())
    }

    /// The rows that a reader at `ts` sees, rows moved out aside; None: all.
    pub(crate) fn seen_at(&self, ts: Timestamp) -> Option<BooleanBuffer> {
        if ts >= self.newest {
            return self.live.clone();
        }
        Some(BooleanBuffer::collect_bool(self.rows(), |row| self.is_seen(row, ts)))
    }

    pub(crate) fn is_seen(&self, row: usize, ts: Timestamp) -> bool {
        self.begin[row] <= ts && ts < self.end[row]
    }

    /// The rows with this key, all versions.
    pub(crate) fn find(&self, key: &[u8]) -> Result<Vec<u32>, StoreError> {
        let hash = key_hash(key);
        let from = self.keys.partition_point(|(h, _)| *h < hash);
        let mut rows = Vec::new();
        for (_, row) in self.keys[from..].iter().take_while(|(h, _)| *h == hash) {
            let one = self.batch.slice(*row as usize, 1);
            if Keys::of(&self.def, &one)?.is_some_and(|keys| keys.bytes[0].as_ref() == key) {
                rows.push(*row);
            }
        }
        Ok(rows)
    }
}

impl RunColumns {
    /// Whether a search by a key begins at once.
    pub(crate) fn has_key_run(&self, key: &[ColumnId]) -> bool {
        self.key_runs.lock().contains_key(key)
    }

    /// The rows in these ranges of a key, ascending, all versions. None if there are more than `most`,
    /// or if the run lacks a column of the key.
    pub(crate) fn rows_by_key(
        &self,
        key: &[ColumnId],
        ranges: &[KeyRange],
        most: usize,
    ) -> Result<Option<Vec<u32>>, StoreError> {
        let places: Option<Vec<usize>> = key.iter().map(|id| self.def.position(*id)).collect();
        let Some(places) = places else { return Ok(None) };
        let known = self.key_runs.lock().get(key).cloned();
        let entries = match known {
            Some(entries) => entries,
            None => {
                wait_or_give_up()?;
                let made = Arc::new(key_run(&self.def, key, &self.batch)?);
                self.key_runs.lock().entry(key.to_vec()).or_insert(made).clone()
            }
        };
        rows_in(&mut KeyEntries { entries: &entries, columns: self, places }, ranges, most)
    }
}

struct KeyEntries<'a> {
    entries: &'a [(i64, u32)],
    columns: &'a RunColumns,
    places: Vec<usize>,
}

impl KeyRun for KeyEntries<'_> {
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn codes_around(&self, at: usize) -> Option<(i64, i64)> {
        self.entries.get(at).map(|(code, _)| (*code, *code))
    }

    fn code(&mut self, at: usize) -> Result<i64, StoreError> {
        Ok(self.entries[at].0)
    }

    fn row(&mut self, at: usize) -> Result<u32, StoreError> {
        Ok(self.entries[at].1)
    }

    fn compare(&mut self, row: u32, column: usize, part: &Part) -> Result<Ordering, StoreError> {
        let at = self.places[column];
        let ty = self.columns.def.columns[at].ty;
        let value = value_at(self.columns.batch.column(at).as_ref(), ty, row as usize)?;
        // NULL comes first.
        Ok(Part::of(&value, ty).map_or(Ordering::Less, |value| value.order(part)))
    }
}

/// A tail that takes no more entries, and the entries that were carried out of it.
struct Frozen {
    tail: Arc<Tail>,
    left: HashSet<u64>,
}

pub(crate) struct FrozenRun {
    /// Names this run in row references.
    pub(crate) source: u32,
    /// As of the tail that it was.
    pub(crate) first_id: u64,
    pub(crate) carried: Vec<u64>,
    pub(crate) first_file: Option<u64>,
    /// Bytes of the tail, and how many entries it had.
    pub(crate) bytes: usize,
    pub(crate) entries: usize,
    pub(crate) deletes: DeleteVector,
    def: Arc<TableDef>,
    frozen: Mutex<Option<(Frozen, Reservation)>>,
    columns: OnceLock<Result<Arc<RunColumns>, String>>,
}

impl FrozenRun {
    /// Freezes `tail` without the entries `left`, which go on in the next tail.
    pub(crate) fn new(
        source: u32,
        def: Arc<TableDef>,
        tail: Arc<Tail>,
        left: HashSet<u64>,
        reserved: Reservation,
    ) -> FrozenRun {
        FrozenRun {
            source,
            first_id: tail.first_id,
            carried: tail.carried.clone(),
            first_file: tail.first_file(),
            bytes: tail.bytes(),
            entries: tail.len().saturating_sub(left.len()),
            deletes: DeleteVector::default(),
            def,
            frozen: Mutex::new(Some((Frozen { tail, left }, reserved))),
            columns: OnceLock::new(),
        }
    }

    /// The run's columns; makes them if nobody has yet, so do not call it under the latch unless they
    /// are known to be made. Nor are they made by a call that may not wait.
    pub(crate) fn columns(&self) -> Result<&Arc<RunColumns>, StoreError> {
        if self.columns.get().is_none() {
            wait_or_give_up()?;
        }
        let made = self.columns.get_or_init(|| {
            // Invariant: the tail is there until it is taken here, once.
            let (frozen, reserved) = self.frozen.lock().take().ok_or("a run lost its rows")?;
            RunColumns::of(&self.def, &frozen, reserved).map(Arc::new).map_err(|error| error.to_string())
        });
        made.as_ref().map_err(|error| StoreError::internal(format_args!("freezing a tail failed: {error}")))
    }

    /// Whether a row is the newest of its entry and stands here still: no later version ended it here, and
    /// it was not moved out. Of a run without columns nobody has found a row.
    pub(crate) fn stands(&self, row: u32) -> bool {
        let end = self.made().and_then(|columns| columns.end.get(row as usize));
        end == Some(&Timestamp::MAX) && !self.deletes.contains(row)
    }

    /// The columns if they were made.
    pub(crate) fn made(&self) -> Option<&Arc<RunColumns>> {
        self.columns.get().and_then(|made| made.as_ref().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::entry::{Entry, Stamp};
    use crate::tail::key::encode_key;
    use crate::tail::row::{Row, RowEncoder, RowLayout};
    use crate::testing;
    use env::MemoryBudget;
    use types::{StatementNo, Value};

    #[test]
    fn versions_become_rows_with_begin_and_end() {
        let def = Arc::new(testing::kv_table(1));
        let layout = Arc::new(RowLayout::of(&def));
        let budget = MemoryBudget::new(1 << 20);
        let tail = Arc::new(Tail::new(1, 0, Vec::new(), budget.reservation()));
        let row = |k: i64, v: &str| {
            let batch = testing::kv_rows(&def, &[(k, Some(v))]);
            Row { layout: layout.clone(), bytes: RowEncoder::new(&def, &layout, &batch).unwrap().encode(0) }
        };
        let version = |ts: u64, row: Option<Row>| Version::new(Stamp::At(Timestamp(ts)), StatementNo(1), row);
        let entry = |id, k: i64, versions: Vec<Version>| {
            let entry = Entry::new(id, encode_key(&def, &[Value::Int(k)]), None, 1);
            versions.into_iter().for_each(|v| entry.push(v));
            tail.push(Arc::new(entry));
        };
        // Twice in one transaction, then again; deleted; carried out; never committed.
        entry(
            1,
            1,
            vec![
                version(10, Some(row(1, "x"))),
                version(10, Some(row(1, "a"))),
                version(20, Some(row(1, "b"))),
            ],
        );
        entry(2, 2, vec![version(12, Some(row(2, "c"))), version(30, None)]);
        entry(3, 3, vec![version(13, Some(row(3, "d")))]);
        entry(4, 4, vec![]);
        let run = FrozenRun::new(5, def.clone(), tail, HashSet::from([3]), budget.reservation());
        let columns = run.columns().unwrap();
        let at = |ts: u64| {
            let seen = columns.seen_at(Timestamp(ts));
            let rows = testing::values(&columns.batch);
            let row = |i: usize| format!("{:?}", rows[i][1]);
            (0..rows.len())
                .filter(|i| seen.as_ref().is_none_or(|s| s.value(*i)))
                .map(|i| row(i).replace("Text(\"", "").replace("\")", ""))
                .collect::<String>()
        };
        assert_eq!(
            (at(9), at(10), at(12), at(20), at(30)),
            ("".into(), "a".into(), "ac".into(), "bc".into(), "b".into())
        );
        let key = encode_key(&def, &[Value::Int(1)]).unwrap();
        assert_eq!(columns.find(&key).unwrap().len(), 2);
        let newest = |id: u64| {
            (0..columns.rows()).find(|r| columns.ids[*r] == id && columns.end[*r] == Timestamp::MAX)
        };
        assert_eq!(newest(1).map(|row| columns.begin[row]), Some(Timestamp(20)));
        assert_eq!((newest(2), newest(3)), (None, None));
    }
}
