//! Predicates of scans.

use super::message::{And, Columns, Compare as CompareNode, Condition, In, Or, Scalar, Text};
use super::message::{Decimal, Predicate as Node, Value as ValueNode};
use crate::error::to_sql_error;
use crate::scan::text_test::{Part, TextTest};
use columnstore::{Compare, Predicate};
use datafusion::common::{Result, internal_datafusion_err, internal_err, not_impl_err};
use prost::Message;
use std::any::Any;
use types::{ColumnId, SqlError, Value};

/// Conditions that all must hold, as bytes.
pub fn encode_predicates(predicates: &[Predicate]) -> std::result::Result<Vec<u8>, SqlError> {
    let all = encode(&Predicate::Or(vec![predicates.to_vec()])).map_err(|error| to_sql_error(&error))?;
    Ok(all.encode_to_vec())
}

/// What [`encode_predicates`] wrote.
pub fn decode_predicates(bytes: &[u8]) -> std::result::Result<Vec<Predicate>, SqlError> {
    let node = Node::decode(bytes).map_err(SqlError::internal)?;
    match decode(&node).map_err(|error| to_sql_error(&error))? {
        Predicate::Or(mut branches) if branches.len() == 1 => Ok(branches.swap_remove(0)),
        _ => Err(SqlError::internal("conditions came as something else")),
    }
}

pub(super) fn encode(predicate: &Predicate) -> Result<Node> {
    let condition = match predicate {
        Predicate::Compare { column, op, value } => Condition::Compare(CompareNode {
            column: column.0,
            op: op_number(*op),
            value: Some(encode_value(value)),
        }),
        Predicate::In { column, values } => {
            Condition::In(In { column: column.0, values: values.iter().map(encode_value).collect() })
        }
        Predicate::Keys { .. } => return internal_err!("the keys of a join were to leave their node"),
        Predicate::IsNull(column) => Condition::IsNull(column.0),
        Predicate::IsNotNull(column) => Condition::IsNotNull(column.0),
        Predicate::Columns { left, op, right } => {
            Condition::Columns(Columns { left: left.0, op: op_number(*op), right: right.0 })
        }
        Predicate::Bytes { column, test, label } => {
            let test: &dyn Any = test.as_ref();
            match test.downcast_ref::<TextTest>() {
                Some(test) => Condition::Text(encode_test(*column, test)),
                None => return not_impl_err!("the condition '{label}' on several nodes"),
            }
        }
        Predicate::Or(branches) => {
            let branches = branches
                .iter()
                .map(|branch| Ok(And { predicates: branch.iter().map(encode).collect::<Result<Vec<_>>>()? }))
                .collect::<Result<Vec<_>>>()?;
            Condition::Or(Or { branches })
        }
    };
    Ok(Node { condition: Some(condition) })
}

pub(super) fn decode(node: &Node) -> Result<Predicate> {
    Ok(match &node.condition {
        Some(Condition::Compare(compare)) => Predicate::Compare {
            column: ColumnId(compare.column),
            op: op(compare.op)?,
            value: match &compare.value {
                Some(value) => decode_value(value),
                None => return internal_err!("a comparison came without its value"),
            },
        },
        Some(Condition::In(list)) => Predicate::In {
            column: ColumnId(list.column),
            values: list.values.iter().map(decode_value).collect(),
        },
        Some(Condition::IsNull(column)) => Predicate::IsNull(ColumnId(*column)),
        Some(Condition::IsNotNull(column)) => Predicate::IsNotNull(ColumnId(*column)),
        Some(Condition::Columns(columns)) => Predicate::Columns {
            left: ColumnId(columns.left),
            op: op(columns.op)?,
            right: ColumnId(columns.right),
        },
        Some(Condition::Text(text)) => decode_test(text)?.on(ColumnId(text.column)),
        Some(Condition::Or(or)) => Predicate::Or(
            or.branches
                .iter()
                .map(|branch| branch.predicates.iter().map(decode).collect::<Result<Vec<_>>>())
                .collect::<Result<Vec<_>>>()?,
        ),
        None => return internal_err!("a condition came empty"),
    })
}

