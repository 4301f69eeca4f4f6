//! Loading: each large table is made in as many parts as there are cores, and each part is generated
//! and sent by a thread with a connection of its own, without a file in between.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mysql_client::LocalInfileHandler;
use mysql_client::prelude::Queryable;
use tpch::rows::Table;

use super::progress::Progress;
use super::{DATABASE, DemoError, client};

/// How often the progress line is written anew.
const TICK: Duration = Duration::from_millis(200);

/// What was sent so far of one table.
#[derive(Debug, Default)]
struct Sent {
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Sent {
    fn get(&self) -> (u64, u64) {
        (self.rows.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// Loads the eight tables, one after the other.
pub fn load_all(scale: f64, address: SocketAddr, progress: &mut Progress<'_>) -> Result<(), DemoError> {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as i32);
    let begin = Instant::now();
    let (mut rows, mut bytes) = (0, 0);
    for table in Table::ALL {
        let parts = if table.grows() { cores } else { 1 };
        let sent = load_table(table, scale, parts, address, progress)?;
        rows += sent.0;
        bytes += sent.1;
    }
    progress.finish("all", rows, bytes, begin.elapsed())?;
    Ok(())
}

fn load_table(
    table: Table,
    scale: f64,
    parts: i32,
    address: SocketAddr,
    progress: &mut Progress<'_>,
) -> Result<(u64, u64), DemoError> {
    let begin = Instant::now();
    let sent = Arc::new(Sent::default());
    let kept = thread::scope(|scope| {
        let workers: Vec<_> = (1..=parts)
            .map(|part| {
                let sent = sent.clone();
                scope.spawn(move || load_part(table, scale, (part, parts), address, sent))
            })
            .collect();
        while !workers.iter().all(|worker| worker.is_finished()) {
            let (rows, bytes) = sent.get();
            progress.update(table.name(), rows, bytes, begin.elapsed())?;
            thread::sleep(if begin.elapsed() < TICK { TICK / 20 } else { TICK });
        }
        let kept = workers.into_iter().map(|worker| worker.join().unwrap_or(Err(DemoError::Thread)));
        kept.sum::<Result<u64, DemoError>>()
    })?;
    let (rows, bytes) = sent.get();
    if kept != rows {
        return Err(DemoError::LostRows { table: table.name(), sent: rows, kept });
    }
    progress.finish(table.name(), rows, bytes, begin.elapsed())?;
    Ok((rows, bytes))
}

/// Generates and loads one part; returns the number of rows that the server says it loaded.
fn load_part(
    table: Table,
    scale: f64,
    part: (i32, i32),
    address: SocketAddr,
    sent: Arc<Sent>,
) -> Result<u64, DemoError> {
    let mut client = client::connect(address, Some(DATABASE))?;
    client.set_local_infile_handler(Some(LocalInfileHandler::new(move |_, out| {
        table.write(scale, part, out, &mut |rows, bytes| {
            sent.rows.fetch_add(rows, Ordering::Relaxed);
            sent.bytes.fetch_add(bytes, Ordering::Relaxed);
        })
    })));
    let name = table.name();
    let sql = format!(
        "LOAD DATA LOCAL INFILE '{name}' INTO TABLE {name} FIELDS TERMINATED BY '|' LINES TERMINATED BY '\\n'"
    );
    let source = match client.query_drop(sql) {
        Ok(()) => return Ok(client.affected_rows()),
        Err(source) => source,
    };
    Err(DemoError::Statement { what: format!("loading {name}"), source })
}
