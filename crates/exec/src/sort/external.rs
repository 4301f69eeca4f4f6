//! Sorts any number of rows with little memory.
//!
//! Rows are gathered while the query's memory lasts. If all of them fit, DataFusion sorts them, with what was
//! reserved for them. Otherwise each gathering is sorted and written to a file, a *run*, and the runs are merged:
//! as many at a time as there is memory for a batch of each ([`FAN_IN`] at most), into runs again until one merge
//! yields the rows. A run is written in batches that are small beside what was gathered, so that many can be
//! merged with the memory that one of them took.
//!
//! A sorted batch holds its own rows and not those of the batches that they came from, which who takes it would
//! count with each.
//!
//! A sort has one account for all that it holds. It never fails for want of memory: [`LEAST`] is gathered and
//! two runs are merged in any case, and counted. What it holds beyond is bounded by what the pool gives.

use super::pieces;
use crate::compact::compacted;
use crate::grace::{GivenExec, Prepaid};
use crate::memory::LEAST;
use crate::query::{QueryState, Stop};
use crate::spill_file::{self, SpillWriter};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryPool, MemoryReservation, UnboundedMemoryPool,
};
use datafusion::execution::{SendableRecordBatchStream, SpillFile, TaskContext};
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::limit::LimitStream;
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, Gauge, MetricBuilder, RecordOutput, SpillMetrics, Time,
};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::streaming_merge::StreamingMergeBuilder;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, SpillManager};
use futures::{StreamExt, TryStreamExt, stream};
use std::sync::Arc;
use std::time::Duration;

/// The part of what was gathered that a batch of a run may take, and the bounds of that, in bytes.
const RUN_BATCH_PART: usize = 64;
const RUN_BATCH: std::ops::RangeInclusive<usize> = (16 << 10)..=(1 << 20);
/// The most runs that are merged at a time.
const FAN_IN: usize = 32;
/// What the merge holds for a batch of a run: two of its batches and the keys of one.
const HELD_FOR_A_RUN: usize = 3;

