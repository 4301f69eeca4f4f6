use super::*;
use crate::{ColumnPrivileges, Level, NodeState, Privilege, PrivilegeSet, WINDOW};
use std::collections::HashMap;
use types::{ErrorKind, KeyDef};

#[test]
fn databases_come_and_go_with_mysqls_messages() {
    let mut driver = Driver::with_leaves();
    let Outcome::DatabaseCreated(shop) = driver.run(create_database("shop", Some(5))).unwrap() else {
        panic!()
    };
    assert_eq!(driver.catalog.database("shop"), Some(&shop));
    assert_eq!(driver.catalog.database_by_id(shop.id), Some(&shop));
    assert_eq!(driver.catalog.database("Shop"), None);
    for (command, error) in [
        (create_database("shop", None), "ERROR 1007 (HY000): Can't create database 'shop'; database exists"),
        (
            create_database("mysql", None),
            "ERROR 1007 (HY000): Can't create database 'mysql'; database exists",
        ),
        (create_database("", None), "ERROR 1102 (42000): Incorrect database name ''"),
        (
            create_database("none", Some(0)),
            "ERROR 1504 (HY000): Number of partitions = 0 is not an allowed value",
        ),
        (
            create_database("many", Some(8193)),
            "ERROR 1499 (HY000): Too many partitions were defined: 8193, and a database may have 8192",
        ),
        (drop_database("nope"), "ERROR 1008 (HY000): Can't drop database 'nope'; database doesn't exist"),
        (drop_database("SYS"), "ERROR 3552 (HY000): Access to system schema 'SYS' is rejected."),
        (
            create_table("information_schema", "t"),
            "ERROR 3552 (HY000): Access to system schema 'information_schema' is rejected.",
        ),
        (create_table("nope", "t"), "ERROR 1049 (42000): Unknown database 'nope'"),
    ] {
        assert_eq!(driver.fails(command), error);
    }
    let long = "x".repeat(65);
    assert_eq!(
        driver.fails(create_database(&long, None)),
        format!("ERROR 1059 (42000): Identifier name '{long}' is too long")
    );

    let version = driver.catalog.version();
    let again = Command::CreateDatabase {
        name: "shop".into(),
        partitions: None,
        collation: types::Collation::default(),
        if_not_exists: true,
    };
    let Outcome::Unchanged(note) = driver.run(again).unwrap() else { panic!() };
    assert_eq!(note.kind, ErrorKind::DbCreateExists);
    let none = Command::DropDatabase { name: "nope".into(), if_exists: true };
    assert!(matches!(driver.run(none).unwrap(), Outcome::Unchanged(_)));
    assert_eq!(driver.catalog.version(), version, "nothing changed");

    driver.run(create_table("shop", "t")).unwrap();
    let id = driver.catalog.table("shop", "t").unwrap().id;
    let Outcome::DatabaseDropped { database, tables } = driver.run(drop_database("shop")).unwrap() else {
        panic!()
    };
    assert_eq!((database.id, tables), (shop.id, 1));
    assert_eq!(driver.catalog.table_by_id(id), None);
    assert_eq!(driver.catalog.partition(shop.partitions[0].id), None);
    assert_eq!(driver.catalog.version(), version + 2);

    // Ids do not come back.
    let Outcome::DatabaseCreated(again) = driver.run(create_database("shop", Some(1))).unwrap() else {
        panic!()
    };
    assert!(again.id > shop.id && again.partitions[0].id > shop.partitions[4].id);
}

