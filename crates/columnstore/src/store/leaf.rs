//! What all partitions of a leaf share: the log, the ceiling of the clocks, the watermark, waits for
//! locks, memory, counters.

use super::options::Options;
use super::waits::Waits;
use crate::wal::frame::{Head, LEAF};
use crate::wal::{Append, Record, Wal};
use crate::{BufferPool, StoreError};
use env::{Clock, Disk};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use txn::{Ceiling, Detector, Leases, Watermark};
use types::Timestamp;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: Counter,
    pub(crate) rollbacks: Counter,
    pub(crate) rows_inserted: Counter,
    pub(crate) rows_updated: Counter,
    pub(crate) rows_deleted: Counter,
    pub(crate) rows_moved: Counter,
    pub(crate) rows_loaded: Counter,
    pub(crate) lock_waits: Counter,
    pub(crate) lock_timeouts: Counter,
    pub(crate) deadlocks: Counter,
    pub(crate) freezes: Counter,
    pub(crate) flushes: Counter,
    pub(crate) merges: Counter,
    pub(crate) merged_rows: Counter,
    pub(crate) checkpoints: Counter,
    pub(crate) memory_waits: Counter,
    pub(crate) calls_waited: Counter,
}

/// What a commit waits for: its records shown in every partition. A thread may wait for it, or a task.
pub(crate) struct Completion {
    left: AtomicUsize,
    failed: AtomicBool,
    state: Mutex<Ended>,
    changed: Condvar,
}

#[derive(Default)]
struct Ended {
    ended: bool,
    /// The task that waits.
    waker: Option<Waker>,
}

impl Completion {
    pub(crate) fn of(parts: usize) -> Arc<Completion> {
        Arc::new(Completion {
            left: AtomicUsize::new(parts),
            failed: AtomicBool::new(false),
            state: Mutex::new(Ended { ended: parts == 0, waker: None }),
            changed: Condvar::new(),
        })
    }

