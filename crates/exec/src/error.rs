//! Errors on their way through DataFusion: in as [`SqlError`] wrapped, out as the same one.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use types::{ErrorKind, SqlError};

/// Wraps an error of ours so that [`to_sql_error`] finds it again.
pub fn from_sql_error(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// What a client is told of an error that came out of a plan.
pub fn to_sql_error(error: &DataFusionError) -> SqlError {
    use DataFusionError as E;
    match error {
        E::External(inner) => match inner.downcast_ref::<SqlError>() {
            Some(error) => error.clone(),
            None => match inner.downcast_ref::<DataFusionError>() {
                Some(error) => to_sql_error(error),
                None => SqlError::internal(inner),
            },
        },
        E::Shared(inner) => to_sql_error(inner),
        E::Context(_, inner) | E::Diagnostic(_, inner) => to_sql_error(inner),
        E::Collection(errors) => match errors.first() {
            Some(error) => to_sql_error(error),
            None => SqlError::internal(error),
        },
        E::ArrowError(inner, _) => arrow_error(inner),
        E::ResourcesExhausted(message) => SqlError::new(ErrorKind::OutOfMemory, message.clone()),
        E::NotImplemented(what) => SqlError::unsupported(what),
        E::Execution(message) if message.starts_with("Scalar subquery returned more than one row") => {
            SqlError::new(ErrorKind::SubqueryMoreThanOneRow, "Subquery returns more than 1 row")
        }
        E::Execution(message) | E::Plan(message) | E::Internal(message) => SqlError::internal(message),
        other => SqlError::internal(other),
    }
}

fn arrow_error(error: &ArrowError) -> SqlError {
    match error {
        ArrowError::ExternalError(inner) => match inner.downcast_ref::<DataFusionError>() {
            Some(error) => to_sql_error(error),
            None => match inner.downcast_ref::<SqlError>() {
                Some(error) => error.clone(),
                None => SqlError::internal(inner),
            },
        },
        ArrowError::DivideByZero => SqlError::new(ErrorKind::DivisionByZero, "Division by 0"),
        ArrowError::ArithmeticOverflow(message) => {
            SqlError::new(ErrorKind::NumericOverflow, format!("value is out of range: {message}"))
        }
        ArrowError::MemoryError(message) => SqlError::new(ErrorKind::OutOfMemory, message.clone()),
        other => SqlError::internal(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn our_errors_come_out_as_they_went_in() {
        let ours = SqlError::new(ErrorKind::NumericOverflow, "BIGINT value is out of range in '(a + b)'");
        let wrapped = DataFusionError::Shared(Arc::new(from_sql_error(ours.clone()).context("while")));
        assert_eq!(to_sql_error(&wrapped), ours);
        let through_arrow =
            DataFusionError::from(ArrowError::ExternalError(Box::new(from_sql_error(ours.clone()))));
        assert_eq!(to_sql_error(&through_arrow), ours);
        let memory = DataFusionError::ResourcesExhausted("no room".into());
        assert_eq!(to_sql_error(&memory).kind, ErrorKind::OutOfMemory);
    }
}
