//! Pinning partitions for the stages of a query, and what is known of tables.
//!
//! A reader that finds a transaction prepared below its timestamp asks the leaf of the coordinating
//! partition. What that has decided is shown here at once; what it has not is later than the reader,
//! which passes over it. If that leaf cannot be reached, the statement fails and names it.

use crate::follow::Follower;
use crate::server::Leaf;
use columnstore::{FewRead, FewRows, KeyRead, KeyRow, ReadAt, ReadView, Store, written_at};
use exec::{LeafService, Snapshots, TableEstimate, TableSnapshot, Target};
use futures::future::try_join_all;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use txn::{Answer, Outcome};
use types::{NodeId, PartitionId, Result, SqlError, StatementNo, TableDef, TableId, Timestamp, TxnId};

/// The tables of this leaf at one read view.
struct LeafSnapshots {
    store: Arc<Store>,
    follower: Arc<Follower>,
    /// The catalog version that the query was planned with.
    catalog: u64,
    view: ReadView,
    /// Where the reader's transaction wrote or locked, and in which statement last.
    written: Vec<(PartitionId, StatementNo)>,
}

impl Snapshots for LeafSnapshots {
    fn snapshot(&self, partition: PartitionId, table: TableId) -> Result<Arc<dyn TableSnapshot>> {
        if self.follower.version() < self.catalog {
            self.follower.follow()?;
        }
        let written = written_at(&self.written, partition);
        Ok(Arc::new(self.store.snapshot_with_own(partition, table, self.view, written)?))
    }
}

impl Leaf {
    /// Pins partitions at a view: whatever a scan of the result sees from now on, it sees the same. `written`: see
    /// [`LeafService::snapshots`].
    pub(crate) async fn pin(
        &self,
        catalog: u64,
        view: ReadView,
        partitions: &[PartitionId],
        written: &[(PartitionId, StatementNo)],
    ) -> Result<Arc<dyn Snapshots>> {
        self.at_least(catalog).await?;
        self.settle_below(view.ts, partitions).await?;
        let (store, follower) = (self.store().clone(), self.follower().clone());
        Ok(Arc::new(LeafSnapshots { store, follower, catalog, view, written: written.to_vec() }))
    }

    /// Asks after the transactions that are prepared in these partitions below a timestamp.
    async fn settle_below(&self, ts: Timestamp, partitions: &[PartitionId]) -> Result<()> {
        let asked = partitions.to_vec();
        let met = self.blocking(move |store| {
            let mut met: BTreeMap<(TxnId, PartitionId), Vec<PartitionId>> = BTreeMap::new();
            for partition in asked {
                for (txn, coordinator) in store.prepared_below(partition, ts)? {
                    met.entry((txn, coordinator)).or_default().push(partition);
                }
            }
            Ok::<_, SqlError>(met)
        });
        let met = met.await?;
        try_join_all(
            met.into_iter().map(|((txn, coordinator), here)| async move {
                self.learn(txn, coordinator, &here, ts).await
            }),
        )
        .await?;
        Ok(())
    }

    /// A row by its key that cannot be read at once.
    pub(crate) async fn get_waiting(&self, target: Target, read: KeyRead) -> Result<KeyRow> {
        let ts = self.settled(target.catalog, &[target.partition], read.at).await?;
        let view = ReadView { ts, txn: read.txn };
        self.blocking(move |store| store.get(target.partition, target.table, view, &read)).await
    }

    /// Few rows that cannot be read at once.
    pub(crate) async fn few_waiting(&self, catalog: u64, table: TableId, read: FewRead) -> Result<FewRows> {
        let ts = self.settled(catalog, &read.partitions, read.at).await?;
        let view = ReadView { ts, txn: read.txn };
        self.blocking(move |store| store.few(table, view, &read)).await
    }

    /// The moment at which partitions are to be read, below which nothing is left to be asked after.
    async fn settled(&self, catalog: u64, partitions: &[PartitionId], at: ReadAt) -> Result<Timestamp> {
        let ts = match at {
            ReadAt::Snapshot(ts) => ts,
            ReadAt::Newest { not_before } => self.read_timestamp(catalog, partitions).await?.max(not_before),
        };
        self.settle_below(ts, partitions).await?;
        Ok(ts)
    }

    /// Asks after transactions whose commit may have been acknowledged though this leaf could not be
    /// told: whoever is given a timestamp of these partitions from now on sees what was.
    pub(crate) async fn ask_after_long_prepared(&self, partitions: &[PartitionId]) -> Result<()> {
        let long = self.store().prepared_long(partitions)?;
        try_join_all(long.into_iter().map(|(txn, partition, coordinator, at)| async move {
            self.learn(txn, coordinator, &[partition], at).await
        }))
        .await?;
        Ok(())
    }

    /// Asks the coordinating partition after a transaction, and shows or takes back what was decided.
    async fn learn(
        &self,
        txn: TxnId,
        coordinator: PartitionId,
        here: &[PartitionId],
        at: Timestamp,
    ) -> Result<()> {
        let outcome = match self.ask(coordinator, txn, at).await? {
            Answer::Commit(at) => Outcome::Commit(at),
            Answer::Abort => Outcome::Abort,
            Answer::LaterThan(_) => return Ok(()),
        };
        self.decide(txn, here, outcome).await
    }

    async fn ask(&self, coordinator: PartitionId, txn: TxnId, at: Timestamp) -> Result<Answer> {
        let node: NodeId = self.holder(coordinator).ok_or_else(|| {
            SqlError::internal(format!("the partition {coordinator} that decides {txn} is gone"))
        })?;
        if node == self.node() {
            self.inquire(coordinator, txn, at).await
        } else {
            self.other(node)?.inquire(coordinator, txn, at).await
        }
    }
}

/// Tables that are kept at most.
const MOST: usize = 65_536;

/// What is known of tables, by partition.
#[derive(Clone, Default)]
pub(crate) struct Estimates {
    known: Arc<Mutex<HashMap<(PartitionId, TableId), Known>>>,
}

/// With the mark of the table then.
type Known = (u64, TableEstimate);

impl Estimates {
    /// What is known of a table in these partitions. One that cannot say (its table is just being made,
    /// say) counts as empty.
    pub(crate) fn of(&self, store: &Store, def: &TableDef, partitions: &[PartitionId]) -> TableEstimate {
        let mut total = TableEstimate::default();
        for partition in partitions {
            if let Some(estimate) = self.of_one(store, def, *partition) {
                total.add(&estimate, &def.shard_key);
            }
        }
        total
    }

    fn of_one(&self, store: &Store, def: &TableDef, partition: PartitionId) -> Option<TableEstimate> {
        let mark = store.table_mark(partition, def.id).ok()?;
        let key = (partition, def.id);
        if let Some((known, estimate)) = self.known.lock().get(&key)
            && *known == mark
        {
            return Some(estimate.clone());
        }
        let ts = store.read_timestamp(&[partition]).ok()?;
        let snapshot = store.snapshot(partition, def.id, ReadView { ts, txn: None }).ok()?;
        let estimate = TableEstimate::from(&snapshot.statistics());
        let mut known = self.known.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key, (mark, estimate.clone()));
        Some(estimate)
    }
}
