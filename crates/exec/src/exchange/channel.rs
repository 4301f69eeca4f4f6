//! The transport within a process: one queue for each consumer of an exchange, behind one lock for
//! each exchange.
//!
//! A queue is full with a number of batches or of bytes, whichever comes first.
//! A producer waits only while its queue is full *and* every other open queue of the exchange holds
//! something. So whichever consumer runs next finds data: consumers that wait for each other (two
//! partitions of a join whose build sides must both be complete, say) never stop the producers that
//! feed them. The price is a queue that can grow past its capacity while another one is empty; what
//! the query's memory does not hold goes to a file.
//!
//! A queue of a patient exchange hands its batches on when they are some hundreds of kilobytes, when no more come,
//! or when a producer begins to wait: so the rule above holds for it too.

use super::{ExchangeId, ExchangeReceiver, ExchangeSender, ExchangeShape, Sent, Transport};
use crate::memory::QueryPool;
use crate::stages::Pull;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use columnstore::batch_bytes;
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::SpillFile;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::SpillManager;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, SpillMetrics};
use futures::stream::{BoxStream, Stream};
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

/// Batches that a queue holds before its producers wait.
pub const DEFAULT_CAPACITY: usize = 4;

/// Bytes of batches in memory that a queue holds before its producers wait, whatever their number: wide
/// rows make batches of megabytes, and a consumer that does not read must not cost many of them.
const QUEUE_BYTES: usize = 1 << 20;

/// Bytes of batches in memory that a patient exchange hands on together; between processes they are a fraction of it.
const PATIENT_BYTES: usize = 256 << 10;

/// The exchanges of one query.
pub struct Channels {
    exchanges: HashMap<ExchangeId, Arc<Exchange>>,
}

impl Channels {
    /// `capacity`: batches a queue holds before its producers wait, at least 1.
    pub fn new(
        shapes: impl IntoIterator<Item = (ExchangeId, SchemaRef, ExchangeShape)>,
        capacity: usize,
        env: &Arc<RuntimeEnv>,
    ) -> Channels {
        let exchanges = shapes
            .into_iter()
            .map(|(id, schema, shape)| (id, Arc::new(Exchange::new(id, schema, shape, capacity.max(1), env))))
            .collect();
        Channels { exchanges }
    }

    /// Whether tasks of this node send to the exchange.
    pub(crate) fn feeds(&self, id: ExchangeId) -> bool {
        self.exchanges.contains_key(&id)
    }

    /// The receiving end that another node, or another part of the query, asked for.
    pub(crate) fn receiver_of(&self, pull: Pull) -> Result<ExchangeReceiver> {
        self.receiver(pull.exchange, pull.stream)
    }

    /// Fails every exchange that is not complete: the query has ended.
    pub(crate) fn fail(&self, error: &Arc<DataFusionError>) {
        self.exchanges.values().for_each(|exchange| exchange.fail(error.clone()));
    }

    fn exchange(&self, id: ExchangeId) -> Result<&Arc<Exchange>> {
        match self.exchanges.get(&id) {
            Some(exchange) => Ok(exchange),
            None => internal_err!("the query has no exchange {id}"),
        }
    }
}

impl Transport for Channels {
    fn sender(&self, id: ExchangeId, from: usize) -> Result<Box<dyn ExchangeSender>> {
        let exchange = self.exchange(id)?;
        if !exchange.shape.producers.contains(&from) {
            return internal_err!("exchange {id} has no producer {from}");
        }
        Ok(Box::new(Sender { exchange: exchange.clone(), from, done: false }))
    }

    fn receiver(&self, id: ExchangeId, to: usize) -> Result<ExchangeReceiver> {
        let exchange = self.exchange(id)?;
        if to >= exchange.shape.consumers {
            return internal_err!("exchange {id} has no consumer {to}");
        }
        if exchange.taken[to].swap(true, Ordering::Relaxed) {
            return internal_err!("consumer {to} of exchange {id} was opened twice");
        }
        Ok(Receiver { exchange: exchange.clone(), to, reading: None }.boxed())
    }
}

struct Exchange {
    id: ExchangeId,
    shape: ExchangeShape,
    capacity: usize,
    /// Which receivers have been given out.
    taken: Vec<AtomicBool>,
    memory: MemoryReservation,
    spill: SpillManager,
    /// The query's pool.
    pool: Arc<dyn MemoryPool>,
    state: Mutex<State>,
}

struct State {
    queues: Vec<Queue>,
    /// Producers that wait for room.
    waiting: Vec<Waker>,
    /// The first failure of a producer.
    error: Option<Arc<DataFusionError>>,
}

