//! Conditions and values that look at the right side of AND and OR only where the left one leaves it open, see
//! [`exec::ShortCircuit`]: in filters, projections, arguments of aggregations and conditions of joins.
//!
//! What in a filter cannot warn becomes a filter of its own below, of which it is still known what columns it makes equal
//! or constant. This comes after all other rules, which would read such a CASE as AND and OR again.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::{PhysicalExpr, conjunction, split_conjunction};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use exec::ShortCircuit;
use std::sync::Arc;

/// See the module.
pub(crate) fn short_circuit(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let changed = if let Some(filter) = node.downcast_ref::<FilterExec>() {
            filtered(filter)?
        } else if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
            projected(projection)?
        } else if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
            aggregated(aggregate)?
        } else if let Some(join) = node.downcast_ref::<HashJoinExec>() {
            match join.filter().map(of_join).transpose()?.flatten() {
                Some(filter) => Some(join.builder().with_filter(Some(filter)).build_exec()?),
                None => None,
            }
        } else if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
            match join.filter().map(of_join).transpose()?.flatten() {
                Some(filter) => {
                    let join = NestedLoopJoinExecBuilder::from(join).with_filter(Some(filter)).build()?;
                    Some(Arc::new(join) as Arc<dyn ExecutionPlan>)
                }
                None => None,
            }
        } else {
            None
        };
        Ok(match changed {
            Some(changed) => Transformed::yes(changed),
            None => Transformed::no(node),
        })
    })
    .data()
}

fn filtered(filter: &FilterExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let schema = filter.input().schema();
    let lazy = ShortCircuit { schema: &schema };
    let (mut safe, mut others) = (Vec::new(), Vec::new());
    for part in split_conjunction(filter.predicate()) {
        let part = lazy.condition(part)?;
        if part.warns { others.push(part.expr) } else { safe.push(part.expr) }
    }
    let Some(last) = others.pop() else { return Ok(None) };
    let unsure = others.into_iter().rev().try_fold(last, |then, first| ShortCircuit::both(first, then))?;
    if Arc::ptr_eq(&unsure, filter.predicate()) {
        return Ok(None);
    }
    let mut input = filter.input().clone();
    if !safe.is_empty() {
        input = Arc::new(FilterExec::try_new(conjunction(safe), input)?);
    }
    let above = FilterExecBuilder::from(filter).with_predicate(unsure).with_input(input).build()?;
    Ok(Some(Arc::new(above)))
}

fn projected(projection: &ProjectionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let schema = projection.input().schema();
    let lazy = ShortCircuit { schema: &schema };
    let mut any = false;
    let mut exprs = Vec::with_capacity(projection.expr().len());
    for ProjectionExpr { expr, alias } in projection.expr() {
        let part = lazy.value(expr)?;
        any |= part.changed;
        exprs.push(ProjectionExpr { expr: part.expr, alias: alias.clone() });
    }
    if !any {
        return Ok(None);
    }
    Ok(Some(Arc::new(ProjectionExec::try_new(exprs, projection.input().clone())?)))
}

fn aggregated(aggregate: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    // The others merge states.
    let evaluates = matches!(
        aggregate.mode(),
        AggregateMode::Partial | AggregateMode::Single | AggregateMode::SinglePartitioned
    );
    if !evaluates {
        return Ok(None);
    }
    let schema = aggregate.input_schema();
    let lazy = ShortCircuit { schema: &schema };
    let mut any = false;
    let mut functions = Vec::with_capacity(aggregate.aggr_expr().len());
    for function in aggregate.aggr_expr() {
        let mut changed = false;
        let mut args: Vec<Arc<dyn PhysicalExpr>> = Vec::new();
        for arg in function.expressions() {
            let part = lazy.value(&arg)?;
            changed |= part.changed;
            args.push(part.expr);
        }
        // One that is reversed would forget that.
        let order = function.all_expressions().order_by_exprs;
        let other = if changed && !function.is_reversed() {
            function.with_new_expressions(args, order)
        } else {
            None
        };
        any |= other.is_some();
        functions.push(other.map_or_else(|| function.clone(), Arc::new));
    }
    Ok(any.then(|| Arc::new(aggregate.with_new_aggr_exprs(functions)) as Arc<dyn ExecutionPlan>))
}

