//! Transactions that are on other leaves too: prepare, decision, decide, and what readers and orphans
//! ask of the coordinating partition.
//!
//! ```text
//!   active --prepare--> prepared(p) --decide(T)--> shown at T > p
//!                          |   decide(abort)
//!                          +-----------------> taken back
//! ```
//!
//! A prepare and a decision are durable before anyone hears of them. A decide is shown in its turn and
//! becomes durable with whatever is synced next: until then the coordinating partition tells it again.

use super::Store;
use super::commit::{Elsewhere, check, latch, prepare};
use super::leaf::{Completion, Leaf};
use crate::StoreError;
use crate::partition::Partition;
use crate::partition::core::{Core, Promise, Show};
use crate::wal::Record;
use hashbrown::HashMap;
use std::sync::Arc;
use txn::commit::UNTOLD_MILLIS;
use txn::{Answer, Outcome, Settlement, State};
use types::{PartitionId, StatementNo, TableId, Timestamp, TxnId};

impl Core {
    /// A participant learns the outcome. True if it is new here.
    fn decide(&mut self, leaf: &Leaf, id: TxnId, outcome: Outcome) -> Result<bool, StoreError> {
        let Some(state) = self.txns.get(&id).map(|txn| txn.participant.state()) else {
            if outcome == Outcome::Abort {
                // Its first message, or its prepare, may be on the way yet.
                leaf.leases.lock().ended(id);
            }
            return Ok(false);
        };
        match (state, outcome) {
            (State::Active, Outcome::Abort) => self.roll_back(leaf, id),
            (State::Active, Outcome::Commit(_)) => {
                return Err(StoreError::internal(format_args!("{id} commits without having prepared")));
            }
            (State::Prepared { .. }, Outcome::Commit(at)) => {
                leaf.cover_commit(at)?;
                let lsn = self.append(leaf, &Record::Decide { txn: id, commit: Some(at) }, false)?;
                if let Some(txn) = self.txns.get_mut(&id) {
                    txn.participant.decide(Some(at));
                    txn.slot.append(at);
                }
                self.timeline.append_decide(lsn, at);
                self.shows.push_back(Show { lsn, txn: id, at, done: Completion::of(1) });
                self.show(leaf);
            }
            (State::Prepared { .. }, Outcome::Abort) => {
                self.append(leaf, &Record::Decide { txn: id, commit: None }, false)?;
                if let Some(txn) = self.txns.get_mut(&id) {
                    txn.participant.decide(None);
                }
                self.take_back(leaf, id);
            }
            (State::Committed { .. } | State::Aborted, _) => return Ok(false),
        }
        Ok(true)
    }
}

/// Rows that a transaction has locked and not written.
fn locked_only(core: &Core, id: TxnId) -> Vec<(TableId, u64)> {
    let touched = core.txns.get(&id).into_iter().flat_map(|txn| &txn.touched);
    let locked = touched.filter(|(_, entry)| !entry.has_intent_of(id));
    locked.map(|(table, entry)| (*table, entry.id)).collect()
}

impl Partition {
    /// Waits until a transaction whose end was appended is shown.
    fn wait_ended(&self, txn: TxnId) -> Result<(), StoreError> {
        let mut core = self.latch()?;
        while core.txns.contains_key(&txn) {
            if core.failed {
                return Err(StoreError::OutcomeUnknown);
            }
            self.wait_changed(&mut core);
            if core.dropped {
                return Err(StoreError::UnknownPartition(self.id));
            }
        }
        Ok(())
    }
}

