//! A fused aggregation of one partition on its way.

use super::groups::Word;
use super::keys::Keys;
use super::number::Range;
use super::recipe::{Argument, Function, Recipe};
use super::totals::{Ids, Together, Total, count};
use crate::scan::{Scan, ScanExec};
use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::buffer::NullBuffer;
use arrow::datatypes::SchemaRef;
use columnstore::{Vector, Vectors};
use datafusion::common::{Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_plan::metrics::{BaselineMetrics, Count};
use std::sync::Arc;

/// Of a partial aggregation: groups above which the states are handed on early if they are many for
/// the rows that made them.
const MANY_GROUPS: usize = 1 << 16;

/// What the aggregation has so far, and buffers.
pub(super) struct Running<W> {
    recipe: Arc<Recipe>,
    scan: Scan,
    vectors: Vectors,
    state: State<W>,
    reservation: MemoryReservation,
    batch_size: usize,
    pub(super) metrics: BaselineMetrics,
    spilled: Count,
}

/// Apart from the scan and its vectors, which are read while this changes.
struct State<W> {
    keys: Keys<W>,
    totals: Vec<Total>,
    /// Rows since the groups were last handed on.
    rows: usize,
    ids: Vec<u32>,
    evaluated: Vec<Vector>,
    ranges: Vec<Option<Range>>,
    results: Vec<Vec<i64>>,
}

/// What there is after some rows were read.
pub(super) enum Step {
    Read,
    /// Memory is short, or partial groups do not pay: states are to be handed on.
    Full,
    End,
}

impl<W: Word> Running<W> {
    pub(super) fn new(
        recipe: Arc<Recipe>,
        partition: usize,
        context: &TaskContext,
        metrics: BaselineMetrics,
        spilled: Count,
    ) -> Result<Running<W>> {
        let Some(scan) = recipe.scan.downcast_ref::<ScanExec>() else {
            return internal_err!("a fused aggregation reads a scan");
        };
        let consumer = MemoryConsumer::new(format!("FusedAggregate[{partition}]")).with_can_spill(true);
        Ok(Running {
            scan: scan.open(partition, context)?,
            vectors: Vectors::default(),
            state: State::new(&recipe),
            reservation: consumer.register(context.memory_pool()),
            batch_size: context.session_config().batch_size(),
            metrics,
            spilled,
            recipe,
        })
    }

    /// To be awaited before each step.
    pub(super) async fn turn(&mut self) {
        self.scan.turn().await;
    }

    /// Reads the next morsel.
    pub(super) fn step(&mut self) -> Result<Step> {
        let elapsed = self.metrics.elapsed_compute().clone();
        let Running { recipe, scan, vectors, state, .. } = self;
        let more = scan.next_vectors(vectors, &mut |vectors| {
            let _timer = elapsed.timer();
            state.update(recipe, vectors)
        })?;
        if !more {
            return Ok(Step::End);
        }
        if self.reservation.try_resize(self.state.bytes()).is_err() && self.state.keys.len() > 0 {
            self.spilled.add(1);
            return Ok(Step::Full);
        }
        let groups = self.state.keys.len();
        if !self.recipe.single && groups > MANY_GROUPS && groups > self.state.rows / 2 {
            return Ok(Step::Full);
        }
        Ok(Step::Read)
    }

    /// Hands on all groups as batches of `schema`, and forgets them.
    pub(super) fn take(&mut self, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
        let _timer = self.metrics.elapsed_compute().timer();
        let groups = if self.recipe.keys.is_empty() { 1 } else { self.state.keys.len() };
        let mut batches = Vec::with_capacity(groups.div_ceil(self.batch_size));
        let mut from = 0;
        while from < groups {
            let until = groups.min(from + self.batch_size);
            let mut arrays = self.state.keys.arrays(from..until)?;
            for total in &mut self.state.totals {
                arrays.push(total.array(from..until)?);
            }
            let options = RecordBatchOptions::new().with_row_count(Some(until - from));
            batches.push(RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?);
            from = until;
        }
        self.state = State::new(&self.recipe);
        // What is handed on is its receiver's to count.
        self.reservation.free();
        Ok(batches)
    }
}

impl<W: Word> State<W> {
    fn new(recipe: &Recipe) -> State<W> {
        // Without keys there is one group, even of no rows.
        let empty = usize::from(recipe.keys.is_empty());
        let totals = recipe
            .functions
            .iter()
            .map(|function| match function {
                Function::Count(_) => Total::Count(Vec::new()),
                Function::Sum { ty, .. } => Total::sum(ty.clone(), empty),
                Function::Extreme { ty, greatest, .. } => Total::extreme(*ty, *greatest, empty),
            })
            .collect();
        State {
            keys: Keys::new(&recipe.keys),
            totals,
            rows: 0,
            ids: Vec::new(),
            evaluated: Vec::new(),
            ranges: Vec::new(),
            results: Vec::new(),
        }
    }

    fn bytes(&self) -> usize {
        self.keys.bytes() + self.totals.iter().map(Total::bytes).sum::<usize>()
    }

    fn update(&mut self, recipe: &Recipe, vectors: &Vectors) -> Result<()> {
        let rows = vectors.rows();
        if rows == 0 {
            return Ok(());
        }
        self.rows += rows;
        let batch = match recipe.evaluated.is_empty() {
            true => None,
            false => Some(recipe.evaluated.batch(vectors, &recipe.types)?),
        };
        if let Some(batch) = &batch {
            recipe.evaluate_keys(batch, &mut self.evaluated)?;
        }
        let (ids, groups): (Ids<'_>, usize) = if recipe.keys.is_empty() {
            (None, 1)
        } else {
            self.keys.find(vectors, &self.evaluated, &mut self.ids)?;
            (Some(&self.ids), self.keys.len())
        };
        recipe.numbers.ranges(vectors, &mut self.ranges);
        recipe.numbers.compute(vectors, &self.ranges, &mut self.results);
        let mut wide_batch = None;
        let mut together = Together::default();
        for (function, total) in recipe.functions.iter().zip(&mut self.totals) {
            match (function, total) {
                (Function::Count(argument), Total::Count(counts)) => {
                    let array;
                    let nulls = match (argument, &batch) {
                        (None, _) => None,
                        (Some(Argument::Column(column)), _) => vectors.columns()[*column].nulls(),
                        (Some(Argument::Evaluated(at)), Some(batch)) => {
                            array = recipe.evaluated.evaluate(*at, batch)?;
                            array.nulls()
                        }
                        (Some(Argument::Evaluated(_)), None) => return internal_err!("no evaluated batch"),
                    };
                    count(counts, rows, nulls, ids, groups);
                }
                (Function::Sum { number, wide, .. }, Total::Sum(sum)) => {
                    if let Some((place, nullable)) = number
                        && let Some(range) = self.ranges[*place]
                    {
                        let nulls = nullable.iter().fold(None, |all: Option<NullBuffer>, column| {
                            NullBuffer::union(all.as_ref(), vectors.columns()[*column].nulls())
                        });
                        let value = recipe.numbers.value(*place, vectors, &self.results);
                        sum.add(value, range, rows, nulls.as_ref(), (ids, groups), &mut together);
                        continue;
                    }
                    let batch = match &mut wide_batch {
                        Some(batch) => batch,
                        none => none.insert(recipe.wide.batch(vectors, &recipe.types)?),
                    };
                    sum.add_array(&recipe.wide.evaluate(*wide, batch)?, ids, groups)?;
                }
                (Function::Extreme { column, ty, .. }, Total::Extreme(extreme)) => {
                    match &vectors.columns()[*column] {
                        Vector::Ints(ints) => extreme.add(ints, ids, groups),
                        _ => return internal_err!("a column of type {ty} is not held as integers"),
                    }
                }
                _ => return internal_err!("a function has another's total"),
            }
        }
        together.add(ids);
        Ok(())
    }
}
