//! A leaf: a real store on a simulated disk, requests carried out on it, and what it does by itself.

use crate::model::BALANCE;
use crate::world::{Answering, Lost, World};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, UInt64Type};
use columnstore::{
    LockRequest, OnDuplicate, Options, Orphan, ReadView, ScanSpec, Store, StoreError, WriteContext,
};
use env::{Clock, Fault, MemoryBudget, SimClock, SimDisk};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use txn::commit::What;
use txn::lease::is_too_old;
use txn::{Answer, Outcome, ProcessClock, Renewal, Settlement};
use types::{
    ColumnDef, ColumnDefault, ColumnId, DatabaseId, NodeId, PartitionId, SqlError, SqlType, StatementNo,
    TableDef, TableId, Timestamp, TxnId,
};

/// A peer whose physical clock is further ahead is refused.
const MOST_AHEAD_MILLIS: u64 = 500;

/// k BIGINT PRIMARY KEY, v BIGINT.
pub fn table() -> TableDef {
    let column = |id, name: &str| ColumnDef {
        id: ColumnId(id),
        name: name.into(),
        ty: SqlType::BigInt { unsigned: false },
        nullable: false,
        default: ColumnDefault::None,
        auto_increment: false,
        initial: None,
        collation: types::Collation::default(),
        on_update_now: false,
        comment: String::new(),
    };
    TableDef {
        id: TableId(1),
        database: DatabaseId(1),
        name: "accounts".into(),
        version: 1,
        next_column_id: ColumnId(3),
        columns: vec![column(1, "k"), column(2, "v")],
        shard_key: vec![ColumnId(1)],
        sort_key: vec![ColumnId(1)],
        primary_key: vec![ColumnId(1)],
        keys: Vec::new(),
        collation: types::Collation::default(),
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        comment: String::new(),
        replacement: None,
        reference: false,
    }
}

pub fn batch(def: &TableDef, rows: &[(i64, i64)]) -> RecordBatch {
    let fields: Vec<_> = def.columns.iter().map(|c| c.ty.field(&c.name, c.nullable)).collect();
    let keys: ArrayRef = Arc::new(rows.iter().map(|(k, _)| *k).collect::<Int64Array>());
    let values: ArrayRef = Arc::new(rows.iter().map(|(_, v)| *v).collect::<Int64Array>());
    let schema = Arc::new(arrow::datatypes::Schema::new(fields));
    RecordBatch::try_new(schema, vec![keys, values]).expect("two columns of the table's types")
}

/// Rows by key, with their references.
pub type Found = BTreeMap<i64, (i64, u64)>;

pub fn scan(store: &Store, p: PartitionId, view: ReadView) -> Result<Found, StoreError> {
    let snapshot = store.snapshot(p, TableId(1), view)?;
    let spec = ScanSpec { columns: vec![ColumnId(1), ColumnId(2)], predicates: Vec::new(), row_refs: true };
    let mut rows = BTreeMap::new();
    for morsel in snapshot.morsels(&[]) {
        snapshot.scan(&morsel, &spec, &mut |batch| {
            let k = batch.column(0).as_primitive::<Int64Type>();
            let v = batch.column(1).as_primitive::<Int64Type>();
            let row = batch.column(2).as_primitive::<UInt64Type>();
            for i in 0..batch.num_rows() {
                let before = rows.insert(k.value(i), (v.value(i), row.value(i)));
                assert!(before.is_none(), "key {} is seen twice", k.value(i));
            }
            Ok(true)
        })?;
    }
    Ok(rows)
}

