//! What a session says of itself to the connection: changes, limits, its end.

use super::client::*;
use super::{OK, eventually, start};
use std::sync::atomic::Ordering;
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn changes_are_told_to_clients_that_keep_track() {
    let server = start().await;
    let mut client = Client::root(server.address, SESSION_TRACK).await;
    client.command(b"\x02shop").await;
    assert_eq!(client.read().await, b"\0\0\0\x02\x40\0\0\0\x07\x01\x05\x04shop");
    assert_eq!(client.query("SET a ON").await, b"\0\0\0\x02\x40\0\0\0\x07\x00\x05\x01a\x02ON");
    client.command(b"\x0e").await;
    assert_eq!(client.read().await, OK, "told once");
    let mut plain = Client::root(server.address, 0).await;
    assert_eq!(plain.query("SET a ON").await, OK);
}

#[tokio::test]
async fn a_session_sets_limits_of_its_connection() {
    let server = start().await;
    let mut client = Client::root(server.address, 0).await;
    assert_eq!(client.query("SET max_allowed_packet 1000").await, OK);
    // The length alone is enough to refuse it.
    client.stream.write_all(&[0xe9, 3, 0, 0]).await.unwrap();
    client.sequence = 1;
    assert_eq!(client.read_error().await.errno, 1153);
    assert_eq!(client.try_read().await, None);

    let mut client = Client::root(server.address, 0).await;
    assert_eq!(client.query("SET wait_timeout_ms 50").await, OK);
    client.sequence = 0;
    assert_eq!(client.read_error().await.errno, 4031);
    assert_eq!(client.try_read().await, None);
}

#[tokio::test]
async fn connections_are_ended_from_outside() {
    let server = start().await;
    let mut idle = Client::root(server.address, 0).await;
    let mut busy = Client::root(server.address, 0).await;
    let mut killer = Client::root(server.address, 0).await;
    busy.command(b"\x03WAIT").await;
    eventually("it runs", || server.statements.load(Ordering::SeqCst) == 1).await;
    assert_eq!(killer.query("KILL 1").await, OK);
    assert_eq!(killer.query("KILL 2").await, OK);
    assert_eq!(busy.read_error().await.errno, 1317);
    assert_eq!(busy.try_read().await, None);
    assert_eq!(idle.try_read().await, None);
    eventually("their sessions are closed", || server.sessions.load(Ordering::SeqCst) == 1).await;
    assert_eq!(error(&killer.query("KILL 7").await).errno, 1094);
}
