//! Values of a document by the names of members and the places of elements, from 0: `document::name::$other` and the
//! functions JSON_EXTRACT_JSON, _STRING, _DOUBLE and _BIGINT. What is not there, JSON's null and a text that is no JSON
//! are NULL.

use super::kernel::{Arguments, Function, Nulls, Returns, Texts, build_numbers, build_text, functions};
use crate::json::{Json, parse};
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};

functions! {
    /// json_at(document, key, ..)
    json_at, "json_at", Returns::Type(DataType::Utf8View), Always, |args| texts_at(args, |value, out| value.write(out));
    /// text_at(document, key, ..): a text without its quotation marks, any other value as it is written.
    text_at, "text_at", Returns::Type(DataType::Utf8View), Always, |args| {
        texts_at(args, |value, out| match value {
            Json::Text(text) => out.push_str(text),
            other => other.write(out),
        })
    };
    /// double_at(document, key, ..): 0 for what is no number.
    double_at, "double_at", Returns::Type(DataType::Float64), Always, |args| {
        let finder = Finder::new(args)?;
        build_numbers::<Float64Type>(args, |row| Ok(finder.find(row, number)))
    };
    /// integer_at(document, key, ..): rounded; 0 for what is no number.
    integer_at, "integer_at", Returns::Type(DataType::Int64), Always, |args| {
        let finder = Finder::new(args)?;
        build_numbers::<Int64Type>(args, |row| {
            Ok(finder.find(row, |value| match value {
                Json::Int(value) => *value,
                // Of what does not fit, the nearest that does.
                other => number(other).round() as i64,
            }))
        })
    };
}

fn number(value: &Json) -> f64 {
    match value {
        Json::Bool(truth) => f64::from(u8::from(*truth)),
        Json::Int(value) => *value as f64,
        Json::UInt(value) => *value as f64,
        Json::Double(value) => *value,
        _ => 0.0,
    }
}

struct Finder<'a> {
    documents: Texts<'a>,
    keys: Vec<Texts<'a>>,
}

impl<'a> Finder<'a> {
    fn new(args: &Arguments<'a>) -> Result<Finder<'a>> {
        let keys = (1..args.len()).map(|at| args.texts(at)).collect::<Result<Vec<_>>>()?;
        Ok(Finder { documents: args.texts(0)?, keys })
    }

    fn find<T>(&self, row: usize, read: impl FnOnce(&Json) -> T) -> Option<T> {
        let document = parse(self.documents.get(row)?).ok()?;
        let mut value = &document;
        for key in &self.keys {
            let key = key.get(row)?;
            value = match value {
                Json::Array(items) => items.get(key.parse::<usize>().ok()?)?,
                other => other.member(key)?,
            };
        }
        if matches!(value, Json::Null) { None } else { Some(read(value)) }
    }
}

fn texts_at(args: &Arguments<'_>, write: impl Fn(&Json, &mut String)) -> Result<ArrayRef> {
    let finder = Finder::new(args)?;
    build_text(args.rows, |row, out| Ok(finder.find(row, |value| write(value, out))))
}
