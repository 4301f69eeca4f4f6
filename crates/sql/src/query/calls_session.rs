//! Functions about the session and the server.

use super::binder::Binder;
use super::calls::Args;
use crate::analyzer::typed::{BIGINT, BIGINT_UNSIGNED};
use crate::analyzer::{Collated, Family, Typed};
use crate::functions::{insert_id, sleep};
use arrow::datatypes::DataType;
use types::sql_type::LobSize;
use types::{SqlError, SqlType};

impl Binder<'_> {
    pub(super) fn session_call(&mut self, args: Args) -> Result<Result<Typed, Args>, SqlError> {
        let session = &self.ctx.session;
        let name = args.name.as_str();
        let value = match name {
            "DATABASE" | "SCHEMA" => match session.database {
                Some(database) => Typed::text(database),
                None => Typed::typed_null(SqlType::VarChar(64), DataType::Utf8View),
            },
            "USER" | "SESSION_USER" | "SYSTEM_USER" => Typed::text(session.user.get()),
            "CURRENT_USER" => Typed::text(session.current_user.get()),
            "CURRENT_ROLE" => Typed::text(session.current_role.get()),
            "VERSION" => Typed::text(session.version),
            "CONNECTION_ID" => Typed::uint(session.connection_id.get()),
            "LAST_INSERT_ID" if args.len() == 1 => {
                let [id] = args.exactly()?;
                let id = self.rules.unsigned(id)?;
                return self.kernel(insert_id::last_insert_id(), vec![id], BIGINT_UNSIGNED);
            }
            "LAST_INSERT_ID" => Typed::uint(session.last_insert_id.get()),
            "ROW_COUNT" => Typed::int(session.row_count.get()),
            "FOUND_ROWS" => Typed::uint(session.found_rows.get()),
            "CHARSET" | "COLLATION" => {
                let binary = name_of_binary(args.get(0));
                let collation = args.get(0).map(|value| self.rules.collation(value)).unwrap_or_default();
                args.count(1, 1)?;
                return Ok(Ok(Typed::text(match (args.name.as_str(), binary) {
                    (_, true) => "binary",
                    ("CHARSET", false) => crate::charset::DEFAULT_CHARSET,
                    _ => collation.name(),
                })));
            }
            "COERCIBILITY" => {
                let [value] = args.exactly()?;
                return Ok(Ok(Typed::int(coercibility(&value))));
            }
            // No account may read files of the server, and then MySQL says NULL.
            "LOAD_FILE" => {
                args.count(1, 1)?;
                return Ok(Ok(Typed::typed_null(SqlType::Blob(LobSize::Long), DataType::BinaryView)));
            }
            "SLEEP" => {
                let strict = session.modes.strict;
                let [seconds] = args.exactly()?;
                // A plan with it runs once.
                super::note_momentary();
                let seconds = self.rules.double(seconds)?;
                return self.kernel(sleep::sleep(), vec![seconds, Typed::int(i64::from(strict))], BIGINT);
            }
            name if super::function_names::is_not_yet(name) => {
                return Err(SqlError::unsupported(format_args!("{name}()")));
            }
            name if super::early::is_early(name) => return Err(super::early::refused(name)),
            "PS_CURRENT_THREAD_ID" => Typed::literal(
                datafusion::common::ScalarValue::UInt64(Some(session.connection_id.get())),
                BIGINT,
            ),
            _ => return Ok(Err(args)),
        };
        args.count(0, 0)?;
        Ok(Ok(Typed { collation: Collated::SYSTEM, ..value }))
    }
}

/// How willingly a value takes another's collation: 2 for what has a column's, 4 for literals, 5 for
/// numbers and dates, 6 for NULL.
fn coercibility(value: &Typed) -> i64 {
    match value.family() {
        Family::Null => 6,
        Family::Text => value.collated().coercibility as i64,
        Family::Binary if value.expr.any_column_refs() => 2,
        Family::Binary => 4,
        _ => 5,
    }
}

fn name_of_binary(value: Option<&Typed>) -> bool {
    value.is_some_and(|value| value.family() != Family::Text)
}
