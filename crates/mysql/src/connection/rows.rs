//! Result sets on the wire.

use super::{End, Wire};
use crate::column::ColumnMeta;
use crate::packet::writer::put_lenenc;
use crate::protocol::Capabilities;
use crate::response::{Ending, ResultSet, put_eof, put_rows_end};
use crate::row::{RowEncoder, RowFormat};
use futures::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite};
use types::SqlError;

/// The output is handed to the system when it is this long.
const FLUSH_BYTES: usize = 64 << 10;

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Wire<R, W> {
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
        self.output.packet(|p| put_lenenc(p, columns.len() as u64));
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
                encoder.encode(row, self.output.begin());
                self.output.end();
                if self.output.pending().len() >= FLUSH_BYTES {
                    self.output.flush().await?;
                }
            }
            sent += encoder.rows() as u64;
        }
        Ok(Ok(sent))
    }

    pub(super) fn end_rows(&mut self, ending: Ending) {
        if self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            self.output.packet(|p| put_rows_end(p, ending));
        } else {
            self.output.packet(|p| put_eof(p, ending));
        }
    }
}
