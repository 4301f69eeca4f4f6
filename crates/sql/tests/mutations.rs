//! Mutated statements: those of the sqllogictest files with words left out, repeated, exchanged and taken from
//! others, deep nesting, numbers at the edges and bytes of anything. Each is read and bound against the tables of
//! its file. Whatever it is, it ends soon, in a meaning or in an error that is not an internal one, and
//! takes little memory.
//!
//! A seed is a statement; `PANDO_STATEMENT_SEEDS` says how many there are, `PANDO_STATEMENT_FROM` which is the
//! first. A seed that fails is printed with its text.

use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::TableSource;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sql::convert::Context;
use sql::query::{BindContext, Modes, SessionView, Tables, VariableScope, Variables};
use sql::statement::{InsertSource, Statement};
use sql::temporal::Zone;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use types::{ErrorKind, SqlError, TableDef, Value};

/// What a statement may add to the memory of the process: values may be as large as `max_allowed_packet`.
const MOST_MEMORY: u64 = 1 << 30;
/// When the statements run.
const NOW: i64 = 1_714_979_289_123_456;
/// On a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

struct File {
    statements: Vec<String>,
    tables: Known,
}

#[derive(Default)]
struct Known(HashMap<String, Arc<TableDef>>);

impl Known {
    fn find(&self, name: &str) -> Result<&Arc<TableDef>, SqlError> {
        let missing = || SqlError::new(ErrorKind::NoSuchTable, format!("Table 'd.{name}' doesn't exist"));
        self.0.get(name).ok_or_else(missing)
    }

    fn source(&self, name: &str, row_refs: bool) -> Result<Arc<dyn TableSource>, SqlError> {
        let def = self.find(name)?;
        let mut fields: Vec<_> =
            def.columns.iter().map(|column| column.ty.field(&column.name, column.nullable)).collect();
        if row_refs {
            use arrow::datatypes::{DataType, Field};
            fields.push(Field::new(sql::query::PARTITION_COLUMN, DataType::UInt32, false));
            fields.push(Field::new(sql::query::ROW_COLUMN, DataType::UInt64, false));
        }
        let batch = RecordBatch::new_empty(Arc::new(Schema::new(fields)));
        Ok(provider_as_source(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap())))
    }
}

impl Tables for Known {
    fn table(&self, _: Option<&str>, name: &str) -> Result<Arc<dyn TableSource>, SqlError> {
        self.source(name, false)
    }

    fn table_with_row_refs(&self, _: Option<&str>, name: &str) -> Result<Arc<dyn TableSource>, SqlError> {
        self.source(name, true)
    }

    fn definition(&self, _: Option<&str>, name: &str) -> Result<Option<Arc<TableDef>>, SqlError> {
        Ok(Some(self.find(name)?.clone()))
    }
}

struct NoVariables;

impl Variables for NoVariables {
    fn system(&self, _: VariableScope, name: &str) -> Result<Value, SqlError> {
        Err(SqlError::new(ErrorKind::UnknownSystemVariable, format!("Unknown system variable '{name}'")))
    }

    fn user(&self, _: &str) -> Value {
        Value::Null
    }
}

/// The statements of a file, and the tables that it makes.
fn read(path: &Path) -> File {
    let text = std::fs::read_to_string(path).unwrap();
    let (mut statements, mut tables) = (Vec::new(), Known::default());
    for record in text.split("\n\n") {
        let mut lines = record.lines().skip_while(|line| {
            line.starts_with('#')
                || ["skipif", "onlyif", "connection"].iter().any(|word| line.starts_with(word))
        });
        if !lines.next().is_some_and(|head| head.starts_with("statement") || head.starts_with("query")) {
            continue;
        }
        let sql: Vec<&str> = lines.take_while(|line| *line != "----").collect();
        let sql = sql.join("\n");
        if let Ok(parsed) = sql::parse::parse_one(&sql)
            && let Statement::CreateTable(create) = parsed.statement
            && let Ok(def) = sql::ddl::table_def(&create)
        {
            tables.0.entry(def.name.clone()).or_insert(Arc::new(def));
        }
        statements.push(sql);
    }
    File { statements, tables }
}

fn corpus() -> Vec<File> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/slt");
    let mut paths = Vec::new();
    for area in std::fs::read_dir(folder).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        let files = std::fs::read_dir(area.path()).unwrap().flatten().map(|entry| entry.path());
        paths.extend(files.filter(|path| path.extension().is_some_and(|extension| extension == "slt")));
    }
    paths.sort();
    let files: Vec<File> = paths.iter().map(|path| read(path)).collect();
    assert!(files.iter().map(|file| file.statements.len()).sum::<usize>() > 5_000);
    files
}

