//! What carries batches between tasks. One [`Transport`] serves one query; within a process it is
//! [`Channels`](super::Channels), between processes a network client behind the same trait.

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use futures::stream::BoxStream;
use std::fmt;
use std::sync::Arc;

/// Names an exchange within its query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeId(pub u32);

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The ends of an exchange, as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeShape {
    /// The numbers of the tasks that send from here.
    pub producers: Vec<usize>,
    /// Streams that are received, here and elsewhere.
    pub consumers: usize,
    /// Producer `i` sends to consumer stream `i` and to no other (streams that are merged by order
    /// must stay apart). Else every producer may send to every consumer.
    pub apart: bool,
    /// Few rows may wait for more before they are handed on: each message between processes costs far more
    /// than its rows, if they are few.
    pub patient: bool,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way.
    Taken,
    /// That consumer wants no more; others may.
    Closed,
    /// No consumer wants more: the producer should stop.
    AllClosed,
}

/// Receives what the producers of an exchange sent to one consumer.
pub type ExchangeReceiver = BoxStream<'static, Result<RecordBatch>>;

/// The sending end that one producer task holds. Dropping it without [`ExchangeSender::finish`]
/// fails the exchange, so that a consumer never takes a broken stream for a complete one.
#[async_trait]
pub trait ExchangeSender: Send {
    /// Waits for room, then sends. A producer waits only while every consumer that it may send to
    /// has something to read, so that consumers that wait for each other cannot deadlock.
    async fn send(&mut self, to: usize, batch: RecordBatch) -> Result<Sent>;

    /// Says that this producer has sent all.
    async fn finish(self: Box<Self>) -> Result<()>;

    /// Fails the exchange: each of its consumers gets the error.
    async fn fail(self: Box<Self>, error: Arc<DataFusionError>);
}

/// Carries the batches of one query.
pub trait Transport: Send + Sync {
    /// The sending end of producer `from`. Called once for each producer.
    fn sender(&self, exchange: ExchangeId, from: usize) -> Result<Box<dyn ExchangeSender>>;

    /// The receiving end of consumer `to`. Called at most once for each consumer; dropping the
    /// receiver closes it.
    fn receiver(&self, exchange: ExchangeId, to: usize) -> Result<ExchangeReceiver>;
}
