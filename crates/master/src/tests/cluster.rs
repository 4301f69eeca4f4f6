//! Three voters in one process, on a network that loses messages and is cut.

use super::*;
use crate::store::{MemoryStore, RaftStore};
use crate::{MasterOptions, Peers};
use parking_lot::Mutex;
use rand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Instant;

#[derive(Default)]
struct Network {
    masters: BTreeMap<NodeId, Weak<Master>>,
    cut_off: BTreeSet<NodeId>,
    /// Of a hundred messages.
    lost: u32,
}

struct Link {
    from: NodeId,
    network: Arc<Mutex<Network>>,
}

impl Peers for Link {
    fn send(&mut self, to: NodeId, message: Vec<u8>) -> bool {
        let master = {
            let network = self.network.lock();
            if network.cut_off.contains(&self.from) || network.cut_off.contains(&to) {
                return false;
            }
            if rand::rng().random_range(0..100) < network.lost {
                return true;
            }
            network.masters.get(&to).and_then(Weak::upgrade)
        };
        let Some(master) = master else { return false };
        master.receive(&message).unwrap();
        // The last holder joins the thread of a master, which must not be this one.
        std::thread::spawn(move || drop(master));
        true
    }
}

struct Cluster {
    folder: tempfile::TempDir,
    network: Arc<Mutex<Network>>,
    stores: BTreeMap<NodeId, MemoryStore>,
    masters: BTreeMap<NodeId, Arc<Master>>,
}

impl Cluster {
    fn new(voters: &[u32]) -> Cluster {
        let mut cluster = Cluster {
            folder: tempfile::tempdir().unwrap(),
            network: Arc::default(),
            stores: BTreeMap::new(),
            masters: BTreeMap::new(),
        };
        for &node in voters {
            cluster.start(node, voters);
        }
        cluster
    }

    fn start(&mut self, node: u32, voters: &[u32]) {
        let node_id = NodeId(node);
        let store = self.stores.entry(node_id).or_default().clone();
        let link = Link { from: node_id, network: self.network.clone() };
        let options = MasterOptions {
            voters: voters.iter().copied().map(NodeId).collect(),
            ..small(self.folder.path(), node)
        };
        let master = Master::open_with(options, Box::new(store), Box::new(link)).unwrap();
        self.network.lock().masters.insert(node_id, Arc::downgrade(&master));
        self.masters.insert(node_id, master);
    }

    fn stop(&mut self, node: NodeId) {
        self.masters.remove(&node).unwrap().shutdown();
    }

    /// A leader that most of the masters here know, other than `not`.
    fn leader(&self, not: Option<NodeId>) -> NodeId {
        eventually("a leader", || {
            let mut votes: BTreeMap<NodeId, usize> = BTreeMap::new();
            for master in self.masters.values() {
                if let Some(leader) = master.status().leader {
                    *votes.entry(leader).or_default() += 1;
                }
            }
            votes
                .into_iter()
                .find(|(leader, count)| Some(*leader) != not && *count >= 2)
                .map(|(leader, _)| leader)
        })
    }

    fn follower(&self) -> NodeId {
        let leader = self.leader(None);
        *self.masters.keys().find(|node| **node != leader).unwrap()
    }

    /// Waits until all show the same, of this version or later, and gives it. Without the version they may
    /// agree on less than was confirmed: after a restart each shows only what it knows to be committed.
    fn agreed(&self, version: u64) -> Arc<Catalog> {
        eventually("agreement", || {
            let mut catalogs = self.masters.values().map(|master| master.snapshot());
            let first = catalogs.next()?;
            (first.version() >= version && catalogs.all(|other| *other == *first)).then_some(first)
        })
    }
}

fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "no {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn three_voters_survive_the_loss_of_their_leader() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    let leader = cluster.leader(None);
    let follower = cluster.follower();
    propose(&cluster.masters[&leader], leaf()).unwrap();
    propose(&cluster.masters[&leader], create("at_leader")).unwrap();
    // A follower passes it on, and shows it itself when it confirms.
    propose(&cluster.masters[&follower], create("at_follower")).unwrap();
    assert_eq!(names(&cluster.masters[&follower].snapshot()), ["at_follower", "at_leader"]);
    cluster.agreed(3);

    cluster.stop(leader);
    let second = cluster.leader(Some(leader));
    assert_ne!(second, leader);
    // Enough that the log which the first one knows is gone.
    for i in 0..50 {
        propose(&cluster.masters[&second], set("v", i)).unwrap();
    }
    let status = cluster.masters[&second].status();
    assert!(status.log_start > 10, "{status:?}");

    cluster.start(leader.0, &[1, 2, 3]);
    let catalog = cluster.agreed(53);
    assert_eq!(catalog.global_variable("v"), Some("49"));
    assert_eq!(names(&catalog), ["at_follower", "at_leader"]);
    propose(&cluster.masters[&leader], set("v", 50)).unwrap();
    let after = cluster.agreed(54);
    assert_eq!(after.version(), catalog.version() + 1);

    // All at once: a whole restart.
    for node in [1, 2, 3] {
        cluster.stop(NodeId(node));
    }
    for node in [1, 2, 3] {
        cluster.start(node, &[]);
    }
    cluster.leader(None);
    let again = cluster.agreed(after.version());
    assert_eq!(*again, *after);
}

