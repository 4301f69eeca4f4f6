//! What a session's account may do, and MySQL's words where it may not.

use crate::system_schemas::system_schema;
use catalog::{Catalog, ColumnPrivileges, Grants, Level, Privilege, PrivilegeSet, User, UserName};
use sql::query::ReadableColumns;
use std::collections::BTreeSet;
use std::sync::Arc;
use types::{ErrorKind, Result, SqlError};

/// Who a session acts as.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// As the client gave it, with the host that it comes from.
    pub(crate) user: String,
    pub(crate) host: String,
    /// The account that let the client in. None: the root of a cluster in which no root was made yet,
    /// who may do everything.
    pub(crate) account: Option<UserName>,
}

impl Identity {
    /// `name@host` of the account, as CURRENT_USER() shows it.
    pub(crate) fn current_user(&self) -> String {
        match &self.account {
            Some(account) => format!("{}@{}", account.name, account.host),
            None => format!("{}@localhost", self.user),
        }
    }

    pub(crate) fn account_name(&self) -> UserName {
        self.account.clone().unwrap_or_else(|| UserName::new(self.user.clone(), "localhost"))
    }
}

/// What an identity may do by one version of the catalog.
#[derive(Debug, Clone)]
pub(crate) struct Privileges {
    identity: Arc<Identity>,
    rights: Rights,
    /// Database and name of the session's temporary tables, which are its own to do anything with.
    own: Arc<BTreeSet<(String, String)>>,
}

#[derive(Debug, Clone)]
enum Rights {
    Everything,
    /// By its own grants and by those of the roles that it has taken.
    Granted(Arc<User>, Vec<Arc<User>>),
    /// The account was dropped while its session is open.
    Nothing,
}

impl Privileges {
    /// `roles`: what the session has taken; what was revoked since counts no more.
    pub(crate) fn new(identity: Arc<Identity>, roles: &[UserName], catalog: &Catalog) -> Privileges {
        let rights = match &identity.account {
            None => Rights::Everything,
            Some(account) => catalog.user(account).map_or(Rights::Nothing, |user| {
                let roles = roles.iter().filter(|role| user.has_role(role));
                Rights::Granted(user.clone(), catalog.roles_of(roles))
            }),
        };
        Privileges { identity, rights, own: Arc::default() }
    }

    pub(super) fn own_tables(&mut self, own: Arc<BTreeSet<(String, String)>>) {
        self.own = own;
    }

    /// One more table that is the session's own.
    pub(crate) fn own_table(&mut self, database: &str, table: &str) {
        Arc::make_mut(&mut self.own).insert((database.to_string(), table.to_string()));
    }

