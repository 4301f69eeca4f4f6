//! The progress line: on a terminal it is written over in place, elsewhere only its last state is
//! printed.

use std::io::{self, Write};
use std::time::Duration;

pub struct Progress<'a> {
    out: &'a mut dyn Write,
    in_place: bool,
}

impl<'a> Progress<'a> {
    pub fn new(out: &'a mut dyn Write, in_place: bool) -> Progress<'a> {
        Progress { out, in_place }
    }

    /// Shows how far a table is.
    pub fn update(&mut self, name: &str, rows: u64, bytes: u64, elapsed: Duration) -> io::Result<()> {
        if self.in_place {
            write!(self.out, "\r{}", line(name, rows, bytes, elapsed))?;
            self.out.flush()?;
        }
        Ok(())
    }

    /// Shows the end of a table; the next one gets a new line.
    pub fn finish(&mut self, name: &str, rows: u64, bytes: u64, elapsed: Duration) -> io::Result<()> {
        self.update(name, rows, bytes, elapsed)?;
        if !self.in_place {
            write!(self.out, "{}", line(name, rows, bytes, elapsed))?;
        }
        writeln!(self.out)?;
        self.out.flush()
    }
}

fn line(name: &str, rows: u64, bytes: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let megabytes = bytes as f64 / 1e6;
    let rate = if seconds > 0.0 { megabytes / seconds } else { 0.0 };
    let rows = grouped(rows);
    format!("  {name:<9} {rows:>12} rows {megabytes:>8.1} MB {seconds:>6.1} s {rate:>7.1} MB/s")
}

/// 6001215 as 6,001,215.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (6001215, "6,001,215"), (100000, "100,000")];
        for (number, text) in cases {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn only_a_terminal_sees_the_line_grow() {
        let show = |in_place| {
            let mut out = Vec::new();
            let mut progress = Progress::new(&mut out, in_place);
            progress.update("orders", 10, 1_000_000, Duration::from_secs(1)).unwrap();
            progress.finish("orders", 20, 2_000_000, Duration::from_secs(1)).unwrap();
            String::from_utf8(out).unwrap()
        };
        let last = "  orders              20 rows      2.0 MB    1.0 s     2.0 MB/s\n";
        assert_eq!(show(false), last);
        assert_eq!(
            show(true),
            format!("\r  orders              10 rows      1.0 MB    1.0 s     1.0 MB/s\r{last}")
        );
    }
}
