//! SUM as MySQL types it: of integers and decimals a DECIMAL with 22 digits more (at most 38), exact,
//! and an error rather than a wrap; of floats a DOUBLE.

use super::arithmetic::{fit_64_bits, pow10};
use super::failure::out_of_range;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array, PrimitiveArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sum {
    signature: Signature,
}

pub(crate) fn sum() -> Arc<AggregateUDF> {
    static UDF: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| {
        Arc::new(AggregateUDF::new_from_impl(Sum { signature: Signature::any(1, Volatility::Immutable) }))
    });
    Arc::clone(&UDF)
}

/// Digits that SUM adds to its argument's.
const MORE_DIGITS: u8 = 22;
const LIMIT: u128 = pow10(38).unsigned_abs();

/// The type of SUM of a value of this type.
pub(crate) fn sum_type(ty: &DataType) -> Option<DataType> {
    let decimal = |precision: u8, scale: i8| DataType::Decimal128((precision + MORE_DIGITS).min(38), scale);
    Some(match ty {
        DataType::Float64 => DataType::Float64,
        DataType::Decimal128(precision, scale) => decimal(*precision, *scale),
        DataType::Int8 | DataType::UInt8 => decimal(3, 0),
        DataType::Int16 | DataType::UInt16 => decimal(5, 0),
        DataType::Int32 | DataType::UInt32 => decimal(10, 0),
        DataType::Int64 | DataType::UInt64 => decimal(20, 0),
        _ => return None,
    })
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [ty] => sum_type(ty).ok_or_else(|| unexpected(ty)),
            _ => Err(DataFusionError::Internal("sum takes one argument".into())),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.is_distinct {
            let item = Field::new_list_field(args.input_fields[0].data_type().clone(), true);
            let name = format_state_name(args.name, "sum distinct");
            return Ok(vec![Arc::new(Field::new_list(name, item, false))]);
        }
        let name = format_state_name(args.name, "sum");
        Ok(vec![Arc::new(Field::new(name, args.return_field.data_type().clone(), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let input = args.expr_fields[0].data_type().clone();
        let total = Total::new(args.return_field.data_type());
        Ok(if args.is_distinct {
            Box::new(DistinctSum { seen: HashMap::new(), input, total })
        } else {
            Box::new(PlainSum { total, count: 0 })
        })
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let ty = args.return_field.data_type().clone();
        Ok(match ty {
            DataType::Float64 => Box::new(FloatGroups { sums: Vec::new(), seen: Vec::new() }),
            _ => Box::new(ExactGroups::new(ty)),
        })
    }
}

fn unexpected(ty: &DataType) -> DataFusionError {
    DataFusionError::Internal(format!("sum got {ty}"))
}

fn overflow() -> DataFusionError {
    out_of_range("DECIMAL", "sum()")
}

/// Runs `$body` with `$native` standing for the array's type; for exact numeric types.
macro_rules! with_exact {
    ($array:expr, $native:ident => $body:expr) => {{
        macro_rules! typed {
            ($ty:ty) => {{
                type $native = $ty;
                $body
            }};
        }
        match $array.data_type() {
            DataType::Int8 => typed!(Int8Type),
            DataType::Int16 => typed!(Int16Type),
            DataType::Int32 => typed!(Int32Type),
            DataType::Int64 => typed!(Int64Type),
            DataType::UInt8 => typed!(UInt8Type),
            DataType::UInt16 => typed!(UInt16Type),
            DataType::UInt32 => typed!(UInt32Type),
            DataType::UInt64 => typed!(UInt64Type),
            DataType::Decimal128(..) => typed!(Decimal128Type),
            other => Err(unexpected(other)),
        }
    }};
}

/// Calls `$visit(row, value as i128)` for each value that is not NULL.
macro_rules! each_exact {
    ($array:expr, $visit:expr) => {{
        let array: &ArrayRef = $array;
        with_exact!(array, T => each_of::<T>(array, $visit))
    }};
}

/// Adds every row's value to its group's sum. The caller knows that none overflows.
fn add_all<T>(array: &ArrayRef, groups: &[usize], sums: &mut [i128]) -> Result<()>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i128>,
{
    let array = array.as_primitive_opt::<T>().ok_or_else(|| unexpected(array.data_type()))?;
    for (value, group) in array.values().iter().zip(groups) {
        let sum = &mut sums[*group];
        *sum = sum.wrapping_add((*value).into());
    }
    Ok(())
}

fn each_of<T>(array: &ArrayRef, mut visit: impl FnMut(usize, i128)) -> Result<()>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i128>,
{
    let array = array.as_primitive_opt::<T>().ok_or_else(|| unexpected(array.data_type()))?;
    match array.nulls() {
        None => {
            for (row, value) in array.values().iter().enumerate() {
                visit(row, (*value).into());
            }
        }
        Some(nulls) => {
            for row in nulls.valid_indices() {
                visit(row, array.value(row).into());
            }
        }
    }
    Ok(())
}

#[derive(Debug)]
enum Total {
    Exact { sum: i128, ty: DataType },
    Float(f64),
}

impl Total {
    fn new(ty: &DataType) -> Total {
        match ty {
            DataType::Float64 => Total::Float(0.0),
            ty => Total::Exact { sum: 0, ty: ty.clone() },
        }
    }

    /// Adds (or takes away) an array's values; gives how many there were.
    fn add(&mut self, array: &ArrayRef, sign: i8) -> Result<i64> {
        let count = (array.len() - array.null_count()) as i64;
        match self {
            Total::Float(total) => {
                let array =
                    array.as_primitive_opt::<Float64Type>().ok_or_else(|| unexpected(array.data_type()))?;
                *total += f64::from(sign) * arrow::compute::sum(array).unwrap_or(0.0);
            }
            Total::Exact { sum, .. } => {
                let mut overflowed = false;
                let mut part = *sum;
                each_exact!(array, |_, value| {
                    let (next, over) =
                        if sign < 0 { part.overflowing_sub(value) } else { part.overflowing_add(value) };
                    part = next;
                    overflowed |= over;
                })?;
                if overflowed {
                    return Err(overflow());
                }
                *sum = part;
            }
        }
        Ok(count)
    }

    fn value(&self, any: bool) -> Result<ScalarValue> {
        Ok(match self {
            Total::Float(total) => ScalarValue::Float64(any.then_some(*total)),
            Total::Exact { sum, ty: DataType::Decimal128(precision, scale) } => {
                if sum.unsigned_abs() >= LIMIT {
                    return Err(overflow());
                }
                ScalarValue::Decimal128(any.then_some(*sum), *precision, *scale)
            }
            Total::Exact { ty, .. } => return Err(unexpected(ty)),
        })
    }
}

#[derive(Debug)]
struct PlainSum {
    total: Total,
    /// Values in the sum, so that an empty window frame gives NULL.
    count: i64,
}

impl Accumulator for PlainSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.count += self.total.add(&values[0], 1)?;
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.count -= self.total.add(&values[0], -1)?;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.total.value(self.count > 0)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// SUM(DISTINCT): the values seen, by their exact number or their bits.
#[derive(Debug)]
struct DistinctSum {
    seen: HashMap<i128, ()>,
    input: DataType,
    total: Total,
}

impl DistinctSum {
    fn take(&mut self, array: &ArrayRef) -> Result<()> {
        if let Some(array) = array.as_primitive_opt::<Float64Type>() {
            for value in array.iter().flatten() {
                // -0.0 is 0.0.
                let value = if value == 0.0 { 0.0 } else { value };
                self.seen.insert(i128::from(value.to_bits()), ());
            }
            return Ok(());
        }
        let seen = &mut self.seen;
        each_exact!(array, |_, value| {
            seen.insert(value, ());
        })
    }
}

impl Accumulator for DistinctSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.take(&values[0])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for list in states[0].as_list::<i32>().iter().flatten() {
            self.take(&list)?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values: Vec<ScalarValue> = self
            .seen
            .keys()
            .map(|value| match &self.input {
                DataType::Float64 => Ok(ScalarValue::Float64(Some(f64::from_bits(*value as u64)))),
                ty => crate::analyzer::compare::number_of_type(ty, *value).ok_or_else(|| unexpected(ty)),
            })
            .collect::<Result<_>>()?;
        Ok(vec![ScalarValue::List(ScalarValue::new_list(&values, &self.input, true))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        match &mut self.total {
            Total::Float(total) => {
                *total = self.seen.keys().map(|value| f64::from_bits(*value as u64)).sum();
            }
            Total::Exact { sum, .. } => {
                *sum = self
                    .seen
                    .keys()
                    .try_fold(0i128, |sum, value| sum.checked_add(*value))
                    .ok_or_else(overflow)?;
            }
        }
        self.total.value(!self.seen.is_empty())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.seen.capacity() * (size_of::<i128>() + 1)
    }
}

/// Which rows an aggregate's FILTER lets through.
fn passes(filter: Option<&BooleanArray>) -> impl Fn(usize) -> bool + '_ {
    move |row| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

fn nulls_of(seen: &[bool]) -> Option<NullBuffer> {
    let nulls = NullBuffer::new(BooleanBuffer::from(seen));
    (nulls.null_count() > 0).then_some(nulls)
}

/// Which groups have a value. As long as neither NULLs nor filters came, all have: a group begins with
/// a row.
#[derive(Debug, Default)]
struct Seen {
    groups: usize,
    some: Option<Vec<bool>>,
}

impl Seen {
    /// Makes room for new groups; gives the flags to set, or none if every row sets its group's.
    fn extend(&mut self, groups: usize, every_row: bool) -> Option<&mut Vec<bool>> {
        if !every_row && self.some.is_none() {
            self.some = Some(vec![true; self.groups]);
        }
        self.groups = self.groups.max(groups);
        if let Some(some) = &mut self.some {
            some.resize(self.groups, false);
        }
        self.some.as_mut()
    }

    fn take(&mut self, emit: EmitTo, emitted: usize) -> Option<NullBuffer> {
        self.groups -= emitted;
        let seen = emit.take_needed(self.some.as_mut()?);
        let nulls = NullBuffer::new(BooleanBuffer::from(seen));
        (nulls.null_count() > 0).then_some(nulls)
    }
}

#[derive(Debug)]
struct ExactGroups {
    sums: Vec<i128>,
    seen: Seen,
    /// No sum is greater in size.
    bound: u128,
    ty: DataType,
}

/// No value of the array is greater in size: by its type or, where that says little, by a look at it.
fn greatest(array: &ArrayRef) -> u128 {
    match (array.data_type(), array.as_primitive_opt::<Decimal128Type>()) {
        (DataType::Decimal128(precision, _), Some(values)) if *precision > 20 => {
            if fit_64_bits(values.values()) { 1 << 63 } else { pow10(u32::from(*precision)).unsigned_abs() }
        }
        (DataType::Decimal128(precision, _), _) => pow10(u32::from(*precision)).unsigned_abs(),
        _ => 1 << 64,
    }
}

impl ExactGroups {
    fn new(ty: DataType) -> ExactGroups {
        ExactGroups { sums: Vec::new(), seen: Seen::default(), bound: 0, ty }
    }
}

impl GroupsAccumulator for ExactGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        let array = &values[0];
        self.sums.resize(total.max(self.sums.len()), 0);
        let every_row = filter.is_none() && array.null_count() == 0;
        let rows = array.len() as u128;
        self.bound = self.bound.saturating_add(rows.saturating_mul(greatest(array)));
        let sums = &mut self.sums;
        match self.seen.extend(total, every_row) {
            // The bound says that no sum can pass 127 bits.
            None if self.bound <= i128::MAX.unsigned_abs() => {
                with_exact!(array, T => add_all::<T>(array, groups, sums))
            }
            mut seen => {
                let passes = passes(filter);
                let mut overflowed = false;
                each_exact!(array, |row, value| {
                    if passes(row) {
                        let group = groups[row];
                        let (sum, over) = sums[group].overflowing_add(value);
                        sums[group] = sum;
                        overflowed |= over;
                        if let Some(seen) = &mut seen {
                            seen[group] = true;
                        }
                    }
                })?;
                if overflowed { Err(overflow()) } else { Ok(()) }
            }
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.update_batch(states, groups, None, total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let sums = emit.take_needed(&mut self.sums);
        let nulls = self.seen.take(emit, sums.len());
        if sums.iter().any(|sum| sum.unsigned_abs() >= LIMIT) {
            return Err(overflow());
        }
        Ok(Arc::new(Decimal128Array::new(sums.into(), nulls).with_data_type(self.ty.clone())))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values[0].len();
        let mut sums = vec![0; rows];
        let mut seen = vec![false; rows];
        let passes = passes(filter);
        each_exact!(&values[0], |row, value| {
            if passes(row) {
                sums[row] = value;
                seen[row] = true;
            }
        })?;
        let array = Decimal128Array::new(sums.into(), nulls_of(&seen)).with_data_type(self.ty.clone());
        Ok(vec![Arc::new(array)])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.seen.some.as_ref().map_or(0, Vec::capacity)
    }
}

#[derive(Debug)]
struct FloatGroups {
    sums: Vec<f64>,
    seen: Vec<bool>,
}

impl GroupsAccumulator for FloatGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.sums.resize(total, 0.0);
        self.seen.resize(total, false);
        let array =
            values[0].as_primitive_opt::<Float64Type>().ok_or_else(|| unexpected(values[0].data_type()))?;
        let passes = passes(filter);
        for (row, value) in array.iter().enumerate() {
            if let Some(value) = value
                && passes(row)
            {
                self.sums[groups[row]] += value;
                self.seen[groups[row]] = true;
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.update_batch(states, groups, None, total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let sums = emit.take_needed(&mut self.sums);
        let seen = emit.take_needed(&mut self.seen);
        Ok(Arc::new(PrimitiveArray::<Float64Type>::new(sums.into(), nulls_of(&seen))))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let array =
            values[0].as_primitive_opt::<Float64Type>().ok_or_else(|| unexpected(values[0].data_type()))?;
        let passes = passes(filter);
        let kept = array.iter().enumerate().map(|(row, value)| value.filter(|_| passes(row)));
        Ok(vec![Arc::new(PrimitiveArray::<Float64Type>::from_iter(kept))])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<f64>() + self.seen.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(values: &[Option<i128>]) -> ArrayRef {
        let array: Decimal128Array = values.iter().copied().collect();
        Arc::new(array.with_data_type(DataType::Decimal128(38, 0)))
    }

    fn result(groups: &mut ExactGroups, emit: EmitTo) -> Vec<Option<i128>> {
        groups.evaluate(emit).unwrap().as_primitive::<Decimal128Type>().iter().collect()
    }

    #[test]
    fn groups_without_a_value_are_null() {
        let mut groups = ExactGroups::new(DataType::Decimal128(38, 0));
        groups.update_batch(&[array(&[Some(1), Some(2)])], &[0, 1], None, 2).unwrap();
        groups.update_batch(&[array(&[None, Some(3)])], &[2, 0], None, 3).unwrap();
        let filter = BooleanArray::from(vec![Some(false), None, Some(true)]);
        groups.update_batch(&[array(&[Some(9), Some(9), Some(9)])], &[3, 4, 1], Some(&filter), 5).unwrap();
        assert_eq!(result(&mut groups, EmitTo::First(1)), [Some(4)]);
        groups.update_batch(&[array(&[Some(5)])], &[1], None, 4).unwrap();
        assert_eq!(result(&mut groups, EmitTo::All), [Some(11), Some(5), None, None]);
    }

    #[test]
    fn sums_that_need_more_digits_are_errors() {
        let most = 10i128.pow(38) - 1;
        let mut groups = ExactGroups::new(DataType::Decimal128(38, 0));
        groups.update_batch(&[array(&[Some(most), Some(-most), Some(most)])], &[0, 0, 0], None, 1).unwrap();
        assert_eq!(result(&mut groups, EmitTo::All), [Some(most)]);
        groups.update_batch(&[array(&[Some(most), Some(1)])], &[0, 0], None, 1).unwrap();
        assert!(groups.evaluate(EmitTo::All).is_err());
        let mut groups = ExactGroups::new(DataType::Decimal128(38, 0));
        assert!(groups.update_batch(&[array(&[Some(most); 2])], &[0, 0], None, 1).is_err());
    }
}
