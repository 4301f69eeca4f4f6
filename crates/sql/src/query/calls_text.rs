//! String functions and hashes.

use super::binder::Binder;
use super::calls::Args;
use crate::analyzer::compare::Comparison;
use crate::analyzer::typed::{BIGINT, text_type};
use crate::analyzer::{Family, Typed};
use crate::functions::{bits, cast, collate, locale, math, sets, text};
use datafusion::common::ScalarValue;
use sqlparser::ast;
use types::{SqlError, SqlType};

/// Longest result of functions that make text longer by a number known only at run time.
const LONG: u64 = u32::MAX as u64;

impl Binder<'_> {
    fn texts(&self, values: Vec<Typed>) -> Result<Vec<Typed>, SqlError> {
        values.into_iter().map(|value| self.rules.text(value)).collect()
    }

    pub(super) fn text_call(&mut self, args: Args) -> Result<Result<Typed, Args>, SqlError> {
        let rules = self.rules.clone();
        // What asks whether its arguments are bytes has the bytes of a BIT.
        let args = match args.name.as_str() {
            "CONCAT" => args.try_map(|_, value| rules.bits_as_bytes(value))?,
            "SUBSTRING" | "SUBSTR" | "MID" | "LEFT" | "RIGHT" | "CHAR_LENGTH" | "CHARACTER_LENGTH" => {
                args.try_map(|at, value| if at == 0 { rules.bits_as_bytes(value) } else { Ok(value) })?
            }
            _ => args,
        };
        if let Some(bytes) = self.on_bytes(&args)? {
            return Ok(Ok(bytes));
        }
        match args.name.as_str() {
            "CONCAT" => {
                args.count(1, usize::MAX)?;
                self.concat(args.all()).map(Ok)
            }
            "CONCAT_WS" => {
                args.count(2, usize::MAX)?;
                let values = self.texts(args.all())?;
                let separators = values[0].characters() * (values.len() as u64 - 2);
                let length = values[1..].iter().map(Typed::characters).sum::<u64>() + separators;
                self.kernel(text::concat_ws(), values, text_type(length))
            }
            "SUBSTRING" | "SUBSTR" | "MID" => {
                args.count(2, 3)?;
                if args.get(0).is_some_and(|value| value.family() == Family::Binary) {
                    return self.part_of_bytes(args).map(Ok);
                }
                let mut values = args.all().into_iter();
                let mut converted = Vec::with_capacity(3);
                for (at, value) in values.by_ref().enumerate() {
                    converted.push(if at == 0 { rules.text(value)? } else { rules.count(value)? });
                }
                let most = converted[0].characters();
                let length = converted.get(2).and_then(Typed::as_integer_literal);
                let length = length.map_or(most, |n| u64::try_from(n.max(0)).unwrap_or(most).min(most));
                self.kernel(text::substring(), converted, text_type(length))
            }
            "LEFT" | "RIGHT" => {
                let udf = if args.name == "LEFT" { text::left() } else { text::right() };
                let is_left = args.name == "LEFT";
                let [value, length] = args.exactly()?;
                if value.family() == Family::Binary {
                    return self.edge_of_bytes(is_left, value, length).map(Ok);
                }
                let (value, length) = (rules.text(value)?, rules.count(length)?);
                let most = value.characters();
                let ty = length
                    .as_integer_literal()
                    .map_or(most, |n| u64::try_from(n.max(0)).unwrap_or(most).min(most));
                self.kernel(udf, vec![value, length], text_type(ty))
            }
            "LENGTH" | "OCTET_LENGTH" => {
                let [value] = args.exactly()?;
                self.kernel(text::length(), vec![rules.string(value)?], BIGINT)
            }
            "BIT_LENGTH" => {
                let [value] = args.exactly()?;
                let bytes = crate::analyzer::fold::call(text::length(), vec![rules.string(value)?], BIGINT)?;
                let operation = crate::functions::arithmetic::Operation::Multiply;
                rules.arithmetic(operation, bytes, Typed::int(8)).map(Ok)
            }
            "CHAR_LENGTH" | "CHARACTER_LENGTH" => {
                let [value] = args.exactly()?;
                let udf = if value.family() == Family::Binary { text::length() } else { text::char_length() };
                self.kernel(udf, vec![rules.string(value)?], BIGINT)
            }
            "UPPER" | "UCASE" => self.same_length(text::upper(), args),
            "LOWER" | "LCASE" => self.same_length(text::lower(), args),
            "REVERSE" => self.same_length(text::reverse(), args),
            "LTRIM" | "RTRIM" | "TRIM" => {
                let side = match args.name.as_str() {
                    "LTRIM" => Some(ast::TrimWhereField::Leading),
                    "RTRIM" => Some(ast::TrimWhereField::Trailing),
                    _ => None,
                };
                let [value] = args.exactly()?;
                self.trim(side, value, Typed::text(" ")).map(Ok)
            }
            "LPAD" | "RPAD" => {
                args.count(2, 3)?;
                let udf = if args.name == "LPAD" { text::lpad() } else { text::rpad() };
                let pad = args.or(2, Typed::text(" "));
                let mut values = args.all().into_iter();
                let (value, length) = (values.next(), values.next());
                let (Some(value), Some(length)) = (value, length) else {
                    return Err(SqlError::internal("the arguments of a call were counted wrong"));
                };
                let values = vec![rules.text(value)?, rules.signed(length)?, rules.text(pad)?];
                let ty = match values[1].as_integer_literal() {
                    Some(length) => text_type(u64::try_from(length).unwrap_or(0)),
                    None => text_type(LONG),
                };
                self.kernel(udf, values, ty)
            }
            "REPLACE" => {
                let [value, from, to] = args.exactly()?;
                let values = self.texts(vec![value, from, to])?;
                let growth = values[2].characters().max(1);
                let ty = text_type(values[0].characters().saturating_mul(growth));
                self.kernel(text::replace(), values, ty)
            }
            "REPEAT" => {
                let [value, count] = args.exactly()?;
                let values = vec![rules.text(value)?, rules.signed(count)?];
                let ty = repeated_type(values[0].characters(), &values[1]);
                self.kernel(text::repeat(), values, ty)
            }
            "SPACE" => {
                let [count] = args.exactly()?;
                let values = vec![Typed::text(" "), rules.signed(count)?];
                let ty = repeated_type(1, &values[1]);
                self.kernel(text::space(), values, ty)
            }
            "LOCATE" => {
                args.count(2, 3)?;
                let mut values = Vec::with_capacity(3);
                for (at, value) in args.all().into_iter().enumerate() {
                    values.push(if at < 2 { rules.text(value)? } else { rules.signed(value)? });
                }
                self.locate(values).map(Ok)
            }
            "INSTR" => {
                let [value, wanted] = args.exactly()?;
                let values = self.texts(vec![wanted, value])?;
                self.locate(values).map(Ok)
            }
            "ASCII" => {
                let [value] = args.exactly()?;
                self.kernel(text::ascii(), vec![rules.string(value)?], BIGINT)
            }
            "ORD" => {
                let [value] = args.exactly()?;
                if value.family() == Family::Binary {
                    return self.kernel(text::ascii(), vec![rules.string(value)?], BIGINT);
                }
                self.kernel(text::ord(), vec![rules.text(value)?], BIGINT)
            }
            "CHAR" => {
                args.count(1, usize::MAX)?;
                let values =
                    args.all().into_iter().map(|value| rules.signed(value)).collect::<Result<Vec<_>, _>>()?;
                let ty = SqlType::VarBinary(values.len().min(16_000) as u32 * 4);
                self.kernel(text::char_of(), values, ty)
            }
            "HEX" => {
                let [value] = args.exactly()?;
                self.hex(value).map(Ok)
            }
            "UNHEX" => {
                let [value] = args.exactly()?;
                let value = rules.text(value)?;
                let ty = SqlType::VarBinary((value.characters() / 2 + 1).min(65_535) as u32);
                self.kernel(text::unhex(), vec![value], ty)
            }
            "BIN" | "OCT" => {
                let base = if args.name == "BIN" { 2 } else { 8 };
                let [value] = args.exactly()?;
                let value = self.bits_of(value)?;
                self.kernel(math::in_base(), vec![value, Typed::int(base)], SqlType::VarChar(64))
            }
            "FIELD" => {
                args.count(2, usize::MAX)?;
                self.field(args.all()).map(Ok)
            }
            "ELT" => {
                args.count(2, usize::MAX)?;
                let mut values = Vec::with_capacity(args.len());
                for (at, value) in args.all().into_iter().enumerate() {
                    values.push(if at == 0 { rules.signed(value)? } else { rules.text(value)? });
                }
                let longest = values[1..].iter().map(Typed::characters).max().unwrap_or(0);
                self.kernel(text::elt(), values, text_type(longest))
            }
            "FIND_IN_SET" => {
                let [wanted, set] = args.exactly()?;
                let mut values = self.texts(vec![wanted, set])?;
                let collation = rules.common_collation("find_in_set", &[&values[0], &values[1]])?;
                if collation.is_bytes() {
                    return self.kernel(text::find_in_set(), values, BIGINT);
                }
                values.push(Typed::text(collation.name()));
                self.kernel(collate::collated_find_in_set(), values, BIGINT)
            }
            "SUBSTRING_INDEX" => {
                let [value, separator, count] = args.exactly()?;
                let values = vec![rules.text(value)?, rules.text(separator)?, rules.signed(count)?];
                let ty = text_type(values[0].characters());
                self.kernel(text::substring_index(), values, ty)
            }
            "STRCMP" => {
                let [left, right] = args.exactly()?;
                let (left, right) = (rules.text(left)?, rules.text(right)?);
                if rules.common_collation("strcmp", &[&left, &right])?.is_bytes() {
                    return self.kernel(text::strcmp(), vec![left, right], BIGINT);
                }
                let less = rules.compare(Comparison::Less, rules.copy(&left)?, rules.copy(&right)?)?;
                let equal = rules.compare(Comparison::Equal, rules.copy(&left)?, rules.copy(&right)?)?;
                let greater = rules.compare(Comparison::Greater, left, right)?;
                let results = vec![Typed::int(-1), Typed::int(0), Typed::int(1), Typed::null()];
                self.choose(vec![less, equal, greater], results).map(Ok)
            }
            "FORMAT" => {
                args.count(2, 3)?;
                let locale = rules.text(args.or(2, Typed::text("en_US")))?;
                let (value, digits) = (args.or(0, Typed::null()), args.or(1, Typed::null()));
                let number = match value.family() {
                    Family::Integer | Family::Boolean | Family::Decimal => rules.decimal(value)?,
                    _ => {
                        let double = rules.double(value)?;
                        rules.decimal_as(double, 38, 10)?
                    }
                };
                let ty = text_type(number.characters() * 4 / 3 + 32);
                let values = vec![rules.text(number)?, rules.signed(digits)?, locale];
                self.kernel(locale::format_number(), values, ty)
            }
            "INSERT" => {
                let [value, at, length, new] = args.exactly()?;
                let (value, new) = (rules.text(value)?, rules.text(new)?);
                let ty = text_type(value.characters() + new.characters());
                let values = vec![value, rules.signed(at)?, rules.signed(length)?, new];
                self.kernel(text::insert(), values, ty)
            }
            "QUOTE" => {
                let [value] = args.exactly()?;
                let value = rules.text(value)?;
                let ty = text_type(value.characters() * 2 + 2);
                self.kernel(text::quote(), vec![value], ty)
            }
            "SOUNDEX" => {
                let [value] = args.exactly()?;
                let value = rules.text(value)?;
                let ty = text_type(value.characters().max(4));
                self.kernel(text::soundex(), vec![value], ty)
            }
            "TO_BASE64" => {
                let [value] = args.exactly()?;
                let value = rules.string(value)?;
                let ty = text_type(value.characters() * 4 * 4 / 3 + 8);
                self.kernel(text::to_base64(), vec![value], ty)
            }
            "FROM_BASE64" => {
                let [value] = args.exactly()?;
                let value = rules.text(value)?;
                let ty = SqlType::VarBinary(value.characters().min(65_535) as u32);
                self.kernel(text::from_base64(), vec![value], ty)
            }
            "EXPORT_SET" => {
                args.count(3, 5)?;
                let bits = self.bits_of(args.or(0, Typed::null()))?;
                let mut values = vec![bits];
                for (at, default) in [(1, ""), (2, ""), (3, ",")] {
                    values.push(rules.text(args.or(at, Typed::text(default)))?);
                }
                values.push(rules.signed(args.or(4, Typed::int(64)))?);
                let longest = values[1].characters().max(values[2].characters());
                let ty = text_type(longest.saturating_add(values[3].characters()).saturating_mul(64));
                self.kernel(sets::export_set(), values, ty)
            }
            "MAKE_SET" => {
                args.count(2, usize::MAX)?;
                let mut values = Vec::with_capacity(args.len());
                for (at, value) in args.all().into_iter().enumerate() {
                    values.push(if at == 0 { self.bits_of(value)? } else { rules.text(value)? });
                }
                let length = values[1..].iter().map(|value| value.characters() + 1).sum();
                self.kernel(sets::make_set(), values, text_type(length))
            }
            "WEIGHT_STRING" => {
                let [value] = args.exactly()?;
                let value = rules.group_value(rules.string(value)?)?;
                // By bytes, the weights of a text are its bytes.
                rules.binary(value).map(Ok)
            }
            "BIT_COUNT" => {
                let [value] = args.exactly()?;
                self.kernel(bits::bit_count(), vec![rules.unsigned(value)?], BIGINT)
            }
            _ => Ok(Err(args)),
        }
    }

    /// A function of texts where one of them is bytes: it works on the bytes of all.
    fn on_bytes(&mut self, args: &Args) -> Result<Option<Typed>, SqlError> {
        let (is_string, gives_bytes): (fn(usize) -> bool, bool) = match args.name.as_str() {
            "CONCAT_WS" | "REPLACE" | "QUOTE" => (|_| true, true),
            "LPAD" | "RPAD" => (|at| at != 1, true),
            "REPEAT" => (|at| at == 0, true),
            "INSERT" => (|at| at == 0 || at == 3, true),
            "SUBSTRING_INDEX" => (|at| at < 2, true),
            "ELT" | "MAKE_SET" => (|at| at > 0, true),
            "EXPORT_SET" => (|at| (1..4).contains(&at), true),
            "LOCATE" => (|at| at < 2, false),
            "INSTR" | "STRCMP" | "FIND_IN_SET" => (|_| true, false),
            _ => return Ok(None),
        };
        let is_binary =
            |at| args.get(at).is_some_and(|value| value.family() == Family::Binary || value.is_bits());
        if !(0..args.len()).any(|at| is_string(at) && is_binary(at)) {
            return Ok(None);
        }
        let rules = self.rules.clone();
        let args = args
            .clone()
            .try_map(|at, value| if is_string(at) { rules.bytes_as_text(value) } else { Ok(value) })?;
        let name = args.name.clone();
        let result = self.native_call(&name, args.all())?;
        if gives_bytes { rules.text_as_bytes(result).map(Some) } else { Ok(Some(result)) }
    }

    /// LOCATE of texts, and perhaps a place to begin at.
    fn locate(&mut self, mut values: Vec<Typed>) -> Result<Typed, SqlError> {
        let collation = self.rules.common_collation("locate", &[&values[0], &values[1]])?;
        if collation.is_bytes() {
            return crate::analyzer::fold::call(text::locate(), values, BIGINT);
        }
        if values.len() == 2 {
            values.push(Typed::int(1));
        }
        values.push(Typed::text(collation.name()));
        crate::analyzer::fold::call(collate::collated_locate(), values, BIGINT)
    }

    /// SUBSTRING of bytes.
    fn part_of_bytes(&mut self, args: Args) -> Result<Typed, SqlError> {
        let length = self.rules.count(args.or(2, Typed::int(i64::MAX)))?;
        let position = self.rules.count(args.or(1, Typed::null()))?;
        let value = args.or(0, Typed::null());
        let ty = value.ty;
        crate::analyzer::fold::call(text::bytes_part(), vec![value, position, length], ty)
    }

    /// LEFT and RIGHT of bytes.
    fn edge_of_bytes(&mut self, left: bool, value: Typed, length: Typed) -> Result<Typed, SqlError> {
        let length = self.rules.count(length)?;
        if left {
            let ty = value.ty;
            return crate::analyzer::fold::call(text::bytes_part(), vec![value, Typed::int(1), length], ty);
        }
        // The right end is the left end of the bytes read backwards.
        let ty = value.ty;
        let backwards = crate::analyzer::fold::call(text::reverse_bytes(), vec![value], ty)?;
        let part =
            crate::analyzer::fold::call(text::bytes_part(), vec![backwards, Typed::int(1), length], ty)?;
        crate::analyzer::fold::call(text::reverse_bytes(), vec![part], ty)
    }

    fn concat(&mut self, values: Vec<Typed>) -> Result<Typed, SqlError> {
        let binary = values.iter().any(|value| value.family() == Family::Binary);
        if binary {
            let values =
                values.into_iter().map(|value| self.rules.string(value)).collect::<Result<Vec<_>, _>>()?;
            let bytes: u64 = values.iter().map(|value| value.characters() * 4).sum();
            let ty = SqlType::VarBinary(bytes.min(65_535) as u32);
            return crate::analyzer::fold::call(text::concat_bytes(), values, ty);
        }
        let values = self.texts(values)?;
        let length = values.iter().map(Typed::characters).sum();
        crate::analyzer::fold::call(text::concat(), values, text_type(length))
    }

    /// A function whose result is as long as its argument.
    fn same_length(
        &mut self,
        udf: std::sync::Arc<datafusion::logical_expr::ScalarUDF>,
        args: Args,
    ) -> Result<Result<Typed, Args>, SqlError> {
        let is_reverse = args.name == "REVERSE";
        let [value] = args.exactly()?;
        if value.family() == Family::Binary {
            // Bytes have no capitals.
            let ty = value.ty;
            return match is_reverse {
                true => self.kernel(text::reverse_bytes(), vec![value], ty),
                false => Ok(Ok(value)),
            };
        }
        let value = self.rules.text(value)?;
        let ty = if value.ty.is_string() && value.ty != SqlType::Json {
            value.ty
        } else {
            text_type(value.characters())
        };
        self.kernel(udf, vec![value], ty)
    }

    pub(super) fn trim(
        &mut self,
        side: Option<ast::TrimWhereField>,
        value: Typed,
        what: Typed,
    ) -> Result<Typed, SqlError> {
        if value.family() == Family::Binary || what.family() == Family::Binary {
            let (value, what) = (self.rules.bytes_as_text(value)?, self.rules.bytes_as_text(what)?);
            let trimmed = self.trim(side, value, what)?;
            return self.rules.text_as_bytes(trimmed);
        }
        let (value, what) = (self.rules.text(value)?, self.rules.text(what)?);
        let udf = match side {
            None | Some(ast::TrimWhereField::Both) => text::trim_both(),
            Some(ast::TrimWhereField::Leading) => text::trim_leading(),
            Some(ast::TrimWhereField::Trailing) => text::trim_trailing(),
        };
        let ty = text_type(value.characters());
        crate::analyzer::fold::call(udf, vec![value, what], ty)
    }

    /// A number for functions of bits: numbers round, text is read as a number.
    fn bits_of(&mut self, value: Typed) -> Result<Typed, SqlError> {
        let signed = if value.arrow == arrow::datatypes::DataType::UInt64 {
            return Ok(value);
        } else {
            self.rules.signed(value)?
        };
        crate::analyzer::fold::call(
            cast::to_unsigned(),
            vec![signed],
            crate::analyzer::typed::BIGINT_UNSIGNED,
        )
    }

    fn hex(&mut self, value: Typed) -> Result<Typed, SqlError> {
        match value.family() {
            Family::Integer | Family::Boolean | Family::Decimal | Family::Float => {
                let bits = self.bits_of(value)?;
                crate::analyzer::fold::call(math::in_base(), vec![bits, Typed::int(16)], SqlType::VarChar(16))
            }
            _ => {
                let value = self.rules.string(value)?;
                let ty = text_type(value.characters() * 8);
                crate::analyzer::fold::call(text::hex_bytes(), vec![value], ty)
            }
        }
    }

    /// FIELD compares as text if all are text, else as numbers.
    fn field(&mut self, values: Vec<Typed>) -> Result<Typed, SqlError> {
        let textual = values.iter().all(|value| value.family().is_string() || value.family() == Family::Null);
        if textual && values.iter().any(|value| value.family() == Family::Binary) {
            let values = values.into_iter().map(|value| self.rules.bytes_as_text(value));
            return self.field(values.collect::<Result<_, _>>()?);
        }
        if textual && !self.rules.common_collation("field", &values.iter().collect::<Vec<_>>())?.is_bytes() {
            let mut values = values.into_iter();
            let wanted = values.next().unwrap_or_else(Typed::null);
            let (mut tests, mut results) = (Vec::new(), Vec::new());
            for (candidate, place) in values.zip(1..) {
                tests.push(self.rules.compare(Comparison::Equal, wanted.clone(), candidate)?);
                results.push(Typed::int(place));
            }
            results.push(Typed::int(0));
            return self.choose(tests, results);
        }
        let values = if textual {
            self.texts(values)?
        } else {
            let doubles =
                values.into_iter().map(|value| self.rules.double(value)).collect::<Result<Vec<_>, _>>()?;
            self.texts(doubles)?
        };
        crate::analyzer::fold::call(text::field(), values, BIGINT)
    }
}

fn repeated_type(characters: u64, count: &Typed) -> SqlType {
    match count.as_literal() {
        Some(ScalarValue::Int64(Some(count))) => {
            text_type(characters.saturating_mul(u64::try_from(*count).unwrap_or(0)))
        }
        _ => text_type(LONG),
    }
}