impl Store {
    /// Promises to commit if `coordinator` decides so. Returns the greatest timestamp of the prepares
    /// when all of them are durable.
    pub fn prepare(
        &self,
        txn: TxnId,
        parts: &[(PartitionId, StatementNo)],
        coordinator: PartitionId,
    ) -> Result<Timestamp, StoreError> {
        self.leaf.wal.admit_commit()?;
        let partitions = self.named(parts)?;
        let mut latched = latch(&partitions)?;
        for (_, core, last) in &latched {
            check(core, txn, *last)?;
        }
        self.after_all_heard(&mut latched);
        let now = self.leaf.now_millis();
        let newest = latched.iter().map(|(_, core, _)| core.timeline.next(now)).max();
        let newest = newest.ok_or_else(|| StoreError::internal("a prepare without partitions"))?;
        self.leaf.cover_commit(newest)?;
        let file = self.leaf.wal.current_file();
        let mut batch = Vec::with_capacity(latched.len());
        for (_, core, last) in &mut latched {
            let at = core.timeline.take(now);
            let locks = locked_only(core, txn);
            batch.push(prepare(core, txn, *last, coordinator, at, locks)?);
            if let Some(txn) = core.txns.get_mut(&txn) {
                let since_millis = Some(self.leaf.boot_millis());
                txn.promise = Some(Promise { coordinator, file, since_millis });
            }
        }
        let lsns: Vec<u64> = batch.iter().map(|item| item.head.lsn).collect();
        self.leaf.wal.append(batch)?;
        drop(latched);
        for ((partition, _), lsn) in partitions.iter().zip(lsns) {
            partition.wait_durable(lsn)?;
        }
        Ok(newest)
    }

    /// Commits a transaction of which the first of `parts` decides, and whose participants on other
    /// leaves have prepared at timestamps up to `prepared`.
    pub fn coordinate(
        &self,
        txn: TxnId,
        parts: &[(PartitionId, StatementNo)],
        participants: &[PartitionId],
        prepared: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let (coordinator, _) =
            parts.first().ok_or_else(|| StoreError::internal("a decision without a partition"))?;
        let elsewhere = Elsewhere { coordinator: *coordinator, participants, prepared };
        self.commit_with(txn, parts, Some(&elsewhere))
    }

    /// Tells participants the outcome; returns when they have shown it.
    pub fn decide(&self, txn: TxnId, partitions: &[PartitionId], outcome: Outcome) -> Result<(), StoreError> {
        for id in partitions {
            let partition = self.partition(*id)?;
            let mut core = partition.latch()?;
            let is_new = core.decide(&self.leaf, txn, outcome)?;
            if let Outcome::Commit(at) = outcome {
                // Also where it is known already: the next statement must not read below it.
                self.leaf.cover_commit(at)?;
                core.timeline.raise(at);
            }
            drop(core);
            if is_new {
                partition.notify();
            }
        }
        if let Outcome::Commit(_) = outcome {
            for id in partitions {
                self.partition(*id)?.wait_ended(txn)?;
            }
        }
        Ok(())
    }

    /// Tells participants of commits; returns when each holds its own durably. A partition that is no
    /// more needs none.
    pub fn settle(&self, settlements: &[Settlement]) -> Result<(), StoreError> {
        let mut told: HashMap<PartitionId, (Arc<Partition>, u64)> = HashMap::new();
        for Settlement { txn, participant, at } in settlements {
            let Ok(partition) = self.partition(*participant) else { continue };
            let mut core = partition.latch_any();
            let is_new = core.decide(&self.leaf, *txn, Outcome::Commit(*at))?;
            let newest = core.next_lsn - 1;
            drop(core);
            if is_new {
                partition.notify();
            }
            told.insert(*participant, (partition, newest));
        }
        told.retain(|_, (partition, lsn)| partition.latch_any().durable_lsn < *lsn);
        if !told.is_empty() {
            self.leaf.wal.sync_soon();
        }
        for (partition, lsn) in told.into_values() {
            match partition.wait_durable(lsn) {
                Err(StoreError::UnknownPartition(_)) => {}
                durable => durable?,
            }
        }
        Ok(())
    }

    /// What this partition decided, for a reader at `at`. The partition's clock is raised first, so what
    /// it decides later is later than the reader.
    pub fn inquire(&self, coordinator: PartitionId, txn: TxnId, at: Timestamp) -> Result<Answer, StoreError> {
        let partition = self.partition(coordinator)?;
        let core = self.raised(&partition, at)?;
        Ok(core.decisions.inquire(txn, at, !core.txns.contains_key(&txn)))
    }

