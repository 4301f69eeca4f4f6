//! What the rest of Pando sees of the metadata.

use crate::{Catalog, Command, Outcome};
use async_trait::async_trait;
use std::sync::Arc;
use types::SqlError;

#[async_trait]
pub trait Metadata: Send + Sync {
    /// The newest state that this process knows.
    fn snapshot(&self) -> Arc<Catalog>;

    /// Carries out a command. When it returns, the command is durable and applied, and
    /// [`Metadata::snapshot`] shows it. An error of [`Catalog::apply`] is durable as well; one that
    /// tells of a lost or slow metadata leader is retryable and leaves open whether the command
    /// will yet take effect.
    async fn propose(&self, command: Command) -> Result<Outcome, SqlError>;

    /// Waits for a state with a version above `after`. An error means that the metadata service
    /// of this process has stopped.
    async fn changed(&self, after: u64) -> Result<Arc<Catalog>, SqlError>;

    /// Whether the leader of the metadata can be reached now, as far as this process knows.
    fn is_attached(&self) -> bool {
        true
    }
}
