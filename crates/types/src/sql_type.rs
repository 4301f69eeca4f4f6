//! MySQL's column types, and the two mappings every crate shares: to the Arrow type that plans and
//! results use, and to the physical type that storage packs.
//!
//! | SQL | Arrow | physical |
//! |---|---|---|
//! | TINYINT .. BIGINT | Int8 .. Int64 | I64 |
//! | the same UNSIGNED | UInt8 .. UInt64 | I64; BIGINT UNSIGNED with its top bit flipped, which keeps the order |
//! | BIT(n) | UInt64, the number; its bytes where MySQL takes a string | as BIGINT UNSIGNED |
//! | DECIMAL(p <= 18, s) | Decimal128(p, s) | I64, the unscaled integer |
//! | DECIMAL(p > 18, s) | Decimal128(p, s) | I128 |
//! | FLOAT, DOUBLE | Float32, Float64 | F32, F64 |
//! | DATE | Date32 (days since 1970) | I64 |
//! | TIME(n) | Duration(us) | I64 |
//! | DATETIME(n) | Timestamp(us, none) | I64 |
//! | TIMESTAMP(n) | Timestamp(us, "+00:00") | I64 |
//! | YEAR | UInt16 | I64 |
//! | CHAR, VARCHAR, TEXT, JSON | Utf8View | Bytes |
//! | ENUM, SET | Utf8View, the text; its number is computed where MySQL takes it | Bytes |
//! | BINARY, VARBINARY, BLOB | BinaryView | Bytes |

use crate::Labels;
use arrow::datatypes::{DataType, Field, TimeUnit};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The four sizes of TEXT and BLOB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LobSize {
    Tiny,
    Normal,
    Medium,
    Long,
}

impl LobSize {
    /// The greatest length, in bytes.
    pub const fn max_bytes(self) -> u64 {
        match self {
            LobSize::Tiny => 255,
            LobSize::Normal => 65_535,
            LobSize::Medium => 16_777_215,
            LobSize::Long => 4_294_967_295,
        }
    }

    const fn prefix(self) -> &'static str {
        match self {
            LobSize::Tiny => "tiny",
            LobSize::Normal => "",
            LobSize::Medium => "medium",
            LobSize::Long => "long",
        }
    }
}

/// A column's declared type. `fsp` is the number of fractional second digits, 0 to 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SqlType {
    TinyInt {
        unsigned: bool,
    },
    /// TINYINT(1), which drivers show as a boolean.
    Bool,
    SmallInt {
        unsigned: bool,
    },
    MediumInt {
        unsigned: bool,
    },
    Int {
        unsigned: bool,
    },
    BigInt {
        unsigned: bool,
    },
    /// 1 to 64 bits.
    Bit(u8),
    /// precision 1 to 38 (MySQL allows 65), scale 0 to 30.
    Decimal {
        precision: u8,
        scale: u8,
    },
    Float,
    Double,
    Date,
    Time {
        fsp: u8,
    },
    DateTime {
        fsp: u8,
    },
    Timestamp {
        fsp: u8,
    },
    Year,
    /// Length in characters.
    Char(u32),
    /// Length in characters.
    VarChar(u32),
    Text(LobSize),
    /// Length in bytes; shorter values are padded with zero bytes.
    Binary(u32),
    /// Length in bytes.
    VarBinary(u32),
    Blob(LobSize),
    /// A JSON document as text, in the one form that writing it gives.
    Json,
    /// One of the labels.
    Enum(Labels),
    /// Some of the labels, in their order, with commas between them.
    Set(Labels),
}

/// How storage holds a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Physical {
    I64,
    I128,
    F32,
    F64,
    Bytes,
}

/// The key of an Arrow field's metadata under which the SQL type stands, as [`SqlType`]'s text.
pub const FIELD_TYPE: &str = "pando.type";

impl SqlType {
    /// The greatest DECIMAL precision.
    pub const MAX_PRECISION: u8 = 38;

