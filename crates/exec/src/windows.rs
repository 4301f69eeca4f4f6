//! Window functions within a query's memory.
//!
//! DataFusion's window operators count nothing of what they hold, and one whose frames reach to the end of
//! a partition holds all of its input. [`CountedWindowExec`] stands above either and counts:
//!
//! * Of an operator that needs whole partitions it feeds a few at a time ([`Partitions`]): its input is in
//!   the order of PARTITION BY, so a partition is complete when the next begins. So what is held is a
//!   partition or a batch, whichever is more, and the sort below writes the rest to files. A partition
//!   that does not fit fails the query.
//! * One that yields rows as it goes holds those that it has read and not yielded ([`Unyielded`]).
//!
//! The node is put in place when a plan is about to run, and is neither sent nor shown.

use crate::compact::compacted;
use crate::grace::GivenExec;
use crate::memory::TaskMemory;
use crate::one_child::one_child;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{concat, partition};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, replace_children_if_necessary};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// What an operator holds for a byte of a partition: the batches, one batch of them, and what it yields.
const HELD_FOR_A_BYTE: usize = 3;

/// See the module.
#[derive(Debug)]
pub struct CountedWindowExec {
    window: Arc<dyn ExecutionPlan>,
    metrics: ExecutionPlanMetricsSet,
    /// The operators that run, one a partition of the plan.
    fed: Mutex<Vec<Arc<dyn ExecutionPlan>>>,
}

impl CountedWindowExec {
    /// Over a window operator; None over anything else.
    pub(crate) fn over(plan: &Arc<dyn ExecutionPlan>) -> Option<CountedWindowExec> {
        let is_window = plan.is::<WindowAggExec>() || plan.is::<BoundedWindowAggExec>();
        is_window.then(|| CountedWindowExec {
            window: plan.clone(),
            metrics: ExecutionPlanMetricsSet::new(),
            fed: Mutex::default(),
        })
    }

    pub(crate) fn window(&self) -> &Arc<dyn ExecutionPlan> {
        &self.window
    }

    /// The operator over rows that are given to it.
    fn fed(&self) -> Result<(Arc<GivenExec>, Arc<dyn ExecutionPlan>)> {
        let given = Arc::new(GivenExec::in_place_of(self.window.children()[0].clone()));
        let fed = replace_children_if_necessary(self.window.clone(), vec![given.clone()])?;
        self.fed.lock().push(fed.clone());
        Ok((given, fed))
    }
}

/// Reads rows in the order of PARTITION BY and cuts them where one of its partitions ends.
struct Partitions {
    input: SendableRecordBatchStream,
    by: Vec<Arc<dyn PhysicalExpr>>,
    memory: TaskMemory,
    /// What was read and not handed on: rows of complete partitions, then those of one that is not.
    complete: Vec<RecordBatch>,
    open: Vec<RecordBatch>,
    /// A batch that there was no memory for.
    refused: Option<RecordBatch>,
    /// The values of PARTITION BY in the last row.
    last: Option<Vec<ArrayRef>>,
    /// Rows of complete partitions that are worth running the operator for.
    enough: usize,
}

fn cost(batches: &[RecordBatch]) -> usize {
    batches.iter().map(|batch| batch.get_array_memory_size() * HELD_FOR_A_BYTE).sum()
}

fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

impl Partitions {
    /// Some complete partitions; None after the last.
    async fn next(&mut self) -> Result<Option<Vec<RecordBatch>>> {
        // What was handed on before has been used up.
        self.memory.held.resize(cost(&self.open));
        loop {
            if rows(&self.complete) >= self.enough {
                return Ok(Some(std::mem::take(&mut self.complete)));
            }
            let batch = match self.refused.take() {
                Some(batch) => batch,
                None => match self.input.next().await.transpose()? {
                    Some(batch) if batch.num_rows() == 0 => continue,
                    Some(batch) => compacted(batch)?,
                    None => {
                        self.complete.append(&mut self.open);
                        let all = std::mem::take(&mut self.complete);
                        return Ok((!all.is_empty()).then_some(all));
                    }
                },
            };
            if let Err(full) = self.memory.try_grow(cost(std::slice::from_ref(&batch))) {
                if self.complete.is_empty() {
                    return Err(full);
                }
                self.refused = Some(batch);
                return Ok(Some(std::mem::take(&mut self.complete)));
            }
            self.push(batch)?;
        }
    }

