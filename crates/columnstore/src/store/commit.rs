//! The end of a transaction.
//!
//! One partition: one record. Several: all their latches are taken, in the order of partition ids, and
//! prepares, the coordinating partition's decision and the participants' decides are appended as one
//! batch, which is synced once. T is above all of their clocks, so a reader at or above T waits until
//! all of it is shown, and one below passes over it: nobody meets a prepared intent here.
//!
//! If there are partitions on other leaves too, the same batch is appended once those have prepared.

use super::Store;
use super::leaf::Completion;
use crate::StoreError;
use crate::partition::Partition;
use crate::partition::core::{Core, Show, mismatched};
use crate::wal::{Append, Record};
use parking_lot::MutexGuard;
use std::sync::Arc;
use types::{PartitionId, StatementNo, TableId, Timestamp, TxnId};

pub(crate) type Part<'a> = (&'a Partition, MutexGuard<'a, Core>, StatementNo);

/// What a commit that is on other leaves too adds.
pub(crate) struct Elsewhere<'a> {
    /// The partition of this leaf that decides.
    pub(crate) coordinator: PartitionId,
    pub(crate) participants: &'a [PartitionId],
    /// The greatest timestamp of their prepares.
    pub(crate) prepared: Timestamp,
}

/// A commit whose records are appended, and which is not durable yet. To be ended by
/// [`Store::end_commit`] once it is shown.
pub struct Committing {
    txn: TxnId,
    at: Timestamp,
    done: Arc<Completion>,
    /// With the participants of this leaf.
    coordinator: Option<(Arc<Partition>, Vec<PartitionId>)>,
    is_elsewhere: bool,
    wrote: bool,
}

impl Committing {
    /// Whether a partition of this leaf keeps the decision until all participants have it.
    pub fn is_decided_here(&self) -> bool {
        self.coordinator.is_some()
    }

    /// Waits until it is durable and shown everywhere, or can no longer be.
    pub async fn shown(&self) {
        std::future::poll_fn(|context| self.done.poll_ended(context)).await;
    }
}

impl Store {
    /// Commits a transaction at the partitions where it wrote or locked, each with the last statement
    /// that did. Returns when the commit is durable and shown everywhere.
    pub fn commit(&self, txn: TxnId, parts: &[(PartitionId, StatementNo)]) -> Result<Timestamp, StoreError> {
        self.commit_with(txn, parts, None)
    }

    pub(crate) fn commit_with(
        &self,
        txn: TxnId,
        parts: &[(PartitionId, StatementNo)],
        elsewhere: Option<&Elsewhere<'_>>,
    ) -> Result<Timestamp, StoreError> {
        let partitions = self.named(parts)?;
        let committing = self.append_commit(txn, latch(&partitions)?, &partitions, elsewhere)?;
        committing.done.wait();
        self.end_commit(committing)
    }

    /// Begins a commit as [`Store::commit`] makes one, and does not wait for its end. Latches are all that it
    /// may wait for.
    pub fn start_commit(
        &self,
        txn: TxnId,
        parts: &[(PartitionId, StatementNo)],
    ) -> Result<Committing, StoreError> {
        let partitions = self.named(parts)?;
        self.append_commit(txn, latch(&partitions)?, &partitions, None)
    }

    /// What is left to do of a commit that is shown.
    pub fn end_commit(&self, committing: Committing) -> Result<Timestamp, StoreError> {
        let Committing { txn, at, done, coordinator, is_elsewhere, wrote } = committing;
        done.outcome()?;
        if let Some((coordinator, participants)) = coordinator {
            // All of it was one batch: shown means durable at every participant.
            let mut core = coordinator.latch_any();
            for participant in participants {
                core.decisions.confirm(txn, participant);
            }
            if !is_elsewhere {
                core.decisions.forget(txn);
            }
        }
        if wrote {
            self.leaf.counters.commits.add(1);
        }
        Ok(at)
    }

