//! Blocks of strings:
//!
//! | section | bytes |
//! |---|---|
//! | validity bitmap, if the block has NULLs | rows / 8, padded |
//! | where each vector's bytes start, and the end of the last, u32 | 4 * (vectors + 1), padded |
//! | lengths, packed as in [`super::ints`], NULL has 0 | 128 * width a vector |
//! | the bytes | the rest |
//!
//! A block's bytes are fewer than 2^31, so that an Arrow view can point anywhere into them.

use super::bits::{self, Bits};
use super::lanes::{self, Lane, LaneInt, with_lane};
use super::{ALIGN, BLOCK_ROWS, Malformed, VECTOR, aligned, bitmap_bytes, ints, pad};
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
    let vectors = rows.div_ceil(VECTOR);
    let mut lengths = Vec::with_capacity(rows);
    let mut longest = 0;
    let mut total = 0u64;
    for row in 0..rows {
        let length = get(row).len();
        longest = longest.max(length);
        total += length as u64;
        lengths.push(length as u32);
    }
    if total >= 1 << 31 {
        return None;
    }
    let width = lanes::width_of(longest as u64);
    if let Some(bitmap) = validity {
        out.extend_from_slice(bitmap);
        pad(out);
    }
    let mut start = 0u32;
    for vector in lengths.chunks(VECTOR) {
        out.extend_from_slice(&start.to_le_bytes());
        start += vector.iter().sum::<u32>();
    }
    out.extend_from_slice(&start.to_le_bytes());
    pad(out);
    with_lane!(Lane::of_width(width), L => {
        let mut values = [0 as L; VECTOR];
        let mut packed = vec![0 as L; lanes::vector_bytes(width) / size_of::<L>()];
        for vector in lengths.chunks(VECTOR) {
            for (to, length) in values.iter_mut().zip(vector) {
                *to = L::truncate(u64::from(*length));
            }
            values[vector.len()..].fill(0);
            lanes::pack(width, &values, &mut packed);
            ints::append(&packed, out);
        }
    });
    debug_assert!(out.len().is_multiple_of(ALIGN) && vectors > 0);
    out.reserve(total as usize);
    for row in 0..rows {
        out.extend_from_slice(get(row));
    }
    Some(width)
}

/// A block of strings, loaded and validated.
#[derive(Debug)]
pub struct BytesBlock {
    width: u8,
    lane: Lane,
    validity: Option<BooleanBuffer>,
    starts: Buffer,
    lengths: Buffer,
    data: Buffer,
}

/// Where the values of a vector start in the block's bytes, and the end of the last.
pub type Offsets = [u32; VECTOR + 1];

impl BytesBlock {
    /// Checks all lengths and, with `text`, that every value is UTF-8.
    pub fn new(
        rows: usize,
        width: u8,
        nulls: bool,
        text: bool,
        block: &Buffer,
    ) -> Result<BytesBlock, Malformed> {
        if rows == 0 || rows > BLOCK_ROWS {
            return Err(Malformed::new(0, "number of rows out of range"));
        }
        if width > 32 {
            return Err(Malformed::new(0, "bit width of lengths above 32"));
        }
        let vectors = rows.div_ceil(VECTOR);
        let bitmap = if nulls { bitmap_bytes(rows) } else { 0 };
        let lengths_at = bitmap + aligned((vectors + 1) * 4);
        let data_at = lengths_at + vectors * lanes::vector_bytes(width);
        if block.len() < data_at || block.len() - data_at >= 1 << 31 {
            return Err(Malformed::new(block.len(), "length of a block of strings"));
        }
        let block = BytesBlock {
            width,
            lane: Lane::of_width(width),
            validity: nulls.then(|| BooleanBuffer::new(block.slice_with_length(0, bitmap), 0, rows)),
            starts: block.slice_with_length(bitmap, (vectors + 1) * 4),
            lengths: block.slice_with_length(lengths_at, data_at - lengths_at),
            data: block.slice(data_at),
        };
        block.check(vectors, text).map_err(|what| Malformed::new(bitmap, what))?;
        Ok(block)
    }

