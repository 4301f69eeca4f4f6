//! The buffer pool: loaded blocks of segment files, shared by all readers, bounded in bytes.
//!
//! - What the pool keeps never exceeds its capacity. Its memory is reserved from the process's
//!   budget, and a block's reservation lives as long as the block: eviction only lets go of the
//!   pool's share, so a reader never loses what it holds, and the budget stays true.
//! - While the process holds more than its budget, the pool does without as much, down to half of its capacity.
//! - A block that several readers miss at once is loaded once.
//! - Eviction is S3-FIFO (Yang, Zhang, Qiu, Yue, Vigfusson, "FIFO Queues are All You Need for Cache
//!   Eviction", 2023): new blocks pass a small queue of a tenth of the capacity, and only those met
//!   again enter the main one, so that one large scan does not push out what is used all the time.
//!   A hit takes one shard's lock and moves nothing.
//!
//! Locks are taken in the order queues, shard.

pub(crate) mod memory;

#[cfg(test)]
mod tests;

use crate::StoreError;
use crate::encoding::bytes::BytesBlock;
use crate::encoding::dictionary::Dictionary;
use crate::encoding::fixed::FixedBlock;
use crate::encoding::fsst::{FsstBlock, SymbolTable};
use crate::encoding::ints::IntBlock;
use crate::waiting::may_wait;
use env::MemoryBudget;
use env::memory::Reservation;
use hashbrown::{HashMap, HashSet};
use memory::BlockMemory;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolStatistics {
    pub hits: u64,
    pub misses: u64,
    pub evictions: u64,
    /// Blocks that the pool keeps now.
    pub blocks: u64,
    /// Bytes of these, and of blocks being loaded.
    pub bytes: u64,
    pub capacity: u64,
}

/// Names a block: a file by the number that the pool gave it, a column, a place in the column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BlockKey {
    pub file: u64,
    pub column: u32,
    pub block: u32,
}

/// A loaded and validated block.
#[derive(Debug, Clone)]
pub(crate) enum Block {
    Ints(Arc<IntBlock>),
    Fixed(Arc<FixedBlock>),
    Bytes(Arc<BytesBlock>),
    Dictionary(Arc<Dictionary>),
    Fsst(Arc<FsstBlock>),
    Symbols(Arc<SymbolTable>),
}

struct Entry {
    block: Block,
    bytes: usize,
    /// Hits since it was queued, up to 3.
    touched: AtomicU8,
}

enum Slot {
    Loading(Arc<Flight>),
    Ready(Entry),
}

/// One load that others wait for.
#[derive(Default)]
struct Flight {
    landed: Mutex<bool>,
    signal: Condvar,
}

#[derive(Default)]
struct Queues {
    small: VecDeque<BlockKey>,
    small_bytes: usize,
    main: VecDeque<BlockKey>,
    /// Keys lately evicted from `small`.
    ghosts: VecDeque<BlockKey>,
    ghost_set: HashSet<BlockKey>,
}

const SHARDS: usize = 16;
/// While the pool holds more than it should for now.
const EVICTIONS_AT_ONCE: usize = 64;

pub struct BufferPool {
    budget: Arc<MemoryBudget>,
    memory: Arc<BlockMemory>,
    capacity: usize,
    /// Bytes of entries and of loads under way; grows only under the queues' lock.
    resident: AtomicUsize,
    shards: [Mutex<HashMap<BlockKey, Slot>>; SHARDS],
    queues: Mutex<Queues>,
    next_file: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
}

impl BufferPool {
    /// A pool of at most `capacity` bytes, which it takes from `budget` as it fills.
    pub fn new(budget: Arc<MemoryBudget>, capacity: usize) -> Arc<BufferPool> {
        Arc::new(BufferPool {
            budget,
            memory: BlockMemory::new(capacity),
            capacity,
            resident: AtomicUsize::new(0),
            shards: std::array::from_fn(|_| Mutex::default()),
            queues: Mutex::default(),
            next_file: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
        })
    }

