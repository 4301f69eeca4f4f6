//! Cuts text into rows and fields.

use crate::statement::LoadFormat;
use memchr::{memchr, memchr2, memmem};

/// Where a field's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    start: u32,
    length: u32,
}

/// The length of NULL.
const NULL: u32 = u32::MAX;
/// Set in the length of a field whose bytes are in [`Fields::unescaped`].
const UNESCAPED: u32 = 1 << 31;

/// The fields of some rows, row by row.
#[derive(Debug, Default)]
pub(super) struct Fields {
    places: Vec<Field>,
    pub rows: usize,
    /// Bytes of fields that are not in the text as they stand.
    pub unescaped: Vec<u8>,
}

impl Fields {
    pub fn clear(&mut self) {
        self.places.clear();
        self.unescaped.clear();
        self.rows = 0;
    }

    #[inline]
    pub fn get<'a>(&'a self, text: &'a [u8], at: usize) -> Option<&'a [u8]> {
        let Field { start, length } = self.places[at];
        let start = start as usize;
        if length & UNESCAPED == 0 {
            return Some(&text[start..start + length as usize]);
        }
        if length == NULL {
            return None;
        }
        Some(&self.unescaped[start..start + (length & !UNESCAPED) as usize])
    }

    #[inline]
    fn push(&mut self, start: usize, end: usize) {
        self.places.push(Field { start: start as u32, length: (end - start) as u32 });
    }

    fn push_null(&mut self) {
        self.places.push(Field { start: 0, length: NULL });
    }

    fn push_unescaped(&mut self, start: usize) {
        let length = (self.unescaped.len() - start) as u32 | UNESCAPED;
        self.places.push(Field { start: start as u32, length });
    }
}

/// What a scan did.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Bytes of the rows that are in the fields now, and of what was skipped.
    pub used: usize,
    /// The next row has too many fields (true) or too few.
    pub wrong: Option<bool>,
    /// Only the first part of the text was looked at.
    pub cut: bool,
}

/// How a row ended.
enum RowEnd {
    /// The place after it.
    At(usize),
    /// The text ends within it.
    Open,
    /// It has another number of fields; true: too many.
    Wrong(bool),
}

/// No text longer than this is scanned at once, so that places fit their fields.
const MAX_TEXT: usize = 1 << 30;

/// The place after the next line's end.
pub(super) fn line_end(format: &LoadFormat, text: &[u8]) -> Option<usize> {
    memmem::find(text, &format.lines_terminated).map(|at| at + format.lines_terminated.len())
}

/// Reads up to `most` rows from the front of `text`. `at_end`: nothing follows the text, so that a last
/// row needs no line end.
pub(super) fn scan(
    format: &LoadFormat,
    columns: usize,
    text: &[u8],
    at_end: bool,
    most: usize,
    fields: &mut Fields,
) -> Scanned {
    let cut = text.len() > MAX_TEXT;
    let text = if cut { &text[..MAX_TEXT] } else { text };
    let at_end = at_end && !cut;
    let short = ShortWay::of(format);
    let mut at = 0;
    while fields.rows < most && at < text.len() {
        let Some(start) = row_start(format, text, at) else {
            return Scanned { used: if at_end { text.len() } else { at }, wrong: None, cut };
        };
        if start >= text.len() {
            return Scanned { used: if at_end { text.len() } else { at }, wrong: None, cut };
        }
        let places = fields.places.len();
        let end = match &short {
            Some(short) => short.row(format, columns, text, start, at_end, fields),
            None => long_row(format, columns, text, start, at_end, fields),
        };
        match end {
            RowEnd::At(end) => {
                at = end;
                fields.rows += 1;
            }
            RowEnd::Open => {
                fields.places.truncate(places);
                return Scanned { used: at, wrong: None, cut };
            }
            RowEnd::Wrong(too_many) => {
                fields.places.truncate(places);
                return Scanned { used: at, wrong: Some(too_many), cut };
            }
        }
    }
    Scanned { used: at, wrong: None, cut }
}

