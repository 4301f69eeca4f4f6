//! How many rows a logical plan yields, and how many different values its columns have. Guesses, to
//! compare orders of joins by.

use datafusion::common::{Column, JoinType, ScalarValue};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::expr::{Alias, BinaryExpr, InList, Like};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Distinct, Expr, Extension, FetchType, LogicalPlan, Operator, SkipType, TableScan,
};
use exec::scan::estimate::as_number;
use exec::{JsonTableNode, ROWS_OF_DOCUMENT, ShardedTable};
use std::collections::HashMap;

/// Rows of a table that nothing is known of.
const UNKNOWN_ROWS: f64 = 10_000.0;

/// A column's values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values {
    pub(crate) distinct: f64,
    /// As points on a line, where they are.
    pub(crate) range: Option<(f64, f64)>,
}

/// A plan's output.
#[derive(Debug, Clone, Default)]
pub(crate) struct Relation {
    pub(crate) rows: f64,
    pub(crate) columns: HashMap<Column, Values>,
}

impl Relation {
    fn of_rows(rows: f64) -> Relation {
        Relation { rows, columns: HashMap::new() }
    }

    /// The number of different values of an expression, at most the number of rows.
    pub(crate) fn distinct(&self, expr: &Expr) -> f64 {
        let distinct = match expr {
            Expr::Column(column) => self.columns.get(column).map(|values| values.distinct),
            Expr::Cast(cast) => Some(self.distinct(&cast.expr)),
            Expr::Alias(alias) => Some(self.distinct(&alias.expr)),
            Expr::Literal(..) => Some(1.0),
            _ => None,
        };
        distinct.unwrap_or(self.rows).min(self.rows).max(1.0)
    }

    /// The same with a share of the rows.
    fn filtered(mut self, share: f64) -> Relation {
        let rows = (self.rows * share).max(if self.rows > 0.0 { 1.0 } else { 0.0 });
        if rows < self.rows {
            for values in self.columns.values_mut() {
                values.distinct = left_over(values.distinct, self.rows, rows);
            }
        }
        self.rows = rows;
        self
    }

    /// The share of rows for which a condition is TRUE.
    pub(crate) fn selectivity(&self, expr: &Expr) -> f64 {
        let share = match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::And => self.selectivity(left) * self.selectivity(right),
                Operator::Or => 1.0 - (1.0 - self.selectivity(left)) * (1.0 - self.selectivity(right)),
                Operator::Eq | Operator::IsNotDistinctFrom => {
                    1.0 / self.distinct(left).max(self.distinct(right))
                }
                Operator::NotEq | Operator::IsDistinctFrom => 0.9,
                Operator::Lt | Operator::LtEq => self.below(left, right).unwrap_or(0.33),
                Operator::Gt | Operator::GtEq => self.below(right, left).unwrap_or(0.33),
                _ => 0.3,
            },
            Expr::Not(inner) => 1.0 - self.selectivity(inner),
            Expr::IsNull(_) => 0.05,
            Expr::IsNotNull(_) => 0.95,
            Expr::Between(between) => {
                if between.negated {
                    0.75
                } else {
                    0.25
                }
            }
            Expr::InList(InList { expr, list, negated }) => {
                let share = (list.len() as f64 / self.distinct(expr)).min(1.0);
                if *negated { 1.0 - share } else { share }
            }
            Expr::Like(Like { negated, .. }) => {
                if *negated {
                    0.9
                } else {
                    0.1
                }
            }
            Expr::Literal(ScalarValue::Boolean(value), _) => f64::from(u8::from(*value == Some(true))),
            _ => 0.3,
        };
        // Ranges of a DOUBLE may be as wide as no number is.
        if share.is_nan() { 0.3 } else { share.clamp(0.0, 1.0) }
    }

    /// The share of rows with `small < large`, if one is a column with a known range, the other a constant.
    fn below(&self, small: &Expr, large: &Expr) -> Option<f64> {
        let range = |expr: &Expr| match expr {
            Expr::Column(column) => self.columns.get(column)?.range,
            _ => None,
        };
        let share = |(low, high): (f64, f64), at: f64| {
            (high > low).then(|| ((at - low) / (high - low)).clamp(0.0, 1.0))
        };
        match (range(small), range(large)) {
            (Some(range), None) => share(range, constant(large)?),
            (None, Some(range)) => Some(1.0 - share(range, constant(small)?)?),
            _ => None,
        }
    }

    fn requalified(self, names: impl Iterator<Item = (Column, Column)>) -> Relation {
        let columns = names.filter_map(|(old, new)| Some((new, *self.columns.get(&old)?))).collect();
        Relation { rows: self.rows, columns }
    }
}

