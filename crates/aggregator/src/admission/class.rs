//! How much a plan costs, as far as admission must know.

use columnstore::{Compare, Predicate};
use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use exec::{DistributedPlan, ScanExec, TableEstimate};
use types::TableDef;

/// What a statement is counted as. The classes never wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    /// It reads few rows: its time is that of messages and of the log.
    Light,
    /// It keeps cores busy.
    Heavy,
}

impl Class {
    pub(crate) const ALL: [Class; 2] = [Class::Light, Class::Heavy];
}

/// A plan that may look at more rows, or at more combinations of rows of its tables, is heavy. So many
/// rows are scanned in a few milliseconds.
const LIGHT_ROWS: f64 = 100_000.0;

/// The class of a plan, by the rows that its scans look at. Their product is the most that any join
/// of them can yield, so it bounds the work of the whole plan.
pub(crate) fn class_of(plan: &DistributedPlan) -> Result<Class> {
    let mut rows = 1.0_f64;
    for stage in plan.stages() {
        stage.plan.apply(|node| {
            if let Some(scan) = node.downcast_ref::<ScanExec>() {
                rows *= rows_looked_at(scan.def(), scan.estimate(), scan.predicates()).max(1.0);
            } else if node.downcast_ref::<RecursiveQueryExec>().is_some() {
                // Nothing bounds it.
                rows = f64::INFINITY;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(class_of_rows(rows))
}

fn class_of_rows(rows: f64) -> Class {
    if rows <= LIGHT_ROWS { Class::Light } else { Class::Heavy }
}

/// The rows that a scan cannot skip. Segments are sorted, so conditions skip rows by the columns of the
/// sort key: equality by each of the first ones, a range by the one after them. Others skip nothing for
/// certain.
fn rows_looked_at(def: &TableDef, estimate: &TableEstimate, predicates: &[Predicate]) -> f64 {
    let mut skipping = Vec::new();
    for column in def.segment_order() {
        let of_column = predicates.iter().filter(|predicate| match predicate {
            Predicate::Compare { column: on, op, .. } => on == column && *op != Compare::NotEq,
            Predicate::In { column: on, .. } => on == column,
            _ => false,
        });
        let before = skipping.len();
        skipping.extend(of_column.cloned());
        let is_point = |predicate: &Predicate| {
            matches!(predicate, Predicate::Compare { op: Compare::Eq, .. } | Predicate::In { .. })
        };
        if !skipping[before..].iter().any(is_point) {
            break;
        }
    }
    estimate.rows as f64 * estimate.selectivity(def, &skipping)
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{ColumnId, DatabaseId, TableId, Value};

    /// Sorted by columns 1 and 2, with a million rows.
    fn looked_at(predicates: &[Predicate]) -> f64 {
        let def = TableDef {
            id: TableId(1),
            database: DatabaseId(1),
            name: "t".to_string(),
            version: 1,
            columns: Vec::new(),
            next_column_id: ColumnId(4),
            shard_key: vec![ColumnId(1)],
            sort_key: vec![ColumnId(1), ColumnId(2)],
            primary_key: vec![ColumnId(1)],
            keys: Vec::new(),
            collation: types::Collation::default(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            comment: String::new(),
            replacement: None,
            reference: false,
        };
        rows_looked_at(&def, &TableEstimate { rows: 1_000_000, ..TableEstimate::default() }, predicates)
    }

    fn compare(column: u32, op: Compare) -> Predicate {
        Predicate::Compare { column: ColumnId(column), op, value: Value::Int(7) }
    }

    #[test]
    fn only_the_sort_key_skips_rows() {
        assert_eq!(looked_at(&[]), 1e6);
        assert!(looked_at(&[compare(1, Compare::Eq)]) < 1.5);
        assert_eq!(looked_at(&[compare(1, Compare::NotEq)]), 1e6);
        assert_eq!(looked_at(&[compare(3, Compare::Eq)]), 1e6, "not a column of the key");
        assert_eq!(looked_at(&[compare(2, Compare::Eq)]), 1e6, "not the first column of the key");
        assert!(looked_at(&[compare(1, Compare::Less)]) < 1e6);
        assert_eq!(
            looked_at(&[compare(1, Compare::Less), compare(2, Compare::Eq)]),
            looked_at(&[compare(1, Compare::Less)]),
            "behind a range, rows are in no order"
        );
    }

    #[test]
    fn the_classes_meet_at_a_number_of_rows() {
        assert_eq!(class_of_rows(1.0), Class::Light);
        assert_eq!(class_of_rows(LIGHT_ROWS), Class::Light);
        assert_eq!(class_of_rows(LIGHT_ROWS * 1.01), Class::Heavy);
        assert_eq!(class_of_rows(f64::INFINITY), Class::Heavy);
    }
}
