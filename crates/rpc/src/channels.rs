//! Connections to other processes: one HTTP/2 connection an address, made when first used, kept, and
//! made again after it broke. A peer that stops answering is noticed by keep-alive pings within
//! [`KEEP_ALIVE_INTERVAL`] + [`KEEP_ALIVE_TIMEOUT`], also when nothing is being sent.

use crate::stages::Link;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};
use types::SqlError;

/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often an idle peer is pinged, and how long it may take to answer.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// The most bytes of a frame. HTTP/2's own choice, 16 KiB, costs a call of the system for so little of a
/// batch of rows; a frame that holds up the others of its connection for longer gains nothing.
pub(crate) const FRAME: u32 = 256 << 10;

/// TLS between the nodes of a cluster, in PEM: each shows its certificate to the other, and takes only
/// those that the authority of the cluster has signed. A node's certificate names the host that it
/// advertises.
#[derive(Clone)]
pub struct NodeTls {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
    pub authority: Vec<u8>,
}

impl NodeTls {
    fn client(&self) -> ClientTlsConfig {
        ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.authority))
            .identity(Identity::from_pem(&self.certificate, &self.key))
    }

    /// An error if the files cannot be used.
    pub fn check(&self) -> Result<(), String> {
        let failed = |error: tonic::transport::Error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            format!("{error}{}", cause.unwrap_or_default())
        };
        Endpoint::from_static("https://localhost").tls_config(self.client()).map_err(failed)?;
        Server::builder().tls_config(self.server()).map_err(failed)?;
        Ok(())
    }

    pub(crate) fn server(&self) -> ServerTlsConfig {
        ServerTlsConfig::new()
            .client_ca_root(Certificate::from_pem(&self.authority))
            .identity(Identity::from_pem(&self.certificate, &self.key))
    }
}

/// The connections of this process.
#[derive(Default)]
pub struct Channels {
    tls: Option<NodeTls>,
    open: Mutex<HashMap<String, Channel>>,
    links: Mutex<HashMap<String, Arc<Link>>>,
}

impl std::fmt::Debug for Channels {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channels").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

impl Channels {
    /// Connections with TLS, if it is given.
    pub fn new(tls: Option<NodeTls>) -> Channels {
        Channels { tls, ..Channels::default() }
    }

    /// The exchange of rows with the process at `address`, made by `make` the first time.
    pub(crate) fn link(&self, address: &str, make: impl FnOnce() -> Link) -> Arc<Link> {
        let mut links = self.links.lock();
        if let Some(link) = links.get(address) {
            return link.clone();
        }
        let link = Arc::new(make());
        links.insert(address.to_owned(), link.clone());
        link
    }

    /// The connection to `address` ("host:port"). It is lazy: a peer that is not there shows in the
    /// first call, and every later call tries again.
    pub fn to(&self, address: &str) -> Result<Channel, SqlError> {
        let mut open = self.open.lock();
        if let Some(channel) = open.get(address) {
            return Ok(channel.clone());
        }
        let unusable = |error: tonic::transport::Error| {
            SqlError::internal(format!("'{address}' cannot be used: {error}"))
        };
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
            .map_err(|error| SqlError::internal(format!("'{address}' is not an address: {error}")))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .max_frame_size(FRAME)
            .tcp_nodelay(true);
        if let Some(tls) = &self.tls {
            endpoint = endpoint.tls_config(tls.client()).map_err(unusable)?;
        }
        let channel = endpoint.connect_lazy();
        open.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }
}
