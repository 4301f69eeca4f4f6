//! CREATE, ALTER and DROP USER, SET PASSWORD, GRANT, REVOKE, SHOW GRANTS, SHOW CREATE USER.
//!
//! A new cluster has a root without an account, who comes from loopback alone and may do everything.
//! The first account of that name takes its place and gets every privilege; all other accounts begin
//! with none.

use super::grid::Grid;
use super::{Answer, done};
use crate::server::has_root;
use crate::session::{Level, State};
use catalog::{
    AccountOptions, ColumnPrivileges, Command, Level as GrantedOn, LockTime, Outcome, Privilege,
    PrivilegeSet, ROOT, User, UserName,
};
use mysql_protocol::{Plugin, make_stored};
use sql::statement::{Account, Grant, GrantLevel, Password, UserOptions, UserSpec};
use types::{ErrorKind, Result, SqlError};

impl State {
    pub(crate) fn user_name(&self, account: &Account) -> UserName {
        if account.current {
            self.identity.account_name()
        } else {
            UserName::new(account.user.clone(), account.host.clone())
        }
    }

    pub(crate) async fn create_users(
        &mut self,
        users: &[UserSpec],
        if_not_exists: bool,
        options: UserOptions,
    ) -> Result<Answer> {
        let options = AccountOptions {
            locked: options.locked.unwrap_or(false),
            requires_tls: options.requires_tls.unwrap_or(false),
            failed_login_attempts: options.failed_login_attempts.unwrap_or(0),
            password_lock_time: options.password_lock_time.map(lock_time).unwrap_or_default(),
            counts_since: 0,
        };
        for spec in users {
            let (plugin, authentication) = proof(spec)?;
            let user = self.user_name(&spec.account);
            self.create_user(user, plugin, authentication, if_not_exists, options).await?;
        }
        Ok(done())
    }

    async fn create_user(
        &mut self,
        user: UserName,
        plugin: Plugin,
        authentication: String,
        if_not_exists: bool,
        options: AccountOptions,
    ) -> Result<()> {
        let is_first_root = user.name == ROOT && !has_root(&self.catalog);
        let plugin = plugin.name().to_string();
        let name = user.clone();
        let command = Command::CreateUser { user, plugin, authentication, if_not_exists, options };
        self.change_user_catalog(command).await?;
        if is_first_root {
            let level = GrantedOn::Global;
            let privileges = level.all_privileges().with(Privilege::GrantOption);
            let columns = ColumnPrivileges::new();
            self.change_catalog(Command::Grant { user: name, level, privileges, columns }).await?;
        }
        Ok(())
    }

    /// A change that IF EXISTS or IF NOT EXISTS may make needless, which becomes a note.
    pub(super) async fn change_user_catalog(&mut self, command: Command) -> Result<()> {
        if let Outcome::Unchanged(reason) = self.change_catalog(command).await? {
            self.add_message(Level::Note, reason.kind.errno(), reason.message);
        }
        Ok(())
    }

    pub(crate) async fn alter_users(
        &mut self,
        users: &[UserSpec],
        if_exists: bool,
        options: UserOptions,
    ) -> Result<Answer> {
        for spec in users {
            let user = self.user_name(&spec.account);
            let changes_options = options != UserOptions::default();
            // What proves the account comes first: it may not be known, and the root may have no account yet.
            if spec.plugin.is_some() || spec.password.is_some() {
                let (plugin, authentication) = proof(spec)?;
                self.set_proof(user.clone(), plugin, authentication, if_exists).await?;
            } else if !changes_options {
                // Nothing to change, but the account must be there.
                let (plugin, authentication) = match self.catalog.user(&user) {
                    Some(known) => (plugin_of(known)?, known.authentication.clone()),
                    None => (Plugin::default(), String::new()),
                };
                self.set_proof(user.clone(), plugin, authentication, if_exists).await?;
            }
            if changes_options {
                let command = Command::SetAccount {
                    user,
                    locked: options.locked,
                    requires_tls: options.requires_tls,
                    failed_login_attempts: options.failed_login_attempts,
                    password_lock_time: options.password_lock_time.map(lock_time),
                    if_exists,
                };
                self.change_user_catalog(command).await?;
            }
        }
        Ok(done())
    }

    pub(crate) async fn drop_users(&mut self, users: &[Account], if_exists: bool) -> Result<Answer> {
        for account in users {
            let user = self.user_name(account);
            self.change_user_catalog(Command::DropUser { user, if_exists }).await?;
        }
        Ok(done())
    }

