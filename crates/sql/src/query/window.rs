//! OVER: what a window function is computed over.

use super::binder::{Binder, Env, planning};
use super::literals::unit_of;
use crate::analyzer::Family;
use crate::temporal::MICROS_PER_DAY;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{NullTreatment, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Expr, SortExpr, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
};
use sqlparser::ast;
use types::{ErrorKind, SqlError};

#[derive(Clone)]
pub(super) struct Window {
    pub(super) partition_by: Vec<Expr>,
    pub(super) order_by: Vec<SortExpr>,
    pub(super) frame: WindowFrame,
}

impl Window {
    pub(super) fn call(
        &self,
        fun: WindowFunctionDefinition,
        args: Vec<Expr>,
        nulls: Option<NullTreatment>,
    ) -> Expr {
        Expr::WindowFunction(Box::new(WindowFunction {
            fun,
            params: WindowFunctionParams {
                args,
                partition_by: self.partition_by.clone(),
                order_by: self.order_by.clone(),
                window_frame: self.frame.clone(),
                filter: None,
                null_treatment: nulls,
                distinct: false,
            },
        }))
    }
}

impl Binder<'_> {
    pub(super) fn window(&mut self, over: &ast::WindowType, env: Env<'_>) -> Result<Window, SqlError> {
        match over {
            ast::WindowType::WindowSpec(spec) => self.window_spec(spec, env, 0),
            ast::WindowType::NamedWindow(name) => self.window_spec(named_window(name, env, 0)?, env, 0),
        }
    }

    fn window_spec(
        &mut self,
        spec: &ast::WindowSpec,
        env: Env<'_>,
        depth: usize,
    ) -> Result<Window, SqlError> {
        let mut window = match &spec.window_name {
            None => Window { partition_by: Vec::new(), order_by: Vec::new(), frame: WindowFrame::new(None) },
            Some(name) => self.window_spec(named_window(name, env, depth)?, env, depth + 1)?,
        };
        let mut key_types = Vec::with_capacity(spec.order_by.len());
        for expr in &spec.partition_by {
            let value = self.expr(expr, env)?;
            window.partition_by.push(self.rules.group_value(value)?.expr);
        }
        for key in &spec.order_by {
            super::select::refuse_order_options(key)?;
            let ascending = key.options.asc.unwrap_or(true);
            let value = self.order_value(&key.expr, env)?;
            key_types.push(value.arrow.clone());
            window.order_by.push(SortExpr::new(value.expr, ascending, ascending));
        }
        window.frame = match &spec.window_frame {
            None => WindowFrame::new((!window.order_by.is_empty()).then_some(false)),
            Some(frame) => {
                refuse_frame(frame, spec.window_name.as_ref())?;
                let units = match frame.units {
                    ast::WindowFrameUnits::Rows => WindowFrameUnits::Rows,
                    ast::WindowFrameUnits::Range => WindowFrameUnits::Range,
                    ast::WindowFrameUnits::Groups => {
                        return Err(SqlError::unsupported("GROUPS in a window frame"));
                    }
                };
                let keys = &key_types;
                let start = frame_bound(&frame.start_bound, units, keys)?;
                let end = match &frame.end_bound {
                    Some(bound) => frame_bound(bound, units, keys)?,
                    None => WindowFrameBound::CurrentRow,
                };
                let frame = WindowFrame::new_bounds(units, start, end);
                frame.regularize_order_bys(&mut window.order_by).map_err(planning)?;
                frame
            }
        };
        Ok(window)
    }
}

