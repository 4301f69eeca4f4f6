//! New rows on their way into a table: all of its columns in order, defaults filled in, and which
//! AUTO_INCREMENT numbers are still to be given.

use crate::convert::{ColumnBuilder, Context, DefaultValue, constant_column, convert_value, default_value};
use crate::query::RowRules;
use crate::statement::{Insert, InsertSource, InsertValue};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{filter, filter_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use std::cell::RefCell;
use std::sync::Arc;
use types::{ColumnDef, ColumnDefault, ErrorKind, Result, SqlError, TableDef, Value};

/// Rows of all columns of a table.
#[derive(Debug, Clone)]
pub struct NewRows {
    /// With 0 in the AUTO_INCREMENT column where `generate` is true.
    pub batch: RecordBatch,
    /// The rows whose AUTO_INCREMENT number is to be generated: it was left out, NULL, or 0 unless that is stored.
    /// `None`: no row's.
    pub generate: Option<BooleanArray>,
    /// How many rows an INSERT IGNORE left out, since they violate a CHECK.
    pub left_out: usize,
}

/// The Arrow schema of a table's rows: its columns in the order of SELECT *.
pub fn table_schema(def: &TableDef) -> SchemaRef {
    let fields: Vec<_> = def.columns.iter().map(|c| c.ty.field(&c.name, c.nullable)).collect();
    Arc::new(Schema::new(fields))
}

/// The same of a definition that is used again and again: making it takes longer than an INSERT of a row has,
/// so each thread keeps what it used last.
fn kept_schema(def: &Arc<TableDef>) -> SchemaRef {
    const KEPT: usize = 8;
    thread_local! {
        static KNOWN: RefCell<Vec<(Arc<TableDef>, SchemaRef)>> = const { RefCell::new(Vec::new()) };
    }
    KNOWN.with_borrow_mut(|known| {
        if let Some((_, schema)) = known.iter().find(|(of, _)| Arc::ptr_eq(of, def)) {
            return schema.clone();
        }
        let schema = table_schema(def);
        if known.len() >= KEPT {
            known.remove(0);
        }
        known.push((def.clone(), schema.clone()));
        schema
    })
}

impl NewRows {
    /// Those rows, and the others as left out.
    fn only(self, kept: &BooleanArray) -> Result<NewRows> {
        let batch = filter_record_batch(&self.batch, kept).map_err(SqlError::internal)?;
        let generate = match self.generate {
            Some(generate) => Some(filter(&generate, kept).map_err(SqlError::internal)?.as_boolean().clone()),
            None => None,
        };
        Ok(NewRows { left_out: self.batch.num_rows() - batch.num_rows(), batch, generate })
    }

    /// How many numbers are to be generated.
    pub fn to_generate(&self) -> u64 {
        self.generate.as_ref().map_or(0, |mask| mask.true_count() as u64)
    }

    /// The rows with the numbers `first`, `first + 1` .. given in their order.
    pub fn number(self, def: &TableDef, first: u64) -> Result<RecordBatch> {
        let (Some(mask), Some(column)) = (&self.generate, def.auto_increment()) else {
            return Ok(self.batch);
        };
        let place = def.position(column.id).unwrap_or(0);
        let old = self.batch.column(place);
        let mut builder = ColumnBuilder::new(column, old.len());
        let mut next = first;
        for row in 0..old.len() {
            let value = if mask.value(row) {
                next += 1;
                Value::UInt(next - 1)
            } else {
                crate::convert::value_at(old, column.ty, row)
            };
            builder
                .append(&crate::convert::Scalar::of(&value), &Context::fixed())
                .map_err(|_| auto_increment_overflow(column))?;
        }
        let mut columns = self.batch.columns().to_vec();
        columns[place] = builder.finish();
        batch(self.batch.schema(), columns, self.batch.num_rows())
    }

    /// The AUTO_INCREMENT number of a row of the table; `None`: it has no such column, or not of integers.
    pub fn number_of(def: &TableDef, rows: &RecordBatch, row: usize) -> Option<i128> {
        let column = def.auto_increment()?;
        match crate::convert::value_at(rows.column(def.position(column.id)?), column.ty, row) {
            Value::Int(value) => Some(value.into()),
            Value::UInt(value) => Some(value.into()),
            _ => None,
        }
    }

    /// The greatest number that the rows bring with them, so that the counter goes on behind it.
    pub fn greatest_given(&self, def: &TableDef) -> Option<u64> {
        let column = def.auto_increment()?;
        let array = self.batch.column(def.position(column.id)?);
        (0..array.len())
            .filter_map(|row| match crate::convert::value_at(array, column.ty, row) {
                Value::Int(value) => u64::try_from(value).ok(),
                Value::UInt(value) => Some(value),
                _ => None,
            })
            .max()
            .filter(|greatest| *greatest > 0)
    }
}

fn auto_increment_overflow(column: &ColumnDef) -> SqlError {
    SqlError::new(
        ErrorKind::OutOfRange,
        format!("The AUTO_INCREMENT column '{}' has no numbers left in {}", column.name, column.ty),
    )
}

pub(crate) fn batch(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(SqlError::internal)
}

/// Where each column of the table gets its values from.
#[derive(Debug, Clone)]
enum Source {
    /// The place in the statement's list of columns.
    Listed(usize),
    Default(Value),
    Generated,
    /// The table computes it of the row.
    Computed,
}

/// The columns that a statement names, matched with the table's.
#[derive(Debug, Clone)]
pub struct Target {
    pub def: Arc<TableDef>,
    pub schema: SchemaRef,
    /// For each listed column its place in the table.
    pub listed: Vec<usize>,
    sources: Vec<Source>,
    rules: Option<Arc<RowRules>>,
    /// Places of columns that take their DEFAULT expressions.
    left_out: Vec<usize>,
    /// See [`Context::keeps_zero`].
    keeps_zero: bool,
}

impl Target {
    /// `names`: the statement's columns, all of the table's if there are none. Errors: 1054 unknown,
    /// 1110 twice, 1364 left out and without a default.
    pub fn new<'n>(
        def: Arc<TableDef>,
        names: impl IntoIterator<Item = &'n str>,
        context: &Context,
    ) -> Result<Target> {
        let mut listed = Vec::new();
        for name in names {
            let Some((place, column)) = def.column_named(name) else {
                return Err(SqlError::new(
                    ErrorKind::UnknownColumn,
                    format!("Unknown column '{name}' in 'field list'"),
                ));
            };
            if listed.contains(&place) {
                return Err(SqlError::new(
                    ErrorKind::FieldSpecifiedTwice,
                    format!("Column '{}' specified twice", column.name),
                ));
            }
            listed.push(place);
        }
        if listed.is_empty() {
            listed = (0..def.shown().len()).collect();
        }
        Target::of_places(def, listed, context)
    }

    /// The same for columns by their places.
    pub fn of_places(def: Arc<TableDef>, listed: Vec<usize>, context: &Context) -> Result<Target> {
        let rules = RowRules::of(&def, context)?;
        let mut left_out = Vec::new();
        let mut sources = Vec::with_capacity(def.columns.len());
        for (place, column) in def.columns.iter().enumerate() {
            let source = match listed.iter().position(|at| *at == place) {
                Some(at) => Source::Listed(at),
                None => match default_value(column, context)? {
                    DefaultValue::Value(value) => Source::Default(value),
                    DefaultValue::Generated => Source::Generated,
                    DefaultValue::Computed => {
                        left_out.push(place);
                        Source::Computed
                    }
                },
            };
            sources.push(source);
        }
        let (schema, keeps_zero) = (kept_schema(&def), context.keeps_zero);
        Ok(Target { schema, def, listed, sources, rules, left_out, keeps_zero })
    }

    /// The columns of an INSERT .. VALUES whose rows may say DEFAULT. Errors beside those of
    /// [`Target::new`]: 1136 for a row with more or fewer values than columns, 3105.
    pub fn of_values(insert: &Insert, def: Arc<TableDef>, context: &Context) -> Result<Target> {
        let names = insert.columns.iter().map(|name| name.value.as_str());
        let mut target = Target::new(def, names, context)?;
        let InsertSource::Values(rows) = &insert.source else { return Ok(target) };
        check_counts(insert, rows, target.listed.len())?;
        if target.rules.is_none() {
            return Ok(target);
        }
        for at in 0..target.listed.len() {
            let place = target.listed[at];
            let generated = target.def.is_generated(place);
            if !generated && !matches!(target.def.columns[place].default, ColumnDefault::Expression(_)) {
                continue;
            }
            let says_default = |row: &&Vec<InsertValue>| {
                matches!(row.get(at).unwrap_or(&InsertValue::Default), InsertValue::Default)
            };
            let defaults = rows.iter().filter(says_default).count();
            if defaults == rows.len() {
                target.sources[place] = Source::Computed;
                target.left_out.push(place);
            } else if generated {
                return Err(crate::ddl::errors::generated_value(&target.def, place));
            } else if defaults > 0 {
                return Err(SqlError::unsupported(format_args!(
                    "DEFAULT in some rows and values in others for column '{}', whose default is an expression",
                    target.def.columns[place].name
                )));
            }
        }
        Ok(target)
    }

    /// For rows that say nothing of DEFAULT: a generated column must not be listed. Error: 3105.
    pub fn refuse_generated(&self) -> Result<()> {
        match self.listed.iter().find(|place| self.def.is_generated(**place)) {
            Some(place) => Err(crate::ddl::errors::generated_value(&self.def, *place)),
            None => Ok(()),
        }
    }

    /// Whether the values of a listed column do not count, since the table computes it.
    pub fn is_computed(&self, listed: usize) -> bool {
        matches!(self.sources[self.listed[listed]], Source::Computed)
    }

    /// The definition of a listed column.
    pub fn column(&self, listed: usize) -> &ColumnDef {
        &self.def.columns[self.listed[listed]]
    }

    /// The same for a conversion whose NULL in an AUTO_INCREMENT column means "generate".
    pub fn assignable(&self, listed: usize) -> ColumnDef {
        let column = self.column(listed);
        ColumnDef { nullable: column.nullable || column.auto_increment, ..column.clone() }
    }

    /// A builder for a listed column: AUTO_INCREMENT takes NULL, which means "generate".
    pub fn builder(&self, listed: usize, rows: usize) -> ColumnBuilder {
        let column = self.column(listed);
        let nullable = column.nullable || column.auto_increment || self.is_computed(listed);
        ColumnBuilder::of(column.ty, nullable, rows)
    }

    /// Completes listed columns, each of its column's type, to rows of the table.
    pub fn complete(&self, listed: Vec<ArrayRef>, rows: usize) -> Result<NewRows> {
        let mut columns = Vec::with_capacity(self.sources.len());
        let mut generate = None;
        for (source, column) in self.sources.iter().zip(&self.def.columns) {
            let array = match source {
                Source::Listed(at) if column.auto_increment => {
                    let (array, mask) = cut_generated(&listed[*at], column, self.keeps_zero)?;
                    generate = mask;
                    array
                }
                Source::Listed(at) => listed[*at].clone(),
                Source::Default(value) => constant_column(value, column, rows)?,
                Source::Computed => new_null_array(&column.ty.arrow(), rows),
                Source::Generated => {
                    generate = (rows > 0).then(|| BooleanArray::from(vec![true; rows]));
                    let zero = convert_value(&Value::Int(0), column, &Context::fixed(), 1)?;
                    constant_column(&zero, column, rows)?
                }
            };
            columns.push(array);
        }
        let kept = match &self.rules {
            Some(rules) => rules.apply(&mut columns, &self.left_out, rows)?,
            None => None,
        };
        let rows = NewRows { batch: batch(self.schema.clone(), columns, rows)?, generate, left_out: 0 };
        match kept {
            Some(kept) => rows.only(&kept),
            None => Ok(rows),
        }
    }
}

