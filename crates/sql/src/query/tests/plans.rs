//! What optimized plans look like: predicates that a scan can use, constants folded.

use super::*;

fn optimized_text(text: &str) -> String {
    optimized(bind(text).unwrap().plan).display_indent().to_string()
}

#[test]
fn comparisons_with_constants_leave_columns_bare() {
    for (condition, expected) in [
        ("a = '10'", "t.a = Int32(10)"),
        ("a > 9.5", "t.a > Int32(9)"),
        ("a <= 9.5", "t.a <= Int32(9)"),
        ("5 < a", "t.a > Int32(5)"),
        ("a = 10.0", "t.a = Int32(10)"),
        ("u = 7", "t.u = UInt32(7)"),
        ("b = 7", "t.b = Int64(7)"),
        ("d >= 0.05", "t.d >= Decimal128(0.05,15,2)"),
        ("d > 0.055", "t.d > Decimal128(0.05,15,2)"),
        ("d = 7", "t.d = Decimal128(7.00,15,2)"),
        ("x < 3", "t.x < Float64(3)"),
        ("s = 'a'", "t.s = Utf8View(\"a\")"),
        ("s LIKE 'a%'", "t.s LIKE Utf8View(\"a%\")"),
        ("day >= '1994-01-01'", "t.day >= Date32(\"1994-01-01\")"),
        ("day < DATE '1994-01-01' + INTERVAL '1' YEAR", "t.day < Date32(\"1995-01-01\")"),
        ("day > '1994-01-01 12:00:00'", "t.day > Date32(\"1994-01-01\")"),
        ("at = '1994-01-01'", "t.at = TimestampMicrosecond(757382400000000, None)"),
        ("stamp < '1994-01-01'", "t.Stamp < TimestampMicrosecond(757382400000000, Some(\"+00:00\"))"),
        ("a IN (1, '2', 3.0, 7)", "t.a IN ([Int32(1), Int32(2), Int32(3), Int32(7)])"),
        ("day = CURDATE()", "t.day = Date32(\"2024-05-06\")"),
        ("day > NOW() - INTERVAL 1 DAY", "t.day > Date32(\"2024-05-05\")"),
        ("a = @x", "t.a = Int32(42)"),
        ("YEAR(day) = 1998", "t.day >= Date32(\"1998-01-01\") AND t.day < Date32(\"1999-01-01\")"),
        ("EXTRACT(YEAR FROM day) > 1998", "t.day >= Date32(\"1999-01-01\")"),
    ] {
        let plan = optimized_text(&format!("SELECT id FROM t WHERE {condition}"));
        assert!(
            plan.contains(&format!("full_filters=[{expected}]"))
                || plan.contains(&format!("Filter: {expected}\n")),
            "{condition}:\n{plan}"
        );
    }
}

#[test]
fn sums_and_averages_are_shared() {
    let plan = optimized_text("SELECT SUM(amount), AVG(amount), COUNT(*), COUNT(amount) FROM orders");
    assert!(plan.contains("aggr=[[sum(orders.amount), count(Int64(1))"), "{plan}");
}

#[test]
fn relations_of_inner_and_outer_queries_have_names_of_their_own() {
    let bound = bind("SELECT id FROM t WHERE EXISTS (SELECT 1 FROM t WHERE id = 1)").unwrap();
    let plan = bound.plan.display_indent().to_string();
    assert!(plan.contains("TableScan: t:2"), "{plan}");
}

#[test]
fn conditions_on_other_columns_go_below_json_table() {
    let plan = optimized_text(
        "SELECT j.x FROM t, JSON_TABLE(t.s, '$[*]' COLUMNS (x INT PATH '$')) j WHERE t.a = 10 AND j.x > 3",
    );
    let (above, below) = plan.split_once("JsonTable: ").unwrap();
    assert!(above.contains("Filter: j.x > Int32(3)"), "{plan}");
    assert!(below.contains("t.a = Int32(10)") && !below.contains("t.day"), "{plan}");
}
