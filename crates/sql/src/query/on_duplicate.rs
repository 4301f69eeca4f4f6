//! ON DUPLICATE KEY UPDATE: what a row that is there becomes, given the new row that met it.
//!
//! The assignments become expressions over two rows side by side: first the columns of the one that is
//! there, then those of the new one. They see no other table, so batches of such pairs are evaluated at
//! once, without a plan. A name means a column of the table; the new row's columns are named by
//! `VALUES(column)` or by the row alias, whose own column names may also stand alone where the table
//! has none of that name.

use super::binder::{Binder, planning};
use super::change::assigned_column;
use super::context::BindContext;
use super::from::has_subquery;
use super::row_rules::{Compiled, compiled};
use super::scope::{Scope, ScopeColumn, ScopeRelation};
use crate::analyzer::{Collated, Typed};
use crate::convert::Context;
use crate::functions::warnings::{self, Warning};
use crate::statement::{Insert, InsertValue};
use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::datatypes::{Field, Schema};
use datafusion::common::{Column, DFSchema, TableReference};
use sqlparser::ast;
use std::collections::HashMap;
use std::sync::Arc;
use types::{ErrorKind, SqlError, TableDef};

/// The name of the new row in expressions; no table is called so.
const NEW_ROW: &str = "__new";

/// An assignment, ready to run.
#[derive(Debug)]
struct Change {
    /// Of the column in the table.
    place: usize,
    value: Compiled,
}

/// The assignments of one statement.
#[derive(Debug)]
pub struct OnDuplicateUpdate {
    definition: Arc<TableDef>,
    /// In the order of the statement.
    changes: Vec<Change>,
    /// What constants in the assignments raised and is no error, which counts where a row is changed.
    pub warnings: Vec<Warning>,
}

impl OnDuplicateUpdate {
    /// What is assigned to the rows `old`, each by the row of `new` beside it; all columns, of which those that follow
    /// from others are still the old ones. An assignment sees what the columns hold after those before it.
    pub fn assign(
        &self,
        old: &RecordBatch,
        new: &RecordBatch,
        context: &Context,
    ) -> Result<RecordBatch, SqlError> {
        // Hidden columns follow from the others.
        let shown = self.definition.shown().len();
        let fields: Vec<Arc<Field>> =
            [old, new].iter().flat_map(|rows| rows.schema().fields()[..shown].to_vec()).collect();
        let schema = Arc::new(Schema::new(fields));
        let mut pairs: Vec<ArrayRef> =
            [old, new].iter().flat_map(|rows| rows.columns()[..shown].to_vec()).collect();
        for Change { place, value } in &self.changes {
            let seen = RecordBatch::try_new(schema.clone(), pairs.clone()).map_err(SqlError::internal)?;
            pairs[*place] = value.column(&seen, &self.definition.columns[*place], context)?;
        }
        let mut columns: Vec<ArrayRef> = old.columns().to_vec();
        columns[..shown].clone_from_slice(&pairs[..shown]);
        RecordBatch::try_new(crate::rows::table_schema(&self.definition), columns).map_err(SqlError::internal)
    }

    /// Such rows, of those that differ from the old ones, with what follows from the assignments, as
    /// [`with_rules`](super::with_rules) says.
    pub fn complete(
        &self,
        rows: RecordBatch,
        context: &Context,
    ) -> Result<(RecordBatch, Option<BooleanArray>), SqlError> {
        let assigned: Vec<usize> = self.changes.iter().map(|change| change.place).collect();
        super::with_rules(&self.definition, rows, &assigned, context)
    }
}

/// Binds the assignments of an INSERT.
pub fn bind_on_duplicate(
    insert: &Insert,
    definition: &Arc<TableDef>,
    ctx: &BindContext<'_>,
) -> Result<OnDuplicateUpdate, SqlError> {
    super::writing(ctx, insert.ignore, || assignments(insert, definition, ctx))
}

