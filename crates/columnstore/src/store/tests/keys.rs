//! Keys as ways to rows: scans by them, and reads of few rows, see what scans without them see, and
//! unique ones hold, through moves, freezes, flushes, merges, deletes, restarts and changes of the schema.

use super::*;
use crate::Compare;
use crate::keys::KeyUse;
use crate::layout::maintain::Maintenance;
use crate::snapshot::Few;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use types::{KeyDef, Value};

fn key(name: &str, columns: &[u32], unique: bool) -> KeyDef {
    KeyDef { name: name.into(), columns: columns.iter().map(|id| ColumnId(*id)).collect(), unique }
}

/// k BIGINT PRIMARY KEY, v BIGINT with a key.
fn table(unique: bool) -> TableDef {
    let mut def = testing::number_table(1);
    def.keys = vec![key("v", &[2], unique)];
    def
}

struct World {
    f: Fixture,
    unique: bool,
    rng: StdRng,
    rows: BTreeMap<i64, i64>,
    next_txn: u64,
    /// Reads of few rows that were answered.
    few: u64,
}

impl World {
    /// Of half of the seeds, rows in segments are not in the order of the primary key.
    fn new(seed: u64, unique: bool) -> World {
        let mut def = table(unique);
        if seed % 2 == 1 {
            def.sort_key = vec![ColumnId(2)];
        }
        let f = Fixture::with(small_options(), def);
        World { f, unique, rng: StdRng::seed_from_u64(seed), rows: BTreeMap::new(), next_txn: 1, few: 0 }
    }

    fn value(&mut self) -> i64 {
        self.rng.random_range(0..if self.unique { 400 } else { 40 })
    }

    /// Whether no two rows have a value that may be there once.
    fn holds(&self, rows: &BTreeMap<i64, i64>) -> bool {
        let mut values: Vec<i64> = rows.values().copied().collect();
        values.sort_unstable();
        !self.unique || values.windows(2).all(|pair| pair[0] != pair[1])
    }

    fn statement(&mut self, tx: &mut Tx, rows: &mut BTreeMap<i64, i64>) {
        let before = rows.clone();
        let keys: Vec<i64> =
            (0..self.rng.random_range(1..6)).map(|_| self.rng.random_range(0..150)).collect();
        let failed = match self.rng.random_range(0..10) {
            0..=4 => {
                let new: BTreeMap<i64, i64> = keys.iter().map(|k| (*k, self.value())).collect();
                let taken = new.keys().any(|k| rows.contains_key(k));
                rows.extend(&new);
                let failed = taken || !self.holds(rows);
                let new: Vec<(i64, i64)> = new.into_iter().collect();
                let result = tx.insert(P1, &new);
                assert_eq!(result.is_err(), failed, "{new:?} {result:?}");
                failed
            }
            5..=7 => {
                let plus = self.rng.random_range(1..30);
                let changed = rows.iter_mut().filter(|(k, _)| keys.contains(k));
                changed.for_each(|(_, v)| *v += plus);
                let failed = !self.holds(rows);
                let result = tx.update(P1, &keys, |k, v| (k, v + plus));
                assert_eq!(result.is_err(), failed, "{result:?}");
                failed
            }
            _ => {
                tx.delete(P1, &keys).unwrap();
                rows.retain(|k, _| !keys.contains(k));
                false
            }
        };
        if failed || self.rng.random_bool(0.1) {
            tx.undo_statement();
            *rows = before;
        }
        let view = tx.view();
        self.check(view, rows);
    }

    fn transaction(&mut self) {
        let mut tx = self.f.begin(self.next_txn);
        self.next_txn += 1;
        let mut rows = self.rows.clone();
        for _ in 0..self.rng.random_range(1..4) {
            self.statement(&mut tx, &mut rows);
            if self.rng.random_bool(0.2) {
                self.layout();
                let view = tx.view();
                self.check(view, &rows);
            }
        }
        if self.rng.random_bool(0.85) {
            tx.commit().unwrap();
            self.rows = rows;
        } else {
            tx.rollback();
        }
    }

    fn layout(&mut self) {
        let (store, table) = (&self.f.store, self.f.def.id);
        match self.rng.random_range(0..4) {
            0 | 1 => {
                let partition = store.partition(P1).unwrap();
                partition.latch().unwrap().freeze(&store.leaf, table).unwrap();
            }
            2 => store.flush(P1).unwrap(),
            _ => store.optimize(P1).unwrap(),
        }
    }

