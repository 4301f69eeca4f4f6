//! Tables in memory, placed by the shard hash, behind the traits of a scan. For tests.

mod segments;

pub use segments::SegmentTables;

use crate::codec;
use crate::exchange::ExchangeKind;
use crate::executor::{Executor, ExecutorOptions, task_context};
use crate::node::{Read, StageNode};
use crate::plan::DistributedPlan;
use crate::runtime_filters::{connect, fresh};
use crate::scan::{ColumnEstimate, ShardedTable, Snapshots, TableEstimate, TableMorsel, TableSnapshot};
use crate::slice::slice;
use crate::spread::Locations;
use crate::stages::{StageNodes, StageTables};
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use async_trait::async_trait;
use columnstore::{Compare, Predicate, ReadView, ScanSpec, StoreError};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, displayable};
use env::MemoryBudget;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use types::{
    ColumnDef, ColumnDefault, ColumnId, DatabaseId, NodeId, PartitionId, SqlError, SqlType, StatementNo,
    TableDef, TableId, Timestamp, Value, shard,
};

/// A definition with `columns` (name, type, nullable) and a shard key.
pub fn table_def(id: u32, name: &str, columns: &[(&str, SqlType, bool)], shard_key: &[&str]) -> TableDef {
    let columns: Vec<ColumnDef> = columns
        .iter()
        .enumerate()
        .map(|(i, (name, ty, nullable))| ColumnDef {
            id: ColumnId(i as u32 + 1),
            name: name.to_string(),
            ty: *ty,
            nullable: *nullable,
            default: ColumnDefault::None,
            auto_increment: false,
            initial: None,
            collation: types::Collation::default(),
            on_update_now: false,
            comment: String::new(),
        })
        .collect();
    let key = shard_key
        .iter()
        .map(|name| columns.iter().find(|c| c.name == *name).expect("a column of the shard key").id)
        .collect();
    TableDef {
        id: TableId(id),
        database: DatabaseId(1),
        name: name.to_string(),
        version: 1,
        next_column_id: ColumnId(columns.len() as u32 + 1),
        columns,
        shard_key: key,
        sort_key: Vec::new(),
        primary_key: Vec::new(),
        keys: Vec::new(),
        collation: types::Collation::default(),
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        comment: String::new(),
        replacement: None,
        reference: false,
    }
}

/// Tables over a number of partitions.
#[derive(Default)]
pub struct TestTables {
    partitions: usize,
    /// Rows of a morsel.
    morsel_rows: usize,
    tables: HashMap<TableId, (Arc<TableDef>, Vec<RecordBatch>)>,
    /// A scan of this table fails after its first morsel.
    pub fails: Option<TableId>,
}

impl TestTables {
    pub fn new(partitions: usize, morsel_rows: usize) -> TestTables {
        TestTables { partitions, morsel_rows, ..TestTables::default() }
    }

    /// Adds a table: rows are placed by the shard hash, or in turn without a shard key, or all in the first
    /// partition if it is a reference table.
    pub fn add(&mut self, def: &Arc<TableDef>, rows: &RecordBatch) {
        let key: Vec<ArrayRef> = def
            .shard_key
            .iter()
            .map(|id| rows.column(def.position(*id).expect("a shard key column")).clone())
            .collect();
        let n = self.partitions as u32;
        let mut places: Vec<Vec<u32>> = vec![Vec::new(); self.partitions];
        if def.reference {
            places[0] = (0..rows.num_rows() as u32).collect();
        } else if key.is_empty() {
            (0..rows.num_rows() as u32).for_each(|row| places[(row % n) as usize].push(row));
        } else {
            let hashes = shard::hash_columns(&key, rows.num_rows()).expect("hashable");
            for (row, hash) in hashes.into_iter().enumerate() {
                places[shard::ordinal(hash, n) as usize].push(row as u32);
            }
        }
        let parts = places
            .into_iter()
            .map(|rows_of| take_record_batch(rows, &UInt32Array::from(rows_of)).expect("rows"))
            .collect();
        self.tables.insert(def.id, (def.clone(), parts));
    }

    pub fn partition_ids(&self) -> Vec<PartitionId> {
        (0..self.partitions as u32).map(|i| PartitionId(i + 100)).collect()
    }

    /// The table as a provider, with true statistics.
    pub fn provider(&self, table: TableId) -> ShardedTable {
        let (def, parts) = &self.tables[&table];
        let mut estimate = TableEstimate::default();
        for part in parts {
            estimate.add(&estimate_batch(def, part), &def.shard_key);
        }
        let mut partitions = self.partition_ids();
        if def.reference {
            partitions.truncate(1);
        }
        ShardedTable::new(def.clone(), partitions, estimate)
    }
}

