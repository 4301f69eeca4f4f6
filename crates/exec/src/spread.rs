//! Where each task of a plan runs, and between which nodes its exchanges go. A pure function of the
//! stages and of where partitions lie.
//!
//! A stage runs on the nodes of its tasks. Stages that run on the asking node alone (gathers, the
//! result) are run by it directly; the others come in groups. A group is what hangs below one
//! exchange that a stage of the asking node reads, down to stages that the asking node runs itself:
//! it starts, on all of its nodes, when that exchange is first read. So the probe side of a join does
//! not run before the build side is complete, and values of scalar subqueries are known before the
//! stages that use them are sent.
//!
//! A broadcast from every node to every node takes messages by the square of the nodes. Where few rows are
//! expected, one of the nodes gathers them and sends them on, as a stage of its own: a *relay*.

use crate::exchange::{ExchangeExec, ExchangeId, ExchangeKind, ReceiveExec};
use crate::plan::{Place, Stage};
use crate::scan::ScanExec;
use crate::shared_keys::{KeyRoute, Pairs};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use types::{NodeId, PartitionId};

/// Where things are, for one query.
#[derive(Debug, Clone)]
pub struct Locations {
    /// The node that runs the query.
    pub here: NodeId,
    /// The leaf that each partition lies on; at least those that the query reads.
    pub partitions: Arc<HashMap<PartitionId, NodeId>>,
}

/// The nodes of the stages of one plan.
#[derive(Debug)]
pub struct Spread {
    here: NodeId,
    /// As they run: the result comes from the asking node, whatever the plan says.
    stages: Vec<Stage>,
    /// The node of each task of each stage.
    nodes: Vec<Vec<NodeId>>,
    /// The stage that reads what stage `i` sends; stage 0 sends to nobody.
    consumers: Vec<usize>,
    /// The group that stage `i` starts with; `None`: the asking node runs it itself.
    groups: Vec<Option<usize>>,
    /// The exchanges that are read as soon as their group starts.
    first: BTreeSet<ExchangeId>,
    /// The joins whose keys scans of other stages look for.
    pairs: Pairs,
}

/// What one node must know of an exchange that it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub exchange: ExchangeId,
    /// Whether its stage begins with it, and that stage is begun with.
    pub first: bool,
    /// Stream `i` comes from `nodes[i]` alone; else each stream comes from all of `nodes`.
    pub apart: bool,
    pub nodes: Vec<NodeId>,
}

impl Source {
    /// The nodes that one stream comes from.
    pub fn of_stream(&self, stream: usize) -> &[NodeId] {
        match self.apart {
            true => self.nodes.get(stream).map_or(&[], std::slice::from_ref),
            false => &self.nodes,
        }
    }
}

impl Spread {
    pub(crate) fn new(stages: &[Stage], locations: &Locations) -> Result<Spread> {
        let here = locations.here;
        let mut stages = stages.to_vec();
        let mut nodes = Vec::new();
        for stage in &stages {
            nodes.push(nodes_of(stage, &stages, locations)?);
        }
        // A plan of tables with one partition ends where that lies; its result still comes from here.
        if scans(&stages[0])? {
            let root = Stage { place: home(&stages[0])?, ..stages[0].clone() };
            let ends_at = nodes_of(&root, &stages, locations)?;
            if ends_at.iter().any(|node| *node != here) {
                let gathered = gathered(root, &mut stages);
                stages[0] = Stage { plan: gathered, ..stages[0].clone() };
                nodes.push(ends_at);
            }
        }
        for at in relayed(&stages, &nodes)? {
            let Place::Partitions(partitions) = stages[at].place.clone() else { continue };
            // Not always the same one.
            let by = at % partitions.len();
            let gathered = gathered(stages[at].clone(), &mut stages);
            let place = Place::Partitions(vec![partitions[by]]);
            stages[at] = Stage { plan: gathered, place, ..stages[at].clone() };
            let relay = vec![nodes[at][by]];
            let gathered_from = std::mem::replace(&mut nodes[at], relay);
            nodes.push(gathered_from);
        }
        let mut consumers = vec![0; stages.len()];
        for (at, stage) in stages.iter().enumerate() {
            for exchange in stage.receives()? {
                match consumers.get_mut(exchange.0 as usize) {
                    Some(consumer) => *consumer = at,
                    None => return internal_err!("stage {} reads an exchange that is not there", stage.id),
                }
            }
        }
        let mut groups: Vec<Option<usize>> = vec![None; stages.len()];
        let mut order: Vec<usize> = vec![0];
        // From the result down: a stage comes after the one that reads it.
        let mut next = 0;
        while let Some(&at) = order.get(next) {
            next += 1;
            order.extend((1..stages.len()).filter(|stage| consumers[*stage] == at && *stage != at));
            if at > 0 && nodes[at].iter().any(|node| *node != here) {
                groups[at] = Some(groups[consumers[at]].unwrap_or(at));
            }
        }
        if order.len() != stages.len() {
            return internal_err!("{} of {} stages lead to the result", order.len(), stages.len());
        }
        let pairs = Pairs::find(&stages, &groups)?;
        let heads = (0..stages.len()).filter(|stage| groups[*stage] == Some(*stage));
        let first = heads.flat_map(|head| begun_with(&stages, head)).collect();
        Ok(Spread { here, stages, nodes, consumers, groups, first, pairs })
    }

