//! Random work on one table in two partitions against a map that keeps every state that was committed.
//!
//! Everything that may happen to the layout happens between: freeze, flush, merge, restart. After each
//! step the newest state is compared, and now and then a held older one.

use super::*;
use crate::access::{KeyRead, ReadAt};
use crate::snapshot::SnapshotHold;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use types::Value;

type State = BTreeMap<PartitionId, BTreeMap<i64, i64>>;

/// Keys of the model; few, so that they meet often.
const KEYS: i64 = 60;

pub(super) struct World {
    pub(super) f: Fixture,
    rng: StdRng,
    state: State,
    /// States that a held snapshot must still show.
    kept: Vec<(Timestamp, State, SnapshotHold)>,
    next_txn: u64,
}

/// What a transaction has done to the model so far, to be undone statement by statement.
struct Draft {
    tx: Tx,
    state: State,
}

impl World {
    fn new(seed: u64) -> World {
        let f = Fixture::small();
        let state = State::from([(P1, BTreeMap::new()), (P2, BTreeMap::new())]);
        World { f, rng: StdRng::seed_from_u64(seed), state, kept: Vec::new(), next_txn: 1 }
    }

    fn some_keys(&mut self) -> Vec<i64> {
        (0..self.rng.random_range(1..8)).map(|_| self.rng.random_range(0..KEYS)).collect()
    }

    fn statement(&mut self, draft: &mut Draft) {
        let p = if self.rng.random_bool(0.5) { P1 } else { P2 };
        let before = draft.state.clone();
        let rows = draft.state.get_mut(&p).unwrap();
        let mut failed = false;
        match self.rng.random_range(0..10) {
            0..=3 => {
                let new: Vec<(i64, i64)> =
                    self.some_keys().into_iter().map(|k| (k, self.rng.random_range(0..1_000))).collect();
                let unique = {
                    let mut keys: Vec<i64> = new.iter().map(|(k, _)| *k).collect();
                    keys.sort_unstable();
                    keys.windows(2).all(|pair| pair[0] != pair[1])
                };
                if self.rng.random_bool(0.5) {
                    let result = draft.tx.insert(p, &new);
                    failed = !unique || new.iter().any(|(k, _)| rows.contains_key(k));
                    assert_eq!(result.is_err(), failed, "{result:?}");
                    rows.extend(new);
                } else {
                    let expected = new.iter().filter(|(k, v)| match rows.contains_key(k) {
                        true => false,
                        false => rows.insert(*k, *v).is_none(),
                    });
                    let expected = expected.count() as u64;
                    assert_eq!(draft.tx.insert_as(p, &new, OnDuplicate::Ignore).unwrap(), expected);
                }
            }
            4..=6 => {
                let keys = self.some_keys();
                let plus = self.rng.random_range(1..10);
                draft.tx.update(p, &keys, |k, v| (k, v + plus)).unwrap();
                rows.iter_mut().filter(|(k, _)| keys.contains(k)).for_each(|(_, v)| *v += plus);
            }
            7 => {
                // Keys move up by one, all at once.
                let keys = self.some_keys();
                let moving: Vec<(i64, i64)> =
                    rows.iter().filter(|(k, _)| keys.contains(k)).map(|(k, v)| (*k, *v)).collect();
                let result = draft.tx.update(p, &keys, |k, v| (k + 1, v));
                moving.iter().for_each(|(k, _)| {
                    rows.remove(k);
                });
                failed = moving.iter().any(|(k, _)| rows.contains_key(&(k + 1)));
                assert_eq!(result.is_err(), failed, "{result:?}");
                rows.extend(moving.iter().map(|(k, v)| (k + 1, *v)));
            }
            _ => {
                let keys = self.some_keys();
                draft.tx.delete(p, &keys).unwrap();
                rows.retain(|k, _| !keys.contains(k));
            }
        }
        if failed || self.rng.random_bool(0.1) {
            draft.tx.undo_statement();
            draft.state = before;
        }
        for p in [P1, P2] {
            assert_eq!(draft.tx.see(p), draft.state[&p]);
        }
    }

    fn transaction(&mut self) {
        let mut draft = Draft { tx: self.f.begin(self.next_txn), state: self.state.clone() };
        self.next_txn += 1;
        for _ in 0..self.rng.random_range(1..5) {
            self.statement(&mut draft);
            if self.rng.random_bool(0.3) {
                self.layout();
                for p in [P1, P2] {
                    assert_eq!(draft.tx.see(p), draft.state[&p]);
                }
            }
        }
        if self.rng.random_bool(0.8) {
            draft.tx.commit().unwrap();
            self.state = draft.state;
        } else {
            draft.tx.rollback();
        }
    }

