//! Opening a segment and loading its blocks.

use super::block::BlockColumn;
use super::defaults::{default_column, default_zone};
use super::format::{
    self, BlockEntry, ColumnEntry, Footer, Form, HEADER_BYTES, Place, TRAILER_BYTES, Trailer, Zone,
};
use super::statistics::SegmentStatistics;
use super::{Segment, SegmentMeta};
use crate::encoding::Malformed;
use crate::encoding::bytes::BytesBlock;
use crate::encoding::dictionary::Dictionary;
use crate::encoding::fixed::{FixedBlock, FixedKind};
use crate::encoding::fsst::{FsstBlock, SymbolTable};
use crate::encoding::ints::{IntBlock, IntShape};
use crate::pool::memory::BlockBytes;
use crate::pool::{Block, BlockKey, BufferPool};
use crate::{StoreError, scan::unknown_column};
use arrow::buffer::Buffer;
use env::memory::Reservation;
use env::{Disk, File, OpenMode};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
use types::{ColumnId, Physical, SqlType, TableDef};

/// The place of a column's dictionary or symbol table in the pool.
const SHARED: u32 = u32::MAX;

/// A block's bytes with the memory reserved for them.
struct Owned {
    bytes: BlockBytes,
    _reservation: Reservation,
}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

impl Segment {
    /// Opens a segment file and checks its header, trailer and footer. `meta` is what the manifest
    /// says of it: its timestamps count, those of the file may have been given at commit.
    pub fn open(
        disk: &dyn Disk,
        path: &Path,
        meta: SegmentMeta,
        pool: Arc<BufferPool>,
    ) -> Result<Segment, StoreError> {
        let io = |error| StoreError::io(path, error);
        let file = disk.open(path, OpenMode::Read).map_err(io)?;
        let length = file.len().map_err(io)?;
        if length != meta.bytes || length < (HEADER_BYTES + TRAILER_BYTES) as u64 {
            let what = format!("the file has {length} bytes, the manifest says {}", meta.bytes);
            return Err(StoreError::corrupt(path, length, what));
        }
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).map_err(io)?;
        format::check_header(&header, meta.id).map_err(|what| StoreError::corrupt(path, 0, what))?;
        let trailer_at = length - TRAILER_BYTES as u64;
        let mut bytes = [0; TRAILER_BYTES];
        file.read_exact_at(&mut bytes, trailer_at).map_err(io)?;
        let trailer = Trailer::decode(&bytes).map_err(|what| StoreError::corrupt(path, trailer_at, what))?;
        let footer_at = trailer.footer_offset;
        if trailer.id != meta.id
            || trailer.footer_crc != meta.checksum
            || footer_at < HEADER_BYTES as u64
            || footer_at.checked_add(trailer.footer_length.into()) != Some(trailer_at)
        {
            return Err(StoreError::corrupt(path, trailer_at, "the trailer is not that of this segment"));
        }
        let mut bytes = vec![0; trailer.footer_length as usize];
        file.read_exact_at(&mut bytes, footer_at).map_err(io)?;
        if crc32fast::hash(&bytes) != trailer.footer_crc {
            return Err(StoreError::corrupt(path, footer_at, "the footer's checksum is wrong"));
        }
        let footer = Footer::decode(&bytes, footer_at, trailer.version)
            .map_err(|(at, what)| StoreError::corrupt(path, footer_at + at as u64, what))?;
        if footer.id != meta.id || footer.rows != meta.rows {
            return Err(StoreError::corrupt(path, footer_at, "the footer is not that of this segment"));
        }
        let statistics = SegmentStatistics::of(&footer);
        let file_id = pool.register_file();
        Ok(Segment {
            path: path.to_path_buf(),
            file,
            meta,
            footer,
            statistics,
            pool,
            file_id,
            schemas: Mutex::default(),
        })
    }

    pub(super) fn stored(&self, id: ColumnId) -> Option<(usize, &ColumnEntry)> {
        self.footer.columns.iter().enumerate().find(|(_, column)| column.id == id)
    }

    /// The stored column, which must be of a type that can be read as `ty`.
    fn stored_as(&self, id: ColumnId, ty: SqlType) -> Result<Option<(usize, &ColumnEntry)>, StoreError> {
        let Some((at, column)) = self.stored(id) else { return Ok(None) };
        match column.ty {
            Some(stored) if readable_as(stored, ty) => Ok(Some((at, column))),
            stored => Err(StoreError::internal(format_args!(
                "column {id} of segment {} was written as {} and cannot be read as {ty}",
                self.meta.id,
                stored.map_or("a hidden column".to_string(), |ty| ty.to_string())
            ))),
        }
    }

    /// A block of a column of `def`; the default where the segment does not have the column.
    pub(super) fn column(&self, def: &TableDef, id: ColumnId, block: u32) -> Result<BlockColumn, StoreError> {
        let column = def.column(id).ok_or_else(|| unknown_column(def, id))?;
        match self.stored_as(id, column.ty)? {
            Some((at, _)) => self.block_column(at, block),
            None => default_column(column, format::block_rows(self.meta.rows, block)),
        }
    }

    /// NULLs and zone of a block of a column of `def`.
    pub(super) fn known(
        &self,
        def: &TableDef,
        id: ColumnId,
        block: u32,
    ) -> Result<(usize, Zone), StoreError> {
        let column = def.column(id).ok_or_else(|| unknown_column(def, id))?;
        let rows = format::block_rows(self.meta.rows, block);
        match self.stored_as(id, column.ty)? {
            Some((_, stored)) => {
                let entry = &stored.blocks[block as usize];
                Ok((entry.nulls as usize, entry.zone.clone()))
            }
            None => {
                let (null, zone) = default_zone(column)?;
                Ok((if null { rows } else { 0 }, zone))
            }
        }
    }

    /// Block `block` of the column at place `at` of the footer.
    pub(super) fn block_column(&self, at: usize, block: u32) -> Result<BlockColumn, StoreError> {
        let column = &self.footer.columns[at];
        let entry: &BlockEntry = &column.blocks[block as usize];
        let rows = format::block_rows(self.meta.rows, block);
        let nulls = entry.nulls > 0;
        let physical = column.physical();
        let text = column.ty.is_some_and(SqlType::is_string);
        Ok(match entry.form {
            Form::Null => BlockColumn::Null,
            Form::FixedConstant { bits } => {
                BlockColumn::Fixed(Arc::new(FixedBlock::constant(fixed_kind(physical), rows, bits)))
            }
            Form::Ints { place, shape } => {
                let ints = self.ints(at, block, &place, rows, shape, nulls)?;
                match &column.dictionary {
                    Some(_) => BlockColumn::Codes(ints, self.dictionary(at)?),
                    None => BlockColumn::Ints(ints),
                }
            }
            Form::Fixed { place } => {
                let loaded = self.load(at, block, &place, |bytes| {
                    Ok(Block::Fixed(Arc::new(FixedBlock::new(fixed_kind(physical), rows, nulls, bytes)?)))
                })?;
                match loaded {
                    Block::Fixed(block) => BlockColumn::Fixed(block),
                    _ => return Err(wrong_block()),
                }
            }
            Form::Strings { place, width } => {
                let loaded = self.load(at, block, &place, |bytes| {
                    Ok(Block::Bytes(Arc::new(BytesBlock::new(rows, width, nulls, text, bytes)?)))
                })?;
                match loaded {
                    Block::Bytes(block) => BlockColumn::Strings(block),
                    _ => return Err(wrong_block()),
                }
            }
            Form::Fsst { place, width } => {
                let table = self.symbols(at)?;
                let loaded = self.load(at, block, &place, |bytes| {
                    Ok(Block::Fsst(Arc::new(FsstBlock::new(rows, width, nulls, text, &table, bytes)?)))
                })?;
                match loaded {
                    Block::Fsst(block) => BlockColumn::Fsst(block, table),
                    _ => return Err(wrong_block()),
                }
            }
        })
    }

    /// Has the disk begin to read what the pool lacks of a block of these columns.
    pub(crate) fn read_ahead(&self, block: u32, columns: impl Iterator<Item = ColumnId>) {
        for id in columns {
            let Some((at, column)) = self.stored(id) else { continue };
            let Some(place) = column.blocks.get(block as usize).and_then(|entry| entry.form.place()) else {
                continue;
            };
            if !self.pool.holds(&BlockKey { file: self.file_id, column: at as u32, block }) {
                self.file.will_read(place.length, place.offset);
            }
        }
    }

    fn ints(
        &self,
        at: usize,
        block: u32,
        place: &Place,
        rows: usize,
        shape: IntShape,
        nulls: bool,
    ) -> Result<Arc<IntBlock>, StoreError> {
        if place.length == 0 && shape == IntShape::constant(shape.reference) && !nulls {
            return Ok(Arc::new(IntBlock::constant(rows, shape.reference)));
        }
        let loaded = self.load(at, block, place, |bytes| {
            Ok(Block::Ints(Arc::new(IntBlock::new(rows, shape, nulls, bytes)?)))
        })?;
        match loaded {
            Block::Ints(block) => Ok(block),
            _ => Err(wrong_block()),
        }
    }

    fn dictionary(&self, at: usize) -> Result<Arc<Dictionary>, StoreError> {
        let column = &self.footer.columns[at];
        let entry = column.dictionary.ok_or_else(wrong_block)?;
        let (entries, text) = (entry.entries as usize, column.ty.is_some_and(SqlType::is_string));
        let key = BlockKey { file: self.file_id, column: at as u32, block: SHARED };
        let extra = Dictionary::extra_bytes(entries);
        let bytes = (entry.place.length as usize).saturating_add(extra);
        let loaded = self.pool.get(key, bytes, |reservation| {
            // The views' memory is counted with the block's.
            let block = self.read(&entry.place, reservation)?;
            let dictionary = Dictionary::new(entries, text, &block)
                .map_err(|malformed| self.malformed(&entry.place, &malformed))?;
            Ok(Block::Dictionary(Arc::new(dictionary)))
        })?;
        match loaded {
            Block::Dictionary(dictionary) => Ok(dictionary),
            _ => Err(wrong_block()),
        }
    }

    fn symbols(&self, at: usize) -> Result<Arc<SymbolTable>, StoreError> {
        let entry = self.footer.columns[at].symbols.ok_or_else(wrong_block)?;
        let key = BlockKey { file: self.file_id, column: at as u32, block: SHARED };
        let bytes = (entry.place.length as usize).saturating_add(SymbolTable::EXTRA_BYTES);
        let loaded = self.pool.get(key, bytes, |reservation| {
            // The table keeps the block, with which its memory is counted.
            let block = self.read(&entry.place, reservation)?;
            let table = SymbolTable::new(entry.symbols as usize, &block)
                .map_err(|malformed| self.malformed(&entry.place, &malformed))?;
            Ok(Block::Symbols(Arc::new(table)))
        })?;
        match loaded {
            Block::Symbols(table) => Ok(table),
            _ => Err(wrong_block()),
        }
    }

    fn load(
        &self,
        at: usize,
        block: u32,
        place: &Place,
        make: impl FnOnce(&Buffer) -> Result<Block, Malformed>,
    ) -> Result<Block, StoreError> {
        let key = BlockKey { file: self.file_id, column: at as u32, block };
        self.pool.get(key, place.length as usize, |reservation| {
            let bytes = self.read(place, reservation)?;
            make(&bytes).map_err(|malformed| self.malformed(place, &malformed))
        })
    }

    fn malformed(&self, place: &Place, malformed: &Malformed) -> StoreError {
        StoreError::corrupt(&self.path, place.offset + malformed.offset as u64, malformed.what)
    }

    /// The bytes of a place, checked against their checksum.
    fn read(&self, place: &Place, reservation: Reservation) -> Result<Buffer, StoreError> {
        let mut bytes = self.pool.memory().allocate(place.length as usize);
        self.file
            .read_exact_at(bytes.as_mut(), place.offset)
            .map_err(|error| StoreError::io(&self.path, error))?;
        if crc32fast::hash(bytes.as_ref()) != place.crc {
            return Err(StoreError::corrupt(&self.path, place.offset, "the checksum of a block is wrong"));
        }
        if place.length == 0 {
            return Ok(Buffer::from(&[] as &[u8]));
        }
        Ok(::bytes::Bytes::from_owner(Owned { bytes, _reservation: reservation }).into())
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.pool.forget_file(self.file_id);
    }
}

