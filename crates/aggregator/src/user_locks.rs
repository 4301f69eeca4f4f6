//! The user-level locks of this aggregator's sessions. The catalog says who holds which (see
//! [`catalog::LockHolder`]); here is what the sessions believe to hold.
//!
//! Once in a second both are compared. What sessions hold that are no more is released: of an earlier start, or since
//! the catalog could not be reached at the session's end. A session that has lost a lock, as happens when this
//! aggregator was silent for too long, is ended, so that it does not go on without knowing; and so is one that is
//! going to lose it, since the leader of the metadata cannot be reached.

use crate::processes::Processes;
use catalog::{DETACHED_LOCKS_LIMIT, LockHolder, Metadata};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use types::{NodeId, Result, SqlError};

/// So many sessions ask for locks at a time: the catalog keeps few proposals of a node, and a lock that is released
/// wakes all that wait for it.
const TAKING_AT_A_TIME: usize = 16;

pub(crate) struct UserLocks {
    node: NodeId,
    /// A number that no earlier start had.
    start: u64,
    believed: Mutex<Believed>,
    /// Who asks for a lock has one of its permits.
    taking: Arc<Semaphore>,
}

#[derive(Default)]
struct Believed {
    /// Names by session. Changed before the catalog where a lock is released, after it where one is taken; so what is
    /// here is there.
    held: BTreeMap<u64, BTreeSet<String>>,
    /// Since when the leader of the metadata cannot be reached.
    detached: Option<Instant>,
}

impl Believed {
    fn remove(&mut self, session: u64, name: &str) {
        if let Some(names) = self.held.get_mut(&session) {
            names.remove(name);
            if names.is_empty() {
                self.held.remove(&session);
            }
        }
    }
}

impl UserLocks {
    pub(crate) fn new(node: NodeId, start: u64) -> UserLocks {
        let taking = Arc::new(Semaphore::new(TAKING_AT_A_TIME));
        UserLocks { node, start, believed: Mutex::default(), taking }
    }

    pub(crate) fn holder(&self, session: u64) -> LockHolder {
        LockHolder { node: self.node, start: self.start, session }
    }

    /// The catalog says so.
    pub(crate) fn taken(&self, session: u64, name: &str) {
        self.believed.lock().held.entry(session).or_default().insert(name.to_string());
    }

    /// A lock is going to be released.
    pub(crate) fn releases(&self, session: u64, name: &str) {
        self.believed.lock().remove(session, name);
    }

    /// A lock was released beside the session, which may have taken it again meanwhile.
    pub(crate) fn released_beside(&self, session: u64, name: &str, metadata: &dyn Metadata) {
        let mut believed = self.believed.lock();
        // Only now: what is believed was in the catalog before.
        let holder = self.holder(session);
        if metadata.snapshot().user_lock(name).is_none_or(|lock| lock.holder != holder) {
            believed.remove(session, name);
        }
    }

    /// All locks of a session are going to be released. Whether it has any.
    pub(crate) fn releases_all(&self, session: u64) -> bool {
        self.believed.lock().held.remove(&session).is_some()
    }

    /// What asking for a lock needs, for as long as it takes.
    pub(crate) async fn permit(&self) -> Result<OwnedSemaphorePermit> {
        self.taking.clone().acquire_owned().await.map_err(SqlError::internal)
    }

    pub(crate) fn has_any(&self, session: u64) -> bool {
        self.believed.lock().held.contains_key(&session)
    }

    /// Ends the sessions that have lost locks or are going to, and gives the holders that are no more.
    pub(crate) fn compare(&self, metadata: &dyn Metadata, processes: &Processes) -> BTreeSet<LockHolder> {
        let mut believed = self.believed.lock();
        // Only now: what is believed was in the catalog before.
        let catalog = metadata.snapshot();
        believed.detached = match metadata.is_attached() {
            true => None,
            false => believed.detached.or_else(|| Some(Instant::now())),
        };
        let is_cut_off = believed.detached.is_some_and(|since| since.elapsed() >= DETACHED_LOCKS_LIMIT);
        believed.held.retain(|session, names| {
            let holder = self.holder(*session);
            let has = |name: &String| catalog.user_lock(name).is_some_and(|lock| lock.holder == holder);
            let keeps = !is_cut_off && names.iter().all(has);
            if !keeps {
                tracing::warn!(session, "a session is ended, since it loses its user-level locks");
                // An error: it has just ended by itself.
                let _ = processes.kill(*session, false);
            }
            keeps
        });
        let is_gone = |holder: &LockHolder| {
            holder.node == self.node
                && (holder.start != self.start || processes.owner(holder.session).is_err())
        };
        catalog.lock_holders().filter(is_gone).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::{Catalog, Command, CommandId, Outcome};
    use mysql_protocol::Ender;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[derive(Default)]
    struct Fixed {
        catalog: Mutex<Catalog>,
        detached: AtomicBool,
    }

    #[async_trait::async_trait]
    impl Metadata for Fixed {
        fn snapshot(&self) -> Arc<Catalog> {
            Arc::new(self.catalog.lock().clone())
        }

        async fn propose(&self, _: Command) -> Result<Outcome> {
            Err(SqlError::internal("nothing changes"))
        }

        async fn changed(&self, _: u64) -> Result<Arc<Catalog>> {
            Err(SqlError::internal("nothing changes"))
        }

        fn is_attached(&self) -> bool {
            !self.detached.load(Ordering::Relaxed)
        }
    }

    impl Fixed {
        fn apply(&self, command: Command) {
            let mut catalog = self.catalog.lock();
            let id = CommandId { node: NodeId(1), number: catalog.version() + 1 };
            catalog.apply(id, &command).unwrap();
        }

        fn take(&self, name: &str, holder: LockHolder) {
            self.apply(Command::TakeLock { name: name.into(), holder, waits: false });
        }
    }

    #[test]
    fn what_is_held_for_nobody_is_found_and_who_lost_a_lock_is_ended() {
        let metadata = Fixed::default();
        let processes = Arc::new(Processes::default());
        let locks = UserLocks::new(NodeId(1), 7);
        let _here = processes.register(3, "root".into(), "localhost".into(), None, Ender::detached());
        let gone = LockHolder { start: 6, ..locks.holder(3) };
        metadata.take("a", locks.holder(3));
        metadata.take("b", locks.holder(4));
        metadata.take("c", gone);
        metadata.take("d", LockHolder { node: NodeId(2), ..gone });
        locks.taken(3, "a");
        let left: Vec<LockHolder> = locks.compare(&metadata, &processes).into_iter().collect();
        assert_eq!(left, [gone, locks.holder(4)]);
        assert!(locks.has_any(3), "it keeps what it holds");

        // For a moment nobody is reached.
        metadata.detached.store(true, Ordering::Relaxed);
        locks.compare(&metadata, &processes);
        assert!(locks.has_any(3));
        locks.believed.lock().detached = Instant::now().checked_sub(DETACHED_LOCKS_LIMIT);
        locks.compare(&metadata, &processes);
        assert!(!locks.has_any(3), "it was ended");

        metadata.detached.store(false, Ordering::Relaxed);
        locks.taken(3, "a");
        metadata.apply(Command::ReleaseLocks { holder: locks.holder(3) });
        locks.compare(&metadata, &processes);
        assert!(!locks.has_any(3), "it was ended");
    }
}