fn estimate_batch(def: &TableDef, batch: &RecordBatch) -> TableEstimate {
    let columns = def
        .columns
        .iter()
        .zip(batch.columns())
        .map(|(column, array)| {
            let values: Vec<Value> = (0..array.len()).map(|row| value(array, row, column.ty)).collect();
            let present: Vec<&Value> = values.iter().filter(|v| !v.is_null()).collect();
            let by = |a: &&&Value, b: &&&Value| compare(a, b).unwrap_or(Ordering::Equal);
            let estimate = ColumnEstimate {
                min: present.iter().min_by(by).map(|v| (**v).clone()),
                max: present.iter().max_by(by).map(|v| (**v).clone()),
                nulls: (values.len() - present.len()) as u64,
                distinct: present.iter().map(|v| format!("{v:?}")).collect::<HashSet<_>>().len() as u64,
                bytes: 0,
            };
            (column.id, estimate)
        })
        .collect();
    TableEstimate { rows: batch.num_rows() as u64, columns }
}

impl Snapshots for TestTables {
    fn snapshot(&self, partition: PartitionId, table: TableId) -> Result<Arc<dyn TableSnapshot>, SqlError> {
        let (def, parts) = self.tables.get(&table).ok_or_else(|| SqlError::internal("no such table"))?;
        Ok(Arc::new(TestSnapshot {
            def: def.clone(),
            rows: parts[partition.0 as usize - 100].clone(),
            morsel_rows: self.morsel_rows,
            fails: self.fails == Some(table),
        }))
    }
}

/// A leaf that has all of these tables, and gives out the partitions that it was asked for.
pub struct TestLeaf(pub Arc<TestTables>);

#[async_trait]
impl StageTables for TestLeaf {
    async fn snapshots(
        &self,
        _: u64,
        _: ReadView,
        partitions: &[PartitionId],
        _: &[(PartitionId, StatementNo)],
    ) -> Result<Arc<dyn Snapshots>, SqlError> {
        Ok(Arc::new(TestPart { tables: self.0.clone(), partitions: partitions.to_vec() }))
    }
}

struct TestPart {
    tables: Arc<TestTables>,
    partitions: Vec<PartitionId>,
}

impl Snapshots for TestPart {
    fn snapshot(&self, partition: PartitionId, table: TableId) -> Result<Arc<dyn TableSnapshot>, SqlError> {
        if !self.partitions.contains(&partition) {
            return Err(SqlError::internal(format!("partition {partition} was not announced")));
        }
        self.tables.snapshot(partition, table)
    }
}

/// The tables of a node that must not be asked for any.
pub struct NoSnapshots;

impl Snapshots for NoSnapshots {
    fn snapshot(&self, partition: PartitionId, _: TableId) -> Result<Arc<dyn TableSnapshot>, SqlError> {
        Err(SqlError::internal(format!("partition {partition} was read on the wrong node")))
    }
}

/// One of several nodes in a process, with threads, memory and a folder of its own.
pub struct TestNode {
    pub node: Arc<StageNode>,
    pub memory: Arc<MemoryBudget>,
    pub folder: PathBuf,
}

impl TestNode {
    /// `tables`: of a leaf.
    pub fn new(
        id: NodeId,
        nodes: Arc<dyn StageNodes>,
        tables: Option<Arc<TestTables>>,
        folder: &Path,
        tune: impl Fn(&mut ExecutorOptions),
    ) -> TestNode {
        let memory = MemoryBudget::new(1 << 30);
        let folder = folder.join(id.to_string());
        let mut options = ExecutorOptions::new(memory.clone(), folder.clone());
        options.threads = 2;
        tune(&mut options);
        let memory = options.memory.clone();
        let executor = Arc::new(Executor::new(options).expect("an executor"));
        let tables = tables.map(|tables| Arc::new(TestLeaf(tables)) as Arc<dyn StageTables>);
        TestNode { node: StageNode::new(id, executor, nodes, tables), memory, folder }
    }

