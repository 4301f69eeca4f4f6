//! Statements and their errors.

use super::*;
use crate::statement::*;

fn one(text: &str) -> Statement {
    parse_one(text).unwrap_or_else(|error| panic!("{text}: {error}")).statement
}

fn error(text: &str) -> SqlError {
    parse_one(text).err().unwrap_or_else(|| panic!("{text} was accepted"))
}

fn table(name: &str) -> TableName {
    TableName { database: None, name: name.into() }
}

#[test]
fn syntax_errors_tell_the_place() {
    let cases = [
        ("SELEC 1", "near 'SELEC 1' at line 1 (expected a statement; did you mean SELECT?)"),
        ("SELECT 1 FROM", "near '' at line 1 (expected identifier)"),
        ("SELECT\n 1 +\n , 2", "near ', 2' at line 3 (expected an expression)"),
        ("INSERT INTO t VALUES (1", "near '' at line 1 (expected ))"),
        ("CREATE TABLE t (a int,, b int)", "near ', b int)' at line 1 (expected a name)"),
        ("CREATE TABLE t (a strange)", "near 'strange)' at line 1 (expected a type)"),
        ("CREATE TABLE select (a int)", "near 'select (a int)' at line 1 (expected a name)"),
        ("DROP DATABASE", "near '' at line 1 (expected a name)"),
        ("SELECT 'abc", "near ''abc' at line 1 (expected the closing quote)"),
        ("SET a 1", "near '1' at line 1 (expected =)"),
        ("SELECT 1 1", "near '1' at line 1 (expected the end of the statement)"),
        ("UPDATE t SET", "near '' at line 1 (expected a name)"),
        ("UPDATE t SET a.b.c.d = 1", "near '= 1' at line 1 (expected a name of at most three parts)"),
        ("SHOW NONSENSE", "near 'NONSENSE' at line 1 (expected what to show)"),
    ];
    for (text, end) in cases {
        let error = error(text);
        assert_eq!(error.kind.errno(), 1064, "{text}");
        let start = "You have an error in your SQL syntax; check the manual that corresponds to your Pando \
                     version for the right syntax to use ";
        assert_eq!(error.message, format!("{start}{end}"), "{text}");
    }
    let long = error(&format!("SELECT 1 FROM t WHERE ) {}", "x".repeat(200)));
    assert!(long.message.contains(&format!("near ') {}' at line 1", "x".repeat(78))), "{}", long.message);
    for text in ["", "  ", ";", "-- nothing", "/* */ ;"] {
        let error = error(text);
        assert_eq!((error.kind.errno(), error.message.as_str()), (1065, "Query was empty"), "{text:?}");
    }
    let deep = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(error(&deep).message.contains("nests deeper"));
}

#[test]
fn what_is_not_there_yet_says_so() {
    for text in [
        "CREATE FULLTEXT INDEX i ON t (a)",
        "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u (a) ON DELETE CASCADE",
        "ALTER TABLE t PARTITION BY HASH (a)",
        "LOCK TABLES t READ, u WRITE",
        "CREATE TABLE t (a geometry)",
        "CREATE TABLE t (a int, FOREIGN KEY (a) REFERENCES u (a) ON UPDATE SET NULL)",
        "CREATE TABLE t (a int) PARTITION BY HASH (a)",
        "CREATE TABLE t (a varchar(3) character set latin1)",
        "CREATE TABLE t (a decimal(40, 2))",
        "LOAD DATA INFILE 'f' INTO TABLE t (a, @b)",
        "LOAD DATA INFILE 'f' INTO TABLE t SET a = 1",
        "CREATE VIEW v AS SELECT 1 WITH CHECK OPTION",
        "CREATE USER a REQUIRE X509",
        "GRANT BACKUP_ADMIN ON *.* TO a",
        "CALL p()",
        "HANDLER t OPEN",
    ] {
        let error = error(text);
        assert_eq!(error.kind.errno(), 1235, "{text}: {error}");
        assert!(error.message.starts_with("Pando doesn't yet support '"), "{text}");
    }
}

