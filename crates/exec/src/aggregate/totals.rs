//! What is kept for each group: sums, counts, least and greatest values.
//!
//! A sum of 64-bit values is gathered in 64 bits for as long as a bound on all values so far proves
//! that it fits, then carried over to 128. The state that a partial aggregation hands on and the
//! result are the same value for each of these functions.

use super::number::{Range, Value};
use crate::error::from_sql_error;
use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{self as dt, ArrowPrimitiveType, DataType};
use columnstore::Vector;
use columnstore::vectors::Ints;
use datafusion::common::{Result, internal_err};
use std::ops;
use std::sync::Arc;
use types::{ErrorKind, SqlError, SqlType};

/// Groups up to which sums are gathered in several small tables at once: a row need not wait for the
/// one before, which likely is of the same group.
const FEW: usize = 64;
const LANES: usize = 4;

/// Of a batch's rows: their groups; `None` if there are no keys and so is one group.
pub(super) type Ids<'a> = Option<&'a [u32]>;

pub(super) enum Total {
    Sum(Sum),
    Count(Vec<i64>),
    Extreme(Extreme),
}

/// Which groups have a value. As long as no NULL came, all have: a group begins with a row.
#[derive(Default)]
struct Seen {
    groups: usize,
    some: Option<Vec<bool>>,
}

impl Seen {
    /// `empty`: the groups that are there without a row.
    fn new(empty: usize) -> Seen {
        Seen { groups: empty, some: (empty > 0).then(|| vec![false; empty]) }
    }

    fn extend(&mut self, groups: usize, ids: Ids<'_>, nulls: Option<&NullBuffer>, rows: usize) {
        if nulls.is_some() && self.some.is_none() {
            self.some = Some(vec![true; self.groups]);
        }
        self.groups = groups;
        let Some(some) = &mut self.some else { return };
        some.resize(groups, false);
        let valid = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row));
        match ids {
            Some(ids) => {
                for (row, id) in ids.iter().enumerate() {
                    some[*id as usize] |= valid(row);
                }
            }
            None => some[0] |= nulls.map_or(rows > 0, |nulls| nulls.null_count() < rows),
        }
    }

    fn nulls(&self, groups: ops::Range<usize>) -> Option<NullBuffer> {
        let nulls = NullBuffer::new(BooleanBuffer::from(&self.some.as_ref()?[groups]));
        (nulls.null_count() > 0).then_some(nulls)
    }

    fn bytes(&self) -> usize {
        self.some.as_ref().map_or(0, Vec::capacity)
    }
}

pub(super) struct Sum {
    /// Of the result, a Decimal128.
    ty: DataType,
    low: Vec<i64>,
    /// No sum in `low` is greater in size.
    bound: u64,
    /// What was carried over. Empty until then.
    high: Vec<i128>,
    seen: Seen,
}

pub(super) struct Extreme {
    ty: SqlType,
    greatest: bool,
    values: Vec<i64>,
    seen: Seen,
}

impl Total {
    /// `empty`: the groups that are there without a row.
    pub(super) fn sum(ty: DataType, empty: usize) -> Total {
        Total::Sum(Sum { ty, low: Vec::new(), bound: 0, high: Vec::new(), seen: Seen::new(empty) })
    }

    pub(super) fn extreme(ty: SqlType, greatest: bool, empty: usize) -> Total {
        Total::Extreme(Extreme { ty, greatest, values: Vec::new(), seen: Seen::new(empty) })
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Total::Sum(sum) => sum.low.capacity() * 8 + sum.high.capacity() * 16 + sum.seen.bytes(),
            Total::Count(counts) => counts.capacity() * 8,
            Total::Extreme(extreme) => extreme.values.capacity() * 8 + extreme.seen.bytes(),
        }
    }

    /// The values of some groups, of all that there are `groups`.
    pub(super) fn array(&mut self, groups: ops::Range<usize>) -> Result<ArrayRef> {
        match self {
            Total::Sum(sum) => sum.array(groups),
            Total::Count(counts) => {
                counts.resize(counts.len().max(groups.end), 0);
                Ok(Arc::new(Int64Array::from_iter_values(counts[groups].iter().copied())))
            }
            Total::Extreme(extreme) => {
                extreme.values.resize(extreme.values.len().max(groups.end), 0);
                let nulls = extreme.seen.nulls(groups.clone());
                let values = extreme.values[groups].to_vec();
                Vector::Ints(Ints { values, nulls, low: i64::MIN, high: i64::MAX })
                    .to_array(extreme.ty)
                    .map_err(crate::scan::from_store_error)
            }
        }
    }
}

pub(super) fn count(
    counts: &mut Vec<i64>,
    rows: usize,
    nulls: Option<&NullBuffer>,
    ids: Ids<'_>,
    groups: usize,
) {
    counts.resize(groups, 0);
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    match (ids, nulls) {
        (None, nulls) => counts[0] += (rows - nulls.map_or(0, NullBuffer::null_count)) as i64,
        (Some(ids), None) => add_one_each(counts, ids),
        (Some(ids), Some(nulls)) => nulls.valid_indices().for_each(|row| counts[ids[row] as usize] += 1),
    }
}

