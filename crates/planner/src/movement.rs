//! What it costs to bring the rows of two inputs together, to compare orders of joins by.
//!
//! Which way a join goes is decided later, for each by itself ([`crate::joins`]), with the same costs.

use crate::group_keys::unaliased;
use crate::settings::Settings;
use datafusion::common::Column;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Distinct, Expr, Extension, LogicalPlan};
use exec::{JsonTableNode, ShardedTable};

/// What a row costs, in nanoseconds of one core, roughly as measured: in the hash table of a join, to look
/// one up, to be moved.
pub(crate) const BUILD: f64 = 45.0;
pub(crate) const PROBE: f64 = 20.0;
const SHUFFLE: f64 = 45.0;
const SHUFFLE_BYTE: f64 = 0.3;
/// The share of `BUILD` for rows that fit in a core's cache.
const SMALL_BUILD: f64 = 0.25;

/// What it costs to move so many rows of so many bytes each.
pub(crate) fn moved(rows: f64, width: f64) -> f64 {
    rows * (SHUFFLE + width * SHUFFLE_BYTE)
}

/// An input of a join.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Side {
    pub(crate) rows: f64,
    /// Bytes of a row.
    pub(crate) width: f64,
    /// The class of equal columns whose hash places the rows.
    pub(crate) placed: Option<usize>,
}

/// A way to join: what it costs, and by what the result is placed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Way {
    pub(crate) cost: f64,
    pub(crate) placed: Option<usize>,
}

/// What ways there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ways {
    partitions: f64,
    small_build_rows: f64,
    large_build_bytes: f64,
}

impl Ways {
    pub(crate) fn new(settings: &Settings, partitions: usize) -> Ways {
        Ways {
            partitions: partitions.max(1) as f64,
            small_build_rows: settings.small_build_rows as f64,
            large_build_bytes: settings.large_build_bytes as f64,
        }
    }

    /// What it costs to place the rows anew; nothing where there is but one place.
    pub(crate) fn moved(&self, side: &Side) -> f64 {
        if self.partitions > 1.0 { moved(side.rows, side.width) } else { 0.0 }
    }

    /// What it costs each partition that waits for it to collect a build side; without end if it is too large.
    pub(crate) fn collected(&self, rows: f64, width: f64) -> f64 {
        let small = if rows <= self.small_build_rows { SMALL_BUILD } else { 1.0 };
        if rows * width > self.large_build_bytes { f64::INFINITY } else { rows * BUILD * small }
    }

    /// The ways to join two sides on these classes: to collect the build side for every partition, or to bring
    /// both sides together partition by partition, moving those that are not placed so yet. The first is always
    /// there.
    pub(crate) fn of(&self, build: Side, probe: Side, compared: &[usize]) -> impl Iterator<Item = Way> {
        let probing = probe.rows * PROBE;
        let collecting = self.collected(build.rows, build.width) * self.partitions;
        let collected = Way { cost: collecting + probing, placed: probe.placed };

        let placed = |side: Side| side.placed.filter(|class| compared.contains(class));
        let by_build = placed(build).map(|class| (class, self.moved_to(&probe, class)));
        let by_probe = placed(probe).map(|class| (class, self.moved_to(&build, class)));
        let met = [by_build, by_probe].into_iter().flatten().map(|(class, moved)| (Some(class), moved));
        let both = match compared {
            [] => None,
            // Rows that are placed by several columns together are placed by none of them.
            _ => Some((
                <[usize; 1]>::try_from(compared).ok().map(|[class]| class),
                self.moved(&build) + self.moved(&probe),
            )),
        };
        let building = build.rows * BUILD;
        let met =
            met.chain(both).map(move |(placed, moved)| Way { cost: moved + building + probing, placed });
        std::iter::once(collected).chain(met)
    }

    fn moved_to(&self, side: &Side, class: usize) -> f64 {
        if side.placed == Some(class) { 0.0 } else { self.moved(side) }
    }
}

/// The column whose hash alone places the rows of a plan, as far as tables and groups tell.
pub(crate) fn placed_by(plan: &LogicalPlan) -> Option<Column> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source).ok()?;
            let def = provider.downcast_ref::<ShardedTable>()?.def();
            let [key] = def.shard_key.as_slice() else { return None };
            let name = &def.columns.iter().find(|column| column.id == *key)?.name;
            scan.projected_schema.columns().into_iter().find(|column| column.name.eq_ignore_ascii_case(name))
        }
        LogicalPlan::Filter(filter) => placed_by(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => {
            let at = alias.input.schema().maybe_index_of_column(&placed_by(&alias.input)?)?;
            Some(Column::from(alias.schema.qualified_field(at)))
        }
        LogicalPlan::Projection(projection) => {
            let at = place(&projection.expr, &placed_by(&projection.input)?)?;
            Some(Column::from(projection.schema.qualified_field(at)))
        }
        LogicalPlan::Aggregate(aggregate) => match aggregate.group_expr.as_slice() {
            [Expr::GroupingSet(_)] => None,
            // Its groups are brought together if they are not.
            [_] => Some(Column::from(aggregate.schema.qualified_field(0))),
            groups => {
                let at = place(groups, &placed_by(&aggregate.input)?)?;
                Some(Column::from(aggregate.schema.qualified_field(at)))
            }
        },
        LogicalPlan::Distinct(Distinct::All(input)) => placed_by(input),
        LogicalPlan::Extension(Extension { node }) => {
            placed_by(node.as_any().downcast_ref::<JsonTableNode>()?.input())
        }
        _ => None,
    }
}

/// Which of the expressions is the column.
fn place(expressions: &[Expr], column: &Column) -> Option<usize> {
    expressions.iter().position(|expr| matches!(unaliased(expr), Expr::Column(own) if own == column))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(rows: f64, placed: Option<usize>) -> Side {
        Side { rows, width: 20.0, placed }
    }

    fn ways(partitions: usize) -> Ways {
        Ways::new(&Settings::default(), partitions)
    }

    #[test]
    fn sides_that_are_placed_alike_stay() {
        let (build, probe) = (side(50_000.0, Some(3)), side(2e6, Some(3)));
        let found: Vec<Way> = ways(8).of(build, probe, &[1, 3]).collect();
        let stay = 50_000.0 * BUILD + 2e6 * PROBE;
        assert!(found.contains(&Way { cost: stay, placed: Some(3) }), "{found:?}");
        assert!(found.iter().all(|way| way.cost >= stay));
        // To be moved by two columns at once is to be placed by neither.
        assert_eq!(found.last().unwrap().placed, None);
    }

    #[test]
    fn a_side_moves_to_where_the_other_is() {
        let (build, probe) = (side(50_000.0, Some(1)), side(2e6, Some(3)));
        let found: Vec<Way> = ways(8).of(build, probe, &[3]).collect();
        let best = found.iter().min_by(|a, b| a.cost.total_cmp(&b.cost)).unwrap();
        let cost = moved(50_000.0, 20.0) + 50_000.0 * BUILD + 2e6 * PROBE;
        assert_eq!(*best, Way { cost, placed: Some(3) });
    }

    #[test]
    fn what_nothing_compares_is_collected() {
        let found: Vec<Way> = ways(8).of(side(10.0, Some(0)), side(2e6, Some(3)), &[]).collect();
        assert_eq!(found, [Way { cost: 10.0 * BUILD * SMALL_BUILD * 8.0 + 2e6 * PROBE, placed: Some(3) }]);
    }

    #[test]
    fn one_partition_moves_nothing() {
        assert_eq!(ways(1).moved(&side(1e6, None)), 0.0);
    }
}
