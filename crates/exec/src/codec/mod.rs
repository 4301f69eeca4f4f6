//! Stages on their way to other nodes: plans as bytes.
//!
//! DataFusion's operators and expressions are written by `datafusion-proto`; what is ours
//! ([`message`]), its own way inside of them. Functions travel by name ([`functions`]). A plan is sent
//! as it was before it was tied together by runtime filters (see [`crate::runtime_filters`]), which are
//! shared memory; the receiver ties its part anew, and fuses aggregations again if the sender had.
//!
//! What a scalar subquery has yielded is sent as a constant, since the operator that computed it is on
//! another node.
//!
//! A protobuf reader refuses messages that are nested more than 100 deep, so every few levels a plan or
//! an expression is embedded in its parent as bytes of its own ([`EMBEDDED`]).
//!
//! Nodes of one cluster run the same version while they exchange plans; bytes that do not decode are an
//! error, never a panic.

mod functions;
mod message;
mod operators;
mod predicates;
#[cfg(test)]
mod tests;

pub use predicates::{decode_predicates, encode_predicates};

use crate::aggregate::{FusedAggregateExec, fuse_aggregates};
use crate::exchange::ExchangeKind;
use crate::interruptible::{interruptible, uninterruptible};
use crate::runtime_filters;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, internal_datafusion_err, internal_err, not_impl_err};
use datafusion::config::ConfigOptions;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{AggregateUDF, ColumnarValue, ScalarUDF, WindowUDF};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion_proto::physical_plan::from_proto::parse_physical_expr_with_converter;
use datafusion_proto::physical_plan::to_proto::serialize_physical_expr_with_converter;
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalPlanNodeExt, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::physical_expr_node::ExprType;
use datafusion_proto::protobuf::physical_plan_node::PhysicalPlanType;
use datafusion_proto::protobuf::{
    PhysicalExprNode, PhysicalExtensionExprNode, PhysicalExtensionNode, PhysicalPlanNode,
};
use prost::Message;
use std::cell::Cell;
use std::sync::Arc;

/// The first byte of what stands in an extension node: a plan or expression of its own.
const EMBEDDED: u8 = 0;
/// The first byte of an operator of ours.
const OURS: u8 = 1;
/// Levels of plans and expressions between two that are embedded.
const LEVELS: usize = 8;

/// The plan without what stands above other operators to run them here; whether aggregations were fused with
/// their scans.
pub(crate) fn plain(plan: &Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    unfused(&uninterruptible(plan.clone())?)
}

/// A stage as bytes: its plan, which is [`plain`] and has not run, and how its rows leave. `fused`: whether its
/// aggregations are to be fused with their scans.
pub(crate) fn encode(plan: &Arc<dyn ExecutionPlan>, output: &ExchangeKind, fused: bool) -> Result<Vec<u8>> {
    let plan = fitting_limits(runtime_filters::fresh(plan.clone())?)?;
    let outgoing = Outgoing::default();
    let message = message::Stage {
        plan: Some(outgoing.execution_plan_to_proto(&plan, &Codec)?),
        output: Some(operators::encode_kind(output, &outgoing)?),
        fused,
    };
    Ok(message.encode_to_vec())
}

/// A stage as it came. Its plan is not tied together by runtime filters, and has not run.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    output: ExchangeKind,
    fused: bool,
}

impl Decoded {
    /// The stage, tied and ready to run, of a plan that nothing else runs.
    pub(crate) fn into_ready(
        self,
        options: &ConfigOptions,
    ) -> Result<(Arc<dyn ExecutionPlan>, ExchangeKind)> {
        let plan = runtime_filters::connect(self.plan, options)?;
        let plan = if self.fused { fuse_aggregates(plan)? } else { plan };
        Ok((interruptible(plan)?, self.output))
    }

    /// The same, leaving this as it is, for another run.
    pub(crate) fn copy(&self) -> Result<Decoded> {
        let plan = runtime_filters::fresh(self.plan.clone())?;
        Ok(Decoded { plan, output: self.output.clone(), fused: self.fused })
    }
}

