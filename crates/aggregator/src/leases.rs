//! What this aggregator has open, and telling it to the leaves, so that they end what it leaves behind.

use crate::leaves::online_leaves;
use crate::server::Aggregator;
use catalog::Command;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use txn::lease::RENEW_MILLIS;
use txn::{Registry, Renewal};
use types::{NodeId, SqlError, Timestamp, TxnId};

/// A renewal that takes longer is given up: the next one says more.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(2);

/// The transactions and snapshots of this aggregator.
pub(crate) struct OpenTransactions {
    registry: Mutex<Registry>,
}

impl OpenTransactions {
    pub(crate) fn new(node: NodeId, first: u64) -> Arc<OpenTransactions> {
        Arc::new(OpenTransactions { registry: Mutex::new(Registry::new(node, first)) })
    }

    pub(crate) fn begin(self: &Arc<Self>) -> OpenTransaction {
        OpenTransaction { id: self.registry.lock().begin(), of: self.clone() }
    }

    pub(crate) fn hold(self: &Arc<Self>, ts: Timestamp) -> HeldSnapshot {
        self.registry.lock().hold(ts);
        HeldSnapshot { ts, of: self.clone() }
    }

    fn renewal(&self) -> Renewal {
        self.registry.lock().renewal()
    }
}

/// A transaction that is open until this is dropped.
pub(crate) struct OpenTransaction {
    id: TxnId,
    of: Arc<OpenTransactions>,
}

impl OpenTransaction {
    pub(crate) fn id(&self) -> TxnId {
        self.id
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        self.of.registry.lock().end(self.id);
    }
}

/// A snapshot whose versions are kept until this is dropped.
pub(crate) struct HeldSnapshot {
    ts: Timestamp,
    of: Arc<OpenTransactions>,
}

impl HeldSnapshot {
    pub(crate) fn ts(&self) -> Timestamp {
        self.ts
    }
}

impl Drop for HeldSnapshot {
    fn drop(&mut self) {
        self.of.registry.lock().release(self.ts);
    }
}

impl Aggregator {
    /// Renews this aggregator's leases for as long as it lives. Run it beside the sessions: without it
    /// the leaves take back what stays open for longer than a lease. Releases the user-level locks of sessions that
    /// are no more, too.
    pub async fn keep_leases(aggregator: Weak<Aggregator>) {
        let mut tick = tokio::time::interval(Duration::from_millis(RENEW_MILLIS));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut under_way = JoinSet::new();
        let mut is_clean = false;
        loop {
            tick.tick().await;
            let Some(aggregator) = aggregator.upgrade() else { return };
            if !is_clean {
                let cleaned = tokio::time::timeout(RENEWAL_TIMEOUT, aggregator.drop_left_tables()).await;
                is_clean = matches!(cleaned, Ok(Ok(())));
            }
            while under_way.try_join_next().is_some() {}
            let left = aggregator.user_locks.compare(&*aggregator.metadata, &aggregator.processes);
            if !left.is_empty() {
                // One after the other: this node has few proposals under way at a time.
                let metadata = aggregator.metadata.clone();
                let release = async move {
                    for holder in left {
                        metadata.propose(Command::ReleaseLocks { holder }).await?;
                    }
                    Ok::<_, SqlError>(())
                };
                under_way.spawn(async move {
                    match tokio::time::timeout(RENEWAL_TIMEOUT, release).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::debug!(%error, "user-level locks were not released"),
                        Err(_) => tracing::debug!("user-level locks were not released in time"),
                    }
                });
            }
            let renewal = Arc::new(aggregator.open.renewal());
            for node in online_leaves(&aggregator.metadata.snapshot()) {
                let Ok(leaf) = aggregator.leaves.leaf(node) else { continue };
                let renewal = renewal.clone();
                under_way.spawn(async move {
                    match tokio::time::timeout(RENEWAL_TIMEOUT, leaf.renew(&renewal)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::debug!(%node, %error, "a lease was not renewed"),
                        Err(_) => tracing::debug!(%node, "a lease was not renewed in time"),
                    }
                });
            }
        }
    }
}
