//! Exact arithmetic on 64-bit integers: sums and products of columns and constants that MySQL types as
//! DECIMAL.
//!
//! A [`Numbers`] is a list of operations, each on columns, constants or the results of earlier ones;
//! equal operations stand in it once. For the rows of a batch, the ranges of the columns are passed
//! through the operations first. Those whose result is sure to fit 64 bits run unchecked; for the others
//! the caller evaluates the expression that they came from, in 128 bits with its checks.
//!
//! Decimals are unscaled integers here: an operand is multiplied by a power of ten where scales differ.

use arrow::datatypes::DataType;
use columnstore::{Vector, Vectors};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use std::sync::Arc;
use types::{Physical, SqlType};

/// An operand: a place in the list of operations.
pub(super) type Place = usize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Column(usize),
    Constant(i64),
    /// `left * left_factor + right * right_factor`
    Sum {
        left: Place,
        left_factor: i64,
        right: Place,
        right_factor: i64,
    },
    Product {
        left: Place,
        right: Place,
    },
}

/// The lowest and the greatest that a value may be.
pub(super) type Range = (i64, i64);

#[derive(Debug, Default)]
pub(super) struct Numbers {
    operations: Vec<Operation>,
}

/// An expression as it is being translated.
struct Term {
    place: Place,
    scale: u8,
}

impl Numbers {
    /// Adds an expression over columns of the given types. `None` if it is anything but exact
    /// arithmetic on them; some of its parts may have been added then.
    pub(super) fn add(&mut self, expr: &Arc<dyn PhysicalExpr>, types: &[SqlType]) -> Option<Place> {
        self.term(expr, types).map(|term| term.place)
    }

    fn push(&mut self, operation: Operation) -> Place {
        match self.operations.iter().position(|known| *known == operation) {
            Some(place) => place,
            None => {
                self.operations.push(operation);
                self.operations.len() - 1
            }
        }
    }

