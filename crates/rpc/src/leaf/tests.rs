//! A leaf that notes what it is asked, over a real connection.

use super::*;
use crate::Channels;
use crate::clocks::Clocks;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use async_trait::async_trait;
use columnstore::{
    Compare, Conflict, FewRead, FewRows, IfLocked, InsertOutcome, InsertedOrLocked, Inspect, Inspection,
    KeyRead, KeyRow, LockKind, LockMode, LockOutcome, LockRequest, LockState, LockWait, Maintenance,
    MemoryUse, OnDuplicate, Piece, PieceKind, Predicate, ReadAt, ReadView, RowLockMode, WriteContext,
};
use env::{Clock, SimClock};
use exec::{BulkWriter, ColumnEstimate, LeafService, Snapshots, TableEstimate, Target};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use txn::{Answer, Outcome, Renewal, Settlement, WaitReport};
use types::{
    ColumnId, DatabaseId, ErrorKind, NodeId, PartitionId, Result, SqlError, StatementNo, TableDef, TableId,
    Timestamp, TxnId, Value,
};

const X: TxnId = TxnId { node: NodeId(9), number: 1 << 60 };
const P: PartitionId = PartitionId(4);

#[derive(Default)]
struct Noted {
    calls: Mutex<Vec<String>>,
    loaded: Arc<Mutex<Vec<RecordBatch>>>,
    /// Rows of loads that ended, and loads that were taken back.
    ended: Arc<Mutex<(Vec<u64>, u32)>>,
    fails: Mutex<Option<SqlError>>,
}

