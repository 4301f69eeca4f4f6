//! The demo's connections.

use std::net::SocketAddr;

use mysql_client::prelude::Queryable;
use mysql_client::{Conn, OptsBuilder};

use super::DemoError;

/// Connects as root without a password. The settings that the client would otherwise ask the server
/// for on each connection are given.
pub fn connect(address: SocketAddr, database: Option<&str>) -> Result<Conn, DemoError> {
    let options = OptsBuilder::new()
        .ip_or_hostname(Some(address.ip().to_string()))
        .tcp_port(address.port())
        .user(Some("root"))
        .db_name(database)
        .prefer_socket(false);
    Conn::new(options).map_err(|source| DemoError::Connect { address, source })
}

/// Runs a statement without a result. An error names its first line.
pub fn execute(client: &mut Conn, sql: &str) -> Result<(), DemoError> {
    client.query_drop(sql).map_err(|source| {
        let what = sql.lines().next().unwrap_or_default().trim_end_matches(" (").to_owned();
        DemoError::Statement { what, source }
    })
}
