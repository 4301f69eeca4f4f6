//! Where each value of a block of variable-length values lies among the units (bytes, codes) that follow:
//!
//! | section | bytes |
//! |---|---|
//! | where each vector's units start, and the end of the last, u32 | 4 * (vectors + 1), padded |
//! | lengths, packed as in [`super::ints`] | 128 * width a vector |
//!
//! A block has fewer than 2^31 units.

use super::lanes::{self, Lane, LaneInt, with_lane};
use super::{ALIGN, BLOCK_ROWS, Malformed, VECTOR, aligned, ints, pad};
use arrow::buffer::Buffer;

/// Where the values of a vector start among the block's units, and the end of the last.
pub type Offsets = [u32; VECTOR + 1];

/// Appends the sections for values of these lengths to `out`, whose length is a multiple of [`ALIGN`].
/// Returns the width of the lengths, or None if there are too many units.
pub fn encode(lengths: &[u32], out: &mut Vec<u8>) -> Option<u8> {
    debug_assert!(out.len().is_multiple_of(ALIGN) && !lengths.is_empty() && lengths.len() <= BLOCK_ROWS);
    if lengths.iter().map(|length| u64::from(*length)).sum::<u64>() >= 1 << 31 {
        return None;
    }
    let width = lanes::width_of(lengths.iter().copied().max().unwrap_or(0).into());
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
    Some(width)
}

/// The sections, loaded.
#[derive(Debug)]
pub struct Spans {
    width: u8,
    lane: Lane,
    starts: Buffer,
    lengths: Buffer,
}

impl Spans {
    /// The sections that begin at `at`, a multiple of [`ALIGN`], of a block; and where they end.
    pub fn new(rows: usize, width: u8, at: usize, block: &Buffer) -> Result<(Spans, usize), Malformed> {
        if rows == 0 || rows > BLOCK_ROWS {
            return Err(Malformed::new(0, "number of rows out of range"));
        }
        if width > 32 {
            return Err(Malformed::new(0, "bit width of lengths above 32"));
        }
        let vectors = rows.div_ceil(VECTOR);
        let lengths_at = at + aligned((vectors + 1) * 4);
        let end = lengths_at + vectors * lanes::vector_bytes(width);
        if block.len() < end {
            return Err(Malformed::new(block.len(), "length of a block of strings"));
        }
        let spans = Spans {
            width,
            lane: Lane::of_width(width),
            starts: block.slice_with_length(at, (vectors + 1) * 4),
            lengths: block.slice_with_length(lengths_at, end - lengths_at),
        };
        Ok((spans, end))
    }

    /// Checks that the values lie next to one another, within fewer than 2^31 units, and returns how many
    /// there are. Nothing else may be called before.
    pub fn check(&self) -> Result<usize, &'static str> {
        let mut end = 0;
        for (vector, start) in self.starts().iter().enumerate() {
            if u64::from(*start) != end {
                return Err("string lengths do not fit their offsets");
            }
            // The last one is where the last vector ends.
            end += if vector < self.vectors() { self.sum(vector) } else { 0 };
        }
        if end >= 1 << 31 {
            return Err("string offsets do not span the block");
        }
        Ok(end as usize)
    }

    /// The start of each vector and the end of the last.
    pub fn starts(&self) -> &[u32] {
        self.starts.typed_data::<u32>()
    }

    pub fn vectors(&self) -> usize {
        self.starts().len() - 1
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
        let mut at = self.starts()[vector];
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

    /// Where a row's units start and end.
    pub fn range(&self, row: usize) -> (usize, usize) {
        let (vector, index) = (row / VECTOR, row % VECTOR);
        let start = self.starts()[vector] as usize;
        with_lane!(self.lane, L => {
            let mut lengths = [0 as L; VECTOR];
            lanes::unpack(self.width, self.packed::<L>(vector), &mut lengths);
            let before: usize = lengths[..index].iter().map(|&length| length as usize).sum();
            let from = start + before;
            (from, from + lengths[index] as usize)
        })
    }

    /// Calls `visit(from, to)` with where each of the given rows of a vector lies.
    pub fn each(&self, vector: usize, rows: &[u16], mut visit: impl FnMut(u32, u32)) {
        if let [row] = rows {
            let (from, to) = self.range(vector * VECTOR + usize::from(*row));
            visit(from as u32, to as u32);
            return;
        }
        let mut offsets = [0; VECTOR + 1];
        self.offsets(vector, &mut offsets);
        rows.iter().for_each(|&row| visit(offsets[usize::from(row)], offsets[usize::from(row) + 1]));
    }
}
