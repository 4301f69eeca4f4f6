//! One node of a cluster, as far as it runs queries: the parts of queries that other nodes have sent,
//! and the queries that were asked here.

use crate::decoded::DecodedStages;
use crate::error::{from_sql_error, to_sql_error};
use crate::exchange::{Channels, ExchangeId, ExchangeReceiver, Pulled};
use crate::executor::{Executor, QueryContext, ResultStream, task_context};
use crate::launch::{Common, Launcher, changed_options, options_of};
use crate::measured::Measured;
use crate::memory::QueryPool;
use crate::plan::DistributedPlan;
use crate::query::{Cancel, LocalStage, QueryState};
use crate::scan::{Snapshots, TableSnapshot};
use crate::shared_keys::{Sharing, ToldKeys};
use crate::spread::Source;
use crate::stages::{Pull, QueryId, StageControl, StageNodes, StageRequest, StageService, StageTables};
use async_trait::async_trait;
use columnstore::ReadView;
use datafusion::common::{Result as DataFusionResult, exec_datafusion_err, internal_err};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::ExecutionPlan;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use sql::functions::warnings::pass_on;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use types::{ErrorKind, NodeId, PartitionId, Result, SqlError, StatementNo, TableId};

/// How long a pull waits for its query to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);

/// So many bytes of keys wait for queries that have not come; what scans miss of more makes them slower, no more.
const MOST_EARLY: usize = 32 << 20;

/// What the stages of a query read on other nodes, and how long they may take.
#[derive(Debug, Clone)]
pub struct Read {
    /// The catalog version that the query was planned with.
    pub catalog: u64,
    pub view: ReadView,
    /// The partitions at which the query's transaction wrote or locked, each with the last statement that did: one
    /// that has lost that fails the query.
    pub written: Vec<(PartitionId, StatementNo)>,
    /// The query ends by itself then.
    pub deadline: Option<Instant>,
    /// Whether to ask the other nodes at the end what their operators did, for EXPLAIN ANALYZE.
    pub measure: bool,
}

/// See the module. One of these serves a process: [`StageNode::run`] for the sessions of an
/// aggregator, [`StageService`] for the other nodes.
///
/// A leaf is made by `StageNode::new(id, executor, nodes, Some(Arc::new(LeafTables(leaf))))`, an
/// aggregator by `StageNode::new(id, executor, nodes, None)`; a process that is both, with its leaf.
/// `nodes` finds the other nodes: in one process by a map of such objects ([`LocalNodes`]), else by
/// clients of the network. Let the network's server of stages answer by this object.
pub struct StageNode {
    id: NodeId,
    executor: Arc<Executor>,
    nodes: Arc<dyn StageNodes>,
    /// The tables that lie here.
    tables: Option<Arc<dyn StageTables>>,
    queries: Mutex<Queries>,
    /// A part of a query has come.
    arrived: Notify,
    next_query: AtomicU64,
    decoded: DecodedStages,
    /// The bytes of keys that came before their query.
    early: AtomicUsize,
    /// Held by each query that runs here without a part of its own, since no other node has any.
    alone: Arc<()>,
    me: Weak<StageNode>,
}

/// The queries that have a part here.
#[derive(Default)]
struct Queries {
    live: HashMap<QueryId, Query>,
    /// Those that ended last, and why: who asks for them need not wait.
    ended: VecDeque<(QueryId, SqlError)>,
}

/// How many ended queries a node remembers.
const REMEMBERED: usize = 1024;

struct Query {
    /// All parts of a query share one limit.
    pool: Weak<QueryPool>,
    parts: Vec<Arc<Part>>,
}

/// A part of a query that runs here.
struct Part {
    number: u32,
    state: Arc<QueryState>,
    context: Arc<TaskContext>,
    channels: Arc<Channels>,
    plans: Vec<(ExchangeId, Arc<dyn ExecutionPlan>)>,
}

/// A part in the list of its node. Dropping it ends the part.
struct Registered {
    node: Weak<StageNode>,
    query: QueryId,
    part: Arc<Part>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        // Whoever still reads from a part that failed may hear of that here first; and not of tasks that
        // were aborted.
        let reason = self.part.state.cancel().reason();
        let ended = reason.unwrap_or_else(|| SqlError::internal(format!("query {} has ended", self.query)));
        self.part.channels.fail(&Arc::new(from_sql_error(ended.clone())));
        self.part.state.abort();
        let Some(node) = self.node.upgrade() else { return };
        let mut queries = node.queries.lock();
        let Some(query) = queries.live.get_mut(&self.query) else { return };
        query.parts.retain(|part| !Arc::ptr_eq(part, &self.part));
        if query.parts.is_empty() {
            queries.live.remove(&self.query);
            if queries.ended.len() == REMEMBERED {
                queries.ended.pop_front();
            }
            queries.ended.push_back((self.query, ended));
            drop(queries);
            node.arrived.notify_waiters();
        }
    }
}

