//! Statements on few rows, found by a key, that need no plan of their own: SELECT, UPDATE, DELETE; and
//! INSERT .. VALUES, which names its rows itself.
//!
//! Rows are found by the whole primary key ([`PointKey`]), or by conditions that a key leads to ([`few`]).
//!
//! [`PointStatement::of`] recognises one by its tree and the table's definition. What it gives is made
//! once for a text and a version of the table, and serves any values of the placeholders: values are
//! looked at when the statement runs. A value that the short way does not know to treat exactly as a
//! plan would (a string for a number, a number with a fraction, NULL, what is too long or out of range)
//! yields `None`, and the statement is then planned. So every warning and every error of a value comes
//! from the plan; the short way has none of its own.

mod few;
mod normal;
#[cfg(test)]
mod tests;

pub use few::{Comparison, Condition, FewConditions, FewSelect, Shape, Slice};
pub use normal::{MOST_VALUES, NormalForm, conditions_form, normal_form};

use crate::convert::{ColumnBuilder, Context, Scalar};
use crate::literal::literal;
use crate::parse::parse_one;
use crate::rows::NewRows;
use crate::statement::{Delete, Insert, InsertSource, InsertValue, Statement, TableName, Update};
use arrow::array::{Array, ArrayRef, RecordBatch};
use sqlparser::ast;
use std::sync::{Arc, LazyLock};
use types::{ColumnDef, ColumnDefault, Result, SqlError, SqlType, TableDef, Value};

/// Whole numbers below this are exact as DOUBLE, in which numbers and strings are compared.
const EXACT: f64 = 9_007_199_254_740_992.0;

#[derive(Debug, Clone, PartialEq)]
pub enum PointStatement {
    Select(PointSelect),
    SelectFew(FewSelect),
    Insert,
    Update(PointUpdate),
    Delete(Wanted),
}

/// How the row that a statement changes is found.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    Key(PointKey),
    Few(FewConditions),
}

/// The primary key's columns, each with what it is equal to, in the order of the key.
#[derive(Debug, Clone, PartialEq)]
pub struct PointKey(Vec<(usize, ast::Expr)>);

