//! Values that a statement finds otherwise the next time: the time, the session's user, its number.
//!
//! A plan that was made with one of them as a constant is good for that once. So who takes one says so
//! ([`Momentary::get`], [`note_momentary`]), and who would keep a plan asks whether anybody did
//! ([`momentary`]). Binding is done by one thread from its begin to its end, so the thread remembers it.

use std::cell::Cell;

thread_local! {
    static TAKEN: Cell<bool> = const { Cell::new(false) };
}

/// A value that is of one session or of one moment.
#[derive(Debug, Clone, Copy)]
pub struct Momentary<T>(T);

impl<T: Copy> Momentary<T> {
    pub fn new(value: T) -> Momentary<T> {
        Momentary(value)
    }

    /// The value, to be made part of a plan.
    pub(crate) fn get(self) -> T {
        note_momentary();
        self.0
    }

    /// What is made of the value, if anybody takes it.
    pub(crate) fn map<U>(self, make: impl FnOnce(T) -> U) -> Momentary<U> {
        Momentary(make(self.0))
    }
}

impl<T: Copy> From<T> for Momentary<T> {
    fn from(value: T) -> Momentary<T> {
        Momentary::new(value)
    }
}

/// Notes that what is being bound is good for this once.
pub fn note_momentary() {
    TAKEN.set(true);
}

/// Runs `bind`, and says whether anything in it was momentary.
pub fn momentary<T>(bind: impl FnOnce() -> T) -> (T, bool) {
    let before = TAKEN.replace(false);
    let bound = bind();
    let taken = TAKEN.get();
    TAKEN.set(before || taken);
    (bound, taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_noticed_by_all_around() {
        let value = Momentary::new(7).map(|n| n + 1);
        let ((inner, after), outer) = momentary(|| {
            let inner = momentary(|| value.get());
            (inner, momentary(|| ()).1)
        });
        assert_eq!((inner, after, outer), ((8, true), false, true));
        assert!(!momentary(|| value.map(|n| n * 2)).1, "what nobody takes");
    }
}
