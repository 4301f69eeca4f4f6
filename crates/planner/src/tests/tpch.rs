//! The 22 queries of TPC-H, with the statistics of scale factor 1: their stages as text, for some.

use super::analyzed;
use crate::Planner;
use datafusion::prelude::SessionContext;
use exec::testing::table_def;
use exec::{ColumnEstimate, ShardedTable, TableEstimate};
use std::sync::Arc;
use types::{PartitionId, SqlType, Value};

const KEY: SqlType = SqlType::Int { unsigned: false };
const BIG: SqlType = SqlType::BigInt { unsigned: false };
const MONEY: SqlType = SqlType::Decimal { precision: 15, scale: 2 };
const TEXT: SqlType = SqlType::VarChar(64);
const DATE: SqlType = SqlType::Date;

/// Name, type, distinct values, least and greatest.
type Column = (&'static str, SqlType, u64, Option<(i64, i64)>);

const FIRST_DATE: i64 = 8035;
const LAST_DATE: i64 = 10561;

fn tables() -> Vec<(&'static str, u64, &'static str, Vec<Column>)> {
    let date = Some((FIRST_DATE, LAST_DATE));
    vec![
        (
            "region",
            5,
            "r_regionkey",
            vec![
                ("r_regionkey", KEY, 5, Some((0, 4))),
                ("r_name", TEXT, 5, None),
                ("r_comment", TEXT, 5, None),
            ],
        ),
        (
            "nation",
            25,
            "n_nationkey",
            vec![
                ("n_nationkey", KEY, 25, Some((0, 24))),
                ("n_name", TEXT, 25, None),
                ("n_regionkey", KEY, 5, Some((0, 4))),
                ("n_comment", TEXT, 25, None),
            ],
        ),
        (
            "supplier",
            10_000,
            "s_suppkey",
            vec![
                ("s_suppkey", KEY, 10_000, Some((1, 10_000))),
                ("s_name", TEXT, 10_000, None),
                ("s_address", TEXT, 10_000, None),
                ("s_nationkey", KEY, 25, Some((0, 24))),
                ("s_phone", TEXT, 10_000, None),
                ("s_acctbal", MONEY, 9_955, Some((-99_892, 999_972))),
                ("s_comment", TEXT, 10_000, None),
            ],
        ),
        (
            "customer",
            150_000,
            "c_custkey",
            vec![
                ("c_custkey", KEY, 150_000, Some((1, 150_000))),
                ("c_name", TEXT, 150_000, None),
                ("c_address", TEXT, 150_000, None),
                ("c_nationkey", KEY, 25, Some((0, 24))),
                ("c_phone", TEXT, 150_000, None),
                ("c_acctbal", MONEY, 140_187, Some((-99_999, 999_999))),
                ("c_mktsegment", TEXT, 5, None),
                ("c_comment", TEXT, 150_000, None),
            ],
        ),
        (
            "part",
            200_000,
            "p_partkey",
            vec![
                ("p_partkey", KEY, 200_000, Some((1, 200_000))),
                ("p_name", TEXT, 200_000, None),
                ("p_mfgr", TEXT, 5, None),
                ("p_brand", TEXT, 25, None),
                ("p_type", TEXT, 150, None),
                ("p_size", KEY, 50, Some((1, 50))),
                ("p_container", TEXT, 40, None),
                ("p_retailprice", MONEY, 20_899, Some((90_100, 209_899))),
                ("p_comment", TEXT, 131_753, None),
            ],
        ),
        (
            "partsupp",
            800_000,
            "ps_partkey",
            vec![
                ("ps_partkey", KEY, 200_000, Some((1, 200_000))),
                ("ps_suppkey", KEY, 10_000, Some((1, 10_000))),
                ("ps_availqty", KEY, 9_999, Some((1, 9_999))),
                ("ps_supplycost", MONEY, 99_901, Some((100, 100_000))),
                ("ps_comment", TEXT, 800_000, None),
            ],
        ),
        (
            "orders",
            1_500_000,
            "o_orderkey",
            vec![
                ("o_orderkey", BIG, 1_500_000, Some((1, 6_000_000))),
                ("o_custkey", KEY, 99_996, Some((1, 149_999))),
                ("o_orderstatus", TEXT, 3, None),
                ("o_totalprice", MONEY, 1_464_556, Some((85_771, 55_528_526))),
                ("o_orderdate", DATE, 2_406, date),
                ("o_orderpriority", TEXT, 5, None),
                ("o_clerk", TEXT, 1_000, None),
                ("o_shippriority", KEY, 1, Some((0, 0))),
                ("o_comment", TEXT, 1_482_071, None),
            ],
        ),
        (
            "lineitem",
            6_001_215,
            "l_orderkey",
            vec![
                ("l_orderkey", BIG, 1_500_000, Some((1, 6_000_000))),
                ("l_partkey", KEY, 200_000, Some((1, 200_000))),
                ("l_suppkey", KEY, 10_000, Some((1, 10_000))),
                ("l_linenumber", KEY, 7, Some((1, 7))),
                ("l_quantity", MONEY, 50, Some((100, 5_000))),
                ("l_extendedprice", MONEY, 933_900, Some((90_100, 10_494_950))),
                ("l_discount", MONEY, 11, Some((0, 10))),
                ("l_tax", MONEY, 9, Some((0, 8))),
                ("l_returnflag", TEXT, 3, None),
                ("l_linestatus", TEXT, 2, None),
                ("l_shipdate", DATE, 2_526, date),
                ("l_commitdate", DATE, 2_466, date),
                ("l_receiptdate", DATE, 2_554, date),
                ("l_shipinstruct", TEXT, 4, None),
                ("l_shipmode", TEXT, 7, None),
                ("l_comment", TEXT, 4_580_667, None),
            ],
        ),
    ]
}

/// TPC-H over a number of partitions, with the statistics of scale factor 1.
pub(crate) fn context(partitions: u32) -> SessionContext {
    let context = SessionContext::new();
    let ids: Vec<PartitionId> = (1..=partitions).map(PartitionId).collect();
    for (id, (name, rows, shard_key, columns)) in tables().into_iter().enumerate() {
        let declared: Vec<(&str, SqlType, bool)> =
            columns.iter().map(|(name, ty, ..)| (*name, *ty, false)).collect();
        let def = table_def(id as u32 + 1, name, &declared, &[shard_key]);
        let value = |ty: SqlType, v: i64| match ty {
            SqlType::Decimal { scale, .. } => Value::Decimal { unscaled: i128::from(v), scale },
            SqlType::Date => Value::Date(v as i32),
            _ => Value::Int(v),
        };
        let estimates = def.columns.iter().zip(&columns).map(|(column, (_, ty, distinct, range))| {
            let estimate = ColumnEstimate {
                min: range.map(|(min, _)| value(*ty, min)),
                max: range.map(|(_, max)| value(*ty, max)),
                nulls: 0,
                distinct: *distinct,
                bytes: 0,
            };
            (column.id, estimate)
        });
        let estimate = TableEstimate { rows, columns: estimates.collect() };
        let table = ShardedTable::new(Arc::new(def), ids.clone(), estimate);
        context.register_table(name, Arc::new(table)).expect("a new table");
    }
    context
}

pub(crate) fn query(number: usize) -> String {
    let path = format!(
        "{}/../../benches/tpch/queries/q{number:02}.sql",
        std::env::var("CARGO_MANIFEST_DIR").unwrap()
    );
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.trim().trim_end_matches(';').to_string()
}

fn explained(number: usize, partitions: u32) -> String {
    let context = context(partitions);
    let plan = Planner::default().plan(analyzed(&context, &query(number)));
    exec::explain(&plan.unwrap_or_else(|error| panic!("query {number}: {error}")))
}

#[test]
fn all_queries_have_plans() {
    for number in 1..=22 {
        for partitions in [1, 2, 8] {
            explained(number, partitions);
        }
    }
}

#[test]
fn all_queries_travel() {
    for number in 1..=22 {
        for (partitions, leaves) in [(1, 1), (2, 2), (8, 3)] {
            let context = context(partitions);
            let planner = Planner::new(crate::Settings { leaves, ..crate::Settings::default() });
            let plan = planner.plan(analyzed(&context, &query(number))).unwrap();
            let stages = exec::testing::round_trip(&plan);
            for (before, after) in stages.unwrap_or_else(|error| panic!("query {number}: {error}")) {
                assert_eq!(before, after, "query {number}");
            }
        }
    }
}

/// Prints the plans, and the time that each took, for a person.
#[test]
#[ignore = "for looking at plans"]
fn print() {
    let context = context(2);
    for number in 1..=22 {
        let logical = analyzed(&context, &query(number));
        let mut least = std::time::Duration::MAX;
        for _ in 0..10 {
            let logical = logical.clone();
            let started = std::time::Instant::now();
            Planner::default().plan(logical).unwrap();
            least = least.min(started.elapsed());
        }
        println!("\nQuery {number}, planned in {least:?}\n{}", explained(number, 2));
    }
}
