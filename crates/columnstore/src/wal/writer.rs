//! Group commit: one thread writes what all partitions append, in order, and syncs once for all of it.
//!
//! Appending only queues, so it may be done under a latch. A batch is written when some record of it
//! asks to be synced, or when much has gathered; records that need no sync ride along. After the sync
//! the observer is told, partition by partition, how far the log is durable.
//!
//! * A write or sync that fails poisons the log: it is never tried again, what was not yet durable has
//!   an unknown outcome, and nothing more is taken.
//! * A full disk is met when the next file is allocated, well before it is needed: new work is refused
//!   ([`Wal::admit`]) while what is under way finds room. The thread tries again until there is room.

use super::files::LogFiles;
use super::frame::{END, FILE_HEADER, Head, LEAF, framed_len, write_record};
use crate::StoreError;
use crate::waiting::wait_or_give_up;
use env::{Disk, File};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use types::{PartitionId, Timestamp};

/// Gathered bytes that are written without being asked to.
const EAGER_BYTES: usize = 256 << 10;
/// Gathered bytes at which those who append wait.
const MOST_BYTES: usize = 64 << 20;
const RETRY: Duration = Duration::from_millis(50);

/// A record to append.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) head: Head,
    pub(crate) payload: Vec<u8>,
    /// Whether someone waits for it to be durable.
    pub(crate) sync: bool,
}

/// Is told what becomes of the log.
pub(crate) trait Observer: Send + Sync {
    /// All records of the partition up to this LSN are durable.
    fn durable(&self, partition: PartitionId, lsn: u64);
    /// Nothing more will become durable.
    fn failed(&self);
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WalStatistics {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) batches: u64,
    pub(crate) syncs: u64,
    pub(crate) sync_time: Duration,
    pub(crate) sync_times: SyncTimes,
}

/// Upper bounds of the classes of [`SyncTimes`] in microseconds; the last class has none.
pub const SYNC_BOUNDS_MICROS: [u64; 12] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000];

/// How many syncs of the log took how long.
pub(crate) type SyncTimes = [u64; SYNC_BOUNDS_MICROS.len() + 1];

#[derive(Default)]
struct Queue {
    items: Vec<Append>,
    bytes: usize,
    sync: bool,
    closing: bool,
    poisoned: bool,
    full: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    /// There is work, or the end has come.
    wake: Condvar,
    /// The queue was taken.
    taken: Condvar,
    files: LogFiles,
    capacity: u64,
    current: AtomicU64,
    ceiling: AtomicU64,
    observer: OnceLock<Weak<dyn Observer>>,
    records: AtomicU64,
    bytes: AtomicU64,
    batches: AtomicU64,
    syncs: AtomicU64,
    sync_nanos: AtomicU64,
    sync_times: [AtomicU64; SYNC_BOUNDS_MICROS.len() + 1],
}

