//! The keys of a join's build side, for the scans of its probe side.
//!
//! A join tells its probe side which keys there are: a few as a list, which the storage searches, many
//! as its hash table, which only whole batches can be tested against, after they were unpacked. Where
//! the key is an integer, [`BuildKeysExec`] below the join gathers the keys that pass as a [`KeySet`],
//! and the scan takes that in place of the hash table (see [`crate::scan`]). Of several keys each
//! integer has a set of its own: not all that the hash table knows, but tested where the rows lie.
//!
//! A partition's keys are there when its rows have all been handed out, so before the join fills its
//! filter. A scan whose rows go to any partition of the join takes the keys of all of them together.
//! Keys that are too many, too far apart, or for which there is no memory are not kept: then the hash
//! table serves.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema, UInt8Type,
    UInt16Type, UInt32Type,
};
use columnstore::KeySet;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, replace_children_if_necessary};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::stream::{self, StreamExt};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::one_child::one_child;
use crate::query::QueryState;
use crate::scan::ScanExec;

/// The keys of a build side, for each of its partitions.
#[derive(Debug)]
pub(crate) struct BuildKeys {
    /// Whether the join's partition `i` joins the build side's partition `i`; else all join the first.
    partitioned: bool,
    partitions: Vec<OnceLock<Sets>>,
    /// What the partitions have together, once each of them is there.
    together: OnceLock<Sets>,
}

/// One for each key of the join, in its order.
pub(crate) type Sets = Vec<Option<Kept>>;

#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) keys: Arc<KeySet>,
    /// For as long as the keys live.
    _memory: MemoryReservation,
}

impl Kept {
    /// None if there is no memory for them.
    pub(crate) fn new(keys: KeySet, memory: &MemoryReservation) -> Option<Kept> {
        let memory = memory.new_empty();
        memory.try_grow(keys.bytes()).ok()?;
        Some(Kept { keys: Arc::new(keys), _memory: memory })
    }
}

impl BuildKeys {
    fn new(partitioned: bool, partitions: usize) -> BuildKeys {
        BuildKeys {
            partitioned,
            partitions: (0..partitions).map(|_| OnceLock::new()).collect(),
            together: OnceLock::new(),
        }
    }

    /// What all partitions have together, for each key of the join, once it is known.
    fn all(&self) -> Option<&[Option<Kept>]> {
        let all = if self.partitions.len() > 1 { &self.together } else { self.partitions.first()? };
        all.get().map(Vec::as_slice)
    }

    /// What the probe side's partition looks for, for each key of the join. `aligned`: whether it is the
    /// join's own partition. Nothing before it is known.
    pub(crate) fn of(&self, partition: usize, aligned: bool) -> &[Option<Kept>] {
        let sets = match self.partitioned {
            true if aligned => self.partitions.get(partition),
            true if self.partitions.len() > 1 => Some(&self.together),
            _ => self.partitions.first(),
        };
        sets.and_then(OnceLock::get).map_or(&[], Vec::as_slice)
    }

    /// Takes what the partition gave. The last one to come makes what all have together.
    fn put(&self, partition: usize, sets: Sets, memory: &MemoryReservation) {
        let Some(place) = self.partitions.get(partition) else { return };
        // A partition is read once; were it read again, its keys would be the same.
        let _ = place.set(sets);
        if !self.partitioned || self.partitions.len() < 2 {
            return;
        }
        let Some(all) = self.partitions.iter().map(OnceLock::get).collect::<Option<Vec<_>>>() else { return };
        let all: Vec<&[Option<Kept>]> = all.into_iter().map(Vec::as_slice).collect();
        let _ = self.together.set(together(&all, memory));
    }
}

/// For each key of a join what several have of it; None where one of them has nothing, or where it is not worth
/// its memory.
pub(crate) fn together(all: &[&[Option<Kept>]], memory: &MemoryReservation) -> Sets {
    let keys = all.iter().map(|sets| sets.len()).min().unwrap_or(0);
    let union = |at: usize| {
        let sets = all.iter().map(|sets| Some(&*sets[at].as_ref()?.keys));
        let sets = sets.collect::<Option<Vec<_>>>()?;
        let memory = memory.new_empty();
        memory.try_grow(KeySet::bytes_for_union(&sets)?).ok()?;
        Some(Kept { keys: Arc::new(KeySet::union(&sets)?), _memory: memory })
    };
    (0..keys).map(union).collect()
}

/// By the id of the join's filter.
pub(crate) type KeysOfFilters = HashMap<u64, Arc<BuildKeys>>;

/// Hands its input through and keeps the keys. See the module.
#[derive(Debug)]
pub struct BuildKeysExec {
    input: Arc<dyn ExecutionPlan>,
    /// The column of each key of the join that is an integer.
    columns: Vec<Option<usize>>,
    keys: Arc<BuildKeys>,
    /// The number that scans of other stages know the keys by (see [`crate::shared_keys`]).
    shared_as: Option<u32>,
}

impl BuildKeysExec {
    /// Gathers keys for scans of other stages.
    pub(crate) fn shared(
        input: Arc<dyn ExecutionPlan>,
        columns: Vec<Option<usize>>,
        number: u32,
    ) -> BuildKeysExec {
        let keys = Arc::new(BuildKeys::new(true, input.output_partitioning().partition_count()));
        BuildKeysExec { input, columns, keys, shared_as: Some(number) }
    }

    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    pub(crate) fn columns(&self) -> &[Option<usize>] {
        &self.columns
    }

