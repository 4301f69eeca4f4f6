//! Aggregators and their sessions: transfers over partitions, and readers.

use crate::model::{Due, Fate, JOURNAL, Model, Rows};
use crate::node::{Ask, Clocks, Cluster, Found, Told, context};
use crate::world::{Lost, World};
use columnstore::WriteContext;
use futures::future::LocalBoxFuture;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use txn::commit::{Commit, Reply, Request, UNTOLD_MILLIS};
use txn::lease::RENEW_MILLIS;
use txn::{ProcessClock, Registry};
use types::{ErrorKind, NodeId, PartitionId, SqlError, StatementNo, Timestamp, TxnId};

pub struct Aggregator {
    pub node: NodeId,
    world: World,
    cluster: Rc<Cluster>,
    model: Rc<RefCell<Model>>,
    physical: Arc<env::SimClock>,
    hlc: RefCell<Arc<ProcessClock>>,
    registry: RefCell<Registry>,
    lives: RefCell<u64>,
}

/// Why a transfer was given up before its commit.
#[derive(Debug)]
struct GivenUp;

struct Open {
    txn: TxnId,
    statement: u32,
    last: BTreeMap<PartitionId, u32>,
}

impl Open {
    fn context(&self, partition: PartitionId) -> WriteContext {
        context(self.txn, self.statement, self.last.get(&partition).copied().unwrap_or(0))
    }
}

impl Aggregator {
    pub fn new(
        world: &World,
        cluster: &Rc<Cluster>,
        model: &Rc<RefCell<Model>>,
        node: NodeId,
    ) -> Rc<Aggregator> {
        let physical = world.add_process(node);
        Rc::new(Aggregator {
            node,
            world: world.clone(),
            cluster: cluster.clone(),
            model: model.clone(),
            physical,
            hlc: RefCell::default(),
            registry: RefCell::new(Registry::new(node, 1)),
            lives: RefCell::new(0),
        })
    }

    /// Starts the process: its leases, and so many sessions of each kind until `until`.
    pub fn start(self: &Rc<Self>, writers: usize, readers: usize, until: u64) {
        let life = {
            let mut lives = self.lives.borrow_mut();
            *lives += 1;
            *lives
        };
        *self.registry.borrow_mut() = Registry::new(self.node, life * 1_000_000);
        *self.hlc.borrow_mut() = Arc::default();
        self.world.start(self.node);
        self.world.spawn(self.node, self.clone().keep_leases());
        for _ in 0..writers {
            self.world.spawn(self.node, self.clone().write(until));
        }
        for _ in 0..readers {
            self.world.spawn(self.node, self.clone().read(until));
        }
    }

    /// The process dies, and is back after a while.
    pub fn crash(self: &Rc<Self>, writers: usize, readers: usize, until: u64) {
        self.world.crash(self.node);
        let again = self.clone();
        let after = self.world.between(20..8_000);
        self.world.at(after, move |_| again.start(writers, readers, until));
    }

    fn clocks(&self) -> Clocks {
        Clocks { node: self.node, physical: self.physical.clone(), hlc: self.hlc.borrow().clone() }
    }

    async fn ask(&self, leaf: NodeId, ask: Ask) -> Result<Told, Lost> {
        self.cluster.ask(&self.world, &self.clocks(), leaf, ask).await
    }

    async fn keep_leases(self: Rc<Self>) {
        let leaves: Vec<NodeId> = self.cluster.leaves.borrow().keys().copied().collect();
        loop {
            let renewal = self.registry.borrow_mut().renewal();
            for leaf in &leaves {
                let (this, leaf, ask) = (self.clone(), *leaf, Ask::Renew(renewal.clone()));
                self.world.spawn(self.node, async move {
                    // The next renewal says more.
                    let _ = this.ask(leaf, ask).await;
                });
            }
            self.world.sleep(RENEW_MILLIS).await;
        }
    }

