use env::{Clock, SystemClock};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use types::NodeId;

/// How a master runs. Everything but `folder`, `node` and `voters` may differ between starts.
#[derive(Clone)]
pub struct MasterOptions {
    /// Where the log and the snapshots are. Made if it does not exist.
    pub folder: PathBuf,
    pub node: NodeId,
    /// The first voters, the same list on each of them; used only when the folder is new. Empty:
    /// this one joins a group that exists, by [`Master::add_voter`](crate::Master::add_voter) there.
    pub voters: Vec<NodeId>,
    /// The unit of Raft's time: a heartbeat each 2, an election after 10 to 20 without one.
    pub tick: Duration,
    /// How many entries of the log make a new snapshot.
    pub snapshot_every: u64,
    /// How many entries before a snapshot stay in the log, for voters that lag a little.
    pub keep_entries: u64,
    /// How long a proposal looks for a leader before it fails.
    pub propose_timeout: Duration,
    pub clock: Arc<dyn Clock>,
}

impl MasterOptions {
    /// The only voter of its cluster.
    pub fn single(folder: impl Into<PathBuf>, node: NodeId) -> MasterOptions {
        MasterOptions {
            folder: folder.into(),
            node,
            voters: vec![node],
            tick: Duration::from_millis(100),
            snapshot_every: 1_000,
            keep_entries: 500,
            propose_timeout: Duration::from_secs(10),
            clock: Arc::new(SystemClock),
        }
    }
}
