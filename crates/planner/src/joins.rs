//! How each join runs: which side is built, whether it is collected for all partitions or the rows
//! of both sides are brought together partition by partition.

use crate::movement::{BUILD, PROBE, Ways, moved};
use crate::placement::{Expr, covered, hash_alike, meet, partitions};
use crate::settings::Settings;
use crate::sizes::{Size, size};
use datafusion::common::{JoinType, Result};
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use exec::{ExchangeExec, ExchangeKind};
use std::sync::Arc;

/// Where each side's rows go before they are joined partition by partition.
struct Meeting {
    left: Option<Vec<Expr>>,
    right: Option<Vec<Expr>>,
}

impl Meeting {
    /// The cheapest way to bring equal keys of both sides into the same partition; `None` if the
    /// keys cannot be hashed.
    fn find(
        (left, left_size): (&Arc<dyn ExecutionPlan>, &Size),
        (right, right_size): (&Arc<dyn ExecutionPlan>, &Size),
        on: &[(Expr, Expr)],
        n: usize,
    ) -> Option<Meeting> {
        let (on_left, on_right): (Vec<Expr>, Vec<Expr>) = on.iter().cloned().unzip();
        let alike: Vec<bool> = on
            .iter()
            .map(|(l, r)| match (l.data_type(&left.schema()), r.data_type(&right.schema())) {
                (Ok(l), Ok(r)) => hash_alike(&l, &r),
                _ => false,
            })
            .collect();
        let usable = |places: &Vec<usize>| places.iter().all(|at| alike[*at]);
        let pick =
            |of: &[Expr], places: &[usize]| places.iter().map(|at| of[*at].clone()).collect::<Vec<_>>();
        let left_places = covered(left, &on_left).filter(usable).filter(|_| partitions(left) == n);
        let right_places = covered(right, &on_right).filter(usable).filter(|_| partitions(right) == n);
        if partitions(left) == n && meet(left, right, on) {
            return Some(Meeting { left: None, right: None });
        }
        // One column that equals two of the other side places by one of them.
        let repeats =
            |at: usize| (0..at).any(|b| alike[b] && (on[b].0.eq(&on[at].0) || on[b].1.eq(&on[at].1)));
        let all: Vec<usize> = (0..on.len()).filter(|at| alike[*at] && !repeats(*at)).collect();
        let to_left = left_places.map(|p| Meeting { left: None, right: Some(pick(&on_right, &p)) });
        let to_right = right_places.map(|p| Meeting { left: Some(pick(&on_left, &p)), right: None });
        let both = (!all.is_empty())
            .then(|| Meeting { left: Some(pick(&on_left, &all)), right: Some(pick(&on_right, &all)) });
        let cost = |m: &Meeting| m.cost(left_size, right_size);
        [to_left, to_right, both].into_iter().flatten().min_by(|a, b| cost(a).total_cmp(&cost(b)))
    }

    fn cost(&self, left: &Size, right: &Size) -> f64 {
        let cost = |keys: &Option<Vec<Expr>>, size: &Size| match keys {
            Some(_) => moved(size.rows, size.width),
            None => 0.0,
        };
        cost(&self.left, left) + cost(&self.right, right)
    }
}

/// Whether a join of this type yields rows of the build (left) side by what all of the probe side
/// says of them: if so, a collected build side works only where the whole probe side is.
pub(crate) fn keeps_build_rows(join_type: JoinType) -> bool {
    matches!(
        join_type,
        JoinType::Left | JoinType::Full | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark
    )
}

