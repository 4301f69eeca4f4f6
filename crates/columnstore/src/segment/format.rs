//! The segment file, version 3, byte by byte. Integers stand least significant byte first.
//!
//! ```text
//! header, 64 bytes
//!   0   8   magic "PANDOSEG"
//!   8   4   version: 3
//!   12  4   segment id
//!   16  48  zero
//! blocks, each at a multiple of 64 bytes, zeros between: see crate::encoding for their insides
//!   for each column in the order of the footer: its dictionary or symbol table if it has one, then its
//!   blocks of 65,536 rows, the last one shorter
//! footer, at a multiple of 64 bytes
//! trailer, the file's last 32 bytes
//!   0   8   offset of the footer
//!   8   4   length of the footer
//!   12  4   crc32 of the footer
//!   16  4   segment id
//!   20  4   version: 3
//!   24  8   magic "PANDOSEG"
//! ```
//!
//! The footer is a sequence of the numbers and strings of [`super::wire`] (`n` a number, `z` a
//! signed one, `s` a string, `b` a byte):
//!
//! ```text
//! n   segment id
//! n   rows
//! n n least and greatest commit timestamp; zero if they are given at commit
//! b   how a primary key is found: 0 not at all, 1 rows are sorted by it, 2 by the hidden columns of hashes
//! n   number of columns, then for each
//!   n   id: a column id, or HIDDEN_BEGIN, HIDDEN_HASH, HIDDEN_ROW
//!   s   SQL type as text, empty for hidden columns, which are 64-bit integers
//!   n   NULLs
//!   b   1: least and greatest value follow, as below; else 0
//!       values: integers z; floats z, the order-preserving key; strings s, cut to 64 bytes
//!   sketch of distinct values, see super::sketch
//!   b   1: a dictionary follows; 2: a symbol table (not before version 3); else 0
//!       1: place, n number of entries
//!       2: place, n number of symbols from code 256 on, n bytes of all strings of the column
//!   for each block
//!     n   NULLs
//!     b   form: 0 all NULL, 1 integers, 2 fixed-width values, 3 one fixed-width value, 4 strings,
//!         5 strings in codes of the symbol table
//!         1: place, b width, b 1 if each vector has a reference, z reference, n divisor
//!         2: place
//!         3: z the value's bits
//!         4, 5: place, b width of the lengths
//!     b   zone: 0 none, 1 numbers: z least, z greatest (floats as keys, as above),
//!         2 strings: s lower bound, s upper bound, 3 strings: s lower bound alone
//! n   number of key runs (not in version 1, which has none), then for each
//!   n   number of columns of the key, then their ids
//!   its codes and rows are the hidden columns `key_run_columns(i)` of the i-th run, see crate::keys
//! place: n offset / 64, n length, n crc32 of the bytes
//! ```
//!
//! Integers stand for the physical form of their SQL type (see `types::sql_type`), commit
//! timestamps and key hashes for themselves with the top bit flipped, codes and rows of key runs for
//! themselves. A dictionary column's blocks
//! are integers, the codes; their zones are of strings all the same.

use super::sketch::DistinctSketch;
use super::wire::{Read, Reader, Writer};
use crate::encoding::ints::IntShape;
use crate::encoding::{ALIGN, BLOCK_ROWS};
use types::{ColumnId, Physical, SqlType, Timestamp};

pub const MAGIC: [u8; 8] = *b"PANDOSEG";
pub const VERSION: u32 = 3;
/// The oldest version that is read.
const OLDEST_VERSION: u32 = 1;
pub const HEADER_BYTES: usize = 64;
pub const TRAILER_BYTES: usize = 32;

/// The greatest number of rows of a segment.
pub const MAX_ROWS: u32 = 1 << 24;

pub const HIDDEN_BEGIN: ColumnId = ColumnId(u32::MAX);
pub const HIDDEN_HASH: ColumnId = ColumnId(u32::MAX - 1);
pub const HIDDEN_ROW: ColumnId = ColumnId(u32::MAX - 2);

/// The hidden columns with the codes and the rows of a segment's i-th key run.
pub fn key_run_columns(run: usize) -> (ColumnId, ColumnId) {
    // Far below the other hidden columns, far above what tables have.
    let last = u32::MAX - 64 - 2 * run as u32;
    (ColumnId(last), ColumnId(last - 1))
}

