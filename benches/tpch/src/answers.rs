//! The answers that the queries must give, and the comparison of a result with them.
//!
//! An answer file holds, for each query, a head line and then one line a row:
//!
//! ```text
//! # q06 revenue:exact
//! 123141078.2283
//! ```
//!
//! Columns are separated by `|`; `NULL` is NULL. The kind of a column says how it is compared: `text`
//! byte by byte (dates too), `exact` as decimal numbers of any scale, `approximate` (averages and
//! quotients, whose scale is each engine's own) within one part in a million or half of the last place
//! shown, whichever is more.

use std::fmt;

const SCALE_1: &str = include_str!("../answers/sf1.txt");
const SCALE_0_05: &str = include_str!("../answers/sf0.05.txt");
const SCALE_0_01: &str = include_str!("../answers/sf0.01.txt");

/// A result or an answer: rows of values in text form, None for NULL.
pub type Rows = Vec<Vec<Option<String>>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Exact,
    Approximate,
}

/// What one query must return.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub columns: Vec<(String, Kind)>,
    pub rows: Rows,
}

/// How a result differs from the answer: a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference(pub String);

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Difference {}

/// The answer to query `number` at `scale`; None if no answers are kept for that scale.
pub fn answer(scale: f64, number: u8) -> Option<Answer> {
    let file = if scale == 1.0 {
        SCALE_1
    } else if scale == 0.05 {
        SCALE_0_05
    } else if scale == 0.01 {
        SCALE_0_01
    } else {
        return None;
    };
    parse(file, number)
}

fn parse(file: &str, number: u8) -> Option<Answer> {
    let head = format!("# q{number:02} ");
    let mut lines = file.lines();
    let columns = lines.find_map(|line| line.strip_prefix(&head))?;
    let columns = columns
        .split(' ')
        .map(|column| {
            let (name, kind) = column.split_once(':')?;
            let kind = match kind {
                "text" => Kind::Text,
                "exact" => Kind::Exact,
                "approximate" => Kind::Approximate,
                _ => return None,
            };
            Some((name.to_owned(), kind))
        })
        .collect::<Option<Vec<_>>>()?;
    let value = |text: &str| if text == "NULL" { None } else { Some(text.to_owned()) };
    let rows = lines
        .take_while(|line| !line.starts_with("# q"))
        .map(|line| line.split('|').map(value).collect())
        .collect();
    Some(Answer { columns, rows })
}

impl Answer {
    /// Compares a result with this answer. `order_by`: the columns by which the rows must be ordered
    /// (see [`crate::Query::order_by`]).
    pub fn compare(&self, rows: &Rows, order_by: &[usize]) -> Result<(), Difference> {
        let difference = |text| Err(Difference(text));
        if rows.len() != self.rows.len() {
            return difference(format!("{} rows instead of {}", rows.len(), self.rows.len()));
        }
        if let Some(row) = rows.iter().find(|row| row.len() != self.columns.len()) {
            return difference(format!("{} columns instead of {}", row.len(), self.columns.len()));
        }
        let mut start = 0;
        while start < rows.len() {
            // Rows whose order keys are equal form a group; within it any order will do.
            let key = |row: usize| order_by.iter().map(move |&column| &self.rows[row][column]);
            let mut end = start + 1;
            while end < rows.len() && key(start).eq(key(end)) {
                end += 1;
            }
            let mut open: Vec<usize> = (start..end).collect();
            for (offset, row) in rows[start..end].iter().enumerate() {
                match open.iter().position(|&expected| self.same_row(row, &self.rows[expected])) {
                    Some(found) => drop(open.remove(found)),
                    None => {
                        let (shown, expected) = (show(row), show(&self.rows[open[0]]));
                        let number = start + offset + 1;
                        return difference(format!("row {number} is ({shown}) instead of ({expected})"));
                    }
                }
            }
            start = end;
        }
        Ok(())
    }

    fn same_row(&self, row: &[Option<String>], expected: &[Option<String>]) -> bool {
        let values = row.iter().zip(expected);
        values.zip(&self.columns).all(|((value, expected), (_, kind))| match (value, expected) {
            (None, None) => true,
            (Some(value), Some(expected)) => same_value(*kind, value, expected),
            _ => false,
        })
    }
}

fn show(row: &[Option<String>]) -> String {
    let values: Vec<&str> = row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
    values.join(", ")
}

