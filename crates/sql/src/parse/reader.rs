//! A cursor over tokens with the words of MySQL's grammar. Words are compared without case; a
//! quoted word is never a keyword.

use super::lexer::offset_of;
use super::reserved::is_reserved;
use crate::statement::{Statement, TableName};
use sqlparser::ast::{self, Expr, Ident};
use sqlparser::dialect::Dialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Word};
use types::SqlError;

/// A syntax error, whose place is in its text, or one that is MySQL's already.
#[derive(Debug)]
pub enum Fail {
    Parser(ParserError),
    Sql(SqlError),
}

impl From<ParserError> for Fail {
    fn from(error: ParserError) -> Fail {
        Fail::Parser(error)
    }
}

impl From<SqlError> for Fail {
    fn from(error: SqlError) -> Fail {
        Fail::Sql(error)
    }
}

pub type Read<T> = Result<T, Fail>;

pub struct Reader<'a> {
    pub parser: Parser<'a>,
    text: &'a str,
}

/// The statement or clause exists in MySQL and not here yet.
pub fn unsupported<T>(what: &str) -> Read<T> {
    Err(Fail::Sql(SqlError::unsupported(what)))
}

impl<'a> Reader<'a> {
    /// `text`: what the tokens were read from.
    pub fn new(
        dialect: &'a dyn Dialect,
        text: &'a str,
        tokens: Vec<TokenWithSpan>,
        depth: usize,
    ) -> Reader<'a> {
        let parser = Parser::new(dialect).with_tokens_with_locations(tokens).with_recursion_limit(depth);
        Reader { parser, text }
    }

    /// An expression in parentheses, as written between them.
    pub fn expr_text(&mut self) -> Read<String> {
        self.expect_token(&Token::LParen)?;
        let from = self.parser.peek_token_ref().span.start;
        self.expr()?;
        let to = self.parser.get_current_token().span.end;
        self.expect_token(&Token::RParen)?;
        let offset = |at: Location| offset_of(self.text, at.line, at.column);
        Ok(self.text.get(offset(from)..offset(to)).unwrap_or_default().to_string())
    }

    pub fn peek(&self) -> &Token {
        &self.parser.peek_token_ref().token
    }

    pub fn peek_nth(&self, n: usize) -> &Token {
        &self.parser.peek_nth_token_ref(n).token
    }

    pub fn at_end(&self) -> bool {
        matches!(self.peek(), Token::EOF | Token::SemiColon)
    }

    /// Takes the end of the statement.
    pub fn end(&mut self) -> Read<()> {
        while self.parser.consume_token(&Token::SemiColon) {}
        match self.peek() {
            Token::EOF => Ok(()),
            Token::Word(word) if word.quote_style.is_none() => {
                let near = misspelt(&word.value, CLAUSES);
                self.expected(&format!("the end of the statement{near}"))
            }
            _ => self.expected("the end of the statement"),
        }
    }

    pub fn expected<T>(&self, what: &str) -> Read<T> {
        Ok(self.parser.expected_ref(what, self.parser.peek_token_ref())?)
    }

    pub fn is_word_nth(&self, n: usize, word: &str) -> bool {
        matches!(self.peek_nth(n), Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
    }

    pub fn is(&self, word: &str) -> bool {
        self.is_word_nth(0, word)
    }

    /// Whether these words come next.
    pub fn are(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(n, word)| self.is_word_nth(n, word))
    }

    /// Takes a word if it comes next.
    pub fn eat(&mut self, word: &str) -> bool {
        let found = self.is(word);
        if found {
            self.parser.advance_token();
        }
        found
    }

    /// Takes these words if all of them come next.
    pub fn eat_all(&mut self, words: &[&str]) -> bool {
        let found = self.are(words);
        if found {
            words.iter().for_each(|_| self.parser.advance_token());
        }
        found
    }

    /// Takes the first of these words that comes next.
    pub fn eat_one_of<'w>(&mut self, words: &[&'w str]) -> Option<&'w str> {
        words.iter().copied().find(|word| self.eat(word))
    }

    pub fn expect(&mut self, word: &str) -> Read<()> {
        if self.eat(word) { Ok(()) } else { self.expected(word) }
    }

    pub fn expect_all(&mut self, words: &[&str]) -> Read<()> {
        words.iter().try_for_each(|word| self.expect(word))
    }

    pub fn eat_token(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    pub fn expect_token(&mut self, token: &Token) -> Read<()> {
        if self.eat_token(token) { Ok(()) } else { self.expected(&token.to_string()) }
    }

    pub fn eat_equals(&mut self) -> bool {
        self.eat_token(&Token::Eq)
    }

    /// A list with commas between its items, at least one.
    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.eat_token(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    pub fn parenthesised<T>(&mut self, mut inner: impl FnMut(&mut Self) -> Read<T>) -> Read<T> {
        self.expect_token(&Token::LParen)?;
        let value = inner(self)?;
        self.expect_token(&Token::RParen)?;
        Ok(value)
    }

    fn next_word(&mut self, word: Word) -> Ident {
        let span = self.parser.peek_token_ref().span;
        self.parser.advance_token();
        word.into_ident(span)
    }

    /// A name: quoted, or unquoted and no reserved word.
    pub fn ident(&mut self) -> Read<Ident> {
        match self.peek() {
            Token::Word(word) if word.quote_style.is_some() && word.value.is_empty() => {
                self.expected("a name that is not empty")
            }
            Token::Word(word)
                if word.quote_style.is_some()
                    || (!word.value.starts_with('@') && !is_reserved(&word.value)) =>
            {
                let word = word.clone();
                Ok(self.next_word(word))
            }
            _ => self.expected("a name"),
        }
    }

    /// A name after a period may be a reserved word.
    fn qualified_ident(&mut self) -> Read<Ident> {
        match self.peek() {
            Token::Word(word) if !word.value.starts_with('@') => {
                let word = word.clone();
                Ok(self.next_word(word))
            }
            _ => self.expected("a name"),
        }
    }

    pub fn name(&mut self) -> Read<String> {
        self.ident().map(|ident| ident.value)
    }

    /// Any unquoted word, reserved or not.
    pub fn any_word(&mut self) -> Read<String> {
        match self.peek() {
            Token::Word(word) if word.quote_style.is_none() => {
                let value = word.value.clone();
                self.parser.advance_token();
                Ok(value)
            }
            _ => self.expected("a word"),
        }
    }

    /// A name or a string, as for character sets and engines.
    pub fn name_or_text(&mut self) -> Read<String> {
        match self.peek() {
            Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => self.text(),
            // BINARY is the name of a character set.
            Token::Word(word) if !word.value.starts_with('@') => {
                let value = word.value.clone();
                self.parser.advance_token();
                Ok(value)
            }
            _ => self.expected("a name"),
        }
    }

    /// `name` or `name.name`, with all parts.
    pub fn qualified(&mut self) -> Read<Vec<Ident>> {
        let mut parts = vec![self.ident()?];
        while self.eat_token(&Token::Period) {
            parts.push(self.qualified_ident()?);
        }
        Ok(parts)
    }

    pub fn table_name(&mut self) -> Read<TableName> {
        let first = self.name()?;
        if !self.eat_token(&Token::Period) {
            return Ok(TableName { database: None, name: first });
        }
        Ok(TableName { database: Some(first), name: self.qualified_ident()?.value })
    }

    /// A string literal.
    pub fn text(&mut self) -> Read<String> {
        match self.peek() {
            Token::SingleQuotedString(text)
            | Token::DoubleQuotedString(text)
            | Token::NationalStringLiteral(text) => {
                let mut text = text.clone();
                self.parser.advance_token();
                while let Token::SingleQuotedString(more) | Token::DoubleQuotedString(more) = self.peek() {
                    text.push_str(more);
                    self.parser.advance_token();
                }
                Ok(text)
            }
            _ => self.expected("a string"),
        }
    }

    /// A string literal that may be written in hexadecimal, as bytes.
    pub fn bytes(&mut self) -> Read<Vec<u8>> {
        if let Token::HexStringLiteral(digits) = self.peek() {
            let bytes = hex_bytes(digits);
            self.parser.advance_token();
            return Ok(bytes);
        }
        self.text().map(String::into_bytes)
    }

    /// An integer without a sign.
    pub fn unsigned(&mut self) -> Read<u64> {
        if let Token::Number(digits, _) = self.peek()
            && let Ok(value) = digits.parse()
        {
            self.parser.advance_token();
            return Ok(value);
        }
        self.expected("an integer")
    }

    pub fn unsigned_u32(&mut self) -> Read<u32> {
        if let Token::Number(digits, _) = self.peek()
            && let Ok(value) = digits.parse()
        {
            self.parser.advance_token();
            return Ok(value);
        }
        self.expected("an integer")
    }

    pub fn expr(&mut self) -> Read<Expr> {
        Ok(self.parser.parse_expr()?)
    }

    /// A query, with what MySQL allows after one.
    pub fn query(&mut self) -> Read<Box<ast::Query>> {
        let mut query = self.parser.parse_query()?;
        if self.eat_all(&["LOCK", "IN", "SHARE", "MODE"]) {
            query.locks.push(ast::LockClause { lock_type: ast::LockType::Share, of: None, nonblock: None });
        }
        if matches!(
            *query.body,
            ast::SetExpr::Insert(_)
                | ast::SetExpr::Update(_)
                | ast::SetExpr::Delete(_)
                | ast::SetExpr::Merge(_)
        ) {
            return unsupported("WITH before INSERT, UPDATE or DELETE");
        }
        Ok(query)
    }

    pub fn if_exists(&mut self) -> bool {
        self.eat_all(&["IF", "EXISTS"])
    }

    pub fn if_not_exists(&mut self) -> bool {
        self.eat_all(&["IF", "NOT", "EXISTS"])
    }

    pub fn statement(&mut self) -> Read<Statement> {
        let word = match self.peek() {
            Token::LParen => return self.query().map(Statement::Query),
            Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
            _ => return self.expected("a statement"),
        };
        match word.as_str() {
            "SELECT" | "WITH" | "VALUES" | "TABLE" => self.query().map(Statement::Query),
            "INSERT" | "REPLACE" => self.insert(),
            "UPDATE" => self.update(),
            "DELETE" => self.delete(),
            "LOAD" => self.load(),
            "DO" => {
                self.parser.advance_token();
                self.list(Self::expr).map(Statement::Do)
            }
            "TRUNCATE" => self.truncate(),
            "CREATE" => self.create(),
            "DROP" => self.drop_object(),
            "ALTER" => self.alter(),
            "ANALYZE" | "OPTIMIZE" | "CHECK" | "CHECKSUM" => self.maintain(),
            "RENAME" => self.rename_tables(),
            "USE" => {
                self.parser.advance_token();
                self.name().map(Statement::Use)
            }
            "SHOW" => self.show(),
            "DESCRIBE" | "DESC" | "EXPLAIN" => self.explain(),
            "PROFILE" => self.profile(),
            "BEGIN" | "START" => self.begin(),
            "COMMIT" => self.commit(),
            "ROLLBACK" => self.rollback(),
            "SAVEPOINT" | "RELEASE" => self.savepoint(),
            "SET" => self.set(),
            "PREPARE" => self.prepare(),
            "EXECUTE" => self.execute(),
            "DEALLOCATE" => self.deallocate(),
            "KILL" => self.kill(),
            "ADD" => self.add_leaf(),
            "REMOVE" => self.remove_leaf(),
            "FLUSH" => self.flush(),
            "GRANT" => self.grant(),
            "REVOKE" => self.revoke(),
            "GET" => self.get_diagnostics(),
            "LOCK" => self.lock_tables(),
            "UNLOCK" => self.unlock_tables(),
            "REPAIR" => unsupported(&format!("{word} TABLE")),
            "HANDLER" | "CALL" | "XA" | "RESET" | "SIGNAL" | "RESIGNAL" | "INSTALL" | "UNINSTALL"
            | "CACHE" | "PURGE" | "CHANGE" | "STOP" | "BACKUP" | "RESTORE" | "REBALANCE" | "BINLOG"
            | "SHUTDOWN" | "CLONE" | "IMPORT" | "HELP" => unsupported(&word),
            _ => self.expected(&format!("a statement{}", misspelt(&word, STATEMENTS))),
        }
    }
}

/// What statements begin with.
const STATEMENTS: &[&str] = &[
    "SELECT",
    "INSERT",
    "REPLACE",
    "UPDATE",
    "DELETE",
    "CREATE",
    "ALTER",
    "DROP",
    "TRUNCATE",
    "SHOW",
    "DESCRIBE",
    "EXPLAIN",
    "USE",
    "SET",
    "BEGIN",
    "START",
    "COMMIT",
    "ROLLBACK",
    "LOAD",
    "GRANT",
    "REVOKE",
    "PREPARE",
    "EXECUTE",
    "DEALLOCATE",
    "KILL",
    "ANALYZE",
    "OPTIMIZE",
    "WITH",
    "VALUES",
    "TABLE",
];

/// What the clauses of a statement begin with.
const CLAUSES: &[&str] = &[
    "FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "JOIN", "INNER", "LEFT", "RIGHT", "CROSS", "UNION",
    "VALUES", "USING", "WINDOW",
];

/// `; did you mean FROM?`, if the word looks like a slip for one of these.
fn misspelt(word: &str, known: &[&'static str]) -> String {
    match crate::query::nearest(word, known.iter().copied()) {
        Some(near) if word.len() > 2 => format!("; did you mean {near}?"),
        _ => String::new(),
    }
}

/// The bytes of an even number of hexadecimal digits, which the lexer has checked.
pub fn hex_bytes(digits: &str) -> Vec<u8> {
    let value = |digit: u8| (digit as char).to_digit(16).unwrap_or(0) as u8;
    digits.as_bytes().chunks_exact(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect()
}
