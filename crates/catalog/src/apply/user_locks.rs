//! User-level locks are taken and released.
//!
//! A session that holds locks and waits for one more is remembered, so that one of those that wait for each other is
//! told: who holds nothing keeps nobody waiting.

use crate::{Catalog, LockHolder, Outcome, UserLock};
use std::sync::Arc;
use types::{ErrorKind, SqlError};

impl Catalog {
    pub(super) fn take_lock(
        &mut self,
        name: &str,
        holder: LockHolder,
        waits: bool,
    ) -> Result<Outcome, SqlError> {
        if let Some(by) = self.user_locks.get(name).map(|lock| lock.holder).filter(|by| *by != holder) {
            if waits && self.lock_waits_lead(by, holder) {
                return Err(SqlError::new(
                    ErrorKind::UserLockDeadlock,
                    "Deadlock found when trying to get user-level lock; try rolling back \
                     transaction/releasing locks and restarting lock acquisition.",
                ));
            }
            if waits && self.lock_holders().any(|other| other == holder) {
                Arc::make_mut(&mut self.lock_waits).insert(holder, name.to_string());
            }
            return Ok(Outcome::LockHeld(by));
        }
        self.end_lock_wait(holder);
        let locks = Arc::make_mut(&mut self.user_locks);
        locks.entry(name.to_string()).or_insert(UserLock { holder, count: 0 }).count += 1;
        Ok(Outcome::LockTaken)
    }

    /// Whether `from` waits, over any number of others, for `to`.
    fn lock_waits_lead(&self, from: LockHolder, to: LockHolder) -> bool {
        let mut at = from;
        // No way without circles is longer.
        for _ in 0..=self.lock_waits.len() {
            let Some(lock) = self.lock_waits.get(&at).and_then(|name| self.user_locks.get(name)) else {
                return false;
            };
            if lock.holder == to {
                return true;
            }
            at = lock.holder;
        }
        false
    }

    pub(super) fn end_lock_wait(&mut self, holder: LockHolder) {
        if self.lock_waits.contains_key(&holder) {
            Arc::make_mut(&mut self.lock_waits).remove(&holder);
        }
    }

    pub(super) fn release_lock(&mut self, name: &str, holder: LockHolder) -> Outcome {
        let Some(UserLock { holder: by, count }) = self.user_locks.get(name).copied() else {
            return Outcome::LockFree;
        };
        if by != holder {
            return Outcome::LockHeld(by);
        }
        self.end_lock_wait(holder);
        let locks = Arc::make_mut(&mut self.user_locks);
        let left = count.saturating_sub(1);
        if left == 0 {
            locks.remove(name);
        } else {
            locks.insert(name.to_string(), UserLock { holder, count: left });
        }
        Outcome::LockReleased { left }
    }

    pub(super) fn release_locks(&mut self, holder: LockHolder) -> Outcome {
        self.end_lock_wait(holder);
        let of_holder = self.user_locks.values().filter(|lock| lock.holder == holder);
        let count = of_holder.map(|lock| lock.count).sum();
        if count > 0 {
            Arc::make_mut(&mut self.user_locks).retain(|_, lock| lock.holder != holder);
        }
        Outcome::LocksReleased { count }
    }

    pub(super) fn find_lock(&self, name: &str) -> Outcome {
        self.user_locks.get(name).map_or(Outcome::LockFree, |lock| Outcome::LockHeld(lock.holder))
    }
}
