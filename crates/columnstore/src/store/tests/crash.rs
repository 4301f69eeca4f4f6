//! Power is lost at a random operation of the disk. What was acknowledged is there, whole; of what was
//! not, all or nothing is there. Then life goes on, and is cut again.
//!
//! Each transaction writes the same rows of "accounts" in both partitions: its number under keys that
//! say which transaction it was, and an update of shared keys. So half a transaction shows.

use super::*;
use env::Fault;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

#[derive(Clone, PartialEq, Debug)]
struct Model {
    rows: BTreeMap<PartitionId, BTreeMap<i64, i64>>,
}

struct Run {
    disk: SimDisk,
    clock: Arc<SimClock>,
    def: Arc<TableDef>,
    rng: StdRng,
    /// All that was acknowledged.
    sure: Model,
    /// What there is if the transaction whose outcome is not known was committed.
    perhaps: Option<Model>,
    next_txn: u64,
    acknowledged: u64,
    newest: Timestamp,
    /// A timestamp that is held, and what it shows, over all lives.
    kept: Option<(Timestamp, Model)>,
}

impl Run {
    fn new(seed: u64) -> Run {
        Run {
            disk: SimDisk::new(seed),
            clock: SimClock::at_millis(1_000_000),
            def: Arc::new(testing::number_table(1)),
            rng: StdRng::seed_from_u64(seed),
            sure: Model { rows: BTreeMap::from([(P1, BTreeMap::new()), (P2, BTreeMap::new())]) },
            perhaps: None,
            next_txn: 1,
            acknowledged: 0,
            newest: Timestamp::ZERO,
            kept: None,
        }
    }

    fn options(&self) -> Options {
        Options { wal_file_bytes: 4 << 10, tail_rows: 24, bulk_rows: 20, ..small_options() }
    }

