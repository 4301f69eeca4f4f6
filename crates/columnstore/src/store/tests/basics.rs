//! Single-threaded behaviour, step by step.

use super::*;
use crate::access::{KeyRead, ReadAt};
use crate::testing::{column, kv_rows, kv_table, values, wide_rows, wide_table};
use types::{ColumnDefault, SqlType, Value};

#[test]
fn what_is_committed_is_seen_wherever_it_stands() {
    let f = Fixture::small();
    let t1 = f.put(1, P1, &[(1, 10), (2, 20)]);
    f.store.flush(P1).unwrap();
    let t2 = f.put(2, P1, &[(3, 30)]);
    f.store.partition(P1).unwrap().latch().unwrap().freeze(&f.store.leaf, f.def.id).unwrap();
    let t3 = f.put(3, P1, &[(4, 40)]);
    assert_eq!(f.at(P1, t1), map(&[(1, 10), (2, 20)]));
    assert_eq!(f.at(P1, t2), map(&[(1, 10), (2, 20), (3, 30)]));
    assert_eq!(f.at(P1, t3), map(&[(1, 10), (2, 20), (3, 30), (4, 40)]));
    assert_eq!(f.now(P1), f.at(P1, t3));
    assert!(f.now(P2).is_empty());
}

#[test]
fn others_see_nothing_before_the_commit_and_the_transaction_sees_its_earlier_statements() {
    let f = Fixture::small();
    f.put(1, P1, &[(1, 10)]);
    f.store.flush(P1).unwrap();
    let mut tx = f.begin(2);
    tx.insert(P1, &[(2, 20)]).unwrap();
    tx.update(P1, &[1], |k, v| (k, v + 1)).unwrap();
    assert_eq!(tx.see(P1), map(&[(1, 11), (2, 20)]));
    assert_eq!(f.now(P1), map(&[(1, 10)]));
    // A view of the first statement only.
    let ts = f.store.read_timestamp(&[P1]).unwrap();
    let first = ReadView { ts, txn: Some((tx.id, StatementNo(1))) };
    assert_eq!(read(&f.store, P1, f.def.id, first).unwrap(), map(&[(1, 10), (2, 20)]));
    tx.delete(P1, &[1]).unwrap();
    assert_eq!(tx.see(P1), map(&[(2, 20)]));
    tx.undo_statement();
    assert_eq!(tx.see(P1), map(&[(1, 11), (2, 20)]));
    tx.commit().unwrap();
    assert_eq!(f.now(P1), map(&[(1, 11), (2, 20)]));
}

/// [Snapshot 100, own UPDATE moves the row at 105, the next SELECT sees both.]
#[test]
fn a_transaction_skips_the_place_that_it_moved_a_row_from() {
    let f = Fixture::small();
    f.put(1, P1, &[(1, 10), (2, 20)]);
    f.store.flush(P1).unwrap();
    let mut tx = f.begin(2);
    tx.snapshot = Some(f.store.read_timestamp(&[P1]).unwrap());
    let hold = f.store.hold(tx.snapshot.unwrap());
    f.clock.advance(50);
    tx.update(P1, &[1], |k, v| (k, v + 1)).unwrap();
    assert_eq!(tx.see(P1), map(&[(1, 11), (2, 20)]));
    tx.delete(P1, &[2]).unwrap();
    assert_eq!(tx.see(P1), map(&[(1, 11)]));
    // Its place in the segment moves on, and it still is skipped.
    f.put(3, P1, &[(7, 70)]);
    f.store.flush(P1).unwrap();
    let partition = f.store.partition(P1).unwrap();
    let all: Vec<u32> =
        partition.latch().unwrap().state(f.def.id).unwrap().segments.iter().map(|s| s.id()).collect();
    let job = crate::layout::pick::Job::Merge { segments: all };
    f.store.run_job(&partition, f.def.id, &job).unwrap();
    assert_eq!(tx.see(P1), map(&[(1, 11)]));
    tx.undo_statement();
    assert_eq!(tx.see(P1), map(&[(1, 11), (2, 20)]));
    drop(hold);
    tx.commit().unwrap();
    assert_eq!(f.now(P1), map(&[(1, 11), (2, 20), (7, 70)]));
}

