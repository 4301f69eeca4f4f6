//! Whole queries: WITH, set operations, VALUES, TABLE, ORDER BY and LIMIT around them.

use super::binder::{Binder, Cte, Env, Output, Rows, alias_plan, named, planning, project, unique_names};
use super::distinct::{Compared, distinct};
use super::errors::Clause;
use super::locking::LockedRows;
use super::scope::Scope;
use crate::analyzer::Typed;
use crate::analyzer::typed::BIGINT_UNSIGNED;
use crate::analyzer::unify::common_type;
use arrow::datatypes::Schema;
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::{Column, NullEquality, ScalarValue, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::logical_plan::{Join, Limit, RecursiveQuery, Values, Window};
use datafusion::logical_expr::{
    Expr, JoinConstraint, JoinType, LogicalPlan, LogicalPlanBuilder, Union, WindowFrame,
    WindowFunctionDefinition, lit,
};
use sqlparser::ast;
use std::sync::Arc;
use types::{Collation, ErrorKind, SqlError, SqlType, Value};

/// The most common table expressions of which each reads the one before.
const MAX_CTE_LEVELS: usize = 100;

/// The left side of a set operation.
enum Operand {
    Rows(Rows),
    Union(OpenUnion),
}

/// A UNION that takes more branches: one within the other, a chain of them would have as many projections as
/// half the square of its length.
struct OpenUnion {
    /// Their columns are those of the union.
    branches: Vec<Arc<LogicalPlan>>,
    distinct: bool,
    columns: Vec<Output>,
}

impl Operand {
    fn columns(&self) -> &[Output] {
        match self {
            Operand::Rows(rows) => &rows.columns,
            Operand::Union(union) => &union.columns,
        }
    }

    fn into_rows(self) -> Result<Rows, SqlError> {
        let OpenUnion { branches, distinct: is_distinct, columns } = match self {
            Operand::Rows(rows) => return Ok(rows),
            Operand::Union(union) => union,
        };
        let union = LogicalPlan::Union(Union::try_new(branches).map_err(planning)?);
        let compared: Vec<Compared> = columns.iter().map(Output::compared).collect();
        let plan = if is_distinct { distinct(union, &compared)? } else { union };
        Ok(Rows { plan, columns })
    }
}

impl Binder<'_> {
    /// A query within a statement.
    pub(super) fn query(&mut self, query: &ast::Query) -> Result<Rows, SqlError> {
        if !query.locks.is_empty() {
            return Err(SqlError::unsupported("FOR UPDATE and FOR SHARE within a statement"));
        }
        self.titled_query(query, None)
    }

    /// `titles`: of the first SELECT's items, as the statement's text has them.
    pub(super) fn titled_query(
        &mut self,
        query: &ast::Query,
        titles: Option<&[String]>,
    ) -> Result<Rows, SqlError> {
        let located = self.located.take();
        let rows = self.whole_query(query, titles, None)?;
        self.located = located;
        Ok(rows)
    }

    /// `lock`: where the SELECT's rows are located; then the query must be one SELECT.
    pub(super) fn whole_query(
        &mut self,
        query: &ast::Query,
        titles: Option<&[String]>,
        lock: Option<&mut LockedRows>,
    ) -> Result<Rows, SqlError> {
        refuse_unsupported(query)?;
        let visible = self.ctes.len();
        if let Some(with) = &query.with {
            for (at, cte) in with.cte_tables.iter().enumerate() {
                let name = &cte.alias.name.value;
                if with.cte_tables[..at].iter().any(|other| other.alias.name.value.eq_ignore_ascii_case(name))
                {
                    return Err(SqlError::new(
                        ErrorKind::NonUniqueTable,
                        format!("Not unique table/alias: '{name}'"),
                    ));
                }
                let bound = self.nested(|binder| binder.cte(cte, with.recursive))?;
                self.ctes.push(bound);
            }
        }
        let order = match &query.order_by {
            None => &[],
            Some(ast::OrderBy { kind: ast::OrderByKind::Expressions(keys), interpolate: None }) => {
                keys.as_slice()
            }
            Some(other) => return Err(SqlError::unsupported(other)),
        };
        let mut limits = true;
        let rows = match (query.body.as_ref(), lock) {
            (ast::SetExpr::Select(select), Some(lock)) => {
                let rows = self.locking_select(select, order, titles, lock)?;
                if lock.limits_later && lock.apart.is_none() {
                    (lock.skip, lock.fetch) = self.limits(query.limit_clause.as_ref())?;
                    limits = false;
                }
                rows
            }
            (ast::SetExpr::Select(select), None) => self.select(select, order, titles)?,
            (body, None) => {
                let rows = self.body(body, titles)?;
                self.order_rows(rows, order)?
            }
            (_, Some(_)) => return Err(SqlError::unsupported("FOR UPDATE of other than one SELECT")),
        };
        self.ctes.truncate(visible);
        if limits { self.limit(rows, query.limit_clause.as_ref()) } else { Ok(rows) }
    }

    fn body(&mut self, body: &ast::SetExpr, titles: Option<&[String]>) -> Result<Rows, SqlError> {
        match body {
            ast::SetExpr::Select(select) => self.select(select, &[], titles),
            ast::SetExpr::Query(query) => self.nested(|binder| binder.titled_query(query, titles)),
            ast::SetExpr::SetOperation { .. } => self.set_operations(body, titles),
            ast::SetExpr::Values(values) => self.values(values),
            ast::SetExpr::Table(table) => {
                let name = ast::ObjectName::from(
                    [&table.schema_name, &table.table_name]
                        .into_iter()
                        .flatten()
                        .map(ast::Ident::new)
                        .collect::<Vec<_>>(),
                );
                self.whole_table(name)
            }
            other => Err(SqlError::unsupported(other)),
        }
    }

    fn whole_table(&mut self, name: ast::ObjectName) -> Result<Rows, SqlError> {
        let factor = ast::TableFactor::Table {
            name,
            alias: None,
            args: None,
            with_hints: Vec::new(),
            version: None,
            with_ordinality: false,
            partitions: Vec::new(),
            json_path: None,
            sample: None,
            index_hints: Vec::new(),
        };
        let source = self.from(&[ast::TableWithJoins { relation: factor, joins: Vec::new() }])?;
        Scope::check_star(source.scope.columns.iter())?;
        let columns = source.scope.columns.iter().map(|column| Output {
            name: column.name.clone(),
            column: column.column.clone(),
            ty: column.ty,
            arrow: column.arrow.clone(),
            nullable: column.nullable,
            collation: column.collation,
            table: column.table.clone(),
            origin: column.origin.clone(),
        });
        Ok(Rows { columns: columns.collect(), plan: source.plan })
    }

    /// A chain of operations leans to the left and may be long: it is taken apart in a loop.
    fn set_operations(&mut self, body: &ast::SetExpr, titles: Option<&[String]>) -> Result<Rows, SqlError> {
        let mut first = body;
        let mut chain = Vec::new();
        while let ast::SetExpr::SetOperation { left, op, set_quantifier, right } = first {
            chain.push((*op, *set_quantifier, right.as_ref()));
            first = left;
        }
        let mut left = Operand::Rows(self.nested(|binder| binder.body(first, titles))?);
        while let Some((op, quantifier, right)) = chain.pop() {
            let right = self.nested(|binder| binder.body(right, None))?;
            let all = match quantifier {
                ast::SetQuantifier::All => true,
                ast::SetQuantifier::None | ast::SetQuantifier::Distinct => false,
                other => return Err(SqlError::unsupported(other)),
            };
            left = self.combine(left, op, all, right)?;
        }
        left.into_rows()
    }

    fn combine(
        &mut self,
        left: Operand,
        op: ast::SetOperator,
        all: bool,
        right: Rows,
    ) -> Result<Operand, SqlError> {
        if left.columns().len() != right.columns.len() {
            return Err(SqlError::new(
                ErrorKind::WrongNumberOfColumns,
                "The used SELECT statements have a different number of columns",
            ));
        }
        let names = unique_names(left.columns().iter().map(|column| column.name.as_str()));
        let mut columns = Vec::with_capacity(names.len());
        let (mut left_exprs, mut right_exprs) = (Vec::new(), Vec::new());
        let (mut same_columns, mut same_collations) = (true, true);
        for ((l, r), name) in left.columns().iter().zip(&right.columns).zip(&names) {
            let (lt, rt) = (l.typed(), r.typed());
            let (ty, arrow) = common_type(&[&lt, &rt]);
            let collation = self.rules.output_of("UNION", &[&lt, &rt])?;
            let own = named(self.rules.bring(kept(lt, ty), ty, &arrow)?.expr, name);
            same_columns &= own == Expr::Column(l.column.clone());
            same_collations &= l.collation.collation == collation.collation;
            left_exprs.push(own);
            right_exprs.push(named(self.rules.bring(kept(rt, ty), ty, &arrow)?.expr, name));
            columns.push(Output {
                name: l.name.clone(),
                column: Column::from_name(name),
                ty,
                arrow,
                collation,
                nullable: match op {
                    ast::SetOperator::Union => l.nullable || r.nullable,
                    _ => l.nullable,
                },
                table: String::new(),
                origin: None,
            });
        }
        let right = project(right.plan, right_exprs)?;
        let left = match left {
            Operand::Union(mut union) if op == ast::SetOperator::Union && same_columns => {
                // A branch that makes rows distinct does so for those before it.
                let fits = if union.distinct { !all && same_collations } else { true };
                if fits {
                    union.branches.push(Arc::new(right));
                    return Ok(Operand::Union(OpenUnion { distinct: !all, columns, ..union }));
                }
                Operand::Union(union)
            }
            left => left,
        };
        let left = project(left.into_rows()?.plan, left_exprs)?;
        if op == ast::SetOperator::Union {
            let branches = vec![Arc::new(left), Arc::new(right)];
            return Ok(Operand::Union(OpenUnion { branches, distinct: !all, columns }));
        }
        let compared: Vec<Compared> = columns.iter().map(Output::compared).collect();
        let plan = match (op, all) {
            (ast::SetOperator::Intersect, false) => {
                self.semi_join(left, right, &compared, JoinType::LeftSemi)?
            }
            (_, false) => self.semi_join(left, right, &compared, JoinType::LeftAnti)?,
            (op, true) => {
                // Equal rows are told apart by numbers: as many pairs meet as both sides have.
                let kind = match op {
                    ast::SetOperator::Intersect => JoinType::LeftSemi,
                    _ => JoinType::LeftAnti,
                };
                let (left, right) = (numbered(left, &compared)?, numbered(right, &compared)?);
                let mut keys = compared;
                keys.push(Compared {
                    column: Column::from_name(NUMBER),
                    ty: BIGINT_UNSIGNED,
                    arrow: arrow::datatypes::DataType::UInt64,
                    collation: Collation::default(),
                });
                let rows = self.semi_join(left, right, &keys, kind)?;
                project(rows, names.iter().map(|name| Expr::Column(Column::from_name(name))).collect())?
            }
        };
        Ok(Operand::Rows(Rows { plan, columns }))
    }

    /// INTERSECT and EXCEPT: the distinct rows of the left that the right has, or has not.
    fn semi_join(
        &mut self,
        left: LogicalPlan,
        right: LogicalPlan,
        columns: &[Compared],
        kind: JoinType,
    ) -> Result<LogicalPlan, SqlError> {
        let (l, r) = (self.relation_name("__left"), self.relation_name("__right"));
        let left = alias_plan(distinct(left, columns)?, &l)?;
        let right = alias_plan(right, &r)?;
        let column = |relation: &str, name: &str| Column::new(Some(TableReference::bare(relation)), name);
        let mut on = Vec::with_capacity(columns.len());
        for own in columns {
            let name = &own.column.name;
            on.push((own.key(column(&l, name))?, own.key(column(&r, name))?));
        }
        let join = Join::try_new(
            Arc::new(left),
            Arc::new(right),
            on,
            None,
            kind,
            JoinConstraint::On,
            NullEquality::NullEqualsNull,
            false,
        )
        .map_err(planning)?;
        let names = columns.iter().map(|own| &own.column.name);
        let exprs = names.map(|name| named(Expr::Column(column(&l, name)), name)).collect();
        project(LogicalPlan::Join(join), exprs)
    }

    /// VALUES ROW(1, 2), ROW(3, 4): columns column_0, column_1.
    fn values(&mut self, values: &ast::Values) -> Result<Rows, SqlError> {
        let scope = Scope::default();
        let mut rows = Vec::with_capacity(values.rows.len());
        for row in &values.rows {
            let exprs = row
                .content
                .iter()
                .map(|expr| self.expr(expr, Env::new(&scope, Clause::FieldList)))
                .collect::<Result<Vec<Typed>, _>>()?;
            rows.push(exprs);
        }
        let width = rows.first().map_or(0, Vec::len);
        if let Some(at) = rows.iter().position(|row| row.len() != width) {
            return Err(SqlError::new(
                ErrorKind::WrongValueCountOnRow,
                format!("Column count doesn't match value count at row {}", at + 1),
            ));
        }
        let mut columns = Vec::with_capacity(width);
        for at in 0..width {
            let column: Vec<&Typed> = rows.iter().map(|row| &row[at]).collect();
            let (ty, arrow) = common_type(&column);
            let collation = self.rules.output_of("VALUES", &column)?;
            let mut nullable = false;
            for row in &mut rows {
                let value = std::mem::replace(&mut row[at], Typed::null());
                nullable |= value.nullable;
                row[at] = self.rules.bring(value, ty, &arrow)?;
            }
            let name = format!("column_{at}");
            columns.push(Output {
                column: Column::from_name(&name),
                name,
                ty,
                arrow,
                nullable,
                collation,
                table: String::new(),
                origin: None,
            });
        }
        let fields = columns.iter().map(|c| arrow::datatypes::Field::new(&c.name, c.arrow.clone(), true));
        let schema = Schema::new(fields.collect::<Vec<_>>());
        let schema = datafusion::common::DFSchema::try_from(schema).map_err(planning)?;
        let values = rows.into_iter().map(|row| row.into_iter().map(|value| value.expr).collect()).collect();
        let plan = LogicalPlan::Values(Values { schema: Arc::new(schema), values });
        Ok(Rows { plan, columns })
    }

    fn cte(&mut self, cte: &ast::Cte, recursive: bool) -> Result<Cte, SqlError> {
        let name = cte.alias.name.value.clone();
        let renamed: Vec<&str> = cte.alias.columns.iter().map(|column| column.name.value.as_str()).collect();
        let before = self.relations;
        let around = std::mem::take(&mut self.cte_levels);
        let rows = match cte.query.body.as_ref() {
            ast::SetExpr::SetOperation { left, op: ast::SetOperator::Union, set_quantifier, right }
                if recursive && mentions(right, &name) =>
            {
                let around = cte.query.with.is_some()
                    || cte.query.order_by.is_some()
                    || cte.query.limit_clause.is_some();
                if around {
                    return Err(SqlError::unsupported("WITH, ORDER BY or LIMIT around a recursive query"));
                }
                self.recursive(&name, &renamed, left, *set_quantifier == ast::SetQuantifier::All, right)?
            }
            _ => {
                let rows = self.query(&cte.query)?;
                rename(rows, &name, &renamed)?
            }
        };
        let levels = self.cte_levels + 1;
        if levels > MAX_CTE_LEVELS {
            return Err(SqlError::new(
                ErrorKind::StackOverrun,
                format!(
                    "Common table expressions stand more than {MAX_CTE_LEVELS} levels within each other; make the \
                     statement flatter, or use a temporary table"
                ),
            ));
        }
        self.cte_levels = around.max(levels);
        Ok(Cte { name, rows, relations: self.relations - before, levels })
    }

    fn recursive(
        &mut self,
        name: &str,
        renamed: &[&str],
        first: &ast::SetExpr,
        all: bool,
        step: &ast::SetExpr,
    ) -> Result<Rows, SqlError> {
        let mut base = rename(self.nested(|binder| binder.body(first, None))?, name, renamed)?;
        // The types are the first part's; every column may become NULL.
        for column in &mut base.columns {
            column.nullable = true;
        }
        let names = unique_names(base.columns.iter().map(|column| column.name.as_str()));
        let exprs =
            base.columns.iter().zip(&names).map(|(c, name)| named(Expr::Column(c.column.clone()), name));
        base.plan = project(base.plan, exprs.collect())?;
        for (column, name) in base.columns.iter_mut().zip(&names) {
            column.column = Column::from_name(name);
        }
        let fields: Vec<_> = base
            .columns
            .iter()
            .map(|c| arrow::datatypes::Field::new(&c.column.name, c.arrow.clone(), true))
            .collect();
        let relation = self.relation_name(name);
        let work = Arc::new(CteWorkTable::new(&relation, Arc::new(Schema::new(fields))));
        let source = provider_as_source(work);
        let scan = LogicalPlanBuilder::scan(TableReference::bare(relation.as_str()), source, None)
            .and_then(LogicalPlanBuilder::build)
            .map_err(planning)?;
        let so_far = base.columns.iter().map(|column| Output {
            column: Column::new(Some(TableReference::bare(relation.as_str())), &column.column.name),
            ..column.clone()
        });
        let so_far = Rows { plan: scan, columns: so_far.collect() };
        self.ctes.push(Cte { name: name.to_string(), rows: so_far, relations: 1, levels: 0 });
        let next = self.nested(|binder| binder.body(step, None));
        self.ctes.pop();
        let next = next?;
        if next.columns.len() != base.columns.len() {
            return Err(SqlError::new(
                ErrorKind::WrongNumberOfColumns,
                "The used SELECT statements have a different number of columns",
            ));
        }
        let mut exprs = Vec::with_capacity(names.len());
        for (column, (target, name)) in next.columns.iter().zip(base.columns.iter().zip(&names)) {
            let value = self.rules.bring(column.typed(), target.ty, &target.arrow)?;
            exprs.push(named(value.expr, name));
        }
        let next = project(next.plan, exprs)?;
        if !all && base.columns.iter().any(|column| column.compared().is_keyed()) {
            return Err(SqlError::unsupported(
                "a recursive UNION DISTINCT of texts whose collation takes different texts for equal",
            ));
        }
        let plan = RecursiveQuery::try_new(relation, Arc::new(base.plan), Arc::new(next), !all)
            .map(LogicalPlan::RecursiveQuery)
            .map_err(planning)?;
        let columns = base
            .columns
            .into_iter()
            .enumerate()
            .map(|(at, column)| Output { column: Column::from(plan.schema().qualified_field(at)), ..column });
        Ok(Rows { columns: columns.collect(), plan })
    }

    fn limit(&mut self, rows: Rows, clause: Option<&ast::LimitClause>) -> Result<Rows, SqlError> {
        if clause.is_none() {
            return Ok(rows);
        }
        let (skip, fetch) = self.limits(clause)?;
        Ok(Rows { plan: limited(rows.plan, skip, fetch), columns: rows.columns })
    }

    /// How many rows to leave out, and how many to take then.
    fn limits(&mut self, clause: Option<&ast::LimitClause>) -> Result<(u64, Option<u64>), SqlError> {
        let (skip, fetch) = match clause {
            None => (None, None),
            Some(ast::LimitClause::LimitOffset { limit, offset, limit_by }) => {
                if !limit_by.is_empty() {
                    return Err(SqlError::unsupported("LIMIT BY"));
                }
                (offset.as_ref().map(|offset| &offset.value), limit.as_ref())
            }
            Some(ast::LimitClause::OffsetCommaLimit { offset, limit }) => (Some(offset), Some(limit)),
        };
        let skip = skip.map(|expr| self.row_count(expr)).transpose()?.unwrap_or(0);
        let fetch = fetch.map(|expr| self.row_count(expr)).transpose()?;
        Ok((skip, fetch))
    }

    /// The constant of LIMIT and OFFSET.
    pub(super) fn row_count(&mut self, expr: &ast::Expr) -> Result<u64, SqlError> {
        let scope = Scope::default();
        let value = self.expr(expr, Env::new(&scope, Clause::Order))?;
        let count = match value.as_literal() {
            Some(ScalarValue::Utf8View(Some(text))) => text.parse::<u64>().ok(),
            _ => value.as_integer_literal().and_then(|count| u64::try_from(count).ok()),
        };
        count.ok_or_else(|| {
            SqlError::new(
                ErrorKind::ParseError,
                "LIMIT and OFFSET take a number of rows that is not negative",
            )
        })
    }
}