#[test]
fn partitions_are_spread_evenly() {
    let mut driver = Driver::default();
    assert_eq!(
        driver.fails(create_database("d", None)),
        "ERROR 1105 (HY000): No leaf is online, so a database has no place to be: start one first"
    );
    driver = Driver::with_leaves();
    driver.run(create_database("default", None)).unwrap();
    assert_eq!(driver.catalog.database("default").unwrap().partitions.len(), 12, "one a core");
    for i in 0..3 {
        driver.run(create_database(&format!("small{i}"), Some(1))).unwrap();
    }
    driver.run(create_database("five", Some(5))).unwrap();
    let five = driver.catalog.database("five").unwrap().clone();
    let mut of_five: HashMap<NodeId, u32> = HashMap::new();
    for (ordinal, partition) in five.partitions.iter().enumerate() {
        assert_eq!(partition.ordinal as usize, ordinal);
        assert_eq!(
            (&partition.replicas, &partition.in_sync),
            (&vec![partition.primary], &vec![partition.primary])
        );
        assert_eq!(partition.epoch, 1);
        *of_five.entry(partition.primary).or_default() += 1;
        let (database, found) = driver.catalog.partition(partition.id).unwrap();
        assert_eq!((database, found), (&five, partition));
    }
    let mut counts: Vec<u32> = of_five.into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 2, 2]);
    let mut held: HashMap<NodeId, u32> = HashMap::new();
    for database in driver.catalog.databases() {
        for partition in driver.catalog.partitions(database.id) {
            *held.entry(partition.primary).or_default() += 1;
        }
    }
    let mut counts: Vec<u32> = held.into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts, [6, 7, 7], "the small ones did not all go to the first leaf");

    // A leaf that is away gets nothing.
    driver.run(Command::SetNodeState { node: NodeId(2), state: NodeState::Offline }).unwrap();
    driver.run(create_database("later", Some(4))).unwrap();
    assert!(driver.catalog.database("later").unwrap().partitions.iter().all(|p| p.primary != NodeId(2)));
}

#[test]
fn tables_come_and_go_with_mysqls_messages() {
    let mut driver = Driver::with_leaves();
    let Outcome::DatabaseCreated(d) = driver.run(create_database("d", Some(2))).unwrap() else { panic!() };
    let Outcome::TableCreated(t) = driver.run(create_table("d", "t")).unwrap() else { panic!() };
    assert_eq!((t.database, t.version), (d.id, 1));
    assert_ne!(t.id, TableId(0));
    assert_eq!(driver.catalog.require_table("d", "t"), Ok(&t));
    assert_eq!(driver.catalog.table_by_id(t.id), Some(&t));
    assert_eq!(driver.catalog.tables("d").collect::<Vec<_>>(), [&t]);
    assert_eq!(driver.catalog.tables("e").count(), 0);
    for (database, name, error) in [
        ("d", "T", "ERROR 1146 (42S02): Table 'd.T' doesn't exist"),
        ("e", "t", "ERROR 1049 (42000): Unknown database 'e'"),
    ] {
        assert_eq!(driver.catalog.require_table(database, name).unwrap_err().to_string(), error);
    }
    let with = |change: &dyn Fn(&mut TableDef)| {
        let mut def = table("bad");
        change(&mut def);
        Command::CreateTable { database: "d".into(), def, if_not_exists: false }
    };
    for (command, error) in [
        (create_table("d", "t"), "ERROR 1050 (42S01): Table 't' already exists"),
        (drop_table("d", "nope"), "ERROR 1051 (42S02): Unknown table 'd.nope'"),
        (drop_table("e", "t"), "ERROR 1049 (42000): Unknown database 'e'"),
        (
            Command::TruncateTable { database: "d".into(), name: "u".into() },
            "ERROR 1146 (42S02): Table 'd.u' doesn't exist",
        ),
        (with(&|t| t.name = "end ".into()), "ERROR 1103 (42000): Incorrect table name 'end '"),
        (with(&|t| t.columns.clear()), "ERROR 1113 (42000): A table must have at least 1 column"),
        (with(&|t| t.columns[1].name = "A".into()), "ERROR 1060 (42S21): Duplicate column name 'A'"),
        (
            with(&|t| t.sort_key = vec![ColumnId(9)]),
            "ERROR 1072 (42000): Key column 'c9' doesn't exist in table",
        ),
        (
            with(&|t| t.primary_key = vec![ColumnId(1), ColumnId(1)]),
            "ERROR 1060 (42S21): Duplicate column name 'a'",
        ),
        (
            with(&|t| {
                let key =
                    |name: &str| KeyDef { name: name.into(), columns: vec![ColumnId(2)], unique: false };
                t.keys = vec![key("k"), key("K")];
            }),
            "ERROR 1061 (42000): Duplicate key name 'K'",
        ),
        (
            with(&|t| t.columns[1].id = ColumnId(1)),
            "ERROR 1105 (HY000): Column 'b' has the id c1, which is taken or not given yet",
        ),
    ] {
        assert_eq!(driver.fails(command), error);
    }
    let again = Command::CreateTable { database: "d".into(), def: table("t"), if_not_exists: true };
    let Outcome::Unchanged(note) = driver.run(again).unwrap() else { panic!() };
    assert_eq!(note.message, "Table 't' already exists");

    let Outcome::TableTruncated { old, new } =
        driver.run(Command::TruncateTable { database: "d".into(), name: "t".into() }).unwrap()
    else {
        panic!()
    };
    assert_eq!(old, t);
    assert!(new.id > t.id);
    assert_eq!(driver.catalog.table_by_id(t.id), None);
    let Outcome::TableDropped(dropped) = driver.run(drop_table("d", "t")).unwrap() else { panic!() };
    assert_eq!(dropped, new);
    assert_eq!(driver.catalog.table("d", "t"), None);
    let none = Command::DropTable { database: "d".into(), name: "t".into(), if_exists: true };
    assert!(matches!(driver.run(none).unwrap(), Outcome::Unchanged(_)));
}