#[test]
fn a_rollback_leaves_nothing_and_the_key_is_free_again() {
    let mut f = Fixture::small();
    f.put(1, P1, &[(1, 10)]);
    let mut tx = f.begin(2);
    tx.insert(P1, &[(2, 20)]).unwrap();
    tx.update(P1, &[1], |k, _| (k, 99)).unwrap();
    tx.rollback();
    assert_eq!(f.now(P1), map(&[(1, 10)]));
    f.put(3, P1, &[(2, 21)]);
    f.reopen();
    assert_eq!(f.now(P1), map(&[(1, 10), (2, 21)]));
}

#[test]
fn duplicates_are_found_in_tail_run_and_segment() {
    let f = Fixture::small();
    let taken = |number: u64| {
        let mut tx = f.begin(number);
        let error = tx.insert(P1, &[(9, 0), (1, 0)]).unwrap_err();
        assert_eq!(error.to_string(), "Duplicate entry '1' for key 't1.PRIMARY'");
        tx.undo_statement();
        assert!(!tx.see(P1).contains_key(&9));
        assert_eq!(tx.insert_as(P1, &[(1, 5), (8, 5), (8, 6)], OnDuplicate::Ignore).unwrap(), 1);
        tx.rollback();
    };
    f.put(1, P1, &[(1, 10)]);
    taken(2);
    f.store.partition(P1).unwrap().latch().unwrap().freeze(&f.store.leaf, f.def.id).unwrap();
    taken(3);
    f.store.flush(P1).unwrap();
    taken(4);
    // Moved to the tail, deleted, inserted anew.
    let mut tx = f.begin(5);
    tx.delete(P1, &[1]).unwrap();
    tx.insert(P1, &[(1, 11)]).unwrap();
    let error = tx.insert(P1, &[(1, 12)]).unwrap_err();
    assert!(matches!(error, StoreError::DuplicateKey { .. }));
    tx.undo_statement();
    tx.commit().unwrap();
    taken(6);
    assert_eq!(f.now(P1), map(&[(1, 11)]));
    let mut tx = f.begin(7);
    tx.delete(P1, &[1]).unwrap();
    tx.commit().unwrap();
    f.store.flush(P1).unwrap();
    f.put(8, P1, &[(1, 13)]);
    assert_eq!(f.now(P1), map(&[(1, 13)]));
}

#[test]
fn an_update_may_change_keys_even_in_a_circle() {
    let f = Fixture::small();
    f.put(1, P1, &[(1, 10), (2, 20), (3, 30)]);
    f.store.flush(P1).unwrap();
    let mut tx = f.begin(2);
    tx.update(P1, &[1, 2], |k, v| (3 - k, v)).unwrap();
    assert_eq!(tx.see(P1), map(&[(1, 20), (2, 10), (3, 30)]));
    let error = tx.update(P1, &[1], |_, v| (3, v)).unwrap_err();
    assert!(matches!(error, StoreError::DuplicateKey { .. }));
    tx.undo_statement();
    tx.commit().unwrap();
    assert_eq!(f.now(P1), map(&[(1, 20), (2, 10), (3, 30)]));
}

#[test]
fn one_sync_commits_at_one_partition_or_several() {
    let f = Fixture::small();
    let syncs = |f: &Fixture| f.store.statistics().wal_syncs;
    f.put(1, P1, &[(1, 10)]);
    f.put(2, P2, &[(1, 10)]);
    let before = syncs(&f);
    let mut tx = f.begin(3);
    for k in 2..20 {
        tx.insert(P1, &[(k, k)]).unwrap();
    }
    tx.commit().unwrap();
    assert_eq!(syncs(&f), before + 1);
    let mut tx = f.begin(4);
    tx.update(P1, &[1], |k, v| (k, v - 5)).unwrap();
    tx.update(P2, &[1], |k, v| (k, v + 5)).unwrap();
    let at = tx.commit().unwrap();
    assert_eq!(syncs(&f), before + 2);
    assert_eq!((f.at(P1, at)[&1], f.at(P2, at)[&1]), (5, 15));
    // Reading and locking alone is free.
    let mut tx = f.begin(5);
    tx.next();
    tx.lock(P1, &[1]).unwrap();
    tx.commit().unwrap();
    assert_eq!(syncs(&f), before + 2);
}

