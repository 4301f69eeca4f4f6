//! INSERT, REPLACE, UPDATE, DELETE and LOAD DATA.

use super::reader::{Read, Reader, unsupported};
use crate::statement::*;
use sqlparser::ast::{Expr, Ident, OrderByExpr, TableWithJoins};
use sqlparser::tokenizer::Token;
use types::{ErrorKind, SqlError};

impl Reader<'_> {
    pub fn insert(&mut self) -> Read<Statement> {
        let replace = self.eat("REPLACE");
        if !replace {
            self.expect("INSERT")?;
        }
        // These words order work between sessions; there is nothing to order here.
        self.eat_one_of(&["LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED"]);
        let ignore = !replace && self.eat("IGNORE");
        self.eat("INTO");
        let table = self.table_name()?;
        if self.is("PARTITION") {
            return unsupported("PARTITION of INSERT");
        }
        let mut insert = Insert {
            table,
            columns: Vec::new(),
            source: InsertSource::Values(Vec::new()),
            ignore,
            replace,
            row_alias: None,
            on_duplicate: Vec::new(),
        };
        if self.eat("SET") {
            let assignments = self.list(Self::assignment)?;
            let mut row = Vec::with_capacity(assignments.len());
            for Assignment { mut column, value } in assignments {
                // Invariant: an assignment has at least one name.
                insert.columns.extend(column.pop());
                row.push(value);
            }
            insert.source = InsertSource::Values(vec![row]);
        } else {
            let query_follows =
                |r: &Self| ["SELECT", "WITH", "TABLE"].iter().any(|word| r.is_word_nth(1, word));
            if *self.peek() == Token::LParen && !query_follows(self) && *self.peek_nth(1) != Token::LParen {
                self.expect_token(&Token::LParen)?;
                if *self.peek() != Token::RParen {
                    insert.columns = self.list(Self::column_of_table)?;
                }
                self.expect_token(&Token::RParen)?;
            }
            insert.source = self.insert_source()?;
        }
        if self.eat("AS") {
            let alias = self.ident()?;
            let mut columns = Vec::new();
            if *self.peek() == Token::LParen {
                columns = self.parenthesised(|r| r.list(Self::ident))?;
            }
            insert.row_alias = Some((alias, columns));
        }
        if !replace && self.eat_all(&["ON", "DUPLICATE", "KEY", "UPDATE"]) {
            insert.on_duplicate = self.list(Self::assignment)?;
        }
        Ok(Statement::Insert(Box::new(insert)))
    }

    fn insert_source(&mut self) -> Read<InsertSource> {
        if self.is("VALUES") && self.is_word_nth(1, "ROW") {
            self.expect("VALUES")?;
            return self
                .list(|r| {
                    r.expect("ROW")?;
                    r.value_row()
                })
                .map(InsertSource::Values);
        }
        if self.eat("VALUES") || self.eat("VALUE") {
            return self.list(Self::value_row).map(InsertSource::Values);
        }
        if *self.peek() == Token::LParen || ["SELECT", "WITH", "TABLE"].iter().any(|word| self.is(word)) {
            return self.query().map(InsertSource::Query);
        }
        self.expected("VALUES, SET or SELECT")
    }

    fn value_row(&mut self) -> Read<Vec<InsertValue>> {
        self.expect_token(&Token::LParen)?;
        let row = match self.peek() {
            Token::RParen => Vec::new(),
            _ => self.list(Self::insert_value)?,
        };
        self.expect_token(&Token::RParen)?;
        Ok(row)
    }

    fn insert_value(&mut self) -> Read<InsertValue> {
        if self.is("DEFAULT") && *self.peek_nth(1) != Token::LParen {
            self.expect("DEFAULT")?;
            return Ok(InsertValue::Default);
        }
        self.expr().map(InsertValue::Expr)
    }

    /// A column, perhaps with its table before it; only the column's name stays.
    fn column_of_table(&mut self) -> Read<Ident> {
        let mut parts = self.qualified()?;
        match parts.pop() {
            Some(column) => Ok(column),
            None => self.expected("a column"),
        }
    }

    fn assignment(&mut self) -> Read<Assignment> {
        let column = self.qualified()?;
        if column.len() > 3 {
            return self.expected("a name of at most three parts");
        }
        if !self.eat_token(&Token::Assignment) {
            self.expect_token(&Token::Eq)?;
        }
        Ok(Assignment { column, value: self.insert_value()? })
    }

    /// `[AS] alias`, where no word of `stop` follows.
    fn alias(&mut self, stop: &[&str]) -> Read<Option<Ident>> {
        if self.eat("AS") {
            return self.ident().map(Some);
        }
        match self.peek() {
            Token::Word(_) if !stop.iter().any(|word| self.is(word)) => self.ident().map(Some),
            _ => Ok(None),
        }
    }

    pub fn update(&mut self) -> Read<Statement> {
        self.expect("UPDATE")?;
        self.eat("LOW_PRIORITY");
        let ignore = self.eat("IGNORE");
        if !self.is_one_table_to_set() {
            return self.update_joined(ignore);
        }
        let table = self.table_name()?;
        let alias = self.alias(&["SET"])?;
        self.expect("SET")?;
        let assignments = self.list(Self::assignment)?;
        let (selection, order_by, limit) = self.which_rows()?;
        let update = Update { table, alias, ignore, assignments, selection, order_by, limit };
        Ok(Statement::Update(Box::new(update)))
    }

    /// Whether a name, perhaps with an alias, and SET come next.
    fn is_one_table_to_set(&self) -> bool {
        let mut behind = 1;
        if *self.peek_nth(behind) == Token::Period {
            behind += 2;
        }
        if self.is_word_nth(behind, "AS") {
            behind += 1;
        }
        if !self.is_word_nth(behind, "SET") && matches!(self.peek_nth(behind), Token::Word(_)) {
            behind += 1;
        }
        matches!(self.peek(), Token::Word(_)) && self.is_word_nth(behind, "SET")
    }

    fn joined_tables(&mut self) -> Read<Vec<TableWithJoins>> {
        self.list(|r| Ok(r.parser.parse_table_and_joins()?))
    }

    fn update_joined(&mut self, ignore: bool) -> Read<Statement> {
        let from = self.joined_tables()?;
        self.expect("SET")?;
        let assignments = self.list(Self::assignment)?;
        let selection = if self.eat("WHERE") { Some(self.expr()?) } else { None };
        self.refuse_order_and_limit("UPDATE")?;
        let update = UpdateJoined { from, ignore, assignments, selection };
        Ok(Statement::UpdateJoined(Box::new(update)))
    }

    /// MySQL orders and limits the change of one table only.
    fn refuse_order_and_limit(&mut self, statement: &str) -> Read<()> {
        for (word, clause) in [("ORDER", "ORDER BY"), ("LIMIT", "LIMIT")] {
            if self.is(word) {
                let text = format!("Incorrect usage of {statement} and {clause}");
                return Err(SqlError::new(ErrorKind::WrongUsage, text).into());
            }
        }
        Ok(())
    }

    /// A table that rows are deleted from: `t`, `db.t`, with or without `.*`.
    fn deleted_table(&mut self) -> Read<TableName> {
        let first = self.name()?;
        let mut table = TableName { database: None, name: first };
        if self.eat_token(&Token::Period) {
            if self.eat_token(&Token::Mul) {
                return Ok(table);
            }
            let name = self.name()?;
            table = TableName { database: Some(table.name), name };
            if self.eat_token(&Token::Period) {
                self.expect_token(&Token::Mul)?;
            }
        }
        Ok(table)
    }

    fn delete_joined(&mut self, tables: Vec<TableName>, ignore: bool) -> Read<Statement> {
        let from = self.joined_tables()?;
        let selection = if self.eat("WHERE") { Some(self.expr()?) } else { None };
        self.refuse_order_and_limit("DELETE")?;
        Ok(Statement::DeleteJoined(Box::new(DeleteJoined { tables, from, ignore, selection })))
    }

    pub fn delete(&mut self) -> Read<Statement> {
        self.expect("DELETE")?;
        self.eat("LOW_PRIORITY");
        self.eat("QUICK");
        let ignore = self.eat("IGNORE");
        if !self.eat("FROM") {
            let tables = self.list(Self::deleted_table)?;
            self.expect("FROM")?;
            return self.delete_joined(tables, ignore);
        }
        let table = self.deleted_table()?;
        if *self.peek() == Token::Comma || self.is("USING") {
            let mut tables = vec![table];
            while self.eat_token(&Token::Comma) {
                tables.push(self.deleted_table()?);
            }
            self.expect("USING")?;
            return self.delete_joined(tables, ignore);
        }
        if self.is("PARTITION") {
            return unsupported("PARTITION of DELETE");
        }
        let alias = self.alias(&["WHERE", "ORDER", "LIMIT"])?;
        let (selection, order_by, limit) = self.which_rows()?;
        Ok(Statement::Delete(Box::new(Delete { table, alias, ignore, selection, order_by, limit })))
    }

    /// WHERE, ORDER BY and LIMIT of UPDATE and DELETE.
    fn which_rows(&mut self) -> Read<(Option<Expr>, Vec<OrderByExpr>, Option<Expr>)> {
        let selection = if self.eat("WHERE") { Some(self.expr()?) } else { None };
        let mut order_by = Vec::new();
        if self.eat_all(&["ORDER", "BY"]) {
            order_by = self.list(|r| Ok(r.parser.parse_order_by_expr()?))?;
        }
        let mut limit = None;
        if self.eat("LIMIT") {
            if !matches!(self.peek(), Token::Number(..) | Token::Placeholder(_)) {
                return self.expected("the number of rows");
            }
            limit = Some(self.expr()?);
        }
        Ok((selection, order_by, limit))
    }

    pub fn load(&mut self) -> Read<Statement> {
        self.expect("LOAD")?;
        if !self.eat("DATA") {
            let Token::Word(word) = self.peek() else { return self.expected("DATA") };
            return match word.value.to_ascii_uppercase().as_str() {
                word @ ("XML" | "INDEX") => unsupported(&format!("LOAD {word}")),
                _ => self.expected("DATA"),
            };
        }
        self.eat_one_of(&["LOW_PRIORITY", "CONCURRENT"]);
        let local = self.eat("LOCAL");
        if ["S3", "GCS", "AZURE", "FS", "HDFS", "KAFKA", "STAGE"].iter().any(|word| self.is(word)) {
            return unsupported("LOAD DATA from other than a file");
        }
        self.expect("INFILE")?;
        let file = self.text()?;
        let duplicates = match self.eat_one_of(&["REPLACE", "IGNORE"]) {
            Some("REPLACE") => LoadDuplicates::Replace,
            Some(_) => LoadDuplicates::Ignore,
            None => LoadDuplicates::Error,
        };
        self.expect_all(&["INTO", "TABLE"])?;
        let table = self.table_name()?;
        if self.is("PARTITION") {
            return unsupported("PARTITION of LOAD DATA");
        }
        self.character_set_clause()?;
        let format = if self.eat("FORMAT") {
            self.expect("PARQUET")?;
            FileFormat::Parquet
        } else {
            FileFormat::Text(self.load_format()?)
        };
        let mut columns = Vec::new();
        if self.eat_token(&Token::LParen) {
            if *self.peek() != Token::RParen {
                columns = self.list(|r| {
                    if matches!(r.peek(), Token::Word(word) if word.value.starts_with('@')) {
                        return unsupported("user variables in LOAD DATA");
                    }
                    r.column_of_table()
                })?;
            }
            self.expect_token(&Token::RParen)?;
        }
        if self.is("SET") {
            return unsupported("SET in LOAD DATA");
        }
        let load = LoadData { local, file, duplicates, table, format, columns };
        Ok(Statement::LoadData(Box::new(load)))
    }

    fn load_format(&mut self) -> Read<LoadFormat> {
        let mut format = LoadFormat::default();
        self.file_fields(&mut format)?;
        self.file_lines(&mut format)?;
        check_format(&format, "LOAD DATA")?;
        if self.eat("IGNORE") {
            format.ignore_lines = self.unsigned()?;
            if !self.eat("LINES") {
                self.expect("ROWS")?;
            }
        }
        Ok(format)
    }

    pub(super) fn file_fields(&mut self, format: &mut LoadFormat) -> Read<()> {
        if !self.eat("FIELDS") && !self.eat("COLUMNS") {
            return Ok(());
        }
        let mut any = false;
        loop {
            if self.eat_all(&["TERMINATED", "BY"]) {
                format.fields_terminated = self.bytes()?;
            } else if self.are(&["OPTIONALLY", "ENCLOSED", "BY"]) || self.are(&["ENCLOSED", "BY"]) {
                format.optionally_enclosed = self.eat("OPTIONALLY");
                self.expect_all(&["ENCLOSED", "BY"])?;
                format.enclosed = single_byte(self.bytes()?)?;
            } else if self.eat_all(&["ESCAPED", "BY"]) {
                format.escaped = single_byte(self.bytes()?)?;
            } else if any {
                return Ok(());
            } else {
                return self.expected("TERMINATED BY, ENCLOSED BY or ESCAPED BY");
            }
            any = true;
        }
    }

    pub(super) fn file_lines(&mut self, format: &mut LoadFormat) -> Read<()> {
        if !self.eat("LINES") {
            return Ok(());
        }
        let mut any = false;
        loop {
            if self.eat_all(&["STARTING", "BY"]) {
                format.lines_starting = self.bytes()?;
            } else if self.eat_all(&["TERMINATED", "BY"]) {
                format.lines_terminated = self.bytes()?;
            } else if any {
                return Ok(());
            } else {
                return self.expected("STARTING BY or TERMINATED BY");
            }
            any = true;
        }
    }
}

/// ENCLOSED BY and ESCAPED BY take one character or none.
fn single_byte(bytes: Vec<u8>) -> Result<Option<u8>, SqlError> {
    match bytes.as_slice() {
        [] => Ok(None),
        [byte] => Ok(Some(*byte)),
        _ => Err(SqlError::new(
            ErrorKind::WrongArguments,
            "Field separator argument is not what is expected; check the manual: \
             ENCLOSED BY and ESCAPED BY take one character",
        )),
    }
}

/// Rows of fixed width, which MySQL means by empty terminators.
pub(super) fn check_format(format: &LoadFormat, statement: &str) -> Result<(), SqlError> {
    if format.fields_terminated.is_empty() {
        return Err(SqlError::unsupported(format_args!(
            "{statement} of fields with fixed width (FIELDS TERMINATED BY '')"
        )));
    }
    if format.lines_terminated.is_empty() {
        return Err(SqlError::unsupported("LINES TERMINATED BY ''"));
    }
    Ok(())
}
