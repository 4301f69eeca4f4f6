//! String functions. Positions and lengths count characters, from 1; a negative position counts from
//! the end.

use super::kernel::{
    Arguments, Function, MAX_STRING, Nulls, Returns, build_binary, build_booleans, build_numbers,
    build_slices, build_text, fits, functions,
};
use super::warnings;
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};

const TEXT: Returns = Returns::Type(DataType::Utf8View);
const BINARY: Returns = Returns::Type(DataType::BinaryView);
const INT: Returns = Returns::Type(DataType::Int64);
const BOOLEAN: Returns = Returns::Type(DataType::Boolean);

functions! {
    /// concat(text, ..): NULL if any is NULL.
    concat, "concat", TEXT, Propagate, concat_kernel;
    /// concat_bytes(text or binary, ..)
    concat_bytes, "concat_bytes", BINARY, Propagate, concat_bytes_kernel;
    /// concat_ws(separator, text, ..): NULLs are left out.
    concat_ws, "concat_ws", TEXT, Always, concat_ws_kernel;
    /// substring(text, position [, length])
    substring, "substring", TEXT, Propagate, substring_kernel;
    left, "left", TEXT, Propagate, |args| edge(args, true);
    right, "right", TEXT, Propagate, |args| edge(args, false);
    /// length(text or binary), in bytes
    length, "length", INT, Propagate, |args| {
        let values = args.blobs(0)?;
        build_numbers::<Int64Type>(args, |row| Ok(values.get(row).map(|v| v.len() as i64)))
    };
    char_length, "char_length", INT, Propagate, |args| {
        let values = args.texts(0)?;
        build_numbers::<Int64Type>(args, |row| Ok(values.get(row).map(|v| count_chars(v) as i64)))
    };
    upper, "upper", TEXT, Propagate, |args| convert_case(args, true);
    lower, "lower", TEXT, Propagate, |args| convert_case(args, false);
    /// trim_both(text, what)
    trim_both, "trim_both", TEXT, Propagate, |args| trim(args, true, true);
    trim_leading, "trim_leading", TEXT, Propagate, |args| trim(args, true, false);
    trim_trailing, "trim_trailing", TEXT, Propagate, |args| trim(args, false, true);
    lpad, "lpad", TEXT, Always, |args| pad("lpad", args);
    rpad, "rpad", TEXT, Always, |args| pad("rpad", args);
    replace, "replace", TEXT, Propagate, replace_kernel;
    repeat, "repeat", TEXT, Always, |args| repeated("repeat", args);
    /// space(' ', count)
    space, "space", TEXT, Always, |args| repeated("space", args);
    reverse, "reverse", TEXT, Propagate, |args| {
        let values = args.texts(0)?;
        build_text(args.rows, |row, out| {
            Ok(values.get(row).map(|value| out.extend(value.chars().rev())))
        })
    };
    /// locate(what, text [, from])
    locate, "locate", INT, Propagate, locate_kernel;
    ascii, "ascii", INT, Propagate, |args| {
        let values = args.blobs(0)?;
        build_numbers::<Int64Type>(args, |row| {
            Ok(values.get(row).map(|v| v.first().map_or(0, |byte| i64::from(*byte))))
        })
    };
    /// The bytes of the first character as a number.
    ord, "ord", INT, Propagate, |args| {
        let values = args.texts(0)?;
        build_numbers::<Int64Type>(args, |row| {
            Ok(values.get(row).map(|value| {
                let end = value.chars().next().map_or(0, char::len_utf8);
                value.as_bytes()[..end].iter().fold(0, |code, byte| code << 8 | i64::from(*byte))
            }))
        })
    };
    hex_bytes, "hex_bytes", TEXT, Propagate, |args| {
        let values = args.blobs(0)?;
        build_text(args.rows, |row, out| Ok(values.get(row).map(|value| write_hex(out, value, b'A'))))
    };
    unhex, "unhex", BINARY, Always, unhex_kernel;
    /// field(text, candidate, ..): the place of the first equal candidate, or 0.
    field, "field", INT, Never, |args| {
        let wanted = args.texts(0)?;
        let candidates = (1..args.len()).map(|at| args.texts(at)).collect::<Result<Vec<_>>>()?;
        build_numbers::<Int64Type>(args, |row| {
            let Some(wanted) = wanted.get(row) else { return Ok(Some(0)) };
            let found = candidates.iter().position(|candidate| candidate.get(row) == Some(wanted));
            Ok(Some(found.map_or(0, |at| at as i64 + 1)))
        })
    };
    /// elt(n, text, ..)
    elt, "elt", TEXT, Always, |args| {
        let number = args.numbers::<Int64Type>(0)?;
        let texts = (1..args.len()).map(|at| args.texts(at)).collect::<Result<Vec<_>>>()?;
        build_slices(args.rows, |row| {
            let at = usize::try_from(number.get(row)?.checked_sub(1)?).ok()?;
            texts.get(at)?.get(row)
        })
    };
    find_in_set, "find_in_set", INT, Propagate, |args| {
        let (wanted, sets) = (args.texts(0)?, args.texts(1)?);
        build_numbers::<Int64Type>(args, |row| {
            Ok(wanted.get(row).zip(sets.get(row)).map(|(wanted, set)| {
                if set.is_empty() || wanted.contains(',') {
                    return 0;
                }
                set.split(',').position(|item| item == wanted).map_or(0, |at| at as i64 + 1)
            }))
        })
    };
    substring_index, "substring_index", TEXT, Propagate, |args| {
        let (texts, separators) = (args.texts(0)?, args.texts(1)?);
        let counts = args.numbers::<Int64Type>(2)?;
        build_slices(args.rows, |row| {
            Some(part_before(texts.get(row)?, separators.get(row)?, counts.get(row)?))
        })
    };
    strcmp, "strcmp", INT, Propagate, |args| {
        let (left, right) = (args.texts(0)?, args.texts(1)?);
        build_numbers::<Int64Type>(args, |row| {
            Ok(left.get(row).zip(right.get(row)).map(|(left, right)| left.cmp(right) as i64))
        })
    };
    /// insert(text, position, length, new)
    insert, "insert", TEXT, Propagate, |args| {
        let (texts, new) = (args.texts(0)?, args.texts(3)?);
        let (positions, lengths) = (args.numbers::<Int64Type>(1)?, args.numbers::<Int64Type>(2)?);
        build_text(args.rows, |row, out| {
            let (Some(text), Some(new)) = (texts.get(row), new.get(row)) else { return Ok(None) };
            let (Some(at), Some(length)) = (positions.get(row), lengths.get(row)) else { return Ok(None) };
            let count = count_chars(text) as i64;
            if at < 1 || at > count {
                out.push_str(text);
                return Ok(Some(()));
            }
            let rest = if length < 0 || length > count - at + 1 { count } else { at - 1 + length };
            out.push_str(&text[..byte_of(text, (at - 1) as usize)]);
            out.push_str(new);
            out.push_str(&text[byte_of(text, rest as usize)..]);
            Ok(Some(()))
        })
    };
    quote, "quote", TEXT, Never, |args| {
        let texts = args.texts(0)?;
        build_text(args.rows, |row, out| {
            match texts.get(row) {
                None => out.push_str("NULL"),
                Some(text) => {
                    out.push('\'');
                    for c in text.chars() {
                        match c {
                            '\'' | '\\' => out.extend(['\\', c]),
                            '\0' => out.push_str("\\0"),
                            '\u{1a}' => out.push_str("\\Z"),
                            c => out.push(c),
                        }
                    }
                    out.push('\'');
                }
            }
            Ok(Some(()))
        })
    };
    soundex, "soundex", TEXT, Propagate, |args| {
        let texts = args.texts(0)?;
        build_text(args.rows, |row, out| Ok(texts.get(row).map(|text| write_soundex(out, text))))
    };
    /// char(n, ..): the bytes of the numbers.
    char_of, "char_bytes", BINARY, Never, |args| {
        let numbers = (0..args.len()).map(|at| args.numbers::<Int64Type>(at)).collect::<Result<Vec<_>>>()?;
        build_binary(args.rows, |row, out| {
            for number in numbers.iter().filter_map(|number| number.get(row)) {
                let bytes = (number as u32).to_be_bytes();
                let skip = bytes.iter().take(3).take_while(|byte| **byte == 0).count();
                out.extend_from_slice(&bytes[skip..]);
            }
            Ok(Some(()))
        })
    };
    /// like_match(text, pattern, escape): LIKE with a pattern or escape that is not constant.
    like, "like_match", BOOLEAN, Propagate, |args| {
        let (texts, patterns, escapes) = (args.texts(0)?, args.texts(1)?, args.texts(2)?);
        build_booleans(args.rows, |row| {
            let (Some(text), Some(pattern)) = (texts.get(row), patterns.get(row)) else { return Ok(None) };
            let escape = escapes.get(row).and_then(|escape| escape.chars().next());
            Ok(Some(like_matches(text, pattern, escape)))
        })
    };
    /// cut_list(text, n, separator): the characters of GROUP_CONCAT that lie within the first n bytes.
    cut_list, "cut_list", TEXT, Propagate, |args| {
        let (texts, lengths, separators) = (args.texts(0)?, args.numbers::<Int64Type>(1)?, args.texts(2)?);
        build_slices(args.rows, |row| {
            let (text, length) = (texts.get(row)?, lengths.get(row)?);
            let most = usize::try_from(length).unwrap_or(0);
            if text.len() <= most {
                return Some(text);
            }
            let end = text.floor_char_boundary(most);
            warnings::cut_list(&text[..end], separators.get(row)?);
            Some(&text[..end])
        })
    };
    /// bytes_part(binary, position, length): SUBSTRING of bytes.
    bytes_part, "bytes_part", BINARY, Propagate, |args| {
        let values = args.blobs(0)?;
        let (positions, lengths) = (args.numbers::<Int64Type>(1)?, args.numbers::<Int64Type>(2)?);
        build_binary(args.rows, |row, out| {
            let (Some(value), Some(position), Some(length)) =
                (values.get(row), positions.get(row), lengths.get(row))
            else {
                return Ok(None);
            };
            let start = match position {
                1.. => usize::try_from(position - 1).ok(),
                0 => None,
                back => value.len().checked_sub(usize::try_from(back.unsigned_abs()).unwrap_or(usize::MAX)),
            };
            if let Some(start) = start.filter(|start| *start < value.len()) {
                let length = usize::try_from(length).unwrap_or(0).min(value.len() - start);
                out.extend_from_slice(&value[start..start + length]);
            }
            Ok(Some(()))
        })
    };
    /// reverse_bytes(binary)
    reverse_bytes, "reverse_bytes", BINARY, Propagate, |args| {
        let values = args.blobs(0)?;
        build_binary(args.rows, |row, out| Ok(values.get(row).map(|value| out.extend(value.iter().rev()))))
    };
    to_base64, "to_base64", TEXT, Propagate, |args| {
        let values = args.blobs(0)?;
        build_text(args.rows, |row, out| Ok(values.get(row).map(|value| write_base64(out, value))))
    };
    from_base64, "from_base64", BINARY, Always, |args| {
        let values = args.texts(0)?;
        build_binary(args.rows, |row, out| Ok(values.get(row).and_then(|value| read_base64(out, value))))
    };
    /// hex_double(number): the number rounded, in base 16.
    hex_double, "hex_double", TEXT, Propagate, |args| {
        let values = args.numbers::<Float64Type>(0)?;
        build_text(args.rows, |row, out| {
            Ok(values.get(row).map(|value| out.push_str(&format!("{:X}", value.round() as i64))))
        })
    };
}