/// The place after LINES STARTING BY. `None`: the prefix does not come any more in this text.
fn row_start(format: &LoadFormat, text: &[u8], at: usize) -> Option<usize> {
    if format.lines_starting.is_empty() {
        return Some(at);
    }
    memmem::find(&text[at..], &format.lines_starting).map(|n| at + n + format.lines_starting.len())
}

/// Finds two bytes in a text, eight bytes at a time: fields are so short that a call of memchr for each
/// costs more than the search.
struct Hits {
    first: u64,
    second: u64,
    /// The place after the word that `found` is about.
    at: usize,
    /// The top bit of each byte of the word that is one of the two and not yet given.
    found: u64,
}

const LOW: u64 = 0x0101_0101_0101_0101;

/// The top bit of each byte that is zero, and no other bit.
#[inline]
fn zero_bytes(word: u64) -> u64 {
    const REST: u64 = 0x7f * LOW;
    !(((word & REST) + REST) | word | REST)
}

impl Hits {
    #[inline]
    fn new(first: u8, second: u8, at: usize) -> Hits {
        Hits { first: u64::from(first) * LOW, second: u64::from(second) * LOW, at, found: 0 }
    }

    #[inline]
    fn next(&mut self, text: &[u8]) -> Option<usize> {
        loop {
            if self.found != 0 {
                let byte = self.found.trailing_zeros() as usize / 8;
                self.found &= self.found - 1;
                return Some(self.at - 8 + byte);
            }
            let Some(chunk) = text.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) else {
                return self.next_byte(text);
            };
            let word = u64::from_le_bytes(*chunk);
            self.found = zero_bytes(word ^ self.first) | zero_bytes(word ^ self.second);
            self.at += 8;
        }
    }

    /// The last bytes of a text, fewer than eight.
    fn next_byte(&mut self, text: &[u8]) -> Option<usize> {
        let (first, second) = (self.first as u8, self.second as u8);
        let rest = text.get(self.at..)?;
        let Some(length) = rest.iter().position(|byte| *byte == first || *byte == second) else {
            self.at = text.len();
            return None;
        };
        self.at += length + 1;
        Some(self.at - 1)
    }
}

/// Rows of formats whose fields end with one byte. Rows with quotes or escapes go the long way, one
/// by one.
struct ShortWay {
    field: u8,
    line: u8,
    /// The line's terminator is one byte.
    line_is_byte: bool,
    /// The second byte of a longer one.
    second: u8,
}

impl ShortWay {
    fn of(format: &LoadFormat) -> Option<ShortWay> {
        let [field] = format.fields_terminated.as_slice() else { return None };
        let (line, rest) = format.lines_terminated.split_first()?;
        // A quote or escape that is a terminator's byte needs the long way's care.
        let clash = [format.enclosed, format.escaped]
            .iter()
            .flatten()
            .any(|byte| byte == field || format.lines_terminated.contains(byte));
        let second = rest.first().copied().unwrap_or(0);
        (!clash).then_some(ShortWay { field: *field, line: *line, line_is_byte: rest.is_empty(), second })
    }

    #[inline]
    fn row(
        &self,
        format: &LoadFormat,
        columns: usize,
        text: &[u8],
        start: usize,
        at_end: bool,
        fields: &mut Fields,
    ) -> RowEnd {
        let places = fields.places.len();
        let mut field_start = start;
        let mut hits = Hits::new(self.field, self.line, start);
        while let Some(place) = hits.next(text) {
            let byte = text[place];
            let line_length = if byte == self.line {
                match self.line_is_byte {
                    true => 1,
                    false if text.get(place + 1).is_some_and(|b| *b != self.second) => 0,
                    false if text[place..].starts_with(&format.lines_terminated) => {
                        format.lines_terminated.len()
                    }
                    // The terminator may go on in the next piece.
                    false if !at_end && format.lines_terminated.starts_with(&text[place..]) => {
                        fields.places.truncate(places);
                        return RowEnd::Open;
                    }
                    false => 0,
                }
            } else {
                0
            };
            if line_length > 0 {
                fields.push(field_start, place);
                let count = fields.places.len() - places;
                return self.finish(format, columns, text, start, place, line_length, count, at_end, fields);
            }
            if byte == self.field {
                fields.push(field_start, place);
                field_start = place + 1;
            }
        }
        if !at_end {
            fields.places.truncate(places);
            return RowEnd::Open;
        }
        fields.push(field_start, text.len());
        let count = fields.places.len() - places;
        self.finish(format, columns, text, start, text.len(), 0, count, at_end, fields)
    }

