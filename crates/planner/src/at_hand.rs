//! Plans over rows of one table that are at hand, see [`exec::at_hand`].

use crate::Planner;
use crate::logical::optimize;
use crate::physical::session;
use crate::subqueries::is_correlated;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, internal_err};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use exec::{PlanAtHand, RowsAtHand, ShardedTable, to_sql_error};
use std::sync::Arc;
use types::SqlError;

impl Planner {
    /// Plans a query of one table without conditions over rows that come with each run. `logical` is
    /// analyzed: its types are final.
    pub fn at_hand(&self, logical: LogicalPlan) -> Result<PlanAtHand, SqlError> {
        let correlated = is_correlated(&logical);
        let optimized = optimize(logical, correlated, &self.settings, 1, &self.cancel)?;
        self.over_rows(optimized).map_err(|error| to_sql_error(&error))
    }

    fn over_rows(&self, optimized: LogicalPlan) -> Result<PlanAtHand> {
        let mut read: Option<Vec<usize>> = None;
        let plan = optimized.transform_up(|node| {
            let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
            let provider = source_as_provider(&scan.source)?;
            let Some(table) = provider.downcast_ref::<ShardedTable>() else {
                return internal_err!("a scan of something that is no table");
            };
            let width = table.def().columns.len();
            let columns = scan.projection.clone().unwrap_or_else(|| (0..width).collect());
            let is_hidden = columns.iter().any(|column| *column >= width);
            if read.is_some() || is_hidden || !scan.filters.is_empty() || scan.fetch.is_some() {
                return internal_err!("a query that is more than one of one table's rows");
            }
            read = Some(columns);
            scan.source = provider_as_source(Arc::new(RowsAtHand::new(scan.source.schema())));
            Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
        })?;
        let Some(columns) = read else { return internal_err!("a query of no table") };
        let options = self.settings.options(1);
        // Nothing in it waits, see crate::physical.
        let planner = DefaultPhysicalPlanner::default();
        let session = session(&options, &self.cancel);
        let planning = tokio::task::unconstrained(planner.create_physical_plan(&plan.data, &session));
        Ok(PlanAtHand::new(futures::executor::block_on(planning)?, columns, options))
    }
}
