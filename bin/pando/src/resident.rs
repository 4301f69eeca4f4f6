//! Holds a process's resident memory near its budget.
//!
//! What was freed stays with the allocator for some seconds, since the next query takes it again
//! ([`crate::process::keep_freed_memory`]). It is in nobody's account, so a process near its budget would hold it
//! beside all that is reserved. Therefore a thread looks at the resident memory, many times a second where that is not
//! far from the budget, and lets the allocator give back all that is free once little of the budget is left. What other
//! threads have freed and keep for themselves they give back when they pause, and queries' threads between two morsels.
//!
//! What is held beyond the budget nevertheless, caches do without until it is gone.

use env::MemoryBudget;
use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

/// Between two looks, at least. In this time a query frees and takes some tens of megabytes.
const INTERVAL: Duration = Duration::from_millis(50);
/// That many bytes are not taken within it.
const TAKEN: usize = 64 << 20;
/// Between two looks, at most, as a multiple of that.
const LONGEST: usize = 10;
/// The part of the budget that stays free: program, stacks and what is too small to be counted need some.
const SPARE_PART: usize = 8;

/// How often threads were asked to give back.
static ASKED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// What `ASKED` was when this thread gave back.
    static GIVEN: Cell<u64> = const { Cell::new(0) };
}

/// Starts the thread; it ends with the budget.
pub fn watch(memory: &Arc<MemoryBudget>) -> io::Result<()> {
    exec::on_pause(give_back_if_asked);
    let memory = Arc::downgrade(memory);
    std::thread::Builder::new().name("pando-resident".into()).spawn(move || keep_near(&memory)).map(drop)
}

fn keep_near(memory: &Weak<MemoryBudget>) {
    while let Some(limit) = memory.upgrade().map(|memory| memory.limit()) {
        // Where it cannot be told, nothing is given back early.
        let Some(resident) = resident_bytes() else { return };
        if is_near(resident, limit) {
            ASKED.fetch_add(1, Ordering::Relaxed);
            give_back_if_asked();
        }
        let Some(memory) = memory.upgrade() else { return };
        let excess = next_excess(memory.excess(), resident, limit);
        memory.set_excess(excess);
        drop(memory);
        std::thread::sleep(if excess > 0 { INTERVAL } else { until_next(resident, limit) });
    }
}

/// What caches are to do without until the next look: all that is held beyond the limit, more each time that it has
/// not helped, and little by little less once there is room again.
fn next_excess(excess: usize, resident: u64, limit: usize) -> usize {
    let resident = usize::try_from(resident).unwrap_or(usize::MAX);
    match resident.checked_sub(limit) {
        Some(beyond) => excess.saturating_add(beyond).min(limit),
        None => excess.saturating_sub((limit - resident) / SPARE_PART),
    }
}

/// Gives back what is free, of this thread and of what no thread has, once each time that it is asked for.
pub fn give_back_if_asked() {
    let asked = ASKED.load(Ordering::Relaxed);
    if GIVEN.replace(asked) != asked {
        // SAFETY: it may be called by any thread at any time.
        unsafe { libmimalloc_sys::mi_collect(true) }
    }
}

/// How long the process cannot come near its budget.
fn until_next(resident: u64, limit: usize) -> Duration {
    let left = near(limit).saturating_sub(usize::try_from(resident).unwrap_or(usize::MAX));
    INTERVAL * (left / TAKEN).clamp(1, LONGEST) as u32
}

fn is_near(resident: u64, limit: usize) -> bool {
    resident > near(limit) as u64
}

/// What a process holds that has just its spare part left.
fn near(limit: usize) -> usize {
    limit - limit / SPARE_PART
}

/// The memory of this process in RAM, as the kernel counts it.
pub fn resident_bytes() -> Option<u64> {
    // It costs a tenth of reading /proc/self/status anew each time.
    static STATM: LazyLock<Option<File>> = LazyLock::new(|| File::open("/proc/self/statm").ok());
    let mut text = [0; 128];
    let length = STATM.as_ref()?.read_at(&mut text, 0).ok()?;
    let pages = std::str::from_utf8(text.get(..length)?).ok()?.split(' ').nth(1)?;
    // SAFETY: it reads a constant of the system.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.parse::<u64>().ok()?.checked_mul(u64::try_from(page).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_when_an_eighth_of_the_budget_is_left() {
        assert!(!is_near(875 << 20, 1000 << 20));
        assert!(is_near((875 << 20) + 1, 1000 << 20));
    }

    #[test]
    fn caches_do_without_what_is_held_beyond_the_budget() {
        assert_eq!(next_excess(0, 900, 1000), 0);
        assert_eq!(next_excess(0, 1100, 1000), 100);
        assert_eq!(next_excess(100, 1050, 1000), 150);
        assert_eq!(next_excess(900, 5000, 1000), 1000);
        assert_eq!(next_excess(150, 920, 1000), 140);
        assert_eq!(next_excess(5, 100, 1000), 0);
    }

    #[test]
    fn a_process_is_looked_at_less_often_far_from_its_budget() {
        let intervals =
            |resident: u64, limit: usize| until_next(resident, limit).as_millis() / INTERVAL.as_millis();
        assert_eq!(intervals(900 << 20, 1000 << 20), 1, "it is near");
        assert_eq!(intervals(5000 << 20, 1000 << 20), 1, "it is beyond");
        assert_eq!(intervals((875 - 256) << 20, 1000 << 20), 4);
        assert_eq!(intervals(100 << 20, 8 << 30), 10);
    }

    #[test]
    fn the_kernel_counts_what_is_touched() {
        let before = resident_bytes().unwrap();
        let touched = std::hint::black_box(vec![1u8; 64 << 20]);
        assert!(resident_bytes().unwrap() >= before + (32 << 20));
        drop(touched);
    }

    #[test]
    fn the_thread_ends_with_the_budget() {
        let memory = MemoryBudget::new(1 << 40);
        let weak = Arc::downgrade(&memory);
        let thread = std::thread::spawn(move || keep_near(&weak));
        drop(memory);
        thread.join().unwrap();
    }
}
