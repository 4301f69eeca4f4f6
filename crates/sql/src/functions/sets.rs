//! EXPORT_SET and MAKE_SET: the bits of a number as text; and the numbers of ENUM and SET.

use super::kernel::{Function, Nulls, Returns, build_numbers, build_text, fits, functions};
use arrow::datatypes::{DataType, Int64Type, UInt64Type};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};
use types::SqlType;

functions! {
    /// export_set(bits, on, off, separator, number of bits)
    export_set, "export_set", Returns::Type(DataType::Utf8View), Propagate, |args| {
        let (bits, counts) = (args.numbers::<UInt64Type>(0)?, args.numbers::<Int64Type>(4)?);
        let (on, off, separators) = (args.texts(1)?, args.texts(2)?, args.texts(3)?);
        build_text(args.rows, |row, out| {
            let (Some(bits), Some(on), Some(off), Some(separator), Some(count)) =
                (bits.get(row), on.get(row), off.get(row), separators.get(row), counts.get(row))
            else {
                return Ok(None);
            };
            // Any number that is none of 0 to 64 means 64.
            let count = if (0..=64).contains(&count) { count } else { 64 };
            for at in 0..count {
                let text = if bits >> at & 1 == 1 { on } else { off };
                fits("export_set", out.len(), separator.len().saturating_add(text.len()))?;
                if at > 0 {
                    out.push_str(separator);
                }
                out.push_str(text);
            }
            Ok(Some(()))
        })
    };
    /// label_number(text, type): see [`SqlType::label_numbers`].
    label_number, "label_number", Returns::Type(DataType::UInt64), Propagate, |args| {
        let (texts, types) = (args.texts(0)?, args.texts(1)?);
        let numbers = types.get(0).and_then(SqlType::parse).and_then(SqlType::label_numbers);
        build_numbers::<UInt64Type>(args, |row| {
            Ok(texts.get(row).map(|text| numbers.as_ref().map_or(0, |number| number(text))))
        })
    };
    /// make_set(bits, text, ..): NULLs are left out.
    make_set, "make_set", Returns::Type(DataType::Utf8View), Always, |args| {
        let bits = args.numbers::<UInt64Type>(0)?;
        let texts = (1..args.len()).map(|at| args.texts(at)).collect::<Result<Vec<_>>>()?;
        build_text(args.rows, |row, out| {
            let Some(bits) = bits.get(row) else { return Ok(None) };
            let mut first = true;
            for (at, text) in texts.iter().take(64).enumerate() {
                if bits >> at & 1 == 1
                    && let Some(text) = text.get(row)
                {
                    fits("make_set", out.len(), text.len() + 1)?;
                    if !first {
                        out.push(',');
                    }
                    first = false;
                    out.push_str(text);
                }
            }
            Ok(Some(()))
        })
    };
}
