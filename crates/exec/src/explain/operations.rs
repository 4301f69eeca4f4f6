//! A plan as one tree of operations, its stages put together at their exchanges: as text in the manner of MySQL's
//! FORMAT=TREE, and as JSON in the manner of the second version of its FORMAT=JSON.

use super::{Expected, Line, deeply, rounded_millis};
use crate::exchange::ReceiveExec;
use crate::interruptible::wrapped;
use crate::measured::Measured;
use crate::plan::{DistributedPlan, Stage};
use datafusion::physical_plan::ExecutionPlan;
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;
use types::NodeId;

/// An operator with those that it reads, over all of its tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    what: String,
    expected_rows: Option<usize>,
    /// What it did, if the plan ran.
    did: Option<Measured>,
    runs: Option<Runs>,
    inputs: Vec<Operation>,
}

/// Where a stage runs, at its topmost operation.
#[derive(Debug, Clone, PartialEq)]
struct Runs {
    stage: u32,
    tasks: usize,
    place: String,
    /// If they are several, or others than who was asked.
    nodes: Vec<NodeId>,
}

impl Operation {
    /// The operations of a plan. `analyze`: with what they did, so far.
    pub fn of(plan: &DistributedPlan, analyze: bool) -> Operation {
        deeply(|| Plan { plan, analyze, expected: Expected::default() }.stage(0))
    }

    /// One that reads nothing.
    pub fn alone(what: String) -> Operation {
        Operation { what, expected_rows: None, did: None, runs: None, inputs: Vec::new() }
    }

    /// One that reads this.
    pub fn read_by(self, what: String) -> Operation {
        Operation { inputs: vec![self], ..Operation::alone(what) }
    }

    /// A line for each operation, those that it reads indented below it.
    pub fn tree(&self) -> String {
        let mut text = String::new();
        deeply(|| self.line(0, &mut text));
        text
    }

    fn line(&self, depth: usize, text: &mut String) {
        // Invariant: writing to a String does not fail (here and below).
        let _ = write!(text, "{:indent$}-> {}", "", self.what, indent = 4 * depth);
        if let Some(rows) = self.expected_rows {
            let _ = write!(text, "  (rows={rows})");
        }
        if let Some(did) = &self.did {
            let _ = write!(text, " (actual time={}", rounded_millis(did.nanos));
            if let Some(rows) = did.rows {
                let _ = write!(text, " rows={rows}");
            }
            if did.memory > 0 {
                let _ = write!(text, " memory={}", did.memory);
            }
            if did.spills > 0 {
                let _ = write!(text, " spills={} spilled={}", did.spills, did.spilled);
            }
            text.push(')');
        }
        if let Some(runs) = &self.runs {
            let _ = write!(text, "  [stage {}: {}", runs.stage, tasks(runs.tasks));
            let _ = write!(text, " on {}", runs.place);
            if !runs.nodes.is_empty() {
                let names: Vec<String> = runs.nodes.iter().map(NodeId::to_string).collect();
                let _ = write!(text, ", nodes {}", names.join(", "));
            }
            text.push(']');
        }
        text.push('\n');
        for input in &self.inputs {
            input.line(depth + 1, text);
        }
    }

    /// The document that EXPLAIN FORMAT=JSON gives. `query_type`: `select`, `update` and so on.
    pub fn json(&self, query: &str, query_type: &str) -> String {
        deeply(|| {
            let document = json!({
                "json_schema_version": "2.0",
                "query": query,
                "query_type": query_type,
                "query_plan": self.object(),
            });
            // Invariant: a JSON value always has a text.
            serde_json::to_string_pretty(&document).unwrap_or_default()
        })
    }

    fn object(&self) -> Value {
        let mut object = json!({ "operation": self.what });
        if let Some(rows) = self.expected_rows {
            object["estimated_rows"] = rows.into();
        }
        if let Some(did) = &self.did {
            object["actual_time_ms"] = rounded_millis(did.nanos).into();
            if let Some(rows) = did.rows {
                object["actual_rows"] = rows.into();
            }
            object["memory_bytes"] = did.memory.into();
            object["spills"] = did.spills.into();
            object["spilled_bytes"] = did.spilled.into();
        }
        if let Some(runs) = &self.runs {
            object["stage"] = json!({ "number": runs.stage, "tasks": runs.tasks, "place": runs.place });
            if !runs.nodes.is_empty() {
                object["stage"]["nodes"] = runs.nodes.iter().map(|node| node.0).collect();
            }
        }
        if !self.inputs.is_empty() {
            object["inputs"] = self.inputs.iter().map(Operation::object).collect();
        }
        object
    }
}

fn tasks(count: usize) -> String {
    if count == 1 { "1 task".to_string() } else { format!("{count} tasks") }
}

struct Plan<'a> {
    plan: &'a DistributedPlan,
    analyze: bool,
    expected: Expected,
}

