//! Expressions.

use super::binder::{Binder, Env, Truth};
use super::charsets::introduced;
use super::context::VariableScope;
use super::errors::wrong_columns;
use super::literals::{backslash_pattern, bit_literal, cast_target, hex_literal, number, unit_of};
use super::scope::ColumnName;
use crate::analyzer::compare::{Comparison, balanced};
use crate::analyzer::fold::{call, keeping_warned};
use crate::analyzer::typed::BIGINT;
use crate::analyzer::{Collated, Family, Typed};
use crate::functions::interval::Unit;
use crate::functions::{datetime, text};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Case, Like};
use datafusion::logical_expr::{Expr, Operator};
use sqlparser::ast::{self, BinaryOperator, UnaryOperator};
use types::{Collation, ErrorKind, SqlError};

impl Binder<'_> {
    pub(super) fn expr(&mut self, expr: &ast::Expr, env: Env<'_>) -> Result<Typed, SqlError> {
        self.nested(|binder| binder.expr_here(expr, env))
    }

    pub(super) fn exprs<'e>(
        &mut self,
        exprs: impl IntoIterator<Item = &'e ast::Expr>,
        env: Env<'_>,
    ) -> Result<Vec<Typed>, SqlError> {
        exprs.into_iter().map(|expr| self.expr(expr, env)).collect()
    }

    fn condition(&mut self, expr: &ast::Expr, env: Env<'_>) -> Result<Typed, SqlError> {
        let value = self.expr(expr, env)?;
        self.rules.condition(value)
    }

    fn expr_here(&mut self, expr: &ast::Expr, env: Env<'_>) -> Result<Typed, SqlError> {
        use ast::Expr as E;
        let whole = env;
        let env = match expr {
            E::Nested(_) => env,
            E::BinaryOp { op: BinaryOperator::And, .. } => env,
            E::BinaryOp { op: BinaryOperator::Or, .. } if env.truth != Truth::Exact => {
                Env { truth: Truth::Disjunct, ..env }
            }
            _ => Env { truth: Truth::Exact, ..env },
        };
        if whole.truth == Truth::Conjunct
            && let Some(condition) = self.open_condition(expr, env)?
        {
            return Ok(condition);
        }
        match expr {
            E::Identifier(name) => self.identifier(std::slice::from_ref(name), env),
            E::CompoundIdentifier(parts) => self.identifier(parts, env),
            E::Value(value) => self.value(&value.value),
            E::Nested(inner) => self.expr(inner, env),
            E::BinaryOp { left, op, right } => {
                let value = self.binary(left, op, right, env)?;
                self.rules.finished(value)
            }
            E::UnaryOp { op: UnaryOperator::Not | UnaryOperator::BangNot, expr }
                if let E::InSubquery { expr, subquery, negated } = unnested(expr) =>
            {
                self.in_subquery(expr, subquery, !negated, whole)
            }
            E::UnaryOp { op, expr } => self.unary(*op, expr, env),
            E::IsNull(inner) => self.is_null(inner, false, env),
            E::IsNotNull(inner) => self.is_null(inner, true, env),
            E::IsTrue(inner) => self.is_truth(inner, Expr::IsTrue, env),
            E::IsNotTrue(inner) => self.is_truth(inner, Expr::IsNotTrue, env),
            E::IsFalse(inner) => self.is_truth(inner, Expr::IsFalse, env),
            E::IsNotFalse(inner) => self.is_truth(inner, Expr::IsNotFalse, env),
            E::IsUnknown(inner) => self.is_truth(inner, Expr::IsUnknown, env),
            E::IsNotUnknown(inner) => self.is_truth(inner, Expr::IsNotUnknown, env),
            E::Between { expr, negated, low, high } => {
                let value = self.with_digits(expr, env)?;
                let (low, high) = (self.with_digits(low, env)?, self.with_digits(high, env)?);
                let between = self.rules.between(value, low, high)?;
                if *negated { self.rules.not(between) } else { Ok(between) }
            }
            E::InList { expr, list, negated } => self.in_list(expr, list, *negated, env),
            E::InSubquery { expr, subquery, negated } => self.in_subquery(expr, subquery, *negated, whole),
            E::Exists { subquery, negated } => self.exists(subquery, *negated, env),
            E::Subquery(query) => self.scalar_subquery(query, env),
            E::AnyOp { left, compare_op, right, is_some: _ } => {
                self.quantified(left, compare_op, right, false, whole)
            }
            E::AllOp { left, compare_op, right } => self.quantified(left, compare_op, right, true, whole),
            E::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(*negated, expr, pattern, escape_char.as_ref(), env)
            }
            E::RLike { negated, expr, pattern, regexp: _ } => {
                let (value, pattern) = (self.expr(expr, env)?, self.expr(pattern, env)?);
                let matched = self.regexp(value, pattern)?;
                if *negated { self.rules.not(matched) } else { Ok(matched) }
            }
            E::MemberOf(member) => {
                let (value, document) = (self.expr(&member.value, env)?, self.expr(&member.array, env)?);
                self.member_of(value, document)
            }
            E::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref(), env)
            }
            E::Cast { kind: ast::CastKind::Cast, expr, data_type, array: false, format: None } => {
                if *data_type == ast::DataType::JSON {
                    let value = self.expr(expr, env)?;
                    return self.json_cast(value);
                }
                self.cast_to(expr, cast_target(data_type)?, env)
            }
            E::Convert { is_try: false, expr, data_type, charset, styles, .. } if styles.is_empty() => {
                if let (Some(data_type), None) = (data_type, charset)
                    && *data_type != ast::DataType::JSON
                {
                    return self.cast_to(expr, cast_target(data_type)?, env);
                }
                let value = self.expr(expr, env)?;
                match (data_type, charset) {
                    (Some(_), None) => self.json_cast(value),
                    (None, Some(charset)) => self.convert_using(value, &charset.to_string()),
                    (Some(data_type), Some(charset)) => {
                        self.cast_of_charset(value, data_type, &charset.to_string())
                    }
                    (None, None) => Err(SqlError::unsupported(expr)),
                }
            }
            E::Prefixed { prefix, value } => introduced(prefix, value),
            E::TypedString(typed) => self.typed_string(typed),
            E::Extract { field, expr, .. } => {
                let value = self.expr(expr, env)?;
                self.extract(unit_of(field)?, value)
            }
            E::Ceil { expr, field: ast::CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) } => {
                self.rounding_call("CEIL", expr, &[], env)
            }
            E::Floor { expr, field: ast::CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) } => {
                self.rounding_call("FLOOR", expr, &[], env)
            }
            E::Position { expr, r#in } => {
                let (wanted, value) = (self.expr(expr, env)?, self.expr(r#in, env)?);
                self.native_call("LOCATE", vec![wanted, value])
            }
            E::Substring { expr, substring_from, substring_for, .. } => {
                let mut args = vec![self.expr(expr, env)?];
                match (substring_from, substring_for) {
                    (None, None) => {}
                    (Some(from), None) => args.push(self.expr(from, env)?),
                    (from, length) => {
                        args.push(match from {
                            Some(from) => self.expr(from, env)?,
                            None => Typed::int(1),
                        });
                        if let Some(length) = length {
                            args.push(self.expr(length, env)?);
                        }
                    }
                }
                self.native_call("SUBSTRING", args)
            }
            E::Trim { trim_where, trim_what, expr, trim_characters: None } => {
                let what = match trim_what {
                    Some(what) => self.expr(what, env)?,
                    None => Typed::text(" "),
                };
                let value = self.expr(expr, env)?;
                self.trim(*trim_where, value, what)
            }
            E::Collate { expr, collation } => {
                let value = self.expr(expr, env)?;
                let name = collation.to_string();
                if value.family() == Family::Binary {
                    return Err(SqlError::new(
                        ErrorKind::CollationCharsetMismatch,
                        format!("COLLATION '{name}' is not valid for CHARACTER SET 'binary'"),
                    ));
                }
                let collation = match name.to_ascii_lowercase().as_str() {
                    "binary" => Collation::Bytes,
                    name => crate::charset::collation(name)?,
                };
                Ok(Typed { collation: Collated::explicit(collation), ..self.rules.text(value)? })
            }
            E::Function(function) => self.function(function, env),
            E::Interval(_) => Err(SqlError::new(
                ErrorKind::ParseError,
                "INTERVAL stands only beside + and - of a date, and in functions of dates",
            )),
            E::Tuple(values) => Err(wrong_columns(values.len())),
            E::MatchAgainst { .. } => Err(SqlError::unsupported("MATCH .. AGAINST")),
            other => Err(SqlError::unsupported(other)),
        }
    }

    fn identifier(&mut self, parts: &[ast::Ident], env: Env<'_>) -> Result<Typed, SqlError> {
        let first = &parts[0];
        if first.quote_style.is_none()
            && let Some(variable) = first.value.strip_prefix('@')
        {
            return self.variable(variable, &parts[1..]);
        }
        let name = match parts {
            [name] => ColumnName { database: None, table: None, name: &name.value },
            [table, name] => ColumnName { database: None, table: Some(&table.value), name: &name.value },
            [database, table, name] => {
                ColumnName { database: Some(&database.value), table: Some(&table.value), name: &name.value }
            }
            _ => {
                return Err(env
                    .scope
                    .unknown(ColumnName { database: None, table: None, name: &first.value }, env.clause));
            }
        };
        self.column(name, env)
    }

    fn column(&mut self, name: ColumnName<'_>, env: Env<'_>) -> Result<Typed, SqlError> {
        let alias = |env: Env<'_>| -> Result<Option<Typed>, SqlError> {
            if name.table.is_some() {
                return Ok(None);
            }
            let mut found: Option<&Typed> = None;
            for alias in env.aliases.iter().filter(|alias| alias.name.eq_ignore_ascii_case(name.name)) {
                match found {
                    Some(other) if other.expr != alias.value.expr => {
                        return Err(super::errors::ambiguous_column(name.name, env.clause));
                    }
                    _ => found = Some(&alias.value),
                }
            }
            Ok(found.cloned())
        };
        if env.aliases_first
            && let Some(value) = alias(env)?
        {
            return Ok(value);
        }
        if let Some(column) = env.scope.find(name, env.clause)? {
            return Ok(column.typed());
        }
        if !env.aliases_first
            && let Some(value) = alias(env)?
        {
            return Ok(value);
        }
        for scope in self.outer.iter().rev() {
            if let Some(column) = scope.find(name, env.clause)? {
                return Ok(column.outer());
            }
        }
        Err(env.scope.unknown(name, env.clause))
    }

    /// `@name`, `@@name`, `@@global.name`; the first `@` is taken off.
    fn variable(&mut self, first: &str, rest: &[ast::Ident]) -> Result<Typed, SqlError> {
        let variables = self.ctx.session.variables;
        super::note_momentary();
        let unquoted = |name: &str| name.trim_matches(|c| matches!(c, '`' | '\'' | '"')).to_ascii_lowercase();
        let Some(system) = first.strip_prefix('@') else {
            let mut name = unquoted(first);
            for part in rest {
                name.push('.');
                name.push_str(&part.value.to_ascii_lowercase());
            }
            let value = Typed { collation: Collated::CONNECTION, ..Typed::value(&variables.user(&name)) };
            // A user variable holds a number or a string.
            return if value.family().is_temporal() { self.rules.text(value) } else { Ok(value) };
        };
        let (scope, name) = match rest {
            [] => (VariableScope::Any, unquoted(system)),
            [name] => {
                let scope = match system.to_ascii_lowercase().as_str() {
                    "session" | "local" => VariableScope::Session,
                    "global" | "persist" => VariableScope::Global,
                    other => {
                        return Err(SqlError::new(
                            ErrorKind::UnknownSystemVariable,
                            format!("Unknown system variable '{other}.{}'", name.value),
                        ));
                    }
                };
                (scope, unquoted(&name.value))
            }
            _ => return Err(SqlError::unsupported("components of system variables")),
        };
        Ok(Typed::value(&variables.system(scope, &name)?))
    }

    fn value(&mut self, value: &ast::Value) -> Result<Typed, SqlError> {
        use ast::Value as V;
        match value {
            V::Number(digits, _) => number(digits),
            V::SingleQuotedString(text)
            | V::DoubleQuotedString(text)
            | V::NationalStringLiteral(text)
            | V::EscapedStringLiteral(text)
            | V::UnicodeStringLiteral(text) => Ok(Typed::text(text.clone())),
            V::Boolean(truth) => Ok(Typed::int(i64::from(*truth))),
            V::Null => Ok(Typed::null()),
            V::HexStringLiteral(digits) => hex_literal(digits),
            V::SingleQuotedByteStringLiteral(bits) | V::DoubleQuotedByteStringLiteral(bits) => {
                bit_literal(bits)
            }
            V::Placeholder(name) => {
                let parameters = self.ctx.parameters;
                let place = name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok());
                let place = place.and_then(|n| n.checked_sub(1));
                if let Some(at) = place {
                    self.note_fixed(at);
                }
                match place.and_then(|at| parameters.get(at)) {
                    Some(value) => Ok(Typed::value(value)),
                    None => Err(SqlError::new(
                        ErrorKind::WrongArguments,
                        "The statement has more parameters than values were given",
                    )),
                }
            }
            other => Err(SqlError::unsupported(other)),
        }
    }

    /// AND and OR of many: a balanced tree.
    pub(super) fn junction(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
        env: Env<'_>,
    ) -> Result<Typed, SqlError> {
        let mut operands = vec![right];
        let mut first = left;
        while let ast::Expr::BinaryOp { left, op: own, right } = first
            && own == op
        {
            operands.push(right);
            first = left;
        }
        operands.push(first);
        let mut level = Vec::with_capacity(operands.len());
        let mut nullable = false;
        for operand in operands.into_iter().rev() {
            let operand = self.condition(operand, env)?;
            nullable |= operand.nullable;
            level.push(operand.expr);
        }
        let operator = if *op == BinaryOperator::And { Operator::And } else { Operator::Or };
        // Invariant: there are at least two operands.
        let expr = balanced(level, operator).unwrap_or_default();
        Ok(Typed::boolean(expr, nullable))
    }

    /// `(a, b) = (c, d)` and the like.
    pub(super) fn compare_tuples(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
        env: Env<'_>,
    ) -> Result<Typed, SqlError> {
        if let (ast::Expr::Tuple(_), ast::Expr::Subquery(_)) | (ast::Expr::Subquery(_), ast::Expr::Tuple(_)) =
            (left, right)
        {
            return Err(SqlError::unsupported("comparing a row with a subquery, except by IN"));
        }
        let (l, r) = (tuple(left), tuple(right));
        if l.len() != r.len() {
            return Err(wrong_columns(l.len()));
        }
        let comparison = comparison_of(op).ok_or_else(|| wrong_columns(1))?;
        let (l, r) = (self.exprs(l, env)?, self.exprs(r, env)?);
        self.compare_rows(comparison, l, r)
    }

    pub(super) fn compare_rows(
        &mut self,
        comparison: Comparison,
        left: Vec<Typed>,
        right: Vec<Typed>,
    ) -> Result<Typed, SqlError> {
        let mut pairs: Vec<(Typed, Typed)> = left.into_iter().zip(right).collect();
        match comparison {
            Comparison::Equal | Comparison::NullSafeEqual => {
                let (mut all, mut nullable) = (Vec::with_capacity(pairs.len()), false);
                for (l, r) in pairs {
                    let equal = self.rules.compare(comparison, l, r)?;
                    nullable |= equal.nullable;
                    all.push(equal.expr);
                }
                let all = balanced(all, Operator::And).ok_or_else(|| wrong_columns(1))?;
                Ok(Typed::boolean(all, nullable))
            }
            Comparison::NotEqual => {
                let (l, r) = pairs.into_iter().unzip();
                let equal = self.compare_rows(Comparison::Equal, l, r)?;
                self.rules.not(equal)
            }
            ordering => {
                // a < c OR (a = c AND (b < d ..))
                let strict = match ordering {
                    Comparison::LessOrEqual => Comparison::Less,
                    Comparison::GreaterOrEqual => Comparison::Greater,
                    strict => strict,
                };
                let Some((l, r)) = pairs.pop() else { return Err(wrong_columns(1)) };
                let mut result = self.rules.compare(ordering, l, r)?;
                while let Some((l, r)) = pairs.pop() {
                    let before = self.rules.compare(strict, self.rules.copy(&l)?, self.rules.copy(&r)?)?;
                    let same = self.rules.compare(Comparison::Equal, l, r)?;
                    let nullable = before.nullable || same.nullable || result.nullable;
                    result = Typed::boolean(before.expr.or(same.expr.and(result.expr)), nullable);
                }
                Ok(result)
            }
        }
    }

    fn is_null(&mut self, inner: &ast::Expr, negated: bool, env: Env<'_>) -> Result<Typed, SqlError> {
        let value = self.expr(inner, env)?;
        let inner = Box::new(value.expr);
        Ok(Typed::boolean(if negated { Expr::IsNotNull(inner) } else { Expr::IsNull(inner) }, false))
    }

    fn is_truth(
        &mut self,
        inner: &ast::Expr,
        test: fn(Box<Expr>) -> Expr,
        env: Env<'_>,
    ) -> Result<Typed, SqlError> {
        let value = self.condition(inner, env)?;
        Ok(Typed::boolean(test(Box::new(value.expr)), false))
    }

    fn in_list(
        &mut self,
        expr: &ast::Expr,
        list: &[ast::Expr],
        negated: bool,
        env: Env<'_>,
    ) -> Result<Typed, SqlError> {
        let found = if let ast::Expr::Tuple(values) = unnested(expr) {
            let values = self.exprs(values, env)?;
            let (mut any, mut nullable) = (Vec::with_capacity(list.len()), false);
            for item in list {
                let ast::Expr::Tuple(items) = unnested(item) else {
                    return Err(wrong_columns(values.len()));
                };
                if items.len() != values.len() {
                    return Err(wrong_columns(values.len()));
                }
                let items = self.exprs(items, env)?;
                let values = values.iter().map(|value| self.rules.copy(value)).collect::<Result<_, _>>()?;
                let equal = self.compare_rows(Comparison::Equal, values, items)?;
                nullable |= equal.nullable;
                any.push(equal.expr);
            }
            let any = balanced(any, Operator::Or).ok_or_else(|| wrong_columns(1))?;
            Typed::boolean(any, nullable)
        } else {
            // One value is compared as by =.
            let digits = list.len() > 1;
            let mut each = |expr| if digits { self.with_digits(expr, env) } else { self.expr(expr, env) };
            let value = each(expr)?;
            let list = list.iter().map(each).collect::<Result<_, _>>()?;
            self.rules.in_list(value, list)?
        };
        if negated { self.rules.not(found) } else { Ok(found) }
    }

    fn like(
        &mut self,
        negated: bool,
        expr: &ast::Expr,
        pattern: &ast::Expr,
        escape: Option<&ast::ValueWithSpan>,
        env: Env<'_>,
    ) -> Result<Typed, SqlError> {
        let default_escape = if self.ctx.session.modes.no_backslash_escapes { None } else { Some('\\') };
        let escape = match escape {
            None => default_escape,
            Some(value) => {
                let value = self.value(&value.value)?;
                let text = value.as_text_literal().unwrap_or_default();
                let mut chars = text.chars();
                match (chars.next(), chars.next()) {
                    (escape, None) => escape,
                    _ => {
                        return Err(SqlError::new(
                            ErrorKind::WrongArguments,
                            "Incorrect arguments to ESCAPE",
                        ));
                    }
                }
            }
        };
        let (value, pattern) = (self.expr(expr, env)?, self.expr(pattern, env)?);
        let (value, pattern) = if value.family() == Family::Binary || pattern.family() == Family::Binary {
            (self.rules.bytes_as_text(value)?, self.rules.bytes_as_text(pattern)?)
        } else {
            (self.rules.text(value)?, self.rules.text(pattern)?)
        };
        let nullable = value.nullable || pattern.nullable;
        let collation = self.rules.common_collation("like", &[&value, &pattern])?;
        if !collation.is_bytes() {
            let escape = Typed::text(escape.map(String::from).unwrap_or_default());
            let args = vec![value, pattern, escape, Typed::text(collation.name())];
            let matched = call(crate::functions::collate::collated_like(), args, BIGINT)?;
            return if negated { self.rules.not(matched) } else { Ok(matched) };
        }
        let pattern = match pattern.as_literal() {
            Some(ScalarValue::Utf8View(Some(text))) => Typed::text(backslash_pattern(text, escape)),
            Some(_) => pattern,
            None if escape == Some('\\') => pattern,
            None => {
                let escape = escape.map(String::from).unwrap_or_default();
                let matched = call(text::like(), vec![value, pattern, Typed::text(escape)], BIGINT)?;
                return if negated { self.rules.not(matched) } else { Ok(matched) };
            }
        };
        let like = Like::new(negated, Box::new(value.expr), Box::new(pattern.expr), None, false);
        Ok(Typed::boolean(Expr::Like(like), nullable))
    }

    fn case(
        &mut self,
        operand: Option<&ast::Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&ast::Expr>,
        env: Env<'_>,
    ) -> Result<Typed, SqlError> {
        let operand = operand.map(|operand| self.expr(operand, env)).transpose()?;
        let mut tests = Vec::with_capacity(conditions.len());
        let mut results = Vec::with_capacity(conditions.len() + 1);
        for when in conditions {
            tests.push(match &operand {
                None => self.condition(&when.condition, env)?,
                Some(operand) => {
                    let value = self.expr(&when.condition, env)?;
                    self.rules.compare(Comparison::Equal, self.rules.copy(operand)?, value)?
                }
            });
            results.push(self.expr(&when.result, env)?);
        }
        results.push(match otherwise {
            Some(otherwise) => self.expr(otherwise, env)?,
            None => Typed::null(),
        });
        self.choose(tests, results)
    }

    /// The first result whose test is TRUE, else the last one, which has no test.
    pub(super) fn choose(&mut self, tests: Vec<Typed>, results: Vec<Typed>) -> Result<Typed, SqlError> {
        let nullable = results.iter().any(|result| result.nullable);
        let collation = Collated::of_all(&results);
        let (mut results, ty, arrow) = self.rules.unify(results)?;
        let otherwise = results.pop().map(|result| Box::new(result.expr));
        let branches =
            tests.into_iter().zip(results).map(|(test, result)| (Box::new(test.expr), Box::new(result.expr)));
        let expr = Expr::Case(Case::new(None, branches.collect(), otherwise));
        Ok(Typed { expr, ty, arrow, nullable, collation })
    }

    fn typed_string(&mut self, typed: &ast::TypedString) -> Result<Typed, SqlError> {
        let value = self.value(&typed.value.value)?;
        let text = value.as_text_literal().unwrap_or_default().to_string();
        // One that is none is an error here and now, be it reached or not.
        let (converted, name) = keeping_warned(false, || match &typed.data_type {
            ast::DataType::Date => Ok((self.rules.date(value)?, "DATE")),
            ast::DataType::Timestamp(..) | ast::DataType::Datetime(_) => {
                Ok((self.rules.datetime(value)?, "DATETIME"))
            }
            ast::DataType::Time(..) => Ok((self.rules.time(value)?, "TIME")),
            other => Err(SqlError::unsupported(format_args!("{other} literal"))),
        })?;
        if converted.is_null_literal() {
            return Err(SqlError::new(
                ErrorKind::InvalidDateTime,
                format!("Incorrect {name} value: '{text}'"),
            ));
        }
        Ok(converted)
    }

    /// A date moved by `INTERVAL value unit`.
    pub(super) fn add_interval(
        &mut self,
        date: Typed,
        interval: &ast::Interval,
        subtract: bool,
        env: Env<'_>,
    ) -> Result<Typed, SqlError> {
        let Some(field) = &interval.leading_field else {
            return Err(SqlError::new(ErrorKind::ParseError, "INTERVAL needs a unit, such as DAY"));
        };
        let plain = interval.leading_precision.is_none()
            && interval.last_field.is_none()
            && interval.fractional_seconds_precision.is_none();
        if !plain {
            return Err(SqlError::unsupported(interval));
        }
        let amount = self.expr(&interval.value, env)?;
        self.move_date(date, amount, unit_of(field)?, subtract)
    }

    pub(super) fn extract(&mut self, unit: Unit, value: Typed) -> Result<Typed, SqlError> {
        let name = match unit {
            Unit::Year => "YEAR",
            Unit::Quarter => "QUARTER",
            Unit::Month => "MONTH",
            Unit::Week => "WEEK",
            Unit::Day => "DAY",
            Unit::Hour => "HOUR",
            Unit::Minute => "MINUTE",
            Unit::Second => "SECOND",
            Unit::Microsecond => "MICROSECOND",
            composite => {
                let value = self.rules.datetime(value)?;
                let args = vec![value, Typed::text(composite.name())];
                return call(datetime::extract(), args, BIGINT);
            }
        };
        if value.family() == Family::Time && matches!(name, "HOUR" | "MINUTE" | "SECOND" | "MICROSECOND") {
            // Unlike the functions, EXTRACT keeps the sign.
            let negative =
                self.rules.compare(Comparison::Less, self.rules.copy(&value)?, Typed::time(0, 0))?;
            let part = self.native_call(name, vec![value])?;
            let negated = self.rules.negate(self.rules.copy(&part)?)?;
            return self.choose(vec![negative], vec![negated, part]);
        }
        self.native_call(name, vec![value])
    }
}

pub(super) fn unnested(mut expr: &ast::Expr) -> &ast::Expr {
    while let ast::Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

fn tuple(expr: &ast::Expr) -> &[ast::Expr] {
    match expr {
        ast::Expr::Tuple(values) => values,
        other => std::slice::from_ref(other),
    }
}

pub(super) fn comparison_of(op: &BinaryOperator) -> Option<Comparison> {
    Some(match op {
        BinaryOperator::Eq => Comparison::Equal,
        BinaryOperator::NotEq => Comparison::NotEqual,
        BinaryOperator::Lt => Comparison::Less,
        BinaryOperator::LtEq => Comparison::LessOrEqual,
        BinaryOperator::Gt => Comparison::Greater,
        BinaryOperator::GtEq => Comparison::GreaterOrEqual,
        BinaryOperator::Spaceship => Comparison::NullSafeEqual,
        _ => return None,
    })
}
