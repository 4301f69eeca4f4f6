//! JSON functions. Documents come and go as text in the form that [`crate::json`] tells; a text that is
//! no JSON is an error, 3141. Values to be put into a document come written as JSON already: `json_value`
//! writes them.

use super::failure::raise;
use super::kernel::{
    Arguments, Function, Nulls, Returns, Texts, build_booleans, build_numbers, build_slices, build_text,
    fits, functions,
};
use super::numerals::{write_decimal, write_double};
use super::text::{like_matches, write_base64};
use crate::json::path::{Path, write_member};
use crate::json::{Invalid, Json, parse, quote};
use crate::temporal;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int64Type,
    TimestampMicrosecondType,
};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};
use types::{ErrorKind, SqlError};

const TEXT: Returns = Returns::Type(DataType::Utf8View);
const INT: Returns = Returns::Type(DataType::Int64);
const BOOLEAN: Returns = Returns::Type(DataType::Boolean);

functions! {
    /// json_value_of(value, 1 if it is JSON already): the value as JSON, `null` for NULL.
    json_value_of, "json_value_of", TEXT, Never, value_kernel;
    /// json_normal(text): the document in its one form.
    json_normal, "json_normal", TEXT, Propagate, |args| {
        let texts = args.texts(0)?;
        build_text(args.rows, |row, out| {
            let Some(text) = texts.get(row) else { return Ok(None) };
            document(text, 1, "cast_as_json")?.write(out);
            Ok(Some(()))
        })
    };
    json_valid, "json_valid", BOOLEAN, Propagate, |args| {
        let texts = args.texts(0)?;
        build_booleans(args.rows, |row| Ok(texts.get(row).map(|text| parse(text).is_ok())))
    };
    /// json_extract(document, path, ..)
    json_extract, "json_extract", TEXT, Always, |args| {
        let texts = args.texts(0)?;
        let mut paths = paths(args, 1)?;
        let several = paths.len() > 1;
        build_text(args.rows, |row, out| {
            let Some(text) = texts.get(row) else { return Ok(None) };
            let document = document(text, 1, "json_extract")?;
            let mut found = Vec::new();
            let mut plural = several;
            for path in &mut paths {
                let Some(path) = path.at(row)? else { return Ok(None) };
                plural |= path.is_plural();
                found.extend(path.find(&document));
            }
            if found.is_empty() {
                return Ok(None);
            }
            if plural {
                out.push('[');
                for (at, value) in found.iter().enumerate() {
                    if at > 0 {
                        out.push_str(", ");
                    }
                    value.write(out);
                    fits("json_extract", out.len(), 0)?;
                }
                out.push(']');
            } else {
                found[0].write(out);
            }
            Ok(Some(()))
        })
    };
    json_quote, "json_quote", TEXT, Propagate, |args| {
        let texts = args.texts(0)?;
        build_text(args.rows, |row, out| Ok(texts.get(row).map(|text| quote(out, text))))
    };
    /// A JSON string without its quotation marks; anything else as it is.
    json_unquote, "json_unquote", TEXT, Propagate, |args| {
        let texts = args.texts(0)?;
        build_text(args.rows, |row, out| {
            let Some(text) = texts.get(row) else { return Ok(None) };
            if text.len() > 1 && text.starts_with('"') && text.ends_with('"') {
                match parse(text) {
                    Ok(Json::Text(inner)) => out.push_str(&inner),
                    Ok(_) => out.push_str(text),
                    Err(invalid) => return Err(invalid_text(&invalid, 1, "json_unquote")),
                }
            } else {
                out.push_str(text);
            }
            Ok(Some(()))
        })
    };
    json_type, "json_type", TEXT, Always, |args| {
        let texts = args.texts(0)?;
        build_slices_of(args.rows, |row| {
            let Some(text) = texts.get(row) else { return Ok(None) };
            Ok(Some(document(text, 1, "json_type")?.type_name()))
        })
    };
    /// json_length(document [, path])
    json_length, "json_length", INT, Always, |args| {
        measured(args, "json_length", |value| Some(value.length() as i64))
    };
    json_depth, "json_depth", INT, Always, |args| {
        measured(args, "json_depth", |value| Some(value.depth() as i64))
    };
    /// json_keys(document [, path])
    json_keys, "json_keys", TEXT, Always, |args| {
        let texts = args.texts(0)?;
        let mut paths = paths(args, 1)?;
        build_text(args.rows, |row, out| {
            let Some(text) = texts.get(row) else { return Ok(None) };
            let document = document(text, 1, "json_keys")?;
            let Some(value) = single(&mut paths, row, &document)? else { return Ok(None) };
            let Json::Object(members) = value else { return Ok(None) };
            let names = members.iter().map(|member| Json::Text(member.0.clone())).collect();
            Json::Array(names).write(out);
            Ok(Some(()))
        })
    };
    json_pretty, "json_pretty", TEXT, Propagate, |args| {
        let texts = args.texts(0)?;
        build_text(args.rows, |row, out| {
            let Some(text) = texts.get(row) else { return Ok(None) };
            document(text, 1, "json_pretty")?.write_pretty(out, 0);
            fits("json_pretty", out.len(), 0)?;
            Ok(Some(()))
        })
    };
    /// json_array(JSON, ..)
    json_array, "json_array", TEXT, Never, |args| {
        let values = all_texts(args, 0)?;
        build_text(args.rows, |row, out| {
            fit_together("json_array", &values, row)?;
            let items = values.iter().map(|value| written(value.get(row))).collect();
            Json::Array(items).write(out);
            Ok(Some(()))
        })
    };
    /// json_object(name, JSON, ..)
    json_object, "json_object", TEXT, Never, |args| {
        let values = all_texts(args, 0)?;
        build_text(args.rows, |row, out| {
            fit_together("json_object", &values, row)?;
            let mut members = Vec::with_capacity(values.len() / 2);
            for pair in values.chunks_exact(2) {
                let Some(name) = pair[0].get(row) else { return Err(null_name()) };
                members.push((name.to_string(), written(pair[1].get(row))));
            }
            Json::object(members).write(out);
            Ok(Some(()))
        })
    };
    /// json_member(name, JSON): `"name": JSON`, a piece of an object.
    json_member, "json_member", TEXT, Never, |args| {
        let (names, values) = (args.texts(0)?, args.texts(1)?);
        build_text(args.rows, |row, out| {
            let Some(name) = names.get(row) else { return Err(null_name()) };
            quote(out, name);
            out.push_str(": ");
            written(values.get(row)).write(out);
            Ok(Some(()))
        })
    };
    /// json_contains(document, candidate [, path])
    json_contains, "json_contains", BOOLEAN, Always, |args| {
        let (texts, candidates) = (args.texts(0)?, args.texts(1)?);
        let mut paths = paths(args, 2)?;
        build_booleans(args.rows, |row| {
            let (Some(text), Some(candidate)) = (texts.get(row), candidates.get(row)) else {
                return Ok(None);
            };
            let own = document(text, 1, "json_contains")?;
            let candidate = document(candidate, 2, "json_contains")?;
            let value = single(&mut paths, row, &own)?;
            Ok(value.map(|value| value.contains(&candidate)))
        })
    };
    json_overlaps, "json_overlaps", BOOLEAN, Propagate, |args| {
        let (left, right) = (args.texts(0)?, args.texts(1)?);
        build_booleans(args.rows, |row| {
            let (Some(left), Some(right)) = (left.get(row), right.get(row)) else { return Ok(None) };
            let (left, right) = (document(left, 1, "json_overlaps")?, document(right, 2, "json_overlaps")?);
            Ok(Some(left.overlaps(&right)))
        })
    };
    /// json_contains_path(document, 'one' or 'all', path, ..)
    json_contains_path, "json_contains_path", BOOLEAN, Always, |args| {
        let (texts, modes) = (args.texts(0)?, args.texts(1)?);
        let mut paths = paths(args, 2)?;
        build_booleans(args.rows, |row| {
            let (Some(text), Some(mode)) = (texts.get(row), modes.get(row)) else { return Ok(None) };
            let document = document(text, 1, "json_contains_path")?;
            let all = is_all(mode, "json_contains_path")?;
            let mut found = 0;
            let count = paths.len();
            for path in &mut paths {
                let Some(path) = path.at(row)? else { return Ok(None) };
                found += usize::from(!path.find(&document).is_empty());
            }
            Ok(Some(if all { found == count } else { found > 0 }))
        })
    };
    /// json_set(document, path, JSON, ..)
    json_set, "json_set", TEXT, Always, |args| change(args, "json_set", |path, document, value| {
        path.set(document, value, true, true);
        Ok(())
    });
    json_insert, "json_insert", TEXT, Always, |args| change(args, "json_insert", |path, document, value| {
        path.set(document, value, true, false);
        Ok(())
    });
    json_replace, "json_replace", TEXT, Always, |args| change(args, "json_replace", |path, document, value| {
        path.set(document, value, false, true);
        Ok(())
    });
    json_array_append, "json_array_append", TEXT, Always, |args| {
        change(args, "json_array_append", |path, document, value| {
            if let Some(own) = path.find_mut(path.legs.len(), document) {
                match own {
                    Json::Array(items) => items.push(value),
                    scalar => {
                        let held = std::mem::replace(scalar, Json::Null);
                        *scalar = Json::Array(vec![held, value]);
                    }
                }
            }
            Ok(())
        })
    };
    json_array_insert, "json_array_insert", TEXT, Always, |args| {
        change(args, "json_array_insert", |path, document, value| {
            if path.insert_cell(document, value) {
                return Ok(());
            }
            Err(raise(SqlError::new(
                ErrorKind::InvalidJsonPathArrayCell,
                "A path expression is not a path to a cell in an array.",
            )))
        })
    };
    /// json_remove(document, path, ..)
    json_remove, "json_remove", TEXT, Always, |args| {
        let texts = args.texts(0)?;
        let mut paths = paths(args, 1)?;
        build_text(args.rows, |row, out| {
            let Some(text) = texts.get(row) else { return Ok(None) };
            let mut document = document(text, 1, "json_remove")?;
            for path in &mut paths {
                let Some(path) = path.single_at(row)? else { return Ok(None) };
                if path.legs.is_empty() {
                    return Err(raise(SqlError::new(
                        ErrorKind::JsonVacuousPath,
                        "The path expression '$' is not allowed in this context.",
                    )));
                }
                path.remove(&mut document);
            }
            document.write(out);
            Ok(Some(()))
        })
    };
    json_merge_patch, "json_merge_patch", TEXT, Propagate, |args| {
        merge(args, "json_merge_patch", Json::patched)
    };
    json_merge_preserve, "json_merge_preserve", TEXT, Propagate, |args| {
        merge(args, "json_merge_preserve", Json::merged)
    };
    /// json_search(document, 'one' or 'all', pattern, escape or '', path, ..)
    json_search, "json_search", TEXT, Always, search_kernel;
    /// json_scalar(document, path): JSON_VALUE, a scalar as text.
    json_scalar, "json_scalar", TEXT, Always, |args| {
        let texts = args.texts(0)?;
        let mut paths = paths(args, 1)?;
        build_text(args.rows, |row, out| {
            let Some(text) = texts.get(row) else { return Ok(None) };
            let document = document(text, 1, "json_value")?;
            match single(&mut paths, row, &document)? {
                None | Some(Json::Null | Json::Array(_) | Json::Object(_)) => return Ok(None),
                Some(Json::Text(text)) => out.push_str(text),
                Some(scalar) => scalar.write(out),
            }
            Ok(Some(()))
        })
    };
}