/// What is asked of a leaf.
#[derive(Debug, Clone)]
pub enum Ask {
    ReadTimestamp(Vec<PartitionId>),
    /// Finds rows at a timestamp and locks them.
    Lock {
        ctx: WriteContext,
        partition: PartitionId,
        keys: Vec<i64>,
        read_at: Timestamp,
    },
    Update {
        ctx: WriteContext,
        partition: PartitionId,
        refs: Vec<u64>,
        rows: Vec<(i64, i64)>,
    },
    Insert {
        ctx: WriteContext,
        partition: PartitionId,
        rows: Vec<(i64, i64)>,
    },
    End(TxnId, What),
    Rollback(TxnId, Vec<PartitionId>),
    Renew(Renewal),
    Inquire {
        coordinator: PartitionId,
        txn: TxnId,
        at: Timestamp,
    },
    Settle(Vec<Settlement>),
    Read {
        partitions: Vec<PartitionId>,
        at: Timestamp,
        pause: u64,
    },
}

impl Ask {
    fn writes(&self) -> bool {
        matches!(
            self,
            Ask::Lock { .. }
                | Ask::Update { .. }
                | Ask::Insert { .. }
                | Ask::End(_, What::Commit(_) | What::Prepare { .. } | What::Coordinate { .. })
        )
    }
}

#[derive(Debug, Clone)]
pub enum Told {
    At(Timestamp),
    /// The rows, locked; none: they changed meanwhile.
    Locked(Option<Found>),
    Outcome(Outcome),
    Answer(Answer),
    Rows(BTreeMap<PartitionId, BTreeMap<i64, i64>>),
    Done,
    Refused(SqlError),
}

/// The clocks of a process.
#[derive(Clone)]
pub struct Clocks {
    pub node: NodeId,
    pub physical: Arc<SimClock>,
    pub hlc: Arc<ProcessClock>,
}

/// What is known of the leaves.
#[derive(Default)]
pub struct Cluster {
    pub leaves: RefCell<BTreeMap<NodeId, Rc<Leaf>>>,
    pub holders: RefCell<BTreeMap<PartitionId, NodeId>>,
}

impl Cluster {
    pub fn holder(&self, partition: PartitionId) -> NodeId {
        self.holders.borrow()[&partition]
    }

    pub fn leaf(&self, node: NodeId) -> Rc<Leaf> {
        self.leaves.borrow()[&node].clone()
    }

    /// Asks a leaf over the network; clocks travel both ways.
    pub async fn ask(&self, world: &World, from: &Clocks, to: NodeId, ask: Ask) -> Result<Told, Lost> {
        let leaf = self.leaf(to);
        let sent = from.physical.wall_millis();
        let hlc = from.hlc.now(sent);
        let answered = world.call(from.node, to, move |answering| {
            leaf.clone().serve(sent, hlc, ask.clone(), answering);
        });
        let (told, hlc) = answered.await?;
        // An answer from too far ahead is as good as none.
        from.hlc.merge(hlc, from.physical.wall_millis()).map_err(|_| Lost)?;
        Ok(told)
    }
}

pub struct Leaf {
    pub node: NodeId,
    world: World,
    cluster: Rc<Cluster>,
    physical: Arc<SimClock>,
    disk: RefCell<SimDisk>,
    store: RefCell<Option<Arc<Store>>>,
    hlc: RefCell<Arc<ProcessClock>>,
    pub partitions: Vec<PartitionId>,
    pub def: Arc<TableDef>,
    pub crashes: Cell<u64>,
    pub ended_orphans: Cell<u64>,
}

/// An answer with the answerer's clock.
pub type Stamped = (Told, Timestamp);

