//! Steps give what the operators of their plans give.

use super::*;
use arrow::array::{ArrayRef, Int32Array, StringViewArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::{BinaryExpr, col};
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::sorts::sort::SortExec;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

type Plan = Arc<dyn ExecutionPlan>;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int32, true),
        Field::new("c", DataType::Utf8View, true),
    ]))
}

fn rows(rng: &mut StdRng) -> Vec<RecordBatch> {
    let batch = |rng: &mut StdRng| {
        let count = rng.random_range(0..40);
        let some =
            |rng: &mut StdRng, of: i32| (rng.random_range(0..5) > 0).then(|| rng.random_range(-of..of));
        let k: Vec<Option<i32>> = (0..count).map(|_| some(rng, 9)).collect();
        let c: Vec<Option<String>> =
            (0..count).map(|_| some(rng, 5).map(|c| format!("a string of some length {c}"))).collect();
        let arrays: Vec<ArrayRef> =
            vec![Arc::new(Int32Array::from(k)), Arc::new(StringViewArray::from_iter(c))];
        RecordBatch::try_new(schema(), arrays).unwrap()
    };
    (0..rng.random_range(0..4)).map(|_| batch(rng)).collect()
}

fn sorted(input: Plan, by: &str, descending: bool) -> Plan {
    let options = SortOptions { descending, nulls_first: !descending };
    let by = PhysicalSortExpr { expr: col(by, &input.schema()).unwrap(), options };
    Arc::new(SortExec::new(LexOrdering::new([by]).unwrap(), input))
}

fn grouped(input: Plan, groups: &[&str], functions: &[&str]) -> Plan {
    let schema = input.schema();
    let keys = groups.iter().map(|name| (col(name, &schema).unwrap(), name.to_string())).collect();
    let by = PhysicalGroupBy::new_single(keys);
    let functions: Vec<_> = functions
        .iter()
        .map(|name| {
            let function = match *name {
                "sum" => {
                    sql::functions::aggregate_functions().into_iter().find(|f| f.name() == "sum").unwrap()
                }
                "min" => datafusion::functions_aggregate::min_max::min_udaf(),
                _ => datafusion::functions_aggregate::count::count_udaf(),
            };
            let argument = col(if *name == "min" { "c" } else { "k" }, &schema).unwrap();
            let built = AggregateExprBuilder::new(function, vec![argument]).schema(schema.clone());
            Arc::new(built.alias(*name).build().unwrap())
        })
        .collect();
    let none = vec![None; functions.len()];
    let first = AggregateExec::try_new(
        AggregateMode::Partial,
        by.clone(),
        functions.clone(),
        none.clone(),
        input,
        schema.clone(),
    );
    let (first, by) = (Arc::new(first.unwrap()), by.as_final());
    Arc::new(AggregateExec::try_new(AggregateMode::Final, by, functions, none, first, schema).unwrap())
}

fn plus_one(input: Plan, of: &str) -> Plan {
    let schema = input.schema();
    let value = col(of, &schema).unwrap();
    let one = datafusion::physical_expr::expressions::lit(1i32);
    let expr = Arc::new(BinaryExpr::new(value, Operator::Plus, one));
    let columns = vec![
        ProjectionExpr { expr, alias: "more".into() },
        ProjectionExpr { expr: col(of, &schema).unwrap(), alias: "same".into() },
    ];
    Arc::new(ProjectionExec::try_new(columns, input).unwrap())
}

fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let row = |batch: &RecordBatch, row: usize| {
        let values = batch.columns().iter().map(|column| {
            let value = ScalarValue::try_from_array(column, row).unwrap();
            format!("{} {value}", value.data_type())
        });
        values.collect::<Vec<_>>().join(", ")
    };
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|at| row(batch, at))).collect()
}

#[tokio::test]
async fn steps_give_what_operators_give() {
    let input = || -> Plan { Arc::new(AtHandExec::new(schema())) };
    // With whether the rows come in one order only.
    let plans = [
        (input(), true),
        (sorted(plus_one(input(), "k"), "more", true), true),
        (sorted(grouped(input(), &["c"], &[]), "c", false), true),
        (grouped(input(), &["c", "k"], &[]), false),
        (grouped(input(), &[], &["sum", "min", "count"]), true),
        (plus_one(sorted(grouped(input(), &["k"], &[]), "k", true), "k"), true),
    ];
    let mut rng = StdRng::seed_from_u64(7);
    for (plan, is_ordered) in plans {
        let plan = PlanAtHand::new(plan, vec![0, 1], ConfigOptions::default());
        assert!(plan.is_simple());
        for _ in 0..50 {
            let rows = rows(&mut rng);
            let mut expected = texts(&plan.start(rows.clone()).await.unwrap());
            let mut found = texts(&plan.run(rows).await.unwrap());
            if !is_ordered {
                expected.sort();
                found.sort();
            }
            assert_eq!(found, expected, "{plan:?}");
        }
    }
}

#[tokio::test]
async fn a_plan_of_other_nodes_runs_by_its_operators() {
    let schema = schema();
    let input: Plan = Arc::new(AtHandExec::new(schema.clone()));
    let condition = datafusion::physical_expr::expressions::is_null(col("k", &schema).unwrap()).unwrap();
    let filter: Plan = Arc::new(FilterExec::try_new(condition, input.clone()).unwrap());
    for plan in [filter, grouped(input, &["c"], &["count"])] {
        let plan = PlanAtHand::new(plan, vec![0, 1], ConfigOptions::default());
        assert!(!plan.is_simple());
        let rows = rows(&mut StdRng::seed_from_u64(1));
        assert!(!plan.run(rows).await.unwrap().is_empty());
    }
}
