//! Statements on few rows by a key, and INSERT .. VALUES, the short way: from a template that was made of
//! their text before, straight to the partitions.
//!
//! A row by its whole primary key is read by [`State::get`]; rows by conditions that a key leads to, by
//! [`State::few`], which leaves it to a plan if they are not few.
//!
//! The short way is taken only where its answer is the plan's. It is left for the long one before
//! anything was done, or in the middle of an UPDATE, which then goes on as part of the same statement.
//! What is read is read as any statement reads: at the transaction's snapshot, or at the newest that the
//! row's partition has shown and not before what the session has seen; with the transaction's own writes.

mod few;

use super::Answer;
use super::change::{Changed, ROUNDS, rows_kept_changing};
use super::query::{Parameters, column_meta, in_zone};
use super::write::partition_at;
use crate::admission::{Admitted, Class};
use crate::session::{PreparedStatement, State};
use crate::templates::{Bound, LONGEST, Template, key};
use crate::transaction::Isolation;
use arrow::array::{Array, AsArray};
use arrow::datatypes::UInt64Type;
use catalog::Privilege;
use columnstore::{KeyRead, KeyRow, ReadAt};
use exec::RowChange;
use futures::StreamExt;
use mysql_protocol::{Response, ResultSet};
use sql::point::{
    Condition, MOST_VALUES, NewValues, PointSelect, PointStatement, Shape, Slice, Wanted, normal_form,
};
use sql::rows::NewRows;
use sql::statement::Statement;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use types::{ErrorKind, PartitionId, Result, SqlError, StatementNo, TableDef, Timestamp, Value, shard};

/// A point statement with its values, ready to run.
struct Ready {
    statement: Arc<Statement>,
    bound: Arc<Bound>,
    work: Work,
    parameters: Vec<Value>,
}

enum Work {
    Select { key: Vec<Value>, columns: Vec<usize> },
    SelectFew { conditions: Vec<Condition>, slice: Slice },
    Insert(NewRows),
    Update { row: WantedRow, values: NewValues },
    Delete { row: WantedRow },
}

/// The row that a statement changes.
enum WantedRow {
    Key(Vec<Value>),
    /// If no more than one row has these.
    Few(Vec<Condition>),
}

impl State {
    /// Runs a text the short way; `None` if it has to go the long one.
    pub(crate) async fn run_text_shortly(&mut self, text: &str) -> Option<Result<Answer>> {
        if self.locks_tables() {
            return None;
        }
        self.see_catalog();
        self.now = self.statement_time();
        let ready = self.ready_text(text).await?;
        self.run_shortly(ready, text).await
    }

    /// The same of a prepared statement.
    pub(crate) async fn run_prepared_shortly(
        &mut self,
        prepared: &PreparedStatement,
        parameters: &[Value],
    ) -> Option<Result<Answer>> {
        if self.locks_tables() {
            return None;
        }
        self.see_catalog();
        self.now = self.statement_time();
        let ready = self.ready_prepared(prepared, parameters).await?;
        self.run_shortly(ready, &prepared.text).await
    }

    async fn run_shortly(&mut self, ready: Ready, text: &str) -> Option<Result<Answer>> {
        self.begin_messages(false);
        let answer = self.run_ready(ready, text).await.transpose()?;
        let mut answer = answer.map_err(|error| self.with_known_names(error));
        self.aggregator.templates.unplanned.fetch_add(1, Ordering::Relaxed);
        self.note_answer(&mut answer);
        Some(answer)
    }

    /// The point statement that a text is, if it is one that the short way knows.
    async fn ready_text(&mut self, text: &str) -> Option<Ready> {
        let surroundings = self.surroundings()?;
        let form = normal_form(text)?;
        let key = key(surroundings, false, &form.text);
        let template = match self.aggregator.templates.get(&key) {
            Some(template) => template,
            None => {
                let parsed = sql::parse::parse_one(&form.text).ok();
                let parsed = parsed.filter(|parsed| parsed.parameters == form.values.len());
                self.remember(key, parsed.map(|parsed| Arc::new(parsed.statement)))
            }
        };
        self.ready(&template, &form.text, form.values).await
    }

    /// The same of a prepared statement.
    async fn ready_prepared(&mut self, prepared: &PreparedStatement, parameters: &[Value]) -> Option<Ready> {
        if prepared.text.len() > LONGEST || parameters.len() > MOST_VALUES {
            return None;
        }
        let key = key(self.surroundings()?, true, &prepared.text);
        let template = match self.aggregator.templates.get(&key) {
            Some(template) => template,
            None => self.remember(key, Some(prepared.statement.clone())),
        };
        self.ready(&template, &prepared.text, parameters.to_vec()).await
    }

