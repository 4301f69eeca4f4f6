//! The whole protocol over a socket: the echo server of the examples, driven packet by packet.

mod client;
mod compression;
mod cursors;
mod mutations;
mod sessions;
mod tls;

#[path = "../../examples/echo/session.rs"]
mod session;

use client::*;
use mysql::{Config, Counters, Limits, serve};
use session::{EchoServer, PASSWORD};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Running {
    address: SocketAddr,
    counters: Arc<Counters>,
    sessions: Arc<AtomicUsize>,
    statements: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

async fn start_with(change: impl FnOnce(&mut Limits)) -> Running {
    start_server(|_, config| change(&mut config.limits)).await
}

async fn start_server(change: impl FnOnce(&mut EchoServer, &mut Config)) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = EchoServer::new();
    let (sessions, statements) = (server.sessions.clone(), server.running.clone());
    let mut config = Config::new("8.0.36-Pando-test");
    change(&mut server, &mut config);
    let counters = config.counters.clone();
    let (stop, stopped) = oneshot::channel();
    let served = tokio::spawn(serve(listener, Arc::new(server), config, async {
        // A dropped sender stops the server too.
        let _ = stopped.await;
    }));
    Running { address, counters, sessions, statements, stop: Some(stop), served }
}

async fn start() -> Running {
    start_with(|_| {}).await
}

async fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    for _ in 0..500 {
        if check() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not in time: {what}");
}

const OK: &[u8] = b"\0\0\0\x02\0\0\0";

