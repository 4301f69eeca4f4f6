//! The leaf of this process, for callers elsewhere.

use super::MOST_BYTES;
use super::message::*;
use crate::clocks::{Clocks, malformed};
use crate::error::to_status;
use columnstore::OnDuplicate;
use exec::LeafService;
use proto::leaf as wire;
use proto::leaf::bulk_message::What;
use proto::leaf::leaf_server::{Leaf, LeafServer as Service};
use std::sync::Arc;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};
use txn::lease::is_too_old;
use types::{PartitionId, SqlError};

/// Answers by a [`LeafService`].
pub struct LeafServer {
    leaf: Arc<dyn LeafService>,
    clocks: Clocks,
}

impl LeafServer {
    /// The service to add to a server.
    pub fn new(leaf: Arc<dyn LeafService>, clocks: Clocks) -> Service<LeafServer> {
        Service::new(LeafServer { leaf, clocks })
            .max_decoding_message_size(MOST_BYTES)
            .max_encoding_message_size(MOST_BYTES)
    }

    fn merge(&self, header: &MetadataMap, peer: Option<std::net::SocketAddr>) -> Result<Option<u64>, Status> {
        let peer = peer.map_or_else(|| "a peer".to_string(), |address| address.to_string());
        self.clocks.merge(&peer, header).map_err(to_status)
    }

    /// Takes the clocks of a request, and its message.
    fn open<T>(&self, request: Request<T>) -> Result<T, Status> {
        self.merge(request.metadata(), request.remote_addr())?;
        Ok(request.into_inner())
    }

    /// The same of a message that writes, or ends a transaction: one that was on its way for so long
    /// that its sender has given it up is refused.
    fn open_write<T>(&self, request: Request<T>) -> Result<T, Status> {
        self.fresh(request.metadata(), request.remote_addr())?;
        Ok(request.into_inner())
    }

    fn fresh(&self, header: &MetadataMap, peer: Option<std::net::SocketAddr>) -> Result<(), Status> {
        let sent = self.merge(header, peer)?;
        if sent.is_some_and(|sent| is_too_old(sent, self.clocks.physical.wall_millis())) {
            let error = SqlError::internal("a message of a transaction came more than a minute late");
            return Err(self.clocks.refuse(SqlError { retryable: true, ..error }));
        }
        Ok(())
    }

    fn answer<T>(&self, result: Result<T, SqlError>) -> Result<Response<T>, Status> {
        match result {
            Ok(reply) => {
                let mut response = Response::new(reply);
                self.clocks.stamp(response.metadata_mut());
                Ok(response)
            }
            Err(error) => Err(self.clocks.refuse(error)),
        }
    }
}

fn done(_: ()) -> wire::Empty {
    wire::Empty {}
}

