//! Results of whole queries.

use super::*;

#[test]
fn selections_and_joins() {
    for (text, expected) in [
        ("SELECT 1", "1"),
        ("SELECT 1 FROM DUAL", "1"),
        ("SELECT 1 WHERE 0", ""),
        ("SELECT id, ID FROM t ORDER BY id", "1,1|2,2|3,3"),
        ("SELECT id FROM t WHERE a", "1|3"),
        ("SELECT id FROM t WHERE NOT a IS NULL ORDER BY id DESC", "3|1"),
        ("SELECT a FROM t ORDER BY a", "NULL|-3|10"),
        ("SELECT a FROM t ORDER BY a DESC", "10|-3|NULL"),
        ("SELECT a AS z FROM t ORDER BY z LIMIT 1, 2", "-3|10"),
        ("SELECT id FROM t ORDER BY id LIMIT 1 OFFSET 1", "2"),
        ("SELECT id FROM t ORDER BY 1 DESC LIMIT 2", "3|2"),
        ("SELECT id FROM t ORDER BY a * -1", "2|1|3"),
        ("SELECT id + 1 AS n FROM t ORDER BY n * -1", "4|3|2"),
        ("SELECT T.id FROM t AS T WHERE T.id = 2", "2"),
        ("SELECT d.t.id FROM d.t WHERE t.id = 2", "2"),
        ("SELECT * FROM log ORDER BY a", "1,10,1970-01-01 00:00:00|2,NULL,1970-01-01 00:00:00"),
        ("SELECT log.* FROM log WHERE a = 2", "2,NULL,1970-01-01 00:00:00"),
        ("SELECT t.id, o.id FROM t JOIN orders o ON t.id = o.t_id ORDER BY 2", "1,1|1,2|3,3"),
        ("SELECT t.id, o.id FROM t LEFT JOIN orders o ON t.id = o.t_id ORDER BY 1, 2", "1,1|1,2|2,NULL|3,3"),
        (
            "SELECT t.id, o.id FROM t RIGHT JOIN orders o ON t.id = o.t_id ORDER BY o.id",
            "1,1|1,2|3,3|NULL,4|NULL,5",
        ),
        ("SELECT COUNT(*) FROM t, orders", "15"),
        ("SELECT COUNT(*) FROM t CROSS JOIN orders", "15"),
        ("SELECT COUNT(*) FROM t STRAIGHT_JOIN orders ON t.id = t_id", "3"),
        ("SELECT id, a FROM t JOIN log USING (a)", ""),
        ("SELECT id, name FROM t JOIN orders USING (id) ORDER BY id", "1,a|2,b|3,b"),
        ("SELECT id FROM t NATURAL JOIN orders ORDER BY id", "1|2|3"),
        ("SELECT x.id, y.id FROM t x, t y WHERE x.id = y.id + 1 ORDER BY 1", "2,1|3,2"),
        ("SELECT DISTINCT name FROM orders ORDER BY name", "a|b|c|d"),
        ("SELECT id, id FROM t WHERE id = 1", "1,1"),
        ("SELECT id, 1 AS id FROM t WHERE id = 1", "1,1"),
        ("SELECT t.id FROM t JOIN (orders o JOIN log ON log.a = o.id) ON t.id = o.id ORDER BY 1", "1|2"),
        ("SELECT id FROM t USE INDEX (x) WHERE id = 1", "1"),
        ("SELECT SQL_NO_CACHE HIGH_PRIORITY id FROM t WHERE id = 1", "1"),
        ("SELECT id FROM t ORDER BY NULL LIMIT 0", ""),
        ("SELECT ALL id FROM t WHERE id = 1 FOR UPDATE", "1"),
    ] {
        assert_eq!(line(text), expected, "{text}");
    }
}