struct Queue {
    batches: VecDeque<Queued>,
    /// What they hold in memory.
    bytes: usize,
    /// Producers that may still send here.
    producers: usize,
    closed: bool,
    /// What there is may be read; of a patient exchange.
    ripe: bool,
    reader: Option<Waker>,
}

enum Queued {
    Held { batch: RecordBatch, bytes: usize },
    Spilled(Arc<dyn SpillFile>),
}

impl Queue {
    fn is_full(&self, capacity: usize) -> bool {
        self.batches.len() >= capacity || self.bytes >= QUEUE_BYTES
    }

    /// Lets what there is be read. Gives the reader that waits for it.
    fn ripen(&mut self) -> Option<Waker> {
        self.ripe = !self.batches.is_empty();
        if self.ripe { self.reader.take() } else { None }
    }
}

impl Queued {
    /// What it holds in memory.
    fn bytes(&self) -> usize {
        match self {
            Queued::Held { bytes, .. } => *bytes,
            Queued::Spilled(_) => 0,
        }
    }
}

impl Exchange {
    fn new(
        id: ExchangeId,
        schema: SchemaRef,
        shape: ExchangeShape,
        capacity: usize,
        env: &Arc<RuntimeEnv>,
    ) -> Exchange {
        let producers = |to: &usize| match shape.apart {
            true => usize::from(shape.producers.contains(to)),
            false => shape.producers.len(),
        };
        let queues = (0..shape.consumers)
            .map(|to| Queue {
                batches: VecDeque::new(),
                bytes: 0,
                producers: producers(&to),
                closed: false,
                ripe: false,
                reader: None,
            })
            .collect();
        let pool: &Arc<dyn MemoryPool> = &env.memory_pool;
        Exchange {
            id,
            capacity,
            taken: (0..shape.consumers).map(|_| AtomicBool::new(false)).collect(),
            shape,
            memory: MemoryConsumer::new(format!("Exchange[{id}]")).with_can_spill(true).register(pool),
            pool: pool.clone(),
            spill: SpillManager::new(
                env.clone(),
                SpillMetrics::new(&ExecutionPlanMetricsSet::new(), 0),
                schema,
            ),
            state: Mutex::new(State { queues, waiting: Vec::new(), error: None }),
        }
    }

    /// Takes the batch if there is room or no need to wait for it.
    fn poll_send(&self, to: usize, batch: &mut Option<Queued>, cx: &mut Context<'_>) -> Poll<Result<Sent>> {
        let (taken, readers) = {
            let mut state = self.state.lock();
            let state = &mut *state;
            if let Some(error) = &state.error {
                return Poll::Ready(Err(DataFusionError::Shared(error.clone())));
            }
            if state.queues[to].closed {
                self.release(batch.take());
                let all = self.shape.apart || state.queues.iter().all(|q| q.closed);
                return Poll::Ready(Ok(if all { Sent::AllClosed } else { Sent::Closed }));
            }
            let full = state.queues[to].is_full(self.capacity);
            if full && (self.shape.apart || state.queues.iter().all(|q| q.closed || !q.batches.is_empty())) {
                state.waiting.push(cx.waker().clone());
                (false, state.queues.iter_mut().filter_map(Queue::ripen).collect())
            } else {
                let queue = &mut state.queues[to];
                let spilled = matches!(batch, Some(Queued::Spilled(_)));
                queue.bytes += batch.as_ref().map_or(0, Queued::bytes);
                queue.batches.extend(batch.take());
                let waits = self.shape.patient
                    && !spilled
                    && queue.bytes < PATIENT_BYTES
                    && !queue.is_full(self.capacity);
                (true, if waits { Vec::new() } else { Vec::from_iter(queue.ripen()) })
            }
        };
        readers.into_iter().for_each(Waker::wake);
        if taken { Poll::Ready(Ok(Sent::Taken)) } else { Poll::Pending }
    }

