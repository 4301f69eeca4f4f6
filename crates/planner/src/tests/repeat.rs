//! Plans that run many times.

use super::analyzed;
use super::tpch::{context, query};
use crate::{Planner, Prepared, Settings};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use exec::{DistributedPlan, explain};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Queries with a scalar subquery that stays one.
const NOT_REPEATED: [usize; 3] = [11, 15, 22];

fn prepared(sql: &str) -> Prepared {
    let planner = Planner::new(Settings { leaves: 2, ..Settings::default() });
    planner.prepare(analyzed(&context(4), sql)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// The filters that operators change while they run.
fn filters(plan: &DistributedPlan) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    for stage in plan.stages() {
        stage
            .plan
            .apply(|node| {
                found.extend(
                    node.dynamic_expressions_produced().iter().filter_map(|filter| filter.expression_id()),
                );
                Ok(TreeNodeRecursion::Continue)
            })
            .unwrap();
    }
    found
}

#[test]
fn runs_have_the_same_plan_and_share_no_filter() {
    let mut filtered = 0;
    for number in (1..=22).filter(|number| !NOT_REPEATED.contains(number)) {
        let prepared = prepared(&query(number));
        assert!(prepared.can_repeat(), "query {number}");
        let (first, second) = (prepared.instantiate().unwrap(), prepared.instantiate().unwrap());
        assert!(filters(&first).is_disjoint(&filters(&second)), "query {number}");
        filtered += filters(&first).len();
        assert_eq!(explain(&first), explain(&second));
        assert_eq!(explain(&first), explain(&prepared.into_plan().unwrap()));
    }
    assert!(filtered > 20, "{filtered}");
}

#[test]
fn the_bounds_of_min_and_max_are_of_one_run() {
    for sql in ["SELECT min(l_shipdate), max(l_shipdate) FROM lineitem", "SELECT max(o_orderkey) FROM orders"]
    {
        let prepared = prepared(sql);
        assert!(prepared.can_repeat());
        let (first, second) = (prepared.instantiate().unwrap(), prepared.instantiate().unwrap());
        assert!(!filters(&first).is_empty(), "{}", explain(&first));
        assert!(filters(&first).is_disjoint(&filters(&second)));
        assert_eq!(explain(&first), explain(&second));
    }
}

#[test]
fn what_runs_share_beside_the_plan_is_not_repeated() {
    for number in NOT_REPEATED {
        assert!(!prepared(&query(number)).can_repeat(), "query {number}");
    }
    let rounds =
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r";
    assert!(!prepared(rounds).can_repeat());
}

#[test]
fn a_plan_that_is_kept_counts_by_its_size() {
    let (small, large) =
        (prepared("SELECT r_name FROM region").kept_bytes(), prepared(&query(8)).kept_bytes());
    assert!(small > 1 << 10 && large > 8 * small, "{small} {large}");
}

/// Prints what a plan costs the second time, for a person.
#[test]
#[ignore = "for looking at times"]
fn print() {
    for number in 1..=22 {
        let prepared = prepared(&query(number));
        let mut least = Duration::MAX;
        for _ in 0..50 {
            let began = Instant::now();
            prepared.instantiate().unwrap();
            least = least.min(began.elapsed());
        }
        println!("query {number}: {least:?}, {} KiB", prepared.kept_bytes() >> 10);
    }
}

/// Prints the memory of plans that are kept beside what they are counted as, for a person.
#[test]
#[ignore = "for looking at sizes"]
fn print_sizes() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/statm").unwrap();
        status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    for number in [1, 3, 6, 8] {
        let before = resident();
        let plans: Vec<_> = (0..200).map(|_| prepared(&query(number))).collect();
        let each = (resident() - before) / plans.len();
        println!("query {number}: {} KiB, counted {} KiB", each >> 10, plans[0].kept_bytes() >> 10);
        std::mem::forget(plans);
    }
}