#[test]
fn a_table_is_replaced_by_the_one_that_it_waits_for() {
    let mut driver = Driver::with_leaves();
    driver.run(create_database("d", Some(2))).unwrap();
    let mut create = |name: &str| {
        let command = Command::CreateTable { database: "d".into(), def: table(name), if_not_exists: false };
        let Outcome::TableCreated(def) = driver.run(command).unwrap() else { panic!() };
        def
    };
    let (old, new, other) = (create("t"), create("new"), create("other"));
    let replace = |version, by: &TableDef, name: &str| Command::ReplaceTable {
        table: old.id,
        by: by.id,
        expected_version: version,
        name: name.into(),
    };
    let changed = "ERROR 1412 (HY000): Table definition has changed, please retry transaction";
    let wait = |def: &TableDef, version| {
        let def = TableDef { replacement: Some(new.id), ..def.clone() };
        Command::AlterTable { def, expected_version: version }
    };
    assert_eq!(driver.fails(replace(1, &new, "t")), changed);
    driver.run(wait(&old, 1)).unwrap();
    assert_eq!(driver.catalog.table("d", "t").unwrap().replacement, Some(new.id));
    assert_eq!(driver.fails(replace(1, &new, "t")), changed);
    assert_eq!(driver.fails(replace(2, &other, "t")), changed);
    assert_eq!(driver.fails(replace(2, &new, "other")), "ERROR 1050 (42S01): Table 'other' already exists");
    driver.run(Command::RaiseIds { table: new.id, above: 7 }).unwrap();
    let Outcome::TableAltered(placed) = driver.run(replace(2, &new, "t")).unwrap() else { panic!() };
    assert_eq!((placed.id, placed.version, placed.name.as_str()), (new.id, 2, "t"));
    assert_eq!(driver.catalog.table("d", "t"), Some(&placed));
    assert_eq!((driver.catalog.table_by_id(old.id), driver.catalog.table("d", "new")), (None, None));
    assert_eq!(driver.run(Command::TakeIds { table: new.id, count: 1 }), Ok(Outcome::Ids { first: 8 }));

    // Whoever drops the replacement lets the table go on.
    let wait = TableDef { replacement: Some(other.id), ..TableDef::clone(&placed) };
    driver.run(Command::AlterTable { def: wait, expected_version: 2 }).unwrap();
    driver.run(drop_table("d", "other")).unwrap();
    let kept = driver.catalog.table("d", "t").unwrap();
    assert_eq!((kept.id, kept.version, kept.replacement), (new.id, 4, None));
    let late = Command::ReplaceTable { table: new.id, by: other.id, expected_version: 3, name: "t".into() };
    assert_eq!(driver.fails(late), changed);
}