    /// Every way by a key shows the rows that pass, and each once.
    fn check(&mut self, view: ReadView, rows: &BTreeMap<i64, i64>) {
        let snapshot = self.f.store.snapshot(P1, self.f.def.id, view).unwrap();
        let (a, b) = (self.value(), self.value());
        let (low, high) = (self.rng.random_range(0..150), self.rng.random_range(0..150));
        let compare =
            |column, op, value| Predicate::Compare { column: ColumnId(column), op, value: Value::Int(value) };
        type Passes = Box<dyn Fn(i64, i64) -> bool>;
        let conditions: [(Vec<Predicate>, Passes); 8] = [
            (vec![compare(2, Compare::Eq, a)], Box::new(move |_, v| v == a)),
            (
                vec![Predicate::In { column: ColumnId(2), values: vec![Value::Int(a), Value::Int(b)] }],
                Box::new(move |_, v| v == a || v == b),
            ),
            (
                vec![compare(2, Compare::GreaterEq, a), compare(2, Compare::Less, a + 9)],
                Box::new(move |_, v| (a..a + 9).contains(&v)),
            ),
            (
                vec![compare(2, Compare::Eq, a), compare(1, Compare::Greater, 70)],
                Box::new(move |k, v| v == a && k > 70),
            ),
            (
                vec![compare(1, Compare::GreaterEq, low), compare(1, Compare::LessEq, high)],
                Box::new(move |k, _| (low..=high).contains(&k)),
            ),
            (
                vec![compare(1, Compare::Greater, low), compare(2, Compare::NotEq, a)],
                Box::new(move |k, v| k > low && v != a),
            ),
            (
                vec![Predicate::In { column: ColumnId(1), values: vec![Value::Int(low), Value::Int(high)] }],
                Box::new(move |k, _| k == low || k == high),
            ),
            (
                vec![compare(1, Compare::Eq, low), compare(2, Compare::Less, b)],
                Box::new(move |k, v| k == low && v < b),
            ),
        ];
        for (predicates, passes) in conditions {
            let is_sorted_by_v = !snapshot.def().sort_key.is_empty();
            let used = KeyUse::of_any(snapshot.def(), &predicates);
            assert!(used.is_some() || is_sorted_by_v);
            // The tail has no order of this key.
            let is_range_of_v = used.is_some_and(|used| used.name.is_some() && used.values.is_none());
            let found: BTreeMap<i64, i64> =
                scan(&snapshot, &predicates).unwrap().into_iter().map(|(k, (v, _))| (k, v)).collect();
            let expected: BTreeMap<i64, i64> =
                rows.iter().filter(|(k, v)| passes(**k, **v)).map(|(k, v)| (*k, *v)).collect();
            assert_eq!(found, expected, "{predicates:?}");
            let columns = vec![ColumnId(1), ColumnId(2)];
            let spec = ScanSpec { columns, predicates, row_refs: false };
            for (most, wait) in [(1_000, false), (1_000, true), (2, true)] {
                let batches = match snapshot.few(&spec, most, wait).unwrap() {
                    Few::Rows(batches) => batches,
                    Few::Many => {
                        assert!(most == 2 || is_sorted_by_v || is_range_of_v, "{spec:?}");
                        continue;
                    }
                    Few::NotInMemory => {
                        assert!(!wait, "{spec:?}");
                        continue;
                    }
                };
                self.few += 1;
                let rows = batches.iter().flat_map(testing::values).map(|row| match row.as_slice() {
                    [Value::Int(k), Value::Int(v)] => (*k, *v),
                    other => panic!("{other:?}"),
                });
                let rows: Vec<(i64, i64)> = rows.collect();
                assert_eq!(rows.len(), expected.len(), "{spec:?}");
                assert_eq!(BTreeMap::from_iter(rows), expected, "{spec:?}");
            }
        }
    }

    fn step(&mut self) {
        match self.rng.random_range(0..20) {
            0..=14 => self.transaction(),
            15..=17 => self.layout(),
            18 => self.f.clock.advance(self.rng.random_range(1..500)),
            _ => self.f.reopen(),
        }
        let ts = self.f.store.read_timestamp(&[P1]).unwrap();
        let rows = self.rows.clone();
        self.check(ReadView { ts, txn: None }, &rows);
    }
}

fn run_all(seeds: std::ops::Range<u64>, steps: usize) {
    for seed in seeds {
        for unique in [false, true] {
            let run = || {
                let mut world = World::new(seed, unique);
                (0..steps).for_each(|_| world.step());
                assert!(world.few > steps as u64 * 8, "{}", world.few);
            };
            if std::panic::catch_unwind(run).is_err() {
                panic!("seed {seed}, unique: {unique}, failed");
            }
        }
    }
}

