use super::*;
use crate::MasterError;
use crate::store::{Batch, LogStart, Position, RaftStore, RocksStore};
use raft::eraftpb::{Entry, HardState};
use std::time::Instant;
use types::ErrorKind;

#[test]
fn a_restart_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let options = || MasterOptions::single(folder.path().join("new/folder"), NodeId(1));
    let started = Instant::now();
    let master = Master::open(options()).unwrap();
    println!("opened anew in {:?}", started.elapsed());
    assert_eq!(master.status().leader, Some(NodeId(1)), "elected before it returns");
    propose(&master, leaf()).unwrap();
    for i in 0..200 {
        propose(&master, create(format!("d{i:03}"))).unwrap();
        assert!(master.snapshot().database(&format!("d{i:03}")).is_some(), "visible when confirmed");
    }
    let error = propose(&master, create("d000")).unwrap_err();
    assert_eq!(error.message, "Can't create database 'd000'; database exists");
    let before = master.snapshot();
    master.shutdown();
    master.shutdown();
    drop(master);

    let started = Instant::now();
    let master = Master::open(options()).unwrap();
    println!("opened again in {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(*master.snapshot(), *before, "shown before anything else happens");
    assert_eq!(master.status().snapshot, 1, "all of it came from the log");
    propose(&master, create("one_more")).unwrap();
    assert_eq!(master.snapshot().databases().count(), 201);
}

#[test]
fn snapshots_bound_the_log_and_a_restart_reads_both() {
    let folder = tempfile::tempdir().unwrap();
    let mut before = None;
    for round in 0..4 {
        let master = Master::open(small(folder.path(), 1)).unwrap();
        if let Some(before) = before {
            assert_eq!(*master.snapshot(), before);
        }
        for i in 0..33 {
            propose(&master, set(&format!("v{i}"), round)).unwrap();
        }
        master.shutdown();
        let status = master.status();
        assert!(status.applied - status.snapshot < 20, "{status:?}");
        assert_eq!(status.log_start, status.snapshot - 5, "{status:?}");
        assert_eq!(status.log_end, status.applied, "{status:?}");
        before = Some(Catalog::clone(&master.snapshot()));
    }
}

#[test]
fn many_at_once_share_writes() {
    let folder = tempfile::tempdir().unwrap();
    let master = Master::open(MasterOptions::single(folder.path(), NodeId(1))).unwrap();
    let started = Instant::now();
    for i in 0..50 {
        propose(&master, set("alone", i)).unwrap();
    }
    let alone = started.elapsed() / 50;
    assert!(alone < Duration::from_millis(200), "{alone:?} for one");
    let started = Instant::now();
    run(async {
        let many: Vec<_> = (0..2_000)
            .map(|i| {
                let master = master.clone();
                tokio::spawn(async move { master.propose(set(&format!("v{}", i % 10), i)).await })
            })
            .collect();
        for one in many {
            one.await.unwrap().unwrap();
        }
    });
    let together = started.elapsed() / 2_000;
    assert_eq!(master.snapshot().version(), 2_050);
    println!("one proposal: {alone:?} alone, {together:?} among 2,000");
}

#[test]
fn watchers_wake_and_a_shutdown_ends_their_wait() {
    let folder = tempfile::tempdir().unwrap();
    let master = Master::open(MasterOptions::single(folder.path(), NodeId(1))).unwrap();
    run(async {
        let version = master.snapshot().version();
        let watcher = {
            let master = master.clone();
            tokio::spawn(async move { master.changed(version + 1).await })
        };
        master.propose(set("a", 1)).await.unwrap();
        assert!(master.propose(create("nowhere")).await.is_err());
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!watcher.is_finished(), "only one change so far");
        master.propose(set("a", 2)).await.unwrap();
        let seen = watcher.await.unwrap().unwrap();
        assert_eq!(seen.global_variable("a"), Some("2"));
        assert_eq!(master.changed(0).await.unwrap().version(), version + 2, "at once if it is there");

        let waiting = {
            let master = master.clone();
            tokio::spawn(async move { master.changed(1_000).await })
        };
        tokio::task::yield_now().await;
        master.shutdown();
        assert_eq!(waiting.await.unwrap().unwrap_err().kind, ErrorKind::ShuttingDown);
        assert_eq!(master.propose(set("a", 3)).await.unwrap_err().kind, ErrorKind::ShuttingDown);
    });
}

