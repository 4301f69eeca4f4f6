//! Segments of a million rows like TPC-H's lineitem: write, full scan, Q6's filter, Q1's columns,
//! single rows; in CPU time of the thread, so that other work on the machine counts little.
//! `cargo bench -p pando-columnstore --bench segment`.

use arrow::array::{
    ArrayRef, AsArray, Date32Array, Decimal128Array, Int32Array, Int64Array, StringViewArray,
};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use columnstore::segment::sort_to_segment_order;
use columnstore::{
    BeginTimestamps, BufferPool, Compare, Predicate, ScanSpec, Segment, SegmentMeta, filter_batch,
    write_segment,
};
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use env::{MemoryBudget, RealDisk};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use types::{ColumnDef, ColumnDefault, ColumnId, DatabaseId, SqlType, TableDef, TableId, Timestamp, Value};

/// As in Pando's binaries: the system's allocator maps and unmaps buffers of 128 KiB each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: usize = 1_000_000;
const MONEY: SqlType = SqlType::Decimal { precision: 15, scale: 2 };

const COLUMNS: [(&str, SqlType); 16] = [
    ("l_orderkey", SqlType::BigInt { unsigned: false }),
    ("l_partkey", SqlType::Int { unsigned: false }),
    ("l_suppkey", SqlType::Int { unsigned: false }),
    ("l_linenumber", SqlType::Int { unsigned: false }),
    ("l_quantity", MONEY),
    ("l_extendedprice", MONEY),
    ("l_discount", MONEY),
    ("l_tax", MONEY),
    ("l_returnflag", SqlType::Char(1)),
    ("l_linestatus", SqlType::Char(1)),
    ("l_shipdate", SqlType::Date),
    ("l_commitdate", SqlType::Date),
    ("l_receiptdate", SqlType::Date),
    ("l_shipinstruct", SqlType::Char(25)),
    ("l_shipmode", SqlType::Char(10)),
    ("l_comment", SqlType::VarChar(44)),
];

fn lineitem() -> (TableDef, RecordBatch) {
    let columns = COLUMNS
        .iter()
        .enumerate()
        .map(|(i, (name, ty))| ColumnDef {
            id: ColumnId(i as u32 + 1),
            name: (*name).to_string(),
            ty: *ty,
            nullable: false,
            default: ColumnDefault::None,
            auto_increment: false,
            initial: None,
            collation: types::Collation::default(),
            on_update_now: false,
            comment: String::new(),
        })
        .collect();
    let def = TableDef {
        id: TableId(1),
        database: DatabaseId(1),
        name: "lineitem".into(),
        version: 1,
        columns,
        next_column_id: ColumnId(17),
        shard_key: vec![ColumnId(1)],
        sort_key: vec![],
        primary_key: vec![ColumnId(1), ColumnId(4)],
        keys: vec![],
        collation: types::Collation::default(),
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        comment: String::new(),
        replacement: None,
        reference: false,
    };
    let mut random = StdRng::seed_from_u64(1);
    let (mut order, mut line, mut lines, mut date) = (0i64, 0, 0, 0);
    let mut keys = Vec::new();
    let mut dates = Vec::new();
    for _ in 0..ROWS {
        if line == lines {
            order += if order % 8 == 7 { 25 } else { 1 };
            (line, lines) = (0, random.random_range(1..=7));
            date = random.random_range(8_036..10_440);
        }
        line += 1;
        keys.push((order, line));
        let ship = date + random.random_range(1..=121);
        dates.push((ship, date + random.random_range(30..=90), ship + random.random_range(1..=30)));
    }
    let words = [
        "carefully",
        "final",
        "deposits",
        "sleep",
        "quickly",
        "above",
        "the",
        "furiously",
        "ironic",
        "packages",
        "regular",
        "foxes",
        "express",
        "accounts",
        "haggle",
        "blithely",
        "even",
        "pinto",
        "beans",
        "unusual",
        "requests",
    ];
    let money = |values: Vec<i128>| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(15, 2).unwrap())
    };
    let quantities: Vec<i128> = (0..ROWS).map(|_| random.random_range(1..=50)).collect();
    let prices = quantities.iter().map(|q| q * random.random_range(90_000..200_000)).collect();
    let pick = |of: &[&str], random: &mut StdRng| of[random.random_range(0..of.len())].to_string();
    let strings = |values: Vec<String>| -> ArrayRef { Arc::new(StringViewArray::from_iter_values(values)) };
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(keys.iter().map(|k| k.0))),
        Arc::new(Int32Array::from_iter_values((0..ROWS).map(|_| random.random_range(1..=200_000)))),
        Arc::new(Int32Array::from_iter_values((0..ROWS).map(|_| random.random_range(1..=10_000)))),
        Arc::new(Int32Array::from_iter_values(keys.iter().map(|k| k.1))),
        money(quantities.iter().map(|q| q * 100).collect()),
        money(prices),
        money((0..ROWS).map(|_| random.random_range(0..=10)).collect()),
        money((0..ROWS).map(|_| random.random_range(0..=8)).collect()),
        strings((0..ROWS).map(|_| pick(&["A", "N", "R"], &mut random)).collect()),
        strings((0..ROWS).map(|_| pick(&["O", "F"], &mut random)).collect()),
        Arc::new(Date32Array::from_iter_values(dates.iter().map(|d| d.0))),
        Arc::new(Date32Array::from_iter_values(dates.iter().map(|d| d.1))),
        Arc::new(Date32Array::from_iter_values(dates.iter().map(|d| d.2))),
        strings(
            (0..ROWS)
                .map(|_| pick(&["DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN"], &mut random))
                .collect(),
        ),
        strings(
            (0..ROWS)
                .map(|_| pick(&["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"], &mut random))
                .collect(),
        ),
        strings(
            (0..ROWS)
                .map(|_| {
                    let mut text = String::new();
                    let length = random.random_range(10..44);
                    while text.len() < length {
                        text.push_str(words[random.random_range(0..words.len())]);
                        text.push(' ');
                    }
                    text.truncate(length);
                    text
                })
                .collect(),
        ),
    ];
    let fields: Vec<_> = COLUMNS.iter().map(|(name, ty)| ty.field(name, false)).collect();
    (def, RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap())
}

