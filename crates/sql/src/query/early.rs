//! Calls that are carried out before the statement around them is bound: GET_LOCK() and its kin, which ask the
//! cluster and wait, and BENCHMARK(), which takes long. Binding evaluates constants on a thread that must do neither.
//!
//! They are found where they are evaluated once, whatever else is: in DO, in SET, and in the select list of a query
//! without tables, outside of branches. There each becomes the literal of what it gave, from left to right. Where they
//! stand elsewhere, binding meets and refuses them; and so what stands after SLEEP() or a subquery, which are only
//! evaluated with the rest of the statement.

use sqlparser::ast::{self, Visit, Visitor};
use std::ops::ControlFlow;
use types::SqlError;

const NAMES: [&str; 6] =
    ["BENCHMARK", "GET_LOCK", "IS_FREE_LOCK", "IS_USED_LOCK", "RELEASE_ALL_LOCKS", "RELEASE_LOCK"];

/// Functions that may leave all arguments but the first alone.
const BRANCHING: [&str; 5] = ["COALESCE", "ELT", "IF", "IFNULL", "NVL"];

/// Calls are looked for in expressions that nest so deep.
const DEPTH: usize = 100;

/// A call, with arguments of the types that it takes.
#[derive(Debug, Clone, PartialEq)]
pub enum EarlyCall {
    GetLock { name: ast::Expr, timeout: ast::Expr },
    ReleaseLock { name: ast::Expr },
    ReleaseAllLocks,
    IsFreeLock { name: ast::Expr },
    IsUsedLock { name: ast::Expr },
    Benchmark { count: ast::Expr, expr: ast::Expr },
}

impl EarlyCall {
    /// What an expression asks for that [`early_calls`] or [`early_calls_of_query`] found. Error: 1582.
    pub fn of(expr: &ast::Expr) -> Result<EarlyCall, SqlError> {
        let Some((name, function)) = call(expr) else {
            return Err(super::planning_bug(format_args!("{expr} is no call")));
        };
        let args = match &function.args {
            ast::FunctionArguments::List(list)
                if list.duplicate_treatment.is_none() && list.clauses.is_empty() =>
            {
                list.args.iter().map(super::calls::plain_argument).collect::<Result<Vec<_>, _>>()?
            }
            _ => return Err(super::calls::wrong_count(&name)),
        };
        let text = |expr| cast(expr, ast::DataType::Char(None));
        let number = |expr| cast(expr, ast::DataType::Signed);
        Ok(match (name.as_str(), args.as_slice()) {
            ("GET_LOCK", [name, timeout]) => {
                EarlyCall::GetLock { name: text(name), timeout: number(timeout) }
            }
            ("RELEASE_LOCK", [name]) => EarlyCall::ReleaseLock { name: text(name) },
            ("RELEASE_ALL_LOCKS", []) => EarlyCall::ReleaseAllLocks,
            ("IS_FREE_LOCK", [name]) => EarlyCall::IsFreeLock { name: text(name) },
            ("IS_USED_LOCK", [name]) => EarlyCall::IsUsedLock { name: text(name) },
            ("BENCHMARK", [count, expr]) => {
                EarlyCall::Benchmark { count: number(count), expr: ast::Expr::clone(expr) }
            }
            _ => return Err(super::calls::wrong_count(&name)),
        })
    }
}

fn cast(expr: &ast::Expr, data_type: ast::DataType) -> ast::Expr {
    let expr = Box::new(expr.clone());
    ast::Expr::Cast { kind: ast::CastKind::Cast, expr, data_type, array: false, format: None }
}

/// The literal of what a call gave.
pub fn early_result(value: Option<u64>) -> ast::Expr {
    match value {
        Some(number) => ast::Expr::Value(ast::Value::Number(number.to_string(), false).into()),
        None => cast(&ast::Expr::Value(ast::Value::Null.into()), ast::DataType::Signed),
    }
}

/// Whether a name, in capitals, is that of such a function.
pub(super) fn is_early(name: &str) -> bool {
    NAMES.contains(&name)
}