fn build_slices_of(
    rows: usize,
    mut row: impl FnMut(usize) -> Result<Option<&'static str>>,
) -> Result<ArrayRef> {
    let values = (0..rows).map(&mut row).collect::<Result<Vec<_>>>()?;
    build_slices(rows, |at| values[at])
}

fn invalid_text(invalid: &Invalid, argument: usize, function: &str) -> DataFusionError {
    raise(invalid_argument(invalid, argument, function))
}

/// 3141, or 3157 where the text nests too deep.
pub(crate) fn invalid_argument(invalid: &Invalid, argument: usize, function: &str) -> SqlError {
    if invalid.too_deep {
        SqlError::new(ErrorKind::JsonTooDeep, "The JSON document exceeds the maximum depth.")
    } else {
        SqlError::new(
            ErrorKind::InvalidJsonArgument,
            format!(
                "Invalid JSON text in argument {argument} to function {function}: \"{}\" at position {}.",
                invalid.why, invalid.at
            ),
        )
    }
}

/// 3143: what is wrong with a path stands at this character, from 1.
pub(crate) fn invalid_path(text: &str, place: usize) -> SqlError {
    SqlError::new(
        ErrorKind::InvalidJsonPath,
        format!("Invalid JSON path expression. The error is around character position {place} in '{text}'."),
    )
}

