//! JSON_TABLE in a logical plan.

use super::JsonTable;
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result, TableReference, internal_err};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// Each row of the input with each of the rows that its document makes. The document itself ends here: its column
/// is made for this node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JsonTableNode {
    input: LogicalPlan,
    document: Column,
    table: Arc<JsonTable>,
    /// What qualifies the columns of the table.
    relation: String,
    outer: bool,
    schema: DFSchemaRef,
}

impl JsonTableNode {
    /// `outer`: a row of the input whose document makes none stays, with NULLs.
    pub fn try_new(
        input: LogicalPlan,
        document: Column,
        table: Arc<JsonTable>,
        relation: String,
        outer: bool,
    ) -> Result<JsonTableNode> {
        let at = input.schema().index_of_column(&document)?;
        let known = input.schema().iter().enumerate().filter(|(column, _)| *column != at);
        let mut fields: Vec<_> =
            known.map(|(_, (qualifier, field))| (qualifier.cloned(), field.clone())).collect();
        let qualifier = TableReference::bare(relation.as_str());
        let made = table.columns().into_iter().map(|(name, ty)| Arc::new(ty.field(name, true)));
        fields.extend(made.map(|field| (Some(qualifier.clone()), field)));
        let schema = DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?;
        Ok(JsonTableNode { input, document, table, relation, outer, schema: Arc::new(schema) })
    }

    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    pub fn input(&self) -> &LogicalPlan {
        &self.input
    }

    pub fn table(&self) -> &Arc<JsonTable> {
        &self.table
    }

    pub fn is_outer(&self) -> bool {
        self.outer
    }

    /// The same over another input with the document's column.
    pub fn over(&self, input: LogicalPlan) -> Result<JsonTableNode> {
        let (table, relation) = (self.table.clone(), self.relation.clone());
        JsonTableNode::try_new(input, self.document.clone(), table, relation, self.outer)
    }

    /// Whether a column of the output is one of the input, not of the table.
    pub fn is_of_input(&self, column: &Column) -> bool {
        let of_input = self.input.schema().fields().len() - 1;
        self.schema.maybe_index_of_column(column).is_some_and(|at| at < of_input)
    }

    /// The place of the documents among the columns of the input.
    pub fn document(&self) -> Result<usize> {
        self.input.schema().index_of_column(&self.document)
    }
}

impl PartialOrd for JsonTableNode {
    fn partial_cmp(&self, other: &JsonTableNode) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for JsonTableNode {
    fn name(&self) -> &str {
        "JsonTable"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![Expr::Column(self.document.clone())]
    }

    /// A condition on columns of the input alone leaves out rows of it as well.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.table.columns().into_iter().map(|(name, _)| name.to_string()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonTable: {}, path={}", self.document, self.table.rows.path)?;
        if self.outer { f.write_str(", outer") } else { Ok(()) }
    }

    fn with_exprs_and_inputs(
        &self,
        mut exprs: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<JsonTableNode> {
        match (exprs.pop(), inputs.pop()) {
            (Some(Expr::Column(document)), Some(input)) if exprs.is_empty() && inputs.is_empty() => {
                let (table, relation) = (self.table.clone(), self.relation.clone());
                JsonTableNode::try_new(input, document, table, relation, self.outer)
            }
            _ => internal_err!("JSON_TABLE reads a column of one input"),
        }
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let document = self.document().ok()?;
        let width = self.input.schema().fields().len();
        // Behind the document's, columns stand one place further left in the output.
        let of_input = |output: &usize| if *output < document { *output } else { *output + 1 };
        let mut wanted: Vec<usize> =
            output_columns.iter().map(of_input).filter(|column| *column < width).collect();
        wanted.push(document);
        wanted.sort_unstable();
        wanted.dedup();
        Some(vec![wanted])
    }
}
