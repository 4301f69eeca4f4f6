//! The compressed protocol, frame by frame.

use super::client::*;
use super::start;
use std::io::{Read, Write};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Zlib,
    Zstd,
}

struct Framed {
    client: Client,
    kind: Kind,
    sequence: u8,
    /// Data that has come and was not taken yet.
    data: Vec<u8>,
}

impl Framed {
    async fn root(address: SocketAddr, kind: Kind) -> Framed {
        let mut client = Client::connect(address).await;
        client.read().await;
        let flag = if kind == Kind::Zlib { COMPRESS } else { ZSTD };
        let mut bytes = answer(BASE | DEPRECATE_EOF | flag, "root", b"", "caching_sha2_password");
        if kind == Kind::Zstd {
            bytes.push(5);
        }
        client.write(&bytes).await;
        assert_eq!(client.read().await[0], 0);
        Framed { client, kind, sequence: 0, data: Vec::new() }
    }

    fn pack(&self, data: &[u8]) -> Vec<u8> {
        match self.kind {
            Kind::Zlib => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Kind::Zstd => zstd::encode_all(data, 3).unwrap(),
        }
    }

    fn unpack(&self, body: &[u8]) -> Vec<u8> {
        match self.kind {
            Kind::Zlib => {
                let mut data = Vec::new();
                flate2::read::ZlibDecoder::new(body).read_to_end(&mut data).unwrap();
                data
            }
            Kind::Zstd => zstd::decode_all(body).unwrap(),
        }
    }

    async fn send(&mut self, data: &[u8], packed: bool) {
        let body = if packed { self.pack(data) } else { data.to_vec() };
        let [a, b, c, ..] = body.len().to_le_bytes();
        let [d, e, f, ..] = if packed { data.len() } else { 0 }.to_le_bytes();
        let frame = [&[a, b, c, self.sequence, d, e, f], &body[..]].concat();
        self.sequence = self.sequence.wrapping_add(1);
        self.client.stream.write_all(&frame).await.unwrap();
    }

    async fn receive(&mut self) {
        let mut header = [0; 7];
        self.client.stream.read_exact(&mut header).await.unwrap();
        assert_eq!(header[3], self.sequence);
        self.sequence = self.sequence.wrapping_add(1);
        let length = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], 0]) as usize;
        let mut body = vec![0; length(0)];
        self.client.stream.read_exact(&mut body).await.unwrap();
        let data = if length(4) == 0 { body } else { self.unpack(&body) };
        assert!(length(4) == 0 || data.len() == length(4));
        self.data.extend_from_slice(&data);
    }

    async fn packet(&mut self) -> Vec<u8> {
        let len = |data: &[u8]| u32::from_le_bytes([data[0], data[1], data[2], 0]) as usize;
        while self.data.len() < 4 || self.data.len() < 4 + len(&self.data) {
            self.receive().await;
        }
        let len = len(&self.data);
        self.data.drain(..4 + len).skip(4).collect()
    }

    async fn query(&mut self, sql: &str, packed: bool) {
        self.sequence = 0;
        self.send(&packet(0, &[b"\x03", sql.as_bytes()].concat()), packed).await;
    }

    async fn rows(&mut self) -> usize {
        let columns = self.packet().await[0];
        for _ in 0..columns {
            self.packet().await;
        }
        let mut rows = 0;
        while self.packet().await[0] != 0xfe {
            rows += 1;
        }
        rows
    }
}

#[tokio::test]
async fn statements_and_results_are_compressed() {
    let server = start().await;
    for kind in [Kind::Zlib, Kind::Zstd] {
        let mut client = Framed::root(server.address, kind).await;
        client.query("ROWS 3", false).await;
        assert_eq!(client.rows().await, 3);
        client.query("ROWS 50000", true).await;
        assert_eq!(client.rows().await, 50_000);
        // A packet that is cut anywhere, even in its header, and another exchange after it.
        let text = format!("echo {}", "x".repeat(100_000));
        let whole = packet(0, &[b"\x03", text.as_bytes()].concat());
        client.sequence = 0;
        client.send(&whole[..2], false).await;
        client.send(&whole[2..70_000], true).await;
        client.send(&whole[70_000..], true).await;
        assert_eq!(client.rows().await, 1);
        client.query("ROWS 1", true).await;
        assert_eq!(client.rows().await, 1);
    }
}

#[tokio::test]
async fn a_broken_frame_ends_its_connection_alone() {
    let server = start().await;
    for kind in [Kind::Zlib, Kind::Zstd] {
        let mut client = Framed::root(server.address, kind).await;
        client.client.stream.write_all(&[5, 0, 0, 0, 100, 0, 0, 1, 2, 3, 4, 5]).await.unwrap();
        let mut rest = Vec::new();
        client.client.stream.read_to_end(&mut rest).await.unwrap();
        // Sixteen MiB that are not there cost nothing.
        let mut claims = Framed::root(server.address, kind).await;
        claims.client.stream.write_all(&[0xff, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 1]).await.unwrap();
        let mut other = Framed::root(server.address, kind).await;
        other.query("ROWS 2", true).await;
        assert_eq!(other.rows().await, 2);
    }
}