#[test]
fn a_table_changes_only_from_the_version_that_was_read() {
    let mut driver = Driver::with_leaves();
    driver.run(create_database("d", Some(2))).unwrap();
    driver.run(create_table("d", "other")).unwrap();
    let Outcome::TableCreated(t) = driver.run(create_table("d", "t")).unwrap() else { panic!() };
    let mut dropped_b = TableDef::clone(&t);
    dropped_b.columns.pop();
    let alter = |def: &TableDef, expected_version| Command::AlterTable { def: def.clone(), expected_version };
    let Outcome::TableAltered(second) = driver.run(alter(&dropped_b, 1)).unwrap() else { panic!() };
    assert_eq!((second.version, second.columns.len()), (2, 1));
    assert_eq!(driver.catalog.table("d", "t"), Some(&second));
    assert_eq!(driver.catalog.table_by_id(t.id), Some(&second));

    let error = "ERROR 1412 (HY000): Table definition has changed, please retry transaction";
    assert_eq!(driver.fails(alter(&t, 1)), error);
    let gone = TableDef { id: TableId(99), ..TableDef::clone(&t) };
    assert_eq!(driver.fails(alter(&gone, 1)), error);
    assert_eq!(
        driver.fails(alter(&t, 2)),
        "ERROR 1105 (HY000): Column 'b' has the id c2 of a column that was dropped"
    );
    let reshard = TableDef { shard_key: vec![], ..TableDef::clone(&second) };
    assert_eq!(
        driver.fails(alter(&reshard, 2)),
        "ERROR 1235 (42000): Pando doesn't yet support 'ALTER TABLE that changes the shard key'"
    );
    let mut renamed = TableDef { name: "other".into(), ..TableDef::clone(&second) };
    assert_eq!(driver.fails(alter(&renamed, 2)), "ERROR 1050 (42S01): Table 'other' already exists");
    renamed.name = "u".into();
    driver.run(alter(&renamed, 2)).unwrap();
    assert_eq!(driver.catalog.table("d", "t"), None);
    assert_eq!(driver.catalog.table("d", "u").unwrap().version, 3);
}

#[test]
fn users_and_grants() {
    let mut driver = Driver::with_leaves();
    driver.run(create_database("d", Some(1))).unwrap();
    driver.run(create_table("d", "t")).unwrap();
    driver.run(create_user("ann")).unwrap();
    let ann = UserName::new("ann", "%");
    let bob = UserName::new("bob", "Host.Example");
    let select = PrivilegeSet::NONE.with(Privilege::Select);
    let on_t = Level::Table { database: "d".into(), table: "t".into() };
    let grant = |user: &UserName, level: &Level, privileges| Command::Grant {
        user: user.clone(),
        level: level.clone(),
        privileges,
        columns: ColumnPrivileges::new(),
    };
    let revoke = |user: &UserName, level: &Level, privileges| Command::Revoke {
        user: user.clone(),
        level: level.clone(),
        privileges,
        columns: ColumnPrivileges::new(),
    };
    let alter = |user: &UserName, if_exists| Command::AlterUser {
        user: user.clone(),
        plugin: "mysql_native_password".into(),
        authentication: "*1".into(),
        if_exists,
    };
    for (command, error) in [
        (create_user("ann"), "ERROR 1396 (HY000): Operation CREATE USER failed for 'ann'@'%'"),
        (alter(&bob, false), "ERROR 1396 (HY000): Operation ALTER USER failed for 'bob'@'host.example'"),
        (
            Command::DropUser { user: bob.clone(), if_exists: false },
            "ERROR 1396 (HY000): Operation DROP USER failed for 'bob'@'host.example'",
        ),
        (
            create_user("a_name_that_is_longer_than_it_may_be"),
            "ERROR 1470 (HY000): String 'a_name_that_is_longer_than_it_may_be' is too long for user name (should be no longer than 32)",
        ),
        (
            grant(&bob, &Level::Global, select),
            "ERROR 1410 (42000): You are not allowed to create a user with GRANT",
        ),
        (
            grant(&ann, &Level::Database("d".into()), PrivilegeSet::NONE.with(Privilege::Super)),
            "ERROR 1221 (HY000): Incorrect usage of DB GRANT and GLOBAL PRIVILEGES",
        ),
        (
            grant(&ann, &on_t, PrivilegeSet::NONE.with(Privilege::LockTables)),
            "ERROR 1144 (42000): Illegal GRANT/REVOKE command; please consult the manual to see which privileges can be used",
        ),
        (
            grant(&ann, &Level::Table { database: "d".into(), table: "u".into() }, select),
            "ERROR 1146 (42S02): Table 'd.u' doesn't exist",
        ),
        (
            revoke(&ann, &on_t, select),
            "ERROR 1147 (42000): There is no such grant defined for user 'ann' on host '%' on table 't'",
        ),
        (
            revoke(&ann, &Level::Database("d".into()), select),
            "ERROR 1141 (42000): There is no such grant defined for user 'ann' on host '%'",
        ),
        (
            Command::RevokeAll { user: bob.clone() },
            "ERROR 1269 (HY000): Can't revoke all privileges for one or more of the requested users",
        ),
    ] {
        assert_eq!(driver.fails(command), error);
    }
    driver.run(alter(&ann, false)).unwrap();
    assert_eq!(driver.catalog.user(&ann).unwrap().plugin, "mysql_native_password");
    driver.run(grant(&ann, &on_t, select)).unwrap();
    driver.run(grant(&ann, &on_t, PrivilegeSet::NONE.with(Privilege::Insert))).unwrap();
    let grants = driver.catalog.user(&ann).unwrap().grants.clone();
    assert!(
        grants.allow(Privilege::Insert, Some("d"), Some("t"))
            && !grants.allow(Privilege::Insert, Some("d"), None)
    );
    assert_eq!(grants.levels().map(|(level, _)| level.to_string()).collect::<Vec<_>>(), ["*.*", "`d`.`t`"]);
    driver.run(revoke(&ann, &on_t, select)).unwrap();
    assert_eq!(
        driver.catalog.user(&ann).unwrap().grants.at(&on_t),
        PrivilegeSet::NONE.with(Privilege::Insert)
    );
    driver.run(grant(&ann, &Level::Global, Level::Global.all_privileges())).unwrap();
    assert!(driver.catalog.user(&ann).unwrap().grants.allow(Privilege::Drop, Some("any"), Some("thing")));
    driver.run(Command::RevokeAll { user: ann.clone() }).unwrap();
    assert_eq!(driver.catalog.user(&ann).unwrap().grants, crate::Grants::default());
    driver.run(Command::DropUser { user: ann.clone(), if_exists: false }).unwrap();
    assert_eq!(driver.catalog.users().count(), 0);
}