fn same_value(kind: Kind, value: &str, expected: &str) -> bool {
    match kind {
        Kind::Text => value == expected,
        Kind::Exact => match (normal_decimal(value), normal_decimal(expected)) {
            (Some(value), Some(expected)) => value == expected,
            _ => false,
        },
        Kind::Approximate => match (value.parse::<f64>(), expected.parse::<f64>()) {
            (Ok(number), Ok(expected)) if number.is_finite() => {
                // Few places shown must not excuse a coarse result: four at least.
                let places = value.split_once('.').map_or(0, |(_, fraction)| fraction.len()).clamp(4, 15);
                let shown = 0.500_001 * 10f64.powi(-(places as i32));
                (number - expected).abs() <= shown.max(1e-6 * expected.abs())
            }
            _ => false,
        },
    }
}

/// Sign, digits before and digits after the point, without the zeros that say nothing.
fn normal_decimal(text: &str) -> Option<(bool, &str, &str)> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if digits.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let zero = whole.is_empty() && fraction.is_empty();
    Some((negative && !zero, whole, fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_of(text: &str) -> Answer {
        parse(text, 1).unwrap()
    }

    fn rows(text: &str) -> Rows {
        let value = |v: &str| if v == "NULL" { None } else { Some(v.to_owned()) };
        text.lines().map(|line| line.split('|').map(value).collect()).collect()
    }

    #[test]
    fn values_by_kind() {
        let cases = [
            (Kind::Exact, "10.50", "10.5", true),
            (Kind::Exact, "0010", "10.000", true),
            (Kind::Exact, "-0.0", "0", true),
            (Kind::Exact, ".5", "0.5", true),
            (Kind::Exact, "10.51", "10.5", false),
            (Kind::Exact, "-1", "1", false),
            (Kind::Exact, "123456789012345678901.01", "123456789012345678901.02", false),
            (Kind::Exact, "1e3", "1000", false),
            (Kind::Exact, "", "0", false),
            (Kind::Approximate, "0.049985", "0.04998529583895443", true),
            (Kind::Approximate, "0.049986", "0.04998529583895443", false),
            (Kind::Approximate, "38237.151009", "38237.1510089", true),
            (Kind::Approximate, "25", "25.4", false),
            (Kind::Approximate, "NaN", "25.4", false),
            (Kind::Text, "1995-03-05", "1995-03-05", true),
            (Kind::Text, "a ", "a", false),
        ];
        for (kind, value, expected, same) in cases {
            assert_eq!(same_value(kind, value, expected), same, "{kind:?} {value} {expected}");
        }
    }

    #[test]
    fn order_matters_except_among_ties() {
        let answer = answer_of("# q01 name:text n:exact\na|3\nb|2\nc|2\nd|1\n");
        assert_eq!(answer.compare(&rows("a|3\nc|2.0\nb|2\nd|1"), &[1]), Ok(()));
        let swapped = answer.compare(&rows("b|2\na|3\nc|2\nd|1"), &[1]).unwrap_err();
        assert_eq!(swapped.0, "row 1 is (b, 2) instead of (a, 3)");
        // Without ORDER BY all rows form one group.
        assert_eq!(answer.compare(&rows("d|1\nc|2\nb|2\na|3"), &[]), Ok(()));
        // The same row twice does not stand for two different ones.
        assert!(answer.compare(&rows("a|3\nb|2\nb|2\nd|1"), &[1]).is_err());
    }

    #[test]
    fn shape_and_nulls() {
        let answer = answer_of("# q01 x:exact y:text\nNULL|\n");
        assert_eq!(answer.compare(&rows("NULL|"), &[]), Ok(()));
        assert_eq!(answer.compare(&rows("0|"), &[]).unwrap_err().0, "row 1 is (0, ) instead of (NULL, )");
        assert_eq!(answer.compare(&rows("NULL||"), &[]).unwrap_err().0, "3 columns instead of 2");
        assert_eq!(answer.compare(&Vec::new(), &[]).unwrap_err().0, "0 rows instead of 1");
    }

    #[test]
    fn answers_are_kept_whole_for_three_scales() {
        for scale in [1.0, 0.05, 0.01] {
            for query in crate::QUERIES {
                let answer = answer(scale, query.number).expect("an answer is kept");
                assert!(!answer.rows.is_empty(), "scale {scale}, query {}", query.number);
                answer.compare(&answer.rows, query.order_by).unwrap();
            }
        }
        assert_eq!(answer(2.0, 1), None);
    }
}
