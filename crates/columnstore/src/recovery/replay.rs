//! The log of one partition, played on top of its manifest.
//!
//! A record after the manifest's LSN is applied whole. One before it is in the manifest, except for
//! the tail: of a write or move, what concerns needed entries is applied, and freezes and edits of the
//! layout only sort those into runs and drop runs that were flushed.
//!
//! What a record refers to must be there, or the log is refused: a wrong assumption shows here rather
//! than as a lost row.

use crate::StoreError;
use crate::manifest::{Manifest, ManifestSegment, ManifestTable};
use crate::segment::SegmentMeta;
use crate::tail::entry::{Entry, Stamp, TxnSlot, Version};
use crate::tail::key::row_key;
use crate::tail::row::{Row, RowLayout};
use crate::wal::Record;
use crate::wal::frame::Head;
use crate::wal::record::{AddedSegment, Bulk, Change, MovedRow, Origin};
use hashbrown::{HashMap, HashSet};
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use txn::Outcome;
use types::{PartitionId, StatementNo, TableDef, TableId, Timestamp, TxnId};

type Refused = String;

/// Entries in the order of their arrival.
#[derive(Default)]
pub(crate) struct ReplayedTail {
    pub(crate) source: u32,
    pub(crate) first_id: u64,
    pub(crate) carried: Vec<u64>,
    pub(crate) order: Vec<Arc<Entry>>,
    by_id: HashMap<u64, usize>,
}

impl ReplayedTail {
    fn get(&self, id: u64) -> Option<&Arc<Entry>> {
        self.by_id.get(&id).map(|at| &self.order[*at])
    }

    fn push(&mut self, entry: Arc<Entry>) {
        self.by_id.insert(entry.id, self.order.len());
        self.order.push(entry);
    }
}

pub(crate) struct ReplayedRun {
    pub(crate) source: u32,
    pub(crate) def: Arc<TableDef>,
    pub(crate) tail: ReplayedTail,
    /// Entries that were moved out, and when.
    pub(crate) moved: Vec<(u64, Timestamp)>,
}

pub(crate) struct ReplayedSegment {
    pub(crate) meta: SegmentMeta,
    gone: RoaringBitmap,
    pub(crate) forever: RoaringBitmap,
    pub(crate) deletes: Vec<(u32, Timestamp)>,
}

impl ReplayedSegment {
    fn new(meta: SegmentMeta, forever: RoaringBitmap, deletes: Vec<(u32, Timestamp)>) -> ReplayedSegment {
        let mut gone = forever.clone();
        gone.extend(deletes.iter().map(|(row, _)| *row));
        ReplayedSegment { meta, gone, forever, deletes }
    }

    fn delete(&mut self, row: u32, since: Timestamp) {
        if self.gone.insert(row) {
            self.deletes.push((row, since));
        }
    }
}

pub(crate) struct ReplayedTable {
    pub(crate) def: Arc<TableDef>,
    pub(crate) layouts: BTreeMap<u64, Arc<RowLayout>>,
    pub(crate) next_source: u32,
    needed_from: u64,
    needed: HashSet<u64>,
    pub(crate) tail: ReplayedTail,
    pub(crate) runs: Vec<ReplayedRun>,
    /// Oldest first.
    pub(crate) segments: Vec<ReplayedSegment>,
}

fn layouts_of(def: &TableDef) -> (u64, Arc<RowLayout>) {
    (def.version, Arc::new(RowLayout::of(def)))
}

impl ReplayedTable {
    fn new(def: Arc<TableDef>) -> ReplayedTable {
        ReplayedTable {
            layouts: BTreeMap::from([layouts_of(&def)]),
            def,
            // The first tail of a new table is source 1.
            next_source: 2,
            needed_from: 0,
            needed: HashSet::new(),
            tail: ReplayedTail { source: 1, ..ReplayedTail::default() },
            runs: Vec::new(),
            segments: Vec::new(),
        }
    }

    fn from_manifest(table: ManifestTable) -> ReplayedTable {
        let layouts = table.layouts.into_iter();
        ReplayedTable {
            def: Arc::new(table.def),
            layouts: layouts.map(|(v, types)| (v, Arc::new(RowLayout::new(v, types)))).collect(),
            next_source: table.next_source,
            needed_from: table.needed_from,
            needed: table.needed.iter().copied().collect(),
            tail: ReplayedTail {
                source: table.tail,
                first_id: table.needed_from,
                carried: table.needed,
                ..ReplayedTail::default()
            },
            runs: Vec::new(),
            segments: table
                .segments
                .into_iter()
                .map(|ManifestSegment { meta, forever, deletes }| {
                    ReplayedSegment::new(meta, forever, deletes)
                })
                .collect(),
        }
    }

