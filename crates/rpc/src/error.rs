//! Errors on the wire: a [`SqlError`] travels as [`proto::Error`] in the details of a status.

use prost::Message;
use tonic::{Code, Status};
use types::{ErrorKind, SqlError};

/// The status that carries this error.
pub fn to_status(error: SqlError) -> Status {
    let details = to_wire(&error);
    Status::with_details(Code::Internal, error.message, details.encode_to_vec().into())
}

pub(crate) fn to_wire(error: &SqlError) -> proto::Error {
    proto::Error {
        errno: u32::from(error.kind.errno()),
        message: error.message.clone(),
        retryable: error.retryable,
    }
}

/// None if it has a number that no error of ours has.
pub(crate) fn from_wire(error: proto::Error) -> Option<SqlError> {
    let kind = *ErrorKind::ALL.iter().find(|kind| u32::from(kind.errno()) == error.errno)?;
    Some(SqlError { kind, message: error.message, retryable: error.retryable })
}

/// The error in a status; one that no service of ours made (connection refused or lost, deadline)
/// says that `node` cannot be reached.
pub fn from_status(node: &str, status: &Status) -> SqlError {
    if let Ok(error) = proto::Error::decode(status.details())
        && let Some(error) = from_wire(error)
    {
        return error;
    }
    unreachable(node, status.message())
}

/// Error 1158: the node cannot be reached.
pub fn unreachable(node: &str, why: &str) -> SqlError {
    SqlError {
        kind: ErrorKind::ServerOffline,
        message: format!("{node} cannot be reached ({why}); try again once it is back"),
        retryable: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_crosses_whole() {
        let error = SqlError::new(ErrorKind::Deadlock, "Deadlock found");
        assert_eq!(from_status("leaf n1", &to_status(error.clone())), error);
    }

    #[test]
    fn a_foreign_status_names_the_node() {
        let error = from_status("leaf n7 (10.0.0.7:7307)", &Status::unavailable("connection refused"));
        assert_eq!(error.kind, ErrorKind::ServerOffline);
        assert!(error.message.contains("leaf n7") && error.message.contains("connection refused"));
    }
}
