//! RAND with a seed: the sequence that MySQL and MariaDB give for it.
//!
//! A constant seed begins a sequence that goes on from row to row; what it has come to lies in the function itself,
//! one for each call in a statement. A function that is sent to another node begins anew there. A seed that differs
//! by row begins a sequence for each row.

use super::kernel::{Arguments, Function, Nulls, Returns, build_numbers};
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use parking_lot::Mutex;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

#[derive(Debug, Clone, Copy)]
struct Sequence {
    first: u64,
    second: u64,
}

const MODULUS: u64 = 0x3fff_ffff;

impl Sequence {
    fn of(seed: i64) -> Sequence {
        // 32 bits count, of the seed and of what is made of it.
        let seed = u64::from(seed as u32);
        let first = (seed * 0x0001_0001 + 55_555_555) as u32;
        let second = (seed * 0x1000_0001) as u32;
        Sequence { first: u64::from(first) % MODULUS, second: u64::from(second) % MODULUS }
    }

    fn next(&mut self) -> f64 {
        self.first = (self.first * 3 + self.second) % MODULUS;
        self.second = (self.first + self.second + 33) % MODULUS;
        self.first as f64 / MODULUS as f64
    }
}

/// rand_of(seed): the first number of the seed's sequence.
pub(crate) fn rand_of() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        Function::new("rand_of", Returns::Type(DataType::Float64), Nulls::Never, |args| {
            let seeds = args.numbers::<Int64Type>(0)?;
            build_numbers::<Float64Type>(args, |row| {
                Ok(Some(Sequence::of(seeds.get(row).unwrap_or(0)).next()))
            })
        })
        .udf()
    });
    Arc::clone(&UDF)
}

pub(crate) const SEQUENCE: &str = "rand_sequence";

/// rand_sequence(constant seed, a value that is no constant and is not looked at): for each row the next number of the
/// seed's sequence. Another one each time that this is asked for. DataFusion takes what all arguments of are constants
/// for a constant, volatile or not, and so would not order by it.
pub(crate) fn rand_sequence() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(RandSequence {
        signature: Signature::any(2, Volatility::Volatile),
        at: Mutex::new(None),
    }))
}

#[derive(Debug)]
struct RandSequence {
    signature: Signature,
    at: Mutex<Option<Sequence>>,
}

// By name, as all functions.
impl PartialEq for RandSequence {
    fn eq(&self, _: &RandSequence) -> bool {
        true
    }
}

impl Eq for RandSequence {}

impl Hash for RandSequence {
    fn hash<H: Hasher>(&self, state: &mut H) {
        SEQUENCE.hash(state);
    }
}

impl RandSequence {
    fn numbers(&self, args: &Arguments<'_>) -> Result<ArrayRef> {
        let seed = args.numbers::<Int64Type>(0)?;
        let mut at = self.at.lock();
        let sequence = at.get_or_insert_with(|| Sequence::of(seed.get(0).unwrap_or(0)));
        build_numbers::<Float64Type>(args, |_| Ok(Some(sequence.next())))
    }
}

impl ScalarUDFImpl for RandSequence {
    fn name(&self) -> &str {
        SEQUENCE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if args.number_rows == 0 {
            return Ok(ColumnarValue::Array(arrow::array::new_empty_array(&DataType::Float64)));
        }
        let arguments = Arguments::of(&args.args, args.number_rows, &DataType::Float64);
        self.numbers(&arguments).map(ColumnarValue::Array)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As MariaDB 10.11 gives them.
    #[test]
    fn known_sequences() {
        for (seed, numbers) in [
            (1, [0.405_403_537_121_977_24, 0.871_614_180_385_707_1, 0.141_860_321_296_248_9]),
            (42, [0.662_911_016_180_097_2, 0.151_644_136_897_888_17, 0.769_487_666_682_794_3]),
            (0, [0.155_220_427_694_935_74, 0.620_881_741_513_388, 0.638_747_455_215_777_7]),
            (-1, [0.905_037_321_993_184_5, 0.370_149_321_267_520_37, 0.135_634_671_091_693_14]),
        ] {
            let mut sequence = Sequence::of(seed);
            assert_eq!([sequence.next(), sequence.next(), sequence.next()], numbers, "{seed}");
        }
        assert_eq!(Sequence::of(1 << 32).next(), Sequence::of(0).next());
    }
}
