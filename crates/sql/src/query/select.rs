//! SELECT: from the FROM clause to named, ordered columns.

use super::aggregate::Grouping;
use super::binder::{Alias, Binder, Env, Output, Rows, named, planning, project, unique_names};
use super::distinct::distinct as distinct_rows;
use super::errors::Clause;
use super::from::{Source, filter};
use super::locking::Places;
use super::scope::{ColumnName, Origin, Scope};
use crate::analyzer::convert::{Rules, order_value};
use crate::analyzer::fold::{is_kept_constant, keeps_warned, with_constant_parts};
use crate::analyzer::{Collated, Typed};
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Sort, SortExpr};
use sqlparser::ast::{self, Spanned};
use std::sync::Arc;
use types::{Collation, ErrorKind, SqlError, SqlType};

/// One column of the select list.
pub(super) struct Item {
    title: String,
    value: Typed,
    /// The alias of the table that a plain column comes from.
    table: String,
    origin: Option<Arc<Origin>>,
}

/// A key of ORDER BY.
pub(super) struct Key {
    pub(super) expr: Expr,
    pub(super) ascending: bool,
    pub(super) ty: SqlType,
    pub(super) collation: Collation,
}

impl Key {
    pub(super) fn sort(self) -> Result<SortExpr, SqlError> {
        let mut expr = self.expr;
        if self.ty.labels().is_some() || !self.collation.is_bytes() {
            let collation = Collated::column(self.collation);
            let value = Typed { expr, ty: self.ty, arrow: self.ty.arrow(), nullable: true, collation };
            expr = order_value(value, self.collation)?.expr;
        }
        // NULL is less than everything.
        Ok(SortExpr::new(expr, self.ascending, self.ascending))
    }
}

