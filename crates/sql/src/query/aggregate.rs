//! GROUP BY: the aggregate below a SELECT, and its columns in place of what they stand for.

use super::below::has_correlated;
use super::binder::planning;
use super::context::Modes;
use super::distinct::representative;
use super::errors::{Clause, invalid_group_function};
use super::scope::Scope;
use crate::analyzer::Typed;
use crate::analyzer::convert::Rules;
use crate::analyzer::operand::is_rounded_of;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::functions_aggregate::grouping::grouping_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, Case, Cast, GroupingSet};
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, Operator, binary_expr};
use std::collections::HashSet;
use std::sync::Arc;
use types::{ErrorKind, SqlError};

#[derive(Default)]
pub(super) struct Grouping {
    keys: Vec<Expr>,
    /// Texts that are grouped by their keys in `keys`, and those.
    texts: Vec<(Expr, Expr)>,
    pub(super) rollup: bool,
}

impl Grouping {
    pub(super) fn push(&mut self, rules: &Rules, value: Typed) -> Result<(), SqlError> {
        let text = value.expr.clone();
        let key = rules.group_value(value)?.expr;
        if self.keys.contains(&key) {
            return Ok(());
        }
        if key != text {
            self.texts.push((text, key.clone()));
        }
        self.keys.push(key);
        Ok(())
    }

    /// The grouped expressions as they are written that have correlated subqueries, and their keys.
    pub(super) fn correlated(&self) -> Vec<Expr> {
        let all = self.keys.iter().chain(self.texts.iter().map(|(text, _)| text));
        all.filter(|expr| has_correlated(expr)).cloned().collect()
    }

    /// The keys, and the texts that are grouped by some of them.
    pub(super) fn exprs_mut(&mut self) -> impl Iterator<Item = &mut Expr> {
        self.keys.iter_mut().chain(self.texts.iter_mut().flat_map(|(text, key)| [text, key]))
    }

    /// The key that a grouped expression stands for.
    fn key_of<'k>(&'k self, expr: &'k Expr) -> &'k Expr {
        self.texts.iter().find(|(text, _)| text == expr).map_or(expr, |(_, key)| key)
    }

    /// Puts, for each text that is grouped by its key, the text that stands for all of a group.
    fn represent(&self, expr: &mut Expr) -> Result<(), SqlError> {
        if self.texts.is_empty() {
            return Ok(());
        }
        replace(expr, |expr| match expr {
            Expr::AggregateFunction(_) => Some(expr.clone()),
            expr if self.keys.contains(expr) => Some(expr.clone()),
            expr => {
                self.texts.iter().find(|(text, _)| text == expr).map(|(text, _)| representative(text.clone()))
            }
        })
    }

    /// Puts, for a quotient that an expression computes with, the key that is the same quotient rounded.
    fn take_rounded(&self, expr: &mut Expr, schema: &DFSchema) -> Result<(), SqlError> {
        replace(expr, |expr| match expr {
            Expr::AggregateFunction(_) => Some(expr.clone()),
            expr if self.keys.contains(expr) => Some(expr.clone()),
            expr => {
                let key = self.keys.iter().find(|key| is_rounded_of(key, expr))?;
                let ty = expr.get_type(schema).ok()?;
                Some(Expr::Cast(Cast::new(Box::new(key.clone()), ty)))
            }
        })
    }

    /// 1 where ROLLUP has put rows of all values of this key together, else 0. `None`: it is no key.
    fn mark(&self, key: &Expr, fields: &[Expr]) -> Option<Expr> {
        let key = self.key_of(key);
        let at = self.keys.iter().position(|own| own == key)?;
        if !self.rollup {
            return Some(Expr::Literal(ScalarValue::Int32(Some(0)), None));
        }
        // The id of the grouping has a bit for each key, the last key's the lowest.
        let id = fields.get(self.keys.len())?.clone();
        let bits = Expr::Cast(Cast::new(Box::new(id), DataType::Int64));
        let shift = Expr::Literal(ScalarValue::Int64(Some((self.keys.len() - 1 - at) as i64)), None);
        let one = Expr::Literal(ScalarValue::Int64(Some(1)), None);
        let shifted = binary_expr(bits, Operator::BitwiseShiftRight, shift);
        let bit = binary_expr(shifted, Operator::BitwiseAnd, one);
        Some(Expr::Cast(Cast::new(Box::new(bit), DataType::Int32)))
    }

    /// By what ROLLUP orders its rows: by each key, the rows of all its values together after the others.
    pub(super) fn rollup_order(&self) -> Vec<Expr> {
        let mark = |key: &Expr| {
            let args = vec![key.clone()];
            Expr::AggregateFunction(AggregateFunction::new_udf(
                grouping_udaf(),
                args,
                false,
                None,
                Vec::new(),
                None,
            ))
        };
        match self.rollup {
            true => self.keys.iter().flat_map(|key| [mark(key), key.clone()]).collect(),
            false => Vec::new(),
        }
    }

