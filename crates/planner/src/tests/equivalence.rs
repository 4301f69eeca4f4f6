//! Every query must yield the same rows distributed over any number of partitions as DataFusion
//! yields in one, on random data with NULLs and duplicates.

use super::analyzed;
use crate::{Planner, Settings};
use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringViewArray,
};
use arrow::datatypes::Schema;
use arrow::util::pretty::pretty_format_batches;
use datafusion::config::ConfigOptions;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use env::MemoryBudget;
use exec::testing::{TestTables, table_def};
use exec::{Cancel, DistributedPlan, Executor, ExecutorOptions, QueryContext};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use types::{SqlType, TableDef};

const BIGINT: SqlType = SqlType::BigInt { unsigned: false };
const INT: SqlType = SqlType::Int { unsigned: false };
const DECIMAL: SqlType = SqlType::Decimal { precision: 15, scale: 2 };

/// Four tables: by an integer, by two columns, by a string, by nothing.
fn definitions() -> Vec<Arc<TableDef>> {
    let columns: &[(&str, SqlType, bool)] = &[
        ("k", INT, true),
        ("g", BIGINT, true),
        ("s", SqlType::VarChar(20), true),
        ("d", DECIMAL, true),
        ("t", SqlType::Date, true),
        ("id", BIGINT, false),
    ];
    vec![
        Arc::new(table_def(1, "a", columns, &["k"])),
        Arc::new(table_def(2, "b", columns, &["k", "g"])),
        Arc::new(table_def(3, "c", columns, &["s"])),
        Arc::new(table_def(4, "e", columns, &[])),
    ]
}

/// The same, where those by a string and by nothing are reference tables.
pub(super) fn with_references() -> Vec<Arc<TableDef>> {
    let mut tables = definitions();
    for def in &mut tables[2..] {
        *def = Arc::new(TableDef { shard_key: Vec::new(), reference: true, ..TableDef::clone(def) });
    }
    tables
}