/// Words, numbers, strings, and single characters of anything else; blanks go with what is before them.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '@');
        let mut end = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if matches!(first, '\'' | '"' | '`') {
            rest[1..].find(first).map_or(rest.len(), |at| at + 2)
        } else {
            first.len_utf8()
        };
        end += rest[end..].len() - rest[end..].trim_start().len();
        words.push(&rest[..end]);
        rest = &rest[end..];
    }
    words
}

const EDGES: &[&str] = &[
    "0",
    "-1",
    "1",
    "2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "-1e-308",
    "0.00000000000000000000000000000000000001",
    "NULL",
    "''",
    "'a'",
    "'é😀'",
    "99999999999999999999999999999999999.99999999999999999999999999999",
    "'0000-00-00'",
    "'9999-12-31'",
    "'-838:59:59.999999'",
    "x''",
    "x'ff'",
    "0x7fffffffffffffff",
    "TRUE",
    "?",
    "@v",
    "'2024-02-30 25:61:61'",
    "'%_\\\\'",
    "'[{\"a\":1}]'",
    "'$.a[*]'",
    "'(((a+)+)+)+b'",
    "65",
    "1000000000",
    "-0.0",
    "'1e400'",
    "'inf'",
    "*",
    "DEFAULT",
    "()",
    "(SELECT 1)",
    "NOW()",
    "CAST(",
    "/*!80000",
    "*/",
    "-- ",
    "\\",
    "'",
    "`",
    ";",
    "\0",
    "\u{feff}",
];

fn mutated(text: &str, other: &str, random: &mut StdRng) -> String {
    let mut pieces: Vec<String> = words(text).into_iter().map(str::to_string).collect();
    let others = words(other);
    for _ in 0..random.random_range(1..5) {
        let at = random.random_range(0..=pieces.len());
        let end = (at + random.random_range(0..6)).min(pieces.len());
        match random.random_range(0..11) {
            0 => drop(pieces.drain(at..end)),
            1 => {
                let again = pieces[at..end].to_vec();
                pieces.splice(at..at, again).for_each(drop);
            }
            2 if at < pieces.len() => {
                let with = random.random_range(0..pieces.len());
                pieces.swap(at, with);
            }
            3 | 4 if !others.is_empty() => {
                let from = random.random_range(0..others.len());
                let to = (from + random.random_range(1..8)).min(others.len());
                let taken: Vec<String> = others[from..to].iter().map(|word| (*word).to_string()).collect();
                pieces.splice(at..end, taken).for_each(drop);
            }
            5 | 6 => {
                let edge = format!("{} ", EDGES[random.random_range(0..EDGES.len())]);
                pieces.splice(at..(at + 1).min(pieces.len()), [edge]).for_each(drop);
            }
            7 => {
                let depth = [2, 40, 299, 301, 3_000][random.random_range(0..5)];
                let (open, close) = [
                    ("(", ")"),
                    ("(SELECT ", ")"),
                    ("NOT ", ""),
                    ("-", ""),
                    ("IF(1,", ",2)"),
                    ("CASE WHEN ", " END"),
                ][random.random_range(0..6)];
                pieces.insert(end, close.repeat(depth));
                pieces.insert(at, open.repeat(depth));
            }
            8 => {
                let segment = pieces[at..end].concat();
                let times = if segment.len() > 40 { 20 } else { 300 };
                pieces.insert(end, segment.repeat(times));
            }
            9 => pieces.truncate(at),
            _ => {
                let c = char::from_u32(random.random_range(0..0x3000)).unwrap_or('?');
                pieces.insert(at, c.to_string());
            }
        }
    }
    pieces.concat()
}

