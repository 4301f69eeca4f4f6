//! `testdata/` holds the bytes that each format was written in. They never change; a new format adds
//! files.

use super::*;
use crate::{ColumnPrivileges, FormatError, Level, LockHolder, LockTime, NodeState, Privilege, PrivilegeSet};
use types::KeyDef;

const COMMANDS_1: &str = include_str!("../../testdata/commands-1.json");
const SNAPSHOT_1: &str = include_str!("../../testdata/snapshot-1.json");
const COMMANDS_2: &str = include_str!("../../testdata/commands-2.json");
const SNAPSHOT_2: &str = include_str!("../../testdata/snapshot-2.json");
const COMMANDS_3: &str = include_str!("../../testdata/commands-3.json");
const SNAPSHOT_3: &str = include_str!("../../testdata/snapshot-3.json");
const COMMANDS_4: &str = include_str!("../../testdata/commands-4.json");
const SNAPSHOT_4: &str = include_str!("../../testdata/snapshot-4.json");
const COMMANDS_5: &str = include_str!("../../testdata/commands-5.json");
const SNAPSHOT_5: &str = include_str!("../../testdata/snapshot-5.json");
const COMMANDS: &str = include_str!("../../testdata/commands-6.json");
const SNAPSHOT: &str = include_str!("../../testdata/snapshot-6.json");

/// One of each kind that the format knows; those before the failures make a state that has something
/// of everything.
pub(super) fn commands(format: u32) -> Vec<Command> {
    let mut commands = commands_of_format_1();
    if format >= 2 {
        commands.push(Command::FoundCluster { id: u64::MAX });
        commands.push(Command::RegisterNode {
            id: None,
            host: "aggregator".into(),
            port: 7306,
            mysql_port: Some(3306),
            role: NodeRole::Master,
            cores: 2,
        });
    }
    if format >= 3 {
        commands.extend(commands_new_in_format_3());
    }
    if format >= 4 {
        commands.extend(commands_new_in_format_4());
    }
    if format >= 5 {
        let mut def = TableDef { shard_key: Vec::new(), reference: true, ..table("colours") };
        def.columns[1].ty = SqlType::Bit(5);
        def.columns[1].default = ColumnDefault::Literal("6".into());
        commands.push(Command::CreateTable { database: "shop".into(), def, if_not_exists: false });
    }
    if format >= 6 {
        commands.extend(commands_new_in_format_6());
        commands.extend(lock_commands());
    }
    commands
}

fn commands_new_in_format_3() -> Vec<Command> {
    let (ann, role) = (UserName::new("ann", "10.%"), UserName::new("reader", "%"));
    vec![
        Command::CreateView { database: "shop".into(), view: view("sums"), or_replace: true },
        Command::CreateView { database: "shop".into(), view: view("gone"), or_replace: false },
        Command::DropView { database: "shop".into(), name: "gone".into(), if_exists: false },
        Command::CreateUser {
            user: UserName::new("bob", "%"),
            plugin: "caching_sha2_password".into(),
            authentication: String::new(),
            if_not_exists: true,
            options: AccountOptions { requires_tls: true, ..AccountOptions::default() },
        },
        Command::RenameUser { from: UserName::new("bob", "%"), to: UserName::new("rob", "%") },
        Command::SetAccount {
            user: ann.clone(),
            locked: Some(true),
            requires_tls: None,
            failed_login_attempts: None,
            password_lock_time: None,
            if_exists: false,
        },
        Command::CreateRole { role: role.clone(), if_not_exists: false },
        Command::CreateRole { role: UserName::new("gone", "%"), if_not_exists: false },
        Command::GrantRole { user: ann.clone(), role: role.clone(), admin: true },
        Command::GrantRole { user: ann.clone(), role: UserName::new("gone", "%"), admin: false },
        Command::SetDefaultRoles { user: ann.clone(), roles: vec![role.clone()] },
        Command::RevokeRole { user: ann, role: UserName::new("gone", "%") },
        Command::DropRole { role: UserName::new("gone", "%"), if_exists: false },
    ]
}

/// Table 1 is replaced; a table that waits is left.
fn commands_new_in_format_4() -> Vec<Command> {
    let create =
        |name: &str| Command::CreateTable { database: "shop".into(), def: table(name), if_not_exists: false };
    let waiting = |id, name: &str, by| TableDef {
        id: TableId(id),
        database: DatabaseId(1),
        replacement: Some(TableId(by)),
        ..table(name)
    };
    vec![
        create("new"),
        Command::AlterTable { def: waiting(1, "orders", 4), expected_version: 2 },
        Command::ReplaceTable {
            table: TableId(1),
            by: TableId(4),
            expected_version: 3,
            name: "all_orders".into(),
        },
        create("newer"),
        Command::AlterTable { def: waiting(4, "all_orders", 5), expected_version: 2 },
    ]
}