#[derive(Debug, Clone, PartialEq)]
pub struct PointSelect {
    pub key: PointKey,
    /// Places of the columns in the table.
    pub columns: Vec<usize>,
    limit: Option<Box<ast::Expr>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PointUpdate {
    pub wanted: Wanted,
    assignments: Vec<(usize, Assigned)>,
}

/// What a column is set to.
#[derive(Debug, Clone, PartialEq)]
enum Assigned {
    Value(ast::Expr),
    /// Its own value and a number more, or less.
    Plus(ast::Expr),
    Minus(ast::Expr),
}

/// The table that a statement is about, if it is of a kind that may be a point statement.
pub fn table_of(statement: &Statement) -> Option<TableName> {
    match statement {
        Statement::Query(query) => match &*query.body {
            ast::SetExpr::Select(select) => match select.from.as_slice() {
                [from] => match &from.relation {
                    ast::TableFactor::Table { name, .. } => table_name(name),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        },
        Statement::Insert(insert) => Some(insert.table.clone()),
        Statement::Update(update) => Some(update.table.clone()),
        Statement::Delete(delete) => Some(delete.table.clone()),
        _ => None,
    }
}

fn table_name(name: &ast::ObjectName) -> Option<TableName> {
    let text = |part: &ast::ObjectNamePart| part.as_ident().map(|ident| ident.value.clone());
    match name.0.as_slice() {
        [name] => Some(TableName { database: None, name: text(name)? }),
        [database, name] => Some(TableName { database: Some(text(database)?), name: text(name)? }),
        _ => None,
    }
}

impl PointStatement {
    /// `def`: of the table that [`table_of`] names. `None`: the statement needs a plan.
    pub fn of(statement: &Statement, def: &TableDef) -> Option<PointStatement> {
        // Pieces of the statement are copied and compared, which takes stack for every level of what is in them.
        stacker::maybe_grow(STACK, STACK, || PointStatement::seen(statement, def))
    }

    fn seen(statement: &Statement, def: &TableDef) -> Option<PointStatement> {
        match statement {
            Statement::Insert(insert) => is_plain_insert(insert).then_some(PointStatement::Insert),
            Statement::Query(query) => {
                let by_key = select(query, def).map(PointStatement::Select);
                by_key.or_else(|| few::select(query, def).map(PointStatement::SelectFew))
            }
            Statement::Update(update) => self::update(update, def).map(PointStatement::Update),
            Statement::Delete(delete) => self::delete(delete, def).map(PointStatement::Delete),
            _ => None,
        }
    }
}

fn is_plain_insert(insert: &Insert) -> bool {
    insert.on_duplicate.is_empty() && matches!(insert.source, InsertSource::Values(_))
}

/// The rows of an INSERT that is a point statement.
pub fn new_rows(
    insert: &Insert,
    def: &Arc<TableDef>,
    values: &[Value],
    context: &Context,
) -> Option<NewRows> {
    crate::insert::insert_rows(insert, def.clone(), values, context).ok().flatten()
}

/// Stack for the deepest statement that is read at all.
const STACK: usize = 16 << 20;

/// SELECT without anything: every clause that is not looked at must be as it is here.
static BARE: LazyLock<Option<Box<ast::Query>>> = LazyLock::new(|| parsed("SELECT 1"));
static BARE_FROM: LazyLock<Option<Box<ast::Query>>> = LazyLock::new(|| parsed("SELECT * FROM t"));

fn parsed(text: &str) -> Option<Box<ast::Query>> {
    match parse_one(text).ok()?.statement {
        Statement::Query(query) => Some(query),
        _ => None,
    }
}

fn as_select(query: &ast::Query) -> Option<&ast::Select> {
    match &*query.body {
        ast::SetExpr::Select(select) => Some(select),
        _ => None,
    }
}

fn select(query: &ast::Query, def: &TableDef) -> Option<PointSelect> {
    let select = as_select(query)?;
    let limit = match &query.limit_clause {
        None => None,
        Some(ast::LimitClause::LimitOffset { limit: Some(limit), offset: None, limit_by })
            if limit_by.is_empty() =>
        {
            Some(Box::new(limit.clone()))
        }
        Some(_) => return None,
    };
    let mut bare = BARE.as_ref()?.as_ref().clone();
    bare.limit_clause = query.limit_clause.clone();
    let ast::SetExpr::Select(bare_select) = &mut *bare.body else { return None };
    bare_select.projection = select.projection.clone();
    bare_select.from = select.from.clone();
    bare_select.selection = select.selection.clone();
    if bare != *query {
        return None;
    }
    let names = Names { def, shown: only_table(select)? };
    let columns = names.plain_columns(&select.projection)?;
    Some(PointSelect { key: names.key(select.selection.as_ref()?)?, columns, limit })
}

/// The name by which a query knows the one table that it is about; `None`: there is more than a table in
/// FROM.
fn only_table(select: &ast::Select) -> Option<&str> {
    let [from] = select.from.as_slice() else { return None };
    let ast::TableFactor::Table { name, alias, .. } = &from.relation else { return None };
    let mut bare_from = as_select(BARE_FROM.as_ref()?)?.from.first()?.clone();
    let ast::TableFactor::Table { name: bare_name, alias: bare_alias, .. } = &mut bare_from.relation else {
        return None;
    };
    *bare_name = name.clone();
    *bare_alias = alias.clone();
    if bare_from != *from || alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
        return None;
    }
    match alias {
        Some(alias) => Some(alias.name.value.as_str()),
        None => name.0.last()?.as_ident().map(|ident| ident.value.as_str()),
    }
}

/// Whether an item is `*` and nothing more.
fn is_wildcard(item: &ast::SelectItem) -> bool {
    let bare = || as_select(BARE_FROM.as_ref()?)?.projection.first();
    matches!(item, ast::SelectItem::Wildcard(_)) && bare() == Some(item)
}

fn update(update: &Update, def: &TableDef) -> Option<PointUpdate> {
    if update.ignore || !update.order_by.is_empty() || update.limit.is_some() {
        return None;
    }
    // A column that changes with the others, and a condition on the new row, need expressions.
    let follows = |column: &ColumnDef| {
        column.on_update_now || matches!(column.default, ColumnDefault::Generated { .. })
    };
    if def.columns.iter().any(follows) || !def.checks.is_empty() {
        return None;
    }
    let shown = update.alias.as_ref().map_or(update.table.name.as_str(), |alias| alias.value.as_str());
    let names = Names { def, shown };
    let mut assignments: Vec<(usize, Assigned)> = Vec::with_capacity(update.assignments.len());
    for assignment in &update.assignments {
        let place = names.named(&assignment.column)?;
        let id = def.columns[place].id;
        // A row whose key changes becomes another, perhaps in another place.
        if def.primary_key.contains(&id) || def.compared(id) != id || def.columns[place].auto_increment {
            return None;
        }
        if assignments.iter().any(|(other, _)| *other == place) {
            return None;
        }
        let InsertValue::Expr(expr) = &assignment.value else { return None };
        let value = match bare(expr) {
            ast::Expr::BinaryOp { left, op, right } if names.column(left) == Some(place) => {
                let ty = def.columns[place].ty;
                if !(ty.is_integer() || matches!(ty, SqlType::Decimal { .. })) || !is_value(right) {
                    return None;
                }
                match op {
                    ast::BinaryOperator::Plus => Assigned::Plus((**right).clone()),
                    ast::BinaryOperator::Minus => Assigned::Minus((**right).clone()),
                    _ => return None,
                }
            }
            value if is_value(value) => Assigned::Value(value.clone()),
            _ => return None,
        };
        assignments.push((place, value));
    }
    Some(PointUpdate { wanted: names.wanted(update.selection.as_ref()?)?, assignments })
}

fn delete(delete: &Delete, def: &TableDef) -> Option<Wanted> {
    if delete.ignore || !delete.order_by.is_empty() || delete.limit.is_some() {
        return None;
    }
    let shown = delete.alias.as_ref().map_or(delete.table.name.as_str(), |alias| alias.value.as_str());
    Names { def, shown }.wanted(delete.selection.as_ref()?)
}

fn bare(expr: &ast::Expr) -> &ast::Expr {
    match expr {
        ast::Expr::Nested(inner) => bare(inner),
        other => other,
    }
}

/// Whether an expression is a plain value: a literal or a placeholder.
fn is_value(expr: &ast::Expr) -> bool {
    match bare(expr) {
        ast::Expr::Value(value) => matches!(
            value.value,
            ast::Value::Number(..)
                | ast::Value::SingleQuotedString(_)
                | ast::Value::Placeholder(_)
                | ast::Value::Null
        ),
        _ => false,
    }
}

/// How a statement's names are looked up: in one table.
struct Names<'a> {
    def: &'a TableDef,
    /// The table's name in the statement.
    shown: &'a str,
}

impl Names<'_> {
    /// The place of the column that the expression is.
    fn column(&self, expr: &ast::Expr) -> Option<usize> {
        match bare(expr) {
            ast::Expr::Identifier(name) => self.named(std::slice::from_ref(name)),
            ast::Expr::CompoundIdentifier(parts) => self.named(parts),
            _ => None,
        }
    }

