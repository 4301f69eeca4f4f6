//! Runs of keys against a look at every row.

use super::model::*;
use crate::keys::KeyUse;
use crate::{Compare, Predicate, Segment};
use types::{ColumnId, KeyDef, SqlType, Value};

fn found(table: &Table, segment: &Segment, predicates: &[Predicate]) -> Option<Vec<u32>> {
    let used = KeyUse::of(&table.def, predicates)?;
    segment.rows_by_key(&table.def, used.columns, &used.ranges, usize::MAX).unwrap()
}

fn passing(table: &Table, predicates: &[Predicate]) -> Vec<u32> {
    let passes = |row: &u32| predicates.iter().all(|predicate| table.passes(predicate, *row as usize));
    (0..table.rows() as u32).filter(passes).collect()
}

#[test]
fn what_is_found_in_keys_of_every_type_is_exact() {
    let mut random = Random::new(41);
    let second = SqlType::Int { unsigned: false };
    for ty in all_types() {
        for shape in SHAPES {
            let rows = 600;
            let mut table = Table::new(vec![
                (ty, column(ty, shape, rows, 10, &mut random)),
                (second, column(second, Shape::Few, rows, 20, &mut random)),
            ]);
            table.def.keys =
                vec![KeyDef { name: "k".into(), columns: vec![ColumnId(1), ColumnId(2)], unique: false }];
            let some = |at: usize, random: &mut Random| loop {
                let value = &table.columns[at][random.below(rows as u64) as usize];
                if !value.is_null() {
                    return value.clone();
                }
            };
            let compare =
                |at: usize, op, value| Predicate::Compare { column: ColumnId(at as u32 + 1), op, value };
            let segment = table.segment();
            for _ in 0..4 {
                let (a, b) = (some(0, &mut random), some(0, &mut random));
                let (c, d) = (some(1, &mut random), some(1, &mut random));
                let lower = *random.pick(&[Compare::Greater, Compare::GreaterEq]);
                let upper = *random.pick(&[Compare::Less, Compare::LessEq]);
                for predicates in [
                    vec![compare(0, Compare::Eq, a.clone())],
                    vec![Predicate::In {
                        column: ColumnId(1),
                        values: vec![a.clone(), Value::Null, b.clone()],
                    }],
                    vec![compare(0, lower, a.clone())],
                    vec![compare(0, upper, a.clone())],
                    vec![compare(0, lower, a.clone()), compare(0, upper, b.clone())],
                    vec![compare(0, Compare::Eq, a.clone()), compare(1, Compare::Eq, c.clone())],
                    vec![compare(0, Compare::Eq, a.clone()), compare(1, upper, c.clone())],
                    vec![
                        Predicate::In { column: ColumnId(1), values: vec![a.clone(), b.clone(), a.clone()] },
                        compare(1, lower, c.clone()),
                        compare(1, upper, d.clone()),
                    ],
                ] {
                    let mut found = found(&table, &segment, &predicates);
                    if let Some(rows) = &mut found {
                        // A NaN lies beyond all bounds.
                        let is_nan = |value: &Value| order(value, value).is_none();
                        rows.retain(|row| !is_nan(&table.columns[0][*row as usize]));
                    }
                    assert_eq!(found, Some(passing(&table, &predicates)), "{ty} {predicates:?}");
                }
            }
        }
    }
}

#[test]
fn a_search_over_several_blocks_reads_those_that_it_needs() {
    let mut random = Random::new(42);
    let ty = SqlType::BigInt { unsigned: false };
    let rows = 300_000;
    let mut table = Table::new(vec![
        (ty, (0..rows).map(|row| Value::Int(row as i64)).collect()),
        (ty, (0..rows).map(|_| Value::Int(random.below(100_000) as i64)).collect()),
        (
            SqlType::VarChar(40),
            (0..rows).map(|r| Value::Text(format!("common prefix {}", r % 90_000))).collect(),
        ),
    ]);
    table.def.primary_key = vec![ColumnId(1)];
    let key =
        |name: &str, column| KeyDef { name: name.into(), columns: vec![ColumnId(column)], unique: false };
    table.def.keys = vec![key("n", 2), key("s", 3), key("sorted", 1)];
    let segment = table.segment();
    assert_eq!(segment.footer.key_runs, [[ColumnId(2)], [ColumnId(3)]]);
    let equal = |column, value| [Predicate::Compare { column: ColumnId(column), op: Compare::Eq, value }];
    for row in [0, 65_535, 65_536, 131_072, rows - 1] {
        for column in [2, 3] {
            let predicates = equal(column, table.value(ColumnId(column), row).clone());
            let used = KeyUse::of(&table.def, &predicates).unwrap();
            let look = |most| segment.rows_by_key(&table.def, used.columns, &used.ranges, most).unwrap();
            let expected = passing(&table, &predicates);
            assert_eq!(look(usize::MAX), Some(expected.clone()));
            assert_eq!(look(expected.len()), Some(expected.clone()));
            assert_eq!(look(expected.len() - 1), None);
        }
    }
    // Of the numbers one block of codes and one of rows, in a segment just opened.
    let segment = table.segment();
    let predicates = equal(2, Value::Int(50_000));
    let used = KeyUse::of(&table.def, &predicates).unwrap();
    segment.rows_by_key(&table.def, used.columns, &used.ranges, 100).unwrap();
    assert!(segment.pool.statistics().misses <= 3, "{:?}", segment.pool.statistics());
    assert!(KeyUse::of(&table.def, &equal(1, Value::Int(7))).is_none());
}
