//! Functions of dates and times. Dates come as Date32, moments as Timestamp(us), TIME as
//! Duration(us): the binder converts before.

use super::calendar::{
    Clock, DAYS_TO_1970, MONTHS, WEEKDAYS, WeekMode, add_interval, add_months, date_number, week,
};
use super::cast::leading_time;
use super::date_format::{parts_of, read_formatted, write_formatted, write_formatted_time};
use super::interval::{Span, Unit, count_units};
use super::kernel::{Arguments, Function, Nulls, Returns, build_numbers, build_text, functions};
use super::numerals::write_decimal;
use super::warnings;
use crate::temporal::{
    MAX_DATE, MAX_TIME, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, MIN_DATE,
    Zone, civil_from_days, day_of_year as of_year, days_from_civil, days_in_month, format_time, parse_broken,
    parse_datetime, parse_time, push_date, push_datetime, push_time, split_datetime,
    weekday as day_of_week_from_monday,
};
use arrow::array::ArrayRef;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, FieldRef, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};

const INT: Returns = Returns::Type(DataType::Int64);
const TEXT: Returns = Returns::Type(DataType::Utf8View);
const DATE: Returns = Returns::Type(DataType::Date32);
const DATETIME: Returns = Returns::Type(DataType::Timestamp(TimeUnit::Microsecond, None));
const TIME: Returns = Returns::Type(DataType::Duration(TimeUnit::Microsecond));

