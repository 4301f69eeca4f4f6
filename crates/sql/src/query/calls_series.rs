//! Functions that analysts of time series know: TO_CHAR, TO_DATE and TO_TIMESTAMP with formats as `YYYY-MM-DD`, and
//! TIME_BUCKET.

use super::binder::{Binder, Env};
use super::calls::Args;
use super::literals::unit_of;
use crate::analyzer::fold::call;
use crate::analyzer::{Family, Typed};
use crate::functions::datetime;
use crate::functions::interval::Unit;
use crate::temporal::{MICROS_PER_DAY, MICROS_PER_SECOND, days_from_civil};
use sqlparser::ast;
use types::{ErrorKind, SqlError};

/// Elements of a format and what they are in DATE_FORMAT's; of two that begin alike the longer one is first.
const ELEMENTS: &[(&str, &str)] = &[
    ("YYYY", "%Y"),
    ("RRRR", "%Y"),
    ("YY", "%y"),
    ("RR", "%y"),
    ("MONTH", "%M"),
    ("MON", "%b"),
    ("MM", "%m"),
    ("MI", "%i"),
    ("DAY", "%W"),
    ("DDD", "%j"),
    ("DD", "%d"),
    ("DY", "%a"),
    ("HH24", "%H"),
    ("HH12", "%h"),
    ("HH", "%h"),
    ("SS", "%s"),
    ("FF6", "%f"),
    ("AM", "%p"),
    ("PM", "%p"),
];

/// Elements of other systems' formats. They are refused, not written as letters.
const OTHER_ELEMENTS: &[&str] =
    &["YYY", "Y,YYY", "SSSSS", "FF", "A.M.", "P.M.", "TZ", "WW", "IW", "CC", "\"", "D", "J", "Q"];