fn random_rows(def: &TableDef, rows: usize, rng: &mut StdRng) -> RecordBatch {
    let maybe = |chance: f64, rng: &mut StdRng| rng.random_bool(chance);
    let keys = (rows / 3).max(2) as i32;
    let k: Int32Array = (0..rows).map(|_| (!maybe(0.1, rng)).then(|| rng.random_range(0..keys))).collect();
    let g: Int64Array = (0..rows).map(|_| (!maybe(0.2, rng)).then(|| rng.random_range(0..7))).collect();
    let s: StringViewArray = (0..rows)
        .map(|_| {
            (!maybe(0.1, rng)).then(|| {
                let n = rng.random_range(0..keys);
                if n % 3 == 0 { format!("a rather long string {n}") } else { format!("s{n}") }
            })
        })
        .collect();
    let d: Decimal128Array =
        (0..rows).map(|_| (!maybe(0.1, rng)).then(|| rng.random_range(-500..500i128))).collect();
    let t: Date32Array =
        (0..rows).map(|_| (!maybe(0.1, rng)).then(|| rng.random_range(9000..9100))).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(k),
        Arc::new(g),
        Arc::new(s),
        Arc::new(d.with_precision_and_scale(15, 2).unwrap()),
        Arc::new(t),
        Arc::new(Int64Array::from_iter_values(0..rows as i64)),
    ];
    let fields: Vec<_> = def.columns.iter().map(|c| c.ty.field(&c.name, c.nullable)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

pub(super) struct World {
    pub(super) reference: SessionContext,
    pub(super) distributed: SessionContext,
    pub(super) tables: Arc<TestTables>,
    pub(super) executor: Executor,
    pub(super) planner: Planner,
    _folder: tempfile::TempDir,
}

pub(super) fn world(
    partitions: usize,
    sizes: [usize; 4],
    seed: u64,
    settings: Settings,
    tune: impl Fn(&mut ExecutorOptions),
) -> World {
    world_of(&definitions(), partitions, sizes, seed, settings, tune)
}

pub(super) fn world_of(
    definitions: &[Arc<TableDef>],
    partitions: usize,
    sizes: [usize; 4],
    seed: u64,
    settings: Settings,
    tune: impl Fn(&mut ExecutorOptions),
) -> World {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut tables = TestTables::new(partitions, 100);
    let mut options = ConfigOptions::default();
    options.execution.target_partitions = 1;
    let reference = SessionContext::new_with_config(SessionConfig::from(options));
    let distributed = SessionContext::new();
    for (def, size) in definitions.iter().zip(sizes) {
        let rows = random_rows(def, size, &mut rng);
        tables.add(def, &rows);
        let memory = MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap();
        reference.register_table(def.name.as_str(), Arc::new(memory)).unwrap();
        distributed.register_table(def.name.as_str(), Arc::new(tables.provider(def.id))).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let mut options = ExecutorOptions::new(MemoryBudget::new(1 << 30), folder.path().to_path_buf());
    options.threads = 2;
    tune(&mut options);
    World {
        reference,
        distributed,
        tables: Arc::new(tables),
        executor: Executor::new(options).unwrap(),
        planner: Planner::new(settings),
        _folder: folder,
    }
}

pub(super) fn lines(batches: &[RecordBatch], ordered: bool) -> Vec<String> {
    let text = pretty_format_batches(batches).unwrap().to_string();
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(1)
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>().join("|"))
        .collect();
    if !ordered {
        lines.sort();
    }
    lines
}

impl World {
    fn query(&self) -> QueryContext {
        QueryContext { snapshots: self.tables.clone(), cancel: Cancel::new(), memory: None }
    }

    /// Compares with the reference. How it ran, as EXPLAIN ANALYZE says it.
    async fn check(&self, sql: &str) -> String {
        self.check_as(sql, sql).await
    }

    /// `same`: another way to say it, for the reference.
    async fn check_as(&self, sql: &str, same: &str) -> String {
        println!("{sql}");
        // A final ORDER BY by all columns makes the order comparable.
        let ordered = sql.contains("ORDER BY ALL");
        let [sql, same] = &[sql, same].map(|sql| sql.replace("ORDER BY ALL", "ORDER BY"));
        let expected = self.reference.sql(same).await.expect(same).collect().await.expect(same);
        let prepared =
            self.planner.prepare(analyzed(&self.distributed, sql)).unwrap_or_else(|e| panic!("{sql}: {e}"));
        if prepared.can_repeat() {
            // What a run leaves behind is not for another.
            let plan = prepared.instantiate().unwrap_or_else(|e| panic!("{sql}: {e}"));
            self.run(sql, &plan, &lines(&expected, ordered), ordered).await;
            let plan = prepared.instantiate().unwrap_or_else(|e| panic!("{sql}: {e}"));
            return self.run(sql, &plan, &lines(&expected, ordered), ordered).await;
        }
        let plan = prepared.into_plan().unwrap_or_else(|e| panic!("{sql}: {e}"));
        self.run(sql, &plan, &lines(&expected, ordered), ordered).await
    }

    async fn run(&self, sql: &str, plan: &DistributedPlan, expected: &[String], ordered: bool) -> String {
        let run = async { self.executor.run(plan, self.query())?.collect().await };
        let found = tokio::time::timeout(std::time::Duration::from_secs(60), run).await;
        let explained = exec::explain(plan);
        let found = found.unwrap_or_else(|_| panic!("{sql} hangs:\n{explained}"));
        let found = found.unwrap_or_else(|e| panic!("{sql}: {e}\n{explained}"));
        assert_eq!(lines(&found, ordered), expected, "{sql}\n{explained}");
        exec::explain_analyze(plan)
    }
}

pub(super) const QUERIES: &[&str] = &[
    "SELECT * FROM a",
    "SELECT k, g FROM a WHERE k > 5 AND (g = 3 OR s LIKE 's1%') AND d <> 1.5",
    "SELECT id FROM a WHERE s NOT LIKE '%long%' AND t BETWEEN DATE '1994-09-01' AND DATE '1994-10-01'",
    "SELECT id FROM a WHERE k IN (1, 2, 3, 99) OR g IS NULL",
    "SELECT id FROM c WHERE substr(s, 1, 2) IN ('s1', 'a ') AND k NOT IN (4, 5)",
    "SELECT id FROM a WHERE k < 5.5 AND d > -1.005",
    "SELECT count(*), sum(g), min(s), max(d), avg(d) FROM a",
    "SELECT max(g), max(1 - k), min(id), min(id % 7) FROM a",
    "SELECT max(id), max(coalesce(id, 5)), sum(id), sum(coalesce(id, 5)) FROM a",
    "SELECT g, min(id), min(coalesce(id, k)) FROM a GROUP BY g HAVING min(coalesce(id, 1)) > 1",
    "SELECT count(*) FROM a WHERE k < -100",
    "SELECT k, count(*), sum(g) FROM a GROUP BY k",
    "SELECT k, g, count(*), sum(d) FROM a GROUP BY k, g",
    "SELECT g, count(*), sum(d), min(s) FROM a GROUP BY g",
    "SELECT s, count(DISTINCT g), count(*) FROM a GROUP BY s",
    "SELECT count(DISTINCT k), count(DISTINCT s) FROM a",
    "SELECT DISTINCT k, g FROM b",
    "SELECT DISTINCT s FROM e",
    "SELECT g, k, count(*) FROM b GROUP BY ROLLUP(g, k)",
    "SELECT g, k, sum(id) FROM a GROUP BY GROUPING SETS ((g), (k), (g, k), ())",
    "SELECT a.id, b.id FROM a JOIN b ON a.k = b.k",
    "SELECT a.id, b.id FROM a JOIN b ON a.k = b.k AND a.g = b.g",
    "SELECT a.id, b.id FROM a JOIN b ON a.id = b.id AND a.id = b.g",
    "SELECT a.id, b.id, c.id FROM a JOIN b ON a.id = b.g JOIN c ON a.id = c.id AND b.id = c.id",
    "SELECT b.id FROM (SELECT 3 AS x FROM a) y JOIN b ON y.x = b.g AND y.x = b.id",
    "SELECT b.id, e.id FROM b JOIN e ON b.g = e.g AND b.k = e.k WHERE b.d > 0",
    "SELECT a.id, c.id FROM a JOIN c ON a.s = c.s",
    "SELECT a.id, c.id FROM a JOIN c ON a.k = c.g",
    "SELECT a.id, c.id FROM a JOIN c ON a.k = c.k AND a.d < c.d",
    "SELECT a.id, x.id FROM a JOIN a x ON a.k = x.k",
    "SELECT a.k, count(*) FROM a JOIN a x ON a.k = x.k GROUP BY a.k",
    "SELECT a.id, b.id, c.id FROM a, b, c WHERE a.k = b.k AND b.s = c.s AND c.g = 2",
    "SELECT a.id, b.id FROM a LEFT JOIN b ON a.k = b.k AND b.g > 3",
    "SELECT a.id, e.id FROM a LEFT JOIN e ON a.s = e.s WHERE a.k < 20",
    "SELECT a.id, e.id FROM e RIGHT JOIN a ON a.k = e.k",
    "SELECT a.id, c.id FROM a FULL JOIN c ON a.k = c.k AND a.g = c.g",
    "SELECT a.id, c.id FROM a FULL JOIN c ON a.s = c.s",
    "SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.g = 1)",
    "SELECT id FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.g <> a.g)",
    "SELECT id FROM a WHERE k IN (SELECT g FROM c WHERE s LIKE 's%')",
    "SELECT id FROM a WHERE k NOT IN (SELECT k FROM c WHERE k IS NOT NULL AND d > 2)",
    "SELECT id FROM a WHERE k NOT IN (SELECT k FROM c)",
    "SELECT id FROM b WHERE s IN (SELECT s FROM a) OR g = 1",
    "SELECT a.id, b.id FROM a CROSS JOIN b WHERE a.id < 5 AND b.id < 5",
    "SELECT a.id, b.id FROM a JOIN b ON a.id < b.id WHERE a.id > 20 AND b.k = 3",
    "SELECT a.id, b.id FROM a LEFT JOIN b ON a.d < b.d AND b.g = 2 WHERE a.id < 30",
    "SELECT id FROM a WHERE d > (SELECT avg(d) FROM c)",
    "SELECT id FROM a WHERE d = (SELECT max(d) FROM b WHERE b.k = a.k)",
    "SELECT k, sum(d) FROM a GROUP BY k HAVING sum(d) > (SELECT avg(d) FROM e)",
    "SELECT k, (SELECT count(*) FROM b WHERE b.k = a.k) FROM a",
    "SELECT id, k FROM a ORDER BY ALL k NULLS FIRST, id",
    "SELECT id, k FROM a ORDER BY ALL k DESC NULLS LAST, id DESC LIMIT 7",
    "SELECT id, k FROM a ORDER BY ALL d NULLS FIRST, id LIMIT 5 OFFSET 3",
    "SELECT s, sum(id) AS total FROM a GROUP BY s ORDER BY ALL total DESC, s LIMIT 3",
    "SELECT count(*) FROM (SELECT id FROM a LIMIT 11)",
    "SELECT count(*) FROM (SELECT id FROM a WHERE g = 1 LIMIT 1000000)",
    "SELECT id, row_number() OVER (PARTITION BY k ORDER BY id) FROM a",
    "SELECT id, sum(id) OVER (PARTITION BY g ORDER BY id), rank() OVER (ORDER BY id) FROM b",
    "SELECT id, sum(id) OVER () FROM a",
    "WITH y AS (SELECT 1 AS one FROM b GROUP BY g) SELECT min(2) OVER (PARTITION BY x.c ORDER BY x.c) FROM (SELECT DATE '1994-01-13' AS c, 1 AS one FROM a ORDER BY 1 DESC, 2 LIMIT 4) x JOIN y ON x.one = y.one",
    "SELECT id, lag(id) OVER (PARTITION BY s, g ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM c",
    "SELECT * FROM (SELECT id, row_number() OVER (PARTITION BY s ORDER BY id) AS n FROM a) WHERE n <= 2",
    "SELECT k FROM a UNION ALL SELECT k FROM b",
    "SELECT k FROM a UNION SELECT g FROM b UNION SELECT 5",
    "SELECT k, count(*) FROM (SELECT k FROM a UNION ALL SELECT k FROM a WHERE g = 1) GROUP BY k",
    "SELECT id FROM a WHERE k IN (SELECT 3 UNION SELECT 4 UNION SELECT 5)",
    "(SELECT id FROM a ORDER BY id LIMIT 2) UNION ALL (SELECT id FROM a ORDER BY id DESC LIMIT 2)",
    "SELECT 'one', sum(k) FROM a UNION ALL SELECT 'two', count(*) FROM b UNION ALL SELECT s, g FROM c WHERE id < 9",
    "SELECT x.n, count(*) FROM (SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 2) x JOIN a ON a.g = x.n GROUP BY x.n",
    "SELECT k, g FROM a INTERSECT SELECT k, g FROM b",
    // The sort comes to stand below the join that is shuffled.
    "(SELECT k, g FROM a) INTERSECT (SELECT g, count(*) FROM c GROUP BY g) ORDER BY 2, 1",
    "SELECT x.id, x.s FROM a x JOIN c y ON x.g = y.g AND x.s = y.s ORDER BY x.s NULLS FIRST, x.id",
    "SELECT k FROM a EXCEPT SELECT k FROM b",
    "SELECT min(t), 1 FROM a UNION SELECT min(t), 1 FROM b",
    "SELECT max(id) FROM a UNION ALL SELECT 7",
    // One row on one side: most partitions do not read the other, which has a join of its own.
    "SELECT x.id, z.m FROM a x JOIN (SELECT y.k, min(y.d) m FROM a y JOIN c ON c.s = y.s GROUP BY y.k) z ON x.k = z.k WHERE x.id = 3",
    "SELECT id FROM a WHERE id < 2 AND k IN (SELECT y.k FROM a y JOIN c ON c.s = y.s GROUP BY y.k)",
    "SELECT x.k, x.n, y.n FROM (SELECT k, count(*) n FROM a GROUP BY k) x JOIN (SELECT k, count(*) n FROM e GROUP BY k) y ON x.k = y.k",
    "SELECT x.g, count(*) FROM (SELECT a.g, b.s FROM a JOIN b ON a.k = b.k) x JOIN c ON x.s = c.s GROUP BY x.g",
    "WITH x AS (SELECT k, sum(d) AS total FROM a GROUP BY k) SELECT x.k, y.k FROM x JOIN x y ON x.total = y.total",
    "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT a.id, n.i FROM n JOIN a ON a.g = n.i",
    "WITH RECURSIVE r AS (SELECT id, k FROM a WHERE id = 1 UNION SELECT b.id, b.k FROM r JOIN b ON b.g = r.id WHERE b.id < 30) SELECT count(*) FROM r",
    "SELECT 1 AS one, 'x' AS x",
    "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) v(i, s) JOIN a ON a.k = v.i",
    "SELECT id FROM a WHERE FALSE",
    "SELECT sum(id) FROM a WHERE FALSE",
];

async fn all(partitions: usize, sizes: [usize; 4], seed: u64, settings: Settings) {
    let world = world(partitions, sizes, seed, settings, |_| {});
    for sql in QUERIES {
        world.check(sql).await;
    }
}

/// Joins meet partition by partition wherever they can.
pub(super) fn never_collect() -> Settings {
    Settings { small_build_rows: 0, large_build_bytes: 0, ..Settings::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_partition() {
    all(1, [200, 150, 100, 80], 1, Settings::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_partitions() {
    all(2, [200, 150, 100, 80], 2, Settings::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_partitions_on_several_leaves() {
    all(3, [300, 40, 100, 200], 3, Settings { leaves: 3, ..Settings::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reference_tables() {
    for (partitions, settings) in
        [(1, Settings::default()), (3, Settings { leaves: 3, ..Settings::default() }), (4, never_collect())]
    {
        let world = world_of(&with_references(), partitions, [200, 150, 100, 80], 7, settings, |_| {});
        for sql in QUERIES {
            world.check(sql).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seven_partitions_meeting() {
    all(7, [200, 150, 100, 80], 4, never_collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_partitions_meeting_on_several_leaves() {
    all(2, [500, 400, 20, 300], 5, Settings { leaves: 2, ..never_collect() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_tables() {
    all(2, [0, 50, 0, 1], 6, Settings::default()).await;
    all(3, [0, 50, 0, 1], 6, never_collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tiny_exchanges_do_not_deadlock() {
    let world =
        world(5, [3000, 2500, 2000, 1000], 7, never_collect(), |options| options.exchange_capacity = 1);
    for sql in QUERIES {
        world.check(sql).await;
    }
}

/// With more keys than the storage takes as a list.
const MANY_KEYS: &[&str] = &[
    "SELECT a.id, b.id FROM a JOIN b ON a.k = b.k",
    "SELECT a.id, c.d FROM a JOIN c ON a.id = c.id WHERE c.g < 4",
    "SELECT a.id, b.id, c.id FROM a JOIN b ON a.k = b.k JOIN c ON b.id = c.id WHERE c.d > 0",
    "SELECT a.k, count(*), sum(e.d) FROM a JOIN e ON a.k = e.k WHERE e.g > 1 GROUP BY a.k",
    "SELECT e.id FROM e WHERE EXISTS (SELECT 1 FROM b WHERE b.k = e.k AND b.g <> e.g)",
    "SELECT e.id FROM e WHERE k IN (SELECT k FROM c WHERE d > 0)",
    "SELECT e.id FROM e WHERE k NOT IN (SELECT k FROM c WHERE k IS NOT NULL AND d > 0)",
    "SELECT e.id FROM e WHERE k NOT IN (SELECT k FROM c)",
    "SELECT a.id, e.id FROM a LEFT JOIN e ON a.k = e.k AND e.g = 3",
    "SELECT a.id, e.id FROM a FULL JOIN e ON a.id = e.id AND a.g = e.g",
    "SELECT id FROM a WHERE d = (SELECT max(d) FROM b WHERE b.k = a.k)",
    "SELECT a.id FROM a JOIN (SELECT k, min(d) AS m FROM b GROUP BY k) x ON a.k = x.k AND a.d = x.m",
];

/// Joins on two keys, whose group tables take more memory than [`MANY_KEYS`] do.
const TWO_KEYS: &[&str] = &[
    "SELECT a.id FROM a JOIN (SELECT k, g, sum(d) AS s FROM e GROUP BY k, g) x ON a.k = x.k AND a.g = x.g WHERE a.d < 5 AND a.d < x.s",
    "SELECT c.id, x.s FROM c RIGHT JOIN (SELECT g, k, sum(d) AS s FROM e GROUP BY g, k) x ON c.k = x.k AND c.g = x.g AND c.d > 3",
    "SELECT a.id FROM a WHERE d > 2 AND EXISTS (SELECT 1 FROM e WHERE e.k = a.k AND e.g = a.g AND e.d < a.d)",
];

async fn many_keys(partitions: usize, seed: u64, settings: Settings) {
    let world = world(partitions, [9_000, 8_000, 7_000, 6_000], seed, settings, |_| {});
    let mut gathered = 0;
    for sql in MANY_KEYS.iter().chain(TWO_KEYS) {
        gathered += usize::from(world.check(sql).await.contains("BuildKeysExec"));
    }
    assert!(gathered > MANY_KEYS.len() / 3, "only {gathered} of the queries gather keys");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_keys_collected() {
    many_keys(2, 8, Settings { small_build_rows: usize::MAX, ..Settings::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_keys_meeting() {
    many_keys(3, 9, never_collect()).await;
}

/// Joins over more rows than their memory holds.
async fn little_memory(partitions: usize, seed: u64, settings: Settings) {
    let world = world(partitions, [20_000, 18_000, 16_000, 14_000], seed, settings, |options| {
        options.query_memory = 800 << 10;
    });
    let mut spilled = 0;
    for sql in MANY_KEYS {
        let explained = world.check(sql).await;
        spilled +=
            explained.lines().filter(|line| line.contains("HashJoin") && line.contains("spills")).count();
    }
    assert!(spilled > MANY_KEYS.len() / 3, "only {spilled} joins spilled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn little_memory_collected() {
    little_memory(2, 11, Settings { small_build_rows: usize::MAX, ..Settings::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn little_memory_meeting() {
    little_memory(3, 12, never_collect()).await;
}

/// Keys that are equal to each other on one side and not on the other.
const EQUAL_KEYS: &[&str] = &[
    "SELECT 1 AS x, id, 1 AS y FROM a INTERSECT SELECT 1 AS x, g, 2 AS y FROM b",
    "SELECT 1 AS x, id, 1 AS y FROM a INTERSECT SELECT 1 AS x, g, k AS y FROM b",
    "SELECT k AS x, id, k AS y FROM a INTERSECT SELECT g AS x, id, k AS y FROM b",
    "SELECT x.id, y.id FROM a x LEFT JOIN (SELECT b.id, b.s, 'a' AS c FROM b LEFT JOIN c ON b.g = c.id) y ON x.s = y.c AND x.s = y.s",
    "SELECT x.id, y.id FROM (SELECT id, 's1' AS c FROM a) x LEFT JOIN (SELECT b.id, b.s, 's1' AS c FROM b LEFT JOIN c ON b.g = c.id) y ON x.c = y.c AND x.c = y.s",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_keys() {
    for settings in [never_collect(), Settings { leaves: 2, ..never_collect() }] {
        let world = world(3, [200, 60, 100, 80], 13, settings, |_| {});
        for sql in EQUAL_KEYS {
            world.check(sql).await;
        }
    }
}

/// With a constant on a side that an outer join fills with NULLs.
const CONSTANTS: &[&str] = &[
    "SELECT x.c, count(*) FROM a LEFT JOIN (SELECT k, 1 AS c FROM b) x ON a.k = x.k GROUP BY x.c",
    "SELECT x.c, a.g, count(*) FROM (SELECT k, 1 AS c FROM b) x RIGHT JOIN a ON a.k = x.k GROUP BY x.c, a.g",
    "SELECT x.c, y.c, count(*) FROM (SELECT k, 1 AS c FROM b) x FULL JOIN (SELECT k, 1 AS c FROM a) y ON x.k = y.k GROUP BY x.c, y.c",
    "SELECT x.c, count(*) FROM a LEFT JOIN (SELECT k, d, 1 AS c FROM b) x ON a.d < x.d AND x.k > 4 GROUP BY x.c",
    "SELECT DISTINCT x.c FROM a LEFT JOIN (SELECT k, 1 AS c FROM b) x ON a.k = x.k",
    "SELECT a.id, x.c FROM a LEFT JOIN (SELECT DISTINCT k, 1 AS c FROM b) x ON a.k = x.k ORDER BY ALL c NULLS FIRST, id",
    "SELECT a.id, count(*) OVER (PARTITION BY x.c) FROM a LEFT JOIN (SELECT DISTINCT k, 1 AS c FROM b) x ON a.k = x.k",
    // Of all columns.
    "SELECT x.c, count(*) FROM a LEFT JOIN (SELECT 1 AS c FROM b) x ON a.id = x.c GROUP BY x.c",
    "SELECT x.c, count(*) FROM a LEFT JOIN (SELECT 1 AS c FROM b) x ON a.id < x.c + 5 GROUP BY x.c",
    "SELECT x.c, y.c, count(*) FROM (SELECT 1 AS c FROM b) x FULL JOIN (SELECT 1 AS c FROM a WHERE k = 2) y ON x.c + 1 = y.c GROUP BY x.c, y.c",
    "SELECT x.c, a.g, count(*) FROM a LEFT JOIN (SELECT 1 AS c FROM b) x ON a.id = x.c GROUP BY a.g, x.c",
    // Keys of several sets.
    "SELECT x.c, count(*) FROM (SELECT k, 1 AS c FROM b) x GROUP BY ROLLUP(x.c)",
    "SELECT x.c, x.k, count(*) FROM (SELECT k, 1 AS c FROM b) x GROUP BY ROLLUP(x.c, x.k)",
    "SELECT x.c, x.k, count(*) FROM (SELECT k, 1 AS c FROM b) x GROUP BY ROLLUP(x.k, x.c)",
];

async fn constants(partitions: usize, settings: Settings) {
    let world = world(partitions, [200, 60, 100, 80], 10, settings, |_| {});
    for sql in CONSTANTS {
        // The reference would take the constant for one above the join as well.
        world
            .check_as(sql, &sql.replace("1 AS c", "CAST(signum(abs(coalesce(k, 0)) + 1) AS BIGINT) AS c"))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn constants_below_outer_joins() {
    constants(1, Settings::default()).await;
    constants(3, Settings { leaves: 2, ..Settings::default() }).await;
    constants(3, never_collect()).await;
}