    /// Whether one process runs it all.
    pub fn is_local(&self) -> bool {
        self.groups.iter().all(Option::is_none)
    }

    pub(crate) fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The nodes that run a stage, each once.
    pub(crate) fn nodes(&self, stage: usize) -> Vec<NodeId> {
        let distinct: BTreeSet<NodeId> = self.nodes[stage].iter().copied().collect();
        distinct.into_iter().collect()
    }

    /// The tasks of a stage that a node runs.
    pub(crate) fn tasks(&self, stage: usize, node: NodeId) -> Vec<usize> {
        (0..self.nodes[stage].len()).filter(|task| self.nodes[stage][*task] == node).collect()
    }

    /// The group that a stage starts with.
    pub(crate) fn group(&self, stage: usize) -> Option<usize> {
        self.groups[stage]
    }

    /// The stages of a group.
    pub(crate) fn stages_of(&self, group: usize) -> Vec<usize> {
        (0..self.stages.len()).filter(|stage| self.groups[*stage] == Some(group)).collect()
    }

    /// The streams of the exchange that a stage feeds.
    pub(crate) fn streams(&self, stage: usize) -> usize {
        let readers = self.nodes(self.consumers[stage]).len();
        let producers = self.nodes[stage].len();
        self.stages[stage].output.as_ref().map_or(0, |kind| kind.streams(producers, readers))
    }

    /// The exchanges that a stage reads.
    pub(crate) fn sources(&self, stage: usize) -> Result<Vec<Source>> {
        let source = |exchange: ExchangeId| {
            let producer = exchange.0 as usize;
            let apart = self.stages[producer].output.as_ref().is_some_and(ExchangeKind::apart);
            let nodes = if apart { self.nodes[producer].clone() } else { self.nodes(producer) };
            Source { exchange, first: self.first.contains(&exchange), apart, nodes }
        };
        Ok(self.stages[stage].receives()?.into_iter().map(source).collect())
    }

    pub(crate) fn pairs(&self) -> &Pairs {
        &self.pairs
    }

    /// Where the keys of joins go among the stages of a group.
    pub(crate) fn key_routes(&self, group: usize) -> Vec<KeyRoute> {
        let of_group = self.pairs.stages().filter(|(_, join, _)| self.groups[*join] == Some(group));
        let route = |(number, join, scans): (u32, usize, &[usize])| {
            let to: BTreeSet<NodeId> =
                scans.iter().flat_map(|scan| self.nodes[*scan].iter().copied()).collect();
            KeyRoute { number, from: self.nodes(join), to: to.into_iter().collect() }
        };
        of_group.map(route).collect()
    }

    pub(crate) fn here(&self) -> NodeId {
        self.here
    }
}

