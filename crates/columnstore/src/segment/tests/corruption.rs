//! Files with changed bytes: an error or the right rows, never a panic.

use super::model::*;
use crate::keys::KeyUse;
use crate::segment::format::{Footer, TRAILER_BYTES, Trailer, VERSION};
use crate::segment::{BeginTimestamps, Segment, SegmentMeta};
use crate::{BufferPool, Compare, Predicate, ScanSpec, StoreError};
use env::{MemoryBudget, RealDisk};
use std::path::Path;
use types::{ColumnId, KeyDef, SqlType, Timestamp, Value};

fn table() -> Table {
    let mut random = Random::new(31);
    let rows = 3_000;
    let types = [
        (SqlType::Int { unsigned: false }, Shape::Sorted, 0),
        (SqlType::Decimal { precision: 15, scale: 2 }, Shape::Steps, 10),
        (SqlType::Decimal { precision: 38, scale: 4 }, Shape::Wild, 0),
        (SqlType::Double, Shape::Wild, 10),
        (SqlType::VarChar(40), Shape::Few, 10),
        (SqlType::VarChar(40), Shape::Wild, 10),
        (SqlType::VarBinary(40), Shape::Wild, 0),
    ];
    let columns = types
        .into_iter()
        .map(|(ty, shape, nulls)| (ty, column(ty, shape, rows, nulls, &mut random)))
        .collect();
    let mut table = Table::new(columns);
    table.def.primary_key = vec![ColumnId(2)];
    table.def.sort_key = vec![ColumnId(1)];
    for columns in [vec![ColumnId(5), ColumnId(3)], vec![ColumnId(6)]] {
        table.def.keys.push(KeyDef { name: "k".into(), columns, unique: false });
    }
    table
}

fn timestamps(rows: usize) -> Vec<Timestamp> {
    (0..rows).map(|row| Timestamp(1_000 + row as u64 % 10)).collect()
}

/// Reads all of the segment in every way.
fn read_all(table: &Table, path: &Path, meta: SegmentMeta) -> Result<Vec<Vec<Value>>, StoreError> {
    let pool = BufferPool::new(MemoryBudget::new(1 << 26), 1 << 25);
    let segment = Segment::open(&RealDisk, path, meta, pool)?;
    let mut columns = vec![Vec::new(); table.def.columns.len()];
    let spec = ScanSpec { columns: table.ids(), predicates: vec![], row_refs: false };
    for block in 0..segment.blocks() {
        segment.scan_block(block, &table.def, &spec, None, &mut |batch| {
            for ((to, array), column) in columns.iter_mut().zip(batch.columns()).zip(&table.def.columns) {
                array.to_data().validate_full().expect("a batch is always sound");
                to.extend(values(column.ty, array));
            }
            Ok(true)
        })?;
        let mut stamps = Vec::new();
        segment.begin_timestamps(block, &mut stamps)?;
        for column in &table.def.columns {
            let value = table.value(column.id, 1).clone();
            let predicates = vec![
                Predicate::Compare { column: column.id, op: crate::Compare::LessEq, value },
                Predicate::Or(vec![
                    vec![Predicate::IsNull(column.id)],
                    vec![Predicate::IsNotNull(ColumnId(1))],
                ]),
            ];
            segment.may_match(block, &predicates);
            let spec = ScanSpec { columns: table.ids(), predicates, row_refs: true };
            segment.scan_block(block, &table.def, &spec, None, &mut |_| Ok(true))?;
        }
    }
    segment.gather(&table.def, &[0, 2_999, 1_500], &table.ids())?;
    segment.find_key(&table.def, &[table.value(ColumnId(2), 5).clone()])?;
    for key in &table.def.keys {
        for row in (0..table.rows()).step_by(500) {
            let value = table.value(key.columns[0], row).clone();
            let equal = Predicate::Compare { column: key.columns[0], op: Compare::Eq, value };
            if let Some(used) = KeyUse::of(&table.def, &[equal]) {
                segment.rows_by_key(&table.def, used.columns, &used.ranges, usize::MAX)?;
            }
        }
    }
    Ok(columns)
}

fn is_right(table: &Table, read: &[Vec<Value>]) -> bool {
    read.iter()
        .zip(&table.columns)
        .all(|(a, b)| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| identical(a, b)))
}

