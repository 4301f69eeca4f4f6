//! Segments against plain vectors of values.

mod corruption;
mod keys;
mod model;
mod predicates;
mod round_trip;