/// Characters in a text: bytes that do not continue one.
pub(crate) fn count_chars(text: &str) -> usize {
    text.bytes().filter(|byte| (*byte as i8) >= -0x40).count()
}

/// Where the character `at` begins, counted from 0; the end if there are not so many.
pub(crate) fn byte_of(text: &str, at: usize) -> usize {
    if text.is_ascii() {
        return at.min(text.len());
    }
    text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte)
}

fn concat_kernel(args: &Arguments<'_>) -> Result<ArrayRef> {
    let parts = (0..args.len()).map(|at| args.texts(at)).collect::<Result<Vec<_>>>()?;
    build_text(args.rows, |row, out| {
        for part in &parts {
            let Some(part) = part.get(row) else { return Ok(None) };
            fits("concat", out.len(), part.len())?;
            out.push_str(part);
        }
        Ok(Some(()))
    })
}

fn concat_bytes_kernel(args: &Arguments<'_>) -> Result<ArrayRef> {
    let parts = (0..args.len()).map(|at| args.blobs(at)).collect::<Result<Vec<_>>>()?;
    build_binary(args.rows, |row, out| {
        for part in &parts {
            let Some(part) = part.get(row) else { return Ok(None) };
            fits("concat", out.len(), part.len())?;
            out.extend_from_slice(part);
        }
        Ok(Some(()))
    })
}