#[test]
fn a_mismatched_statement_is_refused() {
    let f = Fixture::small();
    let mut tx = f.begin(1);
    tx.insert(P1, &[(1, 10)]).unwrap();
    let wrong = f.store.commit(tx.id, &[(P1, StatementNo(2))]);
    assert!(matches!(wrong, Err(StoreError::StatementMismatch { .. })));
    tx.statement = StatementNo(0);
    assert!(matches!(tx.insert(P1, &[(2, 10)]), Ok(1)), "the same statement may go on");
    tx.statement = StatementNo(5);
    tx.last.insert(P1, StatementNo(3));
    assert!(matches!(tx.insert(P1, &[(3, 10)]), Err(StoreError::StatementMismatch { .. })));
    tx.rollback();
    assert!(matches!(
        f.store.commit(tx.id, &[(P1, StatementNo(1))]),
        Err(StoreError::StatementMismatch { .. })
    ));
    assert!(f.now(P1).is_empty());
}

#[test]
fn repeatable_read_refuses_newer_rows_and_read_committed_reads_again() {
    let f = Fixture::small();
    f.put(1, P1, &[(1, 10), (2, 20)]);
    f.store.flush(P1).unwrap();
    let ts = f.store.read_timestamp(&[P1]).unwrap();
    let _hold = f.store.hold(ts);
    f.clock.advance(10);
    let mut other = f.begin(2);
    other.update(P1, &[1], |k, v| (k, v + 1)).unwrap();
    other.commit().unwrap();
    let mut tx = f.begin(3);
    tx.snapshot = Some(ts);
    assert_eq!(tx.see(P1), map(&[(1, 10), (2, 20)]));
    assert_eq!(tx.update(P1, &[2], |k, v| (k, v + 1)).unwrap(), 1);
    assert!(matches!(tx.update(P1, &[1], |k, v| (k, v + 1)), Err(StoreError::Deadlock)));
    tx.rollback();
    let mut tx = f.begin(4);
    tx.update(P1, &[1], |k, v| (k, v + 1)).unwrap();
    tx.commit().unwrap();
    assert_eq!(f.now(P1), map(&[(1, 12), (2, 20)]));
}

/// A row that was only moved is not a newer one.
#[test]
fn a_row_that_another_only_locked_has_not_changed() {
    let f = Fixture::small();
    f.put(1, P1, &[(1, 10)]);
    f.store.flush(P1).unwrap();
    let ts = f.store.read_timestamp(&[P1]).unwrap();
    let _hold = f.store.hold(ts);
    f.clock.advance(10);
    let mut other = f.begin(2);
    other.next();
    other.lock(P1, &[1]).unwrap();
    other.rollback();
    let mut tx = f.begin(3);
    tx.snapshot = Some(ts);
    tx.update(P1, &[1], |k, v| (k, v + 1)).unwrap();
    tx.commit().unwrap();
    assert_eq!(f.now(P1), map(&[(1, 11)]));
}

#[test]
fn reads_below_the_watermark_are_refused_unless_held() {
    let f = Fixture::new(Options { snapshot_lag: Duration::from_secs(10), ..small_options() });
    let old = f.put(1, P1, &[(1, 10)]);
    let held = f.put(2, P1, &[(2, 20)]);
    let hold = f.store.hold(held);
    f.clock.advance(60_000);
    let mut tx = f.begin(3);
    tx.update(P1, &[1, 2], |k, v| (k, v + 1)).unwrap();
    tx.commit().unwrap();
    f.store.flush(P1).unwrap();
    let refused = f.store.snapshot(P1, f.def.id, ReadView { ts: old, txn: None });
    assert!(matches!(refused, Err(StoreError::SnapshotTooOld { .. })));
    assert_eq!(f.at(P1, held), map(&[(1, 10), (2, 20)]));
    drop(hold);
    f.clock.advance(60_000);
    f.put(4, P1, &[(3, 30)]);
    f.store.flush(P1).unwrap();
    assert!(f.store.snapshot(P1, f.def.id, ReadView { ts: held, txn: None }).is_err());
    assert_eq!(f.now(P1), map(&[(1, 11), (2, 21), (3, 30)]));
}

