//! Blocks of integers up to 64 bits: `value = reference + packed * divisor`.
//!
//! The reference is the block's lowest value or, where that makes the block smaller (sorted
//! columns), each vector's own; the divisor divides all differences; the width is that of the
//! greatest difference. Sums wrap, so that any span of 64-bit integers has a form. NULL rows hold
//! any value; the writer takes one that costs no width. The block:
//!
//! | section | bytes |
//! |---|---|
//! | validity bitmap, if the block has NULLs | rows / 8 rounded up |
//! | references, if each vector has its own | 8 a vector |
//! | packed vectors, the last one filled up with zeros | 128 * width a vector |
//!
//! A block of one value and no NULL has no bytes at all.

use super::bits::{self, Bits};
use super::key_set::KeySet;
use super::lanes::{self, Lane, LaneInt, with_lane};
use super::ranges::Ranges;
use super::{ALIGN, BLOCK_ROWS, Malformed, VECTOR, aligned, bitmap_bytes, divisor, pad};
use arrow::buffer::{BooleanBuffer, Buffer};
use arrow::datatypes::{ArrowNativeType, ToByteSlice};

/// What the directory keeps of a block of integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntShape {
    pub width: u8,
    /// Each vector has its own reference.
    pub per_vector: bool,
    /// The block's lowest value.
    pub reference: i64,
    /// At least 1.
    pub divisor: u64,
}

impl IntShape {
    pub const fn constant(value: i64) -> IntShape {
        IntShape { width: 0, per_vector: false, reference: value, divisor: 1 }
    }

    /// Bytes of a block of this shape.
    pub fn bytes(&self, rows: usize, nulls: bool) -> usize {
        let vectors = rows.div_ceil(VECTOR);
        let bitmap = if nulls { bitmap_bytes(rows) } else { 0 };
        let references = if self.per_vector { aligned(vectors * 8) } else { 0 };
        bitmap + references + vectors * lanes::vector_bytes(self.width)
    }
}

/// Lowest and greatest value of a block and of its vectors.
pub struct IntBounds {
    pub min: i64,
    pub max: i64,
    vectors: Vec<(i64, i64)>,
}

/// `values` is not empty.
pub fn bounds(values: &[i64]) -> IntBounds {
    let vectors: Vec<(i64, i64)> = values
        .chunks(VECTOR)
        .map(|vector| vector.iter().fold((i64::MAX, i64::MIN), |(low, high), &v| (low.min(v), high.max(v))))
        .collect();
    let (min, max) =
        vectors.iter().fold((i64::MAX, i64::MIN), |(low, high), v| (low.min(v.0), high.max(v.1)));
    IntBounds { min, max, vectors }
}

/// Appends a block of `values` (1 to 65,536 of them) to `out`, whose length is a multiple of
/// [`ALIGN`]. `validity`: a bitmap as the block holds it, padded.
pub fn encode(values: &[i64], bounds: &IntBounds, validity: Option<&[u8]>, out: &mut Vec<u8>) -> IntShape {
    debug_assert!(out.len().is_multiple_of(ALIGN) && !values.is_empty() && values.len() <= BLOCK_ROWS);
    if let Some(bitmap) = validity {
        out.extend_from_slice(bitmap);
        pad(out);
    }
    let span = bounds.max.wrapping_sub(bounds.min) as u64;
    if span == 0 {
        return IntShape::constant(bounds.min);
    }
    // A divisor must pay for the multiplication of every later read.
    let common = divisor::common(values, bounds.min);
    let divisor = if lanes::width_of(span / common) + 2 <= lanes::width_of(span) { common } else { 1 };
    let exact = divisor::Exact::new(divisor);

    let width = lanes::width_of(span / divisor);
    let widest = bounds.vectors.iter().map(|v| v.1.wrapping_sub(v.0) as u64).max().unwrap_or(0);
    let vector_width = lanes::width_of(widest / divisor);
    let vectors = bounds.vectors.len();
    let per_vector = vectors * lanes::vector_bytes(vector_width) + aligned(vectors * 8)
        < vectors * lanes::vector_bytes(width);
    let width = if per_vector { vector_width } else { width };
    if per_vector {
        for (low, _) in &bounds.vectors {
            out.extend_from_slice(&low.to_le_bytes());
        }
        pad(out);
    }
    with_lane!(Lane::of_width(width), L => {
        let mut differences = [0 as L; VECTOR];
        let mut packed = vec![0 as L; lanes::vector_bytes(width) / size_of::<L>()];
        for (vector, (low, _)) in values.chunks(VECTOR).zip(&bounds.vectors) {
            let reference = if per_vector { *low } else { bounds.min };
            if divisor == 1 {
                for (to, value) in differences.iter_mut().zip(vector) {
                    *to = L::truncate(value.wrapping_sub(reference) as u64);
                }
            } else {
                for (to, value) in differences.iter_mut().zip(vector) {
                    *to = L::truncate(exact.quotient(value.wrapping_sub(reference) as u64));
                }
            }
            differences[vector.len()..].fill(0);
            lanes::pack(width, &differences, &mut packed);
            append(&packed, out);
        }
    });
    IntShape { width, per_vector, reference: bounds.min, divisor }
}

