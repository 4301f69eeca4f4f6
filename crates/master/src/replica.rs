//! One replica of the catalog: the Raft node, its store, the catalog as applied so far, and the
//! proposals that wait for their outcome. It belongs to one thread, which [`Replica::run`]s it.
//!
//! Invariants:
//! - Nothing is sent or applied that relies on a write before that write is durable.
//! - The stored commit index may lag behind, but never behind the stored snapshot: what was
//!   committed past it is learned again from the voters.
//! - A proposal keeps its command id while it waits, and is proposed again until it is applied, so
//!   a lost message or leader costs time and nothing else: the catalog applies an id once.
//! - It is answered after the catalog that holds its effect is published.

use crate::log::Log;
use crate::master::{Leadership, Shared, Status};
use crate::store::{Batch, LogStart, Position, RaftStore, check};
use crate::{MasterError, MasterOptions, Peers, logging};
use catalog::{Catalog, Command, CommandId, Outcome};
use prost_of_raft::Message as _;
use raft::eraftpb::{
    ConfChange, ConfChangeType, ConfChangeV2, ConfState, Entry, EntryType, HardState, Message, MessageType,
    Snapshot, SnapshotMetadata,
};
use raft::{Config, INVALID_ID, RawNode, SnapshotStatus, StateRole};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;
use tokio::sync::{oneshot, watch};
use types::{ErrorKind, NodeId, SqlError};

const HEARTBEAT_TICKS: usize = 2;
const ELECTION_TICKS: usize = 10;
/// A proposal that was not applied after this time is proposed again.
const RETRY_TICKS: u64 = ELECTION_TICKS as u64;
/// Inputs that share one write.
const MAX_BATCH: usize = 256;
/// Proposals that may wait at a time.
const MAX_PENDING: usize = 10_000;

pub(crate) type Reply = oneshot::Sender<Result<Outcome, SqlError>>;

pub(crate) enum Input {
    /// Without an id, one is given.
    Propose(Option<CommandId>, Box<Command>, Reply),
    AddVoter(NodeId, Reply),
    RemoveVoter(NodeId, Reply),
    Step(Box<Message>),
    Stop,
}

enum Proposal {
    Command(Vec<u8>),
    Voters(ConfChange),
}

struct Pending {
    proposal: Proposal,
    /// More than one if the command was sent again while it waited.
    replies: Vec<Reply>,
    /// In ticks since the start, like the next one.
    deadline: u64,
    again_at: u64,
}

pub(crate) struct Replica {
    node: NodeId,
    raw: RawNode<Log>,
    peers: Box<dyn Peers>,
    options: MasterOptions,
    catalog: Catalog,
    /// The last entry that `catalog` holds.
    applied: u64,
    conf_state: ConfState,
    /// Raft's, as known here; the store's may lag in `commit`.
    hard_state: HardState,
    snapshot_index: u64,
    /// A voter came or went: the next snapshot must tell, since a voter takes only one that names it.
    snapshot_due: bool,
    leader_changed: bool,
    ticks: u64,
    last_number: u64,
    pending: BTreeMap<CommandId, Pending>,
    /// Outcomes to be sent when the catalog is published.
    answers: Vec<(Reply, Result<Outcome, SqlError>)>,
    published: watch::Sender<Arc<Catalog>>,
    shared: Arc<Shared>,
}

