//! Rows of Arrow batches in the text and the binary protocol.
//!
//! For each batch every column gets an encoder that knows its Arrow type; a row is then one call to
//! each. Columns whose Arrow type does not fit what the column definition announced are cast first.

mod adapt;
mod binary;
mod text;

use crate::column::ColumnMeta;
use crate::packet::reader::FieldReader;
use arrow::array::{Array, RecordBatch};
use arrow::buffer::NullBuffer;
use types::SqlError;

/// Which protocol a client reads: text after COM_QUERY, binary after COM_STMT_EXECUTE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    Text,
    Binary,
}

/// Appends the value of a row that is not NULL.
trait Encode: Send {
    fn encode(&self, row: usize, out: &mut Vec<u8>);
}

struct Column {
    nulls: Option<NullBuffer>,
    values: Box<dyn Encode>,
}

impl Column {
    #[inline]
    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }
}

/// Encodes the rows of one batch.
pub struct RowEncoder {
    columns: Vec<Column>,
    format: RowFormat,
    rows: usize,
}

/// A NULL of the text protocol.
const TEXT_NULL: u8 = 0xfb;
/// The binary protocol's null bitmap leaves out so many bits in front.
const NULL_BITMAP_OFFSET: usize = 2;

impl RowEncoder {
    /// Fails if the batch does not have the announced columns.
    pub fn new(
        batch: &RecordBatch,
        columns: &[ColumnMeta],
        format: RowFormat,
    ) -> Result<RowEncoder, SqlError> {
        if batch.num_columns() != columns.len() {
            return Err(SqlError::internal(format!(
                "a result has {} columns where {} were announced",
                batch.num_columns(),
                columns.len()
            )));
        }
        let column = |(array, meta)| {
            let array = adapt::adapt(array, meta)?;
            let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
            let values = match format {
                RowFormat::Text => text::encoder(&array, meta)?,
                RowFormat::Binary => binary::encoder(&array, meta)?,
            };
            Ok(Column { nulls, values })
        };
        let columns = batch.columns().iter().zip(columns).map(column).collect::<Result<_, SqlError>>()?;
        Ok(RowEncoder { columns, format, rows: batch.num_rows() })
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Appends the payload of one row, `row` < [`Self::rows`].
    pub fn encode(&self, row: usize, out: &mut Vec<u8>) {
        match self.format {
            RowFormat::Text => self.encode_text(row, out),
            RowFormat::Binary => self.encode_binary(row, out),
        }
    }

    fn encode_text(&self, row: usize, out: &mut Vec<u8>) {
        for column in &self.columns {
            if column.is_null(row) {
                out.push(TEXT_NULL);
            } else {
                column.values.encode(row, out);
            }
        }
    }

    fn encode_binary(&self, row: usize, out: &mut Vec<u8>) {
        out.push(0);
        let bitmap = out.len();
        out.resize(bitmap + (self.columns.len() + NULL_BITMAP_OFFSET).div_ceil(8), 0);
        for (i, column) in self.columns.iter().enumerate() {
            if column.is_null(row) {
                let bit = i + NULL_BITMAP_OFFSET;
                out[bitmap + bit / 8] |= 1 << (bit % 8);
            } else {
                column.values.encode(row, out);
            }
        }
    }
}

/// The fields of a row that was encoded as [`RowFormat::Text`]; None for NULL.
pub struct TextFields<'a>(FieldReader<'a>);

impl<'a> TextFields<'a> {
    pub fn of(payload: &'a [u8]) -> TextFields<'a> {
        TextFields(FieldReader::new(payload))
    }
}

impl<'a> Iterator for TextFields<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        if self.0.is_empty() {
            return None;
        }
        let mut value = self.0;
        match value.lenenc_bytes() {
            Ok(bytes) => {
                self.0 = value;
                Some(Some(bytes))
            }
            // The payload is whole, so what is no length is NULL's byte.
            Err(_) => self.0.u8().ok().map(|_| None),
        }
    }
}

/// The encoder of a column that has no values.
struct Nothing;

impl Encode for Nothing {
    fn encode(&self, _row: usize, _out: &mut Vec<u8>) {}
}

#[cfg(test)]
mod tests;
