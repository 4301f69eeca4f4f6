//! Views: their queries are bound where they are named, with the rights and the database of the view.
//!
//! What CREATE VIEW keeps is the text of the query with two things made explicit, so that it means the
//! same for ever: `*` becomes the columns that it stands for, and a table that is named without its
//! database gets it where that is not the view's own ([`Rewrite`]).

use super::binder::{Binder, Rows};
use super::context::{BindContext, SessionView, View};
use super::from::Source;
use super::scope::{Origin, ScopeColumn};
use super::{BoundQuery, Momentary, bound, titles, warnings};
use crate::ddl::quote_name;
use crate::parse::lexer::offset_of;
use sqlparser::ast::{self, Spanned, Visit, Visitor};
use sqlparser::tokenizer::{Location, Span};
use std::ops::ControlFlow;
use std::sync::Arc;
use types::{ErrorKind, SqlError};

/// How many views a statement may read, those in views counted anew at each place: views over views
/// double quickly.
const MAX_VIEWS: usize = 256;

/// The views around what is bound, the innermost last, as database and name; and how many were met.
#[derive(Debug, Default)]
pub(super) struct OpenViews {
    open: Vec<(String, String)>,
    met: usize,
}

/// What CREATE VIEW changes in the text of its query.
#[derive(Debug)]
pub(super) struct Rewrites {
    /// The view's database.
    database: String,
    list: Vec<Rewrite>,
}

#[derive(Debug)]
struct Rewrite {
    from: Location,
    to: Location,
    text: String,
}

impl Rewrites {
    /// A table that is named without its database, which is the session's.
    pub(super) fn table(&mut self, name: &ast::ObjectName, database: Option<&str>) {
        if let Some(database) = database.filter(|database| *database != self.database) {
            let Span { start, .. } = name.span();
            self.add(start, start, format!("{}.", quote_name(database)));
        }
    }

    /// A `*` with what stands before it.
    pub(super) fn star<'c>(
        &mut self,
        from: Location,
        star: Span,
        columns: impl Iterator<Item = &'c ScopeColumn>,
    ) {
        let names: Vec<String> = columns
            .map(|column| {
                let mut name = String::new();
                if let Some(database) = column.database.as_ref().filter(|of| **of != self.database) {
                    name.push_str(&format!("{}.", quote_name(database)));
                }
                name.push_str(&format!("{}.{}", quote_name(&column.table), quote_name(&column.name)));
                name
            })
            .collect();
        self.add(from, star.end, names.join(", "));
    }

    /// The same place may be bound more than once.
    fn add(&mut self, from: Location, to: Location, text: String) {
        if !self.list.iter().any(|known| known.from == from) {
            self.list.push(Rewrite { from, to, text });
        }
    }

    /// The text from `start` to `end` with the changes made.
    fn apply(mut self, text: &str, start: usize, end: usize) -> String {
        self.list.sort_by_key(|rewrite| rewrite.from);
        let mut out = String::new();
        let mut at = start;
        for rewrite in &self.list {
            let place = |location: Location| offset_of(text, location.line, location.column);
            let (from, to) = (place(rewrite.from), place(rewrite.to));
            // A rewrite outside of the query or of its order would be ours to mend.
            if let Some(kept) = text.get(at..from) {
                out.push_str(kept);
                out.push_str(&rewrite.text);
                at = to;
            }
        }
        out.push_str(text.get(at..end).unwrap_or_default().trim_end());
        out
    }
}

/// A view to be made, checked.
#[derive(Debug, Clone)]
pub struct BoundView {
    /// The query as it is kept.
    pub text: String,
    /// The names of its columns.
    pub columns: Vec<String>,
}

/// Checks what a view is to be made of. `place`: its database and name; `ctx.text` is the whole
/// statement's text.
pub fn bind_view(
    view: &crate::statement::CreateView,
    place: (&str, &str),
    ctx: &BindContext<'_>,
) -> Result<BoundView, SqlError> {
    refuse_variables(&view.query)?;
    let offset = |location: Location| offset_of(ctx.text, location.line, location.column);
    let (start, end) = (offset(view.query_from), offset(view.query_to));
    let mut binder = Binder::new(ctx);
    binder.views.open.push((place.0.to_string(), place.1.to_string()));
    binder.rewrites = Some(Rewrites { database: place.0.to_string(), list: Vec::new() });
    let titles = titles::titles(ctx.text.get(start..end).unwrap_or_default());
    let rows = warnings::gather(|| binder.titled_query(&view.query, titles.as_deref())).0?;
    let text = match binder.rewrites.take() {
        Some(rewrites) => rewrites.apply(ctx.text, start, end),
        None => String::new(),
    };
    let names = column_names(view, rows)?;
    Ok(BoundView { text, columns: names })
}

