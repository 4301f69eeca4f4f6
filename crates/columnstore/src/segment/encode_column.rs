//! One column of a segment under construction: its blocks, zones, range and sketch.

use super::format::{BlockEntry, Bound, ColumnEntry, DictionaryEntry, Form, SymbolsEntry, Zone};
use super::write::Output;
use crate::StoreError;
use crate::encoding::bytes::Strings;
use crate::encoding::{BLOCK_ROWS, bytes, bytes_hash, dictionary, fixed, fsst, ints, number_hash};
use crate::filter::values;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes as dt;
use types::SqlType;

/// Bytes of a string kept as a zone's bound, and as the bound of a column.
const ZONE_BYTES: usize = 32;
const RANGE_BYTES: usize = 64;

/// Starts and lengths of a column's blocks.
fn blocks(rows: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).step_by(BLOCK_ROWS).map(move |from| (from, (rows - from).min(BLOCK_ROWS)))
}

/// The validity of rows `from..from + count` as a bitmap from bit 0, None if none is NULL, and the
/// number of NULLs.
fn validity(nulls: Option<&NullBuffer>, from: usize, count: usize) -> (Option<Vec<u8>>, usize) {
    let Some(part) = nulls.map(|nulls| nulls.slice(from, count)) else { return (None, 0) };
    match part.null_count() {
        0 => (None, 0),
        missing => (Some(part.inner().sliced().as_slice()[..count.div_ceil(8)].to_vec()), missing),
    }
}

/// Gives NULL rows the value before them, the leading ones the first valid value: no width, no
/// distinct value is added. At least one row is valid.
fn fill_nulls<T: Copy>(values: &mut [T], is_null: impl Fn(usize) -> bool) {
    let Some(first) = (0..values.len()).find(|row| !is_null(*row)) else { return };
    let mut last = values[first];
    for (row, value) in values.iter_mut().enumerate() {
        if is_null(row) {
            *value = last;
        } else {
            last = *value;
        }
    }
}

fn widen_range(entry: &mut ColumnEntry, low: i128, high: i128) {
    entry.range = Some(match entry.range.take() {
        Some((Bound::Number(least), Bound::Number(greatest))) => {
            (Bound::Number(least.min(low)), Bound::Number(greatest.max(high)))
        }
        _ => (Bound::Number(low), Bound::Number(high)),
    });
}

fn null_block(rows: usize) -> BlockEntry {
    BlockEntry { nulls: rows as u32, form: Form::Null, zone: Zone::None }
}

/// Sets its last argument to so many values from a row on.
type ReadNumbers<'a> = &'a mut dyn FnMut(usize, usize, &mut Vec<i64>) -> Result<(), StoreError>;

/// A column of 64-bit integers; `read` sets its argument to `count` values from a row on.
pub(super) fn encode_numbers(
    out: &mut Output,
    entry: &mut ColumnEntry,
    rows: usize,
    nulls: Option<&NullBuffer>,
    read: ReadNumbers<'_>,
) -> Result<(), StoreError> {
    let sketched = entry.ty.is_some();
    let mut values: Vec<i64> = Vec::with_capacity(rows.min(BLOCK_ROWS));
    for (from, count) in blocks(rows) {
        let (bitmap, missing) = validity(nulls, from, count);
        if missing == count {
            entry.blocks.push(null_block(count));
            continue;
        }
        read(from, count, &mut values)?;
        if let (Some(nulls), true) = (nulls, missing > 0) {
            fill_nulls(&mut values, |row| nulls.is_null(from + row));
        }
        if sketched {
            for value in &values {
                entry.sketch.insert(number_hash(*value as u64));
            }
        }
        let bounds = ints::bounds(&values);
        let (place, shape) = out.block(|to| ints::encode(&values, &bounds, bitmap.as_deref(), to))?;
        let (low, high) = (bounds.min.into(), bounds.max.into());
        widen_range(entry, low, high);
        entry.blocks.push(BlockEntry {
            nulls: missing as u32,
            form: Form::Ints { place, shape },
            zone: Zone::Numbers(low, high),
        });
    }
    Ok(())
}