/// What binding says of a call that it meets.
pub(super) fn refused(name: &str) -> SqlError {
    SqlError::unsupported(format_args!(
        "{name}() in this place: it works in DO, in SET and in a SELECT without tables, WHERE and LIMIT, outside of \
         branches and not after SLEEP() or a subquery"
    ))
}

/// The name of a call, in capitals, and the call.
fn called(expr: &ast::Expr) -> Option<(String, &ast::Function)> {
    let ast::Expr::Function(function) = expr else { return None };
    match function.name.0.as_slice() {
        [ast::ObjectNamePart::Identifier(name)] if function.over.is_none() && function.filter.is_none() => {
            Some((name.value.to_ascii_uppercase(), function))
        }
        _ => None,
    }
}

fn call(expr: &ast::Expr) -> Option<(String, &ast::Function)> {
    called(expr).filter(|(name, _)| is_early(name))
}

/// Whether there are calls in an expression, wherever they stand.
pub fn has_early_calls(expr: &ast::Expr) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
            if call(expr).is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    expr.visit(&mut Finder).is_break()
}

/// The calls of an expression that is evaluated once, in their order.
pub fn early_calls(expr: &mut ast::Expr) -> Vec<&mut ast::Expr> {
    let mut found = Found::default();
    find(expr, DEPTH, &mut found);
    found.calls
}

/// The calls in the select list of a query, in their order.
pub fn early_calls_of_query(query: &mut ast::Query) -> Vec<&mut ast::Expr> {
    let mut found = Found::default();
    if evaluates_once(query)
        && let ast::SetExpr::Select(select) = query.body.as_mut()
    {
        for item in &mut select.projection {
            if let ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } = item {
                find(expr, DEPTH, &mut found);
            }
        }
    }
    found.calls
}

/// Whether [`early_calls_of_query`] may find any.
pub fn may_have_early_calls(query: &ast::Query) -> bool {
    let is_call = |item: &ast::SelectItem| match item {
        ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } => {
            has_early_calls(expr)
        }
        _ => false,
    };
    match query.body.as_ref() {
        ast::SetExpr::Select(select) => evaluates_once(query) && select.projection.iter().any(is_call),
        _ => false,
    }
}

/// The query as it is described before its calls can be carried out; `None`: it has none.
pub fn without_early_calls(query: &ast::Query) -> Option<ast::Query> {
    if !may_have_early_calls(query) {
        return None;
    }
    let mut query = query.clone();
    for place in early_calls_of_query(&mut query) {
        *place = early_result(None);
    }
    Some(query)
}

/// A query that binds if the query does whose calls are to be carried out: it selects the arguments of these too.
/// `None`: it has none. Error: 1582.
pub fn query_before_calls(query: &ast::Query) -> Result<Option<ast::Query>, SqlError> {
    if !may_have_early_calls(query) {
        return Ok(None);
    }
    let mut query = query.clone();
    let mut arguments = Vec::new();
    set_aside(early_calls_of_query(&mut query), &mut arguments)?;
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        select.projection.extend(arguments.into_iter().map(ast::SelectItem::UnnamedExpr));
    }
    Ok(Some(query))
}

fn set_aside(calls: Vec<&mut ast::Expr>, arguments: &mut Vec<ast::Expr>) -> Result<(), SqlError> {
    for place in calls {
        let of_call = match EarlyCall::of(place)? {
            EarlyCall::GetLock { name, timeout } => vec![name, timeout],
            EarlyCall::ReleaseLock { name }
            | EarlyCall::IsFreeLock { name }
            | EarlyCall::IsUsedLock { name } => vec![name],
            // Its expression is bound when it is evaluated, if ever.
            EarlyCall::Benchmark { count, .. } => vec![count],
            EarlyCall::ReleaseAllLocks => Vec::new(),
        };
        *place = early_result(None);
        for mut argument in of_call {
            set_aside(early_calls(&mut argument), arguments)?;
            arguments.push(argument);
        }
    }
    Ok(())
}