fn concat_ws_kernel(args: &Arguments<'_>) -> Result<ArrayRef> {
    let separator = args.texts(0)?;
    let parts = (1..args.len()).map(|at| args.texts(at)).collect::<Result<Vec<_>>>()?;
    build_text(args.rows, |row, out| {
        let Some(separator) = separator.get(row) else { return Ok(None) };
        for (at, part) in parts.iter().filter_map(|part| part.get(row)).enumerate() {
            fits("concat_ws", out.len(), separator.len().saturating_add(part.len()))?;
            if at > 0 {
                out.push_str(separator);
            }
            out.push_str(part);
        }
        Ok(Some(()))
    })
}

fn substring_kernel(args: &Arguments<'_>) -> Result<ArrayRef> {
    let texts = args.texts(0)?;
    let positions = args.numbers::<Int64Type>(1)?;
    let lengths = if args.len() > 2 { Some(args.numbers::<Int64Type>(2)?) } else { None };
    build_slices(args.rows, |row| {
        let (text, position) = (texts.get(row)?, positions.get(row)?);
        let length = match &lengths {
            Some(lengths) => lengths.get(row)?,
            None => i64::MAX,
        };
        Some(slice(text, position, length))
    })
}

/// SUBSTRING: characters from `position`, 1 the first, -1 the last, 0 none.
pub(crate) fn slice(text: &str, position: i64, length: i64) -> &str {
    if length <= 0 || position == 0 {
        return "";
    }
    let start = if position > 0 {
        usize::try_from(position - 1).unwrap_or(usize::MAX)
    } else {
        let back = usize::try_from(position.unsigned_abs()).unwrap_or(usize::MAX);
        match count_chars(text).checked_sub(back) {
            Some(start) => start,
            None => return "",
        }
    };
    let tail = &text[byte_of(text, start)..];
    &tail[..byte_of(tail, usize::try_from(length).unwrap_or(usize::MAX))]
}

