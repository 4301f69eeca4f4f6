//! The answering end of the call that carries parts of queries and all streams between two processes (see
//! [`super::link`]): a task that takes requests, one for each part, and one for the streams that were asked for
//! together. That one sends what all of them have at a time: producers end together, and a message alone costs as
//! much as many rows.

use super::{batches, convert};
use crate::columns::Encoder;
use crate::error::to_wire;
use arrow::array::RecordBatch;
use exec::exchange::{ExchangeId, ExchangeReceiver};
use exec::stages::failed;
use exec::{Heard, StageService, hear, to_sql_error};
use futures::stream::StreamExt;
use futures::{FutureExt, ready};
use parking_lot::Mutex;
use proto::stages as wire;
use proto::stages::exchange_reply::Reply;
use proto::stages::exchange_request::Request;
use std::collections::HashMap;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{Notify, mpsc, watch};
use tonic::{Status, Streaming};
use types::SqlError;

/// Messages of all streams that wait for the connection, which the caller empties at once.
pub(super) const REPLIES: usize = 16;

/// See the module.
pub(super) struct Incoming {
    pub(super) stages: Arc<dyn StageService>,
    pub(super) replies: mpsc::Sender<Result<wire::ExchangeReply, Status>>,
    pub(super) streams: Arc<Streams>,
}

/// The streams that are open, and the parts of queries that were started.
#[derive(Default)]
pub(super) struct Streams {
    /// What the caller says of one goes to its task by these; the task ends when all of its own are gone.
    readers: Mutex<HashMap<u32, mpsc::UnboundedSender<(u32, Said)>>>,
    /// One has ended.
    ended: Notify,
}

/// What the caller says of a stream or a part.
enum Said {
    /// So many bytes more may be sent.
    Credit(u64),
    Close,
}

impl Incoming {
    /// Takes requests until the caller goes, or until a stop was asked for and no stream is left.
    pub(super) async fn serve(
        self,
        mut requests: Streaming<wire::ExchangeRequest>,
        mut stop: watch::Receiver<bool>,
    ) {
        let streams = self.streams.clone();
        let idle = async {
            if stop.wait_for(|stop| *stop).await.is_err() {
                // Whoever would ask for a stop is gone; the process itself ends the call.
                std::future::pending::<()>().await;
            }
            loop {
                let ended = streams.ended.notified();
                if streams.readers.lock().is_empty() {
                    return;
                }
                ended.await;
            }
        };
        let taken = async {
            while let Ok(Some(request)) = requests.message().await {
                self.take(request);
            }
        };
        tokio::select! {
            () = taken => {}
            () = idle => {}
            () = self.replies.closed() => {}
        }
        // Every stream ends.
        self.streams.readers.lock().clear();
    }

    fn take(&self, request: wire::ExchangeRequest) {
        let number = request.number;
        match request.request {
            Some(Request::Start(part)) => self.start(number, part),
            Some(Request::Open(open)) => self.open(number, open),
            Some(Request::Credit(bytes)) => {
                // The stream may have ended.
                if let Some(stream) = self.streams.readers.lock().get(&number) {
                    let _ = stream.send((number, Said::Credit(bytes)));
                }
            }
            Some(Request::Close(_)) => {
                if let Some(stream) = self.streams.readers.lock().remove(&number) {
                    let _ = stream.send((number, Said::Close));
                }
            }
            Some(Request::Unread(stream)) => {
                let stages = self.stages.clone();
                tokio::spawn(async move {
                    let closed = match convert::stream(stream) {
                        Ok(pull) => stages.close(pull).await,
                        Err(error) => Err(error),
                    };
                    if let Err(error) = closed {
                        tracing::debug!(%error, "a stream that nobody reads could not be closed");
                    }
                });
            }
            Some(Request::Told(told)) => match convert::told(told) {
                Ok((query, part, told)) => self.stages.tell(query, part, told),
                Err(error) => tracing::debug!(%error, "keys of a join came for no query"),
            },
            None => tracing::debug!("a request of an exchange was empty"),
        }
    }

    /// Takes a part of a query.
    fn start(&self, number: u32, part: wire::StartRequest) {
        let (caller, mut said) = mpsc::unbounded_channel();
        self.streams.readers.lock().insert(number, caller);
        let (stages, replies) = (self.stages.clone(), self.replies.clone());
        let listed = Listed { number, streams: self.streams.clone() };
        tokio::spawn(async move {
            let fails = async {
                let control = match convert::request(part) {
                    Ok(part) => stages.start(part).await,
                    Err(error) => Err(error),
                };
                match control {
                    Ok(mut control) => control.next().await,
                    Err(error) => Some(error),
                }
            };
            let fails = AssertUnwindSafe(fails).catch_unwind();
            tokio::select! {
                error = fails => {
                    let error = error.unwrap_or_else(|_| Some(SqlError::internal("a part of a query panicked")));
                    let error = error.unwrap_or_else(|| SqlError::internal("a part of a query was lost"));
                    let reply = wire::ExchangeReply { number, reply: Some(Reply::Failed(to_wire(&error))) };
                    // When the caller has gone, nobody wants to know.
                    let _ = replies.send(Ok(reply)).await;
                }
                // It is closed, or the call has ended; a part has no credits.
                _ = said.recv() => {}
            }
            drop(listed);
        });
    }

