//! The keys of a join's build side, for the scans of its probe side.
//!
//! A join tells its probe side which keys there are: a few as a list, which the storage searches, many
//! as its hash table, which only whole batches can be tested against, after they were unpacked. Where
//! the key is an integer, [`BuildKeysExec`] below the join gathers the keys that pass as a [`KeySet`],
//! and the scan takes that in place of the hash table (see [`crate::scan`]).
//!
//! A partition's keys are there when its rows have all been handed out, so before the join fills its
//! filter. Keys that are too many, too far apart, or for which there is no memory are not kept: then
//! the hash table serves.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema, UInt8Type,
    UInt16Type, UInt32Type,
};
use columnstore::KeySet;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, replace_children_if_necessary};
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::stream::{self, StreamExt};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::scan::ScanExec;

/// The keys of a build side, one set for each of its partitions.
#[derive(Debug)]
pub(crate) struct BuildKeys {
    /// Whether the join's partition `i` joins the build side's partition `i`; else all join the first.
    partitioned: bool,
    partitions: Vec<OnceLock<Kept>>,
}

#[derive(Debug)]
struct Kept {
    keys: Arc<KeySet>,
    /// For as long as the keys live.
    _memory: MemoryReservation,
}

impl BuildKeys {
    /// What the probe side's partition looks for. `aligned`: whether it is the join's own partition.
    pub(crate) fn of(&self, partition: usize, aligned: bool) -> Option<&Arc<KeySet>> {
        let at = match self.partitioned {
            true if !aligned => return None,
            true => partition,
            false => 0,
        };
        Some(&self.partitions.get(at)?.get()?.keys)
    }
}

/// By the id of the join's filter.
pub(crate) type KeysOfFilters = HashMap<u64, Arc<BuildKeys>>;

/// Hands its input through and keeps the keys. See the module.
#[derive(Debug)]
pub struct BuildKeysExec {
    input: Arc<dyn ExecutionPlan>,
    /// The key's column.
    key: usize,
    keys: Arc<BuildKeys>,
}

impl BuildKeysExec {
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }
}

/// Puts a [`BuildKeysExec`] below each join that gives scans a filter on one integer key.
pub(crate) fn gather(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let mut known = KeysOfFilters::new();
    let plan = plan
        .transform_up(|node| {
            let Some(join) = node.downcast_ref::<HashJoinExec>() else { return Ok(Transformed::no(node)) };
            let Some((key, id)) = wanted(join)? else { return Ok(Transformed::no(node)) };
            let input = join.left().clone();
            let partitions = input.output_partitioning().partition_count();
            let keys = Arc::new(BuildKeys {
                partitioned: *join.partition_mode() == PartitionMode::Partitioned,
                partitions: (0..partitions).map(|_| OnceLock::new()).collect(),
            });
            known.insert(id, keys.clone());
            let children = vec![Arc::new(BuildKeysExec { input, key, keys }) as _, join.right().clone()];
            Ok(Transformed::yes(replace_children_if_necessary(node, children)?))
        })
        .data()?;
    if known.is_empty() {
        return Ok(plan);
    }
    plan.transform_up(|node| {
        let Some(scan) = node.downcast_ref::<ScanExec>() else { return Ok(Transformed::no(node)) };
        let ids = filters_of(scan);
        let keys: KeysOfFilters =
            known.iter().filter(|(id, _)| ids.contains(id)).map(|(id, keys)| (*id, keys.clone())).collect();
        Ok(match keys.is_empty() {
            true => Transformed::no(node),
            false => Transformed::yes(Arc::new(scan.with_keys(keys))),
        })
    })
    .data()
}

