//! Conditions of a query as predicates of the storage.
//!
//! A translation is exact: a row passes the predicates if and only if the condition is TRUE for it.
//! What has no exact translation stays with the query, as a filter above the scan. So a literal is
//! first brought to the column's type: `int_column < 5.5` becomes `int_column <= 5`, and a
//! comparison with a value outside of the type's range becomes IS NOT NULL or "no row".

use super::text_test::{Part, TextTest};
use columnstore::{Compare, Predicate};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Between, BinaryExpr, Cast, InList, Like, ScalarFunction};
use datafusion::logical_expr::{Expr, Operator};
use std::collections::HashSet;
use types::{ColumnDef, ColumnId, SqlType, TableDef, Value};

/// The predicates that say the same as `expr`, all of which must be TRUE; `None` if there are none.
pub fn translate(expr: &Expr, def: &TableDef) -> Option<Vec<Predicate>> {
    let mut all = Vec::new();
    conjunction(expr, def, &mut all)?;
    Some(all)
}

/// Passes no row.
fn nothing() -> Predicate {
    Predicate::Or(Vec::new())
}

fn conjunction(expr: &Expr, def: &TableDef, all: &mut Vec<Predicate>) -> Option<()> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            conjunction(left, def, all)?;
            conjunction(right, def, all)?;
        }
        Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => {
            let mut branches = Vec::new();
            disjunction(expr, def, &mut branches)?;
            all.push(one_of(&branches).unwrap_or(Predicate::Or(branches)));
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => comparison(left, *op, right, def, all)?,
        Expr::Literal(ScalarValue::Boolean(value), _) => {
            if *value != Some(true) {
                all.push(nothing());
            }
        }
        Expr::IsNull(inner) => all.push(Predicate::IsNull(column(inner, def)?.id)),
        Expr::IsNotNull(inner) => all.push(Predicate::IsNotNull(column(inner, def)?.id)),
        Expr::Not(inner) => negation(inner, def, all)?,
        Expr::Between(between) => between_values(between, def, all)?,
        Expr::InList(list) => in_list(list, def, all)?,
        Expr::Like(like) => all.push(like_pattern(like, false, def)?),
        Expr::ScalarFunction(function) if function.name() == "starts_with" => {
            let [text, prefix] = function.args.as_slice() else { return None };
            let prefix = literal_bytes(prefix)?;
            let column = string_column(text, def)?;
            all.push(TextTest::StartsWith { prefix }.on(column.id));
        }
        _ => return None,
    }
    Some(())
}

fn disjunction(expr: &Expr, def: &TableDef, branches: &mut Vec<Vec<Predicate>>) -> Option<()> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            disjunction(left, def, branches)?;
            disjunction(right, def, branches)
        }
        _ => {
            branches.push(translate(expr, def)?);
            Some(())
        }
    }
}

/// `c = 1 OR c = 2` as an IN list.
fn one_of(branches: &[Vec<Predicate>]) -> Option<Predicate> {
    let mut found: Option<ColumnId> = None;
    let mut all = Vec::new();
    for branch in branches {
        let (id, values) = match branch.as_slice() {
            [Predicate::Compare { column, op: Compare::Eq, value }] => (column, std::slice::from_ref(value)),
            [Predicate::In { column, values }] => (column, values.as_slice()),
            _ => return None,
        };
        if found.replace(*id).is_some_and(|first| first != *id) {
            return None;
        }
        all.extend_from_slice(values);
    }
    Some(Predicate::In { column: found?, values: all })
}

fn negation(inner: &Expr, def: &TableDef, all: &mut Vec<Predicate>) -> Option<()> {
    match inner {
        Expr::IsNull(column_expr) => all.push(Predicate::IsNotNull(column(column_expr, def)?.id)),
        Expr::IsNotNull(column_expr) => all.push(Predicate::IsNull(column(column_expr, def)?.id)),
        Expr::Like(like) => all.push(like_pattern(like, true, def)?),
        Expr::InList(list) => {
            in_list(&InList { negated: !list.negated, ..list.clone() }, def, all)?;
        }
        Expr::Between(between) => {
            between_values(&Between { negated: !between.negated, ..between.clone() }, def, all)?;
        }
        _ => return None,
    }
    Some(())
}

