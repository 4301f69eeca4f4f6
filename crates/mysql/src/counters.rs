//! Numbers for a metrics page.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Shared by all connections of a listener. Gauges fall again; totals only rise.
#[derive(Debug)]
pub struct Counters {
    started: Instant,
    /// Gauge: open connections, authenticated or not.
    pub connections: AtomicU64,
    /// Gauge: connections that have not logged in yet.
    pub unauthenticated: AtomicU64,
    pub accepted: AtomicU64,
    /// Turned away with 1040.
    pub refused: AtomicU64,
    /// Ended by a wrong user, password or packet before login, or by the handshake time-out.
    pub failed_logins: AtomicU64,
    pub commands: AtomicU64,
    pub rows_sent: AtomicU64,
    pub errors_sent: AtomicU64,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            started: Instant::now(),
            connections: AtomicU64::new(0),
            unauthenticated: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed_logins: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            rows_sent: AtomicU64::new(0),
            errors_sent: AtomicU64::new(0),
        }
    }
}

impl Counters {
    /// The text of COM_STATISTICS.
    pub(crate) fn text(&self) -> String {
        format!(
            "Uptime: {}  Threads: {}  Questions: {}",
            self.started.elapsed().as_secs(),
            self.connections.load(Ordering::Relaxed),
            self.commands.load(Ordering::Relaxed)
        )
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Holds a gauge up by one until it is dropped.
pub(crate) struct Held {
    counters: Arc<Counters>,
    gauge: fn(&Counters) -> &AtomicU64,
}

impl Held {
    pub fn new(counters: &Arc<Counters>, gauge: fn(&Counters) -> &AtomicU64) -> Held {
        count(gauge(counters));
        Held { counters: counters.clone(), gauge }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        (self.gauge)(&self.counters).fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_falls_when_its_holder_goes() {
        let counters = Arc::new(Counters::default());
        let held = Held::new(&counters, |c| &c.connections);
        assert_eq!(counters.text(), "Uptime: 0  Threads: 1  Questions: 0");
        drop(held);
        assert_eq!(counters.connections.load(Ordering::Relaxed), 0);
    }
}
