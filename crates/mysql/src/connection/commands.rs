//! What each command does.

use super::login::{Who, change_user};
use super::{End, Shared, Wire};
use crate::command::Command;
use crate::counters::count;
use crate::packet::writer::{put_u16, put_u32};
use crate::params::{Statement, decode};
use crate::protocol::{Capabilities, StatusFlags};
use crate::response::{Ending, OkInfo, Response, put_eof, put_rows_end};
use crate::row::RowFormat;
use crate::server::{Prepared, Server, Session};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncRead, AsyncWrite};
use types::{ErrorKind, SqlError};

/// COM_STMT_EXECUTE may ask for a read-only cursor with this flag. It is a wish: a server that opens
/// none, as MySQL for some statements, sends the rows at once, and clients take them.
const CURSOR_READ_ONLY: u8 = 1;

pub(super) struct Connection<S: Server, R, W> {
    pub wire: Wire<R, W>,
    pub session: S::Session,
    shared: Arc<Shared<S>>,
    who: Who,
    statements: HashMap<u32, Statement>,
}

/// Whether a statement went well; after an error the rest of a multi statement is not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    Failed,
}

impl<S: Server, R, W> Connection<S, R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    pub fn new(
        wire: Wire<R, W>,
        session: S::Session,
        shared: Arc<Shared<S>>,
        who: Who,
    ) -> Connection<S, R, W> {
        Connection { wire, session, shared, who, statements: HashMap::new() }
    }

    pub async fn serve_commands(&mut self) -> End {
        loop {
            if let Err(end) = self.serve_command().await {
                return end;
            }
        }
    }

    async fn serve_command(&mut self) -> Result<(), End> {
        let payload = self.wire.next_command().await?;
        count(&self.shared.config.counters.commands);
        let silent = Command::is_silent(&payload);
        match Command::parse(payload) {
            Ok(command) => self.run(command).await?,
            Err(_) if silent => {}
            Err(error) => self.fail(&error),
        }
        self.wire.output.flush_last().await?;
        if self.session.is_over() { Err(End::Quit) } else { Ok(()) }
    }

    async fn run(&mut self, command: Command) -> Result<(), End> {
        match command {
            Command::Quit => return Err(End::Quit),
            Command::Ping => self.done(),
            Command::Query(sql) => self.query(sql).await?,
            Command::InitDb(name) => {
                let result = self.wire.until_done(self.session.use_database(name)).await?;
                self.answer(result);
            }
            Command::Prepare(sql) => self.prepare(sql).await?,
            Command::Execute { statement, flags, parameters } => {
                self.execute(statement, flags, &parameters).await?;
            }
            Command::SendLongData { statement, parameter, data } => {
                self.add_long_data(statement, parameter, &data);
            }
            Command::CloseStatement(id) => {
                if self.statements.remove(&id).is_some() {
                    self.wire.until_done(self.session.close_statement(id)).await?;
                }
            }
            Command::ResetStatement(id) => match self.statements.get_mut(&id) {
                Some(statement) => {
                    statement.reset();
                    self.done();
                }
                None => self.fail(&unknown_statement(id, "mysqld_stmt_reset")),
            },
            Command::Fetch => self.fail(&SqlError::unsupported("cursors")),
            Command::SetMultiStatements(on) => {
                self.wire.capabilities.set(Capabilities::MULTI_STATEMENTS, on);
                let ending = self.ending(false, 0);
                if self.wire.capabilities.contains(Capabilities::DEPRECATE_EOF) {
                    self.wire.output.packet(|p| put_rows_end(p, ending));
                } else {
                    self.wire.output.packet(|p| put_eof(p, ending));
                }
            }
            Command::Statistics => {
                let text = self.shared.config.counters.text();
                self.wire.output.packet(|p| p.extend_from_slice(text.as_bytes()));
            }
            // The session knows who may end whom.
            Command::ProcessKill(id) => self.query(format!("KILL CONNECTION {id}")).await?,
            Command::FieldList => self.fail(&SqlError::unsupported("COM_FIELD_LIST")),
            Command::ResetConnection => {
                self.statements.clear();
                let result = self.wire.until_done(self.session.reset()).await?;
                self.answer(result);
            }
            Command::ChangeUser(payload) => {
                let session = change_user(&mut self.wire, &self.shared, &mut self.who, &payload)
                    .await
                    .inspect_err(|_| {
                        count(&self.shared.config.counters.failed_logins);
                    })?;
                self.statements.clear();
                std::mem::replace(&mut self.session, session).close().await;
            }
        }
        Ok(())
    }

    async fn query(&mut self, sql: String) -> Result<(), End> {
        let mut statements = if self.wire.capabilities.contains(Capabilities::MULTI_STATEMENTS) {
            match self.session.split(&sql) {
                Ok(statements) => statements,
                Err(error) => {
                    self.fail(&error);
                    return Ok(());
                }
            }
        } else {
            Vec::new()
        };
        if statements.len() < 2 {
            statements = vec![sql];
        }
        let last = statements.len() - 1;
        for (i, sql) in statements.into_iter().enumerate() {
            let response = self.wire.until_done(self.session.query(sql)).await?;
            if self.respond(response, RowFormat::Text, i < last).await? == Outcome::Failed {
                break;
            }
        }
        Ok(())
    }

    async fn prepare(&mut self, sql: String) -> Result<(), End> {
        let limit = self.wire.limits.max_statements;
        if self.statements.len() >= limit {
            self.fail(&SqlError::internal(format!(
                "Can't create more than max_prepared_stmt_count statements (current value: {limit})"
            )));
            return Ok(());
        }
        let prepared = match self.wire.until_done(self.session.prepare(sql)).await? {
            Ok(prepared) => prepared,
            Err(error) => {
                self.fail(&error);
                return Ok(());
            }
        };
        let lengths = (u16::try_from(prepared.columns.len()), u16::try_from(prepared.parameters.len()));
        let (Ok(columns), Ok(parameters)) = lengths else {
            self.session.close_statement(prepared.id).await;
            self.fail(&SqlError::internal("Prepared statement contains too many placeholders or columns"));
            return Ok(());
        };
        self.statements
            .insert(prepared.id, Statement { parameters: prepared.parameters.len(), ..Statement::default() });
        let ending = self.ending(false, self.session.warning_count());
        self.wire.output.packet(|p| {
            p.push(0);
            put_u32(p, prepared.id);
            put_u16(p, columns);
            put_u16(p, parameters);
            p.push(0);
            put_u16(p, ending.warnings);
        });
        let Prepared { parameters, columns, .. } = prepared;
        for columns in [parameters, columns] {
            if !columns.is_empty() {
                self.wire.put_columns(&columns, ending);
            }
        }
        Ok(())
    }

    async fn execute(&mut self, id: u32, flags: u8, parameters: &[u8]) -> Result<(), End> {
        let values = match self.statements.get_mut(&id) {
            None => Err(unknown_statement(id, "mysqld_stmt_execute")),
            Some(_) if flags & !CURSOR_READ_ONLY != 0 => {
                Err(SqlError::unsupported("scrollable cursors and cursors for update"))
            }
            Some(statement) => {
                let values = match statement.failed.take() {
                    Some(error) => Err(error),
                    None => decode(parameters, statement.parameters, &mut statement.types, &statement.long),
                };
                statement.reset();
                values
            }
        };
        let values = match values {
            Ok(values) => values,
            Err(error) => {
                self.fail(&error);
                return Ok(());
            }
        };
        let response = self.wire.until_done(self.session.execute(id, values)).await?;
        self.respond(response, RowFormat::Binary, false).await?;
        Ok(())
    }

    fn add_long_data(&mut self, id: u32, parameter: u16, data: &Bytes) {
        let held: usize = self.statements.values().map(Statement::long_bytes).sum();
        let Some(statement) = self.statements.get_mut(&id) else { return };
        if held + data.len() > self.wire.limits.max_allowed_packet {
            statement.reset();
            statement.failed = Some(SqlError::new(
                ErrorKind::PacketTooLarge,
                "Parameters of prepared statements which are set through mysql_send_long_data() are longer than 'max_allowed_packet' bytes",
            ));
        } else {
            statement.add_long(parameter, data);
        }
    }

    /// Sends what a statement answers.
    async fn respond(
        &mut self,
        response: Result<Response, SqlError>,
        format: RowFormat,
        more: bool,
    ) -> Result<Outcome, End> {
        let info = match response {
            Ok(Response::Ok(info)) => Ok(info),
            Ok(Response::Rows(rows)) if rows.columns.is_empty() => {
                Err(SqlError::internal("a result without columns"))
            }
            Ok(Response::Rows(rows)) => {
                let ending = self.ending(more, 0);
                match self.wire.send_rows(rows, format, ending).await? {
                    Ok(rows) => {
                        self.shared.config.counters.rows_sent.fetch_add(rows, Ordering::Relaxed);
                        let ending = self.ending(more, self.session.warning_count());
                        self.wire.end_rows(ending);
                        return Ok(Outcome::Done);
                    }
                    Err(error) => Err(error),
                }
            }
            Ok(Response::LocalInfile { file, sink }) => self.wire.receive_file(&file, sink).await?,
            Err(error) => Err(error),
        };
        match info {
            Ok(info) => {
                let ending = self.ending(more, self.session.warning_count());
                self.wire.ok(&info, ending);
                Ok(Outcome::Done)
            }
            Err(error) => {
                self.fail(&error);
                Ok(Outcome::Failed)
            }
        }
    }

    fn ending(&self, more: bool, warnings: u16) -> Ending {
        let mut status = self.session.status();
        status.set(StatusFlags::MORE_RESULTS_EXIST, more);
        Ending { status, warnings }
    }

    fn answer(&mut self, result: Result<(), SqlError>) {
        match result {
            Ok(()) => self.done(),
            Err(error) => self.fail(&error),
        }
    }

    fn done(&mut self) {
        let ending = self.ending(false, 0);
        self.wire.ok(&OkInfo::default(), ending);
    }

    fn fail(&mut self, error: &SqlError) {
        count(&self.shared.config.counters.errors_sent);
        self.wire.error(error);
    }
}

fn unknown_statement(id: u32, caller: &str) -> SqlError {
    SqlError::new(
        ErrorKind::UnknownStatementHandler,
        format!("Unknown prepared statement handler ({id}) given to {caller}"),
    )
}
