use super::model::*;
use crate::segment::{BLOCK_ROWS, BeginTimestamps, sort_to_segment_order};
use crate::{ScanSpec, StoreError};
use arrow::array::AsArray;
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::UInt64Type;
use arrow::record_batch::RecordBatch;
use types::{ColumnDefault, ColumnId, SqlType, Timestamp, Value};

/// Everything in the segment, by column, as a scan of all blocks gives it.
fn scan_all(table: &Table, segment: &crate::Segment) -> Vec<Vec<Value>> {
    let spec = ScanSpec { columns: table.ids(), predicates: vec![], row_refs: false };
    let mut columns: Vec<Vec<Value>> = vec![Vec::new(); table.def.columns.len()];
    for block in 0..segment.blocks() {
        let done = segment.scan_block(block, &table.def, &spec, None, &mut |batch: RecordBatch| {
            assert!(batch.num_rows() <= 8_192 && batch.num_rows() > 0);
            for ((to, array), column) in columns.iter_mut().zip(batch.columns()).zip(&table.def.columns) {
                array.to_data().validate_full().unwrap();
                to.extend(values(column.ty, array));
            }
            Ok(true)
        });
        assert!(done.unwrap());
    }
    columns
}

fn check(table: &Table) {
    let segment = table.segment();
    let read = scan_all(table, &segment);
    for (at, column) in table.def.columns.iter().enumerate() {
        assert_eq!(read[at].len(), table.rows(), "{}", column.ty);
        for (row, (a, b)) in table.columns[at].iter().zip(&read[at]).enumerate() {
            assert!(identical(a, b), "{} row {row}: wrote {a:?}, read {b:?}", column.ty);
        }
        let statistics = segment.statistics().column(column.id).unwrap();
        let nulls = table.columns[at].iter().filter(|v| v.is_null()).count();
        assert_eq!(statistics.nulls, nulls as u64);
        if nulls < table.rows() && !matches!(column.ty, SqlType::Float | SqlType::Double) {
            if column.ty.physical() != types::Physical::Bytes {
                for value in table.columns[at].iter().filter(|v| !v.is_null()) {
                    assert!(order(statistics.min.as_ref().unwrap(), value).unwrap().is_le());
                    assert!(order(statistics.max.as_ref().unwrap(), value).unwrap().is_ge());
                }
            }
            let mut distinct: Vec<String> =
                table.columns[at].iter().filter(|v| !v.is_null()).map(|v| format!("{v:?}")).collect();
            distinct.sort_unstable();
            distinct.dedup();
            let off = statistics.distinct.abs_diff(distinct.len() as u64);
            assert!(
                off <= distinct.len() as u64 / 7 + 1,
                "{}: {} for {}",
                column.ty,
                statistics.distinct,
                distinct.len()
            );
        }
    }
}

#[test]
fn every_type_and_shape_of_every_size() {
    let mut random = Random::new(1);
    for rows in [0, 1, 2, 1_000, 1_024, 1_025, 5_000] {
        for shape in SHAPES {
            for nulls in [0, 10, 100] {
                let columns = all_types()
                    .into_iter()
                    .map(|ty| (ty, column(ty, shape, rows, nulls, &mut random)))
                    .collect();
                check(&Table::new(columns));
            }
        }
    }
}

#[test]
fn several_blocks() {
    let mut random = Random::new(2);
    for rows in [BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 2 * BLOCK_ROWS + 3_000] {
        let columns = all_types()
            .into_iter()
            .map(|ty| {
                let (shape, nulls) = (*random.pick(&SHAPES), *random.pick(&[0, 0, 1, 50]));
                (ty, column(ty, shape, rows, nulls, &mut random))
            })
            .collect();
        check(&Table::new(columns));
    }
}

#[test]
fn a_million_rows() {
    let mut random = Random::new(3);
    let rows = 1_000_000;
    let types = [SqlType::BigInt { unsigned: true }, SqlType::Date, SqlType::VarChar(20)];
    let shapes = [Shape::Sorted, Shape::Few, Shape::Steps];
    let columns = types
        .into_iter()
        .zip(shapes)
        .map(|(ty, shape)| (ty, column(ty, shape, rows, 0, &mut random)))
        .collect();
    let table = Table::new(columns);
    check(&table);
    assert_eq!(table.segment().blocks(), 16);
}

#[test]
fn blocks_that_are_all_null_or_mixed() {
    let mut random = Random::new(4);
    let rows = 2 * BLOCK_ROWS + 100;
    for ty in all_types() {
        let mut values = column(ty, Shape::Few, rows, 0, &mut random);
        values[BLOCK_ROWS..2 * BLOCK_ROWS].fill(Value::Null);
        values[5] = Value::Null;
        check(&Table::new(vec![(ty, values)]));
    }
}