/// The column itself, or the one in which the table keeps the collation key of a column; `None` for anything
/// else and for what stands for a row.
fn column<'a>(expr: &Expr, def: &'a TableDef) -> Option<&'a ColumnDef> {
    match expr {
        Expr::Column(column) => def.columns.iter().find(|c| c.name == column.name),
        Expr::ScalarFunction(function) if function.name() == "collation_key" => {
            let [text, collation] = function.args.as_slice() else { return None };
            let text = string_column(text, def)?;
            let is_its_own = literal_bytes(collation)? == text.collation.name().as_bytes();
            def.column(def.compared(text.id)).filter(|key| is_its_own && key.is_hidden())
        }
        _ => None,
    }
}

fn string_column<'a>(expr: &Expr, def: &'a TableDef) -> Option<&'a ColumnDef> {
    column(strip_text_cast(expr), def).filter(|c| c.ty.is_string())
}

/// A cast from one string type to another changes nothing.
fn strip_text_cast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(Cast { expr, field }) if field.data_type().is_string() => match expr.as_ref() {
            inner @ Expr::Column(_) => inner,
            _ => expr,
        },
        other => other,
    }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

fn literal_bytes(expr: &Expr) -> Option<Vec<u8>> {
    match literal(expr)? {
        ScalarValue::Utf8(Some(s)) | ScalarValue::LargeUtf8(Some(s)) | ScalarValue::Utf8View(Some(s)) => {
            Some(s.clone().into_bytes())
        }
        ScalarValue::Binary(Some(b))
        | ScalarValue::LargeBinary(Some(b))
        | ScalarValue::BinaryView(Some(b)) => Some(b.clone()),
        _ => None,
    }
}

fn comparison(
    left: &Expr,
    op: Operator,
    right: &Expr,
    def: &TableDef,
    all: &mut Vec<Predicate>,
) -> Option<()> {
    if literal(left).is_some() && literal(right).is_none() {
        return comparison(right, op.swap()?, left, def, all);
    }
    if let (Some(l), Some(r)) = (column(left, def), column(right, def)) {
        let same = l.ty.arrow() == r.ty.arrow() && l.ty.physical() == r.ty.physical();
        let op = compare_op(op)?;
        return same.then(|| all.push(Predicate::Columns { left: l.id, op, right: r.id }));
    }
    let value = literal(right)?;
    if op == Operator::IsNotDistinctFrom {
        let column = column(left, def)?;
        if value.is_null() {
            all.push(Predicate::IsNull(column.id));
            return Some(());
        }
        all.push(compare_literal(column, Compare::Eq, value)?);
        return Some(());
    }
    let op = compare_op(op)?;
    if let Some(test) = substring_of(left, def) {
        if value.is_null() {
            all.push(nothing());
            return Some(());
        }
        let text = literal_bytes(right)?;
        let (column, part) = test;
        all.push(TextTest::Substring { part, op, text }.on(column));
        return Some(());
    }
    let column = match left {
        // The value is brought to the column's type instead.
        Expr::Cast(Cast { expr, field }) => {
            let column = column(expr, def)?;
            keeps_order(column.ty, field.data_type()).then_some(column)?
        }
        other => column(other, def)?,
    };
    all.push(compare_literal(column, op, value)?);
    Some(())
}

