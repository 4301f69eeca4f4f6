//! The statements of the echo server.
//!
//! | statement | answer |
//! |---|---|
//! | `TYPES` | one row with a column of each type, one of NULLs |
//! | `ROWS n` | n rows of an integer and a text; no answer has more than 50,000 |
//! | `WIDE n` | n rows of ten columns |
//! | `FAIL` | error 1146 |
//! | `FAIL n` | n rows, then error 1317 |
//! | `WAIT` | never one |
//! | `BEGIN`, `COMMIT` | OK, the status changes |
//! | `INSERT ...` | OK: two rows, id 7 |
//! | `LOAD DATA LOCAL INFILE 'file' ...` | asks for the file; affected rows are its lines |
//! | `REFUSE 'file'` | asks for the file; error 1062 at its first bytes |
//! | `SET name value` | OK, and the change is told to clients that keep track |
//! | `TLS` | a row that says how the connection is encrypted; none if it is not |
//! | `KILL id` | OK, ends that connection, if there is one |
//! | another | a row with the statement's text |

use ::types::sql_type::LobSize;
use ::types::{ErrorKind, SqlError, SqlType, Value};
use arrow::array::*;
use arrow::datatypes::{Field, Schema};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;
use mysql::*;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub const PASSWORD: &str = "secret";
const BATCH: usize = 8192;

pub struct EchoServer {
    native: Option<String>,
    sha2: Option<String>,
    /// Sessions that are open, and statements that run.
    pub sessions: Arc<AtomicUsize>,
    pub running: Arc<AtomicUsize>,
    /// Turn clients without TLS away.
    pub requires_tls: bool,
    enders: Enders,
}

/// By connection, with how many of its sessions are open: COM_CHANGE_USER opens one before it closes the other.
type Enders = Arc<Mutex<HashMap<u32, (Ender, usize)>>>;

impl EchoServer {
    pub fn new() -> EchoServer {
        EchoServer {
            native: make_stored(Plugin::Native, PASSWORD),
            sha2: make_stored(Plugin::CachingSha2, PASSWORD),
            sessions: Arc::default(),
            running: Arc::default(),
            requires_tls: false,
            enders: Arc::default(),
        }
    }
}

#[async_trait]
impl Server for EchoServer {
    type Session = EchoSession;

    fn requires_tls(&self) -> bool {
        self.requires_tls
    }

    async fn credentials(&self, user: &str, _peer: &SocketAddr) -> Option<Credentials> {
        Some(match user {
            "root" => Credentials { plugin: Plugin::CachingSha2, stored: None },
            "native" => Credentials { plugin: Plugin::Native, stored: self.native.clone() },
            "sha2" => Credentials { plugin: Plugin::CachingSha2, stored: self.sha2.clone() },
            _ => return None,
        })
    }

    async fn open(&self, login: Login) -> Result<EchoSession, SqlError> {
        if login.database.as_deref() == Some("nowhere") {
            return Err(SqlError::new(ErrorKind::UnknownDatabase, "Unknown database 'nowhere'"));
        }
        self.sessions.fetch_add(1, Ordering::SeqCst);
        let mut enders = self.enders.lock().unwrap_or_else(PoisonError::into_inner);
        enders.entry(login.connection).or_insert_with(|| (login.ender.clone(), 0)).1 += 1;
        Ok(EchoSession {
            login,
            changes: Vec::new(),
            limits: SessionLimits::default(),
            enders: self.enders.clone(),
            status: StatusFlags::AUTOCOMMIT,
            prepared: Vec::new(),
            sessions: self.sessions.clone(),
            running: self.running.clone(),
        })
    }
}

pub struct EchoSession {
    login: Login,
    changes: Vec<SessionChange>,
    limits: SessionLimits,
    enders: Enders,
    status: StatusFlags,
    prepared: Vec<String>,
    sessions: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
}

/// A mutated number must not keep a test for hours.
const MOST_ROWS: usize = 50_000;

