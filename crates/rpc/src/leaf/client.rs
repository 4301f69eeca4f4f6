//! A leaf elsewhere.

use super::MOST_BYTES;
use super::message::*;
use crate::clocks::Clocks;
use crate::error::{from_status, unreachable};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use columnstore::{
    FewRead, FewRows, InsertOutcome, InsertedOrLocked, Inspect, Inspection, KeyRead, KeyRow, LockOutcome,
    LockRequest, Maintenance, OnDuplicate, ReadView, WriteContext,
};
use exec::{BulkWriter, LeafService, Snapshots, TableEstimate, Target};
use proto::leaf as wire;
use proto::leaf::bulk_message::What;
use proto::leaf::leaf_client::LeafClient as Stub;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use txn::{Answer, Outcome, Renewal, Settlement, WaitReport};
use types::{PartitionId, Result, SqlError, StatementNo, TableDef, TableId, Timestamp, TxnId};

/// Batches of a load that wait to be sent.
const QUEUED_BATCHES: usize = 2;

/// A leaf that is reached over a connection.
#[derive(Clone)]
pub struct LeafClient {
    /// As errors call it.
    name: Arc<str>,
    stub: Stub<Channel>,
    clocks: Clocks,
}

impl LeafClient {
    pub fn new(name: impl Into<Arc<str>>, channel: Channel, clocks: Clocks) -> LeafClient {
        let stub =
            Stub::new(channel).max_decoding_message_size(MOST_BYTES).max_encoding_message_size(MOST_BYTES);
        LeafClient { name: name.into(), stub, clocks }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        self.clocks.stamp(request.metadata_mut());
        request
    }

    fn answer<T>(&self, answer: Result<Response<T>, Status>) -> Result<T> {
        match answer {
            Ok(response) => {
                self.clocks.merge(&self.name, response.metadata())?;
                Ok(response.into_inner())
            }
            Err(status) => {
                self.clocks.merge(&self.name, status.metadata())?;
                Err(from_status(&self.name, &status))
            }
        }
    }
}

/// One call: `call!(self, method, message)`.
macro_rules! call {
    ($self:ident, $method:ident, $message:expr) => {{
        let request = $self.request($message);
        let answer = $self.stub.clone().$method(request).await;
        $self.answer(answer)
    }};
}

#[async_trait]
impl LeafService for LeafClient {
    async fn catch_up(&self, version: u64) -> Result<()> {
        call!(self, catch_up, wire::CatchUpRequest { version }).map(drop)
    }

    async fn read_timestamp(&self, catalog: u64, partitions: &[PartitionId]) -> Result<Timestamp> {
        let message = wire::ReadTimestampRequest { catalog, partitions: put_partitions(partitions) };
        call!(self, read_timestamp, message).map(|reply| Timestamp(reply.at))
    }

    async fn get(&self, target: Target, read: KeyRead) -> Result<KeyRow> {
        take_key_row(&call!(self, get, put_key_read(&target, &read))?)
    }

    async fn few(&self, catalog: u64, table: TableId, read: FewRead) -> Result<FewRows> {
        take_few_rows(&call!(self, few, put_few_read(catalog, table, &read)?)?)
    }

    async fn insert(
        &self,
        target: Target,
        ctx: WriteContext,
        rows: RecordBatch,
        on_duplicate: OnDuplicate,
    ) -> Result<InsertOutcome> {
        let message = wire::InsertRequest {
            target: put_target(&target),
            context: put_context(&ctx),
            rows: put_rows(&rows)?,
            ignore_duplicates: on_duplicate == OnDuplicate::Ignore,
        };
        let reply = call!(self, insert, message)?;
        Ok(InsertOutcome { inserted: reply.inserted, ignored: reply.ignored, reasons: reply.reasons })
    }

    async fn insert_or_lock(
        &self,
        target: Target,
        ctx: WriteContext,
        rows: RecordBatch,
    ) -> Result<InsertedOrLocked> {
        let (target, context) = (put_target(&target), put_context(&ctx));
        let message = wire::InsertOrLockRequest { target, context, rows: put_rows(&rows)? };
        take_inserted_or_locked(call!(self, insert_or_lock, message)?)
    }

