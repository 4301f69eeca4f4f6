//! Wrong passwords, one after another, of accounts that they lock: FAILED_LOGIN_ATTEMPTS, PASSWORD_LOCK_TIME.
//!
//! As in MySQL every server counts for itself, in memory. What was counted is forgotten by a login with the right
//! password, FLUSH PRIVILEGES and a restart, on this aggregator; and on all of them by ALTER USER that unlocks the
//! account or sets one of the two options, which leaves a mark in the catalog
//! ([`catalog::AccountOptions::counts_since`]).

use catalog::{Catalog, LockTime, User, UserName};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use types::{ErrorKind, SqlError};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Default)]
pub(crate) struct FailedLogins(Mutex<HashMap<UserName, Count>>);

struct Count {
    /// The mark of the account when this was counted.
    since: u64,
    wrong: u16,
    locked: Option<Instant>,
}

impl FailedLogins {
    /// A wrong password. Gives the error of a lock, if this was one too many, or had been before.
    pub(crate) fn wrong(
        &self,
        catalog: &Catalog,
        account: &User,
        (user, host): (&str, &str),
        now: Instant,
    ) -> Option<SqlError> {
        if !account.options.limits_attempts() {
            return None;
        }
        let mut counts = self.0.lock();
        if !counts.contains_key(&account.user) {
            // Accounts that were dropped leave nothing behind.
            counts.retain(|known, _| catalog.user(known).is_some());
        }
        let since = account.options.counts_since;
        let fresh = || Count { since, wrong: 0, locked: None };
        let count = counts.entry(account.user.clone()).or_insert_with(fresh);
        if !count.holds(account, now) {
            *count = fresh();
        }
        if count.locked.is_none() {
            count.wrong += 1;
            if count.wrong >= account.options.failed_login_attempts {
                count.locked = Some(now);
            }
        }
        count.error(account, user, host, now)
    }

    /// The right password: error 3955 while the account is locked, else what was counted is forgotten.
    pub(crate) fn right(
        &self,
        account: &User,
        (user, host): (&str, &str),
        now: Instant,
    ) -> Result<(), SqlError> {
        if !account.options.limits_attempts() {
            return Ok(());
        }
        let mut counts = self.0.lock();
        let held = counts.get(&account.user).filter(|count| count.holds(account, now));
        if let Some(error) = held.and_then(|count| count.error(account, user, host, now)) {
            return Err(error);
        }
        counts.remove(&account.user);
        Ok(())
    }

    pub(crate) fn forget_all(&self) {
        self.0.lock().clear();
    }
}

impl Count {
    /// Whether this still counts.
    fn holds(&self, account: &User, now: Instant) -> bool {
        let is_over = match (self.locked, account.options.password_lock_time) {
            (Some(at), LockTime::Days(days)) => now.duration_since(at) >= DAY * u32::from(days),
            (None, _) | (_, LockTime::Unbounded) => false,
        };
        self.since == account.options.counts_since && !is_over
    }

    /// Error 3955, if the account is locked.
    fn error(&self, account: &User, user: &str, host: &str, now: Instant) -> Option<SqlError> {
        let at = self.locked?;
        let (days, remaining) = match account.options.password_lock_time {
            LockTime::Unbounded => ("unlimited".to_string(), "unlimited".to_string()),
            LockTime::Days(days) => {
                let passed = now.duration_since(at).as_secs() / DAY.as_secs();
                (days.to_string(), u64::from(days).saturating_sub(passed).to_string())
            }
        };
        Some(SqlError::new(
            ErrorKind::AccountBlocked,
            format!(
                "Access denied for user '{user}'@'{host}'. Account is blocked for {days} day(s) ({remaining} day(s) \
                 remaining) due to {} consecutive failed logins.",
                self.wrong
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::{AccountOptions, Grants};

    fn account(attempts: u16, time: LockTime, since: u64) -> User {
        User {
            user: UserName::new("ann", "%"),
            plugin: "caching_sha2_password".into(),
            authentication: String::new(),
            grants: Grants::default(),
            options: AccountOptions {
                failed_login_attempts: attempts,
                password_lock_time: time,
                counts_since: since,
                ..AccountOptions::default()
            },
            roles: Vec::new(),
            default_roles: Vec::new(),
        }
    }

    const FROM: (&str, &str) = ("ann", "localhost");

    #[test]
    fn an_account_is_locked_by_wrong_passwords_in_a_row_and_for_its_time() {
        let (logins, catalog, start) = (FailedLogins::default(), Catalog::new(), Instant::now());
        let ann = account(2, LockTime::Days(3), 1);
        assert_eq!(logins.wrong(&catalog, &ann, FROM, start), None);
        assert_eq!(logins.right(&ann, FROM, start), Ok(()));
        assert_eq!(logins.wrong(&catalog, &ann, FROM, start), None, "the right one in between");
        let error = logins.wrong(&catalog, &ann, FROM, start).unwrap();
        assert_eq!(
            (error.kind.errno(), error.message.as_str()),
            (
                3955,
                "Access denied for user 'ann'@'localhost'. Account is blocked for 3 day(s) (3 day(s) remaining) due \
                 to 2 consecutive failed logins."
            )
        );
        let later = start + DAY + DAY / 2;
        let error = logins.right(&ann, FROM, later).unwrap_err();
        assert!(error.message.contains("(2 day(s) remaining)"), "{}", error.message);
        assert!(logins.wrong(&catalog, &ann, FROM, later).is_some());
        assert_eq!(logins.right(&ann, FROM, start + 3 * DAY), Ok(()));
    }

    #[test]
    fn a_mark_in_the_catalog_and_flush_privileges_forget() {
        let (logins, catalog, now) = (FailedLogins::default(), Catalog::new(), Instant::now());
        let ann = account(1, LockTime::Unbounded, 1);
        assert!(logins.wrong(&catalog, &ann, FROM, now).unwrap().message.contains("unlimited day(s)"));
        assert!(logins.right(&ann, FROM, now + 1000 * DAY).is_err());
        assert_eq!(logins.right(&account(1, LockTime::Unbounded, 2), FROM, now), Ok(()));
        assert!(logins.wrong(&catalog, &ann, FROM, now).is_some());
        logins.forget_all();
        assert_eq!(logins.right(&ann, FROM, now), Ok(()));
        let free = account(1, LockTime::Days(0), 0);
        assert_eq!(logins.wrong(&catalog, &free, FROM, now), None);
    }
}
