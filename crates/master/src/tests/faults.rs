//! A disk that fails at each write in turn, with the failed write lost or kept.

use super::*;
use crate::NoPeers;
use crate::store::{Fault, MemoryStore};
use std::sync::Arc;

fn open(store: &MemoryStore) -> Arc<Master> {
    let options = MasterOptions { snapshot_every: 7, keep_entries: 2, ..small("unused".as_ref(), 1) };
    Master::open_with(options, Box::new(store.clone()), Box::new(NoPeers)).unwrap()
}

#[test]
fn what_was_confirmed_is_there_after_any_failed_write() {
    const CHANGES: u64 = 40;
    let store = MemoryStore::new();
    store.inject(Fault { at_write: u64::MAX, kept: false });
    let master = open(&store);
    for i in 0..CHANGES {
        propose(&master, set("v", i)).unwrap();
    }
    drop(master);
    let writes = store.writes();
    assert!(writes > CHANGES, "{writes}");

    for at_write in 0..writes {
        for kept in [false, true] {
            let store = MemoryStore::new();
            let master = open(&store);
            store.inject(Fault { at_write, kept });
            let mut confirmed = None;
            let mut error = None;
            for i in 0..CHANGES {
                match propose(&master, set("v", i)) {
                    Ok(_) => confirmed = Some(i),
                    Err(e) => {
                        error = Some(e);
                        break;
                    }
                }
            }
            if let Some(error) = &error {
                assert!(error.message.contains("the disk failed"), "{error}");
                let next = propose(&master, set("v", 0)).unwrap_err();
                assert!(next.message.starts_with("The metadata service has stopped, "), "{next}");
            }
            drop(master);
            store.heal();
            let master = open(&store);
            let found = master.snapshot().global_variable("v").map(|v| v.parse::<u64>().unwrap());
            let attempted = error.map(|_| confirmed.map_or(0, |v| v + 1));
            assert!(
                found == confirmed || found == attempted,
                "write {at_write}, kept {kept}: {confirmed:?} was confirmed, {found:?} is there"
            );
            assert_eq!(master.snapshot().version(), found.map_or(0, |v| v + 1), "each change counts once");
            propose(&master, set("v", 99)).unwrap();
        }
    }
}