    /// Looks for what the short way can't do, and counts the fields.
    #[allow(clippy::too_many_arguments)]
    #[inline]
    fn finish(
        &self,
        format: &LoadFormat,
        columns: usize,
        text: &[u8],
        start: usize,
        line_end: usize,
        line_length: usize,
        count: usize,
        at_end: bool,
        fields: &mut Fields,
    ) -> RowEnd {
        let line = &text[start..line_end];
        let special = match (format.enclosed, format.escaped) {
            (None, None) => false,
            (Some(byte), None) | (None, Some(byte)) => memchr(byte, line).is_some(),
            (Some(quote), Some(escape)) => memchr2(quote, escape, line).is_some(),
        };
        let places = fields.places.len() - count;
        if special {
            fields.places.truncate(places);
            return long_row(format, columns, text, start, at_end, fields);
        }
        // A terminator after the last field is no further field.
        if count == columns + 1 && fields.places.last().is_some_and(|field| field.length == 0) {
            fields.places.pop();
        } else if count != columns {
            return RowEnd::Wrong(count > columns);
        }
        if format.enclosed.is_some() {
            null_words(text, &mut fields.places[places..]);
        }
        RowEnd::At(line_end + line_length)
    }
}

/// With ENCLOSED BY, the word NULL without quotes is NULL.
fn null_words(text: &[u8], places: &mut [Field]) {
    for field in places {
        let start = field.start as usize;
        if field.length == 4 && &text[start..start + 4] == b"NULL" {
            field.length = NULL;
        }
    }
}

/// How a field ended.
enum FieldEnd {
    Field(usize),
    Line(usize),
    Open,
}

/// Any format, byte by byte.
fn long_row(
    format: &LoadFormat,
    columns: usize,
    text: &[u8],
    start: usize,
    at_end: bool,
    fields: &mut Fields,
) -> RowEnd {
    let mut at = start;
    let mut count = 0;
    loop {
        if count == columns {
            // All fields are there, the last one with a terminator after it: the line must end here.
            let rest = &text[at..];
            if rest.starts_with(&format.lines_terminated) {
                return RowEnd::At(at + format.lines_terminated.len());
            }
            if rest.is_empty() && at_end {
                return RowEnd::At(at);
            }
            if !at_end && rest.len() < format.lines_terminated.len() {
                return RowEnd::Open;
            }
            return RowEnd::Wrong(true);
        }
        match long_field(format, text, at, at_end, fields) {
            FieldEnd::Field(next) => {
                at = next;
                count += 1;
            }
            FieldEnd::Line(next) => {
                count += 1;
                return if count == columns { RowEnd::At(next) } else { RowEnd::Wrong(false) };
            }
            FieldEnd::Open => return RowEnd::Open,
        }
    }
}

