//! JSON functions.

use super::binder::Binder;
use super::calls::Args;
use crate::analyzer::fold::{call, cast};
use crate::analyzer::typed::{BIGINT, BIGINT_UNSIGNED, is_unsigned, text_type};
use crate::analyzer::{Family, Typed};
use crate::functions::{json, json_keys};
use arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, ScalarUDF};
use std::sync::Arc;
use types::{ErrorKind, SqlError, SqlType};

impl Binder<'_> {
    pub(super) fn json_call(&mut self, args: Args) -> Result<Result<Typed, Args>, SqlError> {
        let rules = self.rules.clone();
        Ok(Ok(match args.name.as_str() {
            "JSON_EXTRACT" => {
                args.count(2, usize::MAX)?;
                self.json_of_document(json::json_extract(), args, SqlType::Json)?
            }
            "JSON_KEYS" => {
                args.count(1, 2)?;
                self.json_of_document(json::json_keys(), args, SqlType::Json)?
            }
            "JSON_LENGTH" => {
                args.count(1, 2)?;
                self.json_of_document(json::json_length(), args, BIGINT)?
            }
            "JSON_DEPTH" => {
                args.count(1, 1)?;
                self.json_of_document(json::json_depth(), args, BIGINT)?
            }
            "JSON_TYPE" => {
                args.count(1, 1)?;
                self.json_of_document(json::json_type(), args, SqlType::VarChar(51))?
            }
            "JSON_PRETTY" => {
                args.count(1, 1)?;
                self.json_of_document(
                    json::json_pretty(),
                    args,
                    SqlType::Text(types::sql_type::LobSize::Long),
                )?
            }
            "JSON_REMOVE" => {
                args.count(2, usize::MAX)?;
                self.json_of_document(json::json_remove(), args, SqlType::Json)?
            }
            "JSON_VALUE" => {
                args.count(2, 2)?;
                self.json_of_document(json::json_scalar(), args, SqlType::VarChar(512))?
            }
            "JSON_CONTAINS_PATH" => {
                args.count(3, usize::MAX)?;
                self.json_of_document(json::json_contains_path(), args, BIGINT)?
            }
            "JSON_CONTAINS" => {
                args.count(2, 3)?;
                let mut values = Vec::with_capacity(3);
                for (at, value) in args.all().into_iter().enumerate() {
                    values.push(if at < 2 {
                        self.json_document(value, at + 1, "json_contains")?
                    } else {
                        rules.text(value)?
                    });
                }
                call(json::json_contains(), values, BIGINT)?
            }
            "JSON_OVERLAPS" => {
                args.count(2, 2)?;
                let values = self.json_documents(args)?;
                call(json::json_overlaps(), values, BIGINT)?
            }
            "JSON_MERGE_PATCH" => {
                args.count(2, usize::MAX)?;
                let values = self.json_documents(args)?;
                call(json::json_merge_patch(), values, SqlType::Json)?
            }
            "JSON_MERGE_PRESERVE" | "JSON_MERGE" => {
                args.count(2, usize::MAX)?;
                let values = self.json_documents(args)?;
                call(json::json_merge_preserve(), values, SqlType::Json)?
            }
            "JSON_SEARCH" => {
                args.count(3, usize::MAX)?;
                let mut values = Vec::with_capacity(args.len().max(4));
                for (at, value) in args.all().into_iter().enumerate() {
                    values.push(if at == 0 {
                        self.json_document(value, 1, "json_search")?
                    } else {
                        rules.text(value)?
                    });
                }
                if values.len() == 3 {
                    values.push(Typed::text("\\"));
                }
                call(json::json_search(), values, SqlType::Json)?
            }
            "JSON_SET" => self.json_change(json::json_set(), args)?,
            "JSON_INSERT" => self.json_change(json::json_insert(), args)?,
            "JSON_REPLACE" => self.json_change(json::json_replace(), args)?,
            "JSON_ARRAY_APPEND" => self.json_change(json::json_array_append(), args)?,
            "JSON_ARRAY_INSERT" => self.json_change(json::json_array_insert(), args)?,
            "JSON_ARRAY" => {
                let values =
                    args.all().into_iter().map(|value| self.json_value(value)).collect::<Result<_, _>>()?;
                self.json_built(json::json_array(), values, "[]")?
            }
            "JSON_OBJECT" => {
                if args.len() % 2 == 1 {
                    args.count(0, 0)?;
                }
                let mut values = Vec::with_capacity(args.len());
                for (at, value) in args.all().into_iter().enumerate() {
                    values.push(if at.is_multiple_of(2) {
                        rules.text(value)?
                    } else {
                        self.json_value(value)?
                    });
                }
                self.json_built(json::json_object(), values, "{}")?
            }
            "JSON_EXTRACT_JSON" | "JSON_EXTRACT_STRING" | "JSON_EXTRACT_DOUBLE" | "JSON_EXTRACT_BIGINT" => {
                args.count(1, usize::MAX)?;
                let long = SqlType::Text(types::sql_type::LobSize::Long);
                let (udf, ty) = match args.name.as_str() {
                    "JSON_EXTRACT_JSON" => (json_keys::json_at(), SqlType::Json),
                    "JSON_EXTRACT_STRING" => (json_keys::text_at(), long),
                    "JSON_EXTRACT_DOUBLE" => (json_keys::double_at(), SqlType::Double),
                    _ => (json_keys::integer_at(), BIGINT),
                };
                self.json_of_document(udf, args, ty)?
            }
            "JSON_QUOTE" => {
                let [value] = args.exactly()?;
                let value = rules.text(value)?;
                let ty = text_type(value.characters().saturating_mul(6) + 2);
                call(json::json_quote(), vec![value], ty)?
            }
            "JSON_UNQUOTE" => {
                let [value] = args.exactly()?;
                self.json_unquoted(value)?
            }
            "JSON_VALID" => {
                let [value] = args.exactly()?;
                match value.family() {
                    Family::Null | Family::Text => {
                        call(json::json_valid(), vec![rules.text(value)?], BIGINT)?
                    }
                    // A value that is neither text nor JSON is no JSON.
                    _ => {
                        let test = Typed::boolean(Expr::IsNull(Box::new(value.expr)), false);
                        self.choose(vec![test], vec![Typed::null(), Typed::int(0)])?
                    }
                }
            }
            _ => return Ok(Err(args)),
        }))
    }

    /// The text of a JSON string, and of anything else what is written.
    pub(super) fn json_unquoted(&mut self, value: Typed) -> Result<Typed, SqlError> {
        let value = self.rules.text(value)?;
        call(json::json_unquote(), vec![value], SqlType::Text(types::sql_type::LobSize::Long))
    }

    /// `value MEMBER OF(document)`: whether it is an element of the array, or all that the document is.
    pub(super) fn member_of(&mut self, value: Typed, document: Typed) -> Result<Typed, SqlError> {
        let document = self.json_document(document, 2, "member of")?;
        let is_null = Typed::boolean(Expr::IsNull(Box::new(self.rules.copy(&value)?.expr)), false);
        let nullable = value.nullable;
        let element = self.json_value(value)?;
        let list = call(json::json_array(), vec![element], SqlType::Json)?;
        let found = call(json::json_overlaps(), vec![document, list], BIGINT)?;
        if !nullable {
            return Ok(found);
        }
        self.choose(vec![is_null], vec![Typed::null(), found])
    }

    /// `document -> 'path'`.
    pub(super) fn json_arrow(&mut self, document: Typed, path: Typed) -> Result<Typed, SqlError> {
        self.native_call("JSON_EXTRACT", vec![document, path])
    }

    /// CAST(value AS JSON): text is read, other values are made JSON.
    pub(super) fn json_cast(&mut self, value: Typed) -> Result<Typed, SqlError> {
        match value.family() {
            Family::Null => Ok(Typed::typed_null(SqlType::Json, DataType::Utf8View)),
            _ if value.ty == SqlType::Json => Ok(value),
            Family::Text => call(json::json_normal(), vec![value], SqlType::Json),
            _ if value.nullable => {
                let test = Typed::boolean(Expr::IsNull(Box::new(self.rules.copy(&value)?.expr)), false);
                let null = Typed::typed_null(SqlType::Json, DataType::Utf8View);
                let written = self.json_value(value)?;
                self.choose(vec![test], vec![null, written])
            }
            _ => self.json_value(value),
        }
    }

    /// A function of a document and texts.
    fn json_of_document(&mut self, udf: Arc<ScalarUDF>, args: Args, ty: SqlType) -> Result<Typed, SqlError> {
        let name = args.name.to_ascii_lowercase();
        let mut values = Vec::with_capacity(args.len());
        for (at, value) in args.all().into_iter().enumerate() {
            values.push(if at == 0 {
                self.json_document(value, 1, &name)?
            } else {
                self.rules.text(value)?
            });
        }
        call(udf, values, ty)
    }

    fn json_documents(&mut self, args: Args) -> Result<Vec<Typed>, SqlError> {
        let name = args.name.to_ascii_lowercase();
        args.all()
            .into_iter()
            .enumerate()
            .map(|(at, value)| self.json_document(value, at + 1, &name))
            .collect()
    }

    /// An argument that must be JSON or text.
    pub(super) fn json_document(
        &mut self,
        value: Typed,
        argument: usize,
        function: &str,
    ) -> Result<Typed, SqlError> {
        match value.family() {
            Family::Text | Family::Null => self.rules.text(value),
            _ => Err(SqlError::new(
                ErrorKind::InvalidTypeForJson,
                format!(
                    "Invalid data type for JSON data in argument {argument} to function {function}; a JSON string \
                     or JSON type is required."
                ),
            )),
        }
    }

    fn json_change(&mut self, udf: Arc<ScalarUDF>, args: Args) -> Result<Typed, SqlError> {
        let name = args.name.to_ascii_lowercase();
        args.count(3, usize::MAX)?;
        if args.len().is_multiple_of(2) {
            args.count(0, 0)?;
        }
        let mut values = Vec::with_capacity(args.len());
        for (at, value) in args.all().into_iter().enumerate() {
            values.push(match at {
                0 => self.json_document(value, 1, &name)?,
                at if at % 2 == 1 => self.rules.text(value)?,
                _ => self.json_value(value)?,
            });
        }
        call(udf, values, SqlType::Json)
    }

    fn json_built(
        &mut self,
        udf: Arc<ScalarUDF>,
        values: Vec<Typed>,
        empty: &str,
    ) -> Result<Typed, SqlError> {
        if values.is_empty() {
            return Ok(Typed { ty: SqlType::Json, ..Typed::text(empty) });
        }
        call(udf, values, SqlType::Json)
    }

    /// A value written as JSON; NULL is `null`.
    pub(super) fn json_value(&mut self, value: Typed) -> Result<Typed, SqlError> {
        let is_json = Typed::int(i64::from(value.ty == SqlType::Json));
        let value = match value.family() {
            Family::Integer if is_unsigned(&value.arrow) => cast(value, DataType::UInt64, BIGINT_UNSIGNED),
            Family::Integer => cast(value, DataType::Int64, BIGINT),
            Family::Timestamp => self.rules.local(value)?,
            _ => value,
        };
        call(json::json_value_of(), vec![value, is_json], SqlType::Json)
    }
}
