//! What a partition's append latch protects: the clock and the log position, the tables' states, open
//! transactions and locks. Every change of them is one step under the latch.

use super::locking::LockKey;
use super::state::{Begin, SegmentSource, TableState};
use crate::StoreError;
use crate::access::WriteContext;
use crate::store::leaf::{Completion, Leaf};
use crate::tail::entry::{Entry, Place, Stamp, TxnSlot, Version};
use crate::tail::row::{Row, RowLayout};
use crate::wal::frame::Head;
use crate::wal::record::Bulk;
use crate::wal::{Append, Record};
use hashbrown::HashMap;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use txn::{Decisions, LockTable, Participant, State, Ticket, Timeline};
use types::{PartitionId, StatementNo, TableId, Timestamp, TxnId};

/// A table in this partition.
pub(crate) struct Table {
    pub(crate) state: Arc<TableState>,
    /// Of every version of the definition that rows may have been written under.
    pub(crate) layouts: BTreeMap<u64, Arc<RowLayout>>,
    pub(crate) next_source: u32,
    /// Where rows that were moved to the active tail stand there.
    pub(crate) moved: HashMap<Place, Arc<Entry>>,
}

impl Table {
    pub(crate) fn take_source(&mut self) -> u32 {
        self.next_source += 1;
        self.next_source - 1
    }

    pub(crate) fn layout(&self) -> Result<Arc<RowLayout>, StoreError> {
        let version = self.state.def.version;
        self.layouts
            .get(&version)
            .cloned()
            .ok_or_else(|| StoreError::internal(format_args!("no row layout of version {version}")))
    }
}

/// A segment that a transaction loaded and nobody else sees yet.
pub(crate) struct BulkSegment {
    pub(crate) table: TableId,
    pub(crate) statement: StatementNo,
    pub(crate) source: u32,
}

/// A transaction at this partition.
pub(crate) struct Txn {
    pub(crate) participant: Participant,
    pub(crate) slot: Arc<TxnSlot>,
    /// Entries that it has locked, each once.
    pub(crate) touched: Vec<(TableId, Arc<Entry>)>,
    /// Where rows that its running statement locked stand now, by the references that it was given,
    /// in whichever of its parts.
    pub(crate) refs: HashMap<(TableId, u64), Arc<Entry>>,
    /// The number that the statement of `refs` began with.
    refs_begun: StatementNo,
    /// Every entry that was written since the newest statement, or part of one, came: all that has
    /// versions of it, so that it is taken back without a look at the others.
    pub(crate) written: Vec<Arc<Entry>>,
    pub(crate) bulk: Vec<BulkSegment>,
    /// The versions of definitions that it wrote under.
    pub(crate) tables: BTreeMap<TableId, u64>,
    /// Whether the log holds something that its commit or rollback must end.
    pub(crate) logged: bool,
    /// Once it is prepared: who decides, and the log file that was current then.
    pub(crate) promise: Option<Promise>,
}

/// A prepared transaction waits for the decision of another partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promise {
    pub(crate) coordinator: PartitionId,
    pub(crate) file: u64,
    /// On the clock that never steps; None: before the restart.
    pub(crate) since_millis: Option<u64>,
}

impl Txn {
    pub(crate) fn new(txn: TxnId) -> Txn {
        Txn {
            participant: Participant::default(),
            slot: TxnSlot::new(txn),
            touched: Vec::new(),
            refs: HashMap::new(),
            refs_begun: StatementNo(0),
            written: Vec::new(),
            bulk: Vec::new(),
            tables: BTreeMap::new(),
            logged: false,
            promise: None,
        }
    }

    /// Gives an entry that it has locked a version; None: the row is deleted.
    pub(crate) fn write(&mut self, entry: &Arc<Entry>, statement: StatementNo, row: Option<Row>) {
        entry.push(Version::new(Stamp::Of(self.slot.clone()), statement, row));
        self.written.push(entry.clone());
    }

