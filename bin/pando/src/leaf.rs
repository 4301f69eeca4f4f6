//! `pando-leaf`: a store, the requests of aggregators to it, and the stages that run over it.

use crate::node::Node;
use crate::options::LeafOptions;
use crate::process::{StartError, run_node, wait_for_signal};
use crate::say::say;
use crate::{metrics, wire};
use ::leaf::Leaf;
use catalog::{Metadata, NodeRole};
use columnstore::{Options as StoreOptions, Store};
use env::{RealDisk, SystemClock};
use rpc::metadata::{Follows, Masters, RemoteMetadata};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const PROGRAM: &str = "pando-leaf";

/// The program.
pub fn main() -> ExitCode {
    run_node(PROGRAM, LeafOptions::check, run)
}

/// Runs until a signal.
fn run(options: &LeafOptions) -> Result<(), StartError> {
    let (runtime, node) = Node::open(&options.common, options.rpc_port, options.http_port)?;
    let store = OnceLock::new();
    runtime.block_on(async {
        let signal = wait_for_signal(options.common.supervised);
        tokio::pin!(signal);
        tokio::select! {
            started = start(options, &node, &store) => started?,
            () = &mut signal => return Ok(()),
        }
        say(format_args!("ready: rpc {}, http {}", node.rpc, node.http));
        signal.await;
        node.drain(Duration::from_secs(options.common.drain_seconds)).await;
        Ok::<(), StartError>(())
    })?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Some(store) = store.get() {
        store.shutdown();
    }
    Ok(())
}

async fn start(
    options: &LeafOptions,
    node: &Arc<Node>,
    opened: &OnceLock<Arc<Store>>,
) -> Result<(), StartError> {
    // First of all, since recovery may take its time, and the masters must not send anybody here before.
    let folder = node.folder("leaf");
    let store = tokio::task::block_in_place(|| {
        let store_options = StoreOptions::new(node.memory.clone());
        Store::open(Arc::new(RealDisk), Arc::new(SystemClock), &folder, store_options)
    })
    .map_err(|error| StartError::new(format!("the data in {}: {error}", folder.display())))?;
    // Set once.
    let _ = opened.set(store.clone());
    node.pages.add({
        let store = store.clone();
        move || metrics::store(&store)
    });
    let masters = Arc::new(Masters::new(node.channels.clone(), options.common.join.0.clone()));
    let known = node.known_identity(NodeRole::Leaf)?;
    let metadata = node.join(&masters, known, NodeRole::Leaf, None, Follows::WhenCarriedOut).await?;
    let leaf = Arc::new(Leaf::new(metadata.identity().node, store, metadata.clone()));
    leaf.follow().await?;
    metadata.carried_out(leaf.version());
    wire::serve_leaf(node, &metadata, &leaf)?;
    tokio::spawn(follow(leaf, metadata));
    let connections = node.connections.clone();
    node.vitals.serve(move || connections.count(), || Ok(()));
    Ok(())
}

/// Carries out what each new catalog asks of this leaf, and tells the masters.
async fn follow(leaf: Arc<Leaf>, metadata: Arc<RemoteMetadata>) {
    let mut version = leaf.version();
    while let Ok(catalog) = metadata.changed(version).await {
        match leaf.follow().await {
            Ok(()) => {
                version = leaf.version();
                metadata.carried_out(version);
            }
            Err(error) => {
                // The next request that needs the change tries again, and tells its client.
                tracing::error!(version = catalog.version(), %error, "a change of the catalog was not carried out");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}
