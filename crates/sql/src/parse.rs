//! Text to statements.
//!
//! Statements are read here, by MySQL's grammar; queries and expressions by sqlparser with
//! [`PandoDialect`]. Errors are MySQL's 1064 with the text from the offending token on.

mod chains;
mod cluster;
mod create;
mod data;
mod diagnostics;
pub mod lexer;
mod outfile;
pub(crate) mod reader;
mod reserved;
mod session;
mod show;
mod split;
mod table_locks;
#[cfg(test)]
mod tests;
mod users;
mod views;

use crate::dialect::PandoDialect;
use crate::statement::Statement;
use reader::{Fail, Reader};
use sqlparser::parser::ParserError;
use sqlparser::tokenizer::TokenWithSpan;
use types::{ErrorKind, SqlError, SqlType};

pub use reserved::RESERVED;
pub use split::split;

/// How deep expressions and queries may nest.
const DEPTH: usize = 300;
/// How much of the text an error quotes.
const NEAR: usize = 80;

/// A statement and what a client that prepares it wants to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    pub statement: Statement,
    /// The number of placeholders `?`.
    pub parameters: usize,
}

/// Parses one statement, with or without a semicolon after it.
pub fn parse_one(text: &str) -> Result<Parsed, SqlError> {
    let mut lexed = lexer::lex(text)
        .map_err(|e| syntax_error(text, e.offset, Some(&format!("expected {}", e.expected))))?;
    let parameters = lexed.parameters;
    let into = outfile::cut(&mut lexed.tokens);
    let dialect = dialect_for(&lexed.tokens)?;
    let mut reader = Reader::new(&dialect, text, lexed.tokens, DEPTH);
    if reader.at_end() {
        return Err(SqlError::new(ErrorKind::EmptyQuery, "Query was empty"));
    }
    let mut statement = reader.statement().and_then(|statement| reader.end().map(|()| statement));
    if let Some(tokens) = into {
        let mut reader = Reader::new(&dialect, text, tokens, DEPTH);
        statement = statement
            .and_then(|statement| reader.outfile_clause(statement))
            .and_then(|statement| reader.end().map(|()| statement));
    }
    Ok(Parsed { statement: statement.map_err(|fail| fail_to_error(text, &dialect, fail))?, parameters })
}

/// Parses all statements of a text. They stand or fall together; a server that answers one after the
/// other uses [`fn@split`] and [`parse_one`].
pub fn parse(text: &str) -> Result<Vec<Statement>, SqlError> {
    split(text).into_iter().map(|piece| parse_one(piece).map(|parsed| parsed.statement)).collect()
}

/// Parses one expression, as in a WHERE of ours.
pub fn parse_expr(text: &str) -> Result<sqlparser::ast::Expr, SqlError> {
    let lexed = lexer::lex(text)
        .map_err(|e| syntax_error(text, e.offset, Some(&format!("expected {}", e.expected))))?;
    let dialect = dialect_for(&lexed.tokens)?;
    let mut reader = Reader::new(&dialect, text, lexed.tokens, DEPTH);
    reader
        .expr()
        .and_then(|expr| reader.end().map(|()| expr))
        .map_err(|fail| fail_to_error(text, &dialect, fail))
}

/// Parses the type of a column that is declared in a query.
pub(crate) fn parse_type(text: &str, column: &str) -> Result<SqlType, SqlError> {
    let lexed = lexer::lex(text)
        .map_err(|e| syntax_error(text, e.offset, Some(&format!("expected {}", e.expected))))?;
    let dialect = dialect_for(&lexed.tokens)?;
    let mut reader = Reader::new(&dialect, text, lexed.tokens, DEPTH);
    let declared = reader.column_type(column).and_then(|declared| reader.end().map(|()| declared));
    match declared.map_err(|fail| fail_to_error(text, &dialect, fail))? {
        declared if declared.serial || declared.binary => Err(SqlError::unsupported(format_args!(
            "the type {text} of a column that is declared in a query"
        ))),
        declared => Ok(declared.ty),
    }
}

fn dialect_for(tokens: &[TokenWithSpan]) -> Result<PandoDialect, SqlError> {
    if chains::readings(tokens) > chains::MOST_READINGS {
        return Err(too_many_steps());
    }
    match chains::measure(tokens) {
        chains::Chains::Short => Ok(PandoDialect::new(tokens.len(), false)),
        chains::Chains::Logical => Ok(PandoDialect::new(tokens.len(), true)),
        chains::Chains::TooLong => Err(too_deep(chains::LONGEST as usize)),
        chains::Chains::TooManyUnions => Err(too_deep(chains::MOST_UNIONS as usize)),
    }
}

fn too_deep(levels: usize) -> SqlError {
    SqlError::new(
        ErrorKind::ParseError,
        format!("The statement nests deeper than {levels} levels; make it flatter"),
    )
}

fn too_many_steps() -> SqlError {
    SqlError::new(
        ErrorKind::CapacityExceeded,
        "The statement takes too many steps to read; look for a mistake in what nests deepest, or make it flatter",
    )
}

fn fail_to_error(text: &str, dialect: &PandoDialect, fail: Fail) -> SqlError {
    if dialect.is_spent() {
        return too_many_steps();
    }
    match fail {
        Fail::Sql(error) => error,
        Fail::Parser(ParserError::RecursionLimitExceeded) => too_deep(DEPTH),
        Fail::Parser(ParserError::TokenizerError(message) | ParserError::ParserError(message)) => {
            let (message, offset) = cut_location(text, &message);
            let hint = message.strip_prefix("Expected: ").map(|rest| {
                let expected = rest.split(", found: ").next().unwrap_or(rest);
                format!("expected {expected}")
            });
            let hint = hint.unwrap_or_else(|| message.trim_end_matches('.').to_string());
            syntax_error(text, offset, Some(&hint))
        }
    }
}

/// Parts sqlparser's message from the location that it ends with; no location means the end of the text.
fn cut_location<'a>(text: &str, message: &'a str) -> (&'a str, usize) {
    let parsed = message.rsplit_once(" at Line: ").and_then(|(head, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        let (line, column) = (line.parse().ok()?, column.parse().ok()?);
        Some((head, if line == 0 { text.len() } else { lexer::offset_of(text, line, column) }))
    });
    parsed.unwrap_or((message, text.len()))
}

/// MySQL's 1064. `offset`: where the offending token begins.
pub fn syntax_error(text: &str, offset: usize, hint: Option<&str>) -> SqlError {
    // A location inside of a character would be ours to mend, not a reason to fail.
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let near: String = text[offset..].chars().take(NEAR).collect();
    let line = 1 + memchr::memchr_iter(b'\n', &text.as_bytes()[..offset]).count();
    let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    SqlError::new(
        ErrorKind::ParseError,
        format!(
            "You have an error in your SQL syntax; check the manual that corresponds to your Pando version \
             for the right syntax to use near '{near}' at line {line}{hint}"
        ),
    )
}
