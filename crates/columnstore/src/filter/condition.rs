//! Predicates in normal form. All comparisons of one number column with constants that must hold
//! together become one set of ranges, those of one string column one list of tests; constants are
//! in physical form. What can be decided from bounds alone is decided here.

use super::values::number_of;
use crate::encoding::key_set::KeySet;
use crate::encoding::ranges::{Ranges, float_bounds};
use crate::encoding::string_test::StringTest;
use crate::segment::format::Zone;
use crate::{Compare, Predicate, StoreError};
use std::sync::Arc;
use types::value::PhysicalValue;
use types::{ColumnId, Physical, SqlType, Value};

#[derive(Clone)]
pub(crate) enum Condition {
    /// Every row.
    Pass,
    /// No row.
    Fail,
    /// Not NULL, and the number is in the set.
    Numbers {
        column: ColumnId,
        set: Ranges,
    },
    /// Not NULL, and the number is one of these keys.
    Keys {
        column: ColumnId,
        keys: Arc<KeySet>,
    },
    /// Not NULL, and all tests pass.
    Strings {
        column: ColumnId,
        tests: Vec<StringTest>,
    },
    Null {
        column: ColumnId,
        null: bool,
    },
    Columns {
        left: ColumnId,
        op: Compare,
        right: ColumnId,
    },
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

/// What is known of a column's values in some rows without looking at them.
pub(crate) struct Known<'a> {
    pub rows: usize,
    pub nulls: usize,
    pub zone: &'a Zone,
}

type TypeOf<'a> = &'a dyn Fn(ColumnId) -> Result<SqlType, StoreError>;

impl Condition {
    pub fn of(predicates: &[Predicate], type_of: TypeOf<'_>) -> Result<Condition, StoreError> {
        let mut parts: Vec<Condition> = Vec::new();
        for predicate in predicates {
            match one(predicate, type_of)? {
                Condition::Pass => {}
                Condition::Fail => return Ok(Condition::Fail),
                Condition::All(more) => more.into_iter().for_each(|part| add(&mut parts, part)),
                part => add(&mut parts, part),
            }
        }
        if parts.iter().any(|part| matches!(part, Condition::Numbers { set, .. } if set.is_empty())) {
            return Ok(Condition::Fail);
        }
        // Cheap ones first, until it is known which of them keep few rows.
        parts.sort_by_key(Condition::effort);
        Ok(match parts.len() {
            0 => Condition::Pass,
            1 => parts.remove(0),
            _ => Condition::All(parts),
        })
    }

    fn effort(&self) -> u32 {
        match self {
            Condition::Pass | Condition::Fail | Condition::Null { .. } => 0,
            Condition::Numbers { .. } => 1,
            Condition::Keys { .. } => 2,
            Condition::Columns { .. } => 3,
            Condition::Strings { .. } => 4,
            Condition::All(parts) | Condition::Any(parts) => {
                5 + parts.iter().map(Condition::effort).sum::<u32>()
            }
        }
    }

    /// True: every row passes. False: none does. None: look at the rows.
    pub fn decide<'a>(&self, known: &dyn Fn(ColumnId) -> Option<Known<'a>>) -> Option<bool> {
        match self {
            Condition::Pass => Some(true),
            Condition::Fail => Some(false),
            Condition::Numbers { column, set } => {
                let known = known(*column)?;
                if known.nulls == known.rows {
                    return Some(false);
                }
                let Zone::Numbers(low, high) = *known.zone else { return None };
                if !set.touches(low, high) {
                    return Some(false);
                }
                (known.nulls == 0 && set.covers(low, high)).then_some(true)
            }
            Condition::Keys { column, keys } => {
                let known = known(*column)?;
                if known.nulls == known.rows {
                    return Some(false);
                }
                let Zone::Numbers(low, high) = *known.zone else { return None };
                if keys.touches(low, high) { None } else { Some(false) }
            }
            Condition::Strings { column, tests } => {
                let known = known(*column)?;
                if known.nulls == known.rows {
                    return Some(false);
                }
                let Zone::Strings(low, high) = known.zone else { return None };
                let may = |test: &StringTest| test.may_pass(low, high.as_deref());
                if tests.iter().all(may) { None } else { Some(false) }
            }
            Condition::Null { column, null } => {
                let known = known(*column)?;
                if known.nulls == 0 {
                    Some(!null)
                } else if known.nulls == known.rows {
                    Some(*null)
                } else {
                    None
                }
            }
            Condition::Columns { left, op, right } => {
                let (left, right) = (known(*left)?, known(*right)?);
                if left.nulls == left.rows || right.nulls == right.rows {
                    return Some(false);
                }
                let (Zone::Numbers(a, b), Zone::Numbers(c, d)) = (left.zone, right.zone) else {
                    return None;
                };
                let holds = if b < c {
                    op.holds(std::cmp::Ordering::Less)
                } else if a > d {
                    op.holds(std::cmp::Ordering::Greater)
                } else {
                    return None;
                };
                match holds {
                    false => Some(false),
                    // A NaN has a key but passes nothing, so only a bound of both sides counts.
                    true => None,
                }
            }
            Condition::All(parts) => {
                let mut all = Some(true);
                for part in parts {
                    match part.decide(known) {
                        Some(false) => return Some(false),
                        Some(true) => {}
                        None => all = None,
                    }
                }
                all
            }
            Condition::Any(parts) => {
                let mut any = Some(false);
                for part in parts {
                    match part.decide(known) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        None => any = None,
                    }
                }
                any
            }
        }
    }
}

