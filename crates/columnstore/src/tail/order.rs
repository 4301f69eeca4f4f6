//! The entries of a tail in the order of the primary key, for ranges of it.
//!
//! Made once somebody asks for a range, and kept up from then on: a tail whose rows are only looked up by
//! whole keys has none. Keys are compared as their bytes, see [`super::key`].

use super::entry::Entry;
use super::key::encode_value;
use crate::encoding::ranges::key_float;
use crate::keys::search::{KeyRange, Part};
use std::collections::BTreeMap;
use std::sync::Arc;
use types::value::PhysicalValue;
use types::{ColumnId, Physical, TableDef};

/// What an entry takes here, about.
pub(crate) const ORDER_BYTES: usize = 96;

/// What comes after every value: each begins with 0 or 1, and a string's zeros go on with 0 or 0xff.
const AFTER: u8 = 0xff;

/// A key, or a bound between keys, of which no longer one begins like a shorter one. Its first bytes stand
/// here themselves, so that few comparisons look further.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    first: u128,
    rest: Box<[u8]>,
    /// Of the entry: the key may have come back.
    id: u64,
}

impl Position {
    fn of(key: &[u8], id: u64) -> Position {
        let mut first = [0; 16];
        let length = key.len().min(16);
        first[..length].copy_from_slice(&key[..length]);
        Position { first: u128::from_be_bytes(first), rest: key[length..].into(), id }
    }
}

#[derive(Debug, Default)]
pub(crate) struct KeyOrder(BTreeMap<Position, Arc<Entry>>);

impl KeyOrder {
    /// Adds an entry, which may be there already.
    pub(crate) fn add(&mut self, entry: &Arc<Entry>) {
        if let Some(key) = &entry.key {
            self.0.insert(Position::of(key, entry.id), entry.clone());
        }
    }

    /// The entries with keys in a range, in the order of the key.
    pub(crate) fn within(&self, range: &ByteRange) -> impl Iterator<Item = &Arc<Entry>> {
        let bounds = (range.from < range.to)
            .then(|| Position::of(&range.from, 0)..Position::of(&range.to, 0))
            .filter(|bounds| bounds.start < bounds.end);
        bounds.into_iter().flat_map(|bounds| self.0.range(bounds)).map(|(_, entry)| entry)
    }
}

/// Bytes of keys: from, and up to but not including.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ByteRange {
    from: Vec<u8>,
    to: Vec<u8>,
}

impl ByteRange {
    /// The bytes of the keys of these columns in a range. None: it has a bound that no value is.
    pub(crate) fn of(def: &TableDef, columns: &[ColumnId], range: &KeyRange) -> Option<ByteRange> {
        let mut prefix = Vec::with_capacity(24);
        for (id, part) in columns.iter().zip(&range.equal) {
            encode_part(def, *id, part, &mut prefix)?;
        }
        let bound = |part: &Part, after: bool| {
            let mut bytes = prefix.clone();
            encode_part(def, *columns.get(range.equal.len())?, part, &mut bytes)?;
            if after {
                bytes.push(AFTER);
            }
            Some(bytes)
        };
        let ends = |last: u8| [prefix.as_slice(), &[last]].concat();
        Some(ByteRange {
            from: match (&range.low, &range.high) {
                (Some((low, within)), _) => bound(low, !within)?,
                // NULLs are in no range.
                (None, Some(_)) => ends(1),
                (None, None) => prefix.clone(),
            },
            to: match &range.high {
                Some((high, within)) => bound(high, *within)?,
                None => ends(AFTER),
            },
        })
    }
}

