//! Segments against plain vectors of values.

mod corruption;
mod key_runs;
mod keys;
mod model;
mod predicates;
mod read_ahead;
mod round_trip;