/// Reads a stage. Functions and operators take their options from `context`.
pub(crate) fn decode(bytes: &[u8], context: &TaskContext) -> Result<Decoded> {
    let message = message::Stage::decode(bytes).map_err(damaged)?;
    let (Some(plan), Some(output)) = (message.plan, message.output) else {
        return internal_err!("a stage came without its plan");
    };
    let plan = Incoming.proto_to_execution_plan(&plan, &PhysicalPlanDecodeContext::new(context, &Codec))?;
    let output = operators::decode_kind(&output, &plan.schema(), context, &Incoming)?;
    Ok(Decoded { plan, output, fused: message.fused })
}

/// The plan without the operators that aggregations and scans were fused to.
fn unfused(plan: &Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    plan.clone().transform_up(|node| match node.downcast_ref::<FusedAggregateExec>() {
        Some(_) => Ok(Transformed::yes(node.children()[0].clone())),
        None => Ok(Transformed::no(node)),
    })
}

fn damaged(error: prost::DecodeError) -> datafusion::error::DataFusionError {
    internal_datafusion_err!("a plan came damaged: {error}")
}

/// Limits travel in 32 bits. A greater one within a stage limits nothing; rows that are skipped must
/// be counted.
fn fitting_limits(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let most = u32::MAX as usize;
    plan.transform_up(|node| {
        if node.downcast_ref::<GlobalLimitExec>().is_some_and(|limit| limit.skip() > most) {
            return not_impl_err!("an OFFSET of more than {most} rows below an exchange");
        }
        if node.fetch().is_none_or(|fetch| fetch <= most) {
            return Ok(Transformed::no(node));
        }
        if let Some(limit) = node.downcast_ref::<LocalLimitExec>() {
            return Ok(Transformed::yes(limit.input().clone()));
        }
        Ok(match node.with_fetch(None) {
            Some(unlimited) => Transformed::yes(unlimited),
            None => Transformed::no(node),
        })
    })
    .data()
}

/// What a subquery has yielded, if this is its value and it has.
fn known_value(expr: &Arc<dyn PhysicalExpr>) -> Option<Literal> {
    expr.downcast_ref::<ScalarSubqueryExpr>()?;
    match expr.evaluate(&RecordBatch::new_empty(Arc::new(Schema::empty()))) {
        Ok(ColumnarValue::Scalar(value)) => Some(Literal::new(value)),
        _ => None,
    }
}

/// Runs `work` with room on the stack: plans nest as deep as queries do.
fn with_stack<T>(work: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(256 << 10, 2 << 20, work)
}

/// Writes plans.
#[derive(Default)]
struct Outgoing {
    depth: Cell<usize>,
}

impl Outgoing {
    /// Calls `write` one level down; true if what it wrote is to be embedded.
    fn descend<T>(&self, write: impl FnOnce() -> Result<T>) -> Result<(T, bool)> {
        let depth = self.depth.get();
        self.depth.set(depth + 1);
        let written = with_stack(write);
        self.depth.set(depth);
        Ok((written?, depth % LEVELS == LEVELS - 1))
    }
}

fn embedded(message: &impl Message) -> Result<Vec<u8>> {
    let mut bytes = vec![EMBEDDED];
    message.encode(&mut bytes).map_err(|error| internal_datafusion_err!("cannot write a plan: {error}"))?;
    Ok(bytes)
}

impl PhysicalProtoConverterExtension for Outgoing {
    fn proto_to_execution_plan(
        &self,
        _: &PhysicalPlanNode,
        _: &PhysicalPlanDecodeContext<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        internal_err!("this writes plans and does not read them")
    }

    fn execution_plan_to_proto(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        codec: &dyn PhysicalExtensionCodec,
    ) -> Result<PhysicalPlanNode> {
        let (node, embed) = self
            .descend(|| PhysicalPlanNode::try_from_physical_plan_with_converter(plan.clone(), codec, self))?;
        if !embed {
            return Ok(node);
        }
        let node = PhysicalExtensionNode { node: embedded(&node)?, inputs: Vec::new() };
        Ok(PhysicalPlanNode { physical_plan_type: Some(PhysicalPlanType::Extension(node)) })
    }

    fn proto_to_physical_expr(
        &self,
        _: &PhysicalExprNode,
        _: &Schema,
        _: &PhysicalPlanDecodeContext<'_>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        internal_err!("this writes expressions and does not read them")
    }