/// A column of 128-bit integers: blocks whose values all fit 64 bits are packed as such.
pub(super) fn encode_wide(
    out: &mut Output,
    entry: &mut ColumnEntry,
    array: &ArrayRef,
) -> Result<(), StoreError> {
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    let all = values::wide_numbers(array);
    let mut values: Vec<i128> = Vec::new();
    for (from, count) in blocks(array.len()) {
        let (bitmap, missing) = validity(nulls, from, count);
        if missing == count {
            entry.blocks.push(null_block(count));
            continue;
        }
        values.clear();
        values.extend_from_slice(&all[from..from + count]);
        if let Some(nulls) = nulls {
            fill_nulls(&mut values, |row| nulls.is_null(from + row));
        }
        let (mut low, mut high) = (i128::MAX, i128::MIN);
        for value in &values {
            (low, high) = (low.min(*value), high.max(*value));
            entry.sketch.insert(number_hash(*value as u64 ^ number_hash((*value >> 64) as u64)));
        }
        let form = if low >= i64::MIN.into() && high <= i64::MAX.into() {
            let narrow: Vec<i64> = values.iter().map(|v| *v as i64).collect();
            let bounds = ints::bounds(&narrow);
            let (place, shape) = out.block(|to| ints::encode(&narrow, &bounds, bitmap.as_deref(), to))?;
            Form::Ints { place, shape }
        } else if low == high && missing == 0 {
            Form::FixedConstant { bits: low }
        } else {
            let (place, ()) = out.block(|to| fixed::encode(&values, bitmap.as_deref(), to))?;
            Form::Fixed { place }
        };
        widen_range(entry, low, high);
        entry.blocks.push(BlockEntry { nulls: missing as u32, form, zone: Zone::Numbers(low, high) });
    }
    Ok(())
}

/// A column of floats, as they are.
pub(super) fn fixed_column(
    out: &mut Output,
    entry: &mut ColumnEntry,
    array: &ArrayRef,
    ty: SqlType,
) -> Result<(), StoreError> {
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    let mut keys: Vec<i64> = Vec::new();
    for (from, count) in blocks(array.len()) {
        let (bitmap, missing) = validity(nulls, from, count);
        if missing == count {
            entry.blocks.push(null_block(count));
            continue;
        }
        values::numbers(array, ty, from, count, &mut keys)?;
        let is_null = |row: usize| nulls.is_some_and(|nulls| nulls.is_null(from + row));
        if missing > 0 {
            fill_nulls(&mut keys, is_null);
        }
        let (mut low, mut high) = (i64::MAX, i64::MIN);
        for key in &keys {
            (low, high) = (low.min(*key), high.max(*key));
            entry.sketch.insert(number_hash(*key as u64));
        }
        macro_rules! form {
            ($ty:ty) => {{
                let mut values = array.as_primitive::<$ty>().values()[from..from + count].to_vec();
                let bits = values[0].to_bits();
                // 0.0 and -0.0 have one key, but two forms.
                if missing == 0 && low == high && values.iter().all(|v| v.to_bits() == bits) {
                    Form::FixedConstant { bits: i128::from(bits) }
                } else {
                    if missing > 0 {
                        fill_nulls(&mut values, is_null);
                    }
                    Form::Fixed { place: out.block(|to| fixed::encode(&values, bitmap.as_deref(), to))?.0 }
                }
            }};
        }
        let form = if ty == SqlType::Float { form!(dt::Float32Type) } else { form!(dt::Float64Type) };
        let (low, high) = (low.into(), high.into());
        widen_range(entry, low, high);
        entry.blocks.push(BlockEntry { nulls: missing as u32, form, zone: Zone::Numbers(low, high) });
    }
    Ok(())
}

pub(super) fn encode_strings(
    out: &mut Output,
    entry: &mut ColumnEntry,
    array: &ArrayRef,
    ty: SqlType,
) -> Result<(), StoreError> {
    let strings = values::strings(array);
    match dictionary::build(&strings) {
        Some(encoded) if !encoded.entries.is_empty() => coded_strings(out, entry, array, ty, encoded),
        _ => single_strings(out, entry, array, ty, &strings),
    }
}

