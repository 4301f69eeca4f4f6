//! Files of rows that an operator writes where its memory does not suffice. A file goes when nobody can read
//! it any more.

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, SpillFile};
use datafusion::physical_plan::SpillManager;
use std::sync::Arc;

/// A file that is written. DataFusion's type for it has no public name. A batch is appended, and gives its
/// bytes in memory; without one the file is closed.
type Append = Box<dyn FnMut(Option<&RecordBatch>) -> Result<Appended> + Send>;

struct Appended {
    bytes: usize,
    file: Option<Arc<dyn SpillFile>>,
}

/// Writes batches to a file.
pub(crate) struct SpillWriter(Append);

impl SpillWriter {
    /// `what`: who writes, for the error if there can be no file.
    pub(crate) fn create(spill: &SpillManager, what: &str) -> Result<SpillWriter> {
        let mut open = spill.create_in_progress_file(what)?;
        Ok(SpillWriter(Box::new(move |batch| {
            Ok(match batch {
                Some(batch) => Appended { bytes: open.append_batch(batch)?, file: None },
                None => Appended { bytes: 0, file: open.finish()? },
            })
        })))
    }

    /// The bytes that the batch will have in memory when it is read.
    pub(crate) fn append(&mut self, batch: &RecordBatch) -> Result<usize> {
        Ok(crate::runtime::blocking(|| (self.0)(Some(batch)))?.bytes)
    }

    /// The file; None if nothing was written.
    pub(crate) fn finish(mut self) -> Result<Option<Arc<dyn SpillFile>>> {
        Ok(crate::runtime::blocking(|| (self.0)(None))?.file)
    }
}

/// The batches of a file as they were written, one in memory at a time.
pub(crate) fn read(spill: &SpillManager, file: Arc<dyn SpillFile>) -> Result<SendableRecordBatchStream> {
    spill.read_spill_as_stream_unbuffered(file, None)
}
