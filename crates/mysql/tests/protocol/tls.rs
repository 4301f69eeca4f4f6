//! TLS on the port of the protocol.

use super::client::*;
use super::session::PASSWORD;
use super::{OK, Running, start_server};
use mysql::Tls;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, SupportedProtocolVersion, crypto};

async fn start_tls(requires_tls: bool) -> (Running, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]).unwrap();
    let tls = Tls::from_pem(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap();
    let server = start_server(|server, config| {
        server.requires_tls = requires_tls;
        config.tls = Some(tls);
    })
    .await;
    (server, made.cert.der().clone())
}

fn ssl_request() -> Vec<u8> {
    let mut request = (BASE | SSL).to_le_bytes().to_vec();
    request.extend_from_slice(&[0, 0, 0, 1, 45]);
    request.resize(32, 0);
    request
}

fn connector(trusted: &CertificateDer<'static>, version: &'static SupportedProtocolVersion) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Reads the greeting, asks for TLS, and gives the client within it with the nonce.
async fn encrypted(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
) -> (Client, Vec<u8>) {
    let mut plain = TcpStream::connect(address).await.unwrap();
    let mut header = [0; 4];
    plain.read_exact(&mut header).await.unwrap();
    let mut greeting = vec![0; usize::from(header[0])];
    plain.read_exact(&mut greeting).await.unwrap();
    plain.write_all(&packet(1, &ssl_request())).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = connector(trusted, version).connect(name, plain).await.unwrap();
    (Client { stream: Box::new(stream), sequence: 2 }, nonce(&greeting))
}

#[tokio::test]
async fn a_password_goes_in_clear_within_tls_and_statements_follow() {
    let (server, certificate) = start_tls(true).await;
    for (version, shown) in
        [(&rustls::version::TLS12, "TLSv1.2 ECDHE-ECDSA-"), (&rustls::version::TLS13, "TLSv1.3 TLS_")]
    {
        let (mut client, _) = encrypted(server.address, &certificate, version).await;
        client.write(&answer(BASE | SSL, "sha2", &[1; 32], "caching_sha2_password")).await;
        // The answer proves nothing, so the server asks for the password itself.
        assert_eq!(client.read().await, [1, 4]);
        client.write(&[PASSWORD.as_bytes(), b"\0"].concat()).await;
        assert_eq!(client.read().await, OK);
        let first = client.query("TLS").await;
        let rows = client.read_rows(first, false).await.0;
        assert!(rows[0][0].starts_with(shown), "{rows:?}");
        let first = client.query("ROWS 20000").await;
        assert_eq!(client.read_rows(first, false).await.0.len(), 20_000);
    }
}

#[tokio::test]
async fn a_wrong_password_is_denied_within_tls_too() {
    let (server, certificate) = start_tls(false).await;
    let (mut client, _) = encrypted(server.address, &certificate, &rustls::version::TLS13).await;
    client.write(&answer(BASE | SSL, "sha2", &[1; 32], "caching_sha2_password")).await;
    assert_eq!(client.read().await, [1, 4]);
    client.write(b"wrong\0").await;
    assert_eq!(client.read_error().await.errno, 1045);
    assert_eq!(client.try_read().await, None);
    let (mut client, nonce) = encrypted(server.address, &certificate, &rustls::version::TLS13).await;
    client.write(&answer(BASE | SSL, "native", &native(PASSWORD, &nonce), "mysql_native_password")).await;
    assert_eq!(client.read().await, OK);
}

#[tokio::test]
async fn without_tls_nobody_comes_in_where_it_is_required() {
    let (server, _) = start_tls(true).await;
    let mut client = Client::connect(server.address).await;
    client.read().await;
    client.write(&answer(BASE, "root", b"", "caching_sha2_password")).await;
    assert_eq!(
        client.read_error().await,
        Error {
            errno: 3159,
            message:
                "Connections using insecure transport are prohibited while --require_secure_transport=ON."
                    .into()
        }
    );
    assert_eq!(client.try_read().await, None);
}

#[tokio::test]
async fn what_is_no_tls_handshake_ends_the_connection_and_nothing_in_clear_is_obeyed() {
    let (server, _) = start_tls(false).await;
    let mut client = Client::connect(server.address).await;
    client.read().await;
    // A login in clear behind the request, which someone in the middle could have put there.
    let injected = packet(2, &answer(BASE, "root", b"", "caching_sha2_password"));
    let request = packet(1, &ssl_request());
    client.stream.write_all(&[request, injected].concat()).await.unwrap();
    let mut rest = Vec::new();
    // The connection may also be reset.
    let _ = client.stream.read_to_end(&mut rest).await;
    assert_eq!(server.sessions.load(std::sync::atomic::Ordering::SeqCst), 0);
    assert!(rest.first().is_none_or(|byte| *byte == 0x15), "at most a TLS alert: {rest:?}");
}

#[tokio::test]
async fn no_tls_is_offered_without_a_certificate() {
    let server = super::start().await;
    let mut client = Client::connect(server.address).await;
    let greeting = client.read().await;
    let version = greeting.iter().position(|byte| *byte == 0).unwrap();
    let capabilities = u16::from_le_bytes([greeting[version + 14], greeting[version + 15]]);
    assert_eq!(u32::from(capabilities) & SSL, 0);
    client.write(&ssl_request()).await;
    assert_eq!(client.read_error().await.errno, 1043);
}
