//! Rows as text, by the FIELDS and LINES of the statement: values are written as the protocol shows them.

use super::output::{Sink, write_error};
use crate::statement::column_meta;
use arrow::record_batch::RecordBatch;
use mysql_protocol::{ColumnMeta, RowEncoder, RowFormat, TextFields};
use sql::outfile::LineWriter;
use sql::query::OutputColumn;
use sql::statement::LoadFormat;
use std::fs::File;
use std::io::Write;
use types::{Result, SqlType};

/// Bytes gathered before they are written.
const BUFFER: usize = 1 << 20;

pub(super) struct TextSink {
    file: File,
    name: String,
    columns: Vec<ColumnMeta>,
    lines: LineWriter,
    buffer: Vec<u8>,
    row: Vec<u8>,
}

impl TextSink {
    pub(super) fn new(file: File, name: String, format: LoadFormat, columns: &[OutputColumn]) -> TextSink {
        let is_number = |column: &OutputColumn| {
            column.ty.is_integer()
                || matches!(column.ty, SqlType::Decimal { .. } | SqlType::Float | SqlType::Double)
        };
        TextSink {
            file,
            name,
            lines: LineWriter::new(format, columns.iter().map(is_number)),
            columns: columns.iter().map(column_meta).collect(),
            buffer: Vec::new(),
            row: Vec::new(),
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_all(&self.buffer).map_err(|error| write_error(&self.name, &error))?;
        self.buffer.clear();
        Ok(())
    }
}

impl Sink for TextSink {
    fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let encoder = RowEncoder::new(&batch, &self.columns, RowFormat::Text)?;
        for row in 0..encoder.rows() {
            self.row.clear();
            encoder.encode(row, &mut self.row);
            self.lines.line(TextFields::of(&self.row), &mut self.buffer);
            if self.buffer.len() >= BUFFER {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.flush()
    }
}
