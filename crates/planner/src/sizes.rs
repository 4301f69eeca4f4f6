//! How large the output of a physical node is: rows, and different values of each column. DataFusion
//! has estimates of its own, but they end at many operators, and take an anti join for empty.

use crate::cardinality::combinations;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{JoinType, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr, split_conjunction};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use exec::scan::Output;
use exec::{JsonTableExec, ROWS_OF_DOCUMENT, ScanExec};
use std::sync::Arc;

/// Rows of a source that nothing is known of.
const UNKNOWN_ROWS: f64 = 10_000.0;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Size {
    pub(crate) rows: f64,
    /// For each output column, at most `rows`.
    pub(crate) distinct: Vec<f64>,
    /// Bytes of a row.
    pub(crate) width: f64,
}

impl Size {
    fn new(plan: &Arc<dyn ExecutionPlan>, rows: f64, distinct: Vec<f64>) -> Size {
        let schema = plan.schema();
        let width = schema.fields().iter().map(|field| width_of(field.data_type())).sum();
        let rows = rows.max(0.0);
        let mut distinct: Vec<f64> = distinct.into_iter().map(|d| d.min(rows).max(1.0)).collect();
        distinct.resize(schema.fields().len(), rows.max(1.0));
        Size { rows, distinct, width }
    }

    /// Different values of an expression over this output.
    pub(crate) fn of(&self, expr: &Arc<dyn PhysicalExpr>) -> f64 {
        if let Some(column) = expr.downcast_ref::<Column>() {
            return self.distinct.get(column.index()).copied().unwrap_or(self.rows).max(1.0);
        }
        if let Some(cast) = expr.downcast_ref::<CastExpr>() {
            return self.of(cast.expr());
        }
        if expr.is::<Literal>() {
            return 1.0;
        }
        // A function of few values has few values.
        let children = expr.children();
        let of_children = children.into_iter().map(|child| self.of(child)).product::<f64>();
        values_of_function(expr, of_children).min(self.rows).max(1.0)
    }

    /// Different values of some together.
    pub(crate) fn together<'a>(&self, keys: impl Iterator<Item = &'a Arc<dyn PhysicalExpr>>) -> f64 {
        keys.map(|key| self.of(key)).product::<f64>().min(self.rows.max(1.0))
    }

    fn selectivity(&self, predicate: &Arc<dyn PhysicalExpr>) -> f64 {
        split_conjunction(predicate)
            .into_iter()
            .map(|conjunct| match conjunct.downcast_ref::<BinaryExpr>() {
                Some(binary) if *binary.op() == Operator::Eq => {
                    1.0 / self.of(binary.left()).max(self.of(binary.right()))
                }
                Some(binary) if *binary.op() == Operator::NotEq => 0.9,
                _ => 0.33,
            })
            .product()
    }
}

/// How many values an expression has whose arguments have so many together. Parts of dates have few, of years as
/// many as days that lie close would have; short codes are mostly of digits.
fn values_of_function(expr: &Arc<dyn PhysicalExpr>, of_arguments: f64) -> f64 {
    let Some(function) = expr.downcast_ref::<ScalarFunctionExpr>() else { return of_arguments };
    let most = match function.name() {
        "year" => (of_arguments / 366.0).max(8.0),
        "quarter" => 4.0,
        "month" => 12.0,
        "dayofweek" | "weekday" => 7.0,
        "day" => 31.0,
        "hour" => 24.0,
        "minute" | "second" => 60.0,
        "left" | "right" | "substring" => match function.args().last().and_then(length) {
            Some(characters) => 10f64.powi(characters),
            None => return of_arguments,
        },
        _ => return of_arguments,
    };
    of_arguments.min(most)
}

/// A small number that stands in the query.
fn length(expr: &Arc<dyn PhysicalExpr>) -> Option<i32> {
    let literal = expr.downcast_ref::<Literal>()?;
    match literal.value().cast_to(&DataType::Int32) {
        Ok(ScalarValue::Int32(Some(length))) => Some(length.clamp(0, 20)),
        _ => None,
    }
}