fn encode_part(def: &TableDef, id: ColumnId, part: &Part, out: &mut Vec<u8>) -> Option<()> {
    let physical = match (part, def.column(id)?.ty.physical()) {
        (Part::Number(number), Physical::I64) => PhysicalValue::I64(i64::try_from(*number).ok()?),
        (Part::Number(number), Physical::I128) => PhysicalValue::I128(*number),
        // Both kinds of floats compare, and are encoded, as doubles.
        (Part::Number(number), Physical::F32 | Physical::F64) => {
            PhysicalValue::F64(key_float(i64::try_from(*number).ok()?))
        }
        (Part::String(bytes), Physical::Bytes) => PhysicalValue::Bytes(bytes.clone()),
        _ => return None,
    };
    encode_value(&physical, out);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::key::encode_key;
    use crate::testing;
    use proptest::prelude::*;
    use types::{SqlType, Value};

    fn def() -> TableDef {
        let int = SqlType::BigInt { unsigned: false };
        let mut def = testing::table(
            1,
            vec![testing::column(1, "a", int, false), testing::column(2, "b", SqlType::VarChar(20), false)],
            &[1],
        );
        def.primary_key = vec![ColumnId(1), ColumnId(2)];
        def
    }

    fn part(number: i64) -> Part {
        Part::Number(number.into())
    }

    fn string(text: &str) -> Part {
        Part::String(text.as_bytes().to_vec())
    }

    #[test]
    fn bounds_of_floats_are_encoded_as_keys_are() {
        for ty in [SqlType::Float, SqlType::Double] {
            let def = testing::table(1, vec![testing::column(1, "a", ty, false)], &[1]);
            for number in [f32::NEG_INFINITY, -1.5, -0.0, 0.0, 1e-30, 7.25, f32::INFINITY] {
                let value = match ty {
                    SqlType::Float => Value::Float(number),
                    _ => Value::Double(number.into()),
                };
                let mut bytes = Vec::new();
                encode_part(&def, ColumnId(1), &Part::of(&value, ty).unwrap(), &mut bytes).unwrap();
                assert_eq!(encode_key(&def, &[value]).as_deref(), Some(bytes.as_slice()), "{number}");
            }
        }
    }

    proptest! {
        /// What is found is what a look at every key finds, in order.
        #[test]
        fn ranges_hold_the_keys_that_compare_so(
            keys in proptest::collection::vec((-3i64..4, "[\\x00a-c]{0,20}"), 0..40),
            equal in proptest::option::of(-3i64..4),
            low in proptest::option::of((-4i64..5, "[\\x00a-c]{0,3}", any::<bool>())),
            high in proptest::option::of((-4i64..5, "[\\x00a-c]{0,3}", any::<bool>())),
        ) {
            let def = def();
            let mut order = KeyOrder::default();
            for (id, (a, b)) in (1..).zip(&keys) {
                let key = encode_key(&def, &[Value::Int(*a), Value::Text(b.clone())]);
                let entry = Arc::new(Entry::new(id, key, None, 1));
                order.add(&entry);
                order.add(&entry);
            }
            let bound = |bound: &(i64, String, bool)| match equal {
                Some(_) => (string(&bound.1), bound.2),
                None => (part(bound.0), bound.2),
            };
            let range = KeyRange {
                equal: equal.into_iter().map(part).collect(),
                low: low.as_ref().map(bound),
                high: high.as_ref().map(bound),
            };
            let mut expected: Vec<(i64, &str, u64)> = (1..)
                .zip(&keys)
                .filter(|(_, (a, b))| {
                    let next = if equal.is_some() { string(b) } else { part(*a) };
                    let is_above = |(low, within): &(Part, bool)| {
                        next.order(low).is_gt() || *within && next.order(low).is_eq()
                    };
                    let is_below = |(high, within): &(Part, bool)| {
                        next.order(high).is_lt() || *within && next.order(high).is_eq()
                    };
                    equal.is_none_or(|equal| equal == *a)
                        && range.low.as_ref().is_none_or(is_above)
                        && range.high.as_ref().is_none_or(is_below)
                })
                .map(|(id, (a, b))| (*a, b.as_str(), id))
                .collect();
            expected.sort_unstable();
            let bytes = ByteRange::of(&def, &def.primary_key, &range).unwrap();
            let found: Vec<u64> = order.within(&bytes).map(|entry| entry.id).collect();
            prop_assert_eq!(found, expected.into_iter().map(|(_, _, id)| id).collect::<Vec<_>>());
        }
    }
}