impl StageNode {
    pub fn new(
        id: NodeId,
        executor: Arc<Executor>,
        nodes: Arc<dyn StageNodes>,
        tables: Option<Arc<dyn StageTables>>,
    ) -> Arc<StageNode> {
        // Numbers start at the time in nanoseconds, so that a restarted node never gives one again.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
        let decoded = DecodedStages::new(executor.budget());
        Arc::new_cyclic(|me| StageNode {
            id,
            decoded,
            executor,
            nodes,
            tables,
            queries: Mutex::default(),
            arrived: Notify::new(),
            next_query: AtomicU64::new(now),
            early: AtomicUsize::new(0),
            alone: Arc::default(),
            me: me.clone(),
        })
    }

    pub fn id(&self) -> NodeId {
        self.id
    }

    pub fn executor(&self) -> &Arc<Executor> {
        &self.executor
    }

    /// Queries that run here or have a part here, for a metrics page.
    pub fn queries(&self) -> usize {
        self.queries.lock().live.len() + Arc::strong_count(&self.alone) - 1
    }

    /// What these hold together, in bytes, for a metrics page.
    pub fn query_memory(&self) -> usize {
        self.executor.memory()
    }

    /// What stages hold that are kept for when they come again, in bytes, for a metrics page.
    pub fn kept_stages(&self) -> usize {
        self.decoded.bytes()
    }

    /// The bytes that their exchanges have written to files so far, for a metrics page.
    pub fn spilled_by_exchanges(&self) -> u64 {
        self.executor.spilled_by_exchanges()
    }

    /// Starts a plan, which has been located (see [`DistributedPlan::locate`]) and has not run before, on
    /// the nodes where its tables lie. If that is this node alone, it runs as it would without any
    /// others, and reads `query.snapshots`; else those are read by stages that run here alone. Dropping
    /// the stream ends the query everywhere.
    pub fn run(&self, plan: &Arc<DistributedPlan>, query: QueryContext, read: Read) -> Result<ResultStream> {
        let cancel = query.cancel.clone();
        let deadline = read.deadline;
        let stream = self.start_query(plan, query, read).map_err(|error| to_sql_error(&error))?;
        Ok(match deadline {
            Some(deadline) => stream.holding(Box::new(self.ends_at(deadline, cancel))),
            None => stream,
        })
    }

    fn start_query(
        &self,
        plan: &Arc<DistributedPlan>,
        query: QueryContext,
        read: Read,
    ) -> DataFusionResult<ResultStream> {
        let Some(spread) = plan.spread().cloned() else {
            return internal_err!("a plan runs once it is known where");
        };
        if spread.here() != self.id {
            return internal_err!("a plan for node {} was started on node {}", spread.here(), self.id);
        }
        if spread.is_local() {
            let stream = self.executor.run(plan, query).map_err(from_sql_error)?;
            return Ok(stream.holding(Box::new(self.alone.clone())));
        }
        plan.claim()?;
        let id = QueryId { node: self.id, number: self.next_query.fetch_add(1, Ordering::Relaxed) };
        let pool = self.executor.pool(query.memory);
        let env = self.executor.environment(&pool)?;
        let mut stages = Vec::new();
        let mut sources = spread.sources(0)?;
        for (at, stage) in spread.stages().iter().enumerate() {
            if at > 0 && spread.group(at).is_none() {
                stages.extend(LocalStage::whole(stage, Some(spread.streams(at))));
                sources.extend(spread.sources(at)?);
            }
        }
        let launcher = Launcher::new(
            Common {
                query: id,
                catalog: read.catalog,
                view: read.view,
                written: read.written,
                memory: query.memory,
                deadline: read.deadline,
                options: changed_options(plan.options()),
            },
            spread.clone(),
            self.own()?,
            self.nodes.clone(),
        );
        let (transport, channels) = self.transport(id, &stages, sources, &env)?;
        let runtime = self.executor.handle().clone();
        let state =
            QueryState::new(query.snapshots, transport, query.cancel, runtime, stages.iter().cloned());
        let state = Arc::new(state.with_launcher(launcher));
        let context = task_context(plan.options().clone(), Some(&state), env);
        // The asking node's own stages are measured in the plan itself.
        let part =
            Part { number: 0, state: state.clone(), context: context.clone(), channels, plans: Vec::new() };
        let registered = self.register(id, part, &pool);
        let finally = read.measure.then(|| {
            let (state, plan) = (state.clone(), plan.clone());
            async move {
                if let Some(launcher) = state.launcher() {
                    plan.add_measured(launcher.measure().await);
                }
            }
            .boxed()
        });
        let root = spread.stages()[0].plan.clone();
        let stream = self.executor.stream(root, context, state, pool, finally);
        Ok(stream.holding(Box::new(registered)))
    }

