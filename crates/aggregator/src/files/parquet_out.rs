//! Rows as Parquet.
//!
//! | SQL | Parquet |
//! |---|---|
//! | integers, YEAR | INT(8 .. 64, signed or not) |
//! | DECIMAL | DECIMAL |
//! | FLOAT, DOUBLE | FLOAT, DOUBLE |
//! | DATE | DATE |
//! | TIME | TIME(MICROS); it has the times of one day only, others are an error |
//! | DATETIME | TIMESTAMP(MICROS) of no zone |
//! | TIMESTAMP | TIMESTAMP(MICROS) in UTC |
//! | strings, JSON | STRING |
//! | BINARY, BLOB | BYTE_ARRAY |
//!
//! All columns may be NULL. A row group ends after a million rows, or when what is gathered of it would
//! take more than its share of the memory budget.

use super::output::{Sink, write_error};
use arrow::array::{Array, ArrayRef, AsArray, Time64MicrosecondArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, DurationMicrosecondType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use env::{MemoryBudget, Reservation};
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use sql::query::OutputColumn;
use std::fs::File;
use std::sync::Arc;
use types::{ErrorKind, Result, SqlError, SqlType};

const GROUP_ROWS: usize = 1 << 20;
/// Bounds of what may be gathered of a row group.
const LEAST_GROUP: usize = 1 << 20;
const MOST_GROUP: usize = 64 << 20;
const DAY_MICROS: i64 = 86_400_000_000;

pub(super) struct ParquetSink {
    writer: ArrowWriter<File>,
    name: String,
    schema: SchemaRef,
    columns: Vec<(String, SqlType)>,
    /// Rows written, for errors.
    rows: u64,
    /// Bytes of a row group at which it ends.
    most: usize,
    reserved: Reservation,
}

fn parquet_type(ty: SqlType) -> DataType {
    match ty {
        SqlType::Time { .. } => DataType::Time64(TimeUnit::Microsecond),
        _ => ty.arrow(),
    }
}

impl ParquetSink {
    /// Error 1060 for two columns of one name: readers find columns by their names.
    pub(super) fn new(
        file: File,
        name: String,
        columns: &[OutputColumn],
        memory: Arc<MemoryBudget>,
    ) -> Result<ParquetSink> {
        let columns: Vec<(String, SqlType)> = columns.iter().map(|c| (c.name.clone(), c.ty)).collect();
        for (at, (column, _)) in columns.iter().enumerate() {
            if columns[..at].iter().any(|(other, _)| other.eq_ignore_ascii_case(column)) {
                let text = format!("Duplicate column name '{column}'; give the columns of the file aliases");
                return Err(SqlError::new(ErrorKind::DuplicateColumn, text));
            }
        }
        let fields: Vec<Field> =
            columns.iter().map(|(name, ty)| Field::new(name, parquet_type(*ty), true)).collect();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_created_by(format!("Pando {}", env!("CARGO_PKG_VERSION")))
            .build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(file, schema.clone(), options)
            .map_err(|error| parquet_error(&name, &error))?;
        let most = (memory.limit() / 32).clamp(LEAST_GROUP, MOST_GROUP);
        Ok(ParquetSink { writer, name, schema, columns, rows: 0, most, reserved: memory.reservation() })
    }

    /// Accounts for what the writer holds, and ends the row group if that is too much.
    fn bound(&mut self) -> Result<()> {
        let held = self.writer.memory_size();
        let missing = held.saturating_sub(self.reserved.bytes());
        if held > self.most || self.reserved.try_grow(missing).is_err() {
            self.writer.flush().map_err(|error| parquet_error(&self.name, &error))?;
        }
        self.reserved.shrink(self.reserved.bytes().saturating_sub(self.writer.memory_size()));
        Ok(())
    }
}

impl Sink for ParquetSink {
    fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let columns = batch.columns().iter().zip(&self.columns);
        let columns =
            columns.map(|(array, (name, ty))| column(array, name, *ty, self.rows)).collect::<Result<_>>()?;
        let rows = RecordBatch::try_new(self.schema.clone(), columns).map_err(SqlError::internal)?;
        self.writer.write(&rows).map_err(|error| parquet_error(&self.name, &error))?;
        self.rows += rows.num_rows() as u64;
        self.bound()
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.writer.finish().map_err(|error| parquet_error(&self.name, &error)).map(|_| ())
    }
}

/// A column in the type that the file has.
fn column(array: &ArrayRef, name: &str, ty: SqlType, rows_before: u64) -> Result<ArrayRef> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let wanted = ty.arrow();
    let array = match array.data_type() {
        DataType::Null => new_null_array(&wanted, array.len()),
        known if *known == wanted => array.clone(),
        _ => cast_with_options(array, &wanted, &strict).map_err(|error| {
            SqlError::internal(format_args!("result column '{name}' is no {ty}: {error}"))
        })?,
    };
    match ty {
        SqlType::Time { .. } => times(&array, name, rows_before),
        _ => Ok(array),
    }
}

fn times(array: &ArrayRef, name: &str, rows_before: u64) -> Result<ArrayRef> {
    let times = array.as_primitive::<DurationMicrosecondType>();
    let outside =
        (0..times.len()).find(|row| times.is_valid(*row) && !(0..DAY_MICROS).contains(&times.value(*row)));
    if let Some(row) = outside {
        return Err(SqlError::new(
            ErrorKind::WrongValue,
            format!(
                "Incorrect time value for column '{name}' at row {}: Parquet has the times of one day only; \
                 write CAST({name} AS CHAR)",
                rows_before + row as u64 + 1
            ),
        ));
    }
    let values = Time64MicrosecondArray::new(times.values().clone(), times.nulls().cloned());
    Ok(Arc::new(values))
}

fn parquet_error(name: &str, error: &ParquetError) -> SqlError {
    if let ParquetError::External(source) = error
        && let Some(error) = source.downcast_ref::<std::io::Error>()
    {
        return write_error(name, error);
    }
    SqlError::new(ErrorKind::CannotWriteFile, format!("Error writing file '{name}': {error}"))
}
