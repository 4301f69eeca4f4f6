//! Errors that a kernel raises while rows flow: a [`SqlError`] travels inside DataFusion's error and
//! comes out again whole.

use datafusion::common::DataFusionError;
use types::{ErrorKind, SqlError};

/// Wraps an error of ours for the way through DataFusion.
pub(crate) fn raise(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// 1690: "BIGINT value is out of range in '(1 + 2)'".
pub(crate) fn out_of_range(ty: &str, expression: impl std::fmt::Display) -> DataFusionError {
    raise(SqlError::new(ErrorKind::NumericOverflow, format!("{ty} value is out of range in '{expression}'")))
}
