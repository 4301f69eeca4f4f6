//! Regular expressions: REGEXP and the functions of its family. Patterns are those of the regex crate,
//! which has no back references and no look-around, and takes time linear in the text.
//!
//! Flags are letters: c and i (capitals count or not), m (`^` and `$` at every line), n (`.` matches a
//! line's end), u (only `\n` ends a line, which it is here anyway).

use super::failure::raise;
use super::kernel::{
    Arguments, Function, Nulls, Returns, Texts, build_booleans, build_numbers, build_text, fits, functions,
};
use super::text::{byte_of, count_chars};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;
use regex::Regex;
use std::sync::{Arc, LazyLock};
use types::{ErrorKind, SqlError};

/// Bytes of memory that a compiled pattern may take.
const SIZE_LIMIT: usize = 1 << 20;

functions! {
    /// regexp_like(text, pattern, flags)
    regexp, "regexp_match", Returns::Type(DataType::Boolean), Propagate, |args| {
        let texts = args.texts(0)?;
        let mut patterns = Patterns::new(args, 1, 2)?;
        build_booleans(args.rows, |row| {
            let Some(regex) = patterns.at(row)? else { return Ok(None) };
            Ok(texts.get(row).map(|text| regex.is_match(text)))
        })
    };
    /// regexp_instr(text, pattern, flags, position, occurrence, 1 for the place after the match)
    regexp_instr, "regexp_instr", Returns::Type(DataType::Int64), Propagate, |args| {
        let texts = args.texts(0)?;
        let mut patterns = Patterns::new(args, 1, 2)?;
        let (positions, occurrences) = (args.numbers::<Int64Type>(3)?, args.numbers::<Int64Type>(4)?);
        let ends = args.numbers::<Int64Type>(5)?;
        build_numbers::<Int64Type>(args, |row| {
            let Some(regex) = patterns.at(row)? else { return Ok(None) };
            let (Some(text), Some(position), Some(nth), Some(end)) =
                (texts.get(row), positions.get(row), occurrences.get(row), ends.get(row))
            else {
                return Ok(None);
            };
            let Some(start) = start_of(text, position)? else { return Ok(Some(0)) };
            let found = regex.find_iter(&text[start..]).nth(before(nth)).map(|found| {
                let at = if end == 0 { found.start() } else { found.end() };
                count_chars(&text[..start + at]) as i64 + 1
            });
            Ok(Some(found.unwrap_or(0)))
        })
    };
    /// regexp_substr(text, pattern, flags, position, occurrence)
    regexp_substr, "regexp_substr", Returns::Type(DataType::Utf8View), Always, |args| {
        let texts = args.texts(0)?;
        let mut patterns = Patterns::new(args, 1, 2)?;
        let (positions, occurrences) = (args.numbers::<Int64Type>(3)?, args.numbers::<Int64Type>(4)?);
        build_text(args.rows, |row, out| {
            let Some(regex) = patterns.at(row)? else { return Ok(None) };
            let (Some(text), Some(position), Some(nth)) =
                (texts.get(row), positions.get(row), occurrences.get(row))
            else {
                return Ok(None);
            };
            let Some(start) = start_of(text, position)? else { return Ok(None) };
            let found = regex.find_iter(&text[start..]).nth(before(nth));
            Ok(found.map(|found| out.push_str(found.as_str())))
        })
    };
    /// regexp_replace(text, pattern, flags, replacement, position, occurrence or 0 for all)
    regexp_replace, "regexp_replace", Returns::Type(DataType::Utf8View), Propagate, |args| {
        let (texts, replacements) = (args.texts(0)?, args.texts(3)?);
        let mut patterns = Patterns::new(args, 1, 2)?;
        let (positions, occurrences) = (args.numbers::<Int64Type>(4)?, args.numbers::<Int64Type>(5)?);
        build_text(args.rows, |row, out| {
            let Some(regex) = patterns.at(row)? else { return Ok(None) };
            let (Some(text), Some(replacement), Some(position), Some(nth)) =
                (texts.get(row), replacements.get(row), positions.get(row), occurrences.get(row))
            else {
                return Ok(None);
            };
            let Some(start) = start_of(text, position)? else {
                out.push_str(text);
                return Ok(Some(()));
            };
            let mut end = start;
            out.push_str(&text[..start]);
            for (at, found) in regex.captures_iter(&text[start..]).enumerate() {
                let Some(whole) = found.get(0) else { continue };
                if nth > 0 && at != before(nth) {
                    continue;
                }
                out.push_str(&text[end..start + whole.start()]);
                expand(out, replacement, &found)?;
                end = start + whole.end();
            }
            out.push_str(&text[end..]);
            Ok(Some(()))
        })
    };
}