    /// Appends the records of a commit.
    fn append_commit(
        &self,
        txn: TxnId,
        mut latched: Vec<Part<'_>>,
        partitions: &[(Arc<Partition>, StatementNo)],
        elsewhere: Option<&Elsewhere<'_>>,
    ) -> Result<Committing, StoreError> {
        self.leaf.wal.admit_commit()?;
        for (_, core, last) in &latched {
            check(core, txn, *last)?;
        }
        let decides = |id: PartitionId| elsewhere.is_some_and(|e| e.coordinator == id);
        let (mut writers, idle): (Vec<Part<'_>>, Vec<Part<'_>>) = latched
            .drain(..)
            .partition(|(p, core, _)| decides(p.id) || core.txns.get(&txn).is_some_and(|t| t.wrote()));
        writers.sort_by_key(|(partition, ..)| !decides(partition.id));
        if elsewhere.is_some() && !writers.first().is_some_and(|(p, ..)| decides(p.id)) {
            return Err(StoreError::internal("the coordinating partition takes no part in the transaction"));
        }
        let done = Completion::of(writers.len());
        let mut committing = Committing {
            txn,
            at: Timestamp::ZERO,
            done: done.clone(),
            coordinator: None,
            is_elsewhere: elsewhere.is_some(),
            wrote: !writers.is_empty(),
        };
        if writers.is_empty() {
            for (_, mut core, _) in idle {
                committing.at = committing.at.max(core.timeline.applied());
                core.roll_back(&self.leaf, txn);
            }
            return Ok(committing);
        }
        self.after_all_heard(&mut writers);
        let now = self.leaf.now_millis();
        let (at, batch) = match &mut writers[..] {
            [(_, core, last)] if elsewhere.is_none() => {
                let at = core.timeline.next(now);
                self.leaf.cover_commit(at)?;
                (at, vec![commit_alone(core, txn, *last, at, &done)?])
            }
            several => {
                // Above the prepares, so that a reader at the timestamp of one need not ask.
                let prepared = elsewhere.map_or(Timestamp::ZERO, |e| e.prepared.next());
                let at = several
                    .iter()
                    .map(|(_, core, _)| core.timeline.next(now).next())
                    .fold(prepared, Timestamp::max);
                self.leaf.cover_commit(at)?;
                (at, commit_together(several, txn, at, now, &done, elsewhere)?)
            }
        };
        self.leaf.wal.append(batch)?;
        committing.at = at;
        // Where it only locked there is nothing to wait for.
        for (_, mut core, _) in idle {
            core.roll_back(&self.leaf, txn);
        }
        if writers.len() > 1 || elsewhere.is_some() {
            let id = writers[0].0.id;
            let coordinator = partitions.iter().map(|(p, _)| p).find(|p| p.id == id).cloned();
            let participants = writers.iter().skip(1).map(|(p, ..)| p.id).collect();
            committing.coordinator = coordinator.map(|coordinator| (coordinator, participants));
        }
        Ok(committing)
    }

    /// The next timestamps are above all that this process has heard of.
    pub(crate) fn after_all_heard(&self, parts: &mut [Part<'_>]) {
        let heard = self.leaf.options.hlc.newest();
        parts.iter_mut().for_each(|(_, core, _)| core.timeline.raise(heard));
    }

    /// The partitions of a commit or prepare, in the order of their ids.
    pub(crate) fn named(
        &self,
        parts: &[(PartitionId, StatementNo)],
    ) -> Result<Vec<(Arc<Partition>, StatementNo)>, StoreError> {
        let mut named = parts.to_vec();
        named.sort_unstable();
        named.dedup();
        if named.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(StoreError::internal("a commit names a partition twice"));
        }
        named.into_iter().map(|(id, last)| Ok((self.partition(id)?, last))).collect()
    }

    /// Rolls a transaction back. One whose commit is under way is left to it.
    pub fn rollback(&self, txn: TxnId, parts: &[PartitionId]) {
        for id in parts {
            if let Ok(partition) = self.partition(*id) {
                partition.latch_any().roll_back(&self.leaf, txn);
            }
        }
        self.leaf.counters.rollbacks.add(1);
    }

    /// Takes back what a statement wrote at these partitions. Its locks stay.
    pub fn rollback_statement(
        &self,
        txn: TxnId,
        statement: StatementNo,
        parts: &[PartitionId],
    ) -> Result<(), StoreError> {
        for id in parts {
            self.partition(*id)?.latch()?.roll_back_statement(&self.leaf, txn, statement)?;
        }
        Ok(())
    }
}

pub(crate) fn latch(partitions: &[(Arc<Partition>, StatementNo)]) -> Result<Vec<Part<'_>>, StoreError> {
    partitions.iter().map(|(partition, last)| Ok((partition.as_ref(), partition.latch()?, *last))).collect()
}