const OPS: [Compare; 6] =
    [Compare::Eq, Compare::NotEq, Compare::Less, Compare::LessEq, Compare::Greater, Compare::GreaterEq];

fn op_number(op: Compare) -> u32 {
    OPS.iter().position(|known| *known == op).map_or(0, |at| at as u32 + 1)
}

fn op(number: u32) -> Result<Compare> {
    (number as usize)
        .checked_sub(1)
        .and_then(|at| OPS.get(at).copied())
        .ok_or_else(|| internal_datafusion_err!("a comparison {number} is not known"))
}

fn encode_test(column: ColumnId, test: &TextTest) -> Text {
    let text = Text { column: column.0, ..Text::default() };
    let of_part = |part: &Part| Text {
        from: part.from as u64,
        count: part.count.map(|count| count as u64),
        ..text.clone()
    };
    match test {
        TextTest::StartsWith { prefix } => Text { test: 1, texts: vec![prefix.clone()], ..text },
        TextTest::Like { text: pattern, escape, negated, .. } => Text {
            test: 2,
            texts: vec![pattern.clone().into_bytes()],
            escape: u32::from(*escape),
            negated: *negated,
            ..text
        },
        TextTest::Substring { part, op, text } => {
            Text { test: 3, texts: vec![text.clone()], op: op_number(*op), ..of_part(part) }
        }
        TextTest::SubstringIn { part, texts, negated } => {
            Text { test: 4, texts: texts.iter().cloned().collect(), negated: *negated, ..of_part(part) }
        }
        TextTest::NotIn { texts } => Text { test: 5, texts: texts.iter().cloned().collect(), ..text },
    }
}

fn decode_test(text: &Text) -> Result<TextTest> {
    let first = || match text.texts.first() {
        Some(first) => Ok(first.clone()),
        None => internal_err!("a test of a string came without its text"),
    };
    let part = Part { from: text.from as usize, count: text.count.map(|count| count as usize) };
    Ok(match text.test {
        1 => TextTest::StartsWith { prefix: first()? },
        2 => {
            let pattern = String::from_utf8(first()?)
                .map_err(|_| internal_datafusion_err!("a pattern came that is not UTF-8"))?;
            let escape = char::from_u32(text.escape)
                .ok_or_else(|| internal_datafusion_err!("a pattern came with a damaged escape character"))?;
            TextTest::like(&pattern, escape, text.negated)
        }
        3 => TextTest::Substring { part, op: op(text.op)?, text: first()? },
        4 => {
            TextTest::SubstringIn { part, texts: text.texts.iter().cloned().collect(), negated: text.negated }
        }
        5 => TextTest::NotIn { texts: text.texts.iter().cloned().collect() },
        other => return internal_err!("a test {other} of a string is not known"),
    })
}

fn encode_value(value: &Value) -> ValueNode {
    let scalar = match value {
        Value::Null => None,
        Value::Int(v) => Some(Scalar::Int(*v)),
        Value::UInt(v) => Some(Scalar::UInt(*v)),
        Value::Decimal { unscaled, scale } => Some(Scalar::Decimal(Decimal {
            high: (unscaled >> 64) as i64,
            low: *unscaled as u64,
            scale: u32::from(*scale),
        })),
        Value::Float(v) => Some(Scalar::Float(*v)),
        Value::Double(v) => Some(Scalar::Double(*v)),
        Value::Date(v) => Some(Scalar::Date(*v)),
        Value::Time(v) => Some(Scalar::Time(*v)),
        Value::DateTime(v) => Some(Scalar::DateTime(*v)),
        Value::Timestamp(v) => Some(Scalar::Timestamp(*v)),
        Value::Text(v) => Some(Scalar::Text(v.clone())),
        Value::Bytes(v) => Some(Scalar::Bytes(v.clone())),
    };
    ValueNode { scalar }
}

