//! [`Metadata`] of a process that follows the voters.
//!
//! One task keeps a stream to the leader: it is sent the catalog, then what changes, and reports what
//! this process follows. When the stream breaks, the last catalog stays, and the task looks for the
//! leader again. A command is sent with the same id until a leader answers, so it is applied once.

use super::client::Masters;
use super::convert::report_to_wire;
use async_trait::async_trait;
use catalog::{Catalog, Command, CommandId, Identity, Metadata, Outcome, REPORT_INTERVAL, Report};
use proto::metadata as wire;
use proto::metadata::catalog_update::Update;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use types::{ErrorKind, SqlError};

/// How long a command looks for a leader, and for its effect here, before it fails.
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(15);
/// The pause before another master is asked for a stream.
const PAUSE: Duration = Duration::from_millis(100);

/// Which version a process reports to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// The newest that it was sent: an aggregator, whose next statement sees it.
    AtOnce,
    /// The one that [`RemoteMetadata::carried_out`] was called with: a leaf, whose store has work to do.
    WhenCarriedOut,
}

/// The catalog as sent by the leader of the metadata.
pub struct RemoteMetadata {
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

struct Inner {
    masters: Arc<Masters>,
    identity: Identity,
    follows: Follows,
    published: watch::Sender<Arc<Catalog>>,
    carried_out: watch::Sender<u64>,
    /// The stream is open and its first update is here.
    attached: watch::Sender<bool>,
    last_number: AtomicU64,
}

impl RemoteMetadata {
    /// Starts to follow. Returns at once, with an empty catalog: see [`RemoteMetadata::arrived`].
    pub fn follow(masters: Arc<Masters>, identity: Identity, follows: Follows) -> Arc<RemoteMetadata> {
        let inner = Arc::new(Inner {
            masters,
            identity,
            follows,
            published: watch::Sender::new(Arc::new(Catalog::new())),
            carried_out: watch::Sender::new(0),
            attached: watch::Sender::new(false),
            last_number: AtomicU64::new(0),
        });
        let task = tokio::spawn(inner.clone().run());
        Arc::new(RemoteMetadata { inner, task })
    }

    /// Waits for the first catalog.
    pub async fn arrived(&self) {
        // The sender lives as long as `self`.
        let _ = self.inner.published.subscribe().wait_for(|catalog| catalog.cluster().is_some()).await;
    }

    /// This process has done what the catalog of this version asks of it.
    pub fn carried_out(&self, version: u64) {
        self.inner.carried_out.send_if_modified(|known| {
            let newer = version > *known;
            *known = version.max(*known);
            newer
        });
    }

