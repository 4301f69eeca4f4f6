//! Runs distributed plans within this process.

use crate::ear::Ear;
use crate::error::{from_sql_error, to_sql_error};
use crate::exchange::{Channels, DEFAULT_CAPACITY};
use crate::memory::{AllQueries, QueryPool};
use crate::naps::Napping;
use crate::plan::DistributedPlan;
use crate::query::{Cancel, LocalStage, QueryState, panicked};
use crate::scan::Snapshots;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result as DataFusionResult;
use datafusion::common::config::ConfigNonZeroUsize;
use datafusion::config::ConfigOptions;
use datafusion::execution::TaskContext;
use datafusion::execution::config::SessionConfig;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use env::MemoryBudget;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use sql::functions::sleep::interrupted;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::mpsc;
use types::{Result, SqlError};

/// How an [`Executor`] works.
pub struct ExecutorOptions {
    /// Threads of the execution runtime; one a core is best.
    pub threads: usize,
    /// The memory that queries reserve from, shared with the rest of the process.
    pub memory: Arc<MemoryBudget>,
    /// The most memory that one query may hold, in bytes.
    pub query_memory: usize,
    /// The folder for what does not fit, this executor's alone; its files go as queries end, and what a
    /// crash left goes at the start.
    pub spill_folder: PathBuf,
    /// The most that all queries together may have in that folder, in bytes.
    pub spill_limit: u64,
    /// Batches that an exchange holds for each consumer before its producers wait.
    pub exchange_capacity: usize,
}

impl ExecutorOptions {
    /// The usual options: a thread a core, half of the budget for one query, 100 GiB of spill.
    pub fn new(memory: Arc<MemoryBudget>, spill_folder: PathBuf) -> ExecutorOptions {
        ExecutorOptions {
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            query_memory: memory.limit() / 2,
            memory,
            spill_folder,
            spill_limit: 100 << 30,
            exchange_capacity: DEFAULT_CAPACITY,
        }
    }
}

/// What a query brings along.
#[derive(Clone)]
pub struct QueryContext {
    /// Gives the tables as the query's read view sees them.
    pub snapshots: Arc<dyn Snapshots>,
    /// Stops the query.
    pub cancel: Cancel,
    /// The most memory that this query may hold, if it is less than the executor's limit.
    pub memory: Option<usize>,
}

/// Runs plans on threads of its own. Dropping it stops what still runs.
pub struct Executor {
    runtime: Option<Runtime>,
    options: ExecutorOptions,
    /// Holds the one manager of spill files, whose limit all queries share.
    env: Arc<RuntimeEnv>,
    memory: AllQueries,
}

