//! Options of tables, and character sets and collations wherever they stand.

use crate::charset::{self, Known};
use crate::parse::reader::{Read, Reader, unsupported};
use crate::statement::CreateTable;
use sqlparser::tokenizer::Token;
use types::{Collation, ErrorKind, SqlError};

impl Reader<'_> {
    pub(super) fn table_options(&mut self, table: &mut CreateTable) -> Read<()> {
        loop {
            let default = self.is("DEFAULT")
                && ["CHARACTER", "CHARSET", "COLLATE"].iter().any(|w| self.is_word_nth(1, w));
            if default {
                self.expect("DEFAULT")?;
            }
            if self.character_set_clause()? {
            } else if let Some(collation) = self.collate_clause()? {
                table.collation = Some(collation);
            } else if self.eat("AUTO_INCREMENT") {
                self.eat_equals();
                table.auto_increment = Some(self.unsigned()?);
            } else if self.eat("COMMENT") {
                self.eat_equals();
                table.comment = self.text()?;
            } else if let Some(option) = self.eat_one_of(&["ENGINE", "ROW_FORMAT", "KEY_BLOCK_SIZE"]) {
                self.eat_equals();
                let value = match self.peek() {
                    Token::Number(..) => self.unsigned()?.to_string(),
                    _ => self.name_or_text()?,
                };
                table.accepted.push(format!("{option} = {value}"));
            } else if let Token::Word(word) = self.peek() {
                let word = word.value.to_ascii_uppercase();
                if is_other_option(&word) {
                    return unsupported(&format!("the table option {word}"));
                }
                return Ok(());
            } else if !self.eat_token(&Token::Comma) {
                return Ok(());
            }
        }
    }

    /// CHARACTER SET [=] name. Tells whether there was one; only UTF-8 passes.
    pub(crate) fn character_set_clause(&mut self) -> Read<bool> {
        if !self.eat_all(&["CHARACTER", "SET"]) && !self.eat_all(&["CHAR", "SET"]) && !self.eat("CHARSET") {
            return Ok(false);
        }
        self.eat_equals();
        let name = self.name_or_text()?;
        match charset::known(&name) {
            Known::Utf8 => Ok(true),
            Known::Other => unsupported(&format!("the character set {name}: only utf8mb4 is there")),
            Known::No => {
                Err(SqlError::new(ErrorKind::UnknownCharacterSet, format!("Unknown character set: '{name}'"))
                    .into())
            }
        }
    }

    /// COLLATE [=] name. `None`: no such clause.
    pub(crate) fn collate_clause(&mut self) -> Read<Option<Collation>> {
        if !self.eat("COLLATE") {
            return Ok(None);
        }
        self.eat_equals();
        let name = self.name_or_text()?;
        Ok(Some(charset::collation(&name)?))
    }
}

/// Options of MySQL and SingleStore that would mean something.
fn is_other_option(word: &str) -> bool {
    matches!(
        word,
        "AUTOEXTEND_SIZE"
            | "AUTOSTATS_CARDINALITY_MODE"
            | "AUTOSTATS_ENABLED"
            | "AUTOSTATS_HISTOGRAM_MODE"
            | "AUTOSTATS_SAMPLING"
            | "AVG_ROW_LENGTH"
            | "CHECKSUM"
            | "COMPRESSION"
            | "CONNECTION"
            | "DATA"
            | "DELAY_KEY_WRITE"
            | "ENCRYPTION"
            | "INDEX"
            | "INSERT_METHOD"
            | "MAX_ROWS"
            | "MIN_ROWS"
            | "PACK_KEYS"
            | "PASSWORD"
            | "SECONDARY_ENGINE"
            | "STATS_AUTO_RECALC"
            | "STATS_PERSISTENT"
            | "STATS_SAMPLE_PAGES"
            | "TABLESPACE"
            | "UNION"
    )
}
