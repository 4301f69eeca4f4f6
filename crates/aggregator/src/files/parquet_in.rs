//! Rows of a Parquet file, to be loaded into a table.
//!
//! The file is not trusted: whatever is wrong with it is an error that names it, a panic of the decoder
//! too. It is read a few pages of each column at a time, so memory does not grow with it. Columns are
//! matched by name, without case. What the Parquet types have and MySQL's have not (other units of time,
//! numbers of days beyond the year 9999) is brought to MySQL's or refused here; all else becomes a value
//! of the column as an INSERT of it would.

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, DurationMicrosecondArray, TimestampMicrosecondArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Field, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use sql::convert::{Context, convert_column};
use sql::rows::{NewRows, Target};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use types::{ColumnDef, ErrorKind, Result, SqlError, SqlType, TableDef};

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 8192;
const DAY_MICROS: i64 = 86_400_000_000;
/// 0000-01-01 and 9999-12-31, in days since 1970-01-01.
const DAYS: std::ops::RangeInclusive<i64> = -719_528..=2_932_896;
/// What TIMESTAMP holds, in microseconds.
const TIMESTAMPS: std::ops::RangeInclusive<i64> = 1_000_000..=2_147_483_647_999_999;

/// A Parquet file under way.
pub(crate) struct ParquetRows {
    name: String,
    reader: ParquetRecordBatchReader,
    /// The batch's columns in the order that they were asked for.
    order: Vec<usize>,
    pub(crate) target: Arc<Target>,
}

impl ParquetRows {
    /// Opens a file to load these columns of a table, or without any all that the file has. Errors: 1016
    /// if it is none or broken, 1054, 1110, 1235 for nested columns.
    pub(crate) fn open(
        file: File,
        name: &str,
        def: &Arc<TableDef>,
        columns: &[String],
        context: &Context,
    ) -> Result<ParquetRows> {
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = guarded(name, || ParquetRecordBatchReaderBuilder::try_new_with_options(file, options))?;
        let schema = builder.schema().clone();
        let columns: Vec<String> = match columns {
            [] => schema.fields().iter().map(|field| field.name().clone()).collect(),
            columns => columns.to_vec(),
        };
        if columns.is_empty() {
            return Err(broken(name, "it has no columns"));
        }
        let mut places = Vec::with_capacity(columns.len());
        for column in &columns {
            let exactly = schema.fields().iter().position(|field| field.name() == column);
            let place = exactly
                .or_else(|| schema.fields().iter().position(|f| f.name().eq_ignore_ascii_case(column)));
            let Some(place) = place else {
                let text = format!("Unknown column '{column}' in '{name}'");
                return Err(SqlError::new(ErrorKind::UnknownColumn, text));
            };
            if schema.field(place).data_type().is_nested() {
                return Err(SqlError::unsupported(format_args!(
                    "loading the nested column '{column}' of a Parquet file"
                )));
            }
            places.push(place);
        }
        let target = Target::new(def.clone(), columns.iter().map(String::as_str), context)?;
        target.refuse_generated()?;
        let mask = ProjectionMask::roots(builder.parquet_schema(), places.iter().copied());
        let mut read: Vec<usize> = places.clone();
        read.sort_unstable();
        read.dedup();
        let order = places.iter().filter_map(|place| read.binary_search(place).ok()).collect();
        let reader = guarded(name, || builder.with_projection(mask).with_batch_size(BATCH_ROWS).build())?;
        Ok(ParquetRows { name: name.to_string(), reader, order, target: Arc::new(target) })
    }

    /// The next rows, with the columns in the order that they were asked for.
    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>> {
        let (name, reader) = (&self.name, &mut self.reader);
        let Some(batch) = guarded(name, || reader.next().transpose())? else { return Ok(None) };
        batch.project(&self.order).map(Some).map_err(|error| broken(name, error))
    }
}

/// Rows of the file as rows of the table; `rows_before` of the file are behind.
pub(crate) fn new_rows(
    target: &Target,
    batch: &RecordBatch,
    context: &Context,
    rows_before: u64,
) -> Result<NewRows> {
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (at, array) in batch.columns().iter().enumerate() {
        let to = target.assignable(at);
        if let Some(row) = (0..array.len()).find(|row| !to.nullable && array.is_null(*row)) {
            let row = rows_before + row as u64 + 1;
            let text = format!("Column '{}' cannot be null at row {row}", to.name);
            return Err(SqlError::new(ErrorKind::ColumnCannotBeNull, text));
        }
        let array = as_mysql_has_it(array, &to, rows_before)?;
        let from = Field::new(&to.name, array.data_type().clone(), true);
        columns.push(convert_column(&array, &from, &to, context, rows_before + 1)?);
    }
    target.complete(columns, batch.num_rows())
}

