//! Plans that leave values of conditions open, for other values than those that they were made for.

use super::tpch::context;
use crate::{Planner, Settings};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::prelude::col;
use exec::scan::OpenValues;
use exec::{ShardedTable, explain};
use std::sync::Arc;

/// A join of TPC-H's tables, with these values of conditions.
fn joined(open: &OpenValues, [key, priority, partner]: [Expr; 3]) -> LogicalPlan {
    let context = context(4);
    let table = |name: &str| {
        let reading = tokio::task::unconstrained(context.table_provider(name));
        let provider = futures::executor::block_on(reading).unwrap();
        let known = provider.downcast_ref::<ShardedTable>().unwrap();
        let table =
            ShardedTable::new(known.def().clone(), known.partitions().clone(), known.estimate().clone());
        let source = provider_as_source(Arc::new(table.with_open_values(open.clone())));
        LogicalPlanBuilder::scan(name, source, None).unwrap()
    };
    let (orders, lines) = (table("orders"), table("lineitem").build().unwrap());
    let on = (vec!["orders.o_orderkey"], vec!["lineitem.l_orderkey"]);
    let conditions = col("o_orderkey").lt(key).and(col("o_orderpriority").eq(priority));
    let rows = orders.join(lines, JoinType::Inner, on, None).unwrap();
    let rows = rows.filter(conditions.and(col("l_orderkey").gt_eq(partner))).unwrap();
    rows.aggregate([col("o_custkey")], [count(lit(1i64))]).unwrap().build().unwrap()
}

fn values(key: i64, priority: &str, partner: i64) -> Vec<ScalarValue> {
    vec![
        ScalarValue::Int64(Some(key)),
        ScalarValue::Utf8View(Some(priority.into())),
        ScalarValue::Int64(Some(partner)),
    ]
}

fn planned(values: &[ScalarValue]) -> String {
    let [a, b, c] = [0, 1, 2].map(|at| Expr::Literal(values[at].clone(), None));
    let planner = Planner::new(Settings { leaves: 2, ..Settings::default() });
    explain(&planner.plan(joined(&OpenValues::default(), [a, b, c])).unwrap())
}

#[test]
fn a_plan_for_other_values_is_the_one_that_would_be_made_for_them() {
    let types = [DataType::Int64, DataType::Utf8View, DataType::Int64];
    let mut number = 0;
    let placeholders = types.map(|ty| {
        number += 1;
        let field = Arc::new(Field::new("", ty, false));
        Expr::Placeholder(Placeholder::new_with_field(format!("${number}"), Some(field)))
    });
    let open = OpenValues::default();
    let first = values(100_000, "1-URGENT", 7);
    open.set(first.clone());
    let planner = Planner::new(Settings { leaves: 2, ..Settings::default() });
    let prepared = planner.prepare(joined(&open, placeholders)).unwrap();
    assert!(prepared.can_repeat());
    assert_eq!(explain(&prepared.instantiate().unwrap()), planned(&first));
    for other in [first.clone(), values(90_000, "5-LOW", 1_000), values(123_456, "", -5)] {
        let plan = prepared.instantiate_for(&other).unwrap().expect("about as many rows");
        assert_eq!(explain(&plan), planned(&other));
    }
    let many = values(5_000_000, "1-URGENT", 7);
    assert!(prepared.instantiate_for(&many).unwrap().is_none(), "many more rows");
    assert_eq!(explain(&prepared.instantiate().unwrap()), planned(&first), "it is as it was");
    assert!(prepared.instantiate_for(&first[..1]).is_err(), "a value is missing");
}
