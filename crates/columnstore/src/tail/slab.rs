//! The active tail of a table: entries in the order of their arrival, and indexes by key.
//!
//! Entries are only added. Chunks double in size and never move, so a reader that knows how many
//! entries there were reads on without a lock while more are added.

use super::entry::{Entry, Place};
use super::key::key_hash;
use super::order::{ByteRange, KeyOrder, ORDER_BYTES};
use super::statistics::Known;
use env::Reservation;
use hashbrown::{HashMap, HashTable};
use parking_lot::{Mutex, RwLock};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

const FIRST_CHUNK: usize = 64;
/// `64 * (2^26 - 1)` entries: more than row references can name.
const CHUNKS: usize = 26;

/// What an entry takes in the index of a key beside the primary one.
const VALUE_BYTES: usize = 64;

type Chunk = Box<[OnceLock<Arc<Entry>>]>;

pub(crate) struct Tail {
    /// Names this tail in row references.
    pub(crate) source: u32,
    /// Entries with smaller ids were carried over from the tail before.
    pub(crate) first_id: u64,
    /// Ids of those.
    pub(crate) carried: Vec<u64>,
    chunks: [OnceLock<Chunk>; CHUNKS],
    len: AtomicUsize,
    index: RwLock<HashTable<Arc<Entry>>>,
    /// Entries in the order of the primary key, once that is asked for.
    order: RwLock<Option<KeyOrder>>,
    /// Entries by the hashes of values that versions of them have, or had, in keys beside the primary
    /// one; some more than once.
    values: RwLock<HashMap<u64, Vec<Arc<Entry>>>>,
    /// Bytes of all versions, freed only with the tail.
    bytes: AtomicUsize,
    /// Versions written, those taken back included.
    versions: AtomicUsize,
    /// Entries that scans have visited since the last write.
    scanned: AtomicUsize,
    first_file: AtomicU64,
    reserved: Mutex<Reservation>,
    /// What was last told of the columns.
    pub(crate) statistics: Mutex<Option<Known>>,
}

/// What a search by ranges of the primary key finds.
pub(crate) enum InOrder {
    Entries(Vec<Arc<Entry>>),
    /// More than were asked for.
    TooMany,
    /// The tail was not put in order yet.
    Unmade,
}

/// The chunk of an entry, and its place in that.
fn locate(at: usize) -> (usize, usize) {
    let unit = at / FIRST_CHUNK + 1;
    let chunk = unit.ilog2() as usize;
    (chunk, at - FIRST_CHUNK * ((1 << chunk) - 1))
}

impl Tail {
    pub(crate) fn new(source: u32, first_id: u64, carried: Vec<u64>, reserved: Reservation) -> Tail {
        Tail {
            source,
            first_id,
            carried,
            chunks: [const { OnceLock::new() }; CHUNKS],
            len: AtomicUsize::new(0),
            index: RwLock::new(HashTable::new()),
            order: RwLock::new(None),
            values: RwLock::new(HashMap::new()),
            bytes: AtomicUsize::new(0),
            versions: AtomicUsize::new(0),
            scanned: AtomicUsize::new(0),
            first_file: AtomicU64::new(u64::MAX),
            reserved: Mutex::new(reserved),
            statistics: Mutex::new(None),
        }
    }