#[tokio::test]
async fn greeting_and_native_password() {
    let server = start().await;
    let mut client = Client::connect(server.address).await;
    let greeting = client.read().await;
    assert!(greeting.starts_with(b"\x0a8.0.36-Pando-test\0"));
    assert!(greeting.ends_with(b"\0caching_sha2_password\0"));
    let response = native(PASSWORD, &nonce(&greeting));
    client.write(&answer(BASE, "native", &response, "mysql_native_password")).await;
    assert_eq!(client.read().await, OK);
    assert_eq!(server.sessions.load(Ordering::SeqCst), 1);

    // CHANGE_USER proves itself with a new nonce.
    client.command(b"\x11native\0\0\0\x2d\0mysql_native_password\0").await;
    let switch = client.read().await;
    let fresh = &switch.strip_prefix(b"\xfemysql_native_password\0").unwrap()[..20];
    client.write(&native(PASSWORD, fresh)).await;
    assert_eq!(client.read().await, OK);
    eventually("the old session is closed", || server.sessions.load(Ordering::SeqCst) == 1).await;

    client.command(b"\x11native\0\0\0\x2d\0mysql_native_password\0").await;
    client.read().await;
    client.write(&[7; 20]).await;
    assert_eq!(client.read_error().await.errno, 1045);
    assert_eq!(client.try_read().await, None);
    eventually("the session is closed", || server.sessions.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn wrong_logins() {
    let server = start().await;
    for (user, response, using) in
        [("native", &[1; 20][..], "YES"), ("native", b"", "NO"), ("root", b"x", "YES")]
    {
        let mut client = Client::connect(server.address).await;
        client.read().await;
        let plugin = if user == "root" { "caching_sha2_password" } else { "mysql_native_password" };
        client.write(&answer(BASE, user, response, plugin)).await;
        let error = client.read_error().await;
        let message = format!("Access denied for user '{user}'@'127.0.0.1' (using password: {using})");
        assert_eq!(error, Error { errno: 1045, message });
        assert_eq!(client.try_read().await, None);
    }
    for garbage in [&b"short"[..], &[0; 100]] {
        let mut client = Client::connect(server.address).await;
        client.read().await;
        client.write(garbage).await;
        assert_eq!(client.read_error().await.errno, 1043);
    }
    let mut client = Client::connect(server.address).await;
    client.read().await;
    let with_database = answer(BASE | 8, "root", b"", "nowhere\0caching_sha2_password");
    client.write(&with_database).await;
    assert_eq!(client.read_error().await.errno, 1049);
    eventually("six failed logins", || server.counters.failed_logins.load(Ordering::Relaxed) == 6).await;
}

#[tokio::test]
async fn limits_before_login() {
    let server = start_with(|limits| {
        limits.handshake_timeout = Duration::from_millis(300);
        limits.max_unauthenticated = 1;
        limits.max_connections = 2;
    })
    .await;
    let mut silent = Client::connect(server.address).await;
    silent.read().await;
    let mut second = Client::connect(server.address).await;
    let refused = second.read().await;
    assert_eq!(refused, b"\xff\x10\x04Too many connections");
    assert_eq!(silent.try_read().await, None, "closed by the time-out");
    eventually("nobody is waiting", || server.counters.unauthenticated.load(Ordering::Relaxed) == 0).await;

    let mut large = Client::connect(server.address).await;
    large.read().await;
    large.stream.write_all(&packet(1, &[1; 70_000])).await.unwrap();
    large.sequence = 2;
    assert_eq!(large.read_error().await.errno, 1153);
    drop(large);
    eventually("all are gone", || server.counters.connections.load(Ordering::Relaxed) == 0).await;

    let _first = Client::root(server.address, 0).await;
    let _second = Client::root(server.address, 0).await;
    let mut third = Client::connect(server.address).await;
    assert_eq!(third.read_error().await.errno, 1040);
    assert_eq!(server.counters.refused.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn simple_commands() {
    let server = start().await;
    let mut client = Client::root(server.address, 0).await;
    for payload in [&b"\x0e"[..], b"\x02shop", b"\x1f"] {
        client.command(payload).await;
        assert_eq!(client.read().await, OK);
    }
    client.command(b"\x1b\x01\0").await;
    assert_eq!(client.read().await, b"\xfe\0\0\x02\0");
    client.command(b"\x09").await;
    assert!(client.read().await.starts_with(b"Uptime: "));
    for (payload, errno) in [
        (&b"\x63"[..], 1047),
        (b"\x00", 1047),
        (b"\x07", 1047),
        (b"\x04t", 1210),
        (b"\x1c\x01\0\0\0\x01\0\0\0", 1243),
        (b"", 1210),
        (b"\x17\x01", 1210),
        (b"\x03\xff", 1064),
    ] {
        client.command(payload).await;
        assert_eq!(client.read_error().await.errno, errno, "{payload:?}");
    }
    let first = client.query("BEGIN").await;
    assert_eq!(first, b"\0\0\0\x03\0\0\0");
    let first = client.query("INSERT a").await;
    assert_eq!(first, b"\0\x02\x07\x03\0\0\0\x26Records: 2  Duplicates: 0  Warnings: 0");
    client.command(b"\x0c\x09\0\0\0").await;
    let first = client.read().await;
    assert_eq!(client.read_rows(first, false).await.0, [["KILL CONNECTION 9"]]);
    client.command(b"\x04t\0name").await;
    assert!(client.read().await.ends_with(b"\0\0\x06nobody"));
    assert_eq!(client.read().await, b"\xfe\0\0\x03\0");
    client.command(b"\x04t\0").await;
    assert!(client.read().await.ends_with(b"\0\0\xfb"));
    client.read().await;
    assert_eq!(client.read().await[0], 0xfe);
    client.command(b"\x01").await;
    assert_eq!(client.try_read().await, None);
}

#[tokio::test]
async fn results() {
    let server = start().await;
    let mut client = Client::root(server.address, 0).await;
    let first = client.query("hello").await;
    let (rows, end) = client.read_rows(first, false).await;
    assert_eq!((rows, &end[..]), (vec![vec!["hello".to_string()]], &b"\xfe\0\0\x02\0"[..]));

    let mut client = Client::root(server.address, DEPRECATE_EOF).await;
    let first = client.query("ROWS 20000").await;
    let (rows, end) = client.read_rows(first, true).await;
    assert_eq!(end, b"\xfe\0\0\x02\0\0\0");
    assert_eq!(
        (rows.len(), &rows[19_999][..]),
        (20_000, &["19999".to_string(), "row 19999".to_string()][..])
    );

    // An error that comes before anything has left takes the place of the result.
    let first = client.query("FAIL 3").await;
    assert_eq!(error(&first).errno, 1317);
    let first = client.query("FAIL 20000").await;
    let (rows, end) = client.read_rows(first, true).await;
    assert_eq!((rows.len(), error(&end).errno), (20_000, 1317));
    assert_eq!(error(&client.query("FAIL").await).errno, 1146);
}

#[tokio::test]
async fn pipelined_commands() {
    let server = start().await;
    let mut client = Client::root(server.address, 0).await;
    let query = |text: &str| packet(0, &[b"\x03", text.as_bytes()].concat());
    let batch =
        [packet(0, b"\x0e"), query("one"), packet(0, b"\x63"), query("two"), packet(0, b"\x0e")].concat();
    // Cut in the midst of a header.
    client.stream.write_all(&batch[..7]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    client.stream.write_all(&batch[7..]).await.unwrap();
    client.sequence = 1;
    assert_eq!(client.read().await, OK);
    client.sequence = 1;
    let first = client.read().await;
    assert_eq!(client.read_rows(first, false).await.0, [["one"]]);
    client.sequence = 1;
    assert_eq!(client.read_error().await.errno, 1047);
    client.sequence = 1;
    let first = client.read().await;
    assert_eq!(client.read_rows(first, false).await.0, [["two"]]);
    client.sequence = 1;
    assert_eq!(client.read().await, OK);
}

#[tokio::test]
async fn multi_statements() {
    let server = start().await;
    let mut client = Client::root(server.address, 0).await;
    let first = client.query("a; b").await;
    assert_eq!(client.read_rows(first, false).await.0, [["a; b"]]);
    client.command(b"\x1b\0\0").await;
    assert_eq!(client.read().await[0], 0xfe);
    let first = client.query("a; INSERT b; FAIL; c").await;
    let (rows, end) = client.read_rows(first, false).await;
    assert_eq!((rows, &end[..]), (vec![vec!["a".to_string()]], &b"\xfe\0\0\x0a\0"[..]));
    assert_eq!(client.read().await[..5], *b"\0\x02\x07\x0a\0");
    assert_eq!(client.read_error().await.errno, 1146);
    client.command(b"\x0e").await;
    assert_eq!(client.read().await, OK);
    let mut client = Client::root(server.address, MULTI_STATEMENTS).await;
    assert_eq!(client.query("INSERT a; INSERT b;").await[3..5], *b"\x0a\0");
    assert_eq!(client.read().await[3..5], *b"\x02\0");
}

#[tokio::test]
async fn prepared_statements() {
    let server = start_with(|limits| {
        limits.max_statements = 2;
        limits.max_allowed_packet = 1000;
    })
    .await;
    let mut client = Client::root(server.address, DEPRECATE_EOF).await;
    client.command(b"\x16SELECT ?, ?").await;
    assert_eq!(client.read().await, b"\0\x01\0\0\0\x01\0\x02\0\0\0\0");
    for _ in 0..3 {
        assert!(client.read().await.starts_with(b"\x03def"));
    }
    let execute = |rest: &[u8]| [b"\x17\x01\0\0\0\0\x01\0\0\0", rest].concat();
    let binary_texts = async |client: &mut Client| {
        assert_eq!(client.read().await, [1]);
        client.read().await;
        let mut texts = Vec::new();
        loop {
            let packet = client.read().await;
            if packet[0] == 0xfe {
                return texts;
            }
            assert_eq!(packet[..2], [0, 0]);
            texts.push(String::from_utf8(packet[3..].to_vec()).unwrap());
        }
    };
    client.command(&execute(b"\0\x01\x03\0\xfd\0\x07\0\0\0\x02hi")).await;
    assert_eq!(binary_texts(&mut client).await, ["Int(7)", "Text(\"hi\")"]);
    // The types are remembered; the second parameter is NULL.
    client.command(&execute(b"\x02\0\x08\0\0\0")).await;
    assert_eq!(binary_texts(&mut client).await, ["Int(8)", "Null"]);
    // Long data has no answer, and serves once.
    client.command(b"\x18\x01\0\0\0\x01\0long ").await;
    client.command(b"\x18\x01\0\0\0\x01\0data").await;
    client.command(&execute(b"\0\0\x09\0\0\0")).await;
    assert_eq!(binary_texts(&mut client).await, ["Int(9)", "Text(\"long data\")"]);
    client.command(&execute(b"\0\0\x09\0\0\0")).await;
    assert_eq!(client.read_error().await.errno, 1210);
    // More of it than allowed fails the execution.
    for _ in 0..2 {
        client.command(&[b"\x18\x01\0\0\0\x01\0", &[b'x'; 600][..]].concat()).await;
    }
    client.command(&execute(b"\0\0\x09\0\0\0")).await;
    assert_eq!(client.read_error().await.errno, 1153);

    client.command(b"\x16SELECT").await;
    assert_eq!(client.read().await[..5], *b"\0\x02\0\0\0");
    client.read().await;
    client.command(b"\x16SELECT").await;
    assert_eq!(client.read_error().await.errno, 1105);
    client.command(b"\x1a\x02\0\0\0").await;
    assert_eq!(client.read().await, OK);
    client.command(b"\x19\x01\0\0\0").await;
    client.command(&execute(b"")).await;
    assert_eq!(
        client.read_error().await,
        Error {
            errno: 1243,
            message: "Unknown prepared statement handler (1) given to mysqld_stmt_execute".into()
        }
    );
    client.command(b"\x17\x02\0\0\0\x04\x01\0\0\0").await;
    assert_eq!(client.read_error().await.errno, 1235);
}

#[tokio::test]
async fn local_infile() {
    let server = start().await;
    let mut client = Client::root(server.address, LOCAL_FILES).await;
    assert_eq!(client.query("LOAD DATA LOCAL INFILE '/tmp/a.csv' INTO TABLE t").await, b"\xfb/tmp/a.csv");
    client.write(b"one\ntw").await;
    client.write(b"o\nthree\n").await;
    client.write(b"").await;
    assert_eq!(client.read().await, b"\0\x03\0\x02\0\0\0");

    // A sink that fails does not stop the client from sending all it has.
    assert_eq!(client.query("REFUSE 'f'").await, b"\xfbf");
    for _ in 0..20 {
        client.write(&[b'x'; 100_000]).await;
    }
    client.write(b"").await;
    assert_eq!(client.read_error().await.errno, 1062);
    client.command(b"\x0e").await;
    assert_eq!(client.read().await, OK);

    let mut client = Client::root(server.address, 0).await;
    assert_eq!(error(&client.query("LOAD 'f'").await).errno, 3948);
}

#[tokio::test]
async fn broken_framing_ends_the_connection() {
    let server = start_with(|limits| limits.max_allowed_packet = 1 << 20).await;
    let mut client = Client::root(server.address, 0).await;
    client.sequence = 5;
    client.write(b"\x0e").await;
    assert_eq!(client.read_error().await, Error { errno: 1156, message: "Got packets out of order".into() });
    assert_eq!(client.try_read().await, None);

    // The error reaches a client that writes all of its packet before it reads.
    let mut client = Client::root(server.address, 0).await;
    client.command(&vec![3; 8 << 20]).await;
    let message = "Got a packet bigger than 'max_allowed_packet' bytes".into();
    assert_eq!(client.read_error().await, Error { errno: 1153, message });
    assert_eq!(client.try_read().await, None);
    drop(client);
    eventually("the sessions are closed", || server.sessions.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn a_client_that_goes_cancels_its_statement() {
    let server = start().await;
    let mut client = Client::root(server.address, 0).await;
    client.command(b"\x03WAIT").await;
    eventually("it runs", || server.statements.load(Ordering::SeqCst) == 1).await;
    drop(client);
    eventually("it is dropped", || server.statements.load(Ordering::SeqCst) == 0).await;
    eventually("its session is closed", || server.sessions.load(Ordering::SeqCst) == 0).await;
    eventually("it is not counted", || server.counters.connections.load(Ordering::Relaxed) == 0).await;
}

#[tokio::test]
async fn shutdown_tells_the_idle_and_waits_for_the_running() {
    let mut server = start_with(|limits| limits.drain = Duration::from_millis(300)).await;
    let mut idle = Client::root(server.address, 0).await;
    let mut busy = Client::root(server.address, 0).await;
    busy.command(b"\x03WAIT").await;
    eventually("it runs", || server.statements.load(Ordering::SeqCst) == 1).await;
    server.stop.take().unwrap().send(()).unwrap();
    idle.sequence = 0;
    let gone = Error { errno: 1053, message: "Server shutdown in progress".into() };
    assert_eq!(idle.read_error().await, gone);
    assert_eq!(server.statements.load(Ordering::SeqCst), 1);
    assert_eq!(busy.read_error().await, gone);
    drop((idle, busy));
    server.served.await.unwrap();
    assert_eq!(server.sessions.load(Ordering::SeqCst), 0);
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_silent_client_is_closed_after_the_wait_timeout() {
    let server = start_with(|limits| limits.wait_timeout = Duration::from_millis(100)).await;
    let mut client = Client::root(server.address, 0).await;
    client.sequence = 0;
    assert_eq!(client.read_error().await.errno, 4031);
    assert_eq!(client.try_read().await, None);
}