/// How many of `distinct` values are left if `rows` of `all` rows are.
fn left_over(distinct: f64, all: f64, rows: f64) -> f64 {
    if all <= 0.0 || rows <= 0.0 {
        return 0.0;
    }
    // Each value stands in all / distinct rows, and is gone if none of them is left.
    let per_value = (all / distinct.max(1.0)).max(1.0);
    (distinct * (1.0 - (1.0 - rows / all).max(0.0).powf(per_value))).max(1.0)
}

fn constant(expr: &Expr) -> Option<f64> {
    let Expr::Literal(value, _) = expr else { return None };
    Some(match value {
        ScalarValue::Decimal128(Some(v), _, scale) => *v as f64 / 10f64.powi(i32::from(*scale)),
        ScalarValue::Date32(Some(v)) => f64::from(*v),
        ScalarValue::TimestampMicrosecond(Some(v), _) | ScalarValue::DurationMicrosecond(Some(v)) => {
            *v as f64
        }
        other => match other.cast_to(&datafusion::arrow::datatypes::DataType::Float64) {
            Ok(ScalarValue::Float64(Some(v))) => v,
            _ => return None,
        },
    })
}

/// What an inner join of two relations yields on these pairs of keys, not counting other conditions.
pub(crate) fn join_rows(left: &Relation, right: &Relation, on: &[(&Expr, &Expr)]) -> f64 {
    let cross = left.rows * right.rows;
    match on {
        [] => cross,
        [(l, r)] => cross / left.distinct(l).max(right.distinct(r)).max(1.0),
        _ => {
            let values = |relation: &Relation, keys: &mut dyn Iterator<Item = &Expr>| {
                keys.map(|key| relation.distinct(key)).collect::<Vec<_>>()
            };
            let l = values(left, &mut on.iter().map(|(l, _)| *l));
            let r = values(right, &mut on.iter().map(|(_, r)| *r));
            cross / combinations((&l, left.rows), (&r, right.rows))
        }
    }
}

/// How many combinations of values several keys of a join have that might meet. Of each side: how many different
/// values each key has, and the number of rows.
///
/// Together keys have at most as many values as rows. The side with fewer of them is the one that knows which
/// combinations exist (a foreign key refers to it). Of a side that has only some of the values of a key, because
/// something else has filtered it, as many more combinations are gone: without that, a filtered side that is
/// referred to would seem to have a partner for every row of the other.
pub(crate) fn combinations(left: (&[f64], f64), right: (&[f64], f64)) -> f64 {
    let of = |(own, rows): (&[f64], f64), other: &[f64]| {
        let together = own.iter().product::<f64>().min(rows);
        let gone = own.iter().zip(other).map(|(own, other)| other / own.max(1.0)).fold(1.0, f64::max);
        together * gone
    };
    of(left, right.0).min(of(right, left.0)).max(1.0)
}

/// The relation of a join, whose rows are known.
pub(crate) fn joined(left: &Relation, right: &Relation, rows: f64) -> Relation {
    let mut columns = left.columns.clone();
    columns.extend(right.columns.iter().map(|(column, values)| (column.clone(), *values)));
    for values in columns.values_mut() {
        values.distinct = values.distinct.min(rows).max(1.0);
    }
    Relation { rows, columns }
}

/// The share of the left side's rows that have a partner.
pub(crate) fn semi_share(left: &Relation, right: &Relation, on: &[(&Expr, &Expr)]) -> f64 {
    on.iter().map(|(l, r)| (right.distinct(r) / left.distinct(l)).min(1.0)).fold(1.0, f64::min)
}

