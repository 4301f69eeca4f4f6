//! Schedules that broke an earlier wording of the rules, each played step by step on real stores.

use crate::node::{batch, context, scan, table};
use columnstore::{LockRequest, OnDuplicate, Options, ReadView, Store, StoreError};
use env::{MemoryBudget, SimClock, SimDisk};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use txn::commit::UNTOLD_MILLIS;
use txn::lease::LEASE_MILLIS;
use txn::{Answer, Outcome, Registry, Settlement};
use types::{NodeId, PartitionId, StatementNo, TableDef, Timestamp, TxnId};

const A: PartitionId = PartitionId(1);
const B: PartitionId = PartitionId(2);

/// A leaf with one partition.
struct Leaf {
    partition: PartitionId,
    disk: SimDisk,
    clock: Arc<SimClock>,
    store: Arc<Store>,
    def: Arc<TableDef>,
}

fn options() -> Options {
    Options {
        snapshot_lag: Duration::from_secs(10),
        workers: 0,
        bulk_rows: 50,
        wal_file_bytes: 32 << 10,
        ..Options::new(MemoryBudget::new(64 << 20))
    }
}

impl Leaf {
    fn new(partition: PartitionId) -> Leaf {
        let (disk, clock) = (SimDisk::new(1), SimClock::at_millis(100_000));
        let store =
            Store::open(Arc::new(disk.clone()), clock.clone(), Path::new("/leaf"), options()).unwrap();
        let def = Arc::new(table());
        store.create_partition(partition).unwrap();
        store.put_table(partition, def.clone()).unwrap();
        Leaf { partition, disk, clock, store, def }
    }

    /// Power is lost, and the leaf starts again.
    fn crash(&mut self) {
        self.disk = self.disk.restarted();
        self.store.shutdown();
        let disk = Arc::new(self.disk.clone());
        self.store = Store::open(disk, self.clock.clone(), Path::new("/leaf"), options()).unwrap();
    }

    fn insert(
        &self,
        txn: TxnId,
        statement: u32,
        previous: u32,
        rows: &[(i64, i64)],
    ) -> Result<(), StoreError> {
        let ctx = context(txn, statement, previous);
        let rows = batch(&self.def, rows);
        self.store.insert(&ctx, self.partition, self.def.id, &rows, OnDuplicate::Error).map(drop)
    }

    fn put(&self, number: u64, rows: &[(i64, i64)]) -> Timestamp {
        self.insert(x(number), 1, 0, rows).unwrap();
        self.store.commit(x(number), &[(self.partition, StatementNo(1))]).unwrap()
    }

    /// Locks a row as it is and gives it a new value, in statement 1.
    fn update(&self, txn: TxnId, key: i64, value: i64) -> Result<(), StoreError> {
        let at = self.now();
        let view = ReadView { ts: at, txn: Some((txn, StatementNo(0))) };
        let refs = vec![scan(&self.store, self.partition, view)?[&key].1];
        let ctx = context(txn, 1, 0);
        let request = LockRequest::to_change(at);
        let locked = self.store.lock_rows(&ctx, self.partition, self.def.id, &refs, request)?;
        assert!(!locked.changed);
        let new = batch(&self.def, &[(key, value)]);
        self.store.update(&ctx, self.partition, self.def.id, &refs, &new)
    }

    fn now(&self) -> Timestamp {
        self.store.read_timestamp(&[self.partition]).unwrap()
    }

    fn at(&self, ts: Timestamp) -> BTreeMap<i64, i64> {
        self.seen(ReadView { ts, txn: None })
    }

    fn seen(&self, view: ReadView) -> BTreeMap<i64, i64> {
        let rows = scan(&self.store, self.partition, view).unwrap();
        rows.into_iter().map(|(k, (v, _))| (k, v)).collect()
    }

    fn prepare(&self, txn: TxnId, coordinator: PartitionId) -> Timestamp {
        self.store.prepare(txn, &[(self.partition, StatementNo(1))], coordinator).unwrap()
    }

    fn coordinate(
        &self,
        txn: TxnId,
        other: PartitionId,
        prepared: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        self.store.coordinate(txn, &[(self.partition, StatementNo(1))], &[other], prepared)
    }

    fn syncs(&self) -> u64 {
        self.store.statistics().wal_syncs
    }

    fn open(&self) -> u64 {
        self.store.statistics().open_transactions
    }
}

fn x(number: u64) -> TxnId {
    TxnId { node: NodeId(9), number }
}