functions! {
    year, "year", INT, Propagate, |args| of_date(args, |day| i64::from(civil_from_days(day).0));
    month, "month", INT, Propagate, |args| of_date(args, |day| i64::from(civil_from_days(day).1));
    day, "day", INT, Propagate, |args| of_date(args, |day| i64::from(civil_from_days(day).2));
    quarter, "quarter", INT, Propagate, |args| of_date(args, |day| i64::from(civil_from_days(day).1.div_ceil(3)));
    /// From Sunday, 1.
    day_of_week, "dayofweek", INT, Propagate, |args| {
        of_date(args, |day| i64::from((day_of_week_from_monday(day) + 1) % 7 + 1))
    };
    /// From Monday, 0.
    weekday, "weekday", INT, Propagate, |args| of_date(args, |day| i64::from(day_of_week_from_monday(day)));
    day_of_year, "dayofyear", INT, Propagate, |args| of_date(args, |day| i64::from(of_year(day)));
    to_days, "to_days", INT, Propagate, |args| of_date(args, |day| i64::from(day) + DAYS_TO_1970);
    /// week(date, mode)
    week_of, "week", INT, Propagate, |args| {
        let (days, modes) = (args.numbers::<Date32Type>(0)?, args.numbers::<Int64Type>(1)?);
        build_numbers::<Int64Type>(args, |row| {
            Ok(days.get(row).zip(modes.get(row)).map(|(day, mode)| i64::from(week(day, WeekMode::new(mode)).1)))
        })
    };
    /// yearweek(date, mode): the mode's weeks from 1 to 53.
    year_week, "yearweek", INT, Propagate, |args| {
        let (days, modes) = (args.numbers::<Date32Type>(0)?, args.numbers::<Int64Type>(1)?);
        build_numbers::<Int64Type>(args, |row| {
            Ok(days.get(row).zip(modes.get(row)).map(|(day, mode)| {
                let (year, number) = week(day, WeekMode::new(mode | 2));
                i64::from(year) * 100 + i64::from(number)
            }))
        })
    };
    day_name, "dayname", TEXT, Propagate, |args| {
        let days = args.numbers::<Date32Type>(0)?;
        build_text(args.rows, |row, out| {
            Ok(days.get(row).map(|day| out.push_str(WEEKDAYS[day_of_week_from_monday(day) as usize])))
        })
    };
    month_name, "monthname", TEXT, Propagate, |args| {
        let days = args.numbers::<Date32Type>(0)?;
        build_text(args.rows, |row, out| {
            Ok(days.get(row).map(|day| out.push_str(MONTHS[civil_from_days(day).1 as usize - 1])))
        })
    };
    last_day, "last_day", DATE, Propagate, |args| {
        let days = args.numbers::<Date32Type>(0)?;
        build_numbers::<Date32Type>(args, |row| {
            Ok(days.get(row).map(|day| {
                let (year, month, _) = civil_from_days(day);
                days_from_civil(year, month, days_in_month(year, month))
            }))
        })
    };
    from_days, "from_days", DATE, Always, |args| {
        let numbers = args.numbers::<Int64Type>(0)?;
        build_numbers::<Date32Type>(args, |row| {
            Ok(numbers.get(row).and_then(|number| day_in_range(number.checked_sub(DAYS_TO_1970)?)))
        })
    };
    /// date_trunc(datetime, unit): the beginning of the unit that the moment lies in; weeks from Monday.
    date_trunc, "date_trunc", DATETIME, Always, |args| {
        let (values, units) = (args.numbers::<TimestampMicrosecondType>(0)?, args.texts(1)?);
        build_numbers::<TimestampMicrosecondType>(args, |row| {
            let (Some(micros), Some(unit)) = (values.get(row), units.get(row)) else { return Ok(None) };
            Ok(Unit::parse(unit).and_then(|unit| truncated(micros, unit)))
        })
    };
    /// time_bucket(datetime, microseconds, datetime): the beginning of the bucket of that width that the moment lies
    /// in, where one begins at the second moment.
    time_bucket, "time_bucket", DATETIME, Always, |args| {
        let (values, widths) = (args.numbers::<TimestampMicrosecondType>(0)?, args.numbers::<Int64Type>(1)?);
        let origins = args.numbers::<TimestampMicrosecondType>(2)?;
        build_numbers::<TimestampMicrosecondType>(args, |row| {
            let (Some(value), Some(width), Some(origin)) = (values.get(row), widths.get(row), origins.get(row))
            else {
                return Ok(None);
            };
            let past = value.checked_sub(origin).and_then(|from| from.checked_rem_euclid(width));
            let begin = past.map(|past| value - past);
            Ok(begin.filter(|begin| day_in_range(i64::from(split_datetime(*begin).0)).is_some()))
        })
    };
    /// makedate(year, day of the year)
    make_date, "makedate", DATE, Always, |args| {
        let (years, days) = (args.numbers::<Int64Type>(0)?, args.numbers::<Int64Type>(1)?);
        build_numbers::<Date32Type>(args, |row| {
            let (Some(year), Some(day)) = (years.get(row), days.get(row)) else { return Ok(None) };
            let year = match year {
                0..70 => year + 2000,
                70..100 => year + 1900,
                _ => year,
            };
            if day < 1 || !(1..=9999).contains(&year) {
                return Ok(None);
            }
            let first = i64::from(days_from_civil(year as i32, 1, 1));
            Ok(first.checked_add(day - 1).and_then(day_in_range))
        })
    };
    /// maketime(hour, minute, seconds as DECIMAL(20,6))
    make_time, "maketime", TIME, Always, |args| {
        let (hours, minutes) = (args.numbers::<Int64Type>(0)?, args.numbers::<Int64Type>(1)?);
        let seconds = args.numbers::<Decimal128Type>(2)?;
        build_numbers::<DurationMicrosecondType>(args, |row| {
            let (Some(hour), Some(minute), Some(second)) = (hours.get(row), minutes.get(row), seconds.get(row))
            else {
                return Ok(None);
            };
            let whole_minute = i128::from(MICROS_PER_MINUTE);
            if !(0..60).contains(&minute) || !(0..whole_minute).contains(&second) {
                return Ok(None);
            }
            let size = i128::from(hour).abs() * i128::from(MICROS_PER_HOUR)
                + i128::from(minute) * i128::from(MICROS_PER_MINUTE)
                + second;
            if size > i128::from(MAX_TIME) {
                let text = format!("{hour}:{minute:02}:{:02}", second / i128::from(MICROS_PER_SECOND));
                warnings::truncated("time", text.as_bytes());
            }
            let size = size.min(i128::from(MAX_TIME)) as i64;
            Ok(Some(if hour < 0 { -size } else { size }))
        })
    };
    hour, "hour", INT, Propagate, |args| of_clock(args, |clock| clock.hour);
    minute, "minute", INT, Propagate, |args| of_clock(args, |clock| clock.minute);
    second, "second", INT, Propagate, |args| of_clock(args, |clock| clock.second);
    microsecond, "microsecond", INT, Propagate, |args| of_clock(args, |clock| clock.micro);
    time_to_sec, "time_to_sec", INT, Propagate, |args| {
        let times = args.numbers::<DurationMicrosecondType>(0)?;
        build_numbers::<Int64Type>(args, |row| Ok(times.get(row).map(|micros| micros / MICROS_PER_SECOND)))
    };
    /// sec_to_time(seconds as DECIMAL(20,6))
    sec_to_time, "sec_to_time", TIME, Propagate, |args| {
        let seconds = args.numbers::<Decimal128Type>(0)?;
        build_numbers::<DurationMicrosecondType>(args, |row| {
            let limit = i128::from(MAX_TIME);
            Ok(seconds.get(row).map(|micros| {
                if !(-limit..=limit).contains(&micros) {
                    warnings::truncated("time", seconds_text(micros).as_bytes());
                }
                micros.clamp(-limit, limit) as i64
            }))
        })
    };
    /// extract(datetime, unit): of a composite unit, its numbers run together.
    extract, "extract", INT, Propagate, extract_kernel;
    date_format, "date_format", TEXT, Always, |args| {
        let (values, formats) = (args.numbers::<TimestampMicrosecondType>(0)?, args.texts(1)?);
        build_text(args.rows, |row, out| {
            let (Some(micros), Some(format)) = (values.get(row), formats.get(row)) else { return Ok(None) };
            Ok(write_formatted(out, micros, format))
        })
    };
    time_format, "time_format", TEXT, Always, |args| {
        let (values, formats) = (args.numbers::<DurationMicrosecondType>(0)?, args.texts(1)?);
        build_text(args.rows, |row, out| {
            let (Some(micros), Some(format)) = (values.get(row), formats.get(row)) else { return Ok(None) };
            Ok(write_formatted_time(out, micros, format))
        })
    };
    /// str_to_date(text, format); a format without a date gives a moment of 1970-01-01.
    str_to_date, "str_to_date", DATETIME, Always, str_to_date_kernel;
    /// date_add(value, amount, unit): the value a DATE, a DATETIME or a TIME, the amount a whole number or text.
    date_add, "date_add", Returns::By(added_result), Always, |args| add_kernel(args, false);
    date_sub, "date_sub", Returns::By(added_result), Always, |args| add_kernel(args, true);
    /// text_add(text, amount, unit): a date stays one if the unit allows it; a fraction shows if there is one.
    text_add, "text_add", TEXT, Always, |args| add_to_text(args, false);
    text_sub, "text_sub", TEXT, Always, |args| add_to_text(args, true);
    /// text_plus_time(text, TIME): to the moment or the time that the text is.
    text_plus_time, "text_plus_time", TEXT, Always, |args| {
        let (texts, times) = (args.texts(0)?, args.numbers::<DurationMicrosecondType>(1)?);
        build_text(args.rows, |row, out| {
            let (Some(text), Some(time)) = (texts.get(row), times.get(row)) else { return Ok(None) };
            let bytes = text.as_bytes();
            let is_moment = parse_broken(bytes).is_some_and(|broken| broken.has_time);
            if is_moment && let Some(moment) = parse_datetime(bytes, 6) {
                return Ok(add_interval(moment, 0, time).map(|sum| push_datetime(out, sum, shown_fsp(sum))));
            }
            Ok(parse_time(bytes, 6).or_else(|| leading_time(text, 6)).map(|own| {
                let sum = cut_time(own + time);
                push_time(out, sum, shown_fsp(sum));
            }))
        })
    };
    datediff, "datediff", INT, Propagate, |args| {
        let (left, right) = (args.numbers::<Date32Type>(0)?, args.numbers::<Date32Type>(1)?);
        build_numbers::<Int64Type>(args, |row| {
            Ok(left.get(row).zip(right.get(row)).map(|(l, r)| i64::from(l) - i64::from(r)))
        })
    };
    /// timestampdiff(unit, from, to)
    timestamp_diff, "timestampdiff", INT, Propagate, |args| {
        let unit = unit(args, 0)?;
        let from = args.numbers::<TimestampMicrosecondType>(1)?;
        let to = args.numbers::<TimestampMicrosecondType>(2)?;
        build_numbers::<Int64Type>(args, |row| {
            Ok(from.get(row).zip(to.get(row)).map(|(from, to)| count_units(unit, from, to)))
        })
    };
    /// datetime_difference(a, b) as TIME
    datetime_difference, "datetime_difference", TIME, Propagate, |args| {
        let left = args.numbers::<TimestampMicrosecondType>(0)?;
        let right = args.numbers::<TimestampMicrosecondType>(1)?;
        build_numbers::<DurationMicrosecondType>(args, |row| {
            Ok(left.get(row).zip(right.get(row)).map(|(l, r)| cut_time(l - r)))
        })
    };
    /// time_sum(a, b), both TIME
    time_sum, "time_sum", TIME, Propagate, |args| {
        let left = args.numbers::<DurationMicrosecondType>(0)?;
        let right = args.numbers::<DurationMicrosecondType>(1)?;
        build_numbers::<DurationMicrosecondType>(args, |row| {
            Ok(left.get(row).zip(right.get(row)).map(|(l, r)| cut_time(l + r)))
        })
    };
    time_negate, "time_negate", TIME, Propagate, |args| {
        let times = args.numbers::<DurationMicrosecondType>(0)?;
        build_numbers::<DurationMicrosecondType>(args, |row| Ok(times.get(row).map(i64::wrapping_neg)))
    };
    /// datetime_of_unix(seconds as DECIMAL(20,6)), in UTC
    datetime_of_unix, "datetime_of_unix", DATETIME, Always, |args| {
        let seconds = args.numbers::<Decimal128Type>(0)?;
        // The greatest moment is that of MySQL 8: 3001-01-18 23:59:59 UTC.
        let range = 0..=32_536_771_199_999_999i128;
        build_numbers::<TimestampMicrosecondType>(args, |row| {
            Ok(seconds.get(row).filter(|micros| range.contains(micros)).map(|micros| micros as i64))
        })
    };
    /// unix_seconds(datetime in UTC): whole seconds; 0 before 1970.
    unix_seconds, "unix_seconds", INT, Propagate, |args| {
        let values = args.numbers::<TimestampMicrosecondType>(0)?;
        build_numbers::<Int64Type>(args, |row| {
            Ok(values.get(row).map(|micros| unix_range(micros).div_euclid(MICROS_PER_SECOND)))
        })
    };
    /// unix_micros(datetime in UTC) as DECIMAL(17,6)
    unix_micros, "unix_micros", Returns::Type(DataType::Decimal128(17, 6)), Propagate, |args| {
        let values = args.numbers::<TimestampMicrosecondType>(0)?;
        build_numbers::<Decimal128Type>(args, |row| Ok(values.get(row).map(|micros| i128::from(unix_range(micros)))))
    };
    /// convert_tz(datetime, from, to)
    convert_tz, "convert_tz", DATETIME, Always, |args| {
        let values = args.numbers::<TimestampMicrosecondType>(0)?;
        let (from, to) = (args.texts(1)?, args.texts(2)?);
        // Constants, nearly always: each zone is looked up once.
        let fixed = |texts: &super::kernel::Texts<'_>| texts.constant().map(|name| name.and_then(Zone::parse));
        let (fixed_from, fixed_to) = (fixed(&from), fixed(&to));
        build_numbers::<TimestampMicrosecondType>(args, |row| {
            let from = fixed_from.unwrap_or_else(|| from.get(row).and_then(Zone::parse));
            let to = fixed_to.unwrap_or_else(|| to.get(row).and_then(Zone::parse));
            let (Some(local), Some(from), Some(to)) = (values.get(row), from, to) else { return Ok(None) };
            // Out of the range of TIMESTAMP it stays as it is.
            Ok(from.to_utc(local).map(|utc| if utc == unix_range(utc) { to.to_local(utc) } else { local }))
        })
    };
    /// period_add(YYYYMM, months)
    period_add, "period_add", INT, Propagate, |args| {
        let (periods, months) = (args.numbers::<Int64Type>(0)?, args.numbers::<Int64Type>(1)?);
        build_numbers::<Int64Type>(args, |row| {
            Ok(periods.get(row).zip(months.get(row)).map(|(period, months)| {
                let total = months_of_period(period).saturating_add(months);
                (total / 12).saturating_mul(100).saturating_add(total % 12 + 1)
            }))
        })
    };
    period_diff, "period_diff", INT, Propagate, |args| {
        let (left, right) = (args.numbers::<Int64Type>(0)?, args.numbers::<Int64Type>(1)?);
        build_numbers::<Int64Type>(args, |row| {
            Ok(left.get(row).zip(right.get(row)).map(|(l, r)| months_of_period(l).saturating_sub(months_of_period(r))))
        })
    };
}