/// Bytes of a value of the type, roughly.
pub(crate) fn width_of(ty: &DataType) -> f64 {
    ty.primitive_width().unwrap_or(24) as f64
}

/// How many of `distinct` values are left if a share of the rows is.
fn left_over(distinct: f64, rows: f64, share: f64) -> f64 {
    let per_value = (rows / distinct.max(1.0)).max(1.0);
    distinct * (1.0 - (1.0 - share).max(0.0).powf(per_value))
}

fn projected(distinct: Vec<f64>, projection: Option<&[usize]>) -> Vec<f64> {
    match projection {
        Some(projection) => projection.iter().filter_map(|at| distinct.get(*at).copied()).collect(),
        None => distinct,
    }
}

pub(crate) fn size(plan: &Arc<dyn ExecutionPlan>) -> Size {
    let fetched = |size: Size| match plan.fetch() {
        Some(fetch) => Size::new(plan, size.rows.min(fetch as f64), size.distinct),
        None => size,
    };
    fetched(before_fetch(plan))
}

fn before_fetch(plan: &Arc<dyn ExecutionPlan>) -> Size {
    if let Some(scan) = plan.downcast_ref::<ScanExec>() {
        return scan_size(plan, scan);
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let input = size(projection.input());
        let distinct = projection.expr().iter().map(|e| input.of(&e.expr)).collect();
        return Size::new(plan, input.rows, distinct);
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let input = size(filter.input());
        let share = input.selectivity(filter.predicate());
        let distinct = input.distinct.iter().map(|d| left_over(*d, input.rows, share)).collect();
        let projection = filter.projection().as_ref().map(|p| p.as_ref());
        return Size::new(plan, input.rows * share, projected(distinct, projection));
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return join_size(plan, join);
    }
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        let (left, right) = (size(join.left()), size(join.right()));
        let rows = left.rows * right.rows * if join.filter().is_some() { 0.33 } else { 1.0 };
        let rows = outer_rows(*join.join_type(), rows, left.rows, right.rows, 0.5, 0.5);
        return Size::new(plan, rows, Vec::new());
    }
    if let Some(join) = plan.downcast_ref::<CrossJoinExec>() {
        let (left, right) = (size(join.left()), size(join.right()));
        let distinct = left.distinct.iter().chain(&right.distinct).copied().collect();
        return Size::new(plan, left.rows * right.rows, distinct);
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return aggregate_size(plan, aggregate);
    }
    if let Some(json_table) = plan.downcast_ref::<JsonTableExec>() {
        let input = size(json_table.input());
        let mut distinct = input.distinct;
        distinct.remove(json_table.document());
        return Size::new(plan, input.rows * ROWS_OF_DOCUMENT as f64, distinct);
    }
    let children = plan.children();
    match children.as_slice() {
        // Sorts, merges, limits, exchanges, windows: the rows of the child, and its columns first.
        [child] => {
            let input = size(child);
            Size::new(plan, input.rows, input.distinct)
        }
        [] => {
            let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new()).ok();
            let rows = statistics.and_then(|s| s.num_rows.get_value().copied());
            Size::new(plan, rows.map_or(UNKNOWN_ROWS, |rows| rows as f64), Vec::new())
        }
        [first, ..]
            if plan.maintains_input_order().get(1..) == Some(&[false])
                && plan.name() == "ScalarSubqueryExec" =>
        {
            size(first)
        }
        // A union, or something like it.
        several => Size::new(plan, several.iter().map(|child| size(child).rows).sum(), Vec::new()),
    }
}

fn scan_size(plan: &Arc<dyn ExecutionPlan>, scan: &ScanExec) -> Size {
    let estimate = scan.estimate();
    let all = estimate.rows as f64;
    let share = estimate.selectivity(scan.def(), scan.predicates());
    let distinct = scan
        .output()
        .iter()
        .map(|output| match output {
            Output::Column(id) => left_over(estimate.distinct(scan.def(), *id), all, share),
            Output::Partition => scan.partitions().len() as f64,
            Output::Row => all * share,
        })
        .collect();
    Size::new(plan, all * share, distinct)
}