    /// What gives a text its meaning besides the tables: the default database and the SQL mode. `None`:
    /// the session takes the long way always.
    fn surroundings(&mut self) -> Option<&str> {
        self.known_surroundings().map(|known| known.text.as_str())
    }

    /// As they are now; `None`: the session takes the long way always.
    pub(super) fn known_surroundings(&mut self) -> Option<&mut Surroundings> {
        let version = self.variables.version();
        let is_current = self.surroundings.as_ref().is_some_and(|known| {
            known.version == version && known.database.as_deref() == self.database.as_deref()
        });
        if !is_current {
            let mode = self.variables.text("sql_mode").unwrap_or_default();
            let is_on = self.variables.number("pando_point_statements") == Some(1) && self.selects_all();
            let text = format!("{}\0{mode}\0", self.database.as_deref().unwrap_or_default());
            let database = self.database.clone();
            self.surroundings = Some(Surroundings { version, database, is_on, text, meaning: None });
        }
        self.surroundings.as_mut().filter(|known| known.is_on)
    }

    fn remember(&self, key: String, statement: Option<Arc<Statement>>) -> Arc<Template> {
        let statement = statement.filter(|statement| sql::point::table_of(statement).is_some());
        let template = Arc::new(Template::new(statement));
        self.aggregator.templates.put(key, template.clone());
        template
    }

    async fn ready(&self, template: &Template, text: &str, parameters: Vec<Value>) -> Option<Ready> {
        let statement = template.statement.as_ref()?;
        let table = sql::point::table_of(statement)?;
        let database = table.database.as_deref().or(self.database.as_deref())?;
        let def = self.catalog.require_table(database, &table.name).ok()?;
        if !self.sees(def.id) {
            return None;
        }
        let bound = match template.bound(def) {
            Some(bound) => bound,
            None => {
                let bound = Arc::new(self.bind_point(statement, def, text, parameters.len()).await?);
                template.set_bound(bound.clone());
                bound
            }
        };
        let point = bound.point.as_ref()?;
        let may = |privilege| self.privileges.allow(privilege, Some(database), Some(&table.name));
        // Which columns may be read and written is looked at where the statement is planned.
        let finds = matches!(point, PointStatement::Update(_) | PointStatement::Delete(_));
        if finds && !may(Privilege::Select) {
            return None;
        }
        let (def, context) = (&bound.def, self.convert_context());
        let work = match (point, &**statement) {
            (PointStatement::Select(select), _) => {
                let PointSelect { key, columns, .. } = select;
                select.limit_holds(&parameters, &context)?;
                if !may(Privilege::Select) {
                    return None;
                }
                Work::Select { key: key.values(def, &parameters, &context)?, columns: columns.clone() }
            }
            (PointStatement::SelectFew(select), _) => {
                if !may(Privilege::Select) {
                    return None;
                }
                let conditions = select.conditions.values(def, &parameters, &context)?;
                Work::SelectFew { conditions, slice: select.slice(&parameters, &context)? }
            }
            (PointStatement::Insert, Statement::Insert(insert)) => {
                // What the table computes of the rows may warn: the plan says whether that is an error.
                let rows = || sql::point::new_rows(insert, def, &parameters, &context);
                let (rows, heard) = sql::convert::hear_all(rows);
                Work::Insert(rows.filter(|_| heard.is_empty())?)
            }
            (PointStatement::Update(update), _) => {
                let values = update.values(def, &parameters, &context)?;
                Work::Update { row: wanted_row(&update.wanted, def, &parameters, &context)?, values }
            }
            (PointStatement::Delete(wanted), _) => {
                Work::Delete { row: wanted_row(wanted, def, &parameters, &context)? }
            }
            (PointStatement::Insert, _) => return None,
        };
        if self.authorize(statement).is_err() {
            return None;
        }
        Some(Ready { statement: statement.clone(), work, parameters, bound })
    }