impl Binder<'_> {
    pub(super) fn select(
        &mut self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
        titles: Option<&[String]>,
    ) -> Result<Rows, SqlError> {
        refuse_unsupported(select)?;
        let source = self.from(&select.from)?;
        self.select_from(source, select, order, titles, &mut None)
    }

    /// A SELECT over its FROM. `places`: columns that say where the rows are. They stay as the last
    /// ones of the result if its rows are rows of FROM; else they are taken away, and come back as a
    /// query of their own.
    pub(super) fn select_from(
        &mut self,
        source: Source,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
        titles: Option<&[String]>,
        places: &mut Option<Places>,
    ) -> Result<Rows, SqlError> {
        let mut scope = source.scope;
        let mut plan = source.plan;
        if let Some(condition) = &select.selection {
            let condition = self.expr(condition, Env::new(&scope, Clause::Where))?;
            let mut condition = self.rules.condition(condition)?.expr;
            // A subquery may stand where no row comes to.
            if self.outer.is_empty() {
                condition = with_constant_parts(condition);
            }
            plan = filter(plan, condition)?;
        }
        if has_rollup(&select.group_by) {
            // Rows of all values together have NULL for them.
            scope.columns.iter_mut().for_each(|column| column.nullable = true);
        }
        let chosen = places.is_some().then(|| plan.clone());
        let one_group = is_empty(&select.group_by);
        let whole = Env {
            aggregates: true,
            windows: true,
            one_group,
            named_windows: &select.named_window,
            ..Env::new(&scope, Clause::FieldList)
        };
        let mut items = self.items(&select.projection, whole, titles)?;
        let aliases: Vec<Alias> =
            items.iter().map(|item| Alias { name: item.title.clone(), value: item.value.clone() }).collect();
        let grouping = self.grouping(&select.group_by, &scope, &items, &aliases)?;
        let mut having = match &select.having {
            None => None,
            Some(having) => {
                let hides = |name: &str| !grouping.has_column_named(&scope, name);
                let visible: Vec<Alias> =
                    aliases.iter().filter(|alias| hides(&alias.name)).cloned().collect();
                let env = Env {
                    aliases: &visible,
                    aliases_first: true,
                    aggregates: true,
                    one_group,
                    ..Env::new(&scope, Clause::Having)
                };
                let having = self.expr(having, env)?;
                Some(self.rules.condition(having)?.expr)
            }
        };
        let env = Env { clause: Clause::Order, aliases: &aliases, aliases_first: true, ..whole };
        let mut keys = Vec::with_capacity(order.len());
        for key in order {
            if let Some(value) = self.order_key(key, &items, env)? {
                let ascending = key.options.asc.unwrap_or(true);
                let collation = self.rules.collation(&value);
                keys.push(Key { expr: value.expr, ascending, ty: value.ty, collation });
            }
        }
        let distinct = matches!(select.distinct, Some(ast::Distinct::Distinct));
        if order.is_empty() && !distinct {
            let (ty, collation) = (SqlType::BigInt { unsigned: false }, Collation::Bytes);
            let by = grouping.rollup_order().into_iter();
            keys.extend(by.map(|expr| Key { expr, ascending: true, ty, collation }));
        }
        plan = self.grouped(plan, &scope, grouping, &mut items, &mut having, &mut keys)?;
        let grouped = matches!(plan, LogicalPlan::Aggregate(_));
        if let Some(having) = having {
            plan = filter(plan, having)?;
        }
        let mut extra = Vec::new();
        if let (Some(places), Some(chosen)) = (places, chosen) {
            if grouped || distinct {
                places.apart = Some(project(chosen, places.columns.clone())?);
            } else {
                extra.clone_from(&places.columns);
            }
        }
        let values = items.iter_mut().map(|item| &mut item.value.expr);
        let all = values.chain(keys.iter_mut().map(|key| &mut key.expr));
        plan = self.compute_below(plan, all, |expr| matches!(expr, Expr::WindowFunction(_)))?;
        plan = add_windows(plan, &mut items, &mut keys)?;
        // Where what is computed may be an error, a LIMIT comes before it, if the order is one of columns that are there.
        let is_column = |expr: &Expr| matches!(expr, Expr::Column(_));
        let is_free = !distinct && extra.is_empty() && self.outer.is_empty();
        if keeps_warned()
            && is_free
            && keys.iter().all(|key| is_column(&key.expr))
            && !items.iter().all(|item| is_column(&item.value.expr))
        {
            let sorts = keys.drain(..).map(Key::sort).collect::<Result<_, _>>()?;
            plan = sort(plan, sorts);
        }
        finish(&self.rules, plan, items, keys, distinct, extra)
    }

    fn items(
        &mut self,
        projection: &[ast::SelectItem],
        env: Env<'_>,
        titles: Option<&[String]>,
    ) -> Result<Vec<Item>, SqlError> {
        let titles = titles.filter(|titles| titles.len() == projection.len());
        let mut items = Vec::with_capacity(projection.len());
        for (at, item) in projection.iter().enumerate() {
            match item {
                ast::SelectItem::UnnamedExpr(expr) => {
                    let title = match (plain_title(expr), titles) {
                        (Some(title), _) => title,
                        (None, Some(titles)) => {
                            introduced_text(expr, &titles[at]).unwrap_or_else(|| titles[at].clone())
                        }
                        (None, None) => expr.to_string(),
                    };
                    items.push(self.item(expr, title, env)?);
                }
                ast::SelectItem::ExprWithAlias { expr, alias } => {
                    items.push(self.item(expr, alias.value.clone(), env)?);
                }
                ast::SelectItem::Wildcard(options) => {
                    refuse_wildcard_options(options)?;
                    if env.scope.columns.is_empty() {
                        return Err(SqlError::new(ErrorKind::NoTablesUsed, "No tables used"));
                    }
                    if let Some(rewrites) = &mut self.rewrites {
                        let star = options.wildcard_token.0.span;
                        rewrites.star(star.start, star, env.scope.all());
                    }
                    Scope::check_star(env.scope.all())?;
                    items.extend(env.scope.all().map(star_item));
                }
                ast::SelectItem::QualifiedWildcard(kind, options) => {
                    refuse_wildcard_options(options)?;
                    let ast::SelectItemQualifiedWildcardKind::ObjectName(name) = kind else {
                        return Err(SqlError::unsupported(kind));
                    };
                    let (database, table) = super::from::table_name(name)?;
                    let columns = env.scope.of_table(database, table);
                    if columns.is_empty() {
                        return Err(SqlError::new(
                            ErrorKind::UnknownTable,
                            format!("Unknown table '{table}'"),
                        ));
                    }
                    if let Some(rewrites) = &mut self.rewrites {
                        let star = options.wildcard_token.0.span;
                        rewrites.star(name.span().start, star, columns.iter().copied());
                    }
                    Scope::check_star(columns.iter().copied())?;
                    items.extend(columns.into_iter().map(star_item));
                }
                other => return Err(SqlError::unsupported(other)),
            }
        }
        Ok(items)
    }

    fn item(&mut self, expr: &ast::Expr, title: String, env: Env<'_>) -> Result<Item, SqlError> {
        let value = self.expr(expr, env)?;
        let column = match &value.expr {
            Expr::Column(column) => env.scope.of_plan(column),
            _ => None,
        };
        Ok(Item {
            title,
            table: column.map(|column| column.table.clone()).unwrap_or_default(),
            origin: column.and_then(|column| column.origin.clone()),
            value,
        })
    }

    fn grouping(
        &mut self,
        group_by: &ast::GroupByExpr,
        scope: &Scope,
        items: &[Item],
        aliases: &[Alias],
    ) -> Result<Grouping, SqlError> {
        let ast::GroupByExpr::Expressions(exprs, modifiers) = group_by else {
            return Err(SqlError::unsupported("GROUP BY ALL"));
        };
        let mut grouping = Grouping::default();
        for modifier in modifiers {
            match modifier {
                ast::GroupByWithModifier::Rollup => grouping.rollup = true,
                other => return Err(SqlError::unsupported(format_args!("GROUP BY .. {other}"))),
            }
        }
        let env = Env { aliases, ..Env::new(scope, Clause::Group) };
        for expr in exprs {
            let exprs = match expr {
                ast::Expr::Rollup(sets) => {
                    grouping.rollup = true;
                    sets.iter().flatten().collect()
                }
                expr => vec![expr],
            };
            for expr in exprs {
                let value = match ordinal(expr) {
                    Some(place) => item_at(items, place, Clause::Group)?.value.clone(),
                    None => self.expr(expr, env)?,
                };
                if super::aggregate::has_aggregate(&value.expr) {
                    return Err(SqlError::new(
                        ErrorKind::InvalidGroupFunction,
                        format!("Can't group on '{expr}'"),
                    ));
                }
                grouping.push(&self.rules, value)?;
            }
        }
        Ok(grouping)
    }

    /// `None`: a constant, which orders nothing.
    fn order_key(
        &mut self,
        key: &ast::OrderByExpr,
        items: &[Item],
        env: Env<'_>,
    ) -> Result<Option<Typed>, SqlError> {
        refuse_order_options(key)?;
        if let Some(place) = ordinal(&key.expr) {
            return Ok(Some(item_at(items, place, Clause::Order)?.value.clone()));
        }
        let value = self.expr(&key.expr, env)?;
        let constant = value.as_literal().is_some() || is_kept_constant(&value.expr);
        Ok(if constant { None } else { Some(value) })
    }

    fn grouped(
        &mut self,
        plan: LogicalPlan,
        scope: &Scope,
        mut grouping: Grouping,
        items: &mut [Item],
        having: &mut Option<Expr>,
        keys: &mut [Key],
    ) -> Result<LogicalPlan, SqlError> {
        let mut exprs: Vec<(Clause, &mut Expr)> = Vec::new();
        exprs.extend(items.iter_mut().map(|item| (Clause::FieldList, &mut item.value.expr)));
        exprs.extend(having.iter_mut().map(|having| (Clause::Having, having)));
        exprs.extend(keys.iter_mut().map(|key| (Clause::Order, &mut key.expr)));
        let grouped = grouping.correlated();
        let all = exprs.iter_mut().map(|(_, expr)| &mut **expr).chain(grouping.exprs_mut());
        let is_place = |expr: &Expr| matches!(expr, Expr::AggregateFunction(_)) || grouped.contains(expr);
        let plan = self.compute_below(plan, all, is_place)?;
        super::aggregate::aggregate(self.ctx.session.modes, plan, scope, grouping, &mut exprs)
    }

    /// ORDER BY over rows whose columns are known by their names: after a UNION.
    pub(super) fn order_rows(&mut self, rows: Rows, order: &[ast::OrderByExpr]) -> Result<Rows, SqlError> {
        if order.is_empty() {
            return Ok(rows);
        }
        let scope = output_scope(&rows);
        let mut sorts = Vec::with_capacity(order.len());
        for key in order {
            refuse_order_options(key)?;
            let value = match ordinal(&key.expr) {
                Some(place) => match place.checked_sub(1).and_then(|at| rows.columns.get(at)) {
                    Some(column) => column.typed(),
                    None => return Err(scope.unknown(named_ordinal(&place.to_string()), Clause::Order)),
                },
                None => {
                    let value = self.expr(&key.expr, Env::new(&scope, Clause::Order))?;
                    if value.as_literal().is_some() || is_kept_constant(&value.expr) {
                        continue;
                    }
                    value
                }
            };
            let ascending = key.options.asc.unwrap_or(true);
            let collation = self.rules.collation(&value);
            sorts.push(Key { expr: value.expr, ascending, ty: value.ty, collation }.sort()?);
        }
        Ok(Rows { plan: sort(rows.plan, sorts), columns: rows.columns })
    }
}

