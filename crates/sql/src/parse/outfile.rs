//! SELECT .. INTO OUTFILE and INTO @variable.
//!
//! MySQL takes the clause before FROM as well as at the end of a query. It holds no word that another
//! clause of a query begins with, so it is cut out of the tokens before the query is read.

use super::reader::{Read, Reader, unsupported};
use crate::statement::{FileFormat, LoadFormat, SelectInto, Statement};
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// What ends the clause if it does not stand at the end of the query.
const ENDS: &[&str] = &["FROM", "WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "FOR", "LOCK"];

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}

fn is_variable(token: &Token) -> bool {
    matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value.starts_with('@'))
}

/// Cuts `INTO OUTFILE ..`, `INTO DUMPFILE ..` or `INTO @variable, ..` of the outermost query out of a statement's tokens.
pub(super) fn cut(tokens: &mut Vec<TokenWithSpan>) -> Option<Vec<TokenWithSpan>> {
    let first = &tokens.first()?.token;
    if !["SELECT", "WITH", "TABLE", "VALUES"].iter().any(|word| is_word(first, word))
        && *first != Token::LParen
    {
        return None;
    }
    let mut depth = 0usize;
    let mut from = None;
    for (at, TokenWithSpan { token, .. }) in tokens.iter().enumerate() {
        match token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            _ if from.is_none() => {
                let next = tokens.get(at + 1).map(|next| &next.token);
                let names_target = next.is_some_and(|next| {
                    is_word(next, "OUTFILE") || is_word(next, "DUMPFILE") || is_variable(next)
                });
                if is_word(token, "INTO") && names_target {
                    from = Some(at);
                }
            }
            Token::SemiColon | Token::EOF => return Some(tokens.drain(from?..at).collect()),
            token if ENDS.iter().any(|word| is_word(token, word)) => {
                return Some(tokens.drain(from?..at).collect());
            }
            _ => {}
        }
    }
    from.map(|from| tokens.split_off(from))
}

impl Reader<'_> {
    /// The clause that [`cut`] found, for the statement that it was cut out of.
    pub fn outfile_clause(&mut self, statement: Statement) -> Read<Statement> {
        self.expect("INTO")?;
        let Statement::Query(query) = statement else { return self.expected("a query before INTO") };
        if !self.is("OUTFILE") && !self.is("DUMPFILE") {
            let variables = self.list(|r| match r.user_variable() {
                Some(variable) => Ok(variable),
                None => r.expected("a user variable"),
            })?;
            return Ok(Statement::SelectIntoVariables { query, variables });
        }
        if self.eat("DUMPFILE") {
            return unsupported("SELECT .. INTO DUMPFILE");
        }
        self.expect("OUTFILE")?;
        let file = self.text()?;
        self.character_set_clause()?;
        let format = if self.eat("FORMAT") {
            self.expect("PARQUET")?;
            FileFormat::Parquet
        } else {
            let mut format = LoadFormat::default();
            self.file_fields(&mut format)?;
            self.file_lines(&mut format)?;
            super::data::check_format(&format, "SELECT .. INTO OUTFILE")?;
            FileFormat::Text(format)
        };
        Ok(Statement::SelectInto(Box::new(SelectInto { query, file, format })))
    }
}
