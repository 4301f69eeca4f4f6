//! Plans that leave values of conditions open, for queries that differ in them ([`crate::plans`]).

use super::Answer;
use super::kept_plans::add_value;
use super::query::{Parameters, column_meta};
use super::running::{leaves_among, partitions_read};
use crate::admission::class_of;
use crate::aside::is_large_plan;
use crate::plans::{Form, KeptPlan, LONGEST_FORM, LONGEST_KEY, MOST_TRIES};
use crate::session::State;
use exec::DistributedPlan;
use mysql_protocol::ColumnMeta;
use planner::Planner;
use sql::point::{MOST_VALUES, conditions_form};
use sql::query::{OpenQuery, bind_open, momentary};
use sql::statement::Statement;
use sqlparser::ast;
use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;
use types::{Result, Value};

/// A query without the values that may be open.
struct OpenForm<'a> {
    /// Under what something is known of the form.
    key: String,
    /// With placeholders.
    text: Cow<'a, str>,
    values: Cow<'a, [Value]>,
}

impl OpenForm<'_> {
    /// What a plan for any values but these is kept under.
    fn plan_key(&self, fixed: &[usize]) -> Option<String> {
        let mut key = format!("{}\0open", self.key);
        for place in fixed {
            let _ = write!(key, "\0{place}:");
            add_value(&mut key, self.values.get(*place)?)?;
        }
        (key.len() <= LONGEST_KEY).then_some(key)
    }
}

/// What is kept with a plan of the values that it was made for.
fn kept_with_plan(values: &[Value]) -> usize {
    let bytes = |value: &Value| match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 0,
    };
    values.iter().map(bytes).sum()
}