pub(crate) fn hash_join(
    join: &HashJoinExec,
    settings: &Settings,
    n: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let (left, right) = (join.left(), join.right());
    let (left_size, right_size) = (size(left), size(right));
    let may_swap = join.join_type().supports_swap() && !join.null_aware;
    let may_collect = |join_type: JoinType| settings.leaves == 1 || !keeps_build_rows(join_type);
    let parallel = partitions(left).max(partitions(right)).max(1) as f64;

    let mut choices: Vec<(f64, Choice)> = Vec::new();
    let ways = Ways::new(settings, n);
    let collect = |build: &Size, probe: &Size, probe_partitions: usize| {
        ways.collected(build.rows, build.width) + probe.rows * PROBE / probe_partitions.max(1) as f64
    };
    // One that must know of NULLs on the whole other side never meets by partitions.
    if may_collect(*join.join_type()) {
        choices.push((collect(&left_size, &right_size, partitions(right)), Choice::Collect { swap: false }));
    }
    if may_swap && may_collect(join.join_type().swap()) {
        choices.push((collect(&right_size, &left_size, partitions(left)), Choice::Collect { swap: true }));
    }
    if !join.null_aware
        && n > 1
        && let Some(meeting) = Meeting::find((left, &left_size), (right, &right_size), join.on(), n)
    {
        let moved = meeting.cost(&left_size, &right_size);
        let swap = may_swap && right_size.rows < left_size.rows;
        let (build, probe) = if swap { (&right_size, &left_size) } else { (&left_size, &right_size) };
        let work = moved + build.rows * BUILD + probe.rows * PROBE;
        choices.push((work / parallel, Choice::Meet { meeting, swap }));
    }
    if choices.is_empty() {
        // Nothing can be hashed and the build side must not be spread: both sides go to one place.
        let gathered = with_children(join, gather(left), gather(right))?;
        return Ok(Arc::new(gathered.builder().with_partition_mode(PartitionMode::CollectLeft).build()?));
    }
    let best = choices.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, choice)| choice);
    match best {
        Some(Choice::Meet { meeting, swap }) => {
            let move_to = |plan: &Arc<dyn ExecutionPlan>, keys: Option<Vec<Expr>>| match keys {
                Some(keys) => shuffle(plan, keys, n),
                None => plan.clone(),
            };
            let joined = with_children(join, move_to(left, meeting.left), move_to(right, meeting.right))?;
            if swap {
                joined.swap_inputs(PartitionMode::Partitioned)
            } else {
                Ok(Arc::new(joined.builder().with_partition_mode(PartitionMode::Partitioned).build()?))
            }
        }
        Some(Choice::Collect { swap: true }) => join.swap_inputs(PartitionMode::CollectLeft),
        _ => Ok(Arc::new(join.builder().with_partition_mode(PartitionMode::CollectLeft).build()?)),
    }
}

enum Choice {
    Collect { swap: bool },
    Meet { meeting: Meeting, swap: bool },
}

fn with_children(
    join: &HashJoinExec,
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
) -> Result<HashJoinExec> {
    join.builder().recompute_properties().with_new_children(vec![left, right])?.build()
}

pub(crate) fn shuffle(
    plan: &Arc<dyn ExecutionPlan>,
    keys: Vec<Expr>,
    partitions: usize,
) -> Arc<dyn ExecutionPlan> {
    Arc::new(ExchangeExec::new(plan.clone(), ExchangeKind::Shuffle { keys, partitions }))
}

pub(crate) fn gather(plan: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
    if plan.output_partitioning().partition_count() > 1 {
        Arc::new(CoalescePartitionsExec::new(plan.clone()))
    } else {
        plan.clone()
    }
}

/// The smaller side of a nested loop join is collected, unless that must not be spread. It must not be on one
/// node either: a join whose build side does not fit in memory goes by what each partition sees for itself.
pub(crate) fn nested_loop_join(
    plan: &Arc<dyn ExecutionPlan>,
    join: &NestedLoopJoinExec,
) -> Result<Arc<dyn ExecutionPlan>> {
    let (left, right) = (join.left(), join.right());
    let may_collect = |join_type: JoinType| !keeps_build_rows(join_type);
    let swapped = join.join_type().swap();
    let may_swap = join.join_type().supports_swap() && may_collect(swapped);
    let better = size(right).rows < size(left).rows;
    if may_swap && (better || !may_collect(*join.join_type())) {
        return join.swap_inputs();
    }
    let right = if may_collect(*join.join_type()) { right.clone() } else { gather(right) };
    datafusion::physical_plan::execution_plan::replace_children_if_necessary(
        plan.clone(),
        vec![left.clone(), right],
    )
}

pub(crate) fn cross_join(
    plan: &Arc<dyn ExecutionPlan>,
    join: &CrossJoinExec,
) -> Result<Arc<dyn ExecutionPlan>> {
    if size(join.right()).rows < size(join.left()).rows { join.swap_inputs() } else { Ok(plan.clone()) }
}
