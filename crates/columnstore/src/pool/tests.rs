use super::*;
use crate::encoding::fixed::FixedKind;
use arrow::buffer::Buffer;
use arrow::datatypes::ToByteSlice;
use std::sync::atomic::AtomicBool;

fn key(n: u32) -> BlockKey {
    BlockKey { file: u64::from(n % 3), column: n % 5, block: n }
}

/// A block whose bytes own their reservation, as real ones do.
fn block(reservation: Reservation, n: u32) -> Block {
    struct Owned([f64; 1], #[allow(dead_code)] Reservation);
    impl AsRef<[u8]> for Owned {
        fn as_ref(&self) -> &[u8] {
            self.0.to_byte_slice()
        }
    }
    let bytes = Buffer::from(bytes::Bytes::from_owner(Owned([f64::from(n)], reservation)));
    Block::Fixed(Arc::new(FixedBlock::new(FixedKind::F64, 1, false, &bytes).unwrap()))
}

fn number(block: &Block) -> u32 {
    let mut values: Vec<f64> = Vec::new();
    match block {
        Block::Fixed(block) => block.extend(0, 0, 1, &mut values),
        _ => unreachable!(),
    }
    values[0] as u32
}

#[test]
fn hits_misses_and_bounds() {
    let budget = MemoryBudget::new(10_000);
    let pool = BufferPool::new(budget.clone(), 1_000);
    for n in 0..50 {
        let got = pool.get(key(n), 100, |r| Ok(block(r, n))).unwrap();
        assert_eq!(number(&got), n);
        assert!(pool.statistics().bytes <= 1_000);
        assert_eq!(budget.used() as u64, pool.statistics().bytes);
    }
    let statistics = pool.statistics();
    assert_eq!((statistics.hits, statistics.misses, statistics.evictions), (0, 50, 40));
    assert_eq!((statistics.blocks, statistics.bytes), (10, 1_000));
    pool.get(key(49), 100, |_| panic!("is in the pool")).unwrap();
    assert_eq!(pool.statistics().hits, 1);
    assert_eq!(pool.evict(usize::MAX), 1_000);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_scan_does_not_push_out_what_is_used_again() {
    let pool = BufferPool::new(MemoryBudget::new(100_000), 1_000);
    let mut loads = 0;
    for round in 0..200 {
        for hot in 0..5 {
            pool.get(key(hot), 100, |r| {
                loads += 1;
                Ok(block(r, hot))
            })
            .unwrap();
        }
        let cold = 1_000 + round;
        pool.get(key(cold), 100, |r| Ok(block(r, cold))).unwrap();
    }
    assert_eq!(loads, 5);
}

#[test]
fn a_held_block_outlives_its_eviction_and_keeps_its_reservation() {
    let budget = MemoryBudget::new(1_000);
    let pool = BufferPool::new(budget.clone(), 1_000);
    let held = pool.get(key(1), 600, |r| Ok(block(r, 1))).unwrap();
    pool.evict(600);
    assert_eq!((pool.statistics().bytes, budget.used()), (0, 600));
    // The budget has 400 left, whatever the pool's capacity.
    assert!(matches!(pool.get(key(2), 500, |r| Ok(block(r, 2))), Err(StoreError::OverBudget(_))));
    assert_eq!(number(&held), 1);
    drop(held);
    assert_eq!(budget.used(), 0);
    pool.get(key(2), 500, |r| Ok(block(r, 2))).unwrap();
}

#[test]
fn failed_and_oversized_loads_leave_nothing() {
    let budget = MemoryBudget::new(10_000);
    let pool = BufferPool::new(budget.clone(), 1_000);
    let failed = pool.get(key(1), 100, |_| Err(StoreError::internal("disk")));
    assert!(failed.is_err());
    assert_eq!((pool.statistics().bytes, budget.used()), (0, 0));
    // Larger than the pool: read, not kept.
    pool.get(key(2), 5_000, |r| Ok(block(r, 2))).unwrap();
    assert_eq!((pool.statistics().blocks, budget.used()), (0, 0));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = pool.get(key(3), 100, |_| panic!("in a loader"));
    }));
    assert!(panicked.is_err());
    assert_eq!(number(&pool.get(key(3), 100, |r| Ok(block(r, 3))).unwrap()), 3);
}

#[test]
fn half_of_the_pool_makes_room_while_the_process_holds_more_than_its_budget() {
    let budget = MemoryBudget::new(10_000);
    let pool = BufferPool::new(budget.clone(), 2_000);
    let load = |n| pool.get(key(n), 100, |r| Ok(block(r, n))).unwrap();
    (0..30).for_each(|n| drop(load(n)));
    assert_eq!(pool.statistics().bytes, 2_000);
    budget.set_excess(500);
    load(30);
    assert_eq!(pool.statistics().bytes, 1_500);
    budget.set_excess(5_000);
    load(31);
    assert_eq!(pool.statistics().bytes, 1_000);
    budget.set_excess(0);
    (32..50).for_each(|n| drop(load(n)));
    assert_eq!(pool.statistics().bytes, 2_000);
}

#[test]
fn forgetting_a_file_frees_its_blocks() {
    let budget = MemoryBudget::new(10_000);
    let pool = BufferPool::new(budget.clone(), 10_000);
    for n in 0..30 {
        pool.get(key(n), 100, |r| Ok(block(r, n))).unwrap();
    }
    pool.forget_file(1);
    assert_eq!((pool.statistics().blocks, pool.statistics().bytes, budget.used()), (20, 2_000, 2_000));
    pool.forget_file(0);
    pool.forget_file(2);
    assert_eq!((pool.statistics().bytes, budget.used()), (0, 0));
}

#[test]
fn many_threads_stay_in_bounds_and_load_once_at_a_time() {
    let budget = MemoryBudget::new(2_000);
    let pool = BufferPool::new(budget.clone(), 1_500);
    let loading: Vec<AtomicBool> = (0..64).map(|_| AtomicBool::new(false)).collect();
    std::thread::scope(|scope| {
        for thread in 0..8u32 {
            let (pool, loading, budget) = (&pool, &loading, &budget);
            scope.spawn(move || {
                let mut state = thread.wrapping_mul(0x9e37_79b9) | 1;
                for step in 0..5_000 {
                    state ^= state << 13;
                    state ^= state >> 17;
                    state ^= state << 5;
                    let n = (state % 64).min(state >> 8 & 63);
                    let bytes = 20 + (n as usize * 7) % 90;
                    let got = pool.get(key(n), bytes, |r| {
                        assert!(!loading[n as usize].swap(true, Ordering::SeqCst), "loaded twice at once");
                        std::thread::yield_now();
                        assert_eq!(r.bytes(), bytes);
                        assert!(loading[n as usize].swap(false, Ordering::SeqCst));
                        Ok(block(r, n))
                    });
                    assert_eq!(number(&got.unwrap()), n);
                    assert!(pool.statistics().bytes <= 1_500 && budget.used() <= 2_000);
                    if step % 1_000 == 999 {
                        pool.evict(300);
                    }
                }
            });
        }
    });
    let statistics = pool.statistics();
    assert_eq!(statistics.hits + statistics.misses, 40_000);
    assert_eq!(budget.used() as u64, statistics.bytes);
    pool.evict(usize::MAX);
    assert_eq!(budget.used(), 0);
}