fn at(at: types::Timestamp) -> wire::TimestampReply {
    wire::TimestampReply { at: at.0 }
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Leaf for LeafServer {
    async fn catch_up(&self, request: Request<wire::CatchUpRequest>) -> Reply<wire::Empty> {
        let message = self.open(request)?;
        self.answer(self.leaf.catch_up(message.version).await.map(done))
    }

    async fn read_timestamp(
        &self,
        request: Request<wire::ReadTimestampRequest>,
    ) -> Reply<wire::TimestampReply> {
        let message = self.open(request)?;
        let partitions = take_partitions(message.partitions);
        self.answer(self.leaf.read_timestamp(message.catalog, &partitions).await.map(at))
    }

    async fn get(&self, request: Request<wire::GetRequest>) -> Reply<wire::GetReply> {
        let message = self.open(request)?;
        let (target, read) = take_key_read(message)?;
        self.answer(self.leaf.get(target, read).await.and_then(|row| put_key_row(&row)))
    }

    async fn few(&self, request: Request<wire::FewRequest>) -> Reply<wire::FewReply> {
        let message = self.open(request)?;
        let (catalog, table, read) = take_few_read(message)?;
        self.answer(self.leaf.few(catalog, table, read).await.and_then(|found| put_few_rows(&found)))
    }

    async fn insert(&self, request: Request<wire::InsertRequest>) -> Reply<wire::InsertReply> {
        let message = self.open_write(request)?;
        let (target, ctx) = (take_target(message.target)?, take_context(message.context)?);
        let rows = take_rows(&message.rows).map_err(to_status)?;
        let on_duplicate = if message.ignore_duplicates { OnDuplicate::Ignore } else { OnDuplicate::Error };
        let outcome = self.leaf.insert(target, ctx, rows, on_duplicate).await;
        self.answer(outcome.map(|o| wire::InsertReply {
            inserted: o.inserted,
            ignored: o.ignored,
            reasons: o.reasons,
        }))
    }

    async fn insert_or_lock(
        &self,
        request: Request<wire::InsertOrLockRequest>,
    ) -> Reply<wire::InsertOrLockReply> {
        let message = self.open_write(request)?;
        let (target, ctx) = (take_target(message.target)?, take_context(message.context)?);
        let rows = take_rows(&message.rows).map_err(to_status)?;
        let outcome = self.leaf.insert_or_lock(target, ctx, rows).await;
        self.answer(outcome.and_then(|outcome| put_inserted_or_locked(&outcome)))
    }

    async fn lock_rows(&self, request: Request<wire::LockRowsRequest>) -> Reply<wire::LockRowsReply> {
        let message = self.open_write(request)?;
        let lock = take_lock_request(&message)?;
        let (target, ctx) = (take_target(message.target)?, take_context(message.context)?);
        let outcome = self.leaf.lock_rows(target, ctx, message.rows, lock).await;
        self.answer(outcome.map(|o| wire::LockRowsReply { changed: o.changed, skipped: o.skipped }))
    }

    async fn lock_table(&self, request: Request<wire::LockTableRequest>) -> Reply<wire::Empty> {
        let message = self.open_write(request)?;
        let (target, ctx) = (take_target(message.target)?, take_context(message.context)?);
        self.answer(self.leaf.lock_table(target, ctx).await.map(done))
    }

    async fn update(&self, request: Request<wire::UpdateRequest>) -> Reply<wire::Empty> {
        let message = self.open_write(request)?;
        let (target, ctx) = (take_target(message.target)?, take_context(message.context)?);
        let values = take_rows(&message.values).map_err(to_status)?;
        self.answer(self.leaf.update(target, ctx, message.rows, values).await.map(done))
    }

    async fn delete(&self, request: Request<wire::DeleteRequest>) -> Reply<wire::Empty> {
        let message = self.open_write(request)?;
        let (target, ctx) = (take_target(message.target)?, take_context(message.context)?);
        self.answer(self.leaf.delete(target, ctx, message.rows).await.map(done))
    }

    async fn bulk(&self, request: Request<Streaming<wire::BulkMessage>>) -> Reply<wire::BulkReply> {
        let mut messages = self.open_write(request)?;
        let Some(wire::BulkMessage { what: Some(What::Begin(begin)) }) = messages.message().await? else {
            return Err(malformed("beginning"));
        };
        let (target, ctx) = (take_target(begin.target)?, take_context(begin.context)?);
        let loaded = async {
            let mut writer = self.leaf.bulk(target, ctx).await?;
            loop {
                let next = messages.message().await;
                let next = next.map_err(|status| SqlError::internal(status.message()))?;
                match next.and_then(|message| message.what) {
                    Some(What::Rows(rows)) => writer.append(take_rows(&rows)?).await?,
                    Some(What::End(_)) => return writer.finish().await,
                    Some(What::Begin(_)) | None => {
                        return Err(SqlError::internal("a load stopped before its end"));
                    }
                }
            }
        };
        self.answer(loaded.await.map(|rows| wire::BulkReply { rows }))
    }

    async fn rollback_statement(
        &self,
        request: Request<wire::RollbackStatementRequest>,
    ) -> Reply<wire::Empty> {
        let message = self.open_write(request)?;
        let txn = take_txn(message.txn)?;
        let partitions = take_partitions(message.partitions);
        let statement = types::StatementNo(message.statement);
        self.answer(self.leaf.rollback_statement(txn, statement, &partitions).await.map(done))
    }

    async fn commit(&self, request: Request<wire::CommitRequest>) -> Reply<wire::TimestampReply> {
        let message = self.open_write(request)?;
        let txn = take_txn(message.txn)?;
        self.answer(self.leaf.commit(txn, &take_parts(message.parts)).await.map(at))
    }

    async fn rollback(&self, request: Request<wire::RollbackRequest>) -> Reply<wire::Empty> {
        let message = self.open(request)?;
        let txn = take_txn(message.txn)?;
        self.answer(self.leaf.rollback(txn, &take_partitions(message.partitions)).await.map(done))
    }

    async fn interrupt(&self, request: Request<wire::InterruptRequest>) -> Reply<wire::Empty> {
        let message = self.open(request)?;
        let txn = take_txn(message.txn)?;
        self.answer(self.leaf.interrupt(txn).await.map(done))
    }

    async fn prepare(&self, request: Request<wire::PrepareRequest>) -> Reply<wire::TimestampReply> {
        let message = self.open_write(request)?;
        let txn = take_txn(message.txn)?;
        let coordinator = PartitionId(message.coordinator);
        self.answer(self.leaf.prepare(txn, &take_parts(message.parts), coordinator).await.map(at))
    }

    async fn coordinate(&self, request: Request<wire::CoordinateRequest>) -> Reply<wire::TimestampReply> {
        let message = self.open_write(request)?;
        let txn = take_txn(message.txn)?;
        let (parts, participants) = (take_parts(message.parts), take_partitions(message.participants));
        let prepared = types::Timestamp(message.prepared);
        self.answer(self.leaf.coordinate(txn, &parts, &participants, prepared).await.map(at))
    }

    async fn decide(&self, request: Request<wire::DecideRequest>) -> Reply<wire::Empty> {
        let message = self.open(request)?;
        let txn = take_txn(message.txn)?;
        let outcome = take_outcome(&message.outcome.ok_or_else(|| malformed("outcome"))?);
        self.answer(self.leaf.decide(txn, &take_partitions(message.partitions), outcome).await.map(done))
    }

    async fn settle(&self, request: Request<wire::SettleRequest>) -> Reply<wire::Empty> {
        let message = self.open(request)?;
        let settlements = message.settlements.into_iter().map(take_settlement);
        let settlements = settlements.collect::<Result<Vec<_>, Status>>()?;
        self.answer(self.leaf.settle(&settlements).await.map(done))
    }

    async fn inquire(&self, request: Request<wire::InquireRequest>) -> Reply<wire::InquireReply> {
        let message = self.open(request)?;
        let (txn, read_at) = (take_txn(message.txn)?, types::Timestamp(message.at));
        let answer = self.leaf.inquire(PartitionId(message.coordinator), txn, read_at).await;
        self.answer(answer.map(put_answer))
    }

    async fn demand_end(&self, request: Request<wire::DemandEndRequest>) -> Reply<wire::Outcome> {
        let message = self.open(request)?;
        let txn = take_txn(message.txn)?;
        let outcome = self.leaf.demand_end(PartitionId(message.coordinator), txn).await;
        self.answer(outcome.map(put_outcome))
    }

    async fn renew(&self, request: Request<wire::Renewal>) -> Reply<wire::Empty> {
        let renewal = take_renewal(self.open(request)?);
        self.answer(self.leaf.renew(&renewal).await.map(done))
    }

    async fn report_waits(&self, request: Request<wire::WaitReport>) -> Reply<wire::ReportWaitsReply> {
        let report = take_report(self.open(request)?)?;
        let victims = self.leaf.report_waits(&report).await;
        self.answer(
            victims.map(|victims| wire::ReportWaitsReply {
                victims: victims.into_iter().map(put_txn).collect(),
            }),
        )
    }

    async fn maintain(&self, request: Request<wire::MaintainRequest>) -> Reply<wire::MaintainReply> {
        let message = self.open(request)?;
        let what = take_maintenance(message.what())?;
        let wrong = self.leaf.maintain(take_target(message.target)?, what).await;
        self.answer(wrong.map(|wrong| wire::MaintainReply { wrong }))
    }

    async fn estimate(&self, request: Request<wire::EstimateRequest>) -> Reply<wire::EstimateReply> {
        let message = self.open(request)?;
        let def = serde_json::from_slice(&message.def).map_err(|_| malformed("definition"))?;
        let partitions = take_partitions(message.partitions);
        let estimate = self.leaf.estimate(&def, &partitions).await;
        self.answer(estimate.map(|estimate| put_estimate(&estimate)))
    }

    async fn inspect(&self, request: Request<wire::InspectRequest>) -> Reply<wire::InspectReply> {
        let what = take_inspect(self.open(request)?.what())?;
        let found = self.leaf.inspect(what).await;
        let found = found.and_then(|found| serde_json::to_vec(&found).map_err(SqlError::internal));
        self.answer(found.map(|found| wire::InspectReply { found: found.into() }))
    }
}
