//! Warnings that values raise while they are evaluated (a division by zero, a text that is no number), and those of
//! values that are brought to their columns. Whoever evaluates gathers them on its thread: binding and assignment
//! all of them ([`gather`]), the stages of a query so many and the number of the others ([`hear`]). Where nobody does
//! they are dropped. A kernel asks only on the way that it seldom takes whether a value is worth a warning.

use std::cell::RefCell;
use types::ErrorKind;

/// A line of SHOW WARNINGS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub kind: ErrorKind,
    pub message: String,
}

impl Warning {
    /// Whether the strict modes make an error of it in a statement that writes to a table.
    pub fn is_error_if_strict(&self) -> bool {
        weight(self.kind) > 0
    }
}

/// What a warning is to the strict modes: nothing, an error in some of them, or in all. Of those that MySQL names there
/// these are the ones that values raise.
fn weight(kind: ErrorKind) -> u8 {
    use ErrorKind as E;
    match kind {
        E::DivisionByZero => 1,
        _ if matches!(
            kind,
            E::ColumnCannotBeNull
                | E::WrongArguments
                | E::CutListOfGroup
                | E::WarnTooFewRecords
                | E::WarnNullToNotNull
                | E::OutOfRange
                | E::DataTruncated
                | E::WrongValue
                | E::NoDefaultForField
                | E::IncorrectValue
                | E::DataTooLong
                | E::WrongValueForFunction
                | E::WarnAllowedPacketOverflowed
                | E::DatetimeFunctionOverflow
                | E::InvalidArgumentForLogarithm
        ) =>
        {
            2
        }
        _ => 0,
    }
}

/// The warnings of a query that are kept: as many as a session shows.
pub const MOST: usize = 1024;

/// Warnings up to a number, and how many more there were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    pub warnings: Vec<Warning>,
    /// Divisions by zero past those; they count in some modes only.
    pub more_divisions: u64,
    /// Others past those.
    pub more: u64,
    /// What LAST_INSERT_ID(..) was given last.
    pub insert_id: Option<u64>,
}

impl From<Vec<Warning>> for Heard {
    fn from(warnings: Vec<Warning>) -> Heard {
        Heard { warnings, ..Heard::default() }
    }
}

impl Heard {
    pub fn is_empty(&self) -> bool {
        *self == Heard::default()
    }

    /// How many there were.
    pub fn count(&self, divisions: bool) -> u64 {
        let counts = |warning: &&Warning| divisions || warning.kind != ErrorKind::DivisionByZero;
        let kept = self.warnings.iter().filter(counts).count() as u64;
        kept + self.more + if divisions { self.more_divisions } else { 0 }
    }

    fn add(&mut self, most: usize, kind: ErrorKind, message: impl FnOnce() -> String) {
        if self.warnings.len() < most {
            self.warnings.push(Warning { kind, message: message() });
            return;
        }
        // If there is one that the strict modes make an error of, one is among those that are kept.
        let (own, is_lighter) = (weight(kind), |kept: &Warning| weight(kept.kind) < weight(kind));
        let mut left_out = kind;
        if own > 0
            && self.warnings.iter().all(is_lighter)
            && let Some(last) = self.warnings.last_mut()
        {
            left_out = last.kind;
            *last = Warning { kind, message: message() };
        }
        match left_out {
            ErrorKind::DivisionByZero => self.more_divisions += 1,
            _ => self.more += 1,
        }
    }

    /// Takes those of another in.
    pub fn append(&mut self, other: Heard) {
        self.append_to(MOST, other);
    }

    fn append_to(&mut self, most: usize, other: Heard) {
        for Warning { kind, message } in other.warnings {
            self.add(most, kind, || message);
        }
        self.more += other.more;
        self.more_divisions += other.more_divisions;
        self.insert_id = other.insert_id.or(self.insert_id);
    }
}

struct Gathered {
    heard: Heard,
    most: usize,
}

thread_local! {
    static GATHERED: RefCell<Option<Gathered>> = const { RefCell::new(None) };
}

fn gathering<T>(most: usize, body: impl FnOnce() -> T) -> (T, Heard) {
    let mine = Gathered { heard: Heard::default(), most };
    let outer = GATHERED.with(|gathered| gathered.replace(Some(mine)));
    let result = body();
    let gathered = GATHERED.with(|gathered| gathered.replace(outer));
    (result, gathered.map(|gathered| gathered.heard).unwrap_or_default())
}

/// Runs `body` and takes the warnings that it raises.
pub fn gather<T>(body: impl FnOnce() -> T) -> (T, Vec<Warning>) {
    let (result, heard) = hear_all(body);
    (result, heard.warnings)
}

/// Runs `body` and takes all that is heard of it.
pub fn hear_all<T>(body: impl FnOnce() -> T) -> (T, Heard) {
    gathering(usize::MAX, body)
}

/// Runs a part of a query, and takes the warnings that it raises, up to [`MOST`] of them.
pub fn hear<T>(body: impl FnOnce() -> T) -> (T, Heard) {
    gathering(MOST, body)
}

/// Raises what was heard elsewhere.
pub fn pass_on(heard: Heard) {
    GATHERED.with(|gathered| {
        if let Some(gathered) = gathered.borrow_mut().as_mut() {
            gathered.heard.append_to(gathered.most, heard);
        }
    });
}

/// Whether a warning would be heard.
pub(crate) fn are_gathered() -> bool {
    GATHERED.with(|gathered| gathered.borrow().is_some())
}

