//! LOAD DATA: formats, errors, pieces of any size, and the short way against the long one.

use super::*;
use crate::convert::{Scalar, value_at};
use crate::parse::parse_one;
use crate::statement::FileFormat;
use crate::statement::Statement;
use proptest::prelude::*;

fn table(sql: &str) -> Arc<TableDef> {
    match parse_one(sql).unwrap().statement {
        Statement::CreateTable(create) => Arc::new(crate::ddl::table_def(&create).unwrap()),
        other => panic!("{other:?}"),
    }
}

fn text_format(format: FileFormat) -> LoadFormat {
    match format {
        FileFormat::Text(format) => format,
        FileFormat::Parquet => panic!("no text"),
    }
}

fn load_statement(clauses: &str) -> (LoadFormat, Vec<String>) {
    match parse_one(&format!("LOAD DATA INFILE 'f' INTO TABLE t {clauses}")).unwrap().statement {
        Statement::LoadData(load) => {
            (text_format(load.format), load.columns.into_iter().map(|c| c.value).collect())
        }
        other => panic!("{other:?}"),
    }
}

fn rows(def: &TableDef, new: &[NewRows]) -> Vec<String> {
    let mut out = Vec::new();
    for rows in new {
        for row in 0..rows.batch.num_rows() {
            let cells = def.columns.iter().zip(rows.batch.columns()).map(|(column, array)| {
                let value = value_at(array, column.ty, row);
                String::from_utf8_lossy(&Scalar::of(&value).text()).into_owned()
            });
            out.push(cells.collect::<Vec<_>>().join("/"));
        }
    }
    out
}

/// Loads a text in pieces of some size.
fn load_pieces(def: &Arc<TableDef>, clauses: &str, text: &[u8], piece: usize) -> Result<Vec<String>> {
    let (format, columns) = load_statement(clauses);
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let context = Context::fixed();
    let mut parser = LoadParser::new(def.clone(), &columns, &format, context)?;
    let mut new = Vec::new();
    for piece in text.chunks(piece.max(1)) {
        new.extend(parser.push(piece).map_err(|e| e.at(0))?);
    }
    new.extend(parser.finish().map_err(|e| e.at(0))?);
    Ok(rows(def, &new))
}

fn load(def: &Arc<TableDef>, clauses: &str, text: &str) -> Result<Vec<String>> {
    let whole = load_pieces(def, clauses, text.as_bytes(), usize::MAX);
    for piece in [1, 2, 3, 7] {
        assert_eq!(load_pieces(def, clauses, text.as_bytes(), piece), whole, "in pieces of {piece}");
    }
    whole
}

fn simple() -> Arc<TableDef> {
    table("create table t (a int, b varchar(20), c decimal(10,2))")
}

#[test]
fn formats() {
    let def = simple();
    for (clauses, text, expected) in [
        ("", "1\tx\t1.5\n2\ty\t-2\n", vec!["1/x/1.50", "2/y/-2.00"]),
        ("", "1\tx\t1.5\n2\ty\t-2", vec!["1/x/1.50", "2/y/-2.00"]),
        ("", "\\N\ta\\tb\\\\\t\\N\n", vec!["NULL/a\tb\\/NULL"]),
        ("", "1\ta\\\nb\t2\n", vec!["1/a\nb/2.00"]),
        ("FIELDS TERMINATED BY '|'", "1|x|2|\n3|y|4|\n", vec!["1/x/2.00", "3/y/4.00"]),
        (
            "FIELDS TERMINATED BY '|' LINES TERMINATED BY '|\\n'",
            "1|x|2|\n3|y|4|\n",
            vec!["1/x/2.00", "3/y/4.00"],
        ),
        (
            "FIELDS TERMINATED BY ',' ENCLOSED BY '\"'",
            "1,\"a,\"\"b\"\"\nc\",2\nNULL,\"NULL\",NULL\n\"3\",x\"y,\"4\"\n",
            vec!["1/a,\"b\"\nc/2.00", "NULL/NULL/NULL", "3/x\"y/4.00"],
        ),
        (
            "FIELDS TERMINATED BY ',' LINES TERMINATED BY '\\r\\n' IGNORE 1 LINES",
            "h\r\n1,x,2\r\n",
            vec!["1/x/2.00"],
        ),
        (
            "FIELDS TERMINATED BY '<>' LINES TERMINATED BY ';;'",
            "1<>x<y><>2;;3<>y<>4;;",
            vec!["1/x<y>/2.00", "3/y/4.00"],
        ),
        (
            "FIELDS TERMINATED BY ',' LINES STARTING BY 'xx'",
            "no\nzxx1,x,2\nno,1,2\nxx3,y,4\n",
            vec!["1/x/2.00", "3/y/4.00"],
        ),
        ("FIELDS TERMINATED BY ',' ESCAPED BY ''", "1,\\N,2\n", vec!["1/\\N/2.00"]),
        ("FIELDS TERMINATED BY ',' (c, a)", "1.25,7\n", vec!["7/NULL/1.25"]),
        ("", "", vec![]),
        ("IGNORE 5 LINES", "a\nb\n", vec![]),
    ] {
        assert_eq!(load(&def, clauses, text).unwrap(), expected, "{clauses} {text:?}");
    }
}

