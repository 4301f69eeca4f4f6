//! REGEXP and the functions of its family.

use super::binder::Binder;
use super::calls::Args;
use crate::analyzer::Typed;
use crate::analyzer::fold::call;
use crate::analyzer::typed::{BIGINT, text_type};
use crate::functions::regexp;
use types::SqlError;

impl Binder<'_> {
    /// `value REGEXP pattern`.
    pub(super) fn regexp(&mut self, value: Typed, pattern: Typed) -> Result<Typed, SqlError> {
        self.regexp_like(value, pattern, Typed::text(""))
    }

    fn regexp_like(&mut self, value: Typed, pattern: Typed, flags: Typed) -> Result<Typed, SqlError> {
        let rules = self.rules.clone();
        let flags = self.regexp_flags(&value, &pattern, flags)?;
        let args = vec![rules.text(value)?, rules.text(pattern)?, flags];
        call(regexp::regexp(), args, BIGINT)
    }

    /// The flags, before them whether capitals count by the collation.
    fn regexp_flags(&self, value: &Typed, pattern: &Typed, flags: Typed) -> Result<Typed, SqlError> {
        let flags = self.rules.text(flags)?;
        if self.rules.common_collation("regexp", &[value, pattern])?.is_bytes() {
            return Ok(flags);
        }
        let ty = text_type(flags.characters() + 1);
        call(crate::functions::text::concat(), vec![Typed::text("i"), flags], ty)
    }

    pub(super) fn regexp_call(&mut self, args: Args) -> Result<Result<Typed, Args>, SqlError> {
        let rules = self.rules.clone();
        let one = || Typed::int(1);
        Ok(Ok(match args.name.as_str() {
            "REGEXP_LIKE" => {
                args.count(2, 3)?;
                let null = Typed::null;
                let flags = args.or(2, Typed::text(""));
                self.regexp_like(args.or(0, null()), args.or(1, null()), flags)?
            }
            "REGEXP_INSTR" => {
                args.count(2, 6)?;
                let (value, pattern) = (args.or(0, Typed::null()), args.or(1, Typed::null()));
                let flags = self.regexp_flags(&value, &pattern, args.or(5, Typed::text("")))?;
                let values = vec![
                    rules.text(value)?,
                    rules.text(pattern)?,
                    flags,
                    rules.signed(args.or(2, one()))?,
                    rules.signed(args.or(3, one()))?,
                    rules.signed(args.or(4, Typed::int(0)))?,
                ];
                call(regexp::regexp_instr(), values, BIGINT)?
            }
            "REGEXP_SUBSTR" => {
                args.count(2, 5)?;
                let (value, pattern) = (args.or(0, Typed::null()), args.or(1, Typed::null()));
                let flags = self.regexp_flags(&value, &pattern, args.or(4, Typed::text("")))?;
                let value = rules.text(value)?;
                let ty = text_type(value.characters());
                let values = vec![
                    value,
                    rules.text(pattern)?,
                    flags,
                    rules.signed(args.or(2, one()))?,
                    rules.signed(args.or(3, one()))?,
                ];
                call(regexp::regexp_substr(), values, ty)?
            }
            "REGEXP_REPLACE" => {
                args.count(3, 6)?;
                let (value, pattern) = (args.or(0, Typed::null()), args.or(1, Typed::null()));
                let flags = self.regexp_flags(&value, &pattern, args.or(5, Typed::text("")))?;
                let (value, new) = (rules.text(value)?, rules.text(args.or(2, Typed::null()))?);
                let ty = text_type(value.characters().saturating_mul(new.characters().max(1)));
                let values = vec![
                    value,
                    rules.text(pattern)?,
                    flags,
                    new,
                    rules.signed(args.or(3, one()))?,
                    rules.signed(args.or(4, Typed::int(0)))?,
                ];
                call(regexp::regexp_replace(), values, ty)?
            }
            _ => return Ok(Err(args)),
        }))
    }
}
