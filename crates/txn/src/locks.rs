//! The locks of one partition: rows in shared or exclusive mode, a table's partition in intention or
//! exclusive mode. Shared and intention never meet on one key.
//!
//! A lock has holders and a queue. The queue is served first come, first served, except that a holder
//! who wants a stronger mode stands before those who hold nothing. A lock passes from its last holder
//! to the next waiter in one step: it is never free in between.
//!
//! Invariants: holders of one lock are compatible; the first waiter of a queue is not compatible with
//! some holder; `held` lists exactly the keys that an owner holds, each once.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use std::collections::VecDeque;
use std::hash::Hash;
use types::TxnId;

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// By everyone who changes rows of a table's partition.
    Intention,
    /// By everyone who wants a row to stay as it is.
    Shared,
    /// By one alone.
    Exclusive,
}

impl Mode {
    fn compatible(self, other: Mode) -> bool {
        self == other && self != Mode::Exclusive
    }
}

/// Names a wait in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquired {
    /// The owner holds it now and did not before.
    Granted,
    /// The owner held it already, if perhaps in a weaker mode.
    Held,
    Wait(Ticket),
}

/// What a release or the end of a wait changed for others.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// These hold their locks now.
    pub granted: Vec<Ticket>,
    /// These wait on, perhaps for others than before: ask [`LockTable::blockers`] again.
    pub waiting: Vec<Ticket>,
}

#[derive(Debug)]
struct Waiter {
    ticket: Ticket,
    owner: TxnId,
    mode: Mode,
}

#[derive(Debug, Default)]
struct Crowd {
    others: Vec<(TxnId, Mode)>,
    queue: VecDeque<Waiter>,
}

/// Most locks have one holder and nobody waits: this stays small.
#[derive(Debug)]
struct Lock {
    holder: TxnId,
    mode: Mode,
    crowd: Option<Box<Crowd>>,
}

impl Lock {
    fn holders(&self) -> impl Iterator<Item = (TxnId, Mode)> + '_ {
        let others = self.crowd.iter().flat_map(|crowd| crowd.others.iter().copied());
        std::iter::once((self.holder, self.mode)).chain(others)
    }

    fn held_by(&self, owner: TxnId) -> Option<Mode> {
        self.holders().find(|(holder, _)| *holder == owner).map(|(_, mode)| mode)
    }

    fn admits(&self, owner: TxnId, mode: Mode) -> bool {
        self.holders().all(|(holder, held)| holder == owner || mode.compatible(held))
    }

    fn queue_is_empty(&self) -> bool {
        self.crowd.as_ref().is_none_or(|crowd| crowd.queue.is_empty())
    }

    fn set_mode(&mut self, owner: TxnId, mode: Mode) {
        if self.holder == owner {
            self.mode = mode;
        } else if let Some(crowd) = &mut self.crowd {
            for other in crowd.others.iter_mut().filter(|(holder, _)| *holder == owner) {
                other.1 = mode;
            }
        }
    }

    fn add(&mut self, owner: TxnId, mode: Mode) {
        self.crowd.get_or_insert_default().others.push((owner, mode));
    }

    /// Removes a holder. False if nobody holds it any more; then `holder` is stale.
    fn remove(&mut self, owner: TxnId) -> bool {
        let Some(crowd) = &mut self.crowd else { return false };
        if self.holder != owner {
            crowd.others.retain(|(holder, _)| *holder != owner);
            return true;
        }
        match crowd.others.pop() {
            Some((holder, mode)) => {
                (self.holder, self.mode) = (holder, mode);
                true
            }
            None => false,
        }
    }
}

#[derive(Debug)]
pub struct LockTable<K> {
    locks: HashMap<K, Lock>,
    held: HashMap<TxnId, Vec<K>>,
    waits: HashMap<Ticket, K>,
    next_ticket: u64,
}

impl<K> Default for LockTable<K> {
    fn default() -> LockTable<K> {
        LockTable { locks: HashMap::new(), held: HashMap::new(), waits: HashMap::new(), next_ticket: 1 }
    }
}

