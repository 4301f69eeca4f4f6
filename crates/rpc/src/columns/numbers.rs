//! Integers of any width, as what they are above the least of them, in as few bytes as the greatest needs.
//!
//! ```text
//! numbers := width u8 (0, 1, 2, 4 or 8), least, what each is above it
//!          | width of the type, values as they are
//! ```
//!
//! Decimals, dates and times are integers too. Frame of reference without exceptions (Goldstein, Ramakrishnan and
//! Shaft, "Compressing relations and indexes", 1998): one pass to find the width and one to write, both of which
//! the compiler turns into vectors.

use super::cursor::Cursor;
use super::{Result, damaged};
use arrow::array::ArrayData;
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, ToByteSlice};

/// An integer as Arrow keeps it.
pub(super) trait Integer: ArrowNativeType + Ord {
    /// What it is above another that is not greater, if that fits.
    fn above(self, least: Self) -> Option<u64>;
    /// `above` where it is known to fit.
    fn above_wrapping(self, least: Self) -> u64;
    /// The inverse of `above`; any value if there is none.
    fn plus(self, above: u64) -> Self;
    fn put(self, out: &mut Vec<u8>);
    /// Of exactly as many bytes as it has.
    fn get(bytes: &[u8]) -> Self;
}

macro_rules! integer {
    ($($ty:ty as $unsigned:ty),*) => {$(
        impl Integer for $ty {
            fn above(self, least: Self) -> Option<u64> {
                u64::try_from(self.wrapping_sub(least) as $unsigned).ok()
            }
            #[inline(always)]
            fn above_wrapping(self, least: Self) -> u64 {
                self.wrapping_sub(least) as $unsigned as u64
            }
            #[inline(always)]
            fn plus(self, above: u64) -> Self {
                self.wrapping_add(above as $ty)
            }
            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            #[inline(always)]
            fn get(bytes: &[u8]) -> Self {
                let mut array = [0; size_of::<$ty>()];
                array.copy_from_slice(bytes);
                Self::from_le_bytes(array)
            }
        }
    )*};
}

integer!(i8 as u8, i16 as u16, i32 as u32, i64 as u64, i128 as u128);
integer!(u8 as u8, u16 as u16, u32 as u32, u64 as u64);

/// Calls `$call` with the integer type in which Arrow keeps values of the type, as `T`, if there is one.
macro_rules! with_integer {
    (@ $native:ty, $call:expr) => {{
        type T = $native;
        Some($call)
    }};
    ($ty:expr, $call:expr) => {
        match $ty {
            DataType::Int8 => with_integer!(@ i8, $call),
            DataType::Int16 => with_integer!(@ i16, $call),
            DataType::Int32 | DataType::Date32 | DataType::Time32(_) | DataType::Decimal32(_, _) => {
                with_integer!(@ i32, $call)
            }
            DataType::Int64
            | DataType::Date64
            | DataType::Time64(_)
            | DataType::Timestamp(_, _)
            | DataType::Duration(_)
            | DataType::Decimal64(_, _) => with_integer!(@ i64, $call),
            DataType::Decimal128(_, _) => with_integer!(@ i128, $call),
            DataType::UInt8 => with_integer!(@ u8, $call),
            DataType::UInt16 => with_integer!(@ u16, $call),
            DataType::UInt32 => with_integer!(@ u32, $call),
            DataType::UInt64 => with_integer!(@ u64, $call),
            _ => None,
        }
    };
}

/// Writes the values if they are integers; false if they are not.
pub(super) fn write_integers(data: &ArrayData, nulls: Option<&NullBuffer>, out: &mut Vec<u8>) -> bool {
    with_integer!(data.data_type(), {
        let values = &data.buffer::<T>(0)[..data.len()];
        match nulls {
            None => write(values, out),
            Some(nulls) => write(&without_nulls(values, nulls), out),
        }
    })
    .is_some()
}

/// The values of a type that is kept as integers; `None` if it is not.
pub(super) fn read_integers(ty: &DataType, rows: usize, cursor: &mut Cursor) -> Result<Option<Buffer>> {
    Ok(with_integer!(ty, Buffer::from_vec(read::<T>(rows, cursor)?)))
}

/// The values with one of them in all places of NULLs, where what stands is often far from the others.
fn without_nulls<T: Integer>(values: &[T], nulls: &NullBuffer) -> Vec<T> {
    let first = nulls.valid_indices().next().map_or(T::default(), |at| values[at]);
    values.iter().zip(nulls.iter()).map(|(value, valid)| if valid { *value } else { first }).collect()
}

pub(super) fn write<T: Integer>(values: &[T], out: &mut Vec<u8>) {
    let least = values.iter().copied().min().unwrap_or_default();
    let greatest = values.iter().copied().max().unwrap_or_default();
    let narrow = match greatest.above(least) {
        Some(0) => 0,
        Some(above) if above <= u64::from(u8::MAX) => 1,
        Some(above) if above <= u64::from(u16::MAX) => 2,
        Some(above) if above <= u64::from(u32::MAX) => 4,
        Some(_) => 8,
        None => size_of::<T>(),
    };
    if narrow >= size_of::<T>() {
        out.push(size_of::<T>() as u8);
        out.extend_from_slice(values.to_byte_slice());
        return;
    }
    out.push(narrow as u8);
    least.put(out);
    let above = values.iter().map(|value| value.above_wrapping(least));
    match narrow {
        0 => {}
        1 => out.extend(above.map(|above| above as u8)),
        2 => put_each(above.map(|above| (above as u16).to_le_bytes()), out),
        4 => put_each(above.map(|above| (above as u32).to_le_bytes()), out),
        _ => put_each(above.map(u64::to_le_bytes), out),
    }
}

fn put_each<const N: usize>(values: impl ExactSizeIterator<Item = [u8; N]>, out: &mut Vec<u8>) {
    let from = out.len();
    out.resize(from + values.len() * N, 0);
    for (place, value) in out[from..].chunks_exact_mut(N).zip(values) {
        place.copy_from_slice(&value);
    }
}

pub(super) fn read<T: Integer>(rows: usize, cursor: &mut Cursor) -> Result<Vec<T>> {
    let width = usize::from(cursor.u8()?);
    let size = size_of::<T>();
    let least = if width < size { T::get(&cursor.take(size)?) } else { T::default() };
    let bytes = cursor.take(rows.checked_mul(width).ok_or_else(|| damaged("too many rows"))?)?;
    cursor.room(rows.saturating_mul(size))?;
    Ok(match width {
        0 => vec![least; rows],
        _ if width == size => bytes.chunks_exact(size).map(T::get).collect(),
        1 => bytes.iter().map(|above| least.plus(u64::from(*above))).collect(),
        2 => bytes.as_chunks::<2>().0.iter().map(|b| least.plus(u16::from_le_bytes(*b).into())).collect(),
        4 => bytes.as_chunks::<4>().0.iter().map(|b| least.plus(u32::from_le_bytes(*b).into())).collect(),
        8 => bytes.as_chunks::<8>().0.iter().map(|b| least.plus(u64::from_le_bytes(*b))).collect(),
        _ => return Err(damaged("numbers of no width")),
    })
}
