//! The memory of a query: DataFusion's pool over the process's [`MemoryBudget`], with a limit for
//! each query, so that one query spills or fails alone.
//!
//! Operators share a query's limit. One that can write to files may take more than its fair share only
//! while less than half of the limit is in use, so that those that come later find theirs, and those that
//! cannot spill find what they need. The share is an even part of that half, but never less than what an
//! operator with files works well with. The little without which an operator could not get on at all
//! ([`LEAST`]) it is given in any case, and it is counted: so no query fails for want of it, and what may be
//! held beyond a limit is bounded by the number of operators.

use datafusion::common::{Result, resources_datafusion_err};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, Gauge, MetricBuilder};
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

/// The least share of a limit that an operator is given which can write to files.
const LEAST_PART: usize = 8;

/// What a consumer is given in any case, in bytes.
pub(crate) const LEAST: usize = 256 << 10;

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
    /// How many consumers get on with less than they ask for.
    elastic: usize,
    /// What this query has added to it is `counted`.
    all: AllQueries,
    counted: usize,
}

impl QueryPool {
    /// `limit`: the most that this query may hold, in bytes.
    pub fn new(budget: &Arc<MemoryBudget>, limit: usize, all: AllQueries) -> Arc<QueryPool> {
        let account =
            Account { reservation: budget.reservation(), over: 0, peak: 0, elastic: 0, all, counted: 0 };
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

    fn grow(&mut self, additional: usize) {
        if self.reservation.try_grow(additional).is_err() {
            self.over += additional;
        }
        self.count();
    }

    /// Whether so much more is beyond what may be taken while others want memory too.
    fn is_unfair(&self, reservation: &MemoryReservation, additional: usize, limit: usize) -> bool {
        let held = reservation.size();
        let half = limit / 2;
        let share = (half / self.elastic.max(1)).max(LEAST).max(limit / LEAST_PART);
        // What holds nothing has nothing to write to a file, and could not get on at all.
        reservation.consumer().can_spill()
            && held > 0
            && held + additional > share
            && self.total() + additional > half
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

/// What an operator's work on one partition holds of its query's memory, and the most that it held.
pub(crate) struct TaskMemory {
    pub(crate) held: MemoryReservation,
    peak: Gauge,
}

impl TaskMemory {
    /// Of an operator that cannot write to files.
    pub(crate) fn new(
        operator: &str,
        partition: usize,
        context: &TaskContext,
        metrics: &ExecutionPlanMetricsSet,
    ) -> TaskMemory {
        TaskMemory {
            held: MemoryConsumer::new(format!("{operator}[{partition}]")).register(context.memory_pool()),
            peak: MetricBuilder::new(metrics).gauge("peak_mem_used", partition),
        }
    }

    /// Takes so many bytes more, or fails and takes nothing.
    pub(crate) fn try_grow(&self, bytes: usize) -> Result<()> {
        self.held.try_grow(bytes)?;
        self.peak.set_max(self.held.size());
        Ok(())
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

    fn register(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.account.lock().elastic += 1;
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.account.lock().elastic -= 1;
        }
    }

    fn grow(&self, _: &MemoryReservation, additional: usize) {
        self.account.lock().grow(additional);
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
        let held = reservation.size().saturating_add(additional);
        if held <= LEAST {
            account.grow(additional);
            return Ok(());
        }
        let too_much = account.total().saturating_add(additional) > self.limit;
        if too_much || account.is_unfair(reservation, additional, self.limit) {
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

    #[test]
    fn a_query_is_held_to_its_limit_and_to_the_process_budget() {
        let budget = MemoryBudget::new(1000 * LEAST);
        let all = AllQueries::default();
        let query = QueryPool::new(&budget, 600 * LEAST, all.clone());
        let pool: Arc<dyn MemoryPool> = query.clone();
        let reservation = MemoryConsumer::new("sort").register(&pool);
        reservation.try_grow(500 * LEAST).unwrap();
        assert_eq!(budget.used(), 500 * LEAST);
        let refused = reservation.try_grow(200 * LEAST).unwrap_err().to_string();
        assert!(refused.contains("sort asked for 51200 KiB more"), "{refused}");
        let other = budget.try_reserve(450 * LEAST).unwrap();
        assert!(
            reservation.try_grow(60 * LEAST).unwrap_err().to_string().contains("memory budget exhausted")
        );
        reservation.grow(80 * LEAST);
        let all_of = |n: usize| n * LEAST;
        assert_eq!((pool.reserved(), budget.used(), all.bytes()), (all_of(580), all_of(950), all_of(580)));
        let second: Arc<dyn MemoryPool> = QueryPool::new(&budget, 600 * LEAST, all.clone());
        second.grow(&reservation, 7 * LEAST);
        assert_eq!(all.bytes(), 587 * LEAST);
        drop(second);
        assert_eq!(all.bytes(), 580 * LEAST, "a query that goes holds nothing");
        reservation.shrink(180 * LEAST);
        assert_eq!((pool.reserved(), budget.used(), all.bytes()), (all_of(400), all_of(850), all_of(400)));
        drop((reservation, other));
        assert_eq!((pool.reserved(), budget.used(), query.peak()), (0, 0, 580 * LEAST));
    }

    #[test]
    fn operators_that_spill_leave_a_share_to_those_that_come_later() {
        const MIB: usize = 1 << 20;
        let budget = MemoryBudget::new(1 << 30);
        let pool: Arc<dyn MemoryPool> = QueryPool::new(&budget, 16 * MIB, AllQueries::default());
        let spilling = |name: &str| MemoryConsumer::new(name).with_can_spill(true).register(&pool);
        let (first, second) = (spilling("first"), spilling("second"));
        first.try_grow(8 * MIB).unwrap();
        assert!(first.try_grow(1).is_err(), "half of the limit is in use");
        second.try_grow(4 * MIB).unwrap();
        assert!(second.try_grow(1).is_err(), "its share is a half of the half");
        let needed = MemoryConsumer::new("cannot spill").register(&pool);
        needed.try_grow(4 * MIB).unwrap();
        assert!(needed.try_grow(1).is_err(), "the limit holds for all");
        drop((first, needed));
        second.try_grow(4 * MIB).unwrap();
        assert!(second.try_grow(1).is_err(), "half of the limit is for others, should they come");
        let many: Vec<_> = (0..30).map(|at| spilling(&format!("sort {at}"))).collect();
        many.iter().take(3).for_each(|one| one.try_grow(2 * MIB).unwrap());
        assert!(many[0].try_grow(1).is_err(), "more than the least share");
        many[3].try_grow(MIB).unwrap();
        many[3].try_grow(MIB).unwrap();
        assert!(many[4].try_grow(LEAST + 1).is_err(), "the limit holds for all");
        many[4].try_grow(LEAST).unwrap();
        assert!(many[4].try_grow(1).is_err(), "what all are given is little");
        drop(many);
        drop(second);
        assert_eq!(pool.reserved(), 0);
    }
}
