//! Keys as ways to rows: which key a scan uses, and what it looks for in it.
//!
//! Rows are found by whole primary keys everywhere, and by ranges of it where segments are sorted by it, in
//! frozen runs, and in a tail, which is put in the order of the key once somebody asks for a range.
//!
//! Beside the primary key, each key of a table has a *run* in every segment and, once somebody looks, in
//! every frozen run of rows: the numbers of all rows in the order of the key's columns, each with a *code*, 64 bits of the first column that are no greater for
//! a value that is no greater. Codes narrow a search without a look at the rows; among equal codes the
//! columns themselves are compared, so what is found is exact. NULLs come first. In the tail, rows are
//! found by the hash of all columns of a key, so only equality of all of them uses it.
//!
//! No run is made for a key that the rows of segments are sorted by, since minima and maxima of blocks
//! do as well. A segment that is older than its key has none either and is scanned, until it is merged.
//!
//! Floats stand in a key as numbers in the order of SQL, in which -0 equals 0. A NaN, which SQL cannot make,
//! stands beyond the infinities; a range without an end may propose it, and no condition passes it.
//!
//! A key only proposes rows: whether they are visible and pass all predicates is decided as in any
//! scan. It is used where it proposes few of the rows, which is known before any of them is read.

pub(crate) mod search;
#[cfg(test)]
mod tests;

use crate::predicate::{Compare, Predicate};
use search::{KeyRange, Part};
use types::{ColumnId, KeyDef, TableDef, Value};

/// What comes before all values.
pub(crate) const NULL_CODE: i64 = i64::MIN;

/// The greatest number of ranges that one scan looks for.
const MOST_RANGES: usize = 256;

/// The code of a number.
pub(crate) fn number_code(number: i128) -> i64 {
    number.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// The code of a string: its first eight bytes.
pub(crate) fn string_code(string: &[u8]) -> i64 {
    let mut first = [0u8; 8];
    let length = string.len().min(8);
    first[..length].copy_from_slice(&string[..length]);
    (u64::from_be_bytes(first) ^ 1 << 63) as i64
}

/// The keys that segments keep a run of.
pub(crate) fn with_runs(def: &TableDef) -> impl Iterator<Item = &KeyDef> {
    def.keys.iter().filter(|key| has_run(def, &key.columns))
}

fn has_run(def: &TableDef, key: &[ColumnId]) -> bool {
    is_usable(def, key) && !def.segment_order().starts_with(key)
}

fn is_usable(def: &TableDef, key: &[ColumnId]) -> bool {
    !key.is_empty() && key.iter().all(|id| def.column(*id).is_some())
}

/// The key beside the primary one that a scan with these predicates may use, where it has one at hand.
pub fn key_used<'a>(def: &'a TableDef, predicates: &[Predicate]) -> Option<&'a str> {
    KeyUse::of(def, predicates).and_then(|used| used.name)
}

/// A key and the ranges of it that hold all rows which pass.
pub(crate) struct KeyUse<'a> {
    /// None: the primary key.
    pub(crate) name: Option<&'a str>,
    pub(crate) columns: &'a [ColumnId],
    pub(crate) ranges: Vec<KeyRange>,
    /// If all columns of the key have to equal one of these.
    pub(crate) values: Option<Vec<Vec<Value>>>,
}

/// How much predicates say about a key: of how many columns by equality, and what of the next one.
type Score = (usize, Said);

/// What predicates say about a column by ranges: the more, the fewer rows it leaves as a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Nothing,
    /// Where it begins, or where it ends.
    OneEnd,
    /// How it begins, as LIKE does.
    Prefix,
    BothEnds,
}

