//! The transport of a query that runs on several nodes: what producers here send lies in this node's
//! [`Channels`]; a consumer here reads its stream from them and pulls the rest from the other nodes.
//!
//! Consumers of an exchange ask a node for their streams together, when the first of them reads: a message
//! between processes costs as much as many rows. What all of them begin with is asked for as the part of the query
//! begins, for all exchanges at once: that saves messages, and the time that each would wait for the one before.

use super::{Channels, ExchangeId, ExchangeReceiver, ExchangeSender, ReceiveExec, Transport};
use crate::error::from_sql_error;
use crate::query::LocalStage;
use crate::spread::Source;
use crate::stages::{PULL_WINDOW, Pull, QueryId, StageNodes, StageService};
use arrow::array::RecordBatch;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::stream::{self, Stream, StreamExt};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
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
    pub(crate) pulls: Mutex<HashMap<(ExchangeId, NodeId), Arc<Pulls>>>,
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
            streams.push(self.pulls(exchange, *node)?.stream(to, &self.memory).boxed());
        }
        match streams.len() {
            0 => internal_err!("stream {to} of exchange {exchange} comes from no node"),
            1 => Ok(streams.remove(0)),
            _ => Ok(stream::select_all(streams).boxed()),
        }
    }
}

impl Pulled {
    /// Asks for what these stages begin with. Whoever reads it later finds it asked for.
    pub(crate) fn ask_first(&self, stages: &[LocalStage]) -> Result<()> {
        for stage in stages {
            stage.plan.apply(|node| {
                if let Some(receive) = node.downcast_ref::<ReceiveExec>()
                    && let Some(source) = self.sources.get(&receive.exchange()).filter(|source| source.first)
                {
                    self.ask(source, receive.streams())?;
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(())
    }

    fn ask(&self, source: &Source, streams: &[usize]) -> Result<()> {
        let mut wanted: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
        for stream in streams {
            for node in source.of_stream(*stream) {
                wanted.entry(*node).or_default().push(*stream);
            }
        }
        for (node, streams) in wanted {
            if node != self.here || !self.local.feeds(source.exchange) {
                self.pulls(source.exchange, node)?.ask_for(&streams, &self.memory);
            }
        }
        Ok(())
    }

    /// What is pulled from a node's producers of an exchange.
    fn pulls(&self, exchange: ExchangeId, node: NodeId) -> Result<Arc<Pulls>> {
        let mut pulls = self.pulls.lock();
        if let Some(known) = pulls.get(&(exchange, node)) {
            return Ok(known.clone());
        }
        let service = match node == self.here {
            true => self.own.clone(),
            false => self.nodes.stages(node).map_err(from_sql_error)?,
        };
        let (query, runtime) = (self.query, self.runtime.clone());
        let new = Arc::new(Pulls { service, query, exchange, runtime, streams: Mutex::default() });
        pulls.insert((exchange, node), new.clone());
        Ok(new)
    }
}

/// The streams of this node's consumers of an exchange that come from one other node.
pub(crate) struct Pulls {
    service: Arc<dyn StageService>,
    query: QueryId,
    exchange: ExchangeId,
    runtime: Handle,
    /// Those that nobody has read from yet, by their numbers.
    streams: Mutex<BTreeMap<usize, Unread>>,
}

struct Unread {
    /// None: not asked for yet.
    stream: Option<ExchangeReceiver>,
    /// For what is on its way: the window, as long as the stream is open.
    memory: MemoryReservation,
}

impl Pulls {
    fn stream(self: &Arc<Pulls>, number: usize, memory: &Arc<dyn MemoryPool>) -> Puller {
        self.expect(&mut self.streams.lock(), number, memory);
        Puller { pulls: self.clone(), number, open: None }
    }

    fn expect(&self, streams: &mut BTreeMap<usize, Unread>, number: usize, memory: &Arc<dyn MemoryPool>) {
        streams.entry(number).or_insert_with(|| Unread {
            stream: None,
            memory: MemoryConsumer::new(format!("Pull[{}]", self.exchange)).register(memory),
        });
    }

    fn ask_for(&self, numbers: &[usize], memory: &Arc<dyn MemoryPool>) {
        let mut streams = self.streams.lock();
        for number in numbers {
            self.expect(&mut streams, *number, memory);
        }
        self.ask(&mut streams);
    }

    /// Takes a stream to read it. If it was not asked for yet, all that were not are.
    fn take(&self, number: usize) -> Option<Open> {
        let mut streams = self.streams.lock();
        if streams.get(&number)?.stream.is_none() {
            self.ask(&mut streams);
        }
        let Unread { stream, memory } = streams.remove(&number)?;
        Some(Open { stream: stream?, _memory: memory })
    }

    /// Asks for those that were not asked for yet.
    fn ask(&self, streams: &mut BTreeMap<usize, Unread>) {
        let asked = |(number, unread): (&usize, &Unread)| unread.stream.is_none().then_some(*number);
        let numbers: Vec<usize> = streams.iter().filter_map(asked).collect();
        for (number, stream) in numbers.iter().zip(self.service.pull(self.query, self.exchange, &numbers)) {
            let Some(unread) = streams.get_mut(number) else { continue };
            unread.memory.grow(PULL_WINDOW);
            unread.stream = Some(stream);
        }
    }

    /// Nobody will read a stream.
    fn close(&self, number: usize) {
        let Some(unread) = self.streams.lock().remove(&number) else { return };
        // One that was asked for may not have been opened yet; then nobody would close it.
        drop(unread);
        let service = self.service.clone();
        let pull = Pull { query: self.query, exchange: self.exchange, stream: number };
        self.runtime.spawn(async move {
            if let Err(error) = service.close(pull).await {
                tracing::debug!(?pull, %error, "a stream that nobody reads could not be closed");
            }
        });
    }
}

struct Open {
    stream: ExchangeReceiver,
    _memory: MemoryReservation,
}

/// One stream of another node. One that is never read is closed.
struct Puller {
    pulls: Arc<Pulls>,
    number: usize,
    /// From the first read to the end.
    open: Option<Open>,
}

impl Stream for Puller {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.open.is_none() {
            self.open = self.pulls.take(self.number);
        }
        let Some(open) = &mut self.open else { return Poll::Ready(None) };
        let next = futures::ready!(open.stream.poll_next_unpin(cx));
        if !matches!(next, Some(Ok(_))) {
            self.open = None;
        }
        Poll::Ready(next)
    }
}

impl Drop for Puller {
    fn drop(&mut self) {
        self.pulls.close(self.number);
    }
}
