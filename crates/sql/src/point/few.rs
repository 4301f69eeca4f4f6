//! Conditions that a key leads to few rows by, and queries over those rows.
//!
//! A condition compares a column with a value, or with several, in the way that the storage compares its
//! values: a value of another kind than the column's needs a plan, see [`super`]. What a query makes of the
//! rows (an order, groups, sums) does not depend on values, so it is planned once, over rows that are at
//! hand: [`Shape::Plan`] is the query without its conditions and its limit.

use super::{BARE, Names, as_select, bare, compared_value, is_value, is_wildcard, only_table};
use crate::convert::Context;
use crate::literal::literal;
use sqlparser::ast;
use std::collections::BTreeSet;
use types::{SqlType, TableDef, Value};

/// Conditions of a statement at most.
const MOST_CONDITIONS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Eq,
    NotEq,
    Less,
    LessEq,
    Greater,
    GreaterEq,
}

/// Conditions on columns, by their places in the table, that all have to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct FewConditions(Vec<(usize, Test)>);

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Compare(Comparison, Box<ast::Expr>),
    In(Vec<ast::Expr>),
    Null,
    NotNull,
}

/// A condition with its values, which are of the column's kind and none of which is NULL.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    Compare { place: usize, op: Comparison, value: Value },
    In { place: usize, values: Vec<Value> },
    Null { place: usize },
    NotNull { place: usize },
}

#[derive(Debug, Clone, PartialEq)]
pub struct FewSelect {
    pub conditions: FewConditions,
    pub shape: Shape,
    /// The query without conditions and limit, which has the same columns.
    pub query: Box<ast::Query>,
    /// How the rows are locked.
    pub lock: Option<ast::LockType>,
    limit: Option<Box<ast::Expr>>,
    offset: Option<Box<ast::Expr>>,
}

/// What a query makes of its rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// It shows columns, by their places in the table.
    Columns(Vec<usize>),
    /// More, to be planned.
    Plan,
}

/// Which rows of a result are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    pub skip: u64,
    pub fetch: u64,
}

pub(super) fn select(query: &ast::Query, def: &TableDef) -> Option<FewSelect> {
    let select = as_select(query)?;
    let (limit, offset) = match &query.limit_clause {
        None => (None, None),
        Some(ast::LimitClause::LimitOffset { limit: Some(limit), offset, limit_by })
            if limit_by.is_empty() =>
        {
            (Some(Box::new(limit.clone())), offset.as_ref().map(|offset| Box::new(offset.value.clone())))
        }
        Some(ast::LimitClause::OffsetCommaLimit { offset, limit }) => {
            (Some(Box::new(limit.clone())), Some(Box::new(offset.clone())))
        }
        Some(_) => return None,
    };
    let lock = match query.locks.as_slice() {
        [] => None,
        [ast::LockClause { lock_type, of: None, nonblock: None }] => Some(*lock_type),
        _ => return None,
    };
    let mut expected = BARE.as_ref()?.as_ref().clone();
    expected.order_by = query.order_by.clone();
    {
        let ast::SetExpr::Select(expected) = &mut *expected.body else { return None };
        expected.projection = select.projection.clone();
        expected.from = select.from.clone();
        expected.distinct = select.distinct.clone();
        expected.group_by = select.group_by.clone();
    }
    // What is left once everything is taken that is looked at here.
    let mut rest = query.clone();
    rest.limit_clause = None;
    rest.locks = Vec::new();
    let ast::SetExpr::Select(rest_select) = &mut *rest.body else { return None };
    let condition = rest_select.selection.take()?;
    if rest != expected {
        return None;
    }
    let names = Names { def, shown: only_table(select)? };
    let conditions = names.few(&condition)?;
    let is_plain = query.order_by.is_none()
        && select.distinct.is_none()
        && select.group_by == as_select(BARE.as_ref()?)?.group_by;
    let shape = match names.plain_columns(&select.projection).filter(|_| is_plain) {
        Some(columns) => Shape::Columns(columns),
        None => {
            // Which rows are locked is not for the rest of the query to decide.
            if lock.is_some() || !names.may_be_planned_once(query, select) {
                return None;
            }
            Shape::Plan
        }
    };
    Some(FewSelect { conditions, shape, query: Box::new(rest), lock, limit, offset })
}

