//! What is asked of a join that reads one side before the other, whatever its kind.

use super::table_bytes;
use datafusion::common::{JoinType, Result, internal_err};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, HashJoinExecBuilder, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
    PartitionMode,
};
use std::sync::Arc;

/// A hash join, a nested loop join or a cross join.
#[derive(Debug, Clone)]
pub(super) struct BuildProbeJoin(Arc<dyn ExecutionPlan>);

impl BuildProbeJoin {
    pub(super) fn of(plan: &Arc<dyn ExecutionPlan>) -> Result<BuildProbeJoin> {
        if plan.is::<HashJoinExec>() || plan.is::<NestedLoopJoinExec>() || plan.is::<CrossJoinExec>() {
            return Ok(BuildProbeJoin(plan.clone()));
        }
        internal_err!("{} is no join that reads one side before the other", plan.name())
    }

    fn hash(&self) -> Option<&HashJoinExec> {
        self.0.downcast_ref()
    }

    fn nested_loop(&self) -> Option<&NestedLoopJoinExec> {
        self.0.downcast_ref()
    }

    pub(super) fn plan(&self) -> &Arc<dyn ExecutionPlan> {
        &self.0
    }

    /// The side that is read first.
    pub(super) fn build(&self) -> &Arc<dyn ExecutionPlan> {
        self.0.children()[0]
    }

    pub(super) fn probe(&self) -> &Arc<dyn ExecutionPlan> {
        self.0.children()[1]
    }

    pub(super) fn mode(&self) -> PartitionMode {
        self.hash().map_or(PartitionMode::CollectLeft, |join| *join.partition_mode())
    }

    /// Whether rows with equal keys alone can be partners. Otherwise every row must be tried with every other.
    pub(super) fn has_keys(&self) -> bool {
        self.hash().is_some()
    }

    pub(super) fn build_keys(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        self.hash().map_or_else(Vec::new, |join| join.on().iter().map(|(left, _)| left.clone()).collect())
    }

    pub(super) fn probe_keys(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        self.hash().map_or_else(Vec::new, |join| join.on().iter().map(|(_, right)| right.clone()).collect())
    }

    pub(super) fn join_type(&self) -> JoinType {
        match (self.hash(), self.nested_loop()) {
            (Some(join), _) => *join.join_type(),
            (_, Some(join)) => *join.join_type(),
            _ => JoinType::Inner,
        }
    }

    pub(super) fn is_null_aware(&self) -> bool {
        self.hash().is_some_and(|join| join.null_aware)
    }

    /// Which columns of both sides, with a mark after them, the join yields.
    pub(super) fn projection(&self) -> Option<Vec<usize>> {
        match (self.hash(), self.nested_loop()) {
            (Some(join), _) => join.projection.as_ref().map(|projection| projection.to_vec()),
            (_, Some(join)) => join.projection().as_ref().map(|projection| projection.to_vec()),
            _ => None,
        }
    }

    /// The bytes that the join holds for a build side beside its batches.
    pub(super) fn table_bytes(&self, rows: usize, bytes: usize) -> Result<usize> {
        match self.has_keys() {
            true => table_bytes(rows),
            // It makes one batch of them.
            false => Ok(bytes + rows / 8),
        }
    }

    /// The same join over other inputs of the same properties.
    pub(super) fn over(
        &self,
        build: Arc<dyn ExecutionPlan>,
        probe: Arc<dyn ExecutionPlan>,
    ) -> Result<BuildProbeJoin> {
        let children = vec![build, probe];
        Ok(BuildProbeJoin(match self.hash() {
            Some(join) => Arc::new(join.builder().with_new_children(children)?.build()?),
            None => replace_children_if_necessary(self.0.clone(), children)?,
        }))
    }

    /// A join of another type over these inputs, as it is without a projection.
    pub(super) fn variant(
        &self,
        join_type: JoinType,
        build: Arc<dyn ExecutionPlan>,
        probe: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(join) = self.hash() {
            let join = HashJoinExecBuilder::new(build, probe, join.on().to_vec(), join_type)
                .with_filter(join.filter().cloned())
                .with_null_equality(join.null_equality())
                .with_partition_mode(PartitionMode::Partitioned)
                .build()?;
            return Ok(Arc::new(join));
        }
        let condition = self.nested_loop().and_then(|join| join.filter().cloned());
        let join = NestedLoopJoinExecBuilder::new(build, probe, join_type).with_filter(condition).build()?;
        Ok(Arc::new(join))
    }
}
