//! Dates and times: days and microseconds to calendar fields, and those to text.

use super::integer::pair;

pub const MICROS_PER_SECOND: i64 = 1_000_000;
pub const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// A day of the proleptic Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    pub year: i64,
    pub month: u8,
    pub day: u8,
}

const DAYS_PER_ERA: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;

impl Day {
    /// The day that is `days` after 1970-01-01.
    #[inline]
    pub fn of_days(days: i64) -> Day {
        // Years here begin in March, so that the leap day is the last of its year.
        let since = days + EPOCH;
        let era = since.div_euclid(DAYS_PER_ERA);
        let of_era = since.rem_euclid(DAYS_PER_ERA);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = (of_year - (153 * from_march + 2) / 5 + 1) as u8;
        let month = (if from_march < 10 { from_march + 3 } else { from_march - 9 }) as u8;
        Day { year: era * 400 + year_of_era + i64::from(month <= 2), month, day }
    }

    /// Days since 1970-01-01.
    pub fn to_days(self) -> i64 {
        let from_march = (i64::from(self.month) + 9) % 12;
        let year = self.year - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let of_era = year.rem_euclid(400);
        let of_year = (153 * from_march + 2) / 5 + i64::from(self.day) - 1;
        era * DAYS_PER_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH
    }

    /// A day of MySQL's calendar, 0001-01-01 to 9999-12-31.
    pub fn checked(year: u16, month: u8, day: u8) -> Option<Day> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        ((1..=9999).contains(&year) && (1..=days).contains(&day)).then_some(Day {
            year: i64::from(year),
            month,
            day,
        })
    }
}

/// Keeps `fsp` digits of the microseconds.
#[inline]
pub fn truncate(micros: i64, fsp: u8) -> i64 {
    const UNITS: [i64; 7] = [1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
    micros - micros % UNITS[usize::from(fsp.min(6))]
}

/// Appends a length and `YYYY-MM-DD`.
#[inline]
pub fn put_date(out: &mut Vec<u8>, days: i64) {
    let at = out.len();
    out.push(0);
    date(out, Day::of_days(days));
    out[at] = (out.len() - at - 1) as u8;
}

/// Appends a length and `YYYY-MM-DD HH:MM:SS` with `fsp` more digits.
#[inline]
pub fn put_datetime(out: &mut Vec<u8>, micros: i64, fsp: u8) {
    let at = out.len();
    out.push(0);
    date(out, Day::of_days(micros.div_euclid(MICROS_PER_DAY)));
    let of_day = micros.rem_euclid(MICROS_PER_DAY);
    let seconds = (of_day / MICROS_PER_SECOND) as u32;
    let [h1, h2] = pair(seconds / 3600);
    out.extend_from_slice(&[b' ', h1, h2]);
    minutes(out, seconds, of_day % MICROS_PER_SECOND, fsp);
    out[at] = (out.len() - at - 1) as u8;
}

/// Appends a length and `[-]HH:MM:SS` with `fsp` more digits; hours may have more than two.
#[inline]
pub fn put_time(out: &mut Vec<u8>, micros: i64, fsp: u8) {
    let at = out.len();
    out.push(0);
    let shown = truncate(micros, fsp);
    if shown < 0 {
        out.push(b'-');
    }
    let seconds = shown.unsigned_abs() / MICROS_PER_SECOND as u64;
    let hours = seconds / 3600;
    if hours < 100 {
        out.extend_from_slice(&pair(hours as u32));
    } else {
        let mut digits = super::integer::Digits::new();
        digits.push_u64(hours);
        out.extend_from_slice(digits.as_bytes());
    }
    let fraction = (shown.unsigned_abs() % MICROS_PER_SECOND as u64) as i64;
    minutes(out, (seconds % 3600) as u32, fraction, fsp);
    out[at] = (out.len() - at - 1) as u8;
}

#[inline]
fn date(out: &mut Vec<u8>, day: Day) {
    let [m1, m2] = pair(u32::from(day.month));
    let [d1, d2] = pair(u32::from(day.day));
    if (0..=9999).contains(&day.year) {
        let year = day.year as u32;
        let ([y1, y2], [y3, y4]) = (pair(year / 100), pair(year));
        out.extend_from_slice(&[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2]);
    } else {
        out.extend_from_slice(format!("{:04}", day.year).as_bytes());
        out.extend_from_slice(&[b'-', m1, m2, b'-', d1, d2]);
    }
}

/// `:MM:SS[.ffffff]`; of `seconds` what goes beyond an hour does not count.
#[inline]
fn minutes(out: &mut Vec<u8>, seconds: u32, micros: i64, fsp: u8) {
    let ([m1, m2], [s1, s2]) = (pair(seconds / 60 % 60), pair(seconds % 60));
    out.extend_from_slice(&[b':', m1, m2, b':', s1, s2]);
    if fsp > 0 {
        let micros = micros as u32;
        let ([a, b], [c, d], [e, f]) = (pair(micros / 10_000), pair(micros / 100), pair(micros));
        out.extend_from_slice(&[b'.', a, b, c, d, e, f][..1 + usize::from(fsp.min(6))]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(put: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        put(&mut out);
        assert_eq!(usize::from(out[0]), out.len() - 1);
        String::from_utf8(out[1..].to_vec()).unwrap()
    }

    #[test]
    fn dates_and_times() {
        assert_eq!(text(|out| put_date(out, 0)), "1970-01-01");
        assert_eq!(text(|out| put_date(out, -719_162)), "0001-01-01");
        assert_eq!(text(|out| put_date(out, 2_932_896)), "9999-12-31");
        assert_eq!(text(|out| put_date(out, 11_016)), "2000-02-29");
        assert_eq!(text(|out| put_date(out, 3_000_000)), "10183-09-21");
        assert_eq!(text(|out| put_datetime(out, -1, 0)), "1969-12-31 23:59:59");
        assert_eq!(text(|out| put_datetime(out, -1, 6)), "1969-12-31 23:59:59.999999");
        assert_eq!(text(|out| put_datetime(out, 3_661_050_000, 3)), "1970-01-01 01:01:01.050");
        assert_eq!(text(|out| put_time(out, 0, 0)), "00:00:00");
        assert_eq!(text(|out| put_time(out, -500_000, 1)), "-00:00:00.5");
        assert_eq!(text(|out| put_time(out, -500_000, 0)), "00:00:00");
        assert_eq!(text(|out| put_time(out, -3_020_399 * MICROS_PER_SECOND, 0)), "-838:59:59");
        assert_eq!(text(|out| put_time(out, 90_061_000_001, 6)), "25:01:01.000001");
    }

    #[test]
    fn the_calendar_has_no_other_days() {
        assert!(Day::checked(2000, 2, 29).is_some());
        for (year, month, day) in
            [(1900, 2, 29), (0, 1, 1), (2024, 13, 1), (2024, 4, 31), (10_000, 1, 1), (2024, 1, 0)]
        {
            assert_eq!(Day::checked(year, month, day), None);
        }
    }

    proptest! {
        #[test]
        fn days_round_trip(days in -1_000_000i64..3_000_000) {
            let day = Day::of_days(days);
            prop_assert_eq!(day.to_days(), days);
            let next = Day::of_days(days + 1);
            prop_assert!(next.day == day.day + 1 || next.day == 1);
        }

        #[test]
        fn nothing_panics(n: i64, fsp: u8) {
            text(|out| put_date(out, n >> 20));
            text(|out| put_datetime(out, n, fsp));
            text(|out| put_time(out, n, fsp));
        }
    }
}
