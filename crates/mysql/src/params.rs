//! Parameters of COM_STMT_EXECUTE: the binary values behind a statement's question marks.
//!
//! ```text
//! null bitmap, (parameters + 7) / 8 bytes
//! types follow: u8            1 at the first execution, 0 if the types are those of the last one
//! parameters times: type u8, flags u8 (0x80 unsigned)    if types follow
//! values of the parameters that are neither NULL nor sent before as long data
//! ```
//! A client with query attributes sends these with the parameters, behind them, and also before the
//! text of COM_QUERY. Then their number stands in front, and each type is followed by a name. They
//! tell a server's plug-ins of a statement; here nothing asks for them, so they are checked and
//! forgotten, as by a MySQL without such a plug-in.

use crate::format::temporal::{Day, MICROS_PER_DAY, MICROS_PER_SECOND};
use crate::packet::reader::{FieldReader, Malformed};
use crate::protocol::ColumnType;
use bytes::Bytes;
use std::collections::HashMap;
use types::{ErrorKind, SqlError, SqlType, Value};

/// The type that a client gives a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParameterType {
    ty: ColumnType,
    unsigned: bool,
}

/// The flag of COM_STMT_EXECUTE that says that a count comes even for a statement without parameters.
const PARAMETER_COUNT_AVAILABLE: u8 = 8;

/// MySQL's greatest TIME, 838:59:59.
const MAX_TIME: i64 = (838 * 3600 + 59 * 60 + 59) * MICROS_PER_SECOND;

/// Decodes the parameters of a statement that has `count` of them. `types` are those of the last
/// execution, and are replaced if the client sends new ones; `long` has the parameters sent with
/// COM_STMT_SEND_LONG_DATA.
pub(crate) fn decode(
    payload: &[u8],
    count: usize,
    types: &mut Vec<ParameterType>,
    long: &HashMap<u16, Vec<u8>>,
) -> Result<Vec<Value>, SqlError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    values(&mut FieldReader::new(payload), count, false, types, long)
}

/// The same for a client with query attributes; `flags` are those of the execution.
pub(crate) fn decode_with_attributes(
    payload: &[u8],
    count: usize,
    flags: u8,
    types: &mut Vec<ParameterType>,
    long: &HashMap<u16, Vec<u8>>,
) -> Result<Vec<Value>, SqlError> {
    if count == 0 && flags & PARAMETER_COUNT_AVAILABLE == 0 {
        return Ok(Vec::new());
    }
    let mut r = FieldReader::new(payload);
    let sent = attribute_count(&mut r)?;
    if sent < count {
        return Err(Malformed.into());
    }
    if sent == 0 {
        return Ok(Vec::new());
    }
    let mut values = values(&mut r, sent, true, types, long)?;
    values.truncate(count);
    Ok(values)
}

/// Takes the attributes before the text of COM_QUERY.
pub(crate) fn skip_attributes(r: &mut FieldReader<'_>) -> Result<(), SqlError> {
    let count = attribute_count(r)?;
    if r.lenenc()? != 1 {
        return Err(Malformed.into());
    }
    if count > 0 {
        values(r, count, true, &mut Vec::new(), &HashMap::new())?;
    }
    Ok(())
}

fn attribute_count(r: &mut FieldReader<'_>) -> Result<usize, Malformed> {
    u16::try_from(r.lenenc()?).map(usize::from).map_err(|_| Malformed)
}

