//! LOAD DATA: text in MySQL's field and line format to rows of a table.
//!
//! The parser takes the file in pieces and gives batches. A piece is first cut into fields, a
//! thousand rows at a time so that they stay in cache, then each column is converted in one loop.
//! Text without quotes and escapes, which is nearly all there is, takes a short way through memchr.
//!
//! Under IGNORE, and outside of the strict modes, a row is taken as it is: a value that is none of its column
//! gives way to the nearest, a missing field to the column's default, and what is too much is left out. The
//! parser then has warnings, which [`LoadParser::warnings`] gives.
//!
//! To load on several threads, cut the file with [`LoadParser::split_point`], give each piece to a
//! [`LoadParser::fork`], and number the rows of an error with [`LoadError::at`].

mod scan;
mod split;
#[cfg(test)]
mod tests;

use crate::convert::{
    ColumnBuilder, Context, DefaultValue, Scalar, Warning, Wrong, default_value, gather, zero,
};
use crate::rows::{NewRows, Target};
use crate::statement::LoadFormat;
use arrow::array::ArrayRef;
use scan::Fields;
use std::sync::Arc;
use types::{ColumnDef, ErrorKind, Result, SqlError, TableDef, Value};

/// Rows of a batch, give or take a block.
pub const BATCH_ROWS: usize = 65_536;
/// Rows that are cut into fields before they are converted.
const BLOCK_ROWS: usize = 1024;

/// An error in a row, not yet with the row's number in the whole file.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadError {
    /// From 1, in this parser's input.
    pub row: u64,
    cause: Cause,
}

#[derive(Debug, Clone, PartialEq)]
enum Cause {
    TooFewFields,
    TooManyFields,
    Value { wrong: Wrong, column: Box<ColumnDef>, text: Vec<u8> },
    Other(SqlError),
}

impl LoadError {
    /// An error that is no row's.
    pub fn other(error: SqlError) -> LoadError {
        LoadError { row: 0, cause: Cause::Other(error) }
    }

    /// The error, when `rows_before` rows stand in the file before this parser's input.
    pub fn at(self, rows_before: u64) -> SqlError {
        let row = self.row + rows_before;
        match self.cause {
            Cause::TooFewFields => SqlError::new(
                ErrorKind::WarnTooFewRecords,
                format!("Row {row} doesn't contain data for all columns"),
            ),
            Cause::TooManyFields => SqlError::new(
                ErrorKind::WarnTooManyRecords,
                format!("Row {row} was truncated; it contained more data than there were input columns"),
            ),
            Cause::Value { wrong: Wrong::Null, column, .. } => SqlError::new(
                ErrorKind::ColumnCannotBeNull,
                format!("Column '{}' cannot be null at row {row}", column.name),
            ),
            Cause::Value { wrong, column, text } => wrong.at(&column, &text, row),
            Cause::Other(error) => error,
        }
    }

    /// The same as a warning of what was done about it.
    pub fn warning(self, rows_before: u64) -> (ErrorKind, String) {
        match &self.cause {
            Cause::Value { wrong: Wrong::Null, column, .. } => (
                ErrorKind::WarnNullToNotNull,
                format!(
                    "Column set to default value; NULL supplied to NOT NULL column '{}' at row {}",
                    column.name,
                    self.row + rows_before
                ),
            ),
            _ => {
                let error = self.at(rows_before);
                (error.kind, error.message)
            }
        }
    }
}

/// Warnings of a stretch of a file, in the order of its rows.
#[derive(Debug, Default)]
pub struct LoadWarnings {
    /// The first of them, [`MOST_WARNINGS`] at most.
    pub first: Vec<LoadError>,
    /// How many more there were.
    pub more: u64,
}

/// No more are shown, and what they quote takes room.
pub const MOST_WARNINGS: usize = 1024;
/// How much of a value a warning keeps; it quotes less.
const KEPT: usize = 1024;

impl LoadWarnings {
    fn add(&mut self, warning: LoadError) {
        if self.first.len() < MOST_WARNINGS { self.first.push(warning) } else { self.more += 1 }
    }
}

/// What the file would have to say for a column to get its default; `None`: NULL, or a number to be
/// generated.
fn default_text(column: &ColumnDef, context: &Context) -> Option<Vec<u8>> {
    let value = match default_value(column, context) {
        Ok(DefaultValue::Value(value)) => value,
        _ => zero(column.ty).filter(|_| !column.nullable && !column.auto_increment)?,
    };
    // The file's times are of the session's zone.
    let value = match value {
        Value::Timestamp(utc) => Value::DateTime(context.zone.to_local(utc)),
        other => other,
    };
    (value != Value::Null).then(|| Scalar::of(&value).text().into_owned())
}

