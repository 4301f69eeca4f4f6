//! Single rows by their primary key: with all of the table in the pool, and with a pool of a quarter of
//! it; keys by Zipf's law with 0.99, and uniform.
//!
//! With the quarter the system's cache is emptied first, and blocks that the pool had to load are counted;
//! what it loads again within a sample may come from the system's cache.

use crate::Run;
use crate::report;
use crate::stopwatch::{Stopwatch, cpu_seconds};
use crate::table::{Loaded, P, columns};
use columnstore::{KeyRead, ReadAt, ReadView, Store};
use criterion::Criterion;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::hint::black_box;
use types::{StatementNo, Timestamp, Value};

const THETA: f64 = 0.99;

/// Numbers below `n`, of which few are frequent; after Gray and others, "Quickly generating
/// billion-record synthetic databases" (1994). The frequent ones lie all over the range.
struct Zipf {
    n: u64,
    zeta: f64,
    alpha: f64,
    eta: f64,
    scatter: u64,
}

impl Zipf {
    fn new(n: u64) -> Zipf {
        let zeta = |n: u64| (1..=n).map(|i| (i as f64).powf(-THETA)).sum::<f64>();
        let all = zeta(n);
        let eta = (1.0 - (2.0 / n as f64).powf(1.0 - THETA)) / (1.0 - zeta(2) / all);
        // A prime that does not divide n: then each rank has a place of its own.
        let scatter =
            [2_654_435_761, 2_246_822_519, 3_266_489_917].into_iter().find(|p| !n.is_multiple_of(*p));
        Zipf { n, zeta: all, alpha: 1.0 / (1.0 - THETA), eta, scatter: scatter.unwrap_or(1) }
    }

    fn rank(&self, random: &mut StdRng) -> u64 {
        let u: f64 = random.random();
        let uz = u * self.zeta;
        if uz < 1.0 {
            return 0;
        }
        if uz < 1.0 + 0.5f64.powf(THETA) {
            return 1;
        }
        let rank = self.n as f64 * (self.eta * u - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.n - 1)
    }

    fn next(&self, random: &mut StdRng) -> u64 {
        (u128::from(self.rank(random)) * u128::from(self.scatter) % u128::from(self.n)) as u64
    }
}

/// As a statement on one row reads it: without waiting where it can.
fn get(store: &Store, loaded: &Loaded, key: i64, columns: &[types::ColumnId]) {
    let mut read = KeyRead {
        key: vec![Value::Int(key)],
        columns: columns.to_vec(),
        row_ref: false,
        at: ReadAt::Newest { not_before: Timestamp::ZERO },
        txn: None,
        written: StatementNo(0),
    };
    let found = store.try_get(P, loaded.def.id, &read).expect("a read").unwrap_or_else(|| {
        let ts = store.read_timestamp(&[P]).expect("a timestamp");
        read.at = ReadAt::Snapshot(ts);
        store.get(P, loaded.def.id, ReadView { ts, txn: None }, &read).expect("a read")
    });
    assert_eq!(black_box(found).row.expect("the row is there").num_rows(), 1);
}

pub fn gets(criterion: &mut Criterion, run: &mut Run, loaded: &Loaded) {
    let zipf = Zipf::new(loaded.rows as u64);
    let columns = columns(&loaded.def);
    let mut group = criterion.benchmark_group("get");
    group.throughput(report::rows(1));
    for (pool_label, pool) in [("hot", loaded.bytes * 2), ("pool of a quarter", loaded.bytes / 4)] {
        let is_hot = pool > loaded.bytes;
        for (keys_label, is_zipf) in [("Zipf 0.99", true), ("uniform", false)] {
            let store = loaded.open(pool, !is_hot);
            let mut random = StdRng::seed_from_u64(5);
            let mut key = move |zipf: &Zipf| match is_zipf {
                true => zipf.next(&mut random) as i64,
                false => random.random_range(0..zipf.n) as i64,
            };
            if is_hot {
                // Every block once.
                (0..loaded.rows).step_by(1_000).for_each(|row| get(&store, loaded, row as i64, &columns));
            }
            let name = format!("get, {pool_label}, {keys_label}");
            let (mut done, mut misses, mut cpu, mut best) = (0u64, 0u64, 0.0, f64::INFINITY);
            group.bench_function(format!("{pool_label}, {keys_label}"), |b| {
                b.iter_custom(|iters| {
                    let keys: Vec<i64> = (0..iters).map(|_| key(&zipf)).collect();
                    let before = store.statistics().pool;
                    let (begin, cpu_before) = (Stopwatch::start(), cpu_seconds());
                    keys.into_iter().for_each(|key| get(&store, loaded, key, &columns));
                    let time = begin.elapsed();
                    let sample = cpu_seconds() - cpu_before;
                    cpu += sample;
                    // A few rows may all be in the processor's cache.
                    if iters >= 1_000 {
                        best = best.min(sample / iters as f64);
                    }
                    misses += store.statistics().pool.misses - before.misses;
                    done += iters;
                    run.report.add(&name, "rows", iters as f64, time);
                    time
                });
            });
            let each = misses as f64 / done.max(1) as f64;
            let micros = cpu * 1e6 / done.max(1) as f64;
            let best = micros.min(best * 1e6);
            let note =
                format!("{each:.3} blocks loaded and {micros:.1} us of CPU for a row, {best:.1} at best");
            run.report.note(&name, note);
            store.shutdown();
        }
    }
    group.finish();
}
