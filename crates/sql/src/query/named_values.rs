//! Columns that a row of INSERT .. VALUES names: each means what the row gave it before, else its default.

use super::binder::{Binder, Env, planning};
use super::context::BindContext;
use super::errors::Clause;
use super::from::has_subquery;
use super::on_duplicate::row_scope;
use super::row_rules::compiled;
use super::scope::{Origin, Scope};
use super::{ColumnMarks, constant, writing};
use crate::convert::{Context, DefaultValue, constant_column, default_value, value_at};
use crate::functions::warnings;
use crate::statement::TableName;
use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::Field;
use datafusion::common::DFSchema;
use sqlparser::ast::{self, Visit, Visitor};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use types::{ColumnDef, SqlError, TableDef, Value};

/// A value on its way to its column.
#[derive(Debug, Clone, PartialEq)]
pub enum RowValue {
    /// As the statement has it.
    Given(Value),
    /// One of the column, or NULL.
    Converted(Value),
}

/// A row as far as it is made.
pub struct PartialRow {
    definition: Arc<TableDef>,
    /// The shown columns, one value each; `None`: the table computes it.
    columns: Vec<Option<ArrayRef>>,
}

impl PartialRow {
    /// A row of defaults. A column without one begins with the zero of its type, as MySQL has it.
    pub fn new(definition: &Arc<TableDef>, context: &Context) -> Result<PartialRow, SqlError> {
        let context = Context { lenient: true, ignore: true, ..*context };
        let shown = definition.shown().iter();
        let (columns, _) = warnings::gather(|| {
            shown.map(|column| first(column, &context)).collect::<Result<Vec<_>, SqlError>>()
        });
        Ok(PartialRow { definition: Arc::clone(definition), columns: columns? })
    }

    /// From now on the column at this place has the one value of `array`.
    pub fn keep(&mut self, place: usize, array: ArrayRef) {
        if let Some(column) = self.columns.get_mut(place) {
            *column = Some(array);
        }
    }

    /// The value of an expression for the column `to` of row number `row`.
    pub fn value(
        &self,
        expr: &ast::Expr,
        table: &TableName,
        (to, row): (&ColumnDef, u64),
        ctx: &BindContext<'_>,
        context: &Context,
    ) -> Result<RowValue, SqlError> {
        writing(ctx, context.ignore, || {
            let scope = self.scope(table, ctx);
            let mut binder = Binder::new(ctx);
            binder.rules.strict_division = !context.ignore && ctx.session.modes.strict_division;
            let value = binder.expr(expr, Env::new(&scope, Clause::FieldList))?;
            let named = value.expr.column_refs();
            if named.is_empty() {
                return constant(&value).map(RowValue::Given);
            }
            if has_subquery(&value.expr) {
                return Err(SqlError::unsupported("a subquery beside the name of a column in VALUES"));
            }
            for (column, array) in scope.columns.iter().zip(&self.columns) {
                if array.is_none() && named.contains(&column.column) {
                    return Err(SqlError::unsupported(format_args!(
                        "the name of column '{}' in VALUES, whose value is an expression that the table computes",
                        column.name
                    )));
                }
            }
            let schema = row_schema(&scope)?;
            let arrays = scope.columns.iter().zip(&self.columns).map(|(column, array)| match array {
                Some(array) => array.clone(),
                None => new_null_array(&column.arrow, 1),
            });
            let seen = RecordBatch::try_new(Arc::new(schema.as_arrow().clone()), arrays.collect())
                .map_err(SqlError::internal)?;
            let to = ColumnDef { nullable: true, ..to.clone() };
            let array = compiled(&value, &schema)?.column_from(&seen, &to, context, row)?;
            Ok(RowValue::Converted(value_at(&array, to.ty, 0)))
        })
    }

    /// What names mean.
    fn scope(&self, table: &TableName, ctx: &BindContext<'_>) -> Scope {
        let database = table.database.as_deref().or(ctx.session.database);
        let mut scope = row_scope(&self.definition, &table.name, &table.name, database);
        for (column, definition) in scope.columns.iter_mut().zip(self.definition.shown()) {
            // It may be NULL here, which means a number that is still to be generated.
            column.nullable |= definition.auto_increment;
            column.origin = Some(Arc::new(Origin {
                schema: database.unwrap_or_default().to_string(),
                org_table: table.name.clone(),
                org_name: column.name.clone(),
                marks: ColumnMarks::default(),
            }));
        }
        scope
    }
}

/// Whether an expression has a name in it that may be a column's.
pub(crate) fn names_columns(expr: &ast::Expr) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
            let first = match expr {
                ast::Expr::Identifier(name) => Some(name),
                ast::Expr::CompoundIdentifier(parts) => parts.first(),
                _ => None,
            };
            match first {
                Some(name) if !name.value.starts_with('@') => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    !matches!(expr, ast::Expr::Value(_)) && expr.visit(&mut Finder).is_break()
}

/// What a column holds before the row gives it a value.
fn first(column: &ColumnDef, context: &Context) -> Result<Option<ArrayRef>, SqlError> {
    let value = match default_value(column, context)? {
        DefaultValue::Value(value) => value,
        DefaultValue::Generated => Value::Int(0),
        DefaultValue::Computed => return Ok(None),
    };
    constant_column(&value, column, 1).map(Some)
}

fn row_schema(scope: &Scope) -> Result<DFSchema, SqlError> {
    let fields = scope.columns.iter().map(|column| {
        let field = Field::new(&column.column.name, column.arrow.clone(), true);
        (column.column.relation.clone(), Arc::new(field))
    });
    DFSchema::new_with_metadata(fields.collect(), HashMap::new()).map_err(planning)
}

#[cfg(test)]
mod tests {
    use super::names_columns;
    use crate::parse::parse_expr;

    #[test]
    fn names_of_columns_are_found() {
        let names = |text: &str| names_columns(&parse_expr(text).unwrap());
        assert!(["a", "t.a + 1", "ABS(-a)", "DEFAULT(a) + 1"].into_iter().all(names));
        assert!(!["1", "'a'", "-1.5", "@a + 1", "ABS(@@sql_mode)", "NOW()"].into_iter().any(names));
    }
}
