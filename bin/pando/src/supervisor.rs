//! `pando dev --processes`: a cluster of processes on loopback, one for each role, looked after.
//!
//! ```text
//! <data>/LOCK                 held while a supervisor uses the folder
//! <data>/aggregator-<n>/      the folder of each process
//! <data>/leaf-<n>/
//! <data>/logs/<process>.log   what each of them wrote to standard error, over restarts
//! ```
//!
//! The first aggregator is the master. A process that ends is started again with the ports that it had,
//! at once if it lived for a while, else after a pause that doubles up to [`LONGEST_PAUSE`]. Processes
//! hold the other end of a pipe as their standard input: when the supervisor goes, however that
//! happens, they stop by themselves.

use crate::options::{DevOptions, default_memory};
use crate::process::{StartError, cannot_start, lock_folder, network_runtime, threads, wait_for_signal};
use crate::say::say;
use parking_lot::Mutex;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The pause before a process that died young is started again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A process that lived so long did not die young.
const GROWN_UP: Duration = Duration::from_secs(10);
/// How long all processes together may take to be ready.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long statements may go on after a stop was asked for, and a process may take beyond that.
const DRAIN_SECONDS: u64 = 10;
const STOP_LIMIT: Duration = Duration::from_secs(DRAIN_SECONDS + 5);

/// A running cluster of processes.
pub struct Cluster {
    pub mysql: SocketAddr,
    pub http: SocketAddr,
    processes: Vec<Process>,
    /// Held for as long as the folder is used.
    _folder: File,
}

/// Runs until a signal.
pub fn run(options: &DevOptions) -> ExitCode {
    let cluster = match start(options) {
        Ok(cluster) => cluster,
        Err(why) => return cannot_start("pando", why),
    };
    say(format_args!("ready: mysql {}, http {}", cluster.mysql, cluster.http));
    cluster.wait_for_signal();
    cluster.stop();
    ExitCode::SUCCESS
}

/// Starts all processes and waits until they are ready. Each shows itself with a line.
pub fn start(options: &DevOptions) -> Result<Cluster, StartError> {
    let folder = lock_folder(&options.data)?;
    if options.data.join("leaf").exists() {
        return Err(StartError::new(format!(
            "--data {} belongs to a cluster in one process: leave --processes out or choose another folder",
            options.data.display()
        )));
    }
    std::fs::create_dir_all(options.data.join("logs"))
        .map_err(|error| StartError::new(format!("--data {}: {error}", options.data.display())))?;
    let programs = std::env::current_exe()
        .map_err(|error| StartError::new(format!("the folder of the programs is unknown: {error}")))?;
    let count = u64::from(options.leaves) + u64::from(options.aggregators);
    let memory = options.memory.unwrap_or_else(default_memory) / count;
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let describe = |role: &str, number: u32, bind: IpAddr| {
        let name = format!("{role}-{number}");
        let data = options.data.join(&name);
        let mut description = Description {
            program: programs.with_file_name(format!("pando-{role}")),
            log: options.data.join("logs").join(format!("{name}.log")),
            arguments: Vec::new(),
            name,
        };
        description.set("--data", data.display());
        description.set("--bind", bind);
        description.set("--memory", memory);
        description.set("--drain-seconds", DRAIN_SECONDS);
        description.set("--rpc-port", 0);
        description.set("--http-port", 0);
        if let Some(threads) = options.threads {
            description.set("--threads", threads);
        }
        description
    };

    let rpc_port = free_port()?;
    let seed = SocketAddr::new(loopback, rpc_port);
    let mut first = describe("aggregator", 1, options.bind);
    if options.bind.is_unspecified() {
        first.set("--advertise", loopback);
    }
    first.set("--rpc-port", rpc_port);
    first.set("--mysql-port", options.mysql_port);
    first.set("--http-port", options.http_port);
    first.arguments.extend(["--master", "--bootstrap"].map(|flag| (flag, None)));
    if let Some(partitions) = options.partitions {
        first.set("--partitions", partitions);
    }
    first.set("--secure-file-priv", &options.secure_file_priv);
    let others = (2..=options.aggregators).map(|number| {
        let mut other = describe("aggregator", number, loopback);
        other.set("--mysql-port", 0);
        if let Some(partitions) = options.partitions {
            other.set("--partitions", partitions);
        }
        other.set("--secure-file-priv", &options.secure_file_priv);
        other
    });
    // What stands on one machine shares its cores.
    let threads_of_leaf = (threads(options.threads) / options.leaves).max(1);
    let leaves = (1..=options.leaves).map(|number| {
        let mut leaf = describe("leaf", number, loopback);
        leaf.set("--threads", threads_of_leaf);
        leaf
    });

    let deadline = Instant::now() + START_LIMIT;
    let (events, reports) = mpsc::channel();
    let mut processes = vec![Process::start(first, events.clone())?];
    let ready = wait_until_ready(&reports, &processes, 1, deadline)?;
    let Some(Ports { mysql: Some(mysql), http: Some(http), .. }) = ready.first().copied() else {
        return Err(StartError::new("the first aggregator did not say where it listens"));
    };
    for mut other in others.chain(leaves) {
        other.set("--join", seed);
        processes.push(Process::start(other, events.clone())?);
    }
    wait_until_ready(&reports, &processes, processes.len() - 1, deadline)?;
    std::thread::Builder::new()
        .name("reports".into())
        .spawn(move || {
            for event in reports {
                event.show();
            }
        })
        .map_err(|error| StartError::new(format!("cannot start threads: {error}")))?;
    Ok(Cluster { mysql, http, processes, _folder: folder })
}

