//! Proves of a plan that every operator finds its rows where it needs them. It repeats none of the
//! planner's choices: it only compares what each operator requires with what its children say, so it
//! catches a rule that moved or removed an exchange.

use crate::distribute::keeps_groups;
use crate::placement::{covered, meet, partitions};
use datafusion::common::{Result, internal_err};
use datafusion::physical_expr::{Distribution, Partitioning};
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use std::sync::Arc;

/// An error that names the first operator whose input is not where it must be.
pub fn check_distribution(plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
    for child in plan.children() {
        check_distribution(child)?;
    }
    if let Some(repartition) = plan.downcast_ref::<RepartitionExec>()
        && matches!(repartition.partitioning(), Partitioning::Hash(..))
    {
        return internal_err!("a plan must not use DataFusion's repartitioning hash");
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return check_hash_join(join);
    }
    let requirements = plan.input_distribution_requirements().into_per_child();
    let children = plan.children();
    let mut keyed = Vec::new();
    for (child, requirement) in children.into_iter().zip(&requirements) {
        match requirement {
            Distribution::UnspecifiedDistribution => {}
            Distribution::SinglePartition => {
                if partitions(child) > 1 {
                    return internal_err!("{} needs one partition, has {}", plan.name(), partitions(child));
                }
            }
            #[expect(deprecated, reason = "operators may still use the old name")]
            Distribution::KeyPartitioned(keys) | Distribution::HashPartitioned(keys) => {
                if partitions(child) > 1 && !keeps_groups(child, keys) {
                    return internal_err!(
                        "{} needs rows placed by {keys:?}, has {}",
                        plan.name(),
                        child.output_partitioning()
                    );
                }
                keyed.push((partitions(child), covered(child, keys)));
            }
        }
    }
    if keyed.len() > 1 && keyed.windows(2).any(|pair| pair[0] != pair[1]) {
        return internal_err!("{} has children that are placed differently", plan.name());
    }
    Ok(())
}

fn check_hash_join(join: &HashJoinExec) -> Result<()> {
    let (left, right) = (join.left(), join.right());
    match join.partition_mode() {
        PartitionMode::CollectLeft if partitions(left) <= 1 => Ok(()),
        PartitionMode::CollectLeft => internal_err!("a join collects {} partitions", partitions(left)),
        PartitionMode::Auto => internal_err!("a join's mode has not been chosen"),
        PartitionMode::Partitioned => {
            if partitions(left) == 1 && partitions(right) == 1 {
                return Ok(());
            }
            if meet(left, right, join.on()) {
                return Ok(());
            }
            internal_err!(
                "a join on {:?} finds its left side placed by {}, its right side by {}",
                join.on(),
                left.output_partitioning(),
                right.output_partitioning()
            )
        }
    }
}