    pub fn arrow(self) -> DataType {
        use SqlType::*;
        match self {
            TinyInt { unsigned: false } | Bool => DataType::Int8,
            TinyInt { unsigned: true } => DataType::UInt8,
            SmallInt { unsigned: false } => DataType::Int16,
            SmallInt { unsigned: true } => DataType::UInt16,
            MediumInt { unsigned: false } | Int { unsigned: false } => DataType::Int32,
            MediumInt { unsigned: true } | Int { unsigned: true } => DataType::UInt32,
            BigInt { unsigned: false } => DataType::Int64,
            BigInt { unsigned: true } | Bit(_) => DataType::UInt64,
            Decimal { precision, scale } => DataType::Decimal128(precision, scale as i8),
            Float => DataType::Float32,
            Double => DataType::Float64,
            Date => DataType::Date32,
            Time { .. } => DataType::Duration(TimeUnit::Microsecond),
            DateTime { .. } => DataType::Timestamp(TimeUnit::Microsecond, None),
            Timestamp { .. } => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("+00:00"))),
            Year => DataType::UInt16,
            Char(_) | VarChar(_) | Text(_) | Json | Enum(_) | Set(_) => DataType::Utf8View,
            Binary(_) | VarBinary(_) | Blob(_) => DataType::BinaryView,
        }
    }

    pub fn physical(self) -> Physical {
        use SqlType::*;
        match self {
            Decimal { precision, .. } if precision > 18 => Physical::I128,
            Float => Physical::F32,
            Double => Physical::F64,
            Char(_) | VarChar(_) | Text(_) | Binary(_) | VarBinary(_) | Blob(_) => Physical::Bytes,
            Json | Enum(_) | Set(_) => Physical::Bytes,
            _ => Physical::I64,
        }
    }

    /// An Arrow field that carries this type in its metadata.
    pub fn field(self, name: &str, nullable: bool) -> Field {
        Field::new(name, self.arrow(), nullable)
            .with_metadata(HashMap::from([(FIELD_TYPE.to_string(), self.to_string())]))
    }

    /// The SQL type of an Arrow field: the declared one if its metadata has it and it fits the
    /// Arrow type, else the nearest one. `None` for Arrow types that MySQL has no word for.
    pub fn of_field(field: &Field) -> Option<SqlType> {
        if let Some(ty) = field.metadata().get(FIELD_TYPE).and_then(|text| SqlType::parse(text))
            && ty.arrow() == *field.data_type()
        {
            return Some(ty);
        }
        SqlType::of_arrow(field.data_type())
    }

    /// The nearest SQL type of an Arrow type.
    pub fn of_arrow(ty: &DataType) -> Option<SqlType> {
        use DataType as D;
        Some(match ty {
            D::Boolean => SqlType::Bool,
            D::Int8 => SqlType::TinyInt { unsigned: false },
            D::Int16 => SqlType::SmallInt { unsigned: false },
            D::Int32 => SqlType::Int { unsigned: false },
            D::Int64 => SqlType::BigInt { unsigned: false },
            D::UInt8 => SqlType::TinyInt { unsigned: true },
            D::UInt16 => SqlType::SmallInt { unsigned: true },
            D::UInt32 => SqlType::Int { unsigned: true },
            D::UInt64 => SqlType::BigInt { unsigned: true },
            D::Decimal32(p, s) | D::Decimal64(p, s) | D::Decimal128(p, s) if *s >= 0 => {
                SqlType::Decimal { precision: *p, scale: *s as u8 }
            }
            D::Float16 | D::Float32 => SqlType::Float,
            D::Float64 => SqlType::Double,
            D::Date32 | D::Date64 => SqlType::Date,
            D::Duration(_) | D::Time32(_) | D::Time64(_) => SqlType::Time { fsp: 6 },
            D::Timestamp(_, None) => SqlType::DateTime { fsp: 6 },
            D::Timestamp(_, Some(_)) => SqlType::Timestamp { fsp: 6 },
            D::Utf8 | D::LargeUtf8 | D::Utf8View => SqlType::VarChar(16_383),
            D::Binary | D::LargeBinary | D::BinaryView => SqlType::VarBinary(65_535),
            D::Dictionary(_, value) => return SqlType::of_arrow(value),
            D::Null => SqlType::Binary(0),
            _ => return None,
        })
    }

    /// Parses what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<SqlType> {
        let (head, unsigned) = match text.strip_suffix(" unsigned") {
            Some(head) => (head, true),
            None => (text, false),
        };
        let (name, args) = match head.split_once('(') {
            Some((name, rest)) => (name, rest.strip_suffix(')')?),
            None => (head, ""),
        };
        let number = || args.parse::<u32>().ok();
        let fsp = || if args.is_empty() { Some(0) } else { args.parse::<u8>().ok() };
        Some(match name {
            "tinyint" if args == "1" => SqlType::Bool,
            "tinyint" => SqlType::TinyInt { unsigned },
            "smallint" => SqlType::SmallInt { unsigned },
            "mediumint" => SqlType::MediumInt { unsigned },
            "int" => SqlType::Int { unsigned },
            "bigint" => SqlType::BigInt { unsigned },
            "bit" => SqlType::Bit(args.parse().ok().filter(|bits| (1..=64).contains(bits))?),
            "decimal" => {
                let (p, s) = args.split_once(',')?;
                SqlType::Decimal { precision: p.parse().ok()?, scale: s.parse().ok()? }
            }
            "float" => SqlType::Float,
            "double" => SqlType::Double,
            "date" => SqlType::Date,
            "time" => SqlType::Time { fsp: fsp()? },
            "datetime" => SqlType::DateTime { fsp: fsp()? },
            "timestamp" => SqlType::Timestamp { fsp: fsp()? },
            "year" => SqlType::Year,
            "char" => SqlType::Char(number()?),
            "varchar" => SqlType::VarChar(number()?),
            "binary" => SqlType::Binary(number()?),
            "varbinary" => SqlType::VarBinary(number()?),
            "tinytext" => SqlType::Text(LobSize::Tiny),
            "text" => SqlType::Text(LobSize::Normal),
            "mediumtext" => SqlType::Text(LobSize::Medium),
            "longtext" => SqlType::Text(LobSize::Long),
            "tinyblob" => SqlType::Blob(LobSize::Tiny),
            "blob" => SqlType::Blob(LobSize::Normal),
            "mediumblob" => SqlType::Blob(LobSize::Medium),
            "longblob" => SqlType::Blob(LobSize::Long),
            "json" => SqlType::Json,
            "enum" => SqlType::Enum(Labels::parse(args)?),
            "set" => SqlType::Set(Labels::parse(args)?),
            _ => return None,
        })
    }

    pub fn is_unsigned(self) -> bool {
        use SqlType::*;
        match self {
            TinyInt { unsigned }
            | SmallInt { unsigned }
            | MediumInt { unsigned }
            | Int { unsigned }
            | BigInt { unsigned } => unsigned,
            Year | Bit(_) => true,
            _ => false,
        }
    }

    pub fn is_integer(self) -> bool {
        use SqlType::*;
        matches!(
            self,
            TinyInt { .. } | Bool | SmallInt { .. } | MediumInt { .. } | Int { .. } | BigInt { .. } | Year
        )
    }

    /// Whether columns take the number of an ENUM or SET, not its text.
    pub fn takes_numbers(self) -> bool {
        use SqlType::*;
        self.is_integer() || matches!(self, Decimal { .. } | Float | Double | Bit(_))
    }

    /// Whether columns take any string: those of characters and of bytes, but no JSON, ENUM or SET.
    pub fn takes_strings(self) -> bool {
        use SqlType::*;
        matches!(self, Char(_) | VarChar(_) | Text(_) | Binary(_) | VarBinary(_) | Blob(_))
    }

    /// Whether storage holds the values with their top bit flipped.
    pub fn is_flipped(self) -> bool {
        matches!(self, SqlType::BigInt { unsigned: true } | SqlType::Bit(_))
    }

    /// Whether values are UTF-8 text.
    pub fn is_string(self) -> bool {
        use SqlType::*;
        matches!(self, Char(_) | VarChar(_) | Text(_) | Json | Enum(_) | Set(_))
    }

    /// The labels of an ENUM or SET.
    pub fn labels(self) -> Option<Labels> {
        match self {
            SqlType::Enum(labels) | SqlType::Set(labels) => Some(labels),
            _ => None,
        }
    }

    /// What gives the number of a value of an ENUM, its place from 1, or of a SET, its bits; 0 for any other text.
    /// `None`: the type is neither.
    pub fn label_numbers(self) -> Option<impl Fn(&str) -> u64> {
        let labels = self.labels()?;
        let places: HashMap<&str, u64> = match self {
            SqlType::Enum(_) => labels.as_slice().iter().map(String::as_str).zip(1..).collect(),
            _ => HashMap::new(),
        };
        Some(move |text: &str| match self {
            SqlType::Set(_) => labels.bits(text).unwrap_or(0),
            _ => places.get(text).copied().unwrap_or(0),
        })
    }

    /// The least and greatest value of an integer type or BIT.
    pub fn integer_range(self) -> Option<(i128, i128)> {
        use SqlType::*;
        let bits = match self {
            Bool | TinyInt { .. } => 8,
            SmallInt { .. } => 16,
            MediumInt { .. } => 24,
            Int { .. } => 32,
            BigInt { .. } => 64,
            Year => return Some((0, 2155)),
            Bit(bits) => u32::from(bits),
            _ => return None,
        };
        Some(if self.is_unsigned() {
            (0, (1i128 << bits) - 1)
        } else {
            (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1)
        })
    }
}

