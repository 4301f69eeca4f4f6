//! The metadata voter of a master aggregator: a [`Master`] on the data folder, its gRPC service, and the
//! ways to the other voters.

use crate::process::StartError;
use catalog::{Catalog, Command, Metadata, Voter};
use master::store::RocksStore;
use master::{Leadership, Master, MasterOptions, MasterService};
use rpc::Channels;
use rpc::metadata::RaftLinks;
use rpc::node::MetadataRole;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Handle;
use types::NodeId;

pub struct MetadataVoter {
    master: Arc<Master>,
    service: Arc<MasterService>,
    links: Arc<RaftLinks>,
}

impl MetadataVoter {
    /// Opens the metadata in `folder`, or begins it: as the first voter of a cluster, or as one that
    /// waits to be added. Blocks on the disk.
    pub fn open(
        folder: &Path,
        node: NodeId,
        is_first: bool,
        channels: Arc<Channels>,
        runtime: &Handle,
    ) -> Result<MetadataVoter, StartError> {
        let failed = |error: &dyn std::fmt::Display| {
            StartError::new(format!("the metadata in {}: {error}", folder.display()))
        };
        let links = Arc::new(RaftLinks::new(channels, runtime.clone()));
        let peers = {
            let links = links.clone();
            move |to, message| links.send(to, message)
        };
        let store = RocksStore::open(folder).map_err(|error| failed(&error))?;
        let voters = if is_first { vec![node] } else { Vec::new() };
        let options = MasterOptions { voters, ..MasterOptions::single(folder, node) };
        let master =
            Master::open_with(options, Box::new(store), Box::new(peers)).map_err(|error| failed(&error))?;
        links.learn(&master.snapshot());
        let service = MasterService::new(master.clone());
        runtime.spawn(MasterService::lead(Arc::downgrade(&service)));
        runtime.spawn(learn(master.clone(), links.clone()));
        Ok(MetadataVoter { master, service, links })
    }

    pub fn service(&self) -> Arc<dyn Voter> {
        self.service.clone()
    }

    /// Makes this voter, as `registered`, the first node of a new cluster, and gives the cluster its id, if
    /// it has none; returns that. Nobody else becomes a node before.
    pub async fn found_cluster(&self, registered: Command) -> Result<u64, StartError> {
        if self.master.snapshot().cluster().is_none() {
            self.master.propose(registered).await?;
            let id = getrandom::u64()
                .map_err(|error| StartError::new(format!("the system gives no random number: {error}")))?;
            self.master.propose(Command::FoundCluster { id }).await?;
        }
        let cluster = self.master.snapshot().cluster();
        cluster.ok_or_else(|| StartError::new("the metadata kept no id of the cluster"))
    }

    /// Where the other voters are, as somebody else's catalog tells.
    pub fn learn(&self, catalog: &Catalog) {
        self.links.learn(catalog);
    }

    pub fn role(&self) -> MetadataRole {
        match *self.master.leadership().borrow() {
            Leadership::Leader => MetadataRole::Leader,
            Leadership::Other(_) => MetadataRole::Voter,
        }
    }

    /// Closes the store, after the write that is under way. Blocks on the disk.
    pub fn shutdown(&self) {
        self.master.shutdown();
    }
}

/// Voters that join or move are found where the catalog says.
async fn learn(master: Arc<Master>, links: Arc<RaftLinks>) {
    let mut version = 0;
    while let Ok(catalog) = master.changed(version).await {
        links.learn(&catalog);
        version = catalog.version();
    }
}
