//! A transaction at one partition: which of its statements ran there, and how far its commit is.
//!
//! ```text
//!   Active --prepare--> Prepared --decide--> Committed | Aborted
//!   Active --commit (alone)--> Committed      Active --abort--> Aborted
//! ```
//!
//! Every request names the last statement that wrote or locked at the partition. A partition that
//! holds another number, or none, has lost something or is asked twice, and refuses.

use types::{StatementNo, Timestamp};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Active,
    Prepared { at: Timestamp },
    Committed { at: Timestamp },
    Aborted,
}

/// What the request named and what the partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mismatch {
    pub expected: StatementNo,
    pub found: StatementNo,
}

/// The statements that ran here. One may be written in as many parts as it changes rows, each with a
/// number, and all but a few of them taken back: so the two kinds stand apart, and neither is walked.
#[derive(Debug)]
pub struct Participant {
    state: State,
    /// Those that stand, numbers rising.
    standing: Vec<StatementNo>,
    /// Those that were rolled back, numbers rising.
    rolled_back: Vec<StatementNo>,
}

impl Default for Participant {
    fn default() -> Participant {
        Participant { state: State::Active, standing: Vec::new(), rolled_back: Vec::new() }
    }
}

impl Participant {
    pub fn state(&self) -> State {
        self.state
    }

    /// The newest statement that ran here.
    pub fn last(&self) -> StatementNo {
        let newest = self.standing.last().max(self.rolled_back.last());
        newest.copied().unwrap_or(StatementNo(0))
    }

    /// Whether `number` is the newest statement here, statements that were rolled back aside: the other
    /// side may or may not count those.
    fn agrees(&self, number: StatementNo) -> bool {
        let newest = self.standing.last().copied().unwrap_or(StatementNo(0));
        number == newest || (number > newest && self.rolled_back.binary_search(&number).is_ok())
    }

    fn check(&self, expected: StatementNo) -> Result<(), Mismatch> {
        if self.state == State::Active && self.agrees(expected) {
            Ok(())
        } else {
            Err(Mismatch { expected, found: self.last() })
        }
    }

    /// A request of `statement` arrives, which names `previous` as the last one here before it. More
    /// requests of the statement that is running are taken; a number that ended is not run again.
    pub fn run(&mut self, statement: StatementNo, previous: StatementNo) -> Result<(), Mismatch> {
        if self.state == State::Active && statement == self.last() && self.standing.last() == Some(&statement)
        {
            // The running one is the newest, so `previous` may be that too.
            let known = self.standing.binary_search(&previous).is_ok()
                || self.rolled_back.binary_search(&previous).is_ok()
                || (previous == StatementNo(0) && self.standing.len() == 1);
            if known {
                return Ok(());
            }
        }
        if statement <= self.last() || statement == StatementNo(0) {
            return Err(Mismatch { expected: statement, found: self.last() });
        }
        self.check(previous)?;
        self.standing.push(statement);
        Ok(())
    }

    /// Whether a statement ran here, be it that it was rolled back since.
    pub fn knows(&self, statement: StatementNo) -> bool {
        self.standing.binary_search(&statement).is_ok() || self.rolled_back.binary_search(&statement).is_ok()
    }

    /// Takes back a statement and what ran after it. True if it ran here.
    pub fn roll_back_statement(&mut self, statement: StatementNo) -> bool {
        let found = self.last() >= statement && self.last() > StatementNo(0);
        let standing = self.standing.partition_point(|number| *number < statement);
        let rolled_back = self.rolled_back.partition_point(|number| *number < statement);
        self.rolled_back.extend(self.standing.drain(standing..));
        self.rolled_back[rolled_back..].sort_unstable();
        found
    }

    /// Restores a statement number from the log.
    pub fn replay(&mut self, statement: StatementNo) {
        if statement > self.last() {
            self.standing.push(statement);
        }
    }

    /// Whether a commit or prepare that names `last` may go on.
    pub fn may_commit(&self, last: StatementNo) -> Result<(), Mismatch> {
        self.check(last)
    }

    /// The prepare record was appended at `at`.
    pub fn prepare(&mut self, last: StatementNo, at: Timestamp) -> Result<(), Mismatch> {
        self.check(last)?;
        self.state = State::Prepared { at };
        Ok(())
    }

    /// The only record of its commit was appended.
    pub fn commit_alone(&mut self, last: StatementNo, at: Timestamp) -> Result<(), Mismatch> {
        self.check(last)?;
        self.state = State::Committed { at };
        Ok(())
    }

