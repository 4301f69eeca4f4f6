//! What each command does.

use super::cursor::Cursor;
use super::login::{Who, change_user};
use super::{End, Shared, Wire};
use crate::command::Command;
use crate::counters::count;
use crate::packet::writer::{put_u16, put_u32};
use crate::params::{Statement, decode, decode_with_attributes};
use crate::protocol::{Capabilities, StatusFlags};
use crate::response::{Ending, OkInfo, Response, SessionChange};
use crate::row::RowFormat;
use crate::server::{Prepared, Server, Session};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use types::{ErrorKind, SqlError};

/// Flags of COM_STMT_EXECUTE: cursors to read from, to update through, and to go back in.
const CURSOR_READ_ONLY: u8 = 1;
const CURSOR_FOR_UPDATE: u8 = 2;
const CURSOR_SCROLLABLE: u8 = 4;

pub(super) struct Connection<S: Server> {
    pub wire: Wire,
    pub session: S::Session,
    shared: Arc<Shared<S>>,
    who: Who,
    statements: HashMap<u32, Statement>,
    /// Of the statements that have an open one.
    cursors: HashMap<u32, Cursor>,
}

/// How rows are to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivery {
    AtOnce(RowFormat),
    /// Through a cursor of this statement.
    Fetched(u32),
}

/// Whether a statement went well; after an error the rest of a multi statement is not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    Failed,
}

impl<S: Server> Connection<S> {
    pub fn new(wire: Wire, session: S::Session, shared: Arc<Shared<S>>, who: Who) -> Connection<S> {
        Connection { wire, session, shared, who, statements: HashMap::new(), cursors: HashMap::new() }
    }

    pub async fn serve_commands(&mut self) -> End {
        loop {
            if let Err(end) = self.serve_command().await {
                return end;
            }
        }
    }

    async fn serve_command(&mut self) -> Result<(), End> {
        self.session.idle();
        self.apply_limits();
        let payload = self.wire.next_command().await?;
        count(&self.shared.config.counters.commands);
        let silent = Command::is_silent(&payload);
        let attributes = self.wire.capabilities.contains(Capabilities::QUERY_ATTRIBUTES);
        match Command::parse(payload, attributes) {
            Ok(command) => self.run(command).await?,
            Err(_) if silent => {}
            Err(error) => self.fail(&error),
        }
        self.wire.output.flush_last().await?;
        if self.session.is_over() { Err(End::Quit) } else { Ok(()) }
    }

