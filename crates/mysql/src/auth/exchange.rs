//! The packets that prove a password, after the client has introduced itself.

use super::caching_sha2::{Cache, Stored};
use super::rsa_key::RsaKey;
use super::stored::make_stored;
use super::{Credentials, Nonce, Plugin, native};
use crate::packet::framing::{PacketReader, PacketWriter, Patience, ReadError};
use crate::packet::writer::put_null_terminated;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OnceCell, Semaphore};
use types::{ErrorKind, SqlError};

const AUTH_SWITCH: u8 = 0xfe;
const AUTH_MORE_DATA: u8 = 0x01;
const REQUEST_PUBLIC_KEY: u8 = 0x02;
const FAST_AUTH_SUCCESS: u8 = 0x03;
const FULL_AUTHENTICATION: u8 = 0x04;

/// What all logins of a listener share.
pub(crate) struct Authenticator {
    cache: Cache,
    key: OnceCell<Arc<RsaKey>>,
    key_bits: usize,
    /// Bounds the cores that slow hashes and decryptions take.
    work: Arc<Semaphore>,
    /// With a password that nobody knows; stands in for those of unknown users.
    nobody: Credentials,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    Denied { password_used: bool },
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] std::io::Error),
    #[error(transparent)]
    Sql(#[from] SqlError),
}

/// The client's first answer, and what it was made with.
pub(crate) struct FirstAnswer<'a> {
    pub plugin: &'a str,
    pub nonce: Nonce,
    pub response: &'a [u8],
    /// The client understands an AuthSwitchRequest.
    pub can_switch: bool,
    /// Ask again with a new nonce even if the plugin is the user's.
    pub ask_again: bool,
    /// The connection is encrypted, so that a password may be sent as it is.
    pub encrypted: bool,
}

impl Authenticator {
    /// `nobody_plugin` is what unknown users seem to have.
    pub fn new(nobody_plugin: Plugin) -> Authenticator {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Authenticator {
            cache: Cache::default(),
            key: OnceCell::new(),
            key_bits: RsaKey::BITS,
            work: Arc::new(Semaphore::new(cores.div_ceil(2))),
            nobody: Credentials {
                plugin: nobody_plugin,
                stored: make_stored(nobody_plugin, &format!("{:032x}", rand::random::<u128>())),
            },
        }
    }

    /// The RSA key, made at the first call.
    pub async fn key(&self) -> Result<Arc<RsaKey>, SqlError> {
        let bits = self.key_bits;
        let make = || async move {
            tokio::task::spawn_blocking(move || RsaKey::generate(bits).map(Arc::new))
                .await
                .map_err(SqlError::internal)?
        };
        self.key.get_or_try_init(make).await.cloned()
    }

    /// Carries on from the client's first answer until its password is proved or not. `credentials`
    /// of `None` stand for a user that does not exist: it is denied after the same steps.
    pub async fn exchange<R, W>(
        &self,
        input: &mut PacketReader<R>,
        output: &mut PacketWriter<W>,
        packet_limit: usize,
        patience: Patience,
        credentials: Option<Credentials>,
        first: FirstAnswer<'_>,
    ) -> Result<Verdict, AuthError>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let known = credentials.is_some();
        let credentials = credentials.unwrap_or_else(|| self.nobody.clone());
        let plugin = credentials.plugin;
        let mut packets = Packets { input, output, limit: packet_limit, patience };

        let (nonce, response) = if first.plugin == plugin.name() && !first.ask_again {
            (first.nonce, first.response.to_vec())
        } else if first.can_switch {
            let nonce = Nonce::new();
            packets.send(|p| {
                p.push(AUTH_SWITCH);
                put_null_terminated(p, plugin.name().as_bytes());
                put_null_terminated(p, nonce.bytes());
            });
            (nonce, packets.receive().await?)
        } else if first.plugin == plugin.name() {
            (first.nonce, first.response.to_vec())
        } else {
            return Err(AuthError::Sql(SqlError::new(
                ErrorKind::HandshakeError,
                "Client does not support authentication protocol requested by server; consider upgrading the client",
            )));
        };