    /// The columns of a list that has nothing but columns.
    fn plain_columns(&self, list: &[ast::SelectItem]) -> Option<Vec<usize>> {
        let mut columns = Vec::new();
        for item in list {
            match item {
                ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } => {
                    columns.push(self.column(expr)?);
                }
                item if is_wildcard(item) => columns.extend(0..self.def.shown().len()),
                _ => return None,
            }
        }
        Some(columns)
    }

    fn wanted(&self, condition: &ast::Expr) -> Option<Wanted> {
        match self.key(condition) {
            Some(key) => Some(Wanted::Key(key)),
            None => self.few(condition).map(Wanted::Few),
        }
    }

    fn named(&self, parts: &[ast::Ident]) -> Option<usize> {
        let name = match parts {
            [name] => name,
            [table, name] if table.value == self.shown => name,
            _ => return None,
        };
        self.def.column_named(&name.value).map(|(place, _)| place)
    }

    /// The key that a condition is about: an equality for each of its columns, and nothing more.
    fn key(&self, condition: &ast::Expr) -> Option<PointKey> {
        let mut equal = Vec::new();
        self.equalities(condition, &mut equal)?;
        let key = &self.def.primary_key;
        // Where the one row is must be known.
        let is_placed = self.def.reference
            || (!self.def.shard_key.is_empty() && self.def.shard_key.iter().all(|id| key.contains(id)));
        if key.is_empty() || equal.len() != key.len() || !is_placed {
            return None;
        }
        let ordered = key.iter().map(|id| {
            let place = self.def.position(self.def.shown_as(*id))?;
            let ty = self.def.columns[place].ty;
            if !ty.is_integer() && !matches!(ty, SqlType::Char(_) | SqlType::VarChar(_)) {
                return None;
            }
            let (_, value) = equal.iter().find(|(other, _)| *other == place)?;
            // By what the key compares: the column's collation key, if it has that.
            Some((self.def.position(*id)?, value.clone()))
        });
        ordered.collect::<Option<Vec<_>>>().map(PointKey)
    }

    fn equalities(&self, condition: &ast::Expr, out: &mut Vec<(usize, ast::Expr)>) -> Option<()> {
        let (column, value) = match bare(condition) {
            ast::Expr::BinaryOp { left, op: ast::BinaryOperator::And, right } => {
                self.equalities(left, out)?;
                return self.equalities(right, out);
            }
            ast::Expr::BinaryOp { left, op: ast::BinaryOperator::Eq, right } => match self.column(left) {
                Some(place) => (place, &**right),
                None => (self.column(right)?, &**left),
            },
            ast::Expr::InList { expr, list, negated: false } => match list.as_slice() {
                [one] => (self.column(expr)?, one),
                _ => return None,
            },
            _ => return None,
        };
        // The depth of AND is bounded by the parser; more equalities than columns are of no use.
        if !is_value(value) || out.len() >= self.def.primary_key.len() {
            return None;
        }
        out.push((column, bare(value).clone()));
        Some(())
    }
}

