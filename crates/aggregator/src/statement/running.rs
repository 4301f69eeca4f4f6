//! From a bound plan to rows: plans it for the leaves that hold its partitions, says where each part runs, and starts
//! it at a snapshot, which the stream of its rows holds while it lives.

use super::query::Parameters;
use crate::aside::is_large_plan;
use crate::leases::HeldSnapshot;
use crate::leaves::PinnedLeaves;
use crate::processes::Stage;
use crate::session::State;
use arrow::record_batch::RecordBatch;
use columnstore::ReadView;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::LogicalPlan;
use exec::{DistributedPlan, Ear, Locations, QueryContext, Read, ResultStream, ShardedTable, Snapshots};
use futures::StreamExt;
use futures::future::try_join_all;
use parking_lot::Mutex;
use planner::Planner;
use sqlparser::ast;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::task::Poll;
use types::{ErrorKind, NodeId, PartitionId, Result, SqlError, StatementNo, Timestamp, TxnId};

impl State {
    pub(crate) async fn plan(&self, plan: LogicalPlan) -> Result<Arc<DistributedPlan>> {
        let places = self.places(&partitions_read(&plan)?)?;
        let leaves = leaves_among(&places);
        let plan = self.planned(leaves, plan, |planner, plan| planner.plan(plan)).await?;
        self.locate(plan, places)
    }

    /// What `make` makes of a plan over so many leaves.
    pub(super) async fn planned<T: Send + 'static>(
        &self,
        leaves: usize,
        plan: LogicalPlan,
        make: impl FnOnce(&Planner, LogicalPlan) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let rounds = self.variables.number("cte_max_recursion_depth").unwrap_or(u64::MAX);
        let planner = self.aggregator.planner.on_leaves(leaves).within_rounds(rounds).unless(&self.cancel);
        if !is_large_plan(&plan) {
            return make(&planner, plan);
        }
        self.plan_aside(move || make(&planner, plan)).await
    }

    pub(super) async fn plan_aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.process.stage(Stage::Planning);
        let planned = self.aggregator.aside.run(&self.cancel, work).await;
        self.process.stage(Stage::Executing);
        planned
    }

    pub(super) fn locate(
        &self,
        plan: DistributedPlan,
        places: HashMap<PartitionId, NodeId>,
    ) -> Result<Arc<DistributedPlan>> {
        let locations = Locations { here: self.aggregator.stages.id(), partitions: Arc::new(places) };
        plan.locate(&locations).map_err(|error| exec::to_sql_error(&error))?;
        Ok(Arc::new(plan))
    }

    /// The leaves that these partitions lie on.
    pub(super) fn places(&self, partitions: &[PartitionId]) -> Result<HashMap<PartitionId, NodeId>> {
        let place = |id: PartitionId| match self.catalog.partition(id) {
            Some((_, partition)) => Ok((id, partition.primary)),
            None => Err(SqlError::internal(format!("partition {id} is not in the catalog"))),
        };
        partitions.iter().copied().map(place).collect()
    }

    /// Starts a plan at a snapshot, whose versions the stream holds while it lives. `writing`: it belongs
    /// to a statement that writes, which must not see what it wrote itself.
    pub(crate) async fn start_distributed(
        &self,
        plan: &Arc<DistributedPlan>,
        ts: Timestamp,
        writing: bool,
        measure: bool,
    ) -> Result<HeldStream> {
        let own = self.transaction.as_ref().map(|txn| {
            let last = txn.statement();
            (txn.id, if writing { StatementNo(last.0.saturating_sub(1)) } else { last })
        });
        // A plan that reads no table reads at nothing.
        let hold = (ts > Timestamp::ZERO).then(|| self.aggregator.open.hold(ts));
        let written = self.transaction.as_ref().map_or(Vec::new(), |txn| txn.written(writing));
        let (catalog, view) = (self.catalog.version(), ReadView { ts, txn: own });
        // Other leaves pin what they read when their stages come to them.
        let snapshots: Arc<dyn Snapshots> = match plan.is_local() {
            true => Arc::new(self.pin(plan, view, &written).await?),
            false => Arc::new(PinnedLeaves::default()),
        };
        let memory = self.variables.number("pando_query_memory").filter(|bytes| *bytes > 0);
        let memory = memory.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        // A query that failed does not end the statement, which may begin again.
        let context = QueryContext { snapshots, cancel: self.cancel.child(), memory };
        let own_writes = self.transaction.as_ref().filter(|_| !written.is_empty());
        let loss = own_writes.map(|txn| Loss { txn: txn.id, alive: txn.alive(), lost: self.lost.clone() });
        let read = Read { catalog, view, written, deadline: self.deadline, measure };
        let stream = self.aggregator.stages.run(plan, context, read)?;
        Ok(HeldStream { stream, loss, _hold: hold })
    }

    /// Pins what the plan reads, at all leaves at once.
    async fn pin(
        &self,
        plan: &DistributedPlan,
        view: ReadView,
        written: &[(PartitionId, StatementNo)],
    ) -> Result<PinnedLeaves> {
        let version = self.catalog.version();
        let leaves = self.leaves_of(&plan.scanned_partitions())?;
        let pinned = leaves.iter().map(|(leaf, here)| leaf.snapshots(version, view, here, written));
        let pinned = self.unless_cancelled(try_join_all(pinned)).await?;
        let by_partition = leaves.iter().zip(pinned).flat_map(|((_, here), snapshots)| {
            here.iter().map(move |partition| (*partition, snapshots.clone()))
        });
        Ok(PinnedLeaves { by_partition: by_partition.collect() })
    }

    pub(super) async fn plan_of(
        &mut self,
        query: &ast::Query,
        parameters: Parameters<'_>,
    ) -> Result<Arc<DistributedPlan>> {
        let bound = self.bind(query, parameters).await?;
        self.plan(bound.plan).await
    }

    /// The plan of a query whose rows were all made, with what its operators did for them.
    pub(super) async fn plan_that_ran(
        &mut self,
        query: &ast::Query,
        parameters: Parameters<'_>,
    ) -> Result<Arc<DistributedPlan>> {
        let bound = self.bind(query, parameters).await?;
        self.open_for_reading();
        let partitions = partitions_read(&bound.plan)?;
        let plan = self.plan(bound.plan).await?;
        let _admitted = self.admit_plan(&plan).await?;
        let ts = self.read_timestamp(&partitions).await?;
        let mut stream = self.start_distributed(&plan, ts, false, true).await?;
        while let Some(batch) = stream.next().await {
            batch?;
        }
        Ok(plan)
    }
}

