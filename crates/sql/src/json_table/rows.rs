//! The rows that a document makes.

use super::{JsonColumn, JsonTable, Otherwise, RowsAt};
use crate::convert::{ColumnBuilder, Context, Scalar};
use crate::functions::failure::raise;
use crate::functions::json::{invalid_argument, invalid_path};
use crate::json::path::Path;
use crate::json::{Json, parse};
use crate::temporal::Zone;
use arrow::array::ArrayRef;
use datafusion::common::Result;
use std::ops::Range;
use types::{ErrorKind, SqlError, SqlType};

/// A [`JsonTable`] whose paths have been read.
#[derive(Debug)]
pub struct JsonRows {
    root: Level,
    columns: Vec<Column>,
    context: Context,
}

/// What one path finds, and the columns that are made of it.
#[derive(Debug)]
struct Level {
    path: Path,
    /// Places of its own columns.
    own: Vec<usize>,
    nested: Vec<Level>,
    /// Places of all columns that are made of it, those of nested paths among them.
    slots: Range<usize>,
}

#[derive(Debug)]
struct Column {
    name: String,
    ty: SqlType,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Ordinality,
    Exists(Path),
    Value { path: Path, on_empty: Answer, on_error: Answer },
}

#[derive(Debug)]
enum Answer {
    Null,
    Default(Json),
    Error,
}

