//! The disk by itself: syncs of a preallocated file, and one reading of a file from its start.

use crate::Run;
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const PAGE: usize = 4 << 10;

/// Lets the system forget what it holds of a file.
pub fn forget(path: &Path) {
    let file = File::open(path).expect("a file");
    fadvise(&file, 0, None, Advice::DontNeed).expect("fadvise");
}

/// The same for all files below a folder.
pub fn forget_all(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("its type").is_dir() {
            forget_all(&entry.path());
        } else {
            forget(&entry.path());
        }
    }
}

pub fn measure(run: &mut Run) {
    let path = run.folder.join("raw");
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path).expect("a file");
    let length = 16 << 20;
    fallocate(&file, FallocateFlags::empty(), 0, length).expect("fallocate");
    let page = [7u8; PAGE];
    let begin = Instant::now();
    let mut syncs = 0;
    while begin.elapsed() < Duration::from_secs(1) {
        file.write_all_at(&page, (syncs * PAGE as u64) % length).expect("a write");
        file.sync_data().expect("a sync");
        syncs += 1;
    }
    run.report.add("disk: 4 KiB written and synced", "syncs", syncs as f64, begin.elapsed());

    // About what the table has.
    let bytes = (run.rows * 32).clamp(8 << 20, 1 << 30);
    let mut file = File::create(&path).expect("a file");
    let mut chunk = vec![0u8; 1 << 20];
    let mut written = 0;
    let begin = Instant::now();
    while written < bytes {
        chunk.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at * 31 + written / 7) as u8);
        file.write_all(&chunk).expect("a write");
        written += chunk.len();
    }
    file.sync_all().expect("a sync");
    run.report.add("disk: written from start to end", "bytes", written as f64, begin.elapsed());
    for _ in 0..3 {
        forget(&path);
        let mut file = File::open(&path).expect("a file");
        let begin = Instant::now();
        let mut read = 0;
        loop {
            match file.read(&mut chunk).expect("a read") {
                0 => break,
                n => read += n,
            }
        }
        run.report.add("disk: read from start to end", "bytes", read as f64, begin.elapsed());
    }
    std::fs::remove_file(path).expect("it is there");
}
