//! FROM: tables, derived tables, common table expressions and joins.

use super::ColumnMarks;
use super::binder::{Binder, Env, LocatedTable, Rows, alias_plan, planning};
use super::context::{PARTITION_COLUMN, ROW_COLUMN};
use super::errors::Clause;
use super::json_table::{LateralJsonTable, keeps_left};
use super::planning_bug;
use super::scope::{ColumnName, Origin, Scope, ScopeColumn, ScopeRelation};
use crate::analyzer::Collated;
use crate::analyzer::compare::Comparison;
use datafusion::common::{Column, NullEquality, TableReference};
use datafusion::logical_expr::logical_plan::Join;
use datafusion::logical_expr::{
    Expr, JoinConstraint, JoinType, LogicalPlan, LogicalPlanBuilder, Subquery, TableSource, lit,
};
use sqlparser::ast;
use std::sync::Arc;
use types::{ErrorKind, SqlError, SqlType, TableDef};

/// The most tables of one FROM, as in MySQL.
const MAX_TABLES: usize = 61;

/// A relation with its columns in scope.
pub(super) struct Source {
    pub(super) plan: LogicalPlan,
    pub(super) scope: Scope,
}

/// An item of FROM, or of a join in it.
pub(super) enum Relation {
    Rows(Source),
    /// It makes rows of the rows of tables left of it.
    Lateral(LateralJsonTable),
}

/// Error 1116 for more tables than a join may have.
fn few_enough(tables: usize) -> Result<(), SqlError> {
    if tables <= MAX_TABLES {
        return Ok(());
    }
    Err(SqlError::new(
        ErrorKind::TooManyTables,
        format!("Too many tables; a join can have {MAX_TABLES} at most"),
    ))
}

