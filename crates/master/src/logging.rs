//! raft-rs writes to slog; this passes it on to `tracing`, target `raft`. What raft-rs calls
//! information (every step of an election) is a matter of debugging for us.

use slog::{Drain, KV, Key, Level, Logger, Never, OwnedKVList, Record, Serializer};
use std::fmt::{self, Write};

pub(crate) fn logger() -> Logger {
    Logger::root(Tracing.fuse(), slog::o!())
}

struct Tracing;

impl Drain for Tracing {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        macro_rules! pass_on {
            ($level:ident) => {
                if tracing::enabled!(target: "raft", tracing::Level::$level) {
                    tracing::event!(target: "raft", tracing::Level::$level, "{}", text(record, values));
                }
            };
        }
        match level(record.level()) {
            tracing::Level::ERROR => pass_on!(ERROR),
            tracing::Level::WARN => pass_on!(WARN),
            tracing::Level::DEBUG => pass_on!(DEBUG),
            _ => pass_on!(TRACE),
        }
        Ok(())
    }
}

fn level(level: Level) -> tracing::Level {
    match level {
        Level::Critical | Level::Error => tracing::Level::ERROR,
        Level::Warning => tracing::Level::WARN,
        Level::Info => tracing::Level::DEBUG,
        Level::Debug | Level::Trace => tracing::Level::TRACE,
    }
}

/// The message, then `key=value` for each value.
fn text(record: &Record<'_>, values: &OwnedKVList) -> String {
    let mut pairs = Pairs(record.msg().to_string());
    // Writing to a string cannot fail, and a value that refuses to be shown is left out.
    let _ = record.kv().serialize(record, &mut pairs);
    let _ = values.serialize(record, &mut pairs);
    pairs.0
}

struct Pairs(String);

impl Serializer for Pairs {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        write!(self.0, " {key}={value}")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// What [`Tracing`] would pass on. (Subscribers of `tracing` see each other in one process.)
    #[derive(Clone, Default)]
    struct Collect(Arc<Mutex<Vec<(tracing::Level, String)>>>);

    impl Drain for Collect {
        type Ok = ();
        type Err = Never;

        fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
            self.0.lock().unwrap().push((level(record.level()), text(record, values)));
            Ok(())
        }
    }

    #[test]
    fn messages_keep_their_values_and_get_our_levels() {
        let collect = Collect::default();
        let logger = Logger::root(collect.clone().fuse(), slog::o!("raft_id" => 7));
        slog::error!(logger, "broken");
        slog::warn!(logger, "odd"; "term" => 3, "vote" => "n2");
        slog::info!(logger, "elected at {}", 5);
        let expected = [
            (tracing::Level::ERROR, "broken raft_id=7"),
            (tracing::Level::WARN, "odd vote=n2 term=3 raft_id=7"),
            (tracing::Level::DEBUG, "elected at 5 raft_id=7"),
        ];
        let found = collect.0.lock().unwrap();
        assert_eq!(found.iter().map(|(level, text)| (*level, text.as_str())).collect::<Vec<_>>(), expected);
    }
}