impl Cluster {
    /// Waits for Ctrl-C or SIGTERM.
    pub fn wait_for_signal(&self) {
        match network_runtime(1) {
            Ok(runtime) => runtime.block_on(wait_for_signal(false)),
            Err(error) => tracing::error!(%error, "signals cannot be waited for"),
        }
    }

    /// Lets running statements end and stops all processes: the aggregators first, then the leaves, which
    /// their statements need.
    pub fn stop(self) {
        let is_leaf = |process: &Process| process.name.starts_with("leaf");
        let (leaves, aggregators): (Vec<_>, Vec<_>) = self.processes.into_iter().partition(is_leaf);
        for group in [aggregators, leaves] {
            let deadline = Instant::now() + STOP_LIMIT;
            for process in &group {
                process.life.lock().stop();
            }
            for process in group {
                process.join(deadline);
            }
        }
    }
}

/// A port that was free just now.
fn free_port() -> Result<u16, StartError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| StartError::new(format!("no port is free on loopback: {error}")))
}

/// How a process is started.
#[derive(Debug, Clone)]
struct Description {
    name: String,
    program: PathBuf,
    log: PathBuf,
    arguments: Vec<(&'static str, Option<String>)>,
}

impl Description {
    fn set(&mut self, flag: &'static str, value: impl std::fmt::Display) {
        self.arguments.retain(|(other, _)| *other != flag);
        self.arguments.push((flag, Some(value.to_string())));
    }

    /// Uses the same ports the next time.
    fn keep(&mut self, ports: Ports) {
        let flags = [("--mysql-port", ports.mysql), ("--rpc-port", ports.rpc), ("--http-port", ports.http)];
        for (flag, address) in flags {
            if let Some(address) = address {
                self.set(flag, address.port());
            }
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        for (flag, value) in &self.arguments {
            command.arg(flag).args(value);
        }
        // What holds for this program must not reach those.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PANDO_") && name != "PANDO_LOG") {
                command.env_remove(name);
            }
        }
        command.env("PANDO_SUPERVISED", "true").stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }
}

/// Where a process said that it listens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Ports {
    mysql: Option<SocketAddr>,
    rpc: Option<SocketAddr>,
    http: Option<SocketAddr>,
}

impl Ports {
    /// From "ready: mysql A, rpc B, http C", or a part of it.
    fn parse(line: &str) -> Option<Ports> {
        let mut ports = Ports::default();
        for part in line.strip_prefix("ready: ")?.trim().split(", ") {
            let (what, address) = part.split_once(' ')?;
            let address = Some(address.parse().ok()?);
            match what {
                "mysql" => ports.mysql = address,
                "rpc" => ports.rpc = address,
                "http" => ports.http = address,
                _ => return None,
            }
        }
        Some(ports)
    }
}

impl std::fmt::Display for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = [("mysql", self.mysql), ("rpc", self.rpc), ("http", self.http)];
        for (what, address) in all.iter().filter_map(|(what, address)| Some((what, (*address)?))) {
            write!(f, ", {what} {address}")?;
        }
        Ok(())
    }
}

/// What became of a process.
#[derive(Debug)]
enum Event {
    Ready { name: String, pid: u32, ports: Ports },
    Ended { name: String, how: String, log: PathBuf, was_ready: bool },
}

impl Event {
    fn show(&self) {
        match self {
            Event::Ready { name, pid, ports } => say(format_args!("{name}: pid {pid}{ports}")),
            Event::Ended { name, how, .. } => say(format_args!("{name}: {how}; it is started again")),
        }
    }
}

/// Waits until `count` more processes are ready.
fn wait_until_ready(
    events: &Receiver<Event>,
    processes: &[Process],
    count: usize,
    deadline: Instant,
) -> Result<Vec<Ports>, StartError> {
    let mut ready = Vec::new();
    while ready.len() < count {
        let event =
            events.recv_timeout(deadline.saturating_duration_since(Instant::now())).map_err(|_| {
                let names: Vec<&str> = processes.iter().map(|process| process.name.as_str()).collect();
                StartError::new(format!("not all of {} were ready in time", names.join(", ")))
            })?;
        match &event {
            Event::Ready { ports, .. } => ready.push(*ports),
            // One that ends before it was ever ready will not be better the next time.
            Event::Ended { name, how, log, was_ready: false } => {
                return Err(StartError::new(last_line(log).unwrap_or_else(|| format!("{name}: {how}"))));
            }
            Event::Ended { .. } => {}
        }
        event.show();
    }
    Ok(ready)
}

