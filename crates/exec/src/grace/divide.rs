//! Rows divided by a hash of their keys over files.

use super::{Env, FANOUT};
use crate::compact::compacted;
use crate::spill_file::{self, SpillWriter};
use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use datafusion::common::Result;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::{SendableRecordBatchStream, SpillFile};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::SpillManager;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt, stream};
use std::sync::Arc;

/// Rows of a partition that are gathered before they are written.
const WRITTEN_AT_ONCE: usize = 1024;
/// How often rows are divided at most.
pub(super) const DEEPEST: u64 = 8;
/// The seeds of the hashes; the hash tables of joins have others.
const SEED: u64 = 0x0067_7261_6365;

/// One partition: some rows of one side.
#[derive(Clone, Default)]
pub(super) struct Part {
    pub(super) rows: usize,
    /// In memory.
    pub(super) bytes: usize,
    files: Vec<Arc<dyn SpillFile>>,
}

impl Part {
    /// The rows, from file to file.
    pub(super) fn read(&self, spill: &Arc<SpillManager>) -> SendableRecordBatchStream {
        let (schema, spill) = (spill.schema().clone(), spill.clone());
        let files =
            stream::iter(self.files.clone()).map(move |file| spill_file::read(&spill, file)).try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(schema, files))
    }

    fn and(mut self, other: Part) -> Part {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.files.extend(other.files);
        self
    }
}

/// The rows of one side.
#[derive(Default)]
pub(super) struct Divided {
    pub(super) parts: Vec<Part>,
    /// Rows with a NULL key, if they are kept apart.
    pub(super) apart: Part,
    /// Whether a key was NULL.
    pub(super) null_keys: bool,
}

impl Divided {
    pub(super) fn rows(&self) -> usize {
        self.parts.iter().map(|part| part.rows).sum()
    }

    pub(super) fn and(self, other: Divided) -> Divided {
        let parts = self.parts.into_iter().zip(other.parts).map(|(a, b)| a.and(b)).collect();
        Divided { parts, apart: self.apart.and(other.apart), null_keys: self.null_keys || other.null_keys }
    }
}

/// Writes rows to files, by the hash of their keys.
pub(super) struct Divider {
    on: Vec<Arc<dyn PhysicalExpr>>,
    hash: RandomState,
    spill: Arc<SpillManager>,
    /// The partitions, then the rows that are kept apart.
    writers: Vec<Writer>,
    apart: bool,
    null_keys: bool,
    /// Counts what is gathered.
    memory: MemoryReservation,
    hashes: Vec<u64>,
}

impl Divider {
    /// `depth`: how often the rows were divided before.
    pub(super) fn new(
        env: &Env,
        spill: Arc<SpillManager>,
        on: Vec<Arc<dyn PhysicalExpr>>,
        depth: u64,
    ) -> Divider {
        Divider {
            on,
            hash: RandomState::with_seed(SEED + depth),
            spill,
            writers: (0..=FANOUT).map(|_| Writer::default()).collect(),
            apart: false,
            null_keys: false,
            memory: env.reservation("HashJoinDivide"),
            hashes: Vec::new(),
        }
    }

    /// Keeps rows with a NULL key apart.
    pub(super) fn apart(self, apart: bool) -> Divider {
        Divider { apart, ..self }
    }

    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        if self.on.is_empty() {
            return self.writers[0].push(compacted(batch.clone())?, &self.spill, &self.memory);
        }
        let keys =
            self.on.iter().map(|key| key.evaluate(batch)?.into_array(rows)).collect::<Result<Vec<_>>>()?;
        self.hashes.clear();
        self.hashes.resize(rows, 0);
        create_hashes(&keys, &self.hash, &mut self.hashes)?;
        let nulls: Vec<_> = keys.iter().filter_map(|key| key.logical_nulls()).collect();
        let mut places: Vec<Vec<u32>> = vec![Vec::new(); FANOUT + 1];
        for (row, hash) in self.hashes.iter().enumerate() {
            let is_null = nulls.iter().any(|nulls| nulls.is_null(row));
            self.null_keys |= is_null;
            let place = if is_null && self.apart { FANOUT } else { (hash >> 32) as usize % FANOUT };
            places[place].push(row as u32);
        }
        for (writer, rows) in self.writers.iter_mut().zip(places) {
            if !rows.is_empty() {
                let rows = take_record_batch(batch, &UInt32Array::from(rows))?;
                writer.push(compacted(rows)?, &self.spill, &self.memory)?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Divided> {
        let (spill, memory) = (&self.spill, &self.memory);
        let mut parts =
            self.writers.drain(..).map(|writer| writer.finish(spill, memory)).collect::<Result<Vec<_>>>()?;
        let apart = parts.pop().unwrap_or_default();
        Ok(Divided { parts, apart, null_keys: self.null_keys })
    }
}

/// Writes rows to one file.
#[derive(Default)]
pub(super) struct Writer {
    gathered: Vec<RecordBatch>,
    gathered_rows: usize,
    file: Option<SpillWriter>,
    part: Part,
}

impl Writer {
    pub(super) fn push(
        &mut self,
        rows: RecordBatch,
        spill: &Arc<SpillManager>,
        memory: &MemoryReservation,
    ) -> Result<()> {
        self.gathered_rows += rows.num_rows();
        memory.grow(rows.get_array_memory_size());
        self.gathered.push(rows);
        if self.gathered_rows >= WRITTEN_AT_ONCE { self.write(spill, memory) } else { Ok(()) }
    }

    fn write(&mut self, spill: &Arc<SpillManager>, memory: &MemoryReservation) -> Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let rows = concat_batches(spill.schema(), &self.gathered)?;
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(SpillWriter::create(spill, "hash join")?),
        };
        self.part.bytes += file.append(&rows)?;
        self.part.rows += rows.num_rows();
        let gathered: usize = self.gathered.drain(..).map(|batch| batch.get_array_memory_size()).sum();
        memory.shrink(gathered);
        self.gathered_rows = 0;
        Ok(())
    }

    pub(super) fn finish(mut self, spill: &Arc<SpillManager>, memory: &MemoryReservation) -> Result<Part> {
        self.write(spill, memory)?;
        if let Some(file) = self.file {
            self.part.files.extend(file.finish()?);
        }
        Ok(self.part)
    }
}