impl<'a> KeyUse<'a> {
    /// The key beside the primary one that the predicates say most about.
    pub(crate) fn of(def: &'a TableDef, predicates: &[Predicate]) -> Option<KeyUse<'a>> {
        KeyUse::best(def, predicates).map(|(_, used)| used)
    }

    /// The same with the primary key, which is preferred where it is given whole or as much is said of it.
    pub(crate) fn of_any(def: &'a TableDef, predicates: &[Predicate]) -> Option<KeyUse<'a>> {
        let primary = match is_usable(def, &def.primary_key) {
            true => KeyUse::of_key(def, None, &def.primary_key, predicates),
            false => None,
        };
        match (primary, KeyUse::best(def, predicates)) {
            (Some((of_primary, primary)), Some((score, used))) => {
                Some(if primary.values.is_some() || of_primary >= score { primary } else { used })
            }
            (primary, other) => primary.or(other).map(|(_, used)| used),
        }
    }

    fn best(def: &'a TableDef, predicates: &[Predicate]) -> Option<(Score, KeyUse<'a>)> {
        let mut best: Option<(Score, KeyUse<'a>)> = None;
        for key in with_runs(def) {
            let used = KeyUse::of_key(def, Some(&key.name), &key.columns, predicates);
            let Some((score, used)) = used else { continue };
            if best.as_ref().is_none_or(|(most, _)| score > *most) {
                best = Some((score, used));
            }
        }
        best
    }

    fn of_key(
        def: &TableDef,
        name: Option<&'a str>,
        columns: &'a [ColumnId],
        predicates: &[Predicate],
    ) -> Option<(Score, KeyUse<'a>)> {
        let mut prefixes: Vec<Vec<Value>> = vec![Vec::new()];
        let mut equal = 0;
        for id in columns {
            let Some(values) = equal_to(*id, predicates) else { break };
            if values.len() * prefixes.len() > MOST_RANGES {
                break;
            }
            prefixes = prefixes
                .iter()
                .flat_map(|prefix| {
                    values.iter().map(move |value| prefix.iter().cloned().chain([value.clone()]).collect())
                })
                .collect();
            equal += 1;
        }
        let bounds = columns.get(equal).map(|id| Bounds::of(def, *id, predicates));
        let said = bounds.as_ref().map_or(Said::Nothing, Bounds::said);
        if equal == 0 && said == Said::Nothing {
            return None;
        }
        let part = |id: &ColumnId, value: &Value| Part::of(value, def.column(*id)?.ty);
        let mut ranges = Vec::with_capacity(prefixes.len());
        for prefix in &prefixes {
            let equal: Option<Vec<Part>> =
                columns.iter().zip(prefix).map(|(id, value)| part(id, value)).collect();
            // A value that the column cannot have equals nothing.
            let Some(equal) = equal else { continue };
            let (low, high) = bounds.clone().map_or((None, None), |bounds| (bounds.low, bounds.high));
            ranges.push(KeyRange { equal, low, high });
        }
        let values = (equal == columns.len()).then_some(prefixes);
        Some(((equal, said), KeyUse { name, columns, ranges, values }))
    }
}

/// The values that a column has to equal one of, without repeats.
fn equal_to(column: ColumnId, predicates: &[Predicate]) -> Option<Vec<Value>> {
    let mut fewest: Option<Vec<Value>> = None;
    for predicate in predicates {
        let values = match predicate {
            Predicate::Compare { column: of, op: Compare::Eq, value } if *of == column => vec![value.clone()],
            Predicate::In { column: of, values } if *of == column => {
                let mut distinct: Vec<Value> = Vec::with_capacity(values.len().min(MOST_RANGES + 1));
                for value in values {
                    if distinct.len() > MOST_RANGES {
                        break;
                    }
                    if !distinct.contains(value) {
                        distinct.push(value.clone());
                    }
                }
                distinct
            }
            _ => continue,
        };
        if fewest.as_ref().is_none_or(|fewest| values.len() < fewest.len()) {
            fewest = Some(values);
        }
    }
    let mut values = fewest?;
    values.retain(|value| !value.is_null());
    Some(values)
}

/// Where a column's values have to lie; true: the bound itself is within.
#[derive(Clone, Default)]
struct Bounds {
    low: Option<(Part, bool)>,
    high: Option<(Part, bool)>,
    /// One of the predicates is a prefix.
    by_prefix: bool,
    /// Comparisons say where the values begin and where they end.
    compared: (bool, bool),
}

impl Bounds {
    fn of(def: &TableDef, column: ColumnId, predicates: &[Predicate]) -> Bounds {
        let mut bounds = Bounds::default();
        let Some(ty) = def.column(column).map(|column| column.ty) else { return bounds };
        for predicate in predicates {
            match predicate {
                Predicate::Compare { column: of, op, value } if *of == column => {
                    let Some(part) = Part::of(value, ty) else { continue };
                    bounds.compared.0 |= matches!(op, Compare::Greater | Compare::GreaterEq);
                    bounds.compared.1 |= matches!(op, Compare::Less | Compare::LessEq);
                    bounds.narrow(*op, part);
                }
                Predicate::Bytes { column: of, test, .. } if *of == column => {
                    let Some(prefix) = test.prefix() else { continue };
                    bounds.by_prefix = true;
                    bounds.narrow(Compare::GreaterEq, Part::String(prefix.to_vec()));
                    if let Some(end) = behind_prefix(prefix) {
                        bounds.narrow(Compare::Less, Part::String(end));
                    }
                }
                _ => {}
            }
        }
        bounds
    }

    fn narrow(&mut self, op: Compare, part: Part) {
        let narrower = |bound: &Option<(Part, bool)>, wanted: std::cmp::Ordering| {
            bound.as_ref().is_none_or(|(known, _)| part.order(known) == wanted)
        };
        match op {
            Compare::Greater | Compare::GreaterEq if narrower(&self.low, std::cmp::Ordering::Greater) => {
                self.low = Some((part, op == Compare::GreaterEq));
            }
            Compare::Less | Compare::LessEq if narrower(&self.high, std::cmp::Ordering::Less) => {
                self.high = Some((part, op == Compare::LessEq));
            }
            _ => {}
        }
    }

    fn said(&self) -> Said {
        match (self.compared, self.by_prefix) {
            ((true, true), _) => Said::BothEnds,
            (_, true) => Said::Prefix,
            ((false, false), false) => Said::Nothing,
            _ => Said::OneEnd,
        }
    }
}

/// The least string that comes after all that begin so. None: there is none.
fn behind_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}