    /// Takes over what the session's variables say of the connection.
    fn apply_limits(&mut self) {
        let (base, own) = (&self.shared.config.limits, self.session.limits());
        let limits = &mut self.wire.limits;
        limits.wait_timeout = own.wait_timeout.unwrap_or(base.wait_timeout);
        limits.read_timeout = own.read_timeout.unwrap_or(base.read_timeout);
        limits.max_allowed_packet = own.max_allowed_packet.unwrap_or(base.max_allowed_packet);
        self.wire.output.stall = own.write_timeout.unwrap_or(base.write_timeout);
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
                self.cursors.remove(&id);
                if self.statements.remove(&id).is_some() {
                    self.wire.until_done(self.session.close_statement(id)).await?;
                }
            }
            Command::ResetStatement(id) => match self.statements.get_mut(&id) {
                Some(statement) => {
                    statement.reset();
                    self.cursors.remove(&id);
                    self.done();
                }
                None => self.fail(&unknown_statement(id, "mysqld_stmt_reset")),
            },
            Command::Fetch { statement, rows } => self.fetch(statement, rows).await?,
            Command::SetMultiStatements(on) => {
                self.wire.capabilities.set(Capabilities::MULTI_STATEMENTS, on);
                let ending = self.ending(false, 0);
                self.wire.end_rows(ending, &[]);
            }
            Command::Statistics => {
                let text = self.shared.config.counters.text();
                self.wire.output.packet(|p| p.extend_from_slice(text.as_bytes()));
            }
            // The session knows who may end whom.
            Command::ProcessKill(id) => self.query(format!("KILL CONNECTION {id}")).await?,
            Command::FieldList { table, pattern } => {
                match self.wire.until_done(self.session.list_fields(table, pattern)).await? {
                    Ok(fields) => {
                        for field in fields {
                            let default = field.default.as_deref();
                            self.wire.output.packet(|p| field.column.put_with_default(p, default));
                        }
                        let ending = self.ending(false, 0);
                        self.wire.end_rows(ending, &[]);
                    }
                    Err(error) => self.fail(&error),
                }
            }
            Command::ResetConnection => {
                self.forget_statements();
                let result = self.wire.until_done(self.session.reset()).await?;
                self.answer(result);
            }
            Command::ChangeUser(payload) => {
                let session = change_user(&mut self.wire, &self.shared, &mut self.who, &payload)
                    .await
                    .inspect_err(|_| {
                        count(&self.shared.config.counters.failed_logins);
                    })?;
                self.forget_statements();
                std::mem::replace(&mut self.session, session).close().await;
            }
        }
        Ok(())
    }

    fn forget_statements(&mut self) {
        self.statements.clear();
        self.cursors.clear();
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
            if self.respond(response, Delivery::AtOnce(RowFormat::Text), i < last).await? == Outcome::Failed {
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
        self.cursors.remove(&id);
        let attributes = self.wire.capabilities.contains(Capabilities::QUERY_ATTRIBUTES);
        let values = match self.statements.get_mut(&id) {
            None => Err(unknown_statement(id, "mysqld_stmt_execute")),
            Some(_) if flags & (CURSOR_FOR_UPDATE | CURSOR_SCROLLABLE) != 0 => {
                Err(SqlError::unsupported("scrollable cursors and cursors for update"))
            }
            Some(statement) => {
                let Statement { parameters: count, types, long, failed } = statement;
                let values = match failed.take() {
                    Some(error) => Err(error),
                    None if attributes => decode_with_attributes(parameters, *count, flags, types, long),
                    None => decode(parameters, *count, types, long),
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
        let delivery = match flags & CURSOR_READ_ONLY {
            0 => Delivery::AtOnce(RowFormat::Binary),
            _ => Delivery::Fetched(id),
        };
        self.respond(response, delivery, false).await?;
        Ok(())
    }

    /// Sends the next rows of a statement's cursor.
    async fn fetch(&mut self, id: u32, rows: u32) -> Result<(), End> {
        let Some(cursor) = self.cursors.get_mut(&id) else {
            let error = match self.statements.contains_key(&id) {
                true => SqlError::new(
                    ErrorKind::NoOpenCursor,
                    format!("The statement ({id}) has no open cursor."),
                ),
                false => unknown_statement(id, "mysqld_stmt_fetch"),
            };
            self.fail(&error);
            return Ok(());
        };
        let beginning = self.wire.output.mark();
        match cursor.fetch(&mut self.wire, rows).await? {
            Ok(fetched) => {
                self.shared.config.counters.rows_sent.fetch_add(fetched.rows, Ordering::Relaxed);
                let mut ending = self.ending(false, 0);
                if fetched.ended {
                    self.cursors.remove(&id);
                    ending.status |= StatusFlags::LAST_ROW_SENT;
                } else {
                    ending.status |= StatusFlags::CURSOR_EXISTS;
                }
                self.wire.end_rows(ending, &[]);
            }
            Err(error) => {
                self.cursors.remove(&id);
                self.wire.output.rewind(beginning);
                self.fail(&error);
            }
        }
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
        delivery: Delivery,
        more: bool,
    ) -> Result<Outcome, End> {
        let info = match response {
            Ok(Response::Ok(info)) => Ok(info),
            Ok(Response::Rows(rows)) if rows.columns.is_empty() => {
                Err(SqlError::internal("a result without columns"))
            }
            Ok(Response::Rows(rows)) => {
                let mut ending = self.ending(more, 0);
                let format = match delivery {
                    Delivery::AtOnce(format) => format,
                    Delivery::Fetched(statement) => {
                        ending.status |= StatusFlags::CURSOR_EXISTS;
                        let cursor = Cursor::new(rows);
                        self.wire.put_cursor(cursor.columns(), ending);
                        self.cursors.insert(statement, cursor);
                        return Ok(Outcome::Done);
                    }
                };
                match self.wire.send_rows(rows, format, ending).await? {
                    Ok(rows) => {
                        self.shared.config.counters.rows_sent.fetch_add(rows, Ordering::Relaxed);
                        let ending = self.ending(more, self.session.warning_count());
                        let changes = self.changes();
                        self.wire.end_rows(ending, &changes);
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
                let changes = self.changes();
                self.wire.ok(&info, ending, &changes);
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
        let changes = self.changes();
        self.wire.ok(&OkInfo::default(), ending, &changes);
    }

    /// What the client is to be told of the session's changes.
    fn changes(&mut self) -> Vec<SessionChange> {
        let changes = self.session.take_changes();
        if self.wire.capabilities.contains(Capabilities::SESSION_TRACK) { changes } else { Vec::new() }
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
