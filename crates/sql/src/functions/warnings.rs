//! Warnings that constants of a statement raise while they are evaluated (a division by zero, a text that is
//! no number), and values that are brought to their columns. Binding and assignment gather them on their
//! thread; where nobody gathers, as when rows flow, they are dropped, and finding them out costs nothing.

use std::cell::RefCell;
use types::ErrorKind;

/// A line of SHOW WARNINGS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub kind: ErrorKind,
    pub message: String,
}

thread_local! {
    static GATHERED: RefCell<Option<Vec<Warning>>> = const { RefCell::new(None) };
}

/// Runs `body` and takes the warnings that it raises.
pub fn gather<T>(body: impl FnOnce() -> T) -> (T, Vec<Warning>) {
    let outer = GATHERED.with(|gathered| gathered.replace(Some(Vec::new())));
    let result = body();
    let gathered = GATHERED.with(|gathered| gathered.replace(outer));
    (result, gathered.unwrap_or_default())
}

/// Whether a warning would be heard.
pub(crate) fn are_gathered() -> bool {
    GATHERED.with(|gathered| gathered.borrow().is_some())
}

pub(crate) fn warn(kind: ErrorKind, message: impl FnOnce() -> String) {
    GATHERED.with(|gathered| {
        if let Some(warnings) = gathered.borrow_mut().as_mut() {
            warnings.push(Warning { kind, message: message() });
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
        format!("Truncated incorrect {ty} value: '{}'", String::from_utf8_lossy(text))
    });
}

/// 1292: text that is no date or time.
pub(crate) fn incorrect(ty: &str, text: &str) {
    warn(ErrorKind::WrongValue, || format!("Incorrect {ty} value: '{text}'"));
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
}