fn edge(args: &Arguments<'_>, left: bool) -> Result<ArrayRef> {
    let (texts, lengths) = (args.texts(0)?, args.numbers::<Int64Type>(1)?);
    build_slices(args.rows, |row| {
        let (text, length) = (texts.get(row)?, lengths.get(row)?);
        let length = usize::try_from(length).unwrap_or(0);
        Some(if left {
            &text[..byte_of(text, length)]
        } else {
            &text[byte_of(text, count_chars(text).saturating_sub(length))..]
        })
    })
}

fn convert_case(args: &Arguments<'_>, upper: bool) -> Result<ArrayRef> {
    let texts = args.texts(0)?;
    build_text(args.rows, |row, out| {
        Ok(texts.get(row).map(|text| {
            if text.is_ascii() {
                out.push_str(text);
                if upper {
                    out.make_ascii_uppercase()
                } else {
                    out.make_ascii_lowercase()
                }
                return;
            }
            // Character by character: MySQL never makes one character into two.
            for c in text.chars() {
                let mut upper_case = c.to_uppercase();
                let mut lower_case = c.to_lowercase();
                let (one, more) = if upper {
                    (upper_case.next(), upper_case.next())
                } else {
                    (lower_case.next(), lower_case.next())
                };
                out.push(if more.is_none() { one.unwrap_or(c) } else { c });
            }
        }))
    })
}

fn trim(args: &Arguments<'_>, leading: bool, trailing: bool) -> Result<ArrayRef> {
    let (texts, what) = (args.texts(0)?, args.texts(1)?);
    build_slices(args.rows, |row| {
        let (mut text, what) = (texts.get(row)?, what.get(row)?);
        if what.is_empty() {
            return Some(text);
        }
        while leading && let Some(rest) = text.strip_prefix(what) {
            text = rest;
        }
        while trailing && let Some(rest) = text.strip_suffix(what) {
            text = rest;
        }
        Some(text)
    })
}

/// No string, and a warning: it would be longer than one may be.
fn too_long(function: &str) -> Result<Option<()>> {
    warnings::too_long(function, MAX_STRING);
    Ok(None)
}