/// The key's column and the filter's id, if a scan would look for the keys of this join.
fn wanted(join: &HashJoinExec) -> Result<Option<(usize, u64)>> {
    let filters = join.dynamic_expressions_produced();
    let Some(id) = filters.first().and_then(|filter| filter.expression_id()) else { return Ok(None) };
    let [(key, _)] = join.on() else { return Ok(None) };
    let Some(key) = key.downcast_ref::<Column>() else { return Ok(None) };
    if !is_integer(&join.left().schema(), key.index()) {
        return Ok(None);
    }
    let mut found = false;
    join.right().apply(|node| {
        found |= node.downcast_ref::<ScanExec>().is_some_and(|scan| filters_of(scan).contains(&id));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found.then_some((key.index(), id)))
}

fn filters_of(scan: &ScanExec) -> HashSet<u64> {
    scan.runtime_filters().iter().filter_map(|filter| filter.expression_id()).collect()
}

fn is_integer(schema: &Schema, column: usize) -> bool {
    use DataType as D;
    let ty = schema.field(column).data_type();
    matches!(ty, D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::UInt8 | D::UInt16 | D::UInt32 | D::Date32)
}

/// Appends the values of an integer column that are not NULL.
fn push_keys(array: &dyn Array, keys: &mut Vec<i64>) -> Result<()> {
    fn push<T: ArrowPrimitiveType>(array: &dyn Array, keys: &mut Vec<i64>)
    where
        i64: From<T::Native>,
    {
        let array = array.as_primitive::<T>();
        match array.nulls() {
            None => keys.extend(array.values().iter().map(|value| i64::from(*value))),
            Some(_) => keys.extend(array.iter().flatten().map(i64::from)),
        }
    }
    match array.data_type() {
        DataType::Int8 => push::<Int8Type>(array, keys),
        DataType::Int16 => push::<Int16Type>(array, keys),
        DataType::Int32 => push::<Int32Type>(array, keys),
        DataType::Int64 => push::<Int64Type>(array, keys),
        DataType::UInt8 => push::<UInt8Type>(array, keys),
        DataType::UInt16 => push::<UInt16Type>(array, keys),
        DataType::UInt32 => push::<UInt32Type>(array, keys),
        DataType::Date32 => push::<Date32Type>(array, keys),
        other => return internal_err!("a join's keys of type {other} were to be gathered"),
    }
    Ok(())
}

/// The keys of one partition so far. None once they are given up.
struct Gathering {
    input: SendableRecordBatchStream,
    found: Option<(Vec<i64>, MemoryReservation)>,
}

impl Gathering {
    fn see(&mut self, batch: &RecordBatch, key: usize) -> Result<()> {
        if let Some((keys, memory)) = &mut self.found {
            if memory.try_grow(batch.num_rows() * size_of::<i64>()).is_ok() {
                push_keys(batch.column(key), keys)?;
            } else {
                self.found = None;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Option<Kept> {
        let (found, memory) = self.found.take()?;
        let least = found.iter().min().copied().unwrap_or(0);
        let greatest = found.iter().max().copied().unwrap_or(0);
        let bytes = KeySet::bytes_for(found.len().max(1), least, greatest)?;
        memory.try_grow(bytes).ok()?;
        let keys = KeySet::of(found.iter().copied())?;
        drop(found);
        memory.try_resize(keys.bytes()).ok()?;
        Some(Kept { keys: Arc::new(keys), _memory: memory })
    }
}

impl DisplayAs for BuildKeysExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuildKeysExec: {}", self.input.schema().field(self.key).name())
    }
}

impl ExecutionPlan for BuildKeysExec {
    fn name(&self) -> &'static str {
        "BuildKeysExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => {
                Ok(Arc::new(BuildKeysExec { input, key: self.key, keys: self.keys.clone() }))
            }
            _ => internal_err!("BuildKeysExec has one child"),
        }
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        match inputs {
            [input] => Ok(input.clone()),
            _ => internal_err!("BuildKeysExec has one child"),
        }
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let memory = MemoryConsumer::new(format!("BuildKeys[{partition}]")).register(context.memory_pool());
        let gathering =
            Gathering { input: self.input.execute(partition, context)?, found: Some((Vec::new(), memory)) };
        let (key, keys) = (self.key, self.keys.clone());
        let rows = stream::try_unfold(gathering, move |mut gathering| {
            let keys = keys.clone();
            async move {
                match gathering.input.next().await.transpose()? {
                    Some(batch) => {
                        gathering.see(&batch, key)?;
                        Ok(Some((batch, gathering)))
                    }
                    None => {
                        if let (Some(kept), Some(place)) =
                            (gathering.finish(), keys.partitions.get(partition))
                        {
                            // A partition is read once; were it read again, its keys would be the same.
                            let _ = place.set(kept);
                        }
                        Ok(None)
                    }
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