    async fn lock_rows(
        &self,
        target: Target,
        ctx: WriteContext,
        rows: Vec<u64>,
        request: LockRequest,
    ) -> Result<LockOutcome> {
        let message = put_lock_rows(&target, &ctx, rows, request);
        let reply = call!(self, lock_rows, message)?;
        Ok(LockOutcome { changed: reply.changed, skipped: reply.skipped })
    }

    async fn lock_table(&self, target: Target, ctx: WriteContext) -> Result<()> {
        let message = wire::LockTableRequest { target: put_target(&target), context: put_context(&ctx) };
        call!(self, lock_table, message).map(drop)
    }

    async fn update(
        &self,
        target: Target,
        ctx: WriteContext,
        rows: Vec<u64>,
        new: RecordBatch,
    ) -> Result<()> {
        let (target, context) = (put_target(&target), put_context(&ctx));
        let message = wire::UpdateRequest { target, context, rows, values: put_rows(&new)? };
        call!(self, update, message).map(drop)
    }

    async fn delete(&self, target: Target, ctx: WriteContext, rows: Vec<u64>) -> Result<()> {
        let message = wire::DeleteRequest { target: put_target(&target), context: put_context(&ctx), rows };
        call!(self, delete, message).map(drop)
    }

    async fn bulk(&self, target: Target, ctx: WriteContext) -> Result<Box<dyn BulkWriter>> {
        let (queue, messages) = mpsc::channel(QUEUED_BATCHES);
        let begin = wire::BulkBegin { target: put_target(&target), context: put_context(&ctx) };
        let client = self.clone();
        let load = tokio::spawn(async move {
            let messages = ReceiverStream::new(messages);
            call!(client, bulk, messages).map(|reply| reply.rows)
        });
        let mut load = Bulk { name: self.name.clone(), queue, load: Some(load) };
        load.send(What::Begin(begin)).await?;
        Ok(Box::new(load))
    }

    async fn rollback_statement(
        &self,
        txn: TxnId,
        statement: StatementNo,
        partitions: &[PartitionId],
    ) -> Result<()> {
        let message = wire::RollbackStatementRequest {
            txn: Some(put_txn(txn)),
            statement: statement.0,
            partitions: put_partitions(partitions),
        };
        call!(self, rollback_statement, message).map(drop)
    }

    async fn commit(&self, txn: TxnId, parts: &[(PartitionId, StatementNo)]) -> Result<Timestamp> {
        let message = wire::CommitRequest { txn: Some(put_txn(txn)), parts: put_parts(parts) };
        call!(self, commit, message).map(|reply| Timestamp(reply.at))
    }

    async fn rollback(&self, txn: TxnId, partitions: &[PartitionId]) -> Result<()> {
        let message =
            wire::RollbackRequest { txn: Some(put_txn(txn)), partitions: put_partitions(partitions) };
        call!(self, rollback, message).map(drop)
    }

    async fn interrupt(&self, txn: TxnId) -> Result<()> {
        call!(self, interrupt, wire::InterruptRequest { txn: Some(put_txn(txn)) }).map(drop)
    }

    async fn prepare(
        &self,
        txn: TxnId,
        parts: &[(PartitionId, StatementNo)],
        coordinator: PartitionId,
    ) -> Result<Timestamp> {
        let message = wire::PrepareRequest {
            txn: Some(put_txn(txn)),
            parts: put_parts(parts),
            coordinator: coordinator.0,
        };
        call!(self, prepare, message).map(|reply| Timestamp(reply.at))
    }

    async fn coordinate(
        &self,
        txn: TxnId,
        parts: &[(PartitionId, StatementNo)],
        participants: &[PartitionId],
        prepared: Timestamp,
    ) -> Result<Timestamp> {
        let message = wire::CoordinateRequest {
            txn: Some(put_txn(txn)),
            parts: put_parts(parts),
            participants: put_partitions(participants),
            prepared: prepared.0,
        };
        call!(self, coordinate, message).map(|reply| Timestamp(reply.at))
    }