    /// The greatest timestamp that one of these partitions has shown.
    async fn newest(&self, partitions: &BTreeSet<PartitionId>) -> Result<Timestamp, Lost> {
        let mut by_leaf: BTreeMap<NodeId, Vec<PartitionId>> = BTreeMap::new();
        for partition in partitions {
            by_leaf.entry(self.cluster.holder(*partition)).or_default().push(*partition);
        }
        let mut newest = Timestamp::ZERO;
        for (leaf, partitions) in by_leaf {
            match self.ask(leaf, Ask::ReadTimestamp(partitions)).await? {
                Told::At(at) => newest = newest.max(at),
                _ => return Err(Lost),
            }
        }
        Ok(newest)
    }

    async fn write(self: Rc<Self>, until: u64) {
        while self.world.now() < until {
            let pause = self.world.between(0..150);
            self.world.sleep(pause).await;
            self.transfer().await;
        }
    }

    fn choose_moves(&self) -> Vec<(PartitionId, i64, i64)> {
        let partitions: Vec<PartitionId> = self.cluster.holders.borrow().keys().copied().collect();
        let accounts = self.model.borrow().accounts as u64;
        let count = self.world.between(2..4);
        let mut moves: Vec<(PartitionId, i64, i64)> = Vec::new();
        let mut sum = 0;
        for _ in 0..count {
            let partition = partitions[self.world.between(0..partitions.len() as u64) as usize];
            let account = self.world.between(0..accounts) as i64;
            if moves.iter().any(|(p, a, _)| (*p, *a) == (partition, account)) {
                continue;
            }
            let amount = self.world.between(1..20) as i64;
            moves.push((partition, account, amount));
            sum += amount;
        }
        // Invariant: there is one at least. What the others get it gives.
        let (_, _, first) = &mut moves[0];
        *first -= sum;
        moves
    }

    async fn transfer(self: &Rc<Self>) {
        let moves = self.choose_moves();
        let number = self.model.borrow_mut().begin(moves.clone());
        let txn = self.registry.borrow_mut().begin();
        let mut open = Open { txn, statement: 0, last: BTreeMap::new() };
        let changed = self.change(&mut open, number, &moves).await;
        if changed.is_ok() {
            self.model.borrow_mut().transfers[number].fate = Fate::Unknown;
            let result = self.commit(&open).await;
            self.model.borrow_mut().transfers[number].fate = match &result {
                Ok(_) => Fate::Committed,
                Err(error) if error.message.contains("unknown") => Fate::Unknown,
                Err(_) => Fate::Aborted,
            };
            if result.is_ok() && self.world.chance(0.5) {
                self.look_at_own(&moves).await;
            }
            if result.is_err() {
                self.roll_back(&open).await;
            }
        } else {
            self.model.borrow_mut().transfers[number].fate = Fate::Aborted;
            self.roll_back(&open).await;
        }
        self.registry.borrow_mut().end(txn);
    }

    async fn roll_back(&self, open: &Open) {
        for partition in open.last.keys() {
            let leaf = self.cluster.holder(*partition);
            // A leaf that does not hear of it finds out by the next renewal.
            let _ = self.ask(leaf, Ask::Rollback(open.txn, vec![*partition])).await;
        }
    }