/// `count` values, at least one; `named`: a name follows each type.
fn values(
    r: &mut FieldReader<'_>,
    count: usize,
    named: bool,
    types: &mut Vec<ParameterType>,
    long: &HashMap<u16, Vec<u8>>,
) -> Result<Vec<Value>, SqlError> {
    let nulls = r.bytes(count.div_ceil(8))?;
    if r.u8()? == 1 {
        let typed = |_| {
            let ty = parameter_type(r)?;
            if named {
                r.lenenc_bytes()?;
            }
            Ok(ty)
        };
        *types = (0..count).map(typed).collect::<Result<_, SqlError>>()?;
    }
    if types.len() != count {
        return Err(Malformed.into());
    }
    let mut values = Vec::with_capacity(count);
    for (i, ty) in types.iter().enumerate() {
        let long = u16::try_from(i).ok().and_then(|i| long.get(&i));
        values.push(if let Some(bytes) = long {
            text_or_bytes(bytes, ty.ty)
        } else if nulls[i / 8] & (1 << (i % 8)) != 0 {
            Value::Null
        } else {
            value(r, *ty)?
        });
    }
    Ok(values)
}

fn parameter_type(r: &mut FieldReader<'_>) -> Result<ParameterType, SqlError> {
    let (ty, flags) = (r.u8()?, r.u8()?);
    let ty = ColumnType::from_byte(ty).ok_or_else(|| {
        SqlError::new(
            ErrorKind::WrongArguments,
            format!("Unsupported parameter type {ty} in COM_STMT_EXECUTE"),
        )
    })?;
    Ok(ParameterType { ty, unsigned: flags & 0x80 != 0 })
}

fn value(r: &mut FieldReader<'_>, ParameterType { ty, unsigned }: ParameterType) -> Result<Value, SqlError> {
    let integer = |signed: i64, zero_extended: u64| match unsigned {
        true => Value::UInt(zero_extended),
        false => Value::Int(signed),
    };
    Ok(match ty {
        ColumnType::Null => Value::Null,
        ColumnType::Tiny => {
            let n = r.u8()?;
            integer((n as i8).into(), n.into())
        }
        ColumnType::Short | ColumnType::Year => {
            let n = r.u16()?;
            integer((n as i16).into(), n.into())
        }
        ColumnType::Long | ColumnType::Int24 => {
            let n = r.u32()?;
            integer((n as i32).into(), n.into())
        }
        ColumnType::LongLong => {
            let n = r.u64()?;
            integer(n as i64, n)
        }
        ColumnType::Float => Value::Float(f32::from_le_bytes(r.array()?)),
        ColumnType::Double => Value::Double(f64::from_le_bytes(r.array()?)),
        ColumnType::Decimal | ColumnType::NewDecimal => {
            let text = r.lenenc_bytes()?;
            decimal(text).unwrap_or_else(|| text_or_bytes(text, ty))
        }
        ColumnType::Date => match calendar(r)? {
            (day, 0) => Value::Date(day as i32),
            (day, micros) => Value::DateTime(day * MICROS_PER_DAY + micros),
        },
        ColumnType::DateTime | ColumnType::Timestamp => {
            let (day, micros) = calendar(r)?;
            Value::DateTime(day * MICROS_PER_DAY + micros)
        }
        ColumnType::Time => time(r)?,
        _ => text_or_bytes(r.lenenc_bytes()?, ty),
    })
}

/// A string as text if it is UTF-8, a BLOB always as bytes.
fn text_or_bytes(bytes: &[u8], ty: ColumnType) -> Value {
    use ColumnType::*;
    let binary = matches!(ty, TinyBlob | MediumBlob | LongBlob | Blob | Bit | Geometry);
    match std::str::from_utf8(bytes) {
        Ok(text) if !binary => Value::Text(text.to_string()),
        _ => Value::Bytes(bytes.to_vec()),
    }
}

/// A plain decimal number of at most 38 digits.
fn decimal(text: &[u8]) -> Option<Value> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let mut unscaled: i128 = 0;
    let mut scale: Option<u8> = None;
    let mut seen = false;
    for byte in digits {
        match byte {
            b'.' if scale.is_none() => scale = Some(0),
            b'0'..=b'9' => {
                seen = true;
                unscaled = unscaled.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
                scale = match scale {
                    Some(scale) => Some(scale.checked_add(1)?),
                    None => None,
                };
            }
            _ => return None,
        }
    }
    let scale = scale.unwrap_or(0);
    let fits = unscaled < 10i128.pow(u32::from(SqlType::MAX_PRECISION)) && scale <= SqlType::MAX_PRECISION;
    (seen && fits).then_some(Value::Decimal { unscaled: if negative { -unscaled } else { unscaled }, scale })
}

