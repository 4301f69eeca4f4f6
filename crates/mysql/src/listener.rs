//! Accepts connections, within limits, until told to stop; then drains them.

use crate::auth::Plugin;
use crate::auth::exchange::Authenticator;
use crate::connection::{self, Admission, Phase, Shared};
use crate::counters::{Counters, Held, count};
use crate::packet::framing::PacketWriter;
use crate::response::put_early_error;
use crate::server::Server;
use crate::tls::Tls;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use types::{ErrorKind, SqlError};

/// Time for sessions to close after their statements were stopped.
const CLOSE_TIME: Duration = Duration::from_secs(5);
/// Pause after a failed accept, which is mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What clients may take of the server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Beyond this, clients get 1040; for a server that does not say how many it takes.
    pub max_connections: usize,
    /// Connections that have not logged in yet; beyond this, clients get 1040.
    pub max_unauthenticated: usize,
    /// From accept to the end of login.
    pub handshake_timeout: Duration,
    /// The longest packet before login.
    pub max_handshake_packet: usize,
    /// The longest packet after login; also bounds the long data of prepared statements that a
    /// connection may hold.
    pub max_allowed_packet: usize,
    /// Prepared statements of one connection.
    pub max_statements: usize,
    /// A connection without a command for so long is closed.
    pub wait_timeout: Duration,
    /// A packet that does not go on arriving for so long ends the connection.
    pub read_timeout: Duration,
    /// A client that takes nothing of its answer for so long is dropped.
    pub write_timeout: Duration,
    /// What running statements get when the server stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_connections: 4096,
            max_unauthenticated: 512,
            handshake_timeout: Duration::from_secs(10),
            max_handshake_packet: 64 << 10,
            max_allowed_packet: 64 << 20,
            max_statements: 16_382,
            wait_timeout: Duration::from_secs(28_800),
            read_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            drain: Duration::from_secs(10),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Config {
    /// As the greeting shows it, "8.0.36-Pando-0.1.0". Clients decide by the number in front.
    pub version: String,
    /// The method that the greeting names, and that unknown users seem to have.
    pub default_plugin: Plugin,
    pub limits: Limits,
    pub counters: Arc<Counters>,
    /// What TLS needs; without it none is offered.
    pub tls: Option<Tls>,
}

impl Config {
    pub fn new(version: impl Into<String>) -> Config {
        Config {
            version: version.into(),
            default_plugin: Plugin::default(),
            limits: Limits::default(),
            counters: Arc::default(),
            tls: None,
        }
    }
}

/// Serves clients until `shutdown` is done. Then idle sessions are told 1053 and closed, running
/// statements may end within [`Limits::drain`], and at last are dropped. Returns when no session is
/// left.
pub async fn serve<S: Server>(
    listener: TcpListener,
    server: Arc<S>,
    config: Config,
    shutdown: impl Future<Output = ()>,
) {
    let drain = config.limits.drain;
    let authenticator = Authenticator::new(config.default_plugin);
    let shared = Arc::new(Shared { server, config, authenticator });
    let (phase, _) = watch::channel(Phase::Running);
    let mut connections = JoinSet::new();
    // The first client should not wait for the key.
    let make_key = {
        let shared = shared.clone();
        tokio::spawn(async move {
            if let Err(error) = shared.authenticator.key().await {
                tracing::error!(%error, "no RSA key for passwords");
            }
        })
    };

    let mut next_id = 1;
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = connections.join_next() => log_panic(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if let Some(admission) = admit(&shared, &stream) {
                        connections.spawn(connection::run(
                            stream, peer, next_id, admission, shared.clone(), phase.subscribe(),
                        ));
                        next_id = next_id.checked_add(1).unwrap_or(1);
                    } else {
                        refuse(stream);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    make_key.abort();
    phase.send_replace(Phase::Draining);
    if !all_ended(&mut connections, drain).await {
        phase.send_replace(Phase::Stopped);
        if !all_ended(&mut connections, CLOSE_TIME).await {
            tracing::warn!(left = connections.len(), "sessions did not close in time");
        }
    }
    connections.shutdown().await;
}

async fn all_ended(connections: &mut JoinSet<()>, within: Duration) -> bool {
    let all = async {
        while let Some(ended) = connections.join_next().await {
            log_panic(ended);
        }
    };
    timeout(within, all).await.is_ok()
}

fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}

/// Counts a connection in, or refuses it.
fn admit<S: Server>(shared: &Shared<S>, stream: &TcpStream) -> Option<Admission> {
    let counters = &shared.config.counters;
    let limits = &shared.config.limits;
    let full =
        |gauge: &std::sync::atomic::AtomicU64, limit: usize| gauge.load(Ordering::Relaxed) >= limit as u64;
    let most = shared.server.max_connections().unwrap_or(limits.max_connections);
    if full(&counters.connections, most) || full(&counters.unauthenticated, limits.max_unauthenticated) {
        count(&counters.refused);
        return None;
    }
    count(&counters.accepted);
    // Answers are written whole, so there is nothing to gain from waiting for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    Some(Admission {
        connection: Held::new(counters, |c| &c.connections),
        stranger: Held::new(counters, |c| &c.unauthenticated),
    })
}

/// Says 1040 without waiting for the client: the few bytes fit the socket's empty buffer.
fn refuse(stream: TcpStream) {
    let error = SqlError::new(ErrorKind::TooManyConnections, "Too many connections");
    let mut packet = PacketWriter::new(tokio::io::sink(), Duration::ZERO);
    packet.packet(|p| put_early_error(p, &error));
    // A client that has gone already needs no answer.
    let _ = stream.into_std().and_then(|mut stream| stream.write_all(packet.pending()));
}