pub(super) fn limited(plan: LogicalPlan, skip: u64, fetch: Option<u64>) -> LogicalPlan {
    // The two are added, and no table has more rows.
    const MOST: u64 = i64::MAX as u64 / 2;
    let count = |rows: u64| Box::new(lit(rows.min(MOST) as i64));
    LogicalPlan::Limit(Limit {
        skip: (skip > 0).then(|| count(skip)),
        fetch: fetch.map(count),
        input: Arc::new(plan),
    })
}

/// A term's value on its way to a column of a set operation.
fn kept(value: Typed, ty: SqlType) -> Typed {
    if matches!(ty, SqlType::Bit(_)) { value } else { value.into_kept() }
}

fn rename(mut rows: Rows, table: &str, names: &[&str]) -> Result<Rows, SqlError> {
    if !names.is_empty() {
        if names.len() != rows.columns.len() {
            return Err(SqlError::new(
                ErrorKind::WrongColumnList,
                format!("'{table}' has {} columns, but {} names are given", rows.columns.len(), names.len()),
            ));
        }
        for (column, name) in rows.columns.iter_mut().zip(names) {
            column.name = (*name).to_string();
        }
    }
    Ok(rows)
}

/// The column that numbers equal rows.
const NUMBER: &str = "__number";

/// The rows with a column that numbers those that are equal, from 1.
fn numbered(plan: LogicalPlan, columns: &[Compared]) -> Result<LogicalPlan, SqlError> {
    let keys = columns.iter().map(|own| own.key(own.column.clone())).collect::<Result<Vec<_>, _>>()?;
    let number = Expr::WindowFunction(Box::new(WindowFunction {
        fun: WindowFunctionDefinition::WindowUDF(row_number_udwf()),
        params: WindowFunctionParams {
            args: Vec::new(),
            partition_by: keys,
            order_by: Vec::new(),
            window_frame: WindowFrame::new(None),
            filter: None,
            null_treatment: None,
            distinct: false,
        },
    }));
    let window = Window::try_new(vec![number], Arc::new(plan)).map_err(planning)?;
    // The numbers come after the columns of the rows.
    let number = Expr::Column(Column::from(window.schema.qualified_field(columns.len())));
    let mut exprs: Vec<Expr> = columns.iter().map(|own| Expr::Column(own.column.clone())).collect();
    exprs.push(named(number, NUMBER));
    project(LogicalPlan::Window(window), exprs)
}

