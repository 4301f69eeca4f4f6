//! Aggregate and window functions.

use super::aggregate::any_value;
use super::binder::{Binder, Env};
use super::calls::plain_argument;
use super::context::VariableScope;
use super::errors::invalid_group_function;
use super::window::Window;
use crate::analyzer::collated::by_key;
use crate::analyzer::convert::order_value;
use crate::analyzer::fold::{call, cast};
use crate::analyzer::typed::{BIGINT, BIGINT_UNSIGNED};
use crate::analyzer::{Collated, Family, Typed};
use crate::functions::arithmetic::average_udf;
use crate::functions::sum::{sum, sum_type};
use crate::functions::{json, list, row_key, text};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::utils::expr::COUNT_STAR_EXPANSION;
use datafusion::functions_aggregate::{
    approx_distinct::approx_distinct_udaf,
    array_agg::array_agg_udaf,
    bit_and_or_xor::{bit_and_udaf, bit_or_udaf, bit_xor_udaf},
    count::count_udaf,
    grouping::grouping_udaf,
    median::median_udaf,
    min_max::{max_udaf, min_udaf},
    stddev::{stddev_pop_udaf, stddev_udaf},
    string_agg::string_agg_udaf,
    variance::{var_pop_udaf, var_samp_udaf},
};
use datafusion::functions_window::{
    cume_dist::cume_dist_udwf,
    lead_lag::{lag_udwf, lead_udwf},
    nth_value::{first_value_udwf, last_value_udwf, nth_value_udwf},
    ntile::ntile_udwf,
    rank::{dense_rank_udwf, percent_rank_udwf, rank_udwf},
    row_number::row_number_udwf,
};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{AggregateUDF, Expr, SortExpr, WindowFunctionDefinition, WindowUDF};
use sqlparser::ast;
use std::sync::Arc;
use types::sql_type::LobSize;
use types::{Collation, ErrorKind, SqlError, SqlType, Value};

/// MySQL's default of group_concat_max_len.
const DEFAULT_CONCAT_LIMIT: i64 = 1024;

const AGGREGATES: &[&str] = &[
    "COUNT",
    "SUM",
    "AVG",
    "MIN",
    "MAX",
    "GROUP_CONCAT",
    "BIT_AND",
    "BIT_OR",
    "BIT_XOR",
    "STD",
    "STDDEV",
    "STDDEV_POP",
    "STDDEV_SAMP",
    "VARIANCE",
    "VAR_POP",
    "VAR_SAMP",
    "ANY_VALUE",
    "APPROX_COUNT_DISTINCT",
    "JSON_ARRAYAGG",
    "JSON_OBJECTAGG",
    "MEDIAN",
    "PERCENTILE_CONT",
    "PERCENTILE_DISC",
    "FIRST",
    "LAST",
    "GROUPING",
];

const WINDOW_ONLY: &[&str] = &[
    "ROW_NUMBER",
    "RANK",
    "DENSE_RANK",
    "PERCENT_RANK",
    "CUME_DIST",
    "NTILE",
    "LAG",
    "LEAD",
    "FIRST_VALUE",
    "LAST_VALUE",
    "NTH_VALUE",
];

pub(super) fn is_aggregate(name: &str) -> bool {
    AGGREGATES.contains(&name)
}

pub(super) fn is_window_only(name: &str) -> bool {
    WINDOW_ONLY.contains(&name)
}

/// How an aggregate of some arguments is computed: over groups or over a window.
pub(super) struct Frame {
    pub(super) distinct: bool,
    /// ORDER BY within GROUP_CONCAT; the time of FIRST and LAST.
    pub(super) order: Vec<SortExpr>,
    pub(super) window: Option<Window>,
}

impl Frame {
    pub(super) fn aggregate(&self, func: Arc<AggregateUDF>, args: Vec<Expr>) -> Result<Expr, SqlError> {
        match &self.window {
            None => Ok(Expr::AggregateFunction(AggregateFunction::new_udf(
                func,
                args,
                self.distinct,
                None,
                self.order.clone(),
                None,
            ))),
            Some(_) if self.distinct => Err(SqlError::unsupported("DISTINCT in a window function")),
            Some(window) => Ok(window.call(WindowFunctionDefinition::AggregateUDF(func), args, None)),
        }
    }
}