#[test]
fn the_most_specific_account_is_taken() {
    let mut driver = Driver::default();
    for (name, host) in [
        ("ann", "%"),
        ("ann", "10.%"),
        ("ann", "10.0.%"),
        ("ann", "10.0.0.7"),
        ("", "localhost"),
        ("root", "%"),
        ("root", "localhost"),
    ] {
        driver
            .run(Command::CreateUser {
                user: UserName::new(name, host),
                plugin: String::new(),
                authentication: String::new(),
                if_not_exists: false,
                options: AccountOptions::default(),
            })
            .unwrap();
    }
    for (name, hosts, expected) in [
        ("ann", &["10.0.0.7"][..], Some(("ann", "10.0.0.7"))),
        ("ann", &["10.0.0.8"], Some(("ann", "10.0.%"))),
        ("ann", &["10.9.0.8"], Some(("ann", "10.%"))),
        ("ann", &["192.168.0.1"], Some(("ann", "%"))),
        // As in MySQL, where this surprises people too: the host counts more than the name.
        ("ann", &["127.0.0.1", "localhost"], Some(("", "localhost"))),
        ("root", &["127.0.0.1", "LocalHost"], Some(("root", "localhost"))),
        ("Root", &["10.0.0.1"], None),
    ] {
        let found =
            driver.catalog.user_for_login(name, hosts).map(|u| (u.user.name.as_str(), u.user.host.as_str()));
        assert_eq!(found, expected, "{name} {hosts:?}");
    }
}

