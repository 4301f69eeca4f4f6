//! The error that a person sees.

use super::*;

fn error(text: &str) -> SqlError {
    match bind(text).and_then(rows_of) {
        Ok(rows) => panic!("{text} gave {rows:?}"),
        Err(error) => error,
    }
}

#[test]
fn texts_and_numbers() {
    for (text, errno, message) in [
        ("SELECT nope FROM t", 1054, "Unknown column 'nope' in 'field list'"),
        ("SELECT dya FROM t", 1054, "Unknown column 'dya' in 'field list'; did you mean 'day'?"),
        ("SELECT 1 FROM t WHERE zz = 1", 1054, "Unknown column 'zz' in 'where clause'"),
        ("SELECT 1 FROM t ORDER BY zz", 1054, "Unknown column 'zz' in 'order clause'"),
        ("SELECT 1 FROM t GROUP BY zz", 1054, "Unknown column 'zz' in 'group statement'"),
        ("SELECT 1 FROM t HAVING zz", 1054, "Unknown column 'zz' in 'having clause'"),
        ("SELECT 1 FROM t JOIN orders o ON t.id = o.zz", 1054, "Unknown column 'o.zz' in 'on clause'"),
        ("SELECT 1 FROM t JOIN orders USING (zz)", 1054, "Unknown column 'zz' in 'from clause'"),
        ("SELECT x.id FROM t", 1054, "Unknown column 'x.id' in 'field list'"),
        ("SELECT a FROM t ORDER BY 3", 1054, "Unknown column '3' in 'order clause'"),
        ("SELECT a FROM t GROUP BY 3", 1054, "Unknown column '3' in 'group statement'"),
        ("SELECT id FROM t, orders", 1052, "Column 'id' in field list is ambiguous"),
        ("SELECT 1 FROM nothing", 1146, "Table 'd.nothing' doesn't exist"),
        ("SELECT 1 FROM other.t", 1146, "Table 'other.t' doesn't exist"),
        ("SELECT 1 FROM t, t", 1066, "Not unique table/alias: 't'"),
        ("SELECT * FROM (SELECT 1)", 1248, "Every derived table must have its own alias"),
        ("SELECT * FROM (SELECT 1 AS a, 2 AS A) x", 1060, "Duplicate column name 'A'"),
        (
            "SELECT 1 FROM JSON_TABLE('1', '$' COLUMNS (x INT PATH '$'))",
            3667,
            "Every table function must have an alias",
        ),
        (
            "SELECT 1 FROM JSON_TABLE('1', '$' COLUMNS (x INT PATH '$.')) j",
            3143,
            "Invalid JSON path expression. The error is around character position 3 in '$.'.",
        ),
        (
            "SELECT 1 FROM JSON_TABLE(s, '$' COLUMNS (x INT PATH '$')) j",
            1054,
            "Unknown column 's' in 'a table function argument'",
        ),
        (
            "SELECT 1 FROM t, JSON_TABLE((SELECT s FROM t LIMIT 1), '$' COLUMNS (x INT PATH '$')) j",
            1210,
            "Incorrect arguments to JSON_TABLE",
        ),
        (
            "SELECT 1 FROM t RIGHT JOIN JSON_TABLE(t.s, '$' COLUMNS (x INT PATH '$')) j ON 1",
            3668,
            "INNER or LEFT JOIN must be used for LATERAL references made by 'j'",
        ),
        (
            "SELECT 1 FROM t WHERE EXISTS (SELECT 1 FROM JSON_TABLE(t.s, '$' COLUMNS (x INT PATH '$')) j)",
            1235,
            "Pando doesn't yet support 'JSON_TABLE of a column of the query around it'",
        ),
        (
            "SELECT 1 FROM JSON_TABLE('1', '$' COLUMNS (x INT PATH '$' DEFAULT '[]' ON ERROR)) j",
            1067,
            "Invalid default value for 'x'",
        ),
        (
            "SELECT 1 FROM JSON_TABLE('1', '$' COLUMNS (x INT EXISTS PATH '$' NULL ON ERROR)) j",
            1064,
            "EXISTS PATH of the column 'x' takes neither ON EMPTY nor ON ERROR",
        ),
        ("SELECT zzzzz(1)", 1305, "FUNCTION d.zzzzz does not exist"),
        ("SELECT uper(a) FROM t", 1305, "FUNCTION d.uper does not exist; did you mean UPPER()?"),
        ("SELECT x.f(1)", 1305, "FUNCTION x.f does not exist"),
        ("SELECT LENGTH()", 1582, "Incorrect parameter count in the call to native function 'LENGTH'"),
        ("SELECT IF(1, 2)", 1582, "Incorrect parameter count in the call to native function 'IF'"),
        ("SELECT SUM(a, b) FROM t", 1064, "Incorrect parameter count in the call to 'SUM'"),
        ("SELECT GROUP_CONCAT() FROM t", 1064, "Incorrect parameter count in the call to 'GROUP_CONCAT'"),
        ("SELECT 1 FROM t ''", 1064, "An alias in a FROM clause must not be empty"),
        ("SELECT 1 FROM (SELECT 1) ``", 1064, "An alias in a FROM clause must not be empty"),
        (
            "SELECT a FROM t WHERE SUM(a) > 1",
            1111,
            "Invalid use of group function; conditions on groups belong into HAVING",
        ),
        ("SELECT SUM(SUM(a)) FROM t", 1111, "Invalid use of group function"),
        ("SELECT @@nope", 1193, "Unknown system variable 'nope'"),
        (
            "SELECT 9223372036854775807 + 1",
            1690,
            "BIGINT value is out of range in '(9223372036854775807 + 1)'",
        ),
        ("SELECT b + 1 FROM t", 1690, "BIGINT value is out of range in '(9223372036854775807 + 1)'"),
        (
            "SELECT b * b FROM t",
            1690,
            "BIGINT value is out of range in '(9223372036854775807 * 9223372036854775807)'",
        ),
        ("SELECT u - 8 FROM t WHERE id = 1", 1690, "BIGINT UNSIGNED value is out of range in '(7 - 8)'"),
        ("SELECT EXP(1000)", 1690, "DOUBLE value is out of range in 'exp(1000)'"),
        ("SELECT (SELECT id FROM t)", 1242, "Subquery returns more than 1 row"),
        (
            "SELECT id FROM t WHERE a = (SELECT amount FROM orders WHERE t_id = t.id)",
            1242,
            "Subquery returns more than 1 row",
        ),
        ("SELECT (SELECT 1, 2)", 1241, "Operand should contain 1 column(s)"),
        ("SELECT 1 IN (SELECT 1, 2)", 1241, "Operand should contain 1 column(s)"),
        ("SELECT (1, 2)", 1241, "Operand should contain 2 columns"),
        ("SELECT day FROM t WHERE day = 'nonsense'", 1525, "Incorrect DATE value: 'nonsense'"),
        ("SELECT DATE '2024-02-30'", 1525, "Incorrect DATE value: '2024-02-30'"),
        (
            "SELECT GET_LOCK('x', id) FROM t",
            1235,
            "Pando doesn't yet support 'GET_LOCK() in this place: it works in DO, in SET and in a SELECT without \
             tables, WHERE and LIMIT, outside of branches and not after SLEEP() or a subquery'",
        ),
        ("SELECT 1 UNION SELECT 1, 2", 1222, "The used SELECT statements have a different number of columns"),
        ("SELECT ROW_NUMBER() FROM t", 1064, "The window function 'ROW_NUMBER' needs an OVER clause"),
        ("SELECT x.* FROM t", 1051, "Unknown table 'x'"),
        ("SELECT 'a' REGEXP '('", 3691, "Mismatched parenthesis in regular expression '('."),
        ("SELECT a FROM t LIMIT 'x'", 1064, "LIMIT and OFFSET take a number of rows that is not negative"),
        ("SELECT ?", 1210, "The statement has more parameters than values were given"),
        (
            "SELECT a FROM t GROUP BY b",
            1055,
            "Expression #1 of SELECT list is not in GROUP BY clause and contains nonaggregated column 'd.t.a' \
             which is not functionally dependent on columns in GROUP BY clause; this is incompatible with \
             sql_mode=only_full_group_by; group by it too, or take ANY_VALUE() of it",
        ),
        (
            "SELECT COUNT(*), a FROM t",
            1140,
            "In aggregated query without GROUP BY, expression #2 of SELECT list contains nonaggregated column \
             'd.t.a'; this is incompatible with sql_mode=only_full_group_by",
        ),
    ] {
        let found = error(text);
        assert_eq!((found.kind.errno(), found.message.as_str()), (errno, message), "{text}");
    }
}