fn assignments(
    insert: &Insert,
    definition: &Arc<TableDef>,
    ctx: &BindContext<'_>,
) -> Result<OnDuplicateUpdate, SqlError> {
    let database = insert.table.database.as_deref().or(ctx.session.database);
    let name = &insert.table.name;
    let mut scope = row_scope(definition, name, name, database);
    if let Some(readable) = ctx.tables.readable(database, name)?.map(Arc::new) {
        scope.columns.iter_mut().for_each(|column| column.readable = Some(readable.clone()));
    }
    let width = scope.columns.len();
    let mut inserted = row_scope(definition, NEW_ROW, NEW_ROW, None);
    if let Some((alias, columns)) = &insert.row_alias {
        scope.columns.extend(alias_columns(insert, definition, alias, columns)?);
    }
    inserted.relations.clear();
    let mut binder = Binder::new(ctx);
    binder.inserted = Some(inserted.clone());
    let table = row_scope(definition, name, name, database);
    let schema = pair_schema(&table, &inserted)?;
    let mut changes = Vec::new();
    let mut of_constants = Vec::new();
    for assignment in &insert.on_duplicate {
        let at = assigned_column(assignment, &scope)?;
        if at >= width {
            return Err(SqlError::new(
                ErrorKind::NonUpdatableTable,
                format!("The target table {} of the INSERT is not updatable", scope.columns[at].table),
            ));
        }
        if definition.is_generated(at) {
            if assignment.value == InsertValue::Default {
                continue;
            }
            return Err(crate::ddl::errors::generated_value(definition, at));
        }
        let (value, raised) =
            warnings::gather(|| binder.assigned_value(assignment, &scope, at, Some(definition)));
        let value = value?;
        if has_subquery(&value.expr) {
            return Err(SqlError::unsupported("a subquery in ON DUPLICATE KEY UPDATE"));
        }
        changes.push(Change { place: at, value: compiled(&value, &schema)? });
        of_constants.extend(raised);
    }
    Ok(OnDuplicateUpdate { definition: Arc::clone(definition), changes, warnings: of_constants })
}

/// The columns of a row of the table.
pub(super) fn row_scope(definition: &TableDef, relation: &str, shown: &str, database: Option<&str>) -> Scope {
    let columns = definition.shown().iter().enumerate().map(|(ordinal, column)| ScopeColumn {
        table: shown.to_string(),
        database: database.map(str::to_string),
        name: column.name.clone(),
        column: Column::new(Some(TableReference::bare(relation)), &column.name),
        ty: column.ty,
        arrow: column.ty.arrow(),
        nullable: column.nullable,
        collation: Collated::column(column.collation),
        origin: None,
        readable: None,
        visible: true,
        ordinal,
    });
    let relation = ScopeRelation { relation: relation.to_string(), primary_key: Vec::new() };
    Scope { columns: columns.collect(), relations: vec![relation] }
}

/// The new row under its alias: the listed columns, perhaps renamed, or all columns by their names.
fn alias_columns(
    insert: &Insert,
    definition: &TableDef,
    alias: &ast::Ident,
    renamed: &[ast::Ident],
) -> Result<Vec<ScopeColumn>, SqlError> {
    if alias.value == insert.table.name {
        return Err(SqlError::new(
            ErrorKind::NonUniqueTable,
            format!("Not unique table/alias: '{}'", alias.value),
        ));
    }
    let all = row_scope(definition, NEW_ROW, &alias.value, None).columns;
    if renamed.is_empty() {
        return Ok(all.into_iter().map(|column| ScopeColumn { visible: false, ..column }).collect());
    }
    let listed: Vec<usize> = match insert.columns.as_slice() {
        [] => (0..all.len()).collect(),
        names => names.iter().filter_map(|n| definition.column_named(&n.value)).map(|(at, _)| at).collect(),
    };
    if listed.len() != renamed.len() {
        return Err(SqlError::new(
            ErrorKind::WrongValueCount,
            format!("'{}' has {} columns, but {} names are given", alias.value, listed.len(), renamed.len()),
        ));
    }
    let columns = listed.into_iter().zip(renamed).map(|(at, name)| ScopeColumn {
        name: name.value.clone(),
        visible: definition.column_named(&name.value).is_none(),
        ..all[at].clone()
    });
    Ok(columns.collect())
}

fn pair_schema(old: &Scope, new: &Scope) -> Result<DFSchema, SqlError> {
    let fields = old.columns.iter().chain(&new.columns).map(|column| {
        let field = Field::new(&column.column.name, column.arrow.clone(), column.nullable);
        (column.column.relation.clone(), Arc::new(field))
    });
    DFSchema::new_with_metadata(fields.collect(), HashMap::new()).map_err(planning)
}

impl Binder<'_> {
    /// VALUES(column).
    pub(super) fn inserted_value(&self, list: Option<&ast::FunctionArgumentList>) -> Result<Typed, SqlError> {
        use ast::{FunctionArg, FunctionArgExpr};
        let Some(inserted) = &self.inserted else {
            return Err(SqlError::unsupported("VALUES() outside of ON DUPLICATE KEY UPDATE"));
        };
        let args = list.map(|list| list.args.as_slice()).unwrap_or_default();
        let name = match args {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Identifier(name)))] => Some(name),
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::CompoundIdentifier(parts)))] => {
                parts.last()
            }
            _ => None,
        };
        let Some(name) = name else {
            return Err(SqlError::new(ErrorKind::ParseError, "VALUES() takes the name of a column"));
        };
        let found = inserted.columns.iter().find(|column| column.name.eq_ignore_ascii_case(&name.value));
        match found {
            Some(column) => Ok(column.typed()),
            None => Err(super::errors::unknown_column(
                &name.value,
                super::errors::Clause::FieldList,
                inserted.columns.iter().map(|column| column.name.as_str()),
            )),
        }
    }
}
