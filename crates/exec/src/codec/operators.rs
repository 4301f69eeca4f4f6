//! Operators of ours.

use super::message::{self, Equal, Kind, Operation, Operator, Ordering, Receive, Scan};
use super::{Codec, predicates};
use crate::build_keys::BuildKeysExec;
use crate::exchange::{ExchangeId, ExchangeKind, ReceiveExec};
use crate::json_table::JsonTableExec;
use crate::scan::{Output, ScanExec, TableEstimate};
use crate::shared_keys::WantedKey;
use crate::union::CollocatedUnionExec;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{Result, Statistics, internal_datafusion_err, internal_err, not_impl_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::equivalence::{AcrossPartitions, EquivalenceProperties};
use datafusion::physical_expr::{ConstExpr, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, EvaluationType, SchedulingType};
use datafusion::physical_plan::{ExecutionPlan, PlanProperties};
use datafusion_proto::physical_plan::from_proto::{parse_physical_exprs, parse_physical_sort_exprs};
use datafusion_proto::physical_plan::to_proto::serialize_physical_sort_exprs;
use datafusion_proto::physical_plan::{PhysicalPlanDecodeContext, PhysicalProtoConverterExtension};
use datafusion_proto::protobuf::{self, PhysicalExprNode};
use std::sync::Arc;
use types::{ColumnId, PartitionId, TableDef};

type Converter<'a> = &'a dyn PhysicalProtoConverterExtension;

pub(super) fn encode(node: &Arc<dyn ExecutionPlan>, converter: Converter<'_>) -> Result<Operator> {
    let operation = if let Some(scan) = node.downcast_ref::<ScanExec>() {
        Operation::Scan(encode_scan(scan)?)
    } else if let Some(receive) = node.downcast_ref::<ReceiveExec>() {
        Operation::Receive(encode_receive(receive, converter)?)
    } else if node.is::<CollocatedUnionExec>() {
        Operation::Union(encode_schema(&node.schema())?)
    } else if let Some(json_table) = node.downcast_ref::<JsonTableExec>() {
        Operation::JsonTable(encode_json_table(json_table)?)
    } else if let Some((keys, number)) =
        node.downcast_ref::<BuildKeysExec>().and_then(|keys| Some((keys, keys.shared_as()?)))
    {
        let columns = keys.columns().iter().map(|column| column.map_or(-1, |column| column as i32));
        Operation::SharedKeys(message::SharedKeys { number, columns: columns.collect() })
    } else {
        return not_impl_err!("the operator {} on several nodes", node.name());
    };
    Ok(Operator { operation: Some(operation) })
}

pub(super) fn decode(
    operator: &Operator,
    inputs: &[Arc<dyn ExecutionPlan>],
    context: &TaskContext,
    converter: Converter<'_>,
) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(match &operator.operation {
        Some(Operation::Scan(scan)) => Arc::new(decode_scan(scan)?),
        Some(Operation::Receive(receive)) => Arc::new(decode_receive(receive, context, converter)?),
        Some(Operation::Union(schema)) => {
            Arc::new(CollocatedUnionExec::try_new(inputs.to_vec(), decode_schema(Some(schema))?)?)
        }
        Some(Operation::SharedKeys(shared)) => {
            let [input] = inputs else { return internal_err!("keys are gathered of one input") };
            let columns =
                shared.columns.iter().map(|column| usize::try_from(*column).ok()).collect::<Vec<_>>();
            let width = input.schema().fields().len();
            if columns.iter().flatten().any(|column| *column >= width) {
                return internal_err!("keys are gathered of a column that is not there");
            }
            Arc::new(BuildKeysExec::shared(input.clone(), columns, shared.number))
        }
        Some(Operation::JsonTable(json_table)) => {
            let [input] = inputs else { return internal_err!("JSON_TABLE reads one input") };
            let table = serde_json::from_slice(&json_table.table)
                .map_err(|error| internal_datafusion_err!("a JSON_TABLE came damaged: {error}"))?;
            let (document, outer) = (json_table.document as usize, json_table.outer);
            Arc::new(JsonTableExec::try_new(input.clone(), Arc::new(table), document, outer)?)
        }
        None => return internal_err!("an operator came empty"),
    })
}

