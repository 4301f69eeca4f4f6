//! CREATE and DROP ROLE, GRANT and REVOKE of roles, SET DEFAULT ROLE.
//!
//! A role is an account: locked, without a password. Any account may be granted as one, as in MySQL.
//! Invariant: the accounts, with an edge from each to the roles that it may take, have no circle.

use super::users::{failed, normal};
use crate::{AccountOptions, Catalog, GrantedRole, Outcome, User, UserName};
use std::collections::BTreeSet;
use std::sync::Arc;
use types::{ErrorKind, SqlError};

/// What MySQL writes beside a role that has no password.
const NO_PLUGIN: &str = "caching_sha2_password";

impl Catalog {
    pub(super) fn create_role(&mut self, role: &UserName, if_not_exists: bool) -> Result<Outcome, SqlError> {
        let role = normal(role);
        if role.name.is_empty() {
            return Err(failed("CREATE ROLE", &role));
        }
        if self.users.contains_key(&role) {
            let error = failed("CREATE ROLE", &role);
            return if if_not_exists { Ok(Outcome::Unchanged(error)) } else { Err(error) };
        }
        self.insert_user(role, NO_PLUGIN, "", AccountOptions { locked: true, ..AccountOptions::default() })
    }

    pub(super) fn drop_role(&mut self, role: &UserName, if_exists: bool) -> Result<Outcome, SqlError> {
        let role = normal(role);
        if self.users.contains_key(&role) {
            return self.remove_user(&role);
        }
        let error = failed("DROP ROLE", &role);
        if if_exists { Ok(Outcome::Unchanged(error)) } else { Err(error) }
    }

    pub(super) fn grant_role(
        &mut self,
        user: &UserName,
        role: &UserName,
        admin: bool,
    ) -> Result<Outcome, SqlError> {
        let (user, role) = (normal(user), normal(role));
        for account in [&role, &user] {
            if !self.users.contains_key(account) {
                return Err(unknown(account));
            }
        }
        if role == user || self.roles_of([&role]).iter().any(|below| below.user == user) {
            return Err(SqlError::new(
                ErrorKind::RoleGrantedToItself,
                format!(
                    "User account {} is directly or indirectly granted to the role {}. \
                     The GRANT would create a loop",
                    quoted(&user),
                    quoted(&role)
                ),
            ));
        }
        if let Some(entry) = self.user_mut(&user) {
            match entry.roles.iter_mut().find(|granted| granted.role == role) {
                Some(granted) => granted.admin |= admin,
                None => {
                    entry.roles.push(GrantedRole { role, admin });
                    entry.roles.sort();
                }
            }
        }
        Ok(Outcome::Done)
    }

    pub(super) fn revoke_role(&mut self, user: &UserName, role: &UserName) -> Result<Outcome, SqlError> {
        let (user, role) = (normal(user), normal(role));
        if !self.users.contains_key(&role) {
            return Err(unknown(&role));
        }
        let Some(entry) = self.user_mut(&user) else { return Err(unknown(&user)) };
        entry.roles.retain(|granted| granted.role != role);
        entry.default_roles.retain(|default| *default != role);
        Ok(Outcome::Done)
    }

    pub(super) fn set_default_roles(
        &mut self,
        user: &UserName,
        roles: &[UserName],
    ) -> Result<Outcome, SqlError> {
        let user = normal(user);
        let roles: BTreeSet<UserName> = roles.iter().map(normal).collect();
        let Some(entry) = self.users.get(&user) else { return Err(unknown(&user)) };
        if let Some(other) = roles.iter().find(|role| !entry.has_role(role)) {
            return Err(SqlError::new(
                ErrorKind::RoleNotGranted,
                format!("{} is not granted to {}", quoted(other), quoted(&user)),
            ));
        }
        if let Some(entry) = self.user_mut(&user) {
            entry.default_roles = roles.into_iter().collect();
        }
        Ok(Outcome::Done)
    }

    /// In all accounts: the role `old` is called `new` now, or is gone.
    pub(super) fn replace_role(&mut self, old: &UserName, new: Option<&UserName>) {
        let having: Vec<UserName> =
            self.users.values().filter(|user| user.has_role(old)).map(|user| user.user.clone()).collect();
        for name in having {
            let Some(User { roles, default_roles, .. }) = self.user_mut(&name) else { continue };
            match new {
                None => {
                    roles.retain(|granted| granted.role != *old);
                    default_roles.retain(|role| role != old);
                }
                Some(new) => {
                    roles.iter_mut().filter(|granted| granted.role == *old).for_each(|granted| {
                        granted.role = new.clone();
                    });
                    default_roles.iter_mut().filter(|role| *role == old).for_each(|role| *role = new.clone());
                    roles.sort();
                    default_roles.sort();
                }
            }
        }
    }

    /// These roles and all that they were granted in turn, each once.
    pub fn roles_of<'r>(&self, roles: impl IntoIterator<Item = &'r UserName>) -> Vec<Arc<User>> {
        let mut found: Vec<Arc<User>> = Vec::new();
        let mut open: Vec<UserName> = roles.into_iter().cloned().collect();
        while let Some(name) = open.pop() {
            if found.iter().any(|known| known.user == name) {
                continue;
            }
            if let Some(user) = self.users.get(&name) {
                open.extend(user.roles.iter().map(|granted| granted.role.clone()));
                found.push(user.clone());
            }
        }
        found
    }
}

fn unknown(account: &UserName) -> SqlError {
    SqlError::new(ErrorKind::UnknownAuthorizationId, format!("Unknown authorization ID {}", quoted(account)))
}

pub(super) fn quoted(account: &UserName) -> String {
    format!("`{}`@`{}`", account.name.replace('`', "``"), account.host.replace('`', "``"))
}