/// Length, then year u16, month, day, hour, minute, second, microseconds u32 as far as it reaches.
/// Gives days since 1970 and microseconds of the day.
fn calendar(r: &mut FieldReader<'_>) -> Result<(i64, i64), SqlError> {
    let len = r.u8()?;
    let mut fields = FieldReader::new(r.bytes(len.into())?);
    if len == 0 {
        return Err(wrong("datetime", "0000-00-00 00:00:00"));
    }
    let (year, month, day) = (fields.u16()?, fields.u8()?, fields.u8()?);
    let clock = if fields.is_empty() { [0; 3] } else { fields.array()? };
    let micros = if fields.is_empty() { 0 } else { fields.u32()? };
    let [hour, minute, second] = clock;
    match (Day::checked(year, month, day), of_day(clock, micros)) {
        (Some(date), Some(micros)) if fields.is_empty() => Ok((date.to_days(), micros)),
        _ => Err(wrong(
            "datetime",
            &format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}"),
        )),
    }
}

/// Length, then a sign, days u32, hour, minute, second, microseconds u32 as far as it reaches.
fn time(r: &mut FieldReader<'_>) -> Result<Value, SqlError> {
    let len = r.u8()?;
    let mut fields = FieldReader::new(r.bytes(len.into())?);
    if len == 0 {
        return Ok(Value::Time(0));
    }
    let (negative, days, clock) = (fields.u8()? != 0, fields.u32()?, fields.array()?);
    let micros = if fields.is_empty() { 0 } else { fields.u32()? };
    let total = of_day(clock, micros).map(|micros| i64::from(days) * MICROS_PER_DAY + micros);
    match total {
        Some(total) if total <= MAX_TIME && fields.is_empty() => {
            Ok(Value::Time(if negative { -total } else { total }))
        }
        _ => {
            let (sign, [hour, minute, second]) = (if negative { "-" } else { "" }, clock);
            let hours = u64::from(days) * 24 + u64::from(hour);
            Err(wrong("time", &format!("{sign}{hours:02}:{minute:02}:{second:02}.{micros:06}")))
        }
    }
}

fn of_day([hour, minute, second]: [u8; 3], micros: u32) -> Option<i64> {
    let micros = i64::from(micros);
    (hour < 24 && minute < 60 && second < 60 && micros < MICROS_PER_SECOND).then_some(
        (i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second)) * MICROS_PER_SECOND + micros,
    )
}

fn wrong(what: &str, value: &str) -> SqlError {
    SqlError::new(ErrorKind::WrongValue, format!("Incorrect {what} value: '{value}'"))
}

/// What a connection keeps of a prepared statement.
#[derive(Debug, Default)]
pub(crate) struct Statement {
    pub parameters: usize,
    pub types: Vec<ParameterType>,
    pub long: HashMap<u16, Vec<u8>>,
    /// Why the next execution must fail: what was wrong with long data, which has no answer.
    pub failed: Option<SqlError>,
}

impl Statement {
    /// Bytes of long data held.
    pub fn long_bytes(&self) -> usize {
        self.long.values().map(Vec::len).sum()
    }

    pub fn add_long(&mut self, parameter: u16, data: &Bytes) {
        if usize::from(parameter) < self.parameters {
            self.long.entry(parameter).or_default().extend_from_slice(data);
        } else {
            self.failed = Some(SqlError::new(
                ErrorKind::WrongArguments,
                "Incorrect arguments to mysqld_stmt_send_long_data",
            ));
        }
    }

