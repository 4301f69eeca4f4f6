//! A session's transaction: its id, the numbers of its statements, and where it wrote.
//!
//! Invariant: `touched` names exactly the partitions at which a statement of this transaction wrote
//! or locked, each with the number of the last such statement; commit sends these numbers, and a
//! partition that holds another one refuses.

use crate::leases::{HeldSnapshot, OpenTransaction};
use crate::session::Savepoints;
use catalog::Catalog;
use columnstore::WriteContext;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;
use types::{PartitionId, StatementNo, TableDef, TableId, TxnId};

/// READ COMMITTED reads the newest snapshot at each statement, REPEATABLE READ one for the whole
/// transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    #[default]
    ReadCommitted,
    RepeatableRead,
}

pub struct Transaction {
    pub id: TxnId,
    pub isolation: Isolation,
    pub read_only: bool,
    /// The tables, by database and name, that the LOCK TABLES named which began it; UNLOCK TABLES ends it.
    pub locked: Option<BTreeSet<(String, String)>>,
    /// Begun by BEGIN or START TRANSACTION, or by a statement while autocommit is off; else it ends
    /// with its statement.
    pub explicit: bool,
    pub snapshot: Option<HeldSnapshot>,
    /// The catalog from just before the snapshot.
    pub seen: Option<Arc<Catalog>>,
    pub(crate) savepoints: Savepoints,
    statement: StatementNo,
    /// The number that the current statement began with; it has more if it is written in parts.
    begun: StatementNo,
    touched: BTreeMap<PartitionId, Touched>,
    alive: Arc<()>,
    /// Tables that it loaded in bulk, which are other tables once it commits.
    pub loaded: BTreeSet<TableId>,
    /// Keeps the transaction among those that leaves are told are open.
    _open: OpenTransaction,
}

/// The last statement, or part of one, that wrote or locked at a partition.
#[derive(Debug, Clone, Copy)]
struct Touched {
    last: StatementNo,
    /// The one before it.
    before: StatementNo,
    /// The last one before the statement that `last` is of.
    outside: StatementNo,
}

impl Transaction {
    pub fn new(open: OpenTransaction, isolation: Isolation, explicit: bool) -> Transaction {
        Transaction {
            id: open.id(),
            isolation,
            read_only: false,
            locked: None,
            explicit,
            snapshot: None,
            seen: None,
            savepoints: Savepoints::default(),
            statement: StatementNo(0),
            begun: StatementNo(0),
            touched: BTreeMap::new(),
            alive: Arc::default(),
            loaded: BTreeSet::new(),
            _open: open,
        }
    }

    /// The number of the newest statement begun, 0 before the first.
    pub fn statement(&self) -> StatementNo {
        self.statement
    }

    /// The number that the current statement began with.
    pub fn begun(&self) -> StatementNo {
        self.begun
    }

    /// Gives the next statement its number.
    pub fn begin_statement(&mut self) -> StatementNo {
        self.statement.0 += 1;
        self.begun = self.statement;
        self.statement
    }

    /// Gives the next part of the current statement a number of its own, so that it can be taken back alone.
    pub fn begin_part(&mut self) {
        self.statement.0 += 1;
    }

    /// The context of a write of the current statement at a partition. Call [`Transaction::touch`]
    /// once the partition has taken one.
    pub fn context(&self, partition: PartitionId, table_version: u64, lock_wait: Duration) -> WriteContext {
        WriteContext {
            txn: self.id,
            statement: self.statement,
            begun: self.begun,
            previous: self.touched.get(&partition).map_or(StatementNo(0), |touched| touched.last),
            table_version,
            snapshot: self.snapshot.as_ref().map(HeldSnapshot::ts),
            lock_wait,
        }
    }

    /// The current statement wrote or locked at this partition.
    pub fn touch(&mut self, partition: PartitionId) {
        let last = self.statement;
        let none = StatementNo(0);
        let (before, outside) = match self.touched.get(&partition) {
            None => (none, none),
            Some(touched) if touched.last == last => return,
            Some(touched) if touched.last >= self.begun => (touched.last, touched.outside),
            Some(touched) => (touched.last, touched.last),
        };
        self.touched.insert(partition, Touched { last, before, outside });
    }

    /// The current statement was taken back everywhere. Its partitions stay known, since locks of it
    /// may be there until the transaction ends.
    pub fn forget_statement(&mut self) {
        for touched in self.touched.values_mut().filter(|touched| touched.last >= self.begun) {
            touched.last = touched.outside;
        }
    }

    /// The same of the current part.
    pub fn forget_part(&mut self) {
        for touched in self.touched.values_mut().filter(|touched| touched.last == self.statement) {
            touched.last = touched.before;
        }
    }

    /// Partitions at which the current statement wrote or locked.
    pub fn touched_by_statement(&self) -> Vec<PartitionId> {
        self.touched_since(self.begun)
    }

    /// Partitions at which the current part wrote.
    pub fn touched_by_part(&self) -> Vec<PartitionId> {
        self.touched_since(self.statement)
    }

    /// Partitions at which this statement or a later one wrote or locked.
    pub fn touched_since(&self, statement: StatementNo) -> Vec<PartitionId> {
        self.touched.iter().filter(|(_, touched)| touched.last >= statement).map(|(p, _)| *p).collect()
    }