/// The beginning of the unit that a moment lies in. `None` for units that are none of one kind.
fn truncated(micros: i64, unit: Unit) -> Option<i64> {
    let of_clock = |size: i64| Some(micros.div_euclid(size) * size);
    let (day, _) = split_datetime(micros);
    let (year, month, _) = civil_from_days(day);
    let first = match unit {
        Unit::Microsecond => return Some(micros),
        Unit::Second => return of_clock(MICROS_PER_SECOND),
        Unit::Minute => return of_clock(MICROS_PER_MINUTE),
        Unit::Hour => return of_clock(MICROS_PER_HOUR),
        Unit::Day => day,
        Unit::Week => day - day_of_week_from_monday(day) as i32,
        Unit::Month => days_from_civil(year, month, 1),
        Unit::Quarter => days_from_civil(year, (month - 1) / 3 * 3 + 1, 1),
        Unit::Year => days_from_civil(year, 1, 1),
        _ => return None,
    };
    day_in_range(i64::from(first)).map(|day| i64::from(day) * MICROS_PER_DAY)
}

fn day_in_range(day: i64) -> Option<i32> {
    i32::try_from(day).ok().filter(|day| (MIN_DATE..=MAX_DATE).contains(day))
}

fn months_of_period(period: i64) -> i64 {
    let year = match period / 100 {
        year @ 0..70 => year + 2000,
        year @ 70..100 => year + 1900,
        year => year,
    };
    year.saturating_mul(12).saturating_add(period % 100 - 1)
}