impl Executor {
    pub fn new(options: ExecutorOptions) -> Result<Executor> {
        std::fs::create_dir_all(&options.spill_folder).map_err(|error| {
            SqlError::new(
                types::ErrorKind::FileError,
                format!("cannot create the folder {}: {error}", options.spill_folder.display()),
            )
        })?;
        clear(&options.spill_folder);
        env::waiting::wait_by(|work| crate::runtime::blocking(work));
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![options.spill_folder.clone()]))
            .with_max_temp_directory_size(options.spill_limit);
        let env = RuntimeEnvBuilder::new()
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(|error| to_sql_error(&error))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(options.threads.max(1))
            .thread_name("pando-exec")
            // An operator that asks for rows calls all that are below it, in the deepest plan a thousand.
            .thread_stack_size(8 << 20)
            .on_thread_park(crate::runtime::pause)
            // What a thread keeps of the allocator's memory goes with it.
            .thread_keep_alive(Duration::from_secs(1))
            .enable_time()
            .build()
            .map_err(|error| SqlError::internal(format!("cannot start threads: {error}")))?;
        Ok(Executor { runtime: Some(runtime), options, env, memory: AllQueries::default() })
    }

    /// What all queries hold together, in bytes.
    pub fn memory(&self) -> usize {
        self.memory.bytes()
    }

    /// The bytes that exchanges have written to files so far.
    pub fn spilled_by_exchanges(&self) -> u64 {
        self.memory.spilled_by_exchanges()
    }

    fn runtime(&self) -> &Runtime {
        // Invariant: the runtime is taken only by `drop`.
        self.runtime.as_ref().expect("the executor has not been dropped")
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.runtime().handle()
    }

    pub(crate) fn exchange_capacity(&self) -> usize {
        self.options.exchange_capacity
    }

    /// The memory of a query that asks for at most so much.
    pub(crate) fn pool(&self, memory: Option<usize>) -> Arc<QueryPool> {
        let limit = memory.map_or(self.options.query_memory, |m| m.min(self.options.query_memory));
        QueryPool::new(&self.options.memory, limit, self.memory.clone())
    }

    /// What everything in the process counts its memory to.
    pub(crate) fn budget(&self) -> &Arc<MemoryBudget> {
        &self.options.memory
    }

    /// What a query's operators find their memory and files in.
    pub(crate) fn environment(&self, pool: &Arc<QueryPool>) -> DataFusionResult<Arc<RuntimeEnv>> {
        RuntimeEnvBuilder::from_runtime_env(&self.env).with_memory_pool(pool.clone()).build_arc()
    }

    /// Starts the plan, which must not have run before, within this process. The stream yields batches
    /// as they come; dropping it ends the query.
    pub fn run(&self, plan: &DistributedPlan, query: QueryContext) -> Result<ResultStream> {
        self.start(plan, query).map_err(|error| to_sql_error(&error))
    }

    fn start(&self, plan: &DistributedPlan, query: QueryContext) -> DataFusionResult<ResultStream> {
        plan.claim()?;
        let pool = self.pool(query.memory);
        let env = self.environment(&pool)?;
        let stages: Vec<LocalStage> =
            plan.stages().iter().filter_map(|stage| LocalStage::whole(stage, None)).collect();
        let channels = stages.iter().map(LocalStage::channel);
        let transport = Arc::new(Channels::new(channels, self.options.exchange_capacity, &env));
        let runtime = self.handle().clone();
        let state = QueryState::new(query.snapshots, transport, query.cancel, runtime, stages);
        let state = Arc::new(state);
        let context = task_context(plan.options().clone(), Some(&state), env);
        Ok(self.stream(plan.root().plan.clone(), context, state, pool, None))
    }

    /// Runs the stage that yields the result. `finally` is done when all rows have been sent, while
    /// the rest of the query is still there.
    pub(crate) fn stream(
        &self,
        root: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        state: Arc<QueryState>,
        pool: Arc<QueryPool>,
        finally: Option<BoxFuture<'static, ()>>,
    ) -> ResultStream {
        let schema = root.schema();
        let (sender, batches) = mpsc::channel(2);
        let (cancel, running) = (state.cancel().clone(), state.clone());
        let task = self.handle().spawn(async move {
            let work = async {
                let goes_on = goes_on_interrupted(&root);
                let mut stream = Napping::new(root.execute(0, context.clone())?, cancel.clone());
                loop {
                    let next = tokio::select! {
                        biased;
                        next = stream.next() => next,
                        reason = cancel.cancelled(), if goes_on => {
                            if !stream.is_waiting() {
                                return Err(from_sql_error(reason));
                            }
                            let mut again = root.execute(0, context.clone())?;
                            std::future::poll_fn(|cx| interrupted(|| again.poll_next_unpin(cx))).await
                        }
                    };
                    let Some(batch) = next else { break };
                    if sender.send(Ok(batch?)).await.is_err() {
                        return Ok(());
                    }
                    if goes_on {
                        // It has one row.
                        break;
                    }
                }
                if let Some(finally) = finally {
                    finally.await;
                }
                DataFusionResult::Ok(())
            };
            let ended = tokio::select! {
                ended = AssertUnwindSafe(running.ear().listen_to(work)).catch_unwind() => {
                    ended.unwrap_or_else(|panic| Err(panicked(panic))).map_err(|error| to_sql_error(&error))
                }
                reason = cancel.cancelled(), if !goes_on_interrupted(&root) => Err(reason),
            };
            // What ended the query comes before what its end did to the stages that were still running.
            let ended = ended.map_err(|error| cancel.reason().unwrap_or(error));
            running.abort();
            if let Err(error) = ended {
                // A receiver that has gone wants no error.
                let _ = sender.send(Err(error)).await;
            }
        });
        ResultStream { schema, batches, state, pool, task, held: Vec::new() }
    }
}

