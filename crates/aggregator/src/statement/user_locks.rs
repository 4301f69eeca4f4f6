//! GET_LOCK() and its kin. The locks are the catalog's ([`catalog::LockHolder`]), so they exclude the sessions of all
//! aggregators; who waits for one tries again when the catalog shows it free.

use super::query::Parameters;
use crate::processes::Stage;
use crate::session::State;
use catalog::{Command, Outcome};
use sqlparser::ast;
use std::time::Duration;
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
        let taken = self.wait_for_lock(&name, limit).await;
        self.process.stage(Stage::Executing);
        let locks = &self.aggregator.user_locks;
        if matches!(taken, Ok(true)) {
            locks.taken(self.connection_id, &name);
        } else if limit > Duration::ZERO && locks.has_any(self.connection_id) {
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

    async fn wait_for_lock(&self, name: &str, limit: Duration) -> Result<bool> {
        let metadata = &self.aggregator.metadata;
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            if self.try_lock(name, limit > Duration::ZERO).await? {
                return Ok(true);
            }
            let freed = async {
                let mut catalog = metadata.snapshot();
                while catalog.user_lock(name).is_some() {
                    catalog = metadata.changed(catalog.version()).await?;
                }
                Ok(())
            };
            match tokio::time::timeout_at(deadline, self.unless_cancelled(freed)).await {
                Ok(freed) => freed?,
                Err(_) => return Ok(false),
            }
        }
    }

    /// Takes the lock if nobody else has it. A statement that is cancelled meanwhile has not got it.
    async fn try_lock(&self, name: &str, waits: bool) -> Result<bool> {
        self.check_cancelled()?;
        let metadata = self.aggregator.metadata.clone();
        let holder = self.aggregator.user_locks.holder(self.connection_id);
        let take = Command::TakeLock { name: name.to_string(), holder, waits };
        let mut taking = tokio::spawn(async move { metadata.propose(take).await });
        let reason = tokio::select! {
            biased;
            taken = &mut taking => {
                return Ok(matches!(taken.map_err(SqlError::internal)??, Outcome::LockTaken));
            }
            reason = self.cancel.cancelled() => reason,
        };
        let (metadata, name) = (self.aggregator.metadata.clone(), name.to_string());
        tokio::spawn(async move {
            if let Ok(Ok(Outcome::LockTaken)) = taking.await
                && let Err(error) = metadata.propose(Command::ReleaseLock { name, holder }).await
            {
                tracing::warn!(%error, "a lock that nobody wants any more was not released");
            }
        });
        Err(reason)
    }

    /// 1; 0 if another session has it; NULL if nobody has.
    pub(super) async fn release_lock(&mut self, name: String) -> Result<Option<u64>> {
        let (locks, session) = (&self.aggregator.user_locks, self.connection_id);
        locks.releases(session, &name);
        let release = Command::ReleaseLock { name: name.clone(), holder: locks.holder(session) };
        Ok(match self.aggregator.metadata.propose(release).await? {
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
        match self.aggregator.metadata.propose(Command::ReleaseLocks { holder }).await? {
            Outcome::LocksReleased { count } => Ok(count),
            _ => Ok(0),
        }
    }

    /// The session ends, or begins anew.
    pub(crate) async fn drop_user_locks(&mut self) {
        if self.aggregator.user_locks.has_any(self.connection_id)
            && let Err(error) = self.release_all_locks().await
        {
            // They are released when the aggregator finds them next.
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

fn wrong_name(name: &str) -> SqlError {
    let shown: String = name.chars().take(192).collect();
    SqlError::new(ErrorKind::UserLockWrongName, format!("Incorrect user-level lock name '{shown}'."))
}
