//! PERCENTILE_CONT and PERCENTILE_DISC; FIRST and LAST, the values at the least and at the greatest time.

use super::aggregates::{Frame, wrong_count};
use super::binder::{Binder, Env};
use crate::analyzer::collated::by_key;
use crate::analyzer::{Collated, Family, Typed};
use crate::functions::percentile::{percentile_cont, percentile_disc};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::first_last::{first_value_udaf, last_value_udaf};
use datafusion::logical_expr::{Expr, SortExpr, WindowFrame};
use sqlparser::ast;
use types::{ErrorKind, SqlError, SqlType};

pub(super) fn is_percentile(name: &str) -> bool {
    matches!(name, "PERCENTILE_CONT" | "PERCENTILE_DISC")
}

impl Binder<'_> {
    /// `PERCENTILE_CONT(fraction) WITHIN GROUP (ORDER BY value)`, over groups or over the partitions of a window.
    pub(super) fn percentile(
        &mut self,
        name: &str,
        args: Vec<Typed>,
        within: &[ast::OrderByExpr],
        frame: Frame,
        env: Env<'_>,
    ) -> Result<Typed, SqlError> {
        let [fraction] = <[Typed; 1]>::try_from(args).map_err(|_| wrong_count(name))?;
        let [key] = within else {
            return Err(SqlError::new(
                ErrorKind::ParseError,
                format!("{name} takes one value to order by: {name}(0.5) WITHIN GROUP (ORDER BY value)"),
            ));
        };
        if frame.distinct {
            return Err(SqlError::new(ErrorKind::ParseError, format!("{name} takes no DISTINCT")));
        }
        if frame.window.as_ref().is_some_and(|window| !window.order_by.is_empty()) {
            return Err(SqlError::unsupported(format_args!("ORDER BY in the window of {name}")));
        }
        if frame.window.as_ref().is_some_and(|window| window.frame != WindowFrame::new(None)) {
            return Err(SqlError::unsupported(format_args!("a frame in the window of {name}")));
        }
        super::select::refuse_order_options(key)?;
        let fraction = match self.rules.double(fraction)?.as_literal() {
            Some(ScalarValue::Float64(Some(fraction))) if (0.0..=1.0).contains(fraction) => *fraction,
            _ => {
                return Err(SqlError::new(
                    ErrorKind::WrongArguments,
                    format!(
                        "Incorrect arguments to {}; the fraction is a constant from 0 to 1",
                        name.to_ascii_lowercase()
                    ),
                ));
            }
        };
        let constant = |value| Expr::Literal(ScalarValue::Float64(Some(value)), None);
        let ascending = key.options.asc.unwrap_or(true);
        let descending = Expr::Literal(ScalarValue::Boolean(Some(!ascending)), None);
        let value = self.expr(&key.expr, env)?;
        if name == "PERCENTILE_CONT" {
            if !value.family().is_numeric() && value.family() != Family::Null {
                return Err(SqlError::unsupported("PERCENTILE_CONT of values that are no numbers"));
            }
            let value = self.rules.double(value)?;
            let expr =
                frame.aggregate(percentile_cont(), vec![value.expr, constant(fraction), descending])?;
            return Ok(Typed {
                expr,
                ty: SqlType::Double,
                arrow: DataType::Float64,
                nullable: true,
                collation: Collated::NUMBER,
            });
        }
        let value = match value.family() {
            Family::Boolean | Family::Null => self.rules.signed(value)?,
            _ => value,
        };
        let collation = self.rules.collation(&value);
        if by_key(&value.arrow, value.ty, collation) || value.ty.labels().is_some() {
            return Err(SqlError::unsupported("PERCENTILE_DISC of texts in an order of their own"));
        }
        let args = vec![value.expr.clone(), constant(fraction), descending];
        let expr = frame.aggregate(percentile_disc(), args)?;
        Ok(Typed { expr, nullable: true, ..value })
    }

    /// FIRST(value, time) and LAST(value, time). Rows without a time count last.
    pub(super) fn edge_in_time(
        &mut self,
        name: &str,
        args: Vec<Typed>,
        mut frame: Frame,
    ) -> Result<Typed, SqlError> {
        if args.len() == 1 {
            return Err(SqlError::unsupported(format_args!("{name} without a time: SERIES TIMESTAMP")));
        }
        let [value, time] = <[Typed; 2]>::try_from(args).map_err(|_| wrong_count(name))?;
        if frame.window.is_some() {
            return Err(SqlError::unsupported(format_args!(
                "{name} as a window function, which {name}_VALUE is"
            )));
        }
        if frame.distinct {
            return Err(SqlError::new(ErrorKind::ParseError, format!("{name} takes no DISTINCT")));
        }
        let time = if time.family().is_temporal() { time } else { self.rules.datetime(time)? };
        let first = name == "FIRST";
        frame.order.push(SortExpr::new(time.expr, true, !first));
        let func = if first { first_value_udaf() } else { last_value_udaf() };
        let expr = frame.aggregate(func, vec![value.expr.clone()])?;
        Ok(Typed { expr, nullable: true, ..value })
    }
}
