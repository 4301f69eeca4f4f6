//! Joins the partitions of both sides whose keys can be equal.

use super::Env;
use super::divide::{DEEPEST, Divider, Part, Writer};
use super::given::GivenExec;
use super::join::BuildProbeJoin;
use super::prepaid::Prepaid;
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::utils::memory::RecordBatchMemoryCounter;
use datafusion::common::{JoinType, Result, internal_err};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::metrics::{BaselineMetrics, RecordOutput};
use datafusion::physical_plan::{ExecutionPlan, SpillManager};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use std::sync::Arc;
use tokio::sync::mpsc::Sender;

/// Where the rows of a join go.
pub(super) struct Sink {
    to: Sender<Result<RecordBatch>>,
    /// How many are still wanted.
    wanted: Option<usize>,
    rows: BaselineMetrics,
}

impl Sink {
    pub(super) fn new(to: Sender<Result<RecordBatch>>, wanted: Option<usize>, rows: BaselineMetrics) -> Sink {
        Sink { to, wanted, rows }
    }

    /// False if no more are wanted.
    async fn send(&mut self, batch: RecordBatch) -> Result<bool> {
        let take = self.wanted.map_or(batch.num_rows(), |wanted| wanted.min(batch.num_rows()));
        if take > 0 {
            let batch = batch.slice(0, take).record_output(&self.rows);
            if self.to.send(Ok(batch)).await.is_err() {
                return Ok(false);
            }
        }
        self.wanted = self.wanted.map(|wanted| wanted - take);
        Ok(self.wanted != Some(0))
    }
}

/// One side of the pairs.
#[derive(Clone)]
struct Side {
    schema: SchemaRef,
    spill: Arc<SpillManager>,
}

impl Side {
    fn of(plan: &Arc<dyn ExecutionPlan>, env: &Env) -> Side {
        Side { schema: plan.schema(), spill: env.spill(plan.schema()) }
    }

    fn given(&self, rows: SendableRecordBatchStream) -> Arc<dyn ExecutionPlan> {
        let given = GivenExec::of_schema(self.schema.clone());
        given.give(0, rows);
        Arc::new(given)
    }

    fn held(&self, rows: Vec<RecordBatch>) -> Arc<dyn ExecutionPlan> {
        let given = GivenExec::of_schema(self.schema.clone());
        given.give(0, given.stream(rows));
        Arc::new(given)
    }
}

/// Joins pairs as `join` would.
pub(super) struct Pairs {
    join: BuildProbeJoin,
    env: Env,
    build: Side,
    probe: Side,
}

impl Pairs {
    pub(super) fn new(join: &BuildProbeJoin, env: &Env) -> Result<Pairs> {
        let (build, probe) = (Side::of(join.build(), env), Side::of(join.probe(), env));
        Ok(Pairs { join: join.clone(), env: env.clone(), build, probe })
    }

    /// Whether a pair yields no row because of what is empty.
    fn yields_nothing(&self, build: &Part, probe: &Part) -> bool {
        use JoinType as J;
        let ty = self.join.join_type();
        let needs_build =
            matches!(ty, J::Inner | J::Left | J::LeftSemi | J::LeftAnti | J::LeftMark | J::RightSemi);
        let needs_probe =
            matches!(ty, J::Inner | J::Right | J::RightSemi | J::RightAnti | J::RightMark | J::LeftSemi);
        (build.rows == 0 && (needs_build || probe.rows == 0)) || (probe.rows == 0 && needs_probe)
    }

