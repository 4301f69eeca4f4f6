//! JSON_TABLE in FROM.
//!
//! A table of columns left of it is no side of a join: it makes more rows of each of theirs ([`JsonTableNode`]).

use super::binder::{Binder, Env, planning, project};
use super::errors::Clause;
use super::from::{Relation, Source, alias_name, filter, has_subquery, operands, refuse_same_names};
use super::scope::{Scope, ScopeColumn, ScopeRelation};
use crate::analyzer::fold::cast;
use crate::analyzer::{Collated, Typed};
use crate::json_table::{JsonColumn, JsonRows, JsonTable, JsonTableNode, Otherwise, RowsAt, check_default};
use crate::parse::parse_type;
use arrow::datatypes::DataType;
use datafusion::common::{Column, ScalarValue, TableReference};
use datafusion::logical_expr::expr::Alias;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use sqlparser::ast;
use std::sync::Arc;
use types::{Collation, ErrorKind, SqlError, SqlType};

/// More NESTED PATHs than MySQL takes.
const MAX_NESTED_PATHS: usize = 16;

/// The column of the documents, which no name means.
const DOCUMENT: &str = "document of JSON_TABLE";

/// A JSON_TABLE whose documents are of the rows of tables left of it.
pub(super) struct LateralJsonTable {
    document: Typed,
    table: Arc<JsonTable>,
    relation: String,
    scope: Scope,
}

impl LateralJsonTable {
    /// Whether all columns that its documents are made of are these.
    pub(super) fn is_of(&self, scope: &Scope) -> bool {
        self.document.expr.column_refs().into_iter().all(|column| scope.of_plan(column).is_some())
    }

    /// The error where the rows of its documents' tables are out of reach.
    pub(super) fn outside(&self) -> SqlError {
        SqlError::unsupported("JSON_TABLE in parentheses of a table outside of them")
    }
}

/// Whether a join is the same where its left side is a part of what stands left of it.
pub(super) fn keeps_left(operator: &ast::JoinOperator) -> bool {
    use ast::JoinOperator as J;
    let constraint = match operator {
        J::Join(c) | J::Inner(c) | J::CrossJoin(c) | J::StraightJoin(c) => c,
        J::Left(c) | J::LeftOuter(c) => c,
        _ => return false,
    };
    matches!(constraint, ast::JoinConstraint::None | ast::JoinConstraint::On(_))
}

