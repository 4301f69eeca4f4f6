//! Which statements run and which wait: a state machine without clock or tasks. Times are durations
//! since some beginning.
//!
//! Each class has a lane of its own:
//!
//! ```text
//!   ask --+-- fewer run than the limit, nobody waits --> running --> leave
//!         +-- entitled ------------------------------->   ^  |
//!         +-- the queue is full ----> refused             |  |  its client takes nothing for SLOW:
//!         +-- else --> waiting (first come, first served) +  +- it keeps running, and does not count
//! ```
//!
//! *Entitled* is who holds what those that run may wait for, like row locks: it never waits here, or all
//! could wait for each other.
//!
//! A statement whose client does not take the rows uses no core. So that a few such clients do not hold
//! up all others, it does not count after [`SLOW`], until its client takes rows again; then more may run
//! than the limit says, until one ends.

use super::Class;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A statement does not count once its client has taken no row for so long.
pub(crate) const SLOW: Duration = Duration::from_secs(1);

/// How many statements may run and wait. 0 of those that run: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) light: usize,
    pub(crate) heavy: usize,
    /// In each class.
    pub(crate) waiting: usize,
}

impl Limits {
    fn running(&self, class: Class) -> usize {
        let limit = match class {
            Class::Light => self.light,
            Class::Heavy => self.heavy,
        };
        if limit == 0 { usize::MAX } else { limit }
    }
}

/// A statement that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket {
    class: Class,
    number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Runs(Ticket),
    Waits(Ticket),
    /// So many wait already.
    Full(usize),
}

#[derive(Debug, Default)]
struct Lane {
    /// With the time since which the client has rows that it does not take.
    running: BTreeMap<Ticket, Option<Duration>>,
    waiting: VecDeque<Ticket>,
}

impl Lane {
    fn counted(&self, now: Duration) -> usize {
        self.running.values().filter(|idle| idle.is_none_or(|since| now < since + SLOW)).count()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    light: Lane,
    heavy: Lane,
    last: u64,
}

impl Queue {
    fn lane(&mut self, class: Class) -> &mut Lane {
        match class {
            Class::Light => &mut self.light,
            Class::Heavy => &mut self.heavy,
        }
    }

    /// A statement wants to run.
    pub(crate) fn ask(&mut self, class: Class, entitled: bool, limits: Limits, now: Duration) -> Asked {
        self.last += 1;
        let ticket = Ticket { class, number: self.last };
        let lane = self.lane(class);
        // The length decides at once where nothing is near the limit.
        let limit = limits.running(class);
        let free = lane.waiting.is_empty() && (lane.running.len() < limit || lane.counted(now) < limit);
        if entitled || free {
            lane.running.insert(ticket, None);
            return Asked::Runs(ticket);
        }
        if lane.waiting.len() >= limits.waiting {
            return Asked::Full(lane.waiting.len());
        }
        lane.waiting.push_back(ticket);
        Asked::Waits(ticket)
    }

    /// Those that run from now on.
    pub(crate) fn next(&mut self, limits: Limits, now: Duration) -> Vec<Ticket> {
        let mut started = Vec::new();
        for class in Class::ALL {
            let lane = self.lane(class);
            if lane.waiting.is_empty() {
                continue;
            }
            let free = limits.running(class).saturating_sub(lane.counted(now));
            for _ in 0..free {
                let Some(ticket) = lane.waiting.pop_front() else { break };
                lane.running.insert(ticket, None);
                started.push(ticket);
            }
        }
        started
    }

    /// A statement has ended, or waits no longer.
    pub(crate) fn leave(&mut self, ticket: Ticket) {
        let lane = self.lane(ticket.class);
        if lane.running.remove(&ticket).is_none() {
            lane.waiting.retain(|waiting| *waiting != ticket);
        }
    }

    /// The client of a running statement was given rows.
    pub(crate) fn gave_rows(&mut self, ticket: Ticket, now: Duration) {
        if let Some(idle) = self.lane(ticket.class).running.get_mut(&ticket) {
            *idle = Some(now);
        }
    }

    /// The client of a running statement asks for rows.
    pub(crate) fn wants_rows(&mut self, ticket: Ticket) {
        if let Some(idle) = self.lane(ticket.class).running.get_mut(&ticket) {
            *idle = None;
        }
    }

