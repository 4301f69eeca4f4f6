//! One row of the tail: its versions, newest first.
//!
//! ```text
//!   Entry #17  key (1)      origin: segment 3, row 12
//!     version  pending, by x1.5 in statement 2     (k=1, v='c')     an intent
//!     version  committed at 120                    (k=1, v='b')
//!     version  moved here at 105, original at 40   (k=1, v='a')     a copy of the origin
//! ```
//!
//! A version written by a transaction points to that transaction's [`TxnSlot`]; storing the commit
//! timestamp there shows all of its versions at once. Versions are pushed and taken back under the
//! partition's latch only; readers take no latch.

use super::row::Row;
use crate::access::ReadView;
use parking_lot::{RwLock, RwLockReadGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use types::{StatementNo, Timestamp, TxnId};

const PENDING: u64 = 0;
const ABORTED: u64 = u64::MAX;

/// The fate of a transaction at a partition, shared by all that it wrote there.
#[derive(Debug)]
pub(crate) struct TxnSlot {
    pub(crate) txn: TxnId,
    shown: AtomicU64,
    /// The timestamp of its commit record from when that is appended, before it is shown.
    appended: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Pending,
    Committed(Timestamp),
    Aborted,
}

impl TxnSlot {
    pub(crate) fn new(txn: TxnId) -> Arc<TxnSlot> {
        Arc::new(TxnSlot { txn, shown: AtomicU64::new(PENDING), appended: AtomicU64::new(PENDING) })
    }

    pub(crate) fn fate(&self) -> Fate {
        match self.shown.load(Ordering::Acquire) {
            PENDING => Fate::Pending,
            ABORTED => Fate::Aborted,
            ts => Fate::Committed(Timestamp(ts)),
        }
    }

    pub(crate) fn append(&self, ts: Timestamp) {
        self.appended.store(ts.0, Ordering::Release);
    }

    /// The timestamp of the commit record, if it was appended.
    pub(crate) fn appended(&self) -> Option<Timestamp> {
        match self.appended.load(Ordering::Acquire) {
            PENDING => None,
            ts => Some(Timestamp(ts)),
        }
    }

    pub(crate) fn show(&self, ts: Timestamp) {
        self.shown.store(ts.0, Ordering::Release);
    }

    pub(crate) fn abort(&self) {
        self.shown.store(ABORTED, Ordering::Release);
    }

    /// Whether a view sees what this transaction wrote in `statement`.
    pub(crate) fn is_seen(&self, statement: StatementNo, view: &ReadView) -> bool {
        match self.fate() {
            Fate::Committed(ts) => ts <= view.ts,
            Fate::Aborted => false,
            Fate::Pending => view.txn.is_some_and(|(txn, last)| txn == self.txn && statement <= last),
        }
    }
}

/// When a version began.
#[derive(Debug, Clone)]
pub(crate) enum Stamp {
    At(Timestamp),
    Of(Arc<TxnSlot>),
}

#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) stamp: Stamp,
    pub(crate) statement: StatementNo,
    /// For a moved copy: when the row was written; serves only first-committer-wins.
    pub(crate) original: Option<Timestamp>,
    /// None: the row is deleted.
    pub(crate) row: Option<Row>,
    older: Option<Box<Version>>,
}

impl Version {
    pub(crate) fn new(stamp: Stamp, statement: StatementNo, row: Option<Row>) -> Version {
        Version { stamp, statement, original: None, row, older: None }
    }

    /// The copy of a row that is moved to the tail at `at`.
    pub(crate) fn moved(at: Timestamp, original: Timestamp, row: Row) -> Version {
        Version {
            stamp: Stamp::At(at),
            statement: StatementNo(0),
            original: Some(original),
            row: Some(row),
            older: None,
        }
    }

    fn is_seen(&self, view: &ReadView) -> bool {
        match &self.stamp {
            Stamp::At(ts) => *ts <= view.ts,
            Stamp::Of(slot) => slot.is_seen(self.statement, view),
        }
    }

    pub(crate) fn committed(&self) -> Option<Timestamp> {
        match &self.stamp {
            Stamp::At(ts) => Some(*ts),
            Stamp::Of(slot) => match slot.fate() {
                Fate::Committed(ts) => Some(ts),
                Fate::Pending | Fate::Aborted => None,
            },
        }
    }

    /// The transaction whose intent this is.
    pub(crate) fn intent_of(&self) -> Option<TxnId> {
        match &self.stamp {
            Stamp::At(_) => None,
            Stamp::Of(slot) => (slot.fate() == Fate::Pending).then_some(slot.txn),
        }
    }

    fn written_by(&self, txn: TxnId) -> bool {
        matches!(&self.stamp, Stamp::Of(slot) if slot.txn == txn)
    }
}

/// An entry's versions, as a reader holds them.
pub(crate) struct Versions<'a>(RwLockReadGuard<'a, Option<Version>>);

impl Versions<'_> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Version> {
        std::iter::successors(self.0.as_ref(), |version| version.older.as_deref())
    }

    /// The row that a view sees.
    pub(crate) fn seen(&self, view: &ReadView) -> Option<&Row> {
        self.iter().find(|version| version.is_seen(view)).and_then(|version| version.row.as_ref())
    }

    pub(crate) fn newest(&self) -> Option<&Version> {
        self.0.as_ref()
    }
}

/// Where a row stands: a row of a segment, run or tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) source: u32,
    pub(crate) row: u32,
}

