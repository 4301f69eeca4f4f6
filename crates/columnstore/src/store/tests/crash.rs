//! Power is lost in the midst of everything that a leaf does: inserts, REPLACE by `insert_or_lock`,
//! unique keys, shared locks, schema changes, loads, freezes, flushes and merges, and transactions
//! over several leaves with their prepares, decisions and decides.
//!
//! Partition 2 stands for a partition of another leaf: what is on both is prepared there, decided in
//! partition 1, then told. Both are in one log, so after a restart that says what became of it.
//!
//! `PANDO_CRASH_SEEDS` says how many seeds, 0 that there is no end; `PANDO_CRASH_FIRST` is the first.

use super::*;
use crate::access::{IfLocked, RowLockMode};
use crate::layout::maintain::Maintenance;
use arrow::array::{ArrayRef, Int64Array};
use arrow::record_batch::RecordBatch;
use env::Fault;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use txn::Outcome;
use types::{ColumnDefault, KeyDef, SqlType, Value};

/// Seeds where nobody says how many.
const SEEDS: u64 = 400;
/// The value of added columns in rows that are older.
const DEFAULT: i64 = 5;
const KEYS: i64 = 60;

/// By key all other columns.
type Rows = BTreeMap<i64, Vec<i64>>;
type Model = BTreeMap<PartitionId, Rows>;

#[derive(Default, Debug)]
struct Counts {
    commits: u64,
    distributed: u64,
    duplicates: u64,
    replaced: u64,
    schema_changes: u64,
    loads: u64,
}

struct Run {
    disk: SimDisk,
    clock: Arc<SimClock>,
    def: TableDef,
    unique: bool,
    rng: StdRng,
    /// All that was acknowledged.
    sure: Model,
    /// What there is if the transaction whose outcome is not known was committed.
    perhaps: Option<Model>,
    next_txn: u64,
    newest: Timestamp,
    kept: Option<(Timestamp, Model)>,
    counts: Counts,
}