    /// Begins to send streams of which the first has the number.
    fn open(&self, first: u32, open: wire::Open) {
        let (reader, said) = mpsc::unbounded_channel();
        let numbers = || (first..=u32::MAX).take(open.streams.len());
        self.streams.readers.lock().extend(numbers().map(|number| (number, reader.clone())));
        let query = convert::query(open.query);
        let wanted: Vec<usize> = open.streams.iter().map(|stream| *stream as usize).collect();
        let streams = query.map(|query| self.stages.pull(query, ExchangeId(open.exchange), &wanted));
        let streams = streams.unwrap_or_else(|error| failed(&error, wanted.len()));
        let credit = i64::try_from(open.credit).unwrap_or(i64::MAX);
        let lanes = numbers().zip(streams).map(|(number, rows)| Lane::new(number, credit, rows)).collect();
        let outgoing = Outgoing { lanes, said, replies: self.replies.clone(), streams: self.streams.clone() };
        tokio::spawn(outgoing.send());
    }
}

/// A part in the list of its call.
struct Listed {
    number: u32,
    streams: Arc<Streams>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.streams.readers.lock().remove(&self.number);
        self.streams.ended.notify_one();
    }
}

/// Bytes that are sent together before what else is ready.
const TOGETHER: usize = 256 << 10;

/// Sends streams that were asked for together.
struct Outgoing {
    /// Those that have not ended.
    lanes: Vec<Lane>,
    said: mpsc::UnboundedReceiver<(u32, Said)>,
    replies: mpsc::Sender<Result<wire::ExchangeReply, Status>>,
    streams: Arc<Streams>,
}

/// One stream.
struct Lane {
    number: u32,
    /// Bytes that may be sent.
    credit: i64,
    rows: ExchangeReceiver,
    /// What is left of a batch.
    pieces: Box<dyn Iterator<Item = RecordBatch> + Send>,
    encoder: Encoder,
    /// What goes with the next message.
    heard: Heard,
}

impl Outgoing {
    /// Sends rows as far as there are credits, and the end of each stream.
    async fn send(mut self) {
        loop {
            let replies = poll_fn(|cx| self.poll_replies(cx)).await;
            if replies.is_empty() {
                return;
            }
            for reply in replies {
                // When the caller has gone, nothing is left to do.
                if self.replies.send(Ok(reply)).await.is_err() {
                    return;
                }
            }
        }
    }

    /// What is ready to be sent; nothing when all streams have ended.
    fn poll_replies(&mut self, cx: &mut Context<'_>) -> Poll<Vec<wire::ExchangeReply>> {
        while let Poll::Ready(said) = self.said.poll_recv(cx) {
            match said {
                Some((number, Said::Credit(bytes))) => {
                    if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.number == number) {
                        lane.credit = lane.credit.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX));
                    }
                }
                Some((number, Said::Close)) => self.end(|lane| lane.number == number),
                None => {
                    self.end(|_| true);
                    break;
                }
            }
        }
        let (mut replies, mut bytes) = (Vec::new(), 0);
        while bytes < TOGETHER {
            let before = replies.len();
            let mut ended = Vec::new();
            for lane in &mut self.lanes {
                let Poll::Ready(reply) = lane.poll_reply(cx) else { continue };
                match &reply {
                    Reply::Batch(batch) => bytes += batches::size(batch),
                    Reply::End(_) | Reply::Failed(_) => ended.push(lane.number),
                }
                replies.push(wire::ExchangeReply { number: lane.number, reply: Some(reply) });
            }
            if !ended.is_empty() {
                self.end(|lane| ended.contains(&lane.number));
            }
            if replies.len() == before {
                break;
            }
        }
        if replies.is_empty() && !self.lanes.is_empty() { Poll::Pending } else { Poll::Ready(replies) }
    }

    fn end(&mut self, which: impl Fn(&Lane) -> bool) {
        let mut readers = self.streams.readers.lock();
        self.lanes.retain(|lane| {
            let ends = which(lane);
            if ends {
                readers.remove(&lane.number);
            }
            !ends
        });
        drop(readers);
        self.streams.ended.notify_one();
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.end(|_| true);
    }
}

impl Lane {
    fn new(number: u32, credit: i64, rows: ExchangeReceiver) -> Lane {
        let pieces = Box::new(std::iter::empty());
        Lane { number, credit, rows, pieces, heard: Heard::default(), encoder: Encoder::default() }
    }

    /// The next message of the stream, as far as there are credits.
    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Reply> {
        loop {
            if self.credit <= 0 {
                // Credits wake the task.
                return Poll::Pending;
            }
            if let Some(piece) = self.pieces.next() {
                return Poll::Ready(match self.encoder.encode(&piece) {
                    Ok(rows) => {
                        let heard = std::mem::take(&mut self.heard);
                        let heard = (!heard.is_empty()).then(|| convert::heard_to_wire(heard));
                        let message = wire::Batch { rows, heard };
                        self.credit -= batches::size(&message) as i64;
                        Reply::Batch(message)
                    }
                    Err(error) => Reply::Failed(to_wire(&SqlError::internal(error))),
                });
            }
            let (polled, heard) = hear(|| self.rows.poll_next_unpin(cx));
            self.heard.append(heard);
            match ready!(polled) {
                None => {
                    return Poll::Ready(Reply::End(convert::heard_to_wire(std::mem::take(&mut self.heard))));
                }
                Some(Ok(batch)) => self.pieces = Box::new(batches::pieces(batch)),
                Some(Err(error)) => return Poll::Ready(Reply::Failed(to_wire(&to_sql_error(&error)))),
            }
        }
    }
}
