//! Calls that are carried out before the rest of their statement is bound ([`sql::query::EarlyCall`]): those of
//! user-level locks, which `statement/user_locks.rs` takes, and BENCHMARK().

use super::query::Parameters;
use crate::session::{Level, State};
use sql::query::{EarlyCall, early_calls, early_calls_of_query, early_result, has_early_calls};
use sqlparser::ast;
use std::time::{Duration, Instant};
use types::{ErrorKind, Result, Value};

/// How long BENCHMARK() keeps its thread at a time.
const SLICE: Duration = Duration::from_millis(5);

impl State {
    /// A query whose calls are carried out; `None`: it has none.
    pub(super) async fn after_calls_of_query(
        &mut self,
        query: &ast::Query,
        parameters: Parameters<'_>,
    ) -> Result<Option<ast::Query>> {
        let Some(before) = sql::query::query_before_calls(query)? else { return Ok(None) };
        // What does not bind does nothing.
        self.bind(&before, parameters).await?;
        let mut query = query.clone();
        for place in early_calls_of_query(&mut query) {
            *place = self.carry_out_call(place, parameters).await?;
        }
        Ok(Some(query))
    }

    /// The same of an expression.
    pub(super) async fn after_calls(
        &mut self,
        expr: &ast::Expr,
        parameters: Parameters<'_>,
    ) -> Result<Option<ast::Expr>> {
        if !has_early_calls(expr) {
            return Ok(None);
        }
        let mut expr = expr.clone();
        for place in early_calls(&mut expr) {
            *place = self.carry_out_call(place, parameters).await?;
        }
        Ok(Some(expr))
    }

    /// The literal that a call becomes.
    async fn carry_out_call(&mut self, call: &ast::Expr, parameters: Parameters<'_>) -> Result<ast::Expr> {
        self.is_once = true;
        let value = match EarlyCall::of(call)? {
            EarlyCall::GetLock { name, timeout } => {
                let name = self.lock_name(&name, parameters).await?;
                let seconds = match self.argument(&timeout, parameters).await? {
                    Value::Int(seconds) => seconds,
                    _ => 0,
                };
                self.get_lock(name, seconds).await?
            }
            EarlyCall::ReleaseLock { name } => {
                let name = self.lock_name(&name, parameters).await?;
                self.release_lock(name).await?
            }
            EarlyCall::ReleaseAllLocks => Some(self.release_all_locks().await?),
            EarlyCall::IsFreeLock { name } => {
                let name = self.lock_name(&name, parameters).await?;
                Some(u64::from(self.user_of_lock(name).await?.is_none()))
            }
            EarlyCall::IsUsedLock { name } => {
                let name = self.lock_name(&name, parameters).await?;
                self.user_of_lock(name).await?
            }
            EarlyCall::Benchmark { count, expr } => {
                let count = self.argument(&count, parameters).await?;
                self.benchmark(&count, &expr, parameters).await?
            }
        };
        Ok(early_result(value))
    }

    /// The value of a call's argument, which may have calls in it.
    pub(super) async fn argument(&mut self, expr: &ast::Expr, parameters: Parameters<'_>) -> Result<Value> {
        Box::pin(self.evaluate_with_queries(expr, parameters)).await
    }

    /// Evaluates an expression so many times, anew from its text each time.
    async fn benchmark(
        &mut self,
        count: &Value,
        expr: &ast::Expr,
        parameters: Parameters<'_>,
    ) -> Result<Option<u64>> {
        let Value::Int(count) = *count else { return Ok(None) };
        let Ok(mut left) = u64::try_from(count) else {
            let text = format!("Incorrect count value: '{count}' for function benchmark");
            self.add_message(Level::Warning, ErrorKind::WrongValueForFunction.errno(), text);
            return Ok(None);
        };
        if has_early_calls(expr) || sql::evaluated::has_query(expr) {
            while left > 0 {
                self.check_cancelled()?;
                self.argument(expr, parameters).await?;
                left -= 1;
                tokio::task::yield_now().await;
            }
        }
        while left > 0 {
            self.check_cancelled()?;
            left = self.hearing(|state| -> Result<u64> {
                let tables = state.tables();
                let context = state.bind_context(&tables, &parameters);
                let (began, mut left) = (Instant::now(), left);
                while left > 0 && began.elapsed() < SLICE {
                    sql::query::evaluate(expr, &context)?;
                    left -= 1;
                }
                Ok(left)
            })?;
            tokio::task::yield_now().await;
        }
        Ok(Some(0))
    }
}
