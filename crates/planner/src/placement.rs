//! Where the rows of a node are, in terms of its columns.
//!
//! `Partitioning::Hash(keys, n)` says that the shard hash of `keys` places a row. Two lists of keys
//! place rows alike if the values hash alike: so a cast that the hash does not see (a wider integer,
//! another string type) is looked through, and so are columns known to be equal.

use datafusion::arrow::array::new_empty_array;
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::physical_expr::expressions::CastExpr;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use std::sync::Arc;
use types::shard;

pub(crate) type Expr = Arc<dyn PhysicalExpr>;

/// Whether values of this type can be shuffled by.
pub(crate) fn hashable(ty: &DataType) -> bool {
    shard::hash_columns(&[new_empty_array(ty)], 0).is_ok()
}

/// Whether equal values of the two types have equal hashes.
pub(crate) fn hash_alike(a: &DataType, b: &DataType) -> bool {
    if a == b {
        return hashable(a);
    }
    let text = |ty: &DataType| matches!(ty, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let binary =
        |ty: &DataType| matches!(ty, DataType::Binary | DataType::LargeBinary | DataType::BinaryView);
    match (a, b) {
        (DataType::Decimal128(_, x), DataType::Decimal128(_, y)) => x == y,
        (a, b) if a.is_integer() && b.is_integer() => true,
        (a, b) => (text(a) && text(b)) || (binary(a) && binary(b)),
    }
}

/// The expression without casts that its hash does not see.
fn without_casts(mut expr: Expr, schema: &Schema) -> Expr {
    while let Some(cast) = expr.downcast_ref::<CastExpr>() {
        match cast.expr().data_type(schema) {
            Ok(from) if hash_alike(&from, cast.cast_type()) => expr = cast.expr().clone(),
            _ => break,
        }
    }
    expr
}

fn normal(expr: &Expr, equivalences: &EquivalenceProperties) -> Expr {
    let schema = equivalences.schema();
    let plain = without_casts(expr.clone(), schema);
    without_casts(equivalences.eq_group().normalize_expr(plain), schema)
}

/// Whether the two expressions have the same hash in every row.
pub(crate) fn same(a: &Expr, b: &Expr, equivalences: &EquivalenceProperties) -> bool {
    a == b || normal(a, equivalences) == normal(b, equivalences)
}

/// The keys whose hash places the rows over more than one partition.
pub(crate) fn hash_keys(plan: &Arc<dyn ExecutionPlan>) -> Option<&[Expr]> {
    match plan.output_partitioning() {
        Partitioning::Hash(keys, n) if *n > 1 && !keys.is_empty() => Some(keys),
        _ => None,
    }
}

pub(crate) fn partitions(plan: &Arc<dyn ExecutionPlan>) -> usize {
    plan.output_partitioning().partition_count()
}

/// For each key that places the rows, its place in `required`; `None` unless all are there, that is:
/// unless rows that agree in `required` are in the same partition.
pub(crate) fn covered(plan: &Arc<dyn ExecutionPlan>, required: &[Expr]) -> Option<Vec<usize>> {
    let equivalences = plan.equivalence_properties();
    hash_keys(plan)?
        .iter()
        .map(|key| required.iter().position(|expr| same(key, expr, equivalences)))
        .collect()
}

/// Whether rows of both sides whose keys are equal are in the partitions of one number: each key that places
/// the rows of one side is one of its keys in the join, and the key that it is compared with places the rows
/// of the other side in the same way.
pub(crate) fn meet(
    left: &Arc<dyn ExecutionPlan>,
    right: &Arc<dyn ExecutionPlan>,
    on: &[(Expr, Expr)],
) -> bool {
    let (of_left, of_right) = (left.equivalence_properties(), right.equivalence_properties());
    let alike = |l: &Expr, r: &Expr| match (l.data_type(&left.schema()), r.data_type(&right.schema())) {
        (Ok(l), Ok(r)) => hash_alike(&l, &r),
        _ => false,
    };
    let (Some(by_left), Some(by_right)) = (hash_keys(left), hash_keys(right)) else { return false };
    partitions(left) == partitions(right)
        && by_left.len() == by_right.len()
        && by_left
            .iter()
            .zip(by_right)
            .all(|(a, b)| on.iter().any(|(l, r)| same(a, l, of_left) && same(b, r, of_right) && alike(l, r)))
}