/// A column's value in the row that is being made.
#[derive(Debug, Clone)]
enum Cell<'j> {
    Null,
    Number(i64),
    Found(&'j Json),
    /// Values that a path finds for a JSON column.
    Several(Vec<&'j Json>),
    Default(&'j Json),
}

/// Why a column does not take a value.
enum Refused {
    /// It is an array or an object.
    Structure,
    /// It is none of the column's type.
    Value,
}

/// Rows that have been made.
#[derive(Debug)]
pub struct MadeRows {
    builders: Vec<ColumnBuilder>,
    rows: usize,
    bytes: usize,
    /// Bytes of a row but for its texts.
    width: usize,
    /// A text on its way into a column.
    scratch: String,
}

impl MadeRows {
    fn new(types: Vec<SqlType>) -> MadeRows {
        let width = types.iter().map(|ty| ty.arrow().primitive_width().unwrap_or(16)).sum();
        let builders = types.into_iter().map(|ty| ColumnBuilder::of(ty, true, 0)).collect();
        MadeRows { builders, rows: 0, bytes: 0, width, scratch: String::new() }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The memory of the rows, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A row of NULLs.
    pub fn push_nulls(&mut self) {
        for builder in &mut self.builders {
            // The columns take NULL.
            let _ = builder.append_null();
        }
        self.end_row();
    }

    fn end_row(&mut self) {
        self.rows += 1;
        self.bytes += self.width;
    }

    /// The columns of the rows so far. The next rows begin new ones.
    pub fn take(&mut self) -> Vec<ArrayRef> {
        (self.rows, self.bytes) = (0, 0);
        self.builders
            .iter_mut()
            .map(|builder| {
                let next = ColumnBuilder::of(builder.ty(), true, 0);
                std::mem::replace(builder, next).finish()
            })
            .collect()
    }
}

impl JsonRows {
    /// Errors: 3143, and 1067 for a default that is no JSON.
    pub fn try_new(table: &JsonTable) -> Result<JsonRows, SqlError> {
        let mut columns = Vec::new();
        let root = level(&table.rows, &mut columns)?;
        let zone = Zone::parse(&table.zone).unwrap_or(Zone::UTC);
        Ok(JsonRows { root, columns, context: Context { zone, ..Context::fixed() } })
    }

    /// A place for rows.
    pub fn start(&self) -> MadeRows {
        MadeRows::new(self.columns.iter().map(|column| column.ty).collect())
    }

    /// The memory that a document takes while its rows are made, about: it grows with the values in it and their
    /// names, each of which ends at one of these characters.
    pub fn held_for(document: &str) -> usize {
        let values = document.bytes().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{')).count();
        document.len() + values * size_of::<(String, Json)>()
    }

    /// Adds the rows that a document makes; after each of them `each` may take those that there are. Errors: 3141
    /// and 3157 for the document, 3665, 3666 and 3669 for its values, and those of `each`.
    pub fn make(
        &self,
        document: &str,
        made: &mut MadeRows,
        each: &mut dyn FnMut(&mut MadeRows) -> Result<()>,
    ) -> Result<()> {
        let document = parse(document).map_err(|wrong| raise(invalid_argument(&wrong, 1, "json_table")))?;
        let mut row = vec![Cell::Null; self.columns.len()];
        for (at, value) in self.root.path.find(&document).into_iter().enumerate() {
            self.at_level(&self.root, value, at as i64 + 1, &mut row, made, each)?;
        }
        Ok(())
    }

    /// The rows of a value that a level's path has found: one for each that its nested paths find, each in its turn
    /// with NULLs for the others, or the one without any of them.
    fn at_level<'j>(
        &'j self,
        level: &'j Level,
        value: &'j Json,
        ordinality: i64,
        row: &mut [Cell<'j>],
        made: &mut MadeRows,
        each: &mut dyn FnMut(&mut MadeRows) -> Result<()>,
    ) -> Result<()> {
        row[level.slots.clone()].fill(Cell::Null);
        for slot in &level.own {
            row[*slot] = self.columns[*slot].cell(value, ordinality).map_err(raise)?;
        }
        let mut is_alone = true;
        for nested in &level.nested {
            for (at, found) in nested.path.find(value).into_iter().enumerate() {
                is_alone = false;
                self.at_level(nested, found, at as i64 + 1, row, made, each)?;
            }
            row[nested.slots.clone()].fill(Cell::Null);
        }
        if is_alone {
            self.push(row, made).map_err(raise)?;
            each(made)?;
        }
        Ok(())
    }

    fn push(&self, row: &[Cell<'_>], made: &mut MadeRows) -> Result<(), SqlError> {
        let MadeRows { builders, bytes, scratch, .. } = made;
        for ((column, cell), builder) in self.columns.iter().zip(row).zip(builders) {
            *bytes += column.append(cell, builder, scratch, &self.context)?;
        }
        made.end_row();
        Ok(())
    }
}

fn level(rows: &RowsAt, columns: &mut Vec<Column>) -> Result<Level, SqlError> {
    let first = columns.len();
    let (mut own, mut nested) = (Vec::new(), Vec::new());
    for column in &rows.columns {
        let (name, ty, source) = match column {
            JsonColumn::Nested(rows) => {
                nested.push(level(rows, columns)?);
                continue;
            }
            JsonColumn::Ordinality { name } => (name, super::ORDINALITY, Source::Ordinality),
            JsonColumn::Exists { name, ty, path } => (name, *ty, Source::Exists(read_path(path)?)),
            JsonColumn::Value { name, ty, path, on_empty, on_error } => {
                let source = Source::Value {
                    path: read_path(path)?,
                    on_empty: answer(on_empty, name)?,
                    on_error: answer(on_error, name)?,
                };
                (name, *ty, source)
            }
        };
        own.push(columns.len());
        columns.push(Column { name: name.clone(), ty, source });
    }
    Ok(Level { path: read_path(&rows.path)?, own, nested, slots: first..columns.len() })
}

fn read_path(text: &str) -> Result<Path, SqlError> {
    Path::parse(text).map_err(|place| invalid_path(text, place))
}

fn answer(otherwise: &Otherwise, column: &str) -> Result<Answer, SqlError> {
    Ok(match otherwise {
        Otherwise::Null => Answer::Null,
        Otherwise::Error => Answer::Error,
        Otherwise::Default(text) => Answer::Default(parse(text).map_err(|_| invalid_default(column))?),
    })
}

fn invalid_default(column: &str) -> SqlError {
    SqlError::new(ErrorKind::InvalidDefault, format!("Invalid default value for '{column}'"))
}

/// Error 1067 for a default that is no JSON, or that its column does not take.
pub fn check_default(text: &str, column: &str, ty: SqlType, zone: Zone) -> Result<(), SqlError> {
    let default = parse(text).map_err(|_| invalid_default(column))?;
    let context = Context { zone, ..Context::fixed() };
    let put = store(&default, ty, &mut ColumnBuilder::of(ty, true, 1), &mut String::new(), &context);
    put.map(|_| ()).map_err(|_| invalid_default(column))
}

impl Column {
    fn cell<'j>(&'j self, value: &'j Json, ordinality: i64) -> Result<Cell<'j>, SqlError> {
        let (path, on_empty, on_error) = match &self.source {
            Source::Ordinality => return Ok(Cell::Number(ordinality)),
            Source::Exists(path) => return Ok(Cell::Number(i64::from(!path.find(value).is_empty()))),
            Source::Value { path, on_empty, on_error } => (path, on_empty, on_error),
        };
        let found = path.find(value);
        match found.as_slice() {
            [] => on_empty.cell(|| {
                SqlError::new(
                    ErrorKind::MissingJsonTableValue,
                    format!("Missing value for JSON_TABLE column '{}'", self.name),
                )
            }),
            [one] => Ok(Cell::Found(one)),
            _ if self.ty == SqlType::Json => Ok(Cell::Several(found)),
            _ => on_error.cell(|| self.refusal(&Refused::Structure)),
        }
    }

    fn refusal(&self, why: &Refused) -> SqlError {
        match why {
            Refused::Structure => SqlError::new(
                ErrorKind::WrongJsonTableValue,
                format!("Can't store an array or an object in the scalar JSON_TABLE column '{}'", self.name),
            ),
            Refused::Value => SqlError::new(
                ErrorKind::JsonTableValueOutOfRange,
                format!("Value is out of range for JSON_TABLE's column '{}'", self.name),
            ),
        }
    }

    /// Appends the cell to the column; gives the bytes of its text.
    fn append(
        &self,
        cell: &Cell<'_>,
        builder: &mut ColumnBuilder,
        scratch: &mut String,
        context: &Context,
    ) -> Result<usize, SqlError> {
        let put = match cell {
            Cell::Null => nothing(builder),
            Cell::Number(number) => store(&Json::Int(*number), self.ty, builder, scratch, context),
            Cell::Found(value) | Cell::Default(value) => store(value, self.ty, builder, scratch, context),
            Cell::Several(values) => {
                scratch.clear();
                scratch.push('[');
                for (at, value) in values.iter().enumerate() {
                    if at > 0 {
                        scratch.push_str(", ");
                    }
                    value.write(scratch);
                }
                scratch.push(']');
                store_text(scratch, builder, context)
            }
        };
        let why = match put {
            Ok(bytes) => return Ok(bytes),
            Err(why) => why,
        };
        let answer = match &self.source {
            Source::Value { on_error, .. } if matches!(cell, Cell::Found(_)) => on_error,
            _ => &Answer::Error,
        };
        let put = match answer {
            Answer::Error => return Err(self.refusal(&why)),
            Answer::Null => nothing(builder),
            Answer::Default(value) => store(value, self.ty, builder, scratch, context),
        };
        put.map_err(|why| self.refusal(&why))
    }
}

impl Answer {
    fn cell(&self, error: impl FnOnce() -> SqlError) -> Result<Cell<'_>, SqlError> {
        match self {
            Answer::Null => Ok(Cell::Null),
            Answer::Default(value) => Ok(Cell::Default(value)),
            Answer::Error => Err(error()),
        }
    }
}

fn nothing(builder: &mut ColumnBuilder) -> Result<usize, Refused> {
    builder.append_null().map(|()| 0).map_err(|_| Refused::Value)
}

/// Appends a value to a column of the type, or nothing.
fn store(
    value: &Json,
    ty: SqlType,
    builder: &mut ColumnBuilder,
    scratch: &mut String,
    context: &Context,
) -> Result<usize, Refused> {
    let is_number = ty.is_integer()
        || matches!(ty, SqlType::Bit(_) | SqlType::Decimal { .. } | SqlType::Float | SqlType::Double);
    let scalar = match value {
        Json::Null => return nothing(builder),
        Json::Array(_) | Json::Object(_) if ty != SqlType::Json => return Err(Refused::Structure),
        Json::Text(text) if ty != SqlType::Json => return store_text(text, builder, context),
        Json::Bool(truth) if is_number => Scalar::Int(i128::from(*truth)),
        Json::Int(number) if is_number => Scalar::Int(i128::from(*number)),
        Json::UInt(number) if is_number => Scalar::Int(i128::from(*number)),
        Json::Double(number) if is_number => Scalar::Double(*number),
        other => {
            scratch.clear();
            other.write(scratch);
            return store_text(scratch, builder, context);
        }
    };
    builder.append(&scalar, context).map(|()| 0).map_err(|_| Refused::Value)
}

fn store_text(text: &str, builder: &mut ColumnBuilder, context: &Context) -> Result<usize, Refused> {
    match builder.append(&Scalar::Text(text), context) {
        Ok(()) => Ok(text.len()),
        Err(_) => Err(Refused::Value),
    }
}