pub(crate) struct Wal {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

fn shut_down() -> StoreError {
    StoreError::internal("the store is shut down")
}

impl Wal {
    /// Begins the file `sequence` and starts the writer.
    pub(crate) fn start(
        disk: Arc<dyn Disk>,
        folder: &Path,
        capacity: u64,
        sequence: u64,
        ceiling: Timestamp,
    ) -> Result<Wal, StoreError> {
        let on_file = |error| StoreError::io(folder, error);
        let files = LogFiles::open(disk, folder, capacity).map_err(on_file)?;
        let file = files.activate(sequence, ceiling.0).map_err(on_file)?;
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::default()),
            wake: Condvar::new(),
            taken: Condvar::new(),
            files,
            capacity,
            current: AtomicU64::new(sequence),
            ceiling: AtomicU64::new(ceiling.0),
            observer: OnceLock::new(),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            sync_nanos: AtomicU64::new(0),
            sync_times: Default::default(),
        });
        let mut writer = Writer {
            shared: shared.clone(),
            file,
            sequence,
            offset: FILE_HEADER as u64,
            synced: FILE_HEADER as u64,
            buffer: Vec::new(),
            unsynced: BTreeMap::new(),
            sync_due: false,
        };
        let thread = std::thread::Builder::new()
            .name("wal".into())
            .spawn(move || writer.run())
            .map_err(|error| StoreError::io(folder, error))?;
        Ok(Wal { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Whom to tell; once, before the first append.
    pub(crate) fn observe(&self, observer: Weak<dyn Observer>) {
        // Invariant: called once.
        let _ = self.shared.observer.set(observer);
    }

    /// Queues records, next to one another: they are written in one batch if they fit the file.
    pub(crate) fn append(&self, items: impl IntoIterator<Item = Append>) -> Result<(), StoreError> {
        let mut queue = self.shared.queue.lock();
        if queue.poisoned {
            return Err(StoreError::Poisoned);
        }
        if queue.closing {
            return Err(shut_down());
        }
        for item in items {
            queue.bytes += framed_len(item.payload.len());
            queue.sync |= item.sync;
            queue.items.push(item);
        }
        if queue.sync || queue.bytes >= EAGER_BYTES {
            self.shared.wake.notify_one();
        }
        Ok(())
    }

    /// Has everything that was appended synced soon.
    pub(crate) fn sync_soon(&self) {
        self.shared.queue.lock().sync = true;
        self.shared.wake.notify_one();
    }

    /// Whether new work is taken; waits while too much is queued. Not to be called under a latch.
    pub(crate) fn admit(&self) -> Result<(), StoreError> {
        let mut queue = self.shared.queue.lock();
        loop {
            if queue.poisoned {
                return Err(StoreError::Poisoned);
            }
            if queue.closing {
                return Err(shut_down());
            }
            if queue.full {
                let file = self.shared.files.path(self.current_file());
                return Err(StoreError::DiskFull { file });
            }
            if queue.bytes < MOST_BYTES {
                return Ok(());
            }
            wait_or_give_up()?;
            self.shared.taken.wait(&mut queue);
        }
    }

    /// Whether the end of a transaction is taken: it finds room even while the disk is full, since new
    /// work is refused long before the last file is.
    pub(crate) fn admit_commit(&self) -> Result<(), StoreError> {
        let queue = self.shared.queue.lock();
        if queue.poisoned {
            return Err(StoreError::Poisoned);
        }
        if queue.closing { Err(shut_down()) } else { Ok(()) }
    }

    /// The file that is being written: what is appended from now on is not in an older one.
    pub(crate) fn current_file(&self) -> u64 {
        self.shared.current.load(Ordering::Acquire)
    }

    /// The ceiling that the headers of new files carry.
    pub(crate) fn set_ceiling(&self, ceiling: Timestamp) {
        self.shared.ceiling.fetch_max(ceiling.0, Ordering::AcqRel);
    }

    pub(crate) fn trim(&self, needed: u64) -> io::Result<()> {
        self.shared.files.trim(needed)
    }

    /// How many complete files there are, and the first of them.
    pub(crate) fn closed_files(&self) -> (usize, Option<u64>) {
        self.shared.files.closed()
    }

    pub(crate) fn statistics(&self) -> WalStatistics {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WalStatistics {
            records: of(&self.shared.records),
            bytes: of(&self.shared.bytes),
            batches: of(&self.shared.batches),
            syncs: of(&self.shared.syncs),
            sync_time: Duration::from_nanos(of(&self.shared.sync_nanos)),
            sync_times: self.shared.sync_times.each_ref().map(of),
        }
    }

    /// Writes and syncs what is queued, then ends the thread.
    pub(crate) fn close(&self) {
        self.shared.queue.lock().closing = true;
        self.shared.wake.notify_all();
        self.shared.taken.notify_all();
        if let Some(thread) = self.thread.lock().take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic of the writer was reported by its own thread.
            let _ = thread.join();
        }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.close();
    }
}

struct Writer {
    shared: Arc<Shared>,
    file: Arc<dyn File>,
    sequence: u64,
    /// Where the next byte goes, the buffer's bytes counted.
    offset: u64,
    /// Synced bytes of this file.
    synced: u64,
    /// Framed records that are not written yet; they end at `offset`.
    buffer: Vec<u8>,
    /// Written or buffered and not synced: the newest LSN by partition.
    unsynced: BTreeMap<PartitionId, u64>,
    /// Someone waits for what is unsynced.
    sync_due: bool,
}

impl Writer {
    fn run(&mut self) {
        let mut spare = Vec::new();
        loop {
            let closing = {
                let mut queue = self.shared.queue.lock();
                while !queue.sync && !queue.closing && queue.bytes < EAGER_BYTES {
                    if queue.full {
                        self.shared.wake.wait_for(&mut queue, RETRY);
                        break;
                    }
                    self.shared.wake.wait(&mut queue);
                }
                std::mem::swap(&mut queue.items, &mut spare);
                queue.bytes = 0;
                self.sync_due |= std::mem::take(&mut queue.sync) || queue.closing;
                queue.closing
            };
            self.shared.taken.notify_all();
            let written = self.write(&mut spare);
            if let Err(error) = written {
                tracing::error!(%error, "writing the log failed; the store takes no more writes");
                self.shared.queue.lock().poisoned = true;
                self.shared.taken.notify_all();
                self.tell(|observer| observer.failed());
                return;
            }
            if closing && self.shared.queue.lock().items.is_empty() {
                return;
            }
        }
    }

