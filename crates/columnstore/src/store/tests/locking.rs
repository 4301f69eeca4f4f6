//! Waiting for locks: order, time-outs, deadlocks.

use super::*;
use std::sync::mpsc;

/// Waits until so many threads wait for locks.
fn until_waiting(f: &Fixture, threads: u64) {
    for _ in 0..2_000 {
        if f.store.statistics().lock_waiting == threads {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("nobody waits");
}

#[test]
fn a_writer_waits_for_the_row_and_then_works_on_its_newest_version() {
    for in_segment in [false, true] {
        let f = Fixture::small();
        f.put(1, P1, &[(1, 10)]);
        if in_segment {
            f.store.flush(P1).unwrap();
        }
        let mut first = f.begin(2);
        first.update(P1, &[1], |k, v| (k, v + 1)).unwrap();
        let mut second = f.begin(3);
        let waiter = std::thread::spawn(move || {
            second.update(P1, &[1], |k, v| (k, v * 2)).unwrap();
            second.commit().unwrap();
        });
        until_waiting(&f, 1);
        first.commit().unwrap();
        waiter.join().unwrap();
        assert_eq!(f.now(P1), map(&[(1, 22)]));
    }
}

#[test]
fn a_wait_is_interrupted_and_the_transaction_goes_on() {
    let f = Fixture::small();
    f.put(1, P1, &[(1, 10), (2, 20)]);
    let mut first = f.begin(2);
    first.update(P1, &[1], |k, v| (k, v + 1)).unwrap();
    let mut second = f.begin(3);
    let waiter = std::thread::spawn(move || {
        let waited = second.update(P1, &[1], |k, v| (k, v * 2));
        second.undo_statement();
        second.update(P1, &[2], |k, v| (k, v * 2)).unwrap();
        second.commit().unwrap();
        waited
    });
    until_waiting(&f, 1);
    f.store.interrupt(txn_id(2));
    assert_eq!(f.store.statistics().lock_waiting, 1, "another's wait");
    f.store.interrupt(txn_id(3));
    assert!(matches!(waiter.join().unwrap(), Err(StoreError::Interrupted)));
    first.commit().unwrap();
    assert_eq!(f.now(P1), map(&[(1, 11), (2, 40)]));
}

#[test]
fn an_insert_waits_for_the_fate_of_its_key() {
    for commits in [true, false] {
        let f = Fixture::small();
        let mut first = f.begin(1);
        first.insert(P1, &[(1, 10)]).unwrap();
        let mut second = f.begin(2);
        let waiter = std::thread::spawn(move || {
            let result = second.insert(P1, &[(1, 20)]);
            match &result {
                Ok(_) => second.commit().map(|_| ()).unwrap(),
                Err(_) => second.rollback(),
            }
            result
        });
        until_waiting(&f, 1);
        if commits {
            first.commit().unwrap();
            assert!(matches!(waiter.join().unwrap(), Err(StoreError::DuplicateKey { .. })));
            assert_eq!(f.now(P1), map(&[(1, 10)]));
        } else {
            first.rollback();
            assert_eq!(waiter.join().unwrap().unwrap(), 1);
            assert_eq!(f.now(P1), map(&[(1, 20)]));
        }
    }
}

#[test]
fn a_wait_ends_with_its_time_and_rolls_back_the_statement_only() {
    let f = Fixture::small();
    f.put(1, P1, &[(1, 10), (2, 20)]);
    let mut first = f.begin(2);
    first.update(P1, &[1], |k, v| (k, v + 1)).unwrap();
    let mut second = f.begin(3);
    second.lock_wait = Duration::from_millis(30);
    second.update(P1, &[2], |k, v| (k, v + 1)).unwrap();
    let error = second.update(P1, &[1], |k, v| (k, v * 2)).unwrap_err();
    assert_eq!(types::SqlError::from(error).kind.errno(), 1205);
    second.undo_statement();
    second.commit().unwrap();
    first.commit().unwrap();
    assert_eq!(f.now(P1), map(&[(1, 11), (2, 21)]));
    assert_eq!(f.store.statistics().lock_timeouts, 1);
}

#[test]
fn of_a_cycle_over_partitions_the_youngest_is_told() {
    let f = Fixture::small();
    f.put(1, P1, &[(1, 10)]);
    f.put(2, P2, &[(1, 10)]);
    f.store.flush(P1).unwrap();
    let (mut old, mut young) = (f.begin(10), f.begin(20));
    (old.lock_wait, young.lock_wait) = (Duration::from_secs(60), Duration::from_secs(60));
    old.update(P1, &[1], |k, v| (k, v + 1)).unwrap();
    young.update(P2, &[1], |k, v| (k, v + 1)).unwrap();
    let waiter = std::thread::spawn(move || {
        let error = young.update(P1, &[1], |k, v| (k, v + 1)).unwrap_err();
        young.rollback();
        error
    });
    until_waiting(&f, 1);
    old.update(P2, &[1], |k, v| (k, v + 5)).unwrap();
    old.commit().unwrap();
    assert_eq!(types::SqlError::from(waiter.join().unwrap()).kind.errno(), 1213);
    assert_eq!((f.now(P1)[&1], f.now(P2)[&1]), (11, 15));
    assert_eq!(f.store.statistics().deadlocks, 1);
}

#[test]
fn a_freeze_between_grant_and_wake_keeps_the_waiters_row_in_the_tail() {
    let f = Fixture::small();
    f.put(1, P1, &[(1, 10), (2, 20)]);
    let mut first = f.begin(2);
    first.update(P1, &[1], |k, v| (k, v + 1)).unwrap();
    let mut second = f.begin(3);
    let waiter = std::thread::spawn(move || {
        second.update(P1, &[1], |k, v| (k, v * 2)).unwrap();
        second.commit().unwrap();
    });
    until_waiting(&f, 1);
    let partition = f.store.partition(P1).unwrap();
    {
        // The lock passes on and the tail freezes under one latch: the waiter cannot have woken.
        let mut core = partition.latch().unwrap();
        core.roll_back(&f.store.leaf, first.id);
        core.freeze(&f.store.leaf, f.def.id).unwrap();
    }
    waiter.join().unwrap();
    assert_eq!(f.now(P1), map(&[(1, 20), (2, 20)]));
}

/// Changes one locked row by its reference.
fn change(tx: &mut Tx, row: u64, to: (i64, i64)) {
    let ctx = tx.ctx(P1);
    let new = testing::number_rows(&tx.def, &[to]);
    soon(&tx.store, |store| store.update(&ctx, P1, tx.def.id, &[row], &new)).unwrap();
}

#[test]
fn what_a_statement_locked_is_found_by_its_later_parts_wherever_it_went() {
    for in_segment in [false, true] {
        let mut f = Fixture::small();
        for k in 1..=8 {
            f.put(k as u64, P1, &[(k, 10 * k)]);
            if in_segment {
                f.store.flush(P1).unwrap();
            }
        }
        let mut tx = f.begin(20);
        tx.next();
        let found = tx.lock(P1, &[1, 2, 3]).unwrap();
        let place = |tx: &Tx, k| tx.find(P1, f.store.read_timestamp(&[P1]).unwrap()).unwrap()[&k].1;
        tx.next_part();
        change(&mut tx, found[&1].1, (1, 11));
        // The tail becomes a run, and eight segments become one.
        f.store.optimize(P1).unwrap();
        assert_ne!(place(&tx, 2), found[&2].1);
        assert_eq!(f.store.statistics().merges > 0, in_segment);
        tx.next_part();
        change(&mut tx, found[&2].1, (2, 21));
        tx.undo_statement();
        let standing = tx.statement.0 - 1;
        tx.last.insert(P1, StatementNo(standing));
        tx.next_part();
        change(&mut tx, found[&3].1, (3, 31));
        tx.commit().unwrap();
        let after = map(&[(1, 11), (2, 20), (3, 31), (4, 40), (5, 50), (6, 60), (7, 70), (8, 80)]);
        assert_eq!(f.now(P1), after);
        f.reopen();
        assert_eq!(f.now(P1), after);
        // References are not those of the next statement.
        let mut tx = f.begin(30);
        tx.next();
        let ctx = tx.ctx(P1);
        let new = testing::number_rows(&f.def, &[(2, 0)]);
        let not_locked = f.store.update(&ctx, P1, f.def.id, &[found[&2].1], &new);
        assert!(not_locked.is_err(), "{not_locked:?}");
    }
}

#[test]
fn a_part_is_taken_back_alone_and_so_are_all_of_its_statement() {
    for whole in [false, true] {
        let mut f = Fixture::small();
        f.put(1, P1, &[(1, 10), (2, 20), (3, 30)]);
        let mut tx = f.begin(2);
        tx.update(P1, &[1], |k, v| (k, v + 1)).unwrap();
        tx.next();
        let begun = tx.statement;
        let found = tx.lock(P1, &[1, 2, 3]).unwrap();
        for (k, v) in [(1, 12), (2, 22), (3, 33)] {
            tx.next_part();
            change(&mut tx, found[&k].1, (k, v));
            if k > 1 {
                // It has written what an earlier part has, too.
                change(&mut tx, found[&1].1, (1, 100 * k));
                tx.undo_statement();
                tx.undo_statement();
            }
            let standing = map(&[(1, 12), (2, 20), (3, 30)]);
            assert_eq!(tx.see(P1), standing);
        }
        if whole {
            f.store.rollback_statement(tx.id, begun, &[P1]).unwrap();
        }
        let after = map(&[(1, if whole { 11 } else { 12 }), (2, 20), (3, 30)]);
        assert_eq!(tx.see(P1), after);
        tx.commit().unwrap();
        assert_eq!(f.now(P1), after);
        f.reopen();
        assert_eq!(f.now(P1), after);
    }
}

#[test]
fn a_dropped_partition_and_a_rollback_end_waits() {
    let f = Fixture::small();
    f.put(1, P1, &[(1, 10)]);
    f.put(2, P2, &[(1, 10)]);
    let mut first = f.begin(3);
    first.update(P1, &[1], |k, v| (k, v + 1)).unwrap();
    first.update(P2, &[1], |k, v| (k, v + 1)).unwrap();
    let (sender, receiver) = mpsc::channel();
    for (number, p) in [(4, P1), (5, P2)] {
        let mut tx = f.begin(number);
        tx.lock_wait = Duration::from_secs(60);
        let sender = sender.clone();
        std::thread::spawn(move || sender.send((p, tx.update(p, &[1], |k, v| (k, v)))).unwrap());
    }
    until_waiting(&f, 2);
    f.store.drop_partition(P1).unwrap();
    let (p, result) = receiver.recv().unwrap();
    assert!(p == P1 && matches!(result, Err(StoreError::UnknownPartition(_))), "{result:?}");
    // KILL: another thread rolls the waiter back.
    f.store.rollback(txn_id(5), &[P2]);
    let (p, result) = receiver.recv().unwrap();
    assert!(p == P2 && matches!(result, Err(StoreError::StatementMismatch { .. })), "{result:?}");
    first.rollback();
    assert_eq!(f.now(P2), map(&[(1, 10)]));
}

#[test]
fn a_call_at_once_gives_up_where_it_would_wait_and_can_be_repeated() {
    let f = Fixture::small();
    f.put(1, P1, &[(1, 10), (2, 20)]);
    f.store.flush(P1).unwrap();
    let ts = f.store.read_timestamp(&[P1]).unwrap();
    let row = f.begin(9).find(P1, ts).unwrap()[&1].1;
    let mut first = f.begin(2);
    first.update(P1, &[1], |k, v| (k, v + 1)).unwrap();
    let mut second = f.begin(3);
    second.next();
    let ctx = second.ctx(P1);
    let new = testing::number_rows(&f.def, &[(1, 30)]);
    let change = |store: &Store| {
        let locked = store.lock_rows(&ctx, P1, f.def.id, &[row], LockRequest::to_change(Timestamp::MAX))?;
        assert!(!locked.changed);
        store.update(&ctx, P1, f.def.id, &[row], &new)
    };
    let waited = f.store.statistics().calls_waited;
    assert!(f.store.at_once(change).is_none(), "another transaction has the row");
    let inserted = f.store.at_once(|store| {
        store.insert(&ctx, P1, f.def.id, &testing::number_rows(&f.def, &[(1, 0)]), OnDuplicate::Error)
    });
    assert!(inserted.is_none(), "whether there is such a row is not known yet");
    let statistics = f.store.statistics();
    assert_eq!((statistics.calls_waited, statistics.lock_waiting), (waited + 2, 0));
    first.commit().unwrap();
    f.store.at_once(change).unwrap().unwrap();
    second.commit().unwrap();
    assert_eq!(f.now(P1), map(&[(1, 30), (2, 20)]));
}

/// A run keeps versions that a later one ended, for older readers. Whoever finds one and wants to change
/// the row is told that it changed, as when the version stood in the tail.
#[test]
fn an_ended_version_of_a_run_is_not_taken_for_the_row() {
    for deletes in [false, true] {
        let f = Fixture::new(Options { snapshot_lag: Duration::from_secs(10), ..small_options() });
        f.put(1, P1, &[(1, 10), (2, 20)]);
        let before = f.store.read_timestamp(&[P1]).unwrap();
        let mut first = f.begin(2);
        match deletes {
            false => assert_eq!(first.update(P1, &[1], |k, v| (k, v + 1)).unwrap(), 1),
            true => assert_eq!(first.delete(P1, &[1]).unwrap(), 1),
        }
        first.commit().unwrap();
        f.store.partition(P1).unwrap().latch().unwrap().freeze(&f.store.leaf, f.def.id).unwrap();
        let seen =
            refs(&f.store.snapshot(P1, f.def.id, ReadView { ts: before, txn: None }).unwrap()).unwrap();
        assert_eq!(seen[&1].0, 10);
        let mut second = f.begin(3);
        second.next();
        let ctx = second.ctx(P1);
        let lock = |row| {
            let request = LockRequest::to_change(before);
            soon(&f.store, |store| store.lock_rows(&ctx, P1, f.def.id, &[row], request)).unwrap()
        };
        assert!(lock(seen[&1].1).changed);
        assert!(!lock(seen[&2].1).changed);
        second.commit().unwrap();
        let after = if deletes { map(&[(2, 20)]) } else { map(&[(1, 11), (2, 20)]) };
        assert_eq!(f.now(P1), after);
        f.store.optimize(P1).unwrap();
        assert_eq!(f.now(P1), after);
    }
}

#[test]
fn a_table_is_locked_fenced_and_gone() {
    let f = Fixture::small();
    f.put(1, P1, &[(1, 10)]);
    let mut before = f.begin(2);
    before.insert(P1, &[(2, 20)]).unwrap();
    let mut locking = f.begin(3);
    let lock = |tx: &mut Tx| {
        tx.next();
        let ctx = tx.ctx(P1);
        tx.store.lock_table(&ctx, P1, tx.def.id)
    };
    let waiter = std::thread::spawn(move || {
        lock(&mut locking).unwrap();
        locking
    });
    until_waiting(&f, 1);
    before.commit().unwrap();
    let mut locking = waiter.join().unwrap();
    assert_eq!(f.now(P1), map(&[(1, 10), (2, 20)]), "readers go on");
    let mut late = f.begin(4);
    let late = std::thread::spawn(move || {
        let error = late.insert(P1, &[(3, 30)]).unwrap_err();
        late.rollback();
        error
    });
    until_waiting(&f, 1);

    let fenced = TableDef { version: 2, replacement: Some(TableId(9)), ..TableDef::clone(&f.def) };
    let fenced = Arc::new(fenced);
    f.store.put_table(P1, fenced.clone()).unwrap();
    locking.def = fenced.clone();
    lock(&mut locking).unwrap();
    locking.rollback();
    assert!(matches!(late.join().unwrap(), StoreError::TableDefinitionChanged));
    let mut newer = f.begin(5);
    newer.def = fenced.clone();
    assert!(matches!(newer.insert(P1, &[(3, 30)]), Err(StoreError::TableDefinitionChanged)));
    newer.next();
    let ctx = newer.ctx(P1);
    assert!(matches!(f.store.begin_bulk(&ctx, P1, f.def.id), Err(StoreError::TableDefinitionChanged)));
    newer.rollback();
    // Locks that were lost are not taken anew in silence.
    let lost = lock(&mut locking);
    assert!(
        matches!(lost, Err(StoreError::StatementMismatch { .. } | StoreError::TransactionOver)),
        "{lost:?}"
    );
    assert_eq!(f.now(P1), map(&[(1, 10), (2, 20)]));

    let open = TableDef { version: 3, replacement: None, ..TableDef::clone(&f.def) };
    f.store.put_table(P1, Arc::new(open.clone())).unwrap();
    let mut writer = f.begin(6);
    writer.def = Arc::new(open);
    writer.insert(P1, &[(3, 30)]).unwrap();
    writer.commit().unwrap();
    let mut last = f.begin(7);
    last.def = writer.def.clone();
    lock(&mut last).unwrap();
    f.store.drop_table(P1, f.def.id).unwrap();
    last.rollback();
}