/// Counts a running statement until it ends or is dropped.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Session for EchoSession {
    async fn query(&mut self, sql: String) -> Result<Response, SqlError> {
        let mut words = sql.split_whitespace();
        let verb = words.next().unwrap_or_default().to_ascii_uppercase();
        let number =
            words.next().and_then(|word| word.parse::<usize>().ok()).map(|number| number.min(MOST_ROWS));
        self.running.fetch_add(1, Ordering::SeqCst);
        let _running = Running(self.running.clone());
        match verb.as_str() {
            "TYPES" => Ok(Response::Rows(all_types()?)),
            "ROWS" => Ok(Response::Rows(two_columns(number.unwrap_or(1), None))),
            "WIDE" => Ok(Response::Rows(ten_columns(number.unwrap_or(1))?)),
            "FAIL" => match number {
                None => Err(SqlError::new(ErrorKind::NoSuchTable, "Table 'echo.t' doesn't exist")),
                Some(rows) => {
                    let error = SqlError::new(ErrorKind::QueryInterrupted, "Query execution was interrupted");
                    Ok(Response::Rows(two_columns(rows, Some(error))))
                }
            },
            "WAIT" => std::future::pending().await,
            "BEGIN" | "COMMIT" => {
                self.status.set(StatusFlags::IN_TRANSACTION, verb == "BEGIN");
                Ok(Response::Ok(OkInfo::default()))
            }
            "INSERT" => Ok(Response::Ok(OkInfo {
                affected_rows: 2,
                last_insert_id: 7,
                info: "Records: 2  Duplicates: 0  Warnings: 0".into(),
            })),
            "SET" => {
                let mut words = sql.split_whitespace().skip(1).map(str::to_string);
                let (name, value) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                let number = value.parse().ok();
                match name.as_str() {
                    "max_allowed_packet" => self.limits.max_allowed_packet = number,
                    "wait_timeout_ms" => {
                        self.limits.wait_timeout = number.map(|ms| Duration::from_millis(ms as u64));
                    }
                    _ => {}
                }
                self.changes.push(SessionChange::Variable { name, value });
                Ok(Response::Ok(OkInfo::default()))
            }
            "TLS" => texts(
                "tls",
                self.login.tls.iter().map(|tls| format!("{} {}", tls.version, tls.cipher)).collect(),
            ),
            "KILL" if number.is_some() => {
                let enders = self.enders.lock().unwrap_or_else(PoisonError::into_inner);
                let id = number.and_then(|id| u32::try_from(id).ok()).unwrap_or_default();
                match enders.get(&id) {
                    Some((ender, _)) => ender.end(),
                    None => {
                        return Err(SqlError::new(
                            ErrorKind::NoSuchThread,
                            format!("Unknown thread id: {id}"),
                        ));
                    }
                }
                Ok(Response::Ok(OkInfo::default()))
            }
            "LOAD" | "REFUSE" => {
                let file = sql.split('\'').nth(1).unwrap_or_default().to_string();
                Ok(Response::LocalInfile {
                    file,
                    sink: Box::new(Lines { lines: 0, refuse: verb == "REFUSE" }),
                })
            }
            _ => texts("statement", vec![sql]),
        }
    }

    fn split(&self, sql: &str) -> Result<Vec<String>, SqlError> {
        Ok(sql.split(';').map(|part| part.trim().to_string()).filter(|part| !part.is_empty()).collect())
    }

    async fn prepare(&mut self, sql: String) -> Result<Prepared, SqlError> {
        let parameters = vec![ColumnMeta::parameter(); sql.matches('?').count()];
        self.prepared.push(sql);
        let columns = vec![ColumnMeta::new("parameter", SqlType::VarChar(100))];
        Ok(Prepared { id: self.prepared.len() as u32, parameters, columns })
    }

    async fn execute(&mut self, statement: u32, parameters: Vec<Value>) -> Result<Response, SqlError> {
        let sql = self.prepared.get(statement as usize - 1).cloned().unwrap_or_default();
        if parameters.is_empty() {
            return self.query(sql).await;
        }
        texts("parameter", parameters.iter().map(|value| format!("{value:?}")).collect())
    }

    async fn close_statement(&mut self, _statement: u32) {}

    async fn list_fields(&mut self, table: String, pattern: String) -> Result<Vec<ListedField>, SqlError> {
        let fields = [("id", None), ("name", Some("nobody"))];
        Ok(fields
            .into_iter()
            .filter(|(name, _)| pattern.is_empty() || pattern == *name)
            .map(|(name, default)| ListedField {
                column: ColumnMeta::new(name, SqlType::VarChar(20)).in_table("echo", &table, &table, name),
                default: default.map(str::to_string),
            })
            .collect())
    }

    fn take_changes(&mut self) -> Vec<SessionChange> {
        std::mem::take(&mut self.changes)
    }

    fn limits(&self) -> SessionLimits {
        self.limits
    }

    async fn use_database(&mut self, name: String) -> Result<(), SqlError> {
        self.changes.push(SessionChange::Schema(name.clone()));
        self.login.database = Some(name);
        Ok(())
    }

    async fn reset(&mut self) -> Result<(), SqlError> {
        self.status = StatusFlags::AUTOCOMMIT;
        self.prepared.clear();
        Ok(())
    }

    fn status(&self) -> StatusFlags {
        self.status
    }

    fn warning_count(&self) -> u16 {
        0
    }

    async fn close(self) {
        self.sessions.fetch_sub(1, Ordering::SeqCst);
        let mut enders = self.enders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, open)) = enders.get_mut(&self.login.connection) {
            *open -= 1;
            if *open == 0 {
                enders.remove(&self.login.connection);
            }
        }
    }
}

