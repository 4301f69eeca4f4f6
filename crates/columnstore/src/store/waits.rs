//! The waits for locks of all partitions of the leaf: the deadlock graph over them, and the threads
//! that sleep in them.
//!
//! Locked after partitions' latches, never before one.

use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::{Duration, Instant};
use txn::{Ticket, WaitGraph};
use types::{PartitionId, TxnId};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct WaitId {
    pub(crate) partition: PartitionId,
    pub(crate) ticket: Ticket,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitEnd {
    Granted,
    TimedOut,
    Deadlock,
    /// The statement was killed.
    Interrupted,
    /// What was waited for, or the waiter, is gone.
    Gone,
}

/// Where one thread sleeps. The first end counts.
#[derive(Default)]
pub(crate) struct WaitCell {
    end: Mutex<Option<WaitEnd>>,
    ended: Condvar,
}

impl WaitCell {
    fn set(&self, end: WaitEnd) {
        self.end.lock().get_or_insert(end);
        self.ended.notify_one();
    }

    pub(crate) fn wait(&self, deadline: Instant) -> WaitEnd {
        let mut end = self.end.lock();
        loop {
            if let Some(end) = *end {
                return end;
            }
            if self.ended.wait_until(&mut end, deadline).timed_out() {
                return *end.get_or_insert(WaitEnd::TimedOut);
            }
        }
    }
}

#[derive(Default)]
struct Inner {
    graph: WaitGraph<WaitId>,
    cells: HashMap<WaitId, Sleeper>,
}

/// A thread that waits.
struct Sleeper {
    txn: TxnId,
    blockers: Vec<TxnId>,
    since: Instant,
    cell: Arc<WaitCell>,
}

impl Inner {
    fn set(&mut self, wait: WaitId, txn: TxnId, blockers: Vec<TxnId>) {
        if let Some(sleeper) = self.cells.get_mut(&wait) {
            sleeper.blockers.clone_from(&blockers);
        }
        for victim in self.graph.set(wait, txn, blockers) {
            self.refuse(victim);
        }
    }

    fn refuse(&self, victim: TxnId) {
        for sleeper in self.cells.values().filter(|sleeper| sleeper.txn == victim) {
            sleeper.cell.set(WaitEnd::Deadlock);
        }
    }
}

#[derive(Default)]
pub(crate) struct Waits {
    inner: Mutex<Inner>,
    /// Called when a wait begins while there was none.
    begun: Mutex<Option<Box<dyn Fn() + Send + Sync>>>,
}

impl Waits {
    /// A wait begins. If it closes a cycle, the cell of the cycle's youngest has ended already.
    pub(crate) fn begin(&self, wait: WaitId, txn: TxnId, blockers: Vec<TxnId>) -> Arc<WaitCell> {
        let cell = Arc::new(WaitCell::default());
        let mut inner = self.inner.lock();
        let sleeper = Sleeper { txn, blockers: Vec::new(), since: Instant::now(), cell: cell.clone() };
        let first = inner.cells.is_empty();
        inner.cells.insert(wait, sleeper);
        inner.set(wait, txn, blockers);
        drop(inner);
        if let (true, Some(begun)) = (first, &*self.begun.lock()) {
            begun();
        }
        cell
    }

    pub(crate) fn on_begin(&self, begun: impl Fn() + Send + Sync + 'static) {
        *self.begun.lock() = Some(Box::new(begun));
    }

    /// The lock that is waited for has passed on to someone else.
    pub(crate) fn changed(&self, wait: WaitId, txn: TxnId, blockers: Vec<TxnId>) {
        let mut inner = self.inner.lock();
        if inner.cells.contains_key(&wait) {
            inner.set(wait, txn, blockers);
        }
    }

    pub(crate) fn granted(&self, wait: WaitId) {
        let mut inner = self.inner.lock();
        inner.graph.remove(wait);
        if let Some(sleeper) = inner.cells.get(&wait) {
            sleeper.cell.set(WaitEnd::Granted);
        }
    }

    /// The waiting thread is awake again.
    pub(crate) fn end(&self, wait: WaitId) {
        let mut inner = self.inner.lock();
        inner.graph.remove(wait);
        inner.cells.remove(&wait);
    }

    /// Ends the waits at a partition: of one transaction, or all.
    pub(crate) fn give_up(&self, partition: PartitionId, txn: Option<TxnId>) {
        let inner = self.inner.lock();
        for (wait, sleeper) in &inner.cells {
            if wait.partition == partition && txn.is_none_or(|txn| txn == sleeper.txn) {
                sleeper.cell.set(WaitEnd::Gone);
            }
        }
    }

    /// The waits that last longer than `least`: who waits, and for whom.
    pub(crate) fn longer_than(&self, least: Duration) -> Vec<(TxnId, Vec<TxnId>)> {
        let inner = self.inner.lock();
        let long = inner.cells.values().filter(|sleeper| sleeper.since.elapsed() >= least);
        long.map(|sleeper| (sleeper.txn, sleeper.blockers.clone())).collect()
    }

    /// For how long a wait has been going on.
    pub(crate) fn lasted(&self, wait: WaitId) -> Option<Duration> {
        self.inner.lock().cells.get(&wait).map(|sleeper| sleeper.since.elapsed())
    }

    /// A transaction is the victim of a deadlock over several leaves.
    pub(crate) fn refuse(&self, victim: TxnId) {
        self.inner.lock().refuse(victim);
    }

    /// Ends the waits of one transaction, at all partitions.
    pub(crate) fn interrupt(&self, txn: TxnId) {
        for sleeper in self.inner.lock().cells.values() {
            if sleeper.txn == txn {
                sleeper.cell.set(WaitEnd::Interrupted);
            }
        }
    }

    /// Threads that wait now.
    pub(crate) fn len(&self) -> usize {
        self.inner.lock().cells.len()
    }
}
