//! Columns and keys of CREATE TABLE.

use crate::parse::reader::{Read, Reader, hex_bytes, unsupported};
use crate::statement::{
    ColumnSpec, CreateTable, DefaultSpec, FOREIGN_KEY, ForeignKeySpec, GeneratedSpec, KEY_COMMENT, KeyKind,
    KeySpec,
};
use sqlparser::ast::Ident;
use sqlparser::tokenizer::Token;
use types::{ReferentialAction, SqlType};

impl Reader<'_> {
    pub(super) fn column_spec(&mut self, accepted: &mut Vec<String>) -> Read<ColumnSpec> {
        let name = self.ident()?;
        // SingleStore's `name AS expression PERSISTED type`.
        let mut generated = None;
        if self.eat("AS") {
            let expression = self.expr_text()?;
            self.expect("PERSISTED")?;
            generated = Some(GeneratedSpec { expression, stored: true });
        }
        let declared = self.column_type(&name.value)?;
        let mut column = ColumnSpec {
            name,
            ty: declared.ty,
            collation: declared.binary.then_some(types::Collation::Bytes),
            nullable: declared.serial.then_some(false),
            default: None,
            auto_increment: declared.serial,
            on_update_now: false,
            primary: false,
            unique: declared.serial,
            generated,
            checks: Vec::new(),
            comment: String::new(),
        };
        // FIRST and AFTER are ALTER TABLE's.
        while !matches!(self.peek(), Token::Comma | Token::RParen | Token::SemiColon | Token::EOF)
            && !self.is("FIRST")
            && !self.is("AFTER")
        {
            self.column_attribute(&mut column, accepted)?;
        }
        Ok(column)
    }

    fn column_attribute(&mut self, column: &mut ColumnSpec, accepted: &mut Vec<String>) -> Read<()> {
        if self.eat_all(&["NOT", "NULL"]) {
            column.nullable = Some(false);
        } else if self.eat("NULL") {
            column.nullable = Some(true);
        } else if self.eat("DEFAULT") {
            column.default = Some(match self.hex_bits(column.ty) {
                Some(number) => DefaultSpec::Literal { text: number.to_string(), is_string: false },
                None => self.default_value()?,
            });
        } else if self.eat_all(&["ON", "UPDATE"]) {
            if self.current_timestamp()?.is_none() {
                return self.expected("CURRENT_TIMESTAMP");
            }
            column.on_update_now = true;
        } else if self.eat("AUTO_INCREMENT") {
            column.auto_increment = true;
        } else if self.eat_all(&["SERIAL", "DEFAULT", "VALUE"]) {
            column.nullable = Some(false);
            column.auto_increment = true;
            column.unique = true;
        } else if self.eat("UNIQUE") {
            self.eat("KEY");
            column.unique = true;
        } else if self.eat_all(&["PRIMARY", "KEY"]) || self.eat("KEY") {
            column.primary = true;
        } else if self.eat("COMMENT") {
            column.comment = self.text()?;
        } else if self.character_set_clause()? || self.eat("VISIBLE") {
        } else if let Some(collation) = self.collate_clause()? {
            column.collation = Some(collation);
        } else if self.eat("COLUMN_FORMAT") || self.eat("STORAGE") {
            let word = self.any_word()?;
            accepted.push(format!("COLUMN_FORMAT or STORAGE {word}"));
        } else if self.is("GENERATED") || self.is("AS") {
            if self.eat("GENERATED") {
                self.expect("ALWAYS")?;
            }
            self.expect("AS")?;
            let expression = self.expr_text()?;
            let stored = match self.eat_one_of(&["STORED", "PERSISTENT", "PERSISTED", "VIRTUAL"]) {
                Some(word) => word != "VIRTUAL",
                None => false,
            };
            column.generated = Some(GeneratedSpec { expression, stored });
        } else if self.is("CHECK") || self.is("CONSTRAINT") {
            let mut name = None;
            if self.eat("CONSTRAINT") && !self.is("CHECK") {
                name = Some(self.name()?);
            }
            let Some(check) = self.check(name)? else { return self.expected("CHECK") };
            column.checks.push(check);
        } else if self.is("REFERENCES") {
            return unsupported("FOREIGN KEY");
        } else if self.is("INVISIBLE") || self.is("SRID") || self.is("SPARSE") || self.is("SERIES") {
            let word = self.any_word()?;
            return unsupported(&format!("the column attribute {word}"));
        } else {
            return self.expected("a column attribute, ',' or ')'");
        }
        Ok(())
    }

    /// CURRENT_TIMESTAMP and its other names, with the number of fractional digits.
    fn current_timestamp(&mut self) -> Read<Option<u8>> {
        let word = self.eat_one_of(&["CURRENT_TIMESTAMP", "NOW", "LOCALTIME", "LOCALTIMESTAMP"]);
        let Some(word) = word else { return Ok(None) };
        if word != "NOW" && *self.peek() != Token::LParen {
            return Ok(Some(0));
        }
        let fsp = self.parenthesised(|r| if *r.peek() == Token::RParen { Ok(0) } else { r.unsigned() })?;
        Ok(Some(fsp.min(u64::from(u8::MAX)) as u8))
    }

    /// The number of a hexadecimal default of a BIT.
    fn hex_bits(&mut self, ty: SqlType) -> Option<u64> {
        let Token::HexStringLiteral(digits) = self.peek() else { return None };
        let number = matches!(ty, SqlType::Bit(_)).then(|| types::bits::number(&hex_bytes(digits)))??;
        self.parser.advance_token();
        Some(number)
    }

    pub(super) fn default_value(&mut self) -> Read<DefaultSpec> {
        if let Some(fsp) = self.current_timestamp()? {
            return Ok(DefaultSpec::CurrentTimestamp { fsp });
        }
        if self.eat("NULL") {
            return Ok(DefaultSpec::Null);
        }
        if self.eat("TRUE") {
            return Ok(DefaultSpec::Literal { text: "1".into(), is_string: false });
        }
        if self.eat("FALSE") {
            return Ok(DefaultSpec::Literal { text: "0".into(), is_string: false });
        }
        if *self.peek() == Token::LParen {
            return self.expr_text().map(DefaultSpec::Expression);
        }
        if matches!(self.peek_nth(1), Token::SingleQuotedString(_) | Token::DoubleQuotedString(_)) {
            // DATE '2024-01-01', and _utf8mb4'text'.
            let word = self.any_word()?;
            if !["DATE", "TIME", "TIMESTAMP", "_UTF8MB4", "_UTF8"]
                .contains(&word.to_ascii_uppercase().as_str())
            {
                return unsupported(&format!("a default written with {word}"));
            }
        }
        let negative = self.eat_token(&Token::Minus);
        let sign = if negative { "-" } else { "" };
        if !negative {
            self.eat_token(&Token::Plus);
        }
        match self.peek() {
            Token::Number(digits, _) => {
                let text = format!("{sign}{digits}");
                self.parser.advance_token();
                Ok(DefaultSpec::Literal { text, is_string: false })
            }
            Token::SingleQuotedByteStringLiteral(digits) if !negative => {
                let Ok(value) = u64::from_str_radix(digits, 2) else {
                    return self.expected("a literal of at most 64 bits");
                };
                self.parser.advance_token();
                Ok(DefaultSpec::Literal { text: value.to_string(), is_string: false })
            }
            Token::HexStringLiteral(digits) if !negative => {
                let Ok(text) = String::from_utf8(hex_bytes(digits)) else {
                    return unsupported("a hexadecimal default that is not UTF-8");
                };
                self.parser.advance_token();
                Ok(DefaultSpec::Literal { text, is_string: true })
            }
            Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) | Token::NationalStringLiteral(_)
                if !negative =>
            {
                self.text().map(|text| DefaultSpec::Literal { text, is_string: true })
            }
            _ => self.expected("a literal"),
        }
    }

    /// `FOREIGN KEY [name] (columns) REFERENCES table (columns)`. What would change rows by itself is refused; the
    /// rest is not enforced, which `accepted` says.
    pub(super) fn foreign_key(
        &mut self,
        constraint: Option<String>,
        accepted: &mut Vec<String>,
    ) -> Read<ForeignKeySpec> {
        let mut name = constraint.clone();
        self.expect("FOREIGN")?;
        self.expect("KEY")?;
        if *self.peek() != Token::LParen {
            let own = self.name()?;
            name.get_or_insert(own);
        }
        let columns = self.parenthesised(|r| r.list(Self::ident))?;
        self.expect("REFERENCES")?;
        let table = self.table_name()?;
        let referenced = self.parenthesised(|r| r.list(Self::ident))?;
        if self.eat("MATCH") {
            self.any_word()?;
        }
        let (mut on_delete, mut on_update) = Default::default();
        while self.eat("ON") {
            let what = self.any_word()?;
            for action in [&["CASCADE"][..], &["SET", "NULL"], &["SET", "DEFAULT"]] {
                if self.are(action) {
                    return unsupported(&format!(
                        "FOREIGN KEY .. ON {} {}",
                        what.to_ascii_uppercase(),
                        action.join(" ")
                    ));
                }
            }
            let action = if self.eat("RESTRICT") {
                ReferentialAction::Restrict
            } else if self.eat_all(&["NO", "ACTION"]) {
                ReferentialAction::NoAction
            } else {
                return self.expected("RESTRICT or NO ACTION");
            };
            match what.to_ascii_uppercase().as_str() {
                "DELETE" => on_delete = action,
                "UPDATE" => on_update = action,
                _ => return self.expected("ON DELETE or ON UPDATE"),
            }
        }
        accepted.push(match &name {
            Some(name) => format!("{FOREIGN_KEY} {name}"),
            None => FOREIGN_KEY.to_string(),
        });
        let key = KeySpec { kind: KeyKind::Plain, name, columns };
        Ok(ForeignKeySpec { key, constraint, table, referenced, on_delete, on_update })
    }

    /// What follows the words of a key: name, USING, columns, options.
    pub(super) fn key(
        &mut self,
        mut kind: KeyKind,
        mut name: Option<String>,
        table: &mut CreateTable,
    ) -> Read<KeySpec> {
        if *self.peek() != Token::LParen && !self.is("USING") {
            name = Some(self.name()?);
        }
        self.key_algorithm(table)?;
        self.expect_token(&Token::LParen)?;
        let mut columns = Vec::new();
        let may_be_empty = matches!(kind, KeyKind::Shard | KeyKind::Sort);
        if !(may_be_empty && *self.peek() == Token::RParen) {
            columns = self.list(|r| r.key_column(kind, table))?;
        }
        self.expect_token(&Token::RParen)?;
        loop {
            if self.eat_all(&["USING", "CLUSTERED", "COLUMNSTORE"]) {
                kind = KeyKind::Sort;
            } else if self.is("USING") {
                self.key_algorithm(table)?;
            } else if self.eat("COMMENT") {
                self.text()?;
                table.accepted.push(match &name {
                    Some(name) => format!("{KEY_COMMENT} {name}"),
                    None => KEY_COMMENT.to_string(),
                });
            } else if self.eat("KEY_BLOCK_SIZE") {
                self.eat_equals();
                let size = self.unsigned()?;
                table.accepted.push(format!("KEY_BLOCK_SIZE = {size}"));
            } else if self.eat("VISIBLE") {
            } else if self.is("INVISIBLE") {
                return unsupported("INVISIBLE keys");
            } else if self.is("WITH") || self.is("METADATA_ONLY") || self.is("UNENFORCED") {
                return unsupported("options of keys");
            } else {
                return Ok(KeySpec { kind, name, columns });
            }
        }
    }

    /// USING BTREE or HASH.
    fn key_algorithm(&mut self, table: &mut CreateTable) -> Read<()> {
        if self.eat("USING") || self.eat("TYPE") {
            match self.eat_one_of(&["BTREE", "HASH"]) {
                Some(word) => table.accepted.push(format!("USING {word}")),
                None => return self.expected("BTREE or HASH"),
            }
        }
        Ok(())
    }

    fn key_column(&mut self, kind: KeyKind, table: &mut CreateTable) -> Read<Ident> {
        if *self.peek() == Token::LParen {
            return unsupported("keys on expressions");
        }
        let name = self.ident()?;
        if self.eat_token(&Token::LParen) {
            let length = self.unsigned()?;
            self.expect_token(&Token::RParen)?;
            if kind != KeyKind::Plain {
                return unsupported("key prefixes other than in KEY");
            }
            table.accepted.push(format!("prefix of {length} of the key column {}", name.value));
        }
        if self.eat("DESC") && kind != KeyKind::Plain {
            return unsupported("DESC in primary, unique and sort keys");
        }
        self.eat("ASC");
        Ok(name)
    }
}