fn null_name() -> DataFusionError {
    raise(SqlError::new(ErrorKind::JsonNullKey, "JSON documents may not contain NULL member names."))
}

fn document(text: &str, argument: usize, function: &str) -> Result<Json> {
    parse(text).map_err(|invalid| invalid_text(&invalid, argument, function))
}

fn written(value: Option<&str>) -> Json {
    Json::Written(value.unwrap_or("null").to_string())
}

fn is_all(mode: &str, function: &str) -> Result<bool> {
    if mode.eq_ignore_ascii_case("all") {
        return Ok(true);
    }
    if mode.eq_ignore_ascii_case("one") {
        return Ok(false);
    }
    Err(raise(SqlError::new(
        ErrorKind::JsonBadOneOrAll,
        format!("The oneOrAll argument to {function} may take these values: 'one' or 'all'."),
    )))
}

fn all_texts<'a>(args: &Arguments<'a>, from: usize) -> Result<Vec<Texts<'a>>> {
    (from..args.len()).map(|at| args.texts(at)).collect()
}

/// An argument that is a path; one that repeats is read once.
struct PathArgument<'a> {
    texts: Texts<'a>,
    last: Option<(&'a str, Path)>,
}

impl PathArgument<'_> {
    fn at(&mut self, row: usize) -> Result<Option<&Path>> {
        let Some(text) = self.texts.get(row) else { return Ok(None) };
        if self.last.as_ref().is_none_or(|(known, _)| *known != text) {
            let path = Path::parse(text).map_err(|place| raise(invalid_path(text, place)))?;
            self.last = Some((text, path));
        }
        Ok(self.last.as_ref().map(|(_, path)| path))
    }

    /// A path that means one value at most: 3149 for others.
    fn single_at(&mut self, row: usize) -> Result<Option<&Path>> {
        match self.at(row)? {
            Some(path) if path.is_plural() => Err(raise(SqlError::new(
                ErrorKind::InvalidJsonPathWildcard,
                "In this situation, path expressions may not contain the * and ** tokens or an array range.",
            ))),
            path => Ok(path),
        }
    }
}