impl Binder<'_> {
    pub(super) fn json_table(
        &mut self,
        document: &ast::Expr,
        path: &ast::ValueWithSpan,
        columns: &[ast::JsonTableColumn],
        alias: Option<&ast::TableAlias>,
        before: &Scope,
    ) -> Result<Relation, SqlError> {
        let Some(alias) = alias else {
            return Err(SqlError::new(
                ErrorKind::TableFunctionNeedsAlias,
                "Every table function must have an alias",
            ));
        };
        let shown = alias_name(alias)?;
        if !alias.columns.is_empty() {
            return Err(SqlError::unsupported("column names after the alias of JSON_TABLE"));
        }
        self.reads(1)?;
        let mut nested = 0;
        let rows = self.rows_at(path, columns, shown, &mut nested)?;
        let table = Arc::new(JsonTable { zone: self.ctx.session.zone.to_string(), rows });
        refuse_repeated(&table)?;
        // The paths are read here only to be refused.
        JsonRows::try_new(&table)?;
        let document = self.expr(document, Env::new(before, Clause::TableFunction))?;
        if has_subquery(&document.expr) {
            return Err(SqlError::new(ErrorKind::WrongArguments, "Incorrect arguments to JSON_TABLE"));
        }
        if document.expr.contains_outer() {
            return Err(SqlError::unsupported("JSON_TABLE of a column of the query around it"));
        }
        let document = self.json_document(document, 1, "json_table")?;
        let document = cast(document, DataType::Utf8View, SqlType::Json);
        let relation = self.relation_name(shown);
        let scope = table_scope(&table, shown, &relation);
        let table = LateralJsonTable { document, table, relation, scope };
        if !table.document.expr.column_refs().is_empty() {
            return Ok(Relation::Lateral(table));
        }
        let alone = Source {
            plan: LogicalPlanBuilder::empty(true).build().map_err(planning)?,
            scope: Scope::default(),
        };
        self.with_json_table(alone, table, false).map(Relation::Rows)
    }

    /// Each row of the left side with the rows that its document makes. `outer`: or with NULLs.
    pub(super) fn with_json_table(
        &mut self,
        left: Source,
        table: LateralJsonTable,
        outer: bool,
    ) -> Result<Source, SqlError> {
        refuse_same_names(&left.scope, &table.scope)?;
        let mut exprs: Vec<Expr> = left.plan.schema().columns().into_iter().map(Expr::Column).collect();
        let qualifier = TableReference::bare(table.relation.as_str());
        exprs.push(Expr::Alias(Alias::new(table.document.expr, Some(qualifier.clone()), DOCUMENT)));
        let input = project(left.plan, exprs)?;
        let document = Column::new(Some(qualifier), DOCUMENT);
        let node = JsonTableNode::try_new(input, document, table.table, table.relation, outer);
        let plan = node.map_err(planning)?.into_plan();
        Ok(Source { plan, scope: left.scope.join(table.scope) })
    }

    /// A join with a table that is made of the rows of its left side. `taken`: the scope that the left side's
    /// begins with, and ON does not see.
    pub(super) fn join_json_table(
        &mut self,
        left: Source,
        table: LateralJsonTable,
        operator: &ast::JoinOperator,
        taken: Option<&Scope>,
    ) -> Result<Source, SqlError> {
        use ast::JoinOperator as J;
        let (outer, constraint) = match operator {
            J::Join(c) | J::Inner(c) | J::CrossJoin(c) | J::StraightJoin(c) => (false, c),
            J::Left(c) | J::LeftOuter(c) => (true, c),
            J::Right(_) | J::RightOuter(_) | J::FullOuter(_) => {
                let shown = table.scope.columns.first().map_or("", |column| column.table.as_str());
                return Err(SqlError::new(
                    ErrorKind::LateralJoinType,
                    format!("INNER or LEFT JOIN must be used for LATERAL references made by '{shown}'"),
                ));
            }
            _ => return Err(SqlError::unsupported("this kind of join")),
        };
        let condition = match constraint {
            ast::JoinConstraint::None => None,
            ast::JoinConstraint::On(condition) => Some(condition),
            ast::JoinConstraint::Using(_) | ast::JoinConstraint::Natural => {
                return Err(SqlError::unsupported(
                    "USING and NATURAL JOIN with JSON_TABLE of a table left of it",
                ));
            }
        };
        let source = self.with_json_table(left, table, outer)?;
        let Some(condition) = condition else { return Ok(source) };
        let scope = operands(source.scope.clone(), taken);
        let bound = self.expr(condition, Env::new(&scope, Clause::On))?;
        let condition = self.rules.condition(bound)?.expr;
        if matches!(condition, Expr::Literal(ScalarValue::Boolean(Some(true)), _)) {
            return Ok(source);
        }
        if outer {
            return Err(SqlError::unsupported(
                "LEFT JOIN of JSON_TABLE of a table left of it ON anything but TRUE",
            ));
        }
        Ok(Source { plan: filter(source.plan, condition)?, scope: source.scope })
    }

    /// `nested`: how many NESTED PATHs there are so far.
    fn rows_at(
        &mut self,
        path: &ast::ValueWithSpan,
        columns: &[ast::JsonTableColumn],
        shown: &str,
        nested: &mut usize,
    ) -> Result<RowsAt, SqlError> {
        let path = text_of(path)?.to_string();
        let columns = columns.iter().map(|column| match column {
            ast::JsonTableColumn::ForOrdinality(name) => {
                Ok(JsonColumn::Ordinality { name: name.value.clone() })
            }
            ast::JsonTableColumn::Named(column) => self.json_column(column),
            ast::JsonTableColumn::Nested(rows) => {
                *nested += 1;
                if *nested >= MAX_NESTED_PATHS {
                    return Err(SqlError::new(
                        ErrorKind::TooManyNestedPaths,
                        format!(
                            "More than supported {MAX_NESTED_PATHS} NESTED PATHs were found in JSON_TABLE '{shown}'"
                        ),
                    ));
                }
                self.nested(|binder| binder.rows_at(&rows.path, &rows.columns, shown, nested))
                    .map(JsonColumn::Nested)
            }
        });
        Ok(RowsAt { path, columns: columns.collect::<Result<_, SqlError>>()? })
    }

    fn json_column(&self, column: &ast::JsonTableNamedColumn) -> Result<JsonColumn, SqlError> {
        let name = column.name.value.clone();
        let ty = parse_type(&column.r#type.to_string(), &name)?;
        let path = text_of(&column.path)?.to_string();
        if column.exists {
            if column.on_empty.is_some() || column.on_error.is_some() {
                return Err(SqlError::new(
                    ErrorKind::ParseError,
                    format!("EXISTS PATH of the column '{name}' takes neither ON EMPTY nor ON ERROR"),
                ));
            }
            return Ok(JsonColumn::Exists { name, ty, path });
        }
        let otherwise = |handling: Option<&ast::JsonTableColumnErrorHandling>| match handling {
            None | Some(ast::JsonTableColumnErrorHandling::Null) => Ok(Otherwise::Null),
            Some(ast::JsonTableColumnErrorHandling::Error) => Ok(Otherwise::Error),
            Some(ast::JsonTableColumnErrorHandling::Default(value)) => {
                let text = text_of(value)?;
                check_default(text, &name, ty, self.ctx.session.zone)?;
                Ok(Otherwise::Default(text.to_string()))
            }
        };
        let on_empty = otherwise(column.on_empty.as_ref())?;
        let on_error = otherwise(column.on_error.as_ref())?;
        Ok(JsonColumn::Value { name, ty, path, on_empty, on_error })
    }
}

/// Paths and defaults are texts.
fn text_of(value: &ast::ValueWithSpan) -> Result<&str, SqlError> {
    match &value.value {
        ast::Value::SingleQuotedString(text) | ast::Value::DoubleQuotedString(text) => Ok(text),
        other => Err(SqlError::new(
            ErrorKind::ParseError,
            format!("JSON_TABLE takes a text in quotation marks for a path or a default, not {other}"),
        )),
    }
}

fn refuse_repeated(table: &JsonTable) -> Result<(), SqlError> {
    let columns = table.columns();
    for (at, (name, _)) in columns.iter().enumerate() {
        if columns[..at].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return Err(SqlError::new(ErrorKind::DuplicateColumn, format!("Duplicate column name '{name}'")));
        }
    }
    Ok(())
}

fn table_scope(table: &JsonTable, shown: &str, relation: &str) -> Scope {
    let column = |(ordinal, (name, ty)): (usize, (&str, SqlType))| ScopeColumn {
        table: shown.to_string(),
        database: None,
        name: name.to_string(),
        column: Column::new(Some(TableReference::bare(relation)), name),
        ty,
        arrow: ty.arrow(),
        nullable: true,
        collation: Collated::column(Collation::default()),
        origin: None,
        readable: None,
        visible: true,
        ordinal,
    };
    Scope {
        columns: table.columns().into_iter().enumerate().map(column).collect(),
        relations: vec![ScopeRelation { relation: relation.to_string(), primary_key: Vec::new() }],
    }
}
