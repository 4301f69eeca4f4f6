//! The requests of aggregators, carried out on the store.

use crate::bulk;
use crate::follow::Follower;
use crate::reading::Estimates;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use catalog::Catalog;
use catalog::Metadata;
use columnstore::{
    Committing, FewRead, FewRows, InsertOutcome, InsertedOrLocked, Inspect, Inspection, KeyRead, KeyRow,
    LockOutcome, LockRequest, Maintenance, OnDuplicate, ReadView, Store, StoreError, WriteContext,
};
use exec::{
    BulkWriter, LeafService, Leaves, RowChange, RowChanged, Snapshots, TableEstimate, Target, to_its_end,
};
use std::sync::{Arc, OnceLock};
use txn::{Answer, Outcome, Renewal, Settlement, WaitReport};
use types::{NodeId, PartitionId, Result, SqlError, StatementNo, TableDef, TableId, Timestamp, TxnId};

/// One leaf: a store and its place in the cluster.
pub struct Leaf {
    node: NodeId,
    store: Arc<Store>,
    metadata: Arc<dyn Metadata>,
    follower: Arc<Follower>,
    estimates: Estimates,
    /// The other leaves, once this one has joined them.
    leaves: OnceLock<Arc<dyn Leaves>>,
}

impl Leaf {
    /// A leaf over an open store. Call [`LeafService::catch_up`] before serving.
    pub fn new(node: NodeId, store: Arc<Store>, metadata: Arc<dyn Metadata>) -> Leaf {
        let follower = Arc::new(Follower::new(node, store.clone(), metadata.clone()));
        Leaf { node, store, metadata, follower, estimates: Estimates::default(), leaves: OnceLock::new() }
    }

    /// Says how the other leaves are reached. To be called once, before the leaf serves.
    pub fn join(&self, leaves: Arc<dyn Leaves>) {
        if self.leaves.set(leaves).is_err() {
            tracing::error!("a leaf joins the cluster once; the second time changes nothing");
        }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub(crate) fn follower(&self) -> &Arc<Follower> {
        &self.follower
    }

    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.metadata.snapshot()
    }

    /// The node that holds a partition; None if the catalog has none such.
    pub(crate) fn holder(&self, partition: PartitionId) -> Option<NodeId> {
        self.catalog().partition(partition).map(|(_, found)| found.primary)
    }

    /// Another leaf.
    pub(crate) fn other(&self, node: NodeId) -> Result<Arc<dyn LeafService>> {
        match self.leaves.get() {
            Some(leaves) => leaves.leaf(node),
            None => Err(SqlError::internal(format!("leaf {} knows no other leaves", self.node))),
        }
    }

    /// Runs a call of the store where it may wait.
    pub(crate) async fn blocking<T, E>(
        &self,
        call: impl FnOnce(&Arc<Store>) -> Result<T, E> + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        E: Into<SqlError> + Send + 'static,
    {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || call(&store)).await {
            Ok(result) => result.map_err(Into::into),
            Err(error) => Err(SqlError::internal(format!("a storage call ended abnormally: {error}"))),
        }
    }

    /// Makes a call of the store at once if it need not wait, else where it may. See [`Store::at_once`] for
    /// what such a call is to be like.
    async fn soon<T: Send + 'static>(
        &self,
        call: impl Fn(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T> {
        match self.store.at_once(&call) {
            Some(done) => Ok(done?),
            None => self.blocking(move |store| call(store)).await,
        }
    }

    /// Waits for the end of a commit that was begun.
    async fn committed(&self, committing: Committing) -> Result<Timestamp> {
        if !committing.is_decided_here() {
            committing.shown().await;
            return Ok(self.store.end_commit(committing)?);
        }
        // What the coordinator has left to do is done even if nobody waits any more.
        let store = self.store.clone();
        let ended = to_its_end(async move {
            committing.shown().await;
            store.end_commit(committing)
        });
        match ended.await {
            Ok(result) => Ok(result?),
            Err(error) => Err(SqlError::internal(format!("a commit ended abnormally: {error}"))),
        }
    }

    /// The catalog version that the store follows.
    pub fn version(&self) -> u64 {
        self.follower.version()
    }

    /// Waits until the store follows at least this version of the catalog.
    pub(crate) async fn at_least(&self, version: u64) -> Result<()> {
        if self.follower.version() >= version {
            return Ok(());
        }
        self.follower.known(version).await?;
        self.follow().await
    }

    /// Brings the store to the newest catalog that this process knows.
    pub async fn follow(&self) -> Result<()> {
        let follower = self.follower.clone();
        match tokio::task::spawn_blocking(move || follower.follow()).await {
            Ok(result) => result,
            Err(error) => Err(SqlError::internal(format!("following the catalog ended abnormally: {error}"))),
        }
    }
}

#[async_trait]
impl LeafService for Leaf {
    async fn catch_up(&self, version: u64) -> Result<()> {
        self.at_least(version).await
    }

