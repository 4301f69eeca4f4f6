//! Writing a segment: column by column, each block encoded, checksummed and appended in one pass.

use super::encode_column::{encode_numbers, encode_strings, encode_wide, fixed_column};
use super::format::{
    self, ColumnEntry, Footer, HIDDEN_BEGIN, HIDDEN_HASH, HIDDEN_ROW, KeySearch, MAX_ROWS, Place, Trailer,
    VERSION, key_run_columns,
};
use super::sort::{is_sorted, key_run};
use super::{BeginTimestamps, SegmentMeta};
use crate::StoreError;
use crate::encoding::pad;
use crate::filter::values::check_type;
use crate::keys;
use arrow::array::{Array, ArrayRef};
use arrow::record_batch::RecordBatch;
use env::{Disk, File, OpenMode};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use types::value::flip_u64;
use types::{Physical, TableDef, Timestamp, shard};

/// Bytes gathered before they are written.
const BUFFER: usize = 4 << 20;

/// The file under construction.
pub(super) struct Output {
    file: Arc<dyn File>,
    path: PathBuf,
    /// Where the buffer's bytes go; a multiple of 64.
    offset: u64,
    buffer: Vec<u8>,
}

impl Output {
    /// Appends what `encode` appends, at a multiple of 64 bytes.
    pub fn block<R>(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> R) -> Result<(Place, R), StoreError> {
        pad(&mut self.buffer);
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        let start = self.buffer.len();
        let result = encode(&mut self.buffer);
        let block = &self.buffer[start..];
        let place = Place {
            offset: self.offset + start as u64,
            length: block.len() as u64,
            crc: crc32fast::hash(block),
        };
        Ok((place, result))
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.file
            .write_all_at(&self.buffer, self.offset)
            .map_err(|error| StoreError::io(&self.path, error))?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// Writes one segment file, which must not exist; it is not synced (see [`sync_segment`]).
///
/// `rows`: the columns of `def` in its order, in the Arrow types of `SqlType::arrow`, rows in
/// segment order (see [`super::sort_to_segment_order`]; rows in another order are stored as they
/// are, and keys are found by hash then). At most 16 Mi rows; the strings of 65,536 rows of a
/// column come to fewer than 2 GiB.
pub fn write_segment(
    disk: &dyn Disk,
    path: &Path,
    id: u32,
    def: &TableDef,
    rows: &RecordBatch,
    begin: BeginTimestamps<'_>,
) -> Result<SegmentMeta, StoreError> {
    let count = rows.num_rows();
    if count > MAX_ROWS as usize || rows.num_columns() != def.columns.len() {
        return Err(StoreError::internal(format_args!(
            "a segment of {} columns and {count} rows for table {}",
            rows.num_columns(),
            def.name
        )));
    }
    if let BeginTimestamps::Each(each) = begin
        && each.len() != count
    {
        return Err(StoreError::internal("not one commit timestamp for each row"));
    }
    let file = disk.open(path, OpenMode::CreateNew).map_err(|error| StoreError::io(path, error))?;
    let output = Output { file, path: path.to_path_buf(), offset: 0, buffer: Vec::with_capacity(BUFFER * 2) };
    let written = write_all(output, id, def, rows, begin);
    if written.is_err() {
        // The first error counts; a file left behind is removed by the next recovery.
        let _ = disk.remove_file(path);
    }
    written
}

/// fdatasync of a segment file.
pub fn sync_segment(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
    let sync = || disk.open(path, OpenMode::ReadWrite)?.sync_data();
    sync().map_err(|error| StoreError::io(path, error))
}

fn write_all(
    mut out: Output,
    id: u32,
    def: &TableDef,
    rows: &RecordBatch,
    begin: BeginTimestamps<'_>,
) -> Result<SegmentMeta, StoreError> {
    out.buffer.extend_from_slice(&format::header(id));
    let mut columns = Vec::with_capacity(def.columns.len() + 3);
    for (column, array) in def.columns.iter().zip(rows.columns()) {
        check_type(array, column.ty, &column.name)?;
        let mut entry = ColumnEntry {
            id: column.id,
            ty: Some(column.ty),
            nulls: array.null_count() as u64,
            range: None,
            sketch: Default::default(),
            dictionary: None,
            symbols: None,
            blocks: Vec::new(),
        };
        match column.ty.physical() {
            Physical::I64 => {
                let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
                encode_numbers(&mut out, &mut entry, array.len(), nulls, &mut |from, count, to| {
                    crate::filter::values::numbers(array, column.ty, from, count, to)
                })?;
            }
            Physical::I128 => encode_wide(&mut out, &mut entry, array)?,
            Physical::F32 | Physical::F64 => fixed_column(&mut out, &mut entry, array, column.ty)?,
            Physical::Bytes => encode_strings(&mut out, &mut entry, array, column.ty)?,
        }
        columns.push(entry);
    }

    let (min_ts, max_ts) = match begin {
        BeginTimestamps::AtCommit => (Timestamp::ZERO, Timestamp::ZERO),
        BeginTimestamps::All(ts) => (ts, ts),
        BeginTimestamps::Each(each) => {
            let min = each.iter().min().copied().unwrap_or_default();
            let max = each.iter().max().copied().unwrap_or_default();
            if min < max {
                columns.push(hidden(&mut out, HIDDEN_BEGIN, each.len(), |row| flip_u64(each[row].0))?);
            }
            (min, max)
        }
    };

    let key_search = key_search(def, rows)?;
    if key_search == KeySearch::Hashed {
        let index = key_index(def, rows)?;
        columns.push(hidden(&mut out, HIDDEN_HASH, index.len(), |at| (index[at] >> 32) as i64)?);
        columns.push(hidden(&mut out, HIDDEN_ROW, index.len(), |at| i64::from(index[at] as u32))?);
    }

    let mut key_runs = Vec::new();
    for key in keys::with_runs(def) {
        let run = key_run(def, &key.columns, rows)?;
        let (codes, numbers) = key_run_columns(key_runs.len());
        columns.push(hidden(&mut out, codes, run.len(), |at| run[at].0)?);
        columns.push(hidden(&mut out, numbers, run.len(), |at| i64::from(run[at].1))?);
        key_runs.push(key.columns.clone());
    }

    let footer = Footer { id, rows: rows.num_rows() as u32, min_ts, max_ts, key_search, columns, key_runs };
    let bytes = footer.encode();
    let footer_length =
        u32::try_from(bytes.len()).map_err(|_| StoreError::internal("a footer of more than 4 GiB"))?;
    let (place, ()) = out.block(|to| to.extend_from_slice(&bytes))?;
    let trailer =
        Trailer { footer_offset: place.offset, footer_length, footer_crc: place.crc, id, version: VERSION };
    out.buffer.extend_from_slice(&trailer.encode());
    out.flush()?;
    Ok(SegmentMeta { id, rows: footer.rows, bytes: out.offset, min_ts, max_ts, checksum: place.crc })
}

fn hidden(
    out: &mut Output,
    id: types::ColumnId,
    rows: usize,
    value: impl Fn(usize) -> i64,
) -> Result<ColumnEntry, StoreError> {
    let mut entry = ColumnEntry {
        id,
        ty: None,
        nulls: 0,
        range: None,
        sketch: Default::default(),
        dictionary: None,
        symbols: None,
        blocks: Vec::new(),
    };
    encode_numbers(out, &mut entry, rows, None, &mut |from, count, to| {
        to.clear();
        to.extend((from..from + count).map(&value));
        Ok(())
    })?;
    Ok(entry)
}

/// How rows will be found by primary key: by order if the sort order begins with its columns and
/// the rows really stand in it.
fn key_search(def: &TableDef, rows: &RecordBatch) -> Result<KeySearch, StoreError> {
    let key = &def.primary_key;
    if key.is_empty() {
        return Ok(KeySearch::None);
    }
    let leads = def
        .segment_order()
        .get(..key.len())
        .is_some_and(|first| first.iter().all(|c| key.contains(c)) && key.iter().all(|c| first.contains(c)));
    Ok(if leads && is_sorted(def, rows)? { KeySearch::Sorted } else { KeySearch::Hashed })
}

/// (low half of the key's hash) << 32 | row, sorted. The low half, since the high one tells the
/// partition and is much the same in all rows of it.
fn key_index(def: &TableDef, rows: &RecordBatch) -> Result<Vec<u64>, StoreError> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(def.primary_key.len());
    for &id in &def.primary_key {
        let at = def.position(id).ok_or_else(|| crate::scan::unknown_column(def, id))?;
        columns.push(rows.column(at).clone());
    }
    let hashes = shard::hash_columns(&columns, rows.num_rows()).map_err(StoreError::internal)?;
    let mut index: Vec<u64> =
        hashes.iter().enumerate().map(|(row, hash)| u64::from(*hash as u32) << 32 | row as u64).collect();
    index.sort_unstable();
    Ok(index)
}