/// How many leaves these partitions lie on.
pub(super) fn leaves_among(places: &HashMap<PartitionId, NodeId>) -> usize {
    places.values().copied().collect::<BTreeSet<NodeId>>().len()
}

/// A running query together with the hold on its snapshot.
pub(crate) struct HeldStream {
    stream: ResultStream,
    loss: Option<Loss>,
    _hold: Option<HeldSnapshot>,
}

impl HeldStream {
    /// See [`ResultStream::ear`].
    pub(crate) fn ear(&self) -> Ear {
        self.stream.ear()
    }
}

impl futures::Stream for HeldStream {
    type Item = Result<RecordBatch>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        let next = self.stream.poll_next_unpin(cx);
        match (next, &self.loss) {
            (Poll::Ready(Some(Err(error))), Some(loss)) if error.kind == ErrorKind::Deadlock => {
                Poll::Ready(Some(Err(loss.told(error))))
            }
            (next, _) => next,
        }
    }
}

/// The transaction that has written some of what is read, and where to say that it was lost.
struct Loss {
    txn: TxnId,
    /// See [`Transaction::alive`](crate::transaction::Transaction::alive).
    alive: Weak<()>,
    lost: Arc<Mutex<Option<TxnId>>>,
}

impl Loss {
    /// What to say where a leaf does not know the transaction: a cursor may be read on when it has ended.
    fn told(&self, error: SqlError) -> SqlError {
        if self.alive.strong_count() == 0 {
            let text = "The transaction that the cursor reads in has ended; fetch its rows before COMMIT or ROLLBACK";
            return SqlError::new(ErrorKind::NoOpenCursor, text);
        }
        *self.lost.lock() = Some(self.txn);
        error
    }
}

/// Every partition that the plan's tables may be read from, subqueries included.
pub(crate) fn partitions_read(plan: &LogicalPlan) -> Result<Vec<PartitionId>> {
    let mut partitions = BTreeSet::new();
    for_each_table(plan, |table| partitions.extend(table.partitions().iter().copied()))?;
    Ok(partitions.into_iter().collect())
}

/// Calls `f` for every scan of a table, subqueries included.
pub(super) fn for_each_table(plan: &LogicalPlan, mut f: impl FnMut(&ShardedTable)) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
            && let Some(table) = provider.downcast_ref::<ShardedTable>()
        {
            f(table);
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map(|_| ())
    .map_err(SqlError::internal)
}
