//! The folder of a leaf as released versions have written it, in `tests/compat`: it opens, and every row
//! is there. What must be in it is made by [`tables`] from numbers alone, so it can be told without
//! storage; what forms it must hold is asserted, too, so that no fixture lacks one.
//!
//! `PANDO_WRITE_COMPAT=leaf-N cargo nextest run -p pando-columnstore write_a_leaf --run-ignored all` adds a
//! folder of that name, written by this version. Do so when a format changes, and leave the others as they
//! are: never write one again under a name that is released, and never change what the tables hold.

use super::*;
use crate::manifest::Manifest;
use crate::segment::format::{Form, KeySearch, Trailer, Zone};
use crate::wal::reader::read_log;
use arrow::array::{ArrayRef, Int64Array, StringViewArray};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use env::{Disk, OpenMode};
use std::collections::BTreeSet;
use std::path::PathBuf;
use txn::Outcome;
use types::sql_type::LobSize;
use types::{ColumnDefault, KeyDef, SqlType, Value};

/// Fixtures, by the name of their folder, each with the forms of columns that the one before has not.
const LEAVES: &[(&str, &[&str])] = &[("leaf-1", &[]), ("leaf-2", &["strings in codes of a symbol table"])];
const ROWS: i64 = 2_100;
/// The newest kind of record of the log.
const LAST_KIND: u8 = 14;

fn folder(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../../tests/compat").join(name)
}

fn options() -> Options {
    Options {
        segment_rows: 4_000,
        tail_rows: 100_000,
        wal_file_bytes: 256 << 10,
        wal_files: 100,
        ..small_options()
    }
}

fn key(columns: &[u32], unique: bool) -> KeyDef {
    let columns: Vec<ColumnId> = columns.iter().map(|id| ColumnId(*id)).collect();
    KeyDef { name: format!("k{}", columns[0].0), columns, unique }
}

/// A column of every type, with a key of a number and a string.
fn wide() -> TableDef {
    use SqlType::*;
    let types = [
        BigInt { unsigned: true },
        TinyInt { unsigned: false },
        Bool,
        SmallInt { unsigned: true },
        MediumInt { unsigned: false },
        Int { unsigned: true },
        BigInt { unsigned: false },
        Decimal { precision: 15, scale: 2 },
        Decimal { precision: 30, scale: 5 },
        Float,
        Double,
        Date,
        Time { fsp: 3 },
        DateTime { fsp: 6 },
        Timestamp { fsp: 0 },
        Year,
        Char(10),
        Text(LobSize::Normal),
        Blob(LobSize::Normal),
        Json,
        VarChar(20),
    ];
    let columns = (1..).zip(types).map(|(id, ty)| {
        let is_nullable = !matches!(id, 1 | 21);
        testing::column(id, &format!("c{id}"), ty, is_nullable)
    });
    let mut def = testing::table(1, columns.collect(), &[1, 21]);
    def.keys = vec![key(&[7], false), key(&[17, 8], false)];
    def
}

/// Columns whose blocks have all forms; sorted by another column than the key.
fn forms() -> TableDef {
    let big = SqlType::BigInt { unsigned: false };
    let types = [
        (big, false),
        (big, false),
        (SqlType::Int { unsigned: false }, true),
        (SqlType::Double, false),
        (SqlType::Double, false),
        (SqlType::Decimal { precision: 38, scale: 4 }, true),
        (SqlType::Decimal { precision: 15, scale: 2 }, false),
        (SqlType::VarChar(60), false),
        (SqlType::VarBinary(100), true),
        (big, false),
    ];
    let columns = (1..).zip(types).map(|(id, (ty, null))| testing::column(id, &format!("f{id}"), ty, null));
    let mut def = testing::table(2, columns.collect(), &[1]);
    def.sort_key = vec![ColumnId(2)];
    def.keys = vec![key(&[8], true), key(&[7, 2], false)];
    def
}

/// Without any key.
fn heap() -> TableDef {
    let mut def = testing::number_table(3);
    def.primary_key.clear();
    def
}

