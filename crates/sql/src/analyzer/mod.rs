//! MySQL's types. Every expression is built as a [`Typed`]: DataFusion's expression with its MySQL
//! type and its Arrow type. The rules of operators, comparisons and mixed results live here; each
//! leaves operands of exactly the types that the operation takes, so nothing is coerced later.

pub(crate) mod arithmetic;
pub(crate) mod collated;
pub(crate) mod compare;
pub(crate) mod convert;
pub(crate) mod fold;
pub(crate) mod operand;
pub(crate) mod typed;
pub(crate) mod unify;

pub(crate) use collated::Collated;
pub(crate) use typed::{Family, Typed};
