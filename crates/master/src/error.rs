use crate::store::StoreError;
use catalog::FormatError;
use std::path::PathBuf;
use types::NodeId;

/// Why the metadata service cannot start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    #[error("the metadata folder {} is in use by another process", .folder.display())]
    InUse { folder: PathBuf },
    #[error("this is the metadata of node {stored}, and cannot be used by node {given}")]
    WrongNode { stored: NodeId, given: NodeId },
    #[error("the options of the metadata service do not fit: {0}")]
    Options(String),
    #[error("the metadata store failed: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("the metadata replica failed: {0}")]
    Raft(String),
    #[error("a message from another master cannot be read: {0}")]
    Message(String),
    #[error("the metadata thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

impl From<raft::Error> for MasterError {
    fn from(error: raft::Error) -> MasterError {
        MasterError::Raft(error.to_string())
    }
}