fn decimal(unscaled: i128) -> Value {
    Value::Decimal { unscaled, scale: 2 }
}

fn q6() -> ScanSpec {
    let compare = |column, op, value| Predicate::Compare { column: ColumnId(column), op, value };
    ScanSpec {
        columns: vec![ColumnId(6), ColumnId(7)],
        predicates: vec![
            compare(11, Compare::GreaterEq, Value::Date(8_766)),
            compare(11, Compare::Less, Value::Date(9_131)),
            compare(7, Compare::GreaterEq, decimal(5)),
            compare(7, Compare::LessEq, decimal(7)),
            compare(5, Compare::Less, decimal(2_400)),
        ],
        row_refs: false,
    }
}

fn q1() -> ScanSpec {
    ScanSpec {
        columns: [5, 6, 7, 8, 9, 10].map(ColumnId).to_vec(),
        predicates: vec![Predicate::Compare {
            column: ColumnId(11),
            op: Compare::LessEq,
            value: Value::Date(10_471),
        }],
        row_refs: false,
    }
}

fn all() -> ScanSpec {
    ScanSpec { columns: (1..=16).map(ColumnId).collect(), predicates: vec![], row_refs: false }
}

fn scan(segment: &Segment, def: &TableDef, spec: &ScanSpec) -> usize {
    let mut rows = 0;
    for block in 0..segment.blocks() {
        let emit = &mut |batch: RecordBatch| {
            rows += black_box(batch).num_rows();
            Ok(true)
        };
        segment.scan_block(block, def, spec, None, emit).unwrap();
    }
    rows
}

/// The same by the rows that the segment was made of.
fn filter_all(def: &TableDef, rows: &RecordBatch, spec: &ScanSpec) {
    for from in (0..ROWS).step_by(65_536) {
        let part = rows.slice(from, (ROWS - from).min(65_536));
        filter_batch(def, &part, spec, None, 0, &mut |batch| {
            black_box(batch);
            Ok(true)
        })
        .unwrap();
    }
}

fn write(path: &Path, def: &TableDef, rows: &RecordBatch) -> SegmentMeta {
    let _ = std::fs::remove_file(path);
    write_segment(&RealDisk, path, 1, def, rows, BeginTimestamps::All(Timestamp(1))).unwrap()
}

/// CPU time of the thread.
struct CpuTime;