#[test]
fn errors_are_mysqls() {
    let def = table("create table t (a int not null, b varchar(3), c date)");
    for (text, errno, message) in [
        ("1\tx\n", 1261, "Row 1 doesn't contain data for all columns"),
        ("1\tx\t2024-01-01\n2\n", 1261, "Row 2 doesn't contain data for all columns"),
        (
            "1\tx\t2024-01-01\tmore\n",
            1262,
            "Row 1 was truncated; it contained more data than there were input columns",
        ),
        ("1\tx\t\\N\nz\ty\t\\N\n", 1366, "Incorrect integer value: 'z' for column 'a' at row 2"),
        ("1\tlong\t\\N\n", 1406, "Data too long for column 'b' at row 1"),
        ("1\tx\t2024-13-01\n", 1292, "Incorrect date value: '2024-13-01' for column 'c' at row 1"),
        ("\\N\tx\t\\N\n", 1048, "Column 'a' cannot be null at row 1"),
        // The first row that is wrong counts, not the first column.
        ("1\tlong\t\\N\nz\tx\t\\N\n", 1406, "Data too long for column 'b' at row 1"),
    ] {
        let error = load(&def, "", text).unwrap_err();
        assert_eq!((error.kind.errno(), error.message.as_str()), (errno, message), "{text:?}");
    }
    let no_default = load(&def, "(b)", "x\n").unwrap_err();
    assert_eq!(no_default.message, "Field 'a' doesn't have a default value");
    assert_eq!(load(&def, "(z)", "x\n").unwrap_err().message, "Unknown column 'z' in 'field list'");
}

#[test]
fn numbers_are_generated_where_they_are_missing() {
    let def = table("create table t (id bigint primary key auto_increment, a int)");
    let (format, _) = load_statement("");
    let mut parser = LoadParser::new(def.clone(), &[], &format, Context::fixed()).unwrap();
    let _ = parser.push(b"5\t1\n\\N\t2\n0\t3\n").unwrap();
    let new = parser.finish().unwrap();
    assert_eq!(new[0].to_generate(), 2);
    let batch = new.into_iter().next().unwrap().number(&def, 100).unwrap();
    let ids: Vec<_> = (0..3).map(|row| value_at(batch.column(0), def.columns[0].ty, row)).collect();
    assert_eq!(ids, [5, 100, 101].map(types::Value::Int));
}

#[test]
fn batches_and_row_numbers() {
    let def = simple();
    let (format, _) = load_statement("FIELDS TERMINATED BY ','");
    let mut parser = LoadParser::new(def.clone(), &[], &format, Context::fixed()).unwrap();
    let mut text = Vec::new();
    for row in 0..150_000 {
        text.extend_from_slice(format!("{row},some text {row},{row}.25\n").as_bytes());
    }
    let mut batches = parser.push(&text).unwrap();
    batches.extend(parser.finish().unwrap());
    assert_eq!(batches.iter().map(|b| b.batch.num_rows()).sum::<usize>(), 150_000);
    assert_eq!(batches[0].batch.num_rows(), BATCH_ROWS);
    assert_eq!(parser.rows(), 150_000);
    let mut fork = parser.fork();
    let error = fork.push(b"1,x,2\nz,x,2\n").unwrap_err();
    assert_eq!(error.at(150_000).message, "Incorrect integer value: 'z' for column 'a' at row 150002");
}

#[test]
fn split_points() {
    let def = simple();
    let parser = |clauses: &str| {
        LoadParser::new(def.clone(), &[], &load_statement(clauses).0, Context::fixed()).unwrap()
    };
    assert_eq!(parser("").split_point(b"1\tx\n2\ty"), Some(4));
    assert_eq!(parser("").split_point(b"1\tx\\\n2\ty"), None);
    assert_eq!(parser("").split_point(b"1\tx\\\\\n2\ty"), Some(6));
    let quoted = parser("FIELDS TERMINATED BY ',' ENCLOSED BY '\"'");
    assert_eq!(quoted.split_point(b"1,\"a\nb\"\n2,\"c\n"), Some(8));
    assert_eq!(quoted.split_point(b"1,\"a\n"), None);
    assert_eq!(parser("IGNORE 2 LINES").after_ignored_lines(b"a\nb\nc"), Some(4));
}

/// A field as a careful writer writes it.
fn quote(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\"\""))
}

