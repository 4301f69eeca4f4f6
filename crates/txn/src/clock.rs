//! The hybrid logical clock of a process: the greatest timestamp that it has given out or heard of.
//! Whatever a process does after it heard of a timestamp gets a greater one.

use crate::timeline::{Ahead, MAX_LEAD_MILLIS};
use std::sync::atomic::{AtomicU64, Ordering};
use types::Timestamp;

#[derive(Debug, Default)]
pub struct ProcessClock {
    newest: AtomicU64,
}

impl ProcessClock {
    /// A timestamp at or above all that this process knows of.
    pub fn now(&self, physical_millis: u64) -> Timestamp {
        let physical = Timestamp::from_millis(physical_millis);
        Timestamp(self.newest.fetch_max(physical.0, Ordering::AcqRel)).max(physical)
    }

    /// The newest timestamp that was given out or heard of.
    pub fn newest(&self) -> Timestamp {
        Timestamp(self.newest.load(Ordering::Acquire))
    }

    /// This process gave out `ts`.
    pub fn observe(&self, ts: Timestamp) {
        self.newest.fetch_max(ts.0, Ordering::AcqRel);
    }

    /// Another process told of `ts`.
    pub fn merge(&self, ts: Timestamp, physical_millis: u64) -> Result<(), Ahead> {
        let by_millis = ts.millis().saturating_sub(physical_millis);
        if by_millis > MAX_LEAD_MILLIS && ts > self.newest() {
            return Err(Ahead { by_millis });
        }
        self.observe(ts);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_goes_back_and_refuses_what_leads_too_far() {
        let clock = ProcessClock::default();
        assert_eq!(clock.now(1_000), Timestamp::from_millis(1_000));
        assert_eq!(clock.now(900), Timestamp::from_millis(1_000));
        assert_eq!(clock.merge(Timestamp::from_millis(4_001), 1_000), Err(Ahead { by_millis: 3_001 }));
        assert_eq!(clock.merge(Timestamp::from_millis(4_000), 1_000), Ok(()));
        assert_eq!(clock.now(2_000), Timestamp::from_millis(4_000));
    }
}