fn add_one_each(counts: &mut [i64], ids: &[u32]) {
    if counts.len() > FEW {
        ids.iter().for_each(|id| counts[*id as usize] += 1);
        return;
    }
    let mut lanes = [[0u32; FEW]; LANES];
    let mut fours = ids.chunks_exact(LANES);
    for four in &mut fours {
        for (lane, id) in lanes.iter_mut().zip(four) {
            lane[*id as usize % FEW] += 1;
        }
    }
    fours.remainder().iter().for_each(|id| counts[*id as usize] += 1);
    for lane in &lanes {
        for (count, more) in counts.iter_mut().zip(lane) {
            *count += i64::from(*more);
        }
    }
}

/// Adds each value to its group's sum, for `N` sums at a time: the groups are looked at once for all. None
/// overflows.
fn add_each<const N: usize>(mut sums: [&mut [i64]; N], values: [&[i64]; N], ids: &[u32]) {
    let groups = sums.iter().map(|sums| sums.len()).max().unwrap_or(0);
    if groups > FEW {
        for (sums, values) in sums.iter_mut().zip(values) {
            for (value, id) in values.iter().zip(ids) {
                let sum = &mut sums[*id as usize];
                *sum = sum.wrapping_add(*value);
            }
        }
        return;
    }
    let mut lanes = [[[0i64; N]; FEW]; LANES];
    let values = values.map(|values| &values[..ids.len()]);
    let add = |sum: &mut [i64; N], row: usize| {
        for (sum, values) in sum.iter_mut().zip(values) {
            *sum = sum.wrapping_add(values[row]);
        }
    };
    let mut row = 0;
    while row + LANES <= ids.len() {
        for (at, lane) in lanes.iter_mut().enumerate() {
            add(&mut lane[ids[row + at] as usize % FEW], row + at);
        }
        row += LANES;
    }
    for row in row..ids.len() {
        add(&mut lanes[0][ids[row] as usize % FEW], row);
    }
    for lane in &lanes {
        for (at, sums) in sums.iter_mut().enumerate() {
            for (sum, more) in sums.iter_mut().zip(lane) {
                *sum = sum.wrapping_add(more[at]);
            }
        }
    }
}

/// Sums of few groups with the values of a batch that are still to be added to them.
#[derive(Default)]
pub(super) struct Together<'a>(Vec<(&'a mut [i64], &'a [i64])>);

impl<'a> Together<'a> {
    pub(super) fn add(mut self, ids: Ids<'_>) {
        let Some(ids) = ids else { return };
        let mut next = || self.0.pop();
        while let Some((a, u)) = next() {
            match (next(), next(), next()) {
                (Some((b, v)), Some((c, w)), Some((d, x))) => add_each([a, b, c, d], [u, v, w, x], ids),
                (Some((b, v)), Some((c, w)), None) => {
                    add_each([a, b], [u, v], ids);
                    add_each([c], [w], ids);
                }
                (Some((b, v)), ..) => add_each([a, b], [u, v], ids),
                (None, ..) => add_each([a], [u], ids),
            }
        }
    }
}

impl Sum {
    /// Adds 64-bit values that lie in `range`, or puts them into `together`, which is added later.
    pub(super) fn add<'a>(
        &'a mut self,
        values: Value<'a>,
        (low, high): Range,
        rows: usize,
        nulls: Option<&NullBuffer>,
        (ids, groups): (Ids<'_>, usize),
        together: &mut Together<'a>,
    ) {
        if rows == 0 {
            return;
        }
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        self.seen.extend(groups, ids, nulls, rows);
        self.low.resize(groups.max(self.low.len()), 0);
        let most = low.unsigned_abs().max(high.unsigned_abs()).saturating_mul(rows as u64);
        if most > i64::MAX as u64 {
            self.carry(groups);
            let id = |row: usize| ids.map_or(0, |ids| ids[row] as usize);
            for row in (0..rows).filter(|row| nulls.is_none_or(|nulls| nulls.is_valid(*row))) {
                let value = match values {
                    Value::One(value) => value,
                    Value::Many(values) => values[row],
                };
                // 64-bit values of fewer than 2^64 rows fit.
                let sum = &mut self.high[id(row)];
                *sum = sum.wrapping_add(value.into());
            }
            return;
        }
        if self.bound.saturating_add(most) > i64::MAX as u64 {
            self.carry(groups);
        }
        self.bound += most;
        let sums = &mut self.low;
        match (values, nulls, ids) {
            (Value::Many(values), None, Some(_)) => together.0.push((sums, values)),
            (Value::Many(values), None, None) => {
                sums[0] = values.iter().fold(sums[0], |sum, value| sum.wrapping_add(*value));
            }
            (Value::Many(values), Some(nulls), ids) => {
                for row in nulls.valid_indices() {
                    let sum = &mut sums[ids.map_or(0, |ids| ids[row] as usize)];
                    *sum = sum.wrapping_add(values[row]);
                }
            }
            (Value::One(value), nulls, ids) => {
                for row in (0..rows).filter(|row| nulls.is_none_or(|nulls| nulls.is_valid(*row))) {
                    let sum = &mut sums[ids.map_or(0, |ids| ids[row] as usize)];
                    *sum = sum.wrapping_add(value);
                }
            }
        }
    }

