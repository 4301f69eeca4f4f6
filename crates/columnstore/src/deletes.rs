//! Which rows of a segment or frozen run are gone, and since when.
//!
//! A bitmap of all of them, and a list (row, timestamp) of those since the watermark, in the order of
//! their timestamps. Rows in the bitmap that the list does not name are gone for every reader.
//!
//! Rows are added under the partition's latch. A reader at `ts` pinned its state after the partition's
//! clock was raised to `ts`, so what is added later is later than the reader, and it may look whenever
//! it likes.

use crate::encoding::BLOCK_ROWS;
use arrow::buffer::BooleanBuffer;
use parking_lot::RwLock;
use roaring::RoaringBitmap;
use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use types::Timestamp;

/// Blocks with so many rows gone keep what is left as bits: to make them anew takes longer than to scan.
const MANY: u64 = 256;

/// Rows that are gone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gone {
    rows: RoaringBitmap,
    /// By block, which rows are left; made when a scan first asks for it, and again after a change.
    left: Vec<OnceLock<BooleanBuffer>>,
}

impl Gone {
    fn insert(&mut self, row: u32) -> bool {
        let fresh = self.rows.insert(row);
        if fresh {
            let block = row as usize / BLOCK_ROWS;
            if block >= self.left.len() {
                self.left.resize_with(block + 1, OnceLock::new);
            }
            self.left[block].take();
        }
        fresh
    }

    fn remove(&mut self, row: u32) {
        if self.rows.remove(row) {
            self.left[row as usize / BLOCK_ROWS].take();
        }
    }

    /// Which of the `rows` rows of a block are left, a bit for each; None: all.
    pub(crate) fn left_of_block(&self, block: u32, rows: usize) -> Option<BooleanBuffer> {
        let left = self.left.get(block as usize)?;
        if let Some(kept) = left.get() {
            return Some(kept.clone());
        }
        let first = block * BLOCK_ROWS as u32;
        let rows = first..first + rows as u32;
        match self.rows.range_cardinality(rows.clone()) {
            0 => None,
            count if count < MANY => Some(left_of(&self.rows, rows)),
            _ => Some(left.get_or_init(|| left_of(&self.rows, rows)).clone()),
        }
    }
}

impl From<RoaringBitmap> for Gone {
    fn from(rows: RoaringBitmap) -> Gone {
        let blocks = rows.max().map_or(0, |last| last as usize / BLOCK_ROWS + 1);
        Gone { rows, left: vec![OnceLock::new(); blocks] }
    }
}

impl Deref for Gone {
    type Target = RoaringBitmap;

    fn deref(&self) -> &RoaringBitmap {
        &self.rows
    }
}

/// A bit for each of `rows`: whether it is not `gone`.
pub(crate) fn left_of(gone: &RoaringBitmap, rows: Range<u32>) -> BooleanBuffer {
    let mut bits = vec![0xffu8; rows.len().div_ceil(8)];
    for row in gone.range(rows.clone()) {
        let row = (row - rows.start) as usize;
        bits[row / 8] &= !(1 << (row % 8));
    }
    BooleanBuffer::new(bits.into(), 0, rows.len())
}

#[derive(Debug, Default)]
struct Inner {
    all: Arc<Gone>,
    list: Vec<(u32, Timestamp)>,
}

#[derive(Debug, Default)]
pub(crate) struct DeleteVector {
    any: AtomicBool,
    inner: RwLock<Inner>,
}