    fn tell(&self, what: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = self.shared.observer.get().and_then(Weak::upgrade) {
            what(observer.as_ref());
        }
    }

    fn write(&mut self, items: &mut Vec<Append>) -> io::Result<()> {
        if !items.is_empty() {
            self.shared.batches.fetch_add(1, Ordering::Relaxed);
            self.shared.records.fetch_add(items.len() as u64, Ordering::Relaxed);
        }
        for item in items.drain(..) {
            let length = framed_len(item.payload.len()) as u64;
            let room = self.capacity().saturating_sub(self.offset + framed_len(0) as u64);
            if length > room && self.offset > FILE_HEADER as u64 {
                self.next_file()?;
            }
            write_record(&mut self.buffer, self.sequence, self.synced, &item.head, &item.payload);
            self.offset += length;
            self.unsynced.insert(item.head.partition, item.head.lsn);
        }
        self.write_out()?;
        if self.sync_due {
            self.sync()?;
            self.sync_due = false;
        }
        let half = FILE_HEADER as u64 + self.capacity() / 2;
        if self.offset > half && !self.shared.files.has_spare() {
            self.prepare_spare()?;
        } else if self.shared.queue.lock().full {
            self.set_full(false);
        }
        Ok(())
    }

    fn capacity(&self) -> u64 {
        self.shared.capacity
    }

    fn set_full(&self, full: bool) {
        let before = std::mem::replace(&mut self.shared.queue.lock().full, full);
        if full != before {
            if full {
                tracing::warn!("the disk is full: writes are refused until there is room for a log file");
            } else {
                tracing::info!("there is room on the disk again: writes are taken");
            }
        }
    }

    fn prepare_spare(&self) -> io::Result<bool> {
        match self.shared.files.prepare_spare() {
            Ok(()) => {
                self.set_full(false);
                Ok(true)
            }
            Err(error) if is_full(&error) => {
                self.set_full(true);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Waits a little for room; an error if the store is being closed.
    fn wait_for_room(&self) -> io::Result<()> {
        self.set_full(true);
        let mut queue = self.shared.queue.lock();
        if queue.closing {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.shared.wake.wait_for(&mut queue, RETRY);
        Ok(())
    }

    /// Writes the buffer where it belongs.
    fn write_out(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let at = self.offset - self.buffer.len() as u64;
        // Without preallocation a write can meet a full disk. Nothing was synced: it may be repeated.
        while let Err(error) = self.file.write_all_at(&self.buffer, at) {
            if !is_full(&error) {
                return Err(error);
            }
            self.wait_for_room()?;
        }
        self.shared.bytes.fetch_add(self.buffer.len() as u64, Ordering::Relaxed);
        self.buffer.clear();
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.offset > self.synced {
            let started = Instant::now();
            self.file.sync_data()?;
            self.synced = self.offset;
            self.shared.syncs.fetch_add(1, Ordering::Relaxed);
            let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.shared.sync_nanos.fetch_add(nanos, Ordering::Relaxed);
            let class = SYNC_BOUNDS_MICROS.partition_point(|bound| bound * 1_000 < nanos);
            self.shared.sync_times[class].fetch_add(1, Ordering::Relaxed);
        }
        for (partition, lsn) in std::mem::take(&mut self.unsynced) {
            self.tell(|observer| observer.durable(partition, lsn));
        }
        Ok(())
    }

    /// Closes this file, all of it synced, and begins the next.
    fn next_file(&mut self) -> io::Result<()> {
        let head = Head { partition: LEAF, epoch: 0, lsn: 0, commit_lsn: 0, kind: END };
        write_record(&mut self.buffer, self.sequence, self.synced, &head, &[]);
        self.offset += framed_len(0) as u64;
        self.write_out()?;
        self.sync()?;
        while !self.shared.files.has_spare() && !self.prepare_spare()? {
            self.wait_for_room()?;
        }
        let ceiling = self.shared.ceiling.load(Ordering::Acquire);
        self.file = self.shared.files.activate(self.sequence + 1, ceiling)?;
        self.shared.files.close(self.sequence);
        self.sequence += 1;
        self.shared.current.store(self.sequence, Ordering::Release);
        self.offset = FILE_HEADER as u64;
        self.synced = self.offset;
        Ok(())
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
