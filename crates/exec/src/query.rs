//! The state of a running query, which its plan nodes find in their task context.

use crate::build_keys::Kept;
use crate::ear::Ear;
use crate::error::{from_sql_error, to_sql_error};
use crate::exchange::{ExchangeId, ExchangeKind, ExchangeSender, ExchangeShape, Transport, run_producer};
use crate::launch::Launcher;
use crate::plan::Stage;
use crate::scan::Snapshots;
use crate::shared_keys::{SharedKeys, Sharing, ToldKeys};
use crate::to_its_end::words_of;
use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, exec_err, internal_datafusion_err};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use futures::FutureExt;
use parking_lot::Mutex;
use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    /// Stops this one too.
    parent: Option<Cancel>,
    /// How many of its tasks wait in SLEEP().
    naps: AtomicUsize,
}

/// A wait in SLEEP(), until this is dropped.
#[derive(Debug)]
pub struct Nap(Cancel);

impl Drop for Nap {
    fn drop(&mut self) {
        self.0.count_naps(|naps| naps.fetch_sub(1, Ordering::Relaxed));
    }
}

impl Cancel {
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// What stops when this does, and may stop by itself: a query of a statement.
    pub fn child(&self) -> Cancel {
        Cancel(Arc::new(CancelState { parent: Some(self.clone()), ..CancelState::default() }))
    }

    /// Stops the query; its result stream yields `reason`. The first call counts.
    pub fn cancel(&self, reason: SqlError) {
        self.0.reason.lock().get_or_insert(reason);
        self.0.cancelled.store(true, Ordering::Release);
        self.0.notify.notify_waiters();
    }

    /// Says that a wait in SLEEP() begins.
    pub fn nap(&self) -> Nap {
        self.count_naps(|naps| naps.fetch_add(1, Ordering::Relaxed));
        Nap(self.clone())
    }

    /// Whether it waits in SLEEP(), here or in what stops with it.
    pub fn is_napping(&self) -> bool {
        self.0.naps.load(Ordering::Relaxed) > 0
    }

    fn count_naps(&self, count: impl Fn(&AtomicUsize) -> usize) {
        let mut next = Some(self);
        while let Some(cancel) = next {
            count(&cancel.0.naps);
            next = cancel.0.parent.as_ref();
        }
    }

    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled_itself() || self.0.parent.as_ref().is_some_and(Cancel::is_cancelled)
    }

    fn is_cancelled_itself(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// The reason once the query is cancelled.
    pub fn reason(&self) -> Option<SqlError> {
        let own = self.is_cancelled_itself().then(|| {
            self.0.reason.lock().clone().unwrap_or_else(|| {
                SqlError::new(ErrorKind::QueryInterrupted, "Query execution was interrupted")
            })
        });
        own.or_else(|| self.0.parent.as_ref()?.reason())
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
            match &self.0.parent {
                None => notified.await,
                Some(parent) => tokio::select! {
                    () = notified => {}
                    reason = Box::pin(parent.cancelled()) => return reason,
                },
            }
        }
    }
}

/// Tells the operators of a query that it has ended here, or that it is to end.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    cancel: Cancel,
    ended: Arc<AtomicBool>,
}

impl Stop {
    /// An error once the query has ended or is cancelled.
    pub(crate) fn check(&self) -> Result<()> {
        self.cancel.check()?;
        match self.ended.load(Ordering::Relaxed) {
            true => exec_err!("the query has ended"),
            false => Ok(()),
        }
    }
}

/// A stage, as far as this node runs it.
#[derive(Clone)]
pub(crate) struct LocalStage {
    /// The exchange that it feeds.
    pub(crate) exchange: ExchangeId,
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    pub(crate) output: ExchangeKind,
    /// Partition `j` of the plan is task `tasks[j]` of the whole stage.
    pub(crate) tasks: Vec<usize>,
    /// The streams of the exchange, here and elsewhere.
    pub(crate) streams: usize,
}