/// Whether a query's FROM anywhere names this table.
fn mentions(body: &ast::SetExpr, name: &str) -> bool {
    use sqlparser::ast::{ObjectName, Visit, Visitor};
    use std::ops::ControlFlow;
    struct Search<'n>(&'n str);
    impl Visitor for Search<'_> {
        type Break = ();
        fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
            match super::from::table_name(relation) {
                Ok((None, table)) if table.eq_ignore_ascii_case(self.0) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    body.visit(&mut Search(name)).is_break()
}

fn refuse_unsupported(query: &ast::Query) -> Result<(), SqlError> {
    let refused = [
        (query.fetch.is_some(), "FETCH"),
        (query.for_clause.is_some(), "FOR XML and FOR JSON"),
        (query.settings.is_some(), "SETTINGS"),
        (query.format_clause.is_some(), "FORMAT"),
        (!query.pipe_operators.is_empty(), "pipe operators"),
    ];
    match refused.into_iter().find(|(there, _)| *there) {
        Some((_, what)) => Err(SqlError::unsupported(what)),
        None => Ok(()),
    }
}

/// A value as the rest of the system has it.
pub(super) fn value_of(scalar: &ScalarValue) -> Option<Value> {
    Some(match scalar {
        value if value.is_null() => Value::Null,
        ScalarValue::Boolean(Some(v)) => Value::Int(i64::from(*v)),
        ScalarValue::Int8(Some(v)) => Value::Int(i64::from(*v)),
        ScalarValue::Int16(Some(v)) => Value::Int(i64::from(*v)),
        ScalarValue::Int32(Some(v)) => Value::Int(i64::from(*v)),
        ScalarValue::Int64(Some(v)) => Value::Int(*v),
        ScalarValue::UInt8(Some(v)) => Value::UInt(u64::from(*v)),
        ScalarValue::UInt16(Some(v)) => Value::UInt(u64::from(*v)),
        ScalarValue::UInt32(Some(v)) => Value::UInt(u64::from(*v)),
        ScalarValue::UInt64(Some(v)) => Value::UInt(*v),
        ScalarValue::Decimal128(Some(v), _, scale) => {
            Value::Decimal { unscaled: *v, scale: u8::try_from(*scale).ok()? }
        }
        ScalarValue::Float32(Some(v)) => Value::Float(*v),
        ScalarValue::Float64(Some(v)) => Value::Double(*v),
        ScalarValue::Date32(Some(v)) => Value::Date(*v),
        ScalarValue::DurationMicrosecond(Some(v)) => Value::Time(*v),
        ScalarValue::TimestampMicrosecond(Some(v), None) => Value::DateTime(*v),
        ScalarValue::TimestampMicrosecond(Some(v), Some(_)) => Value::Timestamp(*v),
        ScalarValue::Utf8View(Some(v)) | ScalarValue::Utf8(Some(v)) | ScalarValue::LargeUtf8(Some(v)) => {
            Value::Text(v.clone())
        }
        ScalarValue::BinaryView(Some(v)) | ScalarValue::Binary(Some(v)) => Value::Bytes(v.clone()),
        _ => return None,
    })
}
