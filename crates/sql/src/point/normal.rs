//! The normal form of a statement's text: its numbers and strings become placeholders, so that texts
//! which differ in them alone have one form.
//!
//! Only what is certain is taken: plain names, whole numbers and decimals, strings between single
//! quotes without escapes, and the signs of simple statements. Anything else, such as a comment, a
//! variable, an exponent or a placeholder, has no normal form, and the text is read as it stands.
//! A form is parsed like any other text, so a string where the grammar takes no value (`_utf8mb4 'a'`,
//! `'a' 'b'`) makes a form that does not parse, and is no worse off for it.

use crate::literal::{negated, number};
use crate::temporal::parse_date;
use types::Value;

/// Whole numbers of so few digits stay where a query lists what it shows: `SELECT 1 FROM t WHERE id = 7` asks
/// whether there is a row, and there are not many such numbers.
const SHOWN_DIGITS: usize = 2;

/// Longer forms are not worth keeping: they are of statements that are sent once.
const LONGEST: usize = 4_096;
/// The same of forms with more values.
pub const MOST_VALUES: usize = 64;

/// A text without its literals.
#[derive(Debug, Clone, PartialEq)]
pub struct NormalForm {
    /// With `?` in place of each literal.
    pub text: String,
    /// What the placeholders stand for.
    pub values: Vec<Value>,
}

/// `None`: the text has no normal form.
pub fn normal_form(text: &str) -> Option<NormalForm> {
    form_of(text, None)
}

/// The form of a query in which only literals of conditions are placeholders, those behind WHERE and ON but for what
/// stands within a list of what is shown, of groups or of an order. Everything else is as it stands. A date such as
/// `DATE '1998-09-02'` is one literal there.
pub fn conditions_form(text: &str) -> Option<NormalForm> {
    form_of(text, Some(Clauses::default())).filter(|form| !form.values.is_empty())
}

/// Which clause of a query a text is in, for each pair of brackets that is open.
#[derive(Default)]
struct Clauses {
    outer: Vec<Clause>,
    here: Clause,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Clause {
    /// FROM, or before the first clause: there may be queries with conditions within.
    #[default]
    Tables,
    Conditions,
    /// What is shown, groups, an order, a limit: literals are read there for more than their value.
    Others,
    /// Within one of those, whatever comes.
    WithinOthers,
}

impl Clauses {
    fn word(&mut self, word: &str) {
        const OTHERS: [&str; 13] = [
            "SELECT",
            "GROUP",
            "HAVING",
            "ORDER",
            "LIMIT",
            "WINDOW",
            "UNION",
            "INTERSECT",
            "EXCEPT",
            "INTO",
            "FOR",
            "LOCK",
            "VALUES",
        ];
        let is = |other: &str| word.eq_ignore_ascii_case(other);
        if self.here == Clause::WithinOthers {
            return;
        }
        if is("FROM") {
            self.here = Clause::Tables;
        } else if is("WHERE") || is("ON") {
            self.here = Clause::Conditions;
        } else if OTHERS.into_iter().any(is) {
            self.here = Clause::Others;
        }
    }

    fn open(&mut self) {
        self.outer.push(self.here);
        if self.here == Clause::Others {
            self.here = Clause::WithinOthers;
        }
    }

