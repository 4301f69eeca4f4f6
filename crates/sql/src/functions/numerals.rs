//! Numbers read from text and written as text, as MySQL does both.

use std::fmt::Write;

/// Length of the number that text begins with, after blanks: `[+-]digits[.digits][e[+-]digits]`.
/// Also where it begins.
fn number_span(text: &[u8]) -> (usize, usize) {
    let start = text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let mut at = start;
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if matches!(text.get(at), Some(b'+' | b'-')) {
        at += 1;
    }
    let whole = digits(at);
    at += whole;
    let mut fraction = 0;
    if text.get(at) == Some(&b'.') {
        fraction = digits(at + 1);
        at += 1 + fraction;
    }
    if whole + fraction == 0 {
        return (start, start);
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits((at + 1 + sign).min(text.len()));
        if exponent > 0 {
            at += 1 + sign + exponent;
        }
    }
    (start, at)
}

/// Whether a text is a number as a whole, blanks around it aside.
pub(crate) fn is_number(text: &[u8]) -> bool {
    let (start, end) = number_span(text);
    end > start && text[end..].iter().all(u8::is_ascii_whitespace)
}

/// The number at the front of a text, 0 if there is none; and whether the text ends with it. Too large is the greatest
/// DOUBLE.
pub(crate) fn double_at_front(text: &[u8]) -> (f64, bool) {
    let (start, end) = number_span(text);
    let is_whole = start < end && end == text.len();
    // Invariant: the span holds ASCII only.
    let number = std::str::from_utf8(&text[start..end]).unwrap_or_default();
    let value = match number.parse::<f64>() {
        Ok(value) if value.is_finite() => value,
        Ok(value) => f64::MAX.copysign(value),
        Err(_) => 0.0,
    };
    (value, is_whole)
}

/// The digits at the front of a text as an integer, cut to what 128 bits hold; and whether the text ends with them.
pub(crate) fn integer_at_front(text: &[u8]) -> (i128, bool) {
    let start = text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let (negative, digits) = match text[start..].split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, &text[start..]),
    };
    let mut value = 0i128;
    let mut count = 0;
    for byte in digits.iter().take_while(|byte| byte.is_ascii_digit()) {
        value = value.saturating_mul(10).saturating_add(i128::from(byte - b'0'));
        count += 1;
    }
    (if negative { -value } else { value }, count > 0 && count == digits.len())
}

/// The number at the front of a text, times 10^scale, rounded half away from zero; cut to
/// `limit` in size.
pub(crate) fn decimal_of(text: &[u8], scale: u8, limit: i128) -> i128 {
    decimal_at_front(text, scale, limit).0
}

/// The same, and whether the text ends with it.
pub(crate) fn decimal_at_front(text: &[u8], scale: u8, limit: i128) -> (i128, bool) {
    let (start, end) = number_span(text);
    let is_whole = start < end && end == text.len();
    let number = &text[start..end];
    let negative = number.first() == Some(&b'-');
    let exponent_at = number.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(number.len());
    let exponent = std::str::from_utf8(number.get(exponent_at + 1..).unwrap_or_default())
        .ok()
        .and_then(|digits| if digits.is_empty() { Some(0) } else { digits.parse::<i64>().ok() })
        .unwrap_or(if number.get(exponent_at + 1) == Some(&b'-') { -(1 << 40) } else { 1 << 40 });
    let mantissa = &number[..exponent_at];
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let fraction = mantissa.len().saturating_sub(point + 1) as i64;
    // The value is the digits times 10^shift, in units of 10^-scale.
    let shift = exponent.saturating_sub(fraction).saturating_add(i64::from(scale));
    let digits: Vec<u8> =
        mantissa.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| byte - b'0').collect();
    let kept = (digits.len() as i64).saturating_add(shift);
    let mut value = 0i128;
    let mut overflow = false;
    for at in 0..kept.clamp(0, 60) as usize {
        let digit = digits.get(at).copied().unwrap_or(0);
        match value.checked_mul(10).and_then(|value| value.checked_add(i128::from(digit))) {
            Some(next) => value = next,
            None => overflow = true,
        }
    }
    overflow |= kept > 60 && digits.iter().any(|digit| *digit != 0);
    let rounds_up = usize::try_from(kept).ok().and_then(|at| digits.get(at)).is_some_and(|digit| *digit >= 5);
    if rounds_up && !overflow {
        value += 1;
    }
    let value = if overflow { limit } else { value.min(limit) };
    (if negative { -value } else { value }, is_whole)
}

/// A DOUBLE as DECIMAL units of 10^-scale: by its shortest digits, as MySQL.
pub(crate) fn decimal_of_double(value: f64, scale: u8, limit: i128) -> i128 {
    if !value.is_finite() {
        return if value < 0.0 { -limit } else { limit };
    }
    decimal_of(format!("{value:e}").as_bytes(), scale, limit)
}