/// Bytes of a block in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub offset: u64,
    pub length: u64,
    pub crc: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySearch {
    None,
    /// The columns that rows are sorted by begin with the primary key's, in any order.
    Sorted,
    Hashed,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Footer {
    pub id: u32,
    pub rows: u32,
    pub min_ts: Timestamp,
    pub max_ts: Timestamp,
    pub key_search: KeySearch,
    pub columns: Vec<ColumnEntry>,
    /// The columns of the keys that have a run.
    pub key_runs: Vec<Vec<ColumnId>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ColumnEntry {
    pub id: ColumnId,
    /// None: hidden.
    pub ty: Option<SqlType>,
    pub nulls: u64,
    pub range: Option<(Bound, Bound)>,
    pub sketch: DistinctSketch,
    pub dictionary: Option<DictionaryEntry>,
    pub symbols: Option<SymbolsEntry>,
    pub blocks: Vec<BlockEntry>,
}

/// A least or greatest value: a number's physical value or float key, or a string's first bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    Number(i128),
    String(Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DictionaryEntry {
    pub place: Place,
    pub entries: u32,
}

/// A column has a dictionary, or this, or neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SymbolsEntry {
    pub place: Place,
    pub symbols: u32,
    /// Bytes of all strings of the column, as they were.
    pub string_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockEntry {
    pub nulls: u32,
    pub form: Form,
    pub zone: Zone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Null,
    Ints { place: Place, shape: IntShape },
    Fixed { place: Place },
    FixedConstant { bits: i128 },
    Strings { place: Place, width: u8 },
    Fsst { place: Place, width: u8 },
}

impl Form {
    pub fn place(&self) -> Option<&Place> {
        match self {
            Form::Null | Form::FixedConstant { .. } => None,
            Form::Ints { place, .. }
            | Form::Fixed { place }
            | Form::Strings { place, .. }
            | Form::Fsst { place, .. } => Some(place),
        }
    }
}

/// What a column's blocks have in common.
#[derive(Clone, Copy)]
struct Shared {
    dictionary: bool,
    symbols: bool,
}

/// Bounds of a block's values that are not NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Zone {
    /// Nothing is known, or all are NULL.
    None,
    Numbers(i128, i128),
    /// No upper bound: None.
    Strings(Box<[u8]>, Option<Box<[u8]>>),
}

impl ColumnEntry {
    pub fn physical(&self) -> Physical {
        self.ty.map_or(Physical::I64, SqlType::physical)
    }

    /// Places of what all blocks of the column share.
    pub fn shared_places(&self) -> impl Iterator<Item = Place> {
        self.dictionary.map(|entry| entry.place).into_iter().chain(self.symbols.map(|entry| entry.place))
    }

    /// Bytes of the column in the file; of strings in codes of symbols, their own bytes, which is what a
    /// reader gets.
    pub fn bytes(&self) -> u64 {
        if let Some(symbols) = &self.symbols {
            return symbols.string_bytes;
        }
        let blocks: u64 = self.blocks.iter().filter_map(|b| b.form.place()).map(|p| p.length).sum();
        blocks + self.dictionary.map_or(0, |d| d.place.length)
    }
}

/// Rows of block `block` of a segment of `rows` rows.
pub fn block_rows(rows: u32, block: u32) -> usize {
    (rows as usize).saturating_sub(block as usize * BLOCK_ROWS).min(BLOCK_ROWS)
}

/// That a file begins as a segment with this id does; else what is wrong.
pub fn check_header(bytes: &[u8; HEADER_BYTES], id: u32) -> Result<(), String> {
    let version = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    if bytes[..8] == MAGIC {
        check_version(version)?;
    }
    if *bytes == header_of(id, version) {
        Ok(())
    } else {
        Err("it does not begin as this segment does".into())
    }
}

fn check_version(version: u32) -> Result<(), String> {
    if (OLDEST_VERSION..=VERSION).contains(&version) {
        return Ok(());
    }
    Err(format!(
        "segment version {version} is not known to this program, which reads {OLDEST_VERSION} to {VERSION}"
    ))
}

pub fn header(id: u32) -> [u8; HEADER_BYTES] {
    header_of(id, VERSION)
}

fn header_of(id: u32, version: u32) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&version.to_le_bytes());
    header[12..16].copy_from_slice(&id.to_le_bytes());
    header
}

#[derive(Debug, PartialEq, Eq)]
pub struct Trailer {
    pub footer_offset: u64,
    pub footer_length: u32,
    pub footer_crc: u32,
    pub id: u32,
    pub version: u32,
}

impl Trailer {
    pub fn encode(&self) -> [u8; TRAILER_BYTES] {
        let mut bytes = [0; TRAILER_BYTES];
        bytes[..8].copy_from_slice(&self.footer_offset.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.footer_length.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.footer_crc.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.id.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.version.to_le_bytes());
        bytes[24..].copy_from_slice(&MAGIC);
        bytes
    }

    pub fn decode(bytes: &[u8; TRAILER_BYTES]) -> Result<Trailer, String> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if bytes[24..] != MAGIC {
            return Err("it does not end as a segment does".into());
        }
        check_version(word(20))?;
        Ok(Trailer {
            footer_offset: u64::from(word(0)) | u64::from(word(4)) << 32,
            footer_length: word(8),
            footer_crc: word(12),
            id: word(16),
            version: word(20),
        })
    }
}

