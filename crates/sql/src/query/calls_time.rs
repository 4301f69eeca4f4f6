//! Functions of dates and times.

use super::binder::Binder;
use super::calls::Args;
use crate::analyzer::fold::{call, cast};
use crate::analyzer::typed::{BIGINT, datetime_arrow, text_type, time_arrow};
use crate::analyzer::{Family, Typed};
use crate::functions::arithmetic::Operation;
use crate::functions::interval::Unit;
use crate::functions::{cast as casts, date_format, datetime};
use crate::temporal::{MICROS_PER_DAY, MICROS_PER_SECOND, Zone, fsp_unit, split_datetime};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;
use types::{ErrorKind, SqlError, SqlType};

impl Binder<'_> {
    pub(super) fn time_call(&mut self, args: Args) -> Result<Result<Typed, Args>, SqlError> {
        let rules = self.rules.clone();
        match args.name.as_str() {
            "NOW" | "CURRENT_TIMESTAMP" | "LOCALTIME" | "LOCALTIMESTAMP" | "SYSDATE" => {
                let fsp = optional_fsp(&args)?;
                Ok(Ok(Typed::datetime(cut(rules.now.get(), fsp), fsp)))
            }
            "UTC_TIMESTAMP" => {
                let fsp = optional_fsp(&args)?;
                Ok(Ok(Typed::datetime(cut(self.ctx.session.now.get(), fsp), fsp)))
            }
            "CURDATE" | "CURRENT_DATE" => {
                args.count(0, 0)?;
                Ok(Ok(Typed::date(split_datetime(rules.now.get()).0)))
            }
            "UTC_DATE" => {
                args.count(0, 0)?;
                Ok(Ok(Typed::date(split_datetime(self.ctx.session.now.get()).0)))
            }
            "CURTIME" | "CURRENT_TIME" => {
                let fsp = optional_fsp(&args)?;
                Ok(Ok(Typed::time(cut(rules.now.get().rem_euclid(MICROS_PER_DAY), fsp), fsp)))
            }
            "UTC_TIME" => {
                let fsp = optional_fsp(&args)?;
                Ok(Ok(Typed::time(cut(self.ctx.session.now.get().rem_euclid(MICROS_PER_DAY), fsp), fsp)))
            }
            "YEAR" => self.of_date(datetime::year(), args),
            "MONTH" => self.of_date(datetime::month(), args),
            "DAY" | "DAYOFMONTH" => self.of_date(datetime::day(), args),
            "QUARTER" => self.of_date(datetime::quarter(), args),
            "DAYOFWEEK" => self.of_date(datetime::day_of_week(), args),
            "WEEKDAY" => self.of_date(datetime::weekday(), args),
            "DAYOFYEAR" => self.of_date(datetime::day_of_year(), args),
            "TO_DAYS" => self.of_date(datetime::to_days(), args),
            "WEEKOFYEAR" => {
                let [value] = args.exactly()?;
                self.kernel(datetime::week_of(), vec![rules.date(value)?, Typed::int(3)], BIGINT)
            }
            "WEEK" | "YEARWEEK" => {
                args.count(1, 2)?;
                let udf = if args.name == "WEEK" { datetime::week_of() } else { datetime::year_week() };
                let mode = rules.signed(args.or(1, Typed::int(0)))?;
                let value = rules.date(args.or(0, Typed::null()))?;
                self.kernel(udf, vec![value, mode], BIGINT)
            }
            "DAYNAME" | "MONTHNAME" => {
                let udf = if args.name == "DAYNAME" { datetime::day_name() } else { datetime::month_name() };
                let [value] = args.exactly()?;
                self.kernel(udf, vec![rules.date(value)?], SqlType::VarChar(9))
            }
            "LAST_DAY" => {
                let [value] = args.exactly()?;
                self.kernel(datetime::last_day(), vec![rules.date(value)?], SqlType::Date)
            }
            "FROM_DAYS" => {
                let [value] = args.exactly()?;
                self.kernel(datetime::from_days(), vec![rules.signed(value)?], SqlType::Date)
            }
            "MAKEDATE" => {
                let [year, day] = args.exactly()?;
                let values = vec![rules.signed(year)?, rules.signed(day)?];
                self.kernel(datetime::make_date(), values, SqlType::Date)
            }
            "MAKETIME" => {
                let [hour, minute, second] = args.exactly()?;
                let fsp = second.fsp();
                let values =
                    vec![rules.signed(hour)?, rules.signed(minute)?, rules.decimal_as(second, 20, 6)?];
                self.kernel(datetime::make_time(), values, SqlType::Time { fsp })
            }
            "HOUR" => self.of_clock(datetime::hour(), args),
            "MINUTE" => self.of_clock(datetime::minute(), args),
            "SECOND" => self.of_clock(datetime::second(), args),
            "MICROSECOND" => self.of_clock(datetime::microsecond(), args),
            "DATE" => {
                let [value] = args.exactly()?;
                rules.date(value).map(Ok)
            }
            "TIME" => {
                let [value] = args.exactly()?;
                rules.time(value).map(Ok)
            }
            "TIMESTAMP" => {
                args.count(1, 2)?;
                let moment = rules.datetime(args.or(0, Typed::null()))?;
                match args.get(1).cloned() {
                    None => Ok(Ok(moment)),
                    Some(time) => self.add_time(moment, time, false).map(Ok),
                }
            }
            "DATE_TRUNC" => {
                let [unit, value] = args.exactly()?;
                let (value, unit) = (rules.datetime(value)?, rules.text(unit)?);
                let ty = value.ty;
                self.kernel(datetime::date_trunc(), vec![value, unit], ty)
            }
            "DATE_FORMAT" => {
                let [value, format] = args.exactly()?;
                let values = vec![rules.datetime_as(value, 6)?, rules.text(format)?];
                let ty = text_type(values[1].characters() * 10);
                self.kernel(datetime::date_format(), values, ty)
            }
            "TIME_FORMAT" => {
                let [value, format] = args.exactly()?;
                let values = vec![rules.time_as(value, 6)?, rules.text(format)?];
                let ty = text_type(values[1].characters() * 10);
                self.kernel(datetime::time_format(), values, ty)
            }
            "STR_TO_DATE" => {
                let [value, format] = args.exactly()?;
                self.str_to_date(value, format).map(Ok)
            }
            // With an INTERVAL they were bound before.
            "ADDDATE" | "SUBDATE" => {
                let subtract = args.name == "SUBDATE";
                let [value, days] = args.exactly()?;
                self.move_date(value, days, Unit::Day, subtract).map(Ok)
            }
            "DATEDIFF" => {
                let [left, right] = args.exactly()?;
                let values = vec![rules.date(left)?, rules.date(right)?];
                self.kernel(datetime::datediff(), values, BIGINT)
            }
            "TIMEDIFF" => {
                let [left, right] = args.exactly()?;
                self.time_difference(left, right).map(Ok)
            }
            "ADDTIME" | "SUBTIME" => {
                let subtract = args.name == "SUBTIME";
                let [value, time] = args.exactly()?;
                self.add_time(value, time, subtract).map(Ok)
            }
            "TIME_TO_SEC" => {
                let [value] = args.exactly()?;
                self.kernel(datetime::time_to_sec(), vec![rules.time(value)?], BIGINT)
            }
            "SEC_TO_TIME" => {
                let [value] = args.exactly()?;
                let fsp = if value.family().is_string() { 6 } else { value.fsp() };
                let seconds = rules.decimal_as(value, 20, 6)?;
                self.kernel(datetime::sec_to_time(), vec![seconds], SqlType::Time { fsp })
            }
            "FROM_UNIXTIME" => {
                args.count(1, 2)?;
                let value = args.or(0, Typed::null());
                let fsp = match value.as_text_literal() {
                    Some(text) if !text.contains('.') => 0,
                    _ if value.family().is_string() => 6,
                    _ => value.fsp(),
                };
                let seconds = rules.decimal_as(value, 20, 6)?;
                let utc = call(datetime::datetime_of_unix(), vec![seconds], SqlType::DateTime { fsp })?;
                let local = self.in_zone(utc)?;
                match args.get(1).cloned() {
                    None => Ok(Ok(local)),
                    Some(format) => {
                        let values = vec![local, rules.text(format)?];
                        let ty = text_type(values[1].characters() * 10);
                        self.kernel(datetime::date_format(), values, ty)
                    }
                }
            }
            "UNIX_TIMESTAMP" => {
                args.count(0, 1)?;
                self.unix_timestamp(args.get(0).cloned()).map(Ok)
            }
            "CONVERT_TZ" => {
                let [value, from, to] = args.exactly()?;
                let value = rules.datetime(value)?;
                let ty = value.ty;
                let values = vec![value, rules.text(from)?, rules.text(to)?];
                self.kernel(datetime::convert_tz(), values, ty)
            }
            "PERIOD_ADD" | "PERIOD_DIFF" => {
                let udf =
                    if args.name == "PERIOD_ADD" { datetime::period_add() } else { datetime::period_diff() };
                let [left, right] = args.exactly()?;
                let values = vec![rules.signed(left)?, rules.signed(right)?];
                self.kernel(udf, values, BIGINT)
            }
            "TO_SECONDS" => {
                let [value] = args.exactly()?;
                self.seconds_of(value).map(Ok)
            }
            _ => Ok(Err(args)),
        }
    }

    fn of_date(&mut self, udf: Arc<ScalarUDF>, args: Args) -> Result<Result<Typed, Args>, SqlError> {
        let [value] = args.exactly()?;
        let value = self.rules.date(value)?;
        self.kernel(udf, vec![value], BIGINT)
    }

    /// Fields of the time of day: of a moment, or of anything else as TIME.
    fn of_clock(&mut self, udf: Arc<ScalarUDF>, args: Args) -> Result<Result<Typed, Args>, SqlError> {
        let [value] = args.exactly()?;
        let value = match value.family() {
            Family::Date => self.rules.datetime(value)?,
            Family::DateTime | Family::Timestamp => self.rules.local(value)?,
            _ => self.rules.time_as(value, 6)?,
        };
        self.kernel(udf, vec![value], BIGINT)
    }

    /// `date + INTERVAL amount unit`, by MySQL's types: a DATE stays one if the unit allows it, text
    /// gives text.
    pub(super) fn move_date(
        &mut self,
        date: Typed,
        amount: Typed,
        unit: Unit,
        subtract: bool,
    ) -> Result<Typed, SqlError> {
        let rules = self.rules.clone();
        let fraction = unit == Unit::Second && matches!(amount.family(), Family::Decimal | Family::Float);
        let textual =
            unit.is_composite() || fraction || (unit == Unit::Second && amount.family().is_string());
        let amount_fsp =
            if fraction || unit.has_micros() || (textual && unit == Unit::Second) { 6 } else { 0 };
        let amount = if textual { rules.text(amount)? } else { rules.signed(amount)? };
        if date.family().is_string() || date.family().is_numeric() || date.family() == Family::Null {
            // Each value may have a time of day or not, and the result is as text.
            let udf = if subtract { datetime::text_sub() } else { datetime::text_add() };
            return call(udf, vec![rules.text(date)?, amount, Typed::text(unit.name())], text_type(26));
        }
        let date = match date.family() {
            Family::Date | Family::DateTime => date,
            Family::Timestamp => rules.local(date)?,
            Family::Time if unit.is_of_dates() => rules.datetime(date)?,
            Family::Time => date,
            _ => rules.datetime(date)?,
        };
        let fsp = date.fsp().max(amount_fsp);
        let ty = match date.family() {
            Family::Date if unit.is_of_dates() => SqlType::Date,
            Family::Time => SqlType::Time { fsp },
            _ => SqlType::DateTime { fsp },
        };
        let udf = if subtract { datetime::date_sub() } else { datetime::date_add() };
        call(udf, vec![date, amount, Typed::text(unit.name())], ty)
    }

    pub(super) fn timestamp_diff(&mut self, unit: Unit, from: Typed, to: Typed) -> Result<Typed, SqlError> {
        let (from, to) = (self.rules.datetime_as(from, 6)?, self.rules.datetime_as(to, 6)?);
        call(datetime::timestamp_diff(), vec![Typed::text(unit.name()), from, to], BIGINT)
    }

    fn str_to_date(&mut self, value: Typed, format: Typed) -> Result<Typed, SqlError> {
        let (value, format) = (self.rules.text(value)?, self.rules.text(format)?);
        let parts = format.as_text_literal().map(date_format::parts_of);
        let moment = |fsp| SqlType::DateTime { fsp };
        let Some(parts) = parts else {
            return call(datetime::str_to_date(), vec![value, format], moment(6));
        };
        let fsp = if parts.micros { 6 } else { 0 };
        let read = call(datetime::str_to_date(), vec![value, format], moment(fsp))?;
        match (parts.date, parts.time) {
            (true, false) => self.rules.date(read),
            (false, true) => self.rules.time_as(read, fsp),
            _ => Ok(read),
        }
    }

    fn time_difference(&mut self, left: Typed, right: Typed) -> Result<Typed, SqlError> {
        let rules = self.rules.clone();
        let is_moment = |value: &Typed| {
            matches!(value.family(), Family::Date | Family::DateTime | Family::Timestamp)
                || value.as_text_literal().is_some_and(|text| text.trim().len() > 15)
        };
        let fsp = left.fsp().max(right.fsp());
        if is_moment(&left) != is_moment(&right) {
            // A moment and a time of day have no difference.
            return Ok(Typed::typed_null(SqlType::Time { fsp }, time_arrow()));
        }
        if is_moment(&left) {
            let values = vec![rules.datetime_as(left, 6)?, rules.datetime_as(right, 6)?];
            return call(datetime::datetime_difference(), values, SqlType::Time { fsp });
        }
        let right = call(datetime::time_negate(), vec![rules.time_as(right, 6)?], SqlType::Time { fsp })?;
        call(datetime::time_sum(), vec![rules.time_as(left, 6)?, right], SqlType::Time { fsp })
    }

    /// ADDTIME and SUBTIME: to a moment or to a time.
    fn add_time(&mut self, value: Typed, time: Typed, subtract: bool) -> Result<Typed, SqlError> {
        let rules = self.rules.clone();
        let fsp = value.fsp().max(time.fsp());
        let time = rules.time_as(time, 6)?;
        let time =
            if subtract { call(datetime::time_negate(), vec![time], SqlType::Time { fsp })? } else { time };
        if value.family().is_string() {
            return call(datetime::text_plus_time(), vec![rules.text(value)?, time], text_type(26));
        }
        let is_moment = matches!(value.family(), Family::Date | Family::DateTime | Family::Timestamp);
        let sum = if is_moment {
            let moment = rules.datetime_as(value, 6)?;
            call(casts::time_on_day(), vec![time, moment], SqlType::DateTime { fsp })?
        } else {
            call(datetime::time_sum(), vec![rules.time_as(value, 6)?, time], SqlType::Time { fsp })?
        };
        Ok(sum)
    }

    fn in_zone(&mut self, utc: Typed) -> Result<Typed, SqlError> {
        if self.rules.zone == Zone::UTC {
            return Ok(utc);
        }
        let ty = utc.ty;
        call(casts::utc_to_local(), vec![utc, Typed::text(self.rules.zone.to_string())], ty)
    }

    fn unix_timestamp(&mut self, value: Option<Typed>) -> Result<Typed, SqlError> {
        let Some(value) = value else {
            return Ok(Typed::int(self.ctx.session.now.get().div_euclid(MICROS_PER_SECOND)));
        };
        let fsp = value.fsp();
        let timestamp = self.rules.timestamp(value)?;
        let utc = cast(timestamp, datetime_arrow(), SqlType::DateTime { fsp });
        if fsp == 0 {
            return call(datetime::unix_seconds(), vec![utc], BIGINT);
        }
        let ty = SqlType::Decimal { precision: 17, scale: 6 };
        let micros = call(datetime::unix_micros(), vec![utc], ty)?;
        self.rules.decimal_as(micros, 11 + fsp, fsp)
    }

    fn seconds_of(&mut self, value: Typed) -> Result<Typed, SqlError> {
        let moment = self.rules.datetime(value)?;
        let day = call(datetime::to_days(), vec![self.rules.date(moment.clone())?], BIGINT)?;
        let of_day = call(datetime::time_to_sec(), vec![self.rules.time(moment)?], BIGINT)?;
        let seconds = self.rules.arithmetic(Operation::Multiply, day, Typed::int(86_400))?;
        self.rules.arithmetic(Operation::Add, seconds, of_day)
    }
}

/// Fractional digits cut off, not rounded: the clock has not reached the next.
fn cut(micros: i64, fsp: u8) -> i64 {
    let unit = fsp_unit(fsp);
    micros.div_euclid(unit) * unit
}

/// The digits of NOW(n).
fn optional_fsp(args: &Args) -> Result<u8, SqlError> {
    args.count(0, 1)?;
    match args.get(0) {
        None => Ok(0),
        Some(fsp) => match fsp.as_integer_literal() {
            Some(fsp @ 0..=6) => Ok(fsp as u8),
            _ => Err(SqlError::new(
                ErrorKind::TooBigPrecision,
                format!(
                    "Too-big precision specified for '{}'. Maximum is 6.",
                    args.name.to_ascii_lowercase()
                ),
            )),
        },
    }
}
