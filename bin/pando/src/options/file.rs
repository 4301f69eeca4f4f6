//! Options from a file, the environment and flags, out of one declaration: clap's.
//!
//! A key of the file is the long name of a flag, with `-` or `_` between its words. What the file says
//! takes the place of the declared defaults, so flags and environment variables stand above it and the
//! same parsers check it. Unknown keys are errors: a misspelt option must not be passed over.

use clap::{ArgAction, Command, FromArgMatches};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use toml::{Table, Value};

/// The flag that names the file, and its environment variable.
const FLAG: &str = "--config";
const VARIABLE: &str = "PANDO_CONFIG";

/// Reads options. An error is one line for a person, but for the texts of --help and --version.
pub fn parse<T: FromArgMatches>(command: Command, arguments: &[OsString]) -> Result<T, ParseError> {
    let path = arguments
        .iter()
        .zip(arguments.iter().skip(1).map(Some).chain([None]))
        .take_while(|(argument, _)| *argument != "--")
        .find_map(|(argument, next)| config_path(argument, next.map(OsString::as_os_str)))
        .or_else(|| std::env::var_os(VARIABLE));
    let command = match path {
        Some(path) => with_file(command, Path::new(&path)).map_err(ParseError::File)?,
        None => command,
    };
    let program = command.get_name().to_owned();
    let matches =
        command.try_get_matches_from(arguments).map_err(|e| ParseError::Clap(program.clone(), e))?;
    T::from_arg_matches(&matches).map_err(|e| ParseError::Clap(program, e))
}

#[derive(Debug)]
pub enum ParseError {
    File(String),
    /// With the program's name.
    Clap(String, clap::Error),
}

/// `--config FILE` or `--config=FILE`.
fn config_path(argument: &OsStr, next: Option<&OsStr>) -> Option<OsString> {
    if argument == FLAG {
        return next.map(OsStr::to_owned);
    }
    argument.to_str()?.strip_prefix(FLAG)?.strip_prefix('=').map(OsString::from)
}

/// Puts the file's values in the place of the defaults of `command`, or of its subcommands that have
/// the option.
fn with_file(command: Command, path: &Path) -> Result<Command, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("--config {shown}: {error}"))?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        let line = line.map(|line| format!(" line {line}")).unwrap_or_default();
        format!("--config {shown}{line}: {}", error.message().replace('\n', " "))
    })?;
    apply(command, &table).map_err(|error| format!("--config {shown}: {error}"))
}

fn apply(mut command: Command, table: &Table) -> Result<Command, String> {
    for (key, value) in table {
        let name = key.replace('_', "-");
        let text = text(value).map_err(|what| format!("'{key}' cannot be {what}"))?;
        let mut found = false;
        let subcommands: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
        if let Some(id) = option(&command, &name) {
            command = set(command, &id, &text);
            found = true;
        }
        for subcommand in subcommands {
            command = command.mut_subcommand(subcommand, |subcommand| match option(&subcommand, &name) {
                Some(id) => {
                    found = true;
                    set(subcommand, &id, &text)
                }
                None => subcommand,
            });
        }
        if !found {
            return Err(format!("there is no option '{key}'"));
        }
    }
    Ok(command)
}

/// The id of the option with this long name, if a file may set it.
fn option(command: &Command, name: &str) -> Option<String> {
    command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(name) && name != &FLAG[2..] && !arg.is_hide_set())
        .map(|arg| arg.get_id().to_string())
}

/// Options are read once in the life of a process, so a default may live for ever.
fn set(command: Command, id: &str, text: &str) -> Command {
    let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
    command.mut_arg(id, |arg| arg.default_value(text))
}

/// A value as a flag would have it; a list has commas.
fn text(value: &Value) -> Result<String, &'static str> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Boolean(yes) => Ok(yes.to_string()),
        Value::Array(items) => Ok(items.iter().map(text).collect::<Result<Vec<_>, _>>()?.join(",")),
        Value::Float(_) => Err("a fraction"),
        Value::Datetime(_) => Err("a date"),
        Value::Table(_) => Err("a table"),
    }
}

/// Whether an argument takes a value.
pub fn takes_value(arg: &clap::Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{AggregatorOptions, LeafOptions};
    use clap::CommandFactory;

    fn arguments(flags: &[&str]) -> Vec<OsString> {
        std::iter::once("pando-aggregator").chain(flags.iter().copied()).map(OsString::from).collect()
    }

    fn with(file: &str, flags: &[&str]) -> Result<AggregatorOptions, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pando.toml");
        std::fs::write(&path, file).unwrap();
        let path = path.display().to_string();
        let flags: Vec<&str> = flags.iter().copied().chain(["--config", &path]).collect();
        parse(AggregatorOptions::command(), &arguments(&flags)).map_err(|error| match error {
            ParseError::File(line) => line.replace(&path, "FILE"),
            ParseError::Clap(_, error) => error.to_string(),
        })
    }

    #[test]
    fn a_file_sets_what_flags_do_not() {
        let file = "mysql-port = 4406\nrpc_port = 4407\nmaster = true\njoin = [\"a:1\", \"b:2\"]\n\
                    memory = \"512MiB\"\nadvertise = \"here\"";
        let options = with(file, &["--rpc-port", "5507"]).unwrap();
        assert_eq!((options.mysql_port, options.rpc_port), (4406, 5507));
        assert!(options.master && !options.bootstrap);
        assert_eq!(options.common.join.0, ["a:1", "b:2"]);
        assert_eq!(options.common.memory, Some(512 << 20));
        assert_eq!(options.common.advertise.as_deref(), Some("here"));
    }

    #[test]
    fn what_a_file_must_not_say() {
        for (file, expected) in [
            ("mysqlport = 1", "--config FILE: there is no option 'mysqlport'"),
            ("config = \"other\"", "--config FILE: there is no option 'config'"),
            ("memory = 1.5", "--config FILE: 'memory' cannot be a fraction"),
            ("[mysql]\nport = 1", "--config FILE: 'mysql' cannot be a table"),
            ("mysql-port = 1\nmysql-port = 2", "--config FILE line 2:"),
            ("mysql-port = 70000", "invalid value '70000' for '--mysql-port"),
        ] {
            let error = with(file, &[]).unwrap_err();
            assert!(error.contains(expected), "{file}: {error}");
        }
        let missing = parse::<LeafOptions>(LeafOptions::command(), &arguments(&["--config=/no/such/file"]));
        let Err(ParseError::File(line)) = missing else { panic!("{missing:?}") };
        assert!(line.starts_with("--config /no/such/file: "), "{line}");
    }
}
