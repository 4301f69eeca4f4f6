//! `tpch-files SCALE FOLDER [PART PARTS]`: writes the eight tables as text files, `lineitem.csv` and so on,
//! columns separated by `|`. The benchmarks and the script that makes the answers load these. With PART and
//! PARTS only one of so many parts, counted from 1, for a disk that does not hold all of them.

use std::fs::{self, File};
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use tpch::rows::Table;

const USAGE: &str = "usage: tpch-files SCALE FOLDER [PART PARTS]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (scale, folder, part) = match arguments.as_slice() {
        [scale, folder] => (scale, folder, Some((1, 1))),
        [scale, folder, part, parts] => (scale, folder, part_of(part, parts)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let Some(part) = part else {
        eprintln!("tpch-files: PART must be a number from 1 to PARTS");
        return ExitCode::from(2);
    };
    let scale = match scale.parse::<f64>() {
        Ok(scale) if scale > 0.0 && scale.is_finite() => scale,
        _ => {
            eprintln!("tpch-files: the scale must be a number above 0, not '{scale}'");
            return ExitCode::from(2);
        }
    };
    match write_all(scale, part, Path::new(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tpch-files: {folder}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn part_of(part: &str, parts: &str) -> Option<(i32, i32)> {
    let (part, parts) = (part.parse().ok()?, parts.parse().ok()?);
    (1 <= part && part <= parts).then_some((part, parts))
}

/// The tables side by side: the largest takes about as long as all others together.
fn write_all(scale: f64, part: (i32, i32), folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    thread::scope(|scope| {
        let write = |table: Table| {
            let mut file = File::create(folder.join(format!("{}.csv", table.name())))?;
            table.write(scale, part, &mut file, &mut |_, _| {})
        };
        let large = scope.spawn(move || write(Table::LineItem));
        for table in Table::ALL.into_iter().filter(|table| *table != Table::LineItem) {
            write(table)?;
        }
        large.join().unwrap_or_else(|_| Err(std::io::Error::other("the writer of lineitem failed")))
    })
}