/// Of two versions: the second has one column more.
fn numbers(version: u64) -> TableDef {
    let mut def = testing::number_table(4);
    def.keys = vec![key(&[2], true)];
    if version == 2 {
        let mut added = testing::column(3, "added", SqlType::VarChar(10), true);
        added.default = ColumnDefault::Literal("old".into());
        added.initial = Some(added.default.clone());
        def.columns.push(added);
        def.next_column_id = ColumnId(4);
        def.version = 2;
    }
    def
}

fn batch(def: &TableDef, columns: Vec<ArrayRef>) -> RecordBatch {
    let ids: Vec<ColumnId> = def.columns.iter().map(|column| column.id).collect();
    RecordBatch::try_new(crate::scan::output_schema(def, &ids, false).unwrap(), columns).unwrap()
}

fn wide_rows(def: &TableDef, numbers: std::ops::Range<i64>) -> RecordBatch {
    let column = |(at, column): (usize, &types::ColumnDef)| {
        let number = |n: i64| match at {
            // The key.
            0 => Some(n),
            _ if column.nullable && (n + at as i64) % 5 == 0 => None,
            _ => Some((n * 31 + at as i64 * 17) % 120),
        };
        let cells: Int64Array = numbers.clone().map(number).collect();
        let texts: StringViewArray =
            cells.iter().map(|cell| cell.map(|n| "text ".repeat(n as usize % 4) + &n.to_string())).collect();
        match column.ty.arrow() {
            DataType::Utf8View => Arc::new(texts) as ArrayRef,
            DataType::BinaryView => Arc::new(texts.to_binary_view()),
            DataType::Date32 => {
                Arc::new(cells.iter().map(|n| n.map(|n| n as i32)).collect::<arrow::array::Date32Array>())
            }
            ty => arrow::compute::cast(&cells, &ty).unwrap(),
        }
    };
    batch(def, def.columns.iter().enumerate().map(column).collect())
}

fn form_rows(def: &TableDef, numbers: std::ops::Range<i64>) -> RecordBatch {
    let ints =
        |of: &dyn Fn(i64) -> i64| Arc::new(numbers.clone().map(of).collect::<Int64Array>()) as ArrayRef;
    let count = (numbers.end - numbers.start) as usize;
    let doubles = |of: &dyn Fn(i64) -> f64| -> ArrayRef {
        Arc::new(arrow::array::Float64Array::from_iter_values(numbers.clone().map(of)))
    };
    let decimals = |precision: u8, scale: i8, of: &dyn Fn(i64) -> Option<i128>| -> ArrayRef {
        let values: arrow::array::Decimal128Array = numbers.clone().map(of).collect();
        Arc::new(values.with_precision_and_scale(precision, scale).unwrap())
    };
    let texts: StringViewArray = numbers.clone().map(|n| Some(format!("name {}", n * 7_919))).collect();
    let blobs: Vec<Option<Vec<u8>>> = numbers
        .clone()
        .map(|n| match n % 7 {
            0 => None,
            // Longer than bounds are kept, and with no greater one.
            1 => Some(vec![0xff; 70]),
            m => Some((0..m * 4).map(|i| (n * 37 + i * 11) as u8).collect()),
        })
        .collect();
    let blobs = arrow::array::BinaryViewArray::from_iter(blobs);
    batch(
        def,
        vec![
            ints(&|n| n * 7_919 % 100_003),
            ints(&|n| n * 3),
            arrow::array::new_null_array(&DataType::Int32, count),
            doubles(&|_| 1.5),
            doubles(&|n| n as f64 * 0.37 - 11.0),
            decimals(38, 4, &|n| (n % 4 != 0).then_some(i128::from(n) * 100_000_000_000_000_000_000 - 5)),
            decimals(15, 2, &|n| Some(i128::from(n % 1_000) * 2_500)),
            Arc::new(texts),
            Arc::new(blobs),
            ints(&|_| -42),
        ],
    )
}

/// A row of [`numbers`] in its second version.
fn added_rows(rows: &[(i64, i64, Option<&str>)]) -> RecordBatch {
    let def = numbers(2);
    let texts: StringViewArray = rows.iter().map(|row| row.2).collect();
    let k = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
    let v = Int64Array::from_iter_values(rows.iter().map(|row| row.1));
    batch(&def, vec![Arc::new(k), Arc::new(v), Arc::new(texts)])
}

