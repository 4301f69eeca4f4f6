//! Result sets on the wire.

use super::{End, Wire};
use crate::column::ColumnMeta;
use crate::packet::writer::put_lenenc;
use crate::protocol::Capabilities;
use crate::response::{Ending, ResultSet, SessionChange, put_eof, put_rows_end};
use crate::row::{RowEncoder, RowFormat};
use futures::StreamExt;
use types::SqlError;

/// The output is handed to the system when it is this long.
const FLUSH_BYTES: usize = 64 << 10;

impl Wire {
    /// Column definitions and their end.
    pub(super) fn put_columns(&mut self, columns: &[ColumnMeta], ending: Ending) {
        for column in columns {
            self.output.packet(|p| column.put(p));
        }
        if !self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            self.output.packet(|p| put_eof(p, ending));
        }
    }

    /// Sends columns and rows, all but [`Self::end_rows`], and counts the rows. An error of the
    /// statement, which the caller sends, takes the place of what has not left yet.
    pub(super) async fn send_rows(
        &mut self,
        rows: ResultSet,
        format: RowFormat,
        ending: Ending,
    ) -> Result<Result<u64, SqlError>, End> {
        let ResultSet { columns, mut batches } = rows;
        let beginning = self.output.mark();
        self.put_column_count(&columns);
        self.put_columns(&columns, ending);
        let mut sent = 0;
        while let Some(batch) = self.until_done(batches.next()).await? {
            let encoder = match batch.and_then(|batch| RowEncoder::new(&batch, &columns, format)) {
                Ok(encoder) => encoder,
                Err(error) => {
                    self.output.rewind(beginning);
                    return Ok(Err(error));
                }
            };
            for row in 0..encoder.rows() {
                self.put_row(&encoder, row);
                self.flush_if_long().await?;
            }
            sent += encoder.rows() as u64;
        }
        Ok(Ok(sent))
    }

    pub(super) fn put_column_count(&mut self, columns: &[ColumnMeta]) {
        self.output.packet(|p| put_lenenc(p, columns.len() as u64));
    }

    #[inline]
    pub(super) fn put_row(&mut self, encoder: &RowEncoder, row: usize) {
        encoder.encode(row, self.output.begin());
        self.output.end();
    }

    #[inline]
    pub(super) async fn flush_if_long(&mut self) -> Result<(), End> {
        if self.output.pending().len() >= FLUSH_BYTES {
            self.output.flush().await?;
        }
        Ok(())
    }

    pub(super) fn end_rows(&mut self, ending: Ending, changes: &[SessionChange]) {
        if self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            self.output.packet(|p| put_rows_end(p, ending, changes));
        } else {
            self.output.packet(|p| put_eof(p, ending));
        }
    }
}
