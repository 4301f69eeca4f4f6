//! JSON values: read from text, changed by paths, written in MySQL's one form.
//!
//! A JSON column holds that form as text: a blank after `,` and `:`, the members of an object ordered by
//! the length of their names and then by their bytes, a name once (the last one given counts). So two
//! equal documents are equal as text, and what is read back is what MySQL shows.

mod parse;
pub(crate) mod path;
#[cfg(test)]
mod tests;

pub(crate) use parse::{Invalid, parse};

use crate::functions::kernel::MAX_STRING;
use crate::functions::numerals::write_double;
use std::cmp::Ordering;
use std::fmt::Write;

/// How deep a document may nest, as in MySQL.
pub(crate) const MAX_DEPTH: usize = 100;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Int(i64),
    /// Only values that are no `Int`.
    UInt(u64),
    Double(f64),
    Text(String),
    Array(Vec<Json>),
    /// In the order of names that the module's doc comment tells.
    Object(Vec<(String, Json)>),
    /// A value in its written form already, put into a document as it is. It is never looked into.
    Written(String),
}

/// The order of names in an object.
pub(crate) fn name_order(left: &str, right: &str) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

impl Json {
    /// An object of members in any order; of equal names the last counts.
    pub(crate) fn object(members: Vec<(String, Json)>) -> Json {
        let mut sorted: Vec<(String, Json)> = Vec::with_capacity(members.len());
        let mut members = members;
        members.sort_by(|left, right| name_order(&left.0, &right.0));
        for (name, value) in members {
            match sorted.last_mut() {
                Some(last) if last.0 == name => last.1 = value,
                _ => sorted.push((name, value)),
            }
        }
        Json::Object(sorted)
    }

