//! Which leaf gets which partition of a new database.

use crate::{Catalog, NodeRole, NodeState};
use std::collections::BTreeMap;
use types::{ErrorKind, NodeId, SqlError};

/// The most partitions that one database may have.
pub const MAX_PARTITIONS: u32 = 8_192;

/// The primary of each partition, in the order of their ordinals. Round robin over the leaves that
/// are online, those with the fewest partitions of other databases first, so that every database
/// is spread evenly and small ones do not all meet on the first leaf.
pub(crate) fn place(catalog: &Catalog, partitions: Option<u32>) -> Result<Vec<NodeId>, SqlError> {
    let mut leaves: Vec<_> =
        catalog.nodes().filter(|n| n.role == NodeRole::Leaf && n.state == NodeState::Online).collect();
    let cores = leaves.iter().fold(0u32, |sum, leaf| sum.saturating_add(leaf.cores));
    let wanted = partitions.unwrap_or(cores.clamp(1, MAX_PARTITIONS));
    if wanted == 0 {
        return Err(SqlError::new(ErrorKind::NoParts, "Number of partitions = 0 is not an allowed value"));
    }
    if wanted > MAX_PARTITIONS {
        return Err(SqlError::new(
            ErrorKind::TooManyPartitions,
            format!("Too many partitions were defined: {wanted}, and a database may have {MAX_PARTITIONS}"),
        ));
    }
    if leaves.is_empty() {
        return Err(SqlError::internal(
            "No leaf is online, so a database has no place to be: start one first",
        ));
    }
    let mut held: BTreeMap<NodeId, u64> = BTreeMap::new();
    for database in catalog.databases() {
        for partition in &database.partitions {
            for &node in &partition.replicas {
                *held.entry(node).or_default() += 1;
            }
        }
    }
    let held = |node: NodeId| held.get(&node).copied().unwrap_or(0);
    leaves.sort_by_key(|leaf| (held(leaf.id), leaf.id));
    Ok(leaves.iter().cycle().map(|leaf| leaf.id).take(wanted as usize).collect())
}
