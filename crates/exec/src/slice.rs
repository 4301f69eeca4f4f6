//! The part of a stage that runs on one node: a plan whose partitions are just that node's tasks.
//!
//! A stage's plan is not run in part as it is, since operators count the partitions of their children
//! (a join that is partitioned waits until all of its partitions have reported, say). [`slice()`] makes
//! a plan that has only some of the partitions, in ascending order, from the leaves up:
//!
//! * a scan keeps the partitions of these tasks,
//! * the receiving end of an exchange keeps their streams (see [`ReceiveExec`]),
//! * a node with as many partitions as its parent is cut like the parent, one with a single partition
//!   is a side that all tasks share, and stays whole,
//! * a union over partitions ([`CollocatedUnionExec`]) may have children with fewer partitions,
//! * one that puts the partitions of its children side by side ([`UnionExec`]) keeps those of these tasks.
//!
//! Partition `j` of the slice is task `tasks[j]` of the stage; exchanges know tasks by that number.

use crate::exchange::{ExchangeKind, ReceiveExec};
use crate::scan::ScanExec;
use crate::union::CollocatedUnionExec;
use datafusion::common::{Result, internal_err};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use std::sync::Arc;

/// The plan with only these tasks, which are ascending and some. `place`: the number of the node
/// among those that run the stage, which is the number of its stream of every broadcast.
pub(crate) fn slice(
    plan: &Arc<dyn ExecutionPlan>,
    tasks: &[usize],
    place: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    if tasks.is_empty() || tasks.windows(2).any(|pair| pair[0] >= pair[1]) {
        return internal_err!("a node runs some tasks of a stage, in order, not {tasks:?}");
    }
    let count = partitions(plan);
    let whole = tasks.len() == count;
    if let Some(receive) = plan.downcast_ref::<ReceiveExec>() {
        let streams = match receive.kind() {
            ExchangeKind::Broadcast => vec![place],
            _ => tasks.iter().map(|task| receive.streams()[*task]).collect(),
        };
        return Ok(Arc::new(receive.of_streams(streams)));
    }
    if let Some(scan) = plan.downcast_ref::<ScanExec>() {
        return Ok(if whole { plan.clone() } else { Arc::new(scan.of_partitions(tasks)?) });
    }
    if plan.children().is_empty() {
        return if whole { Ok(plan.clone()) } else { internal_err!("{} cannot run in part", plan.name()) };
    }
    if plan.is::<UnionExec>() && !whole {
        return side_by_side(plan, tasks, place);
    }
    let union = plan.is::<CollocatedUnionExec>();
    let mut children = Vec::new();
    for child in plan.children() {
        let of_child = partitions(child);
        children.push(if union {
            let tasks: Vec<usize> = tasks.iter().copied().filter(|task| *task < of_child).collect();
            // A child that has nothing for this node.
            if tasks.is_empty() {
                Arc::new(EmptyExec::new(child.schema()))
            } else {
                slice(child, &tasks, place)?
            }
        } else if of_child == count {
            slice(child, tasks, place)?
        } else if of_child == 1 || whole {
            slice(child, &(0..of_child).collect::<Vec<_>>(), place)?
        } else {
            return internal_err!(
                "{} with {count} partitions over {} with {of_child} cannot run in part",
                plan.name(),
                child.name()
            );
        });
    }
    replace_children_if_necessary(plan.clone(), children)
}

/// The part of a union whose first partitions are those of its first child, and so on.
fn side_by_side(
    union: &Arc<dyn ExecutionPlan>,
    tasks: &[usize],
    place: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut first = 0;
    let mut kept = Vec::new();
    for child in union.children() {
        let range = first..first + partitions(child);
        let here: Vec<usize> =
            tasks.iter().filter(|task| range.contains(task)).map(|task| task - first).collect();
        if !here.is_empty() {
            kept.push(slice(child, &here, place)?);
        }
        first = range.end;
    }
    // With fewer children the columns may be called otherwise, and be known not to be NULL.
    Ok(Arc::new(CollocatedUnionExec::try_new(vec![UnionExec::try_new(kept)?], union.schema())?))
}

/// Whether any part of the stage can run by itself.
pub(crate) fn sliceable(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let count = partitions(plan);
    if count <= 1 || plan.is::<ReceiveExec>() || plan.is::<ScanExec>() {
        return true;
    }
    let children = plan.children();
    !children.is_empty()
        && children.into_iter().all(|child| {
            let of_child = partitions(child);
            let union = plan.is::<CollocatedUnionExec>() || plan.is::<UnionExec>();
            let fits = of_child == count || of_child == 1 || union;
            fits && sliceable(child)
        })
}

fn partitions(plan: &Arc<dyn ExecutionPlan>) -> usize {
    plan.output_partitioning().partition_count()
}
