//! `tpch-files SCALE FOLDER`: writes the eight tables as text files, `lineitem.csv` and so on, columns
//! separated by `|`. The benchmark and the script that makes the answers load these.

use std::fs::{self, File};
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use tpch::rows::Table;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [scale, folder] = arguments.as_slice() else {
        eprintln!("usage: tpch-files SCALE FOLDER");
        return ExitCode::from(2);
    };
    let scale = match scale.parse::<f64>() {
        Ok(scale) if scale > 0.0 && scale.is_finite() => scale,
        _ => {
            eprintln!("tpch-files: the scale must be a number above 0, not '{scale}'");
            return ExitCode::from(2);
        }
    };
    match write_all(scale, Path::new(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tpch-files: {folder}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The tables side by side: the largest takes about as long as all others together.
fn write_all(scale: f64, folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    thread::scope(|scope| {
        let write = |table: Table| {
            let mut file = File::create(folder.join(format!("{}.csv", table.name())))?;
            table.write(scale, (1, 1), &mut file, &mut |_, _| {})
        };
        let large = scope.spawn(move || write(Table::LineItem));
        for table in Table::ALL.into_iter().filter(|table| *table != Table::LineItem) {
            write(table)?;
        }
        large.join().unwrap_or_else(|_| Err(std::io::Error::other("the writer of lineitem failed")))
    })
}