    /// Forgets long data, as execution and COM_STMT_RESET do.
    pub fn reset(&mut self) {
        self.long = HashMap::new();
        self.failed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(ty: ColumnType, flags: u8, bytes: &[u8]) -> Result<Value, SqlError> {
        let payload = [&[0, 1, ty as u8, flags][..], bytes].concat();
        decode(&payload, 1, &mut Vec::new(), &HashMap::new()).map(|mut values| values.remove(0))
    }

    #[test]
    fn numbers_and_strings() {
        use ColumnType::*;
        for (ty, flags, bytes, expected) in [
            (Tiny, 0, &[0xff][..], Value::Int(-1)),
            (Tiny, 0x80, &[0xff], Value::UInt(255)),
            (Short, 0, &[0xfe, 0xff], Value::Int(-2)),
            (Year, 0x80, &[0xe8, 7], Value::UInt(2024)),
            (Long, 0x80, &[0xff, 0xff, 0xff, 0xff], Value::UInt(0xffff_ffff)),
            (Int24, 0, &[0xff, 0xff, 0xff, 0xff], Value::Int(-1)),
            (LongLong, 0, &[0xff; 8], Value::Int(-1)),
            (LongLong, 0x80, &[0xff; 8], Value::UInt(u64::MAX)),
            (Float, 0, &1.5f32.to_le_bytes(), Value::Float(1.5)),
            (Double, 0, &2.5f64.to_le_bytes(), Value::Double(2.5)),
            (NewDecimal, 0, b"\x06-12.30", Value::Decimal { unscaled: -1230, scale: 2 }),
            (NewDecimal, 0, b"\x031e5", Value::Text("1e5".into())),
            (VarString, 0, b"\x02\xc3\xbc", Value::Text("ü".into())),
            (String, 0, b"\x02\xff\xfe", Value::Bytes(vec![0xff, 0xfe])),
            (Blob, 0, b"\x01a", Value::Bytes(vec![b'a'])),
            (Json, 0, b"\x02{}", Value::Text("{}".into())),
            (Null, 0, b"", Value::Null),
        ] {
            assert_eq!(one(ty, flags, bytes), Ok(expected), "{ty:?}");
        }
        let digits = "9".repeat(38);
        let wide = [&[38], digits.as_bytes()].concat();
        assert_eq!(one(NewDecimal, 0, &wide), Ok(Value::Decimal { unscaled: 10i128.pow(38) - 1, scale: 0 }));
        let wider = [&[40], "1".repeat(40).as_bytes()].concat();
        assert_eq!(one(NewDecimal, 0, &wider), Ok(Value::Text("1".repeat(40))));
        for nothing in [&b"\0"[..], b"\x01.", b"\x01-"] {
            assert!(matches!(one(NewDecimal, 0, nothing), Ok(Value::Text(_))));
        }
    }

    #[test]
    fn dates_and_times() {
        use ColumnType::*;
        let day = 19_000;
        let noon = day * MICROS_PER_DAY + 12 * 3600 * MICROS_PER_SECOND;
        for (ty, bytes, expected) in [
            (Date, &[4, 0xe6, 7, 1, 8][..], Value::Date(day as i32)),
            (DateTime, &[4, 0xe6, 7, 1, 8], Value::DateTime(day * MICROS_PER_DAY)),
            (DateTime, &[7, 0xe6, 7, 1, 8, 12, 0, 0], Value::DateTime(noon)),
            (Timestamp, &[11, 0xe6, 7, 1, 8, 12, 0, 0, 5, 0, 0, 0], Value::DateTime(noon + 5)),
            (Time, &[0], Value::Time(0)),
            (Time, &[8, 1, 1, 0, 0, 0, 1, 1, 1], Value::Time(-90_061_000_000)),
            (Time, &[12, 0, 0, 0, 0, 0, 0, 0, 1, 7, 0, 0, 0], Value::Time(1_000_007)),
        ] {
            assert_eq!(one(ty, 0, bytes), Ok(expected), "{ty:?}");
        }
        let message = |ty, bytes: &[u8]| one(ty, 0, bytes).unwrap_err().message;
        assert_eq!(message(DateTime, &[0]), "Incorrect datetime value: '0000-00-00 00:00:00'");
        assert_eq!(
            message(Date, &[4, 0xe6, 7, 2, 30]),
            "Incorrect datetime value: '2022-02-30 00:00:00.000000'"
        );
        assert_eq!(message(Time, &[8, 1, 35, 0, 0, 0, 0, 0, 0]), "Incorrect time value: '-840:00:00.000000'");
        for cut in [&[5, 0xe6, 7, 1, 8, 1][..], &[12, 0xe6, 7, 1, 8, 0, 0, 0, 0, 0, 0, 0, 0], &[4, 1]] {
            assert!(one(DateTime, 0, cut).is_err());
        }
    }

    #[test]
    fn types_are_remembered_and_nulls_and_long_data_take_no_bytes() {
        let mut types = Vec::new();
        let mut long = HashMap::new();
        let none = HashMap::new();
        assert!(decode(&[0, 0], 3, &mut types, &none).is_err());
        let first = [0b010, 1, 1, 0, 1, 0, 254, 0, 5, 1, b'x'];
        assert_eq!(
            decode(&first, 3, &mut types, &none),
            Ok(vec![Value::Int(5), Value::Null, Value::Text("x".into())])
        );
        long.insert(2, b"long".to_vec());
        assert_eq!(
            decode(&[0, 0, 7, 8], 3, &mut types, &long),
            Ok(vec![Value::Int(7), Value::Int(8), Value::Text("long".into())])
        );
        assert!(decode(&[0, 1, 99, 0], 1, &mut types, &none).unwrap_err().message.contains("type 99"));
        assert_eq!(decode(&[], 0, &mut types, &none), Ok(vec![]));
    }

    #[test]
    fn attributes_follow_the_parameters() {
        let mut types = Vec::new();
        let none = HashMap::new();
        let payload = b"\x02\0\x01\x01\0\0\xfd\0\x01a\x07\x03xyz";
        let found = decode_with_attributes(payload, 1, 0, &mut types, &none);
        assert_eq!(found, Ok(vec![Value::Int(7)]));
        assert_eq!(decode_with_attributes(payload, 0, 8, &mut types, &none), Ok(vec![]));
        assert_eq!(decode_with_attributes(b"", 0, 0, &mut types, &none), Ok(vec![]));
        assert_eq!(decode_with_attributes(b"\0", 0, 8, &mut types, &none), Ok(vec![]));
        // Fewer than the statement has, and more than there can be.
        assert!(decode_with_attributes(payload, 3, 0, &mut types, &none).is_err());
        assert!(decode_with_attributes(b"\xfe\0\0\0\0\0\0\0\x01", 0, 8, &mut types, &none).is_err());
    }

    #[test]
    fn long_data_of_a_parameter_that_is_not_there_fails_the_execution() {
        let mut statement = Statement { parameters: 1, ..Statement::default() };
        statement.add_long(0, &Bytes::from_static(b"ab"));
        statement.add_long(0, &Bytes::from_static(b"c"));
        assert_eq!((statement.long_bytes(), statement.failed.is_some()), (3, false));
        statement.add_long(1, &Bytes::from_static(b"d"));
        assert!(statement.failed.is_some());
        statement.reset();
        assert_eq!((statement.long_bytes(), statement.failed.is_some()), (0, false));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            types in proptest::collection::vec(any::<u8>(), 5),
        ) {
            let none = HashMap::new();
            let _ = decode(&bytes, 5, &mut Vec::new(), &none);
            let mut payload = vec![0, 1];
            payload.extend(types.iter().flat_map(|ty| [*ty, 0]));
            payload.extend_from_slice(&bytes);
            let _ = decode(&payload, 5, &mut Vec::new(), &none);
            let _ = decode_with_attributes(&payload, 5, 8, &mut Vec::new(), &none);
            payload.insert(0, 5);
            let _ = decode_with_attributes(&payload, 2, 8, &mut Vec::new(), &none);
        }
    }
}