#[test]
fn deep_and_long_expressions_do_not_overflow_the_stack() {
    let ors = vec!["a = 1"; 20_000].join(" OR ");
    assert!(bind(&format!("SELECT id FROM t WHERE {ors}")).is_ok());
    for (operator, most) in [(" + ", 400), (" & ", 400), (" = ", 150)] {
        let chain = |links| format!("SELECT {} = 1 FROM t", vec!["a"; links].join(operator));
        assert!(bind(&chain(most)).is_ok(), "{operator}");
        assert_eq!(error(&chain(most + 2)).kind.errno(), 1436, "{operator}");
    }
    let depth = 140;
    for (open, close) in
        [("(", ")"), ("ABS(", ")"), ("(SELECT ", ")"), ("IF(1, ", ", 2)"), ("CASE WHEN 1 THEN ", " END")]
    {
        let text = format!("SELECT {}1{}", open.repeat(depth), close.repeat(depth));
        assert!(bind(&text).is_ok(), "{open}");
    }
    let unions = vec!["SELECT 1"; 400].join(" UNION ALL ");
    assert!(bind(&unions).is_ok());
}

/// A short text that means very much ends in an error before it takes time and memory.
#[test]
fn what_grows_without_end_is_refused() {
    let nested = |open: &str, close: &str| {
        let depth = 40;
        format!("SELECT {}a{} FROM t", open.repeat(depth), close.repeat(depth))
    };
    let doubling = (1..40).map(|n| format!(", c{n} AS (SELECT x.n FROM c{0} x, c{0} y)", n - 1));
    let doubling = format!("WITH c0 AS (SELECT 1 AS n){} SELECT * FROM c39", doubling.collect::<String>());
    for text in [
        nested("NULLIF(", ", 1)"),
        nested("COALESCE(", ", b)"),
        nested("IFNULL(NULLIF(", ", 1), 2)"),
        nested("(", " BETWEEN 0 AND 1)"),
        nested("(", " IN (id, b, u))"),
        nested("CASE ", " WHEN 1 THEN 2 WHEN 2 THEN 3 END"),
        nested("((", ", 1) < (1, 2))"),
        doubling,
    ] {
        assert_eq!(error(&text).kind.errno(), 3170, "{text}");
    }
    let kib = "REPEAT('abcdefgh', 128)";
    let eight = ["REPEAT('123456789', 1000000)"; 8].join(", ");
    for text in [
        format!("REPLACE(REPEAT('a', 1000000), 'a', {kib})"),
        format!("CONCAT({})", eight),
        format!("CONCAT_WS('', {})", eight),
        "EXPORT_SET(255, REPEAT('123456789', 1000000), 'b', 'c')".to_string(),
        format!("MAKE_SET(255, {})", eight),
        "REGEXP_REPLACE(REPEAT('123456789', 1000000), '(.+)', '$1$1$1$1$1$1$1$1')".to_string(),
        format!("JSON_ARRAY({})", eight),
    ] {
        let found = error(&format!("SELECT {text}"));
        assert_eq!(found.kind.errno(), 1301, "{text}: {}", found.message);
    }
    for text in
        ["LPAD('a', 60000000, 'é')", "RPAD('a', 99999999, 'a')", "REPEAT('ab', 99999999)", "SPACE(99999999)"]
    {
        assert_eq!(line(&format!("SELECT {text}")), "NULL", "{text}");
    }
}

