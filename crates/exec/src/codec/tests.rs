use super::*;
use crate::json_table::JsonTableExec;
use arrow::datatypes::{DataType, Field};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, col, lit};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::LocalLimitExec;

fn empty() -> Arc<dyn ExecutionPlan> {
    let schema = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
    Arc::new(EmptyExec::new(Arc::new(schema)))
}

fn back(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let decoded = decode(&encode(plan, &ExchangeKind::Gather, false)?, &TaskContext::default())?;
    Ok(decoded.into_ready(&ConfigOptions::default())?.0)
}

#[test]
fn all_functions_of_ours_are_found_again() {
    for function in sql::functions::scalar_functions() {
        let origin = functions::origin_of_scalar(function).unwrap();
        assert_eq!(functions::scalar(function.name(), &[origin]).unwrap(), *function);
    }
    for function in sql::functions::aggregate_functions() {
        let origin = functions::origin_of_aggregate(&function).unwrap();
        assert_eq!(functions::aggregate(function.name(), &[origin]).unwrap(), function);
    }
    // SUM is a name of two.
    let theirs = datafusion::functions_aggregate::sum::sum_udaf();
    let origin = functions::origin_of_aggregate(&theirs).unwrap();
    assert_eq!(functions::aggregate("sum", &[origin]).unwrap(), theirs);
}

#[test]
fn plans_and_expressions_nest_as_deep_as_they_like() {
    let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new("a", 0));
    let mut condition: Arc<dyn PhysicalExpr> = lit(true);
    for i in 0..300i64 {
        let equal: Arc<dyn PhysicalExpr> = Arc::new(BinaryExpr::new(column.clone(), Operator::Eq, lit(i)));
        // Left-deep and right-deep in turn.
        let op = if i % 3 == 0 { Operator::And } else { Operator::Or };
        condition = match i % 2 {
            0 => Arc::new(BinaryExpr::new(condition, op, equal)),
            _ => Arc::new(BinaryExpr::new(equal, op, condition)),
        };
    }
    let mut plan: Arc<dyn ExecutionPlan> = Arc::new(FilterExec::try_new(condition, empty()).unwrap());
    for _ in 0..150 {
        plan = Arc::new(CoalescePartitionsExec::new(plan));
    }
    let found = back(&plan).unwrap();
    assert_eq!(format!("{found:?}"), format!("{plan:?}"));
}

#[test]
fn json_tables_arrive_as_they_went() {
    use sql::json_table::{JsonColumn, JsonTable, RowsAt};
    let columns = vec![JsonColumn::Ordinality { name: "n".into() }];
    let inner = JsonColumn::Nested(RowsAt { path: "$.b[*]".into(), columns: columns.clone() });
    let rows = RowsAt { path: "$[*]".into(), columns: vec![inner] };
    let table = Arc::new(JsonTable { zone: "Europe/Berlin".into(), rows });
    let plan: Arc<dyn ExecutionPlan> =
        Arc::new(JsonTableExec::try_new(empty(), table.clone(), 0, true).unwrap());
    let found = back(&plan).unwrap();
    let json_table = found.downcast_ref::<JsonTableExec>().unwrap();
    assert_eq!((json_table.table(), json_table.document(), json_table.is_outer()), (&table, 0, true));
    assert_eq!(found.schema(), plan.schema());
}

#[test]
fn a_limit_beyond_32_bits_is_none_below_an_exchange() {
    let huge: Arc<dyn ExecutionPlan> = Arc::new(LocalLimitExec::new(empty(), (1 << 32) + 5));
    assert!(back(&huge).unwrap().is::<EmptyExec>());
    let small: Arc<dyn ExecutionPlan> = Arc::new(LocalLimitExec::new(empty(), 5));
    assert_eq!(back(&small).unwrap().fetch(), Some(5));
    let skips: Arc<dyn ExecutionPlan> = Arc::new(GlobalLimitExec::new(empty(), 1 << 32, None));
    assert!(back(&skips).is_err());
}

#[test]
fn damaged_bytes_are_errors() {
    let filter = FilterExec::try_new(lit(true), empty()).unwrap();
    let keys = vec![col("a", &filter.schema()).unwrap()];
    let shuffle = ExchangeKind::Shuffle { keys, partitions: 3 };
    let plan: Arc<dyn ExecutionPlan> = Arc::new(filter);
    let bytes = encode(&plan, &shuffle, false).unwrap();
    decode(&bytes, &TaskContext::default()).unwrap();
    for at in 0..bytes.len() {
        let _ = decode(&bytes[..at], &TaskContext::default());
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        let _ = decode(&damaged, &TaskContext::default());
    }
}