        // Clients send an empty password as nothing or as its zero byte.
        let password_used = !matches!(response[..], [] | [0]);
        let proved = match (&credentials.stored, password_used) {
            (None, used) => !used,
            (Some(_), false) => false,
            (Some(stored), true) => match plugin {
                Plugin::Native => verify_native(stored, &nonce, &response),
                Plugin::CachingSha2 => {
                    self.prove_sha2(&mut packets, stored, &nonce, &response, first.encrypted).await?
                }
            },
        };
        Ok(if known && proved { Verdict::Accepted } else { Verdict::Denied { password_used } })
    }

    async fn prove_sha2<R, W>(
        &self,
        packets: &mut Packets<'_, R, W>,
        stored: &str,
        nonce: &Nonce,
        response: &[u8],
        encrypted: bool,
    ) -> Result<bool, AuthError>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        if self.cache.verify(stored, nonce, response) {
            packets.send(|p| p.extend_from_slice(&[AUTH_MORE_DATA, FAST_AUTH_SUCCESS]));
            return Ok(true);
        }
        packets.send(|p| p.extend_from_slice(&[AUTH_MORE_DATA, FULL_AUTHENTICATION]));
        let mut message = packets.receive().await?;
        // A password is followed by a zero byte, so it is never taken for the request of the key.
        let sealed = !encrypted || message == [REQUEST_PUBLIC_KEY];
        let key = if sealed { Some(self.key().await?) } else { None };
        if let Some(key) = &key
            && message == [REQUEST_PUBLIC_KEY]
        {
            packets.send(|p| {
                p.push(AUTH_MORE_DATA);
                p.extend_from_slice(key.public_pem().as_bytes());
            });
            message = packets.receive().await?;
        }
        let permit = self.work.clone().acquire_owned().await.map_err(SqlError::internal)?;
        let (nonce, stored) = (*nonce, stored.to_string());
        let check = move || {
            // Kept until the work is done, even if nobody waits for it any more.
            let _permit = permit;
            // A clear password has no place on a clear connection.
            let password = match key {
                Some(key) => key.open(&message, &nonce)?,
                None => message.strip_suffix(&[0])?.to_vec(),
            };
            let parsed = Stored::parse(&stored).or_else(|| {
                tracing::error!("a stored caching_sha2_password string is malformed");
                None
            })?;
            parsed.verify(&password).then_some((stored, password))
        };
        let proved = tokio::task::spawn_blocking(check).await.map_err(SqlError::internal)?;
        if let Some((stored, password)) = &proved {
            self.cache.remember(stored, password);
        }
        Ok(proved.is_some())
    }
}

fn verify_native(stored: &str, nonce: &Nonce, response: &[u8]) -> bool {
    match native::parse_stored(stored) {
        Some(stored) => native::verify(&stored, nonce, response),
        None => {
            tracing::error!("a stored mysql_native_password string is malformed");
            false
        }
    }
}

