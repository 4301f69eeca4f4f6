//! Builds string and binary views: values up to 12 bytes inline, longer ones in shared blocks.

use arrow::array::{ArrayRef, BinaryViewArray, NullBufferBuilder, StringViewArray};
use arrow::buffer::{Buffer, ScalarBuffer};
use std::sync::Arc;

/// A block is closed at this size, well below what an offset of 32 bits reaches.
const BLOCK: usize = 64 << 20;

#[derive(Debug, Default)]
pub struct ViewBuilder {
    views: Vec<u128>,
    block: Vec<u8>,
    closed: Vec<Buffer>,
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u128 {
    let mut word = [0u8; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u128::from(u32::from_le_bytes(word))
}

/// The view of a value of at most 12 bytes: its length in the low 32 bits, then its bytes. Words that
/// overlap hold the same bytes where they do.
#[inline]
fn inline_view(value: &[u8]) -> u128 {
    let length = value.len();
    let bytes = match length {
        8.. => word(value, 0) | word(value, 4) << 32 | word(value, length - 4) << (8 * (length - 4)),
        4.. => word(value, 0) | word(value, length - 4) << (8 * (length - 4)),
        0 => 0,
        _ => value.iter().rev().fold(0, |bytes, byte| bytes << 8 | u128::from(*byte)),
    };
    length as u128 | bytes << 32
}

/// The view of a longer value: length, first four bytes, block, offset.
#[inline]
fn long_view(value: &[u8], block: usize, offset: usize) -> u128 {
    value.len() as u128 | word(value, 0) << 32 | (block as u128) << 64 | (offset as u128) << 96
}

impl ViewBuilder {
    pub fn with_capacity(rows: usize) -> ViewBuilder {
        ViewBuilder { views: Vec::with_capacity(rows), ..ViewBuilder::default() }
    }

    pub fn len(&self) -> usize {
        self.views.len()
    }

    #[inline]
    pub fn push(&mut self, value: &[u8]) {
        if value.len() <= 12 {
            self.views.push(inline_view(value));
            return;
        }
        self.push_long(value, 0);
    }

    /// A value with zero bytes after it.
    pub fn push_padded(&mut self, value: &[u8], padding: usize) {
        if padding == 0 {
            return self.push(value);
        }
        if value.len() + padding <= 12 {
            let mut padded = [0u8; 12];
            padded[..value.len()].copy_from_slice(value);
            self.views.push(inline_view(&padded[..value.len() + padding]));
            return;
        }
        self.push_long(value, padding);
    }

    fn push_long(&mut self, value: &[u8], padding: usize) {
        if self.block.len() + value.len() + padding > BLOCK && !self.block.is_empty() {
            self.closed.push(Buffer::from_vec(std::mem::take(&mut self.block)));
        }
        let offset = self.block.len();
        self.block.extend_from_slice(value);
        self.block.resize(self.block.len() + padding, 0);
        self.views.push(long_view(&self.block[offset..], self.closed.len(), offset));
    }

    pub fn push_empty(&mut self) {
        self.views.push(0);
    }

    fn parts(self) -> (ScalarBuffer<u128>, Vec<Buffer>) {
        let mut buffers = self.closed;
        if !self.block.is_empty() {
            buffers.push(Buffer::from_vec(self.block));
        }
        (ScalarBuffer::from(self.views), buffers)
    }

    pub fn finish_binary(self, mut nulls: NullBufferBuilder) -> ArrayRef {
        let (views, buffers) = self.parts();
        // SAFETY: every view was made of bytes within its buffer, or inline.
        Arc::new(unsafe { BinaryViewArray::new_unchecked(views, buffers, nulls.finish()) })
    }

    /// The caller pushed UTF-8 only.
    pub fn finish_text(self, mut nulls: NullBufferBuilder) -> ArrayRef {
        let (views, buffers) = self.parts();
        // SAFETY: as above, and whoever pushes to a text column has checked that it is UTF-8.
        Arc::new(unsafe { StringViewArray::new_unchecked(views, buffers, nulls.finish()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;
    use arrow::array::cast::AsArray;

    #[test]
    fn views_are_arrows() {
        let text = b"abcdefghijklmnopqrstuvwxyz";
        for length in 0..=12 {
            assert_eq!(inline_view(&text[..length]), arrow::array::make_view(&text[..length], 0, 0));
        }
        assert_eq!(long_view(text, 3, 77), arrow::array::make_view(text, 3, 77));
    }

    #[test]
    fn short_long_and_padded_values() {
        let mut builder = ViewBuilder::with_capacity(4);
        builder.push(b"short");
        builder.push(b"longer than twelve bytes");
        builder.push_padded(b"ab", 2);
        builder.push_padded(b"ab", 20);
        let mut nulls = NullBufferBuilder::new(4);
        nulls.append_n_non_nulls(4);
        let array = builder.finish_binary(nulls);
        array.to_data().validate_full().unwrap();
        let array = array.as_binary_view();
        assert_eq!(array.value(1), b"longer than twelve bytes");
        assert_eq!(array.value(2), b"ab\0\0");
        assert_eq!(array.value(3).len(), 22);
    }
}
