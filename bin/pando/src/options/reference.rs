//! The reference page of the options, made from their declarations.

use super::file::takes_value;
use super::{AggregatorOptions, LeafOptions, Options};
use clap::{Arg, Command, CommandFactory};
use std::fmt::Write;

const HEAD: &str = "# Options

Each program reads its options from flags, from environment variables, and from a TOML file that
`--config FILE` or `PANDO_CONFIG` names. A flag stands above the variable, the variable above the file,
the file above the default. A key of the file is the flag's name without `--`; a list is an array or has
commas. Unknown keys are errors. A size is like `512MiB` or `4GiB`.

This page is made from the declarations in `bin/pando/src/options`.
";

/// The page, in Markdown.
pub fn page() -> String {
    let mut text = HEAD.to_owned();
    section(&mut text, &AggregatorOptions::command(), "pando-aggregator");
    section(&mut text, &LeafOptions::command(), "pando-leaf");
    let pando = Options::command();
    for command in pando.get_subcommands() {
        section(&mut text, command, &format!("pando {}", command.get_name()));
    }
    text
}

fn section(text: &mut String, command: &Command, name: &str) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    // Writing to a String does not fail.
    let _ = write!(
        text,
        "\n## {name}\n\n{about}.\n\n| option | variable | default | meaning |\n|---|---|---|---|\n"
    );
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set() && arg.get_long().is_some()) {
        let _ = writeln!(text, "| {} | {} | {} | {} |", flag(arg), variable(arg), default(arg), meaning(arg));
    }
}

fn flag(arg: &Arg) -> String {
    let long = arg.get_long().unwrap_or_default();
    match arg.get_value_names() {
        Some([value, ..]) if takes_value(arg) => format!("`--{long} {value}`"),
        _ => format!("`--{long}`"),
    }
}

fn variable(arg: &Arg) -> String {
    arg.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default()
}

fn default(arg: &Arg) -> String {
    match arg.get_default_values() {
        [value, ..] if takes_value(arg) && !value.is_empty() => format!("`{}`", value.to_string_lossy()),
        _ => String::new(),
    }
}

fn meaning(arg: &Arg) -> String {
    arg.get_help().map(|help| help.to_string().replace('|', "\\|")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../../docs/options.md");

    #[test]
    fn the_page_is_that_of_the_declarations() {
        assert!(
            PAGE == page(),
            "docs/options.md is out of date: cargo test -p pando write_page -- --ignored"
        );
    }

    #[test]
    #[ignore = "writes a file"]
    fn write_page() {
        let path = format!("{}/../../docs/options.md", std::env::var("CARGO_MANIFEST_DIR").unwrap());
        std::fs::write(path, page()).unwrap();
    }

    #[test]
    fn every_variable_is_named_after_its_flag() {
        for command in [AggregatorOptions::command(), LeafOptions::command()] {
            for arg in command.get_arguments() {
                let Some(long) = arg.get_long().filter(|long| !["help", "version"].contains(long)) else {
                    continue;
                };
                let expected = format!("PANDO_{}", long.to_uppercase().replace('-', "_"));
                assert_eq!(arg.get_env().and_then(|name| name.to_str()), Some(expected.as_str()), "--{long}");
            }
        }
    }
}