    /// Works out what a statement means for a version of its table. `None`: it does not bind.
    async fn bind_point(
        &self,
        statement: &Statement,
        def: &Arc<TableDef>,
        text: &str,
        parameters: usize,
    ) -> Option<Bound> {
        let point = PointStatement::of(statement, def);
        let needs_plan = || Bound { def: def.clone(), point: None, columns: Vec::new(), at_hand: None };
        let (query, shown, values) = match (&point, statement) {
            // Any value will do: no column's name or type depends on one.
            (Some(PointStatement::Select(select)), Statement::Query(query)) => {
                (query, Some(&select.columns), vec![Value::Int(1); parameters])
            }
            (Some(PointStatement::SelectFew(select)), _) => match &select.shape {
                Shape::Columns(columns) => (&select.query, Some(columns), Vec::new()),
                Shape::Plan => (&select.query, None, Vec::new()),
            },
            _ => return Some(Bound { point, ..needs_plan() }),
        };
        let bound = self.bind(query, Parameters { values: &values, text }).await.ok()?;
        let columns = bound.columns.iter().map(column_meta).collect();
        let at_hand = match shown {
            Some(shown) => {
                let is_same = bound.columns.len() == shown.len()
                    && bound.columns.iter().zip(shown).all(|(column, place)| {
                        let own = &def.columns[*place];
                        column.org_name == own.name && column.ty == own.ty
                    });
                if !is_same {
                    tracing::debug!(text, "a point statement binds to other columns than its own");
                    return Some(needs_plan());
                }
                None
            }
            None if bound.warnings.is_empty() => match self.aggregator.planner.at_hand(bound.plan) {
                Ok(plan) => Some(plan),
                Err(error) => {
                    tracing::debug!(text, %error, "what a query makes of its rows cannot be planned apart");
                    return Some(needs_plan());
                }
            },
            None => return Some(needs_plan()),
        };
        Some(Bound { def: def.clone(), point, columns, at_hand })
    }

    /// Runs a point statement. `None`: it has to go the long way; nothing was done.
    async fn run_ready(&mut self, ready: Ready, text: &str) -> Result<Option<Answer>> {
        let Ready { statement, bound, work, parameters } = ready;
        let def = &bound.def;
        let parameters = Parameters { values: &parameters, text };
        match (work, &*statement) {
            (Work::Select { key, columns }, _) => self.point_select(&bound, key, &columns).await,
            (Work::SelectFew { conditions, slice }, _) => match &bound.point {
                Some(PointStatement::SelectFew(select)) => {
                    self.select_few(&bound, select, &conditions, slice).await
                }
                _ => Err(SqlError::internal("a point statement is not what it was")),
            },
            (Work::Insert(rows), Statement::Insert(insert)) => {
                self.insert_made(insert, def, rows).await.map(Some)
            }
            (Work::Update { row, values }, Statement::Update(update)) => {
                self.start_statement()?;
                let result = match self.change_one(def, &row, Some(&values)).await {
                    Ok(Some(changed)) => Ok(changed),
                    Ok(None) => self.update_planned(update, parameters).await,
                    Err(error) => Err(error),
                };
                let changed = self.end_statement(result).await?;
                Ok(Some(self.updated(changed)))
            }
            (Work::Delete { row }, Statement::Delete(delete)) => {
                self.start_statement()?;
                let result = match self.change_one(def, &row, None).await {
                    Ok(Some(Changed { changed, .. })) => Ok(changed),
                    Ok(None) => self.delete_planned(delete, parameters).await,
                    Err(error) => Err(error),
                };
                let deleted = self.end_statement(result).await?;
                Ok(Some(super::deleted(deleted)))
            }
            _ => Err(SqlError::internal("a point statement is not what it was")),
        }
    }

    /// Begins a statement that reads.
    async fn open_point_read(&mut self) -> Result<Admitted> {
        self.open_for_reading();
        if let Some(limit) = self.variables.number("max_execution_time").filter(|ms| *ms > 0) {
            self.deadline = Some(self.process.end_after(Duration::from_millis(limit)));
        }
        self.admit(Class::Light).await
    }

    async fn point_select(
        &mut self,
        bound: &Bound,
        key: Vec<Value>,
        columns: &[usize],
    ) -> Result<Option<Answer>> {
        let _admitted = self.open_point_read().await?;
        let def = &bound.def;
        let mut distinct: Vec<usize> = columns.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let Some((_, found)) = self.get(def, key, &distinct, false, false).await? else { return Ok(None) };
        let zone = self.variables.zone();
        let batch = found.row.map(|row| {
            let places: Vec<usize> =
                columns.iter().filter_map(|place| distinct.binary_search(place).ok()).collect();
            in_zone(row.project(&places).map_err(SqlError::internal)?, zone)
        });
        let batches = futures::stream::iter(batch).boxed();
        Ok(Some(Answer::Response(Response::Rows(ResultSet { columns: bound.columns.clone(), batches }))))
    }

