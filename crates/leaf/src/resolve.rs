//! What a leaf does by itself, so that nothing depends on an aggregator that may be gone.
//!
//! * Twice a second: transactions of silent aggregators are rolled back; those that are prepared demand
//!   an end of their coordinating partition; participants are told again of commits that they have not
//!   confirmed.
//! * Every 50 ms, while there are long waits for locks: they are reported to the leaf that looks for
//!   deadlocks, the one with the least id that is online.

use crate::server::Leaf;
use catalog::{NodeRole, NodeState};
use columnstore::Orphan;
use exec::LeafService;
use futures::future::join_all;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc;
use txn::deadlock::REPORT_AFTER_MILLIS;
use txn::{Outcome, Settlement, WaitReport};
use types::{NodeId, PartitionId, Result, SqlError, TxnId};

const ROUND: Duration = Duration::from_millis(500);
const REPORT: Duration = Duration::from_millis(REPORT_AFTER_MILLIS);
/// A leaf that takes longer to answer is asked again in the next round.
const ANSWER: Duration = Duration::from_secs(2);

/// What the round before left to be done.
#[derive(Default)]
struct Seen {
    /// Commits that were not confirmed then: their aggregators have had the time to tell them.
    unsettled: HashSet<(TxnId, PartitionId)>,
}

impl Leaf {
    /// Ends what silent aggregators leave behind, for as long as the leaf lives. Run it beside the
    /// service.
    pub async fn keep_order(leaf: Weak<Leaf>) {
        let mut seen = Seen::default();
        loop {
            tokio::time::sleep(ROUND).await;
            let Some(leaf) = leaf.upgrade() else { return };
            if let Err(error) = leaf.round(&mut seen).await {
                tracing::warn!(%error, "ending open transactions failed; it is tried again");
            }
        }
    }

    /// Reports waits that last, for as long as the leaf lives. Run it beside the service.
    pub async fn report_long_waits(leaf: Weak<Leaf>) {
        // The store has the sender, so the channel is closed when the leaf is gone.
        let (begun, mut begins) = mpsc::channel(1);
        match leaf.upgrade() {
            Some(leaf) => leaf.store().on_wait(move || {
                // One that is not yet taken says as much.
                let _ = begun.try_send(());
            }),
            None => return,
        }
        while begins.recv().await.is_some() {
            let mut reported = false;
            loop {
                tokio::time::sleep(REPORT).await;
                let Some(leaf) = leaf.upgrade() else { return };
                let waits = leaf.store().long_waits(REPORT);
                let any = !waits.is_empty();
                if any || reported {
                    match leaf.report(waits).await {
                        Ok(()) => reported = any,
                        Err(error) => tracing::debug!(%error, "long waits were not reported"),
                    }
                } else if !leaf.store().has_waits() {
                    break;
                }
            }
        }
    }

    async fn report(&self, waits: Vec<(TxnId, Vec<TxnId>)>) -> Result<()> {
        let catalog = self.catalog();
        let online =
            |node: &&Arc<catalog::Node>| node.role == NodeRole::Leaf && node.state == NodeState::Online;
        let Some(detector) = catalog.nodes().find(online).map(|node| node.id) else { return Ok(()) };
        let report = WaitReport { leaf: self.node(), waits };
        let victims = if detector == self.node() {
            self.store().detect(report)
        } else {
            in_time(self.other(detector)?.report_waits(&report)).await?
        };
        victims.into_iter().for_each(|victim| self.store().refuse_wait(victim));
        Ok(())
    }

    async fn round(&self, seen: &mut Seen) -> Result<()> {
        let orphans = self.blocking(|store| store.sweep()).await?;
        join_all(orphans.into_iter().map(|orphan| self.end(orphan))).await;
        self.settle_late(seen).await;
        Ok(())
    }

    async fn end(&self, orphan: Orphan) {
        let Orphan { txn, partition, coordinator } = orphan;
        let outcome = match self.holder(coordinator) {
            // A partition that is no more will not commit anything.
            None => Ok(Outcome::Abort),
            Some(node) => self.demand(node, coordinator, txn).await,
        };
        let ended = match outcome {
            Ok(outcome) => self.decide(txn, &[partition], outcome).await.map(|()| outcome),
            Err(error) => Err(error),
        };
        match ended {
            Ok(outcome) => {
                tracing::info!(%txn, %partition, ?outcome, "ended a transaction that was left prepared")
            }
            Err(error) => tracing::debug!(%txn, %partition, %error, "a prepared transaction stays for now"),
        }
    }

    async fn demand(&self, node: NodeId, coordinator: PartitionId, txn: TxnId) -> Result<Outcome> {
        if node == self.node() {
            return self.demand_end(coordinator, txn).await;
        }
        in_time(self.other(node)?.demand_end(coordinator, txn)).await
    }

    /// Tells participants of commits that are a round old.
    async fn settle_late(&self, seen: &mut Seen) {
        let unsettled = self.store().unsettled();
        let key = |(_, settlement): &(PartitionId, Settlement)| (settlement.txn, settlement.participant);
        let now: HashSet<_> = unsettled.iter().map(key).collect();
        let before = std::mem::replace(&mut seen.unsettled, now);
        let late = unsettled.into_iter().filter(|entry| before.contains(&key(entry)));
        let mut by_leaf: BTreeMap<NodeId, Vec<(PartitionId, Settlement)>> = BTreeMap::new();
        for (coordinator, settlement) in late {
            match self.holder(settlement.participant) {
                Some(node) => by_leaf.entry(node).or_default().push((coordinator, settlement)),
                // It was dropped: there is nothing to be told.
                None => self.store().confirm(coordinator, &[settlement]),
            }
        }
        join_all(by_leaf.into_iter().map(|(node, late)| async move {
            let settlements: Vec<Settlement> = late.iter().map(|(_, settlement)| *settlement).collect();
            match self.settle_at(node, &settlements).await {
                Ok(()) => late.iter().for_each(|(coordinator, settlement)| {
                    self.store().confirm(*coordinator, &[*settlement]);
                }),
                Err(error) => tracing::debug!(%node, %error, "a leaf has not confirmed its commits"),
            }
        }))
        .await;
    }

    async fn settle_at(&self, node: NodeId, settlements: &[Settlement]) -> Result<()> {
        if node == self.node() {
            return self.settle(settlements).await;
        }
        in_time(self.other(node)?.settle(settlements)).await
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(SqlError::internal("a leaf did not answer in time")),
    }
}
