//! USER_PRIVILEGES, SCHEMA_PRIVILEGES, TABLE_PRIVILEGES, COLUMN_PRIVILEGES: who was granted what, one row a
//! privilege. Everybody sees what is granted to themselves; who may read `mysql` sees everything.

use super::*;
use catalog::{Level, Privilege, PrivilegeSet, User, UserName};

const GRANTEE: Column = text("GRANTEE", 292);
const OF_CATALOG: Column = text("TABLE_CATALOG", 512);
const OF_SCHEMA: Column = text("TABLE_SCHEMA", 64);
const OF_TABLE: Column = text("TABLE_NAME", 64);
const PRIVILEGE: Column = text("PRIVILEGE_TYPE", 64);
const GRANTABLE: Column = text("IS_GRANTABLE", 3);

pub(super) const TABLES: &[SystemTable] = &[
    SystemTable {
        schema: INFORMATION_SCHEMA,
        name: "USER_PRIVILEGES",
        columns: &[GRANTEE, OF_CATALOG, PRIVILEGE, GRANTABLE],
        source: Source::Here(of_users),
    },
    SystemTable {
        schema: INFORMATION_SCHEMA,
        name: "SCHEMA_PRIVILEGES",
        columns: &[GRANTEE, OF_CATALOG, OF_SCHEMA, PRIVILEGE, GRANTABLE],
        source: Source::Here(of_schemas),
    },
    SystemTable {
        schema: INFORMATION_SCHEMA,
        name: "TABLE_PRIVILEGES",
        columns: &[GRANTEE, OF_CATALOG, OF_SCHEMA, OF_TABLE, PRIVILEGE, GRANTABLE],
        source: Source::Here(of_tables),
    },
    SystemTable {
        schema: INFORMATION_SCHEMA,
        name: "COLUMN_PRIVILEGES",
        columns: &[GRANTEE, OF_CATALOG, OF_SCHEMA, OF_TABLE, text("COLUMN_NAME", 64), PRIVILEGE, GRANTABLE],
        source: Source::Here(of_columns),
    },
];

impl Facts {
    /// The grants that the session may see: to whom, where, what.
    fn grants(&self) -> Vec<(UserName, Level, PrivilegeSet)> {
        let privileges = &self.tables.privileges;
        let own = privileges.identity().account_name();
        let mut all = Vec::new();
        if self.tables.catalog.user(&own).is_none() && privileges.identity().account.is_none() {
            // The first root, who is no account yet.
            let everything = Level::Global.all_privileges().with(Privilege::GrantOption);
            all.push((own.clone(), Level::Global, everything));
        }
        for user in self.accounts() {
            all.extend(user.grants.levels().map(|(level, granted)| (user.user.clone(), level, granted)));
        }
        all
    }

    /// The accounts whose grants the session may see.
    fn accounts(&self) -> impl Iterator<Item = &User> {
        let privileges = &self.tables.privileges;
        let sees_all = privileges.allow(Privilege::Select, Some("mysql"), None);
        let own = privileges.identity().account_name();
        let users = self.tables.catalog.users().map(|user| &**user);
        users.filter(move |user| sees_all || user.user == own)
    }
}

/// The privileges one by one; GRANT OPTION is said of each.
fn each(granted: PrivilegeSet) -> impl Iterator<Item = (&'static str, &'static str)> {
    let grantable = if granted.contains(Privilege::GrantOption) { "YES" } else { "NO" };
    let privileges = granted.iter().filter(|privilege| *privilege != Privilege::GrantOption);
    privileges.map(move |privilege| (privilege.name(), grantable))
}

fn push(grid: &mut Grid, grantee: &UserName, place: &[&str], (privilege, grantable): (&str, &str)) {
    let mut row = vec![grantee.to_string().into(), CATALOG.into()];
    row.extend(place.iter().map(|part| (*part).into()));
    row.extend([privilege.into(), grantable.into()]);
    grid.push(row);
}

fn of_users(facts: &Facts, _: &Wanted, grid: &mut Grid) -> Result<()> {
    for (grantee, level, granted) in facts.grants() {
        if level != Level::Global {
            continue;
        }
        let mut none = true;
        for privilege in each(granted) {
            none = false;
            push(grid, &grantee, &[], privilege);
        }
        if none {
            push(grid, &grantee, &[], ("USAGE", "NO"));
        }
    }
    Ok(())
}

fn of_schemas(facts: &Facts, _: &Wanted, grid: &mut Grid) -> Result<()> {
    for (grantee, level, granted) in facts.grants() {
        let Level::Database(schema) = level else { continue };
        each(granted).for_each(|privilege| push(grid, &grantee, &[&schema], privilege));
    }
    Ok(())
}

fn of_tables(facts: &Facts, _: &Wanted, grid: &mut Grid) -> Result<()> {
    for (grantee, level, granted) in facts.grants() {
        let Level::Table { database, table } = level else { continue };
        each(granted).for_each(|privilege| push(grid, &grantee, &[&database, &table], privilege));
    }
    Ok(())
}

fn of_columns(facts: &Facts, _: &Wanted, grid: &mut Grid) -> Result<()> {
    for user in facts.accounts() {
        for (level, granted) in user.grants.levels() {
            let (Level::Table { database, table }, Some(columns)) = (&level, user.grants.columns_at(&level))
            else {
                continue;
            };
            let option = PrivilegeSet::NONE.with(Privilege::GrantOption);
            let option = if granted.contains(Privilege::GrantOption) { option } else { PrivilegeSet::NONE };
            for (column, held) in columns {
                let place = [database.as_str(), table, column];
                each(held.union(option)).for_each(|privilege| push(grid, &user.user, &place, privilege));
            }
        }
    }
    Ok(())
}