/// Parses one stretch of a file.
#[derive(Debug)]
pub struct LoadParser {
    target: Arc<Target>,
    format: Arc<LoadFormat>,
    context: Context,
    builders: Vec<ColumnBuilder>,
    /// Rows in the builders.
    building: usize,
    /// Text after the last whole row.
    pending: Vec<u8>,
    fields: Fields,
    rows: u64,
    lines_to_skip: u64,
    /// What is in the place of a missing field, for each listed column.
    defaults: Arc<Vec<Option<Vec<u8>>>>,
    warnings: LoadWarnings,
}

impl LoadParser {
    /// `columns`: the statement's list, all of the table's if it is empty.
    pub fn new(
        def: Arc<TableDef>,
        columns: &[&str],
        format: &LoadFormat,
        context: Context,
    ) -> Result<LoadParser> {
        let target = Target::new(def, columns.iter().copied(), &context)?;
        target.refuse_generated()?;
        let defaults = match context.lenient {
            true => {
                // A warning is for a field that is missing, and then it is another one.
                let columns = (0..target.listed.len()).map(|at| target.column(at));
                gather(|| columns.map(|column| default_text(column, &context)).collect()).0
            }
            false => Vec::new(),
        };
        let target = Arc::new(target);
        let parser = LoadParser {
            builders: Vec::new(),
            building: 0,
            pending: Vec::new(),
            fields: Fields::default(),
            rows: 0,
            lines_to_skip: format.ignore_lines,
            target,
            format: Arc::new(format.clone()),
            context,
            defaults: Arc::new(defaults),
            warnings: LoadWarnings::default(),
        };
        Ok(parser)
    }

    /// A parser for another stretch of the same file, which begins at a row and after the ignored lines.
    pub fn fork(&self) -> LoadParser {
        LoadParser {
            target: self.target.clone(),
            format: self.format.clone(),
            context: self.context,
            builders: Vec::new(),
            building: 0,
            pending: Vec::new(),
            fields: Fields::default(),
            rows: 0,
            lines_to_skip: 0,
            defaults: self.defaults.clone(),
            warnings: LoadWarnings::default(),
        }
    }

    /// Rows read so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The warnings so far.
    pub fn warnings(&mut self) -> LoadWarnings {
        std::mem::take(&mut self.warnings)
    }

    /// Where a text that begins at a row can be cut so that the first part ends with a row; the
    /// farthest such place. `None`: there is no whole row.
    pub fn split_point(&self, text: &[u8]) -> Option<usize> {
        split::split_point(&self.format, text)
    }

    /// Where the first row begins in a file: after the ignored lines. `None`: further than this text.
    pub fn after_ignored_lines(&self, text: &[u8]) -> Option<usize> {
        let mut at = 0;
        for _ in 0..self.format.ignore_lines {
            at += scan::line_end(&self.format, &text[at..])?;
        }
        Some(at)
    }

    /// Takes the next piece of the file and gives the batches that are full.
    pub fn push(&mut self, text: &[u8]) -> Result<Vec<NewRows>, LoadError> {
        let mut out = Vec::new();
        let ends_line =
            self.format.lines_terminated.last().is_some_and(|b| memchr::memchr(*b, text).is_some());
        if !ends_line {
            // Nothing to find: a long row in small pieces is not to be looked at again and again.
            self.pending.extend_from_slice(text);
        } else if self.pending.is_empty() {
            let used = self.parse(text, false, &mut out)?;
            self.pending.extend_from_slice(&text[used..]);
        } else {
            let mut whole = std::mem::take(&mut self.pending);
            whole.extend_from_slice(text);
            let used = self.parse(&whole, false, &mut out)?;
            whole.drain(..used);
            self.pending = whole;
        }
        Ok(out)
    }

    /// Ends the file and gives what is left.
    pub fn finish(&mut self) -> Result<Vec<NewRows>, LoadError> {
        let mut out = Vec::new();
        let rest = std::mem::take(&mut self.pending);
        self.parse(&rest, true, &mut out)?;
        if self.building > 0 {
            out.push(self.batch()?);
        }
        Ok(out)
    }

    /// Parses whole rows; gives the number of bytes used.
    fn parse(&mut self, text: &[u8], at_end: bool, out: &mut Vec<NewRows>) -> Result<usize, LoadError> {
        let mut at = 0;
        while self.lines_to_skip > 0 {
            match scan::line_end(&self.format, &text[at..]) {
                Some(length) => at += length,
                None => return Ok(if at_end { text.len() } else { at }),
            }
            self.lines_to_skip -= 1;
        }
        let columns = self.target.listed.len();
        loop {
            let format = self.format.clone();
            self.fields.clear();
            let scanned = scan::scan(&format, columns, &text[at..], at_end, BLOCK_ROWS, &mut self.fields);
            let rows = self.fields.rows;
            if rows > 0 {
                self.convert(&text[at..at + scanned.used], rows)?;
                if self.building >= BATCH_ROWS {
                    out.push(self.batch()?);
                }
            }
            at += scanned.used;
            if let Some(too_many) = scanned.wrong {
                if !self.context.lenient {
                    let cause = if too_many { Cause::TooManyFields } else { Cause::TooFewFields };
                    return Err(LoadError { row: self.rows + 1, cause });
                }
                match self.loose_row(&text[at..], at_end)? {
                    Some(used) => at += used,
                    None if at_end => return Err(self.too_long()),
                    None => return Ok(at),
                }
                if self.building >= BATCH_ROWS {
                    out.push(self.batch()?);
                }
                continue;
            }
            if rows == 0 && scanned.used == 0 && scanned.cut {
                return Err(self.too_long());
            }
            if rows < BLOCK_ROWS && !scanned.cut {
                return Ok(at);
            }
        }
    }