#[test]
fn single_rows_are_found_by_key_wherever_they_stand() {
    let f = Fixture::small();
    let spec = ScanSpec { columns: vec![ColumnId(2)], predicates: vec![], row_refs: true };
    let get = |ts: Timestamp, k: i64| {
        let snapshot = f.store.snapshot(P1, f.def.id, ReadView { ts, txn: None }).unwrap();
        let batch = snapshot.get(&[Value::Int(k)], &spec).unwrap()?;
        Some(batch.column(0).as_primitive::<Int64Type>().value(0))
    };
    // None: it cannot be said without waiting.
    let at_once = |at: ReadAt, k: i64| {
        let columns = vec![ColumnId(2)];
        let read = KeyRead {
            key: vec![Value::Int(k)],
            columns,
            row_ref: true,
            at,
            txn: None,
            written: StatementNo(0),
        };
        let found = f.store.try_get(P1, f.def.id, &read).unwrap()?;
        Some(found.row.map(|row| row.column(0).as_primitive::<Int64Type>().value(0)))
    };
    // Where it can: the log's thread may still have the latch from telling of a commit.
    let soon = |at: ReadAt, k: i64| {
        loop {
            match at_once(at, k) {
                Some(found) => break found,
                None => std::thread::yield_now(),
            }
        }
    };
    let t1 = f.put(1, P1, &[(1, 10), (2, 20)]);
    let hold = f.store.hold(t1);
    assert_eq!((get(t1, 1), get(t1, 3)), (Some(10), None));
    let (newest, then) = (ReadAt::Newest { not_before: Timestamp::ZERO }, ReadAt::Snapshot(t1));
    assert_eq!((soon(newest, 1), soon(then, 3)), (Some(10), None));
    let partition = f.store.partition(P1).unwrap();
    partition.latch().unwrap().freeze(&f.store.leaf, f.def.id).unwrap();
    assert_eq!(at_once(newest, 1), None, "a run has yet to be turned to columns");
    assert_eq!(get(t1, 1), Some(10));
    assert_eq!((soon(newest, 1), soon(newest, 3)), (Some(10), None));
    let latch = partition.latch().unwrap();
    assert_eq!((at_once(newest, 1), at_once(then, 1)), (None, None), "somebody holds the latch");
    drop(latch);
    f.store.flush(P1).unwrap();
    assert_eq!((at_once(then, 1), soon(then, 3)), (None, None), "a segment may have the one key");
    assert_eq!(get(t1, 1), Some(10));
    f.clock.advance(5);
    let mut tx = f.begin(2);
    tx.update(P1, &[1], |k, v| (k, v + 1)).unwrap();
    tx.delete(P1, &[2]).unwrap();
    let t2 = tx.commit().unwrap();
    assert_eq!(soon(newest, 1), Some(11));
    for _ in 0..2 {
        assert_eq!((get(t1, 1), get(t1, 2)), (Some(10), Some(20)));
        assert_eq!((get(t2, 1), get(t2, 2)), (Some(11), None));
        f.store.flush(P1).unwrap();
    }
    drop(hold);
    let snapshot = f.store.snapshot(P1, f.def.id, ReadView { ts: t2, txn: None }).unwrap();
    let none = Predicate::IsNull(ColumnId(2));
    let spec = ScanSpec { predicates: vec![none], ..spec };
    assert!(snapshot.get(&[Value::Int(1)], &spec).unwrap().is_none());
    assert!(snapshot.get(&[Value::Text("x".into())], &spec).unwrap().is_none());
}

#[test]
fn rows_of_every_type_survive_the_log_and_segments() {
    let mut f = Fixture::small();
    let def = Arc::new(wide_table());
    f.store.put_table(P1, def.clone()).unwrap();
    let all = wide_rows(&def, 90, 3);
    let columns: Vec<ColumnId> = def.columns.iter().map(|c| c.id).collect();
    let spec = ScanSpec { columns, ..ScanSpec::default() };
    // Keys must be unique: the ignored ones are left out of what is expected.
    let mut tx = f.begin(1);
    tx.def = def.clone();
    tx.next();
    let ctx = tx.ctx(P1);
    let outcome = f.store.insert(&ctx, P1, def.id, &all, OnDuplicate::Ignore).unwrap();
    tx.commit().unwrap();
    drop(tx);
    let rows = |f: &Fixture| {
        let ts = f.store.read_timestamp(&[P1]).unwrap();
        let snapshot = f.store.snapshot(P1, def.id, ReadView { ts, txn: None }).unwrap();
        let mut rows = Vec::new();
        for morsel in snapshot.morsels(&[]) {
            snapshot
                .scan(&morsel, &spec, &mut |batch| {
                    rows.extend(values(&batch));
                    Ok(true)
                })
                .unwrap();
        }
        rows.sort_by_key(|row| format!("{row:?}"));
        rows
    };
    let first = rows(&f);
    assert_eq!(first.len() as u64, outcome.inserted);
    f.reopen();
    assert_eq!(rows(&f), first);
    f.store.flush(P1).unwrap();
    assert_eq!(rows(&f), first);
    f.reopen();
    assert_eq!(rows(&f), first);
}

