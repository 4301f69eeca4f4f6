//! The producer's end: runs one task of a stage and sends what it yields where it belongs.

use super::{ExchangeKind, ExchangeSender, Sent};
use crate::naps::Napping;
use crate::query::Cancel;
use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::BatchCoalescer;
use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_expr::PhysicalExpr;
use futures::StreamExt;
use std::sync::Arc;
use types::shard;

/// Sends all of `input`, as producer `from`, to `streams` streams. Ends early, without an error, when
/// no consumer wants more.
pub(crate) async fn run_producer(
    input: SendableRecordBatchStream,
    kind: &ExchangeKind,
    from: usize,
    streams: usize,
    batch_size: usize,
    sender: &mut dyn ExchangeSender,
    cancel: &Cancel,
) -> Result<()> {
    let schema = input.schema();
    let mut input = Napping::new(input, cancel.clone());
    match kind {
        ExchangeKind::Shuffle { keys, partitions } if *partitions > 1 => {
            let mut router = Router::new(schema, keys.clone(), *partitions, batch_size);
            while let Some(batch) = input.next().await {
                router.push(&batch?)?;
                while let Some((to, batch)) = router.next_full() {
                    match sender.send(to, batch).await? {
                        Sent::Taken => {}
                        Sent::Closed => router.close(to),
                        Sent::AllClosed => return Ok(()),
                    }
                }
            }
            router.finish()?;
            while let Some((to, batch)) = router.next_full() {
                if sender.send(to, batch).await? == Sent::AllClosed {
                    return Ok(());
                }
            }
            Ok(())
        }
        _ => {
            let mut to: Vec<usize> = match kind {
                ExchangeKind::Broadcast => (0..streams).collect(),
                _ if kind.apart() => vec![from],
                _ => vec![0],
            };
            let mut small = BatchCoalescer::new(schema, batch_size)
                .with_biggest_coalesce_batch_size(Some(batch_size / 2));
            loop {
                let more = input.next().await.transpose()?;
                let last = more.is_none();
                match more {
                    Some(batch) => small.push_batch(batch)?,
                    None => small.finish_buffered_batch()?,
                }
                while let Some(batch) = small.next_completed_batch() {
                    if !send_to_each(&mut to, batch, sender).await? {
                        return Ok(());
                    }
                }
                if last {
                    return Ok(());
                }
            }
        }
    }
}

/// Sends the batch to each of these streams, and leaves out those that want no more. False if none
/// does.
async fn send_to_each(
    to: &mut Vec<usize>,
    batch: RecordBatch,
    sender: &mut dyn ExchangeSender,
) -> Result<bool> {
    let mut at = 0;
    while let Some(&stream) = to.get(at) {
        match sender.send(stream, batch.clone()).await? {
            Sent::Taken => at += 1,
            Sent::Closed => {
                to.remove(at);
            }
            Sent::AllClosed => return Ok(false),
        }
    }
    Ok(!to.is_empty())
}

/// Splits batches by the shard hash and gathers the rows of each destination into full batches.
struct Router {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    destinations: Vec<Destination>,
}

struct Destination {
    rows: BatchCoalescer,
    closed: bool,
}

impl Router {
    fn new(
        schema: SchemaRef,
        keys: Vec<Arc<dyn PhysicalExpr>>,
        partitions: usize,
        batch_size: usize,
    ) -> Router {
        let destinations = (0..partitions)
            .map(|_| Destination { rows: BatchCoalescer::new(schema.clone(), batch_size), closed: false })
            .collect();
        Router { keys, destinations }
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        let keys =
            self.keys.iter().map(|key| key.evaluate(batch)?.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let hashes =
            shard::hash_columns(&keys, rows).map_err(|e| exec_datafusion_err!("cannot shuffle: {e}"))?;
        let partitions = self.destinations.len() as u32;
        let mut indices: Vec<Vec<u32>> = self
            .destinations
            .iter()
            .map(|_| Vec::with_capacity(rows / self.destinations.len() + 64))
            .collect();
        for (row, hash) in hashes.into_iter().enumerate() {
            indices[shard::ordinal(hash, partitions) as usize].push(row as u32);
        }
        for (destination, indices) in self.destinations.iter_mut().zip(indices) {
            if destination.closed || indices.is_empty() {
                continue;
            }
            if indices.len() == rows {
                destination.rows.push_batch(batch.clone())?;
            } else {
                let indices = UInt32Array::from(indices);
                destination.rows.push_batch(arrow::compute::take_record_batch(batch, &indices)?)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        for destination in &mut self.destinations {
            destination.rows.finish_buffered_batch()?;
        }
        Ok(())
    }

    fn next_full(&mut self) -> Option<(usize, RecordBatch)> {
        self.destinations
            .iter_mut()
            .enumerate()
            .filter(|(_, d)| !d.closed)
            .find_map(|(to, d)| Some((to, d.rows.next_completed_batch()?)))
    }

    fn close(&mut self, to: usize) {
        self.destinations[to].closed = true;
    }
}
