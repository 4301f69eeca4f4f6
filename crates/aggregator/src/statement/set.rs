//! SET.

use super::query::Parameters;
use super::{Answer, done};
use crate::session::State;
use crate::transaction::Isolation;
use catalog::Command;
use sql::statement::{self, Scope, SetItem, SetValue};
use sqlparser::ast;
use types::{Result, SqlError, Value};

impl State {
    /// If an item fails, user variables are as they were before.
    pub(crate) async fn set(&mut self, items: &[SetItem], parameters: Parameters<'_>) -> Result<Answer> {
        let before = (items.len() > 1).then(|| self.variables.user_values().clone());
        let result = self.set_each(items, parameters).await;
        if let (Err(_), Some(before)) = (&result, before) {
            self.variables.set_user_values(before);
        }
        result
    }

    async fn set_each(&mut self, items: &[SetItem], parameters: Parameters<'_>) -> Result<Answer> {
        for item in items {
            match item {
                SetItem::System { scope, name, value } => {
                    self.set_system(*scope, name, value, parameters).await?;
                }
                SetItem::User { name, value } => {
                    let value = self.evaluate_with_queries(value, parameters).await?;
                    self.variables.set_user(name, value);
                }
                SetItem::Names { charset, collation } => {
                    self.variables.set_names(charset.as_deref(), collation.as_deref())?;
                    self.track_names();
                }
                SetItem::CharacterSet(charset) => {
                    self.variables.set_names(charset.as_deref(), None)?;
                    self.track_names();
                }
                SetItem::Transaction { scope, isolation, read_only } => {
                    self.set_transaction(*scope, *isolation, *read_only).await?;
                }
            }
        }
        Ok(done())
    }

    fn track_names(&mut self) {
        for name in [
            "character_set_client",
            "character_set_connection",
            "character_set_results",
            "collation_connection",
        ] {
            self.track_variable(name);
        }
    }

    pub(crate) fn evaluate(&self, expr: &ast::Expr, parameters: Parameters<'_>) -> Result<Value> {
        let tables = self.tables();
        sql::query::evaluate(expr, &self.bind_context(&tables, &parameters)).map(|(value, _)| value)
    }

    async fn set_system(
        &mut self,
        scope: Scope,
        name: &str,
        value: &SetValue,
        parameters: Parameters<'_>,
    ) -> Result<()> {
        let stored = match value {
            SetValue::Default => self.variables.reset(scope, name)?,
            SetValue::Expr(expr) => {
                let value = match &**expr {
                    // A bare word means its text; one with an '@' is a variable.
                    ast::Expr::Identifier(word) if !word.value.starts_with('@') => {
                        Value::Text(word.value.clone())
                    }
                    expr => self.evaluate_with_queries(expr, parameters).await?,
                };
                self.variables.set(scope, name, &value)?
            }
        };
        if scope != Scope::Session {
            let name = name.to_ascii_lowercase();
            let value = match value {
                SetValue::Default => None,
                SetValue::Expr(_) => Some(plain_text(&stored)),
            };
            self.change_catalog(Command::SetGlobalVariable { name, value }).await?;
            return Ok(());
        }
        self.track_variable(name);
        match name.to_ascii_lowercase().as_str() {
            "autocommit" => self.set_autocommit(self.variables.number("autocommit") == Some(1)).await,
            "transaction_isolation" | "tx_isolation" => {
                self.isolation = self.variables.isolation();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Turning it on commits what is open, as in MySQL.
    async fn set_autocommit(&mut self, on: bool) -> Result<()> {
        if on && !self.autocommit {
            self.commit().await?;
        }
        self.autocommit = on;
        Ok(())
    }

    /// SET TRANSACTION READ ONLY and READ WRITE.
    async fn set_access_mode(&mut self, scope: Option<Scope>, read_only: bool) -> Result<()> {
        match scope {
            None => {
                self.refuse_in_transaction()?;
                self.once_read_only = Some(read_only);
            }
            Some(scope) => {
                let value = Value::UInt(u64::from(read_only));
                self.variables.set(scope, "transaction_read_only", &value)?;
                if scope != Scope::Session {
                    let value = Some(u64::from(read_only).to_string());
                    let name = "transaction_read_only".to_string();
                    self.change_catalog(Command::SetGlobalVariable { name, value }).await?;
                }
            }
        }
        Ok(())
    }

    fn refuse_in_transaction(&self) -> Result<()> {
        if self.transaction.is_none() {
            return Ok(());
        }
        Err(SqlError::new(
            types::ErrorKind::MustChangeIsolationOutsideTxn,
            "Transaction characteristics can't be changed while a transaction is in progress",
        ))
    }

    async fn set_transaction(
        &mut self,
        scope: Option<Scope>,
        isolation: Option<statement::Isolation>,
        read_only: Option<bool>,
    ) -> Result<()> {
        if let Some(read_only) = read_only {
            self.set_access_mode(scope, read_only).await?;
        }
        let Some(isolation) = isolation else { return Ok(()) };
        let level = match isolation {
            // What a stricter level gives is allowed to a looser one.
            statement::Isolation::ReadUncommitted | statement::Isolation::ReadCommitted => {
                Isolation::ReadCommitted
            }
            statement::Isolation::RepeatableRead => Isolation::RepeatableRead,
            statement::Isolation::Serializable => {
                return Err(SqlError::unsupported("the isolation level SERIALIZABLE"));
            }
        };
        let name = Value::Text(isolation.name().to_string());
        match scope {
            None => {
                self.refuse_in_transaction()?;
                self.once_isolation = Some(level);
            }
            Some(Scope::Session) => {
                self.variables.set(Scope::Session, "transaction_isolation", &name)?;
                self.isolation = level;
            }
            Some(scope) => {
                self.variables.set(scope, "transaction_isolation", &name)?;
                let value = Some(isolation.name().to_string());
                let name = "transaction_isolation".to_string();
                self.change_catalog(Command::SetGlobalVariable { name, value }).await?;
            }
        }
        Ok(())
    }
}

/// A variable's value as the catalog keeps it.
fn plain_text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}
