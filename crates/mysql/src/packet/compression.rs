//! The compressed protocol: a layer below packets, which cuts the byte stream anew.
//!
//! ```text
//! frame: length u24 of the body, sequence u8, length u24 of the data, body
//! ```
//! A data length of 0 says that the body is the data as it is. Both lengths are below 2^24. Sequence
//! numbers count the frames of one exchange, both directions together, apart from those of packets.
//!
//! Both directions work piece by piece: the lengths that a frame claims cost no memory, only what
//! arrives and is asked for; the window of zstd is held to the longest frame. The inflater checks that
//! the data is as long as the frame says.

use flate2::{Compress, Compression as Level, Decompress, FlushCompress, FlushDecompress, Status};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zstd::stream::raw::{DParameter, Decoder, Encoder, InBuffer, Operation, OutBuffer};

const HEADER: usize = 7;
/// Data of one frame that this side sends.
const FRAME_DATA: usize = 64 << 10;
/// Data shorter than this is sent as it is, as MySQL does.
const WORTHWHILE: usize = 50;
/// Bytes of a frame read at once.
const READ_STEP: usize = 8 << 10;
/// The data of a frame, and so the window of zstd, is no longer than this power of two.
const WINDOW_LOG: u32 = 24;
/// The zstd levels that a client may ask for.
pub const ZSTD_LEVELS: std::ops::RangeInclusive<i32> = 1..=22;

/// How a connection compresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    Zlib,
    Zstd { level: i32 },
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a compressed packet is malformed")
}

fn u24([a, b, c]: [u8; 3]) -> usize {
    usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16
}

/// Reading side; hands through what it reads until [`Inflate::start`].
pub struct Inflate<R> {
    pub input: R,
    state: Option<Box<Inflating>>,
}

struct Inflating {
    codec: Unpacker,
    /// The number of the next frame, in either direction.
    sequence: Arc<AtomicU8>,
    header: [u8; HEADER],
    header_len: usize,
    /// Of the current frame: bytes of the body not read yet, and of the data not given out yet.
    body: usize,
    data: usize,
    packed: bool,
    /// The codec has seen the end of the frame's data.
    ended: bool,
    /// Body bytes that were read and not unpacked yet.
    buffer: Vec<u8>,
    used: usize,
}

enum Unpacker {
    Zlib(Decompress),
    Zstd(Decoder<'static>),
}

impl Unpacker {
    /// Gives how much was taken in and given out, and whether this was the end.
    fn unpack(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<(usize, usize, bool)> {
        match self {
            Unpacker::Zlib(codec) => {
                let (before_in, before_out) = (codec.total_in(), codec.total_out());
                let status =
                    codec.decompress(input, output, FlushDecompress::None).map_err(|_| malformed())?;
                let taken = (codec.total_in() - before_in) as usize;
                Ok((taken, (codec.total_out() - before_out) as usize, status == Status::StreamEnd))
            }
            Unpacker::Zstd(codec) => {
                let mut from = InBuffer::around(input);
                let mut to = OutBuffer::around(output);
                let left = codec.run(&mut from, &mut to).map_err(|_| malformed())?;
                Ok((from.pos(), to.pos(), left == 0))
            }
        }
    }

    fn restart(&mut self) -> io::Result<()> {
        match self {
            Unpacker::Zlib(codec) => {
                codec.reset(true);
                Ok(())
            }
            Unpacker::Zstd(codec) => codec.reinit(),
        }
    }
}

impl<R> Inflate<R> {
    pub fn new(input: R) -> Inflate<R> {
        Inflate { input, state: None }
    }

    /// From here on what is read is compressed. `sequence` is shared with the writing side.
    pub fn start(&mut self, compression: Compression, sequence: Arc<AtomicU8>) -> io::Result<()> {
        let codec = match compression {
            Compression::Zlib => Unpacker::Zlib(Decompress::new(true)),
            Compression::Zstd { .. } => {
                let mut codec = Decoder::new()?;
                codec.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
                Unpacker::Zstd(codec)
            }
        };
        self.state = Some(Box::new(Inflating {
            codec,
            sequence,
            header: [0; HEADER],
            header_len: 0,
            body: 0,
            data: 0,
            packed: false,
            ended: true,
            buffer: Vec::new(),
            used: 0,
        }));
        Ok(())
    }

    /// A new exchange begins: frames count from 0 again.
    pub fn restart_sequence(&self) {
        if let Some(state) = &self.state {
            state.sequence.store(0, Ordering::Relaxed);
        }
    }
}

impl Inflating {
    fn take_header(&mut self) -> io::Result<()> {
        let [a, b, c, sequence, d, e, f] = self.header;
        self.header_len = 0;
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        self.body = u24([a, b, c]);
        self.data = u24([d, e, f]);
        self.packed = self.data > 0;
        self.ended = !self.packed;
        if self.packed {
            return self.codec.restart();
        }
        self.data = self.body;
        Ok(())
    }

