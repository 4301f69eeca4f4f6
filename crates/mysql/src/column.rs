//! Result columns as clients see them: drivers and BI tools decide by this metadata.

use crate::packet::writer::{put_lenenc_bytes, put_u16, put_u32};
use crate::protocol::{ColumnFlags, ColumnType, charset};
use arrow::datatypes::{DataType, Field};
use types::sql_type::LobSize;
use types::{SqlError, SqlType};

/// The number of decimals that says "as many as the value has".
pub(crate) const NOT_FIXED: u8 = 31;
/// Stands for NULL in place of a length.
const NULL: u8 = 0xfb;
/// Bytes that a utf8mb4 character may take.
const CHAR_BYTES: u32 = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnMeta {
    pub schema: String,
    /// The table's alias in the statement.
    pub table: String,
    pub org_table: String,
    /// The column's alias in the statement.
    pub name: String,
    pub org_name: String,
    pub ty: SqlType,
    /// The type on the wire; [`ColumnMeta::new`] derives it from `ty`.
    pub wire: ColumnType,
    pub flags: ColumnFlags,
    /// Digits behind the point, of numbers and seconds. A DOUBLE or FLOAT with 31 shows as many as
    /// it has, with fewer just that many.
    pub decimals: u8,
    /// The greatest length of a value's text, in bytes.
    pub length: u32,
    /// See [`charset`].
    pub charset: u16,
}

impl ColumnMeta {
    /// A column of an expression: with a name and a type, of no table.
    pub fn new(name: impl Into<String>, ty: SqlType) -> ColumnMeta {
        let wire = wire_type(ty);
        ColumnMeta {
            schema: String::new(),
            table: String::new(),
            org_table: String::new(),
            name: name.into(),
            org_name: String::new(),
            ty,
            wire,
            flags: type_flags(ty),
            decimals: decimals(ty),
            length: display_length(ty),
            charset: if ty.is_string() && ty != SqlType::Json {
                charset::UTF8MB4_0900_AI_CI
            } else {
                charset::BINARY
            },
        }
    }

    /// The column that shows an Arrow field. Fails for Arrow types that MySQL has no word for.
    pub fn of_field(field: &Field) -> Result<ColumnMeta, SqlError> {
        let ty = SqlType::of_field(field).ok_or_else(|| {
            SqlError::unsupported(format_args!("result column of type {}", field.data_type()))
        })?;
        let mut meta = ColumnMeta::new(field.name(), ty);
        if *field.data_type() == DataType::Null {
            meta.wire = ColumnType::Null;
        }
        meta.flags.set(ColumnFlags::NOT_NULL, !field.is_nullable());
        Ok(meta)
    }

    /// Says which table's column this is.
    pub fn in_table(mut self, schema: &str, table: &str, org_table: &str, org_name: &str) -> ColumnMeta {
        self.schema = schema.into();
        self.table = table.into();
        self.org_table = org_table.into();
        self.org_name = org_name.into();
        self
    }

    /// What a prepared statement says of a parameter.
    pub fn parameter() -> ColumnMeta {
        let mut meta = ColumnMeta::new("?", SqlType::VarBinary(0));
        meta.flags = ColumnFlags::BINARY;
        meta
    }

    /// Writes "ColumnDefinition41" with a default value behind it, as COM_FIELD_LIST wants.
    pub(crate) fn put_with_default(&self, out: &mut Vec<u8>, default: Option<&str>) {
        self.put(out);
        match default {
            Some(text) => put_lenenc_bytes(out, text.as_bytes()),
            None => out.push(NULL),
        }
    }

    /// Writes "ColumnDefinition41".
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_lenenc_bytes(out, b"def");
        for text in [&self.schema, &self.table, &self.org_table, &self.name, &self.org_name] {
            put_lenenc_bytes(out, text.as_bytes());
        }
        out.push(0x0c);
        put_u16(out, self.charset);
        put_u32(out, self.length);
        out.push(self.wire as u8);
        put_u16(out, self.flags.bits());
        out.push(self.decimals);
        out.extend_from_slice(&[0, 0]);
    }
}

