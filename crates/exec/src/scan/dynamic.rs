//! Filters that become known while a query runs: bounds and keys of a join's build side, the worst
//! row that a top-k still keeps.
//!
//! A [`RuntimeFilter`] looks at its expressions again before each morsel. Conjuncts that the storage
//! can evaluate (comparisons of a column with a constant, short IN lists) become predicates, which
//! also skip blocks by their zone maps; so does the look-up of an integer in a join's hash table, by the
//! keys that [`crate::build_keys`] gathers; the rest is evaluated on the batches that come out.
//!
//! A join that is partitioned fills its filter with one branch for each partition, under a CASE over
//! DataFusion's own repartitioning hash, which is not the hash that places rows here. So the CASE is
//! never evaluated: a scan whose partition feeds the same partition of the join takes that
//! partition's branch, any other scan takes the keys of all partitions and nothing else.

use super::filter::compare_literal;
use super::node::Output;
use crate::build_keys::{Kept, KeysOfFilters};
use crate::shared_keys::{SharedKeys, WantedKey};
use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use columnstore::{Compare, Predicate};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNullExpr, Literal, lit,
};
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use datafusion::physical_expr_common::physical_expr::snapshot_generation;
use datafusion::physical_plan::joins::{HashExpr, HashTableLookupExpr};
use std::collections::HashSet;
use std::sync::Arc;
use types::{SqlType, TableDef};

/// The longest IN list that becomes a predicate of the storage.
pub const MAX_IN_VALUES: usize = 1024;

/// The runtime filters of one scan in one partition.
pub(crate) struct RuntimeFilter {
    expressions: Vec<Arc<dyn PhysicalExpr>>,
    aligned: Arc<HashSet<u64>>,
    keys: Arc<KeysOfFilters>,
    /// Keys that are gathered by other stages, and what is looked for in them.
    shared: Vec<(Arc<SharedKeys>, WantedKey)>,
    partition: usize,
    generation: u64,
    /// What the storage evaluates.
    predicates: Vec<Predicate>,
    /// What is evaluated on batches.
    rest: Vec<Arc<dyn PhysicalExpr>>,
}

impl RuntimeFilter {
    /// `aligned`: ids of the expressions whose partition `i` is this scan's partition `i`.
    pub(crate) fn new(
        expressions: Vec<Arc<dyn PhysicalExpr>>,
        aligned: Arc<HashSet<u64>>,
        keys: Arc<KeysOfFilters>,
        partition: usize,
    ) -> RuntimeFilter {
        RuntimeFilter {
            expressions,
            aligned,
            keys,
            shared: Vec::new(),
            partition,
            generation: 0,
            predicates: Vec::new(),
            rest: Vec::new(),
        }
    }

    pub(crate) fn with_shared(self, shared: Vec<(Arc<SharedKeys>, WantedKey)>) -> RuntimeFilter {
        RuntimeFilter { shared, ..self }
    }

    /// Returns once the keys that other stages gather are known, or will not be.
    pub(crate) async fn shared_known(&self) {
        for (keys, _) in &self.shared {
            keys.known().await;
        }
    }

    /// Looks at the expressions again. True if the predicates have changed.
    pub(crate) fn refresh(&mut self, def: &TableDef, output: &[Output]) -> Result<bool> {
        let shared = self.shared.iter().filter(|(keys, _)| keys.all().is_some()).count() as u64;
        let generation =
            self.expressions.iter().fold(shared, |sum, expr| sum.wrapping_add(snapshot_generation(expr)));
        if generation == self.generation {
            return Ok(false);
        }
        self.generation = generation;
        self.predicates.clear();
        self.rest.clear();
        for (keys, wanted) in &self.shared {
            let kept = keys.all().and_then(|keys| keys.get(wanted.key)?.as_ref());
            self.predicates.extend(kept.and_then(|kept| in_keys_of(wanted.column, kept, def, output)));
        }
        for expr in &self.expressions {
            let id = expr.expression_id();
            let aligned = id.is_some_and(|id| self.aligned.contains(&id));
            let keys =
                id.and_then(|id| self.keys.get(&id)).map_or(&[][..], |keys| keys.of(self.partition, aligned));
            let current = match expr.downcast_ref::<DynamicFilterPhysicalExpr>() {
                Some(dynamic) => dynamic.current()?,
                None => expr.clone(),
            };
            let own = own_branch(current.clone(), aligned.then_some(self.partition))?;
            for conjunct in split_conjunction(&own) {
                if is_true(conjunct) {
                    continue;
                }
                match looked_up(conjunct, keys, def, output).or_else(|| to_predicate(conjunct, def, output)) {
                    Some(predicate) => self.predicates.push(predicate),
                    None => self.rest.push(conjunct.clone()),
                }
            }
            // No look-up stands for the sets of several keys, or of a branch that is not this scan's. Unless
            // a NULL passes, whatever the keys are.
            let decides = !is_true(&current) && !is_or(&current);
            if decides && (keys.len() > 1 || is_true(&own)) {
                let sets = expr.children().into_iter().zip(keys);
                let sets = sets.filter_map(|(key, kept)| in_keys(key, kept.as_ref()?, def, output));
                self.predicates.extend(sets);
            }
        }
        Ok(true)
    }

    pub(crate) fn predicates(&self) -> &[Predicate] {
        &self.predicates
    }

    /// Whether the predicates are all there is.
    pub(crate) fn is_predicates(&self) -> bool {
        self.rest.is_empty()
    }

