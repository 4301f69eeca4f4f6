//! EXPLAIN and EXPLAIN ANALYZE.

use super::Answer;
use super::grid::Grid;
use super::query::{Parameters, rows_answer};
use crate::session::State;
use sql::statement::{Explain, ExplainFormat, Statement};
use types::{Result, SqlError};

impl State {
    pub(crate) async fn explain(&mut self, explain: &Explain, parameters: Parameters<'_>) -> Result<Answer> {
        if explain.format == ExplainFormat::Json {
            return Err(SqlError::unsupported("EXPLAIN FORMAT=JSON"));
        }
        let Statement::Query(query) = &explain.statement else {
            return Err(SqlError::unsupported("EXPLAIN of anything but a query"));
        };
        let text = if explain.analyze {
            self.explain_analyze(query, parameters).await?
        } else {
            self.explain_plan(query, parameters).await?
        };
        let mut grid = Grid::of_text(&["EXPLAIN"]);
        for line in text.lines() {
            grid.push(vec![line.into()]);
        }
        rows_answer(grid)
    }
}