    /// Whether nothing of any query is left: no part, no memory, no file. Takes back what went wrong.
    pub fn idle(&self) -> Result<(), String> {
        let files = std::fs::read_dir(&self.folder)
            .map(|entries| {
                let entries = entries.flatten().map(|entry| entry.path());
                let inside = |path: &PathBuf| std::fs::read_dir(path).map_or(1, |files| files.count());
                entries.map(|path| inside(&path)).sum::<usize>()
            })
            .unwrap_or(0);
        let (parts, bytes) = (self.node.queries(), self.memory.used() - self.node.kept_stages());
        let state = format!("{}: {parts} queries, {bytes} bytes, {files} files", self.node.id());
        if parts == 0 && bytes == 0 && files == 0 { Ok(()) } else { Err(state) }
    }
}

/// A read of everything.
pub fn test_read() -> Read {
    let view = ReadView { ts: Timestamp::MAX, txn: None };
    Read { catalog: 1, view, written: Vec::new(), deadline: None, measure: false }
}

/// Partition `i` lies on leaf `i % leaves.len()`.
pub fn test_locations(here: NodeId, tables: &TestTables, leaves: &[NodeId]) -> Locations {
    let places = tables.partition_ids().into_iter().enumerate();
    let partitions = places.map(|(i, partition)| (partition, leaves[i % leaves.len()])).collect();
    Locations { here, partitions: Arc::new(partitions) }
}

