//! What the operators of a plan did while they ran: from their metrics, in a form that travels between
//! nodes and adds up over them.

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricValue;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// One operator with those below it, over the tasks of one node or of several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    /// The operator's name, by which parts from several nodes are matched.
    pub name: String,
    pub rows: Option<u64>,
    pub nanos: u64,
    pub spills: u64,
    /// Bytes written to the spill folder.
    pub spilled: u64,
    /// The most memory that a task held, in bytes.
    pub memory: u64,
    pub morsels: Option<u64>,
    pub children: Vec<Measured>,
}

impl Measured {
    /// The operators of a plan, so far.
    pub(crate) fn of(plan: &Arc<dyn ExecutionPlan>) -> Measured {
        let children = plan.children().into_iter().map(Measured::of).collect();
        let mut measured = Measured { name: plan.name().to_string(), children, ..Measured::default() };
        let Some(metrics) = plan.metrics() else { return measured };
        measured.rows = metrics.output_rows().map(|rows| rows as u64);
        measured.nanos = metrics.elapsed_compute().unwrap_or(0) as u64;
        for name in ["build_time", "join_time"] {
            measured.nanos += metrics.sum_by_name(name).map_or(0, |value| value.as_usize() as u64);
        }
        measured.spills = metrics.spill_count().unwrap_or(0) as u64;
        measured.spilled = metrics.spilled_bytes().unwrap_or(0) as u64;
        let memory = metrics
            .iter()
            .filter_map(|metric| match metric.value() {
                MetricValue::Gauge { name, gauge } if name.contains("mem") => Some(gauge.value() as u64),
                _ => None,
            })
            .max();
        measured.memory = memory.unwrap_or(0);
        measured.morsels = metrics.sum_by_name("morsels_scanned").map(|value| value.as_usize() as u64);
        measured
    }

    /// What the first child did, with what this operator did in its place.
    pub(crate) fn with_first_child(&self) -> Option<Measured> {
        let mut child = self.children.first()?.clone();
        let own = Measured { name: child.name.clone(), children: Vec::new(), ..self.clone() };
        child.add(&own);
        Some(child)
    }

    /// Adds what the same operators did elsewhere. A part of the tree that is not the same there (a
    /// union has nothing of some of its children on some nodes) counts nothing.
    pub(crate) fn add(&mut self, other: &Measured) {
        if self.name != other.name {
            return;
        }
        let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0) + b.unwrap_or(0)),
        };
        self.rows = sum(self.rows, other.rows);
        self.nanos += other.nanos;
        self.spills += other.spills;
        self.spilled += other.spilled;
        self.memory = self.memory.max(other.memory);
        self.morsels = sum(self.morsels, other.morsels);
        for (ours, theirs) in self.children.iter_mut().zip(&other.children) {
            ours.add(theirs);
        }
    }
}

/// This operator alone.
impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(rows) = self.rows {
            parts.push(format!("{rows} rows"));
        }
        if self.nanos > 0 {
            parts.push(format!("{:?}", rounded(Duration::from_nanos(self.nanos))));
        }
        if self.spills > 0 {
            parts.push(match self.spilled {
                0 => format!("{} spills", self.spills),
                bytes => format!("{} spills of {} KiB", self.spills, bytes.div_ceil(1024)),
            });
        }
        if self.memory >= 1 << 20 {
            parts.push(format!("{} MiB", self.memory >> 20));
        }
        if let Some(morsels) = self.morsels {
            parts.push(format!("{morsels} morsels"));
        }
        if parts.is_empty() { Ok(()) } else { write!(f, "  [{}]", parts.join(", ")) }
    }
}

fn rounded(time: Duration) -> Duration {
    let micros = time.as_micros() as u64;
    Duration::from_micros(if micros >= 10_000 { micros / 100 * 100 } else { micros })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_where_they_are_the_same() {
        let operator = |name: &str, rows, children| Measured {
            name: name.into(),
            rows: Some(rows),
            memory: rows,
            children,
            ..Measured::default()
        };
        let mut all = operator("union", 5, vec![operator("a", 2, vec![]), operator("b", 3, vec![])]);
        all.add(&operator("union", 7, vec![operator("a", 7, vec![]), operator("empty", 0, vec![])]));
        assert_eq!(all.rows, Some(12));
        assert_eq!(all.children[0].rows, Some(9));
        assert_eq!(all.children[1].rows, Some(3));
        assert_eq!(all.memory, 7);
    }
}
