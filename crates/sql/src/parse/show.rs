//! SHOW, DESCRIBE and EXPLAIN.

use super::reader::{Read, Reader, unsupported};
use crate::statement::*;
use sqlparser::tokenizer::Token;
use types::{ErrorKind, SqlError};

impl Reader<'_> {
    pub fn show(&mut self) -> Read<Statement> {
        self.expect("SHOW")?;
        let what = self.show_what()?;
        let filter = if self.eat("LIKE") {
            Some(ShowFilter::Like(self.text()?))
        } else if self.eat("WHERE") {
            Some(ShowFilter::Where(Box::new(self.expr()?)))
        } else {
            None
        };
        Ok(Statement::Show(Box::new(Show { what, filter })))
    }

    fn show_what(&mut self) -> Read<ShowWhat> {
        if self.eat("CREATE") {
            return self.show_create();
        }
        let extended = self.eat("EXTENDED");
        let full = self.eat("FULL");
        if self.eat("TABLES") {
            return Ok(ShowWhat::Tables { database: self.database_clause()?, full });
        }
        if self.eat("COLUMNS") || self.eat("FIELDS") {
            return Ok(ShowWhat::Columns { table: self.table_clause()?, full });
        }
        if full && self.eat("PROCESSLIST") {
            return Ok(ShowWhat::ProcessList { full });
        }
        if full {
            return self.expected("TABLES, COLUMNS or PROCESSLIST");
        }
        if self.eat("INDEX") || self.eat("INDEXES") || self.eat("KEYS") {
            return Ok(ShowWhat::Index { table: self.table_clause()? });
        }
        if extended {
            return self.expected("TABLES, COLUMNS or INDEX");
        }
        let scope = match self.eat_one_of(&["GLOBAL", "SESSION", "LOCAL"]) {
            Some("GLOBAL") => Some(Scope::Global),
            Some(_) => Some(Scope::Session),
            None => None,
        };
        if self.eat("VARIABLES") {
            return Ok(ShowWhat::Variables(scope.unwrap_or_default()));
        }
        if self.eat("STATUS") {
            return Ok(ShowWhat::Status(scope.unwrap_or_default()));
        }
        if scope.is_some() {
            return self.expected("VARIABLES or STATUS");
        }
        if self.eat("COUNT") {
            self.parenthesised(|r| r.expect_token(&Token::Mul))?;
            return self.messages(true);
        }
        if self.is("WARNINGS") || self.is("ERRORS") {
            return self.messages(false);
        }
        let plain: &[(&[&str], ShowWhat)] = &[
            (&["DATABASES"], ShowWhat::Databases),
            (&["SCHEMAS"], ShowWhat::Databases),
            (&["ENGINES"], ShowWhat::Engines),
            (&["STORAGE", "ENGINES"], ShowWhat::Engines),
            (&["CHARACTER", "SET"], ShowWhat::CharacterSet),
            (&["CHARSET"], ShowWhat::CharacterSet),
            (&["COLLATION"], ShowWhat::Collation),
            (&["PROCESSLIST"], ShowWhat::ProcessList { full: false }),
            (&["PRIVILEGES"], ShowWhat::Privileges),
            (&["PLUGINS"], ShowWhat::Plugins),
            (&["PROFILES"], ShowWhat::Profiles),
            (&["FUNCTION", "STATUS"], ShowWhat::FunctionStatus),
            (&["PROCEDURE", "STATUS"], ShowWhat::ProcedureStatus),
            (&["MASTER", "STATUS"], ShowWhat::LogStatus),
            (&["BINARY", "LOG", "STATUS"], ShowWhat::LogStatus),
            (&["SLAVE", "STATUS"], ShowWhat::ReplicaStatus { old_names: true }),
            (&["REPLICA", "STATUS"], ShowWhat::ReplicaStatus { old_names: false }),
            (&["SLAVE", "HOSTS"], ShowWhat::Replicas { old_names: true }),
            (&["REPLICAS"], ShowWhat::Replicas { old_names: false }),
            (&["BINARY", "LOGS"], ShowWhat::BinaryLogs),
            (&["MASTER", "LOGS"], ShowWhat::BinaryLogs),
            (&["LEAVES"], ShowWhat::Leaves),
            (&["AGGREGATORS"], ShowWhat::Aggregators),
            (&["CLUSTER", "STATUS"], ShowWhat::ClusterStatus),
        ];
        if let Some((words, what)) = plain.iter().find(|(words, _)| self.are(words)) {
            self.eat_all(words);
            return Ok(what.clone());
        }
        if self.eat_all(&["TABLE", "STATUS"]) {
            return Ok(ShowWhat::TableStatus { database: self.database_clause()? });
        }
        if self.eat_all(&["OPEN", "TABLES"]) {
            return Ok(ShowWhat::OpenTables { database: self.database_clause()? });
        }
        if self.eat("TRIGGERS") {
            return Ok(ShowWhat::Triggers { database: self.database_clause()? });
        }
        if self.eat("EVENTS") {
            return Ok(ShowWhat::Events { database: self.database_clause()? });
        }
        if self.eat("PARTITIONS") {
            let database = if self.eat("ON") { Some(self.name()?) } else { None };
            return Ok(ShowWhat::Partitions { database });
        }
        if self.eat("GRANTS") {
            let account = if self.eat("FOR") { Some(self.account()?) } else { None };
            let using = account.is_some() && self.eat("USING");
            let roles = if using { self.list(Self::account)? } else { Vec::new() };
            return Ok(ShowWhat::Grants { account: account.filter(|account| !account.current), roles });
        }
        match self.peek() {
            Token::Word(word) => {
                let word = word.value.to_ascii_uppercase();
                match word.as_str() {
                    "ENGINE" | "BINLOG" | "RELAYLOG" | "PROFILE" | "FUNCTION" | "PROCEDURE" | "REBALANCE"
                    | "PIPELINES" | "LICENSES" | "PLANCACHE" | "USERS" | "GROUPS" | "ROLES" => {
                        unsupported(&format!("SHOW {word}"))
                    }
                    _ => self.expected("what to show"),
                }
            }
            _ => self.expected("what to show"),
        }
    }

    fn show_create(&mut self) -> Read<ShowWhat> {
        if self.eat("TABLE") {
            return self.table_name().map(ShowWhat::CreateTable);
        }
        if self.eat("VIEW") {
            return self.table_name().map(ShowWhat::CreateView);
        }
        if self.eat("USER") {
            return self.account().map(ShowWhat::CreateUser);
        }
        if self.eat("DATABASE") || self.eat("SCHEMA") {
            let if_not_exists = self.if_not_exists();
            return Ok(ShowWhat::CreateDatabase { name: self.name()?, if_not_exists });
        }
        match self.eat_one_of(&["PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PIPELINE"]) {
            Some(word) => unsupported(&format!("SHOW CREATE {word}")),
            None => self.expected("TABLE, DATABASE, VIEW or USER"),
        }
    }

    /// [FROM db]
    fn database_clause(&mut self) -> Read<Option<String>> {
        if self.eat("FROM") || self.eat("IN") { self.name().map(Some) } else { Ok(None) }
    }

    /// FROM table [FROM db]
    fn table_clause(&mut self) -> Read<TableName> {
        if !self.eat("FROM") && !self.eat("IN") {
            return self.expected("FROM");
        }
        let mut table = self.table_name()?;
        if let Some(database) = self.database_clause()? {
            table.database = Some(database);
        }
        Ok(table)
    }

    fn messages(&mut self, count_only: bool) -> Read<ShowWhat> {
        let Some(word) = self.eat_one_of(&["WARNINGS", "ERRORS"]) else {
            return self.expected("WARNINGS or ERRORS");
        };
        let mut list = MessageList { count_only, ..MessageList::default() };
        if !count_only && self.eat("LIMIT") {
            let first = self.unsigned()?;
            if self.eat_token(&Token::Comma) {
                list.offset = first;
                list.limit = Some(self.unsigned()?);
            } else {
                list.limit = Some(first);
                if self.eat("OFFSET") {
                    list.offset = self.unsigned()?;
                }
            }
        }
        Ok(if word == "WARNINGS" { ShowWhat::Warnings(list) } else { ShowWhat::Errors(list) })
    }

    /// SingleStore's name for EXPLAIN ANALYZE.
    pub fn profile(&mut self) -> Read<Statement> {
        self.expect("PROFILE")?;
        let statement = self.statement()?;
        let explain = Explain { format: ExplainFormat::Default, analyze: true, statement };
        Ok(Statement::Explain(Box::new(explain)))
    }

    pub fn explain(&mut self) -> Read<Statement> {
        if self.eat_one_of(&["DESCRIBE", "DESC", "EXPLAIN"]).is_none() {
            return self.expected("EXPLAIN");
        }
        let mut explain = Explain {
            format: ExplainFormat::Default,
            analyze: self.eat("ANALYZE"),
            statement: Statement::Do(Vec::new()),
        };
        // Older clients say EXTENDED, which says nothing now.
        self.eat("EXTENDED");
        if self.is("FORMAT") && *self.peek_nth(1) == Token::Eq {
            self.expect("FORMAT")?;
            self.eat_equals();
            let name = self.name_or_text()?;
            explain.format = match name.to_ascii_uppercase().as_str() {
                "TRADITIONAL" => ExplainFormat::Traditional,
                "TREE" => ExplainFormat::Tree,
                "JSON" => ExplainFormat::Json,
                _ => {
                    let message = format!("Unknown EXPLAIN format name: '{name}'");
                    return Err(SqlError::new(ErrorKind::UnknownExplainFormat, message).into());
                }
            };
        }
        let explainable = ["SELECT", "WITH", "VALUES", "TABLE", "INSERT", "REPLACE", "UPDATE", "DELETE"];
        if *self.peek() == Token::LParen || explainable.iter().any(|word| self.is(word)) {
            explain.statement = self.statement()?;
            return Ok(Statement::Explain(Box::new(explain)));
        }
        if self.are(&["FOR", "CONNECTION"]) {
            return unsupported("EXPLAIN FOR CONNECTION");
        }
        if explain.analyze || explain.format != ExplainFormat::Default {
            return self.expected("a statement that can be explained");
        }
        if self.is("REBALANCE") {
            return unsupported("EXPLAIN REBALANCE PARTITIONS");
        }
        let table = self.table_name()?;
        let column = match self.peek() {
            Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => Some(self.text()?),
            Token::Word(_) => Some(self.name()?),
            _ => None,
        };
        Ok(Statement::Describe { table, column })
    }
}
