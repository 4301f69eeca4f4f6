//! What a scan reads from: the storage, behind traits.

use arrow::array::RecordBatch;
use columnstore::{Predicate, ScanSpec, StoreError, Vectors};
use std::sync::Arc;
use types::{PartitionId, SqlError, TableDef, TableId};

/// Gives the tables of one query, as its read view sees them.
pub trait Snapshots: Send + Sync {
    /// The table in a partition, pinned until dropped. May wait, for a clock or for a commit on its
    /// way; the caller is on a thread that may.
    fn snapshot(&self, partition: PartitionId, table: TableId) -> Result<Arc<dyn TableSnapshot>, SqlError>;
}

/// One table in one partition at one point in time.
pub trait TableSnapshot: Send + Sync {
    /// The pieces that may hold rows that pass; together they hold each row once.
    fn morsels(self: Arc<Self>, predicates: &[Predicate]) -> Vec<Box<dyn TableMorsel>>;
}

/// A piece of a table, some ten thousand rows.
pub trait TableMorsel: Send {
    /// Has the disk begin to read what a scan will need.
    fn read_ahead(&self, _spec: &ScanSpec) {}

    /// Calls `emit` with the rows that pass, in batches of at most 8,192, until it returns false.
    fn scan(
        &self,
        spec: &ScanSpec,
        emit: &mut dyn FnMut(RecordBatch) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError>;

    /// The same with the rows as vectors, into `vectors`, which are good until `emit` returns. `spec`
    /// asks for no row references; `def` is the table's definition that it follows.
    fn scan_vectors(
        &self,
        def: &TableDef,
        spec: &ScanSpec,
        vectors: &mut Vectors,
        emit: &mut dyn FnMut(&Vectors) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let types = spec.types(def)?;
        self.scan(spec, &mut |batch| {
            vectors.set_batch(&batch, &types)?;
            emit(vectors)
        })
    }
}
