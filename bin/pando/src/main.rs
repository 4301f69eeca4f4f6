//! `pando`: one command for people. `dev` runs a whole cluster in one process on a data folder,
//! `demo` loads TPC-H into one and checks its answers.
//!
//! Exit codes: 0 after a clean stop, 1 when something failed while running, 2 when it could not start
//! (a bad option, a port or folder in use): then one line on standard error says why.

mod demo;
mod dev;
mod http;
mod options;

use clap::Parser;
use options::{Command, DemoOptions, Options};
use std::io::IsTerminal;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) if !error.use_stderr() => {
            // --help and --version: the text is the answer. A closed standard output is no reason to fail.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{}", options::one_line(&error));
            return ExitCode::from(2);
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("PANDO_LOG").unwrap_or_else(|_| "warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    match options.command {
        Command::Dev(options) => dev::run(options),
        Command::Demo(options) => show(options),
    }
}

/// `pando demo`: starts a cluster, runs the demo against it, and stays up unless told to leave.
fn show(options: DemoOptions) -> ExitCode {
    let dev = match dev::start(&options.dev) {
        Ok(dev) => dev,
        Err(error) => {
            eprintln!("pando: {error}");
            return ExitCode::from(2);
        }
    };
    let mut out = std::io::stdout();
    let in_place = out.is_terminal();
    let code = match demo::run(options.scale, dev.mysql, &mut out, in_place) {
        Ok(report) if report.is_good() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("pando: the demo failed: {error}");
            ExitCode::FAILURE
        }
    };
    if !options.exit && code == ExitCode::SUCCESS {
        println!("it stays up; Ctrl-C stops it");
        dev.wait_for_signal();
    }
    dev.stop();
    code
}
