//! PREPARE, EXECUTE and DEALLOCATE in SQL; the protocol's prepared statements share what they keep.

use super::query::{Parameters, column_meta};
use super::{Answer, done};
use crate::large_texts::{hold_for, is_large_text};

use crate::session::{PreparedStatement, State};
use mysql_protocol::ColumnMeta;
use sql::statement::{PrepareSource, Statement};
use std::sync::Arc;
use types::{ErrorKind, Result, SqlError, Value};

impl State {
    /// Parses one statement for later.
    async fn prepare_text(&self, text: &str) -> Result<PreparedStatement> {
        let parsed = self.parsed(text, sql::parse::parse_one).await?;
        Ok(PreparedStatement {
            statement: Arc::new(parsed.statement),
            text: Arc::from(text),
            parameters: parsed.parameters,
        })
    }

    /// The same with its result columns, for who may run it.
    pub(crate) async fn prepare_described(
        &mut self,
        text: &str,
    ) -> Result<(PreparedStatement, Vec<ColumnMeta>)> {
        let prepared = self.prepare_text(text).await?;
        self.see_catalog();
        self.authorize(&prepared.statement)?;
        let columns = self.describe_prepared(&prepared).await?;
        Ok((prepared, columns))
    }

    /// The result columns of a prepared statement; none if it returns no rows or cannot be bound
    /// before its parameters are known.
    async fn describe_prepared(&self, prepared: &PreparedStatement) -> Result<Vec<ColumnMeta>> {
        let Statement::Query(query) = &*prepared.statement else { return Ok(Vec::new()) };
        let values = vec![Value::Null; prepared.parameters];
        let parameters = Parameters { values: &values, text: &prepared.text };
        let described = sql::query::without_early_calls(query);
        let query = described.as_ref().unwrap_or(query);
        let bound = self.bind_perhaps_locking(query, parameters).await?;
        Ok(bound.columns.iter().map(column_meta).collect())
    }

    pub(crate) async fn prepare_named(&mut self, name: &str, source: &PrepareSource) -> Result<Answer> {
        let text = match source {
            PrepareSource::Text(text) => text.clone(),
            PrepareSource::Variable(variable) => match self.user_variable(variable) {
                Value::Text(text) => text,
                _ => String::new(),
            },
        };
        let prepared = self.prepare_text(&text).await?;
        if matches!(&*prepared.statement, Statement::Prepare { .. } | Statement::Execute { .. }) {
            return Err(SqlError::unsupported("PREPARE of PREPARE or EXECUTE"));
        }
        self.named.insert(name.to_ascii_lowercase(), prepared);
        Ok(done())
    }

    pub(crate) async fn execute_named(&mut self, name: &str, using: &[String]) -> Result<Answer> {
        let Some(prepared) = self.named.get(&name.to_ascii_lowercase()).cloned() else {
            return Err(unknown(name, "EXECUTE"));
        };
        if prepared.parameters != using.len() {
            return Err(SqlError::new(ErrorKind::WrongArguments, "Incorrect arguments to EXECUTE"));
        }
        self.is_large |= is_large_text(&prepared.text);
        let _held = hold_for(&prepared.text, &self.aggregator.memory)?;
        let values: Vec<Value> = using.iter().map(|variable| self.user_variable(variable)).collect();
        if let Some(answer) = self.run_prepared_kept(&prepared, &values, true).await {
            return answer;
        }
        self.carry_out(&prepared.statement, Parameters { values: &values, text: &prepared.text }).await
    }

    pub(crate) fn deallocate_named(&mut self, name: &str) -> Result<Answer> {
        match self.named.remove(&name.to_ascii_lowercase()) {
            Some(_) => Ok(done()),
            None => Err(unknown(name, "DEALLOCATE PREPARE")),
        }
    }
}

fn unknown(name: &str, verb: &str) -> SqlError {
    SqlError::new(
        ErrorKind::UnknownStatementHandler,
        format!("Unknown prepared statement handler ({name}) given to {verb}"),
    )
}
