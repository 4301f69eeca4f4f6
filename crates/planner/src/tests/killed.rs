//! Joins that are killed while they try pairs of rows.

use super::analyzed;
use super::equivalence::{World, lines, world};
use crate::Settings;
use exec::{Cancel, DistributedPlan, QueryContext};
use std::sync::Arc;
use std::time::{Duration, Instant};
use types::{ErrorKind, Result, SqlError};

impl World {
    fn planned(&self, sql: &str) -> Arc<DistributedPlan> {
        Arc::new(self.planner.plan(analyzed(&self.distributed, sql)).expect(sql))
    }

    async fn answer(&self, plan: &DistributedPlan, cancel: Cancel) -> Result<Vec<String>> {
        let query = QueryContext { snapshots: self.tables.clone(), cancel, memory: None };
        let batches = self.executor.run(plan, query)?.collect().await?;
        Ok(lines(&batches, false))
    }
}

/// Pairs of rows that are tried for minutes and yield nothing.
const ENDLESS: &[&str] = &[
    "SELECT count(*) FROM a, b, a x WHERE a.id + b.id + x.id < 0",
    "SELECT count(*) FROM a, b, a x",
    "SELECT count(*) FROM a LEFT JOIN b ON a.id + b.id < 0 LEFT JOIN a x ON x.id + a.id < 0",
    "SELECT count(*) FROM a JOIN b ON a.g = b.g JOIN a x ON a.g = x.g AND a.id + b.id + x.id < 0",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_join_frees_its_threads() {
    let world = world(2, [60_000, 50_000, 10, 10], 13, Settings::default(), |_| {});
    for sql in ENDLESS {
        let plans: Vec<_> = (0..3).map(|_| world.planned(sql)).collect();
        let cancel = Cancel::new();
        let all = futures::future::join_all(plans.iter().map(|plan| world.answer(plan, cancel.clone())));
        let kill = async {
            // Long enough to be deep in it; what is asserted holds in any phase.
            tokio::time::sleep(Duration::from_millis(700)).await;
            cancel.cancel(SqlError::new(ErrorKind::QueryInterrupted, "killed"));
            Instant::now()
        };
        let (ended, killed) = tokio::join!(all, kill);
        let took = killed.elapsed();
        for end in ended {
            assert_eq!(end.expect_err(sql).kind, ErrorKind::QueryInterrupted, "{sql}");
        }
        let other = world.planned("SELECT count(*) FROM c");
        world.answer(&other, Cancel::new()).await.unwrap();
        let free = killed.elapsed();
        println!("{sql}: ended after {took:?}, another query after {free:?}");
        assert!(free < Duration::from_secs(3), "{sql}: {took:?}, {free:?}");
    }
}

#[test]
fn a_cancelled_statement_is_planned_no_further() {
    let world = world(2, [10, 10, 10, 10], 13, Settings::default(), |_| {});
    let branches: Vec<String> =
        (0..200).map(|i| format!("SELECT a.id, b.g FROM a, b WHERE a.id = b.id + {i}")).collect();
    let large = branches.join(" UNION ALL ");
    let logical = || analyzed(&world.distributed, &large);
    let cancel = Cancel::new();
    let planner = world.planner.on_leaves(2).unless(&cancel);
    let begin = Instant::now();
    planner.prepare(logical()).unwrap();
    let whole = begin.elapsed();
    // In the middle of it, whichever rule that is.
    for part in 1..10 {
        let cancel = Cancel::new();
        let planner = world.planner.unless(&cancel).on_leaves(2);
        let logical = logical();
        let planning = std::thread::spawn(move || planner.prepare(logical).map(|_| ()));
        std::thread::sleep(whole * part / 10);
        let killed = Instant::now();
        cancel.cancel(SqlError::new(ErrorKind::QueryInterrupted, "killed"));
        // It may have been past its last look at the cancel, or through: what counts is that it ends soon.
        if let Err(error) = planning.join().unwrap() {
            assert_eq!(error.kind, ErrorKind::QueryInterrupted, "{error}");
        }
        let took = killed.elapsed();
        println!("part {part} of {whole:?}: given up after {took:?}");
        assert!(took < whole / 4 + Duration::from_millis(50), "{part}: {took:?} of {whole:?}");
    }
    cancel.cancel(SqlError::new(ErrorKind::QueryInterrupted, "killed"));
    assert_eq!(planner.prepare(logical()).unwrap_err().kind, ErrorKind::QueryInterrupted);
}
