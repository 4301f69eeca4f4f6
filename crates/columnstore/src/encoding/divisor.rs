//! The common divisor of a block's differences: whole seconds in microseconds, whole units in a
//! decimal with two digits.
//!
//! Divisibility and exact quotients are one multiplication by the inverse modulo 2^64 (Granlund and
//! Montgomery, "Division by Invariant Integers using Multiplication", 1994, section 9).

/// A divisor that divides exactly.
#[derive(Debug, Clone, Copy)]
pub struct Exact {
    divisor: u64,
    shift: u32,
    inverse: u64,
    greatest: u64,
}

impl Exact {
    /// `divisor` is not zero.
    pub fn new(divisor: u64) -> Exact {
        let shift = divisor.trailing_zeros();
        let odd = divisor >> shift;
        // Newton's iteration doubles the right bits; `odd` itself is right in three.
        let mut inverse = odd;
        for _ in 0..5 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        }
        Exact { divisor, shift, inverse, greatest: u64::MAX / divisor }
    }

    #[inline(always)]
    pub fn divides(self, value: u64) -> bool {
        value.wrapping_mul(self.inverse).rotate_right(self.shift) <= self.greatest
    }

    /// `value / divisor` for a multiple of the divisor.
    #[inline(always)]
    pub fn quotient(self, value: u64) -> u64 {
        (value >> self.shift).wrapping_mul(self.inverse)
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The greatest divisor of all `values[i] - low`; 1 if they are all zero. A sample decides in most
/// cases that it is 1.
pub fn common(values: &[i64], low: i64) -> u64 {
    const SAMPLES: usize = 64;
    let mut divisor = 0;
    for &value in values.iter().step_by(values.len().div_ceil(SAMPLES).max(1)) {
        divisor = gcd(divisor, value.wrapping_sub(low) as u64);
        if divisor == 1 {
            return 1;
        }
    }
    if divisor == 0 {
        // Only the lowest value was met; any other one will do.
        match values.iter().find(|value| **value != low) {
            Some(value) => divisor = value.wrapping_sub(low) as u64,
            None => return 1,
        }
    }
    let mut exact = Exact::new(divisor);
    for chunk in values.chunks(1024) {
        let all = chunk.iter().fold(true, |all, value| all & exact.divides(value.wrapping_sub(low) as u64));
        if all {
            continue;
        }
        for &value in chunk {
            let value = value.wrapping_sub(low) as u64;
            if !exact.divides(value) {
                exact = Exact::new(gcd(exact.divisor, value));
                if exact.divisor == 1 {
                    return 1;
                }
            }
        }
    }
    exact.divisor
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_the_greatest(divisor in 1u64..5_000_000_000, factors in prop::collection::vec(0u64..1_000_000, 1..300), low in any::<i64>()) {
            let values: Vec<i64> = factors.iter().map(|f| low.wrapping_add((f * divisor) as i64)).collect();
            let expected = factors.iter().fold(0, |g, f| gcd(g, f * divisor)).max(1);
            prop_assert_eq!(common(&values, low), expected);
            let exact = Exact::new(divisor);
            for factor in factors {
                prop_assert!(exact.divides(factor * divisor));
                prop_assert_eq!(exact.quotient(factor * divisor), factor);
                prop_assert_eq!(exact.divides(factor), factor % divisor == 0);
            }
        }
    }
}
