//! Numbers to and from text, exactly.

use super::Wrong;

/// 10^n for every power that fits 128 bits.
pub const POWERS: [i128; 39] = {
    let mut powers = [1i128; 39];
    let mut n = 1;
    while n < 39 {
        powers[n] = powers[n - 1] * 10;
        n += 1;
    }
    powers
};

/// Digits that a mantissa of 128 bits holds for certain.
const MANTISSA_DIGITS: u32 = 38;
/// Exponents beyond this make any mantissa zero or too great.
const MAX_EXPONENT: i64 = 10_000;

/// A decimal number as a text has it: `mantissa / 10^scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    pub negative: bool,
    pub mantissa: u128,
    pub scale: i64,
    /// Bytes of the text that belong to it, blanks before it included.
    pub length: usize,
}

/// Reads a number from the front of a text. `None`: there is no digit.
pub fn scan_decimal(text: &[u8]) -> Option<Decimal> {
    let mut at = text.iter().take_while(|b| b.is_ascii_whitespace()).count();
    let negative = text.get(at) == Some(&b'-');
    if matches!(text.get(at), Some(b'-' | b'+')) {
        at += 1;
    }
    let (mut mantissa, mut scale, mut kept) = (0u128, 0i64, 0u32);
    let (mut any, mut after_point) = (false, false);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'0'..=b'9' => {
                any = true;
                if kept < MANTISSA_DIGITS {
                    mantissa = mantissa * 10 + u128::from(byte - b'0');
                    kept += u32::from(mantissa != 0);
                    scale += i64::from(after_point);
                } else {
                    scale -= i64::from(!after_point);
                }
            }
            b'.' if !after_point => after_point = true,
            _ => break,
        }
        at += 1;
    }
    if !any {
        return None;
    }
    if let Some((exponent, length)) = scan_exponent(&text[at..]) {
        scale -= exponent;
        at += length;
    }
    Some(Decimal { negative, mantissa, scale, length: at })
}

/// `e5`, `E-12`.
fn scan_exponent(text: &[u8]) -> Option<(i64, usize)> {
    if !matches!(text.first(), Some(b'e' | b'E')) {
        return None;
    }
    let signed = matches!(text.get(1), Some(b'-' | b'+'));
    let start = if signed { 2 } else { 1 };
    let digits = text.get(start..)?.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let value = text[start..start + digits]
        .iter()
        .fold(0i64, |n, d| (n * 10 + i64::from(d - b'0')).min(MAX_EXPONENT));
    Some((if text[1] == b'-' { -value } else { value }, start + digits))
}

impl Decimal {
    /// The number times `10^scale`, rounded half away from zero. `None`: more than 128 bits.
    pub fn scaled(&self, scale: u8) -> Option<i128> {
        let shift = i64::from(scale) - self.scale;
        let magnitude = if self.mantissa == 0 {
            0
        } else if shift >= 0 {
            let power = *POWERS.get(usize::try_from(shift).ok()?)?;
            self.mantissa.checked_mul(power as u128)?
        } else {
            match POWERS.get((-shift) as usize) {
                Some(&power) => {
                    let power = power as u128;
                    let rest = self.mantissa % power;
                    self.mantissa / power + u128::from(rest >= power.div_ceil(2))
                }
                None => 0,
            }
        };
        let magnitude = i128::try_from(magnitude).ok()?;
        Some(if self.negative { -magnitude } else { magnitude })
    }
}

/// Whether only blanks are left.
pub fn is_blank(rest: &[u8]) -> bool {
    rest.iter().all(u8::is_ascii_whitespace)
}

/// A text to an integer, rounded.
#[inline]
pub fn parse_integer(text: &[u8]) -> Result<i128, Wrong> {
    match parse_short(text) {
        Some(value) => Ok(i128::from(value)),
        None => parse_integer_slow(text),
    }
}