/// Where a text may be read in several ways, they are not all tried at every level.
#[test]
fn wrong_texts_are_refused_soon() {
    let depth = 140;
    for open in [
        "NOT (",
        "CASE WHEN (",
        "CAST((",
        "CONVERT((",
        "FLOOR((",
        "CEIL((",
        "CHAR((",
        "INTERVAL ((",
        "SUBSTRING((",
        "POSITION((",
        "1 = ALL (SELECT ",
        "1 IN (",
        "TRIM((",
        "EXTRACT(DAY FROM (",
        "IF((",
        "- (",
    ] {
        for end in ["", "AND", "1"] {
            assert!(parse_query(&format!("SELECT {}{end}", open.repeat(depth))).is_err(), "{open}{end}");
        }
    }
    let derived = format!("SELECT * FROM {}t", "((SELECT * FROM ".repeat(60));
    assert!(parse_query(&derived).is_err());
    let joined = format!("SELECT * FROM {}t{}", "((SELECT * FROM ".repeat(5), ") a JOIN t)".repeat(5));
    assert!(parse_query(&joined).is_ok());
    let calls = format!("SELECT {}65{}", "CHAR(".repeat(100), ")".repeat(100));
    assert!(parse_query(&calls).is_ok());
}

#[test]
fn many_rows_in_a_list_do_not_nest() {
    let pairs = vec!["(1, 2)"; 20_000].join(", ");
    assert!(bind(&format!("SELECT id FROM t WHERE (a, b) IN ({pairs})")).is_ok());
    let columns = vec!["b"; 20_000].join(", ");
    assert!(bind(&format!("SELECT id FROM t WHERE a IN ({columns})")).is_ok());
}

#[test]
fn joins_and_common_table_expressions_have_limits() {
    let join = |tables: usize| {
        let names: Vec<String> = (0..tables).map(|i| format!("t a{i}")).collect();
        [names.join(", "), names.join(" JOIN ")].map(|from| format!("SELECT 1 FROM {from}"))
    };
    for text in join(62) {
        assert_eq!(error(&text).kind.errno(), 1116, "{text}");
    }
    for text in join(61) {
        bind(&text).expect(&text);
    }
    let chain = |levels: usize| {
        let next = (1..levels).map(|i| format!(", c{i} AS (SELECT * FROM c{})", i - 1));
        format!("WITH c0 AS (SELECT 1 x){} SELECT * FROM c{}", String::from_iter(next), levels - 1)
    };
    bind(&chain(100)).unwrap();
    assert_eq!(error(&chain(101)).kind.errno(), 1436);
    // Side by side they are no deeper.
    let many = (0..300).map(|i| format!("c{i} AS (SELECT {i} x)")).collect::<Vec<_>>().join(", ");
    bind(&format!("WITH {many} SELECT * FROM c299")).unwrap();
}
