//! The checkpoint of a partition, `p/<id>/MANIFEST`: its tables, their segments and which rows of those
//! are gone, as of one LSN; and what of the log is needed on top of it.
//!
//! | bytes | |
//! |---|---|
//! | 8 | `PNDOMAN2`; the last byte is the version of the format, from 1 |
//! | 4 | length of the body |
//! | 4 | crc32 of the body |
//! | | body |
//!
//! Body, in the notation of [`crate::wal::record`]: partition u32, epoch u32, LSN u64, clock ts,
//! watermark ts, next entry u64, first needed log file u64, `[table]`. A table: bytes: the definition as
//! JSON; bytes: the row layouts as JSON; next source u32; tail u32; first needed entry u64, [older needed
//! entry u64]; [meta, bytes: a bitmap in the portable Roaring format, [row u32, since ts]]. Then, from
//! version 2 on, decisions that are kept: [txn, commit u8, at ts, [participant that has not confirmed u32]].
//!
//! A record of the log up to the LSN is in the manifest already, except for what it says of the tail:
//! entries from the first needed one on, and the older ones named, are found in the log only.

use crate::StoreError;
use crate::codec::{Malformed, Put, Reader};
use crate::segment::SegmentMeta;
use crate::wal::record::{commit, deletes, meta, numbers, put_commit, put_deletes, put_txn, txn};
use ::txn::Outcome;
use env::{Disk, OpenMode, disk::replace_file};
use roaring::RoaringBitmap;
use std::path::Path;
use types::{ColumnId, PartitionId, SqlType, TableDef, Timestamp, TxnId};

