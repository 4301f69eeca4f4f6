//! ON DUPLICATE KEY UPDATE over pairs of rows.

use super::*;
use crate::convert::Context;

/// Rows of `log`: 1, 10 and 2, NULL are there; the new ones are given. All of them count as changed.
fn updated(text: &str, new: &[(i32, Option<i32>)]) -> Result<String, SqlError> {
    let Statement::Insert(insert) = crate::parse::parse_one(text)?.statement else { panic!("{text}") };
    let table = &DATABASE.tables["log"];
    let ctx = BindContext { tables: &*DATABASE, session: session(), parameters: &[], text };
    let update = bind_on_duplicate(&insert, &table.def, &ctx)?;
    let new = RecordBatch::try_new(
        table.batch.schema(),
        vec![
            Arc::new(Int32Array::from_iter_values(new.iter().map(|(a, _)| *a))),
            Arc::new(Int32Array::from_iter(new.iter().map(|(_, b)| *b))),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(NOW); new.len()])),
        ],
    )
    .unwrap();
    let old = table.batch.slice(0, new.num_rows());
    let context = Context { now: NOW, ..Context::fixed() };
    let (rows, _) = update.complete(update.assign(&old, &new, &context)?, &context)?;
    let printed_row = |row: usize| {
        let values = rows.columns().iter().map(|column| {
            printed(&ScalarValue::try_from_array(column, row).unwrap(), SqlType::DateTime { fsp: 0 })
        });
        values.collect::<Vec<_>>().join(",")
    };
    Ok((0..rows.num_rows()).map(printed_row).collect::<Vec<_>>().join("|"))
}

#[test]
fn values_of_both_rows() {
    let new = [(1, Some(5)), (2, Some(6))];
    for (set, expected) in [
        ("b = VALUES(b)", "1,5,2024-05-06 07:08:09|2,6,2024-05-06 07:08:09"),
        ("b = b + VALUES(b)", "1,15,2024-05-06 07:08:09|2,NULL,2024-05-06 07:08:09"),
        ("log.b = COALESCE(log.b, VALUES(a)) ", "1,10,2024-05-06 07:08:09|2,2,2024-05-06 07:08:09"),
        ("a = 9, b = a", "9,9,2024-05-06 07:08:09|9,9,2024-05-06 07:08:09"),
        ("a = DEFAULT, changed = changed", "7,10,1970-01-01 00:00:00|7,NULL,1970-01-01 00:00:00"),
        ("b = '12', a = b + 1", "13,12,2024-05-06 07:08:09|13,12,2024-05-06 07:08:09"),
        ("b = '12'", "1,12,2024-05-06 07:08:09|2,12,2024-05-06 07:08:09"),
    ] {
        let text = format!("INSERT INTO log (a, b) VALUES (1, 5), (2, 6) ON DUPLICATE KEY UPDATE {set}");
        assert_eq!(updated(&text, &new).unwrap_or_else(|e| panic!("{set}: {e}")), expected, "{set}");
    }
}

#[test]
fn the_new_row_has_an_alias() {
    let new = [(1, Some(5)), (2, Some(6))];
    for (rest, expected) in [
        ("AS n ON DUPLICATE KEY UPDATE b = n.b + b", "1,15|2,NULL"),
        ("AS n (x, y) ON DUPLICATE KEY UPDATE b = y, a = n.x * 2", "2,5|4,6"),
        ("AS n (b, a) ON DUPLICATE KEY UPDATE b = n.b", "1,1|2,2"),
    ] {
        let text = format!("INSERT INTO log (a, b) VALUES (1, 5), (2, 6) {rest}");
        let rows = updated(&text, &new).unwrap_or_else(|e| panic!("{rest}: {e}"));
        let rows: Vec<&str> = rows.split('|').map(|row| row.rsplit_once(',').unwrap().0).collect();
        assert_eq!(rows.join("|"), expected, "{rest}");
    }
}

#[test]
fn errors() {
    for (rest, errno) in [
        ("ON DUPLICATE KEY UPDATE nope = 1", 1054),
        ("ON DUPLICATE KEY UPDATE b = VALUES(nope)", 1054),
        ("ON DUPLICATE KEY UPDATE b = (SELECT 1 FROM t)", 1235),
        ("AS n ON DUPLICATE KEY UPDATE n.b = 1", 1288),
        ("AS log ON DUPLICATE KEY UPDATE b = 1", 1066),
        ("AS n (x) ON DUPLICATE KEY UPDATE b = 1", 1058),
        ("ON DUPLICATE KEY UPDATE b = 'x'", 1366),
        ("ON DUPLICATE KEY UPDATE a = NULL", 1048),
    ] {
        let text = format!("INSERT INTO log (a, b) VALUES (1, 5) {rest}");
        let error = updated(&text, &[(1, Some(5))]).unwrap_err();
        assert_eq!(error.kind.errno(), errno, "{rest}: {error}");
    }
    assert_eq!(bind("SELECT VALUES(a) FROM log").unwrap_err().kind.errno(), 1235);
}
