use super::model::*;
use crate::filter::values::number_of;
use crate::segment::BLOCK_ROWS;
use crate::{Compare, KeySet, Predicate, ScanSpec, filter_batch};
use arrow::array::AsArray;
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::UInt64Type;
use proptest::prelude::*;
use std::sync::Arc;
use types::{ColumnId, Physical, SqlType, Value};

/// The rows that pass by the oracle, by the segment's scan and by `filter_batch` are the same.
fn check(table: &Table, predicates: Vec<Predicate>, visible: Option<&[bool]>) {
    let segment = table.segment();
    let expected: Vec<u64> = (0..table.rows())
        .filter(|row| visible.is_none_or(|v| v[*row]) && predicates.iter().all(|p| table.passes(p, *row)))
        .map(|row| row as u64)
        .collect();
    let first = table.def.columns[0].clone();
    let spec = ScanSpec { columns: vec![first.id], predicates, row_refs: true };
    let mut scanned = Vec::new();
    let collect = |batch: arrow::record_batch::RecordBatch, to: &mut Vec<u64>| {
        assert!(batch.num_rows() > 0 && batch.num_rows() <= 8_192);
        let rows = batch.column(1).as_primitive::<UInt64Type>();
        for (row, value) in rows.values().iter().zip(values(first.ty, batch.column(0))) {
            let row = *row & u64::from(u32::MAX);
            assert!(identical(&value, &table.columns[0][row as usize]));
            to.push(row);
        }
        Ok(true)
    };
    for block in 0..segment.blocks() {
        let from = block as usize * BLOCK_ROWS;
        let bits = visible.map(|v| v[from..].iter().take(BLOCK_ROWS).copied().collect::<BooleanBuffer>());
        let before = scanned.len();
        segment
            .scan_block(block, &table.def, &spec, bits.as_ref(), &mut |batch| collect(batch, &mut scanned))
            .unwrap();
        if !segment.may_match(block, &spec.predicates) {
            assert_eq!(scanned.len(), before, "zone maps dropped rows of {:?}", spec.predicates);
        }
    }
    assert_eq!(scanned, expected, "scan of {:?}", spec.predicates);

    let mut filtered = Vec::new();
    let bits = visible.map(|v| BooleanBuffer::from(v.to_vec()));
    filter_batch(&table.def, &table.batch, &spec, bits.as_ref(), 3 << 32, &mut |batch| {
        collect(batch, &mut filtered)
    })
    .unwrap();
    assert_eq!(filtered, expected, "filter of {:?}", spec.predicates);
}