    fn own(&self) -> DataFusionResult<Arc<StageNode>> {
        self.me.upgrade().ok_or_else(|| exec_datafusion_err!("this node is shutting down"))
    }

    fn transport(
        &self,
        query: QueryId,
        stages: &[LocalStage],
        sources: Vec<Source>,
        env: &Arc<RuntimeEnv>,
    ) -> DataFusionResult<(Arc<Pulled>, Arc<Channels>)> {
        let ends = stages.iter().map(LocalStage::channel);
        let channels = Arc::new(Channels::new(ends, self.executor.exchange_capacity(), env));
        let memory: Arc<dyn MemoryPool> = env.memory_pool.clone();
        let pulled = Pulled {
            query,
            here: self.id,
            local: channels.clone(),
            sources: sources.into_iter().map(|source| (source.exchange, source)).collect(),
            own: self.own()?,
            nodes: self.nodes.clone(),
            memory,
            runtime: self.executor.handle().clone(),
            pulls: Mutex::default(),
        };
        Ok((Arc::new(pulled), channels))
    }

    fn register(&self, id: QueryId, part: Part, pool: &Arc<QueryPool>) -> Registered {
        let part = Arc::new(part);
        {
            let mut queries = self.queries.lock();
            let new = || Query { pool: Arc::downgrade(pool), parts: Vec::new() };
            queries.live.entry(id).or_insert_with(new).parts.push(part.clone());
        }
        self.arrived.notify_waiters();
        Registered { node: self.me.clone(), query: id, part }
    }

    /// Cancels the query at its deadline; until the answer is dropped.
    fn ends_at(&self, deadline: Instant, cancel: Cancel) -> AbortOnDrop {
        AbortOnDrop(self.executor.handle().spawn(async move {
            tokio::time::sleep_until(deadline.into()).await;
            cancel.cancel(too_late());
        }))
    }

    /// The part of a query that is wanted, if it is here; `None` while it may still come.
    fn found(&self, query: QueryId, wanted: impl Fn(&Part) -> bool) -> Option<Result<Arc<Part>>> {
        let queries = self.queries.lock();
        if let Some(query) = queries.live.get(&query) {
            let part = query.parts.iter().find(|part| wanted(part));
            return part.map(|part| Ok(part.clone()));
        }
        let ended = queries.ended.iter().find(|(ended, _)| *ended == query);
        ended.map(|(_, why)| Err(why.clone()))
    }

