//! Clocks: wall time for timestamps, boot time for leases and time-outs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub trait Clock: Send + Sync {
    /// Milliseconds since 1970, UTC. May step in either direction.
    fn wall_millis(&self) -> u64;
    /// Time since boot, suspend included. Never steps back.
    fn boot_time(&self) -> Duration;
}

/// The machine's clocks.
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall_millis(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
    }

    fn boot_time(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    }
}