/// Appends integers, least significant byte first (the crate asserts that the machine does so too).
pub(crate) fn append<L: LaneInt>(values: &[L], out: &mut Vec<u8>) {
    out.extend_from_slice(values.to_byte_slice());
}

/// A type that integers decode to.
pub trait Target: ArrowNativeType {
    /// The 64-bit two's complement number, cut or sign-extended.
    fn of(value: u64) -> Self;
}

macro_rules! target {
    ($($ty:ty),*) => {$(
        impl Target for $ty {
            #[inline(always)]
            fn of(value: u64) -> Self {
                value as $ty
            }
        }
    )*};
}
target!(u8, u16, u32, u64);

impl Target for i64 {
    #[inline(always)]
    fn of(value: u64) -> Self {
        value as i64
    }
}

impl Target for i128 {
    #[inline(always)]
    fn of(value: u64) -> Self {
        i128::from(value as i64)
    }
}

/// A block of integers, loaded and validated.
#[derive(Debug)]
pub struct IntBlock {
    rows: usize,
    shape: IntShape,
    lane: Lane,
    validity: Option<BooleanBuffer>,
    /// Empty unless `per_vector`.
    references: Buffer,
    packed: Buffer,
}

/// How many of a vector's values it takes that unpacking all is quicker than one by one.
const fn few(lane: Lane) -> usize {
    match lane {
        Lane::U8 => 8,
        Lane::U16 => 16,
        Lane::U32 => 32,
        Lane::U64 => 96,
    }
}

impl IntBlock {
    /// A block of one value.
    pub fn constant(rows: usize, value: i64) -> IntBlock {
        let empty = Buffer::from(&[] as &[u8]);
        IntBlock {
            rows,
            shape: IntShape::constant(value),
            lane: Lane::U8,
            validity: None,
            references: empty.clone(),
            packed: empty,
        }
    }