    /// Whether its end must be logged.
    pub(crate) fn wrote(&self) -> bool {
        self.logged || !self.bulk.is_empty()
    }
}

/// A commit that was appended and waits to be shown.
pub(crate) struct Show {
    pub(crate) lsn: u64,
    pub(crate) txn: TxnId,
    pub(crate) at: Timestamp,
    pub(crate) done: Arc<Completion>,
}

/// Who waits for a lock.
pub(crate) struct Waiting {
    pub(crate) txn: TxnId,
    /// The entry that the lock is of, if it is a row's.
    pub(crate) entry: Option<(TableId, Arc<Entry>)>,
}

/// The last state of a dropped table.
pub(crate) struct LateTable {
    pub(crate) state: Arc<TableState>,
    /// Only reads below it see the table.
    pub(crate) dropped_at: Timestamp,
    /// Until then, by the clock of [`Leaf::boot_millis`].
    pub(crate) kept_until: u64,
}

pub(crate) struct Core {
    pub(crate) id: PartitionId,
    pub(crate) epoch: u32,
    pub(crate) next_lsn: u64,
    pub(crate) durable_lsn: u64,
    pub(crate) timeline: Timeline,
    /// Reads below are refused; flush and merge have forgotten what only they would see.
    pub(crate) watermark: Timestamp,
    pub(crate) tables: HashMap<TableId, Table>,
    /// Tables that were dropped, for reads that began before: until all of those must be over.
    pub(crate) late: HashMap<TableId, LateTable>,
    pub(crate) txns: HashMap<TxnId, Txn>,
    pub(crate) shows: VecDeque<Show>,
    pub(crate) locks: LockTable<LockKey>,
    pub(crate) waiting: HashMap<Ticket, Waiting>,
    pub(crate) decisions: Decisions,
    pub(crate) next_entry: u64,
    /// Edits of the layout since the manifest was written.
    pub(crate) edits: usize,
    pub(crate) dropped: bool,
    pub(crate) failed: bool,
}

impl Core {
    pub(crate) fn new(id: PartitionId, timeline: Timeline) -> Core {
        Core {
            id,
            epoch: 1,
            next_lsn: 1,
            durable_lsn: 0,
            timeline,
            watermark: Timestamp::ZERO,
            tables: HashMap::new(),
            late: HashMap::new(),
            txns: HashMap::new(),
            shows: VecDeque::new(),
            locks: LockTable::default(),
            waiting: HashMap::new(),
            decisions: Decisions::default(),
            next_entry: 1,
            edits: 0,
            dropped: false,
            failed: false,
        }
    }

    pub(crate) fn table(&self, table: TableId) -> Result<&Table, StoreError> {
        self.tables.get(&table).ok_or(StoreError::UnknownTable(table))
    }

    pub(crate) fn table_mut(&mut self, table: TableId) -> Result<&mut Table, StoreError> {
        self.tables.get_mut(&table).ok_or(StoreError::UnknownTable(table))
    }

    pub(crate) fn state(&self, table: TableId) -> Result<&Arc<TableState>, StoreError> {
        self.table(table).map(|t| &t.state)
    }

    /// What a reader at `ts` is to see of a table, be it dropped meanwhile.
    pub(crate) fn read_state(&self, table: TableId, ts: Timestamp) -> Result<&Arc<TableState>, StoreError> {
        match (self.tables.get(&table), self.late.get(&table)) {
            (None, Some(late)) if ts < late.dropped_at => Ok(&late.state),
            _ => self.state(table),
        }
    }

    /// Changes a table's state.
    pub(crate) fn install(
        &mut self,
        table: TableId,
        change: impl FnOnce(&mut TableState),
    ) -> Result<(), StoreError> {
        let table = self.table_mut(table)?;
        let mut next = table.state.next();
        change(&mut next);
        table.state = Arc::new(next);
        Ok(())
    }

    pub(crate) fn take_entry(&mut self) -> u64 {
        self.next_entry += 1;
        self.next_entry - 1
    }

