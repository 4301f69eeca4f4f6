//! Taking locks: at once under the latch, or by waiting outside of it until the lock passes on, the
//! time is over, or the wait closes a cycle of which this transaction is the youngest.

use super::Partition;
use super::core::{Core, Waiting};
use crate::StoreError;
use crate::access::WriteContext;
use crate::store::leaf::Leaf;
use crate::store::waits::{WaitEnd, WaitId};
use crate::tail::entry::Entry;
use crate::waiting::{chance_to_give_up, wait_or_give_up};
use parking_lot::MutexGuard;
use std::sync::Arc;
use std::time::Instant;
use txn::{Acquired, Mode, Released};
use types::{StatementNo, TableId, TxnId};

/// What can be locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LockKey {
    /// A row of the tail, by its entry.
    Row(u64),
    /// A table's rows in this partition, all of them.
    Table(TableId),
    /// A value of a unique key, by its hash.
    Value(TableId, u64),
}

/// How a lock was had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Had {
    AtOnce,
    /// The latch was released meanwhile: look at everything again.
    AfterWaiting,
}

impl Core {
    /// Releases all locks of a transaction and passes them on.
    pub(crate) fn release(&mut self, leaf: &Leaf, txn: TxnId) {
        let released = self.locks.release_all(txn);
        self.pass_on(leaf, released);
    }

    /// Locks a row of the tail if nobody has to be waited for.
    pub(crate) fn try_lock_entry(
        &mut self,
        leaf: &Leaf,
        ctx: &WriteContext,
        (table, entry): (TableId, &Arc<Entry>),
        mode: Mode,
    ) -> Result<bool, StoreError> {
        match self.locks.acquire(ctx.txn, LockKey::Row(entry.id), mode) {
            Acquired::Held => Ok(true),
            Acquired::Granted => {
                self.txn(ctx)?.touched.push((table, entry.clone()));
                Ok(true)
            }
            Acquired::Wait(ticket) => {
                let (_, released) = self.locks.cancel(ticket);
                self.pass_on(leaf, released);
                Ok(false)
            }
        }
    }

    pub(crate) fn pass_on(&mut self, leaf: &Leaf, released: Released) {
        for ticket in released.granted {
            if let Some(Waiting { txn, entry }) = self.waiting.remove(&ticket) {
                // At once, not when the waiter wakes: a freeze must find whose the entry is.
                if let (Some(entry), Some(txn)) = (entry, self.txns.get_mut(&txn)) {
                    txn.touched.push(entry);
                }
            }
            leaf.waits.granted(WaitId { partition: self.id, ticket });
        }
        for ticket in released.waiting {
            if let Some(waiting) = self.waiting.get(&ticket) {
                let wait = WaitId { partition: self.id, ticket };
                leaf.waits.changed(wait, waiting.txn, self.locks.blockers(ticket));
            }
        }
    }
}

impl Partition {
    /// Takes a lock for the request's transaction, waiting for it at most `lock_wait`. `entry` is the
    /// one that a row's lock is of; it becomes one of the transaction's.
    pub(crate) fn acquire(
        &self,
        leaf: &Leaf,
        core: &mut MutexGuard<'_, Core>,
        ctx: &WriteContext,
        (key, mode): (LockKey, Mode),
        entry: Option<(TableId, &Arc<Entry>)>,
    ) -> Result<Had, StoreError> {
        chance_to_give_up()?;
        let mut entry = entry.map(|(table, entry)| (table, entry.clone()));
        let ticket = match core.locks.acquire(ctx.txn, key, mode) {
            Acquired::Held => return Ok(Had::AtOnce),
            Acquired::Granted => {
                if let Some(entry) = entry {
                    core.txn(ctx)?.touched.push(entry);
                }
                return Ok(Had::AtOnce);
            }
            Acquired::Wait(ticket) => ticket,
        };
        if let Err(would_wait) = wait_or_give_up() {
            let (_, released) = core.locks.cancel(ticket);
            core.pass_on(leaf, released);
            return Err(would_wait);
        }
        if core.locks.held_by(ctx.txn, &key).is_some() {
            // It has the row already and wants to change it now.
            entry = None;
        }
        leaf.counters.lock_waits.add(1);
        let deadline = Instant::now() + ctx.lock_wait;
        core.waiting.insert(ticket, Waiting { txn: ctx.txn, entry });
        let wait = WaitId { partition: self.id, ticket };
        let cell = leaf.waits.begin(wait, ctx.txn, core.locks.blockers(ticket));
        let end = MutexGuard::unlocked(core, || cell.wait(deadline));
        leaf.waits.end(wait);
        let mut outcome = match end {
            WaitEnd::Granted => Ok(Had::AfterWaiting),
            WaitEnd::TimedOut => Err(StoreError::LockWaitTimeout),
            WaitEnd::Deadlock => Err(StoreError::Deadlock),
            WaitEnd::Interrupted => Err(StoreError::Interrupted),
            WaitEnd::Gone if core.dropped => Err(StoreError::UnknownPartition(self.id)),
            WaitEnd::Gone if core.failed => Err(StoreError::Poisoned),
            WaitEnd::Gone => {
                Err(StoreError::StatementMismatch { expected: ctx.statement, found: StatementNo(0) })
            }
        };
        if end != WaitEnd::Granted {
            let (cancelled, released) = core.locks.cancel(ticket);
            core.waiting.remove(&ticket);
            core.pass_on(leaf, released);
            if !cancelled && end == WaitEnd::TimedOut {
                // It was granted in the last moment.
                outcome = Ok(Had::AfterWaiting);
            }
        }
        if !core.txns.contains_key(&ctx.txn) {
            // Another thread rolled the transaction back while this one waited.
            core.release(leaf, ctx.txn);
            outcome = outcome
                .and(Err(StoreError::StatementMismatch { expected: ctx.statement, found: StatementNo(0) }));
        }
        match end {
            WaitEnd::Deadlock => leaf.counters.deadlocks.add(1),
            WaitEnd::TimedOut => leaf.counters.lock_timeouts.add(1),
            WaitEnd::Granted | WaitEnd::Gone | WaitEnd::Interrupted => {}
        }
        outcome
    }

    /// Locks a row of the tail for this transaction.
    pub(crate) fn lock_entry(
        &self,
        leaf: &Leaf,
        core: &mut MutexGuard<'_, Core>,
        ctx: &WriteContext,
        (table, entry): (TableId, &Arc<Entry>),
        mode: Mode,
    ) -> Result<Had, StoreError> {
        let key = (LockKey::Row(entry.id), mode);
        self.acquire(leaf, core, ctx, key, Some((table, entry)))
    }
}
