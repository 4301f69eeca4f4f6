//! Which values of conditions stay open, and for which others a plan is good.

use super::*;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Expr;

/// The open query of a text with `?`.
fn open(text: &str, parameters: &[Value]) -> Result<Option<OpenQuery>, SqlError> {
    let query = parse_query(text)?;
    bind_open(&query, &BindContext { tables: &*DATABASE, session: session(), parameters, text })
}

/// The plan's constants for these values; `None`: another plan is wanted.
fn constants(open: &OpenQuery, parameters: &[Value]) -> Option<Vec<ScalarValue>> {
    open.open.constants(&BindContext { tables: &*DATABASE, session: session(), parameters, text: "" })
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn placeholders(plan: &LogicalPlan) -> usize {
    let mut count = 0;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                count += usize::from(matches!(expr, Expr::Placeholder(_)));
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .unwrap();
    count
}

#[test]
fn values_compared_with_columns_stay_open() {
    for (condition, values, count) in [
        ("a = ?", vec![Value::Int(5)], 1),
        ("? < a", vec![Value::Int(5)], 1),
        ("(a >= ?) AND s = ?", vec![Value::Int(5), text("x")], 2),
        ("a BETWEEN ? AND ?", vec![Value::Int(5), Value::Int(7)], 2),
        ("a BETWEEN 1 AND ?", vec![Value::Int(5)], 1),
        ("day > ?", vec![text("2024-01-05")], 1),
        ("d <= ?", vec![Value::Int(3)], 1),
    ] {
        let query = open(&format!("SELECT id, ABS(a) FROM t WHERE {condition}"), &values).unwrap();
        let query = query.unwrap_or_else(|| panic!("{condition} leaves nothing open"));
        assert_eq!(query.constants.len(), count, "{condition}");
        assert_eq!(placeholders(&query.bound.plan), count, "{condition}");
        assert_eq!(query.open.fixed().count(), 0, "{condition}");
        assert_eq!(query.bound.columns[1].name, "ABS(a)");
    }
}

#[test]
fn values_that_do_more_are_fixed() {
    for condition in [
        "a + ? = 3",
        "a = ? + 1",
        "a IN (?, 4)",
        "a = ? OR b = 3",
        "NOT (a = ?)",
        "(a = ?) IS NULL",
        "s LIKE ?",
        "COALESCE(a, ?) = 1",
        "a > (SELECT MAX(t_id) FROM orders WHERE t_id < ?)",
        "a NOT BETWEEN ? AND 7",
        "? = 5",
    ] {
        let sql = format!("SELECT id FROM t WHERE {condition}");
        assert!(open(&sql, &[Value::Int(5)]).unwrap().is_none(), "{condition}");
        let sql = format!("SELECT id FROM t WHERE ({condition}) AND b > ?");
        let query = open(&sql, &[Value::Int(5), Value::Int(6)]).unwrap().unwrap();
        assert_eq!(query.open.fixed().collect::<Vec<_>>(), [0], "{condition}");
        assert_eq!(query.constants, [ScalarValue::Int64(Some(6))], "{condition}");
    }
    // What is shown, groups and orders.
    let query = open("SELECT a + ?, COUNT(*) FROM t WHERE a > ? GROUP BY a", &[Value::Int(1), Value::Int(2)]);
    assert_eq!(query.unwrap().unwrap().open.fixed().collect::<Vec<_>>(), [0]);
    let query = open("SELECT a FROM t GROUP BY a HAVING a > ?", &[Value::Int(1)]);
    assert!(query.unwrap().is_none());
}

#[test]
fn a_plan_is_good_for_values_that_compare_alike() {
    let sql = "SELECT id FROM t WHERE a < ? AND day = ? AND d > ? AND s = ?";
    let first = [Value::Int(5), text("2024-01-05"), Value::Decimal { unscaled: 150, scale: 2 }, text("a")];
    let query = open(sql, &first).unwrap().unwrap();
    assert_eq!(constants(&query, &first).as_ref(), Some(&query.constants));
    let other =
        [Value::Int(-7), text("1999-12-31"), Value::Decimal { unscaled: -25, scale: 2 }, text("b' c")];
    let others = constants(&query, &other).unwrap();
    let types = |constants: &[ScalarValue]| constants.iter().map(ScalarValue::data_type).collect::<Vec<_>>();
    assert_eq!(types(&others), types(&query.constants));
    assert!(others.iter().zip(&query.constants).all(|(a, b)| a != b));
    for (at, value) in [
        (0, Value::Null),
        // Is no INT: the comparison is another one.
        (0, Value::Decimal { unscaled: 55, scale: 1 }),
        (0, text("5x")),
        (1, text("2024-02-30")),
        (1, text("no date")),
        (1, text("2024-01-05 10:00:00")),
        (1, Value::Null),
        (3, Value::Int(5)),
    ] {
        let mut values = first.clone();
        values[at] = value.clone();
        assert_eq!(constants(&query, &values), None, "{value:?}");
    }
}
