//! Waits that queries ask for: SLEEP().
//!
//! Who evaluates it does not wait ([`sql::functions::sleep`]). [`Napping`] stands around the rows of a stage and
//! holds back what came of a poll for as long as the calls in it asked to wait. The wait is one of a timer, so it keeps
//! no thread, and it ends with its query.

use crate::query::{Cancel, Nap};
use futures::{Stream, StreamExt};
use sql::functions::sleep::owing;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// A stream, or a future, that waits as what it polls asks for.
pub(crate) struct Napping<S, T> {
    inner: S,
    nap: Option<(Pin<Box<Sleep>>, Nap)>,
    /// Of the query, which shows that it waits.
    cancel: Cancel,
    /// What is seen once the nap is over, if anything came.
    held: Option<T>,
}

impl<S, T> Napping<S, T> {
    pub(crate) fn new(inner: S, cancel: Cancel) -> Napping<S, T> {
        Napping { inner, nap: None, cancel, held: None }
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.nap.is_some()
    }

    fn poll_by(
        &mut self,
        context: &mut Context<'_>,
        mut poll: impl FnMut(&mut S, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        loop {
            if let Some((nap, _)) = &mut self.nap {
                ready!(nap.as_mut().poll(context));
                self.nap = None;
            }
            if let Some(held) = self.held.take() {
                return Poll::Ready(held);
            }
            let (polled, owed) = owing(|| poll(&mut self.inner, context));
            if owed == Duration::ZERO {
                return polled;
            }
            self.nap = Some((Box::pin(tokio::time::sleep(owed)), self.cancel.nap()));
            if let Poll::Ready(done) = polled {
                self.held = Some(done);
            }
        }
    }
}

impl<S: Stream + Unpin> Stream for Napping<S, Option<S::Item>>
where
    S::Item: Unpin,
{
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.get_mut().poll_by(context, |inner, context| inner.poll_next_unpin(context))
    }
}

/// Work of a query that has a task of its own.
pub(crate) async fn napping<F: Future>(work: F, cancel: Cancel) -> F::Output {
    let mut work = std::pin::pin!(work);
    let mut napping = Napping::new((), cancel);
    std::future::poll_fn(|context| napping.poll_by(context, |(), context| work.as_mut().poll(context))).await
}

/// Runs work, and says how long the calls in it ask to wait, which it does not.
pub async fn counting_naps<F: Future>(work: F) -> (F::Output, Duration) {
    let mut work = std::pin::pin!(work);
    let mut total = Duration::ZERO;
    let done = std::future::poll_fn(|context| {
        let (polled, owed) = owing(|| work.as_mut().poll(context));
        total = total.saturating_add(owed);
        polled
    });
    (done.await, total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, stream};
    use sql::functions::sleep::wait;
    use tokio::time::Instant;

    #[tokio::test]
    async fn what_came_is_held_back_for_as_long_as_was_asked() {
        let began = Instant::now();
        let rows = stream::iter([0.02, 0.0, 0.03]).map(|seconds| {
            wait(seconds);
            seconds
        });
        let query = Cancel::new();
        let mut rows = Napping::new(rows, query.child());
        assert!(rows.next().now_or_never().is_none() && query.is_napping());
        let mut seen = Vec::new();
        while let Some(seconds) = rows.next().await {
            assert!(!query.is_napping());
            seen.push((seconds, began.elapsed()));
        }
        assert_eq!(seen.iter().map(|(seconds, _)| *seconds).collect::<Vec<_>>(), [0.02, 0.0, 0.03]);
        assert!(seen[0].1 >= Duration::from_millis(20) && seen[2].1 >= Duration::from_millis(50), "{seen:?}");
        assert_eq!(owing(|| ()).1, Duration::ZERO, "nothing is left to others");
    }

    #[tokio::test]
    async fn work_waits_where_it_gives_way_and_at_its_end() {
        let began = Instant::now();
        let twice = async {
            wait(0.02);
            tokio::task::yield_now().await;
            let between = began.elapsed();
            wait(0.03);
            between
        };
        assert!(napping(twice, Cancel::new()).await >= Duration::from_millis(20));
        assert!(began.elapsed() >= Duration::from_millis(50));
        let counted = counting_naps(async {
            wait(1000.0);
            tokio::task::yield_now().await;
            wait(2000.0)
        });
        assert_eq!(counted.await, (0, Duration::from_secs(3000)));
    }
}
