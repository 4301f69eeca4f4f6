//! The requests of aggregators, carried out on the store.

use crate::bulk;
use crate::follow::Follower;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use catalog::Metadata;
use columnstore::{InsertOutcome, LockOutcome, OnDuplicate, ReadView, Store, WriteContext};
use exec::{BulkWriter, LeafService, Snapshots, TableEstimate, TableSnapshot, Target};
use std::sync::Arc;
use types::{NodeId, PartitionId, Result, SqlError, StatementNo, TableDef, TableId, Timestamp, TxnId};

/// One leaf: a store and its place in the cluster.
pub struct Leaf {
    store: Arc<Store>,
    follower: Arc<Follower>,
}

impl Leaf {
    /// A leaf over an open store. Call [`LeafService::catch_up`] before serving.
    pub fn new(node: NodeId, store: Arc<Store>, metadata: Arc<dyn Metadata>) -> Leaf {
        let follower = Arc::new(Follower::new(node, store.clone(), metadata));
        Leaf { store, follower }
    }

    /// Runs a call of the store where it may wait.
    async fn blocking<T, E>(
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

    /// Waits until the store follows at least this version of the catalog.
    async fn at_least(&self, version: u64) -> Result<()> {
        if self.follower.version() >= version {
            return Ok(());
        }
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
        Ok(self.store.read_timestamp(partitions)?)
    }

    async fn insert(
        &self,
        target: Target,
        ctx: WriteContext,
        rows: RecordBatch,
        on_duplicate: OnDuplicate,
    ) -> Result<InsertOutcome> {
        self.at_least(target.catalog).await?;
        self.blocking(move |store| store.insert(&ctx, target.partition, target.table, &rows, on_duplicate))
            .await
    }

    async fn lock_rows(
        &self,
        target: Target,
        ctx: WriteContext,
        rows: Vec<u64>,
        read_at: Timestamp,
    ) -> Result<LockOutcome> {
        self.at_least(target.catalog).await?;
        self.blocking(move |store| store.lock_rows(&ctx, target.partition, target.table, &rows, read_at))
            .await
    }

    async fn update(
        &self,
        target: Target,
        ctx: WriteContext,
        rows: Vec<u64>,
        new: RecordBatch,
    ) -> Result<()> {
        self.at_least(target.catalog).await?;
        self.blocking(move |store| store.update(&ctx, target.partition, target.table, &rows, &new)).await
    }

    async fn delete(&self, target: Target, ctx: WriteContext, rows: Vec<u64>) -> Result<()> {
        self.at_least(target.catalog).await?;
        self.blocking(move |store| store.delete(&ctx, target.partition, target.table, &rows)).await
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
        self.blocking(move |store| store.commit(txn, &parts)).await
    }

    async fn rollback(&self, txn: TxnId, partitions: &[PartitionId]) {
        let partitions = partitions.to_vec();
        let outcome = self
            .blocking(move |store| {
                store.rollback(txn, &partitions);
                Ok::<(), SqlError>(())
            })
            .await;
        if let Err(error) = outcome {
            tracing::error!(%txn, %error, "a rollback did not run");
        }
    }

    fn snapshots(&self, catalog: u64, view: ReadView) -> Arc<dyn Snapshots> {
        Arc::new(LeafSnapshots { store: self.store.clone(), follower: self.follower.clone(), catalog, view })
    }

    fn estimate(&self, def: &TableDef, partitions: &[PartitionId]) -> TableEstimate {
        let mut total = TableEstimate::default();
        for partition in partitions {
            // A partition that cannot say (its table is just being made, say) counts as empty.
            let snapshot = self
                .store
                .read_timestamp(&[*partition])
                .and_then(|ts| self.store.snapshot(*partition, def.id, ReadView { ts, txn: None }));
            if let Ok(snapshot) = snapshot {
                total.add(&TableEstimate::from(&snapshot.statistics()), &def.shard_key);
            }
        }
        total
    }

    fn hold(&self, ts: Timestamp) -> Box<dyn Send + Sync> {
        Box::new(self.store.hold(ts))
    }
}

/// The tables of this leaf at one read view.
struct LeafSnapshots {
    store: Arc<Store>,
    follower: Arc<Follower>,
    /// The catalog version that the query was planned with.
    catalog: u64,
    view: ReadView,
}

impl Snapshots for LeafSnapshots {
    fn snapshot(&self, partition: PartitionId, table: TableId) -> Result<Arc<dyn TableSnapshot>> {
        if self.follower.version() < self.catalog {
            self.follower.follow()?;
        }
        Ok(Arc::new(self.store.snapshot(partition, table, self.view)?))
    }
}