    /// Fails if the account would be the first one named root, by a statement that gives it no privileges: nobody
    /// could administer the cluster any more.
    pub(super) fn check_makes_root(&self, user: &UserName) -> Result<()> {
        if user.name != ROOT || has_root(&self.aggregator.metadata.snapshot()) {
            return Ok(());
        }
        Err(SqlError::new(
            ErrorKind::NotSupportedYet,
            "Pando makes the first account named root with CREATE USER, which gives it every privilege",
        ))
    }

    /// The password changes, the method that proves it stays.
    pub(crate) async fn set_password(&mut self, account: Option<&Account>, password: &str) -> Result<Answer> {
        let user = account.map_or_else(|| self.identity.account_name(), |account| self.user_name(account));
        let plugin = self.catalog.user(&user).map_or(Ok(Plugin::default()), |known| plugin_of(known))?;
        let authentication = stored(plugin, password).await?;
        self.set_proof(user, plugin, authentication, false).await?;
        Ok(done())
    }

    async fn set_proof(
        &mut self,
        user: UserName,
        plugin: Plugin,
        authentication: String,
        if_exists: bool,
    ) -> Result<()> {
        let is_own = self.identity.account.is_none() && user == self.identity.account_name();
        if is_own && self.catalog.user(&user).is_none() {
            // The root without an account gets one.
            return self.create_user(user, plugin, authentication, false, AccountOptions::default()).await;
        }
        let plugin = plugin.name().to_string();
        self.change_user_catalog(Command::AlterUser { user, plugin, authentication, if_exists }).await
    }

    pub(crate) async fn grant(&mut self, grant: &Grant) -> Result<Answer> {
        if grant.users.iter().any(|spec| spec.plugin.is_some() || spec.password.is_some()) {
            return Err(SqlError::unsupported("GRANT ... IDENTIFIED: make the account with CREATE USER"));
        }
        let level = self.grant_level(&grant.level)?;
        let mut privileges = privileges(&grant.privileges, &level)?;
        if grant.with_grant_option {
            privileges = privileges.with(Privilege::GrantOption);
        }
        let columns = column_privileges(&grant.columns)?;
        self.privileges.require_to_grant(privileges, &columns, &level)?;
        for spec in &grant.users {
            let user = self.user_name(&spec.account);
            let (level, columns) = (level.clone(), columns.clone());
            self.change_catalog(Command::Grant { user, level, privileges, columns }).await?;
        }
        Ok(done())
    }

    pub(crate) async fn revoke(&mut self, revoke: &Grant) -> Result<Answer> {
        if revoke.level == GrantLevel::Everywhere {
            self.privileges.require_globally(Privilege::CreateUser, "CREATE USER")?;
            for spec in &revoke.users {
                let user = self.user_name(&spec.account);
                self.change_catalog(Command::RevokeAll { user }).await?;
            }
            return Ok(done());
        }
        let level = self.grant_level(&revoke.level)?;
        let privileges = privileges(&revoke.privileges, &level)?;
        let columns = column_privileges(&revoke.columns)?;
        self.privileges.require_to_grant(privileges, &columns, &level)?;
        for spec in &revoke.users {
            let user = self.user_name(&spec.account);
            let (level, columns) = (level.clone(), columns.clone());
            self.change_catalog(Command::Revoke { user, level, privileges, columns }).await?;
        }
        Ok(done())
    }

    /// SHOW GRANTS; None: those of the session itself. `roles`: of USING, whose grants are shown as the
    /// account's. Errors: 1141, and 3530 for a role that the account was not granted.
    pub(crate) fn show_grants(&self, account: Option<&Account>, roles: &[Account]) -> Result<Grid> {
        let name = account.map_or_else(|| self.identity.account_name(), |account| self.user_name(account));
        let mut grid = Grid::of_text(&[&format!("Grants for {}@{}", name.name, name.host)]);
        let own_without_account = self.identity.account.is_none() && name == self.identity.account_name();
        match self.catalog.user(&name) {
            Some(user) => {
                let mut grants = user.grants.clone();
                let roles = self.named_roles(&name, roles)?;
                self.catalog.roles_of(&roles).iter().for_each(|role| grants.add(&role.grants));
                for (level, granted) in grants.levels() {
                    let columns = grants.columns_at(&level);
                    grid.push(vec![grant_text(&level, granted, columns, &name).into()]);
                }
                for line in super::roles::grant_lines(user) {
                    grid.push(vec![line.into()]);
                }
            }
            None if own_without_account => {
                self.named_roles(&name, roles)?;
                let level = GrantedOn::Global;
                let all = level.all_privileges().with(Privilege::GrantOption);
                grid.push(vec![grant_text(&level, all, None, &name).into()]);
            }
            None => {
                return Err(SqlError::new(
                    ErrorKind::NoSuchGrant,
                    format!(
                        "There is no such grant defined for user '{}' on host '{}'",
                        name.name, name.host
                    ),
                ));
            }
        }
        Ok(grid)
    }

