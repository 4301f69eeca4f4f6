//! Correlated subqueries in GROUP BY keys, aggregate functions and window functions.
//!
//! DataFusion makes joins of correlated subqueries in projections and filters only. Those that stand in what is
//! grouped by or aggregated become columns of a projection below.

use super::binder::{Binder, named, planning, project};
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};
use types::SqlError;

fn is_correlated(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarSubquery(subquery) if !subquery.outer_ref_columns.is_empty())
}

/// Whether a part of the expression is a correlated subquery.
pub(super) fn has_correlated(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(is_correlated(expr))).unwrap_or(false)
}

/// Subqueries, each with the column that it is computed as.
type Computed = Vec<(Expr, Column)>;

impl Binder<'_> {
    /// The plan with a column more for each correlated subquery within those parts of `exprs` that `is_place` knows,
    /// where the column then stands.
    pub(super) fn compute_below<'e>(
        &mut self,
        plan: LogicalPlan,
        exprs: impl Iterator<Item = &'e mut Expr>,
        is_place: impl Fn(&Expr) -> bool,
    ) -> Result<LogicalPlan, SqlError> {
        let mut computed = Computed::new();
        for expr in exprs.filter(|expr| has_correlated(expr)) {
            let replaced = std::mem::take(expr).transform_down(|part| match is_place(&part) {
                true => {
                    let part = self.with_columns(part, &mut computed)?;
                    Ok(Transformed::new(part, true, TreeNodeRecursion::Jump))
                }
                false => Ok(Transformed::no(part)),
            });
            *expr = replaced.data().map_err(planning)?;
        }
        if computed.is_empty() {
            return Ok(plan);
        }
        let mut columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        columns.extend(computed.into_iter().map(|(subquery, column)| named(subquery, &column.name)));
        project(plan, columns)
    }

    fn with_columns(&mut self, expr: Expr, computed: &mut Computed) -> datafusion::common::Result<Expr> {
        expr.transform_down(|part| {
            if !is_correlated(&part) {
                return Ok(Transformed::no(part));
            }
            let known = computed.iter().find(|(subquery, _)| *subquery == part);
            let column = match known {
                Some((_, column)) => column.clone(),
                None => {
                    let column = Column::from_name(self.relation_name("__subquery"));
                    computed.push((part, column.clone()));
                    column
                }
            };
            Ok(Transformed::new(Expr::Column(column), true, TreeNodeRecursion::Jump))
        })
        .data()
    }
}