fn join_size(plan: &Arc<dyn ExecutionPlan>, join: &HashJoinExec) -> Size {
    let (left, right) = (size(join.left()), size(join.right()));
    let cross = left.rows * right.rows;
    let mut inner = match join.on() {
        [(l, r)] => cross / left.of(l).max(right.of(r)),
        _ => {
            let l: Vec<f64> = join.on().iter().map(|(l, _)| left.of(l)).collect();
            let r: Vec<f64> = join.on().iter().map(|(_, r)| right.of(r)).collect();
            cross / combinations((&l, left.rows), (&r, right.rows))
        }
    };
    if join.filter().is_some() {
        inner *= 0.33;
    }
    let partners = |from: &Size, to: &Size, swap: bool| {
        join.on()
            .iter()
            .map(|(l, r)| if swap { (r, l) } else { (l, r) })
            .map(|(a, b)| (to.of(b) / from.of(a)).min(1.0))
            .fold(1.0, f64::min)
    };
    let (left_share, right_share) = (partners(&left, &right, false), partners(&right, &left, true));
    let join_type = *join.join_type();
    let rows = outer_rows(join_type, inner, left.rows, right.rows, left_share, right_share);
    let columns: Vec<f64> = match join_type {
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => left.distinct,
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => right.distinct,
        _ => left.distinct.into_iter().chain(right.distinct).collect(),
    };
    let width = join.join_schema().fields().len();
    let mut columns = columns;
    columns.resize(width, 2.0);
    Size::new(plan, rows, projected(columns, join.projection.as_ref().map(|p| p.as_ref())))
}

/// Rows of a join of any type, given those of the inner join and the share of each side's rows that
/// have a partner.
fn outer_rows(
    join_type: JoinType,
    inner: f64,
    left: f64,
    right: f64,
    left_share: f64,
    right_share: f64,
) -> f64 {
    match join_type {
        JoinType::Inner => inner,
        JoinType::Left => inner.max(left),
        JoinType::Right => inner.max(right),
        JoinType::Full => inner.max(left + right),
        JoinType::LeftSemi => left * left_share,
        JoinType::RightSemi => right * right_share,
        JoinType::LeftAnti => left * (1.0 - left_share).max(0.3),
        JoinType::RightAnti => right * (1.0 - right_share).max(0.3),
        JoinType::LeftMark => left,
        JoinType::RightMark => right,
    }
}

fn aggregate_size(plan: &Arc<dyn ExecutionPlan>, aggregate: &AggregateExec) -> Size {
    let input = size(aggregate.input());
    let keys: Vec<f64> = aggregate.group_expr().expr().iter().map(|(expr, _)| input.of(expr)).collect();
    let sets = aggregate.group_expr().groups().len().max(1) as f64;
    let groups =
        if keys.is_empty() { 1.0 } else { (keys.iter().product::<f64>() * sets).min(input.rows * sets) };
    let rows = match aggregate.mode() {
        AggregateMode::Partial => {
            let tasks = aggregate.input().output_partitioning().partition_count() as f64;
            (groups * tasks).min(input.rows.max(tasks))
        }
        _ => groups,
    };
    let counts = aggregate.aggr_expr().iter().map(|function| match function.fun().name() {
        // Most groups have not much more than their share.
        "count" => 8.0 * (1.0 + rows_grouped(aggregate) / groups.max(1.0)),
        _ => rows,
    });
    let distinct = keys.iter().copied().chain(counts).collect();
    Size::new(plan, rows, distinct)
}

/// The rows that go into the groups, of which this may see partial ones.
fn rows_grouped(aggregate: &AggregateExec) -> f64 {
    let mut input = aggregate.input();
    while let ([below], false) = (input.children().as_slice(), input.is::<AggregateExec>()) {
        input = below;
    }
    match input.downcast_ref::<AggregateExec>() {
        Some(partial) if *partial.mode() == AggregateMode::Partial => size(partial.input()).rows,
        _ => size(aggregate.input()).rows,
    }
}