impl<K: Hash + Eq + Clone> LockTable<K> {
    pub fn acquire(&mut self, owner: TxnId, key: K, mode: Mode) -> Acquired {
        let lock = match self.locks.entry(key.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(Lock { holder: owner, mode, crowd: None });
                self.held.entry(owner).or_default().push(key);
                return Acquired::Granted;
            }
            Entry::Occupied(occupied) => occupied.into_mut(),
        };
        let held = lock.held_by(owner);
        if held.is_some_and(|held| held >= mode) {
            return Acquired::Held;
        }
        let ticket = Ticket(self.next_ticket);
        if held.is_some() {
            if lock.admits(owner, mode) {
                lock.set_mode(owner, mode);
                return Acquired::Held;
            }
            let holders: Vec<TxnId> = lock.holders().map(|(holder, _)| holder).collect();
            let queue = &mut lock.crowd.get_or_insert_default().queue;
            let place = queue.iter().take_while(|w| holders.contains(&w.owner)).count();
            queue.insert(place, Waiter { ticket, owner, mode });
        } else if lock.queue_is_empty() && lock.admits(owner, mode) {
            lock.add(owner, mode);
            self.held.entry(owner).or_default().push(key);
            return Acquired::Granted;
        } else {
            lock.crowd.get_or_insert_default().queue.push_back(Waiter { ticket, owner, mode });
        }
        self.next_ticket += 1;
        self.waits.insert(ticket, key);
        Acquired::Wait(ticket)
    }

    /// How the owner holds the lock, if it does.
    pub fn held_by(&self, owner: TxnId, key: &K) -> Option<Mode> {
        self.locks.get(key).and_then(|lock| lock.held_by(owner))
    }

    /// Every lock that someone holds or, with a ticket, waits for.
    pub fn entries(&self) -> impl Iterator<Item = (&K, TxnId, Mode, Option<Ticket>)> {
        self.locks.iter().flat_map(|(key, lock)| {
            let queue = lock.crowd.iter().flat_map(|crowd| crowd.queue.iter());
            let waiting = queue.map(|waiter| (waiter.owner, waiter.mode, Some(waiter.ticket)));
            let held = lock.holders().map(|(owner, mode)| (owner, mode, None));
            held.chain(waiting).map(move |(owner, mode, ticket)| (key, owner, mode, ticket))
        })
    }

    pub fn is_locked(&self, key: &K) -> bool {
        self.locks.contains_key(key)
    }

    /// Whether some other owner holds the lock or waits for it.
    pub fn is_contended(&self, owner: TxnId, key: &K) -> bool {
        self.locks
            .get(key)
            .is_some_and(|lock| !lock.queue_is_empty() || lock.holders().any(|(holder, _)| holder != owner))
    }

    /// Whether this wait is still in its queue.
    pub fn waits(&self, ticket: Ticket) -> bool {
        self.waits.contains_key(&ticket)
    }

    /// The transactions that must end before this wait can: holders and those who came before.
    pub fn blockers(&self, ticket: Ticket) -> Vec<TxnId> {
        let Some(lock) = self.waits.get(&ticket).and_then(|key| self.locks.get(key)) else {
            return Vec::new();
        };
        let Some(crowd) = &lock.crowd else { return Vec::new() };
        let Some(place) = crowd.queue.iter().position(|w| w.ticket == ticket) else { return Vec::new() };
        let (owner, mode) = (crowd.queue[place].owner, crowd.queue[place].mode);
        let before = crowd.queue.iter().take(place).map(|w| (w.owner, w.mode));
        let mut blockers = Vec::new();
        for (other, held) in lock.holders().chain(before) {
            if other != owner && !mode.compatible(held) && !blockers.contains(&other) {
                blockers.push(other);
            }
        }
        blockers
    }

    /// Ends a wait that was not granted. A lock that was granted meanwhile is kept: false.
    pub fn cancel(&mut self, ticket: Ticket) -> (bool, Released) {
        let mut released = Released::default();
        let Some(key) = self.waits.remove(&ticket) else { return (false, released) };
        if let Some(crowd) = self.locks.get_mut(&key).and_then(|lock| lock.crowd.as_mut()) {
            crowd.queue.retain(|w| w.ticket != ticket);
        }
        self.serve(&key, &mut released);
        (true, released)
    }

    /// Releases everything that the owner holds. Its waits, if any, stay.
    pub fn release_all(&mut self, owner: TxnId) -> Released {
        let mut released = Released::default();
        for key in self.held.remove(&owner).unwrap_or_default() {
            let Some(lock) = self.locks.get_mut(&key) else { continue };
            if !lock.remove(owner) {
                let next = lock.crowd.as_mut().and_then(|crowd| crowd.queue.pop_front());
                let Some(next) = next else {
                    self.locks.remove(&key);
                    continue;
                };
                (lock.holder, lock.mode) = (next.owner, next.mode);
                self.waits.remove(&next.ticket);
                self.held.entry(next.owner).or_default().push(key.clone());
                released.granted.push(next.ticket);
            }
            self.serve(&key, &mut released);
        }
        released
    }

    /// Grants the front of the queue while it can be.
    fn serve(&mut self, key: &K, released: &mut Released) {
        let Some(lock) = self.locks.get_mut(key) else { return };
        while let Some(front) = lock.crowd.as_ref().and_then(|crowd| crowd.queue.front()) {
            let (owner, mode, ticket) = (front.owner, front.mode, front.ticket);
            if !lock.admits(owner, mode) {
                break;
            }
            match lock.held_by(owner) {
                Some(held) => lock.set_mode(owner, held.max(mode)),
                None => {
                    lock.add(owner, mode);
                    self.held.entry(owner).or_default().push(key.clone());
                }
            }
            if let Some(crowd) = &mut lock.crowd {
                crowd.queue.pop_front();
            }
            self.waits.remove(&ticket);
            released.granted.push(ticket);
        }
        if let Some(crowd) = &lock.crowd {
            released.waiting.extend(crowd.queue.iter().map(|w| w.ticket));
            if crowd.queue.is_empty() && crowd.others.is_empty() {
                lock.crowd = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use types::NodeId;

    fn x(number: u64) -> TxnId {
        TxnId { node: NodeId(1), number }
    }

    fn ticket(acquired: Acquired) -> Ticket {
        match acquired {
            Acquired::Wait(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_row_passes_from_one_to_the_next_in_the_order_of_asking() {
        let mut t = LockTable::default();
        assert_eq!(t.acquire(x(1), 'a', Mode::Exclusive), Acquired::Granted);
        assert_eq!(t.acquire(x(1), 'a', Mode::Exclusive), Acquired::Held);
        let two = ticket(t.acquire(x(2), 'a', Mode::Exclusive));
        let three = ticket(t.acquire(x(3), 'a', Mode::Exclusive));
        assert_eq!(t.blockers(two), vec![x(1)]);
        assert_eq!(t.blockers(three), vec![x(1), x(2)]);
        assert_eq!(t.release_all(x(1)), Released { granted: vec![two], waiting: vec![three] });
        assert_eq!(t.blockers(three), vec![x(2)]);
        assert_eq!(t.held_by(x(2), &'a'), Some(Mode::Exclusive));
        assert_eq!(t.release_all(x(2)).granted, vec![three]);
        assert!(t.release_all(x(3)).granted.is_empty());
        assert!(!t.is_locked(&'a'));
    }

    #[test]
    fn a_wait_that_is_given_up_lets_those_behind_it_on() {
        let mut t = LockTable::default();
        t.acquire(x(1), 'a', Mode::Intention);
        let two = ticket(t.acquire(x(2), 'a', Mode::Exclusive));
        let three = ticket(t.acquire(x(3), 'a', Mode::Intention));
        assert_eq!(t.cancel(two), (true, Released { granted: vec![three], waiting: vec![] }));
        assert_eq!(t.cancel(three), (false, Released::default()));
        assert_eq!(t.held_by(x(3), &'a'), Some(Mode::Intention));
    }

    #[test]
    fn a_holder_that_wants_more_goes_before_those_that_hold_nothing() {
        let mut t = LockTable::default();
        t.acquire(x(1), 'a', Mode::Intention);
        t.acquire(x(2), 'a', Mode::Intention);
        let new = ticket(t.acquire(x(3), 'a', Mode::Exclusive));
        let up = ticket(t.acquire(x(1), 'a', Mode::Exclusive));
        assert_eq!(t.blockers(up), vec![x(2)]);
        assert_eq!(t.release_all(x(2)).granted, vec![up]);
        assert_eq!(t.held_by(x(1), &'a'), Some(Mode::Exclusive));
        assert_eq!(t.release_all(x(1)).granted, vec![new]);
    }

    /// Random traffic against a model that knows only the rules.
    #[test]
    fn holders_stay_compatible_and_nobody_waits_for_nothing() {
        for seed in 0..200 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut t: LockTable<u8> = LockTable::default();
            // Waits, and whose they are: a transaction waits once at a time here.
            let mut open: Vec<(Ticket, TxnId)> = Vec::new();
            for _ in 0..300 {
                let owner = x(rng.random_range(0..6));
                match rng.random_range(0..10) {
                    0..=6 if open.iter().all(|(_, waiter)| *waiter != owner) => {
                        let key = rng.random_range(0..4);
                        let weak = if key < 2 { Mode::Intention } else { Mode::Shared };
                        let mode = if rng.random_bool(0.5) { weak } else { Mode::Exclusive };
                        if let Acquired::Wait(ticket) = t.acquire(owner, key, mode) {
                            open.push((ticket, owner));
                        }
                    }
                    7 if !open.is_empty() => {
                        let (ticket, _) = open.swap_remove(rng.random_range(0..open.len()));
                        let released = t.cancel(ticket).1;
                        open.retain(|(w, _)| !released.granted.contains(w));
                    }
                    _ => {
                        let released = t.release_all(owner);
                        open.retain(|(w, _)| !released.granted.contains(w));
                    }
                }
                for lock in t.locks.values() {
                    let holders: Vec<_> = lock.holders().collect();
                    for (i, a) in holders.iter().enumerate() {
                        for b in &holders[i + 1..] {
                            assert!(a.0 != b.0 && a.1.compatible(b.1), "seed {seed}: {holders:?}");
                        }
                    }
                    if let Some(front) = lock.crowd.as_ref().and_then(|c| c.queue.front()) {
                        assert!(!lock.admits(front.owner, front.mode), "seed {seed}");
                    }
                }
                for (ticket, _) in &open {
                    assert!(t.waits(*ticket) && !t.blockers(*ticket).is_empty(), "seed {seed}");
                }
                assert_eq!(t.waits.len(), open.len());
            }
            for number in 0..12 {
                t.release_all(x(number % 6));
            }
        }
    }
}