fn named_ordinal(name: &str) -> ColumnName<'_> {
    ColumnName { database: None, table: None, name }
}

/// The columns of rows as a scope.
pub(super) fn output_scope(rows: &Rows) -> Scope {
    let columns = rows.columns.iter().enumerate().map(|(ordinal, output)| super::scope::ScopeColumn {
        table: output.table.clone(),
        database: None,
        name: output.name.clone(),
        column: output.column.clone(),
        ty: output.ty,
        arrow: output.arrow.clone(),
        nullable: output.nullable,
        collation: output.collation,
        origin: output.origin.clone(),
        readable: None,
        visible: true,
        ordinal,
    });
    Scope { columns: columns.collect(), relations: Vec::new() }
}

fn star_item(column: &super::scope::ScopeColumn) -> Item {
    Item {
        title: column.name.clone(),
        value: column.typed(),
        table: column.table.clone(),
        origin: column.origin.clone(),
    }
}

/// The title of what needs no text of the statement: a column's name, a string's contents, a number; also in
/// parentheses and behind a plus.
fn plain_title(expr: &ast::Expr) -> Option<String> {
    match expr {
        ast::Expr::Nested(inner) | ast::Expr::UnaryOp { op: ast::UnaryOperator::Plus, expr: inner } => {
            plain_title(inner)
        }
        ast::Expr::Identifier(name) if !name.value.starts_with('@') => Some(name.value.clone()),
        ast::Expr::CompoundIdentifier(parts) if !parts.iter().any(|part| part.value.starts_with('@')) => {
            parts.last().map(|name| name.value.clone())
        }
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text)
            | ast::Value::DoubleQuotedString(text)
            | ast::Value::NationalStringLiteral(text) => Some(text.clone()),
            ast::Value::Placeholder(_) => Some("?".to_string()),
            ast::Value::Number(digits, _) => Some(digits.clone()),
            ast::Value::Null => Some("NULL".to_string()),
            ast::Value::Boolean(true) => Some("TRUE".to_string()),
            ast::Value::Boolean(false) => Some("FALSE".to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// The title of `_binary'text'`, written `title`: the string's contents.
fn introduced_text(expr: &ast::Expr, title: &str) -> Option<String> {
    let ast::Expr::Cast { expr: text, .. } = expr else { return None };
    let is_introduced = title.get(.."_binary".len())?.eq_ignore_ascii_case("_binary");
    plain_title(text).filter(|_| is_introduced)
}

/// The place that a bare integer of GROUP BY or ORDER BY means.
pub(super) fn ordinal(expr: &ast::Expr) -> Option<usize> {
    match expr {
        ast::Expr::Value(ast::ValueWithSpan { value: ast::Value::Number(digits, _), .. }) => {
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().unwrap_or(usize::MAX))
        }
        _ => None,
    }
}

fn is_empty(group_by: &ast::GroupByExpr) -> bool {
    matches!(group_by, ast::GroupByExpr::Expressions(exprs, _) if exprs.is_empty())
}

fn has_rollup(group_by: &ast::GroupByExpr) -> bool {
    let ast::GroupByExpr::Expressions(exprs, modifiers) = group_by else { return false };
    modifiers.contains(&ast::GroupByWithModifier::Rollup)
        || exprs.iter().any(|expr| matches!(expr, ast::Expr::Rollup(_)))
}

fn item_at(items: &[Item], place: usize, clause: Clause) -> Result<&Item, SqlError> {
    place
        .checked_sub(1)
        .and_then(|at| items.get(at))
        .ok_or_else(|| super::errors::unknown_column(&place.to_string(), clause, std::iter::empty()))
}

pub(super) fn sort(plan: LogicalPlan, keys: Vec<SortExpr>) -> LogicalPlan {
    if keys.is_empty() {
        return plan;
    }
    LogicalPlan::Sort(Sort { expr: keys, input: Arc::new(plan), fetch: None })
}

/// Computes window functions below the projection and puts their columns in their places.
fn add_windows(plan: LogicalPlan, items: &mut [Item], keys: &mut [Key]) -> Result<LogicalPlan, SqlError> {
    let exprs = || items.iter().map(|item| &item.value.expr).chain(keys.iter().map(|key| &key.expr));
    let windows = datafusion::logical_expr::utils::find_window_exprs(exprs());
    if windows.is_empty() {
        return Ok(plan);
    }
    let plan = LogicalPlanBuilder::window_plan(plan, windows.clone()).map_err(planning)?;
    let replace = |expr: &mut Expr| -> Result<(), SqlError> {
        let taken = std::mem::take(expr);
        *expr = taken
            .transform_down(|expr| {
                if windows.contains(&expr) {
                    let column = Expr::Column(Column::from_name(expr.schema_name().to_string()));
                    return Ok(Transformed::new(
                        column,
                        true,
                        datafusion::common::tree_node::TreeNodeRecursion::Jump,
                    ));
                }
                Ok(Transformed::no(expr))
            })
            .data()
            .map_err(planning)?;
        Ok(())
    };
    for item in items.iter_mut() {
        replace(&mut item.value.expr)?;
    }
    for key in keys.iter_mut() {
        replace(&mut key.expr)?;
    }
    Ok(plan)
}

/// Projection, DISTINCT and ORDER BY. The columns `extra` follow those of the items.
fn finish(
    rules: &Rules,
    plan: LogicalPlan,
    items: Vec<Item>,
    keys: Vec<Key>,
    distinct: bool,
    extra: Vec<Expr>,
) -> Result<Rows, SqlError> {
    let names = unique_names(items.iter().map(|item| item.title.as_str()));
    // A plain column under its own name stays itself: what is pulled out of a subquery finds it there.
    let outputs: Vec<Column> = items
        .iter()
        .zip(&names)
        .map(|(item, name)| match &item.value.expr {
            Expr::Column(column) if column.name == *name => column.clone(),
            _ => Column::from_name(name),
        })
        .collect();
    let mut exprs: Vec<Expr> = items
        .iter()
        .zip(&outputs)
        .map(|(item, output)| match &item.value.expr {
            Expr::Column(column) if column == output => item.value.expr.clone(),
            expr => named(expr.clone(), &output.name),
        })
        .collect();
    let shown = items.len() + extra.len();
    let extra_columns: Vec<Column> =
        extra.iter().map(|expr| Column::from_name(expr.schema_name().to_string())).collect();
    exprs.extend(extra);
    let mut sorts = Vec::with_capacity(keys.len());
    for key in keys {
        let place = items.iter().position(|item| item.value.expr == key.expr);
        let column = match place {
            Some(at) => outputs[at].clone(),
            None if distinct => {
                return Err(SqlError::new(
                    ErrorKind::OrderNotInDistinct,
                    format!(
                        "Expression #{} of ORDER BY clause is not in SELECT list; this is incompatible with DISTINCT",
                        sorts.len() + 1
                    ),
                ));
            }
            None => {
                let name = format!("__order_{}", sorts.len() + 1);
                exprs.push(named(key.expr.clone(), &name));
                Column::from_name(name)
            }
        };
        let expr = Expr::Column(column);
        sorts.push(Key { expr, ..key }.sort()?);
    }
    let hidden = exprs.len() > shown;
    let mut plan = project(plan, exprs)?;
    let columns: Vec<Output> = items
        .into_iter()
        .zip(&outputs)
        .map(|(item, column)| Output {
            collation: rules.output(&item.value),
            name: item.title,
            column: column.clone(),
            ty: item.value.ty,
            arrow: item.value.arrow,
            nullable: item.value.nullable,
            table: item.table,
            origin: item.origin,
        })
        .collect();
    if distinct {
        plan = distinct_rows(plan, &columns.iter().map(Output::compared).collect::<Vec<_>>())?;
    }
    plan = sort(plan, sorts);
    if hidden {
        let columns = outputs.iter().chain(&extra_columns);
        plan = project(plan, columns.map(|column| Expr::Column(column.clone())).collect())?;
    }
    Ok(Rows { plan, columns })
}

pub(super) fn refuse_order_options(key: &ast::OrderByExpr) -> Result<(), SqlError> {
    if key.options.nulls_first.is_some() {
        return Err(SqlError::unsupported("NULLS FIRST and NULLS LAST"));
    }
    if key.with_fill.is_some() {
        return Err(SqlError::unsupported("WITH FILL"));
    }
    Ok(())
}

fn refuse_wildcard_options(options: &ast::WildcardAdditionalOptions) -> Result<(), SqlError> {
    let plain = options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_alias.is_none();
    if plain { Ok(()) } else { Err(SqlError::unsupported("options of *")) }
}

pub(super) fn refuse_unsupported(select: &ast::Select) -> Result<(), SqlError> {
    let refused = [
        (select.into.is_some(), "SELECT .. INTO"),
        (select.top.is_some(), "TOP"),
        (select.exclude.is_some(), "EXCLUDE"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.cluster_by.is_empty(), "CLUSTER BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!select.sort_by.is_empty(), "SORT BY"),
        (select.qualify.is_some(), "QUALIFY"),
        (select.value_table_mode.is_some(), "SELECT AS VALUE"),
        (matches!(select.distinct, Some(ast::Distinct::On(_))), "DISTINCT ON"),
        (
            // The others are hints.
            select.select_modifiers.as_ref().is_some_and(|modifiers| modifiers.sql_calc_found_rows),
            "SQL_CALC_FOUND_ROWS",
        ),
    ];
    match refused.into_iter().find(|(there, _)| *there) {
        Some((_, what)) => Err(SqlError::unsupported(what)),
        None => Ok(()),
    }
}
