//! What a statement answers, and the packets OK, EOF and ERR.

use crate::column::ColumnMeta;
use crate::packet::writer::{put_lenenc, put_lenenc_bytes, put_u16};
use crate::protocol::StatusFlags;
use arrow::array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use std::fmt;
use types::SqlError;

/// The answer to one statement.
pub enum Response {
    Ok(OkInfo),
    Rows(ResultSet),
    /// LOAD DATA LOCAL INFILE: asks the client for a file and hands its bytes to `sink`.
    LocalInfile {
        file: String,
        sink: Box<dyn InfileSink>,
    },
}

/// The numbers of a statement that returns no rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OkInfo {
    pub affected_rows: u64,
    pub last_insert_id: u64,
    /// "Records: 3  Duplicates: 1  Warnings: 0" and the like; may be empty.
    pub info: String,
}

impl OkInfo {
    pub fn affected(rows: u64) -> OkInfo {
        OkInfo { affected_rows: rows, ..OkInfo::default() }
    }
}

/// Rows, taken from the stream no faster than the client reads them. TIMESTAMP values are sent as
/// they stand in the arrays: the session has shifted them to its time zone. The stream's end is the
/// statement's end; if it is dropped earlier, the client has gone.
pub struct ResultSet {
    pub columns: Vec<ColumnMeta>,
    pub batches: BoxStream<'static, Result<RecordBatch, SqlError>>,
}

impl ResultSet {
    /// A result that is there already. Its columns are those of the batches' schema.
    pub fn of_batches(
        schema: &arrow::datatypes::Schema,
        batches: Vec<RecordBatch>,
    ) -> Result<ResultSet, SqlError> {
        let columns = schema.fields().iter().map(|f| ColumnMeta::of_field(f)).collect::<Result<_, _>>()?;
        let batches = Box::pin(futures::stream::iter(batches.into_iter().map(Ok)));
        Ok(ResultSet { columns, batches })
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Response::Ok(info) => f.debug_tuple("Ok").field(info).finish(),
            Response::Rows(rows) => f.debug_tuple("Rows").field(&rows.columns).finish(),
            Response::LocalInfile { file, .. } => f.debug_tuple("LocalInfile").field(file).finish(),
        }
    }
}

/// Takes the bytes of a client's file, cut anywhere.
#[async_trait]
pub trait InfileSink: Send {
    /// After an error nothing more is written; the sink is then finished as aborted.
    async fn write(&mut self, bytes: Bytes) -> Result<(), SqlError>;

    /// The file has ended, or, if `aborted`, the statement must leave no trace: writing failed or
    /// the client has gone. The result of an aborted one is not used.
    async fn finish(self: Box<Self>, aborted: bool) -> Result<OkInfo, SqlError>;
}

const OK: u8 = 0x00;
const EOF: u8 = 0xfe;
const ERR: u8 = 0xff;

/// Status flags and warning count, which every end of a response has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    pub status: StatusFlags,
    pub warnings: u16,
}

/// Something of the session that a statement changed, for clients that keep track of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionChange {
    Variable {
        name: String,
        value: String,
    },
    /// Another default database; empty for none.
    Schema(String),
    /// Anything at all, for clients that only ask whether.
    State,
}

const TRACK_VARIABLE: u8 = 0;
const TRACK_SCHEMA: u8 = 1;
const TRACK_STATE: u8 = 2;

fn put_change(out: &mut Vec<u8>, change: &SessionChange) {
    let mut data = Vec::new();
    let kind = match change {
        SessionChange::Variable { name, value } => {
            put_lenenc_bytes(&mut data, name.as_bytes());
            put_lenenc_bytes(&mut data, value.as_bytes());
            TRACK_VARIABLE
        }
        SessionChange::Schema(name) => {
            put_lenenc_bytes(&mut data, name.as_bytes());
            TRACK_SCHEMA
        }
        SessionChange::State => {
            put_lenenc_bytes(&mut data, b"1");
            TRACK_STATE
        }
    };
    out.push(kind);
    put_lenenc_bytes(out, &data);
}