/// See the module.
pub(crate) fn estimate(plan: &LogicalPlan) -> Relation {
    match plan {
        LogicalPlan::TableScan(scan) => estimate_scan(scan),
        LogicalPlan::SubqueryAlias(alias) => {
            let old = alias.input.schema().columns();
            estimate(&alias.input).requalified(old.into_iter().zip(alias.schema.columns()))
        }
        LogicalPlan::Projection(projection) => {
            let input = estimate(&projection.input);
            let new = projection.schema.columns();
            let mut columns = HashMap::new();
            for (expr, name) in projection.expr.iter().zip(new) {
                let plain = match expr {
                    Expr::Alias(Alias { expr, .. }) => expr.as_ref(),
                    other => other,
                };
                let range = match plain {
                    Expr::Column(column) => input.columns.get(column).and_then(|values| values.range),
                    _ => None,
                };
                columns.insert(name, Values { distinct: input.distinct(plain), range });
            }
            Relation { rows: input.rows, columns }
        }
        LogicalPlan::Filter(filter) => {
            let input = estimate(&filter.input);
            let share = split_conjunction(&filter.predicate).iter().map(|p| input.selectivity(p)).product();
            input.filtered(share)
        }
        LogicalPlan::Aggregate(aggregate) => {
            let input = estimate(&aggregate.input);
            let groups = groups(&input, aggregate.group_expr.iter());
            let names = aggregate.schema.columns();
            let columns = aggregate
                .group_expr
                .iter()
                .zip(names)
                .map(|(expr, name)| (name, Values { distinct: input.distinct(expr), range: None }))
                .collect();
            Relation { rows: groups, columns }
        }
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let relation = estimate(input);
            let columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
            let rows = groups(&relation, columns.iter());
            Relation { rows, columns: relation.columns }
        }
        LogicalPlan::Join(join) => {
            let (left, right) = (estimate(&join.left), estimate(&join.right));
            let on: Vec<(&Expr, &Expr)> = join.on.iter().map(|(l, r)| (l, r)).collect();
            let inner = join_rows(&left, &right, &on);
            let both = joined(&left, &right, inner);
            let share = join
                .filter
                .iter()
                .flat_map(|filter| split_conjunction(filter))
                .map(|p| both.selectivity(p))
                .product::<f64>();
            let inner = inner * share;
            let semi = semi_share(&left, &right, &on);
            match join.join_type {
                JoinType::Inner => joined(&left, &right, inner),
                JoinType::Left => joined(&left, &right, inner.max(left.rows)),
                JoinType::Right => joined(&left, &right, inner.max(right.rows)),
                JoinType::Full => joined(&left, &right, inner.max(left.rows + right.rows)),
                JoinType::LeftSemi => left.filtered(semi),
                JoinType::LeftAnti => left.filtered((1.0 - semi).max(0.1)),
                JoinType::RightSemi => {
                    let share = semi_share(&right, &left, &swapped(&on));
                    right.filtered(share)
                }
                JoinType::RightAnti => {
                    let share = (1.0 - semi_share(&right, &left, &swapped(&on))).max(0.1);
                    right.filtered(share)
                }
                JoinType::LeftMark => left,
                JoinType::RightMark => right,
            }
        }
        LogicalPlan::Limit(limit) => {
            let input = estimate(&limit.input);
            let fetch = match (limit.get_fetch_type(), limit.get_skip_type()) {
                (Ok(FetchType::Literal(Some(n))), Ok(SkipType::Literal(_))) => n as f64,
                _ => f64::INFINITY,
            };
            let rows = input.rows.min(fetch);
            Relation { rows, columns: input.columns }
        }
        LogicalPlan::Sort(sort) => {
            let input = estimate(&sort.input);
            let rows = input.rows.min(sort.fetch.map_or(f64::INFINITY, |n| n as f64));
            Relation { rows, columns: input.columns }
        }
        LogicalPlan::Union(union) => Relation::of_rows(union.inputs.iter().map(|i| estimate(i).rows).sum()),
        LogicalPlan::Values(values) => Relation::of_rows(values.values.len() as f64),
        LogicalPlan::EmptyRelation(empty) => Relation::of_rows(f64::from(u8::from(empty.produce_one_row))),
        LogicalPlan::Window(_) | LogicalPlan::Repartition(_) | LogicalPlan::Subquery(_) => {
            plan.inputs().first().map(|input| estimate(input)).unwrap_or_default()
        }
        LogicalPlan::Extension(Extension { node }) if node.as_any().is::<JsonTableNode>() => {
            let input = plan.inputs().first().map(|input| estimate(input)).unwrap_or_default();
            Relation { rows: input.rows * ROWS_OF_DOCUMENT as f64, columns: input.columns }
        }
        _ => match plan.inputs().as_slice() {
            [input] => Relation::of_rows(estimate(input).rows),
            _ => Relation::of_rows(UNKNOWN_ROWS),
        },
    }
}