impl DeleteVector {
    /// `forever` and the rows of `list`, which is in the order of timestamps. A row is gone since the first
    /// time that it is named: counts rely on each being there once.
    pub(crate) fn new(mut forever: RoaringBitmap, mut list: Vec<(u32, Timestamp)>) -> DeleteVector {
        debug_assert!(list.is_sorted_by_key(|(_, ts)| *ts));
        list.retain(|(row, _)| forever.insert(*row));
        DeleteVector {
            any: AtomicBool::new(!forever.is_empty()),
            inner: RwLock::new(Inner { all: Arc::new(forever.into()), list }),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    pub(crate) fn len(&self) -> u64 {
        if self.is_empty() { 0 } else { self.inner.read().all.len() }
    }

    /// The greatest of them.
    pub(crate) fn last_row(&self) -> Option<u32> {
        self.inner.read().all.max()
    }

    pub(crate) fn contains(&self, row: u32) -> bool {
        !self.is_empty() && self.inner.read().all.contains(row)
    }

    /// Marks a row as gone since `ts`, which is not before any given earlier. False if it was gone.
    pub(crate) fn insert(&self, row: u32, ts: Timestamp) -> bool {
        let mut inner = self.inner.write();
        if !Arc::make_mut(&mut inner.all).insert(row) {
            return false;
        }
        inner.list.push((row, ts));
        self.any.store(true, Ordering::Release);
        true
    }

    /// The rows that are gone for a reader at `ts`; None if none is.
    pub(crate) fn hidden_at(&self, ts: Timestamp) -> Option<Arc<Gone>> {
        if self.is_empty() {
            return None;
        }
        let inner = self.inner.read();
        let later = inner.list.partition_point(|(_, since)| *since <= ts);
        let hidden = if later == inner.list.len() {
            inner.all.clone()
        } else {
            let mut hidden = (*inner.all).clone();
            for (row, _) in &inner.list[later..] {
                hidden.remove(*row);
            }
            Arc::new(hidden)
        };
        (!hidden.is_empty()).then_some(hidden)
    }

    /// Whether a reader at `ts` misses this row.
    pub(crate) fn is_hidden(&self, row: u32, ts: Timestamp) -> bool {
        if self.is_empty() {
            return false;
        }
        let inner = self.inner.read();
        if !inner.all.contains(row) {
            return false;
        }
        let later = inner.list.partition_point(|(_, since)| *since <= ts);
        inner.list[later..].iter().all(|(other, _)| *other != row)
    }

    /// The rows that are gone for everyone who may read at or after `watermark`, and the later ones.
    pub(crate) fn split_at(&self, watermark: Timestamp) -> (RoaringBitmap, Vec<(u32, Timestamp)>) {
        let inner = self.inner.read();
        let later = inner.list.partition_point(|(_, since)| *since <= watermark);
        let list = inner.list[later..].to_vec();
        let mut forever = inner.all.rows.clone();
        for (row, _) in &list {
            forever.remove(*row);
        }
        (forever, list)
    }

    /// How many rows are gone for everyone who reads at or after `watermark`.
    pub(crate) fn gone_at(&self, watermark: Timestamp) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let inner = self.inner.read();
        let settled = inner.list.partition_point(|(_, since)| *since <= watermark);
        inner.all.len() - (inner.list.len() - settled) as u64
    }

    /// How many rows the list names that everyone misses by now.
    pub(crate) fn settled(&self, watermark: Timestamp) -> usize {
        self.inner.read().list.partition_point(|(_, since)| *since <= watermark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn what_is_left_is_what_is_not_gone() {
        let left = left_of(&RoaringBitmap::from_iter([3, 10, 17, 19]), 10..19);
        assert_eq!(Vec::from_iter(left.set_indices()), [1, 2, 3, 4, 5, 6, 8]);
        assert_eq!(left.len(), 9);
    }

    #[test]
    fn a_row_that_is_named_twice_is_gone_once() {
        let at = |ts| Timestamp(ts);
        let forever = RoaringBitmap::from_iter([1]);
        let vector = DeleteVector::new(forever, vec![(1, at(10)), (7, at(20)), (7, at(30))]);
        let gone = |ts| (vector.gone_at(at(ts)), vector.settled(at(ts)));
        assert_eq!((gone(9), gone(20), gone(30)), ((1, 0), (2, 1), (2, 1)));
        assert!(vector.is_hidden(7, at(20)) && !vector.is_hidden(7, at(19)));
        assert_eq!(vector.split_at(at(0)).1, [(7, at(20))]);
    }

    proptest! {
        /// What is left of a block is as the rows say, asked for again and again while rows go.
        #[test]
        fn what_is_left_of_a_block_follows_its_rows(
            dense in prop::collection::btree_set(0u32..BLOCK_ROWS as u32, 0..600),
            steps in prop::collection::vec((0u32..3 * BLOCK_ROWS as u32, prop::bool::ANY), 1..20),
        ) {
            let mut gone = Gone::from(RoaringBitmap::from_iter(&dense));
            for (row, insert) in steps {
                let before = gone.clone();
                match insert {
                    true => drop(gone.insert(row)),
                    false => gone.remove(row),
                }
                for gone in [&gone, &before, &gone] {
                    for block in 0..4 {
                        let rows = if block == 2 { 1_000 } else { BLOCK_ROWS };
                        let first = block * BLOCK_ROWS as u32;
                        let range = first..first + rows as u32;
                        let expected = (gone.range_cardinality(range.clone()) > 0).then(|| left_of(gone, range));
                        prop_assert_eq!(gone.left_of_block(block, rows), expected);
                    }
                }
            }
        }

        #[test]
        fn a_reader_sees_what_was_deleted_up_to_its_timestamp(
            rows in prop::collection::vec((0u32..200_000, 1u64..40), 0..60),
            watermark in 0u64..45,
        ) {
            let mut rows = rows;
            rows.sort_by_key(|(_, ts)| *ts);
            let vector = DeleteVector::default();
            let mut model = BTreeMap::new();
            for (row, ts) in rows {
                prop_assert_eq!(vector.insert(row, Timestamp(ts)), !model.contains_key(&row));
                model.entry(row).or_insert(ts);
            }
            let (forever, list) = vector.split_at(Timestamp(watermark));
            let compacted = DeleteVector::new(forever, list);
            for ts in 0..45 {
                let expected: Vec<u32> = model.iter().filter(|(_, t)| **t <= ts).map(|(r, _)| *r).collect();
                let hidden = |v: &DeleteVector| {
                    v.hidden_at(Timestamp(ts)).map_or(Vec::new(), |b| b.iter().collect::<Vec<u32>>())
                };
                prop_assert_eq!(&hidden(&vector), &expected);
                for row in model.keys() {
                    prop_assert_eq!(vector.is_hidden(*row, Timestamp(ts)), expected.contains(row));
                }
                if ts >= watermark {
                    prop_assert_eq!(&hidden(&compacted), &expected);
                }
            }
        }
    }
}
