//! Streams of exchanges that other nodes ask for.

use super::{shuffled, world};
use crate::codec;
use crate::exchange::{ExchangeId, ExchangeReceiver};
use crate::measured::Measured;
use crate::node::LocalNodes;
use crate::plan::DistributedPlan;
use crate::spread::Source;
use crate::stages::{
    Pull, QueryId, StageControl, StageNodes, StageRequest, StageService, StageSlice, ToldKeys,
};
use crate::testing::{TestNode, test_read};
use async_trait::async_trait;
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use types::{NodeId, Result, SqlError};

const NODE: NodeId = NodeId(2);

/// All tasks of a stage, for one node.
fn part(plan: &DistributedPlan, exchange: ExchangeId) -> (QueryId, StageRequest) {
    let stage = plan.stages().iter().find(|stage| stage.id == exchange).unwrap();
    let plain = codec::plain(&stage.plan).unwrap();
    let slice = StageSlice {
        exchange,
        tasks: vec![0, 1, 2],
        streams: 3,
        plan: codec::encode(&plain.data, stage.output.as_ref().unwrap(), plain.transformed).unwrap(),
    };
    let query = QueryId { node: NodeId(1), number: 7 };
    let request = StageRequest {
        query,
        part: 1,
        catalog: 1,
        view: test_read().view,
        partitions: Vec::new(),
        written: Vec::new(),
        options: Vec::new(),
        memory: None,
        deadline: None,
        stages: vec![slice],
        sources: Vec::new(),
        keys: Vec::new(),
    };
    (query, request)
}

/// A reader asks for its stream, and is gone before the query has come to the node: whether it was asked at once or
/// waited already, the stream is closed, so its rows are not kept for as long as the query lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_reader_went_before_the_query_came_holds_nothing() {
    const EXCHANGE: ExchangeId = ExchangeId(2);
    let mut world = world(200_000, 1 << 30);
    let plan = shuffled(&world).await;
    let tables = Arc::new(std::mem::take(&mut world.tables));
    let folder = tempfile::tempdir().unwrap();
    let leaf = TestNode::new(NODE, LocalNodes::new(), Some(tables.clone()), folder.path(), |_| {});
    let (query, mut request) = part(&plan, EXCHANGE);
    request.partitions = tables.partition_ids();

    let mut streams = leaf.node.pull(query, EXCHANGE, &[0, 1, 2]);
    let (mut read, unread, mut waiting) = (streams.remove(0), streams.remove(0), streams.remove(0));
    let waited = tokio::time::timeout(Duration::from_millis(50), waiting.next()).await;
    assert!(waited.is_err(), "the query has not come");
    drop((unread, waiting));
    let control = leaf.node.start(request).await.unwrap();
    let mut rows = 0;
    while let Some(batch) = read.next().await {
        rows += batch.unwrap().num_rows();
    }
    assert!(rows > 0 && rows < 200_000, "{rows}");
    drop(read);
    // The query is awaited still.
    assert_eq!(leaf.node.queries(), 1);
    for _ in 0..500 {
        if leaf.memory.used() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(leaf.memory.used(), 0, "what nobody reads is kept");
    drop(control);
}

/// A node that remembers which streams it was asked for, and sends nothing.
#[derive(Default)]
struct Silent(Mutex<Vec<(ExchangeId, Vec<usize>)>>);

#[async_trait]
impl StageService for Silent {
    async fn start(&self, _: StageRequest) -> Result<StageControl> {
        Err(SqlError::internal("it runs nothing"))
    }

    fn pull(&self, _: QueryId, exchange: ExchangeId, streams: &[usize]) -> Vec<ExchangeReceiver> {
        self.0.lock().push((exchange, streams.to_vec()));
        streams.iter().map(|_| stream::pending().boxed()).collect()
    }

    async fn close(&self, _: Pull) -> Result<()> {
        Ok(())
    }

    fn tell(&self, _: QueryId, _: u32, _: ToldKeys) {}

    async fn measure(&self, _: QueryId, _: u32) -> Result<Vec<(ExchangeId, Measured)>> {
        Ok(Vec::new())
    }
}

struct Only(Arc<Silent>);

impl StageNodes for Only {
    fn stages(&self, _: NodeId) -> Result<Arc<dyn StageService>> {
        Ok(self.0.clone())
    }
}

/// What a part begins with is asked for as it begins, once, whether somebody reads it then or later; what is not first
/// waits for its reader.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_asks_for_what_it_begins_with() {
    let (reads, read) = (ExchangeId(1), ExchangeId(2));
    let plan = shuffled(&world(10, 1 << 20)).await;
    for first in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let other = Arc::new(Silent::default());
        let leaf = TestNode::new(NODE, Arc::new(Only(other.clone())), None, folder.path(), |_| {});
        let (query, mut request) = part(&plan, reads);
        request.sources = vec![Source { exchange: read, first, apart: false, nodes: vec![NodeId(3)] }];
        let control = leaf.node.start(request).await.unwrap();
        let all = vec![(read, vec![0, 1, 2])];
        assert_eq!(*other.0.lock(), if first { all.clone() } else { Vec::new() });
        let mut rows = leaf.node.pull(query, reads, &[0]).remove(0);
        let waited = tokio::time::timeout(Duration::from_millis(50), rows.next()).await;
        assert!(waited.is_err(), "nothing has come");
        if first {
            assert_eq!(*other.0.lock(), all);
        }
        drop((rows, control));
        for _ in 0..500 {
            if leaf.idle().is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(leaf.idle(), Ok(()), "what was asked for is held");
    }
}
