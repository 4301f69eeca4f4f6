//! The answering end of the call that carries all streams between two processes (see [`super::link`]): a
//! task that takes requests, and one for each stream that is open.

use super::{batches, convert};
use crate::error::to_wire;
use exec::exchange::ExchangeReceiver;
use exec::{StageService, to_sql_error};
use futures::stream::StreamExt;
use parking_lot::Mutex;
use proto::stages as wire;
use proto::stages::exchange_reply::Reply;
use proto::stages::exchange_request::Request;
use std::collections::HashMap;
use std::sync::Arc;
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

/// The streams that are open.
#[derive(Default)]
pub(super) struct Streams {
    /// Credits go to the stream's task by these; a stream ends when its own is gone.
    credits: Mutex<HashMap<u32, mpsc::UnboundedSender<u64>>>,
    /// One has ended.
    ended: Notify,
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
                if streams.credits.lock().is_empty() {
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
        self.streams.credits.lock().clear();
    }

    fn take(&self, request: wire::ExchangeRequest) {
        let number = request.number;
        match request.request {
            Some(Request::Open(open)) => {
                let (more, credits) = mpsc::unbounded_channel();
                self.streams.credits.lock().insert(number, more);
                let outgoing = Outgoing {
                    number,
                    credit: i64::try_from(open.credit).unwrap_or(i64::MAX),
                    credits,
                    replies: self.replies.clone(),
                    streams: self.streams.clone(),
                };
                let asked = open.stream.ok_or_else(|| SqlError::internal("a pull came without its stream"));
                match asked.and_then(convert::stream) {
                    Ok(pull) => drop(tokio::spawn(outgoing.send(self.stages.pull(pull)))),
                    Err(error) => drop(tokio::spawn(outgoing.fail(error))),
                }
            }
            Some(Request::Credit(bytes)) => {
                // The stream may have ended.
                if let Some(stream) = self.streams.credits.lock().get(&number) {
                    let _ = stream.send(bytes);
                }
            }
            Some(Request::Close(_)) => drop(self.streams.credits.lock().remove(&number)),
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
}

/// Sends one stream.
struct Outgoing {
    number: u32,
    /// Bytes that may be sent.
    credit: i64,
    credits: mpsc::UnboundedReceiver<u64>,
    replies: mpsc::Sender<Result<wire::ExchangeReply, Status>>,
    streams: Arc<Streams>,
}

impl Outgoing {
    /// Sends the rows as far as there are credits, then the end.
    async fn send(mut self, mut rows: ExchangeReceiver) {
        let mut encoder = batches::Encoder::default();
        loop {
            let batch = tokio::select! {
                biased;
                more = self.credits.recv() => match more {
                    Some(more) => {
                        self.add(more);
                        continue;
                    }
                    None => return,
                },
                batch = rows.next() => batch,
            };
            let batch = match batch {
                None => break,
                Some(Ok(batch)) => batch,
                Some(Err(error)) => return self.fail(to_sql_error(&error)).await,
            };
            for piece in batches::pieces(batch) {
                while self.credit <= 0 {
                    match self.credits.recv().await {
                        Some(more) => self.add(more),
                        None => return,
                    }
                }
                let message = match piece.and_then(|piece| encoder.encode(&piece)) {
                    Ok(message) => message,
                    Err(error) => return self.fail(SqlError::internal(error)).await,
                };
                self.credit -= batches::size(&message) as i64;
                if !self.reply(Reply::Batch(message)).await {
                    return;
                }
            }
        }
        self.reply(Reply::End(wire::End {})).await;
    }

    async fn fail(self, error: SqlError) {
        self.reply(Reply::Failed(to_wire(&error))).await;
    }

    fn add(&mut self, bytes: u64) {
        self.credit = self.credit.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// False: the caller has gone.
    async fn reply(&self, reply: Reply) -> bool {
        self.replies.send(Ok(wire::ExchangeReply { number: self.number, reply: Some(reply) })).await.is_ok()
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.streams.credits.lock().remove(&self.number);
        self.streams.ended.notify_one();
    }
}
