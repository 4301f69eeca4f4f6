//! One account of memory for a process: buffer pool, tail, queries and caches all reserve from it
//! before they grow.
//!
//! Invariant: the sum of all live [`Reservation`]s is `used`, and `used <= limit` at every moment.
//!
//! A process holds more than what is reserved: what the allocator keeps of what was freed, and what is too small or
//! too short-lived to be counted. When that takes it beyond its limit, whoever watches says so here
//! ([`MemoryBudget::set_excess`]), and caches do without as much.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The budget of a process, in bytes.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: usize,
    used: AtomicUsize,
    excess: AtomicUsize,
}

/// The budget has no room for a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverBudget {
    pub asked: usize,
    pub used: usize,
    pub limit: usize,
}

impl std::fmt::Display for OverBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = |bytes: usize| bytes.div_ceil(1 << 20);
        write!(
            f,
            "memory budget exhausted: {} MiB asked for, {} of {} MiB in use; raise --memory or work on fewer rows at a time",
            mib(self.asked),
            mib(self.used),
            mib(self.limit)
        )
    }
}

impl MemoryBudget {
    pub fn new(limit: usize) -> Arc<MemoryBudget> {
        Arc::new(MemoryBudget { limit, used: AtomicUsize::new(0), excess: AtomicUsize::new(0) })
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The bytes that caches are to do without, since the process holds more than is reserved.
    pub fn excess(&self) -> usize {
        self.excess.load(Ordering::Relaxed)
    }

    pub fn set_excess(&self, bytes: usize) {
        self.excess.store(bytes, Ordering::Relaxed);
    }

    /// A reservation of nothing, to be grown.
    pub fn reservation(self: &Arc<Self>) -> Reservation {
        Reservation { budget: self.clone(), bytes: 0 }
    }

    pub fn try_reserve(self: &Arc<Self>, bytes: usize) -> Result<Reservation, OverBudget> {
        let mut reservation = self.reservation();
        reservation.try_grow(bytes)?;
        Ok(reservation)
    }
}

/// Bytes taken from a budget, given back on drop.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<MemoryBudget>,
    bytes: usize,
}

impl Reservation {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn try_grow(&mut self, bytes: usize) -> Result<(), OverBudget> {
        let limit = self.budget.limit;
        self.budget
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|total| *total <= limit)
            })
            .map_err(|used| OverBudget { asked: bytes, used, limit })?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back `bytes`, at most all.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_is_refused_past_the_limit_and_returned_on_drop() {
        let budget = MemoryBudget::new(100);
        let mut first = budget.try_reserve(60).unwrap();
        assert_eq!(budget.try_reserve(41).unwrap_err(), OverBudget { asked: 41, used: 60, limit: 100 });
        first.shrink(20);
        let second = budget.try_reserve(60).unwrap();
        drop(first);
        assert_eq!(budget.used(), 60);
        drop(second);
        assert_eq!(budget.used(), 0);
    }
}