/// Adds a part to a conjunction, into an earlier one of the same column where both are constants'.
fn add(parts: &mut Vec<Condition>, part: Condition) {
    for earlier in parts.iter_mut() {
        match (earlier, &part) {
            (Condition::Numbers { column, set }, Condition::Numbers { column: other, set: more })
                if column == other =>
            {
                *set = set.and(more);
                return;
            }
            (Condition::Strings { column, tests }, Condition::Strings { column: other, tests: more })
                if column == other =>
            {
                tests.extend_from_slice(more);
                return;
            }
            _ => {}
        }
    }
    parts.push(part);
}

fn one(predicate: &Predicate, type_of: TypeOf<'_>) -> Result<Condition, StoreError> {
    Ok(match predicate {
        Predicate::Compare { column, op, value } => {
            let ty = type_of(*column)?;
            match constant(value, ty)? {
                None => Condition::Fail,
                Some(PhysicalValue::Bytes(bytes)) => {
                    Condition::Strings { column: *column, tests: vec![StringTest::Compare(*op, bytes)] }
                }
                Some(number) => match number_of(&number) {
                    Some(number) => numbers(*column, ty, compared(*op, number)),
                    None => Condition::Fail,
                },
            }
        }
        Predicate::In { column, values } => {
            let ty = type_of(*column)?;
            let mut strings = Vec::new();
            let mut points = Vec::new();
            for value in values {
                match constant(value, ty)? {
                    Some(PhysicalValue::Bytes(bytes)) => strings.push(bytes),
                    Some(number) => points.extend(number_of(&number)),
                    None => {}
                }
            }
            match ty.physical() {
                Physical::Bytes if strings.is_empty() => Condition::Fail,
                Physical::Bytes => {
                    strings.sort_unstable();
                    strings.dedup();
                    Condition::Strings { column: *column, tests: vec![StringTest::In(strings)] }
                }
                _ => numbers(*column, ty, Ranges::points(points)),
            }
        }
        Predicate::Keys { column, keys } => {
            let ty = type_of(*column)?;
            if ty.physical() != Physical::I64 {
                return Err(StoreError::internal(format_args!(
                    "{ty} of column {column} has no integer keys"
                )));
            }
            if keys.is_empty() {
                return Ok(Condition::Fail);
            }
            Condition::Keys { column: *column, keys: keys.clone() }
        }
        Predicate::IsNull(column) => Condition::Null { column: *column, null: true },
        Predicate::IsNotNull(column) => Condition::Null { column: *column, null: false },
        Predicate::Columns { left, op, right } => {
            let types = (type_of(*left)?, type_of(*right)?);
            if types.0.physical() != types.1.physical()
                || scale(types.0) != scale(types.1)
                || types.0.is_unsigned() != types.1.is_unsigned()
            {
                return Err(StoreError::internal(format_args!(
                    "columns {left} of type {} and {right} of type {} cannot be compared as they are",
                    types.0, types.1
                )));
            }
            Condition::Columns { left: *left, op: *op, right: *right }
        }
        Predicate::Bytes { column, test, label } => {
            let ty = type_of(*column)?;
            if ty.physical() != Physical::Bytes {
                return Err(StoreError::internal(format_args!(
                    "column {column} of type {ty} cannot be tested by '{label}'"
                )));
            }
            Condition::Strings { column: *column, tests: vec![StringTest::Test(test.clone())] }
        }
        Predicate::Or(branches) => {
            let mut parts: Vec<Condition> = Vec::new();
            for branch in branches {
                match Condition::of(branch, type_of)? {
                    Condition::Pass => return Ok(Condition::Pass),
                    Condition::Fail => {}
                    Condition::Any(more) => parts.extend(more),
                    part => parts.push(part),
                }
            }
            either(parts)
        }
    })
}

/// A disjunction; number conditions of one column become one.
fn either(parts: Vec<Condition>) -> Condition {
    let mut merged: Vec<Condition> = Vec::new();
    'parts: for part in parts {
        if let Condition::Numbers { column, set } = &part {
            for earlier in &mut merged {
                if let Condition::Numbers { column: other, set: more } = earlier
                    && other == column
                {
                    *more = more.or(set);
                    continue 'parts;
                }
            }
        }
        merged.push(part);
    }
    match merged.len() {
        0 => Condition::Fail,
        1 => merged.remove(0),
        _ => Condition::Any(merged),
    }
}

fn scale(ty: SqlType) -> u8 {
    match ty {
        SqlType::Decimal { scale, .. } => scale,
        _ => 0,
    }
}

fn numbers(column: ColumnId, ty: SqlType, set: Ranges) -> Condition {
    let set = match ty.physical() {
        // NaNs lie outside of the infinities and pass nothing.
        Physical::F32 | Physical::F64 => {
            let (low, high) = float_bounds();
            set.and(&Ranges::between(low.into(), high.into()))
        }
        _ => set,
    };
    if set.is_empty() { Condition::Fail } else { Condition::Numbers { column, set } }
}

fn compared(op: Compare, number: i128) -> Ranges {
    let below = || number.checked_sub(1).map_or(Ranges::none(), |high| Ranges::between(i128::MIN, high));
    let above = || number.checked_add(1).map_or(Ranges::none(), |low| Ranges::between(low, i128::MAX));
    match op {
        Compare::Eq => Ranges::between(number, number),
        Compare::NotEq => Ranges::except(number),
        Compare::Less => below(),
        Compare::LessEq => Ranges::between(i128::MIN, number),
        Compare::Greater => above(),
        Compare::GreaterEq => Ranges::between(number, i128::MAX),
    }
}

/// None for NULL.
fn constant(value: &Value, ty: SqlType) -> Result<Option<PhysicalValue>, StoreError> {
    if value.is_null() {
        return Ok(None);
    }
    match value.to_physical(ty) {
        Some(value) => Ok(Some(value)),
        None => {
            Err(StoreError::internal(format_args!("the constant {value:?} is not of the column's type {ty}")))
        }
    }
}
