//! PERCENTILE_DISC: the value at a fraction of the way through all values in order, which is one of them.
//! PERCENTILE_CONT: what lies there between two of them.

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array, new_empty_array};
use arrow::compute::{SortOptions, concat, filter, is_not_null, sort_to_indices, take};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;
use std::sync::{Arc, LazyLock};

#[derive(Debug, PartialEq, Eq, Hash)]
struct Percentile {
    continuous: bool,
    signature: Signature,
}

/// percentile_disc(value, constant fraction, whether from the greatest down)
pub(crate) fn percentile_disc() -> Arc<AggregateUDF> {
    static UDF: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| percentile(false));
    Arc::clone(&UDF)
}

/// percentile_between(value, constant fraction, whether from the greatest down); values are DOUBLE.
pub(crate) fn percentile_cont() -> Arc<AggregateUDF> {
    static UDF: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| percentile(true));
    Arc::clone(&UDF)
}

fn percentile(continuous: bool) -> Arc<AggregateUDF> {
    let signature = Signature::any(3, Volatility::Immutable);
    Arc::new(AggregateUDF::new_from_impl(Percentile { continuous, signature }))
}

impl AggregateUDFImpl for Percentile {
    /// Not DataFusion's `percentile_cont`, which is another function.
    fn name(&self) -> &str {
        if self.continuous { "percentile_between" } else { "percentile_disc" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [ty, ..] => Ok(ty.clone()),
            [] => Err(DataFusionError::Internal("percentile_disc takes a value".into())),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let item = Field::new_list_field(args.return_field.data_type().clone(), true);
        Ok(vec![Arc::new(Field::new_list(format_state_name(args.name, "values"), item, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (fraction, descending) = match args.exprs {
            [_, fraction, descending] => (constant(fraction), constant(descending)),
            _ => (None, None),
        };
        let (Some(ScalarValue::Float64(Some(fraction))), Some(ScalarValue::Boolean(Some(descending)))) =
            (fraction, descending)
        else {
            return Err(DataFusionError::Internal("percentile_disc takes constants".into()));
        };
        let ty = args.return_field.data_type().clone();
        let continuous = self.continuous;
        Ok(Box::new(Values { ty, continuous, fraction, descending, parts: Vec::new() }))
    }
}

fn constant(expr: &Arc<dyn PhysicalExpr>) -> Option<ScalarValue> {
    expr.downcast_ref::<Literal>().map(|literal| literal.value().clone())
}

/// Arrays that are put together when there are so many.
const PARTS: usize = 64;

#[derive(Debug)]
struct Values {
    ty: DataType,
    continuous: bool,
    fraction: f64,
    descending: bool,
    /// Without NULLs.
    parts: Vec<ArrayRef>,
}

impl Values {
    fn add(&mut self, array: &ArrayRef) -> Result<()> {
        // A copy: an array may be a small part of one of which other groups hold the rest.
        let part = match array.null_count() {
            0 => take(array, &UInt32Array::from_iter_values(0..array.len() as u32), None)?,
            _ => filter(array, &is_not_null(array)?)?,
        };
        if part.is_empty() {
            return Ok(());
        }
        self.parts.push(part);
        if self.parts.len() >= PARTS {
            self.parts = vec![self.together()?];
        }
        Ok(())
    }

    /// What lies between the two of these numbers that are next to the fraction; there are some.
    fn between(&self, values: &ArrayRef) -> f64 {
        let mut values = values.as_primitive::<Float64Type>().values().to_vec();
        values.sort_unstable_by(f64::total_cmp);
        if self.descending {
            values.reverse();
        }
        let at = self.fraction * (values.len() - 1) as f64;
        let (low, high) = (at.floor(), at.ceil());
        let (before, after) = (values[low as usize], values[high as usize]);
        if low == high { before } else { (high - at) * before + (at - low) * after }
    }

    /// All values as one array that holds nothing else.
    fn together(&self) -> Result<ArrayRef> {
        if self.parts.is_empty() {
            return Ok(new_empty_array(&self.ty));
        }
        let parts: Vec<&dyn Array> = self.parts.iter().map(|part| &**part).collect();
        let whole = concat(&parts)?;
        Ok(match whole.data_type() {
            DataType::Utf8View => Arc::new(whole.as_string_view().gc()),
            DataType::BinaryView => Arc::new(whole.as_binary_view().gc()),
            _ => whole,
        })
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        for row in (0..lists.len()).filter(|row| lists.is_valid(*row)) {
            self.add(&lists.value(row))?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![SingleRowListArrayBuilder::new(self.together()?).with_nullable(true).build_list_scalar()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let values = self.together()?;
        if values.is_empty() {
            return ScalarValue::try_from(&self.ty);
        }
        if self.continuous {
            return Ok(ScalarValue::Float64(Some(self.between(&values))));
        }
        // The first value that so large a part of all is not after. The product may be a little too great.
        let mut place = ((self.fraction * values.len() as f64).ceil() as usize).clamp(1, values.len());
        if place > 1 && (place - 1) as f64 / values.len() as f64 >= self.fraction {
            place -= 1;
        }
        let options = SortOptions { descending: self.descending, nulls_first: false };
        let order = sort_to_indices(&values, Some(options), Some(place))?;
        ScalarValue::try_from_array(&values, order.value(place - 1) as usize)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.parts.iter().map(|part| part.get_array_memory_size()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringViewArray};

    fn of(fraction: f64, descending: bool, arrays: &[ArrayRef]) -> ScalarValue {
        let ty = arrays[0].data_type().clone();
        let mut first = Values { ty: ty.clone(), continuous: false, fraction, descending, parts: Vec::new() };
        let mut second = Values { ty, continuous: false, fraction, descending, parts: Vec::new() };
        for array in arrays {
            first.update_batch(std::slice::from_ref(array)).unwrap();
        }
        let state = first.state().unwrap().remove(0).to_array().unwrap();
        second.merge_batch(&[state]).unwrap();
        second.evaluate().unwrap()
    }

    #[test]
    fn values_of_all_parts() {
        let numbers: Vec<ArrayRef> =
            (0..200).map(|n| Arc::new(Int64Array::from(vec![Some(n * 7 % 200), None])) as ArrayRef).collect();
        for (fraction, descending, expected) in
            [(0.0, false, 0), (0.5, false, 99), (0.5, true, 100), (1.0, false, 199), (0.001, true, 199)]
        {
            let found = of(fraction, descending, &numbers);
            assert_eq!(found, ScalarValue::Int64(Some(expected)), "{fraction} {descending}");
        }
        let texts: ArrayRef =
            Arc::new(StringViewArray::from(vec!["b", "a long text that is no part of a view", "c"]));
        assert_eq!(of(0.5, false, &[texts]), ScalarValue::Utf8View(Some("b".into())));
        let none: ArrayRef = Arc::new(Int64Array::from(vec![None, None]));
        assert_eq!(of(0.5, false, &[none]), ScalarValue::Int64(None));
    }
}
