//! Column types as MySQL writes them, to [`SqlType`].

use crate::ddl::errors;
use crate::parse::reader::{Read, Reader, unsupported};
use sqlparser::tokenizer::Token;
use types::sql_type::LobSize;
use types::{Labels, SqlType};

/// VARCHAR's and VARBINARY's greatest length in bytes.
const MAX_ROW_BYTES: u64 = 65_535;
const MAX_CHAR: u64 = 255;
const MAX_SCALE: u64 = 30;
const MAX_SET: usize = 64;
const MAX_BITS: u64 = 64;
const MAX_ENUM: usize = 65_535;
/// Bytes of the longest utf8mb4 character.
const CHARACTER_BYTES: u64 = 4;

pub(in crate::parse) struct DeclaredType {
    pub ty: SqlType,
    /// SERIAL: BIGINT UNSIGNED NOT NULL AUTO_INCREMENT UNIQUE.
    pub serial: bool,
    /// BINARY after a string type: it compares by its bytes.
    pub binary: bool,
}

impl Reader<'_> {
    pub(in crate::parse) fn column_type(&mut self, column: &str) -> Read<DeclaredType> {
        let Token::Word(word) = self.peek() else { return self.expected("a type") };
        if word.quote_style.is_some() {
            return self.expected("a type");
        }
        let word = word.value.to_ascii_uppercase();
        if !is_type(&word) {
            return match word.as_str() {
                "GEOMETRY" | "POINT" | "LINESTRING" | "POLYGON" | "MULTIPOINT" | "MULTILINESTRING"
                | "MULTIPOLYGON" | "GEOMETRYCOLLECTION" | "GEOMCOLLECTION" | "GEOGRAPHY"
                | "GEOGRAPHYPOINT" | "VECTOR" | "BSON" => unsupported(&format!("the type {word}")),
                _ => self.expected("a type"),
            };
        }
        self.parser.advance_token();
        if word == "SERIAL" {
            return Ok(DeclaredType { ty: SqlType::BigInt { unsigned: true }, serial: true, binary: false });
        }
        let ty = match word.as_str() {
            "BOOL" | "BOOLEAN" => SqlType::Bool,
            "DECIMAL" | "DEC" | "NUMERIC" | "FIXED" => self.decimal(column)?,
            "FLOAT" | "FLOAT4" => self.float(column)?,
            "DOUBLE" | "FLOAT8" | "REAL" => {
                self.eat("PRECISION");
                self.no_float_digits()?;
                SqlType::Double
            }
            "DATE" => SqlType::Date,
            "TIME" => SqlType::Time { fsp: self.fsp(column)? },
            "DATETIME" => SqlType::DateTime { fsp: self.fsp(column)? },
            "TIMESTAMP" => SqlType::Timestamp { fsp: self.fsp(column)? },
            "YEAR" => {
                if self.length()?.is_some_and(|n| n != 4) {
                    return unsupported("YEAR of other than 4 digits");
                }
                SqlType::Year
            }
            "CHAR" | "CHARACTER" | "NCHAR" | "VARCHAR" | "VARCHARACTER" | "NVARCHAR" | "NATIONAL" => {
                self.char_type(&word, column)?
            }
            "BINARY" | "VARBINARY" => self.binary_type(&word, column)?,
            "TEXT" | "TINYTEXT" | "MEDIUMTEXT" | "LONGTEXT" | "LONG" => {
                if word == "LONG" && self.eat("VARBINARY") {
                    SqlType::Blob(LobSize::Medium)
                } else {
                    if word == "LONG" {
                        self.eat("VARCHAR");
                    }
                    SqlType::Text(self.lob_size(&word, CHARACTER_BYTES)?)
                }
            }
            "BLOB" | "TINYBLOB" | "MEDIUMBLOB" | "LONGBLOB" => SqlType::Blob(self.lob_size(&word, 1)?),
            "JSON" => SqlType::Json,
            "ENUM" | "SET" => self.labels(&word, column)?,
            "BIT" => self.bits(column)?,
            integer => self.integer(integer)?,
        };
        self.sign_of_fraction(ty)?;
        let binary = self.string_attributes(ty)?;
        Ok(DeclaredType { ty, serial: false, binary })
    }

    fn length(&mut self) -> Read<Option<u64>> {
        if *self.peek() == Token::LParen { self.parenthesised(Self::unsigned).map(Some) } else { Ok(None) }
    }

    /// ENUM and SET: blanks at the end of a label are no part of it.
    fn labels(&mut self, word: &str, column: &str) -> Read<SqlType> {
        let labels = self.parenthesised(|r| r.list(Self::text))?;
        let labels: Vec<String> =
            labels.iter().map(|label| label.trim_end_matches(' ').to_string()).collect();
        for (at, label) in labels.iter().enumerate() {
            if labels[..at].contains(label) {
                return Err(errors::duplicated_label(column, label, word).into());
            }
            if word == "SET" && label.contains(',') {
                return Err(errors::illegal_label(label).into());
            }
        }
        if word == "SET" {
            if labels.len() > MAX_SET {
                return Err(errors::too_big_set(column).into());
            }
            return Ok(SqlType::Set(Labels::new(labels)));
        }
        if labels.len() > MAX_ENUM {
            return Err(errors::too_big_set(column).into());
        }
        Ok(SqlType::Enum(Labels::new(labels)))
    }

    fn integer(&mut self, word: &str) -> Read<SqlType> {
        let width = self.length()?;
        let mut unsigned = false;
        loop {
            if self.eat("UNSIGNED") {
                unsigned = true;
            } else if self.is("ZEROFILL") {
                return unsupported("ZEROFILL");
            } else if !self.eat("SIGNED") {
                break;
            }
        }
        Ok(match word {
            "TINYINT" | "INT1" if width == Some(1) && !unsigned => SqlType::Bool,
            "TINYINT" | "INT1" => SqlType::TinyInt { unsigned },
            "SMALLINT" | "INT2" => SqlType::SmallInt { unsigned },
            "MEDIUMINT" | "INT3" | "MIDDLEINT" => SqlType::MediumInt { unsigned },
            "BIGINT" | "INT8" => SqlType::BigInt { unsigned },
            _ => SqlType::Int { unsigned },
        })
    }

    /// BIT(0) means the default, 1.
    fn bits(&mut self, column: &str) -> Read<SqlType> {
        match self.length()? {
            None | Some(0) => Ok(SqlType::Bit(1)),
            Some(bits @ 1..=MAX_BITS) => Ok(SqlType::Bit(bits as u8)),
            Some(_) => Err(errors::too_many_bits(column, MAX_BITS).into()),
        }
    }

    fn decimal(&mut self, column: &str) -> Read<SqlType> {
        let (mut precision, mut scale) = (10, 0);
        if self.eat_token(&Token::LParen) {
            precision = self.unsigned()?;
            if self.eat_token(&Token::Comma) {
                scale = self.unsigned()?;
            }
            self.expect_token(&Token::RParen)?;
        }
        // DECIMAL(0) means the default.
        if precision == 0 && scale == 0 {
            precision = 10;
        }
        if precision > 65 {
            return Err(errors::precision_too_big(column, precision, 65).into());
        }
        if precision > u64::from(SqlType::MAX_PRECISION) {
            return unsupported(&format!(
                "DECIMAL({precision},{scale}) of column {column}: the greatest precision is {}",
                SqlType::MAX_PRECISION
            ));
        }
        if scale > MAX_SCALE {
            return Err(errors::scale_too_big(column, scale).into());
        }
        if scale > precision {
            return Err(errors::scale_above_precision(column).into());
        }
        Ok(SqlType::Decimal { precision: precision as u8, scale: scale as u8 })
    }

    fn float(&mut self, column: &str) -> Read<SqlType> {
        if *self.peek() != Token::LParen {
            return Ok(SqlType::Float);
        }
        if *self.peek_nth(2) == Token::Comma {
            return unsupported("FLOAT(M,D)");
        }
        match self.length()? {
            Some(0..=24) | None => Ok(SqlType::Float),
            Some(25..=53) => Ok(SqlType::Double),
            Some(_) => Err(errors::wrong_column_specifier(column).into()),
        }
    }

    fn no_float_digits(&self) -> Read<()> {
        if *self.peek() == Token::LParen { unsupported("DOUBLE(M,D)") } else { Ok(()) }
    }

    fn fsp(&mut self, column: &str) -> Read<u8> {
        match self.length()? {
            None => Ok(0),
            Some(fsp @ 0..=6) => Ok(fsp as u8),
            Some(fsp) => Err(errors::precision_too_big(column, fsp, 6).into()),
        }
    }

    fn char_type(&mut self, word: &str, column: &str) -> Read<SqlType> {
        if word == "NATIONAL" && self.eat_one_of(&["CHAR", "CHARACTER", "VARCHAR"]).is_none() {
            return self.expected("CHAR or VARCHAR");
        }
        let national_varchar = word == "NATIONAL"
            && matches!(&self.parser.get_current_token().token, Token::Word(w) if w.value.eq_ignore_ascii_case("VARCHAR"));
        let varying = self.eat("VARYING")
            || national_varchar
            || matches!(word, "VARCHAR" | "VARCHARACTER" | "NVARCHAR");
        let length = self.length()?;
        if varying {
            let max = MAX_ROW_BYTES / CHARACTER_BYTES;
            let Some(length) = length else { return self.expected("'(' and the length of the column") };
            if length > max {
                return Err(errors::column_too_long(column, max).into());
            }
            return Ok(SqlType::VarChar(length as u32));
        }
        let length = length.unwrap_or(1);
        if length > MAX_CHAR {
            return Err(errors::column_too_long(column, MAX_CHAR).into());
        }
        Ok(SqlType::Char(length as u32))
    }

    fn binary_type(&mut self, word: &str, column: &str) -> Read<SqlType> {
        let length = self.length()?;
        if word == "BINARY" {
            let length = length.unwrap_or(1);
            if length > MAX_CHAR {
                return Err(errors::column_too_long(column, MAX_CHAR).into());
            }
            return Ok(SqlType::Binary(length as u32));
        }
        let Some(length) = length else { return self.expected("'(' and the length of the column") };
        if length > MAX_ROW_BYTES {
            return Err(errors::column_too_long(column, MAX_ROW_BYTES).into());
        }
        Ok(SqlType::VarBinary(length as u32))
    }

    /// TEXT(n) and BLOB(n) are the smallest size that holds n characters or bytes.
    fn lob_size(&mut self, word: &str, unit: u64) -> Read<LobSize> {
        if word.starts_with("TINY") {
            return Ok(LobSize::Tiny);
        }
        if word.starts_with("MEDIUM") || word == "LONG" {
            return Ok(LobSize::Medium);
        }
        if word.starts_with("LONG") {
            return Ok(LobSize::Long);
        }
        let Some(length) = self.length()? else { return Ok(LobSize::Normal) };
        let bytes = length.saturating_mul(unit);
        Ok([LobSize::Tiny, LobSize::Normal, LobSize::Medium]
            .into_iter()
            .find(|size| bytes <= size.max_bytes())
            .unwrap_or(LobSize::Long))
    }

    /// UNSIGNED and ZEROFILL of types with fractions would limit the values, so they are refused.
    fn sign_of_fraction(&mut self, ty: SqlType) -> Read<()> {
        if matches!(ty, SqlType::Decimal { .. } | SqlType::Float | SqlType::Double) {
            self.eat("SIGNED");
            if self.is("UNSIGNED") || self.is("ZEROFILL") {
                return unsupported("UNSIGNED and ZEROFILL of DECIMAL, FLOAT and DOUBLE");
            }
        }
        Ok(())
    }

    /// CHARACTER SET comes right after the type; the column's attributes take it there too. BINARY
    /// after a string type means its binary collation: tells whether it is there.
    fn string_attributes(&mut self, ty: SqlType) -> Read<bool> {
        let mut binary = false;
        if ty.is_string() && ty != SqlType::Json {
            binary = self.eat("BINARY");
            if self.is("ASCII") || self.is("UNICODE") || self.is("BYTE") {
                return unsupported("ASCII, UNICODE and BYTE after a type");
            }
        }
        Ok(binary)
    }
}