    pub(crate) fn complete(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.end();
        }
    }

    /// Nothing more will be shown.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
        self.end();
    }

    fn end(&self) {
        let waker = {
            let mut state = self.state.lock();
            state.ended = true;
            state.waker.take()
        };
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn wait(&self) {
        let mut state = self.state.lock();
        while !state.ended {
            self.changed.wait(&mut state);
        }
    }

    /// For one task at a time.
    pub(crate) fn poll_ended(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.ended {
            return Poll::Ready(());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Of one that has ended.
    pub(crate) fn outcome(&self) -> Result<(), StoreError> {
        if self.failed.load(Ordering::Acquire) { Err(StoreError::OutcomeUnknown) } else { Ok(()) }
    }
}

struct CeilingLog {
    ceiling: Ceiling,
    next_lsn: u64,
    /// Appended and not durable: (LSN, ceiling).
    pending: VecDeque<(u64, Timestamp)>,
    failed: bool,
}

pub(crate) struct Leaf {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: Options,
    pub(crate) pool: Arc<BufferPool>,
    pub(crate) wal: Wal,
    /// The ceiling at the start: every timestamp given out before was below it.
    pub(crate) floor: Timestamp,
    ceiling: Mutex<CeilingLog>,
    ceiling_moved: Condvar,
    /// Since when there is something to flush or merge, in milliseconds since boot.
    behind_since: Mutex<Option<u64>>,
    pub(crate) watermark: Mutex<Watermark>,
    /// What aggregators say of themselves.
    pub(crate) leases: Mutex<Leases>,
    /// Deadlocks over leaves, at the leaf that looks for them.
    pub(crate) detector: Mutex<Detector>,
    pub(crate) waits: Waits,
    pub(crate) counters: Counters,
    /// Bytes of tails and runs that were not flushed yet.
    pub(crate) unflushed: AtomicUsize,
}

impl Leaf {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        options: Options,
        pool: Arc<BufferPool>,
        wal: Wal,
        ceiling: Timestamp,
    ) -> Leaf {
        let lag = options.snapshot_lag.as_millis() as u64;
        let boot_millis = clock.boot_time().as_millis() as u64;
        let mut watermark = Watermark::new(lag);
        // What snapshots are held is known once the aggregators have reported: until then, all.
        watermark.issue(Timestamp::ZERO, boot_millis);
        Leaf {
            disk,
            clock,
            options,
            pool,
            wal,
            floor: ceiling,
            ceiling: Mutex::new(CeilingLog {
                ceiling: Ceiling::found(ceiling),
                next_lsn: 1,
                pending: VecDeque::new(),
                failed: false,
            }),
            ceiling_moved: Condvar::new(),
            behind_since: Mutex::default(),
            watermark: Mutex::new(watermark),
            leases: Mutex::new(Leases::new(boot_millis)),
            detector: Mutex::default(),
            waits: Waits::default(),
            counters: Counters::default(),
            unflushed: AtomicUsize::new(0),
        }
    }

    pub(crate) fn now_millis(&self) -> u64 {
        self.clock.wall_millis()
    }

    /// For how long there has been something to flush or merge, given whether there is now.
    pub(crate) fn lagging(&self, is_behind: bool) -> Duration {
        let now = self.boot_millis();
        let mut since = self.behind_since.lock();
        match is_behind {
            true => Duration::from_millis(now.saturating_sub(*since.get_or_insert(now))),
            false => {
                *since = None;
                Duration::ZERO
            }
        }
    }

    pub(crate) fn boot_millis(&self) -> u64 {
        self.clock.boot_time().as_millis() as u64
    }

    fn log_ceiling(&self, log: &mut CeilingLog, next: Timestamp, sync: bool) -> Result<(), StoreError> {
        let record = Record::Ceiling { at: next };
        let head = Head { partition: LEAF, epoch: 0, lsn: log.next_lsn, commit_lsn: 0, kind: record.kind() };
        self.wal.append([Append { head, payload: record.encode(), sync }])?;
        self.wal.set_ceiling(next);
        log.pending.push_back((log.next_lsn, next));
        log.next_lsn += 1;
        log.ceiling.append(next);
        Ok(())
    }

    /// Logs a ceiling if one is due, so that a record at `ts` may be appended after it.
    pub(crate) fn cover_commit(&self, ts: Timestamp) -> Result<(), StoreError> {
        self.options.hlc.observe(ts);
        let mut log = self.ceiling.lock();
        if let Some(next) = log.ceiling.due(ts, self.now_millis()) {
            self.log_ceiling(&mut log, next, false)?;
        }
        debug_assert!(log.ceiling.may_commit(ts));
        Ok(())
    }

    /// Whether a durable ceiling lies above `ts`, so that a read at it need not wait.
    pub(crate) fn is_covered(&self, ts: Timestamp) -> bool {
        self.options.hlc.observe(ts);
        self.ceiling.lock().ceiling.may_read(ts)
    }

    /// Waits until a durable ceiling lies above `ts`. Not to be called under a latch.
    pub(crate) fn cover_read(&self, ts: Timestamp) -> Result<(), StoreError> {
        self.options.hlc.observe(ts);
        let mut log = self.ceiling.lock();
        while !log.ceiling.may_read(ts) {
            if log.failed {
                return Err(StoreError::Poisoned);
            }
            if log.ceiling.may_commit(ts) {
                self.wal.sync_soon();
            } else if let Some(next) = log.ceiling.due(ts, self.now_millis()) {
                self.log_ceiling(&mut log, next, true)?;
            }
            self.ceiling_moved.wait(&mut log);
        }
        Ok(())
    }

    pub(crate) fn ceiling_durable(&self, lsn: u64) {
        let mut log = self.ceiling.lock();
        while let Some((_, ceiling)) = log.pending.front().copied().filter(|(first, _)| *first <= lsn) {
            log.pending.pop_front();
            log.ceiling.synced(ceiling);
        }
        self.ceiling_moved.notify_all();
    }

    pub(crate) fn ceiling_failed(&self) {
        self.ceiling.lock().failed = true;
        self.ceiling_moved.notify_all();
    }

    /// Bytes of a tail or run are no longer to be flushed.
    pub(crate) fn flushed(&self, bytes: usize) {
        // Invariant: the closure always gives a value.
        let _ = self
            .unflushed
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |all| Some(all.saturating_sub(bytes)));
    }

    /// How far a partition that has applied everything up to `applied` may forget.
    pub(crate) fn watermark_for(&self, applied: Timestamp) -> Timestamp {
        let (physical, boot) = (self.now_millis(), self.boot_millis());
        let limit = self.watermark.lock().limit(physical, boot).min(applied);
        match self.leases.lock().oldest_snapshot(physical, boot) {
            Some(oldest) => limit.min(oldest),
            None => limit,
        }
    }
}