impl Binder<'_> {
    pub(super) fn aggregate_function(
        &mut self,
        name: &str,
        list: Option<&ast::FunctionArgumentList>,
        within: &[ast::OrderByExpr],
        env: Env<'_>,
    ) -> Result<Typed, SqlError> {
        self.aggregate_over(name, list, within, None, env)
    }

    fn aggregate_over(
        &mut self,
        name: &str,
        list: Option<&ast::FunctionArgumentList>,
        within: &[ast::OrderByExpr],
        window: Option<Window>,
        env: Env<'_>,
    ) -> Result<Typed, SqlError> {
        // Of a window, aggregates are fine as arguments; of an aggregate, they are not. Names mean columns
        // before aliases.
        let inner = Env {
            aggregates: window.is_some() && env.aggregates,
            windows: false,
            aliases_first: false,
            ..env
        };
        let empty = Vec::new();
        let raw = list.map_or(&empty, |list| &list.args);
        let distinct =
            list.is_some_and(|list| list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct));
        let mut frame = Frame { distinct, order: Vec::new(), window };
        if name == "COUNT"
            && let [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard)] = raw.as_slice()
        {
            return self.count_rows(&frame);
        }
        let args = raw.iter().map(plain_argument).collect::<Result<Vec<_>, _>>()?;
        let (args, seen) = match args.as_slice() {
            [arg]
                if matches!(name, "SUM" | "AVG") && env.one_group && !distinct && frame.window.is_none() =>
            {
                let operand = self.operand(arg, inner)?;
                let (arg, seen) = self.rules.summand(operand)?;
                (vec![arg], seen)
            }
            _ => (self.exprs(args, inner)?, None),
        };
        if args.iter().any(|arg| !inner.aggregates && super::aggregate::has_aggregate(&arg.expr)) {
            return Err(invalid_group_function());
        }
        let clauses = list.map(|list| list.clauses.as_slice()).unwrap_or_default();
        if name == "GROUP_CONCAT" {
            if args.is_empty() {
                return Err(wrong_count(name));
            }
            return self.group_concat(args, clauses, frame, inner);
        }
        if !clauses.is_empty() {
            return Err(SqlError::unsupported(format_args!("clauses inside of {name}()")));
        }
        if name == "COUNT" {
            return self.count(args, frame);
        }
        if name == "JSON_ARRAYAGG" || name == "JSON_OBJECTAGG" {
            return self.json_aggregate(name, args, frame);
        }
        if super::percentile::is_percentile(name) {
            return self.percentile(name, args, within, frame, inner);
        }
        if name == "FIRST" || name == "LAST" {
            return self.edge_in_time(name, args, frame);
        }
        let wrong = || wrong_count(name);
        if name == "GROUPING" {
            let [arg] = <[Typed; 1]>::try_from(args).map_err(|_| wrong())?;
            let expr = frame.aggregate(grouping_udaf(), vec![arg.expr])?;
            return Ok(Typed {
                expr,
                ty: BIGINT,
                arrow: DataType::Int32,
                nullable: false,
                collation: Collated::NUMBER,
            });
        }
        let [arg] = <[Typed; 1]>::try_from(args).map_err(|_| wrong())?;
        match name {
            "SUM" => match seen {
                Some(seen) => {
                    let total = self.sum(arg, &frame)?;
                    self.rules.sum_seen(total, seen)
                }
                None => self.sum(arg, &frame),
            },
            "AVG" => match seen {
                Some(seen) => {
                    let total = self.sum(arg.clone(), &frame)?;
                    let count = self.count(vec![arg], Frame { distinct, order: Vec::new(), window: None })?;
                    self.rules.average_seen(total, count, seen)
                }
                None => self.average(arg, &frame),
            },
            "MIN" | "MAX" => {
                // The same with and without DISTINCT.
                frame.distinct = false;
                // The greatest of an ENUM is the greatest of its texts.
                let ty = match arg.ty.labels() {
                    Some(_) => crate::analyzer::typed::text_type(arg.characters()),
                    None => arg.ty,
                };
                let func = if name == "MIN" { min_udaf() } else { max_udaf() };
                self.rules.extreme(name, vec![arg], ty, |mut values| {
                    let arg = values.pop().unwrap_or_else(Typed::null);
                    let ty = if arg.family() == Family::Text { ty } else { arg.ty };
                    let expr = frame.aggregate(func, vec![arg.expr])?;
                    Ok(Typed { expr, ty, arrow: arg.arrow, nullable: true, collation: arg.collation })
                })
            }
            "ANY_VALUE" => {
                let expr = any_value(arg.expr.clone());
                Ok(Typed { expr, nullable: true, ..arg })
            }
            "BIT_AND" => self.bit_aggregate(bit_and_udaf(), arg, u64::MAX, &frame),
            "BIT_OR" => self.bit_aggregate(bit_or_udaf(), arg, 0, &frame),
            "BIT_XOR" => self.bit_aggregate(bit_xor_udaf(), arg, 0, &frame),
            "STD" | "STDDEV" | "STDDEV_POP" => self.moment_of_doubles(stddev_pop_udaf(), arg, &frame),
            "STDDEV_SAMP" => self.moment_of_doubles(stddev_udaf(), arg, &frame),
            "VARIANCE" | "VAR_POP" => self.moment_of_doubles(var_pop_udaf(), arg, &frame),
            "VAR_SAMP" => self.moment_of_doubles(var_samp_udaf(), arg, &frame),
            "MEDIAN" => self.moment_of_doubles(median_udaf(), arg, &frame),
            _ => {
                let arg = self.rules.group_value(arg)?;
                let expr = frame.aggregate(approx_distinct_udaf(), vec![arg.expr])?;
                let counted = Typed {
                    expr,
                    ty: BIGINT_UNSIGNED,
                    arrow: DataType::UInt64,
                    nullable: false,
                    collation: Collated::NUMBER,
                };
                Ok(cast(counted, DataType::Int64, BIGINT))
            }
        }
    }

    fn count_rows(&mut self, frame: &Frame) -> Result<Typed, SqlError> {
        let expr = frame.aggregate(count_udaf(), vec![Expr::Literal(COUNT_STAR_EXPANSION, None)])?;
        Ok(Typed { expr, ty: BIGINT, arrow: DataType::Int64, nullable: false, collation: Collated::NUMBER })
    }

    fn count(&mut self, mut args: Vec<Typed>, frame: Frame) -> Result<Typed, SqlError> {
        if args.is_empty() || (args.len() > 1 && !frame.distinct) {
            return Err(wrong_count("COUNT"));
        }
        if frame.distinct {
            args = args.into_iter().map(|arg| self.rules.group_value(arg)).collect::<Result<_, _>>()?;
        }
        let arg = if args.len() == 1 {
            args.remove(0)
        } else {
            call(row_key::row_key(), args, SqlType::Blob(LobSize::Long))?
        };
        // A value that is never NULL counts like its row.
        if !frame.distinct && !arg.nullable {
            return self.count_rows(&frame);
        }
        let expr = frame.aggregate(count_udaf(), vec![arg.expr])?;
        Ok(Typed { expr, ty: BIGINT, arrow: DataType::Int64, nullable: false, collation: Collated::NUMBER })
    }

    /// A number of a kind that SUM adds up.
    fn summand(&mut self, value: Typed) -> Result<Typed, SqlError> {
        let value = self.rules.number(value)?;
        match value.family() {
            Family::Float => self.rules.double(value),
            _ => Ok(value),
        }
    }

    fn sum(&mut self, arg: Typed, frame: &Frame) -> Result<Typed, SqlError> {
        let arg = self.summand(arg)?;
        let arrow =
            sum_type(&arg.arrow).ok_or_else(|| SqlError::internal("SUM of a value that is no number"))?;
        let ty = match &arrow {
            DataType::Decimal128(precision, scale) => {
                SqlType::Decimal { precision: *precision, scale: *scale as u8 }
            }
            _ => SqlType::Double,
        };
        let expr = frame.aggregate(sum(), vec![arg.expr])?;
        Ok(Typed { expr, ty, arrow, nullable: true, collation: Collated::NUMBER })
    }

    /// The sum divided by the count: exact, rounded once, and shared with SUM and COUNT beside it.
    fn average(&mut self, arg: Typed, frame: &Frame) -> Result<Typed, SqlError> {
        let arg = self.summand(arg)?;
        let (p, s) = match &arg.arrow {
            DataType::Float64 => (0, 0),
            _ => crate::analyzer::unify::decimal_of(&Typed { expr: Expr::default(), ..arg.clone() }),
        };
        let total = self.sum(arg.clone(), frame)?;
        let count = self.count(
            vec![arg],
            Frame { distinct: frame.distinct, order: Vec::new(), window: frame.window.clone() },
        )?;
        let ty = match &total.arrow {
            DataType::Float64 => SqlType::Double,
            _ => {
                let scale = (s + 4).min(30).max(s);
                SqlType::Decimal { precision: (p + scale - s).min(SqlType::MAX_PRECISION), scale }
            }
        };
        call(average_udf(), vec![total, count], ty)
    }

    fn bit_aggregate(
        &mut self,
        func: Arc<AggregateUDF>,
        arg: Typed,
        empty: u64,
        frame: &Frame,
    ) -> Result<Typed, SqlError> {
        let arg = self.rules.unsigned(arg)?;
        let expr = frame.aggregate(func, vec![arg.expr])?;
        let value = Typed {
            expr,
            ty: BIGINT_UNSIGNED,
            arrow: DataType::UInt64,
            nullable: true,
            collation: Collated::NUMBER,
        };
        self.native_call("COALESCE", vec![value, Typed::uint(empty)])
    }

    pub(super) fn moment_of_doubles(
        &mut self,
        func: Arc<AggregateUDF>,
        arg: Typed,
        frame: &Frame,
    ) -> Result<Typed, SqlError> {
        let arg = self.rules.double(arg)?;
        let expr = frame.aggregate(func, vec![arg.expr])?;
        Ok(Typed {
            expr,
            ty: SqlType::Double,
            arrow: DataType::Float64,
            nullable: true,
            collation: Collated::NUMBER,
        })
    }

    fn group_concat(
        &mut self,
        args: Vec<Typed>,
        clauses: &[ast::FunctionArgumentClause],
        mut frame: Frame,
        env: Env<'_>,
    ) -> Result<Typed, SqlError> {
        if frame.window.is_some() {
            return Err(SqlError::unsupported("GROUP_CONCAT as a window function"));
        }
        // It keeps its values in columns, where a BIT is a number.
        let args: Vec<Typed> = args.into_iter().map(Typed::into_kept).collect();
        let (value, raw) = match <[Typed; 1]>::try_from(args) {
            Ok([value]) => (self.rules.text(value.clone())?, Some(value)),
            Err(args) => {
                let args = args.into_iter().map(|arg| self.rules.text(arg)).collect::<Result<Vec<_>, _>>()?;
                (call(text::concat(), args, SqlType::Text(LobSize::Long))?, None)
            }
        };
        let collation = self.rules.collation(&value);
        let mut separator = ",".to_string();
        for clause in clauses {
            match clause {
                ast::FunctionArgumentClause::Separator(value) => match &value.value {
                    ast::Value::SingleQuotedString(text) | ast::Value::DoubleQuotedString(text) => {
                        separator.clone_from(text);
                    }
                    other => return Err(SqlError::unsupported(format_args!("SEPARATOR {other}"))),
                },
                ast::FunctionArgumentClause::OrderBy(keys) => {
                    for key in keys {
                        super::select::refuse_order_options(key)?;
                        let ascending = key.options.asc.unwrap_or(true);
                        let expr = match super::select::ordinal(&key.expr) {
                            Some(1) => order_value(value.clone(), collation)?.expr,
                            Some(_) => {
                                return Err(SqlError::unsupported("places in ORDER BY of GROUP_CONCAT"));
                            }
                            None => self.order_value(&key.expr, env)?.expr,
                        };
                        frame.order.push(SortExpr::new(expr, ascending, ascending));
                    }
                }
                other => return Err(SqlError::unsupported(format_args!("{other} in GROUP_CONCAT"))),
            }
        }
        let limit = self.concat_limit();
        if frame.distinct && by_key(&value.arrow, value.ty, collation) {
            return self.unequal_list(value, collation, &separator, limit, frame);
        }
        if frame.distinct && frame.order.iter().any(|key| key.expr != value.expr) {
            return match (raw, frame.order.as_slice()) {
                (Some(raw), [key]) if key.expr == raw.expr => {
                    self.distinct_list(raw, &separator, limit, &frame)
                }
                _ => Err(SqlError::unsupported("GROUP_CONCAT(DISTINCT ..) ordered by something else")),
            };
        }
        let separator = Typed::text(separator);
        let concatenated = value.collated();
        let expr = frame.aggregate(string_agg_udaf(), vec![value.expr, separator.expr.clone()])?;
        let ty = SqlType::Text(LobSize::Long);
        let joined = Typed { expr, ty, arrow: DataType::LargeUtf8, nullable: true, collation: concatenated };
        let joined = cast(joined, DataType::Utf8View, ty);
        call(text::cut_list(), vec![joined, Typed::int(limit), separator], ty)
    }

    /// Bytes that GROUP_CONCAT may give: group_concat_max_len.
    fn concat_limit(&self) -> i64 {
        match self.ctx.session.variables.system(VariableScope::Any, "group_concat_max_len") {
            Ok(Value::UInt(bytes)) => i64::try_from(bytes).unwrap_or(i64::MAX),
            Ok(Value::Int(bytes)) => bytes,
            _ => DEFAULT_CONCAT_LIMIT,
        }
    }

    /// GROUP_CONCAT of distinct values in their own order, which need not be that of their texts.
    fn distinct_list(
        &mut self,
        value: Typed,
        separator: &str,
        limit: i64,
        frame: &Frame,
    ) -> Result<Typed, SqlError> {
        let ty = SqlType::Text(LobSize::Long);
        let value = self.rules.local(value)?;
        let digits = Typed::int(i64::from(value.fsp()));
        let arrow = DataType::new_list(value.arrow.clone(), true);
        let expr = frame.aggregate(array_agg_udaf(), vec![value.expr])?;
        let list = Typed { expr, ty, arrow, nullable: true, collation: Collated::NUMBER };
        let joined = call(list::join_list(), vec![list, Typed::text(separator), digits], ty)?;
        call(text::cut_list(), vec![joined, Typed::int(limit), Typed::text(separator)], ty)
    }

    /// GROUP_CONCAT of distinct texts where different ones may be equal: of those the first is shown.
    fn unequal_list(
        &mut self,
        value: Typed,
        collation: Collation,
        separator: &str,
        limit: i64,
        mut frame: Frame,
    ) -> Result<Typed, SqlError> {
        let (ty, collated) = (SqlType::Text(LobSize::Long), value.collated());
        frame.distinct = false;
        let arrow = DataType::new_list(value.arrow.clone(), true);
        let expr = frame.aggregate(array_agg_udaf(), vec![value.expr])?;
        let list = Typed { expr, ty, arrow, nullable: true, collation: Collated::NUMBER };
        let name = Typed::text(collation.name());
        let joined = call(list::join_unequal(), vec![list, Typed::text(separator), name], ty)?;
        let cut = call(text::cut_list(), vec![joined, Typed::int(limit), Typed::text(separator)], ty)?;
        Ok(Typed { collation: collated, ..cut })
    }

    /// JSON_ARRAYAGG and JSON_OBJECTAGG: the pieces are written first, joined by the aggregate, and put
    /// into brackets. No rows give NULL.
    fn json_aggregate(&mut self, name: &str, args: Vec<Typed>, frame: Frame) -> Result<Typed, SqlError> {
        if frame.window.is_some() {
            return Err(SqlError::unsupported(format_args!("{name} as a window function")));
        }
        if frame.distinct {
            return Err(SqlError::new(ErrorKind::ParseError, format!("{name} takes no DISTINCT")));
        }
        let wrong = || {
            SqlError::new(
                ErrorKind::WrongNumberOfArguments,
                format!("Incorrect parameter count in the call to native function '{name}'"),
            )
        };
        let is_array = name == "JSON_ARRAYAGG";
        let piece = if is_array {
            let [value] = <[Typed; 1]>::try_from(args).map_err(|_| wrong())?;
            self.json_value(value)?
        } else {
            let [key, value] = <[Typed; 2]>::try_from(args).map_err(|_| wrong())?;
            let values = vec![self.rules.text(key)?, self.json_value(value)?];
            call(json::json_member(), values, SqlType::Json)?
        };
        let separator = Expr::Literal(ScalarValue::Utf8View(Some(", ".to_string())), None);
        let expr = frame.aggregate(string_agg_udaf(), vec![piece.expr, separator])?;
        let joined = Typed {
            expr,
            ty: SqlType::Json,
            arrow: DataType::LargeUtf8,
            nullable: true,
            collation: Collated::NUMBER,
        };
        let joined = cast(joined, DataType::Utf8View, SqlType::Json);
        let (open, close) = if is_array { ("[", "]") } else { ("{", "}") };
        let document =
            call(text::concat(), vec![Typed::text(open), joined, Typed::text(close)], SqlType::Json)?;
        // The members of an object are yet to be put in order.
        if is_array { Ok(document) } else { call(json::json_normal(), vec![document], SqlType::Json) }
    }

    pub(super) fn window_function(
        &mut self,
        name: &str,
        function: &ast::Function,
        list: Option<&ast::FunctionArgumentList>,
        over: &ast::WindowType,
        env: Env<'_>,
    ) -> Result<Typed, SqlError> {
        if !env.windows {
            return Err(SqlError::new(
                ErrorKind::WindowInvalidUse,
                format!(
                    "You cannot use the window function '{}' in this context.'",
                    name.to_ascii_lowercase()
                ),
            ));
        }
        match function.null_treatment {
            None | Some(ast::NullTreatment::RespectNulls) => {}
            Some(ast::NullTreatment::IgnoreNulls) => return Err(SqlError::unsupported("IGNORE NULLS")),
        }
        let inner = Env { windows: false, ..env };
        let window = self.window(over, inner)?;
        if is_aggregate(name) {
            return self.aggregate_over(name, list, &function.within_group, Some(window), env);
        }
        if !is_window_only(name) {
            return Err(SqlError::new(ErrorKind::ParseError, format!("'{name}' takes no OVER clause")));
        }
        let empty = Vec::new();
        let args = list.map_or(&empty, |list| &list.args);
        let args = args.iter().map(plain_argument).collect::<Result<Vec<_>, _>>()?;
        let args = self.exprs(args, inner)?;
        self.ranking(name, args, &window)
    }

    fn ranking(&mut self, name: &str, args: Vec<Typed>, window: &Window) -> Result<Typed, SqlError> {
        let (least, most) = match name {
            "NTILE" | "FIRST_VALUE" | "LAST_VALUE" => (1, 1),
            "LAG" | "LEAD" => (1, 3),
            "NTH_VALUE" => (2, 2),
            _ => (0, 0),
        };
        if !(least..=most).contains(&args.len()) {
            return Err(SqlError::new(
                ErrorKind::WrongNumberOfArguments,
                format!("Incorrect parameter count in the call to native function '{name}'"),
            ));
        }
        let plain = |udwf: Arc<WindowUDF>, args: Vec<Expr>| {
            window.call(WindowFunctionDefinition::WindowUDF(udwf), args, None)
        };
        let counted = |udwf| {
            Ok(Typed {
                expr: plain(udwf, Vec::new()),
                ty: BIGINT_UNSIGNED,
                arrow: DataType::UInt64,
                nullable: false,
                collation: Collated::NUMBER,
            })
        };
        let share = |udwf| {
            Ok(Typed {
                expr: plain(udwf, Vec::new()),
                ty: SqlType::Double,
                arrow: DataType::Float64,
                nullable: false,
                collation: Collated::NUMBER,
            })
        };
        match name {
            "ROW_NUMBER" => counted(row_number_udwf()),
            "RANK" => counted(rank_udwf()),
            "DENSE_RANK" => counted(dense_rank_udwf()),
            "PERCENT_RANK" => share(percent_rank_udwf()),
            "CUME_DIST" => share(cume_dist_udwf()),
            "NTILE" => {
                let buckets = constant_number(name, &args[0], 1)?;
                let buckets = Expr::Literal(ScalarValue::UInt64(Some(buckets as u64)), None);
                Ok(Typed {
                    expr: plain(ntile_udwf(), vec![buckets]),
                    ty: BIGINT_UNSIGNED,
                    arrow: DataType::UInt64,
                    nullable: false,
                    collation: Collated::NUMBER,
                })
            }
            "LAG" | "LEAD" => {
                let mut args = args.into_iter();
                let value = args.next().unwrap_or_else(Typed::null);
                let offset = match args.next() {
                    Some(offset) => constant_number(name, &offset, 0)?,
                    None => 1,
                };
                let (value, default) = match args.next() {
                    None => (value, None),
                    Some(default) => {
                        let (mut values, ty, _) = self.rules.unify(vec![value, default])?;
                        let default = values.pop().unwrap_or_else(Typed::null);
                        let value = values.pop().unwrap_or_else(Typed::null);
                        if default.as_literal().is_none() {
                            return Err(SqlError::unsupported(format_args!(
                                "a default of {name} that is no constant"
                            )));
                        }
                        (Typed { ty, ..value }, Some(default.expr))
                    }
                };
                let nullable = default.is_none() || value.nullable;
                let offset = Expr::Literal(ScalarValue::Int64(Some(offset)), None);
                let mut exprs = vec![value.expr.clone(), offset];
                exprs.extend(default);
                let udwf = if name == "LAG" { lag_udwf() } else { lead_udwf() };
                Ok(Typed { expr: plain(udwf, exprs), nullable, ..value })
            }
            "NTH_VALUE" => {
                let mut args = args.into_iter();
                let (value, place) = (args.next().unwrap_or_else(Typed::null), args.next());
                let place = constant_number(name, &place.unwrap_or_else(Typed::null), 1)?;
                let place = Expr::Literal(ScalarValue::Int64(Some(place)), None);
                let expr = plain(nth_value_udwf(), vec![value.expr.clone(), place]);
                Ok(Typed { expr, nullable: true, ..value })
            }
            _ => {
                let value = args.into_iter().next().unwrap_or_else(Typed::null);
                let udwf = if name == "FIRST_VALUE" { first_value_udwf() } else { last_value_udwf() };
                let expr = plain(udwf, vec![value.expr.clone()]);
                Ok(Typed { expr, nullable: true, ..value })
            }
        }
    }

    /// What an expression is put into order by.
    pub(super) fn order_value(&mut self, expr: &ast::Expr, env: Env<'_>) -> Result<Typed, SqlError> {
        let value = self.expr(expr, env)?;
        let collation = self.rules.collation(&value);
        order_value(value, collation)
    }
}

/// Aggregate functions are part of MySQL's grammar: 1064.
pub(super) fn wrong_count(name: &str) -> SqlError {
    SqlError::new(ErrorKind::ParseError, format!("Incorrect parameter count in the call to '{name}'"))
}

fn constant_number(name: &str, value: &Typed, least: i64) -> Result<i64, SqlError> {
    value
        .as_integer_literal()
        .and_then(|number| i64::try_from(number).ok())
        .filter(|number| *number >= least)
        .ok_or_else(|| {
            SqlError::new(
                ErrorKind::WrongArguments,
                format!("Incorrect arguments to {}", name.to_ascii_lowercase()),
            )
        })
}