    pub fn identity(&self) -> Identity {
        self.inner.identity
    }
}

impl Drop for RemoteMetadata {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Inner {
    async fn run(self: Arc<Self>) {
        loop {
            let ended = self.follow_leader().await;
            self.attached.send_replace(false);
            match ended {
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(%error, "the metadata cannot be followed");
                    // It stays so until somebody mends the cluster: no need to hurry.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Follows the leader, or whoever is asked for it, until the stream ends. An error: the leader
    /// refuses this node.
    async fn follow_leader(&self) -> Result<(), SqlError> {
        let (address, mut client) = self.masters.target()?;
        let (reports, receiver) = mpsc::channel(1);
        let reporter = self.report_to(reports);
        let updates = async {
            let stream = client.follow(ReceiverStream::new(receiver)).await?;
            self.masters.led(&address);
            let mut stream = stream.into_inner();
            while let Some(update) = stream.next().await {
                self.take(update?)?;
                self.attached.send_replace(true);
            }
            Ok::<(), Status>(())
        };
        let ended = tokio::select! {
            ended = updates => ended,
            () = reporter => Ok(()),
        };
        let status = match ended {
            Ok(()) => Status::unavailable("the stream ended"),
            Err(status) => status,
        };
        tracing::debug!(%address, %status, "no longer following");
        self.masters.note(&address, &status)
    }

    /// Reports at once, then whenever a newer catalog is followed, and in between often enough.
    async fn report_to(&self, reports: mpsc::Sender<wire::Report>) {
        let mut published = self.published.subscribe();
        let mut carried_out = self.carried_out.subscribe();
        loop {
            let applied = match self.follows {
                Follows::AtOnce => published.borrow_and_update().version(),
                Follows::WhenCarriedOut => *carried_out.borrow_and_update(),
            };
            let report = Report { identity: self.identity, applied };
            if reports.send(report_to_wire(report)).await.is_err() {
                return;
            }
            let newer = async {
                // Errors cannot be: the senders are of `self`.
                match self.follows {
                    Follows::AtOnce => drop(published.changed().await),
                    Follows::WhenCarriedOut => drop(carried_out.changed().await),
                }
            };
            tokio::select! {
                () = newer => {}
                () = tokio::time::sleep(REPORT_INTERVAL) => {}
            }
        }
    }

    fn take(&self, update: wire::CatalogUpdate) -> Result<(), Status> {
        let catalog = match update.update {
            Some(Update::Snapshot(bytes)) => Catalog::decode(&bytes),
            Some(Update::Delta(bytes)) => self.published.borrow().with_delta(&bytes),
            None => return Ok(()),
        };
        let catalog = catalog.map_err(|error| Status::data_loss(error.to_string()))?;
        self.masters.learn(&catalog);
        self.published.send_if_modified(|published| {
            // A leader has all that was confirmed, so its catalog is never older than what it or
            // another sent before; the same one comes again when a stream begins.
            let newer = catalog.version() > published.version();
            if newer {
                *published = Arc::new(catalog);
            }
            newer
        });
        Ok(())
    }

    /// An even number above all that this process used, and above what it used before it was
    /// restarted: its start was then, and a command takes more than a microsecond.
    fn next_number(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_micros() as u64);
        let next = |last: u64| (now.max(last + 1) + 1) & !1;
        match self.last_number.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last))) {
            Ok(last) | Err(last) => next(last),
        }
    }
}

#[async_trait]
impl Metadata for RemoteMetadata {
    fn snapshot(&self) -> Arc<Catalog> {
        self.inner.published.borrow().clone()
    }

    async fn propose(&self, command: Command) -> Result<Outcome, SqlError> {
        let inner = &self.inner;
        let id = CommandId { node: inner.identity.node, number: inner.next_number() };
        let request = wire::ProposeRequest { command: command.encode(id).into() };
        let deadline = Instant::now() + PROPOSE_TIMEOUT;
        let answer = inner
            .masters
            .call(Some(deadline), |mut client| {
                let request = request.clone();
                async move { client.propose(request).await }
            })
            .await
            .map_err(|error| match error.kind {
                ErrorKind::ServerOffline => SqlError {
                    message: format!("{}; the change may yet take effect", error.message),
                    ..error
                },
                _ => error,
            })?;
        let outcome = Outcome::decode(&answer.outcome).map_err(SqlError::internal)?;
        match tokio::time::timeout_at(deadline, self.changed(answer.version.saturating_sub(1))).await {
            Ok(seen) => seen.map(|_| outcome),
            Err(_) => Err(SqlError {
                retryable: true,
                ..SqlError::new(
                    ErrorKind::ServerOffline,
                    "The change took effect, but the metadata could not be followed since; look before \
                     you repeat it",
                )
            }),
        }
    }

    async fn changed(&self, after: u64) -> Result<Arc<Catalog>, SqlError> {
        let mut published = self.inner.published.subscribe();
        match published.wait_for(|catalog| catalog.version() > after).await {
            Ok(catalog) => Ok(catalog.clone()),
            Err(_) => Err(SqlError::new(ErrorKind::ShuttingDown, "Server shutdown in progress")),
        }
    }

    fn is_attached(&self) -> bool {
        *self.inner.attached.borrow()
    }
}
