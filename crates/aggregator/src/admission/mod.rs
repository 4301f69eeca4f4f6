//! Admission: how many statements of an aggregator run at the same time.
//!
//! A statement that reads or writes rows asks for admission once its plan, and so its [`Class`], is
//! known, and before it takes its snapshot; it is admitted until its last row is sent. Those that only
//! look at the catalog, end transactions or kill are not counted. [`Queue`] decides; this file waits.
//!
//! The limits are global variables, so they hold on every aggregator from the next statement on:
//!
//! | variable | meaning |
//! |---|---|
//! | `admission_light_limit` | statements that read few rows |
//! | `admission_heavy_limit` | all others |
//! | `admission_queue_limit` | statements of a class that wait; the next one fails with error 1637 |
//! | `admission_queue_timeout` | seconds that one waits at most; then it fails with error 3024 |

mod class;
mod queue;

pub(crate) use class::{Class, class_of};

use crate::processes::{Process, Stage};
use arrow::record_batch::RecordBatch;
use exec::Cancel;
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use queue::{Asked, Limits, Queue, Ticket};
use sql::variables::Variables;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use types::{ErrorKind, Result, SqlError};

/// How often one that waits looks whether the limits were raised, or clients have become slow.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What the variables say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    limits: Limits,
    timeout: Duration,
}

impl Settings {
    pub(crate) fn of(variables: &Variables) -> Settings {
        // Invariant: the table of variables has them, with defaults and bounds.
        let number = |name: &str| variables.number(name).unwrap_or_default();
        let count = |name: &str| usize::try_from(number(name)).unwrap_or(usize::MAX);
        Settings {
            limits: Limits {
                light: count("admission_light_limit"),
                heavy: count("admission_heavy_limit"),
                waiting: count("admission_queue_limit"),
            },
            timeout: Duration::from_secs(number("admission_queue_timeout")),
        }
    }
}

/// A statement that asks.
pub(crate) struct Applicant<'a> {
    pub(crate) class: Class,
    /// It holds what others may wait for.
    pub(crate) entitled: bool,
    pub(crate) cancel: &'a Cancel,
    pub(crate) process: &'a Process,
}

/// The statements of an aggregator.
pub(crate) struct Admission {
    state: Mutex<State>,
    beginning: Instant,
    counts: Counts,
}

struct State {
    queue: Queue,
    /// As they were last read.
    limits: Limits,
    /// Those that wait.
    callers: HashMap<Ticket, oneshot::Sender<()>>,
}

/// Since the start.
#[derive(Default)]
struct Counts {
    waits: AtomicU64,
    waited_micros: AtomicU64,
    refused: AtomicU64,
    timed_out: AtomicU64,
}

/// What the metrics show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Waits {
    /// Statements that wait now.
    pub(crate) waiting: usize,
    /// Statements that had to wait and do so no longer, and for how long all of them together.
    pub(crate) ended: u64,
    pub(crate) waited: Duration,
    pub(crate) refused: u64,
    pub(crate) timed_out: u64,
}

/// A statement's place, taken or still waited for, until this is dropped.
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    ticket: Ticket,
}

impl Admission {
    pub(crate) fn new() -> Arc<Admission> {
        let limits = Limits { light: 0, heavy: 0, waiting: 0 };
        let state = State { queue: Queue::default(), limits, callers: HashMap::new() };
        Arc::new(Admission { state: Mutex::new(state), beginning: Instant::now(), counts: Counts::default() })
    }

