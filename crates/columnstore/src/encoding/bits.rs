//! Selections: one bit for each row of a vector, in words of 64, least significant bit first.

use super::VECTOR;
use arrow::buffer::BooleanBuffer;

pub const WORDS: usize = VECTOR / 64;

/// Which rows of a vector are selected.
pub type Bits = [u64; WORDS];

pub const NONE: Bits = [0; WORDS];

/// The first `rows` rows (at most 1,024).
pub fn first(rows: usize) -> Bits {
    let mut bits = [u64::MAX; WORDS];
    if rows < VECTOR {
        let word = rows / 64;
        bits[word] = (1 << (rows % 64)) - 1;
        bits[word + 1..].fill(0);
    }
    bits
}

#[inline]
pub fn count(bits: &Bits) -> usize {
    bits.iter().map(|word| word.count_ones() as usize).sum()
}

#[inline]
pub fn is_empty(bits: &Bits) -> bool {
    bits.iter().fold(0, |any, word| any | word) == 0
}

#[inline]
pub fn and(bits: &mut Bits, other: &Bits) {
    for (word, other) in bits.iter_mut().zip(other) {
        *word &= other;
    }
}

#[inline]
pub fn or(bits: &mut Bits, other: &Bits) {
    for (word, other) in bits.iter_mut().zip(other) {
        *word |= other;
    }
}

#[inline]
pub fn and_not(bits: &mut Bits, other: &Bits) {
    for (word, other) in bits.iter_mut().zip(other) {
        *word &= !other;
    }
}

/// Bits `start..start + rows` of `buffer`, with zeros behind; `rows` is at most 1,024 and is cut at
/// the buffer's end.
pub fn load(buffer: &BooleanBuffer, start: usize, rows: usize) -> Bits {
    let mut bits = NONE;
    let rows = rows.min(VECTOR).min(buffer.len().saturating_sub(start));
    let bytes = buffer.values();
    let from = buffer.offset() + start;
    let shift = from % 8;
    for (i, word) in bits.iter_mut().enumerate() {
        let done = i * 64;
        if done >= rows {
            break;
        }
        let at = (from + done) / 8;
        // Up to nine bytes hold the 64 bits that start within the first.
        let mut low = [0u8; 8];
        let tail = &bytes[at..];
        let take = tail.len().min(8);
        low[..take].copy_from_slice(&tail[..take]);
        let mut value = u64::from_le_bytes(low) >> shift;
        if shift > 0 && tail.len() > 8 {
            value |= u64::from(tail[8]) << (64 - shift);
        }
        if rows - done < 64 {
            value &= (1 << (rows - done)) - 1;
        }
        *word = value;
    }
    bits
}

/// Bit `i` is the top bit of `mask[i]`.
#[inline]
pub fn from_mask(mask: &[u8; VECTOR]) -> Bits {
    let mut bits = NONE;
    for (word, bytes) in bits.iter_mut().zip(mask.chunks_exact(64)) {
        *word = word_of_mask(bytes);
    }
    bits
}

#[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
#[inline]
fn word_of_mask(bytes: &[u8]) -> u64 {
    use std::arch::x86_64::{__m256i, _mm256_loadu_si256, _mm256_movemask_epi8};
    assert_eq!(bytes.len(), 64);
    // SAFETY: the target has AVX2, and both unaligned loads stay within the 64 bytes asserted.
    unsafe {
        let low = _mm256_loadu_si256(bytes.as_ptr().cast::<__m256i>());
        let high = _mm256_loadu_si256(bytes.as_ptr().add(32).cast::<__m256i>());
        u64::from(_mm256_movemask_epi8(low) as u32) | u64::from(_mm256_movemask_epi8(high) as u32) << 32
    }
}

