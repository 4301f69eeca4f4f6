//! SELECT, and every plan that a statement runs.

use super::Answer;
use super::grid::Grid;
use super::running::partitions_read;
use crate::admission::{Admitted, Applicant, Class, Settings, class_of};
use crate::large_texts::is_large_text;
use crate::plans::NamedTable;
use crate::processes::Stage;
use crate::server::Aggregator;
use crate::session::{Level, Privileges, State, find_table};
use crate::system_schemas::{self, system_schema};
use crate::transaction::{Transaction, is_seen};
use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use catalog::Catalog;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::TableSource;
use exec::scan::{OpenValues, Told};
use exec::{Cancel, DistributedPlan, Heard, ShardedTable, TableEstimate, Warning};
use futures::StreamExt;
use futures::future::try_join_all;
use mysql_protocol::{ColumnFlags, ColumnMeta, Response, ResultSet};
use parking_lot::Mutex;
use sql::ddl::KeyMark;
use sql::query::{
    BindContext, BoundQuery, Momentary, OutputColumn, ReadableColumns, SessionView, Tables, momentary,
    note_momentary,
};
use sql::temporal::Zone;
use sqlparser::ast;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use types::{ErrorKind, PartitionId, Result, SqlError, TableDef, TableId, Timestamp, Value};

/// What a statement's placeholders stand for, and its text.
#[derive(Clone, Copy)]
pub(crate) struct Parameters<'a> {
    pub(crate) values: &'a [Value],
    pub(crate) text: &'a str,
}

/// The tables of a catalog snapshot, as binding looks them up.
#[derive(Clone)]
pub(crate) struct CatalogTables {
    pub(crate) aggregator: Arc<Aggregator>,
    pub(crate) catalog: Arc<Catalog>,
    /// That of the transaction's snapshot.
    seen: Option<Arc<Catalog>>,
    database: Option<String>,
    pub(crate) privileges: Privileges,
    /// As they were when the statement began.
    pub(crate) session_variables: sql::variables::Variables,
    told: Told,
    /// Asked for this statement.
    estimates: Arc<HashMap<TableId, Arc<TableEstimate>>>,
    /// Tables of which too little is known, those that are read through views among them.
    missing: Arc<Mutex<Vec<Arc<TableDef>>>>,
    /// Tables that the statement names.
    named: Arc<Mutex<Vec<NamedTable>>>,
    /// Ends the statement.
    cancel: Cancel,
    /// Of what the plan leaves open.
    pub(super) open: OpenValues,
}

impl CatalogTables {
    fn database<'a>(&'a self, named: Option<&'a str>) -> Result<&'a str> {
        named
            .or(self.database.as_deref())
            .ok_or_else(|| SqlError::new(types::ErrorKind::NoDatabaseSelected, "No database selected"))
    }

    fn find(&self, database: Option<&str>, name: &str) -> Result<Arc<TableDef>> {
        let database = self.database(database)?;
        if self.catalog.view(database, name).is_some() {
            return Err(changed_through_view(database, name));
        }
        let def = find_table(&self.catalog, database, name)?;
        if !is_seen(self.seen.as_deref(), &self.catalog, def.id) {
            return Err(catalog::definition_changed());
        }
        let (id, version) = (def.id, def.version);
        self.named.lock().push(NamedTable {
            database: database.to_string(),
            name: name.to_string(),
            id,
            version,
        });
        Ok(def)
    }

    /// The tables that were looked up since this was asked last.
    pub(super) fn take_named(&self) -> Vec<NamedTable> {
        let mut named = std::mem::take(&mut *self.named.lock());
        named.sort();
        named.dedup();
        named
    }

    /// The same catalog as the query of a view sees it.
    pub(super) fn within_view(&self, database: &str, privileges: Privileges) -> CatalogTables {
        CatalogTables {
            aggregator: self.aggregator.clone(),
            // A view is of tables that are there for everybody.
            catalog: Arc::new(self.catalog.without_shadows()),
            seen: self.seen.clone(),
            database: Some(database.to_string()),
            privileges,
            session_variables: self.session_variables.clone(),
            told: self.told,
            estimates: self.estimates.clone(),
            missing: self.missing.clone(),
            named: self.named.clone(),
            cancel: self.cancel.clone(),
            open: self.open.clone(),
        }
    }

