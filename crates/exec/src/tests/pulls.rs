//! Streams of exchanges that other nodes ask for.

use super::{shuffled, world};
use crate::codec;
use crate::exchange::ExchangeId;
use crate::node::LocalNodes;
use crate::stages::{QueryId, StageRequest, StageService, StageSlice};
use crate::testing::{TestNode, test_read};
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use types::NodeId;

const NODE: NodeId = NodeId(2);

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
    let stage = plan.stages().iter().find(|stage| stage.id == EXCHANGE).unwrap();
    let plain = codec::plain(&stage.plan).unwrap();
    let slice = StageSlice {
        exchange: EXCHANGE,
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
        partitions: tables.partition_ids(),
        written: Vec::new(),
        options: Vec::new(),
        memory: None,
        deadline: None,
        stages: vec![slice],
        sources: Vec::new(),
        keys: Vec::new(),
    };

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
