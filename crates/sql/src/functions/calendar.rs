//! What date functions compute beyond [`crate::temporal`]: clock fields, weeks, moves by months.

use crate::temporal::{
    MAX_DATETIME, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, MIN_DATETIME,
    civil_from_days, days_from_civil, days_in_month, fsp_unit, is_date, is_leap_year, split_datetime,
    weekday,
};

/// TO_DAYS('1970-01-01').
pub(crate) const DAYS_TO_1970: i64 = 719_528;

pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// From Monday.
pub(crate) const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock {
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
    pub(crate) micro: i64,
}

impl Clock {
    /// The time of day of a datetime.
    #[inline]
    pub(crate) fn of_datetime(micros: i64) -> Clock {
        Clock::of_time(micros.rem_euclid(MICROS_PER_DAY))
    }

    /// A TIME without its sign.
    #[inline]
    pub(crate) fn of_time(micros: i64) -> Clock {
        let micros = micros.saturating_abs();
        Clock {
            hour: micros / MICROS_PER_HOUR,
            minute: micros / MICROS_PER_MINUTE % 60,
            second: micros / MICROS_PER_SECOND % 60,
            micro: micros % MICROS_PER_SECOND,
        }
    }

    /// As a number: 102030 for 10:20:30.
    pub(crate) fn number(self) -> i64 {
        self.hour * 10_000 + self.minute * 100 + self.second
    }
}

/// 20240105 for 2024-01-05.
pub(crate) fn date_number(days: i32) -> i64 {
    let (year, month, day) = civil_from_days(days);
    i64::from(year) * 10_000 + i64::from(month) * 100 + i64::from(day)
}

/// A datetime rounded to `fsp` digits, on the time line also before 1970.
pub(crate) fn round_datetime(micros: i64, fsp: u8) -> i64 {
    let unit = fsp_unit(fsp);
    (micros + unit / 2).div_euclid(unit) * unit
}

/// How WEEK counts: MySQL's mode bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WeekMode {
    monday_first: bool,
    /// Weeks run from 1 to 53, and the first days of January may belong to the last week of the year before.
    full_year: bool,
    /// Week 1 is the first that starts in the year, not the first with four days in it.
    first_weekday: bool,
}

impl WeekMode {
    pub(crate) fn new(mode: i64) -> WeekMode {
        let monday_first = mode & 1 != 0;
        WeekMode { monday_first, full_year: mode & 2 != 0, first_weekday: (mode & 4 != 0) == monday_first }
    }

    /// Of DATE_FORMAT: %U, %u (Monday first), %V, %v (full years).
    pub(crate) const fn of_format(monday_first: bool, full_year: bool) -> WeekMode {
        WeekMode { monday_first, full_year, first_weekday: !monday_first }
    }

    /// Whether a year that begins on `weekday` begins before its week 1.
    fn starts_before(self, weekday: i32) -> bool {
        if self.first_weekday { weekday != 0 } else { weekday >= 4 }
    }
}

fn year_length(year: i32) -> i32 {
    if is_leap_year(year) { 366 } else { 365 }
}

/// The year that a day's week belongs to and the number of the week in it.
pub(crate) fn week(day: i32, mode: WeekMode) -> (i32, u32) {
    let (mut year, month, of_month) = civil_from_days(day);
    let mut first = days_from_civil(year, 1, 1);
    let mut start = weekday(first) as i32;
    if !mode.monday_first {
        start = (start + 1) % 7;
    }
    let mut full_year = mode.full_year;
    if month == 1 && of_month as i32 <= 7 - start && mode.starts_before(start) {
        if !full_year {
            return (year, 0);
        }
        full_year = true;
        year -= 1;
        first -= year_length(year);
        start = (start + 53 * 7 - year_length(year)) % 7;
    }
    let since = if mode.starts_before(start) { day - (first + 7 - start) } else { day - (first - start) };
    if full_year && since >= 52 * 7 && !mode.starts_before((start + year_length(year)) % 7) {
        return (year + 1, 1);
    }
    (year, (since / 7 + 1) as u32)
}

/// A date moved by months, its day cut to the month's length; `None` outside of DATE's range.
pub(crate) fn add_months(day: i32, months: i64) -> Option<i32> {
    let (year, month, of_month) = civil_from_days(day);
    let total = (i64::from(year) * 12 + i64::from(month) - 1).checked_add(months)?;
    let year = i32::try_from(total.div_euclid(12)).ok()?;
    let month = total.rem_euclid(12) as u32 + 1;
    let of_month = of_month.min(days_in_month(year, month));
    is_date(year, month, of_month).then(|| days_from_civil(year, month, of_month))
}

/// A datetime moved by months and microseconds; `None` outside of DATETIME's range.
pub(crate) fn add_interval(micros: i64, months: i64, delta: i64) -> Option<i64> {
    let moved = if months == 0 {
        micros
    } else {
        let (day, of_day) = split_datetime(micros);
        i64::from(add_months(day, months)?) * MICROS_PER_DAY + of_day
    };
    moved.checked_add(delta).filter(|moved| (MIN_DATETIME..=MAX_DATETIME).contains(moved))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporal::MAX_DATE;

    #[test]
    fn weeks_of_all_modes() {
        // WEEK('2008-02-20', mode) in modes 0 to 7.
        let day = days_from_civil(2008, 2, 20);
        let weeks: Vec<u32> = (0..8).map(|mode| week(day, WeekMode::new(mode)).1).collect();
        assert_eq!(weeks, [7, 8, 7, 8, 8, 7, 8, 7]);
        let new_year = days_from_civil(2000, 1, 1);
        assert_eq!(week(new_year, WeekMode::new(0)), (2000, 0));
        assert_eq!(week(new_year, WeekMode::new(2)), (1999, 52));
        assert_eq!(week(days_from_civil(2008, 12, 31), WeekMode::new(1)).1, 53);
        assert_eq!(week(days_from_civil(2008, 12, 31), WeekMode::new(3)), (2009, 1));
    }

    #[test]
    fn months_are_cut_to_their_length() {
        let at = days_from_civil;
        assert_eq!(add_months(at(2024, 1, 31), 1), Some(at(2024, 2, 29)));
        assert_eq!(add_months(at(2023, 3, 31), -1), Some(at(2023, 2, 28)));
        assert_eq!(add_months(MAX_DATE, 1), None);
    }
}