impl Leaf {
    /// A leaf with accounts in each of its partitions.
    pub fn new(
        world: &World,
        cluster: &Rc<Cluster>,
        node: NodeId,
        partitions: &[PartitionId],
        accounts: i64,
    ) -> Rc<Leaf> {
        let physical = world.add_process(node);
        let leaf = Rc::new(Leaf {
            node,
            world: world.clone(),
            cluster: cluster.clone(),
            physical,
            disk: RefCell::new(SimDisk::new(world.between(0..u64::MAX))),
            store: RefCell::default(),
            hlc: RefCell::default(),
            partitions: partitions.to_vec(),
            def: Arc::new(table()),
            crashes: Cell::new(0),
            ended_orphans: Cell::new(0),
        });
        cluster.leaves.borrow_mut().insert(node, leaf.clone());
        for partition in partitions {
            cluster.holders.borrow_mut().insert(*partition, node);
        }
        leaf.open();
        let store = leaf.store().expect("a new disk");
        for partition in partitions {
            store.create_partition(*partition).expect("room");
            store.put_table(*partition, leaf.def.clone()).expect("room");
            let txn = TxnId { node: NodeId(1_000), number: u64::from(partition.0) };
            let rows: Vec<(i64, i64)> = (0..accounts).map(|account| (account, BALANCE)).collect();
            let ctx = context(txn, 1, 0);
            let rows = batch(&leaf.def, &rows);
            store.insert(&ctx, *partition, leaf.def.id, &rows, OnDuplicate::Error).expect("new rows");
            store.commit(txn, &[(*partition, StatementNo(1))]).expect("a commit");
        }
        leaf
    }

    pub fn store(&self) -> Option<Arc<Store>> {
        self.store.borrow().clone()
    }

    pub fn clocks(&self) -> Clocks {
        Clocks { node: self.node, physical: self.physical.clone(), hlc: self.hlc.borrow().clone() }
    }

    fn open(self: &Rc<Self>) {
        let hlc: Arc<ProcessClock> = Arc::default();
        let options = Options {
            pool_bytes: 1 << 20,
            tail_rows: 48,
            wal_file_bytes: 16 << 10,
            wal_files: 3,
            snapshot_lag: Duration::from_secs(2),
            workers: 0,
            hlc: hlc.clone(),
            ..Options::new(MemoryBudget::new(64 << 20))
        };
        let disk = Arc::new(self.disk.borrow().clone());
        let store = match Store::open(disk, self.physical.clone(), Path::new("/leaf"), options) {
            Ok(store) => store,
            Err(error) => {
                assert!(self.disk.borrow().is_off(), "leaf {} does not open: {error}", self.node);
                self.crash();
                return;
            }
        };
        self.world.trace(|| format!("{} is up", self.node));
        *self.hlc.borrow_mut() = hlc;
        *self.store.borrow_mut() = Some(store);
        self.world.start(self.node);
        self.world.spawn(self.node, self.clone().keep_order());
    }

    /// Power is lost now; the leaf is back after a while.
    pub fn crash(self: &Rc<Self>) {
        self.world.trace(|| format!("{} crashes", self.node));
        self.crashes.set(self.crashes.get() + 1);
        self.world.crash(self.node);
        let disk = self.disk.borrow().restarted();
        *self.disk.borrow_mut() = disk;
        if let Some(store) = self.store.borrow_mut().take() {
            store.shutdown();
        }
        let leaf = self.clone();
        let after = self.world.between(20..3_000);
        self.world.at(after, move |_| leaf.open());
    }

    /// Power will be lost at one of the next writes.
    pub fn crash_soon(&self) {
        let after = self.world.between(0..40);
        self.disk.borrow().inject(after, Fault::PowerLoss);
    }

    /// Power will not be lost any more.
    pub fn keep_power(&self) {
        self.disk.borrow().inject(1 << 60, Fault::PowerLoss);
    }

    /// Something that the store does. None: the leaf has crashed over it.
    pub fn run<T>(
        self: &Rc<Self>,
        what: impl FnOnce(&Store) -> Result<T, StoreError>,
    ) -> Option<Result<T, StoreError>> {
        let store = self.store()?;
        let result = what(&store);
        drop(store);
        if self.disk.borrow().is_off() {
            self.crash();
            return None;
        }
        Some(result)
    }

