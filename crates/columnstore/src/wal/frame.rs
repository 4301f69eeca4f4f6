//! The bytes of a log file `wal/NNNNNNNN.log`, numbers little-endian.
//!
//! Header, 64 bytes:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 8 | `PNDOWAL1`; the last byte is the version of the format |
//! | 8 | 8 | sequence number of the file, as in its name |
//! | 16 | 8 | the ceiling in force when the file was begun |
//! | 24 | 36 | zero |
//! | 60 | 4 | crc32 of the 60 bytes before |
//!
//! Then records, each padded with zeros to a multiple of 8 bytes:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 4 | `PREC` |
//! | 4 | 4 | sequence number of the file, low half |
//! | 8 | 4 | length of the payload |
//! | 12 | 4 | crc32 of the record without these four bytes and the padding |
//! | 16 | 4 | partition; `ffffffff`: the leaf itself |
//! | 20 | 4 | epoch of the partition |
//! | 24 | 8 | LSN: 1, 2, 3, .. within the partition |
//! | 32 | 8 | commit LSN of the partition when it was appended |
//! | 40 | 4 | how much of this file was synced before the record was written |
//! | 44 | 1 | kind (see [`super::record`]) |
//! | 45 | 3 | zero |
//! | 48 | | payload |
//!
//! Files are recycled: after the last record of a file stand records of an older file, which the
//! sequence number tells apart. A file that is followed by another ends with a record of kind
//! [`END`].
//!
//! A record that cannot be read ends the log if nothing after it was written later than a sync that
//! covered it: it is torn. The fourth number from the end says so: if any later record knows of more
//! synced bytes than stand before the broken one, the broken one is corrupt, not torn.

use types::PartitionId;

pub(crate) const FILE_HEADER: usize = 64;
pub(crate) const RECORD_HEADER: usize = 48;
const MAGIC: &[u8; 8] = b"PNDOWAL1";
const RECORD_MAGIC: &[u8; 4] = b"PREC";

/// Kind of the record that closes a file.
pub(crate) const END: u8 = 0;
/// The partition of records of the leaf itself.
pub(crate) const LEAF: PartitionId = PartitionId(u32::MAX);

pub(crate) fn file_name(sequence: u64) -> String {
    format!("{sequence:08}.log")
}

pub(crate) fn parse_file_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let sequence = digits.parse().ok()?;
    (file_name(sequence) == name).then_some(sequence)
}

pub(crate) fn file_header(sequence: u64, ceiling: u64) -> [u8; FILE_HEADER] {
    let mut header = [0; FILE_HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..16].copy_from_slice(&sequence.to_le_bytes());
    header[16..24].copy_from_slice(&ceiling.to_le_bytes());
    let crc = crc32fast::hash(&header[..60]);
    header[60..].copy_from_slice(&crc.to_le_bytes());
    header
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    // Invariant: callers give at least a header.
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// The sequence number and ceiling of a file; None if it has no valid header.
pub(crate) fn parse_file_header(bytes: &[u8]) -> Option<(u64, u64)> {
    let header = bytes.get(..FILE_HEADER)?;
    let valid = &header[..8] == MAGIC && crc32fast::hash(&header[..60]) == u32_at(header, 60);
    valid.then(|| (u64_at(header, 8), u64_at(header, 16)))
}

/// What stands in front of a record's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) partition: PartitionId,
    pub(crate) epoch: u32,
    pub(crate) lsn: u64,
    pub(crate) commit_lsn: u64,
    pub(crate) kind: u8,
}

/// Bytes that a record takes.
pub(crate) fn framed_len(payload: usize) -> usize {
    (RECORD_HEADER + payload).next_multiple_of(8)
}

pub(crate) fn write_record(out: &mut Vec<u8>, sequence: u64, synced: u64, head: &Head, payload: &[u8]) {
    let start = out.len();
    out.extend_from_slice(RECORD_MAGIC);
    out.extend_from_slice(&(sequence as u32).to_le_bytes());
    // Invariant: a payload stays far below 4 GiB: rows go in parts of 1 MiB, and what else is logged
    // is bounded by the rows of a few segments.
    out.extend_from_slice(&u32::try_from(payload.len()).expect("less than 4 GiB").to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&head.partition.0.to_le_bytes());
    out.extend_from_slice(&head.epoch.to_le_bytes());
    out.extend_from_slice(&head.lsn.to_le_bytes());
    out.extend_from_slice(&head.commit_lsn.to_le_bytes());
    out.extend_from_slice(&u32::try_from(synced).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&[head.kind, 0, 0, 0]);
    out.extend_from_slice(payload);
    let crc = checksum(&out[start..]);
    out[start + 12..start + 16].copy_from_slice(&crc.to_le_bytes());
    out.resize(start + framed_len(payload.len()), 0);
}

fn checksum(record: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&record[..12]);
    crc.update(&record[16..]);
    crc.finalize()
}

/// A record as it stands in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Framed<'a> {
    pub(crate) head: Head,
    pub(crate) synced: u64,
    pub(crate) payload: &'a [u8],
    /// Where the next record begins.
    pub(crate) next: usize,
}

/// The record at `at` of a file; None if there is none that is whole and of this file.
pub(crate) fn read_record(file: &[u8], at: usize, sequence: u64) -> Option<Framed<'_>> {
    let head = file.get(at..at.checked_add(RECORD_HEADER)?)?;
    if &head[..4] != RECORD_MAGIC || u32_at(head, 4) != sequence as u32 {
        return None;
    }
    let length = u32_at(head, 8) as usize;
    let record = file.get(at..at.checked_add(RECORD_HEADER)?.checked_add(length)?)?;
    if checksum(record) != u32_at(head, 12) {
        return None;
    }
    Some(Framed {
        head: Head {
            partition: PartitionId(u32_at(head, 16)),
            epoch: u32_at(head, 20),
            lsn: u64_at(head, 24),
            commit_lsn: u64_at(head, 32),
            kind: head[44],
        },
        synced: u32_at(head, 40).into(),
        payload: &record[RECORD_HEADER..],
        next: at + framed_len(length),
    })
}

/// Whether some record after `at` was written when more than `at` bytes were synced.
pub(crate) fn was_synced(file: &[u8], at: usize, sequence: u64) -> bool {
    (at + 8..file.len())
        .step_by(8)
        .filter_map(|later| read_record(file, later, sequence))
        .any(|record| record.synced > at as u64)
}