    fn push(&mut self, batch: RecordBatch) -> Result<()> {
        let count = batch.num_rows();
        let keys = self
            .by
            .iter()
            .map(|key| key.evaluate(&batch)?.into_array(count))
            .collect::<Result<Vec<ArrayRef>>>()?;
        if keys.is_empty() {
            self.open.push(batch);
            return Ok(());
        }
        let begun = match &self.last {
            Some(last) => starts_anew(last, &keys)?,
            None => true,
        };
        self.last = Some(keys.iter().map(|key| key.slice(count - 1, 1)).collect());
        let ranges = partition(&keys)?.ranges();
        let last_begins = ranges.last().map_or(0, |range| range.start);
        if begun || last_begins > 0 {
            self.complete.append(&mut self.open);
        }
        if last_begins > 0 {
            self.complete.push(batch.slice(0, last_begins));
        }
        self.open.push(batch.slice(last_begins, count - last_begins));
        Ok(())
    }
}

/// Whether the first row of `keys` is not of the partition of the row in `last`.
fn starts_anew(last: &[ArrayRef], keys: &[ArrayRef]) -> Result<bool> {
    let both = last
        .iter()
        .zip(keys)
        .map(|(last, key)| Ok(concat(&[last.as_ref(), key.slice(0, 1).as_ref()])?))
        .collect::<Result<Vec<ArrayRef>>>()?;
    Ok(partition(&both)?.len() > 1)
}

/// The rows that an operator has read and not yielded: of each batch how many are left, and its bytes.
struct Unyielded {
    batches: VecDeque<(usize, usize)>,
    memory: TaskMemory,
}

impl Unyielded {
    fn read(&mut self, batch: &RecordBatch) -> Result<()> {
        let bytes = batch.get_array_memory_size();
        self.memory.try_grow(bytes)?;
        self.batches.push_back((batch.num_rows(), bytes));
        Ok(())
    }

    fn yielded(&mut self, mut rows: usize) {
        while let Some((left, bytes)) = self.batches.front_mut() {
            if *left > rows {
                *left -= rows;
                return;
            }
            rows -= *left;
            self.memory.held.shrink(*bytes);
            self.batches.pop_front();
        }
    }
}

impl DisplayAs for CountedWindowExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CountedWindowExec")
    }
}

impl ExecutionPlan for CountedWindowExec {
    one_child!(
        CountedWindowExec,
        |exec| &exec.window,
        keeps_order: true,
        |_, window| Ok(match CountedWindowExec::over(&window) {
            Some(over) => Arc::new(over),
            None => window,
        })
    );