#[test]
fn a_folder_belongs_to_one_process_and_one_node() {
    let folder = tempfile::tempdir().unwrap();
    let options = |node| MasterOptions::single(folder.path(), NodeId(node));
    let master = Master::open(options(1)).unwrap();
    let error = Master::open(options(1)).err().unwrap();
    assert!(matches!(error, MasterError::InUse { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        format!("the metadata folder {} is in use by another process", folder.path().display())
    );
    drop(master);
    let error = Master::open(options(2)).err().unwrap();
    assert_eq!(error.to_string(), "this is the metadata of node n1, and cannot be used by node n2");
    Master::open(options(1)).unwrap();
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (node, voters, expected) in [
        (0, vec![0], "a master needs an id that is not 0"),
        (2, vec![1], "node n2 is not among the first voters"),
    ] {
        let options = MasterOptions {
            voters: voters.into_iter().map(NodeId).collect(),
            ..MasterOptions::single(folder.path(), NodeId(node))
        };
        let error = Master::open(options).err().unwrap();
        assert_eq!(error.to_string(), format!("the options of the metadata service do not fit: {expected}"));
    }
    let file = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let error = Master::open(MasterOptions::single(&file, NodeId(1))).err().unwrap();
    assert!(matches!(error, MasterError::Store(_)), "{error}");
}

#[test]
fn the_only_voter_adds_one_that_never_comes_and_takes_it_back_only_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let options = MasterOptions { propose_timeout: Duration::from_millis(300), ..small(folder.path(), 1) };
    let master = Master::open(options).unwrap();
    let error = run(master.remove_voter(NodeId(1))).unwrap_err();
    assert_eq!(error.message, "Node n1 is the last voter of the metadata and must stay");
    run(master.add_voter(NodeId(2))).unwrap();
    assert_eq!(master.status().voters, [NodeId(1), NodeId(2)]);
    let error = propose(&master, set("a", 1)).unwrap_err();
    assert_eq!((error.kind, error.retryable), (ErrorKind::ServerOffline, true));
    assert_eq!(
        error.message,
        "No leader of the metadata confirmed the change within 300ms; it may yet take effect"
    );
}

#[test]
fn damage_is_refused() {
    // A hole in the log.
    let folder = tempfile::tempdir().unwrap();
    let master = Master::open(MasterOptions::single(folder.path(), NodeId(1))).unwrap();
    for i in 0..10 {
        propose(&master, set("a", i)).unwrap();
    }
    drop(master);
    let db = rocksdb::DB::open_default(folder.path()).unwrap();
    let mut key = b"entry/".to_vec();
    key.extend(5u64.to_be_bytes());
    db.delete(&key).unwrap();
    drop(db);
    let error = Master::open(MasterOptions::single(folder.path(), NodeId(1))).err().unwrap();
    assert_eq!(error.to_string(), "the metadata store failed: it is damaged: entry 6 follows entry 4");

    // A snapshot of a later version, and a store of a later version.
    for (key, value, expected) in [
        (
            "snapshot_data",
            &b"{\"format\":7}"[..],
            "the metadata is of format 7, and this version of Pando knows only 1 to 6",
        ),
        (
            "format",
            &[2, 0, 0, 0],
            "the metadata store failed: it is of format 2, and this version of Pando knows only format 1",
        ),
        ("hard_state", &[0xff], "the metadata store failed: it is damaged: hard_state cannot be read"),
        ("log_start", &[1, 2], "the metadata store failed: it is damaged: log_start cannot be read"),
        (
            "hard_state",
            // term 1, commit 100
            &[0x08, 1, 0x18, 100],
            "the metadata store failed: it is damaged: the log goes from 1 to 2, the snapshot is at 1, the commit index 100",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        drop(Master::open(MasterOptions::single(folder.path(), NodeId(1))).unwrap());
        let db = rocksdb::DB::open_default(folder.path()).unwrap();
        db.put(key, value).unwrap();
        drop(db);
        let error = Master::open(MasterOptions::single(folder.path(), NodeId(1))).err().unwrap();
        assert_eq!(error.to_string(), expected, "{key}");
    }
}

#[test]
fn both_stores_do_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut rocks: Box<dyn RaftStore> = Box::new(RocksStore::open(folder.path()).unwrap());
    let mut memory: Box<dyn RaftStore> = Box::new(crate::store::MemoryStore::new());
    let entries = |range: std::ops::RangeInclusive<u64>, term| -> Vec<Entry> {
        range.map(|index| Entry { index, term, data: vec![7; 100], ..Entry::default() }).collect()
    };
    let position = |index| Position { index, term: 1 };
    let batches = [
        Batch { node: Some(NodeId(3)), ..Batch::default() },
        Batch { entries: entries(1..=9, 1), ..Batch::default() },
        // A conflict: fewer entries than before.
        Batch {
            entries: entries(6..=7, 2),
            hard_state: Some(HardState { term: 2, vote: 3, commit: 5 }),
            ..Batch::default()
        },
        Batch { log_start: Some(LogStart::After(position(4))), ..Batch::default() },
        Batch { entries: entries(8..=12, 2), ..Batch::default() },
        Batch {
            log_start: Some(LogStart::Anew(position(30))),
            entries: entries(31..=33, 3),
            ..Batch::default()
        },
        Batch { log_start: Some(LogStart::Anew(position(50))), ..Batch::default() },
    ];
    for batch in batches {
        for store in [&mut rocks, &mut memory] {
            store.write(batch.clone()).unwrap();
        }
        drop(rocks);
        rocks = Box::new(RocksStore::open(folder.path()).unwrap());
        assert_eq!(rocks.node(), memory.node());
        assert_eq!(rocks.hard_state(), memory.hard_state());
        assert_eq!((rocks.log_start(), rocks.last_index()), (memory.log_start(), memory.last_index()));
        let (low, high) = (rocks.log_start().index + 1, rocks.last_index() + 1);
        for bytes in [u64::MAX, 250, 0] {
            assert_eq!(rocks.entries(low, high, bytes), memory.entries(low, high, bytes));
        }
        assert_eq!(rocks.entries(low, high, u64::MAX).unwrap().len() as u64, high - low);
        assert!(rocks.entries(low, high + 1, u64::MAX).is_err());
        assert!(memory.entries(low, high + 1, u64::MAX).is_err());
    }
    assert!(rocks.write(Batch { entries: entries(60..=61, 3), ..Batch::default() }).is_err(), "a hole");
}
