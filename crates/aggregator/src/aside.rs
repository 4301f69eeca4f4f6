//! Large statements, away from the threads that serve connections: to parse, bind and plan one takes as long as
//! thousands of small ones.
//!
//! * Its text is parsed, and its plan made, on threads that may be busy: [`Aside`]. Who waits for that gives up at
//!   once when the statement is cancelled, and the thread when planning next looks.
//! * It is bound on the thread that runs it, since binding looks at the session; the other tasks of that thread move
//!   meanwhile. Binding looks at each of its levels whether the statement is cancelled.
//! * One with a large text is a task of its own, so that its connection sees while it is bound that its client goes.
//!
//! Small statements do all that where they run, which is less than a change of threads.

use datafusion::common::Result as PlanResult;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::LogicalPlan;
use exec::Cancel;
use std::sync::Arc;
use std::thread::available_parallelism;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use types::{Result, SqlError};

/// From where a plan is large: nodes and expressions, where a node counts for [`NODE`] of them. The largest of
/// TPC-H's have a third of it.
const LARGE_PLAN: usize = 1_000;
const NODE: usize = 8;

/// Whether the plan takes long to optimize.
pub(crate) fn is_large_plan(plan: &LogicalPlan) -> bool {
    let mut size = 0;
    // Invariant: the closures never fail.
    let _: PlanResult<_> = plan.apply_with_subqueries(|node| {
        size += NODE;
        node.apply_expressions(|expr| {
            expr.apply(|_| {
                size += 1;
                Ok(go_on(size))
            })
        })?;
        Ok(go_on(size))
    });
    size >= LARGE_PLAN
}

fn go_on(size: usize) -> TreeNodeRecursion {
    if size < LARGE_PLAN { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop }
}

/// Threads for large statements: no more than there are cores, since each holds memory that is in no account.
pub(crate) struct Aside {
    places: Arc<Semaphore>,
}

impl Aside {
    pub(crate) fn new() -> Aside {
        let cores = available_parallelism().map_or(1, usize::from);
        Aside { places: Arc::new(Semaphore::new(cores)) }
    }

    /// Does `work` on such a thread, or gives it up once the statement is cancelled. The thread is taken until the
    /// work has ended.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        cancel: &Cancel,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let done = async {
            let place = self.places.clone().acquire_owned().await.map_err(SqlError::internal)?;
            let work = spawn_blocking(move || {
                let _place = place;
                work()
            });
            work.await.map_err(|error| {
                SqlError::internal(format!("the statement was not planned to its end: {error}"))
            })?
        };
        tokio::select! {
            biased;
            done = done => done,
            reason = cancel.cancelled() => Err(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::{LogicalPlanBuilder, lit};
    use std::sync::mpsc;
    use types::ErrorKind;

    fn one_row() -> LogicalPlanBuilder {
        LogicalPlanBuilder::empty(true)
    }

    #[test]
    fn plans_are_large_by_nodes_and_by_expressions() {
        let few = one_row().project([lit(1)]).unwrap().build().unwrap();
        assert!(!is_large_plan(&few));
        let values: Vec<_> = (0..LARGE_PLAN as i64).map(lit).collect();
        let listed = one_row().project([lit(1i64).in_list(values, false)]).unwrap().build().unwrap();
        assert!(is_large_plan(&listed));
        let mut nodes = one_row();
        for _ in 0..LARGE_PLAN / NODE {
            nodes = nodes.limit(0, Some(1)).unwrap();
        }
        assert!(is_large_plan(&nodes.build().unwrap()));
    }

    #[tokio::test]
    async fn who_waits_gives_up_at_once_and_the_thread_stays_taken() {
        let aside = Aside { places: Arc::new(Semaphore::new(1)) };
        let cancel = Cancel::new();
        let (go_on, wait) = mpsc::channel::<()>();
        let (tell, begun) = tokio::sync::oneshot::channel::<()>();
        let busy = aside.run(&cancel, move || {
            let _ = tell.send(());
            wait.recv().map_err(SqlError::internal)
        });
        let kill = async {
            begun.await.unwrap();
            cancel.cancel(SqlError::new(ErrorKind::QueryInterrupted, "killed"));
        };
        let (ended, ()) = tokio::join!(busy, kill);
        assert_eq!(ended.unwrap_err().kind, ErrorKind::QueryInterrupted);
        assert_eq!(aside.places.available_permits(), 0);
        // The next one waits for the place, and gives that up as well.
        let ended = aside.run(&cancel, || Ok(())).await;
        assert_eq!(ended.unwrap_err().kind, ErrorKind::QueryInterrupted);
        go_on.send(()).unwrap();
        assert_eq!(aside.run(&Cancel::new(), || Ok(7)).await.unwrap(), 7);
        let panicked: Result<()> = aside.run(&Cancel::new(), || panic!("a broken invariant")).await;
        assert!(panicked.unwrap_err().message.contains("a broken invariant"));
    }
}
