//! Strings and binary values.
//!
//! ```text
//! strings := 0, lengths as numbers, size u32, bytes one after the other
//!          | 1, strings (of another kind) that are all different, which of them each is: u8
//! ```
//!
//! The second form is for views alone: names of nations, brands, states. It takes one look into a small table for
//! each row to see whether there are few. What is read as views points into the message.

use super::cursor::Cursor;
use super::{Result, damaged, numbers, read_offsets, write_count, write_offsets};
use arrow::array::{
    ArrayRef, BinaryViewArray, GenericByteArray, GenericByteViewArray, StringViewArray, make_view,
};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{ByteArrayType, ByteViewType};
use std::sync::Arc;

const LISTED: u8 = 0;
const CODED: u8 = 1;
/// Fewer rows are not worth a table.
const FEWEST_CODED: usize = 32;
/// Bytes that stand in a view itself.
const INLINE: usize = 12;

pub(super) fn write_views<T: ByteViewType>(
    column: &GenericByteViewArray<T>,
    nulls: Option<&NullBuffer>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let values = Values { views: column.views(), buffers: column.data_buffers(), nulls };
    match coded(&values) {
        Some((distinct, codes)) => {
            out.push(CODED);
            out.push(distinct.len() as u8);
            let values = Values { views: &distinct, nulls: None, ..values };
            values.write_listed(out)?;
            out.extend_from_slice(&codes);
            Ok(())
        }
        None => {
            out.push(LISTED);
            values.write_listed(out)
        }
    }
}

struct Values<'a> {
    views: &'a [u128],
    buffers: &'a [Buffer],
    nulls: Option<&'a NullBuffer>,
}

impl<'a> Values<'a> {
    /// The bytes of a view that is too long to have them itself.
    fn long(&self, view: u128) -> &'a [u8] {
        let (buffer, from) = ((view >> 64) as u32 as usize, (view >> 96) as usize);
        &self.buffers[buffer].as_slice()[from..from + view as u32 as usize]
    }

    /// Whether they are the same string.
    fn same(&self, a: u128, b: u128) -> bool {
        // The lower half is the length and the first bytes.
        a == b || a as u64 == b as u64 && a as u32 as usize > INLINE && self.long(a) == self.long(b)
    }

    /// The same number for the same strings.
    fn hash(&self, view: u128) -> u64 {
        let rest = match view as u32 as usize > INLINE {
            false => (view >> 64) as u64,
            true => self.long(view).last_chunk().map_or(0, |last| u64::from_le_bytes(*last)),
        };
        ((view as u64).rotate_left(29) ^ rest).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn len(&self, at: usize) -> usize {
        if self.nulls.is_some_and(|nulls| nulls.is_null(at)) { 0 } else { self.views[at] as u32 as usize }
    }

    fn write_listed(&self, out: &mut Vec<u8>) -> Result<()> {
        let lengths: Vec<u32> = (0..self.views.len()).map(|at| self.len(at) as u32).collect();
        numbers::write(&lengths, out);
        let size = lengths.iter().map(|length| *length as usize).sum();
        write_count(size, out)?;
        out.reserve(size);
        for (view, length) in self.views.iter().zip(lengths) {
            let length = length as usize;
            if length <= INLINE {
                out.extend_from_slice(&view.to_le_bytes()[4..4 + length]);
            } else {
                out.extend_from_slice(self.long(*view));
            }
        }
        Ok(())
    }
}

/// The strings that are different, and which of them each row has, if they are few.
fn coded(values: &Values<'_>) -> Option<(Vec<u128>, Vec<u8>)> {
    const SLOTS: usize = 1024;
    if values.views.len() < FEWEST_CODED {
        return None;
    }
    let mut distinct: Vec<u128> = Vec::new();
    let mut codes = Vec::with_capacity(values.views.len());
    // A hash table of at most 255 entries, each its code and one.
    let mut table = [0u8; SLOTS];
    for (at, view) in values.views.iter().enumerate() {
        if values.nulls.is_some_and(|nulls| nulls.is_null(at)) {
            codes.push(0);
            continue;
        }
        let mut slot = (values.hash(*view) >> 54) as usize;
        let code = loop {
            match table[slot] {
                0 => {
                    if distinct.len() == 255 || distinct.len() > FEWEST_CODED / 2 + at / 4 {
                        return None;
                    }
                    distinct.push(*view);
                    table[slot] = distinct.len() as u8;
                    break distinct.len() - 1;
                }
                code if values.same(distinct[usize::from(code) - 1], *view) => break usize::from(code) - 1,
                _ => slot = (slot + 1) % SLOTS,
            }
        };
        codes.push(code as u8);
    }
    Some((distinct, codes))
}

