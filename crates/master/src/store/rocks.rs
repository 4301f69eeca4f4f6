//! The store on disk: a RocksDB database with one keyspace.
//!
//! | key | value |
//! |---|---|
//! | `format` | 1, as 4 bytes, little-endian |
//! | `node` | the node's id, as 4 bytes, little-endian |
//! | `hard_state` | `eraftpb.HardState` |
//! | `snapshot_metadata` | `eraftpb.SnapshotMetadata` |
//! | `snapshot_data` | the catalog, as `Catalog::encode` gives it |
//! | `log_start` | index and term, 8 bytes each, little-endian |
//! | `entry/` and the index, 8 bytes, big-endian | `eraftpb.Entry` |
//!
//! Every write is one `WriteBatch` with a synced write-ahead log. On open a record that a crash
//! cut off at the end of that log is dropped (its write was never confirmed); any other damage is
//! refused, where RocksDB by default would drop what follows it.

use super::{Batch, LogStart, Position, RaftStore, StoreError, check_entry};
use crate::MasterError;
use prost_of_raft::Message;
use raft::eraftpb::{Entry, HardState, Snapshot, SnapshotMetadata};
use rocksdb::{DB, DBRecoveryMode, Direction, IteratorMode, Options, WriteBatch, WriteOptions};
use std::fs::{self, File};
use std::io;
use std::path::Path;
use types::NodeId;

const FORMAT: u32 = 1;
const ENTRY: &[u8] = b"entry/";

pub struct RocksStore {
    db: DB,
    node: Option<NodeId>,
    hard_state: HardState,
    snapshot_metadata: SnapshotMetadata,
    log_start: Position,
    last_index: u64,
}

impl RocksStore {
    /// Opens or makes the store. The folder is locked until the store is dropped.
    pub fn open(folder: &Path) -> Result<RocksStore, MasterError> {
        create_folder(folder).map_err(|error| StoreError::Io(format!("{}: {error}", folder.display())))?;
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        options.set_paranoid_checks(true);
        // A few megabytes at most: keep what is on disk and in memory in proportion.
        options.set_write_buffer_size(4 << 20);
        options.set_max_total_wal_size(16 << 20);
        options.set_max_open_files(64);
        options.set_keep_log_file_num(2);
        options.set_max_log_file_size(1 << 20);
        let db = DB::open(&options, folder).map_err(|error| {
            let text = error.to_string();
            if text.contains("lock file") || text.contains("lock hold by") {
                MasterError::InUse { folder: folder.to_path_buf() }
            } else {
                MasterError::Store(failed(error))
            }
        })?;
        let mut store = RocksStore {
            db,
            node: None,
            hard_state: HardState::default(),
            snapshot_metadata: SnapshotMetadata::default(),
            log_start: Position::default(),
            last_index: 0,
        };
        store.load()?;
        Ok(store)
    }

    fn load(&mut self) -> Result<(), StoreError> {
        match self.number("format")? {
            // The first write gives it.
            None => return Ok(()),
            Some(FORMAT) => {}
            Some(found) => return Err(StoreError::UnknownFormat { found, known: FORMAT }),
        }
        self.node = self.number("node")?.map(NodeId);
        self.hard_state = self.message("hard_state")?.unwrap_or_default();
        self.snapshot_metadata = self.message("snapshot_metadata")?.unwrap_or_default();
        if let Some(bytes) = self.get(b"log_start")? {
            let (index, term) = bytes.split_at_checked(8).ok_or_else(|| damaged("log_start"))?;
            self.log_start = Position {
                index: u64::from_le_bytes(index.try_into().map_err(|_| damaged("log_start"))?),
                term: u64::from_le_bytes(term.try_into().map_err(|_| damaged("log_start"))?),
            };
        }
        self.last_index = self.log_start.index;
        for item in self.db.iterator(IteratorMode::From(ENTRY, Direction::Forward)) {
            let (key, _) = item.map_err(failed)?;
            let Some(index) = key.strip_prefix(ENTRY) else { break };
            let index = u64::from_be_bytes(index.try_into().map_err(|_| damaged("the key of an entry"))?);
            if index != self.last_index + 1 {
                return Err(StoreError::Damaged(format!("entry {index} follows entry {}", self.last_index)));
            }
            self.last_index = index;
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get(key).map_err(failed)
    }

    fn number(&self, key: &str) -> Result<Option<u32>, StoreError> {
        let Some(bytes) = self.get(key.as_bytes())? else { return Ok(None) };
        Ok(Some(u32::from_le_bytes(bytes.try_into().map_err(|_| damaged(key))?)))
    }

    fn message<M: Message + Default>(&self, key: &str) -> Result<Option<M>, StoreError> {
        let Some(bytes) = self.get(key.as_bytes())? else { return Ok(None) };
        M::decode(bytes.as_slice()).map(Some).map_err(|_| damaged(key))
    }
}

/// Makes the folder and those above it, all durably: a crash must not take away the folder of a
/// store that has confirmed something.
fn create_folder(folder: &Path) -> io::Result<()> {
    let missing: Vec<_> =
        folder.ancestors().take_while(|f| !f.as_os_str().is_empty() && !f.exists()).collect();
    fs::create_dir_all(folder)?;
    for made in missing {
        let above = made.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(above)?.sync_all()?;
    }
    Ok(())
}

fn entry_key(index: u64) -> [u8; 14] {
    let mut key = [0; 14];
    key[..6].copy_from_slice(ENTRY);
    key[6..].copy_from_slice(&index.to_be_bytes());
    key
}

fn failed(error: rocksdb::Error) -> StoreError {
    match error.kind() {
        rocksdb::ErrorKind::Corruption => StoreError::Damaged(error.to_string()),
        _ => StoreError::Io(error.to_string()),
    }
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(format!("{what} cannot be read"))
}

impl RaftStore for RocksStore {
    fn node(&self) -> Option<NodeId> {
        self.node
    }

