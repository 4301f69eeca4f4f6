//! Accounts: a name and a pattern of hosts, how the user proves who they are, what they may do.

use crate::{Grants, matches_pattern};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::fmt;

/// 'name'@'host'. The name is case-sensitive, and empty for the anonymous user; the host is a
/// pattern with `%` and `_`, kept in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserName {
    pub name: String,
    pub host: String,
}

impl UserName {
    pub fn new(name: impl Into<String>, host: impl Into<String>) -> UserName {
        UserName { name: name.into(), host: host.into().to_lowercase() }
    }

    /// True if someone named `name`, who comes from any of `hosts` (spellings of one address), may
    /// be this user.
    pub(crate) fn admits(&self, name: &str, hosts: &[&str]) -> bool {
        (self.name.is_empty() || self.name == name)
            && hosts.iter().any(|host| matches_pattern(&self.host, &host.to_lowercase()))
    }

    /// The least is the one that MySQL tries first: a host without wildcards before one with them,
    /// more literal characters before the first wildcard before fewer, a name before anonymous.
    pub(crate) fn specificity(&self) -> (bool, Reverse<usize>, bool, &UserName) {
        let wildcard = self.host.find(['%', '_']);
        (wildcard.is_some(), Reverse(wildcard.unwrap_or(self.host.len())), self.name.is_empty(), self)
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'@'{}'", self.name, self.host)
    }
}

/// What an account asks of who logs in, beside the proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountOptions {
    /// ACCOUNT LOCK: nobody logs in. Roles are locked accounts.
    pub locked: bool,
    /// REQUIRE SSL.
    pub requires_tls: bool,
}

impl AccountOptions {
    pub(crate) fn is_default(&self) -> bool {
        *self == AccountOptions::default()
    }
}

/// A role that an account may take.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantedRole {
    pub role: UserName,
    /// WITH ADMIN OPTION: may give it to others.
    pub admin: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    pub user: UserName,
    /// `caching_sha2_password` or `mysql_native_password`.
    pub plugin: String,
    /// What the plugin keeps of the password; empty: no password.
    pub authentication: String,
    pub grants: Grants,
    #[serde(default, skip_serializing_if = "AccountOptions::is_default")]
    pub options: AccountOptions,
    /// In order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<GrantedRole>,
    /// Those of `roles` that are taken at login, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default_roles: Vec<UserName>,
}

impl User {
    pub fn has_role(&self, role: &UserName) -> bool {
        self.roles.iter().any(|granted| granted.role == *role)
    }
}