    fn serve(self: Rc<Self>, sent: u64, hlc: Timestamp, ask: Ask, answering: Answering<Stamped>) {
        let now = self.physical.wall_millis();
        let clocks = self.clocks();
        let refused = |what: &str| Told::Refused(SqlError::internal(what));
        let early = if sent > now + MOST_AHEAD_MILLIS || clocks.hlc.merge(hlc, now).is_err() {
            Some(refused("your clock is ahead"))
        } else if ask.writes() && is_too_old(sent, now) {
            Some(refused("sent long ago"))
        } else {
            None
        };
        if let Some(told) = early {
            answering.answer((told, clocks.hlc.now(now)));
            return;
        }
        let leaf = self.clone();
        self.world.spawn(self.node, async move {
            let asked = format!("{ask:?}");
            let told = leaf.carry_out(ask).await;
            leaf.world.trace(|| format!("{} {asked} -> {told:?}", leaf.node));
            if let Some(told) = told {
                answering.answer((told, clocks.hlc.now(leaf.physical.wall_millis())));
            }
        });
    }

    async fn carry_out(self: &Rc<Self>, ask: Ask) -> Option<Told> {
        let def = self.def.clone();
        let told = match ask {
            Ask::ReadTimestamp(partitions) => {
                let long = match self.run(|store| store.prepared_long(&partitions))? {
                    Ok(long) => long,
                    Err(error) => return Some(Told::Refused(error.into())),
                };
                for (txn, partition, coordinator, at) in long {
                    if let Err(error) = self.learn(txn, partition, coordinator, at).await? {
                        return Some(Told::Refused(error));
                    }
                }
                self.run(|store| store.read_timestamp(&partitions).map(Told::At))?
            }
            Ask::Lock { ctx, partition, keys, read_at } => {
                if let Err(error) = self.resolve(&[partition], read_at).await? {
                    return Some(Told::Refused(error));
                }
                self.run(|store| {
                    let own = Some((ctx.txn, StatementNo(ctx.statement.0 - 1)));
                    let mut found = scan(store, partition, ReadView { ts: read_at, txn: own })?;
                    found.retain(|key, _| keys.contains(key));
                    let refs: Vec<u64> = found.values().map(|(_, row)| *row).collect();
                    let outcome =
                        store.lock_rows(&ctx, partition, def.id, &refs, LockRequest::to_change(read_at))?;
                    Ok(Told::Locked((!outcome.changed).then_some(found)))
                })?
            }
            Ask::Update { ctx, partition, refs, rows } => self.run(|store| {
                store.update(&ctx, partition, def.id, &refs, &batch(&def, &rows)).map(|()| Told::Done)
            })?,
            Ask::Insert { ctx, partition, rows } => self.run(|store| {
                let inserted = store.insert(&ctx, partition, def.id, &batch(&def, &rows), OnDuplicate::Error);
                inserted.map(|_| Told::Done)
            })?,
            Ask::End(txn, what) => self.run(|store| match &what {
                What::Commit(parts) => store.commit(txn, parts).map(Told::At),
                What::Prepare { parts, coordinator } => store.prepare(txn, parts, *coordinator).map(Told::At),
                What::Coordinate { parts, participants, prepared } => {
                    store.coordinate(txn, parts, participants, *prepared).map(Told::At)
                }
                What::Decide { partitions, outcome } => {
                    store.decide(txn, partitions, *outcome).map(|()| Told::Done)
                }
                What::Demand { coordinator } => store.demand_end(*coordinator, txn).map(Told::Outcome),
            })?,
            Ask::Rollback(txn, partitions) => self.run(|store| {
                store.rollback(txn, &partitions);
                Ok(Told::Done)
            })?,
            Ask::Renew(renewal) => self.run(|store| {
                store.renew(&renewal);
                Ok(Told::Done)
            })?,
            Ask::Inquire { coordinator, txn, at } => {
                self.run(|store| store.inquire(coordinator, txn, at).map(Told::Answer))?
            }
            Ask::Settle(settlements) => self.run(|store| store.settle(&settlements).map(|()| Told::Done))?,
            Ask::Read { partitions, at, pause } => {
                if let Err(error) = self.resolve(&partitions, at).await? {
                    return Some(Told::Refused(error));
                }
                // The stages of the query start later.
                self.world.sleep(pause).await;
                self.run(|store| {
                    let rows = partitions.iter().map(|partition| {
                        let found = scan(store, *partition, ReadView { ts: at, txn: None })?;
                        Ok((*partition, found.into_iter().map(|(k, (v, _))| (k, v)).collect()))
                    });
                    rows.collect::<Result<_, StoreError>>().map(Told::Rows)
                })?
            }
        };
        Some(told.unwrap_or_else(|error| Told::Refused(error.into())))
    }

