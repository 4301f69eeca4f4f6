//! Two leaves that know each other, without a network between them.

use crate::Leaf;
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, UInt64Type};
use async_trait::async_trait;
use catalog::{Catalog, Command, CommandId, Metadata, NodeRole};
use columnstore::{
    FewRead, KeyRead, OnDuplicate, Options, Predicate, ReadAt, ReadView, ScanSpec, Store, WriteContext,
};
use env::{MemoryBudget, SimClock, SimDisk};
use exec::{LeafService, LocalLeaves, RowChange, RowChanged, Target};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use txn::lease::LEASE_MILLIS;
use txn::{Outcome, Registry};
use types::{
    ColumnDef, ColumnDefault, ColumnId, DatabaseId, ErrorKind, NodeId, PartitionId, Result, SqlError,
    SqlType, StatementNo, TableDef, TableId, Timestamp, TxnId, Value,
};

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);

/// A catalog that does not change.
struct Fixed(Arc<Catalog>);

#[async_trait]
impl Metadata for Fixed {
    fn snapshot(&self) -> Arc<Catalog> {
        self.0.clone()
    }

    async fn propose(&self, _: Command) -> Result<catalog::Outcome, SqlError> {
        Err(SqlError::internal("this catalog does not change"))
    }

    async fn changed(&self, _: u64) -> Result<Arc<Catalog>, SqlError> {
        std::future::pending().await
    }
}

