//! Options, declared once a program: flags, their environment variables and their help. [`mod@file`] adds
//! the TOML file, [`mod@reference`] the page about them.

pub mod file;
pub mod reference;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand};
use std::net::IpAddr;
use std::path::PathBuf;

#[derive(Debug, Parser)]
#[command(
    name = "pando",
    version,
    about = "Pando: one SQL engine for transactions and analytics",
    propagate_version = true
)]
pub struct Options {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a whole cluster on a data folder, in this process or in one for each role
    Dev(DevOptions),
    /// Load TPC-H into a cluster, run its 22 queries and check every answer
    Demo(DemoOptions),
}

#[derive(Debug, Clone, Args)]
pub struct DevOptions {
    /// Folder that holds everything; made if it is not there
    #[arg(long, env = "PANDO_DATA", default_value = "pando-data", value_name = "DIR")]
    pub data: PathBuf,
    /// Address to listen on. root has no password on loopback and cannot log in from elsewhere until it has one
    #[arg(long, env = "PANDO_BIND", default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub bind: IpAddr,
    /// Port for MySQL clients; 0: any free one
    #[arg(long, env = "PANDO_MYSQL_PORT", default_value_t = 3306, value_name = "PORT")]
    pub mysql_port: u16,
    /// Port for /metrics, /healthz and /readyz; 0: any free one
    #[arg(long, env = "PANDO_HTTP_PORT", default_value_t = 8306, value_name = "PORT")]
    pub http_port: u16,
    /// Partitions of a new database that does not say; default: one a core
    #[arg(long, env = "PANDO_PARTITIONS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub partitions: Option<u32>,
    /// Memory for the buffer pool, recent rows and queries together, like 4GiB; default: half of the machine's
    #[arg(long, env = "PANDO_MEMORY", value_name = "SIZE", value_parser = parse_size)]
    pub memory: Option<u64>,
    /// Threads that run queries, and as many that serve connections; default: one a core. Leaves in processes of their own share them
    #[arg(long, env = "PANDO_THREADS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// Folder that the files of LOAD DATA INFILE and SELECT .. INTO OUTFILE must lie in; NULL: there can be none; default: wherever the process may read and write
    #[arg(long, env = "PANDO_SECURE_FILE_PRIV", default_value = "", value_name = "DIR")]
    pub secure_file_priv: String,
    /// Give each role a process of its own, supervised, with its log in the data folder
    #[arg(long, env = "PANDO_PROCESSES", value_parser = BoolishValueParser::new())]
    pub processes: bool,
    /// Leaves; more than one needs --processes
    #[arg(long, env = "PANDO_LEAVES", default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub leaves: u32,
    /// Aggregators; more than one needs --processes. The first is the master
    #[arg(long, env = "PANDO_AGGREGATORS", default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub aggregators: u32,
    #[command(flatten)]
    pub tls: TlsOptions,
    /// TOML file with options
    #[arg(long, env = "PANDO_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The certificate that MySQL clients see.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsOptions {
    /// PEM file with the certificate for TLS, and those that vouch for it behind it; default: one made at the first start, DIR/server-cert.pem, which DIR/ca.pem vouches for
    #[arg(long, env = "PANDO_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the private key of --tls-cert
    #[arg(long, env = "PANDO_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

impl DevOptions {
    /// What does not fit together.
    pub fn check(&self) -> Result<(), String> {
        if !self.processes && self.leaves > 1 {
            return Err("--leaves of more than 1 needs --processes".to_string());
        }
        if !self.processes && self.aggregators > 1 {
            return Err("--aggregators of more than 1 needs --processes".to_string());
        }
        Ok(())
    }
}

/// A process that speaks MySQL
#[derive(Debug, Clone, Parser)]
#[command(name = "pando-aggregator", version, about = "An aggregator: speaks MySQL, plans and coordinates")]
pub struct AggregatorOptions {
    #[command(flatten)]
    pub common: NodeOptions,
    /// Port for MySQL clients; 0: any free one
    #[arg(long, env = "PANDO_MYSQL_PORT", default_value_t = 3306, value_name = "PORT")]
    pub mysql_port: u16,
    /// Port for other processes of the cluster; 0: any free one
    #[arg(long, env = "PANDO_RPC_PORT", default_value_t = 7306, value_name = "PORT")]
    pub rpc_port: u16,
    /// Port for /metrics, /healthz and /readyz; 0: any free one
    #[arg(long, env = "PANDO_HTTP_PORT", default_value_t = 8306, value_name = "PORT")]
    pub http_port: u16,
    /// Keep the metadata too, as one of its voters; a cluster has 1, 3 or 5 of them
    #[arg(long, env = "PANDO_MASTER", value_parser = BoolishValueParser::new())]
    pub master: bool,
    /// Begin a new cluster as its first master, if the data folder is empty
    #[arg(long, env = "PANDO_BOOTSTRAP", value_parser = BoolishValueParser::new())]
    pub bootstrap: bool,
    /// Like --bootstrap for the master whose --advertise is this host, so that all masters can be given the same options
    #[arg(long, env = "PANDO_BOOTSTRAP_HOST", value_name = "HOST")]
    pub bootstrap_host: Option<String>,
    /// Partitions of a new database that does not say; default: one a core of the leaves
    #[arg(long, env = "PANDO_PARTITIONS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub partitions: Option<u32>,
    /// Folder that the files of LOAD DATA INFILE and SELECT .. INTO OUTFILE must lie in; NULL: there can be none; default: wherever the process may read and write
    #[arg(long, env = "PANDO_SECURE_FILE_PRIV", default_value = "", value_name = "DIR")]
    pub secure_file_priv: String,
    /// Certificate chain in PEM to offer TLS to MySQL clients with; default: one made at the first start, DIR/server-cert.pem, which DIR/ca.pem vouches for
    #[arg(long, env = "PANDO_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Key of --tls-cert in PEM
    #[arg(long, env = "PANDO_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
}

/// A process that stores partitions
#[derive(Debug, Clone, Parser)]
#[command(
    name = "pando-leaf",
    version,
    about = "A leaf: stores partitions and runs the stages of queries over them"
)]
pub struct LeafOptions {
    #[command(flatten)]
    pub common: NodeOptions,
    /// Port for other processes of the cluster; 0: any free one
    #[arg(long, env = "PANDO_RPC_PORT", default_value_t = 7307, value_name = "PORT")]
    pub rpc_port: u16,
    /// Port for /metrics, /healthz and /readyz; 0: any free one
    #[arg(long, env = "PANDO_HTTP_PORT", default_value_t = 8307, value_name = "PORT")]
    pub http_port: u16,
}

