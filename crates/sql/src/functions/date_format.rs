//! DATE_FORMAT and STR_TO_DATE: one language of `%` specifiers, written and read.

use super::calendar::{Clock, MONTHS, WEEKDAYS, WeekMode, week};
use crate::temporal::{
    MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, civil_from_days, day_of_year,
    days_from_civil, is_date, is_leap_year, split_datetime, weekday,
};
use std::fmt::Write;

/// Writes a datetime by a format. `None`: the format is empty, which gives NULL.
pub(crate) fn write_formatted(out: &mut String, micros: i64, format: &str) -> Option<()> {
    let (day, _) = split_datetime(micros);
    write_parts(out, Some(day), Clock::of_datetime(micros), format)
}

/// TIME_FORMAT: specifiers of dates give NULL, hours may pass 23.
pub(crate) fn write_formatted_time(out: &mut String, micros: i64, format: &str) -> Option<()> {
    if micros < 0 {
        out.push('-');
    }
    write_parts(out, None, Clock::of_time(micros), format)
}

fn write_parts(out: &mut String, day: Option<i32>, clock: Clock, format: &str) -> Option<()> {
    if format.is_empty() {
        return None;
    }
    let civil = day.map(civil_from_days);
    let hour12 = (clock.hour + 11) % 12 + 1;
    let half = if clock.hour % 24 < 12 { "AM" } else { "PM" };
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let Some(specifier) = chars.next() else {
            out.push('%');
            break;
        };
        // A String takes every write.
        let _ = match specifier {
            'H' => write!(out, "{:02}", clock.hour),
            'k' => write!(out, "{}", clock.hour),
            'h' | 'I' => write!(out, "{hour12:02}"),
            'l' => write!(out, "{hour12}"),
            'i' => write!(out, "{:02}", clock.minute),
            's' | 'S' => write!(out, "{:02}", clock.second),
            'f' => write!(out, "{:06}", clock.micro),
            'p' => write!(out, "{half}"),
            'T' => write!(out, "{:02}:{:02}:{:02}", clock.hour, clock.minute, clock.second),
            'r' => write!(out, "{hour12:02}:{:02}:{:02} {half}", clock.minute, clock.second),
            'Y' | 'y' | 'm' | 'c' | 'M' | 'b' | 'd' | 'e' | 'D' | 'j' | 'W' | 'a' | 'w' | 'U' | 'u' | 'V'
            | 'v' | 'X' | 'x' => {
                let (Some(day), Some(civil)) = (day, civil) else { return None };
                write_date_part(out, specifier, day, civil)
            }
            other => write!(out, "{other}"),
        };
    }
    Some(())
}

fn write_date_part(
    out: &mut String,
    specifier: char,
    day: i32,
    (year, month, of_month): (i32, u32, u32),
) -> std::fmt::Result {
    let name = MONTHS[(month - 1) as usize];
    let weekday = weekday(day);
    let day_name = WEEKDAYS[weekday as usize];
    let week_of = |monday, full| week(day, WeekMode::of_format(monday, full));
    match specifier {
        'Y' => write!(out, "{year:04}"),
        'y' => write!(out, "{:02}", year % 100),
        'm' => write!(out, "{month:02}"),
        'c' => write!(out, "{month}"),
        'M' => write!(out, "{name}"),
        'b' => write!(out, "{}", &name[..3]),
        'd' => write!(out, "{of_month:02}"),
        'e' => write!(out, "{of_month}"),
        'D' => {
            let suffix = match of_month {
                11..=13 => "th",
                n if n % 10 == 1 => "st",
                n if n % 10 == 2 => "nd",
                n if n % 10 == 3 => "rd",
                _ => "th",
            };
            write!(out, "{of_month}{suffix}")
        }
        'j' => write!(out, "{:03}", day_of_year(day)),
        'W' => write!(out, "{day_name}"),
        'a' => write!(out, "{}", &day_name[..3]),
        'w' => write!(out, "{}", (weekday + 1) % 7),
        'U' => write!(out, "{:02}", week_of(false, false).1),
        'u' => write!(out, "{:02}", week_of(true, false).1),
        'V' => write!(out, "{:02}", week_of(false, true).1),
        'v' => write!(out, "{:02}", week_of(true, true).1),
        'X' => write!(out, "{:04}", week_of(false, true).0),
        _ => write!(out, "{:04}", week_of(true, true).0),
    }
}

/// What a format of STR_TO_DATE speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FormatParts {
    pub(crate) date: bool,
    pub(crate) time: bool,
    pub(crate) micros: bool,
}

