//! Payloads in a byte stream.
//!
//! ```text
//! packet: length u24, sequence u8, length bytes
//! ```
//! A payload of 2^24 - 1 bytes or more is cut into packets of that length and a shorter last one,
//! maybe empty. Sequence numbers count the packets of one exchange, both directions together, and
//! begin at 0 with each command.
//!
//! The reader checks a packet's length against the limit before it makes room for it, and makes
//! room only as bytes arrive. The writer collects packets in one buffer; who fills it decides when
//! to [`PacketWriter::flush`].

use bytes::{Buf, Bytes, BytesMut};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// The longest payload of one packet; a packet of just this length is followed by another.
pub const MAX_PAYLOAD: usize = 0xff_ffff;
const HEADER: usize = 4;
/// Room made at once while a packet arrives.
const READ_STEP: usize = 64 << 10;
/// Bytes of pipelined commands taken in while a statement runs.
const READ_AHEAD: usize = 64 << 10;
/// What an idle connection may keep of its output buffer.
const IDLE_OUTPUT: usize = 16 << 10;
/// A packet longer than this gives its memory back when it has been handled.
const IDLE_INPUT: usize = 256 << 10;

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the client closed the connection")]
    Closed,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the client sent nothing in time")]
    TimedOut,
    #[error("a packet is longer than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("a packet has sequence number {found} in place of {expected}")]
    OutOfOrder { expected: u8, found: u8 },
}

/// How long to wait: for the first byte of a packet, and for progress within it.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub first: Duration,
    pub rest: Duration,
}

pub struct PacketReader<R> {
    pub input: R,
    buffer: BytesMut,
    /// Takes any sequence number. In the compressed protocol clients differ in how they count
    /// packets, and the frames below have numbers of their own.
    pub any_sequence: bool,
}

impl<R: AsyncRead + Unpin> PacketReader<R> {
    pub fn new(input: R) -> PacketReader<R> {
        PacketReader { input, buffer: BytesMut::new(), any_sequence: false }
    }

    /// Whether no byte of a next packet has come yet.
    pub fn is_between_packets(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Takes out what was read ahead.
    pub fn take_ahead(&mut self) -> BytesMut {
        std::mem::take(&mut self.buffer)
    }

    /// One payload of at most `limit` bytes, joined from its packets. `sequence` is the number
    /// that its first packet must have, and afterwards the one of an answer, of an error too.
    pub async fn read(
        &mut self,
        sequence: &mut u8,
        limit: usize,
        patience: Patience,
    ) -> Result<Bytes, ReadError> {
        let mut wait = patience.first;
        let mut joined: Option<BytesMut> = None;
        loop {
            self.fill(HEADER, wait).await?;
            wait = patience.rest;
            let len = usize::from(self.buffer[0])
                | usize::from(self.buffer[1]) << 8
                | usize::from(self.buffer[2]) << 16;
            let found = self.buffer[3];
            let expected = std::mem::replace(sequence, found.wrapping_add(1));
            if found != expected && !self.any_sequence {
                return Err(ReadError::OutOfOrder { expected, found });
            }
            if joined.as_ref().map_or(0, BytesMut::len) + len > limit {
                return Err(ReadError::TooLarge { limit });
            }
            self.buffer.advance(HEADER);
            self.fill(len, wait).await?;
            let part = self.buffer.split_to(len);
            if len > IDLE_INPUT {
                // The rest must not keep the large allocation alive.
                self.buffer = BytesMut::from(&self.buffer[..]);
            }
            let payload = match joined.take() {
                None => part,
                Some(mut joined) => {
                    joined.extend_from_slice(&part);
                    joined
                }
            };
            if len < MAX_PAYLOAD {
                return Ok(payload.freeze());
            }
            joined = Some(payload);
        }
    }

    /// Reads until the buffer has `want` bytes.
    async fn fill(&mut self, want: usize, wait: Duration) -> Result<(), ReadError> {
        while self.buffer.len() < want {
            let missing = want - self.buffer.len();
            self.buffer.reserve(missing.clamp(HEADER << 10, READ_STEP.max(self.buffer.len())));
            match timeout(wait, self.input.read_buf(&mut self.buffer)).await {
                Err(_) => return Err(ReadError::TimedOut),
                Ok(Ok(0)) => return Err(ReadError::Closed),
                Ok(read) => read?,
            };
        }
        Ok(())
    }

    /// Returns when the client has closed the connection. Takes in pipelined bytes meanwhile, up to
    /// a bound; a client that has more than that under way is found gone only by writing to it.
    /// May be dropped at any time.
    pub async fn closed(&mut self) {
        while self.buffer.len() < READ_AHEAD {
            self.buffer.reserve(HEADER << 10);
            if !matches!(self.input.read_buf(&mut self.buffer).await, Ok(n) if n > 0) {
                return;
            }
        }
        std::future::pending().await
    }

    /// Reads and forgets what the client still sends, so that closing the socket does not reset the
    /// connection before the client has read the last answer.
    pub async fn drain(&mut self, wait: Duration) {
        self.buffer = BytesMut::new();
        let drained = async {
            let mut sink = vec![0; READ_STEP];
            while matches!(self.input.read(&mut sink).await, Ok(n) if n > 0) {}
        };
        // Out of time or closed, the connection ends.
        let _ = timeout(wait, drained).await;
    }
}

/// A place in the output that [`PacketWriter::rewind`] can go back to.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    len: usize,
    sequence: u8,
    flushes: u64,
}