    /// Joins a pair. `depth`: how often its rows were divided. False if no more rows are wanted.
    pub(super) fn join<'a>(
        &'a self,
        build: Part,
        probe: Part,
        depth: u64,
        sink: &'a mut Sink,
    ) -> BoxFuture<'a, Result<bool>> {
        async move {
            self.env.check()?;
            if self.yields_nothing(&build, &probe) {
                return Ok(true);
            }
            let memory = self.env.reservation("HashJoinPair");
            let need = build.bytes + self.join.table_bytes(build.rows, build.bytes)?;
            if self.env.fits(&memory, need, self.env.small_block) {
                let mut held = Vec::new();
                let mut rows = build.read(&self.build.spill);
                while let Some(batch) = rows.next().await.transpose()? {
                    self.env.check()?;
                    held.push(batch);
                }
                return self.join_held(held, memory, &probe, sink).await;
            }
            if depth >= DEEPEST || build.bytes <= self.env.small_block {
                return self.join_blocks(&build, &probe, memory, sink).await;
            }
            let builds = self.divide(&build, true, depth).await?;
            let largest = builds.iter().map(|part| part.rows).max().unwrap_or(0);
            if largest * 8 >= build.rows * 7 {
                // Most of the rows have one key.
                drop(builds);
                return self.join_blocks(&build, &probe, memory, sink).await;
            }
            drop(build);
            let probes = self.divide(&probe, false, depth).await?;
            drop(probe);
            for (build, probe) in builds.into_iter().zip(probes) {
                if !self.join(build, probe, depth + 1, sink).await? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        .boxed()
    }

    async fn divide(&self, part: &Part, is_build: bool, depth: u64) -> Result<Vec<Part>> {
        let side = if is_build { &self.build } else { &self.probe };
        let on = if is_build { self.join.build_keys() } else { self.join.probe_keys() };
        let mut divider = Divider::new(&self.env, side.spill.clone(), on, depth);
        let mut rows = part.read(&side.spill);
        while let Some(batch) = rows.next().await.transpose()? {
            self.env.check()?;
            divider.push(&batch)?;
        }
        Ok(divider.finish()?.parts)
    }

    /// Runs a join whose build rows are held by `memory`.
    fn run(
        &self,
        join: Arc<dyn ExecutionPlan>,
        memory: MemoryReservation,
    ) -> Result<SendableRecordBatchStream> {
        join.execute(0, Prepaid::context(&self.env.context, memory)?)
    }

    async fn join_held(
        &self,
        held: Vec<RecordBatch>,
        memory: MemoryReservation,
        probe: &Part,
        sink: &mut Sink,
    ) -> Result<bool> {
        let (build, probe) = (self.build.held(held), self.probe.given(probe.read(&self.probe.spill)));
        let join = self.join.variant(self.join.join_type(), build, probe)?;
        let rows = self.run(join, memory)?;
        self.emit(rows, None, sink).await
    }

    /// Hands on rows of a variant, projected; after them a mark, if there is one.
    async fn emit(
        &self,
        mut rows: SendableRecordBatchStream,
        mark: Option<bool>,
        sink: &mut Sink,
    ) -> Result<bool> {
        let schema = self.join.plan().schema();
        let projection = self.join.projection();
        while let Some(batch) = rows.next().await.transpose()? {
            self.env.check()?;
            let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
            if let Some(mark) = mark {
                columns.push(Arc::new(BooleanArray::from(vec![mark; batch.num_rows()])));
            }
            if let Some(projection) = &projection {
                columns = projection.iter().map(|at| columns[*at].clone()).collect();
            }
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
            if !sink.send(batch).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The build rows block by block, each with all probe rows.
    async fn join_blocks(
        &self,
        build: &Part,
        probe: &Part,
        memory: MemoryReservation,
        sink: &mut Sink,
    ) -> Result<bool> {
        use JoinType as J;
        let ty = self.join.join_type();
        // What each block yields with all probe rows; with those that had no partner before.
        let (with_all, with_left) = match ty {
            J::Inner | J::Right => (Some(J::Inner), None),
            J::Left | J::Full => (Some(J::Left), None),
            J::LeftSemi | J::LeftAnti | J::LeftMark => (Some(ty), None),
            J::RightSemi | J::RightMark => (None, Some(J::RightSemi)),
            J::RightAnti => (None, None),
        };
        let hands_on = matches!(ty, J::Right | J::Full | J::RightSemi | J::RightAnti | J::RightMark);
        let mark = (ty == J::RightMark).then_some(true);
        let mut left = probe.clone();
        let mut rows = build.read(&self.build.spill);
        let mut memory = Some(memory);
        let mut ended = false;
        while !ended {
            let taken = memory.take().unwrap_or_else(|| self.env.reservation("HashJoinBlock"));
            let mut block = Vec::new();
            let (mut bytes, mut count) = (RecordBatchMemoryCounter::new(), 0);
            loop {
                self.env.check()?;
                let Some(batch) = rows.next().await.transpose()? else {
                    ended = true;
                    break;
                };
                count += batch.num_rows();
                bytes.count_batch(&batch);
                block.push(batch);
                let taken_by = bytes.memory_usage();
                let need = taken_by + self.join.table_bytes(count, taken_by)?;
                if !self.env.fits(&taken, need, self.env.small_block) {
                    taken.resize(need);
                    break;
                }
            }
            if block.is_empty() {
                break;
            }
            let share = taken.size();
            if let Some(join_type) = with_all {
                let all = self.probe.given(probe.read(&self.probe.spill));
                let join = self.join.variant(join_type, self.build.held(block.clone()), all)?;
                if !self.emit(self.run(join, taken)?, None, sink).await? {
                    return Ok(false);
                }
            } else {
                drop(taken);
            }
            let counted = || {
                let memory = self.env.reservation("HashJoinBlock");
                memory.grow(share);
                memory
            };
            if let Some(join_type) = with_left {
                let rest = self.probe.given(left.read(&self.probe.spill));
                let join = self.join.variant(join_type, self.build.held(block.clone()), rest)?;
                if !self.emit(self.run(join, counted())?, mark, sink).await? {
                    return Ok(false);
                }
            }
            if hands_on {
                let rest = self.probe.given(left.read(&self.probe.spill));
                let join = self.join.variant(J::RightAnti, self.build.held(block), rest)?;
                left = self.write(self.run(join, counted())?).await?;
            }
        }
        match ty {
            J::Right | J::Full => {
                let rest = self.probe.given(left.read(&self.probe.spill));
                let join = self.join.variant(J::Right, self.build.held(Vec::new()), rest)?;
                let memory = self.env.reservation("HashJoinBlock");
                self.emit(self.run(join, memory)?, None, sink).await
            }
            J::RightAnti => self.emit(left.read(&self.probe.spill), None, sink).await,
            J::RightMark => self.emit(left.read(&self.probe.spill), Some(false), sink).await,
            _ => Ok(true),
        }
    }

    /// Writes probe rows that are left to a file.
    async fn write(&self, mut rows: SendableRecordBatchStream) -> Result<Part> {
        if rows.schema().fields().len() != self.probe.schema.fields().len() {
            return internal_err!("rows of another shape are left of a join's probe side");
        }
        let memory = self.env.reservation("HashJoinDivide");
        let mut writer = Writer::default();
        while let Some(batch) = rows.next().await.transpose()? {
            self.env.check()?;
            writer.push(batch, &self.probe.spill, &memory)?;
        }
        writer.finish(&self.probe.spill, &memory)
    }
}