    /// Whether others may have to wait for it.
    pub fn holds_locks(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Every partition at which it wrote or locked.
    pub fn partitions(&self) -> Vec<PartitionId> {
        self.touched.keys().copied().collect()
    }

    /// What a read names: each partition at which it wrote or locked, with the last statement that did. Of a reader
    /// that is part of a statement that writes (`writing`), a statement before that one.
    pub fn written(&self, writing: bool) -> Vec<(PartitionId, StatementNo)> {
        let all = self.touched.iter().map(|(p, touched)| (*p, self.last_written(touched, writing)));
        all.filter(|(_, last)| *last > StatementNo(0)).collect()
    }

    /// The same of one partition; 0 if it wrote nothing there.
    pub fn written_at(&self, partition: PartitionId, writing: bool) -> StatementNo {
        let touched = self.touched.get(&partition);
        touched.map_or(StatementNo(0), |touched| self.last_written(touched, writing))
    }

    fn last_written(&self, touched: &Touched, writing: bool) -> StatementNo {
        if writing && touched.last >= self.begun { touched.outside } else { touched.last }
    }

    /// Gone when the transaction is.
    pub fn alive(&self) -> Weak<()> {
        Arc::downgrade(&self.alive)
    }

    /// What a commit names: each partition with its last statement.
    pub fn parts(&self) -> Vec<(PartitionId, StatementNo)> {
        self.written(false)
    }

    /// Partitions of which a commit has nothing to say: all that was asked of them was taken back. They may
    /// hold locks of that, or never have heard of the transaction.
    pub fn left_alone(&self) -> Vec<PartitionId> {
        let left = self.touched.iter().filter(|(_, touched)| touched.last == StatementNo(0));
        left.map(|(p, _)| *p).collect()
    }
}

/// Whether a snapshot has the rows of a table: those of one that was made later, be it from another one's rows,
/// are newer. One that had no name of its own yet was being filled. `seen`: see [`Transaction::seen`]; none is no
/// snapshot. A session's own tables are as it left them.
pub(crate) fn is_seen(seen: Option<&Catalog>, newest: &Catalog, table: TableId) -> bool {
    let Some(seen) = seen else { return true };
    let is_temporary = |def: &TableDef| def.is_temporary();
    seen.table_by_id(table).is_some_and(|def| !is_temporary(def))
        || newest.table_by_id(table).is_some_and(|def| is_temporary(def))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leases::OpenTransactions;
    use types::NodeId;

    #[test]
    fn a_write_names_the_last_statement_at_its_partition() {
        let open = OpenTransactions::new(NodeId(1), 7).begin();
        let mut txn = Transaction::new(open, Isolation::ReadCommitted, true);
        let (p, q) = (PartitionId(1), PartitionId(2));
        txn.begin_statement();
        txn.touch(p);
        txn.begin_statement();
        let ctx = txn.context(p, 1, Duration::ZERO);
        assert_eq!(
            (ctx.statement, ctx.begun, ctx.previous),
            (StatementNo(2), StatementNo(2), StatementNo(1))
        );
        assert_eq!(txn.context(q, 1, Duration::ZERO).previous, StatementNo(0));
        txn.touch(q);
        assert_eq!(txn.parts(), vec![(p, StatementNo(1)), (q, StatementNo(2))]);
        assert_eq!(txn.touched_by_statement(), vec![q]);
        // The running statement may have lost nothing yet but what those before it wrote.
        assert_eq!(txn.written(true), vec![(p, StatementNo(1))]);
        assert_eq!(txn.written(false), txn.parts());
        let at = |partition| [true, false].map(|writing| txn.written_at(partition, writing));
        assert_eq!((at(p), at(q)), ([StatementNo(1); 2], [StatementNo(0), StatementNo(2)]));
        txn.forget_statement();
        assert_eq!((txn.parts(), txn.left_alone()), (vec![(p, StatementNo(1))], vec![q]));
    }

    #[test]
    fn a_part_is_taken_back_alone_and_a_statement_with_its_parts() {
        let open = OpenTransactions::new(NodeId(1), 7).begin();
        let mut txn = Transaction::new(open, Isolation::ReadCommitted, true);
        let (p, q) = (PartitionId(1), PartitionId(2));
        txn.begin_statement();
        txn.touch(p);
        txn.begin_statement();
        txn.touch(p);
        txn.begin_part();
        txn.touch(p);
        txn.begin_part();
        txn.touch(p);
        txn.touch(q);
        assert_eq!(txn.touched_by_part(), vec![p, q]);
        txn.forget_part();
        assert_eq!(txn.parts(), vec![(p, StatementNo(3))]);
        txn.begin_part();
        let ctx = txn.context(p, 1, Duration::ZERO);
        assert_eq!(
            (ctx.statement, ctx.begun, ctx.previous),
            (StatementNo(5), StatementNo(2), StatementNo(3))
        );
        txn.touch(p);
        assert_eq!((txn.begun(), txn.touched_by_statement()), (StatementNo(2), vec![p]));
        txn.forget_statement();
        assert_eq!((txn.parts(), txn.left_alone()), (vec![(p, StatementNo(1))], vec![q]));
    }
}