#[test]
fn keys_are_switched_and_rows_updated_without_from() {
    for text in ["/*!40000 ALTER TABLE `t` DISABLE KEYS */", "ALTER TABLE t ENABLE KEYS, COMMENT = 'x'"] {
        let Statement::AlterTable(alter) = one(text) else { panic!("{text}") };
        assert!(alter.switches_keys, "{text}");
    }
    assert_eq!(error("ALTER TABLE t DISABLE").kind.errno(), 1064);
    let text = "INSERT INTO t SELECT 1, 2 UNION SELECT 3, 4 ON DUPLICATE KEY UPDATE a = 1";
    let Statement::Insert(insert) = one(text) else { panic!("{text}") };
    assert_eq!(insert.on_duplicate.len(), 1);
}

#[test]
fn several_statements_and_their_parameters() {
    let all = parse("USE a; SELECT 1; -- end").unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0], Statement::Use("a".into()));
    let parsed = parse_one("SELECT ? + a FROM t WHERE b IN (?, ?) LIMIT ?").unwrap();
    assert_eq!(parsed.parameters, 4);
    let Statement::Query(query) = parsed.statement else { panic!() };
    assert!(query.to_string().contains("$1 + a"));
    assert_eq!(parse_one("/*!40101 SET NAMES utf8 */").unwrap().parameters, 0);
}

#[test]
fn queries_go_to_sqlparser() {
    for text in [
        "SELECT SQL_NO_CACHE a, b AS `c d` FROM t AS x LEFT JOIN u USING (a) WHERE a <=> NULL ORDER BY 1 DESC LIMIT 5, 10",
        "(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1",
        "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5) SELECT * FROM c",
        "SELECT * FROM t FOR UPDATE SKIP LOCKED",
        "SELECT * FROM t LOCK IN SHARE MODE",
        "SELECT a FROM t USE INDEX (i) WHERE a = 1",
        "SELECT /*+ NO_MERGE(t) */ a, count(*) FROM t GROUP BY a WITH ROLLUP HAVING count(*) > 1",
        "SELECT date_add(d, INTERVAL 1 DAY), d - INTERVAL '1:1' MINUTE_SECOND FROM t",
        "SELECT group_concat(DISTINCT a ORDER BY b SEPARATOR ';') FROM t",
        "SELECT CASE a WHEN 1 THEN 'x' ELSE 'y' END, CAST(a AS UNSIGNED), CONVERT(a USING utf8mb4)",
        "SELECT @@version_comment, @a, @@session.autocommit, @b := 1",
        "SELECT row_number() OVER (PARTITION BY a ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t",
        "SELECT a FROM t WHERE a LIKE 'x!%' ESCAPE '!' AND b NOT REGEXP '^a' OR a IS NOT TRUE",
        "SELECT 1 FROM dual WHERE EXISTS (SELECT 1) AND 1 = ANY (SELECT 2)",
        "VALUES ROW(1, 2), ROW(3, 4)",
        "TABLE t",
        "SELECT t.* FROM db.t, (SELECT 1 AS one) s",
        "SELECT extract(YEAR_MONTH FROM d), trim(LEADING 'x' FROM a), substring(a FROM 2 FOR 3) FROM t",
        "SELECT _utf8mb4'x' COLLATE utf8mb4_bin, N'y', x'4142', 0x4142, b'01', 1e3, .5",
        "SELECT DATE '2024-01-01', TIMESTAMP '2024-01-01 00:00:00', TIME '10:00:00'",
        "SELECT if(a, b, c), left(a, 2), replace(a, 'x', 'y'), values(a), mod(a, 2), interval(1, 2) FROM t",
        "select count(distinct a, b) from t",
        "SELECT NOT a, !a, -a, ~a, a AND b && c OR d || e XOR f FROM t",
        "SELECT date, time, status, comment, value, `key`, year, month FROM t",
    ] {
        assert!(matches!(one(text), Statement::Query(_)), "{text}");
    }
}

#[test]
fn databases() {
    assert_eq!(
        one(
            "CREATE DATABASE IF NOT EXISTS d PARTITIONS 8 DEFAULT CHARACTER SET = utf8mb4 COLLATE utf8mb4_bin"
        ),
        Statement::CreateDatabase(CreateDatabase {
            name: "d".into(),
            if_not_exists: true,
            collation: Some(types::Collation::Bytes),
            partitions: Some(8)
        })
    );
    assert_eq!(
        one("DROP SCHEMA IF EXISTS `d-1`"),
        Statement::DropDatabase { name: "d-1".into(), if_exists: true }
    );
    assert_eq!(error("CREATE DATABASE d CHARACTER SET klingon").message, "Unknown character set: 'klingon'");
    assert_eq!(error("CREATE DATABASE d COLLATE klingon_ci").kind.errno(), 1273);
    assert_eq!(
        one("DROP TABLE IF EXISTS a, db.b CASCADE"),
        Statement::DropTable {
            tables: vec![table("a"), TableName { database: Some("db".into()), name: "b".into() }],
            if_exists: true,
            temporary: false
        }
    );
    assert_eq!(one("TRUNCATE t"), Statement::Truncate(table("t")));
}

