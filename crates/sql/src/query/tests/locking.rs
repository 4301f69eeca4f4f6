//! FOR UPDATE and FOR SHARE: where the rows are.

use super::*;

fn locking(text: &str) -> (String, BoundLock) {
    let bound = bind(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let lock = bound.lock.unwrap_or_else(|| panic!("{text} locks nothing"));
    let plan = lock.apart.clone().unwrap_or(bound.plan);
    let mut rows = Vec::new();
    for batch in run_plan(plan).unwrap() {
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().map(|column| {
                printed(&ScalarValue::try_from_array(column, row).unwrap(), SqlType::DateTime { fsp: 0 })
            });
            rows.push(values.collect::<Vec<_>>().join(","));
        }
    }
    rows.sort_unstable();
    (rows.join("|"), lock)
}

fn names(lock: &BoundLock) -> Vec<&str> {
    lock.tables.iter().map(|table| table.name.as_str()).collect()
}

#[test]
fn the_places_follow_the_columns() {
    let (rows, lock) = locking("SELECT name FROM orders WHERE id > 3 ORDER BY amount LIMIT 2 FOR UPDATE");
    assert_eq!((rows.as_str(), names(&lock)), ("c,3,103|d,3,104", vec!["orders"]));
    assert!(lock.apart.is_none() && lock.lock == RowLock::Update && lock.when_locked == WhenLocked::Wait);
    let (rows, lock) = locking(
        "SELECT o.id, t.id FROM orders o LEFT JOIN t ON t_id = t.id WHERE o.id IN (3, 5) FOR SHARE NOWAIT",
    );
    assert_eq!(
        (rows.as_str(), names(&lock)),
        ("3,3,3,102,3,102|5,NULL,3,104,NULL,NULL", vec!["orders", "t"])
    );
    assert!(lock.lock == RowLock::Share && lock.when_locked == WhenLocked::Fail);
    let (rows, lock) =
        locking("SELECT o.id FROM orders o JOIN t ON t_id = t.id WHERE o.id = 3 FOR UPDATE OF t");
    assert_eq!((rows.as_str(), names(&lock)), ("3,3,102", vec!["t"]));
    let (_, lock) = locking("SELECT s.n FROM orders o, (SELECT 1 AS n FROM t) s LOCK IN SHARE MODE");
    assert_eq!(names(&lock), ["orders"], "not the tables of a derived one");
}

#[test]
fn skip_locked_leaves_limit_for_later() {
    let (rows, lock) =
        locking("SELECT id FROM orders WHERE id < 3 ORDER BY id LIMIT 1, 1 FOR UPDATE SKIP LOCKED");
    assert_eq!(rows, "1,3,100|2,3,101");
    assert_eq!((lock.skip, lock.fetch, lock.when_locked), (1, Some(1), WhenLocked::Skip));
}

#[test]
fn grouped_rows_are_found_apart() {
    for text in [
        "SELECT SUM(amount) FROM orders WHERE id < 3 FOR UPDATE",
        "SELECT name, COUNT(*) FROM orders WHERE id < 3 GROUP BY name HAVING COUNT(*) > 5 FOR UPDATE",
        "SELECT DISTINCT t_id FROM orders WHERE id < 3 FOR UPDATE",
    ] {
        let (rows, lock) = locking(text);
        assert!(lock.apart.is_some(), "{text}");
        assert_eq!(rows, "3,100|3,101", "{text}");
    }
}

#[test]
fn what_cannot_be_locked_is_refused() {
    for (text, errno) in [
        ("SELECT 1 UNION SELECT id FROM t FOR UPDATE", 1235),
        ("SELECT * FROM (SELECT * FROM t FOR UPDATE) s", 1235),
        ("SELECT * FROM t FOR UPDATE OF nothing", 3568),
    ] {
        assert_eq!(bind(text).unwrap_err().kind.errno(), errno, "{text}");
    }
}
