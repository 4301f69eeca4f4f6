//! INSERT.
//!
//! Literal rows become a batch without planning. Other expressions and queries run as plans; a query's
//! rows go through bulk writers, which turn into ordinary inserts if there are few. What becomes of
//! rows whose key is taken is the matter of `duplicates.rs`.

use super::Answer;
use super::duplicates::{Duplicates, Numbers, Written};
use super::load::BulkWriters;
use super::query::Parameters;
use super::running::partitions_read;
use crate::admission::Class;
use crate::session::State;
use arrow::array::{ArrayRef, RecordBatch};
use columnstore::OnDuplicate;
use futures::StreamExt;
use mysql_protocol::OkInfo;
use sql::convert::{Context, hear_all};
use sql::functions::sleep::owing;
use sql::functions::warnings::pass_on;
use sql::rows::{NewRows, Target};
use sql::statement::{Insert, InsertSource};
use sqlparser::ast;
use std::sync::Arc;
use std::time::Duration;
use types::{ErrorKind, Result, SqlError, TableDef};

/// What became of the rows, how many there were, and their AUTO_INCREMENT numbers.
#[derive(Default, Clone, Copy)]
struct Counts {
    written: Written,
    seen: u64,
    /// The first that was generated, and what the last row has.
    numbers: Numbers,
}

impl Counts {
    /// The first number that was generated for a row that is there now, which LAST_INSERT_ID() is from now on. Of an
    /// INSERT IGNORE it may be that of a row which was left out.
    fn first_number(&self, duplicates: &Duplicates) -> Option<u64> {
        match duplicates {
            Duplicates::Update { .. } => self.written.first_number.map(|number| number as u64),
            _ => self.numbers.generated.filter(|_| self.written.inserted > 0),
        }
    }

    /// What a client is told where no number was generated: that of the last row, if any row changed.
    fn last_number(&self) -> u64 {
        let Written { inserted, updated, .. } = self.written;
        // As MySQL has it, a negative number is one of 64 bits without a sign.
        self.numbers.last.filter(|_| inserted + updated > 0).map_or(0, |number| number as u64)
    }
}

impl State {
    pub(crate) async fn insert(&mut self, insert: &Insert, parameters: Parameters<'_>) -> Result<Answer> {
        let def = self.changed_table(&insert.table)?;
        let duplicates = if !insert.replace && !insert.on_duplicate.is_empty() {
            let tables = self.tables();
            let context = self.bind_context(&tables, &parameters);
            let update = sql::query::bind_on_duplicate(insert, &def, &context)?;
            Duplicates::Update { update: Arc::new(update), ignore: insert.ignore }
        } else {
            Duplicates::of(insert)
        };
        self.start_statement()?;
        let result = match &insert.source {
            InsertSource::Values(_) => self.insert_values(insert, &def, parameters, &duplicates).await,
            InsertSource::Query(query) => {
                self.insert_query(insert, query, &def, parameters, &duplicates).await
            }
        };
        // Constants were evaluated once, be it for many rows.
        if let (Ok(counts), Duplicates::Update { update, .. }) = (&result, &duplicates)
            && counts.written.updated + counts.written.same > 0
        {
            self.note_warnings(&update.warnings);
        }
        self.inserted(insert, &duplicates, result).await
    }

    /// INSERT of rows that are made, which change no row that is there by assignments.
    pub(super) async fn insert_made(
        &mut self,
        insert: &Insert,
        def: &Arc<TableDef>,
        rows: NewRows,
    ) -> Result<Answer> {
        self.start_statement()?;
        let duplicates = Duplicates::of(insert);
        let result = match self.admit(Class::Light).await {
            Ok(_admitted) => self.insert_new_rows(def, rows, &duplicates).await,
            Err(error) => Err(error),
        };
        self.inserted(insert, &duplicates, result).await
    }

    /// Ends an INSERT and answers what became of it.
    async fn inserted(
        &mut self,
        insert: &Insert,
        duplicates: &Duplicates,
        result: Result<Counts>,
    ) -> Result<Answer> {
        let several = match &insert.source {
            InsertSource::Values(rows) => rows.len() > 1,
            InsertSource::Query(_) => true,
        };
        let counts = self.end_statement(result).await?;
        let Counts { written, seen, .. } = counts;
        let first_number = counts.first_number(duplicates);
        // Without such a number what LAST_INSERT_ID(..) was given stays.
        if let Some(first) = first_number {
            self.last_insert_id = first;
            self.told_insert_id = None;
        }
        let info = if several {
            let warnings = self.warning_count();
            format!("Records: {seen}  Duplicates: {}  Warnings: {warnings}", written.duplicates())
        } else {
            String::new()
        };
        Ok(OkInfo {
            affected_rows: written.affected(self.counts_found_rows),
            last_insert_id: first_number.unwrap_or_else(|| counts.last_number()),
            info,
        }
        .into())
    }

    async fn insert_values(
        &mut self,
        insert: &Insert,
        def: &Arc<TableDef>,
        parameters: Parameters<'_>,
        duplicates: &Duplicates,
    ) -> Result<Counts> {
        let queried = self.queried_values(insert, def, parameters).await?;
        let _admitted = self.admit(Class::Light).await?;
        let (rows, owed) = owing(|| {
            if queried.is_empty()
                && let Some(rows) = self.literal_rows(insert, def, parameters)?
            {
                return Ok(rows);
            }
            self.judging(insert.ignore, |state| {
                let tables = state.tables();
                let context = state.bind_context(&tables, &parameters);
                let conversion = state.assign_context(insert.ignore);
                state.binding(|| sql::evaluated::evaluated_rows(insert, def, &queried, &context, &conversion))
            })
        });
        let rows = rows?;
        if owed > Duration::ZERO {
            self.wait_out(owed).await?;
        }
        self.insert_new_rows(def, rows, duplicates).await
    }

