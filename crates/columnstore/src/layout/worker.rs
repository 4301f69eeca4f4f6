//! The threads that flush and merge in the background.

use crate::StoreError;
use crate::layout::pick::Job;
use crate::partition::Partition;
use crate::store::Store;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;
use types::{PartitionId, TableId};

/// How often every partition is looked at without being asked to.
const ROUND: Duration = Duration::from_secs(1);
/// How long a thread rests after an error, so that a full disk is not asked in a loop.
const REST: Duration = Duration::from_millis(200);

#[derive(Default)]
struct State {
    /// Partitions that may have work.
    due: BTreeSet<PartitionId>,
    /// Memory is short.
    make_room: bool,
    stopped: bool,
}

#[derive(Default)]
pub(crate) struct Workers {
    shared: Arc<(Mutex<State>, Condvar)>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// The log file that was written when a partition was last flushed because it kept too many old ones.
    released_at: AtomicU64,
}

enum Task {
    LookAt(PartitionId),
    MakeRoom,
    Round,
    Stop,
}

impl Workers {
    pub(crate) fn start(&self, store: &Arc<Store>, count: usize) -> Result<(), StoreError> {
        for number in 0..count {
            let store = Arc::downgrade(store);
            let shared = self.shared.clone();
            let thread = std::thread::Builder::new()
                .name(format!("layout-{number}"))
                .spawn(move || run(&store, &shared))
                .map_err(|error| StoreError::internal(format_args!("cannot start a thread: {error}")))?;
            self.threads.lock().push(thread);
        }
        Ok(())
    }

    /// A partition may have something to flush or merge.
    pub(crate) fn look_at(&self, partition: PartitionId) {
        self.shared.0.lock().due.insert(partition);
        self.shared.1.notify_one();
    }

    /// Memory is short: the largest tails are to be flushed.
    pub(crate) fn make_room(&self) {
        let mut state = self.shared.0.lock();
        if !state.make_room {
            state.make_room = true;
            self.shared.1.notify_one();
        }
    }

    /// Ends the threads, each after the job that it is at.
    pub(crate) fn stop(&self) {
        self.shared.0.lock().stopped = true;
        self.shared.1.notify_all();
        for thread in self.threads.lock().drain(..) {
            if thread.thread().id() != std::thread::current().id() {
                // A panic of a worker was reported by its own thread.
                let _ = thread.join();
            }
        }
    }
}

fn next(shared: &(Mutex<State>, Condvar)) -> Task {
    let mut state = shared.0.lock();
    loop {
        if state.stopped {
            return Task::Stop;
        }
        if std::mem::take(&mut state.make_room) {
            return Task::MakeRoom;
        }
        if let Some(partition) = state.due.pop_first() {
            return Task::LookAt(partition);
        }
        if shared.1.wait_for(&mut state, ROUND).timed_out() {
            return if state.stopped { Task::Stop } else { Task::Round };
        }
    }
}

fn run(store: &Weak<Store>, shared: &(Mutex<State>, Condvar)) {
    loop {
        let task = next(shared);
        let Some(store) = store.upgrade() else { return };
        let done = match task {
            Task::Stop => return,
            Task::LookAt(partition) => match store.partition(partition) {
                Ok(partition) => store.work_on(&partition),
                Err(_) => Ok(()),
            },
            Task::MakeRoom => store.flush_largest(),
            Task::Round => store.round(),
        };
        match done {
            Ok(()) | Err(StoreError::UnknownPartition(_) | StoreError::UnknownTable(_)) => {}
            Err(error) => {
                tracing::warn!(%error, "background work on storage failed; it is tried again");
                drop(store);
                let mut state = shared.0.lock();
                if !state.stopped {
                    shared.1.wait_for(&mut state, REST);
                }
            }
        }
    }
}

impl Store {
    pub(crate) fn log_folder(&self) -> std::path::PathBuf {
        self.data_folder().join("wal")
    }

    fn tables_of(&self, partition: &Partition) -> Result<Vec<TableId>, StoreError> {
        Ok(partition.latch()?.tables.keys().copied().collect())
    }

    /// Does what is due in a partition.
    pub(crate) fn work_on(&self, partition: &Partition) -> Result<(), StoreError> {
        let _job = partition.layout_job.lock();
        self.work_on_tables(partition)?;
        if self.checkpoint_is_due(partition)? { self.checkpoint(partition) } else { Ok(()) }
    }