/// What a process said last, without its own name in front.
fn last_line(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let line = text.lines().rfind(|line| !line.trim().is_empty())?;
    let (program, rest) = line.split_once(": ")?;
    Some(if program.starts_with("pando-") { rest } else { line }.to_string())
}

/// One process and the thread that looks after it.
struct Process {
    name: String,
    life: Arc<Mutex<Life>>,
    thread: JoinHandle<()>,
}

/// The process that runs now.
#[derive(Default)]
struct Life {
    stopping: bool,
    child: Option<Child>,
    /// While it is open, the process goes on.
    input: Option<ChildStdin>,
}

impl Life {
    fn stop(&mut self) {
        self.stopping = true;
        self.input = None;
    }
}

impl Process {
    fn start(description: Description, events: Sender<Event>) -> Result<Process, StartError> {
        let name = description.name.clone();
        let life = Arc::<Mutex<Life>>::default();
        let of_thread = life.clone();
        let thread = std::thread::Builder::new()
            .name(name.clone())
            .spawn(move || look_after(description, &of_thread, &events))
            .map_err(|error| StartError::new(format!("cannot start threads: {error}")))?;
        Ok(Process { name, life, thread })
    }

    fn join(self, deadline: Instant) {
        while !self.thread.is_finished() {
            if Instant::now() >= deadline
                && let Some(child) = &mut self.life.lock().child
            {
                tracing::warn!("{} does not stop and is killed", self.name);
                // It may have ended meanwhile.
                let _ = child.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        if self.thread.join().is_err() {
            tracing::error!("looking after {} failed", self.name);
        }
    }
}

/// Runs the process again and again until it is told to stop.
fn look_after(mut description: Description, life: &Mutex<Life>, events: &Sender<Event>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let started = Instant::now();
        let mut was_ready = false;
        let ran = run_once(&description, life, |pid, ports| {
            was_ready = true;
            // Nobody listens while the supervisor ends.
            let _ = events.send(Event::Ready { name: description.name.clone(), pid, ports });
        });
        let how = match ran {
            Ok((how, ports)) => {
                if let Some(ports) = ports {
                    description.keep(ports);
                }
                how
            }
            Err(error) => format!("it cannot be run: {error}"),
        };
        if life.lock().stopping {
            return;
        }
        let (name, log) = (description.name.clone(), description.log.clone());
        // Nobody listens while the supervisor ends.
        let _ = events.send(Event::Ended { name, how, log, was_ready });
        pause = if started.elapsed() >= GROWN_UP { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        let until = Instant::now() + pause;
        while Instant::now() < until {
            if life.lock().stopping {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Runs the process to its end; returns how it ended and where it listened.
fn run_once(
    description: &Description,
    life: &Mutex<Life>,
    mut ready: impl FnMut(u32, Ports),
) -> std::io::Result<(String, Option<Ports>)> {
    let mut log = File::options().create(true).append(true).open(&description.log)?;
    let output = {
        let mut life = life.lock();
        if life.stopping {
            return Ok(("stopped".to_string(), None));
        }
        let mut child = description.command().stderr(log.try_clone()?).spawn().map_err(|error| {
            std::io::Error::new(error.kind(), format!("{}: {error}", description.program.display()))
        })?;
        life.input = child.stdin.take();
        let output = child.stdout.take();
        life.child = Some(child);
        output
    };
    let pid = life.lock().child.as_ref().map_or(0, Child::id);
    let mut ports = None;
    for line in output.into_iter().flat_map(|output| BufReader::new(output).lines()) {
        let line = line?;
        match Ports::parse(&line) {
            Some(said) => {
                ready(pid, said);
                ports = Some(said);
            }
            None => writeln!(log, "{line}")?,
        }
    }
    // Its output has ended, so it has, too.
    let child = life.lock().child.take();
    let how = match child {
        Some(mut child) => format!("pid {pid} ended with {}", child.wait()?),
        None => "it was never there".to_string(),
    };
    life.lock().input = None;
    Ok((how, ports))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_and_kept() {
        let ports =
            Ports::parse("ready: mysql 127.0.0.1:3306, rpc 127.0.0.1:7306, http [::1]:8306\n").unwrap();
        assert_eq!(ports.to_string(), ", mysql 127.0.0.1:3306, rpc 127.0.0.1:7306, http [::1]:8306");
        let leaf = Ports::parse("ready: rpc 127.0.0.1:7307, http 127.0.0.1:8307").unwrap();
        assert_eq!((leaf.mysql, leaf.rpc.map(|rpc| rpc.port())), (None, Some(7307)));
        for other in ["hello", "ready: soon", "ready: mysql here", "ready: gopher 127.0.0.1:70"] {
            assert_eq!(Ports::parse(other), None, "{other}");
        }
        let mut description = Description {
            name: "leaf-1".into(),
            program: "pando-leaf".into(),
            log: "log".into(),
            arguments: Vec::new(),
        };
        description.set("--rpc-port", 0);
        description.keep(leaf);
        let expected = [("--rpc-port", Some("7307".to_string())), ("--http-port", Some("8307".to_string()))];
        assert_eq!(description.arguments, expected);
    }
}
