//! The two directions of a socket, in clear or within TLS.

use crate::tls::{Tls, TlsInfo};
use bytes::{Buf, BytesMut};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::server::TlsStream;

pub enum Incoming {
    Plain(OwnedReadHalf),
    Tls(ReadHalf<TlsStream<Prefixed>>),
    /// While the socket is being changed, and for ever if that failed.
    Gone,
}

pub enum Outgoing {
    Plain(OwnedWriteHalf),
    Tls(WriteHalf<TlsStream<Prefixed>>),
    Gone,
}

pub fn split(stream: TcpStream) -> (Incoming, Outgoing) {
    let (input, output) = stream.into_split();
    (Incoming::Plain(input), Outgoing::Plain(output))
}

/// Does the server's side of a TLS handshake. `ahead` is what was read already of the bytes that
/// belong to it.
pub async fn encrypt(
    input: Incoming,
    output: Outgoing,
    ahead: BytesMut,
    tls: &Tls,
) -> io::Result<(Incoming, Outgoing, TlsInfo)> {
    let (Incoming::Plain(input), Outgoing::Plain(output)) = (input, output) else {
        return Err(io::Error::other("the connection is encrypted already"));
    };
    let inner = input.reunite(output).map_err(io::Error::other)?;
    let stream = tls.acceptor.accept(Prefixed { ahead, inner }).await?;
    let info = TlsInfo::of(stream.get_ref().1);
    let (input, output) = tokio::io::split(stream);
    Ok((Incoming::Tls(input), Outgoing::Tls(output), info))
}

impl AsyncRead for Incoming {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Incoming::Plain(input) => Pin::new(input).poll_read(cx, buffer),
            // Clients seldom say goodbye within TLS: without it the end is an end all the same, and
            // no command is lost by it, since each has a length.
            Incoming::Tls(input) => match Pin::new(input).poll_read(cx, buffer) {
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Poll::Ready(Ok(()))
                }
                polled => polled,
            },
            Incoming::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Outgoing {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Outgoing::Plain(output) => Pin::new(output).poll_write(cx, bytes),
            Outgoing::Tls(output) => Pin::new(output).poll_write(cx, bytes),
            Outgoing::Gone => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Outgoing::Plain(output) => Pin::new(output).poll_flush(cx),
            Outgoing::Tls(output) => Pin::new(output).poll_flush(cx),
            Outgoing::Gone => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Outgoing::Plain(output) => Pin::new(output).poll_shutdown(cx),
            Outgoing::Tls(output) => Pin::new(output).poll_shutdown(cx),
            Outgoing::Gone => Poll::Ready(Ok(())),
        }
    }
}

/// A socket of which some bytes were read already.
pub struct Prefixed {
    ahead: BytesMut,
    inner: TcpStream,
}

impl AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buffer);
        }
        let len = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead[..len]);
        self.ahead.advance(len);
        if self.ahead.is_empty() {
            self.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
