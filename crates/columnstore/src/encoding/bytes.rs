//! Blocks of strings:
//!
//! | section | bytes |
//! |---|---|
//! | validity bitmap, if the block has NULLs | rows / 8, padded |
//! | lengths, as in [`super::spans`]; NULL has 0 | |
//! | the bytes | the rest |
//!
//! A block's bytes are fewer than 2^31, so that an Arrow view can point anywhere into them.

use super::bits::{self, Bits};
use super::spans::{self, Spans};
use super::{ALIGN, BLOCK_ROWS, Malformed, VECTOR, bitmap_bytes, pad};
use arrow::array::make_view;
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::ToByteSlice;

/// The strings of an Arrow view array.
#[derive(Clone, Copy)]
pub struct Strings<'a> {
    views: &'a [u128],
    buffers: &'a [Buffer],
    nulls: Option<&'a NullBuffer>,
}

impl<'a> Strings<'a> {
    pub fn new(views: &'a [u128], buffers: &'a [Buffer], nulls: Option<&'a NullBuffer>) -> Strings<'a> {
        Strings { views, buffers, nulls }
    }

    pub fn len(&self) -> usize {
        self.views.len()
    }

    pub fn is_empty(&self) -> bool {
        self.views.is_empty()
    }

    pub fn view(&self, row: usize) -> u128 {
        self.views[row]
    }

    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    /// The bytes of a row, empty if it is NULL.
    #[inline]
    pub fn get(&self, row: usize) -> &'a [u8] {
        if self.is_null(row) { &[] } else { self.of(&self.views[row]) }
    }

    /// The bytes that a view of this array stands for.
    #[inline]
    pub fn of(&self, view: &'a u128) -> &'a [u8] {
        view_bytes(view, self.buffers)
    }
}

/// The bytes that an Arrow view stands for.
#[inline]
pub fn view_bytes<'a>(view: &'a u128, buffers: &'a [Buffer]) -> &'a [u8] {
    let length = *view as u32 as usize;
    if length <= 12 {
        &std::slice::from_ref(view).to_byte_slice()[4..4 + length]
    } else {
        let buffer = (view >> 64) as u32 as usize;
        let offset = (view >> 96) as u32 as usize;
        &buffers[buffer][offset..offset + length]
    }
}

/// Appends a block of `rows` (1 to 65,536) strings, which `get` gives, to `out`, whose length is a
/// multiple of [`ALIGN`]. Returns the width of the lengths, or None if there are too many bytes.
pub fn encode<'a>(
    rows: usize,
    get: impl Fn(usize) -> &'a [u8],
    validity: Option<&[u8]>,
    out: &mut Vec<u8>,
) -> Option<u8> {
    debug_assert!(out.len().is_multiple_of(ALIGN) && rows > 0 && rows <= BLOCK_ROWS);
    let lengths: Vec<u32> = (0..rows).map(|row| get(row).len() as u32).collect();
    if let Some(bitmap) = validity {
        out.extend_from_slice(bitmap);
        pad(out);
    }
    let width = spans::encode(&lengths, out)?;
    out.reserve(lengths.iter().map(|length| *length as usize).sum());
    for row in 0..rows {
        out.extend_from_slice(get(row));
    }
    Some(width)
}

/// A block of strings, loaded and validated.
#[derive(Debug)]
pub struct BytesBlock {
    validity: Option<BooleanBuffer>,
    spans: Spans,
    data: Buffer,
}

impl BytesBlock {
    /// Checks all lengths and, with `text`, that every value is UTF-8.
    pub fn new(
        rows: usize,
        width: u8,
        nulls: bool,
        text: bool,
        block: &Buffer,
    ) -> Result<BytesBlock, Malformed> {
        let bitmap = if nulls { bitmap_bytes(rows.min(BLOCK_ROWS)) } else { 0 };
        let (spans, data_at) = Spans::new(rows, width, bitmap, block)?;
        let block = BytesBlock {
            validity: nulls.then(|| BooleanBuffer::new(block.slice_with_length(0, bitmap), 0, rows)),
            spans,
            data: block.slice(data_at),
        };
        block.check(text).map_err(|what| Malformed::new(bitmap, what))?;
        Ok(block)
    }

