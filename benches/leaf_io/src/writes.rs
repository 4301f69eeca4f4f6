//! Commits by many writers, loads, updates of random rows, merges.

use crate::Run;
use crate::report;
use crate::table::{BATCH, FILTER, Loaded, P, commit, context, insert, load, open, rows, table};
use arrow::array::AsArray;
use arrow::datatypes::UInt64Type;
use arrow::record_batch::RecordBatch;
use columnstore::{KeyRead, LockRequest, Maintenance, ReadAt, ReadView, Store, batch_bytes};
use criterion::Criterion;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use types::{PartitionId, StatementNo, TableDef, TableId, Timestamp, Value};

/// Partitions that writers share.
const PARTITIONS: u32 = 4;

/// Runs `work` on so many threads until all of them together have done `count`; gives what was done.
fn side_by_side(writers: usize, count: u64, work: impl Fn(usize) + Sync) -> (u64, Duration) {
    let each = count.div_ceil(writers as u64);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for writer in 0..writers {
            let work = &work;
            scope.spawn(move || (0..each).for_each(|_| work(writer)));
        }
    });
    (each * writers as u64, begin.elapsed())
}

/// What `iters` iterations would have taken.
fn scaled(time: Duration, iters: u64, done: u64) -> Duration {
    time.mul_f64(iters as f64 / done as f64)
}

/// Single rows, each inserted and committed: an append to the log that is synced.
pub fn commits(criterion: &mut Criterion, run: &mut Run) {
    let store = open(&run.folder.join("commits"), 64 << 20, 1);
    let def = table(1, true);
    for p in 1..=PARTITIONS {
        store.create_partition(PartitionId(p)).expect("a partition");
        store.put_table(PartitionId(p), def.clone()).expect("a table");
    }
    let next = AtomicI64::new(0);
    let mut group = criterion.benchmark_group("commit");
    group.throughput(report::rows(1));
    for writers in [1, 8, 64] {
        let name = format!("log: rows committed by {writers} writers");
        group.bench_function(format!("{writers} writers"), |b| {
            b.iter_custom(|iters| {
                let before = store.statistics();
                let (done, time) = side_by_side(writers, iters, |writer| {
                    let key = next.fetch_add(1, Ordering::Relaxed);
                    let row = rows(&def, &[key], &mut StdRng::seed_from_u64(key as u64));
                    insert(&store, PartitionId(1 + writer as u32 % PARTITIONS), def.id, &row);
                });
                let after = store.statistics();
                run.report.add(&name, "rows", done as f64, time);
                let syncs = after.wal_syncs - before.wal_syncs;
                run.report.note(&name, format!("{:.1} rows a sync", done as f64 / syncs as f64));
                scaled(time, iters, done)
            });
        });
    }
    group.finish();
    store.shutdown();
}

/// Loads of sorted rows, without and with a primary and sort key.
pub fn ingest(criterion: &mut Criterion, run: &mut Run) {
    let store = open(&run.folder.join("ingest"), 64 << 20, 0);
    store.create_partition(P).expect("a partition");
    let count = run.rows.min(1_000_000);
    let mut random = StdRng::seed_from_u64(2);
    let mut next_table = 0;
    let mut group = criterion.benchmark_group("ingest");
    group.throughput(report::rows(count));
    for (has_key, label) in [(false, "without keys"), (true, "with primary and sort key")] {
        let def = table(1, has_key);
        // In no order, so that they have to be sorted.
        let keys: Vec<i64> = (0..count as i64).map(|n| n * 7_919 % 1_000_003).collect();
        let batches: Vec<RecordBatch> =
            keys.chunks(BATCH).map(|keys| rows(&def, keys, &mut random)).collect();
        let bytes: usize = batches.iter().map(batch_bytes).sum();
        group.bench_function(label, |b| {
            b.iter_custom(|iters| {
                let mut all = Duration::ZERO;
                for _ in 0..iters {
                    next_table += 1;
                    let def = Arc::new(TableDef { id: TableId(next_table), ..(*table(1, has_key)).clone() });
                    store.put_table(P, def.clone()).expect("a table");
                    let begin = Instant::now();
                    load(&store, def.id, &batches);
                    all += begin.elapsed();
                    store.drop_table(P, def.id).expect("it is there");
                }
                let name = format!("bulk ingest {label}");
                run.report.add(&name, "rows", (count as u64 * iters) as f64, all);
                run.report.add(&format!("{name}, in memory"), "bytes", (bytes as u64 * iters) as f64, all);
                all
            });
        });
    }
    group.finish();
    store.shutdown();
}