    fn check(&self, vectors: usize, text: bool) -> Result<(), &'static str> {
        let starts = self.starts.typed_data::<u32>();
        if starts[0] != 0 || starts[vectors] as usize != self.data.len() {
            return Err("string offsets do not span the block");
        }
        let text =
            if text { Some(std::str::from_utf8(&self.data).map_err(|_| "text is not UTF-8")?) } else { None };
        // Only a value that starts within a character can be broken, and ASCII has none.
        let boundaries = text.filter(|text| !text.is_ascii());
        let mut offsets = [0; VECTOR + 1];
        for vector in 0..vectors {
            let total = self.sum(vector);
            if u64::from(starts[vector]) + total != u64::from(starts[vector + 1]) {
                return Err("string lengths do not fit their offsets");
            }
            if let Some(text) = boundaries {
                self.offsets(vector, &mut offsets);
                if !offsets.iter().all(|at| text.is_char_boundary(*at as usize)) {
                    return Err("text is cut within a character");
                }
            }
        }
        Ok(())
    }

    fn packed<L: LaneInt>(&self, vector: usize) -> &[L] {
        let words = lanes::vector_bytes(self.width) / size_of::<L>();
        &self.lengths.typed_data::<L>()[vector * words..][..words]
    }

    // The lane may be u64 itself.
    #[allow(clippy::useless_conversion)]
    fn sum(&self, vector: usize) -> u64 {
        with_lane!(self.lane, L => {
            let mut lengths = [0 as L; VECTOR];
            lanes::unpack(self.width, self.packed::<L>(vector), &mut lengths);
            lengths.iter().map(|&length| -> u64 { length.into() }).sum()
        })
    }

    // The lane may be u32 itself.
    #[allow(clippy::unnecessary_cast)]
    pub fn offsets(&self, vector: usize, out: &mut Offsets) {
        let mut at = self.starts.typed_data::<u32>()[vector];
        with_lane!(self.lane, L => {
            let mut lengths = [0 as L; VECTOR];
            lanes::unpack(self.width, self.packed::<L>(vector), &mut lengths);
            for (to, length) in out.iter_mut().zip(&lengths) {
                *to = at;
                at = at.wrapping_add(*length as u32);
            }
        });
        out[VECTOR] = at;
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

    /// Where a row's bytes stand.
    pub fn range(&self, row: usize) -> (usize, usize) {
        let (vector, index) = (row / VECTOR, row % VECTOR);
        let start = self.starts.typed_data::<u32>()[vector] as usize;
        with_lane!(self.lane, L => {
            let mut lengths = [0 as L; VECTOR];
            lanes::unpack(self.width, self.packed::<L>(vector), &mut lengths);
            let before: usize = lengths[..index].iter().map(|&length| length as usize).sum();
            let from = start + before;
            (from, from + lengths[index] as usize)
        })
    }

    /// The bytes of a row, empty if it is NULL.
    pub fn get(&self, row: usize) -> &[u8] {
        let (from, to) = self.range(row);
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
        self.offsets(vector, &mut offsets);
        bits::retain(bits, |row| test(&self.data[offsets[row] as usize..offsets[row + 1] as usize]));
    }

    /// Appends views of rows `from..from + count` of a vector, into buffer 0 that is [`Self::data`].
    pub fn views(&self, vector: usize, from: usize, count: usize, out: &mut Vec<u128>) {
        let mut offsets = [0; VECTOR + 1];
        self.offsets(vector, &mut offsets);
        let data = self.data.as_slice();
        out.extend(offsets[from..=from + count].windows(2).map(|pair| view(data, pair[0], pair[1])));
    }

    /// Appends where the given rows of a vector stand in [`Self::data`].
    pub fn spans(&self, vector: usize, rows: &[u16], out: &mut Vec<(u32, u32)>) {
        if let [row] = rows {
            let (from, to) = self.range(vector * VECTOR + usize::from(*row));
            out.push((from as u32, to as u32));
            return;
        }
        let mut offsets = [0; VECTOR + 1];
        self.offsets(vector, &mut offsets);
        out.extend(rows.iter().map(|&row| (offsets[usize::from(row)], offsets[usize::from(row) + 1])));
    }
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