/// A format of TO_CHAR as one of DATE_FORMAT. What is no element stands for itself.
fn date_format_of(function: &str, format: &str) -> Result<String, SqlError> {
    let mut written = String::new();
    let mut rest = format;
    let begins = |rest: &str, element: &str| {
        rest.get(..element.len()).is_some_and(|head| head.eq_ignore_ascii_case(element))
    };
    while let Some(next) = rest.chars().next() {
        let known = ELEMENTS.iter().find(|(element, _)| begins(rest, element));
        let other = OTHER_ELEMENTS.iter().find(|element| begins(rest, element));
        match (known, other) {
            (known, Some(other)) if known.is_none_or(|(element, _)| element.len() < other.len()) => {
                return Err(SqlError::unsupported(format_args!("{other} in a format of {function}")));
            }
            (Some((element, ours)), _) => {
                written.push_str(ours);
                rest = &rest[element.len()..];
            }
            (None, _) => {
                written.push_str(if next == '%' { "%%" } else { &rest[..next.len_utf8()] });
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    Ok(written)
}

/// A width such as `1h30m`: weeks, days, hours, minutes and seconds; also as ISO 8601 writes it, `P1DT12H`.
fn width_of(text: &str) -> Option<i64> {
    let text = text.trim().to_ascii_uppercase();
    let mut rest = text.strip_prefix('P').unwrap_or(&text);
    // P1M is a month.
    let mut of_time = rest.len() == text.len();
    let mut width: i64 = 0;
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('T') {
            (rest, of_time) = (time, true);
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let amount: i64 = rest[..digits].parse().ok()?;
        let unit = match rest.as_bytes().get(digits)? {
            b'W' => Unit::Week,
            b'D' => Unit::Day,
            b'H' => Unit::Hour,
            b'M' if of_time => Unit::Minute,
            b'S' => Unit::Second,
            _ => return None,
        };
        width = width.checked_add(unit.span(amount)?.micros)?;
        rest = &rest[digits + 1..];
    }
    Some(width)
}

impl Binder<'_> {
    pub(super) fn series_call(&mut self, args: Args) -> Result<Result<Typed, Args>, SqlError> {
        match args.name.as_str() {
            "TO_CHAR" => {
                let name = args.name.clone();
                let [value, format] = args.exactly()?;
                let format = self.format_of(&name, &format)?;
                if value.family().is_numeric() {
                    return Err(SqlError::unsupported("TO_CHAR of a number"));
                }
                let function = if value.family() == Family::Time { "TIME_FORMAT" } else { "DATE_FORMAT" };
                self.native_call(function, vec![value, format]).map(Ok)
            }
            "TO_DATE" | "TO_TIMESTAMP" => {
                let name = args.name.clone();
                let [value, format] = args.exactly()?;
                let format = self.format_of(&name, &format)?;
                let read = self.native_call("STR_TO_DATE", vec![value, format])?;
                match read.family() {
                    Family::Null => Ok(Ok(read)),
                    Family::Time => Err(wrong_arguments(&name)),
                    _ if name == "TO_DATE" => self.rules.date(read).map(Ok),
                    _ => self.rules.datetime_as(read, 6).map(Ok),
                }
            }
            "TIME_BUCKET" => {
                args.count(1, 3)?;
                let mut values = args.all();
                let width = values.remove(0);
                if width.is_null_literal() {
                    return Ok(Ok(Typed::null()));
                }
                let width = width.as_text_literal().and_then(width_of).ok_or_else(wrong_width)?;
                self.time_bucket(width, values).map(Ok)
            }
            _ => Ok(Err(args)),
        }
    }

    fn format_of(&mut self, function: &str, format: &Typed) -> Result<Typed, SqlError> {
        match format.as_text_literal() {
            Some(format) => Ok(Typed::text(date_format_of(function, format)?)),
            None if format.is_null_literal() => Ok(format.clone()),
            None => Err(SqlError::unsupported(format_args!("{function} with a format that is no constant"))),
        }
    }

    /// TIME_BUCKET(INTERVAL .., ..).
    pub(super) fn interval_bucket(
        &mut self,
        interval: &ast::Interval,
        values: &[&ast::Expr],
        env: Env<'_>,
    ) -> Result<Typed, SqlError> {
        let unit = interval.leading_field.as_ref().ok_or_else(wrong_width)?;
        let amount = self.expr(&interval.value, env)?;
        let amount = match (amount.as_text_literal(), amount.as_integer_literal()) {
            (Some(text), _) => text.to_string(),
            (_, Some(number)) => number.to_string(),
            _ => return Err(wrong_width()),
        };
        let span = unit_of(unit)?.span_of_text(&amount).ok_or_else(wrong_width)?;
        if span.months != 0 {
            return Err(SqlError::unsupported("TIME_BUCKET by months; DATE_TRUNC cuts moments to months"));
        }
        let values = self.exprs(values.iter().copied(), env)?;
        self.time_bucket(span.micros, values)
    }

    /// The beginning of the bucket that a moment lies in: `values` are it and, perhaps, where a bucket begins.
    fn time_bucket(&mut self, width: i64, values: Vec<Typed>) -> Result<Typed, SqlError> {
        if width <= 0 {
            return Err(wrong_width());
        }
        let mut values = values.into_iter();
        let moment = values.next();
        let moment =
            moment.ok_or_else(|| SqlError::unsupported("TIME_BUCKET without a time: SERIES TIMESTAMP"))?;
        let origin = match values.next() {
            Some(origin) => self.rules.datetime_as(origin, 6)?,
            // A Monday.
            None => Typed::datetime(i64::from(days_from_civil(2000, 1, 3)) * MICROS_PER_DAY, 6),
        };
        if values.next().is_some() {
            return Err(wrong_arguments("TIME_BUCKET"));
        }
        let moment = match width % MICROS_PER_SECOND {
            0 => self.rules.datetime(moment)?,
            _ => self.rules.datetime_as(moment, 6)?,
        };
        let ty = moment.ty;
        call(datetime::time_bucket(), vec![moment, Typed::int(width), origin], ty)
    }
}

fn wrong_arguments(name: &str) -> SqlError {
    SqlError::new(ErrorKind::WrongArguments, format!("Incorrect arguments to {}", name.to_ascii_lowercase()))
}

fn wrong_width() -> SqlError {
    SqlError::new(
        ErrorKind::WrongArguments,
        "Incorrect arguments to time_bucket; a width is a constant such as '1h30m', '7d' or INTERVAL 5 MINUTE",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        for (format, expected) in [
            ("YYYY-MM-DD HH24:MI:SS.FF6", "%Y-%m-%d %H:%i:%s.%f"),
            ("dd.mon.yy, hh:mi pm", "%d.%b.%y, %h:%i %p"),
            ("100% Month ä", "100%% %M ä"),
            ("", ""),
        ] {
            assert_eq!(date_format_of("TO_CHAR", format).unwrap(), expected, "{format}");
        }
        for format in ["FF", "YYY", "\"x\"", "SSSSS", "Q", "ä A.M."] {
            assert_eq!(date_format_of("TO_CHAR", format).unwrap_err().kind.errno(), 1235, "{format}");
        }
    }

    #[test]
    fn widths() {
        let hour = 3_600_000_000;
        for (text, expected) in [
            ("1h", Some(hour)),
            ("1h4m", Some(hour + 4 * 60_000_000)),
            ("P1DT12H", Some(36 * hour)),
            ("2W", Some(14 * 24 * hour)),
            ("5", None),
            ("h", None),
            ("1y", None),
            ("99999999999999d", None),
        ] {
            assert_eq!(width_of(text), expected, "{text}");
        }
    }
}