/// What every process of a cluster is told.
#[derive(Debug, Clone, Args)]
pub struct NodeOptions {
    /// Folder for what must survive a restart, and for temporary files; made if it is not there
    #[arg(long, env = "PANDO_DATA", default_value = "pando-data", value_name = "DIR")]
    pub data: PathBuf,
    /// Address to listen on
    #[arg(long, env = "PANDO_BIND", default_value = "127.0.0.1", value_name = "ADDR")]
    pub bind: IpAddr,
    /// Host under which other processes reach this one; default: the address of --bind
    #[arg(long, env = "PANDO_ADVERTISE", value_name = "HOST")]
    pub advertise: Option<String>,
    /// Masters of the cluster, with their ports for other processes: HOST:PORT,HOST:PORT
    #[arg(long, env = "PANDO_JOIN", default_value = "", value_name = "HOST:PORT", value_parser = parse_addresses)]
    pub join: Addresses,
    /// Memory for everything that grows with data, like 4GiB; default: half of the machine's
    #[arg(long, env = "PANDO_MEMORY", value_name = "SIZE", value_parser = parse_size)]
    pub memory: Option<u64>,
    /// Threads that run queries, and as many that serve connections; default: one a core
    #[arg(long, env = "PANDO_THREADS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// How long running statements may go on after SIGTERM
    #[arg(long, env = "PANDO_DRAIN_SECONDS", default_value_t = 10, value_name = "N")]
    pub drain_seconds: u64,
    /// Certificate in PEM that this process shows to others; they take only each other's
    #[arg(long, env = "PANDO_NODE_CERT", value_name = "FILE")]
    pub node_cert: Option<PathBuf>,
    /// Key of --node-cert in PEM
    #[arg(long, env = "PANDO_NODE_KEY", value_name = "FILE")]
    pub node_key: Option<PathBuf>,
    /// Authority in PEM that signed the certificates of all processes
    #[arg(long, env = "PANDO_NODE_CA", value_name = "FILE")]
    pub node_ca: Option<PathBuf>,
    /// TOML file with options
    #[arg(long, env = "PANDO_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Stop when standard input ends: the process that started this one is gone
    #[arg(long, env = "PANDO_SUPERVISED", hide = true, value_parser = BoolishValueParser::new())]
    pub supervised: bool,
}