/// Whether a query has one row of expressions, whatever these are.
fn evaluates_once(query: &ast::Query) -> bool {
    let ast::SetExpr::Select(select) = query.body.as_ref() else { return false };
    let is_dual = |from: &ast::TableWithJoins| match &from.relation {
        ast::TableFactor::Table { name, alias: None, .. } => {
            from.joins.is_empty() && name.to_string().eq_ignore_ascii_case("dual")
        }
        _ => false,
    };
    let is_grouped = match &select.group_by {
        ast::GroupByExpr::Expressions(keys, _) => !keys.is_empty(),
        ast::GroupByExpr::All(_) => true,
    };
    query.with.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && select.from.iter().all(is_dual)
        && select.selection.is_none()
        && select.having.is_none()
        && !is_grouped
}

/// Whether an expression has SLEEP() or a subquery in it, other than in calls that are carried out early.
fn has_later(expr: &ast::Expr) -> bool {
    #[derive(Default)]
    struct Finder {
        calls: usize,
    }
    impl Visitor for Finder {
        type Break = ();

        fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
            if self.calls == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }

        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
            match called(expr) {
                Some((name, _)) if is_early(&name) => self.calls += 1,
                Some((name, _)) if name == "SLEEP" && self.calls == 0 => return ControlFlow::Break(()),
                _ => {}
            }
            ControlFlow::Continue(())
        }

        fn post_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
            if call(expr).is_some() {
                self.calls -= 1;
            }
            ControlFlow::Continue(())
        }
    }
    expr.visit(&mut Finder::default()).is_break()
}

#[derive(Default)]
struct Found<'a> {
    calls: Vec<&'a mut ast::Expr>,
    /// What comes now is evaluated after something that is not evaluated early.
    is_over: bool,
}

/// Finds the calls in an expression, as far as they come before SLEEP() and subqueries.
fn find<'a>(expr: &'a mut ast::Expr, depth: usize, found: &mut Found<'a>) {
    if found.is_over {
        return;
    }
    let is_over = has_later(expr);
    find_within(expr, depth, found);
    found.is_over |= is_over;
}

