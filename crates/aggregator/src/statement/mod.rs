//! Statements, carried out: one file a family. [`State::run`] chooses.

mod admin;
mod alter;
mod authorize;
mod change;
mod cluster;
mod create_as;
mod ddl;
mod diagnostics;
mod duplicates;
mod early_calls;
mod explain;
mod grid;
mod insert;
mod into_variables;
mod kept_plans;
mod kill;
mod leaves;
mod load;
mod locking;
mod open_plans;
mod outfile;
mod point;
mod prepared;
mod query;
mod rebuild;
mod roles;
mod running;
mod safe_updates;
mod set;
mod show;
mod show_empty;
mod table_locks;
mod user_locks;
mod users;
mod value_queries;
mod views;
mod write;

use crate::session::{Level, State};
use arrow::array::RecordBatch;
use change::Changed;
use exec::counting_naps;
use futures::{StreamExt, TryStreamExt};
use mysql_protocol::{OkInfo, Response};
use query::Parameters;
use sql::statement::{Begin, ShowWhat, Statement};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use types::{Result, Value};

pub(crate) use grid::{Cell, Grid};
pub(crate) use load::Loading;
pub(crate) use point::Surroundings;
pub(crate) use query::{CatalogTables, column_meta};

/// What a statement answers.
pub(crate) enum Answer {
    /// To be sent as it is.
    Response(Response),
    /// LOAD DATA LOCAL: the client's file is to be fed to it.
    Load(Box<Loading>),
}

impl From<OkInfo> for Answer {
    fn from(ok: OkInfo) -> Answer {
        Answer::Response(Response::Ok(ok))
    }
}

/// An OK packet without numbers.
pub(crate) fn done() -> Answer {
    Answer::from(OkInfo::default())
}

impl State {
    /// Runs one statement. `text` is its source; `values` are those of its placeholders.
    pub(crate) async fn run(
        &mut self,
        statement: &Statement,
        text: &str,
        values: &[Value],
    ) -> Result<Answer> {
        let parameters = Parameters { values, text };
        let keeps_messages = match statement {
            Statement::Show(show) => show::is_about_messages(&show.what),
            Statement::GetDiagnostics(_) => true,
            _ => false,
        };
        self.begin_messages(keeps_messages);
        self.see_catalog();
        self.now = self.statement_time();
        let (answer, owed) = counting_naps(self.carry_out(statement, parameters)).await;
        // Of SLEEP() in what was evaluated here: DO, SET. What is done is not undone if the wait is broken off.
        if owed > Duration::ZERO {
            let _ = self.wait_out(owed).await;
        }
        let mut answer = answer.map_err(|error| self.with_known_names(error));
        self.note_answer(&mut answer);
        self.drop_gone().await;
        answer
    }

    /// Waits so long, or until the statement is cancelled, which is an error.
    pub(super) async fn wait_out(&self, owed: Duration) -> Result<()> {
        let _nap = self.cancel.nap();
        tokio::select! {
            biased;
            reason = self.cancel.cancelled() => Err(reason),
            () = tokio::time::sleep(owed) => Ok(()),
        }
    }

    /// What the session remembers of a statement's end.
    pub(crate) fn note_answer(&mut self, answer: &mut Result<Answer>) {
        match answer {
            Ok(Answer::Response(Response::Ok(ok))) => {
                self.row_count = ok.affected_rows as i64;
                if let Some(id) = self.told_insert_id {
                    ok.last_insert_id = id;
                }
            }
            Ok(Answer::Response(Response::Rows(rows))) => {
                self.row_count = -1;
                self.found_rows = Arc::default();
                let found = Arc::clone(&self.found_rows);
                let batches = std::mem::replace(&mut rows.batches, futures::stream::empty().boxed());
                let count = move |batch: &RecordBatch| {
                    found.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
                };
                rows.batches = batches.inspect_ok(count).boxed();
            }
            Ok(_) => self.row_count = -1,
            Err(error) => {
                self.row_count = -1;
                self.add_message(Level::Error, error.kind.errno(), error.message.clone());
            }
        }
    }

    /// Clears the messages of the statement before, which the variables still show.
    pub(crate) fn begin_messages(&mut self, keep: bool) {
        self.note_heard();
        self.told_insert_id = None;
        let errors = self.messages.iter().filter(|message| message.level == Level::Error).count();
        self.variables.note(self.last_insert_id, self.message_count(), errors as u64);
        if !keep {
            self.clear_messages();
        }
    }

    /// Runs a statement as a part of another one, or of [`State::run`].
    async fn carry_out(&mut self, statement: &Statement, parameters: Parameters<'_>) -> Result<Answer> {
        self.authorize(statement)?;
        self.may_define(statement)?;
        // What is dropped under LOCK TABLES are tables of the session alone.
        let keeps_locks = self.locks_tables() && matches!(statement, Statement::DropTable { .. });
        if statement.commits_implicitly() && !keeps_locks {
            self.commit().await?;
        }
        self.dispatch(statement, parameters).await
    }