    /// The server's variables.
    pub(crate) fn server_variables(&self) -> sql::variables::Variables {
        self.aggregator.server_variables(&self.catalog)
    }

    fn source(&self, database: Option<&str>, name: &str, row_refs: bool) -> Result<Arc<dyn TableSource>> {
        let def = self.find(database, name)?;
        let partitions: Arc<[PartitionId]> =
            self.catalog.partitions_of(&def).iter().map(|partition| partition.id).collect();
        let known = self.estimates.get(&def.id).cloned().or_else(|| self.aggregator.estimates.get(&def));
        let estimate = known.unwrap_or_else(|| {
            self.missing.lock().push(def.clone());
            Arc::default()
        });
        let estimate = self.told.of(&def, estimate);
        let table = ShardedTable::new(def, partitions, estimate).with_open_values(self.open.clone());
        Ok(provider_as_source(Arc::new(table.with_row_refs(row_refs))))
    }
}

impl Tables for CatalogTables {
    /// A table that is read.
    fn table(&self, database: Option<&str>, name: &str) -> Result<Arc<dyn TableSource>> {
        let schema = self.database(database)?;
        self.privileges.require_readable(schema, name)?;
        if let Some(schema) = system_schema(schema) {
            note_momentary();
            let table = system_schemas::source(system_schemas::find(schema, name)?, self.clone());
            return Ok(provider_as_source(Arc::new(table)));
        }
        self.source(database, name, false)
    }

    /// A table whose rows are changed or locked. The target of a change was checked before; what a join
    /// or a locking query reads is checked once it is bound.
    fn table_with_row_refs(&self, database: Option<&str>, name: &str) -> Result<Arc<dyn TableSource>> {
        self.source(database, name, true)
    }

    fn view(&self, database: Option<&str>, name: &str) -> Result<Option<sql::query::View>> {
        let database = self.database(database)?;
        let Some(view) = self.catalog.view(database, name) else { return Ok(None) };
        // What it reads, and with whose rights, is found anew each time.
        note_momentary();
        self.privileges.require_readable(database, name)?;
        self.view_source(database, view).map(Some)
    }

    fn definition(&self, database: Option<&str>, name: &str) -> Result<Option<Arc<TableDef>>> {
        if let Some(schema) = system_schema(self.database(database)?) {
            note_momentary();
            return system_schemas::find(schema, name).map(|table| Some(Arc::new(table.definition())));
        }
        // Nobody learns which tables there are that are not theirs.
        if !self.privileges.touch_table(self.database(database)?, name) {
            return Err(self.privileges.denied_on_table("SELECT", name));
        }
        self.find(database, name).map(Some)
    }

    fn readable(&self, database: Option<&str>, name: &str) -> Result<Option<ReadableColumns>> {
        Ok(self.privileges.readable_columns(self.database(database)?, name))
    }

    fn check_wanted(&self) -> Result<()> {
        self.cancel.reason().map_or(Ok(()), Err)
    }
}

/// The greatest `timestamp` of MySQL.
const LAST_TIMESTAMP: u64 = 32_536_771_199;

impl State {
    /// When a statement that begins now says that it is, in microseconds since 1970 UTC: now, or what `timestamp` says.
    pub(super) fn statement_time(&self) -> i64 {
        match self.variables.number("timestamp") {
            Some(seconds) if seconds > 0 => seconds.min(LAST_TIMESTAMP) as i64 * 1_000_000,
            _ => chrono::Utc::now().timestamp_micros(),
        }
    }

    /// What conversions into a table's columns need of the session.
    pub(crate) fn convert_context(&self) -> sql::convert::Context {
        self.context_in(self.modes())
    }

    /// The same for values that a statement assigns, by the mode of the session. `ignore`: it says IGNORE.
    pub(crate) fn assign_context(&self, ignore: bool) -> sql::convert::Context {
        let modes = self.modes();
        let known = self.context_in(modes);
        let (lenient, divisions_fail) = (ignore || !modes.strict, known.divisions_fail && !ignore);
        sql::convert::Context { lenient, ignore, divisions_fail, ..known }
    }

