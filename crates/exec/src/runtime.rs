//! Work that blocks, done from a task.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs `work`, which may wait for the disk or for a lock, on this thread. On a runtime of several
/// threads the other tasks of this worker move to another thread meanwhile.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(work)
        }
        _ => work(),
    }
}
