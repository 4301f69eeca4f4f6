//! From an analyzed logical plan to a distributed physical one. Pure: no I/O, no threads.
//!
//! 1. [`logical`]: DataFusion's rules, then the order of joins by cost ([`join_order`]) and what is
//!    left of their keys ([`group_keys`]).
//! 2. [`physical`]: DataFusion's physical planner, then where rows are and where they must go
//!    ([`distribute`]): a property of every node, of which only what is missing is made, by shuffles
//!    with the hash that places rows in storage, by collecting a small side, or by gathering.
//! 3. [`stages`]: exchanges at the borders of stages, then the cut.
//! 4. [`check`]: proves of the finished plan that every operator finds its rows where it needs them.
//!
//! Plans have a depth that they may not exceed ([`depth`](mod@depth)), since what walks them calls itself.
//! A statement that nobody wants any more is not planned to its end ([`rules`]).

mod at_hand;
mod cardinality;
mod careful;
pub mod check;
mod correlated;
mod depth;
mod distribute;
mod group_keys;
mod join_order;
mod joins;
mod json_tables;
mod logical;
mod movement;
mod outer_joins;
mod physical;
mod placement;
mod refused;
mod rules;
mod settings;
mod short_circuit;
mod sizes;
mod sorted;
mod stages;
mod subqueries;
mod unique_keys;

#[cfg(test)]
mod tests;

pub use check::check_distribution;
pub use logical::optimize;
pub use physical::Prepared;
pub use settings::Settings;

use crate::refused::reword;
use crate::subqueries::is_correlated;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::LogicalPlan;
use exec::{Cancel, DistributedPlan, ShardedTable, to_sql_error};
use types::SqlError;

/// Makes plans.
#[derive(Debug, Clone, Default)]
pub struct Planner {
    settings: Settings,
    cancel: Cancel,
}

impl Planner {
    pub fn new(settings: Settings) -> Planner {
        Planner { settings, cancel: Cancel::new() }
    }

    /// The same for tables that lie on so many leaves.
    pub fn on_leaves(&self, leaves: usize) -> Planner {
        let settings = Settings { leaves: leaves.max(1), ..self.settings.clone() };
        Planner { settings, cancel: self.cancel.clone() }
    }

    /// The same for recursive queries of at most so many rounds.
    pub fn within_rounds(&self, rounds: u64) -> Planner {
        let settings = Settings { recursion_limit: rounds, ..self.settings.clone() };
        Planner { settings, cancel: self.cancel.clone() }
    }

    /// The same for one statement: once that is cancelled, planning ends with the reason.
    pub fn unless(&self, cancel: &Cancel) -> Planner {
        Planner { settings: self.settings.clone(), cancel: cancel.clone() }
    }

    /// A plan that can run once. `logical` is analyzed: its types are final.
    pub fn plan(&self, logical: LogicalPlan) -> Result<DistributedPlan, SqlError> {
        self.prepare(logical)?.into_plan()
    }

    /// A plan from which any number of plans that run can be had without planning again.
    pub fn prepare(&self, logical: LogicalPlan) -> Result<Prepared, SqlError> {
        depth::deeply(depth::depth(&logical)?, || {
            let correlated = is_correlated(&logical).then(|| logical.clone());
            self.prepare_here(logical, correlated.is_some())
                .map_err(|error| reword(error, correlated.as_ref()))
        })
    }

    fn prepare_here(&self, logical: LogicalPlan, correlated: bool) -> Result<Prepared, SqlError> {
        let partitions = partitions(&logical).map_err(|error| to_sql_error(&error))?;
        let optimized = optimize(logical, correlated, &self.settings, partitions, &self.cancel)?;
        physical::prepare(&optimized, &self.settings, partitions, &self.cancel)
            .map_err(|error| to_sql_error(&error))
    }
}

/// Over how many partitions rows are shuffled: as many as the tables have, so that one side of a
/// join can be brought to where the other lies.
fn partitions(plan: &LogicalPlan) -> datafusion::common::Result<usize> {
    let mut most = 1;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
            && let Some(table) = provider.downcast_ref::<ShardedTable>()
        {
            most = most.max(table.partitions().len());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(most)
}