impl PointKey {
    /// The values of the key's columns, in the order of the key.
    pub fn values(&self, def: &TableDef, parameters: &[Value], context: &Context) -> Option<Vec<Value>> {
        self.0
            .iter()
            .map(|(place, expr)| {
                let value = literal(expr, parameters, context).ok()??;
                compared_value(value, def, *place)
            })
            .collect()
    }
}

/// A value that a column of a key is compared with, as the column has it: only where equality of the
/// two is the same as MySQL's comparison of them.
fn key_value(value: Value, ty: SqlType) -> Option<Value> {
    match value {
        Value::Int(_) | Value::UInt(_) => in_range(value, ty),
        // Compared as DOUBLE, which is exact for so small a number, and no greater one rounds to it.
        Value::Double(v) if ty.is_integer() && v.fract() == 0.0 && v.abs() < EXACT => {
            in_range(Value::Int(v as i64), ty)
        }
        Value::Text(_) if matches!(ty, SqlType::Char(_) | SqlType::VarChar(_)) => Some(value),
        _ => None,
    }
}

/// The same where the column at this place may be a collation key: the key of the text.
fn compared_value(value: Value, def: &TableDef, place: usize) -> Option<Value> {
    let column = def.columns.get(place)?;
    let ColumnDefault::CollationKey(text) = column.default else { return key_value(value, column.ty) };
    let text = def.column(text)?;
    match key_value(value, text.ty)? {
        Value::Text(value) => Some(Value::Bytes(text.collation.key_of(&value))),
        _ => None,
    }
}

fn in_range(value: Value, ty: SqlType) -> Option<Value> {
    let wide = match value {
        Value::Int(v) => i128::from(v),
        Value::UInt(v) => i128::from(v),
        _ => return None,
    };
    // A YEAR has a comparison of its own: 70 is 1970.
    if !ty.is_integer() || ty == SqlType::Year {
        return None;
    }
    let (low, high) = ty.integer_range()?;
    (low..=high).contains(&wide).then_some(value)
}

impl PointSelect {
    /// Whether LIMIT lets a row through. `None`: a plan has to say.
    pub fn limit_holds(&self, parameters: &[Value], context: &Context) -> Option<()> {
        let Some(limit) = &self.limit else { return Some(()) };
        match literal(limit, parameters, context).ok()?? {
            Value::Int(1..) | Value::UInt(1..) => Some(()),
            _ => None,
        }
    }
}

impl PointUpdate {
    /// Checks the values before anything is done: `None` if a plan has to look at them.
    pub fn values(&self, def: &TableDef, parameters: &[Value], context: &Context) -> Option<NewValues> {
        let changes = self.assignments.iter().map(|(place, assigned)| {
            let column = def.columns.get(*place)?;
            let of = |expr| literal(expr, parameters, context).ok().flatten();
            let number = |expr| unscaled(&of(expr)?, column.ty);
            Some((
                *place,
                match assigned {
                    Assigned::Value(expr) => NewValue::Array(constant(of(expr)?, column, context)?),
                    Assigned::Plus(expr) => NewValue::Plus(number(expr)?),
                    Assigned::Minus(expr) => NewValue::Plus(-number(expr)?),
                },
            ))
        });
        changes.collect::<Option<Vec<_>>>().map(NewValues)
    }
}

