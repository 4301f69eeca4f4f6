//! `pando`: one command for people. `dev` runs a whole cluster on a data folder, in one process or in one
//! for each role; `demo` loads TPC-H into one and checks its answers.

use pando::options::{Command, DemoOptions, DevOptions, Options};
use pando::process::{StartError, cannot_start, keep_freed_memory, open_many_files, options, start_logging};
use pando::{demo, dev, supervisor};
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keep_freed_memory();
    open_many_files();
    let options: Options = match options() {
        Ok(options) => options,
        Err(code) => return code,
    };
    let (Command::Dev(dev) | Command::Demo(DemoOptions { dev, .. })) = &options.command;
    if let Err(why) = dev.check() {
        return cannot_start("pando", why);
    }
    start_logging("warn");
    match &options.command {
        Command::Dev(dev) if dev.processes => supervisor::run(dev),
        Command::Dev(dev) => dev::run(dev),
        Command::Demo(demo) => show(demo),
    }
}

/// What runs for the demo.
enum Running {
    InProcess(dev::Dev),
    Processes(supervisor::Cluster),
}

impl Running {
    fn start(options: &DevOptions) -> Result<Running, StartError> {
        Ok(if options.processes {
            Running::Processes(supervisor::start(options)?)
        } else {
            Running::InProcess(dev::start(options)?)
        })
    }

    fn mysql(&self) -> SocketAddr {
        match self {
            Running::InProcess(dev) => dev.mysql,
            Running::Processes(cluster) => cluster.mysql,
        }
    }

    fn wait_for_signal(&self) {
        match self {
            Running::InProcess(dev) => dev.wait_for_signal(),
            Running::Processes(cluster) => cluster.wait_for_signal(),
        }
    }

    fn stop(self) {
        match self {
            Running::InProcess(dev) => dev.stop(),
            Running::Processes(cluster) => cluster.stop(),
        }
    }
}

/// `pando demo`: starts a cluster, runs the demo against it, and stays up unless told to leave.
fn show(options: &DemoOptions) -> ExitCode {
    let running = match Running::start(&options.dev) {
        Ok(running) => running,
        Err(error) => return cannot_start("pando", error),
    };
    let mut out = std::io::stdout();
    let in_place = out.is_terminal();
    let code = match demo::run(options.scale, running.mysql(), &mut out, in_place) {
        Ok(report) if report.is_good() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("pando: the demo failed: {error}");
            ExitCode::FAILURE
        }
    };
    if !options.exit && code == ExitCode::SUCCESS {
        println!("it stays up; Ctrl-C stops it");
        running.wait_for_signal();
    }
    running.stop();
    code
}
