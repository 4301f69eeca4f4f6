//! A disk that fails or is full, and damage in the files of a store.

use super::*;
use env::{Disk, Fault};

#[test]
fn a_failed_sync_makes_the_outcome_unknown_and_ends_writes_but_not_reads() {
    let mut f = Fixture::small();
    f.put(1, P1, &[(1, 10)]);
    let mut tx = f.begin(2);
    tx.insert(P1, &[(2, 20)]).unwrap();
    // The write, then the sync.
    f.disk.inject(1, Fault::Error);
    assert!(matches!(tx.commit(), Err(StoreError::OutcomeUnknown)));
    let mut late = f.begin(3);
    assert!(matches!(late.insert(P1, &[(3, 30)]), Err(StoreError::Poisoned)));
    assert!(matches!(tx.commit(), Err(StoreError::Poisoned)));
    assert_eq!(f.now(P1), map(&[(1, 10)]));
    f.reopen();
    // Here the disk did take the write, which is as good as not.
    let now = f.now(P1);
    assert!(now == map(&[(1, 10)]) || now == map(&[(1, 10), (2, 20)]), "{now:?}");
    f.put(4, P1, &[(4, 40)]);
}

#[test]
fn a_full_disk_refuses_writes_with_a_clear_error_and_heals() {
    let mut f = Fixture::small();
    f.put(1, P1, &[(1, 10)]);
    f.disk.set_capacity(f.disk.used());
    let mut k = 2;
    let error = loop {
        let mut tx = f.begin(k as u64);
        match tx.insert(P1, &[(k, k)]).and_then(|_| tx.commit()) {
            Ok(_) => k += 1,
            Err(error) => {
                tx.rollback();
                break error;
            }
        }
        assert!(k < 10_000);
        std::thread::sleep(Duration::from_millis(1));
    };
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert_eq!(types::SqlError::from(error).kind.errno(), 1021);
    assert_eq!(f.now(P1).len() as i64, k - 1);
    f.disk.set_capacity(usize::MAX);
    let mut tries = 0;
    loop {
        let mut tx = f.begin(20_000 + tries);
        if tx.insert(P1, &[(k, k)]).is_ok() {
            tx.commit().unwrap();
            break;
        }
        tx.rollback();
        tries += 1;
        assert!(tries < 1_000);
        std::thread::sleep(Duration::from_millis(5));
    }
    f.reopen();
    assert_eq!(f.now(P1).len() as i64, k);
}

#[test]
fn a_flush_that_finds_no_room_loses_nothing() {
    let f = Fixture::small();
    f.put(1, P1, &[(1, 10), (2, 20)]);
    f.disk.set_capacity(f.disk.used() + 100);
    assert!(matches!(f.store.flush(P1), Err(StoreError::DiskFull { .. })));
    assert_eq!(f.now(P1), map(&[(1, 10), (2, 20)]));
    f.disk.set_capacity(usize::MAX);
    f.store.flush(P1).unwrap();
    assert_eq!(f.now(P1), map(&[(1, 10), (2, 20)]));
}

#[test]
fn damaged_files_are_named() {
    let f = Fixture::small();
    f.put(1, P1, &[(1, 10), (2, 20)]);
    f.store.flush(P1).unwrap();
    f.put(2, P1, &[(3, 30)]);
    f.put(3, P1, &[(4, 40)]);
    f.store.shutdown();
    let refused = |path: &Path, at: usize| {
        f.disk.flip_bit(path, at).unwrap();
        let error = open(&f.disk, &f.clock, &f.options).map(|_| ()).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(path.file_name().unwrap().to_str().unwrap()), "{error}");
        f.disk.flip_bit(path, at).unwrap();
    };
    refused(Path::new("/leaf/p/1/MANIFEST"), 30);
    refused(Path::new("/leaf/wal/00000001.log"), 300);
    let segments = Path::new("/leaf/p/1/segments");
    let name = f.disk.list(segments).unwrap().remove(0);
    refused(&segments.join(&name), 1);
    f.disk.remove_file(&segments.join(&name)).unwrap();
    let error = open(&f.disk, &f.clock, &f.options).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains(&name), "{error}");
}
