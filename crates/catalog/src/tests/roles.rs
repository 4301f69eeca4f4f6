//! Roles, RENAME USER and the options of accounts.

use super::*;
use crate::{ColumnPrivileges, GrantedRole, Level, LockTime, Privilege, PrivilegeSet};

fn name(name: &str) -> UserName {
    UserName::new(name, "%")
}

fn grant(role: &str, user: &str) -> Command {
    Command::GrantRole { user: name(user), role: name(role), admin: false }
}

fn names(users: &[std::sync::Arc<crate::User>]) -> Vec<&str> {
    let mut names: Vec<&str> = users.iter().map(|user| user.user.name.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn roles_are_locked_accounts_without_circles() {
    let mut driver = Driver::default();
    driver.run(create_user("ann")).unwrap();
    for role in ["reader", "writer", "boss"] {
        driver.run(Command::CreateRole { role: name(role), if_not_exists: false }).unwrap();
        assert!(driver.catalog.user(&name(role)).unwrap().options.locked);
    }
    driver.run(grant("reader", "writer")).unwrap();
    driver.run(grant("writer", "boss")).unwrap();
    driver.run(grant("boss", "ann")).unwrap();
    let select = PrivilegeSet::NONE.with(Privilege::Select);
    driver
        .run(Command::Grant {
            user: name("reader"),
            level: Level::Global,
            privileges: select,
            columns: ColumnPrivileges::new(),
        })
        .unwrap();
    assert_eq!(names(&driver.catalog.roles_of([&name("boss")])), ["boss", "reader", "writer"]);
    assert_eq!(names(&driver.catalog.roles_of([&name("nobody")])), [""; 0]);
    for (command, error) in [
        (
            grant("boss", "reader"),
            "ERROR 3524 (HY000): User account `reader`@`%` is directly or indirectly granted to the role \
             `boss`@`%`. The GRANT would create a loop",
        ),
        (grant("nope", "ann"), "ERROR 3523 (HY000): Unknown authorization ID `nope`@`%`"),
        (grant("boss", "nope"), "ERROR 3523 (HY000): Unknown authorization ID `nope`@`%`"),
        (
            Command::CreateRole { role: name("ann"), if_not_exists: false },
            "ERROR 1396 (HY000): Operation CREATE ROLE failed for 'ann'@'%'",
        ),
        (
            Command::DropRole { role: name("nope"), if_exists: false },
            "ERROR 1396 (HY000): Operation DROP ROLE failed for 'nope'@'%'",
        ),
        (
            Command::SetDefaultRoles { user: name("ann"), roles: vec![name("reader")] },
            "ERROR 3530 (HY000): `reader`@`%` is not granted to `ann`@`%`",
        ),
    ] {
        assert_eq!(driver.fails(command), error);
    }
    driver.run(Command::SetDefaultRoles { user: name("ann"), roles: vec![name("boss")] }).unwrap();
    driver.run(Command::RenameUser { from: name("boss"), to: name("chief") }).unwrap();
    let ann = driver.catalog.user(&name("ann")).unwrap();
    assert_eq!(ann.roles, [GrantedRole { role: name("chief"), admin: false }]);
    assert_eq!(ann.default_roles, [name("chief")]);
    driver.run(Command::DropRole { role: name("chief"), if_exists: false }).unwrap();
    let ann = driver.catalog.user(&name("ann")).unwrap();
    assert!(ann.roles.is_empty() && ann.default_roles.is_empty());
    driver.run(grant("reader", "ann")).unwrap();
    driver.run(Command::RevokeRole { user: name("ann"), role: name("reader") }).unwrap();
    assert!(driver.catalog.user(&name("ann")).unwrap().roles.is_empty());
}

#[test]
fn accounts_are_renamed_and_locked() {
    let mut driver = Driver::default();
    driver.run(create_user("ann")).unwrap();
    driver.run(create_user("bob")).unwrap();
    let rename = |from: &str, to: &str| Command::RenameUser { from: name(from), to: name(to) };
    assert_eq!(
        driver.fails(rename("ann", "bob")),
        "ERROR 1396 (HY000): Operation RENAME USER failed for 'ann'@'%'"
    );
    assert_eq!(
        driver.fails(rename("nope", "new")),
        "ERROR 1396 (HY000): Operation RENAME USER failed for 'nope'@'%'"
    );
    driver.run(rename("ann", "eve")).unwrap();
    assert!(driver.catalog.user(&name("ann")).is_none());
    assert_eq!(driver.catalog.user(&name("eve")).unwrap().authentication, "secret");
    let set = |locked, requires_tls| Command::SetAccount {
        user: name("eve"),
        locked,
        requires_tls,
        failed_login_attempts: None,
        password_lock_time: None,
        if_exists: false,
    };
    driver.run(set(Some(true), None)).unwrap();
    driver.run(set(None, Some(true))).unwrap();
    assert_eq!(
        driver.catalog.user(&name("eve")).unwrap().options,
        AccountOptions { locked: true, requires_tls: true, ..AccountOptions::default() }
    );
}

#[test]
fn the_last_root_stays() {
    let mut driver = Driver::default();
    let root = |host: &str| UserName::new("root", host);
    let create = |host| match create_user("root") {
        Command::CreateUser { plugin, authentication, if_not_exists, options, .. } => {
            Command::CreateUser { user: root(host), plugin, authentication, if_not_exists, options }
        }
        other => other,
    };
    driver.run(create_user("adm")).unwrap();
    driver.run(create("%")).unwrap();
    driver.run(create("10.0.0.1")).unwrap();
    let drop_user = |host| Command::DropUser { user: root(host), if_exists: false };
    let drop_role = |host| Command::DropRole { role: root(host), if_exists: true };
    let rename = |to| Command::RenameUser { from: root("%"), to };
    driver.run(drop_user("10.0.0.1")).unwrap();
    // What another aggregator found allowed while there were two.
    let refused = "ERROR 1235 (42000): Pando needs an account named root, or else root could log in without a \
                   password again; to shut `root`@`%`, run ALTER USER `root`@`%` ACCOUNT LOCK";
    for command in [drop_user("%"), drop_role("%"), rename(name("boss")), rename(name("adm"))] {
        assert_eq!(driver.fails(command), refused);
    }
    driver.run(rename(root("localhost"))).unwrap();
    driver.run(Command::RenameUser { from: root("localhost"), to: root("%") }).unwrap();
    driver.run(Command::CreateRole { role: root("10.0.0.1"), if_not_exists: false }).unwrap();
    driver.run(drop_role("%")).unwrap();
    assert_eq!(driver.catalog.users().filter(|user| user.user.name == "root").count(), 1);
    driver.run(Command::DropUser { user: name("adm"), if_exists: false }).unwrap();
}

#[test]
fn wrong_passwords_count_anew_from_each_change_of_their_limit_and_each_unlock() {
    let mut driver = Driver::default();
    driver.run(create_user("ann")).unwrap();
    let mut set = |locked, attempts, time| {
        let command = Command::SetAccount {
            user: name("ann"),
            locked,
            requires_tls: None,
            failed_login_attempts: attempts,
            password_lock_time: time,
            if_exists: false,
        };
        driver.run(command).unwrap();
        let catalog = &driver.catalog;
        (catalog.user(&name("ann")).unwrap().options.counts_since, catalog.version())
    };
    assert_eq!(set(None, Some(3), None).0, 0, "no time to lock it for");
    let (since, version) = set(None, None, Some(LockTime::Unbounded));
    assert_eq!(since, version);
    assert_eq!(set(Some(true), None, None).0, since);
    let (unlocked, version) = set(Some(false), None, None);
    assert_eq!(unlocked, version);
    assert_eq!(set(None, Some(0), None).0, 0);
}