impl NodeOptions {
    /// The host that others reach this process under.
    pub fn host(&self) -> Result<String, String> {
        match &self.advertise {
            Some(host) if host.is_empty() || host.contains(['/', ' ']) => {
                Err(format!("--advertise '{host}' is not a host"))
            }
            Some(host) => Ok(host.clone()),
            None if self.bind.is_unspecified() => Err(format!(
                "--bind {} needs --advertise: others must know where to find this process",
                self.bind
            )),
            None => Ok(self.bind.to_string()),
        }
    }

    fn check(&self) -> Result<(), String> {
        self.host()?;
        let given =
            [&self.node_cert, &self.node_key, &self.node_ca].iter().filter(|file| file.is_some()).count();
        if given != 0 && given != 3 {
            return Err("--node-cert, --node-key and --node-ca belong together".to_string());
        }
        Ok(())
    }
}

impl AggregatorOptions {
    /// What does not fit together.
    pub fn check(&self) -> Result<(), String> {
        self.common.check()?;
        if !self.master && (self.bootstrap || self.bootstrap_host.is_some()) {
            return Err(
                "--bootstrap needs --master: the first process of a cluster keeps its metadata".to_string()
            );
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return Err("--tls-cert and --tls-key belong together".to_string());
        }
        if !self.begins_cluster() && self.common.join.0.is_empty() {
            return Err("--join is needed: a master's HOST:PORT, or --master --bootstrap for the first one"
                .to_string());
        }
        Ok(())
    }

    /// Whether this process begins a cluster if its folder is empty.
    pub fn begins_cluster(&self) -> bool {
        let is_first = || self.bootstrap_host.is_some() && self.bootstrap_host == self.common.host().ok();
        self.master && (self.bootstrap || is_first())
    }
}

impl LeafOptions {
    /// What does not fit together.
    pub fn check(&self) -> Result<(), String> {
        self.common.check()?;
        if self.common.join.0.is_empty() {
            return Err("--join is needed: the HOST:PORT of the masters".to_string());
        }
        Ok(())
    }
}

/// A list of HOST:PORT.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses(pub Vec<String>);

fn parse_addresses(text: &str) -> Result<Addresses, String> {
    let mut addresses = Vec::new();
    for address in text.split(',').map(str::trim).filter(|address| !address.is_empty()) {
        let port = address
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty())
            .map(|(_, port)| port.parse::<u16>());
        match port {
            Some(Ok(_)) => addresses.push(address.to_string()),
            _ => return Err(format!("'{address}' is not HOST:PORT")),
        }
    }
    Ok(Addresses(addresses))
}

#[derive(Debug, Clone, Args)]
pub struct DemoOptions {
    /// TPC-H scale factor; answers are known for 1, 0.05 and 0.01
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = parse_scale)]
    pub scale: f64,
    /// Leave after the queries instead of staying up
    #[arg(long)]
    pub exit: bool,
    #[command(flatten)]
    pub dev: DevOptions,
}

/// The smallest budget that a process can do its work in.
const LEAST_MEMORY: u64 = 64 << 20;

