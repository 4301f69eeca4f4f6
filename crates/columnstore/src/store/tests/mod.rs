//! The store as a whole, on a simulated disk and clock.

mod basics;
mod bulk;
mod compat;
mod concurrency;
mod crash;
mod faults;
mod inspect;
mod keys;
mod locking;
mod model;

use super::{Options, Store};
use crate::access::{LockRequest, OnDuplicate, ReadView, WriteContext};
use crate::scan::ScanSpec;
use crate::testing;
use crate::waiting::tests::soon;
use crate::{Predicate, Snapshot, StoreError};
use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, UInt64Type};
use env::{MemoryBudget, SimClock, SimDisk};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use types::{ColumnId, NodeId, PartitionId, StatementNo, TableDef, TableId, Timestamp, TxnId};

pub(super) const P1: PartitionId = PartitionId(1);
pub(super) const P2: PartitionId = PartitionId(2);

/// Small tails and files, so that everything happens in a short test; no background threads.
pub(super) fn small_options() -> Options {
    Options {
        pool_bytes: 4 << 20,
        tail_rows: 32,
        wal_file_bytes: 16 << 10,
        wal_files: 3,
        snapshot_lag: Duration::ZERO,
        segment_rows: 1_000,
        bulk_rows: 50,
        workers: 0,
        ..Options::new(MemoryBudget::new(256 << 20))
    }
}

pub(super) struct Fixture {
    pub(super) disk: SimDisk,
    pub(super) clock: Arc<SimClock>,
    pub(super) options: Options,
    pub(super) store: Arc<Store>,
    /// k BIGINT PRIMARY KEY, v BIGINT.
    pub(super) def: Arc<TableDef>,
}

pub(super) fn open(
    disk: &SimDisk,
    clock: &Arc<SimClock>,
    options: &Options,
) -> Result<Arc<Store>, StoreError> {
    Store::open(Arc::new(disk.clone()), clock.clone(), Path::new("/leaf"), options.clone())
}

impl Fixture {
    /// Two partitions with one table.
    pub(super) fn new(options: Options) -> Fixture {
        Fixture::with(options, testing::number_table(1))
    }

    pub(super) fn with(options: Options, def: TableDef) -> Fixture {
        let disk = SimDisk::new(1);
        let clock = SimClock::at_millis(1_000_000);
        let store = open(&disk, &clock, &options).unwrap();
        let def = Arc::new(def);
        for p in [P1, P2] {
            store.create_partition(p).unwrap();
            store.put_table(p, def.clone()).unwrap();
        }
        Fixture { disk, clock, options, store, def }
    }

    pub(super) fn small() -> Fixture {
        Fixture::new(small_options())
    }

    /// Ends the store and opens it again, as after a proper end.
    pub(super) fn reopen(&mut self) {
        self.store.shutdown();
        self.store = open(&self.disk, &self.clock, &self.options).unwrap();
    }

    pub(super) fn begin(&self, number: u64) -> Tx {
        Tx::new(&self.store, &self.def, number)
    }

    /// Commits rows in a transaction of their own.
    pub(super) fn put(&self, number: u64, p: PartitionId, rows: &[(i64, i64)]) -> Timestamp {
        let mut tx = self.begin(number);
        tx.insert(p, rows).unwrap();
        tx.commit().unwrap()
    }

    pub(super) fn now(&self, p: PartitionId) -> BTreeMap<i64, i64> {
        read_now(&self.store, p, self.def.id)
    }

    pub(super) fn at(&self, p: PartitionId, ts: Timestamp) -> BTreeMap<i64, i64> {
        read(&self.store, p, self.def.id, ReadView { ts, txn: None }).unwrap()
    }
}

pub(super) fn txn_id(number: u64) -> TxnId {
    TxnId { node: NodeId(1), number }
}

