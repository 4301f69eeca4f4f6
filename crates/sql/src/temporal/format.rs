//! Dates and times to text.

use super::{MICROS_PER_SECOND, civil_from_days, fsp_unit, split_datetime};

fn push_padded(out: &mut String, value: u64, width: u32) {
    let mut divisor = 10u64.pow(width - 1);
    let mut value = value;
    // Wider values are written whole.
    while value / divisor >= 10 {
        divisor *= 10;
    }
    while divisor > 0 {
        out.push(char::from(b'0' + (value / divisor) as u8));
        value %= divisor;
        divisor /= 10;
    }
}

/// `2024-01-05`
pub fn push_date(out: &mut String, days: i32) {
    let (year, month, day) = civil_from_days(days);
    push_padded(out, year.max(0) as u64, 4);
    out.push('-');
    push_padded(out, u64::from(month), 2);
    out.push('-');
    push_padded(out, u64::from(day), 2);
}

/// `.123`, nothing for no digits; `micros` below one second.
pub fn push_fraction(out: &mut String, micros: i64, fsp: u8) {
    if fsp > 0 {
        out.push('.');
        push_padded(out, (micros / fsp_unit(fsp)) as u64, u32::from(fsp.min(6)));
    }
}

fn push_clock(out: &mut String, micros: i64, fsp: u8) {
    let seconds = (micros / MICROS_PER_SECOND) as u64;
    push_padded(out, seconds / 3600, 2);
    out.push(':');
    push_padded(out, seconds / 60 % 60, 2);
    out.push(':');
    push_padded(out, seconds % 60, 2);
    push_fraction(out, micros % MICROS_PER_SECOND, fsp);
}

/// `2024-01-05 10:20:30.123`; digits past `fsp` are cut.
pub fn push_datetime(out: &mut String, micros: i64, fsp: u8) {
    let (days, of_day) = split_datetime(micros);
    push_date(out, days);
    out.push(' ');
    push_clock(out, of_day, fsp);
}

/// `-838:59:59.000`; digits past `fsp` are cut.
pub fn push_time(out: &mut String, micros: i64, fsp: u8) {
    if micros < 0 {
        out.push('-');
    }
    push_clock(out, micros.saturating_abs(), fsp);
}

pub fn format_date(days: i32) -> String {
    let mut out = String::with_capacity(10);
    push_date(&mut out, days);
    out
}

pub fn format_datetime(micros: i64, fsp: u8) -> String {
    let mut out = String::with_capacity(26);
    push_datetime(&mut out, micros, fsp);
    out
}

pub fn format_time(micros: i64, fsp: u8) -> String {
    let mut out = String::with_capacity(17);
    push_time(&mut out, micros, fsp);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        assert_eq!(format_date(0), "1970-01-01");
        assert_eq!(format_date(super::super::MIN_DATE), "0001-01-01");
        assert_eq!(format_datetime(-1, 6), "1969-12-31 23:59:59.999999");
        assert_eq!(format_datetime(1_500_000, 0), "1970-01-01 00:00:01");
        assert_eq!(format_time(-3_020_399_000_000, 0), "-838:59:59");
        assert_eq!(format_time(61_050_000, 2), "00:01:01.05");
    }
}