impl Binder<'_> {
    /// The whole FROM clause; without one, a single row without columns.
    pub(super) fn from(&mut self, from: &[ast::TableWithJoins]) -> Result<Source, SqlError> {
        let mut whole: Option<Source> = None;
        for item in from {
            let before = whole.as_ref().map(|source| source.scope.clone()).unwrap_or_default();
            let next = self.joined(item, &before, &mut whole)?;
            let left = whole.as_ref().map_or(0, |left| left.scope.relations.len());
            few_enough(left + next.scope.relations.len())?;
            whole = Some(match whole {
                None => next,
                Some(left) => self.cross(left, next)?,
            });
        }
        Ok(whole.unwrap_or_else(|| Source {
            plan: LogicalPlanBuilder::empty(true).build().unwrap_or_default(),
            scope: Scope::default(),
        }))
    }

    /// One item of FROM with its joins. `before`: what stands left of it, for LATERAL. `beside`: the rows of that,
    /// which it takes if a JSON_TABLE among its own tables is of them.
    fn joined(
        &mut self,
        item: &ast::TableWithJoins,
        before: &Scope,
        beside: &mut Option<Source>,
    ) -> Result<Source, SqlError> {
        // What it took, which comes first in `left` from then on, but is no operand of its joins.
        let mut taken: Option<Scope> = None;
        let mut left = match self.relation(&item.relation, before)? {
            Relation::Rows(source) => source,
            Relation::Lateral(table) => {
                let left = beside.take().ok_or_else(|| table.outside())?;
                taken = Some(left.scope.clone());
                self.with_json_table(left, table, false)?
            }
        };
        for join in &item.joins {
            let visible = match taken {
                Some(_) => left.scope.clone(),
                None => before.clone().join(left.scope.clone()),
            };
            match self.relation(&join.relation, &visible)? {
                Relation::Rows(right) => {
                    few_enough(visible.relations.len() + right.scope.relations.len())?;
                    if taken.is_some() && !keeps_left(&join.join_operator) {
                        return Err(SqlError::unsupported(
                            "JSON_TABLE of a table before a comma, with RIGHT JOIN, FULL JOIN, USING or NATURAL \
                             JOIN behind it",
                        ));
                    }
                    left = self.join(left, right, &join.join_operator, taken.as_ref())?;
                }
                Relation::Lateral(table) => {
                    few_enough(visible.relations.len() + 1)?;
                    if !table.is_of(&left.scope) {
                        let whole = beside.take().ok_or_else(|| table.outside())?;
                        taken = Some(whole.scope.clone());
                        left = self.cross(whole, left)?;
                    }
                    left = self.join_json_table(left, table, &join.join_operator, taken.as_ref())?;
                }
            }
        }
        Ok(left)
    }

    fn relation(&mut self, factor: &ast::TableFactor, before: &Scope) -> Result<Relation, SqlError> {
        let source = match factor {
            ast::TableFactor::Table {
                name,
                alias,
                args: None,
                with_hints: _,
                version: None,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample: None,
                // USE, FORCE and IGNORE INDEX change no result.
                index_hints: _,
            } => {
                if !partitions.is_empty() {
                    return Err(SqlError::unsupported("PARTITION in FROM"));
                }
                self.named_table(name, alias.as_ref())?
            }
            ast::TableFactor::Derived { lateral, subquery, alias, sample: None } => {
                let Some(alias) = alias else {
                    return Err(SqlError::new(
                        ErrorKind::DerivedTableNeedsAlias,
                        "Every derived table must have its own alias",
                    ));
                };
                self.derived(*lateral, subquery, alias, before)?
            }
            ast::TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.joined(table_with_joins, before, &mut None)?
            }
            ast::TableFactor::JsonTable { json_expr, json_path, columns, alias } => {
                return self.json_table(json_expr, json_path, columns, alias.as_ref(), before);
            }
            other => return Err(SqlError::unsupported(other)),
        };
        Ok(Relation::Rows(source))
    }

    fn named_table(
        &mut self,
        name: &ast::ObjectName,
        alias: Option<&ast::TableAlias>,
    ) -> Result<Source, SqlError> {
        let (database, table) = table_name(name)?;
        if database.is_none() && alias.is_none() && table.eq_ignore_ascii_case("dual") {
            return self.from(&[]);
        }
        let alias_name = alias.map(alias_name).transpose()?;
        let shown = alias_name.unwrap_or(table);
        if database.is_none()
            && let Some(cte) = self.ctes.iter().rev().find(|cte| cte.name.eq_ignore_ascii_case(table))
        {
            let (rows, relations, cte_levels) = (cte.rows.clone(), cte.relations, cte.levels);
            self.cte_levels = self.cte_levels.max(cte_levels);
            self.reads(relations)?;
            let columns = alias.map(|alias| alias.columns.as_slice()).unwrap_or_default();
            return self.rows_as(rows, shown, columns);
        }
        if alias.is_some_and(|alias| !alias.columns.is_empty()) {
            return Err(SqlError::unsupported("column names after the alias of a table"));
        }
        if let Some(rewrites) = self.rewrites.as_mut().filter(|_| database.is_none()) {
            rewrites.table(name, self.ctx.session.database);
        }
        if let Some(view) = self.ctx.tables.view(database, table)? {
            return self.view(view, shown);
        }
        self.reads(1)?;
        let definition = self.ctx.tables.definition(database, table)?;
        match definition {
            Some(definition) if self.located.is_some() => {
                self.located_table(definition, database, table, alias_name)
            }
            definition => {
                let source = self.ctx.tables.table(database, table)?;
                self.scan(source, definition.as_deref(), database, table, alias_name)
            }
        }
    }

    /// A table with the places of its rows, which are kept out of what names may mean.
    fn located_table(
        &mut self,
        definition: Arc<TableDef>,
        database: Option<&str>,
        table: &str,
        alias: Option<&str>,
    ) -> Result<Source, SqlError> {
        let rows = self.ctx.tables.table_with_row_refs(database, table)?;
        let mut source = self.scan(rows, Some(&definition), database, table, alias)?;
        let mut take = |name: &str| {
            let at = source.scope.columns.iter().rposition(|column| column.name == name);
            at.map(|at| source.scope.columns.remove(at).column)
                .ok_or_else(|| planning_bug(format_args!("a table without its column {name}")))
        };
        let (row, partition) = (take(ROW_COLUMN)?, take(PARTITION_COLUMN)?);
        let relation = row.relation.as_ref().map(|relation| relation.table().to_string());
        let located = LocatedTable {
            database: database.or(self.ctx.session.database).map(str::to_string),
            shown: alias.unwrap_or(table).to_string(),
            relation: relation.unwrap_or_default(),
            definition,
            partition,
            row,
        };
        self.located.get_or_insert_default().push(located);
        Ok(source)
    }

    /// FROM of a statement that locks or changes rows: its source, and its tables.
    pub(super) fn located_from(
        &mut self,
        from: &[ast::TableWithJoins],
    ) -> Result<(Source, Vec<LocatedTable>), SqlError> {
        let before = self.located.replace(Vec::new());
        let source = self.from(from)?;
        let tables = std::mem::replace(&mut self.located, before).unwrap_or_default();
        Ok((source, tables))
    }

    /// A table as a relation. Columns past the definition's, such as hidden ones, keep their Arrow type.
    pub(super) fn scan(
        &mut self,
        source: Arc<dyn TableSource>,
        definition: Option<&TableDef>,
        database: Option<&str>,
        table: &str,
        alias: Option<&str>,
    ) -> Result<Source, SqlError> {
        let shown = alias.unwrap_or(table);
        let readable = self.ctx.tables.readable(database, table)?.map(Arc::new);
        let relation = self.relation_name(shown);
        let schema = source.schema();
        let database = database.or(self.ctx.session.database);
        let mut columns = Vec::with_capacity(schema.fields().len());
        let is_hidden = |name: &str| {
            definition.is_some_and(|def| def.columns.iter().any(|own| own.is_hidden() && own.name == name))
        };
        for (ordinal, field) in schema.fields().iter().enumerate() {
            if is_hidden(field.name()) {
                continue;
            }
            let declared =
                definition.and_then(|definition| definition.column_named(field.name())).map(|(_, c)| c);
            let ty = match declared {
                Some(column) => column.ty,
                None => SqlType::of_field(field).ok_or_else(|| {
                    SqlError::unsupported(format_args!("a column of type {}", field.data_type()))
                })?,
            };
            columns.push(ScopeColumn {
                table: shown.to_string(),
                database: if alias.is_some() { None } else { database.map(str::to_string) },
                name: field.name().clone(),
                column: Column::new(Some(TableReference::bare(relation.as_str())), field.name()),
                ty,
                arrow: field.data_type().clone(),
                nullable: field.is_nullable(),
                collation: Collated::column(declared.map(|column| column.collation).unwrap_or_default()),
                origin: Some(Arc::new(Origin {
                    schema: database.unwrap_or_default().to_string(),
                    org_table: table.to_string(),
                    org_name: field.name().clone(),
                    marks: match (definition, declared) {
                        (Some(definition), Some(column)) => ColumnMarks::of(definition, column),
                        _ => ColumnMarks::default(),
                    },
                })),
                readable: readable.clone(),
                visible: true,
                ordinal,
            });
        }
        let primary_key = definition.map_or_else(Vec::new, |definition| {
            definition.shown_columns(&definition.primary_key).map(|column| column.name.clone()).collect()
        });
        let plan = LogicalPlanBuilder::scan(TableReference::bare(relation.as_str()), source, None)
            .and_then(LogicalPlanBuilder::build)
            .map_err(planning)?;
        Ok(Source {
            plan,
            scope: Scope { columns, relations: vec![ScopeRelation { relation, primary_key }] },
        })
    }

    fn derived(
        &mut self,
        lateral: bool,
        query: &ast::Query,
        alias: &ast::TableAlias,
        before: &Scope,
    ) -> Result<Source, SqlError> {
        if !lateral {
            let rows = self.nested(|binder| binder.query(query))?;
            return self.rows_as(rows, alias_name(alias)?, &alias.columns);
        }
        let mut rows = self.within(before, |binder| binder.query(query))?;
        let outer_ref_columns = rows.plan.all_out_ref_exprs();
        if !outer_ref_columns.is_empty() {
            rows.plan = LogicalPlan::Subquery(Subquery {
                subquery: Arc::new(rows.plan),
                outer_ref_columns,
                spans: Default::default(),
            });
        }
        self.rows_as(rows, alias_name(alias)?, &alias.columns)
    }

    /// A query's rows as a relation of this name.
    pub(super) fn rows_as(
        &mut self,
        rows: Rows,
        shown: &str,
        renamed: &[ast::TableAliasColumnDef],
    ) -> Result<Source, SqlError> {
        if !renamed.is_empty() && renamed.len() != rows.columns.len() {
            return Err(SqlError::new(
                ErrorKind::WrongColumnList,
                format!(
                    "'{shown}' has {} columns, but {} names are given",
                    rows.columns.len(),
                    renamed.len()
                ),
            ));
        }
        let names: Vec<&str> = match renamed {
            [] => rows.columns.iter().map(|column| column.name.as_str()).collect(),
            names => names.iter().map(|column| column.name.value.as_str()).collect(),
        };
        for (at, name) in names.iter().enumerate() {
            if names[..at].iter().any(|other| other.eq_ignore_ascii_case(name)) {
                return Err(SqlError::new(
                    ErrorKind::DuplicateColumn,
                    format!("Duplicate column name '{name}'"),
                ));
            }
        }
        let relation = self.relation_name(shown);
        let columns = rows
            .columns
            .iter()
            .zip(&names)
            .enumerate()
            .map(|(ordinal, (column, name))| ScopeColumn {
                table: shown.to_string(),
                database: None,
                name: (*name).to_string(),
                column: Column::new(Some(TableReference::bare(relation.as_str())), &column.column.name),
                ty: column.ty,
                arrow: column.arrow.clone(),
                nullable: column.nullable,
                collation: column.collation,
                origin: column.origin.clone(),
                readable: None,
                visible: true,
                ordinal,
            })
            .collect();
        let plan = alias_plan(rows.plan, &relation)?;
        let relations = vec![ScopeRelation { relation, primary_key: Vec::new() }];
        Ok(Source { plan, scope: Scope { columns, relations } })
    }

    pub(super) fn cross(&mut self, left: Source, right: Source) -> Result<Source, SqlError> {
        refuse_same_names(&left.scope, &right.scope)?;
        let plan = join_plans(left.plan, right.plan, JoinType::Inner, None)?;
        Ok(Source { plan, scope: left.scope.join(right.scope) })
    }

    /// `taken`: the scope that the left side's begins with, and ON does not see.
    fn join(
        &mut self,
        left: Source,
        right: Source,
        operator: &ast::JoinOperator,
        taken: Option<&Scope>,
    ) -> Result<Source, SqlError> {
        use ast::JoinOperator as J;
        let (kind, constraint) = match operator {
            // STRAIGHT_JOIN is a hint about the order, which is not the reader's to choose here.
            J::Join(c) | J::Inner(c) | J::CrossJoin(c) | J::StraightJoin(c) => (JoinType::Inner, c),
            J::Left(c) | J::LeftOuter(c) => (JoinType::Left, c),
            J::Right(c) | J::RightOuter(c) => (JoinType::Right, c),
            J::FullOuter(c) => (JoinType::Full, c),
            _ => return Err(SqlError::unsupported("this kind of join")),
        };
        refuse_same_names(&left.scope, &right.scope)?;
        match constraint {
            ast::JoinConstraint::None => self.join_on(left, right, kind, None, taken),
            ast::JoinConstraint::On(condition) => self.join_on(left, right, kind, Some(condition), taken),
            ast::JoinConstraint::Using(names) => {
                let names = names.iter().map(|name| table_name(name).map(|(_, name)| name.to_string()));
                let names = names.collect::<Result<Vec<_>, _>>()?;
                self.join_using(left, right, kind, names)
            }
            ast::JoinConstraint::Natural => {
                let names = left
                    .scope
                    .all()
                    .filter(|column| {
                        right.scope.all().any(|other| other.name.eq_ignore_ascii_case(&column.name))
                    })
                    .map(|column| column.name.clone())
                    .collect();
                self.join_using(left, right, kind, names)
            }
        }
    }

    fn join_on(
        &mut self,
        left: Source,
        right: Source,
        kind: JoinType,
        condition: Option<&ast::Expr>,
        taken: Option<&Scope>,
    ) -> Result<Source, SqlError> {
        let scope = operands(left.scope.clone().join(right.scope.clone()), taken);
        let condition = match condition {
            None => None,
            Some(condition) => {
                let bound = self.expr(condition, Env::new(&scope, Clause::On))?;
                Some(self.rules.condition(bound)?.expr)
            }
        };
        let scope = joined_scope(left.scope, right.scope, kind);
        let plan = match condition {
            // A subquery is only planned in a filter; for an inner join that is the same.
            Some(condition) if kind == JoinType::Inner && has_subquery(&condition) => {
                let crossed = join_plans(left.plan, right.plan, kind, None)?;
                filter(crossed, condition)?
            }
            condition => join_plans(left.plan, right.plan, kind, condition)?,
        };
        Ok(Source { plan, scope })
    }

    /// Columns of the same name become one: the left one, or the right one of a right join.
    fn join_using(
        &mut self,
        left: Source,
        right: Source,
        kind: JoinType,
        names: Vec<String>,
    ) -> Result<Source, SqlError> {
        if names.is_empty() {
            return self.join_on(left, right, kind, None, None);
        }
        if kind == JoinType::Full {
            return Err(SqlError::unsupported("FULL JOIN with USING"));
        }
        let mut condition: Option<Expr> = None;
        let mut pairs: Vec<(Column, Column)> = Vec::new();
        for name in &names {
            let name = ColumnName { database: None, table: None, name };
            let find = |scope: &Scope| match scope.find(name, Clause::From)? {
                Some(column) => Ok(column.clone()),
                None => Err(scope.unknown(name, Clause::From)),
            };
            let (l, r) = (find(&left.scope)?, find(&right.scope)?);
            let equal = self.rules.compare(Comparison::Equal, l.typed(), r.typed())?.expr;
            condition = Some(match condition {
                None => equal,
                Some(all) => all.and(equal),
            });
            pairs.push((l.column, r.column));
        }
        let plan = join_plans(left.plan, right.plan, kind, condition)?;
        let right_columns: Vec<Column> =
            right.scope.columns.iter().map(|column| column.column.clone()).collect();
        let mut scope = joined_scope(left.scope, right.scope, kind);
        // The columns of the side whose rows are all there come first, and among them the common ones, in the
        // order of that side.
        let kept_first =
            |column: &ScopeColumn| kind == JoinType::Right && right_columns.contains(&column.column);
        scope.columns.sort_by_key(|column| !kept_first(column));
        let place = |column: &Column| scope.columns.iter().position(|own| own.column == *column);
        pairs.sort_by_key(|(l, r)| place(if kind == JoinType::Right { r } else { l }));
        let mut merged = Vec::new();
        for (l, r) in pairs {
            let (kept, hidden) = if kind == JoinType::Right { (r, l) } else { (l, r) };
            for column in &mut scope.columns {
                column.visible &= column.column != hidden;
            }
            if let Some(at) = scope.columns.iter().position(|column| column.column == kept) {
                merged.push(scope.columns.remove(at));
            }
        }
        // The common columns come first.
        merged.append(&mut scope.columns);
        scope.columns = merged;
        Ok(Source { plan, scope })
    }
}

