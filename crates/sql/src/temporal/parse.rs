//! Text and numbers to dates and times.
//!
//! As MySQL: parts are parted by any punctuation or run together (`20240105`, `240105102030`), two
//! digits of a year mean 1970 to 2069, fractions of a second are read to 7 digits, an offset
//! such as `+05:30` may follow, blanks may stand around. Anything else after it makes it wrong.

use super::zone::parse_offset;
use super::{
    Broken, MAX_DATETIME, MAX_TIME, MAX_TIMESTAMP, MICROS_PER_DAY, MICROS_PER_SECOND, MIN_TIMESTAMP, Zone,
    days_from_civil, is_date, round_micros, round_nanos,
};

/// Two digits at the front of `text`, if they are digits.
#[inline]
fn two(text: &[u8]) -> Option<u32> {
    let (a, b) = (text[0].wrapping_sub(b'0'), text[1].wrapping_sub(b'0'));
    (a < 10 && b < 10).then(|| u32::from(a) * 10 + u32::from(b))
}

/// `YYYY-MM-DD` and nothing else: by far the most frequent form.
#[inline]
fn iso_date(text: &[u8]) -> Option<(i32, u32, u32)> {
    if text.len() != 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let year = two(text)? * 100 + two(&text[2..])?;
    Some((year as i32, two(&text[5..])?, two(&text[8..])?))
}

/// A DATE: a time of day after it is cut off.
#[inline]
pub fn parse_date(text: &[u8]) -> Option<i32> {
    if let Some((year, month, day)) = iso_date(text) {
        return is_date(year, month, day).then(|| days_from_civil(year, month, day));
    }
    parse_broken(text).map(|broken| broken.days())
}

/// A DATETIME rounded to `fsp` digits. An offset is taken to UTC.
pub fn parse_datetime(text: &[u8], fsp: u8) -> Option<i64> {
    if let Some(micros) = iso_datetime(text) {
        return Some(micros);
    }
    let broken = parse_broken(text)?;
    let micros = broken.micros(fsp) - i64::from(broken.offset.unwrap_or(0)) * MICROS_PER_SECOND;
    (micros <= MAX_DATETIME).then_some(micros)
}

