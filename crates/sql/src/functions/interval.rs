//! INTERVAL: units, their amounts, and what adding and counting them means.

use super::numerals::decimal_of;
use crate::temporal::{
    MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, civil_from_days, split_datetime,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Microsecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    SecondMicrosecond,
    MinuteMicrosecond,
    MinuteSecond,
    HourMicrosecond,
    HourSecond,
    HourMinute,
    DayMicrosecond,
    DaySecond,
    DayMinute,
    DayHour,
    YearMonth,
}

use Unit::*;

const NAMES: [(&str, Unit); 20] = [
    ("MICROSECOND", Microsecond),
    ("SECOND", Second),
    ("MINUTE", Minute),
    ("HOUR", Hour),
    ("DAY", Day),
    ("WEEK", Week),
    ("MONTH", Month),
    ("QUARTER", Quarter),
    ("YEAR", Year),
    ("SECOND_MICROSECOND", SecondMicrosecond),
    ("MINUTE_MICROSECOND", MinuteMicrosecond),
    ("MINUTE_SECOND", MinuteSecond),
    ("HOUR_MICROSECOND", HourMicrosecond),
    ("HOUR_SECOND", HourSecond),
    ("HOUR_MINUTE", HourMinute),
    ("DAY_MICROSECOND", DayMicrosecond),
    ("DAY_SECOND", DaySecond),
    ("DAY_MINUTE", DayMinute),
    ("DAY_HOUR", DayHour),
    ("YEAR_MONTH", YearMonth),
];

/// An interval: months and microseconds, which do not convert into each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) months: i64,
    pub(crate) micros: i64,
}

impl Span {
    pub(crate) fn negated(self) -> Span {
        Span { months: self.months.saturating_neg(), micros: self.micros.saturating_neg() }
    }
}

impl Unit {
    /// By MySQL's name, also with SQL_TSI_ before it or in the plural of standard SQL's dialects.
    pub(crate) fn parse(name: &str) -> Option<Unit> {
        let name = name.to_ascii_uppercase();
        let name = name.strip_prefix("SQL_TSI_").unwrap_or(&name);
        let find = |name: &str| NAMES.iter().find(|(known, _)| *known == name).map(|(_, unit)| *unit);
        find(name).or_else(|| find(name.strip_suffix('S')?))
    }

    pub(crate) fn name(self) -> &'static str {
        // Invariant: NAMES has every unit.
        NAMES.iter().find(|(_, unit)| *unit == self).map_or("", |(name, _)| name)
    }

    /// Whether a DATE moved by it stays a DATE.
    pub(crate) fn is_of_dates(self) -> bool {
        matches!(self, Day | Week | Month | Quarter | Year | YearMonth)
    }

    /// Whether an amount is written as several numbers.
    pub(crate) fn is_composite(self) -> bool {
        self.parts().is_some()
    }

    pub(crate) fn has_micros(self) -> bool {
        matches!(self, Microsecond | SecondMicrosecond | MinuteMicrosecond | HourMicrosecond | DayMicrosecond)
    }

    /// The units of a composite unit's numbers, the greatest first.
    fn parts(self) -> Option<&'static [Unit]> {
        Some(match self {
            SecondMicrosecond => &[Second, Microsecond],
            MinuteMicrosecond => &[Minute, Second, Microsecond],
            MinuteSecond => &[Minute, Second],
            HourMicrosecond => &[Hour, Minute, Second, Microsecond],
            HourSecond => &[Hour, Minute, Second],
            HourMinute => &[Hour, Minute],
            DayMicrosecond => &[Day, Hour, Minute, Second, Microsecond],
            DaySecond => &[Day, Hour, Minute, Second],
            DayMinute => &[Day, Hour, Minute],
            DayHour => &[Day, Hour],
            YearMonth => &[Year, Month],
            _ => return None,
        })
    }

    fn micros(self) -> i64 {
        match self {
            Microsecond => 1,
            Second => MICROS_PER_SECOND,
            Minute => MICROS_PER_MINUTE,
            Hour => MICROS_PER_HOUR,
            Day => MICROS_PER_DAY,
            Week => 7 * MICROS_PER_DAY,
            _ => 0,
        }
    }

    fn months(self) -> i64 {
        match self {
            Month => 1,
            Quarter => 3,
            Year => 12,
            _ => 0,
        }
    }

    /// So many of a simple unit; `None` if that is too much for any date.
    pub(crate) fn span(self, amount: i64) -> Option<Span> {
        Some(Span { months: amount.checked_mul(self.months())?, micros: amount.checked_mul(self.micros())? })
    }

    /// So many of a simple unit, or as many as there can be: no date that is moved so far stays within its range.
    pub(crate) fn span_or_most(self, amount: i64) -> Span {
        Span { months: amount.saturating_mul(self.months()), micros: amount.saturating_mul(self.micros()) }
    }

    /// A number of seconds with a fraction, or an amount of a composite unit such as '1:30'.
    pub(crate) fn span_of_text(self, text: &str) -> Option<Span> {
        let Some(parts) = self.parts() else {
            if self == Second {
                let micros = decimal_of(text.as_bytes(), 6, i128::from(i64::MAX));
                return Some(Span { months: 0, micros: i64::try_from(micros).ok()? });
            }
            let amount = decimal_of(text.as_bytes(), 0, i128::from(i64::MAX));
            return Some(self.span_or_most(i64::try_from(amount).ok()?));
        };
        let negative = text.trim_start().starts_with('-');
        let numbers: Vec<&str> =
            text.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty()).collect();
        if numbers.len() > parts.len() {
            return None;
        }
        // Fewer numbers than units mean the smaller units.
        let parts = &parts[parts.len() - numbers.len()..];
        let mut span = Span::default();
        for (unit, number) in parts.iter().zip(&numbers) {
            let mut amount = number.parse::<i64>().ok()?;
            if *unit == Microsecond && number.len() < 6 {
                // A fraction: '1.5' has 500000 microseconds.
                amount *= 10i64.pow(6 - number.len() as u32);
            }
            let part = unit.span_or_most(amount);
            span.months = span.months.saturating_add(part.months);
            span.micros = span.micros.saturating_add(part.micros);
        }
        Some(if negative { span.negated() } else { span })
    }
}

