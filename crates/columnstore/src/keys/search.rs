//! Binary search in the run of a key.

use crate::StoreError;
use crate::filter::values::number_of;
use crate::keys::{NULL_CODE, number_code, string_code};
use crate::segment::block::BlockColumn;
use std::cmp::Ordering;
use std::ops::Range;
use types::value::PhysicalValue;
use types::{SqlType, Value};

/// A column's value in a key, as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Number(i128),
    String(Vec<u8>),
}

impl Part {
    /// None for NULL, NaN, and values that a column of the type cannot have.
    pub(crate) fn of(value: &Value, ty: SqlType) -> Option<Part> {
        Part::of_physical(value.to_physical(ty)?)
    }

    /// None for NaN.
    pub(crate) fn of_physical(value: PhysicalValue) -> Option<Part> {
        match value {
            PhysicalValue::Bytes(bytes) => Some(Part::String(bytes)),
            number => number_of(&number).map(Part::Number),
        }
    }

    fn code(&self) -> i64 {
        match self {
            Part::Number(number) => number_code(*number),
            Part::String(string) => string_code(string),
        }
    }

    /// Whether no other value has this one's code.
    fn is_its_code(&self) -> bool {
        match self {
            // Both ends of the range stand for NULLs and wider numbers, too.
            Part::Number(number) => i128::from(i64::MIN) < *number && *number < i128::from(i64::MAX),
            Part::String(_) => false,
        }
    }

    /// How this compares to another value of the column.
    pub(crate) fn order(&self, other: &Part) -> Ordering {
        match (self, other) {
            (Part::Number(a), Part::Number(b)) => a.cmp(b),
            (Part::String(a), Part::String(b)) => a.cmp(b),
            // Invariant: parts of one column are of one kind.
            (Part::Number(_), Part::String(_)) => Ordering::Less,
            (Part::String(_), Part::Number(_)) => Ordering::Greater,
        }
    }

    /// How the value of a row compares to this one; NULL comes first.
    pub(crate) fn compare(&self, column: &BlockColumn, row: usize) -> Ordering {
        if !column.is_valid(row) {
            return Ordering::Less;
        }
        match self {
            Part::Number(number) => column.number(row).cmp(number),
            Part::String(string) => column.string(row, &mut Vec::new()).cmp(string),
        }
    }
}

/// Rows whose first columns equal `equal` and whose next one, if there are bounds, is not NULL and
/// within them.
#[derive(Debug, Clone)]
pub(crate) struct KeyRange {
    pub(crate) equal: Vec<Part>,
    pub(crate) low: Option<(Part, bool)>,
    pub(crate) high: Option<(Part, bool)>,
}

/// Entries in the order of a key.
pub(crate) trait KeyRun {
    fn len(&self) -> usize;

    /// Bounds of the codes of the entries around one, if they are known without reading it.
    fn codes_around(&self, at: usize) -> Option<(i64, i64)>;

    fn code(&mut self, at: usize) -> Result<i64, StoreError>;

    fn row(&mut self, at: usize) -> Result<u32, StoreError>;

    /// How a row's value in the n-th column of the key compares to a part; NULL comes first.
    fn compare(&mut self, row: u32, column: usize, part: &Part) -> Result<Ordering, StoreError>;
}

/// Which end of a range is looked for.
#[derive(Clone, Copy)]
enum End {
    /// The first entry that is not before the range.
    Low,
    /// The first entry that is after it.
    High,
}

impl KeyRange {
    /// The entries of a run that lie in the range.
    pub(crate) fn find(&self, run: &mut dyn KeyRun) -> Result<Range<usize>, StoreError> {
        let from = self.end(run, End::Low)?;
        let to =
            if self.equal.is_empty() && self.high.is_none() { run.len() } else { self.end(run, End::High)? };
        Ok(from..to.max(from))
    }

    /// The value that the first column is compared with, if any.
    fn first(&self, end: End) -> Option<&Part> {
        let bound = match end {
            End::Low => &self.low,
            End::High => &self.high,
        };
        self.equal.first().or(bound.as_ref().map(|(part, _)| part))
    }

    fn end(&self, run: &mut dyn KeyRun, end: End) -> Result<usize, StoreError> {
        let first = self.first(end);
        let code = first.map_or(NULL_CODE, Part::code);
        let (mut low, mut high) = (0, run.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let is_before = match run.codes_around(middle) {
                Some((_, most)) if most < code => true,
                Some((least, _)) if least > code => false,
                _ => match run.code(middle)?.cmp(&code) {
                    Ordering::Less => true,
                    Ordering::Greater => false,
                    Ordering::Equal => {
                        self.is_before(run, middle, end, first.is_some_and(Part::is_its_code))?
                    }
                },
            };
            if is_before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Whether an entry whose code is the end's stands before that end. `first_equals`: its first
    /// column is known to equal the range's.
    fn is_before(
        &self,
        run: &mut dyn KeyRun,
        at: usize,
        end: End,
        first_equals: bool,
    ) -> Result<bool, StoreError> {
        let mut row = None;
        let mut compare = |run: &mut dyn KeyRun, column: usize, part: &Part| {
            if column == 0 && first_equals {
                return Ok(Ordering::Equal);
            }
            let row = match row {
                Some(row) => row,
                None => *row.insert(run.row(at)?),
            };
            run.compare(row, column, part)
        };
        for (column, part) in self.equal.iter().enumerate() {
            match compare(run, column, part)? {
                Ordering::Equal => {}
                other => return Ok(other.is_lt()),
            }
        }
        let next = self.equal.len();
        match (end, &self.low, &self.high) {
            (End::Low, Some((low, within)), _) => {
                let ordering = compare(run, next, low)?;
                Ok(if *within { ordering.is_lt() } else { ordering.is_le() })
            }
            // Only NULLs are before what has no lower bound.
            (End::Low, None, Some((high, _))) => {
                let least = match high {
                    Part::Number(_) => Part::Number(i128::MIN),
                    Part::String(_) => Part::String(Vec::new()),
                };
                Ok(compare(run, next, &least)?.is_lt())
            }
            (End::High, _, Some((high, within))) => {
                let ordering = compare(run, next, high)?;
                Ok(if *within { ordering.is_le() } else { ordering.is_lt() })
            }
            (End::Low, None, None) => Ok(false),
            (End::High, _, None) => Ok(true),
        }
    }
}

/// The rows in these ranges, ascending and each once; None if they are more than `most`.
pub(crate) fn rows_in(
    run: &mut dyn KeyRun,
    ranges: &[KeyRange],
    most: usize,
) -> Result<Option<Vec<u32>>, StoreError> {
    let mut found = Vec::with_capacity(ranges.len());
    let mut count = 0;
    for range in ranges {
        let entries = range.find(run)?;
        count += entries.len();
        if count > most {
            return Ok(None);
        }
        found.push(entries);
    }
    let mut rows = Vec::with_capacity(count);
    for at in found.into_iter().flatten() {
        rows.push(run.row(at)?);
    }
    rows.sort_unstable();
    rows.dedup();
    Ok(Some(rows))
}
