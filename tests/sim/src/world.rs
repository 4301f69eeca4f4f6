//! Time, the network, and the order of events: an executor of one thread whose clock is an event queue.
//!
//! A process is a node with clocks. Its work is futures; they are polled when something happens. A
//! process that crashes loses its futures; one that is paused does nothing and gets its messages later.

use env::SimClock;
use futures::future::LocalBoxFuture;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use types::NodeId;

/// How long a caller waits for an answer.
pub const CALL_MILLIS: u64 = 1_500;

/// How often things go wrong. All zero: a network that only delays.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Of messages, in thousandths.
    pub lost: u32,
    pub repeated: u32,
    /// Delayed for up to three seconds.
    pub late: u32,
}

impl Weather {
    pub const FAIR: Weather = Weather { lost: 0, repeated: 0, late: 0 };
    pub const FOUL: Weather = Weather { lost: 25, repeated: 40, late: 25 };
}

/// What a process is to the rest of the world.
pub struct Process {
    pub clock: Arc<SimClock>,
    /// Rises with each start; messages and tasks of an earlier life are dropped.
    pub life: u64,
    pub up: bool,
    paused_until: u64,
}

/// Carried out at the receiver when the message arrives.
type Deliver = Rc<dyn Fn()>;

struct Task {
    node: NodeId,
    life: u64,
    future: LocalBoxFuture<'static, ()>,
}

struct Inner {
    now: u64,
    next: u64,
    rng: StdRng,
    weather: Weather,
    processes: BTreeMap<NodeId, Process>,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// By time, then by number: what happens.
    events: BTreeMap<(u64, u64), Event>,
    tasks: BTreeMap<u64, Task>,
    traced: bool,
}

enum Event {
    /// At this node, of this life of it (none: whichever).
    Message { to: NodeId, life: Option<u64>, deliver: Deliver },
    /// Somebody's sleep is over.
    Wake,
    /// The tester does something.
    Act(Box<dyn FnOnce(&World)>),
}

/// A handle on the world.
#[derive(Clone)]
pub struct World {
    inner: Rc<RefCell<Inner>>,
}

/// Nobody answered in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost;

impl World {
    pub fn new(seed: u64) -> World {
        World {
            inner: Rc::new(RefCell::new(Inner {
                now: 0,
                next: 0,
                rng: StdRng::seed_from_u64(seed),
                weather: Weather::FAIR,
                processes: BTreeMap::new(),
                cut: BTreeSet::new(),
                events: BTreeMap::new(),
                tasks: BTreeMap::new(),
                traced: std::env::var_os("PANDO_SIM_TRACE").is_some(),
            })),
        }
    }

    pub fn add_process(&self, node: NodeId) -> Arc<SimClock> {
        let clock = SimClock::at_millis(1_000_000_000);
        let process = Process { clock: clock.clone(), life: 0, up: true, paused_until: 0 };
        self.inner.borrow_mut().processes.insert(node, process);
        clock
    }

    pub fn set_weather(&self, weather: Weather) {
        self.inner.borrow_mut().weather = weather;
    }

    /// Tells what happens, if `PANDO_SIM_TRACE` is set.
    pub fn trace(&self, what: impl FnOnce() -> String) {
        if self.inner.borrow().traced {
            eprintln!("{:>6} {}", self.now(), what());
        }
    }

    pub fn now(&self) -> u64 {
        self.inner.borrow().now
    }

