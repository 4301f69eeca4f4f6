//! Masters and followers over gRPC on loopback, as in processes of their own.

use super::*;
use crate::store::MemoryStore;
use crate::{Leadership, MasterService};
use catalog::{CommandId, Identity, NodeState, Registration, Report, Voter};
use rpc::Channels;
use rpc::metadata::{Follows, Masters, RaftLinks, RemoteMetadata, register};
use rpc::server::{Connections, Routes};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const LIMIT: Duration = Duration::from_secs(30);

/// A runtime with threads, since processes do not wait for each other.
fn on_threads<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(2 * LIMIT, test).await.expect("the test is stuck") })
}

/// Waits until a condition holds that no event announces.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < LIMIT, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The voter of one process, on a runtime of its own: its connections break when it is killed.
struct Process {
    node: NodeId,
    address: SocketAddr,
    store: MemoryStore,
    master: Arc<Master>,
    service: Arc<MasterService>,
    links: Arc<RaftLinks>,
    runtime: Option<Runtime>,
}

async fn listen(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

impl Process {
    async fn start(node: u32, is_first: bool, address: &str, store: MemoryStore) -> Process {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let address = address.to_string();
        let (listener, address) = runtime.spawn(async move { listen(&address).await }).await.unwrap();
        let node = NodeId(node);
        let links = Arc::new(RaftLinks::new(Arc::new(Channels::default()), runtime.handle().clone()));
        let peers = {
            let links = links.clone();
            move |to, message| links.send(to, message)
        };
        let options = MasterOptions {
            voters: if is_first { vec![node] } else { Vec::new() },
            ..small(std::path::Path::new("unused"), node.0)
        };
        let master = Master::open_with(options, Box::new(store.clone()), Box::new(peers)).unwrap();
        links.learn(&master.snapshot());
        let (learner, learned) = (master.clone(), links.clone());
        runtime.spawn(async move {
            let mut version = 0;
            while let Ok(catalog) = learner.changed(version).await {
                learned.learn(&catalog);
                version = catalog.version();
            }
        });
        let service = MasterService::new(master.clone());
        runtime.spawn(MasterService::lead(Arc::downgrade(&service)));
        let services = Routes::default().add_service(rpc::metadata::server(service.clone()));
        runtime.spawn(rpc::server::serve(
            listener,
            None,
            services,
            Connections::default(),
            std::future::pending(),
        ));
        Process { node, address, store, master, service, links, runtime: Some(runtime) }
    }

    /// The first master of a new cluster.
    async fn first() -> Process {
        let first = Process::start(1, true, "127.0.0.1:0", MemoryStore::new()).await;
        first.master.propose(Command::FoundCluster { id: 7 }).await.unwrap();
        first
    }

    /// The store's content stays.
    fn kill(self) -> (NodeId, String, MemoryStore) {
        (self.node, self.address.to_string(), self.store.clone())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        self.master.shutdown();
    }
}

/// A process without a voter.
struct Follower {
    metadata: Arc<RemoteMetadata>,
    masters: Arc<Masters>,
}

async fn join(seeds: &[SocketAddr], port: u16, role: NodeRole, follows: Follows) -> Follower {
    let seeds = seeds.iter().map(ToString::to_string).collect();
    let masters = Arc::new(Masters::new(Arc::new(Channels::default()), seeds));
    let registration =
        Registration { identity: None, host: "127.0.0.1".into(), port, mysql_port: None, role, cores: 2 };
    let identity = register(&masters, &registration).await.unwrap();
    assert_eq!(register(&masters, &registration).await.unwrap(), identity, "the same process again");
    let metadata = RemoteMetadata::follow(masters.clone(), identity, follows);
    metadata.arrived().await;
    Follower { metadata, masters }
}

async fn aggregator(seeds: &[SocketAddr], port: u16) -> Arc<RemoteMetadata> {
    join(seeds, port, NodeRole::Aggregator, Follows::AtOnce).await.metadata
}

fn state_of(metadata: &dyn Metadata, node: NodeId) -> Option<NodeState> {
    metadata.snapshot().node(node).map(|node| node.state)
}

#[test]
fn what_one_aggregator_changes_the_next_statement_on_another_sees() {
    on_threads(async {
        let master = Process::first().await;
        let seeds = [master.address];
        let leaf = join(&seeds, 1, NodeRole::Leaf, Follows::WhenCarriedOut).await;
        leaf.metadata.carried_out(leaf.metadata.snapshot().version());
        let one = aggregator(&seeds, 2).await;
        let other = aggregator(&seeds, 3).await;
        // The leaf has work to do before it follows.
        let store = leaf.metadata.clone();
        let carry_out = tokio::spawn(async move {
            let mut version = store.snapshot().version();
            while let Ok(catalog) = store.changed(version).await {
                version = catalog.version();
                store.carried_out(version);
            }
        });
        for round in 0..20 {
            let (writer, reader) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
            let name = format!("d{round}");
            let outcome = writer.propose(create(&name)).await.unwrap();
            assert!(matches!(outcome, Outcome::DatabaseCreated(_)));
            for metadata in [writer, reader, &leaf.metadata] {
                assert!(metadata.snapshot().database(&name).is_some(), "round {round}");
            }
        }
        let error = one.propose(create("d0")).await.unwrap_err();
        assert_eq!(error.message, "Can't create database 'd0'; database exists");
        carry_out.abort();
    });
}

#[test]
fn a_change_waits_for_who_is_online_and_for_nobody_else() {
    on_threads(async {
        let master = Process::first().await;
        let seeds = [master.address];
        let leaf = join(&seeds, 1, NodeRole::Leaf, Follows::WhenCarriedOut).await;
        leaf.metadata.carried_out(leaf.metadata.snapshot().version());
        let one = aggregator(&seeds, 2).await;
        let proposer = one.clone();
        let change = tokio::spawn(async move { proposer.propose(create("d")).await });
        // It took effect, and is held back for the leaf.
        let version = one.changed(one.snapshot().version()).await.unwrap().version();
        until("the effect", || one.snapshot().database("d").is_some()).await;
        leaf.metadata.changed(version - 1).await.unwrap();
        assert!(!change.is_finished());
        leaf.metadata.carried_out(one.snapshot().version());
        change.await.unwrap().unwrap();

        // A node that is gone is marked so, and changes go on.
        let gone = leaf.metadata.identity().node;
        drop(leaf);
        let started = Instant::now();
        one.propose(create("e")).await.unwrap();
        until("offline", || state_of(&*one, gone) == Some(NodeState::Offline)).await;
        assert!(started.elapsed() < crate::SILENT_LIMIT + Duration::from_secs(3), "{:?}", started.elapsed());
    });
}

#[test]
fn a_node_that_comes_back_is_online_again_with_its_id() {
    on_threads(async {
        let master = Process::first().await;
        let seeds = [master.address];
        let watcher = aggregator(&seeds, 2).await;
        let leaf = join(&seeds, 1, NodeRole::Leaf, Follows::AtOnce).await;
        let identity = leaf.metadata.identity();
        assert_eq!(state_of(&*leaf.metadata, identity.node), Some(NodeState::Online));
        drop(leaf.metadata);
        until("offline", || state_of(&*watcher, identity.node) == Some(NodeState::Offline)).await;
        let again = RemoteMetadata::follow(leaf.masters.clone(), identity, Follows::AtOnce);
        until("online", || state_of(&*watcher, identity.node) == Some(NodeState::Online)).await;
        drop(again);

        let registration = |identity| Registration {
            identity: Some(identity),
            host: "127.0.0.1".into(),
            port: 99,
            mysql_port: None,
            role: NodeRole::Leaf,
            cores: 2,
        };
        assert_eq!(register(&leaf.masters, &registration(identity)).await.unwrap(), identity);
        let stranger = Identity { cluster: identity.cluster + 1, ..identity };
        let error = register(&leaf.masters, &registration(stranger)).await.unwrap_err();
        assert!(error.message.contains("belongs to another cluster"), "{error}");
        let unknown = Report { identity: Identity { node: NodeId(99), ..identity }, applied: 0 };
        assert!(master.service.attach(unknown).is_err());
    });
}

#[test]
fn a_command_that_is_sent_again_is_applied_once() {
    on_threads(async {
        let master = Process::first().await;
        let id = CommandId { node: NodeId(9), number: 2 };
        let before = master.master.snapshot().version();
        let command = set("v", 1);
        let (first, second) = tokio::join!(
            master.service.propose(id, command.clone()),
            master.service.propose(id, command.clone())
        );
        assert_eq!(first.unwrap(), second.unwrap());
        assert_eq!(master.service.propose(id, command).await.unwrap(), (Outcome::Done, before + 1));
        assert_eq!(master.master.snapshot().version(), before + 1);
    });
}

#[test]
fn followers_keep_their_catalog_while_the_master_is_away_and_follow_it_when_it_is_back() {
    on_threads(async {
        let master = Process::first().await;
        let seeds = [master.address];
        let one = aggregator(&seeds, 2).await;
        let other = aggregator(&seeds, 3).await;
        one.propose(set("v", 1)).await.unwrap();
        let (node, address, store) = master.kill();
        until("the stream broke", || !one.is_attached() && !other.is_attached()).await;
        assert_eq!(other.snapshot().global_variable("v"), Some("1"));
        let waiting = {
            let one = one.clone();
            tokio::spawn(async move { one.propose(set("v", 2)).await })
        };
        let master = Process::start(node.0, false, &address, store).await;
        waiting.await.unwrap().unwrap();
        assert_eq!(other.snapshot().global_variable("v"), Some("2"));
        assert_eq!(master.master.snapshot().global_variable("v"), Some("2"));
        for metadata in [&one, &other] {
            assert_eq!(state_of(&**metadata, metadata.identity().node), Some(NodeState::Online));
        }
    });
}

#[test]
fn three_masters_go_on_without_any_one_of_them() {
    on_threads(async {
        let first = Process::first().await;
        let seed = first.address;
        let mut processes = vec![first];
        // The first has to be found by the others: a master registers as one, too.
        let masters = Masters::new(Arc::new(Channels::default()), vec![seed.to_string()]);
        let registration = Registration {
            identity: Some(Identity { node: NodeId(1), cluster: 7 }),
            host: "127.0.0.1".into(),
            port: seed.port(),
            mysql_port: None,
            role: NodeRole::Master,
            cores: 2,
        };
        register(&masters, &registration).await.unwrap();
        // Each of the others registers, opens its voter empty, and is added.
        for number in [2, 3] {
            let (listener, address) = listen("127.0.0.1:0").await;
            let follower = join(&[seed], address.port(), NodeRole::Master, Follows::AtOnce).await;
            drop(listener);
            let node = follower.metadata.identity().node;
            assert_eq!(node, NodeId(number));
            let process = Process::start(node.0, false, &address.to_string(), MemoryStore::new()).await;
            process.links.learn(&follower.metadata.snapshot());
            follower.masters.add_voter(node).await.unwrap();
            follower.masters.add_voter(node).await.unwrap();
            processes.push(process);
        }
        until("three voters that know each other", || {
            processes.iter().all(|process| {
                let status = process.master.status();
                status.voters == [NodeId(1), NodeId(2), NodeId(3)]
                    && process.master.snapshot().node(NodeId(1)).is_some()
            })
        })
        .await;

        let seeds: Vec<SocketAddr> = processes.iter().map(|process| process.address).collect();
        let one = aggregator(&seeds[..1], 8).await;
        let other = aggregator(&seeds[2..], 9).await;
        for round in 0..3 {
            one.propose(set("v", round)).await.unwrap();
            let leads = |process: &Process| *process.master.leadership().borrow() == Leadership::Leader;
            until("a leader", || processes.iter().any(leads)).await;
            let leader = processes.iter().position(leads).unwrap();
            let (node, address, store) = processes.remove(leader).kill();
            // The followers find the next leader by themselves.
            one.propose(set("w", round)).await.unwrap();
            assert_eq!(other.snapshot().global_variable("w"), Some(round.to_string().as_str()));
            let process = Process::start(node.0, false, &address, store).await;
            processes.push(process);
            until("agreement", || {
                processes.iter().all(|p| p.master.snapshot().version() >= one.snapshot().version())
            })
            .await;
        }
        assert_eq!(one.snapshot().global_variable("v"), Some("2"));
    });
}

#[test]
fn nobody_joins_a_cluster_before_its_first_master() {
    on_threads(async {
        let master = Process::start(1, true, "127.0.0.1:0", MemoryStore::new()).await;
        let joining = tokio::spawn(join_soon(master.address));
        // The other asks again and again meanwhile.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!joining.is_finished());
        let first = Command::RegisterNode {
            id: Some(NodeId(1)),
            host: "127.0.0.1".into(),
            port: master.address.port(),
            mysql_port: None,
            role: NodeRole::Master,
            cores: 2,
        };
        master.master.propose(first).await.unwrap();
        master.master.propose(Command::FoundCluster { id: 7 }).await.unwrap();
        assert_eq!(joining.await.unwrap(), NodeId(2));
    });
}

async fn join_soon(seed: SocketAddr) -> NodeId {
    aggregator(&[seed], 2).await.identity().node
}

#[test]
fn a_master_that_does_not_lead_refuses() {
    on_threads(async {
        let first = Process::first().await;
        // A voter that never runs: without it nothing is confirmed, so nobody leads any more.
        first.service.add_voter(NodeId(2)).await.unwrap();
        until("the end of leading", || *first.master.leadership().borrow() != Leadership::Leader).await;
        assert!(first.service.add_voter(NodeId(3)).await.is_err());
        assert!(first.service.newest().is_err() && first.service.newer(0).await.is_err());
        let id = CommandId { node: NodeId(9), number: 2 };
        assert!(first.service.propose(id, set("v", 1)).await.is_err());
    });
}