/// A DOUBLE in MySQL's form: shortest digits that read back the same, with an exponent only past 15
/// digits before or 15 zeros after the point.
pub(crate) fn write_double(out: &mut String, value: f64) {
    write_shortest(
        out,
        value < 0.0 || (value == 0.0 && value.is_sign_negative()),
        &format!("{:e}", value.abs()),
    );
}

/// A FLOAT, by its own shortest digits.
pub(crate) fn write_float(out: &mut String, value: f32) {
    write_shortest(
        out,
        value < 0.0 || (value == 0.0 && value.is_sign_negative()),
        &format!("{:e}", value.abs()),
    );
}

/// `scientific` is Rust's `1.25e-7`.
fn write_shortest(out: &mut String, negative: bool, scientific: &str) {
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        out.push_str(scientific);
        return;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    if negative {
        out.push('-');
    }
    // Where the point stands, counted from the first digit.
    let point = exponent + 1;
    if !(-14..=15).contains(&point) {
        out.push_str(mantissa);
        // A String takes every write.
        let _ = write!(out, "e{exponent}");
    } else if point <= 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', point.unsigned_abs() as usize));
        out.push_str(&digits);
    } else {
        let point = point as usize;
        if digits.len() <= point {
            out.push_str(&digits);
            out.extend(std::iter::repeat_n('0', point - digits.len()));
        } else {
            out.push_str(&digits[..point]);
            out.push('.');
            out.push_str(&digits[point..]);
        }
    }
}

/// `unscaled / 10^scale` with all digits of the scale.
pub(crate) fn write_decimal(out: &mut String, unscaled: i128, scale: i8) {
    let scale = scale.max(0) as usize;
    if unscaled < 0 {
        out.push('-');
    }
    let digits = unscaled.unsigned_abs().to_string();
    if scale == 0 {
        out.push_str(&digits);
        return;
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    out.push_str(whole);
    out.push('.');
    out.push_str(fraction);
}

/// A plain decimal text rounded to so many digits after the point, zeros added.
pub(crate) fn round_decimal_text(number: &str, decimals: usize) -> String {
    let (negative, digits) = match number.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut kept: Vec<u8> = whole.bytes().chain(fraction.bytes().take(decimals)).collect();
    kept.extend(std::iter::repeat_n(b'0', decimals.saturating_sub(fraction.len())));
    if fraction.as_bytes().get(decimals).is_some_and(|digit| *digit >= b'5') {
        let mut at = kept.len();
        loop {
            if at == 0 {
                kept.insert(0, b'1');
                break;
            }
            at -= 1;
            if kept[at] == b'9' {
                kept[at] = b'0';
            } else {
                kept[at] += 1;
                break;
            }
        }
    }
    let point = kept.len() - decimals;
    // Invariant: digits are ASCII.
    let text = String::from_utf8(kept).unwrap_or_default();
    let zero = text.bytes().all(|digit| digit == b'0');
    let sign = if negative && !zero { "-" } else { "" };
    if decimals == 0 {
        format!("{sign}{text}")
    } else {
        format!("{sign}{}.{}", &text[..point], &text[point..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles() {
        for (value, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1.0 / 3.0, "0.3333333333333333"),
            (1e14, "100000000000000"),
            (1e15, "1e15"),
            (1.5e20, "1.5e20"),
            (1e-10, "0.0000000001"),
            (1e-15, "0.000000000000001"),
            (1e-16, "1e-16"),
            (123_456.789, "123456.789"),
            (f64::MAX, "1.7976931348623157e308"),
        ] {
            let mut text = String::new();
            write_double(&mut text, value);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn texts_are_read_as_far_as_they_are_numbers() {
        for (text, expected) in [
            ("12", 12.0),
            (" 1.5e2x", 150.0),
            ("abc", 0.0),
            ("-.5", -0.5),
            ("1e", 1.0),
            ("", 0.0),
            ("1e999", f64::MAX),
        ] {
            let is_whole = super::is_number(text.as_bytes()) && !text.ends_with(char::is_whitespace);
            assert_eq!(double_at_front(text.as_bytes()), (expected, is_whole), "{text}");
        }
        let limit = 10i128.pow(10) - 1;
        for (text, scale, expected) in [
            ("1.005", 2, 101),
            ("-1.005", 2, -101),
            ("1e3", 2, 100_000),
            ("12345e-4", 2, 123),
            ("0.004", 2, 0),
            ("0.0049e0", 2, 0),
            ("1e300", 2, limit),
            ("-1e99999999999999999999", 0, -limit),
            ("1e-99999999999999999999", 0, 0),
            ("x", 2, 0),
        ] {
            assert_eq!(decimal_of(text.as_bytes(), scale, limit), expected, "{text}");
        }
        assert_eq!(round_decimal_text("999.995", 2), "1000.00");
        assert_eq!(round_decimal_text("-0.001", 2), "0.00");
        assert_eq!(round_decimal_text("12", 3), "12.000");
    }
}