type Rows = Vec<Vec<Value>>;

fn sorted(mut rows: Rows) -> Rows {
    rows.sort_by_cached_key(|row| format!("{row:?}"));
    rows
}

/// What is in the tables, once the transaction that is left prepared has committed.
fn tables() -> BTreeMap<(PartitionId, TableId), (TableDef, Rows)> {
    let wide = wide();
    let mut wide_now = testing::values(&wide_rows(&wide, 0..ROWS + 20));
    wide_now.retain(|row| row[0] != Value::UInt(7) && row[0] != Value::UInt(8));
    let forms = forms();
    let form_now = testing::values(&form_rows(&forms, 0..ROWS + 10));
    let heap_now = testing::values(&testing::number_rows(&heap(), &heap_pairs()));
    let old = Some("old");
    let p1: Vec<(i64, i64, Option<&str>)> = (0..40)
        .filter(|k| *k != 5 && *k != 6)
        .map(|k| (k, if k == 9 { -9 } else { k * 10 }, old))
        .chain([(50, 500, Some("new")), (51, 510, None), (60, 600, Some("both")), (62, 620, Some("kept"))])
        .chain([(64, 640, Some("last"))])
        .collect();
    let p2 =
        [(1, 1, old), (2, 3, old), (60, 600, Some("both")), (62, 620, Some("kept")), (63, 630, Some("end"))];
    BTreeMap::from([
        ((P1, wide.id), (wide, sorted(wide_now))),
        ((P1, forms.id), (forms, sorted(form_now))),
        ((P1, heap().id), (heap(), sorted(heap_now))),
        ((P1, TableId(4)), (numbers(2), sorted(testing::values(&added_rows(&p1))))),
        ((P2, TableId(4)), (numbers(2), sorted(testing::values(&added_rows(&p2))))),
    ])
}

fn heap_pairs() -> Vec<(i64, i64)> {
    (0..300).map(|n| (n % 10, n)).collect()
}

/// The transaction that is prepared in partition 2 and decided elsewhere.
const PREPARED: u64 = 99;
/// A partition of another leaf.
const ELSEWHERE: PartitionId = PartitionId(77);

struct Maker {
    disk: SimDisk,
    clock: Arc<SimClock>,
    store: Arc<Store>,
    next: u64,
}

impl Maker {
    fn tx(&mut self, def: TableDef) -> Tx {
        self.next += 1;
        let mut tx = Tx::new(&self.store, &Arc::new(def), self.next);
        tx.next();
        tx
    }

    fn insert(&self, tx: &mut Tx, p: PartitionId, rows: &RecordBatch) {
        let ctx = tx.ctx(p);
        tx.store.insert(&ctx, p, tx.def.id, rows, OnDuplicate::Error).unwrap();
    }

    fn load(&mut self, def: TableDef, rows: &RecordBatch) {
        let mut tx = self.tx(def);
        let ctx = tx.ctx(P1);
        let mut load = self.store.begin_bulk(&ctx, P1, tx.def.id).unwrap();
        load.append(rows.clone()).unwrap();
        load.finish().unwrap();
        tx.commit().unwrap();
    }

    fn reopen(&mut self) {
        self.store.shutdown();
        self.store = open(&self.disk, &self.clock, &options()).unwrap();
    }

    /// A transaction in both partitions, of which the second is prepared.
    fn both(&mut self, number: u64, row: (i64, i64, Option<&str>)) -> (Tx, Timestamp) {
        let mut tx = self.tx(numbers(2));
        tx.id = txn_id(number);
        self.insert(&mut tx, P1, &added_rows(&[row]));
        self.insert(&mut tx, P2, &added_rows(&[row]));
        let prepared = self.store.prepare(tx.id, &[(P2, tx.statement)], P1).unwrap();
        (tx, prepared)
    }

    /// Commits a transaction in the first partition, which decides for these others.
    fn coordinate(&self, tx: &Tx, others: &[PartitionId], prepared: Timestamp) -> Timestamp {
        self.store.coordinate(tx.id, &[(P1, tx.statement)], others, prepared).unwrap()
    }

