//! Distributed plans: stages, cut from a tree at its exchanges.
//!
//! Stage 0 yields the result. Every other stage feeds the exchange of its own number, which one
//! [`ReceiveExec`] of another stage reads. A stage has one task for each partition of its plan.

use crate::exchange::{ExchangeExec, ExchangeId, ExchangeKind, ExchangeShape, ReceiveExec};
use crate::measured::Measured;
use crate::scan::ScanExec;
use crate::slice::sliceable;
use crate::spread::{Locations, Spread};
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use types::PartitionId;

/// Where a stage's tasks run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On the aggregator that runs the query.
    Aggregator,
    /// Task `i` on the leaf that holds partition `i` of this list; some may be the same.
    Partitions(Vec<PartitionId>),
    /// Task `i` where partition `i` of so many equal ranges of the hash space lies.
    Ranges(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Aggregator => f.write_str("aggregator"),
            Place::Partitions(ids) if ids.windows(2).all(|pair| pair[0] == pair[1]) && !ids.is_empty() => {
                write!(f, "leaf of {}", ids[0])
            }
            Place::Partitions(ids) => write!(f, "leaves, {} partitions", ids.len()),
            Place::Ranges(n) => write!(f, "leaves, {n} ranges"),
        }
    }
}

/// A piece of a plan that runs between exchanges.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The exchange that this stage feeds; 0 for the stage that yields the result.
    pub id: ExchangeId,
    pub plan: Arc<dyn ExecutionPlan>,
    /// How the rows leave; `None` for the stage that yields the result.
    pub output: Option<ExchangeKind>,
    pub place: Place,
}

