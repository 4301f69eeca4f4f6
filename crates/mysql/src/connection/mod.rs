//! The life of one connection: login, then commands one after the other until the client or the
//! server ends it.
//!
//! While a statement runs, the connection watches its socket and the server's phase; if the client
//! goes or the server stops, the statement's future is dropped and the session closed.

mod commands;
mod cursor;
mod infile;
mod login;
mod rows;

use crate::auth::exchange::Authenticator;
use crate::counters::{Held, count};
use crate::listener::{Config, Limits};
use crate::packet::compression::{Compression, Deflate, Inflate};
use crate::packet::framing::{PacketReader, PacketWriter, Patience, ReadError};
use crate::packet::transport::{self, Incoming, Outgoing};
use crate::protocol::Capabilities;
use crate::response::{Ending, OkInfo, SessionChange, put_error, put_ok};
use crate::server::{Ender, Server, Session};
use crate::tls::TlsInfo;
use bytes::Bytes;
use commands::Connection;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use types::{ErrorKind, SqlError};

/// How long to wait for a client to read its last error and close, before and after login.
const LINGER_STRANGER: Duration = Duration::from_secs(1);
const LINGER: Duration = Duration::from_secs(10);
/// The same for a client that asked for nothing: only a command just under way could be lost.
const LINGER_IDLE: Duration = Duration::from_millis(200);

/// What all connections of a listener share.
pub(crate) struct Shared<S> {
    pub server: Arc<S>,
    pub config: Config,
    pub authenticator: Authenticator,
}

/// Where the server stands between start and stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Running,
    /// No new commands.
    Draining,
    /// Running statements end too.
    Stopped,
}

/// Waits until the connection was ended from outside.
async fn was_ended(ended: &mut watch::Receiver<bool>) {
    if ended.wait_for(|ended| *ended).await.is_err() {
        // Nobody is left who could.
        std::future::pending().await
    }
}

/// Waits until the server has come to a phase.
async fn reached(phase: &mut watch::Receiver<Phase>, at: Phase) {
    // If the sender is gone, so is the server.
    let _ = phase.wait_for(|now| *now >= at).await;
}

/// Why a connection ends.
#[derive(Debug)]
pub(crate) enum End {
    /// The client said so.
    Quit,
    /// The client has gone, or was silent for too long.
    Lost,
    /// The client sent no command for too long.
    Idle,
    /// Somebody ended the connection while a statement ran.
    Killed,
    /// The server stops.
    Stopped,
    /// The client is told why.
    Fatal(SqlError),
}

impl From<ReadError> for End {
    fn from(error: ReadError) -> End {
        match error {
            ReadError::Closed | ReadError::Io(_) | ReadError::TimedOut => End::Lost,
            ReadError::TooLarge { .. } => End::Fatal(SqlError::new(
                ErrorKind::PacketTooLarge,
                "Got a packet bigger than 'max_allowed_packet' bytes",
            )),
            ReadError::OutOfOrder { .. } => {
                End::Fatal(SqlError::new(ErrorKind::PacketsOutOfOrder, "Got packets out of order"))
            }
        }
    }
}

impl From<std::io::Error> for End {
    fn from(_: std::io::Error) -> End {
        End::Lost
    }
}

/// The two directions of a connection and what ends it from outside.
pub(crate) struct Wire {
    input: PacketReader<Inflate<Incoming>>,
    output: PacketWriter<Deflate<Outgoing>>,
    phase: watch::Receiver<Phase>,
    ended: watch::Receiver<bool>,
    capabilities: Capabilities,
    limits: Limits,
    tls: Option<TlsInfo>,
}

impl Wire {
    /// From here on both directions are compressed.
    fn compress(&mut self, compression: Compression) -> std::io::Result<()> {
        let sequence = Arc::new(AtomicU8::new(0));
        self.input.any_sequence = true;
        self.input.input.start(compression, sequence.clone())?;
        self.output.output.start(compression, sequence)
    }

    /// The next command, or the end.
    async fn next_command(&mut self) -> Result<Bytes, End> {
        self.output.sequence = 0;
        self.input.input.restart_sequence();
        let patience = Patience { first: self.limits.wait_timeout, rest: self.limits.read_timeout };
        match self.read(patience, Phase::Draining).await {
            // Nobody waits for an answer.
            Err(End::Killed) => Err(End::Lost),
            read => read,
        }
    }

    /// A packet within an exchange.
    async fn next_packet(&mut self) -> Result<Bytes, End> {
        let patience = Patience { first: self.limits.read_timeout, rest: self.limits.read_timeout };
        self.read(patience, Phase::Stopped).await
    }

