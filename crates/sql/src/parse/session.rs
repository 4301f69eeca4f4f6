//! Transactions, SET, prepared statements, KILL, FLUSH.

use super::reader::{Read, Reader, unsupported};
use crate::statement::*;
use sqlparser::ast::Expr;
use sqlparser::tokenizer::Token;
use types::SqlError;

impl Reader<'_> {
    pub fn begin(&mut self) -> Read<Statement> {
        let mut begin = Begin::default();
        if self.eat("BEGIN") {
            self.eat("WORK");
            return Ok(Statement::Begin(begin));
        }
        self.expect("START")?;
        if ["REPLICA", "SLAVE", "GROUP_REPLICATION", "PIPELINE"].iter().any(|word| self.is(word)) {
            return unsupported("START of other than TRANSACTION");
        }
        self.expect("TRANSACTION")?;
        if !self.at_end() {
            self.list(|r| {
                if r.eat_all(&["WITH", "CONSISTENT", "SNAPSHOT"]) {
                    begin.snapshot = true;
                } else {
                    r.expect("READ")?;
                    begin.read_only = match r.eat_one_of(&["ONLY", "WRITE"]) {
                        Some(word) => Some(word == "ONLY"),
                        None => return r.expected("ONLY or WRITE"),
                    };
                }
                Ok(())
            })?;
        }
        Ok(Statement::Begin(begin))
    }

    pub fn commit(&mut self) -> Read<Statement> {
        self.expect("COMMIT")?;
        self.eat("WORK");
        self.completion().map(Statement::Commit)
    }

    pub fn rollback(&mut self) -> Read<Statement> {
        self.expect("ROLLBACK")?;
        self.eat("WORK");
        if self.eat("TO") {
            self.eat("SAVEPOINT");
            return self.name().map(Statement::RollbackTo);
        }
        self.completion().map(Statement::Rollback)
    }

    /// [AND \[NO\] CHAIN] [\[NO\] RELEASE]
    fn completion(&mut self) -> Read<Completion> {
        let mut completion = Completion::default();
        if self.eat("AND") {
            completion.chain = !self.eat("NO");
            self.expect("CHAIN")?;
        }
        if self.is("NO") || self.is("RELEASE") {
            completion.release = !self.eat("NO");
            self.expect("RELEASE")?;
        }
        Ok(completion)
    }

    pub fn savepoint(&mut self) -> Read<Statement> {
        if self.eat("RELEASE") {
            self.expect("SAVEPOINT")?;
            return self.name().map(Statement::ReleaseSavepoint);
        }
        self.expect("SAVEPOINT")?;
        self.name().map(Statement::Savepoint)
    }

    pub fn set(&mut self) -> Read<Statement> {
        self.expect("SET")?;
        if self.eat("PASSWORD") {
            return self.set_password();
        }
        if self.eat_all(&["DEFAULT", "ROLE"]) {
            return self.set_default_role();
        }
        if self.eat("ROLE") {
            return self.set_role();
        }
        if self.are(&["RESOURCE", "GROUP"]) {
            return unsupported("SET RESOURCE GROUP");
        }
        // The scope of one item holds for the bare names after it: SET GLOBAL a = 1, b = 2.
        let mut last = None;
        self.list(|r| r.set_item(&mut last)).map(Statement::Set)
    }

    fn set_item(&mut self, last: &mut Option<Scope>) -> Read<SetItem> {
        if self.eat("NAMES") {
            return self.set_names();
        }
        if self.eat_all(&["CHARACTER", "SET"]) || self.eat("CHARSET") || self.eat_all(&["CHAR", "SET"]) {
            if self.eat("DEFAULT") {
                return Ok(SetItem::CharacterSet(None));
            }
            let name = self.name_or_text()?;
            return Ok(SetItem::CharacterSet(Some(name)));
        }
        let scope = self
            .eat_one_of(&["GLOBAL", "SESSION", "LOCAL", "PERSIST", "PERSIST_ONLY"])
            .map(|word| scope_of(word).ok_or_else(|| SqlError::unsupported("SET PERSIST_ONLY")));
        let scope = match scope {
            Some(scope) => Some(scope?),
            None => None,
        };
        if self.eat("TRANSACTION") {
            return self.set_transaction(scope);
        }
        let Token::Word(word) = self.peek().clone() else { return self.expected("the name of a variable") };
        if word.quote_style.is_none() && word.value.starts_with("@@") {
            if scope.is_some() {
                return self.expected("the name of a variable");
            }
            self.parser.advance_token();
            return self.set_at_at(&word.value[2..]);
        }
        if word.quote_style.is_none() && word.value.starts_with('@') {
            if scope.is_some() {
                return self.expected("the name of a system variable");
            }
            self.parser.advance_token();
            self.assign_sign()?;
            let name = word.value[1..].to_lowercase();
            return Ok(SetItem::User { name, value: Box::new(self.expr()?) });
        }
        if scope.is_some() {
            *last = scope;
        }
        let mut name = self.variable_name()?;
        if self.eat_token(&Token::Period) {
            // A variable of a component: component.variable.
            name = format!("{name}.{}", self.variable_name()?);
        }
        self.assign_sign()?;
        let value = self.set_value()?;
        Ok(SetItem::System { scope: scope.or(*last).unwrap_or_default(), name, value })
    }

    fn variable_name(&mut self) -> Read<String> {
        match self.peek() {
            Token::Word(word) if !word.value.starts_with('@') => {
                let name = word.value.to_lowercase();
                self.parser.advance_token();
                Ok(name)
            }
            _ => self.expected("the name of a variable"),
        }
    }

    /// `@@name`, `@@scope.name`; `first` is what follows the `@@`.
    fn set_at_at(&mut self, first: &str) -> Read<SetItem> {
        let mut scope = Scope::Session;
        let mut name = first.to_lowercase();
        if self.eat_token(&Token::Period) {
            let second = self.variable_name()?;
            match scope_of(&name) {
                Some(found) => {
                    scope = found;
                    name = second;
                }
                None => name = format!("{name}.{second}"),
            }
        }
        self.assign_sign()?;
        let value = self.set_value()?;
        Ok(SetItem::System { scope, name, value })
    }

    pub(super) fn assign_sign(&mut self) -> Read<()> {
        if self.eat_token(&Token::Assignment) { Ok(()) } else { self.expect_token(&Token::Eq) }
    }

    fn set_value(&mut self) -> Read<SetValue> {
        if self.eat("DEFAULT") {
            return Ok(SetValue::Default);
        }
        // Words that are reserved but values of variables.
        for word in ["ON", "ALL", "BINARY", "ROW", "SYSTEM"] {
            let ends = |token: &Token| matches!(token, Token::Comma | Token::SemiColon | Token::EOF);
            if self.is(word) && ends(self.peek_nth(1)) {
                let ident = self.parser.parse_identifier()?;
                return Ok(SetValue::Expr(Box::new(Expr::Identifier(ident))));
            }
        }
        Ok(SetValue::Expr(Box::new(self.expr()?)))
    }

    fn set_names(&mut self) -> Read<SetItem> {
        if self.eat("DEFAULT") {
            return Ok(SetItem::Names { charset: None, collation: None });
        }
        let charset = Some(self.name_or_text()?);
        let collation = if self.eat("COLLATE") { Some(self.name_or_text()?) } else { None };
        Ok(SetItem::Names { charset, collation })
    }

    fn set_transaction(&mut self, scope: Option<Scope>) -> Read<SetItem> {
        let (mut isolation, mut read_only) = (None, None);
        self.list(|r| {
            if r.eat_all(&["ISOLATION", "LEVEL"]) {
                let level = if r.eat_all(&["READ", "UNCOMMITTED"]) {
                    Isolation::ReadUncommitted
                } else if r.eat_all(&["READ", "COMMITTED"]) {
                    Isolation::ReadCommitted
                } else if r.eat_all(&["REPEATABLE", "READ"]) {
                    Isolation::RepeatableRead
                } else if r.eat("SERIALIZABLE") {
                    Isolation::Serializable
                } else {
                    return r.expected("an isolation level");
                };
                isolation = Some(level);
            } else if r.eat_all(&["READ", "ONLY"]) {
                read_only = Some(true);
            } else if r.eat_all(&["READ", "WRITE"]) {
                read_only = Some(false);
            } else {
                return r.expected("ISOLATION LEVEL, READ ONLY or READ WRITE");
            }
            Ok(())
        })?;
        Ok(SetItem::Transaction { scope, isolation, read_only })
    }

    pub fn prepare(&mut self) -> Read<Statement> {
        self.expect("PREPARE")?;
        let name = self.name()?.to_lowercase();
        self.expect("FROM")?;
        let source = match self.user_variable() {
            Some(variable) => PrepareSource::Variable(variable),
            None => PrepareSource::Text(self.text()?),
        };
        Ok(Statement::Prepare { name, source })
    }

    /// `@name`, without its `@` and in lower case.
    pub(super) fn user_variable(&mut self) -> Option<String> {
        let Token::Word(word) = self.peek() else { return None };
        let name = word.value.strip_prefix('@').filter(|n| !n.starts_with('@'))?.to_lowercase();
        self.parser.advance_token();
        Some(name)
    }

    pub fn execute(&mut self) -> Read<Statement> {
        self.expect("EXECUTE")?;
        let name = self.name()?.to_lowercase();
        let mut using = Vec::new();
        if self.eat("USING") {
            using = self.list(|r| match r.user_variable() {
                Some(variable) => Ok(variable),
                None => r.expected("a user variable"),
            })?;
        }
        Ok(Statement::Execute { name, using })
    }

    pub fn deallocate(&mut self) -> Read<Statement> {
        self.expect("DEALLOCATE")?;
        self.expect("PREPARE")?;
        Ok(Statement::Deallocate(self.name()?.to_lowercase()))
    }

    pub fn kill(&mut self) -> Read<Statement> {
        self.expect("KILL")?;
        let query_only = self.eat("QUERY");
        if !query_only {
            self.eat("CONNECTION");
        }
        Ok(Statement::Kill { query_only, connection: Box::new(self.expr()?) })
    }

    pub fn flush(&mut self) -> Read<Statement> {
        self.expect("FLUSH")?;
        self.eat_one_of(&["NO_WRITE_TO_BINLOG", "LOCAL"]);
        let known: &[&[&str]] = &[
            &["PRIVILEGES"],
            &["TABLES"],
            &["TABLE"],
            &["STATUS"],
            &["LOGS"],
            &["BINARY", "LOGS"],
            &["ENGINE", "LOGS"],
            &["ERROR", "LOGS"],
            &["GENERAL", "LOGS"],
            &["SLOW", "LOGS"],
            &["HOSTS"],
            &["OPTIMIZER_COSTS"],
            &["USER_RESOURCES"],
        ];
        let words = self.list(|r| {
            let Some(words) = known.iter().find(|words| r.are(words)) else {
                return r.expected("what to flush");
            };
            r.eat_all(words);
            Ok(words.join(" "))
        })?;
        if !self.at_end() && words.iter().any(|w| w.starts_with("TABLE")) {
            if self.is("WITH") || self.is("FOR") {
                return unsupported("FLUSH TABLES WITH READ LOCK");
            }
            self.list(Self::table_name)?;
            if self.is("WITH") || self.is("FOR") {
                return unsupported("FLUSH TABLES WITH READ LOCK");
            }
        }
        Ok(Statement::Flush(words))
    }
}

fn scope_of(word: &str) -> Option<Scope> {
    match word.to_ascii_uppercase().as_str() {
        "GLOBAL" => Some(Scope::Global),
        "SESSION" | "LOCAL" => Some(Scope::Session),
        "PERSIST" => Some(Scope::Persist),
        _ => None,
    }
}