    /// The part of a query that is wanted, once it is here.
    async fn awaited(&self, query: QueryId, wanted: impl Fn(&Part) -> bool) -> Result<Arc<Part>> {
        let wait = async {
            loop {
                let mut arrived = std::pin::pin!(self.arrived.notified());
                arrived.as_mut().enable();
                if let Some(found) = self.found(query, &wanted) {
                    return found;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(ARRIVAL, wait).await.unwrap_or_else(|_| {
            let name = self.nodes.name(self.id);
            Err(SqlError::internal(format!("query {query} did not come to {name}")))
        })
    }

    /// The part that feeds an exchange, once it is here.
    async fn feeding(&self, pull: Pull) -> Result<Arc<Part>> {
        self.awaited(pull.query, |part| part.channels.feeds(pull.exchange)).await
    }

    async fn open(self: Arc<Self>, pull: Pull) -> DataFusionResult<ExchangeReceiver> {
        let part = self.feeding(pull).await.map_err(from_sql_error)?;
        let receiver = part.channels.receiver_of(pull)?;
        part.state.start(pull.exchange, &part.context)?;
        // The part goes when the query does, not when its last reader does.
        let rows = receiver.map_err(|error| from_sql_error(to_sql_error(&error)));
        // Its reader may have seen enough before the end.
        let heard = part.clone();
        let rows = rows.inspect(move |_| pass_on(heard.state.ear().take()));
        // Its tasks have sent all, so what they warn of has been heard.
        let end = stream::poll_fn(move |_| {
            pass_on(part.state.ear().take());
            Poll::Ready(None)
        });
        Ok(rows.chain(end).boxed())
    }

    async fn begin(&self, request: StageRequest) -> Result<(Registered, Cancel)> {
        let snapshots: Arc<dyn Snapshots> = match &self.tables {
            Some(tables) if !request.partitions.is_empty() => {
                let StageRequest { catalog, view, partitions, written, .. } = &request;
                tables.snapshots(*catalog, *view, partitions, written).await?
            }
            _ => Arc::new(NoTables),
        };
        self.begin_with(request, snapshots).map_err(|error| to_sql_error(&error))
    }

    fn begin_with(
        &self,
        request: StageRequest,
        snapshots: Arc<dyn Snapshots>,
    ) -> DataFusionResult<(Registered, Cancel)> {
        let known = self.queries.lock().live.get(&request.query).and_then(|query| query.pool.upgrade());
        let pool = known.unwrap_or_else(|| self.executor.pool(request.memory.map(|memory| memory as usize)));
        let env = self.executor.environment(&pool)?;
        let options = options_of(&request.options)?;
        let reading = task_context(options.clone(), None, env.clone());
        let mut stages = Vec::new();
        for slice in &request.stages {
            let (plan, output) = self.decoded.stage(&slice.plan, &request.options, &reading)?;
            let tasks = slice.tasks.iter().map(|task| *task as usize).collect();
            let streams = slice.streams as usize;
            stages.push(LocalStage { exchange: slice.exchange, plan, output, tasks, streams });
        }
        let (transport, channels) = self.transport(request.query, &stages, request.sources, &env)?;
        let cancel = Cancel::new();
        let runtime = self.executor.handle().clone();
        let plans = stages.iter().map(|stage| (stage.exchange, stage.plan.clone())).collect();
        let sharing = Sharing::new(
            (request.query, request.part),
            request.keys,
            self.id,
            self.nodes.clone(),
            MemoryConsumer::new("SharedKeys").register(&env.memory_pool),
        );
        transport.ask_first(&stages)?;
        let state = QueryState::new(snapshots, transport, cancel.clone(), runtime, stages);
        let state = Arc::new(state.reporting().with_sharing(sharing));
        let context = task_context(options, Some(&state), env);
        let part = Part { number: request.part, state, context, channels, plans };
        Ok((self.register(request.query, part, &pool), cancel))
    }
}

#[async_trait]
impl StageService for StageNode {
    async fn start(&self, request: StageRequest) -> Result<StageControl> {
        let deadline = request.deadline.and_then(|deadline| Instant::now().checked_add(deadline));
        let (registered, cancel) = self.begin(request).await?;
        let timer = deadline.map(|deadline| self.ends_at(deadline, cancel.clone()));
        let failure = stream::once(async move {
            let error = cancel.cancelled().await;
            // Whoever holds the control decides when the part ends.
            (error, (registered, timer))
        });
        // Ends its part when it is dropped, and not before.
        Ok(failure
            .flat_map(|(error, held)| {
                stream::iter([error]).chain(stream::once(async move {
                    let _held = held;
                    futures::future::pending().await
                }))
            })
            .boxed())
    }

    fn pull(&self, query: QueryId, exchange: ExchangeId, streams: &[usize]) -> Vec<ExchangeReceiver> {
        let pull = |&stream: &usize| match self.own() {
            Ok(node) => stream::once(opened(node, Pull { query, exchange, stream })).try_flatten().boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        };
        streams.iter().map(pull).collect()
    }

    async fn close(&self, pull: Pull) -> Result<()> {
        let part = self.feeding(pull).await?;
        // Dropping a receiver closes it. One that was opened is closed by whoever has it.
        drop(part.channels.receiver_of(pull));
        Ok(())
    }

    fn tell(&self, query: QueryId, part: u32, told: ToldKeys) {
        let wanted = move |found: &Part| found.number == part;
        match self.found(query, wanted) {
            Some(Ok(part)) => part.state.hear_keys(&told),
            // Its end was faster.
            Some(Err(_)) => {}
            // The part has begun on the node that tells, and not yet here.
            None => {
                let Ok(node) = self.own() else { return };
                let bytes = told.sets.iter().flatten().map(Vec::len).sum::<usize>();
                if self.early.fetch_add(bytes, Ordering::Relaxed) > MOST_EARLY {
                    self.early.fetch_sub(bytes, Ordering::Relaxed);
                    return;
                }
                self.executor.handle().spawn(async move {
                    match node.awaited(query, wanted).await {
                        Ok(part) => part.state.hear_keys(&told),
                        Err(error) => tracing::debug!(%error, "keys of a join came for no query"),
                    }
                    node.early.fetch_sub(bytes, Ordering::Relaxed);
                });
            }
        }
    }

    async fn measure(&self, query: QueryId, part: u32) -> Result<Vec<(ExchangeId, Measured)>> {
        let queries = self.queries.lock();
        let parts = queries.live.get(&query).map_or(&[][..], |query| &query.parts);
        let plans = parts.iter().filter(|found| found.number == part).flat_map(|found| &found.plans);
        Ok(plans.map(|(exchange, plan)| (*exchange, Measured::of(plan))).collect())
    }
}

/// The stream once it is open. Dropped before, it is closed: its producers would wait for its reader until the query
/// ends.
fn opened(node: Arc<StageNode>, pull: Pull) -> impl Future<Output = DataFusionResult<ExchangeReceiver>> {
    let unopened = Unopened(Some((node.clone(), pull)));
    async move {
        let receiver = node.open(pull).await;
        unopened.disarm();
        receiver
    }
}

struct Unopened(Option<(Arc<StageNode>, Pull)>);

impl Unopened {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Unopened {
    fn drop(&mut self) {
        let Some((node, pull)) = self.0.take() else { return };
        node.executor.handle().clone().spawn(async move {
            if let Err(error) = node.close(pull).await {
                tracing::debug!(?pull, %error, "a stream that nobody reads could not be closed");
            }
        });
    }
}

fn too_late() -> SqlError {
    SqlError::new(
        ErrorKind::QueryTimeout,
        "Query execution was interrupted, maximum statement execution time exceeded",
    )
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The tables of a node that has none.
struct NoTables;

impl Snapshots for NoTables {
    fn snapshot(&self, partition: PartitionId, _: TableId) -> Result<Arc<dyn TableSnapshot>> {
        Err(SqlError::internal(format!("partition {partition} does not lie on this node")))
    }
}

/// Nodes in one process, by a map that is filled once.
#[derive(Default)]
pub struct LocalNodes(Mutex<HashMap<NodeId, Weak<StageNode>>>);

impl LocalNodes {
    pub fn new() -> Arc<LocalNodes> {
        Arc::default()
    }

    pub fn add(&self, node: &Arc<StageNode>) {
        self.0.lock().insert(node.id(), Arc::downgrade(node));
    }
}

impl StageNodes for LocalNodes {
    fn stages(&self, node: NodeId) -> Result<Arc<dyn StageService>> {
        match self.0.lock().get(&node).and_then(Weak::upgrade) {
            Some(found) => Ok(found),
            None => Err(SqlError::new(ErrorKind::ServerOffline, format!("{} is not there", self.name(node)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared_keys::KeyRoute;
    use crate::testing::{TestNode, test_read};

    /// The nodes of a part begin at their own times: one may have read its build sides before another has heard of
    /// the query.
    #[tokio::test]
    async fn keys_that_are_told_before_the_query_has_come_are_heard() {
        const NUMBER: u32 = 3;
        let folder = tempfile::tempdir().unwrap();
        let leaf = TestNode::new(NodeId(2), LocalNodes::new(), None, folder.path(), |_| {});
        let query = QueryId { node: NodeId(1), number: 7 };
        let told = |number| ToldKeys { number, from: NodeId(3), sets: vec![None] };
        leaf.node.tell(query, 1, told(NUMBER));
        let request = StageRequest {
            query,
            part: 1,
            catalog: 1,
            view: test_read().view,
            partitions: Vec::new(),
            written: Vec::new(),
            options: Vec::new(),
            memory: None,
            deadline: None,
            stages: Vec::new(),
            sources: Vec::new(),
            keys: vec![KeyRoute { number: NUMBER, from: vec![NodeId(3)], to: vec![NodeId(2)] }],
        };
        let control = leaf.node.start(request).await.unwrap();
        let part = leaf.node.awaited(query, |part| part.number == 1).await.unwrap();
        let keys = part.state.shared_keys(NUMBER).unwrap();
        let begin = Instant::now();
        keys.known().await;
        assert!(keys.all().is_some(), "given up after {:?}", begin.elapsed());
        drop((keys, part, control));
        assert_eq!(leaf.idle(), Ok(()));
    }
}