pub(crate) fn parts_of(format: &str) -> FormatParts {
    let mut parts = FormatParts { date: false, time: false, micros: false };
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c == '%' {
            match chars.next() {
                Some('f') => (parts.time, parts.micros) = (true, true),
                Some('H' | 'k' | 'h' | 'I' | 'l' | 'i' | 's' | 'S' | 'p' | 'T' | 'r') => parts.time = true,
                Some('%') | None => {}
                Some(_) => parts.date = true,
            }
        }
    }
    parts
}

impl FormatParts {
    /// The type of what is read by the format, as warnings name it.
    pub(crate) fn type_name(self) -> &'static str {
        match (self.date, self.time) {
            (true, false) => "date",
            (false, true) => "time",
            _ => "datetime",
        }
    }
}

/// What STR_TO_DATE reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Since 1970, or of the day if the format has no date.
    pub(crate) micros: i64,
    /// Whether nothing but blanks follows what was read.
    pub(crate) is_whole: bool,
}

#[derive(Default)]
struct Fields {
    year: i32,
    month: u32,
    day: u32,
    day_of_year: Option<i32>,
    hour: i64,
    minute: i64,
    second: i64,
    micro: i64,
    twelve_hours: bool,
    afternoon: bool,
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn number(&mut self, most: usize) -> Option<i64> {
        let length = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if length == 0 {
            return None;
        }
        let (digits, rest) = self.rest.split_at(length);
        self.rest = rest;
        digits.parse().ok()
    }

    /// The place of the name that comes next, whole or its first three letters.
    fn name(&mut self, names: &[&str], short: bool) -> Option<usize> {
        for (at, name) in names.iter().enumerate() {
            let name = if short { &name[..3] } else { name };
            let found = self.rest.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
            if found {
                self.rest = &self.rest[name.len()..];
                return Some(at);
            }
        }
        None
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn expect(&mut self, c: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(c)?;
        Some(())
    }
}

/// Reads a text by a format; `None` if it is no such moment.
pub(crate) fn read_formatted(text: &str, format: &str) -> Option<Moment> {
    let parts = parts_of(format);
    let mut fields = Fields::default();
    let mut reader = Reader { rest: text };
    read_parts(&mut reader, &mut fields, format)?;
    reader.skip_blanks();
    let moment = |micros| Moment { micros, is_whole: reader.rest.is_empty() };
    if fields.twelve_hours {
        if !(1..=12).contains(&fields.hour) {
            return None;
        }
        fields.hour = fields.hour % 12 + if fields.afternoon { 12 } else { 0 };
    }
    if fields.minute > 59 || fields.second > 59 || fields.hour > 23 {
        return None;
    }
    let of_day = fields.hour * MICROS_PER_HOUR
        + fields.minute * MICROS_PER_MINUTE
        + fields.second * MICROS_PER_SECOND
        + fields.micro;
    if !parts.date {
        // A format that reads nothing gives nothing.
        return parts.time.then(|| moment(of_day));
    }
    let day = match fields.day_of_year {
        Some(of_year) if fields.month == 0 => {
            let length = if is_leap_year(fields.year) { 366 } else { 365 };
            if !(1..=length).contains(&of_year) || !is_date(fields.year, 1, 1) {
                return None;
            }
            days_from_civil(fields.year, 1, 1) + of_year - 1
        }
        _ if is_date(fields.year, fields.month, fields.day) => {
            days_from_civil(fields.year, fields.month, fields.day)
        }
        _ => return None,
    };
    Some(moment(i64::from(day) * MICROS_PER_DAY + of_day))
}

/// Reads as much of a format as there is text for. Blanks may stand before each part of it.
fn read_parts(reader: &mut Reader<'_>, fields: &mut Fields, format: &str) -> Option<()> {
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        reader.skip_blanks();
        if reader.rest.is_empty() {
            break;
        }
        if c.is_whitespace() {
            continue;
        }
        let specifier = if c == '%' { chars.next() } else { None };
        match specifier {
            Some(specifier) => read_part(reader, fields, specifier)?,
            None => reader.expect(c)?,
        }
    }
    Some(())
}

