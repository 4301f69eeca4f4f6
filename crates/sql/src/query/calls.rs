//! Function calls: which function a name means and what it takes.
//!
//! Scalar functions are looked up in groups by what they are about; each brings its arguments to
//! the types of its kernel and gives the result its MySQL type.

use super::binder::{Binder, Env};
use super::calls_rounding::takes_digits;
use super::errors::{Clause, invalid_group_function};
use crate::analyzer::compare::Comparison;
use crate::analyzer::fold::call;
use crate::analyzer::typed::BIGINT;
use crate::analyzer::{Family, Typed};
use datafusion::logical_expr::{Expr, ScalarUDF};
use sqlparser::ast;
use std::sync::Arc;
use types::{ErrorKind, SqlError, SqlType};

/// The arguments of a call, counted.
#[derive(Clone)]
pub(super) struct Args {
    pub(super) name: String,
    values: Vec<Typed>,
}

impl Args {
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Refuses other numbers of arguments: 1582.
    pub(super) fn count(&self, least: usize, most: usize) -> Result<(), SqlError> {
        if (least..=most).contains(&self.values.len()) {
            return Ok(());
        }
        Err(wrong_count(&self.name))
    }

    /// All arguments, of which there must be `N`.
    pub(super) fn exactly<const N: usize>(self) -> Result<[Typed; N], SqlError> {
        self.count(N, N)?;
        // Invariant: just counted.
        self.values.try_into().map_err(|_| SqlError::internal("the arguments of a call were counted wrong"))
    }

    pub(super) fn try_map(
        self,
        mut each: impl FnMut(usize, Typed) -> Result<Typed, SqlError>,
    ) -> Result<Args, SqlError> {
        let values = self.values.into_iter().enumerate().map(|(at, value)| each(at, value));
        Ok(Args { values: values.collect::<Result<_, _>>()?, name: self.name })
    }

    pub(super) fn all(self) -> Vec<Typed> {
        self.values
    }

    /// The argument at this place, or a constant.
    pub(super) fn or(&self, at: usize, default: Typed) -> Typed {
        self.values.get(at).cloned().unwrap_or(default)
    }

    pub(super) fn get(&self, at: usize) -> Option<&Typed> {
        self.values.get(at)
    }
}

