//! A follower that gets deltas holds what the voters hold.

use super::*;
use crate::FormatError;

#[test]
fn deltas_lead_from_any_state_to_any_later_one() {
    let mut driver = Driver::default();
    let mut states = vec![driver.catalog.clone()];
    for command in super::formats::commands(6) {
        // Some fail, and change nothing.
        let _ = driver.run(command);
        states.push(driver.catalog.clone());
    }
    for (at, old) in states.iter().enumerate() {
        for new in &states[at..] {
            let followed = old.to_follow().with_delta(&old.delta_to(new)).unwrap();
            assert_eq!(followed, new.to_follow());
            for table in new.table_ids.values() {
                assert_eq!(followed.table_by_id(table.id), Some(table));
            }
        }
    }
}

#[test]
fn a_delta_holds_only_what_changed() {
    let mut driver = Driver::with_leaves();
    driver.run(create_database("d", Some(64))).unwrap();
    driver.run(create_table("d", "t")).unwrap();
    let before = driver.catalog.clone();
    let table = before.require_table("d", "t").unwrap().id;
    driver.run(Command::TakeIds { table, count: 1000 }).unwrap();
    let delta = String::from_utf8(before.delta_to(&driver.catalog)).unwrap();
    assert!(delta.contains("\"next_values\":{\"put\":[[1,1001]],\"gone\":[]}"), "{delta}");
    assert!(delta.len() < 500 && !delta.contains("partition\":["), "{delta}");
}

#[test]
fn a_delta_from_another_state_is_refused() {
    let mut driver = Driver::with_leaves();
    let before = driver.catalog.clone();
    driver.run(create_database("d", Some(1))).unwrap();
    let delta = before.delta_to(&driver.catalog);
    let error = driver.catalog.with_delta(&delta).unwrap_err();
    assert_eq!(error, FormatError::Damaged("changes since version 3 do not fit version 4".to_string()));
    assert!(before.with_delta(b"{}").is_err() && before.with_delta(&delta[..20]).is_err());
}