    fn term(&mut self, expr: &Arc<dyn PhysicalExpr>, types: &[SqlType]) -> Option<Term> {
        if let Some(column) = expr.downcast_ref::<Column>() {
            let scale = match *types.get(column.index())? {
                SqlType::Decimal { scale, .. } => scale,
                // Its physical form is not its value.
                ty if ty.is_flipped() => return None,
                ty if ty.is_integer() && ty.physical() == Physical::I64 => 0,
                _ => return None,
            };
            return Some(Term { place: self.push(Operation::Column(column.index())), scale });
        }
        if let Some(literal) = expr.downcast_ref::<Literal>() {
            let (value, scale) = match literal.value() {
                ScalarValue::Decimal128(Some(value), _, scale) => {
                    (i64::try_from(*value).ok()?, u8::try_from(*scale).ok()?)
                }
                ScalarValue::Int64(Some(value)) => (*value, 0),
                ScalarValue::Int32(Some(value)) => (i64::from(*value), 0),
                _ => return None,
            };
            return Some(Term { place: self.push(Operation::Constant(value)), scale });
        }
        if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() {
            let DataType::Decimal128(_, scale) = call.return_type() else { return None };
            let operator = match call.name() {
                "add" => Operator::Plus,
                "subtract" => Operator::Minus,
                "multiply" => Operator::Multiply,
                _ => return None,
            };
            let [left, right] = call.args() else { return None };
            return self.binary(operator, left, right, u8::try_from(*scale).ok()?, types);
        }
        if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
            let (left, right) =
                (self.decimal_type(binary.left(), types)?, self.decimal_type(binary.right(), types)?);
            let scale = match binary.op() {
                Operator::Plus | Operator::Minus => left.max(right),
                Operator::Multiply => left.checked_add(right)?,
                _ => return None,
            };
            return self.binary(*binary.op(), binary.left(), binary.right(), scale, types);
        }
        if let Some(cast) = expr.downcast_ref::<CastExpr>() {
            let DataType::Decimal128(precision, scale) = *cast.cast_type() else { return None };
            let (scale, digits) = (u8::try_from(scale).ok()?, digits(cast.expr(), types)?);
            let term = self.term(cast.expr(), types)?;
            // Only casts that cannot fail nor round.
            if scale < term.scale || precision.checked_sub(scale)? < digits.checked_sub(term.scale)? {
                return None;
            }
            let factor = power(scale - term.scale)?;
            let place = match factor {
                1 => term.place,
                factor => {
                    let factor = self.push(Operation::Constant(factor));
                    self.push(Operation::Product { left: term.place, right: factor })
                }
            };
            return Some(Term { place, scale });
        }
        None
    }

    /// The scale of an operand of DataFusion's own operators, which must be a decimal.
    fn decimal_type(&self, expr: &Arc<dyn PhysicalExpr>, types: &[SqlType]) -> Option<u8> {
        match type_of(expr, types)? {
            DataType::Decimal128(_, scale) => u8::try_from(scale).ok(),
            _ => None,
        }
    }

    fn binary(
        &mut self,
        operator: Operator,
        left: &Arc<dyn PhysicalExpr>,
        right: &Arc<dyn PhysicalExpr>,
        scale: u8,
        types: &[SqlType],
    ) -> Option<Term> {
        let (left, right) = (self.term(left, types)?, self.term(right, types)?);
        let place = if operator == Operator::Multiply {
            // A product whose scale is cut is rounded.
            if left.scale.checked_add(right.scale)? != scale {
                return None;
            }
            self.push(Operation::Product { left: left.place, right: right.place })
        } else {
            let left_factor = power(scale.checked_sub(left.scale)?)?;
            let right_factor = power(scale.checked_sub(right.scale)?)?;
            let right_factor = if operator == Operator::Minus { -right_factor } else { right_factor };
            self.push(Operation::Sum { left: left.place, left_factor, right: right.place, right_factor })
        };
        Some(Term { place, scale })
    }

    /// The ranges of all results for these rows, into `ranges`: `None` where a value may not fit 64 bits
    /// or is made of a column that is not held as integers.
    pub(super) fn ranges(&self, vectors: &Vectors, ranges: &mut Vec<Option<Range>>) {
        ranges.clear();
        for operation in &self.operations {
            ranges.push(match *operation {
                Operation::Column(column) => match vectors.columns().get(column) {
                    Some(Vector::Ints(ints)) => Some((ints.low, ints.high)),
                    _ => None,
                },
                Operation::Constant(value) => Some((value, value)),
                Operation::Sum { left, left_factor, right, right_factor } => {
                    let times = |place: Place, factor| product(ranges[place], Some((factor, factor)));
                    add(times(left, left_factor), times(right, right_factor))
                }
                Operation::Product { left, right } => product(ranges[left], ranges[right]),
            });
        }
    }

    /// Runs the operations that have a range: nothing overflows there.
    pub(super) fn compute(&self, vectors: &Vectors, ranges: &[Option<Range>], results: &mut Vec<Vec<i64>>) {
        results.resize_with(self.operations.len(), Vec::new);
        let rows = vectors.rows();
        for (place, operation) in self.operations.iter().enumerate() {
            let (left, right) = match *operation {
                Operation::Column(_) | Operation::Constant(_) => continue,
                Operation::Sum { left, right, .. } | Operation::Product { left, right } => (left, right),
            };
            if ranges[place].is_none() {
                continue;
            }
            let mut to = std::mem::take(&mut results[place]);
            to.clear();
            let (left, right) = (self.value(left, vectors, results), self.value(right, vectors, results));
            match *operation {
                Operation::Sum { left_factor, right_factor, .. } => {
                    sums(left, left_factor, right, right_factor, rows, &mut to);
                }
                _ => products(left, right, rows, &mut to),
            }
            results[place] = to;
        }
    }

    /// The values of a place once they are computed.
    pub(super) fn value<'a>(&self, place: Place, vectors: &'a Vectors, results: &'a [Vec<i64>]) -> Value<'a> {
        match self.operations[place] {
            Operation::Constant(value) => Value::One(value),
            Operation::Column(column) => match &vectors.columns()[column] {
                Vector::Ints(ints) => Value::Many(&ints.values),
                // Invariant: `ranges` has seen integers there.
                _ => Value::Many(&[]),
            },
            _ => Value::Many(&results[place]),
        }
    }
}

#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    One(i64),
    Many(&'a [i64]),
}