    fn context_in(&self, modes: sql::query::Modes) -> sql::convert::Context {
        sql::convert::Context {
            now: self.now,
            zone: self.variables.zone(),
            lenient: false,
            ignore: false,
            divisions_fail: modes.strict_division,
            keeps_zero: modes.no_auto_value_on_zero,
        }
    }

    /// Keeps the warnings that `body` raises for SHOW WARNINGS.
    pub(crate) fn hearing<T>(&mut self, body: impl FnOnce(&Self) -> T) -> T {
        let (result, heard) = sql::convert::hear_all(|| body(self));
        self.note(heard);
        result
    }

    /// Runs a part of a statement that writes to a table, by [`State::judge`] of what it warns of.
    pub(crate) fn judging<T>(&mut self, ignore: bool, body: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let (result, heard) = sql::convert::hear_all(|| body(self));
        // An error of its own comes before what may be one.
        if result.is_ok() || self.only_warns(ignore) {
            self.judge(ignore, heard)?;
        }
        result
    }

    /// Whether what values warn of in a statement that writes to a table stays a message.
    fn only_warns(&self, ignore: bool) -> bool {
        ignore || !self.modes().strict
    }

    /// What values warn of in a statement that writes to a table: in the strict modes the first of it that counts there
    /// is the statement's error, elsewhere and under IGNORE they are messages.
    pub(crate) fn judge(&mut self, ignore: bool, heard: Heard) -> Result<()> {
        if !self.only_warns(ignore) {
            let divisions = self.warns_of_divisions();
            let counts = |warning: &Warning| {
                warning.is_error_if_strict() && (divisions || warning.kind != ErrorKind::DivisionByZero)
            };
            if let Some(Warning { kind, message }) = heard.warnings.iter().find(|warning| counts(warning)) {
                return Err(SqlError::new(*kind, message.clone()));
            }
        }
        self.note(heard);
        Ok(())
    }

    fn modes(&self) -> sql::query::Modes {
        modes_of(&self.variables.text("sql_mode").unwrap_or_default())
    }

    fn told(&self) -> Told {
        match self.variables.text("pando_statistics").as_deref() {
            Some("NONE") => Told::Nothing,
            Some("SCRAMBLED") => {
                Told::Scrambled(self.variables.number("pando_statistics_seed").unwrap_or_default())
            }
            _ => Told::Known,
        }
    }

    /// The tables as this statement sees them.
    pub(crate) fn tables(&self) -> CatalogTables {
        CatalogTables {
            aggregator: self.aggregator.clone(),
            catalog: self.catalog.clone(),
            seen: self.seen_catalog().cloned(),
            database: self.database.clone(),
            privileges: self.privileges.clone(),
            session_variables: self.variables.session().clone(),
            told: self.told(),
            estimates: Arc::default(),
            missing: Arc::default(),
            named: Arc::default(),
            cancel: self.cancel.clone(),
            open: OpenValues::default(),
        }
    }

    /// Binds with what is known of the tables' sizes; if that is too little, asks the leaves and binds
    /// again.
    pub(crate) async fn bind_with<T>(&self, bind: impl Fn(&CatalogTables) -> Result<T>) -> Result<T> {
        let mut tables = self.tables();
        let bound = self.binding(|| bind(&tables))?;
        let mut missing = std::mem::take(&mut *tables.missing.lock());
        if missing.is_empty() {
            return Ok(bound);
        }
        drop(bound);
        // A table may be named many times.
        missing.sort_by_key(|def| def.id);
        missing.dedup_by_key(|def| def.id);
        let asked = missing.iter().map(|def| async move {
            let estimate = self.aggregator.estimates.fetch(&self.aggregator, &self.catalog, def).await?;
            Ok::<_, SqlError>((def.id, estimate))
        });
        let fetched = self.unless_cancelled(try_join_all(asked)).await?;
        tables.estimates = Arc::new(fetched.into_iter().collect());
        self.binding(|| bind(&tables))
    }

    /// Binds, or evaluates what is written; of a large statement while other tasks of this thread move.
    pub(super) fn binding<T>(&self, bind: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.is_large {
            return bind();
        }
        self.process.stage(Stage::Binding);
        let bound = exec::blocking(bind);
        self.process.stage(Stage::Executing);
        bound
    }