    fn run(&mut self) {
        for p in [P1, P2] {
            self.store.create_partition(p).unwrap();
            self.store.put_table(p, Arc::new(numbers(1))).unwrap();
        }
        for def in [wide(), forms(), heap(), testing::kv_table(5)] {
            self.store.put_table(P1, Arc::new(def)).unwrap();
        }
        self.load(wide(), &wide_rows(&wide(), 0..ROWS));
        self.load(forms(), &form_rows(&forms(), 0..ROWS));
        self.load(heap(), &testing::number_rows(&heap(), &heap_pairs()[..200]));
        let mut tx = self.tx(numbers(1));
        let rows: Vec<(i64, i64)> = (0..40).map(|k| (k, k * 10)).collect();
        self.insert(&mut tx, P1, &testing::number_rows(&numbers(1), &rows));
        self.insert(&mut tx, P2, &testing::number_rows(&numbers(1), &[(1, 1), (2, 2)]));
        tx.commit().unwrap();
        // A segment that has its commit timestamps, since a snapshot of before is held.
        let hold = self.store.hold(self.store.read_timestamp(&[P1]).unwrap());
        let mut tx = self.tx(wide());
        self.insert(&mut tx, P1, &wide_rows(&wide(), ROWS..ROWS + 10));
        tx.commit().unwrap();
        self.store.flush(P1).unwrap();
        let mut tx = self.tx(numbers(1));
        assert_eq!(tx.delete(P1, &[5]).unwrap(), 1);
        tx.commit().unwrap();
        // A checkpoint, with rows that are gone and with a decision that is not confirmed.
        let mut tx = self.tx(numbers(1));
        tx.id = txn_id(40);
        self.insert(&mut tx, P1, &testing::number_rows(&numbers(1), &[(1_000, 1_000)]));
        self.insert(&mut tx, P2, &testing::number_rows(&numbers(1), &[(1_000, 1_000)]));
        let prepared = self.store.prepare(tx.id, &[(P2, tx.statement)], P1).unwrap();
        let at = self.coordinate(&tx, &[P2, ELSEWHERE], prepared);
        self.store.decide(tx.id, &[P2], Outcome::Commit(at)).unwrap();
        drop(hold);
        for p in [P1, P2] {
            self.store.checkpoint(&self.store.partition(p).unwrap()).unwrap();
        }
        self.reopen();

        // From here on all is in the log.
        let mut tx = self.tx(numbers(1));
        assert_eq!(tx.delete(P1, &[6, 1_000]).unwrap(), 2);
        assert_eq!(tx.update(P1, &[9], |k, _| (k, -9)).unwrap(), 1);
        assert_eq!(tx.delete(P2, &[1_000]).unwrap(), 1);
        assert_eq!(tx.update(P2, &[2], |k, v| (k, v + 1)).unwrap(), 1);
        tx.insert(P1, &[(2_000, 7_000)]).unwrap();
        tx.undo_statement();
        tx.commit().unwrap();
        let mut tx = self.tx(numbers(1));
        tx.insert(P1, &[(3_000, 7_000)]).unwrap();
        tx.rollback();
        let mut tx = self.tx(wide());
        let gone = wide_rows(&wide(), 7..9);
        let found = self.wide_refs(&tx, &testing::values(&gone));
        let ctx = tx.ctx(P1);
        let ts = self.store.read_timestamp(&[P1]).unwrap();
        assert!(
            !self.store.lock_rows(&ctx, P1, tx.def.id, &found, LockRequest::to_change(ts)).unwrap().changed
        );
        self.store.delete(&ctx, P1, tx.def.id, &found).unwrap();
        tx.commit().unwrap();
        self.load(heap(), &testing::number_rows(&heap(), &heap_pairs()[200..]));
        let mut tx = self.tx(testing::kv_table(5));
        let rows = testing::kv_rows(&tx.def, &[(1, Some("of a table that is dropped"))]);
        self.insert(&mut tx, P1, &rows);
        tx.commit().unwrap();
        self.store.drop_table(P1, TableId(5)).unwrap();
        for p in [P1, P2] {
            self.store.put_table(p, Arc::new(numbers(2))).unwrap();
        }
        let mut tx = self.tx(numbers(2));
        self.insert(&mut tx, P1, &added_rows(&[(50, 500, Some("new")), (51, 510, None)]));
        tx.commit().unwrap();
        // Of both partitions: confirmed and forgotten, aborted, decided and not told.
        let (tx, prepared) = self.both(60, (60, 600, Some("both")));
        let at = self.coordinate(&tx, &[P2], prepared);
        self.store.decide(tx.id, &[P2], Outcome::Commit(at)).unwrap();
        let settlement = txn::Settlement { txn: tx.id, participant: P2, at };
        self.store.settle(&[settlement]).unwrap();
        self.store.confirm(P1, &[settlement]);
        let (tx, _) = self.both(61, (61, 610, None));
        assert_eq!(self.store.demand_end(P1, tx.id).unwrap(), Outcome::Abort);
        self.store.decide(tx.id, &[P2], Outcome::Abort).unwrap();
        let (tx, prepared) = self.both(62, (62, 620, Some("kept")));
        let at = self.coordinate(&tx, &[P2, ELSEWHERE], prepared);
        self.store.decide(tx.id, &[P2], Outcome::Commit(at)).unwrap();
        let mut tx = self.tx(forms());
        self.insert(&mut tx, P1, &form_rows(&forms(), ROWS..ROWS + 10));
        tx.commit().unwrap();
        // Without a checkpoint: the log says it.
        self.store.flush_all(&self.store.partition(P1).unwrap()).unwrap();
        let mut tx = self.tx(wide());
        self.insert(&mut tx, P1, &wide_rows(&wide(), ROWS + 10..ROWS + 20));
        tx.commit().unwrap();
        // The clock goes beyond what was promised.
        self.clock.advance(3_600_000);
        // Nobody asks for the confirmed decision any more.
        self.store.sweep().unwrap();
        let mut tx = self.tx(numbers(2));
        self.insert(&mut tx, P1, &added_rows(&[(64, 640, Some("last"))]));
        tx.commit().unwrap();
        // One that is open, and one that is prepared; the last commit's sync covers them.
        let mut open = self.tx(numbers(2));
        self.insert(&mut open, P1, &added_rows(&[(4_000, 4_000, None)]));
        let mut tx = self.tx(numbers(2));
        tx.id = txn_id(PREPARED);
        self.insert(&mut tx, P2, &added_rows(&[(63, 630, Some("end"))]));
        self.store.prepare(tx.id, &[(P2, tx.statement)], ELSEWHERE).unwrap();
    }

