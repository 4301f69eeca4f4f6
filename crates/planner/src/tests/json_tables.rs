//! JSON_TABLE in plans.

use super::tpch::context;
use crate::{Planner, Settings};
use datafusion::common::Column;
use datafusion::functions::expr_fn::random;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, lit};
use datafusion::prelude::col;
use exec::{JsonTableNode, explain};
use sql::json_table::{JsonColumn, JsonTable, Otherwise, RowsAt};
use std::sync::Arc;
use types::SqlType;

/// `FROM orders, JSON_TABLE(o_comment, '$[*]' COLUMNS (o_custkey BIGINT PATH '$')) j`
fn lateral() -> LogicalPlanBuilder {
    // Named as one of the table's.
    let value = JsonColumn::Value {
        name: "o_custkey".into(),
        ty: SqlType::BigInt { unsigned: false },
        path: "$".into(),
        on_empty: Otherwise::Null,
        on_error: Otherwise::Null,
    };
    let rows = RowsAt { path: "$[*]".into(), columns: vec![value] };
    let table = Arc::new(JsonTable { zone: "+00:00".into(), rows });
    let context = context(8);
    let reading = tokio::task::unconstrained(context.table("orders"));
    let orders = futures::executor::block_on(reading).unwrap().into_unoptimized_plan();
    let mut exprs: Vec<Expr> = orders.schema().columns().into_iter().map(Expr::Column).collect();
    exprs.push(col("orders.o_comment").alias_qualified(Some("j"), "document"));
    let input = LogicalPlanBuilder::from(orders).project(exprs).unwrap().build().unwrap();
    let document = Column::new(Some("j"), "document");
    let node = JsonTableNode::try_new(input, document, table, "j".into(), false).unwrap();
    LogicalPlanBuilder::from(node.into_plan())
}

fn planned(plan: LogicalPlanBuilder) -> String {
    let planner = Planner::new(Settings { leaves: 4, ..Settings::default() });
    explain(&planner.plan(plan.build().unwrap()).unwrap())
}

#[test]
fn rows_are_made_and_grouped_where_the_documents_lie() {
    let condition = col("orders.o_custkey").gt(col("orders.o_shippriority"));
    let plan = lateral()
        .filter(condition.and(col("j.o_custkey").gt(lit(2i64))))
        .unwrap()
        .aggregate([col("orders.o_orderkey")], [count(col("j.o_custkey"))])
        .unwrap();
    let text = planned(plan);
    assert!(text.contains("JsonTableExec: path=$[*], columns=[o_custkey]"), "{text}");
    // No shuffle comes between, and the scan reads no other columns than these, of the rows that count.
    assert!(!text.contains("Shuffle"), "{text}");
    let scan = text.lines().find(|line| line.contains("ScanExec: orders")).unwrap();
    assert!(scan.contains("where o_shippriority < o_custkey"), "{text}");
    assert!(scan.contains("o_comment") && !scan.contains("o_clerk"), "{text}");
    let above = text.split("JsonTableExec").next().unwrap();
    assert!(above.contains("o_custkey@1 > 2"), "{text}");
}

#[test]
fn random_numbers_are_of_each_row_that_is_made() {
    let text = planned(lateral().filter(random().lt(lit(0.5))).unwrap());
    let below = text.split("JsonTableExec").nth(1).unwrap();
    assert!(text.contains("random()") && !below.contains("random()"), "{text}");
}

#[test]
fn random_numbers_of_several_filters_are_of_each_row_too() {
    let key = col("orders.o_orderkey").gt(lit(7i64));
    for conditions in [[random().lt(lit(0.5)), key.clone()], [key, random().lt(lit(0.5))]] {
        let [first, second] = conditions;
        let text = planned(lateral().filter(first).unwrap().filter(second).unwrap());
        let (above, below) = text.split_once("JsonTableExec").unwrap();
        assert!(above.contains("random()") && !below.contains("random()"), "{text}");
        assert!(below.contains("o_orderkey > 7") && !above.contains("> 7"), "{text}");
    }
}