/// A transaction as a session runs it.
pub(super) struct Tx {
    pub(super) store: Arc<Store>,
    pub(super) def: Arc<TableDef>,
    pub(super) id: TxnId,
    pub(super) statement: StatementNo,
    pub(super) begun: StatementNo,
    pub(super) last: BTreeMap<PartitionId, StatementNo>,
    pub(super) snapshot: Option<Timestamp>,
    pub(super) lock_wait: Duration,
}

impl Tx {
    pub(super) fn new(store: &Arc<Store>, def: &Arc<TableDef>, number: u64) -> Tx {
        Tx {
            store: store.clone(),
            def: def.clone(),
            id: txn_id(number),
            statement: StatementNo(0),
            begun: StatementNo(0),
            last: BTreeMap::new(),
            snapshot: None,
            lock_wait: Duration::from_secs(5),
        }
    }

    pub(super) fn ctx(&mut self, p: PartitionId) -> WriteContext {
        let previous = self.last.get(&p).copied().unwrap_or_default();
        self.last.insert(p, self.statement);
        WriteContext {
            txn: self.id,
            statement: self.statement,
            begun: self.begun,
            previous,
            table_version: self.def.version,
            snapshot: self.snapshot,
            lock_wait: self.lock_wait,
        }
    }

    pub(super) fn next(&mut self) {
        self.statement.0 += 1;
        self.begun = self.statement;
    }

    /// The next part of the same statement.
    pub(super) fn next_part(&mut self) {
        self.statement.0 += 1;
    }

    pub(super) fn insert(&mut self, p: PartitionId, rows: &[(i64, i64)]) -> Result<u64, StoreError> {
        self.insert_as(p, rows, OnDuplicate::Error)
    }

    pub(super) fn insert_as(
        &mut self,
        p: PartitionId,
        rows: &[(i64, i64)],
        on_duplicate: OnDuplicate,
    ) -> Result<u64, StoreError> {
        self.next();
        let ctx = self.ctx(p);
        let rows = testing::number_rows(&self.def, rows);
        let insert = |store: &Store| store.insert(&ctx, p, self.def.id, &rows, on_duplicate);
        soon(&self.store, insert).map(|outcome| outcome.inserted)
    }

    /// The rows that the transaction sees, with their references.
    pub(super) fn find(
        &self,
        p: PartitionId,
        ts: Timestamp,
    ) -> Result<BTreeMap<i64, (i64, u64)>, StoreError> {
        let view = ReadView { ts, txn: Some((self.id, self.statement)) };
        refs(&self.store.snapshot(p, self.def.id, view)?)
    }

    /// What the transaction sees of partition 1 now.
    pub(super) fn view(&self) -> ReadView {
        let ts = self.snapshot.unwrap_or_else(|| self.store.read_timestamp(&[P1]).unwrap());
        ReadView { ts, txn: Some((self.id, self.statement)) }
    }

    pub(super) fn see(&self, p: PartitionId) -> BTreeMap<i64, i64> {
        let ts = self.snapshot.unwrap_or_else(|| self.store.read_timestamp(&[p]).unwrap());
        self.find(p, ts).unwrap().into_iter().map(|(k, (v, _))| (k, v)).collect()
    }

    /// Locks the rows with these keys as they are now; the values that they have.
    pub(super) fn lock(
        &mut self,
        p: PartitionId,
        keys: &[i64],
    ) -> Result<BTreeMap<i64, (i64, u64)>, StoreError> {
        for _ in 0..1_000 {
            let ts = match self.snapshot {
                Some(ts) => ts,
                None => self.store.read_timestamp(&[p])?,
            };
            let mut found = match self.find(p, ts) {
                // Time went on between the two.
                Err(StoreError::SnapshotTooOld { .. }) if self.snapshot.is_none() => continue,
                found => found?,
            };
            found.retain(|k, _| keys.contains(k));
            let rows: Vec<u64> = found.values().map(|(_, row)| *row).collect();
            let ctx = self.ctx(p);
            let request = LockRequest::to_change(ts);
            if !soon(&self.store, |store| store.lock_rows(&ctx, p, self.def.id, &rows, request))?.changed {
                return Ok(found);
            }
        }
        panic!("rows change for ever");
    }