/// What ON sees of the scope of a join: its operands.
pub(super) fn operands(scope: Scope, taken: Option<&Scope>) -> Scope {
    match taken {
        Some(taken) => scope.without(taken),
        None => scope,
    }
}

fn joined_scope(left: Scope, right: Scope, kind: JoinType) -> Scope {
    match kind {
        JoinType::Left => left.join(right.nullable()),
        JoinType::Right => left.nullable().join(right),
        JoinType::Full => left.nullable().join(right.nullable()),
        _ => left.join(right),
    }
}

pub(super) fn refuse_same_names(left: &Scope, right: &Scope) -> Result<(), SqlError> {
    for column in &right.columns {
        let same = left.columns.iter().find(|other| {
            other.table == column.table
                && (other.database.is_none()
                    || column.database.is_none()
                    || other.database == column.database)
                && other.database.is_some() == column.database.is_some()
        });
        if same.is_some() {
            return Err(SqlError::new(
                ErrorKind::NonUniqueTable,
                format!("Not unique table/alias: '{}'", column.table),
            ));
        }
    }
    Ok(())
}

/// A join of two plans; equal columns in the condition are found by the optimizer.
pub(super) fn join_plans(
    left: LogicalPlan,
    right: LogicalPlan,
    kind: JoinType,
    condition: Option<Expr>,
) -> Result<LogicalPlan, SqlError> {
    let condition = match (kind, condition) {
        (JoinType::Inner, None) => None,
        (_, None) => Some(lit(true)),
        (_, condition) => condition,
    };
    Join::try_new(
        Arc::new(left),
        Arc::new(right),
        Vec::new(),
        condition,
        kind,
        JoinConstraint::On,
        NullEquality::NullEqualsNothing,
        false,
    )
    .map(LogicalPlan::Join)
    .map_err(planning)
}

