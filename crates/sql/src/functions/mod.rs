//! MySQL's functions over Arrow arrays.
//!
//! The binder ([`crate::query`]) knows what types a function takes and gives; what stands here
//! computes. [`scalar_functions`] and [`aggregate_functions`] are for whoever must find a function by
//! its name, such as the codec of plans.

pub(crate) mod arithmetic;
pub(crate) mod bits;
pub(crate) mod byte_texts;
pub(crate) mod calendar;
pub(crate) mod cast;
pub(crate) mod collate;
pub(crate) mod compress;
pub(crate) mod date_format;
pub(crate) mod datetime;
pub(crate) mod encryption;
pub(crate) mod failure;
pub(crate) mod hashes;
pub(crate) mod held;
pub(crate) mod insert_id;
pub(crate) mod interval;
pub(crate) mod json;
pub(crate) mod json_keys;
pub(crate) mod kernel;
pub(crate) mod list;
pub(crate) mod locale;
pub(crate) mod math;
pub(crate) mod network;
pub(crate) mod numerals;
pub(crate) mod percentile;
pub(crate) mod quotient;
pub(crate) mod random;
pub(crate) mod regexp;
pub(crate) mod row_key;
pub(crate) mod sets;
pub mod short_circuit;
pub(crate) mod single_value;
pub mod sleep;
pub(crate) mod sum;
pub(crate) mod text;
pub(crate) mod unfolded;
pub(crate) mod uuid;
pub mod warnings;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

static SCALARS: LazyLock<HashMap<String, Arc<ScalarUDF>>> = LazyLock::new(|| {
    [
        arithmetic::all(),
        bits::all(),
        byte_texts::all(),
        cast::all(),
        collate::all(),
        compress::all(),
        datetime::all(),
        encryption::all(),
        hashes::all(),
        json::all(),
        json_keys::all(),
        list::all(),
        locale::all(),
        math::all(),
        network::all(),
        quotient::all(),
        regexp::all(),
        sets::all(),
        text::all(),
        uuid::all(),
        vec![
            math::rand(),
            random::rand_of(),
            random::rand_sequence(),
            held::held(),
            hashes::uuid(),
            hashes::uuid_short(),
            hashes::random_bytes(),
            insert_id::last_insert_id(),
            row_key::row_key(),
            sleep::sleep(),
            unfolded::unfolded(),
        ],
    ]
    .into_iter()
    .flatten()
    .map(|udf| (udf.name().to_string(), udf))
    .collect()
});

/// Every scalar function of ours, by the name that it has in plans.
pub fn scalar_functions() -> impl Iterator<Item = &'static Arc<ScalarUDF>> {
    SCALARS.values()
}

/// The scalar function of this name in plans. One that has a state is another each time.
pub fn scalar_function(name: &str) -> Option<Arc<ScalarUDF>> {
    match name {
        random::SEQUENCE => Some(random::rand_sequence()),
        _ => SCALARS.get(name).cloned(),
    }
}

/// Every aggregate function of ours; the others in plans are DataFusion's.
pub fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![
        percentile::percentile_cont(),
        percentile::percentile_disc(),
        sum::sum(),
        single_value::single_value(),
    ]
}
