//! Tests of one string, compared as bytes.

use crate::predicate::{BytesTest, Compare};
use std::sync::Arc;

#[derive(Clone)]
pub enum StringTest {
    Compare(Compare, Vec<u8>),
    /// One of these, sorted.
    In(Vec<Vec<u8>>),
    Test(Arc<dyn BytesTest>),
}

impl StringTest {
    #[inline]
    pub fn passes(&self, value: &[u8]) -> bool {
        match self {
            StringTest::Compare(Compare::Eq, constant) => value == constant.as_slice(),
            StringTest::Compare(Compare::NotEq, constant) => value != constant.as_slice(),
            StringTest::Compare(op, constant) => op.holds(value.cmp(constant)),
            StringTest::In(values) => values.binary_search_by(|probe| probe.as_slice().cmp(value)).is_ok(),
            StringTest::Test(test) => test.passes(value),
        }
    }

    /// Whether both are certainly the same test: closures only if they are one object.
    pub fn same(&self, other: &StringTest) -> bool {
        match (self, other) {
            (StringTest::Compare(op, a), StringTest::Compare(other, b)) => op == other && a == b,
            (StringTest::In(a), StringTest::In(b)) => a == b,
            (StringTest::Test(a), StringTest::Test(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// False if no value between `low` and `high` (None: no bound) passes.
    pub fn may_pass(&self, low: &[u8], high: Option<&[u8]>) -> bool {
        let below = |constant: &[u8]| constant < low;
        let above = |constant: &[u8]| high.is_some_and(|high| constant > high);
        match self {
            StringTest::Compare(Compare::Eq, c) => !below(c) && !above(c),
            StringTest::Compare(Compare::NotEq, c) => !(low == c.as_slice() && high == Some(low)),
            StringTest::Compare(Compare::Less, c) => c.as_slice() > low,
            StringTest::Compare(Compare::LessEq, c) => !below(c),
            StringTest::Compare(Compare::Greater, c) => high.is_none_or(|high| c.as_slice() < high),
            StringTest::Compare(Compare::GreaterEq, c) => !above(c),
            StringTest::In(values) => values.iter().any(|c| !below(c) && !above(c)),
            StringTest::Test(_) => true,
        }
    }
}

pub fn all_pass(tests: &[StringTest], value: &[u8]) -> bool {
    tests.iter().all(|test| test.passes(value))
}

pub fn all_same(a: &[StringTest], b: &[StringTest]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b))
}