fn encode_json_table(exec: &JsonTableExec) -> Result<message::JsonTable> {
    let table = serde_json::to_vec(exec.table().as_ref())
        .map_err(|error| internal_datafusion_err!("cannot write a JSON_TABLE: {error}"))?;
    Ok(message::JsonTable { table, document: exec.document() as u32, outer: exec.is_outer() })
}

fn encode_schema(schema: &SchemaRef) -> Result<protobuf::Schema> {
    Ok(schema.as_ref().try_into()?)
}

fn decode_schema(schema: Option<&protobuf::Schema>) -> Result<SchemaRef> {
    match schema {
        Some(schema) => Ok(Arc::new(Schema::try_from(schema)?)),
        None => internal_err!("an operator came without its schema"),
    }
}

fn encode_scan(scan: &ScanExec) -> Result<Scan> {
    let table = serde_json::to_vec(scan.def().as_ref())
        .map_err(|error| internal_datafusion_err!("cannot write the table's definition: {error}"))?;
    let output = scan.output().iter().map(|output| match output {
        Output::Column(id) => i64::from(id.0),
        Output::Partition => -1,
        Output::Row => -2,
    });
    Ok(Scan {
        table,
        partitions: scan.partitions().iter().map(|partition| partition.0).collect(),
        rows: scan.estimate().rows,
        output: output.collect(),
        predicates: scan.predicates().iter().map(predicates::encode).collect::<Result<Vec<_>>>()?,
        limit: scan.limit().map(|limit| limit as u64),
        shared_keys: scan
            .shared_keys()
            .iter()
            .map(|wanted| message::WantedKey {
                number: wanted.number,
                key: wanted.key as u32,
                column: wanted.column as u32,
            })
            .collect(),
    })
}

fn decode_scan(scan: &Scan) -> Result<ScanExec> {
    let def: TableDef = serde_json::from_slice(&scan.table)
        .map_err(|error| internal_datafusion_err!("a table's definition came damaged: {error}"))?;
    let output = scan
        .output
        .iter()
        .map(|output| match output {
            -1 => Ok(Output::Partition),
            -2 => Ok(Output::Row),
            id => match u32::try_from(*id) {
                Ok(id) => Ok(Output::Column(ColumnId(id))),
                Err(_) => internal_err!("a scan came with a column {id}"),
            },
        })
        .collect::<Result<Vec<_>>>()?;
    let made = ScanExec::new(
        Arc::new(def),
        scan.partitions.iter().map(|id| PartitionId(*id)).collect(),
        Arc::new(TableEstimate { rows: scan.rows, ..TableEstimate::default() }),
        output,
        scan.predicates.iter().map(predicates::decode).collect::<Result<Vec<_>>>()?,
    )?;
    let wanted = scan.shared_keys.iter().map(|wanted| WantedKey {
        number: wanted.number,
        key: wanted.key as usize,
        column: wanted.column as usize,
    });
    Ok(made.with_limit(scan.limit.map(|limit| limit as usize)).with_shared_keys(wanted.collect()))
}

pub(super) fn encode_kind(kind: &ExchangeKind, converter: Converter<'_>) -> Result<Kind> {
    let plain = |kind| Kind { kind, ..Kind::default() };
    Ok(match kind {
        ExchangeKind::Shuffle { keys, partitions } => {
            Kind { kind: 1, keys: encode_exprs(keys, converter)?, partitions: *partitions as u32 }
        }
        ExchangeKind::Broadcast => plain(2),
        ExchangeKind::Gather => plain(3),
        ExchangeKind::GatherSorted => plain(4),
        ExchangeKind::Forward => plain(5),
    })
}

pub(super) fn decode_kind(
    kind: &Kind,
    schema: &SchemaRef,
    context: &TaskContext,
    converter: Converter<'_>,
) -> Result<ExchangeKind> {
    Ok(match kind.kind {
        1 => ExchangeKind::Shuffle {
            keys: decode_exprs(&kind.keys, schema, context, converter)?,
            partitions: kind.partitions as usize,
        },
        2 => ExchangeKind::Broadcast,
        3 => ExchangeKind::Gather,
        4 => ExchangeKind::GatherSorted,
        5 => ExchangeKind::Forward,
        other => return internal_err!("an exchange {other} is not known"),
    })
}

