//! Reading the log back at the start.
//!
//! The end of the log may be torn: what cannot be read there was never acknowledged. It is cut off by
//! a closing record, so that no later start takes leftovers behind it for records. Anything else that
//! cannot be read is refused with its file and offset.

use super::frame::{
    END, FILE_HEADER, Head, LEAF, file_name, parse_file_header, parse_file_name, read_record, was_synced,
    write_record,
};
use crate::StoreError;
use env::{Disk, OpenMode};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use types::Timestamp;

/// Where a record stands.
#[derive(Debug, Clone)]
pub(crate) struct Position<'a> {
    pub(crate) path: &'a Path,
    pub(crate) file: u64,
    pub(crate) offset: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LogEnd {
    /// The sequence number for the next file.
    pub(crate) next_file: u64,
    /// The highest ceiling in a file's header.
    pub(crate) ceiling: Timestamp,
}

pub(crate) type Visit<'a> = dyn FnMut(&Position<'_>, &Head, &[u8]) -> Result<(), StoreError> + 'a;

fn read_file(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, StoreError> {
    let on_file = |error| StoreError::io(path, error);
    let file = disk.open(path, OpenMode::Read).map_err(on_file)?;
    let mut bytes = vec![0; file.len().map_err(on_file)? as usize];
    file.read_exact_at(&mut bytes, 0).map_err(on_file)?;
    Ok(bytes)
}

/// Visits the records from the file `from` on (None: nobody needs any) in order. Every file from it to
/// the newest must be there.
pub(crate) fn read_log(
    disk: &dyn Disk,
    folder: &Path,
    from: Option<u64>,
    visit: &mut Visit<'_>,
) -> Result<LogEnd, StoreError> {
    let names = disk.list(folder).map_err(|error| StoreError::io(folder, error))?;
    let files: BTreeSet<u64> = names.iter().filter_map(|name| parse_file_name(name)).collect();
    let Some(last) = files.last().copied() else {
        return match from {
            // A partition names the file that is current when it is made.
            Some(from) => Err(missing(folder, from)),
            None => Ok(LogEnd { next_file: 1, ceiling: Timestamp::ZERO }),
        };
    };
    let first = from.unwrap_or(last);
    let mut ceiling = Timestamp::ZERO;
    for sequence in first..=last {
        if !files.contains(&sequence) {
            return Err(missing(folder, sequence));
        }
        let path = folder.join(file_name(sequence));
        let bytes = read_file(disk, &path)?;
        let header = parse_file_header(&bytes);
        let file_ceiling = match header {
            Some((number, file_ceiling)) if number == sequence => file_ceiling,
            // Power was lost while the file was being begun: it has its name, and no header or, since it
            // is a recycled one, that of an older file.
            None | Some(_) if sequence == last && is_unbegun(&bytes, sequence, header) => {
                let on_file = |error| StoreError::io(&path, error);
                disk.remove_file(&path).map_err(on_file)?;
                disk.sync_dir(folder).map_err(on_file)?;
                return Ok(LogEnd { next_file: sequence, ceiling });
            }
            Some((number, _)) => {
                return Err(StoreError::corrupt(&path, 8, format!("the header names log file {number}")));
            }
            None => return Err(StoreError::corrupt(&path, 0, "the header of a log file is damaged")),
        };
        ceiling = ceiling.max(Timestamp(file_ceiling));
        read_records(disk, &path, &bytes, sequence, sequence == last, visit)?;
    }
    Ok(LogEnd { next_file: last + 1, ceiling })
}

/// Whether nothing was ever written to a file under this number, not even its header.
fn is_unbegun(bytes: &[u8], sequence: u64, header: Option<(u64, u64)>) -> bool {
    header.is_none_or(|(number, _)| number < sequence)
        && !(FILE_HEADER..bytes.len()).step_by(8).any(|at| read_record(bytes, at, sequence).is_some())
}

fn missing(folder: &Path, sequence: u64) -> StoreError {
    let path: PathBuf = folder.join(file_name(sequence));
    StoreError::corrupt(&path, 0, "the log file is missing")
}

fn read_records(
    disk: &dyn Disk,
    path: &Path,
    bytes: &[u8],
    sequence: u64,
    is_last: bool,
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    let mut at = FILE_HEADER;
    loop {
        let Some(record) = read_record(bytes, at, sequence) else {
            if !is_last || was_synced(bytes, at, sequence) {
                return Err(StoreError::corrupt(path, at as u64, "a log record is damaged"));
            }
            return cut_off(disk, path, sequence, at as u64);
        };
        if record.head.kind == END {
            return Ok(());
        }
        visit(&Position { path, file: sequence, offset: at as u64 }, &record.head, record.payload)?;
        at = record.next;
    }
}

/// Closes the last file behind its last good record.
fn cut_off(disk: &dyn Disk, path: &Path, sequence: u64, at: u64) -> Result<(), StoreError> {
    let mut end = Vec::new();
    let head = Head { partition: LEAF, epoch: 0, lsn: 0, commit_lsn: 0, kind: END };
    write_record(&mut end, sequence, at, &head, &[]);
    let on_file = |error| StoreError::io(path, error);
    let file = disk.open(path, OpenMode::ReadWrite).map_err(on_file)?;
    file.write_all_at(&end, at).map_err(on_file)?;
    file.sync_data().map_err(on_file)
}