#[test]
fn grouping() {
    for (text, expected) in [
        ("SELECT COUNT(*) FROM t", "3"),
        ("SELECT COUNT(a), COUNT(DISTINCT name) FROM t JOIN orders ON 1", "10,4"),
        ("SELECT COUNT(*) FROM t WHERE id > 5", "0"),
        ("SELECT SUM(a), AVG(a), MIN(a), MAX(a) FROM t", "7,3.5000,-3,10"),
        ("SELECT SUM(a) FROM t WHERE id > 5", "NULL"),
        ("SELECT AVG(a) FROM t WHERE id > 5", "NULL"),
        ("SELECT SUM(amount), AVG(amount) FROM orders", "18.83,3.766000"),
        ("SELECT AVG(amount) FROM orders WHERE id < 4", "1.666667"),
        ("SELECT SUM(x), AVG(x) FROM t", "1.25,0.625"),
        ("SELECT SUM(s) FROM t", "12"),
        (
            "SELECT SUM(DISTINCT amount), AVG(DISTINCT amount), COUNT(DISTINCT amount) FROM orders",
            "16.83,4.207500,4",
        ),
        ("SELECT name, COUNT(*) FROM orders GROUP BY name ORDER BY name", "a,1|b,2|c,1|d,1"),
        ("SELECT name AS n, COUNT(*) c FROM orders GROUP BY n HAVING c > 1", "b,2"),
        (
            "SELECT name, SUM(amount) FROM orders GROUP BY 1 ORDER BY 2 DESC, 1",
            "c,10.50|b,4.00|d,3.33|a,1.00",
        ),
        ("SELECT name FROM orders GROUP BY name HAVING COUNT(*) > 1", "b"),
        ("SELECT name FROM orders GROUP BY name ORDER BY SUM(amount), name", "a|d|b|c"),
        ("SELECT UPPER(name), COUNT(*) FROM orders GROUP BY UPPER(name) ORDER BY 1", "A,1|B,2|C,1|D,1"),
        ("SELECT id % 2 AS odd, COUNT(*) + 1 FROM orders GROUP BY odd ORDER BY odd", "0,3|1,4"),
        ("SELECT id % 2 + 10, COUNT(*) FROM orders GROUP BY id % 2 ORDER BY 1", "10,2|11,3"),
        ("SELECT id, name FROM orders GROUP BY id ORDER BY id LIMIT 1", "1,a"),
        ("SELECT MAX(name), MIN(name) FROM orders", "d,a"),
        ("SELECT COUNT(DISTINCT t_id, name) FROM orders", "4"),
        ("SELECT GROUP_CONCAT(name ORDER BY name SEPARATOR '-') FROM orders", "a-b-b-c-d"),
        ("SELECT GROUP_CONCAT(DISTINCT name ORDER BY name DESC) FROM orders", "d,c,b,a"),
        ("SELECT GROUP_CONCAT(id ORDER BY amount DESC, id) FROM orders", "4,5,2,3,1"),
        ("SELECT BIT_OR(id), BIT_AND(id), BIT_XOR(id) FROM orders WHERE id < 4", "3,0,0"),
        ("SELECT BIT_AND(id) FROM orders WHERE id > 10", "18446744073709551615"),
        ("SELECT VAR_POP(id), STDDEV_SAMP(id) FROM orders", "2,1.5811388300841898"),
        ("SELECT ANY_VALUE(name) FROM orders WHERE id = 3", "b"),
        (
            "SELECT name, COUNT(*) FROM orders GROUP BY name WITH ROLLUP ORDER BY name",
            "NULL,5|a,1|b,2|c,1|d,1",
        ),
        (
            "SELECT IF(GROUPING(name), 'all', name) n, COUNT(*) FROM orders GROUP BY name WITH ROLLUP ORDER BY n",
            "a,1|all,5|b,2|c,1|d,1",
        ),
        ("SELECT SUM(CASE WHEN name = 'b' THEN 1 ELSE 0 END) FROM orders", "2"),
        ("SELECT SUM(name = 'b') FROM orders", "2"),
        ("SELECT 100 * SUM(amount) / COUNT(*) FROM orders WHERE id < 4", "166.666667"),
        ("SELECT COUNT(*) FROM (SELECT DISTINCT name FROM orders) x", "4"),
        ("SELECT SUM(a) + 1 FROM t HAVING SUM(a) > 1", "8"),
        ("SELECT a FROM t HAVING a > 0", "10"),
        ("SELECT MAX(day), MIN(at) FROM t", "2024-02-29,1998-12-01 00:00:00"),
    ] {
        assert_eq!(line(text), expected, "{text}");
    }
}

