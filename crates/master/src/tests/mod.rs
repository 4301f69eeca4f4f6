//! The service as a whole: on disk, on a disk that fails, with three voters on a bad network.

mod cluster;
mod crash;
mod faults;
mod remote;
mod single;

use crate::{Master, MasterOptions};
use catalog::{Catalog, Command, Metadata, NodeRole, Outcome};
use std::future::Future;
use std::time::Duration;
use types::{NodeId, SqlError};

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn propose(master: &Master, command: Command) -> Result<Outcome, SqlError> {
    run(master.propose(command))
}

fn leaf() -> Command {
    Command::RegisterNode {
        id: None,
        host: "leaf".into(),
        port: 1,
        mysql_port: None,
        role: NodeRole::Leaf,
        cores: 4,
    }
}

fn create(name: impl Into<String>) -> Command {
    Command::CreateDatabase {
        name: name.into(),
        partitions: Some(1),
        collation: types::Collation::default(),
        if_not_exists: false,
    }
}

/// Sets a variable to a number.
fn set(name: &str, value: u64) -> Command {
    Command::SetGlobalVariable { name: name.into(), value: Some(value.to_string()) }
}

fn names(catalog: &Catalog) -> Vec<String> {
    catalog.databases().map(|d| d.name.clone()).collect()
}

/// Small numbers, so that a test meets snapshots and elections.
fn small(folder: &std::path::Path, node: u32) -> MasterOptions {
    MasterOptions {
        tick: Duration::from_millis(10),
        snapshot_every: 20,
        keep_entries: 5,
        propose_timeout: Duration::from_secs(20),
        ..MasterOptions::single(folder, NodeId(node))
    }
}