    /// Whether all that was read of the body is unpacked.
    fn is_drained(&self) -> bool {
        self.used == self.buffer.len()
    }

    fn between_frames(&self) -> bool {
        self.ended && self.data == 0 && self.body == 0 && self.is_drained()
    }

    /// Unpacks into `out`. Gives how many bytes; 0 asks for more of the body, or says that the frame
    /// is at its end.
    fn unpack(&mut self, out: &mut ReadBuf<'_>) -> io::Result<usize> {
        let room = self.data.min(out.remaining()).min(READ_STEP);
        // Behind the data there is a byte of room, which shows a body that holds more than it says.
        let mut spare = [0];
        let target = if self.data == 0 { &mut spare[..] } else { out.initialize_unfilled_to(room) };
        let (taken, given, ended) = self.codec.unpack(&self.buffer[self.used..], target)?;
        self.used += taken;
        self.ended = ended;
        if given > self.data {
            return Err(malformed());
        }
        self.data -= given;
        out.advance(given);
        if self.is_drained() {
            (self.buffer, self.used) = (Vec::new(), 0);
        }
        let over = self.body == 0 && self.is_drained();
        let left_over = ended && !(over && self.data == 0);
        let stuck = !ended && given == 0 && (over || taken == 0);
        if left_over || stuck { Err(malformed()) } else { Ok(given) }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Inflate<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(state) = &mut this.state else { return Pin::new(&mut this.input).poll_read(cx, out) };
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if state.between_frames() {
                let mut header = ReadBuf::new(&mut state.header[state.header_len..]);
                ready!(Pin::new(&mut this.input).poll_read(cx, &mut header))?;
                let read = header.filled().len();
                if read == 0 {
                    return Poll::Ready(match state.header_len {
                        0 => Ok(()),
                        _ => Err(io::ErrorKind::UnexpectedEof.into()),
                    });
                }
                state.header_len += read;
                if state.header_len == HEADER {
                    state.take_header()?;
                }
                continue;
            }
            if !state.packed {
                let len = state.body.min(out.remaining());
                let mut part = ReadBuf::new(out.initialize_unfilled_to(len));
                ready!(Pin::new(&mut this.input).poll_read(cx, &mut part))?;
                let read = part.filled().len();
                if read == 0 {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                out.advance(read);
                (state.body, state.data) = (state.body - read, state.data - read);
                return Poll::Ready(Ok(()));
            }
            if state.is_drained() && state.body > 0 {
                let mut piece = vec![0; state.body.min(READ_STEP)];
                let mut part = ReadBuf::new(&mut piece);
                ready!(Pin::new(&mut this.input).poll_read(cx, &mut part))?;
                let read = part.filled().len();
                if read == 0 {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                piece.truncate(read);
                (state.buffer, state.used) = (piece, 0);
                state.body -= read;
            }
            if state.unpack(out)? > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// Writing side; hands through what is written until [`Deflate::start`].
pub struct Deflate<W> {
    pub output: W,
    state: Option<Box<Deflating>>,
}

struct Deflating {
    codec: Packer,
    sequence: Arc<AtomicU8>,
    /// A frame under way, and how much of it the output has taken.
    frame: Vec<u8>,
    written: usize,
}

enum Packer {
    Zlib(Compress),
    Zstd(Encoder<'static>),
}

impl Packer {
    /// Appends `data`, packed; false if that is no shorter.
    fn pack(&mut self, data: &[u8], frame: &mut Vec<u8>) -> io::Result<bool> {
        let begin = frame.len();
        // What is no shorter is of no use, so there is no need for more room.
        frame.resize(begin + data.len(), 0);
        let room = &mut frame[begin..];
        let packed = match self {
            Packer::Zlib(codec) => {
                codec.reset();
                let status = codec.compress(data, room, FlushCompress::Finish).map_err(io::Error::other)?;
                (status == Status::StreamEnd).then(|| codec.total_out() as usize)
            }
            Packer::Zstd(codec) => {
                codec.reinit()?;
                // Makes zstd take no more memory than a frame needs, whatever the level.
                codec.set_pledged_src_size(Some(data.len() as u64))?;
                let mut from = InBuffer::around(data);
                let mut to = OutBuffer::around(room);
                codec.run(&mut from, &mut to)?;
                let left = if from.pos() == data.len() { codec.finish(&mut to, true)? } else { 1 };
                (left == 0).then(|| to.pos())
            }
        };
        frame.truncate(begin + packed.unwrap_or(0));
        Ok(packed.is_some())
    }
}

impl<W> Deflate<W> {
    pub fn new(output: W) -> Deflate<W> {
        Deflate { output, state: None }
    }

    /// From here on what is written is compressed. `sequence` is shared with the reading side.
    pub fn start(&mut self, compression: Compression, sequence: Arc<AtomicU8>) -> io::Result<()> {
        let codec = match compression {
            Compression::Zlib => Packer::Zlib(Compress::new(Level::default(), true)),
            Compression::Zstd { level } => Packer::Zstd(Encoder::new(level)?),
        };
        self.state = Some(Box::new(Deflating { codec, sequence, frame: Vec::new(), written: 0 }));
        Ok(())
    }
}

impl Deflating {
    fn make_frame(&mut self, data: &[u8]) -> io::Result<()> {
        self.frame.clear();
        self.written = 0;
        self.frame.resize(HEADER, 0);
        let packed = data.len() >= WORTHWHILE && self.codec.pack(data, &mut self.frame)?;
        if !packed {
            self.frame.truncate(HEADER);
            self.frame.extend_from_slice(data);
        }
        let [a, b, c, ..] = (self.frame.len() - HEADER).to_le_bytes();
        let [d, e, f, ..] = if packed { data.len() } else { 0 }.to_le_bytes();
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        self.frame[..HEADER].copy_from_slice(&[a, b, c, sequence, d, e, f]);
        Ok(())
    }
}

impl<W: AsyncWrite + Unpin> Deflate<W> {
    /// Writes the frame under way to its end.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(state) = &mut self.state else { return Poll::Ready(Ok(())) };
        while state.written < state.frame.len() {
            let written = ready!(Pin::new(&mut self.output).poll_write(cx, &state.frame[state.written..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            state.written += written;
        }
        (state.frame, state.written) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Deflate<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        match &mut this.state {
            None => Pin::new(&mut this.output).poll_write(cx, bytes),
            Some(state) => {
                let taken = bytes.len().min(FRAME_DATA);
                state.make_frame(&bytes[..taken])?;
                Poll::Ready(Ok(taken))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.output).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.output).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const KINDS: [Compression; 2] = [Compression::Zlib, Compression::Zstd { level: 3 }];

    async fn packed(kind: Compression, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut deflate = Deflate::new(&mut out);
        deflate.start(kind, Arc::default()).unwrap();
        deflate.write_all(data).await.unwrap();
        deflate.flush().await.unwrap();
        out
    }

    async fn unpacked(kind: Compression, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut inflate = Inflate::new(bytes);
        inflate.start(kind, Arc::default())?;
        let mut out = Vec::new();
        inflate.read_to_end(&mut out).await?;
        Ok(out)
    }

    #[tokio::test]
    async fn what_is_packed_is_unpacked() {
        for kind in KINDS {
            for len in [0, 1, 49, 50, 1000, FRAME_DATA, FRAME_DATA + 1, 300_000] {
                let repetitive: Vec<u8> = (0..len).map(|i| (i / 1000) as u8).collect();
                let random: Vec<u8> = (0..len).map(|_| rand::random()).collect();
                for data in [repetitive, random] {
                    let bytes = packed(kind, &data).await;
                    assert_eq!(unpacked(kind, &bytes).await.unwrap(), data, "{kind:?} {len}");
                }
            }
            let long = packed(kind, &[7; 100_000]).await;
            assert!(long.len() < 2000, "{kind:?}: {} bytes", long.len());
            assert_eq!(packed(kind, b"short").await, b"\x05\0\0\0\0\0\0short");
        }
    }

    #[tokio::test]
    async fn frames_that_lie_are_refused() {
        for kind in KINDS {
            let good = packed(kind, &[7; 1000]).await;
            assert_eq!(good[4..7], [0xe8, 3, 0]);
            for (at, byte) in [(4, 0xe7), (4, 0xe9), (0, good[0] - 1)] {
                let mut bad = good.clone();
                bad[at] = byte;
                assert!(unpacked(kind, &bad).await.is_err(), "{kind:?}: byte {at}");
            }
            // More within the frame than one stream.
            let mut twice = [&good[..], &good[7..]].concat();
            twice[0] *= 2;
            assert!(unpacked(kind, &twice).await.is_err());
            for end in 1..good.len() {
                assert!(unpacked(kind, &good[..end]).await.is_err(), "{kind:?}: cut at {end}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_unpacked_or_refused(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..300),
            flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            zlib: bool,
            broken: bool,
        ) {
            let kind = KINDS[usize::from(zlib)];
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                if broken {
                    bytes = packed(kind, &bytes).await;
                    for (at, byte) in flips {
                        if !bytes.is_empty() {
                            let at = at.index(bytes.len());
                            bytes[at] = byte;
                        }
                    }
                }
                // What is claimed cannot exceed 16 MiB a frame, and 300 bytes hold few frames.
                if let Ok(data) = unpacked(kind, &bytes).await {
                    assert!(data.len() <= bytes.len() << 24);
                }
            });
        }
    }
}