/// Whether a cast of the column to `to` never fails, loses nothing and keeps the order.
fn keeps_order(from: SqlType, to: &arrow::datatypes::DataType) -> bool {
    use arrow::datatypes::{DataType as D, TimeUnit};
    if let Some((low, high)) = from.integer_range() {
        return match to {
            D::Decimal128(p, s) if *s >= 0 => {
                let digits = u32::from(*p).saturating_sub(*s as u32);
                10i128.checked_pow(digits).is_some_and(|limit| low > -limit && high < limit)
            }
            other => SqlType::of_arrow(other)
                .filter(|ty| ty.arrow() == *other && *ty != SqlType::Year)
                .and_then(SqlType::integer_range)
                .is_some_and(|(to_low, to_high)| to_low <= low && high <= to_high),
        };
    }
    match (from, to) {
        (SqlType::Decimal { precision, scale }, D::Decimal128(p, s)) => {
            *s >= scale as i8 && i32::from(*p) - i32::from(*s) >= i32::from(precision) - i32::from(scale)
        }
        (SqlType::Date, D::Timestamp(TimeUnit::Microsecond, None)) => true,
        (from, to) if from.is_string() => to.is_string(),
        (from, to) => from.arrow() == *to,
    }
}

fn compare_op(op: Operator) -> Option<Compare> {
    Some(match op {
        Operator::Eq => Compare::Eq,
        Operator::NotEq => Compare::NotEq,
        Operator::Lt => Compare::Less,
        Operator::LtEq => Compare::LessEq,
        Operator::Gt => Compare::Greater,
        Operator::GtEq => Compare::GreaterEq,
        _ => return None,
    })
}

/// A literal as the column's type sees it.
enum Fitted {
    Exact(Value),
    /// Between this value and the next greater one of the type.
    Above(Value),
    BelowAll,
    AboveAll,
}

/// `column op value`, exactly.
pub(crate) fn compare_literal(column: &ColumnDef, op: Compare, value: &ScalarValue) -> Option<Predicate> {
    if value.is_null() {
        return Some(nothing());
    }
    let compare = |op, value| Predicate::Compare { column: column.id, op, value };
    let not_null = || Predicate::IsNotNull(column.id);
    Some(match fit(column.ty, value)? {
        Fitted::Exact(value) => compare(op, value),
        Fitted::Above(floor) => match op {
            Compare::Eq => nothing(),
            Compare::NotEq => not_null(),
            Compare::Less | Compare::LessEq => compare(Compare::LessEq, floor),
            Compare::Greater | Compare::GreaterEq => compare(Compare::Greater, floor),
        },
        Fitted::BelowAll => match op {
            Compare::Eq | Compare::Less | Compare::LessEq => nothing(),
            Compare::NotEq | Compare::Greater | Compare::GreaterEq => not_null(),
        },
        Fitted::AboveAll => match op {
            Compare::Eq | Compare::Greater | Compare::GreaterEq => nothing(),
            Compare::NotEq | Compare::Less | Compare::LessEq => not_null(),
        },
    })
}

fn fit(ty: SqlType, value: &ScalarValue) -> Option<Fitted> {
    use ScalarValue as S;
    if let Some((unscaled, scale)) = number(value) {
        return fit_number(ty, unscaled, scale);
    }
    let exact = |value| Some(Fitted::Exact(value));
    match (ty, value) {
        (SqlType::Float, S::Float32(Some(v))) if !v.is_nan() => exact(Value::Float(*v)),
        (SqlType::Float, S::Float64(Some(v))) if f64::from(*v as f32) == *v => exact(Value::Float(*v as f32)),
        (SqlType::Double, S::Float64(Some(v))) if !v.is_nan() => exact(Value::Double(*v)),
        (SqlType::Double, S::Float32(Some(v))) if !v.is_nan() => exact(Value::Double(f64::from(*v))),
        (SqlType::Date, S::Date32(Some(v))) => exact(Value::Date(*v)),
        (SqlType::Date, _) => {
            let micros = timestamp(value, false)?;
            let days = i32::try_from(micros.div_euclid(DAY)).ok()?;
            let value = Value::Date(days);
            Some(if micros.rem_euclid(DAY) == 0 { Fitted::Exact(value) } else { Fitted::Above(value) })
        }
        (SqlType::DateTime { .. }, S::Date32(Some(v))) => exact(Value::DateTime(i64::from(*v) * DAY)),
        (SqlType::DateTime { .. }, _) => exact(Value::DateTime(timestamp(value, false)?)),
        (SqlType::Timestamp { .. }, _) => exact(Value::Timestamp(timestamp(value, true)?)),
        (SqlType::Time { .. }, S::DurationMicrosecond(Some(v))) => exact(Value::Time(*v)),
        (ty, S::Utf8(Some(s)) | S::LargeUtf8(Some(s)) | S::Utf8View(Some(s))) if ty.is_string() => {
            exact(Value::Text(s.clone()))
        }
        (
            SqlType::Binary(_) | SqlType::VarBinary(_) | SqlType::Blob(_),
            S::Binary(Some(b)) | S::LargeBinary(Some(b)) | S::BinaryView(Some(b)),
        ) => exact(Value::Bytes(b.clone())),
        _ => None,
    }
}

