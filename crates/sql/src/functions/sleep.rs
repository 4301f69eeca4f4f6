//! SLEEP().
//!
//! A kernel runs on a thread that other queries share, so it never waits: it notes on its thread how long its calls
//! ask to wait, and whoever polls it ([`owing`]) waits that long before anybody sees what came of it. The kernel thus
//! answers 0, as after a wait that nobody broke off. Where a wait was broken off and the query goes on all the same,
//! it is evaluated again ([`interrupted`]), and then SLEEP() is 1 at once.

use super::failure::raise;
use super::kernel::{Function, Nulls, Returns, build_numbers};
use super::warnings;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::logical_expr::ScalarUDF;
use std::cell::Cell;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use types::{ErrorKind, SqlError};

/// Shorter waits are none.
const SHORTEST: f64 = 0.00001;
/// The longest wait of one call: a year.
const LONGEST: f64 = 365.0 * 24.0 * 3600.0;

#[derive(Clone, Copy)]
enum Calls {
    Owe(Duration),
    Interrupted,
}

thread_local! {
    static CALLS: Cell<Calls> = const { Cell::new(Calls::Owe(Duration::ZERO)) };
}

/// Runs `body`, and says how long the calls of SLEEP() in it are to wait together.
pub fn owing<T>(body: impl FnOnce() -> T) -> (T, Duration) {
    let outer = CALLS.replace(Calls::Owe(Duration::ZERO));
    let result = body();
    match CALLS.replace(outer) {
        Calls::Owe(owed) => (result, owed),
        Calls::Interrupted => (result, Duration::ZERO),
    }
}

/// Runs `body`, in which every SLEEP() is broken off.
pub fn interrupted<T>(body: impl FnOnce() -> T) -> T {
    let outer = CALLS.replace(Calls::Interrupted);
    let result = body();
    CALLS.set(outer);
    result
}

/// sleep(seconds, whether a wrong number is an error)
pub(crate) fn sleep() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        let mut function = Function::volatile_of("sleep", 2, Returns::Type(DataType::Int64), |args| {
            let seconds = args.numbers::<Float64Type>(0)?;
            let strict = args.numbers::<Int64Type>(1)?.get(0) == Some(1);
            build_numbers::<Int64Type>(args, |row| match seconds.get(row) {
                Some(seconds) if seconds >= 0.0 => Ok(Some(wait(seconds))),
                _ if strict => Err(raise(wrong_arguments())),
                _ => {
                    let SqlError { kind, message, .. } = wrong_arguments();
                    warnings::warn(kind, || message);
                    Ok(Some(0))
                }
            })
        });
        function.nulls = Nulls::Never;
        function.udf()
    });
    Arc::clone(&UDF)
}

fn wrong_arguments() -> SqlError {
    SqlError::new(ErrorKind::WrongArguments, "Incorrect arguments to sleep.")
}

/// Asks to wait so many seconds, and gives what SLEEP() gives.
pub fn wait(seconds: f64) -> i64 {
    match CALLS.get() {
        Calls::Interrupted => 1,
        Calls::Owe(_) if seconds < SHORTEST => 0,
        Calls::Owe(owed) => {
            let more = Duration::from_secs_f64(seconds.min(LONGEST));
            CALLS.set(Calls::Owe(owed.saturating_add(more)));
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_owed_to_whoever_asked_last() {
        let ((inner, of_inner), of_outer) = owing(|| {
            assert_eq!(wait(0.25), 0);
            let inner = owing(|| (wait(1.5), wait(1e300), wait(1e-9)));
            assert_eq!(interrupted(|| wait(7.0)), 1);
            assert_eq!(wait(0.5), 0);
            inner
        });
        assert_eq!(inner, (0, 0, 0));
        assert_eq!(of_inner, Duration::from_secs_f64(LONGEST + 1.5));
        assert_eq!(of_outer, Duration::from_millis(750));
    }
}