fn decode_value(node: &ValueNode) -> Value {
    match &node.scalar {
        None => Value::Null,
        Some(Scalar::Int(v)) => Value::Int(*v),
        Some(Scalar::UInt(v)) => Value::UInt(*v),
        Some(Scalar::Decimal(v)) => {
            Value::Decimal { unscaled: (i128::from(v.high) << 64) | i128::from(v.low), scale: v.scale as u8 }
        }
        Some(Scalar::Float(v)) => Value::Float(*v),
        Some(Scalar::Double(v)) => Value::Double(*v),
        Some(Scalar::Date(v)) => Value::Date(*v),
        Some(Scalar::Time(v)) => Value::Time(*v),
        Some(Scalar::DateTime(v)) => Value::DateTime(*v),
        Some(Scalar::Timestamp(v)) => Value::Timestamp(*v),
        Some(Scalar::Text(v)) => Value::Text(v.clone()),
        Some(Scalar::Bytes(v)) => Value::Bytes(v.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_predicate_comes_back() {
        let c = ColumnId(3);
        let part = Part { from: 2, count: Some(5) };
        let texts = || [b"a".to_vec(), vec![0xff]].into_iter().collect();
        let values = [
            Value::Null,
            Value::Int(-5),
            Value::UInt(u64::MAX),
            Value::Decimal { unscaled: -123_456_789_012_345_678_901_234_567_890, scale: 7 },
            Value::Decimal { unscaled: i128::from(u64::MAX) + 1, scale: 0 },
            Value::Float(0.1),
            Value::Double(f64::INFINITY),
            Value::Date(-1),
            Value::Time(-1),
            Value::DateTime(i64::MIN),
            Value::Timestamp(1),
            Value::Text("é".into()),
            Value::Bytes(vec![0, 255]),
        ];
        let mut predicates: Vec<Predicate> = OPS
            .into_iter()
            .flat_map(|op| {
                [
                    Predicate::Compare { column: c, op, value: Value::Double(0.1) },
                    Predicate::Columns { left: c, op, right: ColumnId(4) },
                ]
            })
            .collect();
        predicates.extend([
            Predicate::In { column: c, values: values.to_vec() },
            Predicate::IsNull(c),
            Predicate::IsNotNull(c),
            Predicate::Or(Vec::new()),
            TextTest::StartsWith { prefix: b"ab".to_vec() }.on(c),
            TextTest::like("a\\%b%_é", '\\', true).on(c),
            TextTest::Substring { part, op: Compare::Less, text: b"x".to_vec() }.on(c),
            TextTest::SubstringIn { part: Part { from: 0, count: None }, texts: texts(), negated: true }
                .on(c),
            TextTest::NotIn { texts: texts() }.on(c),
        ]);
        predicates.push(Predicate::Or(vec![predicates.clone(), vec![Predicate::IsNull(c)]]));
        for predicate in predicates {
            let back = decode(&encode(&predicate).unwrap()).unwrap();
            assert_eq!(format!("{back:?}"), format!("{predicate:?}"));
            if let (Predicate::Bytes { test: a, .. }, Predicate::Bytes { test: b, .. }) = (&predicate, &back)
            {
                for text in ["", "a", "abx", "a%b", "a%bé", "xxxxx", "zz"] {
                    assert_eq!(a.passes(text.as_bytes()), b.passes(text.as_bytes()), "{predicate:?} {text}");
                }
            }
        }
    }

    #[test]
    fn a_test_of_unknown_making_is_refused() {
        let test = std::sync::Arc::new(|_: &[u8]| true);
        let predicate = Predicate::Bytes { column: ColumnId(1), test, label: "odd".into() };
        assert!(encode(&predicate).unwrap_err().to_string().contains("'odd'"));
    }
}