#[test]
fn types_of_aggregates() {
    for (expr, ty) in [
        ("COUNT(*)", "bigint"),
        ("SUM(id)", "decimal(32,0)"),
        ("SUM(b)", "decimal(38,0)"),
        ("SUM(d)", "decimal(37,2)"),
        ("SUM(x)", "double"),
        ("SUM(s)", "double"),
        ("AVG(id)", "decimal(14,4)"),
        ("AVG(d)", "decimal(19,6)"),
        ("AVG(x)", "double"),
        ("MIN(day)", "date"),
        ("MAX(s)", "varchar(20)"),
        ("MAX(u)", "int unsigned"),
        ("GROUP_CONCAT(s)", "longtext"),
        ("BIT_OR(id)", "bigint unsigned"),
        ("STD(id)", "double"),
    ] {
        let bound = bind(&format!("SELECT {expr} FROM t")).unwrap();
        assert_eq!(bound.columns[0].ty.to_string(), ty, "{expr}");
    }
}

#[test]
fn subqueries() {
    for (text, expected) in [
        ("SELECT id FROM t WHERE id IN (SELECT t_id FROM orders) ORDER BY id", "1|3"),
        ("SELECT id FROM t WHERE id NOT IN (SELECT t_id FROM orders)", ""),
        ("SELECT id FROM t WHERE id NOT IN (SELECT t_id FROM orders WHERE t_id IS NOT NULL)", "2"),
        ("SELECT id FROM t WHERE EXISTS (SELECT 1 FROM orders WHERE t_id = t.id) ORDER BY id", "1|3"),
        ("SELECT id FROM t WHERE NOT EXISTS (SELECT * FROM orders o WHERE o.t_id = t.id)", "2"),
        ("SELECT (SELECT MAX(amount) FROM orders)", "10.50"),
        ("SELECT id, (SELECT COUNT(*) FROM orders WHERE t_id = t.id) c FROM t ORDER BY id", "1,2|2,0|3,1"),
        (
            "SELECT id, (SELECT SUM(amount) FROM orders WHERE t_id = t.id) c FROM t ORDER BY id",
            "1,3.00|2,NULL|3,2.00",
        ),
        ("SELECT id FROM orders WHERE amount > (SELECT AVG(amount) FROM orders)", "4"),
        (
            "SELECT id FROM orders o WHERE amount >= (SELECT AVG(amount) FROM orders WHERE t_id = o.t_id) ORDER BY id",
            "2|3|4",
        ),
        ("SELECT name FROM orders WHERE (t_id, name) IN (SELECT id, 'b' FROM t) ORDER BY id", "b|b"),
        ("SELECT id FROM t WHERE id = ANY (SELECT t_id FROM orders) ORDER BY id", "1|3"),
        ("SELECT id FROM t WHERE id <> ALL (SELECT t_id FROM orders WHERE t_id < 9)", "2"),
        ("SELECT id FROM orders WHERE amount >= ALL (SELECT amount FROM orders)", "4"),
        (
            "SELECT id FROM orders WHERE amount > ANY (SELECT amount FROM orders WHERE id > 3) ORDER BY id",
            "4",
        ),
        ("SELECT 1 IN (SELECT id FROM t)", "1"),
        ("SELECT 7 IN (SELECT id FROM t)", "0"),
        ("SELECT 7 IN (SELECT a FROM t)", "NULL"),
        ("SELECT NULL IN (SELECT id FROM t)", "NULL"),
        ("SELECT id, id IN (SELECT t_id FROM orders WHERE t_id < 9) FROM t ORDER BY id", "1,1|2,0|3,1"),
        ("SELECT id, EXISTS (SELECT 1 FROM orders WHERE t_id = t.id) FROM t ORDER BY id", "1,1|2,0|3,1"),
        ("SELECT id FROM t WHERE id IN (1, 2) AND (a IN (SELECT 10) OR a IS NULL) ORDER BY id", "1|2"),
        ("SELECT * FROM (SELECT id AS n FROM t) x WHERE n > 2", "3"),
        ("SELECT x.n FROM (SELECT id FROM t) AS x (n) WHERE n = 1", "1"),
        ("SELECT (SELECT name FROM orders WHERE id = t.id) FROM t ORDER BY id", "a|b|b"),
        (
            "SELECT t.id, o.m FROM t, LATERAL (SELECT MAX(amount) m FROM orders WHERE t_id = t.id) o ORDER BY 1",
            "1,2.00|2,NULL|3,2.00",
        ),
        ("SELECT id FROM t WHERE a > 0 OR id IN (SELECT t_id FROM orders WHERE amount > 5) ORDER BY id", "1"),
        ("SELECT COUNT(*) FROM t WHERE id < (SELECT COUNT(*) FROM orders)", "3"),
    ] {
        assert_eq!(line(text), expected, "{text}");
    }
}