#[test]
fn keys_are_as_the_model_says() {
    run_all(0..25, 40);
}

/// For a night: `cargo test many_keys -- --ignored`.
#[test]
#[ignore = "takes minutes"]
fn many_keys() {
    run_all(1_000..4_000, 60);
}

fn state_def(f: &Fixture) -> Arc<TableDef> {
    f.store.partition(P1).unwrap().latch().unwrap().state(f.def.id).unwrap().def.clone()
}

/// As few segments as there can be, without what is gone and with keys that are younger than the rows;
/// the rows stay, and are whole.
#[test]
fn merging_all_leaves_one_segment_with_all_keys() {
    let f = Fixture::small();
    let rows: Vec<(i64, i64)> = (0..200).map(|k| (k, k % 7)).collect();
    for (number, part) in rows.chunks(50).enumerate() {
        f.put(number as u64 + 1, P1, part);
        f.store.maintain(P1, f.def.id, Maintenance::Flush).unwrap();
    }
    let mut tx = f.begin(9);
    tx.delete(P1, &[3, 103]).unwrap();
    tx.commit().unwrap();
    let mut def = table(false);
    def.version += 1;
    f.store.put_table(P1, Arc::new(def)).unwrap();
    let mut expected: BTreeMap<i64, i64> = rows.iter().copied().filter(|(k, _)| k % 100 != 3).collect();
    assert_eq!(f.now(P1), expected);
    // Time goes on until nobody may read what was before the deletes.
    f.clock.advance(60_000);
    let mut tx = Tx { def: state_def(&f), ..f.begin(10) };
    tx.insert(P1, &[(500, 1)]).unwrap();
    tx.commit().unwrap();
    expected.insert(500, 1);
    assert_eq!(f.store.statistics().segments, 4);
    assert!(f.store.maintain(P1, f.def.id, Maintenance::MergeAll).unwrap().is_empty());
    let after = f.store.statistics();
    assert_eq!((after.segments, after.segment_rows, after.unflushed_rows, after.lag_bytes), (1, 199, 0, 0));
    assert_eq!(f.now(P1), expected);
    let partition = f.store.partition(P1).unwrap();
    let state = partition.latch().unwrap().state(f.def.id).unwrap().clone();
    assert!(state.segments[0].file.segment.has_run(&[ColumnId(2)]));
    // Nothing is left to gain: the same segment stays.
    f.store.maintain(P1, f.def.id, Maintenance::MergeAll).unwrap();
    let again = partition.latch().unwrap().state(f.def.id).unwrap().clone();
    assert_eq!(again.segments[0].id(), state.segments[0].id());
    assert!(f.store.maintain(P1, f.def.id, Maintenance::Check).unwrap().is_empty());
    let path = state.segments[0].file.segment.path().to_path_buf();
    f.disk.flip_bit(&path, 100).unwrap();
    let wrong = f.store.maintain(P1, f.def.id, Maintenance::Check).unwrap();
    assert!(wrong.len() == 1 && wrong[0].contains("corrupt at byte"), "{wrong:?}");
}

/// Rows of segments, of a frozen run and of the tail are found by a key that is made later.
#[test]
fn a_key_made_later_finds_older_rows() {
    let f = Fixture::small();
    let expected = |v: i64| (0..60).filter(|k| k % 7 == v).map(|k| (k, v)).collect::<BTreeMap<i64, i64>>();
    let rows: Vec<(i64, i64)> = (0..60).map(|k| (k, k % 7)).collect();
    f.put(1, P1, &rows[..20]);
    f.store.flush(P1).unwrap();
    f.put(2, P1, &rows[20..40]);
    f.store.partition(P1).unwrap().latch().unwrap().freeze(&f.store.leaf, f.def.id).unwrap();
    f.put(3, P1, &rows[40..]);
    let mut def = table(false);
    def.version += 1;
    f.store.put_table(P1, Arc::new(def)).unwrap();
    let find = |v: i64| -> BTreeMap<i64, i64> {
        let ts = f.store.read_timestamp(&[P1]).unwrap();
        let snapshot = f.store.snapshot(P1, f.def.id, ReadView { ts, txn: None }).unwrap();
        let equal = Predicate::Compare { column: ColumnId(2), op: Compare::Eq, value: Value::Int(v) };
        assert_eq!(crate::key_used(snapshot.def(), std::slice::from_ref(&equal)), Some("v"));
        scan(&snapshot, &[equal]).unwrap().into_iter().map(|(k, (v, _))| (k, v)).collect()
    };
    assert_eq!(find(3), expected(3));
    f.store.flush(P1).unwrap();
    assert_eq!(find(3), expected(3));
}