    fn hard_state(&self) -> HardState {
        self.hard_state.clone()
    }

    fn snapshot_metadata(&self) -> SnapshotMetadata {
        self.snapshot_metadata.clone()
    }

    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        if self.snapshot_metadata.index == 0 {
            return Ok(Snapshot::default());
        }
        let data = self.get(b"snapshot_data")?.ok_or_else(|| damaged("snapshot_data"))?;
        Ok(Snapshot { data, metadata: Some(self.snapshot_metadata.clone()) })
    }

    fn log_start(&self) -> Position {
        self.log_start
    }

    fn last_index(&self) -> u64 {
        self.last_index
    }

    fn entries(&self, low: u64, high: u64, max_bytes: u64) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        let mut bytes = 0u64;
        for index in low..high {
            let missing = || StoreError::Damaged(format!("entry {index} is missing or cannot be read"));
            let value = self.get(&entry_key(index))?.ok_or_else(missing)?;
            bytes += value.len() as u64;
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            let entry = Entry::decode(value.as_slice()).map_err(|_| missing())?;
            check_entry(&entry)?;
            if entry.index != index {
                return Err(missing());
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    fn write(&mut self, batch: Batch) -> Result<(), StoreError> {
        let mut write = WriteBatch::default();
        let mut log_start = self.log_start;
        let mut last_index = self.last_index;
        if let Some(node) = batch.node {
            write.put("format", FORMAT.to_le_bytes());
            write.put("node", node.0.to_le_bytes());
        }
        if let Some(hard_state) = &batch.hard_state {
            write.put("hard_state", hard_state.encode_to_vec());
        }
        if let Some(snapshot) = &batch.snapshot {
            write.put("snapshot_metadata", snapshot.get_metadata().encode_to_vec());
            write.put("snapshot_data", &snapshot.data);
        }
        if let Some(change) = batch.log_start {
            let (LogStart::After(start) | LogStart::Anew(start)) = change;
            let gone_to = match change {
                LogStart::After(_) => start.index.min(last_index),
                LogStart::Anew(_) => last_index,
            };
            for index in log_start.index + 1..=gone_to {
                write.delete(entry_key(index));
            }
            if matches!(change, LogStart::Anew(_)) || last_index < start.index {
                last_index = start.index;
            }
            log_start = start;
            write.put("log_start", [start.index.to_le_bytes(), start.term.to_le_bytes()].concat());
        }
        if let (Some(first), Some(last)) = (batch.entries.first(), batch.entries.last()) {
            for index in last.index + 1..=last_index {
                write.delete(entry_key(index));
            }
            if first.index <= log_start.index || first.index > last_index + 1 {
                return Err(StoreError::Damaged(format!(
                    "entry {} does not follow a log from {} to {last_index}",
                    first.index, log_start.index
                )));
            }
            for entry in &batch.entries {
                write.put(entry_key(entry.index), entry.encode_to_vec());
            }
            last_index = last.index;
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(write, &options).map_err(failed)?;
        self.node = batch.node.or(self.node);
        if let Some(hard_state) = batch.hard_state {
            self.hard_state = hard_state;
        }
        if let Some(snapshot) = batch.snapshot {
            self.snapshot_metadata = snapshot.get_metadata().clone();
        }
        self.log_start = log_start;
        self.last_index = last_index;
        Ok(())
    }
}