impl Replica {
    pub(crate) fn open(
        options: MasterOptions,
        mut store: Box<dyn RaftStore>,
        peers: Box<dyn Peers>,
        shared: Arc<Shared>,
    ) -> Result<Replica, MasterError> {
        let node = options.node;
        match store.node() {
            Some(stored) if stored != node => return Err(MasterError::WrongNode { stored, given: node }),
            Some(_) => {}
            None => store.write(first_batch(&options)?)?,
        }
        check(store.as_ref())?;
        let snapshot = store.snapshot()?;
        let catalog = if snapshot.is_empty() { Catalog::new() } else { Catalog::decode(&snapshot.data)? };
        let applied = snapshot.get_metadata().index;
        let config = Config {
            id: u64::from(node.0),
            election_tick: ELECTION_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            applied,
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 64,
            max_uncommitted_size: 64 << 20,
            max_committed_size_per_ready: 16 << 20,
            check_quorum: true,
            pre_vote: true,
            ..Config::default()
        };
        let hard_state = store.hard_state();
        let raw = RawNode::new(&config, Log { store }, &logging::logger())?;
        let (published, _) = watch::channel(Arc::new(catalog.clone()));
        // Above what an earlier start of this node used, even if that is not applied here yet.
        let last_number = options.clock.wall_millis().saturating_mul(1_000);
        let mut replica = Replica {
            node,
            raw,
            peers,
            catalog,
            applied,
            conf_state: snapshot.get_metadata().get_conf_state().clone(),
            hard_state,
            snapshot_index: applied,
            snapshot_due: false,
            leader_changed: false,
            ticks: 0,
            last_number,
            pending: BTreeMap::new(),
            answers: Vec::new(),
            published,
            shared,
            options,
        };
        replica.settle()?;
        if replica.conf_state.voters == [u64::from(node.0)] {
            // Nobody else can be the leader, so there is nothing to wait for.
            replica.raw.campaign()?;
            replica.settle()?;
        }
        Ok(replica)
    }

    pub(crate) fn published(&self) -> watch::Receiver<Arc<Catalog>> {
        self.published.subscribe()
    }

    /// Serves inputs until told to stop, or until something fails that only a restart can mend.
    pub(crate) fn run(&mut self, inputs: &Receiver<Input>) -> Result<(), MasterError> {
        let mut next_tick = Instant::now() + self.options.tick;
        loop {
            let mut input = inputs.recv_timeout(next_tick.saturating_duration_since(Instant::now()));
            for _ in 0..MAX_BATCH {
                match input {
                    Ok(Input::Stop) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                    Ok(input) => self.take(input)?,
                    Err(RecvTimeoutError::Timeout) => break,
                }
                input = inputs.try_recv().map_err(|_| RecvTimeoutError::Timeout);
            }
            // The last one read is not lost when the batch is full.
            match input {
                Ok(Input::Stop) => return Ok(()),
                Ok(input) => self.take(input)?,
                Err(_) => {}
            }
            self.settle()?;
            let now = Instant::now();
            if now >= next_tick {
                next_tick = now + self.options.tick;
                self.ticks += 1;
                self.raw.tick();
                self.review_pending();
                self.settle()?;
            }
        }
    }

    fn take(&mut self, input: Input) -> Result<(), MasterError> {
        match input {
            Input::Stop => {}
            Input::Propose(id, command, reply) => {
                let id = id.unwrap_or_else(|| self.next_id());
                self.propose(id, Proposal::Command(command.encode(id)), reply);
            }
            Input::AddVoter(node, reply) => {
                self.propose_voter(ConfChangeType::AddNode, node, reply);
            }
            Input::RemoveVoter(node, reply) => {
                if self.conf_state.voters == [u64::from(node.0)] {
                    let error = format!("Node {node} is the last voter of the metadata and must stay");
                    let _ = reply.send(Err(SqlError::internal(error)));
                } else {
                    self.propose_voter(ConfChangeType::RemoveNode, node, reply);
                }
            }
            Input::Step(message) => match self.raw.step(*message) {
                Ok(()) => {}
                Err(error @ raft::Error::Store(_)) => return Err(error.into()),
                // Out of date, from a stranger, or for another leader: as good as lost.
                Err(error) => tracing::debug!("a message of another master was passed over: {error}"),
            },
        }
        Ok(())
    }

    /// An odd number above all that this node has used.
    fn next_id(&mut self) -> CommandId {
        self.last_number = (self.last_number.max(self.catalog.last_number(self.node)) + 1) | 1;
        CommandId { node: self.node, number: self.last_number }
    }

    fn propose_voter(&mut self, change: ConfChangeType, node: NodeId, reply: Reply) {
        let mut voters = ConfChange { node_id: u64::from(node.0), ..ConfChange::default() };
        voters.set_change_type(change);
        let id = self.next_id();
        self.propose(id, Proposal::Voters(voters), reply);
    }

