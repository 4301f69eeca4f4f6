//! CREATE, ALTER and DROP USER, GRANT, REVOKE. Grants outlive the databases and tables that they
//! name, as in MySQL.

use super::roles::quoted;
use crate::state::no_such_table;
use crate::{
    AccountChange, AccountOptions, Catalog, ColumnPrivileges, Grants, Level, Outcome, Privilege,
    PrivilegeSet, ROOT, User, UserName,
};
use std::sync::Arc;
use types::{ErrorKind, SqlError};

const MAX_USER_NAME: usize = 32;
const MAX_HOST: usize = 255;

impl Catalog {
    pub(super) fn create_user(
        &mut self,
        user: &UserName,
        plugin: &str,
        authentication: &str,
        if_not_exists: bool,
        options: AccountOptions,
    ) -> Result<Outcome, SqlError> {
        let user = normal(user);
        if self.users.contains_key(&user) {
            let error = failed("CREATE USER", &user);
            return if if_not_exists { Ok(Outcome::Unchanged(error)) } else { Err(error) };
        }
        self.insert_user(user, plugin, authentication, options)
    }

    /// A new account without privileges. Nobody has the name yet.
    pub(super) fn insert_user(
        &mut self,
        user: UserName,
        plugin: &str,
        authentication: &str,
        options: AccountOptions,
    ) -> Result<Outcome, SqlError> {
        check_account(&user)?;
        let (plugin, authentication) = (plugin.to_string(), authentication.to_string());
        let counts_since = if options.limits_attempts() { self.version + 1 } else { 0 };
        let options = AccountOptions { counts_since, ..options };
        let entry = User {
            user: user.clone(),
            plugin,
            authentication,
            grants: Grants::default(),
            options,
            roles: Vec::new(),
            default_roles: Vec::new(),
        };
        Arc::make_mut(&mut self.users).insert(user, Arc::new(entry));
        Ok(Outcome::Done)
    }

    pub(super) fn alter_user(
        &mut self,
        user: &UserName,
        plugin: &str,
        authentication: &str,
        if_exists: bool,
    ) -> Result<Outcome, SqlError> {
        let user = normal(user);
        match self.user_mut(&user) {
            Some(entry) => {
                entry.plugin = plugin.to_string();
                entry.authentication = authentication.to_string();
                Ok(Outcome::Done)
            }
            None if if_exists => Ok(Outcome::Unchanged(failed("ALTER USER", &user))),
            None => Err(failed("ALTER USER", &user)),
        }
    }

    pub(super) fn drop_user(&mut self, user: &UserName, if_exists: bool) -> Result<Outcome, SqlError> {
        let user = normal(user);
        if !self.users.contains_key(&user) {
            let error = failed("DROP USER", &user);
            return if if_exists { Ok(Outcome::Unchanged(error)) } else { Err(error) };
        }
        self.remove_user(&user)
    }

    /// The account goes, and as a role from all that had it. Error: 1235 for the last root.
    pub(super) fn remove_user(&mut self, user: &UserName) -> Result<Outcome, SqlError> {
        self.check_root_stays(user)?;
        Arc::make_mut(&mut self.users).remove(user);
        self.replace_role(user, None);
        Ok(Outcome::Done)
    }

    /// Fails if the account, which is there, is the last one named root: without any, root would log in without a
    /// password again, as on a new cluster.
    fn check_root_stays(&self, user: &UserName) -> Result<(), SqlError> {
        let others = self.users.keys().filter(|other| other.name == ROOT && *other != user);
        if user.name != ROOT || others.count() > 0 {
            return Ok(());
        }
        let user = quoted(user);
        Err(SqlError::new(
            ErrorKind::NotSupportedYet,
            format!(
                "Pando needs an account named root, or else root could log in without a password again; to shut {user}, \
                 run ALTER USER {user} ACCOUNT LOCK"
            ),
        ))
    }

    pub(super) fn rename_user(&mut self, from: &UserName, to: &UserName) -> Result<Outcome, SqlError> {
        let (from, to) = (normal(from), normal(to));
        check_account(&to)?;
        if !self.users.contains_key(&from) {
            return Err(failed("RENAME USER", &from));
        }
        if to.name != from.name {
            self.check_root_stays(&from)?;
        }
        if self.users.contains_key(&to) {
            return Err(failed("RENAME USER", &from));
        }
        let users = Arc::make_mut(&mut self.users);
        if let Some(entry) = users.remove(&from) {
            users.insert(to.clone(), Arc::new(User { user: to.clone(), ..User::clone(&entry) }));
        }
        self.replace_role(&from, Some(&to));
        Ok(Outcome::Done)
    }

    pub(super) fn set_account(
        &mut self,
        user: &UserName,
        change: AccountChange,
        if_exists: bool,
    ) -> Result<Outcome, SqlError> {
        let user = normal(user);
        let version = self.version + 1;
        match self.user_mut(&user) {
            Some(User { options, .. }) => {
                options.change(change, version);
                Ok(Outcome::Done)
            }
            None if if_exists => Ok(Outcome::Unchanged(failed("ALTER USER", &user))),
            None => Err(failed("ALTER USER", &user)),
        }
    }

