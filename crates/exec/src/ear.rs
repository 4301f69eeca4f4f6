//! What the values of a query warn of, while its rows flow.
//!
//! Who polls a stage's work does it within [`Ear::listen`], so that warnings of what is evaluated there come to the ear
//! of the query's part. With each batch of another part's or another node's rows, and where their stream ends, what was
//! heard there is raised again by what reads it ([`sql::functions::warnings::pass_on`]), within the ear of the reader's
//! part: so it comes at last to that of the node that was asked.

use parking_lot::Mutex;
use sql::functions::warnings::{Heard, hear};
use std::sync::Arc;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Ear(Arc<Mutex<Heard>>);

impl Ear {
    pub(crate) fn listen<T>(&self, work: impl FnOnce() -> T) -> T {
        let (done, heard) = hear(work);
        if !heard.is_empty() {
            self.0.lock().append(heard);
        }
        done
    }

    pub(crate) async fn listen_to<F: Future>(&self, work: F) -> F::Output {
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|context| self.listen(|| work.as_mut().poll(context))).await
    }

    /// What was heard since this was asked last.
    pub fn take(&self) -> Heard {
        std::mem::take(&mut self.0.lock())
    }

    /// How many warnings were heard since then.
    pub fn count(&self, divisions: bool) -> u64 {
        self.0.lock().count(divisions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sql::convert::Warning;
    use sql::functions::warnings::pass_on;
    use types::ErrorKind;

    fn warning(message: &str) -> Heard {
        let warning = Warning { kind: ErrorKind::WrongValue, message: message.to_string() };
        Heard { warnings: vec![warning], ..Heard::default() }
    }

    #[tokio::test]
    async fn each_ear_hears_its_own_work() {
        let (outer, inner) = (Ear::default(), Ear::default());
        let of_inner = inner.clone();
        outer
            .listen_to(async move {
                pass_on(warning("a"));
                tokio::task::yield_now().await;
                of_inner.listen_to(async { pass_on(warning("b")) }).await;
                pass_on(warning("c"));
            })
            .await;
        pass_on(warning("to nobody"));
        assert_eq!((outer.count(true), inner.count(true)), (2, 1));
        assert_eq!(inner.take(), warning("b"));
        assert!(inner.take().is_empty());
    }
}