    /// As after a login: with the default roles.
    pub(crate) fn of_account(identity: Arc<Identity>, catalog: &Catalog) -> Privileges {
        let roles = identity.account.as_ref().and_then(|account| catalog.user(account));
        let roles = roles.map(|user| user.default_roles.clone()).unwrap_or_default();
        Privileges::new(identity, &roles, catalog)
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// `name@host` of the account.
    pub(crate) fn current_user(&self) -> String {
        self.identity.current_user()
    }

    /// Whether `privilege` holds on a table, or without one on a database, or without one everywhere.
    /// The system's schemas are there for everybody to read, and for nobody to change.
    pub(crate) fn allow(&self, privilege: Privilege, database: Option<&str>, table: Option<&str>) -> bool {
        if database.and_then(system_schema).is_some() {
            return privilege == Privilege::Select;
        }
        if !self.own.is_empty()
            && let (Some(database), Some(table)) = (database, table)
            && self.own.contains(&(database.to_string(), table.to_string()))
        {
            return true;
        }
        match &self.rights {
            Rights::Everything => true,
            Rights::Granted(user, roles) => {
                std::iter::once(user).chain(roles).any(|user| user.grants.allow(privilege, database, table))
            }
            Rights::Nothing => false,
        }
    }

    /// What was granted, if that is what counts.
    fn grants(&self) -> impl Iterator<Item = &Grants> {
        let (own, roles) = match &self.rights {
            Rights::Granted(user, roles) => (Some(user), roles.as_slice()),
            Rights::Everything | Rights::Nothing => (None, [].as_slice()),
        };
        own.into_iter().chain(roles).map(|user| &user.grants)
    }

    /// Whether `privilege` holds on a column, by itself or with its table.
    pub(crate) fn allow_column(
        &self,
        privilege: Privilege,
        database: &str,
        table: &str,
        column: &str,
    ) -> bool {
        self.allow(privilege, Some(database), Some(table))
            || self.columns_with(privilege, database, table).any(|own| own.eq_ignore_ascii_case(column))
    }

    /// What is said of the columns of a table where they are listed: which of the privileges that MySQL knows for
    /// columns the session has; none: the column is not shown.
    pub(crate) fn words_on_columns<'a>(
        &'a self,
        database: &'a str,
        table: &'a str,
    ) -> impl Fn(&str) -> Option<String> + 'a {
        const KNOWN: [Privilege; 4] =
            [Privilege::Select, Privilege::Insert, Privilege::Update, Privilege::References];
        let on_table: PrivilegeSet =
            KNOWN.into_iter().filter(|p| self.allow(*p, Some(database), Some(table))).collect();
        let are_all_shown = self.touch_whole_table(database, table);
        move |column| {
            let own = self.on_columns(database, table).filter(|(name, _)| name.eq_ignore_ascii_case(column));
            let own = own.fold(PrivilegeSet::NONE, |all, (_, held)| all.union(*held));
            if own.is_empty() && !are_all_shown {
                return None;
            }
            let held = KNOWN.iter().filter(|privilege| on_table.union(own).contains(**privilege));
            Some(held.map(|privilege| privilege.name().to_lowercase()).collect::<Vec<_>>().join(","))
        }
    }

    /// What is granted on single columns of a table.
    fn on_columns(&self, database: &str, table: &str) -> impl Iterator<Item = (&String, &PrivilegeSet)> {
        self.grants().filter_map(move |grants| grants.on_columns(database, table)).flatten()
    }

    fn columns_with(
        &self,
        privilege: Privilege,
        database: &str,
        table: &str,
    ) -> impl Iterator<Item = &String> {
        let granted = self.on_columns(database, table);
        granted.filter(move |(_, held)| held.contains(privilege)).map(|(column, _)| column)
    }

    /// The columns that may be read of a table, where that is not all.
    pub(crate) fn readable_columns(&self, database: &str, table: &str) -> Option<ReadableColumns> {
        if self.allow(Privilege::Select, Some(database), Some(table)) {
            return None;
        }
        let columns: Vec<String> = self.columns_with(Privilege::Select, database, table).cloned().collect();
        let Identity { user, host, .. } = &*self.identity;
        Some(ReadableColumns { table: table.to_string(), columns, user: user.clone(), host: host.clone() })
    }

    /// That a table, or some of its columns, may be read; which ones, binding sees to. Errors: 1142, 1044.
    pub(crate) fn require_readable(&self, database: &str, table: &str) -> Result<()> {
        if self.columns_with(Privilege::Select, database, table).next().is_some() {
            return Ok(());
        }
        self.require_on_table(Privilege::Select, "SELECT", database, table)
    }

    pub(crate) fn allow_globally(&self, privilege: Privilege) -> bool {
        self.allow(privilege, None, None)
    }

    /// Whether anything at all is allowed in a database.
    pub(crate) fn touch(&self, database: &str) -> bool {
        if system_schema(database).is_some() {
            return true;
        }
        match &self.rights {
            Rights::Everything => true,
            Rights::Granted(user, roles) => {
                std::iter::once(user).chain(roles).any(|user| user.grants.touch(database))
            }
            Rights::Nothing => false,
        }
    }

    /// Whether anything at all is allowed on a table, or on a column of it.
    pub(crate) fn touch_table(&self, database: &str, table: &str) -> bool {
        self.touch_whole_table(database, table) || self.on_columns(database, table).next().is_some()
    }

    /// Whether anything at all is allowed on a table, and not on columns alone.
    pub(crate) fn touch_whole_table(&self, database: &str, table: &str) -> bool {
        let level = Level::Table { database: database.to_string(), table: table.to_string() };
        level.all_privileges().iter().any(|privilege| self.allow(privilege, Some(database), Some(table)))
    }

    /// Error: 1142, as of a statement that begins with `command`; 1044 in a schema of the system's.
    pub(crate) fn require_on_table(
        &self,
        privilege: Privilege,
        command: &str,
        database: &str,
        table: &str,
    ) -> Result<()> {
        if self.allow(privilege, Some(database), Some(table)) {
            return Ok(());
        }
        Err(match system_schema(database) {
            Some(schema) => self.denied_on_database(schema),
            None => self.denied_on_table(command, table),
        })
    }

    pub(crate) fn denied_on_table(&self, command: &str, table: &str) -> SqlError {
        let Identity { user, host, .. } = &*self.identity;
        SqlError::new(
            ErrorKind::TableAccessDenied,
            format!("{command} command denied to user '{user}'@'{host}' for table '{table}'"),
        )
    }

    /// Error: 1044.
    pub(crate) fn require_on_database(&self, privilege: Privilege, database: &str) -> Result<()> {
        if self.allow(privilege, Some(database), None) {
            return Ok(());
        }
        Err(self.denied_on_database(database))
    }

    /// That anything is allowed there. Error: 1044.
    pub(crate) fn require_touch(&self, database: &str) -> Result<()> {
        if self.touch(database) {
            return Ok(());
        }
        Err(self.denied_on_database(database))
    }

    pub(crate) fn denied_on_database(&self, database: &str) -> SqlError {
        let account = self.identity.account_name();
        SqlError::new(
            ErrorKind::AccessDeniedDb,
            format!("Access denied for user {account} to database '{database}'"),
        )
    }

    /// `words` is how the error names what would do. Error: 1227.
    pub(crate) fn require_globally(&self, privilege: Privilege, words: &str) -> Result<()> {
        if self.allow_globally(privilege) {
            return Ok(());
        }
        Err(SqlError::new(
            ErrorKind::SpecificAccessDenied,
            format!("Access denied; you need (at least one of) the {words} privilege(s) for this operation"),
        ))
    }

    /// That these privileges may be given to and taken from others: only those that one has, and with
    /// GRANT OPTION. Errors: 1045, 1044, 1142.
    pub(crate) fn require_to_grant(
        &self,
        privileges: PrivilegeSet,
        columns: &ColumnPrivileges,
        level: &Level,
    ) -> Result<()> {
        let (database, table) = match level {
            Level::Global => (None, None),
            Level::Database(name) => (Some(name.as_str()), None),
            Level::Table { database, table } => (Some(database.as_str()), Some(table.as_str())),
        };
        let allowed = privileges
            .with(Privilege::GrantOption)
            .iter()
            .all(|privilege| self.allow(privilege, database, table));
        let allowed = allowed
            && columns.iter().all(|(column, wanted)| {
                let (database, table) = (database.unwrap_or_default(), table.unwrap_or_default());
                wanted.iter().all(|privilege| self.allow_column(privilege, database, table, column))
            });
        match (allowed, database, table) {
            (true, ..) => Ok(()),
            (false, _, Some(table)) => Err(self.denied_on_table("GRANT", table)),
            (false, Some(database), None) => Err(self.denied_on_database(database)),
            (false, None, None) => {
                let account = self.identity.account_name();
                Err(SqlError::new(
                    ErrorKind::AccessDenied,
                    format!("Access denied for user {account} (using password: YES)"),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_schemas_are_read_by_everybody_and_changed_by_nobody() {
        let identity = Identity { user: "root".into(), host: "localhost".into(), account: None };
        let root = Privileges::new(Arc::new(identity), &[], &Catalog::new());
        for schema in ["information_schema", "INFORMATION_SCHEMA", "performance_schema"] {
            assert!(root.touch(schema) && root.touch_table(schema, "TABLES"));
            assert!(root.require_on_table(Privilege::Select, "SELECT", schema, "TABLES").is_ok());
            for privilege in Privilege::ALL.iter().filter(|privilege| **privilege != Privilege::Select) {
                let on_table = root.require_on_table(*privilege, "INSERT", schema, "TABLES").unwrap_err();
                let on_database = root.require_on_database(*privilege, schema).unwrap_err();
                for error in [on_table, on_database] {
                    assert_eq!(error.kind.errno(), 1044, "{}", error.message);
                }
            }
        }
    }

    #[test]
    fn the_first_root_may_do_everything_and_a_dropped_account_nothing() {
        let catalog = Catalog::new();
        let of = |account: Option<UserName>| {
            let identity = Identity { user: "ann".into(), host: "localhost".into(), account };
            Privileges::new(Arc::new(identity), &[], &catalog)
        };
        let root = of(None);
        assert!(root.allow_globally(Privilege::Super) && root.touch("d") && root.touch_table("d", "t"));
        let dropped = of(Some(UserName::new("ann", "%")));
        assert!(!dropped.touch("d") && !dropped.touch_table("d", "t"));
        let message = |result: Result<()>| {
            let error = result.unwrap_err();
            (error.kind.errno(), error.message)
        };
        assert_eq!(
            message(dropped.require_on_table(Privilege::Select, "SELECT", "d", "t")),
            (1142, "SELECT command denied to user 'ann'@'localhost' for table 't'".into())
        );
        assert_eq!(
            message(dropped.require_touch("d")),
            (1044, "Access denied for user 'ann'@'%' to database 'd'".into())
        );
        assert_eq!(
            message(dropped.require_globally(Privilege::Reload, "RELOAD")),
            (
                1227,
                "Access denied; you need (at least one of) the RELOAD privilege(s) for this operation".into()
            )
        );
        let select = PrivilegeSet::NONE.with(Privilege::Select);
        assert_eq!(
            message(dropped.require_to_grant(select, &ColumnPrivileges::new(), &Level::Global)).0,
            1045
        );
        assert_eq!(
            message(dropped.require_to_grant(select, &ColumnPrivileges::new(), &Level::Database("d".into())))
                .0,
            1044
        );
        let table = Level::Table { database: "d".into(), table: "t".into() };
        assert_eq!(message(dropped.require_to_grant(select, &ColumnPrivileges::new(), &table)).0, 1142);
        assert!(root.require_to_grant(select, &ColumnPrivileges::new(), &table).is_ok());
    }
}
