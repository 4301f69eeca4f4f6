//! What the records of the log say, and their bytes.
//!
//! `u8`, `u32`, `u64` are little-endian; `txn` is node `u32` and number `u64`; `ts` is a `u64`; `bytes`
//! is a `u32` length and so many bytes; `[x]` is a `u32` count and so many x; `meta` is the JSON of a
//! [`SegmentMeta`] as bytes.
//!
//! | kind | record | payload |
//! |---|---|---|
//! | 1 | put table | bytes: the definition as JSON |
//! | 2 | drop table | table u32 |
//! | 3 | write | txn, statement u32, table u32, version of the definition u64, [change u8 (1 insert, 2 update, 3 delete), entry u64, row bytes (not for 3)] |
//! | 4 | move | table u32, version u64, at ts, [from u8 (0 segment, 1 run), source u32, row u32 or entry u64, new entry u64, original ts, row bytes] |
//! | 5 | roll back statement | txn, statement u32 (and what came after it) |
//! | 6 | roll back | txn |
//! | 7 | commit | txn, at ts, bulk |
//! | 8 | prepare | txn, at ts, last statement u32, coordinating partition u32, [table u32, entry u64] locked and not written, bulk |
//! | 9 | decision | txn, commit u8 (0, 1), at ts, [participant u32], bulk |
//! | 10 | decide | txn, commit u8, at ts |
//! | 11 | freeze | table u32, run u32, next tail u32, its first entry u64, [carried entry u64] |
//! | 12 | layout | table u32, watermark ts, [run u32] gone, [segment u32] gone, [meta, [row u32, since ts]] added |
//! | 13 | ceiling | ts |
//! | 14 | forget decision | txn |
//!
//! `bulk` is [table u32, meta]: segments that a bulk load wrote, with the commit's timestamp.

use crate::SegmentMeta;
use crate::codec::{Malformed, Put, Reader};
use std::sync::Arc;
use types::{NodeId, PartitionId, StatementNo, TableDef, TableId, Timestamp, TxnId};

/// What a write did to an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Insert(Vec<u8>),
    Update(Vec<u8>),
    Delete,
}

/// Where a moved row stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Segment {
        source: u32,
        row: u32,
    },
    /// In a run rows have no number that outlives a restart, but entries do.
    Run {
        source: u32,
        entry: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MovedRow {
    pub(crate) origin: Origin,
    pub(crate) entry: u64,
    pub(crate) original: Timestamp,
    pub(crate) row: Vec<u8>,
}

/// A segment that an edit of the layout adds, and its rows that are gone, in the order of timestamps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AddedSegment {
    pub(crate) meta: SegmentMeta,
    pub(crate) deletes: Vec<(u32, Timestamp)>,
}

pub(crate) type Bulk = Vec<(TableId, SegmentMeta)>;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Record {
    PutTable {
        def: Arc<TableDef>,
    },
    DropTable {
        table: TableId,
    },
    Write {
        txn: TxnId,
        statement: StatementNo,
        table: TableId,
        version: u64,
        changes: Vec<(u64, Change)>,
    },
    Move {
        table: TableId,
        version: u64,
        at: Timestamp,
        rows: Vec<MovedRow>,
    },
    RollbackStatement {
        txn: TxnId,
        statement: StatementNo,
    },
    Rollback {
        txn: TxnId,
    },
    Commit {
        txn: TxnId,
        at: Timestamp,
        bulk: Bulk,
    },
    Prepare {
        txn: TxnId,
        at: Timestamp,
        last: StatementNo,
        coordinator: PartitionId,
        /// Rows that are locked and not written: no other record says so.
        locks: Vec<(TableId, u64)>,
        bulk: Bulk,
    },
    Decision {
        txn: TxnId,
        commit: Option<Timestamp>,
        participants: Vec<PartitionId>,
        bulk: Bulk,
    },
    Decide {
        txn: TxnId,
        commit: Option<Timestamp>,
    },
    Freeze {
        table: TableId,
        run: u32,
        tail: u32,
        first_id: u64,
        carried: Vec<u64>,
    },
    Layout {
        table: TableId,
        watermark: Timestamp,
        runs: Vec<u32>,
        segments: Vec<u32>,
        added: Vec<AddedSegment>,
    },
    Ceiling {
        at: Timestamp,
    },
    /// Nobody will ask for this decision again.
    Forget {
        txn: TxnId,
    },
}

