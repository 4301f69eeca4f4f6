//! What is known of a table's values, and what share of its rows a condition lets through.

use columnstore::{Compare, Predicate};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue};
use std::collections::HashMap;
use std::sync::Arc;
use types::{ColumnId, SqlType, TableDef, Value};

/// Different values of a column that nothing is known of.
const UNKNOWN_DISTINCT: f64 = 200.0;

/// A table over all of its partitions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableEstimate {
    pub rows: u64,
    pub columns: HashMap<ColumnId, ColumnEstimate>,
}

/// One column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ColumnEstimate {
    pub min: Option<Value>,
    pub max: Option<Value>,
    pub nulls: u64,
    /// Distinct values; 0: unknown.
    pub distinct: u64,
    /// Bytes of all values, unencoded; 0: unknown.
    pub bytes: u64,
}

/// What the planner is told of the tables. No answer may depend on it, and tests try that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Told {
    #[default]
    Known,
    Nothing,
    /// Numbers that have nothing to do with the rows, the same for the same seed.
    Scrambled(u64),
}

impl Told {
    /// The estimate, or what is said in its place.
    pub fn of(self, def: &TableDef, estimate: Arc<TableEstimate>) -> Arc<TableEstimate> {
        match self {
            Told::Known => estimate,
            Told::Nothing => Arc::default(),
            Told::Scrambled(seed) => Arc::new(estimate.scrambled(def, seed)),
        }
    }
}