    /// Whether a key is the column that this name means.
    pub(super) fn has_column_named(&self, scope: &Scope, name: &str) -> bool {
        self.keys.iter().chain(self.texts.iter().map(|(text, _)| text)).any(|key| match key {
            Expr::Column(column) => {
                scope.of_plan(column).is_some_and(|column| column.name.eq_ignore_ascii_case(name))
            }
            _ => false,
        })
    }

    /// Whether the keys hold the whole primary key of the relation that `column` is of.
    fn determines(&self, scope: &Scope, column: &Column) -> bool {
        let Some(relation) = &column.relation else { return false };
        scope.relations.iter().any(|own| {
            own.relation == relation.table()
                && !own.primary_key.is_empty()
                && own.primary_key.iter().all(|name| {
                    let column = Expr::Column(Column::new(Some(relation.clone()), name));
                    self.keys.iter().any(|key| *key == column || is_collation_key(key, &column))
                })
        })
    }
}

/// Whether an expression is the collation key of another.
fn is_collation_key(key: &Expr, text: &Expr) -> bool {
    match key {
        Expr::ScalarFunction(function) => {
            function.name() == "collation_key" && function.args.first() == Some(text)
        }
        _ => false,
    }
}

pub(super) fn has_aggregate(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(matches!(expr, Expr::AggregateFunction(_)))).unwrap_or(false)
}

