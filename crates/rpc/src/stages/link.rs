//! The caller's end of the one call that carries parts of queries and all streams between two processes.
//!
//! A query pulls hundreds of short streams, most of a batch or none. A call for each would cost more than its
//! rows: headers, trailers and several changes of threads. So a [`Link`] opens one call to each process, when
//! it is first needed, and numbers the streams in it. What comes is handed at once to the stream it
//! belongs to, whose credits bound what may lie there (see [`super`]); so no stream holds up another. A part of a
//! query has a number too, and what goes wrong in it comes as the one answer to that.
//!
//! When the call breaks, everything in it fails, and the next stream to be opened begins a new call.

use super::convert;
use exec::exchange::ExchangeId;
use exec::stages::{PULL_WINDOW, Pull, QueryId};
use parking_lot::Mutex;
use proto::stages as wire;
use proto::stages::stages_client::StagesClient as Client;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Status;
use tonic::transport::Channel;

/// What comes for one stream; an error is the call's, and the last.
pub(super) type Arrived = Result<wire::exchange_reply::Reply, Status>;

/// See the module.
pub(crate) struct Link {
    client: Client<Channel>,
    runtime: Handle,
    call: Mutex<Option<Call>>,
}

#[derive(Clone)]
struct Call {
    /// The call ends when all of these are gone.
    requests: mpsc::UnboundedSender<wire::ExchangeRequest>,
    streams: Arc<Mutex<Streams>>,
}

#[derive(Default)]
struct Streams {
    last: u32,
    open: HashMap<u32, mpsc::UnboundedSender<Arrived>>,
    /// No stream is opened any more.
    ended: bool,
}

/// A stream that was opened, or a part that was started. Dropping it tells the other process that no more is wanted.
pub(super) struct Opened {
    pub(super) queue: mpsc::UnboundedReceiver<Arrived>,
    number: u32,
    call: Call,
}

impl Link {
    pub(super) fn new(client: Client<Channel>, runtime: Handle) -> Link {
        Link { client, runtime, call: Mutex::new(None) }
    }

    /// Asks for streams of one exchange. That the process cannot be reached shows in each.
    pub(super) fn pull(&self, query: QueryId, exchange: ExchangeId, wanted: &[usize]) -> Vec<Opened> {
        let open = wire::Open {
            query: Some(convert::query_to_wire(query)),
            exchange: exchange.0,
            streams: wanted.iter().map(|stream| *stream as u32).collect(),
            credit: PULL_WINDOW as u64,
        };
        self.open(wanted.len(), wire::exchange_request::Request::Open(open)).collect()
    }

    /// Starts a part of a query, which ends when this is dropped. That the process cannot be reached shows here too.
    pub(super) fn start(&self, part: wire::StartRequest) -> Opened {
        let mut opened = self.open(1, wire::exchange_request::Request::Start(part));
        // Invariant: as many are opened as were asked for.
        opened.next().expect("one was opened")
    }

    /// Gives the request that opens them and so many numbers to the call.
    fn open(
        &self,
        count: usize,
        request: wire::exchange_request::Request,
    ) -> impl Iterator<Item = Opened> + use<> {
        let (queues, arrivals): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let count = count as u32;
        let (first, call) = self.with_call(|call| {
            let mut streams = call.streams.lock();
            // A call whose numbers are used up gives way to a new one.
            let last = streams.last.checked_add(count).filter(|_| !streams.ended)?;
            let first = streams.last + 1;
            streams.last = last;
            streams.open.extend((first..).zip(queues.iter().cloned()));
            Some((first, call.clone()))
        });
        call.send(first, request);
        (first..).zip(arrivals).map(move |(number, queue)| Opened { queue, number, call: call.clone() })
    }

    /// Says that a stream will not be asked for.
    pub(super) fn unread(&self, pull: Pull) {
        self.say(wire::exchange_request::Request::Unread(convert::stream_to_wire(pull)));
    }

    /// Tells the other process keys of a join.
    pub(super) fn tell(&self, told: wire::ToldKeys) {
        self.say(wire::exchange_request::Request::Told(told));
    }

    /// Sends what belongs to no stream and is not answered.
    fn say(&self, request: wire::exchange_request::Request) {
        let call = self.with_call(|call| (!call.streams.lock().ended).then(|| call.clone()));
        call.send(0, request);
    }

    /// What `with` makes of the call that is open, or else of a new one.
    fn with_call<T>(&self, with: impl Fn(&Call) -> Option<T>) -> T {
        let mut current = self.call.lock();
        loop {
            let call = current.get_or_insert_with(|| self.begin());
            if let Some(made) = with(call) {
                return made;
            }
            *current = None;
        }
    }

    fn begin(&self) -> Call {
        let (requests, outgoing) = mpsc::unbounded_channel();
        let streams = Arc::<Mutex<Streams>>::default();
        self.runtime.spawn(drive(self.client.clone(), outgoing, streams.clone()));
        Call { requests, streams }
    }
}

impl Call {
    fn send(&self, number: u32, request: wire::exchange_request::Request) {
        // When the call has ended, the stream says so.
        let _ = self.requests.send(wire::ExchangeRequest { number, request: Some(request) });
    }
}

impl Opened {
    /// Grants the other process so many bytes more.
    pub(super) fn grant(&self, bytes: usize) {
        self.call.send(self.number, wire::exchange_request::Request::Credit(bytes as u64));
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // Unless the other process has said already that this is the end.
        if self.call.streams.lock().open.remove(&self.number).is_some() {
            self.call.send(self.number, wire::exchange_request::Request::Close(wire::Closed {}));
        }
    }
}

/// Hands what comes to its stream, until the call ends.
async fn drive(
    mut client: Client<Channel>,
    outgoing: mpsc::UnboundedReceiver<wire::ExchangeRequest>,
    streams: Arc<Mutex<Streams>>,
) {
    let ended = match client.exchange(UnboundedReceiverStream::new(outgoing)).await {
        Err(status) => status,
        Ok(replies) => {
            let mut replies = replies.into_inner();
            loop {
                match replies.message().await {
                    Ok(Some(reply)) => hand_out(&streams, reply),
                    Ok(None) => break Status::unavailable("the connection was closed"),
                    Err(status) => break status,
                }
            }
        }
    };
    let left = {
        let mut streams = streams.lock();
        streams.ended = true;
        std::mem::take(&mut streams.open)
    };
    for stream in left.into_values() {
        // Its reader may have gone.
        let _ = stream.send(Err(ended.clone()));
    }
}

fn hand_out(streams: &Mutex<Streams>, reply: wire::ExchangeReply) {
    use wire::exchange_reply::Reply;
    let arrived = match reply.reply {
        Some(reply) => Ok(reply),
        None => Err(Status::internal("an answer was empty")),
    };
    let mut streams = streams.lock();
    // A stream that was closed meanwhile is no longer here.
    let stream = match arrived {
        Ok(Reply::Batch(_)) => streams.open.get(&reply.number).cloned(),
        _ => streams.open.remove(&reply.number),
    };
    drop(streams);
    if let Some(stream) = stream {
        let _ = stream.send(arrived);
    }
}
