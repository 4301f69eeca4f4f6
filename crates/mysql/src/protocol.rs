//! The numbers of the protocol: capabilities, status, column types and flags, commands, character
//! sets. Only those that this server understands.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

macro_rules! flags {
    ($(#[$meta:meta])* $name:ident($bits:ty) { $($(#[$doc:meta])* $flag:ident = $value:expr;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $name($bits);

        impl $name {
            $($(#[$doc])* pub const $flag: $name = $name($value);)*

            pub const fn empty() -> $name {
                $name(0)
            }

            /// Keeps bits that have no name here.
            pub const fn from_bits(bits: $bits) -> $name {
                $name(bits)
            }

            pub const fn bits(self) -> $bits {
                self.0
            }

            /// True if every flag of `other` is set.
            pub const fn contains(self, other: $name) -> bool {
                self.0 & other.0 == other.0
            }

            pub const fn union(self, other: $name) -> $name {
                $name(self.0 | other.0)
            }

            pub const fn intersection(self, other: $name) -> $name {
                $name(self.0 & other.0)
            }

            pub fn set(&mut self, other: $name, on: bool) {
                if on {
                    self.0 |= other.0;
                } else {
                    self.0 &= !other.0;
                }
            }
        }

        impl BitOr for $name {
            type Output = $name;
            fn bitor(self, other: $name) -> $name {
                self.union(other)
            }
        }

        impl BitOrAssign for $name {
            fn bitor_assign(&mut self, other: $name) {
                self.0 |= other.0;
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut rest = self.0;
                let mut set = f.debug_set();
                $(if self.contains($name::$flag) {
                    rest &= !$value;
                    set.entry(&format_args!(stringify!($flag)));
                })*
                if rest != 0 {
                    set.entry(&format_args!("{rest:#x}"));
                }
                set.finish()
            }
        }
    };
}

flags! {
    /// What both sides can do. The server offers a set, the client answers with its own.
    Capabilities(u32) {
        LONG_PASSWORD = 1;
        /// Affected rows of an UPDATE are the rows found, not the rows changed.
        FOUND_ROWS = 1 << 1;
        LONG_FLAG = 1 << 2;
        CONNECT_WITH_DB = 1 << 3;
        /// zlib.
        COMPRESS = 1 << 5;
        /// LOAD DATA LOCAL.
        LOCAL_FILES = 1 << 7;
        PROTOCOL_41 = 1 << 9;
        INTERACTIVE = 1 << 10;
        SSL = 1 << 11;
        TRANSACTIONS = 1 << 13;
        SECURE_CONNECTION = 1 << 15;
        MULTI_STATEMENTS = 1 << 16;
        MULTI_RESULTS = 1 << 17;
        PS_MULTI_RESULTS = 1 << 18;
        PLUGIN_AUTH = 1 << 19;
        CONNECT_ATTRS = 1 << 20;
        PLUGIN_AUTH_LENENC = 1 << 21;
        /// OK packets tell what changed in the session.
        SESSION_TRACK = 1 << 23;
        DEPRECATE_EOF = 1 << 24;
        ZSTD_COMPRESSION = 1 << 26;
        QUERY_ATTRIBUTES = 1 << 27;
    }
}

impl Capabilities {
    /// All that this server implements, but [`Capabilities::SSL`], which it offers if it has a
    /// certificate.
    pub const OFFERED: Capabilities = Capabilities::LONG_PASSWORD
        .union(Capabilities::FOUND_ROWS)
        .union(Capabilities::LONG_FLAG)
        .union(Capabilities::CONNECT_WITH_DB)
        .union(Capabilities::COMPRESS)
        .union(Capabilities::LOCAL_FILES)
        .union(Capabilities::PROTOCOL_41)
        .union(Capabilities::INTERACTIVE)
        .union(Capabilities::TRANSACTIONS)
        .union(Capabilities::SECURE_CONNECTION)
        .union(Capabilities::MULTI_STATEMENTS)
        .union(Capabilities::MULTI_RESULTS)
        .union(Capabilities::PS_MULTI_RESULTS)
        .union(Capabilities::PLUGIN_AUTH)
        .union(Capabilities::CONNECT_ATTRS)
        .union(Capabilities::PLUGIN_AUTH_LENENC)
        .union(Capabilities::SESSION_TRACK)
        .union(Capabilities::DEPRECATE_EOF)
        .union(Capabilities::ZSTD_COMPRESSION)
        .union(Capabilities::QUERY_ATTRIBUTES);
}

flags! {
    /// The server status that OK and EOF packets carry.
    StatusFlags(u16) {
        IN_TRANSACTION = 1;
        AUTOCOMMIT = 1 << 1;
        /// Set by this crate alone, between the results of a multi statement.
        MORE_RESULTS_EXIST = 1 << 3;
        NO_GOOD_INDEX_USED = 1 << 4;
        NO_INDEX_USED = 1 << 5;
        /// Set by this crate alone: rows wait to be fetched.
        CURSOR_EXISTS = 1 << 6;
        /// Set by this crate alone: the last of them has been sent.
        LAST_ROW_SENT = 1 << 7;
        DATABASE_DROPPED = 1 << 8;
        NO_BACKSLASH_ESCAPES = 1 << 9;
        METADATA_CHANGED = 1 << 10;
        IN_READ_ONLY_TRANSACTION = 1 << 13;
        /// Set by this crate alone: the packet says what changed in the session.
        SESSION_STATE_CHANGED = 1 << 14;
    }
}

flags! {
    /// The flags of a result column.
    ColumnFlags(u16) {
        NOT_NULL = 1;
        PRI_KEY = 1 << 1;
        UNIQUE_KEY = 1 << 2;
        MULTIPLE_KEY = 1 << 3;
        BLOB = 1 << 4;
        UNSIGNED = 1 << 5;
        ZEROFILL = 1 << 6;
        BINARY = 1 << 7;
        ENUM = 1 << 8;
        AUTO_INCREMENT = 1 << 9;
        TIMESTAMP = 1 << 10;
        SET = 1 << 11;
        NO_DEFAULT_VALUE = 1 << 12;
        ON_UPDATE_NOW = 1 << 13;
        NUM = 1 << 15;
    }
}

/// The type byte of column definitions and parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ColumnType {
    Decimal = 0,
    Tiny = 1,
    Short = 2,
    Long = 3,
    Float = 4,
    Double = 5,
    Null = 6,
    Timestamp = 7,
    LongLong = 8,
    Int24 = 9,
    Date = 10,
    Time = 11,
    DateTime = 12,
    Year = 13,
    VarChar = 15,
    Bit = 16,
    Json = 245,
    NewDecimal = 246,
    Enum = 247,
    Set = 248,
    TinyBlob = 249,
    MediumBlob = 250,
    LongBlob = 251,
    Blob = 252,
    VarString = 253,
    String = 254,
    Geometry = 255,
}

impl ColumnType {
    pub fn from_byte(byte: u8) -> Option<ColumnType> {
        use ColumnType::*;
        const ALL: [ColumnType; 27] = [
            Decimal, Tiny, Short, Long, Float, Double, Null, Timestamp, LongLong, Int24, Date, Time,
            DateTime, Year, VarChar, Bit, Json, NewDecimal, Enum, Set, TinyBlob, MediumBlob, LongBlob, Blob,
            VarString, String, Geometry,
        ];
        ALL.into_iter().find(|ty| *ty as u8 == byte)
    }
}

/// First byte of a command packet.
pub(crate) mod com {
    pub const QUIT: u8 = 0x01;
    pub const INIT_DB: u8 = 0x02;
    pub const QUERY: u8 = 0x03;
    pub const FIELD_LIST: u8 = 0x04;
    pub const STATISTICS: u8 = 0x09;
    pub const PROCESS_KILL: u8 = 0x0c;
    pub const PING: u8 = 0x0e;
    pub const CHANGE_USER: u8 = 0x11;
    pub const STMT_PREPARE: u8 = 0x16;
    pub const STMT_EXECUTE: u8 = 0x17;
    pub const STMT_SEND_LONG_DATA: u8 = 0x18;
    pub const STMT_CLOSE: u8 = 0x19;
    pub const STMT_RESET: u8 = 0x1a;
    pub const SET_OPTION: u8 = 0x1b;
    pub const STMT_FETCH: u8 = 0x1c;
    pub const RESET_CONNECTION: u8 = 0x1f;
}

/// Numbers of the collations that column definitions name.
pub mod charset {
    /// Numbers, dates and bytes.
    pub const BINARY: u16 = 63;
    pub const UTF8MB4_GENERAL_CI: u16 = 45;
    pub const UTF8MB4_BIN: u16 = 46;
    pub const UTF8MB4_0900_AI_CI: u16 = 255;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_the_numbers_of_the_protocol() {
        assert_eq!(Capabilities::OFFERED.bits(), 0x0dbf_a6af);
        assert!(!Capabilities::OFFERED.contains(Capabilities::SSL));
        assert_eq!(
            format!("{:?}", StatusFlags::AUTOCOMMIT | StatusFlags::from_bits(0x8000)),
            "{AUTOCOMMIT, 0x8000}"
        );
        assert_eq!(ColumnType::from_byte(246), Some(ColumnType::NewDecimal));
        assert_eq!(ColumnType::from_byte(100), None);
    }
}
