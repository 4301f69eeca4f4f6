//! SELECTs that run from a plan which was kept ([`crate::plans`]).

use super::Answer;
use super::query::Parameters;
use super::running::{leaves_among, partitions_read};
use crate::admission::class_of;
use crate::aside::is_large_plan;
use crate::plans::{KeptPlan, LONGEST_KEY, NamedTable, ReadTable, has_moved};
use crate::session::{PreparedStatement, State, find_table};
use catalog::Privilege;
use exec::{DistributedPlan, TableEstimate};
use futures::future::try_join_all;
use mysql_protocol::ColumnMeta;
use planner::Planner;
use sql::query::{BoundQuery, Open};
use sql::statement::Statement;
use sql::variables::Variables;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;
use types::{Result, TableDef, Value};

/// Variables that say how long something may take, what transactions are like and what the client is told: asked for
/// when a statement runs, they change no plan.
const OF_RUNS: [&str; 15] = [
    "admission_heavy_limit",
    "admission_light_limit",
    "admission_queue_limit",
    "admission_queue_timeout",
    "autocommit",
    "interactive_timeout",
    "innodb_lock_wait_timeout",
    "lock_wait_timeout",
    "max_execution_time",
    "net_read_timeout",
    "net_write_timeout",
    "pando_query_memory",
    "transaction_isolation",
    "transaction_read_only",
    "wait_timeout",
];

/// Whether a text may be a query, by its first letter: others need no key.
fn may_be_query(text: &str) -> bool {
    let first = text.trim_start().bytes().next().unwrap_or_default();
    !first.is_ascii_alphabetic() || b"STVW".contains(&first.to_ascii_uppercase())
}

/// Adds a value to a key, with its type; `None`: that becomes too long.
pub(super) fn add_value(key: &mut String, value: &Value) -> Option<()> {
    let long = matches!(value, Value::Text(text) if text.len() > LONGEST_KEY)
        || matches!(value, Value::Bytes(bytes) if bytes.len() > LONGEST_KEY);
    if long || key.len() > LONGEST_KEY {
        return None;
    }
    // Invariant: writing to a String does not fail.
    let _ = write!(key, "\0{value:?}");
    Some(())
}

impl State {
    /// What gives a query its meaning besides the tables and its text: the default database and all session
    /// variables but [`OF_RUNS`]. `None`: the session takes the long way always.
    pub(super) fn meaning(&mut self) -> Option<&str> {
        if self.known_surroundings()?.meaning.is_none() {
            let changed = self.variables.session().changed_from(&Variables::default());
            let mut changed: Vec<_> =
                changed.into_iter().filter(|(name, _)| !OF_RUNS.contains(name)).collect();
            changed.sort();
            let meaning = format!("{:?}\0{changed:?}\0", self.database);
            self.known_surroundings()?.meaning = Some(meaning);
        }
        self.surroundings.as_ref()?.meaning.as_deref()
    }

    /// What the plan of a statement is kept under; None: it is not kept.
    pub(super) fn plan_key(&mut self, parameters: &Parameters<'_>) -> Option<String> {
        // Names mean other tables to a session with temporary ones.
        if parameters.text.is_empty() || parameters.text.len() > LONGEST_KEY || self.temporary.any() {
            return None;
        }
        let meaning = self.meaning()?;
        let mut key = String::with_capacity(meaning.len() + parameters.text.len() + 16);
        let _ = write!(key, "{}\0{}\0", meaning.len(), parameters.text.len());
        key.push_str(meaning);
        key.push_str(parameters.text);
        for value in parameters.values {
            add_value(&mut key, value)?;
        }
        (key.len() <= LONGEST_KEY).then_some(key)
    }

    /// Runs a text from a plan that was kept; `None` if there is none that is still good.
    pub(crate) async fn run_text_kept(&mut self, text: &str) -> Option<Result<Answer>> {
        if !may_be_query(text) {
            return None;
        }
        self.run_kept(Parameters { values: &[], text }, false).await
    }

    /// The same of a prepared statement.
    pub(crate) async fn run_prepared_kept(
        &mut self,
        prepared: &PreparedStatement,
        values: &[Value],
        within: bool,
    ) -> Option<Result<Answer>> {
        let Statement::Query(_) = &*prepared.statement else { return None };
        self.run_kept(Parameters { values, text: &prepared.text }, within).await
    }

    /// The session has taken its catalog for this statement already. `within`: it is a part of another one, EXECUTE,
    /// which clears the messages before and notes how it ended.
    async fn run_kept(&mut self, parameters: Parameters<'_>, within: bool) -> Option<Result<Answer>> {
        let key = self.plan_key(&parameters)?;
        // What went wrong goes wrong again where the statement is planned, which says so.
        let (kept, plan) = match self.kept_plan(&key).await.ok()? {
            Some(kept) => (kept, None),
            None => {
                let (kept, plan) = self.kept_open(&parameters).await.ok()??;
                (kept, Some(plan))
            }
        };
        self.aggregator.plans.note_hit();
        if within {
            return Some(self.select_kept(&kept, plan).await);
        }
        self.begin_messages(false);
        let mut answer = self.select_kept(&kept, plan).await.map_err(|error| self.with_known_names(error));
        self.note_answer(&mut answer);
        self.drop_gone().await;
        Some(answer)
    }