impl Names<'_> {
    /// Conditions of which at least one is on the first column of a key.
    pub(super) fn few(&self, condition: &ast::Expr) -> Option<FewConditions> {
        let mut conditions = Vec::new();
        self.tests(condition, &mut conditions)?;
        let leads = |first: Option<&types::ColumnId>| {
            let place = first.and_then(|id| self.def.position(*id));
            conditions.iter().any(|(at, test)| {
                let leads = matches!(test, Test::In(_))
                    || matches!(test, Test::Compare(op, _) if *op != Comparison::NotEq);
                Some(*at) == place && leads
            })
        };
        let has_key =
            leads(self.def.primary_key.first()) || self.def.keys.iter().any(|key| leads(key.columns.first()));
        has_key.then_some(FewConditions(conditions))
    }

    fn tests(&self, condition: &ast::Expr, out: &mut Vec<(usize, Test)>) -> Option<()> {
        use ast::BinaryOperator as Op;
        let is_bounded = out.len() < MOST_CONDITIONS;
        let (column, test) = match bare(condition) {
            ast::Expr::BinaryOp { left, op: Op::And, right } => {
                self.tests(left, out)?;
                return self.tests(right, out);
            }
            ast::Expr::BinaryOp { left, op, right } => {
                let op = match op {
                    Op::Eq => Comparison::Eq,
                    Op::NotEq => Comparison::NotEq,
                    Op::Lt => Comparison::Less,
                    Op::LtEq => Comparison::LessEq,
                    Op::Gt => Comparison::Greater,
                    Op::GtEq => Comparison::GreaterEq,
                    _ => return None,
                };
                let (column, op, value) = match self.column(left) {
                    Some(column) => (column, op, right),
                    None => (self.column(right)?, turned(op), left),
                };
                (self.compared(column)?, Test::Compare(op, Box::new(self.value_for(column, value)?)))
            }
            ast::Expr::Between { expr, negated: false, low, high } => {
                let column = self.column(expr)?;
                let compared = self.compared(column)?;
                let low = Test::Compare(Comparison::GreaterEq, Box::new(self.value_for(column, low)?));
                out.push((compared, low));
                (compared, Test::Compare(Comparison::LessEq, Box::new(self.value_for(column, high)?)))
            }
            ast::Expr::InList { expr, list, negated: false } => {
                let column = self.column(expr)?;
                let values = list.iter().map(|value| self.value_for(column, value));
                (self.compared(column)?, Test::In(values.collect::<Option<Vec<_>>>()?))
            }
            ast::Expr::IsNull(expr) => (self.column(expr)?, Test::Null),
            ast::Expr::IsNotNull(expr) => (self.column(expr)?, Test::NotNull),
            _ => return None,
        };
        out.push((column, test));
        is_bounded.then_some(())
    }

    /// What is compared in the place of a column: itself, or its collation key. `None`: it compares by
    /// another collation than that of bytes, and the table does not keep its keys.
    fn compared(&self, column: usize) -> Option<usize> {
        let own = self.def.columns.get(column)?;
        let compared = self.def.compared(own.id);
        let is_by_bytes = !own.ty.is_string() || own.collation.is_bytes();
        if compared == own.id { is_by_bytes.then_some(column) } else { self.def.position(compared) }
    }

    /// A value that a column is compared with, if the column is of a type that is compared here.
    fn value_for(&self, column: usize, value: &ast::Expr) -> Option<ast::Expr> {
        let ty = self.def.columns.get(column)?.ty;
        let is_compared =
            ty.is_integer() && ty != SqlType::Year || matches!(ty, SqlType::Char(_) | SqlType::VarChar(_));
        (is_compared && is_value(value)).then(|| bare(value).clone())
    }

    /// Whether what a query makes of its rows depends on nothing but them and its text: columns, plain
    /// aggregates of them, and numbers.
    fn may_be_planned_once(&self, query: &ast::Query, select: &ast::Select) -> bool {
        let group_by = match &select.group_by {
            ast::GroupByExpr::Expressions(keys, modifiers) if modifiers.is_empty() => keys.as_slice(),
            _ => return false,
        };
        let order_by = match &query.order_by {
            None => &[][..],
            Some(ast::OrderBy { kind: ast::OrderByKind::Expressions(keys), interpolate: None }) => keys,
            Some(_) => return false,
        };
        let mut aliases = BTreeSet::new();
        let shown = select.projection.iter().all(|item| match item {
            ast::SelectItem::UnnamedExpr(expr) => self.is_plain_output(expr) || is_number(expr),
            ast::SelectItem::ExprWithAlias { expr, alias } => {
                aliases.insert(alias.value.to_lowercase());
                self.is_plain_output(expr) || is_number(expr)
            }
            item => is_wildcard(item),
        });
        let is_alias = |expr: &ast::Expr| match bare(expr) {
            ast::Expr::Identifier(name) => aliases.contains(&name.value.to_lowercase()),
            _ => false,
        };
        shown
            && matches!(select.distinct, None | Some(ast::Distinct::Distinct))
            && group_by.iter().all(|key| self.column(bare(key)).is_some())
            && order_by.iter().all(|key| {
                key.with_fill.is_none() && (self.is_plain_output(&key.expr) || is_alias(&key.expr))
            })
    }

    /// A column, or an aggregate of one.
    fn is_plain_output(&self, expr: &ast::Expr) -> bool {
        let ast::Expr::Function(function) = bare(expr) else { return self.column(bare(expr)).is_some() };
        let Some(name) = function.name.0.last().and_then(|part| part.as_ident()) else { return false };
        let ast::FunctionArguments::List(list) = &function.args else { return false };
        let is_bare = function.name.0.len() == 1
            && !function.uses_odbc_syntax
            && function.parameters == ast::FunctionArguments::None
            && function.filter.is_none()
            && function.null_treatment.is_none()
            && function.over.is_none()
            && function.within_group.is_empty()
            && list.clauses.is_empty();
        let [ast::FunctionArg::Unnamed(argument)] = list.args.as_slice() else { return false };
        let of = match argument {
            ast::FunctionArgExpr::Wildcard => None,
            ast::FunctionArgExpr::Expr(expr) => match self.column(bare(expr)) {
                Some(place) => Some(self.def.columns[place].ty),
                None => return false,
            },
            _ => return false,
        };
        is_bare
            && match (name.value.to_lowercase().as_str(), of) {
                ("count", _) => true,
                ("min" | "max", of) => of.is_some(),
                // Times as numbers depend on the session's zone.
                ("sum" | "avg", Some(ty)) => ty.is_integer() || matches!(ty, SqlType::Decimal { .. }),
                _ => false,
            }
    }
}