    /// Has this partition decide, if it has not: then ABORT. Returns when the outcome is durable.
    ///
    /// [B asks, is told "abort" from memory; the late COMMIT reaches A: half a transaction.]
    pub fn demand_end(&self, coordinator: PartitionId, txn: TxnId) -> Result<Outcome, StoreError> {
        self.leaf.wal.admit_commit()?;
        let partition = self.partition(coordinator)?;
        let (outcome, lsn) = {
            let mut core = partition.latch()?;
            let state = core.txns.get(&txn).map(|txn| txn.participant.state());
            let decides_here = matches!(state, None | Some(State::Active | State::Aborted));
            if !decides_here && core.decisions.outcome(txn).is_none() {
                return Err(StoreError::internal(format_args!("{txn} is not decided in {coordinator}")));
            }
            let (outcome, is_new) = core.decisions.demand_end(txn, self.leaf.boot_millis());
            if is_new {
                let abort =
                    Record::Decision { txn, commit: None, participants: Vec::new(), bulk: Vec::new() };
                core.append(&self.leaf, &abort, true)?;
                if let Some(txn) = core.txns.get_mut(&txn) {
                    txn.participant.abort();
                }
                core.take_back(&self.leaf, txn);
            }
            (outcome, core.next_lsn - 1)
        };
        match outcome {
            Outcome::Commit(_) => partition.wait_ended(txn)?,
            Outcome::Abort => {
                self.leaf.wal.sync_soon();
                partition.wait_durable(lsn)?;
            }
        }
        Ok(outcome)
    }

    /// Transactions that have been prepared in these partitions for so long that their commit may have
    /// been acknowledged without this leaf having heard of it, each with the partition, its coordinating
    /// partition and the timestamp of its prepare. To be asked after before anyone is told at what
    /// timestamp the partitions can be read.
    pub fn prepared_long(
        &self,
        partitions: &[PartitionId],
    ) -> Result<Vec<(TxnId, PartitionId, PartitionId, Timestamp)>, StoreError> {
        let boot = self.leaf.boot_millis();
        let mut long = Vec::new();
        for id in partitions {
            let partition = self.partition(*id)?;
            let core = partition.latch()?;
            for (txn, open) in &core.txns {
                if let (State::Prepared { at }, Some(promise)) = (open.participant.state(), open.promise)
                    && promise.since_millis.is_none_or(|since| since + UNTOLD_MILLIS <= boot)
                {
                    long.push((*txn, *id, promise.coordinator, at));
                }
            }
        }
        Ok(long)
    }

    /// Transactions that are prepared in a partition below `ts`, with their coordinating partitions: a
    /// reader at `ts` must ask for them. Those that prepare from now on are later.
    pub fn prepared_below(
        &self,
        p: PartitionId,
        ts: Timestamp,
    ) -> Result<Vec<(TxnId, PartitionId)>, StoreError> {
        let partition = self.partition(p)?;
        let core = self.raised(&partition, ts)?;
        let open = core.txns.iter().filter_map(|(id, txn)| match (txn.participant.state(), txn.promise) {
            (State::Prepared { at }, Some(promise)) if at < ts => Some((*id, promise.coordinator)),
            _ => None,
        });
        Ok(open.collect())
    }

    /// Commits of this leaf's partitions that participants have not confirmed, by coordinating
    /// partition. All of them are durable.
    pub fn unsettled(&self) -> Vec<(PartitionId, Settlement)> {
        let mut all = Vec::new();
        for partition in self.all() {
            let core = partition.latch_any();
            let durable = core.decisions.unsettled().filter(|s| !core.txns.contains_key(&s.txn));
            all.extend(durable.map(|settlement| (partition.id, settlement)));
        }
        all
    }

    /// These participants hold their outcomes durably.
    pub fn confirm(&self, coordinator: PartitionId, settlements: &[Settlement]) {
        let Ok(partition) = self.partition(coordinator) else { return };
        let mut core = partition.latch_any();
        for settlement in settlements {
            core.decisions.confirm(settlement.txn, settlement.participant);
        }
    }
}
