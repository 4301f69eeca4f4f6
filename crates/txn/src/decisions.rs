//! Outcomes of distributed transactions at their coordinating partition.
//!
//! The decision is a record in that partition's log; the first of COMMIT and ABORT wins. A COMMIT is
//! kept until every participant has confirmed it durably and its aggregator will not ask for it, an
//! ABORT for ten minutes.

use hashbrown::HashMap;
use std::collections::BTreeSet;
use types::{PartitionId, Timestamp, TxnId};

const ABORT_KEPT_MILLIS: u64 = 600_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Commit(Timestamp),
    Abort,
}

/// A participant of a committed transaction that has not confirmed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    pub txn: TxnId,
    pub participant: PartitionId,
    pub at: Timestamp,
}

/// What a reader that met an intent is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Commit(Timestamp),
    Abort,
    /// Nothing is decided, and what will be decided is later than the reader.
    LaterThan(Timestamp),
}

#[derive(Debug)]
struct Decision {
    outcome: Outcome,
    unconfirmed: BTreeSet<PartitionId>,
    /// For an abort: when it may be forgotten.
    until_millis: u64,
}

#[derive(Debug, Default)]
pub struct Decisions {
    decided: HashMap<TxnId, Decision>,
}

impl Decisions {
    pub fn outcome(&self, txn: TxnId) -> Option<Outcome> {
        self.decided.get(&txn).map(|d| d.outcome)
    }

    /// Whether the caller may log `COMMIT` for this transaction.
    pub fn may_commit(&self, txn: TxnId) -> bool {
        !self.decided.contains_key(&txn)
    }

    /// The decision to commit was appended. Returns what holds: this, or an earlier decision.
    pub fn commit(
        &mut self,
        txn: TxnId,
        at: Timestamp,
        participants: impl IntoIterator<Item = PartitionId>,
    ) -> Outcome {
        self.decided
            .entry(txn)
            .or_insert_with(|| Decision {
                outcome: Outcome::Commit(at),
                unconfirmed: participants.into_iter().collect(),
                until_millis: 0,
            })
            .outcome
    }

    /// A participant demands an end. If nothing is decided the caller must append ABORT, durably,
    /// before it answers; `true` says so.
    ///
    /// [B asks, is told "abort" from memory; the late COMMIT reaches A: half a transaction.]
    pub fn demand_end(&mut self, txn: TxnId, boot_millis: u64) -> (Outcome, bool) {
        let mut logs = false;
        let decision = self.decided.entry(txn).or_insert_with(|| {
            logs = true;
            Decision {
                outcome: Outcome::Abort,
                unconfirmed: BTreeSet::new(),
                until_millis: boot_millis + ABORT_KEPT_MILLIS,
            }
        });
        (decision.outcome, logs)
    }

    /// A reader at `at` asks. The caller has raised the partition's clock to `at`, so a commit that is
    /// decided later is later than the reader. `shown`: the transaction has ended here, so its decision
    /// is durable. The outcome is not changed by asking.
    ///
    /// [A looping scan that forces ABORT starves all writers.]
    pub fn inquire(&self, txn: TxnId, at: Timestamp, shown: bool) -> Answer {
        match self.outcome(txn) {
            Some(Outcome::Commit(ts)) if shown || ts <= at => Answer::Commit(ts),
            Some(Outcome::Abort) => Answer::Abort,
            // A later commit that is not durable yet is later whatever becomes of it.
            Some(Outcome::Commit(_)) | None => Answer::LaterThan(at),
        }
    }

    /// A participant holds the outcome durably. True if it was the last of a commit.
    pub fn confirm(&mut self, txn: TxnId, participant: PartitionId) -> bool {
        let Some(decision) = self.decided.get_mut(&txn) else { return false };
        decision.unconfirmed.remove(&participant)
            && decision.unconfirmed.is_empty()
            && matches!(decision.outcome, Outcome::Commit(_))
    }