fn paths<'a>(args: &Arguments<'a>, from: usize) -> Result<Vec<PathArgument<'a>>> {
    let texts = all_texts(args, from)?;
    Ok(texts.into_iter().map(|texts| PathArgument { texts, last: None }).collect())
}

/// The value that the one path means, or without a path the document.
fn single<'j>(paths: &mut [PathArgument<'_>], row: usize, document: &'j Json) -> Result<Option<&'j Json>> {
    let Some(path) = paths.first_mut() else { return Ok(Some(document)) };
    Ok(path.single_at(row)?.and_then(|path| path.find(document).first().copied()))
}

fn measured(
    args: &Arguments<'_>,
    function: &str,
    measure: impl Fn(&Json) -> Option<i64>,
) -> Result<ArrayRef> {
    let texts = args.texts(0)?;
    let mut paths = paths(args, 1)?;
    build_numbers::<Int64Type>(args, |row| {
        let Some(text) = texts.get(row) else { return Ok(None) };
        let document = document(text, 1, function)?;
        Ok(single(&mut paths, row, &document)?.and_then(&measure))
    })
}

/// 1301 if the arguments of a row are more together than a string may be.
fn fit_together(function: &str, values: &[Texts<'_>], row: usize) -> Result<()> {
    let lengths = values.iter().filter_map(|value| value.get(row)).map(str::len);
    fits(function, 0, lengths.fold(0, usize::saturating_add))
}

/// Functions that change a document at pairs of a path and a value.
fn change(
    args: &Arguments<'_>,
    function: &str,
    mut each: impl FnMut(&Path, &mut Json, Json) -> Result<()>,
) -> Result<ArrayRef> {
    let texts = args.texts(0)?;
    let mut pairs = Vec::new();
    for at in (1..args.len().saturating_sub(1)).step_by(2) {
        pairs.push((PathArgument { texts: args.texts(at)?, last: None }, args.texts(at + 1)?));
    }
    build_text(args.rows, |row, out| {
        let Some(text) = texts.get(row) else { return Ok(None) };
        let added = pairs.iter().filter_map(|(_, value)| value.get(row)).map(str::len);
        fits(function, text.len(), added.fold(0, usize::saturating_add))?;
        let mut document = document(text, 1, function)?;
        for (path, value) in &mut pairs {
            let Some(path) = path.single_at(row)? else { return Ok(None) };
            let value = written(value.get(row));
            // Later pairs may look into what an earlier one has put there.
            let value = match value {
                Json::Written(text) => parse(&text).unwrap_or(Json::Written(text)),
                other => other,
            };
            each(path, &mut document, value)?;
        }
        document.write(out);
        Ok(Some(()))
    })
}

fn merge(args: &Arguments<'_>, function: &str, both: impl Fn(Json, Json) -> Json) -> Result<ArrayRef> {
    let texts = all_texts(args, 0)?;
    build_text(args.rows, |row, out| {
        fit_together(function, &texts, row)?;
        let mut merged: Option<Json> = None;
        for (at, texts) in texts.iter().enumerate() {
            let Some(text) = texts.get(row) else { return Ok(None) };
            let next = document(text, at + 1, function)?;
            merged = Some(match merged {
                None => next,
                Some(before) => both(before, next),
            });
        }
        Ok(merged.map(|merged| merged.write(out)))
    })
}

fn search_kernel(args: &Arguments<'_>) -> Result<ArrayRef> {
    let (texts, modes) = (args.texts(0)?, args.texts(1)?);
    let (patterns, escapes) = (args.texts(2)?, args.texts(3)?);
    let mut paths = paths(args, 4)?;
    build_text(args.rows, |row, out| {
        let (Some(text), Some(mode), Some(pattern)) = (texts.get(row), modes.get(row), patterns.get(row))
        else {
            return Ok(None);
        };
        let all = is_all(mode, "json_search")?;
        let document = document(text, 1, "json_search")?;
        let escape = escapes.get(row).and_then(|escape| escape.chars().next()).unwrap_or('\\');
        let mut within: Vec<*const Json> = Vec::new();
        for path in &mut paths {
            let Some(path) = path.at(row)? else { return Ok(None) };
            within.extend(path.find(&document).into_iter().map(std::ptr::from_ref));
        }
        let mut search = Search { pattern, escape, within, everywhere: paths.is_empty(), found: Vec::new() };
        search.walk(&document, &mut "$".to_string(), false);
        let found = search.found;
        if found.is_empty() {
            return Ok(None);
        }
        let mut found = found.into_iter().map(Json::Text);
        match (all, found.len()) {
            (true, 2..) => Json::Array(found.collect()).write(out),
            _ => {
                if let Some(first) = found.next() {
                    first.write(out);
                }
            }
        }
        Ok(Some(()))
    })
}

struct Search<'s> {
    pattern: &'s str,
    escape: char,
    /// The values, by their address, under which to search.
    within: Vec<*const Json>,
    everywhere: bool,
    found: Vec<String>,
}