/// The type of an expression over columns of these types, of the kinds that are translated.
fn type_of(expr: &Arc<dyn PhysicalExpr>, types: &[SqlType]) -> Option<DataType> {
    if let Some(column) = expr.downcast_ref::<Column>() {
        return types.get(column.index()).map(|ty| ty.arrow());
    }
    if let Some(literal) = expr.downcast_ref::<Literal>() {
        return Some(literal.value().data_type());
    }
    if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() {
        return Some(call.return_type().clone());
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        return Some(cast.cast_type().clone());
    }
    let binary = expr.downcast_ref::<BinaryExpr>()?;
    let of = |expr| match type_of(expr, types)? {
        DataType::Decimal128(precision, scale) => Some((precision, scale)),
        _ => None,
    };
    let ((p1, s1), (p2, s2)) = (of(binary.left())?, of(binary.right())?);
    Some(match binary.op() {
        Operator::Multiply => DataType::Decimal128((p1 + p2 + 1).min(38), s1.checked_add(s2)?),
        _ => DataType::Decimal128((p1.max(p2) + 1).min(38), s1.max(s2)),
    })
}

/// The most digits that a value of an expression has.
fn digits(expr: &Arc<dyn PhysicalExpr>, types: &[SqlType]) -> Option<u8> {
    Some(match type_of(expr, types)? {
        DataType::Decimal128(precision, _) => precision,
        DataType::Int8 | DataType::UInt8 => 3,
        DataType::Int16 | DataType::UInt16 => 5,
        DataType::Int32 | DataType::UInt32 => 10,
        DataType::Int64 => 19,
        _ => return None,
    })
}

fn power(exponent: u8) -> Option<i64> {
    10i64.checked_pow(exponent.into())
}

fn add(left: Option<Range>, right: Option<Range>) -> Option<Range> {
    let (left, right) = (left?, right?);
    Some((left.0.checked_add(right.0)?, left.1.checked_add(right.1)?))
}

fn product(left: Option<Range>, right: Option<Range>) -> Option<Range> {
    let (left, right) = (left?, right?);
    let corners = [
        left.0.checked_mul(right.0)?,
        left.0.checked_mul(right.1)?,
        left.1.checked_mul(right.0)?,
        left.1.checked_mul(right.1)?,
    ];
    let (mut low, mut high) = (corners[0], corners[0]);
    for corner in corners {
        (low, high) = (low.min(corner), high.max(corner));
    }
    Some((low, high))
}

/// Extends `to` by `apply` of each row's operands.
fn each(left: Value<'_>, right: Value<'_>, rows: usize, to: &mut Vec<i64>, apply: impl Fn(i64, i64) -> i64) {
    match (left, right) {
        (Value::Many(left), Value::Many(right)) => {
            to.extend(left.iter().zip(right).map(|(left, right)| apply(*left, *right)));
        }
        (Value::One(left), Value::Many(right)) => to.extend(right.iter().map(|right| apply(left, *right))),
        (Value::Many(left), Value::One(right)) => to.extend(left.iter().map(|left| apply(*left, right))),
        (Value::One(left), Value::One(right)) => to.resize(rows, apply(left, right)),
    }
}

fn products(left: Value<'_>, right: Value<'_>, rows: usize, to: &mut Vec<i64>) {
    each(left, right, rows, to, i64::wrapping_mul);
}

fn sums(
    left: Value<'_>,
    left_factor: i64,
    right: Value<'_>,
    right_factor: i64,
    rows: usize,
    to: &mut Vec<i64>,
) {
    // Constants take their factor at once, and most others have none: additions are cheap.
    let scaled = |value: Value<'_>, factor: i64| match value {
        Value::One(one) => (Some(one.wrapping_mul(factor)), 1),
        Value::Many(_) => (None, factor),
    };
    let (left_one, left_factor) = scaled(left, left_factor);
    let (right_one, right_factor) = scaled(right, right_factor);
    let left = left_one.map_or(left, Value::One);
    let right = right_one.map_or(right, Value::One);
    match (left_factor, right_factor) {
        (1, 1) => each(left, right, rows, to, i64::wrapping_add),
        (1, -1) => each(left, right, rows, to, i64::wrapping_sub),
        _ => each(left, right, rows, to, |left, right| {
            left.wrapping_mul(left_factor).wrapping_add(right.wrapping_mul(right_factor))
        }),
    }
}