impl Binder<'_> {
    pub(super) fn function(&mut self, function: &ast::Function, env: Env<'_>) -> Result<Typed, SqlError> {
        let name = match function.name.0.as_slice() {
            [ast::ObjectNamePart::Identifier(name)] => name.value.to_ascii_uppercase(),
            _ => return Err(self.no_function(&function.name.to_string())),
        };
        if function.filter.is_some() {
            return Err(SqlError::unsupported("FILTER (WHERE ..)"));
        }
        if !function.within_group.is_empty() && !super::percentile::is_percentile(&name) {
            return Err(SqlError::unsupported(format_args!("WITHIN GROUP of {name}")));
        }
        let list = match &function.args {
            ast::FunctionArguments::None => None,
            ast::FunctionArguments::List(list) => Some(list),
            ast::FunctionArguments::Subquery(query) => {
                let value = self.scalar_subquery(query, env)?;
                return self.native_call(&name, vec![value]);
            }
        };
        if name == "VALUES" {
            return self.inserted_value(list);
        }
        if let Some(over) = &function.over {
            return self.window_function(&name, function, list, over, env);
        }
        if super::aggregates::is_aggregate(&name) {
            if !env.aggregates {
                let mut error = invalid_group_function();
                if env.clause == Clause::Where {
                    error.message.push_str("; conditions on groups belong into HAVING");
                }
                return Err(error);
            }
            return self.aggregate_function(&name, list, &function.within_group, env);
        }
        if super::aggregates::is_window_only(&name) {
            return Err(SqlError::new(
                ErrorKind::ParseError,
                format!("The window function '{name}' needs an OVER clause"),
            ));
        }
        let empty = Vec::new();
        let args = list.map_or(&empty, |list| &list.args);
        if let Some(list) = list {
            if list.duplicate_treatment.is_some() {
                return Err(SqlError::new(
                    ErrorKind::ParseError,
                    format!("DISTINCT and ALL stand only in aggregate functions, not in {name}"),
                ));
            }
            if !list.clauses.is_empty() {
                return Err(SqlError::unsupported(format_args!("clauses inside of {name}()")));
            }
        }
        let args = match args.iter().map(plain_argument).collect::<Result<Vec<_>, _>>() {
            // A misspelt COUNT(*).
            Err(_) if super::function_names::NAMES.binary_search(&name.as_str()).is_err() => {
                return Err(self.no_function(&name.to_ascii_lowercase()));
            }
            args => args?,
        };
        if let Some(value) = self.special_call(&name, &args, env)? {
            return Ok(value);
        }
        let truths: Vec<Option<bool>> = args.iter().map(|arg| truth_literal(arg)).collect();
        let mut args = if takes_digits(&name) {
            args.into_iter().map(|arg| self.with_digits(arg, env)).collect::<Result<_, _>>()?
        } else {
            self.exprs(args, env)?
        };
        if name.starts_with("JSON_") {
            // JSON has truth values; elsewhere TRUE is 1.
            for (arg, truth) in args.iter_mut().zip(truths) {
                if truth.is_some() {
                    *arg = Typed::literal(datafusion::common::ScalarValue::Boolean(truth), BIGINT);
                }
            }
        }
        self.native_call(&name, args)
    }

    /// A function of plain values.
    pub(super) fn native_call(&mut self, name: &str, values: Vec<Typed>) -> Result<Typed, SqlError> {
        let args = Args { name: name.to_string(), values };
        let args = match self.control_call(args)? {
            Ok(value) => return Ok(value),
            Err(args) => args,
        };
        let args = match self.text_call(args)? {
            Ok(value) => return Ok(value),
            Err(args) => args,
        };
        let args = match self.regexp_call(args)? {
            Ok(value) => return Ok(value),
            Err(args) => args,
        };
        let args = match self.bytes_call(args)? {
            Ok(value) => return Ok(value),
            Err(args) => args,
        };
        let args = match self.json_call(args)? {
            Ok(value) => return Ok(value),
            Err(args) => args,
        };
        let args = match self.math_call(args)? {
            Ok(value) => return Ok(value),
            Err(args) => args,
        };
        let args = match self.time_call(args)? {
            Ok(value) => return Ok(value),
            Err(args) => args,
        };
        let args = match self.series_call(args)? {
            Ok(value) => return Ok(value),
            Err(args) => args,
        };
        let args = match self.session_call(args)? {
            Ok(value) => return Ok(value),
            Err(args) => args,
        };
        Err(self.no_function(&args.name.to_ascii_lowercase()))
    }

    /// 1305, with the current database as MySQL says it.
    fn no_function(&self, name: &str) -> SqlError {
        let shown = match self.ctx.session.database {
            Some(database) if !name.contains('.') => format!("{database}.{name}"),
            _ => name.to_string(),
        };
        let mut message = format!("FUNCTION {shown} does not exist");
        let names = super::function_names::NAMES.iter().copied();
        if let Some(near) = super::errors::nearest(name, names) {
            message.push_str(&format!("; did you mean {near}()?"));
        }
        SqlError::new(ErrorKind::FunctionDoesNotExist, message)
    }

    /// Functions whose arguments are not all values: units, intervals, columns by name.
    fn special_call(
        &mut self,
        name: &str,
        args: &[&ast::Expr],
        env: Env<'_>,
    ) -> Result<Option<Typed>, SqlError> {
        match (name, args) {
            ("DATE_ADD" | "ADDDATE" | "DATE_SUB" | "SUBDATE", [date, ast::Expr::Interval(interval)]) => {
                let date = self.expr(date, env)?;
                let subtract = name.contains("SUB");
                self.add_interval(date, interval, subtract, env).map(Some)
            }
            ("DATE_ADD" | "DATE_SUB", _) => Err(SqlError::new(
                ErrorKind::ParseError,
                format!("{name} takes a date and an interval: {name}(date, INTERVAL 1 DAY)"),
            )),
            ("TIME_BUCKET", [ast::Expr::Interval(interval), values @ ..]) => {
                self.interval_bucket(interval, values, env).map(Some)
            }
            ("ROUND" | "TRUNCATE" | "FLOOR" | "CEIL" | "CEILING", [value, more @ ..]) => {
                self.rounding_call(name, value, more, env).map(Some)
            }
            ("DEFAULT", [column]) => self.default_value(column, env).map(Some),
            ("TIMESTAMPDIFF" | "TIMESTAMPADD", [unit, first, second]) => {
                let unit = unit_name(unit)?;
                let (first, second) = (self.expr(first, env)?, self.expr(second, env)?);
                if name == "TIMESTAMPADD" {
                    return self.move_date(second, first, unit, false).map(Some);
                }
                self.timestamp_diff(unit, first, second).map(Some)
            }
            ("GET_FORMAT", [kind, format]) => {
                let kind = kind.to_string().to_ascii_uppercase();
                let format = self.expr(format, env)?;
                get_format(&kind, format.as_text_literal().unwrap_or_default()).map(Some)
            }
            ("VALUES", _) => Err(SqlError::unsupported("VALUES() outside of ON DUPLICATE KEY UPDATE")),
            ("CONVERT", _) => Err(SqlError::unsupported("this form of CONVERT")),
            _ => Ok(None),
        }
    }

    /// IF, IFNULL, NULLIF, COALESCE, GREATEST, LEAST, ISNULL, INTERVAL.
    fn control_call(&mut self, args: Args) -> Result<Result<Typed, Args>, SqlError> {
        Ok(Ok(match args.name.as_str() {
            "IF" => {
                let [test, then, otherwise] = args.exactly()?;
                let test = self.rules.condition(test)?;
                self.choose(vec![test], vec![then, otherwise])?
            }
            "IFNULL" | "NVL" => {
                args.count(2, 2)?;
                self.coalesce(args.all())?
            }
            "COALESCE" => {
                args.count(1, usize::MAX)?;
                self.coalesce(args.all())?
            }
            "NULLIF" => {
                let [value, other] = args.exactly()?;
                let equal = self.rules.compare(Comparison::Equal, self.rules.copy(&value)?, other)?;
                let null = Typed::typed_null(value.ty, value.arrow.clone());
                self.choose(vec![equal], vec![null, value])?
            }
            "NAME_CONST" => {
                let [_, value] = args.exactly()?;
                value
            }
            "ISNULL" => {
                let [value] = args.exactly()?;
                Typed::boolean(Expr::IsNull(Box::new(value.expr)), false)
            }
            "GREATEST" | "LEAST" => {
                args.count(2, usize::MAX)?;
                let greatest = args.name == "GREATEST";
                let args_name = args.name.clone();
                let (values, ty, arrow) = self.rules.unify(args.all())?;
                if arrow == arrow::datatypes::DataType::Null {
                    return Ok(Ok(Typed::null()));
                }
                let udf = if greatest {
                    crate::functions::math::greatest()
                } else {
                    crate::functions::math::least()
                };
                let operation = args_name.to_ascii_lowercase();
                self.rules.extreme(&operation, values, ty, |values| {
                    let ty = if values[0].family() == Family::Text { ty } else { values[0].ty };
                    call(udf, values, ty)
                })?
            }
            "INTERVAL" => {
                args.count(2, usize::MAX)?;
                let values =
                    args.all().into_iter().map(|value| self.rules.double(value)).collect::<Result<_, _>>()?;
                call(crate::functions::math::interval_position(), values, BIGINT)?
            }
            "ANY_VALUE" => return Err(invalid_group_function()),
            _ => return Ok(Err(args)),
        }))
    }

    /// The first value that is not NULL.
    fn coalesce(&mut self, values: Vec<Typed>) -> Result<Typed, SqlError> {
        let mut kept: Vec<Typed> = Vec::with_capacity(values.len());
        let (values, ty, arrow) = self.rules.unify(values)?;
        for value in values {
            if value.is_null_literal() {
                continue;
            }
            let last = !value.nullable;
            kept.push(value);
            if last {
                break;
            }
        }
        let Some(otherwise) = kept.pop() else { return Ok(Typed::typed_null(ty, arrow)) };
        let nullable = otherwise.nullable;
        let tests = kept
            .iter()
            .map(|value| {
                let test = Expr::IsNotNull(Box::new(self.rules.copy(value)?.expr));
                Ok(Typed::boolean(test, false))
            })
            .collect::<Result<Vec<_>, SqlError>>()?;
        if tests.is_empty() {
            return Ok(Typed { ty, ..otherwise });
        }
        kept.push(otherwise);
        let chosen = self.choose(tests, kept)?;
        Ok(Typed { ty, nullable, ..chosen })
    }

    /// A kernel over arguments that are brought to it already.
    pub(super) fn kernel(
        &self,
        udf: Arc<ScalarUDF>,
        args: Vec<Typed>,
        ty: SqlType,
    ) -> Result<Result<Typed, Args>, SqlError> {
        call(udf, args, ty).map(Ok)
    }
}