/// Puts an Aggregate over `plan` if there are keys or aggregate functions, and rewrites `exprs` to
/// its columns.
pub(super) fn aggregate(
    modes: Modes,
    plan: LogicalPlan,
    scope: &Scope,
    mut grouping: Grouping,
    exprs: &mut [(Clause, &mut Expr)],
) -> Result<LogicalPlan, SqlError> {
    if grouping.keys.is_empty() && !exprs.iter().any(|(_, expr)| has_aggregate(expr)) {
        return Ok(plan);
    }
    let mut place = 0;
    let mut last = Clause::FieldList;
    for (clause, expr) in exprs.iter_mut() {
        place = if *clause == last { place + 1 } else { 1 };
        last = *clause;
        grouping.represent(expr)?;
        if !loose_columns(expr, &grouping.keys)?.is_empty() {
            grouping.take_rounded(expr, plan.schema())?;
        }
        for column in loose_columns(expr, &grouping.keys)? {
            if grouping.determines(scope, &column) {
                grouping.keys.push(Expr::Column(column));
            } else if modes.only_full_group_by {
                return Err(not_grouped(*clause, place, scope, &column, grouping.keys.is_empty()));
            } else {
                take_any(expr, &column, &grouping.keys)?;
            }
        }
    }
    let mut functions: Vec<Expr> = Vec::new();
    for (_, expr) in exprs.iter() {
        expr.apply(|expr| {
            if is_grouping(expr) {
                return Ok(TreeNodeRecursion::Jump);
            }
            if let Expr::AggregateFunction(_) = expr {
                if !functions.contains(expr) {
                    functions.push(expr.clone());
                }
                return Ok(TreeNodeRecursion::Jump);
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .map_err(planning)?;
    }
    if functions.iter().any(|function| function.exists(is_window).unwrap_or(false)) {
        return Err(invalid_group_function());
    }
    let keys = match grouping.rollup {
        true if !grouping.keys.is_empty() => {
            vec![Expr::GroupingSet(GroupingSet::Rollup(grouping.keys.clone()))]
        }
        _ if grouping.keys.len() > 1 => named_apart(&grouping.keys),
        _ => grouping.keys.clone(),
    };
    let aggregate = Aggregate::try_new(Arc::new(plan), keys, named_once(&functions)).map_err(planning)?;
    let fields: Vec<Expr> = {
        let schema = &aggregate.schema;
        (0..schema.fields().len()).map(|at| Expr::Column(Column::from(schema.qualified_field(at)))).collect()
    };
    // The keys' fields come first; with ROLLUP a field for the grouping id follows.
    let first_function = fields.len() - functions.len();
    for (_, expr) in exprs.iter() {
        let known = |key: &Expr| grouping.keys.contains(grouping.key_of(key));
        let unknown = expr.exists(|expr| Ok(grouping_argument(expr).is_some_and(|key| !known(key))));
        if unknown.map_err(planning)? {
            return Err(invalid_group_function());
        }
    }
    for (_, expr) in exprs.iter_mut() {
        // With ROLLUP a constant that is a key is NULL in some rows; elsewhere it is just the constant.
        if grouping.rollup
            && matches!(expr, Expr::Literal(..))
            && let Some(at) = grouping.keys.iter().position(|key| *key == **expr)
        {
            **expr = fields[at].clone();
            continue;
        }
        replace(expr, |expr| {
            if let Some(at) = functions.iter().position(|function| function == expr) {
                let field = fields[first_function + at].clone();
                let text = grouping.texts.iter().find(|(text, _)| representative(text.clone()) == *expr);
                return match text {
                    // Rows of all values together have none.
                    Some((_, key)) if grouping.rollup => {
                        let mark = grouping.mark(key, &fields)?;
                        let one = Expr::Literal(ScalarValue::Int32(Some(0)), None);
                        let own = binary_expr(mark, Operator::Eq, one);
                        Some(Expr::Case(Case::new(None, vec![(Box::new(own), Box::new(field))], None)))
                    }
                    _ => Some(field),
                };
            }
            if matches!(expr, Expr::Literal(..)) {
                return None;
            }
            if let Some(key) = grouping_argument(expr) {
                return grouping.mark(key, &fields);
            }
            grouping.keys.iter().position(|key| key == expr).map(|at| fields[at].clone())
        })?;
    }
    Ok(LogicalPlan::Aggregate(aggregate))
}

/// The keys with names that no rule takes for each other's: two of the same columns may be simplified to one
/// column and a cast of it, which would be called alike.
fn named_apart(keys: &[Expr]) -> Vec<Expr> {
    let columns: Vec<_> = keys.iter().map(Expr::column_refs).collect();
    let alone =
        |at: usize| (0..keys.len()).all(|other| other == at || columns[at].is_disjoint(&columns[other]));
    let named = |(at, key): (usize, &Expr)| match key {
        Expr::Column(_) => key.clone(),
        _ if alone(at) => key.clone(),
        _ => key.clone().alias(format!("__key{at}")),
    };
    keys.iter().enumerate().map(named).collect()
}

/// The functions with a name of its own for each: a cast does not show in a name.
fn named_once(functions: &[Expr]) -> Vec<Expr> {
    let mut names = HashSet::new();
    let named = |(at, function): (usize, &Expr)| match names.insert(function.schema_name().to_string()) {
        true => function.clone(),
        false => function.clone().alias(format!("__function{at}")),
    };
    functions.iter().enumerate().map(named).collect()
}

fn grouping_argument(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::AggregateFunction(call) if call.func.name() == "grouping" => call.params.args.first(),
        _ => None,
    }
}

fn is_grouping(expr: &Expr) -> bool {
    grouping_argument(expr).is_some()
}

fn is_window(expr: &Expr) -> datafusion::common::Result<bool> {
    Ok(matches!(expr, Expr::WindowFunction(_)))
}

/// Replaces the greatest subexpressions that `by` knows.
fn replace(expr: &mut Expr, by: impl Fn(&Expr) -> Option<Expr>) -> Result<(), SqlError> {
    let taken = std::mem::take(expr);
    *expr = taken
        .transform_down(|expr| match by(&expr) {
            Some(other) => Ok(Transformed::new(other, true, TreeNodeRecursion::Jump)),
            None => Ok(Transformed::no(expr)),
        })
        .data()
        .map_err(planning)?;
    Ok(())
}

/// Columns outside of keys and aggregate functions.
fn loose_columns(expr: &Expr, keys: &[Expr]) -> Result<Vec<Column>, SqlError> {
    let mut columns = Vec::new();
    expr.apply(|expr| {
        if matches!(expr, Expr::AggregateFunction(_)) || keys.contains(expr) {
            return Ok(TreeNodeRecursion::Jump);
        }
        if let Expr::Column(column) = expr
            && !columns.contains(column)
        {
            columns.push(column.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(planning)?;
    Ok(columns)
}

/// Without ONLY_FULL_GROUP_BY: the column of any row of the group.
fn take_any(expr: &mut Expr, column: &Column, keys: &[Expr]) -> Result<(), SqlError> {
    replace(expr, |expr| match expr {
        Expr::AggregateFunction(_) => Some(expr.clone()),
        Expr::Column(own) if own == column => Some(any_value(expr.clone())),
        expr if keys.contains(expr) => Some(expr.clone()),
        _ => None,
    })
}

pub(super) fn any_value(expr: Expr) -> Expr {
    Expr::AggregateFunction(AggregateFunction::new_udf(
        first_value_udaf(),
        vec![expr],
        false,
        None,
        Vec::new(),
        None,
    ))
}

fn not_grouped(clause: Clause, place: usize, scope: &Scope, column: &Column, no_keys: bool) -> SqlError {
    let own = scope.of_plan(column);
    let name = match own {
        Some(own) => match &own.database {
            Some(database) => format!("{database}.{}.{}", own.table, own.name),
            None => format!("{}.{}", own.table, own.name),
        },
        None => column.name.clone(),
    };
    if clause == Clause::Having {
        let bare = own.map_or(column.name.as_str(), |own| own.name.as_str());
        return super::errors::unknown_column(bare, clause, std::iter::empty());
    }
    let list = if clause == Clause::Order { "ORDER BY clause" } else { "SELECT list" };
    let message = if no_keys {
        format!(
            "In aggregated query without GROUP BY, expression #{place} of {list} contains nonaggregated column \
             '{name}'; this is incompatible with sql_mode=only_full_group_by"
        )
    } else {
        format!(
            "Expression #{place} of {list} is not in GROUP BY clause and contains nonaggregated column '{name}' \
             which is not functionally dependent on columns in GROUP BY clause; this is incompatible with \
             sql_mode=only_full_group_by; group by it too, or take ANY_VALUE() of it"
        )
    };
    let kind = if no_keys { ErrorKind::MixOfGroupFunctions } else { ErrorKind::WrongFieldWithGroup };
    SqlError::new(kind, message)
}