    fn segment(&mut self, source: u32) -> Option<&mut ReplayedSegment> {
        self.segments.iter_mut().find(|segment| segment.meta.id == source)
    }

    fn saw(&mut self, source: u32) {
        self.next_source = self.next_source.max(source.saturating_add(1));
    }

    fn row(&self, version: u64, bytes: Vec<u8>) -> Result<Row, Refused> {
        let layout = self
            .layouts
            .get(&version)
            .ok_or_else(|| format!("it has a row of version {version} of table {}", self.def.name))?;
        layout.check(&bytes)?;
        Ok(Row { layout: layout.clone(), bytes: bytes.into_boxed_slice() })
    }

    fn entry(&mut self, id: u64, row: &Row, file: u64) -> Result<Arc<Entry>, Refused> {
        let key = row_key(&self.def, row).map_err(|error| error.to_string())?;
        let entry = Arc::new(Entry::new(id, key, None, file));
        self.tail.push(entry.clone());
        Ok(entry)
    }
}

/// A transaction that the log has not ended.
pub(crate) struct ReplayedTxn {
    pub(crate) slot: Arc<TxnSlot>,
    pub(crate) touched: Vec<(TableId, Arc<Entry>)>,
    /// Its newest statement, and where in `touched` what was written since that came begins.
    newest: (StatementNo, usize),
    /// The versions of definitions that it wrote under.
    pub(crate) tables: BTreeMap<TableId, u64>,
    pub(crate) prepared: Option<ReplayedPrepare>,
}

/// What a prepare record says.
pub(crate) struct ReplayedPrepare {
    pub(crate) at: Timestamp,
    pub(crate) last: StatementNo,
    pub(crate) coordinator: PartitionId,
    pub(crate) locks: Vec<(TableId, u64)>,
    pub(crate) bulk: Bulk,
    /// The log file that it stands in.
    pub(crate) file: u64,
}

pub(crate) struct Replay {
    pub(crate) id: PartitionId,
    pub(crate) folder: PathBuf,
    pub(crate) epoch: u32,
    /// Of the manifest.
    checkpoint: u64,
    /// The newest record.
    pub(crate) lsn: u64,
    seen_any: bool,
    needed_file: u64,
    newest: Timestamp,
    pub(crate) watermark: Timestamp,
    pub(crate) next_entry: u64,
    pub(crate) tables: BTreeMap<TableId, ReplayedTable>,
    pub(crate) open: BTreeMap<TxnId, ReplayedTxn>,
    /// Decisions that are kept, with the participants that have not confirmed them.
    pub(crate) decisions: BTreeMap<TxnId, (Outcome, Vec<PartitionId>)>,
}

impl Replay {
    pub(crate) fn new(manifest: Manifest, folder: PathBuf) -> Result<Replay, StoreError> {
        let mut tables = BTreeMap::new();
        for table in manifest.tables {
            tables.insert(table.def.id, ReplayedTable::from_manifest(table));
        }
        Ok(Replay {
            id: manifest.partition,
            folder,
            epoch: manifest.epoch,
            checkpoint: manifest.lsn,
            lsn: manifest.lsn,
            seen_any: false,
            needed_file: manifest.needed_file,
            newest: manifest.clock,
            watermark: manifest.watermark,
            next_entry: manifest.next_entry,
            tables,
            open: BTreeMap::new(),
            decisions: manifest
                .decisions
                .into_iter()
                .map(|(txn, outcome, unconfirmed)| (txn, (outcome, unconfirmed)))
                .collect(),
        })
    }

    pub(crate) fn needed_file(&self) -> u64 {
        self.needed_file
    }

    /// The greatest timestamp that was given out here, as far as the log tells.
    pub(crate) fn newest(&self) -> Timestamp {
        self.newest
    }

