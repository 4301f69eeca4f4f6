//! Sets of numbers as sorted, disjoint, inclusive ranges: what any conjunction of comparisons of one
//! column with constants comes to.

/// Sorted; between two ranges lies at least one number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges(Vec<(i128, i128)>);

impl Ranges {
    pub fn none() -> Ranges {
        Ranges(Vec::new())
    }

    pub fn all() -> Ranges {
        Ranges(vec![(i128::MIN, i128::MAX)])
    }

    /// Empty if `low > high`.
    pub fn between(low: i128, high: i128) -> Ranges {
        if low <= high { Ranges(vec![(low, high)]) } else { Ranges::none() }
    }

    pub fn except(value: i128) -> Ranges {
        let mut ranges = Vec::with_capacity(2);
        if let Some(below) = value.checked_sub(1) {
            ranges.push((i128::MIN, below));
        }
        if let Some(above) = value.checked_add(1) {
            ranges.push((above, i128::MAX));
        }
        Ranges(ranges)
    }

    pub fn points(mut points: Vec<i128>) -> Ranges {
        points.sort_unstable();
        Ranges::merged(points.into_iter().map(|p| (p, p)).collect())
    }

    /// Of ranges sorted by their low ends, each `low <= high`.
    fn merged(sorted: Vec<(i128, i128)>) -> Ranges {
        let mut ranges: Vec<(i128, i128)> = Vec::with_capacity(sorted.len());
        for (low, high) in sorted {
            match ranges.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => ranges.push((low, high)),
            }
        }
        Ranges(ranges)
    }

    pub fn and(&self, other: &Ranges) -> Ranges {
        let (mut i, mut j) = (0, 0);
        let mut both = Vec::new();
        while let (Some(&(a, b)), Some(&(c, d))) = (self.0.get(i), other.0.get(j)) {
            let (low, high) = (a.max(c), b.min(d));
            if low <= high {
                both.push((low, high));
            }
            if b < d {
                i += 1;
            } else {
                j += 1;
            }
        }
        Ranges(both)
    }

    pub fn or(&self, other: &Ranges) -> Ranges {
        let mut all: Vec<_> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        Ranges::merged(all)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub fn contains(&self, value: i128) -> bool {
        let at = self.0.partition_point(|range| range.1 < value);
        self.0.get(at).is_some_and(|range| range.0 <= value)
    }

    /// Whether any number of `low..=high` is in the set.
    pub fn touches(&self, low: i128, high: i128) -> bool {
        let at = self.0.partition_point(|range| range.1 < low);
        self.0.get(at).is_some_and(|range| range.0 <= high)
    }

    /// Whether all of `low..=high` are in the set.
    pub fn covers(&self, low: i128, high: i128) -> bool {
        let at = self.0.partition_point(|range| range.1 < low);
        self.0.get(at).is_some_and(|range| range.0 <= low && high <= range.1)
    }

    pub fn ranges(&self) -> &[(i128, i128)] {
        &self.0
    }

    /// The set in the numbers `p` of `reference + p * divisor`, `0 <= p <= limit`: appended to `out`,
    /// sorted and merged, after clearing it.
    pub fn packed(&self, reference: i64, divisor: u64, limit: u64, out: &mut Vec<(u64, u64)>) {
        out.clear();
        let reference = i128::from(reference);
        let divisor = i128::from(divisor);
        // Saturates for blocks that no writer makes.
        let greatest = reference.saturating_add(i128::from(limit).saturating_mul(divisor));
        let from = self.0.partition_point(|range| range.1 < reference);
        for &(low, high) in &self.0[from..] {
            if low > greatest {
                break;
            }
            let low = (low.max(reference) - reference + divisor - 1) / divisor;
            let high = (high.min(greatest) - reference) / divisor;
            if low > high {
                continue;
            }
            // Invariant: both are within 0..=limit.
            let (low, high) = (low as u64, high as u64);
            match out.last_mut() {
                Some(last) if last.1 + 1 == low => last.1 = high,
                _ => out.push((low, high)),
            }
        }
    }
}

/// Maps a float to a number so that the order is kept and 0.0 equals -0.0. NaNs lie outside of
/// `FLOATS`.
#[inline(always)]
pub fn float_key(value: f64) -> i64 {
    let bits = (value + 0.0).to_bits() as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

/// Inverse of [`float_key`].
pub fn key_float(key: i64) -> f64 {
    f64::from_bits((key ^ ((key >> 63) as u64 >> 1) as i64) as u64)
}

/// The keys of -infinity and infinity.
pub fn float_bounds() -> (i64, i64) {
    (float_key(f64::NEG_INFINITY), float_key(f64::INFINITY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set() -> impl Strategy<Value = Ranges> {
        prop_oneof![
            prop::collection::vec(-20i128..20, 0..8).prop_map(Ranges::points),
            (-20i128..20, -20i128..20).prop_map(|(a, b)| Ranges::between(a, b)),
            (-20i128..20).prop_map(Ranges::except),
            Just(Ranges::all()),
        ]
    }

    proptest! {
        #[test]
        fn set_algebra_agrees_with_membership(a in set(), b in set(), low in -22i128..22, span in 0i128..10) {
            let both = a.and(&b);
            let either = a.or(&b);
            for v in -25..25 {
                prop_assert_eq!(both.contains(v), a.contains(v) && b.contains(v));
                prop_assert_eq!(either.contains(v), a.contains(v) || b.contains(v));
            }
            let high = low + span;
            prop_assert_eq!(a.touches(low, high), (low..=high).any(|v| a.contains(v)));
            prop_assert_eq!(a.covers(low, high), (low..=high).all(|v| a.contains(v)));
        }

        #[test]
        fn packed_form_agrees(a in set(), reference in -25i64..25, divisor in 1u64..5, limit in 0u64..12) {
            let mut out = Vec::new();
            a.packed(reference, divisor, limit, &mut out);
            for p in 0..=limit {
                let value = i128::from(reference) + i128::from(p) * i128::from(divisor);
                prop_assert_eq!(out.iter().any(|r| r.0 <= p && p <= r.1), a.contains(value));
            }
            prop_assert!(out.iter().all(|r| r.0 <= r.1 && r.1 <= limit));
        }

        #[test]
        fn float_keys_keep_the_order(a in any::<f64>(), b in any::<f64>()) {
            if !a.is_nan() && !b.is_nan() {
                prop_assert_eq!(Some(float_key(a).cmp(&float_key(b))), a.partial_cmp(&b));
                prop_assert_eq!(key_float(float_key(a)), a);
            } else {
                let nan = if a.is_nan() { a } else { b };
                let (low, high) = float_bounds();
                prop_assert!(float_key(nan) < low || float_key(nan) > high);
            }
        }
    }

    #[test]
    fn extremes() {
        assert_eq!(float_key(-0.0), float_key(0.0));
        let mut out = Vec::new();
        Ranges::all().packed(i64::MIN, 1, u64::MAX, &mut out);
        assert_eq!(out, [(0, u64::MAX)]);
        Ranges::except(0).packed(i64::MIN, 1, u64::MAX, &mut out);
        assert_eq!(out, [(0, (1 << 63) - 1), ((1 << 63) + 1, u64::MAX)]);
        assert_eq!(Ranges::except(i128::MIN).ranges().len(), 1);
    }
}
