//! Bit-packing of vectors in the FastLanes layout (Afroozeh and Boncz, "The FastLanes Compression
//! Layout", VLDB 2023), by the crate `fastlanes`. All of its unchecked calls stand here, each behind
//! an assertion of what it relies on.
//!
//! A vector of 1,024 values of `w` bits takes 128 * w bytes, whatever the lane. The lane is the
//! narrowest of 8, 16, 32 and 64 bits that holds `w` bits; it is derived, never stored.

use super::VECTOR;
use arrow::datatypes::ArrowNativeType;
use fastlanes::{BitPacking, FL_ORDER};

/// The width of the integers that a vector unpacks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    U8,
    U16,
    U32,
    U64,
}

impl Lane {
    /// The narrowest lane for `width` bits, 0 to 64.
    pub const fn of_width(width: u8) -> Lane {
        match width {
            0..=8 => Lane::U8,
            9..=16 => Lane::U16,
            17..=32 => Lane::U32,
            _ => Lane::U64,
        }
    }
}

/// Bytes of one packed vector.
pub const fn vector_bytes(width: u8) -> usize {
    VECTOR / 8 * width as usize
}

/// Bits that `value` needs.
pub const fn width_of(value: u64) -> u8 {
    (u64::BITS - value.leading_zeros()) as u8
}

/// The greatest value of `width` bits.
pub const fn limit(width: u8) -> u64 {
    if width == 0 { 0 } else { u64::MAX >> (64 - width) }
}

/// An unsigned integer that vectors unpack to.
pub trait LaneInt: BitPacking + ArrowNativeType + Into<u64> {
    const BITS: usize;
    fn truncate(value: u64) -> Self;
    fn minus(self, other: Self) -> Self;
}

macro_rules! lane_int {
    ($($ty:ty),*) => {$(
        impl LaneInt for $ty {
            const BITS: usize = <$ty>::BITS as usize;
            #[inline(always)]
            fn truncate(value: u64) -> Self {
                value as $ty
            }
            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
        }
    )*};
}
lane_int!(u8, u16, u32, u64);

/// Runs `$body` with `$L` standing for the lane's integer type.
macro_rules! with_lane {
    ($lane:expr, $L:ident => $body:expr) => {
        match $lane {
            $crate::encoding::lanes::Lane::U8 => {
                type $L = u8;
                $body
            }
            $crate::encoding::lanes::Lane::U16 => {
                type $L = u16;
                $body
            }
            $crate::encoding::lanes::Lane::U32 => {
                type $L = u32;
                $body
            }
            $crate::encoding::lanes::Lane::U64 => {
                type $L = u64;
                $body
            }
        }
    };
}
pub(crate) use with_lane;

/// Packs one vector, of which each value fits `width` bits; `out` is all of `vector_bytes(width)`.
pub fn pack<L: LaneInt>(width: u8, values: &[L; VECTOR], out: &mut [L]) {
    let width = usize::from(width);
    assert!(width <= L::BITS && out.len() * L::BITS == VECTOR * width);
    // SAFETY: the input has 1,024 values; the assertion gives the width's bound and the output's length.
    unsafe { L::unchecked_pack(width, values, out) }
}

/// Unpacks one vector; `packed` is all of its `vector_bytes(width)`.
#[inline]
pub fn unpack<L: LaneInt>(width: u8, packed: &[L], out: &mut [L; VECTOR]) {
    let width = usize::from(width);
    assert!(width <= L::BITS && packed.len() * L::BITS == VECTOR * width);
    // SAFETY: the output has 1,024 values; the assertion gives the width's bound and the input's length.
    unsafe { L::unchecked_unpack(width, packed, out) }
}

/// Value `index` (below 1,024) of a packed vector.
#[inline]
pub fn get<L: LaneInt>(width: u8, packed: &[L], index: usize) -> u64 {
    let width = usize::from(width);
    if width == 0 {
        return 0;
    }
    let lanes = VECTOR / L::BITS;
    // Value `FL_ORDER[row / 8] * 16 + row % 8 * 128 + lane` is number `row` of `lane`.
    let within = index % 128;
    let row = FL_ORDER[within / lanes * lanes / 16] * 8 + index / 128;
    let lane = within % lanes;
    let bit = row * width;
    let (word, shift) = (bit / L::BITS, bit % L::BITS);
    let low: u64 = packed[lanes * word + lane].into();
    let mut value = low >> shift;
    if shift + width > L::BITS {
        let high: u64 = packed[lanes * (word + 1) + lane].into();
        value |= high << (L::BITS - shift);
    }
    value & limit(width as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<L: LaneInt>() {
        for width in 0..=L::BITS as u8 {
            let mut state = 0x1234_5678_9abc_def0u64;
            let mut values = [L::truncate(0); VECTOR];
            for value in &mut values {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *value = L::truncate((state >> 7 ^ state << 21) & limit(width));
            }
            let mut packed = vec![L::truncate(0); VECTOR * usize::from(width) / L::BITS];
            pack(width, &values, &mut packed);
            let mut unpacked = [L::truncate(0); VECTOR];
            unpack(width, &packed, &mut unpacked);
            assert!(values == unpacked, "width {width}");
            for (i, &value) in values.iter().enumerate() {
                let value: u64 = value.into();
                assert_eq!(get(width, &packed, i), value, "width {width} index {i}");
            }
        }
    }

    #[test]
    fn every_width_of_every_lane_round_trips() {
        round_trip::<u8>();
        round_trip::<u16>();
        round_trip::<u32>();
        round_trip::<u64>();
    }
}
