//! `& | ^ << >>` and BIT_COUNT on BIGINT UNSIGNED, and the bytes of a BIT. A shift by 64 or more is 0.

use super::kernel::{Arguments, Function, Nulls, Returns, build_binary, build_numbers};
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Int64Type, UInt64Type};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
}

impl Operation {
    pub(crate) fn udf(self) -> Arc<ScalarUDF> {
        Arc::clone(match self {
            Operation::And => &AND,
            Operation::Or => &OR,
            Operation::Xor => &XOR,
            Operation::ShiftLeft => &SHIFT_LEFT,
            Operation::ShiftRight => &SHIFT_RIGHT,
        })
    }

    fn apply(self, left: u64, right: u64) -> u64 {
        let shift = u32::try_from(right).unwrap_or(u32::MAX);
        match self {
            Operation::And => left & right,
            Operation::Or => left | right,
            Operation::Xor => left ^ right,
            Operation::ShiftLeft => left.checked_shl(shift).unwrap_or(0),
            Operation::ShiftRight => left.checked_shr(shift).unwrap_or(0),
        }
    }
}

fn compute(operation: Operation, args: &Arguments<'_>) -> Result<ArrayRef> {
    let (left, right) = (args.numbers::<UInt64Type>(0)?, args.numbers::<UInt64Type>(1)?);
    build_numbers::<UInt64Type>(args, |row| {
        Ok(left.get(row).zip(right.get(row)).map(|(left, right)| operation.apply(left, right)))
    })
}

macro_rules! operation {
    ($static:ident, $name:literal, $operation:ident) => {
        static $static: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
            Function::new($name, Returns::Type(DataType::UInt64), Nulls::Propagate, |args| {
                compute(Operation::$operation, args)
            })
            .udf()
        });
    };
}

operation!(AND, "bits_and", And);
operation!(OR, "bits_or", Or);
operation!(XOR, "bits_xor", Xor);
operation!(SHIFT_LEFT, "shift_left", ShiftLeft);
operation!(SHIFT_RIGHT, "shift_right", ShiftRight);

static BIT_COUNT: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Function::new("bit_count", Returns::Type(DataType::Int64), Nulls::Propagate, |args| {
        let bits = args.numbers::<UInt64Type>(0)?;
        build_numbers::<Int64Type>(args, |row| Ok(bits.get(row).map(|bits| i64::from(bits.count_ones()))))
    })
    .udf()
});

pub(crate) fn bit_count() -> Arc<ScalarUDF> {
    Arc::clone(&BIT_COUNT)
}

/// bit_bytes(number, width)
static BIT_BYTES: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Function::new("bit_bytes", Returns::Type(DataType::BinaryView), Nulls::Propagate, |args| {
        let (numbers, widths) = (args.numbers::<UInt64Type>(0)?, args.numbers::<Int64Type>(1)?);
        build_binary(args.rows, |row, out| {
            let (Some(number), Some(width)) = (numbers.get(row), widths.get(row)) else { return Ok(None) };
            let width = u8::try_from(width.clamp(1, 64)).unwrap_or(64);
            out.extend_from_slice(types::bits::bytes(number, width).as_slice());
            Ok(Some(()))
        })
    })
    .udf()
});

pub(crate) fn bit_bytes() -> Arc<ScalarUDF> {
    Arc::clone(&BIT_BYTES)
}

pub(crate) fn all() -> Vec<Arc<ScalarUDF>> {
    [&AND, &OR, &XOR, &SHIFT_LEFT, &SHIFT_RIGHT, &BIT_COUNT, &BIT_BYTES]
        .into_iter()
        .map(|udf| Arc::clone(udf))
        .collect()
}
