//! GET DIAGNOSTICS: the messages of the statement before, in user variables.

use super::query::Parameters;
use super::{Answer, done};
use crate::session::{Level, State};
use sql::statement::{ConditionItem, Diagnostics, StatementItem};
use types::{ErrorKind, Result, Value};

impl State {
    pub(crate) fn get_diagnostics(&mut self, of: &Diagnostics, parameters: Parameters<'_>) -> Result<Answer> {
        match of {
            Diagnostics::Statement(items) => {
                for (variable, item) in items {
                    let value = match item {
                        StatementItem::Number => Value::UInt(self.message_count()),
                        StatementItem::RowCount => Value::Int(self.row_count),
                    };
                    self.variables.set_user(variable, value);
                }
            }
            Diagnostics::Condition { number, items } => {
                let number = match self.evaluate(number, parameters)? {
                    Value::Int(number) => usize::try_from(number).ok(),
                    Value::UInt(number) => usize::try_from(number).ok(),
                    _ => None,
                };
                let Some(message) = number.and_then(|number| self.messages.get(number.checked_sub(1)?))
                else {
                    // As in MySQL this is a message of its own, not the end of the statement.
                    self.add_message(
                        Level::Error,
                        ErrorKind::InvalidConditionNumber.errno(),
                        "Invalid condition number",
                    );
                    return Ok(done());
                };
                let (errno, text) = (message.errno, message.text.clone());
                for (variable, item) in items {
                    self.variables.set_user(variable, condition_value(*item, errno, &text));
                }
            }
        }
        Ok(done())
    }
}

fn condition_value(item: ConditionItem, errno: u16, text: &str) -> Value {
    let kind = ErrorKind::ALL.iter().find(|kind| kind.errno() == errno);
    let state = kind.map_or("HY000", |kind| kind.sqlstate());
    // Classes that begin so are the standard's, others its makers'.
    let is_standard = state.starts_with(|c: char| matches!(c, '0'..='4' | 'A'..='H'));
    let origin = |is_standard: bool| if is_standard { "ISO 9075" } else { "MySQL" };
    let text = match item {
        ConditionItem::MysqlErrno => return Value::Int(errno.into()),
        ConditionItem::ClassOrigin => origin(is_standard),
        ConditionItem::SubclassOrigin => origin(is_standard || state.ends_with("000")),
        ConditionItem::ReturnedSqlstate => state,
        ConditionItem::MessageText => text,
        ConditionItem::Empty => "",
    };
    Value::Text(text.to_string())
}
