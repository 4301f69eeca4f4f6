//! Another node's stages.

use super::link::{Arrived, Link, Opened};
use super::{batches, convert};
use crate::channels::Channels;
use crate::columns::Decoder;
use crate::error::{from_status, from_wire, unreachable};
use arrow::array::RecordBatch;
use async_trait::async_trait;
use exec::exchange::{ExchangeId, ExchangeReceiver};
use exec::stages::{PULL_WINDOW, Pull, QueryId, StageControl, StageRequest, ToldKeys};
use exec::{Measured, StageService, from_sql_error, pass_on};
use futures::stream::{self, StreamExt};
use proto::stages as wire;
use proto::stages::exchange_reply::Reply;
use proto::stages::stages_client::StagesClient as Client;
use std::future::Future;
use std::sync::Arc;
use tokio::runtime::Handle;
use tonic::transport::Channel;
use types::SqlError;

/// See the module. Cheap to make: the connection is shared.
#[derive(Clone)]
pub struct StagesClient {
    name: String,
    client: Client<Channel>,
    link: Arc<Link>,
    runtime: Handle,
}

impl StagesClient {
    /// `name`: the node as messages call it. `runtime`: where the network is driven; queries, which ask
    /// for this, run on threads of their own.
    pub fn new(
        name: String,
        channels: &Channels,
        address: &str,
        runtime: Handle,
    ) -> Result<StagesClient, SqlError> {
        // A new connection belongs to the runtime that it is made in.
        let entered = runtime.enter();
        let channel = channels.to(address)?;
        drop(entered);
        let client =
            Client::new(channel).max_decoding_message_size(usize::MAX).max_encoding_message_size(usize::MAX);
        let link = channels.link(address, || Link::new(client.clone(), runtime.clone()));
        Ok(StagesClient { name, client, link, runtime })
    }

    /// Runs a call on the network's runtime; it ends when the caller goes.
    async fn call<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T, tonic::Status>> + Send + 'static,
    ) -> Result<T, SqlError> {
        let mut task = AbortOnDrop(self.runtime.spawn(call));
        match (&mut task.0).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) => Err(from_status(&self.name, &status)),
            Err(error) => Err(unreachable(&self.name, &error.to_string())),
        }
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What went wrong on the node, or that it is lost.
fn failure(name: &str, arrived: Option<Arrived>) -> SqlError {
    match arrived {
        Some(Ok(Reply::Failed(error))) => from_wire(error)
            .unwrap_or_else(|| SqlError::internal(format!("{name} failed for an unknown reason"))),
        Some(Ok(_)) => SqlError::internal(format!("{name} answered out of turn")),
        Some(Err(status)) => from_status(name, &status),
        None => unreachable(name, "the connection was closed"),
    }
}

#[async_trait]
impl StageService for StagesClient {
    async fn start(&self, request: StageRequest) -> Result<StageControl, SqlError> {
        let mut part = self.link.start(convert::request_to_wire(request));
        let name = self.name.clone();
        // The part ends when the control is dropped.
        let failed = stream::once(async move { failure(&name, part.queue.recv().await) });
        Ok(failed.chain(stream::pending()).boxed())
    }

    fn pull(&self, query: QueryId, exchange: ExchangeId, streams: &[usize]) -> Vec<ExchangeReceiver> {
        let opened = self.link.pull(query, exchange, streams).into_iter();
        opened.map(|stream| Reader::new(self.name.clone(), stream).rows()).collect()
    }

    async fn close(&self, pull: Pull) -> Result<(), SqlError> {
        self.link.unread(pull);
        Ok(())
    }

    fn tell(&self, query: QueryId, part: u32, told: ToldKeys) {
        self.link.tell(convert::told_to_wire(query, part, told));
    }

    async fn measure(&self, query: QueryId, part: u32) -> Result<Vec<(ExchangeId, Measured)>, SqlError> {
        let mut client = self.client.clone();
        let request = wire::MeasureRequest { query: Some(convert::query_to_wire(query)), part };
        let reply = self.call(async move { client.measure(request).await }).await?.into_inner();
        let stages = reply.stages.into_iter();
        Ok(stages
            .filter_map(|stage| Some((ExchangeId(stage.exchange), convert::measured(stage.plan?))))
            .collect())
    }
}

/// The consumer's end of a pull.
struct Reader {
    name: String,
    stream: Opened,
    decoder: Decoder,
    /// Bytes that were read and not yet granted anew.
    read: usize,
    ended: bool,
}

impl Reader {
    fn new(name: String, stream: Opened) -> Reader {
        Reader { name, stream, decoder: Decoder::default(), read: 0, ended: false }
    }

    fn rows(self) -> ExchangeReceiver {
        stream::unfold(self, |mut reader| async move {
            let item = reader.next().await?;
            Some((item.map_err(from_sql_error), reader))
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Result<RecordBatch, SqlError>> {
        if self.ended {
            return None;
        }
        let error = match self.stream.queue.recv().await {
            Some(Ok(Reply::Batch(mut batch))) => {
                if let Some(said) = batch.heard.take() {
                    pass_on(convert::heard(said));
                }
                self.read += batches::size(&batch);
                if self.read >= PULL_WINDOW / 4 {
                    self.stream.grant(std::mem::take(&mut self.read));
                }
                match self.decoder.decode(batch.rows) {
                    Ok(batch) => return Some(Ok(batch)),
                    Err(error) => {
                        SqlError::internal(format!("rows from {} came damaged: {error}", self.name))
                    }
                }
            }
            Some(Ok(Reply::End(end))) => {
                pass_on(convert::heard(end));
                self.ended = true;
                return None;
            }
            other => failure(&self.name, other),
        };
        self.ended = true;
        Some(Err(error))
    }
}