    pub(crate) fn show_create_user(&self, account: &Account) -> Result<Grid> {
        let name = self.user_name(account);
        let user = self.catalog.user(&name).ok_or_else(|| {
            SqlError::new(ErrorKind::CannotUser, format!("Operation SHOW CREATE USER failed for {name}"))
        })?;
        let mut grid = Grid::of_text(&[&format!("CREATE USER for {}@{}", name.name, name.host)]);
        let proof = match user.authentication.as_str() {
            "" => String::new(),
            hash => format!(" AS '{}'", hash.replace('\\', "\\\\").replace('\'', "\\'")),
        };
        let tls = if user.options.requires_tls { "SSL" } else { "NONE" };
        let lock = if user.options.locked { "LOCK" } else { "UNLOCK" };
        let text = format!(
            "CREATE USER {} IDENTIFIED WITH '{}'{proof} REQUIRE {tls} ACCOUNT {lock}{}",
            quoted(&name),
            user.plugin,
            limit_text(&user.options)
        );
        grid.push(vec![text.into()]);
        Ok(grid)
    }
}

/// What SHOW CREATE USER says of wrong passwords, once one of the two options was set.
fn limit_text(options: &AccountOptions) -> String {
    let attempts = options.failed_login_attempts;
    let attempts = (attempts > 0).then(|| format!(" FAILED_LOGIN_ATTEMPTS {attempts}"));
    let time = match options.password_lock_time {
        LockTime::Days(0) => None,
        LockTime::Days(days) => Some(format!(" PASSWORD_LOCK_TIME {days}")),
        LockTime::Unbounded => Some(" PASSWORD_LOCK_TIME UNBOUNDED".to_string()),
    };
    [attempts, time].into_iter().flatten().collect()
}

fn lock_time(days: Option<u16>) -> LockTime {
    days.map_or(LockTime::Unbounded, LockTime::Days)
}

/// One line of SHOW GRANTS.
fn grant_text(
    level: &GrantedOn,
    granted: PrivilegeSet,
    columns: Option<&ColumnPrivileges>,
    user: &UserName,
) -> String {
    let all = level.all_privileges();
    let plain = granted.minus(PrivilegeSet::NONE.with(Privilege::GrantOption));
    let words = if plain.contains_all(all) {
        "ALL PRIVILEGES".to_string()
    } else if plain.is_empty() && columns.is_none() {
        "USAGE".to_string()
    } else {
        let words = Privilege::ALL.iter().flat_map(|privilege| {
            let whole = plain.contains(*privilege).then(|| privilege.name().to_string());
            let held = columns.into_iter().flatten().filter(|(_, held)| held.contains(*privilege));
            let names: Vec<String> = held.map(|(name, _)| sql::ddl::quote_name(name)).collect();
            let some = (!names.is_empty()).then(|| format!("{} ({})", privilege.name(), names.join(", ")));
            whole.into_iter().chain(some)
        });
        words.collect::<Vec<_>>().join(", ")
    };
    let option = if granted.contains(Privilege::GrantOption) { " WITH GRANT OPTION" } else { "" };
    format!("GRANT {words} ON {level} TO {}{option}", quoted(user))
}

pub(super) fn quoted(user: &UserName) -> String {
    let quote = |text: &str| format!("`{}`", text.replace('`', "``"));
    format!("{}@{}", quote(&user.name), quote(&user.host))
}

/// The privileges that words name on a level.
fn privileges(words: &[String], level: &GrantedOn) -> Result<PrivilegeSet> {
    words.iter().try_fold(PrivilegeSet::NONE, |all, word| match word.as_str() {
        "ALL" => Ok(all.union(level.all_privileges())),
        "USAGE" => Ok(all),
        name => match Privilege::named(name) {
            Some(privilege) => Ok(all.with(privilege)),
            None => Err(SqlError::unsupported(format_args!("the privilege {name}"))),
        },
    })
}