/// How many matches come before the one that is meant.
fn before(occurrence: i64) -> usize {
    usize::try_from(occurrence.max(1) - 1).unwrap_or(usize::MAX)
}

/// The byte at which the character `position` begins, from 1. `None`: the text is empty there. 3686 out
/// of the text.
fn start_of(text: &str, position: i64) -> Result<Option<usize>> {
    let skip = position.checked_sub(1).and_then(|skip| usize::try_from(skip).ok());
    match skip {
        Some(skip) if skip <= count_chars(text) => Ok(Some(byte_of(text, skip))),
        _ => Err(raise(SqlError::new(
            ErrorKind::RegexpIndexOutOfBounds,
            "Index out of bounds in regular expression search.",
        ))),
    }
}

/// `$1` is a group, a backslash takes the next character as it is.
fn expand(out: &mut String, replacement: &str, found: &regex::Captures<'_>) -> Result<()> {
    let mut chars = replacement.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            '$' => match chars.peek().and_then(|digit| digit.to_digit(10)) {
                Some(group) => {
                    chars.next();
                    let group = found.get(group as usize).map_or("", |group| group.as_str());
                    fits("regexp_replace", out.len(), group.len())?;
                    out.push_str(group);
                }
                None => out.push('$'),
            },
            c => out.push(c),
        }
    }
    // What each match adds beside its groups is no longer than the replacement.
    fits("regexp_replace", out.len(), 0)
}

/// Patterns by rows; one that repeats is compiled once.
struct Patterns<'a> {
    patterns: Texts<'a>,
    flags: Texts<'a>,
    last: Option<(&'a str, &'a str, Regex)>,
}

impl<'a> Patterns<'a> {
    fn new(args: &Arguments<'a>, pattern: usize, flags: usize) -> Result<Patterns<'a>> {
        Ok(Patterns { patterns: args.texts(pattern)?, flags: args.texts(flags)?, last: None })
    }

    fn at(&mut self, row: usize) -> Result<Option<&Regex>> {
        let (Some(pattern), Some(flags)) = (self.patterns.get(row), self.flags.get(row)) else {
            return Ok(None);
        };
        if !matches!(&self.last, Some((p, f, _)) if *p == pattern && *f == flags) {
            self.last = Some((pattern, flags, compile(pattern, flags)?));
        }
        Ok(self.last.as_ref().map(|(_, _, regex)| regex))
    }
}

fn compile(pattern: &str, flags: &str) -> Result<Regex> {
    if pattern.is_empty() {
        return Err(illegal());
    }
    let mut builder = regex::RegexBuilder::new(pattern);
    builder.size_limit(SIZE_LIMIT);
    for flag in flags.chars() {
        match flag {
            'c' => builder.case_insensitive(false),
            'i' => builder.case_insensitive(true),
            'm' => builder.multi_line(true),
            'n' => builder.dot_matches_new_line(true),
            'u' => &mut builder,
            _ => {
                return Err(raise(SqlError::new(
                    ErrorKind::WrongArguments,
                    "Incorrect arguments to the match type of a regular expression",
                )));
            }
        };
    }
    builder.build().map_err(|error| raise(compile_error(pattern, &error)))
}

fn illegal() -> DataFusionError {
    raise(SqlError::new(
        ErrorKind::RegexpIllegalArgument,
        "Illegal argument to a regular expression: the pattern is empty.",
    ))
}

fn compile_error(pattern: &str, error: &regex::Error) -> SqlError {
    let text = match error {
        regex::Error::CompiledTooBig(_) => {
            return SqlError::new(
                ErrorKind::RegexpTooBig,
                format!("The regular expression '{pattern}' is too large; make it shorter."),
            );
        }
        other => other.to_string(),
    };
    let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_string();
    if why.contains("unclosed group") || why.contains("unopened group") {
        return SqlError::new(
            ErrorKind::RegexpMismatchedParenthesis,
            format!("Mismatched parenthesis in regular expression '{pattern}'."),
        );
    }
    if why.contains("unclosed character class") {
        return SqlError::new(
            ErrorKind::RegexpUnclosedBracket,
            format!("The regular expression '{pattern}' contains an unclosed bracket expression."),
        );
    }
    SqlError::new(ErrorKind::RegexpSyntax, format!("Syntax error in regular expression '{pattern}': {why}."))
}