impl LocalStage {
    /// A stage that runs here and nowhere else; `None` for the one that yields the result.
    pub(crate) fn whole(stage: &Stage, streams: Option<usize>) -> Option<LocalStage> {
        let output = stage.output.clone()?;
        let tasks: Vec<usize> = (0..stage.tasks()).collect();
        let streams = streams.unwrap_or_else(|| output.streams(tasks.len(), 1));
        Some(LocalStage { exchange: stage.id, plan: stage.plan.clone(), output, tasks, streams })
    }

    /// What this node's channels must know of the exchange.
    pub(crate) fn channel(&self) -> (ExchangeId, SchemaRef, ExchangeShape) {
        let shape = ExchangeShape {
            producers: self.tasks.clone(),
            consumers: self.streams,
            apart: self.output.apart(),
            patient: self.output.patient(),
        };
        (self.exchange, self.plan.schema(), shape)
    }
}

/// What the nodes of a running plan share, as far as they run in this process.
pub(crate) struct QueryState {
    snapshots: Arc<dyn Snapshots>,
    transport: Arc<dyn Transport>,
    stop: Stop,
    runtime: Handle,
    /// The stages that have not started.
    stages: Mutex<HashMap<ExchangeId, LocalStage>>,
    /// Starts stages on other nodes. It knows the plan, whose joins may hold a build side that was never
    /// read to its end, and with it this state: so it goes when the query ends.
    launcher: Mutex<Option<Launcher>>,
    /// Whether the failure of a task is the query's: it is told to the node that was asked.
    reports: bool,
    /// Keys of joins for scans of other stages.
    sharing: Option<Sharing>,
    /// Hears what the tasks warn of.
    ear: Ear,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    tasks: JoinSet<()>,
    ended: bool,
}

impl QueryState {
    pub(crate) fn new(
        snapshots: Arc<dyn Snapshots>,
        transport: Arc<dyn Transport>,
        cancel: Cancel,
        runtime: Handle,
        stages: impl IntoIterator<Item = LocalStage>,
    ) -> QueryState {
        QueryState {
            snapshots,
            transport,
            stop: Stop { cancel, ended: Arc::default() },
            runtime,
            stages: Mutex::new(stages.into_iter().map(|stage| (stage.exchange, stage)).collect()),
            launcher: Mutex::default(),
            reports: false,
            sharing: None,
            ear: Ear::default(),
            running: Mutex::default(),
        }
    }

    pub(crate) fn with_launcher(self, launcher: Launcher) -> QueryState {
        QueryState { launcher: Mutex::new(Some(launcher)), ..self }
    }

    pub(crate) fn reporting(self) -> QueryState {
        QueryState { reports: true, ..self }
    }

    pub(crate) fn with_sharing(self, sharing: Sharing) -> QueryState {
        QueryState { sharing: Some(sharing), ..self }
    }

    /// The keys of a join that scans of other stages look for, if they are shared here.
    pub(crate) fn shared_keys(&self, number: u32) -> Option<Arc<SharedKeys>> {
        self.sharing.as_ref()?.get(number)
    }

    /// Tells those scans what this node's partitions of the join have together.
    pub(crate) fn share_keys(&self, number: u32, sets: &[Option<Kept>]) {
        if let Some(sharing) = &self.sharing {
            sharing.tell(number, sets);
        }
    }

