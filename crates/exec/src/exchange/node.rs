//! The exchange as a node of the planner's tree.

use super::ExchangeShape;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Distribution, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{CardinalityEffect, EvaluationType, SchedulingType};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use std::fmt;
use std::sync::Arc;

/// Where the rows of an exchange go.
#[derive(Debug, Clone)]
pub enum ExchangeKind {
    /// Each row goes to the partition whose range of the hash space holds the shard hash of `keys`:
    /// the same hash and the same ranges that place rows in storage.
    Shuffle { keys: Vec<Arc<dyn PhysicalExpr>>, partitions: usize },
    /// Every row goes to every node of the consuming stage, which sees one stream.
    Broadcast,
    /// Every row goes to the one task of the consuming stage, as one stream.
    Gather,
    /// Every row goes to the one task of the consuming stage, which sees one stream for each
    /// producer, with the producer's order kept.
    GatherSorted,
    /// The rows of task `i` go to task `i` of the consuming stage, which runs where other partitions
    /// lie.
    Forward,
}

impl ExchangeKind {
    /// The node's name.
    pub fn name(&self) -> &'static str {
        match self {
            ExchangeKind::Shuffle { .. } => "ShuffleExec",
            ExchangeKind::Broadcast => "BroadcastExec",
            ExchangeKind::Gather | ExchangeKind::GatherSorted => "GatherExec",
            ExchangeKind::Forward => "ForwardExec",
        }
    }

    /// Whether producer `i` sends to stream `i` and to no other.
    pub fn apart(&self) -> bool {
        matches!(self, ExchangeKind::GatherSorted | ExchangeKind::Forward)
    }

    /// Whether a few rows may wait for more: not what is gathered, whose first rows a client may wait for.
    pub(crate) fn patient(&self) -> bool {
        matches!(self, ExchangeKind::Shuffle { .. } | ExchangeKind::Broadcast)
    }

    /// The number of streams, with so many producers and so many nodes that run the consuming stage.
    pub(crate) fn streams(&self, producers: usize, nodes: usize) -> usize {
        match self {
            ExchangeKind::Shuffle { partitions, .. } => *partitions,
            ExchangeKind::Broadcast => nodes,
            ExchangeKind::Gather => 1,
            ExchangeKind::GatherSorted | ExchangeKind::Forward => producers,
        }
    }

    /// Within one node, where all producers and consumers are.
    pub(crate) fn shape(&self, producers: usize) -> ExchangeShape {
        ExchangeShape {
            producers: (0..producers).collect(),
            consumers: self.streams(producers, 1),
            apart: self.apart(),
            patient: self.patient(),
        }
    }
}

impl fmt::Display for ExchangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExchangeKind::Shuffle { keys, partitions } => {
                f.write_str("Shuffle(")?;
                for (i, key) in keys.iter().enumerate() {
                    write!(f, "{}{key}", if i == 0 { "" } else { ", " })?;
                }
                write!(f, "; {partitions})")
            }
            ExchangeKind::Broadcast => f.write_str("Broadcast"),
            ExchangeKind::Gather => f.write_str("Gather"),
            ExchangeKind::GatherSorted => f.write_str("Gather(sorted)"),
            ExchangeKind::Forward => f.write_str("Forward"),
        }
    }
}

/// An exchange between its child and its parent. It exists while the plan is made; a plan that runs
/// has been cut, and has a [`ReceiveExec`](super::ReceiveExec) in each one's place.
#[derive(Debug)]
pub struct ExchangeExec {
    kind: ExchangeKind,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl ExchangeExec {
    pub fn new(input: Arc<dyn ExecutionPlan>, kind: ExchangeKind) -> ExchangeExec {
        let mut equivalences = input.equivalence_properties().clone();
        let producers = input.output_partitioning().partition_count();
        let partitioning = match &kind {
            ExchangeKind::Shuffle { keys, partitions } => Partitioning::Hash(keys.clone(), *partitions),
            ExchangeKind::Broadcast | ExchangeKind::Gather => Partitioning::UnknownPartitioning(1),
            ExchangeKind::GatherSorted => Partitioning::UnknownPartitioning(producers),
            ExchangeKind::Forward => input.output_partitioning().clone(),
        };
        if !kind.apart() {
            equivalences.clear_orderings();
            if producers > 1 {
                equivalences.clear_per_partition_constants();
            }
        }
        let properties =
            PlanProperties::new(equivalences, partitioning, input.pipeline_behavior(), input.boundedness())
                .with_evaluation_type(EvaluationType::Eager)
                .with_scheduling_type(SchedulingType::Cooperative);
        ExchangeExec { kind, input, properties: Arc::new(properties) }
    }

    pub fn kind(&self) -> &ExchangeKind {
        &self.kind
    }

    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }
}

impl DisplayAs for ExchangeExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.kind)
    }
}

impl ExecutionPlan for ExchangeExec {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn input_distribution_requirements(
        &self,
    ) -> datafusion::physical_plan::distribution_requirements::InputDistributionRequirements {
        datafusion::physical_plan::distribution_requirements::InputDistributionRequirements::new(vec![
            Distribution::UnspecifiedDistribution,
        ])
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![self.kind.apart()]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) if children.is_empty() => Ok(Arc::new(ExchangeExec::new(input, self.kind.clone()))),
            _ => internal_err!("an exchange has one child"),
        }
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        match &self.kind {
            ExchangeKind::Shuffle { keys, .. } => datafusion::physical_plan::apply_expression_roots(keys, f),
            _ => Ok(TreeNodeRecursion::Continue),
        }
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        internal_err!("{} was not cut out of its plan before it ran", self.kind.name())
    }

    fn child_stats_requests(&self, _: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(None)]
    }

    fn statistics_from_inputs(
        &self,
        input: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        Ok(match args.partition() {
            None => input[0].clone(),
            Some(_) => Arc::new(Statistics::new_unknown(&self.schema())),
        })
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        FilterDescription::from_children(parent_filters, &self.children())
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(result))
    }
}
