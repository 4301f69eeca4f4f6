//! Loads of many rows.

use super::*;
use arrow::array::Int64Array;
use arrow::record_batch::RecordBatch;

fn load(f: &Fixture, tx: &mut Tx, p: PartitionId, keys: &[i64]) -> Result<u64, StoreError> {
    tx.next();
    let ctx = tx.ctx(p);
    let mut load = f.store.begin_bulk(&ctx, p, f.def.id)?;
    for piece in keys.chunks(40) {
        let rows: Vec<(i64, i64)> = piece.iter().map(|k| (*k, k * 2)).collect();
        load.append(testing::number_rows(&f.def, &rows))?;
    }
    load.finish()
}

fn keys(range: std::ops::Range<i64>) -> Vec<i64> {
    // Not in order.
    let mut keys: Vec<i64> = range.collect();
    keys.sort_by_key(|k| (k % 7, *k));
    keys
}

fn files(f: &Fixture, p: PartitionId) -> usize {
    env::Disk::list(&f.disk, Path::new(&format!("/leaf/p/{}/segments", p.0))).unwrap().len()
}

#[test]
fn a_load_is_seen_by_its_transaction_and_by_all_after_the_commit() {
    let mut f = Fixture::small();
    let ts = f.put(1, P1, &[(-1, -2)]);
    let mut tx = f.begin(2);
    // Segments of 1,000 rows, the last one shorter.
    assert_eq!(load(&f, &mut tx, P1, &keys(0..2_500)).unwrap(), 2_500);
    assert_eq!(load(&f, &mut tx, P2, &keys(0..100)).unwrap(), 100);
    assert_eq!(tx.see(P1).len(), 2_501);
    assert_eq!(f.now(P1).len(), 1);
    // Flush and merge leave the pending segments alone.
    f.store.optimize(P1).unwrap();
    let _hold = f.store.hold(ts);
    let syncs = f.store.statistics().wal_syncs;
    let at = tx.commit().unwrap();
    assert_eq!(f.store.statistics().wal_syncs, syncs + 1);
    drop(tx);
    let expected: BTreeMap<i64, i64> = (-1..2_500).map(|k| (k, k * 2)).collect();
    for _ in 0..2 {
        assert_eq!(f.now(P1), expected);
        assert_eq!(f.at(P1, ts), map(&[(-1, -2)]));
        assert_eq!((f.at(P2, ts).len(), f.at(P2, at).len()), (0, 100));
        f.reopen();
    }
    f.store.optimize(P1).unwrap();
    assert_eq!(f.now(P1), expected);
}

#[test]
fn a_small_load_goes_through_the_tail() {
    let f = Fixture::small();
    let mut tx = f.begin(1);
    assert_eq!(load(&f, &mut tx, P1, &keys(0..49)).unwrap(), 49);
    tx.commit().unwrap();
    assert_eq!((files(&f, P1), f.now(P1).len()), (0, 49));
}

#[test]
fn what_is_rolled_back_or_given_up_leaves_no_file() {
    let mut f = Fixture::small();
    let mut tx = f.begin(1);
    load(&f, &mut tx, P1, &keys(0..2_000)).unwrap();
    assert_eq!(files(&f, P1), 2);
    tx.undo_statement();
    assert_eq!((files(&f, P1), tx.see(P1).len()), (0, 0));
    load(&f, &mut tx, P1, &keys(0..1_500)).unwrap();
    tx.rollback();
    assert_eq!(files(&f, P1), 0);
    let mut tx = f.begin(2);
    tx.next();
    let ctx = tx.ctx(P1);
    let mut given_up = f.store.begin_bulk(&ctx, P1, f.def.id).unwrap();
    let rows: Vec<(i64, i64)> = (0..1_200).map(|k| (k, k)).collect();
    given_up.append(testing::number_rows(&f.def, &rows)).unwrap();
    assert_eq!(files(&f, P1), 1);
    drop(given_up);
    assert_eq!(files(&f, P1), 0);
    tx.rollback();
    // Power is lost before the commit.
    let mut tx = f.begin(3);
    load(&f, &mut tx, P1, &keys(0..2_000)).unwrap();
    f.disk = f.disk.restarted();
    let store = open(&f.disk, &f.clock, &f.options).unwrap();
    assert_eq!(files(&f, P1), 0);
    assert!(read_now(&store, P1, f.def.id).is_empty());
}