    /// The plan that was kept, if it is still good.
    pub(super) async fn kept_plan(&self, key: &str) -> Result<Option<Arc<KeptPlan>>> {
        let plans = &self.aggregator.plans;
        let Some(kept) = plans.get(key) else { return Ok(None) };
        let may = |table: &ReadTable| {
            let NamedTable { database, name, .. } = &table.named;
            self.privileges.allow(Privilege::Select, Some(database), Some(name))
        };
        if !kept.tables.iter().all(may) {
            // Others may; this one is told why not.
            return Ok(None);
        }
        if !kept.tables.iter().all(|table| self.sees(table.named.id)) {
            return Ok(None);
        }
        if kept.is_old() || !self.is_as_planned(&kept).await? {
            plans.forget(key, &kept);
            return Ok(None);
        }
        Ok(Some(kept))
    }

    async fn is_as_planned(&self, kept: &KeptPlan) -> Result<bool> {
        let mut defs = Vec::with_capacity(kept.tables.len());
        for table in &kept.tables {
            let NamedTable { database, name, id, version } = &table.named;
            let Ok(def) = find_table(&self.catalog, database, name) else { return Ok(false) };
            if (def.id, def.version) != (*id, *version) || self.partitions(&def) != table.partitions {
                return Ok(false);
            }
            defs.push(def);
        }
        if leaves_among(&self.places(&kept.partitions)?) != kept.leaves {
            return Ok(false);
        }
        let known = self.unless_cancelled(try_join_all(defs.iter().map(|def| self.estimate(def)))).await?;
        Ok(!kept.tables.iter().zip(known).any(|(table, known)| has_moved(table.rows, known.rows)))
    }

    async fn estimate(&self, def: &TableDef) -> Result<Arc<TableEstimate>> {
        let estimates = &self.aggregator.estimates;
        match estimates.get(def) {
            Some(known) => Ok(known),
            None => estimates.fetch(&self.aggregator, &self.catalog, def).await,
        }
    }

    /// Plans and runs a query whose plan might be kept, and keeps it if its text has come before.
    pub(super) async fn select_keeping(
        &mut self,
        key: String,
        bound: BoundQuery,
        named: Vec<NamedTable>,
        columns: Vec<ColumnMeta>,
    ) -> Result<Answer> {
        self.aggregator.plans.note_miss();
        if !self.aggregator.plans.comes_again(&key) {
            let rows = self.start_reading(bound).await?;
            return Ok(self.rows_of(rows, columns));
        }
        self.begin_reading(&bound.warnings);
        let partitions = partitions_read(&bound.plan)?;
        let places = self.places(&partitions)?;
        let leaves = leaves_among(&places);
        let is_large = is_large_plan(&bound.plan);
        let prepare = |planner: &Planner, plan| {
            let prepared = planner.prepare(plan)?;
            Ok(match prepared.can_repeat() {
                true => (prepared.instantiate()?, Some(prepared)),
                false => (prepared.into_plan()?, None),
            })
        };
        let (plan, prepared) = self.planned(leaves, bound.plan, prepare).await?;
        let plan = self.locate(plan, places)?;
        let class = class_of(&plan).map_err(|error| exec::to_sql_error(&error))?;
        if let Some(prepared) = prepared {
            let kept = KeptPlan {
                tables: self.read_tables(named)?,
                partitions: partitions.clone(),
                leaves,
                class,
                columns: columns.clone(),
                warnings: bound.warnings,
                open: Open::default(),
                made: Instant::now(),
                prepared,
                is_large,
            };
            self.aggregator.plans.put(key, Arc::new(kept));
        }
        let rows = self.read_planned(plan, &partitions, class).await?;
        Ok(self.rows_of(rows, columns))
    }

    pub(super) fn read_tables(&self, named: Vec<NamedTable>) -> Result<Vec<ReadTable>> {
        named.into_iter().map(|named| self.read_table(named)).collect()
    }

    fn read_table(&self, named: NamedTable) -> Result<ReadTable> {
        let def = find_table(&self.catalog, &named.database, &named.name)?;
        let rows = self.aggregator.estimates.last(&def).map_or(0, |known| known.rows);
        Ok(ReadTable { named, rows, partitions: self.partitions(&def) })
    }

    /// A plan that can run.
    async fn instantiate(&self, kept: &Arc<KeptPlan>) -> Result<Arc<DistributedPlan>> {
        let plan = if kept.is_large {
            let kept = kept.clone();
            self.plan_aside(move || kept.prepared.instantiate()).await?
        } else {
            kept.prepared.instantiate()?
        };
        self.locate(plan, self.places(&kept.partitions)?)
    }

    /// `plan`: that of this run, if it is made already.
    async fn select_kept(
        &mut self,
        kept: &Arc<KeptPlan>,
        plan: Option<Arc<DistributedPlan>>,
    ) -> Result<Answer> {
        self.begin_reading(&kept.warnings);
        let (plan, class) = match plan {
            Some(plan) => {
                let class = class_of(&plan).map_err(|error| exec::to_sql_error(&error))?;
                (plan, class)
            }
            None => (self.instantiate(kept).await?, kept.class),
        };
        let rows = self.read_planned(plan, &kept.partitions, class).await?;
        Ok(self.rows_of(rows, kept.columns.clone()))
    }
}