/// The exchanges that are read one after the other before the first row of a stage is there: what its plan begins
/// with, what that one's stage begins with, and so on. An operator begins with its first input: a join with its build
/// side, and not with the other before that is complete.
fn begun_with(stages: &[Stage], head: usize) -> impl Iterator<Item = ExchangeId> {
    let begins_with = |stage: usize| {
        let mut node = &stages.get(stage)?.plan;
        loop {
            if let Some(receive) = node.downcast_ref::<ReceiveExec>() {
                return Some(receive.exchange());
            }
            node = node.children().into_iter().next()?;
        }
    };
    std::iter::successors(begins_with(head), move |exchange| begins_with(exchange.0 as usize))
}

/// Adds a stage whose rows are gathered; gives what reads them.
fn gathered(stage: Stage, stages: &mut Vec<Stage>) -> Arc<dyn ExecutionPlan> {
    let id = ExchangeId(stages.len() as u32);
    let kind = ExchangeKind::Gather;
    let properties = ExchangeExec::new(stage.plan.clone(), kind.clone()).properties().clone();
    let statistics = Arc::new(Statistics::new_unknown(&stage.plan.schema()));
    stages.push(Stage { id, output: Some(kind.clone()), ..stage });
    Arc::new(ReceiveExec::new(id, kind, properties, statistics, Vec::new()))
}

/// The most rows and bytes that are expected of a broadcast that goes through a relay.
const RELAYED_ROWS: usize = 1_000;
const RELAYED_BYTES: usize = 64 << 10;

/// The least messages that a broadcast must take for a relay to pay: with three nodes on both sides it saves
/// a third of them.
const RELAYED_MESSAGES: usize = 9;

/// The stages whose broadcasts go through a relay.
fn relayed(stages: &[Stage], nodes: &[Vec<NodeId>]) -> Result<Vec<usize>> {
    let count = |at: usize| nodes[at].iter().collect::<BTreeSet<_>>().len();
    let mut found = Vec::new();
    for (at, stage) in stages.iter().enumerate() {
        stage.plan.apply(|node| {
            let Some(receive) = node.downcast_ref::<ReceiveExec>() else {
                return Ok(TreeNodeRecursion::Continue);
            };
            let from = receive.exchange().0 as usize;
            let rows = receive.expected().num_rows.get_value().copied();
            // Of a join the bytes are often not known.
            let bytes = receive.expected().total_byte_size.get_value().copied();
            if matches!(receive.kind(), ExchangeKind::Broadcast)
                && rows.is_some_and(|rows| rows <= RELAYED_ROWS)
                && bytes.unwrap_or(0) <= RELAYED_BYTES
                && from < stages.len()
                && count(from) * count(at) >= RELAYED_MESSAGES
            {
                found.push(from);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(found)
}

fn scans(stage: &Stage) -> Result<bool> {
    let mut found = false;
    stage.plan.apply(|node| {
        found |= node.is::<ScanExec>();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Where the stage would run if it did not yield the result.
fn home(stage: &Stage) -> Result<Place> {
    crate::plan::place(&stage.plan)
}

/// The node of each task. Range `i` of so many lies with partition `i` of the tables that have as many
/// partitions, else the ranges are dealt out over the leaves of the query.
fn nodes_of(stage: &Stage, stages: &[Stage], locations: &Locations) -> Result<Vec<NodeId>> {
    let of = |partition: &PartitionId| match locations.partitions.get(partition) {
        Some(node) => Ok(*node),
        None => internal_err!("nothing says where partition {partition} lies"),
    };
    match &stage.place {
        Place::Aggregator => Ok(vec![locations.here; stage.plan.output_partitioning().partition_count()]),
        Place::Partitions(partitions) => partitions.iter().map(of).collect(),
        Place::Ranges(count) => {
            let mut leaves = BTreeSet::new();
            for other in stages {
                let Place::Partitions(partitions) = &other.place else { continue };
                let nodes = partitions.iter().map(of).collect::<Result<Vec<_>>>()?;
                if nodes.len() == *count {
                    return Ok(nodes);
                }
                leaves.extend(nodes);
            }
            let leaves: Vec<NodeId> = leaves.into_iter().collect();
            Ok((0..*count)
                .map(|i| leaves.get(i % leaves.len().max(1)).copied().unwrap_or(locations.here))
                .collect())
        }
    }
}