    /// The coordinating partition decided; None is an abort. Only the first decision counts.
    pub fn decide(&mut self, commit: Option<Timestamp>) -> State {
        if let State::Active | State::Prepared { .. } = self.state {
            self.state = match commit {
                Some(at) => State::Committed { at },
                None => State::Aborted,
            };
        }
        self.state
    }

    /// Ends it from this side; a prepared one must ask the coordinating partition instead.
    pub fn abort(&mut self) -> bool {
        if self.state == State::Active {
            self.state = State::Aborted;
        }
        self.state == State::Aborted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no(n: u32) -> StatementNo {
        StatementNo(n)
    }

    /// [A restarts and forgets statement 1; COMMIT logs statement 2 alone.]
    #[test]
    fn a_partition_that_forgot_a_statement_refuses_what_follows() {
        let mut before = Participant::default();
        before.run(no(1), no(0)).unwrap();
        let mut restarted = Participant::default();
        assert!(before.knows(no(1)) && !restarted.knows(no(1)));
        assert_eq!(restarted.run(no(2), no(1)), Err(Mismatch { expected: no(1), found: no(0) }));
        assert_eq!(restarted.may_commit(no(1)), Err(Mismatch { expected: no(1), found: no(0) }));
    }

    /// [Or a resend adds twice.]
    #[test]
    fn a_number_runs_once() {
        let mut p = Participant::default();
        p.run(no(1), no(0)).unwrap();
        p.run(no(1), no(0)).unwrap();
        p.run(no(1), no(1)).unwrap();
        p.run(no(3), no(1)).unwrap();
        p.run(no(3), no(1)).unwrap();
        assert!(p.run(no(1), no(0)).is_err());
        assert!(p.run(no(2), no(1)).is_err());
        p.roll_back_statement(no(3));
        assert!(p.run(no(3), no(1)).is_err());
    }

    #[test]
    fn a_rolled_back_statement_may_be_counted_or_not() {
        let mut p = Participant::default();
        p.run(no(1), no(0)).unwrap();
        p.run(no(2), no(1)).unwrap();
        p.roll_back_statement(no(2));
        assert!(p.may_commit(no(1)).is_ok() && p.may_commit(no(2)).is_ok());
        assert!(p.knows(no(1)) && p.knows(no(2)) && !p.knows(no(3)));
        assert!(p.may_commit(no(0)).is_err(), "statement 1 stands");
        p.run(no(3), no(2)).unwrap();
        assert!(p.may_commit(no(2)).is_err());
        p.roll_back_statement(no(1));
        assert!(p.may_commit(no(0)).is_ok());
    }

    #[test]
    fn parts_that_were_rolled_back_among_others_are_known() {
        let mut p = Participant::default();
        assert!(!p.roll_back_statement(no(1)) && p.may_commit(no(0)).is_ok());
        p.run(no(1), no(0)).unwrap();
        p.run(no(3), no(1)).unwrap();
        assert!(
            p.roll_back_statement(no(3)) && p.roll_back_statement(no(2)) && !p.roll_back_statement(no(4))
        );
        p.run(no(5), no(1)).unwrap();
        p.run(no(7), no(5)).unwrap();
        p.run(no(7), no(3)).unwrap();
        assert!(p.run(no(7), no(4)).is_err(), "none of that number ran");
        p.roll_back_statement(no(7));
        assert!(p.may_commit(no(5)).is_ok() && p.may_commit(no(7)).is_ok());
        assert!([1, 3, 6, 8].iter().all(|n| p.may_commit(no(*n)).is_err()), "statement 5 stands");
        p.run(no(8), no(5)).unwrap();
        // All of the statement, of which 3 and 7 are taken back for the second time.
        assert!(p.roll_back_statement(no(2)));
        assert!([1, 3, 5, 7, 8].iter().all(|n| p.may_commit(no(*n)).is_ok()), "1 stands");
        assert!([0, 2, 4, 6, 9].iter().all(|n| p.may_commit(no(*n)).is_err()));
        assert_eq!(p.last(), no(8));
        assert!(p.run(no(8), no(1)).is_err());
        p.run(no(9), no(8)).unwrap();
    }

    #[test]
    fn the_first_decision_counts_and_a_prepared_one_does_not_abort_by_itself() {
        let mut p = Participant::default();
        p.run(no(1), no(0)).unwrap();
        p.prepare(no(1), Timestamp(5)).unwrap();
        assert!(p.run(no(2), no(1)).is_err());
        assert!(!p.abort());
        assert_eq!(p.decide(Some(Timestamp(9))), State::Committed { at: Timestamp(9) });
        assert_eq!(p.decide(None), State::Committed { at: Timestamp(9) });
    }
}