pub(super) fn filter(plan: LogicalPlan, condition: Expr) -> Result<LogicalPlan, SqlError> {
    datafusion::logical_expr::Filter::try_new(condition, Arc::new(plan))
        .map(LogicalPlan::Filter)
        .map_err(planning)
}

pub(super) fn has_subquery(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    let is_subquery = |expr: &Expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_)
        ))
    };
    expr.exists(is_subquery).unwrap_or(false)
}

/// The name that a FROM clause gives a relation.
pub(super) fn alias_name(alias: &ast::TableAlias) -> Result<&str, SqlError> {
    match alias.name.value.as_str() {
        "" => Err(SqlError::new(ErrorKind::ParseError, "An alias in a FROM clause must not be empty")),
        name => Ok(name),
    }
}

/// Database and name of a table.
pub(super) fn table_name(name: &ast::ObjectName) -> Result<(Option<&str>, &str), SqlError> {
    let parts: Option<Vec<&str>> =
        name.0.iter().map(|part| part.as_ident().map(|ident| ident.value.as_str())).collect();
    match parts.as_deref() {
        Some([table]) => Ok((None, table)),
        Some([database, table]) => Ok((Some(database), table)),
        _ => Err(SqlError::new(ErrorKind::WrongTableName, format!("Incorrect table name '{name}'"))),
    }
}
