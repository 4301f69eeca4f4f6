//! CREATE and DROP VIEW.

use super::reader::{Read, Reader, unsupported};
use crate::statement::*;
use sqlparser::tokenizer::Token;

impl Reader<'_> {
    /// CREATE VIEW, after CREATE.
    pub(super) fn create_view(&mut self) -> Read<Statement> {
        let or_replace = self.eat_all(&["OR", "REPLACE"]);
        self.view(or_replace, false)
    }

    /// ALTER VIEW, after ALTER: the view's place is taken by another.
    pub(super) fn alter_view(&mut self) -> Read<Statement> {
        self.view(true, true)
    }

    fn view(&mut self, or_replace: bool, must_exist: bool) -> Read<Statement> {
        let mut algorithm = ViewAlgorithm::Undefined;
        if self.eat("ALGORITHM") {
            self.expect_token(&Token::Eq)?;
            algorithm = match self.eat_one_of(&["UNDEFINED", "MERGE", "TEMPTABLE"]) {
                Some("MERGE") => ViewAlgorithm::Merge,
                Some("TEMPTABLE") => ViewAlgorithm::TempTable,
                Some(_) => ViewAlgorithm::Undefined,
                None => return self.expected("UNDEFINED, MERGE or TEMPTABLE"),
            };
        }
        let mut definer = None;
        if self.eat("DEFINER") {
            self.expect_token(&Token::Eq)?;
            definer = Some(self.account()?);
        }
        let mut invoker_rights = false;
        if self.eat_all(&["SQL", "SECURITY"]) {
            invoker_rights = match self.eat_one_of(&["DEFINER", "INVOKER"]) {
                Some(word) => word == "INVOKER",
                None => return self.expected("DEFINER or INVOKER"),
            };
        }
        for object in ["FUNCTION", "PROCEDURE", "TRIGGER", "EVENT", "AGGREGATE"] {
            if self.is(object) {
                return unsupported(&format!("CREATE {object}"));
            }
        }
        if or_replace && self.is("TABLE") {
            return unsupported("CREATE OR REPLACE TABLE");
        }
        self.expect("VIEW")?;
        let name = self.table_name()?;
        let mut columns = Vec::new();
        if *self.peek() == Token::LParen {
            columns = self.parenthesised(|r| r.list(Self::ident))?;
        }
        self.expect("AS")?;
        let query_from = self.parser.peek_token_ref().span.start;
        let query = self.query()?;
        if self.is("WITH") {
            return unsupported("WITH CHECK OPTION: rows cannot be changed through a view");
        }
        let query_to = self.parser.get_current_token().span.end;
        Ok(Statement::CreateView(Box::new(CreateView {
            name,
            or_replace,
            must_exist,
            columns,
            query,
            query_from,
            query_to,
            definer,
            invoker_rights,
            algorithm,
        })))
    }

    /// DROP VIEW, after DROP.
    pub(super) fn drop_view(&mut self) -> Read<Statement> {
        self.expect("VIEW")?;
        let if_exists = self.if_exists();
        let views = self.list(Self::table_name)?;
        // MySQL reads these words and does nothing with them.
        self.eat_one_of(&["RESTRICT", "CASCADE"]);
        Ok(Statement::DropView { views, if_exists })
    }
}