const MAGIC: &[u8; 8] = b"PNDOMAN2";
/// Of version 1, which has no decisions.
const OLD_MAGIC: &[u8; 8] = b"PNDOMAN1";
const HEADER: usize = 16;
pub(crate) const FILE_NAME: &str = "MANIFEST";

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ManifestSegment {
    pub(crate) meta: SegmentMeta,
    pub(crate) forever: RoaringBitmap,
    /// In the order of timestamps.
    pub(crate) deletes: Vec<(u32, Timestamp)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ManifestTable {
    pub(crate) def: TableDef,
    /// By version.
    pub(crate) layouts: Vec<(u64, Vec<(ColumnId, SqlType)>)>,
    pub(crate) next_source: u32,
    /// The source of the active tail.
    pub(crate) tail: u32,
    /// Entries from this one on are not in segments.
    pub(crate) needed_from: u64,
    /// Nor are these older ones.
    pub(crate) needed: Vec<u64>,
    pub(crate) segments: Vec<ManifestSegment>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Manifest {
    pub(crate) partition: PartitionId,
    pub(crate) epoch: u32,
    pub(crate) lsn: u64,
    pub(crate) clock: Timestamp,
    pub(crate) watermark: Timestamp,
    pub(crate) next_entry: u64,
    pub(crate) needed_file: u64,
    pub(crate) tables: Vec<ManifestTable>,
    pub(crate) decisions: Vec<(TxnId, Outcome, Vec<PartitionId>)>,
}

impl Manifest {
    /// Of a partition that was just made, while `file` was the current log file.
    pub(crate) fn empty(partition: PartitionId, clock: Timestamp, file: u64) -> Manifest {
        Manifest {
            partition,
            epoch: 1,
            lsn: 0,
            clock,
            watermark: Timestamp::ZERO,
            next_entry: 1,
            needed_file: file,
            tables: Vec::new(),
            decisions: Vec::new(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.put_u32(self.partition.0);
        body.put_u32(self.epoch);
        body.put_u64(self.lsn);
        body.put_u64(self.clock.0);
        body.put_u64(self.watermark.0);
        body.put_u64(self.next_entry);
        body.put_u64(self.needed_file);
        body.put_u32(self.tables.len() as u32);
        for table in &self.tables {
            // Invariant: definitions, layouts and metas are plain data, which is always JSON.
            body.put_bytes(&serde_json::to_vec(&table.def).expect("JSON"));
            body.put_bytes(&serde_json::to_vec(&table.layouts).expect("JSON"));
            body.put_u32(table.next_source);
            body.put_u32(table.tail);
            body.put_u64(table.needed_from);
            body.put_u32(table.needed.len() as u32);
            table.needed.iter().for_each(|id| body.put_u64(*id));
            body.put_u32(table.segments.len() as u32);
            for segment in &table.segments {
                body.put_bytes(&serde_json::to_vec(&segment.meta).expect("JSON"));
                let mut bitmap = Vec::with_capacity(segment.forever.serialized_size());
                // Invariant: writing to memory does not fail.
                segment.forever.serialize_into(&mut bitmap).expect("memory");
                body.put_bytes(&bitmap);
                put_deletes(&mut body, &segment.deletes);
            }
        }
        body.put_u32(self.decisions.len() as u32);
        for (txn, outcome, unconfirmed) in &self.decisions {
            put_txn(&mut body, *txn);
            put_commit(
                &mut body,
                match outcome {
                    Outcome::Commit(at) => Some(*at),
                    Outcome::Abort => None,
                },
            );
            body.put_u32(unconfirmed.len() as u32);
            unconfirmed.iter().for_each(|participant| body.put_u32(participant.0));
        }
        let mut out = Vec::with_capacity(HEADER + body.len());
        out.extend_from_slice(MAGIC);
        out.put_u32(body.len() as u32);
        out.put_u32(crc32fast::hash(&body));
        out.extend_from_slice(&body);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Manifest, Malformed> {
        let mut r = Reader::new(bytes);
        let magic = r.take(8)?;
        if magic != MAGIC && magic != OLD_MAGIC {
            return Err("it is not a manifest of this version");
        }
        let (length, crc) = (r.u32()?, r.u32()?);
        let body = r.take(length as usize)?;
        r.end()?;
        if crc32fast::hash(body) != crc {
            return Err("its checksum is wrong");
        }
        let mut r = Reader::new(body);
        let mut manifest = Manifest {
            partition: PartitionId(r.u32()?),
            epoch: r.u32()?,
            lsn: r.u64()?,
            clock: Timestamp(r.u64()?),
            watermark: Timestamp(r.u64()?),
            next_entry: r.u64()?,
            needed_file: r.u64()?,
            tables: Vec::new(),
            decisions: Vec::new(),
        };
        for _ in 0..r.count(32)? {
            let def = serde_json::from_slice(r.bytes()?).map_err(|_| "a definition is malformed")?;
            let layouts = serde_json::from_slice(r.bytes()?).map_err(|_| "row layouts are malformed")?;
            let (next_source, tail, needed_from) = (r.u32()?, r.u32()?, r.u64()?);
            let count = r.count(8)?;
            let needed = (0..count).map(|_| r.u64()).collect::<Result<_, _>>()?;
            let count = r.count(12)?;
            let mut segments = Vec::with_capacity(count);
            for _ in 0..count {
                let meta = meta(&mut r)?;
                let forever =
                    RoaringBitmap::deserialize_from(r.bytes()?).map_err(|_| "a bitmap is malformed")?;
                segments.push(ManifestSegment { meta, forever, deletes: deletes(&mut r)? });
            }
            manifest.tables.push(ManifestTable {
                def,
                layouts,
                next_source,
                tail,
                needed_from,
                needed,
                segments,
            });
        }
        if magic == MAGIC {
            for _ in 0..r.count(25)? {
                let txn = txn(&mut r)?;
                let outcome = commit(&mut r)?.map_or(Outcome::Abort, Outcome::Commit);
                let unconfirmed = numbers(&mut r)?.into_iter().map(PartitionId).collect();
                manifest.decisions.push((txn, outcome, unconfirmed));
            }
        }
        r.end()?;
        Ok(manifest)
    }

    /// Replaces the manifest in a partition's folder.
    pub(crate) fn write(&self, disk: &dyn Disk, folder: &Path) -> Result<(), StoreError> {
        let path = folder.join(FILE_NAME);
        replace_file(disk, &path, &self.encode()).map_err(|error| StoreError::io(&path, error))
    }

    /// The manifest in a partition's folder; None if it has none.
    pub(crate) fn read(disk: &dyn Disk, folder: &Path) -> Result<Option<Manifest>, StoreError> {
        let path = folder.join(FILE_NAME);
        let on_file = |error| StoreError::io(&path, error);
        if !disk.exists(&path).map_err(on_file)? {
            return Ok(None);
        }
        let file = disk.open(&path, OpenMode::Read).map_err(on_file)?;
        let mut bytes = vec![0; file.len().map_err(on_file)? as usize];
        file.read_exact_at(&mut bytes, 0).map_err(on_file)?;
        Manifest::decode(&bytes).map(Some).map_err(|what| StoreError::corrupt(&path, 0, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use env::SimDisk;
    use types::NodeId;

    fn example() -> Manifest {
        let def = testing::wide_table();
        let meta = SegmentMeta {
            id: 4,
            rows: 10,
            bytes: 1_000,
            min_ts: Timestamp(1),
            max_ts: Timestamp(2),
            checksum: 5,
        };
        let mut manifest = Manifest::empty(PartitionId(9), Timestamp(5), 3);
        manifest.tables.push(ManifestTable {
            layouts: vec![(1, def.columns.iter().map(|c| (c.id, c.ty)).collect())],
            def,
            next_source: 7,
            tail: 6,
            needed_from: 100,
            needed: vec![5, 50],
            segments: vec![ManifestSegment {
                meta,
                forever: RoaringBitmap::from_iter([1, 70_000]),
                deletes: vec![(3, Timestamp(9))],
            }],
        });
        let txn = |number| TxnId { node: NodeId(1), number };
        manifest.decisions = vec![
            (txn(7), Outcome::Commit(Timestamp(8)), vec![PartitionId(2), PartitionId(3)]),
            (txn(9), Outcome::Abort, vec![]),
        ];
        manifest
    }

    #[test]
    fn one_of_the_first_version_is_read() {
        let mut old = example();
        old.decisions.clear();
        let mut bytes = old.encode();
        // Without the count of decisions, under the old magic.
        bytes.truncate(bytes.len() - 4);
        bytes[..8].copy_from_slice(OLD_MAGIC);
        let length = (bytes.len() - HEADER) as u32;
        let crc = crc32fast::hash(&bytes[HEADER..]);
        bytes[8..12].copy_from_slice(&length.to_le_bytes());
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Manifest::decode(&bytes), Ok(old));
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new("/p")).unwrap();
        assert_eq!(Manifest::read(&disk, Path::new("/p")).unwrap(), None);
        example().write(&disk, Path::new("/p")).unwrap();
        assert_eq!(Manifest::read(&disk, Path::new("/p")).unwrap(), Some(example()));
        disk.flip_bit(Path::new("/p/MANIFEST"), 40).unwrap();
        let error = Manifest::read(&disk, Path::new("/p")).unwrap_err().to_string();
        assert!(error.contains("/p/MANIFEST is corrupt"), "{error}");
    }

    #[test]
    fn cut_or_changed_bytes_are_refused() {
        let bytes = example().encode();
        for cut in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..cut]).is_err());
        }
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 0x10;
            assert!(Manifest::decode(&wrong).is_err());
        }
    }
}
