//! Scans: of all columns cold and warm, and with a condition that keeps few, some or all rows.

use crate::Run;
use crate::report;
use crate::stopwatch::{Stopwatch, cpu_seconds};
use crate::table::{FILTER, Loaded, P, columns};
use columnstore::{Compare, Predicate, READ_AHEAD, ReadView, ScanSpec, Store};
use criterion::{Criterion, Throughput};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use types::{ColumnId, Value};

fn scan(store: &Store, loaded: &Loaded, spec: &ScanSpec) -> usize {
    let ts = store.read_timestamp(&[P]).expect("a timestamp");
    let snapshot = store.snapshot(P, loaded.def.id, ReadView { ts, txn: None }).expect("a snapshot");
    let mut rows = 0;
    let morsels = snapshot.morsels(&spec.predicates);
    for (at, morsel) in morsels.iter().enumerate() {
        let begun = if at == 0 { 0 } else { READ_AHEAD };
        morsels[at..]
            .iter()
            .take(1 + READ_AHEAD)
            .skip(begun)
            .for_each(|next| snapshot.read_ahead(next, spec));
        let mut emit = |batch: arrow::record_batch::RecordBatch| {
            rows += black_box(batch).num_rows();
            Ok(true)
        };
        snapshot.scan(morsel, spec, &mut emit).expect("a scan");
    }
    rows
}

pub fn scans(criterion: &mut Criterion, run: &mut Run, loaded: &Loaded) {
    let all = ScanSpec { columns: columns(&loaded.def), ..ScanSpec::default() };
    let pool = loaded.bytes * 2;
    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Bytes(loaded.bytes as u64));
    // Where the disk is as fast as memory, the second line is the limit: the same with an empty pool and
    // all of it in the system's cache.
    for (label, forgotten) in [("cold", true), ("with an empty pool", false)] {
        let name = format!("scan of all columns, {label}");
        group.bench_function(label, |b| {
            b.iter_custom(|iters| {
                let mut time = Duration::ZERO;
                let mut cpu = 0.0;
                for _ in 0..iters {
                    let store = loaded.open(pool, forgotten);
                    let (begin, before) = (Stopwatch::start(), cpu_seconds());
                    assert_eq!(scan(&store, loaded, &all), loaded.rows);
                    time += begin.elapsed();
                    cpu += cpu_seconds() - before;
                    store.shutdown();
                }
                run.report.add(&name, "bytes", (loaded.bytes as u64 * iters) as f64, time);
                let waited = (1.0 - cpu / time.as_secs_f64()).max(0.0);
                run.report.note(&name, format!("{:.0}% of the time waiting for the disk", waited * 100.0));
                time
            });
        });
    }
    let store: Arc<Store> = loaded.open(pool, false);
    assert_eq!(scan(&store, loaded, &all), loaded.rows);
    let mut timed = |name: &str, unit, units: usize, iters: u64, spec: &ScanSpec| {
        let begin = Stopwatch::start();
        for _ in 0..iters {
            black_box(scan(&store, loaded, spec));
        }
        let time = begin.elapsed();
        run.report.add(name, unit, (units as u64 * iters) as f64, time);
        time
    };
    group.bench_function("warm", |b| {
        b.iter_custom(|iters| timed("scan of all columns, warm", "bytes", loaded.bytes, iters, &all));
    });
    group.throughput(report::rows(loaded.rows));
    for (label, below) in [("0.1%", FILTER / 1_000), ("10%", FILTER / 10), ("100%", FILTER)] {
        let kept = Predicate::Compare { column: ColumnId(2), op: Compare::Less, value: Value::Int(below) };
        let spec = ScanSpec { predicates: vec![kept], ..all.clone() };
        let name = format!("filtered scan that keeps {label}");
        group.bench_function(format!("keeps {label}"), |b| {
            b.iter_custom(|iters| timed(&name, "rows", loaded.rows, iters, &spec));
        });
    }
    group.finish();
    store.shutdown();
}