fn encode_exprs(exprs: &[Arc<dyn PhysicalExpr>], converter: Converter<'_>) -> Result<Vec<PhysicalExprNode>> {
    exprs.iter().map(|expr| converter.physical_expr_to_proto(expr, &Codec)).collect()
}

fn decode_exprs(
    nodes: &[PhysicalExprNode],
    schema: &Schema,
    context: &TaskContext,
    converter: Converter<'_>,
) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
    parse_physical_exprs(nodes, &PhysicalPlanDecodeContext::new(context, &Codec), schema, converter)
}

fn encode_receive(receive: &ReceiveExec, converter: Converter<'_>) -> Result<Receive> {
    let properties = receive.properties();
    let known = properties.equivalence_properties();
    let placed_by = match properties.output_partitioning() {
        Partitioning::Hash(keys, _) => encode_exprs(keys, converter)?,
        _ => Vec::new(),
    };
    let orderings = known
        .oeq_class()
        .iter()
        .map(|ordering| {
            Ok(Ordering { by: serialize_physical_sort_exprs(ordering.iter().cloned(), &Codec, converter)? })
        })
        .collect::<Result<Vec<_>>>()?;
    let mut equal = Vec::new();
    for class in known.eq_group().iter() {
        let expressions: Vec<_> = class.iter().cloned().collect();
        equal.push(Equal { expressions: encode_exprs(&expressions, converter)?, constant: 0 });
    }
    for constant in known.constants() {
        let expressions = encode_exprs(&[constant.expr], converter)?;
        let constant = match constant.across_partitions {
            AcrossPartitions::Heterogeneous => 1,
            AcrossPartitions::Uniform(_) => 2,
        };
        equal.push(Equal { expressions, constant });
    }
    Ok(Receive {
        exchange: receive.exchange().0,
        kind: Some(encode_kind(receive.kind(), converter)?),
        schema: Some(encode_schema(&receive.schema())?),
        streams: receive.streams().iter().map(|stream| *stream as u32).collect(),
        placed_by,
        orderings,
        equal,
    })
}

fn decode_receive(receive: &Receive, context: &TaskContext, converter: Converter<'_>) -> Result<ReceiveExec> {
    let schema = decode_schema(receive.schema.as_ref())?;
    let Some(kind) = &receive.kind else { return internal_err!("an exchange came without its kind") };
    let kind = decode_kind(kind, &schema, context, converter)?;
    let plan_context = PhysicalPlanDecodeContext::new(context, &Codec);
    let mut known = EquivalenceProperties::new(schema.clone());
    for equal in &receive.equal {
        let expressions = decode_exprs(&equal.expressions, &schema, context, converter)?;
        let across = match equal.constant {
            1 => Some(AcrossPartitions::Heterogeneous),
            2 => Some(AcrossPartitions::Uniform(None)),
            _ => None,
        };
        if let (Some(across), Some(first)) = (across, expressions.first()) {
            known.add_constants([ConstExpr::new(first.clone(), across)])?;
        }
        for pair in expressions.windows(2) {
            known.add_equal_conditions(pair[0].clone(), pair[1].clone())?;
        }
    }
    for ordering in &receive.orderings {
        known.add_ordering(parse_physical_sort_exprs(&ordering.by, &plan_context, &schema, converter)?);
    }
    let streams: Vec<usize> = receive.streams.iter().map(|stream| *stream as usize).collect();
    let placed_by = decode_exprs(&receive.placed_by, &schema, context, converter)?;
    let partitioning = match placed_by.is_empty() {
        true => Partitioning::UnknownPartitioning(streams.len()),
        false => Partitioning::Hash(placed_by, streams.len()),
    };
    let properties =
        PlanProperties::new(known, partitioning, EmissionType::Incremental, Boundedness::Bounded)
            .with_evaluation_type(EvaluationType::Eager)
            .with_scheduling_type(SchedulingType::Cooperative);
    let statistics = Arc::new(Statistics::new_unknown(&schema));
    let receive =
        ReceiveExec::new(ExchangeId(receive.exchange), kind, Arc::new(properties), statistics, Vec::new());
    Ok(receive.of_streams(streams))
}
