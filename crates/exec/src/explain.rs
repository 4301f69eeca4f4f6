//! Plans as text: stages, exchanges with their keys, where each runs; with `explain_analyze` what
//! each operator did.

use crate::plan::{DistributedPlan, Stage};
use datafusion::physical_plan::metrics::MetricValue;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan};
use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// The plan, with the rows that each operator is expected to yield.
pub fn explain(plan: &DistributedPlan) -> String {
    render(plan, false)
}

/// The plan, with what each operator yielded and the time it took, over all tasks, so far.
pub fn explain_analyze(plan: &DistributedPlan) -> String {
    render(plan, true)
}

fn render(plan: &DistributedPlan, analyze: bool) -> String {
    let mut text = String::new();
    for stage in plan.stages() {
        header(stage, &mut text);
        node(&stage.plan, 1, analyze, &mut text);
    }
    text
}

fn header(stage: &Stage, text: &mut String) {
    let tasks = match stage.tasks() {
        1 => "1 task".to_string(),
        n => format!("{n} tasks"),
    };
    // Invariant: writing to a String does not fail (here and below).
    let _ = match &stage.output {
        Some(kind) => writeln!(text, "Stage {}: {tasks} on {} -> {kind}", stage.id, stage.place),
        None => writeln!(text, "Stage {}: {tasks} on {} -> result", stage.id, stage.place),
    };
}

struct Line<'a>(&'a dyn ExecutionPlan);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_as(DisplayFormatType::Default, f)
    }
}

fn node(plan: &Arc<dyn ExecutionPlan>, depth: usize, analyze: bool, text: &mut String) {
    let _ = write!(text, "{:indent$}{}", "", Line(plan.as_ref()), indent = depth * 2);
    if analyze {
        let _ = write!(text, "{}", Measured(plan.as_ref()));
    } else if let Ok(statistics) = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new())
        && let Some(rows) = statistics.num_rows.get_value()
    {
        let _ = write!(text, "  [{} rows]", short(*rows));
    }
    text.push('\n');
    for child in plan.children() {
        node(child, depth + 1, analyze, text);
    }
}

/// What the metrics of a node say, over all of its tasks.
struct Measured<'a>(&'a dyn ExecutionPlan);

impl fmt::Display for Measured<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(metrics) = self.0.metrics() else { return Ok(()) };
        let mut parts = Vec::new();
        if let Some(rows) = metrics.output_rows() {
            parts.push(format!("{rows} rows"));
        }
        let mut nanos = metrics.elapsed_compute().unwrap_or(0);
        for name in ["build_time", "join_time"] {
            nanos += metrics.sum_by_name(name).map_or(0, |value| value.as_usize());
        }
        if nanos > 0 {
            parts.push(format!("{:?}", rounded(Duration::from_nanos(nanos as u64))));
        }
        if let Some(spills) = metrics.spill_count().filter(|n| *n > 0) {
            parts.push(format!("{spills} spills"));
        }
        let memory = metrics
            .iter()
            .filter_map(|metric| match metric.value() {
                MetricValue::Gauge { name, gauge } if name.contains("mem") => Some(gauge.value()),
                _ => None,
            })
            .max();
        if let Some(bytes) = memory.filter(|bytes| *bytes >= 1 << 20) {
            parts.push(format!("{} MiB", bytes >> 20));
        }
        if let Some(morsels) = metrics.sum_by_name("morsels_scanned") {
            parts.push(format!("{} morsels", morsels.as_usize()));
        }
        if parts.is_empty() { Ok(()) } else { write!(f, "  [{}]", parts.join(", ")) }
    }
}

fn rounded(time: Duration) -> Duration {
    let micros = time.as_micros() as u64;
    Duration::from_micros(if micros >= 10_000 { micros / 100 * 100 } else { micros })
}

fn short(rows: usize) -> String {
    match rows {
        0..10_000 => rows.to_string(),
        10_000..10_000_000 => format!("{}k", rows / 1_000),
        _ => format!("{}M", rows / 1_000_000),
    }
}
