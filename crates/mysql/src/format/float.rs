//! DOUBLE and FLOAT as MySQL prints them: the shortest decimal that reads back as the same double;
//! six significant digits of a float; an exponent where the point would stand more than 15 places
//! away; with a fixed number of decimals where the column has one.

use super::integer::Digits;
use std::fmt::Write;

/// The point may stand this many places behind the first digit, or that many zeros before it.
const POINT_PLACES: i32 = 15;
/// Significant digits of a FLOAT.
const FLOAT_DIGITS: usize = 6;
/// Integers below this have at most 15 digits, which every double keeps apart.
const FIFTEEN_DIGITS: f64 = 1e15;

const POWERS: [f64; FLOAT_DIGITS + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];

/// Appends a length and the text of `value`.
pub fn put_double(out: &mut Vec<u8>, value: f64) {
    with_length(out, |out| double(out, value));
}

/// Appends a length and the text of `value`.
pub fn put_float(out: &mut Vec<u8>, value: f32) {
    with_length(out, |out| float(out, value));
}

/// Appends a length and the text of `value` with exactly `decimals` digits behind the point.
pub fn put_fixed(out: &mut Vec<u8>, value: f64, decimals: u8) {
    if !value.is_finite() {
        return put_double(out, value);
    }
    let text = format!("{value:.*}", usize::from(decimals));
    crate::packet::writer::put_lenenc_bytes(out, text.as_bytes());
}

/// `write` appends at most 250 bytes.
#[inline]
fn with_length(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.push(0);
    write(out);
    out[at] = (out.len() - at - 1) as u8;
}

fn double(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        return not_finite(out, value);
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let value = value.abs();
    // Most doubles in databases are short decimals. If n / 10^k is this very double and n has at
    // most 15 digits, then it is the shortest: no two decimals of 15 digits are the same double.
    for (places, power) in [0, 2, 4].map(|places| (places, POWERS[places])) {
        let n = (value * power).round();
        if n >= FIFTEEN_DIGITS {
            break;
        }
        if n / power == value {
            return short_decimal(out, n as u64, places);
        }
    }
    let mut scratch = Scratch::default();
    // Invariant: the scratch holds 17 digits, a point, and an exponent of up to 4 characters.
    let _ = write!(scratch, "{value:e}");
    scientific(out, scratch.as_str());
}

fn float(out: &mut Vec<u8>, value: f32) {
    if !value.is_finite() {
        return not_finite(out, f64::from(value));
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let value = f64::from(value.abs());
    if value == 0.0 {
        return out.push(b'0');
    }
    if (0.1..1e6).contains(&value) {
        // A float has 24 bits and 10^k is 5^k times a power of two, so the product is exact.
        let whole_digits = POWERS.iter().position(|power| value < *power).unwrap_or(0);
        let places = FLOAT_DIGITS - whole_digits;
        return short_decimal(out, (value * POWERS[places]).round_ties_even() as u64, places);
    }
    let mut scratch = Scratch::default();
    // Invariant: the scratch holds six digits, a point, and an exponent.
    let _ = write!(scratch, "{value:.*e}", FLOAT_DIGITS - 1);
    scientific(out, scratch.as_str());
}

fn not_finite(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(match value {
        f64::INFINITY => b"inf",
        f64::NEG_INFINITY => b"-inf",
        _ => b"nan",
    });
}

/// `n / 10^places` without zeros at the end.
fn short_decimal(out: &mut Vec<u8>, mut n: u64, mut places: usize) {
    while places > 0 && n.is_multiple_of(10) {
        n /= 10;
        places -= 1;
    }
    let mut digits = Digits::new();
    digits.push_u64(n);
    point(out, digits.as_bytes(), digits.as_bytes().len() as i32 - places as i32);
}

/// Rewrites Rust's `d.ddde-x`.
fn scientific(out: &mut Vec<u8>, text: &str) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let mut digits = [0; 24];
    let mut len = 0;
    for digit in mantissa.bytes().filter(u8::is_ascii_digit) {
        digits[len] = digit;
        len += 1;
    }
    while len > 1 && digits[len - 1] == b'0' {
        len -= 1;
    }
    // Invariant: it is the exponent that std printed.
    point(out, &digits[..len], exponent.parse::<i32>().unwrap_or(0) + 1);
}

