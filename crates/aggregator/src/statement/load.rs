//! `LOAD DATA [LOCAL] INFILE`.
//!
//! The text is cut at line ends into chunks. Workers of the blocking pool parse chunks side by side
//! and split their rows by partition; the results are taken in the order of the text and appended to
//! one bulk writer a partition. The first error in the text's order ends the statement, and nothing
//! of it is kept.

use super::Answer;
use super::duplicates::{Duplicates, Written};
use crate::admission::{Admitted, Class};
use crate::route;
use crate::session::State;
use arrow::record_batch::RecordBatch;
use exec::BulkWriter;
use mysql_protocol::OkInfo;
use sql::load::{LoadError, LoadParser};
use sql::rows::NewRows;
use sql::statement::{LoadData, LoadDuplicates};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::task::JoinHandle;
use types::{ErrorKind, PartitionId, Result, SqlError, TableDef};

/// Bytes of text that one worker parses at a time.
const CHUNK: usize = 4 << 20;

/// A piece of the text, parsed.
struct Parsed {
    rows: u64,
    content: Content,
}

enum Content {
    /// By partition ordinal, ready for the bulk writers.
    Split(Vec<(u32, RecordBatch)>),
    /// For the row-wise way.
    Whole(Vec<NewRows>),
}

/// A load under way.
pub(crate) struct Loading {
    file: String,
    def: Arc<TableDef>,
    parser: LoadParser,
    partitions: Vec<PartitionId>,
    duplicates: Duplicates,
    /// True until the lines to be ignored are behind.
    at_start: bool,
    spread: u32,
    /// Text not yet given to a worker.
    pending: Vec<u8>,
    workers: VecDeque<JoinHandle<Result<Parsed, LoadError>>>,
    most_workers: usize,
    _admitted: Admitted,
    writers: BTreeMap<u32, Box<dyn BulkWriter>>,
    written: Written,
    /// Rows of the chunks taken so far.
    rows: u64,
}

impl State {
    pub(crate) async fn load_data(&mut self, load: &LoadData) -> Result<Answer> {
        let duplicates = match load.duplicates {
            // The server cannot stop a client that is sending, so MySQL treats LOCAL as IGNORE only
            // where it says so; an error then is an error, as without LOCAL.
            LoadDuplicates::Error => Duplicates::Error,
            LoadDuplicates::Ignore => Duplicates::Ignore,
            LoadDuplicates::Replace => Duplicates::Replace,
        };
        let def = self.changed_table(&load.table)?;
        let columns: Vec<&str> = load.columns.iter().map(|column| column.value.as_str()).collect();
        let parser = LoadParser::new(def.clone(), &columns, &load.format, self.convert_context())?;
        // It is as fast as its client and the log.
        let admitted = self.admit(Class::Light).await?;
        self.start_statement()?;
        let partitions = self.partitions(&def);
        let loading = Box::new(Loading {
            file: load.file.clone(),
            def,
            parser,
            partitions,
            duplicates,
            spread: self.aggregator.next_spread(),
            at_start: true,
            pending: Vec::new(),
            workers: VecDeque::new(),
            most_workers: std::thread::available_parallelism().map_or(2, |n| n.get()),
            writers: BTreeMap::new(),
            written: Written::default(),
            rows: 0,
            _admitted: admitted,
        });
        if load.local { Ok(Answer::Load(loading)) } else { self.load_server_file(loading).await }
    }

    /// LOAD DATA without LOCAL: the file is read here.
    async fn load_server_file(&mut self, mut loading: Box<Loading>) -> Result<Answer> {
        match loading.push_file(self).await {
            Ok(()) => Ok(loading.finish(self, false).await?.into()),
            Err(error) => {
                // Writers that have not finished take back what they wrote when they go.
                drop(loading);
                self.end_statement(Err(error)).await
            }
        }
    }
}

impl Loading {
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    async fn push_file(&mut self, state: &mut State) -> Result<()> {
        let path = PathBuf::from(&self.file);
        if !path.is_absolute() {
            return Err(SqlError::new(
                ErrorKind::FileNotFound,
                format!(
                    "File '{}' must be named by its whole path on the server; use LOCAL for a file of the client",
                    self.file
                ),
            ));
        }
        let mut file = Some(open(path).await?);
        while let Some(reader) = file.take() {
            let (reader, bytes) = read(reader, CHUNK).await?;
            if !bytes.is_empty() {
                self.push(state, &bytes).await?;
                file = Some(reader);
            }
        }
        Ok(())
    }

