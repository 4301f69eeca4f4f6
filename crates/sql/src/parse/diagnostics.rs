//! GET DIAGNOSTICS.

use super::reader::{Read, Reader, unsupported};
use crate::statement::*;

const OF_STATEMENT: &[(&str, StatementItem)] =
    &[("NUMBER", StatementItem::Number), ("ROW_COUNT", StatementItem::RowCount)];

const OF_CONDITION: &[(&str, ConditionItem)] = &[
    ("CLASS_ORIGIN", ConditionItem::ClassOrigin),
    ("SUBCLASS_ORIGIN", ConditionItem::SubclassOrigin),
    ("RETURNED_SQLSTATE", ConditionItem::ReturnedSqlstate),
    ("MESSAGE_TEXT", ConditionItem::MessageText),
    ("MYSQL_ERRNO", ConditionItem::MysqlErrno),
    // No message says where it comes from, as in MySQL.
    ("CONSTRAINT_CATALOG", ConditionItem::Empty),
    ("CONSTRAINT_SCHEMA", ConditionItem::Empty),
    ("CONSTRAINT_NAME", ConditionItem::Empty),
    ("CATALOG_NAME", ConditionItem::Empty),
    ("SCHEMA_NAME", ConditionItem::Empty),
    ("TABLE_NAME", ConditionItem::Empty),
    ("COLUMN_NAME", ConditionItem::Empty),
    ("CURSOR_NAME", ConditionItem::Empty),
];

impl Reader<'_> {
    pub(super) fn get_diagnostics(&mut self) -> Read<Statement> {
        self.expect("GET")?;
        if self.eat("STACKED") {
            return unsupported("GET STACKED DIAGNOSTICS, which is of stored procedures");
        }
        self.eat("CURRENT");
        self.expect("DIAGNOSTICS")?;
        let of = if self.eat("CONDITION") {
            let number = Box::new(self.expr()?);
            let items = self.list(|r| r.diagnostic(OF_CONDITION))?;
            Diagnostics::Condition { number, items }
        } else {
            Diagnostics::Statement(self.list(|r| r.diagnostic(OF_STATEMENT))?)
        };
        Ok(Statement::GetDiagnostics(of))
    }

    /// @variable = ITEM
    fn diagnostic<I: Copy>(&mut self, known: &[(&str, I)]) -> Read<(String, I)> {
        let Some(variable) = self.user_variable() else { return self.expected("a user variable") };
        self.assign_sign()?;
        let found = known.iter().find(|(word, _)| self.is(word));
        let Some((word, item)) = found else { return self.expected("an item of the diagnostics") };
        self.expect(word)?;
        Ok((variable, *item))
    }
}