#[test]
fn nodes() {
    let mut driver = Driver::default();
    assert_eq!(driver.run(register(Some(7), 1)), Ok(Outcome::NodeRegistered(NodeId(7))));
    assert_eq!(driver.run(register(None, 2)), Ok(Outcome::NodeRegistered(NodeId(8))));
    assert_eq!(
        driver.run(register(None, 2)),
        Ok(Outcome::NodeRegistered(NodeId(8))),
        "the same process again"
    );
    driver.run(create_database("d", Some(2))).unwrap();
    assert_eq!(
        driver.fails(register(None, 2)),
        "ERROR 1105 (HY000): Node n8 at leaf:2 holds partitions: start it with its folder, or elsewhere"
    );
    assert_eq!(driver.run(register(Some(8), 3)), Ok(Outcome::NodeRegistered(NodeId(8))));
    assert_eq!(driver.catalog.node(NodeId(8)).unwrap().port, 3);
    assert_eq!(
        driver.fails(Command::RemoveNode { node: NodeId(8) }),
        "ERROR 1105 (HY000): Node n8 holds partitions: move or drop them first"
    );
    driver.run(drop_database("d")).unwrap();
    driver.run(Command::RemoveNode { node: NodeId(8) }).unwrap();
    assert_eq!(
        driver.fails(register(Some(8), 3)),
        "ERROR 1105 (HY000): Node n8 was removed from the cluster: start it with an empty folder"
    );
    assert_eq!(
        driver.fails(Command::SetNodeState { node: NodeId(8), state: NodeState::Offline }),
        "ERROR 1105 (HY000): The cluster has no node n8"
    );
    assert_eq!(driver.run(register(None, 3)), Ok(Outcome::NodeRegistered(NodeId(9))));
}

#[test]
fn a_leaf_is_removed_and_let_in_again() {
    let mut driver = Driver::default();
    let (first, second) = (NodeId(1), NodeId(2));
    driver.run(register(Some(1), 1)).unwrap();
    driver.run(register(Some(2), 2)).unwrap();
    driver.run(create_database("d", Some(4))).unwrap();
    assert_eq!(
        driver.fails(Command::RemoveLeaf { node: second }),
        "ERROR 1105 (HY000): Leaf 'leaf':2 holds partitions: 2 of database 'd'; drop these databases first"
    );
    driver.run(drop_database("d")).unwrap();
    driver.run(Command::RemoveLeaf { node: second }).unwrap();
    assert_eq!(driver.catalog.node(second).unwrap().state, NodeState::Removed);
    // Nothing brings it back by itself, and it gets no partition.
    assert_eq!(
        driver.fails(Command::SetNodeState { node: second, state: NodeState::Online }),
        "ERROR 1105 (HY000): Node n2 is removed and let in by commands of their own"
    );
    assert_eq!(
        driver.fails(register(Some(2), 2)),
        "ERROR 1105 (HY000): Node n2 was removed from the cluster: ADD LEAF 'leaf':2 lets it in again"
    );
    assert_eq!(
        driver.fails(Command::RemoveLeaf { node: first }),
        "ERROR 1105 (HY000): Leaf 'leaf':1 is the only leaf of the cluster: add another one first"
    );
    driver.run(create_database("e", Some(4))).unwrap();
    assert!(driver.catalog.database("e").unwrap().partitions.iter().all(|p| p.primary == first));
    driver.run(Command::ReadmitLeaf { node: second }).unwrap();
    assert_eq!(driver.catalog.node(second).unwrap().state, NodeState::Offline);
    driver.run(Command::SetNodeState { node: second, state: NodeState::Online }).unwrap();
    driver.run(Command::ReadmitLeaf { node: second }).unwrap();
    assert_eq!(driver.catalog.node(second).unwrap().state, NodeState::Online, "nothing to do");
    assert_eq!(
        driver.fails(Command::ReadmitLeaf { node: NodeId(9) }),
        "ERROR 1105 (HY000): The cluster has no node n9"
    );
    // One that lost its folder is a new member.
    driver.run(Command::RemoveLeaf { node: second }).unwrap();
    assert_eq!(driver.run(register(None, 2)), Ok(Outcome::NodeRegistered(second)));
}

#[test]
fn global_variables() {
    let mut driver = Driver::default();
    let set = |value: Option<&str>| Command::SetGlobalVariable {
        name: "Wait_Timeout".into(),
        value: value.map(str::to_string),
    };
    driver.run(set(Some("60"))).unwrap();
    assert_eq!(driver.catalog.global_variable("WAIT_TIMEOUT"), Some("60"));
    assert_eq!(driver.catalog.global_variables().collect::<Vec<_>>(), [("wait_timeout", "60")]);
    driver.run(set(None)).unwrap();
    assert_eq!(driver.catalog.global_variable("wait_timeout"), None);
}