impl Noted {
    fn note(&self, call: impl std::fmt::Debug) -> Result<()> {
        self.calls.lock().push(format!("{call:?}"));
        match self.fails.lock().take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn last(&self) -> String {
        self.calls.lock().last().cloned().unwrap_or_default()
    }
}

struct Load {
    rows: u64,
    loaded: Arc<Mutex<Vec<RecordBatch>>>,
    ended: Arc<Mutex<(Vec<u64>, u32)>>,
    finished: bool,
}

#[async_trait]
impl BulkWriter for Load {
    async fn append(&mut self, rows: RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Err(SqlError::new(ErrorKind::DuplicateKey, "Duplicate entry '1' for key 't.PRIMARY'"));
        }
        self.rows += rows.num_rows() as u64;
        self.loaded.lock().push(rows);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<u64> {
        self.finished = true;
        self.ended.lock().0.push(self.rows);
        Ok(self.rows)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if !self.finished {
            self.ended.lock().1 += 1;
        }
    }
}

#[async_trait]
impl LeafService for Noted {
    async fn catch_up(&self, version: u64) -> Result<()> {
        self.note(version)
    }
    async fn read_timestamp(&self, catalog: u64, partitions: &[PartitionId]) -> Result<Timestamp> {
        self.note((catalog, partitions)).map(|()| Timestamp(77))
    }
    async fn get(&self, target: Target, read: KeyRead) -> Result<KeyRow> {
        self.note((target, &read))?;
        let row = (read.key != [Value::Null]).then(|| rows(1));
        Ok(KeyRow { read_at: Timestamp(81), table_version: 6, row })
    }
    async fn few(&self, catalog: u64, table: TableId, read: FewRead) -> Result<FewRows> {
        self.note((catalog, table, &read))?;
        let found = read.most > 1;
        let rows = found.then(|| read.partitions.iter().map(|partition| (*partition, rows(2))).collect());
        Ok(FewRows { read_at: Timestamp(82), table_version: 7, rows })
    }
    async fn insert(
        &self,
        target: Target,
        ctx: WriteContext,
        rows: RecordBatch,
        on_duplicate: OnDuplicate,
    ) -> Result<InsertOutcome> {
        self.note((target, ctx, on_duplicate))?;
        let reasons = vec!["it was there".to_string()];
        Ok(InsertOutcome { inserted: rows.num_rows() as u64, ignored: 1, reasons })
    }
    async fn lock_rows(
        &self,
        target: Target,
        ctx: WriteContext,
        rows: Vec<u64>,
        request: LockRequest,
    ) -> Result<LockOutcome> {
        self.note((target, ctx, rows, request))?;
        Ok(LockOutcome { changed: true, skipped: vec![u64::MAX] })
    }
    async fn lock_table(&self, target: Target, ctx: WriteContext) -> Result<()> {
        self.note((target, ctx))
    }
    async fn insert_or_lock(
        &self,
        target: Target,
        ctx: WriteContext,
        rows: RecordBatch,
    ) -> Result<InsertedOrLocked> {
        self.note((target, ctx))?;
        let conflicts = vec![Conflict { row: 2, key: 1, existing: u64::MAX }];
        let existing = rows.slice(2, 1);
        Ok(InsertedOrLocked { inserted: 2, conflicts, existing, again: vec![3, 4] })
    }
    async fn update(&self, target: Target, _: WriteContext, rows: Vec<u64>, new: RecordBatch) -> Result<()> {
        self.note((target, rows, new))
    }
    async fn delete(&self, target: Target, _: WriteContext, rows: Vec<u64>) -> Result<()> {
        self.note((target, rows))
    }
    async fn bulk(&self, target: Target, _: WriteContext) -> Result<Box<dyn BulkWriter>> {
        self.note(target)?;
        let (loaded, ended) = (self.loaded.clone(), self.ended.clone());
        Ok(Box::new(Load { rows: 0, loaded, ended, finished: false }))
    }
    async fn rollback_statement(
        &self,
        txn: TxnId,
        statement: StatementNo,
        partitions: &[PartitionId],
    ) -> Result<()> {
        self.note((txn, statement, partitions))
    }
    async fn commit(&self, txn: TxnId, parts: &[(PartitionId, StatementNo)]) -> Result<Timestamp> {
        self.note((txn, parts)).map(|()| Timestamp(78))
    }
    async fn rollback(&self, txn: TxnId, partitions: &[PartitionId]) -> Result<()> {
        self.note((txn, partitions))
    }
    async fn prepare(
        &self,
        txn: TxnId,
        parts: &[(PartitionId, StatementNo)],
        coordinator: PartitionId,
    ) -> Result<Timestamp> {
        self.note((txn, parts, coordinator)).map(|()| Timestamp(79))
    }
    async fn coordinate(
        &self,
        txn: TxnId,
        parts: &[(PartitionId, StatementNo)],
        participants: &[PartitionId],
        prepared: Timestamp,
    ) -> Result<Timestamp> {
        self.note((txn, parts, participants, prepared)).map(|()| Timestamp(80))
    }
    async fn decide(&self, txn: TxnId, partitions: &[PartitionId], outcome: Outcome) -> Result<()> {
        self.note((txn, partitions, outcome))
    }
    async fn settle(&self, settlements: &[Settlement]) -> Result<()> {
        self.note(settlements)
    }
    async fn inquire(&self, coordinator: PartitionId, txn: TxnId, at: Timestamp) -> Result<Answer> {
        self.note((coordinator, txn, at)).map(|()| Answer::LaterThan(at))
    }
    async fn demand_end(&self, coordinator: PartitionId, txn: TxnId) -> Result<Outcome> {
        self.note((coordinator, txn)).map(|()| Outcome::Abort)
    }
    async fn interrupt(&self, txn: TxnId) -> Result<()> {
        self.note(txn)
    }
    async fn renew(&self, renewal: &Renewal) -> Result<()> {
        self.note(renewal)
    }
    async fn report_waits(&self, report: &WaitReport) -> Result<Vec<TxnId>> {
        self.note(report).map(|()| vec![X])
    }
    async fn snapshots(
        &self,
        _: u64,
        _: ReadView,
        _: &[PartitionId],
        _: &[(PartitionId, StatementNo)],
    ) -> Result<Arc<dyn Snapshots>> {
        Err(SqlError::internal("not asked over the wire"))
    }
    async fn maintain(&self, target: Target, what: Maintenance) -> Result<Vec<String>> {
        self.note((target, what)).map(|()| vec!["torn".into()])
    }
    async fn estimate(&self, def: &TableDef, partitions: &[PartitionId]) -> Result<TableEstimate> {
        self.note((&def.name, partitions))?;
        let column = ColumnEstimate { max: Some(Value::Int(5)), distinct: 3, ..ColumnEstimate::default() };
        Ok(TableEstimate { rows: 10, columns: HashMap::from([(ColumnId(1), column)]) })
    }
    async fn inspect(&self, what: Inspect) -> Result<Inspection> {
        self.note(what)?;
        Ok(found(what))
    }
}

/// Something of each kind.
fn found(what: Inspect) -> Inspection {
    let (partition, table) = (PartitionId(7), TableId(3));
    match what {
        Inspect::Pieces => Inspection::Pieces(vec![Piece {
            partition,
            table,
            kind: PieceKind::Segment,
            id: 9,
            rows: 10,
            deleted: 1,
            bytes: u64::MAX,
            committed: Some((Timestamp(1), Timestamp::MAX)),
            pending: true,
        }]),
        Inspect::Jobs => Inspection::Jobs(Vec::new()),
        Inspect::Memory => {
            Inspection::Memory(vec![MemoryUse { name: "total".into(), bytes: 5, limit: Some(6) }])
        }
        Inspect::Positions => Inspection::Positions(vec![(partition, u64::MAX)]),
        Inspect::Locks => Inspection::Locks(vec![LockState {
            partition,
            table: None,
            kind: LockKind::Row,
            key: u64::MAX,
            mode: LockMode::Exclusive,
            txn: TxnId { node: NodeId(1), number: u64::MAX },
            wait: Some(LockWait { millis: 3, blockers: vec![TxnId { node: NodeId(2), number: 4 }] }),
        }]),
    }
}

struct Wire {
    leaf: Arc<Noted>,
    client: LeafClient,
    ours: Clocks,
    our_clock: Arc<SimClock>,
    theirs: Clocks,
}

async fn wire() -> Wire {
    let clocks = || {
        let physical = SimClock::at_millis(1_000_000);
        (Clocks { hlc: Arc::default(), physical: physical.clone() }, physical)
    };
    let ((ours, our_clock), (theirs, _)) = (clocks(), clocks());
    let leaf = Arc::new(Noted::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let service = LeafServer::new(leaf.clone(), theirs.clone());
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let channel = Channels::default().to(&address).unwrap();
    let client = LeafClient::new(format!("leaf n2 ({address})"), channel, ours.clone());
    Wire { leaf, client, ours, our_clock, theirs }
}

fn target() -> Target {
    Target { catalog: 12, partition: P, table: TableId(3) }
}

fn context() -> WriteContext {
    WriteContext {
        txn: X,
        statement: StatementNo(3),
        begun: StatementNo(2),
        previous: StatementNo(1),
        table_version: 5,
        snapshot: Some(Timestamp(6)),
        lock_wait: Duration::from_millis(50_000),
    }
}

fn rows(count: i64) -> RecordBatch {
    let numbers: ArrayRef = Arc::new((0..count).collect::<Int64Array>());
    let texts: ArrayRef = Arc::new((0..count).map(|n| Some(format!("row {n}"))).collect::<StringViewArray>());
    RecordBatch::try_from_iter([("k", numbers), ("v", texts)]).unwrap()
}

fn def() -> TableDef {
    TableDef {
        id: TableId(3),
        database: DatabaseId(1),
        name: "orders".into(),
        version: 5,
        next_column_id: ColumnId(1),
        columns: Vec::new(),
        shard_key: Vec::new(),
        sort_key: Vec::new(),
        primary_key: Vec::new(),
        keys: Vec::new(),
        collation: types::Collation::default(),
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        comment: String::new(),
        replacement: None,
        reference: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_arrives_as_it_was_made_and_is_answered() {
    let Wire { leaf, client, .. } = wire().await;
    let parts = [(P, StatementNo(2)), (PartitionId(5), StatementNo(1))];
    let told = |expected: String| assert_eq!(leaf.last(), expected);

    client.catch_up(7).await.unwrap();
    told("7".into());
    assert_eq!(client.read_timestamp(12, &[P]).await.unwrap(), Timestamp(77));
    told(format!("{:?}", (12, [P])));
    for (key, at, txn) in [
        (Value::Null, ReadAt::Newest { not_before: Timestamp(3) }, None),
        (Value::Text("k".into()), ReadAt::Snapshot(Timestamp(4)), Some((X, StatementNo(2)))),
    ] {
        let row = (key != Value::Null).then(|| rows(1));
        let written = StatementNo(u32::from(txn.is_some()));
        let (columns, row_ref) = (vec![ColumnId(5)], txn.is_some());
        let read = KeyRead { key: vec![key], columns, row_ref, at, txn, written };
        let found = client.get(target(), read.clone()).await.unwrap();
        assert_eq!(found, KeyRow { read_at: Timestamp(81), table_version: 6, row });
        told(format!("{:?}", (target(), read)));
    }
    for (most, at, txn) in [
        (1, ReadAt::Newest { not_before: Timestamp(3) }, None),
        (50, ReadAt::Snapshot(Timestamp(4)), Some((X, StatementNo(2)))),
    ] {
        let column = ColumnId(5);
        let read = FewRead {
            partitions: vec![P, PartitionId(5)],
            predicates: vec![
                Predicate::Compare { column, op: Compare::GreaterEq, value: Value::Int(-3) },
                Predicate::In { column, values: vec![Value::Text("k".into()), Value::Null] },
            ],
            columns: vec![column],
            row_ref: txn.is_some(),
            at,
            txn,
            written: txn.map(|_| (PartitionId(5), StatementNo(1))).into_iter().collect(),
            most,
        };
        let found = client.few(9, TableId(6), read.clone()).await.unwrap();
        let expected = (most > 1).then(|| vec![(P, rows(2)), (PartitionId(5), rows(2))]);
        assert_eq!(found, FewRows { read_at: Timestamp(82), table_version: 7, rows: expected });
        told(format!("{:?}", (9, TableId(6), read)));
    }
    let inserted = client.insert(target(), context(), rows(3), OnDuplicate::Ignore).await.unwrap();
    let reasons = vec!["it was there".to_string()];
    assert_eq!(inserted, InsertOutcome { inserted: 3, ignored: 1, reasons });
    told(format!("{:?}", (target(), context(), OnDuplicate::Ignore)));
    let refs = vec![1, u64::MAX];
    for (mode, if_locked) in [
        (RowLockMode::Exclusive, IfLocked::Wait),
        (RowLockMode::Shared, IfLocked::Fail),
        (RowLockMode::Shared, IfLocked::Skip),
    ] {
        let request = LockRequest { read_at: Timestamp(8), mode, if_locked };
        let locked = client.lock_rows(target(), context(), refs.clone(), request).await.unwrap();
        assert_eq!(locked, LockOutcome { changed: true, skipped: vec![u64::MAX] });
        told(format!("{:?}", (target(), context(), &refs, request)));
    }
    client.lock_table(target(), context()).await.unwrap();
    told(format!("{:?}", (target(), context())));
    let met = client.insert_or_lock(target(), context(), rows(5)).await.unwrap();
    told(format!("{:?}", (target(), context())));
    assert_eq!((met.inserted, met.again), (2, vec![3, 4]));
    assert_eq!(met.conflicts, [Conflict { row: 2, key: 1, existing: u64::MAX }]);
    assert_eq!(met.existing, rows(5).slice(2, 1));
    client.update(target(), context(), refs.clone(), rows(2)).await.unwrap();
    told(format!("{:?}", (target(), &refs, rows(2))));
    client.delete(target(), context(), refs.clone()).await.unwrap();
    told(format!("{:?}", (target(), &refs)));
    client.rollback_statement(X, StatementNo(2), &[P]).await.unwrap();
    told(format!("{:?}", (X, StatementNo(2), [P])));
    assert_eq!(client.commit(X, &parts).await.unwrap(), Timestamp(78));
    told(format!("{:?}", (X, parts)));
    client.rollback(X, &[P]).await.unwrap();
    told(format!("{:?}", (X, [P])));
    client.interrupt(X).await.unwrap();
    told(format!("{X:?}"));
    assert_eq!(client.prepare(X, &parts, PartitionId(9)).await.unwrap(), Timestamp(79));
    told(format!("{:?}", (X, parts, PartitionId(9))));
    let at = client.coordinate(X, &parts, &[PartitionId(8)], Timestamp(79)).await.unwrap();
    assert_eq!(at, Timestamp(80));
    told(format!("{:?}", (X, parts, [PartitionId(8)], Timestamp(79))));
    for outcome in [Outcome::Commit(Timestamp(80)), Outcome::Abort] {
        client.decide(X, &[P], outcome).await.unwrap();
        told(format!("{:?}", (X, [P], outcome)));
    }
    let settlement = Settlement { txn: X, participant: P, at: Timestamp(80) };
    client.settle(&[settlement]).await.unwrap();
    told(format!("{:?}", [settlement]));
    assert_eq!(client.inquire(P, X, Timestamp(5)).await.unwrap(), Answer::LaterThan(Timestamp(5)));
    told(format!("{:?}", (P, X, Timestamp(5))));
    assert_eq!(client.demand_end(P, X).await.unwrap(), Outcome::Abort);
    told(format!("{:?}", (P, X)));
    let renewal = Renewal {
        aggregator: NodeId(9),
        incarnation: 5,
        number: 6,
        next: 8,
        open: vec![5, 7],
        oldest_snapshot: Some(Timestamp(3)),
    };
    client.renew(&renewal).await.unwrap();
    told(format!("{renewal:?}"));
    let report = WaitReport { leaf: NodeId(2), waits: vec![(X, vec![X, X])] };
    assert_eq!(client.report_waits(&report).await.unwrap(), vec![X]);
    told(format!("{report:?}"));
    for what in [Maintenance::Flush, Maintenance::Merge, Maintenance::MergeAll, Maintenance::Check] {
        assert_eq!(client.maintain(target(), what).await.unwrap(), ["torn"]);
        told(format!("{:?}", (target(), what)));
    }
    for what in [Inspect::Pieces, Inspect::Jobs, Inspect::Memory, Inspect::Locks, Inspect::Positions] {
        assert_eq!(client.inspect(what).await.unwrap(), found(what));
        told(format!("{what:?}"));
    }
    let estimate = client.estimate(&def(), &[P]).await.unwrap();
    assert_eq!((estimate.rows, &estimate.columns[&ColumnId(1)].max), (10, &Some(Value::Int(5))));
    told(format!("{:?}", ("orders", [P])));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_leaf_arrives_whole() {
    let Wire { leaf, client, .. } = wire().await;
    let error = SqlError::new(ErrorKind::LockWaitTimeout, "Lock wait timeout exceeded");
    *leaf.fails.lock() = Some(error.clone());
    assert_eq!(client.delete(target(), context(), vec![1]).await.unwrap_err(), error);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_is_finished_or_taken_back() {
    let Wire { leaf, client, .. } = wire().await;
    let mut load = client.bulk(target(), context()).await.unwrap();
    for count in 1..6 {
        load.append(rows(count)).await.unwrap();
    }
    assert_eq!(load.finish().await.unwrap(), 15);
    assert_eq!(leaf.loaded.lock()[4], rows(5));
    assert_eq!(*leaf.ended.lock(), (vec![15], 0));

    let mut load = client.bulk(target(), context()).await.unwrap();
    load.append(rows(2)).await.unwrap();
    drop(load);
    while leaf.ended.lock().1 == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(leaf.ended.lock().0, vec![15]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_fails_says_why() {
    let Wire { client, .. } = wire().await;
    let mut load = client.bulk(target(), context()).await.unwrap();
    let error = loop {
        if let Err(error) = load.append(rows(0)).await {
            break error;
        }
    };
    assert_eq!(error.kind, ErrorKind::DuplicateKey);
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_are_carried_both_ways_and_one_that_is_ahead_is_refused() {
    let Wire { client, ours, our_clock, theirs, .. } = wire().await;
    let heard = Timestamp::from_millis(1_001_000);
    ours.hlc.observe(heard);
    client.catch_up(1).await.unwrap();
    assert!(theirs.hlc.newest() >= heard);
    let later = Timestamp::from_millis(1_002_000);
    theirs.hlc.observe(later);
    client.catch_up(1).await.unwrap();
    assert!(ours.hlc.newest() >= later);
    our_clock.step_wall(our_clock.wall_millis() + 600);
    let error = client.catch_up(1).await.unwrap_err();
    assert!(error.message.contains("600 ms ahead"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_sent_long_ago_is_refused() {
    let Wire { client, our_clock, leaf, .. } = wire().await;
    our_clock.step_wall(1_000_000 - 61_000);
    // By our clock the answer comes from the future, so it is refused as well; the leaf did nothing.
    client.commit(X, &[(P, StatementNo(1))]).await.unwrap_err();
    assert!(leaf.calls.lock().is_empty());
    client.catch_up(1).await.unwrap_err();
    assert_eq!(leaf.last(), "1", "what does not write is carried out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let clocks = Clocks { hlc: Arc::default(), physical: SimClock::at_millis(1_000_000) };
    let channel = Channels::default().to(&address).unwrap();
    let client = LeafClient::new(format!("leaf n3 ({address})"), channel, clocks);
    let error = client.read_timestamp(1, &[P]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::ServerOffline);
    assert!(error.message.contains("leaf n3"), "{error}");
}
