//! Exact sets of integers as one bitmap over their span: the keys of a join's build side, by which a
//! scan of the probe side drops rows before it unpacks anything else of them.
//!
//! A test is a subtraction, a comparison and a look-up, whatever the number of keys; that is why a
//! large set which would be mostly holes is refused.

use std::fmt;

/// Bits for each key up to which a bitmap is worth its memory.
const MOST_BITS_PER_KEY: u64 = 1024;
/// The span up to which a bitmap is worth its memory for any number of keys: 128 KiB, which stays in a core's cache.
const FEW_BITS: u64 = 1 << 20;
/// The greatest span: 16 MiB of bits.
const MOST_BITS: u64 = 1 << 27;

/// See the module.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySet {
    first: i64,
    /// Bit `i` stands for `first + i`.
    words: Vec<u64>,
    keys: usize,
}

impl KeySet {
    /// How much memory the set of so many keys within `least..=greatest` takes, in bytes; None if it
    /// is not worth it.
    pub fn bytes_for(keys: usize, least: i64, greatest: i64) -> Option<usize> {
        let span = least.abs_diff(greatest);
        let worth = (keys as u64).saturating_mul(MOST_BITS_PER_KEY).clamp(FEW_BITS, MOST_BITS);
        // Invariant: below 2^27, so it fits.
        (least <= greatest && span < worth).then(|| (span as usize / 64 + 1) * size_of::<u64>())
    }

    /// `keys` in any order, repeats included. None if [`Self::bytes_for`] is.
    pub fn of(keys: impl Iterator<Item = i64> + Clone) -> Option<KeySet> {
        let bounds = keys.clone().fold(None, |bounds: Option<(i64, i64, usize)>, key| match bounds {
            Some((least, greatest, count)) => Some((least.min(key), greatest.max(key), count + 1)),
            None => Some((key, key, 1)),
        });
        let Some((first, greatest, count)) = bounds else {
            return Some(KeySet { first: 0, words: Vec::new(), keys: 0 });
        };
        let words = KeySet::bytes_for(count, first, greatest)? / size_of::<u64>();
        let mut set = KeySet { first, words: vec![0; words], keys: 0 };
        for key in keys {
            let at = key.abs_diff(first) as usize;
            let bit = 1 << (at % 64);
            set.keys += usize::from(set.words[at / 64] & bit == 0);
            set.words[at / 64] |= bit;
        }
        Some(set)
    }

    /// How much memory [`Self::union`] takes, in bytes; None if it is not worth it.
    pub fn bytes_for_union(sets: &[&KeySet]) -> Option<usize> {
        let filled = || sets.iter().filter(|set| !set.is_empty());
        let Some(first) = filled().map(|set| set.first).min() else { return Some(0) };
        let last = filled().map(|set| set.last()).max().unwrap_or(first);
        KeySet::bytes_for(sets.iter().map(|set| set.keys).sum(), first, last)
    }

    /// The keys that are in any of the sets. None if [`Self::bytes_for_union`] is.
    pub fn union(sets: &[&KeySet]) -> Option<KeySet> {
        let words = KeySet::bytes_for_union(sets)? / size_of::<u64>();
        let filled = || sets.iter().filter(|set| !set.is_empty());
        let first = filled().map(|set| set.first).min().unwrap_or(0);
        let mut union = KeySet { first, words: vec![0; words], keys: 0 };
        for set in filled() {
            let at = set.first.abs_diff(first) as usize;
            let (word, shift) = (at / 64, at % 64);
            for (index, &bits) in set.words.iter().enumerate() {
                union.words[word + index] |= bits << shift;
                if shift > 0 && bits >> (64 - shift) != 0 {
                    union.words[word + index + 1] |= bits >> (64 - shift);
                }
            }
        }
        union.keys = union.words.iter().map(|word| word.count_ones() as usize).sum();
        Some(union)
    }

    /// The greatest key. Only of a set that is not empty.
    fn last(&self) -> i64 {
        // Invariant: the last word holds the greatest key.
        let bits = self.words.len() as u64 * 64;
        let holes = self.words.last().map_or(0, |word| u64::from(word.leading_zeros()));
        self.first.wrapping_add_unsigned(bits - holes - 1)
    }

