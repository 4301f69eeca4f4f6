//! Cursors: the rows of an executed statement that a client fetches as it wants them. The statement
//! runs only as far as rows are asked for.

use super::{End, Wire};
use crate::column::ColumnMeta;
use crate::response::{Ending, ResultSet};
use crate::row::{RowEncoder, RowFormat};
use arrow::array::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use types::SqlError;

pub(super) struct Cursor {
    columns: Vec<ColumnMeta>,
    batches: BoxStream<'static, Result<RecordBatch, SqlError>>,
    /// The batch that is being sent, and its next row.
    current: Option<(RowEncoder, usize)>,
}

/// What a fetch sent.
pub(super) struct Fetched {
    pub rows: u64,
    /// The cursor is at its end.
    pub ended: bool,
}

impl Cursor {
    pub fn new(rows: ResultSet) -> Cursor {
        Cursor { columns: rows.columns, batches: rows.batches, current: None }
    }

    pub fn columns(&self) -> &[ColumnMeta] {
        &self.columns
    }

    /// Puts at most `wanted` rows into the output, whose end the caller writes. An error of the
    /// statement ends the cursor.
    pub async fn fetch(&mut self, wire: &mut Wire, wanted: u32) -> Result<Result<Fetched, SqlError>, End> {
        let mut fetched = Fetched { rows: 0, ended: false };
        while fetched.rows < u64::from(wanted) {
            let Some((encoder, next)) = &mut self.current else {
                match wire.until_done(self.batches.next()).await? {
                    None => {
                        fetched.ended = true;
                        break;
                    }
                    Some(batch) => {
                        let encoder =
                            batch.and_then(|batch| RowEncoder::new(&batch, &self.columns, RowFormat::Binary));
                        match encoder {
                            Ok(encoder) => self.current = Some((encoder, 0)),
                            Err(error) => return Ok(Err(error)),
                        }
                    }
                }
                continue;
            };
            if *next == encoder.rows() {
                self.current = None;
                continue;
            }
            wire.put_row(encoder, *next);
            *next += 1;
            fetched.rows += 1;
            wire.flush_if_long().await?;
        }
        Ok(Ok(fetched))
    }
}

impl Wire {
    /// Says that a cursor is open: the columns, and no rows yet.
    pub(super) fn put_cursor(&mut self, columns: &[ColumnMeta], ending: Ending) {
        self.put_column_count(columns);
        for column in columns {
            self.output.packet(|p| column.put(p));
        }
        self.end_rows(ending, &[]);
    }
}
