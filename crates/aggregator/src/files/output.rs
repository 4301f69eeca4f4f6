//! A file that the rows of a query are written to while they come.
//!
//! One thread writes; a few batches may wait for it, so a slow disk slows the query down and memory stays
//! bounded. The file is made anew, never written over, and stays only if [`Output::finish`] has returned:
//! whatever else happens to the statement, the channel closes without an end, and the thread removes the
//! file again.

use super::{FileAccess, blocking, parquet_out, text, whole_path};
use arrow::record_batch::RecordBatch;
use env::MemoryBudget;
use sql::query::OutputColumn;
use sql::statement::LoadFormat;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use types::{ErrorKind, Result, SqlError};

/// Batches that may wait for the disk.
const WAITING: usize = 2;

/// What the file is to look like.
pub(crate) enum OutputFormat {
    Text(LoadFormat),
    Parquet(Arc<MemoryBudget>),
}

/// Writes rows to a file that is open.
pub(super) trait Sink: Send {
    fn write(&mut self, batch: RecordBatch) -> Result<()>;
    /// Writes what is left; the file is whole then, though not on disk for certain.
    fn finish(self: Box<Self>) -> Result<()>;
}

enum Message {
    Rows(RecordBatch),
    End,
}

/// A file that is being written.
pub(crate) struct Output {
    to: mpsc::Sender<Message>,
    task: JoinHandle<Result<u64>>,
}

/// Removes the file, unless it is whole.
struct Unfinished(Option<PathBuf>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = self.0.take()
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::warn!(path = %path.display(), %error, "a file that is not whole could not be removed");
        }
    }
}

impl Output {
    /// Makes the file. Errors: 1086 if it is there, 1290, 1.
    pub(crate) async fn create(
        access: &FileAccess,
        name: &str,
        format: OutputFormat,
        columns: &[OutputColumn],
    ) -> Result<Output> {
        let path = whole_path(name, ErrorKind::CannotCreateFile)?;
        let (access, name) = (access.clone(), name.to_string());
        let columns = columns.to_vec();
        let (file, mut sink) = blocking(move || {
            access.check(&path)?;
            let file = create_new(&path, &name)?;
            let unfinished = Unfinished(Some(path));
            let again = file.try_clone().map_err(|error| write_error(&name, &error))?;
            let sink: Box<dyn Sink> = match format {
                OutputFormat::Text(format) => {
                    Box::new(text::TextSink::new(file, name.clone(), format, &columns))
                }
                OutputFormat::Parquet(memory) => {
                    Box::new(parquet_out::ParquetSink::new(file, name.clone(), &columns, memory)?)
                }
            };
            Ok(((again, name, unfinished), sink))
        })
        .await?;
        let (to, mut from) = mpsc::channel(WAITING);
        let task = tokio::task::spawn_blocking(move || {
            let (file, name, mut unfinished) = file;
            let mut rows = 0;
            loop {
                match from.blocking_recv() {
                    Some(Message::Rows(batch)) => {
                        rows += batch.num_rows() as u64;
                        sink.write(batch)?;
                    }
                    Some(Message::End) => break,
                    None => return Ok(0),
                }
            }
            sink.finish()?;
            file.sync_all().map_err(|error| write_error(&name, &error))?;
            unfinished.0 = None;
            Ok(rows)
        });
        Ok(Output { to, task })
    }

    /// Waits while the disk is behind. An error is the writer's; nothing more may be written then.
    pub(crate) async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        match self.to.send(Message::Rows(batch)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.end().await.err().unwrap_or_else(|| SqlError::internal("a writer has gone"))),
        }
    }

    /// Ends the file; it is whole and on disk when this returns. Gives the number of its rows.
    pub(crate) async fn finish(mut self) -> Result<u64> {
        // If the writer has gone, its own end says why.
        let _ = self.to.send(Message::End).await;
        self.end().await
    }

    /// Waits until the file is gone.
    pub(crate) async fn give_up(self) {
        let Output { to, task } = self;
        drop(to);
        // Whether it failed, too, does not matter any more.
        let _ = task.await;
    }

    async fn end(&mut self) -> Result<u64> {
        match (&mut self.task).await {
            Ok(result) => result,
            Err(error) => Err(SqlError::internal(format!("writing a file ended abnormally: {error}"))),
        }
    }
}

fn create_new(path: &Path, name: &str) -> Result<File> {
    // Rows are not everybody's to read.
    OpenOptions::new().write(true).create_new(true).mode(0o640).open(path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            return SqlError::new(ErrorKind::FileExists, format!("File '{name}' already exists"));
        }
        let text = format!("Can't create/write to file '{name}' ({})", os_error(&error));
        SqlError::new(ErrorKind::CannotCreateFile, text)
    })
}

/// As MySQL shows an error of the operating system.
fn os_error(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            format!("OS errno {number} - {text}")
        }
        None => error.to_string(),
    }
}

pub(super) fn write_error(name: &str, error: &std::io::Error) -> SqlError {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::DiskFull,
        _ => ErrorKind::CannotWriteFile,
    };
    SqlError::new(kind, format!("Error writing file '{name}' ({})", os_error(error)))
}
