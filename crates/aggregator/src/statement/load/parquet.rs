//! Parquet. What a file has stands at its end, so one that a client sends is kept on disk until it has
//! come whole, in a file without a name that goes with its last user.

use super::intake::{Intake, Parsed};
use crate::files::{ParquetRows, blocking, new_rows};
use crate::session::State;
use sql::convert::Context;
use sql::load::LoadError;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use types::{ErrorKind, Result, SqlError, TableDef};

/// Bytes of a client's file that are gathered before they are written.
const GATHERED: usize = 4 << 20;

pub(super) struct ParquetInput {
    def: Arc<TableDef>,
    /// Those that the statement lists.
    columns: Vec<String>,
    context: Context,
    /// The file's name, for errors.
    name: String,
    /// What has come of a client's file, and what of it is not written yet.
    spool: Option<File>,
    gathered: Vec<u8>,
}

impl ParquetInput {
    pub(super) fn new(
        def: Arc<TableDef>,
        columns: Vec<String>,
        context: Context,
        name: String,
    ) -> ParquetInput {
        ParquetInput { def, columns, context, name, spool: None, gathered: Vec::new() }
    }

    /// Takes more of a client's file.
    pub(super) async fn push(&mut self, state: &State, bytes: &[u8]) -> Result<()> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() < GATHERED { Ok(()) } else { self.write(state).await }
    }

    async fn write(&mut self, state: &State) -> Result<()> {
        let (spool, gathered) = (self.spool.take(), std::mem::take(&mut self.gathered));
        let folder = PathBuf::from(&state.aggregator.options.data).join("tmp");
        let written = blocking(move || {
            let write = move || {
                let mut file = match spool {
                    Some(file) => file,
                    None => without_name(folder)?,
                };
                file.write_all(&gathered)?;
                Ok::<_, std::io::Error>(file)
            };
            write().map_err(|error| {
                let kind = match error.kind() {
                    std::io::ErrorKind::StorageFull => ErrorKind::DiskFull,
                    _ => ErrorKind::CannotWriteFile,
                };
                SqlError::new(kind, format!("Error writing a temporary file: {error}"))
            })
        });
        self.spool = Some(written.await?);
        Ok(())
    }

    /// The client's file has come whole.
    pub(super) async fn finish(&mut self, state: &mut State, intake: &mut Intake) -> Result<()> {
        self.write(state).await?;
        match self.spool.take() {
            Some(file) => self.load(state, intake, file).await,
            None => Ok(()),
        }
    }

    /// Takes the rows of a whole file.
    pub(super) async fn load(&self, state: &mut State, intake: &mut Intake, file: File) -> Result<()> {
        let (name, def, columns) = (self.name.clone(), self.def.clone(), self.columns.clone());
        let context = self.context;
        let mut rows = blocking(move || ParquetRows::open(file, &name, &def, &columns, &context)).await?;
        let target = rows.target.clone();
        let mut rows_before = 0;
        loop {
            state.check_cancelled()?;
            let (read_on, batch) = blocking(move || {
                let batch = rows.next()?;
                Ok((rows, batch))
            })
            .await?;
            let Some(batch) = batch else { return Ok(()) };
            rows = read_on;
            let (target, before) = (target.clone(), rows_before);
            rows_before += batch.num_rows() as u64;
            let convert = move || {
                let rows = new_rows(&target, &batch, &context, before).map_err(LoadError::other)?;
                Ok(Parsed { rows: batch.num_rows() as u64, batches: vec![rows], ..Parsed::default() })
            };
            intake.give(state, convert).await?;
        }
    }
}

/// A new file that is gone when it is closed, however the process ends.
fn without_name(folder: PathBuf) -> std::io::Result<File> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    std::fs::create_dir_all(&folder)?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("load-{}-{number}", std::process::id()));
    let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}
