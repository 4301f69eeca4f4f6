//! The demo: TPC-H through the front door. It connects as any MySQL client would, makes the eight
//! tables, streams generated rows into them with LOAD DATA LOCAL INFILE, runs the 22 queries and
//! compares every answer with the one that another engine gave on the same rows.

mod client;
mod load;
mod progress;
mod queries;

use std::io::{self, Write};
use std::net::SocketAddr;

use progress::Progress;
pub use queries::{QueryReport, Verdict};

/// The database that the demo makes. One that is there already is dropped first.
pub const DATABASE: &str = "tpch";

/// What the demo found.
#[derive(Debug)]
pub struct DemoReport {
    pub queries: Vec<QueryReport>,
}

impl DemoReport {
    /// True if no answer was wrong. Where none is known (a scale without kept answers) it is enough
    /// that the query ran.
    pub fn is_good(&self) -> bool {
        self.queries.iter().all(|query| matches!(query.verdict, Verdict::Right | Verdict::Unknown))
    }
}

/// What ended the demo before it had a report. A query that fails is part of the report instead.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("cannot connect to {address}: {source}")]
    Connect { address: SocketAddr, source: mysql_client::Error },
    #[error("{what}: {source}")]
    Statement { what: String, source: mysql_client::Error },
    #[error("{table}: {sent} rows were sent, but {kept} were loaded")]
    LostRows { table: &'static str, sent: u64, kept: u64 },
    #[error("a loading thread failed")]
    Thread,
    #[error("cannot write the report: {0}")]
    Output(#[from] io::Error),
}

/// Runs the demo against the server at `address` as root without a password, and writes its progress
/// and its report to `out`. It blocks; `in_place` says that `out` is a terminal on which the progress
/// line may be written over.
pub fn run(
    scale: f64,
    address: SocketAddr,
    out: &mut dyn Write,
    in_place: bool,
) -> Result<DemoReport, DemoError> {
    let mut client = client::connect(address, None)?;
    for sql in [format!("DROP DATABASE IF EXISTS {DATABASE}"), format!("CREATE DATABASE {DATABASE}")] {
        client::execute(&mut client, &sql)?;
    }
    let mut client = client::connect(address, Some(DATABASE))?;
    for sql in tpch::schema_statements() {
        client::execute(&mut client, &sql)?;
    }
    writeln!(out, "loading TPC-H at scale {scale}")?;
    load::load_all(scale, address, &mut Progress::new(out, in_place))?;
    writeln!(out, "\nrunning the 22 queries")?;
    let queries = queries::run_all(scale, &mut client, out)?;
    let report = DemoReport { queries };
    writeln!(out, "\n{}", queries::summary(&report.queries))?;
    writeln!(out, "connect with: mysql -h {} -P {} -u root {DATABASE}", address.ip(), address.port())?;
    out.flush()?;
    Ok(report)
}