/// The type as SHOW CREATE TABLE and information_schema print it.
impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use SqlType::*;
        let int = |f: &mut fmt::Formatter<'_>, name: &str, unsigned: bool| {
            f.write_str(name)?;
            if unsigned { f.write_str(" unsigned") } else { Ok(()) }
        };
        let fsp = |f: &mut fmt::Formatter<'_>, name: &str, fsp: u8| {
            if fsp == 0 { f.write_str(name) } else { write!(f, "{name}({fsp})") }
        };
        match *self {
            TinyInt { unsigned } => int(f, "tinyint", unsigned),
            Bool => f.write_str("tinyint(1)"),
            SmallInt { unsigned } => int(f, "smallint", unsigned),
            MediumInt { unsigned } => int(f, "mediumint", unsigned),
            Int { unsigned } => int(f, "int", unsigned),
            BigInt { unsigned } => int(f, "bigint", unsigned),
            Bit(bits) => write!(f, "bit({bits})"),
            Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Float => f.write_str("float"),
            Double => f.write_str("double"),
            Date => f.write_str("date"),
            Time { fsp: n } => fsp(f, "time", n),
            DateTime { fsp: n } => fsp(f, "datetime", n),
            Timestamp { fsp: n } => fsp(f, "timestamp", n),
            Year => f.write_str("year"),
            Char(n) => write!(f, "char({n})"),
            VarChar(n) => write!(f, "varchar({n})"),
            Text(size) => write!(f, "{}text", size.prefix()),
            Binary(n) => write!(f, "binary({n})"),
            VarBinary(n) => write!(f, "varbinary({n})"),
            Blob(size) => write!(f, "{}blob", size.prefix()),
            Json => f.write_str("json"),
            Enum(labels) => write!(f, "enum({labels})"),
            Set(labels) => write!(f, "set({labels})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips() {
        use SqlType::*;
        for ty in [
            TinyInt { unsigned: true },
            Bool,
            SmallInt { unsigned: false },
            MediumInt { unsigned: true },
            Int { unsigned: false },
            BigInt { unsigned: true },
            Bit(1),
            Bit(64),
            Decimal { precision: 15, scale: 2 },
            Float,
            Double,
            Date,
            Time { fsp: 3 },
            DateTime { fsp: 0 },
            Timestamp { fsp: 6 },
            Year,
            Char(10),
            VarChar(255),
            Text(LobSize::Tiny),
            Text(LobSize::Normal),
            Binary(4),
            VarBinary(16),
            Blob(LobSize::Long),
            Json,
            Enum(Labels::new(vec!["a(b) unsigned".into(), "it's".into()])),
            Set(Labels::new(vec!["x".into()])),
        ] {
            assert_eq!(SqlType::parse(&ty.to_string()), Some(ty));
            assert_eq!(SqlType::of_field(&ty.field("c", true)), Some(ty));
        }
    }

    #[test]
    fn labels_have_numbers() {
        let labels = || Labels::new(vec!["a".into(), "b".into(), "c".into()]);
        let of_enum = SqlType::Enum(labels()).label_numbers().unwrap();
        assert_eq!(["a", "c", "", "A", "a,b"].map(of_enum), [1, 3, 0, 0, 0]);
        let of_set = SqlType::Set(labels()).label_numbers().unwrap();
        assert_eq!(["a", "c", "", "A", "a,b"].map(of_set), [1, 4, 0, 0, 3]);
        assert!(SqlType::Json.label_numbers().is_none());
    }
}
