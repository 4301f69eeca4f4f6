//! Roles, and RENAME USER.
//!
//! A session has the roles that it took with SET ROLE, at first the default roles of its account, and
//! all that those were granted in turn; what is revoked counts no more from the next statement on.

use super::users::quoted;
use super::{Answer, done};
use crate::session::State;
use catalog::{Command, Privilege, User, UserName};
use sql::statement::{Account, RoleChoice};
use types::{ErrorKind, Result, SqlError};

impl State {
    pub(crate) async fn rename_users(&mut self, renames: &[(Account, Account)]) -> Result<Answer> {
        for (from, to) in renames {
            let (from, to) = (self.user_name(from), self.user_name(to));
            if to.name != from.name {
                self.check_makes_root(&to)?;
            }
            self.change_catalog(Command::RenameUser { from, to }).await?;
        }
        Ok(done())
    }

    pub(crate) async fn create_roles(&mut self, roles: &[Account], if_not_exists: bool) -> Result<Answer> {
        for role in roles {
            let role = self.user_name(role);
            self.check_makes_root(&role)?;
            self.change_user_catalog(Command::CreateRole { role, if_not_exists }).await?;
        }
        Ok(done())
    }

    pub(crate) async fn drop_roles(&mut self, roles: &[Account], if_exists: bool) -> Result<Answer> {
        for role in roles {
            let role = self.user_name(role);
            self.change_user_catalog(Command::DropRole { role, if_exists }).await?;
        }
        Ok(done())
    }

    pub(crate) async fn grant_roles(
        &mut self,
        roles: &[Account],
        users: &[Account],
        admin: bool,
    ) -> Result<Answer> {
        for user in users {
            for role in roles {
                let (user, role) = (self.user_name(user), self.user_name(role));
                self.change_catalog(Command::GrantRole { user, role, admin }).await?;
            }
        }
        Ok(done())
    }

    pub(crate) async fn revoke_roles(&mut self, roles: &[Account], users: &[Account]) -> Result<Answer> {
        for user in users {
            for role in roles {
                let (user, role) = (self.user_name(user), self.user_name(role));
                self.change_catalog(Command::RevokeRole { user, role }).await?;
            }
        }
        Ok(done())
    }

    /// SET ROLE.
    pub(crate) fn set_role(&mut self, choice: &RoleChoice) -> Result<Answer> {
        let own = self.identity.account_name();
        let roles = match choice {
            RoleChoice::Default => {
                self.catalog.user(&own).map(|user| user.default_roles.clone()).unwrap_or_default()
            }
            other => self.chosen_roles(&own, other)?,
        };
        self.take_roles(roles);
        Ok(done())
    }

    /// SET DEFAULT ROLE.
    pub(crate) async fn set_default_roles(
        &mut self,
        choice: &RoleChoice,
        users: &[Account],
    ) -> Result<Answer> {
        for user in users {
            let user = self.user_name(user);
            let roles = self.chosen_roles(&user, choice)?;
            self.change_catalog(Command::SetDefaultRoles { user, roles }).await?;
        }
        Ok(done())
    }

    /// The roles of an account that a choice means. Error: 3530.
    fn chosen_roles(&self, user: &UserName, choice: &RoleChoice) -> Result<Vec<UserName>> {
        let account = self.catalog.user(user);
        let all = account.map(|account| account.roles.as_slice()).unwrap_or_default();
        let all = all.iter().map(|granted| granted.role.clone());
        match choice {
            RoleChoice::None | RoleChoice::Default => Ok(Vec::new()),
            RoleChoice::All => Ok(all.collect()),
            RoleChoice::AllExcept(except) => {
                let except: Vec<UserName> = except.iter().map(|role| self.user_name(role)).collect();
                Ok(all.filter(|role| !except.contains(role)).collect())
            }
            RoleChoice::Named(named) => self.named_roles(user, named),
        }
    }

    /// Roles that an account was granted, by their names. Error: 3530.
    pub(super) fn named_roles(&self, user: &UserName, named: &[Account]) -> Result<Vec<UserName>> {
        let account = self.catalog.user(user);
        let granted = named.iter().map(|role| {
            let role = self.user_name(role);
            if account.is_some_and(|account| account.has_role(&role)) {
                return Ok(role);
            }
            Err(SqlError::new(
                ErrorKind::RoleNotGranted,
                format!("{} is not granted to {}", quoted(&role), quoted(user)),
            ))
        });
        granted.collect()
    }

    /// That the session may give a role to others: it has it WITH ADMIN OPTION, or is SUPER.
    pub(super) fn may_give(&self, role: &UserName) -> Result<()> {
        let account = self.catalog.user(&self.identity.account_name());
        if account.is_some_and(|user| user.roles.iter().any(|own| own.role == *role && own.admin)) {
            return Ok(());
        }
        self.privileges.require_globally(Privilege::Super, "WITH ADMIN, ROLE_ADMIN, SUPER")
    }
}

/// The lines of SHOW GRANTS about an account's roles.
pub(super) fn grant_lines(user: &User) -> Vec<String> {
    let line = |admin: bool| {
        let roles: Vec<String> =
            user.roles.iter().filter(|own| own.admin == admin).map(|own| quoted(&own.role)).collect();
        let option = if admin { " WITH ADMIN OPTION" } else { "" };
        (!roles.is_empty()).then(|| format!("GRANT {} TO {}{option}", roles.join(","), quoted(&user.user)))
    };
    [line(false), line(true)].into_iter().flatten().collect()
}