    /// Adds the values of an array of an exact numeric type.
    pub(super) fn add_array(&mut self, array: &ArrayRef, ids: Ids<'_>, groups: usize) -> Result<()> {
        macro_rules! add {
            ($ty:ty) => {
                self.add_wide::<$ty>(array, ids, groups)
            };
        }
        match array.data_type() {
            DataType::Int8 => add!(dt::Int8Type),
            DataType::Int16 => add!(dt::Int16Type),
            DataType::Int32 => add!(dt::Int32Type),
            DataType::Int64 => add!(dt::Int64Type),
            DataType::UInt8 => add!(dt::UInt8Type),
            DataType::UInt16 => add!(dt::UInt16Type),
            DataType::UInt32 => add!(dt::UInt32Type),
            DataType::UInt64 => add!(dt::UInt64Type),
            DataType::Decimal128(..) => add!(dt::Decimal128Type),
            other => internal_err!("a sum of {other}"),
        }
    }

    fn add_wide<T: ArrowPrimitiveType>(&mut self, array: &ArrayRef, ids: Ids<'_>, groups: usize) -> Result<()>
    where
        T::Native: Into<i128>,
    {
        let array = array.as_primitive::<T>();
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        self.seen.extend(groups, ids, nulls, array.len());
        self.low.resize(groups.max(self.low.len()), 0);
        self.carry(groups);
        let mut overflowed = false;
        for row in (0..array.len()).filter(|row| nulls.is_none_or(|nulls| nulls.is_valid(*row))) {
            let sum = &mut self.high[ids.map_or(0, |ids| ids[row] as usize)];
            let (more, over) = sum.overflowing_add(array.value(row).into());
            *sum = more;
            overflowed |= over;
        }
        if overflowed { Err(overflow()) } else { Ok(()) }
    }

    /// Carries the 64-bit sums over.
    fn carry(&mut self, groups: usize) {
        self.high.resize(groups.max(self.high.len()), 0);
        if self.bound > 0 {
            for (low, high) in self.low.iter_mut().zip(&mut self.high) {
                *high = high.wrapping_add((*low).into());
                *low = 0;
            }
            self.bound = 0;
        }
    }

    fn array(&mut self, groups: ops::Range<usize>) -> Result<ArrayRef> {
        self.low.resize(self.low.len().max(groups.end), 0);
        let mut sums: Vec<i128> = self.low[groups.clone()].iter().map(|low| i128::from(*low)).collect();
        // A sum may have been carried before the last groups came.
        for (sum, high) in sums.iter_mut().zip(self.high.iter().skip(groups.start)) {
            let (whole, over) = sum.overflowing_add(*high);
            if over {
                return Err(overflow());
            }
            *sum = whole;
        }
        let nulls = self.seen.nulls(groups);
        let limit = 10u128.pow(38);
        if sums.iter().any(|sum| sum.unsigned_abs() >= limit) {
            return Err(overflow());
        }
        Ok(Arc::new(Decimal128Array::new(sums.into(), nulls).with_data_type(self.ty.clone())))
    }
}

fn overflow() -> datafusion::error::DataFusionError {
    from_sql_error(SqlError::new(ErrorKind::NumericOverflow, "DECIMAL value is out of range in 'sum()'"))
}

impl Extreme {
    pub(super) fn add(&mut self, ints: &Ints, ids: Ids<'_>, groups: usize) {
        let rows = ints.values.len();
        let nulls = ints.nulls.as_ref().filter(|nulls| nulls.null_count() > 0);
        self.seen.extend(groups, ids, nulls, rows);
        let worst = if self.greatest { i64::MIN } else { i64::MAX };
        self.values.resize(groups.max(self.values.len()), worst);
        let greatest = self.greatest;
        let better = |a: i64, b: i64| if greatest { a.max(b) } else { a.min(b) };
        match (ids, nulls) {
            (None, None) => {
                self.values[0] = ints.values.iter().fold(self.values[0], |best, v| better(best, *v));
            }
            (ids, nulls) => {
                for row in (0..rows).filter(|row| nulls.is_none_or(|nulls| nulls.is_valid(*row))) {
                    let best = &mut self.values[ids.map_or(0, |ids| ids[row] as usize)];
                    *best = better(*best, ints.values[row]);
                }
            }
        }
    }
}