impl CpuTime {
    fn now() -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    }
}

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        CpuTime::now()
    }

    fn end(&self, start: Duration) -> Duration {
        CpuTime::now() - start
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn segments(criterion: &mut Criterion<CpuTime>) {
    let (def, rows) = lineitem();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segment");
    let meta = write(&path, &def, &rows);
    println!("{:.1} bytes a row, {} rows", meta.bytes as f64 / ROWS as f64, meta.rows);
    let pool = BufferPool::new(MemoryBudget::new(1 << 30), 1 << 29);
    let segment = Segment::open(&RealDisk, &path, meta.clone(), pool).unwrap();
    for column in &segment.statistics().columns {
        let name = &def.column(column.column).unwrap().name;
        println!(
            "{name:16} {:6.2} bytes a row, {} distinct",
            column.bytes as f64 / ROWS as f64,
            column.distinct
        );
    }
    println!("q6: {} rows, q1: {} rows", scan(&segment, &def, &q6()), scan(&segment, &def, &q1()));

    let mut group = criterion.benchmark_group("segment");
    group.sample_size(20).throughput(Throughput::Elements(ROWS as u64));
    let other = folder.path().join("other");
    group.bench_function("write", |b| b.iter(|| write(&other, &def, &rows)));
    group.bench_function("sort sorted", |b| b.iter(|| sort_to_segment_order(&def, &rows).unwrap()));
    for (name, spec) in [("scan all", all()), ("q6", q6()), ("q1", q1()), ("count", ScanSpec::default())] {
        group.bench_function(name, |b| b.iter(|| scan(&segment, &def, &spec)));
    }
    for (id, name) in [(1, "i64 sorted"), (2, "i32"), (6, "decimal"), (9, "dictionary"), (16, "strings")] {
        let spec = ScanSpec { columns: vec![ColumnId(id)], ..ScanSpec::default() };
        group.bench_function(format!("scan {name}"), |b| b.iter(|| scan(&segment, &def, &spec)));
    }
    let like = ScanSpec {
        columns: vec![ColumnId(1)],
        predicates: vec![Predicate::Bytes {
            column: ColumnId(14),
            test: Arc::new(|text: &[u8]| text.ends_with(b"PERSON")),
            label: "LIKE '%PERSON'".into(),
        }],
        row_refs: true,
    };
    let comment = |test: Predicate| ScanSpec { columns: vec![], predicates: vec![test], row_refs: false };
    let texts = rows.column(15).as_string_view();
    let bytes: usize = texts.iter().flatten().map(str::len).sum();
    println!("strings: {bytes} bytes, a scan of them at 1 GB/s takes {:.1} ms", bytes as f64 / 1e6);
    let value = Value::Text(texts.value(ROWS / 2).into());
    let equal = comment(Predicate::Compare { column: ColumnId(16), op: Compare::Eq, value });
    let contains = comment(Predicate::Bytes {
        column: ColumnId(16),
        test: Arc::new(|text: &[u8]| text.windows(6).any(|part| part == b"unusua")),
        label: "LIKE '%unusua%'".into(),
    });
    for (name, spec) in [("equality", &equal), ("like", &contains)] {
        group.bench_function(format!("{name} of strings"), |b| b.iter(|| scan(&segment, &def, spec)));
        group.bench_function(format!("{name} of strings in arrow"), |b| {
            b.iter(|| filter_all(&def, &rows, spec))
        });
    }
    group.bench_function("like on a dictionary", |b| b.iter(|| scan(&segment, &def, &like)));
    group.bench_function("q6 on arrow", |b| {
        b.iter(|| filter_all(&def, &rows, &q6()));
    });
    group.bench_function("cold scan all", |b| {
        b.iter_batched(
            || {
                let pool = BufferPool::new(MemoryBudget::new(1 << 30), 1 << 29);
                Segment::open(&RealDisk, &path, meta.clone(), pool).unwrap()
            },
            |segment| scan(&segment, &def, &all()),
            BatchSize::PerIteration,
        );
    });
    group.finish();

    let mut group = criterion.benchmark_group("row");
    let columns = all().columns;
    let mut random = StdRng::seed_from_u64(2);
    group.bench_function("gather one of 16 columns", |b| {
        b.iter(|| segment.gather(&def, &[random.random_range(0..ROWS as u32)], &columns).unwrap());
    });
    group.bench_function("find key", |b| {
        b.iter(|| {
            let row = random.random_range(0..ROWS);
            let order = rows.column(0).as_any().downcast_ref::<Int64Array>().unwrap().value(row);
            let line = rows.column(3).as_any().downcast_ref::<Int32Array>().unwrap().value(row);
            let found = segment.find_key(&def, &[Value::Int(order), Value::Int(line.into())]).unwrap();
            assert_eq!(found, [row as u32]);
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = segments
}
criterion_main!(benches);