    fn wide_refs(&self, tx: &Tx, rows: &[Vec<Value>]) -> Vec<u64> {
        let ts = self.store.read_timestamp(&[P1]).unwrap();
        let snapshot = self.store.snapshot(P1, tx.def.id, ReadView { ts, txn: None }).unwrap();
        let spec = ScanSpec { columns: vec![ColumnId(1)], predicates: vec![], row_refs: true };
        let mut refs = Vec::new();
        for morsel in snapshot.morsels(&[]) {
            let mut note = |batch: RecordBatch| {
                let at = batch.column(1).as_primitive::<UInt64Type>();
                for row in 0..batch.num_rows() {
                    let key = Value::UInt(batch.column(0).as_primitive::<UInt64Type>().value(row));
                    if rows.iter().any(|gone| gone[0] == key) {
                        refs.push(at.value(row));
                    }
                }
                Ok(true)
            };
            snapshot.scan(&morsel, &spec, &mut note).unwrap();
        }
        refs
    }
}

fn read_rows(store: &Store, p: PartitionId, def: &TableDef) -> Rows {
    let ts = store.read_timestamp(&[p]).unwrap();
    let snapshot = store.snapshot(p, def.id, ReadView { ts, txn: None }).unwrap();
    let columns = def.columns.iter().map(|column| column.id).collect();
    let spec = ScanSpec { columns, ..ScanSpec::default() };
    let mut rows = Vec::new();
    for morsel in snapshot.morsels(&[]) {
        let mut note = |batch: RecordBatch| {
            rows.extend(testing::values(&batch));
            Ok(true)
        };
        snapshot.scan(&morsel, &spec, &mut note).unwrap();
    }
    sorted(rows)
}