    fn poll_receive(&self, to: usize, cx: &mut Context<'_>) -> Poll<Option<Result<Queued>>> {
        let (item, waiting) = {
            let mut state = self.state.lock();
            let state = &mut *state;
            if let Some(error) = &state.error {
                return Poll::Ready(Some(Err(DataFusionError::Shared(error.clone()))));
            }
            let queue = &mut state.queues[to];
            let may_read = !self.shape.patient || queue.ripe || queue.producers == 0;
            match queue.batches.pop_front_if(|_| may_read) {
                Some(item) => {
                    queue.bytes -= item.bytes();
                    queue.ripe = queue.ripe && !queue.batches.is_empty();
                    (item, std::mem::take(&mut state.waiting))
                }
                None if queue.producers == 0 => return Poll::Ready(None),
                None => {
                    queue.reader = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
        };
        for waker in waiting {
            waker.wake();
        }
        Poll::Ready(Some(Ok(item)))
    }

    /// Counts the batch to the query's memory, or writes it to a file where there is none left.
    fn admit(&self, batch: RecordBatch) -> Result<Queued> {
        let bytes = batch_bytes(&batch);
        match self.memory.try_grow(bytes) {
            Ok(()) => Ok(Queued::Held { batch, bytes }),
            Err(refused) => {
                let spilled = crate::runtime::blocking(|| {
                    self.spill.spill_record_batch_and_finish(&[batch], "exchange")
                });
                match spilled {
                    Ok(Some(file)) => {
                        if let Some(pool) = self.pool.downcast_ref::<QueryPool>() {
                            pool.note_spilled(bytes);
                        }
                        Ok(Queued::Spilled(file))
                    }
                    // No batch is empty here, so a missing file means that spilling is turned off.
                    Ok(None) => Err(refused),
                    Err(error) => Err(error),
                }
            }
        }
    }

    fn release(&self, item: Option<Queued>) {
        if let Some(Queued::Held { bytes, .. }) = item {
            self.memory.shrink(bytes);
        }
    }

    fn finish(&self, from: usize) {
        let readers = {
            let mut state = self.state.lock();
            let mut readers = Vec::new();
            for (to, queue) in state.queues.iter_mut().enumerate() {
                if !self.shape.apart || to == from {
                    queue.producers -= 1;
                    if queue.producers == 0 {
                        readers.extend(queue.reader.take());
                    }
                }
            }
            readers
        };
        readers.into_iter().for_each(Waker::wake);
    }

    fn fail(&self, error: Arc<DataFusionError>) {
        let wakers = {
            let mut state = self.state.lock();
            state.error.get_or_insert(error);
            let mut wakers = std::mem::take(&mut state.waiting);
            wakers.extend(state.queues.iter_mut().filter_map(|q| q.reader.take()));
            wakers
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn close(&self, to: usize) {
        let (rest, waiting) = {
            let mut state = self.state.lock();
            let state = &mut *state;
            let queue = &mut state.queues[to];
            queue.closed = true;
            queue.reader = None;
            queue.bytes = 0;
            (std::mem::take(&mut queue.batches), std::mem::take(&mut state.waiting))
        };
        for item in rest {
            self.release(Some(item));
        }
        waiting.into_iter().for_each(Waker::wake);
    }
}

struct Sender {
    exchange: Arc<Exchange>,
    from: usize,
    done: bool,
}

#[async_trait]
impl ExchangeSender for Sender {
    async fn send(&mut self, to: usize, batch: RecordBatch) -> Result<Sent> {
        if self.exchange.shape.apart && to != self.from {
            return internal_err!(
                "producer {} of exchange {} cannot send to {to}",
                self.from,
                self.exchange.id
            );
        }
        if batch.num_rows() == 0 {
            return Ok(Sent::Taken);
        }
        let mut item = Some(self.exchange.admit(batch)?);
        poll_fn(|cx| self.exchange.poll_send(to, &mut item, cx)).await
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        self.done = true;
        self.exchange.finish(self.from);
        Ok(())
    }

    async fn fail(mut self: Box<Self>, error: Arc<DataFusionError>) {
        self.done = true;
        self.exchange.fail(error);
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if !self.done {
            let gone: Result<()> =
                exec_err!("a task of stage {} ended before it had sent all of its rows", self.exchange.id);
            // Invariant: exec_err! is an error.
            self.exchange.fail(Arc::new(gone.expect_err("an error")));
        }
    }
}

struct Receiver {
    exchange: Arc<Exchange>,
    to: usize,
    /// A batch on its way back from a file.
    reading: Option<BoxStream<'static, Result<RecordBatch>>>,
}

impl Stream for Receiver {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(reading) = &mut self.reading {
                match futures::ready!(reading.poll_next_unpin(cx)) {
                    Some(batch) => return Poll::Ready(Some(batch)),
                    None => self.reading = None,
                }
            }
            // A consumer that always finds data gives way to others from time to time.
            let coop = std::pin::pin!(tokio::task::coop::cooperative(poll_fn(|cx| {
                self.exchange.poll_receive(self.to, cx)
            })))
            .poll_unpin(cx);
            match futures::ready!(coop) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(Queued::Held { batch, bytes })) => {
                    self.exchange.memory.shrink(bytes);
                    return Poll::Ready(Some(Ok(batch)));
                }
                Some(Ok(Queued::Spilled(file))) => {
                    let stream = self.exchange.spill.read_spill_as_stream_unbuffered(file, None)?;
                    self.reading = Some(stream.boxed());
                }
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.exchange.close(self.to);
    }
}

#[cfg(test)]
mod tests;