    pub(super) fn grant(
        &mut self,
        user: &UserName,
        level: &Level,
        privileges: PrivilegeSet,
        columns: &ColumnPrivileges,
    ) -> Result<Outcome, SqlError> {
        level.check(privileges)?;
        level.check_columns(columns)?;
        let user = normal(user);
        let columns = match level {
            Level::Table { database, table } => {
                let known = self.column_names(database, table);
                if known.is_none() && (!privileges.contains(Privilege::Create) || !columns.is_empty()) {
                    return Err(no_such_table(database, table));
                }
                as_spelled(columns, &known.unwrap_or_default(), table)?
            }
            Level::Global | Level::Database(_) => ColumnPrivileges::new(),
        };
        let Some(entry) = self.user_mut(&user) else {
            return Err(SqlError::new(
                ErrorKind::CannotCreateUserWithGrant,
                "You are not allowed to create a user with GRANT",
            ));
        };
        let granted = entry.grants.at(level).union(privileges);
        entry.grants.set(level, granted);
        if let Level::Table { database, table } = level {
            entry.grants.add_columns(database, table, &columns);
        }
        Ok(Outcome::Done)
    }

    /// The columns of a table or view; `None`: there is neither.
    fn column_names(&self, database: &str, table: &str) -> Option<Vec<&str>> {
        if let Some(view) = self.view(database, table) {
            return Some(view.columns.iter().map(String::as_str).collect());
        }
        let def = self.table(database, table)?;
        Some(
            def.columns
                .iter()
                .filter(|column| !column.is_hidden())
                .map(|column| column.name.as_str())
                .collect(),
        )
    }

    pub(super) fn revoke(
        &mut self,
        user: &UserName,
        level: &Level,
        privileges: PrivilegeSet,
        columns: &ColumnPrivileges,
    ) -> Result<Outcome, SqlError> {
        level.check(privileges)?;
        level.check_columns(columns)?;
        let user = normal(user);
        let grants = self.users.get(&user).map(|entry| &entry.grants);
        let granted = grants.map(|grants| grants.at(level));
        match (level, granted) {
            (Level::Table { table, .. }, granted) => {
                let held = grants.and_then(|grants| grants.columns_at(level));
                let is_held = |column: &String| {
                    held.is_some_and(|held| held.keys().any(|own| own.eq_ignore_ascii_case(column)))
                };
                let nothing = granted.unwrap_or_default().is_empty() && held.is_none();
                if nothing || !columns.keys().all(is_held) {
                    return Err(SqlError::new(
                        ErrorKind::NoSuchTableGrant,
                        format!(
                            "There is no such grant defined for user '{}' on host '{}' on table '{table}'",
                            user.name, user.host
                        ),
                    ));
                }
            }
            (_, None) | (Level::Database(_), Some(PrivilegeSet::NONE)) => return Err(no_such_grant(&user)),
            (_, Some(_)) => {}
        }
        if let Some(entry) = self.user_mut(&user) {
            entry.grants.set(level, granted.unwrap_or_default().minus(privileges));
            if let Level::Table { database, table } = level {
                entry.grants.take_columns(database, table, privileges, columns);
            }
        }
        Ok(Outcome::Done)
    }

    pub(super) fn revoke_all(&mut self, user: &UserName) -> Result<Outcome, SqlError> {
        let user = normal(user);
        match self.user_mut(&user) {
            Some(entry) => {
                entry.grants = Grants::default();
                Ok(Outcome::Done)
            }
            None => Err(SqlError::new(
                ErrorKind::CannotRevokeAll,
                "Can't revoke all privileges for one or more of the requested users",
            )),
        }
    }

    pub(super) fn user_mut(&mut self, user: &UserName) -> Option<&mut User> {
        if !self.users.contains_key(user) {
            return None;
        }
        Arc::make_mut(&mut self.users).get_mut(user).map(Arc::make_mut)
    }
}

pub(super) fn normal(user: &UserName) -> UserName {
    UserName::new(user.name.as_str(), user.host.as_str())
}

pub(super) fn failed(operation: &str, user: &UserName) -> SqlError {
    SqlError::new(ErrorKind::CannotUser, format!("Operation {operation} failed for {user}"))
}

/// Columns by the names that their table, or view, knows. Error: 1054.
fn as_spelled(columns: &ColumnPrivileges, known: &[&str], table: &str) -> Result<ColumnPrivileges, SqlError> {
    let mut spelled = ColumnPrivileges::new();
    for (name, privileges) in columns {
        let own = known.iter().find(|own| own.eq_ignore_ascii_case(name)).ok_or_else(|| {
            SqlError::new(ErrorKind::UnknownColumn, format!("Unknown column '{name}' in '{table}'"))
        })?;
        let held = spelled.entry((*own).to_string()).or_default();
        *held = held.union(*privileges);
    }
    Ok(spelled)
}

fn no_such_grant(user: &UserName) -> SqlError {
    SqlError::new(
        ErrorKind::NoSuchGrant,
        format!("There is no such grant defined for user '{}' on host '{}'", user.name, user.host),
    )
}

fn check_account(user: &UserName) -> Result<(), SqlError> {
    check_length(&user.name, "user name", MAX_USER_NAME)?;
    check_length(&user.host, "host name", MAX_HOST)?;
    if user.host.contains('/') {
        return Err(SqlError::unsupported("netmasks in account names"));
    }
    Ok(())
}

fn check_length(text: &str, what: &str, limit: usize) -> Result<(), SqlError> {
    if text.chars().count() <= limit {
        return Ok(());
    }
    Err(SqlError::new(
        ErrorKind::WrongStringLength,
        format!("String '{text}' is too long for {what} (should be no longer than {limit})"),
    ))
}