    pub fn statistics(&self) -> PoolStatistics {
        let ready = |shard: &Mutex<HashMap<BlockKey, Slot>>| {
            shard.lock().values().filter(|slot| matches!(slot, Slot::Ready(_))).count() as u64
        };
        PoolStatistics {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            evictions: self.evictions.load(Ordering::Relaxed),
            blocks: self.shards.iter().map(ready).sum(),
            bytes: self.resident.load(Ordering::Relaxed) as u64,
            capacity: self.capacity as u64,
        }
    }

    /// Evicts blocks until at least `bytes` are given up or nothing is left; returns the bytes given
    /// up. Memory of a block that a reader holds comes back only when the reader is done.
    pub fn evict(&self, bytes: usize) -> usize {
        let mut queues = self.queues.lock();
        let mut freed = 0;
        while freed < bytes {
            match self.evict_one(&mut queues) {
                Some(more) => freed += more,
                None => break,
            }
        }
        freed
    }

    /// Where the bytes of blocks are to lie.
    pub(crate) fn memory(&self) -> &Arc<BlockMemory> {
        &self.memory
    }

    /// A number for a file that is about to be read through this pool.
    pub(crate) fn register_file(&self) -> u64 {
        self.next_file.fetch_add(1, Ordering::Relaxed)
    }

    /// Drops what the pool keeps of a file that nobody reads any more.
    pub(crate) fn forget_file(&self, file: u64) {
        let mut queues = self.queues.lock();
        let mut freed = 0;
        let mut small = 0;
        let queues = &mut *queues;
        for (queue, is_small) in [(&mut queues.small, true), (&mut queues.main, false)] {
            queue.retain(|key| {
                if key.file != file {
                    return true;
                }
                if let Some(Slot::Ready(entry)) = self.shard(key).lock().remove(key) {
                    freed += entry.bytes;
                    small += if is_small { entry.bytes } else { 0 };
                }
                false
            });
        }
        queues.small_bytes -= small;
        queues.ghosts.retain(|key| key.file != file);
        queues.ghost_set.retain(|key| key.file != file);
        self.resident.fetch_sub(freed, Ordering::Relaxed);
    }

    fn shard(&self, key: &BlockKey) -> &Mutex<HashMap<BlockKey, Slot>> {
        let mixed = (key.file.wrapping_mul(31) ^ u64::from(key.column).wrapping_mul(0x9e37_79b9))
            .wrapping_add(u64::from(key.block));
        &self.shards[(mixed ^ mixed >> 8) as usize % SHARDS]
    }

    /// Whether the pool has a block or is loading it.
    pub(crate) fn holds(&self, key: &BlockKey) -> bool {
        self.shard(key).lock().contains_key(key)
    }

    /// The block named `key`, from the pool or by `load`, which is handed a reservation of `bytes`
    /// to keep with what it loads.
    pub(crate) fn get(
        &self,
        key: BlockKey,
        bytes: usize,
        load: impl FnOnce(Reservation) -> Result<Block, StoreError>,
    ) -> Result<Block, StoreError> {
        let shard = self.shard(&key);
        let flight = loop {
            let mut slots = shard.lock();
            let other = match slots.get(&key) {
                Some(Slot::Ready(entry)) => {
                    let touched = entry.touched.load(Ordering::Relaxed);
                    if touched < 3 {
                        entry.touched.store(touched + 1, Ordering::Relaxed);
                    }
                    let block = entry.block.clone();
                    drop(slots);
                    self.hits.fetch_add(1, Ordering::Relaxed);
                    return Ok(block);
                }
                _ if !may_wait() => return Err(StoreError::WouldWait),
                Some(Slot::Loading(flight)) => flight.clone(),
                None => {
                    let flight = Arc::new(Flight::default());
                    slots.insert(key, Slot::Loading(flight.clone()));
                    break flight;
                }
            };
            drop(slots);
            let mut landed = other.landed.lock();
            while !*landed {
                other.signal.wait(&mut landed);
            }
        };
        self.misses.fetch_add(1, Ordering::Relaxed);
        let mut landing = Landing { pool: self, key, flight, taken: 0 };
        if self.make_room(bytes) {
            landing.taken = bytes;
        }
        let block = load(self.reserve(bytes)?)?;
        if landing.taken > 0 || bytes == 0 {
            landing.keep(block.clone());
        }
        Ok(block)
    }