#[test]
fn changed_bytes_are_found() {
    let table = table();
    let meta = table.write(BeginTimestamps::Each(&timestamps(table.rows())));
    let path = table.folder.path().join("segment");
    let good = std::fs::read(&path).unwrap();
    assert!(is_right(&table, &read_all(&table, &path, meta.clone()).unwrap()));
    let mut random = Random::new(32);
    let mut found = 0;
    for _ in 0..400 {
        let mut bytes = good.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
        }
        std::fs::write(&path, &bytes).unwrap();
        match read_all(&table, &path, meta.clone()) {
            Err(StoreError::Corrupt { file, .. }) => {
                assert_eq!(file, path);
                found += 1;
            }
            Err(other) => panic!("{other}"),
            // Bytes between the blocks.
            Ok(read) => assert!(is_right(&table, &read)),
        }
    }
    assert!(found > 300, "{found}");
    // Cut off, and of another segment.
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    assert!(matches!(read_all(&table, &path, meta.clone()), Err(StoreError::Corrupt { .. })));
    std::fs::write(&path, b"").unwrap();
    assert!(read_all(&table, &path, SegmentMeta { bytes: 0, ..meta.clone() }).is_err());
    std::fs::write(&path, &good).unwrap();
    for wrong in [
        SegmentMeta { id: 8, ..meta.clone() },
        SegmentMeta { rows: 5, ..meta.clone() },
        SegmentMeta { checksum: 1, ..meta.clone() },
    ] {
        assert!(matches!(read_all(&table, &path, wrong), Err(StoreError::Corrupt { .. })));
    }
}

#[test]
fn a_version_that_is_not_known_is_refused_by_its_number() {
    let table = table();
    let meta = table.write(BeginTimestamps::AtCommit);
    let path = table.folder.path().join("segment");
    let good = std::fs::read(&path).unwrap();
    let version_in_trailer = good.len() - TRAILER_BYTES + 20;
    for at in [8, version_in_trailer] {
        for version in [0, VERSION + 1, u32::MAX] {
            let mut bytes = good.clone();
            bytes[at..at + 4].copy_from_slice(&version.to_le_bytes());
            std::fs::write(&path, &bytes).unwrap();
            let error = read_all(&table, &path, meta.clone()).unwrap_err().to_string();
            assert!(error.contains(&format!("segment version {version} is not known")), "{error}");
        }
    }
}

/// The checksums made right again, so that the decoders themselves meet the wrong bytes.
#[test]
fn decoders_bear_any_bytes() {
    let table = table();
    let meta = table.write(BeginTimestamps::Each(&timestamps(table.rows())));
    let path = table.folder.path().join("segment");
    let good = std::fs::read(&path).unwrap();
    let trailer_at = good.len() - TRAILER_BYTES;
    let trailer = Trailer::decode(good[trailer_at..].try_into().unwrap()).unwrap();
    let footer_at = trailer.footer_offset as usize;
    let footer = Footer::decode(&good[footer_at..trailer_at], trailer.footer_offset, VERSION).unwrap();
    let mut random = Random::new(33);
    let mut refused = 0;
    for round in 0..1_500 {
        let mut bytes = good[..footer_at].to_vec();
        let mut footer_bytes = if round % 2 == 0 {
            // Blocks.
            for _ in 0..=random.below(6) {
                let at = 64 + random.below(footer_at as u64 - 64) as usize;
                bytes[at] = random.next() as u8;
            }
            let mut footer = footer.clone();
            for column in &mut footer.columns {
                let dictionary = column.dictionary.iter_mut().map(|d| &mut d.place);
                let symbols = column.symbols.iter_mut().map(|s| &mut s.place);
                let blocks = column.blocks.iter_mut().filter_map(|b| match &mut b.form {
                    crate::segment::format::Form::Ints { place, .. }
                    | crate::segment::format::Form::Fixed { place }
                    | crate::segment::format::Form::Strings { place, .. }
                    | crate::segment::format::Form::Fsst { place, .. } => Some(place),
                    _ => None,
                });
                for place in dictionary.chain(symbols).chain(blocks) {
                    let block = &bytes[place.offset as usize..(place.offset + place.length) as usize];
                    place.crc = crc32fast::hash(block);
                }
            }
            footer.encode()
        } else {
            let mut footer_bytes = good[footer_at..trailer_at].to_vec();
            for _ in 0..=random.below(4) {
                let at = random.below(footer_bytes.len() as u64) as usize;
                footer_bytes[at] = random.next() as u8;
            }
            footer_bytes
        };
        let trailer = Trailer {
            footer_offset: footer_at as u64,
            footer_length: footer_bytes.len() as u32,
            footer_crc: crc32fast::hash(&footer_bytes),
            id: 7,
            version: VERSION,
        };
        bytes.append(&mut footer_bytes);
        bytes.extend_from_slice(&trailer.encode());
        std::fs::write(&path, &bytes).unwrap();
        let meta = SegmentMeta { bytes: bytes.len() as u64, checksum: trailer.footer_crc, ..meta.clone() };
        refused += u32::from(read_all(&table, &path, meta).is_err());
    }
    assert!(refused > 300, "{refused}");
}
