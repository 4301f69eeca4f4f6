//! Hybrid logical clock timestamps: 48 bits of milliseconds since 1970, 16 logical bits.
//! Kulkarni et al., "Logical Physical Clocks", 2014.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A point in the order of commits. Greater is later; equal physical parts are ordered by the
/// logical part, and an increment past 65,535 carries into the next millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Before everything.
    pub const ZERO: Timestamp = Timestamp(0);
    /// After everything; never given to a commit.
    pub const MAX: Timestamp = Timestamp(u64::MAX);

    /// The first timestamp of a millisecond.
    pub const fn from_millis(millis: u64) -> Timestamp {
        Timestamp(millis << 16)
    }

    /// The physical part, in milliseconds since 1970.
    pub const fn millis(self) -> u64 {
        self.0 >> 16
    }

    /// The logical part.
    pub const fn logical(self) -> u16 {
        self.0 as u16
    }

    /// The timestamp right after this one.
    pub const fn next(self) -> Timestamp {
        Timestamp(self.0 + 1)
    }

    /// This timestamp moved by whole milliseconds, not below zero.
    pub const fn plus_millis(self, millis: u64) -> Timestamp {
        Timestamp(self.0.saturating_add(millis << 16))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.millis(), self.logical())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logical_overflow_carries_into_the_next_millisecond() {
        let last = Timestamp((7 << 16) | 0xffff);
        assert_eq!(last.next(), Timestamp::from_millis(8));
        assert_eq!((last.millis(), last.logical()), (7, 0xffff));
    }
}