    /// Takes what another node told.
    pub(crate) fn hear_keys(&self, told: &ToldKeys) {
        if let Some(sharing) = &self.sharing {
            sharing.hear(told);
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
        &self.stop.cancel
    }

    pub(crate) fn ear(&self) -> &Ear {
        &self.ear
    }

    /// What the operators look at while they run.
    pub(crate) fn stop(&self) -> &Stop {
        &self.stop
    }

    /// None once the query has ended.
    pub(crate) fn launcher(&self) -> Option<Launcher> {
        self.launcher.lock().clone()
    }

    /// Starts the stage that feeds `exchange`, unless it has started; on other nodes, if this is the
    /// node that was asked. Other stages that are not here are started by whoever runs them.
    pub(crate) fn start(self: &Arc<Self>, exchange: ExchangeId, context: &Arc<TaskContext>) -> Result<()> {
        {
            let mut running = self.running.lock();
            if running.ended {
                self.stop.cancel.check()?;
                return exec_err!("the query has ended");
            }
            let stage = self.stages.lock().remove(&exchange);
            if let Some(stage) = stage {
                for (partition, task) in stage.tasks.iter().copied().enumerate() {
                    let sender = self.transport.sender(exchange, task)?;
                    let work =
                        run_task(self.clone(), stage.clone(), partition, task, sender, context.clone());
                    running.tasks.spawn_on(work, &self.runtime);
                }
                return Ok(());
            }
        }
        let Some(launcher) = self.launcher() else { return Ok(()) };
        // Begun at once, and under no lock, they leave before what asks for the rows, and perhaps with it.
        let mut works = launcher.launch(exchange, &self.stop.cancel);
        works.retain_mut(|work| work.now_or_never().is_none());
        let mut running = self.running.lock();
        if !running.ended {
            for work in works {
                running.tasks.spawn_on(work, &self.runtime);
            }
        }
        Ok(())
    }

    /// Ends every task of the query here.
    pub(crate) fn abort(&self) {
        self.stop.ended.store(true, Ordering::Relaxed);
        let mut running = self.running.lock();
        running.ended = true;
        running.tasks.abort_all();
        drop(running);
        // What these hold may end here, so no lock is held.
        let stages = std::mem::take(&mut *self.stages.lock());
        let launcher = self.launcher.lock().take();
        drop((stages, launcher));
    }
}

async fn run_task(
    query: Arc<QueryState>,
    stage: LocalStage,
    partition: usize,
    task: usize,
    mut sender: Box<dyn ExchangeSender>,
    context: Arc<TaskContext>,
) {
    let batch_size = context.session_config().batch_size();
    let LocalStage { exchange, plan, output, streams, .. } = stage;
    let work = async {
        let input = plan.execute(partition, context)?;
        run_producer(input, &output, task, streams, batch_size, sender.as_mut(), query.cancel()).await
    };
    let sent = AssertUnwindSafe(query.ear.listen_to(work))
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| Err(panicked(panic)));
    let ended = match sent {
        Ok(()) => sender.finish().await,
        Err(error) => {
            let error = shared(error);
            if query.reports {
                query.stop.cancel.cancel(to_sql_error(&error));
            }
            sender.fail(error).await;
            Ok(())
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%exchange, task, %error, "a task could not close its exchange");
    }
}

/// A panic as an error of the query, so that it ends alone.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> DataFusionError {
    let message = words_of(&*panic).unwrap_or_default();
    internal_datafusion_err!("the query failed on a broken invariant: {message}")
}

fn shared(error: DataFusionError) -> Arc<DataFusionError> {
    match error {
        DataFusionError::Shared(error) => error,
        other => Arc::new(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_ends_with_its_parent_and_by_itself() {
        let error = |message: &str| SqlError::new(ErrorKind::QueryInterrupted, message);
        let parent = Cancel::new();
        let (first, second) = (parent.child(), parent.child());
        first.cancel(error("by itself"));
        assert_eq!(first.cancelled().await.message, "by itself");
        assert!(!parent.is_cancelled() && !second.is_cancelled());
        let waiting = tokio::spawn({
            let second = second.clone();
            async move { second.cancelled().await.message }
        });
        tokio::task::yield_now().await;
        parent.cancel(error("from above"));
        assert_eq!(waiting.await.unwrap(), "from above");
        assert_eq!(first.reason().unwrap().message, "by itself");
        assert_eq!(second.reason().unwrap().message, "from above");
    }
}
