//! Unary and binary operators.

use super::binder::{Binder, Env};
use super::expr::{comparison_of, unnested};
use super::literals::number;
use crate::analyzer::Typed;
use crate::analyzer::operand::Operand;
use crate::functions::arithmetic::Operation;
use crate::functions::bits;
use datafusion::logical_expr::{Operator, binary_expr};
use sqlparser::ast::{self, BinaryOperator, UnaryOperator};
use types::{ErrorKind, SqlError};

/// The longest chain of operators other than AND and OR, which are built as balanced trees. A chain is a tree
/// that leans to the left; to plan one of n costs up to n cubed, some 0.7 s at these bounds.
const MAX_CHAIN: usize = 400;
/// Those of them that compare: each converts its sides, so it is several nodes.
const MAX_COMPARISONS: usize = 150;

impl Binder<'_> {
    pub(super) fn unary(
        &mut self,
        op: UnaryOperator,
        expr: &ast::Expr,
        env: Env<'_>,
    ) -> Result<Typed, SqlError> {
        match op {
            UnaryOperator::Minus => {
                let value = self.negated(expr, env)?;
                self.rules.finished(value)
            }
            UnaryOperator::Plus => self.expr(expr, env),
            UnaryOperator::Not | UnaryOperator::BangNot => {
                let value = self.expr(expr, env)?;
                self.rules.not(value)
            }
            UnaryOperator::BitwiseNot => {
                let value = self.expr(expr, env)?;
                self.rules.invert_bits(value)
            }
            other => Err(SqlError::unsupported(format_args!("operator {other}"))),
        }
    }

    fn negated(&mut self, expr: &ast::Expr, env: Env<'_>) -> Result<Operand, SqlError> {
        // The least BIGINT is only a BIGINT together with its sign.
        if let ast::Expr::Value(value) = expr
            && let ast::Value::Number(digits, _) = &value.value
        {
            return number(&format!("-{digits}")).map(Operand::Value);
        }
        let value = self.operand(expr, env)?;
        self.rules.negated(value)
    }

    /// An operand of arithmetic.
    pub(super) fn operand(&mut self, expr: &ast::Expr, env: Env<'_>) -> Result<Operand, SqlError> {
        match expr {
            ast::Expr::Nested(inner) | ast::Expr::UnaryOp { op: UnaryOperator::Plus, expr: inner } => {
                self.nested(|binder| binder.operand(inner, env))
            }
            ast::Expr::BinaryOp { left, op, right } if arithmetic_of(op).is_some() => {
                self.nested(|binder| binder.binary(left, op, right, env))
            }
            ast::Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
                self.nested(|binder| binder.negated(expr, env))
            }
            _ => self.expr(expr, env).map(Operand::Value),
        }
    }

    /// Chains such as `a + b + c` lean to the left; they are bound in a loop, not by recursion.
    pub(super) fn binary(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
        env: Env<'_>,
    ) -> Result<Operand, SqlError> {
        if matches!(op, BinaryOperator::And | BinaryOperator::Or) {
            return self.junction(left, op, right, env).map(Operand::Value);
        }
        let mut first = left;
        let mut chain = vec![(op, right)];
        while let ast::Expr::BinaryOp { left, op, right } = first
            && !matches!(op, BinaryOperator::And | BinaryOperator::Or)
        {
            chain.push((op, right));
            first = left;
        }
        bounded(&chain)?;
        if let [(op, right)] = chain.as_slice()
            && let (ast::Expr::Tuple(_), _) | (_, ast::Expr::Tuple(_)) = (unnested(left), unnested(right))
        {
            return self.compare_tuples(unnested(left), op, unnested(right), env).map(Operand::Value);
        }
        // INTERVAL may stand on the left of its date.
        let mut value = match (first, chain.last()) {
            (ast::Expr::Interval(interval), Some((BinaryOperator::Plus, right))) => {
                let date = self.expr(right, env)?;
                chain.pop();
                Operand::Value(self.add_interval(date, interval, false, env)?)
            }
            _ => self.operand(first, env)?,
        };
        while let Some((op, right)) = chain.pop() {
            if let Some(operation) = arithmetic_of(op)
                && !matches!(right, ast::Expr::Interval(_))
            {
                let right = self.operand(right, env)?;
                value = self.rules.operate(operation, value, right)?;
                continue;
            }
            let left = self.rules.finished(value)?;
            value = Operand::Value(match (op, right) {
                (BinaryOperator::Plus, ast::Expr::Interval(interval)) => {
                    self.add_interval(left, interval, false, env)?
                }
                (BinaryOperator::Minus, ast::Expr::Interval(interval)) => {
                    self.add_interval(left, interval, true, env)?
                }
                (op, right) => {
                    let right = self.expr(right, env)?;
                    self.operator(op, left, right)?
                }
            });
        }
        Ok(value)
    }

    /// An operator that is no arithmetic.
    fn operator(&mut self, op: &BinaryOperator, left: Typed, right: Typed) -> Result<Typed, SqlError> {
        use BinaryOperator as B;
        if let Some(comparison) = comparison_of(op) {
            return self.rules.compare(comparison, left, right);
        }
        match op {
            B::BitwiseAnd => self.rules.bits(bits::Operation::And, left, right),
            B::BitwiseOr => self.rules.bits(bits::Operation::Or, left, right),
            B::BitwiseXor | B::PGBitwiseXor => self.rules.bits(bits::Operation::Xor, left, right),
            B::PGBitwiseShiftLeft => self.rules.bits(bits::Operation::ShiftLeft, left, right),
            B::PGBitwiseShiftRight => self.rules.bits(bits::Operation::ShiftRight, left, right),
            B::Xor => {
                let (left, right) = (self.rules.condition(left)?, self.rules.condition(right)?);
                let nullable = left.nullable || right.nullable;
                Ok(Typed::boolean(binary_expr(left.expr, Operator::NotEq, right.expr), nullable))
            }
            B::StringConcat if self.ctx.session.modes.pipes_as_concat => {
                self.native_call("CONCAT", vec![left, right])
            }
            B::StringConcat => {
                let (left, right) = (self.rules.condition(left)?, self.rules.condition(right)?);
                let nullable = left.nullable || right.nullable;
                Ok(Typed::boolean(left.expr.or(right.expr), nullable))
            }
            B::Regexp | B::Match => self.regexp(left, right),
            B::Arrow => self.json_arrow(left, right),
            B::LongArrow => {
                let value = self.json_arrow(left, right)?;
                self.json_unquoted(value)
            }
            B::Assignment => Err(SqlError::unsupported("assignment := in an expression")),
            other => Err(SqlError::unsupported(format_args!("operator {other}"))),
        }
    }
}

fn bounded(chain: &[(&BinaryOperator, &ast::Expr)]) -> Result<(), SqlError> {
    let comparisons = chain.iter().filter(|(op, _)| comparison_of(op).is_some()).count();
    let (most, what) = if comparisons > MAX_COMPARISONS {
        (MAX_COMPARISONS, "comparisons")
    } else if chain.len() > MAX_CHAIN {
        (MAX_CHAIN, "operators")
    } else {
        return Ok(());
    };
    Err(SqlError::new(
        ErrorKind::StackOverrun,
        format!("An expression has more than {most} {what} in a row; group them with parentheses"),
    ))
}

fn arithmetic_of(op: &BinaryOperator) -> Option<Operation> {
    Some(match op {
        BinaryOperator::Plus => Operation::Add,
        BinaryOperator::Minus => Operation::Subtract,
        BinaryOperator::Multiply => Operation::Multiply,
        BinaryOperator::Divide => Operation::Divide,
        BinaryOperator::Modulo => Operation::Modulo,
        BinaryOperator::MyIntegerDivide | BinaryOperator::DuckIntegerDivide => Operation::IntegerDivide,
        _ => return None,
    })
}
