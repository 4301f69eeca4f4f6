//! Accounts: a name and a pattern of hosts, how the user proves who they are, what they may do.

use crate::{Grants, matches_pattern};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::fmt;

/// The user that is there without being made, the administrator of a new cluster, until an account has its name.
pub const ROOT: &str = "root";

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
    /// FAILED_LOGIN_ATTEMPTS: so many wrong passwords, one after another, lock the account for a time. 0: none do.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed_login_attempts: u16,
    #[serde(default, skip_serializing_if = "LockTime::is_none")]
    pub password_lock_time: LockTime,
    /// The version of the catalog by which wrong passwords so far were forgotten: what was counted before it
    /// counts no more. 0 while no wrong passwords lock the account.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub counts_since: u64,
}

fn is_zero<N: PartialEq + Default>(number: &N) -> bool {
    *number == N::default()
}

/// PASSWORD_LOCK_TIME: for how long too many wrong passwords lock an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockTime {
    /// 0: they do not.
    Days(u16),
    /// Until somebody unlocks it.
    Unbounded,
}

impl Default for LockTime {
    fn default() -> LockTime {
        LockTime::Days(0)
    }
}

impl LockTime {
    fn is_none(&self) -> bool {
        *self == LockTime::Days(0)
    }
}

/// What ALTER USER changes of the options; none: as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountChange {
    pub locked: Option<bool>,
    pub requires_tls: Option<bool>,
    pub failed_login_attempts: Option<u16>,
    pub password_lock_time: Option<LockTime>,
}

impl AccountOptions {
    pub(crate) fn is_default(&self) -> bool {
        *self == AccountOptions::default()
    }

    /// Whether too many wrong passwords lock the account.
    pub fn limits_attempts(&self) -> bool {
        self.failed_login_attempts > 0 && !self.password_lock_time.is_none()
    }

    /// Makes a change, at a version of the catalog.
    pub(crate) fn change(&mut self, change: AccountChange, version: u64) {
        let AccountChange { locked, requires_tls, failed_login_attempts, password_lock_time } = change;
        self.locked = locked.unwrap_or(self.locked);
        self.requires_tls = requires_tls.unwrap_or(self.requires_tls);
        self.failed_login_attempts = failed_login_attempts.unwrap_or(self.failed_login_attempts);
        self.password_lock_time = password_lock_time.unwrap_or(self.password_lock_time);
        if !self.limits_attempts() {
            self.counts_since = 0;
        } else if locked == Some(false) || failed_login_attempts.is_some() || password_lock_time.is_some() {
            self.counts_since = version;
        }
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
