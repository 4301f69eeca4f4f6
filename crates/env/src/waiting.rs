//! Waits for the disk, on threads that have other work.
//!
//! Storage is read by whoever needs it: threads of its own, and workers of an asynchronous runtime that runs
//! queries. A worker that waits should hand its other tasks on, but handing them on costs two thread changes,
//! so it is done only around what may truly wait: a read that was not in the buffer pool. This crate knows
//! no runtime; whoever starts one says here how its workers wait.

use std::sync::OnceLock;

/// Runs what waits, on the calling thread.
pub type Around = fn(&mut dyn FnMut());

static AROUND: OnceLock<Around> = OnceLock::new();

/// From now on waits of this process go through `around`, which must run what it is given once and work on
/// any thread. The first to say so decides.
pub fn wait_by(around: Around) {
    let _ = AROUND.set(around);
}

/// Runs `work`, which may wait for the disk.
pub fn wait<T>(work: impl FnOnce() -> T) -> T {
    let Some(around) = AROUND.get() else { return work() };
    let mut work = Some(work);
    let mut done = None;
    around(&mut || done = work.take().map(|work| work()));
    match done {
        Some(done) => done,
        // Invariant: `around` runs what it is given.
        None => unreachable!("a wait was not run"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn what_waits_is_run_once_by_whoever_was_named_first() {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        wait_by(|work| {
            CALLS.fetch_add(1, Ordering::Relaxed);
            work();
        });
        wait_by(|_| panic!("the second to say so"));
        assert_eq!(wait(|| 7), 7);
        assert_eq!(CALLS.load(Ordering::Relaxed), 1);
    }
}
