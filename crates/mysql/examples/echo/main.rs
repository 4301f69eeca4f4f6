//! A server that speaks MySQL and knows no SQL: it answers statements with their own text.
//!
//! ```text
//! cargo run -p pando-mysql --example echo -- 127.0.0.1:3307
//! mariadb -h 127.0.0.1 -P 3307 -u root
//! ```
//! Users: `root` without a password, `native` and `sha2` with the password "secret" and the method
//! of that name. `session.rs` says which statements have an answer of their own.

mod session;

use mysql::{Config, serve};
use session::EchoServer;
use std::sync::Arc;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3307".into());
    let listener = TcpListener::bind(&address).await?;
    println!("listening on {}", listener.local_addr()?);
    let interrupted = async {
        // Without a signal handler the server runs until it is killed.
        let _ = tokio::signal::ctrl_c().await;
    };
    serve(listener, Arc::new(EchoServer::new()), Config::new("8.0.36-Pando-echo"), interrupted).await;
    Ok(())
}
