//! Things that are worth keeping because they come again: those that were used last, within the memory of the process.

use crate::memory::Reservation;
use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Things by key, up to a number of bytes, which are counted to a memory budget. Those go first that were not used
/// for the longest time.
pub struct Recent<K, T> {
    most: usize,
    held: Reservation,
    /// Rises with each use.
    now: u64,
    by_key: HashMap<K, Kept<T>>,
}

struct Kept<T> {
    value: Arc<T>,
    bytes: usize,
    used: u64,
}

impl<K: Hash + Eq + Clone, T> Recent<K, T> {
    /// `held`: a reservation of nothing.
    pub fn new(most: usize, held: Reservation) -> Recent<K, T> {
        Recent { most, held, now: 0, by_key: HashMap::new() }
    }

    /// The bytes of all that is kept.
    pub fn bytes(&self) -> usize {
        self.held.bytes()
    }

    pub fn get<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<Arc<T>>
    where
        K: Borrow<Q>,
    {
        self.now += 1;
        let kept = self.by_key.get_mut(key)?;
        kept.used = self.now;
        Some(kept.value.clone())
    }

    /// Keeps it in the place of what was there, if there is room: where the process has none, this gives way.
    pub fn put(&mut self, key: K, value: Arc<T>, bytes: usize) {
        self.take_out(&key);
        if bytes > self.most {
            return;
        }
        while self.held.bytes() + bytes > self.most || self.held.try_grow(bytes).is_err() {
            let oldest = self.by_key.iter().min_by_key(|(_, kept)| kept.used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
            self.take_out(&key);
        }
        self.now += 1;
        self.by_key.insert(key, Kept { value, bytes, used: self.now });
    }

    /// Forgets this one, unless another has come into its place.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q, value: &Arc<T>)
    where
        K: Borrow<Q>,
    {
        if self.by_key.get(key).is_some_and(|kept| Arc::ptr_eq(&kept.value, value)) {
            self.take_out(key);
        }
    }

    fn take_out<Q: Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some(gone) = self.by_key.remove(key) {
            self.held.shrink(gone.bytes);
        }
    }
}

/// What has come once, by hash, up to a number; then it begins anew. Most things come once, and are not worth keeping.
pub struct Seen {
    most: usize,
    hashes: HashSet<u64>,
}

impl Seen {
    pub fn new(most: usize) -> Seen {
        Seen { most, hashes: HashSet::new() }
    }

    /// Whether it has come before.
    pub fn comes_again(&mut self, key: &(impl Hash + ?Sized)) -> bool {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        if self.hashes.len() >= self.most {
            self.hashes.clear();
        }
        !self.hashes.insert(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryBudget;

    #[test]
    fn a_thing_is_worth_keeping_when_it_comes_again() {
        let mut seen = Seen::new(2);
        assert!(!seen.comes_again("a") && !seen.comes_again("b"));
        // There is room for no more.
        assert!(!seen.comes_again("a"));
        assert!(seen.comes_again("a"));
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let budget = MemoryBudget::new(100);
        let mut recent = Recent::new(80, budget.reservation());
        let put = |recent: &mut Recent<String, u32>, n: u32, bytes| {
            recent.put(format!("k{n}"), Arc::new(n), bytes);
        };
        put(&mut recent, 1, 30);
        put(&mut recent, 2, 30);
        assert_eq!(recent.get("k1").as_deref(), Some(&1));
        put(&mut recent, 3, 30);
        assert_eq!((recent.get("k2"), recent.get("k1").as_deref()), (None, Some(&1)));
        assert_eq!((budget.used(), recent.bytes()), (60, 60));
        put(&mut recent, 4, 90);
        assert_eq!((recent.get("k4"), budget.used()), (None, 60), "larger than all that is kept");
        put(&mut recent, 1, 40);
        assert_eq!(budget.used(), 70, "in the place of what was there");
        // The process needs its memory for something else.
        let other = budget.try_reserve(30).unwrap();
        put(&mut recent, 5, 35);
        assert_eq!((recent.get("k3"), recent.get("k1"), budget.used()), (None, None, 65));
        drop(other);
        let old = Arc::new(5);
        recent.remove("k5", &old);
        assert_eq!(budget.used(), 35, "another one of that name");
        let kept = recent.get("k5").unwrap();
        recent.remove("k5", &kept);
        assert_eq!(budget.used(), 0);
    }
}