    /// The statements of a transfer.
    async fn change(
        &self,
        open: &mut Open,
        number: usize,
        moves: &[(PartitionId, i64, i64)],
    ) -> Result<(), GivenUp> {
        let mut by_partition: BTreeMap<PartitionId, Vec<(i64, i64)>> = BTreeMap::new();
        for (partition, account, amount) in moves {
            by_partition.entry(*partition).or_default().push((*account, *amount));
        }
        let partitions: BTreeSet<PartitionId> = by_partition.keys().copied().collect();
        open.statement += 1;
        for (partition, amounts) in &by_partition {
            let keys: Vec<i64> = amounts.iter().map(|(account, _)| *account).collect();
            let found = self.lock(open, &partitions, *partition, &keys).await?;
            let refs: Vec<u64> = found.values().map(|(_, row)| *row).collect();
            let of = |account: &i64| {
                amounts.iter().filter(|(a, _)| a == account).map(|(_, amount)| amount).sum::<i64>()
            };
            let rows: Vec<(i64, i64)> = found.iter().map(|(k, (v, _))| (*k, v + of(k))).collect();
            assert_eq!(rows.len(), keys.len(), "an account is missing");
            let ask = Ask::Update { ctx: open.context(*partition), partition: *partition, refs, rows };
            self.done(*partition, ask).await?;
        }
        open.statement += 1;
        for partition in by_partition.keys() {
            let rows = vec![(JOURNAL + number as i64, number as i64)];
            let ask = Ask::Insert { ctx: open.context(*partition), partition: *partition, rows };
            open.last.insert(*partition, open.statement);
            self.done(*partition, ask).await?;
        }
        Ok(())
    }

    async fn done(&self, partition: PartitionId, ask: Ask) -> Result<(), GivenUp> {
        match self.ask(self.cluster.holder(partition), ask).await {
            Ok(Told::Done) => Ok(()),
            _ => Err(GivenUp),
        }
    }

    /// Locks accounts as they are now.
    async fn lock(
        &self,
        open: &mut Open,
        partitions: &BTreeSet<PartitionId>,
        partition: PartitionId,
        keys: &[i64],
    ) -> Result<Found, GivenUp> {
        for _ in 0..8 {
            let read_at = self.newest(partitions).await.map_err(|_| GivenUp)?;
            let ctx = open.context(partition);
            open.last.insert(partition, open.statement);
            let ask = Ask::Lock { ctx, partition, keys: keys.to_vec(), read_at };
            match self.ask(self.cluster.holder(partition), ask).await {
                Ok(Told::Locked(Some(found))) => return Ok(found),
                Ok(Told::Locked(None)) => {}
                Ok(Told::Refused(error)) if error.kind == ErrorKind::LockWaitTimeout => {
                    let pause = self.world.between(1..40);
                    self.world.sleep(pause).await;
                }
                _ => return Err(GivenUp),
            }
        }
        Err(GivenUp)
    }

    /// Carries out what the state machine of the commit says.
    async fn commit(self: &Rc<Self>, open: &Open) -> Result<Timestamp, SqlError> {
        let mut leaves: BTreeMap<NodeId, Vec<(PartitionId, StatementNo)>> = BTreeMap::new();
        for (partition, last) in &open.last {
            leaves.entry(self.cluster.holder(*partition)).or_default().push((*partition, StatementNo(*last)));
        }
        let (mut commit, first) = Commit::begin(leaves).expect("a transfer has partitions");
        let mut under_way: Vec<LocalBoxFuture<'static, (Request, Reply)>> = Vec::new();
        under_way.extend(first.into_iter().map(|request| self.clone().send(open.txn, request)));
        let mut changed = self.world.now();
        loop {
            if let Some(result) = commit.result().cloned() {
                if commit.is_told_late() {
                    self.world.sleep((changed + UNTOLD_MILLIS).saturating_sub(self.world.now())).await;
                }
                return result;
            }
            let (request, reply) = poll_fn(|context| {
                for at in 0..under_way.len() {
                    if let Poll::Ready(answered) = under_way[at].as_mut().poll(context) {
                        drop(under_way.swap_remove(at));
                        return Poll::Ready(answered);
                    }
                }
                Poll::Pending
            })
            .await;
            let next = commit.on(&request, reply);
            if !next.is_empty() {
                changed = self.world.now();
            }
            under_way.extend(next.into_iter().map(|request| self.clone().send(open.txn, request)));
        }
    }