fn texts(name: &str, values: Vec<String>) -> Result<Response, SqlError> {
    let schema = Schema::new(vec![SqlType::VarChar(100).field(name, false)]);
    let batch = RecordBatch::try_new(Arc::new(schema.clone()), vec![Arc::new(StringViewArray::from(values))])
        .map_err(SqlError::internal)?;
    Ok(Response::Rows(ResultSet::of_batches(&schema, vec![batch])?))
}

/// `rows` rows, then an error if there is one.
fn two_columns(rows: usize, error: Option<SqlError>) -> ResultSet {
    let batch = move |from: usize| {
        let range = from..rows.min(from + BATCH);
        let n: ArrayRef = Arc::new(Int64Array::from_iter_values(range.clone().map(|n| n as i64)));
        let text: ArrayRef = Arc::new(StringArray::from_iter_values(range.map(|n| format!("row {n}"))));
        RecordBatch::try_from_iter([("n", n), ("text", text)]).map_err(SqlError::internal)
    };
    let batches = (0..rows).step_by(BATCH).map(batch).chain(error.map(Err));
    ResultSet {
        columns: vec![
            ColumnMeta::new("n", SqlType::BigInt { unsigned: false }),
            ColumnMeta::new("text", SqlType::VarChar(20)),
        ],
        batches: Box::pin(stream::iter(batches)),
    }
}

fn columns_of_each_type() -> Vec<(&'static str, SqlType, ArrayRef)> {
    use SqlType::*;
    let moment = 1_641_650_400_123_456;
    let decimal = Decimal128Array::from(vec![Some(-1_234_567), None]).with_precision_and_scale(15, 2);
    vec![
        ("b", Bool, Arc::new(Int8Array::from(vec![Some(1), None]))),
        ("i8", TinyInt { unsigned: false }, Arc::new(Int8Array::from(vec![Some(-8), None]))),
        ("u16", SmallInt { unsigned: true }, Arc::new(UInt16Array::from(vec![Some(16), None]))),
        ("i24", MediumInt { unsigned: false }, Arc::new(Int32Array::from(vec![Some(-24), None]))),
        ("i32", Int { unsigned: false }, Arc::new(Int32Array::from(vec![Some(-32), None]))),
        ("u64", BigInt { unsigned: true }, Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]))),
        (
            "dec",
            Decimal { precision: 15, scale: 2 },
            Arc::new(decimal.unwrap_or(Decimal128Array::new_null(2))),
        ),
        ("f32", Float, Arc::new(Float32Array::from(vec![Some(0.1), None]))),
        ("f64", Double, Arc::new(Float64Array::from(vec![Some(0.1), None]))),
        ("d", Date, Arc::new(Date32Array::from(vec![Some(19_000), None]))),
        ("t", Time { fsp: 3 }, Arc::new(DurationMicrosecondArray::from(vec![Some(-90_061_500_000), None]))),
        ("dt", DateTime { fsp: 6 }, Arc::new(TimestampMicrosecondArray::from(vec![Some(moment), None]))),
        (
            "ts",
            Timestamp { fsp: 0 },
            Arc::new(TimestampMicrosecondArray::from(vec![Some(moment), None]).with_timezone("+00:00")),
        ),
        ("y", Year, Arc::new(UInt16Array::from(vec![Some(2022), None]))),
        ("c", Char(3), Arc::new(StringViewArray::from(vec![Some("äöü"), None]))),
        ("txt", Text(LobSize::Normal), Arc::new(StringViewArray::from(vec![Some("text"), None]))),
        ("vb", VarBinary(4), Arc::new(BinaryViewArray::from(vec![Some(&[0xff, 0, 1][..]), None]))),
        ("blob", Blob(LobSize::Long), Arc::new(BinaryViewArray::from(vec![Some(&b"blob"[..]), None]))),
    ]
}

