//! What a table computes for its rows and asks of them: DEFAULT expressions, generated columns and CHECK
//! constraints.
//!
//! Their expressions see one row of the table and nothing else, so they are evaluated over batches of
//! rows that are about to be written: first the defaults of columns that a statement left out, in the
//! order of the columns, then the generated columns, then the keys of collations, then the constraints. Generated columns are kept,
//! be they called STORED or VIRTUAL: no reader can tell. They and the constraints give the same for the
//! same row at any time; a default may ask for the time, or for chance.

use super::binder::{Binder, Env, planning};
use super::context::{BindContext, Modes, SessionView, Tables, VariableScope, Variables};
use super::errors::Clause;
use super::on_duplicate::row_scope;
use crate::analyzer::Typed;
use crate::convert::{Context, constant_column, convert_column, current_time};
use crate::functions::short_circuit::ShortCircuit;
use crate::functions::warnings;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewBuilder, BooleanArray, RecordBatch, RecordBatchOptions,
};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::TableSource;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;
use sqlparser::ast::{self, Visit, Visitor};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use types::{Collation, ColumnDef, ColumnDefault, ErrorKind, SqlError, TableDef, Value};

/// An expression over a row, ready to run, and the type of its values.
#[derive(Debug)]
pub(super) struct Compiled {
    value: Arc<dyn PhysicalExpr>,
    field: Field,
}

impl Compiled {
    /// The values for these rows as values of a column.
    pub(super) fn column(
        &self,
        rows: &RecordBatch,
        column: &ColumnDef,
        context: &Context,
    ) -> Result<ArrayRef, SqlError> {
        self.column_from(rows, column, context, 1)
    }

    /// The same; `first_row` is the number of the first row in errors.
    pub(super) fn column_from(
        &self,
        rows: &RecordBatch,
        column: &ColumnDef,
        context: &Context,
        first_row: u64,
    ) -> Result<ArrayRef, SqlError> {
        let value = self.value.evaluate(rows).map_err(planning)?;
        let value = value.into_array(rows.num_rows()).map_err(planning)?;
        let field = self.field.clone().with_data_type(value.data_type().clone());
        convert_column(&value, &field, column, context, first_row)
    }

    /// Whether it looks at any of these columns.
    fn reads_any(&self, places: &[usize]) -> bool {
        collect_columns(&self.value).iter().any(|column| places.contains(&column.index()))
    }
}

/// Makes a bound expression ready to run over rows of these columns.
pub(super) fn compiled(value: &Typed, schema: &DFSchema) -> Result<Compiled, SqlError> {
    let field = if value.arrow == value.ty.arrow() {
        value.ty.field("", true)
    } else {
        Field::new("", value.arrow.clone(), true)
    };
    let props = ExecutionProps::new();
    let planning_context = PhysicalPlanningContext::default();
    let value =
        datafusion::physical_expr::create_physical_expr(&value.expr, schema, &props, &planning_context)
            .map_err(planning)?;
    let value = ShortCircuit { schema: schema.as_arrow() }.value(&value).map_err(planning)?.expr;
    Ok(Compiled { value, field })
}

/// The rules of one table, ready to run in one statement.
#[derive(Debug)]
pub struct RowRules {
    definition: Arc<TableDef>,
    context: Context,
    /// All columns may be NULL, since some are still to be computed.
    schema: SchemaRef,
    /// By the place of the column.
    defaults: Vec<(usize, Compiled)>,
    generated: Vec<(usize, Compiled)>,
    /// Collation keys: the column's place, that of its text, and the text's collation.
    keys: Vec<(usize, usize, Collation)>,
    /// With the names of the constraints.
    checks: Vec<(String, Compiled)>,
}