fn map(rows: &[(i64, i64)]) -> BTreeMap<i64, i64> {
    rows.iter().copied().collect()
}

/// A transaction that has written one row at each of two leaves.
fn on_both(number: u64) -> (Leaf, Leaf, TxnId) {
    let (a, b) = (Leaf::new(A), Leaf::new(B));
    a.insert(x(number), 1, 0, &[(1, 10)]).unwrap();
    b.insert(x(number), 1, 0, &[(1, 20)]).unwrap();
    (a, b, x(number))
}

/// [X takes 5, Y takes 7 and is shown first; a reader at 7 scans; then X appears below it.]
#[test]
fn what_commits_later_is_not_shown_first() {
    let leaf = Leaf::new(A);
    for number in 1..20 {
        let before = leaf.now();
        let rows = leaf.at(before);
        let at = leaf.put(number, &[(number as i64, 0)]);
        assert!(at > before, "a commit is above all that was read");
        assert_eq!(leaf.at(before), rows, "and does not appear below it");
        assert!(leaf.at(at).contains_key(&(number as i64)));
    }
}

/// [Rows at 100; the VM restarts with its clock at 90: acknowledged rows vanish.]
#[test]
fn a_leaf_whose_clock_went_back_over_a_restart_shows_what_was_acknowledged() {
    let mut leaf = Leaf::new(A);
    let at = leaf.put(1, &[(1, 10)]);
    leaf.clock.step_wall(90_000);
    leaf.crash();
    assert!(leaf.now() > at);
    assert_eq!(leaf.at(leaf.now()), map(&[(1, 10)]));
    assert!(leaf.put(2, &[(2, 20)]) > at);
}

/// [Reading at "the clock": commit 50 waits for its fsync, a reader at 60 scans half, then the other
/// half appears.]
#[test]
fn a_reader_between_prepare_and_decision_sees_nothing_of_either_half() {
    let (a, b, txn) = on_both(1);
    let prepared = b.prepare(txn, A);
    let r = a.now().max(b.now()).max(prepared.next());
    assert_eq!(b.store.prepared_below(B, r).unwrap(), vec![(txn, A)]);
    assert_eq!(a.store.inquire(A, txn, r).unwrap(), Answer::LaterThan(r));
    assert_eq!((a.at(r), b.at(r)), (map(&[]), map(&[])));
    let at = a.coordinate(txn, B, prepared).unwrap();
    assert!(at > r, "what is decided later is later than the reader");
    b.store.decide(txn, &[B], Outcome::Commit(at)).unwrap();
    assert_eq!((a.at(r), b.at(r)), (map(&[]), map(&[])), "the snapshot does not change");
    assert_eq!((a.at(at), b.at(at)), (map(&[(1, 10)]), map(&[(1, 20)])));
}

/// [Pinned before: a record up to r goes into the tail made by a freeze meanwhile.]
#[test]
fn a_reader_that_asked_before_a_freeze_sees_what_is_below_it() {
    let leaf = Leaf::new(A);
    leaf.put(1, &[(1, 10)]);
    let r = leaf.now();
    assert!(leaf.store.prepared_below(A, r).unwrap().is_empty());
    leaf.store.flush(A).unwrap();
    leaf.put(2, &[(2, 20)]);
    assert_eq!(leaf.at(r), map(&[(1, 10)]));
}

/// [A looping scan that forces ABORT starves all writers.]
#[test]
fn a_scan_that_loops_does_not_keep_a_transaction_from_committing() {
    let (a, b, txn) = on_both(1);
    let prepared = b.prepare(txn, A);
    for _ in 0..50 {
        let r = a.now().max(b.now()).next();
        for (met, coordinator) in b.store.prepared_below(B, r).unwrap() {
            assert_eq!(a.store.inquire(coordinator, met, r).unwrap(), Answer::LaterThan(r));
        }
    }
    let at = a.coordinate(txn, B, prepared).unwrap();
    assert_eq!(a.store.inquire(A, txn, at).unwrap(), Answer::Commit(at));
}

/// [Snapshot 100, own UPDATE moves the row at 105, the next SELECT sees both.]
#[test]
fn a_row_that_the_transaction_itself_moved_is_seen_once() {
    let leaf = Leaf::new(A);
    leaf.put(1, &[(1, 10)]);
    leaf.store.flush(A).unwrap();
    let snapshot = leaf.now();
    leaf.update(x(2), 1, 11).unwrap();
    let own = ReadView { ts: snapshot, txn: Some((x(2), StatementNo(1))) };
    // A key that is seen twice fails the scan.
    assert_eq!(leaf.seen(own), map(&[(1, 11)]));
    assert_eq!(leaf.at(snapshot), map(&[(1, 10)]));
}