    /// The rows of an INSERT whose values are literals; `None`: some are not.
    fn literal_rows(
        &mut self,
        insert: &Insert,
        def: &Arc<TableDef>,
        parameters: Parameters<'_>,
    ) -> Result<Option<NewRows>> {
        let context = self.assign_context(insert.ignore);
        let (rows, heard) = hear_all(|| {
            self.binding(|| sql::insert::insert_rows(insert, def.clone(), parameters.values, &context))
        });
        // Of rows that are to be made in another way, what they warn of comes then.
        match rows {
            Ok(None) => Ok(None),
            rows => self.judging(insert.ignore, |_| {
                pass_on(heard);
                rows
            }),
        }
    }

    async fn insert_new_rows(
        &mut self,
        def: &Arc<TableDef>,
        rows: NewRows,
        duplicates: &Duplicates,
    ) -> Result<Counts> {
        let left_out = rows.left_out as u64;
        let seen = rows.batch.num_rows() as u64 + left_out;
        let first_generated = self.next_numbers(def, &rows).await?;
        let rows = rows.number(def, first_generated.unwrap_or(0))?;
        let mut numbers = Numbers::of(def, &rows, first_generated);
        let on_duplicate = match duplicates {
            Duplicates::Error => Some(OnDuplicate::Error),
            Duplicates::Ignore => Some(OnDuplicate::Ignore),
            Duplicates::Replace | Duplicates::Update { .. } => None,
        };
        let mut written = match on_duplicate {
            Some(on_duplicate) => self.write_last_rows(def, rows, on_duplicate).await?.into(),
            None => self.write_new_rows(def, rows, duplicates, numbers).await?,
        };
        written.ignored += left_out;
        numbers.last = written.met_number.or(numbers.last);
        Ok(Counts { written, seen, numbers })
    }

    async fn insert_query(
        &mut self,
        insert: &Insert,
        query: &ast::Query,
        def: &Arc<TableDef>,
        parameters: Parameters<'_>,
        duplicates: &Duplicates,
    ) -> Result<Counts> {
        let context = self.assign_context(insert.ignore);
        let names = insert.columns.iter().map(|column| column.value.as_str());
        let target = self.judging(insert.ignore, |_| Target::new(def.clone(), names, &context))?;
        target.refuse_generated()?;
        let bound = self.bind_written(query, parameters, insert.ignore).await?;
        if bound.columns.len() != target.listed.len() {
            return Err(SqlError::new(
                ErrorKind::WrongValueCountOnRow,
                "Column count doesn't match value count at row 1",
            ));
        }
        self.judge(insert.ignore, bound.warnings.into())?;
        let read = partitions_read(&bound.plan)?;
        let plan = self.plan(bound.plan).await?;
        let _admitted = self.admit_plan(&plan).await?;
        let ts = self.read_timestamp(&read).await?;
        let mut stream = self.start_distributed(&plan, ts, true, false).await?;
        let ear = stream.ear();
        let mut writers = BulkWriters::new(self, def.clone());
        let mut counts = Counts::default();
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            if batch.num_rows() == 0 {
                continue;
            }
            self.judge(insert.ignore, ear.take())?;
            let rows =
                self.judging(insert.ignore, |_| complete(&target, &batch, &context, counts.seen + 1))?;
            counts.seen += batch.num_rows() as u64;
            counts.written.ignored += rows.left_out as u64;
            let first = self.next_numbers(def, &rows).await?;
            let rows = rows.number(def, first.unwrap_or(0))?;
            let numbers = Numbers::of(def, &rows, first);
            counts.numbers.generated = counts.numbers.generated.or(first);
            counts.numbers.last = numbers.last;
            if !matches!(duplicates, Duplicates::Error) {
                let written = self.write_new_rows(def, rows, duplicates, numbers).await?;
                counts.numbers.last = written.met_number.or(numbers.last);
                counts.written.add(written);
                continue;
            }
            writers.append(self, rows).await?;
        }
        self.judge(insert.ignore, ear.take())?;
        counts.written.inserted += writers.finish().await?;
        Ok(counts)
    }

    /// Takes the AUTO_INCREMENT numbers that new rows need; the first of them.
    pub(crate) async fn next_numbers(&self, def: &TableDef, rows: &NewRows) -> Result<Option<u64>> {
        if def.auto_increment().is_none() {
            return Ok(None);
        }
        let ids = &self.aggregator.ids;
        if let Some(greatest) = rows.greatest_given(def) {
            ids.raise(def.id, greatest).await?;
        }
        match rows.to_generate() {
            0 => Ok(None),
            count => ids.take(def.id, count).await.map(Some),
        }
    }

    /// New rows with their AUTO_INCREMENT numbers.
    pub(crate) async fn number_rows(&self, def: &TableDef, rows: NewRows) -> Result<RecordBatch> {
        let first = self.next_numbers(def, &rows).await?;
        rows.number(def, first.unwrap_or(0))
    }
}

/// A query's columns as rows of the table. `first_row` is the number of the first one, for errors.
pub(super) fn complete(
    target: &Target,
    batch: &RecordBatch,
    context: &Context,
    first_row: u64,
) -> Result<NewRows> {
    let schema = batch.schema();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    let listed = batch.columns().iter().zip(schema.fields()).take(target.listed.len());
    for (at, (array, field)) in listed.enumerate() {
        let column = target.assignable(at);
        columns.push(sql::convert::convert_column(array, field, &column, context, first_row)?);
    }
    target.complete(columns, batch.num_rows())
}