fn of_date(args: &Arguments<'_>, field: impl Fn(i32) -> i64) -> Result<ArrayRef> {
    let days = args.numbers::<Date32Type>(0)?;
    build_numbers::<Int64Type>(args, |row| Ok(days.get(row).map(&field)))
}

fn of_clock(args: &Arguments<'_>, field: impl Fn(Clock) -> i64) -> Result<ArrayRef> {
    if matches!(args.data_type(0)?, DataType::Duration(_)) {
        let times = args.numbers::<DurationMicrosecondType>(0)?;
        return build_numbers::<Int64Type>(args, |row| {
            Ok(times.get(row).map(|micros| field(Clock::of_time(micros))))
        });
    }
    let values = args.numbers::<TimestampMicrosecondType>(0)?;
    build_numbers::<Int64Type>(args, |row| {
        Ok(values.get(row).map(|micros| field(Clock::of_datetime(micros))))
    })
}

fn unit(args: &Arguments<'_>, at: usize) -> Result<Unit> {
    let texts = args.texts(at)?;
    texts
        .get(0)
        .and_then(Unit::parse)
        .ok_or_else(|| DataFusionError::Internal("an interval's unit is not a constant".into()))
}

fn extract_kernel(args: &Arguments<'_>) -> Result<ArrayRef> {
    let values = args.numbers::<TimestampMicrosecondType>(0)?;
    let unit = unit(args, 1)?;
    build_numbers::<Int64Type>(args, |row| {
        Ok(values.get(row).map(|micros| {
            let (days, _) = split_datetime(micros);
            let (_, month, day) = civil_from_days(days);
            let clock = Clock::of_datetime(micros);
            let day = i64::from(day);
            match unit {
                Unit::YearMonth => date_number(days) / 100,
                Unit::DayHour => day * 100 + clock.hour,
                Unit::DayMinute => day * 10_000 + clock.number() / 100,
                Unit::DaySecond => day * 1_000_000 + clock.number(),
                Unit::DayMicrosecond => (day * 1_000_000 + clock.number()) * 1_000_000 + clock.micro,
                Unit::HourMinute => clock.number() / 100,
                Unit::HourSecond => clock.number(),
                Unit::HourMicrosecond => clock.number() * 1_000_000 + clock.micro,
                Unit::MinuteSecond => clock.number() % 10_000,
                Unit::MinuteMicrosecond => clock.number() % 10_000 * 1_000_000 + clock.micro,
                Unit::SecondMicrosecond => clock.second * 1_000_000 + clock.micro,
                Unit::Year => date_number(days) / 10_000,
                Unit::Quarter => i64::from(month.div_ceil(3)),
                Unit::Month => i64::from(month),
                Unit::Week => i64::from(week(days, WeekMode::new(0)).1),
                Unit::Day => day,
                Unit::Hour => clock.hour,
                Unit::Minute => clock.minute,
                Unit::Second => clock.second,
                Unit::Microsecond => clock.micro,
            }
        }))
    })
}