/// The condition of a join; None if it stays as it is.
fn of_join(filter: &JoinFilter) -> Result<Option<JoinFilter>> {
    let part = ShortCircuit { schema: filter.schema() }.condition(filter.expression())?;
    let with = |expr| JoinFilter::new(expr, filter.column_indices().to_vec(), filter.schema().clone());
    Ok(part.changed.then(|| with(part.expr)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::config::ConfigOptions;
    use datafusion::functions_aggregate::count::count_udaf;
    use datafusion::logical_expr::{ColumnarValue, Operator, Volatility, create_udf};
    use datafusion::physical_expr::ScalarFunctionExpr;
    use datafusion::physical_expr::aggregate::AggregateExprBuilder;
    use datafusion::physical_expr::expressions::{binary, col, lit};
    use datafusion::physical_plan::aggregates::PhysicalGroupBy;
    use datafusion::physical_plan::displayable;
    use datafusion::physical_plan::empty::EmptyExec;

    type Condition = Arc<dyn PhysicalExpr>;

    fn schema() -> Schema {
        Schema::new(vec![Field::new("n", DataType::Int64, true), Field::new("k", DataType::Int64, true)])
    }

    fn compared(left: Condition, op: Operator, right: Condition) -> Condition {
        binary(left, op, right, &schema()).unwrap()
    }

    /// `divide(10, divisor) = 1`.
    fn divided(divisor: Condition) -> Condition {
        let types = vec![DataType::Int64, DataType::Int64];
        let function = create_udf(
            "divide",
            types,
            DataType::Int64,
            Volatility::Immutable,
            Arc::new(|args: &[ColumnarValue]| Ok(args[0].clone())),
        );
        let args = vec![lit(10i64), divisor];
        let options = Arc::new(ConfigOptions::default());
        let call = ScalarFunctionExpr::try_new(Arc::new(function), args, &schema(), options).unwrap();
        compared(Arc::new(call), Operator::Eq, lit(1i64))
    }

    fn shown(condition: Condition) -> String {
        let input = Arc::new(EmptyExec::new(Arc::new(schema())));
        let filter = Arc::new(FilterExec::try_new(condition, input).unwrap());
        displayable(short_circuit(filter).unwrap().as_ref()).indent(false).to_string()
    }

    #[test]
    fn what_may_warn_comes_last() {
        let column = |name| col(name, &schema()).unwrap();
        let plain = || compared(column("k"), Operator::Gt, lit(5i64));
        let (and, or) = (Operator::And, Operator::Or);
        for (condition, expected) in [
            (compared(plain(), or, plain()), "FilterExec: k@1 > 5 OR k@1 > 5\n  EmptyExec\n"),
            (divided(column("n")), "FilterExec: divide(10, n@0) = 1\n  EmptyExec\n"),
            (
                compared(plain(), or, divided(lit(2i64))),
                "FilterExec: k@1 > 5 OR divide(10, 2) = 1\n  EmptyExec\n",
            ),
            (
                compared(divided(column("n")), or, plain()),
                "FilterExec: divide(10, n@0) = 1 OR k@1 > 5\n  EmptyExec\n",
            ),
            (
                compared(plain(), or, divided(column("n"))),
                "FilterExec: CASE WHEN k@1 > 5 THEN true ELSE divide(10, n@0) = 1 END\n  EmptyExec\n",
            ),
            (
                compared(divided(column("n")), and, plain()),
                "FilterExec: divide(10, n@0) = 1\n  FilterExec: k@1 > 5\n    EmptyExec\n",
            ),
            (
                compared(divided(column("n")), and, compared(plain(), or, divided(column("k")))),
                "FilterExec: CASE WHEN divide(10, n@0) = 1 THEN CASE WHEN k@1 > 5 THEN true \
                 ELSE divide(10, k@1) = 1 END ELSE false END\n  EmptyExec\n",
            ),
        ] {
            assert_eq!(shown(condition), expected);
        }
    }

    #[test]
    fn arguments_of_aggregations_are_looked_at() {
        let plain = compared(col("k", &schema()).unwrap(), Operator::Gt, lit(5i64));
        let value = compared(plain, Operator::And, divided(col("n", &schema()).unwrap()));
        let count = |mode| {
            let input = Arc::new(EmptyExec::new(Arc::new(schema())));
            let function = AggregateExprBuilder::new(count_udaf(), vec![value.clone()])
                .schema(Arc::new(schema()))
                .alias("c")
                .build()
                .unwrap();
            let groups = PhysicalGroupBy::default();
            let functions = vec![Arc::new(function)];
            let counted =
                AggregateExec::try_new(mode, groups, functions, vec![None], input, Arc::new(schema()));
            let plan = short_circuit(Arc::new(counted.unwrap())).unwrap();
            let plan = plan.downcast_ref::<AggregateExec>().unwrap();
            plan.aggr_expr()[0].expressions()[0].to_string()
        };
        let looked_at = "CASE k@1 > 5 WHEN false THEN false WHEN true THEN divide(10, n@0) = 1 \
                         ELSE CASE WHEN NOT divide(10, n@0) = 1 THEN false END END";
        assert_eq!(count(AggregateMode::Single), looked_at);
        assert_eq!(count(AggregateMode::Partial), looked_at);
    }
}
