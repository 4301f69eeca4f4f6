//! A table in segments, so that a scan meets encoded blocks. For tests.

use crate::scan::{Snapshots, TableMorsel, TableSnapshot};
use arrow::array::RecordBatch;
use columnstore::{BeginTimestamps, BufferPool, Predicate, ScanSpec, Segment, StoreError, Vectors};
use env::{Disk, MemoryBudget, SimDisk};
use std::path::Path;
use std::sync::Arc;
use types::{PartitionId, SqlError, TableDef, TableId, Timestamp};

/// One partition whose rows are segments on a simulated disk.
pub struct SegmentTables {
    def: Arc<TableDef>,
    segments: Vec<Arc<Segment>>,
}

impl SegmentTables {
    /// Each part is a segment.
    pub fn new(def: &Arc<TableDef>, parts: &[RecordBatch]) -> SegmentTables {
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new("/segments")).expect("a folder");
        let pool = BufferPool::new(MemoryBudget::new(1 << 30), 1 << 28);
        let segments = parts
            .iter()
            .zip(1..)
            .map(|(rows, id)| {
                let path = format!("/segments/{id}");
                let path = Path::new(&path);
                let begin = BeginTimestamps::All(Timestamp(1));
                let meta = columnstore::write_segment(&disk, path, id, def, rows, begin).expect("a segment");
                Arc::new(Segment::open(&disk, path, meta, pool.clone()).expect("a segment"))
            })
            .collect();
        SegmentTables { def: def.clone(), segments }
    }
}

impl Snapshots for SegmentTables {
    fn snapshot(&self, _: PartitionId, _: TableId) -> Result<Arc<dyn TableSnapshot>, SqlError> {
        Ok(Arc::new(SegmentTables { def: self.def.clone(), segments: self.segments.clone() }))
    }
}

impl TableSnapshot for SegmentTables {
    fn morsels(self: Arc<Self>, _: &[Predicate]) -> Vec<Box<dyn TableMorsel>> {
        let mut morsels: Vec<Box<dyn TableMorsel>> = Vec::new();
        for segment in &self.segments {
            for block in 0..segment.blocks() {
                morsels.push(Box::new(BlockMorsel {
                    segment: segment.clone(),
                    block,
                    def: self.def.clone(),
                }));
            }
        }
        morsels
    }
}

struct BlockMorsel {
    def: Arc<TableDef>,
    segment: Arc<Segment>,
    block: u32,
}

impl TableMorsel for BlockMorsel {
    fn scan(
        &self,
        spec: &ScanSpec,
        emit: &mut dyn FnMut(RecordBatch) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        self.segment.scan_block(self.block, &self.def, spec, None, emit).map(|_| ())
    }

    fn scan_vectors(
        &self,
        def: &TableDef,
        spec: &ScanSpec,
        vectors: &mut Vectors,
        emit: &mut dyn FnMut(&Vectors) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        self.segment.scan_block_vectors(self.block, def, spec, None, vectors, emit).map(|_| ())
    }
}
