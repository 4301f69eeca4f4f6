//! The rows of a load on their way into the table, whatever the file is.
//!
//! Pieces of the file are turned into rows side by side on the blocking pool, split by partition, taken
//! in the order of the file and appended to one bulk writer a partition. The first error in the file's
//! order ends the statement, and nothing of it is kept.

use super::super::duplicates::{Duplicates, Numbers, Written};
use super::super::write::partition_at;
use crate::route;
use crate::session::{Level, State};
use arrow::record_batch::RecordBatch;
use exec::BulkWriter;
use sql::load::{LoadError, LoadWarnings};
use sql::rows::NewRows;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::task::JoinHandle;
use types::{PartitionId, Result, SqlError, TableDef};

/// What was made of a piece of the file.
#[derive(Default)]
pub(super) struct Parsed {
    pub(super) rows: u64,
    pub(super) batches: Vec<NewRows>,
    pub(super) warnings: LoadWarnings,
}

/// A piece of the file as rows.
struct Piece {
    rows: u64,
    content: Content,
    warnings: LoadWarnings,
}

enum Content {
    /// By partition ordinal, ready for the bulk writers.
    Split(Vec<(u32, RecordBatch)>),
    /// For the row-wise way.
    Whole(Vec<NewRows>),
}

pub(super) struct Intake {
    def: Arc<TableDef>,
    duplicates: Duplicates,
    spread: u32,
    workers: VecDeque<JoinHandle<Result<Piece, LoadError>>>,
    most_workers: usize,
    writers: BulkWriters,
    written: Written,
    /// Rows of the pieces taken so far.
    rows: u64,
}

impl Intake {
    pub(super) fn new(
        def: Arc<TableDef>,
        partitions: Vec<PartitionId>,
        duplicates: Duplicates,
        spread: u32,
    ) -> Intake {
        Intake {
            writers: BulkWriters { def: def.clone(), partitions, spread, writers: BTreeMap::new() },
            def,
            duplicates,
            spread,
            workers: VecDeque::new(),
            most_workers: std::thread::available_parallelism().map_or(2, |n| n.get()),
            written: Written::default(),
            rows: 0,
        }
    }

    /// Has the next piece of the file turned into rows, after taking what the oldest worker has if all
    /// are busy.
    pub(super) async fn give(
        &mut self,
        state: &mut State,
        work: impl FnOnce() -> Result<Parsed, LoadError> + Send + 'static,
    ) -> Result<()> {
        if self.workers.len() >= self.most_workers {
            self.take_oldest(state).await?;
        }
        let def = self.def.clone();
        let partitions = self.writers.partitions.len() as u32;
        // Without a shard key pieces go round the partitions.
        self.spread = self.spread.wrapping_add(1);
        let spread = self.spread;
        let row_wise = self.is_row_wise();
        self.workers.push_back(tokio::task::spawn_blocking(move || {
            let Parsed { rows, batches, warnings } = work()?;
            if row_wise {
                return Ok(Piece { rows, content: Content::Whole(batches), warnings });
            }
            let mut parts = Vec::new();
            for rows in batches {
                parts.extend(route::split(&def, rows.batch, partitions, spread).map_err(LoadError::other)?);
            }
            Ok(Piece { rows, content: Content::Split(parts), warnings })
        }));
        Ok(())
    }

    /// Bulk writers take neither AUTO_INCREMENT nor IGNORE nor REPLACE.
    fn is_row_wise(&self) -> bool {
        !matches!(self.duplicates, Duplicates::Error) || self.def.auto_increment().is_some()
    }

    async fn take_oldest(&mut self, state: &mut State) -> Result<()> {
        let Some(worker) = self.workers.pop_front() else { return Ok(()) };
        let piece = worker
            .await
            .map_err(|error| SqlError::internal(format!("parsing ended abnormally: {error}")))?
            .map_err(|error| error.at(self.rows))?;
        for warning in piece.warnings.first {
            let (kind, text) = warning.warning(self.rows);
            state.add_message(Level::Warning, kind.errno(), text);
        }
        state.count_messages(piece.warnings.more);
        self.rows += piece.rows;
        match piece.content {
            Content::Split(parts) => {
                for (ordinal, rows) in parts {
                    self.writers.append_to(state, ordinal, rows).await?;
                }
            }
            Content::Whole(batches) => {
                for rows in batches {
                    self.written.ignored += rows.left_out as u64;
                    let rows = state.number_rows(&self.def, rows).await?;
                    let (duplicates, numbers) = (&self.duplicates, Numbers::default());
                    self.written.add(state.write_new_rows(&self.def, rows, duplicates, numbers).await?);
                }
            }
        }
        Ok(())
    }

    /// Takes what is left; gives how many rows there were, and what became of them.
    pub(super) async fn finish(&mut self, state: &mut State) -> Result<(u64, Written)> {
        while !self.workers.is_empty() {
            self.take_oldest(state).await?;
        }
        self.written.inserted += self.writers.finish().await?;
        Ok((self.rows, self.written))
    }
}

/// Bulk writers at the partitions of a table that rows have come for.
pub(crate) struct BulkWriters {
    def: Arc<TableDef>,
    partitions: Vec<PartitionId>,
    /// Where rows go that have no shard key.
    spread: u32,
    writers: BTreeMap<u32, Box<dyn BulkWriter>>,
}

impl BulkWriters {
    pub(crate) fn new(state: &State, def: Arc<TableDef>) -> BulkWriters {
        let (partitions, spread) = (state.partitions(&def), state.aggregator.next_spread());
        BulkWriters { def, partitions, spread, writers: BTreeMap::new() }
    }

    /// Rows with all columns of the table, as part of the open statement.
    pub(crate) async fn append(&mut self, state: &mut State, rows: RecordBatch) -> Result<()> {
        for (ordinal, part) in route::split(&self.def, rows, self.partitions.len() as u32, self.spread)? {
            self.append_to(state, ordinal, part).await?;
        }
        Ok(())
    }

    async fn append_to(&mut self, state: &mut State, ordinal: u32, rows: RecordBatch) -> Result<()> {
        if !self.writers.contains_key(&ordinal) {
            let writer = state.bulk_writer(&self.def, &self.partitions, ordinal).await?;
            self.writers.insert(ordinal, writer);
        }
        match self.writers.get_mut(&ordinal) {
            Some(writer) => writer.append(rows).await,
            None => Ok(()),
        }
    }

    /// The number of rows.
    pub(crate) async fn finish(&mut self) -> Result<u64> {
        let mut rows = 0;
        for (_, writer) in std::mem::take(&mut self.writers) {
            rows += writer.finish().await?;
        }
        Ok(rows)
    }
}

impl State {
    /// Starts a bulk writer at a partition as part of the open statement.
    pub(crate) async fn bulk_writer(
        &mut self,
        def: &TableDef,
        partitions: &[PartitionId],
        ordinal: u32,
    ) -> Result<Box<dyn BulkWriter>> {
        let partition = partition_at(partitions, ordinal)?;
        let target = self.target(def, partition);
        let lock_wait = self.lock_wait();
        let leaf = self.leaf_of(partition)?;
        let txn = self.open_transaction()?;
        let ctx = txn.context(partition, def.version, lock_wait);
        txn.touch(partition);
        txn.loaded.insert(def.id);
        leaf.bulk(target, ctx).await
    }
}
