//! The time that this thread would take if no other work were on its cores.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// CPU time of this thread, in seconds: what a core would take if it had nothing else to do.
pub fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Runs from when it is made.
pub struct Stopwatch {
    begin: Instant,
    queued: Duration,
}

impl Stopwatch {
    pub fn start() -> Stopwatch {
        Stopwatch { begin: Instant::now(), queued: queued() }
    }

    /// What has passed, without the time in which the thread could have run and had no core. Waiting for the disk
    /// counts.
    pub fn elapsed(&self) -> Duration {
        self.begin.elapsed().saturating_sub(queued().saturating_sub(self.queued))
    }
}

/// How long this thread has waited for a core so far. Zero where the kernel does not say.
fn queued() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().nth(1).and_then(|number| number.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}
