//! Plans over rows at hand as steps, each of which takes all rows at once.
//!
//! The operators of a plan make streams, metrics and reservations of memory anew for each run, which takes
//! longer than what is done to a hundred rows. A plan of nothing but the nodes that are known here runs as
//! steps over one batch instead, with the expressions and accumulators of those nodes, so the answers are
//! the plan's. Any other plan runs by its operators.

use super::AtHandExec;
use arrow::array::ArrayRef;
use arrow::compute::{
    SortColumn, concat_batches, lexsort_to_indices, partition, take_arrays, take_record_batch,
};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::Result;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use std::sync::Arc;

#[derive(Debug)]
enum Step {
    /// These columns of the rows.
    Project(Vec<Arc<dyn PhysicalExpr>>, SchemaRef),
    Sort(Vec<PhysicalSortExpr>, Option<usize>),
    /// The groups of these columns.
    Groups(Vec<Arc<dyn PhysicalExpr>>, SchemaRef),
    /// One row for all.
    Aggregate(Vec<Arc<AggregateFunctionExpr>>, SchemaRef),
}

/// A plan in the order in which its steps are taken.
#[derive(Debug)]
pub(super) struct Steps {
    input: SchemaRef,
    steps: Vec<Step>,
}

impl Steps {
    /// None: the plan has other nodes too.
    pub(super) fn of(plan: &Arc<dyn ExecutionPlan>) -> Option<Steps> {
        if plan.downcast_ref::<AtHandExec>().is_some() {
            return Some(Steps { input: plan.schema(), steps: Vec::new() });
        }
        if let Some(same) = plan.downcast_ref::<CoalescePartitionsExec>() {
            return if same.fetch().is_none() { Steps::of(same.input()) } else { None };
        }
        let (input, step) = if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            let exprs = projection.expr().iter().map(|column| column.expr.clone()).collect();
            (projection.input(), Step::Project(exprs, plan.schema()))
        } else if let Some(sort) = plan.downcast_ref::<SortExec>() {
            (sort.input(), Step::Sort(sort.expr().iter().cloned().collect(), sort.fetch()))
        } else {
            aggregation(plan)?
        };
        let mut steps = Steps::of(input)?;
        steps.steps.push(step);
        Some(steps)
    }

    pub(super) fn run(&self, rows: &[RecordBatch]) -> Result<RecordBatch> {
        let mut batch = match rows {
            [] => RecordBatch::new_empty(self.input.clone()),
            [one] => one.clone(),
            several => concat_batches(several[0].schema_ref(), several)?,
        };
        for step in &self.steps {
            batch = step.take(&batch)?;
        }
        Ok(batch)
    }
}

/// An aggregation, in one node or in two, and its input.
fn aggregation(plan: &Arc<dyn ExecutionPlan>) -> Option<(&Arc<dyn ExecutionPlan>, Step)> {
    let last = plan.downcast_ref::<AggregateExec>()?;
    let first = match last.mode() {
        AggregateMode::Single | AggregateMode::SinglePartitioned => last,
        AggregateMode::Final | AggregateMode::FinalPartitioned => {
            let mut input = last.input();
            while let Some(same) = input.downcast_ref::<CoalescePartitionsExec>() {
                input = same.input();
            }
            let first = input.downcast_ref::<AggregateExec>()?;
            if *first.mode() != AggregateMode::Partial {
                return None;
            }
            first
        }
        _ => return None,
    };
    let is_plain = first.group_expr().is_single()
        && first.group_expr().null_expr().is_empty()
        && first.filter_expr().iter().all(Option::is_none)
        && first.aggr_expr().iter().all(|aggregate| aggregate.order_bys().is_empty())
        && last.limit_options().is_none()
        && first.limit_options().is_none();
    if !is_plain {
        return None;
    }
    let schema = last.schema();
    let step = match (first.group_expr().expr(), first.aggr_expr()) {
        ([], aggregates) => Step::Aggregate(aggregates.to_vec(), schema),
        (groups, []) => {
            let is_compared = |ty: &DataType| {
                ty.is_integer()
                    || matches!(ty, DataType::Utf8View | DataType::BinaryView | DataType::Decimal128(..))
            };
            if !schema.fields().iter().all(|field| is_compared(field.data_type())) {
                return None;
            }
            Step::Groups(groups.iter().map(|(expr, _)| expr.clone()).collect(), schema)
        }
        _ => return None,
    };
    Some((first.input(), step))
}

impl Step {
    fn take(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let count = rows.num_rows();
        let of = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(rows)?.into_array(count);
        let batch = |schema: &SchemaRef, columns: Vec<ArrayRef>, rows| {
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
        };
        match self {
            Step::Project(exprs, schema) => {
                batch(schema, exprs.iter().map(of).collect::<Result<_>>()?, count)
            }
            Step::Sort(by, fetch) => {
                let columns = by.iter().map(|by| by.evaluate_to_sort_column(rows));
                let order = lexsort_to_indices(&columns.collect::<Result<Vec<_>>>()?, *fetch)?;
                Ok(take_record_batch(rows, &order)?)
            }
            Step::Groups(exprs, schema) => {
                let columns = exprs.iter().map(of).collect::<Result<Vec<_>>>()?;
                if count == 0 {
                    return Ok(RecordBatch::new_empty(schema.clone()));
                }
                let by = columns.iter().map(|values| SortColumn { values: values.clone(), options: None });
                let order = lexsort_to_indices(&by.collect::<Vec<_>>(), None)?;
                let sorted = take_arrays(&columns, &order, None)?;
                let firsts = partition(&sorted)?.ranges().into_iter().map(|same| same.start as u32);
                let firsts = arrow::array::UInt32Array::from_iter_values(firsts);
                batch(schema, take_arrays(&sorted, &firsts, None)?, firsts.len())
            }
            Step::Aggregate(aggregates, schema) => {
                let one = |aggregate: &Arc<AggregateFunctionExpr>| {
                    let mut accumulator = aggregate.create_accumulator()?;
                    if count > 0 {
                        let values = aggregate.expressions().iter().map(of).collect::<Result<Vec<_>>>()?;
                        accumulator.update_batch(&values)?;
                    }
                    accumulator.evaluate()?.to_array()
                };
                batch(schema, aggregates.iter().map(one).collect::<Result<_>>()?, 1)
            }
        }
    }
}