#[test]
fn an_added_column_has_its_default_everywhere() {
    let mut f = Fixture::small();
    let old = kv_table(5);
    f.store.put_table(P1, Arc::new(old.clone())).unwrap();
    let put = |f: &Fixture, number: u64, k: i64| {
        let mut tx = f.begin(number);
        tx.def = Arc::new(old.clone());
        tx.next();
        let ctx = tx.ctx(P1);
        f.store.insert(&ctx, P1, old.id, &kv_rows(&old, &[(k, Some("x"))]), OnDuplicate::Error).unwrap();
        tx.commit().unwrap();
    };
    put(&f, 1, 1);
    f.store.flush(P1).unwrap();
    put(&f, 2, 2);
    f.store.partition(P1).unwrap().latch().unwrap().freeze(&f.store.leaf, old.id).unwrap();
    put(&f, 3, 3);
    let mut late = f.begin(4);
    late.def = Arc::new(old.clone());
    late.next();
    let ctx = late.ctx(P1);
    f.store.insert(&ctx, P1, old.id, &kv_rows(&old, &[(4, None)]), OnDuplicate::Error).unwrap();
    let mut new = old.clone();
    new.version = 2;
    new.columns.push(column(3, "n", SqlType::Int { unsigned: false }, false));
    new.columns[2].default = ColumnDefault::Literal("7".into());
    f.store.put_table(P1, Arc::new(new.clone())).unwrap();
    assert!(matches!(late.commit(), Err(StoreError::TableDefinitionChanged)));
    late.rollback();
    drop(late);
    for _ in 0..3 {
        let ts = f.store.read_timestamp(&[P1]).unwrap();
        let snapshot = f.store.snapshot(P1, old.id, ReadView { ts, txn: None }).unwrap();
        let seven = Predicate::Compare { column: ColumnId(3), op: crate::Compare::Eq, value: Value::Int(7) };
        let spec =
            ScanSpec { columns: vec![ColumnId(1), ColumnId(3)], predicates: vec![seven], row_refs: false };
        let mut keys = Vec::new();
        for morsel in snapshot.morsels(&spec.predicates) {
            snapshot
                .scan(&morsel, &spec, &mut |batch| {
                    keys.extend(values(&batch));
                    Ok(true)
                })
                .unwrap();
        }
        keys.sort_by_key(|row| format!("{row:?}"));
        let expected: Vec<Vec<Value>> = (1..=3).map(|k| vec![Value::Int(k), Value::Int(7)]).collect();
        assert_eq!(keys, expected);
        f.reopen();
        f.store.flush(P1).unwrap();
    }
}

#[test]
fn dropped_tables_and_partitions_are_gone_after_a_restart_and_so_are_their_files() {
    let mut f = Fixture::small();
    f.put(1, P1, &[(1, 10)]);
    f.put(2, P2, &[(1, 10)]);
    f.store.flush(P1).unwrap();
    f.store.flush(P2).unwrap();
    let (before, hold) = (f.store.read_timestamp(&[P1]).unwrap(), f.store.hold(Timestamp(1)));
    f.store.drop_table(P1, f.def.id).unwrap();
    f.store.drop_table(P1, f.def.id).unwrap();
    f.store.drop_partition(P2).unwrap();
    f.store.drop_partition(P2).unwrap();
    assert!(matches!(f.begin(3).insert(P1, &[(2, 20)]), Err(StoreError::UnknownTable(_))));
    for step in 0..3 {
        assert_eq!(f.at(P1, before), map(&[(1, 10)]), "who began to read before reads on");
        if step == 1 {
            f.clock.advance(20_000);
        }
        f.store.sweep().unwrap();
        let now = ReadView { ts: f.store.read_timestamp(&[P1]).unwrap(), txn: None };
        let later = f.store.snapshot(P1, f.def.id, now);
        assert!(matches!(later, Err(StoreError::UnknownTable(_))), "who begins now does not");
    }
    // However long something is held.
    f.clock.advance(60_000);
    f.store.sweep().unwrap();
    drop(hold);
    for _ in 0..2 {
        assert_eq!(f.store.partitions(), vec![P1]);
        assert!(f.store.layout()[&P1].is_empty());
        assert!(env::Disk::list(&f.disk, Path::new("/leaf/p/1/segments")).unwrap().is_empty());
        f.reopen();
    }
    f.store.put_table(P1, f.def.clone()).unwrap();
    assert!(f.now(P1).is_empty());
}

