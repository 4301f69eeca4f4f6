//! GET_LOCK() and its kin. The locks are the catalog's ([`catalog::LockHolder`]), so they exclude the sessions of all
//! aggregators; who waits for one tries again when the catalog shows it free.

use super::query::Parameters;
use crate::processes::Stage;
use crate::server::Aggregator;
use crate::session::State;
use catalog::{Catalog, Command, Outcome};
use sqlparser::ast;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use types::{ErrorKind, Result, SqlError, Value};

/// The longest name, in characters.
const LONGEST_NAME: usize = 64;

/// The longest wait, which is as good as none that ends.
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

impl State {
    /// The name of a lock, which has no case. Error: 3057.
    pub(super) async fn lock_name(&mut self, expr: &ast::Expr, parameters: Parameters<'_>) -> Result<String> {
        let name = match self.argument(expr, parameters).await? {
            Value::Text(name) => name,
            _ => return Err(wrong_name("NULL")),
        };
        match name.chars().count() {
            1..=LONGEST_NAME => Ok(name.to_lowercase()),
            _ => Err(wrong_name(&name)),
        }
    }

    /// 1, or 0 if the time runs out; a negative one does not. Errors: 3058, or that the statement was cancelled.
    pub(super) async fn get_lock(&mut self, name: String, seconds: i64) -> Result<Option<u64>> {
        let limit = u64::try_from(seconds).map_or(LONGEST_WAIT, Duration::from_secs).min(LONGEST_WAIT);
        self.process.stage(Stage::UserLock);
        let mut left_alone = false;
        let taken = self.wait_for_lock(&name, limit, &mut left_alone).await;
        self.process.stage(Stage::Executing);
        let locks = &self.aggregator.user_locks;
        if matches!(taken, Ok(true)) {
            locks.taken(self.connection_id, &name);
        } else if !left_alone && limit > Duration::ZERO && locks.has_any(self.connection_id) {
            let (metadata, holder) = (self.aggregator.metadata.clone(), locks.holder(self.connection_id));
            let ended = async move { metadata.propose(Command::EndLockWait { holder }).await };
            if self.cancel.is_cancelled() {
                tokio::spawn(ended);
            } else {
                ended.await?;
            }
        }
        taken.map(|taken| Some(u64::from(taken)))
    }

    /// `left_alone`: becomes true where a task of its own ends what was begun.
    async fn wait_for_lock(&self, name: &str, limit: Duration, left_alone: &mut bool) -> Result<bool> {
        let (metadata, locks) = (&self.aggregator.metadata, &self.aggregator.user_locks);
        let deadline = tokio::time::Instant::now() + limit;
        let holder = locks.holder(self.connection_id);
        let is_held = |catalog: &Catalog| catalog.user_lock(name).is_some_and(|lock| lock.holder != holder);
        let mut permitted = self.unless_cancelled(locks.permit()).await?;
        loop {
            if self.try_lock(name, limit > Duration::ZERO, permitted, left_alone).await? {
                return Ok(true);
            }
            let freed = async {
                loop {
                    let mut catalog = metadata.snapshot();
                    while is_held(&catalog) {
                        catalog = metadata.changed(catalog.version()).await?;
                    }
                    let permitted = locks.permit().await?;
                    // All that wait are woken, and one of them may have it by now.
                    if !is_held(&metadata.snapshot()) {
                        return Ok(permitted);
                    }
                }
            };
            match tokio::time::timeout_at(deadline, self.unless_cancelled(freed)).await {
                Ok(freed) => permitted = freed?,
                Err(_) => return Ok(false),
            }
        }
    }

