//! The log as a whole: what was durable is read back, what is broken is told from what is torn.

use super::frame::{FILE_HEADER, Head, file_header, file_name};
use super::*;
use crate::StoreError;
use env::{Disk, Fault, File, OpenMode, SimDisk};
use parking_lot::{Condvar, Mutex};
use std::path::Path;
use std::sync::Arc;
use types::{PartitionId, Timestamp};

const FOLDER: &str = "/leaf/wal";

#[derive(Default)]
struct Seen {
    /// (newest durable LSN, whether it failed)
    state: Mutex<(u64, bool)>,
    changed: Condvar,
}

impl Observer for Seen {
    fn durable(&self, _: PartitionId, lsn: u64) {
        self.state.lock().0 = lsn;
        self.changed.notify_all();
    }

    fn failed(&self) {
        self.state.lock().1 = true;
        self.changed.notify_all();
    }
}

impl Seen {
    /// Waits until `lsn` is durable; false if the log failed.
    fn wait(&self, lsn: u64) -> bool {
        let mut state = self.state.lock();
        while state.0 < lsn && !state.1 {
            self.changed.wait(&mut state);
        }
        state.0 >= lsn
    }
}

fn append(lsn: u64, sync: bool) -> Append {
    let head = Head { partition: PartitionId(7), epoch: 1, lsn, commit_lsn: 0, kind: 3 };
    Append { head, payload: vec![lsn as u8; (lsn as usize * 37) % 200], sync }
}

fn start(disk: &SimDisk, sequence: u64) -> (Wal, Arc<Seen>) {
    disk.create_dir_all(Path::new(FOLDER)).unwrap();
    let wal = Wal::start(Arc::new(disk.clone()), Path::new(FOLDER), 4_096, sequence, Timestamp(77)).unwrap();
    let seen = Arc::new(Seen::default());
    let observer: Arc<dyn Observer> = seen.clone();
    wal.observe(Arc::downgrade(&observer));
    (wal, seen)
}

fn read(disk: &SimDisk) -> Result<(Vec<u64>, reader::LogEnd), StoreError> {
    let mut found = Vec::new();
    let end = read_log(disk, Path::new(FOLDER), Some(1), &mut |_, head, payload| {
        assert_eq!(payload, append(head.lsn, false).payload);
        found.push(head.lsn);
        Ok(())
    })?;
    Ok((found, end))
}

#[test]
fn many_files_are_read_back_in_order() {
    let disk = SimDisk::new(1);
    let (wal, seen) = start(&disk, 1);
    for lsn in 1..=300 {
        wal.append([append(lsn, lsn % 3 == 0)]).unwrap();
        if lsn % 50 == 0 {
            assert!(seen.wait(lsn - 2));
        }
    }
    wal.close();
    let (found, end) = read(&disk).unwrap();
    assert_eq!(found, (1..=300).collect::<Vec<_>>());
    assert!(end.next_file > 5);
    assert_eq!(end.ceiling, Timestamp(77));
}

#[test]
fn one_batch_is_synced_once() {
    let disk = SimDisk::new(1);
    let (wal, seen) = start(&disk, 1);
    wal.append((1..=10).map(|lsn| append(lsn, lsn == 4))).unwrap();
    assert!(seen.wait(10));
    assert_eq!(wal.statistics().syncs, 1);
    wal.append([append(11, false)]).unwrap();
    wal.append([append(12, true)]).unwrap();
    assert!(seen.wait(12));
    assert_eq!(wal.statistics().syncs, 2);
}