    /// Gives the row that is wanted new values, or deletes it. `None`: a plan has to do it.
    async fn change_one(
        &mut self,
        def: &Arc<TableDef>,
        row: &WantedRow,
        values: Option<&NewValues>,
    ) -> Result<Option<Changed>> {
        let _admitted = self.admit(Class::Light).await?;
        let columns: Vec<usize> =
            if values.is_some() { (0..def.columns.len()).collect() } else { Vec::new() };
        for _ in 0..ROUNDS {
            let found = match row {
                WantedRow::Key(key) => self.get(def, key.clone(), &columns, true, true).await?,
                WantedRow::Few(conditions) => self.find_one(def, conditions, &columns).await?,
            };
            let Some((partition, found)) = found else { return Ok(None) };
            let Some(found_row) = found.row else { return Ok(Some(Changed::default())) };
            let refs = found_row.columns().last().and_then(|refs| refs.as_primitive_opt::<UInt64Type>());
            let Some(row) = refs.filter(|refs| refs.len() == 1).map(|refs| refs.value(0)) else {
                return Err(SqlError::internal("a row was read without its reference"));
            };
            let change = match values {
                None => RowChange::Delete,
                Some(values) => {
                    let old = found_row.project(&columns).map_err(SqlError::internal)?;
                    match values.apply(def, &old)? {
                        None => return Ok(None),
                        Some((new, true)) => RowChange::Update(new),
                        Some((_, false)) => RowChange::Keep,
                    }
                }
            };
            let changed = u64::from(!matches!(change, RowChange::Keep));
            let target = self.target(def, partition);
            let lock_wait = self.lock_wait();
            let leaf = self.leaf_of(partition)?;
            let txn = self.open_transaction()?;
            let ctx = txn.context(partition, def.version, lock_wait);
            txn.touch(partition);
            let commit = !txn.explicit;
            let done = leaf.change_row(target, ctx, (row, found.read_at), change, commit).await?;
            if done.stale {
                continue;
            }
            if let Some(committed) = done.committed {
                self.note_commit(committed)?;
            }
            return Ok(Some(Changed { matched: 1, changed }));
        }
        Err(rows_kept_changing())
    }

    /// Reads a row by its key, as the current statement sees it. `None`: the leaf has another version
    /// of the table.
    async fn get(
        &mut self,
        def: &TableDef,
        key: Vec<Value>,
        columns: &[usize],
        row_ref: bool,
        writing: bool,
    ) -> Result<Option<(PartitionId, KeyRow)>> {
        let partition = self.partition_of_key(def, &key)?;
        let at = match self.snapshot_ts().await? {
            Some(ts) => ReadAt::Snapshot(ts),
            None => ReadAt::Newest { not_before: self.floor },
        };
        // A statement that writes does not see what it wrote itself.
        let txn = self.transaction.as_ref().map(|txn| {
            let last = txn.statement();
            (txn.id, if writing { StatementNo(last.0.saturating_sub(1)) } else { last })
        });
        let columns = columns.iter().map(|place| def.columns[*place].id).collect();
        let target = self.target(def, partition);
        let transaction = self.transaction.as_ref();
        let written = transaction.map_or(StatementNo(0), |txn| txn.written_at(partition, writing));
        let read = KeyRead { key, columns, row_ref, at, txn, written };
        let found = match self.leaf_of(partition)?.get(target, read).await {
            Ok(found) => found,
            Err(error) if error.kind == ErrorKind::TableDefinitionChanged => return Ok(None),
            Err(error) => return Err(error),
        };
        if found.table_version != def.version {
            return Ok(None);
        }
        if let ReadAt::Newest { .. } = at {
            self.floor = self.floor.max(found.read_at);
        }
        Ok(Some((partition, found)))
    }

    /// The snapshot of the transaction, if it has or is to have one.
    async fn snapshot_ts(&mut self) -> Result<Option<Timestamp>> {
        match &self.transaction {
            Some(txn) if txn.snapshot.is_some() || txn.isolation == Isolation::RepeatableRead => {
                self.read_timestamp(&[]).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    fn partition_of_key(&self, def: &TableDef, key: &[Value]) -> Result<PartitionId> {
        let partitions = self.catalog.partitions_of(def);
        let value = |id| {
            let at = def.primary_key.iter().position(|own| *own == id)?;
            key.get(at).cloned()
        };
        let values: Option<Vec<Value>> = def.shard_key.iter().map(|id| value(*id)).collect();
        let values = values.ok_or_else(|| SqlError::internal("a key without its shard key"))?;
        let ordinal = shard::ordinal(shard::hash_values(&values), partitions.len() as u32);
        partition_at(&partitions.iter().map(|p| p.id).collect::<Vec<_>>(), ordinal)
    }
}

fn wanted_row(
    wanted: &Wanted,
    def: &TableDef,
    parameters: &[Value],
    context: &sql::convert::Context,
) -> Option<WantedRow> {
    Some(match wanted {
        Wanted::Key(key) => WantedRow::Key(key.values(def, parameters, context)?),
        Wanted::Few(conditions) => WantedRow::Few(conditions.values(def, parameters, context)?),
    })
}

/// See [`State::surroundings`] and [`State::meaning`].
pub(crate) struct Surroundings {
    version: u64,
    database: Option<String>,
    is_on: bool,
    text: String,
    /// Made when it is first asked for: a session may change its variables with every transaction.
    pub(super) meaning: Option<String>,
}