#[cfg(not(all(target_arch = "x86_64", target_feature = "avx2")))]
#[inline]
fn word_of_mask(bytes: &[u8]) -> u64 {
    let mut word = 0;
    for (i, eight) in bytes.chunks_exact(8).enumerate() {
        // Invariant: chunks_exact gives eight bytes.
        let lanes = u64::from_le_bytes(eight.try_into().expect("eight bytes"));
        // The top bit of byte k moves to bit k of the top byte.
        let gathered = ((lanes >> 7) & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        word |= gathered << (8 * i);
    }
    word
}

/// Calls `visit` with each selected row, in order.
#[inline]
pub fn for_each(bits: &Bits, mut visit: impl FnMut(usize)) {
    for (i, &word) in bits.iter().enumerate() {
        let mut rest = word;
        while rest != 0 {
            visit(i * 64 + rest.trailing_zeros() as usize);
            rest &= rest - 1;
        }
    }
}

/// Calls `visit` with the first row and the length of each run of selected rows, in order. A run may end and
/// go on at a multiple of 64.
#[inline]
pub fn for_each_run(bits: &Bits, mut visit: impl FnMut(usize, usize)) {
    for (i, &word) in bits.iter().enumerate() {
        let mut rest = word;
        while rest != 0 {
            let first = rest.trailing_zeros();
            let length = (rest >> first).trailing_ones();
            visit(i * 64 + first as usize, length as usize);
            // Up to the run's end; a shift by 64 is none.
            rest &= u64::MAX.checked_shl(first + length).unwrap_or(0);
        }
    }
}

/// Keeps the selected rows for which `test` is true.
#[inline]
pub fn retain(bits: &mut Bits, mut test: impl FnMut(usize) -> bool) {
    for (i, word) in bits.iter_mut().enumerate() {
        let mut rest = *word;
        while rest != 0 {
            let bit = rest.trailing_zeros();
            if !test(i * 64 + bit as usize) {
                *word &= !(1 << bit);
            }
            rest &= rest - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_any_offset() {
        let values: Vec<bool> = (0..3000).map(|i| i % 3 == 0 || i % 7 == 0).collect();
        let buffer = BooleanBuffer::from(values.clone());
        for offset in [0, 1, 7, 8, 63, 64, 65, 1000] {
            let slice = buffer.slice(offset, buffer.len() - offset);
            for (start, rows) in [(0, 1024), (5, 1024), (1024, 1000), (1900, 1024), (3, 1), (0, 0), (64, 64)]
            {
                let bits = load(&slice, start, rows);
                for i in 0..VECTOR {
                    let expected = i < rows && start + i < slice.len() && slice.value(start + i);
                    assert_eq!(bits[i / 64] >> (i % 64) & 1 == 1, expected, "{offset} {start} {rows} {i}");
                }
            }
        }
    }

    #[test]
    fn runs_are_the_rows() {
        for bits in [
            NONE,
            first(VECTOR),
            first(65),
            [0x8000_0000_0000_0001; WORDS],
            std::array::from_fn(|word| 0x0ff3_8001_7f00_ff0d_u64.rotate_left(word as u32 * 7)),
        ] {
            let (mut rows, mut by_runs) = (Vec::new(), Vec::new());
            for_each(&bits, |row| rows.push(row));
            for_each_run(&bits, |first, length| {
                assert!(length > 0);
                by_runs.extend(first..first + length);
            });
            assert_eq!(by_runs, rows);
        }
        let mut runs = Vec::new();
        for_each_run(&[!0b100; WORDS], |first, length| runs.push((first, length)));
        assert_eq!(runs[..3], [(0, 2), (3, 61), (64, 2)]);
    }

    #[test]
    fn masks_become_bits() {
        let mut mask = [0u8; VECTOR];
        for (i, byte) in mask.iter_mut().enumerate() {
            *byte = if i % 5 == 1 || i == 1023 { 0xff } else { 0 };
        }
        let bits = from_mask(&mask);
        let mut seen = Vec::new();
        for_each(&bits, |i| seen.push(i));
        let expected: Vec<usize> = (0..VECTOR).filter(|i| i % 5 == 1 || *i == 1023).collect();
        assert_eq!(seen, expected);
        assert_eq!(count(&bits), expected.len());
        assert_eq!(count(&first(1000)), 1000);
        assert_eq!(count(&first(1024)), 1024);
        assert!(is_empty(&first(0)));
    }
}
