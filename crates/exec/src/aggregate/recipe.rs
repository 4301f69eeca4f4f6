//! What a fused aggregation does, read from the plan of operators that it stands for.

use super::keys::{KeyColumn, packed_bits};
use super::number::{Numbers, Place};
use crate::scan::ScanExec;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use columnstore::{Vector, Vectors};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::Volatility;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::projection::ProjectionExec;
use std::sync::Arc;
use types::{Physical, SqlType};

type Expr = Arc<dyn PhysicalExpr>;

/// See the module.
pub(super) struct Recipe {
    pub(super) scan: Arc<dyn ExecutionPlan>,
    /// Of the scan's columns.
    pub(super) types: Vec<SqlType>,
    pub(super) keys: Vec<KeyColumn>,
    pub(super) functions: Vec<Function>,
    pub(super) numbers: Numbers,
    /// Keys and counted arguments that are no columns.
    pub(super) evaluated: Expressions,
    /// The arguments of sums.
    pub(super) wide: Expressions,
    /// Types of the evaluated keys, which stand first among the evaluated expressions.
    pub(super) evaluated_keys: Vec<SqlType>,
    /// Every group is complete in one partition, and results leave rather than states.
    pub(super) single: bool,
    /// Of what the aggregation yields.
    pub(super) schema: SchemaRef,
    /// Of the states, which leave when memory is short.
    pub(super) state_schema: SchemaRef,
}

