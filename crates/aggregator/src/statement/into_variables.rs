//! SELECT .. INTO @variable, and expressions with subqueries in SET and DO.

use super::Answer;
use super::query::{Parameters, in_zone};
use crate::session::{Level, State};
use arrow::array::ArrayRef;
use futures::StreamExt;
use mysql_protocol::{OkInfo, Response};
use sql::convert::value_at;
use sqlparser::ast::{self, Visit, Visitor};
use std::ops::ControlFlow;
use types::{ErrorKind, Result, SqlError, SqlType, Value};

impl State {
    /// The one row of a query becomes the values of user variables; of no row, which is warned of, they keep
    /// theirs. Errors: 1172 for more rows, 1222.
    pub(crate) async fn select_into_variables(
        &mut self,
        query: &ast::Query,
        variables: &[String],
        parameters: Parameters<'_>,
    ) -> Result<Answer> {
        let Answer::Response(Response::Rows(mut set)) = self.select(query, parameters).await? else {
            return Err(SqlError::internal("a query without rows"));
        };
        if set.columns.len() != variables.len() {
            return Err(SqlError::new(
                ErrorKind::WrongNumberOfColumns,
                "The used SELECT statements have a different number of columns",
            ));
        }
        let mut row: Option<Vec<Value>> = None;
        while let Some(batch) = set.batches.next().await {
            let batch = batch?;
            match batch.num_rows() {
                0 => {}
                1 if row.is_none() => {
                    let columns = set.columns.iter().zip(batch.columns());
                    row = Some(
                        columns.map(|(meta, array)| variable_value(array, meta.ty)).collect::<Result<_>>()?,
                    );
                }
                _ => {
                    return Err(SqlError::new(
                        ErrorKind::TooManyRows,
                        "Result consisted of more than one row",
                    ));
                }
            }
        }
        drop(set);
        let Some(row) = row else {
            self.add_message(
                Level::Warning,
                ErrorKind::NoData.errno(),
                "No data - zero rows fetched, selected, or processed",
            );
            return Ok(OkInfo::default().into());
        };
        for (variable, value) in variables.iter().zip(row) {
            self.variables.set_user(variable, value);
        }
        Ok(OkInfo { affected_rows: 1, ..OkInfo::default() }.into())
    }

    /// The value of an expression, whose subqueries are run.
    pub(crate) async fn evaluate_with_queries(
        &mut self,
        expr: &ast::Expr,
        parameters: Parameters<'_>,
    ) -> Result<Value> {
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
        while let Some(batch) = rows.next().await {
            let batch = in_zone(batch?, zone)?;
            if let (Some(ty), Some(array), 1) = (ty, batch.columns().first(), batch.num_rows()) {
                return variable_value(array, ty);
            }
        }
        Err(SqlError::internal("an expression without a value"))
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

fn has_query(expr: &ast::Expr) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();

        fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    expr.visit(&mut Finder).is_break()
}