#[test]
fn duplicates_within_a_load_and_with_rows_that_were_there_are_found() {
    let f = Fixture::small();
    let refused = |number: u64, mut with: Vec<i64>, key: i64| {
        with.extend(keys(1_000..3_000));
        let mut tx = f.begin(number);
        let error = load(&f, &mut tx, P1, &with).unwrap_err();
        assert_eq!(error.to_string(), format!("Duplicate entry '{key}' for key 't1.PRIMARY'"));
        tx.undo_statement();
        assert_eq!(
            (files(&f, P1) as u64, tx.see(P1).len()),
            (f.store.statistics().segments, f.now(P1).len())
        );
        tx.rollback();
    };
    refused(1, vec![2_999], 2_999);
    f.put(2, P1, &[(1, 10), (2, 20)]);
    refused(3, vec![2], 2);
    f.store.partition(P1).unwrap().latch().unwrap().freeze(&f.store.leaf, f.def.id).unwrap();
    refused(4, vec![1], 1);
    f.store.flush(P1).unwrap();
    refused(5, vec![1], 1);
    // A deleted one is no duplicate.
    let mut tx = f.begin(6);
    tx.delete(P1, &[1]).unwrap();
    let mut with = keys(1_000..3_000);
    with.push(1);
    load(&f, &mut tx, P1, &with).unwrap();
    let again = load(&f, &mut tx, P1, &with).unwrap_err();
    assert!(matches!(again, StoreError::DuplicateKey { .. }));
    tx.undo_statement();
    assert!(matches!(tx.insert(P1, &[(1_500, 0)]), Err(StoreError::DuplicateKey { .. })));
    tx.undo_statement();
    assert!(matches!(tx.update(P1, &[1_500], |k, v| (k, v)), Err(StoreError::Unsupported(_))));
    tx.undo_statement();
    tx.commit().unwrap();
    assert_eq!(f.now(P1).len(), 2_002);
}

#[test]
fn a_load_keeps_others_out_of_the_table_until_it_ends() {
    let f = Fixture::small();
    let mut tx = f.begin(1);
    load(&f, &mut tx, P1, &keys(0..1_000)).unwrap();
    let mut other = f.begin(2);
    other.lock_wait = Duration::from_millis(20);
    assert!(matches!(other.insert(P1, &[(5_000, 1)]), Err(StoreError::LockWaitTimeout)));
    other.undo_statement();
    other.insert(P2, &[(5_000, 1)]).unwrap();
    let mut third = f.begin(3);
    third.lock_wait = Duration::from_secs(30);
    let waiter = std::thread::spawn(move || {
        let result = third.insert(P1, &[(500, 1)]);
        third.rollback();
        result
    });
    tx.commit().unwrap();
    assert!(matches!(waiter.join().unwrap(), Err(StoreError::DuplicateKey { .. })));
    other.commit().unwrap();
    // A writer keeps a load out in turn.
    let mut writer = f.begin(4);
    writer.insert(P1, &[(6_000, 1)]).unwrap();
    let mut late = f.begin(5);
    late.lock_wait = Duration::from_millis(20);
    assert!(matches!(load(&f, &mut late, P1, &keys(7_000..8_000)), Err(StoreError::LockWaitTimeout)));
    late.rollback();
    writer.commit().unwrap();
}

/// A number_table whose v must be unique, and a load of rows of it.
fn unique_fixture() -> Fixture {
    let mut def = testing::number_table(1);
    let columns = vec![ColumnId(2)];
    def.keys = vec![types::KeyDef { name: "v".into(), columns, unique: true }];
    Fixture::with(small_options(), def)
}

fn load_pairs(
    f: &Fixture,
    tx: &mut Tx,
    pairs: impl IntoIterator<Item = (i64, Option<i64>)>,
) -> Result<u64, StoreError> {
    tx.next();
    let ctx = tx.ctx(P1);
    let mut load = f.store.begin_bulk(&ctx, P1, f.def.id)?;
    let pairs: Vec<(i64, Option<i64>)> = pairs.into_iter().collect();
    for piece in pairs.chunks(70) {
        let schema = testing::number_rows(&f.def, &[]).schema();
        let k = Int64Array::from_iter_values(piece.iter().map(|(k, _)| *k));
        let v = Int64Array::from_iter(piece.iter().map(|(_, v)| *v));
        load.append(RecordBatch::try_new(schema, vec![Arc::new(k), Arc::new(v)]).unwrap())?;
    }
    load.finish()
}

fn duplicate(value: i64) -> String {
    format!("Duplicate entry '{value}' for key 't1.v'")
}

#[test]
fn unique_keys_hold_within_a_load_and_null_is_no_value() {
    let f = unique_fixture();
    let mut tx = f.begin(1);
    // Two rows of different segments, then two of one.
    let far = (0..2_500).map(|k| (k, Some(if k == 2_400 { 7 } else { k })));
    assert_eq!(load_pairs(&f, &mut tx, far).unwrap_err().to_string(), duplicate(7));
    tx.undo_statement();
    let near = (0..500).map(|k| (k, Some(if k == 8 { 7 } else { k })));
    assert_eq!(load_pairs(&f, &mut tx, near).unwrap_err().to_string(), duplicate(7));
    tx.undo_statement();
    assert_eq!((files(&f, P1), tx.see(P1).len()), (0, 0));
    let nulls = (0..2_500).map(|k| (k, (k % 3 != 0).then_some(k)));
    assert_eq!(load_pairs(&f, &mut tx, nulls).unwrap(), 2_500);
    tx.commit().unwrap();
    // NULLs are no values for what comes later, either.
    let mut tx = f.begin(2);
    assert_eq!(load_pairs(&f, &mut tx, (3_000..4_000).map(|k| (k, None))).unwrap(), 1_000);
    assert!(matches!(tx.insert(P1, &[(9_000, 1)]), Err(StoreError::DuplicateKey { .. })));
    tx.undo_statement();
    tx.insert(P1, &[(9_000, 3)]).unwrap();
    tx.commit().unwrap();
}