    fn propose(&mut self, id: CommandId, proposal: Proposal, reply: Reply) {
        if let Some(waiting) = self.pending.get_mut(&id) {
            waiting.replies.push(reply);
            return;
        }
        if self.pending.len() >= MAX_PENDING {
            let error = format!("{MAX_PENDING} changes of the metadata wait already: try again later");
            let _ = reply.send(Err(SqlError { retryable: true, ..SqlError::internal(error) }));
            return;
        }
        let tick = self.options.tick.as_nanos().max(1);
        let timeout = (self.options.propose_timeout.as_nanos() / tick) as u64;
        let deadline = self.ticks + timeout.max(1);
        self.pending.insert(
            id,
            Pending { proposal, replies: vec![reply], deadline, again_at: self.ticks + RETRY_TICKS },
        );
        self.pass_to_raft(id);
    }

    /// Without a leader raft-rs drops it; then it is proposed again when there is one.
    fn pass_to_raft(&mut self, id: CommandId) {
        let Some(pending) = self.pending.get(&id) else { return };
        let result = match &pending.proposal {
            Proposal::Command(bytes) => self.raw.propose(Vec::new(), bytes.clone()),
            Proposal::Voters(change) => self.raw.propose_conf_change(context(id), change.clone()),
        };
        if let Err(error) = result {
            tracing::debug!("metadata proposal {id} waits: {error}");
        }
    }

    /// Gives up what waited too long; proposes again what may be lost.
    fn review_pending(&mut self) {
        let now = self.ticks;
        let is_over = |_: &CommandId, pending: &mut Pending| pending.deadline <= now;
        let over: Vec<_> = self.pending.extract_if(.., is_over).collect();
        for (_, pending) in over {
            let error = SqlError {
                retryable: true,
                ..SqlError::new(
                    ErrorKind::ServerOffline,
                    format!(
                        "No leader of the metadata confirmed the change within {:?}; it may yet take effect",
                        self.options.propose_timeout
                    ),
                )
            };
            for reply in pending.replies {
                let _ = reply.send(Err(error.clone()));
            }
        }
        let mut again = Vec::new();
        for (id, pending) in &mut self.pending {
            if pending.again_at <= now {
                pending.again_at = now + RETRY_TICKS;
                again.push(*id);
            }
        }
        for id in again {
            self.pass_to_raft(id);
        }
    }

    /// Does all that Raft has to do: writes, sends, applies, answers.
    fn settle(&mut self) -> Result<(), MasterError> {
        loop {
            while self.raw.has_ready() {
                self.handle_ready()?;
                self.publish();
            }
            if !std::mem::take(&mut self.leader_changed) || self.raw.raft.leader_id == INVALID_ID {
                break;
            }
            // What went to the last leader may be lost.
            let ids: Vec<_> = self.pending.keys().copied().collect();
            for id in ids {
                self.pass_to_raft(id);
            }
        }
        if self.snapshot_due
            || self.applied >= self.snapshot_index.saturating_add(self.options.snapshot_every)
        {
            self.store_snapshot()?;
        }
        self.tell_status();
        Ok(())
    }

