//! What a process says on its standard output, for whoever started it.

use std::fmt::Arguments;
use std::io::Write;

/// A line. That nobody listens any more (`pando dev | head -1`) is no reason to stop.
pub(crate) fn say(line: Arguments<'_>) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