fn is_type(word: &str) -> bool {
    matches!(
        word,
        "TINYINT"
            | "INT1"
            | "SMALLINT"
            | "INT2"
            | "MEDIUMINT"
            | "INT3"
            | "MIDDLEINT"
            | "INT"
            | "INTEGER"
            | "INT4"
            | "BIGINT"
            | "INT8"
            | "SERIAL"
            | "BOOL"
            | "BOOLEAN"
            | "DECIMAL"
            | "DEC"
            | "NUMERIC"
            | "FIXED"
            | "FLOAT"
            | "FLOAT4"
            | "DOUBLE"
            | "FLOAT8"
            | "REAL"
            | "DATE"
            | "TIME"
            | "DATETIME"
            | "TIMESTAMP"
            | "YEAR"
            | "CHAR"
            | "CHARACTER"
            | "NCHAR"
            | "VARCHAR"
            | "VARCHARACTER"
            | "NVARCHAR"
            | "NATIONAL"
            | "BINARY"
            | "VARBINARY"
            | "TEXT"
            | "TINYTEXT"
            | "MEDIUMTEXT"
            | "LONGTEXT"
            | "LONG"
            | "BLOB"
            | "TINYBLOB"
            | "MEDIUMBLOB"
            | "LONGBLOB"
            | "JSON"
            | "ENUM"
            | "SET"
            | "BIT"
    )
}