/// Decides what is left prepared, and compares all tables.
fn check(store: &Store) {
    let prepared = store.prepared_long(&[P1, P2]).unwrap();
    if let Some((txn, partition, coordinator, at)) = prepared.first().copied() {
        assert_eq!((prepared.len(), txn, partition, coordinator), (1, txn_id(PREPARED), P2, ELSEWHERE));
        store.decide(txn, &[P2], Outcome::Commit(at)).unwrap();
    }
    for ((p, table), (def, rows)) in tables() {
        let found = read_rows(store, p, &def);
        assert_eq!(found.len(), rows.len(), "rows of table {table} in partition {p}");
        for (found, row) in found.iter().zip(&rows) {
            assert_eq!(found, row, "table {table} in partition {p}");
        }
    }
    // The first of these is not confirmed in the checkpoint, the second in the log.
    let unsettled: BTreeSet<u64> = store.unsettled().iter().map(|(_, s)| s.txn.number).collect();
    assert_eq!(unsettled, BTreeSet::from([40, 62]));
}

/// What the files of a fixture hold, of all that there is.
fn check_forms(disk: &SimDisk, added: &[&'static str]) {
    let mut kinds = BTreeSet::new();
    let mut visit = |_: &crate::wal::reader::Position<'_>, head: &crate::wal::frame::Head, _: &[u8]| {
        kinds.insert(head.kind);
        Ok(())
    };
    let names = disk.list(Path::new("/leaf/wal")).unwrap();
    let first = names.iter().filter_map(|name| crate::wal::frame::parse_file_name(name)).min();
    read_log(disk, Path::new("/leaf/wal"), first, &mut visit).unwrap();
    assert_eq!(kinds, (1..=LAST_KIND).collect(), "kinds of records in the log");
    let manifest = Manifest::read(disk, Path::new("/leaf/p/1")).unwrap().unwrap();
    assert!(!manifest.decisions.is_empty(), "the checkpoint has no decision");
    let segments: Vec<_> = manifest.tables.iter().flat_map(|table| &table.segments).collect();
    assert!(segments.iter().any(|segment| !segment.forever.is_empty() || !segment.deletes.is_empty()));
    let mut seen = BTreeSet::new();
    for name in disk.list(Path::new("/leaf/p/1/segments")).unwrap() {
        let path = Path::new("/leaf/p/1/segments").join(name);
        let bytes = read_file(disk, &path);
        let trailer_at = bytes.len() - crate::segment::format::TRAILER_BYTES;
        let trailer = Trailer::decode(bytes[trailer_at..].try_into().unwrap()).unwrap();
        let footer = crate::segment::format::Footer::decode(
            &bytes[trailer.footer_offset as usize..trailer_at],
            trailer.footer_offset,
            trailer.version,
        )
        .unwrap();
        seen.insert(match footer.key_search {
            KeySearch::None => "no key",
            KeySearch::Sorted => "sorted by the key",
            KeySearch::Hashed => "hashed keys",
        });
        if !footer.key_runs.is_empty() {
            seen.insert("key runs");
        }
        for column in &footer.columns {
            if column.id == crate::segment::format::HIDDEN_BEGIN {
                seen.insert("commit timestamps");
            }
            if column.dictionary.is_some() {
                seen.insert("dictionary");
            }
            for block in &column.blocks {
                seen.insert(match block.form {
                    Form::Null => "all NULL",
                    Form::Ints { shape, .. } if shape.width == 0 => "constant integers",
                    Form::Ints { shape, .. } if shape.per_vector => "integers by vector",
                    Form::Ints { shape, .. } if shape.divisor > 1 => "integers with a divisor",
                    Form::Ints { .. } => "integers",
                    Form::Fixed { .. } => "fixed width",
                    Form::FixedConstant { .. } => "constant of fixed width",
                    Form::Strings { .. } => "strings",
                    Form::Fsst { .. } => "strings in codes of a symbol table",
                });
                if block.nulls > 0 && block.form != Form::Null {
                    seen.insert("NULLs");
                }
                seen.insert(match block.zone {
                    Zone::None => "no zone",
                    Zone::Numbers(..) => "zone of numbers",
                    Zone::Strings(_, Some(_)) => "zone of strings",
                    Zone::Strings(_, None) => "zone of strings without an end",
                });
            }
        }
    }
    let first = [
        "all NULL",
        "commit timestamps",
        "constant integers",
        "constant of fixed width",
        "dictionary",
        "fixed width",
        "hashed keys",
        "integers",
        "integers by vector",
        "integers with a divisor",
        "key runs",
        "no key",
        "no zone",
        "NULLs",
        "sorted by the key",
        "strings",
        "zone of numbers",
        "zone of strings",
        "zone of strings without an end",
    ];
    let all: BTreeSet<&str> = first.into_iter().chain(added.iter().copied()).collect();
    assert_eq!(seen, all, "forms of columns in the segments");
}

