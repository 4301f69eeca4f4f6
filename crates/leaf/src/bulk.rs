//! A load of many rows into one partition, on a thread of its own: sorting, encoding and writing
//! segments is work for a core, and the sender goes on meanwhile.
//!
//! A short queue of batches lies between the two, so that a sender that is faster than the disk waits.

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use columnstore::{Store, WriteContext};
use exec::BulkWriter;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use types::{PartitionId, Result, SqlError, TableId};

/// Batches that wait for the loading thread.
const QUEUED_BATCHES: usize = 4;

enum Message {
    Append(RecordBatch),
    Finish,
}

pub(crate) struct Bulk {
    queue: mpsc::Sender<Message>,
    result: oneshot::Receiver<Result<u64>>,
}

/// Starts a load; fails if the partition's lock cannot be had.
pub(crate) fn start(
    store: Arc<Store>,
    ctx: WriteContext,
    partition: PartitionId,
    table: TableId,
) -> Result<Bulk> {
    let (queue, receiver) = mpsc::channel(QUEUED_BATCHES);
    let (done, result) = oneshot::channel();
    std::thread::Builder::new()
        .name(format!("bulk-{partition}"))
        .spawn(move || {
            // The receiver is gone when the load was given up: nobody asks for the result then.
            let _ = done.send(load(&store, &ctx, partition, table, receiver));
        })
        .map_err(|error| SqlError::internal(format!("cannot start a thread for the load: {error}")))?;
    Ok(Bulk { queue, result })
}

fn load(
    store: &Arc<Store>,
    ctx: &WriteContext,
    partition: PartitionId,
    table: TableId,
    mut batches: mpsc::Receiver<Message>,
) -> Result<u64> {
    let mut load = store.begin_bulk(ctx, partition, table)?;
    loop {
        match batches.blocking_recv() {
            Some(Message::Append(batch)) => load.append(batch)?,
            Some(Message::Finish) => return Ok(load.finish()?),
            // Dropped unfinished: the load's own drop removes its files.
            None => return Ok(0),
        }
    }
}

impl Bulk {
    /// The error that ended the thread early.
    async fn failure(&mut self) -> SqlError {
        match (&mut self.result).await {
            Ok(Err(error)) => error,
            Ok(Ok(_)) | Err(_) => SqlError::internal("the load ended early; run the statement again"),
        }
    }
}

#[async_trait]
impl BulkWriter for Bulk {
    async fn append(&mut self, rows: RecordBatch) -> Result<()> {
        match self.queue.send(Message::Append(rows)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.failure().await),
        }
    }

    async fn finish(mut self: Box<Self>) -> Result<u64> {
        if self.queue.send(Message::Finish).await.is_err() {
            return Err(self.failure().await);
        }
        match (&mut self.result).await {
            Ok(result) => result,
            Err(_) => Err(SqlError::internal("the load ended early; run the statement again")),
        }
    }
}