    /// The bytes that the pool may keep now.
    fn room(&self) -> usize {
        self.capacity - self.budget.excess().min(self.capacity / 2)
    }

    /// Adds `bytes` to what is resident, evicting others if need be. False: no room can be made.
    fn make_room(&self, bytes: usize) -> bool {
        let room = self.room();
        let mut queues = self.queues.lock();
        let mut evictions = 0;
        loop {
            let resident = self.resident.load(Ordering::Relaxed) + bytes;
            // Much that is to go goes little by little: others wait for the queues.
            if resident <= room || evictions > EVICTIONS_AT_ONCE && resident <= self.capacity {
                break;
            }
            evictions += 1;
            if bytes > self.capacity || self.evict_one(&mut queues).is_none() {
                return false;
            }
        }
        self.resident.fetch_add(bytes, Ordering::Relaxed);
        true
    }

    fn reserve(&self, bytes: usize) -> Result<Reservation, StoreError> {
        loop {
            match self.budget.try_reserve(bytes) {
                Ok(reservation) => return Ok(reservation),
                Err(over) => {
                    if self.evict_one(&mut self.queues.lock()).is_none() {
                        return Err(over.into());
                    }
                }
            }
        }
    }

    /// Lets go of one block; returns its bytes, or None if there is none.
    fn evict_one(&self, queues: &mut Queues) -> Option<usize> {
        loop {
            let from_small = queues.small_bytes > self.capacity / 10 || queues.main.is_empty();
            let key = if from_small { queues.small.pop_front() } else { queues.main.pop_front() };
            let key = key.or_else(|| queues.main.pop_front())?;
            let mut slots = self.shard(&key).lock();
            let Some(Slot::Ready(entry)) = slots.get(&key) else { continue };
            let (bytes, touched) = (entry.bytes, entry.touched.load(Ordering::Relaxed));
            if from_small {
                queues.small_bytes -= bytes;
            }
            if touched > 0 {
                entry.touched.store(if from_small { 0 } else { touched - 1 }, Ordering::Relaxed);
                queues.main.push_back(key);
                continue;
            }
            let evicted = slots.remove(&key);
            let left = queues.small.len() + queues.main.len();
            drop(slots);
            // Freed outside of the shard's lock.
            drop(evicted);
            if from_small {
                queues.ghosts.push_back(key);
                queues.ghost_set.insert(key);
                while queues.ghosts.len() > left.max(64) {
                    if let Some(oldest) = queues.ghosts.pop_front() {
                        queues.ghost_set.remove(&oldest);
                    }
                }
            }
            self.resident.fetch_sub(bytes, Ordering::Relaxed);
            self.evictions.fetch_add(1, Ordering::Relaxed);
            return Some(bytes);
        }
    }
}

/// Ends a load whatever way it goes: waiters are woken, and unless the block was kept, the slot and
/// the room taken are given back.
struct Landing<'a> {
    pool: &'a BufferPool,
    key: BlockKey,
    flight: Arc<Flight>,
    taken: usize,
}

impl Landing<'_> {
    fn keep(&mut self, block: Block) {
        let pool = self.pool;
        let mut queues = pool.queues.lock();
        let queues = &mut *queues;
        let entry = Entry { block, bytes: self.taken, touched: AtomicU8::new(0) };
        pool.shard(&self.key).lock().insert(self.key, Slot::Ready(entry));
        if queues.ghost_set.remove(&self.key) {
            queues.ghosts.retain(|key| *key != self.key);
            queues.main.push_back(self.key);
        } else {
            queues.small.push_back(self.key);
            queues.small_bytes += self.taken;
        }
        self.taken = 0;
    }
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.pool.resident.fetch_sub(self.taken, Ordering::Relaxed);
        {
            let mut slots = self.pool.shard(&self.key).lock();
            if matches!(slots.get(&self.key), Some(Slot::Loading(_))) {
                slots.remove(&self.key);
            }
        }
        *self.flight.landed.lock() = true;
        self.flight.signal.notify_all();
    }
}