    /// What `parse` makes of a text.
    pub(crate) async fn parsed<T: Send + 'static>(
        &self,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if !is_large_text(text) {
            return parse(text);
        }
        self.process.stage(Stage::Parsing);
        let text = text.to_string();
        let parsed = self.aggregator.aside.run(&self.cancel, move || parse(&text)).await;
        self.process.stage(Stage::Executing);
        parsed
    }

    pub(crate) fn bind_context<'a>(
        &'a self,
        tables: &'a CatalogTables,
        parameters: &Parameters<'a>,
    ) -> BindContext<'a> {
        BindContext {
            tables,
            session: SessionView {
                database: self.database.as_deref(),
                user: Momentary::new(&self.user),
                current_user: Momentary::new(&self.current_user),
                current_role: Momentary::new(&self.current_role),
                connection_id: self.connection_id.into(),
                last_insert_id: self.last_insert_id.into(),
                row_count: self.row_count.into(),
                found_rows: self.found_rows.load(Ordering::Relaxed).into(),
                version: sql::variables::SERVER_VERSION,
                now: self.now.into(),
                zone: self.variables.zone(),
                modes: self.modes(),
                variables: &self.variables,
            },
            parameters: parameters.values,
            text: parameters.text,
        }
    }

    pub(crate) async fn bind(&self, query: &ast::Query, parameters: Parameters<'_>) -> Result<BoundQuery> {
        unlocked(self.bind_perhaps_locking(query, parameters).await?)
    }

    /// The same of a query whose rows a statement writes to a table.
    pub(crate) async fn bind_written(
        &self,
        query: &ast::Query,
        parameters: Parameters<'_>,
        ignore: bool,
    ) -> Result<BoundQuery> {
        let bind = |tables: &CatalogTables| {
            sql::query::bind_written_query(query, &self.bind_context(tables, &parameters), ignore)
        };
        unlocked(self.bind_with(bind).await?)
    }

    pub(crate) async fn bind_perhaps_locking(
        &self,
        query: &ast::Query,
        parameters: Parameters<'_>,
    ) -> Result<BoundQuery> {
        let bound = self
            .bind_with(|tables| sql::query::bind_query(query, &self.bind_context(tables, &parameters)))
            .await?;
        if bound.lock.is_some() {
            self.may_read(&bound.plan)?;
        }
        Ok(bound)
    }

    pub(crate) async fn select(&mut self, query: &ast::Query, parameters: Parameters<'_>) -> Result<Answer> {
        self.limit_time();
        if let Some(query) = self.after_calls_of_query(query, parameters).await? {
            let query = self.with_select_limit(&query).unwrap_or(query);
            let bound = self.bind(&query, parameters).await?;
            let columns = bound.columns.iter().map(column_meta).collect();
            let rows = self.start_reading(bound).await?;
            return Ok(self.rows_of(rows, columns));
        }
        let limited = self.with_select_limit(query);
        let query = limited.as_ref().unwrap_or(query);
        if let Some(answer) = self.select_open(query, parameters).await? {
            return Ok(answer);
        }
        let (mut bound, named, momentary) = self
            .bind_with(|tables| {
                tables.take_named();
                let context = self.bind_context(tables, &parameters);
                let (bound, momentary) = momentary(|| sql::query::bind_query(query, &context));
                Ok((bound?, tables.take_named(), momentary))
            })
            .await?;
        if let Some(lock) = bound.lock.take() {
            self.may_read(&bound.plan)?;
            self.note_warnings(&bound.warnings);
            return self.select_locking(bound, lock).await;
        }
        let columns: Vec<ColumnMeta> = bound.columns.iter().map(column_meta).collect();
        if !momentary && let Some(key) = self.plan_key(&parameters) {
            return self.select_keeping(key, bound, named, columns).await;
        }
        let rows = self.start_reading(bound).await?;
        Ok(self.rows_of(rows, columns))
    }

    pub(super) fn rows_of(&self, rows: BatchStream, columns: Vec<ColumnMeta>) -> Answer {
        let zone = self.variables.zone();
        let batches = rows.map(move |batch| in_zone(batch?, zone)).boxed();
        Answer::Response(Response::Rows(ResultSet { columns, batches }))
    }

    /// Whether a division by zero is more than NULL.
    pub(crate) fn warns_of_divisions(&self) -> bool {
        self.variables
            .text("sql_mode")
            .is_some_and(|modes| modes.split(',').any(|mode| mode == "ERROR_FOR_DIVISION_BY_ZERO"))
    }

    pub(crate) fn note_warnings(&mut self, warnings: &[sql::convert::Warning]) {
        if warnings.is_empty() {
            return;
        }
        let divisions = self.warns_of_divisions();
        for warning in warnings {
            if divisions || warning.kind != ErrorKind::DivisionByZero {
                self.add_message(Level::Warning, warning.kind.errno(), warning.message.clone());
            }
        }
    }

    /// Starts a query that changes and locks nothing. Its rows hold what it holds while they come.
    pub(super) async fn start_reading(&mut self, bound: BoundQuery) -> Result<BatchStream> {
        self.begin_reading(&bound.warnings);
        let partitions = partitions_read(&bound.plan)?;
        let plan = self.plan(bound.plan).await?;
        let class = class_of(&plan).map_err(|error| exec::to_sql_error(&error))?;
        self.read_planned(plan, &partitions, class).await
    }

    pub(super) fn begin_reading(&mut self, warnings: &[sql::convert::Warning]) {
        self.note_warnings(warnings);
        self.open_for_reading();
        self.limit_time();
    }

    /// A query ends by itself, from now on, unless that was said before.
    pub(super) fn limit_time(&mut self) {
        if self.deadline.is_none()
            && let Some(limit) = self.variables.number("max_execution_time").filter(|ms| *ms > 0)
        {
            self.deadline = Some(self.process.end_after(Duration::from_millis(limit)));
        }
    }

    /// Runs a plan that begins to read, with the partitions that the query names.
    pub(super) async fn read_planned(
        &mut self,
        plan: Arc<DistributedPlan>,
        partitions: &[PartitionId],
        class: Class,
    ) -> Result<BatchStream> {
        // One without tables holds up nobody, and is how clients ask whether the server is there.
        let admitted = if partitions.is_empty() { None } else { Some(self.admit(class).await?) };
        let ts = self.read_timestamp(partitions).await?;
        let mut stream = self.start_distributed(&plan, ts, false, false).await?;
        self.ear = Some(stream.ear());
        // Leaves refuse what they cannot read before they send a row: while the client has none either, the
        // statement can begin again.
        let first = stream.next().await.transpose()?;
        let rows = futures::stream::iter(first.map(Ok)).chain(stream);
        Ok(match admitted {
            Some(admitted) => admitted.over(rows).boxed(),
            None => rows.boxed(),
        })
    }

    /// Runs a plan within the open statement and reads all of its rows. It sees nothing of what the
    /// statement has written itself. What the rows warn of comes beside them.
    pub(crate) async fn collect(
        &self,
        plan: &Arc<DistributedPlan>,
        ts: Timestamp,
    ) -> Result<(Vec<RecordBatch>, Heard)> {
        let mut stream = self.start_distributed(plan, ts, true, false).await?;
        let mut held = self.aggregator.memory.reservation();
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            held.try_grow(columnstore::batch_bytes(&batch)).map_err(|over| {
                SqlError::new(types::ErrorKind::OutOfMemory, format!("{over}; change fewer rows at a time"))
            })?;
            batches.push(batch);
        }
        Ok((batches, stream.ear().take()))
    }

    /// Waits until a statement may run that is as heavy as this plan.
    pub(crate) async fn admit_plan(&self, plan: &DistributedPlan) -> Result<Admitted> {
        self.admit(class_of(plan).map_err(|error| exec::to_sql_error(&error))?).await
    }

    /// Waits until a statement of this class may run. Who has written or locked something does not wait:
    /// those that run may wait for its end.
    pub(crate) async fn admit(&self, class: Class) -> Result<Admitted> {
        let aggregator = &self.aggregator;
        let applicant = Applicant {
            class,
            entitled: self.transaction.as_ref().is_some_and(Transaction::holds_locks),
            cancel: &self.cancel,
            process: &self.process,
        };
        let settings = || Settings::of(&aggregator.server_variables(&aggregator.metadata.snapshot()));
        aggregator.admission.admit(applicant, settings).await
    }
}

