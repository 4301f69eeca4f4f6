//! Columns by which a subquery looks at the query around it, told apart by their names.
//!
//! When DataFusion makes a join of a correlated subquery, its columns come to be those of one relation,
//! `__correlated_sq_1`, and lose the relations that they had within it. So `a.k = outer.x AND b.k = outer.y`
//! would compare one `k` with both. Therefore columns of one name that correlate are given other names
//! below the condition that they stand in, by a projection that adds them to the rows.

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, internal_err};
use datafusion::logical_expr::utils::{conjunction, split_conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, LogicalPlanBuilder};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The plan with correlating columns of every subquery told apart.
pub(crate) fn tell_apart(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut names = 0;
    plan.transform_down_with_subqueries(|node| {
        node.map_subqueries(|subquery| {
            let LogicalPlan::Subquery(mut subquery) = subquery else {
                return internal_err!("an expression holds a plan that is no subquery");
            };
            let renamed = clashes(&subquery.subquery, &mut names)?;
            if renamed.is_empty() {
                return Ok(Transformed::no(LogicalPlan::Subquery(subquery)));
            }
            let plan = with_names(Arc::unwrap_or_clone(subquery.subquery), &renamed)?;
            subquery.subquery = Arc::new(plan);
            Ok(Transformed::yes(LogicalPlan::Subquery(subquery)))
        })
    })
    .data()
}

/// Whether the condition looks at the query around it.
fn correlates(condition: &Expr) -> bool {
    condition.exists(|expr| Ok(matches!(expr, Expr::OuterReferenceColumn(..)))).unwrap_or(false)
}

/// The columns that correlate under a name that another relation's column has, with a name for each.
fn clashes(subquery: &LogicalPlan, names: &mut usize) -> Result<HashMap<Column, Column>> {
    let mut columns: BTreeMap<String, BTreeSet<Column>> = BTreeMap::new();
    subquery.apply(|node| {
        if let LogicalPlan::Filter(filter) = node {
            for condition in split_conjunction(&filter.predicate).into_iter().filter(|c| correlates(c)) {
                for column in condition.column_refs() {
                    columns.entry(column.name.clone()).or_default().insert(column.clone());
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let clashing = columns.into_values().filter(|columns| columns.len() > 1).flatten();
    Ok(clashing
        .map(|column| {
            *names += 1;
            let name = Column::new_unqualified(format!("__outer_{names}"));
            (column, name)
        })
        .collect())
}

fn with_names(subquery: LogicalPlan, renamed: &HashMap<Column, Column>) -> Result<LogicalPlan> {
    let columns = subquery.schema().columns();
    let plan = subquery
        .transform_up(|node| {
            let node = node.recompute_schema()?;
            let LogicalPlan::Filter(filter) = node else { return Ok(Transformed::yes(node)) };
            named_below(filter, renamed).map(Transformed::yes)
        })
        .data()?;
    if plan.schema().fields().len() == columns.len() {
        return Ok(plan);
    }
    LogicalPlanBuilder::from(plan).project(columns.into_iter().map(Expr::Column))?.build()
}

/// The same condition, on columns that have a name of their own where it correlates.
fn named_below(filter: Filter, renamed: &HashMap<Column, Column>) -> Result<LogicalPlan> {
    let mut used: BTreeSet<Column> = BTreeSet::new();
    let mut conditions = Vec::new();
    for condition in split_conjunction_owned(filter.predicate.clone()) {
        if !correlates(&condition) {
            conditions.push(condition);
            continue;
        }
        let condition = condition.transform(|expr| match &expr {
            Expr::Column(column) => match renamed.get(column) {
                Some(name) => {
                    used.insert(column.clone());
                    Ok(Transformed::yes(Expr::Column(name.clone())))
                }
                None => Ok(Transformed::no(expr)),
            },
            _ => Ok(Transformed::no(expr)),
        });
        conditions.push(condition.data()?);
    }
    let Some(condition) = conjunction(conditions).filter(|_| !used.is_empty()) else {
        return Ok(LogicalPlan::Filter(filter));
    };
    let input = Arc::unwrap_or_clone(filter.input);
    let columns = input.schema().columns().into_iter().map(Expr::Column);
    let added = used.iter().map(|column| Expr::Column(column.clone()).alias(&renamed[column].name));
    let exprs: Vec<Expr> = columns.chain(added).collect();
    LogicalPlanBuilder::from(input).project(exprs)?.filter(condition)?.build()
}