/// A DATE stays one if the unit is of days or longer.
fn added_result(fields: &[FieldRef], scalars: &[Option<&ScalarValue>]) -> Result<DataType> {
    let unit = match scalars.get(2) {
        Some(Some(ScalarValue::Utf8View(Some(name)))) => Unit::parse(name),
        _ => None,
    };
    match (fields.first().map(|field| field.data_type()), unit) {
        (Some(DataType::Date32), Some(unit)) if unit.is_of_dates() => Ok(DataType::Date32),
        (Some(DataType::Duration(_)), Some(_)) => Ok(DataType::Duration(TimeUnit::Microsecond)),
        (Some(_), Some(_)) => Ok(DataType::Timestamp(TimeUnit::Microsecond, None)),
        _ => Err(DataFusionError::Internal("an interval's unit is not a constant".into())),
    }
}

fn str_to_date_kernel(args: &Arguments<'_>) -> Result<ArrayRef> {
    let (texts, formats) = (args.texts(0)?, args.texts(1)?);
    // By formats that differ all is read as moments.
    let ty = formats.constant().flatten().map_or("datetime", |format| parts_of(format).type_name());
    build_numbers::<TimestampMicrosecondType>(args, |row| {
        let (Some(text), Some(format)) = (texts.get(row), formats.get(row)) else { return Ok(None) };
        let Some(read) = read_formatted(text, format) else {
            warnings::incorrect_for("str_to_date", "datetime", text);
            return Ok(None);
        };
        if !read.is_whole {
            warnings::truncated(ty, text.as_bytes());
        }
        Ok(Some(read.micros))
    })
}