/// A sign and up to 18 digits, nothing else: what nearly all integers are.
#[inline]
pub fn parse_short(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

#[cold]
fn parse_integer_slow(text: &[u8]) -> Result<i128, Wrong> {
    let decimal = scan_decimal(text).ok_or(Wrong::Incorrect)?;
    if !is_blank(&text[decimal.length..]) {
        return Err(Wrong::Truncated);
    }
    decimal.scaled(0).ok_or(Wrong::OutOfRange)
}

/// A text to a decimal with this scale, as its unscaled integer, rounded half away from zero.
#[inline]
pub fn parse_decimal(text: &[u8], scale: u8) -> Result<i128, Wrong> {
    match parse_short_decimal(text, scale) {
        Some(value) => Ok(i128::from(value)),
        None => parse_decimal_slow(text, scale),
    }
}

/// A sign, digits and no more fractional digits than the scale, all within 64 bits.
#[inline]
pub fn parse_short_decimal(text: &[u8], scale: u8) -> Option<i64> {
    let (negative, body) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    if body.is_empty() || body.len() > 18 {
        return None;
    }
    let mut value = 0i64;
    let mut point = body.len();
    for (at, byte) in body.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            value = value * 10 + i64::from(digit);
        } else if *byte == b'.' && point == body.len() {
            point = at;
        } else {
            return None;
        }
    }
    let fraction = (body.len() - point).saturating_sub(1);
    if fraction > usize::from(scale) || (point == 0 && fraction == 0) {
        return None;
    }
    let shift = usize::from(scale) - fraction;
    if point + fraction + shift > 18 {
        return None;
    }
    let value = value * POWERS[shift] as i64;
    Some(if negative { -value } else { value })
}

#[cold]
fn parse_decimal_slow(text: &[u8], scale: u8) -> Result<i128, Wrong> {
    let decimal = scan_decimal(text).ok_or(Wrong::Incorrect)?;
    if !is_blank(&text[decimal.length..]) {
        return Err(Wrong::Incorrect);
    }
    decimal.scaled(scale).ok_or(Wrong::OutOfRange)
}

/// A text to a double.
pub fn parse_double(text: &[u8]) -> Result<f64, Wrong> {
    let decimal = scan_decimal(text).ok_or(Wrong::Incorrect)?;
    if !is_blank(&text[decimal.length..]) {
        return Err(Wrong::Truncated);
    }
    // Digits, point and exponent are ASCII, and Rust reads all that was scanned: `.5`, `5.`, `1e5`.
    let number = std::str::from_utf8(text[..decimal.length].trim_ascii()).map_err(|_| Wrong::Incorrect)?;
    let value: f64 = number.parse().map_err(|_| Wrong::Incorrect)?;
    if value.is_finite() { Ok(value) } else { Err(Wrong::OutOfRange) }
}