    pub(crate) fn apply(&mut self, head: &Head, file: u64, record: Record) -> Result<(), Refused> {
        let continues = if self.seen_any { head.lsn == self.lsn + 1 } else { head.lsn <= self.lsn + 1 };
        if !continues {
            return Err(format!(
                "record {} of partition {} follows record {}",
                head.lsn, self.id.0, self.lsn
            ));
        }
        (self.seen_any, self.lsn) = (true, head.lsn);
        if file < self.needed_file {
            return Ok(());
        }
        let new = head.lsn > self.checkpoint;
        match record {
            Record::PutTable { def } => self.put_table(def, new),
            Record::DropTable { table } => {
                if new {
                    self.tables.remove(&table);
                }
            }
            Record::Write { txn, statement, table, version, changes } => {
                self.write(txn, statement, table, version, changes, file, new)?;
            }
            Record::Move { table, version, at, rows } => {
                self.newest = self.newest.max(at);
                self.moved(table, version, at, rows, file, new)?;
            }
            Record::RollbackStatement { txn, statement } => {
                if let Some(open) = self.open.get(&txn) {
                    let (newest, since) = open.newest;
                    let from = if statement >= newest { since } else { 0 };
                    open.touched[from..].iter().for_each(|(_, entry)| entry.take_back(txn, statement));
                }
            }
            Record::Rollback { txn } => self.end(txn, None, Vec::new(), new)?,
            Record::Commit { txn, at, bulk } => self.end(txn, Some(at), bulk, new)?,
            Record::Decision { txn, commit, participants, bulk } => {
                if new {
                    let outcome = commit.map_or(Outcome::Abort, Outcome::Commit);
                    self.decisions.entry(txn).or_insert((outcome, participants));
                }
                self.end(txn, commit, bulk, new)?;
            }
            Record::Forget { txn } => {
                self.decisions.remove(&txn);
            }
            Record::Prepare { txn, at, last, coordinator, locks, bulk } => {
                self.newest = self.newest.max(at);
                let prepare = ReplayedPrepare { at, last, coordinator, locks, bulk, file };
                self.open_txn(txn).prepared = Some(prepare);
            }
            Record::Decide { txn, commit } => {
                let bulk = match self.open.get_mut(&txn).and_then(|open| open.prepared.take()) {
                    Some(prepare) => prepare.bulk,
                    None => Vec::new(),
                };
                self.end(txn, commit, bulk, new)?;
            }
            Record::Freeze { table, run, tail, first_id, carried } => {
                self.freeze(table, run, tail, first_id, carried, new)?;
            }
            Record::Layout { table, watermark, runs, segments, added } => {
                self.layout(table, watermark, &runs, &segments, added, new)?;
            }
            Record::Ceiling { .. } => return Err("a ceiling is not a partition's".into()),
        }
        Ok(())
    }

    fn open_txn(&mut self, txn: TxnId) -> &mut ReplayedTxn {
        self.open.entry(txn).or_insert_with(|| ReplayedTxn {
            slot: TxnSlot::new(txn),
            touched: Vec::new(),
            newest: (StatementNo(0), 0),
            tables: BTreeMap::new(),
            prepared: None,
        })
    }

    /// The table of a record; None if the record is old and the table gone since.
    fn table(&mut self, table: TableId, new: bool) -> Result<Option<&mut ReplayedTable>, Refused> {
        match self.tables.get_mut(&table) {
            Some(found) => Ok(Some(found)),
            None if new => Err(format!("it is about table {}, which is not there", table.0)),
            None => Ok(None),
        }
    }