impl RowRules {
    /// `None`: the table has no rules.
    pub fn of(definition: &Arc<TableDef>, context: &Context) -> Result<Option<Arc<RowRules>>, SqlError> {
        if !has_rules(definition) {
            return Ok(None);
        }
        let mut rules = RowRules {
            definition: Arc::clone(definition),
            context: *context,
            schema: Arc::new(Schema::new(
                definition
                    .columns
                    .iter()
                    .map(|column| column.ty.field(&column.name, true))
                    .collect::<Vec<_>>(),
            )),
            defaults: Vec::new(),
            generated: Vec::new(),
            keys: collation_keys(definition)?,
            checks: Vec::new(),
        };
        if !has_expressions(definition) {
            return Ok(Some(Arc::new(rules)));
        }
        with_row_binder(definition, context, |binder, scope, schema| {
            let mut bind = |text: &str| {
                let expr = crate::parse::parse_expr(text)?;
                binder.expr(&expr, Env::new(scope, Clause::FieldList))
            };
            for (place, column) in definition.columns.iter().enumerate() {
                match &column.default {
                    ColumnDefault::Expression(text) => {
                        rules.defaults.push((place, compiled(&bind(text)?, schema)?));
                    }
                    ColumnDefault::Generated { expression, .. } => {
                        rules.generated.push((place, compiled(&bind(expression)?, schema)?));
                    }
                    ColumnDefault::None
                    | ColumnDefault::Null
                    | ColumnDefault::Literal(_)
                    | ColumnDefault::CurrentTimestamp
                    | ColumnDefault::CollationKey(_) => {}
                }
            }
            for check in definition.checks.iter().filter(|check| check.enforced) {
                let expr = crate::parse::parse_expr(&check.expression)?;
                let value = binder
                    .expr(&expr, Env::new(scope, Clause::FieldList))
                    .map_err(|error| unknown_in_check(&check.name, error))?;
                let value = binder.rules.condition(value)?;
                rules.checks.push((check.name.clone(), compiled(&value, schema)?));
            }
            Ok(())
        })?;
        Ok(Some(Arc::new(rules)))
    }

    /// Computes what is to be computed in rows given by their columns, and checks them. `left_out`:
    /// the places of columns that take their DEFAULT expressions. Error: 3819; under IGNORE that is a warning, and the
    /// answer says which rows violate no constraint, `None`: all.
    pub fn apply(
        &self,
        columns: &mut [ArrayRef],
        left_out: &[usize],
        rows: usize,
    ) -> Result<Option<BooleanArray>, SqlError> {
        let defaults = self.defaults.iter().filter(|(place, _)| left_out.contains(place));
        for (place, value) in defaults.chain(&self.generated) {
            self.compute(columns, *place, value, rows)?;
        }
        self.check(columns, self.checks.iter(), rows)
    }

    /// The same for rows that were there, of which the columns at the places `assigned` changed: what does not follow
    /// from these is as it was.
    pub fn apply_again(
        &self,
        columns: &mut [ArrayRef],
        assigned: &[usize],
        rows: usize,
    ) -> Result<Option<BooleanArray>, SqlError> {
        let mut changed = assigned.to_vec();
        for (place, value) in &self.generated {
            if value.reads_any(&changed) {
                self.compute(columns, *place, value, rows)?;
                changed.push(*place);
            }
        }
        let checks = self.checks.iter().filter(|(_, check)| check.reads_any(&changed));
        self.check(columns, checks, rows)
    }

    fn compute(
        &self,
        columns: &mut [ArrayRef],
        place: usize,
        value: &Compiled,
        rows: usize,
    ) -> Result<(), SqlError> {
        let batch = self.batch(columns, rows)?;
        columns[place] = value.column(&batch, &self.definition.columns[place], &self.context)?;
        Ok(())
    }

    /// Makes the keys of collations, and asks these constraints. What [`RowRules::apply`] says.
    fn check<'r>(
        &self,
        columns: &mut [ArrayRef],
        checks: impl Iterator<Item = &'r (String, Compiled)>,
        rows: usize,
    ) -> Result<Option<BooleanArray>, SqlError> {
        for (place, text, collation) in &self.keys {
            columns[*place] = keys_of(&columns[*text], *collation)?;
        }
        let mut checks = checks.peekable();
        if checks.peek().is_none() {
            return Ok(None);
        }
        let batch = self.batch(columns, rows)?;
        let mut all_kept: Option<BooleanArray> = None;
        for (name, check) in checks {
            let kept = check.value.evaluate(&batch).map_err(planning)?;
            let kept = kept.into_array(rows).map_err(planning)?;
            let kept = kept.as_boolean_opt().ok_or_else(|| SqlError::internal("a condition that is none"))?;
            // NULL violates nothing.
            if kept.true_count() + kept.null_count() == rows {
                continue;
            }
            let text = || format!("Check constraint '{name}' is violated.");
            if !self.context.ignore {
                return Err(SqlError::new(ErrorKind::CheckConstraintViolated, text()));
            }
            let before = |row: usize| all_kept.as_ref().is_none_or(|kept| kept.value(row));
            let holds = |row: usize| kept.is_null(row) || kept.value(row);
            // One that a row violates is enough.
            (0..rows).filter(|row| before(*row) && !holds(*row)).for_each(|_| {
                warnings::warn(ErrorKind::CheckConstraintViolated, text);
            });
            all_kept = Some((0..rows).map(|row| Some(before(row) && holds(row))).collect());
        }
        Ok(all_kept)
    }

    fn batch(&self, columns: &[ArrayRef], rows: usize) -> Result<RecordBatch, SqlError> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), columns.to_vec(), &options)
            .map_err(SqlError::internal)
    }
}