/// `lpad` or `rpad`.
fn pad(function: &str, args: &Arguments<'_>) -> Result<ArrayRef> {
    let left = function == "lpad";
    let (texts, lengths, pads) = (args.texts(0)?, args.numbers::<Int64Type>(1)?, args.texts(2)?);
    build_text(args.rows, |row, out| {
        let (Some(text), Some(length), Some(pad)) = (texts.get(row), lengths.get(row), pads.get(row)) else {
            return Ok(None);
        };
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        if length > MAX_STRING {
            return too_long(function);
        }
        let count = count_chars(text);
        let missing = length.saturating_sub(count);
        // As many bytes as the characters of the padding have at most.
        if missing.saturating_mul(pad.chars().map(char::len_utf8).max().unwrap_or(0)) > MAX_STRING {
            return too_long(function);
        }
        if count >= length {
            out.push_str(&text[..byte_of(text, length)]);
            return Ok(Some(()));
        }
        if pad.is_empty() {
            return Ok(Some(()));
        }
        if !left {
            out.push_str(text);
        }
        out.extend(pad.chars().cycle().take(missing));
        if left {
            out.push_str(text);
        }
        Ok(Some(()))
    })
}

fn replace_kernel(args: &Arguments<'_>) -> Result<ArrayRef> {
    let (texts, from, to) = (args.texts(0)?, args.texts(1)?, args.texts(2)?);
    build_text(args.rows, |row, out| {
        let (Some(text), Some(from), Some(to)) = (texts.get(row), from.get(row), to.get(row)) else {
            return Ok(None);
        };
        if from.is_empty() {
            out.push_str(text);
            return Ok(Some(()));
        }
        let mut rest = text;
        while let Some(at) = rest.find(from) {
            fits("replace", out.len(), at + to.len())?;
            out.push_str(&rest[..at]);
            out.push_str(to);
            rest = &rest[at + from.len()..];
        }
        out.push_str(rest);
        Ok(Some(()))
    })
}

fn repeated(function: &str, args: &Arguments<'_>) -> Result<ArrayRef> {
    let (texts, counts) = (args.texts(0)?, args.numbers::<Int64Type>(1)?);
    build_text(args.rows, |row, out| {
        let (Some(text), Some(count)) = (texts.get(row), counts.get(row)) else { return Ok(None) };
        let count = usize::try_from(count).unwrap_or(0);
        if text.len().saturating_mul(count) > MAX_STRING {
            return too_long(function);
        }
        for _ in 0..count {
            out.push_str(text);
        }
        Ok(Some(()))
    })
}

fn locate_kernel(args: &Arguments<'_>) -> Result<ArrayRef> {
    let (wanted, texts) = (args.texts(0)?, args.texts(1)?);
    let from = if args.len() > 2 { Some(args.numbers::<Int64Type>(2)?) } else { None };
    build_numbers::<Int64Type>(args, |row| {
        let (Some(wanted), Some(text)) = (wanted.get(row), texts.get(row)) else { return Ok(None) };
        let from = match &from {
            Some(from) => match from.get(row) {
                Some(from) => from,
                None => return Ok(None),
            },
            None => 1,
        };
        let Some(skip) = from.checked_sub(1).and_then(|skip| usize::try_from(skip).ok()) else {
            return Ok(Some(0));
        };
        if skip > count_chars(text) {
            return Ok(Some(0));
        }
        let start = byte_of(text, skip);
        Ok(Some(text[start..].find(wanted).map_or(0, |at| count_chars(&text[..start + at]) as i64 + 1)))
    })
}

/// Two digits a byte; `ten` is the digit that stands for ten, b'A' or b'a'.
pub(crate) fn write_hex(out: &mut String, bytes: &[u8], ten: u8) {
    let digit = |n: u8| char::from(if n < 10 { b'0' + n } else { ten + n - 10 });
    for byte in bytes {
        out.push(digit(byte >> 4));
        out.push(digit(byte & 15));
    }
}

fn unhex_kernel(args: &Arguments<'_>) -> Result<ArrayRef> {
    let texts = args.texts(0)?;
    build_binary(args.rows, |row, out| {
        let Some(text) = texts.get(row) else { return Ok(None) };
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        let (head, pairs) = text.as_bytes().split_at(text.len() % 2);
        for byte in head {
            let Some(low) = digit(*byte) else { return Ok(None) };
            out.push(low);
        }
        for pair in pairs.chunks_exact(2) {
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { return Ok(None) };
            out.push(high << 4 | low);
        }
        Ok(Some(()))
    })
}