    async fn read(&mut self, patience: Patience, until: Phase) -> Result<Bytes, End> {
        let read = self.input.read(&mut self.output.sequence, self.limits.max_allowed_packet, patience);
        let payload = tokio::select! {
            biased;
            () = reached(&mut self.phase, until) => return Err(End::Stopped),
            () = was_ended(&mut self.ended) => return Err(End::Killed),
            payload = read => payload,
        };
        match payload {
            Err(ReadError::TimedOut) if until == Phase::Draining && self.input.is_between_packets() => {
                Err(End::Idle)
            }
            payload => Ok(payload?),
        }
    }

    /// Runs `future`, unless the client goes or the server stops.
    async fn until_done<F: Future>(&mut self, future: F) -> Result<F::Output, End> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = self.input.closed() => Err(End::Lost),
            () = was_ended(&mut self.ended) => Err(End::Killed),
            () = reached(&mut self.phase, Phase::Stopped) => Err(End::Stopped),
        }
    }

    /// `changes` is empty for a client that does not ask for them.
    fn ok(&mut self, info: &OkInfo, ending: Ending, changes: &[SessionChange]) {
        self.output.packet(|p| put_ok(p, info, ending, changes));
    }

    fn error(&mut self, error: &SqlError) {
        self.output.packet(|p| put_error(p, error));
    }

    /// Tells the client why, if it is not its own wish.
    async fn say_goodbye(&mut self, end: End, linger: Duration) {
        let error = match end {
            End::Quit | End::Lost => return,
            End::Idle => SqlError::new(
                ErrorKind::ClientInteractionTimeout,
                "The client was disconnected by the server because of inactivity. \
                 See wait_timeout and interactive_timeout for configuring this behavior.",
            ),
            End::Killed => SqlError::new(ErrorKind::QueryInterrupted, "Query execution was interrupted"),
            End::Stopped => SqlError::new(ErrorKind::ShuttingDown, "Server shutdown in progress"),
            End::Fatal(error) => error,
        };
        self.error(&error);
        let said = async {
            self.output.flush().await?;
            self.output.shutdown().await
        };
        // Bytes that the client still sends would make the system reset the connection, and the
        // client lose the error.
        if said.await.is_ok() {
            tokio::select! {
                biased;
                () = self.input.drain(linger) => {}
                () = reached(&mut self.phase, Phase::Stopped) => {}
            }
        }
    }
}

/// What counts a connection while it lives.
pub(crate) struct Admission {
    pub connection: Held,
    /// Until login.
    pub stranger: Held,
}

/// Serves one client.
pub(crate) async fn run<S: Server>(
    stream: TcpStream,
    peer: SocketAddr,
    id: u32,
    admission: Admission,
    shared: Arc<Shared<S>>,
    phase: watch::Receiver<Phase>,
) {
    let counters = shared.config.counters.clone();
    let limits = shared.config.limits.clone();
    let Admission { connection: _counted, stranger } = admission;
    let (input, output) = transport::split(stream);
    let (ender, ended) = Ender::new();
    let mut wire = Wire {
        input: PacketReader::new(Inflate::new(input)),
        output: PacketWriter::new(Deflate::new(output), limits.write_timeout),
        phase: phase.clone(),
        ended,
        capabilities: Capabilities::empty(),
        limits,
        tls: None,
    };
    let mut phase = phase;
    let login = timeout(wire.limits.handshake_timeout, login::log_in(&mut wire, &shared, peer, id, ender));
    let login = tokio::select! {
        biased;
        () = reached(&mut phase, Phase::Draining) => Err(End::Stopped),
        login = login => login.unwrap_or(Err(End::Lost)),
    };
    let (session, who) = match login {
        Ok(login) => login,
        Err(end) => {
            if !matches!(end, End::Stopped) {
                count(&counters.failed_logins);
            }
            tracing::debug!(%peer, ?end, "login failed");
            return wire.say_goodbye(end, LINGER_STRANGER).await;
        }
    };
    drop(stranger);

    let mut connection = Connection::new(wire, session, shared, who);
    let end = connection.serve_commands().await;
    tracing::debug!(%peer, id, ?end, "connection ends");
    let Connection { mut wire, session, .. } = connection;
    session.close().await;
    let linger = match end {
        End::Idle | End::Stopped => LINGER_IDLE,
        _ => LINGER,
    };
    wire.say_goodbye(end, linger).await;
}