pub(super) fn read_text_views(
    rows: usize,
    nulls: Option<NullBuffer>,
    cursor: &mut Cursor,
) -> Result<ArrayRef> {
    let (views, codes) = read_views(rows, cursor)?;
    let Some(codes) = codes else {
        return Ok(Arc::new(StringViewArray::try_new(views.0.into(), views.1, nulls)?));
    };
    let distinct = StringViewArray::try_new(views.0.into(), views.1, None)?;
    let views = spread(distinct.views(), &codes)?;
    // SAFETY: each view is one of `distinct`, whose views were checked against the same buffers.
    Ok(Arc::new(unsafe { StringViewArray::new_unchecked(views, distinct.data_buffers().to_vec(), nulls) }))
}

pub(super) fn read_binary_views(
    rows: usize,
    nulls: Option<NullBuffer>,
    cursor: &mut Cursor,
) -> Result<ArrayRef> {
    let ((views, buffers), codes) = read_views(rows, cursor)?;
    let views = match codes {
        None => views.into(),
        Some(codes) => spread(&views, &codes)?,
    };
    Ok(Arc::new(BinaryViewArray::try_new(views, buffers, nulls)?))
}

type Views = (Vec<u128>, Vec<Buffer>);

/// The views, and which of them each row has if they are not the rows' own.
fn read_views(rows: usize, cursor: &mut Cursor) -> Result<(Views, Option<bytes::Bytes>)> {
    match cursor.u8()? {
        LISTED => Ok((read_listed(rows, cursor)?, None)),
        CODED => {
            let distinct = usize::from(cursor.u8()?);
            let views = read_listed(distinct, cursor)?;
            cursor.room(rows.saturating_mul(size_of::<u128>()))?;
            Ok((views, Some(cursor.take(rows)?)))
        }
        _ => Err(damaged("strings of no form")),
    }
}

fn spread(distinct: &[u128], codes: &[u8]) -> Result<ScalarBuffer<u128>> {
    // A column of NULLs alone has no values.
    let mut table = [0; 256];
    table[..distinct.len()].copy_from_slice(distinct);
    let greatest = codes.iter().copied().max().map_or(0, usize::from);
    if greatest >= distinct.len().max(1) {
        return Err(damaged("a string that is not there"));
    }
    Ok(codes.iter().map(|code| table[usize::from(*code)]).collect())
}

fn read_listed(rows: usize, cursor: &mut Cursor) -> Result<Views> {
    let lengths = numbers::read::<u32>(rows, cursor)?;
    let size = cursor.count()?;
    let bytes = cursor.take(size)?;
    cursor.room(rows.saturating_mul(size_of::<u128>()))?;
    let mut views = Vec::with_capacity(rows);
    let (mut at, mut long) = (0usize, false);
    for length in lengths {
        let length = length as usize;
        let value = bytes.get(at..at.saturating_add(length));
        let value = value.ok_or_else(|| damaged("strings are longer than their bytes"))?;
        views.push(make_view(value, 0, at as u32));
        at += length;
        long |= length > INLINE;
    }
    let buffers = if long { vec![Buffer::from(bytes)] } else { Vec::new() };
    Ok((views, buffers))
}

pub(super) fn write<T: ByteArrayType>(column: &GenericByteArray<T>, out: &mut Vec<u8>) -> Result<()> {
    let values = write_offsets(column.offsets(), out);
    write_count(values.len(), out)?;
    out.extend_from_slice(&column.value_data()[values]);
    Ok(())
}

pub(super) fn read<T: ByteArrayType>(
    rows: usize,
    nulls: Option<NullBuffer>,
    cursor: &mut Cursor,
) -> Result<ArrayRef> {
    let (offsets, end) = read_offsets::<T::Offset>(rows, cursor)?;
    let size = cursor.count()?;
    if size != end {
        return Err(damaged("strings are longer than their bytes"));
    }
    let bytes = Buffer::from(cursor.take(size)?);
    Ok(Arc::new(GenericByteArray::<T>::try_new(offsets, bytes, nulls)?))
}