    /// One life, which ends at the injected loss of power at the latest.
    fn live(&mut self) {
        let store = match open(&self.disk, &self.clock, &self.options()) {
            Ok(store) => store,
            Err(error) => {
                assert!(self.disk.is_off(), "recovery failed: {error}");
                return;
            }
        };
        for p in [P1, P2] {
            if store.create_partition(p).is_err() || store.put_table(p, self.def.clone()).is_err() {
                return;
            }
        }
        let started = store.read_timestamp(&[P1, P2]).unwrap();
        assert!(started >= self.newest, "{started} < {}", self.newest);
        let mut found = Model { rows: BTreeMap::new() };
        for p in [P1, P2] {
            // A read may have to log a ceiling, and find the power off.
            match read(&store, p, self.def.id, ReadView { ts: started, txn: None }) {
                Ok(rows) => found.rows.insert(p, rows),
                Err(StoreError::Poisoned) if self.disk.is_off() => return,
                Err(error) => panic!("{error}"),
            };
        }
        match &self.perhaps {
            Some(perhaps) if *perhaps == found => self.sure = found,
            _ => assert_eq!(found, self.sure),
        }
        self.perhaps = None;
        if let Some((ts, model)) = &self.kept {
            for p in [P1, P2] {
                match read(&store, p, self.def.id, ReadView { ts: *ts, txn: None }) {
                    Ok(rows) => assert_eq!(rows, model.rows[&p], "{p} at {ts}"),
                    Err(StoreError::Poisoned) if self.disk.is_off() => return,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        if self.kept.is_none() || self.rng.random_bool(0.3) {
            self.kept = Some((started, self.sure.clone()));
        }
        let _hold = self.kept.as_ref().map(|(ts, _)| store.hold(*ts));
        for _ in 0..60 {
            let done = match self.rng.random_range(0..10) {
                0..=6 => self.transaction(&store),
                7 => self.load(&store),
                8 => store.flush(if self.rng.random_bool(0.5) { P1 } else { P2 }),
                _ => store.optimize(if self.rng.random_bool(0.5) { P1 } else { P2 }),
            };
            if done.is_err() || self.disk.is_off() {
                return;
            }
        }
    }

    fn transaction(&mut self, store: &Arc<Store>) -> Result<(), StoreError> {
        let number = self.next_txn as i64;
        let mut tx = Tx::new(store, &self.def, self.next_txn);
        self.next_txn += 1;
        let mut model = self.sure.clone();
        let both = self.rng.random_bool(0.7);
        let parts: &[PartitionId] = if both { &[P1, P2] } else { &[P2] };
        for p in parts {
            let rows = model.rows.get_mut(p).unwrap();
            tx.insert(*p, &[(number * 10, number), (number * 10 + 1, number)])?;
            rows.extend([(number * 10, number), (number * 10 + 1, number)]);
            let keys: Vec<i64> = rows.keys().copied().filter(|_| self.rng.random_bool(0.2)).take(6).collect();
            tx.update(*p, &keys, |k, v| (k, v + 1_000))?;
            keys.iter().for_each(|k| *rows.get_mut(k).unwrap() += 1_000);
            if self.rng.random_bool(0.3) {
                let keys: Vec<i64> = rows.keys().copied().take(2).collect();
                tx.delete(*p, &keys)?;
                if self.rng.random_bool(0.5) {
                    tx.undo_statement();
                } else {
                    rows.retain(|k, _| !keys.contains(k));
                }
            }
        }
        self.end(&mut tx, model)
    }

    fn load(&mut self, store: &Arc<Store>) -> Result<(), StoreError> {
        let number = self.next_txn as i64;
        let mut tx = Tx::new(store, &self.def, self.next_txn);
        self.next_txn += 1;
        let mut model = self.sure.clone();
        tx.next();
        for p in [P1, P2] {
            let rows: Vec<(i64, i64)> = (0..30).rev().map(|i| (-number * 100 - i, number)).collect();
            let ctx = tx.ctx(p);
            let mut load = store.begin_bulk(&ctx, p, self.def.id)?;
            load.append(testing::number_rows(&self.def, &rows))?;
            load.finish()?;
            model.rows.get_mut(&p).unwrap().extend(rows);
        }
        self.end(&mut tx, model)
    }

    fn end(&mut self, tx: &mut Tx, model: Model) -> Result<(), StoreError> {
        if self.rng.random_bool(0.1) {
            tx.rollback();
            return Ok(());
        }
        self.perhaps = Some(model.clone());
        self.newest = self.newest.max(tx.commit()?);
        self.acknowledged += 1;
        self.sure = model;
        self.perhaps = None;
        Ok(())
    }
}

fn run(seed: u64) -> u64 {
    let mut run = Run::new(seed);
    for life in 0..4 {
        // Some lives end early, in the midst of recovery even.
        let limit = if run.rng.random_bool(0.3) { 30 } else { 400 };
        let after = run.rng.random_range(0..limit);
        if life < 3 {
            run.disk.inject(after, Fault::PowerLoss);
        }
        run.live();
        run.disk = run.disk.restarted();
        if run.rng.random_bool(0.3) {
            run.clock.step_wall(900_000);
        } else {
            run.clock.advance(5_000);
        }
    }
    run.acknowledged
}

fn run_all(seeds: std::ops::Range<u64>) -> u64 {
    let mut acknowledged = 0;
    for seed in seeds {
        match std::panic::catch_unwind(|| run(seed)) {
            Ok(commits) => acknowledged += commits,
            Err(_) => panic!("seed {seed} failed"),
        }
    }
    acknowledged
}

#[test]
fn every_acknowledged_commit_survives_whole_and_no_other_by_half() {
    let acknowledged = run_all(0..400);
    assert!(acknowledged > 4_000, "only {acknowledged} commits were made");
}

/// For a night, or after changes of the log: `cargo test many_lives -- --ignored`.
#[test]
#[ignore = "takes minutes"]
fn many_lives() {
    run_all(1_000..11_000);
}
