//! Deadlocks among the waits of one leaf: a graph from each waiting transaction to those it waits for.
//!
//! A wait is added when it begins and set again when its lock changes hands. Whoever closes a cycle
//! finds it; the youngest transaction of the cycle is its victim.

use hashbrown::{HashMap, HashSet};
use std::hash::Hash;
use types::TxnId;

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