    /// Adds an entry; under the latch. Returns its place.
    pub(crate) fn push(&self, entry: Arc<Entry>) -> u32 {
        let at = self.len.load(Ordering::Relaxed);
        let (chunk, place) = locate(at);
        let chunk = self.chunks[chunk]
            .get_or_init(|| std::iter::repeat_with(OnceLock::new).take(FIRST_CHUNK << chunk).collect());
        entry.set_place(Place { source: self.source, row: at as u32 });
        self.first_file.fetch_min(entry.first_file, Ordering::Relaxed);
        if let Some(key) = &entry.key {
            let hash = |key: &[u8]| key_hash(key);
            self.index.write().insert_unique(hash(key), entry.clone(), |e| e.key.as_deref().map_or(0, hash));
        }
        // Invariant: places are taken in order under the latch, each once.
        let _ = chunk[place].set(entry.clone());
        self.len.store(at + 1, Ordering::Release);
        // After the length: whoever makes the order meanwhile sees the entry, or finds it added here.
        if let Some(order) = &mut *self.order.write() {
            order.add(&entry);
            self.bytes.fetch_add(ORDER_BYTES, Ordering::Relaxed);
        }
        at as u32
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    pub(crate) fn get(&self, at: u32) -> Option<&Arc<Entry>> {
        let at = at as usize;
        if at >= self.len() {
            return None;
        }
        let (chunk, place) = locate(at);
        self.chunks[chunk].get()?.get(place)?.get()
    }

    pub(crate) fn entries(&self, from: usize, to: usize) -> impl Iterator<Item = (u32, &Arc<Entry>)> {
        (from..to.min(self.len())).filter_map(|at| self.get(at as u32).map(|entry| (at as u32, entry)))
    }

    /// The newest entry with this key. There are older ones where the key came back by a bulk load
    /// while an entry of it was here: nobody writes to those any more.
    pub(crate) fn find(&self, key: &[u8]) -> Option<Arc<Entry>> {
        let index = self.index.read();
        let found = index.iter_hash(key_hash(key)).filter(|e| e.key.as_deref() == Some(key));
        found.max_by_key(|e| e.id).cloned()
    }

    /// Lets an entry be found by a value of a key.
    pub(crate) fn note_value(&self, hash: u64, entry: &Arc<Entry>) {
        let mut values = self.values.write();
        let entries = values.entry(hash).or_default();
        if entries.last().is_none_or(|last| last.id != entry.id) {
            entries.push(entry.clone());
            self.bytes.fetch_add(VALUE_BYTES, Ordering::Relaxed);
        }
    }

    /// Entries that may have a value with this hash.
    pub(crate) fn with_value(&self, hash: u64) -> Vec<Arc<Entry>> {
        self.values.read().get(&hash).cloned().unwrap_or_default()
    }

    /// Entries that may have a value with one of these hashes, each once; None if more than `most` were
    /// noted.
    pub(crate) fn with_values(
        &self,
        hashes: impl Iterator<Item = u64>,
        most: usize,
    ) -> Option<Vec<Arc<Entry>>> {
        let values = self.values.read();
        let mut found: Vec<Arc<Entry>> = Vec::new();
        for hash in hashes {
            let entries = values.get(&hash).map_or(&[][..], Vec::as_slice);
            if found.len() + entries.len() > most {
                return None;
            }
            found.extend_from_slice(entries);
        }
        drop(values);
        found.sort_unstable_by_key(|entry| entry.id);
        found.dedup_by_key(|entry| entry.id);
        Some(found)
    }

    /// Entries with primary keys in these ranges, in the order given and within each of the key. `make`: put
    /// the tail in order if it is not yet.
    pub(crate) fn with_keys(&self, ranges: &[ByteRange], most: usize, make: bool) -> InOrder {
        let mut order = self.order.read();
        if order.is_none() {
            if !make {
                return InOrder::Unmade;
            }
            drop(order);
            let mut making = self.order.write();
            if making.is_none() {
                let mut made = KeyOrder::default();
                self.entries(0, self.len()).for_each(|(_, entry)| made.add(entry));
                self.bytes.fetch_add(self.len() * ORDER_BYTES, Ordering::Relaxed);
                *making = Some(made);
            }
            order = parking_lot::RwLockWriteGuard::downgrade(making);
        }
        let Some(order) = order.as_ref() else { return InOrder::Unmade };
        let mut found = Vec::new();
        for entry in ranges.iter().flat_map(|range| order.within(range)) {
            if found.len() == most {
                return InOrder::TooMany;
            }
            found.push(entry.clone());
        }
        InOrder::Entries(found)
    }

    /// All entries with this key.
    pub(crate) fn find_all(&self, key: &[u8]) -> Vec<Arc<Entry>> {
        let index = self.index.read();
        index.iter_hash(key_hash(key)).filter(|e| e.key.as_deref() == Some(key)).cloned().collect()
    }

    /// Counts a version of so many bytes.
    pub(crate) fn count(&self, bytes: usize) {
        self.versions.fetch_add(1, Ordering::Relaxed);
        // Seldom anything else, so writers do not contend for it.
        if self.scanned.load(Ordering::Relaxed) > 0 {
            self.scanned.store(0, Ordering::Relaxed);
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn versions(&self) -> usize {
        self.versions.load(Ordering::Relaxed)
    }

    /// Counts entries that a scan visits.
    pub(crate) fn count_scanned(&self, entries: usize) {
        self.scanned.fetch_add(entries, Ordering::Relaxed);
    }

    /// Whether it is worth to have its rows as columns though it has room for more: scans have read it again
    /// and again, and nobody wrote in between.
    pub(crate) fn is_only_scanned(&self) -> bool {
        const LEAST: usize = 1_024;
        const TIMES: usize = 8;
        let len = self.len();
        len >= LEAST && self.scanned.load(Ordering::Relaxed) / TIMES >= len
    }

    /// The oldest log file with a record of an entry here; None if it is empty.
    pub(crate) fn first_file(&self) -> Option<u64> {
        Some(self.first_file.load(Ordering::Relaxed)).filter(|file| *file != u64::MAX)
    }

    /// Makes sure that the budget has room for what is written next.
    pub(crate) fn reserve(&self, more: usize) -> Result<(), env::memory::OverBudget> {
        const GRAIN: usize = 64 << 10;
        let mut reserved = self.reserved.lock();
        let wanted = self.bytes() + more;
        if wanted <= reserved.bytes() {
            return Ok(());
        }
        let missing = wanted - reserved.bytes();
        reserved.try_grow(missing.next_multiple_of(GRAIN)).or_else(|_| reserved.try_grow(missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use env::MemoryBudget;

    #[test]
    fn places_are_dense_and_stay() {
        let mut next = 0;
        for at in 0..10_000 {
            let (chunk, place) = locate(at);
            assert!(place < FIRST_CHUNK << chunk);
            if place == 0 {
                assert_eq!(chunk, next);
                next += 1;
            }
        }
        let tail = Tail::new(1, 0, Vec::new(), MemoryBudget::new(1 << 20).reservation());
        for id in 0..1_000u64 {
            let key = Some(id.to_be_bytes().to_vec().into_boxed_slice());
            assert_eq!(u64::from(tail.push(Arc::new(Entry::new(id, key, None, 9)))), id);
        }
        assert_eq!(tail.len(), 1_000);
        assert_eq!(tail.get(777).unwrap().id, 777);
        assert!(tail.get(1_000).is_none());
        assert_eq!(tail.find(&999u64.to_be_bytes()).unwrap().id, 999);
        assert!(tail.find(b"none").is_none());
        assert_eq!(tail.entries(990, 2_000).count(), 10);
        assert_eq!(tail.first_file(), Some(9));
    }

    #[test]
    fn a_tail_in_order_stays_so() {
        use crate::keys::search::{KeyRange, Part};
        use crate::testing;
        let def = testing::kv_table(1);
        let tail = Tail::new(1, 0, Vec::new(), MemoryBudget::new(1 << 20).reservation());
        let push = |k: i64| {
            let key = crate::tail::key::encode_key(&def, &[types::Value::Int(k)]);
            tail.push(Arc::new(Entry::new(k as u64 + 1, key, None, 9)));
        };
        let range = |low: i64, high: i64| {
            let bound = |at: i64| Some((Part::Number(at.into()), true));
            let range = KeyRange { equal: Vec::new(), low: bound(low), high: bound(high) };
            [ByteRange::of(&def, &def.primary_key, &range).unwrap()]
        };
        let ids = |low, high, most, make| match tail.with_keys(&range(low, high), most, make) {
            InOrder::Entries(entries) => Some(entries.iter().map(|entry| entry.id - 1).collect::<Vec<_>>()),
            InOrder::TooMany | InOrder::Unmade => None,
        };
        (0..100).rev().for_each(push);
        assert_eq!(ids(5, 7, 9, false), None, "nobody made it");
        assert_eq!(ids(5, 7, 9, true), Some(vec![5, 6, 7]));
        (100..200).for_each(push);
        assert_eq!(ids(98, 102, 9, false), Some(vec![98, 99, 100, 101, 102]));
        assert_eq!(ids(98, 102, 4, false), None, "too many");
        assert_eq!(ids(7, 5, 4, false), Some(vec![]));
    }

    #[test]
    fn memory_is_taken_from_the_budget_before_it_is_used() {
        let budget = MemoryBudget::new(200 << 10);
        let tail = Tail::new(1, 0, Vec::new(), budget.reservation());
        tail.reserve(10).unwrap();
        assert_eq!(budget.used(), 64 << 10);
        tail.count(150 << 10);
        tail.reserve(40 << 10).unwrap();
        assert!(tail.reserve(60 << 10).is_err());
        drop(tail);
        assert_eq!(budget.used(), 0);
    }
}