/// What a move led to, and a warning if it led out of the range of the type.
fn moved<T>(ty: &str, value: Option<T>) -> Option<T> {
    if value.is_none() {
        warnings::field_overflow(ty);
    }
    value
}

/// Microseconds as seconds, with the digits after the point that they have.
fn seconds_text(micros: i128) -> String {
    let mut text = String::new();
    write_decimal(&mut text, micros, 6);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// A TIME cut to its range, with a warning.
fn cut_time(micros: i64) -> i64 {
    if micros.saturating_abs() > MAX_TIME {
        warnings::truncated("time", format_time(micros, shown_fsp(micros)).as_bytes());
    }
    micros.clamp(-MAX_TIME, MAX_TIME)
}

/// A moment that UNIX_TIMESTAMP knows, else 0: from 1970 to 3001-01-18 23:59:59.999999 UTC.
fn unix_range(micros: i64) -> i64 {
    const LAST: i64 = 32_536_771_199_999_999;
    if (0..=LAST).contains(&micros) { micros } else { 0 }
}

/// Fractional digits of a moment as text: all or none.
fn shown_fsp(micros: i64) -> u8 {
    if micros % MICROS_PER_SECOND == 0 { 0 } else { 6 }
}

/// The second argument as intervals of the third, by rows.
fn spans_of<'a>(
    args: &Arguments<'a>,
    unit: Unit,
    subtract: bool,
) -> Result<Box<dyn Fn(usize) -> Option<Span> + 'a>> {
    let signed = move |span: Span| if subtract { span.negated() } else { span };
    Ok(match args.data_type(1)? {
        DataType::Int64 => {
            let amounts = args.numbers::<Int64Type>(1)?;
            Box::new(move |row| amounts.get(row).map(|amount| signed(unit.span_or_most(amount))))
        }
        _ => {
            let amounts = args.texts(1)?;
            Box::new(move |row| unit.span_of_text(amounts.get(row)?).map(signed))
        }
    })
}

