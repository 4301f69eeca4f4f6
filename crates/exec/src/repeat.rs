//! Which plans can be kept and run many times, and what it costs to keep them.
//!
//! A plan runs again from fresh copies of its nodes ([`crate::runtime_filters::fresh`]). That is enough for nodes
//! that keep what they build in themselves. A scalar subquery puts its value where expressions of other nodes find it,
//! and a recursive query its rows where a node below does: both would be shared by all runs. A virtual table knows the
//! session that asked. So only plans of nodes that are known to be copied whole are repeated, and none with a function
//! that is volatile: RAND(1) has in itself where its sequence is.

use crate::build_keys::BuildKeysExec;
use crate::exchange::{ExchangeExec, ReceiveExec};
use crate::json_table::JsonTableExec;
use crate::scan::ScanExec;
use crate::union::CollocatedUnionExec;
use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use std::sync::Arc;

fn is_copied_whole(node: &Arc<dyn ExecutionPlan>) -> bool {
    let is_ours = node.is::<ScanExec>()
        || node.is::<ExchangeExec>()
        || node.is::<ReceiveExec>()
        || node.is::<BuildKeysExec>()
        || node.is::<CollocatedUnionExec>()
        || node.is::<JsonTableExec>();
    let is_join = node.is::<HashJoinExec>() || node.is::<CrossJoinExec>() || node.is::<NestedLoopJoinExec>();
    let is_sorted = node.is::<SortExec>() || node.is::<SortPreservingMergeExec>();
    let is_windowed = node.is::<WindowAggExec>() || node.is::<BoundedWindowAggExec>();
    let is_row_by_row = node.is::<FilterExec>() || node.is::<ProjectionExec>();
    let is_limit = node.is::<GlobalLimitExec>() || node.is::<LocalLimitExec>();
    let is_constant = node.is::<EmptyExec>() || node.is::<PlaceholderRowExec>();
    let is_gathered = node.is::<UnionExec>() || node.is::<CoalescePartitionsExec>();
    is_ours
        || is_join
        || is_sorted
        || is_windowed
        || is_row_by_row
        || is_limit
        || is_constant
        || is_gathered
        || node.is::<AggregateExec>()
}

/// See the module.
pub fn can_repeat(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let mut all = true;
    // Invariant: the closures never fail (here and below).
    let _ = plan.apply(|node| {
        all = all && is_copied_whole(node);
        let looked: Result<_> = node.apply_expressions(&mut |root| {
            all = all && !is_volatile(root);
            Ok(TreeNodeRecursion::Continue)
        });
        looked?;
        Ok(if all { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    all
}

/// The memory of a plan that is kept, about: nobody counts it as it is made. These numbers come to what 200 plans of
/// TPC-H's queries take.
pub fn kept_bytes(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let mut bytes = size_of::<datafusion::config::ConfigOptions>();
    let _ = plan.apply(|node| {
        bytes += 2300 + 220 * node.schema().fields().len();
        if let Some(scan) = node.downcast_ref::<ScanExec>() {
            bytes += 200 * scan.estimate().columns.len() + 100 * scan.predicates().len();
        }
        let mut expressions = 0;
        let counted: Result<_> = node.apply_expressions(&mut |root| {
            root.apply(|_| {
                expressions += 1;
                Ok(TreeNodeRecursion::Continue)
            })
        });
        counted?;
        bytes += 300 * expressions;
        Ok(TreeNodeRecursion::Continue)
    });
    bytes
}
