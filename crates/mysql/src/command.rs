//! Commands: the first packet of each exchange after login.

use crate::packet::reader::{FieldReader, Malformed};
use crate::params::skip_attributes;
use crate::protocol::com;
use crate::statement_text::{plain_text, statement_text};
use bytes::Bytes;
use types::{ErrorKind, SqlError};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Quit,
    InitDb(String),
    Query(String),
    FieldList {
        table: String,
        /// As LIKE takes it; empty for all columns.
        pattern: String,
    },
    Statistics,
    ProcessKill(u32),
    Ping,
    /// The payload behind the command byte.
    ChangeUser(Bytes),
    Prepare(String),
    Execute {
        statement: u32,
        flags: u8,
        /// Null bitmap, types, values.
        parameters: Bytes,
    },
    SendLongData {
        statement: u32,
        parameter: u16,
        data: Bytes,
    },
    CloseStatement(u32),
    ResetStatement(u32),
    /// Multi statements on or off.
    SetMultiStatements(bool),
    /// The next rows of an open cursor.
    Fetch {
        statement: u32,
        rows: u32,
    },
    ResetConnection,
}

impl Command {
    /// `attributes`: the client sends query attributes before its statements.
    pub fn parse(payload: Bytes, attributes: bool) -> Result<Command, SqlError> {
        let mut r = FieldReader::new(&payload);
        let code = r.u8()?;
        let rest = |consumed: usize| payload.slice(consumed..);
        Ok(match code {
            com::QUIT => Command::Quit,
            com::INIT_DB => Command::InitDb(plain_text(rest(1))?),
            com::QUERY if attributes => {
                skip_attributes(&mut r)?;
                Command::Query(statement_text(rest(payload.len() - r.left()))?)
            }
            com::QUERY => Command::Query(statement_text(rest(1))?),
            com::FIELD_LIST => {
                let table = plain_text(Bytes::copy_from_slice(r.null_terminated()?))?;
                Command::FieldList { table, pattern: plain_text(rest(payload.len() - r.left()))? }
            }
            com::STATISTICS => Command::Statistics,
            com::PROCESS_KILL => Command::ProcessKill(r.u32()?),
            com::PING => Command::Ping,
            com::CHANGE_USER => Command::ChangeUser(rest(1)),
            com::STMT_PREPARE => Command::Prepare(statement_text(rest(1))?),
            com::STMT_EXECUTE => {
                let (statement, flags, _iterations) = (r.u32()?, r.u8()?, r.u32()?);
                Command::Execute { statement, flags, parameters: rest(10) }
            }
            com::STMT_SEND_LONG_DATA => {
                Command::SendLongData { statement: r.u32()?, parameter: r.u16()?, data: rest(7) }
            }
            com::STMT_CLOSE => Command::CloseStatement(r.u32()?),
            com::STMT_RESET => Command::ResetStatement(r.u32()?),
            com::SET_OPTION => match r.u16()? {
                0 => Command::SetMultiStatements(true),
                1 => Command::SetMultiStatements(false),
                _ => return Err(Malformed.into()),
            },
            com::STMT_FETCH => Command::Fetch { statement: r.u32()?, rows: r.u32()? },
            com::RESET_CONNECTION => Command::ResetConnection,
            _ => return Err(SqlError::new(ErrorKind::UnknownCommand, "Unknown command")),
        })
    }

    /// True for a payload whose command has no answer, not even an error.
    pub fn is_silent(payload: &[u8]) -> bool {
        matches!(payload.first(), Some(&(com::STMT_SEND_LONG_DATA | com::STMT_CLOSE | com::QUIT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(bytes: &[u8]) -> Result<Command, SqlError> {
        Command::parse(Bytes::copy_from_slice(bytes), false)
    }

    #[test]
    fn commands() {
        let bytes = |b: &'static [u8]| Bytes::from_static(b);
        for (payload, expected) in [
            (&b"\x01"[..], Command::Quit),
            (b"\x02shop", Command::InitDb("shop".into())),
            (b"\x03SELECT 1", Command::Query("SELECT 1".into())),
            (b"\x04t\0", Command::FieldList { table: "t".into(), pattern: String::new() }),
            (b"\x04t\0a%", Command::FieldList { table: "t".into(), pattern: "a%".into() }),
            (b"\x09", Command::Statistics),
            (b"\x0c\x05\0\0\0", Command::ProcessKill(5)),
            (b"\x0e", Command::Ping),
            (b"\x11bob\0", Command::ChangeUser(bytes(b"bob\0"))),
            (b"\x16SELECT ?", Command::Prepare("SELECT ?".into())),
            (
                b"\x17\x07\0\0\0\x01\x01\0\0\0abc",
                Command::Execute { statement: 7, flags: 1, parameters: bytes(b"abc") },
            ),
            (
                b"\x18\x07\0\0\0\x02\0data",
                Command::SendLongData { statement: 7, parameter: 2, data: bytes(b"data") },
            ),
            (b"\x19\x07\0\0\0", Command::CloseStatement(7)),
            (b"\x1a\x07\0\0\0", Command::ResetStatement(7)),
            (b"\x1b\0\0", Command::SetMultiStatements(true)),
            (b"\x1b\x01\0", Command::SetMultiStatements(false)),
            (b"\x1c\x07\0\0\0\x01\0\0\0", Command::Fetch { statement: 7, rows: 1 }),
            (b"\x1f", Command::ResetConnection),
        ] {
            assert_eq!(parse(payload), Ok(expected));
        }
        assert_eq!(parse(b"\x63").unwrap_err().kind, ErrorKind::UnknownCommand);
        for cut in [&b""[..], b"\x17\x07", b"\x18\x07\0\0\0\x02", b"\x19", b"\x1b\x02\0"] {
            assert!(parse(cut).is_err());
        }
        assert_eq!(
            parse(b"\x03a\xff\xfe").unwrap_err().message,
            "Invalid utf8mb4 character string: '\\xFF\\xFE' at byte 1 of the statement"
        );
    }

    #[test]
    fn query_attributes_stand_before_the_statement() {
        let parse = |bytes: &[u8]| Command::parse(Bytes::copy_from_slice(bytes), true);
        let query = |text: &str| Ok(Command::Query(text.into()));
        assert_eq!(parse(b"\x03\0\x01SELECT 1"), query("SELECT 1"));
        let two = b"\x03\x02\x01\x02\x01\xfd\0\x04name\x08\0\x01n\x05valueSELECT 2";
        assert_eq!(parse(two), query("SELECT 2"));
        for cut in [&b"\x03"[..], b"\x03\x01\x01", b"\x03\0\x02SELECT", b"\x03\x01\x01\0\0\x03\0\x01n1234"] {
            assert!(parse(cut).is_err(), "{cut:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            let _ = parse(&bytes);
            let _ = Command::parse(bytes.into(), true);
        }

        #[test]
        fn any_attributes_are_skipped_or_refused(
            count in 0..4u8,
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let _ = Command::parse([&[3, count, 1, 0, 1][..], &bytes].concat().into(), true);
        }
    }
}