const DAY: i64 = 86_400_000_000;

/// Microseconds since 1970, if that is exact; `zoned`: whether the literal must have a zone.
fn timestamp(value: &ScalarValue, zoned: bool) -> Option<i64> {
    use ScalarValue as S;
    let (value, zone) = match value {
        S::TimestampSecond(Some(v), zone) => (v.checked_mul(1_000_000)?, zone),
        S::TimestampMillisecond(Some(v), zone) => (v.checked_mul(1_000)?, zone),
        S::TimestampMicrosecond(Some(v), zone) => (*v, zone),
        S::TimestampNanosecond(Some(v), zone) if v % 1_000 == 0 => (v / 1_000, zone),
        _ => return None,
    };
    (zone.is_some() == zoned).then_some(value)
}

/// An integer or decimal literal: unscaled value, scale.
fn number(value: &ScalarValue) -> Option<(i128, u8)> {
    use ScalarValue as S;
    Some(match value {
        S::Int8(Some(v)) => (i128::from(*v), 0),
        S::Int16(Some(v)) => (i128::from(*v), 0),
        S::Int32(Some(v)) => (i128::from(*v), 0),
        S::Int64(Some(v)) => (i128::from(*v), 0),
        S::UInt8(Some(v)) => (i128::from(*v), 0),
        S::UInt16(Some(v)) => (i128::from(*v), 0),
        S::UInt32(Some(v)) => (i128::from(*v), 0),
        S::UInt64(Some(v)) => (i128::from(*v), 0),
        S::Decimal128(Some(v), _, scale) if *scale >= 0 => (*v, *scale as u8),
        _ => return None,
    })
}

fn fit_number(ty: SqlType, unscaled: i128, scale: u8) -> Option<Fitted> {
    let (low, high, own_scale) = match ty {
        SqlType::Decimal { precision, scale } => {
            let limit = 10i128.checked_pow(u32::from(precision))? - 1;
            (-limit, limit, scale)
        }
        _ => {
            let (low, high) = ty.integer_range()?;
            (low, high, 0)
        }
    };
    // The value in units of the column's last digit, rounded down.
    let (floor, exact) = if scale <= own_scale {
        match unscaled.checked_mul(10i128.checked_pow(u32::from(own_scale - scale))?) {
            Some(value) => (value, true),
            None if unscaled < 0 => return Some(Fitted::BelowAll),
            None => return Some(Fitted::AboveAll),
        }
    } else {
        let divisor = 10i128.checked_pow(u32::from(scale - own_scale))?;
        (unscaled.div_euclid(divisor), unscaled.rem_euclid(divisor) == 0)
    };
    if floor < low {
        return Some(Fitted::BelowAll);
    }
    if floor > high {
        return Some(Fitted::AboveAll);
    }
    let value = match ty {
        SqlType::Decimal { scale, .. } => Value::Decimal { unscaled: floor, scale },
        ty if ty.is_unsigned() => Value::UInt(u64::try_from(floor).ok()?),
        _ => Value::Int(i64::try_from(floor).ok()?),
    };
    Some(if exact { Fitted::Exact(value) } else { Fitted::Above(value) })
}