/// [A restarts and forgets statement 1; COMMIT logs statement 2 alone. Or a resend adds twice.]
#[test]
fn a_leaf_that_forgot_a_statement_refuses_the_next_and_the_commit_and_own_reads() {
    let mut leaf = Leaf::new(A);
    let last = [(A, StatementNo(1))];
    leaf.insert(x(1), 1, 0, &[(1, 10)]).unwrap();
    leaf.crash();
    let refused = leaf.insert(x(1), 2, 1, &[(2, 20)]).unwrap_err();
    assert!(matches!(refused, StoreError::StatementMismatch { .. }), "{refused}");
    assert!(leaf.store.commit(x(1), &last).is_err());
    assert!(leaf.store.prepare(x(1), &last, B).is_err());
    let own = ReadView { ts: leaf.now(), txn: Some((x(1), StatementNo(1))) };
    let read = leaf.store.snapshot_with_own(A, leaf.def.id, own, StatementNo(1)).err();
    assert!(matches!(read, Some(StoreError::TransactionLost(StatementNo(1)))), "{read:?}");
    assert_eq!(leaf.at(leaf.now()), map(&[]));

    leaf.insert(x(2), 1, 0, &[(1, 10)]).unwrap();
    leaf.store.commit(x(2), &last).unwrap();
    let again = leaf.insert(x(2), 1, 0, &[(5, 50)]).unwrap_err();
    assert!(matches!(again, StoreError::TransactionOver), "{again}");
    assert_eq!(leaf.open(), 0, "and holds no lock");
}

/// [Told before: the next statement reads only B and misses its own write.]
#[test]
fn once_a_decide_is_answered_a_reader_of_the_participant_alone_sees_it() {
    let (a, b, txn) = on_both(1);
    let prepared = b.prepare(txn, A);
    let at = a.coordinate(txn, B, prepared).unwrap();
    b.store.decide(txn, &[B], Outcome::Commit(at)).unwrap();
    assert!(b.now() >= at);
    assert_eq!(b.at(b.now()), map(&[(1, 20)]));
}

/// [B asks, is told "abort" from memory; the late COMMIT reaches A: half a transaction.]
#[test]
fn an_abort_that_was_demanded_outlives_a_crash_and_a_late_commit() {
    let (mut a, b, txn) = on_both(1);
    let prepared = b.prepare(txn, A);
    assert_eq!(a.store.demand_end(A, txn).unwrap(), Outcome::Abort);
    a.crash();
    assert!(a.coordinate(txn, B, prepared).is_err(), "the late COMMIT");
    assert_eq!(a.store.demand_end(A, txn).unwrap(), Outcome::Abort);
    b.store.decide(txn, &[B], Outcome::Abort).unwrap();
    assert_eq!((a.at(a.now()), b.at(b.now())), (map(&[]), map(&[])));
    assert_eq!((a.open(), b.open()), (0, 0));
}

#[test]
fn a_demand_after_the_decision_is_told_the_decision() {
    let (mut a, mut b, txn) = on_both(1);
    let prepared = b.prepare(txn, A);
    let at = a.coordinate(txn, B, prepared).unwrap();
    a.crash();
    b.crash();
    assert_eq!(b.open(), 1, "it stays prepared over a crash");
    assert!(b.at(b.now()).is_empty());
    assert_eq!(a.store.demand_end(A, txn).unwrap(), Outcome::Commit(at));
    b.store.decide(txn, &[B], Outcome::Commit(at)).unwrap();
    assert_eq!((a.at(a.now()), b.at(b.now())), (map(&[(1, 10)]), map(&[(1, 20)])));
}

/// [B is cut off from the aggregator and alive; the client is told; a reader of B alone, over another
/// aggregator, reads at B's clock, which is below T, and misses what was acknowledged.]
#[test]
fn a_participant_that_was_not_told_asks_before_it_is_read() {
    let (a, b, txn) = on_both(1);
    let prepared = b.prepare(txn, A);
    let at = a.coordinate(txn, B, prepared).unwrap();
    assert!(b.now() < at);
    assert_eq!(b.store.prepared_long(&[B]).unwrap(), vec![], "it is told in a moment");
    b.clock.advance(UNTOLD_MILLIS);
    assert_eq!(b.store.prepared_long(&[B]).unwrap(), vec![(txn, B, A, prepared)]);
    assert_eq!(a.store.inquire(A, txn, prepared).unwrap(), Answer::Commit(at));
    b.store.decide(txn, &[B], Outcome::Commit(at)).unwrap();
    assert_eq!(b.at(b.now()), map(&[(1, 20)]));
}