    /// Takes more of the text. After an error nothing more may be pushed.
    pub(crate) async fn push(&mut self, state: &mut State, bytes: &[u8]) -> Result<()> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= CHUNK && self.skip_ignored_lines() {
            while self.pending.len() >= CHUNK
                && let Some(cut) = self.parser.split_point(&self.pending)
            {
                let rest = self.pending.split_off(cut);
                let chunk = std::mem::replace(&mut self.pending, rest);
                self.give(state, chunk).await?;
            }
        }
        if self.pending.len() > state.aggregator.memory.limit() / 4 {
            return Err(SqlError::new(
                ErrorKind::OutOfMemory,
                "no line end was found in a quarter of the memory budget; check LINES TERMINATED BY",
            ));
        }
        Ok(())
    }

    /// Cuts off the lines that IGNORE n LINES names. False: they are longer than what has come.
    fn skip_ignored_lines(&mut self) -> bool {
        if self.at_start {
            let Some(begin) = self.parser.after_ignored_lines(&self.pending) else { return false };
            self.pending.drain(..begin);
            self.at_start = false;
        }
        true
    }

    /// Hands a chunk to a worker, after taking what the oldest one has if all are busy.
    async fn give(&mut self, state: &mut State, chunk: Vec<u8>) -> Result<()> {
        if self.workers.len() >= self.most_workers {
            self.take_oldest(state).await?;
        }
        let parser = self.parser.fork();
        let def = self.def.clone();
        let partitions = self.partitions.len() as u32;
        // Without a shard key chunks go round the partitions.
        self.spread = self.spread.wrapping_add(1);
        let spread = self.spread;
        let row_wise = self.is_row_wise();
        self.workers.push_back(tokio::task::spawn_blocking(move || {
            parse(parser, &chunk, row_wise, |batch| route::split(&def, batch, partitions, spread))
        }));
        Ok(())
    }

    /// Bulk writers take neither AUTO_INCREMENT nor IGNORE nor REPLACE.
    fn is_row_wise(&self) -> bool {
        !matches!(self.duplicates, Duplicates::Error) || self.def.auto_increment().is_some()
    }

    async fn take_oldest(&mut self, state: &mut State) -> Result<()> {
        let Some(worker) = self.workers.pop_front() else { return Ok(()) };
        let parsed = worker
            .await
            .map_err(|error| SqlError::internal(format!("parsing ended abnormally: {error}")))?
            .map_err(|error| error.at(self.rows))?;
        self.rows += parsed.rows;
        match parsed.content {
            Content::Split(parts) => {
                for (ordinal, rows) in parts {
                    self.append(state, ordinal, rows).await?;
                }
            }
            Content::Whole(batches) => {
                for rows in batches {
                    let rows = state.number_rows(&self.def, rows).await?;
                    self.written.add(state.write_new_rows(&self.def, rows, &self.duplicates).await?);
                }
            }
        }
        Ok(())
    }

    async fn append(&mut self, state: &mut State, ordinal: u32, rows: RecordBatch) -> Result<()> {
        if !self.writers.contains_key(&ordinal) {
            let writer = state.bulk_writer(&self.def, &self.partitions, ordinal).await?;
            self.writers.insert(ordinal, writer);
        }
        match self.writers.get_mut(&ordinal) {
            Some(writer) => writer.append(rows).await,
            None => Ok(()),
        }
    }

    /// Ends the load and the statement; `aborted`: nothing of it is kept.
    pub(crate) async fn finish(mut self: Box<Self>, state: &mut State, aborted: bool) -> Result<OkInfo> {
        let result = if aborted {
            Err(SqlError::new(ErrorKind::QueryInterrupted, "The load was given up"))
        } else {
            self.write_rest(state).await
        };
        // Writers that have not finished take back what they wrote when they go.
        drop(self);
        state.end_statement(result).await
    }

    async fn write_rest(&mut self, state: &mut State) -> Result<OkInfo> {
        if self.skip_ignored_lines() && !self.pending.is_empty() {
            let rest = std::mem::take(&mut self.pending);
            self.give(state, rest).await?;
        }
        while !self.workers.is_empty() {
            self.take_oldest(state).await?;
        }
        for (_, writer) in std::mem::take(&mut self.writers) {
            self.written.inserted += writer.finish().await?;
        }
        let Written { deleted, ignored, .. } = self.written;
        let info = format!("Records: {}  Deleted: {deleted}  Skipped: {ignored}  Warnings: 0", self.rows);
        Ok(OkInfo { affected_rows: self.written.affected(false), last_insert_id: 0, info })
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
        let partition = super::write::partition_at(partitions, ordinal)?;
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

fn parse(
    mut parser: LoadParser,
    chunk: &[u8],
    row_wise: bool,
    split: impl Fn(RecordBatch) -> Result<Vec<(u32, RecordBatch)>>,
) -> Result<Parsed, LoadError> {
    let mut batches = parser.push(chunk)?;
    batches.extend(parser.finish()?);
    let rows = parser.rows();
    if row_wise {
        return Ok(Parsed { rows, content: Content::Whole(batches) });
    }
    let mut parts = Vec::new();
    for rows in batches {
        parts.extend(split(rows.batch).map_err(LoadError::other)?);
    }
    Ok(Parsed { rows, content: Content::Split(parts) })
}

async fn open(path: PathBuf) -> Result<std::fs::File> {
    let shown = path.display().to_string();
    let opened = tokio::task::spawn_blocking(move || std::fs::File::open(path)).await;
    match opened {
        Ok(Ok(file)) => Ok(file),
        Ok(Err(error)) => Err(SqlError::new(ErrorKind::FileNotFound, format!("File '{shown}': {error}"))),
        Err(error) => Err(SqlError::internal(error)),
    }
}

async fn read(mut file: std::fs::File, most: usize) -> Result<(std::fs::File, Vec<u8>)> {
    use std::io::Read;
    let work = move || {
        let mut bytes = Vec::with_capacity(most);
        file.by_ref().take(most as u64).read_to_end(&mut bytes).map(|_| (file, bytes))
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(error)) => Err(SqlError::new(ErrorKind::FileError, format!("cannot read the file: {error}"))),
        Err(error) => Err(SqlError::internal(error)),
    }
}