#[test]
fn a_leader_that_is_cut_off_confirms_nothing_and_loses_nothing() {
    let cluster = Cluster::new(&[1, 2, 3]);
    let first = cluster.leader(None);
    propose(&cluster.masters[&first], set("v", 1)).unwrap();
    cluster.agreed(1);

    cluster.network.lock().cut_off.insert(first);
    let alone = cluster.masters[&first].clone();
    let waiting = std::thread::spawn(move || propose(&alone, set("w", 2)));
    let second = cluster.leader(Some(first));
    propose(&cluster.masters[&second], set("v", 3)).unwrap();
    assert!(!waiting.is_finished());
    assert_eq!(cluster.masters[&first].snapshot().global_variable("v"), Some("1"));

    // Healed, the change that it took is proposed again to the new leader.
    cluster.network.lock().cut_off.clear();
    assert_eq!(waiting.join().unwrap(), Ok(Outcome::Done));
    let catalog = cluster.agreed(3);
    assert_eq!((catalog.global_variable("v"), catalog.global_variable("w")), (Some("3"), Some("2")));
    assert_eq!(catalog.version(), 3, "each once");
}

#[test]
fn a_change_that_is_in_the_log_twice_counts_once() {
    let cluster = Cluster::new(&[1, 2]);
    let leader = cluster.leader(None);
    let other = cluster.follower();
    cluster.network.lock().cut_off.insert(other);
    let master = cluster.masters[&leader].clone();
    let waiting = std::thread::spawn(move || propose(&master, set("twice", 1)));
    eventually("step down", || cluster.masters[&leader].status().leader.is_none().then_some(()));
    // Only the old leader has the entry, so it leads again, and proposes once more.
    cluster.network.lock().cut_off.clear();
    assert_eq!(waiting.join().unwrap(), Ok(Outcome::Done));
    let store = &cluster.stores[&leader];
    eventually("second entry", || {
        let entries = store.entries(store.log_start().index + 1, store.last_index() + 1, u64::MAX).unwrap();
        let with_it = entries.iter().filter(|e| String::from_utf8_lossy(&e.data).contains("twice"));
        (with_it.count() >= 2).then_some(())
    });
    propose(&cluster.masters[&other], set("after", 1)).unwrap();
    assert_eq!(cluster.agreed(2).version(), 2);
}

#[test]
fn lost_messages_cost_time_only() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.leader(None);
    cluster.network.lock().lost = 10;
    for i in 0..60 {
        let node = NodeId(i % 3 + 1);
        propose(&cluster.masters[&node], set(&format!("v{node}"), u64::from(i))).unwrap();
        assert_eq!(
            cluster.masters[&node].snapshot().global_variable(&format!("v{node}")),
            Some(i.to_string().as_str())
        );
        if i % 20 == 19 {
            let follower = cluster.follower();
            cluster.stop(follower);
            cluster.start(follower.0, &[]);
        }
    }
    cluster.network.lock().lost = 0;
    let catalog = cluster.agreed(60);
    assert_eq!(catalog.version(), 60, "each proposal was applied once");
}

#[test]
fn one_voter_grows_to_three_and_back() {
    let mut cluster = Cluster::new(&[1]);
    let first = cluster.masters[&NodeId(1)].clone();
    propose(&first, leaf()).unwrap();
    propose(&first, create("before")).unwrap();
    cluster.start(2, &[]);
    cluster.start(3, &[]);
    run(first.add_voter(NodeId(2))).unwrap();
    run(first.add_voter(NodeId(3))).unwrap();
    let catalog = cluster.agreed(2);
    assert_eq!(names(&catalog), ["before"]);
    for master in cluster.masters.values() {
        eventually("three voters", || {
            (master.status().voters == [NodeId(1), NodeId(2), NodeId(3)]).then_some(())
        });
    }
    drop(first);
    cluster.stop(NodeId(1));
    let second = cluster.leader(Some(NodeId(1)));
    propose(&cluster.masters[&second], create("without_the_first")).unwrap();
    run(cluster.masters[&second].remove_voter(NodeId(1))).unwrap();
    // A restart knows its voters from the store.
    cluster.stop(NodeId(2));
    cluster.start(2, &[]);
    cluster.leader(None);
    propose(&cluster.masters[&NodeId(2)], create("two_are_left")).unwrap();
    assert_eq!(cluster.masters[&NodeId(2)].status().voters, [NodeId(2), NodeId(3)]);
    assert_eq!(names(&cluster.agreed(4)), ["before", "two_are_left", "without_the_first"]);
}

#[test]
fn messages_that_cannot_be_read_are_refused() {
    let cluster = Cluster::new(&[1]);
    let master = &cluster.masters[&NodeId(1)];
    for (message, expected) in [
        (&b"\xff\xff"[..], "invalid"),
        // to: 9
        (&[0x10, 9], "it is for node 9 and came to n1"),
        // msg_type: 99, to: 1
        (&[0x08, 99, 0x10, 1], "it is of the unknown kind 99"),
        // to: 1, entries: [{entry_type: 77}]
        (&[0x10, 1, 0x3a, 2, 0x08, 77], "entry 0 is of the unknown kind 77"),
    ] {
        let error = master.receive(message).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    // One that only this master may send to itself.
    master.receive(&[0x08, 1, 0x10, 1]).unwrap();
    propose(master, set("v", 1)).unwrap();
}