/// Each operator on each type and shape with a constant of the column, one below all and so on.
#[test]
fn every_operator_on_every_type_and_shape() {
    let mut random = Random::new(11);
    for ty in all_types() {
        for shape in SHAPES {
            let nulls = *random.pick(&[0, 20]);
            let table = Table::new(vec![(ty, column(ty, shape, 2_500, nulls, &mut random))]);
            let column = ColumnId(1);
            for op in [
                Compare::Eq,
                Compare::NotEq,
                Compare::Less,
                Compare::LessEq,
                Compare::Greater,
                Compare::GreaterEq,
            ] {
                for row in [0, 1_111] {
                    let value = table.columns[0][row].clone();
                    check(&table, vec![Predicate::Compare { column, op, value }], None);
                }
                let value = value(ty, Shape::Wild, 0, &mut random);
                check(&table, vec![Predicate::Compare { column, op, value }], None);
                check(&table, vec![Predicate::Columns { left: column, op, right: column }], None);
            }
            let values = |n: usize| table.columns[0][..n].to_vec();
            check(&table, vec![Predicate::In { column, values: values(3) }], None);
            check(&table, vec![Predicate::In { column, values: values(400) }], None);
            if ty.physical() == Physical::I64 {
                let number = |value: &Value| value.to_physical(ty).and_then(|value| number_of(&value));
                let numbers: Vec<i64> = values(400).iter().filter_map(number).map(|n| n as i64).collect();
                // Wild values lie too far apart; those near the first do not.
                let first = numbers.first().copied().unwrap_or(0);
                let near = numbers.iter().copied().filter(|n| n.abs_diff(first) < 1 << 16);
                for keys in [KeySet::of(numbers.iter().copied()), KeySet::of(near)].into_iter().flatten() {
                    check(&table, vec![Predicate::Keys { column, keys: Arc::new(keys) }], None);
                }
            }
            check(&table, vec![Predicate::IsNull(column)], None);
            check(&table, vec![Predicate::IsNotNull(column)], None);
            check(&table, vec![Predicate::Or(vec![])], None);
            check(&table, vec![Predicate::Or(vec![vec![]])], None);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn random_conjunctions_agree_with_the_oracle(seed in any::<u64>()) {
        let mut random = Random::new(seed);
        let rows = *random.pick(&[1, 900, 1_024, 4_000, 12_000]);
        let types = all_types();
        let mut shapes = Vec::new();
        let mut columns = Vec::new();
        for _ in 0..4 {
            let ty = *random.pick(&types);
            // Twice, so that columns can be compared.
            for _ in 0..2 {
                let shape = *random.pick(&SHAPES);
                shapes.push(shape);
                let nulls = *random.pick(&[0, 0, 10, 95]);
                columns.push((ty, column(ty, shape, rows, nulls, &mut random)));
            }
        }
        let table = Table::new(columns);
        for _ in 0..6 {
            let count = random.below(4);
            let predicates = (0..count).map(|_| predicate(&table, &shapes, 2, &mut random)).collect();
            let visible: Option<Vec<bool>> = match random.below(3) {
                0 => None,
                1 => Some((0..rows).map(|_| random.below(10) > 0).collect()),
                _ => Some((0..rows).map(|row| row % 3_000 < 20).collect()),
            };
            check(&table, predicates, visible.as_deref());
        }
    }
}

#[test]
fn several_blocks_with_selective_and_late_parts() {
    let mut random = Random::new(12);
    let rows = 2 * BLOCK_ROWS + 777;
    let int = SqlType::Int { unsigned: false };
    let table = Table::new(vec![
        (int, column(int, Shape::Sorted, rows, 0, &mut random)),
        (SqlType::VarChar(40), column(SqlType::VarChar(40), Shape::Few, rows, 3, &mut random)),
        (SqlType::Double, column(SqlType::Double, Shape::Wild, rows, 3, &mut random)),
        (SqlType::VarChar(40), column(SqlType::VarChar(40), Shape::Wild, rows, 3, &mut random)),
    ]);
    let low = table.columns[0][BLOCK_ROWS / 2].clone();
    let high = table.columns[0][BLOCK_ROWS + 5_000].clone();
    let between = vec![
        Predicate::Compare { column: ColumnId(1), op: Compare::GreaterEq, value: low },
        Predicate::Compare { column: ColumnId(1), op: Compare::Less, value: high },
    ];
    check(&table, between.clone(), None);
    let mut more = between;
    more.push(Predicate::Compare {
        column: ColumnId(2),
        op: Compare::Eq,
        value: Value::Text("twelve bytes".into()),
    });
    more.push(Predicate::Compare { column: ColumnId(3), op: Compare::Greater, value: Value::Double(0.0) });
    more.push(Predicate::Bytes {
        column: ColumnId(4),
        test: Arc::new(|bytes: &[u8]| bytes.contains(&b'7')),
        label: "LIKE '%7%'".into(),
    });
    check(&table, more, None);
    let segment = table.segment();
    let last = Predicate::Compare {
        column: ColumnId(1),
        op: Compare::Greater,
        value: table.columns[0][rows - 2].clone(),
    };
    assert!(!segment.may_match(0, std::slice::from_ref(&last)) && segment.may_match(2, &[last]));
}

#[test]
fn a_constant_of_another_type_is_an_error_not_a_wrong_answer() {
    let mut random = Random::new(13);
    let int = SqlType::Int { unsigned: false };
    let table = Table::new(vec![(int, column(int, Shape::Few, 100, 0, &mut random))]);
    let segment = table.segment();
    let spec = ScanSpec {
        columns: vec![ColumnId(1)],
        predicates: vec![Predicate::Compare {
            column: ColumnId(1),
            op: Compare::Eq,
            value: Value::Text("1".into()),
        }],
        row_refs: false,
    };
    assert!(segment.may_match(0, &spec.predicates));
    assert!(segment.scan_block(0, &table.def, &spec, None, &mut |_| Ok(true)).is_err());
    assert!(filter_batch(&table.def, &table.batch, &spec, None, 0, &mut |_| Ok(true)).is_err());
}