#[test]
fn gather_gives_what_the_scan_gives() {
    let mut random = Random::new(5);
    let rows = BLOCK_ROWS + 5_000;
    for nulls in [0, 30] {
        let columns = all_types()
            .into_iter()
            .map(|ty| {
                let shape = *random.pick(&SHAPES);
                (ty, column(ty, shape, rows, nulls, &mut random))
            })
            .collect();
        let table = Table::new(columns);
        let segment = table.segment();
        let in_any_order =
            [0, 1, 500].map(|count| (0..count).map(|_| random.below(rows as u64) as u32).collect());
        // Whole vectors and parts of them, of one block.
        let end = rows as u32;
        let ascending = [1, 3, 40].map(|step| {
            let part = end - 2_500..end;
            part.filter(|row| row % step == 0 || row % 1_000 < 3).collect::<Vec<u32>>()
        });
        let first: Vec<u32> = vec![0, 1, 1_023, 1_024, 7_000, BLOCK_ROWS as u32 - 1];
        let across: Vec<u32> = vec![BLOCK_ROWS as u32 - 1, BLOCK_ROWS as u32, end - 1];
        for wanted in in_any_order.into_iter().chain(ascending).chain([first, across]) {
            let batch = segment.gather(&table.def, &wanted, &table.ids()).unwrap();
            assert_eq!(batch.num_rows(), wanted.len());
            for (at, column) in table.def.columns.iter().enumerate() {
                batch.column(at).to_data().validate_full().unwrap();
                for (got, &row) in values(column.ty, batch.column(at)).iter().zip(&wanted) {
                    let expected = &table.columns[at][row as usize];
                    assert!(identical(got, expected), "{}: {got:?} is not {expected:?}", column.ty);
                }
            }
        }
        assert!(segment.gather(&table.def, &[rows as u32], &table.ids()).is_err());
    }
}

#[test]
fn visibility_and_row_references() {
    let mut random = Random::new(6);
    let rows = BLOCK_ROWS + 3_333;
    let ty = SqlType::Int { unsigned: false };
    let table = Table::new(vec![
        (ty, column(ty, Shape::Wild, rows, 5, &mut random)),
        (SqlType::VarChar(9), column(SqlType::VarChar(9), Shape::Sorted, rows, 5, &mut random)),
    ]);
    let segment = table.segment();
    for percent in [0, 1, 50, 99, 100] {
        let seen: Vec<bool> = (0..rows).map(|_| random.below(100) < percent).collect();
        let spec = ScanSpec { columns: table.ids(), predicates: vec![], row_refs: true };
        let mut rows_seen = Vec::new();
        for block in 0..segment.blocks() {
            let from = block as usize * BLOCK_ROWS;
            let bits = seen[from..].iter().take(BLOCK_ROWS).copied().collect::<BooleanBuffer>();
            segment
                .scan_block(block, &table.def, &spec, Some(&bits), &mut |batch| {
                    let refs = batch.column(2).as_primitive::<UInt64Type>();
                    let got = values(ty, batch.column(0));
                    for (reference, value) in refs.values().iter().zip(got) {
                        assert_eq!(reference >> 32, 7);
                        let row = *reference as u32 as usize;
                        assert_eq!(value, table.columns[0][row]);
                        rows_seen.push(row);
                    }
                    Ok(true)
                })
                .unwrap();
        }
        let expected: Vec<usize> = (0..rows).filter(|row| seen[*row]).collect();
        assert_eq!(rows_seen, expected);
    }
}

#[test]
fn a_scan_without_columns_counts_and_one_that_is_told_to_stops() {
    let mut random = Random::new(7);
    let ty = SqlType::Int { unsigned: false };
    let table = Table::new(vec![(ty, column(ty, Shape::Few, 50_000, 0, &mut random))]);
    let segment = table.segment();
    let (mut batches, mut rows) = (0, 0);
    let go_on = segment.scan_block(0, &table.def, &ScanSpec::default(), None, &mut |batch| {
        batches += 1;
        rows += batch.num_rows();
        Ok(batches < 3)
    });
    assert!(!go_on.unwrap());
    assert_eq!((batches, rows), (3, 3 * 8_192));
    let failed =
        segment.scan_block(0, &table.def, &ScanSpec::default(), None, &mut |_| Err(StoreError::Deadlock));
    assert!(matches!(failed, Err(StoreError::Deadlock)));
}

#[test]
fn commit_timestamps() {
    let mut random = Random::new(8);
    let rows = BLOCK_ROWS + 10;
    let ty = SqlType::Int { unsigned: false };
    let table = Table::new(vec![(ty, column(ty, Shape::Few, rows, 0, &mut random))]);
    let each: Vec<Timestamp> = (0..rows).map(|row| Timestamp(u64::MAX / 2 + row as u64 * 3)).collect();
    let meta = table.write(BeginTimestamps::Each(&each));
    assert_eq!((meta.min_ts, meta.max_ts), (each[0], each[rows - 1]));
    let segment = table.open(meta);
    let (mut all, mut out) = (Vec::new(), Vec::new());
    for block in 0..2 {
        segment.begin_timestamps(block, &mut out).unwrap();
        all.extend_from_slice(&out);
    }
    assert_eq!(all, each);

    // One for all, and one that the manifest knows alone.
    let meta = table.write(BeginTimestamps::Each(&vec![Timestamp(9); rows]));
    assert_eq!((meta.min_ts, meta.max_ts), (Timestamp(9), Timestamp(9)));
    let mut meta = table.write(BeginTimestamps::AtCommit);
    assert_eq!(meta.max_ts, Timestamp::ZERO);
    (meta.min_ts, meta.max_ts) = (Timestamp(77), Timestamp(77));
    table.open(meta).begin_timestamps(1, &mut out).unwrap();
    assert_eq!(out, vec![Timestamp(77); 10]);
}