/// A decide need not be durable: after a crash the coordinating partition tells it again.
#[test]
fn a_decide_that_a_crash_lost_is_told_again() {
    let (a, mut b, txn) = on_both(1);
    let prepared = b.prepare(txn, A);
    let at = a.coordinate(txn, B, prepared).unwrap();
    b.store.decide(txn, &[B], Outcome::Commit(at)).unwrap();
    b.crash();
    let unsettled = a.store.unsettled();
    assert_eq!(unsettled, vec![(A, Settlement { txn, participant: B, at })]);
    let settlements: Vec<Settlement> = unsettled.iter().map(|(_, settlement)| *settlement).collect();
    b.store.settle(&settlements).unwrap();
    a.store.confirm(A, &settlements);
    assert!(a.store.unsettled().is_empty());
    b.crash();
    assert_eq!(b.open(), 0, "what was confirmed is durable");
    assert_eq!(b.at(b.now()), map(&[(1, 20)]));
}

#[test]
fn a_prepared_transaction_keeps_its_locks_over_a_crash_and_a_flush() {
    let (a, mut b) = (Leaf::new(A), Leaf::new(B));
    b.put(1, &[(1, 10), (2, 20), (3, 30)]);
    b.store.flush(B).unwrap();
    a.insert(x(2), 1, 0, &[(9, 90)]).unwrap();
    b.update(x(2), 1, 11).unwrap();
    // Row 2 is locked and not changed.
    let view = ReadView { ts: b.now(), txn: None };
    let row = scan(&b.store, B, view).unwrap()[&2].1;
    let ctx = context(x(2), 1, 1);
    let request = LockRequest::to_change(view.ts);
    assert!(!b.store.lock_rows(&ctx, B, b.def.id, &[row], request).unwrap().changed);
    let prepared = b.prepare(x(2), A);
    b.store.flush(B).unwrap();
    b.crash();
    b.store.flush(B).unwrap();
    b.crash();
    for locked in [1, 2] {
        let txn = x(30 + locked as u64);
        let refused = b.update(txn, locked, 0).unwrap_err();
        assert!(matches!(refused, StoreError::LockWaitTimeout), "{locked}: {refused}");
        b.store.rollback(txn, &[B]);
    }
    b.update(x(4), 3, 33).unwrap();
    b.store.commit(x(4), &[(B, StatementNo(1))]).unwrap();
    let at = a.coordinate(x(2), B, prepared).unwrap();
    b.store.decide(x(2), &[B], Outcome::Commit(at)).unwrap();
    assert_eq!(b.at(b.now()), map(&[(1, 11), (2, 20), (3, 33)]));
    b.update(x(5), 2, 22).unwrap();
}

/// The segments of a load belong to its transaction until that is decided, whatever happens meanwhile.
#[test]
fn a_prepared_load_is_there_after_a_crash_if_it_was_committed_and_only_then() {
    for commits in [true, false] {
        let (a, mut b) = (Leaf::new(A), Leaf::new(B));
        b.put(1, &[(1_000, 0)]);
        a.insert(x(2), 1, 0, &[(9, 90)]).unwrap();
        let rows: Vec<(i64, i64)> = (0..100).map(|k| (k, k)).collect();
        let mut load = b.store.begin_bulk(&context(x(2), 1, 0), B, b.def.id).unwrap();
        load.append(batch(&b.def, &rows)).unwrap();
        assert_eq!(load.finish().unwrap(), 100);
        let prepared = b.prepare(x(2), A);
        b.crash();
        b.store.flush(B).unwrap();
        b.crash();
        assert_eq!(b.at(b.now()), map(&[(1_000, 0)]));
        let refused = b.insert(x(3), 1, 0, &[(5, 5)]).unwrap_err();
        assert!(matches!(refused, StoreError::LockWaitTimeout), "{refused}");
        b.store.rollback(x(3), &[B]);
        let outcome = if commits {
            Outcome::Commit(a.coordinate(x(2), B, prepared).unwrap())
        } else {
            a.store.demand_end(A, x(2)).unwrap()
        };
        b.store.decide(x(2), &[B], outcome).unwrap();
        let count = if commits { 101 } else { 1 };
        assert_eq!(b.at(b.now()).len(), count);
        b.store.flush(B).unwrap();
        b.crash();
        assert_eq!(b.at(b.now()).len(), count);
        assert_eq!(b.open(), 0);
    }
}