/// Reads the row at the front of `text` as [`scan`] does, but leaves out fields that are too many and takes
/// `defaults`, one a column and `None` for NULL, where they are missing. Gives the place after it and how
/// many fields it has; `None`: it goes on beyond the text.
pub(super) fn loose_row(
    format: &LoadFormat,
    defaults: &[Option<Vec<u8>>],
    text: &[u8],
    at_end: bool,
    fields: &mut Fields,
) -> Option<(usize, usize)> {
    let cut = text.len() > MAX_TEXT;
    let text = if cut { &text[..MAX_TEXT] } else { text };
    let mut at = row_start(format, text, 0)?;
    let mut count = 0;
    loop {
        let places = fields.places.len();
        let end = long_field(format, text, at, at_end && !cut, fields);
        count += 1;
        if count > defaults.len() {
            fields.places.truncate(places);
        }
        match end {
            FieldEnd::Field(next) => at = next,
            FieldEnd::Line(next) => {
                for default in defaults.iter().skip(count) {
                    match default {
                        Some(text) => {
                            let start = fields.unescaped.len();
                            fields.unescaped.extend_from_slice(text);
                            fields.push_unescaped(start);
                        }
                        None => fields.push_null(),
                    }
                }
                fields.rows += 1;
                return Some((next, count));
            }
            FieldEnd::Open => return None,
        }
    }
}

/// The byte that an escape and this byte stand for.
fn unescape(byte: u8) -> u8 {
    match byte {
        b'0' => 0,
        b'b' => 8,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'Z' => 0x1a,
        other => other,
    }
}

fn long_field(format: &LoadFormat, text: &[u8], start: usize, at_end: bool, fields: &mut Fields) -> FieldEnd {
    let out_start = fields.unescaped.len();
    let longest = format.lines_terminated.len().max(format.fields_terminated.len()).max(2);
    let quoted = format.enclosed.is_some() && text.get(start).copied() == format.enclosed;
    let mut null = false;
    let mut at = if quoted { start + 1 } else { start };
    let end = loop {
        let Some(&byte) = text.get(at) else {
            if at_end {
                break FieldEnd::Line(at);
            }
            return FieldEnd::Open;
        };
        // What follows must be in sight, to tell terminators and doubled quotes. The last row of a piece
        // therefore waits for the next.
        if !at_end && text.len() - at <= longest {
            return FieldEnd::Open;
        }
        if Some(byte) == format.escaped {
            match text.get(at + 1) {
                Some(&next) if format.escaped != format.enclosed || Some(next) == format.escaped => {
                    null |= next == b'N';
                    fields.unescaped.push(unescape(next));
                    at += 2;
                    continue;
                }
                None => {
                    fields.unescaped.push(byte);
                    at += 1;
                    continue;
                }
                // The escape is the quote too: below.
                Some(_) => {}
            }
        }
        let rest = &text[at..];
        if quoted && Some(byte) == format.enclosed {
            let after = &text[at + 1..];
            if after.first() == Some(&byte) {
                fields.unescaped.push(byte);
                at += 2;
                continue;
            }
            if after.is_empty() {
                break FieldEnd::Line(at + 1);
            }
            if after.starts_with(&format.lines_terminated) {
                break FieldEnd::Line(at + 1 + format.lines_terminated.len());
            }
            if after.starts_with(&format.fields_terminated) {
                break FieldEnd::Field(at + 1 + format.fields_terminated.len());
            }
        } else if !quoted {
            if rest.starts_with(&format.lines_terminated) {
                break FieldEnd::Line(at + format.lines_terminated.len());
            }
            if rest.starts_with(&format.fields_terminated) {
                break FieldEnd::Field(at + format.fields_terminated.len());
            }
        }
        fields.unescaped.push(byte);
        at += 1;
    };
    let value = &fields.unescaped[out_start..];
    let is_null =
        !quoted && ((null && value == b"N") || (format.enclosed.is_some() && !null && value == b"NULL"));
    if is_null {
        fields.unescaped.truncate(out_start);
        fields.push_null();
    } else {
        fields.push_unescaped(out_start);
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn hits_are_all_places(text in prop::collection::vec(prop_oneof![Just(b'|'), Just(b'\n'), any::<u8>()], 0..50), start in 0usize..50) {
            let start = start.min(text.len());
            let mut hits = Hits::new(b'|', b'\n', start);
            let found: Vec<usize> = std::iter::from_fn(|| hits.next(&text)).collect();
            let expected: Vec<usize> = (start..text.len()).filter(|at| matches!(text[*at], b'|' | b'\n')).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