/// Prints 0.digits * 10^at, in plain form or with an exponent.
fn point(out: &mut Vec<u8>, digits: &[u8], at: i32) {
    let len = digits.len() as i32;
    if at <= -POINT_PLACES || (at > POINT_PLACES && len <= at) {
        out.push(digits[0]);
        if len > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.push(b'e');
        if at < 1 {
            out.push(b'-');
        }
        let mut exponent = Digits::new();
        exponent.push_u64(u64::from((at - 1).unsigned_abs()));
        out.extend_from_slice(exponent.as_bytes());
    } else if at <= 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + at.unsigned_abs() as usize, b'0');
        out.extend_from_slice(digits);
    } else if len <= at {
        out.extend_from_slice(digits);
        out.resize(out.len() + (at - len) as usize, b'0');
    } else {
        let (whole, fraction) = digits.split_at(at as usize);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
}

/// A short text on the stack.
#[derive(Default)]
struct Scratch {
    bytes: [u8; 32],
    len: usize,
}

impl Scratch {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl Write for Scratch {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
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
    fn doubles_as_mysql_prints_them() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1234.5678, "1234.5678"),
            (1e14, "100000000000000"),
            (999_999_999_999_999.0, "999999999999999"),
            (1e15, "1e15"),
            (1.5e15, "1.5e15"),
            (1_234_567_890_123_456.5, "1234567890123456.5"),
            (123_456_789_012_345_678.0, "1.2345678901234568e17"),
            (1e20, "1e20"),
            (1e-5, "0.00001"),
            (1e-15, "0.000000000000001"),
            (1e-16, "1e-16"),
            (f64::MAX, "1.7976931348623157e308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(text(|out| put_double(out, value)), expected);
        }
    }

    #[test]
    fn floats_have_six_digits() {
        for (value, expected) in [
            (0.0, "0"),
            (0.1, "0.1"),
            (0.05, "0.05"),
            (0.001_234_567, "0.00123457"),
            (2.123_456_7, "2.12346"),
            (999_999.5, "1000000"),
            (99_999.95, "100000"),
            (16_777_216.0, "16777200"),
            (123_456_790_528.0, "123457000000"),
            (1e15, "1e15"),
            (1e20, "1e20"),
            (-2.5e-20, "-2.5e-20"),
            (f32::MAX, "3.40282e38"),
        ] {
            assert_eq!(text(|out| put_float(out, value)), expected);
        }
    }

    #[test]
    fn fixed_decimals() {
        assert_eq!(text(|out| put_fixed(out, 1.5, 2)), "1.50");
        assert_eq!(text(|out| put_fixed(out, -2.0, 0)), "-2");
        let mut out = Vec::new();
        put_fixed(&mut out, 1e300, 2);
        assert_eq!((out[0], out.len()), (0xfc, 3 + 304));
    }

    proptest! {
        #[test]
        fn doubles_read_back(bits: u64, cents in -10_000_000_000i64..10_000_000_000) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            prop_assert_eq!(text(|out| put_double(out, value)).parse::<f64>().unwrap(), value);
            let cents = cents as f64 / 1000.0;
            prop_assert_eq!(text(|out| put_double(out, cents)), cents.to_string());
        }

        #[test]
        fn floats_are_within_six_digits(bits: u32) {
            let value = f32::from_bits(bits);
            prop_assume!(value.is_normal());
            let printed = text(|out| put_float(out, value)).parse::<f64>().unwrap();
            let expected = format!("{value:.5e}").parse::<f64>().unwrap();
            prop_assert_eq!(printed, expected);
        }
    }
}