impl State {
    /// `None`: the query has no values that may be open.
    fn open_form<'a>(&mut self, parameters: &Parameters<'a>) -> Option<OpenForm<'a>> {
        if parameters.text.is_empty() || parameters.text.len() > LONGEST_KEY || self.temporary.any() {
            return None;
        }
        let (text, values) = if parameters.values.is_empty() {
            let form = conditions_form(parameters.text)?;
            (Cow::Owned(form.text), Cow::Owned(form.values))
        } else {
            (Cow::Borrowed(parameters.text), Cow::Borrowed(parameters.values))
        };
        if values.len() > MOST_VALUES || kept_with_plan(&values) > LONGEST_FORM {
            return None;
        }
        // A prepared statement's text has no literals taken out, so it may mean something else.
        let kind = if parameters.values.is_empty() { "text" } else { "prepared" };
        let meaning = self.meaning()?;
        let key = format!("{kind}\0{}\0{}\0{meaning}{text}", meaning.len(), text.len());
        (key.len() <= LONGEST_FORM).then_some(OpenForm { key, text, values })
    }

    /// A plan that was kept for others of the query's values, and is good for these.
    pub(super) async fn kept_open(
        &mut self,
        parameters: &Parameters<'_>,
    ) -> Result<Option<(Arc<KeptPlan>, Arc<DistributedPlan>)>> {
        let Some(form) = self.open_form(parameters) else { return Ok(None) };
        self.limit_time();
        let fixed = self.aggregator.plans.form(&form.key).and_then(|known| known.fixed);
        let Some(fixed) = fixed else { return Ok(None) };
        let Some(key) = form.plan_key(&fixed) else { return Ok(None) };
        let Some(kept) =
            self.kept_plan(&key).await?.filter(|kept| kept.open.fixed().eq(fixed.iter().copied()))
        else {
            return Ok(None);
        };
        let constants = {
            let tables = self.tables();
            let parameters = Parameters { values: &form.values, text: "" };
            kept.open.constants(&self.bind_context(&tables, &parameters))
        };
        let Some(constants) = constants else { return Ok(None) };
        let plan = if kept.is_large {
            let kept = kept.clone();
            self.plan_aside(move || kept.prepared.instantiate_for(&constants)).await?
        } else {
            kept.prepared.instantiate_for(&constants)?
        };
        let Some(plan) = plan else { return Ok(None) };
        let plan = self.locate(plan, self.places(&kept.partitions)?)?;
        Ok(Some((kept, plan)))
    }

    /// Runs a query from a plan that leaves open what it can, if its form has come before, and keeps that. `None`: it
    /// is to be planned as it stands.
    pub(super) async fn select_open(
        &mut self,
        query: &ast::Query,
        parameters: Parameters<'_>,
    ) -> Result<Option<Answer>> {
        let Some(form) = self.open_form(&parameters) else { return Ok(None) };
        let plans = &self.aggregator.plans;
        let known = plans.form(&form.key);
        let tries = known.as_ref().map_or(0, |known| known.tries);
        match known.map(|known| known.fixed) {
            None if !plans.comes_again(&form.key) => return Ok(None),
            Some(None) if tries >= MOST_TRIES => return Ok(None),
            Some(Some(fixed)) => {
                let Some(key) = form.plan_key(&fixed) else { return Ok(None) };
                // There is a plan, and these values want another one; or they are fixed, and come once.
                if plans.get(&key).is_some() || tries >= MOST_TRIES && !plans.comes_again(&key) {
                    return Ok(None);
                }
            }
            _ => {}
        }
        // Whatever goes wrong is said where the query is planned as it stands.
        let made = self.plan_open(query, parameters, &form).await;
        self.cancel.reason().map_or(Ok(()), Err)?;
        let tries = tries.saturating_add(1);
        let Ok(Some((plan, kept))) = made else {
            let fixed = self.aggregator.plans.form(&form.key).and_then(|known| known.fixed);
            self.aggregator.plans.set_form(form.key, Form { fixed, tries });
            return Ok(None);
        };
        self.aggregator.plans.note_miss();
        let fixed: Arc<[usize]> = kept.open.fixed().collect();
        let kept = Arc::new(kept);
        if let Some(key) = form.plan_key(&fixed) {
            self.aggregator.plans.put(key, kept.clone());
            self.aggregator.plans.set_form(form.key, Form { fixed: Some(fixed), tries });
        }
        self.begin_reading(&kept.warnings);
        let rows = self.read_planned(plan, &kept.partitions, kept.class).await?;
        Ok(Some(self.rows_of(rows, kept.columns.clone())))
    }

    /// A plan for the values at hand, and to be kept for others.
    async fn plan_open(
        &self,
        query: &ast::Query,
        parameters: Parameters<'_>,
        form: &OpenForm<'_>,
    ) -> Result<Option<(Arc<DistributedPlan>, KeptPlan)>> {
        // What stands outside of conditions is as in the text, titles too.
        let values = Parameters { values: &form.values, text: parameters.text };
        let parsed;
        let query = if parameters.values.is_empty() {
            parsed = self.parsed(&form.text, sql::parse::parse_one).await?;
            match &parsed.statement {
                Statement::Query(query) if parsed.parameters == form.values.len() => query,
                _ => return Ok(None),
            }
        } else {
            query
        };
        let bind = |tables: &super::query::CatalogTables| {
            tables.take_named();
            let context = self.bind_context(tables, &values);
            let (bound, momentary) = momentary(|| bind_open(query, &context));
            let open = bound?.filter(|_| !momentary);
            if let Some(open) = &open {
                tables.open.set(open.constants.clone());
            }
            Ok((open, tables.take_named()))
        };
        let (Some(OpenQuery { bound, open, .. }), named) = self.bind_with(bind).await? else {
            return Ok(None);
        };
        let columns: Vec<ColumnMeta> = bound.columns.iter().map(column_meta).collect();
        let partitions = partitions_read(&bound.plan)?;
        let places = self.places(&partitions)?;
        let leaves = leaves_among(&places);
        let is_large = is_large_plan(&bound.plan);
        let prepare = |planner: &Planner, plan| {
            let prepared = planner.prepare(plan)?;
            Ok(match prepared.can_repeat() {
                true => Some((prepared.instantiate()?, prepared)),
                false => None,
            })
        };
        let Some((plan, prepared)) = self.planned(leaves, bound.plan, prepare).await? else {
            return Ok(None);
        };
        let plan = self.locate(plan, places)?;
        let class = class_of(&plan).map_err(|error| exec::to_sql_error(&error))?;
        let tables = self.read_tables(named)?;
        let made = Instant::now();
        let warnings = bound.warnings;
        let kept =
            KeptPlan { prepared, is_large, tables, partitions, leaves, class, columns, warnings, open, made };
        Ok(Some((plan, kept)))
    }
}
