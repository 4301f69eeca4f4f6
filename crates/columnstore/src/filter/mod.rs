//! Predicates evaluated: their normal form ([`condition`]), and the evaluation on Arrow batches, that
//! is, on tails and frozen runs. [`crate::segment`] evaluates the same form on encoded blocks.

mod batch;
pub(crate) mod condition;
pub(crate) mod values;

pub use batch::filter_batch;
pub(crate) use batch::filter_batch_as;
pub(crate) use batch::keep_compared;
