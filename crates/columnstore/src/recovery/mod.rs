//! From a folder to a running store: manifests, then the log from the oldest file that a partition
//! needs, then what was left open.
//!
//! * [`replay`] plays the records of one partition on top of its manifest;
//! * [`build`] makes the partition out of the result.
//!
//! Transactions that were open are rolled back, in the log too, so that the next recovery need not
//! find out again. A prepared one asks the coordinating partition if that is in the same log: if it has
//! not decided, it decides ABORT, in its log, before the participant hears of it. One whose
//! coordinating partition is on another leaf stays prepared, with its locks, until that is asked.

pub(crate) mod build;
pub(crate) mod replay;

use crate::StoreError;
use crate::manifest::Manifest;
use crate::wal::frame::{Head, LEAF};
use crate::wal::reader::{LogEnd, Position};
use crate::wal::{Record, read_log};
use env::Disk;
use hashbrown::HashMap;
use replay::Replay;
use std::collections::BTreeMap;
use std::path::Path;
use txn::Outcome;
use types::{PartitionId, Timestamp, TxnId};

/// What the folder held.
pub(crate) struct Recovered {
    pub(crate) partitions: BTreeMap<PartitionId, Replay>,
    /// The file that the log goes on in.
    pub(crate) next_file: u64,
    /// No timestamp at or above it was given out.
    pub(crate) ceiling: Timestamp,
    /// Decisions found in the log, by transaction. None: abort.
    pub(crate) decisions: HashMap<TxnId, Option<Timestamp>>,
}

pub(crate) fn partition_folder_name(id: PartitionId) -> String {
    id.0.to_string()
}

/// Reads everything that a folder holds. `folder` has `wal` and `p` in it.
pub(crate) fn recover(disk: &dyn Disk, folder: &Path) -> Result<Recovered, StoreError> {
    let parts = folder.join("p");
    let mut partitions = BTreeMap::new();
    for name in disk.list(&parts).map_err(|error| StoreError::io(&parts, error))? {
        let path = parts.join(&name);
        let Some(manifest) = Manifest::read(disk, &path)? else {
            // Half made or half removed.
            disk.remove_dir_all(&path).map_err(|error| StoreError::io(&path, error))?;
            continue;
        };
        if partition_folder_name(manifest.partition) != name {
            let what = format!("it is the manifest of partition {}", manifest.partition.0);
            return Err(StoreError::corrupt(&path.join(crate::manifest::FILE_NAME), 16, what));
        }
        partitions.insert(manifest.partition, Replay::new(manifest, path)?);
    }
    let from = partitions.values().map(Replay::needed_file).min();
    let mut ceiling = Timestamp::ZERO;
    let mut decisions = HashMap::new();
    for (txn, (outcome, _)) in partitions.values().flat_map(|replay| &replay.decisions) {
        let commit = match outcome {
            Outcome::Commit(at) => Some(*at),
            Outcome::Abort => None,
        };
        decisions.insert(*txn, commit);
    }
    let mut visit = |position: &Position<'_>, head: &Head, payload: &[u8]| {
        let refuse = |what: &str| StoreError::corrupt(position.path, position.offset, what);
        if head.partition != LEAF && !partitions.contains_key(&head.partition) {
            // Of a partition that was dropped.
            return Ok(());
        }
        let record = Record::decode(head.kind, payload).map_err(refuse)?;
        match (&record, partitions.get_mut(&head.partition)) {
            (Record::Ceiling { at }, _) => {
                ceiling = ceiling.max(*at);
                return Ok(());
            }
            (Record::Decision { txn, commit, .. }, _) => {
                decisions.entry(*txn).or_insert(*commit);
            }
            _ => {}
        }
        match partitions.get_mut(&head.partition) {
            Some(replay) => replay.apply(head, position.file, record).map_err(|what| refuse(&what)),
            None => Ok(()),
        }
    };
    let LogEnd { next_file, ceiling: of_headers } = read_log(disk, &folder.join("wal"), from, &mut visit)?;
    let ceiling = partitions.values().map(Replay::newest).fold(ceiling.max(of_headers), Timestamp::max);
    Ok(Recovered { partitions, next_file, ceiling, decisions })
}