impl Plan<'_> {
    fn stages(&self) -> &[Stage] {
        self.plan.spread().map_or(self.plan.stages(), |spread| spread.stages())
    }

    fn stage(&self, at: usize) -> Operation {
        let stage = &self.stages()[at];
        let measured = self.analyze.then(|| {
            let mut all = Measured::of(&stage.plan);
            self.plan.measured(stage.id).iter().for_each(|part| all.add(part));
            all
        });
        let mut top = self.operation(&stage.plan, measured.as_ref());
        let spread = self.plan.spread().filter(|spread| !spread.is_local());
        top.runs = Some(Runs {
            stage: stage.id.0,
            tasks: stage.tasks(),
            place: stage.place.to_string(),
            nodes: spread.map(|spread| spread.nodes(at)).unwrap_or_default(),
        });
        top
    }

    fn operation(&self, plan: &Arc<dyn ExecutionPlan>, measured: Option<&Measured>) -> Operation {
        if wrapped(plan).is_some() {
            let child = measured.and_then(Measured::with_first_child);
            return self.operation(plan.children()[0], child.as_ref());
        }
        let below = |(at, child): (usize, &Arc<dyn ExecutionPlan>)| {
            self.operation(child, measured.and_then(|measured| measured.children.get(at)))
        };
        let (what, inputs) = match plan.downcast_ref::<ReceiveExec>() {
            // The stages of a plan are numbered by their exchanges.
            Some(receive) => {
                let from = self.stages().iter().position(|stage| stage.id == receive.exchange());
                (format!("Exchange: {}", receive.kind()), from.map(|at| self.stage(at)).into_iter().collect())
            }
            None => {
                let line = Line(plan.as_ref()).to_string();
                (in_words(plan.name(), &line), plan.children().into_iter().enumerate().map(below).collect())
            }
        };
        let did = measured.map(|measured| Measured { children: Vec::new(), ..measured.clone() });
        let expected_rows = self.expected.rows(plan);
        Operation { what, expected_rows, did, runs: None, inputs }
    }
}

/// A line of an operator with its name in words: `HashJoinExec: on=[..]` is a `Hash join: on=[..]`.
fn in_words(name: &str, line: &str) -> String {
    let rest = line.strip_prefix(name).unwrap_or(line);
    if name == "ScanExec" {
        return format!("Table scan on {}", rest.trim_start_matches(": "));
    }
    let mut words = String::new();
    for letter in name.trim_end_matches("Exec").chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
            words.extend(letter.to_lowercase());
        } else {
            words.push(letter);
        }
    }
    if rest.len() == line.len() { format!("{words}: {line}") } else { words + rest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{ExchangeExec, ExchangeKind};
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::config::ConfigOptions;
    use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
    use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;

    fn plan() -> DistributedPlan {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
        let rows = Arc::new(PlaceholderRowExec::new(schema).with_partitions(3));
        let gathered = Arc::new(ExchangeExec::new(rows, ExchangeKind::Gather));
        let root = Arc::new(CoalescePartitionsExec::new(gathered));
        DistributedPlan::cut(root, ConfigOptions::default()).unwrap()
    }

    #[test]
    fn stages_are_put_together_at_their_exchanges() {
        let tree = Operation::of(&plan(), false).read_by("Insert into t".into()).tree();
        let lines: Vec<&str> = tree.lines().map(|line| line.split("  (").next().unwrap()).collect();
        assert_eq!(lines[0], "-> Insert into t");
        assert!(lines[1].starts_with("    -> Coalesce partitions"), "{tree}");
        assert!(tree.contains("[stage 0: 1 task on aggregator]"), "{tree}");
        assert!(lines[2].starts_with("        -> Exchange: Gather"), "{tree}");
        assert!(lines[3].starts_with("            -> Placeholder row"), "{tree}");
        assert!(tree.contains("[stage 1: 3 tasks on "), "{tree}");
        assert_eq!(lines.len(), 4, "{tree}");
        assert!(!tree.contains("actual"));
        assert!(Operation::of(&plan(), true).tree().contains("(actual time=0"));
    }

    #[test]
    fn the_document_has_the_same_operations() {
        let document = Operation::of(&plan(), true).json("SELECT 'a'", "select");
        let document: Value = serde_json::from_str(&document).unwrap();
        assert_eq!(document["query"], "SELECT 'a'");
        assert_eq!(document["query_type"], "select");
        let exchange = &document["query_plan"]["inputs"][0];
        assert_eq!(exchange["operation"], "Exchange: Gather");
        assert_eq!(exchange["actual_time_ms"], 0.0);
        assert_eq!(exchange["inputs"][0]["stage"]["tasks"], 3);
        assert_eq!(exchange["inputs"][0]["inputs"], Value::Null);
    }

    #[test]
    fn operators_have_names_in_words() {
        for (name, line, words) in [
            ("HashJoinExec", "HashJoinExec: on=[(a, b)]", "Hash join: on=[(a, b)]"),
            ("ScanExec", "ScanExec: t, columns=[a]", "Table scan on t, columns=[a]"),
            ("CollocatedUnionExec", "CollocatedUnionExec", "Collocated union"),
            ("SortExec", "TopK(fetch=3)", "Sort: TopK(fetch=3)"),
        ] {
            assert_eq!(in_words(name, line), words);
        }
    }
}
