//! Mutated packets: what a real client would send, with bytes changed, cut, repeated and taken from elsewhere.
//! No task of the server panics, no session stays, and others are served.
//!
//! A seed is a connection; `PANDO_PACKET_SEEDS` says how many there are, `PANDO_PACKET_FROM` which is the first.

use super::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Once;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// What may follow a login.
const COMMANDS: &[&[u8]] = &[
    b"\x03SELECT 1",
    b"\x03ROWS 3",
    b"\x03A;B",
    b"\x02shop",
    b"\x04t\0a%",
    b"\x09",
    b"\x0c\x05\0\0\0",
    b"\x0e",
    b"\x11root\0\0shop\0\x2d\0caching_sha2_password\0",
    b"\x16SELECT ?, ?",
    // One parameter is NULL, the other a string; then a date and a decimal.
    b"\x17\x01\0\0\0\0\x01\0\0\0\x01\x01\x06\0\xfd\0\x03abc",
    b"\x17\x01\0\0\0\x01\x01\0\0\0\0\x01\x0c\0\xf6\0\x0b\xe8\x07\x02\x1d\x17\x3b\x3b\x01\0\0\0\x041.25",
    b"\x18\x01\0\0\0\0\0long data",
    b"\x19\x01\0\0\0",
    b"\x1a\x01\0\0\0",
    b"\x1b\0\0",
    b"\x1c\x01\0\0\0\x05\0\0\0",
    b"\x1f",
    b"\x03\x01\x01\0\x01\xfd\0\x04name\x05valueSELECT 2",
    b"\x03INSERT _binary'\xff\x00'",
];

static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            shown(panic);
        }));
    });
}

fn login(random: &mut StdRng) -> Vec<u8> {
    let capabilities = [
        0,
        COMPRESS,
        ZSTD,
        COMPRESS | ZSTD | DEPRECATE_EOF,
        LOCAL_FILES | MULTI_STATEMENTS | SESSION_TRACK,
        QUERY_ATTRIBUTES,
        SSL,
    ];
    let some = capabilities[random.random_range(0..capabilities.len())];
    answer(BASE | some, "root", b"", "caching_sha2_password")
}

/// The packets of a connection, one after another.
fn conversation(random: &mut StdRng) -> Vec<Vec<u8>> {
    let mut packets = vec![packet(1, &login(random))];
    for _ in 0..random.random_range(0..12) {
        packets.push(packet(0, COMMANDS[random.random_range(0..COMMANDS.len())]));
    }
    packets
}

fn mutated(mut packets: Vec<Vec<u8>>, random: &mut StdRng) -> Vec<u8> {
    // Some logins stay as they are, so that commands are reached.
    let first = usize::from(random.random_bool(0.7)).min(packets.len() - 1);
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(first..packets.len());
        let other = packets[random.random_range(0..packets.len())].clone();
        let packet = &mut packets[at];
        let place = random.random_range(0..=packet.len());
        match random.random_range(0..8) {
            0 if place < packet.len() => packet[place] = random.random(),
            1 if place < packet.len() => packet[place] ^= 1 << random.random_range(0..8),
            2 => packet.truncate(place),
            3 => packet.splice(place..place, other).for_each(drop),
            4 => packet.extend(std::iter::repeat_n(random.random::<u8>(), random.random_range(0..3_000))),
            5 => {
                let edges = [0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0x7f, 0x80];
                let end = (place + random.random_range(1..9)).min(packet.len());
                packet[place..end].fill(edges[random.random_range(0..edges.len())]);
            }
            6 => packet.insert(place, random.random()),
            // The header says what is there: then it is the payload that is wrong.
            _ if packet.len() > 4 => {
                let length = packet.len() - 4;
                packet[..3].copy_from_slice(&length.to_le_bytes()[..3]);
                packet[3] = u8::from(at == 0);
            }
            _ => {}
        }
    }
    packets.concat()
}

#[tokio::test]
async fn mutated_packets_harm_nobody() {
    count_panics();
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let from = number("PANDO_PACKET_FROM").unwrap_or(0);
    let seeds = from..from + number("PANDO_PACKET_SEEDS").unwrap_or(400);
    let server = start_with(|limits| {
        limits.max_allowed_packet = 1 << 20;
        limits.read_timeout = Duration::from_secs(5);
    })
    .await;
    let mut other = Client::root(server.address, 0).await;
    for seed in seeds {
        let mut random = StdRng::seed_from_u64(seed);
        let packets = conversation(&mut random);
        let bytes = mutated(packets, &mut random);
        let stream = TcpStream::connect(server.address).await.unwrap();
        let (mut input, mut output) = stream.into_split();
        // The server may close the connection while there is more to send.
        let send = async move {
            let _ = output.write_all(&bytes).await;
            let _ = output.shutdown().await;
        };
        let receive = async move {
            let mut answer = Vec::new();
            let _ = input.read_to_end(&mut answer).await;
            answer.len()
        };
        let both = async { tokio::join!(send, receive).1 };
        let received = tokio::time::timeout(Duration::from_secs(60), both).await;
        let received = received.unwrap_or_else(|_| panic!("seed {seed}: the server goes on"));
        assert!(received < 8 << 20, "seed {seed}: {received} bytes of answers");
        assert_eq!(PANICS.load(Ordering::SeqCst), 0, "seed {seed}");
        if seed % 50 == 0 {
            other.command(b"\x0e").await;
            assert_eq!(other.read().await[0], 0, "seed {seed}");
        }
    }
    drop(other);
    eventually("the sessions are closed", || server.sessions.load(Ordering::SeqCst) == 0).await;
    eventually("none is counted", || server.counters.connections.load(Ordering::Relaxed) == 0).await;
}