/// Bytes from "512MiB", "4GiB", "4G" or a plain number.
fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..digits].parse().map_err(|_| "not a size; write one like 512MiB or 4GiB".to_string())?;
    let shift = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return Err("not a size; write one like 512MiB or 4GiB".to_string()),
    };
    let bytes = number.checked_mul(1 << shift).ok_or("the size is too large")?;
    if bytes < LEAST_MEMORY {
        return Err(format!("at least {} MiB are needed", LEAST_MEMORY >> 20));
    }
    Ok(bytes)
}

/// A TPC-H scale factor: above 0, and not so large that nobody means it.
fn parse_scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale > 0.0 && scale <= 1_000.0 => Ok(scale),
        _ => Err("the scale is a number above 0 and up to 1000".to_string()),
    }
}

/// Half of the machine's memory, or 2 GiB where it cannot be told.
pub fn default_memory() -> u64 {
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    total.map_or(2 << 30, |kib| (kib << 10) / 2).max(LEAST_MEMORY)
}

/// A command line error as one line, with a way out.
pub fn one_line(program: &str, error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("error: bad options").trim();
    format!("{program}: {} (see {program} --help)", first.strip_prefix("error: ").unwrap_or(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn options_are_consistent() {
        Options::command().debug_assert();
        AggregatorOptions::command().debug_assert();
        LeafOptions::command().debug_assert();
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("4GiB"), Ok(4 << 30));
        assert_eq!(parse_size("128m"), Ok(128 << 20));
        assert!(parse_size("4 apples").is_err());
        assert!(parse_size("1").is_err());
        assert!(parse_size("99999999999T").is_err());
    }

    #[test]
    fn a_bad_option_is_one_line() {
        let error = Options::try_parse_from(["pando", "dev", "--mysql-port", "x"]).unwrap_err();
        let line = one_line("pando", &error);
        assert!(line.contains("--mysql-port") && !line.contains('\n'), "{line}");
    }

    fn aggregator(flags: &str) -> AggregatorOptions {
        AggregatorOptions::try_parse_from(std::iter::once("pando-aggregator").chain(flags.split_whitespace()))
            .unwrap()
    }

    #[test]
    fn what_does_not_fit_together() {
        for (flags, expected) in [
            ("--join a:1", None),
            ("--master --bootstrap", None),
            ("--master --bootstrap-host 127.0.0.1", None),
            ("--master --bootstrap-host h0 --advertise h1 --join h0:7306", None),
            ("--master --bootstrap-host h0 --advertise h1", Some("--join is needed")),
            ("", Some("--join is needed")),
            ("--bootstrap", Some("--bootstrap needs --master")),
            ("--join a:1 --bind 0.0.0.0", Some("--bind 0.0.0.0 needs --advertise")),
            ("--join a:1 --bind 0.0.0.0 --advertise a", None),
            ("--join a:1 --node-cert c", Some("--node-cert, --node-key and --node-ca belong together")),
            ("--join a:1 --tls-cert c", Some("--tls-cert and --tls-key belong together")),
        ] {
            let found = aggregator(flags).check();
            match expected {
                None => assert_eq!(found, Ok(()), "{flags}"),
                Some(text) => assert!(found.as_ref().is_err_and(|e| e.contains(text)), "{flags}: {found:?}"),
            }
        }
        let leaf = LeafOptions::try_parse_from(["pando-leaf"]).unwrap();
        assert!(leaf.check().is_err());
    }

    #[test]
    fn the_same_options_for_every_pod() {
        let begins = |host: &str| {
            aggregator(&format!("--master --bootstrap-host m-0 --advertise {host} --join m-0:7306"))
                .begins_cluster()
        };
        assert!(begins("m-0") && !begins("m-1"));
    }

    #[test]
    fn addresses() {
        assert_eq!(parse_addresses("a:1, b.c:2"), Ok(Addresses(vec!["a:1".into(), "b.c:2".into()])));
        assert_eq!(parse_addresses(""), Ok(Addresses::default()));
        for bad in ["a", "a:", ":1", "a:70000", "a:1,b"] {
            assert!(parse_addresses(bad).is_err(), "{bad}");
        }
    }
}
