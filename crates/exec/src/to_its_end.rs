//! Work that nobody stops half-way.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::runtime::Handle;

/// Work that goes on to its end whoever waits for it: dropped before, it moves to a task of its own. Where
/// nobody drops it, it costs no task, and whom it waits for wakes the waiting task itself. A panic of the work is
/// an error, as a task's is.
pub struct ToItsEnd<F>(Option<Pin<Box<F>>>)
where
    F: Future + Send + 'static,
    F::Output: Send;

/// See [`ToItsEnd`]. The work begins when this is first polled.
pub fn to_its_end<F>(work: F) -> ToItsEnd<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    ToItsEnd(Some(Box::pin(work)))
}

/// What a panic said, if it was text.
pub(crate) fn words_of(panic: &(dyn Any + Send)) -> Option<String> {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
}

/// What a panic of some work said.
#[derive(Debug)]
pub struct Panicked(String);

impl std::fmt::Display for Panicked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "panic: {}", self.0)
    }
}

impl std::error::Error for Panicked {}

impl<F> Future for ToItsEnd<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.0 else { return Poll::Pending };
        let ended = match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(done)) => Ok(done),
            Err(panic) => Err(Panicked(words_of(&*panic).unwrap_or_else(|| "without words".to_string()))),
        };
        self.0 = None;
        Poll::Ready(ended)
    }
}

impl<F> Drop for ToItsEnd<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn drop(&mut self) {
        // Outside of a runtime nothing goes on.
        if let Some(work) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            drop(runtime.spawn(work));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::sync::{Notify, oneshot};

    #[tokio::test]
    async fn work_that_is_waited_for_ends_where_it_began() {
        let here = std::thread::current().id();
        let work = to_its_end(async {
            tokio::task::yield_now().await;
            std::thread::current().id()
        });
        assert_eq!(work.await.unwrap(), here);
    }

    #[tokio::test]
    async fn work_that_is_dropped_goes_on() {
        let (go, (done, ended)) = (Arc::new(Notify::new()), oneshot::channel());
        let wait = go.clone();
        let mut work = to_its_end(async move {
            wait.notified().await;
            let _ = done.send("done");
        });
        assert!(futures::poll!(&mut work).is_pending());
        drop(work);
        go.notify_one();
        assert_eq!(ended.await, Ok("done"));
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let work = to_its_end(async {
            tokio::task::yield_now().await;
            assert_eq!(1, 2, "so it is");
        });
        assert!(work.await.unwrap_err().to_string().contains("so it is"));
    }
}
