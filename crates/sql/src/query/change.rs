//! UPDATE and DELETE as queries for the rows that they change.

use super::binder::{Binder, Env, named, project};
use super::context::{PARTITION_COLUMN, ROW_COLUMN};
use super::errors::Clause;
use super::from::{Source, filter};
use super::rows::limited;
use super::scope::{ColumnName, Scope, ScopeColumn};
use super::select::{Key, refuse_order_options, sort};
use super::{BoundUpdate, planning_bug};
use crate::analyzer::Typed;
use crate::analyzer::compare::Comparison;
use crate::statement::{Assignment, Delete, InsertValue, TableName, Update};
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::{Expr, LogicalPlan};
use sqlparser::ast;
use std::sync::Arc;
use types::{ColumnDefault, ErrorKind, SqlError, TableDef};

/// The table with its row references kept apart from the columns that names may mean.
struct Target {
    source: Source,
    partition: Column,
    row: Column,
    definition: Option<Arc<TableDef>>,
}

impl Binder<'_> {
    fn target(&mut self, table: &TableName, alias: Option<&ast::Ident>) -> Result<Target, SqlError> {
        let database = table.database.as_deref();
        let rows = self.ctx.tables.table_with_row_refs(database, &table.name)?;
        let definition = self.ctx.tables.definition(database, &table.name)?;
        let alias = alias.map(|alias| alias.value.as_str());
        let mut source = self.scan(rows, definition.as_deref(), database, &table.name, alias)?;
        let mut take = |name: &str| {
            let at = source.scope.columns.iter().rposition(|column| column.name == name);
            at.map(|at| source.scope.columns.remove(at).column)
                .ok_or_else(|| planning_bug(format_args!("a table without its column {name}")))
        };
        let (row, partition) = (take(ROW_COLUMN)?, take(PARTITION_COLUMN)?);
        Ok(Target { source, partition, row, definition })
    }

    /// WHERE, ORDER BY and LIMIT of a statement that changes rows.
    fn chosen(
        &mut self,
        source: Source,
        selection: Option<&ast::Expr>,
        order_by: &[ast::OrderByExpr],
        limit: Option<&ast::Expr>,
    ) -> Result<Source, SqlError> {
        let Source { mut plan, scope } = source;
        if let Some(condition) = selection {
            let condition = self.expr(condition, Env::new(&scope, Clause::Where))?;
            plan = filter(plan, self.rules.condition(condition)?.expr)?;
        }
        let mut keys = Vec::with_capacity(order_by.len());
        for key in order_by {
            refuse_order_options(key)?;
            let value = self.expr(&key.expr, Env::new(&scope, Clause::Order))?;
            if value.as_literal().is_none() {
                keys.push(Key { expr: value.expr, ascending: key.options.asc.unwrap_or(true) }.sort());
            }
        }
        plan = sort(plan, keys);
        if let Some(limit) = limit {
            plan = limited(plan, 0, Some(self.row_count(limit)?));
        }
        Ok(Source { plan, scope })
    }

    pub(super) fn delete(&mut self, delete: &Delete) -> Result<LogicalPlan, SqlError> {
        let Target { source, partition, row, .. } = self.target(&delete.table, delete.alias.as_ref())?;
        let source =
            self.chosen(source, delete.selection.as_ref(), &delete.order_by, delete.limit.as_ref())?;
        let exprs =
            vec![named(Expr::Column(partition), PARTITION_COLUMN), named(Expr::Column(row), ROW_COLUMN)];
        project(source.plan, exprs)
    }

    pub(super) fn update(&mut self, update: &Update) -> Result<BoundUpdate, SqlError> {
        let Target { source, partition, row, definition } =
            self.target(&update.table, update.alias.as_ref())?;
        let scope = source.scope.clone();
        let mut values: Vec<Option<Typed>> = vec![None; scope.columns.len()];
        let mut assigned = Vec::with_capacity(update.assignments.len());
        for assignment in &update.assignments {
            let (at, value) = self.assignment(assignment, &scope, definition.as_deref())?;
            // An assignment sees what those before it assigned.
            let value = self.with_new_values(value, &scope, &values)?;
            values[at] = Some(value);
            if !assigned.contains(&at) {
                assigned.push(at);
            }
        }
        let clocks = self.clock_columns(&scope, definition.as_deref(), &values)?;
        for (at, value) in clocks {
            values[at] = Some(value);
            assigned.push(at);
        }
        let source =
            self.chosen(source, update.selection.as_ref(), &update.order_by, update.limit.as_ref())?;
        let mut exprs =
            vec![named(Expr::Column(partition), PARTITION_COLUMN), named(Expr::Column(row), ROW_COLUMN)];
        for (column, value) in scope.columns.iter().zip(values) {
            let expr = value.map_or_else(|| Expr::Column(column.column.clone()), |value| value.expr);
            exprs.push(named(expr, &column.name));
        }
        Ok(BoundUpdate { plan: project(source.plan, exprs)?, assigned })
    }

    fn assignment(
        &mut self,
        assignment: &Assignment,
        scope: &Scope,
        definition: Option<&TableDef>,
    ) -> Result<(usize, Typed), SqlError> {
        let name = match assignment.column.as_slice() {
            [name] => ColumnName { database: None, table: None, name: &name.value },
            [table, name] => ColumnName { database: None, table: Some(&table.value), name: &name.value },
            [database, table, name] => {
                ColumnName { database: Some(&database.value), table: Some(&table.value), name: &name.value }
            }
            _ => return Err(planning_bug("an assignment without a column")),
        };
        let Some(column) = scope.find(name, Clause::FieldList)?.cloned() else {
            return Err(scope.unknown(name, Clause::FieldList));
        };
        let value = match &assignment.value {
            InsertValue::Expr(expr) => self.expr(expr, Env::new(scope, Clause::FieldList))?,
            InsertValue::Default => self.default_of(&column, definition)?,
        };
        // Invariant: `find` gives a column of this scope.
        let at = scope.columns.iter().position(|own| own.column == column.column).unwrap_or_default();
        Ok((at, value))
    }

    fn default_of(&mut self, column: &ScopeColumn, definition: Option<&TableDef>) -> Result<Typed, SqlError> {
        let declared =
            definition.and_then(|definition| definition.column_named(&column.name)).map(|(_, c)| c);
        let no_default = || {
            SqlError::new(
                ErrorKind::NoDefaultForField,
                format!("Field '{}' doesn't have a default value", column.name),
            )
        };
        match declared.map(|declared| &declared.default) {
            Some(ColumnDefault::Literal(text)) => Ok(Typed::text(text.clone())),
            Some(ColumnDefault::CurrentTimestamp) => Ok(Typed::datetime(self.rules.now, 6)),
            Some(ColumnDefault::None) if !column.nullable => Err(no_default()),
            Some(_) => Ok(Typed::typed_null(column.ty, column.arrow.clone())),
            None => Err(no_default()),
        }
    }

    /// Columns that were assigned before become their new values, as the column will hold them.
    fn with_new_values(
        &mut self,
        value: Typed,
        scope: &Scope,
        values: &[Option<Typed>],
    ) -> Result<Typed, SqlError> {
        let mut replacements = Vec::new();
        for (column, new) in scope.columns.iter().zip(values) {
            if let Some(new) = new {
                let held = self.rules.bring(new.clone(), column.ty, &column.arrow)?;
                replacements.push((column.column.clone(), held.expr));
            }
        }
        if replacements.is_empty() {
            return Ok(value);
        }
        let replaced = value.expr.transform_down(|expr| match &expr {
            Expr::Column(column) => match replacements.iter().find(|(own, _)| own == column) {
                // The new value speaks of old ones: it is not looked into again.
                Some((_, new)) => Ok(Transformed::new(
                    new.clone(),
                    true,
                    datafusion::common::tree_node::TreeNodeRecursion::Jump,
                )),
                None => Ok(Transformed::no(expr)),
            },
            _ => Ok(Transformed::no(expr)),
        });
        Ok(Typed { expr: replaced.data().map_err(super::binder::planning)?, ..value })
    }

    /// ON UPDATE CURRENT_TIMESTAMP: now, if any assigned column changes.
    fn clock_columns(
        &mut self,
        scope: &Scope,
        definition: Option<&TableDef>,
        values: &[Option<Typed>],
    ) -> Result<Vec<(usize, Typed)>, SqlError> {
        let Some(definition) = definition else { return Ok(Vec::new()) };
        let mut clocks = Vec::new();
        for (at, column) in scope.columns.iter().enumerate() {
            let follows =
                definition.column_named(&column.name).is_some_and(|(_, column)| column.on_update_now);
            if !follows || values[at].is_some() {
                continue;
            }
            let mut changed: Option<Typed> = None;
            for (own, new) in scope.columns.iter().zip(values) {
                let Some(new) = new else { continue };
                let held = self.rules.bring(new.clone(), own.ty, &own.arrow)?;
                let same = self.rules.compare(Comparison::NullSafeEqual, own.typed(), held)?;
                let differs = self.rules.not(same)?;
                changed = Some(match changed {
                    None => differs,
                    Some(changed) => Typed::boolean(changed.expr.or(differs.expr), false),
                });
            }
            if let Some(changed) = changed {
                let now = self.rules.bring(Typed::datetime(self.rules.now, 6), column.ty, &column.arrow)?;
                clocks.push((at, self.choose(vec![changed], vec![now, column.typed()])?));
            }
        }
        Ok(clocks)
    }
}
