//! Login, and the login of another user in the same connection.

use super::{End, Shared, Wire};
use crate::auth::exchange::{AuthError, FirstAnswer, Verdict};
use crate::auth::{Nonce, Plugin};
use crate::handshake::{Introduction, is_ssl_request, put_greeting};
use crate::packet::framing::Patience;
use crate::packet::transport::{self, Incoming, Outgoing};
use crate::protocol::Capabilities;
use crate::response::{Ending, OkInfo};
use crate::server::Ender;
use crate::server::{Login, Server, Session};
use crate::tls::Tls;
use std::net::SocketAddr;
use types::{ErrorKind, SqlError};

/// What a connection keeps of its login for another one.
#[derive(Debug, Clone)]
pub(super) struct Who {
    pub peer: SocketAddr,
    pub connection: u32,
    pub collation: u16,
    ender: Ender,
    nonce: Nonce,
}

/// Greets the client and opens its session. The caller bounds the time.
pub(super) async fn log_in<S: Server>(
    wire: &mut Wire,
    shared: &Shared<S>,
    peer: SocketAddr,
    connection: u32,
    ender: Ender,
) -> Result<(S::Session, Who), End> {
    let nonce = Nonce::new();
    let config = &shared.config;
    let mut offered = Capabilities::OFFERED;
    offered.set(Capabilities::SSL, config.tls.is_some());
    wire.output.packet(|p| {
        put_greeting(p, &config.version, connection, &nonce, config.default_plugin.name(), offered);
    });
    wire.output.flush().await?;
    let mut payload = receive(wire, shared).await?;
    if is_ssl_request(&payload)
        && let Some(tls) = &config.tls
    {
        encrypt(wire, tls).await?;
        payload = receive(wire, shared).await?;
    }
    let introduction = Introduction::parse(&payload, offered).map_err(|_| bad_handshake())?;
    wire.capabilities = introduction.capabilities;
    if wire.tls.is_none() && shared.server.requires_tls() {
        return Err(End::Fatal(SqlError::new(
            ErrorKind::SecureTransportRequired,
            "Connections using insecure transport are prohibited while --require_secure_transport=ON.",
        )));
    }
    let compression = introduction.compression();
    let who = Who { peer, connection, collation: introduction.collation, ender, nonce };
    let session = enter(wire, shared, &who, introduction, false).await?;
    if let Some(compression) = compression {
        wire.compress(compression)?;
    }
    Ok((session, who))
}

async fn receive<S>(wire: &mut Wire, shared: &Shared<S>) -> Result<bytes::Bytes, End> {
    let patience = handshake_patience(wire);
    let limit = shared.config.limits.max_handshake_packet;
    Ok(wire.input.read(&mut wire.output.sequence, limit, patience).await?)
}

/// Changes the connection to TLS.
async fn encrypt(wire: &mut Wire, tls: &Tls) -> Result<(), End> {
    let ahead = wire.input.take_ahead();
    let input = std::mem::replace(&mut wire.input.input.input, Incoming::Gone);
    let output = std::mem::replace(&mut wire.output.output.output, Outgoing::Gone);
    let (input, output, info) = transport::encrypt(input, output, ahead, tls).await.map_err(|error| {
        tracing::debug!(%error, "a TLS handshake failed");
        End::Lost
    })?;
    wire.input.input.input = input;
    wire.output.output.output = output;
    wire.tls = Some(info);
    Ok(())
}

/// COM_CHANGE_USER: everything behind the greeting once more. Always with a new nonce, where the
/// client can be asked: the old one has been answered already.
pub(super) async fn change_user<S: Server>(
    wire: &mut Wire,
    shared: &Shared<S>,
    who: &mut Who,
    payload: &[u8],
) -> Result<S::Session, End> {
    let introduction = Introduction::parse_change_user(payload, wire.capabilities, who.collation)
        .map_err(|malformed| End::Fatal(malformed.into()))?;
    who.collation = introduction.collation;
    let entered = tokio::time::timeout(
        shared.config.limits.handshake_timeout,
        enter(wire, shared, who, introduction, true),
    );
    entered.await.unwrap_or(Err(End::Lost))
}

async fn enter<S: Server>(
    wire: &mut Wire,
    shared: &Shared<S>,
    who: &Who,
    introduction: Introduction,
    ask_again: bool,
) -> Result<S::Session, End> {
    let credentials = shared.server.credentials(&introduction.user, &who.peer).await;
    let patience = handshake_patience(wire);
    let first = FirstAnswer {
        plugin: introduction.plugin.as_deref().unwrap_or(Plugin::Native.name()),
        nonce: who.nonce,
        response: &introduction.response,
        can_switch: introduction.capabilities.contains(Capabilities::PLUGIN_AUTH),
        ask_again,
        encrypted: wire.tls.is_some(),
    };
    let limit = shared.config.limits.max_handshake_packet;
    let exchange =
        shared.authenticator.exchange(&mut wire.input, &mut wire.output, limit, patience, credentials, first);
    let verdict = exchange.await.map_err(|error| match error {
        AuthError::Read(error) => error.into(),
        AuthError::Write(error) => error.into(),
        AuthError::Sql(error) => End::Fatal(error),
    })?;
    if let Verdict::Denied { password_used } = verdict {
        let told = shared.server.refused(&introduction.user, &who.peer).await;
        return Err(End::Fatal(told.unwrap_or_else(|| {
            SqlError::new(
                ErrorKind::AccessDenied,
                format!(
                    "Access denied for user '{}'@'{}' (using password: {})",
                    introduction.user,
                    who.peer.ip().to_canonical(),
                    if password_used { "YES" } else { "NO" }
                ),
            )
        })));
    }
    let login = Login {
        user: introduction.user,
        database: introduction.database,
        peer: who.peer,
        connection: who.connection,
        attributes: introduction.attributes,
        capabilities: introduction.capabilities,
        collation: introduction.collation,
        tls: wire.tls.clone(),
        ender: who.ender.clone(),
    };
    let session = shared.server.open(login).await.map_err(End::Fatal)?;
    wire.ok(&OkInfo::default(), Ending { status: session.status(), warnings: 0 }, &[]);
    wire.output.flush().await?;
    Ok(session)
}

fn handshake_patience(wire: &Wire) -> Patience {
    Patience { first: wire.limits.handshake_timeout, rest: wire.limits.handshake_timeout }
}

fn bad_handshake() -> End {
    End::Fatal(SqlError::new(ErrorKind::HandshakeError, "Bad handshake"))
}