impl Footer {
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.number(self.id);
        to.number(self.rows);
        to.number(self.min_ts.0);
        to.number(self.max_ts.0);
        to.byte(match self.key_search {
            KeySearch::None => 0,
            KeySearch::Sorted => 1,
            KeySearch::Hashed => 2,
        });
        to.number(self.columns.len() as u64);
        for column in &self.columns {
            column.encode(&mut to);
        }
        to.number(self.key_runs.len() as u64);
        for key in &self.key_runs {
            to.number(key.len() as u64);
            key.iter().for_each(|id| to.number(id.0));
        }
        to.bytes
    }

    /// `blocks_end` is the footer's offset in the file, `version` the file's.
    pub fn decode(bytes: &[u8], blocks_end: u64, version: u32) -> Result<Footer, (usize, &'static str)> {
        let mut from = Reader::new(bytes);
        let footer = Footer::read(&mut from, blocks_end, version).map_err(|what| (from.at(), what))?;
        if from.is_at_end() { Ok(footer) } else { Err((from.at(), "bytes follow the footer's end")) }
    }

    fn read(from: &mut Reader<'_>, blocks_end: u64, version: u32) -> Read<Footer> {
        let id = from.number()?;
        let rows = from.number()?;
        if rows > MAX_ROWS {
            return Err("too many rows");
        }
        let min_ts = Timestamp(from.number()?);
        let max_ts = Timestamp(from.number()?);
        let key_search = match from.byte()? {
            0 => KeySearch::None,
            1 => KeySearch::Sorted,
            2 => KeySearch::Hashed,
            _ => return Err("unknown kind of key search"),
        };
        let count: usize = from.number()?;
        let mut columns = Vec::new();
        for _ in 0..count {
            columns.push(ColumnEntry::read(from, rows, blocks_end)?);
        }
        let count: usize = if version >= 2 { from.number()? } else { 0 };
        let mut key_runs = Vec::new();
        for _ in 0..count {
            let length: usize = from.number()?;
            let mut key = Vec::new();
            for _ in 0..length {
                key.push(ColumnId(from.number()?));
            }
            key_runs.push(key);
        }
        Ok(Footer { id, rows, min_ts, max_ts, key_search, columns, key_runs })
    }
}

impl ColumnEntry {
    fn encode(&self, to: &mut Writer) {
        to.number(self.id.0);
        to.string(self.ty.map_or(String::new(), |ty| ty.to_string()).as_bytes());
        to.number(self.nulls);
        to.byte(u8::from(self.range.is_some()));
        if let Some((low, high)) = &self.range {
            low.encode(to);
            high.encode(to);
        }
        self.sketch.write(to);
        match (&self.dictionary, &self.symbols) {
            (None, None) => to.byte(0),
            (Some(dictionary), _) => {
                to.byte(1);
                dictionary.place.encode(to);
                to.number(dictionary.entries);
            }
            (None, Some(symbols)) => {
                to.byte(2);
                symbols.place.encode(to);
                to.number(symbols.symbols);
                to.number(symbols.string_bytes);
            }
        }
        for block in &self.blocks {
            block.encode(to);
        }
    }

    fn read(from: &mut Reader<'_>, rows: u32, blocks_end: u64) -> Read<ColumnEntry> {
        let id = ColumnId(from.number()?);
        let name = std::str::from_utf8(from.string()?).map_err(|_| "a type is not text")?;
        let ty = match name {
            "" => None,
            name => Some(SqlType::parse(name).ok_or("a type is not known")?),
        };
        let physical = ty.map_or(Physical::I64, SqlType::physical);
        let nulls = from.number()?;
        let range = match from.byte()? {
            0 => None,
            1 => Some((Bound::read(from, physical)?, Bound::read(from, physical)?)),
            _ => return Err("neither a range nor none"),
        };
        let sketch = DistinctSketch::read(from)?;
        let (mut dictionary, mut symbols) = (None, None);
        match from.byte()? {
            0 => {}
            1 if physical == Physical::Bytes => {
                let place = Place::read(from, blocks_end)?;
                dictionary = Some(DictionaryEntry { place, entries: from.number()? });
            }
            2 if physical == Physical::Bytes => {
                let place = Place::read(from, blocks_end)?;
                let (count, string_bytes) = (from.number()?, from.number()?);
                symbols = Some(SymbolsEntry { place, symbols: count, string_bytes });
            }
            _ => return Err("neither a dictionary nor a symbol table nor none"),
        }
        let shared = Shared { dictionary: dictionary.is_some(), symbols: symbols.is_some() };
        let mut blocks = Vec::new();
        for block in 0..rows.div_ceil(BLOCK_ROWS as u32) {
            let entry = BlockEntry::read(from, physical, shared, blocks_end)?;
            if entry.nulls as usize > block_rows(rows, block)
                || (entry.form == Form::Null) != (entry.nulls as usize == block_rows(rows, block))
            {
                return Err("the number of NULLs of a block is wrong");
            }
            blocks.push(entry);
        }
        Ok(ColumnEntry { id, ty, nulls, range, sketch, dictionary, symbols, blocks })
    }
}

