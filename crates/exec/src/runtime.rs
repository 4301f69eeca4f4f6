//! Work that blocks, done from a task; and what threads do when they pause.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::{Handle, RuntimeFlavor};

/// Works that block at a time while others take over the tasks of their workers. Each needs a thread more, which
/// keeps some memory of its own: with sixty of them a process held half a gigabyte that was in no account.
const MOST: usize = 8;

static BLOCKING: AtomicUsize = AtomicUsize::new(0);

static ON_PAUSE: OnceLock<fn()> = OnceLock::new();

/// Has each thread that runs queries call `hook` when it is about to wait for work, before each morsel and after each
/// work that blocked, since another thread has the worker's tasks by then. The first hook stays.
pub fn on_pause(hook: fn()) {
    // A second one is of another part of the same process.
    let _ = ON_PAUSE.set(hook);
}

pub(crate) fn pause() {
    if let Some(hook) = ON_PAUSE.get() {
        hook();
    }
}

/// Runs `work`, which may wait for the disk or take long, on this thread. On a runtime of several threads the other tasks of
/// this worker move to another thread meanwhile, unless many works block already: then they wait as well. So
/// `work` must not wait for what a task does.
pub fn blocking<T>(work: impl FnOnce() -> T) -> T {
    let several =
        Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    match several.then(|| Place::take(&BLOCKING)).flatten() {
        Some(_place) => {
            let done = tokio::task::block_in_place(work);
            pause();
            done
        }
        None => work(),
    }
}

/// One of the works that block.
struct Place(&'static AtomicUsize);

impl Place {
    fn take(taken: &'static AtomicUsize) -> Option<Place> {
        let one_more = |count| (count < MOST).then_some(count + 1);
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok().then(|| Place(taken))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_works_block_at_a_time() {
        static TAKEN: AtomicUsize = AtomicUsize::new(0);
        let mut places = Vec::from_iter((0..MOST).map_while(|_| Place::take(&TAKEN)));
        assert_eq!(places.len(), MOST);
        assert!(Place::take(&TAKEN).is_none());
        places.pop();
        assert!(Place::take(&TAKEN).is_some());
    }
}
