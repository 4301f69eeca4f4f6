//! Login, and the login of another user in the same connection.

use super::{End, Shared, Wire};
use crate::auth::exchange::{AuthError, FirstAnswer, Verdict};
use crate::auth::{Nonce, Plugin};
use crate::handshake::{Introduction, put_greeting};
use crate::packet::framing::Patience;
use crate::protocol::Capabilities;
use crate::response::{Ending, OkInfo};
use crate::server::{Login, Server, Session};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use types::{ErrorKind, SqlError};

/// What a connection keeps of its login for another one.
#[derive(Debug, Clone)]
pub(super) struct Who {
    pub peer: SocketAddr,
    pub connection: u32,
    pub collation: u16,
    nonce: Nonce,
}

/// Greets the client and opens its session. The caller bounds the time.
pub(super) async fn log_in<S: Server, R, W>(
    wire: &mut Wire<R, W>,
    shared: &Shared<S>,
    peer: SocketAddr,
    connection: u32,
) -> Result<(S::Session, Who), End>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let nonce = Nonce::new();
    let config = &shared.config;
    wire.output
        .packet(|p| put_greeting(p, &config.version, connection, &nonce, config.default_plugin.name()));
    wire.output.flush().await?;
    let patience = handshake_patience(wire);
    let limit = config.limits.max_handshake_packet;
    let payload = wire.input.read(&mut wire.output.sequence, limit, patience).await?;
    let introduction = Introduction::parse(&payload).map_err(|_| bad_handshake())?;
    wire.capabilities = introduction.capabilities;
    let who = Who { peer, connection, collation: introduction.collation, nonce };
    let session = enter(wire, shared, &who, introduction, false).await?;
    Ok((session, who))
}

/// COM_CHANGE_USER: everything behind the greeting once more. Always with a new nonce, where the
/// client can be asked: the old one has been answered already.
pub(super) async fn change_user<S: Server, R, W>(
    wire: &mut Wire<R, W>,
    shared: &Shared<S>,
    who: &mut Who,
    payload: &[u8],
) -> Result<S::Session, End>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let introduction = Introduction::parse_change_user(payload, wire.capabilities, who.collation)
        .map_err(|malformed| End::Fatal(malformed.into()))?;
    who.collation = introduction.collation;
    let entered = tokio::time::timeout(
        shared.config.limits.handshake_timeout,
        enter(wire, shared, who, introduction, true),
    );
    entered.await.unwrap_or(Err(End::Lost))
}

async fn enter<S: Server, R, W>(
    wire: &mut Wire<R, W>,
    shared: &Shared<S>,
    who: &Who,
    introduction: Introduction,
    ask_again: bool,
) -> Result<S::Session, End>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let credentials = shared.server.credentials(&introduction.user, &who.peer).await;
    let patience = handshake_patience(wire);
    let first = FirstAnswer {
        plugin: introduction.plugin.as_deref().unwrap_or(Plugin::Native.name()),
        nonce: who.nonce,
        response: &introduction.response,
        can_switch: introduction.capabilities.contains(Capabilities::PLUGIN_AUTH),
        ask_again,
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
        return Err(End::Fatal(SqlError::new(
            ErrorKind::AccessDenied,
            format!(
                "Access denied for user '{}'@'{}' (using password: {})",
                introduction.user,
                who.peer.ip().to_canonical(),
                if password_used { "YES" } else { "NO" }
            ),
        )));
    }
    let login = Login {
        user: introduction.user,
        database: introduction.database,
        peer: who.peer,
        connection: who.connection,
        attributes: introduction.attributes,
        capabilities: introduction.capabilities,
        collation: introduction.collation,
    };
    let session = shared.server.open(login).await.map_err(End::Fatal)?;
    wire.ok(&OkInfo::default(), Ending { status: session.status(), warnings: 0 });
    wire.output.flush().await?;
    Ok(session)
}

fn handshake_patience<R, W>(wire: &Wire<R, W>) -> Patience {
    Patience { first: wire.limits.handshake_timeout, rest: wire.limits.handshake_timeout }
}

fn bad_handshake() -> End {
    End::Fatal(SqlError::new(ErrorKind::HandshakeError, "Bad handshake"))
}
