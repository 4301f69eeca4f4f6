//! The store's layout follows the catalog.

use crate::layout::{self, Change, Held};
use catalog::{Catalog, Metadata};
use columnstore::{Store, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use types::{ErrorKind, NodeId, Result, SqlError};

/// How long a request waits for a catalog that this process does not know yet.
const KNOWN_LIMIT: Duration = Duration::from_secs(5);

pub(crate) struct Follower {
    node: NodeId,
    store: Arc<Store>,
    metadata: Arc<dyn Metadata>,
    /// The catalog version that the layout follows.
    followed: AtomicU64,
    /// What the store holds; locked while it changes.
    held: parking_lot::Mutex<Held>,
    /// The last catalog that the store was brought to.
    last: parking_lot::Mutex<Option<Arc<Catalog>>>,
}

impl Follower {
    pub(crate) fn new(node: NodeId, store: Arc<Store>, metadata: Arc<dyn Metadata>) -> Follower {
        let held = parking_lot::Mutex::new(store.layout());
        Follower { node, store, metadata, followed: AtomicU64::new(0), held, last: Default::default() }
    }

    pub(crate) fn version(&self) -> u64 {
        self.followed.load(Ordering::Acquire)
    }

    /// Waits until this process knows the catalog of this version, which another process knows already.
    pub(crate) async fn known(&self, version: u64) -> Result<()> {
        if self.metadata.snapshot().version() >= version {
            return Ok(());
        }
        let known = self.metadata.changed(version.saturating_sub(1));
        match tokio::time::timeout(KNOWN_LIMIT, known).await {
            Ok(known) => known.map(|_| ()),
            Err(_) => Err(SqlError {
                retryable: true,
                ..SqlError::new(
                    ErrorKind::ServerOffline,
                    format!(
                        "Leaf {} has lost the masters of the metadata and does not know the newest change yet",
                        self.node
                    ),
                )
            }),
        }
    }

    /// Brings the store to the newest catalog. Waits for the disk.
    pub(crate) fn follow(&self) -> Result<()> {
        let mut held = self.held.lock();
        let catalog = self.metadata.snapshot();
        if self.version() >= catalog.version() {
            return Ok(());
        }
        let is_same = self.last.lock().as_ref().is_some_and(|last| last.shares_tables_with(&catalog));
        let changes = if is_same { Vec::new() } else { layout::plan(&catalog, self.node, &held) };
        for change in changes {
            self.carry_out(&change)?;
            match change {
                Change::CreatePartition(partition) => {
                    held.entry(partition).or_default();
                }
                Change::PutTable(partition, def) => {
                    held.entry(partition).or_default().insert(def.id, def.version);
                }
                Change::DropTable(partition, table) => {
                    held.entry(partition).or_default().remove(&table);
                }
                Change::DropPartition(partition) => {
                    held.remove(&partition);
                }
            }
        }
        self.followed.store(catalog.version(), Ordering::Release);
        *self.last.lock() = Some(catalog);
        Ok(())
    }

    fn carry_out(&self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::CreatePartition(partition) => self.store.create_partition(*partition),
            Change::PutTable(partition, def) => self.store.put_table(*partition, def.clone()),
            Change::DropTable(partition, table) => self.store.drop_table(*partition, *table),
            Change::DropPartition(partition) => self.store.drop_partition(*partition),
        }
    }
}