impl Stage {
    /// The exchanges that the stage reads.
    pub(crate) fn receives(&self) -> Result<Vec<ExchangeId>> {
        let mut found = Vec::new();
        self.plan.apply(|node| {
            found.extend(node.downcast_ref::<ReceiveExec>().map(ReceiveExec::exchange));
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(found)
    }

    /// The number of tasks.
    pub fn tasks(&self) -> usize {
        self.plan.output_partitioning().partition_count()
    }

    pub fn shape(&self) -> Option<ExchangeShape> {
        self.output.as_ref().map(|kind| kind.shape(self.tasks()))
    }
}

/// A plan ready to run, once: operators keep what they built while they ran.
#[derive(Debug)]
pub struct DistributedPlan {
    stages: Vec<Stage>,
    /// What functions and operators read while they run; the same as when the plan was made.
    options: ConfigOptions,
    started: AtomicBool,
    /// Where it runs, once that is known.
    spread: OnceLock<Arc<Spread>>,
    /// What operators did on other nodes.
    measured: Mutex<HashMap<ExchangeId, Vec<Measured>>>,
}

impl DistributedPlan {
    /// Cuts a tree at its [`ExchangeExec`]s. The tree yields one partition.
    pub fn cut(root: Arc<dyn ExecutionPlan>, options: ConfigOptions) -> Result<DistributedPlan> {
        if root.output_partitioning().partition_count() > 1 {
            return internal_err!("the last stage of a plan must yield one partition");
        }
        let mut stages = vec![None];
        // What is expected of operators is known by where they lie, so the whole plan lives until it is cut.
        let plan = cut(root.clone(), &StatisticsContext::new(), &mut stages)?;
        stages[0] = Some(Stage { id: ExchangeId(0), plan, output: None, place: Place::Aggregator });
        let stages = stages.into_iter().flatten().collect();
        Ok(DistributedPlan {
            stages,
            options,
            started: AtomicBool::new(false),
            spread: OnceLock::new(),
            measured: Mutex::default(),
        })
    }

    /// Decides where each task runs, which EXPLAIN then shows.
    pub fn locate(&self, locations: &Locations) -> Result<&Arc<Spread>> {
        if let Some(known) = self.spread.get() {
            return Ok(known);
        }
        let spread = Arc::new(Spread::new(&self.stages, locations)?);
        Ok(self.spread.get_or_init(|| spread))
    }

    /// Whether the node that was asked runs it alone, as far as that has been decided.
    pub fn is_local(&self) -> bool {
        self.spread.get().is_none_or(|spread| spread.is_local())
    }

    pub(crate) fn spread(&self) -> Option<&Arc<Spread>> {
        self.spread.get()
    }

    pub(crate) fn add_measured(&self, stages: Vec<(ExchangeId, Measured)>) {
        let mut all = self.measured.lock();
        for (stage, measured) in stages {
            all.entry(stage).or_default().push(measured);
        }
    }

    /// What the operators of a stage did on other nodes.
    pub(crate) fn measured(&self, stage: ExchangeId) -> Vec<Measured> {
        self.measured.lock().get(&stage).cloned().unwrap_or_default()
    }

    /// The stages; a stage's number is its place in this list.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The stage that yields the result.
    pub fn root(&self) -> &Stage {
        // Invariant: `cut` makes stage 0.
        &self.stages[0]
    }

    pub(crate) fn options(&self) -> &ConfigOptions {
        &self.options
    }

    /// The partitions that its scans read, each once.
    pub fn scanned_partitions(&self) -> Vec<PartitionId> {
        let mut partitions = BTreeSet::new();
        for stage in &self.stages {
            // Invariant: the closure never fails.
            let _ = stage.plan.apply(|node| {
                if let Some(scan) = node.downcast_ref::<ScanExec>() {
                    partitions.extend(scan.partitions().iter().copied());
                }
                Ok(TreeNodeRecursion::Continue)
            });
        }
        partitions.into_iter().collect()
    }

    /// The schema of the result.
    pub fn schema(&self) -> SchemaRef {
        self.root().plan.schema()
    }

    /// Marks the plan as run; an error the second time.
    pub(crate) fn claim(&self) -> Result<()> {
        if self.started.swap(true, Ordering::Relaxed) {
            return internal_err!("a distributed plan runs once; make a new one from the prepared plan");
        }
        Ok(())
    }
}

fn cut(
    plan: Arc<dyn ExecutionPlan>,
    expected: &StatisticsContext,
    stages: &mut Vec<Option<Stage>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_down(|node| {
        let Some(exchange) = node.downcast_ref::<ExchangeExec>() else {
            return Ok(Transformed::no(node));
        };
        let id = ExchangeId(stages.len() as u32);
        stages.push(None);
        let statistics = expected.compute(node.as_ref(), &StatisticsArgs::new())?;
        let filters = dynamic_filters(exchange.input())?;
        let input = cut(exchange.input().clone(), expected, stages)?;
        let place = place(&input)?;
        let receive =
            ReceiveExec::new(id, exchange.kind().clone(), exchange.properties().clone(), statistics, filters);
        stages[id.0 as usize] = Some(Stage { id, plan: input, output: Some(exchange.kind().clone()), place });
        Ok(Transformed::yes(Arc::new(receive) as _))
    })
    .data()
}

/// The dynamic filters that nodes of this tree apply.
fn dynamic_filters(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
    let mut found: Vec<Arc<dyn PhysicalExpr>> = Vec::new();
    plan.apply(|node| {
        node.apply_expressions(&mut |root| {
            root.apply(|expr| {
                if expr.is::<DynamicFilterPhysicalExpr>() {
                    found.push(expr.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

/// A stage with scans runs where their partitions lie; one that only receives shuffled rows, where
/// their ranges lie; one with a single task and no scan, or that cannot run in part, on the
/// aggregator.
pub(crate) fn place(plan: &Arc<dyn ExecutionPlan>) -> Result<Place> {
    let tasks = plan.output_partitioning().partition_count();
    let mut scanned: Vec<Vec<PartitionId>> = Vec::new();
    plan.apply(|node| {
        if let Some(scan) = node.downcast_ref::<ScanExec>() {
            scanned.push(scan.partitions().to_vec());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    if let Some(list) = scanned.iter().find(|list| list.len() == tasks) {
        return Ok(Place::Partitions(list.clone()));
    }
    Ok(match scanned.iter().find(|list| list.len() == 1) {
        // Tables of one partition, side by side in a union.
        Some(list) => Place::Partitions(vec![list[0]; tasks]),
        None if tasks == 1 || !sliceable(plan) => Place::Aggregator,
        None => Place::Ranges(tasks),
    })
}