/// SUBSTRING_INDEX.
fn part_before<'a>(text: &'a str, separator: &str, count: i64) -> &'a str {
    if count == 0 || separator.is_empty() {
        return "";
    }
    let nth = usize::try_from(count.unsigned_abs() - 1).unwrap_or(usize::MAX);
    if count > 0 {
        text.match_indices(separator).nth(nth).map_or(text, |(at, _)| &text[..at])
    } else {
        // Occurrences are told apart from the left here too.
        let ends: Vec<usize> = text.match_indices(separator).map(|(at, _)| at + separator.len()).collect();
        match ends.len().checked_sub(nth.saturating_add(1)) {
            Some(at) => &text[ends[at]..],
            None => text,
        }
    }
}

fn write_soundex(out: &mut String, text: &str) {
    let code = |c: char| match c.to_ascii_uppercase() {
        'B' | 'F' | 'P' | 'V' => Some('1'),
        'C' | 'G' | 'J' | 'K' | 'Q' | 'S' | 'X' | 'Z' => Some('2'),
        'D' | 'T' => Some('3'),
        'L' => Some('4'),
        'M' | 'N' => Some('5'),
        'R' => Some('6'),
        _ => None,
    };
    let mut letters = text.chars().filter(|c| c.is_ascii_alphabetic() || !c.is_ascii());
    let Some(first) = letters.next() else { return };
    out.push(first.to_ascii_uppercase());
    let mut last = code(first);
    let mut length = 1;
    for letter in letters {
        let digit = code(letter);
        if let Some(digit) = digit
            && last != Some(digit)
        {
            out.push(digit);
            length += 1;
        }
        // H and W do not part equal codes, vowels do not either in MySQL's variant.
        if digit.is_some() {
            last = digit;
        }
    }
    for _ in length..4 {
        out.push('0');
    }
}

/// LIKE, for patterns that vary by row.
pub(crate) fn like_matches(text: &str, pattern: &str, escape: Option<char>) -> bool {
    like_matches_by(text, pattern, escape, |left, right| left == right)
}

/// LIKE, where `same` says which characters match.
pub(crate) fn like_matches_by(
    text: &str,
    pattern: &str,
    escape: Option<char>,
    same: impl Fn(char, char) -> bool,
) -> bool {
    let text: Vec<char> = text.chars().collect();
    let mut items = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        items.push(match c {
            c if Some(c) == escape => Item::One(chars.next().unwrap_or(c)),
            '%' => Item::Many,
            '_' => Item::Any,
            c => Item::One(c),
        });
    }
    // Greedy with one point of return: the last '%'.
    let (mut at, mut item) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while at < text.len() {
        match items.get(item) {
            Some(Item::Many) => {
                back = Some((at, item));
                item += 1;
                continue;
            }
            Some(Item::Any) => {
                at += 1;
                item += 1;
                continue;
            }
            Some(Item::One(c)) if same(*c, text[at]) => {
                at += 1;
                item += 1;
                continue;
            }
            _ => {}
        }
        match &mut back {
            Some((from, many)) => {
                *from += 1;
                at = *from;
                item = *many + 1;
            }
            None => return false,
        }
    }
    items[item..].iter().all(|item| matches!(item, Item::Many))
}

enum Item {
    One(char),
    Any,
    Many,
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Lines of 76 characters, as TO_BASE64 makes them.
pub(crate) fn write_base64(out: &mut String, bytes: &[u8]) {
    for (at, chunk) in bytes.chunks(3).enumerate() {
        if at > 0 && at % 19 == 0 {
            out.push('\n');
        }
        let word =
            chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            if digit <= chunk.len() {
                out.push(char::from(BASE64[(word >> (18 - 6 * digit) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
}

fn read_base64(out: &mut Vec<u8>, text: &str) -> Option<()> {
    let (mut word, mut digits, mut padding) = (0u32, 0, 0);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        if byte == b'=' {
            padding += 1;
            word <<= 6;
        } else {
            let digit = BASE64.iter().position(|digit| *digit == byte)?;
            if padding > 0 {
                return None;
            }
            word = word << 6 | digit as u32;
        }
        digits += 1;
        if digits == 4 {
            let bytes = word.to_be_bytes();
            out.extend_from_slice(bytes[1..].get(..3usize.checked_sub(padding)?)?);
            (word, digits) = (0, 0);
        }
    }
    (digits == 0).then_some(())
}