fn truth_literal(expr: &ast::Expr) -> Option<bool> {
    match expr {
        ast::Expr::Value(value) => match value.value {
            ast::Value::Boolean(truth) => Some(truth),
            _ => None,
        },
        _ => None,
    }
}

fn get_format(kind: &str, name: &str) -> Result<Typed, SqlError> {
    let name = name.to_ascii_uppercase();
    let format = match (kind, name.as_str()) {
        ("DATE", "USA") => "%m.%d.%Y",
        ("DATE", "JIS" | "ISO") => "%Y-%m-%d",
        ("DATE", "EUR") => "%d.%m.%Y",
        ("DATE", "INTERNAL") => "%Y%m%d",
        ("DATETIME" | "TIMESTAMP", "USA" | "EUR") => "%Y-%m-%d %H.%i.%s",
        ("DATETIME" | "TIMESTAMP", "JIS" | "ISO") => "%Y-%m-%d %H:%i:%s",
        ("DATETIME" | "TIMESTAMP", "INTERNAL") => "%Y%m%d%H%i%s",
        ("TIME", "USA") => "%h:%i:%s %p",
        ("TIME", "JIS" | "ISO") => "%H:%i:%s",
        ("TIME", "EUR") => "%H.%i.%s",
        ("TIME", "INTERNAL") => "%H%i%s",
        _ => return Ok(Typed::null()),
    };
    Ok(Typed::text(format))
}

/// The expression of an argument; `*` and named arguments are none.
pub(super) fn wrong_count(name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::WrongNumberOfArguments,
        format!("Incorrect parameter count in the call to native function '{name}'"),
    )
}

pub(super) fn plain_argument(arg: &ast::FunctionArg) -> Result<&ast::Expr, SqlError> {
    match arg {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Ok(expr),
        other => {
            Err(SqlError::new(ErrorKind::ParseError, format!("'{other}' is no argument of this function")))
        }
    }
}

fn unit_name(expr: &ast::Expr) -> Result<crate::functions::interval::Unit, SqlError> {
    let name = match expr {
        ast::Expr::Identifier(name) => name.value.clone(),
        other => other.to_string(),
    };
    crate::functions::interval::Unit::parse(&name)
        .filter(|unit| !unit.is_composite())
        .ok_or_else(|| SqlError::new(ErrorKind::ParseError, format!("'{name}' is not a unit of time")))
}
