//! Deadlocks: a graph from each waiting transaction to those it waits for.
//!
//! [`WaitGraph`] has the waits of one leaf: a wait is added when it begins and set again when its lock
//! changes hands. Whoever closes a cycle finds it; the youngest transaction of the cycle is its victim.
//!
//! [`Detector`] has those waits of all leaves that last longer than [`REPORT_AFTER_MILLIS`]; one leaf
//! runs it. Each leaf reports all of its long waits, again and again while there are any, and learns
//! which of its waiters are to give up.

use hashbrown::{HashMap, HashSet};
use std::collections::BTreeMap;
use std::hash::Hash;
use types::{NodeId, TxnId};

/// A wait that lasts longer is reported to the detector, and then as often.
pub const REPORT_AFTER_MILLIS: u64 = 50;
/// A report that was not repeated counts no longer.
const REPORT_COUNTS_MILLIS: u64 = 1_000;

/// The long waits of one leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitReport {
    pub leaf: NodeId,
    /// Each waiter with the transactions that it waits for.
    pub waits: Vec<(TxnId, Vec<TxnId>)>,
}

/// Finds cycles among the long waits of all leaves.
#[derive(Debug, Default)]
pub struct Detector {
    /// With the time at which they came.
    reports: BTreeMap<NodeId, (u64, WaitReport)>,
}

impl Detector {
    /// Takes the place of the leaf's report before. Returns the transactions that wait at that leaf and
    /// are to give up.
    pub fn report(&mut self, report: WaitReport, boot_millis: u64) -> Vec<TxnId> {
        let leaf = report.leaf;
        self.reports.retain(|_, (at, _)| *at + REPORT_COUNTS_MILLIS > boot_millis);
        if report.waits.is_empty() {
            self.reports.remove(&leaf);
            return Vec::new();
        }
        self.reports.insert(leaf, (boot_millis, report));
        let mut graph = WaitGraph::default();
        let mut victims: Vec<TxnId> = Vec::new();
        let waits = self.reports.values().flat_map(|(_, report)| &report.waits);
        for (wait, (waiter, blockers)) in waits.enumerate() {
            victims.extend(graph.set(wait, *waiter, blockers.clone()));
        }
        let (_, report) = &self.reports[&leaf];
        victims.retain(|victim| report.waits.iter().any(|(waiter, _)| waiter == victim));
        victims.sort_unstable();
        victims.dedup();
        victims
    }
}

#[derive(Debug)]
struct Wait {
    waiter: TxnId,
    blockers: Vec<TxnId>,
}

/// `W` names a wait on the leaf.
#[derive(Debug)]
pub struct WaitGraph<W> {
    waits: HashMap<W, Wait>,
    /// A transaction waits in several places when its statement runs in several partitions.
    by_waiter: HashMap<TxnId, Vec<W>>,
}

impl<W> Default for WaitGraph<W> {
    fn default() -> WaitGraph<W> {
        WaitGraph { waits: HashMap::new(), by_waiter: HashMap::new() }
    }
}

impl<W: Hash + Eq + Copy> WaitGraph<W> {
    /// `waiter` waits for `blockers`. Returns the victims, whose waits are taken out of the graph: end
    /// all of their waits.
    pub fn set(&mut self, wait: W, waiter: TxnId, blockers: Vec<TxnId>) -> Vec<TxnId> {
        self.remove(wait);
        self.waits.insert(wait, Wait { waiter, blockers });
        self.by_waiter.entry(waiter).or_default().push(wait);
        let mut victims = Vec::new();
        while let Some(cycle) = self.cycle_through(waiter) {
            // Invariant: a cycle has a member. The youngest began last, so its number is greatest.
            let Some(victim) = cycle.into_iter().max_by_key(|txn| (txn.number, txn.node)) else { break };
            for wait in self.by_waiter.remove(&victim).unwrap_or_default() {
                self.waits.remove(&wait);
            }
            victims.push(victim);
        }
        victims
    }