    fn physical_expr_to_proto(
        &self,
        expr: &Arc<dyn PhysicalExpr>,
        codec: &dyn PhysicalExtensionCodec,
    ) -> Result<PhysicalExprNode> {
        let known = known_value(expr).map(|literal| Arc::new(literal) as Arc<dyn PhysicalExpr>);
        let expr = known.as_ref().unwrap_or(expr);
        let (node, embed) = self.descend(|| serialize_physical_expr_with_converter(expr, codec, self))?;
        if !embed {
            return Ok(node);
        }
        let node = PhysicalExtensionExprNode { expr: embedded(&node)?, inputs: Vec::new() };
        Ok(PhysicalExprNode { expr_id: None, expr_type: Some(ExprType::Extension(node)) })
    }
}

/// Reads plans.
struct Incoming;

impl PhysicalProtoConverterExtension for Incoming {
    fn proto_to_execution_plan(
        &self,
        proto: &PhysicalPlanNode,
        context: &PhysicalPlanDecodeContext<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        with_stack(|| match &proto.physical_plan_type {
            Some(PhysicalPlanType::Extension(node)) if node.node.first() == Some(&EMBEDDED) => {
                let inner = PhysicalPlanNode::decode(&node.node[1..]).map_err(damaged)?;
                self.proto_to_execution_plan(&inner, context)
            }
            _ => proto.try_into_physical_plan_with_context(context, self),
        })
    }

    fn execution_plan_to_proto(
        &self,
        _: &Arc<dyn ExecutionPlan>,
        _: &dyn PhysicalExtensionCodec,
    ) -> Result<PhysicalPlanNode> {
        internal_err!("this reads plans and does not write them")
    }

    fn proto_to_physical_expr(
        &self,
        proto: &PhysicalExprNode,
        input_schema: &Schema,
        context: &PhysicalPlanDecodeContext<'_>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        with_stack(|| match &proto.expr_type {
            Some(ExprType::Extension(node)) if node.expr.first() == Some(&EMBEDDED) => {
                let inner = PhysicalExprNode::decode(&node.expr[1..]).map_err(damaged)?;
                self.proto_to_physical_expr(&inner, input_schema, context)
            }
            _ => parse_physical_expr_with_converter(proto, input_schema, context, self),
        })
    }

    fn physical_expr_to_proto(
        &self,
        _: &Arc<dyn PhysicalExpr>,
        _: &dyn PhysicalExtensionCodec,
    ) -> Result<PhysicalExprNode> {
        internal_err!("this reads expressions and does not write them")
    }
}

/// What `datafusion-proto` does not know.
#[derive(Debug)]
struct Codec;

impl PhysicalExtensionCodec for Codec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match bytes.split_first() {
            Some((&OURS, bytes)) => {
                let operator = message::Operator::decode(bytes).map_err(damaged)?;
                operators::decode(&operator, inputs, context, converter)
            }
            _ => internal_err!("a plan came with an operator that is not known"),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let operator = operators::encode(&node, converter)?;
        bytes.push(OURS);
        operator.encode(bytes).map_err(|error| internal_datafusion_err!("cannot write a plan: {error}"))
    }

    fn try_decode_udf(&self, name: &str, origin: &[u8]) -> Result<Arc<ScalarUDF>> {
        functions::scalar(name, origin)
    }

    fn try_encode_udf(&self, function: &ScalarUDF, origin: &mut Vec<u8>) -> Result<()> {
        origin.push(functions::origin_of_scalar(function)?);
        Ok(())
    }

    fn try_decode_udaf(&self, name: &str, origin: &[u8]) -> Result<Arc<AggregateUDF>> {
        functions::aggregate(name, origin)
    }

    fn try_encode_udaf(&self, function: &AggregateUDF, origin: &mut Vec<u8>) -> Result<()> {
        origin.push(functions::origin_of_aggregate(function)?);
        Ok(())
    }

    fn try_decode_udwf(&self, name: &str, _: &[u8]) -> Result<Arc<WindowUDF>> {
        functions::window(name)
    }

    fn try_encode_udwf(&self, function: &WindowUDF, origin: &mut Vec<u8>) -> Result<()> {
        origin.push(functions::origin_of_window(function)?);
        Ok(())
    }
}
