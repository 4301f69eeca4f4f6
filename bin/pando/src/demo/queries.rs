//! The queries: each runs once, its time and rows are shown, and its answer is compared.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use mysql_client::prelude::Queryable;
use mysql_client::{Conn, Row, Value};
use tpch::answers::{self, Rows};
use tpch::{QUERIES, Query};

/// What became of one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Right,
    /// The first difference.
    Wrong(String),
    /// What the server said.
    Failed(String),
    /// No answer is kept for this scale.
    Unknown,
}

#[derive(Debug, Clone)]
pub struct QueryReport {
    pub number: u8,
    pub rows: usize,
    pub time: Duration,
    pub verdict: Verdict,
}

/// Runs all queries and prints the table, a line as soon as it is known.
pub fn run_all(scale: f64, client: &mut Conn, out: &mut dyn Write) -> io::Result<Vec<QueryReport>> {
    writeln!(out, "  query     rows        ms  answer")?;
    let mut reports = Vec::new();
    for query in QUERIES {
        let report = run_one(scale, client, query);
        writeln!(out, "{}", line(&report))?;
        out.flush()?;
        reports.push(report);
    }
    Ok(reports)
}

fn run_one(scale: f64, client: &mut Conn, query: Query) -> QueryReport {
    let begin = Instant::now();
    let result = client.query::<Row, _>(query.sql);
    let time = begin.elapsed();
    let (rows, verdict) = match result {
        Err(error) => (0, Verdict::Failed(error.to_string())),
        Ok(rows) => (rows.len(), judge(scale, query, rows)),
    };
    QueryReport { number: query.number, rows, time, verdict }
}

fn judge(scale: f64, query: Query, rows: Vec<Row>) -> Verdict {
    let Some(answer) = answers::answer(scale, query.number) else { return Verdict::Unknown };
    let Some(rows) = rows.into_iter().map(texts).collect::<Option<Rows>>() else {
        return Verdict::Wrong("a value is not text".to_owned());
    };
    match answer.compare(&rows, query.order_by) {
        Ok(()) => Verdict::Right,
        Err(difference) => Verdict::Wrong(difference.to_string()),
    }
}

/// The values of a row of a text result; None if one is neither NULL nor text.
fn texts(row: Row) -> Option<Vec<Option<String>>> {
    let value = |value| match value {
        Value::NULL => Some(None),
        Value::Bytes(bytes) => String::from_utf8(bytes).ok().map(Some),
        _ => None,
    };
    row.unwrap().into_iter().map(value).collect()
}

fn line(report: &QueryReport) -> String {
    let verdict = match &report.verdict {
        Verdict::Right => "right".to_owned(),
        Verdict::Wrong(difference) => format!("WRONG: {difference}"),
        Verdict::Failed(error) => format!("FAILED: {error}"),
        Verdict::Unknown => "not checked".to_owned(),
    };
    let (number, rows, ms) = (report.number, report.rows, report.time.as_secs_f64() * 1e3);
    format!("  {number:>5} {rows:>8} {ms:>9.1}  {verdict}")
}

/// The last line: how many answers were right.
pub fn summary(reports: &[QueryReport]) -> String {
    let total = reports.len();
    let seconds: f64 = reports.iter().map(|report| report.time.as_secs_f64()).sum();
    let count = |verdict: Verdict| reports.iter().filter(|report| report.verdict == verdict).count();
    if reports.iter().any(|report| report.verdict == Verdict::Unknown) {
        let ran = count(Verdict::Unknown);
        return format!("{ran} of {total} queries ran in {seconds:.1} s; no answers are kept for this scale");
    }
    format!("{} of {total} answers right, {seconds:.1} s in all", count(Verdict::Right))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdict: Verdict) -> QueryReport {
        QueryReport { number: 6, rows: 1, time: Duration::from_millis(12), verdict }
    }

    #[test]
    fn lines_say_what_happened() {
        assert_eq!(line(&report(Verdict::Right)), "      6        1      12.0  right");
        let wrong = Verdict::Wrong("row 1 is (2) instead of (1)".to_owned());
        assert_eq!(line(&report(wrong)), "      6        1      12.0  WRONG: row 1 is (2) instead of (1)");
    }

    #[test]
    fn the_summary_counts_right_answers() {
        let reports =
            [report(Verdict::Right), report(Verdict::Failed("x".to_owned())), report(Verdict::Right)];
        assert_eq!(summary(&reports), "2 of 3 answers right, 0.0 s in all");
        let reports = [report(Verdict::Unknown), report(Verdict::Unknown)];
        assert_eq!(summary(&reports), "2 of 2 queries ran in 0.0 s; no answers are kept for this scale");
    }
}