pub(crate) fn put_ok(out: &mut Vec<u8>, info: &OkInfo, ending: Ending, changes: &[SessionChange]) {
    out.push(OK);
    put_ok_fields(out, info, ending, changes);
}

fn put_ok_fields(out: &mut Vec<u8>, info: &OkInfo, ending: Ending, changes: &[SessionChange]) {
    let mut status = ending.status;
    status.set(StatusFlags::SESSION_STATE_CHANGED, !changes.is_empty());
    put_lenenc(out, info.affected_rows);
    put_lenenc(out, info.last_insert_id);
    put_u16(out, status.bits());
    put_u16(out, ending.warnings);
    if !info.info.is_empty() || !changes.is_empty() {
        put_lenenc_bytes(out, info.info.as_bytes());
    }
    if !changes.is_empty() {
        let mut all = Vec::new();
        changes.iter().for_each(|change| put_change(&mut all, change));
        put_lenenc_bytes(out, &all);
    }
}

/// The end of rows or column definitions.
pub(crate) fn put_eof(out: &mut Vec<u8>, ending: Ending) {
    out.push(EOF);
    put_u16(out, ending.warnings);
    put_u16(out, ending.status.bits());
}

/// The end of rows for clients with DEPRECATE_EOF: an OK packet with the other header.
pub(crate) fn put_rows_end(out: &mut Vec<u8>, ending: Ending, changes: &[SessionChange]) {
    out.push(EOF);
    put_ok_fields(out, &OkInfo::default(), ending, changes);
}

pub(crate) fn put_error(out: &mut Vec<u8>, error: &SqlError) {
    out.push(ERR);
    put_u16(out, error.kind.errno());
    out.push(b'#');
    out.extend_from_slice(error.kind.sqlstate().as_bytes());
    out.extend_from_slice(error.message.as_bytes());
}

/// An error in place of the greeting: the client does not expect an SQLSTATE yet.
pub(crate) fn put_early_error(out: &mut Vec<u8>, error: &SqlError) {
    out.push(ERR);
    put_u16(out, error.kind.errno());
    out.extend_from_slice(error.message.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::ErrorKind;

    fn bytes(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out);
        out
    }

    #[test]
    fn packets() {
        let ending = Ending { status: StatusFlags::AUTOCOMMIT, warnings: 3 };
        let info = OkInfo { affected_rows: 300, last_insert_id: 7, info: "hi".into() };
        assert_eq!(bytes(|out| put_ok(out, &info, ending, &[])), b"\0\xfc\x2c\x01\x07\x02\0\x03\0\x02hi");
        assert_eq!(bytes(|out| put_ok(out, &OkInfo::default(), ending, &[])), b"\0\0\0\x02\0\x03\0");
        assert_eq!(bytes(|out| put_eof(out, ending)), b"\xfe\x03\0\x02\0");
        assert_eq!(bytes(|out| put_rows_end(out, ending, &[])), b"\xfe\0\0\x02\0\x03\0");
        let changes = [
            SessionChange::Schema("shop".into()),
            SessionChange::Variable { name: "a".into(), value: "ON".into() },
            SessionChange::State,
        ];
        assert_eq!(
            bytes(|out| put_ok(out, &OkInfo::default(), ending, &changes)),
            b"\0\0\0\x02\x40\x03\0\0\x12\x01\x05\x04shop\0\x05\x01a\x02ON\x02\x02\x011"
        );
        let error = SqlError::new(ErrorKind::NoSuchTable, "no t");
        assert_eq!(bytes(|out| put_error(out, &error)), b"\xff\x7a\x04#42S02no t");
        assert_eq!(bytes(|out| put_early_error(out, &error)), b"\xff\x7a\x04no t");
    }
}