fn between_values(between: &Between, def: &TableDef, all: &mut Vec<Predicate>) -> Option<()> {
    let Between { expr, negated, low, high } = between;
    if !negated {
        comparison(expr, Operator::GtEq, low, def, all)?;
        return comparison(expr, Operator::LtEq, high, def, all);
    }
    let (mut below, mut above) = (Vec::new(), Vec::new());
    comparison(expr, Operator::Lt, low, def, &mut below)?;
    comparison(expr, Operator::Gt, high, def, &mut above)?;
    all.push(Predicate::Or(vec![below, above]));
    Some(())
}

fn in_list(list: &InList, def: &TableDef, all: &mut Vec<Predicate>) -> Option<()> {
    let InList { expr, list, negated } = list;
    let values = list.iter().map(literal).collect::<Option<Vec<_>>>()?;
    // NOT IN a list with a NULL is never TRUE.
    if *negated && values.iter().any(|value| value.is_null()) {
        all.push(nothing());
        return Some(());
    }
    if let Some((column, part)) = substring_of(expr, def) {
        let texts: HashSet<Vec<u8>> = list
            .iter()
            .filter(|e| !literal(e).is_some_and(ScalarValue::is_null))
            .map(literal_bytes)
            .collect::<Option<_>>()?;
        all.push(TextTest::SubstringIn { part, texts, negated: *negated }.on(column));
        return Some(());
    }
    let column = match expr.as_ref() {
        Expr::Cast(Cast { expr, field }) => {
            let column = column(expr, def)?;
            keeps_order(column.ty, field.data_type()).then_some(column)?
        }
        other => column(other, def)?,
    };
    if *negated {
        if column.ty.is_string() && values.len() > 4 {
            let texts: HashSet<Vec<u8>> = list.iter().map(literal_bytes).collect::<Option<_>>()?;
            all.push(TextTest::NotIn { texts }.on(column.id));
            return Some(());
        }
        for value in values {
            all.push(compare_literal(column, Compare::NotEq, value)?);
        }
        return Some(());
    }
    let mut fitting = Vec::new();
    for value in values {
        if !value.is_null()
            && let Fitted::Exact(value) = fit(column.ty, value)?
        {
            fitting.push(value);
        }
    }
    all.push(if fitting.is_empty() {
        nothing()
    } else {
        Predicate::In { column: column.id, values: fitting }
    });
    Some(())
}

fn like_pattern(like: &Like, negate: bool, def: &TableDef) -> Option<Predicate> {
    if like.case_insensitive {
        return None;
    }
    let column = string_column(&like.expr, def)?;
    let pattern = literal(&like.pattern)?;
    if pattern.is_null() {
        return Some(nothing());
    }
    let text = pattern.try_as_str()??;
    let negated = like.negated != negate;
    let escape = like.escape_char.unwrap_or('\\');
    Some(TextTest::like(text, escape, negated).on(column.id))
}

/// `substring(column, from, count)` or `left(column, count)`. `CAST(column AS CHAR(n))` is `left` too if no value of the
/// column is longer; else it is `cast_chars`, which warns of each value that it cuts and so stays above the scan.
fn substring_of(expr: &Expr, def: &TableDef) -> Option<(ColumnId, Part)> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return None };
    let at_least = |expr: &Expr, least: i128| -> Option<usize> {
        let (value, scale) = number(literal(expr)?)?;
        (scale == 0 && value >= least).then(|| usize::try_from(value).ok())?
    };
    let (text, from, count) = match (func.name(), args.as_slice()) {
        ("substr" | "substring" | "mid", [text, from]) => (text, at_least(from, 1)? - 1, None),
        ("substr" | "substring" | "mid", [text, from, count]) => {
            (text, at_least(from, 1)? - 1, Some(at_least(count, 0)?))
        }
        ("left", [text, count]) => (text, 0, Some(at_least(count, 0)?)),
        _ => return None,
    };
    Some((string_column(text, def)?.id, Part { from, count }))
}
