//! How an aggregator commits a transaction: which requests it sends to which leaf, and when its client
//! may be told what.
//!
//! ```text
//!   one leaf:   Alone ------------------------------------------------------> End
//!   several:    Preparing --all--> Coordinating --T--> Deciding(T) --shown--> End
//!                   |                   |                  ^
//!                   +----- failed ------+--> Asking --COMMIT
//!                                              |
//!                                              +--ABORT--> Deciding(abort) -> End
//! ```
//!
//! A participant that cannot be told of the commit holds up the client for [`UNTOLD_MILLIS`] at most.
//! One that has been prepared for so long asks by itself before it says at what timestamp it can be read.
//! [B is cut off from the aggregator and alive; the client is told; a reader of B alone, over another
//! aggregator, reads at B's clock, which is below T, and misses what was acknowledged.]
//!
//! Invariants:
//! * the coordinating partition is asked to commit only after every other leaf has prepared;
//! * a client is told of success only if the coordinating partition said COMMIT, and of failure only
//!   if it said ABORT or was never asked to commit. If it was and cannot be asked, the client is told
//!   that the outcome is unknown.

use crate::decisions::Outcome;
use std::collections::{BTreeMap, BTreeSet};
use types::{ErrorKind, NodeId, PartitionId, SqlError, StatementNo, Timestamp};

/// How long after its prepare a participant may be relied on not to have missed a decision of which a
/// client was told; and how long a client is kept waiting for a participant that cannot be told.
pub const UNTOLD_MILLIS: u64 = 100;

/// The partitions of a leaf at which the transaction wrote or locked, with its last statement there.
pub type Parts = Vec<(PartitionId, StatementNo)>;

/// What to send to `leaf`. Each is answered by one call of [`Commit::on`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub leaf: NodeId,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Commits a transaction that is on this leaf alone.
    Commit(Parts),
    Prepare {
        parts: Parts,
        coordinator: PartitionId,
    },
    /// The first of `parts` decides.
    Coordinate {
        parts: Parts,
        participants: Vec<PartitionId>,
        prepared: Timestamp,
    },
    Decide {
        partitions: Vec<PartitionId>,
        outcome: Outcome,
    },
    Demand {
        coordinator: PartitionId,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To a commit, a prepare or a coordination.
    At(Timestamp),
    /// To a demand.
    Decided(Outcome),
    /// To a decide.
    Shown,
    /// The leaf refused.
    Refused(SqlError),
    /// Nobody knows whether the leaf carried it out.
    Lost(SqlError),
}

#[derive(Debug)]
enum State {
    Alone,
    Preparing {
        waiting: BTreeSet<NodeId>,
        prepared: Timestamp,
    },
    Coordinating,
    /// Asks for the outcome. `asked`: the coordinating partition was asked to commit before.
    Asking {
        asked: bool,
        error: SqlError,
    },
    Deciding {
        waiting: BTreeSet<NodeId>,
        result: Result<Timestamp, SqlError>,
    },
    End(Result<Timestamp, SqlError>),
}

#[derive(Debug)]
pub struct Commit {
    /// The leaf of the coordinating partition, or the only leaf.
    leaf: NodeId,
    parts: Parts,
    others: BTreeMap<NodeId, Parts>,
    state: State,
    /// Some participant has not heard of the commit.
    untold: bool,
}

impl Commit {
    /// Begins to commit a transaction that wrote or locked at these leaves, of which there is one at
    /// least. The leaf with the most partitions coordinates.
    pub fn begin(mut leaves: BTreeMap<NodeId, Parts>) -> Option<(Commit, Vec<Request>)> {
        let (leaf, _) = leaves.iter().max_by_key(|(node, parts)| (parts.len(), std::cmp::Reverse(**node)))?;
        let leaf = *leaf;
        let parts = leaves.remove(&leaf)?;
        let coordinator = parts.first()?.0;
        let mut commit = Commit { leaf, parts, others: leaves, state: State::Alone, untold: false };
        if commit.others.is_empty() {
            let request = Request { leaf, what: What::Commit(commit.parts.clone()) };
            return Some((commit, vec![request]));
        }
        let prepares = commit.others.iter().map(|(leaf, parts)| Request {
            leaf: *leaf,
            what: What::Prepare { parts: parts.clone(), coordinator },
        });
        let prepares = prepares.collect();
        let waiting = commit.others.keys().copied().collect();
        commit.state = State::Preparing { waiting, prepared: Timestamp::ZERO };
        Some((commit, prepares))
    }

    /// What the client is to be told, once it may be told.
    pub fn result(&self) -> Option<&Result<Timestamp, SqlError>> {
        match &self.state {
            State::End(result) => Some(result),
            _ => None,
        }
    }

