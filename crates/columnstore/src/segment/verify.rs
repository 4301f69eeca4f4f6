//! Reading all of a segment, to find out whether it is whole.

use super::Segment;
use super::block::BlockColumn;
use super::format::{Place, key_run_columns};
use crate::StoreError;
use crate::encoding::BLOCK_ROWS;
use roaring::RoaringBitmap;
use types::TableDef;

impl Segment {
    /// Reads every block from the file, not from the pool, and compares its checksum; decodes it; and
    /// looks whether each key run names each row once, in the order of the key.
    pub(crate) fn verify(&self, def: &TableDef) -> Result<(), StoreError> {
        for column in &self.footer.columns {
            let blocks = column.blocks.iter().filter_map(|block| block.form.place().copied());
            for place in column.shared_places().chain(blocks) {
                self.verify_place(&place)?;
            }
        }
        for at in 0..self.footer.columns.len() {
            for block in 0..self.blocks() {
                self.block_column(at, block)?;
            }
        }
        for (run, key) in self.footer.key_runs.iter().enumerate() {
            // What was dropped since has no order any more.
            if key.iter().all(|id| def.column(*id).is_some()) {
                self.verify_run(run)?;
            }
        }
        Ok(())
    }

    fn verify_place(&self, place: &Place) -> Result<(), StoreError> {
        const PIECE: u64 = 1 << 20;
        let mut hasher = crc32fast::Hasher::new();
        let mut bytes = vec![0; place.length.min(PIECE) as usize];
        let mut done = 0;
        while done < place.length {
            let piece = &mut bytes[..(place.length - done).min(PIECE) as usize];
            self.file
                .read_exact_at(piece, place.offset + done)
                .map_err(|error| StoreError::io(&self.path, error))?;
            hasher.update(piece);
            done += piece.len() as u64;
        }
        if hasher.finalize() != place.crc {
            return Err(StoreError::corrupt(&self.path, place.offset, "the checksum of a block is wrong"));
        }
        Ok(())
    }

    /// Codes ascend, and each row is named once.
    fn verify_run(&self, run: usize) -> Result<(), StoreError> {
        let wrong = |what: &str| StoreError::corrupt(&self.path, 0, what);
        let (codes, rows) = key_run_columns(run);
        let (Some((codes, _)), Some((rows, _))) = (self.stored(codes), self.stored(rows)) else {
            return Err(wrong("the run of a key is missing"));
        };
        let mut named = RoaringBitmap::new();
        let mut last = i64::MIN;
        for block in 0..self.blocks() {
            let (BlockColumn::Ints(codes), BlockColumn::Ints(rows)) =
                (self.block_column(codes, block)?, self.block_column(rows, block)?)
            else {
                return Err(wrong("the run of a key is missing"));
            };
            for at in 0..(self.block_rows(block) as usize).min(BLOCK_ROWS) {
                let (code, row) = (codes.get(at), rows.get(at));
                if code < last {
                    return Err(wrong("the run of a key is out of order"));
                }
                last = code;
                let row = u32::try_from(row).ok().filter(|row| *row < self.meta.rows);
                if !row.is_some_and(|row| named.insert(row)) {
                    return Err(wrong("the run of a key does not name each row once"));
                }
            }
        }
        Ok(())
    }
}