fn commands_new_in_format_6() -> Vec<Command> {
    let (ann, rob) = (UserName::new("ann", "10.%"), UserName::new("rob", "%"));
    let level = Level::Table { database: "shop".into(), table: "all_orders".into() };
    let columns = |names: &[&str]| -> ColumnPrivileges {
        let select = PrivilegeSet::NONE.with(Privilege::Select);
        names.iter().map(|name| (name.to_string(), select)).collect()
    };
    vec![
        Command::Grant {
            user: rob.clone(),
            level: level.clone(),
            privileges: PrivilegeSet::NONE.with(Privilege::Delete),
            columns: columns(&["a", "B"]),
        },
        Command::Revoke {
            user: rob.clone(),
            level,
            privileges: PrivilegeSet::NONE,
            columns: columns(&["b"]),
        },
        Command::SetAccount {
            user: rob,
            locked: None,
            requires_tls: None,
            failed_login_attempts: Some(3),
            password_lock_time: Some(LockTime::Days(2)),
            if_exists: false,
        },
        Command::CreateUser {
            user: UserName::new("eve", "%"),
            plugin: "caching_sha2_password".into(),
            authentication: String::new(),
            if_not_exists: false,
            options: AccountOptions {
                failed_login_attempts: 1,
                password_lock_time: LockTime::Unbounded,
                ..AccountOptions::default()
            },
        },
        Command::SetAccount {
            user: ann,
            locked: Some(false),
            requires_tls: None,
            failed_login_attempts: None,
            password_lock_time: None,
            if_exists: false,
        },
    ]
}

fn lock_commands() -> Vec<Command> {
    let of = |session| LockHolder { node: NodeId(4), start: 7, session };
    let take =
        |name: &str, session, waits| Command::TakeLock { name: name.into(), holder: of(session), waits };
    vec![
        take("deploy", 1, true),
        take("deploy", 1, false),
        take("migrate", 2, true),
        take("migrate", 1, true),
        take("deploy", 2, true),
        Command::ReleaseLock { name: "deploy".into(), holder: of(2) },
        Command::FindLock { name: "free".into() },
        take("gone", 3, false),
        Command::ReleaseLock { name: "gone".into(), holder: of(3) },
        take("gone", 3, false),
        Command::ReleaseLocks { holder: of(3) },
        Command::EndLockWait { holder: of(3) },
    ]
}

fn commands_of_format_1() -> Vec<Command> {
    let user = UserName::new("ann", "10.%");
    let mut def = table("orders");
    def.columns[1].ty = SqlType::Decimal { precision: 15, scale: 2 };
    def.columns[1].default = ColumnDefault::None;
    def.keys = vec![KeyDef { name: "by_b".into(), columns: vec![ColumnId(2)], unique: false }];
    let altered =
        TableDef { id: TableId(1), database: DatabaseId(1), comment: "all of them".into(), ..def.clone() };
    vec![
        register(None, 7307),
        register(Some(2), 7308),
        register(None, 7309),
        Command::SetNodeState { node: NodeId(2), state: NodeState::Offline },
        Command::RemoveNode { node: NodeId(3) },
        create_database("shop", Some(2)),
        Command::CreateDatabase {
            name: "old".into(),
            partitions: None,
            collation: types::Collation::default(),
            if_not_exists: true,
        },
        Command::CreateTable { database: "shop".into(), def, if_not_exists: false },
        Command::AlterTable { def: altered, expected_version: 1 },
        Command::TakeIds { table: TableId(1), count: 1000 },
        Command::RaiseIds { table: TableId(1), above: 7 },
        Command::CreateTable { database: "old".into(), def: table("t"), if_not_exists: true },
        Command::TruncateTable { database: "old".into(), name: "t".into() },
        Command::DropTable { database: "old".into(), name: "t".into(), if_exists: false },
        Command::DropDatabase { name: "old".into(), if_exists: false },
        Command::CreateUser {
            user: user.clone(),
            plugin: "caching_sha2_password".into(),
            authentication: "$A$005$salt".into(),
            if_not_exists: false,
            options: AccountOptions::default(),
        },
        Command::AlterUser {
            user: user.clone(),
            plugin: "caching_sha2_password".into(),
            authentication: "$A$005$new".into(),
            if_exists: false,
        },
        Command::Grant {
            user: user.clone(),
            level: Level::Global,
            privileges: Privilege::ALL.iter().copied().collect(),
            columns: ColumnPrivileges::new(),
        },
        Command::Revoke {
            user: user.clone(),
            level: Level::Global,
            privileges: PrivilegeSet::NONE.with(Privilege::Super).with(Privilege::GrantOption),
            columns: ColumnPrivileges::new(),
        },
        Command::Grant {
            user: user.clone(),
            level: Level::Table { database: "shop".into(), table: "orders".into() },
            privileges: PrivilegeSet::NONE.with(Privilege::Select),
            columns: ColumnPrivileges::new(),
        },
        Command::Grant {
            user: user.clone(),
            level: Level::Database("shop\\_%".into()),
            privileges: PrivilegeSet::NONE.with(Privilege::Select).with(Privilege::Insert),
            columns: ColumnPrivileges::new(),
        },
        Command::RevokeAll { user: UserName::new("nobody", "%") },
        Command::DropUser { user: UserName::new("nobody", "%"), if_exists: true },
        Command::SetGlobalVariable { name: "time_zone".into(), value: Some("+00:00".into()) },
        Command::SetGlobalVariable { name: "wait_timeout".into(), value: None },
    ]
}