#[test]
fn columns_added_later_have_their_default() {
    let mut random = Random::new(9);
    let ty = SqlType::Int { unsigned: false };
    let table = Table::new(vec![(ty, column(ty, Shape::Few, 3_000, 0, &mut random))]);
    let segment = table.segment();
    let mut def = table.def.clone();
    def.version = 2;
    let added = [
        (SqlType::BigInt { unsigned: true }, "18446744073709551615", Value::UInt(u64::MAX)),
        (SqlType::VarChar(30), "thirteen byte default", Value::Text("thirteen byte default".into())),
        (SqlType::Double, "1.5", Value::Double(1.5)),
        (SqlType::Decimal { precision: 30, scale: 2 }, "1.5", Value::Decimal { unscaled: 150, scale: 2 }),
    ];
    for (i, (ty, text, _)) in added.iter().enumerate() {
        let mut column = column_def(i as u32 + 10, *ty);
        column.default = ColumnDefault::Literal((*text).into());
        def.columns.push(column);
    }
    def.columns.push(column_def(20, SqlType::Date));
    let columns: Vec<ColumnId> = def.columns[1..].iter().map(|c| c.id).collect();
    let check = |batch: &RecordBatch| {
        for (i, (ty, _, value)) in added.iter().enumerate() {
            assert!(values(*ty, batch.column(i)).iter().all(|v| v == value));
        }
        assert_eq!(batch.column(4).null_count(), batch.num_rows());
    };
    let mut rows = 0;
    for predicates in [
        vec![],
        vec![crate::Predicate::IsNull(ColumnId(20))],
        vec![crate::Predicate::Compare {
            column: ColumnId(11),
            op: crate::Compare::Greater,
            value: Value::Text("t".into()),
        }],
    ] {
        assert!(segment.may_match(0, &predicates));
        let spec = ScanSpec { columns: columns.clone(), predicates, row_refs: false };
        segment
            .scan_block(0, &def, &spec, None, &mut |batch| {
                check(&batch);
                rows += batch.num_rows();
                Ok(true)
            })
            .unwrap();
    }
    assert_eq!(rows, 9_000);
    check(&segment.gather(&def, &[5, 1, 2_999], &columns).unwrap());
    let none =
        ScanSpec { columns, predicates: vec![crate::Predicate::IsNotNull(ColumnId(20))], row_refs: false };
    segment.scan_block(0, &def, &none, None, &mut |_| panic!("no row has it")).unwrap();
}

#[test]
fn sorting_is_by_the_sort_key_nulls_first_and_stable() {
    let mut random = Random::new(10);
    let types = all_types();
    for (at, ty) in types.iter().enumerate() {
        for nulls in [0, 20] {
            let shape = *random.pick(&[Shape::Few, Shape::Wild, Shape::Sorted]);
            let second = SqlType::Int { unsigned: false };
            let mut table = Table::new(vec![
                (*ty, column(*ty, shape, 3_000, nulls, &mut random)),
                (second, column(second, Shape::Few, 3_000, nulls, &mut random)),
                (second, (0..3_000).map(Value::Int).collect()),
            ]);
            table.def.sort_key = vec![ColumnId(1), ColumnId(2)];
            let sorted = sort_to_segment_order(&table.def, &table.batch).unwrap();
            let columns: Vec<Vec<Value>> =
                sorted.columns().iter().zip(&table.def.columns).map(|(a, c)| values(c.ty, a)).collect();
            let compare = |column: &[Value], row: usize| match (&column[row - 1], &column[row]) {
                (Value::Null, Value::Null) => std::cmp::Ordering::Equal,
                (Value::Null, _) => std::cmp::Ordering::Less,
                (_, Value::Null) => std::cmp::Ordering::Greater,
                // NaNs stand somewhere.
                (a, b) => order(a, b).unwrap_or(std::cmp::Ordering::Less),
            };
            for row in 1..3_000 {
                let (first, second) = (compare(&columns[0], row), compare(&columns[1], row));
                let third = order(&columns[2][row - 1], &columns[2][row]).unwrap();
                let is_nan = |v: &Value| {
                    matches!(v, Value::Float(v) if v.is_nan()) || matches!(v, Value::Double(v) if v.is_nan())
                };
                if is_nan(&columns[0][row - 1]) || is_nan(&columns[0][row]) {
                    continue;
                }
                assert!(first.then(second).then(third).is_lt(), "{at} {ty} row {row}");
            }
            let again = sort_to_segment_order(&table.def, &sorted).unwrap();
            assert_eq!(again.column(2).to_data(), sorted.column(2).to_data());
        }
    }
}