fn coded_strings(
    out: &mut Output,
    entry: &mut ColumnEntry,
    array: &ArrayRef,
    ty: SqlType,
    encoded: dictionary::Encoded<'_>,
) -> Result<(), StoreError> {
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    let entries = &encoded.entries;
    for text in entries {
        entry.sketch.insert(bytes_hash(text));
    }
    let (place, ()) = out.block(|to| dictionary::encode(entries, to))?;
    entry.dictionary = Some(DictionaryEntry { place, entries: entries.len() as u32 });
    entry.range = Some((range_bound(entries[0], ty), range_bound(entries[entries.len() - 1], ty)));
    let mut codes: Vec<i64> = Vec::with_capacity(array.len().min(BLOCK_ROWS));
    for (from, count) in blocks(array.len()) {
        let (bitmap, missing) = validity(nulls, from, count);
        if missing == count {
            entry.blocks.push(null_block(count));
            continue;
        }
        codes.clear();
        codes.extend(encoded.codes[from..from + count].iter().map(|code| i64::from(*code)));
        if let (Some(nulls), true) = (nulls, missing > 0) {
            fill_nulls(&mut codes, |row| nulls.is_null(from + row));
        }
        let bounds = ints::bounds(&codes);
        let (place, shape) = out.block(|to| ints::encode(&codes, &bounds, bitmap.as_deref(), to))?;
        // Invariant: codes are those of entries.
        let zone = zone(entries[bounds.min as usize], entries[bounds.max as usize]);
        entry.blocks.push(BlockEntry { nulls: missing as u32, form: Form::Ints { place, shape }, zone });
    }
    Ok(())
}

/// Strings one by one: in codes of a symbol table if that is shorter, else as they are.
fn single_strings(
    out: &mut Output,
    entry: &mut ColumnEntry,
    array: &ArrayRef,
    ty: SqlType,
    strings: &Strings<'_>,
) -> Result<(), StoreError> {
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    let string_bytes: usize = (0..strings.len()).map(|row| strings.get(row).len()).sum();
    let encoder = match fsst::train(strings, string_bytes) {
        Some(symbols) => {
            let (place, ()) = out.block(|to| fsst::encode_table(&symbols, to))?;
            let string_bytes = string_bytes as u64;
            entry.symbols = Some(SymbolsEntry { place, symbols: symbols.len() as u32, string_bytes });
            Some(fsst::Encoder::new(&symbols))
        }
        None => None,
    };
    let mut range: Option<(&[u8], &[u8])> = None;
    for (from, count) in blocks(array.len()) {
        let (bitmap, missing) = validity(nulls, from, count);
        if missing == count {
            entry.blocks.push(null_block(count));
            continue;
        }
        let mut bounds: Option<(&[u8], &[u8])> = None;
        for row in from..from + count {
            if strings.is_null(row) {
                continue;
            }
            let text = strings.get(row);
            entry.sketch.insert(bytes_hash(text));
            bounds = Some(match bounds {
                Some((low, high)) if text < low => (text, high),
                Some((low, high)) if text > high => (low, text),
                Some(both) => both,
                None => (text, text),
            });
        }
        let get = |row: usize| strings.get(from + row);
        let (place, width) = out.block(|to| match &encoder {
            Some(encoder) => fsst::block::encode(encoder, count, get, bitmap.as_deref(), to),
            None => bytes::encode(count, get, bitmap.as_deref(), to),
        })?;
        let Some(width) = width else {
            return Err(StoreError::internal(
                "65,536 rows of a column have 2 GiB of strings or more; write fewer rows at a time",
            ));
        };
        let zone = match bounds {
            Some((low, high)) => {
                range = Some(match range {
                    Some((least, greatest)) => (least.min(low), greatest.max(high)),
                    None => (low, high),
                });
                zone(low, high)
            }
            None => Zone::None,
        };
        let form = match encoder {
            Some(_) => Form::Fsst { place, width },
            None => Form::Strings { place, width },
        };
        entry.blocks.push(BlockEntry { nulls: missing as u32, form, zone });
    }
    entry.range = range.map(|(low, high)| (range_bound(low, ty), range_bound(high, ty)));
    Ok(())
}

/// Bounds of strings between `low` and `high`: cut, the upper one then raised so that it stays one.
fn zone(low: &[u8], high: &[u8]) -> Zone {
    let upper = if high.len() <= ZONE_BYTES {
        Some(high.to_vec())
    } else {
        let mut cut = high[..ZONE_BYTES].to_vec();
        loop {
            match cut.pop() {
                Some(0xff) => {}
                Some(byte) => {
                    cut.push(byte + 1);
                    break Some(cut);
                }
                None => break None,
            }
        }
    };
    Zone::Strings(low[..low.len().min(ZONE_BYTES)].into(), upper.map(Vec::into_boxed_slice))
}

fn range_bound(value: &[u8], ty: SqlType) -> Bound {
    let mut length = value.len().min(RANGE_BYTES);
    if ty.is_string() {
        // Not within a character.
        while length < value.len() && length > 0 && value[length] & 0xc0 == 0x80 {
            length -= 1;
        }
    }
    Bound::String(value[..length].to_vec())
}