/// The privileges that words name on columns: reading them is all that can be granted so far.
fn column_privileges(columns: &[(String, Vec<String>)]) -> Result<ColumnPrivileges> {
    let mut all = ColumnPrivileges::new();
    for (word, names) in columns {
        let privilege = match Privilege::named(word) {
            Some(Privilege::Select) => Privilege::Select,
            _ => return Err(SqlError::unsupported(format_args!("{word} on columns: only SELECT is"))),
        };
        for name in names {
            let held = all.entry(name.clone()).or_default();
            *held = held.with(privilege);
        }
    }
    Ok(all)
}

fn plugin_of(user: &User) -> Result<Plugin> {
    Plugin::from_name(&user.plugin)
        .ok_or_else(|| SqlError::internal(format!("{} has the unknown plugin {}", user.user, user.plugin)))
}

/// What the plugin keeps of a password. It takes milliseconds, on purpose.
async fn stored(plugin: Plugin, password: &str) -> Result<String> {
    let password = password.to_string();
    tokio::task::spawn_blocking(move || make_stored(plugin, &password).unwrap_or_default())
        .await
        .map_err(SqlError::internal)
}

/// How the user will prove who they are: the plugin and what it keeps.
fn proof(spec: &UserSpec) -> Result<(Plugin, String)> {
    let plugin = match &spec.plugin {
        None => Plugin::default(),
        Some(name) => Plugin::from_name(name).ok_or_else(|| {
            SqlError::new(
                ErrorKind::WrongArguments,
                format!("Plugin '{name}' is not loaded; use caching_sha2_password or mysql_native_password"),
            )
        })?,
    };
    let authentication = match &spec.password {
        None => String::new(),
        Some(Password::Plain(password)) => make_stored(plugin, password).unwrap_or_default(),
        Some(Password::Hash(hash)) => {
            mysql_protocol::check_stored(plugin, hash)
                .map_err(|reason| SqlError::new(ErrorKind::WrongArguments, reason.to_string()))?;
            hash.clone()
        }
    };
    Ok((plugin, authentication))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_shown_as_mysql_shows_them() {
        let user = UserName::new("ann", "%");
        let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
        let database = GrantedOn::Database("shop".into());
        for (level, granted, option, expected) in [
            (GrantedOn::Global, &["USAGE"][..], false, "GRANT USAGE ON *.* TO `ann`@`%`"),
            (GrantedOn::Global, &["ALL"], true, "GRANT ALL PRIVILEGES ON *.* TO `ann`@`%` WITH GRANT OPTION"),
            (database.clone(), &["INSERT", "SELECT"], false, "GRANT SELECT, INSERT ON `shop`.* TO `ann`@`%`"),
            (
                GrantedOn::Table { database: "shop".into(), table: "t".into() },
                &["SELECT"],
                true,
                "GRANT SELECT ON `shop`.`t` TO `ann`@`%` WITH GRANT OPTION",
            ),
        ] {
            let mut set = privileges(&words(granted), &level).unwrap();
            if option {
                set = set.with(Privilege::GrantOption);
            }
            assert_eq!(grant_text(&level, set, None, &user), expected);
        }
        let columns = column_privileges(&[("SELECT".into(), words(&["a", "b`c"]))]).unwrap();
        let table = GrantedOn::Table { database: "shop".into(), table: "t".into() };
        for (granted, expected) in [
            (&["USAGE"][..], "GRANT SELECT (`a`, `b``c`) ON `shop`.`t` TO `ann`@`%`"),
            (&["DELETE"], "GRANT SELECT (`a`, `b``c`), DELETE ON `shop`.`t` TO `ann`@`%`"),
            (&["SELECT"], "GRANT SELECT, SELECT (`a`, `b``c`) ON `shop`.`t` TO `ann`@`%`"),
        ] {
            let set = privileges(&words(granted), &table).unwrap();
            assert_eq!(grant_text(&table, set, Some(&columns), &user), expected);
        }
        let insert = column_privileges(&[("INSERT".into(), words(&["a"]))]);
        assert_eq!(insert.unwrap_err().kind.errno(), 1235);
        assert_eq!(privileges(&words(&["EXECUTE"]), &database).unwrap_err().kind.errno(), 1235);
    }
}