/// 1136 for a row with more or fewer values than columns.
fn check_counts(insert: &Insert, rows: &[Vec<InsertValue>], columns: usize) -> Result<()> {
    for (number, row) in rows.iter().enumerate() {
        let all_defaults = row.is_empty() && insert.columns.is_empty();
        if row.len() != columns && !all_defaults {
            return Err(SqlError::new(
                ErrorKind::WrongValueCountOnRow,
                format!("Column count doesn't match value count at row {}", number + 1),
            ));
        }
    }
    Ok(())
}

/// Parts an AUTO_INCREMENT column with NULL, and 0 unless that is kept, into one without NULL and the mask of these.
fn cut_generated(
    array: &ArrayRef,
    column: &ColumnDef,
    keeps_zero: bool,
) -> Result<(ArrayRef, Option<BooleanArray>)> {
    let mut builder = ColumnBuilder::of(column.ty, false, array.len());
    let mut mask = Vec::with_capacity(array.len());
    for row in 0..array.len() {
        let value = crate::convert::value_at(array, column.ty, row);
        let is_zero = matches!(value, Value::Int(0) | Value::UInt(0));
        let missing = value == Value::Null || (is_zero && !keeps_zero);
        mask.push(missing);
        let value = if missing { Value::Int(0) } else { value };
        builder
            .append(&crate::convert::Scalar::of(&value), &Context::fixed())
            .map_err(|wrong| wrong.at(column, b"", row as u64 + 1))?;
    }
    if !mask.contains(&true) {
        return Ok((builder.finish(), None));
    }
    Ok((builder.finish(), Some(BooleanArray::from(mask))))
}