    /// Gives a record its LSN. It must go to the log before the latch is released.
    pub(crate) fn number(&mut self, kind: u8, payload: Vec<u8>, sync: bool) -> Append {
        let head = Head {
            partition: self.id,
            epoch: self.epoch,
            lsn: self.next_lsn,
            commit_lsn: self.durable_lsn,
            kind,
        };
        self.next_lsn += 1;
        Append { head, payload, sync }
    }

    /// Appends a record; returns its LSN.
    pub(crate) fn append(&mut self, leaf: &Leaf, record: &Record, sync: bool) -> Result<u64, StoreError> {
        let item = self.number(record.kind(), record.encode(), sync);
        let lsn = item.head.lsn;
        leaf.wal.append([item])?;
        Ok(lsn)
    }

    /// A request of a statement arrives: the transaction is opened here if it is new, the statement's
    /// number is checked, and the table's version.
    pub(crate) fn enter(
        &mut self,
        leaf: &Leaf,
        ctx: &WriteContext,
        table: TableId,
    ) -> Result<(), StoreError> {
        if !self.txns.contains_key(&ctx.txn) && !leaf.leases.lock().admit(ctx.txn, leaf.boot_millis()) {
            return Err(StoreError::TransactionOver);
        }
        let txn = self.txns.entry(ctx.txn).or_insert_with(|| Txn::new(ctx.txn));
        let before = txn.participant.last();
        if let Err(mismatch) = txn.participant.run(ctx.statement, ctx.previous) {
            if txn.participant.last() == StatementNo(0) {
                self.txns.remove(&ctx.txn);
            }
            return Err(mismatched(mismatch));
        }
        if before != ctx.statement {
            txn.written = Vec::new();
        }
        if txn.refs_begun != ctx.begun {
            txn.refs_begun = ctx.begun;
            txn.refs.clear();
        }
        let version = self.state(table)?.def.version;
        if version != ctx.table_version {
            return Err(StoreError::TableDefinitionChanged);
        }
        self.txn(ctx)?.tables.insert(table, version);
        Ok(())
    }

    /// The transaction of a request that has entered; it may have been ended by another thread.
    pub(crate) fn txn(&mut self, ctx: &WriteContext) -> Result<&mut Txn, StoreError> {
        match self.txns.get_mut(&ctx.txn) {
            Some(txn) if txn.participant.state() == State::Active => Ok(txn),
            _ => Err(StoreError::StatementMismatch { expected: ctx.statement, found: StatementNo(0) }),
        }
    }

    /// Refuses a reader whose transaction ran a statement here that this partition does not know: the reader would
    /// miss what that wrote. 0: none ran.
    pub(crate) fn check_written(
        &self,
        reader: Option<(TxnId, StatementNo)>,
        written: StatementNo,
    ) -> Result<(), StoreError> {
        let Some((id, _)) = reader.filter(|_| written > StatementNo(0)) else { return Ok(()) };
        match self.txns.get(&id) {
            Some(txn) if txn.participant.knows(written) => Ok(()),
            _ => Err(StoreError::TransactionLost(written)),
        }
    }

    /// The segments that a transaction loaded, for its commit or prepare record.
    pub(crate) fn bulk_of(&self, txn: &Txn) -> Bulk {
        txn.bulk
            .iter()
            .filter_map(|loaded| {
                let state = self.state(loaded.table).ok()?;
                Some((loaded.table, state.segment(loaded.source)?.file.segment.meta().clone()))
            })
            .collect()
    }

    /// Whether all tables are as the transaction found them.
    pub(crate) fn versions_hold(&self, txn: &Txn) -> bool {
        txn.tables
            .iter()
            .all(|(id, version)| self.state(*id).is_ok_and(|state| state.def.version == *version))
    }

