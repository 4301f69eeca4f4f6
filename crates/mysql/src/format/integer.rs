//! Integers and decimals as text, with their length in front.

const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
    2021222324252627282930313233343536373839\
    4041424344454647484950515253545556575859\
    6061626364656667686970717273747576777879\
    8081828384858687888990919293949596979899";

/// The two digits of a number below 100.
#[inline]
pub fn pair(n: u32) -> [u8; 2] {
    let at = (n % 100) as usize * 2;
    [PAIRS[at], PAIRS[at + 1]]
}

/// Room for the digits of a u128, a sign, a point, zeros in front, and the length.
pub struct Digits {
    bytes: [u8; Digits::LEN],
    start: usize,
}

impl Digits {
    const LEN: usize = 64;

    #[inline]
    pub fn new() -> Digits {
        Digits { bytes: [b'0'; Digits::LEN], start: Digits::LEN }
    }

    #[inline]
    fn push_front(&mut self, byte: u8) {
        self.start -= 1;
        self.bytes[self.start] = byte;
    }

    #[inline]
    pub fn push_u64(&mut self, mut n: u64) {
        while n >= 100 {
            let [high, low] = pair((n % 100) as u32);
            n /= 100;
            self.push_front(low);
            self.push_front(high);
        }
        if n >= 10 {
            let [high, low] = pair(n as u32);
            self.push_front(low);
            self.push_front(high);
        } else {
            self.push_front(b'0' + n as u8);
        }
    }

    fn push_u128(&mut self, n: u128) {
        const GROUP: u128 = 10_000_000_000_000_000_000;
        match u64::try_from(n) {
            Ok(n) => self.push_u64(n),
            Err(_) => {
                let end = self.start;
                self.push_u64((n % GROUP) as u64);
                // Zeros of the lower group that stand between digits.
                self.pad(end - 19);
                self.push_u128(n / GROUP);
            }
        }
    }

    /// Zeros in front, down to the place `start`.
    #[inline]
    fn pad(&mut self, start: usize) {
        while self.start > start {
            self.push_front(b'0');
        }
    }

    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Appends the length and the text.
    #[inline]
    fn put(mut self, out: &mut Vec<u8>) {
        let len = (Digits::LEN - self.start) as u8;
        self.push_front(len);
        out.extend_from_slice(self.as_bytes());
    }
}

#[inline]
pub fn put_u64(out: &mut Vec<u8>, n: u64) {
    let mut digits = Digits::new();
    digits.push_u64(n);
    digits.put(out);
}

#[inline]
pub fn put_i64(out: &mut Vec<u8>, n: i64) {
    let mut digits = Digits::new();
    digits.push_u64(n.unsigned_abs());
    if n < 0 {
        digits.push_front(b'-');
    }
    digits.put(out);
}

/// `unscaled / 10^scale`, with exactly `scale` digits behind the point; `scale` is at most 38.
#[inline]
pub fn put_decimal(out: &mut Vec<u8>, unscaled: i128, scale: u8) {
    let scale = usize::from(scale);
    let mut digits = Digits::new();
    digits.push_u128(unscaled.unsigned_abs());
    if scale > 0 {
        // At least one digit before the point.
        digits.pad(Digits::LEN - scale - 1);
        let point = Digits::LEN - scale;
        digits.bytes.copy_within(digits.start..point, digits.start - 1);
        digits.bytes[point - 1] = b'.';
        digits.start -= 1;
    }
    if unscaled < 0 {
        digits.push_front(b'-');
    }
    digits.put(out);
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
    fn decimals_have_their_scale() {
        for (unscaled, scale, expected) in [
            (0, 0, "0"),
            (0, 2, "0.00"),
            (5, 2, "0.05"),
            (-5, 2, "-0.05"),
            (-123, 2, "-1.23"),
            (100, 1, "10.0"),
            (7, 38, "0.00000000000000000000000000000000000007"),
            (10i128.pow(19), 0, "10000000000000000000"),
            (-(10i128.pow(38) - 1), 10, "-9999999999999999999999999999.9999999999"),
            (i128::MIN, 38, "-1.70141183460469231731687303715884105728"),
        ] {
            assert_eq!(text(|out| put_decimal(out, unscaled, scale)), expected);
        }
    }

    proptest! {
        #[test]
        fn integers_print_as_in_std(a: i64, b: u64, c: i128, shift in 0u32..64) {
            prop_assert_eq!(text(|out| put_i64(out, a >> shift)), (a >> shift).to_string());
            prop_assert_eq!(text(|out| put_u64(out, b >> shift)), (b >> shift).to_string());
            prop_assert_eq!(text(|out| put_decimal(out, c >> shift, 0)), (c >> shift).to_string());
        }
    }
}