fn stored_commands() -> String {
    let lines = (1..).zip(commands(6)).map(|(number, command)| {
        String::from_utf8(command.encode(CommandId { node: NodeId(1), number })).unwrap() + "\n"
    });
    lines.collect()
}

fn state(format: u32) -> Catalog {
    let mut driver = Driver::default();
    for command in commands(format) {
        // Some fail, so that the windows hold errors, too.
        let _ = driver.run(command);
    }
    driver.catalog
}

#[test]
fn bytes_are_those_of_the_fixtures() {
    assert_eq!(stored_commands(), COMMANDS);
    assert_eq!(String::from_utf8(state(6).encode()).unwrap() + "\n", SNAPSHOT);
}

/// Writes the fixtures of a new format: `cargo test -p pando-catalog write_fixtures -- --ignored`.
#[test]
#[ignore = "writes files"]
fn write_fixtures() {
    let folder = std::path::PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("testdata");
    std::fs::write(folder.join("commands-6.json"), stored_commands()).unwrap();
    std::fs::write(
        folder.join("snapshot-6.json"),
        state(6).encode().into_iter().chain([b'\n']).collect::<Vec<_>>(),
    )
    .unwrap();
}

#[test]
fn fixtures_are_read_back() {
    for (format, stored, snapshot) in [
        (1, COMMANDS_1, SNAPSHOT_1),
        (2, COMMANDS_2, SNAPSHOT_2),
        (3, COMMANDS_3, SNAPSHOT_3),
        (4, COMMANDS_4, SNAPSHOT_4),
        (5, COMMANDS_5, SNAPSHOT_5),
        (6, COMMANDS, SNAPSHOT),
    ] {
        assert_eq!(stored.lines().count(), commands(format).len());
        for ((number, command), line) in (1..).zip(commands(format)).zip(stored.lines()) {
            let id = CommandId { node: NodeId(1), number };
            assert_eq!(Command::decode(line.as_bytes()), Ok((id, command)));
        }
        assert_eq!(Catalog::decode(snapshot.as_bytes()), Ok(state(format)));
    }
}

#[test]
fn unknown_formats_and_damage_are_refused() {
    let later = SNAPSHOT.replacen("\"format\":6", "\"format\":7", 1);
    let error = Catalog::decode(later.as_bytes()).unwrap_err();
    assert_eq!(error, FormatError::UnknownFormat { found: 7 });
    assert_eq!(error.to_string(), "the metadata is of format 7, and this version of Pando knows only 1 to 6");
    let line = COMMANDS.lines().next().unwrap();
    let later = line.replacen("\"format\":6", "\"format\":9,\"new\":0", 1);
    assert_eq!(Command::decode(later.as_bytes()), Err(FormatError::UnknownFormat { found: 9 }));

    let cut = &SNAPSHOT.as_bytes()[..SNAPSHOT.len() / 2];
    for bad in [
        cut.to_vec(),
        vec![],
        b"{}".to_vec(),
        SNAPSHOT.replacen("\"format\":6", "\"format\":6,\"more\":2", 1).into_bytes(),
        SNAPSHOT
            .replacen("\"database\":1,\"name\":\"newer\"", "\"database\":8,\"name\":\"newer\"", 1)
            .into_bytes(),
        SNAPSHOT.replacen("\"ordinal\":1", "\"ordinal\":3", 1).into_bytes(),
        SNAPSHOT.replacen("\"partition\":", "\"partition\":0", 1).into_bytes(),
        SNAPSHOT.replacen("\"errno\":1269", "\"errno\":9999", 1).into_bytes(),
        SNAPSHOT.replacen("\"SELECT\"", "\"SELECTS\"", 1).into_bytes(),
    ] {
        assert_ne!(bad, SNAPSHOT.as_bytes(), "the fixture has no such text");
        let error = Catalog::decode(&bad).unwrap_err();
        assert!(matches!(error, FormatError::Damaged(_)), "{error}");
    }
    assert!(Command::decode(b"{\"format\":1,\"id\":{\"node\":1,\"number\":1},\"command\":\"fly\"}").is_err());
}