proptest! {
    #[test]
    fn quoted_texts_read_back(
        cells in prop::collection::vec(("[a\",\\\\\n]{0,6}", any::<i16>()), 1..20),
        piece in 1usize..40,
    ) {
        let def = table("create table t (a int, b varchar(20), c int)");
        let clauses = "FIELDS TERMINATED BY ',' ENCLOSED BY '\"'";
        let text: String = cells.iter().map(|(b, a)| format!("{a},{},{a}\n", quote(b))).collect();
        let expected: Vec<String> = cells.iter().map(|(b, a)| format!("{a}/{b}/{a}")).collect();
        prop_assert_eq!(load_pieces(&def, clauses, text.as_bytes(), piece).unwrap(), expected);
    }

    #[test]
    fn split_texts_load_the_same(
        text in "([0-9]{1,3},(\"[a\n,]{0,4}\"|[ab]{0,3}),[0-9]{1,2}\n){1,12}",
        at in 0usize..60,
    ) {
        let def = simple();
        let clauses = "FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"'";
        let (format, _) = load_statement(clauses);
        let parser = LoadParser::new(def.clone(), &[], &format, Context::fixed()).unwrap();
        let cut = parser.split_point(&text.as_bytes()[..at.min(text.len())]).unwrap_or(0);
        let (head, tail) = text.as_bytes().split_at(cut);
        let mut parts = load_pieces(&def, clauses, head, usize::MAX).unwrap();
        parts.extend(load_pieces(&def, clauses, tail, usize::MAX).unwrap());
        prop_assert_eq!(parts, load_pieces(&def, clauses, text.as_bytes(), usize::MAX).unwrap());
    }

    #[test]
    fn nothing_panics_and_pieces_do_not_matter(
        text in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b','), Just(b'"'), Just(b'\\'), Just(b'1'), Just(b'N'), any::<u8>()], 0..60),
        piece in 1usize..20,
    ) {
        let def = table("create table t (a varchar(99), b blob)");
        for clauses in [
            "FIELDS TERMINATED BY ','",
            "FIELDS TERMINATED BY ',' ENCLOSED BY '\"'",
            "FIELDS TERMINATED BY ',' ENCLOSED BY '\"' ESCAPED BY '\"' LINES TERMINATED BY ',\\n'",
            "FIELDS TERMINATED BY '1,' LINES STARTING BY 'N' TERMINATED BY '\\n1'",
        ] {
            let whole = load_pieces(&def, clauses, &text, usize::MAX);
            prop_assert_eq!(load_pieces(&def, clauses, &text, piece), whole, "{}", clauses);
        }
    }
}

/// Text like TPC-H's lineitem.
fn lineitem(rows: u64) -> Vec<u8> {
    let mut seed = 42u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let words = "carefully final deposits sleep quickly ironic accounts boost furiously regular packages";
    let mut text = String::new();
    for row in 0..rows {
        let date = |days: u64| crate::temporal::format_date(8_036 + days as i32);
        let comment = random(30) as usize;
        text.push_str(&format!(
            "{}|{}|{}|{}|{}|{}.{:02}|0.{:02}|0.{:02}|{}|{}|{}|{}|{}|{}|{}|{}|\n",
            row / 4 + 1,
            random(200_000),
            random(10_000),
            row % 4 + 1,
            random(50) + 1,
            random(90_000) + 900,
            random(100),
            random(11),
            random(9),
            ["R", "A", "N"][random(3) as usize],
            ["O", "F"][random(2) as usize],
            date(random(2500)),
            date(random(2500)),
            date(random(2500)),
            ["DELIVER IN PERSON", "NONE", "TAKE BACK RETURN"][random(3) as usize],
            ["TRUCK", "MAIL", "REG AIR"][random(3) as usize],
            &words[comment..comment + 10 + random(34) as usize],
        ));
    }
    text.into_bytes()
}

/// Seconds that this thread has run, so that other work on the machine does not count.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// Run with `--ignored --nocapture`.
#[test]
#[ignore = "prints a speed, checks nothing"]
fn speed() {
    let def = table(
        "create table lineitem (l_orderkey bigint not null, l_partkey bigint not null, l_suppkey bigint not null, \
         l_linenumber int not null, l_quantity decimal(15,2) not null, l_extendedprice decimal(15,2) not null, \
         l_discount decimal(15,2) not null, l_tax decimal(15,2) not null, l_returnflag char(1) not null, \
         l_linestatus char(1) not null, l_shipdate date not null, l_commitdate date not null, \
         l_receiptdate date not null, l_shipinstruct char(25) not null, l_shipmode char(10) not null, \
         l_comment varchar(44) not null)",
    );
    let text = lineitem(600_000);
    for clauses in [
        "FIELDS TERMINATED BY '|'",
        "FIELDS TERMINATED BY '|' LINES TERMINATED BY '|\\n'",
        "FIELDS TERMINATED BY '|' ENCLOSED BY '\"'",
    ] {
        let (format, _) = load_statement(clauses);
        let mut best = f64::MAX;
        for _ in 0..5 {
            let start = cpu_seconds();
            let mut parser = LoadParser::new(def.clone(), &[], &format, Context::fixed()).unwrap();
            let mut rows = 0;
            for piece in text.chunks(1 << 20) {
                rows += parser.push(piece).unwrap().iter().map(|b| b.batch.num_rows()).sum::<usize>();
            }
            rows += parser.finish().unwrap().iter().map(|b| b.batch.num_rows()).sum::<usize>();
            assert_eq!(rows, 600_000);
            best = best.min(cpu_seconds() - start);
        }
        println!("{:.0} MB/s, {clauses}", text.len() as f64 / best / 1e6);
    }
}
