//! Small result sets made by hand: SHOW, DESCRIBE, EXPLAIN. A grid is filled row by row and becomes
//! one Arrow batch.

use arrow::array::{ArrayRef, PrimitiveArray, StringViewArray, new_null_array};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Int32Type, Int64Type, Schema, SchemaRef, UInt32Type, UInt64Type,
};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use types::{Result, SqlError, SqlType};

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    Null,
    Text(String),
    UInt(u64),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_string())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Cell {
        Cell::UInt(number)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(cell: Option<T>) -> Cell {
        cell.map_or(Cell::Null, Into::into)
    }
}

/// Column names with their types, and rows.
pub(crate) struct Grid {
    columns: Vec<(String, SqlType)>,
    rows: Vec<Vec<Cell>>,
}

impl Grid {
    /// Columns of text.
    pub(crate) fn of_text(names: &[&str]) -> Grid {
        Grid::new(names.iter().map(|name| (*name, SqlType::VarChar(1024))))
    }

    pub(crate) fn new<'a>(columns: impl IntoIterator<Item = (&'a str, SqlType)>) -> Grid {
        let columns = columns.into_iter().map(|(name, ty)| (name.to_string(), ty)).collect();
        Grid { columns, rows: Vec::new() }
    }

    /// Adds to the name of the first column.
    pub(crate) fn add_to_first_title(&mut self, text: &str) {
        if let Some((title, _)) = self.columns.first_mut() {
            title.push_str(text);
        }
    }

    /// Adds a row: as many cells as there are columns.
    pub(crate) fn push(&mut self, row: Vec<Cell>) {
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    /// Adds the rows of another grid, of as many columns.
    pub(crate) fn take_rows(&mut self, other: Grid) -> Result<()> {
        if other.columns.len() != self.columns.len() {
            return Err(SqlError::internal("rows of another width"));
        }
        self.rows.extend(other.rows);
        Ok(())
    }

    /// Keeps the rows that pass.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&[Cell]) -> bool) {
        self.rows.retain(|row| keep(row));
    }

    pub(crate) fn rows(&self) -> &[Vec<Cell>] {
        &self.rows
    }

    pub(crate) fn columns(&self) -> &[(String, SqlType)] {
        &self.columns
    }

    pub(crate) fn into_batch(self) -> Result<RecordBatch> {
        let fields: Vec<Field> = self.columns.iter().map(|(name, ty)| ty.field(name, true)).collect();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let arrays = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, (_, ty))| column(*ty, self.rows.iter().map(|row| &row[at])))
            .collect();
        RecordBatch::try_new(schema, arrays).map_err(SqlError::internal)
    }
}

/// A column of whole numbers or of text. A cell of another kind is shown as text or, in a number's
/// column, as NULL, and so is all in columns of other types.
fn column<'a>(ty: SqlType, cells: impl Iterator<Item = &'a Cell>) -> ArrayRef {
    match ty.arrow() {
        DataType::UInt64 => numbers::<UInt64Type>(cells),
        DataType::Int64 => numbers::<Int64Type>(cells),
        DataType::UInt32 => numbers::<UInt32Type>(cells),
        DataType::Int32 => numbers::<Int32Type>(cells),
        DataType::Utf8View => Arc::new(StringViewArray::from_iter(cells.map(|cell| match cell {
            Cell::Null => None,
            Cell::Text(text) => Some(text.clone()),
            Cell::UInt(number) => Some(number.to_string()),
        }))),
        other => new_null_array(&other, cells.count()),
    }
}

/// A number that does not fit is NULL.
fn numbers<'a, T: ArrowPrimitiveType>(cells: impl Iterator<Item = &'a Cell>) -> ArrayRef
where
    T::Native: TryFrom<u64>,
{
    Arc::new(PrimitiveArray::<T>::from_iter(cells.map(|cell| match cell {
        Cell::UInt(number) => T::Native::try_from(*number).ok(),
        Cell::Null | Cell::Text(_) => None,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;

    #[test]
    fn cells_become_columns_of_their_types() {
        let mut grid = Grid::new([
            ("a", SqlType::Int { unsigned: false }),
            ("b", SqlType::VarChar(3)),
            ("c", SqlType::DateTime { fsp: 0 }),
        ]);
        grid.push(vec![Cell::UInt(7), Cell::UInt(7), Cell::Null]);
        grid.push(vec![Cell::UInt(1 << 40), "x".into(), Cell::UInt(7)]);
        let batch = grid.into_batch().unwrap();
        let numbers = batch.column(0).as_primitive::<Int32Type>();
        assert_eq!(numbers.iter().collect::<Vec<_>>(), [Some(7), None]);
        let texts = batch.column(1).as_string_view();
        assert_eq!(texts.iter().collect::<Vec<_>>(), [Some("7"), Some("x")]);
        assert_eq!(batch.column(2).null_count(), 2);
    }
}