impl Bound {
    fn encode(&self, to: &mut Writer) {
        match self {
            Bound::Number(number) => to.signed(*number),
            Bound::String(string) => to.string(string),
        }
    }

    fn read(from: &mut Reader<'_>, physical: Physical) -> Read<Bound> {
        Ok(match physical {
            Physical::Bytes => Bound::String(from.string()?.to_vec()),
            Physical::I128 => Bound::Number(from.signed()?),
            _ => Bound::Number(from.signed::<i64>()?.into()),
        })
    }
}

impl Place {
    fn encode(&self, to: &mut Writer) {
        debug_assert!(self.offset.is_multiple_of(ALIGN as u64));
        to.number(self.offset / ALIGN as u64);
        to.number(self.length);
        to.number(self.crc);
    }

    fn read(from: &mut Reader<'_>, blocks_end: u64) -> Read<Place> {
        let offset =
            from.number::<u64>()?.checked_mul(ALIGN as u64).ok_or("a block's offset is out of range")?;
        let length: u64 = from.number()?;
        if offset < HEADER_BYTES as u64 || offset.checked_add(length).is_none_or(|end| end > blocks_end) {
            return Err("a block lies outside of the file");
        }
        Ok(Place { offset, length, crc: from.number()? })
    }
}

impl BlockEntry {
    fn encode(&self, to: &mut Writer) {
        to.number(self.nulls);
        match &self.form {
            Form::Null => to.byte(0),
            Form::Ints { place, shape } => {
                to.byte(1);
                place.encode(to);
                to.byte(shape.width);
                to.byte(u8::from(shape.per_vector));
                to.signed(shape.reference);
                to.number(shape.divisor);
            }
            Form::Fixed { place } => {
                to.byte(2);
                place.encode(to);
            }
            Form::FixedConstant { bits } => {
                to.byte(3);
                to.signed(*bits);
            }
            Form::Strings { place, width } | Form::Fsst { place, width } => {
                to.byte(if matches!(self.form, Form::Strings { .. }) { 4 } else { 5 });
                place.encode(to);
                to.byte(*width);
            }
        }
        match &self.zone {
            Zone::None => to.byte(0),
            Zone::Numbers(low, high) => {
                to.byte(1);
                to.signed(*low);
                to.signed(*high);
            }
            Zone::Strings(low, high) => {
                to.byte(if high.is_some() { 2 } else { 3 });
                to.string(low);
                if let Some(high) = high {
                    to.string(high);
                }
            }
        }
    }

    fn read(from: &mut Reader<'_>, physical: Physical, shared: Shared, blocks_end: u64) -> Read<BlockEntry> {
        let nulls = from.number()?;
        let fixed = matches!(physical, Physical::F32 | Physical::F64 | Physical::I128);
        let ints = shared.dictionary || matches!(physical, Physical::I64 | Physical::I128);
        let form = match from.byte()? {
            0 => Form::Null,
            1 if ints => {
                let place = Place::read(from, blocks_end)?;
                let (width, per_vector) = (from.byte()?, from.byte()?);
                if per_vector > 1 {
                    return Err("neither a reference a block nor a vector");
                }
                let (reference, divisor) = (from.signed()?, from.number()?);
                Form::Ints {
                    place,
                    shape: IntShape { width, per_vector: per_vector == 1, reference, divisor },
                }
            }
            2 if fixed => Form::Fixed { place: Place::read(from, blocks_end)? },
            3 if fixed => Form::FixedConstant { bits: from.signed()? },
            4 if physical == Physical::Bytes && !shared.dictionary => {
                Form::Strings { place: Place::read(from, blocks_end)?, width: from.byte()? }
            }
            5 if shared.symbols => Form::Fsst { place: Place::read(from, blocks_end)?, width: from.byte()? },
            _ => return Err("a block's form does not fit its column"),
        };
        let zone = match from.byte()? {
            0 => Zone::None,
            1 if physical != Physical::Bytes => Zone::Numbers(from.signed()?, from.signed()?),
            2 if physical == Physical::Bytes => {
                let low = from.string()?.into();
                Zone::Strings(low, Some(from.string()?.into()))
            }
            3 if physical == Physical::Bytes => Zone::Strings(from.string()?.into(), None),
            _ => return Err("a block's zone does not fit its column"),
        };
        Ok(BlockEntry { nulls, form, zone })
    }
}