/// A part of a write record; a transaction's rows go to the log in such parts.
pub(crate) const PART_BYTES: usize = 1 << 20;

/// Builds the payload of a write record row by row.
pub(crate) struct WritePayload {
    bytes: Vec<u8>,
    count_at: usize,
    count: u32,
}

impl WritePayload {
    pub(crate) const KIND: u8 = 3;

    pub(crate) fn new(txn: TxnId, statement: StatementNo, table: TableId, version: u64) -> WritePayload {
        let mut bytes = Vec::with_capacity(256);
        put_txn(&mut bytes, txn);
        bytes.put_u32(statement.0);
        bytes.put_u32(table.0);
        bytes.put_u64(version);
        let count_at = bytes.len();
        bytes.put_u32(0);
        WritePayload { bytes, count_at, count: 0 }
    }

    fn push(&mut self, change: u8, entry: u64, row: Option<&[u8]>) {
        self.bytes.put_u8(change);
        self.bytes.put_u64(entry);
        if let Some(row) = row {
            self.bytes.put_bytes(row);
        }
        self.count += 1;
    }

    pub(crate) fn insert(&mut self, entry: u64, row: &[u8]) {
        self.push(1, entry, Some(row));
    }

    pub(crate) fn update(&mut self, entry: u64, row: &[u8]) {
        self.push(2, entry, Some(row));
    }

    pub(crate) fn delete(&mut self, entry: u64) {
        self.push(3, entry, None);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= PART_BYTES
    }

    /// None if nothing was added.
    pub(crate) fn finish(mut self) -> Option<Vec<u8>> {
        self.bytes[self.count_at..self.count_at + 4].copy_from_slice(&self.count.to_le_bytes());
        (self.count > 0).then_some(self.bytes)
    }
}

pub(crate) fn put_txn(out: &mut Vec<u8>, txn: TxnId) {
    out.put_u32(txn.node.0);
    out.put_u64(txn.number);
}

fn put_meta(out: &mut Vec<u8>, meta: &SegmentMeta) {
    // Invariant: a struct of numbers is always JSON.
    out.put_bytes(&serde_json::to_vec(meta).expect("numbers"));
}

fn put_bulk(out: &mut Vec<u8>, bulk: &Bulk) {
    out.put_u32(bulk.len() as u32);
    for (table, meta) in bulk {
        out.put_u32(table.0);
        put_meta(out, meta);
    }
}

pub(crate) fn put_commit(out: &mut Vec<u8>, commit: Option<Timestamp>) {
    out.put_u8(commit.is_some().into());
    out.put_u64(commit.unwrap_or_default().0);
}

pub(crate) fn put_deletes(out: &mut Vec<u8>, deletes: &[(u32, Timestamp)]) {
    out.put_u32(deletes.len() as u32);
    for (row, since) in deletes {
        out.put_u32(*row);
        out.put_u64(since.0);
    }
}

pub(crate) fn txn(reader: &mut Reader<'_>) -> Result<TxnId, Malformed> {
    Ok(TxnId { node: NodeId(reader.u32()?), number: reader.u64()? })
}

fn ts(reader: &mut Reader<'_>) -> Result<Timestamp, Malformed> {
    reader.u64().map(Timestamp)
}

pub(crate) fn meta(reader: &mut Reader<'_>) -> Result<SegmentMeta, Malformed> {
    serde_json::from_slice(reader.bytes()?).map_err(|_| "a segment's entry is malformed")
}

fn bulk(reader: &mut Reader<'_>) -> Result<Bulk, Malformed> {
    let count = reader.count(8)?;
    (0..count).map(|_| Ok((TableId(reader.u32()?), meta(reader)?))).collect()
}