/// A bound of a frame. A distance in a RANGE is in the type of the one key that the window is ordered by,
/// or an interval if that is a date.
fn frame_bound(
    bound: &ast::WindowFrameBound,
    units: WindowFrameUnits,
    keys: &[DataType],
) -> Result<WindowFrameBound, SqlError> {
    use ast::WindowFrameBound as B;
    let (distance, before) = match bound {
        B::CurrentRow => return Ok(WindowFrameBound::CurrentRow),
        B::Preceding(None) => return Ok(WindowFrameBound::Preceding(ScalarValue::UInt64(None))),
        B::Following(None) => return Ok(WindowFrameBound::Following(ScalarValue::UInt64(None))),
        B::Preceding(Some(distance)) => (distance, true),
        B::Following(Some(distance)) => (distance, false),
    };
    let wrong = || SqlError::unsupported(format_args!("{distance} as a bound of this window frame"));
    let number = |expr: &ast::Expr| match expr {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::Number(digits, _) => Some(digits.clone()),
            ast::Value::SingleQuotedString(text) => Some(text.trim().to_string()),
            _ => None,
        },
        _ => None,
    };
    let value = match (units, distance.as_ref(), keys) {
        (WindowFrameUnits::Rows, expr, _) => {
            let digits = number(expr).and_then(|digits| digits.parse::<u64>().ok());
            ScalarValue::UInt64(Some(digits.ok_or_else(wrong)?))
        }
        (_, ast::Expr::Interval(interval), [key]) if Family::of(key).is_temporal() => {
            let unit = match &interval.leading_field {
                Some(field) => unit_of(field)?,
                None => return Err(wrong()),
            };
            let amount = number(&interval.value).ok_or_else(wrong)?;
            let span = unit.span_of_text(&amount).ok_or_else(wrong)?;
            let months = i32::try_from(span.months).map_err(|_| wrong())?;
            let days = i32::try_from(span.micros / MICROS_PER_DAY).map_err(|_| wrong())?;
            ScalarValue::new_interval_mdn(months, days, span.micros % MICROS_PER_DAY * 1_000)
        }
        (_, expr, [key]) if Family::of(key).is_numeric() => {
            let digits = number(expr).ok_or_else(wrong)?;
            ScalarValue::try_from_string(digits, key).map_err(|_| wrong())?
        }
        _ => {
            return Err(SqlError::new(
                ErrorKind::WindowRangeFrame,
                "Window '<unnamed window>' with RANGE N PRECEDING/FOLLOWING frame requires exactly one ORDER BY \
                 expression, of numeric or temporal type",
            ));
        }
    };
    Ok(if before { WindowFrameBound::Preceding(value) } else { WindowFrameBound::Following(value) })
}

/// Frames that begin after all rows or end before them.
fn refuse_frame(frame: &ast::WindowFrame, name: Option<&ast::Ident>) -> Result<(), SqlError> {
    let name = name.map_or("<unnamed window>", |name| name.value.as_str());
    if frame.start_bound == ast::WindowFrameBound::Following(None) {
        return Err(SqlError::new(
            ErrorKind::WindowFrameStart,
            format!("Window '{name}': frame start cannot be UNBOUNDED FOLLOWING."),
        ));
    }
    if frame.end_bound == Some(ast::WindowFrameBound::Preceding(None)) {
        return Err(SqlError::new(
            ErrorKind::WindowFrameEnd,
            format!("Window '{name}': frame end cannot be UNBOUNDED PRECEDING."),
        ));
    }
    Ok(())
}

fn named_window<'e>(name: &ast::Ident, env: Env<'e>, depth: usize) -> Result<&'e ast::WindowSpec, SqlError> {
    let unknown = || {
        SqlError::new(ErrorKind::WindowNoSuchWindow, format!("Window name '{}' is not defined.", name.value))
    };
    let mut wanted = name;
    // Names may stand for names; as many as there are windows, or they go in a circle.
    for _ in depth..=env.named_windows.len() {
        let found =
            env.named_windows.iter().find(|window| window.0.value.eq_ignore_ascii_case(&wanted.value));
        match found.map(|window| &window.1) {
            Some(ast::NamedWindowExpr::WindowSpec(spec)) => return Ok(spec),
            Some(ast::NamedWindowExpr::NamedWindow(next)) => wanted = next,
            None => return Err(unknown()),
        }
    }
    Err(unknown())
}