/// The rows of `input` in order, or the first `wanted` of them.
pub(crate) fn sorted(
    input: SendableRecordBatchStream,
    ordering: LexOrdering,
    wanted: Option<usize>,
    context: &Arc<TaskContext>,
    metrics: &ExecutionPlanMetricsSet,
    partition: usize,
) -> SendableRecordBatchStream {
    let schema = input.schema();
    let spills = SpillMetrics::new(metrics, partition);
    let sort = ExternalSort {
        schema: schema.clone(),
        ordering,
        wanted,
        stop: QueryState::of(context).ok().map(|query| query.stop().clone()),
        spill: SpillManager::new(context.runtime_env(), spills, schema.clone()),
        context: context.clone(),
        memory: MemoryConsumer::new(format!("Sort[{partition}]"))
            .with_can_spill(true)
            .register(context.memory_pool()),
        rows: BaselineMetrics::new(metrics, partition),
        peak: MetricBuilder::new(metrics).gauge("peak_mem_used", partition),
    };
    let rows = stream::once(sort.run(input)).try_flatten();
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

struct ExternalSort {
    schema: SchemaRef,
    ordering: LexOrdering,
    wanted: Option<usize>,
    stop: Option<Stop>,
    spill: SpillManager,
    context: Arc<TaskContext>,
    memory: MemoryReservation,
    rows: BaselineMetrics,
    peak: Gauge,
}

/// Rows that were gathered.
#[derive(Default)]
struct Gathered {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

/// Sorted rows in a file.
struct Run {
    file: Arc<dyn SpillFile>,
    rows: usize,
    /// The bytes of its largest batch, and the rows that each but the last has.
    largest: usize,
    batch_rows: usize,
}

/// Adds what a sort that has ended took to the time of the operator.
struct Timed {
    sort: SortExec,
    to: Time,
}

impl Drop for Timed {
    fn drop(&mut self) {
        let took = self.sort.metrics().and_then(|metrics| metrics.elapsed_compute());
        self.to.add_duration(Duration::from_nanos(took.unwrap_or(0) as u64));
    }
}

/// What a merge of these runs holds, which yields batches of so many rows.
fn merge_bytes(runs: &[Run], batch_rows: usize) -> usize {
    let inputs: usize = runs.iter().map(|run| run.largest * HELD_FOR_A_RUN).sum();
    // A batch that is yielded, and those of the runs that its rows came from.
    let output = runs.iter().map(|run| run.largest * batch_rows.div_ceil(run.batch_rows.max(1))).max();
    inputs + 2 * output.unwrap_or(0)
}

/// How many of `runs` to merge first, if `fan_in` can be merged at a time: so many that every merge after it can be
/// of as many as possible.
fn first_merge(runs: usize, fan_in: usize) -> usize {
    if runs <= fan_in { runs } else { (runs - 2) % (fan_in - 1) + 2 }
}

impl ExternalSort {
    async fn run(self, mut input: SendableRecordBatchStream) -> Result<SendableRecordBatchStream> {
        let usual = self.context.session_config().batch_size();
        let mut gathered = Gathered::default();
        let mut runs = Vec::new();
        while let Some(batch) = input.next().await.transpose()? {
            self.check()?;
            for piece in pieces(batch, usual) {
                let piece = piece?;
                let need = self.bytes_to_sort(&piece)?;
                if self.memory.try_grow(need).is_err() {
                    if self.memory.size() >= LEAST {
                        runs.extend(self.write_gathered(std::mem::take(&mut gathered)).await?);
                        self.memory.free();
                    }
                    self.memory.grow(need);
                }
                self.peak.set_max(self.memory.size());
                gathered.rows += piece.num_rows();
                gathered.bytes += piece.get_array_memory_size();
                gathered.batches.push(piece);
            }
        }
        drop(input);
        if runs.is_empty() {
            return self.in_memory(gathered);
        }
        runs.extend(self.write_gathered(gathered).await?);
        self.memory.free();
        self.merged(runs).await
    }

    fn check(&self) -> Result<()> {
        self.stop.as_ref().map_or(Ok(()), Stop::check)
    }

    /// The bytes of a batch, of the same rows in order, and of the keys that several columns are merged by.
    fn bytes_to_sort(&self, batch: &RecordBatch) -> Result<usize> {
        let bytes = batch.get_array_memory_size();
        let mut keys = 0;
        if self.ordering.len() > 1 {
            for by in self.ordering.iter() {
                let column = by.expr.downcast_ref::<Column>();
                keys += column.map_or(bytes, |column| batch.column(column.index()).get_array_memory_size());
            }
        }
        Ok(2 * bytes + keys)
    }

    fn sort(&self, gathered: Gathered) -> Timed {
        let given = GivenExec::of_schema(self.schema.clone());
        given.give(0, given.stream(gathered.batches));
        let sort = SortExec::new(self.ordering.clone(), Arc::new(given));
        Timed { sort, to: self.rows.elapsed_compute().clone() }
    }

    fn first(&self, rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
        match self.wanted {
            Some(wanted) => {
                let uncounted = BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
                Box::pin(LimitStream::new(rows, 0, Some(wanted), uncounted))
            }
            None => rows,
        }
    }

    fn in_memory(mut self, gathered: Gathered) -> Result<SendableRecordBatchStream> {
        let sort = self.sort(gathered);
        let context = Prepaid::context(&self.context, self.memory.take())?;
        let rows = self.first(sort.sort.execute(0, context)?);
        let counted = rows.map(move |batch| {
            let _running = &sort;
            compacted(batch?.record_output(&self.rows))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), counted)))
    }

    /// Writes rows in order; what they hold stays reserved.
    async fn write_gathered(&self, gathered: Gathered) -> Result<Option<Run>> {
        if gathered.rows == 0 {
            return Ok(None);
        }
        let row = (gathered.bytes / gathered.rows).max(1);
        let batch = (gathered.bytes / RUN_BATCH_PART).clamp(*RUN_BATCH.start(), *RUN_BATCH.end());
        let sort = self.sort(gathered);
        let rows = sort.sort.execute(0, Prepaid::uncounted(&self.context)?)?;
        self.write(self.first(rows), (batch / row).max(1)).await
    }

    async fn write(&self, mut rows: SendableRecordBatchStream, batch_rows: usize) -> Result<Option<Run>> {
        let mut writer = SpillWriter::create(&self.spill, "sort")?;
        let (mut largest, mut count, mut most_rows) = (0, 0, 1);
        while let Some(batch) = rows.next().await.transpose()? {
            self.check()?;
            let all = batch.num_rows();
            for from in (0..all).step_by(batch_rows) {
                let piece = batch.slice(from, batch_rows.min(all - from));
                largest = largest.max(writer.append(&piece)?);
                most_rows = most_rows.max(piece.num_rows());
            }
            count += all;
        }
        let run = |file| Run { file, rows: count, largest, batch_rows: most_rows };
        Ok(writer.finish()?.map(run))
    }

    /// How many of the first runs can be merged now, whose memory is reserved then.
    fn fan_in(&self, runs: &[Run], batch_rows: usize) -> usize {
        let least = merge_bytes(&runs[..runs.len().min(2)], batch_rows);
        if self.memory.try_resize(least).is_err() {
            self.memory.resize(least);
        }
        let more = (3..=runs.len().min(FAN_IN))
            .take_while(|count| self.memory.try_resize(merge_bytes(&runs[..*count], batch_rows)).is_ok());
        let fan_in = more.last().unwrap_or(2);
        self.peak.set_max(self.memory.size());
        fan_in
    }

    async fn merged(self, mut runs: Vec<Run>) -> Result<SendableRecordBatchStream> {
        let usual = self.context.session_config().batch_size();
        loop {
            // Short ones first, so that few rows are written again.
            runs.sort_by_key(|run| run.rows);
            let fan_in = self.fan_in(&runs, usual);
            if runs.len() <= fan_in {
                let rows = self.merge(runs, usual, self.rows.clone())?;
                let memory = self.memory;
                let holding = rows.map(move |batch| {
                    let _merging = &memory;
                    compacted(batch?)
                });
                return Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema, holding)));
            }
            let rest = runs.split_off(first_merge(runs.len(), fan_in));
            let batch_rows = runs.iter().map(|run| run.batch_rows).min().unwrap_or(usual);
            let rows = self.merge(runs, batch_rows, self.rows.intermediate())?;
            let run = self.write(rows, batch_rows).await?;
            runs = rest;
            runs.extend(run);
        }
    }

    fn merge(
        &self,
        runs: Vec<Run>,
        batch_rows: usize,
        rows: BaselineMetrics,
    ) -> Result<SendableRecordBatchStream> {
        // What it holds is reserved already.
        let uncounted: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
        let inputs = runs.into_iter().map(|run| spill_file::read(&self.spill, run.file));
        StreamingMergeBuilder::new()
            .with_streams(inputs.collect::<Result<_>>()?)
            .with_schema(self.schema.clone())
            .with_expressions(&self.ordering)
            .with_metrics(rows)
            .with_batch_size(batch_rows)
            .with_fetch(self.wanted)
            .with_reservation(MemoryConsumer::new("SortMerge").register(&uncounted))
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{AllQueries, QueryPool};
    use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringViewArray};
    use arrow::compute::{SortOptions, concat_batches};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::physical_expr::PhysicalSortExpr;
    use env::MemoryBudget;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use std::collections::HashMap;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("s", DataType::Utf8View, true),
            Field::new("n", DataType::Int64, false),
        ]))
    }

    fn rows(count: usize, width: usize, rng: &mut StdRng) -> Vec<RecordBatch> {
        let mut batches = Vec::new();
        let mut left = count;
        while left > 0 {
            let n = left.min(rng.random_range(1..3_000));
            left -= n;
            let text = |rng: &mut StdRng| {
                let key: u32 = rng.random_range(0..5_000);
                (!rng.random_bool(0.05)).then(|| format!("{key:0>width$}"))
            };
            let columns: Vec<ArrayRef> = vec![
                Arc::new((0..n).map(|_| text(rng)).collect::<StringViewArray>()),
                Arc::new((0..n).map(|_| rng.random::<i64>()).collect::<Int64Array>()),
            ];
            batches.push(RecordBatch::try_new(schema(), columns).unwrap());
        }
        batches
    }

    fn by(columns: &[(&str, usize)], options: SortOptions) -> LexOrdering {
        let by =
            |(name, at): &(&str, usize)| PhysicalSortExpr::new(Arc::new(Column::new(name, *at)), options);
        LexOrdering::new(columns.iter().map(by)).unwrap()
    }

    fn context(limit: usize) -> Arc<TaskContext> {
        let pool = QueryPool::new(&MemoryBudget::new(1 << 30), limit, AllQueries::default());
        let env = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().unwrap();
        let config = TaskContext::default().session_config().clone().with_batch_size(1024);
        let none = (HashMap::new(), HashMap::new(), HashMap::new(), HashMap::new());
        Arc::new(TaskContext::new(None, String::new(), config, none.0, none.1, none.2, none.3, env))
    }

    fn given(rows: Vec<RecordBatch>) -> SendableRecordBatchStream {
        Box::pin(RecordBatchStreamAdapter::new(schema(), stream::iter(rows.into_iter().map(Ok))))
    }

    async fn sorted_rows(
        rows: &[RecordBatch],
        ordering: &LexOrdering,
        wanted: Option<usize>,
        context: &Arc<TaskContext>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> RecordBatch {
        let sorted = sorted(given(rows.to_vec()), ordering.clone(), wanted, context, metrics, 0);
        concat_batches(&schema(), &sorted.try_collect::<Vec<_>>().await.unwrap()).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn any_number_of_rows_is_sorted_with_any_memory() {
        let widths = [4, 30, 30, 900];
        let mut spilled = 0;
        for seed in 0..24 {
            let mut rng = StdRng::seed_from_u64(seed);
            let width = widths[seed as usize % widths.len()];
            let rows = rows([0, 1, 3_000, 40_000][rng.random_range(0..4)], width, &mut rng);
            let all = concat_batches(&schema(), &rows).unwrap();
            let options = SortOptions { descending: rng.random_bool(0.5), nulls_first: rng.random_bool(0.5) };
            // The number makes the order one.
            let ordering = match rng.random_bool(0.7) {
                true => by(&[("s", 0), ("n", 1)], options),
                false => by(&[("n", 1)], options),
            };
            let wanted = rng.random_bool(0.3).then(|| rng.random_range(1..all.num_rows() + 2));
            let expected =
                datafusion::physical_plan::sorts::sort::sort_batch(&all, &ordering, wanted).unwrap();
            let limit = [1 << 10, 600 << 10, 2 << 20, 1 << 29][rng.random_range(0..4)];
            let context = context(limit);
            // Others hold what they can.
            let hog = MemoryConsumer::new("hog").register(context.memory_pool());
            if rng.random_bool(0.3) {
                hog.try_grow(limit).unwrap();
            }
            let before = context.memory_pool().reserved();
            let metrics = ExecutionPlanMetricsSet::new();
            let found = sorted_rows(&rows, &ordering, wanted, &context, &metrics).await;
            assert_eq!(found, expected, "seed {seed}");
            assert_eq!(context.memory_pool().reserved(), before, "seed {seed}");
            let metrics = metrics.clone_inner();
            assert_eq!(metrics.output_rows(), Some(expected.num_rows()), "seed {seed}");
            spilled += metrics.spilled_bytes().unwrap_or(0);
        }
        assert!(spilled > 10 << 20, "{spilled}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn rows_of_many_times_the_memory_stay_near_it() {
        let rows = rows(100_000, 100, &mut StdRng::seed_from_u64(5));
        let limit = 1 << 20;
        let pool = QueryPool::new(&MemoryBudget::new(1 << 30), limit, AllQueries::default());
        let env = RuntimeEnvBuilder::new().with_memory_pool(pool.clone()).build_arc().unwrap();
        let plain = context(limit);
        let config = plain.session_config().clone();
        let none = (HashMap::new(), HashMap::new(), HashMap::new(), HashMap::new());
        let context = TaskContext::new(None, String::new(), config, none.0, none.1, none.2, none.3, env);
        let metrics = ExecutionPlanMetricsSet::new();
        let ordering = by(&[("s", 0), ("n", 1)], SortOptions::default());
        let found = sorted_rows(&rows, &ordering, None, &Arc::new(context), &metrics).await;
        assert_eq!(found.num_rows(), 100_000);
        let keys = found.column(0).as_string_view();
        assert!((1..keys.len()).all(|at| keys.is_null(at - 1) || keys.value(at - 1) <= keys.value(at)));
        assert_eq!(found.column(1).as_primitive::<Int64Type>().len(), 100_000);
        assert!(pool.peak() <= limit * 3 / 2, "{}", pool.peak());
        assert!(metrics.clone_inner().spill_count().unwrap() > 20);
    }

    #[test]
    fn merges_are_as_wide_as_they_can_be() {
        assert_eq!((first_merge(5, 8), first_merge(8, 8)), (5, 8));
        for (runs, fan_in) in [(9, 8), (15, 8), (16, 8), (100, 2), (1000, 7)] {
            let mut left = runs - first_merge(runs, fan_in) + 1;
            while left > fan_in {
                assert_eq!(first_merge(left, fan_in), fan_in, "{runs} runs, {left} left");
                left -= fan_in - 1;
            }
            assert_eq!(left, fan_in, "{runs} runs");
        }
    }
}