    /// Commits that every participant has confirmed.
    pub fn confirmed(&self) -> impl Iterator<Item = TxnId> + '_ {
        let is_done = |d: &Decision| d.unconfirmed.is_empty() && matches!(d.outcome, Outcome::Commit(_));
        self.decided.iter().filter(move |(_, d)| is_done(d)).map(|(txn, _)| *txn)
    }

    /// Nobody will ask for this commit again.
    pub fn forget(&mut self, txn: TxnId) {
        self.decided.remove(&txn);
    }

    /// Participants that are still to be told of a commit.
    pub fn unsettled(&self) -> impl Iterator<Item = Settlement> + '_ {
        self.decided.iter().flat_map(|(txn, d)| {
            let at = match d.outcome {
                Outcome::Commit(at) => Some(at),
                Outcome::Abort => None,
            };
            let of = move |at| {
                d.unconfirmed.iter().map(move |participant| Settlement {
                    txn: *txn,
                    participant: *participant,
                    at,
                })
            };
            at.into_iter().flat_map(of)
        })
    }

    /// Every decision that is kept, with the participants that have not confirmed it.
    pub fn kept(&self) -> impl Iterator<Item = (TxnId, Outcome, Vec<PartitionId>)> + '_ {
        self.decided.iter().map(|(txn, d)| (*txn, d.outcome, d.unconfirmed.iter().copied().collect()))
    }

    /// Forgets aborts whose time is over.
    pub fn expire(&mut self, boot_millis: u64) {
        self.decided.retain(|_, d| d.outcome != Outcome::Abort || d.until_millis > boot_millis);
    }

    pub fn len(&self) -> usize {
        self.decided.len()
    }

    pub fn is_empty(&self) -> bool {
        self.decided.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::NodeId;

    const X: TxnId = TxnId { node: NodeId(1), number: 7 };

    #[test]
    fn the_first_of_commit_and_abort_wins() {
        let mut a = Decisions::default();
        assert_eq!(a.demand_end(X, 0), (Outcome::Abort, true));
        assert!(!a.may_commit(X));
        assert_eq!(a.commit(X, Timestamp(9), [PartitionId(2)]), Outcome::Abort);
        assert_eq!(a.demand_end(X, 0), (Outcome::Abort, false));

        let mut a = Decisions::default();
        a.commit(X, Timestamp(9), [PartitionId(2), PartitionId(3)]);
        assert_eq!(a.demand_end(X, 0), (Outcome::Commit(Timestamp(9)), false));
        assert!(!a.confirm(X, PartitionId(2)));
        assert_eq!(
            a.unsettled().collect::<Vec<_>>(),
            vec![Settlement { txn: X, participant: PartitionId(3), at: Timestamp(9) }]
        );
        assert!(a.confirm(X, PartitionId(3)));
        assert!(!a.confirm(X, PartitionId(3)));
        assert_eq!(a.confirmed().collect::<Vec<_>>(), vec![X]);
        assert_eq!(a.outcome(X), Some(Outcome::Commit(Timestamp(9))), "its aggregator may ask yet");
        a.forget(X);
        assert!(a.is_empty());
    }

    #[test]
    fn inquiring_never_changes_the_outcome() {
        let mut a = Decisions::default();
        for _ in 0..3 {
            assert_eq!(a.inquire(X, Timestamp(50), false), Answer::LaterThan(Timestamp(50)));
        }
        assert!(a.may_commit(X));
        a.commit(X, Timestamp(51), [PartitionId(2)]);
        assert_eq!(a.inquire(X, Timestamp(50), false), Answer::LaterThan(Timestamp(50)));
        assert_eq!(a.inquire(X, Timestamp(51), false), Answer::Commit(Timestamp(51)));
        assert_eq!(a.inquire(X, Timestamp(50), true), Answer::Commit(Timestamp(51)));
    }

    #[test]
    fn an_abort_is_kept_for_ten_minutes() {
        let mut a = Decisions::default();
        a.demand_end(X, 1_000);
        a.expire(600_999);
        assert_eq!(a.len(), 1);
        a.expire(601_000);
        assert!(a.is_empty());
    }
}