    async fn decide(&self, txn: TxnId, partitions: &[PartitionId], outcome: Outcome) -> Result<()> {
        let message = wire::DecideRequest {
            txn: Some(put_txn(txn)),
            partitions: put_partitions(partitions),
            outcome: Some(put_outcome(outcome)),
        };
        call!(self, decide, message).map(drop)
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<()> {
        let settlements = settlements.iter().map(put_settlement).collect();
        call!(self, settle, wire::SettleRequest { settlements }).map(drop)
    }

    async fn inquire(&self, coordinator: PartitionId, txn: TxnId, at: Timestamp) -> Result<Answer> {
        let message = wire::InquireRequest { coordinator: coordinator.0, txn: Some(put_txn(txn)), at: at.0 };
        let reply = call!(self, inquire, message)?;
        take_answer(&reply).ok_or_else(|| SqlError::internal(format!("{} gave no answer", self.name)))
    }

    async fn demand_end(&self, coordinator: PartitionId, txn: TxnId) -> Result<Outcome> {
        let message = wire::DemandEndRequest { coordinator: coordinator.0, txn: Some(put_txn(txn)) };
        call!(self, demand_end, message).map(|outcome| take_outcome(&outcome))
    }

    async fn renew(&self, renewal: &Renewal) -> Result<()> {
        call!(self, renew, put_renewal(renewal)).map(drop)
    }

    async fn report_waits(&self, report: &WaitReport) -> Result<Vec<TxnId>> {
        let reply = call!(self, report_waits, put_report(report))?;
        let victims = reply.victims.into_iter().map(|txn| take_txn(Some(txn)));
        victims.collect::<Result<_, Status>>().map_err(|status| from_status(&self.name, &status))
    }

    async fn snapshots(
        &self,
        _: u64,
        _: ReadView,
        _: &[PartitionId],
        _: &[(PartitionId, StatementNo)],
    ) -> Result<Arc<dyn Snapshots>> {
        Err(SqlError::internal(format!("the partitions of {} are read by stages that run there", self.name)))
    }

    async fn maintain(&self, target: Target, what: Maintenance) -> Result<Vec<String>> {
        let message =
            wire::MaintainRequest { target: put_target(&target), what: put_maintenance(what).into() };
        call!(self, maintain, message).map(|reply| reply.wrong)
    }

    async fn estimate(&self, def: &TableDef, partitions: &[PartitionId]) -> Result<TableEstimate> {
        let def = serde_json::to_vec(def).map_err(SqlError::internal)?;
        let message = wire::EstimateRequest { def: def.into(), partitions: put_partitions(partitions) };
        call!(self, estimate, message).map(take_estimate)
    }

    async fn inspect(&self, what: Inspect) -> Result<Inspection> {
        let reply = call!(self, inspect, wire::InspectRequest { what: put_inspect(what).into() })?;
        serde_json::from_slice(&reply.found)
            .map_err(|_| SqlError::internal(format!("{} says of itself what cannot be read", self.name)))
    }
}

/// A load under way. When it is dropped, its stream ends without saying that it is complete, and the
/// leaf takes it back.
struct Bulk {
    name: Arc<str>,
    queue: mpsc::Sender<wire::BulkMessage>,
    load: Option<JoinHandle<Result<u64>>>,
}

impl Bulk {
    /// Sends a message; waits while the leaf is behind.
    async fn send(&mut self, what: What) -> Result<()> {
        if self.queue.send(wire::BulkMessage { what: Some(what) }).await.is_ok() {
            return Ok(());
        }
        // The leaf ended the call: it says why.
        match self.result().await {
            Err(error) => Err(error),
            Ok(_) => Err(SqlError::internal("the load ended early; run the statement again")),
        }
    }

    async fn result(&mut self) -> Result<u64> {
        let Some(load) = self.load.take() else {
            return Err(SqlError::internal("the load has ended before"));
        };
        match load.await {
            Ok(result) => result,
            Err(error) => Err(unreachable(&self.name, &error.to_string())),
        }
    }
}

#[async_trait]
impl BulkWriter for Bulk {
    async fn append(&mut self, rows: RecordBatch) -> Result<()> {
        let rows = put_rows(&rows)?;
        self.send(What::Rows(rows)).await
    }

    async fn finish(mut self: Box<Self>) -> Result<u64> {
        self.send(What::End(wire::Empty {})).await?;
        self.result().await
    }
}
