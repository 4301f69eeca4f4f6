//! Work that blocks, done from a task; and what threads do when they pause.

use std::sync::OnceLock;
use tokio::runtime::{Handle, RuntimeFlavor};

static ON_PAUSE: OnceLock<fn()> = OnceLock::new();

/// Has each thread that runs queries call `hook` when it is about to wait for work, and after each work that
/// blocked, since another thread has the worker's tasks by then. The first hook stays.
pub fn on_pause(hook: fn()) {
    // A second one is of another part of the same process.
    let _ = ON_PAUSE.set(hook);
}

pub(crate) fn pause() {
    if let Some(hook) = ON_PAUSE.get() {
        hook();
    }
}

/// Runs `work`, which may wait for the disk or for a lock, on this thread. On a runtime of several
/// threads the other tasks of this worker move to another thread meanwhile.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
            let done = tokio::task::block_in_place(work);
            pause();
            done
        }
        _ => work(),
    }
}