    async fn dispatch(&mut self, statement: &Statement, parameters: Parameters<'_>) -> Result<Answer> {
        match statement {
            Statement::Query(query) => self.select(query, parameters).await,
            Statement::Insert(insert) => self.insert(insert, parameters).await,
            Statement::Update(update) => {
                let changed = self.update(update, parameters).await?;
                Ok(self.updated(changed))
            }
            Statement::UpdateJoined(update) => {
                let changed = self.update_joined(update, parameters).await?;
                Ok(self.updated(changed))
            }
            Statement::Delete(delete) => Ok(deleted(self.delete(delete, parameters).await?)),
            Statement::DeleteJoined(delete) => Ok(deleted(self.delete_joined(delete, parameters).await?)),
            Statement::LoadData(load) => self.load_data(load).await,
            Statement::SelectInto(into) => self.select_into(into, parameters).await,
            Statement::SelectIntoVariables { query, variables } => {
                self.select_into_variables(query, variables, parameters).await
            }
            Statement::GetDiagnostics(of) => self.get_diagnostics(of, parameters),
            Statement::Do(exprs) => {
                for expr in exprs {
                    self.evaluate_with_queries(expr, parameters).await?;
                }
                Ok(done())
            }
            Statement::Truncate(table) => self.truncate(table).await,

            Statement::CreateDatabase(create) => self.create_database(create).await,
            Statement::DropDatabase { name, if_exists } => self.drop_database(name, *if_exists).await,
            Statement::CreateTable(create) => self.create_table(create, parameters).await,
            Statement::DropTable { tables, if_exists, temporary } => {
                self.drop_tables(tables, *if_exists, *temporary).await
            }
            Statement::CreateView(create) => self.create_view(create, parameters).await,
            Statement::DropView { views, if_exists } => self.drop_views(views, *if_exists).await,
            Statement::AlterTable(alter) => self.alter_table(alter).await,
            Statement::RenameTables(renames) => self.rename_tables(renames).await,
            Statement::MaintainTables { action, tables, mode } => {
                self.maintain_tables(*action, tables, mode.as_deref()).await
            }

            Statement::Use(database) => {
                self.use_database(database)?;
                Ok(done())
            }
            Statement::Show(show) => match &show.what {
                ShowWhat::TableStatus { database } => {
                    self.table_status(database.as_deref(), show.filter.as_ref(), parameters).await
                }
                _ => self.show(show, parameters).await,
            },
            Statement::Describe { table, column } => self.describe(table, column.as_deref()),
            Statement::Explain(explain) => self.explain(explain, parameters).await,

            Statement::Begin(Begin { read_only, snapshot }) => {
                self.begin(*read_only, *snapshot).await?;
                Ok(done())
            }
            Statement::Commit(completion) => {
                let next = self.next_of(*completion);
                self.commit().await?;
                self.transaction = next;
                self.is_over = completion.release;
                Ok(done())
            }
            Statement::Rollback(completion) => {
                let next = self.next_of(*completion);
                self.rollback().await;
                self.transaction = next;
                self.is_over = completion.release;
                Ok(done())
            }
            Statement::Savepoint(name) => {
                self.set_savepoint(name);
                Ok(done())
            }
            Statement::RollbackTo(name) => {
                self.roll_back_to(name).await?;
                Ok(done())
            }
            Statement::ReleaseSavepoint(name) => {
                self.release_savepoint(name)?;
                Ok(done())
            }

            Statement::Set(items) => self.set(items, parameters).await,
            Statement::Prepare { name, source } => self.prepare_named(name, source).await,
            Statement::Execute { name, using } => Box::pin(self.execute_named(name, using)).await,
            Statement::Deallocate(name) => self.deallocate_named(name),

            Statement::Kill { query_only, connection } => self.kill(*query_only, connection, parameters),
            Statement::LockTables(tables) => self.lock_tables(tables).await,
            Statement::UnlockTables => self.unlock_tables().await,
            Statement::AddLeaf(leaf) => self.add_leaf(leaf).await,
            Statement::RemoveLeaf(leaf) => self.remove_leaf(leaf).await,
            Statement::Flush(words) => {
                if words.iter().any(|word| word == "PRIVILEGES") {
                    self.aggregator.failed_logins.forget_all();
                }
                Ok(done())
            }
            Statement::CreateUser { users, if_not_exists, options } => {
                self.create_users(users, *if_not_exists, *options).await
            }
            Statement::AlterUser { users, if_exists, options } => {
                self.alter_users(users, *if_exists, *options).await
            }
            Statement::RenameUsers(renames) => self.rename_users(renames).await,
            Statement::CreateRole { roles, if_not_exists } => self.create_roles(roles, *if_not_exists).await,
            Statement::DropRole { roles, if_exists } => self.drop_roles(roles, *if_exists).await,
            Statement::GrantRoles { roles, users, admin } => self.grant_roles(roles, users, *admin).await,
            Statement::RevokeRoles { roles, users } => self.revoke_roles(roles, users).await,
            Statement::SetRole(choice) => self.set_role(choice),
            Statement::SetDefaultRole { roles, users } => self.set_default_roles(roles, users).await,
            Statement::DropUser { users, if_exists } => self.drop_users(users, *if_exists).await,
            Statement::SetPassword { user, password } => self.set_password(user.as_ref(), password).await,
            Statement::Grant(grant) => self.grant(grant).await,
            Statement::Revoke(revoke) => self.revoke(revoke).await,
        }
    }
}

impl State {
    fn updated(&self, Changed { matched, changed }: Changed) -> Answer {
        let warnings = self.warning_count();
        let info = format!("Rows matched: {matched}  Changed: {changed}  Warnings: {warnings}");
        let affected_rows = if self.counts_found_rows { matched } else { changed };
        OkInfo { affected_rows, info, ..OkInfo::default() }.into()
    }
}

fn deleted(rows: u64) -> Answer {
    OkInfo { affected_rows: rows, ..OkInfo::default() }.into()
}