fn column_names(view: &crate::statement::CreateView, rows: Rows) -> Result<Vec<String>, SqlError> {
    let names: Vec<String> = match view.columns.as_slice() {
        [] => rows.columns.into_iter().map(|column| column.name).collect(),
        named if named.len() != rows.columns.len() => {
            return Err(SqlError::new(
                ErrorKind::WrongColumnList,
                "In definition of view, derived table or common table expression, SELECT list and column \
                 names list have different column counts",
            ));
        }
        named => named.iter().map(|name| name.value.clone()).collect(),
    };
    for (at, name) in names.iter().enumerate() {
        if names[..at].iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return Err(SqlError::new(ErrorKind::DuplicateColumn, format!("Duplicate column name '{name}'")));
        }
        if name.is_empty() || name.ends_with(' ') {
            return Err(SqlError::new(ErrorKind::WrongColumnName, format!("Incorrect column name '{name}'")));
        }
    }
    Ok(names)
}

/// A view's meaning must not depend on who reads it and when it was made.
fn refuse_variables(query: &ast::Query) -> Result<(), SqlError> {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
            let is_variable = match expr {
                ast::Expr::Identifier(name) => name.value.starts_with('@'),
                ast::Expr::CompoundIdentifier(parts) => {
                    parts.iter().any(|part| part.quote_style.is_none() && part.value.starts_with('@'))
                }
                ast::Expr::Value(value) => matches!(value.value, ast::Value::Placeholder(_)),
                _ => false,
            };
            if is_variable { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    match query.visit(&mut Finder) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(SqlError::new(
            ErrorKind::ViewSelectVariable,
            "View's SELECT contains a variable or parameter",
        )),
    }
}

/// The columns of a view as it is now. Error: 1356 if it cannot be used any more.
pub fn describe_view(view: View, ctx: &BindContext<'_>) -> Result<BoundQuery, SqlError> {
    warnings::gather(|| Ok(bound(Binder::new(ctx).view_rows(&view)?, None))).0
}

impl Binder<'_> {
    pub(super) fn view(&mut self, view: View, shown: &str) -> Result<Source, SqlError> {
        if self.refuses_views {
            return Err(SqlError::unsupported("FOR UPDATE and FOR SHARE of the rows of a view"));
        }
        let rows = self.view_rows(&view)?;
        let mut source = self.rows_as(rows, shown, &[])?;
        if let Some(readable) = self.ctx.tables.readable(Some(&view.database), &view.name)? {
            let readable = Arc::new(readable);
            for column in &mut source.scope.columns {
                column.readable = Some(readable.clone());
            }
        }
        Ok(source)
    }

    fn view_rows(&mut self, view: &View) -> Result<Rows, SqlError> {
        let place = (view.database.clone(), view.name.clone());
        if self.views.open.contains(&place) {
            return Err(SqlError::new(
                ErrorKind::ViewRecursion,
                format!("`{}`.`{}` contains view recursion", view.database, view.name),
            ));
        }
        self.views.met += 1;
        if self.views.met > MAX_VIEWS {
            return Err(SqlError::new(
                ErrorKind::CapacityExceeded,
                format!("The statement reads more than {MAX_VIEWS} views, those in views counted each time"),
            ));
        }
        let mut rows =
            self.nested(|outer| outer.view_query(view, place)).map_err(|error| hide(view, error))?;
        if rows.columns.len() != view.columns.len() {
            return Err(invalid(view));
        }
        for (column, name) in rows.columns.iter_mut().zip(&view.columns) {
            column.name.clone_from(name);
            column.table.clone_from(&view.name);
            let marks = column.origin.as_ref().map(|origin| origin.marks).unwrap_or_default();
            column.origin = Some(Arc::new(Origin {
                schema: view.database.clone(),
                org_table: view.name.clone(),
                org_name: name.clone(),
                marks,
            }));
        }
        Ok(rows)
    }

    /// Binds the query by a binder of its own: no common table expression and no column of the
    /// statement around it is visible.
    fn view_query(&mut self, view: &View, place: (String, String)) -> Result<Rows, SqlError> {
        let parsed = crate::parse::parse_one(&view.query)?;
        let crate::statement::Statement::Query(query) = &parsed.statement else { return Err(invalid(view)) };
        let session = SessionView {
            database: Some(&view.database),
            current_user: Momentary::new(&view.current_user),
            modes: view.modes,
            ..self.ctx.session
        };
        let ctx = BindContext { tables: &*view.tables, session, parameters: &[], text: &view.query };
        let mut inner = Binder::inside(&ctx, self);
        inner.views.open.push(place);
        let rows = inner.titled_query(query, None);
        inner.views.open.pop();
        inner.give_back(self);
        rows
    }
}

fn invalid(view: &View) -> SqlError {
    SqlError::new(
        ErrorKind::InvalidView,
        format!(
            "View '{}.{}' references invalid table(s) or column(s) or function(s) or definer/invoker of view \
             lack rights to use them",
            view.database, view.name
        ),
    )
}

/// What is wrong below a view is not for everyone who may read the view.
fn hide(view: &View, error: SqlError) -> SqlError {
    match error.kind {
        ErrorKind::NoSuchTable
        | ErrorKind::UnknownTable
        | ErrorKind::UnknownDatabase
        | ErrorKind::UnknownColumn
        | ErrorKind::AmbiguousColumn
        | ErrorKind::FunctionDoesNotExist
        | ErrorKind::TableAccessDenied
        | ErrorKind::ColumnAccessDenied
        | ErrorKind::AccessDeniedDb
        | ErrorKind::WrongNumberOfColumns => invalid(view),
        _ => error,
    }
}