    /// Takes the lock if nobody else has it. A statement that is cancelled meanwhile has not got it.
    async fn try_lock(
        &self,
        name: &str,
        waits: bool,
        permitted: OwnedSemaphorePermit,
        left_alone: &mut bool,
    ) -> Result<bool> {
        self.check_cancelled()?;
        let metadata = self.aggregator.metadata.clone();
        let session = self.connection_id;
        let holder = self.aggregator.user_locks.holder(session);
        let take = Command::TakeLock { name: name.to_string(), holder, waits };
        let mut taking = tokio::spawn(async move {
            let taken = metadata.propose(take).await;
            drop(permitted);
            taken
        });
        let reason = tokio::select! {
            biased;
            taken = &mut taking => {
                let taken = taken.map_err(SqlError::internal).flatten();
                let outcome = taken.inspect_err(|error| self.aggregator.end_unsure(session, error))?;
                // What is answered may have been long ago, and the lock released since, as of one that is silent.
                let catalog = self.aggregator.metadata.snapshot();
                let has = catalog.user_lock(name).is_some_and(|lock| lock.holder == holder);
                return Ok(matches!(outcome, Outcome::LockTaken) && has);
            }
            reason = self.cancel.cancelled() => reason,
        };
        *left_alone = true;
        let (aggregator, name) = (self.aggregator.clone(), name.to_string());
        tokio::spawn(async move {
            let undone = async {
                let metadata = &aggregator.metadata;
                match taking.await.map_err(SqlError::internal).flatten() {
                    Ok(Outcome::LockTaken) => {
                        let release = Command::ReleaseLock { name: name.clone(), holder };
                        if let Outcome::LockReleased { left: 0 } = metadata.propose(release).await? {
                            aggregator.user_locks.released_beside(session, &name, &**metadata);
                        }
                    }
                    Err(error) if error.kind != ErrorKind::UserLockDeadlock => return Err(error),
                    _ => {}
                }
                if waits {
                    metadata.propose(Command::EndLockWait { holder }).await?;
                }
                Ok::<_, SqlError>(())
            };
            if let Err(error) = undone.await {
                aggregator.end_unsure(session, &error);
            }
        });
        Err(reason)
    }

    /// 1; 0 if another session has it; NULL if nobody has.
    pub(super) async fn release_lock(&mut self, name: String) -> Result<Option<u64>> {
        let (locks, session) = (&self.aggregator.user_locks, self.connection_id);
        locks.releases(session, &name);
        let release = Command::ReleaseLock { name: name.clone(), holder: locks.holder(session) };
        let released = self.aggregator.metadata.propose(release).await;
        Ok(match released.inspect_err(|error| self.aggregator.end_unsure(session, error))? {
            Outcome::LockReleased { left } => {
                if left > 0 {
                    locks.taken(session, &name);
                }
                Some(1)
            }
            Outcome::LockHeld(_) => Some(0),
            _ => None,
        })
    }

    /// How many locks the session had, one that was taken several times as often.
    pub(crate) async fn release_all_locks(&mut self) -> Result<u64> {
        self.aggregator.user_locks.releases_all(self.connection_id);
        let holder = self.aggregator.user_locks.holder(self.connection_id);
        let released = self.aggregator.metadata.propose(Command::ReleaseLocks { holder }).await;
        match released.inspect_err(|error| self.aggregator.end_unsure(self.connection_id, error))? {
            Outcome::LocksReleased { count } => Ok(count),
            _ => Ok(0),
        }
    }

    /// The session ends, or begins anew.
    pub(crate) async fn drop_user_locks(&mut self) {
        if self.aggregator.user_locks.has_any(self.connection_id)
            && let Err(error) = self.release_all_locks().await
        {
            // The session is ended, and they are released when the aggregator finds them next.
            tracing::warn!(%error, "the user-level locks of a session were not released");
        }
    }

    /// The connection that holds a lock.
    pub(super) async fn user_of_lock(&mut self, name: String) -> Result<Option<u64>> {
        // Of the catalog that this aggregator knows it would be told late.
        match self.aggregator.metadata.propose(Command::FindLock { name }).await? {
            Outcome::LockHeld(holder) => Ok(Some(holder.session)),
            _ => Ok(None),
        }
    }
}

impl Aggregator {
    /// Ends a session that cannot know what it holds, since a lock was perhaps taken or not released: what it leaves is
    /// found and released ([`crate::user_locks`]).
    fn end_unsure(&self, session: u64, error: &SqlError) {
        // Nothing was taken.
        if error.kind == ErrorKind::UserLockDeadlock {
            return;
        }
        tracing::warn!(session, %error, "a session is ended, since it cannot know its user-level locks");
        // An error: it has just ended by itself.
        let _ = self.processes.kill(session, false);
    }
}

fn wrong_name(name: &str) -> SqlError {
    let shown: String = name.chars().take(192).collect();
    SqlError::new(ErrorKind::UserLockWrongName, format!("Incorrect user-level lock name '{shown}'."))
}