impl Search<'_> {
    fn walk(&mut self, value: &Json, path: &mut String, inside: bool) {
        let inside = inside || self.everywhere || self.within.contains(&std::ptr::from_ref(value));
        let length = path.len();
        match value {
            Json::Text(text) if inside && like_matches(text, self.pattern, Some(self.escape)) => {
                self.found.push(path.clone());
            }
            Json::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    path.push_str(&format!("[{at}]"));
                    self.walk(item, path, inside);
                    path.truncate(length);
                }
            }
            Json::Object(members) => {
                for (name, member) in members {
                    write_member(path, name);
                    self.walk(member, path, inside);
                    path.truncate(length);
                }
            }
            _ => {}
        }
    }
}

fn value_kernel(args: &Arguments<'_>) -> Result<ArrayRef> {
    use std::fmt::Write;
    let is_json = args.numbers::<Int64Type>(1)?.get(0) == Some(1);
    macro_rules! rows {
        ($ty:ty, |$value:ident, $out:ident| $body:expr) => {{
            let values = args.numbers::<$ty>(0)?;
            build_text(args.rows, |row, $out| {
                match values.get(row) {
                    None => $out.push_str("null"),
                    Some($value) => $body,
                }
                Ok(Some(()))
            })
        }};
    }
    match args.data_type(0)? {
        DataType::Null => build_text(args.rows, |_, out| {
            out.push_str("null");
            Ok(Some(()))
        }),
        DataType::Boolean => {
            let array = args.array(0)?;
            let values = array.as_boolean();
            build_text(args.rows, |row, out| {
                out.push_str(match values.is_valid(row).then(|| values.value(row)) {
                    None => "null",
                    Some(true) => "true",
                    Some(false) => "false",
                });
                Ok(Some(()))
            })
        }
        DataType::Utf8View => {
            let values = args.texts(0)?;
            build_text(args.rows, |row, out| {
                match values.get(row) {
                    None => out.push_str("null"),
                    Some(text) if is_json => out.push_str(text),
                    Some(text) => quote(out, text),
                }
                Ok(Some(()))
            })
        }
        DataType::BinaryView => {
            let values = args.blobs(0)?;
            build_text(args.rows, |row, out| {
                match values.get(row) {
                    None => out.push_str("null"),
                    Some(bytes) => {
                        out.push_str("\"base64:type15:");
                        write_base64(out, bytes);
                        out.push('"');
                    }
                }
                Ok(Some(()))
            })
        }
        // A String takes every write.
        DataType::Int64 => rows!(Int64Type, |value, out| drop(write!(out, "{value}"))),
        DataType::UInt64 => {
            rows!(arrow::datatypes::UInt64Type, |value, out| drop(write!(out, "{value}")))
        }
        DataType::Decimal128(_, scale) => {
            rows!(Decimal128Type, |value, out| write_decimal(out, value, scale))
        }
        DataType::Float32 => rows!(Float32Type, |value, out| write_double(out, f64::from(value))),
        DataType::Float64 => rows!(Float64Type, |value, out| Json::Double(value).write(out)),
        DataType::Date32 => rows!(Date32Type, |value, out| {
            out.push('"');
            temporal::push_date(out, value);
            out.push('"');
        }),
        DataType::Timestamp(..) => rows!(TimestampMicrosecondType, |value, out| {
            out.push('"');
            temporal::push_datetime(out, value, 6);
            out.push('"');
        }),
        DataType::Duration(_) => rows!(DurationMicrosecondType, |value, out| {
            out.push('"');
            temporal::push_time(out, value, 6);
            out.push('"');
        }),
        other => Err(DataFusionError::Internal(format!("no JSON of {other}"))),
    }
}