fn wrong_block() -> StoreError {
    StoreError::internal("the buffer pool gave a block of another kind")
}

fn fixed_kind(physical: Physical) -> FixedKind {
    match physical {
        Physical::F32 => FixedKind::F32,
        Physical::F64 => FixedKind::F64,
        // Invariant: the footer's decoder lets no other type have such blocks.
        _ => FixedKind::I128,
    }
}

/// Whether a column stored as one type reads as another: the same physical form and meaning.
fn readable_as(stored: SqlType, wanted: SqlType) -> bool {
    use SqlType::{Bit, Date, DateTime, Decimal, Time, Timestamp};
    stored == wanted
        || match (stored, wanted) {
            (Decimal { scale: a, .. }, Decimal { scale: b, .. }) => {
                a == b && stored.physical() == wanted.physical()
            }
            (Time { .. }, Time { .. })
            | (DateTime { .. }, DateTime { .. })
            | (Timestamp { .. }, Timestamp { .. }) => true,
            (Date, _) | (_, Date) => false,
            (Bit(_), Bit(_)) => true,
            _ if stored.is_flipped() || wanted.is_flipped() => false,
            _ if stored.is_integer() && wanted.is_integer() => true,
            _ => {
                stored.physical() == Physical::Bytes
                    && wanted.physical() == Physical::Bytes
                    && (stored.is_string() || !wanted.is_string())
            }
        }
}

/// Held by [`Segment`]: kept open as long as the segment is.
pub(super) type SegmentFile = Arc<dyn File>;
