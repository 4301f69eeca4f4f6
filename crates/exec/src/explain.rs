//! Plans as text: stages, exchanges with their keys, where each runs; with `explain_analyze` what
//! each operator did.

mod operations;

pub use operations::Operation;

use crate::interruptible::wrapped;
use crate::measured::Measured;
use crate::plan::{DistributedPlan, Stage};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan};
use std::fmt::{self, Write};
use std::sync::Arc;
use types::NodeId;

/// The plan, with the rows that each operator is expected to yield.
pub fn explain(plan: &DistributedPlan) -> String {
    render(plan, false)
}

/// The plan, with what each operator yielded and the time it took, over all tasks, so far.
pub fn explain_analyze(plan: &DistributedPlan) -> String {
    render(plan, true)
}

/// What shows a plan calls itself for what an operator reads, and so does what writes JSON: a plan may be deeper than
/// a thread's stack allows.
fn deeply<T>(work: impl FnOnce() -> T) -> T {
    const STACK: usize = 64 << 20;
    stacker::maybe_grow(STACK / 2, STACK, work)
}

fn render(plan: &DistributedPlan, analyze: bool) -> String {
    deeply(|| stages(plan, analyze))
}

fn stages(plan: &DistributedPlan, analyze: bool) -> String {
    let mut text = String::new();
    let expected = Expected::default();
    let spread = plan.spread();
    let stages = spread.map_or(plan.stages(), |spread| spread.stages());
    for (at, stage) in stages.iter().enumerate() {
        header(stage, spread.filter(|spread| !spread.is_local()).map(|spread| spread.nodes(at)), &mut text);
        let measured = analyze.then(|| {
            let mut all = Measured::of(&stage.plan);
            plan.measured(stage.id).iter().for_each(|part| all.add(part));
            all
        });
        node(&stage.plan, 1, &expected, measured.as_ref(), &mut text);
    }
    text
}

fn header(stage: &Stage, nodes: Option<Vec<NodeId>>, text: &mut String) {
    let tasks = match stage.tasks() {
        1 => "1 task".to_string(),
        n => format!("{n} tasks"),
    };
    // Invariant: writing to a String does not fail (here and below).
    let _ = write!(text, "Stage {}: {tasks} on {}", stage.id, stage.place);
    if let Some(nodes) = nodes {
        let names: Vec<String> = nodes.iter().map(NodeId::to_string).collect();
        let _ = write!(text, " (nodes {})", names.join(", "));
    }
    let _ = match &stage.output {
        Some(kind) => writeln!(text, " -> {kind}"),
        None => writeln!(text, " -> result"),
    };
}

struct Line<'a>(&'a dyn ExecutionPlan);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_as(DisplayFormatType::Default, f)
    }
}

fn node(
    plan: &Arc<dyn ExecutionPlan>,
    depth: usize,
    expected: &Expected,
    measured: Option<&Measured>,
    text: &mut String,
) {
    if wrapped(plan).is_some() {
        let child = measured.and_then(Measured::with_first_child);
        return node(plan.children()[0], depth, expected, child.as_ref(), text);
    }
    let _ = write!(text, "{:indent$}{}", "", Line(plan.as_ref()), indent = depth * 2);
    if let Some(measured) = measured {
        let _ = write!(text, "{measured}");
    } else if let Some(rows) = expected.rows(plan) {
        let _ = write!(text, "  [{} rows]", short(rows));
    }
    text.push('\n');
    for (at, child) in plan.children().into_iter().enumerate() {
        let measured = measured.and_then(|measured| measured.children.get(at));
        node(child, depth + 1, expected, measured, text);
    }
}

/// How many rows each operator is expected to yield, worked out once for each: an operator asks those that it reads.
/// It knows operators by where they lie, and so is good only while the plan that is shown lives.
#[derive(Default)]
struct Expected(StatisticsContext);

impl Expected {
    fn rows(&self, plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
        let statistics = self.0.compute(plan.as_ref(), &StatisticsArgs::new()).ok()?;
        statistics.num_rows.get_value().copied()
    }
}

/// Milliseconds, to the microsecond.
fn rounded_millis(nanos: u64) -> f64 {
    (nanos / 1_000) as f64 / 1e3
}

fn short(rows: usize) -> String {
    match rows {
        0..10_000 => rows.to_string(),
        10_000..10_000_000 => format!("{}k", rows / 1_000),
        _ => format!("{}M", rows / 1_000_000),
    }
}
