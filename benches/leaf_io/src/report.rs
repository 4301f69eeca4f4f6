//! What was measured, gathered for a table at the end.

use criterion::Throughput;
use std::time::Duration;

#[derive(Default)]
pub struct Report {
    lines: Vec<Line>,
}

struct Line {
    name: String,
    unit: &'static str,
    /// Units and seconds of all samples; the first of each name warms up and counts as little as any.
    units: f64,
    seconds: f64,
    note: String,
}

impl Report {
    /// A sample: so many units in this time.
    pub fn add(&mut self, name: &str, unit: &'static str, units: f64, time: Duration) {
        let at = self.lines.iter().position(|line| line.name == name).unwrap_or_else(|| {
            let (name, note) = (name.to_string(), String::new());
            self.lines.push(Line { name, unit, units: 0.0, seconds: 0.0, note });
            self.lines.len() - 1
        });
        self.lines[at].units += units;
        self.lines[at].seconds += time.as_secs_f64();
    }

    /// Says more of what has been measured under a name.
    pub fn note(&mut self, name: &str, note: String) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.name == name) {
            line.note = note;
        }
    }

    pub fn print(&self) {
        println!("\n{:44} {:>14}  unit", "what", "a second");
        for Line { name, unit, units, seconds, note } in &self.lines {
            println!("{name:44} {:>14}  {unit}  {note}", grouped(units / seconds));
        }
    }
}

/// With commas between thousands.
fn grouped(rate: f64) -> String {
    let digits = format!("{rate:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// For criterion: rows or bytes of one iteration.
pub fn rows(count: usize) -> Throughput {
    Throughput::Elements(count as u64)
}
