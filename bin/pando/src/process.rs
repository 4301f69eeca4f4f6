//! What every process does: options, its folder, its ports, signals, the stop.
//!
//! Exit codes: 0 after a clean stop, 1 when something failed while running, 2 when it could not start
//! (a bad option, a port or folder in use): then one line on standard error says why.

use crate::options::file::{ParseError, parse};
use crate::options::one_line;
use clap::{CommandFactory, FromArgMatches};
use env::MemoryBudget;
use std::ffi::OsString;
use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Why a process could not start: one line for a person.
#[derive(Debug)]
pub struct StartError(String);

impl StartError {
    pub fn new(what: impl Display) -> StartError {
        StartError(what.to_string().replace('\n', " "))
    }
}

impl Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<types::SqlError> for StartError {
    fn from(error: types::SqlError) -> StartError {
        StartError::new(error.message)
    }
}

/// Tells why nothing was started.
pub fn cannot_start(program: &str, why: impl Display) -> ExitCode {
    eprintln!("{program}: {why}");
    ExitCode::from(2)
}

/// The options of this process; else the code to leave with.
pub fn options<T: CommandFactory + FromArgMatches>() -> Result<T, ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    parse(T::command(), &arguments).map_err(|error| match error {
        ParseError::Clap(_, error) if !error.use_stderr() => {
            // --help and --version: the text is the answer. A closed standard output is no reason to fail.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ParseError::Clap(program, error) => {
            eprintln!("{}", one_line(&program, &error));
            ExitCode::from(2)
        }
        ParseError::File(line) => cannot_start(T::command().get_name(), line),
    })
}

/// A program whose process is one node of a cluster: its options, what `check` finds of them, then `run`
/// until it ends.
pub fn run_node<T: CommandFactory + FromArgMatches>(
    program: &str,
    check: fn(&T) -> Result<(), String>,
    run: fn(&T) -> Result<(), StartError>,
) -> ExitCode {
    keep_freed_memory();
    open_many_files();
    let options: T = match options() {
        Ok(options) => options,
        Err(code) => return code,
    };
    if let Err(why) = check(&options) {
        return cannot_start(program, why);
    }
    start_logging("info");
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => cannot_start(program, why),
    }
}

/// Lets the allocator keep what was freed for some seconds before the system gets it back: at once, a query
/// takes anew what the one before it gave away, and the kernel clears each page of it. It stays within what
/// was in use at the same time, since the allocator gives it out again first. The environment
/// (MIMALLOC_PURGE_DELAY) goes before.
pub fn keep_freed_memory() {
    const PURGE_DELAY: std::ffi::c_int = 15; // mi_option_purge_delay, which the bindings do not name
    const MILLISECONDS: std::ffi::c_long = 10_000;
    // SAFETY: it is called first thing in a program, by its only thread.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, MILLISECONDS) }
}

/// Lets the process open as many files as the system allows at all: a shell or a service manager gives it 1,024
/// to begin with, and every connection is one.
pub fn open_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What the system does not give now it would not give later: then clients wait to be accepted.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Sends what is logged to standard error; `PANDO_LOG` chooses what.
pub fn start_logging(default: &str) {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("PANDO_LOG").unwrap_or_else(|_| default.into()),
        )
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}

/// The threads that were asked for, or one a core.
pub fn threads(asked: Option<u32>) -> u32 {
    asked.unwrap_or_else(cores).max(1)
}

/// The runtime of connections.
pub fn network_runtime(threads: u32) -> Result<Runtime, StartError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads as usize)
        .enable_all()
        .thread_name("pando-net")
        // Statements nest, and what they become nests deeper. What is not used of it takes no memory.
        .thread_stack_size(8 << 20)
        .on_thread_park(crate::resident::give_back_if_asked)
        .build()
        .map_err(|error| StartError::new(format!("cannot start threads: {error}")))
}

/// Makes the folder and takes its lock, which is held for as long as the file is.
pub fn lock_folder(path: &Path) -> Result<File, StartError> {
    std::fs::create_dir_all(path)
        .map_err(|error| StartError::new(format!("--data {}: {error}", path.display())))?;
    let lock = path.join("LOCK");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock)
        .map_err(|error| StartError::new(format!("{}: {error}", lock.display())))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StartError::new(format!(
            "--data {} is in use by another pando; stop it or choose another folder",
            path.display()
        ))),
        Err(errno) => Err(StartError::new(format!("{}: {errno}", lock.display()))),
    }
}

/// Listens on a port; `flag` is the option that chose it.
pub fn listen(
    runtime: &Runtime,
    bind: IpAddr,
    port: u16,
    flag: &str,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let address = SocketAddr::new(bind, port);
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AddrInUse => StartError::new(format!(
            "port {port} is in use; stop what listens there or choose another with {flag}"
        )),
        _ => StartError::new(format!("cannot listen on {address}: {error}")),
    };
    let listener = runtime.block_on(TcpListener::bind(address)).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Waits for Ctrl-C or SIGTERM, and with `supervised` for the end of standard input.
pub async fn wait_for_signal(supervised: bool) {
    let (gone, mut is_gone) = watch::channel(false);
    if supervised {
        // Ends with the process: a read cannot be stopped.
        let watching = std::thread::Builder::new().name("supervisor".into()).spawn(move || {
            let mut buffer = [0; 64];
            while std::io::stdin().read(&mut buffer).is_ok_and(|read| read > 0) {}
            gone.send_replace(true);
        });
        if let Err(error) = watching {
            tracing::warn!(%error, "the end of the supervisor will not be noticed");
        }
    }
    let supervisor_gone = async {
        if !supervised || is_gone.wait_for(|gone| *gone).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(error) => {
                tracing::warn!(%error, "SIGTERM cannot be caught; only Ctrl-C stops cleanly");
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
        () = supervisor_gone => {}
    }
}

/// Tells when a stop was asked for.
pub async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone: stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The budget of the process, near which its resident memory is held from now on.
pub fn memory_budget(asked: Option<u64>) -> Result<Arc<MemoryBudget>, StartError> {
    let memory = MemoryBudget::new(memory_limit(asked)?);
    crate::resident::watch(&memory)
        .map_err(|error| StartError::new(format!("cannot start threads: {error}")))?;
    Ok(memory)
}

/// The memory budget that was asked for, or half of the machine's.
fn memory_limit(asked: Option<u64>) -> Result<usize, StartError> {
    usize::try_from(asked.unwrap_or_else(crate::options::default_memory))
        .map_err(|_| StartError::new("--memory is more than this machine can address"))
}

/// Cores that this process may use.
pub fn cores() -> u32 {
    std::thread::available_parallelism().ok().and_then(|n| u32::try_from(n.get()).ok()).unwrap_or(1)
}