/// Whether a query is of one row without tables, such as `SELECT SLEEP(5)`: what breaks off a wait of it has the wait
/// say so, and the query goes on.
fn goes_on_interrupted(root: &Arc<dyn ExecutionPlan>) -> bool {
    let mut node = root;
    while let [input] = node.children().as_slice() {
        if !node.is::<ProjectionExec>() {
            return false;
        }
        node = input;
    }
    node.is::<PlaceholderRowExec>()
}

/// Removes what a process that ended at once left of its queries.
fn clear(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        // The names that DataFusion gives.
        if !entry.file_name().to_string_lossy().starts_with("datafusion-") {
            continue;
        }
        if let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "an old temporary folder stays");
        }
    }
}

/// The limit of a query's memory from which on batches have their usual size, in bytes.
const AMPLE: usize = 64 << 20;
const LEAST_BATCH: usize = 1024;
const LEAST_SORT_RESERVE: usize = 64 << 10;

/// Smaller batches and reserves where there is little memory: an operator holds some of each at least.
fn within(mut options: ConfigOptions, limit: MemoryLimit) -> ConfigOptions {
    let MemoryLimit::Finite(limit) = limit else { return options };
    let execution = &mut options.execution;
    if limit < AMPLE {
        let rows = (execution.batch_size.get() as u128 * limit as u128 / AMPLE as u128) as usize;
        let rows = rows.max(LEAST_BATCH.min(execution.batch_size.get()));
        execution.batch_size = ConfigNonZeroUsize::try_new(rows).unwrap_or(execution.batch_size);
        // A sort makes one batch of so much, and counts the strings of all of it with every part.
        execution.sort_in_place_threshold_bytes = 0;
    }
    let reserve = (limit / 64).max(LEAST_SORT_RESERVE);
    execution.sort_spill_reservation_bytes = execution.sort_spill_reservation_bytes.min(reserve);
    options
}

/// What operators find their query in.
pub(crate) fn task_context(
    options: ConfigOptions,
    state: Option<&Arc<QueryState>>,
    env: Arc<RuntimeEnv>,
) -> Arc<TaskContext> {
    let mut config = SessionConfig::from(within(options, env.memory_pool.memory_limit()));
    if let Some(state) = state {
        config = config.with_extension(state.clone());
    }
    Arc::new(TaskContext::new(
        None,
        String::new(),
        config,
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        env,
    ))
}

impl Drop for Executor {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The rows of a running query. Dropping it ends the query.
pub struct ResultStream {
    schema: SchemaRef,
    batches: mpsc::Receiver<Result<RecordBatch>>,
    state: Arc<QueryState>,
    pool: Arc<QueryPool>,
    task: tokio::task::JoinHandle<()>,
    /// What ends with the query.
    held: Vec<Box<dyn Send + Sync>>,
}

impl ResultStream {
    /// Keeps `held` as long as the query runs.
    pub(crate) fn holding(mut self, held: Box<dyn Send + Sync>) -> ResultStream {
        self.held.push(held);
        self
    }

    /// What its values warn of: all of it once the last row has come.
    pub fn ear(&self) -> Ear {
        self.state.ear().clone()
    }

    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The most memory that the query has held so far, in bytes.
    pub fn peak_memory(&self) -> usize {
        self.pool.peak()
    }

    /// Reads all rows.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await {
            batches.push(batch?);
        }
        Ok(batches)
    }
}

impl Stream for ResultStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.batches.poll_recv(cx)
    }
}

impl Drop for ResultStream {
    fn drop(&mut self) {
        self.task.abort();
        self.state.abort();
    }
}
