//! Functions by name. A name may stand for a function of ours and for one of DataFusion's, so the
//! origin goes along. A function that is not exactly one of the known ones is refused: whatever state
//! it has would be lost.

use datafusion::common::{Result, internal_datafusion_err, internal_err, not_impl_err};
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// Of crate `sql`.
const PANDO: u8 = b'p';
/// DataFusion's.
const DATAFUSION: u8 = b'd';
/// DataFusion's, told that its input comes in the order that it wants.
const ORDERED: u8 = b'o';

type Known<T> = LazyLock<HashMap<String, Arc<T>>>;

static SCALARS: Known<ScalarUDF> = LazyLock::new(|| {
    let all = datafusion::functions::all_default_functions();
    all.into_iter().map(|function| (function.name().to_string(), function)).collect()
});

static AGGREGATES: Known<AggregateUDF> = LazyLock::new(|| {
    let all = datafusion::functions_aggregate::all_default_aggregate_functions();
    all.into_iter().map(|function| (function.name().to_string(), function)).collect()
});

static OUR_AGGREGATES: Known<AggregateUDF> = LazyLock::new(|| {
    let all = sql::functions::aggregate_functions();
    all.into_iter().map(|function| (function.name().to_string(), function)).collect()
});

static WINDOWS: Known<WindowUDF> = LazyLock::new(|| {
    let all = datafusion::functions_window::all_default_window_functions();
    all.into_iter().map(|function| (function.name().to_string(), function)).collect()
});

fn ordered(function: &AggregateUDF) -> Result<Option<AggregateUDF>> {
    function.clone().with_beneficial_ordering(true)
}

pub(super) fn origin_of_scalar(function: &ScalarUDF) -> Result<u8> {
    let name = function.name();
    if sql::functions::scalar_function(name).is_some_and(|ours| *ours == *function) {
        Ok(PANDO)
    } else if SCALARS.get(name).is_some_and(|theirs| **theirs == *function) {
        Ok(DATAFUSION)
    } else {
        not_impl_err!("the function {name} on several nodes")
    }
}

pub(super) fn scalar(name: &str, origin: &[u8]) -> Result<Arc<ScalarUDF>> {
    let found = match origin {
        [PANDO] => sql::functions::scalar_function(name),
        [DATAFUSION] => SCALARS.get(name).cloned(),
        _ => None,
    };
    found.ok_or_else(|| internal_datafusion_err!("a plan came with a function {name} that is not known"))
}

pub(super) fn origin_of_aggregate(function: &AggregateUDF) -> Result<u8> {
    let name = function.name();
    if OUR_AGGREGATES.get(name).is_some_and(|ours| **ours == *function) {
        return Ok(PANDO);
    }
    if let Some(theirs) = AGGREGATES.get(name) {
        if **theirs == *function {
            return Ok(DATAFUSION);
        }
        if ordered(theirs)?.is_some_and(|ordered| ordered == *function) {
            return Ok(ORDERED);
        }
    }
    not_impl_err!("the aggregate function {name} on several nodes")
}

pub(super) fn aggregate(name: &str, origin: &[u8]) -> Result<Arc<AggregateUDF>> {
    let theirs = AGGREGATES.get(name);
    let found = match origin {
        [PANDO] => OUR_AGGREGATES.get(name).cloned(),
        [DATAFUSION] => theirs.cloned(),
        [ORDERED] => match theirs {
            Some(theirs) => ordered(theirs)?.map(Arc::new),
            None => None,
        },
        _ => None,
    };
    match found {
        Some(function) => Ok(function),
        None => internal_err!("a plan came with an aggregate function {name} that is not known"),
    }
}

pub(super) fn origin_of_window(function: &WindowUDF) -> Result<u8> {
    match WINDOWS.get(function.name()) {
        Some(theirs) if **theirs == *function => Ok(DATAFUSION),
        _ => not_impl_err!("the window function {} on several nodes", function.name()),
    }
}

pub(super) fn window(name: &str) -> Result<Arc<WindowUDF>> {
    match WINDOWS.get(name) {
        Some(function) => Ok(function.clone()),
        None => internal_err!("a plan came with a window function {name} that is not known"),
    }
}