fn add_to_text(args: &Arguments<'_>, subtract: bool) -> Result<ArrayRef> {
    let unit = unit(args, 2)?;
    let spans = spans_of(args, unit, subtract)?;
    let texts = args.texts(0)?;
    build_text(args.rows, |row, out| {
        let (Some(text), Some(span)) = (texts.get(row), spans(row)) else { return Ok(None) };
        let has_time = parse_broken(text.as_bytes()).is_some_and(|broken| broken.has_time);
        let Some(moment) = parse_datetime(text.as_bytes(), 6) else {
            warnings::incorrect("datetime", text);
            return Ok(None);
        };
        Ok(moved("datetime", add_interval(moment, span.months, span.micros)).map(|moment| {
            if has_time || !unit.is_of_dates() {
                push_datetime(out, moment, shown_fsp(moment));
            } else {
                push_date(out, split_datetime(moment).0);
            }
        }))
    })
}

fn add_kernel(args: &Arguments<'_>, subtract: bool) -> Result<ArrayRef> {
    let unit = unit(args, 2)?;
    let spans = spans_of(args, unit, subtract)?;
    let moved_day = |day: i32, span: Span| {
        let day = if span.months == 0 { day } else { add_months(day, span.months)? };
        day_in_range(i64::from(day).checked_add(span.micros / MICROS_PER_DAY)?)
    };
    match (args.data_type(0)?, args.result) {
        (DataType::Date32, DataType::Date32) => {
            let days = args.numbers::<Date32Type>(0)?;
            build_numbers::<Date32Type>(args, |row| {
                let (Some(day), Some(span)) = (days.get(row), spans(row)) else { return Ok(None) };
                Ok(moved("datetime", moved_day(day, span)))
            })
        }
        (DataType::Date32, _) => {
            let days = args.numbers::<Date32Type>(0)?;
            build_numbers::<TimestampMicrosecondType>(args, |row| {
                let (Some(day), Some(span)) = (days.get(row), spans(row)) else { return Ok(None) };
                let midnight = i64::from(day) * MICROS_PER_DAY;
                Ok(moved("datetime", add_interval(midnight, span.months, span.micros)))
            })
        }
        (DataType::Duration(_), _) => {
            let times = args.numbers::<DurationMicrosecondType>(0)?;
            build_numbers::<DurationMicrosecondType>(args, |row| {
                let (Some(time), Some(span)) = (times.get(row), spans(row)) else { return Ok(None) };
                let sum = if span.months == 0 { time.checked_add(span.micros) } else { None };
                Ok(moved("time", sum.filter(|micros| micros.saturating_abs() <= MAX_TIME)))
            })
        }
        _ => {
            let values = args.numbers::<TimestampMicrosecondType>(0)?;
            build_numbers::<TimestampMicrosecondType>(args, |row| {
                let (Some(micros), Some(span)) = (values.get(row), spans(row)) else { return Ok(None) };
                Ok(moved("datetime", add_interval(micros, span.months, span.micros)))
            })
        }
    }
}