    async fn read_timestamp(&self, catalog: u64, partitions: &[PartitionId]) -> Result<Timestamp> {
        self.at_least(catalog).await?;
        self.ask_after_long_prepared(partitions).await?;
        Ok(self.store.read_timestamp(partitions)?)
    }

    async fn get(&self, target: Target, read: KeyRead) -> Result<KeyRow> {
        self.at_least(target.catalog).await?;
        match self.store.try_get(target.partition, target.table, &read)? {
            Some(row) => Ok(row),
            None => self.get_waiting(target, read).await,
        }
    }

    async fn few(&self, catalog: u64, table: TableId, read: FewRead) -> Result<FewRows> {
        self.at_least(catalog).await?;
        match self.store.try_few(table, &read)? {
            Some(rows) => Ok(rows),
            None => self.few_waiting(catalog, table, read).await,
        }
    }

    async fn insert(
        &self,
        target: Target,
        ctx: WriteContext,
        rows: RecordBatch,
        on_duplicate: OnDuplicate,
    ) -> Result<InsertOutcome> {
        self.at_least(target.catalog).await?;
        self.soon(move |store| store.insert(&ctx, target.partition, target.table, &rows, on_duplicate)).await
    }

    async fn insert_or_lock(
        &self,
        target: Target,
        ctx: WriteContext,
        rows: RecordBatch,
    ) -> Result<InsertedOrLocked> {
        self.at_least(target.catalog).await?;
        self.blocking(move |store| store.insert_or_lock(&ctx, target.partition, target.table, &rows)).await
    }

    async fn lock_rows(
        &self,
        target: Target,
        ctx: WriteContext,
        rows: Vec<u64>,
        request: LockRequest,
    ) -> Result<LockOutcome> {
        self.at_least(target.catalog).await?;
        self.soon(move |store| store.lock_rows(&ctx, target.partition, target.table, &rows, request)).await
    }

    async fn lock_table(&self, target: Target, ctx: WriteContext) -> Result<()> {
        self.at_least(target.catalog).await?;
        self.blocking(move |store| store.lock_table(&ctx, target.partition, target.table)).await
    }

    async fn update(
        &self,
        target: Target,
        ctx: WriteContext,
        rows: Vec<u64>,
        new: RecordBatch,
    ) -> Result<()> {
        self.at_least(target.catalog).await?;
        self.soon(move |store| store.update(&ctx, target.partition, target.table, &rows, &new)).await
    }

    async fn delete(&self, target: Target, ctx: WriteContext, rows: Vec<u64>) -> Result<()> {
        self.at_least(target.catalog).await?;
        self.soon(move |store| store.delete(&ctx, target.partition, target.table, &rows)).await
    }

    async fn insert_and_commit(
        &self,
        target: Target,
        ctx: WriteContext,
        rows: RecordBatch,
        on_duplicate: OnDuplicate,
    ) -> Result<(InsertOutcome, Result<Timestamp>)> {
        let part = (target.partition, ctx.statement);
        let txn = ctx.txn;
        let outcome = self.insert(target, ctx, rows, on_duplicate).await?;
        Ok((outcome, self.commit(txn, &[part]).await))
    }

    async fn change_row(
        &self,
        target: Target,
        ctx: WriteContext,
        (row, read_at): (u64, Timestamp),
        change: RowChange,
        commit: bool,
    ) -> Result<RowChanged> {
        self.at_least(target.catalog).await?;
        let (txn, part) = (ctx.txn, (target.partition, ctx.statement));
        let changing = self.soon(move |store| {
            let (partition, table) = (target.partition, target.table);
            let request = LockRequest::to_change(read_at);
            if store.lock_rows(&ctx, partition, table, &[row], request)?.changed {
                return Ok(true);
            }
            match &change {
                RowChange::Keep => {}
                RowChange::Update(new) => store.update(&ctx, partition, table, &[row], new)?,
                RowChange::Delete => store.delete(&ctx, partition, table, &[row])?,
            }
            Ok(false)
        });
        let stale = changing.await?;
        let committed = match commit && !stale {
            true => Some(self.commit(txn, &[part]).await),
            false => None,
        };
        Ok(RowChanged { stale, committed })
    }