#[test]
fn inserts() {
    let Statement::Insert(insert) = one(
        "INSERT IGNORE INTO db.t (a, `b`) VALUES (1, DEFAULT), (?, 'x') AS new ON DUPLICATE KEY UPDATE a = new.a, b = DEFAULT",
    ) else {
        panic!()
    };
    assert!(insert.ignore && !insert.replace);
    assert_eq!(insert.columns.iter().map(|c| c.value.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let InsertSource::Values(rows) = &insert.source else { panic!() };
    assert_eq!(rows[0][1], InsertValue::Default);
    assert_eq!(insert.on_duplicate.len(), 2);
    assert!(insert.row_alias.is_some());
    let Statement::Insert(insert) = one("REPLACE t SET a = 1, t.b = 2") else { panic!() };
    assert!(insert.replace);
    assert_eq!(insert.columns.len(), 2);
    for text in [
        "INSERT INTO t SELECT * FROM u",
        "INSERT INTO t (a) SELECT 1",
        "INSERT INTO t (SELECT 1)",
        "INSERT INTO t ((SELECT 1) UNION (SELECT 2))",
        "INSERT INTO t (a) (SELECT 1)",
        "INSERT t WITH c AS (SELECT 1) SELECT * FROM c",
        "INSERT INTO t TABLE u",
    ] {
        let Statement::Insert(insert) = one(text) else { panic!("{text}") };
        assert!(matches!(insert.source, InsertSource::Query(_)), "{text}");
    }
    for text in ["INSERT INTO t VALUES ()", "INSERT INTO t () VALUES (), ()", "INSERT t VALUE ROW(1)"] {
        let parsed = parse_one(text);
        assert_eq!(parsed.is_ok(), !text.contains("ROW"), "{text}");
    }
    assert!(matches!(one("INSERT INTO t VALUES ROW(1), ROW(2)"), Statement::Insert(_)));
}

#[test]
fn updates_and_deletes() {
    let Statement::Update(update) =
        one("UPDATE LOW_PRIORITY t AS x SET x.a = a + 1, b = DEFAULT WHERE c > 5 ORDER BY d DESC LIMIT 10")
    else {
        panic!()
    };
    assert_eq!(update.alias.as_ref().map(|a| a.value.as_str()), Some("x"));
    assert_eq!(update.assignments.len(), 2);
    assert_eq!(update.assignments[0].column.len(), 2);
    assert!(update.selection.is_some() && update.limit.is_some() && update.order_by.len() == 1);
    let Statement::Delete(delete) = one("DELETE FROM db.t x WHERE a = 1 LIMIT ?") else { panic!() };
    assert_eq!(delete.table.database.as_deref(), Some("db"));
    assert!(delete.selection.is_some() && delete.limit.is_some());
}

#[test]
fn load_data() {
    let Statement::LoadData(load) =
        one("LOAD DATA LOCAL INFILE '/tmp/f.csv' REPLACE INTO TABLE db.t CHARACTER SET utf8mb4 \
         FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' ESCAPED BY '' \
         LINES STARTING BY 'x' TERMINATED BY '\\r\\n' IGNORE 1 ROWS (a, b)")
    else {
        panic!()
    };
    assert!(load.local);
    assert_eq!(load.duplicates, LoadDuplicates::Replace);
    assert_eq!(
        load.format,
        FileFormat::Text(LoadFormat {
            fields_terminated: b",".to_vec(),
            enclosed: Some(b'"'),
            optionally_enclosed: true,
            escaped: None,
            lines_starting: b"x".to_vec(),
            lines_terminated: b"\r\n".to_vec(),
            ignore_lines: 1,
        })
    );
    assert_eq!(load.columns.len(), 2);
    let Statement::LoadData(load) =
        one("LOAD DATA INFILE 'f' IGNORE INTO TABLE t COLUMNS TERMINATED BY X'7C' IGNORE 2 LINES")
    else {
        panic!()
    };
    let FileFormat::Text(format) = load.format else { panic!() };
    assert_eq!((format.fields_terminated.as_slice(), format.ignore_lines), (&b"|"[..], 2));
    assert_eq!(load.duplicates, LoadDuplicates::Ignore);
    assert_eq!(
        one("LOAD DATA INFILE 'f' INTO TABLE t"),
        Statement::LoadData(Box::new(LoadData {
            local: false,
            file: "f".into(),
            duplicates: LoadDuplicates::Error,
            table: table("t"),
            format: FileFormat::Text(LoadFormat::default()),
            columns: Vec::new(),
        }))
    );
    let Statement::LoadData(load) = one("LOAD DATA INFILE 'f' INTO TABLE t FORMAT PARQUET (b, a)") else {
        panic!()
    };
    assert_eq!((load.format, load.columns.len()), (FileFormat::Parquet, 2));
    for text in [
        "LOAD DATA INFILE 'f' INTO TABLE t FORMAT ORC",
        "LOAD DATA INFILE 'f' INTO TABLE t FORMAT PARQUET IGNORE 1 LINES",
        "LOAD DATA INFILE 'f' INTO TABLE t FORMAT PARQUET FIELDS TERMINATED BY ','",
    ] {
        assert_eq!(parse_one(text).unwrap_err().kind, ErrorKind::ParseError, "{text}");
    }
}

#[test]
fn select_into_outfile() {
    let into = |text: &str| match one(text) {
        Statement::SelectInto(into) => *into,
        other => panic!("{other:?}"),
    };
    let before =
        into("SELECT a, (SELECT 1 FROM u) INTO OUTFILE '/f' FIELDS TERMINATED BY ',' FROM t WHERE a > 1");
    let after =
        into("SELECT a, (SELECT 1 FROM u) FROM t WHERE a > 1 INTO OUTFILE '/f' FIELDS TERMINATED BY ',';");
    assert_eq!((before.query.to_string(), &before.format), (after.query.to_string(), &after.format));
    assert_eq!(before.file, "/f");
    let Statement::Query(query) = one("SELECT a, (SELECT 1 FROM u) FROM t WHERE a > 1") else { panic!() };
    assert_eq!(before.query.to_string(), query.to_string());
    for text in [
        "SELECT 1 INTO OUTFILE 'f' FORMAT PARQUET",
        "(SELECT 1) UNION SELECT 2 ORDER BY 1 LIMIT 3 INTO OUTFILE 'f' FORMAT PARQUET",
        "WITH x AS (SELECT 1) SELECT * INTO OUTFILE 'f' FORMAT PARQUET FROM x",
        "TABLE t INTO OUTFILE 'f' FORMAT PARQUET",
    ] {
        assert_eq!(into(text).format, FileFormat::Parquet, "{text}");
    }
    for text in [
        "SELECT 1 INTO OUTFILE 'f' UNION SELECT 2",
        "SELECT 1 INTO OUTFILE f",
        "SELECT 1 INTO OUTFILE 'f' FORMAT CSV",
        "SELECT 1 INTO OUTFILE 'f' INTO OUTFILE 'g'",
        "SELECT 1 INTO OUTFILE",
    ] {
        assert_eq!(parse_one(text).unwrap_err().kind, ErrorKind::ParseError, "{text}");
    }
    for text in ["SELECT 1 INTO DUMPFILE 'f'", "SELECT 1 INTO OUTFILE 'f' FIELDS TERMINATED BY ''"] {
        assert_eq!(parse_one(text).unwrap_err().kind, ErrorKind::NotSupportedYet, "{text}");
    }
}

#[test]
fn shows() {
    let cases = [
        ("SHOW DATABASES", ShowWhat::Databases),
        ("SHOW SCHEMAS LIKE 'a%'", ShowWhat::Databases),
        ("SHOW FULL TABLES FROM db", ShowWhat::Tables { database: Some("db".into()), full: true }),
        ("SHOW COLUMNS FROM t", ShowWhat::Columns { table: table("t"), full: false }),
        (
            "SHOW FULL FIELDS IN t IN d",
            ShowWhat::Columns {
                table: TableName { database: Some("d".into()), name: "t".into() },
                full: true,
            },
        ),
        ("SHOW KEYS FROM t", ShowWhat::Index { table: table("t") }),
        ("SHOW CREATE TABLE t", ShowWhat::CreateTable(table("t"))),
        ("SHOW CREATE DATABASE d", ShowWhat::CreateDatabase { name: "d".into(), if_not_exists: false }),
        ("SHOW GLOBAL VARIABLES WHERE Variable_name = 'x'", ShowWhat::Variables(Scope::Global)),
        ("SHOW STATUS", ShowWhat::Status(Scope::Session)),
        (
            "SHOW COUNT(*) WARNINGS",
            ShowWhat::Warnings(MessageList { count_only: true, offset: 0, limit: None }),
        ),
        (
            "SHOW ERRORS LIMIT 1, 2",
            ShowWhat::Errors(MessageList { count_only: false, offset: 1, limit: Some(2) }),
        ),
        ("SHOW ENGINES", ShowWhat::Engines),
        ("SHOW CHARACTER SET", ShowWhat::CharacterSet),
        ("SHOW COLLATION LIKE 'utf8%'", ShowWhat::Collation),
        ("SHOW FULL PROCESSLIST", ShowWhat::ProcessList { full: true }),
        ("SHOW TABLE STATUS FROM `d`", ShowWhat::TableStatus { database: Some("d".into()) }),
        ("SHOW GRANTS", ShowWhat::Grants { account: None, roles: Vec::new() }),
        (
            "SHOW GRANTS FOR 'u'@'10.0.0.%' USING r",
            ShowWhat::Grants {
                account: Some(Account { user: "u".into(), host: "10.0.0.%".into(), current: false }),
                roles: vec![Account { user: "r".into(), host: "%".into(), current: false }],
            },
        ),
        ("SHOW SLAVE STATUS", ShowWhat::ReplicaStatus { old_names: true }),
        ("SHOW REPLICAS", ShowWhat::Replicas { old_names: false }),
        ("SHOW BINARY LOG STATUS", ShowWhat::LogStatus),
        ("SHOW PARTITIONS ON d", ShowWhat::Partitions { database: Some("d".into()) }),
    ];
    for (text, what) in cases {
        let Statement::Show(show) = one(text) else { panic!("{text}") };
        assert_eq!(show.what, what, "{text}");
        assert_eq!(show.filter.is_some(), text.contains("LIKE") || text.contains("WHERE"), "{text}");
    }
    assert_eq!(one("DESC t"), Statement::Describe { table: table("t"), column: None });
    assert_eq!(one("EXPLAIN t 'a%'"), Statement::Describe { table: table("t"), column: Some("a%".into()) });
    let Statement::Explain(explain) = one("EXPLAIN FORMAT=TREE SELECT 1") else { panic!() };
    assert_eq!((explain.format, explain.analyze), (ExplainFormat::Tree, false));
    let unknown = error("EXPLAIN FORMAT=yaml SELECT 1");
    assert_eq!(
        (unknown.kind.errno(), unknown.message.as_str()),
        (1791, "Unknown EXPLAIN format name: 'yaml'")
    );
    for (text, format) in [("TREE", ExplainFormat::Tree), ("json", ExplainFormat::Json)] {
        let Statement::Explain(explain) = one(&format!("EXPLAIN ANALYZE FORMAT={text} TABLE t")) else {
            panic!()
        };
        assert_eq!((explain.format, explain.analyze), (format, true));
    }
    for analyzing in ["EXPLAIN ANALYZE SELECT 1", "PROFILE SELECT 1"] {
        let Statement::Explain(explain) = one(analyzing) else { panic!() };
        assert!(explain.analyze);
    }
}

#[test]
fn sets() {
    let Statement::Set(items) =
        one("SET @a = 1, @B := 'x', GLOBAL max_connections = 5, wait_timeout = 6, @@session.sql_mode = '', \
         @@GLOBAL.time_zone = SYSTEM, autocommit = ON, sql_notes = DEFAULT")
    else {
        panic!()
    };
    let names: Vec<_> = items
        .iter()
        .map(|item| match item {
            SetItem::User { name, .. } => format!("@{name}"),
            SetItem::System { scope, name, value } => {
                format!("{scope:?} {name}{}", if *value == SetValue::Default { " default" } else { "" })
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        names,
        [
            "@a",
            "@b",
            "Global max_connections",
            "Global wait_timeout",
            "Session sql_mode",
            "Global time_zone",
            "Global autocommit",
            "Global sql_notes default"
        ]
    );
    assert_eq!(
        one("SET NAMES utf8mb4 COLLATE utf8mb4_bin"),
        Statement::Set(vec![SetItem::Names {
            charset: Some("utf8mb4".into()),
            collation: Some("utf8mb4_bin".into())
        }])
    );
    assert_eq!(
        one("SET CHARACTER SET 'utf8'"),
        Statement::Set(vec![SetItem::CharacterSet(Some("utf8".into()))])
    );
    assert_eq!(
        one("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"),
        Statement::Set(vec![SetItem::Transaction {
            scope: Some(Scope::Session),
            isolation: Some(Isolation::RepeatableRead),
            read_only: Some(true)
        }])
    );
    assert!(matches!(one("SET PASSWORD FOR 'u'@'h' = 'p'"), Statement::SetPassword { user: Some(_), .. }));
    // What mysqldump writes first.
    assert!(matches!(
        one("/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */"),
        Statement::Set(_)
    ));
    assert!(matches!(
        one("/*!40014 SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */"),
        Statement::Set(items) if items.len() == 2
    ));
}

#[test]
fn transactions_and_prepared_statements() {
    assert_eq!(one("BEGIN WORK"), Statement::Begin(Begin::default()));
    assert_eq!(
        one("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"),
        Statement::Begin(Begin { read_only: Some(true), snapshot: true })
    );
    assert_eq!(one("COMMIT"), Statement::Commit(Completion::default()));
    assert_eq!(
        one("ROLLBACK AND CHAIN NO RELEASE"),
        Statement::Rollback(Completion { chain: true, release: false })
    );
    assert_eq!(one("ROLLBACK TO SAVEPOINT s"), Statement::RollbackTo("s".into()));
    assert_eq!(one("SAVEPOINT s"), Statement::Savepoint("s".into()));
    assert_eq!(one("RELEASE SAVEPOINT s"), Statement::ReleaseSavepoint("s".into()));
    assert_eq!(
        one("PREPARE P FROM 'SELECT ?'"),
        Statement::Prepare { name: "p".into(), source: PrepareSource::Text("SELECT ?".into()) }
    );
    assert_eq!(
        one("PREPARE p FROM @Sql"),
        Statement::Prepare { name: "p".into(), source: PrepareSource::Variable("sql".into()) }
    );
    assert_eq!(
        one("EXECUTE p USING @a, @b"),
        Statement::Execute { name: "p".into(), using: vec!["a".into(), "b".into()] }
    );
    assert_eq!(one("DROP PREPARE p"), Statement::Deallocate("p".into()));
    assert!(matches!(one("KILL QUERY 5"), Statement::Kill { query_only: true, .. }));
    let leaf = |host: &str, port| LeafAddress { host: host.into(), port };
    assert_eq!(one("UNLOCK TABLES"), Statement::UnlockTables);
    for text in ["LOCK TABLES t READ", "LOCK TABLE t x READ", "LOCK TABLES `t` AS `x` READ LOCAL"] {
        let Statement::LockTables(tables) = one(text) else { panic!("{text}") };
        assert_eq!(tables[0].name, "t");
    }
    assert_eq!(one("ADD LEAF '10.0.0.7':7307"), Statement::AddLeaf(leaf("10.0.0.7", Some(7307))));
    assert_eq!(one("remove leaf 'leaf-0.leaf'"), Statement::RemoveLeaf(leaf("leaf-0.leaf", None)));
    for (text, what) in [
        ("ADD LEAF root:'secret'@'10.0.0.7':7307", "ADD LEAF with a user"),
        ("ADD LEAF '10.0.0.7':7307 INTO GROUP 2", "ADD LEAF .. INTO GROUP"),
        ("REMOVE LEAF '10.0.0.7':7307 FORCE", "REMOVE LEAF .. FORCE"),
    ] {
        let error = error(text);
        assert!(error.message.contains(what), "{text}: {error}");
    }
    for text in ["ADD LEAF", "ADD LEAF '10.0.0.7':0", "ADD LEAF '10.0.0.7':70000", "REMOVE LEAF 'a' b"] {
        assert_eq!(error(text).kind, ErrorKind::ParseError, "{text}");
    }
    assert_eq!(one("FLUSH PRIVILEGES"), Statement::Flush(vec!["PRIVILEGES".into()]));
    assert!(matches!(one("DO sleep(1), 2"), Statement::Do(exprs) if exprs.len() == 2));
    assert!(matches!(
        one("OPTIMIZE TABLE t FLUSH"),
        Statement::MaintainTables { action: MaintainAction::Optimize, mode: Some(_), .. }
    ));
}

#[test]
fn users() {
    let Statement::CreateUser { users, if_not_exists, .. } = one(
        "CREATE USER IF NOT EXISTS 'a'@'%' IDENTIFIED BY 'p', b@localhost IDENTIFIED WITH mysql_native_password AS '*X'",
    ) else {
        panic!()
    };
    assert!(if_not_exists);
    assert_eq!(users[0].password, Some(Password::Plain("p".into())));
    assert_eq!(users[1].account.host, "localhost");
    assert_eq!(users[1].password, Some(Password::Hash("*X".into())));
    let Statement::Grant(grant) =
        one("GRANT SELECT, CREATE TEMPORARY TABLES ON d.* TO 'a' WITH GRANT OPTION")
    else {
        panic!()
    };
    assert_eq!(grant.privileges, ["SELECT", "CREATE TEMPORARY TABLES"]);
    assert_eq!(grant.level, GrantLevel::Database(Some("d".into())));
    assert!(grant.with_grant_option);
    let Statement::Revoke(revoke) = one("REVOKE ALL PRIVILEGES, GRANT OPTION FROM a") else { panic!() };
    assert_eq!(revoke.privileges, ["ALL", "GRANT OPTION"]);
    let Statement::Grant(grant) = one("GRANT ALL ON *.* TO root@'%'") else { panic!() };
    assert_eq!((grant.level, grant.users[0].account.host.as_str()), (GrantLevel::Global, "%"));
    assert!(matches!(one("DROP USER IF EXISTS a, b@c"), Statement::DropUser { .. }));
    assert!(matches!(one("ALTER USER user() IDENTIFIED BY 'x'"), Statement::AlterUser { .. }));
}

#[test]
fn roles_and_options_of_users() {
    let Statement::GrantRoles { roles, users, admin } = one("GRANT r1, 'r2'@'h' TO a WITH ADMIN OPTION")
    else {
        panic!()
    };
    assert_eq!((roles[1].user.as_str(), roles[1].host.as_str()), ("r2", "h"));
    assert_eq!((users.len(), admin), (1, true));
    assert!(matches!(one("REVOKE `select` FROM a"), Statement::RevokeRoles { .. }));
    assert!(matches!(one("GRANT SELECT ON *.* TO a"), Statement::Grant(_)));
    assert!(matches!(one("SET ROLE NONE"), Statement::SetRole(RoleChoice::None)));
    assert!(matches!(one("SET ROLE ALL EXCEPT r"), Statement::SetRole(RoleChoice::AllExcept(_))));
    assert!(matches!(one("SET DEFAULT ROLE ALL TO a"), Statement::SetDefaultRole { .. }));
    assert!(
        matches!(one("RENAME USER a TO b, c TO d@e"), Statement::RenameUsers(renames) if renames.len() == 2)
    );
    let Statement::AlterUser { options, .. } = one("ALTER USER a REQUIRE SSL ACCOUNT LOCK") else { panic!() };
    assert_eq!(
        options,
        UserOptions { locked: Some(true), requires_tls: Some(true), ..UserOptions::default() }
    );
    let Statement::CreateUser { options, .. } =
        one("CREATE USER a FAILED_LOGIN_ATTEMPTS 3 PASSWORD_LOCK_TIME UNBOUNDED ACCOUNT UNLOCK")
    else {
        panic!()
    };
    assert_eq!((options.failed_login_attempts, options.password_lock_time), (Some(3), Some(None)));
    assert!(parse_one("ALTER USER a PASSWORD_LOCK_TIME 32768").is_err());
    // As MySQL writes accounts.
    one("CREATE USER a REQUIRE NONE PASSWORD EXPIRE DEFAULT ACCOUNT UNLOCK PASSWORD HISTORY DEFAULT \
         PASSWORD REUSE INTERVAL DEFAULT PASSWORD REQUIRE CURRENT DEFAULT");
    assert_eq!(parse_one("ALTER USER a PASSWORD EXPIRE").unwrap_err().kind.errno(), 1235);
    let Statement::Grant(grant) = one("GRANT SELECT (a, `b c`), INSERT, UPDATE (a) ON d.t TO u") else {
        panic!()
    };
    assert_eq!(grant.privileges, ["INSERT"]);
    let columns = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    assert_eq!(
        grant.columns,
        [("SELECT".to_string(), columns(&["a", "b c"])), ("UPDATE".to_string(), columns(&["a"]))]
    );
    assert!(parse_one("GRANT DELETE (a) ON d.t TO u").is_err());
}

#[test]
fn views_and_row_rules() {
    let Statement::CreateView(view) = one(
        "CREATE OR REPLACE ALGORITHM=MERGE DEFINER='a'@'%' SQL SECURITY INVOKER VIEW d.v (x) AS SELECT 1 ;",
    ) else {
        panic!()
    };
    assert!(view.or_replace && view.invoker_rights && !view.must_exist);
    assert_eq!((view.algorithm, view.columns.len()), (ViewAlgorithm::Merge, 1));
    assert!(matches!(one("ALTER VIEW v AS SELECT 1"), Statement::CreateView(view) if view.must_exist));
    let Statement::CreateTable(table) =
        one("CREATE TABLE t (a int CHECK (a > 0), b int DEFAULT (a + 1), c int AS (a * 2) STORED, \
         d int GENERATED ALWAYS AS (concat('x)', a)), CONSTRAINT k CHECK ( a < b ) NOT ENFORCED)")
    else {
        panic!()
    };
    assert_eq!(table.columns[0].checks[0].expression, "a > 0");
    assert_eq!(table.columns[1].default, Some(DefaultSpec::Expression("a + 1".into())));
    assert_eq!(table.columns[2].generated, Some(GeneratedSpec { expression: "a * 2".into(), stored: true }));
    assert_eq!(table.columns[3].generated.as_ref().unwrap().expression, "concat('x)', a)");
    let check = CheckSpec { name: Some("k".into()), expression: "a < b".into(), enforced: false };
    assert_eq!(table.checks, [check]);
}

/// Words and signs that a statement may be made of.
const PIECES: &[&str] = &[
    "SELECT",
    "INSERT",
    "INTO",
    "t",
    "a",
    "b",
    "VALUES",
    "(",
    ")",
    ",",
    ".",
    "*",
    "=",
    "1",
    "2.5",
    "'x'",
    "\"y\"",
    "`z`",
    "FROM",
    "WHERE",
    "AND",
    "OR",
    "NOT",
    "IN",
    "BETWEEN",
    "LIKE",
    "CREATE",
    "TABLE",
    "int",
    "varchar",
    "PRIMARY",
    "KEY",
    "SHARD",
    "DEFAULT",
    "NULL",
    "SET",
    "@a",
    "@@b",
    "SHOW",
    "GRANT",
    "ON",
    "TO",
    "UPDATE",
    "DELETE",
    "LOAD",
    "DATA",
    "INFILE",
    "FIELDS",
    "TERMINATED",
    "BY",
    "INTERVAL",
    "DAY",
    "CASE",
    "WHEN",
    "END",
    "JOIN",
    "USING",
    "ORDER",
    "GROUP",
    "LIMIT",
    "UNION",
    "ALL",
    "WITH",
    "AS",
    "EXISTS",
    "CAST",
    "-",
    "+",
    "!",
    "~",
    "||",
    ":=",
    "->",
    "?",
    "EXPLAIN",
    "DESC",
    "KILL",
    "FLUSH",
    "USER",
    "x'41'",
    "DATE",
    "BINARY",
    "_utf8mb4",
    "{",
    "}",
    ":",
    "<=>",
];

proptest::proptest! {
    #[test]
    fn nothing_panics(text in "\\PC{0,60}", pieces in proptest::collection::vec(0..PIECES.len(), 0..25)) {
        let _ = parse(&text);
        let words: Vec<&str> = pieces.iter().map(|at| PIECES[*at]).collect();
        if let Err(error) = parse(&words.join(" ")) {
            assert_ne!(error.kind.errno(), 1105, "{error}");
        }
    }

    #[test]
    fn cut_statements_do_not_panic(at in 0usize..400) {
        let text = "CREATE TABLE IF NOT EXISTS d.t (a bigint unsigned NOT NULL AUTO_INCREMENT COMMENT 'x', b decimal(10,2) \
                    DEFAULT '1.5', UNIQUE KEY u (a, b), PRIMARY KEY (a), SHARD KEY (a)) ENGINE=x COMMENT='y'; LOAD DATA LOCAL \
                    INFILE 'f' INTO TABLE t FIELDS TERMINATED BY ',' ENCLOSED BY '\"' LINES TERMINATED BY '\\n' IGNORE 1 LINES (a)";
        let _ = parse(&text[..at.min(text.len())]);
        let _ = parse(&text[at.min(text.len())..]);
    }
}
