//! The clock of a partition and what of its log is shown.
//!
//! Taking a timestamp and appending the record that carries it are one step of the caller (under the
//! append latch), as is raising the clock. Hence timestamps of commits and prepares rise with the LSN.
//!
//! ```text
//!   shown                    appended, not shown
//!   ----------------------|---------------------------> LSN
//!        ts 5, ts 9       ^   ts 12      ts 14
//!                      applied                  clock >= 14
//! ```
//!
//! A participant's decide is the exception: its timestamp was agreed on elsewhere and may be older than
//! records before it. It is shown in its turn, but need not be durable.
//!
//! Invariants:
//! * `applied` never falls, and every record that was appended before `applied` got there, with a
//!   timestamp at or below it, is shown;
//! * a timestamp that is taken is greater than every one taken, merged or raised to before.

use std::collections::VecDeque;
use types::Timestamp;

/// How far a hybrid clock may lead the physical one, in milliseconds.
pub const MAX_LEAD_MILLIS: u64 = 3_000;

/// A timestamp from elsewhere leads our physical clock by more than [`MAX_LEAD_MILLIS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    pub by_millis: u64,
}

#[derive(Debug, Default)]
pub struct Timeline {
    clock: Timestamp,
    applied: Timestamp,
    /// Appended and not shown, LSNs rising.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    lsn: u64,
    ts: Timestamp,
    /// Whether it may only be shown when it is durable.
    durably: bool,
}

impl Timeline {
    /// A clock that starts above `floor`, the ceiling that the log held or the newest timestamp in it.
    pub fn starting_at(floor: Timestamp) -> Timeline {
        Timeline { clock: floor, applied: floor, waiting: VecDeque::new() }
    }

    pub fn clock(&self) -> Timestamp {
        self.clock
    }

    /// The timestamp that [`Timeline::take`] would give.
    pub fn next(&self, physical_millis: u64) -> Timestamp {
        self.clock.next().max(Timestamp::from_millis(physical_millis))
    }

    /// A timestamp greater than all before.
    pub fn take(&mut self, physical_millis: u64) -> Timestamp {
        let ts = self.next(physical_millis);
        self.raise(ts);
        ts
    }

    /// From now on every timestamp taken is greater than `ts`.
    pub fn raise(&mut self, ts: Timestamp) {
        self.clock = self.clock.max(ts);
        if self.waiting.is_empty() {
            self.applied = self.clock;
        }
    }

    /// Raises the clock to a timestamp of another process, unless it leads the physical clock too far.
    pub fn merge(&mut self, ts: Timestamp, physical_millis: u64) -> Result<(), Ahead> {
        let by_millis = ts.millis().saturating_sub(physical_millis);
        if by_millis > MAX_LEAD_MILLIS && ts > self.clock {
            return Err(Ahead { by_millis });
        }
        self.raise(ts);
        Ok(())
    }

    /// Takes a timestamp for the record `lsn`, which is being appended: until it is shown, nothing at
    /// or above its timestamp is applied.
    pub fn append(&mut self, lsn: u64, physical_millis: u64) -> Timestamp {
        let ts = self.next(physical_millis);
        self.append_at(lsn, ts);
        ts
    }

    /// Appends the record `lsn` at a timestamp that was agreed on; it must be above the clock.
    pub fn append_at(&mut self, lsn: u64, ts: Timestamp) {
        assert!(ts > self.clock, "timestamps rise with the LSN: {ts} after {}", self.clock);
        self.wait(Waiting { lsn, ts, durably: true });
    }

    /// Appends the record `lsn` with which a participant learns that its transaction committed at `ts`.
    pub fn append_decide(&mut self, lsn: u64, ts: Timestamp) {
        self.wait(Waiting { lsn, ts, durably: false });
    }

    fn wait(&mut self, waiting: Waiting) {
        debug_assert!(self.waiting.back().is_none_or(|last| last.lsn < waiting.lsn));
        // Not by `raise`: what is at the old clock is shown, `ts` itself is not.
        self.clock = self.clock.max(waiting.ts);
        self.waiting.push_back(waiting);
    }

    /// The first record up to `durable` that waits to be shown. Show it, then call [`Timeline::shown`].
    pub fn to_show(&self, durable: u64) -> Option<u64> {
        let first = self.waiting.front()?;
        (first.lsn <= durable || !first.durably).then_some(first.lsn)
    }

