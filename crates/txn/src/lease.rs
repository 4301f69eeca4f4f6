//! Leases: one for each aggregator and leaf. An aggregator says every second what it has open and what
//! it reads at; a leaf ends what belongs to an aggregator that fell silent or says that it is over.
//!
//! [`Registry`] is the aggregator's side, [`Leases`] the leaf's.
//!
//! Invariants:
//! * a transaction that ended at a leaf does not begin there again, however late its first message is
//!   repeated: the leaf remembers it until a renewal says that it is over;
//! * what a leaf is told of an aggregator never goes back, in whatever order renewals arrive.

use hashbrown::{HashMap, HashSet};
use std::collections::{BTreeMap, BTreeSet};
use types::{NodeId, Timestamp, TxnId};

/// How long a lease lasts after a renewal.
pub const LEASE_MILLIS: u64 = 5_000;
/// How often an aggregator renews its leases.
pub const RENEW_MILLIS: u64 = 1_000;
/// A message that was sent longer ago is refused.
pub const MOST_AGE_MILLIS: u64 = 60_000;
/// A snapshot that is older no longer keeps versions.
pub const MAX_SNAPSHOT_AGE_MILLIS: u64 = 3_600_000;

/// Whether a message came so late that its sender has long given it up.
pub fn is_too_old(sent_millis: u64, now_millis: u64) -> bool {
    now_millis.saturating_sub(sent_millis) > MOST_AGE_MILLIS
}

/// An aggregator is alive, and this is what it has open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    pub aggregator: NodeId,
    /// The first transaction number of this life of the aggregator.
    pub incarnation: u64,
    /// Rises with each renewal of a life.
    pub number: u64,
    /// Greater than every transaction number given out.
    pub next: u64,
    /// Transactions below `next` that have not ended, in ascending order.
    pub open: Vec<u64>,
    pub oldest_snapshot: Option<Timestamp>,
}

/// What an aggregator has open.
#[derive(Debug)]
pub struct Registry {
    node: NodeId,
    incarnation: u64,
    next: u64,
    open: BTreeSet<u64>,
    held: BTreeMap<Timestamp, usize>,
    renewals: u64,
}

impl Registry {
    /// `first`: greater than every number that an earlier life gave out.
    pub fn new(node: NodeId, first: u64) -> Registry {
        Registry {
            node,
            incarnation: first,
            next: first,
            open: BTreeSet::new(),
            held: BTreeMap::new(),
            renewals: 0,
        }
    }

    pub fn begin(&mut self) -> TxnId {
        let number = self.next;
        self.next += 1;
        self.open.insert(number);
        TxnId { node: self.node, number }
    }

    /// The transaction has ended here; nothing of it is on its way.
    pub fn end(&mut self, txn: TxnId) {
        self.open.remove(&txn.number);
    }

    /// A snapshot at `ts` is read.
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

    pub fn renewal(&mut self) -> Renewal {
        self.renewals += 1;
        Renewal {
            aggregator: self.node,
            incarnation: self.incarnation,
            number: self.renewals,
            next: self.next,
            open: self.open.iter().copied().collect(),
            oldest_snapshot: self.held.first_key_value().map(|(ts, _)| *ts),
        }
    }
}

#[derive(Debug, Default)]
struct Lease {
    incarnation: u64,
    number: u64,
    next: u64,
    open: Vec<u64>,
    oldest_snapshot: Option<Timestamp>,
    until_millis: u64,
    /// Transactions that ended here and that no renewal has said to be over.
    ended: HashSet<u64>,
}

impl Lease {
    /// The aggregator itself says that it has ended.
    fn is_over(&self, number: u64) -> bool {
        number < self.incarnation || (number < self.next && self.open.binary_search(&number).is_err())
    }
}

/// The leases that a leaf has given. Times are of the clock that never steps.
#[derive(Debug)]
pub struct Leases {
    leases: HashMap<NodeId, Lease>,
    started_millis: u64,
}

impl Leases {
    pub fn new(boot_millis: u64) -> Leases {
        Leases { leases: HashMap::new(), started_millis: boot_millis }
    }

    /// False: the renewal is older than one that came before it.
    pub fn renew(&mut self, renewal: &Renewal, boot_millis: u64) -> bool {
        let lease = self.leases.entry(renewal.aggregator).or_default();
        if (renewal.incarnation, renewal.number) <= (lease.incarnation, lease.number) {
            return false;
        }
        lease.incarnation = renewal.incarnation;
        lease.number = renewal.number;
        lease.next = renewal.next;
        lease.open.clone_from(&renewal.open);
        lease.oldest_snapshot = renewal.oldest_snapshot;
        lease.until_millis = boot_millis + LEASE_MILLIS;
        let ended = std::mem::take(&mut lease.ended);
        lease.ended = ended.into_iter().filter(|number| !lease.is_over(*number)).collect();
        true
    }

    /// Whether a transaction may begin at this leaf. The first message of an aggregator whose lease is
    /// not there gives it one.
    pub fn admit(&mut self, txn: TxnId, boot_millis: u64) -> bool {
        let lease = self.leases.entry(txn.node).or_default();
        if lease.is_over(txn.number) || lease.ended.contains(&txn.number) {
            return false;
        }
        if lease.until_millis <= boot_millis {
            lease.until_millis = boot_millis + LEASE_MILLIS;
        }
        true
    }

    /// The transaction ended at this leaf.
    pub fn ended(&mut self, txn: TxnId) {
        let lease = self.leases.entry(txn.node).or_default();
        if !lease.is_over(txn.number) {
            lease.ended.insert(txn.number);
        }
    }