fn is_number(expr: &ast::Expr) -> bool {
    matches!(bare(expr), ast::Expr::Value(value) if matches!(value.value, ast::Value::Number(..)))
}

/// The comparison with its sides changed.
fn turned(op: Comparison) -> Comparison {
    match op {
        Comparison::Less => Comparison::Greater,
        Comparison::LessEq => Comparison::GreaterEq,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterEq => Comparison::LessEq,
        Comparison::Eq | Comparison::NotEq => op,
    }
}

impl FewConditions {
    /// The conditions with their values. `None`: a plan has to look at these.
    pub fn values(&self, def: &TableDef, parameters: &[Value], context: &Context) -> Option<Vec<Condition>> {
        self.0
            .iter()
            .map(|(place, test)| {
                let place = *place;
                let value =
                    |expr: &ast::Expr| compared_value(literal(expr, parameters, context).ok()??, def, place);
                Some(match test {
                    Test::Compare(op, expr) => Condition::Compare { place, op: *op, value: value(expr)? },
                    Test::In(list) => {
                        Condition::In { place, values: list.iter().map(value).collect::<Option<_>>()? }
                    }
                    Test::Null => Condition::Null { place },
                    Test::NotNull => Condition::NotNull { place },
                })
            })
            .collect()
    }
}

impl Condition {
    /// The values that a column must have one of, if this condition says so.
    pub fn equal(&self, column: usize) -> Option<&[Value]> {
        match self {
            Condition::Compare { place, op: Comparison::Eq, value } if *place == column => {
                Some(std::slice::from_ref(value))
            }
            Condition::In { place, values } if *place == column => Some(values),
            _ => None,
        }
    }
}

impl FewSelect {
    /// Which rows are shown. `None`: a plan has to say.
    pub fn slice(&self, parameters: &[Value], context: &Context) -> Option<Slice> {
        let count = |expr: &Option<Box<ast::Expr>>, default| match expr {
            None => Some(default),
            Some(expr) => match literal(expr, parameters, context).ok()?? {
                Value::Int(count) => u64::try_from(count).ok(),
                Value::UInt(count) => Some(count),
                _ => None,
            },
        };
        Some(Slice { skip: count(&self.offset, 0)?, fetch: count(&self.limit, u64::MAX)? })
    }
}
