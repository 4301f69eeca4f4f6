//! Blocks of floats and of 128-bit integers, as they are, least significant byte first: the
//! validity bitmap if the block has NULLs (rows / 8, padded), then the values. A block of one value
//! and no NULL has no bytes: the value stands in the directory.

use super::bits::{self, Bits};
use super::ranges::{Ranges, float_key};
use super::{ALIGN, BLOCK_ROWS, Malformed, VECTOR, bitmap_bytes, pad};
use arrow::buffer::{BooleanBuffer, Buffer};
use arrow::datatypes::{ArrowNativeType, ToByteSlice};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FixedKind {
    F32,
    F64,
    I128,
}

impl FixedKind {
    pub const fn bytes(self) -> usize {
        match self {
            FixedKind::F32 => 4,
            FixedKind::F64 => 8,
            FixedKind::I128 => 16,
        }
    }
}

/// Appends a block to `out`, whose length is a multiple of [`ALIGN`].
pub fn encode<T: ArrowNativeType>(values: &[T], validity: Option<&[u8]>, out: &mut Vec<u8>) {
    debug_assert!(out.len().is_multiple_of(ALIGN));
    if let Some(bitmap) = validity {
        out.extend_from_slice(bitmap);
        pad(out);
    }
    out.extend_from_slice(values.to_byte_slice());
}

/// A block of fixed-width values, loaded and validated.
#[derive(Debug)]
pub struct FixedBlock {
    kind: FixedKind,
    rows: usize,
    validity: Option<BooleanBuffer>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    /// The value's bits.
    Constant(i128),
    Plain(Buffer),
}

impl FixedBlock {
    /// A block of one value, given by its bits.
    pub fn constant(kind: FixedKind, rows: usize, bits: i128) -> FixedBlock {
        FixedBlock { kind, rows, validity: None, values: Values::Constant(bits) }
    }

    pub fn new(kind: FixedKind, rows: usize, nulls: bool, block: &Buffer) -> Result<FixedBlock, Malformed> {
        if rows == 0 || rows > BLOCK_ROWS {
            return Err(Malformed::new(0, "number of rows out of range"));
        }
        let bitmap = if nulls { bitmap_bytes(rows) } else { 0 };
        if block.len() != bitmap + rows * kind.bytes() {
            return Err(Malformed::new(block.len(), "length of a block of fixed-width values"));
        }
        let validity = nulls.then(|| BooleanBuffer::new(block.slice_with_length(0, bitmap), 0, rows));
        Ok(FixedBlock { kind, rows, validity, values: Values::Plain(block.slice(bitmap)) })
    }

    pub fn kind(&self) -> FixedKind {
        self.kind
    }

    pub fn validity(&self) -> Option<&BooleanBuffer> {
        self.validity.as_ref()
    }

    pub fn is_valid(&self, row: usize) -> bool {
        self.validity.as_ref().is_none_or(|bitmap| bitmap.value(row))
    }

    fn vector_rows(&self, vector: usize) -> usize {
        (self.rows - vector * VECTOR).min(VECTOR)
    }

    /// Appends rows `from..from + count` of a vector. `T` has the width of the kind.
    pub fn extend<T: FixedBits>(&self, vector: usize, from: usize, count: usize, out: &mut Vec<T>) {
        match &self.values {
            Values::Constant(bits) => out.resize(out.len() + count, T::of_bits(*bits)),
            Values::Plain(values) => {
                let start = vector * VECTOR + from;
                out.extend_from_slice(&values.typed_data::<T>()[start..start + count]);
            }
        }
    }

    /// Appends the given rows of a vector.
    pub fn gather<T: FixedBits>(&self, vector: usize, rows: &[u16], out: &mut Vec<T>) {
        match &self.values {
            Values::Constant(bits) => out.resize(out.len() + rows.len(), T::of_bits(*bits)),
            Values::Plain(values) => {
                let values = &values.typed_data::<T>()[vector * VECTOR..];
                out.extend(rows.iter().map(|row| values[usize::from(*row)]));
            }
        }
    }

    /// The number by which a row's value compares: floats by their order-preserving key.
    pub fn key(&self, row: usize) -> i128 {
        match &self.values {
            Values::Constant(bits) => match self.kind {
                FixedKind::F32 => float_key(f64::from(f32::from_bits(*bits as u32))).into(),
                FixedKind::F64 => float_key(f64::from_bits(*bits as u64)).into(),
                FixedKind::I128 => *bits,
            },
            Values::Plain(values) => match self.kind {
                FixedKind::F32 => float_key(f64::from(values.typed_data::<f32>()[row])).into(),
                FixedKind::F64 => float_key(values.typed_data::<f64>()[row]).into(),
                FixedKind::I128 => values.typed_data::<i128>()[row],
            },
        }
    }

    /// Keeps of `bits` the rows of a vector that are not NULL and whose key is in `set`.
    pub fn filter(&self, vector: usize, set: &Ranges, bits: &mut Bits) {
        if let Some(validity) = &self.validity {
            bits::and(bits, &bits::load(validity, vector * VECTOR, VECTOR));
        }
        let start = vector * VECTOR;
        let Values::Plain(values) = &self.values else {
            if !set.contains(self.key(start)) {
                *bits = bits::NONE;
            }
            return;
        };
        if set.ranges().len() > 4 || bits::count(bits) < 64 || self.kind == FixedKind::I128 {
            bits::retain(bits, |row| set.contains(self.key(start + row)));
            return;
        }
        let rows = self.vector_rows(vector);
        let mut mask = [0u8; VECTOR];
        // Invariant: sets of float keys lie within those of the infinities, which fit 64 bits.
        for &(low, high) in set.ranges() {
            let (low, high) = (low as i64, high as i64);
            let inside = |key: i64| (u8::from(key >= low) & u8::from(key <= high)).wrapping_neg();
            if self.kind == FixedKind::F64 {
                for (byte, value) in mask.iter_mut().zip(&values.typed_data::<f64>()[start..start + rows]) {
                    *byte |= inside(float_key(*value));
                }
            } else {
                for (byte, value) in mask.iter_mut().zip(&values.typed_data::<f32>()[start..start + rows]) {
                    *byte |= inside(float_key(f64::from(*value)));
                }
            }
        }
        bits::and(bits, &bits::from_mask(&mask));
    }
}

/// A type that stands for a fixed-width value.
pub trait FixedBits: ArrowNativeType {
    fn of_bits(bits: i128) -> Self;
}

impl FixedBits for f32 {
    fn of_bits(bits: i128) -> f32 {
        f32::from_bits(bits as u32)
    }
}

impl FixedBits for f64 {
    fn of_bits(bits: i128) -> f64 {
        f64::from_bits(bits as u64)
    }
}

impl FixedBits for i128 {
    fn of_bits(bits: i128) -> i128 {
        bits
    }
}
