//! Distinct rows, where a text may equal another that is not the same.

use super::binder::{planning, project};
use crate::analyzer::collated::{by_key, key};
use crate::analyzer::{Collated, Typed};
use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::functions_aggregate::min_max::min_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, Alias};
use datafusion::logical_expr::{Aggregate, Distinct, Expr, LogicalPlan};
use std::sync::Arc;
use types::{Collation, SqlError, SqlType};

/// A column of rows whose equality is asked for.
#[derive(Debug, Clone)]
pub(super) struct Compared {
    pub(super) column: Column,
    pub(super) ty: SqlType,
    pub(super) arrow: DataType,
    pub(super) collation: Collation,
}

impl Compared {
    pub(super) fn is_keyed(&self) -> bool {
        by_key(&self.arrow, self.ty, self.collation)
    }

    /// What tells its values apart, as a column called `column`.
    pub(super) fn key(&self, column: Column) -> Result<Expr, SqlError> {
        let value = Expr::Column(column);
        if !self.is_keyed() {
            return Ok(value);
        }
        let collation = Collated::column(self.collation);
        let value = Typed { expr: value, ty: self.ty, arrow: self.arrow.clone(), nullable: true, collation };
        Ok(key(value, self.collation)?.expr)
    }
}

/// The text that stands for all that equal it: the least by its bytes.
pub(super) fn representative(expr: Expr) -> Expr {
    Expr::AggregateFunction(AggregateFunction::new_udf(min_udaf(), vec![expr], false, None, Vec::new(), None))
}

/// The distinct rows of a plan that has just these columns, under the same names.
pub(super) fn distinct(plan: LogicalPlan, columns: &[Compared]) -> Result<LogicalPlan, SqlError> {
    if !columns.iter().any(Compared::is_keyed) {
        return Ok(LogicalPlan::Distinct(Distinct::All(Arc::new(plan))));
    }
    let mut keys = Vec::with_capacity(columns.len());
    let mut texts = Vec::new();
    for column in columns {
        let own = column.key(column.column.clone())?;
        // Two columns of the same values make one key.
        if !keys.contains(&own) {
            keys.push(own);
        }
        let text = representative(Expr::Column(column.column.clone()));
        if column.is_keyed() && !texts.contains(&text) {
            texts.push(text);
        }
    }
    let groups = Aggregate::try_new(Arc::new(plan), keys.clone(), texts.clone()).map_err(planning)?;
    let field = |at: usize| Expr::Column(Column::from(groups.schema.qualified_field(at)));
    let mut exprs = Vec::with_capacity(columns.len());
    for column in columns {
        let own = Expr::Column(column.column.clone());
        let text = representative(own.clone());
        let at = match texts.iter().position(|other| *other == text) {
            Some(at) if column.is_keyed() => keys.len() + at,
            _ => keys.iter().position(|key| *key == own).unwrap_or_default(),
        };
        let found = field(at);
        exprs.push(if found == own {
            found
        } else {
            Expr::Alias(Alias::new(found, column.column.relation.clone(), &column.column.name))
        });
    }
    project(LogicalPlan::Aggregate(groups), exprs)
}