fn definition() -> TableDef {
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
        id: TableId(0),
        database: DatabaseId(0),
        name: "t".into(),
        version: 0,
        next_column_id: ColumnId(3),
        columns: vec![column(1, "k"), column(2, "v")],
        shard_key: vec![ColumnId(1)],
        sort_key: Vec::new(),
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

struct Two {
    leaves: BTreeMap<NodeId, Arc<Leaf>>,
    clocks: Vec<Arc<SimClock>>,
    all: Arc<LocalLeaves>,
    catalog: Arc<Catalog>,
    def: Arc<TableDef>,
    registry: Registry,
}

impl Two {
    async fn new() -> Two {
        let mut catalog = Catalog::new();
        let mut number = 0;
        let mut apply = |command| {
            number += 1;
            let id = CommandId { node: ONE, number };
            catalog.apply(id, &command).expect("a command that fits");
        };
        for (id, port) in [(ONE, 7307), (TWO, 7308)] {
            let host = "127.0.0.1".to_string();
            apply(Command::RegisterNode {
                id: Some(id),
                host,
                port,
                mysql_port: None,
                role: NodeRole::Leaf,
                cores: 1,
            });
        }
        let database = "d".to_string();
        apply(Command::CreateDatabase {
            name: database.clone(),
            partitions: Some(2),
            collation: types::Collation::default(),
            if_not_exists: false,
        });
        apply(Command::CreateTable { database, def: definition(), if_not_exists: false });
        let def = catalog.table("d", "t").expect("just made").clone();
        let catalog = Arc::new(catalog);
        let all = Arc::new(LocalLeaves::default());
        let (mut leaves, mut clocks) = (BTreeMap::new(), Vec::new());
        for node in [ONE, TWO] {
            let clock = SimClock::at_millis(1_000_000);
            let options = Options { workers: 0, ..Options::new(MemoryBudget::new(64 << 20)) };
            let disk = Arc::new(SimDisk::new(1));
            let store = Store::open(disk, clock.clone(), Path::new("/leaf"), options).unwrap();
            let leaf = Arc::new(Leaf::new(node, store, Arc::new(Fixed(catalog.clone()))));
            leaf.join(all.clone());
            leaf.catch_up(catalog.version()).await.unwrap();
            all.add(node, leaf.clone());
            leaves.insert(node, leaf);
            clocks.push(clock);
        }
        Two { leaves, clocks, all, catalog, def, registry: Registry::new(NodeId(9), 100) }
    }

    /// The partition of a leaf.
    fn of(&self, node: NodeId) -> PartitionId {
        let partitions = self.catalog.partitions(self.def.database);
        partitions.iter().find(|p| p.primary == node).expect("each leaf has one").id
    }

    fn leaf(&self, node: NodeId) -> Arc<Leaf> {
        self.leaves[&node].clone()
    }

    fn target(&self, node: NodeId) -> Target {
        Target { catalog: self.catalog.version(), partition: self.of(node), table: self.def.id }
    }

    fn context(&self, txn: TxnId, statement: u32, previous: u32) -> WriteContext {
        WriteContext {
            txn,
            statement: StatementNo(statement),
            begun: StatementNo(statement),
            previous: StatementNo(previous),
            table_version: self.def.version,
            snapshot: None,
            lock_wait: Duration::from_secs(60),
        }
    }

    async fn insert(&self, node: NodeId, ctx: WriteContext, key: i64) -> Result<()> {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("k", Arc::new(Int64Array::from(vec![key]))),
            ("v", Arc::new(Int64Array::from(vec![key * 10]))),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        self.leaf(node).insert(self.target(node), ctx, rows, OnDuplicate::Error).await.map(drop)
    }

    async fn prepare(&self, node: NodeId, txn: TxnId, coordinator: NodeId) -> Timestamp {
        let parts = [(self.of(node), StatementNo(1))];
        self.leaf(node).prepare(txn, &parts, self.of(coordinator)).await.unwrap()
    }

    async fn coordinate(&self, node: NodeId, txn: TxnId, other: NodeId, prepared: Timestamp) -> Timestamp {
        let parts = [(self.of(node), StatementNo(1))];
        self.leaf(node).coordinate(txn, &parts, &[self.of(other)], prepared).await.unwrap()
    }

    async fn read(&self, node: NodeId, ts: Timestamp) -> Result<BTreeMap<i64, (i64, u64)>> {
        self.read_as(node, ReadView { ts, txn: None }, StatementNo(0)).await
    }

    async fn read_as(
        &self,
        node: NodeId,
        view: ReadView,
        written: StatementNo,
    ) -> Result<BTreeMap<i64, (i64, u64)>> {
        let partition = self.of(node);
        let (version, written) = (self.catalog.version(), [(partition, written)]);
        let pinned = self.leaf(node).snapshots(version, view, &[partition], &written).await?;
        let table = pinned.snapshot(partition, self.def.id)?;
        let spec =
            ScanSpec { columns: vec![ColumnId(1), ColumnId(2)], predicates: Vec::new(), row_refs: true };
        let mut rows = BTreeMap::new();
        for morsel in table.morsels(&[]) {
            morsel.scan(&spec, &mut |batch| {
                let k = batch.column(0).as_primitive::<Int64Type>();
                let v = batch.column(1).as_primitive::<Int64Type>();
                let row = batch.column(2).as_primitive::<UInt64Type>();
                rows.extend((0..batch.num_rows()).map(|i| (k.value(i), (v.value(i), row.value(i)))));
                Ok(true)
            })?;
        }
        Ok(rows)
    }

    /// The value and the reference of the row with key `key`, and when it was read.
    async fn get(&self, node: NodeId, key: i64, at: ReadAt) -> Result<(Timestamp, Option<(i64, u64)>)> {
        let columns = vec![ColumnId(2)];
        let (key, written) = (vec![Value::Int(key)], StatementNo(0));
        let read = KeyRead { key, columns, row_ref: true, at, txn: None, written };
        let found = self.leaf(node).get(self.target(node), read).await?;
        assert_eq!(found.table_version, self.def.version);
        let row = found.row.map(|row| {
            let v = row.column(0).as_primitive::<Int64Type>().value(0);
            (v, row.column(1).as_primitive::<UInt64Type>().value(0))
        });
        Ok((found.read_at, row))
    }

    async fn now(&self, node: NodeId) -> Timestamp {
        let leaf = self.leaf(node);
        leaf.read_timestamp(self.catalog.version(), &[self.of(node)]).await.unwrap()
    }

    fn open(&self, node: NodeId) -> u64 {
        self.leaf(node).store().statistics().open_transactions
    }

    /// Runs what leaves do by themselves until `done`.
    async fn until(&self, done: impl Fn() -> bool) {
        let tasks: Vec<_> = self
            .leaves
            .values()
            .flat_map(|leaf| {
                let leaf = Arc::downgrade(leaf);
                let order = tokio::spawn(Leaf::keep_order(leaf.clone()));
                [order, tokio::spawn(Leaf::report_long_waits(leaf))]
            })
            .collect();
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tasks.iter().for_each(|task| task.abort());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_meets_a_prepared_transaction_asks_and_shows_what_was_decided() {
    let mut two = Two::new().await;
    let txn = two.registry.begin();
    for node in [ONE, TWO] {
        two.insert(node, two.context(txn, 1, 0), 7).await.unwrap();
    }
    let prepared = two.prepare(TWO, txn, ONE).await;
    let early = prepared.next();
    assert!(two.read(TWO, early).await.unwrap().is_empty());
    let at = two.coordinate(ONE, txn, TWO, prepared).await;
    assert!(at > early);
    assert_eq!(two.open(TWO), 1, "nobody has told it");
    assert_eq!(two.read(TWO, at).await.unwrap()[&7].0, 70);
    assert_eq!(two.open(TWO), 0);
    assert!(two.read(TWO, early).await.unwrap().is_empty(), "the snapshot has not changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_fails_at_once_if_the_deciding_leaf_is_away() {
    let mut two = Two::new().await;
    let txn = two.registry.begin();
    for node in [ONE, TWO] {
        two.insert(node, two.context(txn, 1, 0), 7).await.unwrap();
    }
    let prepared = two.prepare(TWO, txn, ONE).await;
    assert!(two.read(TWO, prepared).await.unwrap().is_empty(), "what does not meet it goes on");
    two.all.remove(ONE);
    let error = two.read(TWO, prepared.next()).await.unwrap_err();
    assert!(error.message.contains("n1"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_silent_aggregator_left_is_ended_and_what_was_decided_is_told() {
    let mut two = Two::new().await;
    let (undecided, decided) = (two.registry.begin(), two.registry.begin());
    for node in [ONE, TWO] {
        two.leaf(node).renew(&two.registry.renewal()).await.unwrap();
        two.insert(node, two.context(undecided, 1, 0), 1).await.unwrap();
        two.insert(node, two.context(decided, 1, 0), 2).await.unwrap();
    }
    two.prepare(TWO, undecided, ONE).await;
    let prepared = two.prepare(TWO, decided, ONE).await;
    let at = two.coordinate(ONE, decided, TWO, prepared).await;
    two.clocks.iter().for_each(|clock| clock.advance(LEASE_MILLIS));
    two.until(|| two.open(ONE) + two.open(TWO) == 0).await;
    for node in [ONE, TWO] {
        let rows = two.read(node, two.now(node).await).await.unwrap();
        assert_eq!(rows.keys().copied().collect::<Vec<_>>(), vec![2], "{node}");
    }
    assert_eq!(two.leaf(ONE).demand_end(two.of(ONE), decided).await.unwrap(), Outcome::Commit(at));
    assert_eq!(two.leaf(ONE).demand_end(two.of(ONE), undecided).await.unwrap(), Outcome::Abort);
    two.until(|| two.leaf(ONE).store().unsettled().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_where_its_own_writes_were_lost_is_told() {
    let mut two = Two::new().await;
    let txn = two.registry.begin();
    two.leaf(ONE).renew(&two.registry.renewal()).await.unwrap();
    two.insert(ONE, two.context(txn, 2, 0), 7).await.unwrap();
    let (ts, written, partition) = (two.now(ONE).await, StatementNo(2), two.of(ONE));
    let own = Some((txn, StatementNo(3)));
    let view = ReadView { ts, txn: own };
    let key = KeyRead {
        key: vec![Value::Int(7)],
        columns: vec![ColumnId(2)],
        row_ref: false,
        at: ReadAt::Snapshot(ts),
        txn: own,
        written,
    };
    let few = FewRead {
        partitions: vec![partition],
        predicates: vec![Predicate::In { column: ColumnId(1), values: vec![Value::Int(7)] }],
        columns: vec![ColumnId(2)],
        row_ref: false,
        at: ReadAt::Newest { not_before: ts },
        txn: own,
        written: vec![(partition, written)],
        most: 10,
    };
    let (version, table) = (two.catalog.version(), two.def.id);
    assert_eq!(two.read_as(ONE, view, written).await.unwrap()[&7].0, 70);
    assert!(two.leaf(ONE).get(two.target(ONE), key.clone()).await.unwrap().row.is_some());
    let found = two.leaf(ONE).few(version, table, few.clone()).await.unwrap().rows.unwrap();
    assert_eq!(found.iter().map(|(_, rows)| rows.num_rows()).sum::<usize>(), 1);

    two.leaf(ONE).rollback(txn, &[partition]).await.unwrap();
    let of_scan = two.read_as(ONE, view, written).await.unwrap_err();
    let of_key = two.leaf(ONE).get(two.target(ONE), key.clone()).await.unwrap_err();
    let of_few = two.leaf(ONE).few(version, table, few).await.unwrap_err();
    for error in [of_scan, of_key, of_few] {
        assert_eq!(error.kind, ErrorKind::Deadlock, "{error}");
        assert!(error.message.starts_with("The transaction was rolled back"), "{error}");
    }
    // Who wrote nothing there has lost nothing.
    assert!(two.read_as(ONE, view, StatementNo(0)).await.unwrap().is_empty());
    let elsewhere = KeyRead { written: StatementNo(0), ..key };
    assert!(two.leaf(ONE).get(two.target(ONE), elsewhere).await.unwrap().row.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_deadlock_over_two_leaves_the_youngest_gives_up() {
    let mut two = Two::new().await;
    let (old, young) = (two.registry.begin(), two.registry.begin());
    two.insert(ONE, two.context(old, 1, 0), 1).await.unwrap();
    two.insert(TWO, two.context(young, 1, 0), 1).await.unwrap();
    let two = Arc::new(two);
    // Each wants the key that the other is inserting.
    let wait = |node, txn| {
        let two = two.clone();
        tokio::spawn(async move { two.insert(node, two.context(txn, 2, 0), 1).await })
    };
    let (of_old, of_young) = (wait(TWO, old), wait(ONE, young));
    two.until(|| of_young.is_finished()).await;
    let error = of_young.await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Deadlock);
    two.leaf(TWO).rollback(young, &[two.of(TWO)]).await.unwrap();
    of_old.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_follows_the_table() {
    let mut two = Two::new().await;
    let partitions = [two.of(ONE)];
    let estimate = async |two: &Two| two.leaf(ONE).estimate(&two.def, &partitions).await.unwrap().rows;
    assert_eq!(estimate(&two).await, 0);
    let txn = two.registry.begin();
    two.insert(ONE, two.context(txn, 1, 0), 1).await.unwrap();
    two.leaf(ONE).commit(txn, &[(two.of(ONE), StatementNo(1))]).await.unwrap();
    assert_eq!(estimate(&two).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_by_key_asks_after_what_is_prepared() {
    let mut two = Two::new().await;
    let txn = two.registry.begin();
    for node in [ONE, TWO] {
        two.insert(node, two.context(txn, 1, 0), 7).await.unwrap();
    }
    let newest = ReadAt::Newest { not_before: Timestamp::ZERO };
    assert_eq!(two.get(TWO, 7, newest).await.unwrap().1, None);
    let prepared = two.prepare(TWO, txn, ONE).await;
    let early = prepared.next();
    assert_eq!(two.get(TWO, 7, ReadAt::Snapshot(early)).await.unwrap().1, None);
    let at = two.coordinate(ONE, txn, TWO, prepared).await;
    assert!(at > early);
    assert_eq!(two.open(TWO), 1, "nobody has told it");
    let not_before = at;
    let (read_at, row) = two.get(TWO, 7, ReadAt::Newest { not_before }).await.unwrap();
    assert_eq!((read_at, row.map(|(value, _)| value)), (at, Some(70)));
    assert_eq!(two.open(TWO), 0);
    assert_eq!(two.get(TWO, 8, newest).await.unwrap().1, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_all_of_its_transaction_is_committed_with_it() {
    let mut two = Two::new().await;
    let newest = ReadAt::Newest { not_before: Timestamp::ZERO };
    let rows = |key: i64, value: i64| {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("k", Arc::new(Int64Array::from(vec![key]))),
            ("v", Arc::new(Int64Array::from(vec![value]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    let leaf = two.leaf(ONE);
    let txn = two.registry.begin();
    let insert = |ctx| leaf.insert_and_commit(two.target(ONE), ctx, rows(1, 10), OnDuplicate::Error);
    let (outcome, committed) = insert(two.context(txn, 1, 0)).await.unwrap();
    assert_eq!(outcome.inserted, 1);
    let (read_at, row) = two.get(ONE, 1, newest).await.unwrap();
    assert_eq!((read_at, two.open(ONE)), (committed.unwrap(), 0));
    let (value, place) = row.unwrap();
    assert_eq!(value, 10);

    let change = async |two: &mut Two, read_at, change, commit| {
        let txn = two.registry.begin();
        let ctx = two.context(txn, 1, 0);
        let done = two.leaf(ONE).change_row(two.target(ONE), ctx, (place, read_at), change, commit).await;
        let RowChanged { stale, committed } = done.unwrap();
        (txn, stale, committed.map(|committed| committed.unwrap()))
    };
    let (_, stale, committed) = change(&mut two, read_at, RowChange::Update(rows(1, 11)), true).await;
    assert!(!stale && committed > Some(read_at));
    assert_eq!(two.get(ONE, 1, newest).await.unwrap().1.unwrap().0, 11);
    // What was read before that is not what is there.
    let (txn, stale, committed) = change(&mut two, read_at, RowChange::Delete, true).await;
    assert_eq!((stale, committed, two.open(ONE)), (true, None, 1));
    two.leaf(ONE).rollback(txn, &[two.of(ONE)]).await.unwrap();
    let (now, _) = two.get(ONE, 1, newest).await.unwrap();
    let (txn, stale, committed) = change(&mut two, now, RowChange::Delete, false).await;
    assert_eq!((stale, committed), (false, None));
    assert_eq!(two.get(ONE, 1, newest).await.unwrap().1.unwrap().0, 11, "it is not committed");
    two.leaf(ONE).commit(txn, &[(two.of(ONE), StatementNo(1))]).await.unwrap();
    assert_eq!(two.get(ONE, 1, newest).await.unwrap().1, None);
}