pub(crate) fn warn(kind: ErrorKind, message: impl FnOnce() -> String) {
    GATHERED.with(|gathered| {
        if let Some(gathered) = gathered.borrow_mut().as_mut() {
            gathered.heard.add(gathered.most, kind, message);
        }
    });
}

/// Tells the session what LAST_INSERT_ID() is from now on.
pub(crate) fn tell_insert_id(id: u64) {
    GATHERED.with(|gathered| {
        if let Some(gathered) = gathered.borrow_mut().as_mut() {
            gathered.heard.insert_id = Some(id);
        }
    });
}

/// 1365.
pub(crate) fn division_by_zero() {
    warn(ErrorKind::DivisionByZero, || "Division by 0".to_string());
}

/// 1292: text that is no value of the type, or not as a whole.
pub(crate) fn truncated(ty: &str, text: &[u8]) {
    warn(ErrorKind::WrongValue, || {
        format!("Truncated incorrect {ty} value: '{}'", beginning(&String::from_utf8_lossy(text)))
    });
}

/// 1292: text that is no date or time.
pub(crate) fn incorrect(ty: &str, text: &str) {
    warn(ErrorKind::WrongValue, || format!("Incorrect {ty} value: '{}'", beginning(text)));
}

/// 1411: text that a function cannot read as a value of the type.
pub(crate) fn incorrect_for(function: &str, ty: &str, text: &str) {
    warn(ErrorKind::WrongValueForFunction, || {
        format!("Incorrect {ty} value: '{}' for function {function}", beginning(text))
    });
}

/// 1441: a moment, or a time of day, that was moved out of the range of its type.
pub(crate) fn field_overflow(ty: &str) {
    warn(ErrorKind::DatetimeFunctionOverflow, || format!("Datetime function: {ty} field overflow"));
}

/// 1301: a string that a function does not make, of more than `most` bytes.
pub(crate) fn too_long(function: &str, most: usize) {
    warn(ErrorKind::WarnAllowedPacketOverflowed, || {
        format!("Result of {function}() was larger than max_allowed_packet ({most}) - truncated")
    });
}

/// 3020.
pub(crate) fn no_logarithm() {
    warn(ErrorKind::InvalidArgumentForLogarithm, || "Invalid argument for logarithm".to_string());
}

/// 1264: a number that was cut to the range of what it is cast to.
pub(crate) fn out_of_range(column: &str) {
    warn(ErrorKind::OutOfRange, || format!("Out of range value for column '{}' at row 1", beginning(column)));
}

/// 1260: a list of GROUP_CONCAT that was cut after `kept`. The row is that of the list, by its separators.
pub(crate) fn cut_list(kept: &str, separator: &str) {
    warn(ErrorKind::CutListOfGroup, || {
        let whole = if separator.is_empty() { 0 } else { kept.matches(separator).count() };
        format!("Row {} was cut by GROUP_CONCAT()", whole + 1)
    });
}

/// What a function warns of among its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarnsOf {
    /// A zero, which is the second argument.
    Zero,
    /// A text that is no value of another type, which is the first.
    Text,
    /// A length, which is the second: one that makes a string too long.
    Length,
    /// Any of them.
    Any,
}

/// What the function of this name in plans warns of.
pub fn warns_of(function: &str) -> Option<WarnsOf> {
    match function {
        "divide"
        | "div"
        | "modulo"
        | "divide_strict"
        | "div_strict"
        | "modulo_strict"
        | "divide_unrounded"
        | "divide_unrounded_strict" => Some(WarnsOf::Zero),
        "to_double" | "to_signed" | "to_unsigned" | "to_decimal" | "to_date" | "to_datetime" | "to_time"
        | "text_add" | "text_sub" => Some(WarnsOf::Text),
        "lpad" | "rpad" => Some(WarnsOf::Length),
        "str_to_date"
        | "date_add"
        | "date_sub"
        | "text_plus_time"
        | "time_sum"
        | "datetime_difference"
        | "maketime"
        | "sec_to_time"
        | "repeat"
        | "space"
        | "ln"
        | "log2"
        | "log10"
        | "log"
        | "cast_chars"
        | "pad_binary"
        | "cast_decimal" => Some(WarnsOf::Any),
        _ => None,
    }
}

/// As much of a value as a message shows.
fn beginning(text: &str) -> &str {
    text.char_indices().nth(128).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heard_only_where_gathered() {
        division_by_zero();
        let (inner, outer) = gather(|| {
            division_by_zero();
            gather(|| truncated("DOUBLE", b"x")).1
        });
        assert_eq!((inner.len(), outer.len()), (1, 1));
        assert_eq!(inner[0].message, "Truncated incorrect DOUBLE value: 'x'");
        assert!(!are_gathered());
    }

    #[test]
    fn a_query_keeps_some_and_counts_the_others() {
        let raise = || {
            for _ in 0..MOST {
                truncated("DOUBLE", b"x");
            }
            division_by_zero();
            truncated("DOUBLE", b"y");
        };
        let (_, heard) = hear(|| {
            let (_, inner) = hear(raise);
            assert_eq!((inner.warnings.len(), inner.count(true), inner.count(false)), (1024, 1026, 1025));
            truncated("DOUBLE", b"before");
            pass_on(inner);
        });
        assert_eq!((heard.warnings.len(), heard.more, heard.more_divisions), (1024, 2, 1));
        assert_eq!(heard.warnings[0].message, "Truncated incorrect DOUBLE value: 'before'");
        assert_eq!(gather(raise).1.len(), MOST + 2);
        pass_on(heard);
        assert!(hear(|| ()).1.is_empty());
    }
}