    /// Statements that wait, whatever their class.
    pub(crate) fn waiting(&self) -> usize {
        self.light.waiting.len() + self.heavy.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { light: 4, heavy: 2, waiting: 3 };
    const T0: Duration = Duration::ZERO;

    fn runs(asked: Asked) -> Ticket {
        match asked {
            Asked::Runs(ticket) => ticket,
            other => panic!("it does not run: {other:?}"),
        }
    }

    fn waits(asked: Asked) -> Ticket {
        match asked {
            Asked::Waits(ticket) => ticket,
            other => panic!("it does not wait: {other:?}"),
        }
    }

    fn heavy(queue: &mut Queue) -> Asked {
        queue.ask(Class::Heavy, false, LIMITS, T0)
    }

    #[test]
    fn who_came_first_runs_first() {
        let mut queue = Queue::default();
        let (a, b) = (runs(heavy(&mut queue)), runs(heavy(&mut queue)));
        let (c, d) = (waits(heavy(&mut queue)), waits(heavy(&mut queue)));
        assert_eq!(queue.next(LIMITS, T0), []);
        queue.leave(b);
        // Who comes now does not overtake those that wait.
        let e = waits(heavy(&mut queue));
        assert_eq!(queue.next(LIMITS, T0), [c]);
        queue.leave(a);
        queue.leave(c);
        assert_eq!(queue.next(LIMITS, T0), [d, e]);
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn a_full_queue_refuses_and_who_leaves_it_makes_room() {
        let mut queue = Queue::default();
        let (a, _) = (runs(heavy(&mut queue)), runs(heavy(&mut queue)));
        let first = waits(heavy(&mut queue));
        let (second, third) = (waits(heavy(&mut queue)), waits(heavy(&mut queue)));
        assert_eq!(heavy(&mut queue), Asked::Full(3));
        queue.leave(first);
        let fourth = waits(heavy(&mut queue));
        queue.leave(a);
        assert_eq!(queue.next(LIMITS, T0), [second]);
        queue.leave(second);
        queue.leave(third);
        assert_eq!(queue.next(LIMITS, T0), [fourth]);
    }

    #[test]
    fn light_statements_do_not_wait_for_heavy_ones() {
        let mut queue = Queue::default();
        while let Asked::Runs(_) = heavy(&mut queue) {}
        for _ in 0..LIMITS.light {
            runs(queue.ask(Class::Light, false, LIMITS, T0));
        }
        waits(queue.ask(Class::Light, false, LIMITS, T0));
    }

    #[test]
    fn who_holds_locks_never_waits() {
        let mut queue = Queue::default();
        while heavy(&mut queue) != Asked::Full(3) {}
        let holder = runs(queue.ask(Class::Heavy, true, LIMITS, T0));
        queue.leave(holder);
        assert_eq!(queue.next(LIMITS, T0), [], "it ran beyond the limit");
    }

    #[test]
    fn a_client_that_takes_nothing_holds_up_nobody_for_long() {
        let mut queue = Queue::default();
        let (slow, _) = (runs(heavy(&mut queue)), runs(heavy(&mut queue)));
        let (next, last) = (waits(heavy(&mut queue)), waits(heavy(&mut queue)));
        queue.gave_rows(slow, T0);
        assert_eq!(queue.next(LIMITS, SLOW - Duration::from_millis(1)), []);
        assert_eq!(queue.next(LIMITS, SLOW), [next]);
        // It counts again once its client goes on, so nobody takes the place of the next that ends.
        queue.wants_rows(slow);
        queue.leave(next);
        assert_eq!(queue.next(LIMITS, SLOW), []);
        queue.leave(slow);
        assert_eq!(queue.next(LIMITS, SLOW), [last]);
    }

    #[test]
    fn limits_may_change_and_none_is_no_limit() {
        let mut queue = Queue::default();
        while heavy(&mut queue) != Asked::Full(3) {}
        assert_eq!(queue.next(Limits { heavy: 3, ..LIMITS }, T0).len(), 1);
        assert_eq!(queue.next(Limits { heavy: 0, ..LIMITS }, T0).len(), 2);
        runs(queue.ask(Class::Heavy, false, Limits { heavy: 0, ..LIMITS }, T0));
        assert_eq!(queue.ask(Class::Heavy, false, Limits { waiting: 0, ..LIMITS }, T0), Asked::Full(0));
    }
}
