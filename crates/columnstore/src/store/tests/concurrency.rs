//! Threads that transfer between rows of two partitions while others sum them up, under constant
//! freezing, flushing and merging: every sum is the same, and nothing is lost.

use super::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const ACCOUNTS: i64 = 40;
const EACH: i64 = 1_000;

fn transfer(
    store: &Arc<Store>,
    def: &Arc<TableDef>,
    number: u64,
    rng: &mut StdRng,
) -> Result<(), StoreError> {
    let mut tx = Tx::new(store, def, number);
    let parts = if rng.random_bool(0.5) { [P1, P2] } else { [P2, P1] };
    let amount = rng.random_range(1..20);
    let (from, to) = (rng.random_range(0..ACCOUNTS), rng.random_range(0..ACCOUNTS));
    let mut work = || {
        tx.update(parts[0], &[from], |k, v| (k, v - amount))?;
        tx.update(parts[1], &[to], |k, v| (k, v + amount))?;
        if rng.random_bool(0.2) {
            // A row that comes and goes, of no value.
            tx.insert(parts[0], &[(1_000 + number as i64, 0)])?;
        }
        if rng.random_bool(0.1) {
            tx.update(parts[0], &[from], |k, v| (k, v + 77))?;
            tx.undo_statement();
        }
        if rng.random_bool(0.9) {
            tx.commit().map(|_| ())
        } else {
            tx.rollback();
            Ok(())
        }
    };
    let done = work();
    if done.is_err() {
        tx.rollback();
    }
    match done {
        Err(StoreError::Deadlock | StoreError::LockWaitTimeout) => Ok(()),
        other => other,
    }
}

#[test]
fn sums_over_partitions_hold_while_everything_moves() {
    let options = Options {
        workers: 1,
        snapshot_lag: Duration::from_millis(500),
        wal_file_bytes: 64 << 10,
        segment_rows: 300,
        ..small_options()
    };
    let mut f = Fixture::new(options);
    let rows: Vec<(i64, i64)> = (0..ACCOUNTS).map(|k| (k, EACH)).collect();
    f.put(1, P1, &rows);
    f.put(2, P2, &rows);
    let stop = AtomicBool::new(false);
    let numbers = AtomicU64::new(10);
    let (commits, sums) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (f, numbers, commits, stop) = (&f, &numbers, &commits, &stop);
            scope.spawn(move || {
                let mut rng = StdRng::seed_from_u64(seed);
                while !stop.load(Ordering::Relaxed) {
                    let number = numbers.fetch_add(1, Ordering::Relaxed);
                    transfer(&f.store, &f.def, number, &mut rng).unwrap();
                    commits.fetch_add(1, Ordering::Relaxed);
                    f.clock.advance(1);
                }
            });
        }
        for _ in 0..2 {
            let (f, sums, stop) = (&f, &sums, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let ts = f.store.read_timestamp(&[P1, P2]).unwrap();
                    let hold = f.store.hold(ts);
                    let view = ReadView { ts, txn: None };
                    let mut sum = 0;
                    for p in [P1, P2] {
                        match read(&f.store, p, f.def.id, view) {
                            Ok(rows) => {
                                assert_eq!(rows.range(..ACCOUNTS).count() as i64, ACCOUNTS);
                                sum += rows.values().sum::<i64>();
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                    assert_eq!(sum, 2 * ACCOUNTS * EACH, "at {ts}");
                    sums.fetch_add(1, Ordering::Relaxed);
                    drop(hold);
                }
            });
        }
        let (f, stop) = (&f, &stop);
        scope.spawn(move || {
            let mut rng = StdRng::seed_from_u64(99);
            while !stop.load(Ordering::Relaxed) {
                let p = if rng.random_bool(0.5) { P1 } else { P2 };
                match rng.random_range(0..3) {
                    0 => f.store.flush(p).unwrap(),
                    1 => f.store.optimize(p).unwrap(),
                    _ => {
                        let partition = f.store.partition(p).unwrap();
                        partition.latch().unwrap().freeze(&f.store.leaf, f.def.id).unwrap();
                    }
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        std::thread::sleep(Duration::from_millis(2_500));
        stop.store(true, Ordering::Relaxed);
    });
    assert!(commits.load(Ordering::Relaxed) > 100 && sums.load(Ordering::Relaxed) > 50);
    let statistics = f.store.statistics();
    assert!(statistics.flushes > 10 && statistics.merges > 1, "{statistics:?}");
    assert_eq!(statistics.open_transactions, 0);
    let before = (f.now(P1), f.now(P2));
    f.reopen();
    assert_eq!((f.now(P1), f.now(P2)), before);
}

/// Many threads commit at once: far fewer syncs than commits are not promised, but no more.
#[test]
fn commits_of_many_threads_share_syncs_and_all_survive() {
    let mut f = Fixture::small();
    let before = f.store.statistics();
    std::thread::scope(|scope| {
        for thread in 0..8i64 {
            let f = &f;
            scope.spawn(move || {
                for i in 0..50 {
                    let k = thread * 1_000 + i;
                    f.put(k as u64 + 1, if i % 2 == 0 { P1 } else { P2 }, &[(k, k)]);
                }
            });
        }
    });
    let after = f.store.statistics();
    assert_eq!(after.commits - before.commits, 400);
    assert!(after.wal_syncs - before.wal_syncs <= 400 + after.wal_files);
    f.reopen();
    assert_eq!(f.now(P1).len() + f.now(P2).len(), 400);
}
