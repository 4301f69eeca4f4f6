//! From a group's key, packed into a word, to the group's number.
//!
//! Groups are numbered as they appear. While the words of a table stay close to each other (keys
//! that count up, codes) they index an array directly; when that would waste memory, a hash table
//! takes over, made from the words that are kept anyway.

use hashbrown::HashTable;

/// No group.
pub(super) const NONE: u32 = u32::MAX;

/// The array has at most so many places for each group (of four bytes)...
const SPARSE: usize = 32;
/// ... and may begin with so many.
const FIRST_PLACES: usize = 1 << 20;

/// A packed key.
pub(super) trait Word: Copy + Eq + Ord + Default + Send + 'static {
    fn of(bits: u64, shift: u32) -> Self;
    fn or(self, other: Self) -> Self;
    /// `width` bits from `shift` on; `width` is at most 64.
    fn bits(self, shift: u32, width: u32) -> u64;
    fn hash(self) -> u64;
    /// How far this is above `base`; `None` if that is no index.
    fn above(self, base: Self) -> Option<usize>;
    /// The word so far below this, or the least.
    fn below(self, by: usize) -> Self;
}

/// The two halves of a product, folded.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// All bits of the result depend on all of `value`.
#[inline(always)]
pub(super) fn hash_word(value: u64) -> u64 {
    fold(value ^ 0x2545_f491_4f6c_dd1d, MULTIPLIER)
}

pub(super) fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        // Invariant: chunks_exact gives eight bytes.
        hash = hash_word(hash ^ u64::from_le_bytes(word.try_into().expect("eight bytes")));
    }
    let mut last = [0u8; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    hash_word(hash ^ u64::from_le_bytes(last).rotate_left(17))
}

fn mask(width: u32) -> u64 {
    if width >= 64 { u64::MAX } else { (1 << width) - 1 }
}

impl Word for u64 {
    #[inline(always)]
    fn of(bits: u64, shift: u32) -> u64 {
        bits << shift
    }

    #[inline(always)]
    fn or(self, other: u64) -> u64 {
        self | other
    }

    fn bits(self, shift: u32, width: u32) -> u64 {
        self >> shift & mask(width)
    }

    #[inline(always)]
    fn hash(self) -> u64 {
        hash_word(self)
    }

    #[inline(always)]
    fn above(self, base: u64) -> Option<usize> {
        usize::try_from(self.checked_sub(base)?).ok()
    }

    fn below(self, by: usize) -> u64 {
        self.saturating_sub(by as u64)
    }
}

impl Word for u128 {
    #[inline(always)]
    fn of(bits: u64, shift: u32) -> u128 {
        u128::from(bits) << shift
    }

    #[inline(always)]
    fn or(self, other: u128) -> u128 {
        self | other
    }

    fn bits(self, shift: u32, width: u32) -> u64 {
        (self >> shift) as u64 & mask(width)
    }

    #[inline(always)]
    fn hash(self) -> u64 {
        hash_word(hash_word(self as u64) ^ (self >> 64) as u64)
    }

    #[inline(always)]
    fn above(self, base: u128) -> Option<usize> {
        usize::try_from(self.checked_sub(base)?).ok()
    }

    fn below(self, by: usize) -> u128 {
        self.saturating_sub(by as u128)
    }
}

enum Index<W> {
    /// Place `i` has the group of word `base + i`.
    Direct {
        base: W,
        places: Vec<u32>,
    },
    Hashed(HashTable<(W, u32)>),
}

/// See the module.
pub(super) struct Groups<W> {
    words: Vec<W>,
    index: Index<W>,
}

impl<W: Word> Groups<W> {
    pub(super) fn new() -> Groups<W> {
        Groups { words: Vec::new(), index: Index::Direct { base: W::default(), places: Vec::new() } }
    }

    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// The words of the groups, in the order of their numbers.
    pub(super) fn words(&self) -> &[W] {
        &self.words
    }

    pub(super) fn bytes(&self) -> usize {
        let index = match &self.index {
            Index::Direct { places, .. } => places.capacity() * size_of::<u32>(),
            Index::Hashed(table) => table.allocation_size(),
        };
        index + self.words.capacity() * size_of::<W>()
    }

    /// The group of one word; a new one if there is none yet.
    pub(super) fn find(&mut self, word: W) -> u32 {
        self.reach(word, word, 1);
        match &mut self.index {
            Index::Direct { base, places } => match word.above(*base).and_then(|at| places.get_mut(at)) {
                Some(place) => taken(place, word, &mut self.words),
                // Invariant: `reach` has made the place.
                None => NONE,
            },
            Index::Hashed(table) => hashed(table, word, &mut self.words),
        }
    }

    /// The groups of many words, into `ids`, which is cleared first.
    pub(super) fn find_all(&mut self, words: &[W], ids: &mut Vec<u32>) {
        ids.clear();
        let Some(&first) = words.first() else { return };
        let (low, high) =
            words.iter().fold((first, first), |(low, high), word| (low.min(*word), high.max(*word)));
        self.reach(low, high, words.len());
        match &mut self.index {
            Index::Direct { base, places } => {
                for &word in words {
                    let id = match word.above(*base).and_then(|at| places.get_mut(at)) {
                        Some(place) if *place != NONE => *place,
                        Some(place) => taken(place, word, &mut self.words),
                        // Invariant: `reach` has made the place.
                        None => NONE,
                    };
                    ids.push(id);
                }
            }
            Index::Hashed(table) => {
                let (mut last, mut id) = (first, hashed(table, first, &mut self.words));
                for &word in words {
                    // Rows often come in the order of their keys.
                    if word != last {
                        (last, id) = (word, hashed(table, word, &mut self.words));
                    }
                    ids.push(id);
                }
            }
        }
    }