/// `-12.30` for -1230 with scale 2.
pub fn format_decimal(unscaled: i128, scale: u8) -> String {
    let digits = unscaled.unsigned_abs().to_string();
    let scale = usize::from(scale);
    let sign = if unscaled < 0 { "-" } else { "" };
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

/// A double as MySQL prints it: the fewest digits that read back the same; an exponent below 1e-15
/// and from 1e15 on.
pub fn format_double(value: f64) -> String {
    format_digits(&format!("{value:e}"))
}

/// A FLOAT as MySQL prints it: six digits.
pub fn format_float(value: f32) -> String {
    let shortest = format!("{value:e}");
    let digits = shortest.split('e').next().map_or(0, |m| m.bytes().filter(u8::is_ascii_digit).count());
    if digits <= 6 { format_digits(&shortest) } else { format_digits(&format!("{value:.5e}")) }
}

/// From Rust's `-1.25e-7` to MySQL's text.
fn format_digits(scientific: &str) -> String {
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        // Infinity and NaN, which no column holds.
        return scientific.to_string();
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let digits = match digits.trim_end_matches('0') {
        "" => return "0".to_string(),
        digits => digits,
    };
    if !(-15..15).contains(&exponent) {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        return format!("{sign}{first}{point}{rest}e{exponent}");
    }
    if exponent < 0 {
        let zeros = "0".repeat((-exponent - 1) as usize);
        return format!("{sign}0.{zeros}{digits}");
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}", "0".repeat(whole - digits.len()));
    }
    let (whole, fraction) = digits.split_at(whole);
    format!("{sign}{whole}.{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers() {
        for (text, value) in [
            ("12", 12),
            ("-7", -7),
            (" 5 ", 5),
            ("+3", 3),
            ("12.5", 13),
            ("-12.5", -13),
            ("1e3", 1000),
            (".4", 0),
        ] {
            assert_eq!(parse_integer(text.as_bytes()), Ok(value), "{text}");
        }
        assert_eq!(parse_integer(b"12abc"), Err(Wrong::Truncated));
        assert_eq!(parse_integer(b""), Err(Wrong::Incorrect));
        assert_eq!(parse_integer(b"abc"), Err(Wrong::Incorrect));
        assert_eq!(parse_integer(b"1e40"), Err(Wrong::OutOfRange));
        assert_eq!(parse_integer(b"18446744073709551615"), Ok(18_446_744_073_709_551_615));
    }

    #[test]
    fn decimals() {
        for (text, scale, value) in [
            ("21168.23", 2, 2_116_823),
            ("17", 2, 1_700),
            ("-0.005", 2, -1),
            ("0.0049", 2, 0),
            ("1e-2", 2, 1),
            ("5.", 1, 50),
            (".5", 1, 5),
            ("99999999999999999999.5", 0, 100_000_000_000_000_000_000),
        ] {
            assert_eq!(parse_decimal(text.as_bytes(), scale), Ok(value), "{text}");
        }
        assert_eq!(parse_decimal(b"1.2.3", 2), Err(Wrong::Incorrect));
        assert_eq!(parse_decimal(b".", 2), Err(Wrong::Incorrect));
        assert_eq!(parse_decimal(b"-", 2), Err(Wrong::Incorrect));
        assert_eq!(format_decimal(-1230, 2), "-12.30");
        assert_eq!(format_decimal(5, 3), "0.005");
        assert_eq!(format_decimal(0, 0), "0");
    }

    #[test]
    fn doubles() {
        for (value, text) in [
            (0.0, "0"),
            (1.5, "1.5"),
            (1e14, "100000000000000"),
            (1e15, "1e15"),
            (1.25e20, "1.25e20"),
            (1e-15, "0.000000000000001"),
            (1e-16, "1e-16"),
            (-0.1, "-0.1"),
            (123_456.789, "123456.789"),
        ] {
            assert_eq!(format_double(value), text);
        }
        assert_eq!(format_float(16_777_216.0), "16777200");
        assert_eq!(format_float(0.1), "0.1");
        assert_eq!(parse_double(b"1e400"), Err(Wrong::OutOfRange));
        assert_eq!(parse_double(b"inf"), Err(Wrong::Incorrect));
        assert_eq!(parse_double(b" -2.5e1 "), Ok(-25.0));
        assert_eq!(parse_double(b"2x"), Err(Wrong::Truncated));
    }

    proptest! {
        #[test]
        fn short_paths_agree_with_the_long_one(text in "-?[0-9]{0,12}(\\.[0-9]{0,6})?", scale in 0u8..6) {
            let bytes = text.as_bytes();
            prop_assert_eq!(parse_decimal(bytes, scale), parse_decimal_slow(bytes, scale));
            if let Some(short) = parse_short(bytes) {
                prop_assert_eq!(Ok(i128::from(short)), parse_integer_slow(bytes));
            }
        }

        #[test]
        fn decimals_read_back(unscaled in any::<i64>(), scale in 0u8..19) {
            let unscaled = i128::from(unscaled);
            prop_assert_eq!(parse_decimal(format_decimal(unscaled, scale).as_bytes(), scale), Ok(unscaled));
        }

        #[test]
        fn doubles_read_back(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
            prop_assert_eq!(parse_double(format_double(value).as_bytes()), Ok(value));
        }
    }
}