    /// The rows of a batch for which the rest is TRUE.
    pub(crate) fn apply(&self, mut batch: RecordBatch) -> Result<RecordBatch> {
        for expr in &self.rest {
            if batch.num_rows() == 0 {
                break;
            }
            let passes = expr.evaluate(&batch)?.into_array(batch.num_rows())?;
            let passes: &BooleanArray = as_boolean_array(&passes)?;
            if passes.true_count() < batch.num_rows() {
                batch = filter_record_batch(&batch, passes)?;
            }
        }
        Ok(batch)
    }
}

fn is_true(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<Literal>().is_some_and(|l| *l.value() == ScalarValue::Boolean(Some(true)))
}

/// Resolves the CASE of a partitioned join, which may stand below `OR key IS NULL`.
fn own_branch(expr: Arc<dyn PhysicalExpr>, partition: Option<usize>) -> Result<Arc<dyn PhysicalExpr>> {
    if !routes_by_hash(&expr)? {
        return Ok(expr);
    }
    let Some(partition) = partition else { return Ok(lit(true)) };
    if let Some(case) = expr.downcast_ref::<CaseExpr>() {
        let own = ScalarValue::UInt64(Some(partition as u64));
        for (when, then) in case.when_then_expr() {
            if when.downcast_ref::<Literal>().is_some_and(|l| *l.value() == own) {
                return Ok(then.clone());
            }
        }
        return Ok(case.else_expr().cloned().unwrap_or_else(|| lit(false)));
    }
    let children = expr
        .children()
        .into_iter()
        .map(|child| own_branch(child.clone(), Some(partition)))
        .collect::<Result<Vec<_>>>()?;
    expr.with_new_children(children)
}

fn routes_by_hash(expr: &Arc<dyn PhysicalExpr>) -> Result<bool> {
    let mut found = false;
    expr.apply(|node| {
        found |= node.is::<HashExpr>();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn is_or(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<BinaryExpr>().is_some_and(|binary| *binary.op() == Operator::Or)
}

/// A look-up in a join's hash table as one in the set of its only key.
fn looked_up(
    expr: &Arc<dyn PhysicalExpr>,
    keys: &[Option<Kept>],
    def: &TableDef,
    output: &[Output],
) -> Option<Predicate> {
    let [Some(kept)] = keys else { return None };
    let lookup = expr.downcast_ref::<HashTableLookupExpr>()?;
    let [key] = lookup.children()[..] else { return None };
    in_keys(key, kept, def, output)
}

/// That a column is in the set, for a column whose stored number is the number itself.
fn in_keys(key: &Arc<dyn PhysicalExpr>, kept: &Kept, def: &TableDef, output: &[Output]) -> Option<Predicate> {
    in_keys_of(key.downcast_ref::<Column>()?.index(), kept, def, output)
}

fn in_keys_of(column: usize, kept: &Kept, def: &TableDef, output: &[Output]) -> Option<Predicate> {
    let Output::Column(id) = output.get(column)? else { return None };
    let ty = def.column(*id)?.ty;
    let plain = ty.is_integer() && !ty.is_flipped() || ty == SqlType::Date;
    plain.then(|| Predicate::Keys { column: *id, keys: kept.keys.clone() })
}

/// The same condition as a predicate of the storage, if it is one on a single column.
fn to_predicate(expr: &Arc<dyn PhysicalExpr>, def: &TableDef, output: &[Output]) -> Option<Predicate> {
    let column = |expr: &Arc<dyn PhysicalExpr>| {
        let column = expr.downcast_ref::<Column>()?;
        match output.get(column.index())? {
            Output::Column(id) => def.column(*id),
            Output::Partition | Output::Row => None,
        }
    };
    let literal = |expr: &Arc<dyn PhysicalExpr>| Some(expr.downcast_ref::<Literal>()?.value().clone());
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        if *binary.op() == Operator::Or {
            let branch = |expr: &Arc<dyn PhysicalExpr>| {
                split_conjunction(expr)
                    .into_iter()
                    .map(|e| to_predicate(e, def, output))
                    .collect::<Option<Vec<_>>>()
            };
            return Some(Predicate::Or(vec![branch(binary.left())?, branch(binary.right())?]));
        }
        let op = match binary.op() {
            Operator::Eq => Compare::Eq,
            Operator::Lt => Compare::Less,
            Operator::LtEq => Compare::LessEq,
            Operator::Gt => Compare::Greater,
            Operator::GtEq => Compare::GreaterEq,
            _ => return None,
        };
        return compare_literal(column(binary.left())?, op, &literal(binary.right())?);
    }
    if let Some(is_null) = expr.downcast_ref::<IsNullExpr>() {
        return Some(Predicate::IsNull(column(is_null.arg())?.id));
    }
    if let Some(list) = expr.downcast_ref::<InListExpr>() {
        if list.negated() || list.len() > MAX_IN_VALUES {
            return None;
        }
        let column = column(list.expr())?;
        let mut values = Vec::with_capacity(list.len());
        for value in list.list() {
            // Anything else is no value of this column and matches no row.
            if let Predicate::Compare { value, .. } = compare_literal(column, Compare::Eq, &literal(value)?)?
            {
                values.push(value);
            }
        }
        return Some(if values.is_empty() {
            Predicate::Or(Vec::new())
        } else {
            Predicate::In { column: column.id, values }
        });
    }
    None
}