    fn properties(&self) -> &Arc<PlanProperties> {
        self.window.properties()
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.window.children()[0].execute(partition, context.clone())?;
        let memory = TaskMemory::new("Window", partition, &context, &self.metrics);
        let (given, fed) = self.fed()?;
        let schema = self.schema();
        let Some(whole) = self.window.downcast_ref::<WindowAggExec>() else {
            let unyielded = Arc::new(Mutex::new(Unyielded { batches: VecDeque::new(), memory }));
            let reading = unyielded.clone();
            let read = input.and_then(move |batch| {
                let counted = reading.lock().read(&batch);
                futures::future::ready(counted.map(|()| batch))
            });
            given.give(partition, Box::pin(RecordBatchStreamAdapter::new(given.schema(), read)));
            let yielded = fed.execute(partition, context)?.inspect_ok(move |batch| {
                unyielded.lock().yielded(batch.num_rows());
            });
            return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, yielded)));
        };
        let partitions = Partitions {
            input,
            by: whole.window_expr().first().map_or_else(Vec::new, |expr| expr.partition_by().to_vec()),
            memory,
            complete: Vec::new(),
            open: Vec::new(),
            refused: None,
            last: None,
            enough: context.session_config().batch_size(),
        };
        let feed = move |batches| {
            given.give(partition, given.stream(batches));
            fed.execute(partition, context.clone())
        };
        let yielded = stream::try_unfold((partitions, feed), |(mut partitions, feed)| async move {
            let batches = partitions.next().await?;
            let yielded = batches.map(&feed).transpose()?;
            Ok::<_, DataFusionError>(yielded.map(|yielded| (yielded, (partitions, feed))))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, yielded.try_flatten())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut all = self.metrics.clone_inner();
        for fed in self.fed.lock().iter() {
            for metric in fed.metrics().iter().flat_map(MetricsSet::iter) {
                all.push(metric.clone());
            }
        }
        Some(all)
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interruptible;
    use arrow::array::{Int32Array, Int64Array};
    use arrow::datatypes::{DataType, Field, Schema};
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::datasource::MemTable;
    use datafusion::execution::memory_pool::GreedyMemoryPool;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::prelude::{SessionConfig, SessionContext};
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    /// Rows with `keys` values of k, about as many of each.
    fn table(rows: usize, keys: i32, rng: &mut StdRng) -> MemTable {
        let schema = Arc::new(Schema::new(vec![
            Field::new("k", DataType::Int32, true),
            Field::new("id", DataType::Int64, false),
        ]));
        let ids: Vec<i64> = (0..rows as i64).collect();
        let batches = ids.chunks(70).map(|ids| {
            let k = ids.iter().map(|_| (!rng.random_bool(0.1)).then(|| rng.random_range(0..keys)));
            let columns: Vec<ArrayRef> =
                vec![Arc::new(k.collect::<Int32Array>()), Arc::new(Int64Array::from(ids.to_vec()))];
            RecordBatch::try_new(schema.clone(), columns).unwrap()
        });
        let batches = batches.collect();
        MemTable::try_new(schema, vec![batches]).unwrap()
    }

    async fn plan(table: MemTable, function: &str) -> Arc<dyn ExecutionPlan> {
        let config = SessionConfig::new().with_target_partitions(1);
        let context = SessionContext::new_with_config(config);
        context.register_table("t", Arc::new(table)).unwrap();
        let sql = format!("SELECT k, id, {function} FROM t");
        context.sql(&sql).await.unwrap().create_physical_plan().await.unwrap()
    }

    fn context(memory: usize) -> Arc<TaskContext> {
        let pool = Arc::new(GreedyMemoryPool::new(memory));
        let env = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().unwrap();
        crate::executor::task_context(Default::default(), None, env)
    }

    async fn rows(plan: &Arc<dyn ExecutionPlan>, context: &Arc<TaskContext>) -> Result<Vec<String>> {
        let batches: Vec<_> = plan.execute(0, context.clone())?.try_collect().await?;
        let text = pretty_format_batches(&batches)?.to_string();
        let mut lines: Vec<String> =
            text.lines().filter(|line| line.starts_with('|')).map(String::from).collect();
        lines.sort();
        Ok(lines)
    }

    #[tokio::test]
    async fn whole_partitions_a_few_at_a_time() {
        let frames = [
            "COUNT(*) OVER (PARTITION BY k)",
            "SUM(id) OVER (PARTITION BY k ORDER BY id ROWS BETWEEN 2 PRECEDING AND UNBOUNDED FOLLOWING)",
            "PERCENT_RANK() OVER (PARTITION BY k, id % 2 ORDER BY id)",
            "SUM(id) OVER (PARTITION BY k ORDER BY id)",
            "LEAD(id) OVER (PARTITION BY k ORDER BY id)",
        ];
        for seed in 0..40u64 {
            let mut rng = StdRng::seed_from_u64(seed);
            let rows_of_table = [0, 1, 500, 5_000][rng.random_range(0..4)];
            let keys = [1, 7, 900][rng.random_range(0..3)];
            let function = frames[seed as usize % frames.len()];
            let plan = plan(table(rows_of_table, keys, &mut rng), function).await;
            let expected = rows(&plan, &context(1 << 30)).await.unwrap();
            let counted = interruptible(plan).unwrap();
            let little = context(4 << 20);
            assert_eq!(rows(&counted, &little).await.unwrap(), expected, "seed {seed}: {function}");
            assert_eq!(little.memory_pool().reserved(), 0, "seed {seed}");
        }
    }

    #[tokio::test]
    async fn a_partition_that_does_not_fit_fails_the_query() {
        let mut rng = StdRng::seed_from_u64(1);
        // Sorted as it is read, so that nothing but the window wants memory.
        let function = "COUNT(*) OVER ()";
        let one = interruptible(plan(table(20_000, 5, &mut rng), function).await).unwrap();
        let little = context(400_000);
        let error = rows(&one, &little).await.unwrap_err().to_string();
        assert!(error.contains("Window[0]"), "{error}");
        assert_eq!(little.memory_pool().reserved(), 0);
        let running = interruptible(plan(table(20_000, 5, &mut rng), "ROW_NUMBER() OVER ()").await).unwrap();
        assert_eq!(rows(&running, &little).await.unwrap().len(), 20_001);
    }
}
