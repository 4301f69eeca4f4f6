//! The memory of a query: DataFusion's pool over the process's [`MemoryBudget`], with a limit for
//! each query, so that one query spills or fails alone.

use datafusion::common::{Result, resources_datafusion_err};
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool, MemoryReservation};
use env::MemoryBudget;
use env::memory::Reservation;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What all queries of a process hold together.
#[derive(Debug, Clone, Default)]
pub struct AllQueries(Arc<Together>);

#[derive(Debug, Default)]
struct Together {
    held: AtomicUsize,
    spilled_by_exchanges: AtomicU64,
}

impl AllQueries {
    /// Memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    /// The bytes of batches that exchanges have written to files so far.
    pub fn spilled_by_exchanges(&self) -> u64 {
        self.0.spilled_by_exchanges.load(Ordering::Relaxed)
    }
}

/// The pool of one query.
#[derive(Debug)]
pub struct QueryPool {
    limit: usize,
    account: Mutex<Account>,
}

#[derive(Debug)]
struct Account {
    reservation: Reservation,
    /// What operators took although the budget had no room: DataFusion's infallible `grow`, used
    /// where memory is already allocated. It counts against the query's limit and is paid back first.
    over: usize,
    peak: usize,
    /// What this query has added to it is `counted`.
    all: AllQueries,
    counted: usize,
}

impl QueryPool {
    /// `limit`: the most that this query may hold, in bytes.
    pub fn new(budget: &Arc<MemoryBudget>, limit: usize, all: AllQueries) -> Arc<QueryPool> {
        let account = Account { reservation: budget.reservation(), over: 0, peak: 0, all, counted: 0 };
        Arc::new(QueryPool { limit, account: Mutex::new(account) })
    }

    /// Notes that an exchange of the query has written a batch of so many bytes to a file.
    pub(crate) fn note_spilled(&self, bytes: usize) {
        self.account.lock().all.0.spilled_by_exchanges.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The most that the query has held so far, in bytes.
    pub fn peak(&self) -> usize {
        self.account.lock().peak
    }
}

impl Account {
    fn total(&self) -> usize {
        self.reservation.bytes() + self.over
    }

    /// After every change.
    fn count(&mut self) {
        let total = self.total();
        self.peak = self.peak.max(total);
        self.all.0.held.fetch_add(total.wrapping_sub(self.counted), Ordering::Relaxed);
        self.counted = total;
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.all.0.held.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

impl fmt::Display for QueryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "query(used: {}, limit: {})", self.reserved(), self.limit)
    }
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &str {
        "query"
    }

    fn grow(&self, _: &MemoryReservation, additional: usize) {
        let mut account = self.account.lock();
        if account.reservation.try_grow(additional).is_err() {
            account.over += additional;
        }
        account.count();
    }

    fn shrink(&self, _: &MemoryReservation, shrink: usize) {
        let mut account = self.account.lock();
        let from_over = shrink.min(account.over);
        account.over -= from_over;
        account.reservation.shrink(shrink - from_over);
        account.count();
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut account = self.account.lock();
        if account.total().saturating_add(additional) > self.limit {
            return Err(resources_datafusion_err!(
                "this query's memory limit is reached: {} asked for {} KiB more with {} of {} MiB in use; raise the limit of a query or work on fewer rows at a time",
                reservation.consumer().name(),
                additional.div_ceil(1 << 10),
                account.total() >> 20,
                self.limit >> 20
            ));
        }
        account.reservation.try_grow(additional).map_err(|over| resources_datafusion_err!("{over}"))?;
        account.count();
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.account.lock().total()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::execution::memory_pool::MemoryConsumer;

    #[test]
    fn a_query_is_held_to_its_limit_and_to_the_process_budget() {
        let budget = MemoryBudget::new(1000);
        let all = AllQueries::default();
        let query = QueryPool::new(&budget, 600, all.clone());
        let pool: Arc<dyn MemoryPool> = query.clone();
        let reservation = MemoryConsumer::new("sort").register(&pool);
        reservation.try_grow(500).unwrap();
        assert_eq!(budget.used(), 500);
        let refused = reservation.try_grow(200).unwrap_err().to_string();
        assert!(refused.contains("sort asked for 1 KiB more"), "{refused}");
        let other = budget.try_reserve(450).unwrap();
        assert!(reservation.try_grow(60).unwrap_err().to_string().contains("memory budget exhausted"));
        reservation.grow(80);
        assert_eq!((pool.reserved(), budget.used(), all.bytes()), (580, 950, 580));
        let second: Arc<dyn MemoryPool> = QueryPool::new(&budget, 600, all.clone());
        second.grow(&reservation, 7);
        assert_eq!(all.bytes(), 587);
        drop(second);
        assert_eq!(all.bytes(), 580, "a query that goes holds nothing");
        reservation.shrink(180);
        assert_eq!((pool.reserved(), budget.used(), all.bytes()), (400, 850, 400));
        drop((reservation, other));
        assert_eq!((pool.reserved(), budget.used(), query.peak()), (0, 0, 580));
    }
}