    pub(super) fn update(
        &mut self,
        p: PartitionId,
        keys: &[i64],
        change: impl Fn(i64, i64) -> (i64, i64),
    ) -> Result<usize, StoreError> {
        self.next();
        let found = self.lock(p, keys)?;
        let refs: Vec<u64> = found.values().map(|(_, row)| *row).collect();
        let new: Vec<(i64, i64)> = found.iter().map(|(k, (v, _))| change(*k, *v)).collect();
        let ctx = self.ctx(p);
        let new = testing::number_rows(&self.def, &new);
        soon(&self.store, |store| store.update(&ctx, p, self.def.id, &refs, &new))?;
        Ok(refs.len())
    }

    pub(super) fn delete(&mut self, p: PartitionId, keys: &[i64]) -> Result<usize, StoreError> {
        self.next();
        let found = self.lock(p, keys)?;
        let refs: Vec<u64> = found.values().map(|(_, row)| *row).collect();
        let ctx = self.ctx(p);
        soon(&self.store, |store| store.delete(&ctx, p, self.def.id, &refs))?;
        Ok(refs.len())
    }

    pub(super) fn undo_statement(&mut self) {
        let parts: Vec<PartitionId> =
            self.last.iter().filter(|(_, no)| **no == self.statement).map(|(p, _)| *p).collect();
        self.store.rollback_statement(self.id, self.statement, &parts).unwrap();
    }

    pub(super) fn commit(&mut self) -> Result<Timestamp, StoreError> {
        let parts: Vec<(PartitionId, StatementNo)> = self.last.iter().map(|(p, no)| (*p, *no)).collect();
        self.store.commit(self.id, &parts)
    }

    pub(super) fn rollback(&mut self) {
        let parts: Vec<PartitionId> = self.last.keys().copied().collect();
        self.store.rollback(self.id, &parts);
    }
}

/// All rows of a snapshot: key, value and reference; no key twice.
pub(super) fn refs(snapshot: &Snapshot) -> Result<BTreeMap<i64, (i64, u64)>, StoreError> {
    scan(snapshot, &[])
}

pub(super) fn scan(
    snapshot: &Snapshot,
    predicates: &[Predicate],
) -> Result<BTreeMap<i64, (i64, u64)>, StoreError> {
    let spec =
        ScanSpec { columns: vec![ColumnId(1), ColumnId(2)], predicates: predicates.to_vec(), row_refs: true };
    let mut rows = BTreeMap::new();
    for morsel in snapshot.morsels(predicates) {
        snapshot.scan(&morsel, &spec, &mut |batch| {
            let k = batch.column(0).as_primitive::<Int64Type>();
            let v = batch.column(1).as_primitive::<Int64Type>();
            let row = batch.column(2).as_primitive::<UInt64Type>();
            for i in 0..batch.num_rows() {
                let before = rows.insert(k.value(i), (v.value(i), row.value(i)));
                assert!(before.is_none(), "key {} is seen twice", k.value(i));
            }
            Ok(true)
        })?;
    }
    Ok(rows)
}

pub(super) fn read(
    store: &Store,
    p: PartitionId,
    table: TableId,
    view: ReadView,
) -> Result<BTreeMap<i64, i64>, StoreError> {
    let rows = refs(&store.snapshot(p, table, view)?)?;
    Ok(rows.into_iter().map(|(k, (v, _))| (k, v)).collect())
}

pub(super) fn read_now(store: &Store, p: PartitionId, table: TableId) -> BTreeMap<i64, i64> {
    let ts = store.read_timestamp(&[p]).unwrap();
    read(store, p, table, ReadView { ts, txn: None }).unwrap()
}

pub(super) fn map(rows: &[(i64, i64)]) -> BTreeMap<i64, i64> {
    rows.iter().copied().collect()
}