fn key(name: &str, columns: &[u32], unique: bool) -> KeyDef {
    KeyDef { name: name.into(), columns: columns.iter().map(|id| ColumnId(*id)).collect(), unique }
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut def = testing::number_table(1);
        let unique = seed.is_multiple_of(2);
        def.keys = vec![key("v", &[2], unique)];
        Run {
            disk: SimDisk::new(seed),
            clock: SimClock::at_millis(1_000_000),
            def,
            unique,
            rng: StdRng::seed_from_u64(seed),
            sure: BTreeMap::from([(P1, Rows::new()), (P2, Rows::new())]),
            perhaps: None,
            next_txn: 1,
            newest: Timestamp::ZERO,
            kept: None,
            counts: Counts::default(),
        }
    }

    fn options(&self) -> Options {
        Options { wal_file_bytes: 4 << 10, tail_rows: 24, bulk_rows: 20, ..small_options() }
    }

    fn batch(&self, rows: &[(i64, Vec<i64>)]) -> RecordBatch {
        let ids: Vec<ColumnId> = self.def.columns.iter().map(|c| c.id).collect();
        let schema = crate::scan::output_schema(&self.def, &ids, false).unwrap();
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from_iter_values(rows.iter().map(|(k, _)| *k)))];
        for at in 0..ids.len() - 1 {
            columns.push(Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, rest)| rest[at]))));
        }
        RecordBatch::try_new(schema, columns).unwrap()
    }

    fn new_row(&mut self, k: i64) -> (i64, Vec<i64>) {
        let values = (1..self.def.columns.len()).map(|_| self.rng.random_range(0..300)).collect();
        (k, values)
    }

    fn read(&self, store: &Store, p: PartitionId, ts: Timestamp) -> Result<Rows, StoreError> {
        let snapshot = store.snapshot(p, self.def.id, ReadView { ts, txn: None })?;
        self.rows_where(&snapshot, vec![])
    }

    fn rows_where(&self, snapshot: &Snapshot, predicates: Vec<Predicate>) -> Result<Rows, StoreError> {
        let columns: Vec<ColumnId> = self.def.columns.iter().map(|c| c.id).collect();
        let spec = ScanSpec { columns, predicates, row_refs: false };
        let mut rows = Rows::new();
        for morsel in snapshot.morsels(&spec.predicates) {
            snapshot.scan(&morsel, &spec, &mut |batch| {
                let column = |at: usize| batch.column(at).as_primitive::<Int64Type>();
                for row in 0..batch.num_rows() {
                    let rest = (1..batch.num_columns()).map(|at| column(at).value(row)).collect();
                    assert!(rows.insert(column(0).value(row), rest).is_none(), "a row is seen twice");
                }
                Ok(true)
            })?;
        }
        Ok(rows)
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
        match self.begin_life(&store) {
            Ok(hold) => {
                for _ in 0..60 {
                    let done = self.step(&store);
                    if self.disk.is_off() {
                        break;
                    }
                    done.unwrap();
                }
                drop(hold);
            }
            Err(error) => assert!(self.disk.is_off(), "{error}"),
        }
    }

    fn begin_life(&mut self, store: &Arc<Store>) -> Result<Option<crate::SnapshotHold>, StoreError> {
        for p in [P1, P2] {
            store.create_partition(p)?;
            store.put_table(p, Arc::new(self.def.clone()))?;
        }
        let started = store.read_timestamp(&[P1, P2])?;
        for p in [P1, P2] {
            assert!(store.prepared_below(p, started)?.is_empty(), "what the log decides was left open");
        }
        assert!(started >= self.newest, "{started} < {}", self.newest);
        let mut found = Model::new();
        for p in [P1, P2] {
            found.insert(p, self.read(store, p, started)?);
        }
        match self.perhaps.take() {
            Some(perhaps) if perhaps == found => self.sure = found,
            _ => assert_eq!(found, self.sure),
        }
        self.check_keys(store, started)?;
        if let Some((ts, model)) = &self.kept {
            for p in [P1, P2] {
                assert_eq!(self.read(store, p, *ts)?, model[&p], "{p} at {ts}");
            }
        }
        if self.kept.is_none() || self.rng.random_bool(0.3) {
            self.kept = Some((started, self.sure.clone()));
        }
        Ok(self.kept.as_ref().map(|(ts, _)| store.hold(*ts)))
    }

    /// Scans by the key agree with the rows.
    fn check_keys(&mut self, store: &Store, ts: Timestamp) -> Result<(), StoreError> {
        for p in [P1, P2] {
            let snapshot = store.snapshot(p, self.def.id, ReadView { ts, txn: None })?;
            for _ in 0..3 {
                let low = self.rng.random_range(0..300);
                let compare =
                    |op, value| Predicate::Compare { column: ColumnId(2), op, value: Value::Int(value) };
                let within =
                    vec![compare(crate::Compare::GreaterEq, low), compare(crate::Compare::Less, low + 10)];
                assert!(crate::key_used(&self.def, &within).is_some());
                let expected: Rows = self.sure[&p]
                    .iter()
                    .filter(|(_, rest)| (low..low + 10).contains(&rest[0]))
                    .map(|(k, rest)| (*k, rest.clone()))
                    .collect();
                assert_eq!(self.rows_where(&snapshot, within)?, expected);
            }
        }
        Ok(())
    }

    fn step(&mut self, store: &Arc<Store>) -> Result<(), StoreError> {
        let p = if self.rng.random_bool(0.5) { P1 } else { P2 };
        match self.rng.random_range(0..20) {
            0..=12 => self.transaction(store),
            13 if !self.unique => self.load(store),
            13 | 14 => {
                let partition = store.partition(p)?;
                partition.latch()?.freeze(&store.leaf, self.def.id).map(|_| ())
            }
            15 => store.maintain(p, self.def.id, Maintenance::Flush).map(drop),
            16 => store.maintain(p, self.def.id, Maintenance::Merge).map(drop),
            17 => store.maintain(p, self.def.id, Maintenance::MergeAll).map(drop),
            18 => {
                let wrong = store.maintain(p, self.def.id, Maintenance::Check)?;
                assert!(wrong.is_empty() || self.disk.is_off(), "{wrong:?}");
                Ok(())
            }
            _ => self.change_schema(store),
        }
    }

    fn change_schema(&mut self, store: &Store) -> Result<(), StoreError> {
        self.def.version += 1;
        if self.def.columns.len() < 4 && self.rng.random_bool(0.5) {
            let id = self.def.next_column_id;
            let ty = SqlType::BigInt { unsigned: false };
            let mut column = testing::column(id.0, &format!("c{}", id.0), ty, false);
            column.default = ColumnDefault::Literal(DEFAULT.to_string());
            self.def.columns.push(column);
            self.def.next_column_id.0 += 1;
            let models = [Some(&mut self.sure), self.kept.as_mut().map(|(_, kept)| kept)];
            for rows in models.into_iter().flatten().flat_map(|model| model.values_mut()) {
                rows.values_mut().for_each(|rest| rest.push(DEFAULT));
            }
        } else if self.def.keys.len() == 1 {
            self.def.keys.push(key("vk", &[2, 1], false));
        } else {
            self.def.keys.pop();
        }
        self.counts.schema_changes += 1;
        for p in [P1, P2] {
            store.put_table(p, Arc::new(self.def.clone()))?;
        }
        Ok(())
    }

    fn is_unique(&self, rows: &Rows) -> bool {
        let mut values: Vec<i64> = rows.values().map(|rest| rest[0]).collect();
        values.sort_unstable();
        !self.unique || values.windows(2).all(|pair| pair[0] != pair[1])
    }

    /// A statement's result against what the model says of duplicates; true: it did its work.
    fn judge(&mut self, done: Result<(), StoreError>, duplicate: bool) -> Result<bool, StoreError> {
        match done {
            Ok(()) => {
                assert!(!duplicate, "a duplicate was taken");
                Ok(true)
            }
            Err(StoreError::DuplicateKey { .. }) => {
                assert!(duplicate, "what is no duplicate was refused");
                self.counts.duplicates += 1;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// A statement of a transaction at one partition, and what it does to the rows.
    fn statement(&mut self, tx: &mut Tx, p: PartitionId, rows: &mut Rows) -> Result<(), StoreError> {
        let (store, table) = (tx.store.clone(), self.def.id);
        let before = rows.clone();
        let keys: Vec<i64> =
            (0..self.rng.random_range(1..5)).map(|_| self.rng.random_range(0..KEYS)).collect();
        tx.next();
        let done = match self.rng.random_range(0..12) {
            0..=4 => {
                let new: Rows = keys.iter().map(|k| self.new_row(*k)).collect();
                let taken = new.keys().any(|k| rows.contains_key(k));
                rows.extend(new.clone());
                let duplicate = taken || !self.is_unique(rows);
                let new: Vec<(i64, Vec<i64>)> = new.into_iter().collect();
                let done = store.insert(&tx.ctx(p), p, table, &self.batch(&new), OnDuplicate::Error);
                self.judge(done.map(drop), duplicate)?
            }
            5 | 6 => {
                let new: Vec<(i64, Vec<i64>)> = keys.iter().map(|k| self.new_row(*k)).collect();
                self.replace(tx, p, new, rows)?;
                true
            }
            7 | 8 => {
                let found = tx.lock(p, &keys)?;
                let changed: Vec<(i64, Vec<i64>)> = found.keys().map(|k| self.new_row(*k)).collect();
                rows.extend(changed.clone());
                let duplicate = !self.is_unique(rows);
                let refs: Vec<u64> = found.values().map(|(_, row)| *row).collect();
                let done = store.update(&tx.ctx(p), p, table, &refs, &self.batch(&changed));
                self.judge(done, duplicate)?
            }
            9 => {
                self.share(tx, p, &keys)?;
                true
            }
            _ => {
                let found = tx.lock(p, &keys)?;
                let refs: Vec<u64> = found.values().map(|(_, row)| *row).collect();
                store.delete(&tx.ctx(p), p, table, &refs)?;
                rows.retain(|k, _| !keys.contains(k));
                true
            }
        };
        if !done || self.rng.random_bool(0.1) {
            tx.undo_statement();
            *rows = before;
        }
        Ok(())
    }

    /// REPLACE: whatever has one of a new row's keys makes room for it, row by row.
    fn replace(
        &mut self,
        tx: &mut Tx,
        p: PartitionId,
        mut new: Vec<(i64, Vec<i64>)>,
        rows: &mut Rows,
    ) -> Result<(), StoreError> {
        for (k, rest) in &new {
            let unique = self.unique;
            rows.retain(|other, old| other != k && (!unique || old[0] != rest[0]));
            rows.insert(*k, rest.clone());
        }
        while !new.is_empty() {
            // One at a time, so that the order is that of the rows.
            let (first, others) = new.split_at(1);
            let ctx = tx.ctx(p);
            let met = tx.store.insert_or_lock(&ctx, p, self.def.id, &self.batch(first))?;
            assert!(met.again.is_empty());
            if met.inserted == 1 {
                new = others.to_vec();
                continue;
            }
            let mut refs: Vec<u64> = met.conflicts.iter().map(|conflict| conflict.existing).collect();
            refs.sort_unstable();
            refs.dedup();
            self.counts.replaced += refs.len() as u64;
            let ctx = tx.ctx(p);
            tx.store.delete(&ctx, p, self.def.id, &refs)?;
        }
        Ok(())
    }

    /// Locks rows in share mode: another may do so too, and may not lock them exclusively.
    fn share(&mut self, tx: &mut Tx, p: PartitionId, keys: &[i64]) -> Result<(), StoreError> {
        let ts = tx.store.read_timestamp(&[p])?;
        let mut found = tx.find(p, ts)?;
        found.retain(|k, _| keys.contains(k));
        let refs: Vec<u64> = found.values().map(|(_, row)| *row).collect();
        let request = LockRequest { read_at: ts, mode: RowLockMode::Shared, if_locked: IfLocked::Wait };
        let ctx = tx.ctx(p);
        tx.store.lock_rows(&ctx, p, self.def.id, &refs, request)?;
        let mut other = Tx::new(&tx.store, &tx.def, self.next_txn);
        self.next_txn += 1;
        other.next();
        // What the first has written is not the other's to see; what is not is where it stood.
        let ts = other.store.read_timestamp(&[p])?;
        let mut seen = other.find(p, ts)?;
        seen.retain(|k, _| found.contains_key(k));
        let refs: Vec<u64> = seen.values().map(|(_, row)| *row).collect();
        let request = LockRequest { read_at: ts, mode: RowLockMode::Exclusive, if_locked: IfLocked::Fail };
        let ctx = other.ctx(p);
        let locked = other.store.lock_rows(&ctx, p, self.def.id, &refs, request);
        other.rollback();
        match locked {
            Ok(_) => assert!(refs.is_empty(), "what is locked in share mode was locked exclusively"),
            Err(StoreError::CannotLockNow) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn transaction(&mut self, store: &Arc<Store>) -> Result<(), StoreError> {
        let mut tx = Tx::new(store, &Arc::new(self.def.clone()), self.next_txn);
        self.next_txn += 1;
        let mut model = self.sure.clone();
        for _ in 0..self.rng.random_range(1..4) {
            let p = if self.rng.random_bool(0.5) { P1 } else { P2 };
            let mut rows = model.remove(&p).unwrap();
            let done = self.statement(&mut tx, p, &mut rows);
            model.insert(p, rows);
            done?;
        }
        self.end(&mut tx, model)
    }

    fn load(&mut self, store: &Arc<Store>) -> Result<(), StoreError> {
        let mut tx = Tx::new(store, &Arc::new(self.def.clone()), self.next_txn);
        let number = self.next_txn as i64;
        self.next_txn += 1;
        let mut model = self.sure.clone();
        tx.next();
        for p in [P1, P2] {
            let rows: Vec<(i64, Vec<i64>)> = (0..30).rev().map(|i| self.new_row(-number * 100 - i)).collect();
            let ctx = tx.ctx(p);
            let mut load = store.begin_bulk(&ctx, p, self.def.id)?;
            load.append(self.batch(&rows))?;
            load.finish()?;
            model.get_mut(&p).unwrap().extend(rows);
        }
        self.counts.loads += 1;
        self.end(&mut tx, model)
    }

    fn end(&mut self, tx: &mut Tx, model: Model) -> Result<(), StoreError> {
        if self.rng.random_bool(0.1) {
            tx.rollback();
            return Ok(());
        }
        let part = |p: PartitionId| tx.last.get(&p).map(|no| (p, *no));
        let at = match (part(P1), part(P2)) {
            (Some(here), Some(there)) if self.rng.random_bool(0.6) => {
                // Nothing is decided before it is: a loss of power here is a rollback.
                let prepared = tx.store.prepare(tx.id, &[there], P1)?;
                self.perhaps = Some(model.clone());
                let at = tx.store.coordinate(tx.id, &[here], &[P2], prepared)?;
                // It is decided; whether the other has heard of it does not matter.
                self.sure = model.clone();
                self.perhaps = None;
                self.newest = self.newest.max(at);
                self.counts.distributed += 1;
                tx.store.decide(tx.id, &[P2], Outcome::Commit(at))?;
                at
            }
            (None, None) => return Ok(()),
            _ => {
                self.perhaps = Some(model.clone());
                tx.commit()?
            }
        };
        self.newest = self.newest.max(at);
        self.counts.commits += 1;
        self.sure = model;
        self.perhaps = None;
        Ok(())
    }
}

fn run(seed: u64) -> Counts {
    let mut run = Run::new(seed);
    for life in 0..4 {
        let limit = if run.rng.random_bool(0.3) { 30 } else { 500 };
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
    run.counts
}

fn run_all(seeds: impl Iterator<Item = u64>) -> Counts {
    let mut all = Counts::default();
    for seed in seeds {
        let Ok(counts) = std::panic::catch_unwind(|| run(seed)) else { panic!("seed {seed} failed") };
        all.commits += counts.commits;
        all.distributed += counts.distributed;
        all.duplicates += counts.duplicates;
        all.replaced += counts.replaced;
        all.schema_changes += counts.schema_changes;
        all.loads += counts.loads;
    }
    all
}

#[test]
fn whatever_a_leaf_does_survives_a_loss_of_power_whole_or_not_at_all() {
    let number = |name: &str| std::env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
    let (first, seeds) =
        (number("PANDO_CRASH_FIRST").unwrap_or(0), number("PANDO_CRASH_SEEDS").unwrap_or(SEEDS));
    if seeds == 0 {
        run_all(first..);
    }
    let counts = run_all(first..first + seeds);
    println!("{seeds} seeds: {counts:?}");
    if seeds >= 200 {
        let Counts { commits, distributed, duplicates, replaced, schema_changes, loads } = counts;
        let rare = [distributed, duplicates, replaced, schema_changes, loads];
        assert!(commits > seeds * 10 && rare.iter().all(|count| *count > seeds / 20), "{rare:?} {commits}");
    }
}
