//! A client that writes and reads raw packets.

use sha1::{Digest, Sha1};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH, TRANSACTIONS, LONG_PASSWORD.
pub const BASE: u32 = 0x0008_a201;
pub const COMPRESS: u32 = 1 << 5;
pub const LOCAL_FILES: u32 = 1 << 7;
pub const SSL: u32 = 1 << 11;
pub const MULTI_STATEMENTS: u32 = 1 << 16;
pub const SESSION_TRACK: u32 = 1 << 23;
pub const DEPRECATE_EOF: u32 = 1 << 24;
pub const ZSTD: u32 = 1 << 26;
pub const QUERY_ATTRIBUTES: u32 = 1 << 27;

const PATIENCE: Duration = Duration::from_secs(20);

/// A socket, in clear or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub struct Client {
    pub stream: Box<dyn Stream>,
    pub sequence: u8,
}

/// What an ERR packet says.
#[derive(Debug, PartialEq, Eq)]
pub struct Error {
    pub errno: u16,
    pub message: String,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Client {
        Client { stream: Box::new(TcpStream::connect(address).await.unwrap()), sequence: 0 }
    }

    /// Logs in as `root`, who has no password.
    pub async fn root(address: SocketAddr, capabilities: u32) -> Client {
        let mut client = Client::connect(address).await;
        client.read().await;
        client.write(&answer(BASE | capabilities, "root", b"", "caching_sha2_password")).await;
        assert_eq!(client.read().await[0], 0);
        client
    }

    /// The next packet; `None` if the server has closed the connection.
    pub async fn try_read(&mut self) -> Option<Vec<u8>> {
        let read = async {
            let mut header = [0; 4];
            self.stream.read_exact(&mut header).await.ok()?;
            let len = usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16;
            let mut payload = vec![0; len];
            self.stream.read_exact(&mut payload).await.ok()?;
            Some((header[3], payload))
        };
        let (sequence, payload) = timeout(PATIENCE, read).await.expect("an answer in time")?;
        assert_eq!(sequence, self.sequence, "sequence of {payload:?}");
        self.sequence = sequence.wrapping_add(1);
        Some(payload)
    }

    pub async fn read(&mut self) -> Vec<u8> {
        self.try_read().await.expect("an open connection")
    }

    pub async fn read_error(&mut self) -> Error {
        error(&self.read().await)
    }

    /// The rest of a result set whose first packet is `first`: the values of text rows. Stops at
    /// the end or at an error, which is returned with it.
    pub async fn read_rows(&mut self, first: Vec<u8>, deprecate_eof: bool) -> (Vec<Vec<String>>, Vec<u8>) {
        let columns = usize::from(first[0]);
        for _ in 0..columns {
            assert!(self.read().await.starts_with(b"\x03def"));
        }
        if !deprecate_eof {
            assert_eq!(self.read().await[0], 0xfe);
        }
        let mut rows = Vec::new();
        loop {
            let packet = self.read().await;
            if packet[0] == 0xff || (packet[0] == 0xfe && packet.len() < 9) {
                return (rows, packet);
            }
            let mut rest = &packet[..];
            let mut row = Vec::new();
            while let [len, tail @ ..] = rest {
                let (value, tail) = tail.split_at(usize::from(*len));
                row.push(String::from_utf8(value.to_vec()).unwrap());
                rest = tail;
            }
            assert_eq!(row.len(), columns);
            rows.push(row);
        }
    }

    pub async fn write(&mut self, payload: &[u8]) {
        let packet = packet(self.sequence, payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.stream.write_all(&packet).await.unwrap();
    }

    pub async fn command(&mut self, payload: &[u8]) {
        self.sequence = 0;
        self.write(payload).await;
    }

    /// Sends a query and returns the first packet of its answer.
    pub async fn query(&mut self, sql: &str) -> Vec<u8> {
        self.command(&[b"\x03", sql.as_bytes()].concat()).await;
        self.read().await
    }
}

pub fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let [a, b, c, ..] = payload.len().to_le_bytes();
    [&[a, b, c, sequence], payload].concat()
}

pub fn error(packet: &[u8]) -> Error {
    assert_eq!(packet[0], 0xff, "{packet:?}");
    let text = match packet[3] {
        b'#' => &packet[9..],
        _ => &packet[3..],
    };
    Error {
        errno: u16::from_le_bytes([packet[1], packet[2]]),
        message: String::from_utf8(text.to_vec()).unwrap(),
    }
}

/// The answer to a greeting.
pub fn answer(capabilities: u32, user: &str, response: &[u8], plugin: &str) -> Vec<u8> {
    let mut bytes = capabilities.to_le_bytes().to_vec();
    bytes.extend_from_slice(&[0, 0, 0, 1, 45]);
    bytes.extend_from_slice(&[0; 23]);
    bytes.extend_from_slice(user.as_bytes());
    bytes.extend_from_slice(&[0, response.len() as u8]);
    bytes.extend_from_slice(response);
    bytes.extend_from_slice(plugin.as_bytes());
    bytes.push(0);
    bytes
}

/// The nonce of a greeting.
pub fn nonce(greeting: &[u8]) -> Vec<u8> {
    let version = greeting.iter().position(|byte| *byte == 0).unwrap();
    let first = version + 5;
    [&greeting[first..first + 8], &greeting[first + 27..first + 39]].concat()
}

/// mysql_native_password's answer to a nonce.
pub fn native(password: &str, nonce: &[u8]) -> Vec<u8> {
    let once = Sha1::digest(password);
    let mask = Sha1::new().chain_update(nonce).chain_update(Sha1::digest(once)).finalize();
    once.iter().zip(mask).map(|(a, b)| a ^ b).collect()
}