#[test]
fn the_same_command_twice_is_applied_once() {
    let mut driver = Driver::with_leaves();
    let id = |number| CommandId { node: NodeId(2), number };
    let first = driver.catalog.apply(id(5), &create_database("d", Some(2)));
    assert!(first.is_ok());
    let failed = driver.catalog.apply(id(6), &drop_table("d", "t"));
    assert!(failed.is_err());
    let before = driver.catalog.clone();
    assert_eq!(driver.catalog.apply(id(5), &create_database("d", Some(2))), first);
    assert_eq!(driver.catalog.apply(id(6), &drop_table("d", "t")), failed);
    assert_eq!(driver.catalog, before);

    let other = driver.catalog.apply(id(5), &drop_database("d")).unwrap_err();
    assert_eq!(other.message, "Metadata command n2#5 was refused: its number belongs to another command");
    // A number that was passed over is new; the same number of another node is another command.
    assert!(driver.catalog.apply(id(3), &create_table("d", "t")).is_ok());
    assert!(driver.catalog.apply(CommandId { node: NodeId(3), number: 5 }, &create_table("d", "u")).is_ok());
    assert_eq!(driver.catalog.last_number(NodeId(2)), 6);
    assert_eq!(driver.catalog.last_number(NodeId(9)), 0);

    for number in 100..100 + WINDOW as u64 {
        let set = Command::SetGlobalVariable { name: "x".into(), value: Some(number.to_string()) };
        driver.catalog.apply(id(number), &set).unwrap();
    }
    let before = driver.catalog.clone();
    let late = driver.catalog.apply(id(5), &create_database("d", Some(2))).unwrap_err();
    assert_eq!(
        late.message,
        "Metadata command n2#5 was refused: it came so late that nobody knows any more whether it was applied"
    );
    assert_eq!(driver.catalog, before);
}

#[test]
fn a_clone_does_not_change() {
    let mut driver = Driver::with_leaves();
    driver.run(create_database("d", Some(2))).unwrap();
    let before = driver.catalog.clone();
    driver.run(create_table("d", "t")).unwrap();
    driver.run(drop_database("d")).unwrap();
    assert!(before.database("d").is_some() && before.table("d", "t").is_none());
    assert_eq!(driver.catalog.version(), before.version() + 2);
}

#[test]
fn grants_on_columns_are_of_columns_that_are_there() {
    let mut driver = Driver::with_leaves();
    driver.run(create_database("d", Some(1))).unwrap();
    driver.run(create_table("d", "t")).unwrap();
    driver.run(create_user("ann")).unwrap();
    let ann = UserName::new("ann", "%");
    let select = PrivilegeSet::NONE.with(Privilege::Select);
    let on = |table: &str| Level::Table { database: "d".into(), table: table.into() };
    let of = |names: &[&str]| -> ColumnPrivileges {
        names.iter().map(|name| (name.to_string(), select)).collect()
    };
    let grant = |level, columns| Command::Grant {
        user: ann.clone(),
        level,
        privileges: PrivilegeSet::NONE,
        columns: of(columns),
    };
    let revoke = |privileges, columns: &[&str]| Command::Revoke {
        user: ann.clone(),
        level: on("t"),
        privileges,
        columns: of(columns),
    };
    let none = PrivilegeSet::NONE;
    let nothing =
        "ERROR 1147 (42000): There is no such grant defined for user 'ann' on host '%' on table 't'";
    for (command, error) in [
        (grant(on("t"), &["a", "z"]), "ERROR 1054 (42S22): Unknown column 'z' in 't'"),
        (grant(on("u"), &["a"]), "ERROR 1146 (42S02): Table 'd.u' doesn't exist"),
        (
            grant(Level::Global, &["a"]),
            "ERROR 1144 (42000): Illegal GRANT/REVOKE command; please consult the manual to see which privileges can be used",
        ),
        (revoke(none, &["a"]), nothing),
    ] {
        assert_eq!(driver.fails(command), error);
    }
    driver.run(grant(on("t"), &["A", "b"])).unwrap();
    let held = |driver: &Driver| driver.catalog.user(&ann).unwrap().grants.on_columns("d", "t").cloned();
    assert_eq!(held(&driver), Some(of(&["a", "b"])));
    driver.run(revoke(none, &["B"])).unwrap();
    assert_eq!(held(&driver), Some(of(&["a"])));
    assert_eq!(driver.fails(revoke(none, &["b"])), nothing);
    driver.run(revoke(select, &[])).unwrap();
    assert_eq!(held(&driver), None);
}
