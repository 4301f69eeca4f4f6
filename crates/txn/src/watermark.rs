//! The watermark: below it, versions may be forgotten and reads are refused.
//!
//! `min(now - lag, oldest held snapshot, oldest timestamp issued within the lag)`, and it never falls.
//! The last term matters to a partition that was idle: its newest timestamp may be an hour old, and the
//! reader that was just given it must have time to pin its state.

use std::collections::{BTreeMap, VecDeque};
use types::Timestamp;

#[derive(Debug)]
pub struct Watermark {
    lag_millis: u64,
    value: Timestamp,
    held: BTreeMap<Timestamp, usize>,
    /// (second of boot time, least timestamp issued in it), seconds rising.
    issued: VecDeque<(u64, Timestamp)>,
}

impl Watermark {
    pub fn new(lag_millis: u64, value: Timestamp) -> Watermark {
        Watermark { lag_millis, value, held: BTreeMap::new(), issued: VecDeque::new() }
    }

    pub fn value(&self) -> Timestamp {
        self.value
    }

    /// A reader was given `ts`, at `boot_millis` on the clock that never steps.
    pub fn issue(&mut self, ts: Timestamp, boot_millis: u64) {
        if self.lag_millis == 0 {
            return;
        }
        let second = boot_millis / 1_000;
        match self.issued.back_mut() {
            Some((last, least)) if *last == second => *least = (*least).min(ts),
            _ => self.issued.push_back((second, ts)),
        }
        self.forget(boot_millis);
    }

    fn forget(&mut self, boot_millis: u64) {
        let oldest = boot_millis.saturating_sub(self.lag_millis) / 1_000;
        while self.issued.front().is_some_and(|(second, _)| *second < oldest) {
            self.issued.pop_front();
        }
    }

    pub fn hold(&mut self, ts: Timestamp) {
        *self.held.entry(ts).or_default() += 1;
    }

    pub fn release(&mut self, ts: Timestamp) {
        if let Some(count) = self.held.get_mut(&ts) {
            *count -= 1;
            if *count == 0 {
                self.held.remove(&ts);
            }
        }
    }

    /// Moves the watermark as far as it may go, given the newest timestamp that is applied everywhere.
    pub fn advance(&mut self, physical_millis: u64, boot_millis: u64, applied: Timestamp) -> Timestamp {
        self.forget(boot_millis);
        let mut next = Timestamp::from_millis(physical_millis.saturating_sub(self.lag_millis)).min(applied);
        if let Some((held, _)) = self.held.first_key_value() {
            next = next.min(*held);
        }
        for (_, ts) in &self.issued {
            next = next.min(*ts);
        }
        self.value = self.value.max(next);
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn it_follows_the_clock_holds_and_issued_timestamps_and_never_falls() {
        let mut w = Watermark::new(10_000, Timestamp::ZERO);
        assert_eq!(w.advance(50_000, 0, Timestamp::MAX), at(40_000));
        w.hold(at(42_000));
        w.hold(at(42_000));
        assert_eq!(w.advance(60_000, 0, Timestamp::MAX), at(42_000));
        w.release(at(42_000));
        assert_eq!(w.advance(60_000, 0, Timestamp::MAX), at(42_000));
        w.release(at(42_000));
        assert_eq!(w.advance(60_000, 0, Timestamp::MAX), at(50_000));
        assert_eq!(w.advance(10_000, 0, Timestamp::MAX), at(50_000));
        assert_eq!(w.advance(90_000, 0, at(51_000)), at(51_000));
    }

    #[test]
    fn a_timestamp_of_an_idle_partition_stays_readable_for_the_lag() {
        let mut w = Watermark::new(10_000, Timestamp::ZERO);
        w.issue(at(5), 100_000);
        assert_eq!(w.advance(3_600_000, 105_000, Timestamp::MAX), at(5));
        assert_eq!(w.advance(3_600_000, 112_000, Timestamp::MAX), at(3_590_000));
    }
}