    fn too_long(&self) -> LoadError {
        let error = SqlError::new(ErrorKind::DataTooLong, "A row of the file is longer than 1 GiB");
        LoadError { row: self.rows + 1, cause: Cause::Other(error) }
    }

    /// Takes the row at the front of the text, which has another number of fields than it should. Gives the
    /// bytes used; `None`: it goes on beyond the text.
    fn loose_row(&mut self, text: &[u8], at_end: bool) -> Result<Option<usize>, LoadError> {
        self.fields.clear();
        let (format, defaults) = (self.format.clone(), self.defaults.clone());
        let Some((used, found)) = scan::loose_row(&format, &defaults, text, at_end, &mut self.fields) else {
            return Ok(None);
        };
        let row = self.rows + 1;
        if found > defaults.len() {
            self.warnings.add(LoadError { row, cause: Cause::TooManyFields });
        }
        for _ in found..defaults.len() {
            self.warnings.add(LoadError { row, cause: Cause::TooFewFields });
        }
        self.convert(&text[..used], 1)?;
        Ok(Some(used))
    }

    /// Converts the rows in `self.fields`, whose places are in `text`.
    fn convert(&mut self, text: &[u8], rows: usize) -> Result<(), LoadError> {
        if self.builders.is_empty() {
            let expected = BATCH_ROWS + BLOCK_ROWS;
            self.builders =
                (0..self.target.listed.len()).map(|at| self.target.builder(at, expected)).collect();
        }
        let columns = self.builders.len();
        let fields = &self.fields;
        let ascii = text.is_ascii() && fields.unescaped.is_ascii();
        let mut first: Option<LoadError> = None;
        let mut warnings = Vec::new();
        // Of each column no more are kept than are shown of all.
        let room = MOST_WARNINGS - self.warnings.first.len();
        for (column, builder) in self.builders.iter_mut().enumerate() {
            let get = |row: usize| fields.get(text, row * columns + column);
            let (mut done, mut told_of_column) = (0, 0);
            while let Err((row, wrong)) =
                builder.append_many(rows - done, ascii, &self.context, |row| get(done + row))
            {
                let row = done + row;
                let value = get(row);
                let scalar = value.map_or(Scalar::Null, Scalar::Bytes);
                let told = match self.context.lenient {
                    true => builder.append_nearest(wrong, &scalar, &self.context),
                    false => None,
                };
                if told.is_some() && told_of_column == room {
                    self.warnings.more += 1;
                    done = row + 1;
                    continue;
                }
                told_of_column += 1;
                let value = value.unwrap_or(b"NULL");
                let kept = if told.is_some() { &value[..value.len().min(KEPT)] } else { value };
                let cause = Cause::Value {
                    wrong: told.unwrap_or(wrong),
                    column: Box::new(self.target.column(column).clone()),
                    text: kept.to_vec(),
                };
                let error = LoadError { row: self.rows + row as u64 + 1, cause };
                if told.is_none() {
                    if first.as_ref().is_none_or(|earlier| error.row < earlier.row) {
                        first = Some(error);
                    }
                    break;
                }
                warnings.push(error);
                done = row + 1;
            }
        }
        if let Some(error) = first {
            return Err(error);
        }
        warnings.sort_by_key(|warning| warning.row);
        warnings.into_iter().for_each(|warning| self.warnings.add(warning));
        self.rows += rows as u64;
        self.building += rows;
        Ok(())
    }

    fn batch(&mut self) -> Result<NewRows, LoadError> {
        let arrays: Vec<ArrayRef> =
            std::mem::take(&mut self.builders).into_iter().map(ColumnBuilder::finish).collect();
        let rows = std::mem::take(&mut self.building);
        let row = self.rows;
        let wrong = |error| LoadError { row, cause: Cause::Other(error) };
        let (made, raised) = gather(|| self.target.complete(arrays, rows));
        for Warning { kind, message } in raised {
            self.warnings.add(wrong(SqlError::new(kind, message)));
        }
        made.map_err(wrong)
    }
}
