//! The column store behind the traits of a scan.

use super::estimate::{ColumnEstimate, TableEstimate};
use super::source::{TableMorsel, TableSnapshot};
use arrow::array::RecordBatch;
use columnstore::{Morsel, Predicate, ScanSpec, Snapshot, StoreError, TableStatistics, Vectors};
use std::sync::Arc;
use types::TableDef;

impl TableSnapshot for Snapshot {
    fn morsels(self: Arc<Self>, predicates: &[Predicate]) -> Vec<Box<dyn TableMorsel>> {
        Snapshot::morsels(&self, predicates)
            .into_iter()
            .map(|morsel| Box::new(StoreMorsel { snapshot: self.clone(), morsel }) as Box<dyn TableMorsel>)
            .collect()
    }
}

struct StoreMorsel {
    snapshot: Arc<Snapshot>,
    morsel: Morsel,
}

impl TableMorsel for StoreMorsel {
    fn read_ahead(&self, spec: &ScanSpec) {
        self.snapshot.read_ahead(&self.morsel, spec);
    }

    fn scan(
        &self,
        spec: &ScanSpec,
        emit: &mut dyn FnMut(RecordBatch) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        self.snapshot.scan(&self.morsel, spec, emit).map(|_| ())
    }

    fn scan_vectors(
        &self,
        _: &TableDef,
        spec: &ScanSpec,
        vectors: &mut Vectors,
        emit: &mut dyn FnMut(&Vectors) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        self.snapshot.scan_vectors(&self.morsel, spec, vectors, emit).map(|_| ())
    }
}

/// What the store knows of one partition.
impl From<&TableStatistics> for TableEstimate {
    fn from(statistics: &TableStatistics) -> TableEstimate {
        let columns = statistics.columns.iter().map(|column| {
            let estimate = ColumnEstimate {
                min: column.min.clone(),
                max: column.max.clone(),
                nulls: column.nulls,
                distinct: column.distinct,
                bytes: column.bytes,
            };
            (column.column, estimate)
        });
        TableEstimate { rows: statistics.rows, columns: columns.collect() }
    }
}
