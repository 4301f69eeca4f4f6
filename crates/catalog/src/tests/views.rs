//! Views, and how they share names with tables.

use super::*;

fn create_view(database: &str, name: &str, or_replace: bool) -> Command {
    Command::CreateView { database: database.into(), view: view(name), or_replace }
}

fn drop_view(name: &str, if_exists: bool) -> Command {
    Command::DropView { database: "d".into(), name: name.into(), if_exists }
}

#[test]
fn views_share_names_with_tables() {
    let mut driver = Driver::with_leaves();
    driver.run(create_database("d", Some(1))).unwrap();
    driver.run(create_database("e", Some(1))).unwrap();
    driver.run(create_table("d", "t")).unwrap();
    driver.run(create_view("d", "v", false)).unwrap();
    driver.run(create_view("e", "v", false)).unwrap();
    assert_eq!(driver.catalog.view("d", "v").unwrap().columns, ["a", "total"]);
    assert_eq!(driver.catalog.views("d").count(), 1);
    for (command, error) in [
        (create_view("d", "v", false), "ERROR 1050 (42S01): Table 'v' already exists"),
        (create_view("d", "t", false), "ERROR 1050 (42S01): Table 't' already exists"),
        (create_view("d", "t", true), "ERROR 1347 (HY000): 'd.t' is not VIEW"),
        (create_table("d", "v"), "ERROR 1050 (42S01): Table 'v' already exists"),
        (drop_table("d", "v"), "ERROR 1051 (42S02): Unknown table 'd.v'"),
        (drop_view("t", true), "ERROR 1347 (HY000): 'd.t' is not VIEW"),
        (drop_view("x", false), "ERROR 1051 (42S02): Unknown table 'd.x'"),
        (create_view("nope", "v", false), "ERROR 1049 (42000): Unknown database 'nope'"),
        (
            create_view("mysql", "v", false),
            "ERROR 3552 (HY000): Access to system schema 'mysql' is rejected.",
        ),
    ] {
        assert_eq!(driver.fails(command), error);
    }
    let def = driver.catalog.table("d", "t").unwrap();
    let renamed = TableDef { name: "v".into(), ..TableDef::clone(def) };
    let rename = Command::AlterTable { expected_version: renamed.version, def: renamed };
    assert_eq!(driver.fails(rename), "ERROR 1050 (42S01): Table 'v' already exists");
    assert!(matches!(driver.run(drop_view("x", true)), Ok(Outcome::Unchanged(_))));

    let other = View { query: "SELECT 1, 2".into(), ..view("v") };
    driver.run(Command::CreateView { database: "d".into(), view: other, or_replace: true }).unwrap();
    assert_eq!(driver.catalog.view("d", "v").unwrap().query, "SELECT 1, 2");
    driver.run(drop_view("v", false)).unwrap();
    assert_eq!(driver.catalog.view("d", "v"), None);
    driver.run(create_view("d", "v", false)).unwrap();
    driver.run(drop_database("d")).unwrap();
    driver.run(create_database("d", Some(1))).unwrap();
    assert_eq!(driver.catalog.view("d", "v"), None, "views go with their database");
    assert!(driver.catalog.view("e", "v").is_some());
}