fn swapped<'a>(on: &[(&'a Expr, &'a Expr)]) -> Vec<(&'a Expr, &'a Expr)> {
    on.iter().map(|(l, r)| (*r, *l)).collect()
}

fn groups<'a>(input: &Relation, keys: impl Iterator<Item = &'a Expr>) -> f64 {
    let product = keys.map(|key| input.distinct(key)).product::<f64>();
    // Keys depend on each other more often than not.
    product.min(input.rows * 0.9).max(input.rows.min(1.0))
}

fn estimate_scan(scan: &TableScan) -> Relation {
    let columns = scan.projected_schema.columns();
    let provider = source_as_provider(&scan.source).ok();
    let Some(table) = provider.as_ref().and_then(|provider| provider.downcast_ref::<ShardedTable>()) else {
        let rows = provider
            .and_then(|provider| provider.statistics())
            .and_then(|statistics| statistics.num_rows.get_value().copied());
        return Relation::of_rows(rows.map_or(UNKNOWN_ROWS, |rows| rows as f64));
    };
    let estimate = table.estimate();
    let def = table.def();
    let known = columns
        .into_iter()
        .filter_map(|column| {
            let declared = def.columns.iter().find(|own| own.name.eq_ignore_ascii_case(&column.name))?;
            let known = estimate.columns.get(&declared.id)?;
            let range = match (known.min.as_ref().and_then(as_number), known.max.as_ref().and_then(as_number))
            {
                (Some(min), Some(max)) => Some((min, max)),
                _ => None,
            };
            let distinct = if known.distinct > 0 { known.distinct as f64 } else { estimate.rows as f64 };
            Some((column, Values { distinct, range }))
        })
        .collect();
    let all = Relation { rows: estimate.rows as f64, columns: known };
    let mut predicates = Vec::new();
    let mut share = 1.0;
    for filter in &scan.filters {
        match table.translate(filter) {
            Some(translated) => predicates.extend(translated),
            None => share *= all.selectivity(filter),
        }
    }
    share *= estimate.selectivity(def, &predicates);
    let mut left = all.filtered(share);
    // A column that is compared with constants has no more values than that.
    for filter in &scan.filters {
        if let Some((name, values)) = constants(filter) {
            for (column, known) in left.columns.iter_mut() {
                if column.name == name {
                    known.distinct = known.distinct.min(values);
                }
            }
        }
    }
    left
}

/// `column = constant` or `column IN (constants)`: the column and the number of constants.
fn constants(filter: &Expr) -> Option<(&str, f64)> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            match (left.as_ref(), right.as_ref()) {
                (Expr::Column(column), Expr::Literal(..) | Expr::Placeholder(_))
                | (Expr::Literal(..), Expr::Column(column)) => Some((&column.name, 1.0)),
                _ => None,
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let (a, n) = constants(left)?;
            let (b, m) = constants(right)?;
            (a == b).then_some((a, n + m))
        }
        Expr::InList(InList { expr, list, negated: false }) => match expr.as_ref() {
            Expr::Column(column) => Some((&column.name, list.len() as f64)),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filtered_side_that_is_referred_to_has_no_partner_for_every_row() {
        let (referring, rows) = ([200e3, 10e3], 6e6);
        assert_eq!(combinations((&referring, rows), (&[200e3, 10e3], 800e3)), 800e3);
        // A tenth of it is left: so is a tenth of the join.
        assert_eq!(combinations((&referring, rows), (&[20e3, 10e3], 80e3)), 800e3);
        // Whichever side was filtered, and in whichever order they stand.
        assert_eq!(combinations((&[200e3, 10e3], 800e3), (&[20e3, 10e3], 600e3)), 800e3);
    }
}
