//! Calls by threads that may not wait, such as those of an async runtime.
//!
//! [`Store::at_once`] makes a call of the store that gives up where it would have to wait: for a latch that
//! is held, a transaction's lock, room in memory or in the log's queue, a block that is not in memory, or
//! something that is costly to make. It then fails with [`StoreError::WouldWait`], which the caller never
//! sees: it is told that nothing came of the call, and makes it again where it may wait.
//!
//! So a call that is tried must be repeatable up to every place where it may give up. Locks that it took
//! stay with its transaction and rows that it moved to the tail stay there, which is what a repetition
//! finds done; rows are written as the last thing that it does.

use crate::{Store, StoreError};
use std::cell::Cell;

/// Rows that are worth writing at once; more take their time.
const MOST_ROWS: usize = 64;

/// How often a latch is tried before it counts as held: those who hold one do so for microseconds.
const LATCH_TRIES: usize = 4;

thread_local! {
    static MAY_WAIT: Cell<bool> = const { Cell::new(true) };
}

/// Makes a call that may not wait on this thread.
pub(crate) fn without_waiting<T>(call: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            MAY_WAIT.set(self.0);
        }
    }
    let _restore = Restore(MAY_WAIT.replace(false));
    call()
}

/// Whether this call may wait.
pub(crate) fn may_wait() -> bool {
    MAY_WAIT.get()
}

/// To be asked before a wait.
pub(crate) fn wait_or_give_up() -> Result<(), StoreError> {
    if may_wait() { Ok(()) } else { Err(StoreError::WouldWait) }
}

/// Stands where a call may have to give up though it seldom has to: tests make it give up there.
pub(crate) fn chance_to_give_up() -> Result<(), StoreError> {
    #[cfg(test)]
    if !may_wait() && tests::gives_up_here() {
        return Err(StoreError::WouldWait);
    }
    Ok(())
}

/// To be asked before so many rows are written.
pub(crate) fn write_or_give_up(rows: usize) -> Result<(), StoreError> {
    if rows <= MOST_ROWS { Ok(()) } else { wait_or_give_up() }
}

/// Takes a lock that is held for microseconds only, if that can be had.
pub(crate) fn try_soon<T>(lock: impl Fn() -> Option<T>) -> Option<T> {
    for _ in 1..LATCH_TRIES {
        if let Some(locked) = lock() {
            return Some(locked);
        }
        std::thread::yield_now();
    }
    lock()
}

impl Store {
    /// Makes a call if it need not wait. `None`: it would have to.
    pub fn at_once<T>(
        &self,
        call: impl FnOnce(&Store) -> Result<T, StoreError>,
    ) -> Option<Result<T, StoreError>> {
        match without_waiting(|| call(self)) {
            Err(StoreError::WouldWait) => {
                self.leaf.counters.calls_waited.add(1);
                None
            }
            done => Some(done),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    thread_local! {
        /// Chances to give up that are let pass; none is taken at 0.
        static CHANCES: Cell<usize> = const { Cell::new(0) };
        static TRIED: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn gives_up_here() -> bool {
        let left = CHANCES.get();
        CHANCES.set(left.saturating_sub(1));
        left == 1
    }

    /// Makes a call as those do who may not wait: first at once, then, if it gave up, waiting. It gives up
    /// at another of its chances each time, or at none of them.
    pub(crate) fn soon<T>(
        store: &Store,
        call: impl Fn(&Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        TRIED.set(TRIED.get() + 1);
        CHANCES.set(TRIED.get() % 17);
        let done = store.at_once(&call);
        CHANCES.set(0);
        done.unwrap_or_else(|| call(store))
    }
}