#[test]
fn decisions_are_part_of_the_checkpoint() {
    let (mut a, b, txn) = on_both(1);
    let prepared = b.prepare(txn, A);
    let at = a.coordinate(txn, B, prepared).unwrap();
    a.insert(x(2), 1, 0, &[(2, 0)]).unwrap();
    assert_eq!(a.store.demand_end(A, x(3)).unwrap(), Outcome::Abort);
    // Many log files later the records of the decisions are gone.
    for number in 10..400 {
        a.put(number, &[(number as i64, 0)]);
        if number % 50 == 0 {
            a.store.rollback(x(2), &[A]);
            a.store.flush(A).unwrap();
        }
    }
    a.store.flush(A).unwrap();
    a.crash();
    assert_eq!(a.store.unsettled(), vec![(A, Settlement { txn, participant: B, at })]);
    assert_eq!(a.store.demand_end(A, txn).unwrap(), Outcome::Commit(at));
    assert_eq!(a.store.demand_end(A, x(3)).unwrap(), Outcome::Abort);
}

/// One fdatasync where all lies on one leaf, two one after the other elsewhere.
#[test]
fn syncs_of_a_commit_are_counted() {
    let leaf = Leaf::new(A);
    leaf.store.create_partition(B).unwrap();
    leaf.store.put_table(B, leaf.def.clone()).unwrap();
    leaf.put(1, &[(1, 1)]);
    leaf.insert(x(2), 1, 0, &[(2, 2)]).unwrap();
    let rows = batch(&leaf.def, &[(3, 3)]);
    leaf.store.insert(&context(x(2), 1, 0), B, leaf.def.id, &rows, OnDuplicate::Error).unwrap();
    let before = leaf.syncs();
    leaf.store.commit(x(2), &[(A, StatementNo(1)), (B, StatementNo(1))]).unwrap();
    assert_eq!(leaf.syncs() - before, 1);

    let (a, b) = (Leaf::new(A), Leaf::new(B));
    a.put(1, &[(9, 9)]);
    b.put(1, &[(9, 9)]);
    a.insert(x(2), 1, 0, &[(1, 10)]).unwrap();
    b.insert(x(2), 1, 0, &[(1, 20)]).unwrap();
    let before = (a.syncs(), b.syncs());
    let prepared = b.prepare(x(2), A);
    assert_eq!((a.syncs() - before.0, b.syncs() - before.1), (0, 1));
    let at = a.coordinate(x(2), B, prepared).unwrap();
    b.store.decide(x(2), &[B], Outcome::Commit(at)).unwrap();
    assert_eq!((a.syncs() - before.0, b.syncs() - before.1), (1, 1), "a decide waits for no sync");
}

#[test]
fn what_a_silent_aggregator_leaves_is_ended() {
    let (a, b) = (Leaf::new(A), Leaf::new(B));
    let mut registry = Registry::new(NodeId(9), 100);
    let (open, prepared) = (registry.begin(), registry.begin());
    for leaf in [&a, &b] {
        leaf.store.renew(&registry.renewal());
    }
    b.insert(open, 1, 0, &[(1, 10)]).unwrap();
    a.insert(prepared, 1, 0, &[(2, 20)]).unwrap();
    b.insert(prepared, 1, 0, &[(2, 20)]).unwrap();
    b.prepare(prepared, A);
    assert!(b.store.sweep().unwrap().is_empty());
    for leaf in [&a, &b] {
        leaf.clock.advance(LEASE_MILLIS);
    }
    let orphans = b.store.sweep().unwrap();
    assert_eq!(orphans.iter().map(|o| (o.txn, o.coordinator)).collect::<Vec<_>>(), vec![(prepared, A)]);
    assert_eq!(b.open(), 1, "what was not prepared is rolled back");
    let outcome = a.store.demand_end(A, prepared).unwrap();
    b.store.decide(prepared, &[B], outcome).unwrap();
    assert_eq!((a.open(), b.open()), (0, 0));
    let late = b.insert(open, 2, 1, &[(3, 30)]).unwrap_err();
    assert!(matches!(late, StoreError::TransactionOver), "{late}");
}