    fn work_on_tables(&self, partition: &Partition) -> Result<(), StoreError> {
        for table in self.tables_of(partition)? {
            {
                let mut core = partition.latch()?;
                if core.freeze_is_due(&self.leaf, table) {
                    core.freeze(&self.leaf, table)?;
                }
                self.advance_watermark(&mut core);
            }
            while let Some(job) = self.due(partition, table)? {
                match self.run_job(partition, table, &job) {
                    // A merge that finds no memory waits for better times.
                    Err(StoreError::OverBudget(_)) if matches!(job, Job::Merge { .. }) => break,
                    done => done?,
                }
            }
            self.compact_deletes(partition, table)?;
        }
        Ok(())
    }

    /// Freezes and flushes all tails of a partition.
    pub(crate) fn flush_all(&self, partition: &Partition) -> Result<(), StoreError> {
        for table in self.tables_of(partition)? {
            partition.latch()?.freeze(&self.leaf, table)?;
            while let Some(job @ Job::Flush { .. }) = self.due(partition, table)? {
                self.run_job(partition, table, &job)?;
            }
        }
        Ok(())
    }

    /// Writes everything that is committed in a partition to segments, and the manifest.
    pub fn flush(&self, p: PartitionId) -> Result<(), StoreError> {
        self.leaf.wal.admit_commit()?;
        let partition = self.partition(p)?;
        let _job = partition.layout_job.lock();
        self.flush_all(&partition)?;
        self.checkpoint(&partition)
    }

    /// Flushes a partition and merges its segments as far as they are due.
    pub fn optimize(&self, p: PartitionId) -> Result<(), StoreError> {
        self.leaf.wal.admit_commit()?;
        let partition = self.partition(p)?;
        let _job = partition.layout_job.lock();
        self.flush_all(&partition)?;
        self.work_on_tables(&partition)?;
        self.checkpoint(&partition)
    }

    /// Flushes tables, the one with the most unflushed bytes first, until there is room again.
    fn flush_largest(&self) -> Result<(), StoreError> {
        let enough = self.leaf.options.unflushed_bytes / 2;
        for _ in 0..64 {
            let unflushed = self.leaf.unflushed.load(Ordering::Relaxed);
            if unflushed <= enough {
                break;
            }
            let mut largest: Option<(usize, Arc<Partition>)> = None;
            for partition in self.all() {
                let bytes: usize = {
                    let core = partition.latch_any();
                    let of = |state: &crate::partition::state::TableState| {
                        state.tail.bytes() + state.runs.iter().map(|run| run.bytes).sum::<usize>()
                    };
                    core.tables.values().map(|table| of(&table.state)).sum()
                };
                if largest.as_ref().is_none_or(|(most, _)| bytes > *most) {
                    largest = Some((bytes, partition));
                }
            }
            let Some((_, partition)) = largest else { break };
            let _job = partition.layout_job.lock();
            self.flush_all(&partition)?;
            if self.checkpoint_is_due(&partition)? {
                self.checkpoint(&partition)?;
            }
            if self.leaf.unflushed.load(Ordering::Relaxed) >= unflushed {
                // What is left belongs to open transactions.
                break;
            }
        }
        Ok(())
    }

    /// Looks at every partition: what became due with time, and who keeps old log files.
    pub(crate) fn round(&self) -> Result<(), StoreError> {
        for partition in self.all() {
            self.work_on(&partition)?;
        }
        let (files, oldest) = self.leaf.wal.closed_files();
        let Some(oldest) = oldest.filter(|_| self.keeps_too_much_log(files)) else { return Ok(()) };
        self.workers.released_at.store(self.leaf.wal.current_file(), Ordering::Relaxed);
        for partition in self.all().iter().filter(|partition| partition.needed_file() <= oldest) {
            let _job = partition.layout_job.lock();
            self.flush_all(partition)?;
            self.checkpoint(partition)?;
        }
        Ok(())
    }

    /// Whether so many complete log files are too many, or far more than the rows in memory need: then some
    /// partition that is hardly written to keeps what others wrote. An open transaction may keep them all the
    /// same, so this is not found again before more has been written.
    fn keeps_too_much_log(&self, files: usize) -> bool {
        let options = &self.leaf.options;
        let unflushed = self.leaf.unflushed.load(Ordering::Relaxed) as u64;
        let needed = options.wal_file_bytes + 2 * unflushed;
        let has_grown = self.leaf.wal.current_file() >= self.workers.released_at.load(Ordering::Relaxed) + 2;
        files > options.wal_files || has_grown && files as u64 * options.wal_file_bytes > needed
    }
}