struct Packets<'a, R, W> {
    input: &'a mut PacketReader<R>,
    output: &'a mut PacketWriter<W>,
    limit: usize,
    patience: Patience,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Packets<'_, R, W> {
    fn send(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        self.output.packet(fill);
    }

    async fn receive(&mut self) -> Result<Vec<u8>, AuthError> {
        self.output.flush().await?;
        let payload = self.input.read(&mut self.output.sequence, self.limit, self.patience).await?;
        Ok(payload.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::super::caching_sha2;
    use super::*;
    use std::time::Duration;
    use tokio::io::DuplexStream;

    const WAIT: Patience = Patience { first: Duration::from_secs(60), rest: Duration::from_secs(60) };

    struct Client {
        input: PacketReader<tokio::io::ReadHalf<DuplexStream>>,
        output: PacketWriter<tokio::io::WriteHalf<DuplexStream>>,
    }

    impl Client {
        async fn read(&mut self) -> Vec<u8> {
            self.input.read(&mut self.output.sequence, 1 << 16, WAIT).await.unwrap().to_vec()
        }

        async fn write(&mut self, bytes: &[u8]) {
            self.output.packet(|p| p.extend_from_slice(bytes));
            self.output.flush().await.unwrap();
        }
    }

    fn authenticator() -> Authenticator {
        Authenticator { key_bits: 1024, ..Authenticator::new(Plugin::default()) }
    }

    async fn run<F: Future<Output = ()>>(
        auth: &Authenticator,
        credentials: Option<Credentials>,
        first: FirstAnswer<'_>,
        client: impl FnOnce(Client) -> F,
    ) -> Verdict {
        let (near, far) = tokio::io::duplex(1 << 16);
        let (r, w) = tokio::io::split(near);
        let (mut input, mut output) = (PacketReader::new(r), PacketWriter::new(w, WAIT.rest));
        let (r, w) = tokio::io::split(far);
        let client = client(Client { input: PacketReader::new(r), output: PacketWriter::new(w, WAIT.rest) });
        let server = async {
            let verdict =
                auth.exchange(&mut input, &mut output, 1 << 16, WAIT, credentials, first).await.unwrap();
            output.flush().await.unwrap();
            verdict
        };
        tokio::join!(server, client).0
    }

    fn credentials(plugin: Plugin, password: &str) -> Option<Credentials> {
        Some(Credentials { plugin, stored: make_stored(plugin, password) })
    }

    fn answer<'a>(plugin: &'a str, nonce: Nonce, response: &'a [u8]) -> FirstAnswer<'a> {
        FirstAnswer { plugin, nonce, response, can_switch: true, ask_again: false, encrypted: false }
    }

    const DENIED: Verdict = Verdict::Denied { password_used: true };

    #[tokio::test]
    async fn sha2_goes_the_long_way_once_and_then_the_short_one() {
        let auth = authenticator();
        let user = credentials(Plugin::CachingSha2, "pw");
        let name = Plugin::CachingSha2.name();
        let full = async |auth: &Authenticator, user: Option<Credentials>, password: &'static [u8]| {
            let nonce = Nonce::new();
            let key = auth.key().await.unwrap();
            let response = caching_sha2::respond(password, &nonce);
            run(auth, user, answer(name, nonce, &response), |mut client| async move {
                assert_eq!(client.read().await, [1, 4]);
                client.write(&[2]).await;
                let pem = client.read().await;
                assert_eq!(&pem[1..], key.public_pem().as_bytes());
                client.write(&key.seal(password, &nonce)).await;
            })
            .await
        };
        assert_eq!(full(&auth, user.clone(), b"wrong").await, DENIED);
        assert_eq!(full(&auth, None, b"pw").await, DENIED);
        assert_eq!(full(&auth, user.clone(), b"pw").await, Verdict::Accepted);

        let nonce = Nonce::new();
        let response = caching_sha2::respond(b"pw", &nonce);
        let fast = run(&auth, user.clone(), answer(name, nonce, &response), |mut client| async move {
            assert_eq!(client.read().await, [1, 3]);
        });
        assert_eq!(fast.await, Verdict::Accepted);
        assert_eq!(full(&auth, user.clone(), b"wrong").await, DENIED);

        let clear = run(&auth, None, answer(name, nonce, b"x"), |mut client| async move {
            assert_eq!(client.read().await, [1, 4]);
            client.write(b"pw\0").await;
        });
        assert_eq!(clear.await, DENIED);
    }

    #[tokio::test]
    async fn native_by_switch_and_without() {
        let auth = authenticator();
        let user = credentials(Plugin::Native, "pw");
        let nonce = Nonce::new();
        let response = native::respond(b"pw", &nonce);
        let direct =
            run(&auth, user.clone(), answer("mysql_native_password", nonce, &response), async |_| {});
        assert_eq!(direct.await, Verdict::Accepted);

        let switched =
            run(&auth, user, answer("caching_sha2_password", nonce, b"??"), |mut client| async move {
                let request = client.read().await;
                let request = request.strip_prefix(b"\xfemysql_native_password\0").unwrap();
                let fresh = Nonce::from_bytes(request[..20].try_into().unwrap());
                assert_eq!(request[20..], [0]);
                assert_ne!(fresh, nonce);
                client.write(&native::respond(b"pw", &fresh)).await;
            });
        assert_eq!(switched.await, Verdict::Accepted);

        let sha2 = credentials(Plugin::CachingSha2, "");
        let switched = run(&auth, sha2, answer("dialog", nonce, b"??"), |mut client| async move {
            assert!(client.read().await.starts_with(b"\xfecaching_sha2_password\0"));
            client.write(b"\0").await;
        });
        assert_eq!(switched.await, Verdict::Accepted);
    }

    #[tokio::test]
    async fn within_tls_a_password_is_sent_as_it_is() {
        let auth = authenticator();
        let user = credentials(Plugin::CachingSha2, "pw");
        for (sent, verdict) in [(&b"pw\0"[..], Verdict::Accepted), (b"px\0", DENIED), (b"pw", DENIED)] {
            let nonce = Nonce::new();
            let first = answer(Plugin::CachingSha2.name(), nonce, &[1; 32]);
            let first = FirstAnswer { encrypted: true, ..first };
            let found = run(&auth, user.clone(), first, |mut client| async move {
                assert_eq!(client.read().await, [1, 4]);
                client.write(sent).await;
            });
            assert_eq!(found.await, verdict, "{sent:?}");
        }
    }

    #[tokio::test]
    async fn empty_passwords() {
        let auth = authenticator();
        let nonce = Nonce::new();
        for plugin in [Plugin::Native, Plugin::CachingSha2] {
            let login = |password: &str, response: &'static [u8]| {
                let first = answer(plugin.name(), nonce, response);
                run(&auth, credentials(plugin, password), first, async |_| {})
            };
            assert_eq!(login("", b"").await, Verdict::Accepted);
            assert_eq!(login("", b"something").await, DENIED);
            assert_eq!(login("pw", b"").await, Verdict::Denied { password_used: false });
        }
    }
}