/// Reads and binds a statement, as far as that goes without rows.
fn understand(text: &str, tables: &Known) -> Result<(), SqlError> {
    let _ = sql::point::normal_form(text);
    let _ = sql::parse::split(text);
    let parsed = sql::parse::parse_one(text)?;
    let parameters = vec![Value::Int(1); parsed.parameters];
    let session = SessionView {
        database: Some("d"),
        user: "root@localhost".into(),
        current_user: "root@%".into(),
        current_role: "NONE".into(),
        connection_id: 9.into(),
        last_insert_id: 5.into(),
        row_count: (-1).into(),
        found_rows: 2.into(),
        version: "8.0.36",
        now: NOW.into(),
        zone: Zone::UTC,
        modes: Modes::default(),
        variables: &NoVariables,
    };
    let context = BindContext { tables, session, parameters: &parameters, text };
    if let Some(table) = sql::point::table_of(&parsed.statement)
        && let Ok(def) = tables.find(&table.name)
    {
        let _ = sql::point::PointStatement::of(&parsed.statement, def);
    }
    match &parsed.statement {
        Statement::Query(query) => sql::query::bind_query(query, &context).map(drop),
        Statement::Insert(insert) => {
            let def = tables.find(&insert.table.name)?;
            match &insert.source {
                InsertSource::Values(_) => {
                    let convert = Context { now: NOW, ..Context::fixed() };
                    sql::insert::insert_rows(insert, def.clone(), &parameters, &convert).map(drop)
                }
                InsertSource::Query(query) => sql::query::bind_query(query, &context).map(drop),
            }
        }
        Statement::Update(update) => sql::query::bind_update_source(update, &context).map(drop),
        Statement::UpdateJoined(update) => sql::query::bind_update_joined(update, &context).map(drop),
        Statement::Delete(delete) => sql::query::bind_delete_source(delete, &context).map(drop),
        Statement::DeleteJoined(delete) => sql::query::bind_delete_joined(delete, &context).map(drop),
        Statement::CreateTable(create) => {
            let def = sql::ddl::table_def(create)?;
            // What is shown of a table makes the same table.
            let shown = sql::ddl::show_create_table(&def, None);
            let again = sql::parse::parse_one(&shown).unwrap_or_else(|error| panic!("{error}\n{shown}"));
            let Statement::CreateTable(again) = again.statement else { panic!("{shown}") };
            assert_eq!(sql::ddl::show_create_table(&sql::ddl::table_def(&again)?, None), shown);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// How long this process has worked: on a machine that does other things too, much longer may pass.
fn worked() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // utime and stime, in hundredths of a second.
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

fn number(name: &str, unsaid: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(unsaid)
}

#[test]
fn mutated_statements_end_in_a_meaning_or_an_error() {
    let files = corpus();
    let from = number("PANDO_STATEMENT_FROM", 0);
    let seeds = from..from + number("PANDO_STATEMENT_SEEDS", 3_000);
    // A stack that overflows ends the process without a word; the one seed is told before.
    let alone = seeds.end - seeds.start == 1;
    // What runs at the moment, for the one who waits in vain.
    let running = Arc::new(Mutex::new((worked(), String::new())));
    let done = Arc::new(AtomicU64::new(0));
    let watched = (running.clone(), done.clone());
    let watch = std::thread::spawn(move || {
        let (running, done) = watched;
        while done.load(Ordering::SeqCst) == 0 {
            std::thread::park_timeout(Duration::from_secs(1));
            let (since, text) = &*running.lock().unwrap();
            let runs = worked().saturating_sub(*since);
            if runs > PATIENCE && done.load(Ordering::SeqCst) == 0 {
                eprintln!("runs for {runs:?}: {text}");
                std::process::abort();
            }
        }
    });
    // As much stack as a thread that serves connections has.
    let work = std::thread::Builder::new().stack_size(8 << 20).spawn(move || {
        let mut failed = Vec::new();
        let (mut understood, mut refused) = (0, 0);
        for seed in seeds {
            let mut random = StdRng::seed_from_u64(seed);
            let file = &files[random.random_range(0..files.len())];
            let pick = |random: &mut StdRng| &file.statements[random.random_range(0..file.statements.len())];
            if file.statements.is_empty() {
                continue;
            }
            let (one, other) = (pick(&mut random), pick(&mut random));
            let text = mutated(one, other, &mut random);
            *running.lock().unwrap() = (worked(), format!("seed {seed}: {text}"));
            if alone {
                println!("seed {seed}: {text}");
            }
            let before = resident_bytes();
            match catch_unwind(AssertUnwindSafe(|| understand(&text, &file.tables))) {
                Ok(Ok(())) => understood += 1,
                Ok(Err(error)) if error.kind == ErrorKind::Unknown => {
                    failed.push((seed, text, error.message))
                }
                Ok(Err(_)) => refused += 1,
                Err(_) => failed.push((seed, text, "panicked".to_string())),
            }
            let grown = resident_bytes().saturating_sub(before);
            assert!(grown < MOST_MEMORY, "seed {seed} took {grown} bytes");
        }
        (failed, understood, refused)
    });
    let (failed, understood, refused): (Vec<(u64, String, String)>, u64, u64) = work.unwrap().join().unwrap();
    done.store(1, Ordering::SeqCst);
    watch.thread().unpark();
    watch.join().unwrap();
    println!("{understood} statements were understood, {refused} refused");
    for (seed, text, why) in failed.iter().take(20) {
        let shown: String = text.chars().take(600).collect();
        println!("seed {seed}: {why}\n    {shown}");
    }
    assert!(failed.is_empty(), "{} statements failed", failed.len());
    assert!(alone || understood > 0 && refused > 0);
}
