//! CREATE, DROP, ALTER, TRUNCATE and the maintenance of tables.

mod alter;
mod column;
mod column_type;
mod options;

use super::reader::{Read, Reader, unsupported};
use crate::statement::*;
use sqlparser::tokenizer::Token;

impl Reader<'_> {
    pub fn create(&mut self) -> Read<Statement> {
        self.expect("CREATE")?;
        if self.eat("DATABASE") || self.eat("SCHEMA") {
            return self.create_database();
        }
        if self.eat("USER") {
            return self.create_user();
        }
        let mut accepted = Vec::new();
        let (mut reference, mut temporary, mut global) = (false, false, false);
        while let Some(word) =
            self.eat_one_of(&["ROWSTORE", "COLUMNSTORE", "REFERENCE", "TEMPORARY", "GLOBAL"])
        {
            match word {
                "REFERENCE" => reference = true,
                "TEMPORARY" => temporary = true,
                "GLOBAL" => global = true,
                storage => accepted.push(format!("{storage} (there is one kind of table storage)")),
            }
        }
        if self.eat("TABLE") {
            if global {
                return unsupported("CREATE GLOBAL TEMPORARY TABLE");
            }
            return self.create_table(reference, temporary, accepted);
        }
        let object = match self.peek() {
            Token::Word(word) => word.value.to_ascii_uppercase(),
            _ => return self.expected("what to create"),
        };
        match object.as_str() {
            "OR" | "VIEW" | "ALGORITHM" | "DEFINER" | "SQL" => self.create_view(),
            "ROLE" => self.create_role(),
            "UNIQUE" | "INDEX" => self.create_index(),
            "FULLTEXT" | "SPATIAL" => unsupported("FULLTEXT, SPATIAL and VECTOR keys"),
            "FUNCTION" | "PROCEDURE" | "TRIGGER" | "EVENT" | "SERVER" | "AGGREGATE" | "TABLESPACE"
            | "LOGFILE" | "UNDO" | "RESOURCE" | "PIPELINE" | "LINK" | "SPECIALIZATION" | "MILESTONE" => {
                unsupported(&format!("CREATE {object}"))
            }
            _ => self.expected("DATABASE, TABLE or USER"),
        }
    }

    fn create_database(&mut self) -> Read<Statement> {
        let if_not_exists = self.if_not_exists();
        let name = self.name()?;
        let mut partitions = None;
        let mut collation = None;
        while !self.at_end() {
            if self.eat("PARTITIONS") {
                self.eat_equals();
                let count = self.unsigned_u32()?;
                partitions = Some(count);
                continue;
            }
            let default = self.eat("DEFAULT");
            if self.character_set_clause()? {
                continue;
            }
            if let Some(named) = self.collate_clause()? {
                collation = Some(named);
                continue;
            }
            if self.eat("ENCRYPTION") {
                self.eat_equals();
                if !self.text()?.eq_ignore_ascii_case("N") {
                    return unsupported("ENCRYPTION");
                }
                continue;
            }
            if !default && self.is("WITH") {
                return unsupported("CREATE DATABASE WITH ..");
            }
            return self.expected("PARTITIONS, CHARACTER SET or COLLATE");
        }
        Ok(Statement::CreateDatabase(CreateDatabase { name, if_not_exists, partitions, collation }))
    }

    fn create_table(&mut self, reference: bool, temporary: bool, accepted: Vec<String>) -> Read<Statement> {
        let if_not_exists = self.if_not_exists();
        let mut table = CreateTable {
            name: self.table_name()?,
            if_not_exists,
            temporary,
            reference,
            columns: Vec::new(),
            keys: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
            like: None,
            query: None,
            comment: String::new(),
            auto_increment: None,
            collation: None,
            one_partition: false,
            accepted,
        };
        if self.eat("LIKE") {
            table.like = Some(self.table_name()?);
            return Ok(Statement::CreateTable(Box::new(table)));
        }
        if *self.peek() == Token::LParen && self.is_word_nth(1, "LIKE") {
            table.like = Some(self.parenthesised(|r| {
                r.expect("LIKE")?;
                r.table_name()
            })?);
            return Ok(Statement::CreateTable(Box::new(table)));
        }
        let query_follows = ["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|w| self.is_word_nth(1, w));
        if *self.peek() == Token::LParen && !query_follows {
            self.parenthesised(|r| r.list(|r| r.create_definition(&mut table)))?;
        }
        self.table_options(&mut table)?;
        if self.is("PARTITION") {
            return unsupported("PARTITION BY");
        }
        if self.is("IGNORE") || self.is("REPLACE") {
            return unsupported("CREATE TABLE .. IGNORE or REPLACE SELECT");
        }
        if self.eat("AS") || *self.peek() == Token::LParen || self.is("SELECT") || self.is("WITH") {
            table.query = Some(self.query()?);
        }
        if table.query.is_none() && !self.at_end() {
            return self.expected("a table option");
        }
        Ok(Statement::CreateTable(Box::new(table)))
    }

    /// `CHECK (expression) [[NOT] ENFORCED]`
    pub(super) fn check(&mut self, name: Option<String>) -> Read<Option<CheckSpec>> {
        if !self.eat("CHECK") {
            return Ok(None);
        }
        let expression = self.expr_text()?;
        let enforced = !self.eat_all(&["NOT", "ENFORCED"]);
        if enforced {
            self.eat("ENFORCED");
        }
        Ok(Some(CheckSpec { name, expression, enforced }))
    }

    /// A column or a key.
    fn create_definition(&mut self, table: &mut CreateTable) -> Read<()> {
        let constraint = self.eat("CONSTRAINT");
        let mut name = None;
        if constraint && !["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"].iter().any(|w| self.is(w)) {
            name = Some(self.name()?);
        }
        if let Some(check) = self.check(name.clone())? {
            table.checks.push(check);
            return Ok(());
        }
        if self.is("FOREIGN") {
            let key = self.foreign_key(name, &mut table.accepted)?;
            table.foreign_keys.push(key);
            return Ok(());
        }
        if self.eat_all(&["PRIMARY", "KEY"]) {
            let key = self.key(KeyKind::Primary, None, table)?;
            table.keys.push(key);
            return Ok(());
        }
        if self.eat("UNIQUE") {
            let _ = self.eat("KEY") || self.eat("INDEX");
            let key = self.key(KeyKind::Unique, name, table)?;
            table.keys.push(key);
            return Ok(());
        }
        if constraint {
            return self.expected("PRIMARY KEY, UNIQUE, FOREIGN KEY or CHECK");
        }
        if self.eat("KEY") || self.eat("INDEX") {
            let key = self.key(KeyKind::Plain, None, table)?;
            table.keys.push(key);
            return Ok(());
        }
        if self.is("FULLTEXT") || self.is("SPATIAL") || self.are(&["VECTOR", "INDEX"]) {
            return unsupported("FULLTEXT, SPATIAL and VECTOR keys");
        }
        // SHARD and SORT are names unless KEY follows.
        if self.eat_all(&["SHARD", "KEY"]) {
            let key = self.key(KeyKind::Shard, None, table)?;
            table.keys.push(key);
            return Ok(());
        }
        if self.eat_all(&["SORT", "KEY"]) {
            let key = self.key(KeyKind::Sort, None, table)?;
            table.keys.push(key);
            return Ok(());
        }
        let column = self.column_spec(&mut table.accepted)?;
        table.columns.push(column);
        Ok(())
    }

    pub fn truncate(&mut self) -> Read<Statement> {
        self.expect("TRUNCATE")?;
        self.eat("TABLE");
        self.table_name().map(Statement::Truncate)
    }

    pub fn drop_object(&mut self) -> Read<Statement> {
        self.expect("DROP")?;
        if self.eat("DATABASE") || self.eat("SCHEMA") {
            let if_exists = self.if_exists();
            return Ok(Statement::DropDatabase { if_exists, name: self.name()? });
        }
        if self.eat("USER") {
            return self.drop_user();
        }
        if self.eat("PREPARE") {
            return self.name().map(Statement::Deallocate);
        }
        let temporary = self.eat("TEMPORARY");
        if self.eat("TABLE") || self.eat("TABLES") {
            let if_exists = self.if_exists();
            let tables = self.list(Self::table_name)?;
            // MySQL reads these words and does nothing with them.
            self.eat_one_of(&["RESTRICT", "CASCADE"]);
            return Ok(Statement::DropTable { tables, if_exists, temporary });
        }
        let object = match self.peek() {
            Token::Word(word) => word.value.to_ascii_uppercase(),
            _ => return self.expected("what to drop"),
        };
        match object.as_str() {
            "INDEX" => self.drop_index(),
            "VIEW" => self.drop_view(),
            "ROLE" => self.drop_role(),
            "FUNCTION" | "PROCEDURE" | "TRIGGER" | "EVENT" | "SERVER" | "TABLESPACE" | "PIPELINE"
            | "MILESTONE" | "LINK" => unsupported(&format!("DROP {object}")),
            _ => self.expected("DATABASE, TABLE or USER"),
        }
    }

    pub fn alter(&mut self) -> Read<Statement> {
        self.expect("ALTER")?;
        if self.eat("USER") {
            return self.alter_user();
        }
        let object = match self.peek() {
            Token::Word(word) => word.value.to_ascii_uppercase(),
            _ => return self.expected("what to alter"),
        };
        match object.as_str() {
            "TABLE" => self.alter_table(),
            "VIEW" | "ALGORITHM" | "DEFINER" | "SQL" => self.alter_view(),
            "DATABASE" | "SCHEMA" | "FUNCTION" | "PROCEDURE" | "EVENT" | "SERVER" | "INSTANCE"
            | "TABLESPACE" | "PIPELINE" | "RESOURCE" => unsupported(&format!("ALTER {object}")),
            _ => self.expected("TABLE, DATABASE or USER"),
        }
    }

    /// ANALYZE, OPTIMIZE, CHECK and CHECKSUM TABLE.
    pub fn maintain(&mut self) -> Read<Statement> {
        let action = match self.eat_one_of(&["ANALYZE", "OPTIMIZE", "CHECKSUM", "CHECK"]) {
            Some("ANALYZE") => MaintainAction::Analyze,
            Some("OPTIMIZE") => MaintainAction::Optimize,
            Some("CHECKSUM") => MaintainAction::Checksum,
            Some("CHECK") => MaintainAction::Check,
            _ => {
                self.expect("CHECK")?;
                MaintainAction::Check
            }
        };
        self.eat_one_of(&["NO_WRITE_TO_BINLOG", "LOCAL"]);
        if !self.eat("TABLE") {
            self.expect("TABLES")?;
        }
        let tables = self.list(Self::table_name)?;
        let mut mode = None;
        if action != MaintainAction::Analyze
            && let Some(word) = self.eat_one_of(&["FULL", "FLUSH", "QUICK", "FAST", "MEDIUM", "EXTENDED"])
        {
            mode = Some(word.to_string());
        }
        if !self.at_end() && matches!(self.peek(), Token::Word(_)) {
            return unsupported("these options of ANALYZE, OPTIMIZE and CHECK TABLE");
        }
        Ok(Statement::MaintainTables { action, tables, mode })
    }
}