fn find_within<'a>(expr: &'a mut ast::Expr, depth: usize, found: &mut Found<'a>) {
    use ast::{BinaryOperator as B, Expr as E};
    if depth == 0 {
        return;
    }
    if call(expr).is_some() {
        found.calls.push(expr);
        return;
    }
    let branches = called(expr).is_some_and(|(name, _)| BRANCHING.contains(&name.as_str()));
    let mut go = |expr: &'a mut ast::Expr| find(expr, depth - 1, found);
    match expr {
        E::Nested(expr)
        | E::UnaryOp { expr, .. }
        | E::Cast { expr, .. }
        | E::Convert { expr, .. }
        | E::Collate { expr, .. }
        | E::InList { expr, .. }
        | E::Between { expr, .. }
        | E::IsNull(expr)
        | E::IsNotNull(expr)
        | E::IsTrue(expr)
        | E::IsNotTrue(expr)
        | E::IsFalse(expr)
        | E::IsNotFalse(expr)
        | E::IsUnknown(expr)
        | E::IsNotUnknown(expr) => go(expr),
        E::BinaryOp { left, op, right } => {
            go(left);
            if !matches!(op, B::And | B::Or | B::StringConcat) {
                go(right);
            }
        }
        E::Case { operand: Some(operand), .. } => go(operand),
        E::Case { conditions, .. } => {
            if let Some(first) = conditions.first_mut() {
                go(&mut first.condition);
            }
        }
        E::Function(ast::Function { args: ast::FunctionArguments::List(list), .. }) => {
            let count = if branches { 1 } else { list.args.len() };
            for arg in list.args.iter_mut().take(count) {
                if let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) = arg {
                    go(expr);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse_one;
    use crate::statement::Statement;
    use types::ErrorKind;

    fn query(text: &str) -> ast::Query {
        match parse_one(text).unwrap().statement {
            Statement::Query(query) => *query,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn calls_are_found_where_they_are_evaluated_once() {
        for (text, expected) in [
            ("SELECT GET_LOCK('a', 1)", vec!["GET_LOCK('a', 1)"]),
            (
                "SELECT get_lock('a', 1) = 1 AS l, NOW(), -release_lock('b') FROM DUAL",
                vec!["get_lock('a', 1)", "release_lock('b')"],
            ),
            ("SELECT IF(GET_LOCK('a', 1), GET_LOCK('b', 1), 0)", vec!["GET_LOCK('a', 1)"]),
            ("SELECT CASE WHEN IS_FREE_LOCK('a') THEN GET_LOCK('a', 1) END", vec!["IS_FREE_LOCK('a')"]),
            ("SELECT RELEASE_LOCK('a') AND RELEASE_LOCK('b')", vec!["RELEASE_LOCK('a')"]),
            (
                "SELECT CONCAT(IS_USED_LOCK('a'), '-', IS_USED_LOCK('b'))",
                vec!["IS_USED_LOCK('a')", "IS_USED_LOCK('b')"],
            ),
            ("SELECT BENCHMARK(5, GET_LOCK('a', 1))", vec!["BENCHMARK(5, GET_LOCK('a', 1))"]),
            ("SELECT GET_LOCK('a', 1) FROM t", vec![]),
            ("SELECT GET_LOCK('a', 1) WHERE 1 = 0", vec![]),
            ("SELECT GET_LOCK('a', 1) LIMIT 0", vec![]),
            ("SELECT GET_LOCK('a', 1) UNION SELECT 1", vec![]),
            ("SELECT (SELECT GET_LOCK('a', 1))", vec![]),
            ("SELECT GET_LOCK('a', 1), SLEEP(1), RELEASE_LOCK('a')", vec!["GET_LOCK('a', 1)"]),
            ("SELECT (SELECT 1), GET_LOCK('a', 1)", vec![]),
            (
                "SELECT GET_LOCK((SELECT 'a'), 1), IS_FREE_LOCK('a') + sleep(1) + IS_FREE_LOCK('b')",
                vec!["GET_LOCK((SELECT 'a'), 1)", "IS_FREE_LOCK('a')"],
            ),
        ] {
            let mut query = query(text);
            let found: Vec<String> =
                early_calls_of_query(&mut query).iter().map(|call| call.to_string()).collect();
            assert_eq!(found, expected, "{text}");
        }
        assert!(!may_have_early_calls(&query("SELECT 'GET_LOCK(1)', get_locks(1)")));
        let described = without_early_calls(&query("SELECT GET_LOCK(?, ?) + 1")).unwrap();
        assert_eq!(described.to_string(), "SELECT CAST(NULL AS SIGNED) + 1");
        let before = query_before_calls(&query("SELECT GET_LOCK(IS_FREE_LOCK('b'), 1)")).unwrap().unwrap();
        assert_eq!(
            before.to_string(),
            "SELECT CAST(NULL AS SIGNED), CAST('b' AS CHAR), CAST(CAST(NULL AS SIGNED) AS CHAR), CAST(1 AS SIGNED)"
        );
    }

    #[test]
    fn a_call_takes_its_arguments() {
        let of = |text: &str| EarlyCall::of(&crate::parse::parse_expr(text).unwrap());
        assert_eq!(of("RELEASE_ALL_LOCKS()"), Ok(EarlyCall::ReleaseAllLocks));
        let Ok(EarlyCall::GetLock { name, timeout }) = of("get_lock(CONCAT('a', 1), 0.5)") else { panic!() };
        assert_eq!(name.to_string(), "CAST(CONCAT('a', 1) AS CHAR)");
        assert_eq!(timeout.to_string(), "CAST(0.5 AS SIGNED)");
        for text in ["GET_LOCK('a')", "RELEASE_LOCK()", "RELEASE_ALL_LOCKS('a')", "BENCHMARK(1, 2, 3)"] {
            assert_eq!(of(text).unwrap_err().kind, ErrorKind::WrongNumberOfArguments, "{text}");
        }
    }
}