pub struct PacketWriter<W> {
    pub output: W,
    buffer: Vec<u8>,
    /// Bytes of the buffer that the operating system has taken.
    written: usize,
    /// Where the header of the open packet begins.
    open: usize,
    /// The sequence number of the next packet, in either direction.
    pub sequence: u8,
    flushes: u64,
    /// How long the client may take nothing.
    pub stall: Duration,
}

impl<W: AsyncWrite + Unpin> PacketWriter<W> {
    pub fn new(output: W, stall: Duration) -> PacketWriter<W> {
        PacketWriter { output, buffer: Vec::new(), written: 0, open: 0, sequence: 0, flushes: 0, stall }
    }

    /// Opens a packet: its payload is what is appended until [`Self::end`].
    #[inline]
    pub fn begin(&mut self) -> &mut Vec<u8> {
        self.open = self.buffer.len();
        self.buffer.extend_from_slice(&[0; HEADER]);
        &mut self.buffer
    }

    /// Closes the open packet.
    #[inline]
    pub fn end(&mut self) {
        let len = self.buffer.len() - self.open - HEADER;
        if len >= MAX_PAYLOAD {
            return self.end_split();
        }
        let [a, b, c, ..] = len.to_le_bytes();
        self.buffer[self.open..self.open + HEADER].copy_from_slice(&[a, b, c, self.sequence]);
        self.sequence = self.sequence.wrapping_add(1);
    }

    fn end_split(&mut self) {
        let payload = self.buffer.split_off(self.open + HEADER);
        self.buffer.truncate(self.open);
        let mut rest = &payload[..];
        loop {
            let (part, tail) = rest.split_at(rest.len().min(MAX_PAYLOAD));
            let [a, b, c, ..] = part.len().to_le_bytes();
            self.buffer.extend_from_slice(&[a, b, c, self.sequence]);
            self.buffer.extend_from_slice(part);
            self.sequence = self.sequence.wrapping_add(1);
            if part.len() < MAX_PAYLOAD {
                return;
            }
            rest = tail;
        }
    }

    /// Appends one packet.
    pub fn packet(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        fill(self.begin());
        self.end();
    }

    /// Bytes that wait for a flush.
    pub fn pending(&self) -> &[u8] {
        &self.buffer
    }

    pub fn mark(&self) -> Mark {
        Mark { len: self.buffer.len(), sequence: self.sequence, flushes: self.flushes }
    }

    /// Takes back the packets since `mark`, unless some of them are on their way already.
    pub fn rewind(&mut self, mark: Mark) {
        if mark.flushes == self.flushes {
            self.buffer.truncate(mark.len);
            self.sequence = mark.sequence;
        }
    }

