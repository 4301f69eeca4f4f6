//! The table, its rows, and a store that holds them.

use crate::Run;
use crate::disk::forget_all;
use arrow::array::{ArrayRef, Decimal128Array, Int64Array, StringViewArray};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use columnstore::{OnDuplicate, Options, Store, WriteContext};
use env::{MemoryBudget, RealDisk, SystemClock};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use types::{
    Collation, ColumnDef, ColumnDefault, ColumnId, DatabaseId, NodeId, PartitionId, SqlType, StatementNo,
    TableDef, TableId, Timestamp, TxnId,
};

pub const P: PartitionId = PartitionId(1);
/// Rows of a batch.
pub const BATCH: usize = 65_536;
/// `filter` of a row is below this.
pub const FILTER: i64 = 1_000;

/// k BIGINT PRIMARY KEY, filter BIGINT, amount DECIMAL(15,2), status and note VARCHAR.
pub fn table(id: u32, has_key: bool) -> Arc<TableDef> {
    let big = SqlType::BigInt { unsigned: false };
    let types = [
        ("k", big),
        ("filter", big),
        ("amount", SqlType::Decimal { precision: 15, scale: 2 }),
        ("status", SqlType::VarChar(12)),
        ("note", SqlType::VarChar(40)),
    ];
    let columns: Vec<ColumnDef> = (1..)
        .zip(types)
        .map(|(id, (name, ty))| ColumnDef {
            id: ColumnId(id),
            name: name.to_string(),
            ty,
            nullable: false,
            default: ColumnDefault::None,
            auto_increment: false,
            initial: None,
            on_update_now: false,
            comment: String::new(),
            collation: Collation::default(),
        })
        .collect();
    let key: Vec<ColumnId> = if has_key { vec![ColumnId(1)] } else { Vec::new() };
    Arc::new(TableDef {
        id: TableId(id),
        database: DatabaseId(1),
        name: format!("t{id}"),
        version: 1,
        next_column_id: ColumnId(6),
        columns,
        shard_key: key.clone(),
        sort_key: key.clone(),
        primary_key: key,
        keys: Vec::new(),
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        comment: String::new(),
        collation: Collation::default(),
        replacement: None,
        reference: false,
    })
}

pub fn columns(def: &TableDef) -> Vec<ColumnId> {
    def.columns.iter().map(|column| column.id).collect()
}

fn schema(def: &TableDef) -> SchemaRef {
    let fields: Vec<_> = def.columns.iter().map(|column| column.ty.field(&column.name, false)).collect();
    Arc::new(Schema::new(fields))
}

/// Rows with these keys.
pub fn rows(def: &TableDef, keys: &[i64], random: &mut StdRng) -> RecordBatch {
    let states = ["new", "paid", "sent", "returned", "closed"];
    let words = ["carefully", "final", "deposits", "sleep", "quickly", "above", "furiously", "ironic"];
    let count = keys.len();
    let amounts = (0..count).map(|_| i128::from(random.random_range(0..10_000_000)));
    let amounts =
        Decimal128Array::from_iter_values(amounts).with_precision_and_scale(15, 2).expect("it fits");
    let note = |random: &mut StdRng| {
        let mut note = String::new();
        for _ in 0..random.random_range(1..4) {
            note.push_str(words[random.random_range(0..words.len())]);
            note.push(' ');
        }
        note + &random.random_range(0..1_000u32).to_string()
    };
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(keys.to_vec())),
        Arc::new(Int64Array::from_iter_values((0..count).map(|_| random.random_range(0..FILTER)))),
        Arc::new(amounts),
        Arc::new(StringViewArray::from_iter_values(
            (0..count).map(|_| states[random.random_range(0..states.len())]),
        )),
        Arc::new(StringViewArray::from_iter_values((0..count).map(|_| note(random)))),
    ];
    RecordBatch::try_new(schema(def), arrays).expect("columns of one length")
}

pub fn open(folder: &Path, pool_bytes: usize, workers: usize) -> Arc<Store> {
    let memory = MemoryBudget::new(pool_bytes.max(256 << 20) * 2 + (2 << 30));
    let options = Options { pool_bytes, workers, snapshot_lag: Duration::ZERO, ..Options::new(memory) };
    Store::open(Arc::new(RealDisk), Arc::new(SystemClock), folder, options).expect("the store opens")
}

/// A transaction of one statement.
pub fn context() -> WriteContext {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    WriteContext {
        txn: TxnId { node: NodeId(1), number: NEXT.fetch_add(1, Ordering::Relaxed) },
        statement: StatementNo(1),
        begun: StatementNo(1),
        previous: StatementNo(0),
        table_version: 1,
        snapshot: None,
        lock_wait: Duration::from_secs(60),
    }
}

pub fn commit(store: &Store, ctx: &WriteContext, p: PartitionId) -> Timestamp {
    store.commit(ctx.txn, &[(p, ctx.statement)]).expect("a commit")
}

pub fn insert(store: &Store, p: PartitionId, table: TableId, rows: &RecordBatch) {
    let ctx = context();
    store.insert(&ctx, p, table, rows, OnDuplicate::Error).expect("an insert");
    commit(store, &ctx, p);
}

/// Loads batches and commits.
pub fn load<'a>(store: &Arc<Store>, table: TableId, batches: impl IntoIterator<Item = &'a RecordBatch>) {
    let ctx = context();
    let mut load = store.begin_bulk(&ctx, P, table).expect("a load");
    for batch in batches {
        load.append(batch.clone()).expect("rows");
    }
    load.finish().expect("the load's end");
    commit(store, &ctx, P);
}

/// A folder with the table in segments. Keys are 0, 1, ..
pub struct Loaded {
    pub folder: PathBuf,
    pub def: Arc<TableDef>,
    pub rows: usize,
    /// Of the segments.
    pub bytes: usize,
}

impl Loaded {
    pub fn new(run: &Run) -> Loaded {
        let folder = run.folder.join("loaded");
        let def = table(1, true);
        let store = open(&folder, 64 << 20, 0);
        store.create_partition(P).expect("a partition");
        store.put_table(P, def.clone()).expect("a table");
        let mut random = StdRng::seed_from_u64(1);
        let ctx = context();
        let mut load = store.begin_bulk(&ctx, P, def.id).expect("a load");
        for from in (0..run.rows).step_by(BATCH) {
            let keys: Vec<i64> = (from..(from + BATCH).min(run.rows)).map(|key| key as i64).collect();
            load.append(rows(&def, &keys, &mut random)).expect("rows");
        }
        load.finish().expect("the load's end");
        commit(&store, &ctx, P);
        store.flush(P).expect("a flush");
        let bytes = store.statistics().segment_bytes as usize;
        store.shutdown();
        Loaded { folder, def, rows: run.rows, bytes }
    }

    /// A store with an empty pool of this size; `cold`: the system holds nothing of its files, either.
    pub fn open(&self, pool_bytes: usize, cold: bool) -> Arc<Store> {
        if cold {
            forget_all(&self.folder);
        }
        open(&self.folder, pool_bytes, 0)
    }
}