/// Different numbers for different inputs, spread over all of the 64 bits (SplitMix64).
fn mixed(seed: u64, table: u64, what: u64) -> u64 {
    let mut z = [seed, table, what].into_iter().fold(0x9e37_79b9_7f4a_7c15u64, |z, part| {
        let z = (z ^ part).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z ^ (z >> 29)
    });
    z = (z ^ (z >> 30)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// From 0 to some 10^9, each order of magnitude as often.
fn any_count(dice: u64) -> u64 {
    let magnitude = (dice >> 32) % 31;
    dice % (1 << magnitude)
}

impl TableEstimate {
    /// See [`Told::Scrambled`].
    fn scrambled(&self, def: &TableDef, seed: u64) -> TableEstimate {
        let dice = |what: u64| mixed(seed, u64::from(def.id.0), what);
        let columns = def.columns.iter().map(|column| {
            let known = self.columns.get(&column.id).cloned().unwrap_or_default();
            let what = |n: u64| dice(u64::from(column.id.0) * 8 + n);
            let (min, max) = match what(1) % 4 {
                0 => (None, None),
                1 => (known.max, known.min),
                2 => (known.min.clone(), known.min),
                _ => (known.max.clone(), known.max),
            };
            let [nulls, distinct, bytes] = [what(2), what(3), what(4)].map(any_count);
            (column.id, ColumnEstimate { min, max, nulls, distinct, bytes })
        });
        TableEstimate { rows: any_count(dice(0)), columns: columns.collect() }
    }

    /// Adds what another partition of the same table holds. `sharded_by`: columns that have no value
    /// in common between partitions, whose distinct values therefore add up.
    pub fn add(&mut self, other: &TableEstimate, sharded_by: &[ColumnId]) {
        for (id, theirs) in &other.columns {
            let ours = self.columns.entry(*id).or_default();
            ours.distinct = match (ours.distinct, theirs.distinct) {
                (a, b) if self.rows == 0 => a.max(b),
                (a, b) if sharded_by == [*id] => a + b,
                // Values that repeat often are in every partition; those that are nearly unique are not.
                (a, b) => {
                    let unique_share = (a.max(b) as f64 / (self.rows.max(other.rows).max(1)) as f64).min(1.0);
                    a.max(b) + (a.min(b) as f64 * unique_share) as u64
                }
            };
            ours.nulls += theirs.nulls;
            ours.bytes += theirs.bytes;
            ours.min = extreme(ours.min.take(), theirs.min.clone(), Compare::Less);
            ours.max = extreme(ours.max.take(), theirs.max.clone(), Compare::Greater);
        }
        self.rows += other.rows;
    }

    /// Different values of a column. Of one that nothing is known of: as many as rows if it is a key
    /// by itself, else some.
    pub fn distinct(&self, def: &TableDef, column: ColumnId) -> f64 {
        let rows = self.rows as f64;
        match self.columns.get(&column) {
            Some(known) if known.distinct > 0 => (known.distinct as f64).min(rows.max(1.0)),
            _ if def.primary_key == [column] || def.shard_key == [column] => rows.max(1.0),
            _ => UNKNOWN_DISTINCT.min(rows).max(1.0),
        }
    }

    /// The share of rows, 0 to 1, for which all predicates are TRUE.
    pub fn selectivity(&self, def: &TableDef, predicates: &[Predicate]) -> f64 {
        // Bounds of one column are not independent of each other: gather them into one range first.
        let mut ranges: HashMap<ColumnId, Range> = HashMap::new();
        let mut share = 1.0;
        for predicate in predicates {
            match predicate {
                Predicate::Compare { column, op, value }
                    if !matches!(op, Compare::Eq | Compare::NotEq)
                        && self.position(*column, value).is_some() =>
                {
                    let range = ranges.entry(*column).or_insert(Range { low: 0.0, high: 1.0 });
                    let at = self.position(*column, value).unwrap_or(0.5);
                    match op {
                        Compare::Less | Compare::LessEq => range.high = range.high.min(at),
                        _ => range.low = range.low.max(at),
                    }
                }
                other => share *= self.one(def, other),
            }
        }
        for (column, range) in ranges {
            share *=
                (range.high - range.low).clamp(1.0 / self.distinct(def, column), 1.0) * self.not_null(column);
        }
        share.clamp(0.0, 1.0)
    }

    fn one(&self, def: &TableDef, predicate: &Predicate) -> f64 {
        let equal = |column: ColumnId| 1.0 / self.distinct(def, column);
        match predicate {
            Predicate::Compare { column, op, value } => match op {
                Compare::Eq if self.outside(*column, value) => 0.0,
                Compare::Eq => equal(*column) * self.not_null(*column),
                Compare::NotEq => (1.0 - equal(*column)) * self.not_null(*column),
                // No position in the range is known: a string, say.
                _ => 0.33,
            },
            Predicate::In { column, values } => {
                let inside = values.iter().filter(|value| !self.outside(*column, value)).count();
                (inside as f64 * equal(*column)).min(1.0) * self.not_null(*column)
            }
            Predicate::Keys { column, keys } => {
                (keys.len() as f64 * equal(*column)).min(1.0) * self.not_null(*column)
            }
            Predicate::IsNull(column) => 1.0 - self.not_null(*column),
            Predicate::IsNotNull(column) => self.not_null(*column),
            Predicate::Columns { left, op, right } => match op {
                Compare::Eq => equal(*left).min(equal(*right)),
                Compare::NotEq => 0.9,
                _ => 0.45,
            },
            Predicate::Bytes { column, label, .. } => {
                let matching = if label.contains("IN ") {
                    let n = label.split(' ').find_map(|word| word.parse::<f64>().ok()).unwrap_or(1.0);
                    (0.04 * n).min(0.5)
                } else if label.contains("LIKE '%") {
                    0.08
                } else {
                    0.05
                };
                (if label.contains("NOT ") { 1.0 - matching } else { matching }) * self.not_null(*column)
            }
            Predicate::Or(branches) => {
                1.0 - branches.iter().map(|branch| 1.0 - self.selectivity(def, branch)).product::<f64>()
            }
        }
    }

    fn not_null(&self, column: ColumnId) -> f64 {
        match self.columns.get(&column) {
            Some(known) if self.rows > 0 => 1.0 - (known.nulls as f64 / self.rows as f64).min(1.0),
            _ => 1.0,
        }
    }

    fn outside(&self, column: ColumnId, value: &Value) -> bool {
        let Some(known) = self.columns.get(&column) else { return false };
        let beyond = |bound: &Option<Value>, op| match (bound.as_ref().and_then(as_number), as_number(value))
        {
            (Some(bound), Some(value)) => compare_numbers(value, op, bound),
            _ => match (bound, value) {
                (Some(Value::Text(bound)), Value::Text(value)) => Compare::holds(op, value.cmp(bound)),
                _ => false,
            },
        };
        beyond(&known.min, Compare::Less) || beyond(&known.max, Compare::Greater)
    }

    /// Where in the column's range the value lies, 0 to 1.
    fn position(&self, column: ColumnId, value: &Value) -> Option<f64> {
        let known = self.columns.get(&column)?;
        let (min, max) = (as_number(known.min.as_ref()?)?, as_number(known.max.as_ref()?)?);
        let value = as_number(value)?;
        if max <= min {
            return Some(if value < min { 0.0 } else { 1.0 });
        }
        Some(((value - min) / (max - min)).clamp(0.0, 1.0))
    }
}

struct Range {
    low: f64,
    high: f64,
}

fn compare_numbers(left: f64, op: Compare, right: f64) -> bool {
    left.partial_cmp(&right).is_some_and(|ordering| op.holds(ordering))
}

fn extreme(a: Option<Value>, b: Option<Value>, better: Compare) -> Option<Value> {
    match (a, b) {
        (Some(a), Some(b)) => {
            let b_better = match (&a, &b) {
                (Value::Text(a), Value::Text(b)) => better.holds(b.cmp(a)),
                (Value::Bytes(a), Value::Bytes(b)) => better.holds(b.cmp(a)),
                _ => match (as_number(&a), as_number(&b)) {
                    (Some(a), Some(b)) => compare_numbers(b, better, a),
                    _ => false,
                },
            };
            Some(if b_better { b } else { a })
        }
        (a, b) => a.or(b),
    }
}

/// A value as a point on a line, if its type has one.
pub fn as_number(value: &Value) -> Option<f64> {
    Some(match value {
        Value::Int(v) | Value::Time(v) | Value::DateTime(v) | Value::Timestamp(v) => *v as f64,
        Value::UInt(v) => *v as f64,
        Value::Decimal { unscaled, scale } => *unscaled as f64 / 10f64.powi(i32::from(*scale)),
        Value::Float(v) => f64::from(*v),
        Value::Double(v) => *v,
        Value::Date(v) => f64::from(*v),
        Value::Null | Value::Text(_) | Value::Bytes(_) => return None,
    })
}

/// The value as DataFusion holds it in a column of type `ty`.
pub fn to_scalar(value: &Value, ty: SqlType) -> Option<ScalarValue> {
    use ScalarValue as S;
    Some(match (value, ty) {
        (Value::Int(v), _) => S::Int64(Some(*v)).cast_to(&ty.arrow()).ok()?,
        (Value::UInt(v), _) => S::UInt64(Some(*v)).cast_to(&ty.arrow()).ok()?,
        (Value::Decimal { unscaled, scale: found }, SqlType::Decimal { precision, scale })
            if *found == scale =>
        {
            S::Decimal128(Some(*unscaled), precision, scale as i8)
        }
        (Value::Float(v), SqlType::Float) => S::Float32(Some(*v)),
        (Value::Double(v), SqlType::Double) => S::Float64(Some(*v)),
        (Value::Date(v), SqlType::Date) => S::Date32(Some(*v)),
        (Value::Time(v), SqlType::Time { .. }) => S::DurationMicrosecond(Some(*v)),
        (Value::DateTime(v), SqlType::DateTime { .. }) => S::TimestampMicrosecond(Some(*v), None),
        (Value::Timestamp(v), SqlType::Timestamp { .. }) => {
            S::TimestampMicrosecond(Some(*v), Some(Arc::from("+00:00")))
        }
        (Value::Text(v), ty) if ty.is_string() => S::Utf8View(Some(v.clone())),
        (Value::Bytes(v), _) => S::BinaryView(Some(v.clone())),
        _ => return None,
    })
}

impl ColumnEstimate {
    /// As DataFusion's nodes pass it on, for `rows` rows that are left of `all`.
    pub(crate) fn to_statistics(&self, ty: SqlType, rows: usize, all: u64) -> ColumnStatistics {
        let scalar = |value: &Option<Value>| match value.as_ref().and_then(|value| to_scalar(value, ty)) {
            Some(value) => Precision::Inexact(value),
            None => Precision::Absent,
        };
        let share = if all == 0 { 0.0 } else { rows as f64 / all as f64 };
        ColumnStatistics {
            null_count: Precision::Inexact((self.nulls as f64 * share) as usize),
            min_value: scalar(&self.min),
            max_value: scalar(&self.max),
            sum_value: Precision::Absent,
            distinct_count: match self.distinct {
                0 => Precision::Absent,
                distinct => Precision::Inexact((distinct as usize).min(rows)),
            },
            byte_size: match self.bytes {
                0 => Precision::Absent,
                bytes => Precision::Inexact((bytes as f64 * share) as usize),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> TableEstimate {
        let number = |min, max, distinct| ColumnEstimate {
            min: Some(Value::Int(min)),
            max: Some(Value::Int(max)),
            distinct,
            ..ColumnEstimate::default()
        };
        let columns =
            HashMap::from([(ColumnId(1), number(0, 100, 101)), (ColumnId(2), number(1, 1000, 1000))]);
        TableEstimate { rows: 1000, columns }
    }

    fn def() -> TableDef {
        let ty = SqlType::BigInt { unsigned: false };
        crate::testing::table_def(1, "t", &[("a", ty, false), ("b", ty, false), ("c", ty, false)], &["b"])
    }

    fn compare(op: Compare, value: i64) -> Predicate {
        Predicate::Compare { column: ColumnId(1), op, value: Value::Int(value) }
    }

    #[test]
    fn ranges_of_one_column_meet_and_values_outside_match_nothing() {
        let table = table();
        let within = |predicates: &[Predicate], low: f64, high: f64| {
            let share = table.selectivity(&def(), predicates);
            assert!((low..=high).contains(&share), "{predicates:?}: {share}");
        };
        within(&[compare(Compare::Less, 50)], 0.45, 0.55);
        within(&[compare(Compare::GreaterEq, 40), compare(Compare::Less, 50)], 0.08, 0.12);
        within(&[compare(Compare::Eq, 7)], 0.009, 0.011);
        within(&[compare(Compare::Eq, 700)], 0.0, 0.0);
        within(
            &[Predicate::Compare { column: ColumnId(3), op: Compare::Eq, value: Value::Int(1) }],
            0.005,
            0.005,
        );
        within(
            &[Predicate::Or(vec![vec![compare(Compare::Less, 50)], vec![compare(Compare::Greater, 50)]])],
            0.7,
            0.8,
        );
    }

    #[test]
    fn what_is_told_can_be_nothing_or_wrong() {
        let known = Arc::new(table());
        let told = |told: Told| told.of(&def(), known.clone());
        assert_eq!(told(Told::Known), known);
        assert_eq!(*told(Told::Nothing), TableEstimate::default());
        assert_eq!(told(Told::Scrambled(1)), told(Told::Scrambled(1)));
        let rows: Vec<u64> = (0..1000).map(|seed| told(Told::Scrambled(seed)).rows).collect();
        assert!(rows.contains(&0) && rows.iter().any(|rows| *rows > 100_000_000), "{rows:?}");
        assert!(rows.iter().filter(|rows| **rows < 1000).count() > 100, "{rows:?}");
    }

    #[test]
    fn partitions_add_up() {
        let mut sum = TableEstimate::default();
        sum.add(&table(), &[ColumnId(2)]);
        sum.add(&table(), &[ColumnId(2)]);
        assert_eq!(sum.rows, 2000);
        assert_eq!(sum.columns[&ColumnId(2)].distinct, 2000);
        assert!(sum.columns[&ColumnId(1)].distinct < 120);
    }
}