fn wire_type(ty: SqlType) -> ColumnType {
    match ty {
        SqlType::TinyInt { .. } | SqlType::Bool => ColumnType::Tiny,
        SqlType::SmallInt { .. } => ColumnType::Short,
        SqlType::MediumInt { .. } => ColumnType::Int24,
        SqlType::Int { .. } => ColumnType::Long,
        SqlType::BigInt { .. } => ColumnType::LongLong,
        SqlType::Bit(_) => ColumnType::Bit,
        SqlType::Decimal { .. } => ColumnType::NewDecimal,
        SqlType::Float => ColumnType::Float,
        SqlType::Double => ColumnType::Double,
        SqlType::Date => ColumnType::Date,
        SqlType::Time { .. } => ColumnType::Time,
        SqlType::DateTime { .. } => ColumnType::DateTime,
        SqlType::Timestamp { .. } => ColumnType::Timestamp,
        SqlType::Year => ColumnType::Year,
        SqlType::Char(_) | SqlType::Binary(_) => ColumnType::String,
        SqlType::VarChar(_) | SqlType::VarBinary(_) => ColumnType::VarString,
        // All sizes are sent as BLOB; the length tells them apart.
        SqlType::Text(_) | SqlType::Blob(_) => ColumnType::Blob,
        SqlType::Json => ColumnType::Json,
        SqlType::Enum(_) | SqlType::Set(_) => ColumnType::String,
    }
}

fn type_flags(ty: SqlType) -> ColumnFlags {
    let mut flags = match ty {
        SqlType::Year => ColumnFlags::UNSIGNED | ColumnFlags::ZEROFILL | ColumnFlags::NUM,
        SqlType::Decimal { .. } | SqlType::Float | SqlType::Double => ColumnFlags::NUM,
        SqlType::Date | SqlType::Time { .. } | SqlType::DateTime { .. } => ColumnFlags::BINARY,
        SqlType::Timestamp { .. } => ColumnFlags::BINARY | ColumnFlags::TIMESTAMP,
        SqlType::Binary(_) | SqlType::VarBinary(_) => ColumnFlags::BINARY,
        SqlType::Blob(_) | SqlType::Json => ColumnFlags::BINARY | ColumnFlags::BLOB,
        SqlType::Text(_) => ColumnFlags::BLOB,
        SqlType::Char(_) | SqlType::VarChar(_) => ColumnFlags::empty(),
        SqlType::Bit(_) => ColumnFlags::empty(),
        SqlType::Enum(_) => ColumnFlags::ENUM,
        SqlType::Set(_) => ColumnFlags::SET,
        _ => ColumnFlags::NUM,
    };
    flags.set(ColumnFlags::UNSIGNED, ty.is_unsigned());
    flags
}

fn decimals(ty: SqlType) -> u8 {
    match ty {
        SqlType::Decimal { scale, .. } => scale,
        SqlType::Float | SqlType::Double => NOT_FIXED,
        SqlType::Time { fsp } | SqlType::DateTime { fsp } | SqlType::Timestamp { fsp } => fsp,
        _ => 0,
    }
}