fn read_part(reader: &mut Reader<'_>, fields: &mut Fields, specifier: char) -> Option<()> {
    match specifier {
        'Y' => {
            let before = reader.rest.len();
            let year = reader.number(4)? as i32;
            fields.year = if before - reader.rest.len() <= 2 { century(year) } else { year };
        }
        'y' => fields.year = century(reader.number(2)? as i32),
        'm' | 'c' => fields.month = reader.number(2)? as u32,
        'M' => fields.month = reader.name(&MONTHS, false)? as u32 + 1,
        'b' => fields.month = reader.name(&MONTHS, true)? as u32 + 1,
        'd' | 'e' => fields.day = reader.number(2)? as u32,
        'D' => {
            fields.day = reader.number(2)? as u32;
            reader.rest = reader.rest.get(2..)?;
        }
        'j' => fields.day_of_year = Some(reader.number(3)? as i32),
        'W' => {
            reader.name(&WEEKDAYS, false)?;
        }
        'a' => {
            reader.name(&WEEKDAYS, true)?;
        }
        'w' => {
            reader.number(1)?;
        }
        'H' | 'k' => fields.hour = reader.number(2)?,
        'h' | 'I' | 'l' => {
            fields.hour = reader.number(2)?;
            fields.twelve_hours = true;
        }
        'i' => fields.minute = reader.number(2)?,
        's' | 'S' => fields.second = reader.number(2)?,
        'f' => {
            let before = reader.rest.len();
            let digits = reader.number(6)?;
            fields.micro = digits * 10i64.pow(6 - (before - reader.rest.len()).min(6) as u32);
        }
        'p' => {
            fields.afternoon = reader.name(&["AM", "PM"], false)? == 1;
            fields.twelve_hours = true;
        }
        'T' => read_parts(reader, fields, "%H:%i:%s")?,
        'r' => read_parts(reader, fields, "%h:%i:%s %p")?,
        '%' => reader.expect('%')?,
        _ => return None,
    }
    Some(())
}

fn century(year: i32) -> i32 {
    match year {
        0..70 => year + 2000,
        70..100 => year + 1900,
        _ => year,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporal::{format_datetime, parse_datetime};

    #[test]
    fn writes() {
        let micros = parse_datetime(b"2009-10-04 22:23:00", 0).unwrap();
        let format = |format: &str| {
            let mut out = String::new();
            write_formatted(&mut out, micros, format).map(|()| out)
        };
        assert_eq!(format("%W %M %Y").as_deref(), Some("Sunday October 2009"));
        assert_eq!(format("%H:%i:%s").as_deref(), Some("22:23:00"));
        assert_eq!(format("%D %y %a %d %m %b %j").as_deref(), Some("4th 09 Sun 04 10 Oct 277"));
        assert_eq!(format("%H %k %I %r %T %S %w").as_deref(), Some("22 22 10 10:23:00 PM 22:23:00 00 0"));
        assert_eq!(format("%X %V %f %% %q").as_deref(), Some("2009 40 000000 % q"));
        assert_eq!(format(""), None);
    }

    #[test]
    fn reads() {
        let read =
            |text: &str, format: &str| read_formatted(text, format).map(|m| format_datetime(m.micros, 0));
        assert_eq!(read("01,5,2013", "%d,%m,%Y").as_deref(), Some("2013-05-01 00:00:00"));
        assert_eq!(read("May 1, 2013", "%M %d,%Y").as_deref(), Some("2013-05-01 00:00:00"));
        assert_eq!(
            read("2024-02-29 01:02:03 PM", "%Y-%m-%d %h:%i:%s %p").as_deref(),
            Some("2024-02-29 13:02:03")
        );
        assert_eq!(read("2023-02-29", "%Y-%m-%d"), None);
        assert_eq!(read("abc", "%Y"), None);
        assert_eq!(read("60 2024", "%j %Y").as_deref(), Some("2024-02-29 00:00:00"));
        // The text may end before the format, and go on after it.
        assert_eq!(read("2024-01-01", "%Y-%m-%dT%H:%i").as_deref(), Some("2024-01-01 00:00:00"));
        assert_eq!(read("2024-01-01x", "%Y-%m-%d%H"), None);
        assert_eq!(read("2024-01-01%", "%Y-%m-%d%").as_deref(), Some("2024-01-01 00:00:00"));
        let time = |text: &str, format: &str| read_formatted(text, format).map(|m| (m.micros, m.is_whole));
        assert_eq!(time("09:30:17", "%h:%i:%s"), Some((34_217_000_000, true)));
        assert_eq!(time("10 : 1 ", "%r"), Some((36_060_000_000, true)));
        assert_eq!(time("10 x", "%T"), None);
        assert_eq!(time("10:00 x", "%H:%i"), Some((36_000_000_000, false)));
        assert_eq!(time("25:10", "%H:%i"), None);
        assert_eq!(parts_of("%H:%i").type_name(), "time");
    }
}
