//! Connections to other processes: one HTTP/2 connection an address, made when first used, kept, and
//! made again after it broke. A peer that stops answering is noticed by keep-alive pings within
//! [`KEEP_ALIVE_INTERVAL`] + [`KEEP_ALIVE_TIMEOUT`], also when nothing is being sent.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use types::SqlError;

/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often an idle peer is pinged, and how long it may take to answer.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// The connections of this process.
#[derive(Debug, Default)]
pub struct Channels {
    open: Mutex<HashMap<String, Channel>>,
}

impl Channels {
    /// The connection to `address` ("host:port"). It is lazy: a peer that is not there shows in the
    /// first call, and every later call tries again.
    pub fn to(&self, address: &str) -> Result<Channel, SqlError> {
        let mut open = self.open.lock();
        if let Some(channel) = open.get(address) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| SqlError::internal(format!("'{address}' is not an address: {error}")))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        let channel = endpoint.connect_lazy();
        open.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }
}
