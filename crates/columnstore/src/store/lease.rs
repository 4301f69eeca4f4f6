//! What aggregators leave behind when they fall silent, and decisions that nobody asks for any more.

use super::Store;
use crate::StoreError;
use crate::wal::Record;
use std::time::Duration;
use txn::{Renewal, State, WaitReport};
use types::{PartitionId, TxnId};

/// A prepared transaction whose aggregator is gone: its coordinating partition is to end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orphan {
    pub txn: TxnId,
    pub partition: PartitionId,
    pub coordinator: PartitionId,
}

impl Store {
    /// An aggregator says what it has open and reads at.
    pub fn renew(&self, renewal: &Renewal) {
        self.leaf.leases.lock().renew(renewal, self.leaf.boot_millis());
    }

    /// Rolls back what silent aggregators have left unprepared, forgets decisions whose time is over and dropped
    /// tables that nobody reads any more, and returns what is prepared and needs an end. To be called every half second or so.
    pub fn sweep(&self) -> Result<Vec<Orphan>, StoreError> {
        let boot = self.leaf.boot_millis();
        let mut orphans = Vec::new();
        for partition in self.all() {
            let mut core = partition.latch_any();
            if core.dropped || core.failed {
                continue;
            }
            if !core.late.is_empty() {
                let watermark = self.leaf.watermark_for(core.timeline.applied());
                core.late.retain(|_, late| late.dropped_at > watermark && boot < late.kept_until);
            }
            let mut over = Vec::new();
            {
                let leases = self.leaf.leases.lock();
                for (id, txn) in core.txns.iter().filter(|(id, _)| leases.is_orphan(**id, boot)) {
                    match (txn.participant.state(), txn.promise) {
                        (State::Active, _) => over.push(*id),
                        (State::Prepared { .. }, Some(promise)) => orphans.push(Orphan {
                            txn: *id,
                            partition: partition.id,
                            coordinator: promise.coordinator,
                        }),
                        _ => {}
                    }
                }
            }
            for txn in over {
                core.roll_back(&self.leaf, txn);
                self.leaf.counters.rollbacks.add(1);
            }
            core.decisions.expire(boot);
            let confirmed: Vec<TxnId> = core.decisions.confirmed().collect();
            for txn in confirmed {
                if self.leaf.leases.lock().may_forget(txn, boot) {
                    core.decisions.forget(txn);
                    core.append(&self.leaf, &Record::Forget { txn }, false)?;
                }
            }
        }
        self.leaf.leases.lock().expire(boot);
        Ok(orphans)
    }

    /// Who has waited here for longer than `least`, and for whom.
    pub fn long_waits(&self, least: Duration) -> Vec<(TxnId, Vec<TxnId>)> {
        self.leaf.waits.longer_than(least)
    }

    /// Has `begun` called, by the thread that waits, when a wait for a lock begins while there was none.
    pub fn on_wait(&self, begun: impl Fn() + Send + Sync + 'static) {
        self.leaf.waits.on_begin(begun);
    }

    /// Whether a thread waits for a lock.
    pub fn has_waits(&self) -> bool {
        self.leaf.waits.len() > 0
    }

    /// A transaction that waits here is the victim of a deadlock over several leaves.
    pub fn refuse_wait(&self, victim: TxnId) {
        self.leaf.waits.refuse(victim);
    }

    /// As the leaf that looks for deadlocks: takes another's long waits. Returns the transactions that
    /// are to give up there.
    pub fn detect(&self, report: WaitReport) -> Vec<TxnId> {
        self.leaf.detector.lock().report(report, self.leaf.boot_millis())
    }
}
