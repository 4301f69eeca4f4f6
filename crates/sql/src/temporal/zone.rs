//! Time zones: what `time_zone` may be set to.

use super::MICROS_PER_SECOND;
use chrono::{DateTime, Local, LocalResult, NaiveDateTime, Offset, TimeZone, Utc};
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// The zone of the machine.
    System,
    /// Seconds east of UTC.
    Offset(i32),
    Named(chrono_tz::Tz),
}

impl Zone {
    pub const UTC: Zone = Zone::Offset(0);

    /// `SYSTEM`, `+05:30` from -13:59 to +14:00, or a name such as `Europe/Berlin`, in any case.
    pub fn parse(text: &str) -> Option<Zone> {
        if text.eq_ignore_ascii_case("SYSTEM") {
            return Some(Zone::System);
        }
        if text.starts_with(['+', '-']) {
            return parse_offset(text.as_bytes()).map(Zone::Offset);
        }
        chrono_tz::TZ_VARIANTS
            .iter()
            .find(|tz| tz.name().eq_ignore_ascii_case(text))
            .copied()
            .map(Zone::Named)
    }

    /// A moment in UTC to what a clock of this zone shows.
    pub fn to_local(self, utc: i64) -> i64 {
        let offset = match self {
            Zone::Offset(seconds) => i64::from(seconds),
            Zone::Named(tz) => offset_at(&tz, utc),
            Zone::System => offset_at(&Local, utc),
        };
        utc + offset * MICROS_PER_SECOND
    }

    /// What a clock of this zone shows to the moment in UTC: the earlier one when the clock shows it
    /// twice, `None` when the clock jumps over it.
    pub fn to_utc(self, local: i64) -> Option<i64> {
        let offset = match self {
            Zone::Offset(seconds) => i64::from(seconds),
            Zone::Named(tz) => offset_of_local(&tz, local)?,
            Zone::System => offset_of_local(&Local, local)?,
        };
        Some(local - offset * MICROS_PER_SECOND)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Zone::System => f.write_str("SYSTEM"),
            Zone::Named(tz) => f.write_str(tz.name()),
            Zone::Offset(seconds) => {
                let (sign, minutes) = (if *seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
                write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}

/// `+05:30` in seconds, within MySQL's limits.
pub(super) fn parse_offset(text: &[u8]) -> Option<i32> {
    let (sign, rest) = match text.split_first()? {
        (b'+', rest) => (1, rest),
        (b'-', rest) => (-1, rest),
        _ => return None,
    };
    let colon = rest.iter().position(|b| *b == b':')?;
    let number = |digits: &[u8]| -> Option<i32> {
        let valid = (1..=2).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
        valid.then(|| digits.iter().fold(0, |n, d| n * 10 + i32::from(d - b'0')))
    };
    let (hours, minutes) = (number(&rest[..colon])?, number(&rest[colon + 1..])?);
    let total = sign * (hours * 60 + minutes);
    (minutes < 60 && (-(13 * 60 + 59)..=14 * 60).contains(&total)).then_some(total * 60)
}

fn naive(micros: i64) -> Option<NaiveDateTime> {
    DateTime::<Utc>::from_timestamp_micros(micros).map(|moment| moment.naive_utc())
}

fn offset_at<Tz: TimeZone>(tz: &Tz, utc: i64) -> i64 {
    naive(utc).map_or(0, |moment| i64::from(tz.offset_from_utc_datetime(&moment).fix().local_minus_utc()))
}

fn offset_of_local<Tz: TimeZone>(tz: &Tz, local: i64) -> Option<i64> {
    let offset = match tz.offset_from_local_datetime(&naive(local)?) {
        LocalResult::Single(offset) => offset,
        LocalResult::Ambiguous(earlier, _) => earlier,
        LocalResult::None => return None,
    };
    Some(i64::from(offset.fix().local_minus_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporal::{format_datetime, parse_datetime};

    #[test]
    fn names_and_offsets() {
        assert_eq!(Zone::parse("+05:30"), Some(Zone::Offset(19_800)));
        assert_eq!(Zone::parse("-13:59").map(|z| z.to_string()), Some("-13:59".into()));
        assert_eq!(Zone::parse("europe/berlin"), Some(Zone::Named(chrono_tz::Europe::Berlin)));
        for wrong in ["+14:01", "-14:00", "+1:60", "Mars/Base", "", "+", "05:30"] {
            assert_eq!(Zone::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn summer_time() {
        let berlin = Zone::Named(chrono_tz::Europe::Berlin);
        let at = |text: &str| parse_datetime(text.as_bytes(), 0).unwrap();
        assert_eq!(
            format_datetime(berlin.to_utc(at("2024-07-01 12:00:00")).unwrap(), 0),
            "2024-07-01 10:00:00"
        );
        assert_eq!(berlin.to_utc(at("2024-03-31 02:30:00")), None);
        assert_eq!(
            format_datetime(berlin.to_utc(at("2024-10-27 02:30:00")).unwrap(), 0),
            "2024-10-27 00:30:00"
        );
        assert_eq!(format_datetime(berlin.to_local(at("2024-01-01 00:00:00")), 0), "2024-01-01 01:00:00");
    }
}