#[test]
fn unique_keys_hold_against_rows_in_the_tail_in_runs_and_in_segments() {
    let f = unique_fixture();
    let refused = |number: u64, value: i64| {
        let mut tx = f.begin(number);
        let before = f.now(P1).len();
        // The values of the load lie close together, then all over: by the run of the key, and by a scan.
        for step in [1, 1_000] {
            let pairs =
                (0..600).map(|k| (10_000 + k, Some(if k == 300 { value } else { value + step * (k + 1) })));
            let error = load_pairs(&f, &mut tx, pairs).unwrap_err();
            assert_eq!(error.to_string(), duplicate(value));
            tx.undo_statement();
        }
        assert_eq!(tx.see(P1).len(), before);
        tx.rollback();
    };
    f.put(1, P1, &[(1, 100_000), (2, 200_000)]);
    refused(2, 100_000);
    f.store.partition(P1).unwrap().latch().unwrap().freeze(&f.store.leaf, f.def.id).unwrap();
    refused(3, 200_000);
    f.store.flush(P1).unwrap();
    refused(4, 100_000);
    // A large segment, of which the run of the key gives a small part.
    let mut tx = f.begin(5);
    load_pairs(&f, &mut tx, (0..999).map(|k| (20_000 + k, Some(300_000 + k * 1_000)))).unwrap();
    // It counts for the transaction itself before the commit.
    let again = load_pairs(&f, &mut tx, (0..600).map(|k| (50_000 + k, Some(777_000 - k)))).unwrap_err();
    assert_eq!(again.to_string(), duplicate(777_000));
    tx.undo_statement();
    tx.commit().unwrap();
    refused(6, 777_000);
    // What is gone is no value any more: a deleted row, and one with another value.
    let mut tx = f.begin(7);
    tx.delete(P1, &[1]).unwrap();
    tx.update(P1, &[20_477], |k, _| (k, -5)).unwrap();
    load_pairs(&f, &mut tx, (0..600).map(|k| (30_000 + k, Some(100_000 + k)))).unwrap();
    load_pairs(&f, &mut tx, (0..600).map(|k| (40_000 + k, Some(777_000 + k)))).unwrap();
    let taken = load_pairs(&f, &mut tx, (0..600).map(|k| (60_000 + k, Some(-5 - k)))).unwrap_err();
    assert_eq!(taken.to_string(), duplicate(-5));
    tx.undo_statement();
    tx.commit().unwrap();
    f.store.optimize(P1).unwrap();
    refused(8, 777_300);
    let all = f.now(P1);
    assert_eq!(all.len(), 1 + 999 + 1_200);
    assert_eq!(all.values().collect::<std::collections::BTreeSet<_>>().len(), all.len());
}

#[test]
fn a_unique_key_of_several_columns_with_strings_holds_in_a_load() {
    let mut def = testing::kv_table(1);
    let key = |columns: &[u32]| columns.iter().map(|id| ColumnId(*id)).collect();
    def.columns.push(testing::column(3, "w", types::SqlType::BigInt { unsigned: false }, true));
    def.next_column_id = ColumnId(4);
    def.keys = vec![types::KeyDef { name: "vw".into(), columns: key(&[2, 3]), unique: true }];
    let f = Fixture::with(small_options(), def);
    let load = |tx: &mut Tx, rows: &[(i64, Option<String>, Option<i64>)]| {
        tx.next();
        let ctx = tx.ctx(P1);
        let mut load = f.store.begin_bulk(&ctx, P1, f.def.id)?;
        let ids: Vec<ColumnId> = f.def.columns.iter().map(|column| column.id).collect();
        let schema = crate::scan::output_schema(&f.def, &ids, false)?;
        let k = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
        let v: arrow::array::StringViewArray = rows.iter().map(|row| row.1.clone()).collect();
        let w = Int64Array::from_iter(rows.iter().map(|row| row.2));
        load.append(RecordBatch::try_new(schema, vec![Arc::new(k), Arc::new(v), Arc::new(w)])?)?;
        load.finish()
    };
    let long = "a name that is longer than the codes of a key's run ";
    let rows = |from: i64| -> Vec<(i64, Option<String>, Option<i64>)> {
        (0..1_200)
            .map(|k| (from + k, (k % 5 != 0).then(|| format!("{long}{}", k % 4)), Some(k / 4)))
            .collect()
    };
    let mut tx = f.begin(1);
    load(&mut tx, &rows(0)).unwrap();
    tx.commit().unwrap();
    let mut tx = f.begin(2);
    let error = load(&mut tx, &rows(5_000)).unwrap_err();
    assert!(error.to_string().starts_with(&format!("Duplicate entry '{long}")), "{error}");
    tx.undo_statement();
    let others: Vec<_> = rows(5_000).into_iter().map(|(k, v, w)| (k, v, w.map(|w| w + 10_000))).collect();
    load(&mut tx, &others).unwrap();
    tx.commit().unwrap();
}