    /// Hands the buffer to the operating system; waits while the client does not keep up. If it is
    /// dropped meanwhile, the next call goes on where it was.
    pub async fn flush(&mut self) -> io::Result<()> {
        while self.written < self.buffer.len() {
            let write = self.output.write(&self.buffer[self.written..]);
            match timeout(self.stall, write).await?? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => self.written += written,
            }
        }
        self.buffer.clear();
        self.written = 0;
        self.flushes += 1;
        timeout(self.stall, self.output.flush()).await?
    }

    /// As [`Self::flush`]; gives back what an idle connection needs not keep.
    pub async fn flush_last(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.buffer.shrink_to(IDLE_OUTPUT);
        Ok(())
    }

    /// Says that nothing more will come.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        timeout(self.stall, self.output.shutdown()).await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WAIT: Patience = Patience { first: Duration::from_secs(5), rest: Duration::from_secs(5) };

    async fn read_all(bytes: &[u8], limit: usize) -> (Vec<Bytes>, ReadError) {
        let mut reader = PacketReader::new(bytes);
        let mut sequence = 0;
        let mut payloads = Vec::new();
        loop {
            match reader.read(&mut sequence, limit, WAIT).await {
                Ok(payload) => payloads.push(payload),
                Err(error) => return (payloads, error),
            }
        }
    }

    #[tokio::test]
    async fn packets_have_length_and_sequence() {
        let mut out = Vec::new();
        let mut writer = PacketWriter::new(&mut out, WAIT.rest);
        writer.packet(|p| p.extend_from_slice(b"ab"));
        let mark = writer.mark();
        writer.packet(|p| p.extend_from_slice(b"gone"));
        writer.rewind(mark);
        writer.packet(|_| {});
        writer.flush().await.unwrap();
        writer.rewind(mark);
        writer.packet(|p| p.push(9));
        writer.flush_last().await.unwrap();
        assert_eq!(out, b"\x02\0\0\0ab\0\0\0\x01\x01\0\0\x02\x09");
        let (payloads, end) = read_all(&out, 10).await;
        assert_eq!(payloads, [&b"ab"[..], b"", b"\x09"]);
        assert!(matches!(end, ReadError::Closed));
    }

    #[tokio::test]
    async fn long_payloads_are_split_and_joined() {
        for len in [MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 2 * MAX_PAYLOAD] {
            let payload: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let mut out = Vec::new();
            let mut writer = PacketWriter::new(&mut out, WAIT.rest);
            writer.packet(|p| p.extend_from_slice(&payload));
            writer.packet(|p| p.push(1));
            writer.flush().await.unwrap();
            assert_eq!(out.len(), len + 1 + (len / MAX_PAYLOAD + 2) * HEADER);
            let (payloads, _) = read_all(&out, len).await;
            assert!(payloads[0] == payload && payloads[1] == [1][..]);
            let (payloads, end) = read_all(&out, len - 1).await;
            assert!(payloads.is_empty() && matches!(end, ReadError::TooLarge { .. }));
        }
    }

    #[tokio::test]
    async fn a_long_packet_is_refused_by_its_header_and_memory_follows_what_arrives() {
        let (_, end) = read_all(&[0, 0, 1, 0], 100).await;
        assert!(matches!(end, ReadError::TooLarge { limit: 100 }));
        let (mut client, server) = tokio::io::duplex(1 << 20);
        client.write_all(&[0xfe, 0xff, 0xff, 0, 1, 2, 3]).await.unwrap();
        drop(client);
        let mut reader = PacketReader::new(server);
        let end = reader.read(&mut 0, 64 << 20, WAIT).await;
        assert!(matches!(end, Err(ReadError::Closed)));
        assert!(reader.buffer.capacity() <= 2 * READ_STEP);
    }

    #[tokio::test]
    async fn a_wrong_sequence_number_is_refused() {
        let (_, end) = read_all(&[1, 0, 0, 3, 9], 100).await;
        assert!(matches!(end, ReadError::OutOfOrder { expected: 0, found: 3 }));
    }

    #[tokio::test]
    async fn silence_ends_the_wait() {
        let (_client, server) = tokio::io::duplex(100);
        let short = Patience { first: Duration::from_millis(1), ..WAIT };
        let end = PacketReader::new(server).read(&mut 0, 10, short).await;
        assert!(matches!(end, Err(ReadError::TimedOut)));
    }

    #[tokio::test]
    async fn reading_ahead_loses_nothing_and_is_bounded() {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let mut reader = PacketReader::new(server);
        client.write_all(&[1, 0, 0, 0, 7]).await.unwrap();
        assert!(timeout(Duration::from_millis(20), reader.closed()).await.is_err());
        client.write_all(&vec![0; 1 << 19]).await.unwrap();
        assert!(timeout(Duration::from_millis(20), reader.closed()).await.is_err());
        assert!(reader.buffer.len() <= 2 * READ_AHEAD);
        assert_eq!(reader.read(&mut 0, 10, WAIT).await.unwrap(), [7][..]);
        drop(client);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let (payloads, _) = runtime.block_on(read_all(&bytes, 64));
            prop_assert!(payloads.iter().all(|p| p.len() <= 64));
        }
    }
}