    async fn bulk(&self, target: Target, ctx: WriteContext) -> Result<Box<dyn BulkWriter>> {
        self.at_least(target.catalog).await?;
        Ok(Box::new(bulk::start(self.store.clone(), ctx, target.partition, target.table)?))
    }

    async fn rollback_statement(
        &self,
        txn: TxnId,
        statement: StatementNo,
        partitions: &[PartitionId],
    ) -> Result<()> {
        let partitions = partitions.to_vec();
        self.blocking(move |store| store.rollback_statement(txn, statement, &partitions)).await
    }

    async fn commit(&self, txn: TxnId, parts: &[(PartitionId, StatementNo)]) -> Result<Timestamp> {
        let parts = parts.to_vec();
        let committing = self.soon(move |store| store.start_commit(txn, &parts)).await?;
        self.committed(committing).await
    }

    async fn rollback(&self, txn: TxnId, partitions: &[PartitionId]) -> Result<()> {
        let partitions = partitions.to_vec();
        self.blocking(move |store| {
            store.rollback(txn, &partitions);
            Ok::<(), SqlError>(())
        })
        .await
    }

    async fn prepare(
        &self,
        txn: TxnId,
        parts: &[(PartitionId, StatementNo)],
        coordinator: PartitionId,
    ) -> Result<Timestamp> {
        let parts = parts.to_vec();
        self.blocking(move |store| store.prepare(txn, &parts, coordinator)).await
    }

    async fn coordinate(
        &self,
        txn: TxnId,
        parts: &[(PartitionId, StatementNo)],
        participants: &[PartitionId],
        prepared: Timestamp,
    ) -> Result<Timestamp> {
        let (parts, participants) = (parts.to_vec(), participants.to_vec());
        self.blocking(move |store| store.coordinate(txn, &parts, &participants, prepared)).await
    }

    async fn interrupt(&self, txn: TxnId) -> Result<()> {
        self.store.interrupt(txn);
        Ok(())
    }

    async fn decide(&self, txn: TxnId, partitions: &[PartitionId], outcome: Outcome) -> Result<()> {
        let partitions = partitions.to_vec();
        self.blocking(move |store| store.decide(txn, &partitions, outcome)).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<()> {
        let settlements = settlements.to_vec();
        self.blocking(move |store| store.settle(&settlements)).await
    }

    async fn inquire(&self, coordinator: PartitionId, txn: TxnId, at: Timestamp) -> Result<Answer> {
        self.blocking(move |store| store.inquire(coordinator, txn, at)).await
    }

    async fn demand_end(&self, coordinator: PartitionId, txn: TxnId) -> Result<Outcome> {
        self.blocking(move |store| store.demand_end(coordinator, txn)).await
    }

    async fn renew(&self, renewal: &Renewal) -> Result<()> {
        self.store.renew(renewal);
        Ok(())
    }

    async fn report_waits(&self, report: &WaitReport) -> Result<Vec<TxnId>> {
        Ok(self.store.detect(report.clone()))
    }

    async fn snapshots(
        &self,
        catalog: u64,
        view: ReadView,
        partitions: &[PartitionId],
        written: &[(PartitionId, StatementNo)],
    ) -> Result<Arc<dyn Snapshots>> {
        self.pin(catalog, view, partitions, written).await
    }

    async fn maintain(&self, target: Target, what: Maintenance) -> Result<Vec<String>> {
        self.at_least(target.catalog).await?;
        self.blocking(move |store| store.maintain(target.partition, target.table, what)).await
    }

    async fn estimate(&self, def: &TableDef, partitions: &[PartitionId]) -> Result<TableEstimate> {
        let (estimates, def, partitions) = (self.estimates.clone(), def.clone(), partitions.to_vec());
        self.blocking(move |store| Ok::<_, SqlError>(estimates.of(store, &def, &partitions))).await
    }

    async fn inspect(&self, what: Inspect) -> Result<Inspection> {
        self.blocking(move |store| store.inspect(what)).await
    }
}
