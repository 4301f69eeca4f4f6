//! The transport of a query that runs on several nodes: what producers here send lies in this node's
//! [`Channels`]; a consumer here reads its stream from them and pulls the rest from the other nodes.

use super::{Channels, ExchangeId, ExchangeReceiver, ExchangeSender, Transport};
use crate::error::from_sql_error;
use crate::spread::Source;
use crate::stages::{PULL_WINDOW, Pull, QueryId, StageNodes, StageService};
use arrow::array::RecordBatch;
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::stream::{self, Stream, StreamExt};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::runtime::Handle;
use types::NodeId;

/// See the module.
pub(crate) struct Pulled {
    pub(crate) query: QueryId,
    pub(crate) here: NodeId,
    pub(crate) local: Arc<Channels>,
    /// The exchanges that are read here and fed from elsewhere too.
    pub(crate) sources: HashMap<ExchangeId, Source>,
    /// This node, for what another part of the same query has here.
    pub(crate) own: Arc<dyn StageService>,
    pub(crate) nodes: Arc<dyn StageNodes>,
    pub(crate) memory: Arc<dyn MemoryPool>,
    pub(crate) runtime: Handle,
}

impl Transport for Pulled {
    fn sender(&self, exchange: ExchangeId, from: usize) -> Result<Box<dyn ExchangeSender>> {
        self.local.sender(exchange, from)
    }

    fn receiver(&self, exchange: ExchangeId, to: usize) -> Result<ExchangeReceiver> {
        let Some(source) = self.sources.get(&exchange) else { return self.local.receiver(exchange, to) };
        let mut streams = Vec::new();
        for node in source.of_stream(to) {
            if *node == self.here && self.local.feeds(exchange) {
                streams.push(self.local.receiver(exchange, to)?);
                continue;
            }
            let service = match *node == self.here {
                true => self.own.clone(),
                false => self.nodes.stages(*node).map_err(from_sql_error)?,
            };
            let memory = MemoryConsumer::new(format!("Pull[{exchange}]")).register(&self.memory);
            let pull = Pull { query: self.query, exchange, stream: to };
            let runtime = self.runtime.clone();
            let waiting = Waiting { service, pull, runtime };
            streams.push(Puller { waiting: Some(waiting), stream: None, memory }.boxed());
        }
        match streams.len() {
            0 => internal_err!("stream {to} of exchange {exchange} comes from no node"),
            1 => Ok(streams.remove(0)),
            _ => Ok(stream::select_all(streams).boxed()),
        }
    }
}

/// One stream of another node. It is asked for when it is first read; one that never is, is closed.
struct Puller {
    waiting: Option<Waiting>,
    stream: Option<ExchangeReceiver>,
    /// For what is on its way: the window, as long as the stream is open.
    memory: MemoryReservation,
}

struct Waiting {
    service: Arc<dyn StageService>,
    pull: Pull,
    runtime: Handle,
}

impl Stream for Puller {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(waiting) = self.waiting.take() {
            self.memory.grow(PULL_WINDOW);
            self.stream = Some(waiting.service.pull(waiting.pull));
        }
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let next = futures::ready!(stream.poll_next_unpin(cx));
        if !matches!(next, Some(Ok(_))) {
            self.stream = None;
            self.memory.free();
        }
        Poll::Ready(next)
    }
}

impl Drop for Puller {
    fn drop(&mut self) {
        if let Some(Waiting { service, pull, runtime }) = self.waiting.take() {
            runtime.spawn(async move {
                if let Err(error) = service.close(pull).await {
                    tracing::debug!(?pull, %error, "a stream that nobody reads could not be closed");
                }
            });
        }
    }
}
