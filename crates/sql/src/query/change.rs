//! UPDATE and DELETE as queries for the rows that they change.

use super::binder::{Binder, Env, LocatedTable, named, project};
use super::context::{PARTITION_COLUMN, ROW_COLUMN};
use super::errors::Clause;
use super::from::{Source, filter};
use super::locking::place_columns;
use super::rows::limited;
use super::scope::{ColumnName, Scope, ScopeColumn};
use super::select::{Key, refuse_order_options, sort};
use super::{BoundChange, ChangedTable, planning_bug};
use crate::analyzer::Typed;
use crate::analyzer::fold::{call, is_kept_constant, with_constant_parts};
use crate::functions::held::held;
use crate::functions::warnings;
use crate::statement::{Assignment, Delete, DeleteJoined, InsertValue, TableName, Update, UpdateJoined};
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Expr;
use sqlparser::ast;
use std::sync::Arc;
use types::{ColumnDefault, ErrorKind, SqlError, SqlType, TableDef};

/// The most parts that the value of an assignment may have which sees earlier ones: each doubles what it names twice.
const MOST_PARTS: usize = 20_000;

impl Binder<'_> {
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
            plan = filter(plan, with_constant_parts(self.rules.condition(condition)?.expr))?;
        }
        let mut keys = Vec::with_capacity(order_by.len());
        for key in order_by {
            refuse_order_options(key)?;
            let value = self.expr(&key.expr, Env::new(&scope, Clause::Order))?;
            if value.as_literal().is_none() && !is_kept_constant(&value.expr) {
                let ascending = key.options.asc.unwrap_or(true);
                let collation = self.rules.collation(&value);
                keys.push(Key { expr: value.expr, ascending, ty: value.ty, collation }.sort()?);
            }
        }
        plan = sort(plan, keys);
        if let Some(limit) = limit {
            plan = limited(plan, 0, Some(self.row_count(limit)?));
        }
        Ok(Source { plan, scope })
    }

    pub(super) fn delete(&mut self, delete: &Delete) -> Result<BoundChange, SqlError> {
        let (source, tables) = self.located_from(&[one_table(&delete.table, delete.alias.as_ref())])?;
        if tables.is_empty() {
            return Err(not_updatable(&delete.table.name, "DELETE"));
        }
        let source =
            self.chosen(source, delete.selection.as_ref(), &delete.order_by, delete.limit.as_ref())?;
        places_only(source, &tables)
    }

    pub(super) fn delete_joined(&mut self, delete: &DeleteJoined) -> Result<BoundChange, SqlError> {
        let (source, tables) = self.located_from(&delete.from)?;
        let mut chosen: Vec<LocatedTable> = Vec::with_capacity(delete.tables.len());
        for wanted in &delete.tables {
            let is_meant = |table: &&LocatedTable| {
                table.shown == wanted.name
                    && wanted.database.as_ref().is_none_or(|own| table.database.as_ref() == Some(own))
            };
            let Some(table) = tables.iter().find(is_meant) else {
                return Err(SqlError::new(
                    ErrorKind::UnknownTableInClause,
                    format!("Unknown table '{}' in MULTI DELETE", wanted.name),
                ));
            };
            if chosen.iter().any(|other| other.relation == table.relation) {
                return Err(SqlError::new(
                    ErrorKind::NonUniqueTable,
                    format!("Not unique table/alias: '{}'", wanted.name),
                ));
            }
            chosen.push(table.clone());
        }
        let source = self.chosen(source, delete.selection.as_ref(), &[], None)?;
        places_only(source, &chosen)
    }

    pub(super) fn update(&mut self, update: &Update) -> Result<BoundChange, SqlError> {
        let from = self.located_from(&[one_table(&update.table, update.alias.as_ref())])?;
        let Update { assignments, selection, order_by, limit, .. } = update;
        self.update_from(from, assignments, selection.as_ref(), order_by, limit.as_ref())
    }

    pub(super) fn update_joined(&mut self, update: &UpdateJoined) -> Result<BoundChange, SqlError> {
        let from = self.located_from(&update.from)?;
        self.update_from(from, &update.assignments, update.selection.as_ref(), &[], None)
    }

    fn update_from(
        &mut self,
        (source, tables): (Source, Vec<LocatedTable>),
        assignments: &[Assignment],
        selection: Option<&ast::Expr>,
        order_by: &[ast::OrderByExpr],
        limit: Option<&ast::Expr>,
    ) -> Result<BoundChange, SqlError> {
        let scope = source.scope.clone();
        let mut values: Vec<Option<Typed>> = vec![None; scope.columns.len()];
        let mut of_assigned = Vec::new();
        // For each table its assigned columns, as places in the scope.
        let mut assigned: Vec<Vec<usize>> = vec![Vec::new(); tables.len()];
        for assignment in assignments {
            let at = assigned_column(assignment, &scope)?;
            let Some(of) = tables.iter().position(|table| is_of(&scope.columns[at], table)) else {
                return Err(not_updatable(&scope.columns[at].table, "UPDATE"));
            };
            let definition = &tables[of].definition;
            let column = definition.column_named(&scope.columns[at].name).map(|(place, _)| place);
            if let Some(place) = column.filter(|place| definition.is_generated(*place)) {
                if assignment.value == InsertValue::Default {
                    continue;
                }
                return Err(crate::ddl::errors::generated_value(definition, place));
            }
            let (value, raised) = warnings::gather(|| {
                let value = self.assigned_value(assignment, &scope, at, Some(definition))?;
                // An assignment sees what those before it assigned.
                let value = self.with_new_values(value, &scope, &values)?;
                self.as_taken(value, scope.columns[at].ty)
            });
            values[at] = Some(value?);
            of_assigned.extend(raised);
            if !assigned[of].contains(&at) {
                assigned[of].push(at);
            }
        }
        let source = self.chosen(source, selection, order_by, limit)?;
        let mut exprs = Vec::new();
        let mut changed = Vec::new();
        for (number, (table, assigned)) in
            tables.iter().zip(assigned).filter(|(_, assigned)| !assigned.is_empty()).enumerate()
        {
            let first = exprs.len();
            exprs.push(named(Expr::Column(table.partition.clone()), &format!("{PARTITION_COLUMN}:{number}")));
            exprs.push(named(Expr::Column(table.row.clone()), &format!("{ROW_COLUMN}:{number}")));
            let mut places = vec![0; scope.columns.len()];
            for (place, column) in table.definition.columns.iter().enumerate() {
                if column.is_hidden() {
                    // No name means it, and it follows from the others.
                    let old = Column::new(Some(table.relation.as_str()), &column.name);
                    exprs.push(named(Expr::Column(old), &format!("{number}:{}", column.name)));
                    continue;
                }
                let at = (0..scope.columns.len())
                    .find(|at| is_of(&scope.columns[*at], table) && scope.columns[*at].name == column.name)
                    .ok_or_else(|| {
                        planning_bug(format_args!("a table without its column {}", column.name))
                    })?;
                places[at] = place;
                let expr = match &values[at] {
                    Some(value) => value.expr.clone(),
                    None => Expr::Column(scope.columns[at].column.clone()),
                };
                exprs.push(named(expr, &format!("{number}:{}", column.name)));
            }
            for at in &assigned {
                let column = &scope.columns[*at];
                exprs.push(named(
                    Expr::Column(column.column.clone()),
                    &format!("{number}:old:{}", column.name),
                ));
            }
            let assigned = assigned.into_iter().map(|at| places[at]).collect();
            changed.push(ChangedTable { definition: Arc::clone(&table.definition), first, assigned });
        }
        Ok(BoundChange {
            plan: project(source.plan, exprs)?,
            tables: changed,
            warnings: Vec::new(),
            of_assigned,
        })
    }

    /// The value of an assignment to the column at this place of the scope.
    pub(super) fn assigned_value(
        &mut self,
        assignment: &Assignment,
        scope: &Scope,
        at: usize,
        definition: Option<&TableDef>,
    ) -> Result<Typed, SqlError> {
        match &assignment.value {
            InsertValue::Expr(expr) => self.expr(expr, Env::new(scope, Clause::FieldList)),
            InsertValue::Default => self.default_of(&scope.columns[at], definition),
        }
    }

    /// DEFAULT(column).
    pub(super) fn default_value(&mut self, column: &ast::Expr, env: Env<'_>) -> Result<Typed, SqlError> {
        let value = self.expr(column, env)?;
        let found = match &value.expr {
            Expr::Column(column) => env.scope.of_plan(column),
            _ => None,
        };
        let Some((column, origin)) = found.and_then(|found| Some((found, found.origin.clone()?))) else {
            return Err(SqlError::unsupported(format_args!("DEFAULT({column})")));
        };
        let definition = self.ctx.tables.definition(Some(&origin.schema), &origin.org_table)?;
        let column = column.clone();
        let value = self.default_of(&column, definition.as_deref())?;
        self.rules.bring(value, column.ty, &column.arrow)
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
            Some(ColumnDefault::Literal(text)) => Ok(match (column.ty, text.parse()) {
                (SqlType::Bit(_), Ok(number)) => Typed::uint(number),
                _ => Typed::text(text.clone()),
            }),
            Some(ColumnDefault::CurrentTimestamp) => Ok(Typed::datetime(self.rules.now.get(), 6)),
            Some(ColumnDefault::Expression(_)) => Err(SqlError::unsupported(format_args!(
                "DEFAULT of column '{}' here, since it is an expression",
                column.name
            ))),
            Some(ColumnDefault::None) if !column.nullable => Err(no_default()),
            Some(_) => Ok(Typed::typed_null(column.ty, column.arrow.clone())),
            None => Err(no_default()),
        }
    }

    /// The value with columns that were assigned before as what they will hold.
    fn with_new_values(
        &self,
        value: Typed,
        scope: &Scope,
        values: &[Option<Typed>],
    ) -> Result<Typed, SqlError> {
        let mut replacements = Vec::new();
        for (column, new) in scope.columns.iter().zip(values) {
            if let Some(new) = new {
                replacements.push((column.column.clone(), self.held(new.clone(), column)?.expr));
            }
        }
        if replacements.is_empty() {
            return Ok(value);
        }
        let replaced = value.expr.transform_down(|expr| match &expr {
            Expr::Column(column) => match replacements.iter().find(|(own, _)| own == column) {
                // The new value speaks of old ones: it is not looked into again.
                Some((_, new)) => Ok(Transformed::new(new.clone(), true, TreeNodeRecursion::Jump)),
                None => Ok(Transformed::no(expr)),
            },
            _ => Ok(Transformed::no(expr)),
        });
        let expr = replaced.data().map_err(super::binder::planning)?;
        let mut parts = 0;
        let counted = expr.apply(|_| {
            parts += 1;
            Ok(if parts > MOST_PARTS { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        });
        counted.map_err(super::binder::planning)?;
        if parts > MOST_PARTS {
            return Err(SqlError::new(
                ErrorKind::CapacityExceeded,
                format!(
                    "The assignments grow to more than {MOST_PARTS} parts, since each repeats what those before it \
                     say; assign in several statements"
                ),
            ));
        }
        Ok(Typed { expr, ..value })
    }

    /// What a column holds of a value that is assigned to it.
    fn held(&self, value: Typed, column: &ScopeColumn) -> Result<Typed, SqlError> {
        let is_own = value.ty == column.ty && value.arrow == column.arrow;
        if is_own && holds_all(column.ty) && (column.nullable || !value.nullable) {
            return Ok(value);
        }
        let args = vec![
            Typed::text(value.ty.to_string()),
            Typed::text(column.ty.to_string()),
            Typed::int(i64::from(!column.nullable)),
            Typed::int(self.ctx.session.now.get()),
            Typed::text(self.rules.zone.to_string()),
        ];
        call(held(), std::iter::once(value).chain(args).collect(), column.ty)
    }

    /// The value as a column of this type takes it, where its Arrow type does not say all: of a time, how many digits its
    /// seconds have in a column of strings; of an ENUM or SET, its number in a column of numbers.
    fn as_taken(&self, value: Typed, to: SqlType) -> Result<Typed, SqlError> {
        let is_time =
            matches!(value.ty, SqlType::Time { .. } | SqlType::DateTime { .. } | SqlType::Timestamp { .. });
        if is_time && to.takes_strings() {
            self.rules.text(value)
        } else if value.ty.labels().is_some() && to.takes_numbers() {
            self.rules.number(value)
        } else {
            Ok(value)
        }
    }
}

/// Whether a column of this type takes every value of its Arrow type as it is.
fn holds_all(ty: SqlType) -> bool {
    matches!(
        ty,
        SqlType::Bool
            | SqlType::TinyInt { .. }
            | SqlType::SmallInt { .. }
            | SqlType::Int { .. }
            | SqlType::BigInt { .. }
            | SqlType::Float
            | SqlType::Double
            | SqlType::Date
    )
}

/// A table as an item of FROM.
fn one_table(table: &TableName, alias: Option<&ast::Ident>) -> ast::TableWithJoins {
    let parts = table.database.iter().chain([&table.name]).map(ast::Ident::new).collect::<Vec<_>>();
    let relation = ast::TableFactor::Table {
        name: ast::ObjectName::from(parts),
        alias: alias.map(|alias| ast::TableAlias {
            explicit: true,
            name: alias.clone(),
            columns: Vec::new(),
            at: None,
        }),
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    };
    ast::TableWithJoins { relation, joins: Vec::new() }
}

fn is_of(column: &ScopeColumn, table: &LocatedTable) -> bool {
    column.column.relation.as_ref().is_some_and(|relation| relation.table() == table.relation)
}

fn places_only(source: Source, tables: &[LocatedTable]) -> Result<BoundChange, SqlError> {
    let changed = tables.iter().enumerate().map(|(at, table)| ChangedTable {
        definition: Arc::clone(&table.definition),
        first: at * 2,
        assigned: Vec::new(),
    });
    let plan = project(source.plan, place_columns(tables.iter()))?;
    Ok(BoundChange { plan, tables: changed.collect(), warnings: Vec::new(), of_assigned: Vec::new() })
}

fn not_updatable(table: &str, statement: &str) -> SqlError {
    SqlError::new(
        ErrorKind::NonUpdatableTable,
        format!("The target table {table} of the {statement} is not updatable"),
    )
}

/// The place in the scope of the column that is assigned to.
pub(super) fn assigned_column(assignment: &Assignment, scope: &Scope) -> Result<usize, SqlError> {
    let name = match assignment.column.as_slice() {
        [name] => ColumnName { database: None, table: None, name: &name.value },
        [table, name] => ColumnName { database: None, table: Some(&table.value), name: &name.value },
        [database, table, name] => {
            ColumnName { database: Some(&database.value), table: Some(&table.value), name: &name.value }
        }
        _ => return Err(planning_bug("an assignment without a column")),
    };
    let Some(column) = scope.find_unread(name, Clause::FieldList)? else {
        return Err(scope.unknown(name, Clause::FieldList));
    };
    // Invariant: `find` gives a column of this scope.
    Ok(scope.columns.iter().position(|own| own.column == column.column).unwrap_or_default())
}