fn all_types() -> Result<ResultSet, SqlError> {
    let columns = columns_of_each_type();
    let fields: Vec<Field> = columns.iter().map(|(name, ty, _)| ty.field(name, true)).collect();
    let schema = Schema::new(fields);
    let arrays = columns.into_iter().map(|(_, _, array)| array).collect();
    let batch = RecordBatch::try_new(Arc::new(schema.clone()), arrays).map_err(SqlError::internal)?;
    ResultSet::of_batches(&schema, vec![batch])
}

/// Ten columns of the usual kinds, to measure with.
fn ten_columns(rows: usize) -> Result<ResultSet, SqlError> {
    use SqlType::*;
    let kinds = [
        ("a", BigInt { unsigned: false }),
        ("b", Int { unsigned: false }),
        ("c", Decimal { precision: 15, scale: 2 }),
        ("d", Decimal { precision: 15, scale: 2 }),
        ("e", Double),
        ("f", Date),
        ("g", DateTime { fsp: 0 }),
        ("h", Char(1)),
        ("i", VarChar(20)),
        ("j", VarChar(44)),
    ];
    let schema = Arc::new(Schema::new(kinds.map(|(name, ty)| ty.field(name, false)).to_vec()));
    let n = || 0..BATCH as i64;
    let decimals = || {
        Decimal128Array::from_iter_values(n().map(|n| i128::from(n) * 7_919)).with_precision_and_scale(15, 2)
    };
    let strings = |text: &dyn Fn(i64) -> String| StringViewArray::from_iter_values(n().map(text));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(n().map(|n| n * 1_000_003))),
        Arc::new(Int32Array::from_iter_values(n().map(|n| n as i32))),
        Arc::new(decimals().map_err(SqlError::internal)?),
        Arc::new(decimals().map_err(SqlError::internal)?),
        Arc::new(Float64Array::from_iter_values(n().map(|n| n as f64 / 100.0))),
        Arc::new(Date32Array::from_iter_values(n().map(|n| n as i32))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(n().map(|n| n * 3_600_000_000))),
        Arc::new(strings(&|n| ((b'A' + (n % 26) as u8) as char).to_string())),
        Arc::new(strings(&|n| format!("DELIVER {n}"))),
        Arc::new(strings(&|n| format!("a comment of the row with number {n}"))),
    ];
    let batch = RecordBatch::try_new(schema.clone(), arrays).map_err(SqlError::internal)?;
    let batches = (0..rows).step_by(BATCH).map(|from| batch.slice(0, BATCH.min(rows - from))).collect();
    ResultSet::of_batches(&schema, batches)
}

/// Counts lines.
struct Lines {
    lines: u64,
    refuse: bool,
}

#[async_trait]
impl InfileSink for Lines {
    async fn write(&mut self, bytes: Bytes) -> Result<(), SqlError> {
        if self.refuse {
            return Err(SqlError::new(ErrorKind::DuplicateKey, "Duplicate entry '1' for key 't.PRIMARY'"));
        }
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        Ok(())
    }

    async fn finish(self: Box<Self>, _aborted: bool) -> Result<OkInfo, SqlError> {
        Ok(OkInfo::affected(self.lines))
    }
}
