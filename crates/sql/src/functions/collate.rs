//! Texts under a collation whose name is the last argument: their keys, and the functions that look for one
//! text within another.

use super::kernel::{
    Arguments, Function, Nulls, Returns, build_binary, build_booleans, build_numbers, build_text, functions,
};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};
use types::Collation;

functions! {
    /// collation_key(text, collation)
    collation_key, "collation_key", Returns::Type(DataType::BinaryView), Propagate, |args| {
        let (texts, collation) = (args.texts(0)?, collation(args, 1)?);
        build_binary(args.rows, |row, out| Ok(texts.get(row).map(|text| collation.key(text, out))))
    };
    /// collation_pair(text, collation): the key, what ends it, the text, and the length of the key.
    collation_pair, "collation_pair", Returns::Type(DataType::BinaryView), Propagate, |args| {
        let (texts, collation) = (args.texts(0)?, collation(args, 1)?);
        build_binary(args.rows, |row, out| {
            let Some(text) = texts.get(row) else { return Ok(None) };
            collation.key(text, out);
            let length = out.len() as u32;
            out.extend_from_slice(&[0, 0]);
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(&length.to_be_bytes());
            Ok(Some(()))
        })
    };
    /// collation_text(pair)
    collation_text, "collation_text", Returns::Type(DataType::Utf8View), Propagate, |args| {
        let pairs = args.blobs(0)?;
        build_text(args.rows, |row, out| {
            let Some(pair) = pairs.get(row) else { return Ok(None) };
            out.push_str(text_of(pair).ok_or_else(|| {
                DataFusionError::Internal("a text was to be taken from what is no pair".to_string())
            })?);
            Ok(Some(()))
        })
    };
    /// collated_like(text, pattern, escape or an empty text, collation)
    collated_like, "collated_like", Returns::Type(DataType::Boolean), Propagate, |args| {
        let (texts, patterns, escapes) = (args.texts(0)?, args.texts(1)?, args.texts(2)?);
        let collation = collation(args, 3)?;
        build_booleans(args.rows, |row| {
            let (Some(text), Some(pattern), Some(escape)) = (texts.get(row), patterns.get(row), escapes.get(row))
            else {
                return Ok(None);
            };
            let same = |left: char, right: char| same_char(collation, left, right);
            Ok(Some(super::text::like_matches_by(text, pattern, escape.chars().next(), same)))
        })
    };
    /// collated_locate(what, text, from, collation)
    collated_locate, "collated_locate", Returns::Type(DataType::Int64), Propagate, |args| {
        let (wanted, texts, from) = (args.texts(0)?, args.texts(1)?, args.numbers::<Int64Type>(2)?);
        let collation = collation(args, 3)?;
        build_numbers::<Int64Type>(args, |row| {
            let (Some(wanted), Some(text), Some(from)) = (wanted.get(row), texts.get(row), from.get(row)) else {
                return Ok(None);
            };
            Ok(Some(place_of(collation, wanted, text, from)))
        })
    };
    /// collated_find_in_set(what, set, collation)
    collated_find_in_set, "collated_find_in_set", Returns::Type(DataType::Int64), Propagate, |args| {
        let (wanted, sets, collation) = (args.texts(0)?, args.texts(1)?, collation(args, 2)?);
        build_numbers::<Int64Type>(args, |row| {
            Ok(wanted.get(row).zip(sets.get(row)).map(|(wanted, set)| {
                if set.is_empty() || wanted.contains(',') {
                    return 0;
                }
                // Blanks at the end count here.
                let weights = |text: &str| -> Vec<u16> {
                    text.chars().flat_map(|c| collation.weights(c).as_slice().to_vec()).collect()
                };
                let wanted = weights(wanted);
                let found = set.split(',').position(|item| weights(item) == wanted);
                found.map_or(0, |at| at as i64 + 1)
            }))
        })
    };
}

/// The collation that an argument names.
pub(super) fn collation(args: &Arguments<'_>, at: usize) -> Result<Collation> {
    let names = args.texts(at)?;
    names
        .get(0)
        .and_then(Collation::of_name)
        .ok_or_else(|| DataFusionError::Internal("a collation that is not known".to_string()))
}

fn text_of(pair: &[u8]) -> Option<&str> {
    let (rest, length) = pair.split_last_chunk::<4>()?;
    let text = rest.get(u32::from_be_bytes(*length) as usize + 2..)?;
    std::str::from_utf8(text).ok()
}

fn same_char(collation: Collation, left: char, right: char) -> bool {
    left == right || collation.weights(left).as_slice() == collation.weights(right).as_slice()
}

/// The place of the first character of `wanted` in `text` from the character `from`, all from 1; 0 if it is
/// not there.
fn place_of(collation: Collation, wanted: &str, text: &str, from: i64) -> i64 {
    let Some(skip) = from.checked_sub(1).and_then(|skip| usize::try_from(skip).ok()) else { return 0 };
    let (wanted, text): (Vec<char>, Vec<char>) = (wanted.chars().collect(), text.chars().collect());
    if skip > text.len() || wanted.len() > text.len() - skip {
        return 0;
    }
    if wanted.is_empty() {
        return skip as i64 + 1;
    }
    let starts_here = |window: &[char]| window.iter().zip(&wanted).all(|(l, r)| same_char(collation, *l, *r));
    let found = text[skip..].windows(wanted.len()).position(starts_here);
    found.map_or(0, |at| (skip + at) as i64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_from_pairs() {
        for text in ["", "ABC", "ß  ", "\0"] {
            let mut pair = Collation::GeneralCi.key_of(text);
            let length = pair.len() as u32;
            pair.extend_from_slice(&[0, 0]);
            pair.extend_from_slice(text.as_bytes());
            pair.extend_from_slice(&length.to_be_bytes());
            assert_eq!(text_of(&pair), Some(text));
        }
        assert_eq!(text_of(b"abc"), None);
        assert_eq!(text_of(&[0, 0, 0, 9]), None);
    }

    #[test]
    fn places() {
        let place = |wanted, text, from| place_of(Collation::Uca0900AiCi, wanted, text, from);
        assert_eq!(place("B", "abc", 1), 2);
        assert_eq!(place("Ä", "xaä", 3), 3);
        assert_eq!(place("", "abc", 4), 4);
        assert_eq!(place("", "abc", 5), 0);
        assert_eq!(place("a", "abc", 0), 0);
        assert_eq!(place("abcd", "abc", 1), 0);
    }
}
