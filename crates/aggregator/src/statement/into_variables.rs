//! SELECT .. INTO @variable, and expressions with subqueries in SET and DO.

use super::Answer;
use super::query::{Parameters, in_zone};
use crate::session::{Level, State};
use arrow::array::ArrayRef;
use futures::StreamExt;
use mysql_protocol::{OkInfo, Response};
use sql::convert::value_at;
use sql::evaluated::has_query;
use sqlparser::ast;
use types::{ErrorKind, Result, SqlError, SqlType, Value};

impl State {
    /// The one row of a query becomes the values of user variables; of no row, which is warned of, they keep
    /// theirs. Errors: 1172 for more rows, of which they have the first, 1222.
    pub(crate) async fn select_into_variables(
        &mut self,
        query: &ast::Query,
        variables: &[String],
        parameters: Parameters<'_>,
    ) -> Result<Answer> {
        // A plan that is kept by its text would send rows: this text does not mean the query alone.
        let parameters = Parameters { text: "", ..parameters };
        let Answer::Response(Response::Rows(mut set)) = self.select(query, parameters).await? else {
            return Err(SqlError::internal("a query without rows"));
        };
        if set.columns.len() != variables.len() {
            return Err(SqlError::new(
                ErrorKind::WrongNumberOfColumns,
                "The used SELECT statements have a different number of columns",
            ));
        }
        let mut found = false;
        while let Some(batch) = set.batches.next().await {
            let batch = batch?;
            match batch.num_rows() {
                0 => {}
                rows if !found => {
                    found = true;
                    for ((meta, array), variable) in set.columns.iter().zip(batch.columns()).zip(variables) {
                        self.variables.set_user(variable, variable_value(array, meta.ty)?);
                    }
                    if rows > 1 {
                        return Err(more_than_one_row());
                    }
                }
                _ => return Err(more_than_one_row()),
            }
        }
        drop(set);
        self.note_heard();
        if !found {
            self.add_message(
                Level::Warning,
                ErrorKind::NoData.errno(),
                "No data - zero rows fetched, selected, or processed",
            );
            return Ok(OkInfo::default().into());
        }
        Ok(OkInfo { affected_rows: 1, ..OkInfo::default() }.into())
    }

    /// The value of an expression, whose subqueries are run and whose early calls are carried out.
    pub(crate) async fn evaluate_with_queries(
        &mut self,
        expr: &ast::Expr,
        parameters: Parameters<'_>,
    ) -> Result<Value> {
        let after_calls = self.after_calls(expr, parameters).await?;
        let expr = after_calls.as_ref().unwrap_or(expr);
        if !has_query(expr) {
            return self.hearing(|state| state.evaluate(expr, parameters));
        }
        let exprs = std::slice::from_ref(expr);
        let bound = self
            .bind_with(|tables| sql::query::bind_expressions(exprs, &self.bind_context(tables, &parameters)))
            .await?;
        let ty = bound.columns.first().map(|column| column.ty);
        let mut rows = self.start_reading(bound).await?;
        let zone = self.variables.zone();
        let mut value = None;
        // To the end, where it is known what all parts of the query have warned of.
        while let Some(batch) = rows.next().await {
            let batch = in_zone(batch?, zone)?;
            if let (Some(ty), Some(array), 1) = (ty, batch.columns().first(), batch.num_rows()) {
                value = Some(variable_value(array, ty)?);
            }
        }
        drop(rows);
        self.note_heard();
        value.ok_or_else(|| SqlError::internal("an expression without a value"))
    }
}

/// What a user variable keeps of a value of a row: a number or a string, so no TIMESTAMP, and of a label its text.
/// The times of the array are those of the session's zone.
fn variable_value(array: &ArrayRef, ty: SqlType) -> Result<Value> {
    let array = arrow::compute::cast(array, &ty.arrow()).map_err(SqlError::internal)?;
    Ok(match (value_at(&array, ty, 0), ty) {
        (Value::Timestamp(micros), _) => Value::DateTime(micros),
        (Value::UInt(number), SqlType::Enum(labels)) => {
            let label = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
            let label = label.and_then(|at| labels.as_slice().get(at));
            Value::Text(label.cloned().unwrap_or_default())
        }
        (Value::UInt(bits), SqlType::Set(labels)) => {
            Value::Text(labels.text_of_bits(bits).unwrap_or_default())
        }
        (value, _) => value,
    })
}

fn more_than_one_row() -> SqlError {
    SqlError::new(ErrorKind::TooManyRows, "Result consisted of more than one row")
}