/// `YYYY-MM-DD hh:mm:ss`, right and without a fraction.
fn iso_datetime(text: &[u8]) -> Option<i64> {
    if text.len() != 19 || text[10] != b' ' || text[13] != b':' || text[16] != b':' {
        return None;
    }
    let (year, month, day) = iso_date(&text[..10])?;
    let (hour, minute, second) = (two(&text[11..])?, two(&text[14..])?, two(&text[17..])?);
    if !is_date(year, month, day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = i64::from(hour * 3600 + minute * 60 + second);
    Some(i64::from(days_from_civil(year, month, day)) * MICROS_PER_DAY + seconds * MICROS_PER_SECOND)
}

/// A TIMESTAMP rounded to `fsp` digits: in UTC, from a text in `zone` unless it names its offset.
pub fn parse_timestamp(text: &[u8], fsp: u8, zone: Zone) -> Option<i64> {
    let utc = match iso_datetime(text) {
        Some(local) => zone.to_utc(local)?,
        None => {
            let broken = parse_broken(text)?;
            let local = broken.micros(fsp);
            match broken.offset {
                Some(offset) => local - i64::from(offset) * MICROS_PER_SECOND,
                None => zone.to_utc(local)?,
            }
        }
    };
    (MIN_TIMESTAMP..=MAX_TIMESTAMP).contains(&utc).then_some(utc)
}

/// Reads digits from `text` from `at` on, at most `most` of them.
fn digits(text: &[u8], at: usize, most: usize) -> (u32, usize) {
    let length = text[at..].iter().take(most).take_while(|b| b.is_ascii_digit()).count();
    (text[at..at + length].iter().fold(0, |n, d| n * 10 + u32::from(d - b'0')), length)
}

/// A fraction's digits in nanoseconds, all digits skipped, the first 7 counted.
fn fraction(text: &[u8], at: usize) -> (u32, usize) {
    let length = text[at..].iter().take_while(|b| b.is_ascii_digit()).count();
    let counted = length.min(7);
    let (value, _) = digits(text, at, counted);
    (value * 10u32.pow(9 - counted as u32), at + length)
}

/// A date with or without a time of day, in its parts.
pub fn parse_broken(text: &[u8]) -> Option<Broken> {
    let text = text.trim_ascii();
    let run = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if run == 0 {
        return None;
    }
    let run_together = run >= 5 && matches!(text.get(run), None | Some(b'.' | b'T'));
    let mut broken = if run_together { parse_digits(text, run)? } else { parse_delimited(text)? };
    if broken.1 < text.len() {
        broken.0.offset = Some(parse_offset(text[broken.1..].trim_ascii_start())?);
        // An offset belongs to a time.
        if !broken.0.has_time {
            return None;
        }
    }
    let parts = broken.0;
    let valid = is_date(parts.year, parts.month, parts.day)
        && parts.hour < 24
        && parts.minute < 60
        && parts.second < 60;
    valid.then_some(parts)
}

fn full_year(year: u32, digits: usize) -> i32 {
    let century = match (digits, year) {
        (2, 0..70) => 2000,
        (2, _) => 1900,
        _ => 0,
    };
    (year + century) as i32
}

/// `YYYYMMDD[hhmmss][.fraction]`, `YYMMDD..`, `YYYYMMDDThhmmss`. Gives the place after it too.
fn parse_digits(text: &[u8], run: usize) -> Option<(Broken, usize)> {
    let year_digits = if run == 8 || run >= 14 { 4 } else { 2 };
    let (year, _) = digits(text, 0, year_digits);
    let mut fields = [0u32; 5];
    let mut at = year_digits;
    let mut count = 0;
    while count < 5 && at < text.len() {
        if count == 2 && text[at] == b'T' {
            at += 1;
        }
        let (value, length) = digits(text, at, 2);
        if length == 0 {
            break;
        }
        fields[count] = value;
        at += length;
        count += 1;
    }
    if count < 2 {
        return None;
    }
    let mut nanos = 0;
    if text.get(at) == Some(&b'.') {
        (nanos, at) = fraction(text, at + 1);
    }
    let [month, day, hour, minute, second] = fields;
    let year = full_year(year, year_digits);
    let has_time = count > 2;
    Some((Broken { year, month, day, hour, minute, second, nanos, has_time, offset: None }, at))
}

/// `YYYY-MM-DD[ hh[:mm[:ss[.fraction]]]]` with any punctuation. Gives the place after it too.
fn parse_delimited(text: &[u8]) -> Option<(Broken, usize)> {
    let (year, year_digits) = digits(text, 0, 6);
    let mut fields = [0u32; 5];
    let mut at = year_digits;
    let mut count = 0;
    while count < 5 {
        let field_start = skip_delimiters(text, at, count)?;
        if field_start == at || field_start >= text.len() {
            break;
        }
        let (value, length) = digits(text, field_start, 6);
        if length == 0 {
            break;
        }
        fields[count] = value;
        at = field_start + length;
        count += 1;
    }
    if count < 2 || year > 9999 {
        return None;
    }
    let mut nanos = 0;
    if count == 5 && text.get(at) == Some(&b'.') {
        (nanos, at) = fraction(text, at + 1);
    }
    let [month, day, hour, minute, second] = fields;
    let year = full_year(year, year_digits);
    let has_time = count > 2;
    Some((Broken { year, month, day, hour, minute, second, nanos, has_time, offset: None }, at))
}

/// The place after the delimiters before field `count` (0 = month). Blanks are allowed only between
/// day and hour, where a `T` is too. An offset is no delimiter.
fn skip_delimiters(text: &[u8], from: usize, count: usize) -> Option<usize> {
    let mut at = from;
    if count == 2 && text.get(at) == Some(&b'T') {
        return Some(at + 1);
    }
    while let Some(&byte) = text.get(at) {
        if byte.is_ascii_whitespace() {
            if count != 2 {
                return None;
            }
        } else if !byte.is_ascii_punctuation() || (count > 2 && matches!(byte, b'+' | b'-')) {
            break;
        }
        at += 1;
    }
    Some(at)
}

/// A TIME rounded to `fsp` digits: `[-][days ]hh:mm[:ss[.fraction]]`, `hhmmss`, `ss`, or the time of
/// day of a date and time.
pub fn parse_time(text: &[u8], fsp: u8) -> Option<i64> {
    let text = text.trim_ascii();
    let (negative, body) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    let first = body.iter().take_while(|b| b.is_ascii_digit()).count();
    if first == 0 && body.first() != Some(&b'.') {
        return None;
    }
    // Twelve characters or more may be a date and time, as in MySQL.
    if !negative && body.len() >= 12 && !matches!(body.get(first), Some(b':' | b'.')) {
        let broken = parse_broken(body);
        if let Some(broken) = broken.filter(|b| b.has_time) {
            let of_day = i64::from(broken.hour * 3600 + broken.minute * 60 + broken.second);
            return finish_time(false, of_day, broken.nanos, fsp);
        }
    }
    let (mut at, mut days) = (0, 0i64);
    let blank = body[first..].iter().take_while(|b| b.is_ascii_whitespace()).count();
    if blank > 0 && body.get(first + blank).is_some_and(u8::is_ascii_digit) {
        days = i64::from(digits(body, 0, first).0);
        if first > 2 || days > 34 {
            return None;
        }
        at = first + blank;
    }
    let (seconds, end) = parse_clock(body, at, at > 0)?;
    let mut nanos = 0;
    let mut end = end;
    if body.get(end) == Some(&b'.') {
        (nanos, end) = fraction(body, end + 1);
    }
    if end != body.len() {
        return None;
    }
    finish_time(negative, days * 86_400 + seconds, nanos, fsp)
}

/// `hh:mm[:ss]`, or digits run together; seconds and the place after them.
fn parse_clock(body: &[u8], at: usize, after_days: bool) -> Option<(i64, usize)> {
    let run = body[at..].iter().take_while(|b| b.is_ascii_digit()).count();
    if run > 7 {
        return None;
    }
    let (first, _) = digits(body, at, run);
    let mut end = at + run;
    if body.get(end) == Some(&b':') {
        let mut fields = [first, 0, 0];
        for field in &mut fields[1..] {
            if body.get(end) != Some(&b':') {
                break;
            }
            let (value, length) = digits(body, end + 1, 3);
            if length == 0 || value > 59 {
                return None;
            }
            *field = value;
            end += 1 + length;
        }
        let [hours, minutes, seconds] = fields.map(i64::from);
        return Some((hours * 3600 + minutes * 60 + seconds, end));
    }
    let value = i64::from(first);
    if after_days {
        return Some((value * 3600, end));
    }
    let (hours, minutes, seconds) = (value / 10_000, value / 100 % 100, value % 100);
    (minutes < 60 && seconds < 60).then_some((hours * 3600 + minutes * 60 + seconds, end))
}

fn finish_time(negative: bool, seconds: i64, nanos: u32, fsp: u8) -> Option<i64> {
    let micros = seconds * MICROS_PER_SECOND + round_nanos(i64::from(nanos), fsp);
    (micros <= MAX_TIME).then_some(if negative { -micros } else { micros })
}

/// `YYYYMMDD`, `YYMMDD` or the same with `hhmmss`, as a number; days.
pub fn date_from_number(number: i64) -> Option<i32> {
    broken_number(number).map(|broken| broken.days())
}

/// The same as a moment; `micros` is the number's fraction in millionths.
pub fn datetime_from_number(number: i64, micros: u32, fsp: u8) -> Option<i64> {
    let broken = broken_number(number)?;
    let value = broken.micros(0) + round_micros(i64::from(micros), fsp);
    (value <= MAX_DATETIME).then_some(value)
}

fn broken_number(number: i64) -> Option<Broken> {
    let (date, clock) = match number {
        ..101 => return None,
        101..=99_991_231 => (number, 0),
        101_000_000.. => (number / 1_000_000, number % 1_000_000),
        _ => return None,
    };
    let year = date / 10_000;
    let year = match year {
        0..70 if date < 10_000_101 => year + 2000,
        70..100 => year + 1900,
        _ => year,
    };
    let (year, month, day) = (i32::try_from(year).ok()?, (date / 100 % 100) as u32, (date % 100) as u32);
    let (hour, minute, second) = ((clock / 10_000) as u32, (clock / 100 % 100) as u32, (clock % 100) as u32);
    let valid = is_date(year, month, day) && hour < 24 && minute < 60 && second < 60;
    let has_time = number >= 101_000_000;
    valid.then_some(Broken { year, month, day, hour, minute, second, nanos: 0, has_time, offset: None })
}

/// `hhmmss` as a number, or the time of day of a longer one; `micros` is its fraction in millionths.
pub fn time_from_number(number: i64, micros: u32, fsp: u8) -> Option<i64> {
    let (negative, value) = (number < 0, number.unsigned_abs());
    let seconds = if value > 8_385_959 {
        if negative || value < 10_000_000_000 {
            return None;
        }
        let broken = broken_number(number)?;
        i64::from(broken.hour * 3600 + broken.minute * 60 + broken.second)
    } else {
        let (hours, minutes, seconds) = (value / 10_000, value / 100 % 100, value % 100);
        if minutes > 59 || seconds > 59 {
            return None;
        }
        (hours * 3600 + minutes * 60 + seconds) as i64
    };
    finish_time(negative, seconds, micros * 1000, fsp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporal::{format_date, format_datetime, format_time};

    fn date(text: &str) -> Option<String> {
        parse_date(text.as_bytes()).map(format_date)
    }

    fn datetime(text: &str, fsp: u8) -> Option<String> {
        parse_datetime(text.as_bytes(), fsp).map(|micros| format_datetime(micros, fsp))
    }

    fn time(text: &str, fsp: u8) -> Option<String> {
        parse_time(text.as_bytes(), fsp).map(|micros| format_time(micros, fsp))
    }

    #[test]
    fn dates() {
        for (text, expected) in [
            ("2024-01-05", "2024-01-05"),
            ("2024-1-5", "2024-01-05"),
            ("20240105", "2024-01-05"),
            ("240105", "2024-01-05"),
            ("70-1-1", "1970-01-01"),
            ("69/12/31", "2069-12-31"),
            ("2024.01.05", "2024-01-05"),
            ("2024^1^5", "2024-01-05"),
            (" 2024-02-29 ", "2024-02-29"),
            ("2024-01-05 10:20:30", "2024-01-05"),
            ("2024-01-05T23:59:59.999999", "2024-01-05"),
            ("20240105T102030", "2024-01-05"),
            ("9999-12-31", "9999-12-31"),
            ("0001-01-01", "0001-01-01"),
        ] {
            assert_eq!(date(text).as_deref(), Some(expected), "{text}");
        }
        for wrong in [
            "",
            " ",
            "abc",
            "2024-13-01",
            "2024-00-01",
            "2024-01-00",
            "0000-00-00",
            "2023-02-29",
            "2024-01",
            "2024-01-05x",
            "2024-01-05 25:00:00",
            "10000-01-01",
            "2024 01 05",
            "-2024-01-05",
            "2024",
            "2024-01-05 10:20:30 x",
            "99999999",
        ] {
            assert_eq!(date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn datetimes() {
        for (text, fsp, expected) in [
            ("2024-01-05 10:20:30", 0, "2024-01-05 10:20:30"),
            ("2024-01-05T10:20:30.5", 0, "2024-01-05 10:20:31"),
            ("2024-12-31 23:59:59.9999999", 6, "2025-01-01 00:00:00.000000"),
            ("2024-01-05 10:20:30.123456", 3, "2024-01-05 10:20:30.123"),
            ("2024-01-05", 0, "2024-01-05 00:00:00"),
            ("2024-1-5 1:2:3", 0, "2024-01-05 01:02:03"),
            ("2024-01-05 10:20", 0, "2024-01-05 10:20:00"),
            ("2024-01-05 10", 0, "2024-01-05 10:00:00"),
            ("20240105102030", 0, "2024-01-05 10:20:30"),
            ("20240105102030.5", 1, "2024-01-05 10:20:30.5"),
            ("240105102030", 0, "2024-01-05 10:20:30"),
            ("2024-01-05 10:20:30+05:30", 0, "2024-01-05 04:50:30"),
            ("2024-01-05   10:20:30", 0, "2024-01-05 10:20:30"),
        ] {
            assert_eq!(datetime(text, fsp).as_deref(), Some(expected), "{text}");
        }
        for wrong in ["2024-01-05 10:60:00", "9999-12-31 23:59:59.9", "2024-01-05 10:20:30Z", "2024-01-05 a"]
        {
            assert_eq!(datetime(wrong, 0), None, "{wrong}");
        }
    }

    #[test]
    fn times() {
        for (text, fsp, expected) in [
            ("10:20:30", 0, "10:20:30"),
            ("10:20", 0, "10:20:00"),
            ("1:2:3", 0, "01:02:03"),
            ("102030", 0, "10:20:30"),
            ("1020", 0, "00:10:20"),
            ("5", 0, "00:00:05"),
            ("-838:59:59", 0, "-838:59:59"),
            ("1 10:20", 0, "34:20:00"),
            ("1 10", 0, "34:00:00"),
            ("10:20:30.555", 2, "10:20:30.56"),
            ("2024-01-05 10:20:30", 0, "10:20:30"),
            ("+1:00:00", 0, "01:00:00"),
        ] {
            assert_eq!(time(text, fsp).as_deref(), Some(expected), "{text}");
        }
        for wrong in ["", "x", "10:60:00", "839:00:00", "-838:59:59.9", "10:20:30x", "1234567890", "35 00:00"]
        {
            assert_eq!(time(wrong, 0), None, "{wrong}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(date_from_number(20_240_105).map(format_date).as_deref(), Some("2024-01-05"));
        assert_eq!(date_from_number(240_105).map(format_date).as_deref(), Some("2024-01-05"));
        assert_eq!(date_from_number(700_101).map(format_date).as_deref(), Some("1970-01-01"));
        assert_eq!(date_from_number(101).map(format_date).as_deref(), Some("2000-01-01"));
        for wrong in [0, -1, 100, 20_241_301, 99_999_999_999_999_999] {
            assert_eq!(date_from_number(wrong), None, "{wrong}");
        }
        let moment = datetime_from_number(20_240_105_102_030, 500_000, 0);
        assert_eq!(moment.map(|m| format_datetime(m, 0)).as_deref(), Some("2024-01-05 10:20:31"));
        assert_eq!(time_from_number(-102_030, 0, 0).map(|t| format_time(t, 0)).as_deref(), Some("-10:20:30"));
        assert_eq!(time_from_number(1061, 0, 0), None);
    }

    #[test]
    fn timestamps_have_a_range_and_a_zone() {
        let zone = Zone::Offset(3600);
        assert_eq!(parse_timestamp(b"1970-01-01 01:00:01", 0, zone), Some(1_000_000));
        assert_eq!(parse_timestamp(b"1970-01-01 01:00:00", 0, zone), None);
        assert_eq!(parse_timestamp(b"2038-01-19 04:14:08", 0, zone), None);
        assert_eq!(parse_timestamp(b"1970-01-01 00:00:01+00:00", 0, zone), Some(1_000_000));
    }
}
