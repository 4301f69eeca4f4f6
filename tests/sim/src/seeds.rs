//! Seeds in bulk. `PANDO_SIM_SEEDS` says how many (default 100), `PANDO_SIM_FROM` from which. A seed that
//! fails is named: run it alone with `PANDO_SIM_SEEDS=1 PANDO_SIM_FROM=<seed> PANDO_SIM_TRACE=1`, and
//! paste it as a test.

use crate::model::{Fate, Model};
use crate::node::{Cluster, Leaf};
use crate::session::Aggregator;
use crate::world::{Weather, World};
use std::cell::RefCell;
use std::rc::Rc;
use types::{NodeId, PartitionId};

/// How long things go wrong, and how long it may take then until all is in order.
const TROUBLE_MILLIS: u64 = 12_000;
const ORDER_MILLIS: u64 = 20_000;

#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    seeds: u64,
    committed: usize,
    aborted: usize,
    unknown: usize,
    reads: u64,
    leaf_crashes: u64,
    orphans: u64,
}

fn run(seed: u64) -> Tally {
    let world = World::new(seed);
    let cluster: Rc<Cluster> = Rc::default();
    let accounts = 4;
    let model = Rc::new(RefCell::new(Model::new(accounts)));
    let leaves: Vec<Rc<Leaf>> = (0..world.between(2..5) as u32)
        .map(|leaf| {
            let count = world.between(1..3) as u32;
            let partitions: Vec<PartitionId> = (0..count).map(|p| PartitionId(10 * (leaf + 1) + p)).collect();
            Leaf::new(&world, &cluster, NodeId(leaf + 1), &partitions, accounts)
        })
        .collect();
    let aggregators: Vec<Rc<Aggregator>> = (0..world.between(1..3) as u32)
        .map(|n| Aggregator::new(&world, &cluster, &model, NodeId(100 + n)))
        .collect();
    for aggregator in &aggregators {
        aggregator.start(2, 1, TROUBLE_MILLIS);
    }
    world.set_weather(Weather::FOUL);
    for leaf in &leaves {
        for _ in 0..world.between(0..3) {
            let (leaf, soon, at) = (leaf.clone(), world.chance(0.7), world.between(0..TROUBLE_MILLIS));
            world.at(at, move |world| {
                if !world.is_up(leaf.node) {
                } else if soon {
                    leaf.crash_soon();
                } else {
                    leaf.crash();
                }
            });
        }
        for _ in 0..world.between(0..4) {
            let (leaf, at) = (leaf.clone(), world.between(0..TROUBLE_MILLIS));
            let partition = leaf.partitions[world.between(0..leaf.partitions.len() as u64) as usize];
            world.at(at, move |_| {
                let flushed = leaf.run(|store| store.optimize(partition));
                if let Some(Err(error)) = flushed {
                    panic!("a flush failed: {error}");
                }
            });
        }
    }
    for aggregator in &aggregators {
        if world.chance(0.4) {
            let (aggregator, at) = (aggregator.clone(), world.between(0..TROUBLE_MILLIS));
            world.at(at, move |world| {
                if world.is_up(aggregator.node) {
                    aggregator.crash(2, 1, TROUBLE_MILLIS);
                }
            });
        }
    }
    let nodes: Vec<NodeId> =
        leaves.iter().map(|leaf| leaf.node).chain(aggregators.iter().map(|a| a.node)).collect();
    let any = |world: &World| nodes[world.between(0..nodes.len() as u64) as usize];
    for _ in 0..world.between(0..4) {
        let (node, millis, at) = (any(&world), world.between(50..7_000), world.between(0..TROUBLE_MILLIS));
        world.at(at, move |world| world.pause(node, millis));
    }
    for _ in 0..world.between(0..4) {
        let (node, at) = (any(&world), world.between(0..TROUBLE_MILLIS));
        let by = world.between(0..800) as i64 - 400;
        world.at(at, move |world| world.step_clock(node, by));
    }
    for _ in 0..world.between(0..4) {
        let (a, b, at) = (any(&world), any(&world), world.between(0..TROUBLE_MILLIS));
        let millis = world.between(50..4_000);
        world.at(at, move |world| {
            world.cut(a, b, true);
            world.at(millis, move |world| world.cut(a, b, false));
        });
    }
    world.run_until(TROUBLE_MILLIS);
    world.set_weather(Weather::FAIR);
    world.mend_all();
    leaves.iter().for_each(|leaf| leaf.keep_power());
    nodes.iter().for_each(|node| world.step_clock(*node, -10_000));
    nodes.iter().for_each(|node| world.step_clock(*node, 1_000));
    world.run_until(TROUBLE_MILLIS + ORDER_MILLIS);
    let read = Rc::new(RefCell::new(Err("the reader did not end".to_string())));
    world.spawn(aggregators[0].node, aggregators[0].clone().read_at_last(read.clone()));
    world.run_until(TROUBLE_MILLIS + ORDER_MILLIS + 5_000);
    let read = read.borrow().clone();
    assert_eq!(read, Ok(()), "seed {seed}: when all is mended, all can be read");
    for leaf in &leaves {
        let store = leaf.store().expect("it is up again");
        let open = store.statistics().open_transactions;
        assert_eq!(open, 0, "seed {seed}: leaf {} has open transactions", leaf.node);
        assert_eq!(store.unsettled(), vec![], "seed {seed}: leaf {} has unsettled commits", leaf.node);
    }
    let model = model.borrow();
    Tally {
        seeds: 1,
        committed: model.count(Fate::Committed),
        aborted: model.count(Fate::Aborted),
        unknown: model.count(Fate::Unknown) + model.count(Fate::Open),
        reads: model.reads,
        leaf_crashes: leaves.iter().map(|leaf| leaf.crashes.get()).sum(),
        orphans: leaves.iter().map(|leaf| leaf.ended_orphans.get()).sum(),
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_half_there() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    let (from, count) = (number("PANDO_SIM_FROM", 0), number("PANDO_SIM_SEEDS", 100));
    let mut all = Tally::default();
    for seed in from..from + count {
        let tally = match std::panic::catch_unwind(|| run(seed)) {
            Ok(tally) => tally,
            Err(panic) => {
                eprintln!("seed {seed} failed");
                std::panic::resume_unwind(panic);
            }
        };
        all.seeds += tally.seeds;
        all.committed += tally.committed;
        all.aborted += tally.aborted;
        all.unknown += tally.unknown;
        all.reads += tally.reads;
        all.leaf_crashes += tally.leaf_crashes;
        all.orphans += tally.orphans;
    }
    println!("{all:?}");
    assert!(all.committed > 0 && all.reads > 0, "the simulation did nothing: {all:?}");
}
