//! Subqueries within subqueries. Were anything done twice for each level, no test here would end.

use super::tpch::context;
use crate::refused::reword;
use crate::subqueries::is_correlated;
use crate::{Planner, Settings};
use datafusion::common::Column;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, exists, lit, scalar_subquery};
use datafusion::prelude::{SessionContext, col};
use exec::explain;
use std::sync::Arc;
use types::SqlError;

const LEVELS: usize = 40;

/// A query of the level's own name for the table.
fn orders(context: &SessionContext, level: usize) -> LogicalPlanBuilder {
    let reading = tokio::task::unconstrained(context.table("orders"));
    let table = futures::executor::block_on(reading).unwrap().into_unoptimized_plan();
    LogicalPlanBuilder::from(table).alias(format!("o{level}")).unwrap()
}

fn key(level: usize) -> Column {
    Column::new(Some(format!("o{level}")), "o_orderkey")
}

/// `SELECT MAX(o_orderkey) FROM orders WHERE o_orderkey < (SELECT MAX(o_orderkey) ..)`
fn greatest(context: &SessionContext, level: usize) -> LogicalPlan {
    let mut rows = orders(context, level);
    if level > 0 {
        let below = scalar_subquery(Arc::new(greatest(context, level - 1)));
        rows = rows.filter(Expr::Column(key(level)).lt(below)).unwrap();
    }
    rows.aggregate(Vec::<Expr>::new(), [max(Expr::Column(key(level)))]).unwrap().build().unwrap()
}

/// `SELECT 1 FROM orders WHERE o_orderkey = <that of the query around> AND EXISTS (..)`
fn partners(context: &SessionContext, level: usize, around: Option<usize>) -> LogicalPlan {
    let mut rows = orders(context, level);
    if let Some(around) = around {
        let field = rows.schema().field(0).clone();
        let outer = Expr::OuterReferenceColumn(field, key(around));
        rows = rows.filter(Expr::Column(key(level)).eq(outer)).unwrap();
    }
    if level > 0 {
        let found = exists(Arc::new(partners(context, level - 1, Some(level))));
        rows = rows.filter(found).unwrap();
    }
    rows.project([lit(1i64).alias("one"), col(key(level))]).unwrap().build().unwrap()
}

fn planned(plan: LogicalPlan) -> String {
    let planner = Planner::new(Settings { leaves: 2, ..Settings::default() });
    explain(&planner.plan(plan).unwrap())
}

#[test]
fn scalar_subqueries_are_planned_once_for_each_level() {
    let context = context(2);
    let plan = planned(greatest(&context, LEVELS));
    assert_eq!(plan.matches("ScanExec: orders").count(), LEVELS + 1, "{plan}");
}

#[test]
fn correlated_subqueries_are_planned_once_for_each_level() {
    let context = context(2);
    let plan = planned(partners(&context, LEVELS, None));
    assert_eq!(plan.matches("ScanExec: orders").count(), LEVELS + 1, "{plan}");
}

#[test]
fn subqueries_that_look_past_the_query_around_them_are_known() {
    let context = context(2);
    let looks_past = |plan: &LogicalPlan| {
        reword(SqlError::internal("no such field"), Some(plan)).message.contains("refers past")
    };
    assert!(!is_correlated(&greatest(&context, LEVELS)));
    assert!(!looks_past(&partners(&context, LEVELS, None)));
    let field = orders(&context, 0).schema().field(0).clone();
    let far = Expr::OuterReferenceColumn(field, key(2));
    let inner = orders(&context, 0).filter(Expr::Column(key(0)).eq(far)).unwrap().build().unwrap();
    let middle = orders(&context, 1).filter(exists(Arc::new(inner))).unwrap().build().unwrap();
    let plan = orders(&context, 2).filter(exists(Arc::new(middle))).unwrap().build().unwrap();
    assert!(is_correlated(&plan) && looks_past(&plan));
}