    fn check(&self, text: bool) -> Result<(), &'static str> {
        if self.spans.check()? != self.data.len() {
            return Err("string offsets do not span the block");
        }
        if text { check_text(&self.data, &self.spans) } else { Ok(()) }
    }

    /// All the block's bytes: what the offsets point into.
    pub fn data(&self) -> &Buffer {
        &self.data
    }

    pub fn validity(&self) -> Option<&BooleanBuffer> {
        self.validity.as_ref()
    }

    pub fn is_valid(&self, row: usize) -> bool {
        self.validity.as_ref().is_none_or(|bitmap| bitmap.value(row))
    }

    /// The bytes of a row, empty if it is NULL.
    pub fn get(&self, row: usize) -> &[u8] {
        let (from, to) = self.spans.range(row);
        &self.data[from..to]
    }

    /// Keeps of `bits` the rows of a vector that are not NULL and pass the test.
    pub fn filter(&self, vector: usize, test: impl Fn(&[u8]) -> bool, bits: &mut Bits) {
        if let Some(validity) = &self.validity {
            bits::and(bits, &bits::load(validity, vector * VECTOR, VECTOR));
        }
        if bits::is_empty(bits) {
            return;
        }
        let mut offsets = [0; VECTOR + 1];
        self.spans.offsets(vector, &mut offsets);
        bits::retain(bits, |row| test(&self.data[offsets[row] as usize..offsets[row + 1] as usize]));
    }

    /// Appends views of rows `from..from + count` of a vector, into buffer 0 that is [`Self::data`].
    pub fn views(&self, vector: usize, from: usize, count: usize, out: &mut Vec<u128>) {
        let mut offsets = [0; VECTOR + 1];
        self.spans.offsets(vector, &mut offsets);
        let data = self.data.as_slice();
        out.extend(offsets[from..=from + count].windows(2).map(|pair| view(data, pair[0], pair[1])));
    }

    /// Appends where the given rows of a vector stand in [`Self::data`].
    pub fn spans(&self, vector: usize, rows: &[u16], out: &mut Vec<(u32, u32)>) {
        self.spans.each(vector, rows, |from, to| out.push((from, to)));
    }
}

/// Checks that bytes that spans divide are UTF-8, and each value is.
fn check_text(data: &[u8], spans: &Spans) -> Result<(), &'static str> {
    let text = std::str::from_utf8(data).map_err(|_| "text is not UTF-8")?;
    // Only a value that starts within a character can be broken, and ASCII has none.
    if text.is_ascii() {
        return Ok(());
    }
    let mut offsets = [0; VECTOR + 1];
    for vector in 0..spans.vectors() {
        spans.offsets(vector, &mut offsets);
        if !offsets.iter().all(|at| text.is_char_boundary(*at as usize)) {
            return Err("text is cut within a character");
        }
    }
    Ok(())
}

/// An Arrow view of `data[from..to]`, where `data` is buffer 0.
#[inline]
pub fn view(data: &[u8], from: u32, to: u32) -> u128 {
    let (start, length) = (from as usize, (to - from) as usize);
    if let Some(sixteen) = data.get(start..start + 16) {
        // Invariant: the slice has 16 bytes.
        let word = u128::from_le_bytes(sixteen.try_into().expect("sixteen bytes"));
        if length <= 12 {
            // The bytes behind the value's are cut off by the shifts.
            let kept = if length == 0 { 0 } else { word << (128 - 8 * length) >> (128 - 8 * length) };
            return kept << 32 | length as u128;
        }
        return (u128::from(from) << 96) | u128::from(word as u32) << 32 | length as u128;
    }
    make_view(&data[start..start + length], 0, from)
}