fn read_file(disk: &SimDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// All files below a folder.
fn files(disk: &SimDisk, at: &Path, found: &mut Vec<PathBuf>) {
    for name in disk.list(at).unwrap() {
        let path = at.join(name);
        match disk.open(&path, OpenMode::Read) {
            Ok(_) => found.push(path),
            Err(_) => files(disk, &path, found),
        }
    }
}

/// Files stand in the fixture without the zeros at their ends; FILES says how long each is.
#[test]
#[ignore = "writes a fixture"]
fn write_a_leaf() {
    let to = folder(&std::env::var("PANDO_WRITE_COMPAT").expect("PANDO_WRITE_COMPAT names the folder"));
    let disk = SimDisk::new(1);
    let clock = SimClock::at_millis(1_700_000_000_000);
    let store = open(&disk, &clock, &options()).unwrap();
    let mut maker = Maker { disk, clock, store, next: 0 };
    maker.run();
    let mut all = Vec::new();
    files(&maker.disk, Path::new("/leaf"), &mut all);
    std::fs::create_dir(&to).unwrap();
    let mut index = String::new();
    for path in all {
        let bytes = read_file(&maker.disk, &path);
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let name = path.strip_prefix("/leaf").unwrap();
        index += &format!("{} {}\n", bytes.len(), name.display());
        std::fs::create_dir_all(to.join(name).parent().unwrap()).unwrap();
        std::fs::write(to.join(name), &bytes[..used]).unwrap();
    }
    std::fs::write(to.join("FILES"), index).unwrap();
}

/// The fixture on a disk of its own.
fn fixture(name: &str) -> SimDisk {
    let disk = SimDisk::new(1);
    let from = folder(name);
    let index = std::fs::read_to_string(from.join("FILES")).unwrap();
    for line in index.lines() {
        let (length, name) = line.split_once(' ').unwrap();
        let path = Path::new("/leaf").join(name);
        disk.create_dir_all(path.parent().unwrap()).unwrap();
        let file = disk.open(&path, OpenMode::CreateNew).unwrap();
        file.write_all_at(&std::fs::read(from.join(name)).unwrap(), 0).unwrap();
        file.set_len(length.parse().unwrap()).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(path.parent().unwrap()).unwrap();
    }
    disk
}

#[test]
fn the_folder_of_a_leaf_of_every_version_opens_with_all_its_rows() {
    for (at, (name, _)) in LEAVES.iter().enumerate() {
        let disk = fixture(name);
        let added: Vec<&str> = LEAVES[..=at].iter().flat_map(|(_, added)| *added).copied().collect();
        check_forms(&disk, &added);
        let clock = SimClock::at_millis(1_800_000_000_000);
        let store = open(&disk, &clock, &options()).unwrap();
        check(&store);
        // It can be written to, its keys hold, and all of it is there after it was written anew.
        let mut tx = Tx::new(&store, &Arc::new(numbers(2)), 1_000);
        tx.next();
        let ctx = tx.ctx(P1);
        let taken = store.insert(&ctx, P1, tx.def.id, &added_rows(&[(70, 600, None)]), OnDuplicate::Error);
        assert!(matches!(taken, Err(StoreError::DuplicateKey { .. })));
        tx.rollback();
        for p in [P1, P2] {
            store.optimize(p).unwrap();
        }
        check(&store);
        store.shutdown();
        check(&open(&disk, &clock, &options()).unwrap());
    }
}