/// Power is lost at any operation: all that was told durable is there, as a prefix of what was appended,
/// and the log goes on behind it.
#[test]
fn a_torn_end_is_cut_off_and_stays_so() {
    for seed in 0..400u64 {
        let disk = SimDisk::new(seed);
        let (wal, seen) = start(&disk, 1);
        disk.inject(seed % 60, Fault::PowerLoss);
        let mut durable = 0;
        for lsn in 1..=120 {
            if wal.append([append(lsn, lsn % 4 == 0)]).is_err() || (lsn % 4 == 0 && !seen.wait(lsn)) {
                break;
            }
            if lsn % 4 == 0 {
                durable = lsn;
            }
        }
        drop(wal);
        let disk = disk.restarted();
        let (found, end) = read(&disk).unwrap();
        let last = found.len() as u64;
        assert_eq!(found, (1..=last).collect::<Vec<_>>(), "seed {seed}");
        assert!(last >= durable, "seed {seed}: {last} < {durable}");
        let (wal, seen) = start(&disk, end.next_file);
        wal.append([append(last + 1, true)]).unwrap();
        assert!(seen.wait(last + 1));
        drop(wal);
        let (found, _) = read(&disk.restarted()).unwrap();
        assert_eq!(found, (1..=last + 1).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn damage_before_the_end_is_refused_with_its_place() {
    let disk = SimDisk::new(1);
    let (wal, seen) = start(&disk, 1);
    for lsn in 1..=20 {
        wal.append([append(lsn, true)]).unwrap();
        assert!(seen.wait(lsn));
    }
    drop(wal);
    let path = Path::new(FOLDER).join(file_name(1));
    disk.flip_bit(&path, 200).unwrap();
    let error = read(&disk).unwrap_err().to_string();
    assert!(error.contains("00000001.log is corrupt at byte"), "{error}");
    disk.flip_bit(&path, 200).unwrap();
    read(&disk).unwrap();
    disk.flip_bit(&path, 3).unwrap();
    assert!(read(&disk).unwrap_err().to_string().contains("header"));
}

/// A recycled file has its new name before it has its new header.
#[test]
fn a_recycled_file_that_was_not_begun_is_no_damage() {
    let disk = SimDisk::new(1);
    let (wal, seen) = start(&disk, 1);
    for lsn in 1..=5 {
        wal.append([append(lsn, true)]).unwrap();
        assert!(seen.wait(lsn));
    }
    drop(wal);
    let (found, _) = read(&disk).unwrap();
    let first = disk.open(&Path::new(FOLDER).join(file_name(1)), OpenMode::Read).unwrap();
    let mut bytes = vec![0; first.len().unwrap() as usize];
    first.read_exact_at(&mut bytes, 0).unwrap();
    let path = Path::new(FOLDER).join(file_name(2));
    let mut put = |number: u64| {
        let file = disk.open(&path, OpenMode::CreateNew).unwrap();
        bytes[..FILE_HEADER].copy_from_slice(&file_header(number, 0));
        file.write_all_at(&bytes, 0).unwrap();
    };
    put(1);
    let (again, end) = read(&disk).unwrap();
    assert_eq!((again, end.next_file), (found, 2));
    assert!(disk.open(&path, OpenMode::Read).is_err(), "it is removed");
    // One of a later number was never the spare of this one.
    put(3);
    assert!(read(&disk).unwrap_err().to_string().contains("names log file 3"));
}

#[test]
fn a_failed_sync_poisons_the_log() {
    let disk = SimDisk::new(1);
    let (wal, seen) = start(&disk, 1);
    wal.append([append(1, true)]).unwrap();
    assert!(seen.wait(1));
    disk.inject(1, Fault::Error);
    wal.append([append(2, true)]).unwrap();
    assert!(!seen.wait(2));
    assert!(matches!(wal.append([append(3, true)]), Err(StoreError::Poisoned)));
    assert!(matches!(wal.admit(), Err(StoreError::Poisoned)));
}

#[test]
fn a_full_disk_refuses_new_work_and_heals() {
    let disk = SimDisk::new(1);
    let (wal, seen) = start(&disk, 1);
    disk.set_capacity(disk.used());
    let mut lsn = 0;
    while wal.admit().is_ok() {
        lsn += 1;
        wal.append([append(lsn, true)]).unwrap();
        assert!(seen.wait(lsn));
        // The spare file is prepared after the sync.
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(lsn < 1_000);
    }
    assert!(matches!(wal.admit(), Err(StoreError::DiskFull { .. })));
    // What was under way still finds room.
    wal.append([append(lsn + 1, true)]).unwrap();
    assert!(seen.wait(lsn + 1));
    disk.set_capacity(usize::MAX);
    while wal.admit().is_err() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for lsn in lsn + 2..lsn + 200 {
        wal.append([append(lsn, true)]).unwrap();
        assert!(seen.wait(lsn));
    }
    drop(wal);
    assert_eq!(read(&disk).unwrap().0.len() as u64, lsn + 199);
}

#[test]
fn files_that_nobody_needs_are_recycled() {
    let disk = SimDisk::new(1);
    let (wal, seen) = start(&disk, 1);
    for lsn in 1..=400 {
        wal.append([append(lsn, true)]).unwrap();
        assert!(seen.wait(lsn));
        wal.trim(wal.current_file()).unwrap();
    }
    let names = disk.list(Path::new(FOLDER)).unwrap();
    assert!(names.len() <= 4, "{names:?}");
    let current = wal.current_file();
    drop(wal);
    let mut found = Vec::new();
    read_log(&disk, Path::new(FOLDER), Some(current), &mut |_, head, _| {
        found.push(head.lsn);
        Ok(())
    })
    .unwrap();
    assert!(!found.is_empty() && found.last() == Some(&400) && found.windows(2).all(|w| w[1] == w[0] + 1));
    let file = disk.open(&Path::new(FOLDER).join(file_name(current)), OpenMode::Read).unwrap();
    assert_eq!(File::len(file.as_ref()).unwrap(), 4_096);
}