pub(super) enum Function {
    /// Of rows, or of the values of a column or of an evaluated expression that are not NULL.
    Count(Option<Argument>),
    Sum {
        /// As 64-bit arithmetic; the columns that make the sum NULL.
        number: Option<(Place, Vec<usize>)>,
        /// The argument itself, for when 64 bits do not suffice.
        wide: usize,
        ty: DataType,
    },
    Extreme {
        column: usize,
        ty: SqlType,
        greatest: bool,
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Argument {
    Column(usize),
    Evaluated(usize),
}

/// Expressions that DataFusion evaluates on batches of the columns that they read.
pub(super) struct Expressions {
    expressions: Vec<Expr>,
    /// Those columns of the scan.
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl Expressions {
    pub(super) fn is_empty(&self) -> bool {
        self.expressions.is_empty()
    }

    /// The batch that the expressions are evaluated on.
    pub(super) fn batch(&self, vectors: &Vectors, types: &[SqlType]) -> Result<RecordBatch> {
        let mut arrays = Vec::with_capacity(self.columns.len());
        for &column in &self.columns {
            let Some(vector) = vectors.columns().get(column) else {
                return internal_err!("the scan yielded too few columns");
            };
            arrays.push(vector.to_array(types[column]).map_err(crate::scan::from_store_error)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(vectors.rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?)
    }

    pub(super) fn evaluate(&self, at: usize, batch: &RecordBatch) -> Result<ArrayRef> {
        match self.expressions.get(at) {
            Some(expression) => expression.evaluate(batch)?.into_array(batch.num_rows()),
            None => internal_err!("no expression {at}"),
        }
    }
}

/// Expressions as they are being gathered.
struct Gathered(Vec<Expr>);

impl Gathered {
    fn add(&mut self, expr: &Expr) -> usize {
        match self.0.iter().position(|known| known == expr) {
            Some(at) => at,
            None => {
                self.0.push(expr.clone());
                self.0.len() - 1
            }
        }
    }

    /// Renumbers the columns to those that are read.
    fn finish(self, scan: &Schema) -> Result<Expressions> {
        let mut columns: Vec<usize> = Vec::new();
        for expr in &self.0 {
            columns.extend(columns_of(expr)?);
        }
        columns.sort_unstable();
        columns.dedup();
        let expressions = self
            .0
            .into_iter()
            .map(|expr| {
                expr.transform_up(|node| {
                    Ok(match node.downcast_ref::<Column>() {
                        Some(column) => {
                            let at = columns.partition_point(|known| *known < column.index());
                            Transformed::yes(Arc::new(Column::new(column.name(), at)) as Expr)
                        }
                        None => Transformed::no(node),
                    })
                })
                .data()
            })
            .collect::<Result<_>>()?;
        let schema = Arc::new(scan.project(&columns)?);
        Ok(Expressions { expressions, columns, schema })
    }
}

impl Recipe {
    /// How to compute the aggregation over its scan in one pass; `None` if some part of it is not
    /// ours to compute.
    pub(super) fn of(aggregate: &AggregateExec) -> Result<Option<Recipe>> {
        let single = match aggregate.mode() {
            AggregateMode::Partial => false,
            AggregateMode::Single | AggregateMode::SinglePartitioned => true,
            _ => return Ok(None),
        };
        let group_by = aggregate.group_expr();
        if group_by.has_grouping_set()
            || !(group_by.is_true_no_grouping() || group_by.is_single())
            || aggregate.limit_options().is_some()
            || aggregate.filter_expr().iter().any(Option::is_some)
        {
            return Ok(None);
        }
        let mut expressions: Vec<Expr> = group_by.expr().iter().map(|(expr, _)| expr.clone()).collect();
        let keys = expressions.len();
        for function in aggregate.aggr_expr() {
            if function.is_distinct() || !function.order_bys().is_empty() || function.ignore_nulls() {
                return Ok(None);
            }
            match function.expressions().as_slice() {
                [argument] => expressions.push(argument.clone()),
                _ => return Ok(None),
            }
        }
        // Down to the scan.
        let mut input = aggregate.input().clone();
        while let Some(projection) = input.downcast_ref::<ProjectionExec>() {
            let below: Vec<Expr> = projection.expr().iter().map(|item| item.expr.clone()).collect();
            for expr in &mut expressions {
                *expr = substitute(expr, &below)?;
            }
            input = projection.input().clone();
        }
        let Some(scan) = input.downcast_ref::<ScanExec>().filter(|scan| !scan.has_limit()) else {
            return Ok(None);
        };
        let (Some(types), scanned) = (scan.types(), scan.schema()) else { return Ok(None) };
        for expr in &expressions {
            if is_volatile(expr)? {
                return Ok(None);
            }
        }
        let mut gathered = Gathered(Vec::new());
        let mut evaluated_keys = Vec::new();
        let mut key_columns = Vec::new();
        let schema = aggregate.schema();
        for (expr, field) in expressions[..keys].iter().zip(schema.fields()) {
            let nullable = expr.nullable(&scanned)?;
            if let Some(column) = expr.downcast_ref::<Column>() {
                let ty = types[column.index()];
                key_columns.push(KeyColumn { column: column.index(), ty, nullable });
                continue;
            }
            let found = expr.data_type(&scanned)?;
            let Some(ty) = SqlType::of_arrow(&found).filter(|ty| ty.arrow() == found) else {
                return Ok(None);
            };
            if ty.arrow() != *field.data_type() {
                return Ok(None);
            }
            let at = gathered.add(expr);
            if at < evaluated_keys.len() {
                return Ok(None);
            }
            evaluated_keys.push(ty);
            key_columns.push(KeyColumn { column: types.len() + at, ty, nullable });
        }
        if packed_bits(&key_columns).is_none_or(|bits| bits > 128) {
            return Ok(None);
        }
        let mut arguments = Arguments {
            types: &types,
            scanned: &scanned,
            numbers: Numbers::default(),
            gathered,
            wide: Gathered(Vec::new()),
        };
        let mut functions = Vec::new();
        for (function, argument) in aggregate.aggr_expr().iter().zip(&expressions[keys..]) {
            match arguments.function(function, argument)? {
                Some(function) => functions.push(function),
                None => return Ok(None),
            }
        }
        let Arguments { numbers, gathered, wide, .. } = arguments;
        let state_schema = match single {
            true => AggregateExec::try_new(
                AggregateMode::Partial,
                group_by.clone(),
                aggregate.aggr_expr().to_vec(),
                aggregate.filter_expr().to_vec(),
                aggregate.input().clone(),
                aggregate.input_schema(),
            )?
            .schema(),
            false => schema.clone(),
        };
        // A state that is more than one value is none of ours.
        if state_schema.fields().len() != schema.fields().len() {
            return Ok(None);
        }
        Ok(Some(Recipe {
            evaluated: gathered.finish(&scanned)?,
            wide: wide.finish(&scanned)?,
            scan: input.clone(),
            types,
            keys: key_columns,
            functions,
            numbers,
            evaluated_keys,
            single,
            schema,
            state_schema,
        }))
    }

    /// Bits of a packed key.
    pub(super) fn key_bits(&self) -> u32 {
        packed_bits(&self.keys).unwrap_or(u32::MAX)
    }

    /// The evaluated keys of a batch.
    pub(super) fn evaluate_keys(&self, batch: &RecordBatch, to: &mut Vec<Vector>) -> Result<()> {
        to.resize_with(self.evaluated_keys.len(), Vector::default);
        for (at, (ty, vector)) in self.evaluated_keys.iter().zip(to).enumerate() {
            let array = self.evaluated.evaluate(at, batch)?;
            vector.set_array(&array, *ty).map_err(crate::scan::from_store_error)?;
        }
        Ok(())
    }
}

/// The arguments of functions as they are being translated.
struct Arguments<'a> {
    types: &'a [SqlType],
    scanned: &'a Schema,
    numbers: Numbers,
    gathered: Gathered,
    wide: Gathered,
}

impl Arguments<'_> {
    fn function(&mut self, function: &AggregateFunctionExpr, argument: &Expr) -> Result<Option<Function>> {
        let (types, scanned) = (self.types, self.scanned);
        let result = function.field().data_type().clone();
        let column = argument.downcast_ref::<Column>().map(Column::index);
        Ok(match function.fun().name() {
            "count" if result == DataType::Int64 => {
                if argument.downcast_ref::<Literal>().is_some_and(|l| l.value().is_null()) {
                    return Ok(None);
                }
                Some(Function::Count(match column {
                    _ if !argument.nullable(scanned)? => None,
                    Some(column) => Some(Argument::Column(column)),
                    None => Some(Argument::Evaluated(self.gathered.add(argument))),
                }))
            }
            "sum" => {
                let DataType::Decimal128(_, to) = result else { return Ok(None) };
                let from = match argument.data_type(scanned)? {
                    DataType::Decimal128(_, scale) => scale,
                    ty if ty.is_integer() => 0,
                    _ => return Ok(None),
                };
                if from != to {
                    return Ok(None);
                }
                let number = match self.numbers.add(argument, types) {
                    Some(place) => {
                        let columns = columns_of(argument)?.into_iter();
                        Some((place, columns.filter(|column| scanned.field(*column).is_nullable()).collect()))
                    }
                    None => None,
                };
                Some(Function::Sum { number, wide: self.wide.add(argument), ty: result })
            }
            name @ ("min" | "max") => match column {
                Some(column)
                    if types[column].physical() == Physical::I64 && types[column].arrow() == result =>
                {
                    Some(Function::Extreme { column, ty: types[column], greatest: name == "max" })
                }
                _ => None,
            },
            _ => None,
        })
    }
}

/// The expression with columns replaced by what a projection computes for them.
fn substitute(expr: &Expr, below: &[Expr]) -> Result<Expr> {
    expr.clone()
        .transform_down(|node| {
            Ok(match node.downcast_ref::<Column>() {
                Some(column) => match below.get(column.index()) {
                    Some(below) => Transformed::new(below.clone(), true, TreeNodeRecursion::Jump),
                    None => return internal_err!("a projection has no column {}", column.index()),
                },
                None => Transformed::no(node),
            })
        })
        .data()
}

/// The columns that an expression reads, each once.
fn columns_of(expr: &Expr) -> Result<Vec<usize>> {
    let mut columns = Vec::new();
    expr.apply(|node| {
        if let Some(column) = node.downcast_ref::<Column>()
            && !columns.contains(&column.index())
        {
            columns.push(column.index());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(columns)
}

fn is_volatile(expr: &Expr) -> Result<bool> {
    let mut volatile = false;
    expr.apply(|node| {
        let call = node.downcast_ref::<ScalarFunctionExpr>();
        volatile |= call.is_some_and(|call| call.fun().signature().volatility == Volatility::Volatile);
        Ok(if volatile { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(volatile)
}
