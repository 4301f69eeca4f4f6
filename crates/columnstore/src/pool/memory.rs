//! Memory of loaded blocks.
//!
//! Blocks live long, have all sizes, are loaded by one thread and let go by another. In the process's allocator, which
//! keeps pages of equal sizes for each thread, they took half as much again as they are long, and the pool's
//! bytes did not say what the process held. So they get whole pages of a range of addresses of their own:
//!
//! - The range is reserved once, several times as large as the pool; only pages that are written to take memory.
//! - A block takes a run of pages that no other block has. Runs are kept by their number of pages: one that is
//!   let go serves the next block of as many pages, and is never joined with others; addresses cost nothing.
//! - Pages of a run that is let go are given back to the system, but for a small part of the pool's capacity:
//!   these are taken again without a visit to the kernel.
//!
//! Small blocks, very large ones, and all where the system has no such range are the allocator's.

use arrow::buffer::MutableBuffer;
use parking_lot::Mutex;
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

const PAGE: usize = 4 << 10;
/// A shorter block would leave too much of its last page unused.
const SHORTEST: usize = 32 << 10;
const LONGEST: usize = 4 << 20;
/// Addresses for each byte of the pool's capacity.
const ADDRESSES: usize = 8;
/// The part of the pool's capacity that may be in pages of no block.
const SPARE_PART: usize = 32;

/// Gives blocks their memory.
#[derive(Debug)]
pub(crate) struct BlockMemory {
    capacity: usize,
    /// Reserved with the first block. None: the system refused.
    range: OnceLock<Option<Range>>,
    runs: Mutex<Runs>,
}

/// Of the range's pages, by number.
#[derive(Debug, Default)]
struct Runs {
    /// Pages from here on were never given to a block.
    untouched: usize,
    /// First pages of runs that are free, by their number of pages: with memory, and without.
    backed: Vec<Vec<usize>>,
    bare: Vec<Vec<usize>>,
    backed_pages: usize,
}

/// The memory of a block: initialised bytes of whatever value.
#[derive(Debug)]
pub(crate) enum BlockBytes {
    Allocated(MutableBuffer),
    Run(Run),
}

/// Pages that belong to this value alone until it is dropped.
#[derive(Debug)]
pub(crate) struct Run {
    memory: Arc<BlockMemory>,
    first: usize,
    start: NonNull<u8>,
    length: usize,
}

impl BlockMemory {
    /// For a pool of this capacity in bytes.
    pub(super) fn new(capacity: usize) -> Arc<BlockMemory> {
        Arc::new(BlockMemory { capacity, range: OnceLock::new(), runs: Mutex::default() })
    }

    pub(crate) fn allocate(self: &Arc<Self>, length: usize) -> BlockBytes {
        match self.run(length) {
            Some(run) => BlockBytes::Run(run),
            None => BlockBytes::Allocated(MutableBuffer::from_len_zeroed(length)),
        }
    }

    fn run(self: &Arc<Self>, length: usize) -> Option<Run> {
        if !(SHORTEST..=LONGEST).contains(&length) {
            return None;
        }
        let range =
            self.range.get_or_init(|| Range::reserve(self.capacity.checked_mul(ADDRESSES)?)).as_ref()?;
        let first = self.runs.lock().take(length.div_ceil(PAGE), range.pages())?;
        Some(Run { memory: self.clone(), first, start: range.page(first), length })
    }
}

impl Runs {
    /// The first of so many pages; None if there are no more addresses.
    fn take(&mut self, pages: usize, limit: usize) -> Option<usize> {
        if let Some(first) = self.backed.get_mut(pages).and_then(Vec::pop) {
            self.backed_pages -= pages;
            return Some(first);
        }
        if let Some(first) = self.bare.get_mut(pages).and_then(Vec::pop) {
            return Some(first);
        }
        let first = self.untouched;
        let untouched = first.checked_add(pages).filter(|end| *end <= limit)?;
        self.untouched = untouched;
        Some(first)
    }

    /// Puts a free run with the others of its length.
    fn put(&mut self, first: usize, pages: usize, backed: bool) {
        let runs = if backed { &mut self.backed } else { &mut self.bare };
        if runs.len() <= pages {
            runs.resize_with(pages + 1, Vec::new);
        }
        runs[pages].push(first);
        self.backed_pages += if backed { pages } else { 0 };
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let pages = self.length.div_ceil(PAGE);
        let runs = &self.memory.runs;
        let spare = self.memory.capacity / SPARE_PART / PAGE;
        {
            let mut runs = runs.lock();
            if runs.backed_pages + pages <= spare {
                runs.put(self.first, pages, true);
                return;
            }
        }
        // The pages are this run's until it is put with the others.
        let backed = !give_back(self.start, pages * PAGE);
        runs.lock().put(self.first, pages, backed);
    }
}

impl AsRef<[u8]> for BlockBytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            BlockBytes::Allocated(bytes) => bytes,
            // SAFETY: the pages are mapped as long as `memory` lives, and nobody else has them.
            BlockBytes::Run(run) => unsafe { std::slice::from_raw_parts(run.start.as_ptr(), run.length) },
        }
    }
}

