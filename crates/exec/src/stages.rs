//! What nodes ask of each other to run the stages of a query: the traits that a network transport
//! stands behind.
//!
//! The node that was asked the query (the *asking node*, an aggregator) sends each other node its part
//! of the stages by [`StageService::start`] and holds the answer, a [`StageControl`], as long as the
//! query lives. Dropping it, or losing the connection, ends the part: its tasks are aborted, its memory
//! and files are given back. On it the node reports the first error of its tasks, at once.
//!
//! Rows move by pulling: the node of a consumer asks every node that has producers of the exchange for
//! the consumer's stream ([`StageService::pull`]). A stage starts when its first stream is pulled.
//! A stream ends only after all of the node's producers have said that they sent everything; a stream
//! that breaks is an error.

use crate::error::from_sql_error;
use crate::exchange::{ExchangeId, ExchangeReceiver};
use crate::measured::Measured;
use crate::scan::Snapshots;
use crate::service::LeafService;
pub use crate::shared_keys::{KeyRoute, ToldKeys};
use crate::spread::Source;
use async_trait::async_trait;
use columnstore::ReadView;
use futures::stream::{self, BoxStream, StreamExt};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use types::{NodeId, PartitionId, Result, SqlError, StatementNo};

/// Bytes that may be on their way to one consumer from one node, or wait there to be read: a producer
/// sends on while less than that is. A batch more may follow.
pub const PULL_WINDOW: usize = 512 << 10;

/// Names a query among all of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QueryId {
    /// The node that was asked.
    pub node: NodeId,
    /// Never given twice by that node, restarts included.
    pub number: u64,
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "q{}.{}", self.node.0, self.number)
    }
}

/// One node's part of a query, or of what of it starts at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct StageRequest {
    pub query: QueryId,
    /// Numbers the parts of one query on one node.
    pub part: u32,
    /// The catalog version that the query was planned with.
    pub catalog: u64,
    pub view: ReadView,
    /// The partitions that the stages scan here.
    pub partitions: Vec<PartitionId>,
    /// Those among them at which the query's transaction wrote or locked, each with the last statement that did.
    pub written: Vec<(PartitionId, StatementNo)>,
    /// DataFusion's options that differ from its defaults.
    pub options: Vec<(String, String)>,
    /// The most memory that the query may hold on a node, if less than the node's own limit.
    pub memory: Option<u64>,
    /// The query ends by itself after so long.
    pub deadline: Option<Duration>,
    pub stages: Vec<StageSlice>,
    /// The exchanges that these stages read.
    pub sources: Vec<Source>,
    /// The joins whose keys scans of other stages look for.
    pub keys: Vec<KeyRoute>,
}

/// A stage, cut to the tasks of one node.
#[derive(Debug, Clone, PartialEq)]
pub struct StageSlice {
    /// The exchange that it feeds.
    pub exchange: ExchangeId,
    /// The numbers of these tasks in the whole stage; partition `j` of the plan is task `tasks[j]`.
    pub tasks: Vec<u32>,
    /// The streams of the exchange.
    pub streams: u32,
    /// The plan and how its rows leave, as the codec of this crate writes them.
    pub plan: Vec<u8>,
}

/// Names one consumer's stream from one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pull {
    pub query: QueryId,
    pub exchange: ExchangeId,
    pub stream: usize,
}

/// So many streams that fail.
pub fn failed(error: &SqlError, streams: usize) -> Vec<ExchangeReceiver> {
    let failed = |_| stream::iter([Err(from_sql_error(error.clone()))]).boxed();
    (0..streams).map(failed).collect()
}

/// Yields what went wrong in a part of a query; nothing while all is well. If it ends, the node is lost.
pub type StageControl = BoxStream<'static, SqlError>;

/// A node, as the others use it to run queries.
#[async_trait]
pub trait StageService: Send + Sync {
    /// Takes a part of a query. Its stages run as they are pulled, until the answer is dropped.
    async fn start(&self, request: StageRequest) -> Result<StageControl>;

    /// The rows for some consumers of one exchange, a stream for each, from all producers on this node. A pull
    /// may come before its query: then it waits for a while. Errors are [`SqlError`]s, wrapped.
    fn pull(&self, query: QueryId, exchange: ExchangeId, streams: &[usize]) -> Vec<ExchangeReceiver>;

    /// Says that a consumer will not pull, so that producers do not wait for it.
    async fn close(&self, pull: Pull) -> Result<()>;

    /// Says what a node's partitions of a join have for keys, to scans of the part here. Nobody waits for it, and
    /// it may be lost.
    fn tell(&self, query: QueryId, part: u32, told: ToldKeys);

    /// What the operators of a query's part did so far, by stage.
    async fn measure(&self, query: QueryId, part: u32) -> Result<Vec<(ExchangeId, Measured)>>;
}

/// The tables of a node, for the parts of queries that come to it.
#[async_trait]
pub trait StageTables: Send + Sync {
    /// These partitions at a read view, by the catalog of at least this version. `written`: see
    /// [`LeafService::snapshots`].
    async fn snapshots(
        &self,
        catalog: u64,
        view: ReadView,
        partitions: &[PartitionId],
        written: &[(PartitionId, StatementNo)],
    ) -> Result<Arc<dyn Snapshots>>;
}

/// The tables of a leaf.
pub struct LeafTables(pub Arc<dyn LeafService>);

#[async_trait]
impl StageTables for LeafTables {
    async fn snapshots(
        &self,
        catalog: u64,
        view: ReadView,
        partitions: &[PartitionId],
        written: &[(PartitionId, StatementNo)],
    ) -> Result<Arc<dyn Snapshots>> {
        self.0.snapshots(catalog, view, partitions, written).await
    }
}

/// Finds nodes.
pub trait StageNodes: Send + Sync {
    /// The node, which may be gone: then what is asked of it fails.
    fn stages(&self, node: NodeId) -> Result<Arc<dyn StageService>>;

    /// The node as a message calls it.
    fn name(&self, node: NodeId) -> String {
        format!("node {node}")
    }
}