#[test]
fn a_drop_does_not_wait_for_work_that_waits_for_the_log() {
    let f = Fixture::small();
    f.put(1, P1, &[(1, 10)]);
    let partition = f.store.partition(P1).unwrap();
    let (works, working) = std::sync::mpsc::channel();
    let worker = std::thread::spawn(move || {
        let _job = partition.layout_job.lock();
        works.send(()).unwrap();
        // A record that is on its way for as long as the partition is there.
        partition.wait_durable(u64::MAX)
    });
    working.recv().unwrap();
    f.store.drop_partition(P1).unwrap();
    assert!(matches!(worker.join().unwrap(), Err(StoreError::UnknownPartition(P1))));
}

#[test]
fn a_folder_in_use_is_refused() {
    let f = Fixture::small();
    let second = open(&f.disk, &f.clock, &f.options);
    assert!(matches!(second.map(|_| ()), Err(StoreError::InUse(_))));
}

#[test]
fn clocks_start_above_all_that_was_given_out_though_the_machines_clock_steps_back() {
    let mut f = Fixture::small();
    let last = f.put(1, P1, &[(1, 10)]);
    f.clock.step_wall(500_000);
    f.reopen();
    assert!(f.store.read_timestamp(&[P1]).unwrap() > last);
    assert!(f.put(2, P1, &[(2, 20)]) > last);
    assert_eq!(f.now(P1), map(&[(1, 10), (2, 20)]));
}

#[test]
fn many_small_flushes_are_merged_and_old_log_files_go() {
    let f = Fixture::small();
    for k in 0..400 {
        f.put(k as u64 + 1, P1, &[(k, k)]);
        if k % 10 == 9 {
            f.store.optimize(P1).unwrap();
            f.store.optimize(P2).unwrap();
        }
    }
    let statistics = f.store.statistics();
    assert!(statistics.segments < 20, "{statistics:?}");
    assert!(statistics.wal_files < 3, "{statistics:?}");
    assert_eq!(f.now(P1), (0..400).map(|k| (k, k)).collect());
    let files = env::Disk::list(&f.disk, Path::new("/leaf/p/1/segments")).unwrap();
    assert_eq!(files.len() as u64, statistics.segments);
    let ts = f.store.read_timestamp(&[P1]).unwrap();
    let snapshot = f.store.snapshot(P1, f.def.id, ReadView { ts, txn: None }).unwrap();
    let table = snapshot.statistics();
    assert_eq!(table.rows, 400);
    assert_eq!(
        (&table.columns[0].min, &table.columns[0].max),
        (&Some(Value::Int(0)), &Some(Value::Int(399)))
    );
}

#[test]
fn a_tail_that_is_only_scanned_becomes_columns() {
    let f = Fixture::new(Options { tail_rows: 1 << 20, ..small_options() });
    let rows: Vec<(i64, i64)> = (0..2_000).map(|k| (k, k)).collect();
    f.put(1, P1, &rows);
    let scan_often = || (0..9).for_each(|_| assert!(f.now(P1).len() >= 2_000));
    let work = || {
        let partition = f.store.partition(P1).unwrap();
        f.store.work_on(&partition).unwrap();
        f.store.statistics().segments
    };
    assert_eq!(work(), 0);
    scan_often();
    f.put(2, P1, &[(2_000, 2_000)]);
    assert_eq!(work(), 0, "somebody wrote");
    scan_often();
    assert!(work() > 0);
    assert_eq!(f.now(P1), (0..2_001).map(|k| (k, k)).collect());
}