/// Rows of a table that change, by values for the columns at the places `assigned`, with what follows from these:
/// columns with ON UPDATE CURRENT_TIMESTAMP that are not assigned take the time of the statement, and the table computes
/// its own. Error: 3819; under IGNORE that is a warning, and the rows come with which of them violate no constraint, if
/// not all.
pub fn with_rules(
    definition: &Arc<TableDef>,
    rows: RecordBatch,
    assigned: &[usize],
    context: &Context,
) -> Result<(RecordBatch, Option<BooleanArray>), SqlError> {
    if rows.num_rows() == 0 {
        return Ok((rows, None));
    }
    let mut columns = rows.columns().to_vec();
    let mut changed = assigned.to_vec();
    for (place, column) in definition.columns.iter().enumerate() {
        if column.on_update_now && !assigned.contains(&place) {
            columns[place] = constant_column(&current_time(column, context)?, column, rows.num_rows())?;
            changed.push(place);
        }
    }
    let kept = match RowRules::of(definition, context)? {
        Some(rules) => rules.apply_again(&mut columns, &changed, rows.num_rows())?,
        None if changed.len() == assigned.len() => return Ok((rows, None)),
        None => None,
    };
    let rows = RecordBatch::try_new(rows.schema(), columns).map_err(SqlError::internal)?;
    Ok((rows, kept))
}

fn unknown_in_check(check: &str, error: SqlError) -> SqlError {
    match (error.kind, error.message.split('\'').nth(1)) {
        (ErrorKind::UnknownColumn, Some(name)) => SqlError::new(
            ErrorKind::CheckConstraintUnknownColumn,
            format!("Check constraint '{check}' refers to non-existing column '{name}'."),
        ),
        _ => error,
    }
}

/// See [`RowRules::keys`].
fn collation_keys(definition: &TableDef) -> Result<Vec<(usize, usize, Collation)>, SqlError> {
    let mut keys = Vec::new();
    for (place, column) in definition.columns.iter().enumerate() {
        let ColumnDefault::CollationKey(text) = column.default else { continue };
        let text = definition.position(text).ok_or_else(|| {
            SqlError::internal(format_args!("a collation key of no column in table {}", definition.name))
        })?;
        keys.push((place, text, definition.columns[text].collation));
    }
    Ok(keys)
}

/// The collation keys of a column of texts.
fn keys_of(texts: &ArrayRef, collation: Collation) -> Result<ArrayRef, SqlError> {
    let texts = texts.as_string_view_opt().ok_or_else(|| SqlError::internal("a text that is none"))?;
    let mut keys = BinaryViewBuilder::with_capacity(texts.len());
    let mut key = Vec::new();
    for text in texts {
        match text {
            Some(text) => {
                key.clear();
                collation.key(text, &mut key);
                keys.append_value(&key);
            }
            None => keys.append_null(),
        }
    }
    Ok(Arc::new(keys.finish()))
}

fn has_rules(definition: &TableDef) -> bool {
    has_expressions(definition) || definition.columns.iter().any(ColumnDef::is_hidden)
}

fn has_expressions(definition: &TableDef) -> bool {
    !definition.checks.is_empty()
        || definition.columns.iter().any(|column| {
            matches!(column.default, ColumnDefault::Expression(_) | ColumnDefault::Generated { .. })
        })
}