    pub fn random<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.inner.borrow_mut().rng)
    }

    /// A number from `range`.
    pub fn between(&self, range: std::ops::Range<u64>) -> u64 {
        self.random(|rng| rng.random_range(range))
    }

    pub fn chance(&self, of: f64) -> bool {
        self.random(|rng| rng.random_bool(of))
    }

    pub fn is_up(&self, node: NodeId) -> bool {
        self.inner.borrow().processes[&node].up
    }

    /// The process is gone: its tasks end, what is on its way to it is lost.
    pub fn crash(&self, node: NodeId) {
        let gone: Vec<Task> = {
            let mut inner = self.inner.borrow_mut();
            if let Some(process) = inner.processes.get_mut(&node) {
                process.up = false;
                process.life += 1;
            }
            let mut gone = Vec::new();
            let ids: Vec<u64> =
                inner.tasks.iter().filter(|(_, t)| t.node == node).map(|(id, _)| *id).collect();
            for id in ids {
                gone.extend(inner.tasks.remove(&id));
            }
            gone
        };
        // Dropped outside of the borrow: their values may look at the world.
        drop(gone);
    }

    pub fn start(&self, node: NodeId) {
        if let Some(process) = self.inner.borrow_mut().processes.get_mut(&node) {
            process.up = true;
            process.paused_until = 0;
        }
    }

    pub fn pause(&self, node: NodeId, millis: u64) {
        let mut inner = self.inner.borrow_mut();
        let until = inner.now + millis;
        if let Some(process) = inner.processes.get_mut(&node) {
            process.paused_until = until;
        }
        drop(inner);
        self.at(millis, |_| {});
    }

    /// The wall clock of a process steps by so many milliseconds, but stays within a second of the
    /// true time.
    pub fn step_clock(&self, node: NodeId, millis: i64) {
        let inner = self.inner.borrow();
        let clock = &inner.processes[&node].clock;
        let truth = (1_000_000_000 + inner.now) as i64;
        let stepped =
            (env::Clock::wall_millis(clock.as_ref()) as i64 + millis).clamp(truth - 1_000, truth + 1_000);
        clock.step_wall(stepped as u64);
    }

    /// Cuts, or mends, what lies between two processes.
    pub fn cut(&self, a: NodeId, b: NodeId, is_cut: bool) {
        let mut inner = self.inner.borrow_mut();
        for pair in [(a, b), (b, a)] {
            if is_cut {
                inner.cut.insert(pair);
            } else {
                inner.cut.remove(&pair);
            }
        }
    }

    pub fn mend_all(&self) {
        self.inner.borrow_mut().cut.clear();
    }

    fn event(&self, after: u64, event: Event) {
        let mut inner = self.inner.borrow_mut();
        inner.next += 1;
        let key = (inner.now + after, inner.next);
        inner.events.insert(key, event);
    }

    /// Does something in `after` milliseconds.
    pub fn at(&self, after: u64, act: impl FnOnce(&World) + 'static) {
        self.event(after, Event::Act(Box::new(act)));
    }

    pub fn spawn(&self, node: NodeId, future: impl Future<Output = ()> + 'static) {
        let mut inner = self.inner.borrow_mut();
        inner.next += 1;
        let (id, life) = (inner.next, inner.processes[&node].life);
        inner.tasks.insert(id, Task { node, life, future: Box::pin(future) });
        drop(inner);
        self.event(0, Event::Wake);
    }

    pub async fn sleep(&self, millis: u64) {
        let until = self.now() + millis;
        self.event(millis, Event::Wake);
        poll_fn(|_| if self.now() >= until { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Sends a message over the network.
    fn send(&self, from: NodeId, to: NodeId, life: Option<u64>, deliver: Deliver) {
        let (copies, delays) = {
            let mut inner = self.inner.borrow_mut();
            let weather = inner.weather;
            let mut of = |thousandths: u32| inner.rng.random_range(0..1_000) < thousandths;
            let lost = of(weather.lost) && from != to;
            let copies = if lost { 0 } else { 1 + usize::from(of(weather.repeated) && from != to) };
            let delays: Vec<u64> = (0..copies)
                .map(|_| {
                    let late = inner.rng.random_range(0..1_000) < weather.late;
                    if from == to { 0 } else { inner.rng.random_range(1..if late { 3_000 } else { 12 }) }
                })
                .collect();
            (copies, delays)
        };
        if self.inner.borrow().cut.contains(&(from, to)) {
            return;
        }
        for delay in delays.into_iter().take(copies) {
            self.event(delay, Event::Message { to, life, deliver: deliver.clone() });
        }
    }

    /// Calls `serve` at `to`, whose answer comes back, or does not. A request that arrives again is
    /// carried out again, but as on a connection only the first one is answered.
    pub async fn call<A: Clone + 'static>(
        &self,
        from: NodeId,
        to: NodeId,
        serve: impl Fn(Answering<A>) + 'static,
    ) -> Result<A, Lost> {
        let slot: Rc<RefCell<Option<A>>> = Rc::default();
        let life = self.inner.borrow().processes[&from].life;
        let deliver = {
            let (world, first) = (self.clone(), RefCell::new(Some(slot.clone())));
            move || {
                let slot = first.take().unwrap_or_default();
                serve(Answering { world: world.clone(), from, to, life, slot });
            }
        };
        self.send(from, to, None, Rc::new(deliver));
        let until = self.now() + CALL_MILLIS;
        self.event(CALL_MILLIS, Event::Wake);
        poll_fn(|_| match slot.borrow_mut().take() {
            Some(answer) => Poll::Ready(Ok(answer)),
            None if self.now() >= until => Poll::Ready(Err(Lost)),
            None => Poll::Pending,
        })
        .await
    }

    /// Runs until `until`, or until nothing is left to happen.
    pub fn run_until(&self, until: u64) {
        loop {
            let next = {
                let mut inner = self.inner.borrow_mut();
                match inner.events.first_key_value() {
                    Some((key, _)) if key.0 <= until => {
                        let key = *key;
                        let passed = key.0 - inner.now;
                        inner.now = key.0;
                        inner.processes.values().for_each(|process| process.clock.advance(passed));
                        inner.events.remove(&key)
                    }
                    _ => None,
                }
            };
            match next {
                None => break,
                Some(Event::Wake) => {}
                Some(Event::Act(act)) => act(self),
                Some(Event::Message { to, life, deliver }) => self.deliver(to, life, deliver),
            }
            self.poll_all();
        }
        let mut inner = self.inner.borrow_mut();
        let passed = until.saturating_sub(inner.now);
        inner.now += passed;
        inner.processes.values().for_each(|process| process.clock.advance(passed));
    }

    fn deliver(&self, to: NodeId, life: Option<u64>, deliver: Deliver) {
        let later = {
            let inner = self.inner.borrow();
            let process = &inner.processes[&to];
            if !process.up || life.is_some_and(|life| life != process.life) {
                return;
            }
            process.paused_until.saturating_sub(inner.now)
        };
        if later > 0 {
            self.event(later, Event::Message { to, life, deliver });
        } else {
            deliver();
        }
    }

    fn poll_all(&self) {
        let ids: Vec<u64> = self.inner.borrow().tasks.keys().copied().collect();
        for id in ids {
            let task = {
                let mut inner = self.inner.borrow_mut();
                let now = inner.now;
                let Some(task) = inner.tasks.get(&id) else { continue };
                if inner.processes[&task.node].paused_until > now {
                    continue;
                }
                inner.tasks.remove(&id)
            };
            let Some(mut task) = task else { continue };
            let mut context = Context::from_waker(Waker::noop());
            if task.future.as_mut().poll(&mut context).is_pending() {
                let mut inner = self.inner.borrow_mut();
                let process = &inner.processes[&task.node];
                if process.up && process.life == task.life {
                    inner.tasks.insert(id, task);
                }
            }
        }
    }
}

/// What the receiver of a call answers with.
pub struct Answering<A> {
    world: World,
    from: NodeId,
    to: NodeId,
    life: u64,
    slot: Rc<RefCell<Option<A>>>,
}

impl<A: Clone + 'static> Answering<A> {
    pub fn answer(self, answer: A) {
        let slot = self.slot;
        let put = move || {
            slot.borrow_mut().get_or_insert_with(|| answer.clone());
        };
        self.world.send(self.to, self.from, Some(self.life), Rc::new(put));
    }
}