    /// Whether the client is to be told only [`UNTOLD_MILLIS`] after the decides were sent.
    pub fn is_told_late(&self) -> bool {
        self.untold && matches!(self.state, State::Deciding { result: Ok(_), .. } | State::End(Ok(_)))
    }

    fn coordinator(&self) -> PartitionId {
        // Invariant: `begin` made sure that there is one.
        self.parts[0].0
    }

    /// The reply to a request. Returns what to send next; replies that come twice or too late change
    /// nothing.
    pub fn on(&mut self, request: &Request, reply: Reply) -> Vec<Request> {
        match (&mut self.state, &request.what) {
            (State::Alone, What::Commit(_)) => {
                self.state = State::End(match reply {
                    Reply::At(at) => Ok(at),
                    Reply::Refused(error) => Err(error),
                    Reply::Lost(error) => Err(unknown(&error)),
                    Reply::Decided(_) | Reply::Shown => Err(misplaced()),
                });
                Vec::new()
            }
            (State::Preparing { waiting, prepared }, What::Prepare { .. }) => match reply {
                Reply::At(at) => {
                    *prepared = (*prepared).max(at);
                    waiting.remove(&request.leaf);
                    if !waiting.is_empty() {
                        return Vec::new();
                    }
                    let prepared = *prepared;
                    self.state = State::Coordinating;
                    let participants = self.others.values().flatten().map(|(partition, _)| *partition);
                    let what = What::Coordinate {
                        parts: self.parts.clone(),
                        participants: participants.collect(),
                        prepared,
                    };
                    vec![Request { leaf: self.leaf, what }]
                }
                reply => self.ask(false, reply),
            },
            (State::Coordinating, What::Coordinate { .. }) => match reply {
                Reply::At(at) => self.decide(Ok(at)),
                reply => self.ask(true, reply),
            },
            (State::Asking { asked, error }, What::Demand { .. }) => match reply {
                Reply::Decided(Outcome::Commit(at)) => self.decide(Ok(at)),
                Reply::Decided(Outcome::Abort) => {
                    let error = error.clone();
                    self.decide(Err(error))
                }
                Reply::At(_) | Reply::Shown | Reply::Refused(_) | Reply::Lost(_) => {
                    let error = if *asked { unknown(error) } else { error.clone() };
                    self.state = State::End(Err(error));
                    Vec::new()
                }
            },
            // Whatever the reply: a participant that did not hear is told again by the coordinating
            // partition's leaf.
            (State::Deciding { waiting, result }, What::Decide { .. }) => {
                self.untold |= reply != Reply::Shown;
                waiting.remove(&request.leaf);
                if waiting.is_empty() {
                    self.state = State::End(result.clone());
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Something failed before the outcome was known: only the coordinating partition can tell it.
    fn ask(&mut self, asked: bool, reply: Reply) -> Vec<Request> {
        let error = match reply {
            Reply::Refused(error) | Reply::Lost(error) => error,
            Reply::At(_) | Reply::Decided(_) | Reply::Shown => misplaced(),
        };
        self.state = State::Asking { asked, error };
        vec![Request { leaf: self.leaf, what: What::Demand { coordinator: self.coordinator() } }]
    }

    fn decide(&mut self, result: Result<Timestamp, SqlError>) -> Vec<Request> {
        let outcome = match &result {
            Ok(at) => Outcome::Commit(*at),
            Err(_) => Outcome::Abort,
        };
        let requests = self.others.iter().map(|(leaf, parts)| Request {
            leaf: *leaf,
            what: What::Decide {
                partitions: parts.iter().map(|(partition, _)| *partition).collect(),
                outcome,
            },
        });
        let requests = requests.collect();
        self.state = State::Deciding { waiting: self.others.keys().copied().collect(), result };
        requests
    }
}

/// The error of a commit of which nobody knows whether it was carried out.
pub fn unknown(error: &SqlError) -> SqlError {
    let mut unknown = SqlError::new(
        ErrorKind::Unknown,
        format!(
            "The outcome of this transaction is unknown; look at the data before you run it again: {}",
            error.message
        ),
    );
    unknown.retryable = false;
    unknown
}

fn misplaced() -> SqlError {
    SqlError::internal("a leaf's answer does not fit the request")
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);
    const C: NodeId = NodeId(3);

    fn part(partition: u32) -> (PartitionId, StatementNo) {
        (PartitionId(partition), StatementNo(1))
    }

    fn begin() -> (Commit, Vec<Request>) {
        let leaves = [(B, vec![part(2)]), (A, vec![part(1), part(4)]), (C, vec![part(3)])];
        Commit::begin(BTreeMap::from(leaves)).unwrap()
    }

    fn lost() -> Reply {
        Reply::Lost(SqlError::new(ErrorKind::ServerOffline, "leaf n1 cannot be reached"))
    }

    fn refused() -> Reply {
        Reply::Refused(SqlError::new(ErrorKind::TableDefinitionChanged, "changed"))
    }

    #[test]
    fn one_leaf_commits_alone() {
        let (mut commit, requests) = Commit::begin(BTreeMap::from([(A, vec![part(1)])])).unwrap();
        assert_eq!(requests, vec![Request { leaf: A, what: What::Commit(vec![part(1)]) }]);
        assert!(commit.on(&requests[0], Reply::At(Timestamp(7))).is_empty());
        assert_eq!(commit.result(), Some(&Ok(Timestamp(7))));
        assert!(Commit::begin(BTreeMap::new()).is_none());
    }

    #[test]
    fn the_client_is_told_when_every_participant_has_shown_it_or_is_gone() {
        let (mut commit, prepares) = begin();
        assert_eq!(prepares.iter().map(|r| r.leaf).collect::<Vec<_>>(), vec![B, C]);
        assert!(commit.on(&prepares[1], Reply::At(Timestamp(9))).is_empty());
        assert!(commit.on(&prepares[1], Reply::At(Timestamp(9))).is_empty(), "an answer that came twice");
        let coordinate = commit.on(&prepares[0], Reply::At(Timestamp(8)));
        let what = What::Coordinate {
            parts: vec![part(1), part(4)],
            participants: vec![PartitionId(2), PartitionId(3)],
            prepared: Timestamp(9),
        };
        assert_eq!(coordinate, vec![Request { leaf: A, what }]);
        let decides = commit.on(&coordinate[0], Reply::At(Timestamp(10)));
        assert_eq!(decides.len(), 2);
        assert!(commit.on(&decides[0], Reply::Shown).is_empty());
        assert_eq!(commit.result(), None);
        assert!(!commit.is_told_late());
        commit.on(&decides[1], lost());
        assert_eq!(commit.result(), Some(&Ok(Timestamp(10))));
        assert!(commit.is_told_late());
    }

    #[test]
    fn a_prepare_that_fails_aborts_everywhere() {
        let (mut commit, prepares) = begin();
        commit.on(&prepares[0], Reply::At(Timestamp(8)));
        let demand = commit.on(&prepares[1], refused());
        assert_eq!(demand, vec![Request { leaf: A, what: What::Demand { coordinator: PartitionId(1) } }]);
        let decides = commit.on(&demand[0], Reply::Decided(Outcome::Abort));
        assert_eq!(decides.iter().map(|r| r.leaf).collect::<Vec<_>>(), vec![B, C]);
        decides.iter().for_each(|decide| assert!(commit.on(decide, Reply::Shown).is_empty()));
        assert_eq!(commit.result().unwrap().as_ref().unwrap_err().message, "changed");
    }

    #[test]
    fn a_lost_answer_of_the_coordinating_partition_is_asked_for() {
        for (answer, told) in [
            (Reply::Decided(Outcome::Commit(Timestamp(10))), Ok(Timestamp(10))),
            (Reply::Decided(Outcome::Abort), Err("leaf n1 cannot be reached")),
        ] {
            let (mut commit, prepares) = begin();
            commit.on(&prepares[0], Reply::At(Timestamp(8)));
            let coordinate = commit.on(&prepares[1], Reply::At(Timestamp(8)));
            let demand = commit.on(&coordinate[0], lost());
            let decides = commit.on(&demand[0], answer);
            decides.iter().for_each(|decide| assert!(commit.on(decide, lost()).is_empty()));
            let result = commit.result().unwrap();
            assert_eq!(
                result.as_ref().map_err(|error| error.message.as_str()),
                told.as_ref().map_err(|e| *e)
            );
        }
    }

    #[test]
    fn an_outcome_that_nobody_can_tell_is_called_unknown_and_one_never_asked_for_is_not() {
        let (mut commit, prepares) = begin();
        commit.on(&prepares[0], Reply::At(Timestamp(8)));
        let coordinate = commit.on(&prepares[1], Reply::At(Timestamp(8)));
        let demand = commit.on(&coordinate[0], lost());
        assert!(commit.on(&demand[0], lost()).is_empty());
        let error = commit.result().unwrap().clone().unwrap_err();
        assert!(error.message.contains("unknown") && error.message.contains("leaf n1"), "{error}");

        let (mut commit, prepares) = begin();
        let demand = commit.on(&prepares[0], lost());
        commit.on(&demand[0], lost());
        let error = commit.result().unwrap().clone().unwrap_err();
        assert_eq!(error.message, "leaf n1 cannot be reached");
    }
}
