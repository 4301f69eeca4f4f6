//! TLS on the port of the protocol: what the server shows its clients, and what came of a handshake.
//!
//! A client asks for TLS with a short packet in place of its answer to the greeting (SSLRequest);
//! the TLS handshake follows on the same socket, and then the answer, encrypted. What a client sent
//! in clear after its request is handed to TLS, never read as protocol.

use std::fmt;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ProtocolVersion, ServerConfig, ServerConnection, crypto};

/// The server's certificate and key, ready for use. TLS 1.2 and 1.3.
#[derive(Clone)]
pub struct Tls {
    pub(crate) acceptor: TlsAcceptor,
}

/// Why a certificate or key cannot be used: a sentence for a person.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

impl Tls {
    /// `chain`: PEM, the server's certificate first, then those that vouch for it. `key`: its private
    /// key, PEM too.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Tls, TlsError> {
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|e| TlsError(format!("the certificate is not PEM: {e}")))?;
        if certificates.is_empty() {
            return Err(TlsError("there is no certificate in the PEM text".into()));
        }
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|e| TlsError(format!("the private key is not PEM: {e}")))?;
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
            .map_err(|e| TlsError(format!("the certificate and its key cannot be used: {e}")))?;
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// How a connection is encrypted, by the names that MySQL's status variables show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsInfo {
    /// `TLSv1.3`
    pub version: &'static str,
    /// `TLS_AES_256_GCM_SHA384`; for TLS 1.2 OpenSSL's name.
    pub cipher: String,
}

impl TlsInfo {
    pub(crate) fn of(connection: &ServerConnection) -> TlsInfo {
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "",
        };
        let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
        let name = suite.and_then(|suite| suite.as_str().map(str::to_string)).unwrap_or_default();
        TlsInfo { version, cipher: openssl_name(&name) }
    }
}

/// rustls writes `TLS13_AES_256_GCM_SHA384` and `TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384`; OpenSSL, and
/// so MySQL, `TLS_AES_256_GCM_SHA384` and `ECDHE-RSA-AES256-GCM-SHA384`.
fn openssl_name(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("TLS13_") {
        return format!("TLS_{rest}");
    }
    let Some((exchange, cipher)) = name.strip_prefix("TLS_").and_then(|rest| rest.split_once("_WITH_"))
    else {
        return name.to_string();
    };
    let cipher = cipher.replace("AES_", "AES").replace("CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305");
    format!("{exchange}_{cipher}").replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ciphers_have_the_names_of_openssl() {
        for (name, expected) in [
            ("TLS13_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
            ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
            ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"),
        ] {
            assert_eq!(openssl_name(name), expected);
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused_with_a_reason() {
        for (chain, key) in [(&b""[..], &b""[..]), (b"hello", b"world")] {
            assert!(Tls::from_pem(chain, key).unwrap_err().to_string().contains("certificate"));
        }
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(Tls::from_pem(broken, b"").unwrap_err().to_string().contains("private key"));
    }
}