#[test]
fn set_operations_and_ctes() {
    for (text, expected) in [
        ("SELECT 1 UNION ALL SELECT 1", "1|1"),
        ("SELECT 1 UNION SELECT 1", "1"),
        ("SELECT 1 AS a UNION SELECT 'x' ORDER BY a", "1|x"),
        ("SELECT 1 UNION SELECT 2.5 ORDER BY 1 DESC", "2.5|1.0"),
        ("SELECT id FROM t UNION SELECT id FROM orders ORDER BY id DESC LIMIT 2", "5|4"),
        ("SELECT id FROM orders EXCEPT SELECT id FROM t ORDER BY id", "4|5"),
        ("SELECT name FROM orders INTERSECT SELECT 'b'", "b"),
        ("(SELECT id FROM t ORDER BY id DESC LIMIT 1) UNION ALL (SELECT 9) ORDER BY 1", "3|9"),
        ("WITH x AS (SELECT id FROM t WHERE id > 1) SELECT COUNT(*) FROM x", "2"),
        ("WITH x (n) AS (SELECT 1), y AS (SELECT n + 1 AS m FROM x) SELECT n, m FROM x, y", "1,2"),
        ("WITH x AS (SELECT id FROM t) SELECT a.id FROM x a JOIN x b ON a.id = b.id + 1 ORDER BY 1", "2|3"),
        (
            "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 4) SELECT SUM(i) FROM n",
            "10",
        ),
        (
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION SELECT i % 3 + 1 FROM n) SELECT i FROM n ORDER BY i",
            "1|2|3",
        ),
        ("VALUES ROW(1, 'a'), ROW(2, 'b')", "1,a|2,b"),
        ("VALUES ROW(1), ROW(2.5)", "1.0|2.5"),
        ("TABLE log", "1,10,1970-01-01 00:00:00|2,NULL,1970-01-01 00:00:00"),
        ("SELECT column_0 FROM (VALUES ROW(1), ROW(2)) v WHERE column_0 > 1", "2"),
        ("SELECT NULL UNION ALL SELECT 1", "NULL|1"),
    ] {
        let mut found: Vec<String> = rows(text).iter().map(|row| row.join(",")).collect();
        let ordered = text.contains("ORDER BY");
        let mut expected: Vec<&str> = expected.split('|').collect();
        if !ordered {
            found.sort();
            expected.sort_unstable();
        }
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn windows() {
    for (text, expected) in [
        (
            "SELECT id, ROW_NUMBER() OVER (ORDER BY amount DESC, id) FROM orders ORDER BY id",
            "1,5|2,3|3,4|4,1|5,2",
        ),
        (
            "SELECT id, RANK() OVER (ORDER BY amount) r, DENSE_RANK() OVER (ORDER BY amount) FROM orders ORDER BY id",
            "1,1,1|2,2,2|3,2,2|4,5,4|5,4,3",
        ),
        (
            "SELECT id, SUM(amount) OVER (PARTITION BY name ORDER BY id) FROM orders ORDER BY id",
            "1,1.00|2,2.00|3,4.00|4,10.50|5,3.33",
        ),
        (
            "SELECT id, AVG(amount) OVER (PARTITION BY name) FROM orders ORDER BY id",
            "1,1.000000|2,2.000000|3,2.000000|4,10.500000|5,3.330000",
        ),
        (
            "SELECT id, SUM(id) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM orders ORDER BY id",
            "1,1|2,3|3,5|4,7|5,9",
        ),
        (
            "SELECT id, LAG(id) OVER (ORDER BY id), LEAD(id, 2, 0) OVER (ORDER BY id) FROM orders ORDER BY id",
            "1,NULL,3|2,1,4|3,2,5|4,3,0|5,4,0",
        ),
        (
            "SELECT id, FIRST_VALUE(name) OVER w, NTILE(2) OVER w FROM orders WINDOW w AS (ORDER BY id) ORDER BY id",
            "1,a,1|2,a,1|3,a,1|4,a,2|5,a,2",
        ),
        (
            "SELECT name, COUNT(*), RANK() OVER (ORDER BY COUNT(*) DESC, name) FROM orders GROUP BY name ORDER BY 3",
            "b,2,1|a,1,2|c,1,3|d,1,4",
        ),
        (
            "SELECT name, SUM(SUM(amount)) OVER () FROM orders GROUP BY name ORDER BY name",
            "a,18.83|b,18.83|c,18.83|d,18.83",
        ),
        ("SELECT id, COUNT(*) OVER () FROM t ORDER BY id", "1,3|2,3|3,3"),
        ("SELECT id FROM orders ORDER BY ROW_NUMBER() OVER (ORDER BY id DESC)", "5|4|3|2|1"),
    ] {
        assert_eq!(line(text), expected, "{text}");
    }
}

#[test]
fn titles_and_origins() {
    let bound =
        bind("SELECT ID, t.a AS z, 1+1, count( * ) , 'lit', @x, d.t.s FROM t GROUP BY id, a, s").unwrap();
    let titles: Vec<&str> = bound.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(titles, ["ID", "z", "1+1", "count( * )", "lit", "@x", "s"]);
    let first = &bound.columns[0];
    assert_eq!(
        (first.schema.as_str(), first.table.as_str(), first.org_table.as_str(), first.org_name.as_str()),
        ("d", "t", "t", "id")
    );
    assert!(!first.nullable && bound.columns[1].nullable);
    assert_eq!(bound.columns[2].org_table, "");
    let bound = bind("SELECT o.* FROM orders o WHERE o.id = 1").unwrap();
    assert_eq!(bound.columns[3].name, "Name");
    assert_eq!(bound.columns[3].table, "o");
    assert_eq!(bound.columns[3].org_table, "orders");
}

#[test]
fn parameters() {
    let text = "SELECT id FROM t WHERE a = ? AND day < ? LIMIT ?";
    let values = [Value::Text("10".into()), Value::Text("2025-01-01".into()), Value::Int(5)];
    let found = bind_with(text, session(), &values).and_then(rows_of).unwrap();
    assert_eq!(found, [["1"]]);
    let values = [Value::Null, Value::Null, Value::Int(5)];
    assert!(bind_with(text, session(), &values).and_then(rows_of).unwrap().is_empty());
}

#[test]
fn modes_and_zones() {
    let mut other = session();
    other.modes.only_full_group_by = false;
    other.modes.no_unsigned_subtraction = true;
    other.zone = Zone::parse("+02:00").unwrap();
    let value = |text: &str| {
        let rows = bind_with(text, other, &[]).and_then(rows_of).unwrap();
        rows.iter().map(|row| row.join(",")).collect::<Vec<_>>().join("|")
    };
    assert_eq!(value("SELECT u - 8 FROM t WHERE id = 1"), "-1");
    assert_eq!(value("SELECT NOW()"), "2024-05-06 09:08:09");
    assert_eq!(value("SELECT HOUR(stamp) FROM t WHERE id = 1"), "12");
    assert_eq!(value("SELECT id FROM t WHERE stamp = '2024-02-29 12:20:30'"), "1");
    assert_eq!(value("SELECT UNIX_TIMESTAMP('1970-01-01 02:00:01')"), "1");
    assert_eq!(value("SELECT COUNT(*), MAX(name) FROM orders WHERE name = 'b'"), "2,b");
    assert_eq!(value("SELECT name, COUNT(*) FROM orders WHERE name = 'b'"), "b,2");
}

#[test]
fn values_of_expressions() {
    let ctx = BindContext { tables: &*DATABASE, session: session(), parameters: &[], text: "" };
    let value = |text: &str| evaluate(&crate::parse::parse_expr(text).unwrap(), &ctx).unwrap().0;
    assert_eq!(value("1 + 1"), Value::Int(2));
    assert_eq!(value("IF(1 > 2, 'a', CONCAT('b', 'c'))"), Value::Text("bc".into()));
    assert_eq!(value("@x * 1.5"), Value::Decimal { unscaled: 630, scale: 1 });
    assert_eq!(value("1 = 1"), Value::Int(1));
    assert_eq!(value("NULL"), Value::Null);
    assert_eq!(value("CURDATE()"), Value::Date(19_849));
    let expr = crate::parse::parse_expr("(SELECT 1)").unwrap();
    assert_eq!(evaluate(&expr, &ctx).unwrap_err().kind, ErrorKind::NotSupportedYet);
    let exprs = ["1", "(SELECT MAX(id) FROM t)"].map(|text| crate::parse::parse_expr(text).unwrap());
    assert_eq!(bind_expressions(&exprs, &ctx).and_then(rows_of).unwrap(), [["1", "3"]]);
}