    /// What a reader at `at` must know of prepared transactions.
    async fn resolve(
        self: &Rc<Self>,
        partitions: &[PartitionId],
        at: Timestamp,
    ) -> Option<Result<(), SqlError>> {
        for partition in partitions {
            let met = match self.run(|store| store.prepared_below(*partition, at))? {
                Ok(met) => met,
                Err(error) => return Some(Err(error.into())),
            };
            for (txn, coordinator) in met {
                if let Err(error) = self.learn(txn, *partition, coordinator, at).await? {
                    return Some(Err(error));
                }
            }
        }
        Some(Ok(()))
    }

    /// Asks the coordinating partition after a prepared transaction.
    async fn learn(
        self: &Rc<Self>,
        txn: TxnId,
        partition: PartitionId,
        coordinator: PartitionId,
        at: Timestamp,
    ) -> Option<Result<(), SqlError>> {
        let ask = Ask::Inquire { coordinator, txn, at };
        let outcome = match self.ask_holder(coordinator, ask).await {
            Ok(Told::Answer(Answer::Commit(at))) => Outcome::Commit(at),
            Ok(Told::Answer(Answer::Abort)) => Outcome::Abort,
            Ok(Told::Answer(Answer::LaterThan(_))) => return Some(Ok(())),
            Ok(Told::Refused(error)) => return Some(Err(error)),
            _ => return Some(Err(SqlError::internal("the coordinating partition is away"))),
        };
        let decided = self.run(|store| store.decide(txn, &[partition], outcome))?;
        Some(decided.map_err(Into::into))
    }

    async fn ask_holder(&self, partition: PartitionId, ask: Ask) -> Result<Told, Lost> {
        let holder = self.cluster.holder(partition);
        self.cluster.ask(&self.world, &self.clocks(), holder, ask).await
    }

    /// What the leaf does by itself, twice a second.
    async fn keep_order(self: Rc<Self>) {
        let mut before = BTreeSet::new();
        loop {
            self.world.sleep(500).await;
            let Some(Ok(orphans)) = self.run(|store| store.sweep()) else { return };
            for Orphan { txn, partition, coordinator } in orphans {
                let ask = Ask::End(txn, What::Demand { coordinator });
                if let Ok(Told::Outcome(outcome)) = self.ask_holder(coordinator, ask).await {
                    self.world.trace(|| format!("{} {txn} in {partition}: {outcome:?}", self.node));
                    if self.run(|store| store.decide(txn, &[partition], outcome)).is_none() {
                        return;
                    }
                    self.ended_orphans.set(self.ended_orphans.get() + 1);
                }
            }
            let Some(Ok(unsettled)) = self.run(|store| Ok(store.unsettled())) else { return };
            let key = |(_, s): &(PartitionId, Settlement)| (s.txn, s.participant);
            let now: BTreeSet<_> = unsettled.iter().map(key).collect();
            for entry in unsettled.iter().filter(|entry| before.contains(&key(entry))) {
                let (coordinator, settlement) = *entry;
                let ask = Ask::Settle(vec![settlement]);
                if let Ok(Told::Done) = self.ask_holder(settlement.participant, ask).await
                    && let Some(store) = self.store()
                {
                    self.world.trace(|| format!("{} {settlement:?} is confirmed", self.node));
                    store.confirm(coordinator, &[settlement]);
                }
            }
            before = now;
        }
    }
}

pub fn context(txn: TxnId, statement: u32, previous: u32) -> WriteContext {
    WriteContext {
        txn,
        statement: StatementNo(statement),
        begun: StatementNo(statement),
        previous: StatementNo(previous),
        table_version: 1,
        snapshot: None,
        lock_wait: Duration::ZERO,
    }
}