    /// The set for another process, to be read by [`Self::from_bytes`]: the first key, then the bitmap from it
    /// on, all little-endian words.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(size_of::<u64>() * (1 + self.words.len()));
        bytes.extend(self.first.to_le_bytes());
        bytes.extend(self.words.iter().flat_map(|word| word.to_le_bytes()));
        bytes
    }

    /// None if the bytes are no set.
    pub fn from_bytes(bytes: &[u8]) -> Option<KeySet> {
        let (words, rest) = bytes.as_chunks::<{ size_of::<u64>() }>();
        let ([first, words @ ..], []) = (words, rest) else { return None };
        let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        // What [`Self::of`] makes: the last word holds the greatest key.
        if words.last() == Some(&0) || words.len() as u64 > MOST_BITS / 64 {
            return None;
        }
        let keys = words.iter().map(|word| word.count_ones() as usize).sum();
        Some(KeySet { first: i64::from_le_bytes(*first), words, keys })
    }

    /// Whether most numbers between its least and its greatest key are none of its keys.
    pub fn is_sparse(&self) -> bool {
        self.keys * 2 <= self.words.len() * 64
    }

    /// How many different keys.
    pub fn len(&self) -> usize {
        self.keys
    }

    pub fn is_empty(&self) -> bool {
        self.keys == 0
    }

    pub fn bytes(&self) -> usize {
        self.words.len() * size_of::<u64>()
    }

    /// What [`Self::has`] takes for `value`. Values below the first key become offsets far behind the
    /// last.
    #[inline]
    pub(crate) fn offset(&self, value: i64) -> u64 {
        value.wrapping_sub(self.first) as u64
    }

    #[inline]
    pub(crate) fn has(&self, offset: u64) -> bool {
        self.words.get((offset / 64) as usize).is_some_and(|word| word >> (offset % 64) & 1 == 1)
    }

    #[inline]
    pub fn contains(&self, value: i64) -> bool {
        self.has(self.offset(value))
    }

    /// Whether any number of `low..=high` is in the set.
    pub(crate) fn touches(&self, low: i128, high: i128) -> bool {
        let first = i128::from(self.first);
        let bits = self.words.len() as i128 * 64;
        let (low, high) = ((low - first).max(0), (high - first).min(bits - 1));
        if low > high {
            return false;
        }
        // Invariant: both are within the bitmap.
        let (low, high) = (low as usize, high as usize);
        let (head, tail) = (!0u64 << (low % 64), !0u64 >> (63 - high % 64));
        if low / 64 == high / 64 {
            return self.words[low / 64] & head & tail != 0;
        }
        self.words[low / 64] & head != 0
            || self.words[high / 64] & tail != 0
            || self.words[low / 64 + 1..high / 64].iter().any(|word| *word != 0)
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys from {}", self.keys, self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_cross_as_bytes() {
        for keys in [vec![], vec![7], vec![-5, 3, 900, 64], (0..1000).map(|i| i * 3).collect()] {
            let set = KeySet::of(keys.iter().copied()).unwrap();
            assert_eq!(KeySet::from_bytes(&set.to_bytes()).unwrap(), set);
        }
        assert_eq!(KeySet::from_bytes(&[1, 2, 3]), None);
        assert_eq!(KeySet::from_bytes(&[0; 16]), None);
        assert_eq!(KeySet::from_bytes(&[]), None);
    }
    use proptest::prelude::*;

    #[test]
    fn sparse_sets_are_refused_and_extremes_do_not_overflow() {
        assert!(KeySet::of([i64::MIN, i64::MAX].into_iter()).is_none());
        assert!(KeySet::of([0, 1 << 20].into_iter()).is_none());
        let set = KeySet::of([i64::MIN, i64::MIN + 5].into_iter()).expect("it is dense");
        assert!(set.contains(i64::MIN) && !set.contains(i64::MAX) && !set.contains(0));
        assert!(!set.touches(0, i128::from(i64::MAX)));
        let none = KeySet::of(std::iter::empty()).expect("no key takes no space");
        assert!(none.is_empty() && !none.contains(0) && !none.touches(i128::from(i64::MIN), 0));
    }

    proptest! {
        #[test]
        fn a_union_has_the_keys_of_all(
            lists in prop::collection::vec(prop::collection::vec(-300i64..300, 0..20), 0..5),
        ) {
            let sets: Vec<_> = lists.iter().map(|keys| KeySet::of(keys.iter().copied()).unwrap()).collect();
            let union = KeySet::union(&sets.iter().collect::<Vec<_>>()).unwrap();
            prop_assert_eq!(union, KeySet::of(lists.iter().flatten().copied()).unwrap());
        }

        #[test]
        fn agrees_with_the_list(
            keys in prop::collection::vec(-200i64..200, 0..40),
            low in -250i128..250,
            span in 0i128..150,
        ) {
            let set = KeySet::of(keys.iter().copied()).unwrap();
            for value in -260..260 {
                prop_assert_eq!(set.contains(value), keys.contains(&value));
            }
            prop_assert_eq!(set.touches(low, low + span), (low..=low + span).any(|v| keys.contains(&(v as i64))));
            let mut different = keys.clone();
            different.sort_unstable();
            different.dedup();
            prop_assert_eq!(set.len(), different.len());
        }
    }
}