    /// The oldest waiting record is shown.
    pub fn shown(&mut self) {
        if let Some(shown) = self.waiting.pop_front() {
            let applied = match self.waiting.iter().map(|waiting| waiting.ts.0).min() {
                None => self.clock,
                Some(next) => shown.ts.min(Timestamp(next.saturating_sub(1))),
            };
            self.applied = self.applied.max(applied);
        }
    }

    /// The newest timestamp at which a read finds everything shown.
    pub fn applied(&self) -> Timestamp {
        self.applied
    }

    /// Whether every record up to `ts` is shown; a read at `ts` waits for this after raising the clock.
    pub fn shown_up_to(&self, ts: Timestamp) -> bool {
        self.waiting.iter().all(|waiting| waiting.ts > ts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ts(n: u64) -> Timestamp {
        Timestamp(n)
    }

    /// [Reading at "the clock": commit 50 waits for its fsync, a reader at 60 scans half, then the
    /// other half appears.]
    #[test]
    fn a_read_is_not_given_the_clock_while_a_commit_waits() {
        let mut p = Timeline::starting_at(ts(49));
        assert_eq!(p.append(1, 0), ts(50));
        assert_eq!(p.applied(), ts(49));
        p.raise(ts(60));
        assert_eq!(p.applied(), ts(49));
        assert!(!p.shown_up_to(ts(60)));
        assert!(p.shown_up_to(ts(49)));
        assert_eq!(p.to_show(0), None);
        assert_eq!(p.to_show(1), Some(1));
        p.shown();
        assert_eq!(p.applied(), ts(60));
    }

    /// [X takes 5, Y takes 7 and is shown first; a reader at 7 scans; then X appears below it.]
    #[test]
    fn records_are_shown_in_the_order_of_their_timestamps() {
        let mut p = Timeline::starting_at(ts(4));
        assert_eq!(p.append(1, 0), ts(5));
        p.raise(ts(6));
        assert_eq!(p.append(2, 0), ts(7));
        assert_eq!(p.to_show(2), Some(1));
        p.shown();
        assert_eq!(p.applied(), ts(5));
        assert!(!p.shown_up_to(ts(7)));
        assert_eq!(p.to_show(2), Some(2));
        p.shown();
        assert_eq!(p.applied(), ts(7));
    }

    #[test]
    fn a_decide_is_shown_in_its_turn_without_being_durable() {
        let mut p = Timeline::starting_at(ts(10));
        p.append_decide(1, ts(20));
        assert_eq!(p.clock(), ts(20));
        assert_eq!(p.applied(), ts(10));
        assert_eq!(p.to_show(0), Some(1));
        p.shown();
        assert_eq!(p.applied(), ts(20));
        // Behind a commit, and older than it.
        assert_eq!(p.append(2, 0), ts(21));
        p.append_decide(3, ts(15));
        assert_eq!(p.to_show(1), None);
        assert!(!p.shown_up_to(ts(20)), "a reader at 20 must see what committed at 15");
        assert!(p.shown_up_to(ts(14)));
        assert_eq!(p.to_show(2), Some(2));
        p.shown();
        assert_eq!(p.applied(), ts(20), "15 is not shown yet, so 21 is not applied");
        assert_eq!(p.to_show(2), Some(3));
        p.shown();
        assert_eq!(p.applied(), ts(21));
    }

    #[test]
    fn applied_never_falls() {
        let mut p = Timeline::starting_at(ts(10));
        p.raise(ts(100));
        assert_eq!(p.applied(), ts(100));
        p.append(1, 0);
        assert_eq!(p.applied(), ts(100), "all up to 100 is shown, whatever came after");
        p.append(2, 0);
        p.shown();
        assert_eq!(p.applied(), ts(101));
    }

    #[test]
    fn a_clock_far_ahead_is_refused_and_physical_time_is_followed() {
        let mut p = Timeline::starting_at(ts(0));
        let far = Timestamp::from_millis(10_000);
        assert_eq!(p.merge(far, 5_000), Err(Ahead { by_millis: 5_000 }));
        assert_eq!(p.merge(far, 7_000), Ok(()));
        assert_eq!(p.take(7_001), far.next());
        assert_eq!(p.take(20_000), Timestamp::from_millis(20_000));
        assert_eq!(p.take(19_000), Timestamp::from_millis(20_000).next(), "a step back changes nothing");
    }
}
