//! Dates and times as MySQL reads, rounds and writes them. Values are in the units of their Arrow
//! types: days since 1970-01-01, microseconds since 1970-01-01 00:00:00, microseconds of a TIME.
//!
//! Parsers give `None` for what MySQL's strict mode refuses; the caller knows the column and the row.
//! Zero dates and parts (`0000-00-00`, `2024-00-01`) are refused: NO_ZERO_DATE and NO_ZERO_IN_DATE
//! are in the default sql_mode.

mod format;
mod parse;
mod zone;

pub use format::{
    format_date, format_datetime, format_time, push_date, push_datetime, push_fraction, push_time,
};
pub use parse::{
    date_from_number, datetime_from_number, parse_broken, parse_date, parse_datetime, parse_time,
    parse_timestamp, time_from_number,
};
pub use zone::Zone;

pub const MICROS_PER_SECOND: i64 = 1_000_000;
pub const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
pub const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
pub const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// TIME's greatest value, 838:59:59.
pub const MAX_TIME: i64 = (838 * 3600 + 59 * 60 + 59) * MICROS_PER_SECOND;
/// 0001-01-01.
pub const MIN_DATE: i32 = -719_162;
/// 9999-12-31.
pub const MAX_DATE: i32 = 2_932_896;
pub const MIN_DATETIME: i64 = MIN_DATE as i64 * MICROS_PER_DAY;
pub const MAX_DATETIME: i64 = (MAX_DATE as i64 + 1) * MICROS_PER_DAY - 1;
/// TIMESTAMP '1970-01-01 00:00:01' UTC.
pub const MIN_TIMESTAMP: i64 = MICROS_PER_SECOND;
/// TIMESTAMP '2038-01-19 03:14:07.999999' UTC.
pub const MAX_TIMESTAMP: i64 = (i32::MAX as i64 + 1) * MICROS_PER_SECOND - 1;

/// A moment in its parts, as a text gave them: checked, not yet rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    pub year: i32,
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
    pub nanos: u32,
    /// A time of day was there.
    pub has_time: bool,
    /// `+05:30` after the time, in seconds.
    pub offset: Option<i32>,
}

impl Broken {
    pub fn days(&self) -> i32 {
        days_from_civil(self.year, self.month, self.day)
    }

    /// Microseconds since 1970, rounded to `fsp` digits; without the offset.
    pub fn micros(&self, fsp: u8) -> i64 {
        let seconds = i64::from(self.hour * 3600 + self.minute * 60 + self.second);
        i64::from(self.days()) * MICROS_PER_DAY
            + seconds * MICROS_PER_SECOND
            + round_nanos(i64::from(self.nanos), fsp)
    }
}

/// Days since 1970-01-01 of a day of the proleptic Gregorian calendar, from the year -4799 on. The month
/// must be 1 to 12; days out of range run on into other months.
#[inline]
pub const fn days_from_civil(year: i32, month: u32, day: u32) -> i32 {
    // Years begin in March, so that the leap day is the last of a year, and twelve times 400 years early,
    // so that all is positive.
    let (year, month) = if month <= 2 { (year + 4799, month + 9) } else { (year + 4800, month - 3) };
    let year = year as u32;
    let day_of_year = (153 * month + 2) / 5 + day;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year;
    days as i32 - (719_469 + 12 * 146_097)
}

/// Year, month and day of a day since 1970-01-01.
pub const fn civil_from_days(days: i32) -> (i32, u32, u32) {
    let shifted = days as i64 + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year as i32, month as u32, day as u32)
}

#[inline]
pub const fn is_leap_year(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// 28 to 31; 0 for a month that is none.
#[inline]
pub const fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap_year(year) => 29,
        2 => 28,
        _ => 0,
    }
}

/// Whether MySQL stores this date: 0001-01-01 to 9999-12-31.
#[inline]
pub const fn is_date(year: i32, month: u32, day: u32) -> bool {
    year >= 1 && year <= 9999 && day >= 1 && day <= days_in_month(year, month)
}

/// 0 = Monday to 6 = Sunday, as WEEKDAY() counts.
pub const fn weekday(days: i32) -> u32 {
    // 1970-01-01 was a Thursday.
    (days as i64 + 3).rem_euclid(7) as u32
}

/// 1 to 366.
pub const fn day_of_year(days: i32) -> u32 {
    let (year, _, _) = civil_from_days(days);
    (days - days_from_civil(year, 1, 1) + 1) as u32
}

/// Microseconds rounded half up to `fsp` fractional digits, away from zero below it.
pub const fn round_micros(micros: i64, fsp: u8) -> i64 {
    let unit = fsp_unit(fsp);
    if unit == 1 {
        return micros;
    }
    let half = unit / 2;
    if micros < 0 { -((-micros + half) / unit * unit) } else { (micros + half) / unit * unit }
}

/// A fraction of a second, in nanoseconds, rounded to microseconds with `fsp` digits; may give a
/// whole second. MySQL reads 7 digits and no more.
const fn round_nanos(nanos: i64, fsp: u8) -> i64 {
    let tenths = nanos / 100;
    let unit = fsp_unit(fsp) * 10;
    (tenths + unit / 2) / unit * fsp_unit(fsp)
}

/// Microseconds of the last of `fsp` digits.
pub const fn fsp_unit(fsp: u8) -> i64 {
    match fsp {
        0 => 1_000_000,
        1 => 100_000,
        2 => 10_000,
        3 => 1_000,
        4 => 100,
        5 => 10,
        _ => 1,
    }
}

/// Parts a moment into days and microseconds of its day.
pub const fn split_datetime(micros: i64) -> (i32, i64) {
    (micros.div_euclid(MICROS_PER_DAY) as i32, micros.rem_euclid(MICROS_PER_DAY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Datelike, NaiveDate};

    #[test]
    fn calendar_agrees_with_chrono() {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        for days in (MIN_DATE..=MAX_DATE).step_by(97).chain([MIN_DATE, MAX_DATE, -1, 0, 59, 60]) {
            let date = epoch + chrono::Duration::days(i64::from(days));
            let (year, month, day) = civil_from_days(days);
            assert_eq!((year, month, day), (date.year(), date.month(), date.day()), "{days}");
            assert_eq!(days_from_civil(year, month, day), days);
            assert_eq!(weekday(days), date.weekday().num_days_from_monday());
            assert_eq!(day_of_year(days), date.ordinal());
        }
        assert_eq!(civil_from_days(MIN_DATE), (1, 1, 1));
        assert_eq!(civil_from_days(MAX_DATE), (9999, 12, 31));
    }

    #[test]
    fn rounding() {
        assert_eq!(round_micros(1_499_999, 0), 1_000_000);
        assert_eq!(round_micros(1_500_000, 0), 2_000_000);
        assert_eq!(round_micros(-1_500_000, 0), -2_000_000);
        assert_eq!(round_micros(123_456, 3), 123_000);
        assert_eq!(round_nanos(999_999_500, 6), 1_000_000);
        assert_eq!(round_nanos(499_999_999, 0), 0);
    }
}
