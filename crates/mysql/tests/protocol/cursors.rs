//! Prepared statements whose rows are fetched, and query attributes.

use super::client::*;
use super::{OK, start};

const LAST_ROW_SENT: u8 = 0x80;
const CURSOR_EXISTS: u8 = 0x40;

async fn prepare(client: &mut Client, sql: &str) {
    client.command(&[b"\x16", sql.as_bytes()].concat()).await;
    let first = client.read().await;
    assert_eq!(first[0], 0);
    let parameters = usize::from(first[7]);
    for _ in 0..parameters + 1 {
        client.read().await;
    }
}

/// Executes statement 1 with a cursor.
async fn open(client: &mut Client) -> Vec<u8> {
    client.command(b"\x17\x01\0\0\0\x01\x01\0\0\0").await;
    let columns = client.read().await;
    for _ in 0..columns[0] {
        assert!(client.read().await.starts_with(b"\x03def"));
    }
    client.read().await
}

/// Fetches rows: how many came, and the status behind them.
async fn fetch(client: &mut Client, rows: u32) -> (usize, u8) {
    client.command(&[&b"\x1c\x01\0\0\0"[..], &rows.to_le_bytes()].concat()).await;
    let mut found = 0;
    loop {
        let packet = client.read().await;
        if packet[0] == 0xfe {
            return (found, packet[3]);
        }
        assert_eq!(packet[0], 0);
        found += 1;
    }
}

#[tokio::test]
async fn rows_are_fetched_as_they_are_wanted() {
    let server = start().await;
    for deprecate_eof in [0, DEPRECATE_EOF] {
        let mut client = Client::root(server.address, deprecate_eof).await;
        client.command(b"\x16ROWS 10000").await;
        let head = client.read().await;
        let columns = usize::from(head[5]);
        for _ in 0..columns + usize::from(deprecate_eof == 0) {
            client.read().await;
        }
        let end = open(&mut client).await;
        assert_eq!((end[0], end[3] & CURSOR_EXISTS), (0xfe, CURSOR_EXISTS));
        assert_eq!(fetch(&mut client, 3).await, (3, CURSOR_EXISTS | 2));
        // Other statements may run between.
        let first = client.query("between").await;
        client.read_rows(first, deprecate_eof != 0).await;
        assert_eq!(fetch(&mut client, 9000).await, (9000, CURSOR_EXISTS | 2));
        assert_eq!(fetch(&mut client, 5000).await, (997, LAST_ROW_SENT | 2));
        client.command(b"\x1c\x01\0\0\0\x01\0\0\0").await;
        assert_eq!(
            client.read_error().await,
            Error { errno: 1421, message: "The statement (1) has no open cursor.".into() }
        );
        // A reset closes the cursor, and so does the next execution.
        open(&mut client).await;
        client.command(b"\x1a\x01\0\0\0").await;
        assert_eq!(client.read().await, OK);
        client.command(b"\x1c\x01\0\0\0\x01\0\0\0").await;
        assert_eq!(client.read_error().await.errno, 1421);
        open(&mut client).await;
        fetch(&mut client, 5).await;
        open(&mut client).await;
        assert_eq!(fetch(&mut client, 20_000).await.0, 10_000);
    }
}

#[tokio::test]
async fn an_error_while_fetching_closes_the_cursor() {
    let server = start().await;
    let mut client = Client::root(server.address, DEPRECATE_EOF).await;
    prepare(&mut client, "FAIL 10000").await;
    open(&mut client).await;
    assert_eq!(fetch(&mut client, 9000).await.0, 9000);
    client.command(b"\x1c\x01\0\0\0\x00\x10\0\0").await;
    assert_eq!(client.read_error().await.errno, 1317);
    client.command(b"\x1c\x01\0\0\0\x01\0\0\0").await;
    assert_eq!(client.read_error().await.errno, 1421);
}

#[tokio::test]
async fn query_attributes_are_taken() {
    let server = start().await;
    let mut client = Client::root(server.address, DEPRECATE_EOF | QUERY_ATTRIBUTES).await;
    client.command(b"\x03\x01\x01\0\x01\xfd\0\x05trace\x03abcone").await;
    let first = client.read().await;
    assert_eq!(client.read_rows(first, true).await.0, [["one"]]);
    client.command(b"\x03\0\x01two").await;
    let first = client.read().await;
    assert_eq!(client.read_rows(first, true).await.0, [["two"]]);
    prepare(&mut client, "SELECT ?").await;
    client.command(b"\x17\x01\0\0\0\x08\x01\0\0\0\x02\0\x01\x01\0\0\xfd\0\x05trace\x07\x03abc").await;
    assert_eq!(client.read().await, [1]);
    client.read().await;
    assert_eq!(client.read().await[3..], *b"Int(7)");
    assert_eq!(client.read().await[0], 0xfe);
    client.command(b"\x03\x01").await;
    assert_eq!(client.read_error().await.errno, 1210);
}
