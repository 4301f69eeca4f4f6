//! How a column's values become the bytes of a block, and back.
//!
//! A *block* holds the values of one column for up to 65,536 rows, in *vectors* of 1,024. Readers
//! work a vector at a time, in buffers that stay in the first cache.
//!
//! | module | values | form |
//! |---|---|---|
//! | [`ints`] | integers up to 64 bits, dictionary codes | frame of reference, common divisor, bit-packed |
//! | [`fixed`] | floats, 128-bit integers | as they are |
//! | [`bytes`] | strings | bit-packed lengths, then the bytes |
//! | [`fsst`] | strings with frequent pieces | bit-packed lengths, then 12-bit codes of the pieces, of one table a segment |
//! | [`dictionary`] | strings that repeat | one sorted dictionary a segment, codes as `ints` |
//!
//! Blocks are validated once, when they are loaded: after that no decoder meets an out-of-range
//! width, length or code, whatever was on the disk. All sections of a block start at multiples of
//! [`ALIGN`] bytes.

pub mod bits;
pub mod bytes;
pub mod dictionary;
pub mod divisor;
pub mod fixed;
pub mod fsst;
pub mod ints;
pub mod key_set;
pub mod lanes;
pub mod ranges;
pub mod spans;
pub mod string_test;

// Blocks are read in place: their integers stand least significant byte first.
const _: () = assert!(cfg!(target_endian = "little"), "the block format needs a little-endian machine");

/// Values of a vector.
pub const VECTOR: usize = 1_024;

/// Rows of a block.
pub const BLOCK_ROWS: usize = 65_536;

/// Alignment of a block's sections, in bytes.
pub const ALIGN: usize = 64;

/// `bytes` rounded up to a multiple of [`ALIGN`].
pub(crate) const fn aligned(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGN)
}

/// Appends zeros up to a multiple of [`ALIGN`].
pub(crate) fn pad(out: &mut Vec<u8>) {
    out.resize(aligned(out.len()), 0);
}

/// Bytes of a validity bitmap of `rows` rows, padding included.
pub(crate) const fn bitmap_bytes(rows: usize) -> usize {
    aligned(rows.div_ceil(8))
}

/// What a decoder refuses: the offset within the block, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    pub offset: usize,
    pub what: &'static str,
}

impl Malformed {
    pub(crate) const fn new(offset: usize, what: &'static str) -> Malformed {
        Malformed { offset, what }
    }
}

/// A hash of bytes that never changes: distinct-value sketches on disk are made with it.
pub(crate) fn bytes_hash(bytes: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0xff51_afd7_ed55_8ccd;
    let mut hash = bytes.len() as u64;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        // Invariant: chunks_exact gives eight bytes.
        hash = (hash ^ u64::from_le_bytes(word.try_into().expect("eight bytes"))).wrapping_mul(MULTIPLIER);
        hash ^= hash >> 32;
    }
    let mut last = [0u8; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    number_hash(hash ^ u64::from_le_bytes(last))
}

/// A hash of a number that never changes (David Stafford's "Mix13").
#[inline(always)]
pub(crate) const fn number_hash(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 30;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