    fn handle_ready(&mut self) -> Result<(), MasterError> {
        let mut ready = self.raw.ready();
        if let Some(state) = ready.ss() {
            self.leader_changed = true;
            tracing::info!(leader = state.leader_id, role = ?state.raft_state, "the leader of the metadata or our role changed");
        }
        self.send(ready.take_messages());

        // A snapshot of an unknown format must not get into the store.
        let received = match ready.snapshot() {
            snapshot if snapshot.is_empty() => None,
            snapshot => Some((Catalog::decode(&snapshot.data)?, snapshot.clone())),
        };
        if let Some(hard_state) = ready.hs() {
            self.hard_state = hard_state.clone();
        }
        let mut batch = Batch { entries: ready.take_entries(), ..Batch::default() };
        if let Some((_, snapshot)) = &received {
            let metadata = snapshot.get_metadata();
            self.hard_state.commit = self.hard_state.commit.max(metadata.index);
            batch.log_start = Some(LogStart::Anew(Position { index: metadata.index, term: metadata.term }));
            batch.snapshot = Some(snapshot.clone());
        }
        if ready.must_sync() || batch.snapshot.is_some() || !batch.entries.is_empty() {
            batch.hard_state = Some(self.hard_state.clone());
            self.raw.mut_store().store.write(batch)?;
        }
        if let Some((catalog, mut snapshot)) = received {
            self.applied = snapshot.get_metadata().index;
            self.snapshot_index = self.applied;
            self.conf_state = snapshot.mut_metadata().take_conf_state();
            self.catalog = catalog;
        }
        self.apply(ready.take_committed_entries())?;
        self.send(ready.take_persisted_messages());

        let mut light = self.raw.advance_append(ready);
        if let Some(commit) = light.commit_index() {
            self.hard_state.commit = commit;
        }
        self.send(light.take_messages());
        self.apply(light.take_committed_entries())?;
        self.raw.advance_apply();
        Ok(())
    }

    fn apply(&mut self, entries: Vec<Entry>) -> Result<(), MasterError> {
        for entry in entries {
            match entry.get_entry_type() {
                // A new leader's first entry is empty, and so is a change of voters that raft-rs
                // passed over since another one was under way.
                EntryType::EntryNormal if entry.data.is_empty() => {}
                EntryType::EntryNormal => {
                    // A command that this version cannot read stops it: to pass it over would
                    // make this replica differ from the others.
                    let (id, command) = Command::decode(&entry.data)?;
                    let result = self.catalog.apply(id, &command);
                    self.answer(id, result);
                }
                EntryType::EntryConfChange => {
                    let change = ConfChange::decode(entry.data.as_slice()).map_err(unreadable)?;
                    let result = self.raw.apply_conf_change(&change);
                    self.voters_changed(&entry, result);
                }
                EntryType::EntryConfChangeV2 => {
                    let change = ConfChangeV2::decode(entry.data.as_slice()).map_err(unreadable)?;
                    let result = self.raw.apply_conf_change(&change);
                    self.voters_changed(&entry, result);
                }
            }
            self.applied = entry.index;
        }
        Ok(())
    }

    fn voters_changed(&mut self, entry: &Entry, result: raft::Result<ConfState>) {
        let answer = match result {
            Ok(conf_state) => {
                tracing::info!(voters = ?conf_state.voters, "the voters of the metadata changed");
                self.conf_state = conf_state;
                self.snapshot_due = true;
                Ok(Outcome::Done)
            }
            // The same on every voter, so they still agree.
            Err(error) => {
                Err(SqlError::internal(format!("The voters of the metadata stay as they are: {error}")))
            }
        };
        if let Some(id) = id_in(&entry.context) {
            self.answer(id, answer);
        }
    }

    fn answer(&mut self, id: CommandId, result: Result<Outcome, SqlError>) {
        if let Some(pending) = self.pending.remove(&id) {
            self.answers.extend(pending.replies.into_iter().map(|reply| (reply, result.clone())));
        }
    }

    fn publish(&mut self) {
        self.published.send_if_modified(|published| {
            if published.version() == self.catalog.version() {
                return false;
            }
            *published = Arc::new(self.catalog.clone());
            true
        });
        self.tell_status();
        for (reply, result) in self.answers.drain(..) {
            // Nobody may wait any more.
            let _ = reply.send(result);
        }
    }