/// Runs the decoder on bytes that may be anything.
fn guarded<T, E: std::fmt::Display>(name: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T> {
    // What a panic leaves behind is not used again: every error ends the load.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| broken(name, error)),
        Err(_) => Err(broken(name, "its bytes make no sense to the decoder")),
    }
}

fn broken(name: &str, why: impl std::fmt::Display) -> SqlError {
    SqlError::new(ErrorKind::FileError, format!("File '{name}' cannot be read as Parquet: {why}"))
}

/// An array of a type and with values that the conversion to the column's type knows.
fn as_mysql_has_it(array: &ArrayRef, to: &ColumnDef, rows_before: u64) -> Result<ArrayRef> {
    let cast = |ty: &DataType| {
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        cast_with_options(array, ty, &strict).map_err(|error| {
            SqlError::new(ErrorKind::WrongValue, format!("Incorrect value for column '{}': {error}", to.name))
        })
    };
    let outside = |row: usize, what: &str, value: i64, unit: &str| {
        let row = rows_before + row as u64 + 1;
        let text = format!(
            "Incorrect {what} value: '{value}' {unit} since 1970-01-01 for column '{}' at row {row}",
            to.name
        );
        SqlError::new(ErrorKind::WrongValue, text)
    };
    Ok(match array.data_type() {
        DataType::Boolean => cast(&DataType::Int8)?,
        DataType::Decimal256(_, scale) => cast(&DataType::Decimal128(SqlType::MAX_PRECISION, *scale))?,
        DataType::Date32 => {
            let days: &Date32Array = array.as_primitive::<Date32Type>();
            if let Some(row) = first(days, |day| !DAYS.contains(&i64::from(day))) {
                return Err(outside(row, "date", days.value(row).into(), "days"));
            }
            array.clone()
        }
        DataType::Time32(_) | DataType::Time64(_) => {
            let micros = cast_with_options(
                &cast(&DataType::Time64(TimeUnit::Microsecond))?,
                &DataType::Int64,
                &CastOptions::default(),
            )
            .map_err(SqlError::internal)?;
            let micros = micros.as_primitive::<Int64Type>();
            if let Some(row) = first(micros, |time| !(0..=DAY_MICROS).contains(&time)) {
                let row = rows_before + row as u64 + 1;
                let text = format!("Incorrect time value for column '{}' at row {row}", to.name);
                return Err(SqlError::new(ErrorKind::WrongValue, text));
            }
            Arc::new(DurationMicrosecondArray::new(micros.values().clone(), micros.nulls().cloned()))
        }
        DataType::Timestamp(unit, zone) => {
            // i64::MAX for what is no number of microseconds: it is no time of MySQL's, either.
            let scaled = |by: i64| move |value: i64| value.checked_mul(by).unwrap_or(i64::MAX);
            let micros: TimestampMicrosecondArray = match unit {
                TimeUnit::Second => array.as_primitive::<TimestampSecondType>().unary(scaled(1_000_000)),
                TimeUnit::Millisecond => {
                    array.as_primitive::<TimestampMillisecondType>().unary(scaled(1_000))
                }
                TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().clone(),
                TimeUnit::Nanosecond => array
                    .as_primitive::<TimestampNanosecondType>()
                    .unary(|nanos| nanos.div_euclid(1_000) + i64::from(nanos.rem_euclid(1_000) >= 500)),
            };
            let is_timestamp = zone.is_some() && matches!(to.ty, SqlType::Timestamp { .. });
            let fits = |value: i64| match is_timestamp {
                true => TIMESTAMPS.contains(&value),
                false => DAYS.contains(&value.div_euclid(DAY_MICROS)),
            };
            if let Some(row) = first(&micros, |value| !fits(value)) {
                return Err(outside(row, "datetime", micros.value(row), "microseconds"));
            }
            let zone = zone.as_ref().map(|_| Arc::from("+00:00"));
            Arc::new(micros.with_data_type(DataType::Timestamp(TimeUnit::Microsecond, zone)))
        }
        _ => array.clone(),
    })
}

/// The first row with a value that is like this.
fn first<T: arrow::datatypes::ArrowPrimitiveType>(
    array: &arrow::array::PrimitiveArray<T>,
    is: impl Fn(T::Native) -> bool,
) -> Option<usize> {
    (0..array.len()).find(|row| array.is_valid(*row) && is(array.value(*row)))
}