    /// Shows every commit that is durable, in the order of the log. True if there was one.
    pub(crate) fn show(&mut self, leaf: &Leaf) -> bool {
        let mut any = false;
        while let Some(lsn) = self.timeline.to_show(self.durable_lsn) {
            let Some(show) = self.shows.pop_front() else { break };
            debug_assert_eq!(show.lsn, lsn);
            if let Some(txn) = self.txns.remove(&show.txn) {
                txn.slot.show(show.at);
            }
            leaf.leases.lock().ended(show.txn);
            self.timeline.shown();
            self.release(leaf, show.txn);
            show.done.complete();
            any = true;
        }
        any
    }

    /// Removes segments that a load wrote; their files go when nobody reads them.
    pub(crate) fn discard_bulk(&mut self, loaded: &[BulkSegment]) {
        for BulkSegment { table, source, .. } in loaded {
            if let Ok(state) = self.state(*table) {
                if let Some(segment) = state.segment(*source) {
                    segment.file.doom();
                }
                // Invariant: the table is there, it was looked up.
                let _ = self.install(*table, |state| state.segments.retain(|s| s.id() != *source));
            }
        }
    }

    /// Adds a segment that only its transaction sees.
    pub(crate) fn add_bulk(
        &mut self,
        ctx: &WriteContext,
        table: TableId,
        source: SegmentSource,
    ) -> Result<(), StoreError> {
        debug_assert!(matches!(source.begin, Begin::Bulk { .. }));
        let id = source.id();
        self.install(table, |state| state.segments.push(source))?;
        self.txn(ctx)?.bulk.push(BulkSegment { table, statement: ctx.statement, source: id });
        Ok(())
    }

    /// Rolls a transaction back, unless its commit is under way.
    pub(crate) fn roll_back(&mut self, leaf: &Leaf, id: TxnId) {
        if !self.txns.get_mut(&id).is_some_and(|txn| txn.participant.abort()) {
            return;
        }
        if self.take_back(leaf, id) {
            // If the log takes nothing more, recovery finds the transaction open and rolls it back.
            let _ = self.append(leaf, &Record::Rollback { txn: id }, false);
        }
    }

    /// Takes back all that a transaction did here and lets go of its locks. True if the log knows of it.
    pub(crate) fn take_back(&mut self, leaf: &Leaf, id: TxnId) -> bool {
        leaf.leases.lock().ended(id);
        let Some(txn) = self.txns.remove(&id) else { return false };
        leaf.waits.give_up(self.id, Some(id));
        for (_, entry) in &txn.touched {
            entry.take_back(id, StatementNo(0));
        }
        txn.slot.abort();
        self.discard_bulk(&txn.bulk);
        self.release(leaf, id);
        txn.logged
    }

    /// Takes back a statement and what ran after it.
    pub(crate) fn roll_back_statement(
        &mut self,
        leaf: &Leaf,
        id: TxnId,
        statement: StatementNo,
    ) -> Result<(), StoreError> {
        let Some(txn) = self.txns.get_mut(&id) else { return Ok(()) };
        if txn.participant.state() != State::Active {
            return Err(StoreError::StatementMismatch { expected: statement, found: txn.participant.last() });
        }
        if !txn.participant.roll_back_statement(statement) {
            return Ok(());
        }
        if statement == txn.participant.last() {
            txn.written.iter().for_each(|entry| entry.take_back(id, statement));
        } else {
            txn.touched.iter().for_each(|(_, entry)| entry.take_back(id, statement));
        }
        let (kept, discarded) =
            std::mem::take(&mut txn.bulk).into_iter().partition(|loaded| loaded.statement < statement);
        txn.bulk = kept;
        let logged = txn.logged;
        self.discard_bulk(&discarded);
        if logged {
            self.append(leaf, &Record::RollbackStatement { txn: id, statement }, false)?;
        }
        Ok(())
    }
}

pub(crate) fn mismatched(mismatch: txn::Mismatch) -> StoreError {
    StoreError::StatementMismatch { expected: mismatch.expected, found: mismatch.found }
}