pub(crate) fn commit(reader: &mut Reader<'_>) -> Result<Option<Timestamp>, Malformed> {
    let commit = reader.u8()?;
    let at = ts(reader)?;
    match commit {
        0 => Ok(None),
        1 => Ok(Some(at)),
        _ => Err("an outcome is neither commit nor abort"),
    }
}

pub(crate) fn deletes(reader: &mut Reader<'_>) -> Result<Vec<(u32, Timestamp)>, Malformed> {
    let count = reader.count(12)?;
    let deletes: Vec<_> =
        (0..count).map(|_| Ok((reader.u32()?, ts(reader)?))).collect::<Result<_, Malformed>>()?;
    if !deletes.is_sorted_by_key(|(_, since)| *since) {
        return Err("deleted rows are out of order");
    }
    Ok(deletes)
}

pub(crate) fn numbers(reader: &mut Reader<'_>) -> Result<Vec<u32>, Malformed> {
    let count = reader.count(4)?;
    (0..count).map(|_| reader.u32()).collect()
}

impl Record {
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Record::PutTable { .. } => 1,
            Record::DropTable { .. } => 2,
            Record::Write { .. } => WritePayload::KIND,
            Record::Move { .. } => 4,
            Record::RollbackStatement { .. } => 5,
            Record::Rollback { .. } => 6,
            Record::Commit { .. } => 7,
            Record::Prepare { .. } => 8,
            Record::Decision { .. } => 9,
            Record::Decide { .. } => 10,
            Record::Freeze { .. } => 11,
            Record::Layout { .. } => 12,
            Record::Ceiling { .. } => 13,
            Record::Forget { .. } => 14,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            // Invariant: a definition is always JSON.
            Record::PutTable { def } => out.put_bytes(&serde_json::to_vec(def.as_ref()).expect("JSON")),
            Record::DropTable { table } => out.put_u32(table.0),
            Record::Write { txn, statement, table, version, changes } => {
                let mut payload = WritePayload::new(*txn, *statement, *table, *version);
                for (entry, change) in changes {
                    match change {
                        Change::Insert(row) => payload.insert(*entry, row),
                        Change::Update(row) => payload.update(*entry, row),
                        Change::Delete => payload.delete(*entry),
                    }
                }
                out = payload.finish().unwrap_or_default();
            }
            Record::Move { table, version, at, rows } => {
                out.put_u32(table.0);
                out.put_u64(*version);
                out.put_u64(at.0);
                out.put_u32(rows.len() as u32);
                for moved in rows {
                    match moved.origin {
                        Origin::Segment { source, row } => {
                            out.put_u8(0);
                            out.put_u32(source);
                            out.put_u32(row);
                        }
                        Origin::Run { source, entry } => {
                            out.put_u8(1);
                            out.put_u32(source);
                            out.put_u64(entry);
                        }
                    }
                    out.put_u64(moved.entry);
                    out.put_u64(moved.original.0);
                    out.put_bytes(&moved.row);
                }
            }
            Record::RollbackStatement { txn, statement } => {
                put_txn(&mut out, *txn);
                out.put_u32(statement.0);
            }
            Record::Rollback { txn } => put_txn(&mut out, *txn),
            Record::Commit { txn, at, bulk } => {
                put_txn(&mut out, *txn);
                out.put_u64(at.0);
                put_bulk(&mut out, bulk);
            }
            Record::Prepare { txn, at, last, coordinator, locks, bulk } => {
                put_txn(&mut out, *txn);
                out.put_u64(at.0);
                out.put_u32(last.0);
                out.put_u32(coordinator.0);
                out.put_u32(locks.len() as u32);
                for (table, entry) in locks {
                    out.put_u32(table.0);
                    out.put_u64(*entry);
                }
                put_bulk(&mut out, bulk);
            }
            Record::Decision { txn, commit, participants, bulk } => {
                put_txn(&mut out, *txn);
                put_commit(&mut out, *commit);
                out.put_u32(participants.len() as u32);
                participants.iter().for_each(|p| out.put_u32(p.0));
                put_bulk(&mut out, bulk);
            }
            Record::Decide { txn, commit } => {
                put_txn(&mut out, *txn);
                put_commit(&mut out, *commit);
            }
            Record::Freeze { table, run, tail, first_id, carried } => {
                out.put_u32(table.0);
                out.put_u32(*run);
                out.put_u32(*tail);
                out.put_u64(*first_id);
                out.put_u32(carried.len() as u32);
                carried.iter().for_each(|id| out.put_u64(*id));
            }
            Record::Layout { table, watermark, runs, segments, added } => {
                out.put_u32(table.0);
                out.put_u64(watermark.0);
                for gone in [runs, segments] {
                    out.put_u32(gone.len() as u32);
                    gone.iter().for_each(|source| out.put_u32(*source));
                }
                out.put_u32(added.len() as u32);
                for segment in added {
                    put_meta(&mut out, &segment.meta);
                    put_deletes(&mut out, &segment.deletes);
                }
            }
            Record::Ceiling { at } => out.put_u64(at.0),
            Record::Forget { txn } => put_txn(&mut out, *txn),
        }
        out
    }

    pub(crate) fn decode(kind: u8, payload: &[u8]) -> Result<Record, Malformed> {
        let mut r = Reader::new(payload);
        let record = match kind {
            1 => {
                let def = serde_json::from_slice(r.bytes()?).map_err(|_| "a definition is malformed")?;
                Record::PutTable { def: Arc::new(def) }
            }
            2 => Record::DropTable { table: TableId(r.u32()?) },
            3 => {
                let (txn, statement, table) = (txn(&mut r)?, StatementNo(r.u32()?), TableId(r.u32()?));
                let version = r.u64()?;
                let count = r.count(9)?;
                let mut changes = Vec::with_capacity(count);
                for _ in 0..count {
                    let change = r.u8()?;
                    let entry = r.u64()?;
                    changes.push((
                        entry,
                        match change {
                            1 => Change::Insert(r.bytes()?.to_vec()),
                            2 => Change::Update(r.bytes()?.to_vec()),
                            3 => Change::Delete,
                            _ => return Err("an unknown kind of change"),
                        },
                    ));
                }
                Record::Write { txn, statement, table, version, changes }
            }
            4 => {
                let (table, version, at) = (TableId(r.u32()?), r.u64()?, ts(&mut r)?);
                let count = r.count(29)?;
                let mut rows = Vec::with_capacity(count);
                for _ in 0..count {
                    let origin = match r.u8()? {
                        0 => Origin::Segment { source: r.u32()?, row: r.u32()? },
                        1 => Origin::Run { source: r.u32()?, entry: r.u64()? },
                        _ => return Err("an unknown kind of origin"),
                    };
                    let (entry, original) = (r.u64()?, ts(&mut r)?);
                    rows.push(MovedRow { origin, entry, original, row: r.bytes()?.to_vec() });
                }
                Record::Move { table, version, at, rows }
            }
            5 => Record::RollbackStatement { txn: txn(&mut r)?, statement: StatementNo(r.u32()?) },
            6 => Record::Rollback { txn: txn(&mut r)? },
            7 => Record::Commit { txn: txn(&mut r)?, at: ts(&mut r)?, bulk: bulk(&mut r)? },
            8 => Record::Prepare {
                txn: txn(&mut r)?,
                at: ts(&mut r)?,
                last: StatementNo(r.u32()?),
                coordinator: PartitionId(r.u32()?),
                locks: {
                    let count = r.count(12)?;
                    (0..count).map(|_| Ok((TableId(r.u32()?), r.u64()?))).collect::<Result<_, Malformed>>()?
                },
                bulk: bulk(&mut r)?,
            },
            9 => Record::Decision {
                txn: txn(&mut r)?,
                commit: commit(&mut r)?,
                participants: numbers(&mut r)?.into_iter().map(PartitionId).collect(),
                bulk: bulk(&mut r)?,
            },
            10 => Record::Decide { txn: txn(&mut r)?, commit: commit(&mut r)? },
            11 => {
                let (table, run, tail, first_id) = (TableId(r.u32()?), r.u32()?, r.u32()?, r.u64()?);
                let count = r.count(8)?;
                let carried = (0..count).map(|_| r.u64()).collect::<Result<_, _>>()?;
                Record::Freeze { table, run, tail, first_id, carried }
            }
            12 => {
                let (table, watermark) = (TableId(r.u32()?), ts(&mut r)?);
                let (runs, segments) = (numbers(&mut r)?, numbers(&mut r)?);
                let count = r.count(8)?;
                let added = (0..count)
                    .map(|_| Ok(AddedSegment { meta: meta(&mut r)?, deletes: deletes(&mut r)? }))
                    .collect::<Result<_, Malformed>>()?;
                Record::Layout { table, watermark, runs, segments, added }
            }
            13 => Record::Ceiling { at: ts(&mut r)? },
            14 => Record::Forget { txn: txn(&mut r)? },
            _ => return Err("an unknown kind of record"),
        };
        r.end()?;
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn examples() -> Vec<Record> {
        let txn = TxnId { node: NodeId(3), number: 99 };
        let meta = SegmentMeta {
            id: 4,
            rows: 10,
            bytes: 1_000,
            min_ts: Timestamp(1),
            max_ts: Timestamp(2),
            checksum: 5,
        };
        let (table, at) = (TableId(7), Timestamp(1 << 40));
        let bulk = vec![(table, meta.clone())];
        vec![
            Record::PutTable { def: Arc::new(testing::wide_table()) },
            Record::DropTable { table },
            Record::Write {
                txn,
                statement: StatementNo(2),
                table,
                version: 1,
                changes: vec![
                    (1, Change::Insert(vec![1, 2, 3])),
                    (2, Change::Update(vec![])),
                    (3, Change::Delete),
                ],
            },
            Record::Move {
                table,
                version: 3,
                at,
                rows: vec![
                    MovedRow {
                        origin: Origin::Segment { source: 1, row: 2 },
                        entry: 3,
                        original: Timestamp(4),
                        row: vec![5],
                    },
                    MovedRow {
                        origin: Origin::Run { source: 1, entry: 2 },
                        entry: 3,
                        original: Timestamp(4),
                        row: vec![],
                    },
                ],
            },
            Record::RollbackStatement { txn, statement: StatementNo(9) },
            Record::Rollback { txn },
            Record::Commit { txn, at, bulk: bulk.clone() },
            Record::Prepare {
                txn,
                at,
                last: StatementNo(2),
                coordinator: PartitionId(1),
                locks: vec![(table, 8)],
                bulk: vec![],
            },
            Record::Decision { txn, commit: Some(at), participants: vec![PartitionId(2)], bulk },
            Record::Decide { txn, commit: None },
            Record::Freeze { table, run: 1, tail: 2, first_id: 3, carried: vec![1, 2] },
            Record::Layout {
                table,
                watermark: at,
                runs: vec![1],
                segments: vec![2, 3],
                added: vec![AddedSegment { meta, deletes: vec![(1, Timestamp(2)), (0, Timestamp(3))] }],
            },
            Record::Ceiling { at },
            Record::Forget { txn },
        ]
    }

    #[test]
    fn records_round_trip_and_cut_ones_are_refused() {
        for record in examples() {
            let bytes = record.encode();
            assert_eq!(Record::decode(record.kind(), &bytes), Ok(record.clone()));
            for cut in 0..bytes.len() {
                assert!(Record::decode(record.kind(), &bytes[..cut]).is_err(), "{record:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn no_bytes_make_decoding_panic() {
        use rand::{Rng, SeedableRng};
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        for record in examples() {
            for _ in 0..2_000 {
                let mut bytes = record.encode();
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
                let _ = Record::decode(rng.random_range(0..16), &bytes);
                let _ = Record::decode(record.kind(), &bytes);
            }
        }
    }
}