#[test]
fn a_full_budget_refuses_writes_until_memory_is_freed() {
    let memory = MemoryBudget::new(1 << 20);
    let f = Fixture::new(Options {
        memory: memory.clone(),
        pool_bytes: 64 << 10,
        tail_rows: 1 << 20,
        tail_bytes: 1 << 30,
        memory_wait: Duration::ZERO,
        ..small_options()
    });
    let mut k = 0;
    let error = loop {
        let mut tx = f.begin(k as u64 + 1);
        let rows: Vec<(i64, i64)> = (k..k + 100).map(|k| (k, k)).collect();
        match tx.insert(P1, &rows) {
            Ok(_) => tx.commit().map(|_| ()).unwrap(),
            Err(error) => {
                tx.rollback();
                break error;
            }
        }
        k += 100;
    };
    assert!(matches!(error, StoreError::OverBudget(_)), "{error}");
    assert_eq!(f.now(P1).len() as i64, k);
    f.store.flush(P1).unwrap();
    assert!(memory.used() < 512 << 10, "{}", memory.used());
    f.put(9_999_999, P1, &[(k, k)]);
    assert_eq!(f.now(P1).len() as i64, k + 1);
}

#[test]
fn the_planner_is_told_of_rows_that_are_in_no_segment_yet() {
    let f = Fixture::small();
    let known = |f: &Fixture| {
        let ts = f.store.read_timestamp(&[P1]).unwrap();
        let snapshot = f.store.snapshot(P1, f.def.id, ReadView { ts, txn: None }).unwrap();
        let k = snapshot.statistics().columns.into_iter().find(|c| c.column == f.def.columns[0].id);
        k.map(|k| (k.min, k.max, k.distinct))
    };
    assert_eq!(known(&f), None);
    let mut tx = f.begin(1);
    tx.insert(P1, &[(-7, 1)]).unwrap();
    // What one has not committed is nothing to others, now or later.
    assert_eq!(known(&f).and_then(|(min, ..)| min), None);
    tx.commit().unwrap();
    assert_eq!(known(&f), Some((Some(Value::Int(-7)), Some(Value::Int(-7)), 1)));
    f.put(2, P1, &[(5, 1), (6, 1)]);
    assert_eq!(known(&f), Some((Some(Value::Int(-7)), Some(Value::Int(6)), 3)));
}

/// Partition 2 writes much and keeps nothing in memory; partition 1 has one row there.
#[test]
fn a_partition_that_is_hardly_written_to_does_not_keep_the_log_of_others() {
    let f = Fixture::new(Options { wal_files: 1_000, tail_rows: 100_000, ..small_options() });
    f.put(1, P1, &[(1, 10)]);
    let mut number = 1;
    let write = |number: &mut u64, files: u64| {
        let until = f.store.statistics().wal_files + files;
        while f.store.statistics().wal_files < until {
            *number += 1;
            let first = *number as i64 * 100;
            let rows: Vec<(i64, i64)> = (first..first + 100).map(|k| (k, k)).collect();
            f.put(*number, P2, &rows);
        }
    };
    write(&mut number, 40);
    // As long as the rows in memory need it, it stays.
    f.store.round().unwrap();
    assert!(f.store.statistics().wal_files >= 40 && f.store.statistics().segments == 0);
    f.store.flush(P2).unwrap();
    assert!(f.store.statistics().wal_files >= 40);
    f.store.round().unwrap();
    let released = f.store.statistics();
    assert!(released.wal_files <= 1 && released.unflushed_rows == 0, "{released:?}");

    // An open transaction keeps it all the same; rows are not flushed again and again for that.
    let mut tx = f.begin(1_000_000);
    tx.insert(P1, &[(2, 20)]).unwrap();
    write(&mut number, 40);
    f.store.flush(P2).unwrap();
    f.store.round().unwrap();
    number += 1;
    f.put(number, P1, &[(3, 30)]);
    let before = f.store.statistics();
    assert!(before.wal_files >= 40);
    f.store.round().unwrap();
    let after = f.store.statistics();
    assert_eq!((after.segments, after.unflushed_rows), (before.segments, before.unflushed_rows));
    tx.commit().unwrap();
    assert_eq!(f.now(P1), map(&[(1, 10), (2, 20), (3, 30)]));
}