    fn send(self: Rc<Self>, txn: TxnId, request: Request) -> LocalBoxFuture<'static, (Request, Reply)> {
        Box::pin(async move {
            let lost = || Reply::Lost(SqlError::new(ErrorKind::ServerOffline, "a leaf is away"));
            let reply = match self.ask(request.leaf, Ask::End(txn, request.what.clone())).await {
                Ok(Told::At(at)) => Reply::At(at),
                Ok(Told::Outcome(outcome)) => Reply::Decided(outcome),
                Ok(Told::Done) => Reply::Shown,
                Ok(Told::Refused(error)) => Reply::Refused(error),
                Ok(_) | Err(Lost) => lost(),
            };
            (request, reply)
        })
    }

    /// The next statement, of this session or another, reads one of the partitions alone: it finds the
    /// transfer.
    async fn look_at_own(&self, moves: &[(PartitionId, i64, i64)]) {
        let partition = moves[self.world.between(0..moves.len() as u64) as usize].0;
        let due = self.model.borrow().due();
        let partitions = BTreeSet::from([partition]);
        let Ok(at) = self.newest(&partitions).await else { return };
        if let Ok(rows) = self.rows(&partitions, at, 0).await {
            self.judge(&due, &rows, at);
        }
    }

    fn judge(&self, due: &Due, rows: &Rows, at: Timestamp) {
        if let Err(wrong) = self.model.borrow_mut().check(due, rows) {
            panic!("{} ms, a reader at {at} of {}: {wrong}", self.world.now(), self.node);
        }
    }

    /// All rows of partitions at a timestamp; else why a leaf did not give them.
    async fn rows(
        &self,
        partitions: &BTreeSet<PartitionId>,
        at: Timestamp,
        pause: u64,
    ) -> Result<Rows, String> {
        let mut all = Rows::new();
        let mut by_leaf: BTreeMap<NodeId, Vec<PartitionId>> = BTreeMap::new();
        for partition in partitions {
            by_leaf.entry(self.cluster.holder(*partition)).or_default().push(*partition);
        }
        for (leaf, partitions) in by_leaf {
            match self.ask(leaf, Ask::Read { partitions, at, pause }).await {
                Ok(Told::Rows(rows)) => all.extend(rows),
                other => return Err(format!("leaf {leaf} at {at}: {other:?}")),
            }
        }
        Ok(all)
    }

    async fn read(self: Rc<Self>, until: u64) {
        while self.world.now() < until {
            let pause = self.world.between(0..400);
            self.world.sleep(pause).await;
            self.read_once().await;
        }
    }

    /// Reads everything at one timestamp, and again later: the snapshot does not change.
    async fn read_once(&self) {
        let due = self.model.borrow().due();
        let partitions: BTreeSet<PartitionId> = self.cluster.holders.borrow().keys().copied().collect();
        let Ok(at) = self.newest(&partitions).await else { return };
        self.registry.borrow_mut().hold(at);
        let pause = self.world.between(0..60);
        if let Ok(rows) = self.rows(&partitions, at, pause).await {
            self.judge(&due, &rows, at);
            let pause = self.world.between(0..3_000);
            self.world.sleep(pause).await;
            if let Ok(again) = self.rows(&partitions, at, 0).await {
                assert_eq!(again, rows, "{} ms: the snapshot at {at} has changed", self.world.now());
            }
        }
        self.registry.borrow_mut().release(at);
    }

    /// Reads everything once there is nothing wrong any more.
    pub async fn read_at_last(self: Rc<Self>, read: Rc<RefCell<Result<(), String>>>) {
        let due = self.model.borrow().due();
        let partitions: BTreeSet<PartitionId> = self.cluster.holders.borrow().keys().copied().collect();
        let outcome = match self.newest(&partitions).await {
            Ok(at) => self.rows(&partitions, at, 0).await.map(|rows| self.judge(&due, &rows, at)),
            Err(Lost) => Err("a leaf gave no timestamp".into()),
        };
        *read.borrow_mut() = outcome;
    }
}
