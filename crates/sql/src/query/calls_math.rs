//! Mathematical functions.

use super::binder::Binder;
use super::calls::Args;
use crate::analyzer::arithmetic::wide_integer;
use crate::analyzer::fold::call;
use crate::analyzer::typed::BIGINT;
use crate::analyzer::{Family, Typed};
use crate::functions::arithmetic::Operation;
use crate::functions::{math, random};
use arrow::datatypes::DataType;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;
use types::{SqlError, SqlType};

/// The MySQL type of a number of this Arrow type.
pub(super) fn number_type(arrow: &DataType) -> SqlType {
    SqlType::of_arrow(arrow).unwrap_or(BIGINT)
}

impl Binder<'_> {
    pub(super) fn math_call(&mut self, args: Args) -> Result<Result<Typed, Args>, SqlError> {
        let rules = self.rules.clone();
        match args.name.as_str() {
            "ABS" => {
                let [value] = args.exactly()?;
                let value = self.kernel_number(value)?;
                let ty = number_type(&value.arrow);
                self.kernel(math::abs(), vec![value], ty)
            }
            "CEIL" | "CEILING" => {
                let [value] = args.exactly()?;
                self.whole_number(math::ceil(), value).map(Ok)
            }
            "FLOOR" => {
                let [value] = args.exactly()?;
                self.whole_number(math::floor(), value).map(Ok)
            }
            "ROUND" => {
                args.count(1, 2)?;
                let digits = args.or(1, Typed::int(0));
                self.rounded(math::round(), args, digits)
            }
            "TRUNCATE" => {
                args.count(2, 2)?;
                let digits = args.or(1, Typed::int(0));
                self.rounded(math::truncate(), args, digits)
            }
            "SIGN" => {
                let [value] = args.exactly()?;
                let value = self.kernel_number(value)?;
                self.kernel(math::sign(), vec![value], BIGINT)
            }
            "MOD" => {
                let [left, right] = args.exactly()?;
                rules.arithmetic(Operation::Modulo, left, right).map(Ok)
            }
            "POW" | "POWER" => self.of_doubles(math::power(), args, 2),
            "SQRT" => self.of_doubles(math::sqrt(), args, 1),
            "EXP" => self.of_doubles(math::exp(), args, 1),
            "LN" => self.of_doubles(math::ln(), args, 1),
            "LOG2" => self.of_doubles(math::log2(), args, 1),
            "LOG10" => self.of_doubles(math::log10(), args, 1),
            "LOG" if args.len() == 1 => self.of_doubles(math::ln(), args, 1),
            "LOG" => self.of_doubles(math::log(), args, 2),
            "SIN" => self.of_doubles(math::sin(), args, 1),
            "COS" => self.of_doubles(math::cos(), args, 1),
            "TAN" => self.of_doubles(math::tan(), args, 1),
            "COT" => self.of_doubles(math::cot(), args, 1),
            "ASIN" => self.of_doubles(math::asin(), args, 1),
            "ACOS" => self.of_doubles(math::acos(), args, 1),
            "ATAN" if args.len() == 1 => self.of_doubles(math::atan(), args, 1),
            "ATAN" | "ATAN2" => self.of_doubles(math::atan2(), args, 2),
            "RADIANS" => self.of_doubles(math::radians(), args, 1),
            "DEGREES" => self.of_doubles(math::degrees(), args, 1),
            "PI" => {
                args.count(0, 0)?;
                Ok(Ok(Typed::double(std::f64::consts::PI)))
            }
            "RAND" => {
                args.count(0, 1)?;
                let Some(seed) = args.get(0).cloned() else {
                    return self.kernel(math::rand(), Vec::new(), SqlType::Double);
                };
                let seed = rules.signed(seed)?;
                if seed.as_literal().is_none() {
                    return self.kernel(random::rand_of(), vec![seed], SqlType::Double);
                }
                // A plan with it runs once: it knows how far the sequence has come.
                super::note_momentary();
                let no_constant = call(math::rand(), Vec::new(), SqlType::Double)?;
                self.kernel(random::rand_sequence(), vec![seed, no_constant], SqlType::Double)
            }
            "CONV" => {
                let [value, from, to] = args.exactly()?;
                let values = vec![rules.text(value.into_kept())?, rules.signed(from)?, rules.signed(to)?];
                self.kernel(math::conv(), values, SqlType::VarChar(65))
            }
            _ => Ok(Err(args)),
        }
    }

    /// A number in a type that the kernels of numbers take.
    fn kernel_number(&mut self, value: Typed) -> Result<Typed, SqlError> {
        let value = self.rules.number(value)?;
        match value.family() {
            Family::Integer => Ok(wide_integer(value)),
            Family::Float => self.rules.double(value),
            _ => Ok(value),
        }
    }

    fn whole_number(&mut self, udf: Arc<ScalarUDF>, value: Typed) -> Result<Typed, SqlError> {
        let value = self.kernel_number(value)?;
        let ty = number_type(&math::whole_type(&value.arrow));
        call(udf, vec![value], ty)
    }

    fn rounded(
        &mut self,
        udf: Arc<ScalarUDF>,
        args: Args,
        digits: Typed,
    ) -> Result<Result<Typed, Args>, SqlError> {
        let Some(value) = args.get(0).cloned() else { return Ok(Err(args)) };
        let value = self.kernel_number(value)?;
        let digits = self.rules.signed(digits)?;
        let constant = digits.as_integer_literal().and_then(|n| i64::try_from(n).ok());
        let ty = number_type(&math::rounded_type(&value.arrow, constant));
        self.kernel(udf, vec![value, digits], ty)
    }

    fn of_doubles(
        &mut self,
        udf: Arc<ScalarUDF>,
        args: Args,
        count: usize,
    ) -> Result<Result<Typed, Args>, SqlError> {
        args.count(count, count)?;
        let values =
            args.all().into_iter().map(|value| self.rules.double(value)).collect::<Result<Vec<_>, _>>()?;
        self.kernel(udf, values, SqlType::Double)
    }
}