    fn close(&mut self) {
        self.here = self.outer.pop().unwrap_or_default();
    }
}

fn form_of(text: &str, mut clauses: Option<Clauses>) -> Option<NormalForm> {
    let bytes = text.as_bytes();
    let mut form = NormalForm { text: String::with_capacity(text.len().min(LONGEST)), values: Vec::new() };
    let mut at = 0;
    let mut is_shown = false;
    while let Some(&byte) = bytes.get(at) {
        if form.text.len() > LONGEST || form.values.len() > MOST_VALUES {
            return None;
        }
        let (from, length, count) = (at, form.text.len(), form.values.len());
        match byte {
            // As it stands: columns without a name have their text's.
            b' ' | b'\t' | b'\n' | b'\r' => {
                form.text.push(char::from(byte));
                at += 1;
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let is_first = form.text.trim_ascii_start().is_empty();
                at = name(text, at, &mut form.text)?;
                if let Some(clauses) = &mut clauses {
                    // Behind a period any word is a name.
                    if form.text[..length].trim_ascii_end().ends_with('.') {
                        continue;
                    }
                    clauses.word(&text[from..at]);
                    if clauses.here == Clause::Conditions && text[from..at].eq_ignore_ascii_case("date") {
                        at = date(text, at, length, &mut form)?;
                    }
                    continue;
                }
                is_shown = match &text[from..at] {
                    word if word.eq_ignore_ascii_case("select") => is_first,
                    word if word.eq_ignore_ascii_case("from") => false,
                    _ => is_shown,
                };
            }
            b'0'..=b'9' if is_shown && is_small(&text[at..]) && ends_no_name(&form.text) => {
                let digits = text[at..].bytes().take_while(u8::is_ascii_digit).count();
                form.text.push_str(&text[at..at + digits]);
                at += digits;
            }
            b'`' => at = quoted_name(text, at, &mut form.text)?,
            b'0'..=b'9' => at = unsigned(text, at, false, &mut form)?,
            b'\'' => at = string(text, at, &mut form)?,
            b'-' if bytes.get(at + 1).is_some_and(u8::is_ascii_digit) && is_before_a_value(&form.text) => {
                at = unsigned(text, at + 1, true, &mut form)?;
            }
            b'-' if bytes.get(at + 1) == Some(&b'-') => return None,
            b'/' if bytes.get(at + 1) == Some(&b'*') => return None,
            b'(' | b')' | b',' | b'.' | b'=' | b'<' | b'>' | b'!' | b'+' | b'-' | b'*' | b'/' | b';' => {
                form.text.push(char::from(byte));
                at += 1;
                match (byte, &mut clauses) {
                    (b'(', Some(clauses)) => clauses.open(),
                    (b')', Some(clauses)) => clauses.close(),
                    _ => {}
                }
            }
            _ => return None,
        }
        if form.values.len() > count && clauses.as_ref().is_some_and(|c| c.here != Clause::Conditions) {
            form.values.truncate(count);
            form.text.truncate(length);
            form.text.push_str(&text[from..at]);
        }
    }
    Some(form)
}

/// Behind the word DATE: a whole date in quotes becomes a placeholder together with it, which begins at `word` of the
/// form. Another string makes no form.
fn date(text: &str, from: usize, word: usize, form: &mut NormalForm) -> Option<usize> {
    let rest = text[from..].trim_ascii_start();
    let Some(quoted) = rest.strip_prefix('\'') else { return Some(from) };
    let digits = quoted.get(..10).filter(|date| {
        let is_plain =
            |(at, byte): (usize, u8)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
        date.bytes().enumerate().all(is_plain)
    })?;
    let goes_on = |next: &str| next.trim_ascii_start().starts_with('\'');
    if !quoted[10..].starts_with('\'') || goes_on(&quoted[11..]) {
        return None;
    }
    form.values.push(Value::Date(parse_date(digits.as_bytes())?));
    form.text.truncate(word);
    form.text.push('?');
    Some(text.len() - quoted.len() + 11)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

/// Whether a whole number of few digits begins here, and nothing that goes on from it.
fn is_small(rest: &str) -> bool {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let next = rest.as_bytes().get(digits);
    digits <= SHOWN_DIGITS
        && next.is_none_or(|byte| matches!(byte, b' ' | b',' | b')' | b'\n' | b'\t' | b'\r'))
}

/// Whether a number may begin behind this: not behind a period or in a name.
fn ends_no_name(form: &str) -> bool {
    !form.bytes().last().is_some_and(|byte| byte == b'.' || byte == b'`' || is_name_byte(byte))
}

/// Whether a minus here is the sign of a number: nothing stands before it that it could be taken from.
fn is_before_a_value(form: &str) -> bool {
    form.trim_end().ends_with(['(', ',', '=', '<', '>'])
}

fn name(text: &str, from: usize, out: &mut String) -> Option<usize> {
    let bytes = text.as_bytes();
    let end = from + bytes[from..].iter().take_while(|byte| is_name_byte(**byte)).count();
    // A name that goes on beyond ASCII, or a string of another kind: N'..', x'..'.
    if bytes.get(end).is_some_and(|byte| !byte.is_ascii() || matches!(byte, b'\'' | b'@')) {
        return None;
    }
    out.push_str(&text[from..end]);
    Some(end)
}

fn quoted_name(text: &str, from: usize, out: &mut String) -> Option<usize> {
    let length = memchr::memchr(b'`', &text.as_bytes()[from + 1..])?;
    let end = from + length + 2;
    out.push_str(&text[from..end]);
    Some(end)
}

/// A whole number or a decimal from its first digit on.
fn unsigned(text: &str, from: usize, is_negative: bool, form: &mut NormalForm) -> Option<usize> {
    // Behind a period it may be a name, behind a name's end a part of it.
    if !ends_no_name(&form.text) {
        return None;
    }
    let bytes = text.as_bytes();
    let digits = |from: usize| from + bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut end = digits(from);
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    let goes_on = |byte: &u8| is_name_byte(*byte) || matches!(byte, b'.' | b'\'' | b'`') || !byte.is_ascii();
    if bytes.get(end).is_some_and(goes_on) {
        return None;
    }
    let value = number(&text[from..end])?;
    form.values.push(if is_negative { negated(value)? } else { value });
    form.text.push('?');
    Some(end)
}

fn string(text: &str, from: usize, form: &mut NormalForm) -> Option<usize> {
    if form.text.ends_with('?') {
        return None;
    }
    let bytes = text.as_bytes();
    let mut value = String::new();
    let mut at = from + 1;
    loop {
        let length = memchr::memchr2(b'\'', b'\\', &bytes[at..])?;
        value.push_str(&text[at..at + length]);
        at += length;
        if bytes[at] == b'\\' {
            return None;
        }
        if bytes.get(at + 1) != Some(&b'\'') {
            break;
        }
        value.push('\'');
        at += 2;
    }
    form.values.push(Value::Text(value));
    form.text.push('?');
    Some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::literal::literal;
    use crate::parse::{parse_expr, parse_one};
    use proptest::prelude::*;

    fn form(text: &str) -> Option<(String, Vec<Value>)> {
        normal_form(text).map(|form| (form.text, form.values))
    }

    #[test]
    fn literals_become_placeholders() {
        let (text, values) =
            form("SELECT c  FROM\n`a``b`.t1 WHERE id=-5 AND s='it''s' AND d = (1.50)").unwrap();
        assert_eq!(text, "SELECT c  FROM\n`a``b`.t1 WHERE id=? AND s=? AND d = (?)");
        assert_eq!(
            values,
            [Value::Int(-5), Value::Text("it's".into()), Value::Decimal { unscaled: 150, scale: 2 }]
        );
        let asked = form("select 1 as a, 'x', 100 from t where id = 1").unwrap();
        assert_eq!(asked.0, "select 1 as a, ?, ? from t where id = ?");
        assert_eq!(form("SELECT c1, t.c, 12 FROM t").unwrap().0, "SELECT c1, t.c, 12 FROM t");
        assert_eq!(form("insert into t select 1").unwrap().0, "insert into t select ?");
        assert_eq!(form("set k=k-1").unwrap().0, "set k=k-?", "a minus between two values stays");
        assert_eq!(form("values (-9223372036854775808)").unwrap().1, [Value::Int(i64::MIN)]);
    }

    #[test]
    fn what_is_not_certain_has_no_form() {
        for text in [
            "select 1 -- x",
            "select 1 /* x */",
            "select 1 # x",
            "select @a",
            "select ?",
            "select \"a\"",
            "select 'a\\n'",
            "select 'open",
            "select x'41'",
            "select N'a'",
            "select 0x41",
            "select 1e5",
            "select 1a",
            "select t.1",
            "select 1.2.3",
            "select ä",
            "select a||b",
            "select '1''2''",
            "select 1'a'",
        ] {
            assert_eq!(form(text), None, "{text}");
        }
    }

    fn conditions(text: &str) -> Option<(String, Vec<Value>)> {
        conditions_form(text).map(|form| (form.text, form.values))
    }

    #[test]
    fn literals_of_conditions_alone_become_placeholders() {
        let (text, values) = conditions(
            "SELECT a + 100, (SELECT 5 FROM t WHERE x = 7) FROM (SELECT b FROM t WHERE c = 1) d JOIN e ON d.b = 2 \
             WHERE (a < 3 AND f IN (4, 'x')) AND g >= DATE '1995-01-01' GROUP BY 8, a + 9 HAVING SUM(b) > 10 \
             ORDER BY 11 LIMIT 12",
        )
        .unwrap();
        assert_eq!(
            text,
            "SELECT a + 100, (SELECT 5 FROM t WHERE x = 7) FROM (SELECT b FROM t WHERE c = ?) d JOIN e ON d.b = ? \
             WHERE (a < ? AND f IN (?, ?)) AND g >= ? GROUP BY 8, a + 9 HAVING SUM(b) > 10 ORDER BY 11 LIMIT 12"
        );
        let date = Value::Date(parse_date(b"1995-01-01").unwrap());
        let numbers = |from: i64, to: i64| (from..=to).map(Value::Int);
        let expected: Vec<Value> = numbers(1, 4).chain([Value::Text("x".into()), date]).collect();
        assert_eq!(values, expected);
        let both = conditions("SELECT 1 FROM t WHERE a = 1 UNION SELECT 22 FROM t WHERE b = -2").unwrap();
        assert_eq!(both.0, "SELECT 1 FROM t WHERE a = ? UNION SELECT 22 FROM t WHERE b = ?");
        assert_eq!(conditions("SELECT t.on + 5, t . where + 6 FROM t"), None, "names of columns");
        let column = conditions("SELECT a FROM t WHERE date = 1 AND date(b) = 2").unwrap();
        assert_eq!(column.0, "SELECT a FROM t WHERE date = ? AND date(b) = ?");
        for text in [
            "SELECT 1 FROM t",
            "SELECT a FROM t WHERE b = DATE '1995-02-30'",
            "SELECT a FROM t WHERE b = DATE '95-2-3'",
            "SELECT a FROM t WHERE b = DATE '1995-01-01x'",
            "SELECT a FROM t WHERE b = DATE '1995-01-01' '2'",
            "SELECT a FROM t WHERE b = 1 -- x",
        ] {
            assert_eq!(conditions(text), None, "{text}");
        }
    }

    proptest! {
        /// A form with its values means what the text means.
        #[test]
        fn values_are_those_of_the_parser(text in "-?[0-9]{1,25}(\\.[0-9]{0,8})?|'([ -&(-\\[\\]-~ä]|''){0,6}'") {
            let statement = format!("insert into t values ({text})");
            if let Some(form) = normal_form(&statement) {
                prop_assert_eq!(form.text.as_str(), "insert into t values (?)");
                let context = crate::convert::Context::fixed();
                let expr = parse_expr(&text).unwrap();
                prop_assert_eq!(literal(&expr, &[], &context).unwrap(), Some(form.values[0].clone()));
            }
        }

        /// Whatever the bytes: no panic, and a form has as many placeholders as values once it parses.
        #[test]
        fn any_text(text in "([a-z0-9_'`.,()=<>+*/;\\- ]|select |from |where |ä){0,40}") {
            if let Some(form) = normal_form(&text) && let Ok(parsed) = parse_one(&form.text) {
                prop_assert_eq!(parsed.parameters, form.values.len());
            }
        }
    }
}
