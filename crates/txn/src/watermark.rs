//! The limit of watermarks: below a partition's watermark versions may be forgotten and reads are refused.
//!
//! It is at most `min(now - lag, oldest held snapshot, oldest timestamp issued within the lag)`, the
//! leaf's limit, and at most what the partition has applied. The last term of the limit matters to a
//! partition that was idle: its newest timestamp may be an hour old, and the reader that was just given
//! it must have time to pin its state.
//!
//! Each partition keeps its own watermark, which never falls; the limit may, when an older snapshot that
//! every partition still serves is taken hold of.

use std::collections::{BTreeMap, VecDeque};
use types::Timestamp;

#[derive(Debug)]
pub struct Watermark {
    lag_millis: u64,
    held: BTreeMap<Timestamp, usize>,
    /// (second of boot time, least timestamp issued in it), seconds rising.
    issued: VecDeque<(u64, Timestamp)>,
}

impl Watermark {
    pub fn new(lag_millis: u64) -> Watermark {
        Watermark { lag_millis, held: BTreeMap::new(), issued: VecDeque::new() }
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

    /// How far a partition's watermark may go now.
    pub fn limit(&mut self, physical_millis: u64, boot_millis: u64) -> Timestamp {
        self.forget(boot_millis);
        let mut limit = Timestamp::from_millis(physical_millis.saturating_sub(self.lag_millis));
        if let Some((held, _)) = self.held.first_key_value() {
            limit = limit.min(*held);
        }
        for (_, ts) in &self.issued {
            limit = limit.min(*ts);
        }
        limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn it_follows_the_clock_and_what_is_held() {
        let mut w = Watermark::new(10_000);
        assert_eq!(w.limit(50_000, 0), at(40_000));
        w.hold(at(42_000));
        w.hold(at(42_000));
        assert_eq!(w.limit(60_000, 0), at(42_000));
        w.release(at(42_000));
        assert_eq!(w.limit(60_000, 0), at(42_000));
        w.release(at(42_000));
        assert_eq!(w.limit(60_000, 0), at(50_000));
    }

    #[test]
    fn a_timestamp_of_an_idle_partition_stays_readable_for_the_lag() {
        let mut w = Watermark::new(10_000);
        w.issue(at(5), 100_000);
        assert_eq!(w.limit(3_600_000, 105_000), at(5));
        assert_eq!(w.limit(3_600_000, 112_000), at(3_590_000));
    }
}
