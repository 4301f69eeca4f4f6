//! The ceiling of a leaf: no partition of it reads or commits at or above the newest ceiling that its
//! log holds, so after a restart, whatever the machine's clock says then, the clocks start above all
//! that was ever given out.
//!
//! A commit needs the ceiling *appended* before it: if the commit is durable, so is the ceiling. A read
//! needs it *durable*, since nothing else in the log may follow the read.

use types::Timestamp;

const PHYSICAL_LEAD_MILLIS: u64 = 2_000;
const LOGICAL_LEAD_MILLIS: u64 = 10;
/// A new ceiling is logged when work comes this near.
const MARGIN_MILLIS: u64 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceiling {
    appended: Timestamp,
    durable: Timestamp,
}

impl Ceiling {
    /// As found in the log, which holds it durably.
    pub fn found(ceiling: Timestamp) -> Ceiling {
        Ceiling { appended: ceiling, durable: ceiling }
    }

    pub fn appended(&self) -> Timestamp {
        self.appended
    }

    pub fn durable(&self) -> Timestamp {
        self.durable
    }

    /// The ceiling to log before work at `ts`, if it is time for one.
    pub fn due(&self, ts: Timestamp, physical_millis: u64) -> Option<Timestamp> {
        if ts.plus_millis(MARGIN_MILLIS) < self.appended {
            return None;
        }
        let physical = Timestamp::from_millis(physical_millis).plus_millis(PHYSICAL_LEAD_MILLIS);
        let next = physical.max(ts.plus_millis(LOGICAL_LEAD_MILLIS));
        (next > self.appended).then_some(next)
    }

    /// The ceiling was appended to the log.
    pub fn append(&mut self, ceiling: Timestamp) {
        self.appended = self.appended.max(ceiling);
    }

    /// The log is durable up to a record of this ceiling.
    pub fn synced(&mut self, ceiling: Timestamp) {
        self.durable = self.durable.max(ceiling);
    }

    pub fn may_commit(&self, ts: Timestamp) -> bool {
        ts < self.appended
    }

    pub fn may_read(&self, ts: Timestamp) -> bool {
        ts < self.durable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [Rows at 100; the VM restarts with its clock at 90: acknowledged rows vanish.]
    #[test]
    fn a_restart_with_an_older_clock_starts_above_all_that_was_given_out() {
        let mut leaf = Ceiling::found(Timestamp::ZERO);
        let commit = Timestamp::from_millis(100_000);
        assert!(!leaf.may_commit(commit));
        let next = leaf.due(commit, 100_000).unwrap();
        leaf.append(next);
        assert!(leaf.may_commit(commit));
        assert!(!leaf.may_read(commit), "not before it is durable");
        leaf.synced(next);
        assert!(leaf.may_read(commit));

        let restarted = Ceiling::found(leaf.durable());
        let mut clock = crate::Timeline::starting_at(restarted.durable());
        assert!(clock.take(90_000) > commit);
    }

    #[test]
    fn it_is_logged_once_a_second_of_work_and_not_for_idle_time() {
        let mut leaf = Ceiling::found(Timestamp::ZERO);
        let mut logged = 0;
        for millis in 100_000..110_000 {
            let ts = Timestamp::from_millis(millis);
            if let Some(next) = leaf.due(ts, millis) {
                leaf.append(next);
                logged += 1;
            }
            assert!(leaf.may_commit(ts));
        }
        assert!((9..=11).contains(&logged), "{logged}");
        assert_eq!(leaf.due(Timestamp::from_millis(109_500), 109_000), None);
    }
}
