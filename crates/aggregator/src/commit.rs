//! Commits over leaves: carries out what [`txn::Commit`] says.

use crate::leaves::{by_leaf, is_unreachable};
use crate::server::Aggregator;
use catalog::Catalog;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::time::Duration;
use txn::commit::{Commit, Reply, Request, UNTOLD_MILLIS, What};
use types::{PartitionId, Result, SqlError, StatementNo, Timestamp, TxnId};

/// Commits a transaction at the partitions where it wrote or locked. Returns when it is durable, and
/// shown by every leaf that can be reached.
pub(crate) async fn commit(
    aggregator: &Aggregator,
    catalog: &Catalog,
    txn: TxnId,
    parts: &[(PartitionId, StatementNo)],
) -> Result<Timestamp> {
    let leaves = by_leaf(catalog, parts.iter().copied(), |(partition, _)| *partition)?;
    let Some((mut commit, first)) = Commit::begin(leaves) else {
        return Err(SqlError::internal("a commit without partitions"));
    };
    let mut under_way = FuturesUnordered::new();
    under_way.extend(first.into_iter().map(|request| send(aggregator, txn, request)));
    let mut changed = tokio::time::Instant::now();
    loop {
        if let Some(result) = commit.result() {
            if commit.is_told_late() {
                tokio::time::sleep_until(changed + Duration::from_millis(UNTOLD_MILLIS)).await;
            }
            return result.clone();
        }
        let Some((request, reply)) = under_way.next().await else {
            return Err(SqlError::internal("a commit came to a stop"));
        };
        let next = commit.on(&request, reply);
        if !next.is_empty() {
            changed = tokio::time::Instant::now();
        }
        under_way.extend(next.into_iter().map(|request| send(aggregator, txn, request)));
    }
}

async fn send(aggregator: &Aggregator, txn: TxnId, request: Request) -> (Request, Reply) {
    let reply = match call(aggregator, txn, &request).await {
        Ok(reply) => reply,
        Err(error) if is_unreachable(&error) => Reply::Lost(error),
        Err(error) => Reply::Refused(error),
    };
    (request, reply)
}

async fn call(aggregator: &Aggregator, txn: TxnId, request: &Request) -> Result<Reply> {
    let leaf = aggregator.leaves.leaf(request.leaf)?;
    Ok(match &request.what {
        What::Commit(parts) => Reply::At(leaf.commit(txn, parts).await?),
        What::Prepare { parts, coordinator } => Reply::At(leaf.prepare(txn, parts, *coordinator).await?),
        What::Coordinate { parts, participants, prepared } => {
            Reply::At(leaf.coordinate(txn, parts, participants, *prepared).await?)
        }
        What::Decide { partitions, outcome } => {
            leaf.decide(txn, partitions, *outcome).await?;
            Reply::Shown
        }
        What::Demand { coordinator } => Reply::Decided(leaf.demand_end(*coordinator, txn).await?),
    })
}