pub(crate) fn check(core: &Core, id: TxnId, last: StatementNo) -> Result<(), StoreError> {
    let Some(txn) = core.txns.get(&id) else {
        return Err(StoreError::StatementMismatch { expected: last, found: StatementNo(0) });
    };
    txn.participant.may_commit(last).map_err(mismatched)?;
    if txn.wrote() && !core.versions_hold(txn) {
        return Err(StoreError::TableDefinitionChanged);
    }
    Ok(())
}

/// Marks the transaction as committed at `at` with the record `lsn`, which is being appended.
fn appended(core: &mut Core, id: TxnId, lsn: u64, at: Timestamp, done: &Arc<Completion>) {
    if let Some(txn) = core.txns.get(&id) {
        txn.slot.append(at);
    }
    core.timeline.append_at(lsn, at);
    core.shows.push_back(Show { lsn, txn: id, at, done: done.clone() });
}

pub(crate) fn gone(last: StatementNo) -> StoreError {
    StoreError::StatementMismatch { expected: last, found: StatementNo(0) }
}

fn commit_alone(
    core: &mut Core,
    id: TxnId,
    last: StatementNo,
    at: Timestamp,
    done: &Arc<Completion>,
) -> Result<Append, StoreError> {
    let txn = core.txns.get_mut(&id).ok_or_else(|| gone(last))?;
    txn.participant.commit_alone(last, at).map_err(mismatched)?;
    let txn = core.txns.get(&id).ok_or_else(|| gone(last))?;
    let record = Record::Commit { txn: id, at, bulk: core.bulk_of(txn) };
    let item = core.number(record.kind(), record.encode(), true);
    appended(core, id, item.head.lsn, at, done);
    Ok(item)
}

/// The record of a prepare at `at`, which the partition's clock has been raised to.
pub(crate) fn prepare(
    core: &mut Core,
    id: TxnId,
    last: StatementNo,
    coordinator: PartitionId,
    at: Timestamp,
    locks: Vec<(TableId, u64)>,
) -> Result<Append, StoreError> {
    let txn = core.txns.get_mut(&id).ok_or_else(|| gone(last))?;
    txn.participant.prepare(last, at).map_err(mismatched)?;
    let txn = core.txns.get(&id).ok_or_else(|| gone(last))?;
    let record = Record::Prepare { txn: id, at, last, coordinator, locks, bulk: core.bulk_of(txn) };
    Ok(core.number(record.kind(), record.encode(), true))
}

/// The records of a commit at several partitions, of which the first coordinates.
fn commit_together(
    parts: &mut [Part<'_>],
    id: TxnId,
    at: Timestamp,
    now: u64,
    done: &Arc<Completion>,
    elsewhere: Option<&Elsewhere<'_>>,
) -> Result<Vec<Append>, StoreError> {
    let mut batch = Vec::with_capacity(parts.len() * 2);
    let mut participants: Vec<PartitionId> = parts.iter().skip(1).map(|(p, ..)| p.id).collect();
    participants.extend(elsewhere.iter().flat_map(|e| e.participants));
    let coordinator = parts[0].0.id;
    for (_, core, last) in parts.iter_mut().skip(1) {
        let prepared = core.timeline.take(now);
        // Its end is in the same batch, so which rows are locked need not be known after a restart.
        batch.push(prepare(core, id, *last, coordinator, prepared, Vec::new())?);
    }
    let (_, core, last) = &mut parts[0];
    let txn = core.txns.get_mut(&id).ok_or_else(|| gone(*last))?;
    txn.participant.commit_alone(*last, at).map_err(mismatched)?;
    let txn = core.txns.get(&id).ok_or_else(|| gone(*last))?;
    let bulk = core.bulk_of(txn);
    core.decisions.commit(id, at, participants.iter().copied());
    let record = Record::Decision { txn: id, commit: Some(at), participants, bulk };
    let item = core.number(record.kind(), record.encode(), true);
    appended(core, id, item.head.lsn, at, done);
    batch.push(item);
    for (_, core, last) in parts.iter_mut().skip(1) {
        let txn = core.txns.get_mut(&id).ok_or_else(|| gone(*last))?;
        txn.participant.decide(Some(at));
        let record = Record::Decide { txn: id, commit: Some(at) };
        let item = core.number(record.kind(), record.encode(), true);
        appended(core, id, item.head.lsn, at, done);
        batch.push(item);
    }
    Ok(batch)
}