    fn layout(&mut self) {
        let p = if self.rng.random_bool(0.5) { P1 } else { P2 };
        let store = &self.f.store;
        let table = self.f.def.id;
        let partition = store.partition(p).unwrap();
        match self.rng.random_range(0..5) {
            0 | 1 => {
                partition.latch().unwrap().freeze(&store.leaf, table).unwrap();
            }
            2 => store.flush(p).unwrap(),
            3 => store.optimize(p).unwrap(),
            _ => {
                // A merge of whatever there is.
                let all: Vec<u32> = partition
                    .latch()
                    .unwrap()
                    .state(table)
                    .unwrap()
                    .segments
                    .iter()
                    .map(|s| s.id())
                    .collect();
                if !all.is_empty() {
                    let job = crate::layout::pick::Job::Merge { segments: all };
                    store.run_job(&partition, table, &job).unwrap();
                }
            }
        }
    }

    fn check(&mut self) {
        for p in [P1, P2] {
            assert_eq!(self.f.now(p), self.state[&p]);
        }
        for (ts, state, _) in &self.kept {
            for p in [P1, P2] {
                assert_eq!(self.f.at(p, *ts), state[&p], "at {ts}");
            }
        }
        self.check_keys();
    }

    /// Reads by key and with a condition agree with the scan.
    fn check_keys(&mut self) {
        let k = self.rng.random_range(0..KEYS);
        let ts = self.f.store.read_timestamp(&[P1]).unwrap();
        let snapshot = self.f.store.snapshot(P1, self.f.def.id, ReadView { ts, txn: None }).unwrap();
        let spec = ScanSpec { columns: vec![ColumnId(2)], predicates: vec![], row_refs: false };
        let found = snapshot.get(&[Value::Int(k)], &spec).unwrap();
        let found = found.map(|batch| batch.column(0).as_primitive::<Int64Type>().value(0));
        assert_eq!(found, self.state[&P1].get(&k).copied());
        let at = ReadAt::Newest { not_before: ts };
        let columns = vec![ColumnId(2)];
        let read = KeyRead {
            key: vec![Value::Int(k)],
            columns,
            row_ref: false,
            at,
            txn: None,
            written: StatementNo(0),
        };
        if let Some(row) = self.f.store.try_get(P1, self.f.def.id, &read).unwrap() {
            let row = row.row.map(|batch| batch.column(0).as_primitive::<Int64Type>().value(0));
            assert_eq!(row, found);
        }
        let less = Predicate::Compare { column: ColumnId(1), op: crate::Compare::Less, value: Value::Int(k) };
        let found: Vec<i64> = scan(&snapshot, &[less]).unwrap().into_keys().collect();
        let expected: Vec<i64> = self.state[&P1].keys().copied().filter(|other| *other < k).collect();
        assert_eq!(found, expected);
    }

    fn step(&mut self) {
        match self.rng.random_range(0..20) {
            0..=12 => self.transaction(),
            13..=15 => self.layout(),
            16 | 17 => {
                let ts = self.f.store.read_timestamp(&[P1, P2]).unwrap();
                let hold = self.f.store.hold(ts);
                self.kept.push((ts, self.state.clone(), hold));
                if self.kept.len() > 3 {
                    let gone = self.rng.random_range(0..self.kept.len());
                    self.kept.swap_remove(gone);
                }
            }
            18 => self.f.clock.advance(self.rng.random_range(1..500)),
            _ => {
                self.f.reopen();
                // Holds belong to the store that ended; versions that were kept stay readable until the
                // watermark moves, so they are taken again.
                let again = std::mem::take(&mut self.kept);
                for (ts, state, _) in again {
                    let hold = self.f.store.hold(ts);
                    self.kept.push((ts, state, hold));
                }
            }
        }
        self.check();
    }
}

fn run(seed: u64, steps: usize) {
    let mut world = World::new(seed);
    for _ in 0..steps {
        world.step();
    }
}

fn run_all(seeds: std::ops::Range<u64>, steps: usize) {
    for seed in seeds {
        if std::panic::catch_unwind(|| run(seed, steps)).is_err() {
            panic!("seed {seed} failed");
        }
    }
}

#[test]
fn random_work_is_as_the_model_says() {
    run_all(0..60, 40);
}

#[test]
fn a_long_life_is_as_the_model_says() {
    run(1_000, 600);
}

/// For a night, or after changes of the layout: `cargo test many_worlds -- --ignored`.
#[test]
#[ignore = "takes minutes"]
fn many_worlds() {
    run_all(2_000..6_000, 80);
}