    /// Makes the array reach from `low` to `high`, or goes over to hashing. `more`: how many groups may
    /// be added now.
    fn reach(&mut self, low: W, high: W, more: usize) {
        let Index::Direct { base, places } = &mut self.index else { return };
        let most = FIRST_PLACES.max(SPARSE * (self.words.len() + more));
        let last = W::above(high, *base).filter(|_| low >= *base);
        if last.is_some_and(|last| last < places.len()) {
            return;
        }
        let empty = places.is_empty();
        let end = if empty { high } else { self.words.iter().copied().fold(high, W::max) };
        let start = if empty { low } else { low.min(*base) };
        match end.above(start) {
            // There is room for as much again, on the side where the words come from, so that words
            // that count up or down do not come here each time.
            Some(span) if span < most / 2 => {
                let new_base = if !empty && start < *base { start.below(span) } else { start };
                let moved = if empty { 0 } else { base.above(new_base).unwrap_or(0) };
                let mut grown = vec![NONE; moved];
                grown.extend_from_slice(places);
                grown.resize(grown.len().max(2 * span + 1), NONE);
                self.index = Index::Direct { base: new_base, places: grown };
            }
            _ => {
                let mut table = HashTable::with_capacity(self.words.len() + more);
                for (&word, id) in self.words.iter().zip(0..) {
                    table.insert_unique(word.hash(), (word, id), |(word, _)| word.hash());
                }
                self.index = Index::Hashed(table);
            }
        }
    }
}

#[inline]
fn taken<W: Word>(place: &mut u32, word: W, words: &mut Vec<W>) -> u32 {
    if *place == NONE {
        *place = words.len() as u32;
        words.push(word);
    }
    *place
}

#[inline]
fn hashed<W: Word>(table: &mut HashTable<(W, u32)>, word: W, words: &mut Vec<W>) -> u32 {
    let hash = word.hash();
    if let Some((_, id)) = table.find(hash, |(known, _)| *known == word) {
        return *id;
    }
    let id = words.len() as u32;
    table.insert_unique(hash, (word, id), |(word, _)| word.hash());
    words.push(word);
    id
}

/// Strings by number.
#[derive(Default)]
pub(super) struct Strings {
    table: HashTable<u32>,
    data: Vec<u8>,
    /// Where each string ends.
    ends: Vec<usize>,
}

impl Strings {
    pub(super) fn get(&self, id: u32) -> &[u8] {
        let at = id as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.data[start..self.ends[at]]
    }

    pub(super) fn find(&mut self, bytes: &[u8]) -> u32 {
        let Strings { table, data, ends } = self;
        let of = |id: u32| {
            let at = id as usize;
            &data[if at == 0 { 0 } else { ends[at - 1] }..ends[at]]
        };
        let hash = hash_bytes(bytes);
        if let Some(id) = table.find(hash, |id| of(*id) == bytes) {
            return *id;
        }
        let id = ends.len() as u32;
        table.insert_unique(hash, id, |id| hash_bytes(of(*id)));
        data.extend_from_slice(bytes);
        ends.push(data.len());
        id
    }

    pub(super) fn bytes(&self) -> usize {
        self.table.allocation_size() + self.data.capacity() + self.ends.capacity() * size_of::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use std::collections::HashMap;

    /// Every word has the number of its first appearance, whatever the index.
    fn check<W: Word + std::hash::Hash + std::fmt::Debug>(batches: impl IntoIterator<Item = Vec<W>>) {
        let mut groups = Groups::new();
        let mut known: HashMap<W, u32> = HashMap::new();
        let mut ids = Vec::new();
        for (turn, words) in batches.into_iter().enumerate() {
            if turn % 3 == 2 {
                ids = words.iter().map(|word| groups.find(*word)).collect();
            } else {
                groups.find_all(&words, &mut ids);
            }
            assert_eq!(ids.len(), words.len());
            for (word, id) in words.iter().zip(&ids) {
                let next = known.len() as u32;
                assert_eq!(*known.entry(*word).or_insert(next), *id, "{word:?}");
                assert_eq!(groups.words()[*id as usize], *word);
            }
        }
        assert_eq!(groups.len(), known.len());
    }

    #[test]
    fn words_keep_their_numbers() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(3);
        for spread in [1u64, 100, 1 << 17, 1 << 24, u64::MAX - 1] {
            for base in [0u64, 5 << 40, u64::MAX - (1 << 25)] {
                check((0..20).map(|_| {
                    (0..rng.random_range(0..400))
                        .map(|_| base.wrapping_add(rng.random_range(0..=spread)))
                        .collect()
                }));
            }
        }
        // Counting up, then down.
        check((0..50u64).map(|i| (i * 8000..i * 8000 + 8000).collect()));
        check((0..50u64).rev().map(|i| (i * 8000..i * 8000 + 8000).rev().collect()));
        // A far word after many near ones.
        check([(0..5000).collect(), vec![1 << 60, 3, u64::MAX], (0..6000).collect()]);
        check((0..10u128).map(|i| (0..300u128).map(|j| ((i * j) << 60) | (j % 7)).collect()));
    }

    #[test]
    fn strings_keep_their_numbers() {
        let mut strings = Strings::default();
        let mut rng = rand::rngs::StdRng::seed_from_u64(4);
        let mut known: HashMap<Vec<u8>, u32> = HashMap::new();
        for _ in 0..5000 {
            let bytes: Vec<u8> = (0..rng.random_range(0..20)).map(|_| rng.random_range(0..3)).collect();
            let next = known.len() as u32;
            let id = *known.entry(bytes.clone()).or_insert(next);
            assert_eq!(strings.find(&bytes), id);
            assert_eq!(strings.get(id), bytes);
        }
    }
}