    /// Waits until the statement may run; `settings` is asked again while it waits. Errors: 1637, 3024,
    /// and why the statement was cancelled.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        applicant: Applicant<'_>,
        settings: impl Fn() -> Settings,
    ) -> Result<Admitted> {
        let Settings { limits, timeout } = settings();
        let (admitted, called) = {
            let mut state = self.state.lock();
            state.limits = limits;
            match state.queue.ask(applicant.class, applicant.entitled, limits, self.now()) {
                Asked::Runs(ticket) => return Ok(Admitted { admission: self.clone(), ticket }),
                Asked::Full(waiting) => {
                    self.counts.refused.fetch_add(1, Ordering::Relaxed);
                    return Err(full(waiting));
                }
                Asked::Waits(ticket) => {
                    let (caller, called) = oneshot::channel();
                    state.callers.insert(ticket, caller);
                    (Admitted { admission: self.clone(), ticket }, called)
                }
            }
        };
        applicant.process.stage(Stage::Queued);
        let wait = Wait { counts: &self.counts, began: Instant::now() };
        let result = tokio::select! {
            biased;
            // The other end goes only when it has called, or with `admitted`.
            _ = called => Ok(()),
            reason = applicant.cancel.cancelled() => Err(reason),
            () = tokio::time::sleep(timeout) => {
                self.counts.timed_out.fetch_add(1, Ordering::Relaxed);
                Err(timed_out(timeout))
            }
            never = self.look(&settings) => match never {},
        };
        drop(wait);
        applicant.process.stage(Stage::Executing);
        result.map(|()| admitted)
    }

    /// Lets those run that may, whenever the limits or the time say so.
    async fn look(&self, settings: impl Fn() -> Settings) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let mut state = self.state.lock();
            state.limits = settings().limits;
            state.call_next(self.now());
        }
    }

    fn now(&self) -> Duration {
        self.beginning.elapsed()
    }

    pub(crate) fn waits(&self) -> Waits {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Waits {
            waiting: self.state.lock().queue.waiting(),
            ended: count(&self.counts.waits),
            waited: Duration::from_micros(count(&self.counts.waited_micros)),
            refused: count(&self.counts.refused),
            timed_out: count(&self.counts.timed_out),
        }
    }
}

impl State {
    fn call_next(&mut self, now: Duration) {
        for ticket in self.queue.next(self.limits, now) {
            if let Some(caller) = self.callers.remove(&ticket) {
                // One that has just given up leaves the queue by itself.
                let _ = caller.send(());
            }
        }
    }
}

/// Counts a wait when it ends, whichever way.
struct Wait<'a> {
    counts: &'a Counts,
    began: Instant,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.counts.waited_micros.fetch_add(micros, Ordering::Relaxed);
        self.counts.waits.fetch_add(1, Ordering::Relaxed);
    }
}

fn full(waiting: usize) -> SqlError {
    SqlError::new(
        ErrorKind::TooManyConcurrentStatements,
        format!(
            "Too many active concurrent statements: {waiting} of this kind wait already \
             (@@admission_queue_limit); try again later"
        ),
    )
}

fn timed_out(timeout: Duration) -> SqlError {
    SqlError::new(
        ErrorKind::QueryTimeout,
        format!(
            "Query execution was interrupted, it has waited for other statements for {} s \
             (@@admission_queue_timeout); try again later",
            timeout.as_secs()
        ),
    )
}

impl Admitted {
    /// The rows of the statement, which is admitted until they end.
    pub(crate) fn over<S>(self, rows: S) -> AdmittedRows<S> {
        AdmittedRows { rows, admitted: Some(self) }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut state = self.admission.state.lock();
        state.callers.remove(&self.ticket);
        state.queue.leave(self.ticket);
        state.call_next(self.admission.now());
    }
}

/// See [`Admitted::over`].
pub(crate) struct AdmittedRows<S> {
    rows: S,
    admitted: Option<Admitted>,
}

impl<S: Stream<Item = Result<RecordBatch>> + Unpin> Stream for AdmittedRows<S> {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(Admitted { admission, ticket }) = &self.admitted {
            admission.state.lock().queue.wants_rows(*ticket);
        }
        let next = self.rows.poll_next_unpin(cx);
        match &next {
            Poll::Ready(Some(Ok(_))) => {
                if let Some(Admitted { admission, ticket }) = &self.admitted {
                    admission.state.lock().queue.gave_rows(*ticket, admission.now());
                }
            }
            Poll::Ready(_) => self.admitted = None,
            Poll::Pending => {}
        }
        next
    }
}
