//! Where a file can be cut between two rows.

use crate::statement::LoadFormat;
use memchr::{memchr2, memmem};

/// The farthest place in a text that begins at a row, so that the text before it ends with a row.
pub(super) fn split_point(format: &LoadFormat, text: &[u8]) -> Option<usize> {
    if format.enclosed.is_some_and(|quote| memchr::memchr(quote, text).is_some()) {
        return after_quoted_rows(format, text);
    }
    // Without quotes a line end is the end of a row unless it is escaped.
    let end = &format.lines_terminated;
    let mut until = text.len();
    loop {
        let at = memmem::rfind(&text[..until], end)?;
        if !is_escaped(format, text, at) {
            return Some(at + end.len());
        }
        until = at + end.len() - 1;
    }
}

/// Whether an odd number of escapes stands before this place.
fn is_escaped(format: &LoadFormat, text: &[u8], at: usize) -> bool {
    let Some(escape) = format.escaped else { return false };
    text[..at].iter().rev().take_while(|byte| **byte == escape).count() % 2 == 1
}

/// Walks the rows from the front, since a quote's meaning depends on all before it.
fn after_quoted_rows(format: &LoadFormat, text: &[u8]) -> Option<usize> {
    let quote = format.enclosed?;
    let mut last = None;
    let mut at = 0;
    let mut field_start = true;
    while at < text.len() {
        if field_start && text[at] == quote {
            let Some(end) = quoted_field_end(format, text, at + 1, quote) else { return last };
            at = end;
            field_start = false;
            continue;
        }
        let rest = &text[at..];
        if rest.starts_with(&format.lines_terminated) {
            at += format.lines_terminated.len();
            last = Some(at);
            field_start = true;
        } else if rest.starts_with(&format.fields_terminated) {
            at += format.fields_terminated.len();
            field_start = true;
        } else {
            at += if Some(text[at]) == format.escaped { 2 } else { 1 };
            field_start = false;
        }
    }
    last
}

/// The place after the closing quote; `None`: the field is still open at the end.
fn quoted_field_end(format: &LoadFormat, text: &[u8], from: usize, quote: u8) -> Option<usize> {
    let escape = format.escaped.unwrap_or(quote);
    let mut at = from;
    loop {
        let place = at + memchr2(quote, escape, text.get(at..)?)?;
        if text[place] == escape && escape != quote {
            at = place + 2;
            continue;
        }
        let after = &text[place + 1..];
        if after.first() == Some(&quote) {
            at = place + 2;
        } else if after.is_empty()
            || after.starts_with(&format.lines_terminated)
            || after.starts_with(&format.fields_terminated)
        {
            return Some(place + 1);
        } else {
            at = place + 1;
        }
    }
}
