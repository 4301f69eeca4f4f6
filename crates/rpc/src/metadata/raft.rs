//! Raft's messages between voters: one stream an address, opened when there is something to send.
//! Nothing here is reliable, and nothing has to be: Raft sends again.

use super::MAX_MESSAGE;
use crate::Channels;
use bytes::Bytes;
use catalog::{Catalog, NodeRole};
use parking_lot::Mutex;
use proto::metadata::RaftMessage;
use proto::metadata::metadata_client::MetadataClient;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use types::NodeId;

/// Messages that may wait for one voter; more are lost.
const QUEUED: usize = 1024;

/// The ways from this voter to the others.
pub struct RaftLinks {
    channels: Arc<Channels>,
    runtime: Handle,
    addresses: Mutex<HashMap<NodeId, String>>,
    queues: Mutex<HashMap<String, mpsc::Sender<RaftMessage>>>,
}

impl RaftLinks {
    /// `runtime` sends.
    pub fn new(channels: Arc<Channels>, runtime: Handle) -> RaftLinks {
        RaftLinks { channels, runtime, addresses: Mutex::default(), queues: Mutex::default() }
    }

    /// Learns where the masters of a catalog are.
    pub fn learn(&self, catalog: &Catalog) {
        let masters = catalog.nodes().filter(|node| node.role == NodeRole::Master);
        self.addresses.lock().extend(masters.map(|node| (node.id, node.address())));
    }

    /// Takes a message over without blocking. False: the voter is slow, away or unknown, and the
    /// message is lost.
    pub fn send(&self, to: NodeId, message: Vec<u8>) -> bool {
        let Some(address) = self.addresses.lock().get(&to).cloned() else { return false };
        let message = RaftMessage { message: Bytes::from(message) };
        let mut queues = self.queues.lock();
        let queue = queues.entry(address).or_insert_with_key(|address| {
            let (queue, receiver) = mpsc::channel(QUEUED);
            self.runtime.spawn(run(self.channels.clone(), address.clone(), receiver));
            queue
        });
        queue.try_send(message).is_ok()
    }
}

/// Sends what is queued for one voter, over one stream after the other. Ends with the links.
async fn run(channels: Arc<Channels>, address: String, mut queue: mpsc::Receiver<RaftMessage>) {
    while let Some(first) = queue.recv().await {
        let channel = match channels.to(&address) {
            Ok(channel) => channel,
            Err(error) => {
                tracing::warn!(%error, "a master cannot be reached");
                continue;
            }
        };
        let mut client = MetadataClient::new(channel).max_encoding_message_size(MAX_MESSAGE);
        let (sender, stream) = mpsc::channel(QUEUED);
        if sender.try_send(first).is_err() {
            continue;
        }
        let call = client.raft(ReceiverStream::new(stream));
        tokio::pin!(call);
        loop {
            tokio::select! {
                ended = &mut call => {
                    // What was in the stream is lost.
                    tracing::debug!(%address, ended = ?ended.err(), "a stream to a master ended");
                    break;
                }
                message = queue.recv() => match message {
                    // One too many is lost.
                    Some(message) => drop(sender.try_send(message)),
                    None => return,
                },
            }
        }
    }
}
