//! What a leaf's storage does in a second: commits, loads, scans, single rows, updates, merges; and what
//! the disk below does by itself, measured in the same run. `make bench-leaf`.
//!
//! Environment:
//!
//! | | |
//! |---|---|
//! | `PANDO_LEAF_IO_ROWS` | rows of the table that is read; 1,000,000, with `--quick` 40,000 |
//! | `PANDO_LEAF_IO_DIR` | a folder on the disk to measure; the build's folder |
//!
//! Everything else is criterion's: `--quick`, a name to run only what matches.

mod disk;
mod gets;
mod report;
mod scans;
mod stopwatch;
mod table;
mod writes;

use criterion::Criterion;
use report::Report;
use std::path::PathBuf;
use std::time::Duration;

/// As in Pando's binaries.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How much, where, and what came of it.
pub struct Run {
    pub rows: usize,
    pub folder: PathBuf,
    pub report: Report,
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let rows = match std::env::var("PANDO_LEAF_IO_ROWS") {
        Ok(text) => text.parse().expect("PANDO_LEAF_IO_ROWS is a number"),
        Err(_) if quick => 40_000,
        Err(_) => 1_000_000,
    };
    let parent = std::env::var("PANDO_LEAF_IO_DIR").unwrap_or(env!("CARGO_TARGET_TMPDIR").into());
    let folder = tempfile::Builder::new().prefix("leaf-io-").tempdir_in(parent).expect("a folder");
    let mut run = Run { rows, folder: folder.path().to_path_buf(), report: Report::default() };
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(if quick { 1 } else { 3 }))
        .configure_from_args();
    disk::measure(&mut run);
    writes::commits(&mut criterion, &mut run);
    writes::ingest(&mut criterion, &mut run);
    let loaded = table::Loaded::new(&run);
    scans::scans(&mut criterion, &mut run, &loaded);
    gets::gets(&mut criterion, &mut run, &loaded);
    writes::updates(&mut criterion, &mut run, &loaded);
    writes::merge(&mut criterion, &mut run);
    criterion.final_summary();
    run.report.print();
}