/// Writes each stage of the plan as for another node and reads it again: the stages as they were, and as
/// they came back, with the runtime filters that tie their operators.
pub fn round_trip(plan: &DistributedPlan) -> datafusion::common::Result<Vec<(String, String)>> {
    let context = task_context(plan.options().clone(), None, Arc::default());
    let text = |plan: &Arc<dyn ExecutionPlan>, output: &ExchangeKind| {
        format!("{}{output}", displayable(plan.as_ref()).indent(false))
    };
    // The subqueries have yielded NULL.
    for stage in plan.stages() {
        stage.plan.apply(|node| {
            if let Some(subqueries) = node.downcast_ref::<ScalarSubqueryExec>() {
                for link in subqueries.subqueries() {
                    let null = ScalarValue::try_from(link.plan.schema().field(0).data_type())?;
                    subqueries.results().set(link.index, null)?;
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    let mut stages = Vec::new();
    // A stage that computes subqueries forgets what they yielded when it is made fresh, so it is last.
    for stage in plan.stages().iter().rev() {
        let output = stage.output.clone().unwrap_or(ExchangeKind::Gather);
        let sent = codec::plain(&stage.plan)?;
        let decoded = codec::decode(&codec::encode(&sent.data, &output, sent.transformed)?, &context)?;
        let copy = decoded.copy()?;
        let (back, back_output) = decoded.into_ready(plan.options())?;
        let (copy, copy_output) = copy.into_ready(plan.options())?;
        if text(&copy, &copy_output) != text(&back, &back_output) {
            return datafusion::common::internal_err!("a stage runs again as\n{}", text(&copy, &copy_output));
        }
        let before = connect(whole(&sent.data)?, plan.options())?;
        let before = crate::interruptible(crate::fuse_aggregates(before)?)?;
        let before = text(&before, &output).replace("scalar_subquery(NULL)", "NULL");
        stages.push((before, text(&back, &back_output)));
    }
    Ok(stages)
}

/// The stage as one node would run all of it, which knows nothing of other stages' filters.
fn whole(plan: &Arc<dyn ExecutionPlan>) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
    let tasks: Vec<usize> = (0..plan.output_partitioning().partition_count()).collect();
    fresh(slice(plan, &tasks, 0)?)
}

struct TestSnapshot {
    def: Arc<TableDef>,
    rows: RecordBatch,
    morsel_rows: usize,
    fails: bool,
}

impl TableSnapshot for TestSnapshot {
    fn morsels(self: Arc<Self>, _: &[Predicate]) -> Vec<Box<dyn TableMorsel>> {
        (0..self.rows.num_rows())
            .step_by(self.morsel_rows)
            .map(|from| {
                let morsel = TestMorsel { snapshot: self.clone(), from };
                Box::new(morsel) as Box<dyn TableMorsel>
            })
            .collect()
    }
}

struct TestMorsel {
    snapshot: Arc<TestSnapshot>,
    from: usize,
}

impl TableMorsel for TestMorsel {
    fn scan(
        &self,
        spec: &ScanSpec,
        emit: &mut dyn FnMut(RecordBatch) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let TestSnapshot { def, rows, morsel_rows, fails } = self.snapshot.as_ref();
        if *fails && self.from > 0 {
            return Err(StoreError::internal("the disk is on fire"));
        }
        let rows = rows.slice(self.from, (*morsel_rows).min(rows.num_rows() - self.from));
        let passes: BooleanArray =
            (0..rows.num_rows()).map(|row| Some(all_true(&spec.predicates, def, &rows, row))).collect();
        let mut columns: Vec<ArrayRef> = spec
            .columns
            .iter()
            .map(|id| rows.column(def.position(*id).expect("a column of the table")).clone())
            .collect();
        if spec.row_refs {
            let from = self.from as u64;
            columns.push(Arc::new(UInt64Array::from_iter_values(from..from + rows.num_rows() as u64)));
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let batch = RecordBatch::try_new_with_options(spec.schema(def)?, columns, &options)?;
        let batch = filter_record_batch(&batch, &passes)?;
        for from in (0..batch.num_rows()).step_by(8192) {
            if !emit(batch.slice(from, 8192.min(batch.num_rows() - from)))? {
                break;
            }
        }
        Ok(())
    }
}

fn value(array: &ArrayRef, row: usize, ty: SqlType) -> Value {
    use ScalarValue as S;
    let scalar = ScalarValue::try_from_array(array, row).expect("a value");
    if scalar.is_null() {
        return Value::Null;
    }
    match (&scalar, ty) {
        (S::Decimal128(Some(unscaled), _, scale), _) => {
            Value::Decimal { unscaled: *unscaled, scale: *scale as u8 }
        }
        (S::Float32(Some(v)), _) => Value::Float(*v),
        (S::Float64(Some(v)), _) => Value::Double(*v),
        (S::Date32(Some(v)), _) => Value::Date(*v),
        (S::DurationMicrosecond(Some(v)), _) => Value::Time(*v),
        (S::TimestampMicrosecond(Some(v), None), _) => Value::DateTime(*v),
        (S::TimestampMicrosecond(Some(v), Some(_)), _) => Value::Timestamp(*v),
        (S::Utf8View(Some(v)), _) => Value::Text(v.clone()),
        (S::BinaryView(Some(v)), _) => Value::Bytes(v.clone()),
        (_, ty) if ty.is_unsigned() => match scalar.cast_to(&arrow::datatypes::DataType::UInt64) {
            Ok(S::UInt64(Some(v))) => Value::UInt(v),
            other => panic!("{other:?}"),
        },
        _ => match scalar.cast_to(&arrow::datatypes::DataType::Int64) {
            Ok(S::Int64(Some(v))) => Value::Int(v),
            other => panic!("{other:?}"),
        },
    }
}

/// SQL's comparison; `None` if one is NULL.
fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Null, _) | (_, Value::Null) => None,
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
        (Value::Decimal { unscaled: a, scale: x }, Value::Decimal { unscaled: b, scale: y }) => {
            assert_eq!(x, y, "a predicate's value has the column's scale");
            Some(a.cmp(b))
        }
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::UInt(a), Value::UInt(b)) => Some(a.cmp(b)),
        (a, b) => {
            assert_eq!(
                std::mem::discriminant(a),
                std::mem::discriminant(b),
                "a predicate's value has the column's type"
            );
            let number = |v: &Value| crate::scan::estimate::as_number(v).expect("a number");
            number(a).partial_cmp(&number(b))
        }
    }
}

fn all_true(predicates: &[Predicate], def: &TableDef, rows: &RecordBatch, row: usize) -> bool {
    let get = |id: &ColumnId| {
        let at = def.position(*id).expect("a column of the table");
        value(rows.column(at), row, def.columns[at].ty)
    };
    let holds = |op: &Compare, a: &Value, b: &Value| compare(a, b).is_some_and(|ordering| op.holds(ordering));
    predicates.iter().all(|predicate| match predicate {
        Predicate::Compare { column, op, value } => holds(op, &get(column), value),
        Predicate::In { column, values } => {
            let found = get(column);
            values.iter().any(|value| holds(&Compare::Eq, &found, value))
        }
        Predicate::Keys { column, keys } => match get(column) {
            Value::Int(value) => keys.contains(value),
            Value::UInt(value) => i64::try_from(value).is_ok_and(|value| keys.contains(value)),
            Value::Date(day) => keys.contains(day.into()),
            _ => false,
        },
        Predicate::IsNull(column) => get(column).is_null(),
        Predicate::IsNotNull(column) => !get(column).is_null(),
        Predicate::Columns { left, op, right } => holds(op, &get(left), &get(right)),
        Predicate::Bytes { column, test, .. } => match get(column) {
            Value::Text(text) => test.passes(text.as_bytes()),
            Value::Bytes(bytes) => test.passes(&bytes),
            _ => false,
        },
        Predicate::Or(branches) => branches.iter().any(|branch| all_true(branch, def, rows, row)),
    })
}