/// A query that must not lock rows where it stands.
fn unlocked(bound: BoundQuery) -> Result<BoundQuery> {
    match bound.lock {
        Some(_) => Err(SqlError::unsupported("FOR UPDATE and FOR SHARE in this statement")),
        None => Ok(bound),
    }
}

pub(crate) type BatchStream = futures::stream::BoxStream<'static, Result<RecordBatch>>;

/// An error, for now: a statement that changes rows names a view.
pub(super) fn changed_through_view(database: &str, name: &str) -> SqlError {
    SqlError::unsupported(format_args!(
        "changing rows through a view; '{database}.{name}' is one: change the table below it"
    ))
}

pub(super) fn modes_of(sql_mode: &str) -> sql::query::Modes {
    let on = |name: &str| sql_mode.split(',').any(|mode| mode == name);
    let strict = on("STRICT_TRANS_TABLES") || on("STRICT_ALL_TABLES");
    sql::query::Modes {
        only_full_group_by: on("ONLY_FULL_GROUP_BY"),
        pipes_as_concat: on("PIPES_AS_CONCAT"),
        no_unsigned_subtraction: on("NO_UNSIGNED_SUBTRACTION"),
        no_backslash_escapes: on("NO_BACKSLASH_ESCAPES"),
        no_auto_value_on_zero: on("NO_AUTO_VALUE_ON_ZERO"),
        strict,
        strict_division: strict && on("ERROR_FOR_DIVISION_BY_ZERO"),
    }
}

