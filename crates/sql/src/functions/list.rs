//! Lists that an aggregate gathered, as text.

use super::cast::texts_of;
use super::kernel::{Function, Nulls, Returns, build_text, functions};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::logical_expr::ScalarUDF;
use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

functions! {
    /// join_list(list, separator, fractional second digits): the values that are not NULL, as text; NULL if
    /// there are none.
    join_list, "join_list", Returns::Type(DataType::Utf8View), Always, |args| {
        let lists = args.array(0)?;
        let lists = lists.as_list::<i32>();
        let (separators, digits) = (args.texts(1)?, args.numbers::<Int64Type>(2)?);
        let texts = texts_of(lists.values(), digits.get(0).unwrap_or(0))?;
        let texts = texts.as_string_view();
        let offsets = lists.value_offsets();
        build_text(args.rows, |row, out| {
            if lists.is_null(row) {
                return Ok(None);
            }
            let range = offsets[row] as usize..offsets[row + 1] as usize;
            let separator = separators.get(row).unwrap_or_default();
            let mut first = true;
            for at in range.filter(|at| texts.is_valid(*at)) {
                if !first {
                    out.push_str(separator);
                }
                first = false;
                out.push_str(texts.value(at));
            }
            Ok((!first).then_some(()))
        })
    };
    /// join_unequal(list, separator, collation): the texts that are not NULL and equal none before them; NULL
    /// if there are none.
    join_unequal, "join_unequal", Returns::Type(DataType::Utf8View), Always, |args| {
        let lists = args.array(0)?;
        let lists = lists.as_list::<i32>();
        let (separators, collation) = (args.texts(1)?, super::collate::collation(args, 2)?);
        let texts = texts_of(lists.values(), 0)?;
        let texts = texts.as_string_view();
        let offsets = lists.value_offsets();
        build_text(args.rows, |row, out| {
            if lists.is_null(row) {
                return Ok(None);
            }
            let range = offsets[row] as usize..offsets[row + 1] as usize;
            let separator = separators.get(row).unwrap_or_default();
            let mut seen = HashSet::new();
            for at in range.filter(|at| texts.is_valid(*at)) {
                let is_first = seen.is_empty();
                if !seen.insert(collation.key_of(texts.value(at))) {
                    continue;
                }
                if !is_first {
                    out.push_str(separator);
                }
                out.push_str(texts.value(at));
            }
            Ok((!seen.is_empty()).then_some(()))
        })
    };
}