    fn put_table(&mut self, def: Arc<TableDef>, new: bool) {
        if !new {
            return;
        }
        match self.tables.get_mut(&def.id) {
            Some(table) => {
                table.layouts.extend([layouts_of(&def)]);
                table.def = def;
            }
            None => {
                self.tables.insert(def.id, ReplayedTable::new(def));
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn write(
        &mut self,
        txn: TxnId,
        statement: StatementNo,
        table_id: TableId,
        version: u64,
        changes: Vec<(u64, Change)>,
        file: u64,
        new: bool,
    ) -> Result<(), Refused> {
        let slot = self.open_txn(txn).slot.clone();
        let highest = changes.iter().map(|(id, _)| *id).max();
        self.next_entry = self.next_entry.max(highest.map_or(0, |id| id.saturating_add(1)));
        let Some(table) = self.table(table_id, new)? else { return Ok(()) };
        let mut touched = Vec::new();
        for (id, change) in changes {
            if !new && id < table.needed_from && !table.needed.contains(&id) {
                continue;
            }
            let inserts = matches!(change, Change::Insert(_));
            let row = match change {
                Change::Insert(bytes) | Change::Update(bytes) => Some(table.row(version, bytes)?),
                Change::Delete => None,
            };
            let entry = match (table.tail.get(id), &row) {
                (Some(entry), _) => entry.clone(),
                (None, Some(row)) if inserts => table.entry(id, row, file)?,
                (None, _) => return Err(format!("it changes entry {id}, which is not in the tail")),
            };
            entry.push(Version::new(Stamp::Of(slot.clone()), statement, row));
            touched.push((table_id, entry));
        }
        let open = self.open_txn(txn);
        if statement > open.newest.0 {
            open.newest = (statement, open.touched.len());
        }
        open.touched.extend(touched);
        open.tables.insert(table_id, version);
        Ok(())
    }

    fn moved(
        &mut self,
        table_id: TableId,
        version: u64,
        at: Timestamp,
        rows: Vec<MovedRow>,
        file: u64,
        new: bool,
    ) -> Result<(), Refused> {
        let highest = rows.iter().map(|row| row.entry).max();
        self.next_entry = self.next_entry.max(highest.map_or(0, |id| id.saturating_add(1)));
        let Some(table) = self.table(table_id, new)? else { return Ok(()) };
        for MovedRow { origin, entry, original, row } in rows {
            match origin {
                Origin::Segment { source, row } => match table.segment(source) {
                    Some(segment) if row >= segment.meta.rows => {
                        return Err(format!("it moves row {row} of segment {source}, which has fewer"));
                    }
                    Some(segment) => segment.delete(row, at),
                    None if new => return Err(format!("it moves a row of segment {source}, which is gone")),
                    None => {}
                },
                Origin::Run { source, entry: from } => {
                    match table.runs.iter_mut().find(|run| run.source == source) {
                        Some(run) if run.tail.get(from).is_some() => run.moved.push((from, at)),
                        _ if new => {
                            return Err(format!("it moves entry {from} of run {source}, which is gone"));
                        }
                        _ => {}
                    }
                }
            }
            if !new && entry < table.needed_from && !table.needed.contains(&entry) {
                continue;
            }
            let row = table.row(version, row)?;
            table.entry(entry, &row, file)?.push(Version::moved(at, original, row));
        }
        Ok(())
    }

    /// Ends a transaction; None: it is rolled back.
    pub(crate) fn end(
        &mut self,
        txn: TxnId,
        commit: Option<Timestamp>,
        bulk: Bulk,
        new: bool,
    ) -> Result<(), Refused> {
        if let Some(open) = self.open.remove(&txn) {
            match commit {
                Some(at) => {
                    open.slot.append(at);
                    open.slot.show(at);
                }
                None => {
                    open.touched.iter().for_each(|(_, entry)| entry.take_back(txn, StatementNo(0)));
                    open.slot.abort();
                }
            }
        }
        let Some(at) = commit else { return Ok(()) };
        self.newest = self.newest.max(at);
        for (table_id, mut meta) in bulk {
            let Some(table) = self.table(table_id, new)? else { continue };
            table.saw(meta.id);
            if new {
                (meta.min_ts, meta.max_ts) = (at, at);
                table.segments.push(ReplayedSegment::new(meta, RoaringBitmap::new(), Vec::new()));
            }
        }
        Ok(())
    }

    fn freeze(
        &mut self,
        table_id: TableId,
        run: u32,
        tail: u32,
        first_id: u64,
        carried: Vec<u64>,
        new: bool,
    ) -> Result<(), Refused> {
        let open: HashSet<u64> =
            self.open.values().flat_map(|txn| txn.touched.iter().map(|(_, entry)| entry.id)).collect();
        self.next_entry = self.next_entry.max(first_id);
        let Some(table) = self.table(table_id, new)? else { return Ok(()) };
        table.saw(run);
        table.saw(tail);
        let stays: HashSet<u64> = carried.iter().copied().collect();
        let mut frozen = std::mem::take(&mut table.tail);
        table.tail = ReplayedTail { source: tail, first_id, carried, ..ReplayedTail::default() };
        let mut left = Vec::new();
        for entry in std::mem::take(&mut frozen.order) {
            if stays.contains(&entry.id) {
                table.tail.push(entry);
            } else if open.contains(&entry.id)
                && entry.versions().newest().is_some_and(|v| v.intent_of().is_some())
            {
                return Err(format!("it freezes entry {}, which an open transaction has written", entry.id));
            } else {
                left.push(entry);
            }
        }
        frozen.by_id.clear();
        left.into_iter().for_each(|entry| frozen.push(entry));
        let def = table.def.clone();
        table.runs.push(ReplayedRun { source: run, def, tail: frozen, moved: Vec::new() });
        Ok(())
    }

    fn layout(
        &mut self,
        table_id: TableId,
        watermark: Timestamp,
        runs: &[u32],
        segments: &[u32],
        added: Vec<AddedSegment>,
        new: bool,
    ) -> Result<(), Refused> {
        self.watermark = self.watermark.max(watermark);
        let Some(table) = self.table(table_id, new)? else { return Ok(()) };
        table.runs.retain(|run| !runs.contains(&run.source));
        for AddedSegment { meta, .. } in &added {
            table.saw(meta.id);
        }
        if !new {
            return Ok(());
        }
        for source in segments {
            if table.segment(*source).is_none() {
                return Err(format!("it replaces segment {source}, which is not there"));
            }
        }
        table.segments.retain(|segment| !segments.contains(&segment.meta.id));
        for AddedSegment { meta, deletes } in added {
            if let Some((row, _)) = deletes.iter().find(|(row, _)| *row >= meta.rows) {
                return Err(format!("it deletes row {row} of segment {}, which has fewer", meta.id));
            }
            table.segments.push(ReplayedSegment::new(meta, RoaringBitmap::new(), deletes));
        }
        Ok(())
    }
}
