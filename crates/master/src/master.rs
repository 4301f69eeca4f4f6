//! The handle that the rest of the process holds.

use crate::replica::{Input, Replica, Reply};
use crate::store::{RaftStore, RocksStore, check_entry};
use crate::{MasterError, MasterOptions, NoPeers, Peers};
use catalog::{Catalog, Command, CommandId, Metadata, Outcome};
use parking_lot::Mutex;
use prost_of_raft::Message as _;
use raft::eraftpb::{Message, MessageType};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use tokio::sync::{oneshot, watch};
use types::{ErrorKind, NodeId, SqlError};

/// How the replica stands, for metrics and SHOW commands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    pub leader: Option<NodeId>,
    pub voters: Vec<NodeId>,
    pub term: u64,
    /// The last log entry that the catalog holds, and that the stored snapshot holds.
    pub applied: u64,
    pub snapshot: u64,
    /// The log holds the entries after `log_start` up to `log_end`.
    pub log_start: u64,
    pub log_end: u64,
}

/// Who leads, as this replica knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leadership {
    /// This one, and its catalog holds all that was ever confirmed.
    Leader,
    /// Another one, if it is known.
    Other(Option<NodeId>),
}

pub(crate) struct Shared {
    pub(crate) status: Mutex<Status>,
    pub(crate) leadership: watch::Sender<Leadership>,
    /// Why the thread has ended, if by itself.
    failure: Mutex<Option<String>>,
}

/// A replica of the metadata, running. Dropping it is a shutdown.
pub struct Master {
    node: NodeId,
    inputs: Sender<Input>,
    published: watch::Receiver<Arc<Catalog>>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Master {
    /// Opens the metadata of a cluster with one voter, or makes it. When this returns, the catalog
    /// shows all that was ever confirmed, and changes can be proposed.
    pub fn open(options: MasterOptions) -> Result<Arc<Master>, MasterError> {
        let store = RocksStore::open(&options.folder)?;
        Master::open_with(options, Box::new(store), Box::new(NoPeers))
    }

    /// The same with another store or with more voters. With those, the catalog may be behind until
    /// they have found a leader.
    pub fn open_with(
        options: MasterOptions,
        store: Box<dyn RaftStore>,
        peers: Box<dyn Peers>,
    ) -> Result<Arc<Master>, MasterError> {
        let node = options.node;
        let shared = Arc::new(Shared {
            status: Mutex::default(),
            leadership: watch::Sender::new(Leadership::Other(None)),
            failure: Mutex::default(),
        });
        let replica = Replica::open(options, store, peers, shared.clone())?;
        let published = replica.published();
        let (inputs, receiver) = mpsc::channel();
        let of_thread = shared.clone();
        let thread = thread::Builder::new()
            .name("metadata".into())
            .spawn(move || run(replica, &receiver, &of_thread))?;
        Ok(Arc::new(Master { node, inputs, published, shared, thread: Mutex::new(Some(thread)) }))
    }

    pub fn node(&self) -> NodeId {
        self.node
    }

    pub fn status(&self) -> Status {
        self.shared.status.lock().clone()
    }

    /// Follows who leads.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership.subscribe()
    }

    /// [`Metadata::propose`] of a command that has an id already, and may have been proposed before.
    pub async fn propose_as(&self, id: CommandId, command: Command) -> Result<Outcome, SqlError> {
        self.ask(|reply| Input::Propose(Some(id), Box::new(command), reply)).await
    }

    /// Takes a message that [`Peers::send`] of another master was given for this one.
    pub fn receive(&self, message: &[u8]) -> Result<(), MasterError> {
        let unreadable = |what: String| Err(MasterError::Message(what));
        let message = match Message::decode(message) {
            Ok(message) => message,
            Err(error) => return unreadable(error.to_string()),
        };
        if message.to != u64::from(self.node.0) {
            return unreadable(format!("it is for node {} and came to {}", message.to, self.node));
        }
        if MessageType::from_i32(message.msg_type).is_none() {
            return unreadable(format!("it is of the unknown kind {}", message.msg_type));
        }
        for entry in &message.entries {
            if let Err(error) = check_entry(entry) {
                return unreadable(error.to_string());
            }
        }
        // A thread that has ended loses it, as a network may.
        let _ = self.inputs.send(Input::Step(Box::new(message)));
        Ok(())
    }

    /// Makes `node` a voter; it may be opened without voters before or after. Returns when the
    /// leader counts it.
    pub async fn add_voter(&self, node: NodeId) -> Result<(), SqlError> {
        self.ask(|reply| Input::AddVoter(node, reply)).await.map(|_| ())
    }

    /// The last voter cannot be removed.
    pub async fn remove_voter(&self, node: NodeId) -> Result<(), SqlError> {
        self.ask(|reply| Input::RemoveVoter(node, reply)).await.map(|_| ())
    }

    /// Stops the replica and closes its store, after the write that is under way. Proposals that
    /// wait fail. May be called more than once.
    pub fn shutdown(&self) {
        // An error: the thread has ended by itself.
        let _ = self.inputs.send(Input::Stop);
        if let Some(thread) = self.thread.lock().take() {
            // The thread catches its panics.
            let _ = thread.join();
        }
    }

    async fn ask(&self, input: impl FnOnce(Reply) -> Input) -> Result<Outcome, SqlError> {
        let (reply, answer) = oneshot::channel();
        if self.inputs.send(input(reply)).is_err() {
            return Err(self.stopped("no change is taken"));
        }
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(self.stopped("whether the change took effect shows after a restart")),
        }
    }

    fn stopped(&self, and: &str) -> SqlError {
        match &*self.shared.failure.lock() {
            Some(failure) => {
                SqlError::internal(format!("The metadata service has stopped, {and}: {failure}"))
            }
            None => SqlError::new(ErrorKind::ShuttingDown, "Server shutdown in progress"),
        }
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.shutdown();
    }
}

#[async_trait::async_trait]
impl Metadata for Master {
    fn snapshot(&self) -> Arc<Catalog> {
        self.published.borrow().clone()
    }

    async fn propose(&self, command: Command) -> Result<Outcome, SqlError> {
        self.ask(|reply| Input::Propose(None, Box::new(command), reply)).await
    }

    async fn changed(&self, after: u64) -> Result<Arc<Catalog>, SqlError> {
        let mut published = self.published.clone();
        match published.wait_for(|catalog| catalog.version() > after).await {
            Ok(catalog) => Ok(catalog.clone()),
            Err(_) => Err(self.stopped("nothing changes")),
        }
    }
}

fn run(mut replica: Replica, inputs: &Receiver<Input>, shared: &Shared) {
    // raft-rs panics when its store cannot be read.
    let failure = match catch_unwind(AssertUnwindSafe(|| replica.run(inputs))) {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(panic) => Some(
            panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
                .unwrap_or_else(|| "the replica panicked".to_string()),
        ),
    };
    if let Some(failure) = &failure {
        tracing::error!("the metadata service stops: {failure}");
    }
    *shared.failure.lock() = failure;
    shared.leadership.send_replace(Leadership::Other(None));
    // Only now do those who wait see that nobody will answer.
    drop(replica);
}