    /// Checks `shape` and the block's length. `block` starts at an aligned address.
    pub fn new(rows: usize, shape: IntShape, nulls: bool, block: &Buffer) -> Result<IntBlock, Malformed> {
        if rows == 0 || rows > BLOCK_ROWS {
            return Err(Malformed::new(0, "number of rows out of range"));
        }
        if shape.width > 64 {
            return Err(Malformed::new(0, "bit width above 64"));
        }
        if shape.divisor == 0 {
            return Err(Malformed::new(0, "divisor is zero"));
        }
        if block.len() != shape.bytes(rows, nulls) {
            return Err(Malformed::new(block.len(), "length of a block of integers"));
        }
        let lane = Lane::of_width(shape.width);
        let vectors = rows.div_ceil(VECTOR);
        let bitmap = if nulls { bitmap_bytes(rows) } else { 0 };
        let validity = nulls.then(|| BooleanBuffer::new(block.slice_with_length(0, bitmap), 0, rows));
        let references = if shape.per_vector { aligned(vectors * 8) } else { 0 };
        Ok(IntBlock {
            rows,
            shape,
            lane,
            validity,
            references: block.slice_with_length(bitmap, if shape.per_vector { vectors * 8 } else { 0 }),
            packed: block.slice(bitmap + references),
        })
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn validity(&self) -> Option<&BooleanBuffer> {
        self.validity.as_ref()
    }

    /// A number that grows with the time it takes to unpack a vector.
    pub fn cost(&self) -> u32 {
        match self.lane {
            Lane::U8 => 1,
            Lane::U16 => 2,
            Lane::U32 => 4,
            Lane::U64 => 8,
        }
    }

    #[inline]
    fn reference(&self, vector: usize) -> i64 {
        if self.shape.per_vector { self.references.typed_data::<i64>()[vector] } else { self.shape.reference }
    }

    #[inline]
    fn packed<L: LaneInt>(&self, vector: usize) -> &[L] {
        let words = lanes::vector_bytes(self.shape.width) / size_of::<L>();
        &self.packed.typed_data::<L>()[vector * words..][..words]
    }

    /// The value of a row, whatever stands there if it is NULL.
    #[inline]
    pub fn get(&self, row: usize) -> i64 {
        let vector = row / VECTOR;
        let packed = with_lane!(self.lane, L => {
            lanes::get::<L>(self.shape.width, self.packed::<L>(vector), row % VECTOR)
        });
        self.reference(vector).wrapping_add(packed.wrapping_mul(self.shape.divisor) as i64)
    }

    /// The first row whose value is not below `value`, of a block whose values ascend and have no NULL among
    /// them. Looks at the references first and then unpacks a vector, which takes memory in the order in which
    /// it lies there.
    pub fn lower_bound(&self, value: i64) -> usize {
        let vectors = self.rows.div_ceil(VECTOR);
        let first_of = |vector: usize| match self.shape.per_vector {
            // The lowest of a vector whose values ascend is its first.
            true => self.reference(vector),
            false => self.get(vector * VECTOR),
        };
        let (mut low, mut high) = (0, vectors);
        while low < high {
            let middle = low + (high - low) / 2;
            if first_of(middle) < value {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(vector) = low.checked_sub(1) else { return 0 };
        let rows = (self.rows - vector * VECTOR).min(VECTOR);
        let (reference, divisor) = (self.reference(vector), self.shape.divisor);
        let before = with_lane!(self.lane, L => {
            let mut scratch = [0 as L; VECTOR];
            if self.shape.width > 0 {
                self.unpack::<L>(vector, &mut scratch);
            }
            scratch[..rows].partition_point(|&packed| {
                // The lane may be u64 itself.
                #[allow(clippy::useless_conversion)]
                let packed: u64 = packed.into();
                reference.wrapping_add(packed.wrapping_mul(divisor) as i64) < value
            })
        });
        vector * VECTOR + before
    }

    pub fn is_valid(&self, row: usize) -> bool {
        self.validity.as_ref().is_none_or(|bitmap| bitmap.value(row))
    }

    /// Appends rows `from..from + count` of a vector; `bias` is added to each, wrapping.
    pub fn extend<T: Target>(&self, vector: usize, from: usize, count: usize, bias: i64, out: &mut Vec<T>) {
        let reference = self.reference(vector).wrapping_add(bias) as u64;
        if self.shape.width == 0 {
            out.resize(out.len() + count, T::of(reference));
            return;
        }
        with_lane!(self.lane, L => {
            let mut scratch = [0 as L; VECTOR];
            lanes::unpack(self.shape.width, self.packed::<L>(vector), &mut scratch);
            widen(&scratch[from..from + count], reference, self.shape.divisor, out);
        })
    }

    /// Appends the given rows of a vector, in ascending order.
    pub fn gather<T: Target>(&self, vector: usize, rows: &[u16], bias: i64, out: &mut Vec<T>) {
        let reference = self.reference(vector).wrapping_add(bias) as u64;
        let divisor = self.shape.divisor;
        if self.shape.width == 0 {
            out.resize(out.len() + rows.len(), T::of(reference));
            return;
        }
        with_lane!(self.lane, L => {
            let packed = self.packed::<L>(vector);
            if rows.len() <= few(self.lane) {
                out.extend(rows.iter().map(|&row| {
                    let value = lanes::get::<L>(self.shape.width, packed, usize::from(row) % VECTOR);
                    T::of(reference.wrapping_add(value.wrapping_mul(divisor)))
                }));
            } else {
                let mut scratch = [0 as L; VECTOR];
                lanes::unpack(self.shape.width, packed, &mut scratch);
                out.extend(rows.iter().map(|&row| {
                    // The lane may be u64 itself.
                    #[allow(clippy::useless_conversion)]
                    let value: u64 = scratch[usize::from(row) % VECTOR].into();
                    T::of(reference.wrapping_add(value.wrapping_mul(divisor)))
                }));
            }
        })
    }

    /// Appends runs of rows of a vector, each given by its first row and its length.
    pub fn extend_runs<T: Target>(&self, vector: usize, runs: &[(u16, u16)], bias: i64, out: &mut Vec<T>) {
        let reference = self.reference(vector).wrapping_add(bias) as u64;
        with_lane!(self.lane, L => {
            let mut scratch = [0 as L; VECTOR];
            if self.shape.width > 0 {
                lanes::unpack(self.shape.width, self.packed::<L>(vector), &mut scratch);
            }
            for &(first, length) in runs {
                let first = usize::from(first);
                widen(&scratch[first..first + usize::from(length)], reference, self.shape.divisor, out);
            }
        })
    }

    /// All values of a vector; those behind the last row are of no meaning.
    pub fn vector(&self, vector: usize, out: &mut Vec<i64>) {
        out.clear();
        self.extend(vector, 0, VECTOR, 0, out);
    }

    /// The packed numbers of a vector, and its reference.
    #[inline]
    fn unpack<L: LaneInt>(&self, vector: usize, scratch: &mut [L; VECTOR]) {
        lanes::unpack(self.shape.width, self.packed::<L>(vector), scratch);
    }

    /// Prepares the test `value in set` for this block.
    pub fn bind(&self, set: &Ranges) -> IntTest {
        let mut ranges = Vec::new();
        if !self.shape.per_vector {
            set.packed(self.shape.reference, self.shape.divisor, lanes::limit(self.shape.width), &mut ranges);
            if ranges.len() > MANY && self.shape.width <= TABLE_WIDTH {
                return IntTest::Table(table(&ranges, self.shape.width));
            }
            return IntTest::Block(ranges);
        }
        IntTest::Vectors(set.clone())
    }

    /// Keeps of `bits` the rows of a vector that are not NULL and pass the test.
    pub fn filter(&self, vector: usize, test: &IntTest, bits: &mut Bits) {
        if let Some(validity) = &self.validity {
            bits::and(bits, &bits::load(validity, vector * VECTOR, VECTOR));
        }
        let bound;
        let ranges: &[(u64, u64)] = match test {
            IntTest::Table(table) => {
                with_lane!(self.lane, L => self.keep::<L>(vector, bits, |code| bit_of(table, code)));
                return;
            }
            IntTest::Block(ranges) => ranges,
            IntTest::Vectors(set) => {
                let mut ranges = Vec::new();
                set.packed(
                    self.reference(vector),
                    self.shape.divisor,
                    lanes::limit(self.shape.width),
                    &mut ranges,
                );
                bound = ranges;
                &bound
            }
        };
        match ranges {
            [] => *bits = bits::NONE,
            [(0, high)] if *high >= lanes::limit(self.shape.width) => {}
            _ if ranges.len() > MANY
                && self.shape.width <= VECTOR_TABLE_WIDTH
                && bits::count(bits) > few(self.lane) =>
            {
                let table = table(ranges, self.shape.width);
                with_lane!(self.lane, L => self.keep::<L>(vector, bits, |code| bit_of(&table, code)));
            }
            _ if ranges.len() > MANY => {
                let inside = |code: u64| {
                    let at = ranges.partition_point(|range| range.1 < code);
                    ranges.get(at).is_some_and(|range| range.0 <= code)
                };
                with_lane!(self.lane, L => self.retain::<L>(vector, bits, inside));
            }
            _ if bits::count(bits) <= few(self.lane) => {
                let inside = |code: u64| ranges.iter().any(|range| range.0 <= code && code <= range.1);
                with_lane!(self.lane, L => self.retain::<L>(vector, bits, inside));
            }
            _ => with_lane!(self.lane, L => {
                let mut scratch = [0 as L; VECTOR];
                self.unpack(vector, &mut scratch);
                bits::and(bits, &in_ranges(&scratch, ranges));
            }),
        }
    }

    /// Keeps of `bits` the rows of a vector that are not NULL and hold one of the keys.
    pub fn filter_keys(&self, vector: usize, keys: &KeySet, bits: &mut Bits) {
        if let Some(validity) = &self.validity {
            bits::and(bits, &bits::load(validity, vector * VECTOR, VECTOR));
        }
        let base = keys.offset(self.reference(vector));
        let divisor = self.shape.divisor;
        let inside = |code: u64| keys.has(base.wrapping_add(code.wrapping_mul(divisor)));
        with_lane!(self.lane, L => self.keep::<L>(vector, bits, inside));
    }

    /// Keeps the rows for whose packed number a cheap test holds.
    fn keep<L: LaneInt>(&self, vector: usize, bits: &mut Bits, inside: impl Fn(u64) -> bool) {
        if bits::count(bits) <= VECTOR / 4 {
            self.retain::<L>(vector, bits, inside);
            return;
        }
        let mut scratch = [L::truncate(0); VECTOR];
        self.unpack(vector, &mut scratch);
        let mut mask = [0u8; VECTOR];
        for (byte, &code) in mask.iter_mut().zip(&scratch) {
            *byte = u8::from(inside(code.into())).wrapping_neg();
        }
        bits::and(bits, &bits::from_mask(&mask));
    }

    fn retain<L: LaneInt>(&self, vector: usize, bits: &mut Bits, inside: impl Fn(u64) -> bool) {
        if bits::count(bits) <= few(self.lane) {
            let packed = self.packed::<L>(vector);
            bits::retain(bits, |row| inside(lanes::get::<L>(self.shape.width, packed, row)));
        } else {
            let mut scratch = [L::truncate(0); VECTOR];
            self.unpack(vector, &mut scratch);
            bits::retain(bits, |row| inside(scratch[row].into()));
        }
    }
}

fn bit_of(table: &[u64], code: u64) -> bool {
    table[code as usize / 64] >> (code % 64) & 1 == 1
}

/// Above so many ranges a test is no longer made of comparisons.
const MANY: usize = 4;

/// Widths up to which many ranges become a table of bits: for a block, where it should stay in the
/// second cache, and for one vector, where it is used 1,024 times.
const TABLE_WIDTH: u8 = 20;
const VECTOR_TABLE_WIDTH: u8 = 13;

/// A bit for each number of `width` bits, set within the ranges, which are of such numbers.
fn table(ranges: &[(u64, u64)], width: u8) -> Vec<u64> {
    let mut table = vec![0u64; (1usize << width).div_ceil(64)];
    for &(low, high) in ranges {
        for code in low..=high {
            table[code as usize / 64] |= 1 << (code % 64);
        }
    }
    table
}

/// A test of a block's packed numbers.
#[derive(Debug)]
pub enum IntTest {
    /// In one of these ranges of packed numbers.
    Block(Vec<(u64, u64)>),
    /// The bit of the packed number is set. As long as the block's width asks for.
    Table(Vec<u64>),
    /// In the set; each vector has its own reference.
    Vectors(Ranges),
}

impl IntTest {
    pub fn is_never(&self) -> bool {
        matches!(self, IntTest::Block(ranges) if ranges.is_empty())
    }
}

/// Which of the values are in one of the ranges (both ends fit the lane). No branches.
fn in_ranges<L: LaneInt>(values: &[L; VECTOR], ranges: &[(u64, u64)]) -> Bits {
    let mut mask = [0u8; VECTOR];
    for (i, &(low, high)) in ranges.iter().enumerate() {
        let low_lane = L::truncate(low);
        let span = L::truncate(high - low);
        if i == 0 {
            for (byte, value) in mask.iter_mut().zip(values) {
                *byte = u8::from(value.minus(low_lane) <= span).wrapping_neg();
            }
        } else {
            for (byte, value) in mask.iter_mut().zip(values) {
                *byte |= u8::from(value.minus(low_lane) <= span).wrapping_neg();
            }
        }
    }
    bits::from_mask(&mask)
}

fn widen<L: LaneInt, T: Target>(packed: &[L], reference: u64, divisor: u64, out: &mut Vec<T>) {
    if divisor == 1 {
        out.extend(packed.iter().map(|&value| {
            let value: u64 = value.into();
            T::of(reference.wrapping_add(value))
        }));
    } else if L::BITS <= 32 && divisor <= u64::from(u32::MAX) {
        // 32 by 32 bits to 64: one instruction for four values.
        out.extend(packed.iter().map(|&value| {
            let value: u64 = value.into();
            let product = u64::from(value as u32) * u64::from(divisor as u32);
            T::of(reference.wrapping_add(product))
        }));
    } else {
        out.extend(packed.iter().map(|&value| {
            let value: u64 = value.into();
            T::of(reference.wrapping_add(value.wrapping_mul(divisor)))
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    #[test]
    fn the_first_row_not_below_a_value() {
        let mut random = StdRng::seed_from_u64(3);
        // Steps between values: none, small with repeats, of a common divisor, wide.
        for (step, divisor) in [(1, 1), (3, 1), (50, 1_000), (1 << 20, 1), (1 << 45, 1)] {
            for rows in [1, 1_000, VECTOR, VECTOR + 1, 20_000, BLOCK_ROWS] {
                let mut next = random.random_range(-1_000_000..1_000);
                let values: Vec<i64> = (0..rows)
                    .map(|_| {
                        next += random.random_range(0..step) * divisor;
                        next
                    })
                    .collect();
                let mut bytes = Vec::new();
                let shape = encode(&values, &bounds(&values), None, &mut bytes);
                let block = IntBlock::new(rows, shape, false, &Buffer::from(bytes)).unwrap();
                let near = |row: usize| [values[row] - 1, values[row], values[row] + 1];
                let mut sought: Vec<i64> = vec![i64::MIN, i64::MAX];
                sought.extend((0..100).flat_map(|_| near(random.random_range(0..rows))));
                sought.extend([0, rows - 1].into_iter().flat_map(near));
                for value in sought {
                    let expected = values.partition_point(|other| *other < value);
                    assert_eq!(block.lower_bound(value), expected, "{value} among {rows} by {step}");
                }
            }
        }
    }
}