impl Place {
    pub(crate) fn of_ref(row_ref: u64) -> Place {
        Place { source: (row_ref >> 32) as u32, row: row_ref as u32 }
    }

    pub(crate) fn to_ref(self) -> u64 {
        crate::scan::row_ref(self.source, self.row)
    }
}

const NO_ORIGIN: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Entry {
    /// Unique in the partition; names the row in the log.
    pub(crate) id: u64,
    /// The primary key; None in a table without one.
    pub(crate) key: Option<Box<[u8]>>,
    /// The place that the row was moved from. It follows that row through flush and merge.
    origin: AtomicU64,
    /// The number of the log file that was current when the entry was made: its records are not older.
    pub(crate) first_file: u64,
    /// The place in the tail that the entry is in; a freeze carries locked entries to the next one.
    place: AtomicU64,
    versions: RwLock<Option<Version>>,
}

impl Entry {
    pub(crate) fn new(id: u64, key: Option<Box<[u8]>>, origin: Option<Place>, first_file: u64) -> Entry {
        Entry {
            id,
            key,
            origin: AtomicU64::new(origin.map_or(NO_ORIGIN, Place::to_ref)),
            first_file,
            place: AtomicU64::new(0),
            versions: RwLock::new(None),
        }
    }

    pub(crate) fn versions(&self) -> Versions<'_> {
        Versions(self.versions.read())
    }

    pub(crate) fn push(&self, mut version: Version) {
        let mut newest = self.versions.write();
        version.older = newest.take().map(Box::new);
        *newest = Some(version);
    }

    /// Takes back what `txn` wrote here in statements from `statement` on; its versions are on top.
    pub(crate) fn take_back(&self, txn: TxnId, statement: StatementNo) {
        let mut newest = self.versions.write();
        while let Some(version) = newest.take_if(|v| v.written_by(txn) && v.statement >= statement) {
            *newest = version.older.map(|older| *older);
        }
    }

    /// Whether `txn` has written here; its versions are on top.
    pub(crate) fn has_intent_of(&self, txn: TxnId) -> bool {
        self.versions().newest().is_some_and(|version| version.intent_of() == Some(txn))
    }

    pub(crate) fn origin(&self) -> Option<Place> {
        match self.origin.load(Ordering::Acquire) {
            NO_ORIGIN => None,
            place => Some(Place::of_ref(place)),
        }
    }

    pub(crate) fn set_origin(&self, place: Option<Place>) {
        self.origin.store(place.map_or(NO_ORIGIN, Place::to_ref), Ordering::Release);
    }

    pub(crate) fn place(&self) -> Place {
        Place::of_ref(self.place.load(Ordering::Acquire))
    }

    pub(crate) fn set_place(&self, place: Place) {
        self.place.store(place.to_ref(), Ordering::Release);
    }

    /// The tail that the entry is in.
    pub(crate) fn home(&self) -> u32 {
        self.place().source
    }
}

/// A row's share of the tail's memory: its bytes, its key, and what the structures around them take.
pub(crate) fn version_bytes(row: usize, key: usize) -> usize {
    const OVERHEAD: usize = 224;
    row + key + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::row::RowLayout;
    use types::NodeId;

    const X: TxnId = TxnId { node: NodeId(1), number: 1 };

    fn row(byte: u8) -> Row {
        Row { layout: Arc::new(RowLayout::new(1, vec![])), bytes: Box::new([byte]) }
    }

    fn seen(entry: &Entry, ts: u64, statement: Option<u32>) -> Option<u8> {
        let view = ReadView { ts: Timestamp(ts), txn: statement.map(|s| (X, StatementNo(s))) };
        entry.versions().seen(&view).map(|row| row.bytes[0])
    }

    #[test]
    fn one_store_shows_all_versions_and_statements_are_taken_back_one_by_one() {
        let entry = Entry::new(1, None, Some(Place { source: 3, row: 12 }), 1);
        entry.push(Version::moved(Timestamp(105), Timestamp(40), row(b'a')));
        let slot = TxnSlot::new(X);
        entry.push(Version::new(Stamp::Of(slot.clone()), StatementNo(1), Some(row(b'b'))));
        entry.push(Version::new(Stamp::Of(slot.clone()), StatementNo(2), None));
        assert_eq!(seen(&entry, 104, None), None);
        assert_eq!(seen(&entry, 105, None), Some(b'a'));
        assert_eq!(seen(&entry, 50, Some(1)), Some(b'b'));
        assert_eq!(seen(&entry, 200, Some(2)), None);
        entry.take_back(X, StatementNo(2));
        assert_eq!(seen(&entry, 200, Some(2)), Some(b'b'));
        slot.show(Timestamp(150));
        assert_eq!((seen(&entry, 149, None), seen(&entry, 150, None)), (Some(b'a'), Some(b'b')));
        assert_eq!(entry.origin(), Some(Place { source: 3, row: 12 }));
    }

    #[test]
    fn what_an_aborted_transaction_wrote_goes() {
        let entry = Entry::new(1, None, None, 1);
        let slot = TxnSlot::new(X);
        entry.push(Version::new(Stamp::Of(slot.clone()), StatementNo(1), Some(row(b'a'))));
        slot.abort();
        assert_eq!(seen(&entry, 500, None), None);
        entry.take_back(X, StatementNo(0));
        assert!(entry.versions().newest().is_none());
    }
}
