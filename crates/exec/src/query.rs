//! The state of a running query, which its plan nodes find in their task context.

use crate::error::from_sql_error;
use crate::exchange::{ExchangeId, Transport, run_producer};
use crate::plan::Stage;
use crate::scan::Snapshots;
use datafusion::common::{Result, internal_datafusion_err, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use futures::FutureExt;
use parking_lot::Mutex;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use types::{ErrorKind, SqlError};

/// Stops a query from outside: KILL QUERY, a deadline, a client that has gone.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<CancelState>);

#[derive(Debug, Default)]
struct CancelState {
    cancelled: AtomicBool,
    reason: Mutex<Option<SqlError>>,
    notify: Notify,
}

impl Cancel {
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Stops the query; its result stream yields `reason`. The first call counts.
    pub fn cancel(&self, reason: SqlError) {
        self.0.reason.lock().get_or_insert(reason);
        self.0.cancelled.store(true, Ordering::Release);
        self.0.notify.notify_waiters();
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// The reason once the query is cancelled.
    pub fn reason(&self) -> Option<SqlError> {
        self.is_cancelled().then(|| {
            self.0.reason.lock().clone().unwrap_or_else(|| {
                SqlError::new(ErrorKind::QueryInterrupted, "Query execution was interrupted")
            })
        })
    }

    /// An error once the query is cancelled.
    pub fn check(&self) -> Result<()> {
        match self.reason() {
            Some(reason) => Err(from_sql_error(reason)),
            None => Ok(()),
        }
    }

    /// Waits until the query is cancelled.
    pub async fn cancelled(&self) -> SqlError {
        loop {
            let notified = self.0.notify.notified();
            if let Some(reason) = self.reason() {
                return reason;
            }
            notified.await;
        }
    }
}

/// What the nodes of a running plan share.
pub struct QueryState {
    snapshots: Arc<dyn Snapshots>,
    transport: Arc<dyn Transport>,
    cancel: Cancel,
    runtime: Handle,
    /// Stage `i`, until it starts; stage 0 is run by the executor itself.
    stages: Mutex<Vec<Option<Stage>>>,
    tasks: Mutex<JoinSet<()>>,
}

impl QueryState {
    pub(crate) fn new(
        snapshots: Arc<dyn Snapshots>,
        transport: Arc<dyn Transport>,
        cancel: Cancel,
        runtime: Handle,
        stages: &[Stage],
    ) -> QueryState {
        let stages = stages.iter().map(|stage| stage.output.is_some().then(|| stage.clone())).collect();
        QueryState {
            snapshots,
            transport,
            cancel,
            runtime,
            stages: Mutex::new(stages),
            tasks: Mutex::new(JoinSet::new()),
        }
    }

    pub(crate) fn of(context: &TaskContext) -> Result<Arc<QueryState>> {
        context
            .session_config()
            .get_extension::<QueryState>()
            .ok_or_else(|| internal_datafusion_err!("this node runs only within a query of the executor"))
    }

    pub(crate) fn snapshots(&self) -> &Arc<dyn Snapshots> {
        &self.snapshots
    }

    pub(crate) fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }

    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Starts the stage that feeds `exchange`, unless it has started.
    pub(crate) fn start(&self, exchange: ExchangeId, context: &Arc<TaskContext>) -> Result<()> {
        let stage = match self.stages.lock().get_mut(exchange.0 as usize) {
            Some(stage) => stage.take(),
            None => return internal_err!("the query has no stage {exchange}"),
        };
        let Some(stage) = stage else { return Ok(()) };
        let batch_size = context.session_config().batch_size();
        let mut tasks = self.tasks.lock();
        for task in 0..stage.tasks() {
            let mut sender = self.transport.sender(exchange, task)?;
            let (stage, context) = (stage.clone(), context.clone());
            tasks.spawn_on(
                async move {
                    let work = async {
                        let Some(kind) = &stage.output else {
                            return internal_err!("stage {exchange} has no exchange to feed");
                        };
                        let input = stage.plan.execute(task, context)?;
                        run_producer(input, kind, task, batch_size, sender.as_mut()).await
                    };
                    let sent = AssertUnwindSafe(work)
                        .catch_unwind()
                        .await
                        .unwrap_or_else(|panic| Err(panicked(panic)));
                    let ended = match sent {
                        Ok(()) => sender.finish().await,
                        Err(error) => {
                            sender.fail(shared(error)).await;
                            Ok(())
                        }
                    };
                    if let Err(error) = ended {
                        tracing::debug!(%exchange, task, %error, "a task could not close its exchange");
                    }
                },
                &self.runtime,
            );
        }
        Ok(())
    }

    /// Ends every task of the query.
    pub(crate) fn abort(&self) {
        self.stages.lock().iter_mut().for_each(|stage| *stage = None);
        self.tasks.lock().abort_all();
    }
}

/// A panic as an error of the query, so that it ends alone.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> DataFusionError {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| text.to_string())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    internal_datafusion_err!("the query failed on a broken invariant: {message}")
}

fn shared(error: DataFusionError) -> Arc<DataFusionError> {
    match error {
        DataFusionError::Shared(error) => error,
        other => Arc::new(other),
    }
}