    pub(crate) fn shared_as(&self) -> Option<u32> {
        self.shared_as
    }
}

/// Puts a [`BuildKeysExec`] below each join that gives scans a filter on integer keys.
pub(crate) fn gather(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let mut known = KeysOfFilters::new();
    let plan = plan
        .transform_up(|node| {
            let Some(join) = node.downcast_ref::<HashJoinExec>() else { return Ok(Transformed::no(node)) };
            let Some((columns, id)) = wanted(join)? else { return Ok(Transformed::no(node)) };
            let (input, shared_as) = match join.left().downcast_ref::<BuildKeysExec>() {
                Some(shared) => (shared.input.clone(), shared.shared_as),
                None => (join.left().clone(), None),
            };
            let partitions = input.output_partitioning().partition_count();
            let partitioned = *join.partition_mode() == PartitionMode::Partitioned;
            let keys = Arc::new(BuildKeys::new(partitioned, partitions));
            known.insert(id, keys.clone());
            let children =
                vec![Arc::new(BuildKeysExec { input, columns, keys, shared_as }) as _, join.right().clone()];
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

/// The integer keys' columns and the filter's id, if a scan would look for the keys of this join.
fn wanted(join: &HashJoinExec) -> Result<Option<(Vec<Option<usize>>, u64)>> {
    let filters = join.dynamic_expressions_produced();
    let Some(id) = filters.first().and_then(|filter| filter.expression_id()) else { return Ok(None) };
    let columns = integer_keys(join);
    if columns.iter().all(Option::is_none) {
        return Ok(None);
    }
    let mut found = false;
    join.right().apply(|node| {
        found |= node.downcast_ref::<ScanExec>().is_some_and(|scan| filters_of(scan).contains(&id));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found.then_some((columns, id)))
}

pub(crate) fn filters_of(scan: &ScanExec) -> HashSet<u64> {
    scan.runtime_filters().iter().filter_map(|filter| filter.expression_id()).collect()
}

/// The build side's column of each key of the join that is an integer.
pub(crate) fn integer_keys(join: &HashJoinExec) -> Vec<Option<usize>> {
    let schema = join.left().schema();
    let column = |key: &Arc<dyn PhysicalExpr>| {
        let column = key.downcast_ref::<Column>()?.index();
        is_integer(&schema, column).then_some(column)
    };
    join.on().iter().map(|(key, _)| column(key)).collect()
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

/// The keys of one partition so far.
struct Gathering {
    input: SendableRecordBatchStream,
    /// None for a key that is no integer, or once they are given up.
    found: Vec<Option<Found>>,
}

struct Found {
    column: usize,
    keys: Vec<i64>,
    memory: MemoryReservation,
}

impl Gathering {
    fn see(&mut self, batch: &RecordBatch) -> Result<()> {
        for place in &mut self.found {
            if let Some(found) = place {
                if found.memory.try_grow(batch.num_rows() * size_of::<i64>()).is_ok() {
                    push_keys(batch.column(found.column), &mut found.keys)?;
                } else {
                    *place = None;
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Sets {
        let alone = self.found.len() == 1;
        let finish = |found: Found| {
            let kept = found.finish()?;
            // Beside another key, one that nearly every row has is only more work.
            (alone || kept.keys.is_sparse()).then_some(kept)
        };
        self.found.drain(..).map(|found| found.and_then(finish)).collect()
    }
}

impl Found {
    fn finish(self) -> Option<Kept> {
        let Found { keys: found, memory, .. } = self;
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
        let schema = self.input.schema();
        let names: Vec<_> =
            self.columns.iter().flatten().map(|at| schema.field(*at).name().as_str()).collect();
        write!(f, "BuildKeysExec: {}", names.join(", "))
    }
}

impl ExecutionPlan for BuildKeysExec {
    one_child!(BuildKeysExec, |exec| &exec.input, keeps_order: true, |exec, input| {
        Ok(Arc::new(BuildKeysExec {
            input,
            columns: exec.columns.clone(),
            keys: exec.keys.clone(),
            shared_as: exec.shared_as,
        }))
    });

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
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

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let memory = MemoryConsumer::new(format!("BuildKeys[{partition}]")).register(context.memory_pool());
        let found = |column: &Option<usize>| {
            Some(Found { column: (*column)?, keys: Vec::new(), memory: memory.new_empty() })
        };
        let found = self.columns.iter().map(found).collect();
        let shared = match self.shared_as {
            Some(number) => Some((number, QueryState::of(&context)?)),
            None => None,
        };
        let gathering = Gathering { input: self.input.execute(partition, context)?, found };
        let state = (gathering, self.keys.clone(), memory, shared);
        let rows = stream::try_unfold(state, move |(mut gathering, keys, memory, shared)| async move {
            match gathering.input.next().await.transpose()? {
                Some(batch) => {
                    gathering.see(&batch)?;
                    Ok(Some((batch, (gathering, keys, memory, shared))))
                }
                None => {
                    keys.put(partition, gathering.finish(), &memory);
                    if let (Some((number, query)), Some(all)) = (shared, keys.all()) {
                        query.share_keys(number, all);
                    }
                    Ok(None)
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