/// A number as a column of this type counts: whole, or in the last digit of a DECIMAL. `None`: it has more
/// digits behind the point than the column, or it is none that is added exactly.
fn unscaled(value: &Value, ty: SqlType) -> Option<i128> {
    let column_scale = if let SqlType::Decimal { scale, .. } = ty { scale } else { 0 };
    let (number, scale) = match *value {
        Value::Int(v) => (i128::from(v), 0),
        Value::UInt(v) => (i128::from(v), 0),
        Value::Decimal { unscaled, scale } => (unscaled, scale),
        _ => return None,
    };
    number.checked_mul(10i128.checked_pow(column_scale.checked_sub(scale)?.into())?)
}

/// One value as a column's new one.
fn constant(value: Value, column: &ColumnDef, context: &Context) -> Option<ArrayRef> {
    let ty = column.ty;
    let is_kin = match &value {
        Value::Null => column.nullable,
        Value::Int(_) | Value::UInt(_) => {
            in_range(value.clone(), ty).is_some() || matches!(ty, SqlType::Decimal { .. })
        }
        Value::Decimal { .. } => matches!(ty, SqlType::Decimal { .. }),
        Value::Double(_) => ty == SqlType::Double,
        Value::Date(_) => ty == SqlType::Date,
        Value::Text(_) => matches!(ty, SqlType::Char(_) | SqlType::VarChar(_) | SqlType::Text(_)),
        Value::Bytes(_) => matches!(ty, SqlType::VarBinary(_) | SqlType::Blob(_)),
        Value::Float(_) | Value::Time(_) | Value::DateTime(_) | Value::Timestamp(_) => false,
    };
    if !is_kin {
        return None;
    }
    let mut builder = ColumnBuilder::new(column, 1);
    builder.append(&Scalar::of(&value), context).ok()?;
    Some(builder.finish())
}

/// The values of an UPDATE, of one row.
#[derive(Debug, Clone)]
pub struct NewValues(Vec<(usize, NewValue)>);

#[derive(Debug, Clone)]
enum NewValue {
    Array(ArrayRef),
    /// The old value and so much more, as [`unscaled`] has it.
    Plus(i128),
}

impl NewValues {
    /// What a row becomes, all columns, and whether it differs from what it was. `None`: a plan has to
    /// say, since a sum leaves its type's range.
    pub fn apply(&self, def: &TableDef, old: &RecordBatch) -> Result<Option<(RecordBatch, bool)>> {
        let mut columns = old.columns().to_vec();
        let mut differs = false;
        for (place, value) in &self.0 {
            let old = &columns[*place];
            let new = match value {
                NewValue::Array(array) => array.clone(),
                NewValue::Plus(more) => match sum(old, &def.columns[*place], *more) {
                    Some(array) => array,
                    None => return Ok(None),
                },
            };
            differs |= old.to_data() != new.to_data();
            columns[*place] = new;
        }
        let rows =
            RecordBatch::try_new(crate::rows::table_schema(def), columns).map_err(SqlError::internal)?;
        Ok(Some((rows, differs)))
    }
}

/// A number of one row and `more`; NULL stays NULL. `None`: out of the range of the column, or of BIGINT,
/// in which whole numbers are added.
fn sum(old: &ArrayRef, column: &ColumnDef, more: i128) -> Option<ArrayRef> {
    let new = match crate::convert::value_at(old, column.ty, 0) {
        Value::Null => Value::Null,
        Value::Int(v) => Value::Int(i64::try_from(i128::from(v).checked_add(more)?).ok()?),
        // An unsigned sum has rules of its own where one side is negative.
        Value::UInt(v) if more >= 0 => Value::UInt(u64::try_from(i128::from(v).checked_add(more)?).ok()?),
        Value::Decimal { unscaled, scale } => Value::Decimal { unscaled: unscaled.checked_add(more)?, scale },
        _ => return None,
    };
    match (&new, column.ty) {
        (Value::Null, _) => {}
        (Value::Decimal { unscaled, .. }, SqlType::Decimal { precision, .. }) => {
            10u128.checked_pow(precision.into()).filter(|end| unscaled.unsigned_abs() < *end)?;
        }
        _ => {
            in_range(new.clone(), column.ty)?;
        }
    }
    let mut builder = ColumnBuilder::new(column, 1);
    builder.append(&Scalar::of(&new), &Context::fixed()).ok()?;
    Some(builder.finish())
}
