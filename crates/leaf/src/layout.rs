//! What the store must hold, given the catalog. Pure: a plan is computed, `server` carries it out.

use catalog::Catalog;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use types::{NodeId, PartitionId, TableDef, TableId};

/// The table versions that a store holds, by partition.
pub(crate) type Held = BTreeMap<PartitionId, BTreeMap<TableId, u64>>;

/// One change that brings a store nearer to the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    CreatePartition(PartitionId),
    PutTable(PartitionId, Arc<TableDef>),
    DropTable(PartitionId, TableId),
    DropPartition(PartitionId),
}

/// What to do so that a store that holds `held` holds what `catalog` places on `node`: partitions
/// first, then tables, then removals.
pub(crate) fn plan(catalog: &Catalog, node: NodeId, held: &Held) -> Vec<Change> {
    let mut create = Vec::new();
    let mut put = Vec::new();
    let mut drop = Vec::new();
    let mut wanted_partitions = BTreeSet::new();
    for database in catalog.databases() {
        let tables: Vec<&Arc<TableDef>> = catalog.tables(&database.name).collect();
        for partition in catalog.partitions(database.id) {
            if partition.primary != node {
                continue;
            }
            wanted_partitions.insert(partition.id);
            let held_tables = held.get(&partition.id);
            if held_tables.is_none() {
                create.push(Change::CreatePartition(partition.id));
            }
            let held_version = |table: TableId| held_tables.and_then(|t| t.get(&table)).copied();
            for &def in &tables {
                if held_version(def.id).is_none_or(|version| version < def.version) {
                    put.push(Change::PutTable(partition.id, def.clone()));
                }
            }
            let wanted: BTreeSet<TableId> = tables.iter().map(|def| def.id).collect();
            for table in held_tables.into_iter().flat_map(BTreeMap::keys) {
                if !wanted.contains(table) {
                    drop.push(Change::DropTable(partition.id, *table));
                }
            }
        }
    }
    for partition in held.keys().filter(|id| !wanted_partitions.contains(id)) {
        drop.push(Change::DropPartition(*partition));
    }
    create.into_iter().chain(put).chain(drop).collect()
}
