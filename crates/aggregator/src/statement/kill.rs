//! KILL.

use super::query::Parameters;
use super::{Answer, done};
use crate::processes::interrupted;
use crate::session::State;
use catalog::Privilege;
use sqlparser::ast;
use types::{ErrorKind, Result, SqlError, Value};

impl State {
    /// KILL [CONNECTION | QUERY] id. One's own connections may be ended by all, others with SUPER.
    pub(crate) fn kill(
        &mut self,
        query_only: bool,
        connection: &ast::Expr,
        parameters: Parameters<'_>,
    ) -> Result<Answer> {
        let id = match self.evaluate(connection, parameters)? {
            Value::UInt(id) => Some(id),
            Value::Int(id) => u64::try_from(id).ok(),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        let id = id.ok_or_else(|| {
            SqlError::new(
                ErrorKind::WrongArguments,
                "Incorrect arguments to KILL: the id of a connection is needed",
            )
        })?;
        let processes = self.aggregator.processes.clone();
        if processes.owner(id)? != self.identity.user && !self.privileges.allow_globally(Privilege::Super) {
            return Err(SqlError::new(ErrorKind::KillDenied, format!("You are not owner of thread {id}")));
        }
        processes.kill(id, query_only)?;
        // Who ends itself is told so.
        if id == self.connection_id { Err(interrupted()) } else { Ok(done()) }
    }
}
