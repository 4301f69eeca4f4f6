//! The plans of the 22 TPC-H queries over 8 partitions on 4 leaves, with the statistics of scale factor 1,
//! as they stand in `golden/`. They change when the planner does: look at what changed, and if it is
//! meant, write them anew with
//!
//! ```text
//! PANDO_WRITE_GOLDEN_PLANS=1 cargo test -p pando-planner golden
//! ```

use super::analyzed;
use super::tpch::{context, query};
use crate::{Planner, Settings};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;
use exec::{DistributedPlan, Locations, ScanExec, explain};
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use types::{NodeId, PartitionId};

const PARTITIONS: u32 = 8;
const LEAVES: u32 = 4;
/// The aggregator is node 1.
const HERE: NodeId = NodeId(1);

/// Queries that join lineitem with orders on the key that both are sharded by.
const JOIN_ON_THE_SHARD_KEY: [usize; 10] = [3, 4, 5, 7, 8, 9, 10, 12, 18, 21];
const ORDERS_MEET_CUSTOMERS_FIRST: [usize; 2] = [10, 18];

fn plan(number: usize) -> DistributedPlan {
    let planner = Planner::new(Settings { leaves: LEAVES as usize, ..Settings::default() });
    let plan = planner.plan(analyzed(&context(PARTITIONS), &query(number)));
    let plan = plan.unwrap_or_else(|error| panic!("query {number}: {error}"));
    let leaf = |partition: u32| NodeId(2 + (partition - 1) % LEAVES);
    let partitions: HashMap<_, _> = (1..=PARTITIONS).map(|p| (PartitionId(p), leaf(p))).collect();
    plan.locate(&Locations { here: HERE, partitions: Arc::new(partitions) }).unwrap();
    plan
}

fn path(number: usize) -> PathBuf {
    PathBuf::from(format!(
        "{}/src/tests/golden/q{number:02}.txt",
        std::env::var("CARGO_MANIFEST_DIR").unwrap()
    ))
}

/// The lines of both texts; those of one alone have - or + before them. By the longest common subsequence.
fn difference(before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let mut common = vec![vec![0; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = match old[i] == new[j] {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let mut text = String::new();
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        let (mark, line) = if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
            (' ', old[i - 1])
        } else if j == new.len() || i < old.len() && common[i + 1][j] >= common[i][j + 1] {
            i += 1;
            ('-', old[i - 1])
        } else {
            j += 1;
            ('+', new[j - 1])
        };
        text.push_str(&format!("{mark} {line}\n"));
    }
    text
}

#[test]
fn plans_are_the_golden_ones() {
    let write = std::env::var_os("PANDO_WRITE_GOLDEN_PLANS").is_some();
    let mut changed = String::new();
    for number in 1..=22 {
        let found = explain(&plan(number));
        if write {
            std::fs::write(path(number), found).unwrap();
            continue;
        }
        let golden = std::fs::read_to_string(path(number));
        let golden = golden.unwrap_or_else(|error| panic!("{}: {error}", path(number).display()));
        if golden != found {
            changed += &format!("query {number}:\n{}\n", difference(&golden, &found));
        }
    }
    assert!(changed.is_empty(), "plans have changed:\n{changed}");
}

/// The tables that a stage scans, and whether it joins lineitem with orders on their key.
fn tables(plan: &Arc<dyn ExecutionPlan>) -> (BTreeSet<String>, bool) {
    let (mut scanned, mut joins) = (BTreeSet::new(), false);
    plan.apply(|node| {
        if let Some(scan) = node.downcast_ref::<ScanExec>() {
            scanned.insert(scan.def().name.clone());
        }
        if let Some(join) = node.downcast_ref::<HashJoinExec>() {
            joins |= join.on().iter().any(|(left, right)| {
                let keys = [left.to_string(), right.to_string()];
                let is = |name: &str| keys.iter().any(|key| key.split('@').next() == Some(name));
                is("l_orderkey") && is("o_orderkey")
            });
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    (scanned, joins)
}

/// Neither table is sent anywhere before they have met: no stage has one of them without the other. Where
/// orders meet customers first, on another key, the result comes to where lineitem lies.
#[test]
fn lineitem_meets_orders_where_they_lie() {
    for number in JOIN_ON_THE_SHARD_KEY {
        let plan = plan(number);
        let mut met = 0;
        for stage in plan.stages() {
            let (scanned, joins) = tables(&stage.plan);
            let has = |name: &str| scanned.contains(name);
            if has("lineitem") {
                assert!(joins, "query {number} moves lineitem:\n{}", explain(&plan));
                met += 1;
            }
            if !ORDERS_MEET_CUSTOMERS_FIRST.contains(&number) {
                assert_eq!(has("lineitem"), has("orders"), "query {number} moves one:\n{}", explain(&plan));
            }
        }
        assert!(met > 0, "query {number} does not scan lineitem:\n{}", explain(&plan));
    }
}

#[test]
fn differences_are_shown_by_line() {
    assert_eq!(difference("a\nb\nc\n", "a\nx\nc\nd\n"), "  a\n- b\n+ x\n  c\n+ d\n");
    assert_eq!(difference("", "a\n"), "+ a\n");
}