fn display_length(ty: SqlType) -> u32 {
    let fraction = |fsp: u8| if fsp == 0 { 0 } else { u32::from(fsp) + 1 };
    let sign = |unsigned: bool| u32::from(!unsigned);
    match ty {
        SqlType::Bool => 1,
        SqlType::TinyInt { unsigned } => 3 + sign(unsigned),
        SqlType::SmallInt { unsigned } => 5 + sign(unsigned),
        SqlType::MediumInt { unsigned } => 8 + sign(unsigned),
        SqlType::Int { unsigned } => 10 + sign(unsigned),
        SqlType::BigInt { .. } => 20,
        SqlType::Bit(bits) => u32::from(bits),
        SqlType::Decimal { precision, scale } => u32::from(precision) + u32::from(scale > 0) + 1,
        SqlType::Float => 12,
        SqlType::Double => 22,
        SqlType::Date => 10,
        SqlType::Time { fsp } => 10 + fraction(fsp),
        SqlType::DateTime { fsp } | SqlType::Timestamp { fsp } => 19 + fraction(fsp),
        SqlType::Year => 4,
        SqlType::Char(n) | SqlType::VarChar(n) => n.saturating_mul(CHAR_BYTES),
        SqlType::Enum(labels) => labels.longest().saturating_mul(CHAR_BYTES),
        SqlType::Set(labels) => labels.all_together().saturating_mul(CHAR_BYTES),
        SqlType::Binary(n) | SqlType::VarBinary(n) => n,
        SqlType::Text(LobSize::Long) | SqlType::Blob(LobSize::Long) | SqlType::Json => u32::MAX,
        SqlType::Text(size) => (size.max_bytes() as u32).saturating_mul(CHAR_BYTES),
        SqlType::Blob(size) => size.max_bytes() as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definition_bytes() {
        let mut meta = ColumnMeta::new("n", SqlType::Int { unsigned: true }).in_table("db", "a", "t", "num");
        meta.flags |= ColumnFlags::NOT_NULL | ColumnFlags::PRI_KEY;
        let mut out = Vec::new();
        meta.put(&mut out);
        assert_eq!(out, b"\x03def\x02db\x01a\x01t\x01n\x03num\x0c\x3f\0\x0a\0\0\0\x03\x23\x80\0\0\0");
    }

    #[test]
    fn types_show_as_in_mysql() {
        use SqlType::*;
        for (ty, wire, length, decimals, charset) in [
            (Bool, ColumnType::Tiny, 1, 0, 63),
            (BigInt { unsigned: false }, ColumnType::LongLong, 20, 0, 63),
            (MediumInt { unsigned: true }, ColumnType::Int24, 8, 0, 63),
            (Bit(10), ColumnType::Bit, 10, 0, 63),
            (Decimal { precision: 15, scale: 2 }, ColumnType::NewDecimal, 17, 2, 63),
            (Decimal { precision: 10, scale: 0 }, ColumnType::NewDecimal, 11, 0, 63),
            (Double, ColumnType::Double, 22, 31, 63),
            (DateTime { fsp: 3 }, ColumnType::DateTime, 23, 3, 63),
            (VarChar(10), ColumnType::VarString, 40, 0, 255),
            (Text(LobSize::Normal), ColumnType::Blob, 262_140, 0, 255),
            (Text(LobSize::Long), ColumnType::Blob, u32::MAX, 0, 255),
            (Blob(LobSize::Tiny), ColumnType::Blob, 255, 0, 63),
            (Binary(4), ColumnType::String, 4, 0, 63),
        ] {
            let meta = ColumnMeta::new("c", ty);
            assert_eq!(
                (meta.wire, meta.length, meta.decimals, meta.charset),
                (wire, length, decimals, charset),
                "{ty}"
            );
        }
    }

    #[test]
    fn fields() {
        let meta = ColumnMeta::of_field(&SqlType::Year.field("y", false)).unwrap();
        assert_eq!(meta.ty, SqlType::Year);
        assert!(meta.flags.contains(ColumnFlags::NOT_NULL | ColumnFlags::UNSIGNED | ColumnFlags::ZEROFILL));
        let null = ColumnMeta::of_field(&Field::new("NULL", DataType::Null, true)).unwrap();
        assert_eq!((null.wire, null.length), (ColumnType::Null, 0));
        let list = Field::new_list("l", Field::new_list_field(DataType::Int8, true), true);
        assert_eq!(ColumnMeta::of_field(&list).unwrap_err().kind.errno(), 1235);
    }
}