/// TIMESTAMPDIFF: whole units from `from` to `to`.
pub(crate) fn count_units(unit: Unit, from: i64, to: i64) -> i64 {
    match unit.months() {
        0 => (to - from) / unit.micros().max(1),
        months => months_between(from, to) / months,
    }
}

fn months_between(from: i64, to: i64) -> i64 {
    if to < from {
        return -months_between(to, from);
    }
    let ((first, first_time), (last, last_time)) = (split_datetime(from), split_datetime(to));
    let ((y1, m1, d1), (y2, m2, d2)) = (civil_from_days(first), civil_from_days(last));
    let months = i64::from(y2 - y1) * 12 + i64::from(m2) - i64::from(m1);
    months - i64::from((d2, last_time) < (d1, first_time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporal::parse_datetime;

    #[test]
    fn amounts() {
        let micros = |unit: Unit, text: &str| unit.span_of_text(text).map(|span| span.micros);
        assert_eq!(micros(Second, "1.5"), Some(1_500_000));
        assert_eq!(micros(MinuteSecond, "1:30"), Some(90 * MICROS_PER_SECOND));
        assert_eq!(micros(DaySecond, "-1 00:00:01"), Some(-86_401 * MICROS_PER_SECOND));
        assert_eq!(micros(HourMinute, "5"), Some(5 * MICROS_PER_MINUTE));
        assert_eq!(micros(SecondMicrosecond, "1.5"), Some(1_500_000));
        assert_eq!(micros(MinuteSecond, "1:2:3"), None);
        assert_eq!(YearMonth.span_of_text("2-3"), Some(Span { months: 27, micros: 0 }));
        assert_eq!(Year.span(1), Some(Span { months: 12, micros: 0 }));
        assert_eq!(Week.span(i64::MIN), None);
        assert_eq!(Week.span_or_most(i64::MIN), Span { months: 0, micros: i64::MIN });
        assert_eq!(micros(DayHour, "9000000000 5"), Some(i64::MAX));
        assert_eq!(Unit::parse("days"), Some(Day));
        assert_eq!(Unit::parse("sql_tsi_hour"), Some(Hour));
        assert_eq!(Unit::parse("fortnight"), None);
    }

    #[test]
    fn differences() {
        let at = |text: &str| parse_datetime(text.as_bytes(), 0).unwrap();
        let count = |unit, from: &str, to: &str| count_units(unit, at(from), at(to));
        assert_eq!(count(Month, "2003-02-01", "2003-05-01"), 3);
        assert_eq!(count(Year, "2002-05-01", "2001-01-01"), -1);
        assert_eq!(count(Minute, "2003-02-01", "2003-05-01 12:05:55"), 128_885);
        assert_eq!(count(Month, "2024-01-31", "2024-02-29"), 0);
        assert_eq!(count(Day, "2024-01-01 12:00:00", "2024-01-02 11:00:00"), 0);
    }
}