/// Rows by random keys, each read, locked, changed and committed.
pub fn updates(criterion: &mut Criterion, run: &mut Run, loaded: &Loaded) {
    let store = loaded.open(loaded.bytes * 2, false);
    let mut group = criterion.benchmark_group("update");
    group.throughput(report::rows(1));
    for writers in [1, 16] {
        let name = format!("random rows updated by {writers} writers");
        let seed = AtomicI64::new(0);
        group.bench_function(format!("{writers} writers"), |b| {
            b.iter_custom(|iters| {
                let (done, time) = side_by_side(writers, iters, |_| {
                    let mut random = StdRng::seed_from_u64(seed.fetch_add(1, Ordering::Relaxed) as u64);
                    update(&store, loaded, random.random_range(0..loaded.rows as i64), &mut random);
                });
                run.report.add(&name, "rows", done as f64, time);
                scaled(time, iters, done)
            });
        });
    }
    group.finish();
    store.shutdown();
}

fn update(store: &Store, loaded: &Loaded, key: i64, random: &mut StdRng) {
    loop {
        let ts = store.read_timestamp(&[P]).expect("a timestamp");
        let view = ReadView { ts, txn: None };
        let Some(row) = reference(store, loaded, key, view) else { panic!("row {key} is lost") };
        let ctx = context();
        let lock = LockRequest::to_change(ts);
        if store.lock_rows(&ctx, P, loaded.def.id, &[row], lock).expect("a lock").changed {
            store.rollback(ctx.txn, &[P]);
            continue;
        }
        let new = rows(&loaded.def, &[key], random);
        store.update(&ctx, P, loaded.def.id, &[row], &new).expect("an update");
        commit(store, &ctx, P);
        return;
    }
}

fn reference(store: &Store, loaded: &Loaded, key: i64, view: ReadView) -> Option<u64> {
    let read = KeyRead {
        key: vec![Value::Int(key)],
        columns: Vec::new(),
        row_ref: true,
        at: ReadAt::Snapshot(view.ts),
        txn: None,
        written: StatementNo(0),
    };
    let row = store.get(P, loaded.def.id, view, &read).expect("a read").row?;
    let refs = row.column(0).as_primitive::<UInt64Type>();
    (!refs.is_empty()).then(|| refs.value(0))
}

/// Eight segments, whose keys lie between each other's, into as few as there can be.
pub fn merge(criterion: &mut Criterion, run: &mut Run) {
    let store = open(&run.folder.join("merge"), 64 << 20, 0);
    store.create_partition(P).expect("a partition");
    let segments = 8;
    let each = (run.rows / segments).clamp(BATCH, 500_000);
    let mut random = StdRng::seed_from_u64(3);
    let def = table(1, true);
    let pieces: Vec<Vec<RecordBatch>> = (0..segments)
        .map(|piece| {
            let keys: Vec<i64> = (0..each).map(|n| (n * segments + piece) as i64 * 3 + FILTER).collect();
            keys.chunks(BATCH).map(|keys| rows(&def, keys, &mut random)).collect()
        })
        .collect();
    let mut next_table = 0;
    let mut group = criterion.benchmark_group("merge");
    group.throughput(report::rows(each * segments));
    group.bench_function("8 segments", |b| {
        b.iter_custom(|iters| {
            let mut all = Duration::ZERO;
            for _ in 0..iters {
                next_table += 1;
                let def = Arc::new(TableDef { id: TableId(next_table), ..(*def).clone() });
                store.put_table(P, def.clone()).expect("a table");
                for piece in &pieces {
                    load(&store, def.id, piece);
                }
                let bytes = store.statistics().segment_bytes;
                let begin = Instant::now();
                store.maintain(P, def.id, Maintenance::MergeAll).expect("a merge");
                let time = begin.elapsed();
                all += time;
                run.report.add("merge of 8 segments", "rows", (each * segments) as f64, time);
                run.report.add("merge of 8 segments, as read", "bytes", bytes as f64, time);
                let snapshot = store
                    .snapshot(P, def.id, ReadView { ts: newest(&store), txn: None })
                    .expect("a snapshot");
                assert_eq!(snapshot.statistics().rows, (each * segments) as u64);
                store.drop_table(P, def.id).expect("it is there");
            }
            all
        });
    });
    group.finish();
    store.shutdown();
}

fn newest(store: &Store) -> Timestamp {
    store.read_timestamp(&[P]).expect("a timestamp")
}