    /// The wait has ended, by whatever means.
    pub fn remove(&mut self, wait: W) {
        if let Some(Wait { waiter, .. }) = self.waits.remove(&wait)
            && let Some(waits) = self.by_waiter.get_mut(&waiter)
        {
            waits.retain(|w| *w != wait);
            if waits.is_empty() {
                self.by_waiter.remove(&waiter);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.waits.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waits.is_empty()
    }

    fn blockers(&self, txn: TxnId) -> impl Iterator<Item = TxnId> + '_ {
        let waits = self.by_waiter.get(&txn).map_or(&[][..], Vec::as_slice);
        waits.iter().filter_map(|w| self.waits.get(w)).flat_map(|w| w.blockers.iter().copied())
    }

    /// The members of a cycle that `start` is on.
    fn cycle_through(&self, start: TxnId) -> Option<Vec<TxnId>> {
        let mut seen = HashSet::new();
        // The path from `start`, and what is left to try at each member.
        let mut path = vec![(start, self.blockers(start).collect::<Vec<_>>())];
        while let Some((_, rest)) = path.last_mut() {
            match rest.pop() {
                Some(next) if next == start => return Some(path.into_iter().map(|(txn, _)| txn).collect()),
                Some(next) => {
                    if seen.insert(next) {
                        path.push((next, self.blockers(next).collect()));
                    }
                }
                None => {
                    path.pop();
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::NodeId;

    fn x(number: u64) -> TxnId {
        TxnId { node: NodeId(1), number }
    }

    #[test]
    fn the_youngest_of_a_cycle_is_its_victim() {
        let mut g = WaitGraph::default();
        assert!(g.set(1, x(1), vec![x(2)]).is_empty());
        assert!(g.set(2, x(3), vec![x(1)]).is_empty());
        assert_eq!(g.set(3, x(2), vec![x(3)]), vec![x(3)]);
        assert_eq!(g.len(), 2, "the victim's wait is gone");
        assert!(g.set(3, x(2), vec![x(4)]).is_empty());
    }

    fn waits(leaf: u32, waits: &[(u64, u64)]) -> WaitReport {
        let waits = waits.iter().map(|(waiter, blocker)| (x(*waiter), vec![x(*blocker)])).collect();
        WaitReport { leaf: NodeId(leaf), waits }
    }

    #[test]
    fn a_cycle_over_leaves_is_found_and_its_youngest_gives_up_where_it_waits() {
        let mut detector = Detector::default();
        assert!(detector.report(waits(1, &[(1, 2)]), 0).is_empty());
        assert!(detector.report(waits(2, &[(3, 1)]), 10).is_empty());
        assert!(detector.report(waits(3, &[(2, 3)]), 20).is_empty(), "the youngest waits elsewhere");
        assert_eq!(detector.report(waits(2, &[(3, 1)]), 60), vec![x(3)]);
        assert!(detector.report(waits(2, &[]), 70).is_empty());
        assert!(detector.report(waits(3, &[(2, 3)]), 80).is_empty());
    }

    #[test]
    fn a_report_that_is_not_repeated_counts_no_longer() {
        let mut detector = Detector::default();
        detector.report(waits(1, &[(1, 2)]), 0);
        assert!(detector.report(waits(2, &[(2, 1)]), 1_000).is_empty());
        detector.report(waits(1, &[(1, 2)]), 1_001);
        assert_eq!(detector.report(waits(2, &[(2, 1)]), 1_002), vec![x(2)]);
    }

    #[test]
    fn waits_that_end_or_change_leave_no_cycle_behind() {
        let mut g = WaitGraph::default();
        assert!(g.set(1, x(1), vec![x(2)]).is_empty());
        assert!(g.set(1, x(1), vec![x(3)]).is_empty());
        assert!(g.set(2, x(2), vec![x(1)]).is_empty());
        g.remove(1);
        assert!(g.set(3, x(3), vec![x(2)]).is_empty());
        assert_eq!(g.len(), 2);
    }

    #[test]
    fn one_wait_can_close_two_cycles() {
        let mut g = WaitGraph::default();
        assert!(g.set(1, x(2), vec![x(1)]).is_empty());
        assert!(g.set(2, x(3), vec![x(1)]).is_empty());
        let mut victims = g.set(3, x(1), vec![x(2), x(3)]);
        victims.sort();
        assert_eq!(victims, vec![x(2), x(3)]);
    }
}