pub(crate) fn column_meta(column: &OutputColumn) -> ColumnMeta {
    let mut meta = ColumnMeta::new(&column.name, column.ty).in_table(
        &column.schema,
        &column.table,
        &column.org_table,
        &column.org_name,
    );
    let marks = column.marks;
    meta.flags.set(ColumnFlags::NOT_NULL, !column.nullable);
    meta.flags.set(ColumnFlags::PRI_KEY, marks.key == KeyMark::Primary);
    meta.flags.set(ColumnFlags::UNIQUE_KEY, marks.key == KeyMark::Unique);
    meta.flags.set(ColumnFlags::MULTIPLE_KEY, marks.key == KeyMark::Multiple);
    meta.flags.set(ColumnFlags::AUTO_INCREMENT, marks.auto_increment);
    meta.flags.set(ColumnFlags::ON_UPDATE_NOW, marks.on_update_now);
    meta.flags.set(ColumnFlags::NO_DEFAULT_VALUE, marks.no_default);
    meta
}

/// TIMESTAMP columns as the session's time zone shows them.
pub(crate) fn in_zone(batch: RecordBatch, zone: Zone) -> Result<RecordBatch> {
    let is_timestamp =
        |array: &ArrayRef| matches!(array.data_type(), DataType::Timestamp(TimeUnit::Microsecond, Some(_)));
    if zone == Zone::UTC || !batch.columns().iter().any(is_timestamp) {
        return Ok(batch);
    }
    let columns = batch
        .columns()
        .iter()
        .map(|array| {
            if !is_timestamp(array) {
                return array.clone();
            }
            let utc = array.as_primitive::<TimestampMicrosecondType>();
            let local: TimestampMicrosecondArray = utc.unary(|utc| zone.to_local(utc));
            Arc::new(local.with_data_type(array.data_type().clone())) as ArrayRef
        })
        .collect();
    RecordBatch::try_new(batch.schema(), columns).map_err(SqlError::internal)
}

/// A grid as a result set.
pub(crate) fn rows_answer(grid: Grid) -> Result<Answer> {
    let columns = grid.columns().iter().map(|(name, ty)| ColumnMeta::new(name, *ty)).collect();
    let batch = grid.into_batch()?;
    let batches = futures::stream::once(async move { Ok(batch) }).boxed();
    Ok(Answer::Response(Response::Rows(ResultSet { columns, batches })))
}
