//! Options, declared once: flags, their environment variables and their help.

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
    /// Run a whole cluster in this process on a data folder
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
pub fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("error: bad options").trim();
    format!("pando: {} (see pando --help)", first.strip_prefix("error: ").unwrap_or(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn options_are_consistent() {
        Options::command().debug_assert();
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
        let line = one_line(&error);
        assert!(line.contains("--mysql-port") && !line.contains('\n'), "{line}");
    }
}
