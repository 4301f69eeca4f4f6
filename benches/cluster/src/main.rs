//! The exchange between nodes beside raw TCP: the same rows through loopback, by the service and client
//! that leaves use, and their bytes through a plain connection. Both ends are in this process, so its CPU
//! time is that of sender and receiver together.
//!
//! `exchange-throughput [MEGABYTES]` prints a line of JSON: for each way the megabytes of rows, seconds, and
//! CPU seconds. The script beside it makes a table of that.

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, StringViewArray};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use exec::exchange::{ExchangeId, ExchangeReceiver};
use exec::stages::{Pull, QueryId, StageControl, StageRequest, ToldKeys};
use exec::{Measured, StageService};
use futures::stream::{self, StreamExt};
use rpc::Channels;
use rpc::server::{Connections, Routes, serve};
use rpc::stages::{StagesClient, server};
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use types::{NodeId, SqlError};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const DEFAULT_MEGABYTES: usize = 2000;
const ROWS: usize = 8192;
/// Consumers that read at the same time, as the tasks of a stage do.
const STREAMS: usize = 4;
/// What the plain connection writes and reads at once.
const CHUNK: usize = 256 << 10;
/// Of /proc/self/stat: USER_HZ, which is this on all that Pando runs on.
const TICKS_PER_SECOND: f64 = 100.0;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let megabytes = match std::env::args().nth(1) {
        Some(text) => text.parse().map_err(|error| format!("'{text}' megabytes: {error}"))?,
        None => DEFAULT_MEGABYTES,
    };
    let batch = rows()?;
    let bytes = columnstore::batch_bytes(&batch);
    let batches = (megabytes * 1_000_000).div_ceil(bytes * STREAMS).max(1);
    let total = batches * bytes * STREAMS;
    // A short run first, to make connections and fill allocators.
    exchange(&batch, batches.div_ceil(20)).await?;
    plain(total / 20).await?;
    let by_exchange = measured(exchange(&batch, batches)).await?;
    let by_tcp = measured(plain(total)).await?;
    println!("{{\"exchange\": {}, \"tcp\": {}}}", by_exchange.json(total), by_tcp.json(total));
    Ok(())
}

struct Cost {
    wall: f64,
    cpu: f64,
}

impl Cost {
    fn json(&self, bytes: usize) -> String {
        format!(
            "{{\"megabytes\": {:.0}, \"wall\": {:.3}, \"cpu\": {:.3}}}",
            bytes as f64 / 1e6,
            self.wall,
            self.cpu
        )
    }
}

async fn measured(work: impl Future<Output = Result<()>>) -> Result<Cost> {
    let (begin, cpu) = (Instant::now(), cpu_seconds()?);
    work.await?;
    Ok(Cost { wall: begin.elapsed().as_secs_f64(), cpu: cpu_seconds()? - cpu })
}

/// CPU time of all threads of this process.
fn cpu_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    // The name of the program, in brackets, may hold anything; user and system time come 12th and 13th after.
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).map(str::parse).collect::<std::result::Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

/// Rows as TPC-H's lineitem has them, as far as queries send them between leaves.
fn rows() -> Result<RecordBatch> {
    let n = ROWS as i64;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values((0..n).map(|i| i * 4))),
        Arc::new(Int32Array::from_iter_values((0..n as i32).map(|i| i * 7919 % 200_000))),
        Arc::new(
            Decimal128Array::from_iter_values((0..n).map(|i| i128::from(i * 977)))
                .with_precision_and_scale(15, 2)?,
        ),
        Arc::new(Date32Array::from_iter_values((0..n as i32).map(|i| 8035 + i % 2526))),
        Arc::new(StringViewArray::from_iter_values(
            (0..n).map(|i| ["AIR", "RAIL", "TRUCK", "REG AIR"][i as usize % 4]),
        )),
        Arc::new(StringViewArray::from_iter_values((0..n).map(|i| format!("carefully final deposits {i}")))),
    ];
    let fields = columns
        .iter()
        .enumerate()
        .map(|(at, column)| Field::new(format!("c{at}"), column.data_type().clone(), false));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns)?)
}

/// A node whose every stream has the same rows.
struct Node {
    batch: RecordBatch,
    batches: usize,
}

#[async_trait]
impl StageService for Node {
    async fn start(&self, _: StageRequest) -> std::result::Result<StageControl, SqlError> {
        Ok(stream::pending().boxed())
    }

    fn pull(&self, _: QueryId, _: ExchangeId, streams: &[usize]) -> Vec<ExchangeReceiver> {
        let rows = |_: &usize| {
            let batch = self.batch.clone();
            stream::iter(0..self.batches).map(move |_| Ok(batch.clone())).boxed()
        };
        streams.iter().map(rows).collect()
    }

    async fn close(&self, _: Pull) -> std::result::Result<(), SqlError> {
        Ok(())
    }

    fn tell(&self, _: QueryId, _: u32, _: ToldKeys) {}

    async fn measure(
        &self,
        _: QueryId,
        _: u32,
    ) -> std::result::Result<Vec<(ExchangeId, Measured)>, SqlError> {
        Ok(Vec::new())
    }
}

/// Every stream has so many batches.
async fn exchange(batch: &RecordBatch, batches: usize) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let node = Arc::new(Node { batch: batch.clone(), batches });
    let routes = Routes::default().add_service(server(node, tokio::sync::watch::channel(false).1));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(async move {
        let stopped = async {
            // Either way it is over.
            let _ = stopped.await;
        };
        serve(listener, None, routes, Connections::default(), stopped).await
    });
    let channels = Channels::default();
    let client =
        StagesClient::new("the node".to_string(), &channels, &address, tokio::runtime::Handle::current())?;
    let query = QueryId { node: NodeId(1), number: 1 };
    let streams = client.pull(query, ExchangeId(1), &Vec::from_iter(0..STREAMS)).into_iter();
    let readers = streams.map(|mut rows| {
        tokio::spawn(async move {
            let mut seen = 0;
            while let Some(batch) = rows.next().await {
                seen += batch?.num_rows();
            }
            Ok::<usize, Box<dyn Error + Send + Sync>>(seen)
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        let seen = reader.await??;
        if seen != batches * batch.num_rows() {
            return Err(format!("{seen} rows came of {}", batches * batch.num_rows()).into());
        }
    }
    drop((client, channels));
    // It has nobody left to serve.
    let _ = stop.send(());
    Ok(served.await??)
}

async fn plain(bytes: usize) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut sender = TcpStream::connect(listener.local_addr()?).await?;
    let (mut receiver, _) = listener.accept().await?;
    let sent = tokio::spawn(async move {
        let chunk = vec![0x5a; CHUNK];
        let mut left = bytes;
        while left > 0 {
            let now = left.min(CHUNK);
            sender.write_all(&chunk[..now]).await?;
            left -= now;
        }
        sender.shutdown().await
    });
    let mut buffer = vec![0; CHUNK];
    let mut seen = 0;
    loop {
        match receiver.read(&mut buffer).await? {
            0 => break,
            n => seen += n,
        }
    }
    sent.await??;
    if seen == bytes { Ok(()) } else { Err(format!("{seen} bytes came of {bytes}").into()) }
}
