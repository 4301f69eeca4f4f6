//! Which leaf holds a partition, and requests that go to several leaves at once.

use crate::server::Aggregator;
use crate::session::State;
use catalog::{Catalog, NodeRole, NodeState};
use exec::{LeafService, Snapshots, TableSnapshot};
use futures::future::{join_all, try_join_all};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use types::{ErrorKind, NodeId, PartitionId, Result, SqlError, TableId, TxnId};

/// A leaf that takes longer to end waits is asked again.
const INTERRUPT_TIMEOUT: Duration = Duration::from_millis(100);

/// The node that takes reads and writes of a partition.
pub(crate) fn primary(catalog: &Catalog, partition: PartitionId) -> Result<NodeId> {
    match catalog.partition(partition) {
        Some((_, found)) => Ok(found.primary),
        None => Err(SqlError {
            kind: ErrorKind::Unknown,
            message: format!("Partition {partition} is gone; run the statement again"),
            retryable: true,
        }),
    }
}

/// Partitions by the leaf that holds them.
pub(crate) fn by_leaf<P>(
    catalog: &Catalog,
    parts: impl IntoIterator<Item = P>,
    partition: impl Fn(&P) -> PartitionId,
) -> Result<BTreeMap<NodeId, Vec<P>>> {
    let mut leaves: BTreeMap<NodeId, Vec<P>> = BTreeMap::new();
    for part in parts {
        leaves.entry(primary(catalog, partition(&part))?).or_default().push(part);
    }
    Ok(leaves)
}

/// Leaves that are up, as far as the catalog knows.
pub(crate) fn online_leaves(catalog: &Catalog) -> Vec<NodeId> {
    let is_up = |node: &&Arc<catalog::Node>| node.role == NodeRole::Leaf && node.state == NodeState::Online;
    catalog.nodes().filter(is_up).map(|node| node.id).collect()
}

/// Whether the error says that a node could not be reached.
pub(crate) fn is_unreachable(error: &SqlError) -> bool {
    error.kind == ErrorKind::ServerOffline
}

/// A leaf with some partitions that it holds.
pub(crate) type LeafAndPartitions = (Arc<dyn LeafService>, Vec<PartitionId>);

impl Aggregator {
    /// Ends the waits for locks that a transaction is in now. A leaf that does not answer is not waited
    /// for: the caller asks again.
    pub(crate) async fn interrupt(&self, txn: TxnId) {
        let asked = online_leaves(&self.metadata.snapshot()).into_iter().map(|node| async move {
            // One that is not known holds no wait of ours.
            let Ok(leaf) = self.leaves.leaf(node) else { return };
            match tokio::time::timeout(INTERRUPT_TIMEOUT, leaf.interrupt(txn)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%node, %txn, %error, "waits were not ended"),
                Err(_) => tracing::debug!(%node, %txn, "waits were not ended in time"),
            }
        });
        join_all(asked).await;
    }
}

impl State {
    /// The leaf that holds a partition.
    pub(crate) fn leaf_of(&self, partition: PartitionId) -> Result<Arc<dyn LeafService>> {
        self.aggregator.leaves.leaf(primary(&self.catalog, partition)?)
    }

    /// Each leaf with those of the partitions that it holds.
    pub(crate) fn leaves_of(&self, partitions: &[PartitionId]) -> Result<Vec<LeafAndPartitions>> {
        by_leaf(&self.catalog, partitions.iter().copied(), |partition| *partition)?
            .into_iter()
            .map(|(node, partitions)| Ok((self.aggregator.leaves.leaf(node)?, partitions)))
            .collect()
    }

    /// Lets all leaves follow the catalog. One that cannot be reached follows when it is back.
    pub(crate) async fn catch_up_leaves(&self) -> Result<()> {
        let version = self.catalog.version();
        let of = |node| async move {
            let leaf = self.aggregator.leaves.leaf(node)?;
            match leaf.catch_up(version).await {
                Err(error) if is_unreachable(&error) => {
                    tracing::warn!(%node, %error, "a leaf will follow the catalog later");
                    Ok(())
                }
                followed => followed,
            }
        };
        try_join_all(online_leaves(&self.catalog).into_iter().map(of)).await?;
        Ok(())
    }
}

/// The partitions of a query, each pinned at its leaf.
#[derive(Default)]
pub(crate) struct PinnedLeaves {
    pub(crate) by_partition: HashMap<PartitionId, Arc<dyn Snapshots>>,
}

impl Snapshots for PinnedLeaves {
    fn snapshot(&self, partition: PartitionId, table: TableId) -> Result<Arc<dyn TableSnapshot>> {
        match self.by_partition.get(&partition) {
            Some(leaf) => leaf.snapshot(partition, table),
            None => Err(SqlError::internal(format!("the query did not name partition {partition}"))),
        }
    }
}
