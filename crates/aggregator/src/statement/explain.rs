//! EXPLAIN and EXPLAIN ANALYZE: as lines of stages, and with FORMAT=TREE or FORMAT=JSON as one tree.
//!
//! What changes rows is shown with the query that finds them, and does not run.

use super::Answer;
use super::grid::Grid;
use super::query::{Parameters, rows_answer};
use crate::session::State;
use exec::DistributedPlan;
use exec::explain::Operation;
use sql::statement::{Explain, ExplainFormat, Insert, InsertSource, Statement};
use std::sync::Arc;
use types::{Result, SqlError};

/// What is to be shown.
struct Explained {
    /// `select`, `insert` and so on.
    kind: &'static str,
    /// What is done with the rows of the plan.
    change: Option<String>,
    /// None: the rows are in the statement.
    plan: Option<Arc<DistributedPlan>>,
}

impl State {
    pub(crate) async fn explain(&mut self, explain: &Explain, parameters: Parameters<'_>) -> Result<Answer> {
        if explain.format == ExplainFormat::Traditional {
            return Err(SqlError::unsupported("EXPLAIN FORMAT=TRADITIONAL"));
        }
        let explained = self.explained(explain, parameters).await?;
        let Explained { kind, change, plan } = &explained;
        let operation = || match (plan, change) {
            (Some(plan), None) => Operation::of(plan, explain.analyze),
            (Some(plan), Some(change)) => Operation::of(plan, explain.analyze).read_by(change.clone()),
            (None, change) => Operation::alone(change.clone().unwrap_or_default()),
        };
        let mut grid = Grid::of_text(&["EXPLAIN"]);
        match explain.format {
            ExplainFormat::Tree => grid.push(vec![operation().tree().into()]),
            ExplainFormat::Json => grid.push(vec![operation().json(parameters.text, kind).into()]),
            ExplainFormat::Default | ExplainFormat::Traditional => {
                let of_plan = |plan: &Arc<DistributedPlan>| match explain.analyze {
                    true => exec::explain_analyze(plan),
                    false => exec::explain(plan),
                };
                let stages = plan.as_ref().map(of_plan).unwrap_or_default();
                for line in change.iter().map(String::as_str).chain(stages.lines()) {
                    grid.push(vec![line.into()]);
                }
            }
        }
        rows_answer(grid)
    }

    async fn explained(&mut self, explain: &Explain, parameters: Parameters<'_>) -> Result<Explained> {
        if let Statement::Query(query) = &explain.statement {
            let plan = match explain.analyze {
                true => self.plan_that_ran(query, parameters).await?,
                false => self.plan_of(query, parameters).await?,
            };
            return Ok(Explained { kind: "select", change: None, plan: Some(plan) });
        }
        if explain.analyze {
            return Err(SqlError::unsupported("EXPLAIN ANALYZE of anything but a query"));
        }
        let (kind, verb, bound) = match &explain.statement {
            Statement::Update(update) => ("update", "Update", self.bind_update(update, parameters).await?),
            Statement::UpdateJoined(update) => {
                ("update", "Update", self.bind_update_joined(update, parameters).await?)
            }
            Statement::Delete(delete) => {
                ("delete", "Delete from", self.bind_delete(delete, parameters).await?)
            }
            Statement::DeleteJoined(delete) => {
                ("delete", "Delete from", self.bind_delete_joined(delete, parameters).await?)
            }
            Statement::Insert(insert) => return self.explained_insert(insert, parameters).await,
            _ => return Err(SqlError::unsupported("EXPLAIN of such a statement")),
        };
        let tables: Vec<&str> = bound.tables.iter().map(|table| table.definition.name.as_str()).collect();
        let change = Some(format!("{verb} {}", tables.join(", ")));
        Ok(Explained { kind, change, plan: Some(self.plan(bound.plan).await?) })
    }

    async fn explained_insert(&mut self, insert: &Insert, parameters: Parameters<'_>) -> Result<Explained> {
        let def = self.changed_table(&insert.table)?;
        let (kind, verb) =
            if insert.replace { ("replace", "Replace into") } else { ("insert", "Insert into") };
        let (rows, plan) = match &insert.source {
            InsertSource::Values(rows) => (format!(", {} rows", rows.len()), None),
            InsertSource::Query(query) => (String::new(), Some(self.plan_of(query, parameters).await?)),
        };
        Ok(Explained { kind, change: Some(format!("{verb} {}{rows}", def.name)), plan })
    }
}