    /// Whether nobody will end the transaction: its aggregator has fallen silent, or says that it is
    /// over.
    pub fn is_orphan(&self, txn: TxnId, boot_millis: u64) -> bool {
        match self.leases.get(&txn.node) {
            Some(lease) => lease.until_millis <= boot_millis || lease.is_over(txn.number),
            // After a restart every aggregator has the time of a lease to report.
            None => self.started_millis + LEASE_MILLIS <= boot_millis,
        }
    }

    /// Whether the aggregator of a decided transaction will not ask for its outcome: it says that the
    /// transaction is over, or is silent for so long that nobody of its clients waits.
    pub fn may_forget(&self, txn: TxnId, boot_millis: u64) -> bool {
        match self.leases.get(&txn.node) {
            Some(lease) => lease.is_over(txn.number) || lease.until_millis + MOST_AGE_MILLIS <= boot_millis,
            None => self.started_millis + MOST_AGE_MILLIS <= boot_millis,
        }
    }

    /// The oldest snapshot of aggregators that are not silent.
    pub fn oldest_snapshot(&self, physical_millis: u64, boot_millis: u64) -> Option<Timestamp> {
        let alive = self.leases.values().filter(|lease| lease.until_millis > boot_millis);
        let oldest = alive.filter_map(|lease| lease.oldest_snapshot).min()?;
        Some(oldest.max(Timestamp::from_millis(physical_millis.saturating_sub(MAX_SNAPSHOT_AGE_MILLIS))))
    }

    /// Forgets aggregators that are silent for longer than any message of theirs is taken.
    pub fn expire(&mut self, boot_millis: u64) {
        self.leases.retain(|_, lease| lease.until_millis + MOST_AGE_MILLIS > boot_millis);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(9);

    fn x(number: u64) -> TxnId {
        TxnId { node: A, number }
    }

    #[test]
    fn a_silent_aggregator_loses_its_transactions_and_may_begin_new_ones() {
        let mut registry = Registry::new(A, 100);
        let mut leases = Leases::new(0);
        let first = registry.begin();
        assert!(leases.admit(first, 1_000));
        assert!(!leases.is_orphan(first, 5_999));
        assert!(leases.is_orphan(first, 6_000));
        assert!(leases.renew(&registry.renewal(), 6_000));
        assert!(!leases.is_orphan(first, 10_999));
        assert!(leases.is_orphan(first, 11_000));
        let second = registry.begin();
        assert!(leases.admit(second, 12_000));
    }

    /// [A transaction has ended; a repeated first message begins it again and holds its locks for ever.]
    #[test]
    fn a_transaction_that_ended_does_not_begin_again() {
        let mut registry = Registry::new(A, 100);
        let mut leases = Leases::new(0);
        let txn = registry.begin();
        assert!(leases.admit(txn, 0));
        leases.ended(txn);
        assert!(!leases.admit(txn, 10));
        let while_open = registry.renewal();
        registry.end(txn);
        let after = registry.renewal();
        assert!(leases.renew(&while_open, 1_000));
        assert!(!leases.admit(txn, 1_000), "the renewal was sent before it ended");
        assert!(leases.renew(&after, 2_000));
        assert!(!leases.admit(txn, 2_000));
        assert!(leases.leases[&A].ended.is_empty(), "the renewal itself says so now");
        assert!(!leases.renew(&while_open, 3_000), "an old renewal changes nothing");
        assert!(!leases.admit(txn, 3_000));
    }

    #[test]
    fn a_lost_rollback_is_made_up_for_by_the_next_renewal() {
        let mut registry = Registry::new(A, 100);
        let mut leases = Leases::new(0);
        let (gone, open) = (registry.begin(), registry.begin());
        assert!(leases.admit(gone, 0) && leases.admit(open, 0));
        registry.end(gone);
        leases.renew(&registry.renewal(), 1);
        assert!(leases.is_orphan(gone, 2));
        assert!(!leases.is_orphan(open, 2));
    }

    #[test]
    fn transactions_of_an_earlier_life_are_over() {
        let mut leases = Leases::new(0);
        assert!(leases.admit(x(150), 0));
        leases.renew(&Registry::new(A, 200).renewal(), 1);
        assert!(leases.is_orphan(x(150), 2));
        assert!(!leases.admit(x(160), 2));
        assert!(leases.admit(x(200), 2));
    }

    #[test]
    fn the_oldest_snapshot_counts_while_its_aggregator_is_heard() {
        let mut registry = Registry::new(A, 1);
        let mut leases = Leases::new(0);
        let (old, new) = (Timestamp::from_millis(50_000), Timestamp::from_millis(60_000));
        registry.hold(new);
        registry.hold(old);
        leases.renew(&registry.renewal(), 0);
        assert_eq!(leases.oldest_snapshot(100_000, 4_999), Some(old));
        assert_eq!(leases.oldest_snapshot(100_000, 5_000), None);
        registry.release(old);
        leases.renew(&registry.renewal(), 6_000);
        assert_eq!(leases.oldest_snapshot(100_000, 6_001), Some(new));
        let an_hour_later = 60_000 + MAX_SNAPSHOT_AGE_MILLIS + 5_000;
        assert_eq!(leases.oldest_snapshot(an_hour_later, 6_001), Some(Timestamp::from_millis(65_000)));
    }

    #[test]
    fn after_a_restart_aggregators_have_the_time_of_a_lease_to_report() {
        let leases = Leases::new(1_000);
        assert!(!leases.is_orphan(x(1), 5_999));
        assert!(leases.is_orphan(x(1), 6_000));
        assert!(!leases.may_forget(x(1), 60_999));
        assert!(leases.may_forget(x(1), 61_000));
    }
}