    /// Stores the catalog and drops the log before it, but for a rest.
    fn store_snapshot(&mut self) -> Result<(), MasterError> {
        let log = &self.raw.raft.raft_log;
        let start =
            self.applied.saturating_sub(self.options.keep_entries).max(log.store.store.log_start().index);
        let snapshot = Snapshot {
            data: self.catalog.encode(),
            metadata: Some(SnapshotMetadata {
                conf_state: Some(self.conf_state.clone()),
                index: self.applied,
                term: log.term(self.applied)?,
            }),
        };
        let start = Position { index: start, term: log.term(start)? };
        self.hard_state.commit = self.hard_state.commit.max(self.applied);
        tracing::debug!(index = self.applied, bytes = snapshot.data.len(), "the catalog is stored");
        self.raw.mut_store().store.write(Batch {
            hard_state: Some(self.hard_state.clone()),
            snapshot: Some(snapshot),
            log_start: Some(LogStart::After(start)),
            ..Batch::default()
        })?;
        self.snapshot_index = self.applied;
        self.snapshot_due = false;
        Ok(())
    }

    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            let to = message.to;
            let is_snapshot = message.get_msg_type() == MessageType::MsgSnapshot;
            let sent = u32::try_from(to).is_ok_and(|to| self.peers.send(NodeId(to), message.encode_to_vec()));
            if is_snapshot {
                // If it is lost on its way, the follower's answers to what follows tell.
                let status = if sent { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
                self.raw.report_snapshot(to, status);
            } else if !sent {
                self.raw.report_unreachable(to);
            }
        }
    }

    fn tell_status(&self) {
        let store = &self.raw.raft.raft_log.store.store;
        let node = |id: &u64| u32::try_from(*id).ok().map(NodeId);
        let raft = &self.raw.raft;
        // Until an entry of its own term is applied, a new leader's catalog may lack what the last one
        // confirmed.
        let caught_up = raft.raft_log.term(self.applied).is_ok_and(|term| term == raft.term);
        let leadership = match raft.state {
            StateRole::Leader if caught_up => Leadership::Leader,
            StateRole::Leader => Leadership::Other(None),
            _ => {
                Leadership::Other(Some(raft.leader_id).filter(|id| *id != INVALID_ID).as_ref().and_then(node))
            }
        };
        self.shared.leadership.send_if_modified(|told| {
            let changed = *told != leadership;
            *told = leadership;
            changed
        });
        *self.shared.status.lock() = Status {
            leader: Some(self.raw.raft.leader_id).filter(|id| *id != INVALID_ID).as_ref().and_then(node),
            voters: self.conf_state.voters.iter().filter_map(node).collect(),
            term: self.raw.raft.term,
            applied: self.applied,
            snapshot: self.snapshot_index,
            log_start: store.log_start().index,
            log_end: store.last_index(),
        };
    }
}

fn unreadable(error: prost_of_raft::DecodeError) -> MasterError {
    MasterError::Raft(format!("a change of voters cannot be read: {error}"))
}

/// The content of a new store.
fn first_batch(options: &MasterOptions) -> Result<Batch, MasterError> {
    let node = options.node;
    if node.0 == 0 {
        return Err(MasterError::Options("a master needs an id that is not 0".to_string()));
    }
    let mut batch = Batch { node: Some(node), ..Batch::default() };
    if options.voters.is_empty() {
        return Ok(batch);
    }
    if !options.voters.contains(&node) {
        return Err(MasterError::Options(format!("node {node} is not among the first voters")));
    }
    // All first voters begin with the same snapshot at index 1. A later one has nothing, so that
    // it gets a snapshot before anything else.
    let mut voters: Vec<u64> = options.voters.iter().map(|voter| u64::from(voter.0)).collect();
    voters.sort_unstable();
    voters.dedup();
    let conf_state = ConfState { voters, ..ConfState::default() };
    batch.hard_state = Some(HardState { term: 1, vote: 0, commit: 1 });
    batch.log_start = Some(LogStart::Anew(Position { index: 1, term: 1 }));
    batch.snapshot = Some(Snapshot {
        data: Catalog::new().encode(),
        metadata: Some(SnapshotMetadata { conf_state: Some(conf_state), index: 1, term: 1 }),
    });
    Ok(batch)
}

/// A change of voters carries its id beside it: node (4 bytes) and number (8), little-endian.
fn context(id: CommandId) -> Vec<u8> {
    [&id.node.0.to_le_bytes()[..], &id.number.to_le_bytes()].concat()
}

fn id_in(context: &[u8]) -> Option<CommandId> {
    let (node, number) = context.split_at_checked(4)?;
    Some(CommandId {
        node: NodeId(u32::from_le_bytes(node.try_into().ok()?)),
        number: u64::from_le_bytes(number.try_into().ok()?),
    })
}