/// Runs `body` with a binder that sees a row of the table.
fn with_row_binder(
    definition: &TableDef,
    context: &Context,
    body: impl FnOnce(&mut Binder<'_>, &super::scope::Scope, &DFSchema) -> Result<(), SqlError>,
) -> Result<(), SqlError> {
    let session = SessionView {
        database: None,
        user: "".into(),
        current_user: "".into(),
        current_role: "".into(),
        connection_id: 0.into(),
        last_insert_id: 0.into(),
        row_count: 0.into(),
        found_rows: 0.into(),
        version: "",
        now: context.now.into(),
        zone: context.zone,
        modes: Modes::default(),
        variables: &NoSession,
    };
    let ctx = BindContext { tables: &NoSession, session, parameters: &[], text: "" };
    let mut binder = Binder::new(&ctx);
    binder.rules.strict_division = context.divisions_fail;
    let mut scope = row_scope(definition, &definition.name, &definition.name, None);
    let mut fields = Vec::with_capacity(scope.columns.len());
    for column in &mut scope.columns {
        // The rows are no relation of a plan.
        column.column = Column::from_name(&column.name);
        fields.push((None, Arc::new(Field::new(&column.name, column.arrow.clone(), true))));
    }
    let schema = DFSchema::new_with_metadata(fields, HashMap::new()).map_err(planning)?;
    super::warnings::gather(|| body(&mut binder, &scope, &schema)).0
}

/// What such an expression must not look at; what it names is refused before.
struct NoSession;

impl Tables for NoSession {
    fn table(&self, _: Option<&str>, name: &str) -> Result<Arc<dyn TableSource>, SqlError> {
        Err(SqlError::internal(format_args!("an expression over a row reads the table {name}")))
    }

    fn table_with_row_refs(
        &self,
        database: Option<&str>,
        name: &str,
    ) -> Result<Arc<dyn TableSource>, SqlError> {
        self.table(database, name)
    }

    fn definition(&self, database: Option<&str>, name: &str) -> Result<Option<Arc<TableDef>>, SqlError> {
        self.table(database, name).map(|_| None)
    }
}

impl Variables for NoSession {
    fn system(&self, _: VariableScope, name: &str) -> Result<Value, SqlError> {
        Err(SqlError::internal(format_args!("an expression over a row reads the variable {name}")))
    }

    fn user(&self, _: &str) -> Value {
        Value::Null
    }
}

/// Functions that give another value each time, or in another session.
const OF_SESSION: &[&str] = &[
    "BENCHMARK",
    "CONNECTION_ID",
    "CURRENT_ROLE",
    "CURRENT_USER",
    "DATABASE",
    "FOUND_ROWS",
    "GET_LOCK",
    "IS_FREE_LOCK",
    "IS_USED_LOCK",
    "LAST_INSERT_ID",
    "LOAD_FILE",
    "RELEASE_ALL_LOCKS",
    "RELEASE_LOCK",
    "ROW_COUNT",
    "SCHEMA",
    "SESSION_USER",
    "SLEEP",
    "SYSTEM_USER",
    "USER",
    "VERSION",
];
const OF_TIME_AND_CHANCE: &[&str] = &[
    "CURDATE",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURTIME",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "NOW",
    "RAND",
    "RANDOM_BYTES",
    "SYSDATE",
    "UTC_DATE",
    "UTC_TIME",
    "UTC_TIMESTAMP",
    "UUID",
    "UUID_SHORT",
];
/// Those that are functions without parentheses too.
const BARE: &[&str] = &[
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURRENT_USER",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "UTC_DATE",
    "UTC_TIME",
    "UTC_TIMESTAMP",
];

/// What an expression names.
#[derive(Default)]
struct Names {
    /// Columns, as written, without their tables.
    columns: Vec<String>,
    functions: Vec<String>,
    subquery: bool,
    variable: bool,
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        self.subquery = true;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        match expr {
            ast::Expr::Identifier(name) if name.quote_style.is_none() && name.value.starts_with('@') => {
                self.variable = true;
            }
            ast::Expr::Identifier(name) => {
                let upper = name.value.to_ascii_uppercase();
                if name.quote_style.is_none() && BARE.contains(&upper.as_str()) {
                    self.functions.push(upper);
                } else {
                    self.columns.push(name.value.clone());
                }
            }
            ast::Expr::CompoundIdentifier(parts) => {
                self.variable |= parts.iter().any(|part| part.value.starts_with('@'));
                self.columns.extend(parts.last().map(|name| name.value.clone()));
            }
            ast::Expr::Value(value) if matches!(value.value, ast::Value::Placeholder(_)) => {
                self.variable = true;
            }
            ast::Expr::Function(function) => {
                let name = function.name.0.last().and_then(|part| part.as_ident());
                self.functions.extend(name.map(|name| name.value.to_ascii_uppercase()));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn names(text: &str) -> Result<Names, SqlError> {
    let mut names = Names::default();
    // Never broken off.
    let _ = crate::parse::parse_expr(text)?.visit(&mut names);
    Ok(names)
}

/// Whether an expression of a rule names the column.
pub(crate) fn mentions(text: &str, column: &str) -> bool {
    names(text).is_ok_and(|names| names.columns.iter().any(|name| name.eq_ignore_ascii_case(column)))
}

/// What would not hold any more without this column, or with another name for it. Errors: 3108, 3959.
pub(crate) fn refuse_dependent(definition: &TableDef, column: &str) -> Result<(), SqlError> {
    for check in &definition.checks {
        if mentions(&check.expression, column) {
            return Err(SqlError::new(
                ErrorKind::DependentByCheckConstraint,
                format!(
                    "Check constraint '{}' uses column '{column}', hence column cannot be dropped or renamed.",
                    check.name
                ),
            ));
        }
    }
    for other in &definition.columns {
        let text = match &other.default {
            ColumnDefault::Expression(text) => text,
            ColumnDefault::Generated { expression, .. } => expression,
            _ => continue,
        };
        if !other.name.eq_ignore_ascii_case(column) && mentions(text, column) {
            return Err(SqlError::new(
                ErrorKind::DependentByGeneratedColumn,
                format!("Column '{column}' has a generated column dependency."),
            ));
        }
    }
    Ok(())
}

/// Whether all expressions of a new definition can be computed. Errors: 3818, 3820 and others.
pub(crate) fn check_rules(definition: &TableDef) -> Result<(), SqlError> {
    if !has_expressions(definition) {
        return Ok(());
    }
    let is_auto =
        |name: &String| definition.column_named(name).is_some_and(|(_, column)| column.auto_increment);
    for (place, column) in definition.columns.iter().enumerate() {
        let (text, generated) = match &column.default {
            ColumnDefault::Expression(text) => (text, false),
            ColumnDefault::Generated { expression, .. } => (expression, true),
            _ => continue,
        };
        let found = names(text)?;
        let what = if generated {
            format!("Expression of generated column '{}'", column.name)
        } else {
            format!("Default value expression of column '{}'", column.name)
        };
        let kind =
            if generated { ErrorKind::GeneratedColumnFunction } else { ErrorKind::DefaultExpressionFunction };
        refuse_names(&found, &what, kind, !generated)?;
        if let Some(name) = found.columns.iter().find(|name| is_auto(name)) {
            return Err(SqlError::new(
                ErrorKind::GeneratedColumnAutoIncrement,
                format!("{what} cannot refer to the auto-increment column '{name}'."),
            ));
        }
        let later = found.columns.iter().find(|name| {
            definition.column_named(name).is_some_and(|(other, column)| {
                let computed =
                    matches!(column.default, ColumnDefault::Generated { .. } | ColumnDefault::Expression(_));
                let generated_base = !generated && matches!(column.default, ColumnDefault::Generated { .. });
                computed && (other >= place || generated_base)
            })
        });
        if later.is_some() {
            return Err(SqlError::new(
                ErrorKind::GeneratedColumnNotPrior,
                "Generated column can refer only to generated columns defined prior to it.",
            ));
        }
    }
    for check in &definition.checks {
        let found = names(&check.expression)?;
        let what = format!("An expression of a check constraint '{}'", check.name);
        refuse_names(&found, &what, ErrorKind::CheckConstraintFunction, false)?;
        if found.columns.iter().any(is_auto) {
            return Err(SqlError::new(
                ErrorKind::CheckConstraintAutoIncrement,
                format!("Check constraint '{}' cannot refer to an auto-increment column.", check.name),
            ));
        }
    }
    let all_enforced = TableDef {
        checks: definition
            .checks
            .iter()
            .map(|check| types::CheckDef { enforced: true, ..check.clone() })
            .collect(),
        ..definition.clone()
    };
    RowRules::of(&Arc::new(all_enforced), &Context::fixed()).map(|_| ())
}

/// `what`: how the error begins.
fn refuse_names(found: &Names, what: &str, kind: ErrorKind, may_vary: bool) -> Result<(), SqlError> {
    if found.subquery {
        return Err(SqlError::new(kind, format!("{what} contains a disallowed function: `select`.")));
    }
    if found.variable {
        return Err(SqlError::new(kind, format!("{what} cannot refer to a user or system variable.")));
    }
    let refused = |name: &&String| {
        OF_SESSION.contains(&name.as_str()) || (!may_vary && OF_TIME_AND_CHANCE.contains(&name.as_str()))
    };
    match found.functions.iter().find(refused) {
        Some(name) => {
            let name = name.to_lowercase();
            Err(SqlError::new(kind, format!("{what} contains a disallowed function: `{name}`.")))
        }
        None => Ok(()),
    }
}
