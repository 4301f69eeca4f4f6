use super::model::*;
use crate::segment::{BLOCK_ROWS, BeginTimestamps, Segment, write_segment};
use crate::{BufferPool, ScanSpec};
use env::{Disk, MemoryBudget, SimDisk};
use std::path::Path;
use types::{ColumnId, SqlType, Timestamp};

#[test]
fn the_disk_is_told_of_what_the_pool_lacks_and_of_nothing_else() {
    let mut random = Random::new(31);
    let ty = SqlType::BigInt { unsigned: false };
    let rows = BLOCK_ROWS * 2;
    let wild = |random: &mut Random| (ty, column(ty, Shape::Wild, rows, 0, random));
    let table = Table::new(vec![wild(&mut random), wild(&mut random), wild(&mut random)]);
    let (disk, path) = (SimDisk::new(1), Path::new("/segment"));
    disk.create_dir_all(Path::new("/")).unwrap();
    let begin = BeginTimestamps::All(Timestamp(5));
    let meta = write_segment(&disk, path, 1, &table.def, &table.batch, begin).unwrap();
    let pool = BufferPool::new(MemoryBudget::new(64 << 20), 64 << 20);
    let segment = Segment::open(&disk, path, meta, pool.clone()).unwrap();
    let ids = [ColumnId(1), ColumnId(3)];
    let scan = |block: u32| {
        let spec = ScanSpec { columns: ids.to_vec(), ..ScanSpec::default() };
        segment.scan_block(block, &table.def, &spec, None, &mut |_| Ok(true)).unwrap();
    };
    let before = pool.statistics().bytes;
    segment.read_ahead(1, ids.into_iter());
    let announced = disk.announced();
    assert_eq!(pool.statistics().bytes, before, "nothing is loaded before it is asked for");
    scan(1);
    assert_eq!(pool.statistics().bytes - before, announced, "all that the scan needed and no more");
    segment.read_ahead(1, ids.into_iter());
    assert_eq!(disk.announced(), announced, "the pool has it all");
    segment.read_ahead(1, [ColumnId(2), ColumnId(9)].into_iter());
    assert!(disk.announced() > announced, "a column that the scan did not read");
    segment.read_ahead(7, ids.into_iter());
}