impl AsMut<[u8]> for BlockBytes {
    fn as_mut(&mut self) -> &mut [u8] {
        match self {
            BlockBytes::Allocated(bytes) => bytes,
            // SAFETY: as above.
            BlockBytes::Run(run) => unsafe { std::slice::from_raw_parts_mut(run.start.as_ptr(), run.length) },
        }
    }
}

// SAFETY: the pages are the run's alone, and reading them through a shared reference changes nothing.
unsafe impl Send for Run {}
// SAFETY: as above.
unsafe impl Sync for Run {}

/// Addresses of pages that read as zeros and take memory once they are written to.
#[derive(Debug)]
struct Range {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: it is only addresses; who may use which is `Runs`' to say.
unsafe impl Send for Range {}
// SAFETY: as above.
unsafe impl Sync for Range {}

impl Range {
    fn reserve(length: usize) -> Option<Range> {
        let length = length.checked_next_multiple_of(PAGE).filter(|length| *length > 0)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, at addresses that the system chooses.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        if start == libc::MAP_FAILED {
            tracing::warn!("no addresses for {length} bytes of blocks: they are allocated one by one");
            return None;
        }
        // Huge pages would take memory beside the blocks. It may be refused: then there are none.
        // SAFETY: the range was just mapped.
        unsafe { libc::madvise(start, length, libc::MADV_NOHUGEPAGE) };
        Some(Range { start: NonNull::new(start.cast())?, length })
    }

    fn pages(&self) -> usize {
        self.length / PAGE
    }

    /// `number` is below [`Range::pages`].
    fn page(&self, number: usize) -> NonNull<u8> {
        // SAFETY: within the mapping.
        unsafe { self.start.add(number * PAGE) }
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        // SAFETY: mapped by `reserve`; each run keeps the memory and so this alive.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// Frees the memory of pages; they read as zeros afterwards. False: they kept it.
fn give_back(start: NonNull<u8>, length: usize) -> bool {
    // SAFETY: the caller owns these pages of a private anonymous mapping.
    unsafe { libc::madvise(start.as_ptr().cast(), length, libc::MADV_DONTNEED) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    #[test]
    fn blocks_keep_their_bytes_while_others_come_and_go() {
        let memory = BlockMemory::new(16 << 20);
        let mut random = StdRng::seed_from_u64(7);
        let mut held: Vec<(u8, BlockBytes)> = Vec::new();
        for turn in 0..3_000u32 {
            if held.len() > 40 {
                let (mark, block) = held.swap_remove(random.random_range(0..held.len()));
                assert!(block.as_ref().iter().all(|byte| *byte == mark));
            }
            let length = random.random_range(1..200_000);
            let mut block = memory.allocate(length);
            assert_eq!(block.as_ref().len(), length);
            assert_eq!(matches!(block, BlockBytes::Run(_)), length >= SHORTEST);
            block.as_mut().fill(turn as u8);
            held.push((turn as u8, block));
        }
        let runs = held.iter().filter_map(|(_, block)| match block {
            BlockBytes::Run(run) => Some((run.first, run.first + run.length.div_ceil(PAGE))),
            BlockBytes::Allocated(_) => None,
        });
        let mut runs: Vec<_> = runs.collect();
        runs.sort_unstable();
        assert!(runs.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{runs:?}");
        assert!(memory.runs.lock().backed_pages <= (16 << 20) / SPARE_PART / PAGE);
    }

    #[test]
    fn a_run_serves_the_next_block_of_as_many_pages() {
        let memory = BlockMemory::new(64 << 20);
        let first = |block: &BlockBytes| match block {
            BlockBytes::Run(run) => run.first,
            BlockBytes::Allocated(_) => panic!("not in the range"),
        };
        let one = memory.allocate(SHORTEST);
        let place = first(&one);
        let other = memory.allocate(SHORTEST + 1);
        assert_ne!(first(&other), place);
        drop(one);
        assert_ne!(first(&memory.allocate(SHORTEST * 2)), place, "of another length");
        assert_eq!(first(&memory.allocate(SHORTEST - PAGE + 1 + PAGE - 1)), place);
    }

    #[test]
    fn pages_that_are_given_back_take_no_memory() {
        // None may be kept.
        let memory = BlockMemory::new(PAGE * SPARE_PART * 4);
        let mut block = memory.allocate(SHORTEST);
        block.as_mut().fill(1);
        drop(block);
        let block = memory.allocate(SHORTEST);
        assert!(block.as_ref().iter().all(|byte| *byte == 0), "the system gives zeros");
        assert_eq!(memory.runs.lock().untouched, SHORTEST / PAGE);
    }

    #[test]
    fn what_the_range_does_not_hold_is_allocated() {
        let memory = BlockMemory::new(SHORTEST);
        let blocks: Vec<_> = (0..ADDRESSES + 2).map(|_| memory.allocate(SHORTEST)).collect();
        let runs = blocks.iter().filter(|block| matches!(block, BlockBytes::Run(_))).count();
        assert_eq!(runs, ADDRESSES);
        assert!(matches!(BlockMemory::new(0).allocate(SHORTEST), BlockBytes::Allocated(_)));
        assert!(matches!(BlockMemory::new(1 << 30).allocate(LONGEST + 1), BlockBytes::Allocated(_)));
    }
}
