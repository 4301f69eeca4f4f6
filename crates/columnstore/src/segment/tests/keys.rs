use super::model::*;
use crate::encoding::BLOCK_ROWS;
use crate::segment::format::KeySearch;
use crate::segment::sort_to_segment_order;
use types::{ColumnId, SqlType, Value};

fn sorted(table: &mut Table) {
    let batch = sort_to_segment_order(&table.def, &table.batch).unwrap();
    let columns = batch.columns().iter().zip(&table.def.columns).map(|(a, c)| values(c.ty, a)).collect();
    table.fill(columns);
}

fn check(table: &Table, expected: KeySearch, random: &mut Random) {
    let segment = table.segment();
    assert_eq!(segment.footer.key_search, expected);
    let key_of = |row: usize| -> Vec<Value> {
        table.def.primary_key.iter().map(|id| table.value(*id, row).clone()).collect()
    };
    for _ in 0..100 {
        let row = random.below(table.rows() as u64) as usize;
        let key = key_of(row);
        if key.iter().any(|v| !order(v, v).is_some_and(|o| o.is_eq())) {
            assert!(segment.find_key(&table.def, &key).unwrap().is_empty());
            continue;
        }
        let found = segment.find_key(&table.def, &key).unwrap();
        assert!(found.contains(&(row as u32)), "{key:?} is not at {row} but {found:?}");
        assert!(found.is_sorted());
        for row in &found {
            let other = key_of(*row as usize);
            assert!(key.iter().zip(&other).all(|(a, b)| order(a, b).unwrap().is_eq()));
        }
        let count = (0..table.rows())
            .filter(|r| key.iter().zip(key_of(*r)).all(|(a, b)| order(a, &b).is_some_and(|o| o.is_eq())))
            .count();
        assert_eq!(found.len(), count);
    }
    for _ in 0..50 {
        let key: Vec<Value> = table
            .def
            .primary_key
            .iter()
            .map(|id| value(table.def.column(*id).unwrap().ty, Shape::Wild, 0, random))
            .collect();
        let found = segment.find_key(&table.def, &key).unwrap();
        let count = (0..table.rows())
            .filter(|r| key.iter().zip(key_of(*r)).all(|(a, b)| order(a, &b).is_some_and(|o| o.is_eq())))
            .count();
        assert_eq!(found.len(), count);
    }
}

#[test]
fn keys_of_every_type_are_found_by_order_and_by_hash() {
    let mut random = Random::new(21);
    let second = SqlType::Int { unsigned: false };
    for ty in all_types() {
        for shape in [Shape::Few, Shape::Sorted, Shape::Wild] {
            let rows = 3_000;
            let mut table = Table::new(vec![
                (second, column(second, Shape::Few, rows, 0, &mut random)),
                (ty, column(ty, shape, rows, 0, &mut random)),
                (SqlType::VarChar(9), column(SqlType::VarChar(9), Shape::Wild, rows, 20, &mut random)),
            ]);
            table.def.primary_key = vec![ColumnId(2), ColumnId(1)];
            // Another order: by hash.
            table.def.sort_key = vec![ColumnId(3)];
            check(&table, KeySearch::Hashed, &mut random);
            table.def.sort_key = vec![ColumnId(1), ColumnId(2), ColumnId(3)];
            sorted(&mut table);
            check(&table, KeySearch::Sorted, &mut random);
            table.def.sort_key = vec![];
            sorted(&mut table);
            check(&table, KeySearch::Sorted, &mut random);
        }
    }
}

#[test]
fn keys_over_several_blocks() {
    let mut random = Random::new(22);
    let ty = SqlType::BigInt { unsigned: false };
    let rows = 200_000;
    // Each key several times, some runs across a block's end.
    let keys: Vec<Value> = (0..rows).map(|row| Value::Int(row as i64 / 7)).collect();
    let mut table = Table::new(vec![(ty, keys), (ty, column(ty, Shape::Wild, rows, 0, &mut random))]);
    table.def.primary_key = vec![ColumnId(1)];
    let segment = table.segment();
    assert_eq!(segment.footer.key_search, KeySearch::Sorted);
    for key in [0, 65_535 / 7, 65_536 / 7, 131_072 / 7, (rows - 1) as i64 / 7] {
        let found = segment.find_key(&table.def, &[Value::Int(key)]).unwrap();
        let expected: Vec<u32> = (0..rows as u32).filter(|row| i64::from(row / 7) == key).collect();
        assert_eq!(found, expected);
    }
    assert!(segment.find_key(&table.def, &[Value::Int(-1)]).unwrap().is_empty());
    assert!(segment.find_key(&table.def, &[Value::Null]).unwrap().is_empty());
    assert!(segment.find_key(&table.def, &[]).is_err());
    table.def.primary_key = vec![ColumnId(2)];
    table.def.sort_key = vec![ColumnId(1)];
    let segment = table.segment();
    assert_eq!(segment.footer.key_search, KeySearch::Hashed);
    for row in [0, 65_536, rows - 1] {
        let found = segment.find_key(&table.def, &[table.columns[1][row].clone()]).unwrap();
        assert!(found.contains(&(row as u32)));
    }
}

/// The second column of the first block fits 64 bits, and what is looked for does not.
#[test]
fn a_number_beyond_those_of_a_block_is_found_in_a_later_one() {
    let (first, second) = (SqlType::Int { unsigned: false }, SqlType::Decimal { precision: 30, scale: 0 });
    let rows = BLOCK_ROWS + 10;
    let wide = |row: usize| {
        let number = if row < BLOCK_ROWS { row as i128 } else { 10i128.pow(20) + row as i128 };
        Value::Decimal { unscaled: number, scale: 0 }
    };
    let mut table =
        Table::new(vec![(first, vec![Value::Int(1); rows]), (second, (0..rows).map(wide).collect())]);
    table.def.primary_key = vec![ColumnId(1), ColumnId(2)];
    let segment = table.segment();
    assert_eq!(segment.footer.key_search, KeySearch::Sorted);
    for row in [0, BLOCK_ROWS - 1, BLOCK_ROWS, rows - 1] {
        assert_eq!(segment.find_key(&table.def, &[Value::Int(1), wide(row)]).unwrap(), [row as u32]);
    }
    let below = Value::Decimal { unscaled: -(10i128.pow(20)), scale: 0 };
    assert!(segment.find_key(&table.def, &[Value::Int(1), below]).unwrap().is_empty());
}
