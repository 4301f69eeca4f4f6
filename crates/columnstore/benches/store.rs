//! What single rows cost in the store: CPU only, on a disk in memory whose syncs are free.

use arrow::array::{Int64Array, StringViewArray};
use arrow::record_batch::RecordBatch;
use columnstore::{OnDuplicate, Options, ReadView, ScanSpec, Store, WriteContext};
use criterion::{Criterion, criterion_group, criterion_main};
use env::{MemoryBudget, SimDisk, SystemClock};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use types::{
    ColumnDef, ColumnDefault, ColumnId, DatabaseId, NodeId, PartitionId, SqlType, StatementNo, TableDef,
    TableId, TxnId, Value,
};

const P: PartitionId = PartitionId(1);
const T: TableId = TableId(1);

fn column(id: u32, name: &str, ty: SqlType) -> ColumnDef {
    ColumnDef {
        id: ColumnId(id),
        name: name.into(),
        ty,
        nullable: false,
        default: ColumnDefault::None,
        auto_increment: false,
        on_update_now: false,
        comment: String::new(),
    }
}

/// The table of sysbench.
fn table() -> TableDef {
    TableDef {
        id: T,
        database: DatabaseId(1),
        name: "sbtest1".into(),
        version: 1,
        columns: vec![
            column(1, "id", SqlType::BigInt { unsigned: false }),
            column(2, "k", SqlType::BigInt { unsigned: false }),
            column(3, "c", SqlType::Char(120)),
            column(4, "pad", SqlType::Char(60)),
        ],
        next_column_id: ColumnId(5),
        shard_key: Vec::new(),
        sort_key: Vec::new(),
        primary_key: vec![ColumnId(1)],
        keys: Vec::new(),
        comment: String::new(),
    }
}

fn rows(def: &TableDef, from: i64, count: i64) -> RecordBatch {
    let spec = ScanSpec { columns: def.columns.iter().map(|c| c.id).collect(), ..ScanSpec::default() };
    let text = |width: usize| {
        StringViewArray::from_iter_values((from..from + count).map(|k| format!("{k:0width$}")))
    };
    let columns: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(from..from + count)),
        Arc::new(Int64Array::from_iter_values((from..from + count).map(|k| k * 31 % 1_000))),
        Arc::new(text(120)),
        Arc::new(text(60)),
    ];
    RecordBatch::try_new(spec.schema(def).unwrap(), columns).unwrap()
}

struct Session {
    store: Arc<Store>,
    def: TableDef,
    number: u64,
}

impl Session {
    fn new() -> Session {
        let options = Options { workers: 0, ..Options::new(MemoryBudget::new(4 << 30)) };
        let disk = Arc::new(SimDisk::new(1));
        let store = Store::open(disk, Arc::new(SystemClock), Path::new("/leaf"), options).unwrap();
        let def = table();
        store.create_partition(P).unwrap();
        store.put_table(P, Arc::new(def.clone())).unwrap();
        Session { store, def, number: 0 }
    }

    fn begin(&mut self) -> WriteContext {
        self.number += 1;
        WriteContext {
            txn: TxnId { node: NodeId(1), number: self.number },
            statement: StatementNo(1),
            previous: StatementNo(0),
            table_version: 1,
            snapshot: None,
            lock_wait: Duration::from_secs(1),
        }
    }

    fn insert(&mut self, batch: &RecordBatch) {
        let ctx = self.begin();
        self.store.insert(&ctx, P, T, batch, OnDuplicate::Error).unwrap();
        self.store.commit(ctx.txn, &[(P, StatementNo(1))]).unwrap();
    }

    fn get(&self, key: i64) -> RecordBatch {
        let ts = self.store.read_timestamp(&[P]).unwrap();
        let snapshot = self.store.snapshot(P, T, ReadView { ts, txn: None }).unwrap();
        let spec = ScanSpec { columns: vec![ColumnId(3)], ..ScanSpec::default() };
        snapshot.get(&[Value::Int(key)], &spec).unwrap().unwrap()
    }

    fn update(&mut self, key: i64) {
        let ctx = self.begin();
        let ts = self.store.read_timestamp(&[P]).unwrap();
        let snapshot = self.store.snapshot(P, T, ReadView { ts, txn: None }).unwrap();
        let columns = self.def.columns.iter().map(|c| c.id).collect();
        let spec = ScanSpec { columns, row_refs: true, ..ScanSpec::default() };
        let found = snapshot.get(&[Value::Int(key)], &spec).unwrap().unwrap();
        let refs = found.column(4).as_any().downcast_ref::<arrow::array::UInt64Array>().unwrap();
        self.store.lock_rows(&ctx, P, T, refs.values(), ts).unwrap();
        let new = found.project(&[0, 1, 2, 3]).unwrap();
        let again = WriteContext { previous: StatementNo(1), ..ctx.clone() };
        self.store.update(&again, P, T, refs.values(), &new).unwrap();
        self.store.commit(ctx.txn, &[(P, StatementNo(1))]).unwrap();
    }
}

fn benches(c: &mut Criterion) {
    const ROWS: i64 = 60_000;
    let mut session = Session::new();
    let batch = rows(&session.def, 0, ROWS);
    session.insert(&batch);
    let mut key = 0;
    let mut next = move || {
        key = (key + 7_919) % ROWS;
        key
    };
    c.bench_function("get of a row in the tail", |b| b.iter(|| session.get(next())));
    session.store.flush(P).unwrap();
    c.bench_function("get of a row in a segment", |b| b.iter(|| session.get(next())));
    c.bench_function("update of a row and commit", |b| b.iter(|| session.update(next())));
    let mut fresh = ROWS;
    c.bench_function("insert of a row and commit", |b| {
        b.iter(|| {
            fresh += 1;
            let batch = rows(&session.def, fresh, 1);
            session.insert(&batch);
        });
    });
    c.bench_function("insert of 1,000 rows and commit", |b| {
        b.iter(|| {
            let batch = rows(&session.def, fresh + 1, 1_000);
            fresh += 1_000;
            session.insert(&batch);
        });
    });
}

criterion_group!(store, benches);
criterion_main!(store);