    pub(crate) fn member(&self, name: &str) -> Option<&Json> {
        let Json::Object(members) = self else { return None };
        let at = members.binary_search_by(|member| name_order(&member.0, name)).ok()?;
        members.get(at).map(|member| &member.1)
    }

    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
            // A String takes every write.
            Json::Int(value) => drop(write!(out, "{value}")),
            Json::UInt(value) => drop(write!(out, "{value}")),
            Json::Double(value) => write_number(out, *value),
            Json::Text(text) => quote(out, text),
            Json::Array(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push_str(", ");
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push_str(", ");
                    }
                    quote(out, name);
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
            Json::Written(text) => out.push_str(text),
        }
    }

    /// JSON_PRETTY: a member or an element a line. It ends early where it gets longer than a string may be.
    pub(crate) fn write_pretty(&self, out: &mut String, indent: usize) {
        if out.len() > MAX_STRING {
            return;
        }
        let line = |out: &mut String, indent: usize| {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
        };
        match self {
            Json::Array(items) if !items.is_empty() => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    line(out, indent + 2);
                    item.write_pretty(out, indent + 2);
                }
                line(out, indent);
                out.push(']');
            }
            Json::Object(members) if !members.is_empty() => {
                out.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    line(out, indent + 2);
                    quote(out, name);
                    out.push_str(": ");
                    value.write_pretty(out, indent + 2);
                }
                line(out, indent);
                out.push('}');
            }
            other => other.write(out),
        }
    }

    /// What JSON_TYPE says.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Json::Null => "NULL",
            Json::Bool(_) => "BOOLEAN",
            Json::Int(_) => "INTEGER",
            Json::UInt(_) => "UNSIGNED INTEGER",
            Json::Double(_) => "DOUBLE",
            Json::Text(_) | Json::Written(_) => "STRING",
            Json::Array(_) => "ARRAY",
            Json::Object(_) => "OBJECT",
        }
    }

    pub(crate) fn length(&self) -> usize {
        match self {
            Json::Array(items) => items.len(),
            Json::Object(members) => members.len(),
            _ => 1,
        }
    }

    pub(crate) fn depth(&self) -> usize {
        1 + match self {
            Json::Array(items) => items.iter().map(Json::depth).max().unwrap_or(0),
            Json::Object(members) => members.iter().map(|member| member.1.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// Equal as JSON_CONTAINS sees it: numbers by value, whatever their kind.
    pub(crate) fn same(&self, other: &Json) -> bool {
        match (self, other) {
            (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            (Json::Object(a), Json::Object(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && a.1.same(&b.1))
            }
            _ => match (self.number(), other.number()) {
                (Some(a), Some(b)) => a == b,
                _ => self == other,
            },
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Json::Int(value) => Some(*value as f64),
            Json::UInt(value) => Some(*value as f64),
            Json::Double(value) => Some(*value),
            _ => None,
        }
    }

    /// JSON_CONTAINS: an object contains one whose members it contains, an array one whose every element
    /// it contains, and what is contained in one of its elements.
    pub(crate) fn contains(&self, candidate: &Json) -> bool {
        match (self, candidate) {
            (Json::Object(_), Json::Object(wanted)) => {
                wanted.iter().all(|(name, value)| self.member(name).is_some_and(|own| own.contains(value)))
            }
            (Json::Array(own), Json::Array(wanted)) => wanted.iter().all(|wanted| {
                own.iter().any(|own| match wanted {
                    Json::Array(_) => own.contains(wanted) && matches!(own, Json::Array(_)),
                    wanted => own.contains(wanted) && !matches!(own, Json::Array(_)),
                })
            }),
            (Json::Array(own), wanted) => own.iter().any(|own| own.contains(wanted)),
            (own, wanted) => own.same(wanted),
        }
    }

    /// JSON_OVERLAPS.
    pub(crate) fn overlaps(&self, other: &Json) -> bool {
        match (self, other) {
            (Json::Object(_), Json::Object(members)) => {
                members.iter().any(|(name, value)| self.member(name).is_some_and(|own| own.same(value)))
            }
            (Json::Array(a), Json::Array(b)) => a.iter().any(|a| b.iter().any(|b| a.same(b))),
            (Json::Array(items), scalar) | (scalar, Json::Array(items)) => {
                items.iter().any(|item| item.same(scalar))
            }
            (a, b) => a.same(b),
        }
    }

    /// JSON_MERGE_PATCH: RFC 7396.
    pub(crate) fn patched(self, patch: Json) -> Json {
        let Json::Object(changes) = patch else { return patch };
        let mut members = match self {
            Json::Object(members) => members,
            _ => Vec::new(),
        };
        for (name, change) in changes {
            let at = members.binary_search_by(|member| name_order(&member.0, &name));
            match (at, change) {
                (Ok(at), Json::Null) => drop(members.remove(at)),
                (Err(_), Json::Null) => {}
                (Ok(at), change) => {
                    let own = std::mem::replace(&mut members[at].1, Json::Null);
                    members[at].1 = own.patched(change);
                }
                (Err(at), change) => members.insert(at, (name, Json::Null.patched(change))),
            }
        }
        Json::Object(members)
    }

    /// JSON_MERGE_PRESERVE: arrays are joined, members of one name merged, others put into an array.
    pub(crate) fn merged(self, other: Json) -> Json {
        match (self, other) {
            (Json::Object(mut own), Json::Object(others)) => {
                for (name, value) in others {
                    match own.binary_search_by(|member| name_order(&member.0, &name)) {
                        Ok(at) => {
                            let held = std::mem::replace(&mut own[at].1, Json::Null);
                            own[at].1 = held.merged(value);
                        }
                        Err(at) => own.insert(at, (name, value)),
                    }
                }
                Json::Object(own)
            }
            (left, right) => {
                let mut items = left.into_items();
                items.extend(right.into_items());
                Json::Array(items)
            }
        }
    }

    fn into_items(self) -> Vec<Json> {
        match self {
            Json::Array(items) => items,
            other => vec![other],
        }
    }
}

/// A DOUBLE, which shows that it is one.
fn write_number(out: &mut String, value: f64) {
    let start = out.len();
    write_double(out, value);
    if !out[start..].contains(['.', 'e']) {
        out.push_str(".0");
    }
}

/// JSON_QUOTE.
pub(crate) fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // A String takes every write.
            c if c < ' ' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}
